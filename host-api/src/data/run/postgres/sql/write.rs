//! Writes. Rows go in as one JSON document that PostgreSQL reads itself, and what is answered of them
//! comes out of the same statement.

use std::fmt::Write as _;

use super::{Statement, Writer, name, put, walk};
use crate::data::plan::{Answering, Cells, DeletePlan, InsertPlan, UpdatePlan};
use crate::data::{DataError, Table};

/// Inserts rows that write the same columns; of rows of nothing but defaults, one.
///
/// In the tail stand how many rows were written, and how many of an upsert's are new.
pub(in crate::data::run::postgres) fn insert(
    plan: &InsertPlan,
    rows: &[Cells],
) -> Result<Statement, DataError> {
    let table = &plan.table;
    let written = given(rows.first().map_or(&[], Vec::as_slice));
    let needed = plan.answer.node.as_ref().map(walk::Needed::of);
    let merge = plan.conflict.as_ref();
    let merge = merge.filter(|conflict| conflict.merge && !written.is_empty());
    let mut sql = Writer {
        written: needed.as_ref(),
        ..Writer::default()
    };
    let wrapped = needed.is_some() || merge.is_some();
    if wrapped {
        sql.text.push_str("with ");
    }
    if merge.is_some() {
        sql.text.push_str("_b as materialized (select * from ");
        sql.records(table, &written, rows);
        sql.text.push_str("), ");
    }
    if wrapped {
        sql.text.push_str("_w as (");
    }
    put!(sql, "insert into {} as _t0 ", name(table));
    if written.is_empty() {
        sql.text.push_str("default values");
    } else {
        sql.text.push('(');
        sql.names("", table, &written);
        sql.text.push_str(") select ");
        if merge.is_some() {
            sql.names("_b.", table, &written);
            sql.text.push_str(" from _b");
        } else {
            sql.names("_n.", table, &written);
            sql.text.push_str(" from ");
            sql.records(table, &written, rows);
        }
    }
    if let Some(conflict) = &plan.conflict {
        sql.text.push_str(" on conflict (");
        sql.names("", table, &conflict.on);
        sql.text.push_str(") do ");
        if merge.is_some() {
            sql.text.push_str("update set ");
            // Those left to their defaults too.
            let set: Vec<usize> = rows[0].iter().map(|(column, _)| *column).collect();
            sql.list(&set, ", ", |sql, column| {
                let column = &table.columns[*column].name;
                put!(sql, "{column} = excluded.{column}");
            });
        } else {
            sql.text.push_str("nothing");
        }
    }
    if !wrapped {
        return sql.finish(false, false);
    }
    sql.returning(table);
    sql.text.push(')');
    let new = merge.map(|conflict| {
        // The statement does not see what it has written itself. A key of defaults is new.
        let known = conflict.on.iter().all(|column| written.contains(column));
        let mut new = String::from(", 'inserted', (select count(*) from _b");
        if known {
            let _ = write!(
                new,
                " where not exists (select from {} as _k where ",
                name(table)
            );
            for (at, column) in conflict.on.iter().enumerate() {
                let column = &table.columns[*column].name;
                let and = if at > 0 { " and " } else { "" };
                let _ = write!(new, "{and}_k.{column} = _b.{column}");
            }
            new.push(')');
        }
        new + ")"
    });
    sql.answer(&plan.answer, new)
}

/// Sets the cells in all rows that meet the conditions.
pub(in crate::data::run::postgres) fn update(plan: &UpdatePlan) -> Result<Statement, DataError> {
    let needed = plan.answer.node.as_ref().map(walk::Needed::of);
    let mut sql = Writer::for_rows(needed.as_ref());
    put!(sql, "update {} as _t0 set ", name(&plan.table));
    sql.cells(&plan.table, &plan.cells);
    let written = given(&plan.cells);
    if !written.is_empty() {
        sql.text.push_str(" from json_to_record(");
        sql.bind(object(&plan.table, &plan.cells), "json");
        sql.text.push_str(") as _n");
        sql.definitions(&plan.table, &written);
    }
    sql.conditions(&plan.conditions);
    sql.rows_answered(&plan.table, &plan.answer)
}

pub(in crate::data::run::postgres) fn delete(plan: &DeletePlan) -> Result<Statement, DataError> {
    let needed = plan.answer.node.as_ref().map(walk::Needed::of);
    let mut sql = Writer::for_rows(needed.as_ref());
    put!(sql, "delete from {} as _t0", name(&plan.table));
    sql.conditions(&plan.conditions);
    sql.rows_answered(&plan.table, &plan.answer)
}

/// `cells` as a JSON object, without those that are left to their defaults.
pub(in crate::data::run::postgres) fn object(table: &Table, cells: &Cells) -> String {
    let cells = cells.iter().filter_map(|(column, json)| {
        let json = json.as_ref()?;
        Some((table.columns[*column].name.as_str(), json.get()))
    });
    object_of(cells)
}

