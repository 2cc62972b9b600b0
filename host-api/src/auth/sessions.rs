//! Sessions.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::value::{id, json, maybe, maybe_id, maybe_time, number, text, time};
use super::{Session, Tx, sql};
use crate::data::own::Engine;
use crate::data::{DataError, Value};

impl<E: Engine> Tx<'_, E> {
    pub async fn session(&mut self, id: Uuid) -> Result<Option<Session>, DataError> {
        self.row(&sql::SESSION, &[text(id)]).await
    }

    /// As [`session`](Self::session); others who ask so wait until this transaction ends.
    pub async fn lock_session(&mut self, id: Uuid) -> Result<Option<Session>, DataError> {
        self.row(&sql::LOCK_SESSION, &[text(id)]).await
    }

    pub async fn insert_session(&mut self, session: &Session) -> Result<(), DataError> {
        self.write(&sql::INSERT_SESSION, &row(session)?).await?;
        Ok(())
    }

    pub async fn save_session(&mut self, session: &Session) -> Result<(), DataError> {
        self.write(&sql::SAVE_SESSION, &row(session)?).await?;
        Ok(())
    }

    pub async fn delete_session(&mut self, id: Uuid) -> Result<(), DataError> {
        self.write(&sql::DELETE_SESSION, &[text(id)]).await?;
        self.ended.push(id);
        Ok(())
    }

    /// All of the user's but `except`; their ids.
    pub async fn delete_sessions(
        &mut self,
        user_id: Uuid,
        except: Option<Uuid>,
    ) -> Result<Vec<Uuid>, DataError> {
        let args = [id(user_id), maybe_id(except)];
        let ended: Vec<Uuid> = self.rows(&sql::DELETE_SESSIONS, &args).await?;
        self.ended.extend(&ended);
        Ok(ended)
    }

    /// Sessions that ended after `since`, whoever ended them.
    pub async fn ended_sessions(&mut self, since: DateTime<Utc>) -> Result<Vec<Uuid>, DataError> {
        self.rows(&sql::ENDED_SESSIONS, &[time(since)]).await
    }

    /// Those of the user, newest first.
    pub async fn sessions(&mut self, user_id: Uuid) -> Result<Vec<Session>, DataError> {
        self.rows(&sql::SESSIONS, &[id(user_id)]).await
    }
}

/// In the order of `INSERT_SESSION`.
fn row(session: &Session) -> Result<[Value; 11], DataError> {
    Ok([
        id(session.id),
        id(session.user_id),
        text(&session.aal),
        json(&session.amr)?,
        number(session.counter),
        maybe_id(session.factor_id),
        time(session.created_at),
        time(session.refreshed_at),
        maybe_time(session.not_after),
        maybe(&session.user_agent),
        maybe(&session.ip),
    ])
}
