//! The server that apps' databases live on: databases and roles made and taken away, and migrations as
//! the owner of one.
//!
//! A migration is an app's own SQL. It runs in a session that *is* the owner's, not in one of the
//! administrator's that plays the owner: `reset role` would end the play.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr as _;
use std::sync::Arc;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::pool::{CONNECT_MAX, Connections, Pool};
use super::{Postgres, Timezones, errors, guest, sql};
use crate::data::schema::PUBLIC;
use crate::data::{DataError, Name};
use crate::permissions::PREPARE_POSTGRES;
use crate::{AppId, auth};

/// The oldest PostgreSQL with everything we use: `security_invoker`, `merge`, a closed schema `public`.
pub(super) const VERSION_MIN: i32 = 150_000;
/// Connections to make databases and to migrate, beside those of apps.
const ADMINISTRATORS_MAX: usize = 4;
/// Of a failed statement, in an error. Bytes.
const STATEMENT_SHOWN_MAX: usize = 1000;

/// The PostgreSQL server that apps' databases live on. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    options: PgConnectOptions,
    pool: Arc<Pool>,
    timezones: Timezones,
    administrators: Arc<Semaphore>,
}

impl fmt::Debug for Cluster {
    /// Without its options: they hold the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("host", &self.options.get_host())
            .field("port", &self.options.get_port())
            .finish_non_exhaustive()
    }
}

/// What an app's database and roles are called. Hexadecimal digits and `_`: quotes are enough.
pub(super) struct Names {
    pub(super) database: String,
    pub(super) login: String,
    pub(super) owner: String,
}

impl Names {
    fn of(app: AppId) -> Names {
        let database = format!("pumice_{}", app.0.simple());
        Names {
            login: database.clone(),
            owner: format!("{database}_owner"),
            database,
        }
    }
}

impl Cluster {
    /// Connects as the administrator that `url` names, and makes the roles all apps share if they are
    /// missing. Its apps take their connections from `connections`.
    ///
    /// # Errors
    /// [`DataError::Unavailable`] when the server does not let us in; [`DataError::Internal`], naming the
    /// fix, when it is too old or the administrator may not make databases and roles.
    pub async fn connect(url: &str, connections: &Connections) -> Result<Cluster, DataError> {
        let options = PgConnectOptions::from_str(url).map_err(|_| {
            // Not the parser's words: they may quote the password.
            DataError::Internal(
                "the database's URL cannot be read: write postgres://user:password@host/database"
                    .to_owned(),
            )
        })?;
        let cluster = Cluster {
            // Statements carry claims and passwords: none goes into a log.
            options: options
                .application_name("pumice")
                .disable_statement_logging(),
            pool: Arc::clone(&connections.0),
            timezones: Timezones::default(),
            administrators: Arc::new(Semaphore::new(ADMINISTRATORS_MAX)),
        };
        let mut admin = cluster.administrator().await?;
        admin.check().await?;
        for forms in sql::SHARED_ROLES {
            admin.create_role(forms).await?;
        }
        admin.close().await;
        Ok(cluster)
    }

    /// Makes the app's roles and database. What is there already is kept, but for the password, which is
    /// then this one: after a crash in the middle it is simply called again.
    ///
    /// # Errors
    /// PostgreSQL's own; [`DataError::Unavailable`].
    pub async fn create_app(&self, app: AppId, password: &str) -> Result<(), DataError> {
        let names = &Names::of(app);
        let mut admin = self.administrator().await?;
        admin.lock(app).await?;
        for (role, create) in [
            (&names.owner, sql::create_owner(names)),
            (&names.login, sql::create_login(names)),
        ] {
            if !admin.exists(sql::ROLE_EXISTS, role).await? {
                admin.run(create).await?;
            }
        }
        admin.run(sql::set_up_roles(names, password)).await?;
        // Only a superuser may; without it deadlocks end at the transactions' own limit.
        let _ = admin.run(sql::see_deadlocks_soon(names)).await;
        if !admin.exists(sql::DATABASE_EXISTS, &names.database).await? {
            admin.run(sql::create_database(names)).await?;
        }
        admin.run(sql::set_up_database(names)).await?;

        let inside = self.options.clone().database(&names.database);
        let mut owner = connect(&inside).await?;
        // Only a superuser may; elsewhere a guest can lie to its own app about who it is.
        let _ = run(&mut owner, sql::fix_settings(names)).await;
        run(&mut owner, sql::set_role(&names.owner)).await?;
        run(&mut owner, sql::SET_UP_SCHEMAS.to_owned()).await?;
        run(&mut owner, auth::postgres_tables()).await?;
        for statement in PREPARE_POSTGRES {
            run(&mut owner, (*statement).to_owned()).await?;
        }
        close(owner).await;
        admin.close().await;
        self.pool.forget(app).await;
        Ok(())
    }

