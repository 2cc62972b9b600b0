//! The root document: what a caller may reach, as OpenAPI 2.0. Pure.

use pumice_host_api::data::schema::{
    Argument, Columns, Enum, Function, Privileges, Returns, Volatility,
};
use pumice_host_api::data::{Column, Kind, Schema, Table, Type};
use serde_json::{Map, Value, json};

/// What the document is about.
pub struct Document<'d> {
    pub app: &'d str,
    pub schema: &'d Schema,
    /// The schema asked for.
    pub space: &'d str,
    /// Whose privileges count; none for who is bound by none.
    pub role: Option<&'d str>,
    /// Procedures of the app that the caller may call.
    pub procedures: Vec<&'d str>,
    /// As the request has it.
    pub host: &'d str,
    pub scheme: &'d str,
    /// What stands before a table's name in a path.
    pub base: &'d str,
}

/// What the caller may do with a relation.
struct Rights {
    select: bool,
    insert: bool,
    update: bool,
    delete: bool,
    /// By column: whether any of it reaches the column.
    columns: Vec<bool>,
}

const MEDIA: [&str; 4] = [
    "application/json",
    "application/vnd.pgrst.object+json;nulls=stripped",
    "application/vnd.pgrst.object+json",
    "text/csv",
];

impl Document<'_> {
    /// The document as JSON text.
    pub fn write(&self) -> Vec<u8> {
        let mut paths = Map::new();
        let mut definitions = Map::new();
        let mut parameters = shared();
        let root = json!({ "get": {
            "tags": ["Introspection"],
            "summary": "OpenAPI description (this document)",
            "produces": ["application/openapi+json", "application/json"],
            "responses": { "200": { "description": "OK" } },
        } });
        paths.insert("/".to_owned(), root);
        let relations = self.schema.relations.get(self.space);
        for (name, table) in relations.into_iter().flatten() {
            let rights = self.rights(table);
            if rights.columns.contains(&true) || rights.delete {
                paths.insert(format!("/{name}"), path(table, &rights));
                definitions.insert(name.clone(), self.definition(table, &rights));
                self.parameters(table, &rights, &mut parameters);
            }
        }
        let functions = self.schema.functions.get(self.space);
        for (name, overloads) in functions.into_iter().flatten() {
            // A path has one description: that of the first of its overloads.
            let mut callable = overloads.iter().filter(|function| {
                function.is_callable() && self.role.is_none_or(|role| function.lets_in(role))
            });
            if let Some(function) = callable.next() {
                paths.insert(format!("/rpc/{name}"), call(function));
            }
        }
        for name in &self.procedures {
            paths.insert(format!("/rpc/{name}"), procedure(name));
        }
        let document = json!({
            "swagger": "2.0",
            "info": { "title": self.app, "description": "", "version": env!("CARGO_PKG_VERSION") },
            "host": self.host,
            "basePath": self.base,
            "schemes": [self.scheme],
            "consumes": MEDIA,
            "produces": MEDIA,
            "paths": paths,
            "definitions": definitions,
            "parameters": parameters,
        });
        document.to_string().into_bytes()
    }

    fn rights(&self, table: &Table) -> Rights {
        let all = Privileges {
            select: Columns::All,
            insert: Columns::All,
            update: Columns::All,
            delete: true,
        };
        let granted: Vec<&Privileges> = match self.role {
            None => vec![&all],
            Some(role) => [role, "public"]
                .iter()
                .filter_map(|role| table.grants.get(*role))
                .collect(),
        };
        let any = |columns: fn(&Privileges) -> &Columns| {
            granted.iter().any(|given| *columns(given) != Columns::None)
        };
        let (insertable, updatable, deletable) = writable(table);
        let (insert, update) = (any(|given| &given.insert), any(|given| &given.update));
        let reaches = |column| {
            granted.iter().any(|given| {
                let lists = [&given.select, &given.insert, &given.update];
                lists.iter().any(|columns| columns.contains(column))
            })
        };
        Rights {
            select: any(|given| &given.select),
            insert: insertable && insert,
            update: updatable && update,
            delete: deletable && granted.iter().any(|given| given.delete),
            columns: (0..table.columns.len()).map(reaches).collect(),
        }
    }

    fn definition(&self, table: &Table, rights: &Rights) -> Value {
        let columns = || {
            let columns = table.columns.iter().zip(&rights.columns).enumerate();
            columns.filter_map(|(at, (column, reached))| reached.then_some((at, column)))
        };
        let required: Vec<&str> = columns()
            .filter(|(_, column)| column.not_null && !column.has_default)
            .map(|(_, column)| column.name.as_str())
            .collect();
        let properties: Map<String, Value> = columns()
            .map(|(at, column)| (column.name.as_str().to_owned(), property(table, at, column)))
            .collect();
        let mut definition = json!({ "type": "object", "properties": properties });
        if !required.is_empty() {
            definition["required"] = json!(required);
        }
        if let Some(comment) = &table.comment {
            definition["description"] = json!(comment);
        }
        definition
    }

    fn parameters(&self, table: &Table, rights: &Rights, parameters: &mut Map<String, Value>) {
        let name = table.name.as_str();
        let mut body = json!({
            "name": name, "in": "body", "required": false,
            "schema": { "$ref": format!("#/definitions/{name}") },
        });
        if let Some(comment) = &table.comment {
            body["description"] = json!(comment);
        }
        parameters.insert(format!("body.{name}"), body);
        let columns = table.columns.iter().zip(&rights.columns);
        for (column, _) in columns.filter(|(_, reached)| **reached) {
            let mut filter = json!({
                "name": column.name.as_str(), "in": "query", "required": false, "type": "string",
            });
            if let Some(comment) = &column.comment {
                filter["description"] = json!(comment);
            }
            parameters.insert(format!("rowFilter.{name}.{}", column.name.as_str()), filter);
        }
    }
}

