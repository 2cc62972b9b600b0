//! Column types as they are written, to [`Type`].

use std::sync::Arc;

use sqlparser::ast::{ArrayElemTypeDef, CharacterLength, DataType, ExactNumberInfo, TimezoneInfo};

use super::Refusal;
use super::catalog::Catalog;
use super::domain::DomainDef;
use super::names;
use crate::data::Type;

/// Digits of a numeric. Source: PostgreSQL 15, "Arbitrary Precision Numbers".
const NUMERIC_DIGITS_MAX: u64 = 1000;
/// Characters of a varchar or char. Source: PostgreSQL 15, "Character Types".
const CHARACTERS_MAX: u64 = 10_485_760;

/// A declared type.
pub struct Declared {
    pub ty: Type,
    pub domain: Option<Arc<DomainDef>>,
    /// Whether it is serial, bigserial or smallserial: `ty`, not null, filled by a sequence.
    pub serial: bool,
}

/// The type that a column's declaration names.
pub fn declared(data_type: &DataType, catalog: &Catalog) -> Result<Declared, Refusal> {
    if let DataType::Custom(name, arguments) = data_type
        && arguments.is_empty()
        && let [name] = &names::parts(name)?[..]
    {
        let ty = match name.as_str() {
            "serial" | "serial4" => Some(Type::Integer),
            "bigserial" | "serial8" => Some(Type::Bigint),
            "smallserial" | "serial2" => Some(Type::Smallint),
            _ => None,
        };
        if let Some(ty) = ty {
            return Ok(Declared {
                ty,
                domain: None,
                serial: true,
            });
        }
    }
    if let DataType::Custom(name, arguments) = data_type
        && arguments.is_empty()
        && let Ok(name) = names::relation(name)
        && let Some(domain) = catalog.domains.get(&name)
    {
        return Ok(Declared {
            ty: domain.ty.clone(),
            domain: Some(domain.clone()),
            serial: false,
        });
    }
    Ok(Declared {
        ty: plain(data_type, catalog)?,
        domain: None,
        serial: false,
    })
}

/// The type of a column or a cast.
pub fn plain(data_type: &DataType, catalog: &Catalog) -> Result<Type, Refusal> {
    let unknown = || Refusal::only_postgres(format!("the type {data_type}"));
    Ok(match data_type {
        DataType::Bool | DataType::Boolean => Type::Boolean,
        DataType::SmallInt(None) | DataType::Int2(None) => Type::Smallint,
        DataType::Int(None) | DataType::Integer(None) | DataType::Int4(None) => Type::Integer,
        DataType::BigInt(None) | DataType::Int8(None) => Type::Bigint,
        DataType::Numeric(digits) | DataType::Decimal(digits) | DataType::Dec(digits) => {
            numeric(digits)?
        }
        DataType::Real | DataType::Float4 => Type::Real,
        DataType::DoublePrecision | DataType::Float8 | DataType::Float(ExactNumberInfo::None) => {
            Type::DoublePrecision
        }
        DataType::Float(ExactNumberInfo::Precision(bits)) => match bits {
            1..=24 => Type::Real,
            25..=53 => Type::DoublePrecision,
            _ => return Err(Refusal::wrong("precision of float must be 1 to 53 bits")),
        },
        DataType::Text => Type::Text,
        DataType::Varchar(length)
        | DataType::CharacterVarying(length)
        | DataType::CharVarying(length) => Type::Varchar {
            length: characters(length)?,
        },
        DataType::Char(length) | DataType::Character(length) => Type::Char {
            length: characters(length)?.unwrap_or(1),
        },
        DataType::Date => Type::Date,
        DataType::Time(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => Type::Time,
        DataType::Timestamp(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            Type::Timestamp
        }
        DataType::Timestamp(None, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => {
            Type::Timestamptz
        }
        DataType::Interval {
            fields: None,
            precision: None,
        } => Type::Interval,
        DataType::Uuid => Type::Uuid,
        DataType::JSON => Type::Json,
        DataType::JSONB => Type::Jsonb,
        DataType::Bytea => Type::Bytea,
        DataType::Array(
            ArrayElemTypeDef::SquareBracket(element, _) | ArrayElemTypeDef::Qualified(element, _),
        ) => match plain(element, catalog)? {
            // PostgreSQL's arrays have no fixed number of dimensions.
            array @ Type::Array(_) => array,
            element => Type::Array(Box::new(element)),
        },
        DataType::Custom(name, arguments) if arguments.is_empty() => {
            let parts = names::parts(name)?;
            let name = match &parts[..] {
                [name] => name,
                [schema, name] if schema == "public" => name,
                _ => return Err(unknown()),
            };
            match (catalog.enums.get(name), name.as_str()) {
                (Some(of), _) => Type::Enum(of.clone()),
                (None, "bool") => Type::Boolean,
                (None, "int2") => Type::Smallint,
                (None, "int4") => Type::Integer,
                (None, "int8") => Type::Bigint,
                (None, "float4") => Type::Real,
                (None, "float8") => Type::DoublePrecision,
                (None, "timestamptz") => Type::Timestamptz,
                (None, "bpchar") => Type::Char { length: 1 },
                (None, "serial" | "bigserial" | "smallserial") => {
                    return Err(
                        Refusal::wrong(format!("type \"{name}\" does not exist here"))
                            .fix("a serial is a whole column's type in `create table`"),
                    );
                }
                _ => return Err(unknown()),
            }
        }
        _ => return Err(unknown()),
    })
}

fn numeric(digits: &ExactNumberInfo) -> Result<Type, Refusal> {
    let (precision, scale) = match *digits {
        ExactNumberInfo::None => return Ok(Type::Numeric { precision: None }),
        ExactNumberInfo::Precision(precision) => (precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (precision, scale),
    };
    if !(1..=NUMERIC_DIGITS_MAX).contains(&precision) {
        return Err(Refusal::wrong(format!(
            "NUMERIC precision {precision} must be between 1 and {NUMERIC_DIGITS_MAX}"
        )));
    }
    match (u32::try_from(precision), u32::try_from(scale)) {
        (Ok(precision), Ok(scale)) if scale <= precision => Ok(Type::Numeric {
            precision: Some((precision, scale)),
        }),
        _ => Err(Refusal::only_postgres(format!(
            "numeric({precision},{scale}), whose scale is negative or above its precision,"
        ))),
    }
}

fn characters(length: &Option<CharacterLength>) -> Result<Option<u32>, Refusal> {
    match length {
        None => Ok(None),
        Some(CharacterLength::IntegerLength { length, .. })
            if (1..=CHARACTERS_MAX).contains(length) =>
        {
            Ok(u32::try_from(*length).ok())
        }
        Some(other) => Err(Refusal::wrong(format!(
            "a length must be between 1 and {CHARACTERS_MAX}, not {other}"
        ))),
    }
}
