//! What rows are, whatever their order.

use std::fmt;

use sha2::Digest as _;

/// How many rows, and the sum of their SHA-256 as numbers: the same for the same rows in any order, so
/// that a table needs neither a key nor an order that both engines share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    pub rows: u64,
    sum: [u64; 4],
}

impl Digest {
    pub fn add(&mut self, row: &[u8]) {
        let hash = sha2::Sha256::digest(row);
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(hash.chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().unwrap_or_default());
        }
        self.merge(Digest {
            rows: 1,
            sum: words,
        });
    }

    pub fn merge(&mut self, other: Digest) {
        self.rows += other.rows;
        let mut carry = false;
        for (word, more) in self.sum.iter_mut().zip(other.sum) {
            let (sum, over) = word.overflowing_add(more);
            let (sum, again) = sum.overflowing_add(u64::from(carry));
            (*word, carry) = (sum, over || again);
        }
    }
}

impl fmt::Display for Digest {
    /// Hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.sum.iter().flat_map(|word| word.to_le_bytes());
        bytes
            .into_iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[&str]) -> Digest {
        let mut digest = Digest::default();
        rows.iter().for_each(|row| digest.add(row.as_bytes()));
        digest
    }

    #[test]
    fn order_does_not_matter_and_rows_do() {
        assert_eq!(of(&["a", "b", "b"]), of(&["b", "a", "b"]));
        for other in [&["a", "b"][..], &["a", "a", "b"], &["ab"], &[]] {
            assert_ne!(of(&["a", "b", "b"]).to_string(), of(other).to_string());
        }
        let mut parts = of(&["a"]);
        parts.merge(of(&["b", "b"]));
        assert_eq!(parts, of(&["a", "b", "b"]));
    }
}
