//! `pumice.toml`: what an app consists of. Static: all of it is checked before any guest runs, and
//! all faults are reported together, each with its line and a fix.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use pumice_host_api::{Egress, EgressClient, Kind};
use serde::Serialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::limits::{self, Limits};

/// A checked manifest.
#[derive(Clone, Debug)]
pub struct Manifest {
    pub name: String,
    pub config: BTreeMap<String, String>,
    pub functions: Vec<Function>,
}

/// One `[[function]]`.
#[derive(Clone, Debug)]
pub struct Function {
    pub name: String,
    /// Where its component comes from, relative to the manifest: a crate, a script, or a `.wasm`.
    pub path: String,
    /// A path of the app, or a prefix of paths when it ends in `*`.
    pub route: Option<String>,
    pub access: Access,
    pub egress: Vec<String>,
    pub secrets: Vec<String>,
    pub limits: Limits,
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
        if text.len() > limits::MANIFEST_BYTES_MAX {
            return Err(vec![Fault {
                line: 1,
                message: format!("the manifest has {} bytes", text.len()),
                fix: format!("{} are the most", limits::MANIFEST_BYTES_MAX),
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
        let mut reader = Reader {
            text,
            faults: Vec::new(),
        };
        let manifest = reader.manifest(table.get_ref());
        reader.faults.sort_by_key(|fault| fault.line);
        if reader.faults.is_empty() {
            Ok(manifest)
        } else {
            Err(reader.faults)
        }
    }

    /// The smallest manifest of an app called `name`.
    pub fn empty(name: &str) -> Manifest {
        Manifest {
            name: name.to_owned(),
            config: BTreeMap::new(),
            functions: Vec::new(),
        }
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

const NAME_FIX: &str = "use 1 to 40 of a-z, 0-9 and -, beginning with a letter";

/// Whether `name` can name a secret. `SUPABASE_` is the dialect's own.
pub fn is_secret_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_uppercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        && !name.starts_with("SUPABASE_")
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text
        .as_bytes()
        .iter()
        .take(offset)
        .filter(|&&b| b == b'\n')
        .count()
}

struct Reader<'t> {
    text: &'t str,
    faults: Vec<Fault>,
}

type Table<'t> = DeTable<'t>;
type Value<'t> = Spanned<DeValue<'t>>;

impl Reader<'_> {
    fn fault(&mut self, at: usize, message: impl Into<String>, fix: impl Into<String>) {
        let line = line_of(self.text, at);
        self.faults.push(Fault {
            line,
            message: message.into(),
            fix: fix.into(),
        });
    }

    fn manifest(&mut self, root: &Table<'_>) -> Manifest {
        self.known_keys(
            root,
            "the manifest",
            &["app", "config", "limits", "function"],
        );
        let name = self.app_name(root);
        let config = self.config(root);
        let defaults = root
            .get("limits")
            .and_then(|value| self.table(value, "limits"));
        let mut functions: Vec<Function> = Vec::new();
        for (at, entry) in self.tables(root, "function") {
            let Some(function) = self.function(at, entry, defaults) else {
                continue;
            };
            if functions.iter().any(|other| other.name == function.name) {
                let message = format!("a second function is called `{}`", function.name);
                self.fault(at, message, "rename one of them");
            }
            if let Some(route) = &function.route
                && let Some(other) = functions
                    .iter()
                    .find(|other| other.route.as_ref() == Some(route))
            {
                let message = format!(
                    "`{}` and `{}` have the same route {route}",
                    other.name, function.name
                );
                self.fault(at, message, "change one of them");
            }
            functions.push(function);
        }
        if functions.len() > limits::APP_ENTRIES_MAX {
            let message = format!("the app has {} entries", functions.len());
            self.fault(
                0,
                message,
                format!("{} are the most", limits::APP_ENTRIES_MAX),
            );
        }
        if let Some(table) = defaults
            && functions.is_empty()
        {
            self.limits(Kind::Function, &[table]);
        }
        Manifest {
            name,
            config,
            functions,
        }
    }

    fn app_name(&mut self, root: &Table<'_>) -> String {
        let Some(app) = root.get("app").and_then(|value| self.table(value, "app")) else {
            if !root.contains_key("app") {
                self.fault(0, "there is no [app]", "begin with [app] and name = \"…\"");
            }
            return String::new();
        };
        self.known_keys(app, "[app]", &["name"]);
        let Some(value) = app.get("name") else {
            let at = root.get("app").map_or(0, |value| value.span().start);
            self.fault(at, "[app] has no name", "add name = \"…\"");
            return String::new();
        };
        self.name(value, "app")
    }

    fn config(&mut self, root: &Table<'_>) -> BTreeMap<String, String> {
        let mut config = BTreeMap::new();
        let Some(table) = root
            .get("config")
            .and_then(|value| self.table(value, "config"))
        else {
            return config;
        };
        for (key, value) in table.iter() {
            let text = match value.get_ref() {
                DeValue::String(text) => text.to_string(),
                DeValue::Integer(number) => number.to_string(),
                DeValue::Boolean(value) => value.to_string(),
                other => {
                    let message =
                        format!("config `{}` is of type {}", key.get_ref(), other.type_str());
                    self.fault(
                        value.span().start,
                        message,
                        "use a string, a whole number or a boolean",
                    );
                    continue;
                }
            };
            config.insert(key.get_ref().to_string(), text);
        }
        config
    }

    fn function(
        &mut self,
        at: usize,
        entry: &Table<'_>,
        defaults: Option<&Table<'_>>,
    ) -> Option<Function> {
        self.known_keys(
            entry,
            "[[function]]",
            &[
                "name", "path", "route", "access", "egress", "secrets", "limits",
            ],
        );
        let name = match entry.get("name") {
            Some(value) => self.name(value, "function"),
            None => {
                self.fault(at, "a function has no name", "add name = \"…\"");
                return None;
            }
        };
        let path = match entry.get("path") {
            Some(value) => self.component_path(value),
            None => {
                self.fault(
                    at,
                    format!("function `{name}` has no path"),
                    format!("add path = \"functions/{name}\""),
                );
                String::new()
            }
        };
        let route = entry.get("route").and_then(|value| self.route(value));
        let access = entry
            .get("access")
            .map_or(Access::default(), |value| self.access(value));
        let egress = self.egress(entry);
        let secrets = self.strings(entry, "secrets", |text| {
            if is_secret_name(text) {
                Ok(())
            } else {
                Err("use A-Z, 0-9 and _, beginning with a letter and not with SUPABASE_".to_owned())
            }
        });
        let own = entry
            .get("limits")
            .and_then(|value| self.table(value, "limits"));
        let tables: Vec<&Table<'_>> = defaults.into_iter().chain(own).collect();
        let limits = self.limits(Kind::Function, &tables);
        Some(Function {
            name,
            path,
            route,
            access,
            egress,
            secrets,
            limits,
        })
    }

    fn egress(&mut self, entry: &Table<'_>) -> Vec<String> {
        let listed = self.strings(entry, "egress", |_| Ok(()));
        let at = entry.get("egress").map_or(0, |value| value.span().start);
        if listed.iter().any(|origin| origin == "self") {
            let fix =
                "leave it out: this server does not answer a guest's calls to its own app yet";
            self.fault(at, "egress `self`", fix);
        }
        if let Err(faults) = Egress::parse(&listed, EgressClient::default()) {
            for fault in faults {
                let message = format!("egress `{}`: {}", fault.item, fault.reason);
                self.fault(at, message, fault.fix);
            }
        }
        listed
    }

    /// The limits of an entry: its own table over the app's, over the defaults.
    fn limits(&mut self, kind: Kind, tables: &[&Table<'_>]) -> Limits {
        const KEYS: &[&str] = &[
            "fuel_ms",
            "cpu_ms",
            "wall_ms",
            "memory_mib",
            "handles",
            "response_mib",
            "host_call_mib",
            "outbound_requests",
        ];
        let mut limits = Limits::default_of(kind);
        let ceiling = Limits::ceiling(kind);
        for table in tables {
            self.known_keys(table, "limits", KEYS);
            for (key, value) in table.iter() {
                let key = key.get_ref().as_ref();
                let mib = |bytes: u64| bytes / (1024 * 1024);
                let max = match key {
                    "fuel_ms" => ceiling.fuel / limits::FUEL_PER_MS,
                    "cpu_ms" => ceiling.cpu.as_millis() as u64,
                    "wall_ms" => ceiling.wall.as_millis() as u64,
                    "memory_mib" => mib(ceiling.memory_bytes as u64),
                    "handles" => u64::from(ceiling.handles),
                    "response_mib" => mib(ceiling.response_bytes),
                    "host_call_mib" => mib(ceiling.host_call_bytes),
                    "outbound_requests" => u64::from(ceiling.outbound_requests),
                    _ => continue,
                };
                let number = value
                    .get_ref()
                    .as_integer()
                    .and_then(|n| n.as_str().parse::<u64>().ok());
                let Some(number) = number.filter(|n| (1..=max).contains(n)) else {
                    let message = format!("limit `{key}` is {}", &self.text[value.span()]);
                    self.fault(
                        value.span().start,
                        message,
                        format!("use a whole number from 1 to {max}"),
                    );
                    continue;
                };
                match key {
                    "fuel_ms" => limits.fuel = number * limits::FUEL_PER_MS,
                    "cpu_ms" => limits.cpu = Duration::from_millis(number),
                    "wall_ms" => limits.wall = Duration::from_millis(number),
                    "memory_mib" => limits.memory_bytes = number as usize * 1024 * 1024,
                    "handles" => limits.handles = number as u32,
                    "response_mib" => limits.response_bytes = number * 1024 * 1024,
                    "host_call_mib" => limits.host_call_bytes = number * 1024 * 1024,
                    _ => limits.outbound_requests = number as u32,
                }
            }
        }
        limits
    }

    fn route(&mut self, value: &Value<'_>) -> Option<String> {
        let at = value.span().start;
        let route = self.string(value, "route")?;
        let fixed = route.strip_suffix('*').unwrap_or(&route);
        let reserved = [
            "/rest/",
            "/auth/",
            "/storage/",
            "/realtime/",
            "/functions/",
            "/platform/",
            "/a/",
            "/health/",
            "/ready/",
            "/metrics/",
        ];
        if !route.starts_with('/')
            || fixed.contains(['*', '?', '#', ' ', '%'])
            || fixed.contains("//")
        {
            let message = format!("`{route}` is no route");
            self.fault(
                at,
                message,
                "write a path such as \"/api/hello\", or a prefix such as \"/api/*\"",
            );
            return None;
        }
        if route.ends_with('*') && !fixed.ends_with('/') {
            self.fault(
                at,
                format!("`{route}` ends in the middle of a segment"),
                "put a / before the *",
            );
            return None;
        }
        if reserved
            .iter()
            .any(|prefix| format!("{fixed}/").starts_with(prefix))
        {
            self.fault(
                at,
                format!("`{route}` belongs to Pumice"),
                format!("choose a path outside of {}", reserved.join(" ")),
            );
            return None;
        }
        Some(route)
    }

    fn access(&mut self, value: &Value<'_>) -> Access {
        match value.get_ref().as_str() {
            Some("public") => Access::Public,
            Some("anon") => Access::Anon,
            Some("authenticated") => Access::Authenticated,
            Some("service") => Access::Service,
            _ => {
                let message = format!("access is {}", &self.text[value.span()]);
                self.fault(
                    value.span().start,
                    message,
                    "use \"public\", \"anon\", \"authenticated\" or \"service\"",
                );
                Access::Service
            }
        }
    }

    fn component_path(&mut self, value: &Value<'_>) -> String {
        let path = self.string(value, "path").unwrap_or_default();
        let inside = !path.is_empty() && !path.starts_with('/') && !path.contains('\\');
        if !inside {
            self.fault(
                value.span().start,
                format!("path is \"{path}\""),
                "write a path relative to pumice.toml: a cargo crate's folder, a .js or .ts file, or a .wasm component",
            );
        }
        path
    }

    fn name(&mut self, value: &Value<'_>, what: &str) -> String {
        let name = self.string(value, "name").unwrap_or_default();
        if !is_name(&name) {
            self.fault(
                value.span().start,
                format!("{what} name `{name}`"),
                NAME_FIX,
            );
        }
        name
    }

    fn string(&mut self, value: &Value<'_>, key: &str) -> Option<String> {
        let text = value.get_ref().as_str().map(str::to_owned);
        if text.is_none() {
            let message = format!("`{key}` is of type {}", value.get_ref().type_str());
            self.fault(value.span().start, message, "write a string");
        }
        text
    }

    fn strings(
        &mut self,
        table: &Table<'_>,
        key: &str,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> Vec<String> {
        let Some(value) = table.get(key) else {
            return Vec::new();
        };
        let Some(array) = value.get_ref().as_array() else {
            self.fault(
                value.span().start,
                format!("`{key}` is no list"),
                format!("write {key} = [\"…\"]"),
            );
            return Vec::new();
        };
        let mut strings = Vec::new();
        for item in array.iter() {
            let Some(text) = self.string(item, key) else {
                continue;
            };
            if let Err(fix) = check(&text) {
                self.fault(item.span().start, format!("{key} `{text}`"), fix);
            }
            strings.push(text);
        }
        strings
    }

    fn table<'v, 't>(&mut self, value: &'v Value<'t>, key: &str) -> Option<&'v Table<'t>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.fault(
                value.span().start,
                format!("`{key}` is no table"),
                format!("write [{key}]"),
            );
        }
        table
    }

    /// The tables of `[[key]]`, each with its offset.
    fn tables<'v, 't>(&mut self, root: &'v Table<'t>, key: &str) -> Vec<(usize, &'v Table<'t>)> {
        let Some(value) = root.get(key) else {
            return Vec::new();
        };
        let Some(array) = value.get_ref().as_array() else {
            self.fault(
                value.span().start,
                format!("`{key}` is no list"),
                format!("write [[{key}]]"),
            );
            return Vec::new();
        };
        array
            .iter()
            .filter_map(|item| Some((item.span().start, self.table(item, key)?)))
            .collect()
    }

    fn known_keys(&mut self, table: &Table<'_>, place: &str, known: &[&str]) {
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if known.contains(&name) {
                continue;
            }
            let fix = match closest(name, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the keys are {}", known.join(", ")),
            };
            self.fault(
                key.span().start,
                format!("{place} has an unknown key `{name}`"),
                fix,
            );
        }
    }
}

/// The known word at most two edits away from `word`.
fn closest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    known
        .iter()
        .map(|candidate| (edits(word, candidate), *candidate))
        .filter(|(distance, _)| *distance <= 2)
        .min()
        .map(|(_, candidate)| candidate)
}

fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let next = (corner + usize::from(x != y))
                .min(row[j] + 1)
                .min(row[j + 1] + 1);
            corner = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        Manifest::parse(text).map_or_else(
            |faults| faults.iter().map(Fault::to_string).collect(),
            |_| Vec::new(),
        )
    }

    #[test]
    fn a_full_manifest_is_read() {
        let manifest = Manifest::parse(
            r#"
            [app]
            name = "shop"
            [config]
            currency = "EUR"
            [limits]
            wall_ms = 5000
            [[function]]
            name = "hello"
            path = "functions/hello"
            route = "/api/*"
            access = "public"
            egress = ["https://api.example.com"]
            secrets = ["STRIPE_KEY"]
            limits = { memory_mib = 32 }
            "#,
        )
        .unwrap();
        let hello = &manifest.functions[0];
        assert_eq!(manifest.config["currency"], "EUR");
        assert_eq!(hello.access, Access::Public);
        assert_eq!(hello.limits.wall, Duration::from_secs(5));
        assert_eq!(hello.limits.memory_bytes, 32 * 1024 * 1024);
    }

    #[test]
    fn all_faults_are_told_with_line_and_fix() {
        let text = r#"[app]
name = "Shop"
colour = "red"
[[function]]
name = "a"
path = "/etc"
acess = "public"
[[function]]
name = "a"
path = "functions/a"
access = "everybody"
route = "/rest/v1/x"
limits = { memory_mib = 4096 }
"#;
        assert_eq!(
            faults(text),
            [
                "pumice.toml:2: app name `Shop`; use 1 to 40 of a-z, 0-9 and -, beginning with a letter",
                "pumice.toml:3: [app] has an unknown key `colour`; the keys are name",
                "pumice.toml:6: path is \"/etc\"; write a path relative to pumice.toml: a cargo crate's folder, a .js or .ts file, or a .wasm component",
                "pumice.toml:7: [[function]] has an unknown key `acess`; did you mean `access`?",
                "pumice.toml:8: a second function is called `a`; rename one of them",
                "pumice.toml:11: access is \"everybody\"; use \"public\", \"anon\", \"authenticated\" or \"service\"",
                "pumice.toml:12: `/rest/v1/x` belongs to Pumice; choose a path outside of /rest/ /auth/ /storage/ /realtime/ /functions/ /platform/ /a/ /health/ /ready/ /metrics/",
                "pumice.toml:13: limit `memory_mib` is 4096; use a whole number from 1 to 128",
            ]
        );
    }

    #[test]
    fn broken_toml_is_a_fault_with_a_line() {
        assert!(faults("[app]\nname = \n")[0].starts_with("pumice.toml:2: "));
        assert_eq!(
            faults("")[0],
            "pumice.toml:1: there is no [app]; begin with [app] and name = \"…\""
        );
    }

    #[test]
    fn limits_at_their_edge() {
        let manifest = |mib: u32| {
            format!(
                "[app]\nname = \"a\"\n[[function]]\nname = \"f\"\npath = \"f.js\"\nlimits = {{ memory_mib = {mib} }}\n"
            )
        };
        assert_eq!(faults(&manifest(128)), Vec::<String>::new());
        assert_eq!(faults(&manifest(129)).len(), 1);
        assert_eq!(faults(&manifest(0)).len(), 1);
    }
}
