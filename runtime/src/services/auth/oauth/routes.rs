//! `/authorize`, `/callback`, the grants of codes and ID tokens, and a user's identities.

use http::{HeaderMap, Response, StatusCode};
use pumice_host_api::auth::FlowState;
use uuid::Uuid;

use super::away::{Away, Begin, Leave, Lost, Return};
use super::flows::{Ending, Exchange, Exchanged, Finish, Finished};
use super::id_token::{self, IdTokenError};
use super::identities::{Asker, Unlink};
use super::presets::AZURE;
use super::profile::{Profile, short};
use super::provider::{Leaving, Provider, ProviderError, Returned};
use super::wire::{
    Paired, Params, apples_name, borrowed, cookie, pkce, random, set_cookie, to, told, url_answer,
};
use super::{Core, SignedIn, Visit, redirect};
use crate::body::Body;
use crate::digest::Digest;
use crate::limits;
use crate::services::auth::fault::Fault;

/// `grant_type=id_token`.
pub struct IdToken {
    pub provider: String,
    pub id_token: String,
    pub access_token: Option<String>,
    pub nonce: Option<String>,
}

/// Why a sign-in at a provider came to nothing: told in the log here, and to nobody else.
fn fault(name: &str, error: &ProviderError) -> Fault {
    tracing::warn!(provider = name, "a sign-in at a provider failed: {error}");
    Fault {
        message: "Unable to sign in with the external provider".to_owned(),
        cause: None,
        ..Fault::unexpected(error)
    }
}

