//! An app's database on each engine, for the unit tests of what lives in it.

use std::sync::Arc;

use serde_json::value::RawValue;
use uuid::Uuid;

use super::changes::Subscription;
use super::ddl::{self, MigrationFile};
use super::hooks::Operation;
use super::migrate::{self, Migrations};
use super::postgres::{Cluster, Connections};
use super::sqlite::{Options, Sqlite};
use super::{Actor, Authority, DataError, DataStore, Db, Transaction};
use crate::{AppId, Caller, InvocationId, Role};

/// Gone when dropped, on SQLite; on PostgreSQL when the test ends well.
pub(crate) struct TestDb {
    pub store: DataStore,
    folder: Option<tempfile::TempDir>,
    cluster: Option<(Cluster, AppId)>,
    file: MigrationFile,
}

/// One database per engine, after `migration`.
pub(crate) async fn both(migration: &str, subscriptions: &[Subscription]) -> Vec<TestDb> {
    vec![
        sqlite(migration, subscriptions).await,
        postgres(migration, subscriptions).await,
    ]
}

pub(crate) fn subscription(trigger: &str, table: &str, operations: &[Operation]) -> Subscription {
    Subscription {
        trigger: trigger.to_owned(),
        table: table.to_owned(),
        operations: operations.to_vec(),
    }
}

async fn sqlite(migration: &str, subscriptions: &[Subscription]) -> TestDb {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        setup: Some(Arc::new(ddl::register)),
        ..Options::default()
    };
    let db = Sqlite::new(folder.path().join("app.db"), options);
    let test = TestDb {
        store: DataStore::new(Db::Sqlite(db)),
        folder: Some(folder),
        cluster: None,
        file: file("0001_init.sql", migration),
    };
    test.migrate(&[], subscriptions).await;
    test
}

pub(crate) async fn postgres(migration: &str, subscriptions: &[Subscription]) -> TestDb {
    let cluster = Cluster::connect(&super::postgres::test_url(), &Connections::new(8))
        .await
        .unwrap();
    let app = AppId(Uuid::new_v4());
    cluster.create_app(app, "secret").await.unwrap();
    let db = cluster.open_app(app, "secret");
    let test = TestDb {
        store: DataStore::new(Db::Postgres(db)),
        folder: None,
        cluster: Some((cluster, app)),
        file: file("0001_init.sql", migration),
    };
    test.migrate(&[], subscriptions).await;
    test
}

fn file(name: &str, source: &str) -> MigrationFile {
    MigrationFile {
        name: name.to_owned(),
        source: source.to_owned(),
    }
}

impl TestDb {
    /// Another deployment: with `more` migrations after the first, by name and text.
    pub async fn migrate(&self, more: &[(&str, &str)], subscriptions: &[Subscription]) {
        let more = more.iter().map(|(name, source)| file(name, source));
        let migrations = Migrations {
            files: [self.file.clone()].into_iter().chain(more).collect(),
            seed: None,
            subscriptions: subscriptions.to_vec(),
            jobs: true,
        };
        match (self.store.db(), &self.cluster) {
            (Db::Sqlite(db), _) => {
                migrate::sqlite(db, migrations).await.unwrap();
            }
            (Db::Postgres(_), Some((cluster, app))) => {
                migrate::postgres(cluster, *app, migrations).await.unwrap();
            }
            (Db::Postgres(_), None) => unreachable!(),
        }
        self.store.forget_schema();
    }

    pub fn actor(&self, depth: u32) -> Actor {
        Actor {
            caller: Caller {
                role: Role::Authenticated,
                user_id: None,
                claims: r#"{"sub":"u"}"#.into(),
            },
            authority: Authority::App,
            depth,
            cause: InvocationId(Uuid::nil()),
            budget: None,
            request: None,
        }
    }

    /// One statement of the app's own.
    pub async fn sql(&self, statement: &str) {
        self.sql_within(None, statement, 0).await.unwrap();
    }

    pub async fn sql_within(
        &self,
        within: Option<&Transaction>,
        statement: &str,
        depth: u32,
    ) -> Result<(), DataError> {
        let none: Vec<Box<RawValue>> = Vec::new();
        let actor = self.actor(depth);
        let done = self.store.sql(&actor, within, statement.to_owned(), none);
        done.await.map(|_| ())
    }

    pub async fn begin(&self) -> Transaction {
        self.store.begin(&self.actor(0), false).await.unwrap()
    }

    /// What only the host may read: the number in the first row.
    pub async fn count(&self, sqlite: &'static str, postgres: &'static str) -> i64 {
        struct Count(&'static str, &'static str);
        impl super::own::Operation for Count {
            type Answer = i64;
            async fn run<E: super::own::Engine>(&self, engine: &mut E) -> Result<i64, DataError> {
                let sql = super::own::Sql {
                    sqlite: self.0,
                    postgres: self.1,
                };
                let rows: Vec<i64> = super::own::rows(engine, &sql, &[]).await?;
                Ok(rows[0])
            }
        }
        self.store.own_read(Count(sqlite, postgres)).await.unwrap()
    }

    /// A session of the owner, on PostgreSQL.
    pub async fn owner(&self) -> super::postgres::Owner {
        let (cluster, app) = self.cluster.as_ref().unwrap();
        cluster.as_owner(*app).await.unwrap()
    }

    /// The number that `statement` answers to the owner, on PostgreSQL.
    pub async fn asked(&self, statement: &'static str) -> i64 {
        let mut tx = self.owner().await.begin().await.unwrap();
        let number = sqlx::query_scalar(statement).fetch_one(tx.connection());
        let number = number.await.unwrap();
        tx.rollback().await.unwrap().close().await.unwrap();
        number
    }

    /// One statement of the owner, on PostgreSQL.
    pub async fn as_owner(&self, statement: &str) {
        let mut tx = self.owner().await.begin().await.unwrap();
        tx.execute("test.sql", 1, statement).await.unwrap();
        tx.commit().await.unwrap().close().await.unwrap();
    }

    pub async fn end(self) {
        if let Some((cluster, app)) = &self.cluster {
            cluster.drop_app(*app).await.unwrap();
        }
        drop(self.folder);
    }
}
