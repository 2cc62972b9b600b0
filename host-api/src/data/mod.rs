//! An app's tables: the one door to them.

mod error;
mod schema;
mod value;

pub use self::error::{DataError, GuestFault, SqlFault};
pub use self::schema::{Check, Column, Enum, ForeignKey, Key, Name, Schema, Table, Type};
pub use self::value::{Value, ValueRef};
