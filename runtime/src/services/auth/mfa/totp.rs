//! Codes of the minute (RFC 6238): SHA-1, six digits, thirty seconds, which is what every authenticator knows.

use chrono::{DateTime, Utc};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};
use totp_rs::{Builder, Secret};

/// Bytes of a secret: as many as SHA-1 has (RFC 4226, section 4).
pub const SECRET: usize = 20;
/// Seconds.
const STEP: i64 = 30;
/// Steps that a phone's clock may be behind or ahead (RFC 6238, section 5.2).
const SKEW: i64 = 1;

/// A new secret.
pub fn secret() -> [u8; SECRET] {
    rand::random()
}

/// As people type it.
pub fn base32(secret: &[u8]) -> String {
    Secret::from(secret).to_base32()
}

/// The step of time whose code `code` is, at `now`; only one after `last_step`, so that no code is taken twice.
///
/// Every code is computed and compared, whichever it is.
pub fn step_of(
    secret: &[u8],
    code: &str,
    now: DateTime<Utc>,
    last_step: Option<i64>,
) -> Option<i64> {
    let totp = Builder::new().with_secret(secret).build_noncompliant();
    let current = now.timestamp().div_euclid(STEP);
    let mut found = i64::MIN;
    // The latest one of several: an earlier one would leave the same code good for the later.
    for step in current - SKEW..=current + SKEW {
        let seconds = u64::try_from(step * STEP).ok()?;
        let expected = totp.generate(seconds).to_string();
        let fresh = Choice::from(u8::from(last_step.is_none_or(|last| step > last)));
        let equal = expected.as_bytes().ct_eq(code.as_bytes());
        found.conditional_assign(&step, equal & fresh);
    }
    (found != i64::MIN).then_some(found)
}

/// The address that a QR code shows to an authenticator, as Google Authenticator's wiki describes it
/// (github.com/google/google-authenticator/wiki/Key-Uri-Format).
pub fn uri(secret: &[u8], issuer: &str, account: &str) -> String {
    // A colon parts issuer and account.
    let (issuer, account) = (issuer.replace(':', " "), account.replace(':', " "));
    let (issuer, account) = (encoded(issuer.trim()), encoded(account.trim()));
    format!(
        "otpauth://totp/{issuer}:{account}?algorithm=SHA1&digits=6&issuer={issuer}&period={STEP}&secret={}",
        base32(secret)
    )
}

/// In percent signs. A space is `%20`: authenticators show a `+` as it stands.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'@' => {
                out.push(char::from(byte));
            }
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B.
    const KEY: &[u8; SECRET] = b"12345678901234567890";

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn codes_are_those_of_the_rfc() {
        // The last six of its eight digits.
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            let step = step_of(KEY, code, at(seconds), None);
            assert_eq!(step, Some(seconds / 30), "{seconds}");
        }
    }

    #[test]
    fn a_clock_may_be_one_step_off() {
        // The code of the step that begins at 1,111,111,110.
        let code = "050471";
        let begin = 1_111_111_110;
        let step = Some(begin / 30);
        assert_eq!(step_of(KEY, code, at(begin - 31), None), None);
        assert_eq!(step_of(KEY, code, at(begin - 30), None), step);
        assert_eq!(step_of(KEY, code, at(begin), None), step);
        assert_eq!(step_of(KEY, code, at(begin + 29), None), step);
        assert_eq!(step_of(KEY, code, at(begin + 59), None), step);
        assert_eq!(step_of(KEY, code, at(begin + 60), None), None);
    }

    #[test]
    fn no_step_is_taken_twice_nor_one_before_it() {
        let begin = 1_111_111_110;
        let step = begin / 30;
        let take = |code, last| step_of(KEY, code, at(begin), Some(last));
        assert_eq!(take("050471", step - 1), Some(step));
        assert_eq!(take("050471", step), None);
        assert_eq!(take("050471", step + 1), None);
        // The code of the step before, after the one of now.
        assert_eq!(take("081804", step - 2), Some(step - 1));
        assert_eq!(take("081804", step), None);
    }

    #[test]
    fn what_is_no_code_is_none() {
        let now = at(1_111_111_111);
        for code in [
            "",
            "05047",
            "0504711",
            "050472",
            "50471",
            "+50471",
            "05 471",
            "٠٥٠٤٧١",
        ] {
            assert_eq!(step_of(KEY, code, now, None), None, "{code}");
        }
        assert_eq!(step_of(&[0; SECRET], "050471", now, None), None);
    }

    #[test]
    fn an_authenticator_reads_the_address() {
        assert_eq!(
            uri(KEY, "Ada's Shop: Rome", "ada+1@example.com"),
            "otpauth://totp/Ada%27s%20Shop%20%20Rome:ada%2B1@example.com?algorithm=SHA1&digits=6&issuer=Ada%27s%20Shop%20%20Rome&period=30&secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
        );
        assert_ne!(secret(), secret());
    }
}
