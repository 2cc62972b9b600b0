//! What `pumice db` does to an app's database while no server has the data folder.

use pumice_host_api::data::ddl::{self, Applied, MigrationFile};
use pumice_host_api::data::migrate::{MigrateError, Migrations};
use pumice_host_api::data::{Db, Schema};

use super::{Manifest, Platform, PlatformError, has_jobs, subscriptions};
use crate::functions::App;

/// An app's SQL, as it stands in its folder.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    pub files: Vec<MigrationFile>,
    pub seed: Option<String>,
}

impl Sources {
    fn migrations(self, manifest: &Manifest) -> Migrations {
        Migrations {
            files: self.files,
            seed: self.seed,
            subscriptions: subscriptions(manifest),
            jobs: has_jobs(manifest),
        }
    }
}

impl Platform {
    /// The files that have run on the app's database.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn applied(&self, app: &App) -> Result<Vec<Applied>, PlatformError> {
        self.databases.applied(app.id, &app.data).await
    }

    /// Runs what has not run yet, and says which files those were.
    ///
    /// # Errors
    /// [`PlatformError::Migration`] with file, line and statement.
    pub async fn migrate_files(
        &self,
        app: &App,
        manifest: &Manifest,
        sources: Sources,
    ) -> Result<Vec<String>, PlatformError> {
        let _deploying = app.deploying.lock().await;
        let migrations = sources.migrations(manifest);
        self.databases.migrate(app.id, &app.data, migrations).await
    }

    /// Makes the app's database anew and runs everything on it. What was in it is gone: rows, users,
    /// jobs; objects stay. The app's store is closed afterwards: to be called before the end only.
    ///
    /// # Errors
    /// [`PlatformError::Migration`]: before anything is gone if the files cannot be read, with an empty
    /// database if one does not run.
    pub async fn reset(
        &self,
        app: &App,
        manifest: &Manifest,
        sources: Sources,
    ) -> Result<Vec<String>, PlatformError> {
        let _deploying = app.deploying.lock().await;
        if app.data.is_external() {
            return Err(PlatformError::NotExternal("`pumice db reset`".to_owned()));
        }
        self.intended(app, sources.files.clone()).await?;
        let mut rows = self.sql.apps().await?.into_iter();
        let row = rows
            .find(|row| row.id == app.id)
            .ok_or_else(|| PlatformError::NoApp(app.name.clone()))?;
        let store = self
            .databases
            .make_anew(app.id, &app.data, &row.database, &self.keyring)
            .await?;
        let ran = self
            .databases
            .migrate(app.id, &store, sources.migrations(manifest))
            .await;
        if let Db::Sqlite(sqlite) = store.db() {
            sqlite.close().await;
        }
        ran
    }

    /// What the app's tables are once all files have run on an empty database.
    ///
    /// # Errors
    /// [`PlatformError::Migration`]; [`PlatformError::NotExternal`].
    pub async fn intended(
        &self,
        app: &App,
        files: Vec<MigrationFile>,
    ) -> Result<Schema, PlatformError> {
        if app.data.is_external() {
            return Err(PlatformError::NotExternal("migrations".to_owned()));
        }
        match app.data.db() {
            Db::Sqlite(_) => {
                let catalog = ddl::intended(&files).map_err(MigrateError::from)?;
                Ok(catalog.schema())
            }
            Db::Postgres(_) => self.databases.scratch(files).await,
        }
    }
}
