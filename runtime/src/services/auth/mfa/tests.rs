//! Whole flows on a real file.

use std::sync::Arc;

use pumice_host_api::auth::{Flow, Users};
use pumice_host_api::data::sqlite::{Options, Sqlite};
use pumice_host_api::data::{DataStore, Db, ddl};
use serde_json::json;
use totp_rs::{Builder, Secret};

use super::*;

/// Two users of an app, each with a session at `aal1`.
struct World {
    users: Users,
    settings: AuthSettings,
    _folder: tempfile::TempDir,
}

const ADA: Uuid = Uuid::from_u128(1);
const BOB: Uuid = Uuid::from_u128(2);
/// Where a step of time begins.
const NOW: i64 = 1_800_000_000;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

#[derive(Clone)]
enum Deed {
    Enroll(EnrollRequest),
    Challenge(Uuid),
    Verify(Uuid, VerifyRequest),
    Unenroll(Uuid),
    Codes,
}

enum Done {
    Enrolled(Enrolled),
    Challenged(Challenged),
    Verified(Box<Verified>),
    Unenrolled(Uuid),
    Codes(Vec<String>),
}

/// What a route does around the functions: it locks the user, and lifts the session.
struct Ask {
    user: Uuid,
    ip: &'static str,
    seconds: i64,
    deed: Deed,
    settings: AuthSettings,
}

fn seal(secret: &[u8]) -> Result<String, Unsealable> {
    Ok(format!("sealed {}", totp::base32(secret)))
}

fn open(sealed: &str) -> Result<Vec<u8>, Unsealable> {
    let secret = sealed.strip_prefix("sealed ").ok_or(Unsealable)?;
    let secret = Secret::try_from_base32(secret).map_err(|_| Unsealable)?;
    Ok(secret.as_bytes().to_vec())
}

impl Flow for Ask {
    type Answer = Result<Done, Fault>;

    async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<Self::Answer, DataError> {
        let user = tx.lock_user(self.user).await?.unwrap();
        // A session has its user's id here.
        let session = tx.lock_session(self.user).await?.unwrap();
        let asker = Asker {
            user: &user,
            session: &session,
            ip: Some(self.ip),
            now: at(self.seconds),
        };
        let sealer = Sealer {
            seal: &seal,
            open: &open,
        };
        let settings = &self.settings;
        Ok(match &self.deed {
            Deed::Enroll(request) => {
                let site = "https://shop.example:8443/welcome";
                let enrolled = enroll_in(tx, &asker, request, settings, site, sealer).await?;
                enrolled.map(Done::Enrolled)
            }
            Deed::Challenge(factor) => {
                let challenged = challenge_in(tx, &asker, *factor).await?;
                challenged.map(Done::Challenged)
            }
            Deed::Verify(factor, request) => {
                let verified = verify_in(tx, &asker, *factor, request, sealer).await?;
                if let Ok(verified) = &verified {
                    let lifted = Session {
                        aal: "aal2".to_owned(),
                        amr: json!([{ "method": verified.method }, { "method": "password" }]),
                        factor_id: Some(verified.factor.id),
                        ..session.clone()
                    };
                    tx.save_session(&lifted).await?;
                }
                verified.map(|verified| Done::Verified(Box::new(verified)))
            }
            Deed::Unenroll(factor) => {
                let unenrolled = unenroll_in(tx, &asker, *factor).await?;
                unenrolled.map(Done::Unenrolled)
            }
            Deed::Codes => recovery_codes_in(tx, &asker).await?.map(Done::Codes),
        })
    }
}

/// The user and the session as they are.
struct Look(Uuid);

impl Flow for Look {
    type Answer = (User, Session, i64);

    async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<Self::Answer, DataError> {
        let user = tx.user(self.0).await?.unwrap();
        let session = tx.session(self.0).await?.unwrap();
        let codes = tx.count_recovery_codes(self.0).await?;
        Ok((user, session, codes))
    }
}

/// A new user with a session, or the session at `aal1` again.
struct SignIn(Uuid);

impl Flow for SignIn {
    type Answer = ();

