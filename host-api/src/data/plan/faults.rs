//! The words in which a plan is refused: the dialect's, or PostgreSQL's.
//!
//! Source: PostgREST 14, `docs/references/errors` and its tests; PostgreSQL 15.

use serde::Serialize;

use super::super::relationships::Relationship;
use super::super::{DataError, Link, SqlFault, Table};

/// How alike a name of a table or function must be to be hinted at.
const LIKENESS: f64 = 0.75;
/// Likewise of a relationship's end or of a list of arguments.
const LIKENESS_LOOSE: f64 = 0.33;
/// Names longer than this are like none.
const NAME_MAX: usize = 256;

pub(super) fn no_schema(asked: &str, exposed: &[String]) -> DataError {
    let exposed = exposed.join(", ");
    SqlFault::new("PGRST106", format!("Invalid schema: {asked}"))
        .hint(format!("Only the following schemas are exposed: {exposed}"))
        .into()
}

pub(super) fn no_table<'a>(
    space: &str,
    name: &str,
    known: impl Iterator<Item = &'a str>,
) -> DataError {
    let fault = SqlFault::new(
        "PGRST205",
        format!("Could not find the table '{space}.{name}' in the schema cache"),
    );
    match nearest(name, known, LIKENESS) {
        Some(known) => fault.hint(format!("Perhaps you meant the table '{space}.{known}'")),
        None => fault,
    }
    .into()
}

/// A column that is read, in PostgreSQL's words. `relation` is what the statement calls it.
pub(super) fn no_column<'a>(
    relation: &str,
    name: &str,
    columns: impl Iterator<Item = &'a str>,
) -> DataError {
    let message = format!("column {relation}.{name} does not exist");
    near(SqlFault::new("42703", message), relation, name, columns)
}

/// A column of a conflict target, in PostgreSQL's words.
pub(super) fn no_conflict_column(table: &Table, name: &str) -> DataError {
    let fault = SqlFault::new("42703", format!("column \"{name}\" does not exist"));
    let columns = table.columns.iter().map(|column| column.name.as_str());
    near(fault, table.name.as_str(), name, columns)
}

fn near<'a>(
    fault: SqlFault,
    relation: &str,
    name: &str,
    columns: impl Iterator<Item = &'a str>,
) -> DataError {
    match near_columns(name, columns).as_slice() {
        [one] => fault.hint(format!(
            "Perhaps you meant to reference the column \"{relation}.{one}\"."
        )),
        [one, two] => fault.hint(format!(
            "Perhaps you meant to reference the column \"{relation}.{one}\" or the column \"{relation}.{two}\"."
        )),
        _ => fault,
    }
    .into()
}

/// A column that is written, in the dialect's.
pub(super) fn no_target(table: &Table, name: &str) -> DataError {
    let table = table.name.as_str();
    let message = format!("Could not find the '{name}' column of '{table}' in the schema cache");
    DataError::sql("PGRST204", message)
}

pub(super) fn not_embedded(name: &str) -> DataError {
    SqlFault::new(
        "PGRST108",
        format!("'{name}' is not an embedded resource in this request"),
    )
    .hint(format!(
        "Verify that '{name}' is included in the 'select' query parameter."
    ))
    .into()
}

pub(super) fn related_order(origin: &str, name: &str) -> DataError {
    SqlFault::new(
        "PGRST118",
        format!("A related order on '{name}' is not possible"),
    )
    .details(format!(
        "'{origin}' and '{name}' do not form a many-to-one or one-to-one relationship"
    ))
    .into()
}

pub(super) fn embed_operator(name: &str) -> DataError {
    SqlFault::new(
        "PGRST120",
        format!("Bad operator on the '{name}' embedded resource"),
    )
    .details("Only is null or not is null filters are allowed on embedded resources")
    .into()
}

pub(super) fn no_aggregates() -> DataError {
    DataError::sql("PGRST123", "Use of aggregate functions is not allowed")
}

pub(super) fn not_implemented(details: impl Into<String>) -> DataError {
    SqlFault::new("PGRST127", "Feature not implemented")
        .details(details)
        .into()
}

/// What this engine has not.
pub(super) fn only_postgres(feature: &str) -> DataError {
    not_implemented(format!(
        "{feature} are not available: this app's database is SQLite, and only PostgreSQL has them."
    ))
}

pub(super) fn no_relationship<'a>(
    (space, origin): (&str, &str),
    target: &str,
    hint: Option<&str>,
    ends: Ends<'a>,
) -> DataError {
    let using = hint.map_or_else(String::new, |hint| format!("' using the hint '{hint}"));
    let fault = SqlFault::new(
        "PGRST200",
        format!("Could not find a relationship between '{origin}' and '{target}' in the schema cache"),
    )
    .details(format!(
        "Searched for a foreign key relationship between '{origin}' and '{target}{using}' in the schema '{space}', but no matches were found."
    ));
    let (known, meant) = match ends {
        Ends::Targets(known) => (known, target),
        Ends::Origins(known) => (known, origin),
    };
    // Where the name is there it is the hint that is wrong.
    if known.contains(&meant) {
        return fault.into();
    }
    match nearest(meant, known.into_iter(), LIKENESS_LOOSE) {
        Some(known) => fault.hint(format!("Perhaps you meant '{known}' instead of '{meant}'.")),
        None => fault,
    }
    .into()
}

