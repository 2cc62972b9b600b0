//! What reads input from outside, as functions of bytes: for fuzzers, in CI and for hours.
//!
//! Each must come back, whatever it is given. `fuzz/` wraps them for cargo-fuzz.

pub use crate::services::auth::api::fuzz as auth;
use crate::services::auth::keys::api::Opaque;
use crate::services::auth::keys::signing::{ForeignSigner, read_accepted};
use crate::services::auth::keys::token::{Claims, Header, Token};

/// A token, an API key or a JWK as sent; then its first line as a token's header, and the rest as its claims.
pub fn token(input: &[u8]) {
    const NOW: u64 = 1_800_000_000;
    let text = String::from_utf8_lossy(input);
    let text = text.trim_end();
    let _ = Opaque::of(text);
    if let Ok(token) = Token::parse(text) {
        let _ = token.claims(NOW);
    }
    let _ = read_accepted(text);
    let _ = ForeignSigner::read(text);
    let line = input.iter().position(|byte| *byte == b'\n');
    let (header, claims) = input.split_at(line.unwrap_or(input.len()));
    let _ = Header::parse(header);
    let _ = Claims::parse(claims, NOW);
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::{Duration, Instant};

    use super::*;

    /// The corpus as it is, then parts of it cut, doubled and mixed, for five seconds.
    fn run(name: &str, target: fn(&[u8])) {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("../fuzz/corpus")
            .join(name);
        let files = std::fs::read_dir(folder).unwrap();
        let corpus: Vec<Vec<u8>> = files
            .map(|file| std::fs::read(file.unwrap().path()).unwrap())
            .collect();
        assert!(!corpus.is_empty());
        corpus.iter().for_each(|input| target(input));
        // xorshift: the same inputs in each run.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below.max(1) as u64) as usize
        };
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until {
            let mut input = corpus[random(corpus.len())].clone();
            for _ in 0..1 + random(6) {
                let at = random(input.len());
                match random(4) {
                    0 if !input.is_empty() => input[at] = random(256) as u8,
                    1 => input.truncate(at),
                    2 => {
                        let other = &corpus[random(corpus.len())];
                        let from = random(other.len());
                        let part = &other[from..from + random(other.len() - from)];
                        input.splice(at..at, part.iter().copied());
                    }
                    _ => {
                        let end = (at + random(8)).min(input.len());
                        input.drain(at.min(end)..end);
                    }
                }
            }
            target(&input);
        }
    }

    #[test]
    fn tokens_and_keys_of_any_shape_are_read() {
        run("token", token);
    }

    #[test]
    fn bodies_of_any_shape_are_read() {
        run("auth", auth);
    }
}
