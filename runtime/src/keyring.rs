//! The server's one secret, `secret.key` in the data folder, and the keys derived from it.
//!
//! Whoever has the file can read sealed values and sign artifacts; nothing else in the data folder
//! lets them.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, RandomizedNonceKey};
use aws_lc_rs::{hkdf, hmac};

/// Derived keys; the root itself is not kept.
pub struct Keyring {
    artifacts: hmac::Key,
    refresh_tokens: hmac::Key,
    codes: hmac::Key,
    seal: RandomizedNonceKey,
}

/// A sealed value that does not open: another key, another place, or damage.
#[derive(Debug, thiserror::Error)]
#[error("a sealed value does not open; is secret.key the one this data folder was made with?")]
pub struct Unsealable;

impl Keyring {
    /// Reads `secret.key` in `folder`, or makes it, readable by its owner only.
    ///
    /// # Errors
    /// When the file cannot be read or made, or is not 32 bytes long.
    pub fn open(folder: &Path) -> std::io::Result<Keyring> {
        let path = folder.join("secret.key");
        let root = match std::fs::read(&path) {
            Ok(root) => root,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let root: [u8; 32] = rand::random();
                let mut file = std::fs::OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&path)?;
                file.write_all(&root)?;
                file.sync_all()?;
                root.to_vec()
            }
            Err(error) => return Err(error),
        };
        if root.len() != 32 {
            let message = format!(
                "{} must have 32 bytes and has {}",
                path.display(),
                root.len()
            );
            return Err(std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                message,
            ));
        }
        let derive = |purpose: &[u8]| {
            derive(&root, purpose).map_err(|_| std::io::Error::other("key derivation failed"))
        };
        let seal = RandomizedNonceKey::new(&AES_256_GCM, &derive(b"seal")?);
        Ok(Keyring {
            artifacts: hmac::Key::new(hmac::HMAC_SHA256, &derive(b"artifacts")?),
            refresh_tokens: hmac::Key::new(hmac::HMAC_SHA256, &derive(b"refresh tokens")?),
            codes: hmac::Key::new(hmac::HMAC_SHA256, &derive(b"codes")?),
            seal: seal.map_err(|_| std::io::Error::other("key derivation failed"))?,
        })
    }

    /// The key of the artifact store's MACs.
    pub fn artifacts(&self) -> hmac::Key {
        self.artifacts.clone()
    }

    /// The key under which refresh tokens are written.
    pub fn refresh_tokens(&self) -> &hmac::Key {
        &self.refresh_tokens
    }

    /// The key from which links are made of codes.
    pub fn codes(&self) -> &hmac::Key {
        &self.codes
    }

    /// Encrypts `value` so that it opens only at `place` (what it is and whose).
    ///
    /// # Errors
    /// When the random source fails.
    pub fn seal(&self, place: &str, value: &[u8]) -> Result<Vec<u8>, Unsealable> {
        let mut sealed = value.to_vec();
        let nonce = self
            .seal
            .seal_in_place_append_tag(Aad::from(place), &mut sealed)
            .map_err(|_| Unsealable)?;
        let mut out = nonce.as_ref().to_vec();
        out.extend_from_slice(&sealed);
        Ok(out)
    }

    /// The value that was sealed at `place`.
    ///
    /// # Errors
    /// [`Unsealable`] for anything else.
    pub fn open_sealed(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>, Unsealable> {
        let (nonce, body) = sealed
            .split_at_checked(aws_lc_rs::aead::NONCE_LEN)
            .ok_or(Unsealable)?;
        let nonce =
            aws_lc_rs::aead::Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unsealable)?;
        let mut body = body.to_vec();
        let value = self
            .seal
            .open_in_place(nonce, Aad::from(place), &mut body)
            .map_err(|_| Unsealable)?;
        Ok(value.to_vec())
    }
}

fn derive(root: &[u8], purpose: &[u8]) -> Result<[u8; 32], aws_lc_rs::error::Unspecified> {
    let mut key = [0; 32];
    hkdf::Salt::new(hkdf::HKDF_SHA256, b"pumice")
        .extract(root)
        .expand(&[purpose], hkdf::HKDF_SHA256)?
        .fill(&mut key)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_opens_where_it_was_sealed_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let keyring = Keyring::open(folder.path()).unwrap();
        let sealed = keyring.seal("secret/shop/KEY", b"value").unwrap();
        assert_eq!(
            Keyring::open(folder.path())
                .unwrap()
                .open_sealed("secret/shop/KEY", &sealed)
                .unwrap(),
            b"value"
        );
        assert!(keyring.open_sealed("secret/forum/KEY", &sealed).is_err());
        assert!(
            keyring
                .open_sealed("secret/shop/KEY", &sealed[1..])
                .is_err()
        );
        assert!(keyring.open_sealed("secret/shop/KEY", b"").is_err());
        let other = tempfile::tempdir().unwrap();
        assert!(
            Keyring::open(other.path())
                .unwrap()
                .open_sealed("secret/shop/KEY", &sealed)
                .is_err()
        );
    }
}
