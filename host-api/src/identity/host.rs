use crate::HostCtx;
use crate::bindings::pumice::platform::identity;

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

    fn has_permission(
        &mut self,
        permission: String,
    ) -> wasmtime::Result<Result<bool, identity::Error>> {
        self.charge(permission.len())?;
        Ok(Err(identity::Error::NotConfigured))
    }
}
