use super::{Level, line_size};
use crate::HostCtx;
use crate::bindings::pumice::platform::log;

impl log::Host for HostCtx {
    fn write(
        &mut self,
        level: log::Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        // All that was handed over, though a part may be cut: the host has copied it.
        self.charge(line_size(&message, &fields))?;
        let level = match level {
            log::Level::Trace => Level::Trace,
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        self.log.write(&self.entry, level, &message, &fields);
        Ok(())
    }
}