/// What can be written of a relation by anybody: inserted, updated, deleted.
pub fn writable(table: &Table) -> (bool, bool, bool) {
    match &table.kind {
        Kind::Table => (true, true, true),
        Kind::View(view) => (view.insertable, view.updatable, view.deletable),
    }
}

fn path(table: &Table, rights: &Rights) -> Value {
    let name = table.name.as_str();
    let filters = || -> Vec<Value> {
        let columns = table.columns.iter().zip(&rights.columns);
        let columns = columns.filter(|(_, reached)| **reached);
        columns
            .map(|(column, _)| reference(&format!("rowFilter.{name}.{}", column.name.as_str())))
            .collect()
    };
    let operation = |parameters: Vec<Value>, responses: Value| {
        let mut operation = json!({
            "tags": [name], "parameters": parameters, "responses": responses,
        });
        if let Some(comment) = &table.comment {
            let (summary, rest) = comment.split_once('\n').unwrap_or((comment, ""));
            operation["summary"] = json!(summary);
            if !rest.is_empty() {
                operation["description"] = json!(rest.trim_start_matches('\n'));
            }
        }
        operation
    };
    let with = |mut parameters: Vec<Value>, more: &[&str]| {
        parameters.extend(more.iter().map(|name| reference(name)));
        parameters
    };
    let body = format!("body.{name}");
    let mut path = Map::new();
    if rights.select {
        let more = [
            "select",
            "order",
            "range",
            "rangeUnit",
            "offset",
            "limit",
            "preferCount",
        ];
        let rows = json!({
            "description": "OK",
            "schema": { "type": "array", "items": { "$ref": format!("#/definitions/{name}") } },
        });
        let responses = json!({ "200": rows, "206": { "description": "Partial Content" } });
        path.insert(
            "get".to_owned(),
            operation(with(filters(), &more), responses),
        );
    }
    if rights.insert {
        let parameters = with(Vec::new(), &[&body, "select", "on_conflict", "preferPost"]);
        let responses = json!({ "201": { "description": "Created" } });
        path.insert("post".to_owned(), operation(parameters, responses));
    }
    let done = || json!({ "204": { "description": "No Content" } });
    if rights.update {
        let parameters = with(filters(), &[&body, "preferReturn"]);
        path.insert("patch".to_owned(), operation(parameters, done()));
    }
    if rights.delete {
        let parameters = with(filters(), &["preferReturn"]);
        path.insert("delete".to_owned(), operation(parameters, done()));
    }
    Value::Object(path)
}

