//! One file of PostgreSQL to SQLite's steps and the catalog they lead to.

use std::collections::BTreeSet;
use std::sync::Arc;

use sqlparser::ast::{
    CommentObject, Expr, Ident, ObjectName, ObjectNamePart, ObjectType, SchemaName,
    Statement as Ast, UserDefinedTypeRepresentation,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Whitespace};

use super::access::{self, Rights};
use super::catalog::Catalog;
use super::domain::{self, DomainDef};
use super::enums::is_enum;
use super::names;
use super::split::{Statement, split};
use super::{DdlFault, Refusal, Step, Translated, alter, sql, table, view, write};
use crate::data::schema::PUBLIC;

/// Words and signs between two commas or parentheses: bounds how deep an expression can become, as
/// each level takes one of them and recursion over it takes stack.
const CHAIN_TOKENS_MAX: usize = 400;

/// Characters of a statement's text that a fault shows.
const SHOWN_CHARACTERS: usize = 80;

/// Translates `source`, the text of `file`, which runs on what `catalog` describes.
///
/// `create policy`, `grant`, `revoke` and row-level security leave no trace in the steps: the catalog
/// tells of them, and whoever asks is held to them by the layer above. A table is closed when its file
/// ends, unless it is marked `-- pumice: open`: so does the runner on PostgreSQL.
///
/// # Errors
/// [`DdlFault`] at the first statement that is wrong or outside the subset.
pub fn translate(source: &str, file: &str, catalog: Catalog) -> Result<Translated, DdlFault> {
    run(source, file, catalog, None)
}

/// As [`translate`], and goes on behind a fault as if its statement were not there. `None` when the text
/// cannot be taken apart into statements.
pub fn translate_all(
    source: &str,
    file: &str,
    catalog: Catalog,
    faults: &mut Vec<DdlFault>,
) -> Option<Translated> {
    match run(source, file, catalog, Some(faults)) {
        Ok(done) => Some(done),
        Err(fault) => {
            faults.push(fault);
            None
        }
    }
}

fn run(
    source: &str,
    file: &str,
    catalog: Catalog,
    mut faults: Option<&mut Vec<DdlFault>>,
) -> Result<Translated, DdlFault> {
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
        new: BTreeSet::new(),
        views_away: false,
        line: 0,
    };
    for statement in statements {
        if statement.marks.only_postgres {
            continue;
        }
        work.line = statement.line;
        // A refused statement may have done half of its work.
        let before = faults.is_some().then(|| work.clone());
        let Err(refusal) = work.statement(&statement) else {
            continue;
        };
        let fault = DdlFault {
            file: file.to_owned(),
            line: statement.line,
            statement: shown(statement.source),
            reason: refusal.reason,
            fix: refusal.fix,
        };
        match (&mut faults, before) {
            (Some(faults), Some(before)) => {
                faults.push(fault);
                work = before;
            }
            _ => return Err(fault),
        }
    }
    for name in work.new.difference(&work.open) {
        if let Some(table) = work.catalog.tables.get_mut(name) {
            table.access.row_security = true;
        }
        if let Some(view) = work.catalog.views.get_mut(name) {
            view.invoker = true;
        }
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

/// The schema and the name of the table or view that a statement creates, if it is of that kind.
pub fn created(source: &str) -> Option<(String, String)> {
    let name = match parse(source).ok()? {
        Parsed::Ast(Ast::CreateTable(table)) => table.name,
        Parsed::Ast(Ast::CreateView(view)) => view.name,
        _ => return None,
    };
    let folded = |part: &ObjectNamePart| {
        let ident = part.as_ident()?;
        Some(match ident.quote_style {
            Some(_) => ident.value.clone(),
            None => ident.value.to_lowercase(),
        })
    };
    match &name.0[..] {
        [name] => Some((PUBLIC.to_owned(), folded(name)?)),
        [.., schema, name] => Some((folded(schema)?, folded(name)?)),
        [] => None,
    }
}

/// A statement taken apart.
enum Parsed {
    Ast(Ast),
    /// `alter default privileges`, and the grant or revoke in it.
    Defaults {
        schemas: Vec<ObjectName>,
        ast: Ast,
    },
    Domain(Box<domain::Create>),
    CommentOnPolicy {
        policy: Ident,
        table: ObjectName,
    },
}

fn parse(source: &str) -> Result<Parsed, Refusal> {
    let dialect = PostgreSqlDialect {};
    let mut tokens = Tokenizer::new(&dialect, source)
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
    order_sequences(&mut tokens);
    let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens);
    let refused = |error: ParserError| {
        Refusal::wrong(format!("not understood: {error}"))
            .fix("correct it, or mark it with `-- pumice: only postgres` if PostgreSQL takes it")
    };
    let parsed = parse_special(&mut parser).transpose();
    let parsed = match parsed {
        Some(parsed) => parsed.map_err(refused)?,
        None => Parsed::Ast(parser.parse_statement().map_err(refused)?),
    };
    match parser.peek_token().token {
        Token::EOF => Ok(parsed),
        rest => Err(Refusal::wrong(format!("not understood from `{rest}` on"))
            .fix("correct it, or mark it with `-- pumice: only postgres` if PostgreSQL takes it")),
    }
}

