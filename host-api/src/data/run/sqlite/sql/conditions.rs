//! Which rows: operators by type, with the words PostgreSQL has for those that a type has not.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::data::plan::{Condition, Expr};
use crate::data::query::{Is, Operator, Quantifier, Search, Test};
use crate::data::run::has_operator;
use crate::data::{DataError, Kind, SqlFault, Type, Value};

use super::{Statement, bare};

impl<'a> Statement<'a> {
    /// Appends `where` with a guard (what policies say, if anything) and conditions; the word for one
    /// more.
    pub(super) fn filter(
        &mut self,
        guard: &str,
        conditions: Vec<&'a Condition>,
    ) -> Result<&'static str, DataError> {
        let mut word = " where ";
        if !guard.is_empty() {
            self.push(format_args!("{word}{guard}"));
            word = " and ";
        }
        let more = if conditions.is_empty() { word } else { " and " };
        self.all(conditions, word)?;
        Ok(more)
    }

    /// Appends conditions of which all must hold, the first behind `word`.
    pub(super) fn all(
        &mut self,
        conditions: impl IntoIterator<Item = &'a Condition>,
        word: &'static str,
    ) -> Result<(), DataError> {
        let mut word = word;
        for condition in conditions {
            self.text.push_str(word);
            self.condition(condition)?;
            word = " and ";
        }
        self.fits()
    }

    fn condition(&mut self, condition: &'a Condition) -> Result<(), DataError> {
        match condition {
            Condition::Test { expr, not, test } => {
                self.text.push_str(if *not { "not (" } else { "" });
                self.test(expr, test)?;
                self.text.push_str(if *not { ")" } else { "" });
            }
            Condition::All(members) => self.members(members, " and ", "true")?,
            Condition::Any(members) => self.members(members, " or ", "false")?,
            Condition::Not(member) => {
                self.text.push_str("not (");
                self.condition(member)?;
                self.text.push(')');
            }
            Condition::Same(left, right) => {
                let ty = self.expr(left)?;
                self.collate(left, &ty);
                self.text.push_str(" = ");
                self.expr(right)?;
            }
            Condition::Exists { node, not } => {
                self.text.push_str(if *not { "not " } else { "" });
                self.text.push_str("exists (select 1");
                self.tail(node)?;
                self.text.push(')');
            }
        }
        Ok(())
    }

    fn members(
        &mut self,
        members: &'a [Condition],
        word: &'static str,
        none: &str,
    ) -> Result<(), DataError> {
        let long = members.len() > super::CHAIN_MAX;
        self.text.push_str(if long { "((" } else { "(" });
        self.text
            .push_str(if members.is_empty() { none } else { "" });
        for (at, member) in members.iter().enumerate() {
            self.link(at, word);
            self.condition(member)?;
        }
        self.text.push_str(if long { "))" } else { ")" });
        Ok(())
    }

    /// What stands before the member `at` of a chain, which is one of shorter ones.
    fn link(&mut self, at: usize, word: &'static str) {
        if at > 0 {
            let new = at.is_multiple_of(super::CHAIN_MAX);
            self.text.push_str(if new { ")" } else { "" });
            self.text.push_str(word);
            self.text.push_str(if new { "(" } else { "" });
        }
    }

    fn test(&mut self, expr: &'a Expr, test: &'a Test) -> Result<(), DataError> {
        let start = self.text.len();
        let ty = self.expr(expr)?;
        match test {
            Test::Compare(operator, quantifier, literal) => {
                exists(*operator, &ty)?;
                let value = self.text.split_off(start);
                match quantifier {
                    None => {
                        let literal = operand(&ty, *operator, literal)?;
                        self.compare(&value, expr, &ty, *operator, literal)
                    }
                    Some(quantifier) => {
                        self.each(&value, expr, &ty, *operator, *quantifier, literal)
                    }
                }
            }
            Test::In(literals) => {
                exists(Operator::Eq, &ty)?;
                // Nothing is in an empty list, and nothing is said about nulls either.
                if literals.is_empty() {
                    self.text.push_str(" is null and false");
                    return Ok(());
                }
                self.collate(expr, &ty);
                self.text.push_str(" in (");
                for (at, literal) in literals.iter().enumerate() {
                    self.text.push_str(if at == 0 { "" } else { ", " });
                    self.bind(ty.from_text(literal)?);
                    self.fits()?;
                }
                self.text.push(')');
                Ok(())
            }
            Test::Is(is) => {
                let word = match is {
                    Is::Null => "null",
                    Is::NotNull => "not null",
                    Is::True => "true",
                    Is::False => "false",
                    Is::Unknown => "unknown",
                };
                if *ty != Type::Boolean && matches!(is, Is::True | Is::False | Is::Unknown) {
                    let message = format!(
                        "argument of IS {} must be type boolean, not type {}",
                        word.to_uppercase(),
                        bare(&ty)
                    );
                    return Err(DataError::sql("42804", message));
                }
                let word = if *is == Is::Unknown { "null" } else { word };
                self.push(format_args!(" is {word}"));
                Ok(())
            }
            Test::Search(search, config, query) => {
                let value = self.text.split_off(start);
                self.search(&value, &ty, *search, config.as_deref(), query)
            }
        }
    }

    /// `value operator literal`, with the literal in storage form.
    fn compare(
        &mut self,
        value: &str,
        expr: &Expr,
        ty: &Type,
        operator: Operator,
        literal: Value,
    ) -> Result<(), DataError> {
        let function = |name: &'static str| Some((name, ""));
        let kind = if *ty == Type::Jsonb { ", 0" } else { ", 1" };
        let call = match operator {
            Operator::Like => function("pumice_like"),
            Operator::Ilike => function("pumice_ilike"),
            Operator::Match => function("pumice_match"),
            Operator::Imatch => function("pumice_imatch"),
            Operator::Contains | Operator::Contained => Some(("pumice_contains", kind)),
            Operator::Overlaps => function("pumice_overlaps"),
            _ => None,
        };
        if let Some((name, kind)) = call {
            self.push(format_args!("{name}("));
            if operator == Operator::Contained {
                self.bind(literal);
                self.push(format_args!(", {value}{kind})"));
            } else {
                self.push(format_args!("{value}, "));
                self.bind(literal);
                self.push(format_args!("{kind})"));
            }
            return Ok(());
        }
        let ordered = matches!(
            operator,
            Operator::Gt | Operator::Gte | Operator::Lt | Operator::Lte
        );
        // Labels are in order of declaration, which their text does not show.
        let ranks = match ty {
            Type::Enum(of) if ordered => Some(of),
            _ => None,
        };
        let start = self.text.len();
        self.text.push_str(value);
        match ranks {
            Some(of) => self.rank(of, start),
            None => self.collate(expr, ty),
        }
        self.text.push_str(match operator {
            Operator::Neq => " <> ",
            Operator::Gt => " > ",
            Operator::Gte => " >= ",
            Operator::Lt => " < ",
            Operator::Lte => " <= ",
            Operator::IsDistinct => " is not ",
            _ => " = ",
        });
        let start = self.text.len();
        self.bind(literal);
        if let Some(of) = ranks {
            self.rank(of, start);
        }
        Ok(())
    }

    /// `value operator any(array)` or `all(array)`.
    fn each(
        &mut self,
        value: &str,
        expr: &Expr,
        ty: &Type,
        operator: Operator,
        quantifier: Quantifier,
        literal: &str,
    ) -> Result<(), DataError> {
        let element = match (operator, ty) {
            (Operator::Like | Operator::Ilike | Operator::Match | Operator::Imatch, _) => {
                Cow::Owned(Type::Text)
            }
            // `integer[]` is compared with the members of an array of arrays, which is none.
            (_, Type::Array(_)) => {
                let (from, sign) = (bare(ty), sign(operator));
                let Type::Array(element) = ty else {
                    return Ok(());
                };
                return Err(missing(&from, sign, &bare(element)));
            }
            (_, ty) => Cow::Borrowed(ty),
        };
        let mut members = Vec::new();
        let array = Type::Array(Box::new(element.clone().into_owned())).from_text(literal)?;
        if let Value::Text(array) = &array {
            leaves(array, &mut members)?;
        }
        let (word, none) = match quantifier {
            Quantifier::Any => (" or ", "false"),
            Quantifier::All => (" and ", "true"),
        };
        self.text.push('(');
        self.text
            .push_str(if members.is_empty() { none } else { "" });
        let long = members.len() > super::CHAIN_MAX;
        self.text.push_str(if long { "(" } else { "" });
        for (at, member) in members.iter().enumerate() {
            self.link(at, word);
            self.compare(value, expr, ty, operator, element.from_json(member)?)?;
            self.fits()?;
        }
        self.text.push_str(if long { "))" } else { ")" });
        Ok(())
    }

    fn search(
        &mut self,
        value: &str,
        ty: &Type,
        search: Search,
        config: Option<&str>,
        query: &str,
    ) -> Result<(), DataError> {
        let kind = match search {
            Search::Query => 0,
            Search::Plain => 1,
            Search::Phrase => 2,
            Search::Web => 3,
        };
        self.text.push_str("pumice_fts(");
        match ty {
            Type::Text | Type::Varchar { .. } | Type::Char { .. } | Type::Json | Type::Jsonb => {
                self.text.push_str(value);
            }
            _ => return Err(missing(&bare(ty), "@@", "tsquery")),
        }
        self.text.push_str(", ");
        self.bind(Value::Text(config.unwrap_or("english").to_owned()));
        self.text.push_str(", ");
        self.bind(Type::Text.from_text(query)?);
        self.push(format_args!(", {kind}, {})", ty.form()));
        Ok(())
    }
}

