//! The planner against a schema made by hand: every fault in full, and the shape of every plan.

mod calls;
mod faults;
mod print;
mod reads;
mod relationships;
mod schema;
mod text;
mod writes;

use super::super::query::{Preferences, Returning};
use super::super::{Actor, DataError, Schema, Settings};
use super::*;
use crate::{Caller, InvocationId, Role};

pub fn actor(role: &str) -> Actor {
    let caller = Caller {
        role: Role::from(role),
        user_id: None,
        claims: "{}".into(),
    };
    Actor::caller(caller, InvocationId(uuid::Uuid::nil()))
}

pub fn settings() -> Settings {
    Settings {
        aggregates: true,
        ..Settings::default()
    }
}

/// `code | message | details | hint`, a part that is none being empty.
pub fn fault(error: &DataError) -> String {
    match error {
        DataError::Sql(fault) => format!(
            "{} | {} | {} | {}",
            fault.code,
            fault.message,
            fault.details.as_deref().unwrap_or_default(),
            fault.hint.as_deref().unwrap_or_default()
        ),
        other => other.to_string(),
    }
}

pub fn read_as(schema: &Schema, settings: &Settings, role: &str, request: &str) -> String {
    let actor = actor(role);
    let scope = Scope {
        schema,
        settings,
        actor: &actor,
    };
    match read(&scope, &text::query(request), Preferences::default()) {
        Ok(plan) => print::node(&plan.node),
        Err(error) => fault(&error),
    }
}

/// Compares every case before it fails, and shows what there is as it would stand in the table.
pub fn check(cases: &[(&str, &str)], found: impl Fn(&str) -> String) {
    let mut wrong = String::new();
    for (request, expect) in cases {
        let found = found(request);
        if found != *expect {
            wrong += &format!("(r#\"{request}\"#,\n r#\"{found}\"#),\n");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
