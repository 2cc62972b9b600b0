//! The id of a request, and of everything that happens because of it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderValue;

/// A request's id: unique, ordered by time, shown as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestId(u128);

impl RequestId {
    /// Milliseconds, this process's random part, a counter: no system call and no lock.
    pub fn next() -> RequestId {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        static PROCESS: std::sync::LazyLock<u32> = std::sync::LazyLock::new(rand::random);
        let time = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |elapsed| elapsed.as_millis());
        let count = COUNTER.fetch_add(1, Ordering::Relaxed) & 0xffff_ffff_ffff;
        RequestId(time << 80 | u128::from(*PROCESS) << 48 | u128::from(count))
    }

    /// The id that an invocation carries.
    pub fn of(invocation: pumice_host_api::InvocationId) -> RequestId {
        RequestId(invocation.0.as_u128())
    }

    /// The same id as a UUID.
    pub fn uuid(self) -> uuid::Uuid {
        uuid::Uuid::from_u128(self.0)
    }

    fn digits(self) -> [u8; 32] {
        let mut digits = [0; 32];
        for (place, digit) in digits.iter_mut().enumerate() {
            let value = (self.0 >> (124 - 4 * place)) as u8 & 15;
            *digit = if value < 10 {
                b'0' + value
            } else {
                b'a' + value - 10
            };
        }
        digits
    }

    /// The value of `x-request-id`.
    pub fn header(self) -> HeaderValue {
        HeaderValue::from_bytes(&self.digits()).unwrap_or(HeaderValue::from_static(""))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_differ_and_are_ordered() {
        let ids: Vec<String> = (0..1000).map(|_| RequestId::next().to_string()).collect();
        assert!(ids.iter().all(|id| id.len() == 32));
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
