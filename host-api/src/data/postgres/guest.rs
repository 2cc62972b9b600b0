//! SQL that guests write themselves.
//!
//! Nothing here reads it beyond its first word. That it is one statement, PostgreSQL says, which
//! prepares it before it runs; what it may touch, the rights of `service_role` say; parameters take the
//! types PostgreSQL infers, and rows become JSON there too.

use futures_util::TryStreamExt as _;
use futures_util::future::BoxFuture;
use serde_json::value::RawValue;
use sqlx::postgres::PgTypeKind;
use sqlx::{AssertSqlSafe, Either, Executor as _, SqlSafeStr as _, Statement as _, TypeInfo as _};

use super::{Identity, PgTx, sql, text};
use crate::data::DataError;

/// What guests may write. All else changes the session, the transaction or the schema.
const KEYWORDS: [&str; 7] = [
    "select", "insert", "update", "delete", "merge", "with", "values",
];

impl PgTx {
    /// Runs a guest's statement as `service_role` and returns its rows as JSON objects, together at most
    /// `bytes_max` bytes.
    ///
    /// Parameters are JSON: `$1` is the first. A string stands for a value in PostgreSQL's text form; an
    /// array for an array where PostgreSQL wants one, otherwise, like an object, for its JSON text.
    ///
    /// # Errors
    /// PostgreSQL's own, 42601 for two statements among them; 42501 for a statement of another kind;
    /// [`DataError::TooLarge`].
    pub fn guest_query<'a>(
        &'a mut self,
        sql: &'a str,
        parameters: &'a [Box<RawValue>],
        bytes_max: usize,
    ) -> BoxFuture<'a, Result<Vec<String>, DataError>> {
        Box::pin(async move {
            let keyword = first_keyword(sql);
            if !KEYWORDS.contains(&keyword.as_str()) {
                return Err(DataError::sql(
                    "42501",
                    format!(
                        "`{keyword}` is not for guests: a statement begins with one of {}",
                        KEYWORDS.join(", ")
                    ),
                ));
            }
            self.guest_was_here = true;
            // As the app, with the caller's claims and depth: whatever was set before, by whom.
            self.batch(sql::before_guest(&self.context, &self.prepared)?)
                .await?;
            self.prepared.clear();
            self.identity = Identity::Guest;

            self.start()?;
            let described = (&mut self.lease()?.connection)
                .prepare(AssertSqlSafe(sql.to_owned()).into_sql_str())
                .await;
            let described = self.settle(described)?;
            let arguments = arguments(described.parameters(), parameters)?;
            let mut statement = sql.to_owned();
            if !arguments.is_empty() {
                let number = self.guest_statements;
                self.guest_statements += 1;
                self.single(sql::prepare(number, sql)).await?;
                self.prepared.push(number);
                statement = sql::execute(number, &arguments);
            }
            if described.columns().is_empty() {
                self.single(statement).await?;
                return Ok(Vec::new());
            }
            self.guest_rows(statement, bytes_max).await
        })
    }

    /// Runs one statement, and refuses two.
    async fn single(&mut self, statement: String) -> Result<(), DataError> {
        self.start()?;
        let done = sqlx::query(AssertSqlSafe(statement))
            .persistent(false)
            .execute(&mut self.lease()?.connection)
            .await;
        self.settle(done).map(|_| ())
    }

    async fn guest_rows(
        &mut self,
        statement: String,
        bytes_max: usize,
    ) -> Result<Vec<String>, DataError> {
        self.start()?;
        let mut rows = Vec::new();
        let mut bytes: usize = 0;
        let mut stream = sqlx::query(sql::QUERY_ROWS).bind(statement).fetch(
            &mut self
                .lease
                .as_mut()
                .ok_or(DataError::TransactionEnded)?
                .connection,
        );
        let done = loop {
            match stream.try_next().await {
                Ok(Some(row)) => {
                    let row = text(&row)?;
                    bytes += row.len();
                    if bytes > bytes_max {
                        break Err(None);
                    }
                    rows.push(row);
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(Some(error)),
            }
        };
        drop(stream);
        match done {
            Ok(()) => self.settle(Ok(rows)),
            Err(Some(error)) => self.settle(Err(error)),
            Err(None) => {
                // The rest of the answer is read and thrown away by the next statement.
                self.settle(Ok(()))?;
                Err(DataError::TooLarge(format!(
                    "the rows are more than {bytes_max} bytes"
                )))
            }
        }
    }
}

