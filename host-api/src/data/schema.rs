//! What an app's tables are: read from its migrations on SQLite, from the catalog on PostgreSQL, and
//! the same for both.
//!
//! Names that reach SQL text come from here and from nowhere else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::relationships::Relationships;

/// The schema of an app's own tables.
pub const PUBLIC: &str = "public";

/// Everything the API of an app can name. Built whole by a reader of a catalog, then never changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// Which database it describes: what only PostgreSQL can do is refused for the other while planning.
    pub engine: Engine,
    /// Tables and views by schema and name. On SQLite there is schema `public` only.
    pub relations: BTreeMap<String, BTreeMap<String, Arc<Table>>>,
    /// Enums by name.
    pub enums: BTreeMap<String, Arc<Enum>>,
    /// SQL functions by schema and name, overloaded ones in order of their arguments. PostgreSQL only.
    pub functions: BTreeMap<String, BTreeMap<String, Vec<Arc<Function>>>>,
    /// PostgreSQL: names of time zones that a request may ask for ([`Schema::has_timezone`]).
    pub timezones: BTreeSet<String>,
    /// What leads from one relation to another. [`Schema::complete`] fills it in.
    #[serde(skip)]
    pub relationships: Relationships,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    #[default]
    Sqlite,
    Postgres,
}

/// A table or a view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// `public`, or another exposed one on PostgreSQL.
    pub schema: Name,
    pub name: Name,
    pub kind: Kind,
    /// In order of definition.
    pub columns: Vec<Column>,
    /// A view has the key of the table it shows, when it shows all its columns.
    pub primary_key: Option<Key>,
    /// In order of name.
    pub unique: Vec<Key>,
    /// In order of name; a view has none.
    pub foreign_keys: Vec<ForeignKey>,
    /// In order of name.
    pub checks: Vec<Check>,
    pub comment: Option<String>,
    /// What roles may do with it, by role (`public` is everybody). On PostgreSQL only for telling what
    /// there is: there the database itself refuses.
    pub grants: BTreeMap<String, Privileges>,
    /// Row policies of a table on SQLite; none when row-level security is off. On PostgreSQL always
    /// none: there the database itself applies them.
    pub policies: Option<Vec<Policy>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    #[default]
    Table,
    View(View),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    pub insertable: bool,
    pub updatable: bool,
    pub deletable: bool,
    /// What a read of it on SQLite reads instead: a whole `select`.
    pub definition: Option<Template>,
    /// Whether the tables it reads are read with the rights of whoever reads it, as PostgreSQL's
    /// `security_invoker` says and we by default; with its owner's otherwise.
    pub invoker: bool,
    /// On SQLite: why rows of it cannot be written.
    #[serde(skip)]
    pub closed: Option<Closed>,
}

/// Why a view cannot be written, in PostgreSQL's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The view itself, or one that it shows.
    pub view: String,
    pub why: String,
}

/// SQLite text of an expression or a select, with places where the text for a relation of schema
/// `public` belongs: what it is depends on who asks. The row that a policy speaks of is `_t` (a
/// column of it stands as `_t."name"`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template(pub Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Piece {
    Text(String),
    /// A relation in a `from`: becomes its name, or a select in parentheses. The text after it always
    /// begins with an alias (` as "m"`).
    Relation(String),
}

/// What a role may do with a relation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Privileges {
    pub select: Columns,
    pub insert: Columns,
    pub update: Columns,
    pub delete: bool,
}

/// The columns a privilege is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Columns {
    #[default]
    None,
    /// Indices into [`Table::columns`], sorted.
    Some(Vec<usize>),
    All,
}

