//! Hands codes and links over to whoever brings them: the app's hook, or the mailer.

use pumice_host_api::Kind;
use pumice_host_api::auth::User;

use super::asked::Asked;
use super::codes::Code;
use super::shown;
use crate::entries::hook::{Channel, OutgoingMessage};
use crate::services::auth::fault::Fault;
use crate::services::mail::{Letter, Mail};
use crate::services::rates::{Key, auth as rates};

/// What is sent, and to whom.
pub struct Message<'a> {
    pub letter: Letter,
    /// `type` of the link: `signup`, `magiclink`, `recovery`, `invite`, `email_change`.
    pub link_type: &'a str,
    pub user: &'a User,
    pub to: &'a str,
    pub code: &'a Code,
    pub redirect_to: &'a str,
    pub new_email: Option<&'a str>,
}

impl Message<'_> {
    /// Where its link leads.
    pub fn link(&self, asked: &Asked) -> String {
        link(asked, &self.code.link, self.link_type, self.redirect_to)
    }
}

/// The link that opens what `token_hash` was made for.
pub fn link(asked: &Asked, token_hash: &str, link_type: &str, redirect_to: &str) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("token", token_hash)
        .append_pair("type", link_type)
        .append_pair("redirect_to", redirect_to)
        .finish();
    format!("{}/verify?{query}", asked.base())
}

/// Sends by mail.
///
/// # Errors
/// What the app's hook says; 500 when the server has no way to send.
pub async fn mail(asked: &Asked, message: Message<'_>) -> Result<(), Fault> {
    let link = message.link(asked);
    let site = asked
        .settings
        .site_url
        .clone()
        .unwrap_or_else(|| asked.app_url());
    if hook(asked, Channel::Email, &message, Some(link.clone()), &site).await? {
        return Ok(());
    }
    // Counted here, so that requests for addresses that nobody has use nothing up.
    let counted = asked
        .api
        .rates
        .limit(&asked.app, &rates::MAIL_APP, Key::App, 1);
    counted.await?;
    let sent = asked
        .api
        .mailer
        .send(
            &asked.app,
            Mail {
                letter: message.letter,
                to: message.to,
                confirmation_url: Some(&link),
                token: &message.code.digits,
                token_hash: &message.code.link,
                site_url: &site,
                email: message.user.email.as_deref().unwrap_or(message.to),
                new_email: message.new_email,
                redirect_to: message.redirect_to,
                data: &message.user.user_metadata,
            },
        )
        .await;
    Ok(sent?)
}

/// Whether anything can bring a message to a phone.
///
/// # Errors
/// 422 when the app has no hook for it.
pub fn can_text(asked: &Asked, phone: &str) -> Result<(), Fault> {
    let revision = asked.app.revision.load();
    let hook = revision
        .as_ref()
        .and_then(|revision| revision.hook(Kind::SendMessage));
    match hook.is_some() || asked.settings.test_codes.contains_key(phone) {
        true => Ok(()),
        false => Err(no_way()),
    }
}

fn no_way() -> Fault {
    Fault::new(
        http::StatusCode::UNPROCESSABLE_ENTITY,
        "sms_send_failed",
        "The app has no hook `send-message` that could send to a phone",
    )
}

/// Sends by a message to a phone: there is no way but the app's hook.
///
/// # Errors
/// 422 without a hook, and what the hook says.
pub async fn text(asked: &Asked, message: Message<'_>) -> Result<(), Fault> {
    if asked.settings.test_codes.contains_key(message.to) {
        return Ok(());
    }
    let site = asked
        .settings
        .site_url
        .clone()
        .unwrap_or_else(|| asked.app_url());
    match hook(asked, Channel::Sms, &message, None, &site).await? {
        true => Ok(()),
        false => Err(no_way()),
    }
}

async fn hook(
    asked: &Asked,
    channel: Channel,
    message: &Message<'_>,
    link: Option<String>,
    site: &str,
) -> Result<bool, Fault> {
    let kind = match (message.letter, message.link_type) {
        (_, "phone_change") => "phone_change",
        (Letter::Confirmation, _) if channel == Channel::Sms => "otp",
        (letter, _) => letter.name(),
    };
    let outgoing = OutgoingMessage {
        channel,
        to: message.to.to_owned(),
        kind,
        token: message.code.digits.clone(),
        token_hash: Some(message.code.link.clone()),
        confirmation_url: link,
        site_url: site.to_owned(),
        redirect_to: Some(message.redirect_to.to_owned()),
        user: shown::user(message.user),
        new_address: message.new_email.map(str::to_owned),
    };
    Ok(asked.api.hooks.send_message(&asked.app, outgoing).await?)
}
