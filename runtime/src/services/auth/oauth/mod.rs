//! Sign-in at other providers: OAuth 2.0 and OpenID Connect.
//!
//! The browser leaves for the provider with a state that only its own flow knows, and comes back with a
//! code; the provider says, to us alone, who that is; [`linking`] decides whose account it is; and the
//! browser goes on to where the app allows, with a session or with a code for one.
//!
//! Source: RFC 6749, RFC 7636, RFC 9700, OpenID Connect Core 1.0.

mod away;
mod flows;
mod id_token;
mod identities;
mod issuer;
pub mod linking;
pub mod presets;
mod profile;
mod provider;
pub mod redirect;
mod routes;
pub mod unproven;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use pumice_host_api::auth::{Engine, Tx, User, Users};
use pumice_host_api::data::DataError;
use pumice_host_api::{AppId, EgressClient};
use uuid::Uuid;

pub use self::flows::Exchanged;
pub use self::identities::Asker;
pub use self::routes::IdToken;
pub use self::wire::Params;

use self::away::Seal;
use self::issuer::Issuers;
use self::presets::preset;
use self::provider::{Fetcher, Provider};
use super::fault::Fault;
use crate::functions::manifest::auth::AuthSettings;
use crate::keyring::Keyring;

/// What an app keeps for sign-ins at providers: connections to them, and what they publish.
pub struct OAuth {
    app: AppId,
    fetcher: Fetcher,
    issuers: Issuers,
    keyring: Arc<Keyring>,
}

impl OAuth {
    /// `egress` is the app's own client: providers are reached as its guests reach others.
    pub fn new(app: AppId, egress: EgressClient, keyring: Arc<Keyring>) -> OAuth {
        OAuth {
            app,
            fetcher: Fetcher::new(egress),
            issuers: Issuers::default(),
            keyring,
        }
    }

    fn seal(&self) -> Seal {
        Seal {
            keyring: self.keyring.clone(),
            app: self.app,
        }
    }
}

/// What sign-ins at providers ask of the rest of `/auth/v1`.
pub trait Core: Clone + Send + Sync + 'static {
    /// An open session.
    type Opened: Send + 'static;

    /// Asks the app's hook whether this user may become one, and with what metadata.
    ///
    /// # Errors
    /// The hook's refusal.
    fn before_created(&self, user: &mut User) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Opens a session of `user` in the transaction that found out who it is.
    ///
    /// # Errors
    /// The engine's. A user who may not sign in, such as a banned one, is a [`Fault`] of the inner result.
    fn open<E: Engine>(
        &self,
        tx: &mut Tx<'_, E>,
        user: &mut User,
        how: &SignedIn,
    ) -> impl Future<Output = Result<Result<Self::Opened, Fault>, DataError>>;

    /// Refuses the access tokens of sessions that ended, once that is durable.
    fn ended(&self, sessions: Vec<Uuid>);

    /// The parameters of a redirect with this session in its fragment: `access_token` and so on.
    ///
    /// # Errors
    /// When the session cannot be told, such as by a hook's refusal.
    fn fragment(
        &self,
        opened: Self::Opened,
        user: &User,
    ) -> impl Future<Output = Result<Vec<(&'static str, String)>, Fault>> + Send;

    /// Mails `user` a link that confirms the address.
    ///
    /// # Errors
    /// 429 when one was sent a moment ago; what else keeps it from being sent.
    fn mail_confirmation(
        &self,
        user: &User,
        redirect_to: &str,
    ) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// How a user signed in.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// As in `amr`: `oauth`, or what an exchanged flow says.
    pub method: String,
    /// `google`, `custom:acme`; `email` for a flow of a mailed link.
    pub provider: String,
    /// Whether the user is new.
    pub created: bool,
    /// The provider's tokens, for the client alone; they are kept nowhere.
    pub provider_token: Option<String>,
    pub provider_refresh_token: Option<String>,
}

/// One request to an app's sign-ins.
pub struct Visit<'v, C> {
    pub oauth: &'v OAuth,
    pub users: &'v Users,
    pub settings: &'v AuthSettings,
    /// The app's secrets, by name.
    pub secrets: &'v BTreeMap<String, String>,
    /// The app's own address from outside, without a slash at its end: `https://shop.example`.
    pub app_url: &'v str,
    pub now: DateTime<Utc>,
    pub core: C,
}

impl<C: Core> Visit<'_, C> {
    /// The provider called so, if the app has it.
    fn provider(&self, name: &str) -> Result<Provider, Fault> {
        let settings = self.settings.providers.get(name);
        let (Some(settings), Some(preset)) = (settings, preset(name)) else {
            return Err(Fault::provider_not_enabled());
        };
        let secret = match &settings.secret {
            None => None,
            Some(name) => match self.secrets.get(name) {
                Some(secret) => Some(secret.clone()),
                None => {
                    let cause = format!("the app has no secret called {name}");
                    return Err(Fault::unexpected(cause));
                }
            },
        };
        Ok(Provider {
            preset,
            settings: settings.clone(),
            secret,
        })
    }

    fn seconds(&self) -> i64 {
        self.now.timestamp()
    }
}
