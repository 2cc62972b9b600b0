//! Databases, roles, migrations and what the catalog says of them.

use sqlx::postgres::PgConnectOptions;

use super::super::provision;
use super::*;

#[tokio::test]
async fn an_app_is_made_again_and_taken_away() {
    let cluster = cluster().await;
    let id = AppId(Uuid::new_v4());
    let (one, other) = tokio::join!(
        cluster.create_app(id, "first"),
        cluster.create_app(id, "first")
    );
    one.unwrap();
    other.unwrap();
    let app = cluster.open_app(id, "first");
    begin(&app).await.commit().await.unwrap();
    cluster.create_app(id, "second").await.unwrap();
    let wrong = app.begin(&service(), WRITE).await.unwrap_err();
    assert!(matches!(wrong, DataError::Unavailable(_)), "{wrong:?}");
    let app = cluster.open_app(id, "second");
    let tx = begin(&app).await;
    for shown in [
        format!("{app:?}"),
        format!("{cluster:?}"),
        format!("{wrong:?}"),
    ] {
        assert!(
            !shown.contains("second") && !shown.contains("first"),
            "{shown}"
        );
    }
    // Somebody is connected.
    cluster.drop_app(id).await.unwrap();
    cluster.drop_app(id).await.unwrap();
    assert!(matches!(tx.commit().await, Err(DataError::Unavailable(_))));
    assert!(matches!(
        app.begin(&service(), WRITE).await,
        Err(DataError::Unavailable(_))
    ));
}

#[tokio::test]
async fn nobody_writes_to_a_held_database() {
    let cluster = cluster().await;
    let (id, app) = app(&cluster, &[]).await;
    let admin: PgConnectOptions = url().parse().unwrap();
    let admin = admin.database(app.options.get_database().unwrap());
    let mut writer = provision::connect(&admin).await.unwrap();
    let mut run = async |sql: &str| provision::run(&mut writer, sql.to_owned()).await;
    let insert = "insert into auth.users default values";

    let held = cluster.hold_untouched(id).await.unwrap().unwrap();
    let impatient = format!("set lock_timeout = '300ms'; {insert}");
    assert_eq!(code(run(&impatient).await), "55P03");
    held.release().await.unwrap();
    run(insert).await.unwrap();
    // Now it holds something, and is let go at once.
    assert!(cluster.hold_untouched(id).await.unwrap().is_none());
    run("delete from auth.users").await.unwrap();

    let held = cluster.hold_untouched(id).await.unwrap().unwrap();
    let (written, dropped) = tokio::join!(run(insert), held.drop_app());
    assert!(written.is_err());
    dropped.unwrap();
    assert!(!cluster.has_app(id).await.unwrap());
}

#[tokio::test]
async fn an_app_reaches_no_other() {
    let cluster = cluster().await;
    let (first, _) = app(&cluster, &[]).await;
    let (second, _) = app(&cluster, &[]).await;
    let mut crossed = cluster.open_app(first, PASSWORD);
    let other = cluster.open_app(second, PASSWORD);
    let options = (*crossed.options).clone();
    crossed.options = Arc::new(options.database(other.options.get_database().unwrap()));
    let Err(DataError::Unavailable(why)) = crossed.begin(&service(), WRITE).await else {
        panic!("an app in another's database");
    };
    assert!(
        why.to_string().contains("permission denied for database"),
        "{why}"
    );
}

