//! The system database's SQL, all of it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use pumice_host_api::AppId;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{Row, SqlitePool};

use super::PlatformError;
use super::keys::SigningKeyRow;
use super::keys::sql::insert_signing_key;
use crate::digest::Digest;
use crate::functions::Files;

pub struct AppRow {
    pub id: AppId,
    pub name: String,
    pub revision: i64,
    pub created_at: String,
    pub database: DatabaseRow,
}

/// Where an app's own database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseRow {
    Sqlite,
    /// The password of its login role, sealed.
    Postgres(Vec<u8>),
    /// One that somebody else keeps: its URL, sealed.
    External(Vec<u8>),
}

impl DatabaseRow {
    /// `engine` and `database_password` of table `app`.
    fn columns(&self) -> (&'static str, Option<&[u8]>) {
        match self {
            DatabaseRow::Sqlite => ("sqlite", None),
            DatabaseRow::Postgres(password) => ("postgres", Some(password)),
            DatabaseRow::External(url) => ("external", Some(url)),
        }
    }
}

pub struct RevisionRow {
    pub number: i64,
    pub manifest: String,
    pub files: Files,
    pub created_at: String,
}

/// A move that has begun and not ended.
pub struct MoveRow {
    pub app: AppId,
    /// Where the data goes.
    pub target: String,
    pub step: String,
    /// Whether the app's data is there.
    pub switched: bool,
}

pub struct Sql {
    pub(super) pool: SqlitePool,
}

