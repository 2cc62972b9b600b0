//! What `pumice-bindings` writes: the host's interfaces in `imports`, and a file for each kind of guest with
//! the handler it exports.

pub mod after_trigger;
pub mod before_trigger;
pub mod before_user_created;
pub mod custom_claims;
pub mod imports;
pub mod procedure;
pub mod script;
pub mod send_message;
