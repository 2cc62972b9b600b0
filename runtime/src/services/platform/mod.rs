//! The platform's own data: apps, their keys and secrets, their revisions; and the deployment that
//! turns an uploaded bundle into what is served.

pub mod databases;
mod error;
pub mod external;
pub mod keys;
pub mod maintenance;
pub mod members;
mod r#move;
mod permissions;
pub mod routes;
mod sql;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::{SecondsFormat, Utc};
use pumice_host_api::AppId;
use pumice_host_api::data::changes::Subscription;
use pumice_host_api::data::ddl::MigrationFile;
use pumice_host_api::data::migrate::Migrations;
use serde::Serialize;

pub use self::error::PlatformError;
pub use self::sql::{AppRow, RevisionRow};

use self::databases::Databases;
use self::sql::Sql;
use crate::digest::Digest;
use crate::engine::check;
use crate::functions::bundle::{self, Files, Layout, Part, StoredFile, component_path};
use crate::functions::components::{self, Components};
use crate::functions::manifest::{self, Fault, Manifest, When};
use crate::functions::{About, App, Registry, Revision, ServerFacts, app_folder};
use crate::keyring::Keyring;
use crate::limits;
use crate::logs::Logs;
use crate::services::auth::keys::AppKeys;
use crate::services::auth::keys::foreign::Foreign;
use crate::services::mail::templates::MailFiles;

/// A finished deployment.
#[derive(Debug, Serialize)]
pub struct Deployed {
    pub app: String,
    pub revision: i64,
    /// Components that had to be compiled; the others were known already.
    pub compiled: usize,
    /// Migrations that ran, and `seed.sql` if it did.
    pub migrated: Vec<String>,
    pub functions: Vec<String>,
}

/// The apps of this server.
pub struct Platform {
    sql: Sql,
    databases: Databases,
    hooks: Hooks,
    keyring: Arc<Keyring>,
    registry: Arc<Registry>,
    components: Arc<Components>,
    logs: Logs,
    data: PathBuf,
    server: ServerFacts,
    node: limits::Node,
    moving: r#move::Moving,
}

/// Called for each app before it is served: gives its data path the app's triggers.
pub type Hooks = Box<dyn Fn(&Arc<App>) + Send + Sync>;

/// What a platform works with.
pub struct Parts {
    pub databases: Databases,
    pub hooks: Hooks,
    pub keyring: Arc<Keyring>,
    pub registry: Arc<Registry>,
    pub components: Arc<Components>,
    pub logs: Logs,
    pub data: PathBuf,
    pub server: ServerFacts,
    pub node: limits::Node,
    /// After which step of a move the process ends, in a test.
    pub move_abort: Option<u32>,
}

impl Platform {
    /// Opens the system database and puts every app's active revision into the registry.
    ///
    /// # Errors
    /// When the data folder, the database or the keys cannot be read.
    pub async fn open(parts: Parts) -> Result<Platform, PlatformError> {
        let Parts {
            databases,
            hooks,
            keyring,
            registry,
            components,
            logs,
            data,
            server,
            node,
            move_abort,
        } = parts;
        let sql = Sql::open(&data.join("system.db")).await?;
        let platform = Platform {
            sql,
            databases,
            hooks,
            keyring,
            registry,
            components,
            logs,
            data,
            server,
            node,
            moving: r#move::Moving::new(move_abort),
        };
        platform.find_cluster().await?;
        platform.end_moves().await?;
        platform.load().await?;
        Ok(platform)
    }

    async fn load(&self) -> Result<(), PlatformError> {
        let mut secrets: HashMap<AppId, BTreeMap<String, String>> = HashMap::new();
        for (id, name, sealed) in self.sql.secrets().await? {
            let value = self.open_secret(id, &name, &sealed)?;
            secrets.entry(id).or_default().insert(name, value);
        }
        let mut active: HashMap<AppId, RevisionRow> =
            self.sql.active_revisions().await?.into_iter().collect();
        let mut apps = Vec::new();
        let mut keys = self.key_rows().await?;
        for row in self.sql.apps().await? {
            let app = self.app_from(&row, self.keys_from(row.id, &mut keys)?)?;
            app.secrets
                .store(Arc::new(secrets.remove(&row.id).unwrap_or_default()));
            if let Some(revision) = active.remove(&row.id) {
                match self.revision_from(&app, &revision) {
                    Ok(revision) => app.activate(revision),
                    // One app's trouble is not the others'.
                    Err(error) => tracing::error!(
                        app.id = %row.id, revision.id = revision.number, %error,
                        "an app's active revision cannot be served; push the app again"
                    ),
                }
            }
            let app = Arc::new(app);
            (self.hooks)(&app);
            apps.push(app);
        }
        self.sweep_folders(&apps).await?;
        self.registry.extend(apps);
        let kept = self.sql.digests().await?;
        self.components.forget_all_but(&kept).await;
        Ok(())
    }

