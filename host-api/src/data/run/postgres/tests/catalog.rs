use super::*;
use crate::data::schema::{Columns, Returns, Source as Origin, Volatility};
use crate::data::{Kind, Type};

#[tokio::test]
async fn the_catalog_of_several_schemas() {
    let db = db().await;
    let item = db.table("item");
    let column =
        |table: &Arc<Table>, name: &str| table.columns[table.column(name).unwrap()].clone();
    for (name, ty, format, default) in [
        ("name", "character varying(5)", "character varying(5)", None),
        ("feeling", "\"mood\"", "public.mood", None),
        ("size", "\"other.size\"", "other.size", None),
        ("moods", "\"mood\"[]", "public.mood[]", None),
        ("labels", "text[]", "other.tags", None),
        ("rank", "integer", "public.positive", Some("1")),
        ("price", "numeric(10,2)", "numeric(10,2)", Some("7")),
        ("span", "int4range", "int4range", None),
    ] {
        let found = column(&item, name);
        assert_eq!(found.ty.to_string(), ty, "{name}");
        assert_eq!(found.format, format, "{name}");
        assert_eq!(found.default.as_deref(), default, "{name}");
    }
    assert!(column(&item, "rank").not_null);
    let Type::Enum(size) = column(&item, "size").ty else {
        panic!("an enum");
    };
    assert_eq!(size.labels, ["s", "m", "l"]);
    assert_eq!(
        column(&db.table("only_some"), "id").default.as_deref(),
        Some("nextval('public.only_some_id_seq'::regclass)")
    );

    // Views: what they show, their keys, what can be done with them.
    let origin = |table: &str, column: &str| {
        Some(Origin {
            schema: "public".to_owned(),
            table: table.to_owned(),
            column: column.to_owned(),
        })
    };
    let view = db.table("api.item");
    assert_eq!(column(&view, "key").source, origin("item", "id"));
    assert_eq!(column(&view, "loud").source, None);
    assert_eq!(view.primary_key.as_ref().unwrap().columns, [0]);
    let deep = db.table("api.deep");
    assert_eq!(column(&deep, "again").source, origin("item", "id"));
    assert_eq!(column(&deep, "name").source, origin("client", "name"));
    assert_eq!(deep.primary_key.as_ref().unwrap().columns, [0, 1]);
    let stored = db.table("api.stored");
    assert_eq!(column(&stored, "id").source, origin("client", "id"));
    assert_eq!(column(&item, "id").source, None);
    for (table, expect) in [(&view, true), (&deep, false), (&stored, false)] {
        let Kind::View(view) = &table.kind else {
            panic!("a view");
        };
        let can = [view.insertable, view.updatable, view.deletable];
        assert_eq!(can, [expect; 3], "{:?}", table.name);
    }

    let grants = &db.table("only_some").grants["anon"];
    assert_eq!(grants.select, Columns::Some(vec![0, 1]));
    assert_eq!(grants.insert, Columns::Some(vec![1]));
    assert!(grants.delete);
    assert_eq!(item.grants["service_role"].update, Columns::All);
    assert!(!item.grants.contains_key("anon"));

    let add = db.function("add");
    assert_eq!(add.returns, Returns::Scalar("integer".to_owned()));
    assert_eq!(add.volatility, Volatility::Immutable);
    assert_eq!(add.comment.as_deref(), Some("sums"));
    let optional: Vec<bool> = add.arguments.iter().map(|found| found.optional).collect();
    assert_eq!(optional, [false, true]);
    let of_item = Returns::Relation("public".to_owned(), "item".to_owned());
    let fields = |fields: &[(&str, &str)]| {
        let field = |(name, ty): &(&str, &str)| ((*name).to_owned(), (*ty).to_owned());
        Returns::Record(fields.iter().map(field).collect())
    };
    for (name, returns, set, one_row) in [
        ("nothing", Returns::Void, false, false),
        ("some_items", of_item.clone(), true, true),
        ("siblings", of_item.clone(), true, false),
        ("one_item", of_item, false, false),
        (
            "pairs",
            fields(&[("n", "integer"), ("square", "integer")]),
            true,
            false,
        ),
        ("out_only", fields(&[("x", "integer")]), false, false),
        (
            "anything",
            Returns::Scalar("record".to_owned()),
            false,
            false,
        ),
    ] {
        let found = db.function(name);
        assert_eq!(found.returns, returns, "{name}");
        assert_eq!((found.set, found.one_row), (set, one_row), "{name}");
    }
    let typed: Vec<String> = db
        .function("typed")
        .arguments
        .iter()
        .map(|found| found.ty.clone())
        .collect();
    assert_eq!(
        typed,
        [
            "public.mood",
            "public.client",
            "integer[]",
            "public.positive"
        ]
    );
    assert!(db.function("joined").arguments[0].variadic);
    assert!(!db.schema.functions["public"].contains_key("not_listed"));
    assert!(!db.schema.functions.contains_key("auth"));
    assert!(db.schema.relation("auth", "users").is_none());

    // A schema that only has views brings what they show.
    let api = db
        .app
        .introspect_schemas(&["api".to_owned()])
        .await
        .unwrap();
    assert!(api.relation("public", "item").is_some());
    assert!(api.relation("public", "mark").is_none());
    assert!(api.functions.is_empty());
}

#[tokio::test]
async fn a_changed_catalog_is_noticed() {
    let cluster = Cluster::connect(&test_url(), &Connections::new(4))
        .await
        .unwrap();
    let id = AppId(Uuid::new_v4());
    cluster.create_app(id, "secret").await.unwrap();
    migrate(
        &cluster,
        id,
        &[
            "create table t (id int primary key)",
            "insert into t values (1)",
        ],
    )
    .await;
    let app = cluster.open_app(id, "secret");
    app.introspect().await.unwrap();
    let changed = async || {
        app.look_now();
        app.catalog_changed().await.unwrap()
    };
    assert!(!changed().await);
    for (statement, expect) in [
        ("insert into t values (2)", false),
        ("analyze t", false),
        ("alter table t add n int", true),
        ("comment on column t.n is 'x'", true),
        (
            "create function f() returns int language sql as 'select 1'",
            true,
        ),
        (
            "create or replace function f() returns int language sql as 'select 2'",
            true,
        ),
        ("grant select on t to anon", true),
        ("alter table t alter n set default 3", true),
        ("drop function f()", true),
        ("create type mood as enum ('a')", true),
        ("create view v as select * from t", true),
        ("alter table t drop n cascade", true),
    ] {
        migrate(&cluster, id, &[statement]).await;
        assert_eq!(changed().await, expect, "{statement}");
        assert!(!changed().await, "{statement}");
        // Nobody looks again so soon.
        migrate(&cluster, id, &["comment on table t is null"]).await;
        assert!(!app.catalog_changed().await.unwrap());
    }
}
