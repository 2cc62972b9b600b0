//! PostgreSQL's `like`: `%` is any text, `_` any character, `\` takes the next as it is.
//!
//! What stands between two `%` is looked for from the left, as any place further on would leave less for
//! what follows. Without a `_` that is a search for a substring, in time linear in the text.

use crate::data::DataError;

/// Bytes that the pieces of one pattern with a `_` may be compared with: part of a second.
const WORK_MAX: usize = 1 << 27;

/// Whether all of `text` is as `pattern` says.
///
/// # Errors
/// 22025 for a `\` at the end, when all before it matches; 54000 when the text and the pattern together
/// are too much work.
pub(super) fn like(text: &str, pattern: &str) -> Result<bool, DataError> {
    let mut work = WORK_MAX;
    matches(text, pattern, &mut work)
}

/// A text or so many characters of any kind.
enum Part {
    Text(String),
    Any(usize),
}

fn matches(text: &str, pattern: &str, work: &mut usize) -> Result<bool, DataError> {
    let Some(pieces) = pieces(pattern) else {
        return unended(text, pattern, work);
    };
    let (Some((first, rest)), Some(last)) = (pieces.split_first(), pieces.last()) else {
        return Ok(text.is_empty());
    };
    let Some(mut at) = prefix(text, first) else {
        return Ok(false);
    };
    if rest.is_empty() {
        return Ok(at == text.len());
    }
    for piece in &rest[..rest.len() - 1] {
        match find(&text[at..], piece, work)? {
            Some(end) => at += end,
            None => return Ok(false),
        }
    }
    Ok(suffix(&text[at..], last))
}

/// What stands between any two `%`; none for a `\` at the end.
fn pieces(pattern: &str) -> Option<Vec<Vec<Part>>> {
    let mut pieces = vec![Vec::new()];
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        let is_first = pieces.len() == 1;
        let parts = pieces.last_mut()?;
        let literal = match c {
            '%' => {
                // Several in a row are one.
                if is_first || !parts.is_empty() {
                    pieces.push(Vec::new());
                }
                continue;
            }
            '_' => {
                match parts.last_mut() {
                    Some(Part::Any(count)) => *count += 1,
                    _ => parts.push(Part::Any(1)),
                }
                continue;
            }
            '\\' => chars.next()?,
            c => c,
        };
        match parts.last_mut() {
            Some(Part::Text(text)) => text.push(literal),
            _ => parts.push(Part::Text(literal.into())),
        }
    }
    Some(pieces)
}

/// Bytes of so many characters; none when there are fewer.
fn skip(text: &str, count: usize) -> Option<usize> {
    let mut places = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    places.nth(count)
}

/// Where the piece ends that `text` begins with.
fn prefix(text: &str, piece: &[Part]) -> Option<usize> {
    piece.iter().try_fold(0, |at, part| match part {
        Part::Text(wanted) => text[at..]
            .starts_with(&**wanted)
            .then_some(at + wanted.len()),
        Part::Any(count) => skip(&text[at..], *count).map(|bytes| at + bytes),
    })
}

fn suffix(text: &str, piece: &[Part]) -> bool {
    let end = piece.iter().rev().try_fold(text, |text, part| match part {
        Part::Text(wanted) => text.strip_suffix(&**wanted),
        Part::Any(count) => {
            let mut places = text.char_indices().rev();
            places.nth(count - 1).map(|(at, _)| &text[..at])
        }
    });
    end.is_some()
}

/// Where the piece ends that stands first in `text`.
fn find(text: &str, piece: &[Part], work: &mut usize) -> Result<Option<usize>, DataError> {
    let (mut at, piece) = match piece {
        [Part::Any(count), rest @ ..] => match skip(text, *count) {
            Some(at) => (at, rest),
            None => return Ok(None),
        },
        piece => (0, piece),
    };
    let [Part::Text(head), rest @ ..] = piece else {
        return Ok(Some(at));
    };
    loop {
        let Some(found) = text[at..].find(&**head) else {
            return Ok(None);
        };
        let start = at + found;
        let after = start + head.len();
        if let Some(end) = prefix(&text[after..], rest) {
            return Ok(Some(after + end));
        }
        // At most what the rest is compared with, and what the next search looks at again.
        let rest = rest.iter().map(|part| match part {
            Part::Text(text) => text.len(),
            Part::Any(count) => *count,
        });
        spend(work, 1 + head.len() + rest.sum::<usize>())?;
        at = start + text[start..].chars().next().map_or(1, char::len_utf8);
    }
}

