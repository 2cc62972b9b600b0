//! Messages to an app's connected clients, on their way within this process.
//!
//! The hub hands each message to whoever serves sockets here. It keeps nothing for who comes later.

mod host;

use std::fmt;
use std::sync::Arc;

use serde::de::IgnoredAny;
use tokio::sync::broadcast;
use uuid::Uuid;

use crate::identity::Caller;

/// The longest name of a channel or an event, as in the dialect's sockets, whose frames count a name's
/// length in one byte.
///
/// Source: `protocol/realtime.md` §2, §4.
pub const NAME_BYTES_MAX: usize = 255;
/// The longest payload.
pub const PAYLOAD_BYTES_MAX: usize = 256 << 10;
/// Messages that wait for the slowest subscriber; with the longest payloads they are 64 MiB.
pub const WAITING_MAX: usize = 256;

/// For whom a message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Everybody on the channel.
    Channel(Arc<str>),
    /// Every socket of one user.
    User(Uuid),
    Everyone,
}

/// A message that has been checked. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    target: Target,
    event: Arc<str>,
    payload: Arc<str>,
    /// Who caused the invocation that sends it.
    caller: Caller,
}

/// Why a message is not one, or cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessagingError {
    #[error("this server has no messaging for this app")]
    NotConfigured,
    #[error("the name of a channel or an event has 1 to {NAME_BYTES_MAX} bytes")]
    InvalidName,
    #[error("a user is named by a UUID")]
    InvalidUser,
    #[error("a payload has at most {PAYLOAD_BYTES_MAX} bytes")]
    TooLarge,
    #[error("a payload is JSON")]
    NotJson,
}

impl Target {
    /// # Errors
    /// [`MessagingError::InvalidName`].
    pub fn channel(name: &str) -> Result<Self, MessagingError> {
        check_name(name)?;
        Ok(Target::Channel(name.into()))
    }

    /// # Errors
    /// [`MessagingError::InvalidUser`].
    pub fn user(id: &str) -> Result<Self, MessagingError> {
        let id = id.parse().map_err(|_| MessagingError::InvalidUser)?;
        Ok(Target::User(id))
    }
}

impl Message {
    /// # Errors
    /// [`MessagingError::InvalidName`] of the event, [`MessagingError::TooLarge`],
    /// [`MessagingError::NotJson`].
    pub fn new(
        caller: Caller,
        target: Target,
        event: &str,
        payload: &str,
    ) -> Result<Self, MessagingError> {
        check_name(event)?;
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(MessagingError::TooLarge);
        }
        if serde_json::from_str::<IgnoredAny>(payload).is_err() {
            return Err(MessagingError::NotJson);
        }
        Ok(Message {
            target,
            event: event.into(),
            payload: payload.into(),
            caller,
        })
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    pub fn event(&self) -> &str {
        &self.event
    }

    /// JSON text, as it was sent.
    pub fn payload(&self) -> &str {
        &self.payload
    }

    /// Who caused the invocation that sends it.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }
}

fn check_name(name: &str) -> Result<(), MessagingError> {
    if (1..=NAME_BYTES_MAX).contains(&name.len()) {
        Ok(())
    } else {
        Err(MessagingError::InvalidName)
    }
}

/// One app's messages. Cheap to clone; clones are the same hub. The default is no hub at all, and
/// answers [`MessagingError::NotConfigured`].
#[derive(Clone, Default)]
pub struct Messages(Option<broadcast::Sender<Message>>);

impl Messages {
    pub fn new() -> Self {
        Messages(Some(broadcast::Sender::new(WAITING_MAX)))
    }

    fn hub(&self) -> Result<&broadcast::Sender<Message>, MessagingError> {
        self.0.as_ref().ok_or(MessagingError::NotConfigured)
    }

    /// Gives `message` to all who have subscribed. That there is nobody is no error.
    ///
    /// # Errors
    /// [`MessagingError::NotConfigured`].
    pub fn publish(&self, message: Message) -> Result<(), MessagingError> {
        // It errs only when nobody listens.
        let _ = self.hub()?.send(message);
        Ok(())
    }