/// Puts the options behind an `identity` in the one order that the parser knows.
fn order_sequences(tokens: &mut [TokenWithSpan]) {
    let keyword = |token: &TokenWithSpan| match &token.token {
        Token::Word(word) if word.quote_style.is_none() => word.keyword,
        _ => Keyword::NoKeyword,
    };
    let mut at = 0;
    while at < tokens.len() {
        at += 1;
        if keyword(&tokens[at - 1]) != Keyword::IDENTITY {
            continue;
        }
        let is_space = |token: &TokenWithSpan| matches!(token.token, Token::Whitespace(_));
        let Some(open) = (at..tokens.len()).find(|at| !is_space(&tokens[*at])) else {
            return;
        };
        if tokens[open].token != Token::LParen {
            continue;
        }
        let Some(close) = (open..tokens.len()).find(|at| tokens[*at].token == Token::RParen) else {
            return;
        };
        let mut options: Vec<(usize, Vec<TokenWithSpan>)> = Vec::new();
        for (index, token) in tokens[open + 1..close].iter().enumerate() {
            let next = || {
                let rest = &tokens[open + 2 + index..close];
                rest.iter().find(|token| !is_space(token)).map(keyword)
            };
            let after_no = matches!(options.last(), Some((_, option)) if option.iter().rev().find(|t| !is_space(t)).map(keyword) == Some(Keyword::NO));
            let word = match keyword(token) {
                Keyword::NO => next().unwrap_or(Keyword::NoKeyword),
                _ if after_no => Keyword::NoKeyword,
                word => word,
            };
            let rank = match word {
                Keyword::INCREMENT => 1,
                Keyword::MINVALUE => 2,
                Keyword::MAXVALUE => 3,
                Keyword::START => 4,
                Keyword::CACHE => 5,
                Keyword::CYCLE => 6,
                _ => 0,
            };
            match options.last_mut() {
                Some((_, option)) if rank == 0 => option.push(token.clone()),
                _ => options.push((rank, vec![token.clone()])),
            }
        }
        options.sort_by_key(|(rank, _)| *rank);
        // The parser needs no white space.
        let words = options.into_iter().flat_map(|(_, option)| option);
        let mut kept = words.filter(|token| !is_space(token));
        for place in &mut tokens[open + 1..close] {
            *place = kept
                .next()
                .unwrap_or_else(|| TokenWithSpan::wrap(Token::Whitespace(Whitespace::Space)));
        }
        at = close;
    }
}

