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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::HostLimits;
    use crate::testing;

    #[test]
    fn writing_is_charged_by_the_line() {
        let mut ctx = testing::ctx(HostLimits::default());
        let fields = vec![("k".to_owned(), "vv".to_owned()); 2];
        let size = line_size("msg", &fields) as u64;
        log::Host::write(&mut ctx, log::Level::Info, "msg".to_owned(), fields).unwrap();
        let usage = ctx.usage();
        assert_eq!((usage.host_call_bytes, usage.log_bytes), (size, size));
    }
}
