//! What a provider says of a user, in one form whoever says it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::linking::{Email, address};
use super::presets::Trust;
use super::provider::Provider;
use crate::limits;

/// A user as a provider knows them.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The provider's name of the user, which never changes.
    pub subject: String,
    pub email: Option<Email>,
    /// `identity_data`: what is kept and shown.
    pub data: Map<String, Value>,
}

/// A profile on its way through a sealed row.
#[derive(Serialize, Deserialize)]
pub struct Kept {
    subject: String,
    email: Option<(String, bool)>,
    data: Map<String, Value>,
}

impl From<Profile> for Kept {
    fn from(profile: Profile) -> Kept {
        Kept {
            subject: profile.subject,
            email: profile.email.map(|email| (email.address, email.verified)),
            data: profile.data,
        }
    }
}

impl From<Kept> for Profile {
    fn from(kept: Kept) -> Profile {
        Profile {
            subject: kept.subject,
            email: kept
                .email
                .map(|(address, verified)| Email { address, verified }),
            data: kept.data,
        }
    }
}

impl Profile {
    /// Reads claims of OpenID Connect; none when they name nobody.
    pub fn read(provider: &Provider, claims: &Map<String, Value>) -> Option<Profile> {
        let text = |name: &str| {
            claims
                .get(name)
                .and_then(Value::as_str)
                .filter(|text| fits(text))
        };
        let subject = text("sub").filter(|sub| !sub.is_empty() && sub.len() <= 255)?;
        let email = text("email").and_then(address).map(|address| Email {
            verified: is_proved(provider.preset.trust, &address, claims),
            address,
        });
        let mut data = Map::new();
        let mut put = |name: &str, value: Option<&str>| {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                data.insert(name.to_owned(), value.into());
            }
        };
        put("iss", text("iss"));
        put("sub", Some(subject));
        put("provider_id", Some(subject));
        let given = [text("given_name"), text("family_name")];
        let given: Vec<&str> = given.into_iter().flatten().collect();
        let name = text("name").map_or_else(|| given.join(" "), str::to_owned);
        put("name", Some(&name));
        put("full_name", Some(&name));
        let username = text("preferred_username");
        put("user_name", username);
        put("preferred_username", username);
        let picture = text("picture").filter(|url| url.starts_with("https://"));
        put("picture", picture);
        put("avatar_url", picture);
        put("email", email.as_ref().map(|email| &*email.address));
        let verified = email.as_ref().is_some_and(|email| email.verified);
        data.insert("email_verified".to_owned(), verified.into());
        data.insert("phone_verified".to_owned(), false.into());
        Some(Profile {
            subject: subject.to_owned(),
            email,
            data,
        })
    }

    /// A name that came through the browser, if the provider itself said none.
    pub fn name_if_none(&mut self, name: &str) {
        if !self.data.contains_key("name") && !name.is_empty() && fits(name) {
            self.data.insert("name".to_owned(), name.into());
            self.data.insert("full_name".to_owned(), name.into());
        }
    }
}

fn fits(text: &str) -> bool {
    text.len() <= limits::PROFILE_TEXT_BYTES_MAX
}

/// The beginning of what a provider says of an error, in characters that a URL's reader expects.
pub fn short(text: &str) -> String {
    let mut short = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if short.len() + c.len_utf8() > limits::PROVIDER_ERROR_BYTES_MAX {
            break;
        }
        short.push(c);
    }
    short
}

fn is_proved(trust: Trust, address: &str, claims: &Map<String, Value>) -> bool {
    // Apple and some others write truth as text.
    let says = |name: &str| match claims.get(name) {
        Some(Value::Bool(yes)) => *yes,
        Some(Value::String(text)) => text == "true" || text == "1",
        Some(Value::Number(number)) => number.as_i64() == Some(1),
        _ => false,
    };
    match trust {
        Trust::Verified => says("email_verified"),
        Trust::DomainOwner => says("xms_edov"),
        Trust::Own(domains) => address
            .rsplit_once('@')
            .is_some_and(|(_, domain)| domains.contains(&domain)),
        Trust::Never => false,
    }
}

