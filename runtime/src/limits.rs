//! Every limit of the system, each with its reason. Nothing here is ever "unlimited".
//!
//! [`Limits`] bounds one invocation; [`Node`] bounds the process; the rest bounds what comes in from
//! outside. An entry's manifest may change its own limits up to [`Limits::ceiling`].

use std::time::Duration;

use pumice_host_api::Kind;

/// Fuel that stands for one millisecond of guest work.
///
/// wasmtime charges one unit for each operator. Compiled code runs through 10 to 13 million operators a
/// millisecond when it parses or computes, so that its 500 ms of fuel end after 400 to 500 ms of time;
/// code that waits for memory runs through less than a million, and the processor's clock stops it
/// first (`cargo xtask bench` prints the relation).
pub const FUEL_PER_MS: u64 = 10_000_000;

/// Version of everything that decides how much fuel a piece of work costs: wasmtime's operator
/// table as changed in `engine`, and the host's price list. Recorded with each outcome, so that a
/// bill can be reproduced.
pub const COST_VERSION: u32 = 2;

/// Fuel after which a running guest lets others have the thread: about 0.2 ms.
pub const FUEL_YIELD_INTERVAL: u64 = 2_000_000;

/// What one invocation may use. The first limit it reaches stops it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Deterministic work; see [`FUEL_PER_MS`].
    pub fuel: u64,
    /// Processor time spent while the guest's future is polled.
    pub cpu: Duration,
    /// Time from admission to the end, waiting included.
    pub wall: Duration,
    /// Linear memory, all memories together.
    pub memory_bytes: usize,
    /// Elements of all tables together.
    pub table_elements: usize,
    /// Bytes over the host boundary, both ways together.
    pub host_call_bytes: u64,
    /// Live handles (resources) of the guest.
    pub handles: u32,
    /// Bytes of the response body.
    pub response_bytes: u64,
    /// Outbound HTTP requests.
    pub outbound_requests: u32,
}

const MIB: usize = 1024 * 1024;

impl Limits {
    /// What an entry gets when its manifest says nothing.
    pub const fn default_of(kind: Kind) -> Limits {
        // Waiting is free for a function and dear for a trigger, which a writer waits for.
        let (wall, memory_bytes) = match kind {
            Kind::BeforeTrigger | Kind::AfterTrigger => (Duration::from_millis(500), 64 * MIB),
            Kind::Procedure => (Duration::from_millis(500), 128 * MIB),
            Kind::Function => (Duration::from_secs(30), 128 * MIB),
            Kind::Script => (Duration::from_secs(15 * 60), 128 * MIB),
        };
        Limits {
            fuel: 500 * FUEL_PER_MS,
            cpu: Duration::from_millis(500),
            wall,
            memory_bytes,
            // A QuickJS guest's tables hold about 2,000 entries; ten times that is room to grow.
            table_elements: 20_000,
            // Twice the largest request and response body together.
            host_call_bytes: 256 * MIB as u64,
            // A request with 100 headers and a few streams needs about a dozen.
            handles: 1_000,
            response_bytes: 64 * MIB as u64,
            outbound_requests: 50,
        }
    }

    /// The most that a manifest may ask for.
    pub const fn ceiling(kind: Kind) -> Limits {
        let mut limits = Limits::default_of(kind);
        if let Kind::Function = kind {
            // The dialect's own idle window.
            limits.wall = Duration::from_secs(150);
            limits.response_bytes = 1024 * MIB as u64;
            limits.host_call_bytes = 2048 * MIB as u64;
        }
        if let Kind::Script = kind {
            limits.fuel = 60_000 * FUEL_PER_MS;
            limits.cpu = Duration::from_secs(60);
            limits.wall = Duration::from_secs(3600);
            limits.host_call_bytes = 2048 * MIB as u64;
        }
        limits
    }
}

/// Bounds of the process, from `server.toml`.
#[derive(Clone, Debug)]
pub struct Node {
    /// Root invocations at once; each may have one nested one (a trigger that its write asks) beside it.
    /// Each has room for four memories (4 GiB and guards each; JavaScript guests have three) in the pool;
    /// 1,000 and their nested ones are 32 TiB of the 128 TiB of address space that a process has.
    pub instances: u32,
    /// Guests of one app alive at once, so that one app cannot take all slots.
    pub app_instances: u32,
    /// Long invocations of one app that take turns on the processors. Its spinners then share that
    /// many time slices, however many there are.
    pub app_cpu: u32,
    /// The same for all apps together.
    pub cpu: u32,
    /// Invocations of one app that may wait for admission.
    pub app_queue: u32,
    /// Linear memory of all guests together; those of one app may hold half of it.
    pub memory_bytes: u64,
    /// How long one may wait before it is told 503.
    pub queue_wait: Duration,
    /// Open connections.
    pub connections: usize,
}

