//! A number for a type, for SQL functions that are given a stored value and no column.

use std::sync::Arc;

use crate::data::schema::{Enum, Type};

/// What an array's form adds to that of its element.
const ARRAY: i64 = 1000;
const TEXT: i64 = 8;

impl Type {
    /// How a stored value of this type becomes JSON and text: two types with one form are written and
    /// cast alike. Declared lengths, digits and labels are not part of it. An array has the form of
    /// its element and 1000.
    pub fn form(&self) -> i64 {
        match self {
            Type::Boolean => 1,
            Type::Smallint => 2,
            Type::Integer => 3,
            Type::Bigint => 4,
            Type::Numeric { .. } => 5,
            Type::Real => 6,
            Type::DoublePrecision => 7,
            Type::Text | Type::Other(_) => TEXT,
            Type::Varchar { .. } => 9,
            Type::Char { .. } => 10,
            Type::Date => 11,
            Type::Time => 12,
            Type::Timestamp => 13,
            Type::Timestamptz => 14,
            Type::Interval => 15,
            Type::Uuid => 16,
            Type::Json => 17,
            Type::Jsonb => 18,
            Type::Bytea => 19,
            Type::Enum(_) => 20,
            Type::Array(element) => ARRAY + element.form(),
        }
    }

    /// A type with this form, `None` for a number that is none. An enum comes back without its labels.
    pub(in crate::data) fn of_form(form: i64) -> Option<Type> {
        Some(match form {
            1 => Type::Boolean,
            2 => Type::Smallint,
            3 => Type::Integer,
            4 => Type::Bigint,
            5 => Type::Numeric { precision: None },
            6 => Type::Real,
            7 => Type::DoublePrecision,
            TEXT => Type::Text,
            9 => Type::Varchar { length: None },
            // Of the least length: nothing is cut from what is stored.
            10 => Type::Char { length: 1 },
            11 => Type::Date,
            12 => Type::Time,
            13 => Type::Timestamp,
            14 => Type::Timestamptz,
            15 => Type::Interval,
            16 => Type::Uuid,
            17 => Type::Json,
            18 => Type::Jsonb,
            19 => Type::Bytea,
            20 => Type::Enum(Arc::new(Enum {
                name: "anyenum".to_owned(),
                labels: Vec::new(),
            })),
            // An array of arrays is an array of more dimensions.
            array if (ARRAY..2 * ARRAY).contains(&array) => {
                Type::Array(Box::new(Type::of_form(array - ARRAY)?))
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_distinct_and_read_back() {
        let mut known = 0;
        for form in -5..3000 {
            let Some(ty) = Type::of_form(form) else {
                continue;
            };
            assert_eq!(ty.form(), form);
            known += 1;
        }
        assert_eq!(known, 40);
        assert_eq!(Type::Other("box".to_owned()).form(), Type::Text.form());
    }
}