    /// Whether there is a database that is called as the app's would be.
    ///
    /// # Errors
    /// PostgreSQL's own; [`DataError::Unavailable`].
    pub async fn has_app(&self, app: AppId) -> Result<bool, DataError> {
        let (mut admin, names) = (self.administrator().await?, Names::of(app));
        let found = admin.exists(sql::DATABASE_EXISTS, &names.database).await?;
        admin.close().await;
        Ok(found)
    }

    /// Where the app's database is or would be, without a password.
    pub fn address_of(&self, app: AppId) -> String {
        format!(
            "postgres://{}:{}/{}",
            self.options.get_host(),
            self.options.get_port(),
            Names::of(app).database
        )
    }

    /// Whether `url` names the server that this is connected to.
    pub fn is_at(&self, url: &str) -> bool {
        let place = |options: &PgConnectOptions| {
            (
                options.get_host().to_owned(),
                options.get_port(),
                options.get_socket().cloned(),
            )
        };
        PgConnectOptions::from_str(url).is_ok_and(|other| place(&other) == place(&self.options))
    }

    /// Takes the app's database and roles away, whoever is connected. Without them nothing happens.
    ///
    /// # Errors
    /// PostgreSQL's own; [`DataError::Unavailable`].
    pub async fn drop_app(&self, app: AppId) -> Result<(), DataError> {
        let names = &Names::of(app);
        self.pool.forget(app).await;
        let mut admin = self.administrator().await?;
        admin.lock(app).await?;
        admin.drop_app(names).await
    }

    /// The app's database. Connects when it is first used.
    pub fn open_app(&self, app: AppId, password: &str) -> Postgres {
        let names = Names::of(app);
        let options = self
            .options
            .clone()
            .username(&names.login)
            .password(password)
            .database(&names.database);
        Postgres {
            app,
            pool: Arc::clone(&self.pool),
            options: Arc::new(options),
            share: self.pool.share(),
            watch: Arc::default(),
            timezones: Arc::clone(&self.timezones),
            external: false,
        }
    }

    /// Whether the app's database is as [`create_app`](Self::create_app) made it but for tables of ours
    /// without rows: nothing is lost with it.
    ///
    /// # Errors
    /// PostgreSQL's own; [`DataError::Unavailable`].
    pub async fn is_untouched(&self, app: AppId) -> Result<bool, DataError> {
        let mut owner = self.as_owner(app).await?;
        let untouched = owner.is_untouched().await;
        owner.close().await?;
        untouched
    }

    /// As [`is_untouched`](Self::is_untouched), and it stays so: nobody writes there until what this
    /// returns ends. Waits for those who write, a minute at most.
    ///
    /// # Errors
    /// PostgreSQL's own; [`DataError::Unavailable`].
    pub async fn hold_untouched(&self, app: AppId) -> Result<Option<Held>, DataError> {
        let mut owner = self.as_owner(app).await?;
        let untouched = match owner.keep_from_writing().await {
            Ok(()) => owner.is_untouched().await,
            Err(error) => Err(error),
        };
        if matches!(untouched, Ok(true)) {
            let pool = Arc::clone(&self.pool);
            return Ok(Some(Held { app, owner, pool }));
        }
        owner.close().await?;
        untouched.map(|_| None)
    }

    /// A session of the app's owner, for migrations. Waits while another node has one,
    /// at most a minute.
    ///
    /// # Errors
    /// PostgreSQL's own; [`DataError::Unavailable`].
    pub async fn as_owner(&self, app: AppId) -> Result<Owner, DataError> {
        let names = Names::of(app);
        let mut admin = self.administrator().await?;
        admin.lock(app).await?;
        // For this session only: nobody keeps it, and the next session has another.
        let password = hex(rand::random());
        admin.run(sql::open_owner(&names, &password)).await?;
        let options = self
            .options
            .clone()
            .username(&names.owner)
            .password(&password)
            .database(&names.database);
        Ok(Owner {
            connection: connect(&options).await?,
            admin,
            names,
        })
    }

    /// Runs a statement of a test as the administrator.
    #[cfg(test)]
    pub(super) async fn for_tests(&self, sql: &str) {
        let mut admin = self.administrator().await.unwrap();
        admin.run(sql.to_owned()).await.unwrap();
    }

