//! One connection: statements, functions, and what a guest may do.

use super::*;

#[test]
fn arguments_are_numbered_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let c = open(&folder);
    let check = |sql: &str, args: &[i64], expect: &str| {
        let args: Vec<Value> = args.iter().map(|i| Value::Integer(*i)).collect();
        let mut got = String::new();
        let outcome = c.query(sql, &args, |row| {
            got = line(&row);
            Ok(())
        });
        let got = outcome.map_or_else(|error| code(Err::<(), _>(error.into())), |_| got);
        assert_eq!(got, expect, "{sql}");
    };
    let few = "08P01 bind message supplies 1 parameters, but prepared statement \"\" requires 2";
    check("select $2, $1, $2", &[1, 2], "2|1|2");
    check("select ?2, ?1", &[1, 2], "2|1");
    check("select ?2", &[1, 2], "2");
    check("select $2", &[1], few);
    check(
        "select 1",
        &[1],
        "08P01 bind message supplies 1 parameters, but prepared statement \"\" requires 0",
    );
    check("select :a", &[1], "42P02 there is no parameter :a");
    check("select $1(')", &[1], "42P02 there is no parameter $1(')");
    check("select $0", &[], "42P02 there is no parameter $0");
    check(
        "select 1; select 2",
        &[],
        "42601 cannot insert multiple commands into a prepared statement",
    );
    check("select 1; -- ok", &[], "1");
    // An error in the middle leaves the cached statement fit for its next use.
    let boom = c.query("select $2, $1, $2", &[Value::Null, Value::Null], |_| {
        Err(DataError::TransactionOpen)
    });
    assert!(matches!(
        DataError::from(boom.unwrap_err()),
        DataError::TransactionOpen
    ));
    check("select $2, $1, $2", &[3, 4], "4|3|4");
    // More texts than are kept, and one within its own rows.
    for i in 0..450 {
        check(&format!("select {i}, $1"), &[i], &format!("{i}|{i}"));
    }
    let mut seen = 0;
    c.query("values (1), (2)", &[], |_| {
        c.query("values (1), (2)", &[], |_| {
            seen += 1;
            Ok(())
        })?;
        Ok(())
    })
    .unwrap();
    assert_eq!(seen, 4);
}

#[test]
fn values_and_changes_come_back_as_they_went_in() {
    let folder = tempfile::tempdir().unwrap();
    let c = open(&folder);
    c.script("create table t (a)").unwrap();
    let values = [
        Value::Null,
        Value::Integer(i64::MIN),
        Value::Real(0.1),
        Value::Text(String::new()),
        Value::Text("a\0b".to_owned()),
        Value::Blob(Vec::new()),
        Value::Blob(vec![0, 255]),
    ];
    for value in &values {
        let changes = c
            .execute("insert into t values ($1)", std::slice::from_ref(value))
            .unwrap();
        assert_eq!(changes.rows, 1);
    }
    let mut got = Vec::new();
    c.query("select a from t order by rowid", &[], |row| {
        got.push(match row.get(0) {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(value) => Value::Integer(value),
            ValueRef::Real(value) => Value::Real(value),
            ValueRef::Text(text) => Value::Text(text.to_owned()),
            ValueRef::Blob(blob) => Value::Blob(blob.to_vec()),
        });
        Ok(())
    })
    .unwrap();
    assert_eq!(got, values);
    let rows = |sql: &str| c.execute(sql, &[]).unwrap().rows;
    assert_eq!(rows("select 1"), 0);
    assert_eq!(rows("create table u (a)"), 0);
    assert_eq!(rows("delete from t"), 7);
    assert_eq!(rows("delete from t"), 0);
    let (at, error) = c
        .script("select 1;\n select x from t; select 2")
        .unwrap_err();
    assert_eq!((at, error.offset), (11, Some(7)));
    let mut text = None;
    c.query("select cast(x'ff' as text)", &[], |row| {
        text = Some(line(&row));
        Ok(())
    })
    .unwrap();
    assert_eq!(text.unwrap(), "[255]", "text that is not UTF-8 is a blob");
}

