//! `/factors`: second factors, and the session that grows with one.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use pumice_host_api::auth::{Engine, Flow, Session, Tx, User};
use pumice_host_api::data::DataError;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use super::answer::Answer;
use super::asked::{Asked, Bearer};
use super::user::signed_in;
use super::{Outcome, audit, session};
use crate::keyring::Unsealable;
use crate::services::auth::fault::Fault;
use crate::services::auth::mfa::{self, Asker, EnrollRequest, Sealer, Verified, VerifyRequest};
use crate::services::rates::{Key, auth as rates};

pub async fn enroll(asked: &Arc<Asked>) -> Outcome {
    let work = Work::Enroll(body(asked)?);
    factor(asked, work).await
}

pub async fn challenge(asked: &Arc<Asked>, id: &str) -> Outcome {
    asked.bearer()?;
    factor(asked, Work::Challenge(id_of(id)?)).await
}

pub async fn unenroll(asked: &Arc<Asked>, id: &str) -> Outcome {
    asked.bearer()?;
    factor(asked, Work::Unenroll(id_of(id)?)).await
}

pub async fn recovery_codes(asked: &Arc<Asked>) -> Outcome {
    factor(asked, Work::RecoveryCodes).await
}

async fn factor(asked: &Arc<Asked>, work: Work) -> Outcome {
    let bearer = asked.bearer()?;
    asked.limit(&rates::FACTOR).await?;
    let change = Change {
        asked: asked.clone(),
        bearer,
        work,
    };
    Ok(Answer::json(asked.run(change).await??))
}

/// `POST /factors/{id}/verify`: a whole session at `aal2`.
pub async fn verify(asked: &Arc<Asked>, id: &str) -> Outcome {
    let bearer = asked.bearer()?;
    asked.limit(&rates::FACTOR).await?;
    let user = Key::User(bearer.user_id);
    asked
        .api
        .rates
        .limit(&asked.app, &rates::FACTOR_USER, user, 1)
        .await?;
    let verify = Verify {
        asked: asked.clone(),
        bearer,
        factor: id_of(id)?,
        request: body(asked)?,
    };
    let raised = asked.run(verify).await??;
    let mut shown = session::shown(asked, &raised.user, &raised.session).await?;
    if let Some(codes) = raised.verified.recovery_codes {
        shown["recovery_codes"] = json!(codes);
    }
    if let Some(left) = raised.verified.recovery_codes_left {
        shown["recovery_codes_left"] = left.into();
    }
    Ok(Answer::json(shown))
}

fn id_of(text: &str) -> Result<Uuid, Fault> {
    text.parse().map_err(|_| {
        let message = "factor_id must be an UUID";
        Fault::new(StatusCode::NOT_FOUND, "validation_failed", message)
    })
}

fn body<T: DeserializeOwned>(asked: &Asked) -> Result<T, Fault> {
    serde_json::from_value(Value::Object(asked.body.clone()))
        .map_err(|error| Fault::invalid(error.to_string()))
}

/// How factors' secrets of an app are kept.
struct Safe<'a> {
    asked: &'a Asked,
    place: String,
}

impl<'a> Safe<'a> {
    fn of(asked: &'a Asked) -> Safe<'a> {
        let place = format!("factor/{}", asked.app.id);
        Safe { asked, place }
    }

    fn seal(&self, secret: &[u8]) -> Result<String, Unsealable> {
        let sealed = self.asked.api.keyring.seal(&self.place, secret)?;
        Ok(STANDARD.encode(sealed))
    }

    fn open(&self, text: &str) -> Result<Vec<u8>, Unsealable> {
        let sealed = STANDARD.decode(text).map_err(|_| Unsealable)?;
        self.asked.api.keyring.open_sealed(&self.place, &sealed)
    }
}

enum Work {
    Enroll(EnrollRequest),
    Challenge(Uuid),
    Unenroll(Uuid),
    RecoveryCodes,
}

struct Change {
    asked: Arc<Asked>,
    bearer: Bearer,
    work: Work,
}

impl Flow for Change {
    type Answer = Result<Value, Fault>;