pub(super) fn object_of<'p>(members: impl Iterator<Item = (&'p str, &'p str)>) -> String {
    let mut json = String::from("{");
    for (at, (key, value)) in members.enumerate() {
        if at > 0 {
            json.push(',');
        }
        json.push_str(&serde_json::Value::from(key).to_string());
        json.push(':');
        json.push_str(value);
    }
    json.push('}');
    json
}

/// The columns that have a value.
pub(super) fn given(cells: &[(usize, Option<Box<serde_json::value::RawValue>>)]) -> Vec<usize> {
    let given = cells.iter().filter(|(_, json)| json.is_some());
    given.map(|(column, _)| *column).collect()
}

impl<'p> Writer<'p> {
    /// For an update or a delete, which begins within a `with` when its rows are answered.
    pub(super) fn for_rows(needed: Option<&'p walk::Needed>) -> Writer<'p> {
        Writer {
            text: needed.map_or("", |_| "with _w as (").to_owned(),
            written: needed,
            ..Writer::default()
        }
    }

    pub(super) fn rows_answered(
        mut self,
        table: &Table,
        answer: &Answering,
    ) -> Result<Statement, DataError> {
        if self.written.is_none() {
            return self.finish(false, false);
        }
        self.returning(table);
        self.text.push(')');
        self.answer(answer, None)
    }

    fn names(&mut self, of: &str, table: &Table, columns: &[usize]) {
        self.list(columns, ", ", |sql, column| {
            put!(sql, "{of}{}", table.columns[*column].name);
        });
    }

    /// `json_to_recordset(…) as _n(…)`: only what is written is read, so that a domain that knows no
    /// null is not asked about what is not there.
    fn records(&mut self, table: &Table, columns: &[usize], rows: &[Cells]) {
        let mut json = String::from("[");
        for (at, row) in rows.iter().enumerate() {
            if at > 0 {
                json.push(',');
            }
            json.push_str(&object(table, row));
        }
        json.push(']');
        self.text.push_str("json_to_recordset(");
        self.bind(json, "json");
        self.text.push_str(") as _n");
        self.definitions(table, columns);
    }

    /// `("column" type, …)`
    pub(super) fn definitions(&mut self, table: &Table, columns: &[usize]) {
        self.text.push('(');
        self.list(columns, ", ", |sql, column| {
            let column = &table.columns[*column];
            put!(sql, "{} {}", column.name, column.format);
        });
        self.text.push(')');
    }

    /// `"column" = _n."column", …`
    pub(super) fn cells(&mut self, table: &Table, cells: &Cells) {
        self.list(cells, ", ", |sql, (column, json)| {
            let column = &table.columns[*column].name;
            match json {
                Some(_) => {
                    put!(sql, "{column} = _n.{column}");
                }
                None => {
                    put!(sql, "{column} = default");
                }
            }
        });
    }

    fn returning(&mut self, table: &Table) {
        self.text.push_str(" returning ");
        let needed = match self.written {
            Some(needed)
                if !needed.columns.is_empty() || !needed.fields.is_empty() || needed.row =>
            {
                needed
            }
            _ => {
                // Nothing of the rows, for which no right to read is needed.
                self.text.push_str("1 as _w");
                return;
            }
        };
        let columns: Vec<usize> = needed.columns.iter().copied().collect();
        self.names("_t0.", table, &columns);
        for (at, function) in needed.fields.iter().enumerate() {
            let comma = if columns.is_empty() && at == 0 {
                ""
            } else {
                ", "
            };
            let (schema, function) = (&function.schema, &function.name);
            put!(
                self,
                "{comma}{schema}.{function}(_t0.*) as {}",
                walk::field(at)
            );
        }
        if needed.row {
            let comma = if columns.is_empty() && needed.fields.is_empty() {
                ""
            } else {
                ", "
            };
            put!(self, "{comma}(_t0.*)::{} as {}", name(table), walk::ROW);
        }
    }

    /// What follows the write: the answer, and the tail when there is something to say.
    fn answer(mut self, answer: &Answering, new: Option<String>) -> Result<Statement, DataError> {
        let Some(node) = &answer.node else {
            self.text.push(' ');
            self.tail(new.as_deref());
            return self.finish(true, true);
        };
        // Conditions keep written rows out of the answer: then it does not tell how many there are.
        let tail = (new.is_some() || !node.conditions.is_empty() || node.groups.is_some())
            && answer.preferences.explain.is_none();
        self.text.push(' ');
        if tail {
            self.text.push('(');
        }
        self.as_texts(answer.preferences.format);
        self.text.push('(');
        self.node(node, true);
        self.text.push_str(") _r");
        if tail {
            self.text.push_str(") union all (");
            self.tail(new.as_deref());
            self.text.push(')');
        }
        self.finish(true, tail)
    }

    fn tail(&mut self, new: Option<&str>) {
        let new = new.unwrap_or_default();
        put!(
            self,
            "select json_build_object('written', (select count(*) from _w){new})::text"
        );
    }
}
