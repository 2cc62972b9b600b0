//! Which migrations run, and how they run on SQLite.
//!
//! The order and the refusals are the same on both engines; on PostgreSQL a file's statements run as
//! they are.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::translate::{shown, translate};
use super::{Catalog, DdlFault, sql};
use crate::data::sqlite_ffi::{Connection, SqliteError};
use crate::data::{Value, ValueRef};

/// Version of what [`translate`] makes of a file; recorded beside it, so that a later version knows
/// whose tables it meets.
pub const TRANSLATOR: i64 = 4;

/// The name under which a seed is recorded.
pub const SEED: &str = "seed.sql";

/// A file of the bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationFile {
    /// Without its folder: `0001_init.sql`.
    pub name: String,
    pub source: String,
}

/// A file that has run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    pub file: String,
    /// SHA-256 of its bytes.
    pub digest: [u8; 32],
    /// The [`TRANSLATOR`] that ran it.
    pub translator: i64,
}

/// Why migrations do not run.
#[derive(Debug, thiserror::Error)]
pub enum MigrateFault {
    #[error(
        "migrations/{0}: a migration's name is four digits or more, `_`, words and `.sql`; rename it to something like `0001_init.sql`"
    )]
    Name(String),
    #[error(
        "migrations/{0} and migrations/{1} have the same number; give one of them the next free one"
    )]
    SameNumber(String, String),
    #[error(
        "migrations/{0} has run and was edited since; restore it and put the change in a new file"
    )]
    Edited(String),
    #[error("migrations/{0} has run and is gone; restore it")]
    Missing(String),
    #[error(
        "migrations/{file} comes before migrations/{applied}, which has run; give it a higher number"
    )]
    Late { file: String, applied: String },
    #[error("{0}; in `{statement}`", statement = .0.statement)]
    Ddl(#[from] DdlFault),
    /// A step that the database refused; `statement` is the file's, in short.
    #[error("{file}:{line}: {message}; in `{statement}`")]
    Step {
        file: String,
        /// From 1.
        line: usize,
        statement: String,
        message: String,
    },
    #[error("{file}: rows of \"{table}\" point to rows of \"{parent}\" that are not there")]
    References {
        file: String,
        table: String,
        parent: String,
    },
    /// What the runner keeps about the app could not be read or written.
    #[error("the migrations' record failed: {0}")]
    Record(String),
}

impl MigrateFault {
    /// A file that cannot be taken apart.
    pub fn split(file: &str, fault: &super::SplitFault) -> MigrateFault {
        MigrateFault::Step {
            file: file.to_owned(),
            line: fault.line,
            statement: String::new(),
            message: fault.reason.clone(),
        }
    }
}

impl MigrationFile {
    /// SHA-256 of its bytes.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.source.as_bytes()).into()
    }

    /// The number its name starts with, without leading zeros.
    fn number(&self) -> Option<&str> {
        let (number, rest) = self.name.split_once('_')?;
        let word = rest.strip_suffix(".sql")?;
        let digits = number.len() >= 4 && number.bytes().all(|byte| byte.is_ascii_digit());
        let plain = !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        (digits && plain).then(|| number.trim_start_matches('0'))
    }
}

/// The files still to run, in order of name.
///
/// # Errors
/// [`MigrateFault`] if names, numbers, or what has run already, do not fit.
pub fn plan<'f>(
    applied: &[Applied],
    files: &'f [MigrationFile],
) -> Result<Vec<&'f MigrationFile>, MigrateFault> {
    let (new, faults) = check(applied, files);
    match faults.into_iter().next() {
        Some(fault) => Err(fault),
        None => Ok(new),
    }
}

