//! Interfaces of `pumice:platform` that this server does not offer yet.
//!
//! They are linked, so that a component that imports them loads; each call answers that it is not
//! configured, or, where it would change something and a before-trigger asks, that it may not. What
//! the call carries is charged all the same: the host has copied it by then. Methods of a resource
//! that nobody holds are an exception, since their call fails at its handle.

use wasmtime::component::Resource;

use crate::HostCtx;
use crate::bindings::pumice::platform::{data, files, jobs, mail, messaging, push, types};
use crate::bindings::wasi::io::streams::{InputStream, OutputStream};
use crate::entry::Kind;

type Answer<T, E> = wasmtime::Result<Result<T, E>>;

/// Bytes of an argument: its text, and for a member of a list its place in it as well, so that a list
/// of nothing is not for nothing.
trait Weight {
    fn weight(&self) -> usize;
}

impl Weight for String {
    fn weight(&self) -> usize {
        self.len()
    }
}

impl<T: Weight> Weight for Option<T> {
    fn weight(&self) -> usize {
        self.as_ref().map_or(0, T::weight)
    }
}

impl<T: Weight> Weight for Vec<T> {
    fn weight(&self) -> usize {
        let places = self.len() * size_of::<T>();
        places + self.iter().map(T::weight).sum::<usize>()
    }
}

impl Weight for data::Filter {
    fn weight(&self) -> usize {
        self.column.len() + self.operator.len() + self.value.len()
    }
}

impl Weight for data::Query {
    fn weight(&self) -> usize {
        self.table.len() + self.select.weight() + self.filters.weight() + self.order.weight()
    }
}

impl Weight for messaging::Target {
    fn weight(&self) -> usize {
        match self {
            messaging::Target::Channel(name) | messaging::Target::User(name) => name.len(),
            messaging::Target::Everyone => 0,
        }
    }
}

impl Weight for push::Target {
    fn weight(&self) -> usize {
        match self {
            push::Target::User(name) | push::Target::Device(name) | push::Target::Topic(name) => {
                name.len()
            }
        }
    }
}

impl Weight for push::Notification {
    fn weight(&self) -> usize {
        self.title.weight() + self.body.weight() + self.data.len()
    }
}

impl Weight for mail::Message {
    fn weight(&self) -> usize {
        self.to.weight() + self.subject.len() + self.text.len() + self.html.weight()
    }
}

impl Weight for jobs::Options {
    fn weight(&self) -> usize {
        self.unique_key.weight()
    }
}

/// Of a resource that no call hands out.
fn never<T>() -> wasmtime::Result<T> {
    Err(wasmtime::format_err!(
        "a resource that was never handed out"
    ))
}

impl HostCtx {
    fn carry(&mut self, arguments: &[&dyn Weight]) -> wasmtime::Result<()> {
        self.charge(arguments.iter().map(|argument| argument.weight()).sum())
    }

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
    fn select(&mut self, _: data::Authority, query: data::Query) -> Answer<String, data::Error> {
        self.carry(&[&query])?;
        Ok(Err(data::Error::NotConfigured))
    }
    fn insert(
        &mut self,
        _: data::Authority,
        table: String,
        rows: String,
    ) -> Answer<String, data::Error> {
        self.carry(&[&table, &rows])?;
        self.no_data()
    }
    fn upsert(
        &mut self,
        _: data::Authority,
        table: String,
        rows: String,
        on_conflict: Vec<String>,
    ) -> Answer<String, data::Error> {
        self.carry(&[&table, &rows, &on_conflict])?;
        self.no_data()
    }
    fn update(
        &mut self,
        _: data::Authority,
        query: data::Query,
        values: String,
    ) -> Answer<String, data::Error> {
        self.carry(&[&query, &values])?;
        self.no_data()
    }
    fn delete(&mut self, _: data::Authority, query: data::Query) -> Answer<String, data::Error> {
        self.carry(&[&query])?;
        self.no_data()
    }
    fn sql(&mut self, statement: String, parameters: String) -> Answer<String, data::Error> {
        self.carry(&[&statement, &parameters])?;
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
        bucket: String,
        name: String,
    ) -> Answer<(files::Object, Resource<InputStream>), files::Error> {
        self.carry(&[&bucket, &name])?;
        Ok(Err(files::Error::NotConfigured))
    }
    fn put(
        &mut self,
        bucket: String,
        name: String,
        content_type: String,
    ) -> Answer<Resource<files::Upload>, files::Error> {
        self.carry(&[&bucket, &name, &content_type])?;
        self.no_file()
    }
    fn delete(&mut self, bucket: String, name: String) -> Answer<(), files::Error> {
        self.carry(&[&bucket, &name])?;
        self.no_file()
    }
    fn list(
        &mut self,
        bucket: String,
        prefix: String,
        after: Option<String>,
    ) -> Answer<Vec<files::Object>, files::Error> {
        self.carry(&[&bucket, &prefix, &after])?;
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
        target: messaging::Target,
        event: String,
        payload: String,
    ) -> Answer<(), messaging::Error> {
        self.carry(&[&target, &event, &payload])?;
        Ok(Err(self.no_write(
            messaging::Error::NotConfigured,
            messaging::Error::NotInBeforeTrigger,
        )))
    }
    fn presence(&mut self, channel: String) -> Answer<String, messaging::Error> {
        self.carry(&[&channel])?;
        Ok(Err(self.no_write(
            messaging::Error::NotConfigured,
            messaging::Error::NotInBeforeTrigger,
        )))
    }
}

