//! `[limits]` of an app and of an entry.

use std::time::Duration;

use pumice_host_api::Kind;

use super::reader::{Reader, Table};
use crate::limits::{FUEL_PER_MS, Limits};

/// One key of such a table.
struct Setting {
    key: &'static str,
    get: fn(&Limits) -> u64,
    set: fn(&mut Limits, u64),
}

const MIB: u64 = 1024 * 1024;

const SETTINGS: [Setting; 8] = [
    Setting {
        key: "fuel_ms",
        get: |limits| limits.fuel / FUEL_PER_MS,
        set: |limits, ms| limits.fuel = ms * FUEL_PER_MS,
    },
    Setting {
        key: "cpu_ms",
        get: |limits| limits.cpu.as_millis() as u64,
        set: |limits, ms| limits.cpu = Duration::from_millis(ms),
    },
    Setting {
        key: "wall_ms",
        get: |limits| limits.wall.as_millis() as u64,
        set: |limits, ms| limits.wall = Duration::from_millis(ms),
    },
    Setting {
        key: "memory_mib",
        get: |limits| limits.memory_bytes as u64 / MIB,
        set: |limits, mib| limits.memory_bytes = (mib * MIB) as usize,
    },
    Setting {
        key: "handles",
        get: |limits| u64::from(limits.handles),
        set: |limits, count| limits.handles = count as u32,
    },
    Setting {
        key: "response_mib",
        get: |limits| limits.response_bytes / MIB,
        set: |limits, mib| limits.response_bytes = mib * MIB,
    },
    Setting {
        key: "host_call_mib",
        get: |limits| limits.host_call_bytes / MIB,
        set: |limits, mib| limits.host_call_bytes = mib * MIB,
    },
    Setting {
        key: "outbound_requests",
        get: |limits| u64::from(limits.outbound_requests),
        set: |limits, count| limits.outbound_requests = count as u32,
    },
];

const KEYS: [&str; SETTINGS.len()] = {
    let mut keys = [""; SETTINGS.len()];
    let mut at = 0;
    while at < keys.len() {
        keys[at] = SETTINGS[at].key;
        at += 1;
    }
    keys
};

/// What an app's `[limits]` says.
#[derive(Default)]
pub(super) struct Defaults(Vec<(&'static Setting, u64)>);

impl Reader<'_> {
    /// The app's table. A number may be what any sort of its entries may have; an entry whose own
    /// ceiling is lower gets that.
    pub(super) fn defaults(&mut self, root: &Table<'_>) -> Defaults {
        let Some(value) = root.get("limits") else {
            return Defaults::default();
        };
        let Some(table) = self.table(value, "limits") else {
            return Defaults::default();
        };
        let sorts: [(&str, &[Kind]); 5] = [
            ("function", &[Kind::Function]),
            ("trigger", &[Kind::BeforeTrigger, Kind::AfterTrigger]),
            ("procedure", &[Kind::Procedure]),
            ("script", &[Kind::Script]),
            ("hook", &Kind::HOOKS),
        ];
        let used = sorts.iter().filter(|(key, _)| root.contains_key(*key));
        let mut kinds: Vec<Kind> = used.flat_map(|(_, kinds)| kinds.iter().copied()).collect();
        if kinds.is_empty() {
            kinds.push(Kind::Function);
        }
        let ceilings: Vec<Limits> = kinds.into_iter().map(Limits::ceiling).collect();
        Defaults(self.numbers(table, &ceilings))
    }

    /// The limits of an entry: its own table over the app's, over the defaults of its kind.
    pub(super) fn limits(&mut self, kind: Kind, defaults: &Defaults, entry: &Table<'_>) -> Limits {
        let mut limits = Limits::default_of(kind);
        let ceiling = Limits::ceiling(kind);
        for (setting, number) in &defaults.0 {
            (setting.set)(&mut limits, (*number).min((setting.get)(&ceiling)));
        }
        let own = entry
            .get("limits")
            .and_then(|value| self.table(value, "limits"));
        if let Some(own) = own {
            for (setting, number) in self.numbers(own, &[ceiling]) {
                (setting.set)(&mut limits, number);
            }
        }
        limits
    }

    /// The settings of a table, each from 1 to the highest of `ceilings`.
    fn numbers(&mut self, table: &Table<'_>, ceilings: &[Limits]) -> Vec<(&'static Setting, u64)> {
        self.known_keys(table, "limits", &KEYS);
        let mut numbers = Vec::new();
        for (key, value) in table.iter() {
            let name = key.get_ref().as_ref();
            let Some(setting) = SETTINGS.iter().find(|setting| setting.key == name) else {
                continue;
            };
            let max = ceilings.iter().map(|ceiling| (setting.get)(ceiling)).max();
            let what = format!("limit `{name}`");
            if let Some(number) = self.number(value, &what, max.unwrap_or(0)) {
                numbers.push((setting, number));
            }
        }
        numbers
    }
}
