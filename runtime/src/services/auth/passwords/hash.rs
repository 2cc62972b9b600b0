//! Hashes as they are kept, and those of other systems that may be brought along.
//!
//! | format | of |
//! | --- | --- |
//! | `$argon2id$v=19$m=19456,t=2,p=1$salt$hash` | ours; `argon2i` and other parameters are imported |
//! | `$2a$10$…`, `$2b$…`, `$2y$…` | bcrypt: it takes 72 bytes of a password and leaves the rest out |
//! | `$scrypt$ln=17,r=8,p=1$salt$hash` | scrypt (RFC 7914) |
//! | `$fbscrypt$v=1,n=14,r=8,p=1,ss=…,sk=…$salt$hash` | Firebase: scrypt's key encrypts the project's signer key |

use std::sync::atomic::{AtomicU64, Ordering};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use subtle::ConstantTimeEq as _;

use super::{Checked, PasswordError, normal};
use crate::limits;

/// Memory in KiB, passes, lanes: the first choice of OWASP's Password Storage Cheat Sheet, read in 2026.
const MEMORY: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT: usize = 16;
const HASH: usize = 32;

/// Standard base64 without padding, as PHC strings have it; padding is taken as well.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A hash taken apart, all its parameters within [`limits`].
pub enum Stored {
    Argon2 {
        algorithm: Algorithm,
        version: Version,
        params: Params,
        salt: Vec<u8>,
        hash: Vec<u8>,
    },
    Bcrypt(String),
    Scrypt {
        params: scrypt::Params,
        salt: Vec<u8>,
        hash: Vec<u8>,
    },
    Firebase {
        params: scrypt::Params,
        /// The user's, and the project's separator behind it.
        salt: Vec<u8>,
        signer: Vec<u8>,
        hash: Vec<u8>,
    },
}

impl Stored {
    /// None for another format, a damaged one, or one that would take too much.
    pub fn parse(text: &str) -> Option<Stored> {
        if text.len() > limits::PASSWORD_HASH_BYTES_MAX {
            return None;
        }
        let mut parts = text.strip_prefix('$')?.split('$');
        match parts.next()? {
            "argon2id" => argon2(Algorithm::Argon2id, parts),
            "argon2i" => argon2(Algorithm::Argon2i, parts),
            "2a" | "2b" | "2y" => {
                let hash: bcrypt::HashParts = text.parse().ok()?;
                let cost = 4..=limits::IMPORTED_BCRYPT_COST;
                cost.contains(&hash.get_cost())
                    .then(|| Stored::Bcrypt(text.to_owned()))
            }
            "scrypt" => {
                let pairs = Pairs(parts.next()?);
                let params = scrypt_params(pairs.number("ln")?, &pairs)?;
                let (salt, hash) = salt_and_hash(parts)?;
                (16..=64)
                    .contains(&hash.len())
                    .then_some(Stored::Scrypt { params, salt, hash })
            }
            "fbscrypt" => {
                let pairs = Pairs(parts.next()?);
                if pairs.number("v")? != 1 {
                    return None;
                }
                let params = scrypt_params(pairs.number("n")?, &pairs)?;
                let (mut salt, hash) = salt_and_hash(parts)?;
                if let Some(separator) = pairs.get("ss") {
                    salt.extend(decode(separator)?);
                }
                let signer = decode(pairs.get("sk")?)?;
                (hash.len() >= 32 && hash.len() == signer.len()).then_some(Stored::Firebase {
                    params,
                    salt,
                    signer,
                    hash,
                })
            }
            _ => None,
        }
    }

    /// Whether we would make it so today.
    fn is_ours(&self) -> bool {
        match self {
            Stored::Argon2 {
                algorithm: Algorithm::Argon2id,
                version: Version::V0x13,
                params,
                salt,
                hash,
            } => {
                (params.m_cost(), params.t_cost(), params.p_cost()) == (MEMORY, PASSES, LANES)
                    && salt.len() >= SALT
                    && hash.len() >= HASH
            }
            _ => false,
        }
    }
}

