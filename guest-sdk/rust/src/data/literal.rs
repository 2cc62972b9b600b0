//! Values as the REST dialect writes them in filters.

use std::fmt::{Display, Write};

use serde_json::Value;

/// `("a","b \"c\"")`: quotes do no harm to numbers, and keep commas and parentheses from meaning anything.
pub(super) fn list<I: IntoIterator<Item: Display>>(values: I) -> String {
    let items: Vec<String> = values
        .into_iter()
        .map(|value| quoted(&value.to_string()))
        .collect();
    format!("({})", items.join(","))
}

/// What `cs`, `cd` and `ov` compare with: a list in PostgreSQL's form of an array, a string as it stands (a
/// range, or a form of the author's own), anything else as JSON.
pub(super) fn collection(value: &Value) -> String {
    match value {
        Value::Array(items) => array(items),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Source: PostgreSQL's manual, section 8.15.2, "Array Value Input".
fn array(items: &[Value]) -> String {
    let items: Vec<String> = items
        .iter()
        .map(|item| match item {
            Value::Array(inner) => array(inner),
            Value::Null => "NULL".into(),
            Value::String(text) => quoted(text),
            Value::Object(_) => quoted(&item.to_string()),
            Value::Bool(_) | Value::Number(_) => item.to_string(),
        })
        .collect();
    format!("{{{}}}", items.join(","))
}

fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

/// Adds `term` to a comma-separated clause.
pub(super) fn append(clause: &mut Option<String>, term: &str) {
    match clause {
        Some(clause) => {
            // Writing to a string cannot fail.
            let _ = write!(clause, ",{term}");
        }
        None => *clause = Some(term.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_are_quoted() {
        assert_eq!(list([1, 2]), r#"("1","2")"#);
        assert_eq!(
            list(["a,b", "(c)", "say \"x\\\""]),
            r#"("a,b","(c)","say \"x\\\"")"#
        );
        assert_eq!(list::<[i32; 0]>([]), "()");
    }

    #[test]
    fn collections_have_three_forms() {
        let check = |value: Value, expected: &str| assert_eq!(collection(&value), expected);
        check(json!([1, 2.5, true, null]), "{1,2.5,true,NULL}");
        check(json!(["a b", "NULL", "c\"}"]), r#"{"a b","NULL","c\"}"}"#);
        check(json!([["x"], []]), r#"{{"x"},{}}"#);
        check(json!([{ "a": "b" }]), r#"{"{\"a\":\"b\"}"}"#);
        check(json!({ "a": [1] }), r#"{"a":[1]}"#);
        check(json!("[1,5)"), "[1,5)");
    }
}
