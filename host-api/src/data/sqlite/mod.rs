//! The SQLite engine: one file per app, one writer, several readers.
//!
//! Writes that wait at the same time share one transaction and one fsync, each in its own savepoint
//! (`writer.rs`). Reads run where they are called, because most take microseconds; a long one starts over
//! on a blocking thread. Nothing here knows tables, types or policies.

pub mod errors;
mod functions;
pub mod guard;
mod sql;
#[cfg(test)]
mod tests;
mod writer;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use self::functions::timestamptz;
pub use self::writer::Session;
use self::writer::Writer;
use super::Context;
use super::DataError;
pub use super::sqlite_ffi::{
    Changes, Connection, Interrupt, Mode, Open, Row, SqliteError, panicked,
};

pub(super) use self::functions::register;
pub(super) use self::sql::open as open_sql;

/// VM steps that a read may take in place: about a millisecond.
const STEPS_IN_PLACE: u64 = 50_000;

/// And how long: a step that calls a function may take as long as all others.
const TIME_IN_PLACE: Duration = Duration::from_millis(2);

/// How long a transaction waits for the writer: ten others that use all of their time.
pub const WRITER_WAIT_MAX: Duration = Duration::from_secs(5);

/// How long a statement waits for another process's lock (a backup, someone's `sqlite3`).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What runs on each new connection: further functions.
pub type Setup = Arc<dyn Fn(&Connection) -> Result<(), SqliteError> + Send + Sync>;

#[derive(Clone)]
pub struct Options {
    /// `synchronous=FULL`. Off only in the test which shows that data is lost without it.
    pub durable: bool,
    /// Reading connections at most; a read beyond them waits.
    pub readers_max: usize,
    /// Writes that may wait; one more is refused with 53300.
    pub queue_max: usize,
    /// A group of writes takes no further one after this much work, so that the first are answered.
    pub group_work: Duration,
    /// Pages kept in memory per connection, KiB.
    pub cache_kib: u32,
    /// How long the writer's thread stays without work.
    pub idle: Duration,
    pub setup: Option<Setup>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            durable: true,
            // In-place reads occupy a worker thread each, so more than a few only helps long ones.
            readers_max: 8,
            queue_max: 4096,
            // Some tens of fsyncs of a good disk.
            group_work: Duration::from_millis(5),
            cache_kib: 2048,
            idle: Duration::from_secs(60),
            setup: None,
        }
    }
}

/// One app's database. Opens nothing until first use; clones share everything.
#[derive(Clone)]
pub struct Sqlite(Arc<Engine>);

struct Engine {
    file: Arc<File>,
    writer: Writer,
    /// One permit per reading connection.
    permits: Arc<Semaphore>,
    readers: Mutex<Readers>,
}

struct Readers {
    idle: Vec<Connection>,
    used: Instant,
}

/// How the file is opened.
struct File {
    path: PathBuf,
    options: Options,
}

impl File {
    fn open(&self, mode: Mode) -> Result<Connection, DataError> {
        let connection = Connection::open(
            &self.path,
            Open {
                mode,
                durable: self.options.durable,
                cache_kib: self.options.cache_kib,
                busy_timeout: BUSY_TIMEOUT,
            },
        )?;
        if let Some(setup) = &self.options.setup {
            setup(&connection)?;
        }
        Ok(connection)
    }

    /// To write to it.
    ///
    /// # Errors
    /// [`DataError::Moved`] for a file whose data is elsewhere.
    fn open_writer(&self) -> Result<Connection, DataError> {
        let connection = self.open(Mode::Writer)?;
        let mut marked = false;
        connection.query(sql::MARKS, &[], |_| {
            marked = true;
            Ok(())
        })?;
        let mut moved = None;
        if marked {
            connection.query(sql::MOVED_TO, &[], |row| {
                if let super::ValueRef::Text(to) = row.get(0) {
                    moved = Some(to.to_owned());
                }
                Ok(())
            })?;
        }
        moved.map_or(Ok(connection), |to| Err(DataError::Moved(to)))
    }

