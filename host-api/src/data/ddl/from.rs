//! What stands in a `from`: relations, queries and joins; and the columns that a `*` means.

use sqlparser::ast::{
    Expr, Ident, Join, JoinConstraint, JoinOperator, ObjectName, TableAlias, TableFactor,
    WildcardAdditionalOptions,
};
use sqlparser::tokenizer::Span;

use super::expr::Scope;
use super::rows::{Clause, From, Output, Rows, placed};
use super::select::scope;
use super::{Refusal, names, sql};
use crate::data::Type;

/// The columns of `auth.users` that a policy may read. The same are granted on PostgreSQL, where `auth/sql`
/// makes the table.
const USERS: [(&str, Type); 13] = [
    ("id", Type::Uuid),
    ("email", Type::Text),
    ("phone", Type::Text),
    ("role", Type::Text),
    ("email_confirmed_at", Type::Timestamptz),
    ("phone_confirmed_at", Type::Timestamptz),
    ("last_sign_in_at", Type::Timestamptz),
    ("raw_app_meta_data", Type::Jsonb),
    ("raw_user_meta_data", Type::Jsonb),
    ("is_anonymous", Type::Boolean),
    ("created_at", Type::Timestamptz),
    ("updated_at", Type::Timestamptz),
    ("banned_until", Type::Timestamptz),
];

impl<'c> Scope<'c> {
    /// What a `*` stands for; written down too, since a view shows no column that comes later.
    pub(super) fn star(
        &self,
        rows: &Rows<'_>,
        of: Option<&str>,
        options: &WildcardAdditionalOptions,
        span: Span,
    ) -> Result<Vec<(String, Output)>, Refusal> {
        let WildcardAdditionalOptions {
            wildcard_token: _,
            opt_ilike: None,
            opt_exclude: None,
            opt_except: None,
            opt_replace: None,
            opt_rename: None,
            opt_alias: None,
        } = options
        else {
            return Err(Refusal::wrong("`*` takes nothing behind it"));
        };
        if rows.froms.is_empty() {
            return Err(Refusal::wrong(
                "SELECT * with no tables specified is not valid",
            ));
        }
        let mut words: Vec<(usize, String)> = Vec::new();
        match of {
            None => {
                words.extend(rows.merged.iter().map(|(name, at)| (*at, name.clone())));
                for (at, from) in rows.froms.iter().enumerate() {
                    let own = from.columns.iter().map(|column| &column.name);
                    let merged = |name: &&String| !rows.merged.iter().any(|(m, _)| m == *name);
                    words.extend(own.filter(merged).map(|name| (at, name.clone())));
                }
            }
            Some(of) => {
                let at = rows
                    .froms
                    .iter()
                    .position(|from| from.alias == of)
                    .ok_or_else(|| {
                        Refusal::wrong(format!("missing FROM-clause entry for table \"{of}\""))
                    })?;
                let own = rows.froms[at].columns.iter();
                words.extend(own.map(|column| (at, column.name.clone())));
            }
        }
        let mut found = Vec::new();
        let mut text = Vec::new();
        for (at, name) in words {
            let (alias, name) = (sql::quoted(&rows.froms[at].alias), sql::quoted(&name));
            text.push(format!("{alias}.{name} as {name}"));
            let parts = [&alias, &name]
                .map(|word| Ident::with_quote('"', word.trim_matches('"').replace("\"\"", "\"")));
            found.push(rows.column(&parts)?);
        }
        rows.notes.stars.borrow_mut().push((span, text.join(", ")));
        Ok(found)
    }

