//! A mail as it goes over the wire, and addresses that can stand in one.

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox as From, Message, MultiPart, SinglePart};

use super::MailError;
use super::templates::Rendered;

/// A recipient. Nothing in it can end a header or a command of SMTP.
pub fn address(text: &str) -> Result<lettre::Address, MailError> {
    let refused = || MailError::Refused("its address is none".to_owned());
    if text.contains(|sign: char| sign.is_control() || sign.is_whitespace()) {
        return Err(refused());
    }
    text.parse().map_err(|_| refused())
}

/// A mail. Its subject has no control character.
pub fn message(
    from: From,
    reply_to: Option<From>,
    to: lettre::Address,
    rendered: Rendered,
) -> Result<Message, MailError> {
    let id = format!(
        "<{}@{}>",
        uuid::Uuid::new_v4().simple(),
        from.email.domain()
    );
    let mut message = Message::builder()
        .from(from)
        .to(From::new(None, to))
        .subject(rendered.subject)
        .date_now()
        .message_id(Some(id))
        // Nobody's absence is to be answered with (RFC 3834).
        .raw_header(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ));
    if let Some(reply_to) = reply_to {
        message = message.reply_to(reply_to);
    }
    let built = match (rendered.text, rendered.html) {
        (Some(text), Some(html)) => {
            message.multipart(MultiPart::alternative_plain_html(text, html))
        }
        (None, Some(html)) => message.singlepart(SinglePart::html(html)),
        (text, None) => message.singlepart(SinglePart::plain(text.unwrap_or_default())),
    };
    built.map_err(|error| MailError::Refused(error.to_string()))
}

/// An address as logs show it: `a***@example.com`.
pub fn redacted(address: &str) -> String {
    match (address.chars().next(), address.rsplit_once('@')) {
        (Some(first), Some((_, domain))) => format!("{first}***@{domain}"),
        _ => "***".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_could_end_a_header_are_refused() {
        for bad in [
            "",
            "a",
            "a@",
            "@b.co",
            "a@b.co\r\nBcc: c@d.co",
            "a@b.co\n",
            "a\0@b.co",
            "a b@c.co",
            "A <a@b.co>",
            "a@b.co,c@d.co",
        ] {
            assert!(
                matches!(address(bad), Err(MailError::Refused(_))),
                "{bad:?}"
            );
        }
        for good in ["a@b.co", "a+b@c.d.example", "o'neil@x.co"] {
            assert!(address(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn an_address_is_told_by_its_first_letter() {
        assert_eq!(redacted("ada@example.com"), "a***@example.com");
        assert_eq!(redacted("é@x"), "é***@x");
        assert_eq!(redacted("nobody"), "***");
    }

    #[test]
    fn a_mail_has_what_it_must() {
        let rendered = Rendered {
            subject: "Grüße".to_owned(),
            text: Some("text\n".to_owned()),
            html: Some("<p>html</p>".to_owned()),
        };
        let from = "Shop <no-reply@shop.example>".parse().unwrap();
        let reply = "help@shop.example".parse().ok();
        let mail = message(from, reply, "a@b.co".parse().unwrap(), rendered).unwrap();
        let text = String::from_utf8(mail.formatted()).unwrap();
        for line in [
            "From: Shop <no-reply@shop.example>\r\n",
            "To: a@b.co\r\n",
            "Reply-To: help@shop.example\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "MIME-Version: 1.0\r\n",
            "Content-Type: multipart/alternative;",
            "@shop.example>\r\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(text.contains("Subject: =?utf-8?b?"), "{text}");
        assert!(text.contains("Date: ") && text.contains("Message-ID: <"));
    }
}