    async fn administrator(&self) -> Result<Administrator, DataError> {
        let permit = Arc::clone(&self.administrators).acquire_owned().await;
        let _permit = permit.map_err(|error| DataError::Unavailable(error.into()))?;
        Ok(Administrator {
            connection: connect(&self.options).await?,
            _permit,
        })
    }
}

/// A session of the administrator, in the database that the server's settings name.
struct Administrator {
    connection: PgConnection,
    _permit: OwnedSemaphorePermit,
}

impl Administrator {
    async fn check(&mut self) -> Result<(), DataError> {
        let row = sqlx::query(sql::ADMINISTRATOR)
            .fetch_one(&mut self.connection)
            .await?;
        let (version, name): (i32, String) = (row.try_get(0)?, row.try_get(1)?);
        let [all, databases, roles]: [bool; 3] =
            [row.try_get(2)?, row.try_get(3)?, row.try_get(4)?];
        if version < VERSION_MIN {
            return Err(DataError::Internal(format!(
                "PostgreSQL {} is too old: apps need {} or later",
                version / 10_000,
                VERSION_MIN / 10_000
            )));
        }
        if !(all || databases && roles) {
            return Err(DataError::Internal(format!(
                "{name} may not make databases and roles: run `alter role \"{}\" createdb createrole` \
                 as a superuser",
                name.replace('"', "\"\"")
            )));
        }
        Ok(())
    }

