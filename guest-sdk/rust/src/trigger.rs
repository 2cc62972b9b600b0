//! Changes of rows, before and after.

use std::fmt::Display;
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::before_trigger::exports::pumice::platform::before_trigger_handler as before;
use crate::bindings::imports::pumice::platform::types as host;
use crate::{Caller, Rejection, reject, row};

/// What happens to one row, or has happened.
#[derive(Clone, Debug)]
pub struct Change<T> {
    /// The table, without its schema when that is `public`.
    pub table: Rc<str>,
    pub operation: Operation,
    /// The row as it was: on update and delete.
    pub old: Option<T>,
    /// The row as it will be, or has become: on insert and update.
    pub new: Option<T>,
    pub caller: Rc<Caller>,
}

impl<T> Change<T> {
    /// The row itself: the new one, on delete the old one.
    pub fn row(&self) -> &T {
        self.new
            .as_ref()
            .or(self.old.as_ref())
            .expect("every change has a new or an old row")
    }

    /// As [`Change::row`], to keep or to change.
    pub fn into_row(self) -> T {
        self.new
            .or(self.old)
            .expect("every change has a new or an old row")
    }
}

/// The changes of one statement: at most 500, at least one.
#[derive(Clone, Debug)]
pub struct Batch<T> {
    /// The table, without its schema when that is `public`.
    pub table: Rc<str>,
    pub operation: Operation,
    pub changes: Vec<Change<T>>,
    pub caller: Rc<Caller>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Insert,
    Update,
    Delete,
}

impl Operation {
    /// `insert`, `update` or `delete`.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Insert => "insert",
            Operation::Update => "update",
            Operation::Delete => "delete",
        }
    }
}

impl Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What becomes of a row; a [`Rejection`] in its place refuses the whole statement.
#[derive(Clone, Debug)]
pub enum Verdict<T> {
    /// The row goes on as it is.
    Keep,
    /// This row instead, checked like one from a client. What differs from the row as it was handed over is
    /// written; the columns that `T` does not have keep their values.
    Replace(T),
    /// The row is left out; the others go on.
    Skip,
}

/// What a before-trigger may return: a [`Verdict`], nothing at all, which keeps the row, or a `Result` of either
/// with an error that is a [`Rejection`] or becomes one.
pub trait Judgement {
    #[doc(hidden)]
    fn judge(self, row: Option<&str>) -> Result<before::Verdict, Rejection>;
}

impl<T: Serialize + DeserializeOwned> Judgement for Verdict<T> {
    fn judge(self, row: Option<&str>) -> Result<before::Verdict, Rejection> {
        match self {
            Verdict::Keep => Ok(before::Verdict::Keep),
            Verdict::Skip => Ok(before::Verdict::Skip),
            Verdict::Replace(replacement) => {
                let text = match row {
                    Some(row) => row::replaced(row, &replacement),
                    None => row::to_text(&replacement),
                };
                let text =
                    text.map_err(|why| std::io::Error::other(format!("replacement: {why}")))?;
                Ok(before::Verdict::Replace(text))
            }
        }
    }
}

impl Judgement for () {
    fn judge(self, _: Option<&str>) -> Result<before::Verdict, Rejection> {
        Ok(before::Verdict::Keep)
    }
}

impl<J: Judgement, E: Into<Rejection>> Judgement for Result<J, E> {
    fn judge(self, row: Option<&str>) -> Result<before::Verdict, Rejection> {
        self.map_err(Into::into)?.judge(row)
    }
}

/// What an after-trigger may take: a [`Change`], once for each, or the whole [`Batch`].
pub trait Changes: Sized {
    #[doc(hidden)]
    fn each(
        batch: host::Batch,
        react: impl FnMut(Self) -> Result<(), String>,
    ) -> Result<(), String>;
}

impl<T: DeserializeOwned> Changes for Change<T> {
    fn each(
        batch: host::Batch,
        mut react: impl FnMut(Self) -> Result<(), String>,
    ) -> Result<(), String> {
        let about = About::of(batch.table, batch.operation, batch.caller);
        batch
            .changes
            .iter()
            .try_for_each(|change| react(about.change(change)?))
    }
}

