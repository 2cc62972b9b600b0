//! Interfaces of `pumice:platform` that this server does not offer yet.
//!
//! They are linked, so that a component that imports them loads; each call answers that it is not
//! configured, or, where it would change something and a before-trigger asks, that it may not.

use wasmtime::component::Resource;

use crate::HostCtx;
use crate::bindings::pumice::platform::{data, files, jobs, mail, messaging, push, types};
use crate::bindings::wasi::io::streams::{InputStream, OutputStream};
use crate::entry::Kind;

type Answer<T, E> = wasmtime::Result<Result<T, E>>;

/// Of a resource that no call hands out.
fn never<T>() -> wasmtime::Result<T> {
    Err(wasmtime::format_err!(
        "a resource that was never handed out"
    ))
}

impl HostCtx {
    fn no_write<E>(&self, not_configured: E, not_in_before_trigger: E) -> E {
        match self.entry.kind {
            Kind::BeforeTrigger => not_in_before_trigger,
            _ => not_configured,
        }
    }

    fn no_data<T>(&self) -> Answer<T, data::Error> {
        Ok(Err(self.no_write(
            data::Error::NotConfigured,
            data::Error::NotInBeforeTrigger,
        )))
    }

    fn no_file<T>(&self) -> Answer<T, files::Error> {
        Ok(Err(self.no_write(
            files::Error::NotConfigured,
            files::Error::NotInBeforeTrigger,
        )))
    }
}

impl types::Host for HostCtx {}

impl data::Host for HostCtx {
    fn select(&mut self, _: data::Authority, _: data::Query) -> Answer<String, data::Error> {
        Ok(Err(data::Error::NotConfigured))
    }
    fn insert(&mut self, _: data::Authority, _: String, _: String) -> Answer<String, data::Error> {
        self.no_data()
    }
    fn upsert(
        &mut self,
        _: data::Authority,
        _: String,
        _: String,
        _: Vec<String>,
    ) -> Answer<String, data::Error> {
        self.no_data()
    }
    fn update(
        &mut self,
        _: data::Authority,
        _: data::Query,
        _: String,
    ) -> Answer<String, data::Error> {
        self.no_data()
    }
    fn delete(&mut self, _: data::Authority, _: data::Query) -> Answer<String, data::Error> {
        self.no_data()
    }
    fn sql(&mut self, _: String, _: String) -> Answer<String, data::Error> {
        self.no_data()
    }
}

type Transaction = Resource<data::Transaction>;

impl data::HostTransaction for HostCtx {
    fn begin(&mut self, _: data::Authority) -> Answer<Transaction, data::Error> {
        self.no_data()
    }
    fn select(&mut self, _: Transaction, _: data::Query) -> Answer<String, data::Error> {
        never()
    }
    fn insert(&mut self, _: Transaction, _: String, _: String) -> Answer<String, data::Error> {
        never()
    }
    fn upsert(
        &mut self,
        _: Transaction,
        _: String,
        _: String,
        _: Vec<String>,
    ) -> Answer<String, data::Error> {
        never()
    }
    fn update(&mut self, _: Transaction, _: data::Query, _: String) -> Answer<String, data::Error> {
        never()
    }
    fn delete(&mut self, _: Transaction, _: data::Query) -> Answer<String, data::Error> {
        never()
    }
    fn sql(&mut self, _: Transaction, _: String, _: String) -> Answer<String, data::Error> {
        never()
    }
    fn commit(&mut self, _: Transaction) -> Answer<(), data::Error> {
        never()
    }
    fn rollback(&mut self, _: Transaction) -> wasmtime::Result<()> {
        never()
    }
    fn drop(&mut self, _: Transaction) -> wasmtime::Result<()> {
        never()
    }
}

impl files::Host for HostCtx {
    fn get(
        &mut self,
        _: String,
        _: String,
    ) -> Answer<(files::Object, Resource<InputStream>), files::Error> {
        Ok(Err(files::Error::NotConfigured))
    }
    fn put(
        &mut self,
        _: String,
        _: String,
        _: String,
    ) -> Answer<Resource<files::Upload>, files::Error> {
        self.no_file()
    }
    fn delete(&mut self, _: String, _: String) -> Answer<(), files::Error> {
        self.no_file()
    }
    fn list(
        &mut self,
        _: String,
        _: String,
        _: Option<String>,
    ) -> Answer<Vec<files::Object>, files::Error> {
        Ok(Err(files::Error::NotConfigured))
    }
}

impl files::HostUpload for HostCtx {
    fn body(&mut self, _: Resource<files::Upload>) -> Answer<Resource<OutputStream>, files::Error> {
        never()
    }
    fn finish(&mut self, _: Resource<files::Upload>) -> Answer<files::Object, files::Error> {
        never()
    }
    fn drop(&mut self, _: Resource<files::Upload>) -> wasmtime::Result<()> {
        never()
    }
}

impl messaging::Host for HostCtx {
    fn publish(
        &mut self,
        _: messaging::Target,
        _: String,
        _: String,
    ) -> Answer<(), messaging::Error> {
        Ok(Err(self.no_write(
            messaging::Error::NotConfigured,
            messaging::Error::NotInBeforeTrigger,
        )))
    }
    fn presence(&mut self, _: String) -> Answer<String, messaging::Error> {
        Ok(Err(self.no_write(
            messaging::Error::NotConfigured,
            messaging::Error::NotInBeforeTrigger,
        )))
    }
}

impl push::Host for HostCtx {
    fn send(&mut self, _: push::Target, _: push::Notification) -> Answer<String, push::Error> {
        Ok(Err(self.no_write(
            push::Error::NotConfigured,
            push::Error::NotInBeforeTrigger,
        )))
    }
}

impl mail::Host for HostCtx {
    fn send(&mut self, _: mail::Message) -> Answer<String, mail::Error> {
        Ok(Err(self.no_write(
            mail::Error::NotConfigured,
            mail::Error::NotInBeforeTrigger,
        )))
    }
}

impl jobs::Host for HostCtx {
    fn enqueue(&mut self, _: String, _: String, _: jobs::Options) -> Answer<String, jobs::Error> {
        Ok(Err(self.no_write(
            jobs::Error::NotConfigured,
            jobs::Error::NotInBeforeTrigger,
        )))
    }
}
