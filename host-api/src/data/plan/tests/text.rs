//! Requests as short text, `table?select=…&column=eq.1`, for these tests only: the real parsers refuse
//! more and are tested beside themselves.

use super::super::super::query::*;

pub fn query(text: &str) -> Query {
    let (table, rest) = text.split_once('?').unwrap_or((text, ""));
    let mut query = Query {
        table: table.to_owned(),
        ..Query::default()
    };
    if let Some((space, table)) = table.split_once('/') {
        query.schema = Some(space.to_owned());
        query.table = table.to_owned();
    }
    for pair in rest.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap();
        let mut path: Vec<String> = key.split('.').map(str::to_owned).collect();
        let last = path.pop().unwrap();
        match &*last {
            "select" => query.select = Some(Text::of(value).items()),
            "order" => query.orders.push((path, orders(value))),
            "limit" => query.limits.push((path, value.parse().unwrap())),
            "offset" => query.offsets.push((path, value.parse().unwrap())),
            "and" | "or" => {
                let not = path.last().is_some_and(|last| last == "not");
                if not {
                    path.pop();
                }
                let condition = tree(not, last == "or", value);
                query.filters.push(Filter { path, condition });
            }
            _ => {
                let condition = test(Text::of(&last).field(), value);
                query.filters.push(Filter { path, condition });
            }
        }
    }
    query
}

fn tree(not: bool, any: bool, text: &str) -> Condition {
    let inner = text.strip_prefix('(').unwrap().strip_suffix(')').unwrap();
    let members = split(inner).into_iter().map(|member| {
        let (not, rest) = match member.strip_prefix("not.") {
            Some(rest) => (true, rest),
            None => (false, member),
        };
        if let Some(rest) = rest.strip_prefix("and") {
            return tree(not, false, rest);
        }
        if let Some(rest) = rest.strip_prefix("or(") {
            return tree(not, true, &format!("({rest}"));
        }
        let (field, rest) = member.split_once('.').unwrap();
        test(Text::of(field).field(), rest)
    });
    Condition::Tree {
        not,
        any,
        members: members.collect(),
    }
}

fn split(text: &str) -> Vec<&str> {
    let (mut members, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                members.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if !text.is_empty() {
        members.push(&text[start..]);
    }
    members
}

fn test(field: Field, text: &str) -> Condition {
    let (not, text) = match text.strip_prefix("not.") {
        Some(text) => (true, text),
        None => (false, text),
    };
    let (operator, value) = text.split_once('.').unwrap();
    let (operator, modifier) = match operator.split_once('(') {
        Some((operator, modifier)) => (operator, modifier.strip_suffix(')')),
        None => (operator, None),
    };
    let value = value.to_owned();
    let config = modifier.map(str::to_owned);
    let compare = |operator| {
        let quantifier = match modifier {
            Some("any") => Some(Quantifier::Any),
            Some("all") => Some(Quantifier::All),
            _ => None,
        };
        Test::Compare(operator, quantifier, value.clone())
    };
    let test = match operator {
        "eq" => compare(Operator::Eq),
        "neq" => compare(Operator::Neq),
        "gt" => compare(Operator::Gt),
        "lt" => compare(Operator::Lt),
        "like" => compare(Operator::Like),
        "cs" => compare(Operator::Contains),
        "sl" => compare(Operator::StrictlyLeft),
        "sr" => compare(Operator::StrictlyRight),
        "nxr" => compare(Operator::NotRightOf),
        "nxl" => compare(Operator::NotLeftOf),
        "adj" => compare(Operator::Adjacent),
        "is" => Test::Is(match &*value {
            "null" => Is::Null,
            "not_null" => Is::NotNull,
            _ => Is::True,
        }),
        "in" => {
            let list = value.trim_matches(['(', ')']);
            Test::In(split(list).into_iter().map(str::to_owned).collect())
        }
        "fts" => Test::Search(Search::Query, config, value),
        other => panic!("operator {other}"),
    };
    Condition::Test { field, not, test }
}

fn orders(text: &str) -> Vec<Order> {
    let order = |text: &str| {
        let mut text = Text::of(text);
        let field = text.field();
        let term = match text.eat("(") {
            true => {
                let inside = text.field();
                assert!(text.eat(")"));
                OrderTerm::Related(field.name, inside)
            }
            false => OrderTerm::Field(field),
        };
        let descending = text.eat(".desc");
        let nulls_first = match (text.eat(".nullsfirst"), text.eat(".nullslast")) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        };
        Order {
            term,
            descending,
            nulls_first,
        }
    };
    split(text).into_iter().map(order).collect()
}

struct Text<'t>(&'t str);

impl<'t> Text<'t> {
    fn of(text: &'t str) -> Text<'t> {
        Text(text)
    }

    fn eat(&mut self, what: &str) -> bool {
        match self.0.strip_prefix(what) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn name(&mut self) -> String {
        let end = self.0.find(|c: char| !c.is_alphanumeric() && c != '_');
        let (name, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        name.to_owned()
    }

    fn field(&mut self) -> Field {
        let name = self.name();
        let mut path = Vec::new();
        while self.eat("->") {
            let text = self.eat(">");
            let minus = self.eat("-");
            let key = self.name();
            let key = match key.parse::<i32>() {
                Ok(index) => Key::Index(if minus { -index } else { index }),
                Err(_) => Key::Name(key),
            };
            path.push(Step { key, text });
        }
        Field { name, path }
    }

    fn cast(&mut self) -> Option<String> {
        if !self.eat("::") {
            return None;
        }
        let end = self.0.find([',', '.', ')']);
        let (name, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        Some(name.to_owned())
    }

    fn items(&mut self) -> Vec<Item> {
        let mut items = Vec::new();
        while !self.0.is_empty() && !self.0.starts_with(')') {
            items.push(self.item());
            self.eat(",");
        }
        items
    }

    fn item(&mut self) -> Item {
        if self.eat("*") {
            return Item::Star;
        }
        let spread = self.eat("...");
        let mut field = self.field();
        let mut alias = None;
        if !self.0.starts_with("::") && self.eat(":") {
            alias = Some(field.name);
            field = self.field();
        }
        if field.name == "count" && self.eat("()") {
            let cast = self.cast();
            return Item::Count { alias, cast };
        }
        let (mut hint, mut inner) = (None, false);
        while self.eat("!") {
            match self.name() {
                left if left == "left" => {}
                mark if mark == "inner" => inner = true,
                other => hint = Some(other),
            }
        }
        if self.eat("(") {
            let select = self.items();
            assert!(self.eat(")"), "at {:?}", self.0);
            return Item::Relation(Relation {
                name: field.name,
                alias,
                hint,
                inner,
                spread,
                select,
            });
        }
        let cast = self.cast();
        let mut aggregate = None;
        if self.eat(".") {
            let function = match &*self.name() {
                "sum" => AggregateFunction::Sum,
                "avg" => AggregateFunction::Avg,
                "max" => AggregateFunction::Max,
                "min" => AggregateFunction::Min,
                _ => AggregateFunction::Count,
            };
            assert!(self.eat("()"));
            let cast = self.cast();
            aggregate = Some(Aggregate { function, cast });
        }
        Item::Field {
            field,
            alias,
            cast,
            aggregate,
        }
    }
}