    async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<(), DataError> {
        let session = Session {
            id: self.0,
            user_id: self.0,
            aal: "aal1".to_owned(),
            amr: json!([{ "method": "password" }]),
            counter: 0,
            factor_id: None,
            created_at: at(NOW),
            refreshed_at: at(NOW),
            not_after: None,
            user_agent: None,
            ip: None,
        };
        if tx.user(self.0).await?.is_some() {
            return tx.save_session(&session).await;
        }
        let user = User {
            id: self.0,
            aud: "authenticated".to_owned(),
            role: "authenticated".to_owned(),
            email: Some(format!("user{}@example.com", self.0.as_u128())),
            phone: None,
            password_hash: None,
            email_confirmed_at: Some(at(NOW)),
            phone_confirmed_at: None,
            invited_at: None,
            confirmation_sent_at: None,
            recovery_sent_at: None,
            email_change: None,
            email_change_half: false,
            email_change_sent_at: None,
            phone_change: None,
            phone_change_sent_at: None,
            reauthentication_sent_at: None,
            last_sign_in_at: None,
            app_metadata: serde_json::Map::new(),
            user_metadata: serde_json::Map::new(),
            banned_until: None,
            deleted_at: None,
            is_anonymous: false,
            created_at: at(NOW),
            updated_at: at(NOW),
            identities: Vec::new(),
            factors: Vec::new(),
        };
        assert!(tx.insert_user(&user).await?);
        tx.insert_session(&session).await
    }
}

impl World {
    async fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            durable: false,
            setup: Some(Arc::new(ddl::register)),
            ..Options::default()
        };
        let file = Sqlite::new(folder.path().join("app.db"), options);
        let users = Users::new(DataStore::new(Db::Sqlite(file)));
        users.run(SignIn(ADA)).await.unwrap();
        users.run(SignIn(BOB)).await.unwrap();
        World {
            users,
            settings: AuthSettings::default(),
            _folder: folder,
        }
    }

    async fn ask_from(
        &self,
        ip: &'static str,
        user: Uuid,
        seconds: i64,
        deed: Deed,
    ) -> Result<Done, Fault> {
        let settings = self.settings.clone();
        let ask = Ask {
            user,
            ip,
            seconds,
            deed,
            settings,
        };
        self.users.run(ask).await.unwrap()
    }

    async fn ask(&self, user: Uuid, seconds: i64, deed: Deed) -> Result<Done, Fault> {
        self.ask_from("192.0.2.1", user, seconds, deed).await
    }

    async fn enroll(&self, user: Uuid, seconds: i64, name: &str) -> Result<Enrolled, Fault> {
        let deed = Deed::Enroll(request(name));
        match self.ask(user, seconds, deed).await? {
            Done::Enrolled(enrolled) => Ok(enrolled),
            _ => unreachable!(),
        }
    }

    async fn challenge(&self, user: Uuid, seconds: i64, factor: Uuid) -> Result<Uuid, Fault> {
        match self.ask(user, seconds, Deed::Challenge(factor)).await? {
            Done::Challenged(challenged) => Ok(challenged.id),
            _ => unreachable!(),
        }
    }

    async fn verify(
        &self,
        user: Uuid,
        seconds: i64,
        factor: Uuid,
        request: VerifyRequest,
    ) -> Result<Verified, Fault> {
        let deed = Deed::Verify(factor, request);
        match self.ask(user, seconds, deed).await? {
            Done::Verified(verified) => Ok(*verified),
            _ => unreachable!(),
        }
    }

    /// A new challenge, and this code for it.
    async fn give(
        &self,
        user: Uuid,
        seconds: i64,
        factor: Uuid,
        code: &str,
    ) -> Result<Verified, Fault> {
        let challenge = self.challenge(user, seconds, factor).await?;
        self.verify(user, seconds, factor, answer(challenge, code))
            .await
    }

    async fn recover(
        &self,
        user: Uuid,
        seconds: i64,
        factor: Uuid,
        code: &str,
    ) -> Result<Verified, Fault> {
        let request = VerifyRequest {
            recovery_code: Some(code.to_owned()),
            ..VerifyRequest::default()
        };
        self.verify(user, seconds, factor, request).await
    }

    /// A verified factor, the recovery codes that came with it, and a session at `aal2`.
    async fn with_factor(&self, user: Uuid) -> (Enrolled, Vec<String>) {
        let enrolled = self.enroll(user, NOW, "phone").await.unwrap();
        let code = code(&enrolled, NOW);
        let verified = self.give(user, NOW, enrolled.id, &code).await.unwrap();
        (enrolled, verified.recovery_codes.unwrap())
    }

    async fn look(&self, user: Uuid) -> (User, Session, i64) {
        self.users.read(Look(user)).await.unwrap()
    }

    async fn sign_in_again(&self, user: Uuid) {
        self.users.run(SignIn(user)).await.unwrap();
    }
}

