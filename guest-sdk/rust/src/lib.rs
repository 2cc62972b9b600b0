//! Write functions, triggers, procedures, scripts and hooks for Pumice in Rust.
//!
//! ```ignore
//! use pumice::http::{Request, Response};
//! use pumice::Result;
//!
//! #[pumice::function]
//! fn hello(request: Request) -> Result<Response> {
//!     let name = request.query("name").unwrap_or("world".into());
//!     Ok(Response::text(format!("Hello, {name}!")))
//! }
//! ```
//!
//! There is an attribute for each kind: [`macro@function`], [`macro@before_trigger`], [`macro@after_trigger`],
//! [`macro@procedure`], [`macro@script`], and for the hooks of an app's users [`macro@before_user_created`],
//! [`macro@custom_claims`], [`macro@send_message`]. A crate may carry several, one of each.
//!
//! Every call runs in a fresh instance: statics are as the program starts with them, and nothing a call
//! leaves in memory is seen by another. What should last goes to [`cache`] or to the app's data.
//!
//! The standard library works, except for what a sandbox has not: files, sockets, threads and processes.
//! Time, random numbers and hash seeds come from the host at run time. What is printed goes to the app's
//! log. A panic prints its message there and ends the call with status 500.

#[rustfmt::skip]
#[allow(
    unused_qualifications,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
mod bindings;

mod error;
pub mod http;

mod caller;
mod hook;
mod procedure;
mod rejection;
mod row;
mod script;
mod stream;
mod trigger;

#[cfg(feature = "cache")]
pub mod cache;
#[cfg(feature = "config")]
pub mod config;
#[cfg(feature = "data")]
pub mod data;
#[cfg(feature = "files")]
pub mod files;
#[cfg(feature = "identity")]
pub mod identity;
#[cfg(feature = "jobs")]
pub mod jobs;
#[cfg(feature = "log")]
pub mod log;
#[cfg(feature = "messaging")]
pub mod messaging;
#[cfg(feature = "secrets")]
pub mod secrets;

pub use caller::Caller;
pub use error::{Error, Result};
pub use hook::{Channel, ClaimsRequest, Decision, Message, NewUser, Sent, UserDecision};
pub use procedure::Reply;
pub use rejection::{Rejection, reject};
pub use script::Job;
pub use trigger::{Batch, Change, Changes, Judgement, Operation, Outcome, Verdict};

/// Makes a function the app's answer to HTTP requests.
///
/// The function is synchronous, takes one [`http::Request`] or nothing, and returns anything that is
/// [`http::IntoResponse`]: a [`http::Response`], [`http::Json`], text, bytes, or a [`Result`] of one of
/// them. One function for each crate; its name, route and access stand in `pumice.toml`.
pub use pumice_macros::function;

/// Makes a function the judge of rows before they change.
///
/// It takes a [`Change`] of a type that reads the table's rows, and returns a [`Verdict`], nothing (which keeps
/// the row), or a `Result` of either with a [`Rejection`], which refuses the whole statement. It is called once
/// for each row. A row that does not fit the type is refused with the code `invalid_row` and the field's name.
///
/// It may read and not write: the change it stands before may be tried again, or refused.
///
/// ```ignore
/// use pumice::{Change, Rejection, Verdict, reject};
///
/// #[derive(serde::Deserialize, serde::Serialize)]
/// struct Order { total_cents: i64 }
///
/// #[pumice::before_trigger]
/// fn check(change: Change<Order>) -> Result<Verdict<Order>, Rejection> {
///     if change.row().total_cents < 0 {
///         return Err(reject("negative_total", "total_cents must not be negative"));
///     }
///     Ok(Verdict::Keep)
/// }
/// ```
pub use pumice_macros::before_trigger;

/// Makes a function that is told after rows have changed, at least once, in order for each row.
///
/// It takes a [`Change`] and is called once for each, or a [`Batch`]. It returns nothing or a `Result`; an error
/// is a wish to be called again later, and its text goes to the log.
pub use pumice_macros::after_trigger;

/// Makes a function that clients call by name, inside one transaction.
///
/// It takes a type that reads the arguments, a JSON object, or nothing; it returns a `Result` of anything with a
/// JSON form. An error is a [`Rejection`] or becomes one: it rolls everything back and reaches the client.
pub use pumice_macros::procedure;

