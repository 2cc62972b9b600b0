//! Codes for whoever has lost the phone. Each works once.

use uuid::Uuid;

use super::totp;
use crate::digest::Digest;
use crate::limits;

/// Bytes of a code: 80 bits, which nobody guesses, however often, and 16 letters to type.
const BYTES: usize = 10;
/// Letters between two dashes.
const GROUP: usize = 4;

/// New codes, as they are shown.
pub fn codes() -> Vec<String> {
    let code = || {
        let letters = totp::base32(&rand::random::<[u8; BYTES]>());
        let groups: Vec<&str> = (0..letters.len())
            .step_by(GROUP)
            .filter_map(|start| letters.get(start..(start + GROUP).min(letters.len())))
            .collect();
        groups.join("-")
    };
    (0..limits::RECOVERY_CODES).map(|_| code()).collect()
}

/// What is kept of a code of `user`: random as it is, it needs no salt and no slow hash. Case, dashes and
/// spaces do not matter.
pub fn hash(user: Uuid, code: &str) -> String {
    let letters = code.chars().filter(|char| !matches!(char, '-' | ' '));
    let letters: String = letters.flat_map(char::to_uppercase).collect();
    Digest::of(format!("recovery code/{user}/{letters}").as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_ten_of_eighty_bits() {
        let codes = codes();
        let different: BTreeSet<&String> = codes.iter().collect();
        assert_eq!((codes.len(), different.len()), (10, 10));
        for code in &codes {
            let groups: Vec<&str> = code.split('-').collect();
            assert!(groups.len() == 4 && groups.iter().all(|group| group.len() == 4));
            let letter = |byte: u8| matches!(byte, b'A'..=b'Z' | b'2'..=b'7');
            assert!(groups.concat().bytes().all(letter), "{code}");
        }
    }

    #[test]
    fn a_code_is_its_users_however_it_is_typed() {
        let (ada, bob) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let kept = hash(ada, "ABCD-EFGH-2345-WXYZ");
        assert_eq!(kept, hash(ada, " abcd efgh2345wxyz"));
        assert_ne!(kept, hash(ada, "ABCD-EFGH-2345-WXYY"));
        assert_ne!(kept, hash(bob, "ABCD-EFGH-2345-WXYZ"));
        assert_eq!(kept.len(), 64);
    }
}