    /// Deletes the folders of apps that are gone: a deletion or creation was cut short.
    async fn sweep_folders(&self, apps: &[Arc<App>]) -> Result<(), PlatformError> {
        let known: BTreeSet<String> = apps.iter().map(|app| app.id.to_string()).collect();
        let mut entries = tokio::fs::read_dir(self.data.join("apps")).await?;
        while let Some(entry) = entries.next_entry().await? {
            let name = entry.file_name().to_string_lossy().into_owned();
            if uuid::Uuid::parse_str(&name).is_ok() && !known.contains(&name) {
                tokio::fs::remove_dir_all(entry.path()).await?;
            }
        }
        Ok(())
    }

    pub fn app(&self, name: &str) -> Result<Arc<App>, PlatformError> {
        self.registry
            .get(name)
            .ok_or_else(|| PlatformError::NoApp(name.to_owned()))
    }

    /// Keeps others from deploying, moving or deleting the app; and the app as it is once nobody else
    /// does.
    async fn alone(
        &self,
        app: &Arc<App>,
    ) -> Result<(tokio::sync::OwnedMutexGuard<()>, Arc<App>), PlatformError> {
        let one = app.deploying.clone().lock_owned().await;
        let now = self.registry.get(&app.name);
        let now = now.filter(|now| now.id == app.id);
        Ok((
            one,
            now.ok_or_else(|| PlatformError::NoApp(app.name.clone()))?,
        ))
    }

    pub fn apps(&self) -> Vec<Arc<App>> {
        self.registry.all()
    }

    pub fn url_of(&self, app: &App) -> String {
        self.server.app_url(&app.name)
    }

    /// Makes an app with its folder, signing key and API keys.
    ///
    /// # Errors
    /// [`PlatformError::InvalidName`], [`PlatformError::AppExists`], [`PlatformError::TooManyApps`].
    pub async fn create_app(&self, name: &str) -> Result<Arc<App>, PlatformError> {
        if !manifest::is_name(name) {
            return Err(PlatformError::InvalidName(name.to_owned()));
        }
        let count = self.registry.all().len();
        if count >= limits::APPS_MAX {
            return Err(PlatformError::TooManyApps(count));
        }
        let id = AppId(uuid::Uuid::now_v7());
        let (key, mut keys) = self.first_key(id)?;
        let _at_work = self.moving.at_work.read().await;
        let database = self.databases.create(id, &self.keyring).await?;
        let row = AppRow {
            database,
            id,
            name: name.to_owned(),
            revision: 0,
            created_at: now(),
        };
        tokio::fs::create_dir_all(app_folder(&self.data, id).join("blobs")).await?;
        let inserted = self.sql.insert_app(&row, &key).await;
        if inserted.is_err() {
            // The name was taken meanwhile: what was made for it goes again.
            let store = self.databases.store(id, &row.database, &self.keyring)?;
            self.databases.drop(id, &store).await?;
            tokio::fs::remove_dir_all(app_folder(&self.data, id)).await?;
        }
        inserted.map_err(|error| match error {
            PlatformError::Database(sqlx::Error::Database(error))
                if error.is_unique_violation() =>
            {
                PlatformError::AppExists(name.to_owned())
            }
            other => other,
        })?;
        let keys = self.keys_from(id, &mut keys)?;
        let app = Arc::new(self.app_from(&row, keys)?);
        (self.hooks)(&app);
        self.registry.insert(app.clone());
        Ok(app)
    }

