//! Members of the platform: people and machines that use its API, each with a role and tokens of its own.
//!
//! The platform key of `platform.json` is the owner's, whoever the members are. What a role may, and what a
//! route needs, stands in [`roles`].

mod roles;
mod routes;
mod sql;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use uuid::Uuid;

use super::{Platform, PlatformError};
use crate::limits;
use crate::services::auth::extract;

pub use self::roles::APPS_KEYS;
pub(super) use self::routes::{authorize, router};

use self::roles::{MEMBERS_WRITE, OWNER, ROLES, may};

/// What members' tokens begin with.
const PREFIX: &str = "pumice_";

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    pub id: Uuid,
    pub name: String,
    /// One of `owner`, `admin`, `developer`, `billing` and `viewer`.
    pub role: String,
    pub created_at: String,
}

/// A token of a member as it is shown: not what it opens with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberToken {
    pub id: Uuid,
    pub name: String,
    pub created_at: String,
    /// Seconds since 1970.
    pub expires_at: i64,
}

/// A member that came by one of its tokens.
#[derive(Clone, Debug)]
pub struct Session {
    pub member: Member,
    /// When the token ends.
    pub expires_at: i64,
}

/// Who uses the platform's API.
#[derive(Clone, Debug)]
pub enum Acting {
    /// Whoever has the platform key.
    Key,
    Member(Session),
}

impl Acting {
    /// Whether it may do what is called so below `platform.`.
    pub fn may(&self, permission: &str) -> bool {
        match self {
            Acting::Key => true,
            Acting::Member(session) => may(&session.member.role, permission),
        }
    }

    fn is_owner(&self) -> bool {
        match self {
            Acting::Key => true,
            Acting::Member(session) => session.member.role == OWNER,
        }
    }

    /// # Errors
    /// [`MemberError::Outlives`] for a token that ends after the one it is made with, whoever's it is to
    /// be: a stolen one would live on as another member's. The platform key makes what it likes.
    fn may_give_until(&self, expires_at: i64) -> Result<(), MemberError> {
        match self {
            Acting::Member(session) if expires_at > session.expires_at => {
                Err(MemberError::Outlives)
            }
            Acting::Key | Acting::Member(_) => Ok(()),
        }
    }

    /// # Errors
    /// [`MemberError::Owners`] when `role` is an owner's and this is none.
    fn may_touch(&self, role: &str) -> Result<(), MemberError> {
        match role == OWNER && !self.is_owner() {
            true => Err(MemberError::Owners),
            false => Ok(()),
        }
    }
}

/// Why something about members was refused.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    #[error("there is no member {0}; `pumice members list` shows those there are")]
    NoMember(Uuid),
    #[error("the member has no token {0}; `pumice members tokens` shows those there are")]
    NoToken(Uuid),
    #[error("{0}")]
    Invalid(String),
    #[error("there is a member `{0}` already")]
    Exists(String),
    #[error("this is the last owner; make another member owner first")]
    LastOwner,
    #[error("{what}; {max} are the most")]
    TooMany { what: String, max: i64 },
    #[error("only an owner makes, changes and removes owners and their tokens")]
    Owners,
    #[error("these are another member's tokens; they need the permission `platform.members.write`")]
    Others,
    #[error(
        "a token cannot make one that outlives it; ask for an earlier end, or use the platform key"
    )]
    Outlives,
    #[error("this needs the permission `platform.{permission}`, which the role `{role}` has not")]
    Denied {
        role: String,
        permission: &'static str,
    },
}

/// What is kept of a token. It has 256 random bits: nothing slower is needed.
fn hash(token: &str) -> Vec<u8> {
    digest(&SHA256, token.as_bytes()).as_ref().to_vec()
}

fn seconds() -> i64 {
    extract::now().try_into().unwrap_or(i64::MAX)
}

/// # Errors
/// [`MemberError::Invalid`].
fn checked_name(name: &str) -> Result<(), MemberError> {
    let letters = name.chars().count();
    let fits = (1..=limits::MEMBER_NAME_MAX).contains(&letters);
    match fits && !name.contains(char::is_control) && name.trim() == name {
        true => Ok(()),
        false => Err(MemberError::Invalid(format!(
            "a name has 1 to {} letters, and no space at its ends",
            limits::MEMBER_NAME_MAX
        ))),
    }
}

/// # Errors
/// [`MemberError::Invalid`].
fn checked_role(role: &str) -> Result<(), MemberError> {
    match ROLES.contains(&role) {
        true => Ok(()),
        false => Err(MemberError::Invalid(format!(
            "{role:?} is no role; use {}",
            ROLES.join(", ")
        ))),
    }
}

impl Platform {
    /// Whose token this is; none for what opens nothing.
    ///
    /// # Errors
    /// The system database's.
    pub async fn session(&self, token: &str) -> Result<Option<Session>, PlatformError> {
        if !token.starts_with(PREFIX) || token.len() > limits::TOKEN_BYTES_MAX {
            return Ok(None);
        }
        self.sql.session(&hash(token), seconds()).await
    }

    /// All members, in order of name.
    ///
    /// # Errors
    /// The system database's.
    pub async fn members(&self) -> Result<Vec<Member>, PlatformError> {
        self.sql.members().await
    }

    async fn member(&self, id: Uuid) -> Result<Member, PlatformError> {
        let found = self.sql.member(id).await?;
        Ok(found.ok_or(MemberError::NoMember(id))?)
    }