/// What could have been meant.
pub(super) enum Ends<'a> {
    /// Nothing leads from the origin: what does have relationships.
    Origins(Vec<&'a str>),
    /// What the origin's relationships lead to.
    Targets(Vec<&'a str>),
}

pub(super) fn ambiguous(target: &str, found: &[&Relationship]) -> DataError {
    #[derive(Serialize)]
    struct Detail {
        cardinality: &'static str,
        embedding: String,
        relationship: String,
    }
    let detail = |one: &&Relationship| {
        let (from, to) = (one.from.name.as_str(), one.to.name.as_str());
        let (cardinality, relationship) = match &one.link {
            Link::ManyToOne { constraint, pairs } => ("many-to-one", using(one, constraint, pairs)),
            Link::OneToMany { constraint, pairs } => ("one-to-many", using(one, constraint, pairs)),
            Link::OneToOne {
                constraint, pairs, ..
            } => ("one-to-one", using(one, constraint, pairs)),
            Link::ManyToMany {
                junction,
                constraints: (near_key, far_key),
                near,
                far,
            } => {
                let near = names(junction, near.iter().map(|pair| pair.1));
                let far = names(junction, far.iter().map(|pair| pair.0));
                let junction = junction.name.as_str();
                let text = format!("{junction} using {near_key}({near}) and {far_key}({far})");
                ("many-to-many", text)
            }
            Link::Computed { function } => ("computed", function.name.as_str().to_owned()),
        };
        Detail {
            cardinality,
            embedding: format!("{from} with {to}"),
            relationship,
        }
    };
    let details: Vec<Detail> = found.iter().map(detail).collect();
    let choices: Vec<String> = found
        .iter()
        .map(|one| {
            let by = match &one.link {
                Link::ManyToOne { constraint, .. }
                | Link::OneToMany { constraint, .. }
                | Link::OneToOne { constraint, .. } => constraint,
                Link::ManyToMany { junction, .. } => junction.name.as_str(),
                Link::Computed { function } => function.name.as_str(),
            };
            format!("'{}!{by}'", one.to.name.as_str())
        })
        .collect();
    let origin = found.first().map_or("", |one| one.from.name.as_str());
    SqlFault::new(
        "PGRST201",
        format!("Could not embed because more than one relationship was found for '{origin}' and '{target}'"),
    )
    .details(serde_json::to_string(&details).expect("texts become JSON"))
    .hint(format!(
        "Try changing '{target}' to one of the following: {}. Find the desired relationship in the 'details' key.",
        choices.join(", ")
    ))
    .into()
}

fn using(one: &Relationship, constraint: &str, pairs: &[(usize, usize)]) -> String {
    let (from, to) = (one.from.name.as_str(), one.to.name.as_str());
    let near = names(&one.from, pairs.iter().map(|pair| pair.0));
    let far = names(&one.to, pairs.iter().map(|pair| pair.1));
    format!("{constraint} using {from}({near}) and {to}({far})")
}

fn names(table: &Table, columns: impl Iterator<Item = usize>) -> String {
    let names: Vec<&str> = columns
        .map(|column| table.columns[column].name.as_str())
        .collect();
    names.join(", ")
}

/// The name among `known` that is most like `name`, the first one of several: one that has three
/// neighbouring characters in common with it, or else one that has two.
pub(super) fn nearest<'a>(
    name: &str,
    known: impl Iterator<Item = &'a str>,
    least: f64,
) -> Option<&'a str> {
    if name.len() > NAME_MAX {
        return None;
    }
    let known: Vec<&str> = known.filter(|known| known.len() <= NAME_MAX).collect();
    [3, 2].into_iter().find_map(|neighbours| {
        let mut best: Option<(f64, &str)> = None;
        for known in &known {
            let likeness = likeness(name, known, neighbours);
            if likeness >= least && best.is_none_or(|(most, _)| likeness > most) {
                best = Some((likeness, known));
            }
        }
        best.map(|(_, known)| known)
    })
}

/// For lists of arguments.
pub(super) fn nearest_loose<'a>(
    name: &str,
    known: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    nearest(name, known, LIKENESS_LOOSE)
}

/// For names of functions.
pub(super) fn nearest_strict<'a>(
    name: &str,
    known: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    nearest(name, known, LIKENESS)
}

/// The share of characters that need no edit; nothing unless some neighbours are the same in both.
fn likeness(a: &str, b: &str, neighbours: usize) -> f64 {
    let padded = |text: &str| -> Vec<char> {
        let inner = text
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ',' | ' '));
        std::iter::once('-').chain(inner).chain(['-']).collect()
    };
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    let (mine, known) = (padded(&a), padded(&b));
    let mut mine = mine.windows(neighbours);
    if !mine.any(|of| known.windows(neighbours).any(|other| other == of)) {
        return 0.0;
    }
    let longest = a.chars().count().max(b.chars().count()).max(1);
    1.0 - edits(&a, &b) as f64 / longest as f64
}

/// Levenshtein's distance, in characters.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let here = (corner + usize::from(from != *to)).min(row[j].min(row[j + 1]) + 1);
            corner = std::mem::replace(&mut row[j + 1], here);
        }
    }
    row[b.len()]
}

/// The one or two columns that PostgreSQL thinks were meant: at most three edits away, and no more
/// than half of the name.
///
/// Source: PostgreSQL 15, `parse_relation.c`, `updateFuzzyAttrMatchState`.
fn near_columns<'a>(name: &str, columns: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let (mut bar, mut found) = (4, Vec::new());
    // Two names that differ in length by more than this are further apart.
    for column in columns.filter(|column| column.len().abs_diff(name.len()) <= 4 * 4) {
        let distance = edits(column, name);
        if distance > name.len() / 2 || distance > bar {
            continue;
        }
        match found.len() {
            _ if distance < bar => (bar, found) = (distance, vec![column]),
            2 => {
                found.clear();
                match distance.checked_sub(1) {
                    Some(lower) => bar = lower,
                    None => return found,
                }
            }
            1 => found.push(column),
            _ if bar <= 3 => found.push(column),
            _ => {}
        }
    }
    found
}
