//! Second factors, their challenges, and recovery codes.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::value::{id, json, maybe, maybe_time, number, text, time};
use super::{Challenge, Factor, FactorStatus, Tx, sql};
use crate::data::own::Engine;
use crate::data::{DataError, Value};

impl<E: Engine> Tx<'_, E> {
    pub async fn insert_factor(&mut self, factor: &Factor) -> Result<(), DataError> {
        self.write(&sql::INSERT_FACTOR, &factor_row(factor)).await?;
        Ok(())
    }

    pub async fn save_factor(&mut self, factor: &Factor) -> Result<(), DataError> {
        self.write(&sql::SAVE_FACTOR, &factor_row(factor)).await?;
        Ok(())
    }

    /// With its challenges.
    pub async fn delete_factor(&mut self, id: Uuid) -> Result<(), DataError> {
        self.write(&sql::DELETE_FACTOR, &[text(id)]).await?;
        Ok(())
    }

    pub async fn insert_challenge(&mut self, challenge: &Challenge) -> Result<(), DataError> {
        self.write(&sql::INSERT_CHALLENGE, &challenge_row(challenge))
            .await?;
        Ok(())
    }

    pub async fn challenge(&mut self, id: Uuid) -> Result<Option<Challenge>, DataError> {
        let sql = self.either(&sql::LOCK_CHALLENGE, &sql::CHALLENGE);
        self.row(sql, &[text(id)]).await
    }

    pub async fn save_challenge(&mut self, challenge: &Challenge) -> Result<(), DataError> {
        self.write(&sql::SAVE_CHALLENGE, &challenge_row(challenge))
            .await?;
        Ok(())
    }

    /// Wrong codes for all challenges of the factor made since `since`.
    pub async fn wrong_codes(
        &mut self,
        factor_id: Uuid,
        since: DateTime<Utc>,
    ) -> Result<i64, DataError> {
        self.number(&sql::WRONG_CODES, &[id(factor_id), time(since)])
            .await
    }

    /// Replaces the user's recovery codes, given by their hashes.
    pub async fn put_recovery_codes(
        &mut self,
        user_id: Uuid,
        hashes: &[String],
    ) -> Result<(), DataError> {
        self.write(&sql::DELETE_RECOVERY_CODES, &[id(user_id)])
            .await?;
        let args = [id(user_id), json(&hashes)?];
        self.write(&sql::INSERT_RECOVERY_CODES, &args).await?;
        Ok(())
    }

    /// Uses one up; false when there is none such.
    pub async fn take_recovery_code(
        &mut self,
        user_id: Uuid,
        hash: &str,
    ) -> Result<bool, DataError> {
        let args = [id(user_id), text(hash)];
        Ok(self.write(&sql::TAKE_RECOVERY_CODE, &args).await? == 1)
    }

    /// How many are left.
    pub async fn count_recovery_codes(&mut self, user_id: Uuid) -> Result<i64, DataError> {
        self.number(&sql::COUNT_RECOVERY_CODES, &[id(user_id)])
            .await
    }
}

/// In the order of `INSERT_FACTOR`.
fn factor_row(factor: &Factor) -> [Value; 10] {
    let status = match factor.status {
        FactorStatus::Unverified => "unverified",
        FactorStatus::Verified => "verified",
    };
    [
        id(factor.id),
        id(factor.user_id),
        maybe(&factor.friendly_name),
        text(&factor.factor_type),
        text(status),
        text(&factor.secret),
        factor.last_step.map_or(Value::Null, Value::Integer),
        maybe_time(factor.last_challenged_at),
        time(factor.created_at),
        time(factor.updated_at),
    ]
}

/// In the order of `INSERT_CHALLENGE`.
fn challenge_row(challenge: &Challenge) -> [Value; 6] {
    [
        id(challenge.id),
        id(challenge.factor_id),
        time(challenge.created_at),
        maybe_time(challenge.verified_at),
        number(challenge.attempts),
        maybe(&challenge.ip),
    ]
}
