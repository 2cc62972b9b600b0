//! A client of one provider: where to send the browser, and what comes of the code it brings back.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Method, Request};
use pumice_host_api::{EgressClient, FetchLimits, HttpFault};
use serde_json::{Map, Value};
use url::Url;

use super::id_token::{Expect, IdTokenError, Nonce};
use super::issuer::{Issuers, Metadata};
use super::presets::{Preset, ProfileOf, Protocol};
use super::profile::{self, Profile};
use crate::digest::Digest;
use crate::functions::manifest::auth::ProviderSettings;
use crate::limits;

/// Why a provider vouches for nobody.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    #[error("the provider does not answer: {0}")]
    Fetch(#[from] HttpFault),
    #[error("the provider did not answer a moment ago")]
    Down,
    #[error("the provider answers {0}")]
    Status(u16),
    #[error("the provider's answer is no JSON object")]
    Json,
    #[error("the provider's metadata is not usable: {0}")]
    Metadata(&'static str),
    /// Its word for a code that it does not take.
    #[error("the provider refuses the code: {0}")]
    Refused(String),
    #[error("the ID token is not valid: {0}")]
    IdToken(#[from] IdTokenError),
    #[error("the provider sent no {0}")]
    Missing(&'static str),
    #[error("the provider's answer is about somebody else")]
    Another,
}

/// A provider as one app uses it.
pub struct Provider {
    pub preset: &'static Preset,
    pub settings: ProviderSettings,
    /// The client's secret itself.
    pub secret: Option<String>,
}

/// Sends requests to providers, bounded and past the egress policy.
pub struct Fetcher(EgressClient);

/// What is known before the browser leaves, and needed when it is back.
pub struct Leaving<'l> {
    pub state: &'l str,
    pub redirect_uri: &'l str,
    /// Scopes besides the usual.
    pub scopes: &'l str,
    /// Parameters that clients may add.
    pub extras: &'l [(String, String)],
    pub verifier: &'l str,
    pub nonce: &'l str,
}

/// What the browser brought.
pub struct Returned<'r> {
    pub code: &'r str,
    pub redirect_uri: &'r str,
    pub verifier: &'r str,
    pub nonce: &'r str,
    pub state: &'r str,
    /// VK's name of the browser.
    pub device_id: Option<&'r str>,
    pub now: i64,
}

/// What a provider gave for a code.
#[derive(Debug, Default)]
pub struct Tokens {
    pub access: String,
    pub refresh: Option<String>,
    id: Option<String>,
}

/// Parameters of `/authorize` that are the provider's affair. Others are not passed on: none of ours may be
/// replaced.
const EXTRAS: [&str; 16] = [
    "access_type",
    "prompt",
    "hd",
    "login_hint",
    "domain_hint",
    "include_granted_scopes",
    "display",
    "ui_locales",
    "locale",
    "lang_id",
    "max_age",
    "acr_values",
    "allow_signup",
    "audience",
    "organization",
    "resource",
];

/// Whether clients may pass this parameter on to the provider.
pub fn is_extra(name: &str) -> bool {
    EXTRAS.contains(&name)
}

/// The S256 challenge of a verifier (RFC 7636 §4.2).
pub fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Digest::of(verifier.as_bytes()).as_bytes())
}

impl Fetcher {
    pub fn new(client: EgressClient) -> Fetcher {
        Fetcher(client)
    }