/// The first word, in small letters; of a text without one, what stands in its place.
pub(super) fn first_keyword(sql: &str) -> String {
    let mut rest = sql;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '(');
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once('\n').map_or("", |(_, after)| after);
        } else if rest.starts_with("/*") {
            rest = after_comment(rest);
        } else {
            break;
        }
    }
    let word: String = rest
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect();
    if word.is_empty() {
        return rest.chars().take(1).collect();
    }
    word.to_ascii_lowercase()
}

/// What follows the comment that `sql` begins with. They nest.
fn after_comment(sql: &str) -> &str {
    let bytes = sql.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => {
                depth += 1;
                at += 2;
            }
            b"*/" => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return &sql[at..];
                }
            }
            _ => at += 1,
        }
    }
    ""
}

/// The parameters as literals.
fn arguments(
    described: Option<Either<&[sqlx::postgres::PgTypeInfo], usize>>,
    parameters: &[Box<RawValue>],
) -> Result<Vec<String>, DataError> {
    let types = match described {
        Some(Either::Left(types)) => types,
        _ => &[],
    };
    if types.len() != parameters.len() {
        return Err(DataError::sql(
            "42601",
            format!(
                "the statement has {} parameters, and {} were given",
                types.len(),
                parameters.len()
            ),
        ));
    }
    types
        .iter()
        .zip(parameters)
        .map(|(ty, parameter)| {
            let array = matches!(ty.kind(), PgTypeKind::Array(_)) || ty.name().ends_with("[]");
            match scalar(parameter, array)? {
                None => Ok("null".to_owned()),
                // Literals stand in a text that ends at a zero byte.
                Some(text) if text.contains('\0') => Err(DataError::sql(
                    "22021",
                    "invalid byte sequence for encoding \"UTF8\": 0x00",
                )),
                Some(text) => Ok(sql::literal(&text)),
            }
        })
        .collect()
}

/// A JSON value in PostgreSQL's text form; none for null.
fn scalar(json: &RawValue, array: bool) -> Result<Option<String>, DataError> {
    let text = json.get();
    let broken = |error: serde_json::Error| DataError::sql("22P02", error.to_string());
    match text.as_bytes().first() {
        Some(b'n') => Ok(None),
        Some(b'"') => serde_json::from_str(text).map(Some).map_err(broken),
        Some(b'[') if array => {
            let elements: Vec<&RawValue> = serde_json::from_str(text).map_err(broken)?;
            let mut literal = "{".to_owned();
            for (place, element) in elements.into_iter().enumerate() {
                if place > 0 {
                    literal.push(',');
                }
                if element.get().starts_with('[') {
                    literal.push_str(&scalar(element, true)?.unwrap_or_default());
                    continue;
                }
                match scalar(element, true)? {
                    None => literal.push_str("null"),
                    Some(text) => {
                        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
                        literal.push('"');
                        literal.push_str(&quoted);
                        literal.push('"');
                    }
                }
            }
            literal.push('}');
            Ok(Some(literal))
        }
        _ => Ok(Some(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_words() {
        for (sql, word) in [
            ("select 1", "select"),
            ("  \n\tSELECT", "select"),
            ("-- a\n--b\nwith x", "with"),
            ("/* a /* b */ c */ insert", "insert"),
            ("((values (1)))", "values"),
            ("select1", "select1"),
            ("-- select 1", ""),
            ("/* select 1", ""),
            ("/*/ select 1", ""),
            ("; select 1", ";"),
            ("é", "é"),
            ("", ""),
        ] {
            assert_eq!(first_keyword(sql), word, "{sql}");
        }
    }

    #[test]
    fn values_in_text_form() {
        for (json, array, text) in [
            ("null", false, None),
            ("12.50", false, Some("12.50")),
            ("true", false, Some("true")),
            (r#""a'\"\\é""#, false, Some(r#"a'"\é"#)),
            ("[1,2]", false, Some("[1,2]")),
            ("[]", true, Some("{}")),
            (
                r#"[1,null,"a\"b\\c,}"]"#,
                true,
                Some(r#"{"1",null,"a\"b\\c,}"}"#),
            ),
            ("[[1,2],[3,4]]", true, Some(r#"{{"1","2"},{"3","4"}}"#)),
            (r#"{"a": [1]}"#, true, Some(r#"{"a": [1]}"#)),
        ] {
            let raw = RawValue::from_string(json.to_owned()).unwrap();
            assert_eq!(scalar(&raw, array).unwrap().as_deref(), text, "{json}");
        }
    }
}
