use proptest::prelude::*;

use super::*;
use crate::data::query::body;
use crate::data::{BODY_ROWS_MAX, COLUMNS_MAX};

fn rows(of: &Body) -> String {
    let row = |cells: &Vec<(String, Box<RawValue>)>| {
        let cells: Vec<String> = cells
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        cells.join(" ")
    };
    of.iter().map(row).collect::<Vec<_>>().join(" | ")
}

#[test]
fn json_is_read() {
    check(
        |text| body::rows(Some("application/json; charset=utf-8"), text.as_bytes()),
        rows,
        &[
            ("[]", ""),
            ("{}", ""),
            (r#"{"b":1,"a":[1, 2]}"#, "b=1 a=[1, 2]"),
            (r#" [{"a":1},{"b":"x"}] "#, "a=1 | b=\"x\""),
            (r#"{"a":1,"a":2}"#, "a=2"),
            (
                r#"{"n":12345678901234567890.10}"#,
                "n=12345678901234567890.10",
            ),
            ("", "PGRST102: Empty or invalid json"),
            ("5", "PGRST102: Empty or invalid json"),
            ("[1]", "PGRST102: Empty or invalid json"),
            ("{\"a\":}", "PGRST102: Empty or invalid json"),
            ("[{}] x", "PGRST102: Empty or invalid json"),
        ],
    );
    assert_eq!(rows(&body::rows(None, b"{\"a\":1}").unwrap()), "a=1");
    assert_eq!(
        refusal(body::rows(Some("image/png"), b"").unwrap_err()),
        "PGRST102: Content-Type not acceptable: image/png"
    );
    assert!(body::row("[{}]").is_err());
    assert_eq!(body::row("{\"a\":1}").unwrap().len(), 1);
}

#[test]
fn csv_is_read() {
    check(
        |text| body::rows(Some("Text/CSV"), text.as_bytes()),
        rows,
        &[
            ("a,b\n1,hi\n2,bye", "a=\"1\" b=\"hi\" | a=\"2\" b=\"bye\""),
            ("a,b\r\n1,hi\r\n", "a=\"1\" b=\"hi\""),
            (
                "a\nNULL\n\"NULL\"\nnull",
                "a=null | a=\"NULL\" | a=\"null\"",
            ),
            ("a,b\n,", "a=\"\" b=\"\""),
            ("a\n\n1\n\r\n2\n", "a=\"1\" | a=\"2\""),
            (
                "\"a,b\",\"c\"\"d\"\n\"x\ny\",\"\"\"\"",
                "a,b=\"x\\ny\" c\"d=\"\\\"\"",
            ),
            ("a,b", ""),
            ("a,b\n", ""),
            ("\u{feff}a\n1", "a=\"1\""),
            ("a,a\n1,2", "a=\"2\""),
            ("ä\nö", "ä=\"ö\""),
            ("a\n\"x\"\r", "a=\"x\""),
            ("", "PGRST102: Empty or invalid csv"),
            ("\n\n", "PGRST102: Empty or invalid csv"),
            (
                "a,b\n1",
                "PGRST102: All lines must have same number of fields",
            ),
            (
                "a\n1,2",
                "PGRST102: All lines must have same number of fields",
            ),
            (
                "a\nx\"y",
                "PGRST102: Invalid csv: a quotation mark inside an unquoted field in the record of line 2",
            ),
            (
                "a\n\"x",
                "PGRST102: Invalid csv: a quotation mark that is never closed in the record of line 2",
            ),
            (
                "a\n\"x\"y",
                "PGRST102: Invalid csv: text behind a quoted field in the record of line 2",
            ),
            (
                "a\n\0",
                "22021: invalid byte sequence for encoding \"UTF8\": 0x00",
            ),
        ],
    );
    let bad = body::rows(Some("text/csv"), b"a\n\xff").unwrap_err();
    assert_eq!(
        refusal(bad),
        "22021: invalid byte sequence for encoding \"UTF8\": 0xff"
    );
}

#[test]
fn forms_are_read() {
    check(
        |text| body::rows(Some("application/x-www-form-urlencoded"), text.as_bytes()),
        rows,
        &[
            ("", ""),
            ("a=1&b=x+y%20z", "a=\"1\" b=\"x y z\""),
            ("a=1&a=2&b", "a=\"2\" b=\"\""),
            ("%C3%A4=%2B%zz%4", "ä=\"+%zz%4\""),
            ("a=b=c&&d=", "a=\"b=c\" d=\"\""),
            (
                "a=%00",
                "22021: invalid byte sequence for encoding \"UTF8\": 0x00",
            ),
            (
                "a=%ff",
                "22021: invalid byte sequence for encoding \"UTF8\": 0xff",
            ),
        ],
    );
    let pairs = body::pairs(b"v=1&v=2").unwrap();
    assert_eq!(pairs, [("v".into(), "1".into()), ("v".into(), "2".into())]);
}

#[test]
fn bodies_have_limits() {
    let json = |rows: usize| format!("[{}]", vec!["{}"; rows].join(","));
    let csv = |rows: usize| format!("a\n{}", "1\n".repeat(rows));
    for (kind, read) in [
        ("application/json", &json as &dyn Fn(usize) -> String),
        ("text/csv", &csv),
    ] {
        let edge = body::rows(Some(kind), read(BODY_ROWS_MAX).as_bytes());
        assert_eq!(edge.unwrap().len(), BODY_ROWS_MAX);
        let over = body::rows(Some(kind), read(BODY_ROWS_MAX + 1).as_bytes());
        assert_eq!(
            refusal(over.unwrap_err()),
            "a body has 50001 rows; 50000 are the most"
        );
    }
    let wide = |keys: usize| {
        let keys: Vec<String> = (0..keys).map(|n| format!("k{n}")).collect();
        keys.join(",")
    };
    let csv = |keys: usize| body::rows(Some("text/csv"), wide(keys).as_bytes());
    assert!(csv(COLUMNS_MAX).is_ok());
    assert_eq!(csv(COLUMNS_MAX + 1).unwrap_err().code(), Some("PGRST102"));
    let lines = |rows: usize| {
        let empty = ",".repeat(COLUMNS_MAX - 1) + "\n";
        let text = wide(COLUMNS_MAX) + "\n" + &empty.repeat(rows);
        body::rows(Some("text/csv"), text.as_bytes())
    };
    assert_eq!(lines(625).unwrap().len(), 625);
    assert!(matches!(lines(626), Err(DataError::TooLarge(_))));
    let form = |pairs: usize| body::pairs(vec!["a=1"; pairs].join("&").as_bytes());
    assert!(form(COLUMNS_MAX).is_ok());
    assert!(matches!(form(COLUMNS_MAX + 1), Err(DataError::TooLarge(_))));
}

/// Texts that have something of the grammars: any character, and words that lead further.
fn text() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        3 => "[a-z0-9_ .,():{}\"*\\\\>!-]{0,6}",
        2 => prop::sample::select(vec![
            "eq.", "not.", "in.(", "is.", "null", "like(any).{", "fts(", "or(", "and(", "->", "->>",
            "::", "count()", ".sum()", "...", "!inner", "(", ")", ",", "\"", "\\", ".desc",
            ".nullsfirst", "limit", "order", "&", "=", "\n", "%", "q=", ";", "timezone=",
            "application/vnd.pgrst.plan", "-9", "0-",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    prop::collection::vec(word, 0..12).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn no_text_breaks_a_reader(a in text(), b in text(), c in text()) {
        let _ = (select(&a), orders(&a), columns(&a), on_conflict(&a));
        let _ = filter(&a, &b, &c);
        let _ = filter("id", "eq", &a);
        let _ = filter("or", "", &format!("({a})"));
        let _ = filter("a.not.and", "", &a);
        let pairs = || [(&a, &b), (&b, &c)].map(|(key, value)| (key.as_str().into(), value.as_str().into()));
        let _ = (Params::read(pairs()), Params::call(pairs()));
        let read = Prefer::read([a.as_str(), &b], true, |zone| zone.len() == 3);
        let _ = (read.check(), read.applied(Write::Update));
        let _ = Accept::read([a.as_str(), &b]).choose(Media::Csv, |_| c.is_empty());
        let _ = Range::read(Some(&a), Some(3), None);
        for kind in ["application/json", "text/csv", "application/x-www-form-urlencoded", &b] {
            let _ = body::rows(Some(kind), a.as_bytes());
        }
    }

    #[test]
    fn any_value_comes_through(value in "[^\\x00]*") {
        // Alone it stands for itself, in quotes it does inside a tree and a list.
        let Ok(Filter { condition: Condition::Test { test, .. }, .. }) = filter("a", "eq", &value) else {
            panic!("{value:?}");
        };
        prop_assert_eq!(test, Test::Compare(Operator::Eq, None, value.clone()));
        let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
        let list = filter("a", "in", &format!("(x,\"{quoted}\",y)")).unwrap();
        let Condition::Test { test: Test::In(members), .. } = list.condition else {
            panic!("{value:?}");
        };
        prop_assert_eq!(&members[1], &value);
        let tree = filter("or", "", &format!("(a.eq.\"{quoted}\",b.eq.1)")).unwrap();
        let Condition::Tree { members, .. } = tree.condition else { panic!("{value:?}") };
        prop_assert_eq!(members.len(), 2);
        let name = format!("\"{quoted}\"");
        let Ok(items) = select(&name) else { panic!("{value:?}") };
        let [Item::Field { field, .. }] = items.as_slice() else { panic!("{value:?}") };
        prop_assert_eq!(&field.name, &value);
    }
}
