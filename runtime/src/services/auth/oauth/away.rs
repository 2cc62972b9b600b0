//! A browser's way to a provider and back: what is kept meanwhile, and that each step happens once.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use pumice_host_api::AppId;
use pumice_host_api::auth::{Engine, Flow, FlowState, Tx};
use pumice_host_api::data::DataError;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::super::fault::Fault;
use super::identities::Asker;
use super::profile::Kept;
use crate::digest::Digest;
use crate::keyring::Keyring;
use crate::limits;

/// What a flow keeps while the browser is at the provider.
#[derive(Clone, Serialize, Deserialize)]
pub struct Away {
    /// The second half of `state`.
    pub secret: String,
    pub verifier: String,
    pub nonce: String,
    /// Where the provider sends the browser back to: it has to be named again.
    pub redirect_uri: String,
    /// SHA-256 of the cookie of the browser that left; none where there is no TLS.
    pub browser: Option<String>,
    /// What a browser shows once to leave for `url`, when it was not the one that asked.
    pub ticket: Option<(String, String)>,
    /// Who asked, signed in, that the identity be added.
    pub linking: Option<Asker>,
}

/// What a flow keeps until the client exchanges its code.
#[derive(Default, Serialize, Deserialize)]
pub struct Back {
    pub provider_token: Option<String>,
    pub provider_refresh_token: Option<String>,
    /// The identity that is added to the user only when whoever asked for it shows the verifier.
    pub adds: Option<Adds>,
}

/// An identity, and who asked that it be added.
#[derive(Serialize, Deserialize)]
pub struct Adds {
    pub asker: Asker,
    pub profile: Kept,
}

/// Seals what flows keep, so that it opens in its own flow alone.
#[derive(Clone)]
pub struct Seal {
    pub keyring: Arc<Keyring>,
    pub app: AppId,
}

impl Seal {
    fn place(&self, flow: Uuid) -> String {
        format!("oauth/{}/{flow}", self.app)
    }

    pub fn close(&self, flow: Uuid, value: &impl Serialize) -> Result<String, Fault> {
        let bytes = serde_json::to_vec(value).map_err(Fault::unexpected)?;
        let sealed = self.keyring.seal(&self.place(flow), &bytes);
        Ok(STANDARD.encode(sealed.map_err(Fault::unexpected)?))
    }

    /// None for what was sealed elsewhere, or is something else.
    pub fn open<T: for<'de> Deserialize<'de>>(&self, flow: Uuid, sealed: &str) -> Option<T> {
        let sealed = STANDARD.decode(sealed).ok()?;
        let bytes = self.keyring.open_sealed(&self.place(flow), &sealed).ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}

/// Begins a flow, if whoever asks for an identity may have one added.
pub struct Begin {
    pub flow: FlowState,
    pub linking: Option<Asker>,
    pub now: DateTime<Utc>,
}

impl Flow for Begin {
    type Answer = Result<(), Fault>;

    async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<Self::Answer, DataError> {
        if let Some(asker) = &self.linking
            && let Err(fault) = asker.lock(tx, self.now).await?
        {
            return Ok(Err(fault));
        }
        tx.insert_flow(&self.flow).await?;
        Ok(Ok(()))
    }
}

/// Whether what began at `since` may last no longer.
pub fn is_over(since: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    let life = TimeDelta::from_std(limits::FLOW_LIFE).unwrap_or_default();
    now > since + life
}

/// Whether two secrets are one, in a time that says nothing of them.
pub fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

/// A browser shows a ticket, and leaves for the provider: once.
pub struct Leave {
    pub id: Uuid,
    pub ticket: String,
    /// SHA-256 of the cookie it gets.
    pub browser: Option<String>,
    pub seal: Seal,
    pub now: DateTime<Utc>,
}

impl Flow for Leave {
    /// The provider's URL.
    type Answer = Result<String, Fault>;

