//! Translated files, run on a real SQLite.

mod access;
mod postgres;
mod types;
mod views;

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::Role;
use crate::data::sqlite;
use crate::data::sqlite_ffi::{Connection, Mode, Open};
use crate::data::{Context, Value, ValueRef};

struct Database {
    connection: Connection,
    _folder: tempfile::TempDir,
}

impl Database {
    fn new() -> Database {
        let folder = tempfile::tempdir().unwrap();
        let open = Open {
            mode: Mode::Writer,
            durable: false,
            cache_kib: 1024,
            busy_timeout: Duration::ZERO,
        };
        let connection = Connection::open(&folder.path().join("app.db"), open).unwrap();
        sqlite::register(&connection).unwrap();
        register(&connection).unwrap();
        for _ in 0..2 {
            prepare(&connection).unwrap();
            crate::permissions::prepare_sqlite(&connection).unwrap();
        }
        Database {
            connection,
            _folder: folder,
        }
    }

    /// Runs the sources as files 0001, 0002 …, those that have run before among them.
    fn run(&self, sources: &[&str]) -> Result<Catalog, String> {
        let files: Vec<_> = sources
            .iter()
            .enumerate()
            .map(|(index, source)| MigrationFile {
                name: format!("{:04}_test.sql", index + 1),
                source: (*source).to_owned(),
            })
            .collect();
        self.change(|connection| {
            let applied = applied(connection)?;
            Ok(apply(connection, &plan(&applied, &files)?)?.0)
        })
    }

    fn change<T>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, MigrateFault>,
    ) -> Result<T, String> {
        self.connection.execute("begin immediate", &[]).unwrap();
        let done = job(&self.connection);
        let end = if done.is_ok() { "commit" } else { "rollback" };
        self.connection.execute(end, &[]).unwrap();
        done.map_err(|fault| fault.to_string())
    }

    fn execute(&self, sql: &str) -> Result<(), String> {
        self.connection
            .execute(sql, &[])
            .map(drop)
            .map_err(|error| error.to_string())
    }

    /// The rows as text: `1|a; 2|null`.
    fn show(&self, sql: &str) -> String {
        let mut rows = Vec::new();
        self.connection
            .query(sql, &[], |row| {
                let show = |index| match row.get(index) {
                    ValueRef::Null => "null".to_owned(),
                    ValueRef::Integer(number) => number.to_string(),
                    ValueRef::Real(number) => format!("{number:?}"),
                    ValueRef::Text(text) => text.to_owned(),
                    ValueRef::Blob(bytes) => format!("{bytes:?}"),
                };
                rows.push((0..row.len()).map(show).collect::<Vec<_>>().join("|"));
                Ok(())
            })
            .unwrap();
        rows.join("; ")
    }
}

/// What `source` becomes; run on SQLite too.
fn check(source: &str, expect: &[&str]) {
    let found = match translate(source, "f", Catalog::default()) {
        Ok(translated) => translated
            .steps
            .into_iter()
            .map(|step| step.sql)
            .collect::<Vec<_>>(),
        Err(fault) => panic!("{source}: {fault}"),
    };
    assert_eq!(found, expect, "{source}");
    if let Err(fault) = Database::new().run(&[source]) {
        panic!("{source}: {fault}");
    }
}

