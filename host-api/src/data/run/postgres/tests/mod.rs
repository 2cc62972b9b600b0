//! Against a real server. Plans are built by hand from a schema that is read there.

mod calls;
mod catalog;
mod judged;
mod reads;
mod writes;

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use uuid::Uuid;

use super::run;
use crate::data::plan::{
    Answering, Arguments, CallPlan, Cells, Condition, Expr, Node, Order, Output, ReadPlan, Source,
    Test,
};
use crate::data::postgres::{Begin, Cluster, Connections, PgTx, Postgres, test_url};
use crate::data::query::{Operator, Preferences, Rows};
use crate::data::run::Work;
use crate::data::schema::Function;
use crate::data::{Context, DataError, Name, RequestInfo, Schema, Settings, Table};
use crate::{AppId, Role};

const MIGRATION: &[&str] = &[
    "create schema api",
    "create schema other",
    "create type mood as enum ('sad', 'ok', 'glad')",
    "create type other.size as enum ('s', 'm', 'l')",
    "create domain positive as int not null check (value > 0)",
    "create domain other.tags as text[]",
    "create table client (id int primary key, name text)",
    "create table item (
        id int primary key,
        client_id int references client,
        name varchar(5), code char(3), feeling mood, size other.size, moods mood[],
        price numeric(10,2) default 7, weight float8, ok boolean,
        at timestamptz, tags text[], labels other.tags, doc jsonb, raw json,
        span int4range, words tsvector, prose text, rank positive default 1,
        secret text)",
    "create table mark (item_id int references item, client_id int references client,
        primary key (item_id, client_id))",
    "create table only_some (id serial primary key, shown text, hidden text, made text default 'd')",
    "create table child (id int primary key,
        item_id int references item deferrable initially deferred)",
    "create view api.item as select id as key, name, upper(name) as loud, client_id from item",
    "create view api.deep as select v.key as again, c.id as client, c.name from api.item v
        join client c on c.id = v.client_id",
    "create materialized view api.stored as select id, name from client",
    "create function price_twice(item) returns numeric language sql stable
        as 'select $1.price * 2'",
    "create function siblings(item) returns setof item language sql stable
        as 'select i.* from item i where i.client_id = $1.client_id and i.id <> $1.id order by i.id'",
    "create function add(a int, b int default 10) returns int language sql immutable
        as 'select a + b'",
    "create function nothing() returns void language sql as ''",
    "create function numbers(up_to int) returns setof int language sql
        as 'select generate_series(1, up_to)'",
    "create function pairs(up_to int) returns table (n int, square int) language sql
        as 'select n, n * n from generate_series(1, up_to) n'",
    "create function one_item(wanted int) returns item language sql
        as 'select * from item where id = wanted'",
    "create function some_items() returns setof item language sql rows 1
        as 'select * from item order by id'",
    "create function out_only(out x int) language sql as 'select 5'",
    "create function joined(variadic parts text[]) returns text language sql
        as $$select array_to_string(parts, '+')$$",
    "create function echo(json) returns json language sql as 'select $1'",
    "create function length_of(bytea) returns int language sql as 'select length($1)'",
    "create function typed(feel mood, whose client, ids int[], big positive) returns text
        language sql as $$select concat_ws(' ', feel, whose.name, ids[2], big)$$",
    "create function writes() returns void language sql as 'insert into client values (99, null)'",
    "create function anything() returns record language sql as 'select 1, 2'",
    "create function teapot() returns text language plpgsql as $$begin
        perform set_config('response.status', '418', true);
        perform set_config('response.headers', '[{\"x\": \"y\"}]', true);
        return current_setting('request.method') || (current_setting('request.headers')::json->>'a');
    end$$",
    "create function refuses() returns void language plpgsql as $$begin
        raise sqlstate 'PT402' using message = 'pay', detail = 'more', hint = 'now';
    end$$",
    "create function path() returns text language sql as $$select current_setting('search_path')$$",
    "create procedure not_listed() language sql as ''",
    "grant select (id, shown), insert (shown), update (shown) on only_some to anon",
    "grant delete on only_some to anon",
    "create policy everybody on only_some using (true)",
    "create table kept (a int, b text, owner text, primary key (b, a))",
    "grant select, delete on kept to anon",
    "create policy sees on kept for select to anon using (owner <> 'hidden')",
    "create policy drops on kept for delete to anon using (owner = 'anon')",
    "insert into kept values (1, 'x''\"', 'anon'), (2, 'y', 'other'), (3, 'z', 'anon'),
        (4, 'z', 'hidden')",
    "create table partly (id int primary key, owner text, shown text, secret text)",
    "grant select (id, shown), update (shown) on partly to anon",
    "create policy sees on partly for select to anon using (owner <> 'hidden')",
    "create policy changes on partly for update to anon using (owner = 'anon')",
    "insert into partly values (1, 'anon', 'a', 's'), (2, 'other', 'b', 's'), (3, 'hidden', 'c', 's')",
    "grant execute on function teapot() to anon",
    "comment on function add(int, int) is 'sums'",
    "grant usage on schema api to anon, service_role",
    "grant usage on schema other to anon, service_role",
    "grant select on all tables in schema api to service_role",
    "insert into client values (1, 'Ann'), (2, 'Bob'), (3, 'none')",
    "insert into item (id, client_id, name, code, feeling, size, moods, price, weight, ok, at, tags,
        labels, doc, raw, span, words, prose) values
        (1, 1, 'one', 'a', 'sad', 's', '{sad,ok}', 1.50, 0.5, true, '2024-01-01T12:00:00Z', '{a,b}',
            '{x}', '{\"a\": {\"b\": [1, 2]}, \"t\": \"x\"}', '{\"k\": 1}', '[1,5)',
            to_tsvector('english', 'cats'), 'The cats sat'),
        (2, 1, 'two', 'b', 'ok', 'm', '{glad}', 2, 1.5, false, '2024-06-01T12:00:00Z', '{b,c}',
            '{y}', '{\"a\": 5}', '{\"k\": 2}', '[5,9)', to_tsvector('dogs'), 'A dog'),
        (3, 2, 'T%ree', 'c', 'glad', 'l', null, 3, null, null, null, null, null, null, null, null,
            null, null)",
    "insert into mark values (1, 2), (1, 3), (2, 1)",
];

