//! Users' passwords: hashed with argon2id on threads of their own, and judged when they are new.
//!
//! A hash takes some 20 ms of a processor and 19 MiB on purpose, so that there is a bound to everything:
//! threads, what waits, and for how long. An app's crowd waits for itself and not before others.

mod hash;
mod leaked;
mod queue;
mod rules;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use pumice_host_api::AppId;
use tokio::sync::oneshot;
use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};

use self::hash::{Hasher, Stored};
use self::queue::Queue;
use super::fault::Fault;
use crate::limits;

pub use self::leaked::Leaked;
pub use self::rules::check;

/// The node's hashing of passwords. Cheap to clone.
#[derive(Clone)]
pub struct Passwords(Arc<Shared>);

/// Why a password was not hashed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too many wait, or this one waited for too long.
    #[error("too many passwords wait to be hashed")]
    Overloaded,
    #[error("a password is longer than {} bytes", limits::PASSWORD_BYTES_MAX)]
    TooLong,
    #[error("a password could not be hashed: {0}")]
    Hash(String),
}

impl From<PasswordError> for Fault {
    fn from(error: PasswordError) -> Fault {
        match error {
            PasswordError::Overloaded => Fault::overloaded(),
            PasswordError::TooLong => rules::too_long(),
            PasswordError::Hash(_) => Fault::unexpected(error),
        }
    }
}

/// What became of a password that somebody gave.
#[derive(PartialEq, Eq)]
pub struct Checked {
    pub matches: bool,
    /// What to keep from now on, when the hash was another system's or weaker than today's.
    pub better: Option<String>,
}

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A hash belongs into no log.
        f.debug_struct("Checked")
            .field("matches", &self.matches)
            .field("is_better", &self.better.is_some())
            .finish()
    }
}

/// Whether `text` is a hash that a user can be imported with: of a known format, and within what a sign-in
/// may take.
pub fn is_hash(text: &str) -> bool {
    Stored::parse(text).is_some()
}

/// The same characters, however they were typed (NFC, as NIST SP 800-63B asks).
fn normal(password: &str) -> Cow<'_, str> {
    match is_nfc_quick(password.chars()) {
        IsNormalized::Yes => Cow::Borrowed(password),
        IsNormalized::No | IsNormalized::Maybe => Cow::Owned(password.nfc().collect()),
    }
}

impl Passwords {
    /// As many threads as the node has processors, started when they are needed; what waits does so for
    /// [`queue_wait`](limits::Node::queue_wait) at most.
    pub fn new(node: &limits::Node) -> Passwords {
        Passwords(Arc::new(Shared {
            state: Mutex::default(),
            work: Condvar::new(),
            runs: AtomicU64::new(0),
            threads: node.cpu as usize,
            wait: node.queue_wait,
        }))
    }

    /// What to keep of a new password, a PHC string.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub async fn hash(&self, app: AppId, password: &str) -> Result<String, PasswordError> {
        if password.len() > limits::PASSWORD_BYTES_MAX {
            return Err(PasswordError::TooLong);
        }
        let made = self.ask(app, Task::Hash(password.to_owned())).await?;
        made.better
            .ok_or_else(|| PasswordError::Hash("there is none".to_owned()))
    }

    /// Whether `hash` is one of `password`.
    ///
    /// Costs the same argon2 run whether there is no hash, a wrong password or the right one; an imported
    /// hash costs its own run besides, until the user's first sign-in.
    ///
    /// # Errors
    /// See [`PasswordError`]; a password that is too long simply does not match.
    pub async fn verify(
        &self,
        app: AppId,
        password: &str,
        hash: Option<&str>,
    ) -> Result<Checked, PasswordError> {
        if password.len() > limits::PASSWORD_BYTES_MAX {
            return Ok(Checked {
                matches: false,
                better: None,
            });
        }
        let task = Task::Verify(password.to_owned(), hash.map(str::to_owned));
        self.ask(app, task).await
    }

    /// Runs of argon2 so far.
    pub fn runs(&self) -> u64 {
        self.0.runs.load(Ordering::Relaxed)
    }

    async fn ask(&self, app: AppId, task: Task) -> Result<Checked, PasswordError> {
        let (answer, mut asked) = oneshot::channel();
        let begun = Arc::new(AtomicBool::new(false));
        self.0.take(
            app,
            Job {
                task,
                answer,
                begun: begun.clone(),
            },
        )?;
        let gone = || PasswordError::Hash("the thread that hashed has ended".to_owned());
        match tokio::time::timeout(self.0.wait, &mut asked).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(gone())),
            // It waits no more: it ends soon.
            Err(_) if begun.load(Ordering::Acquire) => asked.await.unwrap_or_else(|_| Err(gone())),
            Err(_) => Err(PasswordError::Overloaded),
        }
    }
}

