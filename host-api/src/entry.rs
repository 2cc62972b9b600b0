//! What is true of every invocation of one entry of one revision.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cache::Cache;
use crate::data::DataStore;
use crate::files::{Buckets, FileStore};
use crate::http::Egress;
use crate::ids::{AppId, AppName, ComponentName};
use crate::jobs::Scripts;
use crate::messaging::Messages;
use crate::meter::MemoryBudget;

/// One entry of the manifest as its guests' host sees it: made once per revision, shared by all its
/// invocations, never changed.
///
/// Its `Debug` shows the names of environment and configuration, not their values: either may hold
/// what an operator would not have in a log.
pub struct Entry {
    pub app_id: AppId,
    pub app: AppName,
    pub component: ComponentName,
    pub kind: Kind,
    pub revision: u64,
    /// What `wasi:cli/environment` answers.
    pub environment: Vec<(String, String)>,
    /// The `[config]` table.
    pub config: BTreeMap<String, String>,
    pub secrets: Secrets,
    pub egress: Egress,
    /// The app's cache, the same for all its entries.
    pub cache: Cache,
    /// The app's tables.
    pub data: Option<DataStore>,
    /// The scripts of this revision, for those who enqueue them.
    pub scripts: Arc<Scripts>,
    /// The app's objects, the same for all its entries.
    pub files: FileStore,
    /// The buckets of this revision.
    pub buckets: Buckets,
    /// The app's messages, the same for all its entries.
    pub messages: Messages,
    /// What the linear memories of all the app's invocations together are taken from.
    pub memory: Arc<MemoryBudget>,
    pub limits: HostLimits,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Named one by one, so that a new field is a compile error here until someone has decided.
        let Entry {
            app_id,
            app,
            component,
            kind,
            revision,
            environment,
            config,
            secrets,
            egress,
            cache,
            data,
            scripts,
            files,
            buckets,
            messages,
            memory,
            limits,
        } = self;
        let environment: Vec<&str> = environment.iter().map(|(name, _)| name.as_str()).collect();
        let config: Vec<&str> = config.keys().map(String::as_str).collect();
        f.debug_struct("Entry")
            .field("app_id", app_id)
            .field("app", app)
            .field("component", component)
            .field("kind", kind)
            .field("revision", revision)
            .field("environment", &environment)
            .field("config", &config)
            .field("secrets", secrets)
            .field("egress", egress)
            .field("cache", cache)
            .field("data", &data.is_some())
            .field("scripts", scripts)
            .field("files", files)
            .field("buckets", buckets)
            .field("messages", messages)
            .field("memory", memory)
            .field("limits", limits)
            .finish()
    }
}

/// What kind of guest an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Function,
    BeforeTrigger,
    AfterTrigger,
    Procedure,
    Script,
    /// A hook of `/auth/v1`, as the two below.
    BeforeUserCreated,
    CustomClaims,
    SendMessage,
}

impl Kind {
    /// The hooks of `/auth/v1`: what a manifest's `[[hook]]` may be.
    pub const HOOKS: [Kind; 3] = [
        Kind::BeforeUserCreated,
        Kind::CustomClaims,
        Kind::SendMessage,
    ];

    /// The word used in logs and outcome records.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Function => "function",
            Kind::BeforeTrigger => "before-trigger",
            Kind::AfterTrigger => "after-trigger",
            Kind::Procedure => "procedure",
            Kind::Script => "script",
            Kind::BeforeUserCreated => "before-user-created",
            Kind::CustomClaims => "custom-claims",
            Kind::SendMessage => "send-message",
        }
    }

    /// Whether it is asked before something that may be refused or tried again: it reads, and changes
    /// nothing. `wit/` calls what it may not do `not-in-before-trigger`, after the first of its sort.
    pub fn only_reads(self) -> bool {
        match self {
            Kind::BeforeTrigger | Kind::BeforeUserCreated | Kind::CustomClaims => true,
            Kind::Function
            | Kind::AfterTrigger
            | Kind::Procedure
            | Kind::Script
            | Kind::SendMessage => false,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The secrets an entry's manifest lists: name to value, `None` where the app has set no value yet.
///
/// Its `Debug` shows names only.
#[derive(Clone, Default)]
pub struct Secrets(BTreeMap<String, Option<String>>);

impl Secrets {
    /// Whether the manifest lists `name`, and the value if there is one.
    pub fn get(&self, name: &str) -> Option<Option<&str>> {
        self.0.get(name).map(Option::as_deref)
    }
}

impl From<BTreeMap<String, Option<String>>> for Secrets {
    fn from(granted: BTreeMap<String, Option<String>>) -> Self {
        Secrets(granted)
    }
}

impl FromIterator<(String, Option<String>)> for Secrets {
    fn from_iter<I: IntoIterator<Item = (String, Option<String>)>>(granted: I) -> Self {
        Secrets(granted.into_iter().collect())
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Bounds on what one invocation may take from the host. There is no "unlimited".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostLimits {
    /// All linear memories of the instance together.
    pub memory_bytes_max: usize,
    /// Elements of one table.
    pub table_elements_max: usize,
    /// Bytes across the boundary in both directions, summed over the invocation.
    pub host_call_bytes_max: u64,
    /// Resources alive at one time.
    pub handles_max: u32,
    /// The request body.
    pub request_bytes_max: u64,
    /// The response body.
    pub response_bytes_max: u64,
    /// One line of the log; what is longer is cut and says so.
    pub log_line_bytes_max: usize,
    /// All lines of one invocation, each as [`line_size`](crate::line_size) counts it; what comes after
    /// is dropped and counted.
    pub log_bytes_max: u64,
    /// Requests sent to other hosts.
    pub outbound_requests_max: u32,
    /// Connecting to another host, and then waiting for the first byte of its answer: each.
    pub outbound_timeout: Duration,
}

impl Default for HostLimits {
    fn default() -> Self {
        HostLimits {
            memory_bytes_max: 128 << 20,
            // 80 KB of pointers; compilers make tables of some thousand functions.
            table_elements_max: 20_000,
            host_call_bytes_max: 64 << 20,
            // A guest that streams holds a dozen; ten thousand are a leak.
            handles_max: 1_024,
            request_bytes_max: 32 << 20,
            response_bytes_max: 32 << 20,
            log_line_bytes_max: 16 << 10,
            log_bytes_max: 1 << 20,
            outbound_requests_max: 64,
            outbound_timeout: Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_values_of_environment_and_config() {
        let (entry, _) = crate::testing::entry(HostLimits::default());
        let mut entry = Arc::into_inner(entry).unwrap();
        entry.environment = vec![("DATABASE_URL".to_owned(), "hunter2".to_owned())];
        entry.config = [("mode".to_owned(), "hunter3".to_owned())].into();
        let line = crate::LogLine {
            entry: &entry,
            invocation: crate::testing::invocation(),
            level: crate::Level::Info,
            message: "",
            fields: &[],
        };
        for shown in [format!("{entry:?}"), format!("{line:?}")] {
            assert!(
                shown.contains("DATABASE_URL") && shown.contains("mode"),
                "{shown}"
            );
            assert!(!shown.contains("hunter"), "{shown}");
        }
    }

    #[test]
    fn debug_hides_secret_values() {
        let secrets: Secrets = [("key".to_owned(), Some("hunter2".to_owned()))]
            .into_iter()
            .collect();
        let shown = format!("{secrets:?}");
        assert!(
            shown.contains("key") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}
