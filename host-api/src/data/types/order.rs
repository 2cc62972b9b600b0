//! The order of types whose stored text does not sort as PostgreSQL sorts the values: the collations
//! that columns of these types declare. Equal values are equal however they are written.
//!
//! What is no value of the type comes last, by its bytes, so that each order is total.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::interval;
use super::json::{Node, parse};
use super::numeric::{self, compare_numeric};
use crate::data::schema::Type;

/// Compares two stored texts.
type Compare = fn(&str, &str) -> Ordering;

/// A collation's name and its order of stored bytes.
type Collation = (&'static str, fn(&[u8], &[u8]) -> Ordering);

/// The collations and their orders: every connection knows them.
pub(in crate::data) const COLLATIONS: [Collation; 7] = [
    ("numeric", |a, b| bytes(a, b, compare_numeric)),
    ("interval", |a, b| bytes(a, b, interval::compare)),
    ("jsonb", |a, b| bytes(a, b, compare_jsonb)),
    ("array", |a, b| {
        bytes(a, b, |a, b| arrays(a, b, |a, b| jsonb(a, b, false), true))
    }),
    ("array_number", |a, b| {
        bytes(a, b, |a, b| arrays(a, b, number_element, true))
    }),
    ("array_interval", |a, b| {
        bytes(a, b, |a, b| arrays(a, b, interval_element, true))
    }),
    // Elements may be arrays themselves, so there is one dimension. JSON's null among them is null.
    ("array_jsonb", |a, b| {
        bytes(a, b, |a, b| arrays(a, b, |a, b| jsonb(a, b, true), false))
    }),
];

impl Type {
    /// The collation of a column of this type, where its text does not sort by value.
    ///
    /// That of an array of enums is right about which are equal, and sorts labels by their text.
    pub fn collation(&self) -> Option<&'static str> {
        match self {
            Type::Numeric { .. } => Some("numeric"),
            Type::Interval => Some("interval"),
            Type::Jsonb => Some("jsonb"),
            Type::Array(element) => match **element {
                Type::Interval => Some("array_interval"),
                Type::Jsonb => Some("array_jsonb"),
                Type::Smallint
                | Type::Integer
                | Type::Bigint
                | Type::Numeric { .. }
                | Type::Real
                | Type::DoublePrecision => Some("array_number"),
                Type::Json | Type::Other(_) => None,
                _ => Some("array"),
            },
            _ => None,
        }
    }
}

fn bytes(a: &[u8], b: &[u8], compare: Compare) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    match (std::str::from_utf8(a), std::str::from_utf8(b)) {
        (Ok(a), Ok(b)) => compare(a, b),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => a.cmp(b),
    }
}

/// Source: PostgreSQL 15, `compareJsonbContainers` in `src/backend/utils/adt/jsonb_util.c`.
fn compare_jsonb(a: &str, b: &str) -> Ordering {
    read(a, b, |a, b| jsonb(a, b, true))
}

fn read(a: &str, b: &str, compare: impl FnOnce(&Node<'_>, &Node<'_>) -> Ordering) -> Ordering {
    match (parse(a), parse(b)) {
        (Ok(left), Ok(right)) => compare(&left, &right),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => a.cmp(b),
    }
}

fn jsonb(a: &Node<'_>, b: &Node<'_>, root: bool) -> Ordering {
    match (a, b) {
        // A scalar alone is kept as an array of one, so that the empty array comes before it.
        (Node::Array(none), scalar) if root && none.is_empty() && is_scalar(scalar) => {
            Ordering::Less
        }
        (scalar, Node::Array(none)) if root && none.is_empty() && is_scalar(scalar) => {
            Ordering::Greater
        }
        (Node::Array(a), Node::Array(b)) => a
            .len()
            .cmp(&b.len())
            .then_with(|| first_difference(a.iter().zip(b).map(|(a, b)| jsonb(a, b, false)))),
        (Node::Object(a), Node::Object(b)) => a.len().cmp(&b.len()).then_with(|| {
            first_difference(a.iter().zip(b).map(|((key, a), (other, b))| {
                key.as_bytes()
                    .cmp(other.as_bytes())
                    .then_with(|| jsonb(a, b, false))
            }))
        }),
        (Node::Number(a), Node::Number(b)) => number(a, b),
        (Node::String(a), Node::String(b)) => a.as_bytes().cmp(b.as_bytes()),
        // By rank, or words: false before true.
        (Node::Word(a), Node::Word(b)) if rank(&Node::Word(a)) == rank(&Node::Word(b)) => a.cmp(b),
        (a, b) => rank(a).cmp(&rank(b)),
    }
}

