//! Writes: cells, conflicts, conditions, what is answered, and who may.

use super::super::super::query::{Body, Conflict, Insert};
use super::super::super::{BODY_ROWS_MAX, Engine};
use super::*;

/// `request body [columns=a,b] [default] [on=a,b] [merge|ignore] [count|keys]`
fn words(text: &str) -> (String, Body, Vec<String>) {
    let mut words = text.split(' ').map(str::to_owned);
    let request = words.next().unwrap();
    let body = words.next().unwrap();
    let body = crate::data::query::body::json(body.as_bytes()).unwrap();
    (request, body, words.collect())
}

fn named(words: &[String], name: &str) -> Option<Vec<String>> {
    let found = words.iter().find_map(|word| word.strip_prefix(name));
    found.map(|list| list.split(',').map(str::to_owned).collect())
}

fn returning(words: &[String]) -> Returning {
    match words.last().map(String::as_str) {
        Some("count") => Returning::Count,
        Some("keys") => Returning::Keys,
        _ => Returning::Rows,
    }
}

fn answer(answer: &Answering) -> String {
    match &answer.node {
        Some(node) => print::node(node),
        None => "count".to_owned(),
    }
}

fn inserted(schema: &Schema, role: &str, text: &str) -> String {
    let (request, rows, words) = words(text);
    let has = |word: &str| words.iter().any(|known| known == word);
    let conflict = (has("merge") || has("ignore")).then(|| Conflict {
        on: named(&words, "on=").unwrap_or_default(),
        merge: has("merge"),
    });
    let insert = Insert {
        query: text::query(&request),
        rows,
        columns: named(&words, "columns="),
        missing_default: has("default"),
        conflict,
        returning: returning(&words),
    };
    let (settings, actor) = (settings(), actor(role));
    let scope = Scope {
        schema,
        settings: &settings,
        actor: &actor,
    };
    match super::super::insert(&scope, insert, Preferences::default()) {
        Err(error) => fault(&error),
        Ok(plan) => {
            let rows = plan.rows.iter().map(|row| print::cells(&plan.table, row));
            let rows: Vec<String> = rows.collect();
            let conflict = plan.conflict.map_or(String::new(), |conflict| {
                let what = if conflict.merge { "merge" } else { "ignore" };
                format!(" on {:?} {what}", conflict.on)
            });
            format!(
                "({}){conflict} -> {}",
                rows.join(") ("),
                answer(&plan.answer)
            )
        }
    }
}

fn updated(schema: &Schema, role: &str, text: &str) -> String {
    let (request, mut rows, words) = words(text);
    let columns = named(&words, "columns=");
    let default = words.iter().any(|word| word == "default");
    let (settings, actor) = (settings(), actor(role));
    let scope = Scope {
        schema,
        settings: &settings,
        actor: &actor,
    };
    let planned = update(
        &scope,
        &text::query(&request),
        rows.remove(0),
        columns.as_deref(),
        default,
        returning(&words),
        Preferences::default(),
    );
    match planned {
        Err(error) => fault(&error),
        Ok(plan) => format!(
            "set ({}) where {} -> {}",
            print::cells(&plan.table, &plan.cells),
            print::conditions(&plan.conditions),
            answer(&plan.answer)
        ),
    }
}

fn deleted(schema: &Schema, role: &str, text: &str) -> String {
    let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    let (settings, actor) = (settings(), actor(role));
    let scope = Scope {
        schema,
        settings: &settings,
        actor: &actor,
    };
    let query = text::query(&words[0]);
    match delete(&scope, &query, returning(&words), Preferences::default()) {
        Err(error) => fault(&error),
        Ok(plan) => format!(
            "where {} -> {}",
            print::conditions(&plan.conditions),
            answer(&plan.answer)
        ),
    }
}

