//! Whatever the platform's data, files, jobs and messaging can do, as the body says: a JSON object with `op`, or
//! a list of them, done one after the other. Answers 200 with the value of each, `{"ok": …}` or `{"error": …}`, in
//! the same form.
//!
//! | op | with |
//! | --- | --- |
//! | `select`, `delete` | `table`, `filters` (`[[column, operator, value], …]`), `select`, `order`, `limit`, `offset` |
//! | `insert`, `upsert` | `table`, `rows` (an object or a list), `on_conflict` |
//! | `update` | as `select`, and `values` |
//! | `sql` | `statement`, `parameters` |
//! | `transaction` | `steps`, a list of the above; `end`: `commit` (default), `rollback` |
//! | `enqueue` | `script`, `payload`, `delay_ms`, `unique`, `attempts_max` |
//! | `file_get`, `file_delete` | `bucket`, `name` |
//! | `file_put` | `bucket`, `name`, `content_type`, `text`, `times` |
//! | `file_list` | `bucket`, `prefix`, `after` |
//! | `publish` | `channel` or `user` or neither, `event`, `payload` |
//! | `presence` | `channel` |
//!
//! `"authority": "app"` makes the calls on tables, and a transaction, the app's own. In a transaction a step that
//! fails ends it; with `"go_on": true` it does not. A step with `"outside": true` is called beside the transaction.

use std::fmt::{Debug, Display};
use std::io::{Read, Write};
use std::time::{Duration, UNIX_EPOCH};

