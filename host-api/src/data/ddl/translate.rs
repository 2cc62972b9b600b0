//! One file of PostgreSQL to SQLite's steps and the catalog they lead to.

use std::collections::BTreeSet;
use std::sync::Arc;

use sqlparser::ast::{
    AlterTypeAddValuePosition, AlterTypeOperation, CommentObject, Expr, Ident, ObjectName,
    ObjectType, Statement as Ast, UserDefinedTypeRepresentation,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, Tokenizer};

use super::catalog::Catalog;
use super::names::{self, Taken};
use super::split::{Statement, split};
use super::{DdlFault, Refusal, Step, Translated, alter, sql, table, write};
use crate::data::{Enum, Type};

/// Words and signs between two commas or parentheses: bounds how deep an expression can become, as
/// each level takes one of them and recursion over it takes stack.
const CHAIN_TOKENS_MAX: usize = 400;

/// Characters of a statement's text that a fault shows.
const SHOWN_CHARACTERS: usize = 80;

/// Translates `source`, the text of `file`, which runs on what `catalog` describes.
///
/// `create policy`, `grant`, `revoke` and row-level security are read and leave no trace in the steps
/// or the catalog: on PostgreSQL they take effect as they run, on SQLite policies and grants are a
/// matter of the layer above.
///
/// # Errors
/// [`DdlFault`] at the first statement that is wrong or outside the subset.
pub fn translate(source: &str, file: &str, catalog: Catalog) -> Result<Translated, DdlFault> {
    let statements = split(source).map_err(|fault| DdlFault {
        file: file.to_owned(),
        line: fault.line,
        statement: String::new(),
        reason: fault.reason,
        fix: String::new(),
    })?;
    let mut work = Work {
        catalog,
        steps: Vec::new(),
        open: BTreeSet::new(),
        line: 0,
    };
    for statement in statements {
        if statement.marks.only_postgres {
            continue;
        }
        work.line = statement.line;
        work.statement(&statement).map_err(|refusal| DdlFault {
            file: file.to_owned(),
            line: statement.line,
            statement: shown(statement.source),
            reason: refusal.reason,
            fix: refusal.fix,
        })?;
    }
    Ok(Translated {
        steps: work.steps,
        catalog: work.catalog,
        open: work.open,
    })
}

/// The first characters of a statement, on one line.
pub fn shown(source: &str) -> String {
    let line = source.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(SHOWN_CHARACTERS).collect()
}

/// An expression that the catalog keeps as text.
pub fn parse_expr(text: &str) -> Result<Expr, Refusal> {
    Parser::new(&PostgreSqlDialect {})
        .try_with_sql(text)
        .and_then(|mut parser| parser.parse_expr())
        .map_err(|error| Refusal::wrong(error.to_string()))
}

/// The table or view of `public` that a statement creates, if it is of that kind.
pub fn created(source: &str) -> Option<String> {
    let name = match parse(source).ok()? {
        Ast::CreateTable(table) => table.name,
        Ast::CreateView(view) => view.name,
        _ => return None,
    };
    let last = name.0.last()?.as_ident()?;
    Some(match last.quote_style {
        Some(_) => last.value.clone(),
        None => last.value.to_lowercase(),
    })
}

fn parse(source: &str) -> Result<Ast, Refusal> {
    let dialect = PostgreSqlDialect {};
    let tokens = Tokenizer::new(&dialect, source)
        .tokenize_with_location()
        .map_err(|error| Refusal::wrong(error.to_string()))?;
    let mut chains = vec![0usize];
    for token in &tokens {
        match token.token {
            Token::LParen | Token::LBracket | Token::LBrace => chains.push(0),
            Token::RParen | Token::RBracket | Token::RBrace if chains.len() > 1 => {
                chains.pop();
            }
            Token::Comma => {
                if let Some(chain) = chains.last_mut() {
                    *chain = 0;
                }
            }
            Token::Whitespace(_) => {}
            _ => {
                if let Some(chain) = chains.last_mut() {
                    *chain += 1;
                    if *chain > CHAIN_TOKENS_MAX {
                        return Err(Refusal::wrong(format!(
                            "an expression of more than {CHAIN_TOKENS_MAX} words"
                        ))
                        .fix("make it shorter"));
                    }
                }
            }
        }
    }
    let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens);
    let refused = |error: sqlparser::parser::ParserError| {
        Refusal::wrong(format!("not understood: {error}"))
            .fix("correct it, or mark it with `-- pumice: only postgres` if PostgreSQL takes it")
    };
    let ast = parser.parse_statement().map_err(refused)?;
    match parser.peek_token().token {
        Token::EOF => Ok(ast),
        rest => Err(Refusal::wrong(format!("not understood from `{rest}` on"))
            .fix("correct it, or mark it with `-- pumice: only postgres` if PostgreSQL takes it")),
    }
}

