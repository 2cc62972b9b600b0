//! Which grant decides, found in the rows themselves and not in the bits; and what a new parent would close.

use std::collections::{HashMap, VecDeque};

use chrono::{DateTime, Utc};

use super::compiled::{Base, Own};
use super::types::{Effect, Explanation, Grant, Who, selects};

/// Why `who` may or may not.
pub fn explain(
    base: &Base,
    own: &Own,
    who: &Who,
    permission: &str,
    resource: Option<&str>,
    now: DateTime<Utc>,
) -> Explanation {
    let bare = |allowed: bool, reason: &str| Explanation {
        allowed,
        reason: reason.to_owned(),
        grant: None,
        through: Vec::new(),
    };
    if !base.actions.iter().any(|known| known == permission) {
        return bare(false, "no service has registered this permission");
    }
    if who.is_service() {
        return bare(true, "`service_role` holds every registered permission");
    }
    let begin: Vec<&str> = who
        .role
        .iter()
        .chain(&own.roles)
        .map(String::as_str)
        .collect();
    let ways = ways(&begin, base);
    let through = |grant: &Grant| -> Option<Vec<String>> {
        let is_own = (grant.user_id.is_some() && grant.user_id == who.user_id)
            || (grant.key_id.is_some() && grant.key_id == who.key_id);
        match &grant.role {
            _ if is_own => Some(Vec::new()),
            Some(role) => ways.get(role.as_str()).map(|way| owned(way)),
            None => None,
        }
    };
    let counts = |grant: &&Grant| {
        grant.names(permission)
            && grant.in_force(now)
            && selects(grant.resource.as_deref(), resource)
    };
    let grants = base.grants.iter().chain(&own.grants).filter(counts);
    let mut found: Vec<(&Grant, Vec<String>)> = grants
        .filter_map(|grant| Some((grant, through(grant)?)))
        .collect();
    // A deny before any allow, then the oldest.
    found.sort_by_key(|(grant, _)| (grant.effect == Effect::Allow, grant.created_at, grant.id));
    let Some((grant, through)) = found.into_iter().next() else {
        return bare(false, "no grant");
    };
    let (allowed, word) = match grant.effect {
        Effect::Allow => (true, "allowed"),
        Effect::Deny => (false, "denied"),
    };
    let by = match (through.as_slice(), grant.user_id) {
        ([], Some(_)) => "to the user".to_owned(),
        ([], None) => "to the key".to_owned(),
        ([role], _) => format!("to role `{role}`"),
        (roles, _) => format!("to a role that is inherited: {}", roles.join(" → ")),
    };
    Explanation {
        allowed,
        reason: format!("{word} by a grant {by}"),
        grant: Some(grant.clone()),
        through,
    }
}

fn owned(way: &[&str]) -> Vec<String> {
    way.iter().map(|role| (*role).to_owned()).collect()
}

/// The shortest way from one of `begin` to each role that it leads to.
fn ways<'n>(begin: &[&'n str], base: &'n Base) -> HashMap<&'n str, Vec<&'n str>> {
    let mut ways: HashMap<&str, Vec<&str>> = HashMap::new();
    let mut next: VecDeque<&str> = VecDeque::new();
    for role in begin {
        if ways.insert(role, vec![role]).is_none() {
            next.push_back(role);
        }
    }
    while let Some(role) = next.pop_front() {
        for (_, parent) in base.parents.iter().filter(|(of, _)| of == role) {
            if !ways.contains_key(parent.as_str()) {
                let mut way = ways.get(role).cloned().unwrap_or_default();
                way.push(parent);
                ways.insert(parent, way);
                next.push_back(parent);
            }
        }
    }
    ways
}

/// The way from `role` back to itself, if it had these parents; none when there is no such way.
pub fn cycle(role: &str, parents: &[String], base: &Base) -> Option<Vec<String>> {
    let begin: Vec<&str> = parents.iter().map(String::as_str).collect();
    let others = Base {
        parents: base
            .parents
            .iter()
            .filter(|(of, _)| of != role)
            .cloned()
            .collect(),
        ..Base::default()
    };
    let ways = ways(&begin, &others);
    let way = ways.get(role)?;
    let whole = std::iter::once(role).chain(way.iter().copied());
    Some(whole.map(str::to_owned).collect())
}
