//! Refresh tokens: a session's id and the number of the token, sealed with a key that no database has.
//!
//! ```text
//! base64url( 0 | session id (16) | number (uvarint) | MAC (16) | check (4) )
//! ```
//! A session has one row whatever its number of refreshes. The check tells a damaged token from a forged one.

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pumice_host_api::AppId;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

const VERSION: u8 = 0;
const MAC: usize = 16;
const CHECK: usize = 4;

/// Why a text is no refresh token of the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRefresh {
    /// Cut off or mistyped.
    Malformed,
    /// Of another app or server, or made up.
    Forged,
}

/// The refresh token `number` of a session.
pub fn write(key: &hmac::Key, app: AppId, session: Uuid, number: i64) -> String {
    let mut token = vec![VERSION];
    token.extend_from_slice(session.as_bytes());
    let mut rest = number as u64;
    while rest >= 0x80 {
        token.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    token.push(rest as u8);
    let mac = mac(key, app, &token);
    token.extend_from_slice(&mac);
    let check = check_of(&token);
    token.extend_from_slice(&check);
    URL_SAFE_NO_PAD.encode(token)
}

/// The session and number of a token.
///
/// # Errors
/// [`BadRefresh`].
pub fn read(key: &hmac::Key, app: AppId, token: &str) -> Result<(Uuid, i64), BadRefresh> {
    // A number has ten bytes at most.
    if token.len() > 80 {
        return Err(BadRefresh::Malformed);
    }
    let bytes = URL_SAFE_NO_PAD
        .decode(token)
        .map_err(|_| BadRefresh::Malformed)?;
    let (signed, check) = split_end(&bytes, CHECK)?;
    if check_of(signed) != *check {
        return Err(BadRefresh::Malformed);
    }
    let (content, given) = split_end(signed, MAC)?;
    let Some((&[VERSION], content)) = content.split_first_chunk::<1>() else {
        return Err(BadRefresh::Malformed);
    };
    let Some((session, number)) = content.split_first_chunk::<16>() else {
        return Err(BadRefresh::Malformed);
    };
    let signed = &signed[..signed.len() - MAC];
    if !bool::from(mac(key, app, signed).ct_eq(given)) {
        return Err(BadRefresh::Forged);
    }
    let mut value = 0_u64;
    for (place, byte) in number.iter().enumerate() {
        value |= u64::from(byte & 0x7f)
            .checked_shl(7 * place as u32)
            .ok_or(BadRefresh::Malformed)?;
    }
    Ok((Uuid::from_bytes(*session), value as i64))
}

fn split_end(bytes: &[u8], length: usize) -> Result<(&[u8], &[u8]), BadRefresh> {
    let at = bytes
        .len()
        .checked_sub(length)
        .ok_or(BadRefresh::Malformed)?;
    Ok(bytes.split_at(at))
}

fn check_of(content: &[u8]) -> [u8; CHECK] {
    let mut check = [0; CHECK];
    let whole = digest::digest(&digest::SHA256, content);
    check.copy_from_slice(&whole.as_ref()[..CHECK]);
    check
}

fn mac(key: &hmac::Key, app: AppId, content: &[u8]) -> [u8; MAC] {
    let mut context = hmac::Context::with_key(key);
    context.update(app.0.as_bytes());
    context.update(content);
    let mut mac = [0; MAC];
    mac.copy_from_slice(&context.sign().as_ref()[..MAC]);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_its_session_and_number_to_its_app_alone() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"one");
        let (app, session) = (AppId(Uuid::new_v4()), Uuid::new_v4());
        for number in [0, 1, 127, 128, 300, i64::MAX] {
            let token = write(&key, app, session, number);
            assert_eq!(read(&key, app, &token), Ok((session, number)));
            let other = AppId(Uuid::new_v4());
            assert_eq!(read(&key, other, &token), Err(BadRefresh::Forged));
            let other = hmac::Key::new(hmac::HMAC_SHA256, b"two");
            assert_eq!(read(&other, app, &token), Err(BadRefresh::Forged));
            for place in 0..token.len() {
                let mut changed = token.clone().into_bytes();
                changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
                let changed = String::from_utf8(changed).unwrap();
                assert_ne!(read(&key, app, &changed), Ok((session, number)), "{place}");
                assert!(read(&key, app, &token[..place]).is_err());
            }
        }
        for bad in ["", "a", "?", &"a".repeat(81), "6j3k2l1m0n9b"] {
            assert_eq!(read(&key, app, bad), Err(BadRefresh::Malformed));
        }
    }
}
