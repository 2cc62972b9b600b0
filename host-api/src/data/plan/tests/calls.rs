//! Calls: which function is meant, what it is given, what is read of its answer.

use super::*;

/// `get request a=1&a=2`, `post request {json}`, `form request a=1`, `text|xml|bytes request body`
fn called(schema: &Schema, settings: &Settings, text: &str) -> String {
    let mut words = text.splitn(3, ' ');
    let (kind, request) = (words.next().unwrap(), words.next().unwrap());
    let rest = words.next().unwrap_or_default();
    // `!` before the kind: a preference for the number of rows.
    let strict = kind.starts_with('!');
    let kind = kind.trim_start_matches('!');
    let pairs = || {
        let pairs = rest.split('&').filter_map(|pair| pair.split_once('='));
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned()))
    };
    let body = rest.as_bytes().to_vec();
    let given = match kind {
        "get" | "form" => Given::Text(pairs().collect()),
        "post" => Given::Json {
            values: crate::data::query::body::row(rest).unwrap_or_default(),
            body,
        },
        "text" => Given::Whole(WholeType::Text, body),
        "xml" => Given::Whole(WholeType::Xml, body),
        _ => Given::Whole(WholeType::Bytes, body),
    };
    let actor = actor("anon");
    let scope = Scope {
        schema,
        settings,
        actor: &actor,
    };
    let preferences = Preferences {
        max_affected: strict.then_some(1),
        ..Preferences::default()
    };
    match call(
        &scope,
        &text::query(request),
        given,
        kind == "get",
        preferences,
    ) {
        Err(error) => fault(&error),
        Ok(plan) => {
            let types = plan.function.arguments.iter().map(|one| one.ty.as_str());
            let types: Vec<&str> = types.collect();
            let node = plan
                .node
                .map_or("value".to_owned(), |node| print::node(&node));
            let arguments = match &plan.arguments {
                Arguments::Whole(body) => format!("whole {}", String::from_utf8_lossy(body)),
                other => format!("{other:?}"),
            };
            format!(
                "{}({}) {arguments} -> {node}",
                plan.function.name.as_str(),
                types.join(", ")
            )
        }
    }
}

