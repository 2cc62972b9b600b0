//! What a guest may ask for: one folder per capability.
//!
//! The runtime makes one [`Entry`] per entry of a revision and one [`HostCtx`] per invocation, which
//! is the `T` of its `Store<T>`; [`add_to_linker`] links everything a guest may import. This crate
//! knows wasmtime and a client's half of HTTP; it knows nothing of servers, apps' folders or engines.
//!
//! Every host function is charged: the call by [`HostCtx::charge_call`], which the runtime's call
//! hook calls, and the bytes it carries by the function itself (`price.rs`).

mod absent;
pub mod auth;
pub mod bindings;
mod budget;
pub mod cache;
mod config;
pub mod data;
mod entry;
pub mod files;
pub mod fuzz;
pub mod http;
mod identity;
mod ids;
pub mod jobs;
mod log;
pub mod messaging;
mod meter;
pub mod permissions;
pub mod price;
mod secrets;
mod table;
#[cfg(test)]
mod testing;
mod timezone;
mod wasi;

use std::sync::Arc;

use wasmtime::component::{Linker, Resource};

pub use crate::budget::Budget;
pub use crate::cache::Cache;
pub use crate::entry::{Entry, HostLimits, Kind, Secrets};
pub use crate::files::{Bucket, Buckets, FileLimits, FileStore};
pub use crate::http::{
    BrokenOff, Egress, EgressClient, EgressFault, EgressPolicy, FetchLimits, GuestBody, HeadError,
    HttpFault, IncomingBody, ResponseHandle,
};
pub use crate::identity::{Caller, Role};
pub use crate::ids::{AppId, AppName, ComponentName, InvalidName, InvocationId};
pub use crate::log::{Level, LogLine, LogSink, line_size};
pub use crate::messaging::Messages;
pub use crate::meter::{Exceeded, HostUsage, MemoryBudget, MemoryLimiter};
pub use crate::wasi::cli::GuestExit;

use crate::data::{Actor, Authority, Transaction};
use crate::log::Log;
use crate::meter::{Meter, Weight};
use crate::table::{Stored, Table};

/// One invocation, seen by its host: the `T` of `Store<T>`.
///
/// Making one allocates the resource table and nothing else. Dropping it writes what is left in the
/// buffers of standard output and error, breaks off a response body that was not finished, and gives
/// the instance's memory back to its [`MemoryBudget`].
pub struct HostCtx {
    entry: Arc<Entry>,
    standing: Standing,
    /// The transaction that the guest has opened itself.
    open: Option<Transaction>,
    table: Table,
    meter: Meter,
    memory: MemoryLimiter,
    log: Log,
}

/// Where an invocation stands among others.
#[derive(Clone)]
pub struct Standing {
    pub caller: Caller,
    pub invocation: InvocationId,
    /// How many after-triggers stand between it and the outside: 0 for a request.
    pub depth: u32,
    /// The transaction that it is part of: a procedure's, or the one of the write that asks a trigger.
    pub within: Option<Transaction>,
    /// What the root has left: this invocation itself, or the one that caused it.
    pub budget: Option<Arc<Budget>>,
}

impl Standing {
    /// A request from outside.
    pub fn request(caller: Caller, invocation: InvocationId) -> Standing {
        Standing {
            caller,
            invocation,
            depth: 0,
            within: None,
            budget: None,
        }
    }
}

impl HostCtx {
    pub fn new(entry: Arc<Entry>, standing: Standing, log: Arc<dyn LogSink>) -> Self {
        HostCtx {
            table: Table::new(entry.limits.handles_max),
            meter: Meter::new(),
            memory: MemoryLimiter::new(&entry.limits, entry.memory.clone()),
            log: Log::new(log, standing.invocation),
            entry,
            standing,
            open: None,
        }
    }

    pub fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// What the guest has left, for whom it causes.
    pub fn budget(&self) -> Option<&Arc<Budget>> {
        self.standing.budget.as_ref()
    }

