//! What is asked: `to_tsquery`, `plainto_`, `phraseto_` and `websearch_to_tsquery`, and how it matches.
//!
//! Source: PostgreSQL 15, `tsquery.c`, `to_tsany.c`, `tsquery_cleanup.c`, `tsvector_op.c` in
//! `src/backend/`; compared with a server of that version.

use super::{Config, Document};
use crate::data::DataError;

/// Words and operators of one query: they are gone through one within another.
const NODES_MAX: usize = 1_000;
/// Source: PostgreSQL 15, `MAXENTRYPOS`.
const DISTANCE_MAX: u32 = 16_384;

/// `None` matches nothing: it had only stop words.
pub(super) struct Query(Option<Node>);

enum Node {
    Word {
        lexeme: String,
        prefix: bool,
        /// Whether weight D, the only one here, is asked for.
        counts: bool,
    },
    Stop,
    Not(Box<Node>),
    Pair(Operator, Box<Node>, Box<Node>),
}

/// In order of how tight they bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Operator {
    Or,
    And,
    /// The second stands so many words behind the first.
    Phrase(u32),
}

#[derive(Clone, Copy)]
enum Open {
    Paren,
    Not,
    Pair(Operator),
}

impl Query {
    /// `kind`: 0 `to_tsquery`, 1 `plainto_`, 2 `phraseto_`, 3 `websearch_to_tsquery`.
    pub(super) fn read(text: &str, config: Config, kind: i64) -> Result<Query, DataError> {
        let mut reader = Reader {
            text,
            at: 0,
            config,
            done: Vec::new(),
            open: Vec::new(),
            nodes: 0,
        };
        match kind {
            1 => reader.value(text, Operator::And, false, true)?,
            2 => reader.value(text, Operator::Phrase(1), false, true)?,
            3 => reader.web()?,
            _ => reader.standard()?,
        }
        reader.close(None);
        Ok(Query(reader.done.pop().and_then(|node| clean(node).0)))
    }

    pub(super) fn matches(&self, document: &Document) -> bool {
        self.0.as_ref().is_some_and(|node| execute(node, document))
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    config: Config,
    done: Vec<Node>,
    open: Vec<Open>,
    nodes: usize,
}

fn is_operator(c: char) -> bool {
    matches!(c, '!' | '&' | '|' | '(' | ')')
}

impl Reader<'_> {
    fn syntax(&self) -> DataError {
        DataError::sql(
            "42601",
            format!("syntax error in tsquery: \"{}\"", self.text),
        )
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn blanks(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn push(&mut self, node: Node) -> Result<(), DataError> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(DataError::sql(
                "54000",
                format!("tsquery is too large: it may have {NODES_MAX} words"),
            ));
        }
        self.done.push(node);
        Ok(())
    }

    fn operator(&mut self, operator: Operator) {
        let tight = |operator: Operator| match operator {
            Operator::Or => 1,
            Operator::And => 2,
            Operator::Phrase(_) => 3,
        };
        while let Some(top) = self.open.last() {
            match top {
                Open::Not => {}
                Open::Pair(before) if tight(*before) >= tight(operator) => {}
                _ => break,
            }
            self.apply();
        }
        self.open.push(Open::Pair(operator));
    }

    /// Joins what the last open operator stands between.
    fn apply(&mut self) {
        match self.open.pop() {
            Some(Open::Not) => {
                if let Some(node) = self.done.pop() {
                    self.done.push(Node::Not(Box::new(node)));
                }
            }
            Some(Open::Pair(operator)) => {
                if let (Some(right), Some(left)) = (self.done.pop(), self.done.pop()) {
                    self.done
                        .push(Node::Pair(operator, Box::new(left), Box::new(right)));
                }
            }
            Some(Open::Paren) | None => {}
        }
    }

    /// Joins back to the last parenthesis, or all.
    fn close(&mut self, paren: Option<()>) {
        while let Some(top) = self.open.last() {
            let is_paren = matches!(top, Open::Paren);
            self.apply();
            if is_paren && paren.is_some() {
                return;
            }
        }
    }