    /// Writes down that the data went `to`, or that it did not.
    fn mark(&self, to: Option<String>) -> Result<(), DataError> {
        let connection = self.open(Mode::Writer)?;
        connection.execute(sql::BEGIN_WRITE, &[])?;
        match to {
            Some(to) => {
                connection.execute(sql::MARK[0], &[])?;
                connection.execute(sql::MARK[1], &[super::Value::Text(to)])?;
            }
            None => drop(connection.execute(sql::UNMARK, &[])?),
        }
        connection.execute(sql::COMMIT, &[])?;
        Ok(())
    }
}

impl Sqlite {
    pub fn new(path: PathBuf, options: Options) -> Sqlite {
        let permits = Arc::new(Semaphore::new(options.readers_max));
        let file = Arc::new(File { path, options });
        Sqlite(Arc::new(Engine {
            writer: Writer::new(Arc::clone(&file)),
            file,
            permits,
            readers: Mutex::new(Readers {
                idle: Vec::new(),
                used: Instant::now(),
            }),
        }))
    }

    pub fn path(&self) -> &Path {
        &self.0.file.path
    }

    /// Runs `job` on a reading connection, in one snapshot, at most for `timeout` (57014).
    ///
    /// It runs in place. When it takes more than about a millisecond it is interrupted and starts over
    /// on a blocking thread, so it may run twice and must have no effects.
    ///
    /// # Errors
    /// `job`'s; [`DataError::Unavailable`] when the database is closed or cannot be opened.
    pub async fn read<T: Send + 'static>(
        &self,
        context: Context,
        timeout: Duration,
        mut job: impl FnMut(&Connection) -> Result<T, DataError> + Send + 'static,
    ) -> Result<T, DataError> {
        let permit = match Arc::clone(&self.0.permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => Arc::clone(&self.0.permits)
                .acquire_owned()
                .await
                .map_err(|_| closed())?,
        };
        let deadline = Instant::now() + timeout;
        let idle = {
            let mut readers = self.0.readers.lock();
            readers.used = Instant::now();
            readers.idle.pop()
        };
        let lent = Lent {
            engine: Arc::clone(&self.0),
            connection: idle,
            _permit: permit,
        };
        if let Some(connection) = &lent.connection {
            let until = Instant::now() + TIME_IN_PLACE;
            connection.limit_in_place(deadline, STEPS_IN_PLACE, until);
            connection.set_busy_timeout(Duration::ZERO);
            let outcome = snapshot(connection, &context, &mut job);
            if !connection.over_budget() {
                return outcome;
            }
        }
        tokio::task::spawn_blocking(move || {
            // Whole, so that its drop gives the connection back.
            let mut lent = lent;
            let connection = match lent.connection.take() {
                Some(connection) => connection,
                None => lent.engine.open_reader()?,
            };
            connection.limit(Some(deadline), None);
            connection.set_busy_timeout(BUSY_TIMEOUT);
            let outcome = snapshot(&connection, &context, &mut job);
            lent.connection = Some(connection);
            outcome
        })
        .await
        .unwrap_or_else(|_| Err(DataError::Internal("a read was not run".to_owned())))
    }

    /// Runs `job` in a transaction of the writer, shared with other jobs, and resolves after COMMIT.
    ///
    /// An error of `job`, a panic in it, its `timeout` (57014) or a foreign key it leaves broken (23503)
    /// undoes what it did and nothing else. It may run twice: when the shared transaction fails, each
    /// job runs again in its own. When the caller goes away, an accepted job still runs.
    ///
    /// # Errors
    /// `job`'s; 53300 when too many wait; [`DataError::Unavailable`] when the file fails.
    pub async fn write<T: Send + 'static>(
        &self,
        context: Context,
        timeout: Duration,
        job: impl FnMut(&Connection) -> Result<T, DataError> + Send + 'static,
    ) -> Result<T, DataError> {
        self.0.writer.write(context, timeout, job).await
    }

    /// The writer for oneself, in one transaction, until its end or `deadline`. Others' writes wait.
    ///
    /// # Errors
    /// 53300 when too many wait, [`DataError::TransactionEnded`] when `deadline` comes first.
    pub async fn begin(&self, context: Context, deadline: Instant) -> Result<Session, DataError> {
        self.0.writer.begin(context, deadline, None).await
    }

    /// As [`Sqlite::begin`], and the time of `held` begins when the writer is there.
    ///
    /// # Errors
    /// 53300 when it was not free for [`WRITER_WAIT_MAX`].
    pub async fn begin_for(&self, context: Context, held: Duration) -> Result<Session, DataError> {
        let wait = Instant::now() + WRITER_WAIT_MAX;
        self.0.writer.begin(context, wait, Some(held)).await
    }

    /// Refuses writes with [`DataError::Moving`] from now on, and resolves when those that were accepted
    /// before are done. Reads go on. A file that is not there is not made.
    ///
    /// # Errors
    /// [`DataError::Unavailable`] when the file fails; it is frozen all the same.
    pub async fn freeze(&self) -> Result<(), DataError> {
        self.0.writer.freeze().await
    }

    /// Takes writes again.
    pub fn thaw(&self) {
        self.0.writer.thaw();
    }

    pub fn is_frozen(&self) -> bool {
        self.0.writer.is_frozen()
    }

    /// Writes into the file that its data went `to`: from then on nobody opens it for writing. None
    /// takes that back.
    ///
    /// # Errors
    /// [`DataError::Unavailable`] when the file fails.
    pub async fn mark_moved(&self, to: Option<String>) -> Result<(), DataError> {
        let file = Arc::clone(&self.0.file);
        if to.is_none() && !file.path.exists() {
            return Ok(());
        }
        tokio::task::spawn_blocking(move || file.mark(to))
            .await
            .unwrap_or_else(|_| Err(DataError::Internal("a file was not marked".to_owned())))
    }

    /// Closes the connections when the database was not used for `idle`. The next use opens them again.
    pub fn close_idle(&self, idle: Duration) {
        let readers = {
            let mut readers = self.0.readers.lock();
            if readers.used.elapsed() >= idle {
                std::mem::take(&mut readers.idle)
            } else {
                Vec::new()
            }
        };
        drop(readers);
        self.0.writer.close_idle(idle);
    }

    /// Closes the database for good, after what was accepted is done; the WAL is copied into the file.
    /// Later calls answer [`DataError::Unavailable`].
    pub async fn close(&self) {
        let all = u32::try_from(self.0.file.options.readers_max).unwrap_or(u32::MAX);
        let permits = self.0.permits.acquire_many(all).await;
        self.0.permits.close();
        drop(std::mem::take(&mut self.0.readers.lock().idle));
        drop(permits);
        self.0.writer.close().await;
    }
}

