//! What providers of OpenID Connect publish: their metadata and keys, fetched when first needed and kept.
//!
//! Source: OpenID Connect Discovery 1.0 §4, RFC 7517.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Map, Value};
use url::Url;

use super::id_token::{Expect, IdTokenError, Keys};
use super::presets::{is_loopback, is_safe};
use super::provider::{Fetcher, ProviderError};
use crate::limits;

/// Where a provider's parts are.
#[derive(Debug)]
pub struct Metadata {
    /// As its tokens name it; `{tenantid}` in it is the token's tenant.
    pub issuer: String,
    pub authorize: Url,
    pub token: Url,
    pub userinfo: Option<Url>,
    jwks: Url,
    /// Whether the client's secret goes into the `authorization` header.
    pub basic: bool,
    /// Whether it may take a code challenge.
    pub pkce: bool,
}

/// Issuers of one app, by their addresses.
#[derive(Default)]
pub struct Issuers(Mutex<BTreeMap<String, Arc<Issuer>>>);

#[derive(Default)]
struct Issuer(tokio::sync::Mutex<State>);

/// Times in seconds since 1970.
#[derive(Default)]
struct State {
    metadata: Option<(i64, Arc<Metadata>)>,
    keys: Option<(i64, Arc<Keys>)>,
    failed: Option<i64>,
}

impl Issuers {
    fn issuer(&self, address: &str) -> Arc<Issuer> {
        let mut issuers = self.0.lock();
        if let Some(issuer) = issuers.get(address) {
            return issuer.clone();
        }
        if issuers.len() >= limits::ISSUERS_CACHED_MAX {
            // Those of earlier revisions; whoever is still needed is asked anew.
            issuers.clear();
        }
        issuers.entry(address.to_owned()).or_default().clone()
    }

    /// The metadata of the issuer at `address`.
    ///
    /// # Errors
    /// When the provider does not answer as it should, or did not just now.
    pub async fn metadata(
        &self,
        fetcher: &Fetcher,
        address: &str,
        now: i64,
    ) -> Result<Arc<Metadata>, ProviderError> {
        let issuer = self.issuer(address);
        let mut state = issuer.0.lock().await;
        state.metadata(fetcher, address, now).await
    }

    /// Verifies a token of the issuer at `address`, and returns its claims.
    ///
    /// # Errors
    /// As [`metadata`](Self::metadata); [`ProviderError::IdToken`] for the token's own faults.
    pub async fn verify(
        &self,
        fetcher: &Fetcher,
        address: &str,
        token: &str,
        expect: &Expect<'_>,
    ) -> Result<Map<String, Value>, ProviderError> {
        let issuer = self.issuer(address);
        let keys = {
            let mut state = issuer.0.lock().await;
            state
                .keys(fetcher, address, expect.now, limits::ISSUER_LIFE.as_secs())
                .await?
        };
        match keys.verify(token, expect) {
            Err(IdTokenError::UnknownKey) => {
                let mut state = issuer.0.lock().await;
                let again = limits::ISSUER_KEYS_AGAIN.as_secs();
                let newer = state.keys(fetcher, address, expect.now, again).await?;
                Ok(newer.verify(token, expect)?)
            }
            verified => Ok(verified?),
        }
    }
}

impl State {
    async fn metadata(
        &mut self,
        fetcher: &Fetcher,
        address: &str,
        now: i64,
    ) -> Result<Arc<Metadata>, ProviderError> {
        if let Some((at, metadata)) = &self.metadata
            && now < at + limits::ISSUER_LIFE.as_secs() as i64
        {
            return Ok(metadata.clone());
        }
        self.may_ask(now)?;
        let read = async {
            let place = format!(
                "{}/.well-known/openid-configuration",
                address.trim_end_matches('/')
            );
            let place = Url::parse(&place).map_err(|_| ProviderError::Metadata("its address"))?;
            let document = fetcher.get(&place, None).await?;
            Metadata::read(address, &document)
        };
        let metadata = Arc::new(self.noted(read.await, now)?);
        self.metadata = Some((now, metadata.clone()));
        Ok(metadata)
    }

    /// The keys, not older than `age` in seconds.
    async fn keys(
        &mut self,
        fetcher: &Fetcher,
        address: &str,
        now: i64,
        age: u64,
    ) -> Result<Arc<Keys>, ProviderError> {
        if let Some((at, keys)) = &self.keys
            && now < at + age as i64
        {
            return Ok(keys.clone());
        }
        let metadata = self.metadata(fetcher, address, now).await?;
        self.may_ask(now)?;
        let jwks = fetcher.get(&metadata.jwks, None).await;
        let keys = Arc::new(Keys::read(&self.noted(jwks, now)?));
        self.keys = Some((now, keys.clone()));
        Ok(keys)
    }