    pub(super) fn factor(
        &self,
        rows: &mut Rows<'c>,
        factor: &TableFactor,
    ) -> Result<String, Refusal> {
        let (text, from) = match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                version: None,
                with_ordinality: false,
                sample: None,
                ..
            } => self.relation(rows, name, alias.as_ref())?,
            TableFactor::Derived {
                lateral: false,
                subquery,
                alias,
                sample: None,
            } => {
                let Some(alias) = alias else {
                    return Err(Refusal::wrong("subquery in FROM must have an alias"));
                };
                let selected = self.query(subquery)?;
                let names = sql::list(selected.outputs.iter().map(|output| &output.name));
                let (alias, columns) = aliased(alias, selected.outputs)?;
                let sql = rows.name(&alias);
                let shown = sql::list(columns.iter().map(|column| &column.name));
                let text = match shown == names {
                    true => format!("({}) as {sql}", selected.sql),
                    // SQLite names no columns behind an alias.
                    false => {
                        let name = sql::quoted(&format!("with.{}", rows.notes.number()));
                        format!(
                            "(with {name} ({shown}) as ({}) select * from {name}) as {sql}",
                            selected.sql
                        )
                    }
                };
                let from = From {
                    relation: None,
                    alias,
                    sql,
                    columns,
                    key: Vec::new(),
                };
                (text, from)
            }
            TableFactor::NestedJoin { .. } => {
                return Err(Refusal::only_postgres("a join in parentheses"));
            }
            other => return Err(Refusal::only_postgres(format!("`{other}` in `from`"))),
        };
        if rows.froms.iter().any(|there| there.alias == from.alias) {
            return Err(Refusal::wrong(format!(
                "table name \"{}\" specified more than once",
                from.alias
            )));
        }
        rows.froms.push(from);
        Ok(text)
    }

    fn relation(
        &self,
        rows: &Rows<'_>,
        name: &ObjectName,
        alias: Option<&TableAlias>,
    ) -> Result<(String, From), Refusal> {
        let parts = names::parts(name)?;
        let users = parts == ["auth", "users"] && rows.in_policy();
        let relation = match users {
            true => "users".to_owned(),
            false => names::relation(name)?,
        };
        let (given, renamed) = match alias {
            None => (relation.clone(), false),
            Some(alias) => (names::ident(&alias.name)?, !alias.columns.is_empty()),
        };
        if renamed {
            return Err(Refusal::only_postgres(
                "names of columns behind a table's alias",
            ));
        }
        let sql = rows.name(&given);
        if users {
            // As PostgreSQL's grants and its policy have it: the caller's own row, and of it these columns.
            let output = |(name, ty): &(&str, Type)| Output {
                name: (*name).to_owned(),
                ty: ty.clone(),
                domain: None,
                source: None,
            };
            let from = From {
                relation: None,
                alias: given,
                sql: sql.clone(),
                columns: USERS.iter().map(output).collect(),
                key: Vec::new(),
            };
            let names = USERS.map(|(name, _)| name.to_owned());
            return Ok((format!("{} as {sql}", sql::own_user(&names)), from));
        }
        if name.0.len() == 1
            && let Some(common) = rows.common(&relation)
        {
            let from = From {
                alias: given,
                sql: sql.clone(),
                ..common.clone()
            };
            return Ok((format!("{} as {sql}", common.sql), from));
        }
        let (columns, key) = self.catalog.shown(&relation)?;
        rows.notes.add(&relation, None, last_span(name));
        let from = From {
            relation: Some(relation.clone()),
            alias: given,
            sql: sql.clone(),
            columns,
            key,
        };
        Ok((format!("{} as {sql}", placed(&relation)), from))
    }

    pub(super) fn join(&self, rows: &mut Rows<'c>, join: &Join) -> Result<String, Refusal> {
        let (word, constraint) = match &join.join_operator {
            JoinOperator::Join(on) | JoinOperator::Inner(on) => ("join", on),
            JoinOperator::Left(on) | JoinOperator::LeftOuter(on) => ("left join", on),
            JoinOperator::Right(on) | JoinOperator::RightOuter(on) => ("right join", on),
            JoinOperator::FullOuter(on) => ("full join", on),
            JoinOperator::CrossJoin(on) => ("cross join", on),
            _ => return Err(Refusal::only_postgres(format!("`{join}`"))),
        };
        let before = rows.froms.len();
        let text = self.factor(rows, &join.relation)?;
        rows.clause.set(Clause::Plain("JOIN conditions"));
        let on = match constraint {
            JoinConstraint::On(expr) => scope(self.catalog, rows).condition(expr)?,
            JoinConstraint::None => return Ok(format!(" {word} {text}")),
            JoinConstraint::Using(columns) if word == "join" || word == "left join" => {
                let mut equal = Vec::new();
                for column in columns {
                    let name = names::relation(column)?;
                    let missing = |side: &str| {
                        Refusal::wrong(format!(
                            "column \"{name}\" specified in USING clause does not exist in {side} table"
                        ))
                    };
                    let left = rows.merged.iter().find(|(merged, _)| *merged == name);
                    let left = match left {
                        Some((_, at)) => *at,
                        None => {
                            let mut has =
                                (0..before).filter(|at| rows.froms[*at].at(&name).is_some());
                            let at = has.next().ok_or_else(|| missing("left"))?;
                            if has.next().is_some() {
                                return Err(Refusal::wrong(format!(
                                    "common column name \"{name}\" appears more than once in left table"
                                )));
                            }
                            rows.merged.push((name.clone(), at));
                            at
                        }
                    };
                    rows.froms[before]
                        .at(&name)
                        .ok_or_else(|| missing("right"))?;
                    let side = |at: usize| {
                        Expr::CompoundIdentifier(vec![
                            Ident::with_quote('"', rows.froms[at].alias.clone()),
                            Ident {
                                span: last_span(column),
                                ..Ident::with_quote('"', name.clone())
                            },
                        ])
                    };
                    // Two columns in one word: no rename can change it.
                    rows.notes.add("", None, last_span(column));
                    let (left, right) = (side(left), side(before));
                    equal.push(scope(self.catalog, rows).compare(&left, "=", &right)?.sql);
                }
                equal.join(" and ")
            }
            JoinConstraint::Using(_) => {
                return Err(
                    Refusal::only_postgres(format!("`{word} … using`")).fix("write it with `on`")
                );
            }
            JoinConstraint::Natural => {
                return Err(Refusal::only_postgres("`natural join`").fix("write it with `on`"));
            }
        };
        Ok(format!(" {word} {text} on {on}"))
    }
}

/// The name and the columns that an alias gives to a query.
pub fn aliased(alias: &TableAlias, outputs: Vec<Output>) -> Result<(String, Vec<Output>), Refusal> {
    let name = names::ident(&alias.name)?;
    if alias.columns.len() > outputs.len() {
        return Err(Refusal::wrong(format!(
            "table \"{name}\" has {} columns available but {} columns specified",
            outputs.len(),
            alias.columns.len()
        )));
    }
    let mut columns = outputs;
    for (output, column) in columns.iter_mut().zip(&alias.columns) {
        output.name = names::ident(&column.name)?;
    }
    Ok((name, columns))
}

pub fn first_span(name: &ObjectName) -> Span {
    let ident = name.0.first().and_then(|part| part.as_ident());
    ident.map_or(Span::empty(), |ident| ident.span)
}

fn last_span(name: &ObjectName) -> Span {
    let ident = name.0.last().and_then(|part| part.as_ident());
    ident.map_or(Span::empty(), |ident| ident.span)
}
