//! The floor under every host: instantiates a `wasi:http` component from its `InstancePre` and calls its
//! handler, in a loop on one thread, with host functions that do the least that lets the guest go on.
//!
//! `floor COMPONENT COUNT` prints `{"plain_us":…,"metered_us":…}`: µs for one fresh instance and call,
//! of COUNT; plain, and with fuel on a fiber, which is how a server has to run guests it does not trust.

mod imports;

use std::time::Instant;

use anyhow::{Context as _, ensure};
use imports::wasi::http::types::{IncomingRequest, ResponseOutparam};
use imports::{State, add_to_linker};
use wasmtime::component::{
    Component, ComponentExportIndex, Instance, InstancePre, Linker, Resource, TypedFunc,
};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Calls in one batch; the fastest batch counts, because whatever disturbs only ever adds.
const BATCHES: u32 = 10;
/// Plenty for one call, and the yield interval that goes with it.
const FUEL: u64 = 5_000_000_000;
const YIELD_INTERVAL: u64 = 2_000_000;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [component, count] = arguments.as_slice() else {
        anyhow::bail!("floor COMPONENT COUNT");
    };
    let count: u32 = count.parse().context("COUNT")?;
    let bytes = std::fs::read(component).with_context(|| component.clone())?;
    let plain = prepare(&bytes, false)?;
    let plain = fastest(count, || plain.call())?;
    let metered = prepare(&bytes, true)?;
    let metered = fastest(count, || wait(metered.call_metered()))?;
    println!("{{\"plain_us\":{plain:.3},\"metered_us\":{metered:.3}}}");
    Ok(())
}

/// The engine as pumice sets it up: settings that change what an instantiation or a call costs.
fn engine(fuel: bool) -> wasmtime::Result<Engine> {
    let mut pool = PoolingAllocationConfig::new();
    pool.linear_memory_keep_resident(2 << 20)
        .table_keep_resident(64 << 10)
        .max_memory_size(128 << 20)
        .max_unused_warm_slots(256)
        .decommit_batch_size(16)
        .pagemap_scan(Enabled::Auto);
    let mut config = Config::new();
    config
        .consume_fuel(fuel)
        .concurrency_support(false)
        .wasm_component_model(true)
        .memory_reservation(4 << 30)
        .memory_guard_size(32 << 20)
        .max_wasm_stack(512 << 10)
        .async_stack_size(1 << 20)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config)
}

/// A component that is ready to be instantiated, and where its handler is.
struct Prepared {
    instances: InstancePre<State>,
    handler: ComponentExportIndex,
}

type Handler = TypedFunc<(Resource<IncomingRequest>, Resource<ResponseOutparam>), ()>;

fn prepare(bytes: &[u8], fuel: bool) -> anyhow::Result<Prepared> {
    let engine = engine(fuel)?;
    let component = Component::new(&engine, bytes)?;
    let mut linker = Linker::new(&engine);
    // Everything traps, but what a hello calls.
    linker.allow_shadowing(true);
    linker.define_unknown_imports_as_traps(&component)?;
    add_to_linker(&mut linker)?;
    let interface = component
        .get_export_index(None, "wasi:http/incoming-handler@0.2.12")
        .context("the component exports no handler of wasi:http 0.2.12")?;
    let handler = component
        .get_export_index(Some(&interface), "handle")
        .context("the handler has no function `handle`")?;
    Ok(Prepared {
        instances: linker.instantiate_pre(&component)?,
        handler,
    })
}

impl Prepared {
    fn call(&self) -> anyhow::Result<()> {
        let mut store = self.store();
        let instance = self.instances.instantiate(&mut store)?;
        let handler = self.handler(&mut store, &instance)?;
        handler.call(&mut store, arguments())?;
        answered(&store)
    }

    async fn call_metered(&self) -> anyhow::Result<()> {
        let mut store = self.store();
        store.set_fuel(FUEL)?;
        store.fuel_async_yield_interval(Some(YIELD_INTERVAL))?;
        let instance = self.instances.instantiate_async(&mut store).await?;
        let handler = self.handler(&mut store, &instance)?;
        handler.call_async(&mut store, arguments()).await?;
        answered(&store)
    }

    fn store(&self) -> Store<State> {
        Store::new(self.instances.engine(), State::default())
    }

    fn handler(&self, store: &mut Store<State>, instance: &Instance) -> anyhow::Result<Handler> {
        Ok(instance.get_typed_func(store, self.handler)?)
    }
}

/// The request and the place for the response; no host function looks at which they are.
fn arguments() -> (Resource<IncomingRequest>, Resource<ResponseOutparam>) {
    (Resource::new_own(1), Resource::new_own(2))
}

fn answered(store: &Store<State>) -> anyhow::Result<()> {
    ensure!(
        store.data().body == b"hello",
        "the component is not the bench's hello"
    );
    Ok(())
}

/// µs for one call in the fastest batch, after a batch that does not count.
fn fastest(count: u32, call: impl Fn() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let batch = (count / BATCHES).max(1);
    let mut best = f64::INFINITY;
    for round in 0..=BATCHES {
        let began = Instant::now();
        for _ in 0..batch {
            call()?;
        }
        if round > 0 {
            best = best.min(began.elapsed().as_secs_f64() * 1e6 / f64::from(batch));
        }
    }
    Ok(best)
}

/// Runs a future that only ever waits for itself.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}