#[test]
fn functions_may_fail_and_panic() {
    let folder = tempfile::tempdir().unwrap();
    let c = open(&folder);
    c.function("plus", -1, true, |args| {
        let mut sum = 0;
        for arg in args {
            match arg {
                ValueRef::Integer(value) => sum += value,
                ValueRef::Text(_) => return Err(DataError::sql("22P02", "no number")),
                _ => panic!("no integer"),
            }
        }
        Ok(Value::Integer(sum))
    })
    .unwrap();
    let check = |sql: &str, expect: &str| {
        let got = rows(&c, sql).unwrap_or_else(|error| code(Err::<(), _>(error)));
        assert_eq!(got, expect, "{sql}");
    };
    check("select plus(1, 2), plus()", "3|0");
    check("select plus(1,2,3,4,5,6,7,8,9,10)", "55");
    check("select plus('a')", "22P02 no number");
    check("select plus(1.5)", "Internal(\"panic: no integer\")");
    check("select plus(1)", "1");
    check(
        "select length(gen_random_uuid()), gen_random_uuid() = gen_random_uuid()",
        "36|0",
    );
    c.set_now(SystemTime::UNIX_EPOCH + Duration::from_micros(1_622_894_400_123_450));
    check(
        "select now(), now() = now()",
        "2021-06-05T12:00:00.12345+00:00|1",
    );
    c.script(
        "create table d (at text default (now()), n text collate \"numeric\");
        insert into d (n) values ('10'), ('9'), ('-1.50'), ('-1.5'), ('NaN')",
    )
    .unwrap();
    check(
        "select group_concat(n, ' ') from (select n from d order by n, rowid)",
        "-1.50 -1.5 9 10 NaN",
    );
    check("select count(*) from d where n = '9.0' and at = now()", "1");
}

#[test]
fn a_guest_reaches_its_own_tables_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let c = open(&folder);
    c.script(
        "create table \"auth.users\" (id text primary key, email text);
         create table \"pumice.change\" (n integer primary key autoincrement, v text);
         create virtual table \"pumice.text\" using fts5(v);
         create table t (id integer primary key, v text, owner text references \"auth.users\"(id));
         create table other (id integer primary key);
         create view spy as select id from \"auth.users\";
         create view master as select name from sqlite_schema;
         create view fair as select v from t;
         create trigger \"pumice.t\" after insert on t begin
            insert into \"pumice.change\" (v) values (new.v);
            insert into \"pumice.text\" (v) values (new.v);
         end;
         create trigger bad after insert on other begin
            insert into t (v) select email from \"auth.users\";
         end;
         insert into \"auth.users\" values ('u', 'u@example.com');",
    )
    .unwrap();
    let guest = |sql: &str| -> Result<String, DataError> {
        let mut out = String::new();
        let mut head = Vec::new();
        c.guest_query(
            sql,
            &[],
            |columns| {
                head = columns;
                Ok(())
            },
            |row| {
                out = format!("{out}{};", line(&row));
                Ok(())
            },
        )?;
        Ok(format!("{}: {out}", head.join(",")))
    };
    let check = |sql: &str, expect: &str| {
        let got = guest(sql).unwrap_or_else(|error| code(Err::<(), _>(error)));
        assert_eq!(got, expect, "{sql}");
    };
    check(
        "insert into t (v, owner) values ('word', 'u') returning id, v",
        "id,v: 1|word;",
    );
    check(
        "insert into t (v, owner) values ('a', 'nobody')",
        "23503 insert, update or delete violates foreign key constraint",
    );
    check("select v as word from fair; -- done", "word: word;");
    check("select count(*) as n from t, json_each('[1,2]')", "n: 2;");
    check("update t set v = 'x' where id = 1; ;", ": ");
    check("", ": ");
    assert_eq!(
        rows(&c, "select * from \"pumice.change\"").unwrap(),
        "1|word"
    );
    assert_eq!(
        rows(
            &c,
            "select v from \"pumice.text\" where \"pumice.text\" match 'word'"
        )
        .unwrap(),
        "word"
    );

    let users = "42501 permission denied for table users";
    for sql in [
        "select id from \"auth.users\"",
        "select email from [auth.users]",
        "select count(*) from `auth.users`",
        "select id from 'auth.users'",
        "select rowid from main.'AUTH.users'",
        "select id from auth.users",
        "select * from spy",
        "select count(*) from spy",
        "with recursive a(i) as (select id from \"auth.users\" union select i from a) select * from a",
        "with a as (select * from spy) select * from a",
        "with \"pumice.a\" as (select * from \"auth.users\") select * from \"pumice.a\"",
        "with \"pumice.a\" as (select * from spy) select * from \"pumice.a\"",
        "insert into other values (1)",
        "insert into \"auth.users\" values ('v', '')",
        "update \"auth.users\" set email = ''",
        "delete from \"auth.users\"",
        "select (select email from \"auth.users\") from t",
        "select id from t where exists (select 1 from spy)",
    ] {
        let got = code(guest(sql)).to_ascii_lowercase();
        assert!(
            got == users || got == "42501 permission denied for table a",
            "{sql}: {got}"
        );
    }
    for sql in [
        "select * from sqlite_master",
        "select * from \"sqlite_schema\"",
        "select * from sqlite_temp_schema",
        "select * from 'sqlite_sequence'",
        "select * from master",
        "select * from \"pumice.change\"",
        "delete from \"pumice.change\"",
        "select * from \"pumice.text\"",
        "select * from \"pumice.text_content\"",
        "select * from pragma_table_info('t')",
        "select * from pragma_database_list",
        "select * from dbstat",
    ] {
        let got = code(guest(sql));
        assert!(
            got.starts_with("42501 permission denied for table "),
            "{sql}: {got}"
        );
    }
    for sql in [
        "attach 'x.db' as x",
        "detach main",
        "pragma user_version",
        "/* */ PRAGMA query_only = off",
        "begin",
        "commit",
        "rollback",
        "savepoint a",
        "release a",
        "vacuum",
        "vacuum into 'copy.db'",
        "create table x (a)",
        "create temp table x (a)",
        "create view x as select 1",
        "create trigger x after insert on t begin select 1; end",
        "create virtual table x using fts5(a)",
        "drop table t",
        "alter table t add column x",
        "create index i on t (v)",
        "reindex",
        "analyze",
        "explain select 1",
        "select load_extension('x')",
        "insert or rollback into t (id) values (1)",
    ] {
        let got = code(guest(sql));
        assert!(
            got.starts_with("42501 ") && got.ends_with(" is not allowed here"),
            "{sql}: {got}"
        );
    }
    let several = "42601 cannot insert multiple commands into a prepared statement";
    check("select 1; select 2", several);
    check("select 1; attach 'x' as y", several);
    check("selec 1", "42601 syntax error at or near \"selec\"");
    check(
        "select $1(') , id from \"auth.users\" --'",
        "42P02 there is no parameter $1(')",
    );
    check("select \0 1", "42601 zero byte in a statement");
    check(
        "select missing from t",
        "42703 column \"missing\" does not exist",
    );
    // The rules hold for guests' statements only.
    assert_eq!(rows(&c, "select id from \"auth.users\"").unwrap(), "u");
    assert!(!folder.path().join("copy.db").exists());
}

