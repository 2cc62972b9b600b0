//! SQLite's text of tables, indexes, rebuilds, and of the runner's own tables.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::Refusal;
use super::catalog::{Catalog, ColumnDef, ConstraintDef, ConstraintKind, Fill, IndexDef, TableDef};
use super::expr::{Place, Scope};
use super::translate::parse_expr;
use crate::data::{Type, Value};

/// Until the transaction ends, or [`CHECK_FOREIGN_KEYS`].
pub const DEFER_FOREIGN_KEYS: &str = "pragma defer_foreign_keys = on";

pub const CHECK_FOREIGN_KEYS: &str = "pragma defer_foreign_keys = off";

/// An identifier in quotes.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A stored value as a literal.
pub fn literal(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Integer(i64::MIN) => "(-9223372036854775807 - 1)".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) if number.is_infinite() => {
            if *number > 0.0 { "9e999" } else { "-9e999" }.to_owned()
        }
        Value::Real(number) if number.is_nan() => "null".to_owned(),
        Value::Real(number) => format!("{number:?}"),
        Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Value::Blob(bytes) => {
            let mut text = "x'".to_owned();
            for byte in bytes {
                let _ = write!(text, "{byte:02x}");
            }
            text.push('\'');
            text
        }
    }
}

pub fn list<'n>(names: impl IntoIterator<Item = &'n String>) -> String {
    names
        .into_iter()
        .map(|name| quoted(name))
        .collect::<Vec<_>>()
        .join(", ")
}

/// A column's declared type, chosen for its affinity. `integer` is only the row id's: SQLite fills in
/// such a primary key by itself.
fn declared(ty: &Type) -> &'static str {
    match ty {
        Type::Boolean | Type::Smallint | Type::Integer | Type::Bigint => "int",
        ty => ty.sqlite_declaration(),
    }
}

fn scope<'c>(catalog: &'c Catalog, table: &'c TableDef, place: Place) -> Scope<'c> {
    Scope {
        catalog,
        table: &table.name,
        columns: &table.columns,
        place,
        rows: None,
    }
}

/// What a `generated always as (…)` column is computed from.
pub fn generated(
    catalog: &Catalog,
    table: &TableDef,
    column: &ColumnDef,
) -> Result<Option<String>, Refusal> {
    let Some(Fill::Computed(expr)) = &column.fill else {
        return Ok(None);
    };
    let scope = scope(catalog, table, Place::Stored);
    scope.assigned(&parse_expr(expr)?, &column.ty).map(Some)
}

/// A column's definition, without its constraints.
pub fn column(catalog: &Catalog, table: &TableDef, column: &ColumnDef) -> Result<String, Refusal> {
    let mut text = quoted(&column.name);
    if table.row_id() == Some(&column.name) {
        let name = table
            .constraints
            .iter()
            .find(|constraint| matches!(constraint.kind, ConstraintKind::Primary(_)))
            .map(|constraint| quoted(&constraint.name))
            .unwrap_or_default();
        let _ = write!(text, " integer constraint {name} primary key autoincrement");
        return Ok(text);
    }
    let _ = write!(text, " {}", declared(&column.ty));
    if column.not_null {
        text.push_str(" not null");
    }
    match &column.fill {
        None | Some(Fill::Default(_)) => {
            let Some(expr) = column.default() else {
                return Ok(text);
            };
            let value =
                scope(catalog, table, Place::Default).assigned(&parse_expr(expr)?, &column.ty)?;
            if value != "null" {
                let _ = write!(text, " default ({value})");
            }
        }
        Some(Fill::Computed(_)) => {
            if let Some(value) = generated(catalog, table, column)? {
                let _ = write!(text, " generated always as ({value}) stored");
            }
        }
        Some(Fill::Sequence { .. }) => {
            return Err(Refusal::only_postgres(format!(
                "the column \"{}\", a serial or identity that is not the whole primary key,",
                column.name
            ))
            .fix("make it the primary key, or give it a default"));
        }
    }
    Ok(text)
}

