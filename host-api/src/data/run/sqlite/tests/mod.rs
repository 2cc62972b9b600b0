//! Plans made by hand, carried out on a real file.

mod broken;
mod conditions;
mod policies;
mod reads;
mod upserts;
mod writes;

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use super::super::Work;
use super::*;
use crate::Role;
use crate::data::ddl::{self, MigrationFile};
use crate::data::plan::{
    Answering, Cells, Condition, DeletePlan, Expr, InsertPlan, Node, Output, Source, UpdatePlan,
};
use crate::data::query::{Operator, Preferences, Test};
use crate::data::schema::{Columns, Command, Piece, Policy, Privileges, Template};
use crate::data::sqlite_ffi::{Mode, Open};
use crate::data::{Context, Table, Type, sqlite};

pub struct Db {
    connection: Connection,
    schema: Schema,
    _folder: tempfile::TempDir,
}

pub fn db(migration: &str) -> Db {
    let folder = tempfile::tempdir().unwrap();
    let open = Open {
        mode: Mode::Writer,
        durable: false,
        cache_kib: 1024,
        busy_timeout: Duration::ZERO,
    };
    let connection = Connection::open(&folder.path().join("app.db"), open).unwrap();
    sqlite::register(&connection).unwrap();
    ddl::register(&connection).unwrap();
    ddl::prepare(&connection).unwrap();
    let file = MigrationFile {
        name: "0001_test.sql".to_owned(),
        source: migration.to_owned(),
    };
    connection.execute("begin immediate", &[]).unwrap();
    let applied = ddl::applied(&connection).unwrap();
    let files = [file];
    let new = ddl::plan(&applied, &files).unwrap();
    let catalog = ddl::apply(&connection, &new).unwrap().0;
    connection.execute("commit", &[]).unwrap();
    let mut db = Db {
        connection,
        schema: catalog.schema(),
        _folder: folder,
    };
    let tables: Vec<_> = db.schema.tables().cloned().collect();
    for table in tables {
        db.change(table.name.as_str(), |table| table.policies = None);
    }
    db
}

pub fn context(role: &str) -> Context {
    Context {
        role: match role {
            "anon" => Role::Anon,
            "authenticated" => Role::Authenticated,
            "service_role" => Role::ServiceRole,
            other => Role::Other(other.into()),
        },
        ..Context::default()
    }
}

impl Db {
    pub fn table(&self, name: &str) -> Arc<Table> {
        self.schema.table(name).unwrap().clone()
    }

    pub fn change(&mut self, table: &str, change: impl FnOnce(&mut Table)) {
        let mut table = (*self.table(table)).clone();
        change(&mut table);
        self.schema.add(table);
    }

    /// Turns row-level security on with these policies.
    pub fn protect(&mut self, table: &str, policies: &[Policy]) {
        self.change(table, |table| table.policies = Some(policies.to_vec()));
    }

    pub fn grant(&mut self, table: &str, role: &str, select: Columns) {
        let privileges = Privileges {
            select,
            insert: Columns::All,
            update: Columns::All,
            delete: true,
        };
        self.change(table, |table| {
            table.grants.insert(role.to_owned(), privileges);
        });
    }

    pub fn sql(&self, statement: &str) -> String {
        let mut out = Vec::new();
        let done = self.connection.query(statement, &[], |row| {
            let values = (0..row.len()).map(|at| match row.get(at) {
                ValueRef::Null => String::new(),
                ValueRef::Integer(number) => number.to_string(),
                ValueRef::Text(text) => text.to_owned(),
                other => format!("{other:?}"),
            });
            out.push(values.collect::<Vec<_>>().join(","));
            Ok(())
        });
        done.unwrap();
        out.join(";")
    }

    /// The answer's body, or the error's code and message; in a transaction that an error undoes.
    pub fn run(&self, role: &str, work: &Work) -> Result<Rows, String> {
        self.connection.execute("begin immediate", &[]).unwrap();
        self.connection.set_context(context(role));
        let outcome = run(&self.connection, &self.schema, &context(role), work);
        let end = if outcome.is_ok() {
            "commit"
        } else {
            "rollback"
        };
        self.connection.execute(end, &[]).unwrap();
        outcome.map_err(|error| format!("{} {error}", error.code().unwrap_or("-")))
    }

