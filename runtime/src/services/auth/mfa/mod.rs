//! Second factors: enrolled, challenged, verified, given up, and recovery codes for when one is lost.
//!
//! Every function here runs inside the caller's transaction, after [`Tx::lock_user`]: the user, with the
//! factors, is as no other request can change it meanwhile. What becomes of the session is the caller's.
//! An `Err` inside of an answer is told to the client, and what was written stays: wrong codes are counted.

mod qr;
mod recovery;
mod totp;

use chrono::{DateTime, Duration, Utc};
use pumice_host_api::auth::{Challenge, Engine, Factor, FactorStatus, Session, Tx, User};
use pumice_host_api::data::DataError;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::fault::Fault;
use crate::functions::manifest::auth::AuthSettings;
use crate::keyring::Unsealable;
use crate::limits;

/// Who asks.
pub struct Asker<'a> {
    /// As [`Tx::lock_user`] found it in this transaction.
    pub user: &'a User,
    pub session: &'a Session,
    /// The client's address.
    pub ip: Option<&'a str>,
    pub now: DateTime<Utc>,
}

/// How secrets of factors are kept: the keyring is the caller's. `Sync`, as it is held over statements.
#[derive(Clone, Copy)]
pub struct Sealer<'a> {
    /// To the text of [`Factor::secret`].
    pub seal: &'a (dyn Fn(&[u8]) -> Result<String, Unsealable> + Send + Sync),
    pub open: &'a (dyn Fn(&str) -> Result<Vec<u8>, Unsealable> + Send + Sync),
}

/// The body of `POST /factors`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct EnrollRequest {
    #[serde(default)]
    pub factor_type: Option<String>,
    #[serde(default)]
    pub friendly_name: Option<String>,
    /// The app as the authenticator shows it; the host of its site if none.
    #[serde(default)]
    pub issuer: Option<String>,
}

/// The answer to `POST /factors`. The only time that the secret is shown; no `Debug`, as it has that.
#[derive(Serialize)]
pub struct Enrolled {
    pub id: Uuid,
    #[serde(rename = "type")]
    pub factor_type: &'static str,
    pub friendly_name: String,
    pub totp: Totp,
}

#[derive(Serialize)]
pub struct Totp {
    /// SVG.
    pub qr_code: String,
    /// Base32.
    pub secret: String,
    /// `otpauth://totp/…`
    pub uri: String,
}

/// The answer to `POST /factors/{id}/challenge`.
#[derive(Debug, Serialize)]
pub struct Challenged {
    pub id: Uuid,
    #[serde(rename = "type")]
    pub factor_type: String,
    /// Seconds since 1970.
    pub expires_at: i64,
}

/// The body of `POST /factors/{id}/verify`: a challenge and its code, or a recovery code alone.
#[derive(Clone, Default, Deserialize)]
pub struct VerifyRequest {
    #[serde(default)]
    pub challenge_id: Option<String>,
    #[serde(default)]
    pub code: Option<String>,
    #[serde(default)]
    pub recovery_code: Option<String>,
}

/// The user has proved to have the factor: the session becomes `aal2`, with a new refresh token, and the
/// user's other sessions at `aal1` end. That is the caller's to do, in the same transaction.
pub struct Verified {
    pub factor: Factor,
    /// For the session's `amr`.
    pub method: &'static str,
    /// New ones, the only time that they are shown: with the user's first factor.
    pub recovery_codes: Option<Vec<String>>,
    /// How many are left, when one was used.
    pub recovery_codes_left: Option<i64>,
}

/// The method of a code from an authenticator, in `amr`.
const TOTP: &str = "totp";
/// The method of a recovery code; the dialect has none.
const RECOVERY: &str = "mfa/recovery_code";

/// What a flow answers: inside what the client is told, outside what the engine could not do.
type Answer<T> = Result<Result<T, Fault>, DataError>;

/// Goes on with what the client may have, or answers the fault.
macro_rules! ok {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(fault) => return Ok(Err(fault)),
        }
    };
}

