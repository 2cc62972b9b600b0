//! Conditions: `id=eq.5`, `or=(a.is.null,b.in.(1,2))`.

use super::lex::{CLOSE, COMMA, Cursor, DELIMITER, END, FIELD_NAME, OPEN, Parse, Stop, no_nul};
use super::{Condition, Field, Filter, Is, Operator, Path, Quantifier, Search, Test};
use crate::data::{DataError, FILTERS_MAX, LIST_MAX, SqlFault, TREE_DEPTH_MAX};

const OPERATOR: &str = "operator (eq, gt, ...)";

/// Reads one condition: a column (a path to it, and one inside it: `clients.data->>a`), an operator
/// (`eq`, `not.in`, `like(any)`, `fts(english)`) and its value. Trees have `and`, `or`, `not.or` for a
/// column, an empty operator, and `(…)` for a value.
///
/// # Errors
/// PGRST100 for what is none, 22021 for a NUL, [`DataError::TooLarge`] beyond [`FILTERS_MAX`]
/// conditions or [`LIST_MAX`] members of a list.
pub fn filter(column: &str, operator: &str, value: &str) -> Result<Filter, DataError> {
    let mut left = FILTERS_MAX;
    convenient(column, operator, value, &mut left)
}

/// Reads conditions as [`filter`] does, [`FILTERS_MAX`] in all.
///
/// # Errors
/// As [`filter`].
pub fn filters<'f>(
    given: impl IntoIterator<Item = (&'f str, &'f str, &'f str)>,
) -> Result<Vec<Filter>, DataError> {
    let mut left = FILTERS_MAX;
    given
        .into_iter()
        .map(|(column, operator, value)| convenient(column, operator, value, &mut left))
        .collect()
}

fn convenient(
    column: &str,
    operator: &str,
    value: &str,
    left: &mut usize,
) -> Result<Filter, DataError> {
    no_nul(column)?;
    no_nul(operator)?;
    no_nul(value)?;
    if operator.is_empty() && is_tree(column) {
        return logic(column, value, left);
    }
    plain(column, &format!("{operator}.{value}"), left)
}

/// Whether a key of a query string is that of a tree.
pub(super) fn is_tree(key: &str) -> bool {
    matches!(key.rsplit('.').next(), Some("and" | "or"))
}

/// Reads `key=value` of a query string. Both are without NULs.
pub(super) fn plain(key: &str, value: &str, left: &mut usize) -> Result<Filter, DataError> {
    let (path, field) = tree_path(key).map_err(|stop| stop.of("tree path", key))?;
    let mut cursor = Cursor::new(value);
    let read = operation(&mut cursor, &Place::Alone)
        .and_then(|read| cursor.expect_end(&[END]).map(|()| read))
        .and_then(|read| counted(left).map(|()| read));
    let (not, test) = read.map_err(|stop| stop.of("filter", value))?;
    let condition = Condition::Test { field, not, test };
    Ok(Filter { path, condition })
}

/// Reads `or=(…)`: the key's last segment is `and` or `or`. Both are without NULs.
pub(super) fn logic(key: &str, value: &str, left: &mut usize) -> Result<Filter, DataError> {
    let (path, not, any) = logic_path(key).map_err(|stop| stop.of("logic path", key))?;
    // Columns count from the operator, as if it stood before the parenthesis.
    let before = if not { "not.".len() } else { 0 } + if any { "or".len() } else { "and".len() };
    let mut cursor = Cursor::new(value);
    cursor.blank();
    let read = cursor
        .expect("(", &[OPEN])
        .and_then(|()| members(&mut cursor, 1, left))
        .and_then(|members| cursor.expect_end(&[END]).map(|()| members));
    let members = read.map_err(|stop| stop.told("logic tree", value, before))?;
    let condition = Condition::Tree { not, any, members };
    Ok(Filter { path, condition })
}

/// The embedded relations that lead to what the key's last segment is about.
pub(super) fn embed_path(key: &str) -> Result<Path, DataError> {
    tree_path(key)
        .map(|(path, _)| path)
        .map_err(|stop| stop.of("tree path", key))
}

