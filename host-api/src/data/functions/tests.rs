//! Against what a PostgreSQL 15 server answered: `postgres15.jsonl`.

use std::time::Duration;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::data::sqlite_ffi::{Connection, Mode, Open};
use crate::data::{DataError, Value, ValueRef};

const ANSWERS: &str = include_str!("postgres15.jsonl");

/// `sql` is what SQLite is asked; its arguments are text, numbers or null.
#[derive(Deserialize)]
struct Answer {
    sql: String,
    args: Vec<Box<RawValue>>,
    /// Text, a whole number or null.
    answer: Option<Box<RawValue>>,
    code: Option<String>,
    message: Option<String>,
}

fn connection() -> (tempfile::TempDir, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let open = Open {
        mode: Mode::Writer,
        durable: false,
        cache_kib: 256,
        busy_timeout: Duration::ZERO,
    };
    let connection = Connection::open(&folder.path().join("f.db"), open).unwrap();
    crate::data::ddl::register(&connection).unwrap();
    (folder, connection)
}

fn ask(connection: &Connection, sql: &str, args: &[Value]) -> Result<Value, DataError> {
    let mut answer = Value::Null;
    let asked = connection.query(sql, args, |row| {
        answer = match row.get(0) {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => Value::Integer(number),
            ValueRef::Real(number) => Value::Real(number),
            ValueRef::Text(text) => Value::Text(text.to_owned()),
            ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
        };
        Ok(())
    });
    match asked {
        Ok(_) => Ok(answer),
        Err(error) => Err(match error.cause {
            Some(cause) => *cause,
            None => DataError::Internal(error.message),
        }),
    }
}

fn bound(json: &RawValue) -> Value {
    let json = json.get();
    match json.parse() {
        Ok(number) => Value::Integer(number),
        Err(_) if json == "null" => Value::Null,
        Err(_) if json.starts_with('"') => Value::Text(serde_json::from_str(json).unwrap()),
        // Read by Rust: serde_json is not exact.
        Err(_) => Value::Real(json.parse().unwrap()),
    }
}

