//! Views.

use std::fmt::Write as _;

use super::access::after;
use super::*;
use crate::data::Kind;

/// Queries of a view, and what is known of it: columns with their types and what they show, the key,
/// and `w` when it can be written through. The types and the `w` are PostgreSQL's own words.
pub(super) const VIEWS: &[(&str, &str)] = &[
    (
        "select id, body from note",
        "id bigint <note.id, body text <note.body, key [0] w",
    ),
    (
        "select * from note",
        "id bigint <note.id, owner uuid <note.owner, team integer <note.team, body text <note.body, price numeric(8,2) <note.price, public boolean <note.public, m public.mood <note.m, tags text[] <note.tags, readers uuid[] <note.readers, data jsonb <note.data, at timestamp with time zone <note.at, day date <note.day, key [0] w",
    ),
    ("select body from note", "body text <note.body, w"),
    (
        "select n.* from note n where n.public",
        "id bigint <note.id, owner uuid <note.owner, team integer <note.team, body text <note.body, price numeric(8,2) <note.price, public boolean <note.public, m public.mood <note.m, tags text[] <note.tags, readers uuid[] <note.readers, data jsonb <note.data, at timestamp with time zone <note.at, day date <note.day, key [0] w",
    ),
    (
        "select n.id as number, upper(n.body) as loud, n.price from note n",
        "number bigint <note.id, loud text, price numeric(8,2) <note.price, key [0] w",
    ),
    (
        "select 1 as one, 'a' as letter, null as nothing, 2.5 as number, true as yes",
        "one integer, letter text, nothing text, number numeric, yes boolean",
    ),
    (
        "select team, count(*), count(distinct body) as bodies, sum(price) as total, avg(price), min(at) as first, max(price) as most from note group by team",
        "team integer <note.team, count bigint, bodies bigint, total numeric, avg numeric, first timestamp with time zone, most numeric",
    ),
    (
        "select sum(id) as a, sum(team) as b, avg(team) as c, bool_or(public) as d, count(*) filter (where public) as e from note",
        "a numeric, b bigint, c numeric, d boolean, e bigint",
    ),
    (
        "select team, count(*) from note group by 1 having count(*) > 1 order by 2 desc, team",
        "team integer <note.team, count bigint",
    ),
    (
        "select lower(body) as l, count(*) from note group by l",
        "l text, count bigint",
    ),
    (
        "select n.id, n.body, t.name as team_name from note n join team t on t.id = n.team",
        "id bigint <note.id, body text <note.body, team_name text <team.name, key [0]",
    ),
    (
        "select n.id, t.id as team_id from note n left join team t on t.id = n.team",
        "id bigint <note.id, team_id integer <team.id, key [0, 1]",
    ),
    (
        "select * from member join team on team.id = member.team and member.role = 'x'",
        "team integer <member.team, who uuid <member.who, role text <member.role, id integer <team.id, name text <team.name, owner uuid <team.owner, key [0, 1, 3]",
    ),
    (
        "select team, who, name from member join (select id as team, name from team) t using (team)",
        "team integer <member.team, who uuid <member.who, name text <team.name, key [0, 1]",
    ),
    (
        "select * from member join (select id as team, name from team) t using (team)",
        "team integer <member.team, who uuid <member.who, role text <member.role, name text <team.name, key [0, 1]",
    ),
    (
        "select t.name, x.amount from team t left join (select team, count(*) as amount from note group by team) as x (team, amount) on x.team = t.id",
        "name text <team.name, amount bigint",
    ),
    (
        "select id, name from team union select team, role from member",
        "id integer, name text",
    ),
    (
        "select id from team union all select id from note order by id limit 5",
        "id bigint",
    ),
    (
        "select name from team except select body from note",
        "name text",
    ),
    (
        "select distinct price from note order by price",
        "price numeric(8,2) <note.price",
    ),
    (
        "select id, body from note order by m desc nulls last, at limit 10 offset 2",
        "id bigint <note.id, body text <note.body, key [0]",
    ),
    (
        "with big as (select id, body from note where price > 10) select id, body from big",
        "id bigint <note.id, body text <note.body",
    ),
    (
        "select id, (select t.name from team t where t.id = note.team) as team_name from note",
        "id bigint <note.id, team_name text, key [0] w",
    ),
    (
        "select id, case when public then 'open' else 'closed' end as state, coalesce(body, '') as body from note",
        "id bigint <note.id, state text, body text, key [0] w",
    ),
    (
        "select id, data ->> 'a' as a, data -> 'b' as b, (data ->> 'n')::int as n from note",
        "id bigint <note.id, a text, b jsonb, n integer, key [0] w",
    ),
    (
        "select id from note where owner = auth.uid()",
        "id bigint <note.id, key [0] w",
    ),
    (
        "select id, auth.uid() as me, auth.role() as role from note",
        "id bigint <note.id, me uuid, role text, key [0] w",
    ),
    (
        "select m, tags, readers, day, data from note",
        "m public.mood <note.m, tags text[] <note.tags, readers uuid[] <note.readers, day date <note.day, data jsonb <note.data, w",
    ),
    (
        "select id from note where team in (select team from member where who = auth.uid())",
        "id bigint <note.id, key [0] w",
    ),
    (
        "select id::text as id, price::int as price, at::date as day from note",
        "id text, price integer, day date",
    ),
    (
        "select team, who from member",
        "team integer <member.team, who uuid <member.who, key [0, 1] w",
    ),
    ("select count(*) from note", "count bigint"),
    (
        "select a.id as a, b.id as b from note a cross join team b",
        "a bigint <note.id, b integer <team.id, key [0, 1]",
    ),
    (
        "select a.id as a, b.id as b from note a, team b where a.team = b.id",
        "a bigint <note.id, b integer <team.id, key [0, 1]",
    ),
];

