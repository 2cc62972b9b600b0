//! What is asked of a guest, and what it says: the one place where the words of `wit/` meet ours.

use pumice_host_api::Caller;
use pumice_host_api::bindings::handlers::before_trigger_handler::Verdict as GuestVerdict;
use pumice_host_api::bindings::handlers::script_handler::Job as GuestJob;
use pumice_host_api::bindings::hooks::before_user_created_handler::{
    Metadata as GuestMetadata, NewUser as GuestNewUser, UserDecision,
};
use pumice_host_api::bindings::hooks::custom_claims_handler::ClaimsRequest as GuestClaimsRequest;
use pumice_host_api::bindings::hooks::send_message_handler::{
    Channel as GuestChannel, Message as GuestMessage,
};
use pumice_host_api::bindings::{self, IncomingRequest, Rejection, ResponseOutparam};
use pumice_host_api::data::hooks::{Batch, Operation, Verdict};
use serde_json::{Map, Value};
use uuid::Uuid;
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
    BeforeUserCreated(GuestNewUser),
    CustomClaims(GuestClaimsRequest),
    SendMessage(GuestMessage),
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

/// Somebody who is about to become a user.
pub struct NewUser {
    pub id: Uuid,
    pub email: Option<String>,
    /// Digits, without `+`.
    pub phone: Option<String>,
    pub user_metadata: Map<String, Value>,
    pub app_metadata: Map<String, Value>,
    pub is_anonymous: bool,
    /// `email`, `phone`, `anonymous`, or a provider's name.
    pub provider: String,
    /// The address that the request came from.
    pub ip: Option<String>,
}

/// An access token that is about to be signed.
pub struct ClaimsRequest {
    pub user_id: Uuid,
    /// All that it would claim.
    pub claims: Map<String, Value>,
    /// As in the claim `amr`; `token_refresh` at a refresh.
    pub method: String,
}

/// What a user is to be told, and by what. It holds a code: it is not to be logged.
pub struct OutgoingMessage {
    pub channel: Channel,
    /// An address, or a phone number's digits.
    pub to: String,
    /// `confirmation`, `invite`, `magic_link`, `recovery`, `email_change`, `phone_change`,
    /// `reauthentication` or `otp`.
    pub kind: &'static str,
    pub token: String,
    pub token_hash: Option<String>,
    pub confirmation_url: Option<String>,
    pub site_url: String,
    pub redirect_to: Option<String>,
    /// As `/auth/v1/user` shows them.
    pub user: Value,
    /// Of a change: what is to be theirs.
    pub new_address: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    Email,
    Sms,
}

/// What a guest said.
pub enum Answer {
    /// A function has ended; its response went another way.
    Done,
    /// Of a before-trigger: one for each change.
    Verdicts(Vec<Verdict>),
    /// Of an after-trigger or a script: done, or why it wants to be called again. Of the hook
    /// send-message: done.
    Ended(Result<(), String>),
    /// Of a procedure, or of the hook custom-claims: JSON.
    Returned(String),
    /// Of a procedure or a hook: its refusal.
    Refused { code: String, message: String },
    /// Of the hook before-user-created: the user may be made, with this metadata if there is one.
    Allowed(Option<NewMetadata>),
}

/// What a hook makes of a user's metadata: JSON, as it came.
pub struct NewMetadata {
    pub user: String,
    pub app: String,
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

    /// The hook before-user-created.
    pub fn new_user(user: &NewUser) -> Call {
        Call(Export::BeforeUserCreated(GuestNewUser {
            id: user.id.to_string(),
            email: user.email.clone(),
            phone: user.phone.clone(),
            user_metadata: object(&user.user_metadata),
            app_metadata: object(&user.app_metadata),
            is_anonymous: user.is_anonymous,
            provider: user.provider.clone(),
            ip: user.ip.clone(),
        }))
    }

    /// The hook custom-claims; `claims` is a JSON object.
    pub fn claims(user_id: Uuid, claims: String, method: String) -> Call {
        Call(Export::CustomClaims(GuestClaimsRequest {
            user_id: user_id.to_string(),
            claims,
            authentication_method: method,
        }))
    }

    /// The hook send-message.
    pub fn message(message: OutgoingMessage) -> Call {
        Call(Export::SendMessage(GuestMessage {
            channel: match message.channel {
                Channel::Email => GuestChannel::Email,
                Channel::Sms => GuestChannel::Sms,
            },
            to: message.to,
            kind: message.kind.to_owned(),
            token: message.token,
            token_hash: message.token_hash,
            confirmation_url: message.confirmation_url,
            site_url: message.site_url,
            redirect_to: message.redirect_to,
            user: message.user.to_string(),
            new_address: message.new_address,
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
    result.map_or_else(refused, Answer::Returned)
}

pub(super) fn decided(result: Result<UserDecision, Rejection>) -> Answer {
    result.map_or_else(refused, |decision| {
        Answer::Allowed(match decision {
            UserDecision::Allow => None,
            UserDecision::Replace(GuestMetadata {
                user_metadata: user,
                app_metadata: app,
            }) => Some(NewMetadata { user, app }),
        })
    })
}

pub(super) fn sent(result: Result<(), Rejection>) -> Answer {
    result.map_or_else(refused, |()| Answer::Ended(Ok(())))
}

fn refused(Rejection { code, message }: Rejection) -> Answer {
    Answer::Refused { code, message }
}

fn object(fields: &Map<String, Value>) -> String {
    serde_json::to_string(fields).unwrap_or_default()
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
