//! SQLite's C interface, made safe: the only unsafe code of this crate.
//!
//! A [`Connection`] belongs to one thread at a time. What C calls back into (functions, collations,
//! the authorizer, the progress handler) never unwinds into C: a panic becomes an error of the statement.
//! No SQL text and no policy stands here: see `sqlite/`.

#![expect(
    unsafe_code,
    reason = "functions, collations, the authorizer and the progress handler, which sqlx does not offer"
)]

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::fs::OpenOptions;
use std::marker::PhantomData;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use libsqlite3_sys as ffi;
use parking_lot::Mutex;

use super::Context;
use super::sqlite::guard::{self, Access};
use super::sqlite::{open_sql, register};
use super::{DataError, SqlFault, Value, ValueRef};

/// Statements kept prepared per connection. An app has some tens of shapes of requests; a statement
/// holds a few KiB.
const STATEMENTS_MAX: usize = 200;

/// A longer text, such as a list of many members, seldom comes again.
const CACHED_TEXT_MAX: usize = 4 << 10;

/// VM steps between two looks at the clock: some ten microseconds of work.
const STEPS_PER_LOOK: c_int = 1000;

/// Calls of functions between two looks at the clock, of which each is a step or two.
const CALLS_PER_LOOK: u32 = 64;

/// Bytes of arguments that make a call count as a look's worth by itself: it may take as long as all
/// the steps between two looks.
const CALL_BYTES_PER_LOOK: usize = 64 << 10;

/// The longest text, blob or row: what one request may carry, with room for its JSON form.
pub(super) const VALUE_BYTES_MAX: usize = 64 << 20;

/// The longest statement. A bulk insert binds its rows as one JSON text.
pub(super) const SQL_BYTES_MAX: usize = 1 << 20;

/// Arguments of a statement.
///
/// Source: SQLite, `SQLITE_MAX_VARIABLE_NUMBER`.
pub(super) const ARGUMENTS_MAX: usize = 32_766;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Creates the file (0600) when it is missing.
    Writer,
    /// Answers 25006 to every write; the file must exist.
    Reader,
}

/// How a connection is opened.
#[derive(Clone, Copy, Debug)]
pub struct Open {
    pub mode: Mode,
    /// `synchronous=FULL`. Off only in the test which shows that data is lost without it.
    pub durable: bool,
    /// Pages kept in memory, KiB.
    pub cache_kib: u32,
    /// How long a statement waits for another process's lock.
    pub busy_timeout: Duration,
}

/// What SQLite says of a failed statement.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SqliteError {
    /// Source: <https://www.sqlite.org/rescode.html>.
    pub extended_code: i32,
    pub message: String,
    /// Byte of the statement's text that is at fault.
    pub offset: Option<usize>,
    /// The refusal of Rust code which the statement called, or which called the statement.
    pub cause: Option<Box<DataError>>,
}

/// What a statement did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Rows inserted, updated or deleted by the statement itself, not by triggers and cascades.
    pub rows: u64,
}

/// Stops the statement that runs on a connection, from any thread.
#[derive(Clone)]
pub struct Interrupt(Arc<Mutex<Handle>>);

struct Handle(*mut ffi::sqlite3);

// SAFETY: the pointer is only given to `sqlite3_interrupt`, which may be called from any thread while
// the connection is open; the mutex keeps it open during the call.
unsafe impl Send for Handle {}

impl Interrupt {
    pub fn interrupt(&self) {
        let handle = self.0.lock();
        if !handle.0.is_null() {
            // SAFETY: not null means not closed: `Connection::drop` clears it under this lock first.
            unsafe { ffi::sqlite3_interrupt(handle.0) };
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    Deadline,
    Budget,
}

/// What the callbacks share with the connection.
struct Shared {
    context: RefCell<Context>,
    now: Cell<SystemTime>,
    /// Set while a guest's statement is prepared or stepped.
    guest: Cell<Option<Access>>,
    cause: RefCell<Option<DataError>>,
    deadline: Cell<Option<Instant>>,
    /// VM steps left.
    budget: Cell<Option<u64>>,
    /// When a caller that may not wait gives up.
    brief: Cell<Option<Instant>>,
    /// Calls of functions since the last look at the clock, and bytes of their arguments.
    calls: Cell<(u32, usize)>,
    /// Steps of the running statement.
    stepped: Cell<u64>,
    /// Steps of all statements since they were last asked for.
    steps: Cell<u64>,
    stop: Cell<Option<Stop>>,
    busy: Cell<bool>,
    /// Whether a transaction must be open: one that SQLite has rolled back by itself must not be
    /// followed by statements that commit each on their own.
    held: Cell<bool>,
}

/// A prepared statement; finalized on drop.
struct Statement {
    raw: *mut ffi::sqlite3_stmt,
    /// The argument (from 0) of each parameter.
    arguments: Box<[usize]>,
    arguments_needed: usize,
    columns: c_int,
}

impl Drop for Statement {
    fn drop(&mut self) {
        // SAFETY: `raw` came from prepare, is finalized only here, and the connection is still open:
        // it drops its statements before it closes.
        unsafe { ffi::sqlite3_finalize(self.raw) };
    }
}

/// An open database.
pub struct Connection {
    raw: NonNull<ffi::sqlite3>,
    shared: NonNull<Shared>,
    /// By text, with the number of the last use.
    statements: RefCell<Statements>,
    clock: Cell<u64>,
    interrupt: Interrupt,
}

// SAFETY: the connection is opened without SQLite's mutex, so it may be used by any thread, but by one at
// a time: `Connection` is not `Sync`. Every `Rc` and cell in it is reachable only through it, and the
// functions registered on it are `Send`.
unsafe impl Send for Connection {}

/// A result row, lent for one call.
pub struct Row<'r> {
    raw: *mut ffi::sqlite3_stmt,
    columns: c_int,
    life: PhantomData<&'r Connection>,
}

impl<'r> Row<'r> {
    /// How many columns it has.
    pub fn len(&self) -> usize {
        usize::try_from(self.columns).unwrap_or(0)
    }