/// Statements; why they are refused, or nothing.
pub(super) const REFUSED: &[(&str, &str)] = &[
    (
        "create view v as select * from nope",
        "!relation \"nope\" does not exist",
    ),
    (
        "create view note as select 1 as a",
        "!relation \"note\" already exists",
    ),
    (
        "create or replace view note as select 1 as a",
        "!\"note\" is not a view",
    ),
    (
        "create view v as select id, id from note",
        "!column \"id\" specified more than once",
    ),
    (
        "create view v (a, b) as select 1",
        "!CREATE VIEW specifies more column names than columns",
    ),
    (
        "create view v as select body, count(*) from note",
        "!column \"note.body\" must appear in the GROUP BY clause or be used in an aggregate function",
    ),
    ("create view v as select body from note group by id", ""),
    (
        "create view v as select n.body, t.name from note n join team t on t.id = n.team group by n.id",
        "!column \"t.name\" must appear in the GROUP BY clause or be used in an aggregate function",
    ),
    (
        "create view v as select lower(body) as l from note group by lower(body)",
        "",
    ),
    (
        "create view v as select body as l from note group by lower(body)",
        "!column \"note.body\" must appear in the GROUP BY clause or be used in an aggregate function",
    ),
    (
        "create view v as select team from note having team > 1",
        "!column \"note.team\" must appear in the GROUP BY clause or be used in an aggregate function",
    ),
    (
        "create view v as select sum(count(*)) from note",
        "!aggregate function calls cannot be nested",
    ),
    (
        "create view v as select 1 as a from note where max(id) > 1",
        "!aggregate functions are not allowed in WHERE",
    ),
    (
        "create view v as select id from note union select name from team",
        "!UNION types bigint and text cannot be matched",
    ),
    (
        "create view v as select id from note union select id, name from team",
        "!each UNION query must have the same number of columns",
    ),
    (
        "create view v as select distinct body from note order by id",
        "!for SELECT DISTINCT, ORDER BY expressions must appear in select list",
    ),
    (
        "create view v as select body from note order by 2",
        "!ORDER BY position 2 is not in select list",
    ),
    (
        "create view v as select body from note group by 2",
        "!GROUP BY position 2 is not in select list",
    ),
    (
        "create view v as select 1 as a; create view v as select 1 as a",
        "!relation \"v\" already exists",
    ),
    (
        "create view v as select 1 as a; create table v (a int)",
        "!relation \"v\" already exists",
    ),
    (
        "create view v as select 1 as a; create or replace view v as select 2 as a, 3 as b",
        "",
    ),
    (
        "create view v as select 1 as a, 2 as b; create or replace view v as select 2 as a",
        "!cannot drop columns from view",
    ),
    (
        "create view v as select 1 as a; create or replace view v as select 2 as b",
        "!cannot change name of view column \"a\" to \"b\"",
    ),
    (
        "create view v as select 1 as a; create or replace view v as select 'x' as a",
        "!cannot change data type of view column \"a\" from integer to text",
    ),
    (
        "create view v with (security_invoker = on) as select 1 as a",
        "",
    ),
    (
        "create view v with (security_invoker = maybe) as select 1 as a",
        "!invalid value for boolean option: maybe",
    ),
    ("create view v as select 1 as a; drop view v", ""),
    ("drop view v", "!view \"v\" does not exist"),
    ("drop view if exists v", ""),
    ("drop view note", "!\"note\" is not a view"),
    (
        "create view v as select 1 as a; drop table v",
        "!\"v\" is not a table",
    ),
    (
        "create view v as select id from note; create view w as select id from v; drop view v",
        "!cannot drop view v because other objects depend on it: view w depends on it",
    ),
    (
        "create view v as select id from note; create view w as select id from v; drop view v cascade; create view w as select 1 as a",
        "",
    ),
    (
        "create view v as select id from note; create view w as select id from v; drop view v, w",
        "",
    ),
    (
        "create view v as select id from note; drop table note",
        "!cannot drop table note because other objects depend on it: view v depends on it",
    ),
    (
        "create view v as select id from note; drop table note cascade; create view v as select 1 as a",
        "",
    ),
    (
        "create view v as select body from note; alter table note drop column body",
        "!cannot drop column body of table note because other objects depend on it: view v depends on it",
    ),
    (
        "create view v as select id from note where body = 'a'; alter table note drop column body",
        "!cannot drop column body of table note because other objects depend on it: view v depends on it",
    ),
    (
        "create view v as select id from note; alter table note drop column body",
        "",
    ),
    (
        "create view v as select id from note; alter table note add column more text",
        "",
    ),
    (
        "create view v as select * from note; alter table note add column more text",
        "",
    ),
    (
        "create view v as select body from note; alter table note alter column body type varchar(9)",
        "!cannot alter type of a column used by a view or rule: view v depends on column \"body\"",
    ),
    (
        "create view v as select body from note; alter view v rename to w; create view v as select body from w",
        "",
    ),
    (
        "create view v as select body from note; alter view v rename column body to text; create view w as select text from v",
        "",
    ),
    (
        "create view v as select body from note; alter view v rename column nope to text",
        "!column \"nope\" of relation \"v\" does not exist",
    ),
    (
        "create view v as select body from note; alter view v set (security_invoker = true)",
        "",
    ),
    (
        "create view v as select body from note; alter table v rename to w",
        "",
    ),
    (
        "create view v as select body from note; grant select (body) on v to anon",
        "",
    ),
    (
        "create view v as select body from note; comment on view v is 'x'; comment on column v.body is 'y'",
        "",
    ),
    (
        "create view v as select body from note; comment on column v.nope is 'y'",
        "!column \"nope\" of relation \"v\" does not exist",
    ),
    ("create index on note using gin (tags)", ""),
    ("create index on note using gin (data jsonb_path_ops)", ""),
    (
        "create index on note using gin (to_tsvector('simple', body))",
        "",
    ),
    ("create index on note using hash (body)", ""),
    (
        "create index on note using btree (body desc nulls last, id)",
        "",
    ),
    ("create unique index on note (lower(body)) where public", ""),
    ("create index i on note using gin (tags); drop index i", ""),
    (
        "create index i on note using gin (tags); alter table note drop column tags",
        "",
    ),
    (
        "create index on note using gin (nope)",
        "!column \"nope\" of relation \"note\" does not exist",
    ),
];