/// As [`plan`], with everything that does not fit.
pub fn check<'f>(
    applied: &[Applied],
    files: &'f [MigrationFile],
) -> (Vec<&'f MigrationFile>, Vec<MigrateFault>) {
    let mut faults = Vec::new();
    let mut numbers: BTreeMap<&str, &str> = BTreeMap::new();
    for file in files {
        let Some(number) = file.number() else {
            faults.push(MigrateFault::Name(file.name.clone()));
            continue;
        };
        if let Some(other) = numbers.insert(number, &file.name) {
            let fault = MigrateFault::SameNumber(other.to_owned(), file.name.clone());
            faults.push(fault);
        }
    }
    let mut missing: BTreeSet<_> = applied
        .iter()
        .map(|applied| applied.file.as_str())
        .filter(|file| *file != SEED)
        .collect();
    let mut new: Vec<&MigrationFile> = Vec::new();
    // Those that a file which has run comes after: said once each.
    let mut late = 0;
    for file in in_order(files) {
        let Some(there) = applied.iter().find(|applied| applied.file == file.name) else {
            new.push(file);
            continue;
        };
        missing.remove(file.name.as_str());
        if there.digest != file.digest() {
            faults.push(MigrateFault::Edited(file.name.clone()));
        }
        for early in &new[late..] {
            faults.push(MigrateFault::Late {
                file: early.name.clone(),
                applied: file.name.clone(),
            });
        }
        late = new.len();
    }
    let gone = missing.into_iter();
    faults.extend(gone.map(|file| MigrateFault::Missing(file.to_owned())));
    (new, faults)
}

/// By number: `10000_…` is after `9999_…`. Those without one come first.
pub fn in_order(files: &[MigrationFile]) -> Vec<&MigrationFile> {
    let mut files: Vec<_> = files.iter().collect();
    files.sort_by_key(|file| {
        let number = file.number().unwrap_or_default();
        (number.len(), number)
    });
    files
}

/// What the tables are meant to be once all files have run, without a database.
///
/// # Errors
/// [`MigrateFault::Ddl`] at the first statement that is wrong or outside the subset.
pub fn intended(files: &[MigrationFile]) -> Result<Catalog, MigrateFault> {
    let mut catalog = Catalog::default();
    for file in in_order(files) {
        let path = format!("migrations/{}", file.name);
        catalog = translate(&file.source, &path, catalog)?.catalog;
    }
    Ok(catalog)
}

/// Takes policies and grants from files that ran under a [`TRANSLATOR`] which did not keep them: its
/// tables are closed to all but `service_role` until then. The files' texts are not kept, so they come
/// from `files`, whose digests have been compared.
///
/// Leaves everything as it is when one of the files cannot be read now, or declares other columns than
/// the tables have: what is closed by mistake does less harm than what is open.
///
/// # Errors
/// [`MigrateFault::Record`].
pub fn read_again(
    connection: &Connection,
    applied: &[Applied],
    files: &[MigrationFile],
) -> Result<(), MigrateFault> {
    let old = |there: &Applied| there.file != SEED && there.translator < TRANSLATOR;
    if !applied.iter().any(old) {
        return Ok(());
    }
    let ran: Vec<MigrationFile> = files
        .iter()
        .filter(|file| applied.iter().any(|there| there.file == file.name))
        .cloned()
        .collect();
    let mut now = catalog(connection)?;
    let Ok(meant) = intended(&ran) else {
        return Ok(());
    };
    if !now.take_access(&meant) {
        return Ok(());
    }
    let text =
        serde_json::to_string(&now).map_err(|error| MigrateFault::Record(error.to_string()))?;
    for (sql, value) in [
        (sql::KEEP_CATALOG, Value::Text(text)),
        (sql::READ_AGAIN, Value::Integer(TRANSLATOR)),
    ] {
        connection.execute(sql, &[value]).map_err(record)?;
    }
    Ok(())
}

/// Makes the tables of a fresh file that migrations need; does nothing the second time.
///
/// # Errors
/// [`MigrateFault::Record`].
pub fn prepare(connection: &Connection) -> Result<(), MigrateFault> {
    for table in sql::PREPARE {
        connection.execute(table, &[]).map_err(record)?;
    }
    Ok(())
}

/// What has run on this file, in order of name.
///
/// # Errors
/// [`MigrateFault::Record`].
pub fn applied(connection: &Connection) -> Result<Vec<Applied>, MigrateFault> {
    let mut found = Vec::new();
    let mut odd = false;
    connection
        .query(sql::APPLIED, &[], |row| {
            match (row.get(0), row.get(1), row.get(2)) {
                (ValueRef::Text(file), ValueRef::Blob(digest), ValueRef::Integer(translator))
                    if digest.len() == 32 =>
                {
                    let mut bytes = [0; 32];
                    bytes.copy_from_slice(digest);
                    found.push(Applied {
                        file: file.to_owned(),
                        digest: bytes,
                        translator,
                    });
                }
                _ => odd = true,
            }
            Ok(())
        })
        .map_err(record)?;
    if odd {
        return Err(MigrateFault::Record("a row of another shape".to_owned()));
    }
    Ok(found)
}

