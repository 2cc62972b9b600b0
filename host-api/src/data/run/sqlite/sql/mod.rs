//! The text of what plans ask of SQLite: names from the schema, values bound, policies compiled in.
//!
//! The outermost rows have one SQL column per output, in the storage form of its type; the host writes
//! them. What is nested is made JSON text by our SQL functions and has type json.

pub mod broken;
mod conditions;
pub mod policies;
pub mod write;

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::data::plan::{CastType, Condition, Expr, Node, Order, Output, Source};
use crate::data::query::{AggregateFunction, Key, Step};
use crate::data::schema::{Command, Name};
use crate::data::sqlite_ffi::{ARGUMENTS_MAX, SQL_BYTES_MAX};
use crate::data::types::write_json_string;
use crate::data::{DataError, Enum, Kind, SqlFault, Table, Type, Value};

use self::conditions::fails;
use self::policies::{Rights, Visible};

/// Operands of one `||` chain: SQLite takes expressions 1,000 deep and tables have up to 1,600 columns.
const CHAIN_MAX: usize = 100;

/// What `tx=rollback` undoes.
pub const SAVEPOINT: &str = "savepoint pumice_answer";
pub const UNDO: &str = "rollback to pumice_answer";
pub const RELEASE: &str = "release pumice_answer";
pub const EXPLAIN: &str = "explain query plan ";

/// Ends a select of rows that are there for who asks. Only then they are asked what may fail, or the
/// refusal would tell of rows that are hidden: SQLite makes one select of two, asks first what an index
/// answers and subqueries last, and puts values for columns that are to be equal to them; never around a
/// limit.
const APART: &str = " limit -1)";

/// A statement being written.
pub struct Statement<'a> {
    rights: Rights<'a>,
    pub text: String,
    pub args: Vec<Value>,
    /// A view and the table below it, through which is written: the plan's `_t0` is the view, the
    /// statement's the table.
    through: Option<(&'a Table, &'a Table)>,
    /// Where `returning` begins.
    returning: Option<usize>,
}

/// The type of each column of an answer.
pub type Types<'a> = Vec<Cow<'a, Type>>;