struct Db {
    app: Postgres,
    schema: Schema,
    settings: Settings,
}

async fn db() -> Db {
    let cluster = Cluster::connect(&test_url(), &Connections::new(4))
        .await
        .unwrap();
    let id = AppId(Uuid::new_v4());
    cluster.create_app(id, "secret").await.unwrap();
    migrate(&cluster, id, MIGRATION).await;
    let app = cluster.open_app(id, "secret");
    let schemas = ["public".to_owned(), "api".to_owned()];
    let schema = app.introspect_schemas(&schemas).await.unwrap();
    Db {
        app,
        schema,
        settings: Settings {
            search_path: vec!["other".to_owned()],
            ..Settings::default()
        },
    }
}

async fn migrate(cluster: &Cluster, app: AppId, statements: &[&str]) {
    let owner = cluster.as_owner(app).await.unwrap();
    let mut tx = owner.begin().await.unwrap();
    for (line, statement) in statements.iter().enumerate() {
        tx.execute("1.sql", line + 1, statement).await.unwrap();
    }
    tx.harden(&[]).await.unwrap();
    tx.commit().await.unwrap().close().await.unwrap();
}

impl Db {
    fn table(&self, name: &str) -> Arc<Table> {
        let (schema, name) = name.split_once('.').unwrap_or(("public", name));
        self.schema.relation(schema, name).unwrap().clone()
    }

    fn function(&self, name: &str) -> Arc<Function> {
        self.schema.functions["public"][name][0].clone()
    }

    async fn begin(&self, role: Role) -> PgTx {
        let context = Context {
            role,
            request: Some(Arc::new(RequestInfo {
                method: "POST".to_owned(),
                path: "/x".to_owned(),
                headers: r#"{"a":"'\\é"}"#.to_owned(),
                cookies: "{}".to_owned(),
            })),
            ..Context::default()
        };
        let options = Begin {
            statement_timeout: Duration::from_secs(20),
            ..Begin::write()
        };
        self.app.begin(&context, options).await.unwrap()
    }

