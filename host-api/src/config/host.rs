use crate::HostCtx;
use crate::bindings::pumice::platform::config;

impl config::Host for HostCtx {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        let value = self.entry.config.get(&key).cloned();
        self.charge(key.len() + value.as_ref().map_or(0, String::len))?;
        Ok(value)
    }

    fn all(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        let size = self
            .entry
            .config
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        self.charge(size)?;
        let all = self.entry.config.iter();
        Ok(all
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }
}