#[test]
fn calls_on_postgres() {
    let (schema, settings) = (schema::postgres(), settings());
    check(
        &[
            (
                r#"post add {"a":1,"b":2}"#,
                r#"add(integer, integer) Json([("a", RawValue(1)), ("b", RawValue(2))]) -> value"#,
            ),
            (
                r#"get add a=1&b=2&a=3"#,
                r#"add(integer, integer) Text([("a", ["3"]), ("b", ["2"])]) -> value"#,
            ),
            (
                r#"form add a=1&b=2"#,
                r#"add(integer, integer) Text([("a", ["1"]), ("b", ["2"])]) -> value"#,
            ),
            (
                r#"post options {"a":1}"#,
                r#"options(text, text) Json([("a", RawValue(1))]) -> value"#,
            ),
            (
                r#"post options {"a":1,"b":2}"#,
                r#"options(text, text) Json([("a", RawValue(1)), ("b", RawValue(2))]) -> value"#,
            ),
            (
                r#"get gather v=1&v=2"#,
                r#"gather(text[]) Text([("v", ["1", "2"])]) -> value"#,
            ),
            (
                r#"post eat_json {"x":1}"#,
                r#"eat_json(jsonb) whole {"x":1} -> value"#,
            ),
            (
                r#"post eat_json [1,2]"#,
                r#"eat_json(jsonb) whole [1,2] -> value"#,
            ),
            (
                r#"text eat_text hello"#,
                r#"eat_text(text) whole hello -> value"#,
            ),
            (r#"post nothing {}"#, r#"nothing() Json([]) -> value"#),
            (
                r#"get all_clients"#,
                r#"all_clients() Text([]) -> called clients t0 [t0.id, t0.name] limit 1000"#,
            ),
            (
                r#"get all_clients?select=id,projects(id)&id=eq.1&order=name&limit=2&offset=1"#,
                r#"all_clients() Text([]) -> called clients t0 [t0.id, projects:many{projects t1 [t1.id] where t0.id=t1.client_id limit 1000}] where t0.id Compare(Eq, None, "1") order (t0.name asc last) limit 2 offset 1"#,
            ),
            (
                r#"get all_clients?limit=5000"#,
                r#"all_clients() Text([]) -> called clients t0 [t0.id, t0.name] limit 1000"#,
            ),
            (
                r#"get record"#,
                r#"record() Text([]) -> called t0 [t0.id, t0.title] limit 1000"#,
            ),
            (
                r#"get record?select=title,t:title->x&id=gt.1&order=title"#,
                r#"record() Text([]) -> called t0 [t0.title, t:t0.title->x] where t0.id Compare(Gt, None, "1") order (t0.title asc last) limit 1000"#,
            ),
            (
                r#"get loose"#,
                r#"loose() Text([]) -> called t0 [:t0.*] limit 1000"#,
            ),
            (
                r#"!get all_clients"#,
                r#"all_clients() Text([]) -> called clients t0 [t0.id, t0.name] limit 1000"#,
            ),
        ],
        |text| called(&schema, &settings, text),
    );
}

#[test]
fn calls_refused() {
    let (schema, settings) = (schema::postgres(), settings());
    check(
        &[
            (
                r#"post nope {"b":1,"a":2}"#,
                r#"PGRST202 | Could not find the function public.nope(a, b) in the schema cache | Searched for the function public.nope with parameters a, b or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache. | "#,
            ),
            (
                r#"post nope {}"#,
                r#"PGRST202 | Could not find the function public.nope without parameters in the schema cache | Searched for the function public.nope without parameters or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache. | "#,
            ),
            (
                r#"get nope a=1"#,
                r#"PGRST202 | Could not find the function public.nope(a) in the schema cache | Searched for the function public.nope with parameter a, but no matches were found in the schema cache. | "#,
            ),
            (
                r#"get nope b=1&a=2"#,
                r#"PGRST202 | Could not find the function public.nope(a, b) in the schema cache | Searched for the function public.nope with parameters a, b, but no matches were found in the schema cache. | "#,
            ),
            (
                r#"get nope"#,
                r#"PGRST202 | Could not find the function public.nope without parameters in the schema cache | Searched for the function public.nope without parameters, but no matches were found in the schema cache. | "#,
            ),
            (
                r#"form nope a=1"#,
                r#"PGRST202 | Could not find the function public.nope(a) in the schema cache | Searched for the function public.nope with parameter a, but no matches were found in the schema cache. | "#,
            ),
            (
                r#"post addd {"a":1}"#,
                r#"PGRST202 | Could not find the function public.addd(a) in the schema cache | Searched for the function public.addd with parameter a or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache. | Perhaps you meant to call the function public.add"#,
            ),
            (
                r#"post option {"a":1}"#,
                r#"PGRST202 | Could not find the function public.option(a) in the schema cache | Searched for the function public.option with parameter a or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache. | Perhaps you meant to call the function public.options"#,
            ),
            (
                r#"post add {"a":1}"#,
                r#"PGRST202 | Could not find the function public.add(a) in the schema cache | Searched for the function public.add with parameter a or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache. | Perhaps you meant to call the function public.add(a, b)"#,
            ),
            (
                r#"post add {"a":1,"b":2,"c":3}"#,
                r#"PGRST202 | Could not find the function public.add(a, b, c) in the schema cache | Searched for the function public.add with parameters a, b, c or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache. | Perhaps you meant to call the function public.add(a, b)"#,
            ),
            (
                r#"post options {"b":1}"#,
                r#"PGRST202 | Could not find the function public.options(b) in the schema cache | Searched for the function public.options with parameter b or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache. | Perhaps you meant to call the function public.options(a, b)"#,
            ),
            (
                r#"post options {"zzz":1}"#,
                r#"PGRST202 | Could not find the function public.options(zzz) in the schema cache | Searched for the function public.options with parameter zzz or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache. | "#,
            ),
            (
                r#"get eat_json x=1"#,
                r#"PGRST202 | Could not find the function public.eat_json(x) in the schema cache | Searched for the function public.eat_json with parameter x, but no matches were found in the schema cache. | "#,
            ),
            (
                r#"text nope hello"#,
                r#"PGRST202 | Could not find the function public.nope in the schema cache | Searched for the function public.nope with a single unnamed text parameter, but no matches were found in the schema cache. | "#,
            ),
            (
                r#"xml eat_text hello"#,
                r#"PGRST202 | Could not find the function public.eat_text in the schema cache | Searched for the function public.eat_text with a single unnamed xml parameter, but no matches were found in the schema cache. | "#,
            ),
            (
                r#"bytes eat_text hello"#,
                r#"PGRST202 | Could not find the function public.eat_text in the schema cache | Searched for the function public.eat_text with a single unnamed bytea parameter, but no matches were found in the schema cache. | "#,
            ),
            (
                r#"text nothing hello"#,
                r#"PGRST202 | Could not find the function public.nothing in the schema cache | Searched for the function public.nothing with a single unnamed text parameter, but no matches were found in the schema cache. | "#,
            ),
            (
                r#"post over {"a":1}"#,
                r#"PGRST203 | Could not choose the best candidate function between: public.over(a => integer), public.over(a => text) |  | Try renaming the parameters or the function itself in the database so function overloading can be resolved"#,
            ),
            (
                r#"post eat_two {"x":1}"#,
                r#"PGRST203 | Could not choose the best candidate function between: public.eat_two( => json), public.eat_two( => jsonb) |  | Try renaming the parameters or the function itself in the database so function overloading can be resolved"#,
            ),
            (
                r#"!post add {"a":1,"b":2}"#,
                r#"PGRST128 | Function must return SETOF or TABLE when max-affected preference is used with handling=strict |  | "#,
            ),
            (
                r#"get record?select=nope"#,
                r#"42703 | column record.nope does not exist |  | "#,
            ),
            (
                r#"get record?select=clients(id)"#,
                r#"PGRST200 | Could not find a relationship between 'record' and 'clients' in the schema cache | Searched for a foreign key relationship between 'record' and 'clients' in the schema 'public', but no matches were found. | "#,
            ),
            (
                r#"get all_clients?select=tasks(id)"#,
                r#"PGRST200 | Could not find a relationship between 'clients' and 'tasks' in the schema cache | Searched for a foreign key relationship between 'clients' and 'tasks' in the schema 'public', but no matches were found. | "#,
            ),
            (
                r#"get add?c=eq.1 a=1&b=2"#,
                r#"42703 | column add.c does not exist |  | "#,
            ),
            (
                r#"get add?order=c a=1&b=2"#,
                r#"42703 | column add.c does not exist |  | "#,
            ),
            (
                r#"post other/add {}"#,
                r#"PGRST106 | Invalid schema: other |  | Only the following schemas are exposed: public"#,
            ),
        ],
        |text| called(&schema, &settings, text),
    );
    // There are none on SQLite.
    let found = called(&schema::sqlite(), &settings, r#"post add {"a":1}"#);
    assert!(found.starts_with("PGRST202"), "{found}");
}

#[test]
fn a_hint_names_what_the_caller_may_call() {
    let (mut schema, settings) = (schema::postgres(), settings());
    let hint = |schema: &Schema, text: &str| {
        let fault = called(schema, &settings, text);
        fault.rsplit_once(" | ").unwrap().1.to_owned()
    };
    let all = ["post addd {\"a\":1}", "post add {\"a\":1}"];
    for text in all {
        assert!(hint(&schema, text).contains("public.add"), "{text}");
    }
    let functions = schema.functions.get_mut("public").unwrap();
    for function in functions.values_mut().flatten() {
        Arc::make_mut(function).callers = ["authenticated".to_owned()].into();
    }
    for text in all {
        assert_eq!(hint(&schema, text), "", "{text}");
    }
}
