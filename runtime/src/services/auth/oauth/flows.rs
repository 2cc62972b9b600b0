//! What a sign-in at a provider reads and writes, each step in one transaction.

use chrono::{DateTime, Utc};
use pumice_host_api::auth::{Engine, Flow, FlowState, Identity, Tx, User};
use pumice_host_api::data::DataError;
use serde_json::Map;
use uuid::Uuid;

use super::super::fault::Fault;
use super::away::{Adds, Back, Seal, is_over, same};
use super::identities::{Asker, add_identity, identity, lock_user, name_providers};
use super::linking::{Account, Decision, Facts, decide};
use super::profile::Profile;
use super::unproven::wipe_unproven;
use super::{Core, SignedIn, provider::challenge};
use crate::digest::Digest;

/// A user is who the provider says: decides whose account that is, and writes it down.
pub struct Finish<C> {
    pub core: C,
    /// As in `identity.provider`.
    pub provider: String,
    pub profile: Profile,
    pub signup: bool,
    pub autoconfirm: bool,
    /// Who asked, signed in, that the identity be added.
    pub linking: Option<Asker>,
    /// A new user whom the app's hook has let in.
    pub admitted: Option<Box<User>>,
    pub ending: Ending,
    pub signed: SignedIn,
    pub now: DateTime<Utc>,
}

/// What a sign-in ends with.
pub enum Ending {
    /// A session. The flow, if there is one, is over; there is none for an ID token.
    Session { flow: Option<Uuid> },
    /// A code; the row has it already, and gets the user.
    Code { flow: Box<FlowState>, seal: Seal },
}

/// How a sign-in ended.
pub enum Finished<O> {
    /// Nothing is written yet: a hook has to let this new user in.
    Ask(Box<User>),
    Opened {
        opened: O,
        user: Box<User>,
        signed: SignedIn,
        /// Sessions that ended.
        ended: Vec<Uuid>,
    },
    /// The flow has its code.
    Coded { ended: Vec<Uuid> },
    /// The user's address has to be confirmed: a mail is due.
    ToConfirm(Box<User>),
}

impl<C: Core> Flow for Finish<C> {
    type Answer = Result<Finished<C::Opened>, Fault>;