    pub fn is_empty(&self) -> bool {
        self.columns == 0
    }

    /// The value of column `index`, from 0; null beyond the last. Text that is not UTF-8 is a blob.
    pub fn get(&self, index: usize) -> ValueRef<'r> {
        let Some(i) = c_int::try_from(index).ok().filter(|i| *i < self.columns) else {
            return ValueRef::Null;
        };
        // SAFETY: the statement stands on a row and `i` is one of its columns. Each value is read as the
        // type it has, so SQLite converts nothing and the bytes stay until the next step, which comes
        // after `'r`: the row is lent to a closure that is generic over `'r`.
        unsafe {
            match ffi::sqlite3_column_type(self.raw, i) {
                ffi::SQLITE_INTEGER => ValueRef::Integer(ffi::sqlite3_column_int64(self.raw, i)),
                ffi::SQLITE_FLOAT => ValueRef::Real(ffi::sqlite3_column_double(self.raw, i)),
                ffi::SQLITE_TEXT => {
                    let text = ffi::sqlite3_column_text(self.raw, i);
                    text_or_blob(bytes(text, ffi::sqlite3_column_bytes(self.raw, i)))
                }
                ffi::SQLITE_BLOB => {
                    let blob = ffi::sqlite3_column_blob(self.raw, i);
                    ValueRef::Blob(bytes(blob.cast(), ffi::sqlite3_column_bytes(self.raw, i)))
                }
                _ => ValueRef::Null,
            }
        }
    }
}

/// # Safety
/// `start` is null or points to `length` bytes that live and do not change for `'r`.
unsafe fn bytes<'r>(start: *const u8, length: c_int) -> &'r [u8] {
    match usize::try_from(length) {
        // SAFETY: as the caller promises.
        Ok(length) if length > 0 && !start.is_null() => unsafe {
            std::slice::from_raw_parts(start, length)
        },
        _ => &[],
    }
}

fn text_or_blob(bytes: &[u8]) -> ValueRef<'_> {
    match std::str::from_utf8(bytes) {
        Ok(text) => ValueRef::Text(text),
        Err(_) => ValueRef::Blob(bytes),
    }
}

impl Connection {
    /// Opens the database at `path` with everything that every connection needs.
    ///
    /// # Errors
    /// SQLite's, when the file cannot be opened or is not a database.
    pub fn open(path: &Path, open: Open) -> Result<Connection, SqliteError> {
        let file = CString::new(path.as_os_str().as_encoded_bytes())
            .map_err(|_| own(ffi::SQLITE_CANTOPEN, "the path has a zero byte"))?;
        if open.mode == Mode::Writer {
            // SQLite gives the files it makes beside this one the same permissions.
            OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(path)
                .map_err(|error| own(ffi::SQLITE_CANTOPEN, &error.to_string()))?;
        }
        let flags =
            ffi::SQLITE_OPEN_READWRITE | ffi::SQLITE_OPEN_NOMUTEX | ffi::SQLITE_OPEN_EXRESCODE;
        let mut raw = ptr::null_mut();
        // SAFETY: `file` ends in a zero byte, `raw` is a place for the handle, null is the default VFS.
        let code = unsafe { ffi::sqlite3_open_v2(file.as_ptr(), &mut raw, flags, ptr::null()) };
        let Some(raw) = NonNull::new(raw) else {
            return Err(own(ffi::SQLITE_NOMEM, "out of memory"));
        };
        let shared = Box::new(Shared {
            context: RefCell::default(),
            now: Cell::new(SystemTime::now()),
            guest: Cell::new(None),
            cause: RefCell::new(None),
            deadline: Cell::new(None),
            budget: Cell::new(None),
            brief: Cell::new(None),
            calls: Cell::new((0, 0)),
            steps: Cell::new(0),
            stepped: Cell::new(0),
            stop: Cell::new(None),
            busy: Cell::new(false),
            held: Cell::new(false),
        });
        // From here on a drop closes the handle, also when opening failed, as SQLite demands.
        let connection = Connection {
            raw,
            shared: NonNull::from(Box::leak(shared)),
            statements: RefCell::default(),
            clock: Cell::new(0),
            interrupt: Interrupt(Arc::new(Mutex::new(Handle(raw.as_ptr())))),
        };
        connection.check(code)?;
        connection.set_busy_timeout(open.busy_timeout);
        connection.harden()?;
        connection
            .script(&open_sql(open))
            .map_err(|(_, error)| error)?;
        register(&connection)?;
        Ok(connection)
    }