    async fn send(
        &self,
        method: Method,
        url: &Url,
        authorization: Option<String>,
        form: Option<String>,
    ) -> Result<(u16, Bytes), ProviderError> {
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = method;
        let uri = url.as_str().parse();
        *request.uri_mut() = uri.map_err(|_| ProviderError::Metadata("an address"))?;
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        // GitHub refuses requests without one.
        headers.insert(USER_AGENT, HeaderValue::from_static("pumice"));
        if let Some(value) = authorization {
            let mut value =
                HeaderValue::try_from(value).map_err(|_| ProviderError::Missing("usable token"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        if let Some(form) = form {
            const FORM: &str = "application/x-www-form-urlencoded";
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(FORM));
            *request.body_mut() = form.into();
        }
        let limits = FetchLimits {
            wait: limits::PROVIDER_WAIT,
            body_bytes_max: limits::PROVIDER_BYTES_MAX,
        };
        let answer = self.0.fetch(request, limits).await?;
        Ok((answer.status().as_u16(), answer.into_body()))
    }

    /// A JSON document.
    ///
    /// # Errors
    /// When it does not come, or comes with another status than 200.
    pub async fn get(
        &self,
        url: &Url,
        authorization: Option<String>,
    ) -> Result<Value, ProviderError> {
        match self.send(Method::GET, url, authorization, None).await? {
            (200, body) => serde_json::from_slice(&body).map_err(|_| ProviderError::Json),
            (status, _) => Err(ProviderError::Status(status)),
        }
    }

    /// What a form is answered with, whatever the status.
    async fn post(
        &self,
        url: &Url,
        authorization: Option<String>,
        pairs: &[(&str, &str)],
    ) -> Result<(u16, Map<String, Value>), ProviderError> {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs)
            .finish();
        let form = Some(form);
        let (status, body) = self.send(Method::POST, url, authorization, form).await?;
        match serde_json::from_slice(&body) {
            Ok(answer) => Ok((status, answer)),
            Err(_) if status != 200 => Err(ProviderError::Status(status)),
            Err(_) => Err(ProviderError::Json),
        }
    }
}

/// Where a provider without discovery is.
struct Places {
    authorize: Url,
    token: Url,
    api: Url,
    profile: ProfileOf,
}

impl Provider {
    /// The issuer to discover; none for a provider without OpenID Connect.
    pub fn issuer(&self) -> Option<&str> {
        match self.preset.protocol {
            Protocol::Oidc { issuer } => Some(self.settings.issuer.as_deref().unwrap_or(issuer)),
            Protocol::OAuth { .. } => None,
        }
    }

    fn places(&self) -> Result<Option<Places>, ProviderError> {
        let Protocol::OAuth {
            authorize,
            token,
            api,
            profile,
        } = self.preset.protocol
        else {
            return Ok(None);
        };
        let parse = |url: &str| Url::parse(url).map_err(|_| ProviderError::Metadata("an address"));
        // GitHub's own server of a company has all three below its address.
        let [authorize, token, api] = match self.settings.issuer.as_deref() {
            Some(base) => {
                let base = base.trim_end_matches('/');
                [
                    parse(&format!("{base}/login/oauth/authorize"))?,
                    parse(&format!("{base}/login/oauth/access_token"))?,
                    parse(&format!("{base}/api/v3"))?,
                ]
            }
            None => [parse(authorize)?, parse(token)?, parse(api)?],
        };
        Ok(Some(Places {
            authorize,
            token,
            api,
            profile,
        }))
    }

