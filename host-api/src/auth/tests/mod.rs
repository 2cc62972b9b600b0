//! Users' rows on both engines.

mod policies;
mod rows;
mod tables;
mod together;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::*;
use crate::data::testing::{self, TestDb};

/// A flow on `$db` that runs the block with `$tx`.
macro_rules! flow {
    ($db:expr, $($given:ident: $type:ty,)* |$tx:ident| -> $answer:ty $body:block) => {{
        struct Story { $($given: $type,)* }
        impl Flow for Story {
            type Answer = $answer;
            async fn run<E: Engine>(&self, $tx: &mut Tx<'_, E>) -> Result<$answer, DataError> {
                $(let $given = &self.$given;)*
                $body
            }
        }
        let users = Users::new($db.store.clone());
        async move { users.run(Story { $($given,)* }).await }
    }};
}
use flow;

/// Microseconds after a moment of 2023, in which the fraction of a second has six digits.
fn at(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(1_700_000_000_123_456 + micros).unwrap()
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// A user with next to nothing, made `number` microseconds after the first.
fn user(number: u128) -> User {
    User {
        id: id(number),
        aud: "authenticated".to_owned(),
        role: "authenticated".to_owned(),
        email: Some(format!("u{number}@example.com")),
        phone: None,
        password_hash: None,
        email_confirmed_at: None,
        phone_confirmed_at: None,
        invited_at: None,
        confirmation_sent_at: None,
        recovery_sent_at: None,
        email_change: None,
        email_change_half: false,
        email_change_sent_at: None,
        phone_change: None,
        phone_change_sent_at: None,
        reauthentication_sent_at: None,
        last_sign_in_at: None,
        app_metadata: Map::new(),
        user_metadata: Map::new(),
        banned_until: None,
        deleted_at: None,
        is_anonymous: false,
        created_at: at(number as i64),
        updated_at: at(number as i64),
        identities: Vec::new(),
        factors: Vec::new(),
    }
}

/// With something in every column.
fn full_user(number: u128) -> User {
    User {
        aud: "mobile".to_owned(),
        role: "service_role".to_owned(),
        phone: Some(format!("4912345{number}")),
        password_hash: Some("$argon2id$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA".to_owned()),
        email_confirmed_at: Some(at(-1)),
        phone_confirmed_at: Some(at(-2)),
        invited_at: Some(at(-3)),
        confirmation_sent_at: Some(at(-4)),
        recovery_sent_at: Some(at(-5)),
        email_change: Some("näxt'@example.com".to_owned()),
        email_change_half: true,
        email_change_sent_at: Some(at(-6)),
        phone_change: Some("49".to_owned()),
        phone_change_sent_at: Some(at(-7)),
        reauthentication_sent_at: Some(at(-8)),
        last_sign_in_at: Some(at(-9)),
        app_metadata: object(json!({"provider": "email", "providers": ["email"], "n": 1.5})),
        user_metadata: object(
            json!({"full_name": "Ärnie \"E\"", "deep": {"b": [null, true], "a": ""}}),
        ),
        banned_until: Some(at(-10)),
        // Far away, without a fraction.
        deleted_at: Some(DateTime::from_timestamp(253_402_300_799, 0).unwrap()),
        is_anonymous: true,
        updated_at: at(-12),
        ..user(number)
    }
}

fn identity(number: u128, user: u128, provider_id: &str) -> Identity {
    Identity {
        id: id(number),
        user_id: id(user),
        provider: "google".to_owned(),
        provider_id: provider_id.to_owned(),
        identity_data: object(json!({"sub": provider_id, "email_verified": true})),
        last_sign_in_at: None,
        created_at: at(number as i64),
        updated_at: at(number as i64),
    }
}

fn factor(number: u128, user: u128) -> Factor {
    Factor {
        id: id(number),
        user_id: id(user),
        friendly_name: None,
        factor_type: "totp".to_owned(),
        status: FactorStatus::Unverified,
        secret: "c2VhbGVk".to_owned(),
        last_step: None,
        last_challenged_at: None,
        created_at: at(number as i64),
        updated_at: at(number as i64),
    }
}

fn challenge(number: u128, factor: u128) -> Challenge {
    Challenge {
        id: id(number),
        factor_id: id(factor),
        created_at: at(number as i64),
        verified_at: None,
        attempts: 0,
        ip: None,
    }
}

fn session(number: u128, user: u128) -> Session {
    Session {
        id: id(number),
        user_id: id(user),
        aal: "aal1".to_owned(),
        amr: json!([{"method": "password", "timestamp": 1_700_000_000}]),
        counter: 0,
        factor_id: None,
        created_at: at(number as i64),
        refreshed_at: at(number as i64),
        not_after: None,
        user_agent: None,
        ip: None,
    }
}

fn token(number: u128, user: u128, kind: TokenKind) -> OneTimeToken {
    OneTimeToken {
        id: id(number),
        user_id: id(user),
        kind,
        token_hash: format!("hash{number}"),
        relates_to: "u@example.com".to_owned(),
        attempts: 0,
        flow_id: None,
        created_at: at(number as i64),
    }
}

fn flow_state(number: u128) -> FlowState {
    FlowState {
        id: id(number),
        user_id: None,
        linking_user_id: None,
        auth_code_hash: None,
        code_challenge: None,
        code_challenge_method: None,
        provider: "email".to_owned(),
        method: "recovery".to_owned(),
        sealed: None,
        redirect_to: None,
        created_at: at(number as i64),
        code_issued_at: None,
    }
}

fn entry(number: u128, payload: Value) -> AuditEntry {
    AuditEntry {
        id: id(number),
        payload,
        ip_address: "10.0.0.1".to_owned(),
        created_at: at(number as i64),
    }
}

/// Users 1 to `last`, with next to nothing.
async fn sign_up(db: &TestDb, last: u128) {
    let flow = flow!(db, last: u128, |tx| -> () {
        for number in 1..=*last {
            assert!(tx.insert_user(&user(number)).await?);
        }
        Ok(())
    });
    flow.await.unwrap();
}
