//! The providers that are known by name, as data: where they are, and what each does in its own way.
//!
//! Sources, each provider's own documentation:
//! - google <https://developers.google.com/identity/openid-connect/openid-connect>
//! - apple <https://developer.apple.com/documentation/signinwithapplerestapi>
//! - azure <https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference>
//! - gitlab <https://docs.gitlab.com/integration/openid_connect_provider/>
//! - github <https://docs.github.com/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps>
//! - discord <https://discord.com/developers/docs/topics/oauth2>
//! - yandex <https://yandex.com/dev/id/doc/en/user-information>
//! - vk <https://id.vk.com/about/business/go/docs/ru/vkid/latest/vk-id/connection/api-integration/api-description>

use url::{Host, Url};

/// What the name of a provider begins with that the app describes itself.
pub const CUSTOM: &str = "custom:";

/// How one provider is spoken to.
#[derive(Debug)]
pub struct Preset {
    /// As in `[auth.provider.<name>]` and in `?provider=`.
    pub name: &'static str,
    pub protocol: Protocol,
    /// What is asked for whatever the app says.
    pub scopes: &'static [&'static str],
    /// Whether it takes a code challenge. All do but Apple, which documents none; its nonce does the same.
    pub pkce: bool,
    /// Whether it answers by a form that the browser posts.
    pub form_post: bool,
    /// When its word on an address is proof.
    pub trust: Trust,
}

#[derive(Debug)]
pub enum Protocol {
    /// OpenID Connect, all else by discovery at this issuer.
    Oidc { issuer: &'static str },
    /// OAuth 2.0 with a profile of its own.
    OAuth {
        authorize: &'static str,
        token: &'static str,
        api: &'static str,
        profile: ProfileOf,
    },
}

/// Whose profile it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProfileOf {
    GitHub,
    Discord,
    Yandex,
    Vk,
}

/// When a provider's word on an e-mail address is proof that the user has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// When it says `email_verified`, or marks the address as verified.
    Verified,
    /// When it says `xms_edov`: any tenant can write any address into `email` otherwise.
    DomainOwner,
    /// When the address is one of its own mailboxes: it says nothing of others.
    Own(&'static [&'static str]),
    Never,
}

/// Microsoft's issuer for every tenant. Its tokens name the tenant in its place.
pub const AZURE: &str = "https://login.microsoftonline.com/common/v2.0";

const YANDEX_MAIL: &[&str] = &["yandex.ru", "yandex.com", "yandex.by", "yandex.kz", "ya.ru"];

const PRESETS: &[Preset] = &[
    Preset {
        name: "google",
        protocol: Protocol::Oidc {
            issuer: "https://accounts.google.com",
        },
        scopes: &["openid", "email", "profile"],
        pkce: true,
        form_post: false,
        trust: Trust::Verified,
    },
    Preset {
        name: "apple",
        protocol: Protocol::Oidc {
            issuer: "https://appleid.apple.com",
        },
        scopes: &["openid", "email", "name"],
        pkce: false,
        form_post: true,
        trust: Trust::Verified,
    },
    Preset {
        name: "azure",
        protocol: Protocol::Oidc { issuer: AZURE },
        scopes: &["openid", "email", "profile"],
        pkce: true,
        form_post: false,
        trust: Trust::DomainOwner,
    },
    Preset {
        name: "gitlab",
        protocol: Protocol::Oidc {
            issuer: "https://gitlab.com",
        },
        scopes: &["openid", "email", "profile"],
        pkce: true,
        form_post: false,
        trust: Trust::Verified,
    },
    Preset {
        name: "github",
        protocol: Protocol::OAuth {
            authorize: "https://github.com/login/oauth/authorize",
            token: "https://github.com/login/oauth/access_token",
            api: "https://api.github.com",
            profile: ProfileOf::GitHub,
        },
        scopes: &["read:user", "user:email"],
        pkce: true,
        form_post: false,
        trust: Trust::Verified,
    },
    Preset {
        name: "discord",
        protocol: Protocol::OAuth {
            authorize: "https://discord.com/oauth2/authorize",
            token: "https://discord.com/api/oauth2/token",
            api: "https://discord.com/api/users/@me",
            profile: ProfileOf::Discord,
        },
        scopes: &["identify", "email"],
        pkce: true,
        form_post: false,
        trust: Trust::Verified,
    },
    Preset {
        name: "yandex",
        protocol: Protocol::OAuth {
            authorize: "https://oauth.yandex.ru/authorize",
            token: "https://oauth.yandex.ru/token",
            api: "https://login.yandex.ru/info?format=json",
            profile: ProfileOf::Yandex,
        },
        scopes: &["login:email", "login:info"],
        pkce: true,
        form_post: false,
        trust: Trust::Own(YANDEX_MAIL),
    },
    Preset {
        name: "vk",
        protocol: Protocol::OAuth {
            authorize: "https://id.vk.com/authorize",
            token: "https://id.vk.com/oauth2/auth",
            api: "https://id.vk.com/oauth2/user_info",
            profile: ProfileOf::Vk,
        },
        scopes: &["email"],
        pkce: true,
        form_post: false,
        trust: Trust::Never,
    },
];

