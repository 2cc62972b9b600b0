//! Mails that wait for their turn, in memory: bounded in all and for each app.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use lettre::address::Envelope;
use pumice_host_api::AppId;

use super::Letter;
use super::smtp::Route;
use crate::limits;

/// A mail on its way.
pub struct Waiting {
    pub app: AppId,
    pub letter: Letter,
    /// The address as logs show it.
    pub shown: String,
    pub envelope: Envelope,
    /// As it is sent.
    pub mail: Vec<u8>,
    pub route: Arc<Route>,
    /// Tries so far.
    pub tries: u32,
    /// Not before.
    pub due: Instant,
    /// The server stops: there will be no other try.
    pub last: bool,
}

/// What waits or is being sent, and whose it is.
#[derive(Default)]
pub struct Queue {
    waiting: VecDeque<Waiting>,
    all: Share,
    apps: HashMap<AppId, Share>,
    sending: HashMap<AppId, usize>,
    /// Nothing more is taken.
    pub closed: bool,
}

#[derive(Clone, Copy, Default)]
struct Share {
    mails: usize,
    bytes: usize,
}

impl Share {
    fn with(self, bytes: usize) -> Share {
        Share {
            mails: self.mails + 1,
            bytes: self.bytes + bytes,
        }
    }

    fn fits(self, part: usize) -> bool {
        self.mails <= limits::MAIL_QUEUE_MAX / part
            && self.bytes <= limits::MAIL_QUEUE_BYTES_MAX / part
    }

    fn without(self, bytes: usize) -> Share {
        Share {
            mails: self.mails.saturating_sub(1),
            bytes: self.bytes.saturating_sub(bytes),
        }
    }
}

impl Queue {
    /// Takes a mail in; gives it back if there is no room.
    pub fn enter(&mut self, mail: Waiting) -> Result<(), Box<Waiting>> {
        let bytes = mail.mail.len();
        let all = self.all.with(bytes);
        let of_app = self.apps.get(&mail.app).copied().unwrap_or_default();
        let of_app = of_app.with(bytes);
        if self.closed || !all.fits(1) || !of_app.fits(limits::MAIL_QUEUE_APP_PART) {
            return Err(Box::new(mail));
        }
        self.all = all;
        self.apps.insert(mail.app, of_app);
        self.waiting.push_back(mail);
        Ok(())
    }

    /// The next mail that is due and whose app has a place. It keeps its room until it [`leave`]s or
    /// comes [`back`].
    ///
    /// [`leave`]: Queue::leave
    /// [`back`]: Queue::back
    pub fn next(&mut self, now: Instant) -> Option<Waiting> {
        let sending: usize = self.sending.values().sum();
        if sending >= limits::MAIL_SENDING_MAX {
            return None;
        }
        let place = self.waiting.iter().position(|mail| {
            let of_app = self.sending.get(&mail.app).copied().unwrap_or_default();
            mail.due <= now && of_app < limits::MAIL_SENDING_APP_MAX
        })?;
        let mail = self.waiting.remove(place)?;
        *self.sending.entry(mail.app).or_default() += 1;
        Some(mail)
    }

    /// When the next one is due that is not yet.
    pub fn due(&self, now: Instant) -> Option<Instant> {
        let later = self.waiting.iter().map(|mail| mail.due);
        later.filter(|due| *due > now).min()
    }

    /// A mail that was tried and is to be tried again.
    pub fn back(&mut self, mail: Waiting) {
        self.tried(mail.app);
        self.waiting.push_back(mail);
    }

    /// A mail that was tried for the last time.
    pub fn leave(&mut self, app: AppId, bytes: usize) {
        self.tried(app);
        self.free(app, bytes);
    }

    fn tried(&mut self, app: AppId) {
        if let Some(count) = self.sending.get_mut(&app) {
            *count -= 1;
            if *count == 0 {
                self.sending.remove(&app);
            }
        }
    }

    fn free(&mut self, app: AppId, bytes: usize) {
        self.all = self.all.without(bytes);
        if let Some(of_app) = self.apps.get_mut(&app) {
            *of_app = of_app.without(bytes);
            if of_app.mails == 0 {
                self.apps.remove(&app);
            }
        }
    }