impl Default for Node {
    fn default() -> Node {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
        Node {
            instances: 1_000,
            app_instances: 256,
            // One app's long work leaves a processor to the others; brief work of anybody comes
            // between two slices in any case.
            app_cpu: (cores - 1).max(1),
            cpu: cores,
            memory_bytes: memory_of_machine() / 10 * 6,
            app_queue: 1_000,
            queue_wait: Duration::from_secs(2),
            connections: 10_000,
        }
    }
}

/// Memory of the machine, or of the control group this process is in, if that is less.
fn memory_of_machine() -> u64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = meminfo
        .strip_prefix("MemTotal:")
        .and_then(|rest| rest.split_whitespace().next());
    let total = total
        .and_then(|kib| kib.parse::<u64>().ok())
        .map_or(1 << 30, |kib| kib * 1024);
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").unwrap_or_default();
    group
        .trim()
        .parse()
        .map_or(total, |max: u64| max.min(total))
}

/// Body of a request to a function.
pub const REQUEST_BODY_BYTES_MAX: u64 = 50 * MIB as u64;
/// JSON body of a request to `/rest/v1`.
pub const REST_BODY_BYTES_MAX: usize = 10 * MIB;
/// Body of a request to `/batch/v1`, all its requests together.
pub const BATCH_BODY_BYTES_MAX: usize = REST_BODY_BYTES_MAX;
/// Requests of one batch: it has the app's writer for as long as one transaction may.
pub const BATCH_REQUESTS_MAX: usize = 100;
/// Rows of one answer, whatever a manifest's `rows_max` says.
pub const API_ROWS_CEILING: u64 = 100_000;
/// Time of one statement, whatever a manifest says.
pub const STATEMENT_TIMEOUT_CEILING: Duration = Duration::from_secs(60);
/// Schemas that a manifest may list: each is read from the catalog.
pub const API_SCHEMAS_MAX: usize = 20;
/// A request's line and headers.
pub const REQUEST_HEAD_BYTES_MAX: usize = 64 * 1024;
/// How long a client may take over its request's head, and keep an idle connection.
pub const REQUEST_HEAD_WAIT_MAX: Duration = Duration::from_secs(30);
/// How long a client may take none of what is sent to it.
pub const WRITE_STALL_MAX: Duration = Duration::from_secs(30);
/// Requests at once on one HTTP/2 connection.
pub const STREAMS_PER_CONNECTION: u32 = 100;
/// JSON body of a request to the platform API.
pub const PLATFORM_BODY_BYTES_MAX: usize = 4 * MIB;

/// A component as uploaded. The JavaScript guests are 2 MiB, large Rust ones 10 MiB.
pub const COMPONENT_BYTES_MAX: u64 = 32 * MIB as u64;
/// Functions in a component, all its modules together: bounds compile time.
pub const COMPONENT_FUNCTIONS_MAX: usize = 50_000;
/// Core modules and nested components in a component.
pub const COMPONENT_PARTS_MAX: usize = 50;
/// One static file.
pub const STATIC_FILE_BYTES_MAX: u64 = 64 * MIB as u64;
/// Files of one revision, components and static files together.
pub const REVISION_FILES_MAX: usize = 10_000;
/// `pumice.toml`.
pub const MANIFEST_BYTES_MAX: usize = 256 * 1024;
/// Entries (functions and the like), schedules and buckets of one app.
pub const APP_ENTRIES_MAX: usize = 500;
/// Attempts at a job, or at telling an after-trigger of a change, unless its manifest says another number.
pub const ATTEMPTS_DEFAULT: u32 = 5;
/// The most that a manifest may say: with growing pauses, 25 attempts reach over weeks.
pub const ATTEMPTS_CEILING: u32 = 25;
/// One object of a bucket, whatever the manifest says: all objects of an app together may have as much.
pub const BUCKET_OBJECT_BYTES_MAX: u64 = 1024 * MIB as u64;
/// A table's name: PostgreSQL's own bound.
pub const TABLE_NAME_BYTES_MAX: usize = 63;
/// One file of `migrations/`, and `seed.sql`. All of one is read into memory and parsed.
pub const MIGRATION_BYTES_MAX: u64 = MIB as u64;
/// Files of `migrations/`.
pub const MIGRATIONS_MAX: usize = 1_000;
/// Revisions of an app that are kept for rollback.
pub const REVISIONS_KEPT: i64 = 20;
/// Apps on one node.
pub const APPS_MAX: usize = 10_000;