impl Engine {
    fn open_reader(&self) -> Result<Connection, DataError> {
        if !self.file.path.exists() {
            // Makes the file and puts it in WAL mode.
            drop(self.file.open(Mode::Writer)?);
        }
        self.file.open(Mode::Reader)
    }
}

/// A reading connection on loan; goes back on drop.
struct Lent {
    engine: Arc<Engine>,
    connection: Option<Connection>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            // One that cannot end its transaction is of no use.
            if !connection.in_transaction() {
                self.engine.readers.lock().idle.push(connection);
            }
        }
    }
}

/// Runs `job` in a transaction that only reads.
fn snapshot<T>(
    connection: &Connection,
    context: &Context,
    job: &mut impl FnMut(&Connection) -> Result<T, DataError>,
) -> Result<T, DataError> {
    connection.set_context(context.clone());
    connection.set_now(SystemTime::now());
    connection.execute(sql::BEGIN_READ, &[])?;
    let outcome = guarded(connection, job);
    // It has changed nothing, so it does not matter which way it ends; but end it must.
    connection.limit_end();
    if connection.in_transaction() {
        connection.execute(sql::ROLLBACK, &[])?;
    }
    outcome
}

/// Runs `job`; a panic is an error.
fn guarded<T>(
    connection: &Connection,
    job: impl FnOnce(&Connection) -> Result<T, DataError>,
) -> Result<T, DataError> {
    catch_unwind(AssertUnwindSafe(|| job(connection)))
        .unwrap_or_else(|panic| Err(panicked(panic.as_ref())))
}

fn closed() -> DataError {
    DataError::Unavailable("the database is closed".into())
}
