//! Who may start, and who may stay on a processor.
//!
//! An invocation passes its app's gate and then the node's; each gate has places, a bounded queue
//! and a bounded wait. Once running, an invocation that has used more than [`BRIEF`] of processor
//! time shares a few time slices with the other long ones, so that brief ones find a free processor
//! however many spinners there are.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::PollSemaphore;

use crate::limits;

/// Processor time up to which an invocation runs freely.
pub const BRIEF: Duration = Duration::from_millis(1);

/// From here on the oldest waiter has waited so long that its client may be gone: the newest is
/// served first until the queue is short again.
const CONGESTED: Duration = Duration::from_millis(100);

/// Why an invocation was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    QueueFull,
    WaitedTooLong,
}

/// Places, and a queue for them.
pub struct Gate {
    places: u32,
    taken: AtomicU32,
    /// Length of `queue`, so that a release without waiters takes no lock.
    waiting: AtomicU32,
    queue: Mutex<VecDeque<Waiter>>,
    queue_max: usize,
    wait_max: Duration,
}

struct Waiter {
    since: Instant,
    admit: oneshot::Sender<()>,
}

/// One place behind a gate, given back when dropped.
pub struct Pass(Arc<Gate>);

impl Gate {
    pub fn new(places: u32, queue_max: u32, wait_max: Duration) -> Arc<Gate> {
        Arc::new(Gate {
            places,
            taken: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            queue: Mutex::default(),
            queue_max: queue_max as usize,
            wait_max,
        })
    }

    /// Takes a place, waiting for one if need be.
    ///
    /// # Errors
    /// [`Refused`] when the queue is full or the wait over.
    pub async fn enter(self: &Arc<Gate>) -> Result<Pass, Refused> {
        if self.waiting.load(Ordering::SeqCst) == 0 && self.try_take() {
            return Ok(Pass(self.clone()));
        }
        let admitted = {
            let mut queue = self.queue.lock();
            // Announced before the last try: whoever gives a place back after it sees the waiter.
            self.waiting.fetch_add(1, Ordering::SeqCst);
            if queue.is_empty() && self.try_take() {
                self.waiting.fetch_sub(1, Ordering::SeqCst);
                return Ok(Pass(self.clone()));
            }
            if queue.len() >= self.queue_max {
                self.waiting.fetch_sub(1, Ordering::SeqCst);
                return Err(Refused::QueueFull);
            }
            let (admit, admitted) = oneshot::channel();
            queue.push_back(Waiter {
                since: Instant::now(),
                admit,
            });
            admitted
        };
        // From here on a place may be handed to us at any moment; `Handed` gives it back if this
        // future is dropped or its time is over in that very moment.
        let mut handed = Handed {
            gate: self,
            admitted,
        };
        match tokio::time::timeout(self.wait_max, &mut handed.admitted).await {
            Ok(Ok(())) => {
                std::mem::forget(handed);
                Ok(Pass(self.clone()))
            }
            Ok(Err(_)) | Err(_) => Err(Refused::WaitedTooLong),
        }
    }

    /// Places taken now.
    pub fn taken(&self) -> u32 {
        self.taken.load(Ordering::Relaxed)
    }

    fn try_take(&self) -> bool {
        self.taken
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |taken| {
                (taken < self.places).then_some(taken + 1)
            })
            .is_ok()
    }

    fn give_back(&self) {
        self.taken.fetch_sub(1, Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.admit_waiters(Instant::now());
        }
    }

    fn admit_waiters(&self, now: Instant) {
        let mut queue = self.queue.lock();
        while !queue.is_empty() && self.try_take() {
            let congested = queue
                .front()
                .is_some_and(|oldest| now - oldest.since > CONGESTED);
            let next = if congested {
                queue.pop_back()
            } else {
                queue.pop_front()
            };
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            if next.is_none_or(|waiter| waiter.admit.send(()).is_err()) {
                // It has gone; its place is free for the next one.
                self.taken.fetch_sub(1, Ordering::SeqCst);
            }
        }
    }
}

