//! Who may hold what, as the app wrote it down.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::data::DataError;
use crate::{Caller, Role};

/// A part of a permission's name, a role's or a key's: what fits on one line of a page.
pub const NAME_BYTES_MAX: usize = 64;
/// A resource, and a selector of resources: a path or an id with its kind.
pub const RESOURCE_BYTES_MAX: usize = 256;
/// Permissions of an app, those of all its namespaces: each is a bit in memory for each role.
pub const ACTIONS_MAX: usize = 1_000;
/// Roles of an app.
pub const ROLES_MAX: usize = 1_000;
/// Roles that one inherits from directly.
pub const PARENTS_MAX: usize = 20;
/// Roles of one user.
pub const MEMBERSHIPS_MAX: usize = 100;
/// Grants of one role, user or key.
pub const GRANTS_PER_SUBJECT_MAX: usize = 1_000;
/// Grants of an app.
pub const GRANTS_MAX: usize = 100_000;
/// Users and keys of an app whose rights are kept in memory, a few hundred bytes each.
pub const HOLDERS_CACHED_MAX: u64 = 10_000;

/// Who a grant is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    Role(String),
    User(Uuid),
    /// An API key, by its id.
    Key(String),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Role(name) => write!(f, "role `{name}`"),
            Subject::User(id) => write!(f, "user {id}"),
            Subject::Key(id) => write!(f, "key `{id}`"),
        }
    }
}

/// What allows or denies. A row that was written past us may name a role, a user and a key together: it is
/// for each of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub id: Uuid,
    pub role: Option<String>,
    #[serde(rename = "user")]
    pub user_id: Option<Uuid>,
    #[serde(rename = "key")]
    pub key_id: Option<String>,
    /// `namespace.action`, or `namespace.*` for all its actions.
    pub permission: String,
    pub effect: Effect,
    /// The one resource it is for, or a prefix of resources and `*`; none for all and for none.
    pub resource: Option<String>,
    /// From this instant on it is as if it were not there.
    pub expires_at: Option<DateTime<Utc>>,
    pub created_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    Allow,
    Deny,
}

/// A grant to be.
#[derive(Clone, Debug)]
pub struct NewGrant {
    pub subject: Subject,
    pub permission: String,
    pub effect: Effect,
    pub resource: Option<String>,
    pub expires_at: Option<DateTime<Utc>>,
}

/// What a service registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    pub name: String,
    /// Who alone may change it: `app`, `account`, or `key:<id>`.
    pub owner: String,
    /// In order.
    pub actions: Vec<String>,
}

/// A role of the app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRole {
    pub name: String,
    /// Whose grants it has as well, in order.
    pub parents: Vec<String>,
}

/// Who asks: each part brings its own grants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Who {
    /// The database role, or one of the app's.
    pub role: Option<String>,
    pub user_id: Option<Uuid>,
    pub key_id: Option<String>,
}

impl Who {
    /// The caller with the role, the user and the API key (claim `key_id`) of its token.
    pub fn of(caller: &Caller) -> Who {
        #[derive(Deserialize)]
        struct Claims {
            key_id: Option<String>,
        }
        // Most tokens have none: a search costs less than reading all of it.
        let key_id = match caller.claims.contains("\"key_id\"") {
            true => serde_json::from_str::<Claims>(&caller.claims).ok(),
            false => None,
        };
        Who {
            role: Some(caller.role.as_str().to_owned()),
            user_id: caller.user_id,
            key_id: key_id.and_then(|claims| claims.key_id),
        }
    }

    /// Whether policies and denials do not bind it.
    pub fn is_service(&self) -> bool {
        self.role.as_deref() == Some(Role::ServiceRole.as_str())
    }
}

/// Why a permission was held or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    pub allowed: bool,
    /// In one sentence.
    pub reason: String,
    /// What decided; none when nothing did.
    pub grant: Option<Grant>,
    /// The roles that lead from who asked to the grant's, both included; empty when the grant is the
    /// user's or the key's own.
    pub through: Vec<String>,
}

/// Which grants are shown.
#[derive(Clone, Debug, Default)]
pub struct GrantFilter {
    pub role: Option<String>,
    pub user_id: Option<Uuid>,
    pub key_id: Option<String>,
    pub permission: Option<String>,
}

