//! What sign-ins at other providers need of sessions, hooks and mails.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Method;
use pumice_host_api::auth::{Engine, Flow, Session, TokenKind, Tx, User};
use pumice_host_api::data::DataError;
use serde_json::Value;
use uuid::Uuid;

use super::account::{self, Address};
use super::answer::Answer;
use super::asked::Asked;
use super::codes::Code;
use super::delivery::{self, Message};
use super::session::{self, How};
use super::sign_up::{before_created, code_for};
use super::{Outcome, audit};
use crate::services::auth::fault::Fault;
use crate::services::auth::oauth::{
    Asker, Core, Exchanged, IdToken, OAuth, Params, SignedIn, Visit,
};
use crate::services::mail::Letter;
use crate::services::rates::auth as rates;

/// This request, as sign-ins at providers see it.
#[derive(Clone)]
struct Here(Arc<Asked>);

impl Core for Here {
    type Opened = Session;

    async fn before_created(&self, user: &mut User) -> Result<(), Fault> {
        let provider = user.identities.first();
        let provider = provider.map_or("oauth", |identity| &identity.provider);
        let provider = provider.to_owned();
        before_created(&self.0, user, &provider).await
    }

    fn ended(&self, sessions: Vec<Uuid>) {
        self.0.app.keys.revoked.add(sessions);
    }

    async fn open<E: Engine>(
        &self,
        tx: &mut Tx<'_, E>,
        user: &mut User,
        how: &SignedIn,
    ) -> Result<Result<Session, Fault>, DataError> {
        let asked = &self.0;
        if session::is_banned(user, asked.now) {
            return Ok(Err(Fault::user_banned()));
        }
        let action = if how.created {
            "user_signedup"
        } else {
            "login"
        };
        let traits = serde_json::json!({ "provider": how.provider });
        audit::record(tx, asked, action, user, traits).await?;
        let how = How {
            provider: Some(how.provider.clone()),
            ..How::of(asked, how.method.clone())
        };
        Ok(Ok(session::open_in(tx, user, &how).await?))
    }

    async fn fragment(
        &self,
        opened: Session,
        user: &User,
    ) -> Result<Vec<(&'static str, String)>, Fault> {
        let shown = session::shown(&self.0, user, &opened).await?;
        let text = |name: &str| match &shown[name] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        Ok(vec![
            ("access_token", text("access_token")),
            ("expires_at", text("expires_at")),
            ("expires_in", text("expires_in")),
            ("refresh_token", text("refresh_token")),
            ("sb", String::new()),
            ("token_type", "bearer".to_owned()),
        ])
    }

    async fn mail_confirmation(&self, user: &User, redirect_to: &str) -> Result<(), Fault> {
        let asked = &self.0;
        let Some(email) = user.email.clone() else {
            return Ok(());
        };
        asked.limit_mail(&email).await?;
        let address = Address::Email(email);
        let code = code_for(asked, &address, false);
        let confirm = Confirm {
            asked: asked.clone(),
            user: user.id,
            address: address.clone(),
            code: code.clone(),
        };
        let Some(user) = asked.run(confirm).await? else {
            return Ok(());
        };
        let message = Message {
            letter: Letter::Confirmation,
            link_type: "signup",
            user: &user,
            to: address.text(),
            code: &code,
            redirect_to,
            new_email: None,
        };
        delivery::mail(asked, message).await
    }
}

/// Keeps the code that confirms an address.
struct Confirm {
    asked: Arc<Asked>,
    user: Uuid,
    address: Address,
    code: Code,
}

impl Flow for Confirm {
    type Answer = Option<User>;

    async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<Self::Answer, DataError> {
        let Some(mut user) = tx.lock_user(self.user).await? else {
            return Ok(None);
        };
        let (kind, now) = (TokenKind::Confirmation, self.asked.now);
        user.confirmation_sent_at = Some(now);
        tx.save_user(&user).await?;
        account::keep_code(tx, &user, kind, self.address.text(), &self.code, None, now).await?;
        Ok(Some(user))
    }
}