    /// Deletes an app with everything it has.
    ///
    /// # Errors
    /// [`PlatformError::NoApp`], [`PlatformError::MoveLeft`].
    pub async fn delete_app(&self, name: &str) -> Result<(), PlatformError> {
        let (_one, app) = self.alone(&self.app(name)?).await?;
        self.clear_move(&app).await?;
        let _at_work = self.moving.at_work.read().await;
        self.sql.delete_app(app.id).await?;
        self.registry.remove(&app);
        self.databases.drop(app.id, &app.data).await?;
        self.logs.forget(app.id).await;
        tokio::fs::remove_dir_all(&app.folder).await?;
        Ok(())
    }

    /// Stores content of an app under its digest. Sending it twice is no error.
    ///
    /// # Errors
    /// [`PlatformError::WrongDigest`] when the bytes are others.
    pub async fn put_blob(
        &self,
        app: &App,
        digest: Digest,
        bytes: &[u8],
    ) -> Result<(), PlatformError> {
        if Digest::of(bytes) != digest {
            return Err(PlatformError::WrongDigest);
        }
        let path = app.blob(digest);
        let fresh = path.with_extension(uuid::Uuid::new_v4().simple().to_string());
        let result = write_durably(&fresh, &path, bytes).await;
        if result.is_err() {
            let _ = tokio::fs::remove_file(&fresh).await;
        }
        Ok(result?)
    }

    /// Checks and compiles a bundle and switches the app to it at once. Whatever fails, the app goes
    /// on as it was.
    ///
    /// # Errors
    /// All faults of the manifest together; what is wrong with a file or a component;
    /// [`PlatformError::MissingBlobs`] for what has to be uploaded first.
    pub async fn deploy(
        &self,
        app: &Arc<App>,
        manifest_text: &str,
        files: Files,
        seed: bool,
    ) -> Result<Deployed, PlatformError> {
        let (_one, app) = &self.alone(app).await?;
        let manifest = Manifest::parse(manifest_text).map_err(PlatformError::Manifest)?;
        Foreign::read(&manifest.auth.keys, &app.secrets.load())?;
        self.check_files(app, &manifest, &files).await?;
        let mails = MailFiles::of(app, &files).compile().await;
        mails.map_err(PlatformError::Mail)?;
        let compiled = self.prepare_all(app, &manifest, &files).await?;
        self.check_permissions(app, &manifest).await?;
        let migrated = self.migrate(app, &manifest, &files, seed).await?;
        self.register_permissions(app, &manifest).await?;
        let number = self.sql.last_revision(app.id).await? + 1;
        let revision = self.build_revision(app, number, &manifest, &files)?;
        revision.warm(&self.components).await;
        let (time, kept) = (now(), limits::REVISIONS_KEPT);
        let row = RevisionRow {
            number,
            manifest: manifest_text.to_owned(),
            files,
            created_at: time,
        };
        self.sql.activate_new(app.id, &row, kept).await?;
        app.activate(revision);
        // What waits, and what is scheduled now.
        app.data.committed();
        tracing::info!(app.id = %app.id, revision.id = number, compiled, "deployed");
        if let Err(error) = self.sweep_blobs(app).await {
            tracing::error!(app.id = %app.id, %error, "content that nobody needs was not deleted");
        }
        let functions = manifest
            .functions
            .into_iter()
            .map(|function| function.entry.name)
            .collect();
        Ok(Deployed {
            app: app.name.clone(),
            revision: number,
            compiled,
            migrated,
            functions,
        })
    }

    /// Runs the bundle's migrations that have not run yet, and its seed if `seed` says so. They come
    /// last of what can fail: when they are done, the revision is switched to.
    async fn migrate(
        &self,
        app: &App,
        manifest: &Manifest,
        files: &Files,
        seed: bool,
    ) -> Result<Vec<String>, PlatformError> {
        let mut migrations = Migrations {
            subscriptions: subscriptions(manifest),
            jobs: has_jobs(manifest),
            ..Migrations::default()
        };
        for (name, file) in bundle::migrations(files) {
            let name = name.strip_prefix(bundle::MIGRATIONS).unwrap_or(&name);
            migrations.files.push(MigrationFile {
                name: name.to_owned(),
                source: self.sql_text(app, file).await?,
            });
        }
        if let Some(file) = files.get(bundle::SEED)
            && seed
        {
            migrations.seed = Some(self.sql_text(app, *file).await?);
        }
        self.databases.migrate(app.id, &app.data, migrations).await
    }

