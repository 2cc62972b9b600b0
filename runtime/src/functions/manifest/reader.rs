//! Reads a manifest's values and collects what is wrong with them; knows no entry.

use std::collections::HashMap;

use pumice_host_api::Kind;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Fault, is_name};

pub(super) type Table<'t> = DeTable<'t>;
pub(super) type Value<'t> = Spanned<DeValue<'t>>;

const NAME_FIX: &str = "use 1 to 40 of a-z, 0-9 and -, beginning with a letter";

pub(super) fn line_of(text: &str, offset: usize) -> usize {
    1 + text
        .as_bytes()
        .iter()
        .take(offset)
        .filter(|&&b| b == b'\n')
        .count()
}

pub(super) struct Reader<'t> {
    text: &'t str,
    faults: Vec<Fault>,
    /// By name: the sorts of entries that have it, each with its component's path.
    pub(super) taken: HashMap<String, Vec<(&'static str, String)>>,
    /// What a hook is on already.
    pub(super) hooked: Vec<Kind>,
}

impl<'r> Reader<'r> {
    pub(super) fn new(text: &'r str) -> Reader<'r> {
        Reader {
            text,
            faults: Vec::new(),
            taken: HashMap::new(),
            hooked: Vec::new(),
        }
    }

    /// In order of lines.
    pub(super) fn faults(mut self) -> Vec<Fault> {
        self.faults.sort_by_key(|fault| fault.line);
        self.faults
    }

    pub(super) fn fault(&mut self, at: usize, message: impl Into<String>, fix: impl Into<String>) {
        let line = line_of(self.text, at);
        self.faults.push(Fault {
            line,
            message: message.into(),
            fix: fix.into(),
        });
    }

    /// What stands in the manifest for `value`.
    pub(super) fn written(&self, value: &Value<'_>) -> &'r str {
        self.text.get(value.span()).unwrap_or_default()
    }

    pub(super) fn name(&mut self, value: &Value<'_>, what: &str) -> String {
        let name = self.string(value, "name").unwrap_or_default();
        if !is_name(&name) {
            self.fault(
                value.span().start,
                format!("{what} name `{name}`"),
                NAME_FIX,
            );
        }
        name
    }

    /// The string at `key`, which must be there.
    pub(super) fn required(
        &mut self,
        at: usize,
        table: &Table<'_>,
        key: &str,
        owner: &str,
        example: &str,
    ) -> Option<String> {
        match table.get(key) {
            Some(value) => self.string(value, key),
            None => {
                let message = format!("{owner} has no {key}");
                self.fault(at, message, format!("add {key} = {example}"));
                None
            }
        }
    }

    pub(super) fn string(&mut self, value: &Value<'_>, key: &str) -> Option<String> {
        let text = value.get_ref().as_str().map(str::to_owned);
        if text.is_none() {
            let message = format!("`{key}` is of type {}", value.get_ref().type_str());
            self.fault(value.span().start, message, "write a string");
        }
        text
    }

    pub(super) fn boolean(&mut self, value: &Value<'_>, key: &str) -> Option<bool> {
        let found = value.get_ref().as_bool();
        if found.is_none() {
            let message = format!("`{key}` is {}", self.written(value));
            self.fault(value.span().start, message, "use true or false");
        }
        found
    }

    /// A whole number from 1 to `max`.
    pub(super) fn number(&mut self, value: &Value<'_>, what: &str, max: u64) -> Option<u64> {
        let number = value
            .get_ref()
            .as_integer()
            .and_then(|n| n.as_str().parse::<u64>().ok())
            .filter(|n| (1..=max).contains(n));
        if number.is_none() {
            let message = format!("{what} is {}", self.written(value));
            let fix = format!("use a whole number from 1 to {max}");
            self.fault(value.span().start, message, fix);
        }
        number
    }

    pub(super) fn strings(
        &mut self,
        table: &Table<'_>,
        key: &str,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> Vec<String> {
        let Some(value) = table.get(key) else {
            return Vec::new();
        };
        let Some(array) = value.get_ref().as_array() else {
            self.fault(
                value.span().start,
                format!("`{key}` is no list"),
                format!("write {key} = [\"…\"]"),
            );
            return Vec::new();
        };
        let mut strings = Vec::new();
        for item in array.iter() {
            let Some(text) = self.string(item, key) else {
                continue;
            };
            if let Err(fix) = check(&text) {
                self.fault(item.span().start, format!("{key} `{text}`"), fix);
            }
            strings.push(text);
        }
        strings
    }

    pub(super) fn table<'v, 't>(
        &mut self,
        value: &'v Value<'t>,
        key: &str,
    ) -> Option<&'v Table<'t>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.fault(
                value.span().start,
                format!("`{key}` is no table"),
                format!("write [{key}]"),
            );
        }
        table
    }

    /// The tables of `[[key]]`, each with its offset.
    pub(super) fn tables<'v, 't>(
        &mut self,
        root: &'v Table<'t>,
        key: &str,
    ) -> Vec<(usize, &'v Table<'t>)> {
        let Some(value) = root.get(key) else {
            return Vec::new();
        };
        let Some(array) = value.get_ref().as_array() else {
            self.fault(
                value.span().start,
                format!("`{key}` is no list"),
                format!("write [[{key}]]"),
            );
            return Vec::new();
        };
        array
            .iter()
            .filter_map(|item| Some((item.span().start, self.table(item, key)?)))
            .collect()
    }

    pub(super) fn known_keys(&mut self, table: &Table<'_>, place: &str, known: &[&str]) {
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if known.contains(&name) {
                continue;
            }
            let fix = match closest(name, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the keys are {}", known.join(", ")),
            };
            self.fault(
                key.span().start,
                format!("{place} has an unknown key `{name}`"),
                fix,
            );
        }
    }
}

/// The known word at most two edits away from `word`.
fn closest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    known
        .iter()
        .map(|candidate| (edits(word, candidate), *candidate))
        .filter(|(distance, _)| *distance <= 2)
        .min()
        .map(|(_, candidate)| candidate)
}

fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let next = (corner + usize::from(x != y))
                .min(row[j] + 1)
                .min(row[j + 1] + 1);
            corner = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[b.len()]
}