fn described(catalog: &Catalog, name: &str) -> String {
    let schema = catalog.schema();
    let view = schema.table(name).unwrap();
    let mut text = String::new();
    for column in &view.columns {
        let _ = write!(text, "{} {}", column.name.as_str(), column.format);
        if let Some(source) = &column.source {
            let _ = write!(text, " <{}.{}", source.table, source.column);
        }
        text.push_str(", ");
    }
    if let Some(key) = &view.primary_key {
        let _ = write!(text, "key {:?} ", key.columns);
    }
    if let Kind::View(view) = &view.kind {
        assert_eq!(view.insertable, view.updatable);
        text.push_str(if view.updatable { "w" } else { "" });
    }
    text.trim_end_matches([',', ' ']).to_owned()
}

#[test]
fn views_are_known_as_postgres_knows_them() {
    for (query, expect) in VIEWS {
        let source = format!("create view v as {query}");
        let catalog = after(&source).unwrap_or_else(|reason| panic!("{query}: {reason}"));
        assert_eq!(described(&catalog, "v"), *expect, "{query}");
        // SQLite reads it.
        let database = Database::new();
        database
            .run(&[access::BASE, &source])
            .unwrap_or_else(|fault| panic!("{query}: {fault}"));
        if !query.contains("has_permission") {
            database.show("select * from v");
        }
    }
}