/// What the parser does not know as a statement; it stands where it stood otherwise.
fn parse_special(parser: &mut Parser<'_>) -> Result<Option<Parsed>, ParserError> {
    let start = parser.index();
    if parser.parse_keyword(Keyword::ALTER)
        && parser.parse_keyword(Keyword::DEFAULT)
        && parser.parse_keyword(Keyword::PRIVILEGES)
    {
        if parser.parse_keyword(Keyword::FOR) {
            parser.expect_one_of_keywords(&[Keyword::ROLE, Keyword::USER])?;
            parser.parse_comma_separated(Parser::parse_identifier)?;
        }
        let mut schemas = Vec::new();
        if parser.parse_keywords(&[Keyword::IN, Keyword::SCHEMA]) {
            schemas = parser.parse_comma_separated(|parser| parser.parse_object_name(false))?;
        }
        let ast = parser.parse_statement()?;
        return Ok(Some(Parsed::Defaults { schemas, ast }));
    }
    back(parser, start);
    if parser.parse_keywords(&[Keyword::CREATE, Keyword::DOMAIN]) {
        let create = domain::parse(parser)?;
        return Ok(Some(Parsed::Domain(Box::new(create))));
    }
    back(parser, start);
    if parser.parse_keywords(&[Keyword::COMMENT, Keyword::ON, Keyword::POLICY]) {
        let policy = parser.parse_identifier()?;
        parser.expect_keyword_is(Keyword::ON)?;
        let table = parser.parse_object_name(false)?;
        parser.expect_keyword_is(Keyword::IS)?;
        if !parser.parse_keyword(Keyword::NULL) {
            parser.parse_literal_string()?;
        }
        return Ok(Some(Parsed::CommentOnPolicy { policy, table }));
    }
    back(parser, start);
    // What changes a view beside its query is said of tables in the same words.
    if parser.parse_keywords(&[Keyword::ALTER, Keyword::VIEW]) {
        return parser
            .parse_alter_table(false)
            .map(|ast| Some(Parsed::Ast(ast)));
    }
    back(parser, start);
    Ok(None)
}

fn back(parser: &mut Parser<'_>, to: usize) {
    while parser.index() > to {
        parser.prev_token();
    }
}

/// A file being translated.
#[derive(Clone)]
pub struct Work {
    pub catalog: Catalog,
    pub open: BTreeSet<String>,
    /// Tables that the file makes, and its views that are not marked open.
    pub new: BTreeSet<String>,
    /// Whether SQLite's views are gone for the moment.
    pub views_away: bool,
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

    /// As [`Work::run`], ahead of what stands at `at`.
    pub fn run_before(&mut self, at: usize, sql: Vec<String>) {
        let line = self.line;
        let steps = sql.into_iter().map(|sql| Step { line, sql });
        self.steps.splice(at..at, steps);
    }

    pub fn steps_len(&self) -> usize {
        self.steps.len()
    }

