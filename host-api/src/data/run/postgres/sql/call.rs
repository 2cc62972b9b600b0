//! Calls of SQL functions.

use std::fmt::Write as _;

use super::write::object_of;
use super::{Statement, Writer, condition, put};
use crate::data::plan::{Arguments, CallPlan};
use crate::data::schema::{Argument, Function, Returns};
use crate::data::{DataError, Name};

/// Calls the function once. In the tail stand what it left in the response's settings, and how many
/// rows there are without the page if that is asked for.
///
/// # Errors
/// 22021 when the body is text and not UTF-8.
pub(in crate::data::run::postgres) fn call(plan: &CallPlan) -> Result<Statement, DataError> {
    let mut sql = Writer::default();
    let (from, call) = sql.calling(&plan.function, &plan.arguments)?;
    let lateral = match &from {
        Some(from) => format!("{from}, lateral {call}"),
        None => call.clone(),
    };
    let explain = plan.preferences.explain.is_some();
    let total = plan.preferences.count.is_some() && plan.function.set && !explain;
    sql.called = Some((&plan.function, &lateral));
    sql.text.push_str(match (total, explain) {
        (true, _) => "with _w as materialized (",
        (false, true) => "",
        (false, false) => "(",
    });
    match (&plan.node, &plan.function.returns) {
        (Some(node), _) => {
            if !total {
                sql.as_texts(plan.preferences.format);
                sql.text.push('(');
            }
            sql.node(node, !total);
            if !total {
                sql.text.push_str(") _r");
            }
        }
        (None, Returns::Void) => {
            put!(sql, "select 'null'::text from {lateral} as _t0");
        }
        (None, _) => {
            put!(sql, "select to_json({call})::text as _v");
            if let Some(from) = &from {
                put!(sql, " from {from}");
            }
            if plan.function.set && !total {
                sql.cut(Some(plan.limit), plan.offset);
            }
        }
    }
    if explain {
        return sql.finish(true, false);
    }
    if total {
        sql.text.push_str(") (");
        match &plan.node {
            Some(node) => {
                sql.as_texts(plan.preferences.format);
                sql.text.push_str("(select * from _w");
                sql.page(node);
                sql.text.push_str(") _r");
            }
            None => {
                sql.text.push_str("select _v from _w");
                sql.cut(Some(plan.limit), plan.offset);
            }
        }
    }
    let total = if total {
        "(select count(*) from _w)"
    } else {
        "null"
    };
    // Who asks for its process is not done in parallel, so this comes last.
    put!(
        sql,
        ") union all (select json_build_object(\
         'status', nullif(current_setting('response.status', true), ''), \
         'headers', nullif(current_setting('response.headers', true), ''), \
         'total', {total})::text where pg_backend_pid() > 0)"
    );
    sql.finish(true, true)
}

impl Writer<'_> {
    /// What the call's arguments come from, if it is a relation, and the call.
    fn calling(
        &mut self,
        function: &Function,
        arguments: &Arguments,
    ) -> Result<(Option<String>, String), DataError> {
        let mut from = None;
        let mut given = Vec::new();
        match arguments {
            Arguments::Json(values) => {
                let mut fields = String::new();
                for (name, _) in values {
                    let Some(argument) = argument(function, name) else {
                        continue;
                    };
                    let name = Name::of_catalog(name.as_str());
                    let comma = if fields.is_empty() { "" } else { ", " };
                    let _ = write!(fields, "{comma}{name} {}", argument.ty);
                    given.push(named(argument, &format!("_a.{name}")));
                }
                if !given.is_empty() {
                    let members = values
                        .iter()
                        .map(|(name, json)| (name.as_str(), json.get()));
                    let json = self.parameter(object_of(members));
                    from = Some(format!("json_to_record({json}::json) as _a({fields})"));
                }
            }
            Arguments::Text(values) => {
                for (name, texts) in values {
                    let Some(argument) = argument(function, name) else {
                        continue;
                    };
                    let text = match texts.last() {
                        Some(last) if !argument.variadic => last.clone(),
                        _ => condition::array(texts),
                    };
                    let value = format!("{}::{}", self.parameter(text), argument.ty);
                    given.push(named(argument, &value));
                }
            }
            Arguments::Whole(body) => {
                let ty = function
                    .arguments
                    .first()
                    .map_or("text", |argument| &argument.ty);
                given.push(if ty == "bytea" {
                    let hex = body.iter().map(|byte| format!("{byte:02x}")).collect();
                    format!("decode({}, 'hex')", self.parameter(hex))
                } else {
                    let text = String::from_utf8(body.clone()).map_err(|error| {
                        let at = error.utf8_error().valid_up_to();
                        let byte = body.get(at).copied().unwrap_or_default();
                        DataError::sql(
                            "22021",
                            format!("invalid byte sequence for encoding \"UTF8\": {byte:#04x}"),
                        )
                    })?;
                    format!("{}::{ty}", self.parameter(text))
                });
            }
        }
        let (schema, name) = (&function.schema, &function.name);
        Ok((from, format!("{schema}.{name}({})", given.join(", "))))
    }

    fn parameter(&mut self, text: String) -> String {
        self.args.push(Some(text));
        format!("${}", self.args.len())
    }
}

fn argument<'p>(function: &'p Function, name: &str) -> Option<&'p Argument> {
    function
        .arguments
        .iter()
        .find(|argument| argument.name == name)
}

/// `"name" => value`, or the value alone of an argument without a name.
fn named(argument: &Argument, value: &str) -> String {
    let variadic = if argument.variadic { "variadic " } else { "" };
    if argument.name.is_empty() {
        return format!("{variadic}{value}");
    }
    let name = Name::of_catalog(argument.name.as_str());
    format!("{variadic}{name} => {value}")
}