fn spend(work: &mut usize, steps: usize) -> Result<(), DataError> {
    *work = work.checked_sub(steps).ok_or_else(|| {
        DataError::sql(
            "54000",
            "the pattern takes too long on this text; put fewer `_` between its `%`",
        )
    })?;
    Ok(())
}

/// A pattern that ends within an escape: an error if the text leads there and has more, no match if not.
fn unended(text: &str, pattern: &str, work: &mut usize) -> Result<bool, DataError> {
    let before = pattern.strip_suffix('\\').unwrap_or(pattern);
    // With an end that is no text's own, only whether one gets there is asked.
    if text.is_empty() || !reaches(text, before, work)? {
        return Ok(false);
    }
    Err(DataError::sql(
        "22025",
        "LIKE pattern must not end with escape character",
    ))
}

/// Whether `pattern` matches a beginning of `text` and leaves a character of it.
fn reaches(text: &str, pattern: &str, work: &mut usize) -> Result<bool, DataError> {
    let last = text.char_indices().next_back().map_or(0, |(at, _)| at);
    let Some(pieces) = pieces(pattern) else {
        return Ok(false);
    };
    let Some((first, rest)) = pieces.split_first() else {
        return Ok(false);
    };
    let Some(mut at) = prefix(&text[..last], first) else {
        return Ok(false);
    };
    for piece in rest {
        match find(&text[at..last], piece, work)? {
            Some(end) => at += end,
            None => return Ok(false),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outcome(text: &str, pattern: &str) -> Option<bool> {
        match like(text, pattern) {
            Ok(matched) => Some(matched),
            Err(DataError::Sql(fault)) if fault.code == "22025" => None,
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn patterns_match_as_on_postgres() {
        let check = |text: &str, pattern: &str, expect: Option<bool>| {
            assert_eq!(outcome(text, pattern), expect, "{text} {pattern}");
        };
        check("", "", Some(true));
        check("", "%", Some(true));
        check("", "_", Some(false));
        check("abc", "a%", Some(true));
        check("abc", "A%", Some(false));
        check("abc", "%b", Some(false));
        check("abcbc", "%bc", Some(true));
        check("é", "_", Some(true));
        check("a%c", "a\\%c", Some(true));
        check("abc", "a\\%c", Some(false));
        check("a", "a\\", Some(false));
        check("ab", "a\\", None);
        check("abab", "%ab_", Some(false));
        check("aXbXc", "a%b%c", Some(true));
    }

    /// What it was before: a mismatch goes back to the last `%`, text × pattern in all.
    fn slow(text: &[char], pattern: &[char]) -> Option<bool> {
        let (mut t, mut p) = (0, 0);
        let mut back: Option<(usize, usize)> = None;
        loop {
            let stepped = match pattern.get(p) {
                Some('%') => {
                    back = Some((p + 1, t));
                    p += 1;
                    continue;
                }
                None if t == text.len() => return Some(true),
                None => false,
                Some('_') if t < text.len() => {
                    p += 1;
                    true
                }
                Some('_') => false,
                Some('\\') if t == text.len() => false,
                Some('\\') => {
                    let literal = pattern.get(p + 1)?;
                    let same = text.get(t) == Some(literal);
                    p += if same { 2 } else { 0 };
                    same
                }
                Some(literal) => {
                    let same = text.get(t) == Some(literal);
                    p += usize::from(same);
                    same
                }
            };
            if stepped {
                t += 1;
                continue;
            }
            match &mut back {
                Some((behind, tried)) if *tried < text.len() => {
                    *tried += 1;
                    (p, t) = (*behind, *tried);
                }
                _ => return Some(false),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn it_answers_as_the_slow_way_does(text in "[abé]{0,12}", pattern in r"[abé%_\\]{0,8}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(outcome(&text, &pattern), slow(&chars(&text), &chars(&pattern)));
        }
    }

    #[test]
    fn work_is_bounded() {
        let text = "a".repeat(1 << 20);
        let run = "a".repeat(1_000);
        let spent = |pattern: &str| {
            let mut work = WORK_MAX;
            let outcome = matches(&text, pattern, &mut work);
            (outcome.map_err(|error| error.to_string()), WORK_MAX - work)
        };
        // Substrings cost nothing beyond the search.
        assert_eq!(spent(&format!("%{run}b")), (Ok(false), 0));
        assert_eq!(spent(&format!("%{run}b%")), (Ok(false), 0));
        assert_eq!(spent(&format!("%{run}%{run}b\\")), (Ok(false), 0));
        assert_eq!(spent("%___%___%"), (Ok(true), 0));
        let (outcome, _) = spent(&format!("%{run}_b%"));
        assert!(outcome.unwrap_err().contains("too long"));
    }
}
