//! Brings an app's database to what its bundle says, on either engine.
//!
//! Which files run, and in which order, is decided in one place (`ddl::plan`); on SQLite their
//! translation runs, on PostgreSQL they run as they are. On SQLite all new files are one transaction, on
//! PostgreSQL each file is one: a failed one leaves nothing of itself.

use std::time::{Duration, Instant};

use super::changes::{self, Subscription};
use super::ddl::{self, Applied, MigrateFault, MigrationFile};
use super::postgres::Cluster;
use super::sqlite::Sqlite;
use super::sqlite_ffi::Connection;
use super::{Context, DataError, Schema};
use crate::{AppId, auth, jobs, permissions};

/// How long an app's migrations may take together. Others' writes to the app wait meanwhile.
const MIGRATION_MAX: Duration = Duration::from_secs(60);

/// What a bundle says of the database.
#[derive(Clone, Debug, Default)]
pub struct Migrations {
    pub files: Vec<MigrationFile>,
    /// Run once, when it was never run before.
    pub seed: Option<String>,
    /// What the after-triggers want to be told, once the files have run.
    pub subscriptions: Vec<Subscription>,
    /// Whether it has scripts or schedules.
    pub jobs: bool,
}

/// Why migrations did not run.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error(transparent)]
    Fault(#[from] MigrateFault),
    #[error(transparent)]
    Data(#[from] DataError),
}

/// Runs what has not run yet on an SQLite file; says which files those were.
///
/// # Errors
/// [`MigrateFault`] with the place in the file; nothing has changed then.
pub async fn sqlite(db: &Sqlite, migrations: Migrations) -> Result<Vec<String>, MigrateError> {
    if migrations.files.is_empty()
        && migrations.seed.is_none()
        && !migrations.jobs
        && !db.path().exists()
    {
        return Ok(Vec::new());
    }
    let session = db
        .begin(Context::default(), Instant::now() + MIGRATION_MAX)
        .await?;
    let outcome = session
        .run(move |connection| Ok(migrate_file(connection, &migrations)))
        .await?;
    match outcome {
        Ok(ran) => {
            session.commit().await?;
            Ok(ran)
        }
        Err(fault) => {
            session.rollback().await;
            Err(fault.into())
        }
    }
}

/// The tables that are ours.
fn prepare_file(connection: &Connection) -> Result<(), MigrateFault> {
    ddl::prepare(connection)?;
    changes::prepare_sqlite(connection).map_err(ours)?;
    permissions::prepare_sqlite(connection).map_err(ours)?;
    jobs::prepare_sqlite(connection).map_err(ours)?;
    auth::prepare_sqlite(connection).map_err(ours)
}

fn observe_file(
    connection: &Connection,
    subscriptions: &[Subscription],
) -> Result<(), MigrateFault> {
    let schema = ddl::catalog(connection)?.schema();
    changes::observe_sqlite(connection, subscriptions, &schema).map_err(ours)
}

fn ours(error: DataError) -> MigrateFault {
    MigrateFault::Record(error.to_string())
}

fn migrate_file(
    connection: &Connection,
    migrations: &Migrations,
) -> Result<Vec<String>, MigrateFault> {
    prepare_file(connection)?;
    let applied = ddl::applied(connection)?;
    let new = ddl::plan(&applied, &migrations.files)?;
    ddl::read_again(connection, &applied, &migrations.files)?;
    if !new.is_empty() {
        // SQLite changes no column that a trigger names.
        changes::observe_sqlite(connection, &[], &Schema::default()).map_err(ours)?;
        ddl::apply(connection, &new)?;
    }
    observe_file(connection, &migrations.subscriptions)?;
    let mut ran: Vec<String> = new.iter().map(|file| file.name.clone()).collect();
    if let Some(seed) = &migrations.seed
        && ddl::seed(connection, seed)?
    {
        ran.push("seed.sql".to_owned());
    }
    Ok(ran)
}

/// Changes what is written down for after-triggers, and nothing else: when a revision is switched to
/// whose migrations ran before. `jobs` as in [`Migrations`].
///
/// # Errors
/// [`DataError`]; nothing has changed then.
pub async fn observe_sqlite(
    db: &Sqlite,
    subscriptions: Vec<Subscription>,
    jobs: bool,
) -> Result<(), MigrateError> {
    if !jobs && !db.path().exists() {
        return Ok(());
    }
    let job = move |connection: &Connection| {
        Ok(prepare_file(connection).and_then(|()| observe_file(connection, &subscriptions)))
    };
    db.write(Context::default(), MIGRATION_MAX, job).await??;
    Ok(())
}

/// As [`observe_sqlite`].
///
/// # Errors
/// [`DataError`]; nothing has changed then.
pub async fn observe_postgres(
    cluster: &Cluster,
    app: AppId,
    subscriptions: Vec<Subscription>,
) -> Result<(), MigrateError> {
    let mut tx = cluster.as_owner(app).await?.begin().await?;
    changes::prepare_postgres(&mut tx).await?;
    permissions::prepare_postgres(&mut tx).await?;
    jobs::prepare_postgres(&mut tx).await?;
    auth::prepare_postgres(&mut tx).await?;
    changes::observe_postgres(&mut tx, &subscriptions).await?;
    tx.commit().await?.close().await?;
    Ok(())
}

/// Runs what has not run yet in an app's database on PostgreSQL.
///
/// # Errors
/// [`MigrateFault`] or PostgreSQL's own words with the place in the file; the files before it stay.
pub async fn postgres(
    cluster: &Cluster,
    app: AppId,
    migrations: Migrations,
) -> Result<Vec<String>, MigrateError> {
    let mut owner = cluster.as_owner(app).await?;
    let mut tx = owner.begin().await?;
    changes::prepare_postgres(&mut tx).await?;
    permissions::prepare_postgres(&mut tx).await?;
    jobs::prepare_postgres(&mut tx).await?;
    auth::prepare_postgres(&mut tx).await?;
    owner = tx.commit().await?;
    let applied = owner.applied().await?;
    let applied: Vec<Applied> = applied.iter().map(known).collect::<Result<_, _>>()?;
    let seeded = applied.iter().any(|applied| applied.file == ddl::SEED);
    let new = match ddl::plan(&applied, &migrations.files) {
        Ok(new) => new,
        Err(fault) => {
            owner.close().await?;
            return Err(fault.into());
        }
    };
    let mut ran = Vec::new();
    let seed = migrations
        .seed
        .as_ref()
        .filter(|_| !seeded)
        .map(|source| MigrationFile {
            name: ddl::SEED.to_owned(),
            source: source.clone(),
        });
    for file in new.into_iter().chain(&seed) {
        let mut tx = owner.begin().await?;
        let path = match &*file.name {
            ddl::SEED => ddl::SEED.to_owned(),
            name => format!("migrations/{name}"),
        };
        // Relations that it makes; of these, views are told to ask as their caller.
        let mut views = Vec::new();
        let statements = ddl::split(&file.source);
        for statement in statements.map_err(|fault| MigrateFault::split(&path, &fault))? {
            tx.execute(&path, statement.line, statement.source).await?;
            if let Some(made) = ddl::created(statement.source) {
                views.retain(|there| *there != made);
                match statement.marks.open {
                    true => tx.open(&made).await?,
                    false => views.push(made),
                }
            }
        }
        tx.harden(&views).await?;
        tx.record(&file.name, &hex(&file.digest()), ddl::TRANSLATOR)
            .await?;
        owner = tx.commit().await?;
        ran.push(file.name.clone());
    }
    let mut tx = owner.begin().await?;
    changes::observe_postgres(&mut tx, &migrations.subscriptions).await?;
    owner = tx.commit().await?;
    owner.close().await?;
    Ok(ran)
}

/// What has run on an SQLite file; nothing while there is no file.
///
/// # Errors
/// [`MigrateFault::Record`]; [`DataError`].
pub async fn applied_sqlite(db: &Sqlite) -> Result<Vec<Applied>, MigrateError> {
    if !db.path().exists() {
        return Ok(Vec::new());
    }
    let session = db
        .begin(Context::default(), Instant::now() + MIGRATION_MAX)
        .await?;
    // Undone: the tables that it needs are only there to be read.
    let found = session
        .run(|connection| Ok(ddl::prepare(connection).and_then(|()| ddl::applied(connection))))
        .await;
    session.rollback().await;
    Ok(found??)
}

/// What has run in an app's database on PostgreSQL.
///
/// # Errors
/// As [`applied_sqlite`].
pub async fn applied_postgres(cluster: &Cluster, app: AppId) -> Result<Vec<Applied>, MigrateError> {
    let mut owner = cluster.as_owner(app).await?;
    let found = owner.applied().await;
    owner.close().await?;
    Ok(found?.iter().map(known).collect::<Result<_, _>>()?)
}

/// PostgreSQL keeps the digest as hexadecimal text.
fn known(row: &super::postgres::Applied) -> Result<Applied, MigrateFault> {
    let bad = || MigrateFault::Record(format!("the digest of {}", row.file));
    let mut digest = [0; 32];
    if row.digest.len() != 64 || !row.digest.is_ascii() {
        return Err(bad());
    }
    for (at, byte) in digest.iter_mut().enumerate() {
        let pair = &row.digest[2 * at..2 * at + 2];
        *byte = u8::from_str_radix(pair, 16).map_err(|_| bad())?;
    }
    Ok(Applied {
        file: row.file.clone(),
        digest,
        translator: row.translator,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the tables of an SQLite file are: none while there is no file.
pub(super) async fn schema_of(db: &Sqlite) -> Result<Schema, DataError> {
    if !db.path().exists() {
        return Ok(Schema::default());
    }
    let timeout = super::STATEMENT_TIMEOUT;
    let job = |connection: &Connection| permissions::is_prepared(connection);
    if !db.read(Context::default(), timeout, job).await? {
        // A file from before there were permissions: its policies ask for them from now on.
        let job = |connection: &Connection| permissions::prepare_sqlite(connection);
        db.write(Context::default(), MIGRATION_MAX, job).await?;
    }
    let job = |connection: &Connection| Ok(ddl::catalog(connection));
    match db.read(Context::default(), timeout, job).await? {
        Ok(catalog) => Ok(catalog.schema()),
        Err(fault) => Err(DataError::Internal(fault.to_string())),
    }
}
