//! Keys of the app's author, from its secrets: one that signs in place of the app's own, and ones whose tokens
//! are taken besides. For an app that comes from elsewhere with its users' tokens.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::signing::{ForeignSigner, KeyFault, Verifier, read_accepted};
use crate::functions::manifest::auth::KeySettings;
use crate::limits;

/// What `signing_key` and `accepted_keys` of `[auth]` come to.
#[derive(Default)]
pub struct Foreign {
    pub(super) signer: Option<ForeignSigner>,
    /// By `kid` where they have one.
    pub(super) accepted: Vec<(Option<String>, Arc<Verifier>)>,
}

/// Why they come to nothing. The text names secrets, never their values.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForeignFault {
    #[error("[auth] names the secret `{0}`, which is not set; `pumice secrets set {0}` sets it")]
    Unset(String),
    #[error("the secret `{0}`, which [auth] names, {1}")]
    Fault(String, KeyFault),
    #[error("accepted_keys names {0} secrets; {max} are the most", max = limits::ACCEPTED_KEYS_MAX)]
    TooMany(usize),
}

impl Foreign {
    pub fn is_empty(&self) -> bool {
        self.signer.is_none() && self.accepted.is_empty()
    }

    /// Reads the keys that `settings` name from the app's secrets.
    ///
    /// # Errors
    /// [`ForeignFault`].
    pub fn read(
        settings: &KeySettings,
        secrets: &BTreeMap<String, String>,
    ) -> Result<Foreign, ForeignFault> {
        let count = settings.accepted.len();
        if count > limits::ACCEPTED_KEYS_MAX {
            return Err(ForeignFault::TooMany(count));
        }
        let value = |name: &str| {
            let value = secrets.get(name);
            value.ok_or_else(|| ForeignFault::Unset(name.to_owned()))
        };
        let fault = |name: &str| {
            let name = name.to_owned();
            move |fault| ForeignFault::Fault(name, fault)
        };
        let mut foreign = Foreign::default();
        if let Some(name) = &settings.signing {
            let signer = ForeignSigner::read(value(name)?).map_err(fault(name))?;
            foreign.signer = Some(signer);
        }
        for name in &settings.accepted {
            let (kid, verifier) = read_accepted(value(name)?).map_err(fault(name))?;
            foreign.accepted.push((kid, Arc::new(verifier)));
        }
        Ok(foreign)
    }
}