/// `clients.projects.data->>a`
fn tree_path(key: &str) -> Parse<(Path, Field)> {
    let mut cursor = Cursor::new(key);
    let mut path = Path::new();
    let mut name = cursor.field_name()?;
    while cursor.eat(".") {
        path.push(std::mem::replace(&mut name, cursor.field_name()?));
    }
    let steps = cursor.steps()?;
    cursor.expect_end(&[DELIMITER, END])?;
    Ok((path, Field { name, path: steps }))
}

/// `clients.not.or`: path, whether negated, whether one of the conditions is enough.
fn logic_path(key: &str) -> Parse<(Path, bool, bool)> {
    let mut cursor = Cursor::new(key);
    let mut path = Path::new();
    let mut not = false;
    loop {
        let bare = !cursor.rest().starts_with('"');
        let name = cursor.name()?;
        if cursor.at_end() {
            return Ok((path, not, name == "or"));
        }
        cursor.expect(".", &[DELIMITER, END])?;
        match bare && name == "not" {
            true => not = true,
            false => path.push(name),
        }
    }
}

/// Where a condition stands, and so where its value ends.
enum Place {
    /// The value goes on to the end of the text.
    Alone,
    /// It ends at `,` or `)`.
    Tree,
}

/// `(…)` of a tree after its parenthesis, up to the closing one and the blanks behind.
fn members(cursor: &mut Cursor, depth: usize, left: &mut usize) -> Parse<Vec<Condition>> {
    if depth > TREE_DEPTH_MAX {
        return Err(Stop::Refused(
            SqlFault::new(
                "PGRST100",
                "failed to parse logic tree: it is nested too deep",
            )
            .details(format!(
                "and() and or() stand inside one another {TREE_DEPTH_MAX} deep at most"
            ))
            .into_error(),
        ));
    }
    let mut members = Vec::new();
    loop {
        members.push(member(cursor, depth, left)?);
        cursor.blank();
        if !cursor.eat(",") {
            break;
        }
    }
    cursor.expect(")", &[COMMA, CLOSE])?;
    cursor.blank();
    Ok(members)
}

fn member(cursor: &mut Cursor, depth: usize, left: &mut usize) -> Parse<Condition> {
    cursor.blank();
    let start = *cursor;
    let not = cursor.eat("not.");
    let after_not = *cursor;
    let any = cursor.eat("or");
    if any || cursor.eat("and") {
        cursor.blank();
        if cursor.eat("(") {
            let members = members(cursor, depth + 1, left)?;
            return Ok(Condition::Tree { not, any, members });
        }
        // Else a column may be called so.
    }
    let no_tree = *cursor;
    *cursor = start;
    let stop = match test(cursor, left) {
        Ok(condition) => return Ok(condition),
        Err(Stop::Refused(error)) => return Err(Stop::Refused(error)),
        Err(Stop::Unexpected(unexpected)) => unexpected,
    };
    if not {
        // `not.a.eq.1` says the same as `a.not.eq.1`.
        *cursor = after_not;
        match test(cursor, left) {
            Ok(Condition::Test { field, not, test }) => {
                return Ok(Condition::Test {
                    field,
                    not: !not,
                    test,
                });
            }
            Err(Stop::Refused(error)) => return Err(Stop::Refused(error)),
            _ => {}
        }
    }
    // What was nearer to being a tree is told as one.
    const LOGIC: &str = "logic operator (and, or)";
    Err(if no_tree.at > after_not.at {
        no_tree.unexpected(&[OPEN])
    } else if not {
        after_not.unexpected_word("and", &[LOGIC])
    } else if stop.at == start.at {
        start.unexpected(&[FIELD_NAME, "negation operator (not)", LOGIC])
    } else {
        Stop::Unexpected(stop)
    })
}

/// `field.[not.]operator.value` inside a tree.
fn test(cursor: &mut Cursor, left: &mut usize) -> Parse<Condition> {
    let field = cursor.field()?;
    cursor.expect(".", &[DELIMITER])?;
    let (not, test) = operation(cursor, &Place::Tree)?;
    counted(left)?;
    Ok(Condition::Test { field, not, test })
}

fn counted(left: &mut usize) -> Parse<()> {
    let refused = || {
        let message = format!("a request has at most {FILTERS_MAX} filters");
        Stop::Refused(DataError::TooLarge(message))
    };
    *left = left.checked_sub(1).ok_or_else(refused)?;
    Ok(())
}

/// What an operator's word stands for.
enum Word {
    /// Takes a value.
    Simple(Operator),
    /// Takes `(any)` or `(all)` too.
    Quantified(Operator),
    Search(Search),
    In,
    Is,
}