fn constraint(
    catalog: &Catalog,
    table: &TableDef,
    constraint: &ConstraintDef,
    rename: &BTreeMap<String, String>,
) -> Result<Option<String>, Refusal> {
    let body = match &constraint.kind {
        ConstraintKind::Primary(_) if table.row_id().is_some() => return Ok(None),
        ConstraintKind::Primary(columns) => format!("primary key ({})", list(columns)),
        ConstraintKind::Unique(columns) => format!("unique ({})", list(columns)),
        ConstraintKind::Check(expr) => {
            let scope = Scope {
                catalog,
                table: &table.name,
                columns: &table.columns,
                place: Place::Check,
                rows: None,
            };
            format!("check ({})", scope.condition(&parse_expr(expr)?)?)
        }
        ConstraintKind::Foreign(to) => {
            let target = match to.to_schema.as_str() {
                "public" => rename.get(&to.to_table).unwrap_or(&to.to_table).clone(),
                schema => format!("{schema}.{}", to.to_table),
            };
            let mut text = format!(
                "foreign key ({}) references {} ({})",
                list(&to.columns),
                quoted(&target),
                list(&to.to_columns)
            );
            if let Some(action) = &to.on_delete {
                let _ = write!(text, " on delete {action}");
            }
            if let Some(action) = &to.on_update {
                let _ = write!(text, " on update {action}");
            }
            if to.deferred {
                text.push_str(" deferrable initially deferred");
            }
            text
        }
    };
    Ok(Some(format!(
        "constraint {} {body}",
        quoted(&constraint.name)
    )))
}

/// `create table`, without its indexes.
pub fn create_table(catalog: &Catalog, table: &TableDef) -> Result<String, Refusal> {
    create_table_as(catalog, table, &table.name, &BTreeMap::new())
}

fn create_table_as(
    catalog: &Catalog,
    table: &TableDef,
    name: &str,
    rename: &BTreeMap<String, String>,
) -> Result<String, Refusal> {
    let mut parts = table
        .columns
        .iter()
        .map(|one| column(catalog, table, one))
        .collect::<Result<Vec<_>, _>>()?;
    for one in &table.columns {
        let scope = Scope {
            catalog,
            table: &table.name,
            columns: &table.columns,
            place: Place::Check,
            rows: None,
        };
        if let Some(domain) = &one.domain {
            parts.extend(domain.checks(&scope, &one.name)?);
        }
    }
    for one in &table.constraints {
        parts.extend(constraint(catalog, table, one, rename)?);
    }
    if parts.is_empty() {
        return Err(Refusal::only_postgres("a table without columns"));
    }
    Ok(format!(
        "create table {} (\n  {}\n)",
        quoted(name),
        parts.join(",\n  ")
    ))
}

/// Makes a new table's numbers begin where its identity says.
pub fn start(table: &TableDef, name: &str) -> Option<String> {
    let row_id = table.row_id()?;
    let column = table.columns.iter().find(|there| there.name == row_id)?;
    match column.fill {
        Some(Fill::Sequence { start, .. }) if start != 1 => Some(format!(
            "insert into sqlite_sequence (name, seq) values ({}, {})",
            text(name),
            start - 1
        )),
        _ => None,
    }
}

/// `create index`. Where nulls stand in an index changes no answer, and SQLite's grammar has no word
/// for it.
pub fn create_index(
    catalog: &Catalog,
    table: &TableDef,
    name: &str,
    index: &IndexDef,
) -> Result<Option<String>, Refusal> {
    if index.absent {
        return Ok(None);
    }
    let scope = Scope {
        catalog,
        table: &table.name,
        columns: &table.columns,
        place: Place::Stored,
        rows: None,
    };
    let items = index
        .items
        .iter()
        .map(|item| {
            let order = if item.descending { " desc" } else { "" };
            Ok(format!("{}{order}", scope.value(&parse_expr(&item.expr)?)?))
        })
        .collect::<Result<Vec<_>, Refusal>>()?;
    let mut text = format!(
        "create {}index {} on {} ({})",
        if index.unique { "unique " } else { "" },
        quoted(name),
        quoted(&table.name),
        items.join(", ")
    );
    if let Some(predicate) = &index.predicate {
        let _ = write!(text, " where {}", scope.condition(&parse_expr(predicate)?)?);
    }
    Ok(Some(text))
}