/// What PostgreSQL 15 says of an insert.
const CLOSED: &[(&str, &str)] = &[
    ("select body from note", ""),
    (
        "select body || 'x' as x from note",
        "v: Views that have no updatable columns",
    ),
    (
        "select count(*) from note",
        "v: Views that return aggregate functions",
    ),
    (
        "select body, (select count(*) from member) as n from note",
        "",
    ),
    (
        "select distinct team from note group by team",
        "v: Views containing DISTINCT",
    ),
    (
        "select team, count(*) from note group by team having count(*) > 1",
        "v: Views containing GROUP BY",
    ),
    (
        "select count(*) from note having count(*) > 1 limit 1",
        "v: Views containing HAVING",
    ),
    (
        "select body from note union select name from team",
        "v: Views containing UNION, INTERSECT, or EXCEPT",
    ),
    (
        "with t as (select body from note) select body from t limit 1",
        "v: Views containing WITH",
    ),
    (
        "select body from note limit 1",
        "v: Views containing LIMIT or OFFSET",
    ),
    (
        "select n.body from note n join team t on t.id = n.team",
        "v: Views that do not select from a single table or view",
    ),
    (
        "select 1 as one",
        "v: Views that do not select from a single table or view",
    ),
    (
        "select body from (select body from note) as n",
        "v: Views that do not select from a single table or view",
    ),
    (
        "select n from inner_view",
        "inner_view: Views containing GROUP BY",
    ),
];

#[test]
fn a_view_says_why_it_cannot_be_written() {
    for (query, expect) in CLOSED {
        let inner = "create view inner_view as select team, count(*) as n from note group by team";
        let catalog = after(&format!("{inner}; create view v as {query}"));
        let catalog = catalog.unwrap_or_else(|reason| panic!("{query}: {reason}"));
        let schema = catalog.schema();
        let Kind::View(view) = &schema.table("v").unwrap().kind else {
            panic!("it is a view");
        };
        let found = view.closed.as_ref().map_or(String::new(), |closed| {
            let why = closed.why.strip_suffix(" are not automatically updatable.");
            format!("{}: {}", closed.view, why.unwrap_or("?"))
        });
        assert_eq!(found, *expect, "{query}");
        assert_eq!(view.insertable, expect.is_empty(), "{query}");
    }
}

