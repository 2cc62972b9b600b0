//! `pumice.toml`: what an app consists of. Static: all of it is checked before any guest runs, and
//! all faults are reported together, each with its line and a fix.
//!
//! Whether a table of a trigger is there, and whether a component exports what its entries need, is
//! checked elsewhere: neither can be read from the manifest.

mod api;
pub mod auth;
mod entries;
mod limits;
mod permissions;
mod rates;
mod reader;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use pumice_host_api::data::Settings;
use pumice_host_api::jobs::cron;
use pumice_host_api::permissions::Namespace;
use pumice_host_api::{Bucket, Kind};
use serde::Serialize;
use toml::de::DeTable;

use self::auth::AuthSettings;
use self::reader::{Reader, line_of};
use crate::limits::{Limits, MANIFEST_BYTES_MAX};
use crate::services::rates::RequestPaces;

/// A checked manifest. Lists are in its order.
#[derive(Clone, Debug)]
pub struct Manifest {
    pub name: String,
    pub config: BTreeMap<String, String>,
    /// What `[api]` says of `/rest/v1`.
    pub api: Settings,
    /// What `[auth]` says of `/auth/v1`.
    pub auth: AuthSettings,
    /// What `[rates]` says of requests.
    pub rates: RequestPaces,
    pub functions: Vec<Function>,
    pub triggers: Vec<Trigger>,
    pub procedures: Vec<Procedure>,
    pub scripts: Vec<Script>,
    /// At most one of each of [`Kind::HOOKS`].
    pub hooks: Vec<Entry>,
    pub schedules: Vec<Schedule>,
    pub buckets: Vec<Bucket>,
    /// The app's own namespaces of permissions.
    pub permissions: Vec<Namespace>,
}

/// What every entry has: one thing of the manifest that can be called.
///
/// `Display` writes how messages call it, such as ``before-trigger `check-order` ``.
#[derive(Clone, Debug)]
pub struct Entry {
    pub kind: Kind,
    /// No other entry of its sort (function, trigger, procedure, script, hook) has it, and one of another
    /// sort only if its component is the same.
    pub name: String,
    /// Where its component comes from, relative to the manifest: a crate, a script, or a `.wasm`.
    /// Entries with the same path are served by one component.
    pub path: String,
    /// Always empty for one that [only reads](Kind::only_reads).
    pub egress: Vec<String>,
    pub secrets: Vec<String>,
    pub limits: Limits,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind, self.name)
    }
}

/// One `[[function]]`.
#[derive(Clone, Debug)]
pub struct Function {
    pub entry: Entry,
    /// A path of the app, or a prefix of paths when it ends in `*`.
    pub route: Option<String>,
    pub access: Access,
    /// The permission that a caller must hold.
    pub require: Option<String>,
}

/// One `[[trigger]]`.
#[derive(Clone, Debug)]
pub struct Trigger {
    pub entry: Entry,
    /// A table of schema `public`.
    pub table: String,
    pub when: When,
    /// At least one, none twice.
    pub on: Vec<Operation>,
}

/// When a trigger is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Before the rows change. `serializable`: nothing else changes between its reads and the write.
    Before { serializable: bool },
    /// After they have changed, at most this many times for each change.
    After { attempts_max: u32 },
}

pub use pumice_host_api::data::hooks::Operation;

/// One `[[procedure]]`.
#[derive(Clone, Debug)]
pub struct Procedure {
    pub entry: Entry,
    pub access: Access,
    /// The permission that a caller must hold.
    pub require: Option<String>,
}

/// One `[[script]]`.
#[derive(Clone, Debug)]
pub struct Script {
    pub entry: Entry,
    pub access: Access,
    /// The permission that whoever enqueues it must hold, and still when it runs.
    pub require: Option<String>,
    /// How often a job is tried before it is given up.
    pub attempts_max: u32,
}

/// One `[[schedule]]`.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// The script's, unless it says another.
    pub name: String,
    /// One of the manifest's scripts.
    pub script: String,
    /// As written.
    pub cron: String,
    /// As written: a name of IANA's database.
    pub timezone: String,
    /// What the two mean.
    pub due: cron::Schedule,
}