    /// The words of one operand, joined by `operator`; a removed word leaves its place.
    fn value(
        &mut self,
        text: &str,
        operator: Operator,
        prefix: bool,
        counts: bool,
    ) -> Result<(), DataError> {
        let mut joined: Option<Node> = None;
        let mut before = 0;
        let words: Vec<_> = self.config.lexemes(text, &mut 0).take(NODES_MAX + 1).collect();
        let join = |joined: Option<Node>, node: Node| match joined {
            None => node,
            Some(left) => Node::Pair(operator, Box::new(left), Box::new(node)),
        };
        for (lexeme, position) in words {
            while before > 0 && before + 1 < position {
                self.nodes += 1;
                joined = Some(join(joined, Node::Stop));
                before += 1;
            }
            before = position;
            self.nodes += 1;
            let word = Node::Word {
                lexeme,
                prefix,
                counts,
            };
            joined = Some(join(joined, word));
            if self.nodes > NODES_MAX {
                break;
            }
        }
        self.push(joined.unwrap_or(Node::Stop))
    }

    fn standard(&mut self) -> Result<(), DataError> {
        let mut depth = 0;
        let mut first = true;
        loop {
            // An operand.
            self.blanks();
            match self.peek() {
                None if first => return Ok(()),
                None => {
                    return Err(DataError::sql(
                        "42601",
                        format!("no operand in tsquery: \"{}\"", self.text),
                    ));
                }
                Some('!') => {
                    self.at += 1;
                    self.open.push(Open::Not);
                    self.nodes += 1;
                    first = false;
                    continue;
                }
                Some('(') => {
                    self.at += 1;
                    self.open.push(Open::Paren);
                    self.nodes += 1;
                    depth += 1;
                    first = false;
                    continue;
                }
                Some(':') => return Err(self.syntax()),
                Some(c) if is_operator(c) => return Err(self.syntax()),
                Some(_) => {}
            }
            if self.nodes > NODES_MAX {
                self.push(Node::Stop)?;
            }
            first = false;
            let word = self.word()?;
            let (prefix, counts) = self.weight();
            self.value(&word, Operator::Phrase(1), prefix, counts)?;
            // What comes behind it.
            loop {
                self.blanks();
                match self.peek() {
                    None if depth == 0 => return Ok(()),
                    None => return Err(self.syntax()),
                    Some(')') if depth > 0 => {
                        self.at += 1;
                        depth -= 1;
                        self.close(Some(()));
                    }
                    Some('&') => {
                        self.at += 1;
                        self.operator(Operator::And);
                        break;
                    }
                    Some('|') => {
                        self.at += 1;
                        self.operator(Operator::Or);
                        break;
                    }
                    Some('<') => {
                        let distance = self.distance()?;
                        self.operator(Operator::Phrase(distance));
                        break;
                    }
                    Some(_) => return Err(self.syntax()),
                }
            }
        }
    }

    /// `<->` or `<2>`.
    fn distance(&mut self) -> Result<u32, DataError> {
        let rest = &self.text[self.at + 1..];
        if rest.starts_with("->") {
            self.at += 3;
            return Ok(1);
        }
        let inner = rest.split_once('>').map(|(inner, _)| inner);
        let digits = inner
            .filter(|inner| !inner.is_empty() && inner.bytes().all(|byte| byte.is_ascii_digit()));
        let digits = digits.ok_or_else(|| self.syntax())?;
        match digits.parse() {
            Ok(distance) if distance <= DISTANCE_MAX => {
                self.at += digits.len() + 2;
                Ok(distance)
            }
            _ => Err(DataError::sql(
                "22023",
                format!(
                    "distance in phrase operator must be an integer value between zero and \
                     {DISTANCE_MAX} inclusive"
                ),
            )),
        }
    }

