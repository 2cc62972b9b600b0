//! Policies, row-level security and grants. Every source here was run on PostgreSQL 15 too, in
//! `postgres.rs`: what is refused here is refused there, what is taken is taken.

use super::*;
use crate::data::schema::{Columns, Piece, Privileges, Template};

/// What the cases stand on.
pub(super) const BASE: &str = "create type mood as enum ('sad', 'ok');
create table team (id int primary key, name text not null, owner uuid);
create table member (team int references team, who uuid, role text, primary key (team, who));
create table note (id bigint generated always as identity primary key, owner uuid not null default auth.uid(),
  team int references team, body text, price numeric(8,2), public boolean not null default false,
  m mood, tags text[], readers uuid[], data jsonb, at timestamptz default now(), day date);\n";

pub(super) fn after(source: &str) -> Result<Catalog, String> {
    let base = translate(BASE, "f", Catalog::default()).unwrap().catalog;
    match translate(source, "f", base) {
        Ok(done) => Ok(done.catalog),
        Err(fault) => Err(fault.reason),
    }
}

/// `exists (select … from ⟨team⟩ as "t")`.
pub(super) fn shown(template: &Template) -> String {
    let pieces = template.0.iter().map(|piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Relation(name) => format!("⟨{name}⟩"),
    });
    pieces.collect()
}

