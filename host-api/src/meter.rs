//! Counts what one invocation takes from the host, and stops it at its limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::entry::HostLimits;
use crate::price::{FUEL_PER_BYTE, FUEL_PER_CALL, FUEL_PER_STEP};

/// A limit of the host met by a guest. A host function that meets one traps with it, so it reaches
/// the runtime as the cause of the call's error: `error.downcast_ref::<Exceeded>()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Exceeded {
    #[error("more than {0} bytes passed between guest and host")]
    HostCallBytes(u64),
    #[error("more than {0} resources open at one time")]
    Handles(u32),
    #[error("request body longer than {0} bytes")]
    RequestBytes(u64),
    #[error("response body longer than {0} bytes")]
    ResponseBytes(u64),
    #[error("more than {0} bytes of memory")]
    Memory(usize),
    #[error("more than {0} requests to other hosts")]
    OutboundRequests(u32),
    /// More header fields, or longer ones, than a message may have.
    #[error("more than {count} header fields or {bytes} bytes of them")]
    Fields { count: usize, bytes: usize },
}

/// What an invocation has taken so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostUsage {
    pub host_calls: u64,
    /// Both directions.
    pub host_call_bytes: u64,
    pub response_bytes: u64,
    pub outbound_requests: u32,
    pub log_bytes: u64,
    /// Most bytes of linear memory at one time.
    pub memory_peak_bytes: usize,
    /// Whether growing memory beyond the entry's limit was ever refused; such a guest mostly traps by
    /// itself.
    pub memory_denied: bool,
    /// Whether growing memory was ever refused because the [`MemoryBudget`] of the app or of the node
    /// was used up: not the guest's own doing, and another time it may well succeed.
    pub memory_exhausted: bool,
    /// Whether growing a table beyond the entry's limit was ever refused.
    pub table_denied: bool,
}

/// Bytes of linear memory that many instances share: an app's, which is part of a node's.
///
/// An instance takes from it when its memory grows, the memory it begins with included, and gives
/// all back when its [`HostCtx`](crate::HostCtx) is dropped. Each level costs one atomic update.
#[derive(Debug)]
pub struct MemoryBudget {
    max: u64,
    used: AtomicU64,
    parent: Option<Arc<MemoryBudget>>,
}

impl MemoryBudget {
    /// A budget of `max` bytes of its own: a node's.
    pub fn new(max: u64) -> MemoryBudget {
        MemoryBudget {
            max,
            used: AtomicU64::new(0),
            parent: None,
        }
    }

    /// A budget of `max` bytes that are taken from `parent` too: an app's. The parts of a whole may
    /// together be larger than the whole.
    pub fn within(parent: Arc<MemoryBudget>, max: u64) -> MemoryBudget {
        MemoryBudget {
            parent: Some(parent),
            ..MemoryBudget::new(max)
        }
    }

    /// Bytes taken now.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes `bytes` here and from the parent, or nothing at all.
    fn reserve(&self, bytes: u64) -> bool {
        let more = |used: u64| used.checked_add(bytes).filter(|&used| used <= self.max);
        // The number guards no other memory, so no order is needed.
        let here = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        if here.is_err() {
            return false;
        }
        if let Some(parent) = &self.parent
            && !parent.reserve(bytes)
        {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        true
    }

    fn release(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(parent) = &self.parent {
            parent.release(bytes);
        }
    }
}

impl Default for MemoryBudget {
    /// 1 GiB and no parent, for tests: a server says how much there is.
    fn default() -> MemoryBudget {
        MemoryBudget::new(1 << 30)
    }
}

/// One invocation's counters. Plain numbers: only the thread that runs the guest touches them.
pub(crate) struct Meter {
    pub(crate) usage: HostUsage,
    pending_fuel: u64,
}

impl Meter {
    pub(crate) fn new() -> Self {
        Meter {
            usage: HostUsage::default(),
            pending_fuel: 0,
        }
    }

    pub(crate) fn call(&mut self) {
        self.usage.host_calls += 1;
        self.pending_fuel = self.pending_fuel.saturating_add(FUEL_PER_CALL);
    }

