//! A schema to plan against.

use std::sync::Arc;

use super::super::super::schema::{
    Argument, Columns, Function, Piece, Privileges, Returns, Source, Template, View, Volatility,
};
use super::super::super::{Column, Engine, ForeignKey, Key, Kind, Name, Schema, Table, Type};

/// Columns as `name type`, `*` after a column of the primary key; a view's as `name type table.column`.
pub fn table(name: &str, columns: &[&str]) -> Table {
    let mut key = Vec::new();
    let column = |(index, text): (usize, &&str)| {
        let mut words = text.split(' ');
        let named = words.next().unwrap();
        let plain = named.trim_end_matches('*');
        if plain != named {
            key.push(index);
        }
        let ty = match words.next().unwrap() {
            "bigint" => Type::Bigint,
            "numeric" => Type::Numeric { precision: None },
            "jsonb" => Type::Jsonb,
            "text[]" => Type::Array(Box::new(Type::Text)),
            "text" => Type::Text,
            other => Type::Other(other.to_owned()),
        };
        let source = words.next().and_then(|source| source.split_once('.'));
        Column {
            name: Name::of_catalog(plain),
            format: ty.to_string(),
            ty,
            not_null: plain != named,
            has_default: false,
            default: None,
            generated_always: false,
            generated: None,
            comment: None,
            source: source.map(|(table, column)| Source {
                schema: "public".to_owned(),
                table: table.to_owned(),
                column: column.to_owned(),
            }),
        }
    };
    let columns = columns.iter().enumerate().map(column).collect();
    let all = Privileges {
        select: Columns::All,
        insert: Columns::All,
        update: Columns::All,
        delete: true,
    };
    Table {
        schema: Name::of_catalog("public"),
        name: Name::of_catalog(name),
        kind: Kind::Table,
        columns,
        primary_key: (!key.is_empty()).then(|| Key {
            name: format!("{name}_pkey"),
            columns: key,
        }),
        unique: Vec::new(),
        foreign_keys: Vec::new(),
        checks: Vec::new(),
        comment: None,
        grants: [("authenticated".to_owned(), all)].into(),
        policies: None,
    }
}

/// Foreign keys as `columns>table.columns`, columns joined by `+`; `!` before one that is unique.
pub fn keys(mut table: Table, keys: &[&str]) -> Table {
    for key in keys {
        let unique = key.starts_with('!');
        let (near, far) = key.trim_start_matches('!').split_once('>').unwrap();
        let (to_table, far) = far.split_once('.').unwrap();
        let near: Vec<&str> = near.split('+').collect();
        let columns: Vec<usize> = near
            .iter()
            .map(|name| table.column(name).unwrap())
            .collect();
        let name = format!("{}_{}", table.name.as_str(), near.join("_"));
        if unique {
            table.unique.push(Key {
                name: format!("{name}_key"),
                columns: columns.clone(),
            });
        }
        table.foreign_keys.push(ForeignKey {
            name: format!("{name}_fkey"),
            columns,
            to_schema: "public".to_owned(),
            to_table: to_table.to_owned(),
            to_columns: far.split('+').map(str::to_owned).collect(),
        });
    }
    table
}

pub fn view(mut table: Table, writable: bool, reads: &[&str]) -> Table {
    let pieces = reads.iter().map(|name| Piece::Relation((*name).to_owned()));
    table.kind = Kind::View(View {
        insertable: writable,
        updatable: writable,
        deletable: writable,
        definition: Some(Template(pieces.collect())),
        invoker: true,
        closed: None,
    });
    table
}

fn grants(mut table: Table, granted: Option<Privileges>) -> Table {
    table.grants.clear();
    if let Some(granted) = granted {
        table.grants.insert("public".to_owned(), granted);
    }
    table
}

/// Arguments as `name type`, `?` after the name of an optional one, `...` before a variadic one.
pub fn function(name: &str, arguments: &[&str], returns: Returns, set: bool) -> Function {
    let argument = |text: &&str| {
        let (name, ty) = text.split_once(' ').unwrap();
        Argument {
            name: name.trim_matches(['?', '.']).to_owned(),
            ty: ty.to_owned(),
            optional: name.ends_with('?'),
            variadic: name.starts_with("..."),
        }
    };
    Function {
        schema: Name::of_catalog("public"),
        name: Name::of_catalog(name),
        arguments: arguments.iter().map(argument).collect(),
        returns,
        set,
        one_row: false,
        volatility: Volatility::Volatile,
        callers: ["public".to_owned()].into(),
        comment: None,
    }
}