type Claims = Option<Map<String, Value>>;

fn object(value: Value) -> Claims {
    match value {
        Value::Object(claims) => Some(claims),
        _ => None,
    }
}

/// An id as text, whether it is written as a number or as a text.
fn id(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Number(number) => number.as_u64().map(|id| id.to_string()),
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        _ => None,
    }
}

/// GitHub's user, with the address that the user's list calls primary.
pub fn github(user: &Value, emails: &Value) -> Claims {
    let emails = emails.as_array();
    let primary = emails
        .into_iter()
        .flatten()
        .find(|email| email["primary"] == json!(true));
    object(json!({
        "sub": id(user.get("id"))?,
        "name": user["name"],
        "preferred_username": user["login"],
        "picture": user["avatar_url"],
        "email": primary.map(|email| &email["email"]),
        "email_verified": primary.map(|email| &email["verified"]),
    }))
}

pub fn discord(user: &Value) -> Claims {
    let sub = id(user.get("id"))?;
    let picture = user["avatar"]
        .as_str()
        .map(|avatar| format!("https://cdn.discordapp.com/avatars/{sub}/{avatar}.png"));
    let name = match &user["global_name"] {
        Value::String(name) => name,
        _ => user["username"].as_str().unwrap_or_default(),
    };
    object(json!({
        "sub": sub,
        "name": name,
        "preferred_username": user["username"],
        "picture": picture,
        "email": user["email"],
        "email_verified": user["verified"],
    }))
}

pub fn yandex(user: &Value) -> Claims {
    let avatar = user["default_avatar_id"].as_str();
    let avatar = avatar.filter(|_| user["is_avatar_empty"] != json!(true));
    let picture = avatar.map(|id| format!("https://avatars.yandex.net/get-yapic/{id}/islands-200"));
    let name = user["real_name"].as_str().or(user["display_name"].as_str());
    object(json!({
        "sub": id(user.get("id"))?,
        "name": name,
        "preferred_username": user["login"],
        "picture": picture,
        "email": user["default_email"],
    }))
}