/// What a visit borrows.
struct Parts {
    oauth: Arc<OAuth>,
    secrets: Arc<BTreeMap<String, String>>,
    app_url: String,
}

impl Parts {
    fn of(asked: &Asked) -> Parts {
        Parts {
            oauth: asked.app.oauth(&asked.api.keyring),
            secrets: asked.app.secrets.load_full(),
            app_url: asked.seen_url(),
        }
    }

    fn visit<'v>(&'v self, asked: &'v Arc<Asked>) -> Visit<'v, Here> {
        Visit {
            oauth: &self.oauth,
            users: &asked.app.users,
            settings: &asked.settings,
            secrets: &self.secrets,
            app_url: &self.app_url,
            now: asked.now,
            core: Here(asked.clone()),
        }
    }
}

/// Answers `/authorize`, `/callback` and `/user/identities/…`.
pub async fn route(asked: &Arc<Asked>, path: &[&str]) -> Outcome {
    let parts = Parts::of(asked);
    let visit = parts.visit(asked);
    let params = Params::read(asked.raw_query.as_bytes());
    match (&asked.method, path) {
        (&Method::GET, ["authorize"]) => {
            asked.limit(&rates::SIGN_IN).await?;
            Ok(Answer::whole(visit.authorize(&params).await?))
        }
        (&Method::GET, ["callback"]) => {
            asked.limit(&rates::SIGN_IN).await?;
            Ok(Answer::whole(visit.callback(&asked.headers, &params).await))
        }
        (&Method::POST, ["callback"]) => Ok(Answer::whole(visit.callback_form(&asked.raw_body))),
        (&Method::GET, ["user", "identities", "authorize"]) => {
            Ok(Answer::whole(visit.link(asker(asked)?, &params).await?))
        }
        (&Method::DELETE, ["user", "identities", id]) => {
            let asker = asker(asked)?;
            let id = id.parse().map_err(|_| Fault::no_identity())?;
            visit.unlink(asker, id).await?;
            Ok(Answer::done())
        }
        _ => Err(Fault::not_found()),
    }
}

/// Who asks for a change of their identities. Whether they may, the change itself finds out.
fn asker(asked: &Asked) -> Result<Asker, Fault> {
    let bearer = asked.bearer()?;
    Ok(Asker {
        user_id: bearer.user_id,
        session_id: bearer.session_id,
    })
}

/// `grant_type=pkce`.
pub async fn exchange(asked: &Arc<Asked>) -> Outcome {
    let code = asked.text("auth_code")?.unwrap_or_default();
    let verifier = asked.text("code_verifier")?.unwrap_or_default();
    let parts = Parts::of(asked);
    let exchanged = parts.visit(asked).exchange(code, verifier).await?;
    answer(asked, exchanged).await
}

/// `grant_type=id_token`.
pub async fn by_id_token(asked: &Arc<Asked>) -> Outcome {
    let text = |name: &str| Ok::<_, Fault>(asked.text(name)?.map(str::to_owned));
    let grant = IdToken {
        provider: text("provider")?.unwrap_or_default(),
        id_token: text("id_token")?.unwrap_or_default(),
        access_token: text("access_token")?,
        nonce: text("nonce")?,
    };
    let linking = match asked.flag("link_identity")? {
        Some(true) => Some(asker(asked)?),
        _ => None,
    };
    let parts = Parts::of(asked);
    let exchanged = parts
        .visit(asked)
        .sign_in_with_id_token(&grant, linking)
        .await?;
    answer(asked, exchanged).await
}

async fn answer(asked: &Asked, exchanged: Exchanged<Session>) -> Outcome {
    let Exchanged {
        opened,
        user,
        signed,
    } = exchanged;
    let mut shown = session::shown(asked, &user, &opened).await?;
    if let Some(token) = signed.provider_token {
        shown["provider_token"] = token.into();
    }
    if let Some(token) = signed.provider_refresh_token {
        shown["provider_refresh_token"] = token.into();
    }
    Ok(Answer::json(shown))
}
