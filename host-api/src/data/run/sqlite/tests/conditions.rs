//! Operators by type.

use super::*;
use crate::data::plan::CastType;
use crate::data::query::{Is, Key, Quantifier, Search, Step};

const TABLE: &str = "create type mood as enum ('sad', 'ok', 'happy');
create table v (id integer primary key, flag boolean, n integer, big bigint, price numeric(10,2), d double precision,
 word text, short varchar(5), code char(3), day date, at timestamptz, u uuid, j json, b jsonb, bytes bytea, ns integer[], words text[], feeling mood);
insert into v values
 (1, true, 5, 9007199254740993, 10.00, 1.5, 'Abc', 'abc', 'ab', '2024-01-02', '2024-01-02T10:00:00+00', '00000000-0000-0000-0000-000000000001', '{\"a\":1}', '{\"a\":[1,\"x\",null],\"k\":\"t\"}', '\\x01ff', '{1,2}', '{\"a b\",c}', 'happy'),
 (2, false, -5, 7, 9.50, 'NaN', 'it''s', 'xyz', 'abc', '2023-12-31', '2024-01-02T10:00:00.5+00', '00000000-0000-0000-0000-000000000002', '[1]', '{\"a\":[]}', '\\x', '{}', '{}', 'sad'),
 (3, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null);";

/// `column operator literal`, the ids found or the error.
fn compare(operator: &str) -> Operator {
    match operator {
        "=" => Operator::Eq,
        "<>" => Operator::Neq,
        ">" => Operator::Gt,
        ">=" => Operator::Gte,
        "<" => Operator::Lt,
        "<=" => Operator::Lte,
        "~~" => Operator::Like,
        "~~*" => Operator::Ilike,
        "~" => Operator::Match,
        "~*" => Operator::Imatch,
        "is distinct from" => Operator::IsDistinct,
        "@>" => Operator::Contains,
        "<@" => Operator::Contained,
        "&&" => Operator::Overlaps,
        "<<" => Operator::StrictlyLeft,
        ">>" => Operator::StrictlyRight,
        "&<" => Operator::NotRightOf,
        "&>" => Operator::NotLeftOf,
        _ => Operator::Adjacent,
    }
}

fn ids(db: &Db, conditions: Vec<Condition>) -> String {
    let mut node = db.node(0, "v", &["id"]);
    node.conditions = conditions;
    let body = db.read("service_role", node);
    body.replace("{\"id\":", "").replace('}', "")
}

