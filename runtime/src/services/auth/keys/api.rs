//! Opaque API keys: `sb_publishable_<random>_<checksum>` for pages and phones, `sb_secret_<random>_<checksum>`
//! for servers.
//!
//! The random part is 24 characters of base64url (144 bits). The checksum is 8 (48 bits of the SHA-256 of
//! what stands before it): it keeps nobody out, and tells a mistyped key from one that was revoked.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pumice_host_api::{Caller, Role};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::digest::Digest;

/// Whose rights a key gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApiKeyKind {
    /// Those of `anon`.
    Publishable,
    /// Those of `service_role`.
    Secret,
}

/// A part of an app's paths, as a key's scopes name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// `/rest/v1` and `/batch/v1`.
    Rest,
    /// `/functions/v1`, and whatever else the app answers itself.
    Functions,
    /// `/auth/v1`.
    Auth,
    /// `/jobs/v1`.
    Jobs,
    /// `/storage/v1`.
    Storage,
    /// `/realtime/v1`.
    Realtime,
}

/// A key as it is kept: its digest, never itself.
#[derive(Clone, Debug)]
pub struct StoredApiKey {
    pub id: Uuid,
    pub name: String,
    pub kind: ApiKeyKind,
    /// SHA-256 of the key.
    pub digest: Digest,
    /// The key itself if everybody may know it, else its beginning.
    pub shown: String,
    /// Where a secret key opens anything; everywhere if none.
    pub scopes: Option<Vec<Scope>>,
    pub created_at: String,
    /// Seconds since 1970, 0 before its first use.
    pub last_used: u64,
}

/// A key in memory.
pub struct ApiKey {
    pub stored: StoredApiKey,
    caller: Caller,
    /// When it was last seen, and what of that is stored.
    used: AtomicU64,
    noted: AtomicU64,
}

/// A key that was just made: the only time that it is seen whole.
pub struct NewApiKey {
    pub text: String,
    pub digest: Digest,
    pub shown: String,
}

const PUBLISHABLE: &str = "sb_publishable_";
const SECRET: &str = "sb_secret_";
const RANDOM_BYTES: usize = 18;
const CHECKSUM_CHARS: usize = 8;
/// How much of the random part a list shows: enough to tell keys apart, and 114 bits stay unknown.
const SHOWN_CHARS: usize = 5;

/// What a text that looks like an opaque key is.
#[derive(Debug, PartialEq, Eq)]
pub enum Opaque {
    /// No such key: a token, or nothing.
    Other,
    /// It was not copied as it was made.
    Mistyped(ApiKeyKind),
    /// It may be somebody's.
    Whole(ApiKeyKind),
}

impl ApiKeyKind {
    pub fn name(self) -> &'static str {
        match self {
            ApiKeyKind::Publishable => "publishable",
            ApiKeyKind::Secret => "secret",
        }
    }

    /// Whose rights it gives.
    pub fn role(self) -> Role {
        match self {
            ApiKeyKind::Publishable => Role::Anon,
            ApiKeyKind::Secret => Role::ServiceRole,
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            ApiKeyKind::Publishable => PUBLISHABLE,
            ApiKeyKind::Secret => SECRET,
        }
    }

    /// Makes a key of this kind.
    pub fn generate(self) -> NewApiKey {
        let random = URL_SAFE_NO_PAD.encode(rand::random::<[u8; RANDOM_BYTES]>());
        let start = format!("{}{random}", self.prefix());
        let text = format!("{start}_{}", checksum(&start));
        let shown = match self {
            ApiKeyKind::Publishable => text.clone(),
            ApiKeyKind::Secret => format!("{}{}…", self.prefix(), &random[..SHOWN_CHARS]),
        };
        NewApiKey {
            digest: Digest::of(text.as_bytes()),
            text,
            shown,
        }
    }
}