    /// Charges `count` bytes that cross the boundary, or are about to.
    pub(crate) fn bytes(&mut self, count: usize, limits: &HostLimits) -> Result<(), Exceeded> {
        let count = count as u64;
        self.pending_fuel = self
            .pending_fuel
            .saturating_add(count.saturating_mul(FUEL_PER_BYTE));
        self.usage.host_call_bytes = self.usage.host_call_bytes.saturating_add(count);
        if self.usage.host_call_bytes > limits.host_call_bytes_max {
            return Err(Exceeded::HostCallBytes(limits.host_call_bytes_max));
        }
        Ok(())
    }

    /// Charges work that SQLite has done.
    pub(crate) fn steps(&mut self, steps: u64) {
        let fuel = steps.saturating_mul(FUEL_PER_STEP);
        self.pending_fuel = self.pending_fuel.saturating_add(fuel);
    }

    pub(crate) fn take_pending_fuel(&mut self) -> u64 {
        std::mem::take(&mut self.pending_fuel)
    }
}

/// Holds an instance's memories, all together, and each of its tables below the entry's limits, and
/// the memories within the budget of its app.
pub struct MemoryLimiter {
    bytes: usize,
    pub(crate) bytes_peak: usize,
    bytes_max: usize,
    budget: Arc<MemoryBudget>,
    table_elements_max: usize,
    pub(crate) denied: bool,
    pub(crate) exhausted: bool,
    pub(crate) table_denied: bool,
}

impl MemoryLimiter {
    pub(crate) fn new(limits: &HostLimits, budget: Arc<MemoryBudget>) -> Self {
        MemoryLimiter {
            bytes: 0,
            bytes_peak: 0,
            bytes_max: limits.memory_bytes_max,
            budget,
            table_elements_max: limits.table_elements_max,
            denied: false,
            exhausted: false,
            table_denied: false,
        }
    }
}

impl Drop for MemoryLimiter {
    fn drop(&mut self) {
        self.budget.release(self.bytes as u64);
    }
}

// A growth that is permitted here and fails after all stays counted: wasmtime reports failures of
// growths as well that it never asked about, so that giving back on a report could be provoked.
impl wasmtime::ResourceLimiter for MemoryLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // It fails by the module's own word, and says nothing about our limits.
        if maximum.is_some_and(|max| desired > max) {
            return Ok(false);
        }
        let growth = desired.saturating_sub(current);
        let total = self.bytes.saturating_add(growth);
        if total > self.bytes_max {
            self.denied = true;
            return Ok(false);
        }
        if !self.budget.reserve(growth as u64) {
            self.exhausted = true;
            return Ok(false);
        }
        self.bytes = total;
        self.bytes_peak = self.bytes_peak.max(total);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|max| desired > max) {
            return Ok(false);
        }
        let within = desired <= self.table_elements_max;
        self.table_denied |= !within;
        Ok(within)
    }
}

/// Bytes of an argument: its text, and for a member of a list its place in it as well, so that a list
/// of nothing is not for nothing.
pub(crate) trait Weight {
    fn weight(&self) -> usize;
}

impl Weight for String {
    fn weight(&self) -> usize {
        self.len()
    }
}

impl<T: Weight> Weight for Option<T> {
    fn weight(&self) -> usize {
        self.as_ref().map_or(0, T::weight)
    }
}