impl<T: DeserializeOwned> Changes for Batch<T> {
    fn each(
        batch: host::Batch,
        mut react: impl FnMut(Self) -> Result<(), String>,
    ) -> Result<(), String> {
        let about = About::of(batch.table, batch.operation, batch.caller);
        let changes: Result<_, String> = batch
            .changes
            .iter()
            .map(|change| about.change(change))
            .collect();
        react(Batch {
            changes: changes?,
            table: about.table,
            operation: about.operation,
            caller: about.caller,
        })
    }
}

/// What an after-trigger or a script may return: nothing, or a `Result` whose error says why it is to be
/// called again later.
pub trait Outcome {
    #[doc(hidden)]
    fn outcome(self) -> Result<(), String>;
}

impl Outcome for () {
    fn outcome(self) -> Result<(), String> {
        Ok(())
    }
}

impl<E: Display> Outcome for Result<(), E> {
    fn outcome(self) -> Result<(), String> {
        // The form in which errors that have causes tell them.
        self.map_err(|error| format!("{error:#}"))
    }
}

/// What all changes of a batch share.
struct About {
    table: Rc<str>,
    operation: Operation,
    caller: Rc<Caller>,
}

impl About {
    fn of(table: String, operation: host::Operation, caller: host::Caller) -> Self {
        Self {
            table: table.into(),
            operation: match operation {
                host::Operation::Insert => Operation::Insert,
                host::Operation::Update => Operation::Update,
                host::Operation::Delete => Operation::Delete,
            },
            caller: Rc::new(Caller::from_host(caller)),
        }
    }

    fn change<T: DeserializeOwned>(&self, change: &host::Change) -> Result<Change<T>, String> {
        let read = |row: &Option<String>| row.as_deref().map(row::read).transpose();
        Ok(Change {
            table: self.table.clone(),
            operation: self.operation,
            old: read(&change.old)?,
            new: read(&change.new)?,
            caller: self.caller.clone(),
        })
    }
}

/// Takes a batch to the author's before-trigger, a change at a time, and its verdicts back to the host.
pub fn check<T: DeserializeOwned, J: Judgement>(
    batch: host::Batch,
    function: impl Fn(Change<T>) -> J,
) -> Vec<before::Verdict> {
    crate::begin();
    let about = About::of(batch.table, batch.operation, batch.caller);
    let mut verdicts = Vec::with_capacity(batch.changes.len());
    for change in &batch.changes {
        let verdict = about
            .change(change)
            .map_err(|why| reject("invalid_row", format!("{}: {why}", about.table)))
            .and_then(|read| function(read).judge(change.new.as_deref()));
        match verdict {
            Ok(verdict) => verdicts.push(verdict),
            Err(rejection) => {
                // One refuses them all: nobody asks for the rest.
                verdicts.push(before::Verdict::Reject(rejection.into_host()));
                verdicts.resize(batch.changes.len(), before::Verdict::Keep);
                break;
            }
        }
    }
    verdicts
}