    /// Tries one form after another; that the role is there already, made a moment ago by another node
    /// perhaps, is as good.
    async fn create_role(&mut self, forms: &[&'static str]) -> Result<(), DataError> {
        let mut refused = Ok(());
        for form in forms {
            match run(&mut self.connection, (*form).to_owned()).await {
                Ok(()) => return Ok(()),
                Err(error) if matches!(error.code(), Some("42710" | "23505")) => return Ok(()),
                Err(error) if error.code() == Some("42501") => refused = Err(error),
                Err(error) => return Err(error),
            }
        }
        refused
    }

    /// Keeps other nodes from making, taking away or migrating the same app, until the session ends.
    /// 55P03 if another does for longer than a minute.
    async fn lock(&mut self, app: AppId) -> Result<(), DataError> {
        self.run(sql::WAIT_A_MINUTE.to_owned()).await?;
        let (high, low) = app.0.as_u64_pair();
        sqlx::query(sql::LOCK)
            .bind((high ^ low).cast_signed())
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }

    async fn exists(&mut self, question: &'static str, name: &str) -> Result<bool, DataError> {
        let row = sqlx::query(question).bind(name.to_owned());
        Ok(row.fetch_one(&mut self.connection).await?.try_get(0)?)
    }

    async fn drop_app(mut self, names: &Names) -> Result<(), DataError> {
        self.run(sql::drop_database(names)).await?;
        self.run(sql::drop_roles(names)).await?;
        self.close().await;
        Ok(())
    }

    async fn run(&mut self, batch: String) -> Result<(), DataError> {
        run(&mut self.connection, batch).await
    }

    async fn close(self) {
        close(self.connection).await;
    }
}

pub(super) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, DataError> {
    match tokio::time::timeout(CONNECT_MAX, PgConnection::connect_with(options)).await {
        Ok(connected) => connected.map_err(errors::no_connection),
        Err(slow) => Err(DataError::Unavailable(slow.into())),
    }
}

pub(super) async fn run(connection: &mut PgConnection, batch: String) -> Result<(), DataError> {
    sqlx::raw_sql(AssertSqlSafe(batch))
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn close(connection: PgConnection) {
    // What it was for is done: that the good-bye is not heard changes nothing.
    let _ = connection.close().await;
}

fn hex(bytes: [u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A session of an app's owner, alone among the nodes.
pub struct Owner {
    connection: PgConnection,
    /// Holds the lock.
    admin: Administrator,
    names: Names,
}

/// An app's database that nobody has used, while nobody can write to it: who tries waits. Ends with
/// [`Held::release`] or [`Held::drop_app`].
pub struct Held {
    app: AppId,
    /// In a transaction that keeps the tables.
    owner: Owner,
    pool: Arc<Pool>,
}

impl Held {
    /// Lets those who wait write.
    ///
    /// # Errors
    /// PostgreSQL's own; [`DataError::Unavailable`].
    pub async fn release(self) -> Result<(), DataError> {
        self.owner.close().await
    }

    /// As [`Cluster::drop_app`]. Who waits to write is told that the database is gone.
    ///
    /// # Errors
    /// PostgreSQL's own; [`DataError::Unavailable`].
    pub async fn drop_app(self) -> Result<(), DataError> {
        let Owner {
            connection: _keeps,
            admin,
            names,
        } = self.owner;
        self.pool.forget(self.app).await;
        admin.drop_app(&names).await
    }
}

/// A migration that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    pub file: String,
    pub digest: String,
    pub translator: i64,
}

impl Owner {
    async fn our_tables(&mut self) -> Result<Vec<String>, DataError> {
        let ours = sqlx::query(sql::OUR_TABLES).fetch_all(&mut self.connection);
        let names = ours.await?.into_iter().map(|table| table.try_get(0));
        Ok(names.collect::<Result<_, _>>()?)
    }

    /// Nobody writes to tables of ours until this session ends. (Others are made by an owner only.)
    async fn keep_from_writing(&mut self) -> Result<(), DataError> {
        let tables = self.our_tables().await?;
        run(&mut self.connection, sql::BEGIN.to_owned()).await?;
        run(&mut self.connection, sql::keep_from_writing(&tables)).await
    }

    async fn is_untouched(&mut self) -> Result<bool, DataError> {
        if !relations(&mut self.connection).await?.is_empty() {
            return Ok(false);
        }
        for table in self.our_tables().await? {
            let question = sql::has_rows(&table);
            let rows = sqlx::query(AssertSqlSafe(question)).fetch_one(&mut self.connection);
            if rows.await?.try_get(0)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Migrations that were applied, in order of their file's name.
    ///
    /// # Errors
    /// PostgreSQL's own; [`DataError::Unavailable`].
    pub async fn applied(&mut self) -> Result<Vec<Applied>, DataError> {
        let rows = sqlx::query(sql::APPLIED)
            .fetch_all(&mut self.connection)
            .await?;
        rows.iter()
            .map(|row| {
                Ok(Applied {
                    file: row.try_get(0)?,
                    digest: row.try_get(1)?,
                    translator: row.try_get(2)?,
                })
            })
            .collect()
    }

    /// A transaction for one file. Dropping it ends the session: nothing of the file stays.
    ///
    /// # Errors
    /// PostgreSQL's own; [`DataError::Unavailable`].
    pub async fn begin(mut self) -> Result<OwnerTx, DataError> {
        run(&mut self.connection, sql::BEGIN.to_owned()).await?;
        let before = relations(&mut self.connection).await?;
        Ok(OwnerTx {
            before: before.into_iter().map(|relation| relation.id).collect(),
            owner: self,
        })
    }

    /// Shuts the owner out again.
    ///
    /// # Errors
    /// PostgreSQL's own; [`DataError::Unavailable`]. The owner's password is forgotten in any case.
    pub async fn close(mut self) -> Result<(), DataError> {
        close(self.connection).await;
        self.admin.run(sql::shut_owner(&self.names)).await?;
        self.admin.close().await;
        Ok(())
    }
}

/// One file of migrations being applied.
pub struct OwnerTx {
    owner: Owner,
    /// Tables and views that stood before.
    before: HashSet<i64>,
}

/// A table or view of the app's own.
struct Relation {
    id: i64,
    schema: Name,
    name: Name,
    view: bool,
}

impl Relation {
    /// Whether it has this schema and this name.
    fn is(&self, (schema, name): &(String, String)) -> bool {
        self.schema.as_str() == schema && self.name.as_str() == name
    }

    fn path(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

async fn relations(connection: &mut PgConnection) -> Result<Vec<Relation>, DataError> {
    let rows = sqlx::query(sql::RELATIONS).fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            Ok(Relation {
                id: row.try_get(0)?,
                name: Name::of_catalog(row.try_get::<String, _>(1)?),
                view: row.try_get(2)?,
                schema: Name::of_catalog(row.try_get::<String, _>(3)?),
            })
        })
        .collect()
}

impl OwnerTx {
    /// For statements of ours that answer rows.
    pub(in crate::data) fn connection(&mut self) -> &mut PgConnection {
        &mut self.owner.connection
    }

    /// Runs one statement, which stands at `line` of `file`, as it is.
    ///
    /// # Errors
    /// PostgreSQL's own: the message begins with file and line, the details end with the statement.
    /// 2D000 for a statement that would end the transaction. Nothing can follow but dropping this.
    pub async fn execute(&mut self, file: &str, line: usize, sql: &str) -> Result<(), DataError> {
        let keyword = guest::first_keyword(sql);
        let refused = [
            "abort",
            "begin",
            "commit",
            "copy",
            "end",
            "release",
            "rollback",
            "savepoint",
            "start",
            "prepare",
        ];
        if refused.contains(&keyword.as_str()) {
            return Err(DataError::sql(
                "2D000",
                format!(
                    "{file}:{line}: `{keyword}` is not for migrations: a file is one transaction"
                ),
            ));
        }
        // Prepared, so that it is one statement; not kept.
        let query = sqlx::query(AssertSqlSafe(sql.to_owned())).persistent(false);
        match query.execute(&mut self.owner.connection).await {
            Ok(_) => Ok(()),
            Err(error) => Err(at(file, line, sql, error.into())),
        }
    }

    /// Opens the table or view that a statement marked `-- pumice: open` made: no row-level security and
    /// everything granted to `anon` and `authenticated`; a view asks as its owner.
    ///
    /// # Errors
    /// PostgreSQL's own; [`DataError::Unavailable`].
    pub async fn open(&mut self, made: &(String, String)) -> Result<(), DataError> {
        let connection = &mut self.owner.connection;
        let found = relations(connection)
            .await?
            .into_iter()
            .find(|relation| relation.is(made));
        if let Some(relation) = found {
            let (schema, path) = (relation.schema.to_string(), relation.path());
            if !relation.view {
                run(connection, sql::open_table(&schema, &path)).await?;
            }
            if relation.schema.as_str() != PUBLIC {
                run(connection, sql::serve(&schema, &path)).await?;
            }
            self.before.insert(relation.id);
        }
        Ok(())
    }

    /// Closes what the file made and did not [open](Self::open): row-level security on each new table,
    /// views that ask as their caller. `views` are those that it made, or made again.
    ///
    /// Grants need no closing: in an app's database nothing is granted by default but to
    /// `service_role`.
    ///
    /// # Errors
    /// PostgreSQL's own; [`DataError::Unavailable`].
    pub async fn harden(&mut self, views: &[(String, String)]) -> Result<(), DataError> {
        let connection = &mut self.owner.connection;
        let bypasses: bool = sqlx::query(sql::SERVICE_ROLE_BYPASSES)
            .fetch_one(&mut *connection)
            .await?
            .try_get(0)?;
        for relation in relations(connection).await? {
            let public = relation.schema.as_str() == PUBLIC;
            let new = !self.before.contains(&relation.id);
            let path = relation.path();
            if relation.view {
                // One that is made again has lost what it was told before.
                if new || views.iter().any(|view| relation.is(view)) {
                    run(connection, sql::ask_as_invoker(&path)).await?;
                }
            } else if new {
                run(connection, sql::enable_policies(&path)).await?;
                if !bypasses {
                    run(connection, sql::let_service_role_in(&path)).await?;
                }
            }
            if new && !public {
                let schema = relation.schema.to_string();
                run(connection, sql::serve(&schema, &path)).await?;
            }
        }
        Ok(())
    }

    /// Notes that `file` was applied.
    ///
    /// # Errors
    /// 23505 if it was before.
    pub async fn record(
        &mut self,
        file: &str,
        digest: &str,
        translator: i64,
    ) -> Result<(), DataError> {
        sqlx::query(sql::RECORD)
            .bind(file.to_owned())
            .bind(digest.to_owned())
            .bind(translator)
            .execute(&mut self.owner.connection)
            .await?;
        Ok(())
    }

    /// Makes the file permanent, and gives the session back for the next.
    ///
    /// # Errors
    /// PostgreSQL's own; [`DataError::Unavailable`].
    pub async fn commit(mut self) -> Result<Owner, DataError> {
        run(&mut self.owner.connection, sql::COMMIT.to_owned()).await?;
        Ok(self.owner)
    }

    /// Undoes the file, and gives the session back.
    ///
    /// # Errors
    /// [`DataError::Unavailable`]; the file is undone then as well.
    pub async fn rollback(mut self) -> Result<Owner, DataError> {
        run(&mut self.owner.connection, sql::ROLLBACK.to_owned()).await?;
        Ok(self.owner)
    }
}

/// The error with its place and its statement.
fn at(file: &str, line: usize, statement: &str, error: DataError) -> DataError {
    let DataError::Sql(mut fault) = error else {
        return error;
    };
    let mut end = statement.len().min(STATEMENT_SHOWN_MAX);
    while !statement.is_char_boundary(end) {
        end -= 1;
    }
    let shown = format!("statement: {}", &statement[..end]);
    fault.message = format!("{file}:{line}: {}", fault.message);
    fault.details = Some(match &fault.details {
        Some(details) => format!("{details}\n{shown}"),
        None => shown,
    });
    DataError::Sql(fault)
}