    /// Whether the last failure is long enough ago: who waits for a provider that is down holds up others.
    fn may_ask(&self, now: i64) -> Result<(), ProviderError> {
        let again = limits::ISSUER_AGAIN.as_secs() as i64;
        match self.failed {
            Some(at) if now < at + again => Err(ProviderError::Down),
            _ => Ok(()),
        }
    }

    fn noted<T>(&mut self, read: Result<T, ProviderError>, now: i64) -> Result<T, ProviderError> {
        self.failed = read.is_err().then_some(now);
        read
    }
}

impl Metadata {
    /// Reads a discovery document that was found at `address`.
    fn read(address: &str, document: &Value) -> Result<Metadata, ProviderError> {
        let text = |name: &str| document.get(name).and_then(Value::as_str);
        let own = Url::parse(address).map_err(|_| ProviderError::Metadata("its address"))?;
        // Whoever stands in for a provider must not send us elsewhere without TLS.
        let local = own.scheme() == "http" && is_loopback(&own);
        let place = |name: &'static str| {
            let url = text(name).and_then(|url| Url::parse(url).ok());
            url.filter(|url| is_safe(url) && (local || url.scheme() == "https"))
                .ok_or(ProviderError::Metadata(name))
        };
        let issuer = text("issuer").unwrap_or_default();
        let of_tenants = own.host_str() == Some("login.microsoftonline.com")
            && issuer == "https://login.microsoftonline.com/{tenantid}/v2.0";
        if issuer.trim_end_matches('/') != address.trim_end_matches('/') && !of_tenants {
            return Err(ProviderError::Metadata("issuer"));
        }
        let lists = |name: &str, wanted: &str| {
            let list = document.get(name).and_then(Value::as_array);
            list.map(|list| list.iter().any(|one| one.as_str() == Some(wanted)))
        };
        const METHODS: &str = "token_endpoint_auth_methods_supported";
        Ok(Metadata {
            issuer: issuer.to_owned(),
            authorize: place("authorization_endpoint")?,
            token: place("token_endpoint")?,
            userinfo: match text("userinfo_endpoint") {
                Some(_) => Some(place("userinfo_endpoint")?),
                None => None,
            },
            jwks: place("jwks_uri")?,
            basic: lists(METHODS, "client_secret_basic").unwrap_or(true)
                && !lists(METHODS, "client_secret_post").unwrap_or(false),
            pkce: lists("code_challenge_methods_supported", "S256").unwrap_or(true),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(base: &str) -> Value {
        json!({
            "issuer": base,
            "authorization_endpoint": format!("{base}/authorize"),
            "token_endpoint": format!("{base}/token"),
            "userinfo_endpoint": format!("{base}/userinfo"),
            "jwks_uri": format!("{base}/jwks"),
        })
    }

    #[test]
    fn metadata_is_the_issuers_own_and_under_tls() {
        let base = "https://id.example/realm";
        let read = |address: &str, document: &Value| Metadata::read(address, document).is_ok();
        assert!(read(base, &document(base)));
        assert!(read("https://id.example/realm/", &document(base)));
        assert!(!read("https://id.example", &document(base)));
        assert!(!read("https://evil.example", &document(base)));
        for name in [
            "authorization_endpoint",
            "token_endpoint",
            "jwks_uri",
            "userinfo_endpoint",
        ] {
            for url in [
                "http://id.example/x",
                "http://127.0.0.1/x",
                "javascript:alert(1)",
                "https://u@id.example/x",
                "",
            ] {
                let mut changed = document(base);
                changed[name] = json!(url);
                assert!(!read(base, &changed), "{name} {url}");
            }
        }
        assert!(!read(base, &json!({})));
        assert!(!read(base, &json!("https://id.example/realm")));
        let local = "http://127.0.0.1:8000";
        assert!(read(local, &document(local)));
        let mut outside = document(local);
        outside["token_endpoint"] = json!("http://id.example/token");
        assert!(!read(local, &outside));
    }

    #[test]
    fn tenants_of_microsoft_share_their_metadata() {
        let base = "https://login.microsoftonline.com/common/v2.0";
        let mut shared = document(base);
        shared["issuer"] = json!("https://login.microsoftonline.com/{tenantid}/v2.0");
        let read = |address: &str| Metadata::read(address, &shared).is_ok();
        assert!(read(base));
        assert!(!read("https://id.example"));
    }

    #[test]
    fn how_a_client_shows_itself() {
        let base = "https://id.example";
        let with = |methods: Value| {
            let mut document = document(base);
            document["token_endpoint_auth_methods_supported"] = methods;
            Metadata::read(base, &document).unwrap().basic
        };
        assert!(with(Value::Null));
        assert!(with(json!(["client_secret_basic"])));
        assert!(!with(json!(["client_secret_post"])));
        assert!(!with(json!(["client_secret_basic", "client_secret_post"])));
    }
}
