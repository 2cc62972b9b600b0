//! Interfaces of `pumice:platform` that this server does not offer yet.
//!
//! They are linked, so that a component that imports them loads; each call answers that it is not
//! configured, or, where it would change something and a before-trigger asks, that it may not. What
//! the call carries is charged all the same: the host has copied it by then.

use crate::HostCtx;
use crate::bindings::pumice::platform::{mail, push, types};
use crate::meter::Weight;

type Answer<T, E> = wasmtime::Result<Result<T, E>>;

impl Weight for push::Target {
    fn weight(&self) -> usize {
        match self {
            push::Target::User(name) | push::Target::Device(name) | push::Target::Topic(name) => {
                name.len()
            }
        }
    }
}

impl Weight for push::Notification {
    fn weight(&self) -> usize {
        self.title.weight() + self.body.weight() + self.data.len()
    }
}

impl Weight for mail::Message {
    fn weight(&self) -> usize {
        self.to.weight() + self.subject.len() + self.text.len() + self.html.weight()
    }
}

impl HostCtx {
    fn no_write<E>(&self, not_configured: E, not_in_before_trigger: E) -> E {
        match self.entry.kind.only_reads() {
            true => not_in_before_trigger,
            false => not_configured,
        }
    }
}

impl types::Host for HostCtx {}

impl push::Host for HostCtx {
    fn send(
        &mut self,
        target: push::Target,
        notification: push::Notification,
    ) -> Answer<String, push::Error> {
        self.carry(&[&target, &notification])?;
        Ok(Err(self.no_write(
            push::Error::NotConfigured,
            push::Error::NotInBeforeTrigger,
        )))
    }
}

impl mail::Host for HostCtx {
    fn send(&mut self, message: mail::Message) -> Answer<String, mail::Error> {
        self.carry(&[&message])?;
        Ok(Err(self.no_write(
            mail::Error::NotConfigured,
            mail::Error::NotInBeforeTrigger,
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HostLimits;
    use crate::testing;

    #[test]
    fn what_an_absent_interface_is_told_is_charged() {
        let mut ctx = testing::ctx(HostLimits::default());
        let mut costs = |call: &dyn Fn(&mut HostCtx)| {
            let before = ctx.usage().host_call_bytes;
            call(&mut ctx);
            ctx.usage().host_call_bytes - before
        };
        let text = |length| "x".repeat(length);
        let string = size_of::<String>() as u64;
        let notification = || push::Notification {
            title: Some(text(2)),
            body: Some(text(4)),
            data: text(8),
        };
        let topic = || push::Target::Topic(text(1));
        let cost = costs(&|ctx| drop(push::Host::send(ctx, topic(), notification())));
        assert_eq!(cost, 15);
        let message = || mail::Message {
            to: vec![text(1)],
            subject: text(2),
            text: text(4),
            html: Some(text(8)),
        };
        let cost = costs(&|ctx| drop(mail::Host::send(ctx, message())));
        assert_eq!(cost, 15 + string);
    }
}
