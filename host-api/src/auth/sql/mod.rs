//! The statements on users, for both engines.
//!
//! Each row is one JSON object with the fields of its type in `types.rs`. On SQLite a moment is its text
//! in UTC, a truth value 0 or 1, and jsonb the text that PostgreSQL prints for it, as in apps' own tables.

mod audit;
mod factors;
mod flows;
mod prepare;
mod sessions;
mod tokens;
mod users;

pub use self::audit::*;
pub use self::factors::*;
pub use self::flows::*;
pub use self::prepare::*;
pub use self::sessions::*;
pub use self::tokens::*;
pub use self::users::*;
