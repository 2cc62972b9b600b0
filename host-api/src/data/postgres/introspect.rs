//! The catalog's JSON (`sql::INTROSPECT`) as a [`Schema`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;

use super::lineage::Lineage;
use crate::data::schema::{
    Argument, Columns, Function, PUBLIC, Privileges, Returns, View, Volatility,
};
use crate::data::{
    Check, Column, DataError, Engine, Enum, ForeignKey, Key, Kind, Name, Schema, Table, Type,
};

#[derive(Deserialize)]
struct RawSchema {
    enums: Vec<RawEnum>,
    tables: Vec<RawTable>,
    functions: Vec<RawFunction>,
}

#[derive(Deserialize)]
struct RawEnum {
    schema: String,
    name: String,
    format: String,
    labels: Option<Vec<String>>,
}

#[derive(Deserialize)]
pub(super) struct RawTable {
    pub(super) oid: i64,
    pub(super) schema: String,
    pub(super) name: String,
    /// `pg_class.relkind`
    kind: char,
    /// What it can be changed by, as bits.
    events: i32,
    invoker: bool,
    comment: Option<String>,
    /// A view's, shortened.
    pub(super) rule: Option<String>,
    grants: Vec<RawGrant>,
    pub(super) columns: Vec<RawColumn>,
    constraints: Vec<RawConstraint>,
}

#[derive(Deserialize)]
struct RawGrant {
    role: String,
    privilege: String,
}

#[derive(Deserialize)]
pub(super) struct RawColumn {
    pub(super) name: String,
    pub(super) number: i32,
    /// The whole type as `format_type` writes it.
    format: String,
    /// The same of a domain's base, without length.
    bare: String,
    /// The type's name, or that of an array's elements.
    #[serde(rename = "type")]
    ty: String,
    modifier: i32,
    builtin: bool,
    /// As `format_type` writes it.
    #[serde(rename = "enum")]
    of_enum: Option<String>,
    array: bool,
    not_null: bool,
    default: bool,
    expression: Option<String>,
    generated: bool,
    comment: Option<String>,
    grants: Option<Vec<RawGrant>>,
}

