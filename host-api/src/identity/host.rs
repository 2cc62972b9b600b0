use chrono::Utc;

use crate::HostCtx;
use crate::bindings::pumice::platform::identity;
use crate::data::DataError;
use crate::permissions::{PermissionError, Permissions, Who};

impl identity::Host for HostCtx {
    fn caller(&mut self) -> wasmtime::Result<identity::Who> {
        self.charge(self.standing.caller.claims.len())?;
        Ok(identity::Who {
            role: self.standing.caller.role.as_str().to_owned(),
            user_id: self.standing.caller.user_id.map(|id| id.to_string()),
            claims: self.standing.caller.claims.as_ref().to_owned(),
        })
    }

    fn app(&mut self) -> wasmtime::Result<String> {
        Ok(self.entry.app.as_str().to_owned())
    }

    async fn has_permission(
        &mut self,
        permission: String,
    ) -> wasmtime::Result<Result<bool, identity::Error>> {
        self.charge(permission.len())?;
        let Some(store) = self.entry.data.clone() else {
            return Ok(Err(identity::Error::NotConfigured));
        };
        if store.is_external() {
            return Ok(Err(identity::Error::NotConfigured));
        }
        let who = Who::of(&self.standing.caller);
        let held = Permissions::new(store)
            .check(&who, &permission, None, Utc::now())
            .await;
        Ok(held.map_err(told))
    }
}

/// What a guest is told.
fn told(error: PermissionError) -> identity::Error {
    match error {
        PermissionError::Unknown(name) => identity::Error::UnknownPermission(name),
        PermissionError::Data(DataError::Internal(why)) => {
            tracing::error!(%why, "a permission was not looked up");
            identity::Error::Other("the app's permissions cannot be read now".to_owned())
        }
        PermissionError::Data(DataError::Unavailable(_)) => {
            identity::Error::Other("the app's permissions cannot be read now".to_owned())
        }
        error => identity::Error::Other(error.to_string()),
    }
}
