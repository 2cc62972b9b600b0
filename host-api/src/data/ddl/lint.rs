//! What is wrong with migrations, all of it, without running them; and what may be meant otherwise.

use std::collections::BTreeMap;

use serde::Serialize;

use super::catalog::{Catalog, ConstraintKind, TableDef};
use super::migrate::{Applied, MigrateFault, MigrationFile, SEED, in_order};
use super::names;
use super::translate::{created, translate_all};
use super::{DdlFault, split};

/// Something about a migration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// `migrations/0001_init.sql:12`, or the file alone; empty when it is about no file.
    pub place: String,
    pub message: String,
    /// What to do about it; may be empty.
    pub fix: String,
}

/// What [`lint`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lint {
    /// What keeps a file from running.
    pub faults: Vec<Remark>,
    /// What runs, and may surprise.
    pub notes: Vec<Remark>,
}

/// Reads all files as SQLite would run them, one after another, from nothing. `applied` is what has run
/// on the app's database; `seed` is the text of its `seed.sql`.
pub fn lint(applied: &[Applied], files: &[MigrationFile], seed: Option<&str>) -> Lint {
    let mut found = Lint::default();
    let (_, faults) = super::migrate::check(applied, files);
    found.faults.extend(faults.iter().map(of_plan));
    let mut catalog = Catalog::default();
    let mut places: BTreeMap<String, String> = BTreeMap::new();
    // What is not there because its own statement is wrong: one fault is enough.
    let mut lost: Vec<String> = Vec::new();
    for file in in_order(files) {
        let path = format!("migrations/{}", file.name);
        let mut faults = Vec::new();
        let after = translate_all(&file.source, &path, catalog.clone(), &mut faults);
        for statement in split(&file.source).unwrap_or_default() {
            let Some((_, name)) = created(statement.source) else {
                continue;
            };
            let wrong = faults.iter().any(|fault| fault.line == statement.line);
            match wrong {
                true => lost.push(name),
                false => drop(places.insert(name, format!("{path}:{}", statement.line))),
            }
        }
        found.add(faults, &lost);
        if let Some(after) = after {
            catalog = after.catalog;
        }
    }
    if let Some(seed) = seed {
        let mut faults = Vec::new();
        let after = translate_all(seed, SEED, catalog.clone(), &mut faults);
        found.add(faults, &lost);
        if after.is_some_and(|after| after.catalog != catalog) {
            found.faults.push(Remark {
                place: SEED.to_owned(),
                message: "a seed changes rows, not tables".to_owned(),
                fix: "move that to a migration".to_owned(),
            });
        }
    }
    for table in catalog.tables.values() {
        let place = places.get(&table.name).cloned().unwrap_or_default();
        for (message, fix) in surprises(table) {
            found.notes.push(Remark {
                place: place.clone(),
                message,
                fix,
            });
        }
    }
    found
}

impl Lint {
    fn add(&mut self, faults: Vec<DdlFault>, lost: &[String]) {
        let follows = |fault: &DdlFault| {
            let mut lost = lost.iter();
            lost.any(|name| fault.reason == format!("relation \"{name}\" does not exist"))
        };
        let own = faults.into_iter().filter(|fault| !follows(fault));
        self.faults.extend(own.map(|fault| Remark {
            place: format!("{}:{}", fault.file, fault.line),
            message: fault.reason,
            fix: fault.fix,
        }));
    }
}

fn of_plan(fault: &MigrateFault) -> Remark {
    let text = fault.to_string();
    let (place, rest) = text.split_once(' ').unwrap_or(("", &text));
    let (message, fix) = rest.split_once("; ").unwrap_or((rest, ""));
    Remark {
        place: place.trim_end_matches(':').to_owned(),
        message: message.to_owned(),
        fix: fix.to_owned(),
    }
}

/// What of a table runs and may be meant otherwise, and what to do then.
fn surprises(table: &TableDef) -> Vec<(String, String)> {
    let name = names::shown(&table.name);
    let mut found = Vec::new();
    match (table.access.row_security, table.access.policies.is_empty()) {
        (true, true) => found.push((
            format!("table {name} has row-level security and no policy: only service_role reaches its rows"),
            "write policies with `create policy`".to_owned(),
        )),
        (false, _) => found.push((
            format!("table {name} is open: whoever is granted it reaches all its rows"),
            "`alter table … enable row level security` and write policies".to_owned(),
        )),
        (true, false) => {}
    }
    for constraint in &table.constraints {
        let ConstraintKind::Foreign(to) = &constraint.kind else {
            continue;
        };
        if !begins(table, &to.columns) {
            found.push((
                format!(
                    "foreign key {} of table {name} has no index: changes of \"{}\" read the whole table",
                    names::shown(&constraint.name),
                    to.to_table
                ),
                format!("create index on {name} ({})", to.columns.join(", ")),
            ));
        }
    }
    found
}

/// Whether a key or an index of all rows begins with these columns, in any order.
fn begins(table: &TableDef, columns: &[String]) -> bool {
    let leads = |there: &[String]| {
        there.len() >= columns.len() && columns.iter().all(|c| there[..columns.len()].contains(c))
    };
    let keys = table.constraints.iter().any(|there| match &there.kind {
        ConstraintKind::Primary(key) | ConstraintKind::Unique(key) => leads(key),
        _ => false,
    });
    keys || table.indexes.values().any(|index| {
        let items: Vec<String> = index.items.iter().map(|item| item.plain()).collect();
        index.predicate.is_none() && !index.absent && leads(&items)
    })
}