#[derive(Deserialize)]
struct RawConstraint {
    name: String,
    kind: char,
    columns: Vec<usize>,
    to_schema: Option<String>,
    to_table: Option<String>,
    to_columns: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct RawFunction {
    schema: String,
    name: String,
    /// How many of the last input arguments have a default.
    defaults: usize,
    arguments: Vec<RawArgument>,
    #[serde(rename = "type")]
    ty: String,
    composite: bool,
    relation: Option<(String, String)>,
    fields: Option<Vec<(String, String)>>,
    set: bool,
    one_row: bool,
    volatility: char,
    callers: BTreeSet<String>,
    comment: Option<String>,
}

#[derive(Deserialize)]
struct RawArgument {
    name: String,
    #[serde(rename = "type")]
    ty: String,
    mode: char,
}

/// What `pg_relation_is_updatable` says in bits: 1 shifted by a command's number.
///
/// Source: PostgreSQL 15, `src/include/nodes/nodes.h`, `CmdType`.
const UPDATABLE: i32 = 1 << 2;
const INSERTABLE: i32 = 1 << 3;
const DELETABLE: i32 = 1 << 4;

/// Enums by the name that `format_type` gives them.
type Enums = BTreeMap<String, Arc<Enum>>;

pub(super) fn schema(json: &str) -> Result<Schema, DataError> {
    let raw: RawSchema = serde_json::from_str(json)
        .map_err(|error| DataError::Internal(format!("the catalog's JSON: {error}")))?;
    let mut schema = Schema {
        engine: Engine::Postgres,
        ..Schema::default()
    };
    let mut enums = Enums::new();
    for raw in raw.enums {
        // One of another schema is called as `format_type` calls it, with a dot; so none of `public`
        // may have a dot in its name.
        let name = match &*raw.schema {
            PUBLIC if raw.name.contains('.') => continue,
            PUBLIC => raw.name,
            _ => raw.format.clone(),
        };
        let labels = raw.labels.unwrap_or_default();
        let found = Arc::new(Enum {
            name: name.clone(),
            labels,
        });
        schema.enums.insert(name, found.clone());
        enums.insert(raw.format, found);
    }
    let lineage = Lineage::of(&raw.tables);
    let keys: BTreeMap<i64, Vec<i32>> = raw
        .tables
        .iter()
        .filter_map(|table| {
            let key = table.constraints.iter().find(|found| found.kind == 'p')?;
            let columns = key.columns.iter();
            let columns = columns.filter_map(|at| Some(table.columns.get(*at)?.number));
            Some((table.oid, columns.collect()))
        })
        .collect();
    for raw in raw.tables {
        let key = lineage.key(raw.oid, &keys);
        let mut table = table(raw, &enums, &lineage);
        if !key.is_empty() {
            let name = format!("{}_pkey", table.name.as_str());
            table.primary_key = Some(Key { name, columns: key });
        }
        schema.add(table);
    }
    for raw in raw.functions {
        let function = function(raw, &schema);
        let space = function.schema.as_str().to_owned();
        let space = schema.functions.entry(space).or_default();
        let same = space.entry(function.name.as_str().to_owned()).or_default();
        same.push(Arc::new(function));
    }
    Ok(schema.complete())
}

fn table(raw: RawTable, enums: &Enums, lineage: &Lineage) -> Table {
    let mut table = Table {
        kind: match raw.kind {
            'r' | 'p' => Kind::Table,
            _ => Kind::View(View {
                insertable: raw.events & INSERTABLE != 0,
                updatable: raw.events & UPDATABLE != 0,
                deletable: raw.events & DELETABLE != 0,
                definition: None,
                invoker: raw.invoker,
                closed: None,
            }),
        },
        grants: grants(&raw),
        policies: None,
        schema: Name::of_catalog(raw.schema),
        name: Name::of_catalog(raw.name),
        columns: Vec::new(),
        primary_key: None,
        unique: Vec::new(),
        foreign_keys: Vec::new(),
        checks: Vec::new(),
        comment: raw.comment,
    };
    for column in raw.columns {
        table.columns.push(Column {
            ty: ty(&column, enums),
            format: column.format,
            default: column.expression,
            source: lineage.source(raw.oid, column.number),
            name: Name::of_catalog(column.name),
            not_null: column.not_null,
            has_default: column.default,
            generated_always: column.generated,
            generated: None,
            comment: column.comment,
        });
    }
    // They come in order of their names, which order of bytes is everywhere.
    let mut constraints = raw.constraints;
    constraints.sort_by(|a, b| a.name.cmp(&b.name));
    for constraint in constraints {
        let RawConstraint { name, columns, .. } = constraint;
        match constraint.kind {
            'p' => table.primary_key = Some(Key { name, columns }),
            'u' => table.unique.push(Key { name, columns }),
            'c' => table.checks.push(Check { name }),
            _ => table.foreign_keys.push(ForeignKey {
                name,
                columns,
                to_schema: constraint.to_schema.unwrap_or_default(),
                to_table: constraint.to_table.unwrap_or_default(),
                to_columns: constraint.to_columns.unwrap_or_default(),
            }),
        }
    }
    table
}

fn grants(raw: &RawTable) -> BTreeMap<String, Privileges> {
    let mut grants: BTreeMap<String, Privileges> = BTreeMap::new();
    for (at, column) in raw.columns.iter().enumerate() {
        for RawGrant { role, privilege } in column.grants.iter().flatten() {
            let granted = grants.entry(role.clone()).or_default();
            let Some(columns) = granted.of(privilege) else {
                continue;
            };
            match columns {
                Columns::None => *columns = Columns::Some(vec![at]),
                Columns::Some(columns) => columns.push(at),
                Columns::All => {}
            }
        }
    }
    for RawGrant { role, privilege } in &raw.grants {
        let granted = grants.entry(role.clone()).or_default();
        if privilege == "DELETE" {
            granted.delete = true;
        }
        if let Some(columns) = granted.of(privilege) {
            *columns = Columns::All;
        }
    }
    grants.retain(|_, granted| *granted != Privileges::default());
    grants
}

impl Privileges {
    fn of(&mut self, privilege: &str) -> Option<&mut Columns> {
        match privilege {
            "SELECT" => Some(&mut self.select),
            "INSERT" => Some(&mut self.insert),
            "UPDATE" => Some(&mut self.update),
            _ => None,
        }
    }
}

fn function(raw: RawFunction, schema: &Schema) -> Function {
    let input = |argument: &&RawArgument| matches!(argument.mode, 'i' | 'b' | 'v');
    let inputs = raw.arguments.iter().filter(input).count();
    let arguments = raw.arguments.iter().filter(input).enumerate();
    let arguments = arguments.map(|(at, argument)| Argument {
        name: argument.name.clone(),
        ty: argument.ty.clone(),
        optional: at + raw.defaults >= inputs,
        variadic: argument.mode == 'v',
    });
    let outputs = raw.arguments.iter();
    let outputs = outputs.filter(|argument| matches!(argument.mode, 'o' | 'b' | 't'));
    let outputs: Vec<(String, String)> = outputs
        .enumerate()
        .map(|(at, output)| {
            // PostgreSQL calls what has no name by its place.
            let name = match &*output.name {
                "" => format!("column{}", at + 1),
                name => name.to_owned(),
            };
            (name, output.ty.clone())
        })
        .collect();
    let relation = raw.relation.filter(|_| raw.composite);
    let relation = relation.filter(|(space, name)| schema.relation(space, name).is_some());
    let returns = match relation {
        _ if !outputs.is_empty() => Returns::Record(outputs),
        Some((space, name)) => Returns::Relation(space, name),
        None if raw.composite => Returns::Record(raw.fields.unwrap_or_default()),
        None if raw.ty == "void" => Returns::Void,
        None => Returns::Scalar(raw.ty),
    };
    Function {
        arguments: arguments.collect(),
        schema: Name::of_catalog(raw.schema),
        name: Name::of_catalog(raw.name),
        returns,
        set: raw.set,
        one_row: raw.one_row,
        volatility: match raw.volatility {
            'i' => Volatility::Immutable,
            's' => Volatility::Stable,
            _ => Volatility::Volatile,
        },
        callers: raw.callers,
        comment: raw.comment,
    }
}

fn ty(column: &RawColumn, enums: &Enums) -> Type {
    let element = match &column.of_enum {
        Some(name) => enums.get(name).cloned().map(Type::Enum),
        None if column.builtin => builtin(&column.ty, column.modifier),
        None => None,
    };
    match element {
        Some(element) if column.array => Type::Array(Box::new(element)),
        Some(element) => element,
        None => Type::Other(column.bare.clone()),
    }
}

/// A type of `pg_catalog` by its internal name and modifier.
///
/// Source: PostgreSQL 15, `src/backend/utils/adt/{numeric,varchar}.c`: a length is 4 more than declared;
/// a numeric's precision stands in the high half of what is left, its scale in 11 signed bits.
fn builtin(name: &str, modifier: i32) -> Option<Type> {
    let declared = (modifier >= 4).then(|| modifier - 4);
    let length = declared.and_then(|length| u32::try_from(length).ok());
    Some(match name {
        "bool" => Type::Boolean,
        "int2" => Type::Smallint,
        "int4" => Type::Integer,
        "int8" => Type::Bigint,
        "numeric" => Type::Numeric {
            precision: match declared {
                None => None,
                Some(packed) => {
                    let scale = ((packed & 0x7ff) ^ 1024) - 1024;
                    let precision = u32::try_from((packed >> 16) & 0xffff).ok()?;
                    // A negative scale rounds before the point: only PostgreSQL has that.
                    Some((precision, u32::try_from(scale).ok()?))
                }
            },
        },
        "float4" => Type::Real,
        "float8" => Type::DoublePrecision,
        "text" => Type::Text,
        "varchar" => Type::Varchar { length },
        "bpchar" => Type::Char { length: length? },
        "date" => Type::Date,
        "time" => Type::Time,
        "timestamp" => Type::Timestamp,
        "timestamptz" => Type::Timestamptz,
        "interval" => Type::Interval,
        "uuid" => Type::Uuid,
        "json" => Type::Json,
        "jsonb" => Type::Jsonb,
        "bytea" => Type::Bytea,
        _ => return None,
    })
}
