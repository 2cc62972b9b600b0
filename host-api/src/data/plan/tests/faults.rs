//! Every refusal of a read, in full.

use proptest::prelude::*;

use super::super::super::query::{Filter, Query, Relation};
use super::super::super::{FILTERS_MAX, LIST_MAX};
use super::*;

#[test]
fn reads_refused_on_sqlite() {
    let (schema, settings) = (schema::sqlite(), settings());
    check(
        &[
            (
                r#"nothing"#,
                r#"PGRST205 | Could not find the table 'public.nothing' in the schema cache |  | "#,
            ),
            (
                r#"client"#,
                r#"PGRST205 | Could not find the table 'public.client' in the schema cache |  | Perhaps you meant the table 'public.clients'"#,
            ),
            (
                r#"other/clients"#,
                r#"PGRST106 | Invalid schema: other |  | Only the following schemas are exposed: public"#,
            ),
            (
                r#"public/clients"#,
                r#"clients t0 [t0.id, t0.name] limit 1000"#,
            ),
            (
                r#"clients?select=nope"#,
                r#"42703 | column clients.nope does not exist |  | Perhaps you meant to reference the column "clients.name"."#,
            ),
            (
                r#"clients?select=nam"#,
                r#"42703 | column clients.nam does not exist |  | Perhaps you meant to reference the column "clients.name"."#,
            ),
            (
                r#"projects?select=nme"#,
                r#"42703 | column projects.nme does not exist |  | Perhaps you meant to reference the column "projects.name"."#,
            ),
            (
                r#"messages?select=id,bidy"#,
                r#"42703 | column messages.bidy does not exist |  | Perhaps you meant to reference the column "messages.body"."#,
            ),
            (
                r#"two?select=abcx"#,
                r#"42703 | column two.abcx does not exist |  | Perhaps you meant to reference the column "two.abcd" or the column "two.abce"."#,
            ),
            (
                r#"three?select=abcx"#,
                r#"42703 | column three.abcx does not exist |  | "#,
            ),
            (
                r#"clients?nope=eq.1"#,
                r#"42703 | column clients.nope does not exist |  | Perhaps you meant to reference the column "clients.name"."#,
            ),
            (
                r#"clients?order=nope"#,
                r#"42703 | column clients.nope does not exist |  | Perhaps you meant to reference the column "clients.name"."#,
            ),
            (
                r#"projects?select=clients(nam)"#,
                r#"42703 | column clients_1.nam does not exist |  | Perhaps you meant to reference the column "clients_1.name"."#,
            ),
            (
                r#"tasks?select=users(nam)"#,
                r#"42703 | column users.nam does not exist |  | Perhaps you meant to reference the column "users.name"."#,
            ),
            (
                r#"tasks?select=projects(clients(nope))"#,
                r#"42703 | column clients_2.nope does not exist |  | Perhaps you meant to reference the column "clients_2.name"."#,
            ),
            (
                r#"clients?projects.id=eq.1"#,
                r#"PGRST108 | 'projects' is not an embedded resource in this request |  | Verify that 'projects' is included in the 'select' query parameter."#,
            ),
            (
                r#"clients?select=projects(id)&projects.tasks.order=id"#,
                r#"PGRST108 | 'tasks' is not an embedded resource in this request |  | Verify that 'tasks' is included in the 'select' query parameter."#,
            ),
            (
                r#"clients?tasks.limit=1"#,
                r#"PGRST108 | 'tasks' is not an embedded resource in this request |  | Verify that 'tasks' is included in the 'select' query parameter."#,
            ),
            (
                r#"clients?tasks.offset=1"#,
                r#"PGRST108 | 'tasks' is not an embedded resource in this request |  | Verify that 'tasks' is included in the 'select' query parameter."#,
            ),
            (
                r#"clients?select=p:projects(id)&q.or=(id.eq.1,id.eq.2)"#,
                r#"PGRST108 | 'q' is not an embedded resource in this request |  | Verify that 'q' is included in the 'select' query parameter."#,
            ),
            (
                r#"clients?order=projects(id)"#,
                r#"PGRST108 | 'projects' is not an embedded resource in this request |  | Verify that 'projects' is included in the 'select' query parameter."#,
            ),
            (
                r#"clients?select=projects(id)&order=projects(id)"#,
                r#"PGRST118 | A related order on 'projects' is not possible | 'clients' and 'projects' do not form a many-to-one or one-to-one relationship | "#,
            ),
            (
                r#"tasks?select=u:users(id)&order=u(id)"#,
                r#"PGRST118 | A related order on 'u' is not possible | 'tasks' and 'u' do not form a many-to-one or one-to-one relationship | "#,
            ),
            (
                r#"clients?select=projects(id)&projects=eq.1"#,
                r#"PGRST120 | Bad operator on the 'projects' embedded resource | Only is null or not is null filters are allowed on embedded resources | "#,
            ),
            (
                r#"clients?select=p:projects(id)&or=(id.eq.1,p.like.x)"#,
                r#"PGRST120 | Bad operator on the 'p' embedded resource | Only is null or not is null filters are allowed on embedded resources | "#,
            ),
            (
                r#"clients?select=projects(id)&projects=is.true"#,
                r#"PGRST120 | Bad operator on the 'projects' embedded resource | Only is null or not is null filters are allowed on embedded resources | "#,
            ),
            (
                r#"clients?select=tasks(id)"#,
                r#"PGRST200 | Could not find a relationship between 'clients' and 'tasks' in the schema cache | Searched for a foreign key relationship between 'clients' and 'tasks' in the schema 'public', but no matches were found. | "#,
            ),
            (
                r#"clients?select=project(id)"#,
                r#"PGRST200 | Could not find a relationship between 'clients' and 'project' in the schema cache | Searched for a foreign key relationship between 'clients' and 'project' in the schema 'public', but no matches were found. | Perhaps you meant 'projects' instead of 'project'."#,
            ),
            (
                r#"clients?select=projects!nope(id)"#,
                r#"PGRST200 | Could not find a relationship between 'clients' and 'projects' in the schema cache | Searched for a foreign key relationship between 'clients' and 'projects' using the hint 'nope' in the schema 'public', but no matches were found. | "#,
            ),
            (
                r#"secrets?select=clients(id)"#,
                r#"PGRST200 | Could not find a relationship between 'secrets' and 'clients' in the schema cache | Searched for a foreign key relationship between 'secrets' and 'clients' in the schema 'public', but no matches were found. | Perhaps you meant 'projects' instead of 'secrets'."#,
            ),
            (
                r#"projects?select=clients(tasks(id))"#,
                r#"PGRST200 | Could not find a relationship between 'clients' and 'tasks' in the schema cache | Searched for a foreign key relationship between 'clients' and 'tasks' in the schema 'public', but no matches were found. | "#,
            ),
            (
                r#"messages?select=users(id)"#,
                r#"PGRST201 | Could not embed because more than one relationship was found for 'messages' and 'users' | [{"cardinality":"many-to-one","embedding":"messages with users","relationship":"messages_recipient_fkey using messages(recipient) and users(id)"},{"cardinality":"many-to-one","embedding":"messages with users","relationship":"messages_sender_fkey using messages(sender) and users(id)"}] | Try changing 'users' to one of the following: 'users!messages_recipient_fkey', 'users!messages_sender_fkey'. Find the desired relationship in the 'details' key."#,
            ),
            (
                r#"users?select=messages(id)"#,
                r#"PGRST201 | Could not embed because more than one relationship was found for 'users' and 'messages' | [{"cardinality":"one-to-many","embedding":"users with messages","relationship":"messages_recipient_fkey using users(id) and messages(recipient)"},{"cardinality":"one-to-many","embedding":"users with messages","relationship":"messages_sender_fkey using users(id) and messages(sender)"}] | Try changing 'messages' to one of the following: 'messages!messages_recipient_fkey', 'messages!messages_sender_fkey'. Find the desired relationship in the 'details' key."#,
            ),
            (
                r#"orgs?select=orgs(id)"#,
                r#"PGRST201 | Could not embed because more than one relationship was found for 'orgs' and 'orgs' | [{"cardinality":"one-to-many","embedding":"orgs with orgs","relationship":"orgs_auditor_fkey using orgs(id) and orgs(auditor)"},{"cardinality":"one-to-many","embedding":"orgs with orgs","relationship":"orgs_referee_fkey using orgs(id) and orgs(referee)"}] | Try changing 'orgs' to one of the following: 'orgs!orgs_auditor_fkey', 'orgs!orgs_referee_fkey'. Find the desired relationship in the 'details' key."#,
            ),
            (
                r#"users?select=name::citext"#,
                r#"42704 | type "citext" does not exist |  | "#,
            ),
            (
                r#"users?select=id.sum()::money"#,
                r#"42704 | type "money" does not exist |  | "#,
            ),
            (
                r#"clients?select=...projects(id.sum())"#,
                r#"PGRST127 | Feature not implemented | Aggregates are not implemented for one-to-many or many-to-many spreads. | "#,
            ),
            (
                r#"clients?select=...projects(...invoices(total.sum()))"#,
                r#"PGRST127 | Feature not implemented | Aggregates are not implemented for one-to-many or many-to-many spreads. | "#,
            ),
            (
                r#"projects?select=client_id,count()&order=name"#,
                r#"42803 | column "projects.name" must appear in the GROUP BY clause or be used in an aggregate function |  | "#,
            ),
            (
                r#"keyless?a=sl.[1,2)"#,
                r#"PGRST127 | Feature not implemented | Ranges (operator `sl`) are not available: this app's database is SQLite, and only PostgreSQL has them. | "#,
            ),
            (
                r#"keyless?a=sr.1"#,
                r#"PGRST127 | Feature not implemented | Ranges (operator `sr`) are not available: this app's database is SQLite, and only PostgreSQL has them. | "#,
            ),
            (
                r#"keyless?a=nxr.1"#,
                r#"PGRST127 | Feature not implemented | Ranges (operator `nxr`) are not available: this app's database is SQLite, and only PostgreSQL has them. | "#,
            ),
            (
                r#"keyless?a=nxl.1"#,
                r#"PGRST127 | Feature not implemented | Ranges (operator `nxl`) are not available: this app's database is SQLite, and only PostgreSQL has them. | "#,
            ),
            (
                r#"keyless?a=not.adj.1"#,
                r#"PGRST127 | Feature not implemented | Ranges (operator `adj`) are not available: this app's database is SQLite, and only PostgreSQL has them. | "#,
            ),
            (
                r#"keyless?span=eq.1"#,
                r#"PGRST127 | Feature not implemented | Filters on type `int4range` are not available: this app's database is SQLite, and only PostgreSQL has them. | "#,
            ),
            (
                r#"users?name=fts(french).chat"#,
                r#"PGRST127 | Feature not implemented | Text search configurations other than simple and english (`french`) are not available: this app's database is SQLite, and only PostgreSQL has them. | "#,
            ),
            (
                r#"users?select=initials"#,
                r#"42703 | column users.initials does not exist |  | "#,
            ),
        ],
        |request| read_as(&schema, &settings, "service_role", request),
    );
}