impl Scope {
    pub const ALL: [Scope; 6] = [
        Scope::Rest,
        Scope::Functions,
        Scope::Auth,
        Scope::Jobs,
        Scope::Storage,
        Scope::Realtime,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Scope::Rest => "rest",
            Scope::Functions => "functions",
            Scope::Auth => "auth",
            Scope::Jobs => "jobs",
            Scope::Storage => "storage",
            Scope::Realtime => "realtime",
        }
    }

    pub fn named(name: &str) -> Option<Scope> {
        Scope::ALL.into_iter().find(|scope| scope.name() == name)
    }

    /// The part that a path of an app belongs to.
    pub fn of_path(path: &str) -> Scope {
        const PARTS: [(&str, Scope); 6] = [
            ("/rest/v1", Scope::Rest),
            ("/batch/v1", Scope::Rest),
            ("/auth/v1", Scope::Auth),
            ("/jobs/v1", Scope::Jobs),
            ("/storage/v1", Scope::Storage),
            ("/realtime/v1", Scope::Realtime),
        ];
        let below = |prefix: &str| {
            let rest = path.strip_prefix(prefix);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let part = PARTS.into_iter().find(|(prefix, _)| below(prefix));
        part.map_or(Scope::Functions, |(_, scope)| scope)
    }
}

impl Opaque {
    pub fn of(text: &str) -> Opaque {
        let kinds = [ApiKeyKind::Publishable, ApiKeyKind::Secret];
        let found = kinds
            .into_iter()
            .find(|kind| text.starts_with(kind.prefix()));
        let Some(kind) = found else {
            return Opaque::Other;
        };
        let (random, sum) = (RANDOM_BYTES / 3 * 4, CHECKSUM_CHARS);
        let whole = text.len() == kind.prefix().len() + random + 1 + sum
            && text.is_ascii()
            && text
                .split_at_checked(text.len() - sum - 1)
                .is_some_and(|(start, end)| {
                    end.strip_prefix('_') == Some(checksum(start).as_str())
                });
        match whole {
            true => Opaque::Whole(kind),
            false => Opaque::Mistyped(kind),
        }
    }

    /// Whether a secret key is meant.
    pub fn is_secret(&self) -> bool {
        matches!(
            self,
            Opaque::Whole(ApiKeyKind::Secret) | Opaque::Mistyped(ApiKeyKind::Secret)
        )
    }
}

fn checksum(start: &str) -> String {
    let digest = Digest::of(start.as_bytes());
    URL_SAFE_NO_PAD.encode(&digest.as_bytes()[..CHECKSUM_CHARS / 4 * 3])
}

impl StoredApiKey {
    /// The role of its kind, and the key's id: grants to a key are for this `key_id`.
    fn caller(&self) -> Caller {
        let role = self.kind.role();
        let claims = json!({ "key_id": self.id, "role": role.as_str() });
        Caller {
            role,
            user_id: None,
            claims: claims.to_string().into(),
        }
    }
}

impl ApiKey {
    pub fn new(stored: StoredApiKey) -> ApiKey {
        ApiKey {
            used: AtomicU64::new(stored.last_used),
            noted: AtomicU64::new(stored.last_used),
            caller: stored.caller(),
            stored,
        }
    }

    /// Whoever sends it, without a token.
    pub fn caller(&self) -> Caller {
        self.caller.clone()
    }

    pub fn opens(&self, scope: Scope) -> bool {
        let scopes = self.stored.scopes.as_ref();
        scopes.is_none_or(|scopes| scopes.contains(&scope))
    }

    /// Remembers a use; `now` in seconds since 1970.
    pub fn touch(&self, now: u64) {
        // Many requests a second leave the line of memory alone.
        if self.used.load(Ordering::Relaxed) < now {
            self.used.store(now, Ordering::Relaxed);
        }
    }

    /// When it was last seen: in seconds since 1970, 0 before its first use.
    pub fn last_used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// A use that is not stored yet, which counts as stored from now on.
    pub fn take_use(&self) -> Option<u64> {
        let used = self.used.load(Ordering::Relaxed);
        let noted = self.noted.swap(used, Ordering::Relaxed);
        (used > noted).then_some(used)
    }
}

#[cfg(test)]
mod tests {
    use pumice_host_api::permissions::Who;

    use super::*;