/// Conditions of a policy on `note`, and what they become.
pub(super) const CONDITIONS: &[(&str, &str)] = &[
    ("true", "1"),
    ("public", "_t.\"public\""),
    ("note.public", "_t.\"public\""),
    (
        "public.note.public and not public",
        "(_t.\"public\" and (not _t.\"public\"))",
    ),
    ("owner = auth.uid()", "(_t.\"owner\" = pumice_uid())"),
    (
        "(select auth.uid()) = owner",
        "((select pumice_uid() as \"uid\") = _t.\"owner\")",
    ),
    ("auth.uid()::text = body", "(pumice_uid() = _t.\"body\")"),
    (
        "auth.role() = 'authenticated'",
        "(pumice_role() = 'authenticated')",
    ),
    ("current_user = 'anon'", "(pumice_role() = 'anon')"),
    ("current_role <> 'anon'", "(pumice_role() <> 'anon')"),
    (
        "auth.email() like '%@example.com'",
        "(pumice_like(pumice_email(), '%@example.com'))",
    ),
    (
        "auth.jwt() ->> 'aal' = 'aal2'",
        "(pumice_path(pumice_cast(pumice_claims(), 8, 'jsonb'), '[\"aal\"]', 1) = 'aal2')",
    ),
    (
        "(auth.jwt() -> 'app_metadata' ->> 'it''s') = body",
        "(pumice_path(pumice_path(pumice_cast(pumice_claims(), 8, 'jsonb'), '[\"app_metadata\"]', 0), '[\"it''s\"]', 1) = _t.\"body\")",
    ),
    (
        "(auth.jwt() #>> '{a,b}')::uuid = owner",
        "(pumice_cast(pumice_path(pumice_cast(pumice_claims(), 8, 'jsonb'), '[\"a\",\"b\"]', 1), 8, 'uuid') = _t.\"owner\")",
    ),
    (
        "((auth.jwt() -> 'teams' ->> 0))::int = team",
        "(pumice_cast(pumice_path(pumice_path(pumice_cast(pumice_claims(), 8, 'jsonb'), '[\"teams\"]', 0), '[0]', 1), 8, 'integer') = _t.\"team\")",
    ),
    (
        "auth.jwt() -> 'roles' @> '[\"x\"]'",
        "pumice_contains(pumice_path(pumice_cast(pumice_claims(), 8, 'jsonb'), '[\"roles\"]', 0), '[\"x\"]', 0)",
    ),
    (
        "data @> '{\"a\": 1}'",
        "pumice_contains(_t.\"data\", '{\"a\": 1}', 0)",
    ),
    (
        "data <@ '{}'::jsonb",
        "pumice_contains('{}', _t.\"data\", 0)",
    ),
    (
        "tags @> array['a', 'b']",
        "pumice_contains(_t.\"tags\", '[\"a\",\"b\"]', 1)",
    ),
    (
        "tags @> '{a}'",
        "pumice_contains(_t.\"tags\", '[\"a\"]', 1)",
    ),
    ("tags && '{a}'", "pumice_overlaps(_t.\"tags\", '[\"a\"]')"),
    (
        "auth.uid() = any (readers)",
        "(case when pumice_uid() is not null then pumice_contains(_t.\"readers\", json_array(pumice_uid()), 1) end)",
    ),
    (
        "'a' = any (tags)",
        "(case when 'a' is not null then pumice_contains(_t.\"tags\", json_array('a'), 1) end)",
    ),
    ("body ~ '^a'", "(pumice_match(_t.\"body\", '^a'))"),
    ("body !~* 'a$'", "(not pumice_imatch(_t.\"body\", 'a$'))"),
    ("price > 10", "(_t.\"price\" > '10' collate \"numeric\")"),
    ("m = 'ok'", "(_t.\"m\" = 'ok')"),
    ("m::text = 'ok'", "(_t.\"m\" = 'ok')"),
    ("at < now()", "(_t.\"at\" < now())"),
    ("day = current_date", "(_t.\"day\" = substr(now(), 1, 10))"),
    ("coalesce(public, false)", "coalesce(_t.\"public\", 0)"),
    ("team in (1, 2)", "(_t.\"team\" in (1, 2))"),
    (
        "team in (select id from team)",
        "(_t.\"team\" in (select \"team\".\"id\" as \"id\" from ⟨team⟩ as \"team\"))",
    ),
    (
        "team = any (select team from member where who = auth.uid())",
        "(_t.\"team\" in (select \"member\".\"team\" as \"team\" from ⟨member⟩ as \"member\" where (\"member\".\"who\" = pumice_uid())))",
    ),
    (
        "team not in (select m.team from member m where m.who = owner)",
        "(_t.\"team\" not in (select \"m\".\"team\" as \"team\" from ⟨member⟩ as \"m\" where (\"m\".\"who\" = _t.\"owner\")))",
    ),
    (
        "exists (select 1 from member m where m.team = note.team and m.who = (select auth.uid()))",
        "(exists (select 1 as \"?column?\" from ⟨member⟩ as \"m\" where ((\"m\".\"team\" = _t.\"team\") and (\"m\".\"who\" = (select pumice_uid() as \"uid\")))))",
    ),
    (
        "not exists (select from_.id from team as from_ join member using (\"id\") where true)",
        "!column \"id\" specified in USING clause does not exist in right table",
    ),
    (
        "exists (select * from team t join member m on m.team = t.id where t.id = note.team and m.role in ('a', 'b'))",
        "(exists (select \"t\".\"id\" as \"id\", \"t\".\"name\" as \"name\", \"t\".\"owner\" as \"owner\", \"m\".\"team\" as \"team\", \"m\".\"who\" as \"who\", \"m\".\"role\" as \"role\" from ⟨team⟩ as \"t\" join ⟨member⟩ as \"m\" on (\"m\".\"team\" = \"t\".\"id\") where ((\"t\".\"id\" = _t.\"team\") and (\"m\".\"role\" in ('a', 'b')))))",
    ),
    (
        "(select count(*) from member m where m.team = note.team) < 5",
        "((select count(*) as \"count\" from ⟨member⟩ as \"m\" where (\"m\".\"team\" = _t.\"team\")) < 5)",
    ),
    (
        "owner = (select t.owner from team t where t.id = note.team limit 1)",
        "(_t.\"owner\" = (select \"t\".\"owner\" as \"owner\" from ⟨team⟩ as \"t\" where (\"t\".\"id\" = _t.\"team\") limit 1))",
    ),
    (
        "exists (select 1 from note n where n.id <> note.id)",
        "(exists (select 1 as \"?column?\" from ⟨note⟩ as \"n\" where (\"n\".\"id\" <> _t.\"id\")))",
    ),
    (
        "exists (select 1 from team _t where _t.id = note.team)",
        "(exists (select 1 as \"?column?\" from ⟨team⟩ as \"t_1\" where (\"t_1\".\"id\" = _t.\"team\")))",
    ),
    (
        "exists (select 1 from team t where exists (select 1 from member t where t.who = auth.uid()))",
        "(exists (select 1 as \"?column?\" from ⟨team⟩ as \"t\" where (exists (select 1 as \"?column?\" from ⟨member⟩ as \"t_1\" where (\"t_1\".\"who\" = pumice_uid())))))",
    ),
    (
        "exists (select 1 from (select team as x from member where who = auth.uid()) s where s.x = note.team)",
        "(exists (select 1 as \"?column?\" from (select \"member\".\"team\" as \"x\" from ⟨member⟩ as \"member\" where (\"member\".\"who\" = pumice_uid())) as \"s\" where (\"s\".\"x\" = _t.\"team\")))",
    ),
    (
        "team in (with mine as (select team from member where who = auth.uid()) select team from mine)",
        "(_t.\"team\" in (with \"with.1\" (\"team\") as (select \"member\".\"team\" as \"team\" from ⟨member⟩ as \"member\" where (\"member\".\"who\" = pumice_uid())) select \"mine\".\"team\" as \"team\" from \"with.1\" as \"mine\"))",
    ),
    (
        "auth.has_permission('note.read')",
        "(case when pumice_role() = 'service_role' then exists (select 1 from \"auth.permission_actions\" as \"_n\" where \"_n\".\"permission\" = 'note.read') else coalesce((with recursive \"_held\" (\"_role\") as (select pumice_role() union select \"_m\".\"role\" from \"auth.permission_role_members\" as \"_m\" where \"_m\".\"user_id\" = pumice_uid() union select \"_p\".\"parent\" from \"_held\" join \"auth.permission_role_parents\" as \"_p\" on \"_p\".\"role\" = \"_held\".\"_role\") select min(\"_g\".\"allow\") from (select 'note.read' as \"_wanted\") as \"_a\" join \"auth.permission_actions\" as \"_n\" on \"_n\".\"permission\" = \"_a\".\"_wanted\" join \"auth.permission_grants\" as \"_g\" on \"_g\".\"permission\" in (\"_n\".\"permission\", \"_n\".\"namespace\" || '.*') where (\"_g\".\"expires_at\" is null or \"_g\".\"expires_at\" > now()) and (\"_g\".\"resource\" is null) and (\"_g\".\"role\" in (select \"_role\" from \"_held\") or \"_g\".\"user_id\" = pumice_uid() or \"_g\".\"key_id\" = pumice_claims() ->> 'key_id')), 0) end)",
    ),
    ("nope = 1", "!column \"nope\" does not exist"),
    ("t.id = 1", "!missing FROM-clause entry for table \"t\""),
    ("note.nope = 1", "!column note.nope does not exist"),
    ("id", "!a condition must be type boolean, not type bigint"),
    (
        "owner = 1",
        "!a value of type number where type uuid is needed",
    ),
    ("owner = 'x'", "!invalid input syntax for type uuid: \"x\""),
    ("m = 'glad'", "!invalid input value for enum mood: \"glad\""),
    ("owner = body", "!no operator for uuid and text"),
    (
        "count(*) > 1",
        "!aggregate functions are not allowed in policy expressions",
    ),
    (
        "team in (select id, name from team)",
        "!subquery has too many columns",
    ),
    (
        "owner = (select * from team)",
        "!subquery must return only one column",
    ),
    (
        "exists (select 1 from nope)",
        "!relation \"nope\" does not exist",
    ),
    (
        "exists (select nope from team)",
        "!column \"nope\" does not exist",
    ),
    (
        "exists (select role from member a, member b)",
        "!column reference \"role\" is ambiguous",
    ),
    (
        "exists (select 1 from member, member)",
        "!table name \"member\" specified more than once",
    ),
    (
        "exists (select 1 from team where count(*) > 1)",
        "!aggregate functions are not allowed in WHERE",
    ),
];