    async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<Self::Answer, DataError> {
        let linking = match &self.linking {
            None => None,
            Some(asker) => match asker.lock(tx, self.now).await? {
                Ok(user) => Some(user),
                Err(fault) => return Ok(Err(fault)),
            },
        };
        let facts = self.facts(tx, linking.as_ref()).await?;
        let decision = decide(self.profile.email.as_ref(), &facts);
        if let (Decision::Add { user }, Ending::Code { flow, seal }, Some(asker)) =
            (decision, &self.ending, self.linking)
        {
            // A link that somebody else follows must not join identities: it waits for the verifier.
            let adds = Some(Adds {
                asker,
                profile: self.profile.clone().into(),
            });
            return self.code(tx, flow, seal, user, adds, Vec::new()).await;
        }
        let mut signed = self.signed.clone();
        let mut ended = Vec::new();
        // What is written stays written, so every refusal comes first.
        let mut user = match decision {
            Decision::SignIn { user }
            | Decision::Confirm { user }
            | Decision::Link { user, .. }
            | Decision::Add { user } => {
                let mut user = match lock_user(tx, user, self.now).await? {
                    Ok(user) => user,
                    Err(fault) => return Ok(Err(fault)),
                };
                // The facts were read before the lock.
                let (facts_hold, adds, takes_over) = match decision {
                    Decision::Link { take_over, .. } => {
                        (facts.holder == Some(account(&user)), true, take_over)
                    }
                    Decision::Confirm { .. } => {
                        let same = facts.owner == Some(account(&user));
                        (same && self.its_identity(&user).is_some(), false, true)
                    }
                    Decision::Add { .. } => (true, true, false),
                    _ => (self.its_identity(&user).is_some(), false, false),
                };
                if !facts_hold {
                    return Ok(Err(Fault::changed()));
                }
                if adds && !self.add_identity(tx, &mut user).await? {
                    return Ok(Err(Fault::identity_exists()));
                }
                if takes_over {
                    ended = self.take_over(tx, &mut user).await?;
                }
                user
            }
            Decision::SignUp { confirmed } => {
                let Some(admitted) = &self.admitted else {
                    return Ok(Ok(Finished::Ask(Box::new(self.new_user(confirmed)))));
                };
                signed.created = true;
                let mut user = (**admitted).clone();
                user.email_confirmed_at = confirmed.then_some(self.now);
                match self.insert(tx, user).await? {
                    Ok(user) => user,
                    Err(fault) => return Ok(Err(fault)),
                }
            }
            Decision::SignUpToConfirm => {
                let Some(admitted) = &self.admitted else {
                    return Ok(Ok(Finished::Ask(Box::new(self.new_user(false)))));
                };
                let mut user = (**admitted).clone();
                user.email_confirmed_at = None;
                return Ok(match self.insert(tx, user).await? {
                    Ok(user) => Ok(Finished::ToConfirm(Box::new(user))),
                    Err(fault) => Err(fault),
                });
            }
            Decision::ToConfirm { user } => {
                let user = lock_user(tx, user, self.now).await?;
                return Ok(user.map(|user| Finished::ToConfirm(Box::new(user))));
            }
            Decision::Taken => return Ok(Err(Fault::email_needs_verification())),
            Decision::OfAnother => return Ok(Err(Fault::identity_exists())),
            Decision::Already => return Ok(Err(Fault::already_linked())),
            Decision::SignupDisabled => return Ok(Err(Fault::signup_disabled())),
        };
        self.note(tx, &mut user).await?;
        match &self.ending {
            Ending::Code { flow, seal } => self.code(tx, flow, seal, user.id, None, ended).await,
            Ending::Session { flow } => {
                if let Some(flow) = flow {
                    tx.delete_flow(*flow).await?;
                }
                let opened = self.core.open(tx, &mut user, &signed).await?;
                Ok(opened.map(|opened| Finished::Opened {
                    opened,
                    user: Box::new(user),
                    signed,
                    ended,
                }))
            }
        }
    }
}

impl<C: Core> Finish<C> {
    async fn facts<E: Engine>(
        &self,
        tx: &mut Tx<'_, E>,
        linking: Option<&User>,
    ) -> Result<Facts, DataError> {
        let subject = &self.profile.subject;
        let owner = tx.user_by_identity(&self.provider, subject).await?;
        let holder = match &self.profile.email {
            Some(email) => tx.user_by_email(&email.address).await?,
            None => None,
        };
        Ok(Facts {
            owner: owner.as_ref().map(account),
            holder: holder.as_ref().map(account),
            linking: linking.map(account),
            signup: self.signup,
            autoconfirm: self.autoconfirm,
        })
    }