fn argon2<'t>(algorithm: Algorithm, parts: impl Iterator<Item = &'t str>) -> Option<Stored> {
    let mut parts = parts.peekable();
    // A string without a version is of the first one.
    let version = match parts.next_if(|part| part.starts_with("v=")) {
        Some("v=19") => Version::V0x13,
        Some("v=16") | None => Version::V0x10,
        Some(_) => return None,
    };
    let pairs = Pairs(parts.next()?);
    let (memory, passes, lanes) = (pairs.number("m")?, pairs.number("t")?, pairs.number("p")?);
    let (salt, hash) = salt_and_hash(parts)?;
    let work = (u64::from(memory) * 1024).checked_mul(u64::from(passes))?;
    let bounded = u64::from(memory) * 1024 <= limits::IMPORTED_HASH_BYTES
        && work <= limits::IMPORTED_HASH_WORK_BYTES
        && lanes <= 64
        && salt.len() >= argon2::MIN_SALT_LEN
        && (16..=64).contains(&hash.len());
    // Each lane has a thread's worth of blocks; `Params` checks that there is memory for them.
    let params = Params::new(memory, passes, lanes, Some(hash.len())).ok()?;
    bounded.then_some(Stored::Argon2 {
        algorithm,
        version,
        params,
        salt,
        hash,
    })
}

/// `ln` is the logarithm of scrypt's N.
fn scrypt_params(ln: u32, pairs: &Pairs<'_>) -> Option<scrypt::Params> {
    let (r, p) = (pairs.number("r")?, pairs.number("p")?);
    if !(1..=30).contains(&ln) || !(1..=1_024).contains(&r) || !(1..=1_024).contains(&p) {
        return None;
    }
    let memory = (128 * u64::from(r)) << ln;
    let bounded = memory <= limits::IMPORTED_HASH_BYTES
        && memory * u64::from(p) <= limits::IMPORTED_HASH_WORK_BYTES;
    let params = scrypt::Params::new(ln as u8, r, p).ok()?;
    bounded.then_some(params)
}

fn salt_and_hash<'t>(mut parts: impl Iterator<Item = &'t str>) -> Option<(Vec<u8>, Vec<u8>)> {
    let (salt, hash) = (decode(parts.next()?)?, decode(parts.next()?)?);
    (parts.next().is_none() && !salt.is_empty()).then_some((salt, hash))
}

/// Base64 in the standard alphabet or the one of URLs, in which Firebase exports.
fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text.replace('-', "+").replace('_', "/")).ok()
}

/// `m=19456,t=2,p=1`
struct Pairs<'t>(&'t str);

impl<'t> Pairs<'t> {
    fn get(&self, key: &str) -> Option<&'t str> {
        let pairs = self.0.split(',').filter_map(|pair| pair.split_once('='));
        let mut values = pairs.filter(|(name, _)| *name == key);
        values.next().map(|(_, value)| value)
    }

    fn number(&self, key: &str) -> Option<u32> {
        let text = self.get(key)?;
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    }
}

/// One thread's work. The memory of argon2 is kept from one run to the next.
pub struct Hasher<'r> {
    blocks: Vec<Block>,
    runs: &'r AtomicU64,
}

