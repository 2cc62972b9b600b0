use wasmtime::component::Resource;

use super::Secret;
use crate::HostCtx;
use crate::bindings::pumice::platform::secrets;

impl secrets::Host for HostCtx {
    fn get(
        &mut self,
        name: String,
    ) -> wasmtime::Result<Result<Resource<secrets::Secret>, secrets::Error>> {
        self.charge(name.len())?;
        match self.entry.secrets.get(&name) {
            None => Ok(Err(secrets::Error::NotGranted(name))),
            Some(None) => Ok(Err(secrets::Error::NotSet(name))),
            Some(Some(_)) => Ok(Ok(self.push(Secret { name })?)),
        }
    }
}

impl secrets::HostSecret for HostCtx {
    fn reveal(&mut self, secret: Resource<secrets::Secret>) -> wasmtime::Result<String> {
        let secret: &Secret = self.table.get(secret.rep())?;
        let value = self
            .entry
            .secrets
            .get(&secret.name)
            .flatten()
            .unwrap_or_default()
            .to_owned();
        self.charge(value.len())?;
        Ok(value)
    }

    fn drop(&mut self, secret: Resource<secrets::Secret>) -> wasmtime::Result<()> {
        self.table.delete::<Secret>(secret.rep()).map(drop)
    }
}