#[tokio::test]
async fn a_bad_administrator_is_told_why() {
    let cluster = cluster().await;
    let (id, _) = app(&cluster, &[]).await;
    let server = url();
    let (_, host) = server.rsplit_once('@').unwrap();
    let (host, _) = host.rsplit_once('/').unwrap();
    let name = format!("pumice_{}", id.0.simple());
    let as_app = |password: &str| format!("postgres://{name}:{password}@{host}/{name}");
    let refused = Cluster::connect(&as_app("a'b%5Cc"), &Connections::new(4))
        .await
        .unwrap_err();
    let refused = refused.to_string();
    assert!(refused.contains("createdb createrole"), "{refused}");
    let refused = Cluster::connect(&as_app("sesame"), &Connections::new(4))
        .await
        .unwrap_err();
    assert!(matches!(refused, DataError::Unavailable(_)));
    for bad in [
        "postgres://u:sesame@:x/y",
        "sesame",
        "mysql://u:sesame@h/d?sslmode=sesame",
    ] {
        let refused = Cluster::connect(bad, &Connections::new(4))
            .await
            .unwrap_err();
        assert!(
            !format!("{refused} {refused:?}").contains("sesame"),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_file_is_applied_whole_or_not_at_all() {
    let cluster = cluster().await;
    let (id, app) = app(&cluster, &[]).await;
    let mut tx = cluster.as_owner(id).await.unwrap().begin().await.unwrap();
    tx.execute("2_a.sql", 1, "create table a (id int primary key)")
        .await
        .unwrap();
    tx.record("2_a.sql", "digest", 1).await.unwrap();
    let mut tx = tx.commit().await.unwrap().begin().await.unwrap();
    tx.execute("3_b.sql", 1, "create table b (id int primary key)")
        .await
        .unwrap();
    let Err(DataError::Sql(fault)) = tx.execute("3_b.sql", 7, "create table a (x int)").await
    else {
        panic!("the table is there");
    };
    assert_eq!(fault.code, "42P07");
    assert_eq!(fault.message, "3_b.sql:7: relation \"a\" already exists");
    assert_eq!(
        fault.details.as_deref(),
        Some("statement: create table a (x int)")
    );
    let mut owner = tx.rollback().await.unwrap();
    let applied = owner.applied().await.unwrap();
    assert_eq!(applied.len(), 1);
    assert_eq!(
        (
            &*applied[0].file,
            &*applied[0].digest,
            applied[0].translator
        ),
        ("2_a.sql", "digest", 1)
    );
    let mut tx = owner.begin().await.unwrap();
    for (sql, expect) in [
        ("commit", "2D000"),
        ("/**/ Rollback", "2D000"),
        ("copy a from stdin", "2D000"),
    ] {
        assert_eq!(code(tx.execute("4.sql", 1, sql).await), expect, "{sql}");
    }
    tx.rollback().await.unwrap().close().await.unwrap();
    let schema = app.introspect().await.unwrap();
    assert_eq!(
        schema.tables().map(|t| t.name.as_str()).collect::<Vec<_>>(),
        ["a"]
    );
}

#[tokio::test]
async fn a_migration_is_nobody_but_the_owner() {
    let cluster = cluster().await;
    let (id, _) = app(&cluster, &[]).await;
    for (sql, expect) in [
        ("do $$ begin reset role; create role evil; end $$", "42501"),
        ("create role evil", "42501"),
        ("reset session authorization", "()"),
        ("set role postgres", "22023"),
        ("set role anon", "42501"),
        ("create database evil", "25001"),
        ("alter system set fsync = off", "25001"),
    ] {
        let mut tx = cluster.as_owner(id).await.unwrap().begin().await.unwrap();
        assert_eq!(code(tx.execute("1.sql", 1, sql).await), expect, "{sql}");
        if expect == "()" {
            let refused = tx.execute("1.sql", 2, "create role evil").await;
            assert_eq!(code(refused), "42501");
        }
    }
}

#[tokio::test]
async fn what_is_new_is_closed() {
    let cluster = cluster().await;
    let (id, app) = app(
        &cluster,
        &[
            "create table old (id serial primary key, n int)",
            "alter table old disable row level security",
        ],
    )
    .await;
    let mut tx = cluster.as_owner(id).await.unwrap().begin().await.unwrap();
    for sql in [
        "alter table old disable row level security",
        "create table \"new\"\"est\" (id int primary key)",
        "create table open (id int primary key)",
        "grant select on open to anon",
        "grant select on old to anon",
        "create table mine (id serial primary key, by uuid default auth.uid())",
        "grant select, insert on mine to authenticated",
        "create policy own on mine to authenticated using (by = auth.uid()) with check (by = auth.uid())",
        "create view seen as select * from mine",
        "grant select on seen to authenticated",
        "create function secret() returns int language sql as 'select 1'",
    ] {
        tx.execute("2.sql", 1, sql).await.unwrap();
    }
    tx.open(&("public".to_owned(), "open".to_owned()))
        .await
        .unwrap();
    tx.harden(&[]).await.unwrap();
    tx.commit().await.unwrap().close().await.unwrap();

    let user = |n: u32| {
        context(
            Role::Authenticated,
            &json!({"sub": Uuid::from_u128(n.into())}).to_string(),
        )
    };
    for n in [1, 2] {
        let mut tx = app.begin(&user(n), WRITE).await.unwrap();
        tx.execute("insert into mine default values".into(), &[])
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }
    let anon = context(Role::Anon, "{}");
    for (context, sql, expect) in [
        (&anon, "select count(*)::text from open", "\"0\""),
        (&anon, "select count(*)::text from old", "\"0\""),
        (&anon, "select count(*)::text from \"new\"\"est\"", "42501"),
        (&anon, "select count(*)::text from mine", "42501"),
        (&anon, "select secret()::text", "42501"),
        (&anon, "select count(*)::text from auth.users", "\"0\""),
        (&anon, "select max(aud) from auth.users", "42501"),
        (&user(1), "select count(*)::text from mine", "\"1\""),
        (&user(1), "select count(*)::text from seen", "\"1\""),
        (&user(3), "select count(*)::text from seen", "\"0\""),
        (
            &user(1),
            "update mine set id = 1 returning id::text",
            "42501",
        ),
        (&service(), "select count(*)::text from mine", "\"2\""),
        (&service(), "select secret()::text", "\"1\""),
        (
            &service(),
            "select relrowsecurity::text from pg_class where relname = 'old'",
            "\"false\"",
        ),
        (
            &service(),
            "select relrowsecurity::text from pg_class where relname = 'open'",
            "\"false\"",
        ),
        (
            &service(),
            "select relrowsecurity::text from pg_class where relname = 'new\"est'",
            "\"true\"",
        ),
    ] {
        let mut tx = app.begin(context, WRITE).await.unwrap();
        assert_eq!(
            code(ask(&mut tx, sql).await),
            expect,
            "{sql} as {}",
            context.role
        );
    }
}

#[tokio::test]
async fn the_catalog_is_read() {
    let cluster = cluster().await;
    let (_, app) = app(
        &cluster,
        &[
            "create type mood as enum ('sad', 'glad')",
            "create table shop (a int, gone int, b int, primary key (b, a))",
            "alter table shop drop column gone",
            "comment on table shop is 'where'",
            "comment on column shop.b is 'which'",
            "create table item (
                id bigint generated always as identity primary key,
                other bigint generated by default as identity,
                serial serial,
                shop_a int, shop_b int,
                user_id uuid references auth.users,
                price numeric(10,2) not null default 0 check (price >= 0),
                free numeric, coarse numeric(3,-2),
                name varchar(20) unique, plain varchar, fixed char(3),
                ok boolean, s smallint, r real, d double precision, t text,
                day date, clock time, moment timestamp, at timestamptz(3), i interval,
                j json, jb jsonb, raw bytea, tags text[], moods mood[], mood mood not null,
                twice numeric generated always as (price * 2) stored,
                place point,
                constraint z_fk foreign key (shop_b, shop_a) references shop (b, a))",
            "create view seen as select id, mood from item",
        ],
    )
    .await;
    let schema = app.introspect().await.unwrap();
    assert_eq!(
        schema.tables().map(|t| t.name.as_str()).collect::<Vec<_>>(),
        ["item", "shop"]
    );
    assert_eq!(schema.enums["mood"].labels, ["sad", "glad"]);
    let shop = schema.table("shop").unwrap();
    assert_eq!(shop.comment.as_deref(), Some("where"));
    assert_eq!(shop.columns[1].comment.as_deref(), Some("which"));
    let key = shop.primary_key.as_ref().unwrap();
    assert_eq!((&*key.name, &*key.columns), ("shop_pkey", &[1, 0][..]));
    assert!(shop.columns[1].not_null);

    let item = schema.table("item").unwrap();
    let column = |name: &str| &item.columns[item.column(name).unwrap()];
    let types: Vec<String> = item
        .columns
        .iter()
        .map(|column| column.ty.to_string())
        .collect();
    assert_eq!(
        types,
        [
            "bigint",
            "bigint",
            "integer",
            "integer",
            "integer",
            "uuid",
            "numeric(10,2)",
            "numeric",
            "numeric",
            "character varying(20)",
            "character varying",
            "character(3)",
            "boolean",
            "smallint",
            "real",
            "double precision",
            "text",
            "date",
            "time without time zone",
            "timestamp without time zone",
            "timestamp with time zone",
            "interval",
            "json",
            "jsonb",
            "bytea",
            "text[]",
            "\"mood\"[]",
            "\"mood\"",
            "numeric",
            "point",
        ]
    );
    assert!(matches!(column("coarse").ty, Type::Other(_)));
    assert_eq!(column("coarse").format, "numeric(3,-2)");
    assert!(matches!(column("place").ty, Type::Other(_)));
    assert_eq!(column("mood").ty, Type::Enum(schema.enums["mood"].clone()));
    // not null, default, generated
    for (name, expect) in [
        ("id", (true, true, true)),
        ("other", (true, true, false)),
        ("serial", (true, true, false)),
        ("price", (true, true, false)),
        ("twice", (false, false, true)),
        ("mood", (true, false, false)),
        ("name", (false, false, false)),
    ] {
        let column = column(name);
        assert_eq!(
            (column.not_null, column.has_default, column.generated_always),
            expect,
            "{name}"
        );
    }
    assert_eq!(item.unique.len(), 1);
    assert_eq!(item.unique[0].name, "item_name_key");
    assert_eq!(
        item.checks
            .iter()
            .map(|check| &*check.name)
            .collect::<Vec<_>>(),
        ["item_price_check"]
    );
    let keys: Vec<_> = item
        .foreign_keys
        .iter()
        .map(|key| {
            (
                &*key.name,
                key.columns.clone(),
                &*key.to_schema,
                &*key.to_table,
                key.to_columns.join(","),
            )
        })
        .collect();
    assert_eq!(
        keys,
        [
            (
                "item_user_id_fkey",
                vec![5],
                "auth",
                "users",
                "id".to_owned()
            ),
            ("z_fk", vec![4, 3], "public", "shop", "b,a".to_owned()),
        ]
    );
    let seen = schema.table("seen").unwrap();
    assert_eq!(seen.columns.len(), 2);
    assert_eq!(seen.primary_key.as_ref().unwrap().columns, [0]);
}

#[tokio::test]
async fn an_administrator_need_not_be_a_superuser() {
    let password = "managed";
    let name = format!("pumice_admin_{}", Uuid::new_v4().simple());
    let all = cluster().await;
    all.for_tests(&format!(
        "create role {name} login createdb createrole password '{password}'"
    ))
    .await;
    let server = url();
    let (_, host) = server.rsplit_once('@').unwrap();
    let cluster = Cluster::connect(
        &format!("postgres://{name}:{password}@{host}"),
        &Connections::new(4),
    )
    .await
    .unwrap();
    let (id, app) = app(&cluster, &["create table t (id int primary key)"]).await;
    let mut tx = begin(&app).await;
    assert_eq!(
        guest(&mut tx, "insert into t values (1) returning id", &[])
            .await
            .unwrap(),
        [r#"{"id":1}"#]
    );
    tx.commit().await.unwrap();
    cluster.create_app(id, PASSWORD).await.unwrap();
    let tx = begin(&app).await;
    cluster.drop_app(id).await.unwrap();
    drop(tx);
    all.for_tests(&format!("drop role {name}")).await;
}

#[tokio::test]
async fn grants_say_what_a_caller_may() {
    let cluster = cluster().await;
    let user = Uuid::from_u128(7);
    let (_, app) = app(
        &cluster,
        &[
            "insert into auth.permission_namespaces (name, owner) values ('a', 'app')",
            "insert into auth.permission_actions (permission, namespace, action) values
            ('a.read', 'a', 'read'), ('a.write', 'a', 'write'), ('a.own', 'a', 'own'),
            ('a.old', 'a', 'old'), ('a.open', 'a', 'open')",
            &format!(
            "insert into auth.permission_grants (role, user_id, permission, allow, expires_at) values
            ('authenticated', null, 'a.read', true, null),
            ('authenticated', null, 'a.write', true, null),
            (null, '{user}', 'a.write', false, null),
            (null, '{user}', 'a.own', true, now() + interval '1 day'),
            (null, '{user}', 'a.old', true, now() - interval '1 day'),
            ('anon', null, 'a.open', true, null)"
        )],
    )
    .await;
    let context_of = |role, id: Uuid| context(role, &json!({ "sub": id.to_string() }).to_string());
    for (role, id, expect) in [
        (Role::Authenticated, user, "a.own a.read"),
        (Role::Authenticated, Uuid::from_u128(8), "a.read a.write"),
        (Role::Anon, Uuid::from_u128(8), "a.open"),
    ] {
        let mut tx = app.begin(&context_of(role, id), WRITE).await.unwrap();
        let asked = "select string_agg(p, ' ' order by p) from unnest(array['a.read', 'a.write', \
                     'a.own', 'a.old', 'a.open', 'other']) p where auth.has_permission(p)";
        assert_eq!(ask(&mut tx, asked).await.unwrap(), expect);
        let fts = "select to_tsvector('cats')::text";
        assert_eq!(ask(&mut tx, fts).await.unwrap(), "'cat':1");
        tx.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn the_catalog_says_who_may_call_a_function() {
    let cluster = cluster().await;
    let (_, app) = app(
        &cluster,
        &[
            "create function shut() returns integer language sql as 'select 1'",
            "create function open() returns integer language sql as 'select 1'",
            "grant execute on function open() to anon",
        ],
    )
    .await;
    let schema = app
        .introspect_schemas(&["public".to_owned()])
        .await
        .unwrap();
    let told = |name: &str, role: &str| schema.overloads("public", name).any(|f| f.lets_in(role));
    assert!(told("open", "anon") && told("shut", "service_role"));
    assert!(!told("open", "authenticated") && !told("shut", "anon"));
}