/// In the order of which one is taken when two begin alike.
const WORDS: [(&str, Word); 26] = [
    ("eq", Word::Quantified(Operator::Eq)),
    ("in", Word::In),
    ("is", Word::Is),
    ("neq", Word::Simple(Operator::Neq)),
    ("gt", Word::Quantified(Operator::Gt)),
    ("gte", Word::Quantified(Operator::Gte)),
    ("lt", Word::Quantified(Operator::Lt)),
    ("lte", Word::Quantified(Operator::Lte)),
    ("like", Word::Quantified(Operator::Like)),
    ("ilike", Word::Quantified(Operator::Ilike)),
    ("match", Word::Quantified(Operator::Match)),
    ("imatch", Word::Quantified(Operator::Imatch)),
    ("isdistinct", Word::Simple(Operator::IsDistinct)),
    ("fts", Word::Search(Search::Query)),
    ("plfts", Word::Search(Search::Plain)),
    ("phfts", Word::Search(Search::Phrase)),
    ("wfts", Word::Search(Search::Web)),
    ("cs", Word::Simple(Operator::Contains)),
    ("cd", Word::Simple(Operator::Contained)),
    ("ov", Word::Simple(Operator::Overlaps)),
    ("sl", Word::Simple(Operator::StrictlyLeft)),
    ("sr", Word::Simple(Operator::StrictlyRight)),
    ("nxr", Word::Simple(Operator::NotRightOf)),
    ("nxl", Word::Simple(Operator::NotLeftOf)),
    ("adj", Word::Simple(Operator::Adjacent)),
    // Not an operator: what stands before one.
    ("not", Word::Is),
];

/// `[not.]operator[(modifier)].value`
fn operation(cursor: &mut Cursor, place: &Place) -> Parse<(bool, Test)> {
    let start = *cursor;
    let not = cursor.eat("not.");
    let begin = *cursor;
    let rest = cursor.rest();
    let letters = rest.len()
        - rest
            .trim_start_matches(|c: char| c.is_ascii_lowercase())
            .len();
    let word = &rest[..letters];
    let found = WORDS.iter().find(|(known, _)| *known == word);
    let Some((_, word)) = found.filter(|(known, _)| *known != "not") else {
        return Err(no_operator(&start, &begin));
    };
    cursor.at += letters;
    let mut quantifier = None;
    let mut config = None;
    match word {
        Word::Quantified(_) if cursor.eat("(") => {
            quantifier = Some(if cursor.eat("any") {
                Quantifier::Any
            } else if cursor.eat("all") {
                Quantifier::All
            } else {
                return Err(cursor.unexpected_word("any", &[OPERATOR]));
            });
            cursor.expect(")", &[OPERATOR])?;
        }
        Word::Search(_) if cursor.eat("(") => {
            let found = cursor.cast();
            config = Some(found.map_err(|_| cursor.unexpected(&[OPERATOR]))?);
            cursor.forget();
            cursor.expect(")", &[OPERATOR])?;
        }
        _ => {}
    }
    cursor.expect(".", &[OPERATOR])?;
    let test = match word {
        Word::Simple(operator) => Test::Compare(*operator, None, value(cursor, place)),
        Word::Quantified(operator) => {
            let mut text = value(cursor, place);
            if quantifier.is_some() && elements(&text) > LIST_MAX {
                return Err(Stop::Refused(too_many()));
            }
            if matches!(operator, Operator::Like | Operator::Ilike) && text.contains('*') {
                text = text.replace('*', "%");
            }
            Test::Compare(*operator, quantifier, text)
        }
        Word::Search(search) => Test::Search(*search, config, value(cursor, place)),
        Word::In => Test::In(list(cursor)?),
        Word::Is => Test::Is(is(cursor)?),
    };
    Ok((not, test))
}