#[test]
fn literals_are_compared_as_their_column() {
    let db = db(TABLE);
    for (column, operator, literal, expect) in [
        ("flag", "=", "t", "[1]"),
        ("flag", "=", "off", "[2]"),
        ("flag", "<", "true", "[2]"),
        (
            "flag",
            "=",
            "maybe",
            "22P02 invalid input syntax for type boolean: \"maybe\"",
        ),
        ("n", "=", "5", "[1]"),
        ("n", "<>", "5", "[2]"),
        ("n", ">=", "-5", "[1,2]"),
        ("n", "<", "0", "[2]"),
        (
            "n",
            "=",
            "5 or 1=1",
            "22P02 invalid input syntax for type integer: \"5 or 1=1\"",
        ),
        (
            "n",
            "=",
            "99999999999",
            "22003 value \"99999999999\" is out of range for type integer",
        ),
        ("n", "is distinct from", "5", "[2,3]"),
        ("big", "=", "9007199254740993", "[1]"),
        ("big", "=", "9007199254740992", "[]"),
        ("price", "=", "10", "[1]"),
        ("price", "=", "10.000", "[1]"),
        ("price", ">", "9.5", "[1]"),
        ("price", "<=", "9.5", "[2]"),
        ("price", "<", "100", "[1,2]"),
        ("price", "is distinct from", "9.5", "[1,3]"),
        ("d", "=", "1.5", "[1]"),
        ("d", "=", "NaN", "[2]"),
        ("d", ">", "1e300", "[2]"),
        ("word", "=", "it's", "[2]"),
        ("word", "=", "'; drop table v; --", "[]"),
        ("word", "<", "a", "[1]"),
        ("word", ">", "a", "[2]"),
        ("word", "~~", "A%", "[1]"),
        ("word", "~~", "a%", "[]"),
        ("word", "~~*", "a%", "[1]"),
        ("word", "~~", "%'%", "[2]"),
        ("word", "~", "^A.c$", "[1]"),
        ("word", "~*", "^a.C$", "[1]"),
        (
            "word",
            "~~",
            "A\\",
            "22025 LIKE pattern must not end with escape character",
        ),
        ("short", "=", "abcdefgh", "[]"),
        ("short", "=", "abc", "[1]"),
        ("short", "~~", "x__", "[2]"),
        ("code", "=", "ab", "[1]"),
        ("code", "=", "ab    ", "[1]"),
        ("code", "=", "abc", "[2]"),
        ("code", "~~", "ab_", "[1,2]"),
        ("day", "=", "2024-01-02", "[1]"),
        ("day", "<", "2024-01-01", "[2]"),
        ("at", "=", "2024-01-02 12:00+02", "[1]"),
        ("at", ">", "2024-01-02T10:00:00Z", "[2]"),
        ("u", "=", "00000000000000000000000000000001", "[1]"),
        (
            "u",
            "=",
            "x",
            "22P02 invalid input syntax for type uuid: \"x\"",
        ),
        (
            "u",
            "~~",
            "0%",
            "42883 operator does not exist: uuid ~~ unknown",
        ),
        (
            "n",
            "~~",
            "5",
            "42883 operator does not exist: integer ~~ unknown",
        ),
        (
            "n",
            "~~*",
            "5",
            "42883 operator does not exist: integer ~~* unknown",
        ),
        (
            "price",
            "~",
            "5",
            "42883 operator does not exist: numeric ~ unknown",
        ),
        (
            "flag",
            "~*",
            "5",
            "42883 operator does not exist: boolean ~* unknown",
        ),
        (
            "at",
            "~~",
            "5",
            "42883 operator does not exist: timestamp with time zone ~~ unknown",
        ),
        (
            "words",
            "~~",
            "5",
            "42883 operator does not exist: text[] ~~ unknown",
        ),
        (
            "feeling",
            "~~",
            "5",
            "42883 operator does not exist: mood ~~ unknown",
        ),
        (
            "j",
            "=",
            "[1]",
            "42883 operator does not exist: json = unknown",
        ),
        (
            "j",
            "<>",
            "[1]",
            "42883 operator does not exist: json <> unknown",
        ),
        (
            "j",
            "is distinct from",
            "[1]",
            "42883 operator does not exist: json = unknown",
        ),
        (
            "j",
            "@>",
            "[1]",
            "42883 operator does not exist: json @> unknown",
        ),
        (
            "j",
            "<@",
            "[1]",
            "42725 operator is not unique: json <@ unknown",
        ),
        (
            "word",
            "<@",
            "x",
            "42725 operator is not unique: text <@ unknown",
        ),
        (
            "word",
            "@>",
            "x",
            "42883 operator does not exist: text @> unknown",
        ),
        (
            "word",
            "&&",
            "x",
            "42883 operator does not exist: text && unknown",
        ),
        (
            "short",
            "<<",
            "x",
            "42883 operator does not exist: character varying << unknown",
        ),
        (
            "code",
            "-|-",
            "x",
            "42883 operator does not exist: character -|- unknown",
        ),
        (
            "b",
            "&&",
            "{}",
            "42883 operator does not exist: jsonb && unknown",
        ),
        (
            "n",
            "<<",
            "1",
            "42804 argument of WHERE must be type boolean, not type integer",
        ),
        (
            "big",
            ">>",
            "1",
            "42804 argument of WHERE must be type boolean, not type bigint",
        ),
        (
            "n",
            "&<",
            "1",
            "42883 operator does not exist: integer &< unknown",
        ),
        (
            "n",
            "&>",
            "1",
            "42883 operator does not exist: integer &> unknown",
        ),
        ("b", "=", "{\"k\":\"t\", \"a\":[1, \"x\", null]}", "[1]"),
        ("b", "@>", "{\"a\":[1]}", "[1]"),
        ("b", "@>", "{\"a\":[]}", "[1,2]"),
        ("b", "<@", "{\"a\":[],\"z\":1}", "[2]"),
        ("b", "@>", "{", "22P02 invalid input syntax for type json"),
        ("bytes", "=", "\\x01FF", "[1]"),
        ("ns", "=", "{1,2}", "[1]"),
        ("ns", "=", "{ 1 , 2 }", "[1]"),
        ("ns", "@>", "{2}", "[1]"),
        ("ns", "@>", "{}", "[1,2]"),
        ("ns", "<@", "{1,2,3}", "[1,2]"),
        ("ns", "&&", "{2,9}", "[1]"),
        (
            "ns",
            "@>",
            "{x}",
            "22P02 invalid input syntax for type integer: \"x\"",
        ),
        ("words", "@>", "{\"a b\"}", "[1]"),
        ("words", "&&", "{c}", "[1]"),
        ("feeling", "=", "ok", "[]"),
        ("feeling", ">", "sad", "[1]"),
        ("feeling", "<=", "ok", "[2]"),
        ("feeling", ">=", "happy", "[1]"),
        (
            "feeling",
            "=",
            "'",
            "22P02 invalid input value for enum mood: \"'\"",
        ),
        (
            "word",
            "=",
            "a\0",
            "22021 invalid byte sequence for encoding \"UTF8\": 0x00",
        ),
    ] {
        let test = Test::Compare(compare(operator), None, literal.to_owned());
        let found = ids(&db, vec![super::test(db.col(0, "v", column), test)]);
        assert_eq!(found, expect, "{column} {operator} {literal}");
    }
}