#[test]
fn aggregates_are_off_by_default() {
    let (schema, settings) = (schema::sqlite(), Settings::default());
    check(
        &[
            (
                r#"clients?select=count()"#,
                r#"PGRST123 | Use of aggregate functions is not allowed |  | "#,
            ),
            (
                r#"clients?select=id.sum()"#,
                r#"PGRST123 | Use of aggregate functions is not allowed |  | "#,
            ),
            (
                r#"clients?select=projects(id.max())"#,
                r#"PGRST123 | Use of aggregate functions is not allowed |  | "#,
            ),
            (
                r#"clients?select=count"#,
                r#"clients t0 [count:count(*)] group () limit 1000"#,
            ),
        ],
        |request| read_as(&schema, &settings, "service_role", request),
    );
}

#[test]
fn rights_on_sqlite() {
    let (schema, settings) = (schema::sqlite(), settings());
    check(
        &[
            (r#"clients"#, r#"clients t0 [t0.id, t0.name] limit 1000"#),
            (
                r#"secrets"#,
                r#"42501 | permission denied for table secrets |  | "#,
            ),
            (
                r#"secrets?select="#,
                r#"42501 | permission denied for table secrets |  | "#,
            ),
            (
                r#"limited"#,
                r#"42501 | permission denied for table limited |  | "#,
            ),
            (
                r#"limited?select=id,a"#,
                r#"limited t0 [t0.id, t0.a] limit 1000"#,
            ),
            (
                r#"limited?select=count()"#,
                r#"limited t0 [count:count(*)] group () limit 1000"#,
            ),
            (
                r#"limited?select=id&b=eq.1"#,
                r#"42501 | permission denied for table limited |  | "#,
            ),
            (
                r#"limited?select=id&order=b"#,
                r#"42501 | permission denied for table limited |  | "#,
            ),
            (
                r#"limited?select=b.max()"#,
                r#"42501 | permission denied for table limited |  | "#,
            ),
            (
                r#"limited?select=id,clients(name)"#,
                r#"42501 | permission denied for table limited |  | "#,
            ),
            (
                r#"clients?select=id,limited(id)"#,
                r#"42501 | permission denied for table limited |  | "#,
            ),
            (
                r#"clients?select=id,limited!inner()"#,
                r#"42501 | permission denied for table limited |  | "#,
            ),
            (
                r#"leak"#,
                r#"42501 | permission denied for table secrets |  | "#,
            ),
            (
                r#"projects_view?select=id"#,
                r#"projects_view t0 [t0.id] limit 1000"#,
            ),
            (
                r#"secret"#,
                r#"PGRST205 | Could not find the table 'public.secret' in the schema cache |  | "#,
            ),
        ],
        |request| read_as(&schema, &settings, "authenticated", request),
    );
    check(
        &[
            (
                r#"clients"#,
                r#"42501 | permission denied for table clients |  | "#,
            ),
            (r#"limited?select=a"#, r#"limited t0 [t0.a] limit 1000"#),
            (
                r#"client"#,
                r#"PGRST205 | Could not find the table 'public.client' in the schema cache |  | "#,
            ),
            (
                r#"limites"#,
                r#"PGRST205 | Could not find the table 'public.limites' in the schema cache |  | Perhaps you meant the table 'public.limited'"#,
            ),
            (
                r#"projects?select=clints(id)"#,
                r#"PGRST200 | Could not find a relationship between 'projects' and 'clints' in the schema cache | Searched for a foreign key relationship between 'projects' and 'clints' in the schema 'public', but no matches were found. | "#,
            ),
            (
                r#"tasks?select=user(id)"#,
                r#"PGRST200 | Could not find a relationship between 'tasks' and 'user' in the schema cache | Searched for a foreign key relationship between 'tasks' and 'user' in the schema 'public', but no matches were found. | "#,
            ),
        ],
        |request| read_as(&schema, &settings, "anon", request),
    );
    let schema = schema::postgres();
    let open = read_as(&schema, &settings, "anon", "secrets?select=id");
    assert_eq!(open, "secrets t0 [t0.id] limit 1000");
}

#[test]
fn the_details_of_an_ambiguity_are_json() {
    let schema = schema::sqlite();
    let (settings, actor) = (settings(), actor("service_role"));
    let scope = Scope {
        schema: &schema,
        settings: &settings,
        actor: &actor,
    };
    let details = |request| {
        let query = text::query(request);
        match read(&scope, &query, Preferences::default()) {
            Err(DataError::Sql(fault)) => fault.json_details().map(|json| json.get().to_owned()),
            other => panic!("{other:?}"),
        }
    };
    assert!(
        details("messages?select=users(id)")
            .unwrap()
            .starts_with('[')
    );
    assert_eq!(details("clients?select=tasks(id)"), None);
}

#[test]
fn requests_are_bounded() {
    let (schema, settings, actor) = (schema::sqlite(), settings(), actor("service_role"));
    let scope = Scope {
        schema: &schema,
        settings: &settings,
        actor: &actor,
    };
    let planned = |query: &Query| read(&scope, query, Preferences::default());
    let refused = |query: &Query, text: &str| match planned(query) {
        Err(DataError::TooLarge(found)) => assert_eq!(found, text),
        other => panic!("{other:?}"),
    };
    // Filters, wherever they stand.
    let mut query = text::query("clients?or=(id.eq.1,id.eq.2)");
    let one = text::query("clients?id=eq.1").filters;
    let more = |count| std::iter::repeat_n(one[0].clone(), count);
    query.filters.extend(more(FILTERS_MAX - 2));
    assert!(planned(&query).is_ok());
    query.filters.extend(more(1));
    refused(&query, "a request has at most 100 filters");
    // Members of a list.
    let list = |count: usize| Query {
        filters: vec![Filter {
            path: Vec::new(),
            condition: super::super::super::query::Condition::Test {
                field: super::super::super::query::Field {
                    name: "id".to_owned(),
                    path: Vec::new(),
                },
                not: false,
                test: Test::In(vec!["1".to_owned(); count]),
            },
        }],
        ..text::query("clients")
    };
    assert!(planned(&list(LIST_MAX)).is_ok());
    refused(
        &list(LIST_MAX + 1),
        "a list has 10001 members; 10000 are the most",
    );
    // Embeds, beside each other and spread out.
    let embeds = |count: usize, spread: bool, select: &str| {
        let relation = Relation {
            name: "clients".to_owned(),
            alias: None,
            hint: None,
            inner: false,
            spread,
            select: text::query(&format!("x?select={select}")).select.unwrap(),
        };
        let item = super::super::super::query::Item::Relation(relation);
        Query {
            select: Some(vec![item; count]),
            ..text::query("projects")
        }
    };
    assert!(planned(&embeds(EMBEDS_MAX, false, "id")).is_ok());
    refused(
        &embeds(EMBEDS_MAX + 1, false, "id"),
        "a request embeds at most 100 relations",
    );
    let wide = vec!["id"; 199].join(",");
    assert!(planned(&embeds(10, true, &wide)).is_ok());
    let wider = vec!["id"; 200].join(",");
    refused(
        &embeds(10, true, &wider),
        "a request reads at most 2000 embedded relations and columns of spread ones",
    );
}

#[test]
fn what_a_spread_relation_repeats_is_bounded() {
    let (schema, actor) = (schema::sqlite(), actor("anon"));
    let settings = settings();
    let scope = Scope {
        schema: &schema,
        settings: &settings,
        actor: &actor,
    };
    let outcome = |columns: usize, members: usize, rest: &str| {
        let (columns, list) = (vec!["id"; columns].join(","), vec!["1"; members].join(","));
        let request = format!("projects?select=...clients({columns})&clients.id=in.({list}){rest}");
        match read(&scope, &text::query(&request), Preferences::default()) {
            Err(DataError::TooLarge(text)) => text,
            Err(error) => fault(&error),
            Ok(_) => "fine".to_owned(),
        }
    };
    let refused = "filters and orders of embedded relations have more than 100000 members, those of a spread one counted for each of its columns; spread fewer columns, or embed the relation";
    // Before anything of it is made, whoever asks.
    assert_eq!(outcome(1_500, 3_000, ""), refused);
    assert_eq!(outcome(100, 1_000, ""), refused);
    let denied = "42501 | permission denied for table clients |  | ";
    assert_eq!(outcome(100, 900, ""), denied);
    // A long text is as much as many short ones.
    let long = format!("&clients.name=eq.{}", "a".repeat(100_000));
    assert_eq!(outcome(100, 1, &long), refused);
    assert_eq!(outcome(10, 1, &long), denied);
    // Each order by it is a subquery with its filters.
    let order = vec!["clients(id)"; 200].join(",");
    let ordered = format!("&order={order}");
    assert_eq!(outcome(1, 1_000, &ordered), refused);
    assert_eq!(outcome(1, 10, &ordered), denied);
}

fn item() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "id",
        "name",
        "clients",
        "projects",
        "tasks",
        "users",
        "nope",
        "client_id",
        "data",
    ]);
    let leaf = (name.clone(), 0..8u8).prop_map(|(name, kind)| match kind {
        0 => "*".to_owned(),
        1 => "count()".to_owned(),
        2 => format!("{name}.sum()"),
        3 => format!("{name}->a->>1"),
        4 => format!("x:{name}::text"),
        5 => format!("{name}::nope"),
        _ => name.to_owned(),
    });
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let members = prop::collection::vec(inner, 0..4);
        let mark = prop::sample::select(vec!["", "!inner", "!client_id", "!users_tasks"]);
        (name.clone(), mark, any::<bool>(), members).prop_map(|(name, mark, spread, members)| {
            let dots = if spread { "..." } else { "" };
            format!("{dots}{name}{mark}({})", members.join(","))
        })
    })
}

proptest! {
    #[test]
    fn no_request_makes_it_panic(
        table in prop::sample::select(vec!["clients", "projects", "tasks", "users", "family", "limited", "x"]),
        items in prop::collection::vec(item(), 0..4),
        filter in prop::sample::select(vec!["", "&projects.id=eq.1", "&clients=is.null", "&order=clients(id)", "&name=eq.x&limit=1"]),
        postgres in any::<bool>(),
        role in prop::sample::select(vec!["anon", "authenticated", "service_role"]),
    ) {
        let schema = if postgres { schema::postgres() } else { schema::sqlite() };
        let request = format!("{table}?select={}{filter}", items.join(","));
        let _ = read_as(&schema, &settings(), role, &request);
    }
}
