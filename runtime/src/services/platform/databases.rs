//! Where apps' own databases are made, opened, brought up to date and dropped.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pumice_host_api::AppId;
use pumice_host_api::data::changes::Subscription;
use pumice_host_api::data::ddl;
use pumice_host_api::data::ddl::{Applied, MigrationFile};
use pumice_host_api::data::migrate::{self, Migrations};
use pumice_host_api::data::postgres::{self, Cluster, Connections, External};
use pumice_host_api::data::sqlite::{Options, Sqlite};
use pumice_host_api::data::{DataError, DataStore, Db, Schema};

use super::PlatformError;
use super::sql::DatabaseRow;
use crate::config::DatabaseUrl;
use crate::functions::app_folder;
use crate::keyring::Keyring;

/// The places that an app's database can be in.
pub struct Databases {
    data: PathBuf,
    /// Whether SQLite waits for the disk.
    durable: bool,
    /// Of all apps, on this server and on those that others keep.
    connections: Connections,
    cluster: ArcSwapOption<Cluster>,
    /// Whether a setting names it.
    is_set: bool,
}

/// An app's own database that nobody has used, while nobody can write to it.
pub enum Held {
    Sqlite(Sqlite),
    Postgres(Box<postgres::Held>),
}

impl Held {
    /// Takes writes again.
    ///
    /// # Errors
    /// PostgreSQL's own.
    pub async fn release(self) -> Result<(), PlatformError> {
        match self {
            Held::Sqlite(sqlite) => sqlite.thaw(),
            Held::Postgres(held) => held.release().await?,
        }
        Ok(())
    }

    /// As [`Databases::drop`], and nobody writes before it is gone.
    ///
    /// # Errors
    /// PostgreSQL's own.
    pub async fn drop(self) -> Result<(), PlatformError> {
        match self {
            Held::Sqlite(sqlite) => sqlite.close().await,
            Held::Postgres(held) => held.drop_app().await?,
        }
        Ok(())
    }
}

impl Databases {
    /// Connects to the PostgreSQL server, if there is to be one.
    ///
    /// # Errors
    /// When it does not answer, or its user may not make databases; the text says what to grant.
    pub async fn open(
        data: &Path,
        url: Option<&DatabaseUrl>,
        connections: u32,
        durable: bool,
    ) -> Result<Databases, DataError> {
        let databases = Databases {
            data: data.to_owned(),
            durable,
            connections: Connections::new(connections),
            cluster: ArcSwapOption::empty(),
            is_set: url.is_some(),
        };
        if let Some(DatabaseUrl(url)) = url {
            databases.adopt(databases.reach(url).await?);
        }
        Ok(databases)
    }

    /// Connects to a PostgreSQL server.
    ///
    /// # Errors
    /// As [`Databases::open`].
    pub async fn reach(&self, url: &str) -> Result<Arc<Cluster>, DataError> {
        Ok(Arc::new(Cluster::connect(url, &self.connections).await?))
    }

    /// Makes new apps on this server from now on.
    pub fn adopt(&self, cluster: Arc<Cluster>) {
        self.cluster.store(Some(cluster));
    }

    /// Makes new apps on SQLite again, unless a setting names the server.
    pub fn disconnect(&self) {
        if !self.is_set {
            self.cluster.store(None);
        }
    }

    /// Makes the database of a new app: on PostgreSQL if there is one, else a file at its first use.
    ///
    /// # Errors
    /// PostgreSQL's own.
    pub async fn create(
        &self,
        app: AppId,
        keyring: &Keyring,
    ) -> Result<DatabaseRow, PlatformError> {
        let Some(cluster) = self.cluster.load_full() else {
            return Ok(DatabaseRow::Sqlite);
        };
        let (password, sealed) = new_password(app, keyring)?;
        cluster.create_app(app, &password).await?;
        Ok(DatabaseRow::Postgres(sealed))
    }

    /// The door to an app's tables. Opens nothing yet.
    ///
    /// # Errors
    /// When the app is on PostgreSQL and this server was started without one.
    pub fn store(
        &self,
        app: AppId,
        row: &DatabaseRow,
        keyring: &Keyring,
    ) -> Result<DataStore, PlatformError> {
        let db = match row {
            DatabaseRow::Sqlite => Db::Sqlite(self.file(app)),
            DatabaseRow::Postgres(sealed) => {
                let cluster = self.cluster()?;
                let password = Self::password(app, sealed, keyring)?;
                Db::Postgres(cluster.open_app(app, &password))
            }
            DatabaseRow::External(sealed) => {
                let url = Self::opened(&external_place(app), sealed, keyring)?;
                let external = External::parse(&url)?;
                Db::Postgres(external.open(app, &self.connections))
            }
        };
        Ok(DataStore::new(db))
    }