fn reference(parameter: &str) -> Value {
    json!({ "$ref": format!("#/parameters/{parameter}") })
}

fn property(table: &Table, at: usize, column: &Column) -> Value {
    let mut property = json!({ "format": column.format });
    if let Some(name) = type_name(&column.ty) {
        property["type"] = json!(name);
    }
    match &column.ty {
        Type::Array(element) => property["items"] = items(type_name(element)),
        Type::Enum(of) => property["enum"] = labels(of),
        Type::Varchar {
            length: Some(length),
        }
        | Type::Char { length } => {
            property["maxLength"] = json!(length);
        }
        _ => {}
    }
    if let Some(default) = column
        .default
        .as_deref()
        .and_then(|text| default(&column.ty, text))
    {
        property["default"] = default;
    }
    let key = table.primary_key.as_ref();
    let mut notes = Vec::new();
    if key.is_some_and(|key| key.columns.contains(&at)) {
        notes.push("This is a Primary Key.<pk/>".to_owned());
    }
    let target = table.foreign_keys.iter().find(|key| key.columns == [at]);
    if let Some((key, to)) = target.and_then(|key| Some((key, key.to_columns.first()?))) {
        let table = &key.to_table;
        notes.push(format!(
            "This is a Foreign Key to `{table}.{to}`.<fk table='{table}' column='{to}'/>"
        ));
    }
    let comment = column.comment.as_deref();
    if !notes.is_empty() {
        let before = comment.map_or_else(String::new, |comment| format!("{comment}\n\n"));
        property["description"] = json!(format!("{before}Note:\n{}", notes.join("\n")));
    } else if let Some(comment) = comment {
        property["description"] = json!(comment);
    }
    property
}

/// The JSON type of a column; none when it may be any.
fn type_name(ty: &Type) -> Option<&'static str> {
    match ty {
        Type::Boolean => Some("boolean"),
        Type::Smallint | Type::Integer | Type::Bigint => Some("integer"),
        Type::Numeric { .. } | Type::Real | Type::DoublePrecision => Some("number"),
        Type::Array(_) => Some("array"),
        Type::Json | Type::Jsonb => None,
        _ => Some("string"),
    }
}

fn items(name: Option<&str>) -> Value {
    name.map_or_else(|| json!({}), |name| json!({ "type": name }))
}

fn labels(of: &Enum) -> Value {
    json!(of.labels)
}

/// A default as JSON: constants as their value, text of any other expression where text may stand.
fn default(ty: &Type, text: &str) -> Option<Value> {
    let name = type_name(ty);
    let constant = match text.strip_prefix('\'').and_then(|rest| quoted(rest)) {
        Some((constant, rest)) if rest.is_empty() || rest.starts_with("::") => Some(constant),
        _ => None,
    };
    match (name, constant) {
        (Some("string"), Some(constant)) => Some(Value::String(constant)),
        (Some("string"), None) => Some(Value::String(text.to_owned())),
        (_, Some(constant)) => serde_json::from_str(&constant).ok(),
        (_, None) => serde_json::from_str(text).ok(),
    }
}

/// A constant without the quote before it, and what follows the quote after it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut constant = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('\'')?;
        constant.push_str(part);
        match after.strip_prefix('\'') {
            Some(more) => {
                constant.push('\'');
                rest = more;
            }
            None => return Some((constant, after)),
        }
    }
}

