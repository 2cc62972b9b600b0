//! An app's permissions as bits: one for each action, one set for each role with all that it inherits.
//!
//! A question finds out with two lookups that nobody was granted anything, or that what was granted has
//! no conditions; only selectors and expiries are looked at one by one.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::types::{Effect, Grant, HOLDERS_CACHED_MAX, Who, selects};

/// What the rows of an app say, without those of users and keys.
#[derive(Clone, Debug, Default)]
pub struct Base {
    pub version: i64,
    /// `namespace.action`.
    pub actions: Vec<String>,
    /// Role and one it inherits from.
    pub parents: Vec<(String, String)>,
    /// Of roles.
    pub grants: Vec<Grant>,
}

/// What the rows say of one user and one key.
#[derive(Clone, Debug, Default)]
pub struct Own {
    pub version: i64,
    pub roles: Vec<String>,
    pub grants: Vec<Grant>,
}

/// The permissions of an app, at one version.
pub struct Set {
    pub version: i64,
    actions: HashMap<String, u32>,
    /// All actions of a namespace.
    namespaces: HashMap<String, Vec<u32>>,
    /// Each role with what it inherits.
    roles: HashMap<String, Rights>,
    /// Of users and keys that have asked.
    holders: moka::sync::Cache<Who, Arc<Rights>>,
}

/// What somebody holds.
#[derive(Clone, Debug, Default)]
pub struct Rights {
    /// Actions with an allow.
    allow: Bits,
    /// With one that has no conditions.
    open: Bits,
    /// With a deny.
    deny: Bits,
    /// With one that has no conditions.
    shut: Bits,
    /// What has conditions, in order of actions.
    rules: Vec<(u32, Arc<Rule>)>,
}

#[derive(Debug)]
struct Rule {
    effect: Effect,
    resource: Option<String>,
    expires_at: Option<DateTime<Utc>>,
}

/// A set of small numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Bits(Vec<u64>);

impl Bits {
    fn set(&mut self, bit: u32) {
        let word = bit as usize / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (bit % 64);
    }

    fn has(&self, bit: u32) -> bool {
        let word = self.0.get(bit as usize / 64);
        word.is_some_and(|word| word >> (bit % 64) & 1 == 1)
    }

    fn add(&mut self, other: &Bits) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (word, more) in self.0.iter_mut().zip(&other.0) {
            *word |= more;
        }
    }
}

impl Rights {
    fn add(&mut self, other: &Rights) {
        self.allow.add(&other.allow);
        self.open.add(&other.open);
        self.deny.add(&other.deny);
        self.shut.add(&other.shut);
        self.rules.extend(other.rules.iter().cloned());
    }

    fn sort(&mut self) {
        self.rules.sort_by_key(|(action, _)| *action);
    }

    fn may(&self, action: u32, resource: Option<&str>, now: DateTime<Utc>) -> bool {
        if !self.allow.has(action) || self.shut.has(action) {
            return false;
        }
        let open = self.open.has(action);
        if open && !self.deny.has(action) {
            return true;
        }
        let begin = self.rules.partition_point(|(of, _)| *of < action);
        let rules = self.rules[begin..].iter();
        let mut allowed = open;
        for (_, rule) in rules.take_while(|(of, _)| *of == action) {
            let lives = rule.expires_at.is_none_or(|until| until > now);
            if lives && selects(rule.resource.as_deref(), resource) {
                match rule.effect {
                    Effect::Deny => return false,
                    Effect::Allow => allowed = true,
                }
            }
        }
        allowed
    }
}

