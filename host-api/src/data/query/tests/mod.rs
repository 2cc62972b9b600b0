//! Tables of what is read and what is refused. Messages are those of the dialect's own tests and
//! documentation where those have the case.

mod bodies;
mod conditions;
mod headers;
mod lists;
mod params;

use super::*;
use crate::data::DataError;

/// `code: message | details`, or the text of a limit.
fn refusal(error: DataError) -> String {
    match error {
        DataError::Sql(fault) => match fault.details {
            Some(details) => format!("{}: {} | {details}", fault.code, fault.message),
            None => format!("{}: {}", fault.code, fault.message),
        },
        other => other.to_string(),
    }
}

/// Checks each case, and tells all that differ.
fn check<T: std::fmt::Debug>(
    read: impl Fn(&str) -> Result<T, DataError>,
    show: impl Fn(&T) -> String,
    cases: &[(&str, &str)],
) {
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(text, expected)| {
            let got = match read(text) {
                Ok(value) => show(&value),
                Err(error) => refusal(error),
            };
            (got != *expected).then(|| format!("{text}\n  is   {got}\n  not  {expected}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn name(name: &str) -> String {
    format!("<{name}>")
}

fn field(field: &Field) -> String {
    let mut text = name(&field.name);
    for step in &field.path {
        text.push_str(if step.text { "->>" } else { "->" });
        match &step.key {
            Key::Name(key) => text.push_str(&name(key)),
            Key::Index(index) => text.push_str(&index.to_string()),
        }
    }
    text
}

/// A condition in words of its own, so that a test cannot pass because writer and reader err alike.
fn condition(of: &Condition) -> String {
    let negation = |not: &bool| if *not { "!" } else { "" };
    match of {
        Condition::Tree { not, any, members } => {
            let members: Vec<String> = members.iter().map(condition).collect();
            let word = if *any { "|" } else { "&" };
            format!("{}[{}]", negation(not), members.join(word))
        }
        Condition::Test {
            field: of,
            not,
            test,
        } => format!("{}{} {}", negation(not), field(of), shown(test)),
    }
}

fn shown(test: &Test) -> String {
    match test {
        Test::Compare(operator, None, value) => format!("{operator:?} {value}"),
        Test::Compare(operator, Some(quantifier), value) => {
            format!("{operator:?} {quantifier:?} {value}")
        }
        Test::In(values) => format!("In {values:?}"),
        Test::Is(is) => format!("Is {is:?}"),
        Test::Search(search, None, query) => format!("{search:?} {query}"),
        Test::Search(search, Some(config), query) => format!("{search:?} ({config}) {query}"),
    }
}

fn filtered(filter: &Filter) -> String {
    let path: String = filter.path.iter().map(|name| format!("{name}/")).collect();
    format!("{path}{}", condition(&filter.condition))
}