    async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<Self::Answer, DataError> {
        let Some(mut flow) = tx.flow(self.id).await? else {
            return Ok(Err(Fault::flow_not_found()));
        };
        let away = flow.sealed.as_deref();
        let away = away.and_then(|sealed| self.seal.open::<Away>(flow.id, sealed));
        let Some(mut away) = away.filter(|_| flow.auth_code_hash.is_none()) else {
            return Ok(Err(Fault::flow_used()));
        };
        let Some((ticket, url)) = away.ticket.take() else {
            return Ok(Err(Fault::flow_used()));
        };
        if !same(&ticket, &self.ticket) {
            return Ok(Err(Fault::flow_not_found()));
        }
        if is_over(flow.created_at, self.now) {
            return Ok(Err(Fault::flow_expired()));
        }
        away.browser.clone_from(&self.browser);
        match self.seal.close(flow.id, &away) {
            Ok(sealed) => flow.sealed = Some(sealed),
            Err(fault) => return Ok(Err(fault)),
        }
        tx.save_flow(&flow).await?;
        Ok(Ok(url))
    }
}

/// A browser is back with a state: once.
pub struct Return {
    pub id: Uuid,
    pub secret: String,
    pub cookie: Option<String>,
    pub seal: Seal,
    pub now: DateTime<Utc>,
}

/// Why a state leads nowhere, and the flow if it is known whose it is.
pub struct Lost {
    pub fault: Fault,
    pub flow: Option<Box<FlowState>>,
}

impl Flow for Return {
    type Answer = Result<(Box<FlowState>, Away), Lost>;

    async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<Self::Answer, DataError> {
        let lost = |fault| Ok(Err(Lost { fault, flow: None }));
        let Some(mut flow) = tx.flow(self.id).await? else {
            return lost(Fault::bad_oauth_state());
        };
        let away = flow
            .sealed
            .as_deref()
            .filter(|_| flow.auth_code_hash.is_none());
        let Some(away) = away.and_then(|sealed| self.seal.open::<Away>(flow.id, sealed)) else {
            return lost(Fault::flow_used());
        };
        let its_browser = match (&away.browser, &self.cookie) {
            (None, _) => away.ticket.is_none(),
            (Some(hash), Some(cookie)) => same(hash, &Digest::of(cookie.as_bytes()).to_string()),
            (Some(_), None) => false,
        };
        // Whoever has the state alone, such as a victim's browser that was sent here, uses nothing up.
        if !same(&away.secret, &self.secret) || !its_browser {
            return lost(Fault::bad_oauth_state());
        }
        flow.sealed = None;
        tx.save_flow(&flow).await?;
        if is_over(flow.created_at, self.now) {
            return Ok(Err(Lost {
                fault: Fault::flow_expired(),
                flow: Some(Box::new(flow)),
            }));
        }
        Ok(Ok((Box::new(flow), away)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_ends_after_its_life() {
        let begun = DateTime::UNIX_EPOCH;
        let life = TimeDelta::from_std(limits::FLOW_LIFE).unwrap();
        assert!(!is_over(begun, begun + life));
        assert!(is_over(begun, begun + life + TimeDelta::milliseconds(1)));
    }

    #[test]
    fn what_a_flow_keeps_opens_in_it_alone() {
        let folder = tempfile::tempdir().unwrap();
        let seal = |app: u128| Seal {
            keyring: Arc::new(Keyring::open(folder.path()).unwrap()),
            app: AppId(Uuid::from_u128(app)),
        };
        let back = Back {
            provider_token: Some("canary".to_owned()),
            ..Back::default()
        };
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let sealed = seal(1).close(one, &back).unwrap();
        assert!(!sealed.contains("canary"));
        let opened = |app, flow| seal(app).open::<Back>(flow, &sealed).is_some();
        assert!(opened(1, one));
        assert!(!opened(1, two) && !opened(2, one));
        // What was kept while away is not what is kept when back.
        assert!(seal(1).open::<Away>(one, &sealed).is_none());
    }
}