    /// The identity of `user` that this sign-in is by.
    fn its_identity<'u>(&self, user: &'u User) -> Option<&'u Identity> {
        user.identities.iter().find(|identity| {
            identity.provider == self.provider && identity.provider_id == self.profile.subject
        })
    }

    /// Removes everything of the account but this identity, and takes the address as proved now. Answers
    /// the sessions that ended.
    async fn take_over<E: Engine>(
        &self,
        tx: &mut Tx<'_, E>,
        user: &mut User,
    ) -> Result<Vec<Uuid>, DataError> {
        let own = self.its_identity(user).cloned();
        let ended = wipe_unproven(tx, user, own.as_ref()).await?;
        user.user_metadata = self.profile.data.clone();
        user.email_confirmed_at = Some(self.now);
        user.updated_at = self.now;
        tx.save_user(user).await?;
        Ok(ended)
    }

    /// False when the identity is bound meanwhile.
    ///
    /// In the implicit flow whoever follows a link adds their identity to the account of whoever made the
    /// link, so their address is not offered to it. An ID token comes with the session of who asks.
    async fn add_identity<E: Engine>(
        &self,
        tx: &mut Tx<'_, E>,
        user: &mut User,
    ) -> Result<bool, DataError> {
        let identity = identity(&self.provider, &self.profile, user.id, self.now);
        let by_id_token = matches!(self.ending, Ending::Session { flow: None });
        let offered = self.profile.email.as_ref().filter(|_| by_id_token);
        add_identity(tx, user, identity, offered, self.now).await
    }

    /// Notes on identity and user that they came back.
    async fn note<E: Engine>(&self, tx: &mut Tx<'_, E>, user: &mut User) -> Result<(), DataError> {
        let (provider, subject) = (&self.provider, &self.profile.subject);
        let found = user
            .identities
            .iter_mut()
            .find(|identity| identity.provider == *provider && identity.provider_id == *subject);
        if let Some(identity) = found {
            identity.identity_data.clone_from(&self.profile.data);
            identity.last_sign_in_at = Some(self.now);
            identity.updated_at = self.now;
            tx.save_identity(identity).await?;
        }
        Ok(())
    }

    async fn code<E: Engine>(
        &self,
        tx: &mut Tx<'_, E>,
        flow: &FlowState,
        seal: &Seal,
        user: Uuid,
        adds: Option<Adds>,
        ended: Vec<Uuid>,
    ) -> Result<<Self as Flow>::Answer, DataError> {
        let back = Back {
            provider_token: self.signed.provider_token.clone(),
            provider_refresh_token: self.signed.provider_refresh_token.clone(),
            adds,
        };
        let sealed = match seal.close(flow.id, &back) {
            Ok(sealed) => sealed,
            Err(fault) => return Ok(Err(fault)),
        };
        let flow = FlowState {
            user_id: Some(user),
            sealed: Some(sealed),
            code_issued_at: Some(self.now),
            ..flow.clone()
        };
        tx.save_flow(&flow).await?;
        Ok(Ok(Finished::Coded { ended }))
    }

    /// The new user, without identities yet.
    fn new_user(&self, confirmed: bool) -> User {
        let email = self.profile.email.as_ref();
        let mut user = User {
            id: Uuid::new_v4(),
            aud: "authenticated".to_owned(),
            role: "authenticated".to_owned(),
            email: email.map(|email| email.address.clone()),
            phone: None,
            password_hash: None,
            email_confirmed_at: confirmed.then_some(self.now),
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
            app_metadata: Map::new(),
            user_metadata: self.profile.data.clone(),
            banned_until: None,
            deleted_at: None,
            is_anonymous: false,
            created_at: self.now,
            updated_at: self.now,
            identities: Vec::new(),
            factors: Vec::new(),
        };
        let identity = identity(&self.provider, &self.profile, user.id, self.now);
        user.identities.push(identity);
        name_providers(&mut user);
        user
    }

    async fn insert<E: Engine>(
        &self,
        tx: &mut Tx<'_, E>,
        user: User,
    ) -> Result<Result<User, Fault>, DataError> {
        if !tx.insert_user(&user).await? {
            return Ok(Err(Fault::email_exists()));
        }
        for identity in &user.identities {
            if !tx.insert_identity(identity).await? {
                tx.delete_user(user.id).await?;
                return Ok(Err(Fault::identity_exists()));
            }
        }
        Ok(Ok(user))
    }
}

fn account(user: &User) -> Account {
    Account {
        id: user.id,
        email: user.email.clone(),
        confirmed: user.email_confirmed_at.is_some(),
        proved: user.phone_confirmed_at.is_some(),
    }
}