/// What to say of a text in which no operator stands: of the place up to which one might have.
fn no_operator(start: &Cursor, begin: &Cursor) -> Stop {
    let negated = begin.at > start.at;
    let near = WORDS
        .iter()
        .filter(|(word, _)| begin.rest().starts_with(word) && !(negated && *word == "not"))
        .max_by_key(|(word, _)| word.len());
    match near {
        Some((word, _)) => {
            let mut after = *begin;
            after.at += word.len();
            let expecting = if *word == "not" { DELIMITER } else { OPERATOR };
            after.unexpected(&[expecting])
        }
        None if negated => begin.unexpected_word("in", &[OPERATOR]),
        None => begin.unexpected_word("not", &[r#""not""#, OPERATOR]),
    }
}

fn value(cursor: &mut Cursor, place: &Place) -> String {
    match place {
        Place::Alone => cursor.take_rest().to_owned(),
        Place::Tree => quoted_member(cursor).unwrap_or_else(|| {
            braces(cursor)
                .unwrap_or_else(|| cursor.take_until(&[',', ')']))
                .to_owned()
        }),
    }
}

/// `"…"` with nothing behind it but the end of the member; nothing is read otherwise.
fn quoted_member(cursor: &mut Cursor) -> Option<String> {
    let start = *cursor;
    if cursor.peek() == Some('"')
        && let Ok(text) = cursor.quoted()
        && (cursor.at_end() || cursor.rest().starts_with([',', ')']))
    {
        return Some(text);
    }
    *cursor = start;
    None
}

/// `{…}`: an array literal or a JSON object, with its commas and parentheses. Braces inside are matched,
/// but for those in quotes; nothing is read when they do not match.
fn braces<'t>(cursor: &mut Cursor<'t>) -> Option<&'t str> {
    let rest = cursor.rest();
    if !rest.starts_with('{') {
        return None;
    }
    let ends = |at: usize| {
        let after = rest[at..].trim_start_matches([' ', '\t']);
        after.is_empty() || after.starts_with([',', ')'])
    };
    // A lone quotation mark is nothing special where no other brace is.
    let flat = rest[1..].find(['{', '}']).map(|at| at + 2);
    let end = match flat {
        Some(end) if rest.as_bytes()[end - 1] == b'}' && ends(end) => end,
        _ => nested(rest).filter(|end| ends(*end))?,
    };
    cursor.at += end;
    Some(&rest[..end])
}

/// Where the first brace is closed.
fn nested(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        if std::mem::take(&mut escaped) {
            continue;
        }
        match byte {
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b'{' if !quoted => depth += 1,
            b'}' if !quoted => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// How many elements an array literal has, of all its dimensions.
pub(in crate::data) fn elements(literal: &str) -> usize {
    let (mut commas, mut quoted, mut escaped) = (0, false, false);
    for byte in literal.bytes() {
        match byte {
            _ if std::mem::take(&mut escaped) => {}
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => commas += 1,
            _ => {}
        }
    }
    commas + 1
}

fn too_many() -> DataError {
    DataError::TooLarge(format!("a list has more than {LIST_MAX} members"))
}

/// `(1,"a,b")` and the blanks around it. `()` has no members.
fn list(cursor: &mut Cursor) -> Parse<Vec<String>> {
    cursor.blank();
    cursor.expect("(", &[OPEN])?;
    cursor.blank();
    let mut members = Vec::new();
    if !cursor.eat(")") {
        loop {
            if members.len() == LIST_MAX {
                return Err(Stop::Refused(too_many()));
            }
            members.push(match quoted_member(cursor) {
                Some(text) => text,
                None => cursor.take_until(&[',', ')']).to_owned(),
            });
            if !cursor.eat(",") {
                break;
            }
        }
        cursor.expect(")", &[COMMA, CLOSE])?;
    }
    cursor.blank();
    Ok(members)
}

fn is(cursor: &mut Cursor) -> Parse<Is> {
    const VALUES: [(&str, Is); 5] = [
        ("null", Is::Null),
        ("not_null", Is::NotNull),
        ("true", Is::True),
        ("false", Is::False),
        ("unknown", Is::Unknown),
    ];
    let rest = cursor.rest();
    let alike = |word: &str| {
        let same = |(a, b): &(u8, u8)| a.eq_ignore_ascii_case(b);
        rest.bytes().zip(word.bytes()).take_while(same).count()
    };
    let mut furthest = 0;
    for (word, value) in VALUES {
        let length = alike(word);
        if length == word.len() {
            cursor.at += length;
            cursor.blank();
            return Ok(value);
        }
        furthest = furthest.max(length);
    }
    cursor.at += furthest;
    Err(cursor.unexpected(&["isVal: (null, not_null, true, false, unknown)"]))
}
