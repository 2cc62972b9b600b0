//! Lines for the app's log, read with `pumice logs`. Each carries the invocation's id by itself.
//!
//! ```ignore
//! use pumice::log;
//!
//! log::info!("order {id} was paid");
//! log::warn!("slow reply"; host = host, milliseconds = elapsed.as_millis());
//! ```
//!
//! What stands behind `;` becomes fields of the line, written by [`Display`](std::fmt::Display). What is
//! printed with `println!` and `eprintln!` gets there too, at `info` and `error`. With the feature `log-crate`
//! so does what libraries write through the crate `log`, each line with its target as a field.

use crate::bindings::imports::pumice::platform::log as host;

#[doc(inline)]
pub use crate::{
    __log_debug as debug, __log_error as error, __log_info as info, __log_trace as trace,
    __log_warn as warn,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// Writes one line with its fields. A message longer than 16 KiB is cut by the host.
pub fn write(level: Level, message: &str, fields: &[(String, String)]) {
    let level = match level {
        Level::Trace => host::Level::Trace,
        Level::Debug => host::Level::Debug,
        Level::Info => host::Level::Info,
        Level::Warn => host::Level::Warn,
        Level::Error => host::Level::Error,
    };
    host::write(level, message, fields);
}

/// Makes the app's log the receiver of the crate `log`, unless the function has already named another.
#[cfg(feature = "log-crate")]
pub(crate) fn receive_log_crate() {
    if log_crate::set_logger(&Receiver).is_ok() {
        log_crate::set_max_level(log_crate::LevelFilter::Trace);
    }
}

#[cfg(feature = "log-crate")]
struct Receiver;

#[cfg(feature = "log-crate")]
impl log_crate::Log for Receiver {
    fn enabled(&self, _: &log_crate::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log_crate::Record<'_>) {
        let level = match record.level() {
            log_crate::Level::Trace => Level::Trace,
            log_crate::Level::Debug => Level::Debug,
            log_crate::Level::Info => Level::Info,
            log_crate::Level::Warn => Level::Warn,
            log_crate::Level::Error => Level::Error,
        };
        let fields = [("target".to_owned(), record.target().to_owned())];
        write(level, &record.args().to_string(), &fields);
    }

    fn flush(&self) {}
}

#[doc(hidden)]
#[macro_export]
macro_rules! __log_line {
    ($level:ident, $format:literal $(, $argument:expr)* $(,)?) => {
        $crate::log::write(
            $crate::log::Level::$level,
            &::std::format!($format $(, $argument)*),
            &[],
        )
    };
    ($level:ident, $format:literal $(, $argument:expr)*; $($field:ident = $value:expr),+ $(,)?) => {
        $crate::log::write(
            $crate::log::Level::$level,
            &::std::format!($format $(, $argument)*),
            &[$((
                ::std::string::String::from(::std::stringify!($field)),
                ::std::string::ToString::to_string(&$value),
            )),+],
        )
    };
}

/// Writes a line at level `trace`.
#[macro_export]
#[doc(hidden)]
macro_rules! __log_trace {
    ($($line:tt)*) => { $crate::__log_line!(Trace, $($line)*) };
}

/// Writes a line at level `debug`.
#[macro_export]
#[doc(hidden)]
macro_rules! __log_debug {
    ($($line:tt)*) => { $crate::__log_line!(Debug, $($line)*) };
}

/// Writes a line at level `info`.
#[macro_export]
#[doc(hidden)]
macro_rules! __log_info {
    ($($line:tt)*) => { $crate::__log_line!(Info, $($line)*) };
}

/// Writes a line at level `warn`.
#[macro_export]
#[doc(hidden)]
macro_rules! __log_warn {
    ($($line:tt)*) => { $crate::__log_line!(Warn, $($line)*) };
}

/// Writes a line at level `error`.
#[macro_export]
#[doc(hidden)]
macro_rules! __log_error {
    ($($line:tt)*) => { $crate::__log_line!(Error, $($line)*) };
}