/// Why something about permissions was refused.
#[derive(Debug, thiserror::Error)]
pub enum PermissionError {
    /// With the fix.
    #[error("{0}")]
    Invalid(String),
    #[error(
        "no permission is called `{0}`; register it: PUT …/permissions/namespaces/<namespace>, or [[permission]] in pumice.toml"
    )]
    Unknown(String),
    #[error("there is no namespace `{0}`; GET …/permissions/namespaces shows those there are")]
    NoNamespace(String),
    #[error("there is no role `{0}`; make it first: PUT …/permissions/roles/{0}")]
    NoRole(String),
    #[error("there is no grant {0}; GET …/permissions/grants shows those there are")]
    NoGrant(Uuid),
    #[error("user {user_id} does not have role `{role}`")]
    NoMember { role: String, user_id: Uuid },
    #[error(
        "namespace `{namespace}` belongs to `{owner}`, which alone may change it; choose another name"
    )]
    NotOwner { namespace: String, owner: String },
    /// From a role back to itself.
    #[error("roles would inherit from themselves: {}; leave one of these parents out", .0.join(" → "))]
    Cycle(Vec<String>),
    #[error("{what}; {max} are the most")]
    TooMany { what: String, max: usize },
    /// What whoever called does not hold.
    #[error("this needs the permission `{0}`")]
    Denied(String),
    /// Without a user and without a key.
    #[error("this needs the permission `{0}`, which only a signed-in user or a key can hold")]
    Anonymous(String),
    #[error("the app's permissions have no tables yet; push the app once more")]
    NotPrepared,
    #[error(transparent)]
    Data(#[from] DataError),
}

/// Whether `name` can name a namespace, an action or a role.
pub fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// The parts of `namespace.action`.
pub fn parts(permission: &str) -> Option<(&str, &str)> {
    let (namespace, action) = permission.split_once('.')?;
    (is_name(namespace) && is_name(action)).then_some((namespace, action))
}

/// # Errors
/// [`PermissionError::Invalid`] for what is no name of `what`.
pub fn checked_name(what: &str, name: &str) -> Result<(), PermissionError> {
    match is_name(name) {
        true => Ok(()),
        false => Err(PermissionError::Invalid(format!(
            "{name:?} is no name of {what}; use 1 to {NAME_BYTES_MAX} letters, digits, _ and -"
        ))),
    }
}

/// A selector as it is stored: none when it means everything.
///
/// # Errors
/// [`PermissionError::Invalid`].
pub fn checked_selector(selector: Option<String>) -> Result<Option<String>, PermissionError> {
    let Some(selector) = selector.filter(|selector| selector != "*") else {
        return Ok(None);
    };
    let stars = selector.matches('*').count();
    let fits = (1..=RESOURCE_BYTES_MAX).contains(&selector.len());
    let starred = stars == 0 || (stars == 1 && selector.ends_with('*'));
    if fits && starred && !selector.contains(char::is_control) {
        return Ok(Some(selector));
    }
    Err(PermissionError::Invalid(format!(
        "a resource has 1 to {RESOURCE_BYTES_MAX} bytes, and `*` stands at its end alone: `order/7`, `order/*`"
    )))
}

/// Whether a grant with this selector is about `resource`.
pub fn selects(selector: Option<&str>, resource: Option<&str>) -> bool {
    let (selector, resource) = match (selector, resource) {
        (None, _) => return true,
        (Some(_), None) => return false,
        (Some(selector), Some(resource)) => (selector, resource),
    };
    match selector.strip_suffix('*') {
        Some(prefix) => resource.starts_with(prefix),
        None => resource == selector,
    }
}

impl Grant {
    /// Whether it counts at `now`.
    pub fn in_force(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_none_or(|until| until > now)
    }

    /// Whether it is about this permission.
    pub fn names(&self, permission: &str) -> bool {
        match self.permission.strip_suffix(".*") {
            Some(namespace) => permission
                .split_once('.')
                .is_some_and(|(of, _)| of == namespace),
            None => self.permission == permission,
        }
    }
}
