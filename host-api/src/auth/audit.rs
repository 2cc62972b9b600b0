//! What happened to users.

use super::value::{count, id, json, text, time};
use super::{AuditEntry, Tx, sql};
use crate::data::DataError;
use crate::data::own::{Engine, optional};

impl<E: Engine> Tx<'_, E> {
    pub async fn record(&mut self, entry: &AuditEntry) -> Result<(), DataError> {
        let args = [
            id(entry.id),
            json(&entry.payload)?,
            text(&entry.ip_address),
            time(entry.created_at),
        ];
        self.write(&sql::RECORD, &args).await?;
        Ok(())
    }

    /// Newest first; with `text` those whose payload contains it, in any case.
    pub async fn audit(
        &mut self,
        text: Option<&str>,
        offset: u64,
        limit: u64,
    ) -> Result<Vec<AuditEntry>, DataError> {
        let args = [optional(text), count(offset), count(limit)];
        self.rows(&sql::AUDIT, &args).await
    }

    pub async fn count_audit(&mut self, text: Option<&str>) -> Result<u64, DataError> {
        self.number(&sql::COUNT_AUDIT, &[optional(text)]).await
    }
}