fn is_scalar(node: &Node<'_>) -> bool {
    !matches!(node, Node::Array(_) | Node::Object(_))
}

/// Source: PostgreSQL 15, `enum jbvType` in `src/include/utils/jsonb.h`.
fn rank(node: &Node<'_>) -> u8 {
    match node {
        Node::Word("null") => 0,
        Node::String(_) => 1,
        Node::Number(_) => 2,
        Node::Word(_) => 3,
        Node::Array(_) => 4,
        Node::Object(_) => 5,
    }
}

fn first_difference(mut orders: impl Iterator<Item = Ordering>) -> Ordering {
    orders
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// Elements in order of writing, then their number, then the dimensions. Nulls come last.
///
/// Source: PostgreSQL 15, `array_cmp` in `src/backend/utils/adt/arrayfuncs.c`.
fn arrays(
    a: &str,
    b: &str,
    element: fn(&Node<'_>, &Node<'_>) -> Ordering,
    nested: bool,
) -> Ordering {
    read(a, b, |a, b| {
        let (mut left, mut right) = (Flat::default(), Flat::default());
        left.add(a, 0, nested);
        right.add(b, 0, nested);
        let elements = left.elements.iter().zip(&right.elements);
        first_difference(elements.map(|(a, b)| match (a, b) {
            (Node::Word("null"), Node::Word("null")) => Ordering::Equal,
            (Node::Word("null"), _) => Ordering::Greater,
            (_, Node::Word("null")) => Ordering::Less,
            (a, b) => element(a, b),
        }))
        .then_with(|| left.elements.len().cmp(&right.elements.len()))
        .then_with(|| left.extents.len().cmp(&right.extents.len()))
        .then_with(|| left.extents.cmp(&right.extents))
    })
}

/// An array's elements, and how many sub-arrays each dimension has.
#[derive(Default)]
struct Flat<'n> {
    elements: Vec<&'n Node<'n>>,
    extents: Vec<usize>,
}

impl<'n> Flat<'n> {
    fn add(&mut self, node: &'n Node<'n>, depth: usize, nested: bool) {
        match node {
            Node::Array(nodes) if depth == 0 || nested => {
                if self.extents.len() == depth && !nodes.is_empty() {
                    self.extents.push(nodes.len());
                }
                for node in nodes {
                    self.add(node, depth + 1, nested);
                }
            }
            node => self.elements.push(node),
        }
    }
}

/// Infinities and NaN are stored as JSON strings.
fn number_element(a: &Node<'_>, b: &Node<'_>) -> Ordering {
    let rank = |node: &Node<'_>| match node {
        Node::String(word) if word == "-Infinity" => 0,
        Node::Number(_) => 1,
        Node::String(word) if word == "Infinity" => 2,
        Node::String(word) if word == "NaN" => 3,
        _ => 4,
    };
    rank(a).cmp(&rank(b)).then_with(|| jsonb(a, b, false))
}

fn interval_element(a: &Node<'_>, b: &Node<'_>) -> Ordering {
    match (a, b) {
        (Node::String(a), Node::String(b)) => interval::compare(a, b),
        (a, b) => jsonb(a, b, false),
    }
}

/// Only a float has an exponent; it is as exact without.
fn number(a: &str, b: &str) -> Ordering {
    let plain = |text| match str::contains(text, ['e', 'E']) {
        true => numeric::parse(text, None).unwrap_or(Cow::Borrowed(text)),
        false => Cow::Borrowed(text),
    };
    compare_numeric(&plain(a), &plain(b))
}