    /// What the system database keeps of an external database.
    ///
    /// # Errors
    /// When it cannot be sealed.
    pub fn external(
        app: AppId,
        url: &str,
        keyring: &Keyring,
    ) -> Result<DatabaseRow, PlatformError> {
        let sealed = keyring.seal(&external_place(app), url.as_bytes())?;
        Ok(DatabaseRow::External(sealed))
    }

    /// Whether nothing is lost when the app gets another database.
    ///
    /// # Errors
    /// PostgreSQL's own.
    pub async fn is_untouched(&self, app: AppId, store: &DataStore) -> Result<bool, PlatformError> {
        Ok(match store.db() {
            Db::Sqlite(sqlite) => !sqlite.path().exists(),
            Db::Postgres(_) => self.cluster()?.is_untouched(app).await?,
        })
    }

    /// As [`Databases::is_untouched`], and it stays so: nobody writes there until what this returns ends.
    ///
    /// # Errors
    /// [`DataError::Unavailable`]; PostgreSQL's own.
    pub async fn hold_untouched(
        &self,
        app: AppId,
        store: &DataStore,
    ) -> Result<Option<Held>, PlatformError> {
        let sqlite = match store.db() {
            Db::Sqlite(sqlite) => sqlite,
            Db::Postgres(_) => {
                let held = self.cluster()?.hold_untouched(app).await?;
                return Ok(held.map(|held| Held::Postgres(Box::new(held))));
            }
        };
        let frozen = sqlite.freeze().await;
        if frozen.is_ok() && !sqlite.path().exists() {
            return Ok(Some(Held::Sqlite(sqlite.clone())));
        }
        sqlite.thaw();
        frozen?;
        Ok(None)
    }

    /// An app's SQLite file, whether its data is there or not.
    pub fn file(&self, app: AppId) -> Sqlite {
        let options = Options {
            durable: self.durable,
            setup: Some(Arc::new(ddl::register)),
            ..Options::default()
        };
        Sqlite::new(app_folder(&self.data, app).join("app.db"), options)
    }

    /// Runs the migrations that have not run yet, and says which those were.
    ///
    /// # Errors
    /// [`PlatformError::Migration`] with file, line and statement;
    /// [`PlatformError::NotExternal`] for anything in an external database.
    pub async fn migrate(
        &self,
        app: AppId,
        store: &DataStore,
        migrations: Migrations,
    ) -> Result<Vec<String>, PlatformError> {
        if store.is_external() {
            let tables = [
                (!migrations.files.is_empty(), "migrations"),
                (migrations.seed.is_some(), "seed.sql"),
            ];
            let work = needs(!migrations.subscriptions.is_empty(), migrations.jobs);
            possible(tables.into_iter().chain(work))?;
            store.forget_schema();
            return Ok(Vec::new());
        }
        let ran = match store.db() {
            Db::Sqlite(sqlite) => migrate::sqlite(sqlite, migrations).await,
            Db::Postgres(_) => migrate::postgres(&*self.cluster()?, app, migrations).await,
        };
        store.forget_schema();
        Ok(ran?)
    }

    /// Changes what is written down for after-triggers, and nothing else; `jobs` as in [`Migrations`].
    ///
    /// # Errors
    /// [`PlatformError::Migration`]; as [`Databases::migrate`] in an external database.
    pub async fn observe(
        &self,
        app: AppId,
        store: &DataStore,
        subscriptions: Vec<Subscription>,
        jobs: bool,
    ) -> Result<(), PlatformError> {
        if store.is_external() {
            return possible(needs(!subscriptions.is_empty(), jobs));
        }
        match store.db() {
            Db::Sqlite(sqlite) => migrate::observe_sqlite(sqlite, subscriptions, jobs).await?,
            Db::Postgres(_) => {
                migrate::observe_postgres(&*self.cluster()?, app, subscriptions).await?;
            }
        }
        Ok(())
    }