/// A client exchanges its code for a session: once.
pub struct Exchange<C> {
    pub core: C,
    pub code: String,
    pub verifier: String,
    pub seal: Seal,
    pub now: DateTime<Utc>,
}

/// A session, and how it came about.
pub struct Exchanged<O> {
    pub opened: O,
    pub user: Box<User>,
    pub signed: SignedIn,
}

impl<C: Core> Flow for Exchange<C> {
    type Answer = Result<Exchanged<C::Opened>, Fault>;

    async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<Self::Answer, DataError> {
        let hash = Digest::of(self.code.as_bytes()).to_string();
        let Some(flow) = tx.flow_by_code(&hash).await? else {
            return Ok(Err(Fault::flow_not_found()));
        };
        let Some(user_id) = flow.user_id else {
            return Ok(Err(Fault::flow_not_found()));
        };
        if flow.code_issued_at.is_none_or(|at| is_over(at, self.now)) {
            tx.delete_flow(flow.id).await?;
            return Ok(Err(Fault::flow_expired()));
        }
        if !is_verified(&flow, &self.verifier) {
            return Ok(Err(Fault::bad_verifier()));
        }
        tx.delete_flow(flow.id).await?;
        let back = flow.sealed.as_deref();
        let back: Back = back
            .and_then(|sealed| self.seal.open(flow.id, sealed))
            .unwrap_or_default();
        // Whoever asked for an identity may have signed out since, or have a second factor now.
        let user = match &back.adds {
            Some(adds) => adds.asker.lock(tx, self.now).await?,
            None => lock_user(tx, user_id, self.now).await?,
        };
        let mut user = match user {
            Ok(user) => user,
            Err(fault) => return Ok(Err(fault)),
        };
        if let Some(adds) = back.adds {
            let profile = Profile::from(adds.profile);
            let identity = identity(&flow.provider, &profile, user.id, self.now);
            let offered = profile.email.as_ref();
            if !add_identity(tx, &mut user, identity, offered, self.now).await? {
                return Ok(Err(Fault::identity_exists()));
            }
        }
        let signed = SignedIn {
            method: flow.method.clone(),
            provider: flow.provider.clone(),
            created: false,
            provider_token: back.provider_token,
            provider_refresh_token: back.provider_refresh_token,
        };
        let opened = self.core.open(tx, &mut user, &signed).await?;
        Ok(opened.map(|opened| Exchanged {
            opened,
            user: Box::new(user),
            signed,
        }))
    }
}

/// Whether the verifier is the one of the flow's challenge (RFC 7636 §4.6).
fn is_verified(flow: &FlowState, verifier: &str) -> bool {
    let Some(expected) = &flow.code_challenge else {
        return false;
    };
    match flow.code_challenge_method.as_deref() {
        Some("s256") => same(expected, &challenge(verifier)),
        Some("plain") => same(expected, verifier),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(method: &str, challenge: &str) -> FlowState {
        FlowState {
            id: Uuid::nil(),
            user_id: None,
            linking_user_id: None,
            auth_code_hash: None,
            code_challenge: Some(challenge.to_owned()),
            code_challenge_method: Some(method.to_owned()),
            provider: "google".to_owned(),
            method: "oauth".to_owned(),
            sealed: None,
            redirect_to: None,
            created_at: DateTime::UNIX_EPOCH,
            code_issued_at: None,
        }
    }

    #[test]
    fn a_verifier_and_its_challenge() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let hashed = flow("s256", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        assert!(is_verified(&hashed, verifier));
        assert!(!is_verified(&hashed, &verifier[1..]));
        assert!(!is_verified(
            &hashed,
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        ));
        assert!(is_verified(&flow("plain", verifier), verifier));
        assert!(!is_verified(&flow("plain", verifier), ""));
        assert!(!is_verified(&flow("none", verifier), verifier));
        let without = FlowState {
            code_challenge: None,
            ..hashed
        };
        assert!(!is_verified(&without, verifier));
    }
}