    pub fn text(&self, role: &str, work: &Work) -> String {
        match self.run(role, work) {
            Ok(rows) => String::from_utf8(rows.body).unwrap(),
            Err(error) => error,
        }
    }

    pub fn read(&self, role: &str, node: Node) -> String {
        self.text(role, &read(node))
    }

    pub fn cells(&self, table: &str, json: &str) -> Cells {
        let table = self.table(table);
        let values: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(json).unwrap();
        values
            .into_iter()
            .map(|(key, value)| {
                let cell = match value.as_str() {
                    Some("DEFAULT") => None,
                    _ => Some(RawValue::from_string(value.to_string()).unwrap()),
                };
                (table.column(&key).unwrap(), cell)
            })
            .collect()
    }

    pub fn insert(&self, table: &str, rows: &[&str], answer: Answering) -> Work {
        Work::Insert(InsertPlan {
            table: self.table(table),
            rows: rows.iter().map(|row| self.cells(table, row)).collect(),
            conflict: None,
            answer,
        })
    }

    pub fn update(
        &self,
        table: &str,
        cells: &str,
        conditions: Vec<Condition>,
        answer: Answering,
    ) -> Work {
        Work::Update(UpdatePlan {
            table: self.table(table),
            cells: self.cells(table, cells),
            conditions,
            answer,
        })
    }

    pub fn delete(&self, table: &str, conditions: Vec<Condition>, answer: Answering) -> Work {
        Work::Delete(DeletePlan {
            table: self.table(table),
            conditions,
            answer,
        })
    }

    pub fn col(&self, alias: u32, table: &str, column: &str) -> Expr {
        let table = self.table(table);
        Expr::Column {
            alias,
            column: table.column(column).unwrap(),
            table,
        }
    }

    /// A node of plain columns.
    pub fn node(&self, alias: u32, table: &str, columns: &[&str]) -> Node {
        let output = |column: &&str| Output {
            key: (*column).to_owned(),
            expr: self.col(alias, table, column),
        };
        node(
            Source::Relation(self.table(table)),
            alias,
            columns.iter().map(output).collect(),
        )
    }

    /// What a write answers: these columns of its rows.
    pub fn answer(&self, table: &str, columns: &[&str]) -> Answering {
        let mut node = self.node(0, table, columns);
        node.source = Source::Written(self.table(table));
        Answering {
            node: Some(node),
            preferences: Preferences::default(),
        }
    }

    pub fn is(&self, table: &str, column: &str, literal: &str) -> Condition {
        test(
            self.col(0, table, column),
            Test::Compare(Operator::Eq, None, literal.to_owned()),
        )
    }
}

pub fn node(source: Source, alias: u32, outputs: Vec<Output>) -> Node {
    Node {
        source,
        alias,
        outputs,
        conditions: Vec::new(),
        groups: None,
        orders: Vec::new(),
        limit: None,
        offset: None,
    }
}

pub fn read(node: Node) -> Work {
    Work::Read(ReadPlan {
        node,
        preferences: Preferences::default(),
        rows_max: 1000,
    })
}

pub fn number_only() -> Answering {
    Answering {
        node: None,
        preferences: Preferences::default(),
    }
}

pub fn test(expr: Expr, test: Test) -> Condition {
    Condition::Test {
        expr,
        not: false,
        test,
    }
}

/// `{m}` stands for relation m.
pub fn template(text: &str) -> Template {
    let mut pieces = Vec::new();
    for (at, part) in text.split(['{', '}']).enumerate() {
        pieces.push(match at % 2 {
            0 => Piece::Text(part.to_owned()),
            _ => Piece::Relation(part.to_owned()),
        });
    }
    Template(pieces)
}

pub fn policy(name: &str, command: Command, using: &str, check: &str) -> Policy {
    let some = |text: &str| (!text.is_empty()).then(|| template(text));
    Policy {
        name: name.to_owned(),
        permissive: true,
        command,
        roles: vec!["public".to_owned()],
        using: some(using),
        check: some(check),
    }
}
