//! Sign-ins under way.

use uuid::Uuid;

use super::value::{id, maybe, maybe_id, maybe_time, text, time};
use super::{FlowState, Tx, sql};
use crate::data::own::Engine;
use crate::data::{DataError, Value};

impl<E: Engine> Tx<'_, E> {
    pub async fn insert_flow(&mut self, flow: &FlowState) -> Result<(), DataError> {
        self.write(&sql::INSERT_FLOW, &row(flow)).await?;
        Ok(())
    }

    pub async fn flow(&mut self, id: Uuid) -> Result<Option<FlowState>, DataError> {
        let sql = self.either(&sql::LOCK_FLOW, &sql::FLOW);
        self.row(sql, &[text(id)]).await
    }

    pub async fn flow_by_code(
        &mut self,
        auth_code_hash: &str,
    ) -> Result<Option<FlowState>, DataError> {
        let sql = self.either(&sql::LOCK_FLOW_BY_CODE, &sql::FLOW_BY_CODE);
        self.row(sql, &[text(auth_code_hash)]).await
    }

    pub async fn save_flow(&mut self, flow: &FlowState) -> Result<(), DataError> {
        self.write(&sql::SAVE_FLOW, &row(flow)).await?;
        Ok(())
    }

    pub async fn delete_flow(&mut self, id: Uuid) -> Result<(), DataError> {
        self.write(&sql::DELETE_FLOW, &[text(id)]).await?;
        Ok(())
    }

    /// All of the user's: codes that were given and not exchanged yet are worth nothing.
    pub async fn delete_flows(&mut self, user_id: Uuid) -> Result<(), DataError> {
        self.write(&sql::DELETE_FLOWS, &[text(user_id)]).await?;
        Ok(())
    }
}

/// In the order of `INSERT_FLOW`.
fn row(flow: &FlowState) -> [Value; 12] {
    [
        id(flow.id),
        maybe_id(flow.user_id),
        maybe_id(flow.linking_user_id),
        maybe(&flow.auth_code_hash),
        maybe(&flow.code_challenge),
        maybe(&flow.code_challenge_method),
        text(&flow.provider),
        text(&flow.method),
        maybe(&flow.sealed),
        maybe(&flow.redirect_to),
        time(flow.created_at),
        maybe_time(flow.code_issued_at),
    ]
}