pub fn sqlite() -> Schema {
    let mut schema = Schema::default();
    let tables = [
        table("clients", &["id* bigint", "name text"]),
        keys(
            table(
                "projects",
                &[
                    "id* bigint",
                    "name text",
                    "client_id bigint",
                    "details jsonb",
                ],
            ),
            &["client_id>clients.id"],
        ),
        keys(
            table("tasks", &["id* bigint", "name text", "project_id bigint"]),
            &["project_id>projects.id"],
        ),
        table(
            "users",
            &["id* bigint", "name text", "data jsonb", "tags text[]"],
        ),
        keys(
            table("users_tasks", &["user_id* bigint", "task_id* bigint"]),
            &["user_id>users.id", "task_id>tasks.id"],
        ),
        keys(
            table(
                "invoices",
                &["id* bigint", "project_id bigint", "total numeric"],
            ),
            &["!project_id>projects.id"],
        ),
        keys(
            table("family", &["id* bigint", "parent_id bigint", "name text"]),
            &["parent_id>family.id"],
        ),
        keys(
            table("orgs", &["id* bigint", "referee bigint", "auditor bigint"]),
            &["referee>orgs.id", "auditor>orgs.id"],
        ),
        keys(
            table(
                "messages",
                &[
                    "id* bigint",
                    "sender bigint",
                    "recipient bigint",
                    "body text",
                ],
            ),
            &["sender>users.id", "recipient>users.id"],
        ),
        view(
            table(
                "projects_view",
                &[
                    "id bigint projects.id",
                    "client bigint projects.client_id",
                    "shout text",
                ],
            ),
            true,
            &["projects"],
        ),
        view(
            table("clients_view", &["cid bigint clients.id"]),
            true,
            &["clients"],
        ),
        view(table("totals", &["n bigint"]), false, &["projects"]),
        view(
            table("leak", &["code text secrets.code"]),
            false,
            &["secrets"],
        ),
        grants(table("secrets", &["id* bigint", "code text"]), None),
        grants(
            keys(
                table(
                    "limited",
                    &["id* bigint", "a text", "b text", "client_id bigint"],
                ),
                &["client_id>clients.id"],
            ),
            Some(Privileges {
                select: Columns::Some(vec![0, 1]),
                insert: Columns::Some(vec![1]),
                update: Columns::Some(vec![1]),
                delete: false,
            }),
        ),
        table("two", &["abcd text", "abce text"]),
        table("three", &["abcd text", "abce text", "abcf text"]),
        table("keyless", &["a text", "span int4range"]),
    ];
    for table in tables {
        schema.add(table);
    }
    schema.complete()
}

pub fn postgres() -> Schema {
    let mut schema = sqlite();
    schema.engine = Engine::Postgres;
    let scalar = |name: &str| Returns::Scalar(name.to_owned());
    let relation = |name: &str| Returns::Relation("public".to_owned(), name.to_owned());
    let fields = vec![
        ("id".to_owned(), "bigint".to_owned()),
        ("title".to_owned(), "text".to_owned()),
    ];
    let mut one_row = function("latest", &[" clients"], relation("projects"), true);
    one_row.one_row = true;
    let functions = [
        function("initials", &["u users"], scalar("text"), false),
        one_row,
        function("tasks", &["p public.projects"], relation("users"), true),
        function("add", &["b integer", "a integer"], scalar("integer"), false),
        function("over", &["a integer"], scalar("text"), false),
        function("over", &["a text"], scalar("text"), false),
        function("options", &["a text", "b? text"], scalar("text"), false),
        function("eat_json", &[" jsonb"], scalar("text"), false),
        function("eat_text", &[" text"], scalar("text"), false),
        function("eat_two", &[" json"], scalar("text"), false),
        function("eat_two", &[" jsonb"], scalar("text"), false),
        function("gather", &["...v text[]"], scalar("text"), true),
        function("all_clients", &[], relation("clients"), true),
        function("record", &[], Returns::Record(fields), true),
        function("loose", &[], Returns::Record(Vec::new()), true),
        function("nothing", &[], Returns::Void, false),
    ];
    let space = schema.functions.entry("public".to_owned()).or_default();
    for function in functions {
        let name = function.name.as_str().to_owned();
        space.entry(name).or_default().push(Arc::new(function));
    }
    schema.complete()
}