    /// The first argument of `wasi:http/incoming-handler.handle`.
    ///
    /// # Errors
    /// [`Exceeded::Handles`].
    pub fn incoming_request(
        &mut self,
        request: ::http::Request<IncomingBody>,
    ) -> wasmtime::Result<Resource<bindings::IncomingRequest>> {
        self.push(Box::new(http::message::IncomingRequest::new(request)))
    }

    /// The second argument of `wasi:http/incoming-handler.handle`, and where its answer will be.
    ///
    /// # Errors
    /// [`Exceeded::Handles`].
    pub fn response_outparam(
        &mut self,
    ) -> wasmtime::Result<(Resource<bindings::ResponseOutparam>, ResponseHandle)> {
        let (outparam, handle) = http::response::pair();
        Ok((self.push(outparam)?, handle))
    }

    /// What the invocation has taken so far.
    pub fn usage(&self) -> HostUsage {
        HostUsage {
            memory_peak_bytes: self.memory.bytes_peak,
            memory_denied: self.memory.denied,
            memory_exhausted: self.memory.exhausted,
            table_denied: self.memory.table_denied,
            log_bytes: self.log.bytes,
            ..self.meter.usage
        }
    }

    /// For `store.limiter(|ctx| ctx.limiter())`.
    pub fn limiter(&mut self) -> &mut MemoryLimiter {
        &mut self.memory
    }

    /// Counts one call from the guest into the host; for the call hook, when a host function begins.
    pub fn charge_call(&mut self) {
        self.meter.call();
    }

    /// Fuel for host work since the last time; to be taken from the store's fuel.
    pub fn take_pending_fuel(&mut self) -> u64 {
        self.meter.take_pending_fuel()
    }

    /// Charges header fields that cross the boundary, or are copied.
    fn charge_fields(&mut self, fields: &::http::HeaderMap) -> wasmtime::Result<()> {
        self.charge(http::fields::weight(fields))
    }

    /// Charges the arguments of a call.
    fn carry(&mut self, arguments: &[&dyn Weight]) -> wasmtime::Result<()> {
        self.charge(arguments.iter().map(|argument| argument.weight()).sum())
    }

    /// On whose behalf the guest's calls are made.
    fn actor(&self, authority: Authority) -> Actor {
        Actor {
            caller: self.standing.caller.clone(),
            authority,
            depth: self.standing.depth,
            cause: self.standing.invocation,
            budget: self.standing.budget.clone(),
            request: None,
        }
    }

    /// The transaction that this invocation is part of.
    fn within(&self) -> Option<&Transaction> {
        self.standing.within.as_ref()
    }

    /// The transaction that the guest has opened itself.
    fn open(&self) -> Option<&Transaction> {
        self.open.as_ref()
    }

    /// The transaction that what the guest does now is part of.
    fn transaction(&self) -> Option<&Transaction> {
        self.open.as_ref().or(self.standing.within.as_ref())
    }

    fn set_open(&mut self, transaction: Option<Transaction>) {
        self.open = transaction;
    }

    /// Charges bytes that cross the boundary.
    fn charge(&mut self, bytes: usize) -> wasmtime::Result<()> {
        Ok(self.meter.bytes(bytes, &self.entry.limits)?)
    }

    /// Adds a resource, as the bindings' type `W`.
    fn push<S: Stored, W: 'static>(&mut self, resource: S) -> wasmtime::Result<Resource<W>> {
        Ok(Resource::new_own(self.table.push(resource)?))
    }

    fn push_child<S: Stored, W: 'static>(
        &mut self,
        resource: S,
        parent: u32,
    ) -> wasmtime::Result<Resource<W>> {
        Ok(Resource::new_own(self.table.push_child(resource, parent)?))
    }
}

impl Drop for HostCtx {
    fn drop(&mut self) {
        self.log.end(&self.entry);
    }
}

/// Links everything a guest may import: `pumice:platform`, and of WASI 0.2 what has a meaning here.
/// Files and sockets are linked and shut: no directory is open, no socket can be made.
///
/// # Errors
/// When the linker holds one of the names already.
pub fn add_to_linker(linker: &mut Linker<HostCtx>) -> wasmtime::Result<()> {
    bindings::add_to_linker(linker)?;
    wasi::shut::add_to_linker(linker)
}
