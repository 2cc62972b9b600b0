//! An entry and a sink for the unit tests of this crate.

use std::sync::Arc;

use parking_lot::Mutex;
use uuid::Uuid;

use crate::{
    AppId, AppName, Cache, Caller, ComponentName, Egress, Entry, HostCtx, HostLimits, InvocationId,
    Kind, LogLine, LogSink, Role, Secrets, Standing,
};

/// Keeps lines as `level message`.
#[derive(Default)]
pub(crate) struct Lines(Mutex<Vec<String>>);

impl Lines {
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }
}

impl LogSink for Lines {
    fn line(&self, line: LogLine<'_>) {
        let level = format!("{:?}", line.level).to_lowercase();
        self.0.lock().push(format!("{level} {}", line.message));
    }
}

pub(crate) fn entry(limits: HostLimits) -> (Arc<Entry>, Arc<Lines>) {
    let entry = Entry {
        app_id: AppId(Uuid::nil()),
        app: AppName::new("shop").unwrap(),
        component: ComponentName::new("hello").unwrap(),
        kind: Kind::Function,
        revision: 1,
        environment: Vec::new(),
        config: Default::default(),
        secrets: Secrets::default(),
        egress: Egress::default(),
        cache: Cache::default(),
        data: None,
        scripts: Arc::default(),
        files: Default::default(),
        buckets: Default::default(),
        messages: Default::default(),
        memory: Arc::default(),
        limits,
    };
    (Arc::new(entry), Arc::default())
}

pub(crate) fn invocation() -> InvocationId {
    InvocationId(Uuid::nil())
}

/// A context of that entry, called by nobody in particular.
pub(crate) fn ctx(limits: HostLimits) -> HostCtx {
    let (entry, sink) = entry(limits);
    HostCtx::new(entry, Standing::request(caller(), invocation()), sink)
}

pub(crate) fn caller() -> Caller {
    Caller {
        role: Role::Anon,
        user_id: None,
        claims: "{}".into(),
    }
}