/// Takes a batch to the author's after-trigger.
pub fn react<C: Changes, O: Outcome>(
    batch: host::Batch,
    function: impl Fn(C) -> O,
) -> Result<(), String> {
    crate::begin();
    C::each(batch, |changes| function(changes).outcome())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use serde_json::{Value, json};

    use super::*;

    #[derive(serde::Deserialize, Serialize)]
    struct Order {
        total: i64,
    }

    fn batch(operation: host::Operation, rows: &[&str]) -> host::Batch {
        let row = |row: &&str, is_there: bool| is_there.then(|| (*row).to_owned());
        host::Batch {
            table: "order".into(),
            operation,
            changes: rows
                .iter()
                .map(|text| host::Change {
                    old: row(text, operation != host::Operation::Insert),
                    new: row(text, operation != host::Operation::Delete),
                })
                .collect(),
            caller: host::Caller {
                role: "anon".into(),
                user_id: None,
                claims: "{}".into(),
            },
        }
    }

    fn judge(change: Change<Order>) -> Result<Verdict<Order>, Rejection> {
        match change.row().total {
            0 => Ok(Verdict::Skip),
            1 => Ok(Verdict::Keep),
            total if total < 0 => Err(reject("negative", "below zero")),
            total => Ok(Verdict::Replace(Order { total: total + 1 })),
        }
    }

    fn shown(verdicts: &[before::Verdict]) -> Vec<String> {
        let show = |verdict: &before::Verdict| match verdict {
            before::Verdict::Keep => "keep".into(),
            before::Verdict::Replace(row) => row.clone(),
            before::Verdict::Skip => "skip".into(),
            before::Verdict::Reject(rejection) => {
                format!("{}: {}", rejection.code, rejection.message)
            }
        };
        verdicts.iter().map(show).collect()
    }

    #[test]
    fn each_row_has_its_verdict() {
        let rows = [r#"{"id":7,"total":5}"#, r#"{"total":0}"#, r#"{"total":1}"#];
        let verdicts = check(batch(host::Operation::Update, &rows), judge);
        assert_eq!(shown(&verdicts), [r#"{"id":7,"total":6}"#, "skip", "keep"]);
    }

    #[test]
    fn a_rejection_ends_the_questions() {
        let asked = Cell::new(0);
        let rows = [r#"{"total":1}"#, r#"{"total":-1}"#, r#"{"total":1}"#];
        let verdicts = check(batch(host::Operation::Insert, &rows), |change| {
            asked.set(asked.get() + 1);
            judge(change)
        });
        assert_eq!(shown(&verdicts), ["keep", "negative: below zero", "keep"]);
        assert_eq!(asked.get(), 2);
    }

    #[test]
    fn a_row_that_does_not_fit_is_refused_by_field() {
        let verdicts = check(batch(host::Operation::Insert, &[r#"{"total":"x"}"#]), judge);
        assert_eq!(
            shown(&verdicts),
            ["invalid_row: order: `total`: invalid type: string \"x\", expected i64"]
        );
    }

    #[test]
    fn a_deleted_row_is_the_old_one() {
        let row = r#"{"total":1}"#;
        let verdicts = check(
            batch(host::Operation::Delete, &[row]),
            |change: Change<Order>| {
                assert!(change.new.is_none() && change.operation == Operation::Delete);
                assert_eq!(change.row().total, 1);
            },
        );
        assert_eq!(shown(&verdicts), ["keep"]);
    }

    #[test]
    #[should_panic(expected = "invalid digit")]
    fn a_failure_is_no_rejection() {
        check(
            batch(host::Operation::Insert, &["{}"]),
            |_: Change<Value>| -> Result<Verdict<Value>, Rejection> {
                "x".parse::<i64>()?;
                Ok(Verdict::Keep)
            },
        );
    }

    #[test]
    fn after_triggers_take_changes_or_batches() {
        let rows = ["{}", r#"{"stop":true}"#, "{}"];
        let seen = Cell::new(0);
        let one = |change: Change<Value>| {
            seen.set(seen.get() + 1);
            if change.row() == &json!({}) {
                Ok(())
            } else {
                Err("stopped")
            }
        };
        let outcome = react(batch(host::Operation::Insert, &rows), one);
        assert_eq!((outcome, seen.get()), (Err("stopped".into()), 2));

        let all = |batch: Batch<Value>| seen.set(batch.changes.len());
        let outcome = react(batch(host::Operation::Insert, &rows), all);
        assert_eq!((outcome, seen.get()), (Ok(()), 3));

        let told = |_: Batch<Value>| -> crate::Result<()> {
            "x".parse::<i64>()?;
            Ok(())
        };
        let outcome = react(batch(host::Operation::Insert, &rows), told);
        let story = "the function failed: invalid digit found in string";
        assert_eq!(outcome, Err(story.into()));
    }
}