/// A row policy, as `create policy` declares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    pub name: String,
    /// `as restrictive` when false.
    pub permissive: bool,
    pub command: Command,
    /// `public` is everybody.
    pub roles: Vec<String>,
    /// Which rows are seen, changed or deleted.
    pub using: Option<Template>,
    /// Which rows may be written; `using` when none is given.
    pub check: Option<Template>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    All,
    Select,
    Insert,
    Update,
    Delete,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub name: Name,
    pub ty: Type,
    /// The type as PostgreSQL's `format_type` writes it: a domain's name where `ty` is its base.
    pub format: String,
    /// By `not null`, a primary key or an identity.
    pub not_null: bool,
    /// Whether a write may leave it out though it is `not null`: a default, an identity, a serial.
    pub has_default: bool,
    /// The default as PostgreSQL prints it (`pg_get_expr`); as the migration wrote it on SQLite. None
    /// for an identity.
    pub default: Option<String>,
    /// `generated always as (…)` or `generated always as identity`: never written by a client.
    pub generated_always: bool,
    /// On SQLite: what computes a `generated always as (…)`, of the row's other columns by their names.
    #[serde(skip)]
    pub generated: Option<String>,
    pub comment: Option<String>,
    /// Of a view's column: the column that it shows.
    pub source: Option<Source>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Source {
    pub schema: String,
    pub table: String,
    pub column: String,
}

/// An SQL function that a request can call, or that computes a field or a relationship.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    pub schema: Name,
    pub name: Name,
    /// Input arguments in order.
    pub arguments: Vec<Argument>,
    pub returns: Returns,
    /// Whether it answers any number of rows (`setof`, `table`).
    pub set: bool,
    /// Whether the planner is told that it answers one row: `rows 1`.
    pub one_row: bool,
    pub volatility: Volatility,
    /// Roles that may call it (`public` is everybody): for telling what there is only, the database
    /// itself refuses.
    pub callers: BTreeSet<String>,
    pub comment: Option<String>,
}

impl Function {
    /// Whether a role may be told of it.
    pub fn lets_in(&self, role: &str) -> bool {
        self.callers.contains(role) || self.callers.contains(PUBLIC)
    }

