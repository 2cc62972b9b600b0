//! Passwords that attackers try first. No network: nobody is told what is looked for.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::FileExt;
use std::path::Path;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use super::normal;

/// The 100,000 most common passwords, and those of a file if there is one.
pub struct Leaked(Option<Lines>);

/// Lines `SHA1:count` in order, as the Pwned Passwords downloader writes them.
struct Lines {
    file: File,
    bytes: u64,
}

/// The SHA-1 of a password in capital hexadecimal digits, as a line begins.
type Key = [u8; KEY];
const KEY: usize = 40;
/// A key, a colon, the 20 digits of the largest count, and the end of the line in either style.
const LINE: usize = KEY + 1 + 20 + 2;
/// What is read at once and looked through in the end.
const BLOCK: u64 = 4096;
/// How many lines are looked at before the file is believed to be in order.
const PROBES: u64 = 32;

impl Leaked {
    /// With the passwords of the file at `path`, which is searched where it lies: several GB cost nothing.
    ///
    /// # Errors
    /// When it cannot be read; [`ErrorKind::InvalidData`] when it is not in that format, or in another order.
    pub fn open(path: Option<&Path>) -> Result<Leaked> {
        Ok(Leaked(match path {
            Some(path) => Some(Lines::open(path)?),
            None => None,
        }))
    }

    /// Whether attackers know `password`, or know it in small letters.
    ///
    /// A file that cannot be read any more knows nothing: the log says so, and sign-ups go on.
    pub fn contains(&self, password: &str) -> bool {
        let password = normal(password);
        let small = password.to_lowercase();
        let common = ::passwords::analyzer::is_common_password::<&str>;
        if common(&password) || common(&small) {
            return true;
        }
        let Some(lines) = &self.0 else {
            return false;
        };
        match lines.contains(&key(&password)) {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(%error, "the file of leaked passwords cannot be read");
                false
            }
        }
    }
}

fn key(password: &str) -> Key {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
    let mut key = [0; KEY];
    for (pair, byte) in key.chunks_exact_mut(2).zip(hash.as_ref()) {
        let digit = |half: u8| b"0123456789ABCDEF"[usize::from(half & 15)];
        pair.copy_from_slice(&[digit(byte >> 4), digit(*byte)]);
    }
    key
}

impl Lines {
    fn open(path: &Path) -> Result<Lines> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let lines = Lines { file, bytes };
        let mut last: Option<Key> = None;
        for probe in 0..PROBES {
            let at = match probe {
                0 => 0,
                _ => lines.next_line(bytes / PROBES * probe)?,
            };
            if at >= bytes {
                break;
            }
            let key = lines.key_at(at)?;
            if last.is_some_and(|last| last > key) {
                return Err(damaged("its lines are not in order of their hashes"));
            }
            last = Some(key);
        }
        match last {
            Some(_) => Ok(lines),
            None => Err(damaged("it is empty")),
        }
    }

    /// Where the first line begins after the byte at `from`; the file's end if none does.
    fn next_line(&self, from: u64) -> Result<u64> {
        let mut bytes = [0; LINE];
        let bytes = self.read(&mut bytes, from)?;
        match bytes.iter().position(|byte| *byte == b'\n') {
            Some(end) => Ok(from + end as u64 + 1),
            None if from + bytes.len() as u64 == self.bytes => Ok(self.bytes),
            None => Err(damaged("a line is too long")),
        }
    }

    fn key_at(&self, line: u64) -> Result<Key> {
        let mut bytes = [0; KEY + 1];
        let bytes = self.read(&mut bytes, line)?;
        parse(bytes).ok_or_else(|| damaged("a line is not `SHA1:count`"))
    }

    fn contains(&self, key: &Key) -> Result<bool> {
        // The line is in low..high, and a line begins at each.
        let (mut low, mut high) = (0, self.bytes);
        while high - low > BLOCK {
            let line = self.next_line(low + (high - low) / 2)?;
            if line >= high {
                break;
            }
            if self.key_at(line)? <= *key {
                low = line;
            } else {
                high = line;
            }
        }
        let mut block = [0; BLOCK as usize + LINE];
        let length = usize::try_from(high - low).unwrap_or(usize::MAX);
        let Some(block) = block.get_mut(..length) else {
            return Err(damaged("a line is too long"));
        };
        let block = self.read(block, low)?;
        Ok(block
            .split(|byte| *byte == b'\n')
            .any(|line| parse(line).is_some_and(|found| found == *key)))
    }

    /// What there is from `at` on, up to the length of `bytes`.
    fn read<'b>(&self, bytes: &'b mut [u8], at: u64) -> Result<&'b [u8]> {
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, at + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(&bytes[..filled])
    }
}