#[test]
fn a_table_becomes_sqlites() {
    check(
        "create table if not exists public.Orders (
            id bigint generated always as identity primary key,
            \"User\" uuid not null default auth.uid() references auth.users on delete cascade,
            total numeric(10,2) default 0 check (total >= 0),
            paid boolean default false not null,
            state text check (state in ('a', 'b')),
            at timestamptz default now(),
            day date default current_date,
            tags text[] default '{}',
            data jsonb default '{}'::jsonb,
            n int check (n between 1 and 5 or n % 2 = 1),
            twice int generated always as (n * 2) stored,
            unique (state, day)
        )",
        &["create table \"orders\" (
  \"id\" integer constraint \"orders_pkey\" primary key autoincrement,
  \"User\" text not null default (pumice_uid()),
  \"total\" text collate \"numeric\" default ('0.00'),
  \"paid\" int not null default (0),
  \"state\" text,
  \"at\" text default (now()),
  \"day\" text default (substr(now(), 1, 10)),
  \"tags\" text collate \"array\" default ('[]'),
  \"data\" text collate \"jsonb\" default ('{}'),
  \"n\" int,
  \"twice\" int generated always as ((\"n\" * 2)) stored,
  constraint \"orders_total_check\" check ((\"total\" >= '0' collate \"numeric\")),
  constraint \"orders_state_check\" check ((\"state\" in ('a', 'b'))),
  constraint \"orders_n_check\" check ((((\"n\" >= 1) and (\"n\" <= 5)) or ((\"n\" % 2) = 1))),
  constraint \"orders_state_day_key\" unique (\"state\", \"day\"),
  constraint \"orders_User_fkey\" foreign key (\"User\") references \"auth.users\" (\"id\") on delete cascade
)"],
    );
}

/// Each file of `names.txt` was run on PostgreSQL 15 behind the tables of `u`; below it stand the
/// constraints and indexes that `pg_constraint` and `pg_index` then listed.
#[test]
fn names_are_those_that_postgres_gives() {
    let u = "create table u (a int, b int, c int unique, unique (a, b), unique (b, a));";
    let lines: Vec<_> = include_str!("../names.txt").lines().collect();
    for case in lines.chunks(2) {
        let (source, expect) = (case[0], case[1].strip_prefix("  => ").unwrap());
        let catalog = Database::new().run(&[&format!("{u}{source}")]).unwrap();
        let mut names = Vec::new();
        for table in catalog.tables.values().filter(|table| table.name != "u") {
            let plain = table
                .name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            let shown = if plain {
                table.name.clone()
            } else {
                sql::quoted(&table.name)
            };
            names.extend(
                table
                    .constraints
                    .iter()
                    .map(|there| format!("{shown}.{}", there.name)),
            );
            names.extend(table.indexes.keys().cloned());
        }
        names.sort();
        assert_eq!(names.join(" "), expect, "{source}");
    }
}

/// Rows, ids, indexes and what other tables point to outlive a rebuild; no cascade runs.
#[test]
fn a_rebuild_keeps_everything() {
    let database = Database::new();
    let first = "create table boss (id serial primary key, name text unique, boss int references boss on delete cascade);
        create table item (id int primary key, boss int not null references boss on delete cascade, price numeric(6,2));
        create index on item (price);
        create table part (item int references item (id) on delete restrict, at timestamptz default now());
        insert into boss (name, boss) values ('a', null), ('b', 1), ('c', 2);
        delete from boss where name = 'c';
        insert into item values (1, 1, 9.5), (2, 2, 10);
        insert into part (item) values (1), (2)";
    database.run(&[first]).unwrap();
    let second = "alter table boss add constraint short check (length(name) < 5), add column at timestamptz not null default now(),
            alter column name set not null;
        alter table item add column note text, drop column price;
        alter table item rename column boss to chief;
        alter table boss rename to chief;
        alter table chief drop constraint boss_name_key";
    let catalog = database.run(&[first, second]).unwrap();
    assert_eq!(
        database.show("select id, name, boss from chief"),
        "1|a|null; 2|b|1"
    );
    assert_eq!(database.show("select * from item"), "1|1|null; 2|2|null");
    assert_eq!(database.show("select item from part"), "1; 2");
    assert_eq!(database.show("select name from sqlite_schema where name not like 'auth.%' and (name like '%new%' or type = 'index' and sql is not null)"), "");
    assert_eq!(database.show("pragma foreign_key_check"), "");
    // An id is not given out again; the names stay; the foreign keys work.
    database
        .execute("insert into chief (name) values ('a')")
        .unwrap();
    assert_eq!(database.show("select max(id) from chief"), "4");
    let refused = database
        .execute("insert into chief (name) values ('abcde')")
        .unwrap_err();
    assert_eq!(refused, "CHECK constraint failed: short");
    assert!(
        database
            .execute("delete from item")
            .unwrap_err()
            .contains("FOREIGN KEY")
    );
    database.execute("delete from part").unwrap();
    database.execute("delete from chief where id = 1").unwrap();
    assert_eq!(database.show("select count(*) from item"), "0");
    let schema = catalog.schema();
    let item = schema.table("item").unwrap();
    assert_eq!(item.foreign_keys[0].to_table, "chief");
    assert_eq!(
        item.columns[item.foreign_keys[0].columns[0]].name.as_str(),
        "chief"
    );
    let kept = self::catalog(&database.connection).unwrap();
    assert_eq!(kept, catalog);
}