    /// Whether a request can say what each argument is: by its name, or as the whole body. Others only
    /// compute fields.
    ///
    /// Source: PostgREST 14, `SchemaCache.hs`, `baseFuncSqlQuery`.
    pub fn is_callable(&self) -> bool {
        let named = |argument: &Argument| !argument.name.is_empty();
        match &self.arguments[..] {
            [only] if only.name.is_empty() => {
                matches!(&*only.ty, "json" | "jsonb" | "text" | "xml" | "bytea")
            }
            all => all.iter().all(named),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Argument {
    /// Empty when it has none.
    pub name: String,
    /// As `format_type` writes it, with its schema where the search path asks for it.
    pub ty: String,
    pub optional: bool,
    pub variadic: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Returns {
    Void,
    /// A type without fields; as `format_type` writes it.
    Scalar(String),
    /// Rows of a table or view that the API knows: schema and name.
    Relation(String, String),
    /// Rows of another composite type or of out arguments: their fields and types.
    Record(Vec<(String, String)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Volatility {
    Volatile,
    Stable,
    Immutable,
}

/// A primary key or a unique constraint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// PostgreSQL's name for it, given or derived: `users_pkey`, `users_email_key`.
    pub name: String,
    /// Indices into [`Table::columns`].
    pub columns: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// Given or derived: `orders_user_id_fkey`.
    pub name: String,
    /// Indices into [`Table::columns`].
    pub columns: Vec<usize>,
    /// Schema of the table it points to: `public` or `auth`.
    pub to_schema: String,
    pub to_table: String,
    pub to_columns: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Given or derived: `orders_total_check`.
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enum {
    pub name: String,
    /// In order of declaration.
    pub labels: Vec<String>,
}

/// An identifier that stands in the catalog. Only this module's readers make one; `Display` quotes it
/// for SQL text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Name(String);

impl Name {
    /// For readers of a catalog: the DDL translator and PostgreSQL's introspection.
    pub(super) fn of_catalog(name: impl Into<String>) -> Name {
        Name(name.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// A column's type, as PostgreSQL names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Type {
    Boolean,
    Smallint,
    Integer,
    Bigint,
    Numeric {
        /// Digits in all and after the point, when declared.
        precision: Option<(u32, u32)>,
    },
    Real,
    DoublePrecision,
    Text,
    Varchar {
        /// Characters.
        length: Option<u32>,
    },
    /// `char(n)`, padded with blanks.
    Char {
        length: u32,
    },
    Date,
    Time,
    Timestamp,
    Timestamptz,
    Interval,
    Uuid,
    Json,
    Jsonb,
    Bytea,
    Array(Box<Type>),
    Enum(Arc<Enum>),
    /// A type that only PostgreSQL has; its name as `format_type` writes it.
    Other(String),
}

impl Schema {
    /// A table or view of schema `public`.
    pub fn table(&self, name: &str) -> Option<&Arc<Table>> {
        self.relation(PUBLIC, name)
    }

    /// Whether a request may ask for this time zone.
    pub fn has_timezone(&self, name: &str) -> bool {
        match self.engine {
            Engine::Sqlite => super::types::is_zone(name),
            Engine::Postgres => self.timezones.contains(name),
        }
    }

    pub fn relation(&self, schema: &str, name: &str) -> Option<&Arc<Table>> {
        self.relations.get(schema)?.get(name)
    }

    /// The SQL functions of a name that a request can call.
    pub fn overloads(&self, schema: &str, name: &str) -> impl Iterator<Item = &Arc<Function>> {
        let functions = self.functions.get(schema);
        let found = functions.and_then(|functions| functions.get(name));
        let overloads = found.into_iter().flatten();
        overloads.filter(|function| function.is_callable())
    }

    /// The tables (no views) of schema `public`, in order of name.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        let public = self.relations.get(PUBLIC).into_iter();
        public
            .flat_map(BTreeMap::values)
            .filter(|table| table.kind == Kind::Table)
    }

    /// Adds a relation under its own names.
    pub(super) fn add(&mut self, table: Table) {
        let space = table.schema.as_str().to_owned();
        let name = table.name.as_str().to_owned();
        let space = self.relations.entry(space).or_default();
        space.insert(name, Arc::new(table));
    }

    /// Once all relations and functions are there: finds what leads from one to another.
    #[must_use]
    pub(super) fn complete(mut self) -> Schema {
        self.relationships = Relationships::of(&self);
        self
    }
}

impl Columns {
    pub fn contains(&self, column: usize) -> bool {
        match self {
            Columns::None => false,
            Columns::Some(columns) => columns.contains(&column),
            Columns::All => true,
        }
    }
}

impl Table {
    /// The index of the column called `name`.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns
            .iter()
            .position(|column| column.name.as_str() == name)
    }
}

impl fmt::Display for Type {
    /// As PostgreSQL's `format_type` writes it, for casts and messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Boolean => f.write_str("boolean"),
            Type::Smallint => f.write_str("smallint"),
            Type::Integer => f.write_str("integer"),
            Type::Bigint => f.write_str("bigint"),
            Type::Numeric { precision: None } => f.write_str("numeric"),
            Type::Numeric {
                precision: Some((precision, scale)),
            } => write!(f, "numeric({precision},{scale})"),
            Type::Real => f.write_str("real"),
            Type::DoublePrecision => f.write_str("double precision"),
            Type::Text => f.write_str("text"),
            Type::Varchar { length: None } => f.write_str("character varying"),
            Type::Varchar {
                length: Some(length),
            } => write!(f, "character varying({length})"),
            Type::Char { length } => write!(f, "character({length})"),
            Type::Date => f.write_str("date"),
            Type::Time => f.write_str("time without time zone"),
            Type::Timestamp => f.write_str("timestamp without time zone"),
            Type::Timestamptz => f.write_str("timestamp with time zone"),
            Type::Interval => f.write_str("interval"),
            Type::Uuid => f.write_str("uuid"),
            Type::Json => f.write_str("json"),
            Type::Jsonb => f.write_str("jsonb"),
            Type::Bytea => f.write_str("bytea"),
            Type::Array(element) => write!(f, "{element}[]"),
            Type::Enum(of) => write!(f, "{}", Name(of.name.clone())),
            Type::Other(name) => f.write_str(name),
        }
    }
}