#[test]
fn quantifiers_lists_and_nulls() {
    let db = db(TABLE);
    let any = |operator, literal: &str| {
        Test::Compare(compare(operator), Some(Quantifier::Any), literal.to_owned())
    };
    let all = |operator, literal: &str| {
        Test::Compare(compare(operator), Some(Quantifier::All), literal.to_owned())
    };
    let list = |items: &[&str]| Test::In(items.iter().map(|item| (*item).to_owned()).collect());
    for (column, not, test, expect) in [
        ("n", false, any("=", "{5,7}"), "[1]"),
        ("n", true, any("=", "{5,7}"), "[2]"),
        ("n", false, any("=", "{}"), "[]"),
        ("n", true, any("=", "{}"), "[1,2,3]"),
        ("n", false, all(">", "{}"), "[1,2,3]"),
        ("n", false, all(">", "{-9,0}"), "[1]"),
        ("n", false, any("=", "{5,NULL}"), "[1]"),
        ("n", true, any("=", "{5,NULL}"), "[]"),
        ("n", false, any("=", "{{5},{-5}}"), "[1,2]"),
        (
            "n",
            false,
            any("=", "5"),
            "22P02 malformed array literal: \"5\"",
        ),
        ("word", false, any("~~", "{A%,%s}"), "[1,2]"),
        ("word", false, all("~~*", "{a%,%C}"), "[1]"),
        ("word", false, any("~", "{^i,zzz}"), "[2]"),
        ("feeling", false, any(">", "{ok,happy}"), "[1]"),
        ("price", false, any("=", "{10.0,9.5}"), "[1,2]"),
        (
            "n",
            false,
            any("~~", "{a}"),
            "42883 operator does not exist: integer ~~ unknown",
        ),
        ("n", false, list(&["5", "-5"]), "[1,2]"),
        ("n", false, list(&[]), "[]"),
        ("n", true, list(&[]), "[1,2,3]"),
        ("n", true, list(&["5"]), "[2]"),
        ("price", false, list(&["10", "1"]), "[1]"),
        ("feeling", false, list(&["ok", "sad"]), "[2]"),
        ("word", false, list(&["it's", "\"),(\""]), "[2]"),
        (
            "j",
            false,
            list(&["1"]),
            "42883 operator does not exist: json = unknown",
        ),
        ("n", false, Test::Is(Is::Null), "[3]"),
        ("n", true, Test::Is(Is::Null), "[1,2]"),
        ("n", false, Test::Is(Is::NotNull), "[1,2]"),
        ("flag", false, Test::Is(Is::True), "[1]"),
        ("flag", true, Test::Is(Is::True), "[2,3]"),
        ("flag", false, Test::Is(Is::False), "[2]"),
        ("flag", false, Test::Is(Is::Unknown), "[3]"),
        (
            "n",
            false,
            Test::Is(Is::True),
            "42804 argument of IS TRUE must be type boolean, not type integer",
        ),
        (
            "short",
            false,
            Test::Is(Is::Unknown),
            "42804 argument of IS UNKNOWN must be type boolean, not type character varying",
        ),
        (
            "n",
            false,
            Test::Search(Search::Plain, None, "x".into()),
            "42883 operator does not exist: integer @@ tsquery",
        ),
    ] {
        let expr = db.col(0, "v", column);
        let found = ids(
            &db,
            vec![Condition::Test {
                expr,
                not,
                test: test.clone(),
            }],
        );
        assert_eq!(found, expect, "{column} {not} {test:?}");
    }
}

#[test]
fn trees_of_conditions() {
    let db = db(TABLE);
    let is = |id: &str| db.is("v", "id", id);
    for (condition, expect) in [
        (Condition::All(vec![]), "[1,2,3]"),
        (Condition::Any(vec![]), "[]"),
        (Condition::Any(vec![is("1"), is("3")]), "[1,3]"),
        (Condition::All(vec![is("1"), is("3")]), "[]"),
        (
            Condition::Not(Box::new(Condition::Any(vec![is("1"), is("3")]))),
            "[2]",
        ),
        (Condition::Not(Box::new(db.is("v", "n", "5"))), "[2]"),
    ] {
        assert_eq!(ids(&db, vec![condition]), expect);
    }
    let many = (0..100).map(|id| is(&id.to_string())).collect();
    assert_eq!(ids(&db, vec![Condition::Any(many)]), "[1,2,3]");
    // As many as a long list has.
    let many = (0..10_000).map(|id| is(&id.to_string())).collect();
    assert_eq!(ids(&db, vec![Condition::Any(many)]), "[1,2,3]");
    let array: Vec<String> = (0..2000).map(|n: i32| n.to_string()).collect();
    let literal = format!("{{{}}}", array.join(","));
    let any = Test::Compare(Operator::Eq, Some(Quantifier::Any), literal);
    assert_eq!(ids(&db, vec![test(db.col(0, "v", "n"), any)]), "[1]");
}

