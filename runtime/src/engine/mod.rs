//! The wasmtime engine: how guests are compiled, checked, stored and made ready to instantiate.
//!
//! Nothing here calls a guest; that is [`crate::invoke`]'s alone.

pub mod artifact;
pub mod check;
pub mod compile;

use std::hash::{DefaultHasher, Hash, Hasher};

use pumice_host_api::{HostCtx, Kind};
use wasmtime::component::Linker;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OperatorCost, PoolingAllocationConfig,
    VariableOperatorCost, WasmBacktraceDetails,
};

use crate::limits::{Limits, Node};

/// Everything about compiled code: the compiler process and the server must agree on it, or the
/// server refuses the artifact.
fn code_config() -> Config {
    let mut config = Config::new();
    // Fuel is the deterministic meter and the unit of billing. wasmtime's own table charges one unit
    // for each operator and each byte of a bulk operation, but nearly nothing for `memory.grow`,
    // which is a host call with an `mprotect` (about 1 µs): the most a table entry holds is 255.
    let mut cost = OperatorCost::new();
    cost.MemoryGrow = 255;
    cost.TableGrow = 255;
    cost.variable = VariableOperatorCost {
        memory_grow_per_page: 255,
        ..VariableOperatorCost::new()
    };
    config.consume_fuel(true).operator_cost(cost);
    // Each of these is surface that no guest of WASI 0.2 needs; several had advisories of their own.
    // (Threads and exceptions are not even compiled in.)
    config
        .wasm_component_model(true)
        .wasm_gc(false)
        .wasm_memory64(false)
        .wasm_tail_call(true)
        .wasm_custom_page_sizes(false);
    // Component-model async makes every call about four times as dear.
    config.concurrency_support(false);
    // Traps name the guest's functions in the app's log; source lines would need debug sections.
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    // 4 GiB reserved and 32 MiB of guard for each memory: bounds checks cost nothing.
    config
        .memory_reservation(4 << 30)
        .memory_guard_size(32 << 20);
    // A guest may use half a MiB of stack; the host's part of the fiber needs room as well.
    config.max_wasm_stack(512 << 10).async_stack_size(1 << 20);
    config
}

/// The engine that runs guests.
///
/// # Errors
/// When the address space for `node.instances` guests cannot be reserved.
pub fn runtime_engine(node: &Node) -> wasmtime::Result<Engine> {
    let mut pool = PoolingAllocationConfig::new();
    // A guest that writes waits for the triggers it causes: each root invocation has one nested one
    // beside it at most, and a place for that one whatever the others do.
    let slots = node.instances * 2;
    pool.total_component_instances(slots)
        .total_stacks(slots)
        // As many of each as all slots together may ask for: one app's odd components cannot use up
        // what the others' need. Only memories reserve much address space.
        .total_memories(slots * 4)
        .total_tables(slots * 16)
        .total_core_instances(slots * 32)
        .max_core_instances_per_component(32)
        .max_memories_per_component(4)
        .max_tables_per_component(16)
        .max_component_instance_size(1 << 20)
        .max_core_instance_size(1 << 20)
        .table_elements(Limits::default_of(Kind::Function).table_elements)
        .max_memory_size(Limits::ceiling(Kind::Function).memory_bytes);
    // What a guest has written is reset by copying over it instead of giving the pages back: no
    // page faults and no TLB shootdown in the next guest. 2 MiB is what a QuickJS guest writes.
    pool.linear_memory_keep_resident(2 << 20)
        .table_keep_resident(64 << 10);
    pool.pagemap_scan(if pagemap_scan_is_safe() {
        Enabled::Auto
    } else {
        Enabled::No
    });
    // Slots that stay warm for the component they last held: the number of hot components.
    pool.max_unused_warm_slots(256);
    // Pages that are given back go in batches.
    pool.decommit_batch_size(16);
    let mut config = code_config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config)
}

/// The engine that compiles, in a process of its own; it allocates no guests.
///
/// # Errors
/// When wasmtime refuses the configuration, which no input causes.
pub fn compiler_engine() -> wasmtime::Result<Engine> {
    Engine::new(&code_config())
}

/// Whether slots may be reset by scanning for dirty pages: a dirty page that has been swapped out
/// would not be found, and the slot's next guest could read it (wasmtime pull request 14357).
pub fn pagemap_scan_is_safe() -> bool {
    // The file has a header and then a line for each swap area.
    std::fs::read_to_string("/proc/swaps").is_ok_and(|text| text.lines().count() <= 1)
}

/// Names the compiler and every setting that shapes compiled code: an artifact of another
/// fingerprint is compiled anew.
pub fn fingerprint(engine: &Engine) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// What guests can import, linked once for the process.
///
/// # Errors
/// When two definitions collide, which is a bug.
pub fn linker(engine: &Engine) -> wasmtime::Result<Linker<HostCtx>> {
    let mut linker = Linker::new(engine);
    pumice_host_api::add_to_linker(&mut linker)?;
    Ok(linker)
}