    /// All messages from now on, in one order for all. Whoever falls behind by more than
    /// [`WAITING_MAX`] is told how many it has lost.
    ///
    /// # Errors
    /// [`MessagingError::NotConfigured`].
    pub fn subscribe(&self) -> Result<broadcast::Receiver<Message>, MessagingError> {
        Ok(self.hub()?.subscribe())
    }

    /// Who is on a channel: a JSON object from presence key to what each has told of itself. It is `{}`,
    /// which is the truth as long as nothing serves sockets and so nobody is connected.
    ///
    /// # Errors
    /// [`MessagingError::InvalidName`], [`MessagingError::NotConfigured`].
    pub fn presence(&self, channel: &str) -> Result<String, MessagingError> {
        self.hub()?;
        check_name(channel)?;
        Ok("{}".to_owned())
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subscribers = self.0.as_ref().map(broadcast::Sender::receiver_count);
        f.debug_struct("Messages")
            .field("subscribers", &subscribers)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use tokio::sync::broadcast::error::TryRecvError;

    fn message(event: &str, payload: &str) -> Result<Message, MessagingError> {
        Message::new(testing::caller(), Target::Everyone, event, payload)
    }

    #[test]
    fn messages_are_checked_at_their_edges() {
        use MessagingError::{InvalidName, NotJson, TooLarge};
        let text = |length: usize| "x".repeat(length);
        let json = |length: usize| format!("\"{}\"", text(length - 2));
        for (event, payload, expect) in [
            (text(1), "{}".to_owned(), None),
            (text(255), json(PAYLOAD_BYTES_MAX), None),
            (text(1), "null".into(), None),
            (text(1), " [1, {\"a\": 1e999}] ".into(), None),
            (text(0), "{}".into(), Some(InvalidName)),
            (text(256), "{}".into(), Some(InvalidName)),
            (text(1), json(PAYLOAD_BYTES_MAX + 1), Some(TooLarge)),
            (text(1), "".into(), Some(NotJson)),
            (text(1), "{}{}".into(), Some(NotJson)),
            (text(1), "{'a': 1}".into(), Some(NotJson)),
            (text(1), "\"\u{0}\"".into(), Some(NotJson)),
            (text(1), "[".repeat(PAYLOAD_BYTES_MAX), Some(NotJson)),
        ] {
            assert_eq!(
                message(&event, &payload).err(),
                expect,
                "{event} {payload:.20}"
            );
        }
        assert_eq!(Target::channel(""), Err(InvalidName));
        assert_eq!(Target::channel(&text(256)), Err(InvalidName));
        assert!(Target::channel(&text(255)).is_ok());
        assert_eq!(Target::user("ada"), Err(MessagingError::InvalidUser));
    }

    #[test]
    fn all_subscribers_get_all_messages_in_one_order() {
        let messages = Messages::new();
        messages.publish(message("before", "{}").unwrap()).unwrap();
        let mut one = messages.subscribe().unwrap();
        let mut other = messages.clone().subscribe().unwrap();
        for event in ["a", "b"] {
            messages.publish(message(event, "1").unwrap()).unwrap();
        }
        for receiver in [&mut one, &mut other] {
            assert_eq!(receiver.try_recv().unwrap().event(), "a");
            assert_eq!(receiver.try_recv().unwrap().event(), "b");
            assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        }
    }

    #[test]
    fn who_is_too_slow_is_told() {
        let messages = Messages::new();
        let mut slow = messages.subscribe().unwrap();
        for _ in 0..WAITING_MAX + 2 {
            messages.publish(message("a", "1").unwrap()).unwrap();
        }
        assert_eq!(slow.try_recv(), Err(TryRecvError::Lagged(2)));
        assert_eq!(slow.try_recv().unwrap().event(), "a");
    }

    #[test]
    fn two_apps_never_hear_each_other() {
        let shop = Messages::new();
        let mut other = Messages::new().subscribe().unwrap();
        shop.publish(message("a", "1").unwrap()).unwrap();
        assert!(other.try_recv().is_err());
    }
}
