use super::*;
use crate::data::{COLUMNS_MAX, EMBED_DEPTH_MAX};

fn item(of: &Item) -> String {
    let named = |alias: &Option<String>| alias.as_ref().map_or(String::new(), |a| format!("{a}="));
    let cast = |cast: &Option<String>| cast.as_ref().map_or(String::new(), |c| format!("::{c}"));
    match of {
        Item::Star => "*".to_owned(),
        Item::Count { alias, cast: to } => format!("{}count{}", named(alias), cast(to)),
        Item::Field {
            field: of,
            alias,
            cast: to,
            aggregate,
        } => {
            let of = format!("{}{}{}", named(alias), field(of), cast(to));
            match aggregate {
                Some(of_it) => format!("{of}.{:?}{}", of_it.function, cast(&of_it.cast)),
                None => of,
            }
        }
        Item::Relation(of) => {
            let hint = of.hint.as_ref().map_or(String::new(), |h| format!("!{h}"));
            let inner = if of.inner { "!!" } else { "" };
            let spread = if of.spread { "..." } else { "" };
            let (alias, inside) = (named(&of.alias), items(&of.select));
            format!("{spread}{alias}{}{hint}{inner}({inside})", of.name)
        }
    }
}

fn items(of: &[Item]) -> String {
    let items: Vec<String> = of.iter().map(item).collect();
    items.join(" ")
}