#[test]
fn a_policys_condition_becomes_sqlites() {
    for (condition, expect) in CONDITIONS {
        let found = after(&format!("create policy p on note using ({condition})"));
        let found = match found {
            Err(reason) => format!("!{reason}"),
            Ok(catalog) => {
                let schema = catalog.schema();
                let policies = schema.table("note").unwrap().policies.clone().unwrap();
                shown(policies[0].using.as_ref().unwrap())
            }
        };
        assert_eq!(found, *expect, "{condition}");
    }
}

/// Statements that are run one after the other on `note`, and what stands then: `rls` or `open`, the
/// policies, the grants on `note` and on `team`; or why not.
pub(super) const STATEMENTS: &[(&str, &str)] = &[
    ("select_is_closed", ""),
    ("grant select on note to anon", "note: anon s*"),
    (
        "grant select on table note, public.team to anon, authenticated",
        "note: anon s*, authenticated s*; team: anon s*, authenticated s*",
    ),
    ("grant all on note to anon", "note: anon s* i* u* d"),
    (
        "grant all privileges on note to public",
        "note: public s* i* u* d",
    ),
    (
        "grant select (id, body), update (body) on note to anon",
        "note: anon s0,3 u3",
    ),
    (
        "grant select (id) on note to anon; grant select (body) on note to anon",
        "note: anon s0,3",
    ),
    (
        "grant select (id), select on note to anon; revoke select (id) on note from anon",
        "note: anon s*",
    ),
    (
        "grant select (id), select on note to anon; revoke select on note from anon",
        "",
    ),
    (
        "grant select (id, body) on note to anon; revoke select (id) on note from anon",
        "note: anon s3",
    ),
    (
        "grant all on note to anon; revoke insert, update on note from anon",
        "note: anon s* d",
    ),
    (
        "grant all on note to anon; revoke all on note from anon cascade",
        "",
    ),
    ("grant truncate, references, trigger on note to anon", ""),
    ("grant select on note to service_role", ""),
    ("grant select on note to current_user", ""),
    (
        "grant select on all tables in schema public to anon",
        "note: anon s*; team: anon s*",
    ),
    (
        "grant select on all tables in schema public to anon; revoke select on all tables in schema public from anon",
        "",
    ),
    ("grant usage on schema public to anon", ""),
    (
        "grant usage, select on all sequences in schema public to anon",
        "",
    ),
    (
        "grant execute on all functions in schema public to anon",
        "",
    ),
    (
        "grant select on note to nobody_known",
        "!role \"nobody_known\" does not exist",
    ),
    (
        "grant select on nope to anon",
        "!relation \"nope\" does not exist",
    ),
    (
        "grant select (nope) on note to anon",
        "!column \"nope\" of relation \"note\" does not exist",
    ),
    (
        "grant usage on note to anon",
        "!invalid privilege type USAGE for relation",
    ),
    (
        "alter default privileges in schema public grant select on tables to anon; create table fresh (a int)",
        "fresh: anon s*",
    ),
    (
        "alter default privileges grant select on tables to anon; create table fresh (a int)",
        "fresh: anon s*",
    ),
    (
        "alter default privileges in schema public grant all on tables to anon; alter default privileges in schema public revoke insert, update, delete on tables from anon; create table fresh (a int)",
        "fresh: anon s*",
    ),
    (
        "alter default privileges in schema public grant select on tables to anon; create view seen as select 1 as a",
        "seen: anon s*",
    ),
    (
        "alter default privileges in schema public grant execute on functions to anon; create table fresh (a int)",
        "",
    ),
    (
        "alter default privileges in schema public grant usage on sequences to anon",
        "",
    ),
    (
        "alter default privileges in schema public grant select (a) on tables to anon",
        "!default privileges cannot be set for columns",
    ),
    ("alter table note enable row level security", ""),
    ("alter table note disable row level security", "note open"),
    (
        "alter table note disable row level security; alter table note enable row level security",
        "",
    ),
    ("alter table note force row level security", ""),
    ("alter table note no force row level security", ""),
    ("create policy p on note", "p + All public"),
    (
        "create policy \"Own notes\" on public.note as permissive for all to authenticated using (true)",
        "Own notes + All authenticated u",
    ),
    (
        "create policy p on note as restrictive for select to anon, authenticated using (public)",
        "p - Select anon,authenticated u",
    ),
    (
        "create policy p on note for insert to authenticated with check (true)",
        "p + Insert authenticated c",
    ),
    (
        "create policy p on note for update to public using (true) with check (true)",
        "p + Update public uc",
    ),
    (
        "create policy p on note for delete to anon, public using (true)",
        "p + Delete public u",
    ),
    (
        "create policy p on note to service_role using (true)",
        "p + All service_role u",
    ),
    (
        "create policy q on note using (true); create policy p on note for select using (true)",
        "p + Select public u; q + All public u",
    ),
    (
        "create policy p on note for insert using (true)",
        "!only WITH CHECK expression allowed for INSERT",
    ),
    (
        "create policy p on note for select with check (true)",
        "!WITH CHECK cannot be applied to SELECT or DELETE",
    ),
    (
        "create policy p on note for delete with check (true)",
        "!WITH CHECK cannot be applied to SELECT or DELETE",
    ),
    (
        "create policy p on note; create policy p on note",
        "!policy \"p\" for table \"note\" already exists",
    ),
    (
        "create policy p on nope",
        "!relation \"nope\" does not exist",
    ),
    (
        "create policy p on note to nobody_known",
        "!role \"nobody_known\" does not exist",
    ),
    (
        "create view v as select 1 as a; create policy p on v",
        "!\"v\" is not a table",
    ),
    (
        "create policy p on note for select using (true); alter policy p on note to anon using (public)",
        "p + Select anon u",
    ),
    (
        "create policy p on note for select using (true); alter policy p on note with check (true)",
        "!WITH CHECK cannot be applied to SELECT or DELETE",
    ),
    (
        "create policy p on note; alter policy p on note rename to q",
        "q + All public",
    ),
    (
        "create policy p on note; create policy q on note; alter policy p on note rename to q",
        "!policy \"q\" for table \"note\" already exists",
    ),
    (
        "alter policy p on note to anon",
        "!policy \"p\" for table \"note\" does not exist",
    ),
    ("create policy p on note; drop policy p on note", ""),
    ("drop policy if exists p on note", ""),
    (
        "drop policy p on note",
        "!policy \"p\" for table \"note\" does not exist",
    ),
    (
        "create policy p on note; comment on policy p on note is 'words'",
        "p + All public",
    ),
    (
        "comment on policy p on note is 'words'",
        "!policy \"p\" for table \"note\" does not exist",
    ),
    ("create extension if not exists pgcrypto", ""),
    (
        "create policy p on note using (owner = auth.uid()); alter table note drop column owner",
        "!cannot drop column owner of table note because other objects depend on it: policy p on table note depends on it",
    ),
    (
        "create policy p on note using (owner = auth.uid()); alter table note drop column owner cascade",
        "",
    ),
    (
        "create policy p on note using (team in (select team from member)); alter table member drop column team",
        "!cannot drop column team of table member because other objects depend on it: policy p on table note depends on it",
    ),
    (
        "create policy p on note using (team in (select team from member)); drop table member",
        "!cannot drop table member because other objects depend on it: policy p on table note depends on it",
    ),
    (
        "create policy p on note using (team in (select team from member)); drop table member cascade",
        "",
    ),
    (
        "create policy p on note using (body = 'a'); alter table note alter column body type varchar(9)",
        "!cannot alter type of a column used in a policy definition: policy p on table note depends on column \"body\"",
    ),
    (
        "grant select (body, day) on note to anon; alter table note drop column body",
        "note: anon s10",
    ),
    (
        "grant select (body) on note to anon; alter table note rename body to text",
        "note: anon s3",
    ),
];

