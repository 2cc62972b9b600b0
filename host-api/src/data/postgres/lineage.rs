//! Which columns of tables the columns of views are.
//!
//! PostgreSQL notes at each output of a view's rule the table and column that it is a plain reference
//! to, through joins and subqueries; where that is a view again, the search goes on there.
//!
//! Source: PostgreSQL 15, `src/include/nodes/primnodes.h`, `TargetEntry`; the text form of rules is
//! `src/backend/nodes/outfuncs.c`.

use std::collections::BTreeMap;

use super::introspect::RawTable;
use crate::data::schema::Source;

/// Views that show views that show …
const DEPTH_MAX: u32 = 64;

/// A column: its relation's id and its number there.
type Place = (i64, i32);

pub(super) struct Lineage {
    names: BTreeMap<Place, Source>,
    /// Numbers of a view's columns, in order.
    views: BTreeMap<i64, Vec<i32>>,
    /// What a view's column refers to.
    origins: BTreeMap<Place, Place>,
}

impl Lineage {
    pub(super) fn of(tables: &[RawTable]) -> Lineage {
        let mut lineage = Lineage {
            names: BTreeMap::new(),
            views: BTreeMap::new(),
            origins: BTreeMap::new(),
        };
        for table in tables {
            for column in &table.columns {
                let source = Source {
                    schema: table.schema.clone(),
                    table: table.name.clone(),
                    column: column.name.clone(),
                };
                lineage.names.insert((table.oid, column.number), source);
            }
            if let Some(rule) = &table.rule {
                let numbers = table.columns.iter().map(|column| column.number);
                lineage.views.insert(table.oid, numbers.collect());
                for (number, origin) in outputs(rule) {
                    lineage.origins.insert((table.oid, number), origin);
                }
            }
        }
        lineage
    }

    /// The table's column that a view's column shows.
    pub(super) fn source(&self, view: i64, number: i32) -> Option<Source> {
        self.names.get(&self.base(view, number)?).cloned()
    }

    fn base(&self, view: i64, number: i32) -> Option<Place> {
        self.views.get(&view)?;
        let mut at = (view, number);
        for _ in 0..DEPTH_MAX {
            at = *self.origins.get(&at)?;
            if !self.views.contains_key(&at.0) {
                return Some(at);
            }
        }
        None
    }

    /// Positions of the view's columns that are a key of its rows: of each table that it shows with its
    /// whole key, that key. `keys` are the tables' keys by number of column.
    pub(super) fn key(&self, view: i64, keys: &BTreeMap<i64, Vec<i32>>) -> Vec<usize> {
        let numbers = self.views.get(&view).map_or(&[][..], Vec::as_slice);
        let bases: Vec<Option<Place>> = numbers
            .iter()
            .map(|number| self.base(view, *number))
            .collect();
        let mut found = Vec::new();
        let mut seen = Vec::new();
        for (table, _) in bases.iter().flatten() {
            if seen.contains(table) {
                continue;
            }
            seen.push(*table);
            let key = keys.get(table).map_or(&[][..], Vec::as_slice);
            let places: Option<Vec<usize>> = key
                .iter()
                .map(|number| {
                    bases
                        .iter()
                        .position(|base| *base == Some((*table, *number)))
                })
                .collect();
            found.extend(places.unwrap_or_default());
        }
        found
    }
}

/// The outputs of the outermost query: their numbers, and what they refer to.
fn outputs(rule: &str) -> Vec<(i32, Place)> {
    let mut outputs = Vec::new();
    // `({QUERY :targetList ({TARGETENTRY …} …) …})`: how deep we are in braces, and at which depth of
    // parentheses the outermost query's list began.
    let (mut braces, mut parentheses) = (0_u32, 0_u32);
    let mut list: Option<u32> = None;
    let mut pending = false;
    let mut entry = Entry::default();
    let mut rest = rule;
    while let Some(at) = rest.find(['{', '}', '(', ')', ':', '\\']) {
        let (token, after) = rest[at..].split_at(1);
        rest = after;
        match token {
            "\\" => {
                // What it escapes is no sign of ours.
                let mut escaped = rest.chars();
                escaped.next();
                rest = escaped.as_str();
            }
            "{" => {
                braces += 1;
                if braces == 2 && list.is_some() {
                    entry = Entry::default();
                }
            }
            "}" => {
                if braces == 2 && list.is_some() {
                    outputs.extend(entry.output());
                }
                braces = braces.saturating_sub(1);
            }
            "(" => {
                parentheses += 1;
                if std::mem::take(&mut pending) {
                    list = Some(parentheses);
                }
            }
            ")" => {
                if list == Some(parentheses) {
                    list = None;
                }
                parentheses = parentheses.saturating_sub(1);
            }
            _ => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                let (field, value) = rest.split_at(end);
                match field {
                    "targetList" if braces == 1 => pending = true,
                    _ if braces == 2 && list.is_some() => entry.read(field, value.trim_start()),
                    _ => {}
                }
            }
        }
    }
    outputs
}

/// A `TARGETENTRY`'s own fields.
#[derive(Default)]
struct Entry {
    number: i64,
    table: i64,
    column: i64,
    junk: bool,
}

impl Entry {
    fn read(&mut self, field: &str, value: &str) {
        let digits = value.find(|c: char| !c.is_ascii_digit());
        let number = value[..digits.unwrap_or(value.len())].parse().unwrap_or(0);
        match field {
            "resno" => self.number = number,
            "resorigtbl" => self.table = number,
            "resorigcol" => self.column = number,
            "resjunk" => self.junk = value.starts_with("true"),
            _ => {}
        }
    }

    fn output(&self) -> Option<(i32, Place)> {
        if self.junk || self.table == 0 || self.column == 0 {
            return None;
        }
        let column = i32::try_from(self.column).ok()?;
        Some((i32::try_from(self.number).ok()?, (self.table, column)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_outermost_outputs_count() {
        let rule = "({QUERY :rtable ({RTE :subquery {QUERY :targetList ({TARGETENTRY :expr {VAR } \
            :resno 1 :resname z :resorigtbl 9 :resorigcol 9 :resjunk false})}}) \
            :targetList ({TARGETENTRY :expr {SUBLINK :subselect {QUERY :targetList ({TARGETENTRY \
            :resno 1 :resorigtbl 8 :resorigcol 8 :resjunk false})}} :resno 1 :resname a\\}\\:b \
            :resorigtbl 0 :resorigcol 0 :resjunk false} {TARGETENTRY :resno 2 :resname id \
            :resorigtbl 16400 :resorigcol 3 :resjunk false} {TARGETENTRY :resno 3 :resname <> \
            :resorigtbl 16400 :resorigcol 4 :resjunk true}) :returningList <>})";
        assert_eq!(outputs(rule), [(2, (16400, 3))]);
        for broken in ["", "(", "{}{", ":targetList (", "\\", ":resno"] {
            assert_eq!(outputs(broken), [], "{broken}");
        }
    }
}
