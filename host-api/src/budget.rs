//! What an invocation has left, seen by those it causes.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The rest of a root invocation's limits. A nested invocation gets the smaller of its own limits and
/// this, and what it uses is taken from here.
#[derive(Debug)]
pub struct Budget {
    fuel_left: AtomicU64,
    /// Used by nested invocations and not yet charged to the root.
    fuel_nested: AtomicU64,
    cpu_nanos: AtomicU64,
    cpu_max: Duration,
    wall_until: Instant,
}

impl Budget {
    pub fn new(fuel: u64, cpu_max: Duration, wall_until: Instant) -> Budget {
        Budget {
            fuel_left: AtomicU64::new(fuel),
            fuel_nested: AtomicU64::new(0),
            cpu_nanos: AtomicU64::new(0),
            cpu_max,
            wall_until,
        }
    }

    /// Fuel left when the guest last called the host, less what others have used since.
    pub fn fuel_left(&self) -> u64 {
        self.fuel_left
            .load(Relaxed)
            .saturating_sub(self.fuel_nested.load(Relaxed))
    }

    /// Processor time left when the root was last polled.
    pub fn cpu_left(&self) -> Duration {
        let used = Duration::from_nanos(self.cpu_nanos.load(Relaxed));
        self.cpu_max.saturating_sub(used)
    }

    pub fn wall_until(&self) -> Instant {
        self.wall_until
    }

    /// What the guest has left as it calls the host.
    pub fn set_fuel_left(&self, fuel: u64) {
        self.fuel_left.store(fuel, Relaxed);
    }

    pub fn set_cpu_used(&self, used: Duration) {
        self.cpu_nanos.store(used.as_nanos() as u64, Relaxed);
    }

    /// A nested invocation has used this much.
    pub fn spend(&self, fuel: u64) {
        self.fuel_nested.fetch_add(fuel, Relaxed);
    }

    /// What nested invocations have used since the last time.
    pub fn take_spent(&self) -> u64 {
        match self.fuel_nested.load(Relaxed) {
            0 => 0,
            _ => self.fuel_nested.swap(0, Relaxed),
        }
    }
}