    /// Takes nothing more in; what waits is due now, for the last time.
    pub fn close(&mut self, now: Instant) {
        self.closed = true;
        for mail in &mut self.waiting {
            (mail.due, mail.last) = (now, true);
        }
    }

    /// Everything that still waits.
    pub fn drain(&mut self) -> Vec<Waiting> {
        let left: Vec<Waiting> = self.waiting.drain(..).collect();
        left.iter()
            .for_each(|mail| self.free(mail.app, mail.mail.len()));
        left
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn mail(app: u128, due: Instant, bytes: usize) -> Waiting {
        Waiting {
            app: AppId(uuid::Uuid::from_u128(app)),
            letter: Letter::Invite,
            shown: String::new(),
            envelope: Envelope::new(None, vec!["a@b.co".parse().unwrap()]).unwrap(),
            mail: vec![0; bytes],
            route: Arc::new(Route {
                url: "smtp://h".parse().unwrap(),
                app: None,
            }),
            tries: 0,
            due,
            last: false,
        }
    }

    #[test]
    fn an_app_has_its_part_and_others_have_room() {
        let now = Instant::now();
        let mut queue = Queue::default();
        let part = limits::MAIL_QUEUE_MAX / limits::MAIL_QUEUE_APP_PART;
        for _ in 0..part {
            assert!(queue.enter(mail(1, now, 1)).is_ok());
        }
        assert!(queue.enter(mail(1, now, 1)).is_err());
        assert!(queue.enter(mail(2, now, 1)).is_ok());
        let bytes = limits::MAIL_QUEUE_BYTES_MAX / limits::MAIL_QUEUE_APP_PART;
        assert!(queue.enter(mail(3, now, bytes + 1)).is_err());
        assert!(queue.enter(mail(3, now, bytes)).is_ok());
        // Who has been sent makes room, and not before.
        let first = queue.next(now).unwrap();
        assert!(queue.enter(mail(1, now, 1)).is_err());
        queue.leave(first.app, first.mail.len());
        assert!(queue.enter(mail(1, now, 1)).is_ok());
        assert_eq!(queue.drain().len(), part + 2);
        assert_eq!(
            (queue.all.mails, queue.all.bytes, queue.apps.len()),
            (0, 0, 0)
        );
        queue.close(now);
        assert!(queue.enter(mail(1, now, 1)).is_err());
    }

    #[test]
    fn the_next_is_due_and_its_app_has_a_place() {
        let now = Instant::now();
        let later = now + Duration::from_secs(5);
        let mut queue = Queue::default();
        let mut mails = vec![mail(9, later, 1)];
        mails.extend((0..limits::MAIL_SENDING_APP_MAX + 1).map(|_| mail(1, now, 1)));
        mails.push(mail(2, now, 1));
        mails
            .into_iter()
            .for_each(|mail| assert!(queue.enter(mail).is_ok()));
        let mut taken = Vec::new();
        while let Some(mail) = queue.next(now) {
            taken.push(mail);
        }
        let apps: Vec<u128> = taken.iter().map(|mail| mail.app.0.as_u128()).collect();
        let mut expect = vec![1; limits::MAIL_SENDING_APP_MAX];
        expect.push(2);
        assert_eq!(apps, expect);
        assert_eq!(queue.due(now), Some(later));
        // One comes back for later, and its app's next has its place.
        let mut first = taken.remove(0);
        first.due = later;
        queue.back(first);
        assert_eq!(queue.next(now).unwrap().app.0.as_u128(), 1);
        assert!(queue.next(now).is_none());
        assert_eq!(queue.next(later).unwrap().app.0.as_u128(), 9);
        // All places taken.
        for app in 100..200 {
            assert!(queue.enter(mail(app, now, 1)).is_ok());
        }
        let mut count = queue.sending.values().sum::<usize>();
        while queue.next(later).is_some() {
            count += 1;
        }
        assert_eq!(count, limits::MAIL_SENDING_MAX);
    }
}