/// Processor time of the compiler for one component.
pub const COMPILE_CPU: Duration = Duration::from_secs(60);
/// Time for one compilation, waiting for the machine included.
pub const COMPILE_WALL: Duration = Duration::from_secs(120);
/// Address space of the compiler process.
pub const COMPILE_MEMORY_BYTES: u64 = 3 * 1024 * MIB as u64;
/// Loaded components (compiled code in memory) kept when nobody has called them for
/// [`COMPONENT_IDLE`].
pub const COMPONENTS_LOADED_IDLE_MAX: usize = 256;
/// After this time unused a component may be unloaded.
pub const COMPONENT_IDLE: Duration = Duration::from_secs(300);

/// After this time unused an app's database files are closed.
pub const DATABASE_IDLE: Duration = Duration::from_secs(60);

/// For how long a procedure is tried again that other transactions came between.
pub const PROCEDURE_AGAIN: Duration = Duration::from_secs(3);
/// The longest pause before it is tried again; the first is 1 ms.
pub const PROCEDURE_PAUSE: Duration = Duration::from_millis(50);
/// After this the job service looks at its clock anew: a machine that slept is noticed.
pub const JOBS_LOOK: Duration = Duration::from_secs(60);

/// Verified tokens remembered for each app; checking one anew costs about 100 µs.
pub const TOKENS_CACHED_MAX: u64 = 10_000;
/// A token as sent: far above any real one.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// The reason beside a status that an app's SQL function chose: a line of a head, not a letter.
pub const REASON_BYTES_MAX: usize = 200;
/// A secret's value.
pub const SECRET_BYTES_MAX: usize = 64 * 1024;
/// Secrets of an app.
pub const SECRETS_MAX: usize = 200;

/// A guest's log line; longer ones are cut.
pub const LOG_LINE_BYTES_MAX: usize = 16 * 1024;
/// Lines on their way to the log files; more are dropped and counted.
pub const LOG_QUEUE_MAX: usize = 16_384;
/// Outcomes of successful invocations written for an app each second; failures are always written.
pub const LOG_SUCCESSES_PER_SECOND: u32 = 100;
/// Bytes of a guest's lines written in one invocation; more are dropped and counted.
pub const LOG_BYTES_PER_INVOCATION: u64 = MIB as u64;
/// Connecting to another host, and then waiting for its first byte: each.
pub const OUTBOUND_WAIT: Duration = Duration::from_secs(10);
/// An app's share of the node's cache.
pub const CACHE_APP_BYTES: u64 = 32 * MIB as u64;
/// One log file; then the next begins.
pub const LOG_SEGMENT_BYTES: u64 = 8 * MIB as u64;
/// All log files of an app.
pub const LOG_APP_BYTES: u64 = 256 * MIB as u64;
/// Age at which a log file is deleted.
pub const LOG_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Usage events on their way to billing.
pub const METERING_QUEUE_MAX: usize = 65_536;

/// How long a job or a delivery is its worker's without a word from it. Three beats may be missed.
pub const JOB_LEASE: Duration = Duration::from_secs(30);
/// How often a worker says that it is still there.
pub const JOB_HEARTBEAT: Duration = Duration::from_secs(10);
/// Jobs of one app that run at once on one node: requests keep most of the app's places.
pub const JOBS_RUNNING_PER_APP: usize = 8;
/// Batches of changes of one app that after-triggers are told of at once on one node.
pub const DELIVERIES_RUNNING_PER_APP: usize = 4;
/// Jobs and deliveries of all apps that run at once on one node; the next place goes to whoever has
/// waited longest, so that apps take turns.
pub const JOBS_RUNNING_MAX: usize = 64;
/// How soon changes are seen that others than this node have made on PostgreSQL.
pub const CHANGES_POLL: Duration = Duration::from_secs(1);
/// How soon jobs are seen that a node on PostgreSQL left behind, beyond their lease.
pub const JOBS_POLL: Duration = Duration::from_secs(60);
/// How soon an app's work is looked at again when its database did not answer.
pub const JOBS_AGAIN: Duration = Duration::from_secs(5);
/// How often old jobs and changes are cleared away, while there is work.
pub const JOBS_TIDY: Duration = Duration::from_secs(600);
/// How long a stopping node waits for its jobs before it gives them back.
pub const JOBS_STOP_WAIT: Duration = Duration::from_secs(5);
/// How long a move of an app's data waits for its jobs and deliveries under way: twice what most of them
/// may take. What takes longer runs again where the data is then, when its lease is over.
pub const MOVE_QUIET_WAIT: Duration = Duration::from_secs(30);
