//! Rows and arguments as JSON text.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads the JSON object `text` as a `T`.
///
/// # Errors
/// A sentence that names the field which does not fit, where it is one.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| {
        let said = error.to_string();
        let what = match said.rfind(" at line ") {
            Some(end) => &said[..end],
            None => &said,
        };
        match field_at(text, error.line(), error.column()) {
            // An object that is too short is told at its end, and by name.
            Some(field) => format!("`{field}`: {what}"),
            None => what.to_owned(),
        }
    })
}

/// The field of the object `text` whose value stands at `line` and `column`, both from 1.
fn field_at(text: &str, line: usize, column: usize) -> Option<String> {
    let start_of_line: usize = text
        .split_inclusive('\n')
        .take(line.checked_sub(1)?)
        .map(str::len)
        .sum();
    let place = text.as_ptr() as usize + start_of_line + column;
    let (name, _) = fields(text).ok()?.into_iter().find(|(_, value)| {
        let start = value.as_ptr() as usize;
        start < place && place <= start + value.len()
    })?;
    Some(name)
}

/// The row `before` with those fields of `after` that differ from what a `T` reads out of `before`: columns
/// that `T` does not know, or reads less exactly than they are, stay as they were.
///
/// # Errors
/// If `after` has no JSON form, or is no object.
pub(crate) fn replaced<T: Serialize + DeserializeOwned>(
    before: &str,
    after: &T,
) -> Result<String, String> {
    let read_again: T = read(before)?;
    let unchanged = to_text(&read_again)?;
    let changed = to_text(after)?;
    let mut row = fields(before)?;
    let unchanged = fields(&unchanged)?;
    for (name, value) in fields(&changed)? {
        if unchanged.contains(&(name.clone(), value)) {
            continue;
        }
        match row.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => row.push((name, value)),
        }
    }
    let fields: Result<Vec<String>, String> = row
        .iter()
        .map(|(name, value)| Ok(to_text(name)? + ":" + value))
        .collect();
    Ok(format!("{{{}}}", fields?.join(",")))
}

pub(crate) fn to_text<T: Serialize + ?Sized>(value: &T) -> Result<String, String> {
    serde_json::to_string(value).map_err(|error| error.to_string())
}

/// The fields of an object, each value in the very text it has: numbers keep all their digits.
fn fields(text: &str) -> Result<Vec<(String, &str)>, String> {
    let is_object = text.trim_start().starts_with('{');
    let read = |item: &str| serde_json::from_str::<String>(item).ok();
    let parts = parts(text);
    let fields = parts.chunks(2).map(|field| match field {
        [name, value] => Some((read(name)?, *value)),
        _ => None,
    });
    let fields: Option<Vec<_>> = fields.collect();
    fields
        .filter(|_| is_object)
        .ok_or_else(|| "a row has to be a JSON object".to_owned())
}

/// The texts of the items of a JSON array; of an object, each name and after it its value. The text is one that
/// has been read as JSON, or that the host wrote.
///
/// Not `serde_json`'s `RawValue`: that feature adds 12 kB to every guest that reads JSON at all.
pub(crate) fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        let ends_part = match byte {
            b'"' => {
                while let Some((_, inner)) = bytes.next() {
                    match inner {
                        b'"' => break,
                        b'\\' => drop(bytes.next()),
                        _ => {}
                    }
                }
                false
            }
            b'{' | b'[' => {
                depth += 1;
                if depth == 1 {
                    start = at + 1;
                }
                false
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                depth == 0
            }
            b',' | b':' => depth == 1,
            _ => false,
        };
        if ends_part {
            let part = text[start..at].trim();
            if !part.is_empty() {
                parts.push(part);
            }
            start = at + 1;
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize, Serialize)]
    struct Order {
        total: f64,
        #[serde(default)]
        note: Option<String>,
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let check = |text: &str, expected: &str| {
            assert_eq!(
                read::<Order>(text).err().as_deref(),
                Some(expected),
                "{text}"
            );
        };
        check(r#"{"note":null}"#, "missing field `total`");
        check(
            r#"{"id":1,"total":"x","note":null}"#,
            "`total`: invalid type: string \"x\", expected f64",
        );
        check(
            "{\"id\": {\"a\": [1]},\n \"note\":\n 5, \"total\": 1}",
            "`note`: invalid type: integer `5`, expected a string",
        );
        check(
            r#"{"total":true}"#,
            "`total`: invalid type: boolean `true`, expected f64",
        );
        check(
            "[]",
            "invalid length 0, expected struct Order with 2 elements",
        );
    }

    #[test]
    fn a_replacement_changes_what_was_changed_and_nothing_else() {
        let check = |before: &str, change: fn(&mut Order), expected: &str| {
            let mut order: Order = read(before).expect("it is an order");
            change(&mut order);
            assert_eq!(
                replaced(before, &order).as_deref(),
                Ok(expected),
                "{before}"
            );
        };
        // Digits beyond a float's, columns the type has not, and a column that was left out.
        let before = r#"{"id":12345678901234567890123,"total":0.10000000000000000000001}"#;
        check(before, |_| {}, before);
        check(
            before,
            |order| order.total = 2.5,
            r#"{"id":12345678901234567890123,"total":2.5}"#,
        );
        check(
            before,
            |order| order.note = Some("é\"".into()),
            r#"{"id":12345678901234567890123,"total":0.10000000000000000000001,"note":"é\""}"#,
        );
        check(
            r#"{"note":"a","total":1}"#,
            |order| order.note = None,
            r#"{"note":null,"total":1}"#,
        );
        check(
            r#"{"a\"b":[1, 2],"total":1}"#,
            |order| order.total = 1.0,
            r#"{"a\"b":[1, 2],"total":1}"#,
        );
    }

    #[test]
    fn parts_are_told_apart() {
        let check = |text: &str, expected: &[&str]| assert_eq!(parts(text), expected, "{text}");
        check("[]", &[]);
        check(" { } ", &[]);
        check(
            r#"[1, "a,b:\"]", [2,3], {"c":[4]}, null]"#,
            &["1", r#""a,b:\"]""#, "[2,3]", r#"{"c":[4]}"#, "null"],
        );
        check(
            r#"{"a": 1, "b\\": "é"}"#,
            &[r#""a""#, "1", r#""b\\""#, r#""é""#],
        );
        check("[", &[]);
    }

    #[test]
    fn a_replacement_is_an_object() {
        assert!(replaced(r#"{"a":1}"#, &serde_json::json!([1])).is_err());
    }
}