use pumice::data::{self, DataError, Query, Rows, Scope, Transaction};
use pumice::http::{Json, Request};
use pumice::messaging::Target;
use pumice::{Result, files, jobs, messaging};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Call {
    op: String,
    authority: String,
    table: String,
    select: Option<String>,
    filters: Vec<(String, String, String)>,
    order: Option<String>,
    limit: Option<u32>,
    offset: Option<u32>,
    rows: Value,
    on_conflict: Vec<String>,
    values: Value,
    statement: String,
    parameters: Vec<Value>,
    steps: Vec<Call>,
    end: String,
    go_on: bool,
    outside: bool,
    script: String,
    payload: Value,
    delay_ms: Option<u64>,
    unique: Option<String>,
    attempts_max: Option<u32>,
    bucket: String,
    name: String,
    content_type: String,
    text: String,
    times: Option<usize>,
    prefix: String,
    after: Option<String>,
    channel: Option<String>,
    user: Option<String>,
    event: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Calls {
    One(Box<Call>),
    Many(Vec<Call>),
}

/// A value, or an error in words.
type Outcome = Result<Value, Value>;

#[pumice::function]
fn call(mut request: Request) -> Result<Json<Value>> {
    Ok(Json(match request.json()? {
        Calls::One(call) => answer(run(&call)),
        Calls::Many(calls) => calls.iter().map(|call| answer(run(call))).collect(),
    }))
}

fn answer(outcome: Outcome) -> Value {
    match outcome {
        Ok(value) => json!({ "ok": value }),
        Err(error) => json!({ "error": error }),
    }
}

fn run(call: &Call) -> Outcome {
    match call.op.as_str() {
        "select" | "insert" | "upsert" | "update" | "delete" => {
            let query = data::table(&call.table);
            let query = match call.authority.as_str() {
                "app" => query.as_app(),
                _ => query,
            };
            rows(query_of(query, call))
        }
        "sql" => rows(data::sql(&call.statement, parameters(call))),
        "transaction" => transaction(call),
        "enqueue" => enqueue(call).map(Value::from).map_err(fault),
        "publish" => publish(call).map(Value::from).map_err(fault),
        "presence" => {
            messaging::presence(call.channel.as_deref().unwrap_or_default()).map_err(fault)
        }
        _ => file(call),
    }
}

fn query_of<S: Scope>(query: Query<S>, call: &Call) -> Result<Rows, DataError> {
    let mut query = query;
    for (column, operator, value) in &call.filters {
        query = query.filter(column, operator, value);
    }
    if let Some(columns) = &call.select {
        query = query.select(columns);
    }
    if let Some(order) = &call.order {
        query = query.order(order);
    }
    if let Some(limit) = call.limit {
        query = query.limit(limit);
    }
    if let Some(offset) = call.offset {
        query = query.offset(offset);
    }
    match call.op.as_str() {
        "insert" => query.insert(&call.rows),
        "upsert" => {
            let columns: Vec<&str> = call.on_conflict.iter().map(String::as_str).collect();
            query.upsert_on(&columns, &call.rows)
        }
        "update" => query.update(&call.values),
        "delete" => query.delete(),
        _ => query.read(),
    }
}

fn parameters(call: &Call) -> data::Params {
    let add = |parameters: data::Params, value| parameters.with(value);
    call.parameters.iter().fold(data::params![], add)
}

/// What ends a transaction early: told already, or still to be told.
enum End {
    Step,
    Data(DataError),
}

impl From<DataError> for End {
    fn from(error: DataError) -> Self {
        End::Data(error)
    }
}

/// `{"steps": […], "end": "committed" or "rolled back"}`, or the error of beginning or committing.
fn transaction(call: &Call) -> Outcome {
    let mut answers = Vec::new();
    let work = |transaction: &Transaction| {
        for step in &call.steps {
            let outcome = match step.op.as_str() {
                _ if step.outside => run(step),
                "sql" => rows(transaction.sql(&step.statement, parameters(step))),
                "enqueue" => run(step),
                _ => rows(query_of(transaction.table(&step.table), step)),
            };
            let failed = outcome.is_err();
            answers.push(answer(outcome));
            if failed && !call.go_on {
                return Err(End::Step);
            }
        }
        match call.end.as_str() {
            "rollback" => Err(End::Step),
            _ => Ok(()),
        }
    };
    let end = match call.authority.as_str() {
        "app" => data::transaction_as_app(work),
        _ => data::transaction(work),
    };
    match end {
        Ok(()) => Ok(json!({ "steps": answers, "end": "committed" })),
        Err(End::Step) => Ok(json!({ "steps": answers, "end": "rolled back" })),
        Err(End::Data(error)) => Err(data_fault(error)),
    }
}

fn rows(outcome: Result<Rows, DataError>) -> Outcome {
    outcome
        .and_then(|rows| rows.rows::<Value>())
        .map(Value::from)
        .map_err(data_fault)
}

fn data_fault(error: DataError) -> Value {
    match error {
        DataError::Database(refusal) => json!({
            "code": refusal.code,
            "message": refusal.message,
            "details": refusal.details,
            "hint": refusal.hint,
        }),
        other => fault(other),
    }
}

/// `{"code", "message"}`; the code is the name of the error's case.
fn fault(error: impl Debug + Display) -> Value {
    let debug = format!("{error:?}");
    let case = debug.split(['(', ' ']).next().unwrap_or_default();
    json!({ "code": case, "message": error.to_string() })
}

fn enqueue(call: &Call) -> Result<String, jobs::JobError> {
    let mut script = jobs::script(&call.script);
    if let Some(delay) = call.delay_ms {
        script = script.after(Duration::from_millis(delay));
    }
    if let Some(key) = &call.unique {
        script = script.unique(key);
    }
    if let Some(attempts) = call.attempts_max {
        script = script.attempts_max(attempts);
    }
    script.enqueue(&call.payload)
}

fn publish(call: &Call) -> Result<(), messaging::MessagingError> {
    let target = match (&call.channel, &call.user) {
        (Some(name), _) => Target::channel(name),
        (None, Some(id)) => Target::user(id),
        (None, None) => Target::Everyone,
    };
    messaging::publish(target, &call.event, &call.payload)
}

fn file(call: &Call) -> Outcome {
    let Call { bucket, name, .. } = call;
    match call.op.as_str() {
        "file_get" => {
            let mut file = files::get(bucket, name).map_err(fault)?;
            let object = object(file.object().clone());
            let mut text = String::new();
            file.read_to_string(&mut text)
                .map_err(|error| json!({ "code": "Read", "message": error.to_string() }))?;
            Ok(json!({ "object": object, "text": text }))
        }
        "file_put" => {
            let mut upload = files::create(bucket, name, &call.content_type).map_err(fault)?;
            for _ in 0..call.times.unwrap_or(1) {
                // An upload that is broken off says why at its end.
                if upload.write_all(call.text.as_bytes()).is_err() {
                    break;
                }
            }
            upload.finish().map(object).map_err(fault)
        }
        "file_delete" => files::delete(bucket, name).map(Value::from).map_err(fault),
        "file_list" => {
            let objects = files::list(bucket, &call.prefix, call.after.as_deref());
            let objects = objects.map_err(fault)?;
            Ok(objects.into_iter().map(object).collect())
        }
        other => {
            Err(json!({ "code": "unknown_op", "message": format!("no op is called `{other}`") }))
        }
    }
}

fn object(object: files::Object) -> Value {
    let updated_at = object.updated_at.duration_since(UNIX_EPOCH);
    json!({
        "name": object.name,
        "size": object.size,
        "content_type": object.content_type,
        "etag": object.etag,
        "updated_at": updated_at.unwrap_or_default().as_secs(),
    })
}