/// A file being translated.
pub struct Work {
    pub catalog: Catalog,
    pub open: BTreeSet<String>,
    steps: Vec<Step>,
    line: usize,
}

impl Work {
    /// Adds SQLite statements for the statement at hand.
    pub fn run(&mut self, sql: impl IntoIterator<Item = String>) {
        let line = self.line;
        self.steps
            .extend(sql.into_iter().map(|sql| Step { line, sql }));
    }

    fn statement(&mut self, statement: &Statement<'_>) -> Result<(), Refusal> {
        let ast = parse(statement.source)?;
        match &ast {
            Ast::CreateTable(create) => {
                if let Some(table) = table::create(&self.catalog, create)? {
                    let name = table.name.clone();
                    self.catalog.tables.insert(name.clone(), table);
                    let sql = sql::create_table(&self.catalog, self.catalog.table(&name)?)?;
                    self.run([sql]);
                    if statement.marks.open {
                        self.open.insert(name);
                    }
                }
                Ok(())
            }
            Ast::CreateIndex(create) => {
                if let Some((of, name, index)) = table::index(&self.catalog, create)? {
                    let table = self.catalog.table_mut(&of)?;
                    table.indexes.insert(name.clone(), index.clone());
                    let table = self.catalog.table(&of)?;
                    let sql = sql::create_index(&self.catalog, table, &name, &index)?;
                    self.run([sql]);
                }
                Ok(())
            }
            Ast::AlterTable(change) => alter::table(self, change),
            Ast::Drop {
                object_type,
                if_exists,
                names,
                cascade,
                ..
            } => match object_type {
                ObjectType::Table => alter::drop_tables(self, names, *if_exists, *cascade),
                ObjectType::Index => self.drop_indexes(names, *if_exists),
                ObjectType::Type => self.drop_types(names, *if_exists),
                other => Err(Refusal::only_postgres(format!("`drop {other}`"))),
            },
            Ast::CreateType {
                name,
                representation: Some(UserDefinedTypeRepresentation::Enum { labels }),
            } => self.create_enum(name, labels),
            Ast::AlterType(change) => self.alter_enum(&change.name, &change.operation),
            Ast::Comment {
                object_type,
                object_name,
                comment,
                ..
            } => self.comment(object_type, object_name, comment.as_deref()),
            Ast::Insert(insert) => write::insert(self, insert),
            Ast::Update(update) => write::update(self, update),
            Ast::Delete(delete) => write::delete(self, delete),
            Ast::CreatePolicy(_)
            | Ast::AlterPolicy(_)
            | Ast::DropPolicy(_)
            | Ast::Grant(_)
            | Ast::Revoke(_) => Ok(()),
            Ast::StartTransaction { .. } | Ast::Commit { .. } | Ast::Rollback { .. } => {
                Err(Refusal::wrong("a file is one transaction already").fix("take it out"))
            }
            _ => {
                let words: Vec<_> = statement.source.split_whitespace().take(2).collect();
                Err(Refusal::only_postgres(format!(
                    "`{} …`",
                    words.join(" ").to_lowercase()
                )))
            }
        }
    }

    fn drop_indexes(&mut self, names: &[ObjectName], if_exists: bool) -> Result<(), Refusal> {
        for name in names {
            let name = names::relation(name)?;
            let Some(table) = self
                .catalog
                .index_table(&name)
                .map(|table| table.name.clone())
            else {
                if if_exists {
                    continue;
                }
                return Err(Refusal::wrong(format!("index \"{name}\" does not exist")));
            };
            let table = self.catalog.table_mut(&table)?;
            table.indexes.remove(&name);
            let table = table.clone();
            let lost = self.catalog.tables.values().find(|other| {
                other
                    .references()
                    .any(|to| to.is_to(&table.name) && !table.is_key(&to.to_columns))
            });
            if let Some(other) = lost {
                return Err(Refusal::wrong(format!(
                    "cannot drop index \"{name}\": a foreign key of table \"{}\" depends on it",
                    other.name
                )));
            }
            self.run([sql::drop_index(&name)]);
        }
        Ok(())
    }

