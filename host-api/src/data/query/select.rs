//! `select=`: what of the rows is answered.

use super::lex::{CLOSE, COMMA, Cursor, END, FIELD_NAME, OPEN, Parse, Stop, no_nul};
use super::{Aggregate, AggregateFunction, Field, Item, Relation};
use crate::data::{COLUMNS_MAX, DataError, EMBED_DEPTH_MAX, SqlFault};

const CAST: &str = r#""::""#;
const DOT: &str = r#"".""#;
const STAR: &str = r#""*""#;

/// Reads a select: `id,total::text,client:clients!inner(name)`.
///
/// # Errors
/// PGRST100 for what is none, and for relations inside one another deeper than [`EMBED_DEPTH_MAX`];
/// 22021; [`DataError::TooLarge`] beyond [`COLUMNS_MAX`] members, those of relations counted.
pub fn select(text: &str) -> Result<Vec<Item>, DataError> {
    no_nul(text)?;
    let mut cursor = Cursor::new(text);
    let mut left = COLUMNS_MAX;
    items(&mut cursor, 0, &mut left)
        .and_then(|items| cursor.expect_end(&[COMMA, END]).map(|()| items))
        .map_err(|stop| stop.of("select parameter", text))
}

/// Members up to the end, or to a `)` that is left standing.
fn items(cursor: &mut Cursor, depth: usize, left: &mut usize) -> Parse<Vec<Item>> {
    let mut items = Vec::new();
    cursor.blank();
    if cursor.at_end() || cursor.peek() == Some(')') {
        return Ok(items);
    }
    loop {
        *left = left.checked_sub(1).ok_or_else(too_many)?;
        cursor.blank();
        items.push(item(cursor, depth, left)?);
        cursor.blank();
        if !cursor.eat(",") {
            return Ok(items);
        }
    }
}

fn item(cursor: &mut Cursor, depth: usize, left: &mut usize) -> Parse<Item> {
    if cursor.eat("...") {
        let name = cursor.name()?;
        let relation = modifiers(cursor)?;
        cursor.expect("(", &[r#""!""#, OPEN])?;
        let relation = Relation {
            name,
            spread: true,
            ..relation
        };
        return inside(cursor, relation, depth, left).map(Item::Relation);
    }
    if cursor.eat("*") {
        cursor.blank();
        ended(cursor, &[])?;
        return Ok(Item::Star);
    }
    let start = cursor.at;
    let mut bare = !cursor.rest().starts_with('"');
    let mut name = cursor.field_name().map_err(|stop| match stop {
        Stop::Unexpected(unexpected) if unexpected.at == start => {
            cursor.unexpected(&[r#""...""#, FIELD_NAME, STAR, r#""count()""#])
        }
        stop => stop,
    })?;
    let mut alias = None;
    if cursor.rest().starts_with(':') && !cursor.rest().starts_with("::") {
        cursor.eat(":");
        bare = !cursor.rest().starts_with('"');
        alias = Some(std::mem::replace(&mut name, cursor.field_name()?));
    }
    if bare && name == "count" && cursor.eat("()") {
        let cast = cast(cursor)?;
        ended(cursor, if cast.is_none() { &[CAST] } else { &[] })?;
        return Ok(Item::Count { alias, cast });
    }
    if name != "count" && cursor.rest().starts_with(['!', '(']) {
        let after_name = *cursor;
        let relation = modifiers(cursor);
        if let Ok(relation) = relation
            && cursor.eat("(")
        {
            let relation = Relation {
                name,
                alias,
                ..relation
            };
            return inside(cursor, relation, depth, left).map(Item::Relation);
        }
        *cursor = after_name;
    }
    let path = cursor.steps()?;
    cursor.blank();
    let first = cast(cursor)?;
    let (cast, aggregate) = match function(cursor)? {
        None => (first, None),
        Some(function) => {
            let cast = cast(cursor)?;
            (first, Some(Aggregate { function, cast }))
        }
    };
    let expecting: &[&str] = match (&cast, &aggregate) {
        (None, None) => &[CAST, DOT],
        (Some(_), None) => &[DOT, CAST],
        (_, Some(Aggregate { cast: None, .. })) => &[CAST],
        (_, Some(_)) => &[],
    };
    ended(cursor, expecting)?;
    Ok(Item::Field {
        field: Field { name, path },
        alias,
        cast,
        aggregate,
    })
}

/// `!hint`, `!inner`, `!left`: two at most. The name is the caller's to fill in.
fn modifiers(cursor: &mut Cursor) -> Parse<Relation> {
    let mut relation = Relation {
        name: String::new(),
        alias: None,
        hint: None,
        inner: false,
        spread: false,
        select: Vec::new(),
    };
    let mut joined = false;
    for _ in 0..2 {
        if !cursor.eat("!") {
            break;
        }
        let bare = !cursor.rest().starts_with('"');
        let name = cursor.name()?;
        match name.as_str() {
            "inner" | "left" if bare => {
                relation.inner |= !joined && name == "inner";
                joined = true;
            }
            _ if relation.hint.is_none() => relation.hint = Some(name),
            _ => {}
        }
    }
    Ok(relation)
}

/// What stands between a relation's parentheses; the first is read.
fn inside(
    cursor: &mut Cursor,
    relation: Relation,
    depth: usize,
    left: &mut usize,
) -> Parse<Relation> {
    if depth == EMBED_DEPTH_MAX {
        return Err(Stop::Refused(
            SqlFault::new(
                "PGRST100",
                "failed to parse select parameter: relations are nested too deep",
            )
            .details(format!(
                "Relations stand inside one another {EMBED_DEPTH_MAX} deep at most"
            ))
            .into_error(),
        ));
    }
    let select = items(cursor, depth + 1, left)?;
    cursor.expect(")", &[COMMA, CLOSE])?;
    Ok(Relation { select, ..relation })
}

fn cast(cursor: &mut Cursor) -> Parse<Option<String>> {
    match cursor.eat("::") {
        true => cursor.cast().map(Some),
        false => Ok(None),
    }
}

fn function(cursor: &mut Cursor) -> Parse<Option<AggregateFunction>> {
    const FUNCTIONS: [(&str, AggregateFunction); 5] = [
        ("sum", AggregateFunction::Sum),
        ("avg", AggregateFunction::Avg),
        ("count", AggregateFunction::Count),
        ("max", AggregateFunction::Max),
        ("min", AggregateFunction::Min),
    ];
    if !cursor.eat(".") {
        return Ok(None);
    }
    let found = FUNCTIONS.iter().find(|(word, _)| cursor.eat(word));
    let Some((_, function)) = found else {
        let expecting = [r#""sum""#, r#""avg""#, r#""count""#, r#""max""#, r#""min""#];
        return Err(cursor.unexpected_word("sum", &expecting));
    };
    match cursor.eat("()") {
        true => Ok(Some(*function)),
        false => Err(cursor.unexpected_word("()", &[r#""()""#])),
    }
}

/// A member is over: nothing, `,` or `)` comes.
fn ended(cursor: &mut Cursor, or: &[&'static str]) -> Parse<()> {
    if cursor.at_end() || cursor.rest().starts_with([',', ')']) {
        return Ok(());
    }
    let expecting: Vec<&str> = or.iter().copied().chain([CLOSE, COMMA, END]).collect();
    Err(cursor.unended(&expecting))
}

fn too_many() -> Stop {
    let message = format!("a select has more than {COLUMNS_MAX} members");
    Stop::Refused(DataError::TooLarge(message))
}