/// A cast at run time.
pub fn cast(value: &str, from: &Type, to: &Type) -> String {
    fn target(ty: &Type) -> String {
        match ty {
            // An enum is told with its labels.
            Type::Enum(of) => serde_json::to_string(&**of).unwrap_or_default(),
            Type::Array(element) => target(element) + "[]",
            ty => ty.to_string(),
        }
    }
    format!(
        "pumice_cast({value}, {}, {})",
        from.form(),
        text(&target(to))
    )
}

/// A value that a `varchar(n)` or `char(n)` can hold, or an error.
pub fn fit(value: &str, to: &Type) -> String {
    format!("pumice_fit({value}, {})", text(&to.to_string()))
}

pub fn drop_table(name: &str) -> String {
    format!("drop table {}", quoted(name))
}

pub fn create_view(name: &str, query: &str) -> String {
    format!("create view {} as {query}", quoted(name))
}

pub fn drop_view(name: &str) -> String {
    format!("drop view {}", quoted(name))
}

pub fn drop_index(name: &str) -> String {
    format!("drop index {}", quoted(name))
}

pub fn rename_table(from: &str, to: &str) -> String {
    format!("alter table {} rename to {}", quoted(from), quoted(to))
}

pub fn rename_column(table: &str, from: &str, to: &str) -> String {
    format!(
        "alter table {} rename column {} to {}",
        quoted(table),
        quoted(from),
        quoted(to)
    )
}

pub fn add_column(table: &str, definition: &str) -> String {
    format!("alter table {} add column {definition}", quoted(table))
}

pub fn drop_column(table: &str, column: &str) -> String {
    format!(
        "alter table {} drop column {}",
        quoted(table),
        quoted(column)
    )
}

/// Writes the tables `of` again as `catalog` has them now, with the rows that stand in them.
///
/// SQLite changes little of a table in place. Its own recipe turns foreign keys off, which a
/// transaction cannot do; and a table that others point to cannot be dropped with them on, since its
/// rows' deletion cascades. So every table that points to a rebuilt one is rebuilt with it: all are
/// made anew beside the old ones, filled, and only then the old ones go, those that point first.
/// `defer_foreign_keys` lets rows arrive before what they point to.
///
/// Triggers on these tables are lost: their maker makes them again after a migration. `conversions` say
/// what becomes of columns of `of` whose type changes.
/// Source: <https://www.sqlite.org/lang_altertable.html#otheralter>.
pub fn rebuild(
    old: &Catalog,
    catalog: &Catalog,
    of: &str,
    conversions: &BTreeMap<String, String>,
) -> Result<Vec<String>, Refusal> {
    // Those that point to `of`, at any distance, nearest first.
    let mut tables = vec![of.to_owned()];
    let mut next = 0;
    while next < tables.len() {
        for name in old.referencing(&tables[next]) {
            if !tables.contains(&name) {
                tables.push(name);
            }
        }
        next += 1;
    }
    let rename: BTreeMap<String, String> = tables
        .iter()
        .map(|name| (name.clone(), format!("pumice.new.{name}")))
        .collect();
    let mut steps = vec!["pragma defer_foreign_keys = on".to_owned()];
    for name in &tables {
        steps.push(create_table_as(
            catalog,
            catalog.table(name)?,
            &rename[name],
            &rename,
        )?);
        if old.table(name)?.row_id().is_none() {
            steps.extend(start(catalog.table(name)?, &rename[name]));
        }
    }
    for name in &tables {
        let (before, after) = (old.table(name)?, catalog.table(name)?);
        let kept: Vec<&String> = after
            .columns
            .iter()
            .filter(|column| !matches!(column.fill, Some(Fill::Computed(_))))
            .map(|column| &column.name)
            .filter(|name| before.columns.iter().any(|column| column.name == **name))
            .collect();
        let to = quoted(&rename[name]);
        if !kept.is_empty() {
            let columns = list(kept.iter().copied());
            let values: Vec<String> = kept
                .iter()
                .map(|column| match conversions.get(*column) {
                    Some(value) if name == of => value.clone(),
                    _ => quoted(column),
                })
                .collect();
            steps.push(format!(
                "insert into {to} ({columns}) select {} from {}",
                values.join(", "),
                quoted(name)
            ));
        }
        if before.row_id().is_some() && after.row_id().is_some() {
            // Ids that were given out once are never given out again.
            steps.push(format!(
                "delete from sqlite_sequence where name = {}",
                text(&rename[name])
            ));
            steps.push(format!(
                "insert into sqlite_sequence (name, seq) select {}, seq from sqlite_sequence where name = {}",
                text(&rename[name]),
                text(name)
            ));
        }
    }
    // The farthest first: nothing that still stands points to it, unless in a circle.
    for name in tables.iter().rev() {
        steps.push(drop_table(name));
    }
    for name in &tables {
        steps.push(rename_table(&rename[name], name));
    }
    for name in &tables {
        let table = catalog.table(name)?;
        for (name, index) in &table.indexes {
            steps.extend(create_index(catalog, table, name, index)?);
        }
    }
    steps.push("pragma defer_foreign_keys = off".to_owned());
    Ok(steps)
}

