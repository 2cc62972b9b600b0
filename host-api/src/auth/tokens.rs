//! Codes and links that were sent.

use uuid::Uuid;

use super::value::{id, maybe_id, number, text, time};
use super::{OneTimeToken, TokenKind, Tx, sql};
use crate::data::DataError;
use crate::data::own::Engine;

impl<E: Engine> Tx<'_, E> {
    /// Replaces the user's token of the same kind.
    pub async fn put_token(&mut self, token: &OneTimeToken) -> Result<(), DataError> {
        let args = [
            id(token.id),
            id(token.user_id),
            text(token.kind.as_str()),
            text(&token.token_hash),
            text(&token.relates_to),
            number(token.attempts),
            maybe_id(token.flow_id),
            time(token.created_at),
        ];
        self.write(&sql::PUT_TOKEN, &args).await?;
        Ok(())
    }

    pub async fn token_by_hash(
        &mut self,
        token_hash: &str,
    ) -> Result<Option<OneTimeToken>, DataError> {
        let sql = self.either(&sql::LOCK_TOKEN_BY_HASH, &sql::TOKEN_BY_HASH);
        self.row(sql, &[text(token_hash)]).await
    }

    pub async fn token_of(
        &mut self,
        user_id: Uuid,
        kind: TokenKind,
    ) -> Result<Option<OneTimeToken>, DataError> {
        let sql = self.either(&sql::LOCK_TOKEN_OF, &sql::TOKEN_OF);
        self.row(sql, &[id(user_id), text(kind.as_str())]).await
    }

    /// Counts a wrong code.
    pub async fn count_attempt(&mut self, id: Uuid) -> Result<(), DataError> {
        self.write(&sql::COUNT_ATTEMPT, &[text(id)]).await?;
        Ok(())
    }

    /// Counts a wrong code for whatever of a kind was sent to an address, whosever it is to be.
    pub async fn count_attempts(
        &mut self,
        relates_to: &str,
        kind: TokenKind,
    ) -> Result<(), DataError> {
        let args = [text(relates_to), text(kind.as_str())];
        self.write(&sql::COUNT_ATTEMPTS, &args).await?;
        Ok(())
    }

    pub async fn delete_token(&mut self, id: Uuid) -> Result<(), DataError> {
        self.write(&sql::DELETE_TOKEN, &[text(id)]).await?;
        Ok(())
    }

    /// All of the user's.
    pub async fn delete_tokens(&mut self, user_id: Uuid) -> Result<(), DataError> {
        self.write(&sql::DELETE_TOKENS, &[id(user_id)]).await?;
        Ok(())
    }
}