struct Handed<'g> {
    gate: &'g Arc<Gate>,
    admitted: oneshot::Receiver<()>,
}

impl Drop for Handed<'_> {
    fn drop(&mut self) {
        self.admitted.close();
        if self.admitted.try_recv().is_ok() {
            self.gate.give_back();
            return;
        }
        let mut queue = self.gate.queue.lock();
        let before = queue.len();
        queue.retain(|waiter| !waiter.admit.is_closed());
        self.gate
            .waiting
            .fetch_sub((before - queue.len()) as u32, Ordering::SeqCst);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

/// One app's share of the node.
pub struct AppShare {
    pub gate: Arc<Gate>,
    slices: Arc<Semaphore>,
}

impl AppShare {
    pub fn new(node: &limits::Node) -> AppShare {
        AppShare {
            gate: Gate::new(node.app_instances, node.app_queue, node.queue_wait),
            slices: Arc::new(Semaphore::new(node.app_cpu as usize)),
        }
    }
}

/// The time slices of the node.
pub struct Slices(Arc<Semaphore>);

impl Slices {
    pub fn new(node: &limits::Node) -> Slices {
        Slices(Arc::new(Semaphore::new(node.cpu as usize)))
    }
}

/// A long invocation's turn-taking: it holds a slice only while it is polled, and goes to the end
/// of the queue each time it pauses.
pub struct Turns {
    app: PollSemaphore,
    node: PollSemaphore,
    of_app: Option<OwnedSemaphorePermit>,
}

impl Turns {
    pub fn new(app: &AppShare, node: &Slices) -> Turns {
        Turns {
            app: PollSemaphore::new(app.slices.clone()),
            node: PollSemaphore::new(node.0.clone()),
            of_app: None,
        }
    }

    /// Waits for a turn. The permits are held until they are dropped.
    pub fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>> {
        let this = self.get_mut();
        if this.of_app.is_none() {
            match this.app.poll_acquire(cx) {
                Poll::Ready(permit) => this.of_app = permit,
                Poll::Pending => return Poll::Pending,
            }
        }
        match this.node.poll_acquire(cx) {
            Poll::Ready(node) => Poll::Ready(this.of_app.take().zip(node)),
            Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(places: u32, queue: u32) -> Arc<Gate> {
        Gate::new(places, queue, Duration::from_secs(5))
    }

    #[tokio::test]
    async fn places_are_limited_and_come_back() {
        let gate = gate(1, 0);
        let pass = gate.enter().await.ok().unwrap();
        assert_eq!(gate.enter().await.err(), Some(Refused::QueueFull));
        drop(pass);
        assert!(gate.enter().await.is_ok());
        assert_eq!(gate.taken(), 0);
    }

    #[tokio::test]
    async fn a_waiter_is_admitted_when_a_place_comes_back() {
        let gate = gate(1, 1);
        let pass = gate.enter().await.ok().unwrap();
        let waiter = tokio::spawn({
            let gate = gate.clone();
            async move { gate.enter().await.is_ok() }
        });
        while gate.waiting.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(gate.enter().await.err(), Some(Refused::QueueFull));
        drop(pass);
        assert!(waiter.await.unwrap());
        assert_eq!(gate.taken(), 0);
    }

    #[tokio::test]
    async fn a_wait_is_bounded_and_a_waiter_that_left_takes_no_place() {
        let gate = Gate::new(1, 2, Duration::from_millis(1));
        let pass = gate.enter().await.ok().unwrap();
        assert_eq!(gate.enter().await.err(), Some(Refused::WaitedTooLong));
        drop(pass);
        assert_eq!(gate.taken(), 0);
        assert_eq!(gate.waiting.load(Ordering::SeqCst), 0);
    }
}
