//! What is left of a process when there is none.

/// A guest called `wasi:cli/exit`. An instance has no process to end, so the call traps with this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the guest called exit with code {code}")]
pub struct GuestExit {
    pub code: u8,
}
