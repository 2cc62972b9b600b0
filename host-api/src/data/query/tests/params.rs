use std::borrow::Cow;

use super::*;
use crate::data::{COLUMNS_MAX, FILTERS_MAX, LIST_MAX};

fn split(text: &str) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (Cow::Borrowed(key), Cow::Borrowed(value)))
        .collect()
}

fn read(text: &str) -> Result<Params, DataError> {
    Params::read(split(text))
}

fn path(path: &[String]) -> String {
    path.iter().map(|name| format!("{name}/")).collect()
}

/// What was read, without what the other tables check.
fn shown(params: &Params) -> String {
    let query = &params.query;
    let mut parts = Vec::new();
    if let Some(select) = &query.select {
        parts.push(format!("select {}", select.len()));
    }
    parts.extend(query.filters.iter().map(filtered));
    for (at, orders) in &query.orders {
        let names = orders.iter().map(|order| match &order.term {
            OrderTerm::Field(of) => of.name.as_str(),
            OrderTerm::Related(name, _) => name.as_str(),
        });
        let names: Vec<&str> = names.collect();
        parts.push(format!("{}order {}", path(at), names.join(",")));
    }
    for (at, limit) in &query.limits {
        parts.push(format!("{}limit {limit}", path(at)));
    }
    for (at, offset) in &query.offsets {
        parts.push(format!("{}offset {offset}", path(at)));
    }
    if let Some(columns) = &params.columns {
        parts.push(format!("columns {}", columns.join(",")));
    }
    if let Some(on) = &params.on_conflict {
        parts.push(format!("on {}", on.join(",")));
    }
    for Candidate { key, value, filter } in &params.candidates {
        let filter = filter.as_ref().map_or("-".to_owned(), filtered);
        parts.push(format!("{key}={value} ({filter})"));
    }
    parts.join("; ")
}

#[test]
fn query_strings_are_read() {
    check(
        read,
        shown,
        &[
            ("", ""),
            ("id=eq.5", "<id> Eq 5"),
            ("select=", "select 0"),
            ("select=a,b&select=c", "select 2"),
            ("a=gt.1&a=lt.9", "<a> Gt 1; <a> Lt 9"),
            ("or=(a.eq.1)&or=(b.eq.2)", "[<a> Eq 1]; [<b> Eq 2]"),
            (
                "select=username,msgs:messages(id,message)&msgs.order=id.desc&msgs.limit=1&or=(status.eq.ONLINE,age_range.is.null)&order=username.asc.nullslast&offset=0&limit=2",
                "select 2; [<status> Eq ONLINE|<age_range> Is Null]; msgs/order id; order username; msgs/limit 1; limit 2; offset 0",
            ),
            (
                r#"columns="message","channel_id"&select=id"#,
                "select 1; columns message,channel_id",
            ),
            ("on_conflict=username", "on username"),
            ("columns=a&columns=b", "columns a"),
            (
                "select=name,tracks!inner(title)&tracks.title=ilike.*rust*&tracks=not.is.null",
                "select 2; tracks/<title> Ilike %rust%; !<tracks> Is Null",
            ),
            (
                r#"select=customer_id,total.sum()&status=in.(open,"a,b")"#,
                r#"select 2; <status> In ["open", "a,b"]"#,
            ),
            ("created_at=lt.2020-01-01", "<created_at> Lt 2020-01-01"),
            ("clients.projects.order=a", "clients/projects/order a"),
            (r#""a.b".order=a"#, "a.b/order a"),
            (r#"x."limit"=eq.1"#, "x/<limit> Eq 1"),
            (r#""order"=eq.1"#, "<order> Eq 1"),
            ("order=a&order=b", "order a"),
            ("limit=5&limit=6", "limit 6"),
            ("a.limit=5&a.offset=6", "a/limit 5; a/offset 6"),
            ("limit=x&offset=y", ""),
            ("limit=&offset=", ""),
            ("limit=1.5", ""),
            ("limit= 5 ", "limit 5"),
            ("limit=0", "limit 0"),
            ("limit=-0", "limit 0"),
            ("offset=-1", ""),
            ("limit=99999999999999999999", "limit 9223372036854775807"),
            (
                "limit=-1",
                "PGRST103: Requested range not satisfiable | Limit should be greater than or equal to zero.",
            ),
            (
                "a.limit=-1",
                "PGRST103: Requested range not satisfiable | Limit should be greater than or equal to zero.",
            ),
            (
                "order=",
                "PGRST100: \"failed to parse order ()\" (line 1, column 1) | unexpected end of input expecting field name (* or [a..z0..9_$])",
            ),
            (
                "a->b.order=a",
                "PGRST100: \"failed to parse tree path (a->b.order)\" (line 1, column 5) | unexpected '.' expecting \"-\", \"->>\", \"->\", delimiter (.) or end of input",
            ),
            (
                "a\0=eq.1",
                "22021: invalid byte sequence for encoding \"UTF8\": 0x00",
            ),
            (
                "a=eq.\0",
                "22021: invalid byte sequence for encoding \"UTF8\": 0x00",
            ),
            (
                "select=\0",
                "22021: invalid byte sequence for encoding \"UTF8\": 0x00",
            ),
        ],
    );
}

#[test]
fn calls_leave_open_what_is_an_argument() {
    check(
        |text| Params::call(split(text)),
        shown,
        &[
            ("name=val", "name=val (-)"),
            ("name=not.val", "name=not.val (-)"),
            ("name=is.x", "name=is.x (-)"),
            ("id=eq.5", "id=eq.5 (<id> Eq 5)"),
            ("a[]=x", "a[]=x (-)"),
            ("v=1&v=2", "v=1 (-); v=2 (-)"),
            ("c.name=eq.x", "c.name=eq.x (c/<name> Eq x)"),
            (
                "a={1,2}&select=id&limit=5",
                "select 1; limit 5; a={1,2} (-)",
            ),
            ("or=(a.eq.1)&x=", "[<a> Eq 1]; x= (-)"),
        ],
    );
    assert!(Params::call(split("or=(a)")).is_err());
}

#[test]
fn query_strings_have_limits() {
    let filters = |count: usize| vec!["a=eq.1"; count].join("&");
    assert!(read(&filters(FILTERS_MAX)).is_ok());
    assert!(matches!(
        read(&filters(FILTERS_MAX + 1)),
        Err(DataError::TooLarge(_))
    ));
    // Those of trees count with them.
    let mixed = |count: usize| format!("{}&or=(a.eq.1,b.eq.2)", filters(count));
    assert!(read(&mixed(FILTERS_MAX - 2)).is_ok());
    assert!(read(&mixed(FILTERS_MAX - 1)).is_err());

    let limits = |count: usize| {
        let limits: Vec<String> = (0..count).map(|n| format!("r{n}.limit=1")).collect();
        limits.join("&")
    };
    assert!(read(&limits(COLUMNS_MAX)).is_ok());
    assert!(matches!(
        read(&limits(COLUMNS_MAX + 1)),
        Err(DataError::TooLarge(_))
    ));

    let call = |count: usize| Params::call(split(&vec!["a=1"; count].join("&")));
    assert_eq!(call(LIST_MAX).unwrap().candidates.len(), LIST_MAX);
    assert!(matches!(call(LIST_MAX + 1), Err(DataError::TooLarge(_))));
}