/// Whether it can fail on a row. Comparing what is stored cannot.
pub(super) fn fails(condition: &Condition) -> bool {
    let stored = |expr: &Expr| match expr {
        Expr::Column { table, column, .. } => {
            table.kind == Kind::Table || table.columns[*column].source.is_some()
        }
        _ => false,
    };
    match condition {
        Condition::Test { expr, test, .. } => match test {
            Test::Compare(operator, ..) => !stored(expr) || calls(*operator),
            Test::In(_) | Test::Is(_) => !stored(expr),
            Test::Search(..) => true,
        },
        Condition::All(members) | Condition::Any(members) => members.iter().any(fails),
        Condition::Not(member) => fails(member),
        Condition::Same(..) => false,
        Condition::Exists { node, .. } => node.conditions.iter().any(fails),
    }
}

/// Whether SQLite has a function of ours for an operator.
fn calls(operator: Operator) -> bool {
    !matches!(
        operator,
        Operator::Eq
            | Operator::Neq
            | Operator::Gt
            | Operator::Gte
            | Operator::Lt
            | Operator::Lte
            | Operator::IsDistinct
    )
}

/// The literal beside `operator`: a pattern is text whatever it is compared with.
fn operand(ty: &Type, operator: Operator, literal: &str) -> Result<Value, DataError> {
    match operator {
        Operator::Like | Operator::Ilike | Operator::Match | Operator::Imatch => {
            Type::Text.from_text(literal)
        }
        _ => ty.from_text(literal),
    }
}

