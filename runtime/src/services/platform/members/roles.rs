//! What members of each role may, and what each route needs.

use std::sync::LazyLock;

use chrono::DateTime;
use pumice_host_api::permissions::compiled::{Base, Set};
use pumice_host_api::permissions::{Effect, Grant};
use uuid::Uuid;

/// Roles of members.
pub const ROLES: [&str; 5] = [OWNER, "admin", "developer", "billing", "viewer"];
/// The role that may everything, and alone may change who has it.
pub const OWNER: &str = "owner";

/// What there is to be permitted, below `platform.`.
const ACTIONS: [&str; 15] = [
    "apps.read",
    "apps.write",
    "apps.keys",
    "deploy",
    "data.read",
    "data.write",
    "secrets.read",
    "secrets.write",
    "logs.read",
    "permissions.read",
    "permissions.write",
    "members.read",
    MEMBERS_WRITE,
    "tokens.own",
    "billing.read",
];

/// Sees an app's keys. Whoever has the service key may do everything with the app's data.
pub const APPS_KEYS: &str = "apps.keys";
pub const MEMBERS_WRITE: &str = "members.write";

/// What each role is granted beside what it inherits.
const GRANTS: [(&str, &[&str]); 5] = [
    (OWNER, &["*"]),
    (
        "admin",
        &[
            "apps.write",
            "data.write",
            "permissions.write",
            MEMBERS_WRITE,
        ],
    ),
    (
        "developer",
        &[APPS_KEYS, "deploy", "secrets.read", "secrets.write"],
    ),
    (
        "billing",
        &["apps.read", "members.read", "tokens.own", "billing.read"],
    ),
    (
        "viewer",
        &[
            "apps.read",
            "data.read",
            "logs.read",
            "permissions.read",
            "members.read",
            "tokens.own",
        ],
    ),
];

/// A role and one that it inherits from.
const PARENTS: [(&str, &str); 3] = [
    ("admin", "developer"),
    ("admin", "billing"),
    ("developer", "viewer"),
];

/// What each route below `/platform/v1` needs. One that is not here is the platform key's alone.
pub const ROUTES: &[(&str, &str, &str)] = &[
    ("GET", "/apps", "apps.read"),
    ("POST", "/apps", "apps.write"),
    ("GET", "/apps/{app}", "apps.read"),
    ("DELETE", "/apps/{app}", "apps.write"),
    ("PUT", "/apps/{app}/blobs/{digest}", "deploy"),
    ("GET", "/apps/{app}/revisions", "apps.read"),
    ("POST", "/apps/{app}/revisions", "deploy"),
    ("POST", "/apps/{app}/rollback", "deploy"),
    ("GET", "/apps/{app}/move", "data.read"),
    ("POST", "/apps/{app}/move", "data.write"),
    ("PUT", "/apps/{app}/database", "data.write"),
    ("GET", "/apps/{app}/secrets", "secrets.read"),
    ("PUT", "/apps/{app}/secrets/{name}", "secrets.write"),
    ("DELETE", "/apps/{app}/secrets/{name}", "secrets.write"),
    ("GET", "/apps/{app}/keys", APPS_KEYS),
    ("POST", "/apps/{app}/keys", APPS_KEYS),
    ("DELETE", "/apps/{app}/keys/{id}", APPS_KEYS),
    ("GET", "/apps/{app}/signing-keys", APPS_KEYS),
    ("POST", "/apps/{app}/signing-keys", "apps.write"),
    ("POST", "/apps/{app}/signing-keys/rotate", "apps.write"),
    ("DELETE", "/apps/{app}/signing-keys/{id}", "apps.write"),
    ("POST", "/apps/{app}/mail/test", "deploy"),
    ("GET", "/apps/{app}/schema", "data.read"),
    ("GET", "/apps/{app}/migrations", "data.read"),
    ("GET", "/apps/{app}/logs", "logs.read"),
    ("POST", "/apps/{app}/permissions/check", "permissions.read"),
    (
        "POST",
        "/apps/{app}/permissions/explain",
        "permissions.read",
    ),
    ("GET", "/apps/{app}/permissions/{*path}", "permissions.read"),
    (
        "PUT",
        "/apps/{app}/permissions/{*path}",
        "permissions.write",
    ),
    (
        "POST",
        "/apps/{app}/permissions/{*path}",
        "permissions.write",
    ),
    (
        "DELETE",
        "/apps/{app}/permissions/{*path}",
        "permissions.write",
    ),
    ("GET", "/members", "members.read"),
    ("POST", "/members", MEMBERS_WRITE),
    ("PUT", "/members/{id}", MEMBERS_WRITE),
    ("DELETE", "/members/{id}", MEMBERS_WRITE),
    // One's own; others' with `members.write`.
    ("GET", "/members/{id}/tokens", "tokens.own"),
    ("POST", "/members/{id}/tokens", "tokens.own"),
    ("DELETE", "/members/{id}/tokens/{token}", "tokens.own"),
];

/// What a route needs; `path` is its pattern. None for one that no member may use.
pub fn needed(method: &str, path: &str) -> Option<&'static str> {
    let method = match method {
        "HEAD" => "GET",
        method => method,
    };
    let found = ROUTES.iter().find(|(m, p, _)| *m == method && *p == path);
    found.map(|(_, _, permission)| *permission)
}

/// Whether a member of this role may do what is called so below `platform.`.
pub fn may(role: &str, permission: &str) -> bool {
    static SET: LazyLock<Set> = LazyLock::new(compiled);
    let action = SET.action(&format!("platform.{permission}"));
    // Nothing of it expires.
    let now = DateTime::UNIX_EPOCH;
    action.is_some_and(|action| SET.role_may(role, action, None, now))
}

fn compiled() -> Set {
    let grant = |role: &str, action: &str| Grant {
        id: Uuid::nil(),
        role: Some(role.to_owned()),
        user_id: None,
        key_id: None,
        permission: format!("platform.{action}"),
        effect: Effect::Allow,
        resource: None,
        expires_at: None,
        created_at: None,
    };
    let grants = GRANTS.iter();
    Set::compile(&Base {
        version: 0,
        actions: ACTIONS.map(|action| format!("platform.{action}")).to_vec(),
        parents: PARENTS
            .map(|(role, parent)| (role.to_owned(), parent.to_owned()))
            .to_vec(),
        grants: grants
            .flat_map(|(role, actions)| actions.iter().map(move |action| grant(role, action)))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_what_the_table_says() {
        let held = |role: &str| -> Vec<&str> {
            let all = ACTIONS.into_iter();
            all.filter(|action| may(role, action)).collect()
        };
        assert_eq!(held(OWNER), ACTIONS);
        let viewer = [
            "apps.read",
            "data.read",
            "logs.read",
            "permissions.read",
            "members.read",
            "tokens.own",
        ];
        assert_eq!(held("viewer"), viewer);
        assert_eq!(
            held("billing"),
            ["apps.read", "members.read", "tokens.own", "billing.read"]
        );
        assert_eq!(held("developer").len(), viewer.len() + 4);
        assert_eq!(held("admin"), ACTIONS);
        assert!(held("nobody").is_empty() && !may(OWNER, "unknown"));
    }

    #[test]
    fn each_route_needs_what_there_is() {
        for (method, path, permission) in ROUTES {
            assert!(ACTIONS.contains(permission), "{method} {path}");
            assert_eq!(needed(method, path), Some(*permission));
        }
        assert_eq!(needed("HEAD", "/apps"), Some("apps.read"));
        assert_eq!(needed("PATCH", "/apps"), None);
    }
}