    async fn sql_text(&self, app: &App, file: StoredFile) -> Result<String, PlatformError> {
        let bytes = tokio::fs::read(app.blob(file.digest)).await?;
        String::from_utf8(bytes)
            .map_err(|_| PlatformError::Migration("an SQL file is not UTF-8".to_owned()))
    }

    /// Checks and compiles every component of a revision; returns how many had to be compiled.
    async fn prepare_all(
        &self,
        app: &App,
        manifest: &Manifest,
        files: &Files,
    ) -> Result<usize, PlatformError> {
        // Different sources may be the same bytes.
        let mut components: Vec<(Digest, Vec<&manifest::Entry>)> = Vec::new();
        let mut places = HashMap::new();
        for component in manifest.components() {
            let Some(file) = files.get(&component_path(component.name)) else {
                continue;
            };
            let place = *places.entry(file.digest).or_insert(components.len());
            match components.get_mut(place) {
                Some((_, entries)) => entries.extend(component.entries),
                None => components.push((file.digest, component.entries)),
            }
        }
        let mut compiled = 0;
        for (digest, entries) in components {
            compiled += usize::from(self.prepare(app, &entries, digest).await?);
        }
        Ok(compiled)
    }

    async fn check_files(
        &self,
        app: &App,
        manifest: &Manifest,
        files: &Files,
    ) -> Result<(), PlatformError> {
        if files.len() > limits::REVISION_FILES_MAX {
            return Err(PlatformError::TooManyFiles(files.len()));
        }
        let layout = Layout::of(manifest);
        let mut missing = BTreeSet::new();
        let mut migrations = 0;
        for (path, file) in files {
            let part = layout.part(path);
            let part = part.ok_or_else(|| PlatformError::InvalidPath(path.clone()))?;
            migrations += usize::from(part == Part::Migration);
            if migrations > limits::MIGRATIONS_MAX {
                return Err(PlatformError::TooManyMigrations(migrations));
            }
            let max = part.bytes_max();
            if file.size > max {
                return Err(PlatformError::FileTooLarge {
                    path: path.clone(),
                    bytes: file.size,
                    max,
                });
            }
            match tokio::fs::metadata(app.blob(file.digest)).await {
                Ok(meta) if meta.len() == file.size => {}
                Ok(_) => {
                    return Err(PlatformError::BadRequest(format!(
                        "`{path}` has another size than its content"
                    )));
                }
                Err(_) => drop(missing.insert(file.digest)),
            }
        }
        let mut faults = Vec::new();
        for component in manifest.components() {
            let path = component_path(component.name);
            if !files.contains_key(&path) {
                let entries = component.entries.iter();
                faults.extend(entries.map(|entry| Fault {
                    line: 1,
                    message: format!("{entry} has no component in the bundle"),
                    fix: format!("upload {path}; `pumice push` does"),
                }));
            }
        }
        if !faults.is_empty() {
            return Err(PlatformError::Manifest(faults));
        }
        if !missing.is_empty() {
            return Err(PlatformError::MissingBlobs(missing.into_iter().collect()));
        }
        Ok(())
    }

    /// Checks, compiles and loads the component of `entries`; says whether it had to be compiled.
    async fn prepare(
        &self,
        app: &App,
        entries: &[&manifest::Entry],
        digest: Digest,
    ) -> Result<bool, PlatformError> {
        let path = app.blob(digest);
        let bytes = tokio::fs::read(&path).await?;
        let checked = tokio::task::spawn_blocking(move || check::component(&bytes))
            .await
            .map_err(std::io::Error::other)?;
        // What is wrong with all of it is said of the first entry.
        let first = entries.first().map(ToString::to_string);
        let first = first.unwrap_or_default();
        let exports = checked.map_err(|reason| PlatformError::Component {
            entry: first.clone(),
            reason,
        })?;
        for entry in entries {
            let served = exports.must_serve(entry.kind);
            served.map_err(|reason| PlatformError::Component {
                entry: entry.to_string(),
                reason,
            })?;
        }
        let refused = |reason| PlatformError::Artifact {
            entry: first.clone(),
            reason,
        };
        let compiled = self
            .components
            .prepare(digest, &path)
            .await
            .map_err(refused)?;
        let code = self.components.load(digest, &path).await.map_err(refused)?;
        for entry in entries {
            let served = components::must_serve(&code, entry.kind);
            served.map_err(|reason| PlatformError::Artifact {
                entry: entry.to_string(),
                reason,
            })?;
        }
        Ok(compiled)
    }

