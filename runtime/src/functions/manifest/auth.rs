//! `[auth]`: how an app's users sign up and in at `/auth/v1`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::is_secret_name;
use super::reader::{Reader, Table};
use crate::limits;
use crate::services::auth::oauth::presets;
use crate::services::rates;

/// What an app says of its users. Secrets stand here by their names.
#[derive(Clone, Debug, PartialEq)]
pub struct AuthSettings {
    /// Where a link leads that names no other place; the app's own address if none.
    pub site_url: Option<String>,
    /// Where links may lead besides: URLs, with `*` for a part and `**` for several.
    pub redirect_urls: Vec<String>,
    /// Whether anybody may become a user.
    pub signup: bool,
    pub anonymous: bool,
    pub email: bool,
    pub phone: bool,
    /// Whether an address counts as confirmed without a mail.
    pub autoconfirm: bool,
    pub phone_autoconfirm: bool,
    /// Whether both addresses have to confirm a change.
    pub double_confirm: bool,
    pub manual_linking: bool,
    pub password: PasswordRules,
    /// Whether a new password needs a recent sign-in or a code that was mailed.
    pub reauthenticate: bool,
    /// Of a mailed code.
    pub code_digits: u32,
    pub code_life: Duration,
    /// Codes of phone numbers that nobody is sent a message for: for tests.
    pub test_codes: BTreeMap<String, String>,
    pub sessions: SessionRules,
    pub totp: bool,
    pub factors_max: u32,
    pub keys: KeySettings,
    pub mail: MailSettings,
    /// By name: `google`, or `custom:<name>`.
    pub providers: BTreeMap<String, ProviderSettings>,
    /// Of an hour, by the names of [`rates::auth::RULES`].
    pub rates: BTreeMap<String, u32>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PasswordRules {
    /// Characters at least.
    pub min: u32,
    /// Sorts of characters of which one each is required.
    pub required: Vec<CharacterClass>,
    /// Whether passwords that are known to attackers are refused.
    pub refuse_leaked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CharacterClass {
    Lower,
    Upper,
    Digit,
    Symbol,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SessionRules {
    /// Of an access token.
    pub token_life: Duration,
    /// How long a refresh token that was used works once more.
    pub reuse_interval: Duration,
    /// From sign-in; without end if none.
    pub life: Option<Duration>,
    /// From the last refresh.
    pub idle: Option<Duration>,
    /// Whether a sign-in ends the user's other sessions.
    pub single: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeySettings {
    pub algorithm: SigningAlgorithm,
    /// The secret whose value signs tokens: a private JWK, or a secret of HS256.
    pub signing: Option<String>,
    /// Secrets whose values tokens may be signed with as well: public JWKs, or secrets of HS256.
    pub accepted: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SigningAlgorithm {
    #[default]
    Es256,
    EdDsa,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct MailSettings {
    /// `Shop <no-reply@shop.example>`.
    pub from: Option<String>,
    /// The secret whose value is the URL of an SMTP server; the server's own if none.
    pub smtp: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProviderSettings {
    pub client_id: String,
    /// Other client ids whose `id_token` is taken, such as a phone app's.
    pub also_client_ids: Vec<String>,
    /// The secret whose value is the client's secret.
    pub secret: Option<String>,
    /// Of a custom provider, or of a self-hosted one.
    pub issuer: Option<String>,
    pub scopes: Vec<String>,
    /// Whether an `id_token` without a nonce is taken.
    pub skip_nonce: bool,
}

impl Default for AuthSettings {
    fn default() -> AuthSettings {
        AuthSettings {
            site_url: None,
            redirect_urls: Vec::new(),
            signup: true,
            anonymous: false,
            email: true,
            phone: false,
            autoconfirm: false,
            phone_autoconfirm: false,
            double_confirm: true,
            manual_linking: false,
            password: PasswordRules {
                min: 8,
                required: Vec::new(),
                refuse_leaked: true,
            },
            reauthenticate: false,
            code_digits: 6,
            code_life: Duration::from_secs(3600),
            test_codes: BTreeMap::new(),
            sessions: SessionRules {
                token_life: Duration::from_secs(3600),
                reuse_interval: Duration::from_secs(10),
                life: None,
                idle: None,
                single: false,
            },
            totp: true,
            factors_max: 10,
            keys: KeySettings::default(),
            mail: MailSettings::default(),
            providers: BTreeMap::new(),
            rates: BTreeMap::new(),
        }
    }
}

const KEYS: [&str; 27] = [
    "site_url",
    "redirect_urls",
    "signup",
    "anonymous",
    "email",
    "phone",
    "autoconfirm",
    "phone_autoconfirm",
    "double_confirm",
    "manual_linking",
    "password_min",
    "password_required",
    "password_leaked",
    "reauthenticate",
    "code_digits",
    "code_s",
    "test_codes",
    "token_s",
    "reuse_s",
    "session_s",
    "session_idle_s",
    "single_session",
    "totp",
    "factors_max",
    "algorithm",
    "signing_key",
    "accepted_keys",
];
/// Tables below `[auth]`.
const TABLES: [&str; 3] = ["mail", "provider", "rates"];

impl Reader<'_> {
    /// The app's table; [`AuthSettings`]' own values for what it leaves out.
    pub(super) fn auth(&mut self, root: &Table<'_>) -> AuthSettings {
        let mut settings = AuthSettings::default();
        let Some(auth) = root.get("auth").and_then(|value| self.table(value, "auth")) else {
            return settings;
        };
        let known: Vec<&str> = KEYS.iter().chain(&TABLES).copied().collect();
        self.known_keys(auth, "[auth]", &known);
        if let Some(value) = auth.get("site_url") {
            settings.site_url = self.string(value, "site_url");
            if let Some(url) = &settings.site_url
                && url.parse::<url::Url>().is_err()
            {
                let message = format!("site_url is {url:?}");
                let fix = "write a URL such as \"https://shop.example\"";
                self.fault(value.span().start, message, fix);
            }
        }
        settings.redirect_urls = self.strings(auth, "redirect_urls", |_| Ok(()));
        let flags = [
            ("signup", &mut settings.signup),
            ("anonymous", &mut settings.anonymous),
            ("email", &mut settings.email),
            ("phone", &mut settings.phone),
            ("autoconfirm", &mut settings.autoconfirm),
            ("phone_autoconfirm", &mut settings.phone_autoconfirm),
            ("double_confirm", &mut settings.double_confirm),
            ("manual_linking", &mut settings.manual_linking),
            ("password_leaked", &mut settings.password.refuse_leaked),
            ("reauthenticate", &mut settings.reauthenticate),
            ("single_session", &mut settings.sessions.single),
            ("totp", &mut settings.totp),
        ];
        for (key, flag) in flags {
            if let Some(value) = auth.get(key) {
                *flag = self.boolean(value, key).unwrap_or(*flag);
            }
        }
        let counts = [
            (
                "password_min",
                &mut settings.password.min,
                limits::PASSWORD_MIN_CEILING,
            ),
            (
                "code_digits",
                &mut settings.code_digits,
                limits::CODE_DIGITS_MAX,
            ),
            (
                "factors_max",
                &mut settings.factors_max,
                limits::FACTORS_CEILING,
            ),
        ];
        for (key, count, max) in counts {
            if let Some(value) = auth.get(key) {
                *count = self
                    .number(value, key, u64::from(max))
                    .map_or(*count, |number| number as u32);
            }
        }
        if settings.code_digits < limits::CODE_DIGITS_MIN {
            let at = auth
                .get("code_digits")
                .map_or(0, |value| value.span().start);
            let fix = format!("{} are the least", limits::CODE_DIGITS_MIN);
            self.fault(at, format!("code_digits is {}", settings.code_digits), fix);
        }
        let sessions = &mut settings.sessions;
        let spans = [
            ("code_s", &mut settings.code_life, limits::CODE_LIFE_MAX),
            ("token_s", &mut sessions.token_life, limits::TOKEN_LIFE_MAX),
            ("reuse_s", &mut sessions.reuse_interval, limits::REUSE_MAX),
        ];
        for (key, span, max) in spans {
            if let Some(seconds) = self.seconds(auth, key, max) {
                *span = seconds;
            }
        }
        sessions.life = self.seconds(auth, "session_s", limits::SESSION_LIFE_MAX);
        sessions.idle = self.seconds(auth, "session_idle_s", limits::SESSION_LIFE_MAX);
        if let Some(value) = auth.get("password_required") {
            let at = value.span().start;
            let words = self.strings(auth, "password_required", |_| Ok(()));
            for word in words {
                match word.as_str() {
                    "lower" => settings.password.required.push(CharacterClass::Lower),
                    "upper" => settings.password.required.push(CharacterClass::Upper),
                    "digit" => settings.password.required.push(CharacterClass::Digit),
                    "symbol" => settings.password.required.push(CharacterClass::Symbol),
                    other => {
                        let fix = "use \"lower\", \"upper\", \"digit\" and \"symbol\"";
                        self.fault(at, format!("password_required names `{other}`"), fix);
                    }
                }
            }
        }
        settings.test_codes = self.texts(auth, "test_codes");
        if let Some(value) = auth.get("algorithm") {
            settings.keys.algorithm = match value.get_ref().as_str() {
                Some("ES256") => SigningAlgorithm::Es256,
                Some("EdDSA") => SigningAlgorithm::EdDsa,
                _ => {
                    let message = format!("algorithm is {}", self.written(value));
                    self.fault(value.span().start, message, "use \"ES256\" or \"EdDSA\"");
                    SigningAlgorithm::Es256
                }
            };
        }
        settings.keys.signing = self.secret(auth, "signing_key");
        settings.keys.accepted = self.strings(auth, "accepted_keys", secret_name);
        if let Some(mail) = auth
            .get("mail")
            .and_then(|value| self.table(value, "auth.mail"))
        {
            self.known_keys(mail, "[auth.mail]", &["from", "smtp"]);
            settings.mail.from = mail
                .get("from")
                .and_then(|value| self.string(value, "from"));
            if let (Some(value), Some(from)) = (mail.get("from"), &settings.mail.from)
                && (from.contains(char::is_control)
                    || from.parse::<lettre::message::Mailbox>().is_err())
            {
                let fix = "write an address such as \"Shop <no-reply@shop.example>\"";
                self.fault(value.span().start, format!("from is {from:?}"), fix);
            }
            settings.mail.smtp = self.secret(mail, "smtp");
        }
        settings.providers = self.providers(auth);
        settings.rates = self.rates(auth);
        settings
    }

    fn providers(&mut self, auth: &Table<'_>) -> BTreeMap<String, ProviderSettings> {
        let mut providers = BTreeMap::new();
        let Some(table) = auth
            .get("provider")
            .and_then(|value| self.table(value, "auth.provider"))
        else {
            return providers;
        };
        for (name, value) in table.iter() {
            let name = name.get_ref().to_string();
            let at = value.span().start;
            let Some(provider) = self.table(value, &format!("auth.provider.{name}")) else {
                continue;
            };
            let owner = format!("[auth.provider.{name}]");
            let keys = [
                "client_id",
                "also_client_ids",
                "secret",
                "issuer",
                "scopes",
                "skip_nonce",
            ];
            self.known_keys(provider, &owner, &keys);
            let read = ProviderSettings {
                client_id: self
                    .required(at, provider, "client_id", &owner, "\"…\"")
                    .unwrap_or_default(),
                also_client_ids: self.strings(provider, "also_client_ids", |_| Ok(())),
                secret: self.secret(provider, "secret"),
                issuer: provider
                    .get("issuer")
                    .and_then(|value| self.string(value, "issuer")),
                scopes: self.strings(provider, "scopes", |_| Ok(())),
                skip_nonce: provider
                    .get("skip_nonce")
                    .and_then(|value| self.boolean(value, "skip_nonce"))
                    .unwrap_or(false),
            };
            if let Err((message, fix)) = presets::check(&name, read.issuer.as_deref()) {
                self.fault(at, message, fix);
            }
            providers.insert(name, read);
        }
        providers
    }

    fn rates(&mut self, auth: &Table<'_>) -> BTreeMap<String, u32> {
        let mut counts = BTreeMap::new();
        let Some(table) = auth
            .get("rates")
            .and_then(|value| self.table(value, "auth.rates"))
        else {
            return counts;
        };
        self.known_keys(table, "[auth.rates]", &rates::auth::names());
        for (name, value) in table.iter() {
            let name = name.get_ref().to_string();
            if let Some(count) = self.number(value, &name, u64::from(limits::RATE_CEILING)) {
                counts.insert(name, count as u32);
            }
        }
        counts
    }

    /// The strings of a table.
    fn texts(&mut self, table: &Table<'_>, key: &str) -> BTreeMap<String, String> {
        let mut texts = BTreeMap::new();
        let Some(inner) = table.get(key).and_then(|value| self.table(value, key)) else {
            return texts;
        };
        for (name, value) in inner.iter() {
            if let Some(text) = self.string(value, key) {
                texts.insert(name.get_ref().to_string(), text);
            }
        }
        texts
    }

    /// The name of a secret of the app.
    fn secret(&mut self, table: &Table<'_>, key: &str) -> Option<String> {
        let value = table.get(key)?;
        let name = self.string(value, key)?;
        if let Err(fix) = secret_name(&name) {
            self.fault(value.span().start, format!("{key} is {name:?}"), fix);
        }
        Some(name)
    }

    fn seconds(&mut self, table: &Table<'_>, key: &str, max: Duration) -> Option<Duration> {
        let value = table.get(key)?;
        let seconds = self.number(value, key, max.as_secs())?;
        Some(Duration::from_secs(seconds))
    }
}

fn secret_name(name: &str) -> Result<(), String> {
    match is_secret_name(name) {
        true => Ok(()),
        false => Err("write the name of a secret of the app, such as \"SMTP_URL\"".to_owned()),
    }
}
