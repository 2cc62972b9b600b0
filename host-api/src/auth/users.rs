//! Users and their identities.

use uuid::Uuid;

use super::value::{count, id, json, maybe, maybe_time, number, text, time};
use super::{Identity, Tx, User, UserFilter, sql};
use crate::data::own::{Engine, optional};
use crate::data::{DataError, Value};

impl<E: Engine> Tx<'_, E> {
    /// The user, with identities and factors.
    pub async fn user(&mut self, id: Uuid) -> Result<Option<User>, DataError> {
        self.row(&sql::USER, &[text(id)]).await
    }

    /// As [`user`](Self::user); others who ask so wait until this transaction ends.
    pub async fn lock_user(&mut self, id: Uuid) -> Result<Option<User>, DataError> {
        self.rows::<serde::de::IgnoredAny>(&sql::LOCK_USER, &[text(id)])
            .await?;
        self.user(id).await
    }

    /// `email` in lower case. A deleted user has none.
    pub async fn user_by_email(&mut self, email: &str) -> Result<Option<User>, DataError> {
        self.row(&sql::USER_BY_EMAIL, &[text(email)]).await
    }

    /// A deleted user has none.
    pub async fn user_by_phone(&mut self, phone: &str) -> Result<Option<User>, DataError> {
        self.row(&sql::USER_BY_PHONE, &[text(phone)]).await
    }

    /// A deleted user too, who still has the identity.
    pub async fn user_by_identity(
        &mut self,
        provider: &str,
        provider_id: &str,
    ) -> Result<Option<User>, DataError> {
        let args = [text(provider), text(provider_id)];
        self.row(&sql::USER_BY_IDENTITY, &args).await
    }

    /// Adds the row of `user` alone; false when its id, address or phone number is taken.
    pub async fn insert_user(&mut self, user: &User) -> Result<bool, DataError> {
        Ok(self.write(&sql::INSERT_USER, &row(user)?).await? == 1)
    }

    /// Writes every column of `user`; false when its address or phone number is another's, or there is
    /// no such user.
    pub async fn save_user(&mut self, user: &User) -> Result<bool, DataError> {
        Ok(self.write(&sql::SAVE_USER, &row(user)?).await? == 1)
    }

    /// Removes the user with all that is theirs here, and what foreign keys of the app's tables say:
    /// 23503 when one of them refuses.
    pub async fn delete_user(&mut self, id: Uuid) -> Result<(), DataError> {
        self.delete_sessions(id, None).await?;
        for of_theirs in [&sql::DELETE_USERS_ROLES, &sql::DELETE_USERS_GRANTS] {
            self.write(of_theirs, &[text(id)]).await?;
        }
        self.write(&sql::DELETE_USER, &[text(id)]).await?;
        Ok(())
    }

    /// Newest first, deleted ones too.
    pub async fn users(
        &mut self,
        filter: &UserFilter,
        offset: u64,
        limit: u64,
    ) -> Result<Vec<User>, DataError> {
        let part = optional(filter.text.as_deref());
        let args = [part, count(offset), count(limit)];
        self.rows(&sql::USERS, &args).await
    }

    pub async fn count_users(&mut self, filter: &UserFilter) -> Result<u64, DataError> {
        let part = optional(filter.text.as_deref());
        self.number(&sql::COUNT_USERS, &[part]).await
    }

    /// False when the provider's user is bound already.
    pub async fn insert_identity(&mut self, identity: &Identity) -> Result<bool, DataError> {
        let args = identity_row(identity)?;
        Ok(self.write(&sql::INSERT_IDENTITY, &args).await? == 1)
    }

    pub async fn save_identity(&mut self, identity: &Identity) -> Result<(), DataError> {
        self.write(&sql::SAVE_IDENTITY, &identity_row(identity)?)
            .await?;
        Ok(())
    }

    pub async fn delete_identity(&mut self, id: Uuid) -> Result<(), DataError> {
        self.write(&sql::DELETE_IDENTITY, &[text(id)]).await?;
        Ok(())
    }
}

/// In the order of `INSERT_USER`.
fn row(user: &User) -> Result<[Value; 25], DataError> {
    Ok([
        id(user.id),
        text(&user.aud),
        text(&user.role),
        maybe(&user.email),
        maybe(&user.phone),
        maybe(&user.password_hash),
        maybe_time(user.email_confirmed_at),
        maybe_time(user.phone_confirmed_at),
        maybe_time(user.invited_at),
        maybe_time(user.confirmation_sent_at),
        maybe_time(user.recovery_sent_at),
        maybe(&user.email_change),
        number(user.email_change_half),
        maybe_time(user.email_change_sent_at),
        maybe(&user.phone_change),
        maybe_time(user.phone_change_sent_at),
        maybe_time(user.reauthentication_sent_at),
        maybe_time(user.last_sign_in_at),
        json(&user.app_metadata)?,
        json(&user.user_metadata)?,
        maybe_time(user.banned_until),
        maybe_time(user.deleted_at),
        number(user.is_anonymous),
        time(user.created_at),
        time(user.updated_at),
    ])
}

fn identity_row(identity: &Identity) -> Result<[Value; 8], DataError> {
    Ok([
        id(identity.id),
        id(identity.user_id),
        text(&identity.provider),
        text(&identity.provider_id),
        json(&identity.identity_data)?,
        maybe_time(identity.last_sign_in_at),
        time(identity.created_at),
        time(identity.updated_at),
    ])
}
