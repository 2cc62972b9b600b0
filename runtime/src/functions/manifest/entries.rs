//! Reads each sort of entry, and what else a manifest lists.

use std::collections::{BTreeMap, BTreeSet};

use pumice_host_api::jobs::cron;
use pumice_host_api::{Bucket, Egress, EgressClient, Kind};
use toml::de::DeValue;

use super::limits::Defaults;
use super::reader::{Reader, Table, Value};
use super::{
    Access, Entry, Function, Manifest, Operation, Procedure, Schedule, Script, Trigger, When,
    is_secret_name,
};
use crate::limits::{
    APP_ENTRIES_MAX, ATTEMPTS_CEILING, ATTEMPTS_DEFAULT, BUCKET_OBJECT_BYTES_MAX,
    TABLE_NAME_BYTES_MAX,
};

const PATH_FIX: &str = "write a path relative to pumice.toml: a cargo crate's folder, a .js or .ts file, or a .wasm component";

impl Reader<'_> {
    pub(super) fn manifest(&mut self, root: &Table<'_>) -> Manifest {
        self.known_keys(
            root,
            "the manifest",
            &[
                "app",
                "api",
                "auth",
                "config",
                "limits",
                "rates",
                "function",
                "trigger",
                "procedure",
                "script",
                "hook",
                "schedule",
                "bucket",
                "permission",
            ],
        );
        let name = self.app_name(root);
        let config = self.config(root);
        let defaults = self.defaults(root);
        let scripts = self.all(root, "script", &defaults, Self::script);
        let manifest = Manifest {
            name,
            config,
            api: self.api(root),
            auth: self.auth(root),
            rates: self.request_rates(root),
            functions: self.functions(root, &defaults),
            triggers: self.all(root, "trigger", &defaults, Self::trigger),
            procedures: self.all(root, "procedure", &defaults, Self::procedure),
            hooks: self.all(root, "hook", &defaults, Self::hook),
            schedules: self.schedules(root, &scripts),
            scripts,
            buckets: self.buckets(root),
            permissions: self.permissions(root),
        };
        let count = manifest.entries().count() + manifest.schedules.len() + manifest.buckets.len();
        if count > APP_ENTRIES_MAX {
            let message = format!("the app has {count} entries");
            self.fault(0, message, format!("{APP_ENTRIES_MAX} are the most"));
        }
        manifest
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

    fn all<T>(
        &mut self,
        root: &Table<'_>,
        key: &str,
        defaults: &Defaults,
        read: impl Fn(&mut Self, usize, &Table<'_>, &Defaults) -> Option<T>,
    ) -> Vec<T> {
        let tables = self.tables(root, key).into_iter();
        tables
            .filter_map(|(at, table)| read(self, at, table, defaults))
            .collect()
    }

    fn functions(&mut self, root: &Table<'_>, defaults: &Defaults) -> Vec<Function> {
        let mut routes = BTreeMap::new();
        let mut functions = Vec::new();
        for (at, table) in self.tables(root, "function") {
            let Some(function) = self.function(at, table, defaults) else {
                continue;
            };
            if let Some(route) = &function.route {
                let name = function.entry.name.clone();
                if let Some(other) = routes.insert(route.clone(), name) {
                    let message = format!(
                        "`{other}` and `{}` have the same route {route}",
                        function.entry.name
                    );
                    self.fault(at, message, "change one of them");
                }
            }
            functions.push(function);
        }
        functions
    }

    fn function(&mut self, at: usize, table: &Table<'_>, defaults: &Defaults) -> Option<Function> {
        self.known_keys(
            table,
            "[[function]]",
            &[
                "name", "path", "route", "access", "require", "egress", "secrets", "limits",
            ],
        );
        let entry = self.entry(at, table, "function", Kind::Function, defaults)?;
        Some(Function {
            entry,
            route: table.get("route").and_then(|value| self.route(value)),
            access: self.access(table, Access::Anon),
            require: self.require(table),
        })
    }

    fn trigger(&mut self, at: usize, table: &Table<'_>, defaults: &Defaults) -> Option<Trigger> {
        self.known_keys(
            table,
            "[[trigger]]",
            &[
                "name",
                "path",
                "table",
                "when",
                "on",
                "isolation",
                "attempts",
                "egress",
                "secrets",
                "limits",
            ],
        );
        let before = self.before(at, table);
        let kind = match before {
            // What is wrong with `when` is told already; the kind decides no more than limits.
            Some(false) | None => Kind::AfterTrigger,
            Some(true) => Kind::BeforeTrigger,
        };
        let entry = self.entry(at, table, "trigger", kind, defaults)?;
        let owner = format!("trigger `{}`", entry.name);
        let rows_of = self.trigger_table(at, table, &owner);
        let on = self.operations(at, table, &owner);
        let serializable = self.isolation(table, before);
        let attempts_max = self.attempts(table, "attempts");
        if before == Some(true) {
            if let Some(value) = table.get("attempts") {
                let fix =
                    "leave it out: the write fails with it; only an after-trigger is tried again";
                self.fault(
                    value.span().start,
                    format!("before-{owner} has attempts"),
                    fix,
                );
            }
            if !entry.egress.is_empty() {
                let at = table.get("egress").map_or(at, |value| value.span().start);
                let fix = "leave it out: its write may be tried again or refused; call others from an after-trigger";
                self.fault(at, format!("before-{owner} has egress"), fix);
            }
        }
        Some(Trigger {
            entry,
            table: rows_of,
            when: match kind {
                Kind::BeforeTrigger => When::Before { serializable },
                _ => When::After { attempts_max },
            },
            on,
        })
    }

    /// Whether a trigger comes before the change; `None` when that cannot be told.
    fn before(&mut self, at: usize, table: &Table<'_>) -> Option<bool> {
        let fix = "use \"before\" or \"after\"";
        let Some(value) = table.get("when") else {
            self.fault(at, "a trigger has no when", format!("add when = …: {fix}"));
            return None;
        };
        match value.get_ref().as_str() {
            Some("before") => Some(true),
            Some("after") => Some(false),
            _ => {
                let message = format!("when is {}", self.written(value));
                self.fault(value.span().start, message, fix);
                None
            }
        }
    }

    fn trigger_table(&mut self, at: usize, table: &Table<'_>, owner: &str) -> String {
        let Some(name) = self.required(at, table, "table", owner, "\"…\"") else {
            return String::new();
        };
        let fits = (1..=TABLE_NAME_BYTES_MAX).contains(&name.len());
        if !fits || name.contains('.') || name.contains(char::is_control) {
            let at = table.get("table").map_or(at, |value| value.span().start);
            let fix = format!(
                "write the name of a table of schema public, without the schema: 1 to {TABLE_NAME_BYTES_MAX} bytes"
            );
            self.fault(at, format!("table is {name:?}"), fix);
        }
        name
    }

    fn operations(&mut self, at: usize, table: &Table<'_>, owner: &str) -> Vec<Operation> {
        let fix = "write one or more of \"insert\", \"update\" and \"delete\", each once";
        let Some(value) = table.get("on") else {
            self.fault(
                at,
                format!("{owner} has no on"),
                format!("add on = […]: {fix}"),
            );
            return Vec::new();
        };
        let mut on = Vec::new();
        let words = value.get_ref().as_array();
        let known = words.is_some_and(|words| {
            words.iter().all(|word| {
                let operation = match word.get_ref().as_str() {
                    Some("insert") => Operation::Insert,
                    Some("update") => Operation::Update,
                    Some("delete") => Operation::Delete,
                    _ => return false,
                };
                let new = !on.contains(&operation);
                on.push(operation);
                new
            })
        });
        if !known || on.is_empty() {
            let message = format!("on is {}", self.written(value));
            self.fault(value.span().start, message, fix);
        }
        on
    }

    /// Whether `isolation` asks for more than every before-trigger has.
    fn isolation(&mut self, table: &Table<'_>, before: Option<bool>) -> bool {
        let Some(value) = table.get("isolation") else {
            return false;
        };
        if value.get_ref().as_str() != Some("serializable") {
            let message = format!("isolation is {}", self.written(value));
            let fix = "use \"serializable\", or leave it out";
            self.fault(value.span().start, message, fix);
        } else if before == Some(false) {
            let fix = "leave it out: its change is there already; only a before-trigger has it";
            self.fault(value.span().start, "an after-trigger has isolation", fix);
        }
        true
    }

    fn attempts(&mut self, table: &Table<'_>, key: &str) -> u32 {
        table
            .get(key)
            .and_then(|value| self.number(value, key, u64::from(ATTEMPTS_CEILING)))
            .map_or(ATTEMPTS_DEFAULT, |number| number as u32)
    }

    fn procedure(
        &mut self,
        at: usize,
        table: &Table<'_>,
        defaults: &Defaults,
    ) -> Option<Procedure> {
        self.known_keys(
            table,
            "[[procedure]]",
            &[
                "name", "path", "access", "require", "egress", "secrets", "limits",
            ],
        );
        Some(Procedure {
            entry: self.entry(at, table, "procedure", Kind::Procedure, defaults)?,
            access: self.access(table, Access::Authenticated),
            require: self.require(table),
        })
    }

    fn script(&mut self, at: usize, table: &Table<'_>, defaults: &Defaults) -> Option<Script> {
        self.known_keys(
            table,
            "[[script]]",
            &[
                "name",
                "path",
                "access",
                "require",
                "attempts_max",
                "egress",
                "secrets",
                "limits",
            ],
        );
        Some(Script {
            entry: self.entry(at, table, "script", Kind::Script, defaults)?,
            access: self.access(table, Access::Service),
            require: self.require(table),
            attempts_max: self.attempts(table, "attempts_max"),
        })
    }

    fn hook(&mut self, at: usize, table: &Table<'_>, defaults: &Defaults) -> Option<Entry> {
        self.known_keys(
            table,
            "[[hook]]",
            &["name", "on", "path", "egress", "secrets", "limits"],
        );
        let on = self.hook_on(at, table);
        // What is wrong with `on` is told already; all of them have the same limits.
        let kind = on.unwrap_or(Kind::SendMessage);
        let entry = self.entry(at, table, "hook", kind, defaults)?;
        if kind.only_reads() && !entry.egress.is_empty() {
            let at = table.get("egress").map_or(at, |value| value.span().start);
            let fix = "leave it out: it may be asked again or refuse; call others from a script or an after-trigger";
            self.fault(at, format!("{entry} has egress"), fix);
        }
        if on.is_some() && self.hooked.contains(&kind) {
            let fix = "let one hook do both: one is asked, and not two in turn";
            self.fault(at, format!("a second hook is on \"{kind}\""), fix);
        }
        self.hooked.extend(on);
        Some(entry)
    }

    /// What a hook is asked about.
    fn hook_on(&mut self, at: usize, table: &Table<'_>) -> Option<Kind> {
        let words = Kind::HOOKS.map(|kind| format!("\"{kind}\"")).join(", ");
        let Some(value) = table.get("on") else {
            let fix = format!("add on = …, one of {words}");
            self.fault(at, "a hook has no on", fix);
            return None;
        };
        let word = value.get_ref().as_str().unwrap_or_default();
        let on = Kind::HOOKS.into_iter().find(|kind| kind.as_str() == word);
        if on.is_none() {
            let message = format!("on is {}", self.written(value));
            self.fault(value.span().start, message, format!("use one of {words}"));
        }
        on
    }

    fn schedules(&mut self, root: &Table<'_>, scripts: &[Script]) -> Vec<Schedule> {
        let scripts: BTreeSet<&str> = scripts
            .iter()
            .map(|script| script.entry.name.as_str())
            .collect();
        let mut names = BTreeSet::new();
        let mut schedules = Vec::new();
        for (at, table) in self.tables(root, "schedule") {
            self.known_keys(
                table,
                "[[schedule]]",
                &["script", "cron", "timezone", "name"],
            );
            let script = self.required(at, table, "script", "a schedule", "\"…\"");
            if let Some(script) = &script
                && !scripts.contains(script.as_str())
            {
                let at = table.get("script").map_or(at, |value| value.span().start);
                let fix = "name a [[script]] of this manifest";
                self.fault(at, format!("there is no script `{script}`"), fix);
            }
            let name = match table.get("name") {
                Some(value) => self.name(value, "schedule"),
                None => script.clone().unwrap_or_default(),
            };
            if !name.is_empty() && !names.insert(name.clone()) {
                let message = format!("a second schedule is called `{name}`");
                self.fault(at, message, "give it another name: name = \"…\"");
            }
            let line = self.required(at, table, "cron", "a schedule", "\"0 * * * *\"");
            let timezone = match table.get("timezone") {
                Some(value) => self.string(value, "timezone"),
                None => Some("UTC".to_owned()),
            };
            let (Some(script), Some(cron), Some(timezone)) = (script, line, timezone) else {
                continue;
            };
            match cron::Schedule::parse(&cron, &timezone) {
                Ok(due) => schedules.push(Schedule {
                    name,
                    script,
                    cron,
                    timezone,
                    due,
                }),
                Err(fault) => {
                    let (key, text) = match &fault {
                        cron::CronFault::TimeZone { .. } => ("timezone", timezone),
                        _ => ("cron", cron),
                    };
                    let at = table.get(key).map_or(at, |value| value.span().start);
                    self.fault(at, format!("{key} is {text:?}"), fault.to_string());
                }
            }
        }
        schedules
    }

    fn buckets(&mut self, root: &Table<'_>) -> Vec<Bucket> {
        const MIB: u64 = 1024 * 1024;
        let mut names = BTreeSet::new();
        let mut buckets = Vec::new();
        for (at, table) in self.tables(root, "bucket") {
            self.known_keys(table, "[[bucket]]", &["name", "public", "size_max_mib"]);
            let public = table
                .get("public")
                .and_then(|value| self.boolean(value, "public"));
            let size_max_mib = table.get("size_max_mib").and_then(|value| {
                self.number(value, "size_max_mib", BUCKET_OBJECT_BYTES_MAX / MIB)
            });
            let Some(name) = self.required(at, table, "name", "a bucket", "\"…\"") else {
                continue;
            };
            if !names.insert(name.clone()) {
                let message = format!("a second bucket is called `{name}`");
                self.fault(at, message, "rename one of them");
            }
            match Bucket::new(&name) {
                Ok(mut bucket) => {
                    bucket.public = public.unwrap_or(bucket.public);
                    bucket.size_max = size_max_mib.map_or(bucket.size_max, |mib| mib * MIB);
                    buckets.push(bucket);
                }
                Err(error) => {
                    let at = table.get("name").map_or(at, |value| value.span().start);
                    self.fault(at, format!("bucket name {name:?}"), error.to_string());
                }
            }
        }
        buckets
    }

    /// What every entry has. `sort` is the word of its table.
    fn entry(
        &mut self,
        at: usize,
        table: &Table<'_>,
        sort: &'static str,
        kind: Kind,
        defaults: &Defaults,
    ) -> Option<Entry> {
        let name = match table.get("name") {
            Some(value) => self.name(value, sort),
            None => {
                self.fault(at, format!("a {sort} has no name"), "add name = \"…\"");
                return None;
            }
        };
        let owner = format!("{sort} `{name}`");
        let example = format!("\"functions/{name}\"");
        let path = self
            .required(at, table, "path", &owner, &example)
            .map(|path| self.component_path(at, table, &path))
            .unwrap_or_default();
        let egress = self.egress(table);
        let secrets = self.strings(table, "secrets", |text| {
            if is_secret_name(text) {
                Ok(())
            } else {
                Err("use A-Z, 0-9 and _, beginning with a letter and not with SUPABASE_".to_owned())
            }
        });
        let limits = self.limits(kind, defaults, table);
        self.take_name(at, &name, sort, &path);
        Some(Entry {
            kind,
            name,
            path,
            egress,
            secrets,
            limits,
        })
    }

    /// Notes who has `name`: a log or a bundle that names it means one component.
    fn take_name(&mut self, at: usize, name: &str, sort: &'static str, path: &str) {
        let taken = self.taken.entry(name.to_owned()).or_default();
        // Of each sort one is enough to know.
        if taken.iter().any(|(other, _)| *other == sort) {
            let message = format!("a second {sort} is called `{name}`");
            self.fault(at, message, "rename one of them");
            return;
        }
        let other = taken.iter().find(|(_, other)| other != path);
        let message = other
            .map(|(other, _)| format!("{other} `{name}` and {sort} `{name}` have different paths"));
        taken.push((sort, path.to_owned()));
        if let Some(message) = message {
            let fix = "rename one of them, or let one component serve both";
            self.fault(at, message, fix);
        }
    }

    /// The path without parts that say nothing, so that one component has one path.
    fn component_path(&mut self, at: usize, table: &Table<'_>, written: &str) -> String {
        let parts = written.split('/').filter(|part| !matches!(*part, "" | "."));
        let path = parts.collect::<Vec<_>>().join("/");
        if path.is_empty() || written.starts_with('/') || path.contains('\\') {
            let at = table.get("path").map_or(at, |value| value.span().start);
            self.fault(at, format!("path is \"{written}\""), PATH_FIX);
        }
        path
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

    fn access(&mut self, table: &Table<'_>, default: Access) -> Access {
        let Some(value) = table.get("access") else {
            // Whoever holds the permission may call, by whatever key.
            return match table.contains_key("require") {
                true => Access::Anon,
                false => default,
            };
        };
        match value.get_ref().as_str() {
            Some("public") => Access::Public,
            Some("anon") => Access::Anon,
            Some("authenticated") => Access::Authenticated,
            Some("service") => Access::Service,
            _ => {
                let message = format!("access is {}", self.written(value));
                self.fault(
                    value.span().start,
                    message,
                    "use \"public\", \"anon\", \"authenticated\" or \"service\"",
                );
                Access::Service
            }
        }
    }

    fn route(&mut self, value: &Value<'_>) -> Option<String> {
        let at = value.span().start;
        let route = self.string(value, "route")?;
        let fixed = route.strip_suffix('*').unwrap_or(&route);
        let reserved = [
            "/rest/",
            "/batch/",
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
}