    /// The files that have run on an app's database.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn applied(
        &self,
        app: AppId,
        store: &DataStore,
    ) -> Result<Vec<Applied>, PlatformError> {
        if store.is_external() {
            return Ok(Vec::new());
        }
        Ok(match store.db() {
            Db::Sqlite(sqlite) => migrate::applied_sqlite(sqlite).await?,
            Db::Postgres(_) => migrate::applied_postgres(&*self.cluster()?, app).await?,
        })
    }

    /// Removes an app's database with all that is in it and makes it again, empty. `store` is closed
    /// then; the answer is the door to the new one.
    ///
    /// # Errors
    /// PostgreSQL's own; a file that cannot be removed.
    pub async fn make_anew(
        &self,
        app: AppId,
        store: &DataStore,
        row: &DatabaseRow,
        keyring: &Keyring,
    ) -> Result<DataStore, PlatformError> {
        if store.is_external() {
            return Err(PlatformError::NotExternal("`pumice db reset`".to_owned()));
        }
        self.drop(app, store).await?;
        match row {
            DatabaseRow::External(_) => {}
            DatabaseRow::Sqlite => {
                let file = app_folder(&self.data, app).join("app.db");
                // The file itself last: the others are nothing without it, and it is nothing without them.
                for ending in ["-wal", "-shm", ""] {
                    let mut path = file.clone().into_os_string();
                    path.push(ending);
                    match tokio::fs::remove_file(&path).await {
                        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                            return Err(error.into());
                        }
                        _ => {}
                    }
                }
            }
            DatabaseRow::Postgres(sealed) => {
                let password = Self::password(app, sealed, keyring)?;
                self.cluster()?.create_app(app, &password).await?;
            }
        }
        self.store(app, row, keyring)
    }

    /// What tables the files make in an empty database on PostgreSQL; the database goes again.
    ///
    /// # Errors
    /// [`PlatformError::Migration`]; PostgreSQL's own.
    pub async fn scratch(&self, files: Vec<MigrationFile>) -> Result<Schema, PlatformError> {
        let cluster = self.cluster()?;
        let app = AppId(uuid::Uuid::now_v7());
        let password = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        cluster.create_app(app, &password).await?;
        let migrations = Migrations {
            files,
            ..Migrations::default()
        };
        let outcome = match migrate::postgres(&cluster, app, migrations).await {
            Ok(_) => {
                let store = DataStore::new(Db::Postgres(cluster.open_app(app, &password)));
                store.schema().await.map_err(PlatformError::from)
            }
            Err(error) => Err(error.into()),
        };
        cluster.drop_app(app).await?;
        Ok(Schema::clone(&*outcome?))
    }

    /// Closes an app's database and removes it. (An SQLite file goes with the app's folder, and an external
    /// database stays as it is.)
    ///
    /// # Errors
    /// PostgreSQL's own.
    pub async fn drop(&self, app: AppId, store: &DataStore) -> Result<(), PlatformError> {
        match store.db() {
            Db::Sqlite(sqlite) => sqlite.close().await,
            Db::Postgres(postgres) if postgres.is_external() => postgres.close().await,
            Db::Postgres(_) => self.cluster()?.drop_app(app).await?,
        }
        Ok(())
    }

    fn password(app: AppId, sealed: &[u8], keyring: &Keyring) -> Result<String, PlatformError> {
        Self::opened(&place(app), sealed, keyring)
    }

    fn opened(place: &str, sealed: &[u8], keyring: &Keyring) -> Result<String, PlatformError> {
        let text = keyring.open_sealed(place, sealed)?;
        String::from_utf8(text)
            .map_err(|error| PlatformError::Corrupt(error.utf8_error().to_string()))
    }

    /// The server that apps' databases are on.
    ///
    /// # Errors
    /// [`PlatformError::NoCluster`].
    pub fn cluster(&self) -> Result<Arc<Cluster>, PlatformError> {
        self.cluster.load_full().ok_or(PlatformError::NoCluster)
    }
}

/// A password of an app's login role, plain and sealed.
pub fn new_password(app: AppId, keyring: &Keyring) -> Result<(String, Vec<u8>), PlatformError> {
    let password = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    let sealed = keyring.seal(&place(app), password.as_bytes())?;
    Ok((password, sealed))
}

fn place(app: AppId) -> String {
    format!("database/{app}")
}

fn external_place(app: AppId) -> String {
    format!("external/{app}")
}

/// What works later, and so needs tables of ours.
pub(super) fn needs(after: bool, jobs: bool) -> [(bool, &'static str); 2] {
    [
        (after, "after-triggers"),
        (jobs && !after, "scripts and schedules"),
    ]
}

/// # Errors
/// [`PlatformError::NotExternal`] naming all that is wanted of `parts`.
pub(super) fn possible(
    parts: impl IntoIterator<Item = (bool, &'static str)>,
) -> Result<(), PlatformError> {
    let wanted: Vec<&str> = parts
        .into_iter()
        .filter_map(|(wanted, name)| wanted.then_some(name))
        .collect();
    match wanted.is_empty() {
        true => Ok(()),
        false => Err(PlatformError::NotExternal(wanted.join(", "))),
    }
}
