//! `[[permission]]`: what the app has to be permitted; and `require` of an entry.

use std::collections::BTreeSet;

use pumice_host_api::permissions::{ACTIONS_MAX, NAME_BYTES_MAX, Namespace, is_name, parts};

use super::reader::{Reader, Table};
use crate::services::permissions::routes::APP;

impl Reader<'_> {
    /// Namespaces of the app's own.
    pub(super) fn permissions(&mut self, root: &Table<'_>) -> Vec<Namespace> {
        let fix = format!("use 1 to {NAME_BYTES_MAX} letters, digits, _ and -");
        let (mut names, mut namespaces, mut count) = (BTreeSet::new(), Vec::new(), 0);
        for (at, table) in self.tables(root, "permission") {
            self.known_keys(table, "[[permission]]", &["namespace", "actions"]);
            let name = self.required(at, table, "namespace", "a permission", "\"shop\"");
            let actions = self.strings(table, "actions", |action| match is_name(action) {
                true => Ok(()),
                false => Err(fix.clone()),
            });
            if !table.contains_key("actions") {
                let fix = "add actions = [\"refund\"]";
                self.fault(at, "a permission has no actions", fix);
            }
            count += actions.len();
            let Some(name) = name else {
                continue;
            };
            if !is_name(&name) {
                let at = table
                    .get("namespace")
                    .map_or(at, |value| value.span().start);
                self.fault(at, format!("namespace {name:?}"), fix.clone());
            }
            if !names.insert(name.clone()) {
                let message = format!("a second permission has the namespace `{name}`");
                self.fault(at, message, "write all actions into one of them");
            }
            namespaces.push(Namespace {
                name,
                owner: APP.to_owned(),
                actions,
            });
        }
        if count > ACTIONS_MAX {
            let message = format!("the app has {count} permissions");
            self.fault(0, message, format!("{ACTIONS_MAX} are the most"));
        }
        namespaces
    }

    /// The permission that callers of an entry need.
    pub(super) fn require(&mut self, table: &Table<'_>) -> Option<String> {
        let value = table.get("require")?;
        let permission = self.string(value, "require")?;
        let at = value.span().start;
        if parts(&permission).is_none() {
            let fix = "write `namespace.action`, such as \"shop.refund\"";
            self.fault(at, format!("require is {permission:?}"), fix);
        }
        if table.contains_key("access") {
            let fix = "leave access out: whoever holds the permission may call";
            self.fault(at, "an entry has access and require", fix);
        }
        Some(permission)
    }
}
