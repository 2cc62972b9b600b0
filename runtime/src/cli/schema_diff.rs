//! How one app's tables differ from another's.

use std::collections::{BTreeMap, BTreeSet};

use pumice_host_api::data::schema::{Columns, PUBLIC};
use pumice_host_api::data::{Column, Engine, Key, Kind, Schema, Table};

/// What has to change in `is` so that it becomes `wanted`: `+` what comes, `-` what goes, `~` what
/// changes; in order of name.
pub fn lines(is: &Schema, wanted: &Schema) -> Vec<String> {
    let mut lines = Vec::new();
    let (old, new) = (of_enums(is), of_enums(wanted));
    changes(&old, &new, "type ", &mut lines);
    let names: BTreeSet<&String> = [is, wanted]
        .into_iter()
        .filter_map(|schema| schema.relations.get(PUBLIC))
        .flat_map(BTreeMap::keys)
        .collect();
    for name in names {
        let none = BTreeMap::new();
        let old = is.table(name).map(|table| facts(is, table));
        let new = wanted.table(name).map(|table| facts(wanted, table));
        match (&old, &new) {
            (None, Some(_)) => lines.push(format!("+ {name}")),
            (Some(_), None) => {
                lines.push(format!("- {name}"));
                continue;
            }
            _ => {}
        }
        let (old, new) = (old.as_ref().unwrap_or(&none), new.as_ref().unwrap_or(&none));
        changes(old, new, &format!("{name}."), &mut lines);
    }
    lines
}

fn changes(
    old: &BTreeMap<String, String>,
    new: &BTreeMap<String, String>,
    prefix: &str,
    lines: &mut Vec<String>,
) {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let said = |fact: &str| format!("{prefix}{name} {fact}").trim_end().to_owned();
        match (old.get(name), new.get(name)) {
            (None, Some(fact)) => lines.push(format!("+ {}", said(fact))),
            (Some(fact), None) => lines.push(format!("- {}", said(fact))),
            (Some(old), Some(new)) if old != new => {
                lines.push(format!("~ {} -> {new}", said(old)));
            }
            _ => {}
        }
    }
}

fn of_enums(schema: &Schema) -> BTreeMap<String, String> {
    let shown = |labels: &[String]| format!("enum ({})", labels.join(", "));
    let enums = schema.enums.values();
    enums
        .map(|one| (one.name.clone(), shown(&one.labels)))
        .collect()
}

/// Columns, constraints, grants and policies of a table, by name.
fn facts(schema: &Schema, table: &Table) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    let names = |columns: &[usize]| -> String {
        let columns = columns.iter().filter_map(|at| table.columns.get(*at));
        columns
            .map(|column| column.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    for column in &table.columns {
        facts.insert(column.name.as_str().to_owned(), of_column(column));
    }
    if let Kind::View(_) = table.kind {
        return facts;
    }
    let key = |key: &Key| names(&key.columns);
    if let Some(primary) = &table.primary_key {
        let fact = format!("primary key ({})", key(primary));
        facts.insert(format!("constraint {}", primary.name), fact);
    }
    for unique in &table.unique {
        let fact = format!("unique ({})", key(unique));
        facts.insert(format!("constraint {}", unique.name), fact);
    }
    for foreign in &table.foreign_keys {
        let fact = format!(
            "foreign key ({}) references {}.{} ({})",
            names(&foreign.columns),
            foreign.to_schema,
            foreign.to_table,
            foreign.to_columns.join(", ")
        );
        facts.insert(format!("constraint {}", foreign.name), fact);
    }
    for check in &table.checks {
        facts.insert(format!("constraint {}", check.name), "check".to_owned());
    }
    for (role, granted) in &table.grants {
        let mut said = Vec::new();
        for (word, columns) in [
            ("select", &granted.select),
            ("insert", &granted.insert),
            ("update", &granted.update),
        ] {
            match columns {
                Columns::None => {}
                Columns::Some(columns) => said.push(format!("{word} ({})", names(columns))),
                Columns::All => said.push(word.to_owned()),
            }
        }
        if granted.delete {
            said.push("delete".to_owned());
        }
        facts.insert(format!("grant to {role}"), said.join(", "));
    }
    // PostgreSQL keeps these to itself.
    if schema.engine == Engine::Sqlite && table.policies.is_none() {
        facts.insert("row-level security".to_owned(), "off".to_owned());
    }
    for policy in table.policies.iter().flatten() {
        let roles = policy.roles.join(", ");
        let kind = if policy.permissive {
            ""
        } else {
            "restrictive "
        };
        let command = format!("{:?}", policy.command).to_lowercase();
        let fact = format!("{kind}for {command} to {roles}");
        facts.insert(format!("policy {}", policy.name), fact);
    }
    facts
}

fn of_column(column: &Column) -> String {
    let mut fact = column.format.clone();
    if column.not_null {
        fact.push_str(" not null");
    }
    if let Some(default) = &column.default {
        fact.push_str(&format!(" default {default}"));
    } else if column.has_default {
        fact.push_str(" with a default");
    }
    if column.generated_always {
        fact.push_str(" generated always");
    }
    fact
}

#[cfg(test)]
mod tests {
    use pumice_host_api::data::ddl::{self, MigrationFile};

    use super::*;

    fn schema(source: &str) -> Schema {
        let file = MigrationFile {
            name: "0001_a.sql".to_owned(),
            source: source.to_owned(),
        };
        ddl::intended(&[file]).unwrap().schema()
    }

    #[test]
    fn what_comes_goes_and_changes() {
        let base = "create table a (id int primary key, b text default 'x')";
        for (is, wanted, expect) in [
            (base, base, ""),
            ("", "create table t (b text)", "+ t\n+ t.b text"),
            ("create table t (b text)", "", "- t"),
            (
                base,
                "create table a (id bigint primary key, c numeric(5,2) not null unique)",
                "- a.b text default 'x'\n+ a.c numeric(5,2) not null\n+ a.constraint a_c_key unique (c)\n~ a.id integer not null -> bigint not null",
            ),
            (
                "create type m as enum ('a')",
                "create type m as enum ('a', 'b')",
                "~ type m enum (a) -> enum (a, b)",
            ),
            (
                "create table a (b int)",
                "create table a (b int); grant select (b), delete on a to anon; create policy p on a for select to anon using (true)",
                "+ a.grant to anon select (b), delete\n+ a.policy p for select to anon",
            ),
            (
                "create table a (b int)",
                "-- pumice: open\ncreate table a (b int)",
                "+ a.grant to anon select, insert, update, delete\n+ a.grant to authenticated select, insert, update, delete\n+ a.row-level security off",
            ),
        ] {
            let found = lines(&schema(is), &schema(wanted)).join("\n");
            assert_eq!(found, expect, "{is} -> {wanted}");
        }
    }
}