#[test]
fn a_statement_is_refused_before_it_is_too_long_for_sqlite() {
    let db = db(TABLE);
    let list = |members: usize| Test::In(vec!["1".to_owned(); members]);
    let lists = |tests: Vec<Test>| {
        let tests = tests.into_iter().map(|one| test(db.col(0, "v", "id"), one));
        let mut node = db.node(0, "v", &["id"]);
        node.conditions = tests.collect();
        db.read("service_role", node)
    };
    assert_eq!(
        lists(vec![list(10_000), list(10_000), list(12_766)]),
        "[{\"id\":1}]"
    );
    let refused = lists(vec![list(10_000), list(10_000), list(12_767)]);
    assert!(refused.contains("more than 32766 values"), "{refused}");
    let long = "n".repeat(100_000);
    let path = Expr::Path {
        of: Box::new(db.col(0, "v", "b")),
        steps: vec![Step {
            key: Key::Name(long),
            text: true,
        }],
    };
    let is = |expr: &Expr| test(expr.clone(), Test::Is(Is::Null));
    let mut node = db.node(0, "v", &["id"]);
    node.conditions = (0..20).map(|_| is(&path)).collect();
    let refused = db.read("service_role", node);
    assert!(refused.contains("or 1048576 bytes"), "{refused}");
}

#[test]
fn places_in_json_and_casts() {
    let db = db(TABLE);
    let path = |column: &str, keys: &[&str], text: bool| Expr::Path {
        of: Box::new(db.col(0, "v", column)),
        steps: keys
            .iter()
            .enumerate()
            .map(|(at, key)| Step {
                key: match key.parse() {
                    Ok(index) => Key::Index(index),
                    Err(_) => Key::Name((*key).to_owned()),
                },
                text: text && at + 1 == keys.len(),
            })
            .collect(),
    };
    let mood = || Type::Enum(db.schema.enums["mood"].clone());
    let cast = |of: Expr, to: Type| Expr::Cast {
        of: Box::new(of),
        to: CastType::Known(to),
    };
    for (expr, expect) in [
        (path("b", &["a"], false), "[1, \"x\", null]"),
        (path("b", &["a", "1"], false), "\"x\""),
        (path("b", &["a", "1"], true), "\"x\""),
        (path("b", &["a", "-3"], false), "1"),
        (path("b", &["nope'\"--"], false), "null"),
        (path("b", &["k"], true), "\"t\""),
        (path("j", &["a"], false), "1"),
        (path("ns", &["1"], false), "2"),
        (cast(db.col(0, "v", "n"), Type::Text), "\"5\""),
        (cast(db.col(0, "v", "n"), Type::Integer), "5"),
        (cast(path("b", &["a", "0"], true), Type::Integer), "1"),
        (
            cast(db.col(0, "v", "word"), Type::Integer),
            "22P02 invalid input syntax for type integer: \"Abc\"",
        ),
        (cast(db.col(0, "v", "feeling"), Type::Text), "\"happy\""),
        (
            cast(cast(db.col(0, "v", "feeling"), Type::Text), mood()),
            "\"happy\"",
        ),
        (
            cast(db.col(0, "v", "word"), mood()),
            "22P02 invalid input value for enum mood: \"Abc\"",
        ),
        (
            cast(path("b", &["none"], true), Type::Array(Box::new(mood()))),
            "null",
        ),
        (
            cast(db.col(0, "v", "words"), Type::Array(Box::new(mood()))),
            "22P02 invalid input value for enum mood: \"a b\"",
        ),
    ] {
        let mut one = node(
            Source::Relation(db.table("v")),
            0,
            vec![Output {
                key: "v".into(),
                expr: expr.clone(),
            }],
        );
        one.conditions = vec![db.is("v", "id", "1")];
        let body = db.read("service_role", one);
        let value = body
            .strip_prefix("[{\"v\":")
            .and_then(|body| body.strip_suffix("}]"));
        assert_eq!(value.unwrap_or(&body), expect, "{expr:?}");
    }
    let text = Test::Compare(Operator::Eq, None, "t".into());
    assert_eq!(ids(&db, vec![test(path("b", &["k"], true), text)]), "[1]");
    let json = Test::Compare(Operator::Eq, None, "1".into());
    assert_eq!(
        ids(&db, vec![test(path("j", &["a"], false), json)]),
        "42883 operator does not exist: json = unknown"
    );
}