/// The key that a line begins with.
fn parse(line: &[u8]) -> Option<Key> {
    let (key, rest) = line.split_at_checked(KEY)?;
    let mut key: Key = key.try_into().ok()?;
    key.make_ascii_uppercase();
    let whole = key.iter().all(u8::is_ascii_hexdigit) && rest.first() == Some(&b':');
    whole.then_some(key)
}

fn damaged(why: &str) -> Error {
    Error::new(
        ErrorKind::InvalidData,
        format!("{why}; it has to be as the Pwned Passwords downloader writes it, ordered by hash"),
    )
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(content: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content.as_bytes()).unwrap();
        file
    }

    fn lines(passwords: impl Iterator<Item = String>, end: &str) -> String {
        let mut lines: Vec<String> = passwords
            .enumerate()
            .map(|(number, password)| {
                let key = String::from_utf8(key(&password).to_vec()).unwrap();
                format!("{key}:{}{end}", 10_u64.pow(number as u32 % 12))
            })
            .collect();
        lines.sort();
        lines.concat()
    }

    #[test]
    fn a_key_is_what_others_write() {
        // FIPS 180-4's example.
        assert_eq!(&key("abc"), b"A9993E364706816ABA3E25717850C26C9CD0D89D");
    }

    #[test]
    fn common_passwords_are_known_without_a_file() {
        let leaked = Leaked::open(None).unwrap();
        for known in [
            "123456",
            "password",
            "Password1",
            "QWERTY",
            "iloveyou",
            "LetMeIn",
        ] {
            assert!(leaked.contains(known), "{known}");
        }
        for unknown in ["", "correct horse battery staple", "vLq7#pumice"] {
            assert!(!leaked.contains(unknown), "{unknown}");
        }
    }

    #[test]
    fn every_line_of_a_file_is_found_and_nothing_else() {
        for (count, end) in [
            (1, "\n"),
            (2, "\r\n"),
            (70, "\n"),
            (5_000, "\r\n"),
            (5_000, "\n"),
        ] {
            let name = |number: usize| format!("known to {number} attackers");
            let content = lines((0..count).map(name), end);
            for content in [content.as_str(), content.trim_end()] {
                let file = file(content);
                let lines = Lines::open(file.path()).unwrap();
                for number in 0..count + 200 {
                    let found = lines.contains(&key(&name(number))).unwrap();
                    assert_eq!(found, number < count, "{number} of {count}");
                }
            }
        }
    }

    #[test]
    fn small_letters_in_a_hash_are_the_same() {
        let content = lines((0..500).map(|number| format!("low {number}")), "\n");
        let file = file(&content.to_lowercase());
        let leaked = Leaked::open(Some(file.path())).unwrap();
        assert!((0..500).all(|number| leaked.contains(&format!("low {number}"))));
    }

    #[test]
    fn another_file_is_refused() {
        let ordered = lines((0..500).map(|number| number.to_string()), "\n");
        let mut backwards: Vec<&str> = ordered.lines().collect();
        backwards.reverse();
        let long = format!("{}:{}\n", "A".repeat(40), "1".repeat(5_000));
        for content in ["", "123456\npassword\n", &backwards.join("\n"), &long] {
            let file = file(content);
            let error = Leaked::open(Some(file.path())).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{content:.80}");
        }
        assert!(Leaked::open(Some(Path::new("/nowhere/at/all"))).is_err());
    }
}
