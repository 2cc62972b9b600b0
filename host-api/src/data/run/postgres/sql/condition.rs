//! Conditions.

use std::fmt::Write as _;

use super::{Writer, put, types};
use crate::data::Type;
use crate::data::plan::{Condition, Expr, Test};
use crate::data::query::{Is, Operator, Quantifier, Search};
use crate::data::run::has_operator;

impl Writer<'_> {
    /// ` where …`, if there are any.
    pub(super) fn conditions(&mut self, conditions: &[Condition]) {
        if conditions.is_empty() {
            return;
        }
        self.text.push_str(" where ");
        self.list(conditions, " and ", Writer::condition);
    }

    pub(super) fn condition(&mut self, condition: &Condition) {
        match condition {
            Condition::Test { expr, not, test } => {
                self.text.push_str(if *not { "not (" } else { "(" });
                self.test(expr, test);
                self.text.push(')');
            }
            Condition::All(members) => self.members(members, " and ", "true"),
            Condition::Any(members) => self.members(members, " or ", "false"),
            Condition::Not(of) => {
                self.text.push_str("not (");
                self.condition(of);
                self.text.push(')');
            }
            Condition::Same(one, other) => {
                self.expr(one);
                self.text.push_str(" = ");
                self.expr(other);
            }
            Condition::Exists { node, not } => {
                self.text
                    .push_str(if *not { "not exists (" } else { "exists (" });
                self.node(node, true);
                self.text.push(')');
            }
        }
    }

    fn members(&mut self, members: &[Condition], word: &str, none: &str) {
        if members.is_empty() {
            self.text.push_str(none);
            return;
        }
        self.text.push('(');
        self.list(members, word, Writer::condition);
        self.text.push(')');
    }

    fn test(&mut self, expr: &Expr, test: &Test) {
        match test {
            Test::Compare(operator, quantifier, _) if !has(*operator, expr) => {
                self.expr(expr);
                let literal = match quantifier {
                    None => "''",
                    Some(Quantifier::Any) => "any('')",
                    Some(Quantifier::All) => "all('')",
                };
                put!(self, " {} {literal}", symbol(*operator));
            }
            Test::Compare(operator, quantifier, literal) => {
                // Patterns are text, whatever they are compared with.
                let ty = match operator {
                    Operator::Like | Operator::Ilike | Operator::Match | Operator::Imatch => {
                        "text".to_owned()
                    }
                    _ => self.type_of(expr),
                };
                self.expr(expr);
                put!(self, " {} ", symbol(*operator));
                match quantifier {
                    None => self.bind(literal, &ty),
                    Some(quantifier) => {
                        self.text.push_str(match quantifier {
                            Quantifier::Any => "any(",
                            Quantifier::All => "all(",
                        });
                        self.bind(literal, &format!("{ty}[]"));
                        self.text.push(')');
                    }
                }
            }
            Test::In(_) if !has(Operator::Eq, expr) => {
                self.expr(expr);
                self.text.push_str(" in ('')");
            }
            Test::In(literals) => self.contained(expr, literals),
            Test::Is(is) => {
                self.expr(expr);
                self.text.push_str(match is {
                    Is::Null => " is null",
                    Is::NotNull => " is not null",
                    Is::True => " is true",
                    Is::False => " is false",
                    Is::Unknown => " is unknown",
                });
            }
            Test::Search(search, config, query) => {
                if self.type_of(expr) == "tsvector" {
                    self.expr(expr);
                } else {
                    self.text.push_str("to_tsvector(");
                    self.config(config.as_deref());
                    self.expr(expr);
                    self.text.push(')');
                }
                self.text.push_str(match search {
                    Search::Query => " @@ to_tsquery(",
                    Search::Plain => " @@ plainto_tsquery(",
                    Search::Phrase => " @@ phraseto_tsquery(",
                    Search::Web => " @@ websearch_to_tsquery(",
                });
                self.config(config.as_deref());
                self.bind(query, "text");
                self.text.push(')');
            }
        }
    }

    fn config(&mut self, config: Option<&str>) {
        if let Some(config) = config {
            self.bind(config, "regconfig");
            self.text.push_str(", ");
        }
    }

    /// One array, so that lists of any length are one statement to PostgreSQL.
    fn contained(&mut self, expr: &Expr, literals: &[String]) {
        let ty = self.type_of(expr);
        if types::has_plain_array(&ty) {
            self.expr(expr);
            self.text.push_str(" = any(");
            self.bind(array(literals), &format!("{ty}[]"));
            self.text.push(')');
        } else if literals.is_empty() {
            self.text.push_str("false");
        } else {
            self.expr(expr);
            self.text.push_str(" in (");
            self.list(literals, ", ", |sql, literal| sql.bind(literal, &ty));
            self.text.push(')');
        }
    }
}

/// Whether there may be such an operator. Where there is none the literal stands without a type, as it is
/// `unknown` in PostgreSQL's error.
fn has(operator: Operator, expr: &Expr) -> bool {
    match types::known(expr) {
        None | Some(Type::Bytea) => true,
        Some(ty) => has_operator(operator, ty),
    }
}

/// An array literal of these elements.
pub(super) fn array(elements: &[String]) -> String {
    let mut literal = String::from("{");
    for (at, element) in elements.iter().enumerate() {
        literal.push_str(if at == 0 { "\"" } else { ",\"" });
        literal.push_str(&element.replace('\\', "\\\\").replace('"', "\\\""));
        literal.push('"');
    }
    literal.push('}');
    literal
}

fn symbol(operator: Operator) -> &'static str {
    match operator {
        Operator::Eq => "=",
        Operator::Neq => "<>",
        Operator::Gt => ">",
        Operator::Gte => ">=",
        Operator::Lt => "<",
        Operator::Lte => "<=",
        Operator::Like => "like",
        Operator::Ilike => "ilike",
        Operator::Match => "~",
        Operator::Imatch => "~*",
        Operator::IsDistinct => "is distinct from",
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
