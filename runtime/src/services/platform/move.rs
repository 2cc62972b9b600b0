//! An app's data from its SQLite file to a database on PostgreSQL, while its reads go on.
//!
//! # Steps
//! ```text
//! begun ── created ── migrated ── frozen ── copied ── marked ──> switched ──> (no row)
//! └──────────────── before: SQLite is it ─────────────────┘     └ after: PostgreSQL is it
//! ```
//! One statement in the system database switches. What comes before it can be undone, and is: by this
//! process when a step fails, by the next one when the process ended. From `frozen` on nobody writes to
//! the file; from `marked` on the file itself says so, and no server opens it for writing until that is
//! taken back. So there is never a moment with two databases that take writes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use pumice_host_api::AppId;
use pumice_host_api::data::ddl::{self, MigrationFile};
use pumice_host_api::data::migrate::{self, Migrations};
use pumice_host_api::data::postgres::Cluster;
use pumice_host_api::data::sqlite::Sqlite;
use pumice_host_api::data::transfer::{self, CopiedTable, TransferError};
use pumice_host_api::data::{DataError, DataStore, Db};
use serde::Serialize;

use super::databases::new_password;
use super::{Manifest, Platform, PlatformError, RevisionRow, has_jobs, now, subscriptions};
use crate::functions::{App, bundle};
use crate::limits;

/// A finished move.
#[derive(Debug, Serialize)]
pub struct Moved {
    pub app: String,
    /// Where the data is now, without a password.
    pub target: String,
    pub tables: Vec<CopiedTable>,
    pub duration_ms: u64,
    /// For how much of that writes were refused.
    pub refused_ms: u64,
}

/// How far a move is.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Progress {
    pub step: String,
    /// The table under way.
    pub table: Option<String>,
    /// Its rows so far.
    pub rows: u64,
}

/// Moves under way.
pub struct Moving {
    /// One at a time: whether a server is this node's is decided by one.
    one: tokio::sync::Mutex<()>,
    progress: Mutex<HashMap<AppId, Progress>>,
    /// Shared by those who make apps or delete them: the server that they are at is not forgotten.
    pub(super) at_work: tokio::sync::RwLock<()>,
    /// After which step the process ends, in a test.
    abort: Option<u32>,
}

impl Moving {
    pub fn new(abort: Option<u32>) -> Moving {
        Moving {
            one: tokio::sync::Mutex::default(),
            progress: Mutex::default(),
            at_work: tokio::sync::RwLock::default(),
            abort,
        }
    }

    fn ended(&self, step: Step) {
        if cfg!(debug_assertions) && self.abort == Some(step as u32) {
            std::process::abort();
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Begun = 1,
    Created,
    Migrated,
    Frozen,
    Copied,
    Marked,
    Switched,
    Served,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Step::Begun => "begun",
            Step::Created => "created",
            Step::Migrated => "migrated",
            Step::Frozen => "frozen",
            Step::Copied => "copied",
            Step::Marked => "marked",
            Step::Switched => "switched",
            Step::Served => "served",
        }
    }
}

impl From<TransferError> for PlatformError {
    fn from(error: TransferError) -> PlatformError {
        match error {
            TransferError::Data(
                error @ (DataError::Unavailable(_) | DataError::Internal(_) | DataError::Moved(_)),
            )
            | TransferError::Table {
                error: error @ DataError::Unavailable(_),
                ..
            } => PlatformError::Data(error),
            error => PlatformError::Transfer(error.to_string()),
        }
    }
}