#[test]
fn functions_answer_as_postgresql_does() {
    let (_folder, connection) = connection();
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in ANSWERS.lines() {
        let expect: Answer = serde_json::from_str(line).unwrap();
        let args: Vec<Value> = expect.args.iter().map(|json| bound(json)).collect();
        let same = match ask(&connection, &expect.sql, &args) {
            Ok(value) => {
                expect.code.is_none()
                    && expect.answer.as_deref().map_or(Value::Null, bound) == value
            }
            Err(DataError::Sql(fault)) => {
                Some(fault.code.as_ref()) == expect.code.as_deref()
                    && Some(fault.message.as_str()) == expect.message.as_deref()
            }
            Err(other) => panic!("{line}: {other:?}"),
        };
        if !same {
            wrong.push(format!(
                "{line}\n   got {:?}",
                ask(&connection, &expect.sql, &args)
            ));
        }
        count += 1;
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(count >= 1500, "{count} answers");
}

#[test]
fn no_function_makes_more_than_a_value_may_be() {
    let (_folder, connection) = connection();
    let code = |sql: &str| match ask(&connection, sql, &[]) {
        Err(DataError::Sql(fault)) => fault.code.to_string(),
        other => panic!("{sql}: {:?}", other.is_ok()),
    };
    // What is refused would be far more than there is memory.
    let spec = vec!["[\"a\",\"text\"]"; 100].join(",");
    let values = vec!["a"; 100].join(",");
    for sql in [
        "select replace(hex(zeroblob(10000000)), '0', hex(zeroblob(1000000)))".to_owned(),
        format!(
            "select pumice_cast('[{}]', 1002, 'character(10000000)[]')",
            vec!["1"; 1_000].join(",")
        ),
        format!(
            "select pumice_cells('[{spec}]', {values}) \
             from (select hex(zeroblob(10000000)) as a)"
        ),
    ] {
        assert_eq!(code(&sql), "54000", "{sql}");
    }
    let padded = "select pumice_cast('a', 8, 'character(4294967295)')";
    assert_eq!(code(padded), "22023");
    assert_eq!(
        code("select pumice_fit('a', 'character(4294967295)')"),
        "22023"
    );
    let same = ask(&connection, "select replace('abab', 'b', 'xyz')", &[]);
    assert_eq!(same.unwrap(), Value::Text("axyzaxyz".to_owned()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever they are given, functions answer or refuse: a panic would be an internal error.
    #[test]
    fn functions_are_safe_on_any_text(
        text in "\\PC{0,40}|[a-c<>&!|():*'\"\\\\./@-]{0,40}|[\\[\\]{}0-9,\":.e-]{0,30}",
        other in "\\PC{0,20}|[a-c<>&!|():*'\"\\\\.?+{}\\[\\]0-9^$,-]{0,20}|\\[[0-9,\"a]{0,8}\\]",
        form in prop_oneof![0_i64..22, 1000_i64..1022],
        number in any::<i64>(),
        float in any::<f64>(),
    ) {
        let (_folder, connection) = connection();
        let text = || Value::Text(text.clone());
        let other = || Value::Text(other.clone());
        let form = || Value::Integer(form);
        let mut calls = vec![
            ("select pumice_match(?1, ?2)", vec![text(), other()]),
            ("select pumice_imatch(?1, ?2)", vec![text(), other()]),
            ("select pumice_like(?1, ?2)", vec![text(), other()]),
            ("select pumice_path(?1, ?2, 0)", vec![text(), other()]),
            ("select pumice_contains(?1, ?2, 0)", vec![text(), other()]),
            ("select pumice_contains(?1, ?2, 1)", vec![text(), other()]),
            ("select pumice_overlaps(?1, ?2)", vec![text(), other()]),
            ("select pumice_tsvector(?1, 'english')", vec![text()]),
            ("select pumice_cast(?1, 8, ?2)", vec![text(), other()]),
            ("select pumice_array(?1)", vec![text()]),
        ];
        for kind in 0..4 {
            calls.push((
                "select pumice_fts(?1, 'english', ?2, ?3)",
                vec![text(), other(), Value::Integer(kind)],
            ));
        }
        let values = [Value::Null, text(), Value::Integer(number), Value::Real(float)];
        for value in values {
            for sql in ["pumice_json", "pumice_text", "pumice_sum", "pumice_avg"] {
                let sql = match sql {
                    "pumice_json" => "select pumice_json(?1, ?2)",
                    "pumice_text" => "select pumice_text(?1, ?2)",
                    "pumice_sum" => "select pumice_sum(?1, ?2)",
                    _ => "select pumice_avg(?1, ?2)",
                };
                calls.push((sql, vec![value.clone(), form()]));
            }
            for to in ["integer", "numeric(5,2)", "character varying(2)[]", "time", "jsonb"] {
                let args = vec![value.clone(), form(), Value::Text(to.to_owned())];
                calls.push(("select pumice_cast(?1, ?2, ?3)", args));
            }
        }
        for (sql, args) in calls {
            if let Err(DataError::Internal(words)) = ask(&connection, sql, &args) {
                prop_assert!(!words.contains("panic"), "{sql} {args:?}: {words}");
            }
        }
    }
}

/// What would take long ends, with an answer or a refusal.
#[test]
fn work_is_bounded() {
    let (_folder, connection) = connection();
    let a = |count: usize| Value::Text("a".repeat(count));
    let text = |text: &str, count: usize| Value::Text(text.repeat(count));
    let cases = [
        ("select pumice_match(?1, ?2)", a(20_000), text("(a*)*", 20)),
        ("select pumice_match(?1, ?2)", a(10), text("(", 10_000)),
        (
            "select pumice_match(?1, '(((){255}){255}){255}' || ?2)",
            a(10),
            a(1),
        ),
        (
            "select pumice_match(?1, '((a{255}){255}){255}' || ?2)",
            a(10),
            a(1),
        ),
        (
            "select pumice_match(?1, ?2)",
            a(1_000_000),
            text("a?", 5_000),
        ),
        ("select pumice_like(?1, ?2)", a(20_000), text("%a", 300)),
        (
            "select pumice_tsvector(?1, 'english') || ?2",
            text("<!--", 20_000),
            a(1),
        ),
        (
            "select pumice_tsvector(?1, 'english') || ?2",
            text("<a '\"", 20_000),
            a(1),
        ),
        (
            "select pumice_tsvector(?1, 'english') || ?2",
            text("a_", 50_000),
            a(1),
        ),
        (
            "select pumice_tsvector(?1, 'english') || ?2",
            text("/.", 50_000),
            a(1),
        ),
        (
            "select pumice_fts(?1, 'simple', ?2, 0)",
            a(10),
            text("!", 100_000),
        ),
        (
            "select pumice_fts(?1, 'simple', ?2, 1)",
            a(10),
            text("a ", 100_000),
        ),
        (
            "select pumice_path(?1, ?2, 0)",
            text("[", 10_000),
            text("[", 10_000),
        ),
    ];
    for (sql, first, second) in cases {
        let start = std::time::Instant::now();
        if let Err(DataError::Internal(words)) = ask(&connection, sql, &[first, second]) {
            panic!("{sql}: {words}");
        }
        let took = start.elapsed();
        assert!(took < Duration::from_secs(20), "{sql} took {took:?}");
    }
}
