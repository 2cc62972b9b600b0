//! `order=`.

use super::lex::{COMMA, Cursor, DELIMITER, END, Parse, Stop, no_nul};
use super::{Field, Order, OrderTerm};
use crate::data::{COLUMNS_MAX, DataError};

/// Reads an order: `created_at.desc.nullslast,data->>a,client(name)`.
///
/// # Errors
/// PGRST100 for what is none, 22021, [`DataError::TooLarge`] beyond [`COLUMNS_MAX`] members.
pub fn orders(text: &str) -> Result<Vec<Order>, DataError> {
    no_nul(text)?;
    all(&mut Cursor::new(text)).map_err(|stop| stop.of("order", text))
}

fn all(cursor: &mut Cursor) -> Parse<Vec<Order>> {
    let mut orders = Vec::new();
    loop {
        if orders.len() == COLUMNS_MAX {
            let message = format!("an order has more than {COLUMNS_MAX} members");
            return Err(Stop::Refused(DataError::TooLarge(message)));
        }
        orders.push(one(cursor)?);
        if !cursor.eat(",") {
            return Ok(orders);
        }
    }
}

fn one(cursor: &mut Cursor) -> Parse<Order> {
    cursor.blank();
    let name = cursor.field_name()?;
    let term = match related(cursor) {
        Some(field) => OrderTerm::Related(name, field),
        None => {
            let path = cursor.steps()?;
            cursor.blank();
            OrderTerm::Field(Field { name, path })
        }
    };
    let mut order = Order {
        term,
        descending: false,
        nulls_first: None,
    };
    const NULLS: [&str; 2] = [r#""nullsfirst""#, r#""nullslast""#];
    let mut expecting: &[&str] = &[DELIMITER, COMMA, END];
    if cursor.eat(".") {
        let directed = if cursor.eat("asc") {
            true
        } else if cursor.eat("desc") {
            order.descending = true;
            true
        } else {
            false
        };
        if !directed || cursor.eat(".") {
            expecting = &[COMMA, END];
            order.nulls_first = Some(if cursor.eat("nullsfirst") {
                true
            } else if cursor.eat("nullslast") {
                false
            } else if directed {
                return Err(cursor.unexpected_word("nullsfirst", &NULLS));
            } else {
                let [first, last] = NULLS;
                let expecting = [r#""asc""#, r#""desc""#, first, last];
                return Err(cursor.unexpected_word("asc", &expecting));
            });
        }
    }
    let end = *cursor;
    cursor.blank();
    if cursor.at_end() || cursor.peek() == Some(',') {
        return Ok(order);
    }
    *cursor = end;
    Err(cursor.unended(expecting))
}

/// `(field)`; nothing is read when it is none.
fn related(cursor: &mut Cursor) -> Option<Field> {
    let start = *cursor;
    if cursor.eat("(")
        && let Ok(field) = cursor.field()
        && cursor.eat(")")
    {
        return Some(field);
    }
    *cursor = start;
    None
}