    fn create_enum(&mut self, name: &ObjectName, labels: &[Ident]) -> Result<(), Refusal> {
        let name = names::relation(name)?;
        if self.catalog.enums.contains_key(&name)
            || Taken::of(&self.catalog).relation(&name).is_err()
        {
            return Err(Refusal::wrong(format!("type \"{name}\" already exists")));
        }
        let mut found: Vec<String> = Vec::new();
        for label in labels {
            let label = enum_label(label)?;
            if found.contains(&label) {
                return Err(Refusal::wrong(format!("enum label \"{label}\" used twice")));
            }
            found.push(label);
        }
        let of = Enum {
            name: name.clone(),
            labels: found,
        };
        self.catalog.enums.insert(name, Arc::new(of));
        Ok(())
    }

    fn alter_enum(
        &mut self,
        name: &ObjectName,
        operation: &AlterTypeOperation,
    ) -> Result<(), Refusal> {
        let name = names::relation(name)?;
        let Some(of) = self.catalog.enums.get(&name) else {
            return Err(Refusal::wrong(format!("type \"{name}\" does not exist")));
        };
        let mut of = Enum::clone(of);
        let AlterTypeOperation::AddValue(add) = operation else {
            return Err(Refusal::only_postgres(
                "a change of a type other than `add value`",
            ));
        };
        let label = enum_label(&add.value)?;
        if of.labels.contains(&label) {
            if add.if_not_exists {
                return Ok(());
            }
            return Err(Refusal::wrong(format!(
                "enum label \"{label}\" already exists"
            )));
        }
        let place = |there: &Ident| {
            of.labels
                .iter()
                .position(|label| *label == there.value)
                .ok_or_else(|| {
                    Refusal::wrong(format!("\"{}\" is not an existing enum label", there.value))
                })
        };
        let at = match &add.position {
            None => of.labels.len(),
            Some(AlterTypeAddValuePosition::Before(there)) => place(there)?,
            Some(AlterTypeAddValuePosition::After(there)) => place(there)? + 1,
        };
        of.labels.insert(at, label);
        let of = Arc::new(of);
        self.catalog.enums.insert(name.clone(), of.clone());
        for table in self.catalog.tables.values_mut() {
            for column in &mut table.columns {
                replace_enum(&mut column.ty, &of);
            }
        }
        Ok(())
    }

    fn drop_types(&mut self, names: &[ObjectName], if_exists: bool) -> Result<(), Refusal> {
        for name in names {
            let name = names::relation(name)?;
            if !self.catalog.enums.contains_key(&name) {
                if if_exists {
                    continue;
                }
                return Err(Refusal::wrong(format!("type \"{name}\" does not exist")));
            }
            for table in self.catalog.tables.values() {
                if let Some(column) = table
                    .columns
                    .iter()
                    .find(|column| is_enum(&column.ty, &name))
                {
                    return Err(Refusal::wrong(format!(
                        "cannot drop type \"{name}\": column \"{}\" of table \"{}\" has it",
                        column.name, table.name
                    )));
                }
            }
            self.catalog.enums.remove(&name);
        }
        Ok(())
    }

    fn comment(
        &mut self,
        on: &CommentObject,
        name: &ObjectName,
        comment: Option<&str>,
    ) -> Result<(), Refusal> {
        // An empty comment is none.
        let comment = comment.filter(|text| !text.is_empty()).map(str::to_owned);
        match on {
            CommentObject::Table => {
                self.catalog.table_mut(&names::relation(name)?)?.comment = comment;
            }
            CommentObject::Column => {
                let mut table = name.clone();
                let column = table.0.pop().map(|part| ObjectName(vec![part]));
                let column = match column {
                    Some(column) => names::relation(&column)?,
                    None => return Err(Refusal::wrong("a comment on nothing")),
                };
                let table = self.catalog.table_mut(&names::relation(&table)?)?;
                table.column_mut(&column)?.comment = comment;
            }
            // The API shows no others.
            CommentObject::Index | CommentObject::Type => {}
            _ => {
                return Err(Refusal::only_postgres(
                    "a comment on anything but tables, columns, indexes and types",
                ));
            }
        }
        Ok(())
    }
}

fn enum_label(label: &Ident) -> Result<String, Refusal> {
    if label.value.is_empty() || label.value.len() > names::NAME_BYTES_MAX {
        return Err(
            Refusal::wrong(format!("invalid enum label \"{}\"", label.value))
                .fix(format!("labels have 1 to {} bytes", names::NAME_BYTES_MAX)),
        );
    }
    Ok(label.value.clone())
}

fn replace_enum(ty: &mut Type, of: &Arc<Enum>) {
    match ty {
        Type::Enum(there) if there.name == of.name => *there = of.clone(),
        Type::Array(element) => replace_enum(element, of),
        _ => {}
    }
}

fn is_enum(ty: &Type, name: &str) -> bool {
    match ty {
        Type::Enum(of) => of.name == name,
        Type::Array(element) => is_enum(element, name),
        _ => false,
    }
}
