use std::sync::Arc;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

/// What a PostgreSQL 15 server said, one answer per line.
const ANSWERS: &str = include_str!("postgres15.jsonl");

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "type")]
    ty: String,
    from: String,
    input: String,
    json: Option<String>,
    text: Option<String>,
    code: Option<String>,
    message: Option<String>,
}

fn type_of(name: &str) -> Type {
    if let Some(element) = name.strip_suffix("[]") {
        return Type::Array(Box::new(type_of(element)));
    }
    let (name, arguments) = name.split_once('(').unwrap_or((name, ""));
    let arguments: Vec<u32> = arguments
        .trim_end_matches(')')
        .split(',')
        .filter_map(|argument| argument.parse().ok())
        .collect();
    match name {
        "boolean" => Type::Boolean,
        "smallint" => Type::Smallint,
        "integer" => Type::Integer,
        "bigint" => Type::Bigint,
        "numeric" => Type::Numeric {
            precision: arguments.first().map(|digits| (*digits, arguments[1])),
        },
        "real" => Type::Real,
        "double precision" => Type::DoublePrecision,
        "text" => Type::Text,
        "character varying" => Type::Varchar {
            length: arguments.first().copied(),
        },
        "character" => Type::Char {
            length: arguments[0],
        },
        "date" => Type::Date,
        "time without time zone" => Type::Time,
        "timestamp without time zone" => Type::Timestamp,
        "timestamp with time zone" => Type::Timestamptz,
        "interval" => Type::Interval,
        "uuid" => Type::Uuid,
        "json" => Type::Json,
        "jsonb" => Type::Jsonb,
        "bytea" => Type::Bytea,
        "color" => Type::Enum(Arc::new(Enum {
            name: "color".to_owned(),
            labels: ["red", "green", "blue"].map(str::to_owned).to_vec(),
        })),
        other => Type::Other(other.to_owned()),
    }
}

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

fn json_of(ty: &Type, value: &Value) -> String {
    let mut out = Vec::new();
    ty.write_json(value.lend(), &mut out);
    String::from_utf8(out).unwrap()
}

fn text_of(ty: &Type, value: &Value) -> String {
    let mut out = String::new();
    ty.write_text(value.lend(), &mut out);
    out
}

#[test]
fn every_type_answers_as_postgresql_does() {
    let mut count = 0;
    for line in ANSWERS.lines() {
        let answer: Answer = serde_json::from_str(line).unwrap();
        let ty = type_of(&answer.ty);
        let value = match answer.from.as_str() {
            "text" => ty.from_text(&answer.input),
            "string" => ty.from_json(&raw(&serde_json::to_string(&answer.input).unwrap())),
            _ => ty.from_json(&raw(&answer.input)),
        };
        match value {
            Ok(value) => {
                assert_eq!(Some(json_of(&ty, &value)), answer.json, "{line}");
                assert_eq!(
                    text_of(&ty, &value),
                    answer.text.unwrap_or_default(),
                    "{line}"
                );
            }
            Err(DataError::Sql(fault)) => {
                assert_eq!(Some(fault.code.as_ref()), answer.code.as_deref(), "{line}");
                assert_eq!(Some(fault.message), answer.message, "{line}");
            }
            Err(other) => panic!("{line}: {other:?}"),
        }
        count += 1;
    }
    assert!(count > 1000, "{count} answers");
}

/// What is stored reads back as itself, in both forms that it is written in.
#[test]
fn stored_values_survive_their_json_and_text() {
    for line in ANSWERS.lines() {
        let answer: Answer = serde_json::from_str(line).unwrap();
        let (Some(json), ty) = (answer.json, type_of(&answer.ty)) else {
            continue;
        };
        // A string for type json is decoded and written anew, as PostgreSQL does.
        if ty == Type::Json && json.contains('\\') {
            continue;
        }
        let value = ty.from_json(&raw(&json)).unwrap();
        // Blanks around a JSON text are not part of a body's value.
        let json = json.trim_matches([' ', '\n']);
        assert_eq!(json_of(&ty, &value), json, "{line}");
        // An array of JSON arrays looks like one of two dimensions.
        let is_ambiguous = answer.ty == "jsonb[]" && json.contains("[[");
        if value != Value::Null && !is_ambiguous {
            let text = text_of(&ty, &value);
            assert_eq!(ty.from_field(&text).unwrap(), value, "{line}");
        }
    }
}