    /// # Errors
    /// [`MemberError::Invalid`], [`MemberError::Exists`], [`MemberError::Owners`],
    /// [`MemberError::TooMany`].
    pub async fn add_member(
        &self,
        acting: &Acting,
        name: &str,
        role: &str,
    ) -> Result<Member, PlatformError> {
        checked_name(name)?;
        checked_role(role)?;
        acting.may_touch(role)?;
        let count = self.sql.members().await?.len() as i64;
        if count >= limits::MEMBERS_MAX {
            let what = format!("the platform has {count} members");
            let max = limits::MEMBERS_MAX;
            return Err(MemberError::TooMany { what, max }.into());
        }
        let member = Member {
            id: Uuid::now_v7(),
            name: name.to_owned(),
            role: role.to_owned(),
            created_at: super::now(),
        };
        match self.sql.add_member(&member).await? {
            true => Ok(member),
            false => Err(MemberError::Exists(member.name).into()),
        }
    }

    /// # Errors
    /// [`MemberError::NoMember`], [`MemberError::Invalid`], [`MemberError::Owners`],
    /// [`MemberError::LastOwner`].
    pub async fn set_role(
        &self,
        acting: &Acting,
        id: Uuid,
        role: &str,
    ) -> Result<Member, PlatformError> {
        checked_role(role)?;
        let member = self.member(id).await?;
        acting.may_touch(role)?;
        acting.may_touch(&member.role)?;
        if !self.sql.set_role(id, role).await? {
            return Err(MemberError::LastOwner.into());
        }
        let role = role.to_owned();
        Ok(Member { role, ..member })
    }

    /// Removes a member; its tokens open nothing from now on.
    ///
    /// # Errors
    /// [`MemberError::NoMember`], [`MemberError::Owners`], [`MemberError::LastOwner`].
    pub async fn delete_member(&self, acting: &Acting, id: Uuid) -> Result<(), PlatformError> {
        let member = self.member(id).await?;
        acting.may_touch(&member.role)?;
        match self.sql.delete_member(id).await? {
            true => Ok(()),
            false => Err(MemberError::LastOwner.into()),
        }
    }

    /// The member whose tokens `acting` asks for, if it may.
    async fn keeper(&self, acting: &Acting, id: Uuid) -> Result<Member, PlatformError> {
        let is_own = matches!(acting, Acting::Member(session) if session.member.id == id);
        if !is_own && !acting.may(MEMBERS_WRITE) {
            return Err(MemberError::Others.into());
        }
        let member = self.member(id).await?;
        acting.may_touch(&member.role)?;
        Ok(member)
    }

    /// A member's tokens that have not expired.
    ///
    /// # Errors
    /// [`MemberError::NoMember`], [`MemberError::Others`], [`MemberError::Owners`].
    pub async fn tokens(
        &self,
        acting: &Acting,
        id: Uuid,
    ) -> Result<Vec<MemberToken>, PlatformError> {
        let member = self.keeper(acting, id).await?;
        self.sql.tokens(member.id, seconds()).await
    }

    /// Makes a token that lives for `life` seconds. What it opens with is the second answer, and is never
    /// shown again.
    ///
    /// # Errors
    /// As [`tokens`](Self::tokens); [`MemberError::Invalid`], [`MemberError::Outlives`],
    /// [`MemberError::TooMany`].
    pub async fn add_token(
        &self,
        acting: &Acting,
        id: Uuid,
        name: &str,
        life: Option<u64>,
    ) -> Result<(MemberToken, String), PlatformError> {
        checked_name(name)?;
        let member = self.keeper(acting, id).await?;
        let life = life.unwrap_or(limits::MEMBER_TOKEN_LIFE.as_secs());
        let max = limits::MEMBER_TOKEN_LIFE_MAX.as_secs();
        if !(1..=max).contains(&life) {
            let why = format!("expires_in is {life}; write 1 to {max} seconds");
            return Err(MemberError::Invalid(why).into());
        }
        let now = seconds();
        let expires_at = now.saturating_add_unsigned(life);
        acting.may_give_until(expires_at)?;
        let count = self.sql.tokens(member.id, now).await?.len() as i64;
        if count >= limits::MEMBER_TOKENS_MAX {
            let what = format!("the member has {count} tokens");
            let max = limits::MEMBER_TOKENS_MAX;
            return Err(MemberError::TooMany { what, max }.into());
        }
        let secret = rand::random::<[u8; 32]>();
        let plain = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(secret));
        let token = MemberToken {
            id: Uuid::now_v7(),
            name: name.to_owned(),
            created_at: super::now(),
            expires_at,
        };
        self.sql
            .add_token(member.id, &token, &hash(&plain), now)
            .await?;
        Ok((token, plain))
    }

    /// The token opens nothing from now on.
    ///
    /// # Errors
    /// As [`tokens`](Self::tokens); [`MemberError::NoToken`].
    pub async fn delete_token(
        &self,
        acting: &Acting,
        id: Uuid,
        token: Uuid,
    ) -> Result<(), PlatformError> {
        let member = self.keeper(acting, id).await?;
        match self.sql.delete_token(member.id, token).await? {
            true => Ok(()),
            false => Err(MemberError::NoToken(token).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_token_makes_one_that_outlives_it() {
        for role in ROLES {
            let acting = Acting::Member(Session {
                member: Member {
                    id: Uuid::nil(),
                    name: role.to_owned(),
                    role: role.to_owned(),
                    created_at: String::new(),
                },
                expires_at: 100,
            });
            assert!(acting.may_give_until(100).is_ok(), "{role}");
            let refused = acting.may_give_until(101);
            assert!(matches!(refused, Err(MemberError::Outlives)), "{role}");
        }
        assert!(Acting::Key.may_give_until(i64::MAX).is_ok());
    }
}
