//! Sessions: opened by a sign-in, kept up by refreshes, shown to the client as tokens.

use chrono::{DateTime, Utc};
use pumice_host_api::auth::{Engine, Flow, Session, Tx, User};
use pumice_host_api::data::DataError;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::answer::Answer;
use super::asked::Asked;
use super::refresh::{self, BadRefresh};
use super::{Outcome, audit, shown};
use crate::entries::hook::{ClaimsRequest, HookFault};
use crate::functions::manifest::auth::SessionRules;
use crate::limits;
use crate::services::auth::fault::Fault;

/// How somebody proved who they are, and from where.
#[derive(Clone, Debug)]
pub struct How {
    /// As in `amr`: `password`, `otp`, `magiclink`, `recovery`, `oauth`, `anonymous`, …
    pub method: String,
    pub provider: Option<String>,
    pub ip: String,
    pub user_agent: Option<String>,
    pub now: DateTime<Utc>,
    pub rules: SessionRules,
}

impl How {
    pub fn of(asked: &Asked, method: impl Into<String>) -> How {
        How {
            method: method.into(),
            provider: None,
            ip: asked.ip.to_string(),
            user_agent: asked.user_agent(),
            now: asked.now,
            rules: asked.settings.sessions.clone(),
        }
    }
}

/// Opens a session for `user`, whose row this transaction has locked or made, and writes that row.
pub async fn open_in<E: Engine>(
    tx: &mut Tx<'_, E>,
    user: &mut User,
    how: &How,
) -> Result<Session, DataError> {
    if how.rules.single {
        tx.delete_sessions(user.id, None).await?;
    } else {
        let others = tx.sessions(user.id).await?;
        for old in others.iter().skip(limits::SESSIONS_PER_USER_MAX - 1) {
            tx.delete_session(old.id).await?;
        }
    }
    let mut amr = json!({ "method": how.method, "timestamp": how.now.timestamp() });
    if let Some(provider) = &how.provider {
        amr["provider"] = provider.as_str().into();
    }
    let session = Session {
        id: Uuid::new_v4(),
        user_id: user.id,
        aal: "aal1".to_owned(),
        amr: json!([amr]),
        counter: 0,
        factor_id: None,
        created_at: how.now,
        refreshed_at: how.now,
        not_after: how.rules.life.map(|life| how.now + life),
        user_agent: how.user_agent.clone(),
        ip: Some(how.ip.clone()),
    };
    tx.insert_session(&session).await?;
    user.last_sign_in_at = Some(how.now);
    let provider = how.provider.as_deref().unwrap_or("email");
    for identity in user
        .identities
        .iter_mut()
        .filter(|identity| identity.provider == provider)
    {
        identity.last_sign_in_at = Some(how.now);
        tx.save_identity(identity).await?;
    }
    tx.save_user(user).await?;
    Ok(session)
}

/// What a client gets: both tokens, and the user.
pub async fn shown(asked: &Asked, user: &User, session: &Session) -> Result<Value, Fault> {
    let claims = claims(asked, user, session).await.map_err(Fault::from)?;
    tokens(asked, user, session, &claims)
}

fn tokens(
    asked: &Asked,
    user: &User,
    session: &Session,
    claims: &Map<String, Value>,
) -> Result<Value, Fault> {
    let token = asked.app.keys.sign(claims).map_err(Fault::unexpected)?;
    asked.api.tidied.look(&asked.app, asked.now);
    let life = asked.settings.sessions.token_life.as_secs();
    let refresh = refresh::write(
        asked.api.keyring.refresh_tokens(),
        asked.app.id,
        session.id,
        session.counter,
    );
    Ok(json!({
        "access_token": token,
        "token_type": "bearer",
        "expires_in": life,
        "expires_at": asked.now.timestamp() as u64 + life,
        "refresh_token": refresh,
        "user": shown::user(user),
    }))
}

/// As [`shown`], as an answer.
pub async fn answer(asked: &Asked, user: &User, session: &Session) -> Outcome {
    let shown = shown(asked, user, session).await?;
    Ok(Answer::json(shown)
        .header("sb-auth-user-id", &user.id.to_string())
        .header("sb-auth-session-id", &session.id.to_string()))
}