    #[test]
    fn a_key_is_told_from_a_mistyped_one() {
        for kind in [ApiKeyKind::Publishable, ApiKeyKind::Secret] {
            let key = kind.generate();
            assert_eq!(Opaque::of(&key.text), Opaque::Whole(kind));
            assert_ne!(kind.generate().text, key.text);
            for position in kind.prefix().len()..key.text.len() {
                let mut bytes = key.text.clone().into_bytes();
                bytes[position] = if bytes[position] == b'x' { b'y' } else { b'x' };
                let changed = String::from_utf8(bytes).unwrap();
                let mistyped = Opaque::Mistyped(kind);
                assert_eq!(Opaque::of(&changed), mistyped, "{position}");
            }
            let last = key.text.len() - 1;
            for cut in [&key.text[..last], &key.text[..12], kind.prefix()] {
                if cut.len() >= kind.prefix().len() {
                    assert_eq!(Opaque::of(cut), Opaque::Mistyped(kind), "{cut}");
                }
            }
            let longer = format!("{}é", &key.text[..last - 1]);
            assert_eq!(Opaque::of(&longer), Opaque::Mistyped(kind));
        }
        for other in [
            "",
            "sb_",
            "eyJhbGciOiJub25lIn0.e30.",
            "SB_SECRET_x",
            "sb_secre",
        ] {
            assert_eq!(Opaque::of(other), Opaque::Other, "{other}");
        }
    }

    #[test]
    fn a_list_shows_no_secret_key() {
        let key = ApiKeyKind::Secret.generate();
        assert_eq!(key.shown.chars().count(), SECRET.len() + SHOWN_CHARS + 1);
        assert!(key.text.starts_with(key.shown.trim_end_matches('…')));
        let key = ApiKeyKind::Publishable.generate();
        assert_eq!(key.shown, key.text);
    }

    #[test]
    fn paths_belong_to_scopes() {
        for (path, scope) in [
            ("/rest/v1", Scope::Rest),
            ("/rest/v1/note", Scope::Rest),
            ("/batch/v1", Scope::Rest),
            ("/auth/v1/user", Scope::Auth),
            ("/jobs/v1/tick", Scope::Jobs),
            ("/storage/v1/object/a", Scope::Storage),
            ("/realtime/v1/websocket", Scope::Realtime),
            ("/functions/v1/hello", Scope::Functions),
            ("/rest/v10", Scope::Functions),
            ("/", Scope::Functions),
        ] {
            assert_eq!(Scope::of_path(path), scope, "{path}");
        }
        for scope in Scope::ALL {
            assert_eq!(Scope::named(scope.name()), Some(scope));
        }
    }

    fn key(kind: ApiKeyKind) -> ApiKey {
        let new = kind.generate();
        ApiKey::new(StoredApiKey {
            id: Uuid::from_u128(7),
            name: "a".to_owned(),
            kind,
            digest: new.digest,
            shown: new.shown,
            scopes: Some(vec![Scope::Rest]),
            created_at: String::new(),
            last_used: 100,
        })
    }

    #[test]
    fn grants_meet_the_key() {
        for kind in [ApiKeyKind::Publishable, ApiKeyKind::Secret] {
            let caller = key(kind).caller();
            let who = Who::of(&caller);
            assert_eq!(who.role.as_deref(), Some(kind.role().as_str()));
            let id = Uuid::from_u128(7).to_string();
            assert_eq!((who.user_id, who.key_id), (None, Some(id)));
            let claims: serde_json::Value = serde_json::from_str(&caller.claims).unwrap();
            assert_eq!(claims["role"], kind.role().as_str());
        }
    }

    #[test]
    fn a_use_is_stored_once() {
        let key = key(ApiKeyKind::Secret);
        assert_eq!(key.take_use(), None);
        key.touch(105);
        key.touch(104);
        assert_eq!((key.last_used(), key.take_use()), (105, Some(105)));
        assert_eq!(key.take_use(), None);
        assert!(key.opens(Scope::Rest) && !key.opens(Scope::Functions));
    }
}