impl push::Host for HostCtx {
    fn send(
        &mut self,
        target: push::Target,
        notification: push::Notification,
    ) -> Answer<String, push::Error> {
        self.carry(&[&target, &notification])?;
        Ok(Err(self.no_write(
            push::Error::NotConfigured,
            push::Error::NotInBeforeTrigger,
        )))
    }
}

impl mail::Host for HostCtx {
    fn send(&mut self, message: mail::Message) -> Answer<String, mail::Error> {
        self.carry(&[&message])?;
        Ok(Err(self.no_write(
            mail::Error::NotConfigured,
            mail::Error::NotInBeforeTrigger,
        )))
    }
}

impl jobs::Host for HostCtx {
    fn enqueue(
        &mut self,
        script: String,
        payload: String,
        options: jobs::Options,
    ) -> Answer<String, jobs::Error> {
        self.carry(&[&script, &payload, &options])?;
        Ok(Err(self.no_write(
            jobs::Error::NotConfigured,
            jobs::Error::NotInBeforeTrigger,
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HostLimits;
    use crate::testing;

    #[test]
    fn what_an_absent_interface_is_told_is_charged() {
        let mut ctx = testing::ctx(HostLimits::default());
        let mut costs = |call: &dyn Fn(&mut HostCtx)| {
            let before = ctx.usage().host_call_bytes;
            call(&mut ctx);
            ctx.usage().host_call_bytes - before
        };
        let text = |length| "x".repeat(length);
        let query = || data::Query {
            table: text(1),
            select: Some(text(2)),
            filters: vec![data::Filter {
                column: text(3),
                operator: text(4),
                value: text(5),
            }],
            order: Some(text(6)),
            limit: None,
            offset: None,
        };
        let filter = size_of::<data::Filter>() as u64;
        let string = size_of::<String>() as u64;
        let app = data::Authority::App;
        let cost = costs(&|ctx| drop(data::Host::select(ctx, app, query())));
        assert_eq!(cost, 21 + filter);
        let cost = costs(&|ctx| drop(data::Host::update(ctx, app, query(), text(9))));
        assert_eq!(cost, 30 + filter);
        let cost = costs(&|ctx| drop(data::Host::delete(ctx, app, query())));
        assert_eq!(cost, 21 + filter);
        let cost = costs(&|ctx| drop(data::Host::insert(ctx, app, text(1), text(2))));
        assert_eq!(cost, 3);
        let columns = || vec![String::new(); 100];
        let cost = costs(&|ctx| drop(data::Host::upsert(ctx, app, text(1), text(2), columns())));
        assert_eq!(cost, 3 + 100 * string);
        let cost = costs(&|ctx| drop(data::Host::sql(ctx, text(1), text(2))));
        assert_eq!(cost, 3);
        let cost = costs(&|ctx| drop(files::Host::get(ctx, text(1), text(2))));
        assert_eq!(cost, 3);
        let cost = costs(&|ctx| drop(files::Host::put(ctx, text(1), text(2), text(4))));
        assert_eq!(cost, 7);
        let cost = costs(&|ctx| drop(files::Host::delete(ctx, text(1), text(2))));
        assert_eq!(cost, 3);
        let cost = costs(&|ctx| drop(files::Host::list(ctx, text(1), text(2), Some(text(4)))));
        assert_eq!(cost, 7);
        let user = || messaging::Target::User(text(1));
        let cost = costs(&|ctx| drop(messaging::Host::publish(ctx, user(), text(2), text(4))));
        assert_eq!(cost, 7);
        let cost = costs(&|ctx| drop(messaging::Host::presence(ctx, text(5))));
        assert_eq!(cost, 5);
        let notification = || push::Notification {
            title: Some(text(2)),
            body: Some(text(4)),
            data: text(8),
        };
        let topic = || push::Target::Topic(text(1));
        let cost = costs(&|ctx| drop(push::Host::send(ctx, topic(), notification())));
        assert_eq!(cost, 15);
        let message = || mail::Message {
            to: vec![text(1)],
            subject: text(2),
            text: text(4),
            html: Some(text(8)),
        };
        let cost = costs(&|ctx| drop(mail::Host::send(ctx, message())));
        assert_eq!(cost, 15 + string);
        let options = || jobs::Options {
            run_at: None,
            unique_key: Some(text(4)),
            attempts_max: None,
        };
        let cost = costs(&|ctx| drop(jobs::Host::enqueue(ctx, text(1), text(2), options())));
        assert_eq!(cost, 7);
    }
}