    /// A word, in quotes or not.
    fn word(&mut self) -> Result<String, DataError> {
        let mut word = String::new();
        let rest = &self.text[self.at..];
        let mut chars = rest.char_indices().peekable();
        let quoted = chars.next_if(|(_, c)| *c == '\'').is_some();
        let mut end = rest.len();
        let mut closed = !quoted;
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some((_, c)) => word.push(c),
                    None => return Err(self.no_escape()),
                },
                '\'' if quoted => match chars.next_if(|(_, c)| *c == '\'') {
                    Some(_) => word.push('\''),
                    None => {
                        closed = true;
                        end = at + 1;
                        break;
                    }
                },
                c if !quoted && (c.is_whitespace() || is_operator(c) || c == ':') => {
                    end = at;
                    break;
                }
                c => word.push(c),
            }
        }
        if !closed {
            return Err(self.syntax());
        }
        self.at += end;
        Ok(word)
    }

    fn no_escape(&self) -> DataError {
        DataError::sql(
            "42601",
            format!("there is no escaped character: \"{}\"", self.text),
        )
    }

    /// `:*A` behind a word: whether a prefix is enough, and whether weight D counts.
    fn weight(&mut self) -> (bool, bool) {
        let (mut prefix, mut any, mut counts) = (false, false, false);
        if self.peek() == Some(':') {
            self.at += 1;
            while let Some(c) = self.peek() {
                match c {
                    '*' => prefix = true,
                    'a'..='c' | 'A'..='C' => any = true,
                    'd' | 'D' => (any, counts) = (true, true),
                    _ => break,
                }
                self.at += 1;
            }
        }
        (prefix, counts || !any)
    }

    fn web(&mut self) -> Result<(), DataError> {
        let mut quoted = false;
        let mut first = true;
        'operands: loop {
            // An operand.
            loop {
                self.blanks();
                match self.peek() {
                    None if first => return Ok(()),
                    None => {
                        // The quote that opened is sure to close: nothing else is open.
                        self.push(Node::Stop)?;
                        return Ok(());
                    }
                    Some('-') => {
                        self.at += 1;
                        first = false;
                        if !quoted {
                            self.nodes += 1;
                            self.open.push(Open::Not);
                        }
                    }
                    Some('"') if quoted => {
                        self.at += 1;
                        quoted = false;
                        self.push(Node::Stop)?;
                        self.close(Some(()));
                        break;
                    }
                    Some('"') => {
                        self.at += 1;
                        if self.text[self.at..].contains('"') {
                            quoted = true;
                            first = false;
                            self.open.push(Open::Paren);
                        }
                    }
                    Some(c) if is_operator(c) => {
                        self.at += 1;
                        first = false;
                    }
                    Some(c) => {
                        let rest = &self.text[self.at + c.len_utf8()..];
                        let end = rest.find(|c: char| {
                            c.is_whitespace() || is_operator(c) || matches!(c, ':' | '"')
                        });
                        let end = self.at + c.len_utf8() + end.unwrap_or(rest.len());
                        let word = self.text[self.at..end].to_owned();
                        self.at = end;
                        first = false;
                        self.value(&word, Operator::Phrase(1), false, true)?;
                        break;
                    }
                }
            }
            // What comes behind it.
            loop {
                self.blanks();
                match self.peek() {
                    None => return Ok(()),
                    Some('"') if quoted => {
                        self.at += 1;
                        quoted = false;
                        self.close(Some(()));
                    }
                    Some('"') => {
                        self.operator(Operator::And);
                        continue 'operands;
                    }
                    Some(_) if !quoted && self.is_or() => {
                        self.at += 2;
                        self.operator(Operator::Or);
                        continue 'operands;
                    }
                    Some(_) => {
                        self.operator(if quoted {
                            Operator::Phrase(1)
                        } else {
                            Operator::And
                        });
                        continue 'operands;
                    }
                }
            }
        }
    }

    /// Whether the word `or` stands here, and anything behind it.
    fn is_or(&self) -> bool {
        let rest = &self.text[self.at..];
        let Some(tail) = rest
            .get(2..)
            .filter(|_| rest[..2].eq_ignore_ascii_case("or"))
        else {
            return false;
        };
        let part = |c: char| matches!(c, '-' | '_') || c.is_alphanumeric();
        // PostgreSQL skips one character before it looks for an operand.
        let mut chars = tail.chars();
        !tail.starts_with(part) && chars.next().is_some() && !chars.as_str().trim_start().is_empty()
    }
}

/// Takes stop words out; answers how many places fell away before and behind.
fn clean(node: Node) -> (Option<Node>, u32, u32) {
    match node {
        Node::Word { .. } => (Some(node), 0, 0),
        Node::Stop => (None, 0, 0),
        Node::Not(inner) => {
            let (inner, before, behind) = clean(*inner);
            (
                inner.map(|inner| Node::Not(Box::new(inner))),
                before,
                behind,
            )
        }
        Node::Pair(operator, left, right) => {
            let (left, left_before, left_behind) = clean(*left);
            let (right, right_before, right_behind) = clean(*right);
            let phrase = match operator {
                Operator::Phrase(distance) => Some(distance),
                _ => None,
            };
            match (left, right, phrase) {
                (None, None, Some(distance)) => {
                    let gone = left_before + distance + right_before;
                    (None, gone, gone)
                }
                (None, None, None) => {
                    let gone = left_before.max(right_before);
                    (None, gone, gone)
                }
                (None, right, Some(distance)) => {
                    (right, left_before + distance + right_before, right_behind)
                }
                (left, None, Some(distance)) => {
                    (left, left_before, left_behind + distance + right_behind)
                }
                (None, right, None) => (right, right_before, right_behind),
                (left, None, None) => (left, left_before, left_behind),
                (Some(left), Some(right), Some(distance)) => {
                    let distance = distance + left_behind + right_before;
                    let operator = Operator::Phrase(distance);
                    let pair = Node::Pair(operator, Box::new(left), Box::new(right));
                    (Some(pair), left_before, right_behind)
                }
                (Some(left), Some(right), None) => (
                    Some(Node::Pair(operator, Box::new(left), Box::new(right))),
                    0,
                    0,
                ),
            }
        }
    }
}

