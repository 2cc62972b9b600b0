//! Counts what one invocation takes from the host, and stops it at its limits.

use crate::entry::HostLimits;
use crate::price::{FUEL_PER_BYTE, FUEL_PER_CALL};

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
    /// Whether growing memory or a table was ever refused; such a guest mostly traps by itself.
    pub memory_denied: bool,
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

    pub(crate) fn take_pending_fuel(&mut self) -> u64 {
        std::mem::take(&mut self.pending_fuel)
    }
}

/// Holds an instance's memories, all together, and each of its tables below the entry's limits.
pub struct MemoryLimiter {
    bytes: usize,
    pub(crate) bytes_peak: usize,
    bytes_max: usize,
    table_elements_max: usize,
    pub(crate) denied: bool,
}

impl MemoryLimiter {
    pub(crate) fn new(limits: &HostLimits) -> Self {
        MemoryLimiter {
            bytes: 0,
            bytes_peak: 0,
            bytes_max: limits.memory_bytes_max,
            table_elements_max: limits.table_elements_max,
            denied: false,
        }
    }
}

impl wasmtime::ResourceLimiter for MemoryLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.bytes.saturating_add(desired.saturating_sub(current));
        if total > self.bytes_max {
            self.denied = true;
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
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let within = desired <= self.table_elements_max;
        self.denied |= !within;
        Ok(within)
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
        let mut memory = MemoryLimiter::new(&limits);
        assert!(memory.memory_growing(0, 2 << 16, None).unwrap());
        assert!(memory.memory_growing(0, 1 << 16, None).unwrap());
        assert!(!memory.denied);
        assert!(!memory.memory_growing(1 << 16, 2 << 16, None).unwrap());
        assert!(memory.denied);
        assert_eq!(memory.bytes_peak, 3 << 16);
    }
}