impl Sql {
    pub async fn open(file: &Path) -> Result<Sql, PlatformError> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10));
        // Written on deployment only: one connection serves all.
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options)
            .await?;
        let sql = Sql { pool };
        sql.migrate().await?;
        Ok(sql)
    }

    async fn migrate(&self) -> Result<(), PlatformError> {
        const MIGRATIONS: &[&str] = &[
            include_str!("../../../migrations/sqlite/0001_platform.sql"),
            include_str!("../../../migrations/sqlite/0002_database.sql"),
            include_str!("../../../migrations/sqlite/0003_move.sql"),
            include_str!("../../../migrations/sqlite/0004_keys.sql"),
            include_str!("../../../migrations/sqlite/0005_members.sql"),
        ];
        let mut tx = self.pool.begin().await?;
        let done: i64 = sqlx::query_scalar("pragma user_version")
            .fetch_one(&mut *tx)
            .await?;
        for migration in MIGRATIONS.iter().skip(done as usize) {
            sqlx::raw_sql(*migration).execute(&mut *tx).await?;
        }
        let version = format!("pragma user_version = {}", MIGRATIONS.len());
        sqlx::raw_sql(sqlx::AssertSqlSafe(version))
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    pub async fn apps(&self) -> Result<Vec<AppRow>, PlatformError> {
        let rows = sqlx::query(
            "select id, name, revision, created_at, engine, database_password from app order by name",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(app).collect()
    }

    /// The active revision of every app that has one.
    pub async fn active_revisions(&self) -> Result<Vec<(AppId, RevisionRow)>, PlatformError> {
        let rows = sqlx::query(
            "select r.app_id, r.number, r.manifest, r.files, r.created_at \
             from revision r join app a on a.id = r.app_id and a.revision = r.number",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| Ok((app_id(row.try_get("app_id")?)?, revision(row)?)))
            .collect()
    }

    /// Stores an app with its first signing key.
    pub async fn insert_app(&self, app: &AppRow, key: &SigningKeyRow) -> Result<(), PlatformError> {
        let (engine, secret) = app.database.columns();
        let mut tx = self.pool.begin().await?;
        sqlx::query(
            "insert into app (id, name, revision, created_at, engine, database_password) values ($1, $2, 0, $3, $4, $5)",
        )
        .bind(app.id.to_string())
        .bind(&app.name)
        .bind(&app.created_at)
        .bind(engine)
        .bind(secret)
        .execute(&mut *tx)
        .await?;
        insert_signing_key(&mut tx, app.id, key).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The sealed URL of the PostgreSQL server that apps were moved to.
    pub async fn cluster(&self) -> Result<Option<Vec<u8>>, PlatformError> {
        let url = sqlx::query_scalar("select url from cluster");
        Ok(url.fetch_optional(&self.pool).await?)
    }

    pub async fn set_cluster(&self, sealed: &[u8]) -> Result<(), PlatformError> {
        sqlx::query("insert or replace into cluster (one, url) values (1, $1)")
            .bind(sealed)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Whether any app is on PostgreSQL.
    pub async fn on_postgres(&self) -> Result<bool, PlatformError> {
        let found =
            sqlx::query_scalar("select exists (select 1 from app where engine = 'postgres')");
        Ok(found.fetch_one(&self.pool).await?)
    }

    /// Forgets the server if no app is on PostgreSQL or on its way; whether it has.
    pub async fn forget_cluster(&self) -> Result<bool, PlatformError> {
        let done = sqlx::query(
            "delete from cluster where not exists (select 1 from app where engine = 'postgres') \
             and not exists (select 1 from move)",
        );
        Ok(done.execute(&self.pool).await?.rows_affected() > 0)
    }

    pub async fn moves(&self) -> Result<Vec<MoveRow>, PlatformError> {
        let rows = sqlx::query(
            "select m.app_id, m.target, m.step, a.engine = 'postgres' as switched \
             from move m join app a on a.id = m.app_id",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(MoveRow {
                    app: app_id(row.try_get("app_id")?)?,
                    target: row.try_get("target")?,
                    step: row.try_get("step")?,
                    switched: row.try_get("switched")?,
                })
            })
            .collect()
    }

    pub async fn begin_move(
        &self,
        id: AppId,
        target: &str,
        now: &str,
    ) -> Result<(), PlatformError> {
        sqlx::query(
            "insert or replace into move (app_id, target, step, started_at) \
             values ($1, $2, 'begun', $3)",
        )
        .bind(id.to_string())
        .bind(target)
        .bind(now)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    pub async fn set_step(&self, id: AppId, step: &str) -> Result<(), PlatformError> {
        sqlx::query("update move set step = $2 where app_id = $1")
            .bind(id.to_string())
            .bind(step)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Says that the app's data is on PostgreSQL, if it was on SQLite; whether it was.
    pub async fn switch(&self, id: AppId, password: &[u8]) -> Result<bool, PlatformError> {
        let mut tx = self.pool.begin().await?;
        let done = sqlx::query(
            "update app set engine = 'postgres', database_password = $2 \
             where id = $1 and engine = 'sqlite'",
        )
        .bind(id.to_string())
        .bind(password)
        .execute(&mut *tx)
        .await?;
        sqlx::query("update move set step = 'switched' where app_id = $1")
            .bind(id.to_string())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    pub async fn end_move(&self, id: AppId) -> Result<(), PlatformError> {
        sqlx::query("delete from move where app_id = $1")
            .bind(id.to_string())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Says that the app's data is elsewhere from now on.
    pub async fn set_database(
        &self,
        id: AppId,
        database: &DatabaseRow,
    ) -> Result<(), PlatformError> {
        let (engine, secret) = database.columns();
        sqlx::query("update app set engine = $2, database_password = $3 where id = $1")
            .bind(id.to_string())
            .bind(engine)
            .bind(secret)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    pub async fn delete_app(&self, id: AppId) -> Result<(), PlatformError> {
        sqlx::query("delete from app where id = $1")
            .bind(id.to_string())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The highest number a revision of the app has had, 0 before the first.
    pub async fn last_revision(&self, id: AppId) -> Result<i64, PlatformError> {
        let query = "select coalesce(max(number), 0) from revision where app_id = $1";
        let number = sqlx::query_scalar(query).bind(id.to_string());
        Ok(number.fetch_one(&self.pool).await?)
    }

    /// The content of every kept revision of every app.
    pub async fn digests(&self) -> Result<BTreeSet<Digest>, PlatformError> {
        let rows = sqlx::query("select files from revision")
            .fetch_all(&self.pool)
            .await?;
        let mut digests = BTreeSet::new();
        for row in &rows {
            let files = files(row)?;
            digests.extend(files.values().map(|file| file.digest));
        }
        Ok(digests)
    }

    /// Stores a revision, makes it the active one and forgets all but the newest `keep`, at once.
    pub async fn activate_new(
        &self,
        id: AppId,
        row: &RevisionRow,
        keep: i64,
    ) -> Result<(), PlatformError> {
        let id = id.to_string();
        let files = serde_json::to_string(&row.files)
            .map_err(|error| PlatformError::Corrupt(error.to_string()))?;
        let mut tx = self.pool.begin().await?;
        sqlx::query(
            "insert into revision (app_id, number, manifest, files, created_at) \
             values ($1, $2, $3, $4, $5)",
        )
        .bind(&id)
        .bind(row.number)
        .bind(&row.manifest)
        .bind(files)
        .bind(&row.created_at)
        .execute(&mut *tx)
        .await?;
        sqlx::query("update app set revision = $2 where id = $1")
            .bind(&id)
            .bind(row.number)
            .execute(&mut *tx)
            .await?;
        sqlx::query("delete from revision where app_id = $1 and number <= $2")
            .bind(&id)
            .bind(row.number - keep)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    pub async fn activate(&self, id: AppId, number: i64) -> Result<(), PlatformError> {
        sqlx::query("update app set revision = $2 where id = $1")
            .bind(id.to_string())
            .bind(number)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Newest first.
    pub async fn revisions(&self, id: AppId) -> Result<Vec<RevisionRow>, PlatformError> {
        let rows = sqlx::query("select number, manifest, files, created_at from revision where app_id = $1 order by number desc")
            .bind(id.to_string())
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(revision).collect()
    }

    pub async fn secrets(&self) -> Result<Vec<(AppId, String, Vec<u8>)>, PlatformError> {
        let rows = sqlx::query("select app_id, name, value from secret")
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| {
                Ok((
                    app_id(row.try_get("app_id")?)?,
                    row.try_get("name")?,
                    row.try_get("value")?,
                ))
            })
            .collect()
    }

    pub async fn set_secret(
        &self,
        id: AppId,
        name: &str,
        value: &[u8],
        now: &str,
    ) -> Result<(), PlatformError> {
        sqlx::query(
            "insert into secret (app_id, name, value, updated_at) values ($1, $2, $3, $4) \
             on conflict (app_id, name) do update set value = excluded.value, updated_at = excluded.updated_at",
        )
        .bind(id.to_string())
        .bind(name)
        .bind(value)
        .bind(now)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    pub async fn delete_secret(&self, id: AppId, name: &str) -> Result<bool, PlatformError> {
        let done = sqlx::query("delete from secret where app_id = $1 and name = $2")
            .bind(id.to_string())
            .bind(name)
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() > 0)
    }
}

pub(super) fn app_id(text: &str) -> Result<AppId, PlatformError> {
    let id = text
        .parse()
        .map_err(|_| PlatformError::Corrupt(format!("`{text}` is no app id")))?;
    Ok(AppId(id))
}

fn app(row: &SqliteRow) -> Result<AppRow, PlatformError> {
    Ok(AppRow {
        id: app_id(row.try_get("id")?)?,
        name: row.try_get("name")?,
        revision: row.try_get("revision")?,
        created_at: row.try_get("created_at")?,
        database: match (row.try_get("engine")?, row.try_get("database_password")?) {
            ("postgres", Some(password)) => DatabaseRow::Postgres(password),
            ("external", Some(url)) => DatabaseRow::External(url),
            _ => DatabaseRow::Sqlite,
        },
    })
}

fn revision(row: &SqliteRow) -> Result<RevisionRow, PlatformError> {
    Ok(RevisionRow {
        number: row.try_get("number")?,
        manifest: row.try_get("manifest")?,
        files: files(row)?,
        created_at: row.try_get("created_at")?,
    })
}

fn files(row: &SqliteRow) -> Result<Files, PlatformError> {
    let text: &str = row.try_get("files")?;
    serde_json::from_str(text).map_err(|error| PlatformError::Corrupt(error.to_string()))
}
