//! Users as the dialect shows them.

use chrono::{DateTime, SecondsFormat, Utc};
use pumice_host_api::auth::{AuditEntry, Factor, FactorStatus, Identity, User};
use serde_json::{Map, Value, json};

/// RFC 3339 in UTC, to the microsecond.
pub fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// A `User`; members that are null are left out.
pub fn user(user: &User) -> Value {
    let mut shown = json!({
        "id": user.id,
        "aud": user.aud,
        "role": user.role,
        "email": user.email.as_deref().unwrap_or_default(),
        "phone": user.phone.as_deref().unwrap_or_default(),
        "app_metadata": user.app_metadata,
        "user_metadata": user.user_metadata,
        "identities": user.identities.iter().map(identity).collect::<Vec<_>>(),
        "created_at": time(user.created_at),
        "updated_at": time(user.updated_at),
        "is_anonymous": user.is_anonymous,
    });
    let confirmed = user
        .email_confirmed_at
        .into_iter()
        .chain(user.phone_confirmed_at)
        .min();
    let times = [
        ("email_confirmed_at", user.email_confirmed_at),
        ("phone_confirmed_at", user.phone_confirmed_at),
        ("confirmed_at", confirmed),
        ("invited_at", user.invited_at),
        ("confirmation_sent_at", user.confirmation_sent_at),
        ("recovery_sent_at", user.recovery_sent_at),
        ("email_change_sent_at", user.email_change_sent_at),
        ("phone_change_sent_at", user.phone_change_sent_at),
        ("reauthentication_sent_at", user.reauthentication_sent_at),
        ("last_sign_in_at", user.last_sign_in_at),
        ("banned_until", user.banned_until),
        ("deleted_at", user.deleted_at),
    ];
    for (name, at) in times {
        if let Some(at) = at {
            shown[name] = time(at).into();
        }
    }
    if let Some(address) = &user.email_change {
        shown["new_email"] = address.as_str().into();
    }
    if let Some(number) = &user.phone_change {
        shown["new_phone"] = number.as_str().into();
    }
    if !user.factors.is_empty() {
        shown["factors"] = user.factors.iter().map(factor).collect();
    }
    shown
}

pub fn identity(identity: &Identity) -> Value {
    let mut shown = json!({
        "identity_id": identity.id,
        "id": identity.provider_id,
        "user_id": identity.user_id,
        "identity_data": identity.identity_data,
        "provider": identity.provider,
        "created_at": time(identity.created_at),
        "updated_at": time(identity.updated_at),
    });
    if let Some(at) = identity.last_sign_in_at {
        shown["last_sign_in_at"] = time(at).into();
    }
    if let Some(email) = identity.identity_data.get("email") {
        shown["email"] = email.clone();
    }
    shown
}

pub fn factor(factor: &Factor) -> Value {
    let mut shown = json!({
        "id": factor.id,
        "factor_type": factor.factor_type,
        "status": match factor.status {
            FactorStatus::Verified => "verified",
            FactorStatus::Unverified => "unverified",
        },
        "created_at": time(factor.created_at),
        "updated_at": time(factor.updated_at),
    });
    if let Some(name) = &factor.friendly_name {
        shown["friendly_name"] = name.as_str().into();
    }
    if let Some(at) = factor.last_challenged_at {
        shown["last_challenged_at"] = time(at).into();
    }
    shown
}

pub fn audit(entry: &AuditEntry) -> Value {
    json!({
        "id": entry.id,
        "payload": entry.payload,
        "ip_address": entry.ip_address,
        "created_at": time(entry.created_at),
    })
}

/// Sets what `change` has in `target`; null takes a key away.
pub fn merge(target: &mut Map<String, Value>, change: Map<String, Value>) {
    for (key, value) in change {
        match value {
            Value::Null => drop(target.remove(&key)),
            value => drop(target.insert(key, value)),
        }
    }
}
