//! Codes and links that are sent once.
//!
//! A link carries a MAC of address and code; the database has the hash of that. So the code can be typed in
//! or the link followed, and nobody who reads the database can do either.

use aws_lc_rs::{digest, hmac};
use pumice_host_api::AppId;
use rand::RngExt as _;

/// In front of what a link carries when a client waits with a verifier (PKCE).
pub const PKCE_PREFIX: &str = "pkce_";

/// A code and what its link carries.
#[derive(Clone)]
pub struct Code {
    pub digits: String,
    /// `token_hash` of the dialect.
    pub link: String,
    /// What the database keeps.
    pub kept: String,
}

/// A new code for `address`.
pub fn new(key: &hmac::Key, app: AppId, address: &str, digits: u32, pkce: bool) -> Code {
    let code = rand::rng().random_range(0..10_u64.pow(digits));
    given(
        key,
        app,
        address,
        format!("{code:0width$}", width = digits as usize),
        pkce,
    )
}

/// The code `digits` that is not drawn: of a number for tests.
pub fn given(key: &hmac::Key, app: AppId, address: &str, digits: String, pkce: bool) -> Code {
    let link = link_of(key, app, address, &digits, pkce);
    Code {
        kept: kept(&link),
        digits,
        link,
    }
}

/// What the link of `code` carries.
pub fn link_of(key: &hmac::Key, app: AppId, address: &str, code: &str, pkce: bool) -> String {
    let mut context = hmac::Context::with_key(key);
    context.update(app.0.as_bytes());
    context.update(&(address.len() as u64).to_le_bytes());
    context.update(address.as_bytes());
    context.update(code.as_bytes());
    let mac = hex(&context.sign().as_ref()[..28]);
    match pkce {
        true => format!("{PKCE_PREFIX}{mac}"),
        false => mac,
    }
}

/// What the database keeps of a secret that is sent: its SHA-256 in hex.
pub fn kept(secret: &str) -> String {
    hex(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref())
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_and_its_link_are_one_secret() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"key");
        let app = AppId(uuid::Uuid::nil());
        let code = new(&key, app, "a@b.co", 6, false);
        assert_eq!(code.digits.len(), 6);
        assert!(code.digits.bytes().all(|byte| byte.is_ascii_digit()));
        assert_eq!(code.link, link_of(&key, app, "a@b.co", &code.digits, false));
        assert_eq!(code.kept, kept(&code.link));
        assert_ne!(
            code.link,
            link_of(&key, app, "a@b.c", &format!("o{}", code.digits), false)
        );
        assert!(
            new(&key, app, "a@b.co", 10, true)
                .link
                .starts_with(PKCE_PREFIX)
        );
    }
}