/// Makes a factor that [`verify_in`] has yet to prove. The host of the URL `site` is the issuer when the
/// request names none.
pub async fn enroll_in<E: Engine>(
    tx: &mut Tx<'_, E>,
    asker: &Asker<'_>,
    request: &EnrollRequest,
    settings: &AuthSettings,
    site: &str,
    sealer: Sealer<'_>,
) -> Answer<Enrolled> {
    let user = asker.user;
    let stale = |factor: &&Factor| {
        let life = Duration::from_std(limits::FACTOR_UNVERIFIED_LIFE).unwrap_or_default();
        factor.status == FactorStatus::Unverified && asker.now - factor.created_at > life
    };
    let name = ok!(may_enroll(asker, request, settings, |factor| !stale(
        &factor
    )));
    let secret = totp::secret();
    let issuer = ok!(bounded("issuer", request.issuer.as_deref()));
    let host = url::Url::parse(site).ok();
    let host = host.as_ref().and_then(url::Url::host_str).unwrap_or(site);
    let issuer = issuer.unwrap_or(host);
    let account = user.email.as_deref().or(user.phone.as_deref());
    let account = account.map_or_else(|| user.id.to_string(), str::to_owned);
    let uri = totp::uri(&secret, issuer, &account);
    let too_long = || Fault::invalid("issuer and address are too long for a QR code");
    let qr_code = ok!(qr::svg(&uri).ok_or_else(too_long));
    let sealed = ok!((sealer.seal)(&secret).map_err(Fault::unexpected));

    for factor in user.factors.iter().filter(stale) {
        tx.delete_factor(factor.id).await?;
    }
    let factor = Factor {
        id: Uuid::new_v4(),
        user_id: user.id,
        friendly_name: name.map(str::to_owned),
        factor_type: TOTP.to_owned(),
        status: FactorStatus::Unverified,
        secret: sealed,
        last_step: None,
        last_challenged_at: None,
        created_at: asker.now,
        updated_at: asker.now,
    };
    tx.insert_factor(&factor).await?;
    Ok(Ok(Enrolled {
        id: factor.id,
        factor_type: TOTP,
        friendly_name: factor.friendly_name.unwrap_or_default(),
        totp: Totp {
            qr_code,
            secret: totp::base32(&secret),
            uri,
        },
    }))
}

/// Asks for a code.
pub async fn challenge_in<E: Engine>(
    tx: &mut Tx<'_, E>,
    asker: &Asker<'_>,
    factor_id: Uuid,
) -> Answer<Challenged> {
    let factor = ok!(own(asker, factor_id));
    let challenge = Challenge {
        id: Uuid::new_v4(),
        factor_id,
        created_at: asker.now,
        verified_at: None,
        attempts: 0,
        ip: asker.ip.map(str::to_owned),
    };
    tx.insert_challenge(&challenge).await?;
    let factor = Factor {
        last_challenged_at: Some(asker.now),
        updated_at: asker.now,
        ..factor.clone()
    };
    tx.save_factor(&factor).await?;
    Ok(Ok(Challenged {
        id: challenge.id,
        factor_type: factor.factor_type,
        expires_at: asker.now.timestamp() + limits::CHALLENGE_LIFE.as_secs() as i64,
    }))
}

/// Takes a code, or a recovery code.
pub async fn verify_in<E: Engine>(
    tx: &mut Tx<'_, E>,
    asker: &Asker<'_>,
    factor_id: Uuid,
    request: &VerifyRequest,
    sealer: Sealer<'_>,
) -> Answer<Verified> {
    let factor = ok!(own(asker, factor_id));
    match (&request.recovery_code, &request.code) {
        (Some(code), None) => recover(tx, asker, factor, code).await,
        (None, Some(code)) => {
            let challenge = request.challenge_id.as_deref();
            verify_code(
                tx,
                asker,
                factor,
                challenge.unwrap_or_default(),
                code,
                sealer,
            )
            .await
        }
        _ => Ok(Err(Fault::invalid(
            "Give a `challenge_id` with its `code`, or a `recovery_code`",
        ))),
    }
}

