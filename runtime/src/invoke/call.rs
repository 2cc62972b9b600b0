//! What is asked of a guest, and what it says: the one place where the words of `wit/` meet ours.

use pumice_host_api::Caller;
use pumice_host_api::bindings::handlers::before_trigger_handler::Verdict as GuestVerdict;
use pumice_host_api::bindings::handlers::script_handler::Job as GuestJob;
use pumice_host_api::bindings::{self, IncomingRequest, Rejection, ResponseOutparam};
use pumice_host_api::data::hooks::{Batch, Operation, Verdict};
use wasmtime::component::Resource;

/// What to ask of a guest that is no HTTP function.
pub struct Call(Export);

/// The export to call, with its arguments.
pub(super) enum Export {
    Function {
        request: Resource<IncomingRequest>,
        outparam: Resource<ResponseOutparam>,
    },
    Check(bindings::Batch),
    React(bindings::Batch),
    Procedure(String),
    Script(GuestJob),
}

/// One attempt at a job.
pub struct ScriptJob {
    /// The same for every attempt.
    pub id: String,
    /// From 1.
    pub attempt: u32,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub scheduled_for: u64,
    /// JSON.
    pub payload: String,
}

/// What a guest said.
pub enum Answer {
    /// A function has ended; its response went another way.
    Done,
    /// Of a before-trigger: one for each change.
    Verdicts(Vec<Verdict>),
    /// Of an after-trigger or a script: done, or why it wants to be called again.
    Ended(Result<(), String>),
    /// Of a procedure: JSON.
    Returned(String),
    /// Of a procedure: its refusal.
    Refused { code: String, message: String },
}

impl Call {
    /// A before-trigger, for its verdicts.
    pub fn check(batch: &Batch, caller: &Caller) -> Call {
        Call(Export::Check(guest_batch(batch, caller)))
    }

    /// An after-trigger.
    pub fn react(batch: &Batch, caller: &Caller) -> Call {
        Call(Export::React(guest_batch(batch, caller)))
    }

    /// A procedure; `arguments` is a JSON object.
    pub fn procedure(arguments: String) -> Call {
        Call(Export::Procedure(arguments))
    }

    pub fn script(job: ScriptJob) -> Call {
        Call(Export::Script(GuestJob {
            id: job.id,
            attempt: job.attempt,
            scheduled_for: job.scheduled_for,
            payload: job.payload,
        }))
    }

    pub(super) fn into_export(self) -> Export {
        self.0
    }
}

pub(super) fn verdict(verdict: GuestVerdict) -> Verdict {
    match verdict {
        GuestVerdict::Keep => Verdict::Keep,
        GuestVerdict::Replace(row) => Verdict::Replace(row),
        GuestVerdict::Skip => Verdict::Skip,
        GuestVerdict::Reject(Rejection { code, message }) => Verdict::Reject { code, message },
    }
}

pub(super) fn returned(result: Result<String, Rejection>) -> Answer {
    match result {
        Ok(json) => Answer::Returned(json),
        Err(Rejection { code, message }) => Answer::Refused { code, message },
    }
}

fn guest_batch(batch: &Batch, caller: &Caller) -> bindings::Batch {
    let changes = batch.changes.iter().map(|change| bindings::Change {
        old: change.old.clone(),
        new: change.new.clone(),
    });
    bindings::Batch {
        table: batch.table.clone(),
        operation: match batch.operation {
            Operation::Insert => bindings::GuestOperation::Insert,
            Operation::Update => bindings::GuestOperation::Update,
            Operation::Delete => bindings::GuestOperation::Delete,
        },
        changes: changes.collect(),
        caller: bindings::GuestCaller {
            role: caller.role.as_str().to_owned(),
            user_id: caller.user_id.map(|id| id.to_string()),
            claims: caller.claims.as_ref().to_owned(),
        },
    }
}