/// The members of a stored array, of all its dimensions, as JSON.
fn leaves(array: &str, members: &mut Vec<Box<RawValue>>) -> Result<(), DataError> {
    let items: Vec<Box<RawValue>> =
        serde_json::from_str(array).map_err(|error| DataError::Internal(error.to_string()))?;
    for item in items {
        if item.get().starts_with('[') {
            leaves(item.get(), members)?;
        } else {
            members.push(item);
        }
    }
    Ok(())
}

/// PostgreSQL's name of an operator.
fn sign(operator: Operator) -> &'static str {
    match operator {
        Operator::Eq | Operator::IsDistinct => "=",
        Operator::Neq => "<>",
        Operator::Gt => ">",
        Operator::Gte => ">=",
        Operator::Lt => "<",
        Operator::Lte => "<=",
        Operator::Like => "~~",
        Operator::Ilike => "~~*",
        Operator::Match => "~",
        Operator::Imatch => "~*",
        Operator::Contains => "@>",
        Operator::Contained => "<@",
        Operator::Overlaps => "&&",
        Operator::StrictlyLeft => "<<",
        Operator::StrictlyRight => ">>",
        Operator::NotRightOf => "&<",
        Operator::NotLeftOf => "&>",
        Operator::Adjacent => "-|-",
    }
}

/// Whether PostgreSQL has `operator` for a value of this type and an untyped literal.
///
/// # Errors
/// What PostgreSQL 15 says where it has not; compared with a server.
fn exists(operator: Operator, ty: &Type) -> Result<(), DataError> {
    let has = has_operator(operator, ty);
    let fault = match operator {
        Operator::Contained if !has => SqlFault::new(
            "42725",
            format!("operator is not unique: {} <@ unknown", bare(ty)),
        )
        .hint("Could not choose a best candidate operator. You might need to add explicit type casts."),
        Operator::StrictlyLeft | Operator::StrictlyRight if has => SqlFault::new(
            "42804",
            format!(
                "argument of WHERE must be type boolean, not type {}",
                bare(ty)
            ),
        ),
        _ if has => return Ok(()),
        _ => return Err(missing(&bare(ty), sign(operator), "unknown")),
    };
    Err(fault.into())
}

fn missing(left: &str, sign: &str, right: &str) -> DataError {
    SqlFault::new(
        "42883",
        format!("operator does not exist: {left} {sign} {right}"),
    )
    .hint("No operator matches the given name and argument types. You might need to add explicit type casts.")
    .into()
}