impl<C: Core> Visit<'_, C> {
    /// `GET /authorize`: sends the browser to a provider.
    ///
    /// # Errors
    /// 400 for a provider that the app does not have, and for a challenge that is none.
    pub async fn authorize(&self, params: &Params) -> Result<Response<Body>, Fault> {
        match params.one("ticket") {
            Some(ticket) => self.leave(ticket).await,
            None => self.begin(params, None).await,
        }
    }

    /// `GET /user/identities/authorize`: as [`authorize`](Self::authorize), to add an identity to a user who
    /// is signed in.
    ///
    /// # Errors
    /// As there; 404 unless the app allows it, and those of [`Asker::lock`].
    pub async fn link(&self, asker: Asker, params: &Params) -> Result<Response<Body>, Fault> {
        self.may_link()?;
        self.begin(params, Some(asker)).await
    }

    /// `DELETE /user/identities/{id}`.
    ///
    /// # Errors
    /// 404 unless the app allows it; 422 for the last identity, and for one that is not the user's; those
    /// of [`Asker::lock`].
    pub async fn unlink(&self, asker: Asker, identity: Uuid) -> Result<(), Fault> {
        self.may_link()?;
        let unlink = Unlink {
            asker,
            identity_id: identity,
            now: self.now,
        };
        self.users.run(unlink).await?
    }

    fn may_link(&self) -> Result<(), Fault> {
        match self.settings.manual_linking {
            true => Ok(()),
            false => Err(Fault::linking_disabled()),
        }
    }

    fn is_secure(&self) -> bool {
        self.app_url.starts_with("https://")
    }

    async fn begin(
        &self,
        params: &Params,
        linking: Option<Asker>,
    ) -> Result<Response<Body>, Fault> {
        let name = params.one("provider").unwrap_or_default();
        let provider = self.provider(name)?;
        let pkce = pkce(params)?;
        let id = Uuid::new_v4();
        let state = Paired::new(id);
        let redirect_uri = format!("{}/auth/v1/callback", self.app_url);
        let (verifier, nonce) = (random(), random());
        let extras = params.extras();
        let text = state.text();
        let leaving = Leaving {
            state: &text,
            redirect_uri: &redirect_uri,
            scopes: params.one("scopes").unwrap_or_default(),
            extras: &extras,
            verifier: &verifier,
            nonce: &nonce,
        };
        let (fetcher, issuers) = (&self.oauth.fetcher, &self.oauth.issuers);
        let url = provider
            .authorize(fetcher, issuers, &leaving, self.seconds())
            .await;
        let url = url.map_err(|error| fault(name, &error))?.to_string();

        // A client that asks for the URL is not the browser that will follow it. Where there is TLS that
        // browser comes by here first, and gets its cookie.
        let by_itself = params.says("skip_http_redirect");
        let ticket = Paired::new(id);
        let cookie = random();
        let here = self.is_secure() && !by_itself;
        let away = Away {
            secret: state.secret,
            verifier,
            nonce,
            redirect_uri,
            browser: here.then(|| Digest::of(cookie.as_bytes()).to_string()),
            ticket: (self.is_secure() && by_itself).then(|| (ticket.secret.clone(), url.clone())),
            linking,
        };
        let (challenge, method) = pkce.unzip();
        let flow = FlowState {
            id,
            user_id: None,
            linking_user_id: linking.map(|asker| asker.user_id),
            auth_code_hash: None,
            code_challenge: challenge,
            code_challenge_method: method,
            provider: name.to_owned(),
            method: "oauth".to_owned(),
            sealed: Some(self.oauth.seal().close(id, &away)?),
            redirect_to: Some(redirect::target(
                self.settings,
                self.app_url,
                params.one("redirect_to"),
            )),
            created_at: self.now,
            code_issued_at: None,
        };
        let begin = Begin {
            flow,
            linking,
            now: self.now,
        };
        self.users.run(begin).await??;
        if away.ticket.is_some() {
            let ticket = ticket.text();
            return Ok(url_answer(&format!(
                "{}/auth/v1/authorize?ticket={ticket}",
                self.app_url
            )));
        }
        if by_itself {
            return Ok(url_answer(&url));
        }
        let cookie = here.then(|| set_cookie(id, &cookie, limits::FLOW_LIFE.as_secs()));
        Ok(to(StatusCode::FOUND, &url, cookie))
    }

    async fn leave(&self, ticket: &str) -> Result<Response<Body>, Fault> {
        let ticket = Paired::read(ticket).ok_or_else(Fault::flow_not_found)?;
        let cookie = random();
        let leave = Leave {
            id: ticket.id,
            ticket: ticket.secret,
            browser: Some(Digest::of(cookie.as_bytes()).to_string()),
            seal: self.oauth.seal(),
            now: self.now,
        };
        let url = self.users.run(leave).await??;
        let cookie = set_cookie(ticket.id, &cookie, limits::FLOW_LIFE.as_secs());
        Ok(to(StatusCode::FOUND, &url, Some(cookie)))
    }

    /// `POST /callback`: what a provider had the browser post comes again as a GET, because a browser sends
    /// no cookie along with a form of another site.
    pub fn callback_form(&self, body: &[u8]) -> Response<Body> {
        const KEPT: [&str; 6] = ["code", "state", "user", "iss", "error", "error_description"];
        let params = Params::read(body);
        let pairs: Vec<(&str, &str)> = KEPT
            .iter()
            .filter_map(|name| Some((*name, params.one(name)?)))
            .filter(|(_, value)| value.len() <= limits::REDIRECT_BYTES_MAX)
            .collect();
        let callback = format!("{}/auth/v1/callback", self.app_url);
        let location = redirect::with_query(&callback, &pairs);
        to(StatusCode::SEE_OTHER, &location, None)
    }

    /// `GET /callback`: the browser is back. Every answer is a redirect to where the app allows.
    pub async fn callback(&self, headers: &HeaderMap, params: &Params) -> Response<Body> {
        let state = params.one("state").and_then(Paired::read);
        let Some(state) = state else {
            return self.fail(None, &Fault::bad_oauth_state(), None);
        };
        let back = Return {
            id: state.id,
            secret: state.secret.clone(),
            cookie: cookie(state.id, headers),
            seal: self.oauth.seal(),
            now: self.now,
        };
        let (flow, away) = match self.users.run(back).await {
            Ok(Ok(found)) => found,
            Ok(Err(Lost { fault, flow })) => return self.fail(flow.as_deref(), &fault, None),
            Err(error) => return self.fail(None, &error.into(), None),
        };
        // The flow is over for this browser, whatever comes of it.
        let gone = away.browser.is_some().then(|| set_cookie(flow.id, "", 0));
        match self.returned(&flow, &away, &state, params).await {
            Ok(location) => to(StatusCode::FOUND, &location, gone),
            Err(fault) => self.fail(Some(&flow), &fault, gone),
        }
    }

    /// Where the browser goes on to.
    async fn returned(
        &self,
        flow: &FlowState,
        away: &Away,
        state: &Paired,
        params: &Params,
    ) -> Result<String, Fault> {
        if let Some(error) = params.one("error") {
            let description = params.one("error_description").unwrap_or(error);
            return Err(Fault {
                message: short(description),
                ..match error {
                    "access_denied" | "user_cancelled_authorize" => refused(),
                    _ => Fault::bad_oauth_callback(),
                }
            });
        }
        let provider = self.provider(&flow.provider)?;
        let code = params.one("code").ok_or_else(Fault::bad_oauth_callback)?;
        if !is_its_issuer(&provider, params.one("iss")) {
            return Err(Fault::bad_oauth_callback());
        }
        let text = state.text();
        let returned = Returned {
            code,
            redirect_uri: &away.redirect_uri,
            verifier: &away.verifier,
            nonce: &away.nonce,
            state: &text,
            device_id: params.one("device_id"),
            now: self.seconds(),
        };
        let who = provider.who(&self.oauth.fetcher, &self.oauth.issuers, &returned);
        let (mut profile, tokens) = who.await.map_err(|error| fault(&flow.provider, &error))?;
        if provider.preset.form_post
            && let Some(name) = params.one("user").and_then(apples_name)
        {
            profile.name_if_none(&name);
        }
        let signed = SignedIn {
            method: flow.method.clone(),
            provider: flow.provider.clone(),
            created: false,
            provider_token: Some(tokens.access),
            provider_refresh_token: tokens.refresh,
        };
        // Without whoever asked, it would be a sign-in, and of somebody else.
        if flow.linking_user_id != away.linking.map(|asker| asker.user_id) {
            return Err(Fault::bad_oauth_state());
        }
        let target = flow.redirect_to.as_deref().unwrap_or(self.app_url);
        let code = flow
            .code_challenge
            .is_some()
            .then(|| Uuid::new_v4().to_string());
        let ending = || match &code {
            None => Ending::Session {
                flow: Some(flow.id),
            },
            Some(code) => Ending::Code {
                flow: Box::new(FlowState {
                    auth_code_hash: Some(Digest::of(code.as_bytes()).to_string()),
                    ..flow.clone()
                }),
                seal: self.oauth.seal(),
            },
        };
        let finished = self
            .finish(&profile, away.linking, &signed, target, ending)
            .await?;
        match finished {
            Some(done) => {
                let mut pairs = self.core.fragment(done.opened, &done.user).await?;
                let signed = done.signed;
                pairs.extend(signed.provider_token.map(|token| ("provider_token", token)));
                pairs.extend(
                    signed
                        .provider_refresh_token
                        .map(|token| ("provider_refresh_token", token)),
                );
                if !pairs.iter().any(|(name, _)| *name == "sb") {
                    pairs.push(("sb", String::new()));
                }
                Ok(redirect::with_fragment(target, &borrowed(&pairs)))
            }
            None => {
                let code = code.as_deref().unwrap_or_default();
                Ok(redirect::with_query(target, &[("code", code)]))
            }
        }
    }

    /// Finds out whose account it is, asks the hook before there is a new one, and ends the sign-in. None
    /// when it ended with a code.
    async fn finish(
        &self,
        profile: &Profile,
        linking: Option<Asker>,
        signed: &SignedIn,
        redirect_to: &str,
        ending: impl Fn() -> Ending,
    ) -> Result<Option<Exchanged<C::Opened>>, Fault> {
        let mut admitted = None;
        loop {
            let asked = admitted.is_some();
            let finish = Finish {
                core: self.core.clone(),
                provider: signed.provider.clone(),
                profile: profile.clone(),
                signup: self.settings.signup,
                autoconfirm: self.settings.autoconfirm,
                linking,
                admitted: admitted.take(),
                ending: ending(),
                signed: signed.clone(),
                now: self.now,
            };
            match self.users.run(finish).await?? {
                Finished::Ask(mut user) if !asked => {
                    self.core.before_created(&mut user).await?;
                    admitted = Some(user);
                }
                Finished::Ask(_) => return Err(Fault::unexpected("a hook was asked twice")),
                Finished::Coded { ended } => {
                    self.core.ended(ended);
                    return Ok(None);
                }
                Finished::ToConfirm(user) => {
                    // One that was sent a moment ago does as well.
                    match self.core.mail_confirmation(&user, redirect_to).await {
                        Err(fault) if fault.status != StatusCode::TOO_MANY_REQUESTS => {
                            return Err(fault);
                        }
                        _ => return Err(Fault::email_needs_verification()),
                    }
                }
                Finished::Opened {
                    opened,
                    user,
                    signed,
                    ended,
                } => {
                    self.core.ended(ended);
                    return Ok(Some(Exchanged {
                        opened,
                        user,
                        signed,
                    }));
                }
            }
        }
    }

    /// A redirect that tells what went wrong: in the query for whoever expects a code there, in the fragment
    /// for whoever expects tokens, in both when nobody knows.
    fn fail(
        &self,
        flow: Option<&FlowState>,
        fault: &Fault,
        gone: Option<String>,
    ) -> Response<Body> {
        if let Some(cause) = fault
            .cause
            .as_deref()
            .filter(|_| fault.status.is_server_error())
        {
            tracing::warn!("a sign-in failed: {cause}");
        }
        let told = told(fault);
        let pairs = borrowed(&told);
        let target = flow.and_then(|flow| flow.redirect_to.clone());
        let target = target.unwrap_or_else(|| redirect::target(self.settings, self.app_url, None));
        let location = match flow.map(|flow| flow.code_challenge.is_some()) {
            Some(true) => redirect::with_query(&target, &pairs),
            Some(false) => redirect::with_fragment(&target, &pairs),
            None => redirect::with_fragment(&redirect::with_query(&target, &pairs), &pairs),
        };
        to(StatusCode::FOUND, &location, gone)
    }

    /// `grant_type=pkce`: a session for a code, of a sign-in at a provider or of a mailed link.
    ///
    /// # Errors
    /// 404 for a code that is not known or used, 422 when it is too old, 400 for another verifier than the
    /// challenge's and for a banned user, 403 for one who is gone; for an identity that is added, those of
    /// [`Asker::lock`].
    pub async fn exchange(
        &self,
        code: &str,
        verifier: &str,
    ) -> Result<Exchanged<C::Opened>, Fault> {
        if code.is_empty() || verifier.is_empty() {
            let message = "invalid request: both auth code and code verifier should be non-empty";
            return Err(Fault::invalid(message));
        }
        let exchange = Exchange {
            core: self.core.clone(),
            code: code.to_owned(),
            verifier: verifier.to_owned(),
            seal: self.oauth.seal(),
            now: self.now,
        };
        self.users.run(exchange).await?
    }

    /// `grant_type=id_token`: a session for a token that a client has got from a provider by itself. With
    /// `linking`, the identity is added to that user, who is signed in.
    ///
    /// # Errors
    /// 400 for a provider that the app does not have, and for a token that is not for this app; with
    /// `linking`, those of [`Asker::lock`].
    pub async fn sign_in_with_id_token(
        &self,
        grant: &IdToken,
        linking: Option<Asker>,
    ) -> Result<Exchanged<C::Opened>, Fault> {
        let name = &grant.provider;
        if grant.id_token.is_empty() || name.is_empty() {
            return Err(Fault::invalid("id_token required"));
        }
        if linking.is_some() {
            self.may_link()?;
        }
        let disabled = || {
            let issuer = id_token::issuer(&grant.id_token).unwrap_or_default();
            Fault::provider_disabled(&short(&issuer))
        };
        let provider = self.provider(name).map_err(|fault| match fault.cause {
            Some(_) => fault,
            None => disabled(),
        })?;
        if provider.issuer().is_none() {
            return Err(disabled());
        }
        let who = provider.who_is(
            &self.oauth.fetcher,
            &self.oauth.issuers,
            &grant.id_token,
            grant.access_token.as_deref(),
            grant.nonce.as_deref(),
            self.seconds(),
        );
        let profile = who.await.map_err(|error| match error {
            ProviderError::IdToken(IdTokenError::Issuer) => disabled(),
            ProviderError::IdToken(IdTokenError::NonceMissing) => Fault::nonce_missing(),
            ProviderError::IdToken(IdTokenError::Nonce) => Fault::nonce_mismatch(),
            ProviderError::IdToken(_) | ProviderError::Missing(_) => Fault::bad_id_token(),
            error => fault(name, &error),
        })?;
        let signed = SignedIn {
            method: "oauth".to_owned(),
            provider: name.clone(),
            created: false,
            provider_token: None,
            provider_refresh_token: None,
        };
        let target = redirect::target(self.settings, self.app_url, None);
        let ending = || Ending::Session { flow: None };
        let finished = self
            .finish(&profile, linking, &signed, &target, ending)
            .await?;
        finished.ok_or_else(|| Fault::unexpected("an ID token ended with a code"))
    }
}

/// The user said no.
fn refused() -> Fault {
    Fault::new(StatusCode::FORBIDDEN, "bad_oauth_callback", "")
}

/// Whether the answer is the provider's that was asked (RFC 9207); many do not say.
fn is_its_issuer(provider: &Provider, said: Option<&str>) -> bool {
    match (provider.issuer(), said) {
        (Some(issuer), Some(said)) if issuer != AZURE => {
            issuer.trim_end_matches('/') == said.trim_end_matches('/')
        }
        _ => true,
    }
}