    fn statement(&mut self, statement: &Statement<'_>) -> Result<(), Refusal> {
        let ast = match parse(statement.source)? {
            Parsed::Ast(ast) => ast,
            Parsed::Defaults { schemas, ast } => return self.grant(&ast, Some(&schemas)),
            Parsed::Domain(create) => return self.create_domain(&create),
            Parsed::CommentOnPolicy { policy, table } => {
                return access::comment_on_policy(&self.catalog, &policy, &table);
            }
        };
        match &ast {
            Ast::CreateTable(create) => {
                if let Some(table) = table::create(&self.catalog, create)? {
                    let name = table.name.clone();
                    self.catalog.tables.insert(name.clone(), table);
                    let sql = sql::create_table(&self.catalog, self.catalog.table(&name)?)?;
                    let start = sql::start(self.catalog.table(&name)?, &name);
                    self.run([sql]);
                    self.run(start);
                    self.new.insert(name.clone());
                    if statement.marks.open {
                        let table = self.catalog.table_mut(&name)?;
                        table.access.row_security = false;
                        for role in ["anon", "authenticated"] {
                            table.grants.insert(role.to_owned(), Rights::all());
                        }
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
                    self.run(sql);
                }
                Ok(())
            }
            Ast::CreateView(create) => view::create(self, create, statement.marks.open),
            Ast::AlterTable(change) => alter::table(self, change),
            Ast::Drop {
                object_type,
                if_exists,
                names,
                cascade,
                ..
            } => match object_type {
                ObjectType::Table => alter::drop_tables(self, names, *if_exists, *cascade),
                ObjectType::View => view::drop(self, names, *if_exists, *cascade),
                ObjectType::Index => self.drop_indexes(names, *if_exists),
                ObjectType::Type => self.drop_types(names, *if_exists),
                other => Err(Refusal::only_postgres(format!("`drop {other}`"))),
            },
            Ast::CreateType {
                name,
                representation: Some(UserDefinedTypeRepresentation::Enum { labels }),
            } => self.create_enum(name, labels),
            Ast::DropDomain(drop) => {
                let name = names::relation(&drop.name)?;
                match self.catalog.domains.contains_key(&name) {
                    true => self.drop_domain(&name),
                    false if self.catalog.enums.contains_key(&name) => {
                        Err(Refusal::wrong(format!("\"{name}\" is not a domain")))
                    }
                    false if drop.if_exists => Ok(()),
                    false => Err(Refusal::wrong(format!("type \"{name}\" does not exist"))),
                }
            }
            Ast::CreateSchema {
                schema_name: SchemaName::Simple(name),
                if_not_exists: true,
                ..
            } if names::parts(name)? == ["public"] || names::parts(name)? == ["extensions"] => {
                Ok(())
            }
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
            Ast::CreatePolicy(create) => access::create_policy(self, create),
            Ast::AlterPolicy(alter) => access::alter_policy(self, alter),
            Ast::DropPolicy(drop) => access::drop_policy(self, drop),
            Ast::Grant(_) | Ast::Revoke(_) => self.grant(&ast, None),
            // gen_random_uuid and uuid_generate_v4 are there without them; the others' types are not.
            Ast::CreateExtension(create)
                if matches!(
                    names::ident(&create.name)?.as_str(),
                    "pgcrypto" | "uuid-ossp" | "citext" | "pg_trgm" | "btree_gin" | "btree_gist"
                ) =>
            {
                Ok(())
            }
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

    /// A grant or a revoke; of default privileges when it has `schemas`.
    fn grant(&mut self, ast: &Ast, schemas: Option<&[ObjectName]>) -> Result<(), Refusal> {
        let change = match ast {
            Ast::Grant(grant) => access::Change {
                grant: true,
                privileges: &grant.privileges,
                objects: grant.objects.as_ref(),
                grantees: &grant.grantees,
                further: grant.with_grant_option
                    || grant.as_grantor.is_some()
                    || grant.current_grants.is_some(),
            },
            Ast::Revoke(revoke) => access::Change {
                grant: false,
                privileges: &revoke.privileges,
                objects: revoke.objects.as_ref(),
                grantees: &revoke.grantees,
                further: revoke.grant_option_for,
            },
            other => return Err(Refusal::only_postgres(format!("`{other}`"))),
        };
        match schemas {
            None => change.apply(self),
            Some(schemas) => change.apply_default(self, schemas),
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
            let absent = table
                .indexes
                .remove(&name)
                .is_some_and(|index| index.absent);
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
            if !absent {
                self.run([sql::drop_index(&name)]);
            }
        }
        Ok(())
    }

    fn drop_types(&mut self, names: &[ObjectName], if_exists: bool) -> Result<(), Refusal> {
        for name in names {
            let name = names::relation(name)?;
            if self.catalog.domains.contains_key(&name) {
                self.drop_domain(&name)?;
                continue;
            }
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
            let made_of = |domain: &&Arc<DomainDef>| is_enum(&domain.ty, &name);
            if let Some(domain) = self.catalog.domains.values().find(made_of) {
                return Err(Refusal::wrong(format!(
                    "cannot drop type \"{name}\": type \"{}\" depends on it",
                    domain.name
                )));
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
            CommentObject::View => {
                self.catalog.view_mut(&names::relation(name)?)?.comment = comment;
            }
            CommentObject::Column => {
                let mut table = name.clone();
                let column = table.0.pop().map(|part| ObjectName(vec![part]));
                let column = match column {
                    Some(column) => names::relation(&column)?,
                    None => return Err(Refusal::wrong("a comment on nothing")),
                };
                let table = names::relation(&table)?;
                if let Some(view) = self.catalog.views.get_mut(&table) {
                    view.column_mut(&column)?.comment = comment;
                } else {
                    let table = self.catalog.table_mut(&table)?;
                    table.column_mut(&column)?.comment = comment;
                }
            }
            // The API shows no others.
            CommentObject::Index
            | CommentObject::Type
            | CommentObject::Domain
            | CommentObject::Schema
            | CommentObject::Extension => {}
            _ => {
                return Err(Refusal::only_postgres(
                    "a comment on anything but tables, views, columns, indexes, types and policies",
                ));
            }
        }
        Ok(())
    }
}
