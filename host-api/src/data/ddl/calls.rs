//! The functions that an expression may call.

use sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::coerce::{is_float, is_integer, open};
use super::expr::{Kind, Place, Scope, Term};
use super::{Refusal, names};
use crate::data::Type;
use crate::permissions::has_permission;

impl Scope<'_> {
    pub(super) fn at_utc(&self, zone: &Expr, time: &Expr) -> Result<Term, Refusal> {
        let is_utc = matches!(
            self.term(zone)?.sql.to_ascii_lowercase().as_str(),
            "'utc'" | "'gmt'" | "'z'"
        ) || matches!(self.term(zone)?.kind, Kind::Quoted(zone) if zone.eq_ignore_ascii_case("utc"));
        if !is_utc {
            return Err(Refusal::only_postgres("a time zone other than UTC"));
        }
        let term = self.term(time)?;
        let to = match &term.kind {
            Kind::Typed(Type::Timestamptz) => Type::Timestamp,
            Kind::Typed(Type::Timestamp) => Type::Timestamptz,
            _ => {
                return Err(Refusal::only_postgres(
                    "a time zone of anything but a timestamp",
                ));
            }
        };
        let sql = self.coerce(term, &to, true)?;
        self.typed(sql, to)
    }

    pub(super) fn function(&self, function: &Function) -> Result<Term, Refusal> {
        let refused = || Refusal::only_postgres(format!("`{function}`"));
        if let Some(aggregate) = self.aggregate(function)? {
            return Ok(aggregate);
        }
        let mut name = names::parts(&function.name)?;
        if name.len() == 2
            && (name[0] == "pg_catalog" || name[0] == "public" || name[0] == "extensions")
        {
            name.remove(0);
        }
        let name = name.join(".");
        if function.filter.is_some()
            || function.over.is_some()
            || !function.within_group.is_empty()
            || function.null_treatment.is_some()
            || function.parameters != FunctionArguments::None
        {
            return Err(refused());
        }
        let mut arguments = Vec::new();
        if let FunctionArguments::List(list) = &function.args {
            if list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
                return Err(refused());
            }
            for argument in &list.args {
                match argument {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => arguments.push(expr),
                    _ => return Err(refused()),
                }
            }
        }
        let changing = matches!(
            name.as_str(),
            "now"
                | "current_timestamp"
                | "transaction_timestamp"
                | "current_date"
                | "localtimestamp"
                | "gen_random_uuid"
                | "uuid_generate_v4"
                | "auth.uid"
                | "auth.role"
                | "auth.email"
                | "auth.jwt"
                | "auth.has_permission"
                | "current_user"
                | "current_role"
        );
        if changing && self.place == Place::Stored {
            return Err(Refusal::wrong(format!(
                "{name}() changes: an index or a generated column cannot use it"
            )));
        }
        match (name.as_str(), &arguments[..]) {
            ("now" | "current_timestamp" | "transaction_timestamp", []) => {
                self.typed("now()", Type::Timestamptz)
            }
            ("localtimestamp", []) => self.typed("replace(now(), '+00:00', '')", Type::Timestamp),
            ("current_date", []) => self.typed("substr(now(), 1, 10)", Type::Date),
            ("gen_random_uuid" | "uuid_generate_v4", []) => {
                self.typed("gen_random_uuid()", Type::Uuid)
            }
            ("auth.uid", []) => self.typed("pumice_uid()", Type::Uuid),
            ("auth.role" | "current_user" | "current_role", []) => {
                self.typed("pumice_role()", Type::Text)
            }
            ("auth.email", []) => self.typed("pumice_email()", Type::Text),
            ("auth.jwt", []) => {
                let text = Type::Text.form();
                self.typed(
                    format!("pumice_cast(pumice_claims(), {text}, 'jsonb')"),
                    Type::Jsonb,
                )
            }
            ("auth.has_permission", [permission] | [permission, _]) => {
                // It reads a table, which SQLite allows nowhere else.
                if matches!(self.place, Place::Default | Place::Check | Place::Stored) {
                    return Err(Refusal::only_postgres(
                        "auth.has_permission() outside policies and statements",
                    ));
                }
                let permission = self.text(permission)?;
                let resource = match arguments.get(1) {
                    Some(resource) => Some(self.text(resource)?),
                    None => None,
                };
                let held = has_permission(&permission, resource.as_deref());
                self.typed(held, Type::Boolean)
            }
            ("timezone", [zone, time]) => self.at_utc(zone, time),
            ("length" | "char_length" | "character_length", [text]) => {
                let text = self.text(text)?;
                self.typed(format!("length({text})"), Type::Integer)
            }
            ("lower", [text]) => {
                let text = self.text(text)?;
                self.typed(format!("pumice_lower({text})"), Type::Text)
            }
            ("upper", [text]) => {
                let text = self.text(text)?;
                self.typed(format!("pumice_upper({text})"), Type::Text)
            }
            ("btrim", [text]) => {
                let text = self.text(text)?;
                self.typed(format!("trim({text})"), Type::Text)
            }
            ("ltrim" | "rtrim", [text]) => {
                let text = self.text(text)?;
                self.typed(format!("{name}({text})"), Type::Text)
            }
            ("abs", [number]) => {
                let (number, ty) = self.settle(self.term(number)?)?;
                if !(is_integer(&ty) || is_float(&ty)) {
                    return Err(Refusal::only_postgres(format!("arithmetic on type {ty}")));
                }
                self.typed(format!("abs({number})"), ty)
            }
            ("nullif", [left, right]) => {
                let equal = self.compare(left, "=", right)?.sql;
                let (value, ty) = self.settle(self.term(left)?)?;
                self.typed(
                    format!("(case when {equal} then null else {value} end)"),
                    ty,
                )
            }
            ("coalesce", [_, _, ..]) => {
                let mut ty = None;
                for argument in &arguments {
                    if let Kind::Typed(found) = self.term(argument)?.kind {
                        ty = Some(open(found));
                        break;
                    }
                }
                let ty = match ty {
                    Some(ty) => ty,
                    None => self.settle(self.term(arguments[0])?)?.1,
                };
                let values = arguments
                    .iter()
                    .map(|argument| self.assigned(argument, &ty))
                    .collect::<Result<Vec<_>, _>>()?;
                self.typed(format!("coalesce({})", values.join(", ")), ty)
            }
            _ => Err(refused()),
        }
    }
}