/// What the migrations that have run declare; empty before the first.
///
/// # Errors
/// [`MigrateFault::Record`].
pub fn catalog(connection: &Connection) -> Result<Catalog, MigrateFault> {
    match texts(connection, sql::CATALOG)?.first() {
        None => Ok(Catalog::default()),
        Some([text, _]) => {
            serde_json::from_str(text).map_err(|error| MigrateFault::Record(error.to_string()))
        }
    }
}

/// The first two columns of the rows of `sql`, as texts.
fn texts(connection: &Connection, sql: &str) -> Result<Vec<[String; 2]>, MigrateFault> {
    let text = |value: ValueRef<'_>| match value {
        ValueRef::Text(text) => text.to_owned(),
        _ => String::new(),
    };
    let mut rows = Vec::new();
    connection
        .query(sql, &[], |row| {
            rows.push([text(row.get(0)), text(row.get(1))]);
            Ok(())
        })
        .map_err(record)?;
    Ok(rows)
}

fn record(error: SqliteError) -> MigrateFault {
    MigrateFault::Record(error.to_string())
}

/// Runs `files` in order and records them. Returns the tables after them, and which new ones are open.
///
/// To be called inside one transaction, with foreign keys on, after [`prepare`]; the caller commits,
/// or rolls back on an error. Triggers on tables that are rebuilt are lost, and rows that a rebuild
/// drops may fire what triggers there are: their maker drops them before and makes them again after.
///
/// # Errors
/// [`MigrateFault`] with the place in the file.
pub fn apply(
    connection: &Connection,
    files: &[&MigrationFile],
) -> Result<(Catalog, BTreeSet<String>), MigrateFault> {
    let mut now = catalog(connection)?;
    let mut open = BTreeSet::new();
    for file in files {
        let path = format!("migrations/{}", file.name);
        let (after, opened) = run(connection, file, &path, now)?;
        now = after;
        // A later file may have dropped or renamed it.
        open.extend(opened);
        open.retain(|name| now.tables.contains_key(name));
    }
    let text =
        serde_json::to_string(&now).map_err(|error| MigrateFault::Record(error.to_string()))?;
    connection
        .execute(sql::KEEP_CATALOG, &[Value::Text(text)])
        .map_err(record)?;
    Ok((now, open))
}

/// Runs the app's seed unless one has run. Returns whether it did.
///
/// # Errors
/// As [`apply`]; and if it declares anything: a seed holds rows.
pub fn seed(connection: &Connection, source: &str) -> Result<bool, MigrateFault> {
    if applied(connection)?
        .iter()
        .any(|applied| applied.file == SEED)
    {
        return Ok(false);
    }
    let file = MigrationFile {
        name: SEED.to_owned(),
        source: source.to_owned(),
    };
    let before = catalog(connection)?;
    let (after, _) = run(connection, &file, SEED, before.clone())?;
    if after != before {
        return Err(MigrateFault::Ddl(DdlFault {
            file: SEED.to_owned(),
            line: 1,
            statement: String::new(),
            reason: "a seed changes rows, not tables".to_owned(),
            fix: "move that to a migration".to_owned(),
        }));
    }
    Ok(true)
}

fn run(
    connection: &Connection,
    file: &MigrationFile,
    path: &str,
    catalog: Catalog,
) -> Result<(Catalog, BTreeSet<String>), MigrateFault> {
    let translated = translate(&file.source, path, catalog)?;
    for step in &translated.steps {
        connection.execute(&step.sql, &[]).map_err(|error| {
            let statement = super::split(&file.source)
                .unwrap_or_default()
                .into_iter()
                .find(|statement| statement.line == step.line)
                .map(|statement| shown(statement.source))
                .unwrap_or_default();
            MigrateFault::Step {
                file: path.to_owned(),
                line: step.line,
                statement,
                message: error.to_string(),
            }
        })?;
    }
    if let Some([table, parent]) = texts(connection, sql::BROKEN_REFERENCES)?.first() {
        return Err(MigrateFault::References {
            file: path.to_owned(),
            table: table.clone(),
            parent: parent.clone(),
        });
    }
    let row = [
        Value::Text(file.name.clone()),
        Value::Blob(file.digest().to_vec()),
        Value::Integer(TRANSLATOR),
    ];
    connection.execute(sql::RECORD, &row).map_err(record)?;
    Ok((translated.catalog, translated.open))
}