pub fn vk(info: &Map<String, Value>) -> Claims {
    let user = info.get("user")?;
    object(json!({
        "sub": id(user.get("user_id"))?,
        "given_name": user["first_name"],
        "family_name": user["last_name"],
        "picture": user["avatar"],
        "email": user["email"],
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::manifest::auth::ProviderSettings;
    use crate::services::auth::oauth::presets::preset;

    fn read(name: &str, claims: &Value) -> Option<Profile> {
        let provider = Provider {
            preset: preset(name).unwrap(),
            settings: ProviderSettings::default(),
            secret: None,
        };
        Profile::read(&provider, claims.as_object().unwrap())
    }

    fn email(name: &str, claims: &Value) -> Option<(String, bool)> {
        let email = read(name, claims).unwrap().email;
        email.map(|email| (email.address, email.verified))
    }

    #[test]
    fn whose_word_on_an_address_is_proof() {
        let claims = |more: Value| {
            let mut claims = json!({ "sub": "1", "email": "Ann@Example.com" });
            let all = claims.as_object_mut().unwrap();
            all.extend(more.as_object().unwrap().clone());
            claims
        };
        let address = "ann@example.com".to_owned();
        for (name, more, expect) in [
            ("google", json!({ "email_verified": true }), true),
            ("google", json!({ "email_verified": false }), false),
            ("google", json!({ "xms_edov": true }), false),
            ("google", json!({}), false),
            ("apple", json!({ "email_verified": "true" }), true),
            ("apple", json!({ "email_verified": "false" }), false),
            ("azure", json!({ "email_verified": true }), false),
            ("azure", json!({ "xms_edov": true }), true),
            ("azure", json!({ "xms_edov": "1" }), true),
            ("azure", json!({ "xms_edov": 1 }), true),
            ("azure", json!({ "xms_edov": false }), false),
            ("azure", json!({ "xms_edov": "0" }), false),
            ("vk", json!({ "email_verified": true }), false),
            ("yandex", json!({ "email_verified": true }), false),
            ("custom:acme", json!({ "email_verified": true }), true),
            ("custom:acme", json!({ "email_verified": [true] }), false),
        ] {
            let found = email(name, &claims(more.clone()));
            assert_eq!(found, Some((address.clone(), expect)), "{name} {more}");
        }
        let own = json!({ "sub": "1", "email": "ann@yandex.ru" });
        assert_eq!(
            email("yandex", &own),
            Some(("ann@yandex.ru".to_owned(), true))
        );
        let like = json!({ "sub": "1", "email": "ann@evil-yandex.ru" });
        assert_eq!(
            email("yandex", &like),
            Some(("ann@evil-yandex.ru".to_owned(), false))
        );
    }

    #[test]
    fn github_has_a_list_of_addresses() {
        let user =
            json!({ "id": 583231, "login": "octocat", "name": null, "email": "said@example.com" });
        let emails = json!([
            { "email": "other@example.com", "primary": false, "verified": true },
            { "email": "main@example.com", "primary": true, "verified": false },
        ]);
        let profile =
            |emails: &Value| read("github", &Value::Object(github(&user, emails).unwrap()));
        let unverified = profile(&emails).unwrap();
        assert_eq!(unverified.subject, "583231");
        let expect = Email {
            address: "main@example.com".to_owned(),
            verified: false,
        };
        assert_eq!(unverified.email, Some(expect));
        let verified = json!([{ "email": "main@example.com", "primary": true, "verified": true }]);
        assert!(profile(&verified).unwrap().email.unwrap().verified);
        assert_eq!(profile(&json!([])).unwrap().email, None);
        assert_eq!(profile(&json!({ "message": "no" })).unwrap().email, None);
        assert_eq!(github(&json!({}), &emails), None);
    }

    #[test]
    fn profiles_of_the_others() {
        let user = json!({ "id": "80351110224678912", "username": "nelly", "global_name": null,
            "avatar": "8342729096ea3675442027381ff50dfe", "email": "nelly@discord.com", "verified": true });
        let profile = read("discord", &Value::Object(discord(&user).unwrap())).unwrap();
        assert_eq!(profile.data["name"], "nelly");
        assert_eq!(
            profile.data["avatar_url"],
            "https://cdn.discordapp.com/avatars/80351110224678912/8342729096ea3675442027381ff50dfe.png"
        );
        assert!(profile.email.unwrap().verified);
        let info = json!({ "user": { "user_id": "1234567890", "first_name": "Ivan", "last_name": "I.",
            "avatar": "https://pp.userapi.com/a.jpg", "email": "ivan@example.com" } });
        let profile = read("vk", &Value::Object(vk(info.as_object().unwrap()).unwrap())).unwrap();
        assert_eq!(profile.data["full_name"], "Ivan I.");
        assert!(!profile.email.unwrap().verified);
        let info = json!({ "id": "1000034426", "login": "vasya", "real_name": "Vasya Pupkin",
            "default_email": "test@yandex.ru", "default_avatar_id": "131652443", "is_avatar_empty": true });
        let profile = read("yandex", &Value::Object(yandex(&info).unwrap())).unwrap();
        assert_eq!(profile.data.get("picture"), None);
        assert_eq!(profile.subject, "1000034426");
    }

    #[test]
    fn texts_are_bounded() {
        let at = "n".repeat(limits::PROFILE_TEXT_BYTES_MAX);
        let named = |name: &str| {
            let profile = read("google", &json!({ "sub": "1", "name": name })).unwrap();
            profile.data.contains_key("name")
        };
        assert!(named(&at));
        assert!(!named(&format!("{at}n")));
        assert_eq!(read("google", &json!({ "sub": "s".repeat(256) })), None);
        assert_eq!(read("google", &json!({ "sub": "" })), None);
        let script = json!({ "sub": "1", "picture": "javascript:alert(1)" });
        assert!(
            !read("google", &script)
                .unwrap()
                .data
                .contains_key("picture")
        );
        assert_eq!(short("a\r\nb"), "ab");
        assert_eq!(
            short(&"é".repeat(300)).len(),
            limits::PROVIDER_ERROR_BYTES_MAX
        );
    }
}
