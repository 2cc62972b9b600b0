//! The `Prefer` header.

use super::Count;
use crate::data::{DataError, SqlFault};

/// What a request prefers.
///
/// Source: RFC 7240; PostgREST, `docs/references/api/preferences`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefer {
    pub resolution: Option<Resolution>,
    pub missing: Option<Missing>,
    pub returning: Option<Return>,
    pub count: Option<Count>,
    /// Only when the app lets requests say so.
    pub transaction: Option<TransactionWish>,
    pub handling: Option<Handling>,
    /// Only one that the app's database knows.
    pub timezone: Option<String>,
    /// Heeded with [`Handling::Strict`] only.
    pub max_affected: Option<u64>,
    /// What was not understood, in order.
    pub invalid: Vec<String>,
}

/// `resolution=`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    MergeDuplicates,
    IgnoreDuplicates,
}

/// `missing=`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    Default,
    Null,
}

/// `return=`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    Minimal,
    HeadersOnly,
    Representation,
}

/// `tx=`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionWish {
    Commit,
    Rollback,
}

/// `handling=`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handling {
    Strict,
    Lenient,
}

/// What kind of request it is, as far as preferences apply to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    Read,
    /// `keyed`: there is a unique key to go by, so that `resolution` means something.
    Insert {
        keyed: bool,
    },
    Update,
    /// `PUT`
    Replace,
    Delete,
    Call,
}

impl Prefer {
    /// Reads the header's values, in order. Of each preference the first understood value counts.
    /// `transaction` says whether `tx=` is heeded, `timezone` whether the database knows a time zone.
    pub fn read<'v>(
        values: impl IntoIterator<Item = &'v str>,
        transaction: bool,
        timezone: impl Fn(&str) -> bool,
    ) -> Prefer {
        let mut prefer = Prefer::default();
        let preferences = values.into_iter().flat_map(|value| value.split(','));
        let mut timezones = 0;
        for preference in preferences.map(str::trim) {
            match preference {
                "" => {}
                "resolution=merge-duplicates" => {
                    set(&mut prefer.resolution, Resolution::MergeDuplicates);
                }
                "resolution=ignore-duplicates" => {
                    set(&mut prefer.resolution, Resolution::IgnoreDuplicates);
                }
                "missing=default" => set(&mut prefer.missing, Missing::Default),
                "missing=null" => set(&mut prefer.missing, Missing::Null),
                "return=minimal" => set(&mut prefer.returning, Return::Minimal),
                "return=headers-only" => set(&mut prefer.returning, Return::HeadersOnly),
                "return=representation" => set(&mut prefer.returning, Return::Representation),
                "count=exact" => set(&mut prefer.count, Count::Exact),
                "count=planned" => set(&mut prefer.count, Count::Planned),
                "count=estimated" => set(&mut prefer.count, Count::Estimated),
                "tx=commit" if transaction => {
                    set(&mut prefer.transaction, TransactionWish::Commit);
                }
                "tx=rollback" if transaction => {
                    set(&mut prefer.transaction, TransactionWish::Rollback);
                }
                "tx=commit" | "tx=rollback" => {}
                "handling=strict" => set(&mut prefer.handling, Handling::Strict),
                "handling=lenient" => set(&mut prefer.handling, Handling::Lenient),
                other => match other.split_once('=') {
                    Some(("timezone", zone)) => {
                        timezones += 1;
                        match timezone(zone) {
                            true if timezones == 1 => prefer.timezone = Some(zone.to_owned()),
                            true => {}
                            false => prefer.invalid.push(other.to_owned()),
                        }
                    }
                    Some(("max-affected", rows)) => {
                        if let Ok(rows) = rows.parse() {
                            set(&mut prefer.max_affected, rows);
                        }
                    }
                    _ => prefer.invalid.push(other.to_owned()),
                },
            }
        }
        prefer
    }

    pub fn is_strict(&self) -> bool {
        self.handling == Some(Handling::Strict)
    }

    /// # Errors
    /// PGRST122 when something was not understood and `handling=strict` minds.
    pub fn check(&self) -> Result<(), DataError> {
        if !self.is_strict() || self.invalid.is_empty() {
            return Ok(());
        }
        Err(
            SqlFault::new("PGRST122", "Invalid preferences given with handling=strict")
                .details(format!("Invalid preferences: {}", self.invalid.join(", ")))
                .into_error(),
        )
    }

    /// `Preference-Applied`: those that mean something for such a request; none when none does.
    pub fn applied(&self, request: Write) -> Option<String> {
        let insert = matches!(request, Write::Insert { .. });
        let update = request == Write::Update;
        let delete = request == Write::Delete;
        let call = request == Write::Call;
        let resolution = self
            .resolution
            .filter(|_| request == Write::Insert { keyed: true })
            .map(|resolution| match resolution {
                Resolution::MergeDuplicates => "resolution=merge-duplicates",
                Resolution::IgnoreDuplicates => "resolution=ignore-duplicates",
            });
        let missing = self
            .missing
            .filter(|_| insert || update)
            .map(|missing| match missing {
                Missing::Default => "missing=default",
                Missing::Null => "missing=null",
            });
        let returning = self
            .returning
            .filter(|_| request != Write::Read && !call)
            .map(|returning| match returning {
                Return::Minimal => "return=minimal",
                Return::HeadersOnly => "return=headers-only",
                Return::Representation => "return=representation",
            });
        let count = self.count.map(|count| match count {
            Count::Exact => "count=exact",
            Count::Planned => "count=planned",
            Count::Estimated => "count=estimated",
        });
        let transaction = self.transaction.map(|transaction| match transaction {
            TransactionWish::Commit => "tx=commit",
            TransactionWish::Rollback => "tx=rollback",
        });
        let handling = self.handling.map(|handling| match handling {
            Handling::Strict => "handling=strict",
            Handling::Lenient => "handling=lenient",
        });
        let timezone = self
            .timezone
            .as_ref()
            .map(|zone| format!("timezone={zone}"));
        let max_affected = self
            .max_affected
            .filter(|_| self.is_strict() && (update || delete || call))
            .map(|rows| format!("max-affected={rows}"));
        let words = [
            resolution,
            missing,
            returning,
            count,
            transaction,
            handling,
            timezone.as_deref(),
            max_affected.as_deref(),
        ];
        let words: Vec<&str> = words.into_iter().flatten().collect();
        (!words.is_empty()).then(|| words.join(", "))
    }
}

fn set<T>(preference: &mut Option<T>, value: T) {
    preference.get_or_insert(value);
}
