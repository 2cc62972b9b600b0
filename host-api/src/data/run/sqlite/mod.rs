//! Work on a connection to SQLite.

mod answer;
mod broken;
mod checks;
mod guest;
mod rules;
mod sql;
#[cfg(test)]
mod tests;
mod write;

use crate::data::plan::ReadPlan;
use crate::data::query::{Explain, Rows};
use crate::data::sqlite::errors::explain;
use crate::data::sqlite_ffi::Connection;
use crate::data::types::in_zone;
use crate::data::{ANSWER_BYTES_MAX, Context, DataError, Schema, ValueRef};

use self::answer::Answer;
use self::sql::Statement;
use self::sql::policies::Rights;
use self::sql::write::{Reach, Target, Which};
use super::{Asked, OldRow, Work, key_of};

/// Does `work` for whoever `context` says; the connection is in a transaction, or reads. Of what is to
/// be undone (`tx=rollback`) nothing is left when this answers.
///
/// # Errors
/// PostgreSQL's, with its words; 40001 when a row is no longer as it was.
pub fn run(
    connection: &Connection,
    schema: &Schema,
    context: &Context,
    work: &Work,
) -> Result<Rows, DataError> {
    connection.take_steps();
    let undone = work.preferences().is_some_and(|p| p.rollback) && !matches!(work, Work::Read(_));
    let runner = Runner {
        connection,
        schema,
        rights: Rights::new(schema, context),
    };
    let mut rows = if undone {
        connection.execute(sql::SAVEPOINT, &[])?;
        let rows = runner.carry_out(work)?;
        connection.execute(sql::UNDO, &[])?;
        connection.execute(sql::RELEASE, &[])?;
        rows
    } else {
        runner.carry_out(work)?
    };
    rows.steps = connection.take_steps();
    Ok(rows)
}

/// The rows that `context` may see and change, as they are stored; in order of the key.
///
/// # Errors
/// [`DataError::TooLarge`] beyond `rows_max`; 0A000 for a table without a primary key.
pub fn old_rows(
    connection: &Connection,
    schema: &Schema,
    context: &Context,
    asked: &Asked,
) -> Result<Vec<OldRow>, DataError> {
    in_zone(asked.timezone.as_deref(), || {
        old_rows_here(connection, schema, context, asked)
    })
}

fn old_rows_here(
    connection: &Connection,
    schema: &Schema,
    context: &Context,
    asked: &Asked,
) -> Result<Vec<OldRow>, DataError> {
    let (table, rows_max) = (&*asked.table, asked.rows_max);
    let rights = Rights::new(schema, context);
    let reach = Reach {
        command: asked.command,
        reads: true,
    };
    let target = Target {
        table,
        view: None,
        rights,
    };
    let mut statement = Statement::new(rights);
    statement.whole(
        target,
        Which::Conditions(&asked.conditions, reach),
        key_of(table)?,
    )?;
    let mut keys = Vec::new();
    for column in &table.columns {
        keys.push((column.name.as_str(), &column.ty));
    }
    let mut olds = Vec::new();
    let mut bytes = 0;
    let outcome = connection.query(&statement.text, &statement.args, |row| {
        if olds.len() == rows_max {
            return Err(super::super::too_many_rows(rows_max));
        }
        if bytes > ANSWER_BYTES_MAX {
            return Err(super::super::answer_too_large());
        }
        let mut json = Vec::new();
        answer::write_object(&keys, &row, &mut json);
        bytes += json.len();
        let values = (0..table.columns.len()).map(|at| row.get(at).to_owned());
        olds.push(OldRow {
            values: values.collect(),
            json: String::from_utf8(json).unwrap_or_default(),
        });
        Ok(())
    });
    outcome.map_err(|error| explain(error, connection, schema, None, None))?;
    Ok(olds)
}

/// The text of a read, for fuzzers.
pub(super) fn text_only(
    schema: &Schema,
    context: &Context,
    plan: &ReadPlan,
) -> Result<(), DataError> {
    let mut statement = Statement::new(Rights::new(schema, context));
    statement.select(&plan.node).map(drop)
}

/// What all work needs.
struct Runner<'a> {
    connection: &'a Connection,
    schema: &'a Schema,
    rights: Rights<'a>,
}

impl<'a> Runner<'a> {
    fn carry_out(&self, work: &'a Work) -> Result<Rows, DataError> {
        let zone = match work {
            // Each part has its own.
            Work::All { .. } => None,
            work => work.preferences().and_then(|p| p.timezone.as_deref()),
        };
        in_zone(zone, || self.carry_out_here(work))
    }

