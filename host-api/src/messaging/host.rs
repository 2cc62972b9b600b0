use super::{Message, MessagingError, Target};
use crate::HostCtx;
use crate::bindings::pumice::platform::messaging::{self, Error};

type Answer<T> = wasmtime::Result<Result<T, Error>>;

impl HostCtx {
    /// Sends a guest's message: at once, or when the transaction it belongs to has committed.
    fn publish(&mut self, message: Message) -> Result<(), MessagingError> {
        let messages = self.entry.messages.clone();
        match self.transaction() {
            Some(transaction) => {
                transaction.on_commit(Box::new(move || {
                    // It was checked when it was made; nobody waits for the answer any more.
                    let _ = messages.publish(message);
                }));
                Ok(())
            }
            None => messages.publish(message),
        }
    }

    fn publish_checked(
        &mut self,
        target: &messaging::Target,
        event: &str,
        payload: &str,
    ) -> Result<(), MessagingError> {
        let target = match target {
            messaging::Target::Channel(name) => Target::channel(name)?,
            messaging::Target::User(id) => Target::user(id)?,
            messaging::Target::Everyone => Target::Everyone,
        };
        let message = Message::new(self.standing.caller.clone(), target, event, payload)?;
        self.publish(message)
    }
}

impl messaging::Host for HostCtx {
    fn publish(&mut self, target: messaging::Target, event: String, payload: String) -> Answer<()> {
        let name = match &target {
            messaging::Target::Channel(name) | messaging::Target::User(name) => name.len(),
            messaging::Target::Everyone => 0,
        };
        self.charge(name + event.len() + payload.len())?;
        Ok(match self.entry.kind.only_reads() {
            true => Err(Error::NotInBeforeTrigger),
            false => self
                .publish_checked(&target, &event, &payload)
                .map_err(Error::from),
        })
    }

    fn presence(&mut self, channel: String) -> Answer<String> {
        self.charge(channel.len())?;
        if self.entry.kind.only_reads() {
            return Ok(Err(Error::NotInBeforeTrigger));
        }
        match self.entry.messages.presence(&channel) {
            Ok(who) => {
                self.charge(who.len())?;
                Ok(Ok(who))
            }
            Err(error) => Ok(Err(error.into())),
        }
    }
}

impl From<MessagingError> for Error {
    fn from(error: MessagingError) -> Self {
        match error {
            MessagingError::NotConfigured => Error::NotConfigured,
            MessagingError::TooLarge => Error::TooLarge(error.to_string()),
            MessagingError::InvalidName | MessagingError::InvalidUser | MessagingError::NotJson => {
                Error::Other(error.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::messaging::Host;
    use super::*;
    use crate::{Entry, HostLimits, Kind, Messages, testing};

    fn ctx(change: impl FnOnce(&mut Entry)) -> HostCtx {
        let (entry, sink) = testing::entry(HostLimits::default());
        let mut entry = Arc::into_inner(entry).unwrap();
        change(&mut entry);
        let invocation = testing::invocation();
        HostCtx::new(
            Arc::new(entry),
            crate::Standing::request(testing::caller(), invocation),
            sink,
        )
    }

    fn send(ctx: &mut HostCtx, target: messaging::Target) -> Result<(), Error> {
        Host::publish(ctx, target, "note".into(), "[1]".into()).unwrap()
    }

    #[test]
    fn a_published_message_says_who_sent_what_to_whom() {
        let mut ctx = ctx(|entry| entry.messages = Messages::new());
        // Nobody listens, and that is fine.
        send(&mut ctx, messaging::Target::Everyone).unwrap();
        let mut received = ctx.entry().messages.subscribe().unwrap();
        let user = uuid::Uuid::from_u128(7);
        for (target, expect) in [
            (messaging::Target::Everyone, Target::Everyone),
            (
                messaging::Target::Channel("room".into()),
                Target::Channel("room".into()),
            ),
            (
                messaging::Target::User(user.to_string()),
                Target::User(user),
            ),
        ] {
            send(&mut ctx, target).unwrap();
            let message = received.try_recv().unwrap();
            assert_eq!(message.target(), &expect);
            assert_eq!((message.event(), message.payload()), ("note", "[1]"));
            assert_eq!(message.caller(), &testing::caller());
        }
        let refused = send(&mut ctx, messaging::Target::User("ada".into()));
        assert!(matches!(refused, Err(Error::Other(_))));
        let refused = Host::publish(
            &mut ctx,
            messaging::Target::Everyone,
            "note".into(),
            "1".repeat(super::super::PAYLOAD_BYTES_MAX + 1),
        );
        assert!(matches!(refused.unwrap(), Err(Error::TooLarge(_))));
        assert!(received.try_recv().is_err());
        assert_eq!(
            Host::presence(&mut ctx, "room".into()).unwrap().unwrap(),
            "{}"
        );
        assert!(Host::presence(&mut ctx, String::new()).unwrap().is_err());
    }

    #[test]
    fn calls_are_charged_whatever_they_are_answered() {
        let bare = ctx(|_| ());
        let reading = |kind| {
            ctx(|entry| {
                entry.messages = Messages::new();
                entry.kind = kind;
            })
        };
        for (mut ctx, expect) in [
            (bare, "NotConfigured"),
            (reading(Kind::BeforeTrigger), "NotInBeforeTrigger"),
            (reading(Kind::BeforeUserCreated), "NotInBeforeTrigger"),
            (reading(Kind::CustomClaims), "NotInBeforeTrigger"),
        ] {
            let refused = send(&mut ctx, messaging::Target::User("x".into()));
            let told = Host::presence(&mut ctx, "room".into()).unwrap();
            assert_eq!(ctx.usage().host_call_bytes, 1 + 4 + 3 + 4);
            if expect == "NotConfigured" {
                // What is wrong with a message is found before there is anybody to send it.
                assert!(matches!(refused, Err(Error::Other(_))));
            } else {
                assert!(format!("{refused:?}").contains(expect));
            }
            assert!(format!("{told:?}").contains(expect));
        }
        let mut bare = ctx(|_| ());
        let refused = send(&mut bare, messaging::Target::Everyone);
        assert!(matches!(refused, Err(Error::NotConfigured)));
    }
}