fn execute(node: &Node, document: &Document) -> bool {
    match node {
        Node::Word {
            lexeme,
            prefix,
            counts,
        } => *counts && document.positions(lexeme, *prefix).is_some(),
        Node::Stop => false,
        Node::Not(inner) => !execute(inner, document),
        Node::Pair(Operator::And, left, right) => {
            execute(left, document) && execute(right, document)
        }
        Node::Pair(Operator::Or, left, right) => {
            execute(left, document) || execute(right, document)
        }
        Node::Pair(Operator::Phrase(_), ..) => places(node, document).is_some(),
    }
}

/// Where a part of a phrase ends, or, negated, where it does not.
struct Places {
    positions: Vec<u32>,
    negated: bool,
    /// Words between its first and its last.
    width: u32,
}

/// `None` when it stands nowhere.
fn places(node: &Node, document: &Document) -> Option<Places> {
    let (operator, left, right) = match node {
        Node::Stop => return None,
        Node::Word {
            lexeme,
            prefix,
            counts,
        } => {
            let positions = document.positions(lexeme, *prefix).filter(|_| *counts)?;
            return Some(Places {
                positions: positions.into_iter().map(u32::from).collect(),
                negated: false,
                width: 0,
            });
        }
        Node::Not(inner) => {
            return match places(inner, document) {
                None => Some(Places {
                    positions: Vec::new(),
                    negated: true,
                    width: 0,
                }),
                Some(inner) if inner.positions.is_empty() => None,
                Some(mut inner) => {
                    inner.negated = !inner.negated;
                    Some(inner)
                }
            };
        }
        Node::Pair(operator, left, right) => (*operator, left, right),
    };
    let (left, right) = (places(left, document), places(right, document));
    let nowhere = || Places {
        positions: Vec::new(),
        negated: false,
        width: 0,
    };
    let (left, right) = match (operator, left, right) {
        (Operator::Or, None, None) => return None,
        (Operator::Or, left, right) => {
            (left.unwrap_or_else(nowhere), right.unwrap_or_else(nowhere))
        }
        (_, left, right) => (left?, right?),
    };
    let widest = left.width.max(right.width);
    let (left_shift, right_shift, width) = match operator {
        Operator::Phrase(distance) => (
            distance + right.width,
            0,
            distance + left.width + right.width,
        ),
        _ => (widest - left.width, widest - right.width, widest),
    };
    let shifted = |positions: &[u32], by: u32| -> Vec<u32> {
        positions.iter().map(|position| position + by).collect()
    };
    let lefts = shifted(&left.positions, left_shift);
    let rights = shifted(&right.positions, right_shift);
    let without = |some: &[u32], others: &[u32]| -> Vec<u32> {
        let others: std::collections::HashSet<_> = others.iter().collect();
        some.iter()
            .filter(|at| !others.contains(at))
            .copied()
            .collect()
    };
    let both = |some: &[u32], others: &[u32]| -> Vec<u32> {
        let others: std::collections::HashSet<_> = others.iter().collect();
        some.iter()
            .filter(|at| others.contains(at))
            .copied()
            .collect()
    };
    let either = |some: &[u32], others: &[u32]| -> Vec<u32> {
        let mut all = [some, others].concat();
        all.sort_unstable();
        all.dedup();
        all
    };
    let is_or = operator == Operator::Or;
    let (positions, negated) = match (left.negated, right.negated, is_or) {
        (true, true, false) => (either(&lefts, &rights), true),
        (true, false, false) => (without(&rights, &lefts), false),
        (false, true, false) => (without(&lefts, &rights), false),
        (false, false, false) => (both(&lefts, &rights), false),
        (true, true, true) => (both(&lefts, &rights), true),
        (true, false, true) => (without(&lefts, &rights), true),
        (false, true, true) => (without(&rights, &lefts), true),
        (false, false, true) => (either(&lefts, &rights), false),
    };
    (negated || !positions.is_empty()).then_some(Places {
        positions,
        negated,
        width,
    })
}