const CUSTOM_PRESET: Preset = Preset {
    name: CUSTOM,
    protocol: Protocol::Oidc { issuer: "" },
    scopes: &["openid", "email", "profile"],
    pkce: true,
    form_post: false,
    trust: Trust::Verified,
};

/// The preset of a provider, by its name in the manifest.
pub fn preset(name: &str) -> Option<&'static Preset> {
    match name.strip_prefix(CUSTOM) {
        Some(id) => is_id(id).then_some(&CUSTOM_PRESET),
        None => PRESETS.iter().find(|preset| preset.name == name),
    }
}

/// The names of all presets, as `/settings` lists them.
pub fn names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|preset| preset.name)
}

fn is_id(id: &str) -> bool {
    (1..=63).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// What is wrong with a provider of a manifest, and what to write instead.
///
/// # Errors
/// The fault and its fix.
pub fn check(name: &str, issuer: Option<&str>) -> Result<(), (String, String)> {
    let Some(preset) = preset(name) else {
        let known: Vec<&str> = names().collect();
        let fix = format!("use one of {}, or \"custom:<name>\"", known.join(", "));
        return Err((format!("no provider is called `{name}`"), fix));
    };
    let Some(issuer) = issuer else {
        return match name.starts_with(CUSTOM) {
            true => Err((
                format!("`{name}` has no issuer"),
                "write issuer = \"https://…\", where the provider's metadata is".to_owned(),
            )),
            false => Ok(()),
        };
    };
    let own = matches!(preset.name, CUSTOM | "azure" | "gitlab" | "github");
    if !own {
        return Err((
            format!("`{name}` has an issuer"),
            "leave it out: this provider is in one place".to_owned(),
        ));
    }
    match Url::parse(issuer) {
        Ok(url) if is_safe(&url) && url.query().is_none() && url.fragment().is_none() => Ok(()),
        _ => Err((
            format!("issuer is {issuer:?}"),
            "write an https URL without `?` and `#`; http is for 127.0.0.1 and localhost only"
                .to_owned(),
        )),
    }
}

/// Whether secrets may go there: https, or this machine, and no one's name in it.
pub fn is_safe(url: &Url) -> bool {
    let nobody = url.username().is_empty() && url.password().is_none();
    nobody
        && match url.scheme() {
            "https" => url.host().is_some(),
            "http" => is_loopback(url),
            _ => false,
        }
}

/// Whether it is on this machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_safe_and_every_name_once() {
        let mut seen = std::collections::BTreeSet::new();
        for preset in PRESETS {
            assert!(seen.insert(preset.name));
            let urls = match &preset.protocol {
                Protocol::Oidc { issuer } => vec![*issuer],
                Protocol::OAuth {
                    authorize,
                    token,
                    api,
                    ..
                } => vec![*authorize, *token, *api],
            };
            for url in urls {
                assert_eq!(Url::parse(url).unwrap().scheme(), "https", "{url}");
            }
        }
    }

    #[test]
    fn providers_of_a_manifest() {
        let check = |name, issuer| check(name, issuer).is_ok();
        assert!(check("google", None));
        assert!(check("custom:acme", Some("https://id.acme.example")));
        assert!(check(
            "custom:acme",
            Some("https://id.acme.example/realms/one")
        ));
        assert!(check("custom:a-1", Some("http://127.0.0.1:8080")));
        assert!(check("custom:a", Some("http://localhost:8080")));
        assert!(check(
            "azure",
            Some("https://login.microsoftonline.com/f00/v2.0")
        ));
        for (name, issuer) in [
            ("myspace", None),
            ("Google", None),
            ("custom:", Some("https://id.acme.example")),
            ("custom:A", Some("https://id.acme.example")),
            ("custom:a/b", Some("https://id.acme.example")),
            ("custom:acme", None),
            ("google", Some("https://accounts.example")),
            ("custom:acme", Some("http://id.acme.example")),
            ("custom:acme", Some("http://127.0.0.1.example")),
            ("custom:acme", Some("https://u@id.acme.example")),
            ("custom:acme", Some("https://id.acme.example/?a")),
            ("custom:acme", Some("https://id.acme.example/#a")),
            ("custom:acme", Some("file:///etc/passwd")),
            ("custom:acme", Some("nowhere")),
        ] {
            assert!(!check(name, issuer), "{name} {issuer:?}");
        }
    }
}