    /// Makes an earlier revision active again: `to`, or the one before the active one.
    ///
    /// # Errors
    /// [`PlatformError::NoRevision`] when it is not kept.
    pub async fn rollback(&self, app: &Arc<App>, to: Option<i64>) -> Result<i64, PlatformError> {
        let (_one, app) = &self.alone(app).await?;
        let active = app
            .revision
            .load()
            .as_ref()
            .map_or(0, |revision| revision.number);
        let rows = self.sql.revisions(app.id).await?;
        let wanted = |row: &&RevisionRow| to.map_or(row.number < active, |to| row.number == to);
        let row = rows
            .iter()
            .find(wanted)
            .ok_or(PlatformError::NoRevision(to.unwrap_or(active - 1)))?;
        let manifest = Manifest::parse(&row.manifest).map_err(PlatformError::Manifest)?;
        self.prepare_all(app, &manifest, &row.files).await?;
        let revision = self.build_revision(app, row.number, &manifest, &row.files)?;
        revision.warm(&self.components).await;
        let (told, jobs) = (subscriptions(&manifest), has_jobs(&manifest));
        self.databases
            .observe(app.id, &app.data, told, jobs)
            .await?;
        self.check_permissions(app, &manifest).await?;
        self.register_permissions(app, &manifest).await?;
        self.sql.activate(app.id, row.number).await?;
        app.activate(revision);
        app.data.committed();
        tracing::info!(app.id = %app.id, revision.id = row.number, "rolled back");
        Ok(row.number)
    }

    /// The kept revisions of an app, newest first.
    pub async fn revisions(&self, app: &App) -> Result<Vec<RevisionRow>, PlatformError> {
        self.sql.revisions(app.id).await
    }

    /// Sets or replaces a secret; the app's guests see it from their next invocation, and so do its keys.
    ///
    /// # Errors
    /// [`PlatformError::InvalidSecretName`], [`PlatformError::SecretLimits`], [`PlatformError::ForeignKeys`].
    pub async fn set_secret(
        &self,
        app: &Arc<App>,
        name: &str,
        value: &str,
    ) -> Result<(), PlatformError> {
        if !manifest::is_secret_name(name) {
            return Err(PlatformError::InvalidSecretName(name.to_owned()));
        }
        let (_one, app) = &self.alone(app).await?;
        let mut secrets = BTreeMap::clone(&app.secrets.load());
        secrets.insert(name.to_owned(), value.to_owned());
        if value.is_empty()
            || value.len() > limits::SECRET_BYTES_MAX
            || secrets.len() > limits::SECRETS_MAX
        {
            return Err(PlatformError::SecretLimits);
        }
        Foreign::read(&app.auth().keys, &secrets)?;
        let sealed = self
            .keyring
            .seal(&secret_place(app.id, name), value.as_bytes())?;
        self.sql.set_secret(app.id, name, &sealed, &now()).await?;
        app.secrets.store(Arc::new(secrets));
        self.refresh(app).await
    }

    /// # Errors
    /// [`PlatformError::NoSecret`]; [`PlatformError::ForeignKeys`] for one that `[auth]` names as a key.
    pub async fn delete_secret(&self, app: &Arc<App>, name: &str) -> Result<(), PlatformError> {
        let (_one, app) = &self.alone(app).await?;
        let mut secrets = BTreeMap::clone(&app.secrets.load());
        secrets.remove(name);
        Foreign::read(&app.auth().keys, &secrets)?;
        if !self.sql.delete_secret(app.id, name).await? {
            return Err(PlatformError::NoSecret(name.to_owned()));
        }
        app.secrets.store(Arc::new(secrets));
        self.refresh(app).await
    }