#[test]
fn statements_are_taken_or_refused() {
    for (source, expect) in REFUSED {
        let found = match after(source) {
            Ok(_) => {
                Database::new()
                    .run(&[access::BASE, source])
                    .unwrap_or_else(|fault| panic!("{source}: {fault}"));
                String::new()
            }
            Err(reason) => format!("!{reason}"),
        };
        assert_eq!(found, *expect, "{source}");
    }
}

/// Who reads decides, unless the view is marked; names of a view's own stay when its table's change.
#[test]
fn views_ask_as_their_reader_and_follow_renames() {
    let view = |source: &str| {
        let catalog = after(source).unwrap();
        let schema = catalog.schema();
        let view = schema.table("v").unwrap();
        let Kind::View(kind) = &view.kind else {
            panic!("{source}")
        };
        let definition = access::shown(kind.definition.as_ref().unwrap());
        (kind.invoker, described(&catalog, "v"), definition)
    };
    for (source, invoker) in [
        ("create view v as select id from note", true),
        (
            "create view v with (security_invoker = false) as select id from note",
            true,
        ),
        (
            "-- pumice: open\ncreate view v as select id from note",
            false,
        ),
        (
            "-- pumice: open\ncreate view v with (security_invoker = true) as select id from note",
            true,
        ),
        (
            "-- pumice: open\ncreate view v as select id from note; create or replace view v as select id from note",
            true,
        ),
        (
            "create view v as select id from note; alter view v set (security_invoker = false)",
            true,
        ),
    ] {
        assert_eq!(view(source).0, invoker, "{source}");
    }
    let base = "create view v as select n.id, body, (select name from team where id = n.team) as team from note n where public;";
    assert_eq!(
        view(&format!("{base} alter table note rename to page; alter table page rename body to text; alter table team rename name to called; alter table team rename to crew; alter view v rename column team to crew")),
        (
            true,
            "id bigint <page.id, body text <page.text, crew text, key [0] w".to_owned(),
            "with \"with.0\" (\"id\", \"body\", \"crew\") as (select \"n\".\"id\" as \"id\", \"n\".\"text\" as \"body\", (select \"team\".\"called\" as \"name\" from ⟨crew⟩ as \"team\" where (\"team\".\"id\" = \"n\".\"team\")) as \"team\" from ⟨page⟩ as \"n\" where \"n\".\"public\") select * from \"with.0\"".to_owned()
        )
    );
    let refused = after(
        "create view v as select id from member join (select id as team from team) t using (team); alter table member rename team to crew",
    );
    assert!(
        refused
            .unwrap_err()
            .contains("column \"id\" does not exist")
    );
    let refused = after(
        "create view v as select team from member join (select id as team from team) t using (team); alter table member rename team to crew",
    );
    assert!(refused.unwrap_err().contains("`using` names"));
}

/// SQLite changes tables under views, and its views show what they showed.
#[test]
fn views_outlive_changes_of_their_tables() {
    let database = Database::new();
    let first = "create table a (id int primary key, b text, c numeric(4,2)); insert into a values (1, 'x', 2.5);
        create view v as select id, b, c from a; create view w (n) as select count(*) from v";
    database.run(&[first]).unwrap();
    assert_eq!(database.show("select v.*, w.n from v, w"), "1|x|2.50|1");
    let second = "alter table a add check (id > 0), alter column b set not null; alter table a rename b to text;
        alter table a add column d int references a; alter table a rename to z; insert into z values (2, 'y', 3);
        create or replace view v as select id, text as b, c, d from z";
    database.run(&[first, second]).unwrap();
    assert_eq!(
        database.show("select v.*, w.n from v, w order by id"),
        "1|x|2.50|null|2; 2|y|3.00|null|2"
    );
    database
        .run(&[first, second, "drop table z cascade"])
        .unwrap();
    assert_eq!(
        database.show("select name from sqlite_schema where type = 'view'"),
        ""
    );
}