#[test]
fn selects_are_read() {
    check(
        select,
        |read| items(read),
        &[
            ("", ""),
            ("*", "*"),
            ("id", "<id>"),
            ("id,name", "<id> <name>"),
            (" id , name ", "<id> <name>"),
            ("a b,c-d,1x,_,$", "<a b> <c-d> <1x> <_> <$>"),
            (r#""a.b:c,d","say \"x\"""#, "<a.b:c,d> <say \"x\">"),
            ("alias:id", "alias=<id>"),
            (r#""my alias":"the col""#, "my alias=<the col>"),
            ("id::text", "<id>::text"),
            ("a:id::double precision", "a=<id>::double precision"),
            ("data->a", "<data>-><a>"),
            ("data->>a", "<data>->><a>"),
            ("data->a->>b::int", "<data>-><a>->><b>::int"),
            ("data->0,data->-1->b", "<data>->0 <data>->-1-><b>"),
            ("data->78xy", "<data>-><78xy>"),
            ("data->!@#$%^&*_a", "<data>-><!@#$%^&*_a>"),
            ("data->a-b c", "<data>-><a-b c>"),
            (r#"data->"a.b,c"->>d"#, "<data>-><a.b,c>->><d>"),
            ("x:data->a", "x=<data>-><a>"),
            ("count()", "count"),
            ("n:count()::text", "n=count::text"),
            ("count", "<count>"),
            ("total.sum()", "<total>.Sum"),
            ("customer_id,total.sum()", "<customer_id> <total>.Sum"),
            ("t:total::int.avg()::text", "t=<total>::int.Avg::text"),
            ("a.min(),a.max(),a.count()", "<a>.Min <a>.Max <a>.Count"),
            ("data->a.max()", "<data>-><a>.Max"),
            ("clients(*)", "clients(*)"),
            ("clients()", "clients()"),
            ("clients( )", "clients()"),
            ("*,clients(*,nested(id))", "* clients(* nested(<id>))"),
            ("msgs:messages(id,message)", "msgs=messages(<id> <message>)"),
            ("rel!hint(*)", "rel!hint(*)"),
            ("rel!inner(*)", "rel!!(*)"),
            ("rel!left(*)", "rel(*)"),
            ("rel!hint!inner(*)", "rel!hint!!(*)"),
            ("a:rel!inner!hint(*)", "a=rel!hint!!(*)"),
            (r#"rel!"inner"(*)"#, "rel!inner(*)"),
            ("rel!inner_hint(*)", "rel!inner_hint(*)"),
            ("...client(name)", "...client(<name>)"),
            ("...rel!h!inner(*),b", "...rel!h!!(*) <b>"),
            ("name,tracks!inner(title)", "<name> tracks!!(<title>)"),
            ("rel(data->0,count())", "rel(<data>->0 count)"),
            ("rel(data->0)", "rel(<data>->0)"),
            (
                "username,msgs:messages(id,message)",
                "<username> msgs=messages(<id> <message>)",
            ),
        ],
    );
}

#[test]
fn selects_that_are_none_are_told() {
    const AFTER: &str = r#"letter, digit, "-", "->>", "->", "::", ".", ")", "," or end of input"#;
    let cases: [(&str, usize, String); 25] = [
        ("id,clients(name[])", 16, format!("unexpected '[' expecting {AFTER}")),
        ("name!hint", 5, format!("unexpected '!' expecting {AFTER}")),
        ("clients(name", 13, String::new()),
        ("*!hint", 2, r#"unexpected '!' expecting ")", "," or end of input"#.into()),
        ("name::", 7, "unexpected end of input expecting letter or digit".into()),
        (
            "data->>-78xy",
            11,
            r#"unexpected 'x' expecting digit, "->", "::", ".", "," or end of input"#.into(),
        ),
        ("data->>--34", 9, r#"unexpected "-" expecting digit"#.into()),
        ("data->>-xy-4", 9, r#"unexpected "x" expecting digit"#.into()),
        (
            "data->(!@#$%^&*_d->>!@#$%^&*_e::integer",
            7,
            r#"unexpected "(" expecting "-", digit or any non reserved character different from: .,>()"#.into(),
        ),
        (
            "id,",
            4,
            r#"unexpected end of input expecting "...", field name (* or [a..z0..9_$]), "*" or "count()""#.into(),
        ),
        (
            ",id",
            1,
            r#"unexpected "," expecting "...", field name (* or [a..z0..9_$]), "*" or "count()""#.into(),
        ),
        ("alias:", 7, "unexpected end of input expecting field name (* or [a..z0..9_$])".into()),
        ("alias:*", 7, "unexpected \"*\" expecting field name (* or [a..z0..9_$])".into()),
        ("a-", 3, "unexpected end of input expecting letter or digit".into()),
        ("\"a", 3, String::new()),
        ("id)", 3, String::new()),
        ("count(id)", 6, String::new()),
        ("rel->a(*)", 7, String::new()),
        ("...rel", 7, String::new()),
        ("a:...rel(*)", 3, String::new()),
        (
            "t.foo()",
            3,
            r#"unexpected "f" expecting "sum", "avg", "count", "max" or "min""#.into(),
        ),
        ("t.sum", 6, "unexpected end of input expecting \"()\"".into()),
        ("t.sum(x)", 6, "unexpected \"x\" expecting \"()\"".into()),
        (
            "t::int!",
            7,
            r#"unexpected '!' expecting letter, digit, ".", "::", ")", "," or end of input"#.into(),
        ),
        ("rel(*)x", 7, "unexpected 'x' expecting \",\" or end of input".into()),
    ];
    for (text, column, details) in cases {
        let told = refusal(select(text).unwrap_err());
        let expected = format!(
            "PGRST100: \"failed to parse select parameter ({text})\" (line 1, column {column}) | {details}"
        );
        assert!(told.starts_with(&expected), "{told}\n{expected}");
        assert!(details.is_empty() || told == expected, "{told}\n{expected}");
    }
    assert_eq!(
        refusal(select("data->>c->1").unwrap_err()),
        "42883: operator does not exist: text -> integer"
    );
    assert_eq!(select("a\0").unwrap_err().code(), Some("22021"));
}

#[test]
fn selects_have_limits() {
    let wide = |members: usize| vec!["a"; members].join(",");
    assert!(select(&wide(COLUMNS_MAX)).is_ok());
    let refused = select(&wide(COLUMNS_MAX + 1)).unwrap_err();
    assert_eq!(refusal(refused), "a select has more than 1600 members");
    // Those of relations count.
    assert!(select(&format!("r({})", wide(COLUMNS_MAX - 1))).is_ok());
    assert!(select(&format!("r({})", wide(COLUMNS_MAX))).is_err());

    let deep = |depth: usize| format!("{}a{}", "r(".repeat(depth), ")".repeat(depth));
    assert!(select(&deep(EMBED_DEPTH_MAX)).is_ok());
    let refused = select(&deep(EMBED_DEPTH_MAX + 1)).unwrap_err();
    assert_eq!(refused.code(), Some("PGRST100"));
    assert!(refusal(refused).contains("10 deep at most"));
    assert!(select(&deep(100_000)).is_err());
    assert!(select(&"r(".repeat(100_000)).is_err());
}

fn ordered(orders: &[Order]) -> String {
    let one = |order: &Order| {
        let term = match &order.term {
            OrderTerm::Field(of) => field(of),
            OrderTerm::Related(relation, of) => format!("{relation}({})", field(of)),
        };
        let descending = if order.descending { " desc" } else { "" };
        let nulls = match order.nulls_first {
            None => "",
            Some(true) => " first",
            Some(false) => " last",
        };
        format!("{term}{descending}{nulls}")
    };
    orders.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[test]
fn orders_are_read() {
    check(
        orders,
        |read| ordered(read),
        &[
            ("id", "<id>"),
            ("id.asc", "<id>"),
            ("id.desc", "<id> desc"),
            ("name.desc.nullsfirst", "<name> desc first"),
            ("name.asc.nullslast", "<name> last"),
            ("name.nullsfirst", "<name> first"),
            ("username.asc.nullslast,id", "<username> last, <id>"),
            (" a.desc , b ", "<a> desc, <b>"),
            ("data->>a.desc", "<data>->><a> desc"),
            ("data->0.desc", "<data>->0 desc"),
            ("j->!@#$%^&*_a.asc.nullslast", "<j>-><!@#$%^&*_a> last"),
            ("clients(name)", "clients(<name>)"),
            (
                "clients(j->key).desc.nullsfirst",
                "clients(<j>-><key>) desc first",
            ),
            ("name,clients(name),id", "<name>, clients(<name>), <id>"),
            (r#""a.b".desc"#, "<a.b> desc"),
            ("desc.asc", "<desc>"),
        ],
    );
    let wide = |members: usize| vec!["a"; members].join(",");
    assert!(orders(&wide(COLUMNS_MAX)).is_ok());
    assert!(matches!(
        orders(&wide(COLUMNS_MAX + 1)),
        Err(DataError::TooLarge(_))
    ));
    assert_eq!(orders("a\0").unwrap_err().code(), Some("22021"));
}

#[test]
fn orders_that_are_none_are_told() {
    const WORD: &str = r#"expecting "asc", "desc", "nullsfirst" or "nullslast""#;
    const NULLS: &str = r#"expecting "nullsfirst" or "nullslast""#;
    let cases = [
        ("id.ac", 4, format!("unexpected \"c\" {WORD}")),
        ("id.descc", 8, "unexpected 'c' expecting delimiter (.), \",\" or end of input".into()),
        ("id.nulsfist", 4, format!("unexpected \"n\" {WORD}")),
        ("id.nullslasttt", 13, "unexpected 't' expecting \",\" or end of input".into()),
        ("id.smth34", 4, format!("unexpected \"s\" {WORD}")),
        ("id.asc.nlsfst", 8, format!("unexpected \"l\" {NULLS}")),
        ("id.asc.nullslasttt", 17, "unexpected 't' expecting \",\" or end of input".into()),
        ("id.asc.smth34", 8, format!("unexpected \"s\" {NULLS}")),
        ("id.", 4, format!("unexpected end of input {WORD}")),
        (
            "clients(name,id)",
            8,
            r#"unexpected '(' expecting letter, digit, "-", "->>", "->", delimiter (.), "," or end of input"#.into(),
        ),
        ("", 1, "unexpected end of input expecting field name (* or [a..z0..9_$])".into()),
        ("id,", 4, "unexpected end of input expecting field name (* or [a..z0..9_$])".into()),
    ];
    for (text, column, details) in cases {
        let expected = format!(
            "PGRST100: \"failed to parse order ({text})\" (line 1, column {column}) | {details}"
        );
        assert_eq!(refusal(orders(text).unwrap_err()), expected);
    }
}

#[test]
fn columns_are_read() {
    check(
        columns,
        |names| names.join("|"),
        &[
            ("a", "a"),
            (r#""message","channel_id""#, "message|channel_id"),
            ("a, b ,c", "a|b|c"),
            ("a,b,a", "a|b"),
            (r#""a,b""#, "a,b"),
            (
                "",
                "PGRST100: \"failed to parse columns parameter ()\" (line 1, column 1) | unexpected end of input expecting field name (* or [a..z0..9_$])",
            ),
            (
                "a,",
                "PGRST100: \"failed to parse columns parameter (a,)\" (line 1, column 3) | unexpected end of input expecting field name (* or [a..z0..9_$])",
            ),
            (
                "a.b",
                "PGRST100: \"failed to parse columns parameter (a.b)\" (line 1, column 2) | unexpected '.' expecting letter, digit, \"-\", \",\" or end of input",
            ),
        ],
    );
    let error = on_conflict("").unwrap_err();
    assert!(refusal(error).contains("failed to parse on_conflict parameter ()"));
    let many = |names: usize| {
        (0..names)
            .map(|n| format!("c{n}"))
            .collect::<Vec<_>>()
            .join(",")
    };
    assert_eq!(columns(&many(COLUMNS_MAX)).unwrap().len(), COLUMNS_MAX);
    assert!(columns(&many(COLUMNS_MAX + 1)).is_err());
}
