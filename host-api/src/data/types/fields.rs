//! Dates, times and intervals cut into fields, as PostgreSQL's `ParseDateTime` does.
//!
//! Source: PostgreSQL 15, `src/backend/utils/adt/datetime.c`.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Digits, with a point or not.
    Number,
    /// Has a `:`.
    Time,
    /// Digits or letters joined by `-`, `/` or `.`.
    Date,
    /// A sign and digits.
    Signed,
    Word,
    /// A sign and letters.
    SignedWord,
}

pub(super) type Field = (Shape, String);

/// Bytes of fields that are read at all; same source, `MAXDATELEN`.
const LENGTH_MAX: usize = 128;
/// Same source, `MAXDATEFIELDS`.
const FIELDS_MAX: usize = 25;

/// `None` for what no date or interval has in it. Letters become lower case.
pub(super) fn cut(text: &str) -> Option<Vec<Field>> {
    let bytes = text.as_bytes();
    let mut fields = Vec::new();
    let mut at = 0;
    let mut length = 0;
    while let Some(&byte) = bytes.get(at) {
        let start = at;
        let run = |at: &mut usize, more: &dyn Fn(u8) -> bool| {
            while bytes.get(*at).is_some_and(|byte| more(*byte)) {
                *at += 1;
            }
        };
        let digit = |byte: u8| byte.is_ascii_digit();
        let peek = |at: usize| bytes.get(at).copied().unwrap_or(0);
        let mut sign = None;
        let shape = match byte {
            b' ' | b'\t'..=b'\r' => {
                at += 1;
                continue;
            }
            b'0'..=b'9' => {
                run(&mut at, &digit);
                match peek(at) {
                    b':' => {
                        run(&mut at, &|b| digit(b) || b == b':' || b == b'.');
                        Shape::Time
                    }
                    mark @ (b'-' | b'/' | b'.') => {
                        at += 1;
                        if digit(peek(at)) {
                            run(&mut at, &digit);
                            if peek(at) == mark {
                                run(&mut at, &|b| digit(b) || b == mark);
                                Shape::Date
                            } else if mark == b'.' {
                                Shape::Number
                            } else {
                                Shape::Date
                            }
                        } else {
                            run(&mut at, &|b| b.is_ascii_alphanumeric() || b == mark);
                            Shape::Date
                        }
                    }
                    _ => Shape::Number,
                }
            }
            b'.' => {
                at += 1;
                run(&mut at, &digit);
                Shape::Number
            }
            b'a'..=b'z' | b'A'..=b'Z' => {
                run(&mut at, &|b| b.is_ascii_alphabetic());
                let is_date = match peek(at) {
                    b'-' | b'/' | b'.' => true,
                    b'+' | b'0'..=b'9' => !is_date_word(&text[start..at].to_ascii_lowercase()),
                    _ => false,
                };
                if is_date {
                    run(&mut at, &|b| {
                        b.is_ascii_alphanumeric() || b"+-/_.:".contains(&b)
                    });
                    Shape::Date
                } else {
                    Shape::Word
                }
            }
            b'+' | b'-' => {
                sign = Some(char::from(byte));
                at += 1;
                run(&mut at, &super::is_space);
                if digit(peek(at)) {
                    Shape::Signed
                } else if peek(at).is_ascii_alphabetic() {
                    Shape::SignedWord
                } else {
                    return None;
                }
            }
            _ if byte.is_ascii_punctuation() => {
                at += 1;
                continue;
            }
            _ => return None,
        };
        let mut field = String::new();
        let mut from = start;
        if let Some(sign) = sign {
            field.push(sign);
            from = at;
            match shape {
                Shape::Signed => run(&mut at, &|b| digit(b) || b":.-".contains(&b)),
                _ => run(&mut at, &|b| b.is_ascii_alphabetic()),
            }
        }
        field.push_str(&text[from..at]);
        field.make_ascii_lowercase();
        length += field.len() + 1;
        if length > LENGTH_MAX || fields.len() >= FIELDS_MAX {
            return None;
        }
        fields.push((shape, field));
    }
    Some(fields)
}

/// Whether PostgreSQL knows the word in dates, so that digits or a sign may follow it at once, as in
/// `t12:00` and `j2451187`.
fn is_date_word(word: &str) -> bool {
    const WORDS: [&str; 21] = [
        "t", "j", "jd", "y", "d", "h", "m", "s", "mm", "am", "pm", "ad", "bc", "on", "at", "now",
        "today", "epoch", "dst", "allballs", "julian",
    ];
    WORDS.contains(&word) || month(word).is_some() || is_weekday(word)
}

/// The number of a month by its name or the name's first letters.
pub(super) fn month(word: &str) -> Option<i64> {
    const NAMES: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let place = NAMES
        .iter()
        .position(|name| *name == word || name[..3] == *word)
        .or((word == "sept").then_some(8))?;
    Some(place as i64 + 1)
}

pub(super) fn is_weekday(word: &str) -> bool {
    const NAMES: [&str; 18] = [
        "sun",
        "sunday",
        "mon",
        "monday",
        "tue",
        "tues",
        "tuesday",
        "wed",
        "weds",
        "wednesday",
        "thu",
        "thur",
        "thurs",
        "thursday",
        "fri",
        "friday",
        "sat",
        "saturday",
    ];
    NAMES.contains(&word)
}

/// A fraction with its point, in microseconds, rounded.
pub(super) fn micros(fraction: &str) -> Option<i64> {
    let digits = fraction.strip_prefix('.')?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: f64 = format!("0.{digits}0").parse().ok()?;
    Some((value * 1e6).round_ties_even() as i64)
}