    fn carry_out_here(&self, work: &'a Work) -> Result<Rows, DataError> {
        let (rows, written) = match work {
            Work::Read(plan) => (self.read(plan)?, None),
            Work::Insert(plan) => self.insert(plan)?,
            Work::Update(plan) => self.update(plan)?,
            Work::Delete(plan) => self.delete(plan)?,
            Work::UpdateRows {
                table,
                rows,
                met,
                answer,
            } => self.update_rows(table, rows, *met, answer)?,
            Work::DeleteRows {
                table,
                rows,
                answer,
            } => self.delete_rows(table, rows, answer)?,
            Work::Sql {
                statement,
                parameters,
            } => return guest::run(self.connection, self.schema, statement, parameters),
            Work::All { parts, preferences } => {
                let parts: Result<Vec<Rows>, DataError> =
                    parts.iter().map(|part| self.carry_out(part)).collect();
                let rows = super::together(parts?);
                let affected = rows.count;
                return super::expected(rows, affected, preferences);
            }
            Work::Call(_) => return Err(sql::only_postgres()),
        };
        match work.preferences() {
            Some(preferences) => super::expected(rows, written.unwrap_or(0), preferences),
            None => Ok(rows),
        }
    }

    fn read(&self, plan: &'a ReadPlan) -> Result<Rows, DataError> {
        let node = &plan.node;
        let mut statement = Statement::new(self.rights);
        let types = statement.select(node)?;
        if let Some(explain) = plan.preferences.explain {
            return self.explain(&statement, explain);
        }
        let mut answer = Answer::new(Some(&node.outputs), plan.preferences.format);
        answer.query(self, &statement, &types, 0)?;
        let mut rows = answer.finish();
        if plan.preferences.count.is_some() {
            let page = node.offset.unwrap_or(0);
            let full = node.limit.is_some_and(|limit| rows.count >= limit);
            // The last page says how many there are.
            rows.total = Some(if full || (rows.count == 0 && page > 0) {
                self.count(plan)?
            } else {
                page + rows.count
            });
        }
        Ok(rows)
    }

    fn count(&self, plan: &'a ReadPlan) -> Result<u64, DataError> {
        let mut statement = Statement::new(self.rights);
        statement.count(&plan.node)?;
        let mut total = 0;
        self.each(&statement, |row| {
            if let ValueRef::Integer(count) = row.get(0) {
                total = u64::try_from(count).unwrap_or(0);
            }
            Ok(())
        })?;
        Ok(total)
    }

    /// Runs a statement that writes nothing.
    fn each(
        &self,
        statement: &Statement<'_>,
        each: impl FnMut(crate::data::sqlite_ffi::Row<'_>) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        self.connection
            .query(&statement.text, &statement.args, each)
            .map(drop)
            .map_err(|error| explain(error, self.connection, self.schema, None, None))
    }

    /// SQLite's plan of a statement instead of its rows: a line for each step, indented below the one it
    /// belongs to, or a JSON array of them.
    fn explain(&self, statement: &Statement<'_>, how: Explain) -> Result<Rows, DataError> {
        let text = format!("{}{}", sql::EXPLAIN, statement.text);
        let mut steps: Vec<(i64, i64, String)> = Vec::new();
        let outcome = self.connection.query(&text, &statement.args, |row| {
            if let (ValueRef::Integer(id), ValueRef::Integer(parent), ValueRef::Text(detail)) =
                (row.get(0), row.get(1), row.get(3))
            {
                steps.push((id, parent, detail.to_owned()));
            }
            Ok(())
        });
        outcome.map_err(|error| explain(error, self.connection, self.schema, None, None))?;
        let body = if how.json {
            let steps: Vec<_> = steps
                .iter()
                .map(|(id, parent, detail)| {
                    serde_json::json!({ "id": id, "parent": parent, "detail": detail })
                })
                .collect();
            serde_json::Value::from(steps).to_string()
        } else {
            let mut depths = std::collections::HashMap::new();
            let mut lines = Vec::new();
            for (id, parent, detail) in &steps {
                let depth = depths.get(parent).map_or(0, |depth: &usize| depth + 1);
                depths.insert(*id, depth);
                lines.push(format!("{}{detail}", "  ".repeat(depth)));
            }
            lines.join("\n")
        };
        Ok(Rows {
            body: body.into_bytes(),
            ..Rows::default()
        })
    }
}