fn rights(rights: &Privileges) -> String {
    let one = |letter: &str, columns: &Columns| match columns {
        Columns::None => None,
        Columns::All => Some(format!("{letter}*")),
        Columns::Some(columns) => {
            let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
            Some(format!("{letter}{}", columns.join(",")))
        }
    };
    let all = [
        one("s", &rights.select),
        one("i", &rights.insert),
        one("u", &rights.update),
        rights.delete.then(|| "d".to_owned()),
    ];
    all.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn access(catalog: &Catalog) -> String {
    let schema = catalog.schema();
    let mut parts = Vec::new();
    for (name, table) in &schema.relations["public"] {
        if table.kind == crate::data::Kind::Table && table.policies.is_none() {
            parts.push(format!("{name} open"));
        }
        for policy in table.policies.iter().flatten() {
            let sign = if policy.permissive { '+' } else { '-' };
            let using = if policy.using.is_some() { "u" } else { "" };
            let check = if policy.check.is_some() { "c" } else { "" };
            let text = format!(
                "{} {sign} {:?} {} {using}{check}",
                policy.name,
                policy.command,
                policy.roles.join(",")
            );
            parts.push(text.trim_end().to_owned());
        }
        let grants: Vec<String> = table
            .grants
            .iter()
            .map(|(role, given)| format!("{role} {}", rights(given)))
            .collect();
        if !grants.is_empty() && name != "member" {
            parts.push(format!("{name}: {}", grants.join(", ")));
        }
    }
    parts.join("; ")
}

#[test]
fn access_stands_as_postgres_has_it() {
    for (source, expect) in STATEMENTS {
        let source = source.replace("select_is_closed", "");
        let found = match after(&source) {
            Ok(catalog) => access(&catalog),
            Err(reason) => format!("!{reason}"),
        };
        assert_eq!(found, *expect, "{source}");
    }
}

/// What a file leaves undone is closed; a mark opens.
#[test]
fn new_tables_are_closed_unless_marked() {
    for (source, expect) in [
        ("create table a (b int)", ""),
        (
            "create table a (b int); alter table a disable row level security",
            "",
        ),
        (
            "-- pumice: open\ncreate table a (b int)",
            "a open; a: anon s* i* u* d, authenticated s* i* u* d",
        ),
        (
            "-- pumice: open\ncreate table a (b int); alter table a rename to c",
            "c open; c: anon s* i* u* d, authenticated s* i* u* d",
        ),
        (
            "-- pumice: open\ncreate table a (b int); alter table a enable row level security",
            "a: anon s* i* u* d, authenticated s* i* u* d",
        ),
        (
            "-- pumice: open\ncreate table a (b int); drop table a; create table a (b int)",
            "",
        ),
    ] {
        let done = translate(source, "f", Catalog::default()).unwrap();
        assert_eq!(access(&done.catalog), expect, "{source}");
    }
}

/// What a rename leaves of policies elsewhere.
#[test]
fn policies_follow_renames() {
    let policy = |change: &str| {
        let catalog = after(&format!(
            "create policy p on note using (note.owner = auth.uid() or exists (select 1 from team where team.id = note.team and owner is not null)); {change}"
        ))
        .unwrap();
        let schema = catalog.schema();
        let table = schema.table("note").or(schema.table("page")).unwrap();
        shown(table.policies.as_ref().unwrap()[0].using.as_ref().unwrap())
    };
    let expect = policy("");
    assert_eq!(policy("alter table note rename to page"), expect);
    assert_eq!(
        policy("alter table team rename to crew"),
        expect.replace("⟨team⟩", "⟨crew⟩")
    );
    assert_eq!(
        policy("alter table note rename owner to author"),
        expect.replace("_t.\"owner\"", "_t.\"author\"")
    );
    assert_eq!(
        policy(
            "alter table team rename id to number; alter table note rename to page; alter table page rename team to crew"
        ),
        expect
            .replace("\"team\".\"id\"", "\"team\".\"number\"")
            .replace("_t.\"team\"", "_t.\"crew\"")
    );
}

/// Catalogs of before tell of closed tables.
#[test]
fn an_older_catalog_is_closed() {
    let mut json = serde_json::to_value(after("").unwrap()).unwrap();
    let tables = json["tables"].as_object_mut().unwrap();
    for table in tables.values_mut() {
        table.as_object_mut().unwrap().remove("access");
        table.as_object_mut().unwrap().remove("grants");
    }
    for key in ["views", "defaults", "defaults_everywhere"] {
        json.as_object_mut().unwrap().remove(key);
    }
    let catalog: Catalog = serde_json::from_value(json).unwrap();
    assert_eq!(access(&catalog), "");
}