fn text(name: &str) -> String {
    literal(&Value::Text(name.to_owned()))
}

/// Whether `alter table … add column` may fill in the default by itself: it has to be the same for all
/// rows.
pub fn is_constant(definition: &str) -> bool {
    !["now()", "gen_random_uuid()", "pumice_claims()"]
        .iter()
        .any(|call| definition.contains(call))
}

pub fn insert(table: &str, columns: &[String], rows: &[Vec<String>], conflict: &str) -> String {
    let values = if columns.is_empty() {
        " default values".to_owned()
    } else {
        let rows: Vec<_> = rows
            .iter()
            .map(|row| format!("({})", row.join(", ")))
            .collect();
        format!(" ({}) values {}", list(columns), rows.join(", "))
    };
    format!("insert into {}{values}{conflict}", quoted(table))
}

pub fn update(table: &str, assignments: &str, condition: Option<&str>) -> String {
    format!(
        "update {} set {assignments}{}",
        quoted(table),
        filter(condition)
    )
}

pub fn delete(table: &str, condition: Option<&str>) -> String {
    format!("delete from {}{}", quoted(table), filter(condition))
}

pub fn filter(condition: Option<&str>) -> String {
    condition.map_or_else(String::new, |condition| format!(" where {condition}"))
}

/// Tables of a fresh file that migrations and foreign keys need.
pub const PREPARE: [&str; 3] = [
    "create table if not exists \"auth.users\" (
  \"id\" text not null constraint \"users_pkey\" primary key,
  \"email\" text,
  \"created_at\" text not null default (now())
)",
    "create table if not exists \"pumice.migration\" (
  \"file\" text not null primary key,
  \"digest\" blob not null,
  \"translator\" int not null,
  \"applied_at\" text not null
)",
    "create table if not exists \"pumice.schema\" (
  \"one\" integer primary key check (\"one\" = 1),
  \"catalog\" text not null
)",
];

/// The caller's own row of users, with these columns; none without a caller.
pub fn own_user(columns: &[String]) -> String {
    format!(
        "(select {} from \"auth.users\" where \"id\" = pumice_uid())",
        list(columns)
    )
}

pub const APPLIED: &str =
    "select \"file\", \"digest\", \"translator\" from \"pumice.migration\" order by \"file\"";
pub const RECORD: &str = "insert into \"pumice.migration\" (\"file\", \"digest\", \"translator\", \"applied_at\") values (?1, ?2, ?3, now())";
pub const READ_AGAIN: &str = "update \"pumice.migration\" set \"translator\" = ?1";
pub const CATALOG: &str = "select \"catalog\" from \"pumice.schema\"";
pub const KEEP_CATALOG: &str = "insert into \"pumice.schema\" (\"one\", \"catalog\") values (1, ?1) on conflict (\"one\") do update set \"catalog\" = excluded.\"catalog\"";
pub const BROKEN_REFERENCES: &str =
    "select \"table\", \"parent\" from pragma_foreign_key_check limit 1";
