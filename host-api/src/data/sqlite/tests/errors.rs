//! Constraint violations against real tables.

use std::time::Duration;

use super::*;
use crate::data::sqlite::errors::{Failed, Sight, check_deferred, explain};
use crate::data::{Check, Column, ForeignKey, Key, Name, Schema, Table, Type};

fn table(
    name: &str,
    columns: &[(&str, Type, bool)],
    unique: &[(&str, &[usize])],
    parent: Option<&str>,
) -> Table {
    let key = |name: &str, columns: &[usize]| Key {
        name: name.to_owned(),
        columns: columns.to_vec(),
    };
    Table {
        schema: Name::of_catalog("public"),
        kind: crate::data::Kind::Table,
        grants: Default::default(),
        policies: None,
        name: Name::of_catalog(name),
        columns: columns
            .iter()
            .map(|(name, ty, has_default)| Column {
                format: String::new(),
                default: None,
                source: None,
                name: Name::of_catalog(*name),
                ty: ty.clone(),
                not_null: false,
                has_default: *has_default,
                generated_always: false,
                generated: None,
                comment: None,
            })
            .collect(),
        primary_key: Some(key(&format!("{name}_pkey"), &[0])),
        unique: unique.iter().map(|(name, of)| key(name, of)).collect(),
        foreign_keys: parent
            .iter()
            .map(|parent| ForeignKey {
                name: format!("{name}_c_fkey"),
                columns: vec![1],
                to_schema: "public".to_owned(),
                to_table: (*parent).to_owned(),
                to_columns: vec!["id".to_owned()],
            })
            .collect(),
        checks: vec![Check {
            name: format!("{name}_id_check"),
        }],
        comment: None,
    }
}

/// The words are PostgreSQL 15's for the same tables and statements.
#[test]
fn constraints_fail_in_postgresqls_words() {
    let folder = tempfile::tempdir().unwrap();
    let open = Open {
        mode: Mode::Writer,
        durable: false,
        cache_kib: 1024,
        busy_timeout: Duration::ZERO,
    };
    let connection = Connection::open(&folder.path().join("db"), open).unwrap();
    connection
        .script(
            "create table p (id integer primary key, name text unique);
             create table t (id integer primary key, c integer references p(id), b integer,
                n text not null, at text, d blob, constraint t_id_check check (id < 100),
                unique (c, b));
             create table x (id integer primary key,
                c integer references p(id) deferrable initially deferred, n text default '1');
             create unique index x_lower on x (lower(n));
             create unique index x_pair on x (c, n);
             insert into p values (1, 'foo');
             insert into t values (1, 1, 1, 'a', null, null);",
        )
        .unwrap();
    let p = [("id", Type::Integer, false), ("name", Type::Text, false)];
    let t = [
        ("id", Type::Integer, false),
        ("c", Type::Integer, false),
        ("b", Type::Boolean, false),
        ("n", Type::Text, false),
        ("at", Type::Timestamptz, false),
        ("d", Type::Bytea, false),
    ];
    let x = [
        ("id", Type::Integer, false),
        ("c", Type::Integer, false),
        ("n", Type::Text, true),
    ];
    let mut schema = Schema::default();
    for table in [
        table("p", &p, &[("p_name_key", &[1])], None),
        table("t", &t, &[("t_c_b_key", &[1, 2])], Some("p")),
        table("x", &x, &[], Some("p")),
    ] {
        schema.add(table);
    }
    let check = |sql: &str, table: &str, row: &[Value], expect: &str| {
        let error = connection.execute(sql, row).unwrap_err();
        let table = schema.table(table).map(|t| &**t);
        let mut row = row.to_vec();
        row.resize(table.map_or(0, |t| t.columns.len()), Value::Null);
        let failed = (row.iter().any(|value| *value != Value::Null)).then_some(Failed {
            row: &row,
            sight: &Sight::All,
        });
        let got = match explain(error, &connection, &schema, table, failed) {
            DataError::Sql(fault) => [
                Some(fault.code.into_owned()),
                Some(fault.message),
                fault.details,
            ]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join("|"),
            error => format!("{error:?}"),
        };
        assert_eq!(got, expect, "{sql}");
    };
    let int = Value::Integer;
    let text = |text: &str| Value::Text(text.to_owned());
    check(
        "insert into p values ($1, $2)",
        "p",
        &[int(1), text("bar")],
        "23505|duplicate key value violates unique constraint \"p_pkey\"|Key (id)=(1) already exists.",
    );
    check(
        "insert into p values ($1, $2)",
        "p",
        &[int(2), text("foo")],
        "23505|duplicate key value violates unique constraint \"p_name_key\"|Key (name)=(foo) already exists.",
    );
    check(
        "insert into t values ($1, $2, $3, $4, null, null)",
        "t",
        &[int(2), int(1), int(1), text("a")],
        "23505|duplicate key value violates unique constraint \"t_c_b_key\"|Key (c, b)=(1, t) already exists.",
    );
    check(
        "insert into t values ($1, $2, $3, $4, null, null)",
        "t",
        &[int(2), int(5), int(1), text("a")],
        "23503|insert or update on table \"t\" violates foreign key constraint \"t_c_fkey\"",
    );
    check(
        "insert into t values ($1, $2, $3, $4, $5, $6)",
        "t",
        &[
            int(2),
            int(1),
            int(1),
            Value::Null,
            text("2021-06-05T12:00:00.5+00:00"),
            Value::Blob(vec![0, 255]),
        ],
        "23502|null value in column \"n\" of relation \"t\" violates not-null constraint|Failing row contains (2, 1, t, null, 2021-06-05 12:00:00.5+00, \\x00ff).",
    );
    check(
        "insert into t values ($1, $2, $3, $4, null, null)",
        "t",
        &[int(100), Value::Null, int(0), text(&"é".repeat(40))],
        "23514|new row for relation \"t\" violates check constraint \"t_id_check\"|Failing row contains (100, null, f, éééééééééééééééééééééééééééééééé..., null, null).",
    );
    // Two keys point to it: which one it is has to be looked for.
    check(
        "delete from p where id = $1",
        "p",
        &[int(1)],
        "23503|insert, update or delete violates foreign key constraint",
    );
    check(
        "insert into x values (1, 1, 'a'), (2, 1, 'A')",
        "x",
        &[],
        "23505|duplicate key value violates unique constraint \"x_lower\"",
    );
    connection.script("drop index x_lower").unwrap();
    check(
        "insert into x values (1, 1, 'a'), (2, 1, 'a')",
        "x",
        &[],
        "23505|duplicate key value violates unique constraint \"x_pair\"",
    );

    connection
        .script("begin; insert into x values (7, 5, 'a')")
        .unwrap();
    let Err(DataError::Sql(fault)) = check_deferred(&connection, &schema) else {
        panic!("the key is broken");
    };
    assert_eq!(
        (
            &*fault.code,
            fault.message.as_str(),
            fault.details.as_deref()
        ),
        (
            "23503",
            "insert or update on table \"x\" violates foreign key constraint \"x_c_fkey\"",
            Some("Key (c)=(5) is not present in table \"p\".")
        )
    );
    connection.script("update x set c = 1").unwrap();
    check_deferred(&connection, &schema).unwrap();
}
