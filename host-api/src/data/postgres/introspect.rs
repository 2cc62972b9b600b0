//! The catalog's JSON (`sql::INTROSPECT`) as a [`Schema`].

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use crate::data::{Check, Column, DataError, Enum, ForeignKey, Key, Name, Schema, Table, Type};

#[derive(Deserialize)]
struct RawSchema {
    enums: Vec<RawEnum>,
    tables: Vec<RawTable>,
}

#[derive(Deserialize)]
struct RawEnum {
    name: String,
    labels: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct RawTable {
    name: String,
    comment: Option<String>,
    columns: Vec<RawColumn>,
    constraints: Vec<RawConstraint>,
}

#[derive(Deserialize)]
struct RawColumn {
    name: String,
    /// The whole type as `format_type` writes it.
    format: String,
    /// The type's name, or that of an array's elements.
    #[serde(rename = "type")]
    ty: String,
    modifier: i32,
    builtin: bool,
    #[serde(rename = "enum")]
    is_enum: bool,
    array: bool,
    not_null: bool,
    default: bool,
    generated: bool,
    comment: Option<String>,
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

pub(super) fn schema(json: &str) -> Result<Schema, DataError> {
    let raw: RawSchema = serde_json::from_str(json)
        .map_err(|error| DataError::Internal(format!("the catalog's JSON: {error}")))?;
    let enums: BTreeMap<String, Arc<Enum>> = raw
        .enums
        .into_iter()
        .map(|raw| {
            let (name, labels) = (raw.name, raw.labels.unwrap_or_default());
            (name.clone(), Arc::new(Enum { name, labels }))
        })
        .collect();
    let tables = raw
        .tables
        .into_iter()
        .map(|raw| (raw.name.clone(), Arc::new(table(raw, &enums))))
        .collect();
    Ok(Schema { tables, enums })
}

fn table(raw: RawTable, enums: &BTreeMap<String, Arc<Enum>>) -> Table {
    let mut table = Table {
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
            name: Name::of_catalog(column.name),
            not_null: column.not_null,
            has_default: column.default,
            generated_always: column.generated,
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

fn ty(column: &RawColumn, enums: &BTreeMap<String, Arc<Enum>>) -> Type {
    let element = if column.is_enum {
        enums.get(&column.ty).cloned().map(Type::Enum)
    } else if column.builtin {
        builtin(&column.ty, column.modifier)
    } else {
        None
    };
    match element {
        Some(element) if column.array => Type::Array(Box::new(element)),
        Some(element) => element,
        None => Type::Other(column.format.clone()),
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
