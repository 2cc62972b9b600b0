//! `[api]`: how an app's tables answer at `/rest/v1`.

use std::time::Duration;

use pumice_host_api::data::{Settings, TransactionEnd};

use super::reader::{Reader, Table};
use crate::limits::{API_ROWS_CEILING, API_SCHEMAS_MAX, STATEMENT_TIMEOUT_CEILING};

const KEYS: [&str; 8] = [
    "schemas",
    "search_path",
    "rows_max",
    "aggregates",
    "plan",
    "transaction_end",
    "anonymous",
    "statement_timeout_ms",
];

impl Reader<'_> {
    /// The app's table; [`Settings`]' own values for what it leaves out.
    pub(super) fn api(&mut self, root: &Table<'_>) -> Settings {
        let mut settings = Settings::default();
        let Some(api) = root.get("api").and_then(|value| self.table(value, "api")) else {
            return settings;
        };
        self.known_keys(api, "[api]", &KEYS);
        if api.contains_key("schemas") {
            settings.schemas = self.schemas(api, "schemas", exposable);
            if settings.schemas.is_empty() {
                let at = api.get("schemas").map_or(0, |value| value.span().start);
                let message = "`schemas` names no schema";
                self.fault(at, message, "write schemas = [\"public\"]");
            }
        }
        settings.search_path = self.schemas(api, "search_path", searchable);
        let flags = [
            ("aggregates", &mut settings.aggregates),
            ("plan", &mut settings.plan),
            ("anonymous", &mut settings.anonymous),
        ];
        for (key, flag) in flags {
            if let Some(value) = api.get(key) {
                *flag = self.boolean(value, key).unwrap_or(false);
            }
        }
        if let Some(value) = api.get("rows_max") {
            let rows = self.number(value, "`rows_max`", API_ROWS_CEILING);
            settings.rows_max = rows.unwrap_or(settings.rows_max);
        }
        if let Some(value) = api.get("statement_timeout_ms") {
            let max = STATEMENT_TIMEOUT_CEILING.as_millis() as u64;
            if let Some(ms) = self.number(value, "`statement_timeout_ms`", max) {
                settings.statement_timeout = Duration::from_millis(ms);
            }
        }
        if let Some(value) = api.get("transaction_end") {
            settings.transaction_end = match value.get_ref().as_str() {
                Some("commit") => TransactionEnd::Commit,
                Some("commit-allow-override") => TransactionEnd::CommitAllowOverride,
                Some("rollback-allow-override") => TransactionEnd::RollbackAllowOverride,
                _ => {
                    let message = format!("`transaction_end` is {}", self.written(value));
                    let fix =
                        "use \"commit\", \"commit-allow-override\" or \"rollback-allow-override\"";
                    self.fault(value.span().start, message, fix);
                    TransactionEnd::Commit
                }
            };
        }
        settings
    }

    /// A list of schemas, each once.
    fn schemas(
        &mut self,
        api: &Table<'_>,
        key: &str,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> Vec<String> {
        let listed = self.strings(api, key, check);
        let at = api.get(key).map_or(0, |value| value.span().start);
        if listed.len() > API_SCHEMAS_MAX {
            let message = format!("`{key}` names {} schemas", listed.len());
            self.fault(at, message, format!("{API_SCHEMAS_MAX} are the most"));
        }
        let mut known: Vec<String> = Vec::with_capacity(listed.len());
        for name in listed {
            if known.contains(&name) {
                let message = format!("`{key}` names `{name}` twice");
                self.fault(at, message, "leave one of them out");
            } else {
                known.push(name);
            }
        }
        known
    }
}

/// Whether requests may name a schema: what is Pumice's own or PostgreSQL's is nobody's to read.
fn exposable(name: &str) -> Result<(), String> {
    searchable(name)?;
    match name {
        "auth" | "storage" | "pumice" => Err("choose a schema of the app's own".to_owned()),
        _ => Ok(()),
    }
}

fn searchable(name: &str) -> Result<(), String> {
    // PostgreSQL's own bound of a name. What it is not made of stays out of the header that lists them.
    let written = (1..=63).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !written {
        return Err("use 1 to 63 of a-z, A-Z, 0-9 and _".to_owned());
    }
    match name.starts_with("pg_") || name == "information_schema" {
        true => Err("choose a schema of the app's own".to_owned()),
        false => Ok(()),
    }
}