#[test]
fn an_interrupt_stops_a_statement_from_another_thread() {
    let folder = tempfile::tempdir().unwrap();
    let c = open(&folder);
    let interrupt = c.interrupt();
    let mut started = false;
    let outcome = c.query(
        "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n",
        &[],
        |_| {
            if !started {
                started = true;
                let interrupt = interrupt.clone();
                std::thread::spawn(move || interrupt.interrupt())
                    .join()
                    .unwrap();
            }
            Ok(())
        },
    );
    assert_eq!(
        code(outcome.map_err(DataError::from)),
        "57014 canceling statement due to user request"
    );
    drop(c);
    interrupt.interrupt();
}

#[test]
fn a_connection_is_opened_as_the_design_says() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("one.db");
    let with = |mode, durable| {
        let open = Open {
            mode,
            durable,
            cache_kib: 1024,
            busy_timeout: Duration::ZERO,
        };
        Connection::open(&file, open).unwrap()
    };
    let writer = with(Mode::Writer, true);
    let check = |c: &Connection, sql: &str, expect: &str| {
        let got = rows(c, sql).unwrap_or_else(|error| code(Err::<(), _>(error)));
        assert_eq!(got, expect, "{sql}");
    };
    check(&writer, "pragma journal_mode", "wal");
    check(&writer, "pragma synchronous", "2");
    check(&writer, "pragma foreign_keys", "1");
    check(&writer, "pragma temp_store", "1");
    check(&writer, "pragma cache_size", "-1024");
    check(&writer, "pragma trusted_schema", "0");
    check(&writer, "pragma query_only", "0");
    check(
        &writer,
        "select load_extension('x')",
        "42000 not authorized",
    );
    check(
        &writer,
        "attach ':memory:' as x",
        "42000 too many attached databases - max 0",
    );
    check(
        &writer,
        "select \"no column\"",
        "42703 column \"no column\" does not exist",
    );
    // Defensive: a schema cannot be written by hand.
    check(&writer, "pragma writable_schema = on", "");
    check(
        &writer,
        "delete from sqlite_schema",
        "42000 table sqlite_master may not be modified",
    );
    check(&with(Mode::Writer, false), "pragma synchronous", "0");
    check(&with(Mode::Reader, true), "pragma query_only", "1");
    let missing = folder.path().join("missing.db");
    let reader = Open {
        mode: Mode::Reader,
        durable: true,
        cache_kib: 1024,
        busy_timeout: Duration::ZERO,
    };
    assert!(Connection::open(&missing, reader).is_err());
    assert!(!missing.exists());
    // Another process's lock: whoever may not wait hears of it.
    let other = with(Mode::Writer, true);
    other.script("begin immediate").unwrap();
    writer.limit(None, Some(1000));
    let busy = writer
        .script("begin immediate")
        .map_err(|(_, error)| error.into());
    assert_eq!(code(busy), "55P03 canceling statement due to lock timeout");
    assert!(writer.over_budget());
}
