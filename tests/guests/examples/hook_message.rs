//! A send-message hook that writes each message into the table `sent` in place of sending it: `channel`, `recipient`,
//! `kind`, `token`, `token_hash`, `link`, `user_id`. It refuses to write to `nobody@…`.

use pumice::{Channel, Message, Rejection, data, reject};
use serde_json::json;

#[pumice::send_message]
fn send(message: Message) -> Result<(), Rejection> {
    if message.to.starts_with("nobody@") {
        return Err(reject("undeliverable", "nobody reads mail there"));
    }
    data::table("sent").as_app().insert(&json!({
        "channel": match message.channel {
            Channel::Email => "email",
            Channel::Sms => "sms",
        },
        "recipient": message.to,
        "kind": message.kind,
        "token": message.token,
        "token_hash": message.token_hash,
        "link": message.confirmation_url,
        "user_id": message.user["id"],
    }))?;
    Ok(())
}