/// One component, with the entries it serves.
#[derive(Debug)]
pub struct Component<'m> {
    /// The name of the first of its entries, in the order of [`Manifest::entries`]: no other component
    /// has it.
    pub name: &'m str,
    pub path: &'m str,
    /// At least one.
    pub entries: Vec<&'m Entry>,
}

/// Who may call an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without a key.
    Public,
    /// Any valid key or token of the app.
    #[default]
    Anon,
    /// A signed-in user, or the service key.
    Authenticated,
    /// The service key.
    Service,
}

/// One thing wrong with a manifest.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Fault {
    /// Line in `pumice.toml`, from 1.
    pub line: usize,
    pub message: String,
    /// What to write instead.
    pub fix: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "pumice.toml:{}: {}; {}",
            self.line, self.message, self.fix
        )
    }
}

impl Manifest {
    /// Reads and checks `text`.
    ///
    /// # Errors
    /// Every fault found, in order of lines.
    pub fn parse(text: &str) -> Result<Manifest, Vec<Fault>> {
        if text.len() > MANIFEST_BYTES_MAX {
            return Err(vec![Fault {
                line: 1,
                message: format!("the manifest has {} bytes", text.len()),
                fix: format!("{MANIFEST_BYTES_MAX} are the most"),
            }]);
        }
        let table = match DeTable::parse(text) {
            Ok(table) => table,
            Err(error) => {
                return Err(vec![Fault {
                    line: line_of(text, error.span().map_or(0, |span| span.start)),
                    message: error.message().to_owned(),
                    fix: "see https://toml.io for the syntax".to_owned(),
                }]);
            }
        };
        let mut reader = Reader::new(text);
        let manifest = reader.manifest(table.get_ref());
        let faults = reader.faults();
        if faults.is_empty() {
            Ok(manifest)
        } else {
            Err(faults)
        }
    }

    /// The smallest manifest of an app called `name`.
    pub fn empty(name: &str) -> Manifest {
        Manifest {
            name: name.to_owned(),
            config: BTreeMap::new(),
            api: Settings::default(),
            auth: AuthSettings::default(),
            rates: RequestPaces::default(),
            functions: Vec::new(),
            triggers: Vec::new(),
            procedures: Vec::new(),
            scripts: Vec::new(),
            hooks: Vec::new(),
            schedules: Vec::new(),
            buckets: Vec::new(),
            permissions: Vec::new(),
        }
    }

    /// Everything that can be called: functions, then triggers, procedures, scripts and hooks.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        let functions = self.functions.iter().map(|function| &function.entry);
        let triggers = self.triggers.iter().map(|trigger| &trigger.entry);
        let procedures = self.procedures.iter().map(|procedure| &procedure.entry);
        let scripts = self.scripts.iter().map(|script| &script.entry);
        let entries = functions.chain(triggers).chain(procedures);
        entries.chain(scripts).chain(&self.hooks)
    }

    /// The permissions that entries need, each once.
    pub fn required(&self) -> Vec<String> {
        let functions = self.functions.iter().map(|function| &function.require);
        let procedures = self.procedures.iter().map(|procedure| &procedure.require);
        let scripts = self.scripts.iter().map(|script| &script.require);
        let all = functions.chain(procedures).chain(scripts).flatten();
        all.collect::<BTreeSet<_>>().into_iter().cloned().collect()
    }

    /// The components of the app, each once however many entries it serves.
    pub fn components(&self) -> Vec<Component<'_>> {
        let mut components: Vec<Component<'_>> = Vec::new();
        let mut by_path = HashMap::new();
        for entry in self.entries() {
            let place = *by_path.entry(&entry.path).or_insert(components.len());
            match components.get_mut(place) {
                Some(component) => component.entries.push(entry),
                None => components.push(Component {
                    name: &entry.name,
                    path: &entry.path,
                    entries: vec![entry],
                }),
            }
        }
        components
    }
}

/// Whether `name` can name an app or an entry: it becomes part of host names, paths and files.
pub fn is_name(name: &str) -> bool {
    (1..=40).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Whether `name` can name a secret. `SUPABASE_` is the dialect's own.
pub fn is_secret_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_uppercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        && !name.starts_with("SUPABASE_")
}