enum Task {
    /// Answered with `better`.
    Hash(String),
    Verify(String, Option<String>),
}

struct Job {
    task: Task,
    /// Closed when nobody waits any more.
    answer: oneshot::Sender<Result<Checked, PasswordError>>,
    begun: Arc<AtomicBool>,
}

struct Shared {
    state: Mutex<State>,
    work: Condvar,
    runs: AtomicU64,
    threads: usize,
    wait: Duration,
}

#[derive(Default)]
struct State {
    queue: Queue<Job>,
    threads: usize,
    /// Threads that wait for work.
    idle: usize,
}

impl Shared {
    fn take(self: &Arc<Shared>, app: AppId, job: Job) -> Result<(), PasswordError> {
        let mut state = self.state.lock();
        let pushed = state.queue.push(app, job);
        pushed.map_err(|_| PasswordError::Overloaded)?;
        if state.queue.len() > state.idle && state.threads < self.threads {
            let shared = self.clone();
            let thread = std::thread::Builder::new().name("passwords".to_owned());
            match thread.spawn(move || shared.serve()) {
                Ok(_) => state.threads += 1,
                Err(error) => tracing::error!(%error, "no thread to hash passwords on"),
            }
        }
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    /// The next job that somebody still waits for.
    fn next(state: &mut State) -> Option<Job> {
        std::iter::from_fn(|| state.queue.pop()).find(|job| !job.answer.is_closed())
    }

    /// A thread's life: it ends, with its memory, when there was nothing to do for a while.
    fn serve(&self) {
        // Guests come first, and yet a quarter of a busy processor is left. Without effect on another system.
        let _ = rustix::process::setpriority_process(None, 5);
        let _leave = Leave(self);
        let mut hasher = Hasher::new(&self.runs);
        let mut state = self.state.lock();
        loop {
            while let Some(job) = Shared::next(&mut state) {
                MutexGuard::unlocked(&mut state, || job.run(&mut hasher));
            }
            state.idle += 1;
            let wait = self.work.wait_for(&mut state, limits::PASSWORD_THREAD_IDLE);
            state.idle -= 1;
            if wait.timed_out() && state.queue.len() == 0 {
                return;
            }
        }
    }
}

impl Job {
    fn run(self, hasher: &mut Hasher<'_>) {
        self.begun.store(true, Ordering::Release);
        let done = match &self.task {
            Task::Hash(password) => hasher.hash(password).map(|hash| Checked {
                matches: true,
                better: Some(hash),
            }),
            Task::Verify(password, hash) => hasher.verify(password, hash.as_deref()),
        };
        // Nobody may wait any more.
        let _ = self.answer.send(done);
    }
}

/// A thread's end, in a panic too: another can take its place.
struct Leave<'s>(&'s Shared);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.state.lock().threads -= 1;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use uuid::Uuid;

    use super::*;

    fn passwords(threads: u32, wait: Duration) -> Passwords {
        Passwords::new(&limits::Node {
            cpu: threads,
            queue_wait: wait,
            ..limits::Node::default()
        })
    }

    const LONG: Duration = Duration::from_secs(600);

    fn app(number: u128) -> AppId {
        AppId(Uuid::from_u128(number))
    }

    /// Does all that waits, on this thread; how many jobs that were.
    fn work_off(passwords: &Passwords) -> usize {
        let mut hasher = Hasher::new(&passwords.0.runs);
        let jobs = std::iter::from_fn(|| Shared::next(&mut passwords.0.state.lock()));
        jobs.map(|job| job.run(&mut hasher)).count()
    }

    #[tokio::test]
    async fn a_password_is_known_again() {
        let passwords = passwords(2, LONG);
        let hash = passwords.hash(app(1), "vLq7#pumice").await.unwrap();
        let checked = passwords.verify(app(1), "vLq7#pumice", Some(&hash)).await;
        let good = Checked {
            matches: true,
            better: None,
        };
        assert_eq!(checked, Ok(good));
        assert_eq!(passwords.runs(), 2);
        for hash in [None, Some("damaged"), Some(hash.as_str())] {
            let before = passwords.runs();
            let checked = passwords.verify(app(1), "wrong", hash).await.unwrap();
            assert!(!checked.matches && checked.better.is_none());
            assert_eq!(passwords.runs(), before + 1);
        }
        let many = (0..20).map(|number| {
            let passwords = passwords.clone();
            async move { passwords.hash(app(number), "vLq7#pumice").await }
        });
        let many = futures_util::future::join_all(many).await;
        assert!(many.iter().all(Result::is_ok));
        assert!(passwords.0.state.lock().threads <= 2);
    }

    #[tokio::test]
    async fn a_password_that_is_too_long_costs_nothing() {
        let passwords = passwords(0, LONG);
        let long = "x".repeat(limits::PASSWORD_BYTES_MAX + 1);
        let hash = passwords.hash(app(1), &long).await;
        assert_eq!(hash, Err(PasswordError::TooLong));
        let checked = passwords.verify(app(1), &long, None).await.unwrap();
        assert!(!checked.matches);
        assert_eq!(passwords.runs(), 0);
    }

    #[tokio::test]
    async fn beyond_its_queue_an_app_is_told_at_once_and_another_waits_for_one() {
        let passwords = passwords(0, LONG);
        let mut crowd: Vec<_> = (0..limits::PASSWORD_QUEUE_APP)
            .map(|_| Box::pin(passwords.hash(app(1), "crowd")))
            .collect();
        for waiting in &mut crowd {
            assert!(waiting.now_or_never().is_none());
        }
        let more = passwords.hash(app(1), "one more").now_or_never();
        assert_eq!(more, Some(Err(PasswordError::Overloaded)));
        let mut other = Box::pin(passwords.hash(app(2), "another app's"));
        assert!((&mut other).now_or_never().is_none());
        // Two turns, and the other app has its answer; of the crowd one has.
        let mut hasher = Hasher::new(&passwords.0.runs);
        for _ in 0..2 {
            let job = Shared::next(&mut passwords.0.state.lock()).unwrap();
            job.run(&mut hasher);
        }
        assert!(other.await.is_ok());
        let answered = crowd.iter_mut().map(|one| one.now_or_never());
        assert_eq!(answered.flatten().count(), 1);
    }

    #[tokio::test]
    async fn whoever_left_is_not_hashed_for() {
        let passwords = passwords(0, LONG);
        let mut stays = Box::pin(passwords.hash(app(1), "stays"));
        let mut leaves = Box::pin(passwords.hash(app(1), "leaves"));
        assert!((&mut leaves).now_or_never().is_none());
        assert!((&mut stays).now_or_never().is_none());
        drop(leaves);
        assert_eq!(work_off(&passwords), 1);
        assert!(stays.await.is_ok());
        assert_eq!(passwords.runs(), 1);
    }

    #[tokio::test]
    async fn whoever_waits_too_long_is_told_so_and_not_hashed_for() {
        let passwords = passwords(0, Duration::ZERO);
        let answer = passwords.verify(app(1), "late", None).await;
        assert_eq!(answer, Err(PasswordError::Overloaded));
        assert_eq!(work_off(&passwords), 0);
        let fault = Fault::from(PasswordError::Overloaded);
        assert_eq!(fault.status.as_u16(), 503);
    }
}
