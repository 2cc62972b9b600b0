use std::time::Duration;

use super::CacheError;
use crate::HostCtx;
use crate::bindings::pumice::platform::cache::{self, Error};

impl cache::Host for HostCtx {
    fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        self.charge(key.len())?;
        let found = match self.entry.cache.get(&key) {
            Ok(found) => found,
            Err(error) => return Ok(Err(error.into())),
        };
        self.charge(found.as_ref().map_or(0, |value| value.len()))?;
        Ok(Ok(found.map(Vec::from)))
    }

    fn set(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.charge(key.len() + value.len())?;
        Ok(match self.entry.kind.only_reads() {
            true => Err(Error::NotInBeforeTrigger),
            false => self
                .entry
                .cache
                .set(key, value.into(), ttl(ttl_ms))
                .map_err(Error::from),
        })
    }

    fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), Error>> {
        self.charge(key.len())?;
        Ok(match self.entry.kind.only_reads() {
            true => Err(Error::NotInBeforeTrigger),
            false => self.entry.cache.delete(&key).map_err(Error::from),
        })
    }

    fn increment(
        &mut self,
        key: String,
        by: i64,
        ttl_ms: Option<u64>,
    ) -> wasmtime::Result<Result<i64, Error>> {
        self.charge(key.len())?;
        Ok(match self.entry.kind.only_reads() {
            true => Err(Error::NotInBeforeTrigger),
            false => self
                .entry
                .cache
                .increment(key, by, ttl(ttl_ms))
                .map_err(Error::from),
        })
    }
}

fn ttl(ms: Option<u64>) -> Option<Duration> {
    ms.map(Duration::from_millis)
}

impl From<CacheError> for Error {
    fn from(error: CacheError) -> Self {
        match error {
            CacheError::TooLarge => Error::TooLarge(error.to_string()),
            CacheError::NotACounter => Error::NotACounter,
        }
    }
}