impl Platform {
    /// Moves an app's data to the PostgreSQL server at `url`. Reads go on; writes are refused while rows
    /// are copied ([`DataError::Moving`]); whatever fails, the app goes on as it was.
    ///
    /// # Errors
    /// [`PlatformError::OnPostgres`], [`PlatformError::NotExternal`], [`PlatformError::OtherCluster`],
    /// [`PlatformError::HalfMoved`], [`PlatformError::DatabaseExists`], [`PlatformError::Cluster`],
    /// [`PlatformError::Migration`], [`PlatformError::Transfer`].
    pub async fn move_app(&self, app: &Arc<App>, url: &str) -> Result<Moved, PlatformError> {
        let began = Instant::now();
        let (_one, app) = &self.alone(app).await?;
        if app.data.is_external() {
            return Err(PlatformError::NotExternal("`pumice db move`".to_owned()));
        }
        let Db::Sqlite(source) = app.data.db() else {
            return Err(PlatformError::OnPostgres(app.name.clone()));
        };
        let _alone = self.moving.one.lock().await;
        let cluster = self.cluster_at(url).await?;
        let target = cluster.address_of(app.id);
        if let Err(error) = self.make_room(app, &cluster, &target).await {
            self.forget_cluster().await?;
            return Err(error);
        }
        let carried = self.carry_over(app, source, &cluster, &target).await;
        let moved = match carried {
            Ok(Carried {
                tables,
                frozen,
                successor,
            }) => {
                self.serve_moved(app, successor).await;
                Ok(Moved {
                    app: app.name.clone(),
                    target,
                    tables,
                    duration_ms: began.elapsed().as_millis() as u64,
                    refused_ms: frozen.elapsed().as_millis() as u64,
                })
            }
            Err(error) => Err(self.take_back(app, source, &cluster, error).await),
        };
        self.moving.progress.lock().remove(&app.id);
        moved
    }

    /// Looks whether the place is free, and writes down that a move begins.
    async fn make_room(
        &self,
        app: &App,
        cluster: &Cluster,
        target: &str,
    ) -> Result<(), PlatformError> {
        let moves = self.sql.moves().await?;
        if let Some(unfinished) = moves.iter().find(|unfinished| unfinished.app == app.id) {
            if unfinished.switched {
                // That database is the true one: only a start can serve it.
                return Err(PlatformError::HalfMoved(app.name.clone()));
            }
            // What an earlier one could not clear away.
            cluster.drop_app(app.id).await?;
        }
        if cluster.has_app(app.id).await? {
            return Err(PlatformError::DatabaseExists(target.to_owned()));
        }
        self.sql.begin_move(app.id, target, &now()).await?;
        self.reached(app, Step::Begun).await
    }

    /// How far the move of `app` is.
    ///
    /// # Errors
    /// [`PlatformError::NoMove`].
    pub fn progress(&self, app: &App) -> Result<Progress, PlatformError> {
        let progress = self.moving.progress.lock().get(&app.id).cloned();
        progress.ok_or_else(|| PlatformError::NoMove(app.name.clone()))
    }

    /// All that is before the switch, and the switch.
    async fn carry_over(
        &self,
        app: &Arc<App>,
        source: &Sqlite,
        cluster: &Arc<Cluster>,
        target: &str,
    ) -> Result<Carried, PlatformError> {
        let (revision, migrations) = self.migrations_of(app, source).await?;
        let (password, sealed) = new_password(app.id, &self.keyring)?;
        cluster.create_app(app.id, &password).await?;
        self.reached(app, Step::Created).await?;
        migrate::postgres(cluster, app.id, migrations).await?;
        self.reached(app, Step::Migrated).await?;

        // All that can fail and needs no rows, before anybody has to wait.
        let store = DataStore::new(Db::Postgres(cluster.open_app(app.id, &password)));
        let successor = Arc::new(app.moved(store));
        if let Some(row) = revision {
            let revision = self.revision_from(&successor, &row)?;
            successor.activate(revision);
        }
        // No job begins while this waits, and none after.
        let quiet = app.working.clone().write_owned();
        let quiet = tokio::time::timeout(limits::MOVE_QUIET_WAIT, quiet).await;
        let frozen = Instant::now();
        source.freeze().await?;
        self.reached(app, Step::Frozen).await?;
        let owner = cluster.as_owner(app.id).await?;
        let progress = |table: &str, rows: u64| {
            let progress = Progress {
                step: Step::Frozen.name().to_owned(),
                table: Some(table.to_owned()),
                rows,
            };
            self.moving.progress.lock().insert(app.id, progress);
        };
        let tables = transfer::copy(source, owner, &progress).await?;
        self.reached(app, Step::Copied).await?;
        source.mark_moved(Some(target.to_owned())).await?;
        self.reached(app, Step::Marked).await?;
        if !self.sql.switch(app.id, &sealed).await? {
            return Err(PlatformError::OnPostgres(app.name.clone()));
        }
        self.databases.adopt(cluster.clone());
        self.reached(app, Step::Switched).await?;
        drop(quiet);
        Ok(Carried {
            tables,
            frozen,
            successor,
        })
    }