impl<'r> Hasher<'r> {
    /// `runs` counts argon2's.
    pub fn new(runs: &'r AtomicU64) -> Hasher<'r> {
        Hasher {
            blocks: Vec::new(),
            runs,
        }
    }

    /// The string to keep of a new password.
    pub fn hash(&mut self, password: &str) -> Result<String, PasswordError> {
        let salt: [u8; SALT] = rand::random();
        let mut hash = [0; HASH];
        let algorithm = Algorithm::Argon2id;
        let params = our_params()?;
        let password = normal(password);
        let password = password.as_bytes();
        self.argon2(
            Argon2::new(algorithm, Version::V0x13, params),
            password,
            &salt,
            &mut hash,
        )?;
        Ok(format!(
            "${algorithm}$v=19$m={MEMORY},t={PASSES},p={LANES}${}${}",
            BASE64.encode(salt),
            BASE64.encode(hash)
        ))
    }

    /// Whether `stored` is a hash of `password`.
    ///
    /// With our parameters there is one argon2 run, whatever it says, and so there is without `stored` and
    /// with one that is none. Another format takes its own run, and ours behind it: for the better hash, or
    /// for nothing.
    pub fn verify(
        &mut self,
        password: &str,
        stored: Option<&str>,
    ) -> Result<Checked, PasswordError> {
        let parsed = stored.and_then(Stored::parse);
        if stored.is_some() && parsed.is_none() {
            tracing::warn!(
                "a user's password hash is of no known format; nobody can sign in with it"
            );
        }
        let Some(parsed) = parsed else {
            self.hash(password)?;
            return Ok(Checked {
                matches: false,
                better: None,
            });
        };
        let matches = self.matches(password, &parsed)?;
        if parsed.is_ours() {
            return Ok(Checked {
                matches,
                better: None,
            });
        }
        let better = self.hash(password)?;
        Ok(Checked {
            matches,
            better: matches.then_some(better),
        })
    }

    fn matches(&mut self, password: &str, stored: &Stored) -> Result<bool, PasswordError> {
        // Another system hashed the bytes as they came.
        let raw = password.as_bytes();
        let equal = |found: &[u8], hash: &[u8]| bool::from(found.ct_eq(hash));
        Ok(match stored {
            Stored::Argon2 {
                algorithm,
                version,
                params,
                salt,
                hash,
            } => {
                let normal = normal(password);
                let password = if stored.is_ours() {
                    normal.as_bytes()
                } else {
                    raw
                };
                let mut found = vec![0; hash.len()];
                let argon2 = Argon2::new(*algorithm, *version, params.clone());
                self.argon2(argon2, password, salt, &mut found)?;
                equal(&found, hash)
            }
            Stored::Bcrypt(hash) => bcrypt::verify(raw, hash).map_err(failed)?,
            Stored::Scrypt { params, salt, hash } => {
                let mut found = vec![0; hash.len()];
                scrypt::scrypt(raw, salt, params, &mut found).map_err(failed)?;
                equal(&found, hash)
            }
            Stored::Firebase {
                params,
                salt,
                signer,
                hash,
            } => {
                let mut key = [0; 32];
                scrypt::scrypt(raw, salt, params, &mut key).map_err(failed)?;
                let key = UnboundCipherKey::new(&AES_256, &key).map_err(failed)?;
                // The key is the password's and the salt's alone; Firebase counts from zero.
                let start = EncryptionContext::Iv128(FixedLength::from([0; 16]));
                let mut found = signer.clone();
                EncryptingKey::ctr(key)
                    .and_then(|key| key.less_safe_encrypt(&mut found, start))
                    .map_err(failed)?;
                equal(&found, hash)
            }
        })
    }

    fn argon2(
        &mut self,
        argon2: Argon2<'_>,
        password: &[u8],
        salt: &[u8],
        hash: &mut [u8],
    ) -> Result<(), PasswordError> {
        let ours = our_params()?.block_count();
        let blocks = argon2.params().block_count().max(ours);
        if self.blocks.len() < blocks {
            self.blocks.resize(blocks, Block::default());
        }
        self.runs.fetch_add(1, Ordering::Relaxed);
        let done = argon2.hash_password_into_with_memory(password, salt, hash, &mut self.blocks);
        // An imported hash may have taken more.
        self.blocks.truncate(ours);
        self.blocks.shrink_to_fit();
        done.map_err(failed)
    }
}

fn our_params() -> Result<Params, PasswordError> {
    Params::new(MEMORY, PASSES, LANES, Some(HASH)).map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> PasswordError {
    PasswordError::Hash(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the password matches, whether there is a better hash, and argon2's runs.
    fn verify(password: &str, stored: Option<&str>) -> (bool, bool, u64) {
        let runs = AtomicU64::new(0);
        let checked = Hasher::new(&runs).verify(password, stored).unwrap();
        (
            checked.matches,
            checked.better.is_some(),
            runs.load(Ordering::Relaxed),
        )
    }

    /// All of them in other systems' words.
    const IMPORTED: [(&str, &str); 10] = [
        // The reference implementation's test.c, of both versions and both algorithms.
        (
            "password",
            "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA",
        ),
        (
            "password",
            "$argon2i$m=65536,t=2,p=1$c29tZXNhbHQ$9sTbSlTio3Biev89thdrlKKiCaYsjjYVJxGAL3swxpQ",
        ),
        (
            "password",
            "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        ),
        (
            "password",
            "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
        ),
        // Openwall's crypt_blowfish, wrapper.c.
        (
            "U*U",
            "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        ),
        (
            "U*U*",
            "$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK",
        ),
        (
            "U*U*U",
            "$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a",
        ),
        // RFC 7914, section 12, as PHC strings.
        (
            "password",
            "$scrypt$ln=10,r=8,p=16$TmFDbA$/bq+HJ00cgB4VucZDQHp/nxq18vII3gw53N2Y0s3MWIurzDZLiKjiG/xCSedmDDaxyevuUqD7m2DYMvfoswGQA",
        ),
        (
            "pleaseletmein",
            "$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofLVQylVYT8Pz2LUlwUkKpr55h6F3A1lHkDfzwF7RVdYhw",
        ),
        // The README of github.com/firebase/scrypt.
        (
            "user1password",
            "$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk=jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==$42xEC+ixf3L2lw==$lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==",
        ),
    ];

    #[test]
    fn argon2_is_what_the_rfc_says() {
        // RFC 9106, section 5.3, has a secret and data besides, which no PHC string carries: the algorithm
        // alone is checked here, over memory that another run has used.
        let runs = AtomicU64::new(0);
        let mut hasher = Hasher::new(&runs);
        hasher.hash("somebody else's").unwrap();
        let data = argon2::AssociatedData::new(&[4; 12]).unwrap();
        let params = argon2::ParamsBuilder::new()
            .m_cost(32)
            .t_cost(3)
            .p_cost(4)
            .data(data)
            .output_len(32)
            .build()
            .unwrap();
        let algorithm = Algorithm::Argon2id;
        let argon2 = Argon2::new_with_secret(&[3; 8], algorithm, Version::V0x13, params).unwrap();
        let mut hash = [0; 32];
        hasher
            .argon2(argon2, &[1; 32], &[2; 16], &mut hash)
            .unwrap();
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"
        );
    }

    #[test]
    fn ours_matches_with_one_run_and_stays() {
        let runs = AtomicU64::new(0);
        let mut hasher = Hasher::new(&runs);
        let hash = hasher.hash("vLq7#pumice").unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        assert_ne!(hasher.hash("vLq7#pumice").unwrap(), hash);
        assert_eq!(verify("vLq7#pumice", Some(&hash)), (true, false, 1));
        assert_eq!(verify("vLq7#pumicf", Some(&hash)), (false, false, 1));
        assert_eq!(verify("", Some(&hash)), (false, false, 1));
    }

    #[test]
    fn nobody_costs_what_somebody_costs() {
        assert_eq!(verify("vLq7#pumice", None), (false, false, 1));
        assert_eq!(verify("vLq7#pumice", Some("")), (false, false, 1));
        assert_eq!(verify("vLq7#pumice", Some("plain")), (false, false, 1));
    }

    #[test]
    fn imported_hashes_match_and_are_made_better() {
        for (password, hash) in IMPORTED {
            let argon2 = u64::from(hash.starts_with("$argon2"));
            assert!(crate::services::auth::passwords::is_hash(hash), "{hash}");
            assert_eq!(
                verify(password, Some(hash)),
                (true, true, 1 + argon2),
                "{hash}"
            );
            let wrong = format!("{password}!");
            assert_eq!(
                verify(&wrong, Some(hash)),
                (false, false, 1 + argon2),
                "{hash}"
            );
        }
        let runs = AtomicU64::new(0);
        let (password, hash) = IMPORTED[4];
        let better = Hasher::new(&runs).verify(password, Some(hash)).unwrap();
        let better = better.better.unwrap();
        assert_eq!(verify(password, Some(&better)), (true, false, 1));
    }

    #[test]
    fn the_other_letters_of_bcrypt_mean_the_same() {
        let (password, hash) = IMPORTED[6];
        for version in ["$2b$", "$2y$"] {
            let hash = hash.replace("$2a$", version);
            assert_eq!(verify(password, Some(&hash)), (true, true, 1), "{hash}");
        }
        // The one with an error of its own.
        assert!(Stored::parse(&hash.replace("$2a$", "$2x$")).is_none());
    }

    #[test]
    fn nothing_is_cut_off_but_by_bcrypt_itself() {
        let long = "0123456789abcdef".repeat(64);
        let runs = AtomicU64::new(0);
        let mut hasher = Hasher::new(&runs);
        let ours = hasher.hash(&long).unwrap();
        assert!(verify(&long, Some(&ours)).0);
        let shorter = &long[..long.len() - 1];
        assert!(!verify(shorter, Some(&ours)).0);

        let theirs = bcrypt::hash_with_salt(&long, 4, [7; 16])
            .unwrap()
            .to_string();
        assert!(verify(&long[..72], Some(&theirs)).0);
        assert!(!verify(&long[..71], Some(&theirs)).0);
        // From the first sign-in on it is the whole password that counts.
        let better = hasher.verify(&long, Some(&theirs)).unwrap().better.unwrap();
        assert!(!verify(&long[..72], Some(&better)).0);
    }

    #[test]
    fn one_word_typed_in_two_ways_is_one_password() {
        let runs = AtomicU64::new(0);
        let hash = Hasher::new(&runs).hash("caf\u{e9} Bj\u{f6}rn").unwrap();
        assert!(verify("cafe\u{301} Bjo\u{308}rn", Some(&hash)).0);
        assert!(!verify("cafe Bjorn", Some(&hash)).0);
        // Compatibility is another matter: a ligature is not two letters.
        let hash = Hasher::new(&runs).hash("\u{fb01}sh").unwrap();
        assert!(!verify("fish", Some(&hash)).0);
        // Another system took the bytes as they came.
        let theirs = bcrypt::hash_with_salt("cafe\u{301}", 4, [7; 16]).unwrap();
        assert!(verify("cafe\u{301}", Some(&theirs.to_string())).0);
    }

    #[test]
    fn what_would_take_too_much_is_no_hash() {
        let argon2 = |rest: &str| {
            format!("$argon2id$v=19${rest}$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
        };
        let scrypt = |rest: &str| {
            format!("$scrypt${rest}$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
        };
        let bcrypt = |cost: u32| {
            format!("$2b${cost:02}$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW")
        };
        for edge in [
            argon2("m=131072,t=4,p=1"),
            argon2("m=8,t=1,p=1"),
            argon2("m=65536,t=8,p=4"),
            scrypt("ln=17,r=8,p=1"),
            scrypt("ln=17,r=8,p=4"),
            bcrypt(4),
            bcrypt(14),
        ] {
            assert!(Stored::parse(&edge).is_some(), "{edge}");
        }
        for beyond in [
            argon2("m=131073,t=1,p=1"),
            argon2("m=131072,t=5,p=1"),
            argon2("m=8,t=65537,p=1"),
            argon2("m=4294967295,t=4294967295,p=1"),
            argon2("m=65536,t=2,p=65"),
            argon2("m=7,t=1,p=1"),
            argon2("m=65536,t=0,p=1"),
            argon2("m=65536,t=2,p=0"),
            scrypt("ln=18,r=8,p=1"),
            scrypt("ln=17,r=9,p=1"),
            scrypt("ln=17,r=8,p=5"),
            scrypt("ln=63,r=8,p=1"),
            scrypt("ln=14,r=0,p=1"),
            scrypt("ln=14,r=8,p=0"),
            scrypt("ln=14,r=4294967295,p=4294967295"),
            bcrypt(3),
            bcrypt(15),
            bcrypt(31),
            bcrypt(99),
        ] {
            assert!(Stored::parse(&beyond).is_none(), "{beyond}");
            assert_eq!(
                verify("password", Some(&beyond)),
                (false, false, 1),
                "{beyond}"
            );
        }
    }

    #[test]
    fn what_is_damaged_is_no_hash() {
        for (_, hash) in IMPORTED {
            for end in 0..hash.len() - 2 {
                // A hash that is cut in its last part may be a shorter one of the same form: never below 16 bytes.
                if let Some(Stored::Argon2 { hash, .. } | Stored::Scrypt { hash, .. }) =
                    Stored::parse(&hash[..end])
                {
                    assert!(hash.len() >= 16);
                } else {
                    assert!(Stored::parse(&hash[..end]).is_none(), "{}", &hash[..end]);
                }
            }
            assert!(Stored::parse(&format!("{hash}$more")).is_none());
        }
        for other in [
            "$argon2d$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            "$argon2id$v=20$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            "$argon2id$v=19$m=+65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            "$argon2id$v=19$m=65536,t=2,p=1$c2hvcnQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            "$fbscrypt$v=2,n=14,r=8,p=1,sk=jxspr8Ki0RYycVU8zykbdA==$42xEC+ixf3L2lw==$lSrfV15cpx95/sZS2W9c9A==",
            "$fbscrypt$v=1,n=14,r=8,p=1,sk=jxspr8Ki0RYycVU8zykbdA==$42xEC+ixf3L2lw==$lSrfV15cpx95/sZS2W9c9A==",
            "$1$salt$qJH7.N4xYta3aEG/dfqo/0",
            "5f4dcc3b5aa765d61d8327deb882cf99",
        ] {
            assert!(Stored::parse(other).is_none(), "{other}");
        }
        let long = format!("$scrypt$ln=14,r=8,p=1$c29tZXNhbHQ${}", "A".repeat(1024));
        assert!(Stored::parse(&long).is_none());
    }
}