    fn harden(&self) -> Result<(), SqliteError> {
        let raw = self.raw.as_ptr();
        for (option, on) in [
            (ffi::SQLITE_DBCONFIG_DEFENSIVE, 1),
            (ffi::SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0),
            (ffi::SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0),
            (ffi::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0),
            (ffi::SQLITE_DBCONFIG_ENABLE_ATTACH_CREATE, 0),
            (ffi::SQLITE_DBCONFIG_ENABLE_ATTACH_WRITE, 0),
            (ffi::SQLITE_DBCONFIG_DQS_DML, 0),
            (ffi::SQLITE_DBCONFIG_DQS_DDL, 0),
            (ffi::SQLITE_DBCONFIG_ENABLE_FKEY, 1),
        ] {
            // SAFETY: each of these options takes an int and a pointer to an int, or null.
            let code = unsafe { ffi::sqlite3_db_config(raw, option, on, ptr::null_mut::<c_int>()) };
            self.check(code)?;
        }
        for (limit, value) in [
            (ffi::SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX as c_int),
            (ffi::SQLITE_LIMIT_SQL_LENGTH, SQL_BYTES_MAX as c_int),
            // Matching takes time with the square of it.
            (ffi::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1_000),
            (ffi::SQLITE_LIMIT_ATTACHED, 0),
            (ffi::SQLITE_LIMIT_WORKER_THREADS, 0),
        ] {
            // SAFETY: an open connection and a known limit.
            unsafe { ffi::sqlite3_limit(raw, limit, value) };
        }
        let shared = self.shared.as_ptr().cast::<c_void>();
        // The authorizer stays for good, because setting one expires every prepared statement.
        // SAFETY: the callbacks get `shared`, which is freed after the connection is closed.
        unsafe {
            ffi::sqlite3_progress_handler(raw, STEPS_PER_LOOK, Some(look), shared);
            self.check(ffi::sqlite3_set_authorizer(raw, Some(authorize), shared))
        }
    }

    fn shared(&self) -> &Shared {
        // SAFETY: made from a box at opening, freed in drop, and only ever borrowed shared.
        unsafe { self.shared.as_ref() }
    }

    fn check(&self, code: c_int) -> Result<(), SqliteError> {
        if code == ffi::SQLITE_OK {
            Ok(())
        } else {
            Err(self.error(code))
        }
    }

    fn error(&self, code: c_int) -> SqliteError {
        let shared = self.shared();
        if code & 0xff == ffi::SQLITE_BUSY {
            shared.busy.set(true);
        }
        let cause = shared
            .cause
            .take()
            .or_else(|| match (code & 0xff, shared.stop.get()) {
                (ffi::SQLITE_INTERRUPT, Some(Stop::Deadline)) => Some(timed_out()),
                _ => None,
            });
        // SAFETY: the message is a string of the connection, valid until its next call; it is copied.
        let (message, offset) = unsafe {
            let message = CStr::from_ptr(ffi::sqlite3_errmsg(self.raw.as_ptr()));
            (
                message.to_string_lossy().into_owned(),
                ffi::sqlite3_error_offset(self.raw.as_ptr()),
            )
        };
        SqliteError {
            extended_code: code,
            message: cause.as_ref().map_or(message, ToString::to_string),
            offset: usize::try_from(offset).ok(),
            cause: cause.map(Box::new),
        }
    }

    /// Prepares the first statement of `sql`; also how many bytes it took. `None` when there is none.
    fn prepare(&self, sql: &str, flags: c_uint) -> Result<(Option<Statement>, usize), SqliteError> {
        let length = c_int::try_from(sql.len())
            .map_err(|_| own(ffi::SQLITE_TOOBIG, "statement too long"))?;
        if sql.as_bytes().contains(&0) {
            // SQLite would stop reading there, and our own readers of the text would not.
            return Err(refused(SqlFault::new("42601", "zero byte in a statement")));
        }
        self.shared().cause.take();
        let (mut raw, mut tail) = (ptr::null_mut(), ptr::null());
        let start = sql.as_ptr().cast::<c_char>();
        // SAFETY: `length` bytes at `start`, which SQLite copies when they do not end in zero.
        let code = unsafe {
            ffi::sqlite3_prepare_v3(self.raw.as_ptr(), start, length, flags, &mut raw, &mut tail)
        };
        self.check(code)?;
        let used = (tail.addr().wrapping_sub(start.addr())).min(sql.len());
        if raw.is_null() {
            return Ok((None, used));
        }
        let mut statement = Statement {
            raw,
            arguments: Box::default(),
            arguments_needed: 0,
            // SAFETY: a prepared statement.
            columns: unsafe { ffi::sqlite3_column_count(raw) },
        };
        statement.arguments = self.arguments(raw)?;
        statement.arguments_needed = statement.arguments.iter().map(|i| i + 1).max().unwrap_or(0);
        Ok((Some(statement), used))
    }

    /// SQLite numbers `$1` by where it stands, not by its name.
    fn arguments(&self, raw: *mut ffi::sqlite3_stmt) -> Result<Box<[usize]>, SqliteError> {
        // SAFETY: a prepared statement.
        let count = unsafe { ffi::sqlite3_bind_parameter_count(raw) };
        (1..=count)
            .map(|i| {
                // SAFETY: `i` is one of its parameters; the name is the statement's own string.
                let name = unsafe {
                    let name = ffi::sqlite3_bind_parameter_name(raw, i);
                    (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy())
                };
                let number = match name.as_deref() {
                    None => usize::try_from(i).ok(),
                    Some(name) => name
                        .strip_prefix(['$', '?'])
                        .and_then(|number| number.parse::<usize>().ok()),
                };
                match number {
                    Some(number @ 1..=ARGUMENTS_MAX) => Ok(number - 1),
                    _ => Err(refused(SqlFault::new(
                        "42P02",
                        format!("there is no parameter {}", name.unwrap_or_default()),
                    ))),
                }
            })
            .collect()
    }

