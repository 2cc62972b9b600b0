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
        // Waiting is free for a function and dear for a trigger or a hook, which a writer or somebody
        // who signs in waits for.
        let (wall, memory_bytes) = match kind {
            Kind::BeforeTrigger
            | Kind::AfterTrigger
            | Kind::BeforeUserCreated
            | Kind::CustomClaims
            | Kind::SendMessage => (Duration::from_millis(500), 64 * MIB),
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
/// Signing keys of an app that are not revoked: each is in the JWKS that every client fetches.
pub const SIGNING_KEYS_MAX: usize = 32;
/// Revoked signing keys of an app that are still listed.
pub const REVOKED_KEYS_KEPT: i64 = 50;
/// Opaque API keys of an app: all are in memory.
pub const API_KEYS_MAX: usize = 100;
/// The name of an API key.
pub const API_KEY_NAME_BYTES_MAX: usize = 64;
/// `accepted_keys` of `[auth]`: a token that names no key is tried with each.
pub const ACCEPTED_KEYS_MAX: usize = 10;
/// A secret that signs: HS256 has no more than its 32 bytes (RFC 7518 §3.2).
pub const SHARED_SECRET_BYTES_MIN: usize = 32;
/// How long others may keep an app's JWKS. A key on standby should have been there for as long before it signs.
pub const JWKS_AGE: Duration = Duration::from_secs(600);
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

/// Rows of one answer about permissions, unless it is asked for more or less.
pub const PERMISSIONS_PAGE: u64 = 100;
/// The most that it may be asked for.
pub const PERMISSIONS_PAGE_MAX: u64 = 1_000;
/// Members of the platform: people, and machines that deploy.
pub const MEMBERS_MAX: i64 = 10_000;
/// Tokens of one member that have not expired.
pub const MEMBER_TOKENS_MAX: i64 = 50;
/// Letters of a member's name, or of a token's.
pub const MEMBER_NAME_MAX: usize = 80;
/// How long a member's token lives unless it says otherwise.
pub const MEMBER_TOKEN_LIFE: Duration = Duration::from_secs(90 * 24 * 3600);
/// The most that it may say.
pub const MEMBER_TOKEN_LIFE_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// What `password_min` may ask for at most.
pub const PASSWORD_MIN_CEILING: u32 = 128;
/// A password as sent: far above what anybody remembers, and nothing is ever cut off.
pub const PASSWORD_BYTES_MAX: usize = 1024;
/// Digits of a code that is mailed: fewer could be guessed within its life.
pub const CODE_DIGITS_MIN: u32 = 6;
/// More are not typed in without a mistake.
pub const CODE_DIGITS_MAX: u32 = 10;
/// How long a code or link can be used.
pub const CODE_LIFE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Wrong codes after which the one that was sent is worth nothing.
pub const CODE_ATTEMPTS_MAX: i64 = 5;
/// An access token: it cannot be called back everywhere.
pub const TOKEN_LIFE_MAX: Duration = Duration::from_secs(24 * 3600);
/// How long a refresh token that was used may work once more.
pub const REUSE_MAX: Duration = Duration::from_secs(60);
/// What `session_s` and `session_idle_s` may say.
pub const SESSION_LIFE_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// How long a code that a client exchanges for a session can be used, and a sign-in at a provider last.
pub const FLOW_LIFE: Duration = Duration::from_secs(300);
/// Second factors of a user.
pub const FACTORS_CEILING: u32 = 30;
/// What `[auth.rates]` may say of an hour.
pub const RATE_CEILING: u32 = 100_000_000;
/// A body of `/auth/v1`.
pub const AUTH_BODY_BYTES_MAX: usize = MIB;
/// What users say of themselves and an app of a user together, in bytes of JSON: it travels in every token,
/// which has to stay below [`TOKEN_BYTES_MAX`].
pub const METADATA_BYTES_MAX: usize = 8 * 1024;
/// How much of a client's name is kept with its session.
pub const USER_AGENT_CHARS_KEPT: usize = 200;
/// Sessions of a user; the oldest makes room.
pub const SESSIONS_PER_USER_MAX: usize = 100;
/// Users of one page of a list.
pub const USERS_PER_PAGE_MAX: u64 = 1_000;
/// The longest ban: a hundred years.
pub const BAN_DAYS_MAX: i64 = 36_525;
/// Ended sessions of an app remembered on a node.
pub const REVOKED_SESSIONS_MAX: u64 = 100_000;
/// Passwords of one app that wait to be hashed: about what two processors do in `queue_wait`.
pub const PASSWORD_QUEUE_APP: usize = 100;
/// Passwords of all apps that wait; beyond it an app may have one. About 1.5 KiB each.
pub const PASSWORD_QUEUE: usize = 1_000;
/// How long a hashing thread without work keeps its 19 MiB.
pub const PASSWORD_THREAD_IDLE: Duration = Duration::from_secs(60);
/// A password's hash as it is imported: the longest known format, Firebase's, has about 250 bytes.
pub const PASSWORD_HASH_BYTES_MAX: usize = 1024;
/// Memory that an imported hash may take: OWASP's scrypt takes this much. Each hashing thread may be at one.
pub const IMPORTED_HASH_BYTES: u64 = 128 * MIB as u64;
/// Memory times passes over it: about a second.
pub const IMPORTED_HASH_WORK_BYTES: u64 = 512 * MIB as u64;
/// Cost of an imported bcrypt hash: about a second.
pub const IMPORTED_BCRYPT_COST: u32 = 14;
/// How long a factor's challenge can be answered.
pub const CHALLENGE_LIFE: Duration = Duration::from_secs(300);
/// Wrong codes of a factor, and the time in which so many are too many. The second pair is for whoever has
/// the password and all the time there is: at 50 a day, each one of three codes of a million, it takes
/// twelve years until the odds are even.
pub const FACTOR_WRONG_CODES: [(i64, Duration); 2] = [
    (5, Duration::from_secs(300)),
    (50, Duration::from_secs(24 * 3600)),
];
/// After this a factor whose first code never came makes room for another.
pub const FACTOR_UNVERIFIED_LIFE: Duration = Duration::from_secs(300);
/// A factor's name and its issuer, in characters. The issuer is in the QR code twice, in up to 12 bytes a
/// character, and that has 2,331 bytes for them and the user's address.
pub const FACTOR_NAME_CHARS: usize = 64;
/// Recovery codes that a user gets at once.
pub const RECOVERY_CODES: usize = 10;
/// All claims of an access token as JSON, when a hook has chosen them: a token is sent with each request,
/// and is longer by a third there.
pub const HOOK_CLAIMS_BYTES_MAX: usize = 8 * 1024;
/// The code of a hook's refusal: it becomes a header.
pub const HOOK_CODE_BYTES_MAX: usize = 64;
/// The message of a hook's refusal.
pub const HOOK_MESSAGE_BYTES_MAX: usize = 1024;

/// Requests to an app a minute from one IPv4 address or one /64 of IPv6, all of them at once if need be: a
/// thousand a second are an office or a mobile network behind one address, and no page. Apps that are
/// called through somebody's server say more.
pub const RATE_PER_IP: u32 = 60_000;
/// Requests to an app a minute of one user, from wherever: a hundred a second for a minute.
pub const RATE_PER_USER: u32 = 6_000;
/// Requests to an app a minute of all together: more than a node of few cores answers.
pub const RATE_PER_APP: u32 = 6_000_000;
/// What `[rates]` may say of a minute: one request for each microsecond, in which a limit counts.
pub const RATE_MINUTE_CEILING: u32 = 60_000_000;
/// Counters of a node: 16 MiB. When all of them count, those that know least make room.
pub const RATE_COUNTERS_MAX: usize = MIB;
/// How long a request waits for Redis; then its node counts alone.
pub const REDIS_WAIT: Duration = Duration::from_millis(250);
/// How long connecting to Redis may take, which only a node's start waits for.
pub const REDIS_CONNECT: Duration = Duration::from_secs(2);
/// How soon a Redis that did not answer is asked again.
pub const REDIS_AGAIN: Duration = Duration::from_secs(1);

/// One request to a provider of sign-ins, from the look-up of its name to the last byte of its answer.
pub const PROVIDER_WAIT: Duration = Duration::from_secs(10);
/// A provider's answer: keys and profiles are a hundredth of this.
pub const PROVIDER_BYTES_MAX: usize = 256 * 1024;
/// How long a provider's metadata and keys are used without asking anew.
pub const ISSUER_LIFE: Duration = Duration::from_secs(3600);
/// How soon keys are asked for again when a token names one that is not among them: whoever makes up
/// names must not make us ask.
pub const ISSUER_KEYS_AGAIN: Duration = Duration::from_secs(60);
/// How soon a provider is asked again that did not answer as it should.
pub const ISSUER_AGAIN: Duration = Duration::from_secs(5);
/// Providers of an app whose metadata and keys are kept.
pub const ISSUERS_CACHED_MAX: usize = 32;
/// Keys of a provider that are looked at.
pub const ISSUER_KEYS_MAX: usize = 64;
/// How far a provider's clock may be from ours.
pub const ID_TOKEN_LEEWAY: Duration = Duration::from_secs(30);
/// A URL that a sign-in is to lead back to.
pub const REDIRECT_BYTES_MAX: usize = 2048;
/// A text that a provider says of a user, such as a name; longer ones are left out.
pub const PROFILE_TEXT_BYTES_MAX: usize = 1024;
/// What a provider says of an error is cut here, before it becomes part of a URL.
pub const PROVIDER_ERROR_BYTES_MAX: usize = 500;
/// A provider's tokens, which a client gets in one answer: far above any real one.
pub const PROVIDER_TOKEN_BYTES_MAX: usize = 16 * 1024;

/// One template of a mail, as uploaded.
pub const MAIL_TEMPLATE_BYTES_MAX: u64 = 64 * 1024;
/// Steps of one template: the built-in ones take about fifty.
pub const MAIL_TEMPLATE_FUEL: u64 = 10_000;
/// What a user says of itself and templates see; users with more are empty there. With the steps above
/// it bounds the time of a mail: less than a second at the very worst.
pub const MAIL_DATA_BYTES_MAX: usize = 16 * 1024;
/// One part of a mail, text or HTML: large ones are cut off by mail clients at about 100 KiB.
pub const MAIL_PART_BYTES_MAX: usize = 256 * 1024;
/// A subject; longer ones are cut.
pub const MAIL_SUBJECT_CHARS_MAX: usize = 200;
/// Mails of all apps that wait for an SMTP server, in memory.
pub const MAIL_QUEUE_MAX: usize = 10_000;
/// Their bytes.
pub const MAIL_QUEUE_BYTES_MAX: usize = 64 * MIB;
/// One app may have this part of either, so that its flood leaves others room.
pub const MAIL_QUEUE_APP_PART: usize = 8;
/// Mails on their way to SMTP servers at once.
pub const MAIL_SENDING_MAX: usize = 8;
/// The same for one app: one whose server hangs keeps no other's mails.
pub const MAIL_SENDING_APP_MAX: usize = 2;
/// Pauses before the second and the third try. The code in the mail is worth less by the minute, and
/// users ask for another.
pub const MAIL_PAUSES: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(40)];
/// One try, connecting included.
pub const MAIL_WAIT: Duration = Duration::from_secs(30);
/// How long a connection to an SMTP server is kept for the next mail; most servers close at 60 s or later.
pub const MAIL_IDLE: Duration = Duration::from_secs(30);
/// Connections so kept.
pub const MAIL_IDLE_MAX: usize = 16;
/// Addresses of one SMTP server that are tried.
pub const MAIL_ADDRESSES_MAX: usize = 4;
/// How long a stopping node goes on sending what waits.
pub const MAIL_STOP_WAIT: Duration = Duration::from_secs(10);
/// Mails that the mailbox of an app keeps.
pub const MAILBOX_MAILS_MAX: usize = 50;
/// Their bytes.
pub const MAILBOX_BYTES_MAX: usize = 4 * MIB;
/// How soon a node on PostgreSQL sees that another has ended a session.
pub const REVOKED_LOOK: Duration = Duration::from_secs(4);
/// How often what is over is cleared away from an app's users, while some sign in.
pub const AUTH_TIDY: Duration = Duration::from_secs(600);
/// Entries of an app's audit log.
pub const AUDIT_MAX: u64 = 100_000;