impl<'a> Statement<'a> {
    pub fn new(rights: Rights<'a>) -> Statement<'a> {
        Statement {
            rights,
            text: String::with_capacity(256),
            args: Vec::new(),
            through: None,
            returning: None,
        }
    }

    /// The rows of `node`.
    ///
    /// # Errors
    /// PostgreSQL's: 22P02 and the like for literals, 42883 for operators that a type has not, those of
    /// policies ([`Rights::visible`]).
    pub fn select(&mut self, node: &'a Node) -> Result<Types<'a>, DataError> {
        self.text.push_str("select ");
        let types = self.outputs(&node.outputs)?;
        self.tail(node)?;
        self.fits()?;
        Ok(types)
    }

    /// How many rows `node` has without limit and offset.
    ///
    /// # Errors
    /// As [`Statement::select`].
    pub fn count(&mut self, node: &'a Node) -> Result<(), DataError> {
        match &node.groups {
            None => {
                self.text.push_str("select count(*)");
                self.from(node)
            }
            Some(groups) => {
                self.text.push_str("select count(*) from (select count(*)");
                self.from(node)?;
                self.groups(groups)?;
                self.text.push(')');
                self.fits()
            }
        }
    }

    /// Whether SQLite takes what is written so far: asked at each expression and member of a list, so
    /// that nothing much larger is ever made.
    fn fits(&self) -> Result<(), DataError> {
        if self.args.len() <= ARGUMENTS_MAX && self.text.len() <= SQL_BYTES_MAX {
            return Ok(());
        }
        Err(DataError::TooLarge(format!(
            "the statement has more than {ARGUMENTS_MAX} values or {SQL_BYTES_MAX} bytes; send fewer filters, members of lists or columns of spread relations"
        )))
    }

    fn outputs(&mut self, outputs: &'a [Output]) -> Result<Types<'a>, DataError> {
        if outputs.is_empty() {
            self.text.push('1');
        }
        let mut types = Vec::with_capacity(outputs.len());
        for (at, output) in outputs.iter().enumerate() {
            if at > 0 {
                self.text.push_str(", ");
            }
            types.push(self.expr(&output.expr)?);
        }
        Ok(types)
    }

    /// From `from` to `offset`.
    fn tail(&mut self, node: &'a Node) -> Result<(), DataError> {
        self.from(node)?;
        if let Some(groups) = &node.groups {
            self.groups(groups)?;
        }
        self.orders(&node.orders)?;
        self.as_added(node);
        self.page(node.limit, node.offset);
        Ok(())
    }

    /// Rows for which no order is asked come as they were added, as on PostgreSQL: read through an index
    /// that has all columns they would not. With other conditions an order would cost more than it is
    /// worth.
    fn as_added(&mut self, node: &Node) {
        let same = |condition: &Condition| matches!(condition, Condition::Same(..));
        if let Source::Relation(table) = &node.source
            && table.kind == Kind::Table
            && !node.outputs.is_empty()
            && node.groups.is_none()
            && node.orders.is_empty()
            && node.conditions.iter().all(same)
            && let Ok(rowid) = write::rowid(table)
        {
            self.push(format_args!(" order by _t{}.{rowid}", node.alias));
        }
    }

    /// `from` and `where`.
    fn from(&mut self, node: &'a Node) -> Result<(), DataError> {
        let mut tables: [Option<(&'a Table, u32)>; 2] = [None, None];
        match &node.source {
            Source::Relation(table) => tables[0] = Some((table, node.alias)),
            Source::Through {
                table,
                junction,
                alias,
            } => tables = [Some((table, node.alias)), Some((junction, *alias))],
            Source::Written(_) => {
                return Err(DataError::Internal("written rows are read by rowid".into()));
            }
            Source::Computed { .. } | Source::Called(_) => return Err(only_postgres()),
        }
        let mut guard = String::new();
        for (table, alias) in tables.into_iter().flatten() {
            self.visible(table, alias, Command::Select, &mut guard)?;
        }
        let views = |(table, _): &(&Table, u32)| matches!(table.kind, Kind::View(_));
        let hides =
            !guard.is_empty() || (self.rights.binds() && tables.iter().flatten().any(views));
        let (last, first): (Vec<_>, Vec<_>) = node.conditions.iter().partition(|c| fails(c));
        let apart = hides && !last.is_empty();
        self.text.push_str(" from ");
        if apart {
            self.push(format_args!("(select _t{}.* from ", node.alias));
        }
        for (at, (table, alias)) in tables.into_iter().flatten().enumerate() {
            self.text.push_str(if at > 0 { ", " } else { "" });
            self.rights.source(table, &mut self.text)?;
            self.push(format_args!(" as _t{alias}"));
        }
        let mut word = self.filter(&guard, first)?;
        if apart {
            self.push(format_args!("{APART} as _t{}", node.alias));
            word = " where ";
        }
        self.all(last, word)
    }

    /// Adds to `guard` what policies say of the rows that `command` reaches.
    fn visible(
        &self,
        table: &'a Table,
        alias: u32,
        command: Command,
        guard: &mut String,
    ) -> Result<(), DataError> {
        if !self.rights.bound(table) {
            return Ok(());
        }
        let condition = match self.rights.visible(table, &format!("_t{alias}"), command)? {
            Visible::All => return Ok(()),
            Visible::Nothing => "false".to_owned(),
            Visible::When(condition) => condition,
        };
        guard.push_str(if guard.is_empty() { "" } else { " and " });
        guard.push_str(&condition);
        Ok(())
    }

    fn groups(&mut self, groups: &'a [Expr]) -> Result<(), DataError> {
        for (at, group) in groups.iter().enumerate() {
            self.text
                .push_str(if at == 0 { " group by " } else { ", " });
            let ty = self.expr(group)?;
            if *ty == Type::Json {
                let message = "could not identify an equality operator for type json";
                return Err(DataError::sql("42883", message));
            }
            self.collate(group, &ty);
        }
        Ok(())
    }

    fn orders(&mut self, orders: &'a [Order]) -> Result<(), DataError> {
        for (at, order) in orders.iter().enumerate() {
            self.text
                .push_str(if at == 0 { " order by " } else { ", " });
            let start = self.text.len();
            let ty = self.expr(&order.expr)?;
            match &*ty {
                Type::Json => {
                    let message = "could not identify an ordering operator for type json";
                    return Err(SqlFault::new("42883", message)
                        .hint("Use an explicit ordering operator or modify the query.")
                        .into());
                }
                Type::Enum(of) => self.rank(of, start),
                _ => self.collate(&order.expr, &ty),
            }
            self.text
                .push_str(if order.descending { " desc" } else { " asc" });
            self.text.push_str(if order.nulls_first {
                " nulls first"
            } else {
                " nulls last"
            });
        }
        Ok(())
    }

    fn page(&mut self, limit: Option<u64>, offset: Option<u64>) {
        let bounded = |rows: u64| rows.min(i64::MAX as u64);
        match (limit, offset) {
            (Some(limit), _) => self.push(format_args!(" limit {}", bounded(limit))),
            // SQLite has no offset without a limit.
            (None, Some(_)) => self.text.push_str(" limit -1"),
            (None, None) => {}
        }
        if let Some(offset) = offset {
            self.push(format_args!(" offset {}", bounded(offset)));
        }
    }

    /// Appends a value; its type.
    fn expr(&mut self, expr: &'a Expr) -> Result<Cow<'a, Type>, DataError> {
        self.fits()?;
        match expr {
            Expr::Column {
                alias,
                table,
                column,
            } => {
                let column = &table.columns[*column];
                match (self.through, &column.source) {
                    (Some(_), Some(source)) if *alias == 0 => {
                        self.text.push_str("_t0.");
                        quote_name(&source.column, &mut self.text);
                    }
                    // What the view makes of the row.
                    (Some((view, below)), None) if *alias == 0 => {
                        self.text.push_str("(select _v.");
                        name(&column.name, &mut self.text);
                        let mut shown = String::new();
                        self.shown(below, view, &mut shown)?;
                        self.push(format_args!("{shown})"));
                    }
                    _ => {
                        self.push(format_args!("_t{alias}."));
                        name(&column.name, &mut self.text);
                    }
                }
                Ok(Cow::Borrowed(&column.ty))
            }
            Expr::Path { of, steps } => self.path(of, steps),
            Expr::Cast {
                to: CastType::Named(name),
                ..
            } => Err(DataError::sql(
                "42704",
                format!("type {name} does not exist"),
            )),
            Expr::Cast {
                of,
                to: CastType::Known(to),
            } => {
                let start = self.text.len();
                let from = self.expr(of)?;
                if *from != *to {
                    self.text.insert_str(start, "pumice_cast(");
                    self.push(format_args!(", {}, ", from.form()));
                    quote(&target(to), &mut self.text);
                    self.text.push(')');
                }
                Ok(Cow::Borrowed(to))
            }
            Expr::Aggregate { function, of } => self.aggregate(*function, of.as_deref()),
            Expr::One(node) => {
                self.text.push_str("(select ");
                self.object(&node.outputs)?;
                self.tail(node)?;
                self.text.push(')');
                Ok(Cow::Borrowed(&Type::Json))
            }
            Expr::Many(node) => self.array(node, |statement| statement.object(&node.outputs)),
            Expr::Value(node) => {
                self.text.push_str("(select ");
                let ty = self.expr(only_output(node)?)?;
                self.tail(node)?;
                self.text.push(')');
                Ok(ty)
            }
            Expr::Values(node) => {
                let output = only_output(node)?;
                self.array(node, |statement| statement.json(output))
            }
            Expr::Named { .. } | Expr::Everything { .. } => Err(only_postgres()),
        }
    }

    /// Appends a value as JSON text, `null` for null.
    fn json(&mut self, expr: &'a Expr) -> Result<(), DataError> {
        match expr {
            // Never null, and JSON already.
            Expr::Many(_) | Expr::Values(_) => self.expr(expr).map(drop),
            Expr::One(_) => {
                self.text.push_str("coalesce(");
                self.expr(expr)?;
                self.text.push_str(", 'null')");
                Ok(())
            }
            _ => {
                self.text.push_str("pumice_json(");
                let ty = self.expr(expr)?;
                self.push(format_args!(", {})", ty.form()));
                Ok(())
            }
        }
    }

    /// Appends a JSON object of the outputs.
    fn object(&mut self, outputs: &'a [Output]) -> Result<(), DataError> {
        let mut key = Vec::new();
        let long = outputs.len() > CHAIN_MAX;
        self.text.push_str(if long { "(" } else { "" });
        for (at, output) in outputs.iter().enumerate() {
            if at > 0 {
                let new = at % CHAIN_MAX == 0;
                self.text.push_str(if new { ") || (" } else { " || " });
            }
            key.clear();
            key.push(if at == 0 { b'{' } else { b',' });
            write_json_string(&output.key, &mut key);
            key.push(b':');
            quote(&String::from_utf8_lossy(&key), &mut self.text);
            self.text.push_str(" || ");
            self.json(&output.expr)?;
        }
        self.text.push_str(match (outputs.is_empty(), long) {
            (true, _) => "'{}'",
            (false, true) => ") || '}'",
            (false, false) => " || '}'",
        });
        Ok(())
    }

    /// Appends an array of what `member` appends for each row of `node`.
    fn array(
        &mut self,
        node: &'a Node,
        member: impl FnOnce(&mut Self) -> Result<(), DataError>,
    ) -> Result<Cow<'a, Type>, DataError> {
        self.text.push_str("(select pumice_array(_j) from (select ");
        member(self)?;
        self.text.push_str(" as _j");
        self.tail(node)?;
        self.text.push_str("))");
        Ok(Cow::Borrowed(&Type::Json))
    }

    fn path(&mut self, of: &'a Expr, steps: &[Step]) -> Result<Cow<'a, Type>, DataError> {
        self.text.push_str("pumice_path(");
        let start = self.text.len();
        let ty = self.expr(of)?;
        let json = matches!(*ty, Type::Json | Type::Jsonb);
        if !json {
            // Null has no places, but is no JSON null either.
            let value = self.text.split_off(start);
            self.push(format_args!(
                "case when {value} is not null then pumice_json({value}, {}) end",
                ty.form()
            ));
        }
        let mut path = vec![b'['];
        for (at, step) in steps.iter().enumerate() {
            if at > 0 {
                path.push(b',');
            }
            match &step.key {
                Key::Name(name) => write_json_string(name, &mut path),
                Key::Index(index) => path.extend_from_slice(index.to_string().as_bytes()),
            }
        }
        path.push(b']');
        let text = steps.last().is_some_and(|step| step.text);
        self.text.push_str(", ");
        quote(&String::from_utf8_lossy(&path), &mut self.text);
        self.text.push_str(if text { ", 1)" } else { ", 0)" });
        Ok(Cow::Owned(match (text, &*ty) {
            (true, _) => Type::Text,
            (false, Type::Json) => Type::Json,
            (false, _) => Type::Jsonb,
        }))
    }

    fn aggregate(
        &mut self,
        function: AggregateFunction,
        of: Option<&'a Expr>,
    ) -> Result<Cow<'a, Type>, DataError> {
        let Some(of) = of else {
            self.text.push_str("count(*)");
            return Ok(Cow::Borrowed(&Type::Bigint));
        };
        let start = self.text.len();
        let ty = self.expr(of)?;
        let Some(result) = result(function, &ty) else {
            return Err(SqlFault::new(
                "42883",
                format!("function {}({}) does not exist", word(function), bare(&ty)),
            )
            .hint("No function matches the given name and argument types. You might need to add explicit type casts.")
            .into());
        };
        match (function, &*ty) {
            (AggregateFunction::Count, _) => self.text.insert_str(start, "count("),
            (AggregateFunction::Min | AggregateFunction::Max, Type::Enum(enumeration)) => {
                self.rank(enumeration, start);
                let call = if function == AggregateFunction::Min {
                    "case min("
                } else {
                    "case max("
                };
                self.text.insert_str(start, call);
                self.text.push(')');
                for (at, label) in enumeration.labels.iter().enumerate() {
                    self.push(format_args!(" when {at} then "));
                    quote(label, &mut self.text);
                }
                self.text.push_str(" end");
                return Ok(Cow::Owned(result));
            }
            (AggregateFunction::Min | AggregateFunction::Max, _) => {
                self.collate(of, &ty);
                self.text.insert(start, '(');
                self.text.insert_str(start, word(function));
            }
            (AggregateFunction::Sum | AggregateFunction::Avg, _) => {
                let call = if function == AggregateFunction::Sum {
                    "pumice_sum("
                } else {
                    "pumice_avg("
                };
                self.text.insert_str(start, call);
                self.push(format_args!(", {}", ty.form()));
            }
        }
        self.text.push(')');
        Ok(Cow::Owned(result))
    }

    /// Says how a value is compared, where its column does not.
    fn collate(&mut self, expr: &Expr, ty: &Type) {
        let declared = matches!(expr, Expr::Column { table, .. } if table.kind == Kind::Table);
        if !declared {
            self.collation(ty);
        }
    }

    fn collation(&mut self, ty: &Type) {
        if let Some(name) = ty.collation() {
            self.push(format_args!(" collate \"{name}\""));
        }
    }

    /// Replaces the value from `start` on by its place among the labels of its enum.
    fn rank(&mut self, of: &Enum, start: usize) {
        self.text.insert_str(start, "case ");
        for (at, label) in of.labels.iter().enumerate() {
            self.text.push_str(" when ");
            quote(label, &mut self.text);
            self.push(format_args!(" then {at}"));
        }
        self.text.push_str(" end");
    }

    fn bind(&mut self, value: Value) {
        self.args.push(value);
        let number = self.args.len();
        self.push(format_args!("${number}"));
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.text.write_fmt(text);
    }
}

/// The output that a spread column is made of.
fn only_output(node: &Node) -> Result<&Expr, DataError> {
    match node.outputs.as_slice() {
        [output] => Ok(&output.expr),
        _ => Err(DataError::Internal("a value of several outputs".into())),
    }
}

pub fn only_postgres() -> DataError {
    DataError::sql(
        "0A000",
        "functions of the database are not supported on SQLite",
    )
}

/// Appends a string literal.
fn quote(value: &str, text: &mut String) {
    text.push('\'');
    for (at, part) in value.split('\'').enumerate() {
        text.push_str(if at > 0 { "''" } else { "" });
        text.push_str(part);
    }
    text.push('\'');
}

/// Appends a name of the catalog.
fn name(name: &Name, text: &mut String) {
    quote_name(name.as_str(), text);
}

fn quote_name(name: &str, text: &mut String) {
    text.push('"');
    for (at, part) in name.split('"').enumerate() {
        text.push_str(if at > 0 { "\"\"" } else { "" });
        text.push_str(part);
    }
    text.push('"');
}

/// A type as `pumice_cast` reads it: an enum with its labels.
fn target(ty: &Type) -> String {
    match ty {
        Type::Array(element) => target(element) + "[]",
        Type::Enum(of) => serde_json::json!({ "name": of.name, "labels": of.labels }).to_string(),
        other => other.to_string(),
    }
}

/// A type as messages about operators name it: without length and scale.
fn bare(ty: &Type) -> String {
    match ty {
        Type::Numeric { .. } => "numeric".to_owned(),
        Type::Varchar { .. } => "character varying".to_owned(),
        Type::Char { .. } => "character".to_owned(),
        Type::Array(element) => format!("{}[]", bare(element)),
        // Quoted only where it must be.
        Type::Enum(of) if plain(&of.name) => of.name.clone(),
        other => other.to_string(),
    }
}

fn plain(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    name.bytes().next().is_some_and(letter)
        && name
            .bytes()
            .all(|byte| letter(byte) || byte.is_ascii_digit())
}

fn word(function: AggregateFunction) -> &'static str {
    match function {
        AggregateFunction::Sum => "sum",
        AggregateFunction::Avg => "avg",
        AggregateFunction::Max => "max",
        AggregateFunction::Min => "min",
        AggregateFunction::Count => "count",
    }
}

/// The type of an aggregate's result, if there is one of this type.
///
/// Source: PostgreSQL 15, section 9.21 and `pg_aggregate`.
fn result(function: AggregateFunction, ty: &Type) -> Option<Type> {
    let numeric = Type::Numeric { precision: None };
    Some(match (function, ty) {
        (AggregateFunction::Count, _) => Type::Bigint,
        (AggregateFunction::Sum, Type::Smallint | Type::Integer) => Type::Bigint,
        (AggregateFunction::Sum, Type::Bigint | Type::Numeric { .. }) => numeric,
        (AggregateFunction::Sum, Type::Real) => Type::Real,
        (AggregateFunction::Sum, Type::DoublePrecision) => Type::DoublePrecision,
        (AggregateFunction::Sum | AggregateFunction::Avg, Type::Interval) => Type::Interval,
        (
            AggregateFunction::Avg,
            Type::Smallint | Type::Integer | Type::Bigint | Type::Numeric { .. },
        ) => numeric,
        (AggregateFunction::Avg, Type::Real | Type::DoublePrecision) => Type::DoublePrecision,
        (AggregateFunction::Sum | AggregateFunction::Avg, _) => return None,
        (
            AggregateFunction::Min | AggregateFunction::Max,
            Type::Boolean | Type::Uuid | Type::Json | Type::Jsonb | Type::Bytea | Type::Other(_),
        ) => return None,
        (AggregateFunction::Min | AggregateFunction::Max, Type::Varchar { .. }) => Type::Text,
        (AggregateFunction::Min | AggregateFunction::Max, ty) => ty.clone(),
    })
}
