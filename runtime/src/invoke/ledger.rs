//! Fuel for host work, taken from the guest's without disturbing its pauses.
//!
//! The engine pauses a guest after an interval of fuel, and begins a new interval whenever the fuel is
//! set. So the price of host calls is kept here as a debt, and the fuel is set once for each poll at
//! most: a guest that does nothing but call the host pauses as often as one that computes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use pumice_host_api::{Budget, HostCtx};
use wasmtime::{CallHook, Store, StoreContextMut, Trap};

use crate::limits::FUEL_YIELD_INTERVAL;

/// What a guest may still compute after its host calls alone have filled an interval: 5 µs.
const REST: u64 = 50_000;

/// One invocation's debt. Only the task that polls the guest touches it.
pub struct Ledger {
    /// What those that the guest causes may use.
    budget: Arc<Budget>,
    polls: AtomicU32,
    /// The poll in which `owed` was last settled.
    settled_in: AtomicU32,
    owed: AtomicU64,
    /// Whether this poll's interval was cut short.
    cut: AtomicBool,
}

impl Ledger {
    pub fn new(budget: Arc<Budget>) -> Ledger {
        Ledger {
            budget,
            polls: AtomicU32::new(0),
            settled_in: AtomicU32::new(0),
            owed: AtomicU64::new(0),
            cut: AtomicBool::new(false),
        }
    }

    /// Notes that the guest is about to be polled, having used `cpu`.
    pub fn begin_poll(&self, cpu: Duration) {
        self.budget.set_cpu_used(cpu);
        self.polls
            .store(self.polls.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// Charges a host call when it begins and the bytes it carried when it ends.
    ///
    /// # Errors
    /// [`Trap::OutOfFuel`] when the guest cannot pay.
    pub fn hook(
        &self,
        mut store: StoreContextMut<'_, HostCtx>,
        hook: CallHook,
    ) -> wasmtime::Result<()> {
        match hook {
            CallHook::CallingHost => store.data_mut().charge_call(),
            CallHook::ReturningFromHost => {}
            CallHook::CallingWasm | CallHook::ReturningFromWasm => return Ok(()),
        }
        let spent = store.data_mut().take_pending_fuel() + self.budget.take_spent();
        let owed = self.owed.load(Relaxed) + spent;
        let left = store.get_fuel()?;
        self.budget.set_fuel_left(left.saturating_sub(owed));
        if owed >= left {
            self.owed.store(owed, Relaxed);
            return Err(Trap::OutOfFuel.into());
        }
        let poll = self.polls.load(Relaxed);
        let new_poll = poll != self.settled_in.load(Relaxed);
        let full = owed > FUEL_YIELD_INTERVAL && !self.cut.load(Relaxed);
        if !new_poll && !full {
            self.owed.store(owed, Relaxed);
            return Ok(());
        }
        let interval = if new_poll { FUEL_YIELD_INTERVAL } else { REST };
        store.set_fuel(left - owed)?;
        store.fuel_async_yield_interval(Some(interval))?;
        self.owed.store(0, Relaxed);
        self.settled_in.store(poll, Relaxed);
        self.cut.store(!new_poll, Relaxed);
        Ok(())
    }

    /// Fuel that is left when all is paid.
    pub fn left(&self, store: &Store<HostCtx>) -> u64 {
        store
            .get_fuel()
            .unwrap_or(0)
            .saturating_sub(self.owed.load(Relaxed))
    }
}