fn call(function: &Function) -> Value {
    let name = function.name.as_str();
    let properties: Map<String, Value> = named(function)
        .map(|argument| {
            let mut property = json!({ "format": argument.ty });
            match argument.ty.strip_suffix("[]") {
                Some(element) => {
                    property["type"] = json!("array");
                    property["items"] = items(named_type(element));
                }
                None => {
                    if let Some(name) = named_type(&argument.ty) {
                        property["type"] = json!(name);
                    }
                }
            }
            (argument.name.clone(), property)
        })
        .collect();
    let required: Vec<&str> = named(function)
        .filter(|argument| !argument.optional && !argument.variadic)
        .map(|argument| argument.name.as_str())
        .collect();
    let mut schema = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    let arguments = json!({ "name": "args", "in": "body", "required": true, "schema": schema });
    let operation = |parameters: Vec<Value>| {
        let responses = match function.returns {
            Returns::Void => json!({ "204": { "description": "No Content" } }),
            _ => json!({ "200": { "description": "OK" } }),
        };
        let mut operation = json!({
            "tags": [format!("(rpc) {name}")],
            "produces": MEDIA,
            "parameters": parameters,
            "responses": responses,
        });
        if let Some(comment) = &function.comment {
            let (summary, rest) = comment.split_once('\n').unwrap_or((comment, ""));
            operation["summary"] = json!(summary);
            if !rest.is_empty() {
                operation["description"] = json!(rest.trim_start_matches('\n'));
            }
        }
        operation
    };
    let mut path = Map::new();
    if function.volatility != Volatility::Volatile {
        let parameters = named(function).map(|argument| {
            let mut parameter = json!({
                "name": argument.name, "in": "query", "format": argument.ty, "type": "string",
                "required": !argument.optional && !argument.variadic,
            });
            if argument.variadic {
                parameter["type"] = json!("array");
                parameter["items"] = json!({ "type": "string" });
                parameter["collectionFormat"] = json!("multi");
            } else if let Some(name) = named_type(&argument.ty) {
                parameter["type"] = json!(name);
            }
            parameter
        });
        path.insert("get".to_owned(), operation(parameters.collect()));
    }
    let parameters = vec![arguments, reference("preferParams")];
    path.insert("post".to_owned(), operation(parameters));
    Value::Object(path)
}

fn named(function: &Function) -> impl Iterator<Item = &Argument> {
    let arguments = function.arguments.iter();
    arguments.filter(|argument| !argument.name.is_empty())
}

/// As [`type_name`], of an argument's type.
fn named_type(ty: &str) -> Option<&'static str> {
    match ty {
        "boolean" => Some("boolean"),
        "smallint" | "integer" | "bigint" => Some("integer"),
        "numeric" | "real" | "double precision" => Some("number"),
        "json" | "jsonb" => None,
        _ => Some("string"),
    }
}

/// A procedure of the app: what it takes and answers is its author's to say.
fn procedure(name: &str) -> Value {
    json!({ "post": {
        "tags": [format!("(rpc) {name}")],
        "produces": ["application/json"],
        "parameters": [
            { "name": "args", "in": "body", "required": false, "schema": { "type": "object" } },
            reference("preferParams"),
        ],
        "responses": { "200": { "description": "OK" } },
    } })
}