    /// Where the browser is sent.
    ///
    /// # Errors
    /// When the provider's metadata cannot be had.
    pub async fn authorize(
        &self,
        fetcher: &Fetcher,
        issuers: &Issuers,
        leaving: &Leaving<'_>,
        now: i64,
    ) -> Result<Url, ProviderError> {
        let (mut url, pkce, oidc) = match (self.places()?, self.issuer()) {
            (Some(places), _) => (places.authorize, true, false),
            (None, issuer) => {
                let issuer = issuer.unwrap_or_default();
                let metadata = issuers.metadata(fetcher, issuer, now).await?;
                (metadata.authorize.clone(), metadata.pkce, true)
            }
        };
        let mut scopes: Vec<&str> = self.preset.scopes.to_vec();
        let asked = self.settings.scopes.iter().map(String::as_str);
        let more = leaving
            .scopes
            .split([' ', ','])
            .filter(|scope| !scope.is_empty());
        for scope in asked.chain(more) {
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        {
            let mut query = url.query_pairs_mut();
            query
                .append_pair("response_type", "code")
                .append_pair("client_id", &self.settings.client_id)
                .append_pair("redirect_uri", leaving.redirect_uri)
                .append_pair("scope", &scopes.join(" "))
                .append_pair("state", leaving.state);
            if self.preset.pkce && pkce {
                query
                    .append_pair("code_challenge", &challenge(leaving.verifier))
                    .append_pair("code_challenge_method", "S256");
            }
            if oidc {
                query.append_pair("nonce", leaving.nonce);
            }
            if self.preset.form_post {
                query.append_pair("response_mode", "form_post");
            }
            for (name, value) in leaving.extras {
                query.append_pair(name, value);
            }
        }
        Ok(url)
    }

    /// Who the user is that brought a code, and the tokens that the provider gave for it.
    ///
    /// # Errors
    /// Whatever makes the provider's word worth nothing.
    pub async fn who(
        &self,
        fetcher: &Fetcher,
        issuers: &Issuers,
        returned: &Returned<'_>,
    ) -> Result<(Profile, Tokens), ProviderError> {
        if let Some(places) = self.places()? {
            let tokens = self
                .tokens(fetcher, &places.token, false, true, returned)
                .await?;
            let claims = self.claims(fetcher, &places, &tokens).await?;
            let profile = Profile::read(self, &claims).ok_or(ProviderError::Missing("user"))?;
            return Ok((profile, tokens));
        }
        let issuer = self.issuer().unwrap_or_default();
        let metadata = issuers.metadata(fetcher, issuer, returned.now).await?;
        let tokens = self
            .tokens(
                fetcher,
                &metadata.token,
                metadata.basic,
                metadata.pkce,
                returned,
            )
            .await?;
        let id = tokens
            .id
            .as_deref()
            .ok_or(ProviderError::Missing("ID token"))?;
        let expect = Expect {
            issuer: &metadata.issuer,
            audiences: &[&self.settings.client_id],
            nonce: Nonce::Is(returned.nonce),
            access_token: Some(&tokens.access),
            now: returned.now,
        };
        let mut claims = issuers.verify(fetcher, issuer, id, &expect).await?;
        if !claims.contains_key("email") {
            self.complete(fetcher, &metadata, &tokens, &mut claims)
                .await?;
        }
        let profile = Profile::read(self, &claims).ok_or(ProviderError::Missing("user"))?;
        Ok((profile, tokens))
    }

    /// Who the user is that an ID token of this provider is about, which a client has got by itself.
    ///
    /// # Errors
    /// As [`who`](Self::who).
    pub async fn who_is(
        &self,
        fetcher: &Fetcher,
        issuers: &Issuers,
        id_token: &str,
        access_token: Option<&str>,
        nonce: Option<&str>,
        now: i64,
    ) -> Result<Profile, ProviderError> {
        let issuer = self.issuer().ok_or(ProviderError::Missing("ID tokens"))?;
        let metadata = issuers.metadata(fetcher, issuer, now).await?;
        let mut audiences = vec![&*self.settings.client_id];
        audiences.extend(self.settings.also_client_ids.iter().map(String::as_str));
        let expect = Expect {
            issuer: &metadata.issuer,
            audiences: &audiences,
            nonce: match self.settings.skip_nonce {
                true => Nonce::Any,
                false => Nonce::HashOf(nonce),
            },
            access_token,
            now,
        };
        let claims = issuers.verify(fetcher, issuer, id_token, &expect).await?;
        Profile::read(self, &claims).ok_or(ProviderError::Missing("user"))
    }

    async fn tokens(
        &self,
        fetcher: &Fetcher,
        place: &Url,
        basic: bool,
        pkce: bool,
        returned: &Returned<'_>,
    ) -> Result<Tokens, ProviderError> {
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", returned.code),
            ("redirect_uri", returned.redirect_uri),
        ];
        if self.preset.pkce && pkce {
            form.push(("code_verifier", returned.verifier));
        }
        if let Some(device) = returned.device_id {
            form.push(("device_id", device));
            form.push(("state", returned.state));
        }
        let id = &self.settings.client_id;
        let authorization = match &self.secret {
            Some(secret) if basic => {
                // RFC 6749 §2.3.1: both are encoded as in a form first.
                let encode = |text: &str| {
                    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>()
                };
                let pair = format!("{}:{}", encode(id), encode(secret));
                Some(format!("Basic {}", STANDARD.encode(pair)))
            }
            secret => {
                form.push(("client_id", id));
                if let Some(secret) = secret {
                    form.push(("client_secret", secret));
                }
                None
            }
        };
        let (status, answer) = fetcher.post(place, authorization, &form).await?;
        let text = |name: &str| answer.get(name).and_then(Value::as_str);
        // GitHub says so with status 200.
        if let Some(error) = text("error") {
            return Err(ProviderError::Refused(profile::short(error)));
        }
        if status != 200 {
            return Err(ProviderError::Status(status));
        }
        let fits = |token: &&str| token.len() <= limits::PROVIDER_TOKEN_BYTES_MAX;
        let token = |name: &str| text(name).filter(fits).map(str::to_owned);
        Ok(Tokens {
            access: token("access_token").ok_or(ProviderError::Missing("access token"))?,
            refresh: token("refresh_token"),
            id: token("id_token"),
        })
    }