    /// Builds the active revision anew, with the secrets there are now.
    async fn refresh(&self, app: &Arc<App>) -> Result<(), PlatformError> {
        let Some(active) = app.revision.load().as_ref().map(|revision| revision.number) else {
            return Ok(());
        };
        let rows = self.sql.revisions(app.id).await?;
        let Some(row) = rows.iter().find(|row| row.number == active) else {
            return Ok(());
        };
        app.activate(self.revision_from(app, row)?);
        Ok(())
    }

    fn revision_from(&self, app: &App, row: &RevisionRow) -> Result<Revision, PlatformError> {
        let manifest = Manifest::parse(&row.manifest).map_err(PlatformError::Manifest)?;
        self.build_revision(app, row.number, &manifest, &row.files)
    }

    fn build_revision(
        &self,
        app: &App,
        number: i64,
        manifest: &Manifest,
        files: &Files,
    ) -> Result<Revision, PlatformError> {
        let foreign = Foreign::read(&manifest.auth.keys, &app.secrets.load())?;
        Revision::new(app, number, manifest, files, &self.server, foreign)
            .map_err(PlatformError::Corrupt)
    }

    fn app_from(&self, row: &AppRow, keys: AppKeys) -> Result<App, PlatformError> {
        let folder = app_folder(&self.data, row.id);
        let data = self.databases.store(row.id, &row.database, &self.keyring)?;
        let about = About {
            id: row.id,
            name: row.name.clone(),
            created_at: row.created_at.clone(),
            keys,
        };
        Ok(App::new(about, folder, data, &self.server, &self.node))
    }

    fn open_secret(&self, id: AppId, name: &str, sealed: &[u8]) -> Result<String, PlatformError> {
        let value = self.keyring.open_sealed(&secret_place(id, name), sealed)?;
        String::from_utf8(value).map_err(|error| PlatformError::Corrupt(error.to_string()))
    }

    /// Deletes content that no kept revision names. What is younger than an hour may belong to a
    /// push under way.
    async fn sweep_blobs(&self, app: &App) -> Result<(), PlatformError> {
        let rows = self.sql.revisions(app.id).await?;
        let kept: BTreeSet<String> = rows
            .iter()
            .flat_map(|row| row.files.values())
            .map(|file| file.digest.to_string())
            .collect();
        let young = SystemTime::now() - Duration::from_secs(3600);
        let mut entries = tokio::fs::read_dir(app.folder.join("blobs")).await?;
        while let Some(entry) = entries.next_entry().await? {
            // An upload under way renames its file meanwhile.
            let Ok(meta) = entry.metadata().await else {
                continue;
            };
            let old = meta.modified().is_ok_and(|modified| modified < young);
            if old && !kept.contains(&*entry.file_name().to_string_lossy()) {
                tokio::fs::remove_file(entry.path()).await?;
            }
        }
        Ok(())
    }
}

/// What the after-triggers of a manifest are to be told.
fn subscriptions(manifest: &Manifest) -> Vec<Subscription> {
    let triggers = manifest.triggers.iter();
    let after = triggers.filter(|trigger| matches!(trigger.when, When::After { .. }));
    let of = |trigger: &manifest::Trigger| Subscription {
        trigger: trigger.entry.name.clone(),
        table: trigger.table.clone(),
        operations: trigger.on.clone(),
    };
    after.map(of).collect()
}

/// Whether anything of it happens later than the request that causes it.
fn has_jobs(manifest: &Manifest) -> bool {
    let after = |trigger: &manifest::Trigger| matches!(trigger.when, When::After { .. });
    !manifest.scripts.is_empty() || manifest.triggers.iter().any(after)
}

fn secret_place(id: AppId, name: &str) -> String {
    format!("secret/{id}/{name}")
}

fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Writes `bytes` to `fresh` and then names it `path`: whoever sees `path` sees all of it.
async fn write_durably(fresh: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use tokio::io::AsyncWriteExt as _;
    let mut file = tokio::fs::File::create(fresh).await?;
    file.write_all(bytes).await?;
    file.sync_all().await?;
    tokio::fs::rename(fresh, path).await?;
    // The new name is durable when its folder is.
    let folder = path.parent().unwrap_or(path);
    tokio::fs::File::open(folder).await?.sync_all().await
}