async fn verify_code<E: Engine>(
    tx: &mut Tx<'_, E>,
    asker: &Asker<'_>,
    factor: &Factor,
    challenge: &str,
    code: &str,
    sealer: Sealer<'_>,
) -> Answer<Verified> {
    let first = !has_verified(asker.user);
    let unverified = factor.status == FactorStatus::Unverified;
    // Else a stolen password would be enough: enroll before the owner does, and verify after.
    if unverified && !first && !is_aal2(asker.session) {
        return Ok(Err(Fault::aal_to_enroll()));
    }
    let challenge = match challenge.parse() {
        Ok(id) => tx.challenge(id).await?,
        Err(_) => None,
    };
    let mut challenge = ok!(may_answer(asker, factor, challenge));
    for (count, span) in limits::FACTOR_WRONG_CODES {
        let since = asker.now - Duration::from_std(span).unwrap_or_default();
        if tx.wrong_codes(factor.id, since).await? >= count {
            return Ok(Err(Fault::too_many(
                "over_request_rate_limit",
                "Request rate limit reached",
                span.as_secs(),
            )));
        }
    }
    let secret = ok!((sealer.open)(&factor.secret).map_err(Fault::unexpected));
    // Authenticators show a gap in the middle.
    let code: String = code.split_whitespace().collect();
    let Some(step) = totp::step_of(&secret, &code, asker.now, factor.last_step) else {
        challenge.attempts += 1;
        tx.save_challenge(&challenge).await?;
        return Ok(Err(Fault::totp_wrong()));
    };
    challenge.verified_at = Some(asker.now);
    tx.save_challenge(&challenge).await?;
    let factor = Factor {
        status: FactorStatus::Verified,
        last_step: Some(step),
        updated_at: asker.now,
        ..factor.clone()
    };
    tx.save_factor(&factor).await?;
    let mut recovery_codes = None;
    if unverified {
        // Whoever else has begun to enroll has not shown to have a factor.
        for other in &asker.user.factors {
            if other.id != factor.id && other.status == FactorStatus::Unverified {
                tx.delete_factor(other.id).await?;
            }
        }
        if first {
            recovery_codes = Some(new_codes(tx, asker.user.id).await?);
        }
    }
    Ok(Ok(Verified {
        factor,
        method: TOTP,
        recovery_codes,
        recovery_codes_left: None,
    }))
}

/// A recovery code has 80 bits: wrong ones are not counted, so that nobody can lock a user out of them.
async fn recover<E: Engine>(
    tx: &mut Tx<'_, E>,
    asker: &Asker<'_>,
    factor: &Factor,
    code: &str,
) -> Answer<Verified> {
    let user = asker.user.id;
    let verified = factor.status == FactorStatus::Verified;
    if !verified
        || !tx
            .take_recovery_code(user, &recovery::hash(user, code))
            .await?
    {
        return Ok(Err(Fault::recovery_wrong()));
    }
    Ok(Ok(Verified {
        factor: factor.clone(),
        method: RECOVERY,
        recovery_codes: None,
        recovery_codes_left: Some(tx.count_recovery_codes(user).await?),
    }))
}

/// Gives a factor up. The answer is its id.
pub async fn unenroll_in<E: Engine>(
    tx: &mut Tx<'_, E>,
    asker: &Asker<'_>,
    factor_id: Uuid,
) -> Answer<Uuid> {
    let factor = ok!(own(asker, factor_id));
    if factor.status == FactorStatus::Verified && !is_aal2(asker.session) {
        return Ok(Err(Fault::aal_to_unenroll()));
    }
    remove_in(tx, asker.user, factor_id).await
}

/// Removes a factor of `user`, whom [`Tx::lock_user`] found, as an admin may. Sessions that stand on it
/// are at `aal1` from now on; with the last verified one the recovery codes go.
pub async fn remove_in<E: Engine>(
    tx: &mut Tx<'_, E>,
    user: &User,
    factor_id: Uuid,
) -> Answer<Uuid> {
    let factor = user.factors.iter().find(|factor| factor.id == factor_id);
    let factor = ok!(factor.ok_or_else(Fault::no_factor));
    tx.delete_factor(factor.id).await?;
    if factor.status == FactorStatus::Verified {
        for session in tx.sessions(user.id).await? {
            if session.factor_id == Some(factor.id)
                && let Some(session) = tx.lock_session(session.id).await?
            {
                tx.save_session(&lowered(session)).await?;
            }
        }
        let left = user.factors.iter().filter(|other| other.id != factor.id);
        if !left.into_iter().any(is_verified) {
            tx.put_recovery_codes(user.id, &[]).await?;
        }
    }
    Ok(Ok(factor.id))
}