#[test]
fn values_are_stored_in_the_form_that_sorts() {
    let cases = [
        ("boolean", "yes", Value::Integer(1)),
        ("bigint", " -9223372036854775808", Value::Integer(i64::MIN)),
        ("real", "0.1", Value::Real(f64::from(0.1_f32))),
        ("double precision", "nan", Value::Text("NaN".to_owned())),
        ("double precision", "-inf", Value::Real(f64::NEG_INFINITY)),
        ("numeric", "1e2", Value::Text("100".to_owned())),
        ("numeric", "-0.00", Value::Text("0.00".to_owned())),
        ("character(3)", "a", Value::Text("a  ".to_owned())),
        ("bytea", "\\x6869", Value::Blob(b"hi".to_vec())),
        ("date", "Jan 8, 1999", Value::Text("1999-01-08".to_owned())),
        (
            "time without time zone",
            "12:00",
            Value::Text("12:00:00".to_owned()),
        ),
        (
            "timestamp without time zone",
            "2021-06-05 12:00+02",
            Value::Text("2021-06-05T12:00:00".to_owned()),
        ),
        (
            "timestamp with time zone",
            "2021-06-05 12:00:00.50+02",
            Value::Text("2021-06-05T10:00:00.5+00:00".to_owned()),
        ),
        (
            "timestamp with time zone",
            "2021-06-05 12:00 Europe/Berlin",
            Value::Text("2021-06-05T10:00:00+00:00".to_owned()),
        ),
        (
            "jsonb",
            r#"{"bb":[1,2],"a":0,"a":1e1}"#,
            Value::Text(r#"{"a": 10, "bb": [1, 2]}"#.to_owned()),
        ),
        ("json", " [ 1 ] ", Value::Text(" [ 1 ] ".to_owned())),
        (
            "text[]",
            "{a,NULL}",
            Value::Text(r#"["a",null]"#.to_owned()),
        ),
        (
            "boolean[]",
            "{{t},{f}}",
            Value::Text("[[true],[false]]".to_owned()),
        ),
    ];
    for (ty, text, stored) in cases {
        assert_eq!(type_of(ty).from_text(text).unwrap(), stored, "{ty} {text}");
    }
    let sorted = [
        "-infinity",
        "0001-01-01",
        "1999-12-31",
        "9999-12-31",
        "infinity",
    ];
    for ty in [
        "date",
        "timestamp without time zone",
        "timestamp with time zone",
    ] {
        let stored = sorted.map(|text| text_of(&Type::Text, &type_of(ty).from_text(text).unwrap()));
        assert!(stored.is_sorted(), "{stored:?}");
    }
}

#[test]
fn declared_lengths_apply_to_columns_and_not_to_literals() {
    let cases = [
        ("character varying(3)", "abcd", "abcd", Err("22001")),
        ("character varying(3)", "abc  ", "abc  ", Ok("abc")),
        ("character(3)", "ab  ", "ab ", Ok("ab ")),
        ("character(3)", "abcd ", "abcd", Err("22001")),
        ("numeric(5,2)", "1.005", "1.005", Ok("1.01")),
        ("numeric(5,2)", "999.995", "999.995", Err("22003")),
    ];
    for (ty, text, literal, column) in cases {
        let ty = type_of(ty);
        let as_text = |value: Value| text_of(&ty, &value);
        assert_eq!(ty.from_text(text).map(as_text).unwrap(), literal);
        let stored = ty.from_field(text).map(as_text);
        match (&stored, column) {
            (Ok(stored), Ok(expected)) => assert_eq!(stored, expected),
            (Err(error), Err(code)) => assert_eq!(error.code(), Some(code)),
            _ => panic!("{ty} {text}: {stored:?}"),
        }
    }
}

#[test]
fn what_sqlite_does_not_keep_is_refused() {
    let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let cases = [
        ("date", "10000-01-01".to_owned(), "22008"),
        ("date", "0001-01-01 BC".to_owned(), "22008"),
        ("date", "252600000000000000101".to_owned(), "22008"),
        (
            "timestamp with time zone",
            "0001-01-01 00:00+01".to_owned(),
            "22008",
        ),
        (
            "timestamp with time zone",
            "9999-12-31 23:59:59.9999999".to_owned(),
            "22008",
        ),
        ("integer[]", "[0:1]={1,2}".to_owned(), "0A000"),
        ("tsvector", "a".to_owned(), "0A000"),
        ("text", "a\0".to_owned(), "22021"),
        ("jsonb", deep(1001), "54001"),
        ("json", deep(1001), "54001"),
        ("json", deep(200_000), "54001"),
        ("jsonb", format!("[{}1]", "1e131071,".repeat(200)), "54000"),
        (
            "numeric[]",
            format!("{{{}1}}", "1e131071,".repeat(200)),
            "54000",
        ),
        ("numeric", "1e131072".to_owned(), "22003"),
        ("numeric", "1e-16384".to_owned(), "22003"),
    ];
    for (ty, text, code) in cases {
        let error = type_of(ty).from_text(&text).unwrap_err();
        assert_eq!(error.code(), Some(code), "{ty} {error}");
    }
    for (ty, text) in [
        ("jsonb", deep(1000)),
        ("json", deep(1000)),
        ("numeric", "1e131071".to_owned()),
        ("numeric", "1e-16383".to_owned()),
    ] {
        type_of(ty).from_text(&text).unwrap();
    }
    let message = type_of("tsvector").from_text("a").unwrap_err().to_string();
    assert_eq!(message, "type tsvector is not supported on SQLite");
}

#[test]
fn faults_carry_details_and_hints() {
    let fault = |ty: &str, text: &str| match type_of(ty).from_field(text) {
        Err(DataError::Sql(fault)) => (fault.details, fault.hint),
        other => panic!("{other:?}"),
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        fault("numeric(5,2)", "1000"),
        (
            some(
                "A field with precision 5, scale 2 must round to an absolute value less than 10^3."
            ),
            None
        )
    );
    assert_eq!(
        fault("date", "2021-13-01"),
        (
            None,
            some("Perhaps you need a different \"datestyle\" setting.")
        )
    );
    assert_eq!(fault("date", "2021-02-30"), (None, None));
    assert_eq!(
        fault("integer[]", "1"),
        (
            some("Array value must start with \"{\" or dimension information."),
            None
        )
    );
    assert_eq!(
        fault("jsonb", "{a:1}"),
        (some("Token \"a\" is invalid."), None)
    );
}

#[test]
fn strings_are_escaped_as_row_to_json_does() {
    let cases = [
        ("", r#""""#),
        ("a\"b\\c", r#""a\"b\\c""#),
        (
            "\u{8}\u{c}\n\r\t\u{1}\u{1f}\u{7f}",
            "\"\\b\\f\\n\\r\\t\\u0001\\u001f\u{7f}\"",
        ),
        ("é😀/<\u{2028}", "\"é😀/<\u{2028}\""),
    ];
    for (text, json) in cases {
        let mut out = Vec::new();
        write_json_string(text, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), json);
    }
}

#[test]
fn numerics_compare_by_value() {
    let sorted = [
        "-Infinity",
        "-100000000000000000000000000000000000000000.1",
        "-2",
        "-1.51",
        "-1.5",
        "0",
        "0.0000001",
        "0.5",
        "1.49",
        "1.5",
        "9",
        "10",
        "99999999999999999999999999999999999999999",
        "Infinity",
        "NaN",
        "",
        "x",
    ];
    for (a, left) in sorted.iter().enumerate() {
        for (b, right) in sorted.iter().enumerate() {
            assert_eq!(compare_numeric(left, right), a.cmp(&b), "{left} {right}");
        }
    }
    for (a, b) in [
        ("1.5", "1.500"),
        ("0", "0.00"),
        ("7", "7.0"),
        ("NaN", "NaN"),
    ] {
        assert!(compare_numeric(a, b).is_eq(), "{a} {b}");
    }
}

#[test]
fn each_type_declares_its_affinity() {
    let cases = [
        ("boolean", "integer"),
        ("numeric(5,2)", "text collate \"numeric\""),
        ("real", "real"),
        ("bytea", "blob"),
        ("integer[]", "text collate \"array_number\""),
        ("text[]", "text collate \"array\""),
        ("interval[]", "text collate \"array_interval\""),
        ("jsonb[]", "text collate \"array_jsonb\""),
        ("jsonb", "text collate \"jsonb\""),
        ("json", "text"),
        ("interval", "text collate \"interval\""),
        ("timestamp with time zone", "text"),
    ];
    for (ty, declared) in cases {
        assert_eq!(type_of(ty).sqlite_declaration(), declared);
    }
}

const TYPES: [&str; 24] = [
    "boolean",
    "smallint",
    "integer",
    "bigint",
    "numeric",
    "numeric(5,2)",
    "numeric(3,5)",
    "real",
    "double precision",
    "text",
    "character varying(3)",
    "character(3)",
    "date",
    "time without time zone",
    "timestamp without time zone",
    "timestamp with time zone",
    "interval",
    "uuid",
    "json",
    "jsonb",
    "bytea",
    "text[]",
    "numeric(5,2)[]",
    "color",
];

fn anything() -> impl Strategy<Value = String> {
    let bytes = prop::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        bytes.prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        "[-+0-9:. TZtzPpyYmMdDhHsSeE/,_]{0,30}",
        "[-0-9{}\\[\\]\",:\\\\a-fnultre \u{e9}]{0,30}",
        "(jan|bc|am|pm|utc|now|t|j|ago|day|mon|[-+]?[0-9]{0,22}|[:./ -]){0,8}",
    ]
}

proptest! {
    #[test]
    fn no_text_breaks_a_reader(text in anything()) {
        for name in TYPES {
            let ty = type_of(name);
            for value in [ty.from_text(&text), ty.from_field(&text)].into_iter().flatten() {
                let json = json_of(&ty, &value);
                prop_assert!(serde_json::from_str::<&RawValue>(&json).is_ok(), "{} {}", name, json);
                text_of(&ty, &value);
            }
            if let Ok(json) = RawValue::from_string(text.clone()) {
                ty.from_json(&json).ok();
            }
            ty.from_json(&raw(&serde_json::to_string(&text).unwrap())).ok();
        }
    }

    #[test]
    fn jsonb_is_a_fixed_point(text in anything()) {
        if let Ok(once) = normalize_jsonb(&text) {
            prop_assert_eq!(&normalize_jsonb(&once).unwrap(), &once);
        }
    }

    #[test]
    fn numerics_compare_like_integers(
        a in -1_000_000_000_i64..1_000_000_000,
        b in -1_000_000_000_i64..1_000_000_000,
        (scale_a, scale_b) in (0_u32..9, 0_u32..9),
    ) {
        let text = |number: i64, scale: u32| {
            Type::Numeric { precision: None }
                .from_text(&format!("{number}e-{scale}"))
                .map(|value| text_of(&Type::Text, &value))
                .unwrap()
        };
        let scaled = |number: i64, scale: u32| i128::from(number) * 10_i128.pow(9 - scale);
        prop_assert_eq!(
            compare_numeric(&text(a, scale_a), &text(b, scale_b)),
            scaled(a, scale_a).cmp(&scaled(b, scale_b))
        );
    }

    #[test]
    fn comparing_any_texts_is_an_order(a in "[-0-9.NaI]{0,4}", b in "[-0-9.]{0,4}", c in "[-0-9.x]{0,4}") {
        prop_assert_eq!(compare_numeric(&a, &b), compare_numeric(&b, &a).reverse());
        if compare_numeric(&a, &b).is_le() && compare_numeric(&b, &c).is_le() {
            prop_assert!(compare_numeric(&a, &c).is_le());
        }
    }

    #[test]
    fn floats_read_back(bits in any::<u64>()) {
        let number = f64::from_bits(bits);
        prop_assume!(number.is_finite());
        let mut text = String::new();
        float::write_text(number, false, &mut text);
        prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), bits);
        let real = f32::from_bits(bits as u32);
        prop_assume!(real.is_finite());
        text.clear();
        float::write_text(f64::from(real), true, &mut text);
        prop_assert_eq!(text.parse::<f32>().unwrap().to_bits(), real.to_bits());
    }
}

