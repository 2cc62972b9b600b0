//! What a host call costs in fuel: the one table.
//!
//! Fuel is the unit of a guest's 500 ms and of billing, at 10,000,000 a millisecond of guest work.
//! wasmtime charges guest code and nothing for what the host does on its behalf, so the host adds its
//! own share here. Prices are rounded up from measurements, so that no call is cheaper by fuel than
//! by time; a change of any number is a new [`PRICE_VERSION`], because bills must be reproducible.

/// Version of this table; recorded with every outcome.
pub const PRICE_VERSION: u32 = 2;

/// One call from the guest into the host: 1 µs.
///
/// A call that does nothing takes 30–60 ns; one that makes a resource, locks or reads a clock some
/// hundreds. One price for all keeps the table predictable, and a million idle calls cost a second
/// of fuel, that is more than any entry has.
pub const FUEL_PER_CALL: u64 = 10_000;

/// One step of SQLite's machine on a guest's behalf: 20 ns, what a step takes on average.
pub const FUEL_PER_STEP: u64 = 200;

/// One byte carried across the boundary in either direction: 0.2 ns.
///
/// A copy runs at 5 GB/s or better even out of cache; most bytes are copied once or twice.
pub const FUEL_PER_BYTE: u64 = 2;