    /// Requests from now on meet the app with its data where it is now. Those under way read from the
    /// file, and their writes are refused for ever.
    async fn serve_moved(&self, app: &Arc<App>, successor: Arc<App>) {
        (self.hooks)(&successor);
        self.registry.insert(successor.clone());
        let _ = app.successor.set(successor.clone());
        self.moving.ended(Step::Served);
        if let Err(error) = self.sql.end_move(app.id).await {
            // The next start does.
            tracing::warn!(app.id = %app.id, %error, "a finished move was not written down as such");
        }
        tracing::info!(app.id = %app.id, "moved to PostgreSQL");
        successor.data.committed();
        if let Some(revision) = successor.revision.load_full() {
            revision.warm(&self.components).await;
        }
    }

    /// Makes everything as it was before a move that failed with `error`; returns what is to be told.
    async fn take_back(
        &self,
        app: &App,
        source: &Sqlite,
        cluster: &Cluster,
        error: PlatformError,
    ) -> PlatformError {
        tracing::warn!(app.id = %app.id, %error, "an app was not moved");
        match self.sql.moves().await {
            Ok(moves) => {
                let of_app = |row: &&super::sql::MoveRow| row.app == app.id;
                if moves.iter().find(of_app).is_some_and(|row| row.switched) {
                    // It said that it failed, and has not. The next start serves what is true.
                    return error;
                }
            }
            // Nobody knows which of the two it is: until a start that does, neither takes writes.
            Err(unknown) => return unknown,
        }
        if source.is_frozen() {
            if let Err(error) = source.mark_moved(None).await {
                return error.into();
            }
            source.thaw();
            app.data.committed();
        }
        match cluster.drop_app(app.id).await {
            Ok(()) => {
                let ended = self.sql.end_move(app.id).await;
                let forgotten = self.forget_cluster().await;
                ended.and(forgotten).err().unwrap_or(error)
            }
            Err(left) => {
                tracing::warn!(app.id = %app.id, error = %left, "the database of a failed move was not dropped; the next start tries again");
                error
            }
        }
    }

    async fn reached(&self, app: &App, step: Step) -> Result<(), PlatformError> {
        let progress = Progress {
            step: step.name().to_owned(),
            ..Progress::default()
        };
        self.moving.progress.lock().insert(app.id, progress);
        match step {
            Step::Begun | Step::Switched | Step::Served => {}
            step => self.sql.set_step(app.id, step.name()).await?,
        }
        self.moving.ended(step);
        Ok(())
    }

    /// The server at `url`: the node's own, or that of a node which had none.
    async fn cluster_at(&self, url: &str) -> Result<Arc<Cluster>, PlatformError> {
        if let Ok(cluster) = self.databases.cluster() {
            return match cluster.is_at(url) {
                true => Ok(cluster),
                false => Err(PlatformError::OtherCluster),
            };
        }
        let cluster = self.databases.reach(url).await.map_err(unusable)?;
        // Before anything is there that would have to be dropped.
        let sealed = self.keyring.seal(CLUSTER, url.as_bytes())?;
        self.sql.set_cluster(&sealed).await?;
        Ok(cluster)
    }