    async fn run(&self, tx: &mut PgTx, work: Work) -> Result<Rows, DataError> {
        run(tx, &self.schema, &self.settings, &work).await
    }

    /// Does it as `service_role`, and keeps nothing.
    async fn once(&self, work: Work) -> Result<Rows, DataError> {
        let mut tx = self.begin(Role::ServiceRole).await;
        let rows = self.run(&mut tx, work).await;
        tx.rollback().await.unwrap();
        rows
    }

    async fn read(&self, node: Node) -> String {
        text(self.once(read(node, Preferences::default())).await)
    }

    async fn call(&self, name: &str, arguments: Arguments, node: Option<Node>) -> String {
        text(self.once(self.calling(name, arguments, node)).await)
    }

    fn calling(&self, name: &str, arguments: Arguments, node: Option<Node>) -> Work {
        Work::Call(CallPlan {
            function: self.function(name),
            arguments,
            node,
            preferences: Preferences::default(),
            read_only: false,
            limit: 1000,
            offset: None,
        })
    }
}

fn read(node: Node, preferences: Preferences) -> Work {
    Work::Read(ReadPlan {
        node,
        preferences,
        rows_max: 1000,
    })
}

/// The body, or the code and message of the error.
fn text(rows: Result<Rows, DataError>) -> String {
    match rows {
        Ok(rows) => String::from_utf8(rows.body).unwrap(),
        Err(DataError::Sql(fault)) => format!("{} {}", fault.code, fault.message),
        Err(error) => format!("{error:?}"),
    }
}

fn source(source: Source, alias: u32) -> Node {
    Node {
        source,
        alias,
        outputs: Vec::new(),
        conditions: Vec::new(),
        groups: None,
        orders: Vec::new(),
        limit: None,
        offset: None,
    }
}

fn node(table: &Arc<Table>, alias: u32, columns: &[&str]) -> Node {
    from(Source::Relation(table.clone()), table, alias, columns)
}

fn from(of: Source, table: &Arc<Table>, alias: u32, columns: &[&str]) -> Node {
    let mut node = source(of, alias);
    for column in columns {
        node.outputs.push(output(column, col(alias, table, column)));
    }
    node
}

fn output(key: &str, expr: Expr) -> Output {
    Output {
        key: key.to_owned(),
        expr,
    }
}

fn col(alias: u32, table: &Arc<Table>, name: &str) -> Expr {
    Expr::Column {
        alias,
        table: table.clone(),
        column: table.column(name).unwrap(),
    }
}

fn field(name: &str, function: Option<Arc<Function>>) -> Expr {
    Expr::Named {
        alias: 0,
        name: Name::of_catalog(name),
        function,
    }
}

fn test(expr: Expr, test: Test) -> Condition {
    Condition::Test {
        expr,
        not: false,
        test,
    }
}

fn is(expr: Expr, literal: &str) -> Condition {
    test(expr, Test::Compare(Operator::Eq, None, literal.to_owned()))
}

fn by(expr: Expr) -> Order {
    Order {
        expr,
        descending: false,
        nulls_first: false,
    }
}

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

/// Cells by column; `default` leaves one to its default.
fn cells(table: &Table, cells: &[(&str, &str)]) -> Cells {
    let cell = |(column, json): &(&str, &str)| {
        let json = (*json != "default").then(|| raw(json));
        (table.column(column).unwrap(), json)
    };
    cells.iter().map(cell).collect()
}

fn answer(node: Option<Node>) -> Answering {
    Answering {
        node,
        preferences: Preferences::default(),
    }
}

fn json(values: &[(&str, &str)]) -> Arguments {
    let value = |(name, json): &(&str, &str)| ((*name).to_owned(), raw(json));
    Arguments::Json(values.iter().map(value).collect())
}

fn texts(values: &[(&str, &[&str])]) -> Arguments {
    let value = |(name, texts): &(&str, &[&str])| {
        let texts = texts.iter().map(|text| (*text).to_owned());
        ((*name).to_owned(), texts.collect())
    };
    Arguments::Text(values.iter().map(value).collect())
}