    /// Runs one statement, prepared at its first use, and calls `each` with every row.
    ///
    /// `$1` and `?1` are the first of `args`.
    ///
    /// # Errors
    /// SQLite's; `each`'s as its cause. 08P01 when there are not as many arguments as parameters.
    pub fn query(
        &self,
        sql: &str,
        args: &[Value],
        each: impl FnMut(Row<'_>) -> Result<(), DataError>,
    ) -> Result<Changes, SqliteError> {
        let statement = self.cached(sql)?;
        self.run(&statement, None, args, each)
    }

    /// [`Connection::query`] of a statement whose rows do not matter.
    ///
    /// # Errors
    /// As [`Connection::query`].
    pub fn execute(&self, sql: &str, args: &[Value]) -> Result<Changes, SqliteError> {
        self.query(sql, args, |_| Ok(()))
    }

    fn cached(&self, sql: &str) -> Result<Rc<Statement>, SqliteError> {
        self.clock.set(self.clock.get() + 1);
        let mut statements = self.statements.borrow_mut();
        if let Some((statement, used)) = statements.get_mut(sql)
            // One that is lent already runs: the same text within its own rows gets another.
            && Rc::strong_count(statement) == 1
        {
            *used = self.clock.get();
            return Ok(Rc::clone(statement));
        }
        let (statement, used) = self.prepare(sql, ffi::SQLITE_PREPARE_PERSISTENT)?;
        let Some(statement) = statement else {
            return Err(own(ffi::SQLITE_MISUSE, "no statement"));
        };
        if !guard::is_blank(&sql[used..]) {
            return Err(refused(guard::several()));
        }
        let statement = Rc::new(statement);
        if sql.len() > CACHED_TEXT_MAX {
            return Ok(statement);
        }
        if statements.len() >= STATEMENTS_MAX
            && let Some(oldest) = statements
                .iter()
                .min_by_key(|(_, (_, used))| *used)
                .map(|(text, _)| text.clone())
        {
            statements.remove(&oldest);
        }
        statements.insert(sql.into(), (Rc::clone(&statement), self.clock.get()));
        Ok(statement)
    }

    fn run(
        &self,
        statement: &Statement,
        guest: Option<Access>,
        args: &[Value],
        mut each: impl FnMut(Row<'_>) -> Result<(), DataError>,
    ) -> Result<Changes, SqliteError> {
        let shared = self.shared();
        if args.len() != statement.arguments_needed {
            return Err(refused(SqlFault::new(
                "08P01",
                format!(
                    "bind message supplies {} parameters, but prepared statement \"\" requires {}",
                    args.len(),
                    statement.arguments_needed
                ),
            )));
        }
        if shared.held.get() && !self.in_transaction() {
            return Err(caused(DataError::TransactionEnded));
        }
        if shared.deadline.get().is_some_and(|at| Instant::now() >= at) {
            shared.stop.set(Some(Stop::Deadline));
            return Err(caused(timed_out()));
        }
        shared.cause.take();
        shared.stepped.set(0);
        let _running = Running {
            statement,
            shared,
            bound: !args.is_empty(),
        };
        for (i, argument) in (1..).zip(&statement.arguments) {
            // SAFETY: `i` is one of its parameters. The bytes are not copied: `args` outlives
            // `_running`, which clears the bindings.
            let code = unsafe {
                match &args[*argument] {
                    Value::Null => ffi::sqlite3_bind_null(statement.raw, i),
                    Value::Integer(value) => ffi::sqlite3_bind_int64(statement.raw, i, *value),
                    Value::Real(value) => ffi::sqlite3_bind_double(statement.raw, i, *value),
                    Value::Text(text) => ffi::sqlite3_bind_text64(
                        statement.raw,
                        i,
                        text.as_ptr().cast(),
                        text.len() as u64,
                        ffi::SQLITE_STATIC(),
                        ffi::SQLITE_UTF8 as u8,
                    ),
                    Value::Blob(blob) => ffi::sqlite3_bind_blob64(
                        statement.raw,
                        i,
                        blob.as_ptr().cast(),
                        blob.len() as u64,
                        ffi::SQLITE_STATIC(),
                    ),
                }
            };
            self.check(code)?;
        }
        let before = self.changes_ever();
        loop {
            shared.guest.set(guest);
            // SAFETY: a prepared statement with all its parameters bound.
            let code = unsafe { ffi::sqlite3_step(statement.raw) };
            shared.guest.set(None);
            match code {
                ffi::SQLITE_ROW => each(Row {
                    raw: statement.raw,
                    columns: statement.columns,
                    life: PhantomData,
                })
                .map_err(caused)?,
                ffi::SQLITE_DONE => break,
                code => return Err(self.error(code)),
            }
        }
        let rows = if self.changes_ever() == before {
            // Left from an earlier statement.
            0
        } else {
            // SAFETY: an open connection.
            unsafe { ffi::sqlite3_changes64(self.raw.as_ptr()) }
        };
        Ok(Changes {
            rows: u64::try_from(rows).unwrap_or(0),
        })
    }

    fn changes_ever(&self) -> i64 {
        // SAFETY: an open connection.
        unsafe { ffi::sqlite3_total_changes64(self.raw.as_ptr()) }
    }

    /// Runs the statements of `sql` one after another, without arguments.
    ///
    /// # Errors
    /// SQLite's, with the byte of `sql` at which the failing statement starts.
    pub fn script(&self, sql: &str) -> Result<(), (usize, SqliteError)> {
        let mut start = 0;
        loop {
            let rest = &sql[start..];
            start += rest.len() - rest.trim_start().len();
            let (statement, used) = self.prepare(&sql[start..], 0).map_err(|e| (start, e))?;
            if let Some(statement) = statement {
                self.run(&statement, None, &[], |_| Ok(()))
                    .map_err(|error| (start, error))?;
            }
            if used == 0 || start + used >= sql.len() {
                return Ok(());
            }
            start += used;
        }
    }

    /// Runs one statement that a guest wrote: it sees and changes the app's own tables and nothing else.
    /// `columns` gets the names of the result's columns before the first row.
    ///
    /// # Errors
    /// As [`Connection::query`]; 42501 for what is not allowed, 42601 for a second statement.
    pub fn guest_query(
        &self,
        sql: &str,
        args: &[Value],
        columns: impl FnOnce(Vec<String>) -> Result<(), DataError>,
        each: impl FnMut(Row<'_>) -> Result<(), DataError>,
    ) -> Result<Changes, SqliteError> {
        guard::check(sql).map_err(refused)?;
        self.shared().guest.set(Some(Access::Prepare));
        let prepared = self.prepare(sql, 0);
        self.shared().guest.set(None);
        let (statement, used) = prepared?;
        if !guard::is_blank(&sql[used..]) {
            return Err(refused(guard::several()));
        }
        let Some(statement) = statement else {
            columns(Vec::new()).map_err(caused)?;
            return Ok(Changes::default());
        };
        let names = (0..statement.columns)
            .map(|i| {
                // SAFETY: `i` is one of its columns; the name is copied at once.
                unsafe {
                    let name = ffi::sqlite3_column_name(statement.raw, i);
                    if name.is_null() {
                        String::new()
                    } else {
                        CStr::from_ptr(name).to_string_lossy().into_owned()
                    }
                }
            })
            .collect();
        columns(names).map_err(caused)?;
        self.run(&statement, Some(Access::Step), args, each)
    }

    /// Registers the SQL function `name` of `arity` arguments, -1 for any number.
    ///
    /// A `pure` one answers the same to the same arguments, so that indexes and checks may use it.
    /// Its error becomes the statement's cause; so does a panic, as [`DataError::Internal`].
    ///
    /// # Errors
    /// SQLite's, for a name or arity that it does not take.
    pub fn function(
        &self,
        name: &str,
        arity: i8,
        pure: bool,
        function: impl Fn(&[ValueRef<'_>]) -> Result<Value, DataError> + Send + 'static,
    ) -> Result<(), SqliteError> {
        self.context_function(name, arity, pure, move |_, _, args| function(args))
    }

    /// [`Connection::function`] that also sees who calls and when the transaction began.
    ///
    /// # Errors
    /// As [`Connection::function`].
    pub fn context_function(
        &self,
        name: &str,
        arity: i8,
        pure: bool,
        function: impl Fn(&Context, SystemTime, &[ValueRef<'_>]) -> Result<Value, DataError>
        + Send
        + 'static,
    ) -> Result<(), SqliteError> {
        let name =
            CString::new(name).map_err(|_| own(ffi::SQLITE_MISUSE, "zero byte in a name"))?;
        let data = Box::into_raw(Box::new(Function {
            shared: self.shared,
            call: Box::new(function),
        }));
        let pure = if pure { ffi::SQLITE_DETERMINISTIC } else { 0 };
        // Innocuous: defaults, checks and triggers may call it though the schema is not trusted.
        // SAFETY: SQLite owns `data` from here on and frees it with `free`, also when this call fails.
        let code = unsafe {
            ffi::sqlite3_create_function_v2(
                self.raw.as_ptr(),
                name.as_ptr(),
                arity.into(),
                ffi::SQLITE_UTF8 | ffi::SQLITE_INNOCUOUS | pure,
                data.cast(),
                Some(call),
                None,
                None,
                Some(free::<Function>),
            )
        };
        self.check(code)
    }

    /// Registers the aggregate `name` of `arity` arguments. `step` takes a row into the state of its
    /// group, `finish` makes the answer; a group without rows is finished from the default state.
    /// Errors and panics are as those of [`Connection::function`].
    ///
    /// # Errors
    /// SQLite's, for a name or arity that it does not take.
    pub fn aggregate<S: Default + 'static>(
        &self,
        name: &str,
        arity: i8,
        step: fn(&mut S, &[ValueRef<'_>]) -> Result<(), DataError>,
        finish: fn(S) -> Result<Value, DataError>,
    ) -> Result<(), SqliteError> {
        let name =
            CString::new(name).map_err(|_| own(ffi::SQLITE_MISUSE, "zero byte in a name"))?;
        let data = Box::into_raw(Box::new(Aggregate {
            shared: self.shared,
            step,
            finish,
        }));
        // SAFETY: SQLite owns `data` from here on and frees it with `free`, also when this call fails.
        let code = unsafe {
            ffi::sqlite3_create_function_v2(
                self.raw.as_ptr(),
                name.as_ptr(),
                arity.into(),
                ffi::SQLITE_UTF8 | ffi::SQLITE_INNOCUOUS,
                data.cast(),
                None,
                Some(aggregate_step::<S>),
                Some(aggregate_finish::<S>),
                Some(free::<Aggregate<S>>),
            )
        };
        self.check(code)
    }

    /// Registers the collation `name`. The order must be total; a panic in it is taken as equality.
    ///
    /// # Errors
    /// SQLite's.
    pub fn collation(
        &self,
        name: &str,
        compare: fn(&[u8], &[u8]) -> Ordering,
    ) -> Result<(), SqliteError> {
        let name =
            CString::new(name).map_err(|_| own(ffi::SQLITE_MISUSE, "zero byte in a name"))?;
        let data = Box::into_raw(Box::new(compare));
        // SAFETY: `data` is freed by SQLite when the collation goes; when this call fails it is not,
        // which leaks the size of a pointer.
        let code = unsafe {
            ffi::sqlite3_create_collation_v2(
                self.raw.as_ptr(),
                name.as_ptr(),
                ffi::SQLITE_UTF8,
                data.cast(),
                Some(collate),
                Some(free::<Compare>),
            )
        };
        self.check(code)
    }

    /// VM steps taken since the last time: the measure of a statement's work that is the same on any
    /// machine.
    pub fn take_steps(&self) -> u64 {
        self.shared().steps.replace(0)
    }

    /// Who calls, for the functions that answer it.
    pub fn set_context(&self, context: Context) {
        self.shared().context.replace(context);
    }

    /// When the transaction began, for `now()`.
    pub fn set_now(&self, now: SystemTime) {
        self.shared().now.set(now);
    }

    /// From now on statements end at `deadline` (57014), and when they have taken `steps` of the
    /// virtual machine ([`Connection::over_budget`]).
    pub fn limit(&self, deadline: Option<Instant>, steps: Option<u64>) {
        let shared = self.shared();
        shared.deadline.set(deadline);
        shared.budget.set(steps);
        shared.brief.set(None);
        shared.calls.set((0, 0));
        shared.stop.set(None);
        shared.busy.set(false);
    }

    /// As [`Connection::limit`] for a caller that may not wait: what goes on after `until`, or calls a
    /// function with more text than is read in that time, is over budget too.
    pub fn limit_in_place(&self, deadline: Instant, steps: u64, until: Instant) {
        self.limit(Some(deadline), Some(steps));
        self.shared().brief.set(Some(until));
    }

    /// Takes the limits back; what they did is still known.
    pub fn limit_end(&self) {
        self.shared().deadline.set(None);
        self.shared().budget.set(None);
        self.shared().brief.set(None);
    }

    /// Whether a statement was ended since [`Connection::limit`] because it took too long, or met
    /// another process's lock: what a caller that may not wait asks.
    pub fn over_budget(&self) -> bool {
        self.shared().stop.get() == Some(Stop::Budget) || self.shared().busy.get()
    }

    /// While set, statements outside a transaction are refused with [`DataError::TransactionEnded`].
    pub fn hold_transaction(&self, held: bool) {
        self.shared().held.set(held);
    }

    pub fn set_busy_timeout(&self, timeout: Duration) {
        let milliseconds = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
        // SAFETY: an open connection.
        unsafe { ffi::sqlite3_busy_timeout(self.raw.as_ptr(), milliseconds) };
    }

    /// Whether a transaction is open.
    pub fn in_transaction(&self) -> bool {
        // SAFETY: an open connection.
        unsafe { ffi::sqlite3_get_autocommit(self.raw.as_ptr()) == 0 }
    }

    /// Whether the open transaction breaks a foreign key that is checked at COMMIT.
    pub fn deferred_foreign_keys(&self) -> bool {
        let (mut current, mut highest) = (0, 0);
        // SAFETY: an open connection and two places for numbers.
        unsafe {
            ffi::sqlite3_db_status(
                self.raw.as_ptr(),
                ffi::SQLITE_DBSTATUS_DEFERRED_FKS,
                &mut current,
                &mut highest,
                0,
            );
        }
        current != 0
    }

    /// COMMIT fails when `allow` says false.
    #[cfg(test)]
    pub fn on_commit(&self, allow: impl Fn() -> bool + Send + 'static) {
        unsafe extern "C" fn hook(data: *mut c_void) -> c_int {
            // SAFETY: the box below, which lives for ever.
            let allow = unsafe { &*data.cast::<Box<dyn Fn() -> bool + Send>>() };
            c_int::from(!allow())
        }
        let data: Box<Box<dyn Fn() -> bool + Send>> = Box::new(Box::new(allow));
        // SAFETY: the data is leaked, so it outlives the connection.
        unsafe {
            ffi::sqlite3_commit_hook(self.raw.as_ptr(), Some(hook), Box::into_raw(data).cast());
        }
    }

    pub fn interrupt(&self) -> Interrupt {
        self.interrupt.clone()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.interrupt.0.lock().0 = ptr::null_mut();
        self.statements.get_mut().clear();
        // SAFETY: all statements are finalized, so the handle closes at once and calls back no more;
        // then nothing else points to `shared`.
        unsafe {
            ffi::sqlite3_close(self.raw.as_ptr());
            drop(Box::from_raw(self.shared.as_ptr()));
        }
    }
}

/// Makes a statement ready for its next use, whatever happened.
struct Running<'c> {
    statement: &'c Statement,
    shared: &'c Shared,
    bound: bool,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let raw = self.statement.raw;
        // SAFETY: a prepared statement of an open connection.
        let steps = unsafe {
            let steps = ffi::sqlite3_stmt_status(raw, ffi::SQLITE_STMTSTATUS_VM_STEP, 1);
            ffi::sqlite3_reset(raw);
            if self.bound {
                ffi::sqlite3_clear_bindings(raw);
            }
            steps
        };
        let steps = u64::try_from(steps).unwrap_or(0);
        self.shared.steps.set(self.shared.steps.get() + steps);
        if let Some(budget) = self.shared.budget.get() {
            self.shared.budget.set(Some(budget.saturating_sub(steps)));
        }
    }
}

type Statements = HashMap<Box<str>, (Rc<Statement>, u64)>;
type Compare = fn(&[u8], &[u8]) -> Ordering;
type Call = dyn Fn(&Context, SystemTime, &[ValueRef<'_>]) -> Result<Value, DataError> + Send;

struct Function {
    shared: NonNull<Shared>,
    call: Box<Call>,
}

struct Aggregate<S> {
    shared: NonNull<Shared>,
    step: fn(&mut S, &[ValueRef<'_>]) -> Result<(), DataError>,
    finish: fn(S) -> Result<Value, DataError>,
}

/// # Safety
/// `data` came from `Box::<T>::into_raw` and is not used again.
unsafe extern "C" fn free<T>(data: *mut c_void) {
    // SAFETY: as the caller promises. What is freed has no drop code that could panic but its captures'.
    let _ = catch_unwind(AssertUnwindSafe(|| unsafe {
        drop(Box::from_raw(data.cast::<T>()))
    }));
}

/// # Safety
/// SQLite calls it with the `Shared` of an open connection.
unsafe extern "C" fn look(shared: *mut c_void) -> c_int {
    // SAFETY: as the caller promises; only shared borrows exist.
    let shared = unsafe { &*shared.cast::<Shared>() };
    let stepped = shared.stepped.get() + STEPS_PER_LOOK as u64;
    shared.stepped.set(stepped);
    let stop = match shared.budget.get().is_some_and(|budget| stepped > budget) {
        true => Some(Stop::Budget),
        false => shared.late(),
    };
    match stop {
        Some(stop) => {
            shared.stop.set(Some(stop));
            1
        }
        None => 0,
    }
}

impl Shared {
    /// What the clock says.
    fn late(&self) -> Option<Stop> {
        let (deadline, brief) = (self.deadline.get(), self.brief.get());
        if deadline.is_none() && brief.is_none() {
            return None;
        }
        let now = Instant::now();
        if brief.is_some_and(|at| now >= at) {
            Some(Stop::Budget)
        } else if deadline.is_some_and(|at| now >= at) {
            Some(Stop::Deadline)
        } else {
            None
        }
    }

    /// Before a function is called: SQLite itself looks at the clock only after many steps, and each call
    /// is one.
    ///
    /// `slow`: the call may take more than a look at each byte, so a long text is not for who may not wait.
    fn may_call(&self, args: &[ValueRef<'_>], slow: bool) -> Result<(), DataError> {
        let bytes = args.iter().map(|arg| match arg {
            ValueRef::Text(text) => text.len(),
            ValueRef::Blob(blob) => blob.len(),
            ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => 0,
        });
        let bytes = bytes.sum::<usize>();
        let (calls, before) = self.calls.get();
        let looks = calls + 1 >= CALLS_PER_LOOK || before + bytes >= CALL_BYTES_PER_LOOK;
        if !looks {
            self.calls.set((calls + 1, before + bytes));
            return Ok(());
        }
        self.calls.set((0, 0));
        let stop = match self.brief.get() {
            Some(_) if slow && bytes >= CALL_BYTES_PER_LOOK => Some(Stop::Budget),
            _ => self.late(),
        };
        match stop {
            Some(stop) => {
                self.stop.set(Some(stop));
                Err(timed_out())
            }
            None => Ok(()),
        }
    }
}

/// # Safety
/// SQLite calls it with the `Shared` of an open connection and strings or nulls.
unsafe extern "C" fn authorize(
    shared: *mut c_void,
    action: c_int,
    first: *const c_char,
    second: *const c_char,
    _database: *const c_char,
    within: *const c_char,
) -> c_int {
    // SAFETY: as the caller promises.
    let shared = unsafe { &*shared.cast::<Shared>() };
    let Some(access) = shared.guest.get() else {
        return ffi::SQLITE_OK;
    };
    // SAFETY: as the caller promises; the strings live during this call.
    let text = |raw: *const c_char| unsafe {
        (!raw.is_null()).then(|| CStr::from_ptr(raw).to_str().unwrap_or("\u{fffd}."))
    };
    let verdict = catch_unwind(AssertUnwindSafe(|| {
        guard::authorize(access, action, text(first), text(second), text(within))
    }));
    let error = match verdict {
        Ok(Ok(())) => return ffi::SQLITE_OK,
        Ok(Err(fault)) => fault.into(),
        Err(panic) => panicked(panic.as_ref()),
    };
    shared.cause.replace(Some(error));
    ffi::SQLITE_DENY
}

/// # Safety
/// SQLite calls it for a function registered by `context_function`, with `count` arguments.
unsafe extern "C" fn call(
    context: *mut ffi::sqlite3_context,
    count: c_int,
    values: *mut *mut ffi::sqlite3_value,
) {
    // SAFETY: the user data is the `Function` given at registration; its `shared` lives until the
    // connection is closed; the values live during this call.
    let (function, shared, values) = unsafe {
        let function = &*ffi::sqlite3_user_data(context).cast::<Function>();
        let count = usize::try_from(count).unwrap_or(0);
        let values = match count {
            0 => &[],
            count => std::slice::from_raw_parts(values, count),
        };
        (function, function.shared.as_ref(), values)
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let call = |args: &[ValueRef<'_>]| {
            shared.may_call(args, true)?;
            (function.call)(&shared.context.borrow(), shared.now.get(), args)
        };
        // SAFETY: values of this call.
        unsafe { with_arguments(values, call) }
    }))
    .unwrap_or_else(|panic| Err(panicked(panic.as_ref())));
    // SAFETY: the context of this call.
    unsafe { answer(context, shared, outcome) };
}

/// # Safety
/// SQLite calls it for an aggregate registered with state `S`, with `count` arguments.
unsafe extern "C" fn aggregate_step<S: Default>(
    context: *mut ffi::sqlite3_context,
    count: c_int,
    values: *mut *mut ffi::sqlite3_value,
) {
    // SAFETY: the user data is the `Aggregate` given at registration; the values live during this call;
    // SQLite keeps room for a pointer per group, null at first.
    let (aggregate, shared, values, state) = unsafe {
        let aggregate = &*ffi::sqlite3_user_data(context).cast::<Aggregate<S>>();
        let values = match usize::try_from(count) {
            Ok(count) if count > 0 => std::slice::from_raw_parts(values, count),
            _ => &[],
        };
        let room = ffi::sqlite3_aggregate_context(context, size_of::<*mut S>() as c_int);
        (
            aggregate,
            aggregate.shared.as_ref(),
            values,
            room.cast::<*mut S>(),
        )
    };
    if state.is_null() {
        // SAFETY: the context of this call.
        return unsafe { ffi::sqlite3_result_error_nomem(context) };
    }
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the room is ours; what it points to came from the box, and `aggregate_finish` takes
        // it back after the last step.
        let state = unsafe {
            if (*state).is_null() {
                *state = Box::into_raw(Box::<S>::default());
            }
            &mut **state
        };
        // SAFETY: values of this call.
        unsafe {
            with_arguments(values, |args| {
                shared.may_call(args, false)?;
                (aggregate.step)(state, args)
            })
        }
    }))
    .unwrap_or_else(|panic| Err(panicked(panic.as_ref())));
    if let Err(error) = outcome {
        // SAFETY: the context of this call.
        unsafe { answer(context, shared, Err(error)) };
    }
}

/// # Safety
/// SQLite calls it once per group of an aggregate registered with state `S`, also when the statement
/// ends early.
unsafe extern "C" fn aggregate_finish<S: Default>(context: *mut ffi::sqlite3_context) {
    // SAFETY: as in `aggregate_step`; without a step there is no room, and a size of 0 makes none.
    let (aggregate, shared, state) = unsafe {
        let aggregate = &*ffi::sqlite3_user_data(context).cast::<Aggregate<S>>();
        let room = ffi::sqlite3_aggregate_context(context, 0).cast::<*mut S>();
        let state = match room.is_null() || (*room).is_null() {
            true => None,
            false => Some(Box::from_raw(std::mem::replace(
                &mut *room,
                ptr::null_mut(),
            ))),
        };
        (aggregate, aggregate.shared.as_ref(), state)
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        (aggregate.finish)(state.map(|state| *state).unwrap_or_default())
    }))
    .unwrap_or_else(|panic| Err(panicked(panic.as_ref())));
    // SAFETY: the context of this call.
    unsafe { answer(context, shared, outcome) };
}

/// # Safety
/// `values` are the arguments of the running call.
unsafe fn with_arguments<R>(
    values: &[*mut ffi::sqlite3_value],
    call: impl FnOnce(&[ValueRef<'_>]) -> R,
) -> R {
    let mut few = [ValueRef::Null; 8];
    if values.len() <= few.len() {
        for (place, value) in few.iter_mut().zip(values) {
            // SAFETY: a value of this call.
            *place = unsafe { argument(*value) };
        }
        return call(&few[..values.len()]);
    }
    // SAFETY: values of this call.
    let many: Vec<_> = values.iter().map(|v| unsafe { argument(*v) }).collect();
    call(&many)
}

/// # Safety
/// `context` is that of the running call.
unsafe fn answer(
    context: *mut ffi::sqlite3_context,
    shared: &Shared,
    outcome: Result<Value, DataError>,
) {
    let copy = ffi::SQLITE_TRANSIENT();
    // SAFETY: the context of this call; SQLite copies the bytes.
    unsafe {
        match outcome {
            Ok(Value::Null) => ffi::sqlite3_result_null(context),
            Ok(Value::Integer(value)) => ffi::sqlite3_result_int64(context, value),
            Ok(Value::Real(value)) => ffi::sqlite3_result_double(context, value),
            Ok(Value::Text(text)) => ffi::sqlite3_result_text64(
                context,
                text.as_ptr().cast(),
                text.len() as u64,
                copy,
                ffi::SQLITE_UTF8 as u8,
            ),
            Ok(Value::Blob(blob)) => {
                ffi::sqlite3_result_blob64(context, blob.as_ptr().cast(), blob.len() as u64, copy)
            }
            Err(error) => {
                shared.cause.replace(Some(error));
                ffi::sqlite3_result_error(context, c"refused".as_ptr(), -1);
            }
        }
    }
}

/// # Safety
/// `value` is an argument of the running call, in which `'v` ends.
unsafe fn argument<'v>(value: *mut ffi::sqlite3_value) -> ValueRef<'v> {
    // SAFETY: as the caller promises; each value is read as the type it has, so its bytes stay.
    unsafe {
        match ffi::sqlite3_value_type(value) {
            ffi::SQLITE_INTEGER => ValueRef::Integer(ffi::sqlite3_value_int64(value)),
            ffi::SQLITE_FLOAT => ValueRef::Real(ffi::sqlite3_value_double(value)),
            ffi::SQLITE_TEXT => {
                let text = ffi::sqlite3_value_text(value);
                text_or_blob(bytes(text, ffi::sqlite3_value_bytes(value)))
            }
            ffi::SQLITE_BLOB => {
                let blob = ffi::sqlite3_value_blob(value);
                ValueRef::Blob(bytes(blob.cast(), ffi::sqlite3_value_bytes(value)))
            }
            _ => ValueRef::Null,
        }
    }
}

/// # Safety
/// SQLite calls it with the data of `collation` and two strings with their lengths.
unsafe extern "C" fn collate(
    data: *mut c_void,
    left_length: c_int,
    left: *const c_void,
    right_length: c_int,
    right: *const c_void,
) -> c_int {
    // SAFETY: as the caller promises.
    let (compare, left, right) = unsafe {
        (
            *data.cast::<Compare>(),
            bytes(left.cast(), left_length),
            bytes(right.cast(), right_length),
        )
    };
    catch_unwind(AssertUnwindSafe(|| compare(left, right))).map_or(0, |order| order as c_int)
}

/// What a panic said, as an error.
pub fn panicked(panic: &(dyn Any + Send)) -> DataError {
    let words = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no words");
    DataError::Internal(format!("panic: {words}"))
}

fn timed_out() -> DataError {
    DataError::sql("57014", "canceling statement due to statement timeout")
}

fn own(code: c_int, message: &str) -> SqliteError {
    SqliteError {
        extended_code: code,
        message: message.to_owned(),
        offset: None,
        cause: None,
    }
}

fn refused(fault: SqlFault) -> SqliteError {
    caused(fault.into())
}

fn caused(error: DataError) -> SqliteError {
    SqliteError {
        extended_code: ffi::SQLITE_ABORT,
        message: error.to_string(),
        offset: None,
        cause: Some(Box::new(error)),
    }
}