    async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<Self::Answer, DataError> {
        let (user, session) = match signed_in(tx, &self.bearer, true).await? {
            Ok(found) => found,
            Err(fault) => return Ok(Err(fault)),
        };
        let ip = self.asked.ip.to_string();
        let asker = Asker {
            user: &user,
            session: &session,
            ip: Some(&ip),
            now: self.asked.now,
        };
        let (done, action) = match &self.work {
            Work::Enroll(request) => {
                let settings = &self.asked.settings;
                let site = settings
                    .site_url
                    .clone()
                    .unwrap_or_else(|| self.asked.app_url());
                let safe = Safe::of(&self.asked);
                let sealer = Sealer {
                    seal: &|secret| safe.seal(secret),
                    open: &|text| safe.open(text),
                };
                let made = mfa::enroll_in(tx, &asker, request, settings, &site, sealer).await?;
                (
                    made.and_then(|made| value(&made)),
                    Some("factor_in_progress"),
                )
            }
            Work::Challenge(id) => {
                let made = mfa::challenge_in(tx, &asker, *id).await?;
                (
                    made.and_then(|made| value(&made)),
                    Some("challenge_created"),
                )
            }
            Work::Unenroll(id) => {
                let gone = mfa::unenroll_in(tx, &asker, *id).await?;
                (
                    gone.map(|id| json!({ "id": id })),
                    Some("factor_unenrolled"),
                )
            }
            Work::RecoveryCodes => {
                let codes = mfa::recovery_codes_in(tx, &asker).await?;
                let shown = codes.map(|codes| json!({ "recovery_codes": codes }));
                (shown, Some("generate_recovery_codes"))
            }
        };
        if let (Ok(_), Some(action)) = (&done, action) {
            audit::record(tx, &self.asked, action, &user, Value::Null).await?;
        }
        Ok(done)
    }
}

fn value(shown: &impl serde::Serialize) -> Result<Value, Fault> {
    serde_json::to_value(shown).map_err(Fault::unexpected)
}

struct Verify {
    asked: Arc<Asked>,
    bearer: Bearer,
    factor: Uuid,
    request: VerifyRequest,
}

struct Raised {
    user: User,
    session: Session,
    verified: Verified,
}

impl Flow for Verify {
    type Answer = Result<Raised, Fault>;

    async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<Self::Answer, DataError> {
        let (user, session) = match signed_in(tx, &self.bearer, true).await? {
            Ok(found) => found,
            Err(fault) => return Ok(Err(fault)),
        };
        let ip = self.asked.ip.to_string();
        let asker = Asker {
            user: &user,
            session: &session,
            ip: Some(&ip),
            now: self.asked.now,
        };
        let safe = Safe::of(&self.asked);
        let sealer = Sealer {
            seal: &|secret| safe.seal(secret),
            open: &|text| safe.open(text),
        };
        let verified = mfa::verify_in(tx, &asker, self.factor, &self.request, sealer).await?;
        let verified = match verified {
            Ok(verified) => verified,
            Err(fault) => return Ok(Err(fault)),
        };
        let Some(mut session) = tx.lock_session(session.id).await? else {
            return Ok(Err(Fault::session_gone()));
        };
        session.aal = "aal2".to_owned();
        session.factor_id = Some(verified.factor.id);
        let proof = json!({ "method": verified.method, "timestamp": self.asked.now.timestamp() });
        let mut amr = vec![proof];
        let before = session.amr.as_array().into_iter().flatten();
        amr.extend(
            before
                .filter(|old| old["method"] != verified.method)
                .cloned(),
        );
        session.amr = Value::Array(amr);
        // So far ahead that the token of before is a used one, however soon it comes.
        session.counter += session::RAISE;
        session.refreshed_at = self.asked.now;
        tx.save_session(&session).await?;
        for other in tx.sessions(user.id).await? {
            if other.id != session.id && other.aal == "aal1" {
                tx.delete_session(other.id).await?;
            }
        }
        audit::record(
            tx,
            &self.asked,
            "verification_attempted",
            &user,
            Value::Null,
        )
        .await?;
        // As it is now, with the factor verified.
        let user = tx.user(user.id).await?.unwrap_or(user);
        Ok(Ok(Raised {
            user,
            session,
            verified,
        }))
    }
}
