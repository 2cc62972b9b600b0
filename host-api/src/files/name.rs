//! What an object and a bucket may be called. No name is ever part of a path on disk; the rules keep
//! names harmless in URLs, headers and the folders of whoever downloads them.

use std::fmt;
use std::sync::Arc;

use super::FileError;

/// The longest name of an object; as in S3 and `protocol/storage.md` §2.
pub const NAME_BYTES_MAX: usize = 1024;
/// The longest name of a bucket; as in `protocol/storage.md` §2.
pub const BUCKET_NAME_BYTES_MAX: usize = 100;
/// The longest content type.
pub const CONTENT_TYPE_BYTES_MAX: usize = 255;

/// An object's name within its bucket.
///
/// Names are compared byte by byte: they are neither decoded nor normalized, so `%2e` is three
/// characters, and the composed and the decomposed `é` are two names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(Arc<str>);

impl ObjectName {
    /// # Errors
    /// [`FileError::InvalidName`] unless `name` has 1 to [`NAME_BYTES_MAX`] bytes, no control character,
    /// no backslash, no leading slash, and no segment `.` or `..`.
    pub fn new(name: &str) -> Result<Self, FileError> {
        let fault = if name.is_empty() {
            "an object's name is not empty"
        } else if name.len() > NAME_BYTES_MAX {
            "an object's name has at most 1024 bytes"
        } else if name.contains(char::is_control) {
            "an object's name has no control characters"
        } else if name.contains('\\') {
            "an object's name has no backslash"
        } else if name.starts_with('/') {
            "an object's name does not begin with a slash"
        } else if name.split('/').any(|part| part == "." || part == "..") {
            "an object's name has no segment `.` or `..`"
        } else {
            return Ok(ObjectName(name.into()));
        };
        Err(FileError::InvalidName(fault))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks what a manifest calls a bucket.
pub(super) fn check_bucket(name: &str) -> Result<(), FileError> {
    let permitted =
        |byte: u8| byte.is_ascii_alphanumeric() || b"_!-.*'() &$@=;:+,?".contains(&byte);
    if !(1..=BUCKET_NAME_BYTES_MAX).contains(&name.len())
        || !name.bytes().all(permitted)
        || name.trim() != name
    {
        return Err(FileError::InvalidName(
            "a bucket's name has 1 to 100 of A-Z a-z 0-9 _!-.*'()&$@=;:+,? and inner spaces",
        ));
    }
    Ok(())
}

/// Checks that `content_type` can be sent as a header's value as it is.
pub(super) fn check_content_type(content_type: &str) -> Result<(), FileError> {
    let sendable = content_type
        .bytes()
        .all(|byte| (b' '..=b'~').contains(&byte));
    if !(1..=CONTENT_TYPE_BYTES_MAX).contains(&content_type.len())
        || !sendable
        || content_type.trim() != content_type
    {
        return Err(FileError::InvalidContentType);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_objects() {
        let longest = "é".repeat(512);
        for name in [
            "a",
            "a/b.txt",
            "a//b",
            "a/",
            "...",
            "a..b",
            ".hidden",
            "%2e%2e/%2e",
            "CON",
            "nul.txt",
            "aux:",
            "~",
            "e\u{301}",
            "\u{e9}",
            " ",
            &longest,
        ] {
            assert_eq!(ObjectName::new(name).unwrap().as_str(), name);
        }
        let too_long = format!("{longest}x");
        let four_kb = "x".repeat(4096);
        for name in [
            "",
            "/",
            "/etc/passwd",
            ".",
            "..",
            "../a",
            "a/..",
            "a/../b",
            "./a",
            "a/./b",
            "a\\b",
            "..\\a",
            "a\0b",
            "\0",
            "a\nb",
            "a\u{7f}",
            "a\u{85}b",
            &too_long,
            &four_kb,
        ] {
            assert!(
                matches!(ObjectName::new(name), Err(FileError::InvalidName(_))),
                "{name:?}"
            );
        }
    }

    #[test]
    fn names_of_buckets() {
        let longest = "b".repeat(BUCKET_NAME_BYTES_MAX);
        for name in ["a", "Avatars_2 (old)!", ".", "..", &longest] {
            assert!(check_bucket(name).is_ok(), "{name:?}");
        }
        let too_long = "b".repeat(BUCKET_NAME_BYTES_MAX + 1);
        for name in ["", " a", "a ", "a/b", "a\\b", "a\0", "é", "a\tb", &too_long] {
            assert!(check_bucket(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn content_types_are_header_values() {
        let longest = "x".repeat(CONTENT_TYPE_BYTES_MAX);
        for kind in ["text/plain", "text/html; charset=utf-8", &longest] {
            assert!(check_content_type(kind).is_ok(), "{kind:?}");
            assert!(http::HeaderValue::from_str(kind).is_ok(), "{kind:?}");
        }
        let too_long = "x".repeat(CONTENT_TYPE_BYTES_MAX + 1);
        for kind in [
            "",
            " a",
            "a/b\r\nset-cookie: c",
            "a\0",
            "a/é",
            "a\tb",
            &too_long,
        ] {
            assert!(check_content_type(kind).is_err(), "{kind:?}");
        }
    }
}