    /// Connects to the server that an earlier move has named, unless a setting names one. Without it the
    /// node starts only if no app is there: what a broken move left there is dropped another time.
    pub(super) async fn find_cluster(&self) -> Result<(), PlatformError> {
        if self.databases.cluster().is_ok() {
            return Ok(());
        }
        match self.named_cluster().await {
            Ok(None) => {}
            Ok(Some(cluster)) => self.databases.adopt(cluster),
            Err(error @ PlatformError::Cluster(_)) if !self.sql.on_postgres().await? => {
                tracing::warn!(%error, "a broken move cannot be cleared away now");
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The server that an earlier move has named.
    async fn named_cluster(&self) -> Result<Option<Arc<Cluster>>, PlatformError> {
        let Some(sealed) = self.sql.cluster().await? else {
            return Ok(None);
        };
        let url = self.keyring.open_sealed(CLUSTER, &sealed)?;
        let url =
            String::from_utf8(url).map_err(|error| PlatformError::Corrupt(error.to_string()))?;
        let cluster = self.databases.reach(&url).await.map_err(unusable)?;
        Ok(Some(cluster))
    }

    /// A server that only a broken move has named is none of this node's: what is made next on it would
    /// not be found again.
    async fn forget_cluster(&self) -> Result<(), PlatformError> {
        let _nobody = self.moving.at_work.write().await;
        if self.sql.forget_cluster().await? {
            self.databases.disconnect();
        }
        Ok(())
    }

    /// Drops what a broken move of the app has left on PostgreSQL: without the app nobody knows of it.
    ///
    /// # Errors
    /// [`PlatformError::MoveLeft`] when that cannot be done now.
    pub(super) async fn clear_move(&self, app: &App) -> Result<(), PlatformError> {
        let moves = self.sql.moves().await?;
        let Some(left) = moves.into_iter().find(|row| row.app == app.id) else {
            return Ok(());
        };
        let _alone = self.moving.one.lock().await;
        if let Err(error) = self.drop_left(app).await {
            return Err(PlatformError::MoveLeft {
                target: left.target,
                cause: error.to_string(),
            });
        }
        self.sql.end_move(app.id).await?;
        self.forget_cluster().await
    }

    async fn drop_left(&self, app: &App) -> Result<(), PlatformError> {
        let cluster = match self.databases.cluster() {
            Ok(cluster) => cluster,
            Err(none) => self.named_cluster().await?.ok_or(none)?,
        };
        cluster.drop_app(app.id).await.map_err(unusable)
    }

    /// Ends what an earlier process began and did not end.
    pub(super) async fn end_moves(&self) -> Result<(), PlatformError> {
        for unfinished in self.sql.moves().await? {
            let id = unfinished.app;
            let file = self.databases.file(id);
            if unfinished.switched {
                file.mark_moved(Some(unfinished.target)).await?;
                self.sql.end_move(id).await?;
                continue;
            }
            tracing::info!(app.id = %id, step = unfinished.step, "a move was broken off and is taken back");
            file.mark_moved(None).await?;
            let dropped = match self.databases.cluster() {
                Ok(cluster) => cluster.drop_app(id).await.map_err(PlatformError::from),
                Err(error) => Err(error),
            };
            match dropped {
                Ok(()) => self.sql.end_move(id).await?,
                Err(error) => {
                    tracing::warn!(app.id = %id, %error, "the database of a broken move was not dropped; the next start tries again");
                }
            }
        }
        self.forget_cluster().await
    }

    /// The active revision, and the migrations that made the file as they were when they ran: the
    /// active revision may have fewer, after a rollback.
    async fn migrations_of(
        &self,
        app: &App,
        source: &Sqlite,
    ) -> Result<(Option<RevisionRow>, Migrations), PlatformError> {
        let active = app.revision.load().as_ref().map(|revision| revision.number);
        let mut rows = self.sql.revisions(app.id).await?;
        rows.sort_by_key(|row| (Some(row.number) != active, -row.number));
        let mut migrations = Migrations::default();
        for applied in transfer::applied(source).await? {
            if applied.file == ddl::SEED {
                continue;
            }
            let path = format!("{}{}", bundle::MIGRATIONS, applied.file);
            let mut found = None;
            for file in rows.iter().filter_map(|row| row.files.get(&path)) {
                let file = MigrationFile {
                    name: applied.file.clone(),
                    source: self.sql_text(app, *file).await?,
                };
                if file.digest() == applied.digest {
                    found = Some(file);
                    break;
                }
            }
            let missing = || {
                PlatformError::Migration(format!(
                    "{path} has run, and no revision that is kept has it as it was; push the app with it again"
                ))
            };
            migrations.files.push(found.ok_or_else(missing)?);
        }
        let revision = rows.into_iter().find(|row| Some(row.number) == active);
        if let Some(row) = &revision {
            let manifest = Manifest::parse(&row.manifest).map_err(PlatformError::Manifest)?;
            migrations.subscriptions = subscriptions(&manifest);
            migrations.jobs = has_jobs(&manifest);
        }
        Ok((revision, migrations))
    }
}

/// What is left to do after the switch.
struct Carried {
    tables: Vec<CopiedTable>,
    frozen: Instant,
    successor: Arc<App>,
}

/// Where the server's URL is sealed.
const CLUSTER: &str = "cluster";

fn unusable(error: DataError) -> PlatformError {
    let cause = match &error {
        DataError::Unavailable(cause) => cause.to_string(),
        error => error.to_string(),
    };
    PlatformError::Cluster(cause)
}