impl Set {
    /// Numbers the actions and closes the roles over what they inherit. A cycle, which only rows written
    /// past us can have, gives all its roles the same.
    pub fn compile(base: &Base) -> Set {
        let mut set = Set {
            version: base.version,
            actions: HashMap::new(),
            namespaces: HashMap::new(),
            roles: HashMap::new(),
            holders: moka::sync::Cache::new(HOLDERS_CACHED_MAX),
        };
        for (number, permission) in base.actions.iter().enumerate() {
            let namespace = permission.split_once('.').map_or("", |(name, _)| name);
            let number = number as u32;
            set.actions.insert(permission.clone(), number);
            let of = set.namespaces.entry(namespace.to_owned()).or_default();
            of.push(number);
        }
        let mut own: HashMap<&str, Rights> = HashMap::new();
        for grant in &base.grants {
            if let Some(role) = &grant.role {
                set.take(own.entry(role).or_default(), grant);
            }
        }
        let mut parents: HashMap<&str, Vec<&str>> = HashMap::new();
        for (role, parent) in &base.parents {
            parents.entry(role).or_default().push(parent);
        }
        let names = own.keys().chain(parents.keys()).copied();
        let names: std::collections::BTreeSet<&str> = names.collect();
        for name in names {
            let mut rights = Rights::default();
            for role in closure(name, &parents) {
                if let Some(more) = own.get(role) {
                    rights.add(more);
                }
            }
            rights.sort();
            set.roles.insert(name.to_owned(), rights);
        }
        set
    }

    fn take(&self, rights: &mut Rights, grant: &Grant) {
        let one;
        let actions: &[u32] = match grant.permission.strip_suffix(".*") {
            Some(namespace) => self.namespaces.get(namespace).map_or(&[], Vec::as_slice),
            None => match self.actions.get(&grant.permission) {
                Some(action) => {
                    one = [*action];
                    &one
                }
                // Of an action that is not registered any more.
                None => &[],
            },
        };
        let (any, always) = match grant.effect {
            Effect::Allow => (&mut rights.allow, &mut rights.open),
            Effect::Deny => (&mut rights.deny, &mut rights.shut),
        };
        let conditional = grant.resource.is_some() || grant.expires_at.is_some();
        for action in actions {
            any.set(*action);
            if !conditional {
                always.set(*action);
            }
        }
        if conditional {
            let rule = Arc::new(Rule {
                effect: grant.effect,
                resource: grant.resource.clone(),
                expires_at: grant.expires_at,
            });
            let rules = actions.iter().map(|action| (*action, rule.clone()));
            rights.rules.extend(rules);
        }
    }

    /// The number of a permission; none when nobody has registered it.
    pub fn action(&self, permission: &str) -> Option<u32> {
        self.actions.get(permission).copied()
    }

    /// Whether whoever has this role and nothing else may.
    pub fn role_may(
        &self,
        role: &str,
        action: u32,
        resource: Option<&str>,
        now: DateTime<Utc>,
    ) -> bool {
        let rights = self.roles.get(role);
        rights.is_some_and(|rights| rights.may(action, resource, now))
    }

    /// Whether `who` may; none while the rows of its user or key are not known.
    pub fn may(
        &self,
        who: &Who,
        action: u32,
        resource: Option<&str>,
        now: DateTime<Utc>,
    ) -> Option<bool> {
        if who.is_service() {
            return Some(true);
        }
        if who.user_id.is_none() && who.key_id.is_none() {
            let role = who.role.as_deref().unwrap_or_default();
            return Some(self.role_may(role, action, resource, now));
        }
        let rights = self.holders.get(who)?;
        Some(rights.may(action, resource, now))
    }

    /// From now on the rows of this user and key are known.
    pub fn learn(&self, who: &Who, own: &Own) {
        let mut rights = Rights::default();
        for role in who.role.iter().chain(&own.roles) {
            if let Some(more) = self.roles.get(role) {
                rights.add(more);
            }
        }
        for grant in &own.grants {
            self.take(&mut rights, grant);
        }
        rights.sort();
        self.holders.insert(who.clone(), Arc::new(rights));
    }
}

/// `role` and all that it inherits from, each once.
fn closure<'n>(role: &'n str, parents: &HashMap<&'n str, Vec<&'n str>>) -> Vec<&'n str> {
    let mut found = vec![role];
    let mut next = 0;
    while let Some(role) = found.get(next) {
        for parent in parents.get(role).into_iter().flatten() {
            if !found.contains(parent) {
                found.push(parent);
            }
        }
        next += 1;
    }
    found
}