/// Values of a type in the order of a PostgreSQL 15 server; those in one list are equal there.
#[derive(serde::Deserialize)]
struct Ordered {
    r#type: String,
    values: Vec<Vec<String>>,
}

#[test]
fn collations_order_as_postgresql_does() {
    let mut wrong = Vec::new();
    let mut pairs = 0;
    for line in include_str!("order15.jsonl").lines() {
        let expect: Ordered = serde_json::from_str(line).unwrap();
        let ty = type_of(&expect.r#type);
        let name = ty.collation().unwrap();
        let (_, compare) = COLLATIONS.iter().find(|(known, _)| *known == name).unwrap();
        let mut values = Vec::new();
        for (place, equals) in expect.values.iter().enumerate() {
            for text in equals {
                let Value::Text(stored) = ty.from_text(text).unwrap() else {
                    panic!("{text}");
                };
                values.push((place, stored));
            }
        }
        for (a, left) in &values {
            for (b, right) in &values {
                pairs += 1;
                let got = compare(left.as_bytes(), right.as_bytes());
                if got != a.cmp(b) {
                    wrong.push(format!("{}: {left} {got:?} {right}", expect.r#type));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(pairs > 10_000, "{pairs} pairs");
}

/// An order that is not total would lose rows of an index.
#[test]
fn collations_are_total_on_any_text() {
    let texts = [
        "", "[]", "[1]", "[[1],2]", "[", "null", "1", "\"1\"", "\"NaN\"", "[\"NaN\",1]", "[true,\"x\"]",
        "[\"x\",1]", "[{}]", "{}", "{\"a\":1}", "1 day", "24:00:00", "x", "[\"1 day\"]", "[1e400]", "1e5",
        "[null]", "[[[[[[[1]]]]]]]", "-0", "[\"Infinity\"]", "[10]", "[\"5\"]", "[false]",
    ];
    for (name, compare) in COLLATIONS {
        let compare = |a: &str, b: &str| compare(a.as_bytes(), b.as_bytes());
        for a in texts {
            for b in texts {
                assert_eq!(compare(a, b), compare(b, a).reverse(), "{name} {a} {b}");
                for c in texts {
                    if compare(a, b).is_le() && compare(b, c).is_le() {
                        assert!(compare(a, c).is_le(), "{name}: {a} {b} {c}");
                    }
                }
            }
        }
    }
}
