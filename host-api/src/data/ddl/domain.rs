//! Domains: a type with a default and conditions of its own.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sqlparser::ast::{DataType, Expr, Ident, ObjectName};
use sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use super::catalog::{Catalog, ColumnDef, rename_in};
use super::expr::{Place, Scope};
use super::names::{self, Taken};
use super::translate::{Work, parse_expr};
use super::{Refusal, sql, types};
use crate::data::schema::PUBLIC;
use crate::data::{Type, Value};

/// What a condition of a domain calls the value it is about.
const VALUE: &str = "value";

/// A domain, with all that it has from the one it is made of. It never changes: its columns keep it
/// whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct DomainDef {
    pub name: String,
    pub ty: Type,
    /// PostgreSQL text.
    pub default: Option<String>,
    pub not_null: bool,
    /// In the order in which PostgreSQL asks them.
    pub checks: Vec<DomainCheck>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DomainCheck {
    pub name: String,
    /// PostgreSQL text about [`VALUE`].
    pub condition: String,
}

/// `create domain`, taken apart.
pub struct Create {
    name: ObjectName,
    data_type: DataType,
    default: Option<Expr>,
    not_null: Option<bool>,
    checks: Vec<(Option<Ident>, Expr)>,
}

/// Reads what stands behind `create domain`; PostgreSQL takes the parts behind the type in any order.
///
/// # Errors
/// The parser's.
pub fn parse(parser: &mut Parser<'_>) -> Result<Create, ParserError> {
    let name = parser.parse_object_name(false)?;
    let _ = parser.parse_keyword(Keyword::AS);
    let mut create = Create {
        name,
        data_type: parser.parse_data_type()?,
        default: None,
        not_null: None,
        checks: Vec::new(),
    };
    loop {
        let name = match parser.parse_keyword(Keyword::CONSTRAINT) {
            true => Some(parser.parse_identifier()?),
            false => None,
        };
        if parser.parse_keyword(Keyword::CHECK) {
            parser.expect_token(&Token::LParen)?;
            create.checks.push((name, parser.parse_expr()?));
            parser.expect_token(&Token::RParen)?;
        } else if parser.parse_keywords(&[Keyword::NOT, Keyword::NULL]) {
            create.not_null = Some(true);
        } else if parser.parse_keyword(Keyword::NULL) {
            create.not_null.get_or_insert(false);
        } else if parser.parse_keyword(Keyword::DEFAULT) {
            // Nothing that could take a `not null` behind it for its own.
            let least = PostgreSqlDialect {}.prec_value(Precedence::Is);
            create.default = Some(parser.parse_subexpr(least)?);
        } else if name.is_some() {
            return parser.expected("a constraint", parser.peek_token());
        } else {
            return Ok(create);
        }
    }
}

impl Work {
    pub(super) fn create_domain(&mut self, create: &Create) -> Result<(), Refusal> {
        let name = names::relation(&create.name)?;
        new_type(&self.catalog, &name)?;
        let base = types::declared(&create.data_type, &self.catalog)?;
        if base.serial {
            return Err(Refusal::wrong(format!(
                "type \"{}\" does not exist here",
                create.data_type
            ))
            .fix("a serial is a whole column's type in `create table`"));
        }
        let mut domain = DomainDef {
            name: name.clone(),
            ty: base.ty,
            default: None,
            not_null: false,
            checks: Vec::new(),
        };
        if let Some(base) = base.domain {
            domain.default.clone_from(&base.default);
            domain.not_null = base.not_null;
            domain.checks.clone_from(&base.checks);
        }
        domain.not_null |= create.not_null == Some(true);
        if let Some(default) = &create.default {
            domain.default = Some(default.to_string());
        }
        let mut taken = Taken::of(&self.catalog);
        let mut own: Vec<DomainCheck> = Vec::new();
        for (given, condition) in &create.checks {
            let check = match given {
                Some(given) => names::ident(given)?,
                None => taken.choose_constraint(&name, None, "check"),
            };
            if own.iter().any(|there| there.name == check) {
                return Err(Refusal::wrong(format!(
                    "constraint \"{check}\" for domain \"{name}\" already exists"
                )));
            }
            taken.constraint(&check);
            own.push(DomainCheck {
                name: check,
                condition: condition.to_string(),
            });
        }
        own.sort_by(|a, b| a.name.cmp(&b.name));
        domain.checks.extend(own);
        let value = ColumnDef {
            name: VALUE.to_owned(),
            ty: domain.ty.clone(),
            domain: None,
            not_null: false,
            fill: None,
            comment: None,
        };
        let place = |place| Scope {
            catalog: &self.catalog,
            table: "",
            columns: std::slice::from_ref(&value),
            place,
            rows: None,
        };
        // Says now what is wrong with an expression.
        for check in &domain.checks {
            place(Place::Check).condition(&parse_expr(&check.condition)?)?;
        }
        if let Some(default) = &domain.default {
            place(Place::Default).assigned(&parse_expr(default)?, &domain.ty)?;
        }
        self.catalog.domains.insert(name, Arc::new(domain));
        Ok(())
    }

    /// `drop domain`; never its columns with it.
    pub(super) fn drop_domain(&mut self, name: &str) -> Result<(), Refusal> {
        for table in self.catalog.tables.values() {
            let has = |column: &&ColumnDef| column.domain.as_ref().is_some_and(|d| d.name == name);
            if let Some(column) = table.columns.iter().find(has) {
                return Err(Refusal::wrong(format!(
                    "cannot drop type \"{name}\": column \"{}\" of table \"{}\" has it",
                    column.name, table.name
                ))
                .fix("change that column's type first"));
            }
        }
        self.catalog.domains.remove(name);
        Ok(())
    }
}

/// Checks that a type can have this name.
pub(super) fn new_type(catalog: &Catalog, name: &str) -> Result<(), Refusal> {
    let taken = catalog.enums.contains_key(name)
        || catalog.domains.contains_key(name)
        || Taken::of(catalog).relation(name).is_err();
    match taken {
        true => Err(Refusal::wrong(format!("type \"{name}\" already exists"))),
        false => Ok(()),
    }
}

impl DomainDef {
    /// As [`format`](super::catalog::format).
    pub fn format(&self) -> String {
        format!("{PUBLIC}.{}", self.shown())
    }

    /// The name as PostgreSQL's errors write it.
    fn shown(&self) -> String {
        names::shown(&self.name)
    }

    /// SQLite's checks of a column that has the domain. PostgreSQL's words are not a check's, so a
    /// function raises them.
    pub fn checks(&self, scope: &Scope<'_>, column: &str) -> Result<Vec<String>, Refusal> {
        let text = |text: &str| sql::literal(&Value::Text(text.to_owned()));
        let domain = text(&self.shown());
        let mut found = Vec::new();
        if self.not_null {
            let column = sql::quoted(column);
            found.push(format!(
                "check (pumice_domain({column} is not null, {domain}, null))"
            ));
        }
        for check in &self.checks {
            let mut condition = check.condition.clone();
            rename_in(&mut condition, VALUE, column);
            let condition = scope.condition(&parse_expr(&condition)?)?;
            found.push(format!(
                "check (pumice_domain({condition}, {domain}, {}))",
                text(&check.name)
            ));
        }
        Ok(found)
    }
}