fn request(name: &str) -> EnrollRequest {
    EnrollRequest {
        factor_type: Some("totp".to_owned()),
        friendly_name: Some(name.to_owned()),
        issuer: None,
    }
}

fn answer(challenge: Uuid, code: &str) -> VerifyRequest {
    VerifyRequest {
        challenge_id: Some(challenge.to_string()),
        code: Some(code.to_owned()),
        recovery_code: None,
    }
}

/// What the authenticator shows.
fn code(enrolled: &Enrolled, seconds: i64) -> String {
    let secret = Secret::try_from_base32(&enrolled.totp.secret).unwrap();
    let totp = Builder::new().with_secret(secret).build_noncompliant();
    totp.generate(seconds as u64).to_string()
}

/// A code that no step near is of.
fn wrong(enrolled: &Enrolled, seconds: i64) -> String {
    let near = [-30, 0, 30].map(|off| code(enrolled, seconds + off));
    let mut codes = ["111111", "222222", "333333", "444444"].into_iter();
    let code = codes.find(|code| !near.iter().any(|right| right == code));
    code.unwrap().to_owned()
}

#[track_caller]
fn refused<T>(answer: Result<T, Fault>) -> (u16, &'static str, String) {
    let fault = answer.err().expect("it is refused");
    let std::borrow::Cow::Borrowed(code) = fault.code else {
        panic!("{} is none of ours", fault.code);
    };
    (fault.status.as_u16(), code, fault.message)
}

fn told(fault: Fault) -> (u16, &'static str, String) {
    refused::<()>(Err(fault))
}

#[tokio::test]
async fn a_factor_is_enrolled_and_proved() {
    let world = World::new().await;
    let enrolled = world.enroll(ADA, NOW, " phone ").await.unwrap();
    let shown = serde_json::to_value(&enrolled).unwrap();
    let secret = enrolled.totp.secret.as_str();
    assert_eq!(secret.len(), 32);
    assert_eq!(shown["type"], "totp");
    assert_eq!(shown["friendly_name"], "phone");
    assert_eq!(
        shown["totp"]["uri"],
        format!(
            "otpauth://totp/shop.example:user1@example.com?algorithm=SHA1&digits=6&issuer=shop.example&period=30&secret={secret}"
        )
    );
    assert!(enrolled.totp.qr_code.starts_with("<svg "));
    let (user, session, codes) = world.look(ADA).await;
    assert_eq!(user.factors[0].status, FactorStatus::Unverified);
    assert_eq!(user.factors[0].secret, format!("sealed {secret}"));
    assert_eq!((session.aal.as_str(), codes), ("aal1", 0));

    let challenged = world.ask(ADA, NOW, Deed::Challenge(enrolled.id)).await;
    let Ok(Done::Challenged(challenged)) = challenged else {
        panic!("no challenge");
    };
    assert_eq!(
        serde_json::to_value(&challenged).unwrap(),
        json!({ "id": challenged.id, "type": "totp", "expires_at": NOW + 300 })
    );
    let right = code(&enrolled, NOW);
    let gap = format!("{} {}", &right[..3], &right[3..]);
    let request = answer(challenged.id, &gap);
    let verified = world.verify(ADA, NOW, enrolled.id, request).await.unwrap();
    assert_eq!(verified.method, "totp");
    assert_eq!(verified.recovery_codes.unwrap().len(), 10);
    let (user, session, codes) = world.look(ADA).await;
    assert_eq!(user.factors[0].status, FactorStatus::Verified);
    assert_eq!(user.factors[0].last_step, Some(NOW / 30));
    assert_eq!(user.factors[0].last_challenged_at, Some(at(NOW)));
    assert_eq!((session.aal.as_str(), codes), ("aal2", 10));
    assert_eq!(verified.factor, user.factors[0]);
}