#[test]
fn tables_in_a_circle_are_rebuilt_and_dropped() {
    let database = Database::new();
    let first = "create table a (id int primary key, b int);
        create table b (id int primary key, a int not null references a on delete restrict);
        insert into a values (1, null); insert into b values (1, 1);
        alter table a add foreign key (b) references b on delete restrict;
        update a set b = 1;
        alter table a add check (id > 0)";
    database.run(&[first]).unwrap();
    assert_eq!(database.show("select * from a, b"), "1|1|1|1");
    database.run(&[first, "drop table a, b"]).unwrap();
    let refused = Database::new().run(&[first, "drop table b"]).unwrap_err();
    assert!(
        refused.starts_with("migrations/0002_test.sql:1: cannot drop table \"b\""),
        "{refused}"
    );
}

#[test]
fn conditions_mean_what_they_mean_on_postgres() {
    let database = Database::new();
    database
        .run(&["create type mood as enum ('sad', 'ok');
            create table t (n numeric(5,2), i int, b boolean, s text, v varchar(3), m mood, at timestamptz, c char(3));
            insert into t values (10, 9, true, 'Äb', 'x', 'ok', '2021-06-05 14:00+02', 'a'), (9.5, 10, false, 'a%', null, 'sad', null, null)"])
        .unwrap();
    for (condition, expect) in [
        ("n > 9.75", 1),
        ("n = 10.0", 1),
        ("n > i", 1),
        ("n in (9.500, 3)", 1),
        ("n between 9 and 10", 2),
        ("i > 9.5", 1),
        ("b", 1),
        ("not b and s is not null", 1),
        ("b = 'f'", 1),
        ("s like 'ä%'", 0),
        ("s ilike 'ä%'", 1),
        (r"s like 'a\%'", 1),
        ("lower(s) = 'äb'", 1),
        ("char_length(s) = 2", 2),
        ("coalesce(v, s) = 'a%'", 1),
        ("m = 'ok' or m is null", 1),
        ("m = any(array['ok', 'sad']::mood[])", 2),
        ("at = '2021-06-05T12:00:00Z'", 1),
        ("at < now()", 1),
        ("c = 'a'", 1),
        ("v is distinct from 'x'", 1),
        ("case when b then i = 9 else i = 10 end", 2),
        ("(s || v) = 'Äbx'", 1),
        ("i % 2 = 1 and i / 2 = 4", 1),
        ("-i < -9", 1),
    ] {
        let source = format!("delete from t where {condition}");
        let translated = translate(&source, "f", catalog(&database.connection).unwrap());
        let translated = match translated {
            Ok(translated) => translated,
            Err(fault) => panic!("{condition}: {fault}"),
        };
        let count = translated.steps[0]
            .sql
            .replacen("delete", "select count(*)", 1);
        assert_eq!(
            database.show(&count),
            expect.to_string(),
            "{condition}: {count}"
        );
    }
}

#[test]
fn what_is_refused_names_its_place() {
    let long = "a".repeat(64);
    let deep = format!(
        "create table t (a int check (a > 0{}))",
        " and a > 0".repeat(200)
    );
    for (source, expect) in [
        (
            "create table t (a int);\n\ncreate schema v",
            "f:3: `create schema …` is not in the subset that SQLite runs; mark it with `-- pumice: only postgres`",
        ),
        (
            "create table t (a int); create table T (b int)",
            "f:1: relation \"t\" already exists",
        ),
        (
            "create table t (a xml)",
            "f:1: the type xml is not in the subset that SQLite runs; mark it with `-- pumice: only postgres`",
        ),
        (
            "create table t (a int references u)",
            "f:1: relation \"u\" does not exist",
        ),
        (
            "create table t (a int); create table u (a text references t (a))",
            "f:1: there is no unique constraint matching given keys for referenced table \"t\"",
        ),
        (
            "create table t (a int primary key); create table u (a text references t)",
            "f:1: a foreign key of type text cannot point to a column of type integer",
        ),
        (
            "create table t (a int default 'x')",
            "f:1: invalid input syntax for type integer: \"x\"",
        ),
        (
            "create table t (a int check (b > 0))",
            "f:1: column \"b\" of relation \"t\" does not exist",
        ),
        (
            "create table t (a int check (a))",
            "f:1: a condition must be type boolean, not type integer",
        ),
        (
            "create table t (a numeric check (a + 1 > 0))",
            "f:1: arithmetic on type numeric is not in the subset that SQLite runs; mark it with `-- pumice: only postgres`",
        ),
        (
            "begin",
            "f:1: a file is one transaction already; take it out",
        ),
        (
            "create table auth.t (a int)",
            "f:1: `auth.t` is not in schema public; an app's tables live in public; mark it with `-- pumice: only postgres` if it is for PostgreSQL alone",
        ),
        (
            "create table \"a.b\" (a int)",
            "f:1: \"a.b\" cannot be a name here; choose one without a dot that does not start with sqlite_",
        ),
        (
            &format!("create table {long} (a int)"),
            &format!("f:1: the name \"{long}\" is longer than 63 bytes; choose a shorter one"),
        ),
        (
            &deep,
            "f:1: an expression of more than 400 words; make it shorter",
        ),
        (
            "-- pumice: onyl postgres\nselect 1",
            "f:1: unknown mark `pumice: onyl postgres`: there is `pumice: only postgres` and `pumice: open`",
        ),
    ] {
        let fault = translate(source, "f", Catalog::default()).unwrap_err();
        assert_eq!(fault.to_string(), expect, "{source}");
    }
}

#[test]
fn files_run_once_in_order_and_unchanged() {
    let file = |name: &str, source: &str| MigrationFile {
        name: name.to_owned(),
        source: source.to_owned(),
    };
    let done = |name: &str, source: &str| Applied {
        file: name.to_owned(),
        digest: file(name, source).digest(),
        translator: TRANSLATOR,
    };
    let check = |applied: &[Applied], files: &[MigrationFile], expect: &str| {
        let found = match plan(applied, files) {
            Ok(files) => files
                .iter()
                .map(|file| file.name.as_str())
                .collect::<Vec<_>>()
                .join(" "),
            Err(fault) => fault.to_string(),
        };
        assert!(
            found.starts_with(expect) && found.is_empty() == expect.is_empty(),
            "{found}"
        );
    };
    let (a, b) = (file("0001_a.sql", "a"), file("0002_b.sql", "b"));
    check(&[], &[b.clone(), a.clone()], "0001_a.sql 0002_b.sql");
    check(
        &[done("0001_a.sql", "a")],
        &[a.clone(), b.clone()],
        "0002_b.sql",
    );
    check(
        &[done("0001_a.sql", "a"), done("seed.sql", "x")],
        std::slice::from_ref(&a),
        "",
    );
    check(
        &[done("0001_a.sql", "x")],
        std::slice::from_ref(&a),
        "migrations/0001_a.sql has run and was edited",
    );
    check(
        &[done("0001_a.sql", "a")],
        std::slice::from_ref(&b),
        "migrations/0001_a.sql has run and is gone",
    );
    check(
        &[done("0002_b.sql", "b")],
        &[a.clone(), b.clone()],
        "migrations/0001_a.sql comes before",
    );
    check(
        &[],
        &[a.clone(), file("00001_c.sql", "")],
        "migrations/0001_a.sql and migrations/00001_c.sql have the same",
    );
    check(
        &[],
        &[file("10000_a.sql", ""), file("9999_a.sql", "")],
        "9999_a.sql 10000_a.sql",
    );
    for name in [
        "1_a.sql",
        "0001.sql",
        "0001_.sql",
        "0001_a.txt",
        "0001_a/b.sql",
        "x_a.sql",
    ] {
        check(&[], &[file(name, "")], "migrations/");
    }
}

#[test]
fn a_failing_step_names_its_line_and_leaves_nothing() {
    let database = Database::new();
    let fault = database
        .run(&["create table t (a int primary key);\ninsert into t values (1);\ninsert into t\n values (1)"])
        .unwrap_err();
    assert_eq!(
        fault,
        "migrations/0001_test.sql:3: UNIQUE constraint failed: t.a; in `insert into t values (1)`"
    );
    assert_eq!(
        database.show("select count(*) from \"pumice.migration\""),
        "0"
    );
    let ok = "create table t (a int primary key)";
    database.run(&[ok]).unwrap();
    let edited = database.run(&["create table t (a int)"]).unwrap_err();
    assert!(edited.contains("was edited"), "{edited}");
    assert!(
        database
            .change(|c| seed(c, "insert into t values (1)"))
            .unwrap()
    );
    assert!(
        !database
            .change(|c| seed(c, "insert into t values (2)"))
            .unwrap()
    );
    assert_eq!(database.show("select a from t"), "1");
}

proptest! {
    #[test]
    fn any_text_is_translated_or_refused(source in "\\PC{0,80}") {
        let _ = translate(&source, "f", Catalog::default());
    }
}

#[test]
fn seeds_and_data_migrations_write_what_postgres_would() {
    let database = Database::new();
    let many = vec!["('x', default)"; 3000].join(", ");
    database
        .run(&[
            "create table t (id bigint generated always as identity primary key, s text, n numeric(5,2) default 1, b boolean,
                j jsonb, tags text[], at timestamptz default now(), d date, u uuid, y bytea, unique (s, n));
            create unique index on t (lower(s)) where b",
            &format!("insert into t (s, n) values {many} on conflict do nothing;
            delete from t where id > 0;
            insert into t (s, n, b, j, tags, at, d, u, y) values
                ('it''s', 2.345, 'yes', '{{\"bb\": 1,\"a\":[1,2]}}', '{{a,\"b c\"}}', '2021-06-05 14:00:00.50+02', '2021-06-05', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '\\x00ff'),
                (E'a\\nb', -0.005, null, '[]'::jsonb, array['x', null], timestamptz '2021-01-01', date '2021-01-02', null, null);
            insert into t values (default, 'z');
            insert into t (s, n) values ('z', 1) on conflict (s, n) do update set b = not coalesce(t.b, false), n = excluded.n;
            update t set s = upper(s), d = at::date where s in ('z')"),
        ])
        .unwrap();
    assert_eq!(
        database.show("select s, n, b, j, tags, at, d, u, y from t where s <> 'Z' order by id"),
        "it's|2.35|1|{\"a\": [1, 2], \"bb\": 1}|[\"a\",\"b c\"]|2021-06-05T12:00:00.5+00:00|2021-06-05|a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|[0, 255]; a\nb|-0.01|null|[]|[\"x\",null]|2021-01-01T00:00:00+00:00|2021-01-02|null|null"
    );
    assert_eq!(
        database.show("select s, n, b, d = substr(at, 1, 10) from t where s = 'Z'"),
        "Z|1.00|1|1"
    );
    for (source, expect) in [
        (
            "insert into t (id) values (1)",
            "f:1: column \"id\" is generated always: no value can be given; leave it out, or declare it `generated by default`",
        ),
        (
            "insert into t (s) select 'x'",
            "f:1: an insert of anything but values is not in the subset that SQLite runs; mark it with `-- pumice: only postgres`",
        ),
        (
            "update t set nope = 1",
            "f:1: column \"nope\" of relation \"t\" does not exist",
        ),
        (
            "insert into t (u) values ('x')",
            "f:1: invalid input syntax for type uuid: \"x\"",
        ),
        (
            "insert into t (s, n) values ('a')",
            "f:1: INSERT has not as many expressions as target columns",
        ),
    ] {
        let catalog = catalog(&database.connection).unwrap();
        let fault = translate(source, "f", catalog).unwrap_err();
        assert_eq!(fault.to_string(), expect, "{source}");
    }
}
#[test]
fn an_expression_at_its_bound_is_still_translated() {
    // Four words before the first comparison, three in it, four in each further one, one behind.
    let chain = format!("check (a > 0{})", " and a > 0".repeat(99));
    check_runs(&format!("create table t (a int, {chain})"));
    let not = "not ".repeat(40);
    check_runs(&format!("create table t (a boolean check ({not}a))"));
    let parens = (0..200).map(|_| "(").collect::<String>();
    let fault = translate(
        &format!("create table t (a int check {parens}"),
        "f",
        Catalog::default(),
    );
    assert!(fault.unwrap_err().reason.contains("recursion"));
}

/// A change that SQLite's table does not show costs no rebuild; one of text that others need does not
/// happen.
#[test]
fn a_key_that_is_pointed_to_stays() {
    let base = "create table t (a int, b varchar(3)); create unique index k on t (a); create table u (a int references t (a));";
    let steps = |change: &str| {
        let before = translate(base, "f", Catalog::default()).unwrap().catalog;
        translate(change, "f", before)
            .map(|done| done.steps.len())
            .map_err(|fault| fault.reason)
    };
    assert_eq!(steps("alter table t alter column b type text"), Ok(0));
    assert_eq!(
        steps("drop index k"),
        Err("cannot drop index \"k\": a foreign key of table \"u\" depends on it".to_owned())
    );
    assert_eq!(
        steps("drop table t"),
        Err("cannot drop table \"t\": a foreign key of table \"u\" depends on it".to_owned())
    );
    assert!(steps("drop table t cascade").unwrap() > 1);
}

fn check_runs(source: &str) {
    Database::new().run(&[source]).unwrap();
}

#[test]
fn grants_say_what_a_caller_may() {
    let database = Database::new();
    let user = "00000000-0000-0000-0000-000000000007";
    let connection = &database.connection;
    connection
        .script(
            "insert into \"auth.permission_namespaces\" (name, owner) values ('a', 'app');
            insert into \"auth.permission_actions\" (permission, namespace, action) values
            ('a.read', 'a', 'read'), ('a.write', 'a', 'write'), ('a.own', 'a', 'own'),
            ('a.old', 'a', 'old'), ('a.open', 'a', 'open')",
        )
        .unwrap();
    connection
        .execute(
            "insert into \"auth.permission_grants\" (role, user_id, permission, allow, expires_at) values
            ('authenticated', null, 'a.read', 1, null),
            ('authenticated', null, 'a.write', 1, null),
            (null, $1, 'a.write', 0, null),
            (null, $1, 'a.own', 1, '9999-01-01T00:00:00+00:00'),
            (null, $1, 'a.old', 1, '2001-01-01T00:00:00+00:00'),
            ('anon', null, 'a.open', 1, null)",
            &[Value::Text(user.to_owned())],
        )
        .unwrap();
    let other = "00000000-0000-0000-0000-000000000008";
    for (role, id, expect) in [
        (Role::Authenticated, user, "a.own a.read"),
        (Role::Authenticated, other, "a.read a.write"),
        (Role::Anon, other, "a.open"),
    ] {
        connection.set_context(Context {
            role,
            claims: format!(r#"{{"sub":"{id}","email":"a@b.c"}}"#).into(),
            ..Context::default()
        });
        let asked = format!(
            "select group_concat(value, ' ' order by value) || pumice_uid() || pumice_email()
            from json_each('[\"a.read\",\"a.write\",\"a.own\",\"a.old\",\"a.open\",\"other\"]')
            where {}",
            crate::permissions::has_permission("value", None)
        );
        let mut found = String::new();
        connection
            .query(&asked, &[], |row| {
                if let ValueRef::Text(text) = row.get(0) {
                    found = text.to_owned();
                }
                Ok(())
            })
            .unwrap();
        assert_eq!(found, format!("{expect}{id}a@b.c"));
    }
    // In a policy's place it is translated; a check cannot read another table.
    let check = "create table t (a text check (auth.has_permission(a)))";
    assert!(
        database
            .run(&[check])
            .unwrap_err()
            .contains("has_permission")
    );
    let write = "create table t (a boolean); insert into t values (auth.has_permission('a.read'))";
    database.run(&[write]).unwrap();
}