async fn claims(
    asked: &Asked,
    user: &User,
    session: &Session,
) -> Result<Map<String, Value>, HookFault> {
    let iat = asked.now.timestamp();
    let exp = iat + asked.settings.sessions.token_life.as_secs() as i64;
    let claims = json!({
        "iss": asked.base(),
        "sub": user.id,
        "aud": user.aud,
        "exp": exp,
        "iat": iat,
        "email": user.email.as_deref().unwrap_or_default(),
        "phone": user.phone.as_deref().unwrap_or_default(),
        "app_metadata": user.app_metadata,
        "user_metadata": user.user_metadata,
        "role": user.role,
        "aal": session.aal,
        "amr": session.amr,
        "session_id": session.id,
        "is_anonymous": user.is_anonymous,
    });
    let Value::Object(claims) = claims else {
        return Err(HookFault::Failed);
    };
    let method = session.amr.pointer("/0/method").and_then(Value::as_str);
    let request = ClaimsRequest {
        user_id: user.id,
        claims: claims.clone(),
        method: match session.counter {
            0 => method.unwrap_or_default().to_owned(),
            _ => "token_refresh".to_owned(),
        },
    };
    let changed = asked.api.hooks.custom_claims(&asked.app, request).await;
    Ok(changed?.unwrap_or(claims))
}

/// How far a second factor moves the number of a session's refresh token.
pub const RAISE: i64 = 1 << 20;

/// `POST /token?grant_type=refresh_token`.
///
/// The number of the token that is valid is the session's; its row is locked, so that of two refreshes one
/// comes second and gets the same token as the first.
struct Refresh {
    asked: std::sync::Arc<Asked>,
    session: Uuid,
    number: i64,
}

impl Flow for Refresh {
    type Answer = Result<(User, Session), Fault>;

    async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<Self::Answer, DataError> {
        let (now, rules) = (self.asked.now, &self.asked.settings.sessions);
        let Some(mut session) = tx.lock_session(self.session).await? else {
            return Ok(Err(Fault::refresh_not_found()));
        };
        let user = tx.user(session.user_id).await?;
        let Some(user) = user.filter(|user| user.deleted_at.is_none()) else {
            return Ok(Err(Fault::refresh_not_found()));
        };
        if is_banned(&user, now) {
            return Ok(Err(Fault::refresh_banned()));
        }
        if session.not_after.is_some_and(|end| end <= now) {
            return Ok(Err(Fault::session_expired()));
        }
        if rules
            .idle
            .is_some_and(|idle| session.refreshed_at + idle <= now)
        {
            return Ok(Err(Fault::session_idle()));
        }
        let behind = session.counter - self.number;
        match behind {
            // A number that was not given yet is under our MAC: the database is an older copy of itself.
            ..=0 => {
                session.counter = self.number.saturating_add(1);
                session.refreshed_at = now;
                tx.save_session(&session).await?;
                audit::record(tx, &self.asked, "token_refreshed", &user, Value::Null).await?;
            }
            // The client may never have got the answer.
            1 => {}
            // Other tabs of one client. From before the second factor nothing leads behind it.
            2..RAISE if session.refreshed_at + rules.reuse_interval > now => {}
            _ => {
                tx.delete_session(session.id).await?;
                audit::record(tx, &self.asked, "token_revoked", &user, Value::Null).await?;
                return Ok(Err(Fault::refresh_used()));
            }
        }
        Ok(Ok((user, session)))
    }
}

/// Answers a refresh.
pub async fn refresh(asked: &std::sync::Arc<Asked>) -> Outcome {
    let token = asked.text("refresh_token")?;
    let token = token.ok_or_else(|| Fault::invalid("refresh_token required"))?;
    let read = refresh::read(asked.api.keyring.refresh_tokens(), asked.app.id, token);
    let (session, number) = read.map_err(|bad| match bad {
        BadRefresh::Malformed => Fault::refresh_not_valid(),
        BadRefresh::Forged => Fault::refresh_not_found(),
    })?;
    let (user, session) = asked
        .run(Refresh {
            asked: asked.clone(),
            session,
            number,
        })
        .await??;
    let claims = claims(asked, &user, &session)
        .await
        .map_err(HookFault::at_refresh)?;
    Ok(Answer::json(tokens(asked, &user, &session, &claims)?))
}

pub fn is_banned(user: &User, now: DateTime<Utc>) -> bool {
    user.banned_until.is_some_and(|until| until > now)
}
