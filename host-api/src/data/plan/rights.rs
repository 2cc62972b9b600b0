//! Rights on SQLite: whether a role has been granted what a plan reaches, table by table and column by
//! column. On PostgreSQL the database itself looks.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::schema::{Columns, Kind, Piece, Privileges};
use super::super::{DataError, Table};
use super::scope::some;
use super::{Condition, Expr, Node, Scope, Source};

/// What is read of each relation, by schema and name.
#[derive(Default)]
struct Reach<'p>(BTreeMap<(&'p str, &'p str), Columned<'p>>);

/// A relation and indices of its columns.
type Columned<'p> = (&'p Arc<Table>, Vec<usize>);

/// # Errors
/// 42501; likewise below.
pub(super) fn read(scope: &Scope<'_>, node: &Node) -> Result<(), DataError> {
    if !scope.bound() {
        return Ok(());
    }
    let mut reach = Reach::default();
    reach.node(node);
    reach.check(scope)
}

/// The columns that conditions look at.
pub(super) fn conditions(scope: &Scope<'_>, conditions: &[Condition]) -> Result<(), DataError> {
    if !scope.bound() {
        return Ok(());
    }
    let mut reach = Reach::default();
    for condition in conditions {
        reach.condition(condition);
    }
    reach.check(scope)
}

/// What a write does to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writing {
    Insert,
    Update,
    Delete,
}

/// Writing these columns: any column will do when there is none.
pub(super) fn write(
    scope: &Scope<'_>,
    table: &Table,
    writing: Writing,
    columns: &[usize],
) -> Result<(), DataError> {
    if !scope.bound() {
        return Ok(());
    }
    let may = match writing {
        Writing::Insert => covers(scope, table, columns, |granted| &granted.insert),
        Writing::Update => covers(scope, table, columns, |granted| &granted.update),
        Writing::Delete => scope.privileges(table).any(|granted| granted.delete),
    };
    match may {
        true => Ok(()),
        false => Err(denied(table)),
    }
}

/// Reading these columns of a table.
pub(super) fn select(
    scope: &Scope<'_>,
    table: &Arc<Table>,
    columns: &[usize],
) -> Result<(), DataError> {
    if !scope.bound() {
        return Ok(());
    }
    let mut reach = Reach::default();
    for &column in columns {
        reach.column(table, column);
    }
    reach.check(scope)
}

/// Writing it in any way.
pub(super) fn any_write(scope: &Scope<'_>, table: &Table) -> Result<(), DataError> {
    let writes =
        |granted: &Privileges| granted.delete || some(&granted.insert) || some(&granted.update);
    match !scope.bound() || scope.privileges(table).any(writes) {
        true => Ok(()),
        false => Err(denied(table)),
    }
}

fn denied(table: &Table) -> DataError {
    let kind = match table.kind {
        Kind::Table => "table",
        Kind::View(_) => "view",
    };
    let message = format!("permission denied for {kind} {}", table.name.as_str());
    DataError::sql("42501", message)
}

/// Whether a privilege covers all of some columns; any column when there are none.
fn covers(
    scope: &Scope<'_>,
    table: &Table,
    columns: &[usize],
    privilege: impl Fn(&Privileges) -> &Columns,
) -> bool {
    if columns.is_empty() {
        return scope
            .privileges(table)
            .any(|granted| some(privilege(granted)));
    }
    columns.iter().all(|&column| {
        scope
            .privileges(table)
            .any(|granted| privilege(granted).contains(column))
    })
}

impl<'p> Reach<'p> {
    fn relation(&mut self, table: &'p Arc<Table>) -> &mut Vec<usize> {
        let key = (table.schema.as_str(), table.name.as_str());
        &mut self.0.entry(key).or_insert((table, Vec::new())).1
    }

    fn column(&mut self, table: &'p Arc<Table>, column: usize) {
        self.relation(table).push(column);
    }

    fn node(&mut self, node: &'p Node) {
        match &node.source {
            Source::Relation(table) | Source::Computed { table, .. } => {
                self.relation(table);
            }
            Source::Through {
                table, junction, ..
            } => {
                self.relation(table);
                self.relation(junction);
            }
            // What was written is there to be read only where a column is asked for.
            Source::Written(_) | Source::Called(_) => {}
        }
        for output in &node.outputs {
            self.expr(&output.expr);
        }
        for condition in &node.conditions {
            self.condition(condition);
        }
        for order in &node.orders {
            self.expr(&order.expr);
        }
    }

    fn condition(&mut self, condition: &'p Condition) {
        match condition {
            Condition::Test { expr, .. } => self.expr(expr),
            Condition::All(members) | Condition::Any(members) => {
                for member in members {
                    self.condition(member);
                }
            }
            Condition::Not(of) => self.condition(of),
            Condition::Same(a, b) => {
                self.expr(a);
                self.expr(b);
            }
            Condition::Exists { node, .. } => self.node(node),
        }
    }

    fn expr(&mut self, expr: &'p Expr) {
        match expr {
            Expr::Column { table, column, .. } => self.column(table, *column),
            Expr::Named { .. } | Expr::Everything { .. } => {}
            Expr::Path { of, .. } | Expr::Cast { of, .. } => self.expr(of),
            Expr::Aggregate { of, .. } => {
                if let Some(of) = of {
                    self.expr(of);
                }
            }
            Expr::One(node) | Expr::Many(node) | Expr::Value(node) | Expr::Values(node) => {
                self.node(node);
            }
        }
    }

    fn check(self, scope: &Scope<'_>) -> Result<(), DataError> {
        for (table, columns) in self.0.values() {
            if !covers(scope, table, columns, |granted| &granted.select) {
                return Err(denied(table));
            }
            views(scope, table, &mut Vec::new())?;
        }
        Ok(())
    }
}

/// What a view reads with its reader's rights must be the reader's to read: the columns that it shows,
/// and something of every other relation. Another view around it, with its owner's, changes nothing.
fn views(scope: &Scope<'_>, view: &Table, seen: &mut Vec<String>) -> Result<(), DataError> {
    let Kind::View(definition) = &view.kind else {
        return Ok(());
    };
    let name = view.name.as_str();
    if seen.iter().any(|known| known == name) {
        return Ok(());
    }
    seen.push(name.to_owned());
    let pieces = definition.definition.iter().flat_map(|text| &text.0);
    for piece in pieces {
        let Piece::Relation(name) = piece else {
            continue;
        };
        let Some(table) = scope.schema.table(name) else {
            continue;
        };
        let shown = view.columns.iter().filter_map(|column| {
            let source = column.source.as_ref()?;
            let of = source.table == *name && source.schema == table.schema.as_str();
            table.column(&source.column).filter(|_| of)
        });
        let shown: Vec<usize> = shown.collect();
        if definition.invoker && !covers(scope, table, &shown, |granted| &granted.select) {
            return Err(denied(table));
        }
        views(scope, table, seen)?;
    }
    Ok(())
}