#[tokio::test]
async fn a_code_works_once() {
    let world = World::new().await;
    let (phone, _) = world.with_factor(ADA).await;
    let again = world
        .give(ADA, NOW + 10, phone.id, &code(&phone, NOW))
        .await;
    assert_eq!(refused(again), told(Fault::totp_wrong()));
    // Of the step before it, as well.
    let before = code(&phone, NOW - 30);
    let before = world.give(ADA, NOW + 10, phone.id, &before).await;
    assert_eq!(refused(before), told(Fault::totp_wrong()));
    let next = code(&phone, NOW + 30);
    let verified = world.give(ADA, NOW + 10, phone.id, &next).await.unwrap();
    assert!(verified.recovery_codes.is_none(), "they are there already");
}

#[tokio::test]
async fn five_wrong_codes_are_enough_for_five_minutes() {
    let world = World::new().await;
    let (phone, _) = world.with_factor(ADA).await;
    let start = NOW + 600;
    for attempt in 0..4 {
        let refusal = world
            .give(ADA, start, phone.id, &wrong(&phone, start))
            .await;
        assert_eq!(refused(refusal), told(Fault::totp_wrong()), "{attempt}");
    }
    let right = world.give(ADA, start, phone.id, &code(&phone, start)).await;
    assert!(right.is_ok(), "four are not too many");
    let refusal = world
        .give(ADA, start, phone.id, &wrong(&phone, start))
        .await;
    assert_eq!(refused(refusal), told(Fault::totp_wrong()));

    let late = start + 300;
    let fault = world.give(ADA, late, phone.id, &code(&phone, late)).await;
    let fault = fault.err().unwrap();
    assert_eq!(
        (fault.status.as_u16(), &*fault.code, fault.retry_after),
        (429, "over_request_rate_limit", Some(300))
    );
    let later = late + 1;
    assert!(
        world
            .give(ADA, later, phone.id, &code(&phone, later))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn fifty_wrong_codes_are_enough_for_a_day() {
    let world = World::new().await;
    let (phone, codes) = world.with_factor(ADA).await;
    let mut now = NOW + 600;
    for _ in 0..10 {
        for _ in 0..5 {
            let refusal = world.give(ADA, now, phone.id, &wrong(&phone, now)).await;
            assert_eq!(refused(refusal).0, 422);
        }
        now += 301;
    }
    let fault = world.give(ADA, now, phone.id, &code(&phone, now)).await;
    assert_eq!(fault.err().unwrap().retry_after, Some(24 * 3600));
    // The owner has another way.
    assert!(world.recover(ADA, now, phone.id, &codes[0]).await.is_ok());
    now = NOW + 600 + 24 * 3600 + 1;
    assert!(
        world
            .give(ADA, now, phone.id, &code(&phone, now))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_challenge_is_answered_once_in_time_and_from_the_same_place() {
    let world = World::new().await;
    let (phone, _) = world.with_factor(ADA).await;
    let now = NOW + 3000;
    let challenge = world.challenge(ADA, now, phone.id).await.unwrap();
    let late = now + 300;
    let request = answer(challenge, &code(&phone, late));
    let refusal = world.verify(ADA, late, phone.id, request).await;
    assert_eq!(refused(refusal), told(Fault::challenge_expired()));
    let late = now + 299;
    let request = answer(challenge, &code(&phone, late));
    let deed = Deed::Verify(phone.id, request.clone());
    let elsewhere = world.ask_from("198.51.100.7", ADA, late, deed).await;
    assert_eq!(refused(elsewhere), told(Fault::challenge_ip()));
    assert!(world.verify(ADA, late, phone.id, request).await.is_ok());
    let request = answer(challenge, &code(&phone, late + 30));
    let refusal = world.verify(ADA, late, phone.id, request).await;
    assert_eq!(refused(refusal), told(Fault::challenge_expired()));

    let tablet = world.enroll(ADA, now, "tablet").await.unwrap();
    let tablets = world.challenge(ADA, now, tablet.id).await.unwrap();
    let right = code(&phone, now + 900);
    for id in [
        tablets.to_string(),
        Uuid::new_v4().to_string(),
        "x".to_owned(),
    ] {
        let request = VerifyRequest {
            challenge_id: Some(id),
            code: Some(right.clone()),
            recovery_code: None,
        };
        let refusal = world.verify(ADA, now, phone.id, request).await;
        assert_eq!(refused(refusal), told(Fault::no_challenge()));
    }
    let empty = world.verify(ADA, now, phone.id, VerifyRequest::default());
    assert_eq!(refused(empty.await).0, 400);
}

#[tokio::test]
async fn nobody_reaches_the_factor_of_another() {
    let world = World::new().await;
    let (phone, codes) = world.with_factor(ADA).await;
    let no_factor = told(Fault::no_factor());
    let request = answer(Uuid::new_v4(), &code(&phone, NOW));
    for deed in [
        Deed::Challenge(phone.id),
        Deed::Verify(phone.id, request),
        Deed::Unenroll(phone.id),
        Deed::Codes,
    ] {
        assert_eq!(refused(world.ask(BOB, NOW, deed).await), no_factor);
    }
    let (bobs, _) = world.with_factor(BOB).await;
    let hers = world.recover(BOB, NOW, bobs.id, &codes[0]).await;
    assert_eq!(refused(hers), told(Fault::recovery_wrong()));
    assert!(world.recover(ADA, NOW, phone.id, &codes[0]).await.is_ok());
}

#[tokio::test]
async fn whoever_has_the_password_alone_changes_no_factor() {
    let world = World::new().await;
    // Begun before the owner's.
    let thief = world.enroll(ADA, NOW, "thief's").await.unwrap();
    let (phone, _) = world.with_factor(ADA).await;
    world.sign_in_again(ADA).await;
    let proof = world.give(ADA, NOW, thief.id, &code(&thief, NOW)).await;
    assert_eq!(refused(proof), told(Fault::no_factor()));
    let enrolled = world.enroll(ADA, NOW, "another").await;
    assert_eq!(refused(enrolled), told(Fault::aal_to_enroll()));
    let given_up = world.ask(ADA, NOW, Deed::Unenroll(phone.id)).await;
    assert_eq!(refused(given_up), told(Fault::aal_to_unenroll()));
    let codes = world.ask(ADA, NOW, Deed::Codes).await;
    assert_eq!(refused(codes), told(Fault::aal_for_recovery_codes()));

    // Begun at aal2 by the owner, and finished by somebody else.
    let next = code(&phone, NOW + 30);
    world.give(ADA, NOW + 30, phone.id, &next).await.unwrap();
    let tablet = world.enroll(ADA, NOW, "tablet").await.unwrap();
    world.sign_in_again(ADA).await;
    let proof = world.give(ADA, NOW, tablet.id, &code(&tablet, NOW)).await;
    assert_eq!(refused(proof), told(Fault::aal_to_enroll()));
    // What nobody has proved may go.
    assert!(world.ask(ADA, NOW, Deed::Unenroll(tablet.id)).await.is_ok());
}

#[tokio::test]
async fn names_are_a_users_own_and_factors_have_a_bound() {
    let mut world = World::new().await;
    world.settings.factors_max = 3;
    world.enroll(ADA, NOW, "phone").await.unwrap();
    let again = world.enroll(ADA, NOW, "phone").await;
    assert_eq!(refused(again), told(Fault::factor_name_conflict()));
    assert!(world.enroll(BOB, NOW, "phone").await.is_ok());
    // Without a name there may be several.
    assert!(world.enroll(ADA, NOW, "").await.is_ok());
    assert!(world.enroll(ADA, NOW, " ").await.is_ok());
    let fourth = world.enroll(ADA, NOW + 300, "fourth").await;
    assert_eq!(refused(fourth), told(Fault::too_many_factors()));
    // Those that nobody proved in time are gone, and so are their names.
    assert!(world.enroll(ADA, NOW + 301, "phone").await.is_ok());
    assert_eq!(world.look(ADA).await.0.factors.len(), 1);

    let long = "x".repeat(limits::FACTOR_NAME_CHARS);
    let enrolled = world.enroll(BOB, NOW, &long).await.unwrap();
    assert_eq!(enrolled.friendly_name, long);
    let refusal = world.enroll(BOB, NOW, &format!("{long}x")).await;
    assert_eq!(refused(refusal).0, 400);
    let issuer = EnrollRequest {
        issuer: Some("\u{1f6d2}".repeat(limits::FACTOR_NAME_CHARS)),
        ..request("longest")
    };
    assert!(world.ask(BOB, NOW, Deed::Enroll(issuer)).await.is_ok());
}

#[tokio::test]
async fn other_kinds_are_refused_by_name() {
    let mut world = World::new().await;
    for (kind, status, code) in [
        (Some("phone"), 422, "mfa_phone_enroll_not_enabled"),
        (Some("webauthn"), 422, "mfa_webauthn_enroll_not_enabled"),
        (Some("sms"), 400, "validation_failed"),
        (None, 400, "validation_failed"),
    ] {
        let request = EnrollRequest {
            factor_type: kind.map(str::to_owned),
            ..EnrollRequest::default()
        };
        let refusal = refused(world.ask(ADA, NOW, Deed::Enroll(request)).await);
        assert_eq!((refusal.0, refusal.1), (status, code));
    }
    world.settings.totp = false;
    let off = world.enroll(ADA, NOW, "phone").await;
    assert_eq!(refused(off), told(Fault::totp_enroll_disabled()));
}

#[tokio::test]
async fn a_recovery_code_works_once() {
    let world = World::new().await;
    let (phone, codes) = world.with_factor(ADA).await;
    world.sign_in_again(ADA).await;
    let typed = codes[3].to_lowercase().replace('-', " ");
    let verified = world.recover(ADA, NOW, phone.id, &typed).await.unwrap();
    assert_eq!(verified.method, "mfa/recovery_code");
    assert_eq!(verified.recovery_codes_left, Some(9));
    let wrong = told(Fault::recovery_wrong());
    for code in [codes[3].as_str(), "", "AAAA-AAAA-AAAA-AAAA"] {
        let refusal = world.recover(ADA, NOW, phone.id, code).await;
        assert_eq!(refused(refusal), wrong);
    }
    // New ones end the old ones.
    let Ok(Done::Codes(new)) = world.ask(ADA, NOW, Deed::Codes).await else {
        panic!("no codes");
    };
    let old = world.recover(ADA, NOW, phone.id, &codes[4]).await;
    assert_eq!(refused(old), wrong);
    assert!(world.recover(ADA, NOW, phone.id, &new[0]).await.is_ok());
    // A factor that is not proved yet is no reason to believe a code.
    let tablet = world.enroll(ADA, NOW, "tablet").await.unwrap();
    let refusal = world.recover(ADA, NOW, tablet.id, &new[1]).await;
    assert_eq!(refused(refusal), wrong);
    assert_eq!(world.look(ADA).await.2, 9);
}

#[tokio::test]
async fn sessions_of_a_factor_that_is_given_up_are_at_aal1() {
    let world = World::new().await;
    let (phone, _) = world.with_factor(ADA).await;
    let tablet = world.enroll(ADA, NOW, "tablet").await.unwrap();
    let right = code(&tablet, NOW);
    world.give(ADA, NOW, tablet.id, &right).await.unwrap();
    // The session stands on the tablet now.
    let gone = world.ask(ADA, NOW, Deed::Unenroll(phone.id)).await;
    assert!(matches!(gone, Ok(Done::Unenrolled(id)) if id == phone.id));
    let (user, session, codes) = world.look(ADA).await;
    assert_eq!(user.factors.len(), 1);
    assert_eq!((session.aal.as_str(), codes), ("aal2", 10));
    assert!(world.ask(ADA, NOW, Deed::Unenroll(tablet.id)).await.is_ok());
    let (user, session, codes) = world.look(ADA).await;
    assert!(user.factors.is_empty());
    assert_eq!((session.aal.as_str(), codes), ("aal1", 0));
    assert_eq!(session.amr, json!([{ "method": "password" }]));
    assert_eq!(session.factor_id, None);
}

#[tokio::test]
async fn a_secret_that_does_not_open_is_the_servers_fault() {
    let world = World::new().await;
    let (phone, _) = world.with_factor(ADA).await;
    struct Damage(Uuid);
    impl Flow for Damage {
        type Answer = ();
        async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<(), DataError> {
            let user = tx.lock_user(self.0).await?.unwrap();
            let factor = Factor {
                secret: "damaged".to_owned(),
                ..user.factors[0].clone()
            };
            tx.save_factor(&factor).await
        }
    }
    world.users.run(Damage(ADA)).await.unwrap();
    let later = NOW + 60;
    let refusal = world.give(ADA, later, phone.id, &code(&phone, later)).await;
    assert_eq!(refused(refusal).0, 500);
}