#[test]
fn inserts() {
    let schema = schema::sqlite();
    check(
        &[
            (
                r#"clients {"id":1,"name":"a"} count"#,
                r#"(id=1 name="a") -> count"#,
            ),
            (
                r#"clients [{"id":1,"name":"a"},{"name":"b","id":2}] keys"#,
                r#"(id=1 name="a") (id=2 name="b") -> written clients t0 [t0.id]"#,
            ),
            (r#"clients [] count"#, r#"() -> count"#),
            (r#"clients {} count"#, r#"() -> count"#),
            (r#"clients [{},{}] count"#, r#"() () -> count"#),
            (
                r#"clients [{"id":1},{"name":"b"}]"#,
                r#"PGRST102 | All object keys must match |  | "#,
            ),
            (
                r#"clients [{"id":1},{"id":2,"name":"b"}]"#,
                r#"PGRST102 | All object keys must match |  | "#,
            ),
            (
                r#"clients [{"id":1,"name":"a"},{"id":2}]"#,
                r#"PGRST102 | All object keys must match |  | "#,
            ),
            (
                r#"clients {"id":1,"nope":2}"#,
                r#"PGRST204 | Could not find the 'nope' column of 'clients' in the schema cache |  | "#,
            ),
            (
                r#"nope {"id":1}"#,
                r#"PGRST205 | Could not find the table 'public.nope' in the schema cache |  | "#,
            ),
            (
                r#"clients [{"id":1,"x":2},{"name":"b"}] columns=name,id count"#,
                r#"(name=null id=1) (name="b" id=null) -> count"#,
            ),
            (
                r#"clients [{"id":1},{"name":"b"}] columns=id,name,id default count"#,
                r#"(id=1 name=default) (id=default name="b") -> count"#,
            ),
            (
                r#"clients [] columns=nope count"#,
                r#"PGRST204 | Could not find the 'nope' column of 'clients' in the schema cache |  | "#,
            ),
            (
                r#"clients {"id":1} merge count"#,
                r#"(id=1) on [0] merge -> count"#,
            ),
            (
                r#"clients {"id":1} ignore on=name count"#,
                r#"(id=1) on [1] ignore -> count"#,
            ),
            (
                r#"clients {"id":1} merge on=nope count"#,
                r#"42703 | column "nope" does not exist |  | Perhaps you meant to reference the column "clients.name"."#,
            ),
            (r#"clients {} merge count"#, r#"() on [0] ignore -> count"#),
            (
                r#"clients {"id":1} merge on=abcd count"#,
                r#"42703 | column "abcd" does not exist |  | "#,
            ),
            (r#"keyless {"a":1} merge count"#, r#"(a=1) -> count"#),
            (
                r#"keyless {"a":1} keys"#,
                r#"(a=1) -> written keyless t0 []"#,
            ),
            (
                r#"users_tasks {"user_id":1,"task_id":2} merge keys"#,
                r#"(user_id=1 task_id=2) on [0, 1] merge -> written users_tasks t0 [t0.user_id, t0.task_id]"#,
            ),
            (
                r#"projects?select=id,clients(name)&id=eq.9 {"id":1}"#,
                r#"(id=1) -> written projects t0 [t0.id, clients:one{clients t1 [t1.name] where t0.client_id=t1.id}]"#,
            ),
            (
                r#"projects?select=id,clients!inner(name)&clients.name=eq.x {"id":1}"#,
                r#"(id=1) -> written projects t0 [t0.id, clients:one{clients t2 [t2.name] where t0.client_id=t2.id and t2.name Compare(Eq, None, "x")}] where some{clients t1 [] where t0.client_id=t1.id and t1.name Compare(Eq, None, "x")}"#,
            ),
            (
                r#"clients?select=id,projects(id)&projects.limit=3&limit=1&order=id.desc [{"id":1}]"#,
                r#"(id=1) -> written clients t0 [t0.id, projects:many{projects t1 [t1.id] where t0.id=t1.client_id limit 3}] order (t0.id desc first)"#,
            ),
            (
                r#"clients?select=nope {"id":1}"#,
                r#"42703 | column clients.nope does not exist |  | Perhaps you meant to reference the column "clients.name"."#,
            ),
            (
                r#"clients?select=nope {"id":1} count"#,
                r#"(id=1) -> count"#,
            ),
            (
                r#"clients?select=tasks(id) {"id":1} count"#,
                r#"PGRST200 | Could not find a relationship between 'clients' and 'tasks' in the schema cache | Searched for a foreign key relationship between 'clients' and 'tasks' in the schema 'public', but no matches were found. | "#,
            ),
            (
                r#"clients?x.order=id {"id":1} count"#,
                r#"PGRST108 | 'x' is not an embedded resource in this request |  | Verify that 'x' is included in the 'select' query parameter."#,
            ),
            (
                r#"totals {"n":1} count"#,
                r#"55000 | cannot insert into view "totals" |  | To enable inserting into the view, provide an INSTEAD OF INSERT trigger or an unconditional ON INSERT DO INSTEAD rule."#,
            ),
            (
                r#"projects_view {"id":1,"client":2} count"#,
                r#"(id=1 client=2) -> count"#,
            ),
            (
                r#"projects_view {"shout":"x"} count"#,
                r#"0A000 | cannot insert into column "shout" of view "projects_view" | View columns that are not columns of their base relation are not updatable. | "#,
            ),
        ],
        |text| inserted(&schema, "service_role", text),
    );
}

#[test]
fn updates() {
    let schema = schema::sqlite();
    check(
        &[
            (
                r#"clients?id=eq.1 {"name":"a"} count"#,
                r#"set (name="a") where t0.id Compare(Eq, None, "1") -> count"#,
            ),
            (
                r#"clients?id=eq.1&or=(name.is.null,name.eq.x)&limit=1 {"name":"a"} keys"#,
                r#"set (name="a") where t0.id Compare(Eq, None, "1") and (t0.name Is(Null) or t0.name Compare(Eq, None, "x")) -> written clients t0 [t0.id]"#,
            ),
            (r#"clients {} count"#, r#"set () where  -> count"#),
            (
                r#"clients {"name":"a","x":1} columns=id,name count"#,
                r#"set (id=null name="a") where  -> count"#,
            ),
            (
                r#"clients {"name":"a"} columns=id,name default count"#,
                r#"set (id=default name="a") where  -> count"#,
            ),
            (
                r#"clients {"nope":1} count"#,
                r#"PGRST204 | Could not find the 'nope' column of 'clients' in the schema cache |  | "#,
            ),
            (
                r#"clients?nope=eq.1 {"name":"a"} count"#,
                r#"42703 | column clients.nope does not exist |  | Perhaps you meant to reference the column "clients.name"."#,
            ),
            (
                r#"clients?select=id,projects(id)&id=eq.1&projects.id=eq.2 {"name":"a"}"#,
                r#"set (name="a") where t0.id Compare(Eq, None, "1") -> written clients t0 [t0.id, projects:many{projects t1 [t1.id] where t0.id=t1.client_id and t1.id Compare(Eq, None, "2")}]"#,
            ),
            (
                r#"clients?select=id,projects(id)&projects=is.null {"name":"a"}"#,
                r#"42703 | column clients.projects does not exist |  | "#,
            ),
            (
                r#"totals {"n":1} count"#,
                r#"55000 | cannot update view "totals" |  | To enable updating the view, provide an INSTEAD OF UPDATE trigger or an unconditional ON UPDATE DO INSTEAD rule."#,
            ),
            (
                r#"projects_view?id=eq.1 {"shout":"x"} count"#,
                r#"0A000 | cannot update column "shout" of view "projects_view" | View columns that are not columns of their base relation are not updatable. | "#,
            ),
            (
                r#"projects_view?id=eq.1 {"client":2} count"#,
                r#"set (client=2) where t0.id Compare(Eq, None, "1") -> count"#,
            ),
        ],
        |text| updated(&schema, "service_role", text),
    );
}

#[test]
fn deletes() {
    let schema = schema::sqlite();
    check(
        &[
            (
                r#"clients?id=eq.1 count"#,
                r#"where t0.id Compare(Eq, None, "1") -> count"#,
            ),
            (
                r#"clients?select=id,projects(id)&id=eq.1"#,
                r#"where t0.id Compare(Eq, None, "1") -> written clients t0 [t0.id, projects:many{projects t1 [t1.id] where t0.id=t1.client_id}]"#,
            ),
            (
                r#"clients?not.and=(id.eq.1,name.eq.x) keys"#,
                r#"where not (t0.id Compare(Eq, None, "1") and t0.name Compare(Eq, None, "x")) -> written clients t0 [t0.id]"#,
            ),
            (
                r#"clients?nope=eq.1 count"#,
                r#"42703 | column clients.nope does not exist |  | Perhaps you meant to reference the column "clients.name"."#,
            ),
            (
                r#"totals count"#,
                r#"55000 | cannot delete from view "totals" |  | To enable deleting from the view, provide an INSTEAD OF DELETE trigger or an unconditional ON DELETE DO INSTEAD rule."#,
            ),
            (
                r#"nope count"#,
                r#"PGRST205 | Could not find the table 'public.nope' in the schema cache |  | "#,
            ),
        ],
        |text| deleted(&schema, "service_role", text),
    );
}

#[test]
fn rights_to_write() {
    let schema = schema::sqlite();
    check(
        &[
            (r#"limited {"a":"x"} count"#, r#"(a="x") -> count"#),
            (
                r#"limited {"b":"x"} count"#,
                r#"42501 | permission denied for table limited |  | "#,
            ),
            (r#"limited {} count"#, r#"() -> count"#),
            (
                r#"limited?select=a {"a":"x"}"#,
                r#"(a="x") -> written limited t0 [t0.a]"#,
            ),
            (
                r#"limited {"a":"x"}"#,
                r#"42501 | permission denied for table limited |  | "#,
            ),
            (
                r#"limited {"a":"x"} keys"#,
                r#"(a="x") -> written limited t0 [t0.id]"#,
            ),
            (
                r#"limited {"a":"x"} merge count"#,
                r#"(a="x") on [0] merge -> count"#,
            ),
            (
                r#"limited {"a":"x"} merge on=b count"#,
                r#"42501 | permission denied for table limited |  | "#,
            ),
            (
                r#"clients {"name":"x"} count"#,
                r#"42501 | permission denied for table clients |  | "#,
            ),
        ],
        |text| inserted(&schema, "anon", text),
    );
    check(
        &[
            (
                r#"limited?id=eq.1 {"a":"x"} count"#,
                r#"set (a="x") where t0.id Compare(Eq, None, "1") -> count"#,
            ),
            (
                r#"limited?id=eq.1 {"b":"x"} count"#,
                r#"42501 | permission denied for table limited |  | "#,
            ),
            (
                r#"limited?b=eq.1 {"a":"x"} count"#,
                r#"42501 | permission denied for table limited |  | "#,
            ),
            (
                r#"limited?id=eq.1&select=b {"a":"x"}"#,
                r#"42501 | permission denied for table limited |  | "#,
            ),
        ],
        |text| updated(&schema, "anon", text),
    );
    check(
        &[
            (
                r#"limited?id=eq.1 count"#,
                r#"42501 | permission denied for table limited |  | "#,
            ),
            (
                r#"clients?id=eq.1 count"#,
                r#"42501 | permission denied for table clients |  | "#,
            ),
        ],
        |text| deleted(&schema, "anon", text),
    );
    let open = deleted(&schema, "authenticated", "clients?id=eq.1 count");
    assert!(open.ends_with("-> count"), "{open}");
}

#[test]
fn may_write_asks_for_any_right() {
    let (schema, settings) = (schema::sqlite(), settings());
    let asked = |role: &str, table: &str| {
        let actor = actor(role);
        let scope = Scope {
            schema: &schema,
            settings: &settings,
            actor: &actor,
        };
        match may_write(&scope, &text::query(table)) {
            Ok(()) => "yes".to_owned(),
            Err(error) => fault(&error),
        }
    };
    let denied = "42501 | permission denied for table clients |  | ";
    assert_eq!(asked("anon", "clients"), denied);
    assert_eq!(asked("anon", "limited"), "yes");
    assert_eq!(asked("authenticated", "clients"), "yes");
    assert_eq!(asked("service_role", "secrets"), "yes");
    assert!(asked("anon", "nope").starts_with("PGRST205"));
}

#[test]
fn postgres_looks_after_its_own_views_and_rights() {
    let schema = schema::postgres();
    assert_eq!(schema.engine, Engine::Postgres);
    let open = inserted(&schema, "anon", r#"totals {"n":1} count"#);
    assert_eq!(open, "(n=1) -> count");
}

#[test]
fn a_replacement_is_checked_like_a_row() {
    let schema = schema::sqlite();
    let table = schema.table("clients").unwrap();
    let cells = replacement(table, r#"{"name":"x","id":2}"#).unwrap();
    assert_eq!(print::cells(table, &cells), r#"name="x" id=2"#);
    for (row, code) in [(r#"{"nope":1}"#, "PGRST204"), ("[", "PGRST102")] {
        assert_eq!(replacement(table, row).unwrap_err().code(), Some(code));
    }
}

#[test]
fn many_rows_take_the_order_of_the_first() {
    let schema = schema::sqlite();
    let mut body = String::from(r#"[{"id":0,"name":"a"}"#);
    for id in 1..BODY_ROWS_MAX {
        body += &format!(r#",{{"name":"b","id":{id}}}"#);
    }
    let rows = crate::data::query::body::json(format!("{body}]").as_bytes()).unwrap();
    let insert = Insert {
        query: text::query("clients"),
        rows,
        columns: None,
        missing_default: false,
        conflict: None,
        returning: Returning::Count,
    };
    let (settings, actor) = (settings(), actor("service_role"));
    let scope = Scope {
        schema: &schema,
        settings: &settings,
        actor: &actor,
    };
    let plan = super::super::insert(&scope, insert, Preferences::default()).unwrap();
    assert_eq!(plan.rows.len(), BODY_ROWS_MAX);
    let columns = |row: &Cells| row.iter().map(|cell| cell.0).collect::<Vec<_>>();
    assert!(plan.rows.iter().all(|row| columns(row) == [0, 1]));
}