impl<T: Weight> Weight for Vec<T> {
    fn weight(&self) -> usize {
        let places = self.len() * size_of::<T>();
        places + self.iter().map(T::weight).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::ResourceLimiter;

    #[test]
    fn bytes_stop_at_the_edge() {
        let limits = HostLimits {
            host_call_bytes_max: 10,
            ..HostLimits::default()
        };
        let mut meter = Meter::new();
        assert_eq!(meter.bytes(10, &limits), Ok(()));
        assert_eq!(meter.take_pending_fuel(), 10 * FUEL_PER_BYTE);
        assert_eq!(meter.take_pending_fuel(), 0);
        assert_eq!(meter.bytes(1, &limits), Err(Exceeded::HostCallBytes(10)));
        assert_eq!(
            meter.bytes(usize::MAX, &limits),
            Err(Exceeded::HostCallBytes(10))
        );
    }

    #[test]
    fn memories_are_summed() {
        let limits = HostLimits {
            memory_bytes_max: 3 << 16,
            ..HostLimits::default()
        };
        let mut memory = MemoryLimiter::new(&limits, Arc::default());
        assert!(memory.memory_growing(0, 2 << 16, None).unwrap());
        assert!(memory.memory_growing(0, 1 << 16, None).unwrap());
        assert!(!memory.denied);
        assert!(!memory.memory_growing(1 << 16, 2 << 16, None).unwrap());
        assert!(memory.denied);
        assert_eq!(memory.bytes_peak, 3 << 16);
    }

    #[test]
    fn a_refusal_says_whose_it_is() {
        let limits = HostLimits {
            memory_bytes_max: 4 << 16,
            table_elements_max: 10,
            ..HostLimits::default()
        };
        let budget = Arc::new(MemoryBudget::new(2 << 16));
        let mut memory = MemoryLimiter::new(&limits, budget.clone());
        let told = |memory: &MemoryLimiter| (memory.denied, memory.exhausted, memory.table_denied);
        assert!(!memory.memory_growing(0, 9 << 16, Some(8 << 16)).unwrap());
        assert!(!memory.table_growing(0, 20, Some(5)).unwrap());
        assert_eq!(told(&memory), (false, false, false));
        assert_eq!((memory.bytes, budget.used()), (0, 0));
        assert!(!memory.table_growing(0, 11, None).unwrap());
        assert_eq!(told(&memory), (false, false, true));
        assert!(!memory.memory_growing(0, 3 << 16, None).unwrap());
        assert_eq!(told(&memory), (false, true, true));
        assert!(!memory.memory_growing(0, 5 << 16, None).unwrap());
        assert_eq!(told(&memory), (true, true, true));
        assert!(memory.memory_growing(0, 2 << 16, None).unwrap());
    }

    #[test]
    fn budgets_are_taken_on_both_levels_and_given_back() {
        let node = Arc::new(MemoryBudget::new(100));
        let one = Arc::new(MemoryBudget::within(node.clone(), 80));
        let other = Arc::new(MemoryBudget::within(node.clone(), 80));
        let limits = HostLimits::default();
        let mut first = MemoryLimiter::new(&limits, one.clone());
        let mut second = MemoryLimiter::new(&limits, one.clone());
        let mut third = MemoryLimiter::new(&limits, other.clone());
        assert!(first.memory_growing(0, 50, None).unwrap());
        assert!(first.memory_growing(50, 60, None).unwrap());
        // The app has 20 left, the node 40; what the node refuses the app keeps.
        assert!(!second.memory_growing(0, 21, None).unwrap());
        assert!(second.exhausted);
        assert!(!third.memory_growing(0, 41, None).unwrap());
        assert!(third.memory_growing(0, 40, None).unwrap());
        assert_eq!((one.used(), other.used(), node.used()), (60, 40, 100));
        drop(first);
        assert_eq!((one.used(), other.used(), node.used()), (0, 40, 40));
        drop((second, third));
        assert_eq!((one.used(), other.used(), node.used()), (0, 0, 0));
        assert!(!node.reserve(u64::MAX));
    }

    #[test]
    fn a_context_gives_its_memory_back() {
        let mut ctx = crate::testing::ctx(HostLimits::default());
        let budget = ctx.entry().memory.clone();
        assert!(ctx.limiter().memory_growing(0, 1 << 16, None).unwrap());
        assert_eq!(budget.used(), 1 << 16);
        assert!(!ctx.limiter().table_growing(0, usize::MAX, None).unwrap());
        let usage = ctx.usage();
        assert!(usage.table_denied && !usage.memory_denied && !usage.memory_exhausted);
        drop(ctx);
        assert_eq!(budget.used(), 0);
    }
}