    /// Adds what the userinfo endpoint knows and the ID token did not say (OpenID Connect Core §5.3.2).
    async fn complete(
        &self,
        fetcher: &Fetcher,
        metadata: &Metadata,
        tokens: &Tokens,
        claims: &mut Map<String, Value>,
    ) -> Result<(), ProviderError> {
        let Some(place) = &metadata.userinfo else {
            return Ok(());
        };
        let bearer = Some(format!("Bearer {}", tokens.access));
        let Value::Object(more) = fetcher.get(place, bearer).await? else {
            // A signed answer is for those who asked for one.
            return Err(ProviderError::Json);
        };
        if more.get("sub") != claims.get("sub") {
            return Err(ProviderError::Another);
        }
        for (name, value) in more {
            claims.entry(name).or_insert(value);
        }
        Ok(())
    }

    /// The profile of a provider without ID tokens, in the words of OpenID Connect.
    async fn claims(
        &self,
        fetcher: &Fetcher,
        places: &Places,
        tokens: &Tokens,
    ) -> Result<Map<String, Value>, ProviderError> {
        let bearer = || Some(format!("Bearer {}", tokens.access));
        let claims = match places.profile {
            ProfileOf::GitHub => {
                let below = |path: &str| {
                    let place = format!("{}{path}", places.api.as_str().trim_end_matches('/'));
                    Url::parse(&place).map_err(|_| ProviderError::Metadata("an address"))
                };
                let user = fetcher.get(&below("/user")?, bearer()).await?;
                let emails = below("/user/emails?per_page=100")?;
                let emails = fetcher.get(&emails, bearer()).await?;
                profile::github(&user, &emails)
            }
            ProfileOf::Discord => profile::discord(&fetcher.get(&places.api, bearer()).await?),
            ProfileOf::Yandex => {
                let token = Some(format!("OAuth {}", tokens.access));
                let info = fetcher.get(&places.api, token).await?;
                if info.get("client_id").and_then(Value::as_str) != Some(&self.settings.client_id) {
                    return Err(ProviderError::Another);
                }
                profile::yandex(&info)
            }
            ProfileOf::Vk => {
                let form = [
                    ("client_id", &*self.settings.client_id),
                    ("access_token", &tokens.access),
                ];
                let (status, info) = fetcher.post(&places.api, None, &form).await?;
                if status != 200 || info.contains_key("error") {
                    return Err(ProviderError::Status(status));
                }
                profile::vk(&info)
            }
        };
        claims.ok_or(ProviderError::Missing("user"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_of_the_rfc() {
        // RFC 7636, appendix B.
        assert_eq!(
            challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[tokio::test]
    async fn a_browser_is_sent_with_everything_and_no_more() {
        let provider = Provider {
            preset: crate::services::auth::oauth::presets::preset("github").unwrap(),
            settings: ProviderSettings {
                client_id: "id&1".to_owned(),
                scopes: vec!["repo".to_owned()],
                ..ProviderSettings::default()
            },
            secret: Some("hidden".to_owned()),
        };
        let leaving = Leaving {
            state: "s",
            redirect_uri: "https://shop.example/auth/v1/callback",
            scopes: "repo,gist read:user",
            extras: &[("prompt".to_owned(), "a b".to_owned())],
            verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
            nonce: "n",
        };
        let fetcher = Fetcher::new(EgressClient::default());
        let url = provider
            .authorize(&fetcher, &Issuers::default(), &leaving, 0)
            .await
            .unwrap();
        let expect = "https://github.com/login/oauth/authorize?response_type=code&client_id=id%261\
            &redirect_uri=https%3A%2F%2Fshop.example%2Fauth%2Fv1%2Fcallback\
            &scope=read%3Auser+user%3Aemail+repo+gist&state=s\
            &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256\
            &prompt=a+b";
        assert_eq!(url.as_str(), expect);
        for ours in [
            "state",
            "redirect_uri",
            "client_id",
            "response_type",
            "nonce",
            "scope",
        ] {
            assert!(!is_extra(ours));
        }
    }
}