/// Makes new recovery codes in place of the old ones: `POST /factors/recovery_codes`, answered with
/// `{"recovery_codes": […]}`.
pub async fn recovery_codes_in<E: Engine>(
    tx: &mut Tx<'_, E>,
    asker: &Asker<'_>,
) -> Answer<Vec<String>> {
    if !has_verified(asker.user) {
        return Ok(Err(Fault::no_factor()));
    }
    if !is_aal2(asker.session) {
        return Ok(Err(Fault::aal_for_recovery_codes()));
    }
    Ok(Ok(new_codes(tx, asker.user.id).await?))
}

async fn new_codes<E: Engine>(tx: &mut Tx<'_, E>, user: Uuid) -> Result<Vec<String>, DataError> {
    let codes = recovery::codes();
    let hashes: Vec<String> = codes
        .iter()
        .map(|code| recovery::hash(user, code))
        .collect();
    tx.put_recovery_codes(user, &hashes).await?;
    Ok(codes)
}

/// The new factor's name. `counts` says which of the user's factors there will still be.
fn may_enroll<'r>(
    asker: &Asker<'_>,
    request: &'r EnrollRequest,
    settings: &AuthSettings,
    counts: impl Fn(&Factor) -> bool,
) -> Result<Option<&'r str>, Fault> {
    match request.factor_type.as_deref() {
        Some(TOTP) if settings.totp => {}
        Some(TOTP) => return Err(Fault::totp_enroll_disabled()),
        Some("phone") => return Err(Fault::phone_enroll_disabled()),
        Some("webauthn") => return Err(Fault::webauthn_enroll_disabled()),
        _ => {
            let message = "factor_type needs to be totp, phone, or webauthn";
            return Err(Fault::invalid(message));
        }
    }
    let name = bounded("friendly_name", request.friendly_name.as_deref())?;
    let factors = asker.user.factors.iter().filter(|factor| counts(factor));
    let mut count = 0;
    for factor in factors {
        count += 1;
        if name.is_some() && factor.friendly_name.as_deref() == name {
            return Err(Fault::factor_name_conflict());
        }
    }
    if count >= settings.factors_max {
        return Err(Fault::too_many_factors());
    }
    if has_verified(asker.user) && !is_aal2(asker.session) {
        return Err(Fault::aal_to_enroll());
    }
    Ok(name)
}

/// A text of a request, trimmed; none when it is empty.
fn bounded<'r>(key: &str, text: Option<&'r str>) -> Result<Option<&'r str>, Fault> {
    let text = text.map(str::trim).filter(|text| !text.is_empty());
    match text {
        Some(text) if text.chars().count() > limits::FACTOR_NAME_CHARS => Err(Fault::invalid(
            format!("{key} has at most {} characters", limits::FACTOR_NAME_CHARS),
        )),
        _ => Ok(text),
    }
}

/// The challenge, if it can still be answered here.
fn may_answer(
    asker: &Asker<'_>,
    factor: &Factor,
    challenge: Option<Challenge>,
) -> Result<Challenge, Fault> {
    let challenge = challenge.filter(|challenge| challenge.factor_id == factor.id);
    let challenge = challenge.ok_or_else(Fault::no_challenge)?;
    let life = Duration::from_std(limits::CHALLENGE_LIFE).unwrap_or_default();
    if challenge.verified_at.is_some() || asker.now >= challenge.created_at + life {
        return Err(Fault::challenge_expired());
    }
    if challenge.ip.as_deref() != asker.ip {
        return Err(Fault::challenge_ip());
    }
    Ok(challenge)
}

/// The session without its second factor.
fn lowered(session: Session) -> Session {
    let second = |entry: &Value| matches!(entry["method"].as_str(), Some(TOTP | RECOVERY));
    let amr = match session.amr {
        Value::Array(entries) => {
            Value::Array(entries.into_iter().filter(|entry| !second(entry)).collect())
        }
        other => other,
    };
    Session {
        aal: "aal1".to_owned(),
        amr,
        factor_id: None,
        ..session
    }
}

fn own<'a>(asker: &Asker<'a>, factor_id: Uuid) -> Result<&'a Factor, Fault> {
    let factor = asker.user.factors.iter().find(|one| one.id == factor_id);
    factor.ok_or_else(Fault::no_factor)
}

fn has_verified(user: &User) -> bool {
    user.factors.iter().any(is_verified)
}

fn is_verified(factor: &Factor) -> bool {
    factor.status == FactorStatus::Verified
}

fn is_aal2(session: &Session) -> bool {
    session.aal == "aal2"
}

#[cfg(test)]
mod tests;
