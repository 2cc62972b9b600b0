use super::*;
use crate::data::query::filter::{is_tree, logic, plain};
use crate::data::{FILTERS_MAX, LIST_MAX, TREE_DEPTH_MAX};

fn pair(text: &str) -> Result<Filter, DataError> {
    let (key, value) = text.split_once('=').unwrap();
    let mut left = FILTERS_MAX;
    match is_tree(key) {
        true => logic(key, value, &mut left),
        false => plain(key, value, &mut left),
    }
}

#[test]
fn filters_are_read() {
    check(
        pair,
        filtered,
        &[
            ("id=eq.5", "<id> Eq 5"),
            ("id=neq.5", "<id> Neq 5"),
            ("id=gt.5", "<id> Gt 5"),
            ("id=gte.5", "<id> Gte 5"),
            ("id=lt.5", "<id> Lt 5"),
            ("id=lte.5", "<id> Lte 5"),
            ("id=not.eq.5", "!<id> Eq 5"),
            ("name=eq.", "<name> Eq "),
            ("name=eq.a.b, \"c\")", "<name> Eq a.b, \"c\")"),
            ("name=eq. a ", "<name> Eq  a "),
            ("name=eq.not.eq.x", "<name> Eq not.eq.x"),
            ("name=like.*a*b", "<name> Like %a%b"),
            ("name=ilike.*rust*", "<name> Ilike %rust%"),
            ("name=match.^a*$", "<name> Match ^a*$"),
            ("name=imatch.^a*$", "<name> Imatch ^a*$"),
            ("name=like(any).{a*,*b}", "<name> Like Any {a%,%b}"),
            ("name=ilike(all).{a*}", "<name> Ilike All {a%}"),
            ("id=eq(any).{1,2}", "<id> Eq Any {1,2}"),
            ("id=not.gte(all).{1,2}", "!<id> Gte All {1,2}"),
            ("a=isdistinct.null", "<a> IsDistinct null"),
            ("a=cs.{a,b}", "<a> Contains {a,b}"),
            ("a=cs.{\"k\":1}", "<a> Contains {\"k\":1}"),
            ("a=cd.[1,5)", "<a> Contained [1,5)"),
            ("a=ov.{1}", "<a> Overlaps {1}"),
            ("a=sl.[1,2]", "<a> StrictlyLeft [1,2]"),
            ("a=sr.[1,2]", "<a> StrictlyRight [1,2]"),
            ("a=nxr.[1,2]", "<a> NotRightOf [1,2]"),
            ("a=nxl.[1,2]", "<a> NotLeftOf [1,2]"),
            ("a=adj.(3,10]", "<a> Adjacent (3,10]"),
            ("a=fts.cat", "<a> Query cat"),
            ("a=fts(english).fat & cat", "<a> Query (english) fat & cat"),
            ("a=not.plfts(simple).x", "!<a> Plain (simple) x"),
            ("a=phfts.x y", "<a> Phrase x y"),
            ("a=wfts(german).Art", "<a> Web (german) Art"),
            // Lists.
            ("id=in.(1,2,3)", r#"<id> In ["1", "2", "3"]"#),
            ("id=not.in.(1)", r#"!<id> In ["1"]"#),
            ("id=in.()", "<id> In []"),
            ("id=in.( )", "<id> In []"),
            (r#"id=in.("")"#, r#"<id> In [""]"#),
            ("id=in.(,)", r#"<id> In ["", ""]"#),
            ("id=in. ( 1, 2 ) ", r#"<id> In ["1", " 2 "]"#),
            (
                r#"s=in.(open,"a,b","say \"x\"","\\")"#,
                r#"<s> In ["open", "a,b", "say \"x\"", "\\"]"#,
            ),
            (r#"s=in.("a"b,c)"#, r#"<s> In ["\"a\"b", "c"]"#),
            (r#"s=in.("a,b)"#, r#"<s> In ["\"a", "b"]"#),
            ("s=in.(ä,😀)", r#"<s> In ["ä", "😀"]"#),
            // Is.
            ("a=is.null", "<a> Is Null"),
            ("a=is.NULL", "<a> Is Null"),
            ("a=is.not_null", "<a> Is NotNull"),
            ("a=not.is.null", "!<a> Is Null"),
            ("a=is.True", "<a> Is True"),
            ("a=is.false", "<a> Is False"),
            ("a=is.unknown", "<a> Is Unknown"),
            ("tracks=not.is.null", "!<tracks> Is Null"),
            // Keys.
            ("data->>a=eq.x", "<data>->><a> Eq x"),
            ("data->a->>b=eq.x", "<data>-><a>->><b> Eq x"),
            ("data->0->-1=eq.x", "<data>->0->-1 Eq x"),
            ("clients.name=eq.x", "clients/<name> Eq x"),
            ("a.b.c->>d=eq.x", "a/b/<c>->><d> Eq x"),
            (r#""a.b"."c,d"=eq.x"#, "a.b/<c,d> Eq x"),
            (r#""a\"b\\"=eq.x"#, "<a\"b\\> Eq x"),
            ("my col=eq.x", "<my col> Eq x"),
            ("a-b=eq.x", "<a-b> Eq x"),
            ("größe_$1=eq.x", "<größe_$1> Eq x"),
            (r#"data->"a.b"=eq.x"#, "<data>-><a.b> Eq x"),
        ],
    );
}

#[test]
fn trees_are_read() {
    check(
        pair,
        filtered,
        &[
            ("or=(age.lt.18,age.gt.21)", "[<age> Lt 18|<age> Gt 21]"),
            ("and=(id.eq.1)", "[<id> Eq 1]"),
            ("not.or=(a.eq.1,b.eq.2)", "![<a> Eq 1|<b> Eq 2]"),
            ("not.and=(a.eq.1)", "![<a> Eq 1]"),
            ("rel.or=(a.eq.1)", "rel/[<a> Eq 1]"),
            ("a.b.not.or=(a.eq.1)", "a/b/![<a> Eq 1]"),
            (r#""x.y".or=(a.eq.1)"#, "x.y/[<a> Eq 1]"),
            (
                "and=(a.eq.1,or(b.is.null,not.c.in.(1,2)),not.and(x.eq.1,y.eq.2))",
                r#"[<a> Eq 1&[<b> Is Null|!<c> In ["1", "2"]]&![<x> Eq 1&<y> Eq 2]]"#,
            ),
            (
                "and=(a.eq.1,or(b.is.null,c.not.in.(1,2)),not.and(x.eq.1,y.eq.2))",
                r#"[<a> Eq 1&[<b> Is Null|!<c> In ["1", "2"]]&![<x> Eq 1&<y> Eq 2]]"#,
            ),
            ("or=(a.eq.1,rel.not.is.null)", "[<a> Eq 1|!<rel> Is Null]"),
            (
                "or=(status.eq.ONLINE,age_range.is.null)",
                "[<status> Eq ONLINE|<age_range> Is Null]",
            ),
            (
                "and=( and ( id.in.( 1, 2, 3 ) , id.eq.3 ) , or ( id.eq.2 , id.eq.3 ) )",
                r#"[[<id> In ["1", " 2", " 3 "]&<id> Eq 3 ]&[<id> Eq 2 |<id> Eq 3 ]]"#,
            ),
            (
                r#"or=(n.eq."(a,b)",n.like."*ity,4*")"#,
                "[<n> Eq (a,b)|<n> Like %ity,4%]",
            ),
            (r#"or=(n.eq."a\"b\\c")"#, "[<n> Eq a\"b\\c]"),
            (r#"or=(n.eq."a"b)"#, "[<n> Eq \"a\"b]"),
            ("or=(n.eq.)", "[<n> Eq ]"),
            (
                "or=(arr.cs.{1,2,3},arr.cd.{1})",
                "[<arr> Contains {1,2,3}|<arr> Contained {1}]",
            ),
            (
                r#"or=(j.cs.{"a":{"b":1,"c":"}"}})"#,
                r#"[<j> Contains {"a":{"b":1,"c":"}"}}]"#,
            ),
            (
                "or=(a.eq.{{1,2},{3,4}},b.eq.1)",
                "[<a> Eq {{1,2},{3,4}}|<b> Eq 1]",
            ),
            ("or=(a.eq.{x)", "[<a> Eq {x]"),
            ("or=(a.eq.{a\"b,c})", "[<a> Eq {a\"b,c}]"),
            ("or=(a.eq(any).{1,2})", "[<a> Eq Any {1,2}]"),
            (
                "and=(t.not.plfts(german).Art, t.fts.x)",
                "[!<t> Plain (german) Art&<t> Query x]",
            ),
            (
                "or=(data->>a.eq.1,data->0.eq.2)",
                "[<data>->><a> Eq 1|<data>->0 Eq 2]",
            ),
            (r#"or=("a.b".eq.1)"#, "[<a.b> Eq 1]"),
            (
                "or=(and_x.eq.a,or_y.eq.b,not_z.eq.c)",
                "[<and_x> Eq a|<or_y> Eq b|<not_z> Eq c]",
            ),
            ("or=(not.a.not.eq.1)", "[<a> Eq 1]"),
            (
                "or=(or.eq.1,and.eq.2,not.eq.3)",
                "[<or> Eq 1|<and> Eq 2|<not> Eq 3]",
            ),
            ("or=( a.eq.1 )", "[<a> Eq 1 ]"),
        ],
    );
}

#[test]
fn filters_that_are_none_are_told() {
    let refused = |text: &str, column: usize, details: &str| {
        let (key, value) = text.split_once('=').unwrap();
        let what = if is_tree(key) { "logic tree" } else { "filter" };
        let expected = format!(
            "PGRST100: \"failed to parse {what} ({value})\" (line 1, column {column}) | {details}"
        );
        assert_eq!(refusal(pair(text).unwrap_err()), expected, "{text}");
    };
    const OPERATOR: &str = "expecting operator (eq, gt, ...)";
    const EITHER: &str = r#"expecting "not" or operator (eq, gt, ...)"#;
    const IS: &str = "expecting isVal: (null, not_null, true, false, unknown)";
    refused("id=0", 1, &format!("unexpected \"0\" {EITHER}"));
    refused("id=noop.0", 1, &format!("unexpected \"o\" {EITHER}"));
    refused("id=val", 1, &format!("unexpected \"v\" {EITHER}"));
    refused("id=", 1, &format!("unexpected end of input {EITHER}"));
    refused("id=foo.5", 1, &format!("unexpected \"f\" {EITHER}"));
    refused("id=EQ.5", 1, &format!("unexpected \"E\" {EITHER}"));
    refused("id=not.foo.5", 5, &format!("unexpected \"f\" {OPERATOR}"));
    refused("id=nottt.x", 4, "unexpected \"t\" expecting delimiter (.)");
    refused(
        "id=not",
        4,
        "unexpected end of input expecting delimiter (.)",
    );
    refused("id=eq5", 3, &format!("unexpected \"5\" {OPERATOR}"));
    refused("id=eqq.5", 3, &format!("unexpected \"q\" {OPERATOR}"));
    refused("id=gtee.5", 4, &format!("unexpected \"e\" {OPERATOR}"));
    refused("id=eq().v", 4, &format!("unexpected \")\" {OPERATOR}"));
    refused("id=eq(foo).v", 4, &format!("unexpected \"f\" {OPERATOR}"));
    refused("id=neq(any).v", 4, &format!("unexpected \"(\" {OPERATOR}"));
    refused("id=is().v", 3, &format!("unexpected \"(\" {OPERATOR}"));
    refused("id=in().v", 3, &format!("unexpected \"(\" {OPERATOR}"));
    refused("id=fts().v", 5, &format!("unexpected \")\" {OPERATOR}"));
    refused("id=fts(a.v", 6, &format!("unexpected \".\" {OPERATOR}"));
    refused("id=ä", 1, &format!("unexpected \"\\228\" {EITHER}"));
    refused("id=\"", 1, &format!("unexpected \"\\\"\" {EITHER}"));
    refused("id=is.what", 4, &format!("unexpected \"w\" {IS}"));
    refused("id=is.5", 4, &format!("unexpected \"5\" {IS}"));
    refused("id=is.", 4, &format!("unexpected end of input {IS}"));
    refused("id=is.nulx", 7, &format!("unexpected \"x\" {IS}"));
    refused("id=is.nullx", 8, "unexpected 'x' expecting end of input");
    refused("id=in.1,2", 4, "unexpected \"1\" expecting \"(\"");
    refused(
        "id=in.(1,2",
        8,
        "unexpected end of input expecting \",\" or \")\"",
    );
    refused("id=in.(1)2", 7, "unexpected '2' expecting end of input");
    let lines = pair("id=in.(\n1").unwrap_err();
    assert!(refusal(lines).contains("(line 2, column 2)"));
    let tab = pair("id=in.\t1").unwrap_err();
    assert!(refusal(tab).contains("(line 1, column 9)"));
}

#[test]
fn trees_that_are_none_are_told() {
    const NONE: &str = "expecting field name (* or [a..z0..9_$]), negation operator (not) or logic operator (and, or)";
    let cases = [
        ("or=()", 4, format!("unexpected \")\" {NONE}")),
        ("or=(a.eq.1,)", 11, format!("unexpected \")\" {NONE}")),
        (
            "or=(id.in.1,2,id.eq.3)",
            10,
            "unexpected \"1\" expecting \"(\"".to_owned(),
        ),
        ("or=)(", 3, "unexpected \")\" expecting \"(\"".to_owned()),
        (
            "or=a.eq.1",
            3,
            "unexpected \"a\" expecting \"(\"".to_owned(),
        ),
        ("not.or=a", 7, "unexpected \"a\" expecting \"(\"".to_owned()),
        (
            "and=(ord(id.eq.1,id.eq.1),id.eq.2)",
            7,
            "unexpected \"d\" expecting \"(\"".to_owned(),
        ),
        (
            "or=(id.eq.1,not.xor(id.eq.2,id.eq.3))",
            16,
            "unexpected \"x\" expecting logic operator (and, or)".to_owned(),
        ),
        (
            "or=(a.foo.1)",
            6,
            "unexpected \"f\" expecting \"not\" or operator (eq, gt, ...)".to_owned(),
        ),
        (
            "or=(a.eq.1",
            10,
            "unexpected end of input expecting \",\" or \")\"".to_owned(),
        ),
        (
            "or=(a.is.nullx)",
            13,
            "unexpected \"x\" expecting \",\" or \")\"".to_owned(),
        ),
        (
            "or=(a.eq.1)x",
            11,
            "unexpected 'x' expecting end of input".to_owned(),
        ),
    ];
    for (text, column, details) in cases {
        let (_, value) = text.split_once('=').unwrap();
        let expected = format!(
            "PGRST100: \"failed to parse logic tree ({value})\" (line 1, column {column}) | {details}"
        );
        assert_eq!(refusal(pair(text).unwrap_err()), expected, "{text}");
    }
}

#[test]
fn keys_that_are_none_are_told() {
    check(
        pair,
        filtered,
        &[
            (
                "a[]=eq.1",
                "PGRST100: \"failed to parse tree path (a[])\" (line 1, column 2) | unexpected '[' expecting letter, digit, \"-\", \"->>\", \"->\", delimiter (.) or end of input",
            ),
            (
                "=eq.1",
                "PGRST100: \"failed to parse tree path ()\" (line 1, column 1) | unexpected end of input expecting field name (* or [a..z0..9_$])",
            ),
            (
                "a.=eq.1",
                "PGRST100: \"failed to parse tree path (a.)\" (line 1, column 3) | unexpected end of input expecting field name (* or [a..z0..9_$])",
            ),
            (
                "a!.or=(a.eq.1)",
                "PGRST100: \"failed to parse logic path (a!.or)\" (line 1, column 2) | unexpected \"!\" expecting letter, digit, \"-\", delimiter (.) or end of input",
            ),
            (
                "data->>a->b=eq.1",
                "42883: operator does not exist: text -> unknown",
            ),
            (
                "data->99999999999=eq.1",
                "22003: value \"99999999999\" is out of range for type integer",
            ),
        ],
    );
}

#[test]
fn the_convenient_form_reads_the_same() {
    let cases = [
        ("id", "eq", "5", "<id> Eq 5"),
        ("id", "not.in", "(1,2)", r#"!<id> In ["1", "2"]"#),
        (
            "data->>a",
            "like(any)",
            "{a*}",
            "<data>->><a> Like Any {a%}",
        ),
        ("t", "fts(english)", "a.b", "<t> Query (english) a.b"),
        ("or", "", "(a.eq.1,b.eq.2)", "[<a> Eq 1|<b> Eq 2]"),
        ("not.or", "", "(a.eq.1)", "![<a> Eq 1]"),
        ("c.and", "", "(a.eq.1)", "c/[<a> Eq 1]"),
        ("and", "eq", "1", "<and> Eq 1"),
    ];
    for (column, operator, value, expected) in cases {
        assert_eq!(
            filtered(&filter(column, operator, value).unwrap()),
            expected
        );
    }
    assert!(filter("id", "", "5").is_err());
    assert!(filter("id", "same", "5").is_err());
    for (column, operator, value) in [("a\0", "eq", "1"), ("a", "e\0q", "1"), ("a", "eq", "\0")] {
        let error = filter(column, operator, value).unwrap_err();
        assert_eq!(
            refusal(error),
            "22021: invalid byte sequence for encoding \"UTF8\": 0x00"
        );
    }
}

#[test]
fn limits_hold_at_their_edge() {
    let list = |members: usize| format!("id=in.({})", vec!["1"; members].join(","));
    assert!(pair(&list(LIST_MAX)).is_ok());
    assert_eq!(
        refusal(pair(&list(LIST_MAX + 1)).unwrap_err()),
        "a list has more than 10000 members"
    );

    let array = |members: usize| vec!["1"; members].join(",");
    for (key, before, after) in [("id", "eq(any).", ""), ("or", "(id.lt(all).", ")")] {
        let pair = |members| pair(&format!("{key}={before}{{{}}}{after}", array(members)));
        assert!(pair(LIST_MAX).is_ok());
        let over = pair(LIST_MAX + 1).unwrap_err();
        assert_eq!(refusal(over), "a list has more than 10000 members");
    }
    let commas = format!("id=eq(any).{{\"{}\"}}", ",".repeat(LIST_MAX));
    assert!(
        pair(&commas).is_ok(),
        "those within a text are none of the list's"
    );

    let tree = |members: usize| format!("or=({})", vec!["a.eq.1"; members].join(","));
    assert!(pair(&tree(FILTERS_MAX)).is_ok());
    assert_eq!(
        refusal(pair(&tree(FILTERS_MAX + 1)).unwrap_err()),
        "a request has at most 100 filters"
    );

    let deep = |depth: usize| format!("or={}(a.eq.1{}", "(or".repeat(depth - 1), ")".repeat(depth));
    assert!(pair(&deep(TREE_DEPTH_MAX)).is_ok());
    let refused = pair(&deep(TREE_DEPTH_MAX + 1)).unwrap_err();
    assert_eq!(refused.code(), Some("PGRST100"));
    assert!(refusal(refused).contains("20 deep at most"));
    assert!(pair(&deep(100_000)).is_err());

    let many = |filters: usize| super::super::filters(vec![("a", "eq", "1"); filters]);
    assert_eq!(many(FILTERS_MAX).unwrap().len(), FILTERS_MAX);
    assert!(matches!(many(FILTERS_MAX + 1), Err(DataError::TooLarge(_))));
}