/// Makes a function that is run as a job.
///
/// It takes a [`Job`] with a type that reads the payload, or nothing, and returns nothing or a `Result`; an error
/// counts as a failed attempt, and its text goes to the log.
pub use pumice_macros::script;

/// Makes a function the app's say in who becomes a user.
///
/// It takes a [`NewUser`], and returns a [`Decision`], nothing (which allows the user), or a `Result` of either
/// with a [`Rejection`], whose code and message reach whoever signs up. It may read and not write.
///
/// ```ignore
/// use pumice::{Decision, NewUser, Rejection, reject};
///
/// #[pumice::before_user_created]
/// fn check(user: NewUser) -> Result<Decision, Rejection> {
///     if !user.email.as_deref().is_some_and(|email| email.ends_with("@school.example")) {
///         return Err(reject("not_of_the_school", "sign up with your school's address"));
///     }
///     let mut app_metadata = user.app_metadata;
///     app_metadata["plan"] = "free".into();
///     Ok(Decision::Replace { user_metadata: user.user_metadata, app_metadata })
/// }
/// ```
pub use pumice_macros::before_user_created;

/// Makes a function the author of access tokens' claims.
///
/// It takes a [`ClaimsRequest`] and returns a `Result` of the claims: anything with a JSON form that is an object.
/// The claims that say who the user is and how they signed in stay as they are, whatever it returns. It is called
/// for each token, at refresh as well, and may read and not write.
///
/// ```ignore
/// use pumice::{ClaimsRequest, Rejection};
/// use serde_json::Value;
///
/// #[pumice::custom_claims]
/// fn claims(request: ClaimsRequest) -> Result<Value, Rejection> {
///     let mut claims = request.claims;
///     claims["plan"] = claims["app_metadata"]["plan"].clone();
///     Ok(claims)
/// }
/// ```
pub use pumice_macros::custom_claims;

/// Makes a function the sender of mails and text messages to the app's users: the host then sends none.
///
/// It takes a [`Message`] and returns nothing, or a `Result` with a [`Rejection`], whose code and message reach
/// the client. It may write, and call the hosts in its `egress`.
pub use pumice_macros::send_message;

/// What every entry into the guest does first.
pub(crate) fn begin() {
    #[cfg(feature = "log-crate")]
    crate::log::receive_log_crate();
}

/// What the attributes expand to; not for use by hand, and free to change.
#[doc(hidden)]
pub mod __export {
    pub use serde::de::IgnoredAny;

    pub mod function {
        pub use crate::http::answer;
        pub use wasip2::exports::http::incoming_handler::Guest;
        pub use wasip2::http::proxy::export;
        pub use wasip2::http::types::{IncomingRequest, ResponseOutparam};
    }

    pub mod before_trigger {
        pub use crate::bindings::before_trigger::{export, exports};
        pub use crate::trigger::check as answer;
        pub use exports::pumice::platform::before_trigger_handler::{Batch, Guest, Verdict};
    }

    pub mod after_trigger {
        pub use crate::bindings::after_trigger::{export, exports};
        pub use crate::trigger::react as answer;
        pub use exports::pumice::platform::after_trigger_handler::{Batch, Guest};
    }

    pub mod procedure {
        pub use crate::bindings::procedure::{export, exports};
        pub use crate::procedure::call as answer;
        pub use exports::pumice::platform::procedure_handler::{Guest, Rejection};
    }

    pub mod script {
        pub use crate::bindings::script::{export, exports};
        pub use crate::script::run as answer;
        pub use exports::pumice::platform::script_handler::{Guest, Job};
    }

    pub mod before_user_created {
        pub use crate::bindings::before_user_created::{export, exports};
        pub use crate::hook::check as answer;
        pub use exports::pumice::platform0_2_0::before_user_created_handler::{
            Guest, NewUser, Rejection, UserDecision,
        };
    }

    pub mod custom_claims {
        pub use crate::bindings::custom_claims::{export, exports};
        pub use crate::hook::claims as answer;
        pub use exports::pumice::platform0_2_0::custom_claims_handler::{
            ClaimsRequest, Guest, Rejection,
        };
    }

    pub mod send_message {
        pub use crate::bindings::send_message::{export, exports};
        pub use crate::hook::send as answer;
        pub use exports::pumice::platform0_2_0::send_message_handler::{Guest, Message, Rejection};
    }
}