/// Parameters that no table owns.
fn shared() -> Map<String, Value> {
    let prefer = |values: &[&str]| {
        json!({
            "name": "Prefer", "description": "Preference", "in": "header", "required": false,
            "type": "string", "enum": values,
        })
    };
    let query = |name: &str, description: &str| {
        json!({
            "name": name, "description": description, "in": "query", "required": false,
            "type": "string",
        })
    };
    let header = |name: &str, description: &str| {
        json!({
            "name": name, "description": description, "in": "header", "required": false,
            "type": "string",
        })
    };
    let returns = ["return=representation", "return=minimal", "return=none"];
    let mut unit = header("Range-Unit", "Limiting and Pagination");
    unit["default"] = json!("items");
    let resolution = [
        "resolution=ignore-duplicates",
        "resolution=merge-duplicates",
    ];
    let entries = [
        ("preferParams", prefer(&["params=single-object"])),
        ("preferReturn", prefer(&returns)),
        ("preferCount", prefer(&["count=none"])),
        (
            "preferPost",
            prefer(&[&returns[..], &resolution[..]].concat()),
        ),
        ("select", query("select", "Filtering Columns")),
        ("on_conflict", query("on_conflict", "On Conflict")),
        ("order", query("order", "Ordering")),
        ("range", header("Range", "Limiting and Pagination")),
        ("rangeUnit", unit),
        ("offset", query("offset", "Limiting and Pagination")),
        ("limit", query("limit", "Limiting and Pagination")),
    ];
    let entries = entries.into_iter();
    entries
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Tables `orders` and `users`, a view that cannot be written, functions `add` and `wipe`.
    pub fn schema() -> Schema {
        serde_json::from_str(include_str!("openapi_schema.json")).unwrap()
    }

    fn document(role: Option<&str>) -> Value {
        let schema = schema();
        let document = Document {
            app: "shop",
            schema: &schema,
            space: "public",
            role,
            procedures: vec!["transfer"],
            host: "127.0.0.1:8787",
            scheme: "http",
            base: "/rest/v1",
        };
        serde_json::from_slice(&document.write()).unwrap()
    }

    #[test]
    fn the_whole_document_is_as_before() {
        let written = serde_json::to_string_pretty(&document(None)).unwrap();
        let golden = include_str!("openapi_golden.json");
        assert_eq!(written.trim(), golden.trim());
    }

    #[test]
    fn a_role_sees_what_it_may_reach() {
        let keys =
            |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
        let check = |role: &str, paths: &[&str], verbs: &[&str], columns: &[&str]| {
            let document = document(Some(role));
            assert_eq!(keys(&document["paths"]), paths, "{role}");
            let orders = &document["paths"]["/orders"];
            if !verbs.is_empty() {
                assert_eq!(keys(orders), verbs, "{role}");
                let properties = &document["definitions"]["orders"]["properties"];
                assert_eq!(keys(properties), columns, "{role}");
            }
            // What everybody may do with a view that cannot be written is to read it.
            assert_eq!(keys(&document["paths"]["/open_orders"]), ["get"]);
        };
        let (rpc, all_rpc) = (
            ["/rpc/add", "/rpc/transfer"],
            ["/rpc/add", "/rpc/transfer", "/rpc/wipe"],
        );
        let nobody = [&["/", "/open_orders"], &rpc[..]].concat();
        let some = [&["/", "/open_orders", "/orders"], &rpc[..]].concat();
        let everything = [&["/", "/open_orders", "/orders"], &all_rpc[..]].concat();
        check("stranger", &nobody, &[], &[]);
        check("anon", &some, &["get"], &["id", "state"]);
        let all = [
            "at", "extra", "id", "note", "paid", "state", "tags", "total", "user_id",
        ];
        check(
            "authenticated",
            &everything,
            &["delete", "get", "patch", "post"],
            &all,
        );
    }

    #[test]
    fn defaults_are_values_or_text() {
        let check = |ty: Type, text: &str, expect: Option<Value>| {
            assert_eq!(default(&ty, text), expect, "{text}");
        };
        check(Type::Text, "'a''b'::text", Some(json!("a'b")));
        check(Type::Text, "'a'", Some(json!("a")));
        check(
            Type::Text,
            "lower('A'::text)",
            Some(json!("lower('A'::text)")),
        );
        check(Type::Text, "'a' || 'b'", Some(json!("'a' || 'b'")));
        check(Type::Integer, "5", Some(json!(5)));
        check(Type::Integer, "'5'::bigint", Some(json!(5)));
        check(Type::Integer, "nextval('a_seq'::regclass)", None);
        check(Type::Boolean, "true", Some(json!(true)));
        check(Type::Jsonb, "'{\"a\": 1}'::jsonb", Some(json!({ "a": 1 })));
        check(Type::Timestamptz, "now()", Some(json!("now()")));
        check(Type::Integer, "'", None);
    }
}
