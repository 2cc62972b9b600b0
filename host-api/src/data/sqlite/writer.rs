//! The one writer of a database: a thread of its own, started at first use and ended when idle.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::{Connection, File, closed, errors, guarded, sql};
use crate::data::Context;
use crate::data::DataError;

/// Jobs that share a transaction at most.
const GROUP_MAX: usize = 256;

/// How often a group starts over without a job that undid the whole transaction, before each of its
/// jobs runs alone.
const REGROUPS_MAX: usize = 2;

pub(super) struct Writer(Arc<Shared>);

struct Shared {
    file: Arc<File>,
    queue: Mutex<Queue>,
    wake: Condvar,
}

struct Queue {
    waiting: VecDeque<Message>,
    /// Whether the thread runs.
    running: bool,
    /// The thread is to end once nothing waits.
    leave: bool,
    closed: bool,
    /// Nothing is accepted for now.
    frozen: bool,
    used: Instant,
}

enum Message {
    Job(Box<dyn Queued>),
    Session(Opening),
    Close(oneshot::Sender<()>),
}

/// A write that waits: its job, its outcome once it ran, and who wants to know.
trait Queued: Send {
    /// Runs the job in a savepoint. The error when it failed: nothing of it is left then.
    fn run(&mut self, connection: &Connection) -> Option<DataError>;
    /// Replaces the outcome.
    fn fail(&mut self, error: DataError);
    /// Answers.
    fn answer(self: Box<Self>);
}

struct Job<T, F> {
    job: F,
    context: Context,
    timeout: Duration,
    outcome: Option<Result<T, DataError>>,
    caller: oneshot::Sender<Result<T, DataError>>,
}

impl<T, F> Queued for Job<T, F>
where
    T: Send,
    F: FnMut(&Connection) -> Result<T, DataError> + Send,
{
    fn run(&mut self, connection: &Connection) -> Option<DataError> {
        connection.set_context(self.context.clone());
        connection.set_now(SystemTime::now());
        connection.limit(Some(Instant::now() + self.timeout), None);
        let outcome = savepoint(connection, true, &mut self.job);
        let error = outcome.as_ref().err().map(again);
        self.outcome = Some(outcome);
        error
    }

    fn fail(&mut self, error: DataError) {
        self.outcome = Some(Err(error));
    }

    fn answer(self: Box<Self>) {
        let outcome = self.outcome.unwrap_or_else(|| Err(closed()));
        // A caller that went away does not want it.
        let _ = self.caller.send(outcome);
    }
}

/// Runs `job` in a savepoint, which an error, a panic or a broken foreign key undoes.
fn savepoint<T>(
    connection: &Connection,
    ends_here: bool,
    job: impl FnOnce(&Connection) -> Result<T, DataError>,
) -> Result<T, DataError> {
    connection.execute(sql::SAVEPOINT, &[])?;
    let outcome = guarded(connection, job).and_then(|value| {
        // Of a session it is asked at its commit.
        if ends_here && connection.deferred_foreign_keys() {
            return Err(errors::broken_foreign_key(connection));
        }
        Ok(value)
    });
    connection.limit_end();
    // SQLite itself undoes the transaction after some errors; then there is no savepoint.
    if !connection.in_transaction() {
        return outcome.and(Err(DataError::TransactionEnded));
    }
    let undone = match outcome.is_err() {
        true => connection.execute(sql::ROLLBACK_TO, &[]).map(drop),
        false => Ok(()),
    };
    let ended = undone.and_then(|()| connection.execute(sql::RELEASE, &[]).map(drop));
    if let Err(error) = ended {
        // Nothing of a failed job may stay: then all of it goes.
        undo(connection);
        return Err(error.into());
    }
    outcome
}

impl Writer {
    pub(super) fn new(file: Arc<File>) -> Writer {
        Writer(Arc::new(Shared {
            file,
            queue: Mutex::new(Queue {
                waiting: VecDeque::new(),
                running: false,
                leave: false,
                closed: false,
                frozen: false,
                used: Instant::now(),
            }),
            wake: Condvar::new(),
        }))
    }

    pub(super) async fn write<T: Send + 'static>(
        &self,
        context: Context,
        timeout: Duration,
        job: impl FnMut(&Connection) -> Result<T, DataError> + Send + 'static,
    ) -> Result<T, DataError> {
        let (caller, answer) = oneshot::channel();
        self.push(Message::Job(Box::new(Job {
            job,
            context,
            timeout,
            outcome: None,
            caller,
        })))?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    pub(super) async fn begin(
        &self,
        context: Context,
        deadline: Instant,
        held: Option<Duration>,
    ) -> Result<Session, DataError> {
        let (caller, answer) = oneshot::channel();
        self.push(Message::Session(Opening {
            context,
            deadline,
            held,
            caller,
        }))?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    fn push(&self, message: Message) -> Result<(), DataError> {
        let mut queue = self.0.queue.lock();
        if queue.closed {
            return Err(closed());
        }
        if queue.frozen {
            return Err(DataError::Moving);
        }
        if queue.waiting.len() >= self.0.file.options.queue_max {
            return Err(DataError::sql("53300", "too many writes wait already"));
        }
        queue.waiting.push_back(message);
        queue.used = Instant::now();
        queue.leave = false;
        self.start(&mut queue)
    }

    pub(super) async fn freeze(&self) -> Result<(), DataError> {
        let (caller, answer) = oneshot::channel();
        {
            let mut queue = self.0.queue.lock();
            if queue.closed {
                return Err(closed());
            }
            queue.frozen = true;
            if !queue.running && !self.0.file.path.exists() {
                // Nothing was accepted, and to ask would make the file.
                return Ok(());
            }
            // The last in the line: when it is answered, so are all before it.
            queue.waiting.push_back(Message::Job(Box::new(Job {
                job: |_: &Connection| Ok(()),
                context: Context::default(),
                timeout: super::BUSY_TIMEOUT,
                outcome: None,
                caller,
            })));
            queue.leave = false;
            self.start(&mut queue)?;
        }
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    pub(super) fn thaw(&self) {
        self.0.queue.lock().frozen = false;
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.0.queue.lock().frozen
    }

    /// Wakes the thread, or starts it.
    fn start(&self, queue: &mut Queue) -> Result<(), DataError> {
        if queue.running {
            self.0.wake.notify_one();
            return Ok(());
        }
        let shared = Arc::clone(&self.0);
        std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || shared.serve())
            .map_err(|error| {
                queue.waiting.clear();
                DataError::Unavailable(Box::new(error))
            })?;
        queue.running = true;
        Ok(())
    }

    pub(super) fn close_idle(&self, idle: Duration) {
        let mut queue = self.0.queue.lock();
        if queue.running && queue.waiting.is_empty() && queue.used.elapsed() >= idle {
            queue.leave = true;
            self.0.wake.notify_one();
        }
    }

    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        {
            let mut queue = self.0.queue.lock();
            queue.closed = true;
            if !queue.running {
                return;
            }
            queue.waiting.push_back(Message::Close(done));
            self.0.wake.notify_one();
        }
        // An error means that the thread has ended, which is as good.
        let _ = closed.await;
    }
}

impl Drop for Writer {
    /// What was accepted is still done; then the thread ends.
    fn drop(&mut self) {
        self.0.queue.lock().leave = true;
        self.0.wake.notify_one();
    }
}

/// If the writer's thread dies of a panic, those who wait are told, and the next write begins another.
struct Alive<'s>(&'s Shared);

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut queue = self.0.queue.lock();
            queue.running = false;
            queue.waiting.clear();
        }
    }
}

impl Shared {
    fn serve(&self) {
        let _alive = Alive(self);
        let mut connection = None;
        let mut closers = Vec::new();
        loop {
            let Some(message) = self.next() else {
                drop(connection.take());
                let mut queue = self.queue.lock();
                if queue.waiting.is_empty() {
                    queue.running = false;
                    break;
                }
                continue;
            };
            if let Message::Close(done) = message {
                closers.push(done);
                self.queue.lock().leave = true;
                continue;
            }
            let open = match connection.take() {
                Some(open) => Ok(open),
                None => self.file.open_writer(),
            };
            let open = match open {
                Ok(open) => open,
                Err(error) => {
                    refuse(message, error);
                    continue;
                }
            };
            let sound = match message {
                Message::Job(job) => self.group(&open, job),
                Message::Session(opening) => opening.serve(&open),
                Message::Close(_) => true,
            };
            // After an input/output error pages in memory may not be what is on disk: read it anew.
            if sound {
                connection = Some(open);
            }
        }
        for done in closers {
            let _ = done.send(());
        }
    }

    /// The next message; `None` when the thread is to end.
    fn next(&self) -> Option<Message> {
        let mut queue = self.queue.lock();
        loop {
            if let Some(message) = queue.waiting.pop_front() {
                return Some(message);
            }
            if queue.leave {
                return None;
            }
            if self
                .wake
                .wait_for(&mut queue, self.file.options.idle)
                .timed_out()
                && queue.waiting.is_empty()
            {
                return None;
            }
        }
    }

    /// The next message, if it may join the group.
    fn next_job(&self) -> Option<Box<dyn Queued>> {
        let mut queue = self.queue.lock();
        match queue.waiting.pop_front() {
            Some(Message::Job(job)) => Some(job),
            Some(other) => {
                queue.waiting.push_front(other);
                None
            }
            None => None,
        }
    }

    /// Runs `first` and what waits behind it in one transaction, and answers. False when the
    /// connection is not to be used again.
    fn group(&self, connection: &Connection, first: Box<dyn Queued>) -> bool {
        let started = Instant::now();
        let mut jobs = vec![first];
        let (mut kept, mut lost) = match Group::begin(connection) {
            Ok(group) => {
                let mut group = group;
                let mut taken = 0;
                loop {
                    let Some(job) = jobs.pop().or_else(|| {
                        let room =
                            taken < GROUP_MAX && started.elapsed() < self.file.options.group_work;
                        room.then(|| self.next_job()).flatten()
                    }) else {
                        break;
                    };
                    taken += 1;
                    if !group.add(job) {
                        break;
                    }
                }
                group.end()
            }
            Err(error) => return fail(jobs, error),
        };
        let mut regroups = 0;
        while let Some(failure) = lost {
            if failure.broken {
                return fail(kept, failure.error);
            }
            if kept.is_empty() {
                return true;
            }
            // Together again without the job that undid it; alone when it was COMMIT, or when that
            // does not help.
            let size = if failure.at_commit || regroups == REGROUPS_MAX {
                1
            } else {
                kept.len()
            };
            regroups += 1;
            if size == 1 {
                return alone(connection, kept);
            }
            let again = std::mem::take(&mut kept);
            match Group::begin(connection) {
                Ok(mut group) => {
                    let mut rest = again.into_iter();
                    for job in rest.by_ref() {
                        if !group.add(job) {
                            break;
                        }
                    }
                    (kept, lost) = group.end();
                    kept.extend(rest);
                }
                Err(error) => return fail(again, error),
            }
        }
        true
    }
}

/// Runs each of `jobs` in its own transaction.
fn alone(connection: &Connection, jobs: Vec<Box<dyn Queued>>) -> bool {
    let mut jobs = jobs.into_iter();
    while let Some(job) = jobs.next() {
        let mut group = match Group::begin(connection) {
            Ok(group) => group,
            Err(error) => return fail(std::iter::once(job).chain(jobs), error),
        };
        group.add(job);
        let (mut left, failure) = group.end();
        if let Some(failure) = failure {
            // Its own failure, if any of it is left to answer.
            if failure.broken {
                left.extend(jobs);
                return fail(left, failure.error);
            }
            fail(left, failure.error);
        }
    }
    true
}

/// Answers all of `jobs` with `error`. Always false: the connection is not to be used again.
fn fail(jobs: impl IntoIterator<Item = Box<dyn Queued>>, error: DataError) -> bool {
    for mut job in jobs {
        job.fail(again(&error));
        job.answer();
    }
    false
}

fn refuse(message: Message, error: DataError) {
    match message {
        Message::Job(job) => {
            fail([job], error);
        }
        Message::Session(opening) => {
            let _ = opening.caller.send(Err(error));
        }
        Message::Close(_) => {}
    }
}

/// The same error for one more caller.
fn again(error: &DataError) -> DataError {
    match error {
        DataError::Sql(fault) => DataError::Sql(fault.clone()),
        DataError::Unavailable(cause) => DataError::Unavailable(cause.to_string().into()),
        DataError::Moved(to) => DataError::Moved(to.clone()),
        error => DataError::Internal(error.to_string()),
    }
}

/// A transaction that jobs share.
struct Group<'c> {
    connection: &'c Connection,
    /// Those that have run, also in vain: what they saw is not true before COMMIT.
    jobs: Vec<Box<dyn Queued>>,
    lost: Option<Lost>,
}

/// Why a transaction that jobs shared is gone.
struct Lost {
    error: DataError,
    at_commit: bool,
    /// The file failed.
    broken: bool,
}

impl<'c> Group<'c> {
    fn begin(connection: &'c Connection) -> Result<Group<'c>, DataError> {
        connection.limit(None, None);
        connection.execute(sql::BEGIN_WRITE, &[])?;
        connection.hold_transaction(true);
        Ok(Group {
            connection,
            jobs: Vec::new(),
            lost: None,
        })
    }

    /// Runs `job`. False when the transaction is gone with it.
    fn add(&mut self, mut job: Box<dyn Queued>) -> bool {
        let error = job.run(self.connection);
        self.jobs.push(job);
        if self.connection.in_transaction() {
            return true;
        }
        let error = error.unwrap_or(DataError::TransactionEnded);
        self.lost = Some(Lost {
            at_commit: false,
            broken: errors::is_file_error(&error),
            error,
        });
        false
    }

    /// Commits and answers. When the transaction is gone, the jobs that are not to blame come back.
    fn end(mut self) -> (Vec<Box<dyn Queued>>, Option<Lost>) {
        self.connection.hold_transaction(false);
        self.connection.limit(None, None);
        if self.lost.is_some() {
            if let Some(guilty) = self.jobs.pop() {
                guilty.answer();
            }
        } else if let Err(error) = self.connection.execute(sql::COMMIT, &[]) {
            if self.connection.in_transaction() {
                // When this fails too, the next BEGIN says so.
                let _ = self.connection.execute(sql::ROLLBACK, &[]);
            }
            let error = DataError::from(error);
            self.lost = Some(Lost {
                at_commit: true,
                broken: errors::is_file_error(&error),
                error,
            });
        } else {
            self.jobs.drain(..).for_each(|job| job.answer());
        }
        (self.jobs, self.lost)
    }
}

struct Opening {
    context: Context,
    /// Until when it waits for the writer; without `held`, until when it may keep it too.
    deadline: Instant,
    /// How long it may keep the writer, once it has it.
    held: Option<Duration>,
    caller: oneshot::Sender<Result<Session, DataError>>,
}

type Step = Box<dyn FnOnce(&Connection) + Send>;

enum Command {
    Run(Step),
    Context(Context),
    Commit(oneshot::Sender<Result<(), DataError>>),
    Rollback(oneshot::Sender<()>),
}

/// The writer for oneself, in one transaction. Dropped, it rolls back.
pub struct Session {
    commands: mpsc::Sender<Command>,
}

impl Session {
    /// Runs `job` in the transaction. When it fails, what it did is undone and the session lives on,
    /// unless SQLite gave up the whole transaction (a statement at its deadline, a full disk).
    ///
    /// # Errors
    /// `job`'s; [`DataError::TransactionEnded`] after the deadline.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, DataError> + Send + 'static,
    ) -> Result<T, DataError> {
        let (caller, answer) = oneshot::channel();
        self.send(Command::Run(Box::new(move |connection| {
            let _ = caller.send(savepoint(connection, false, job));
        })))?;
        answer.await.map_err(|_| DataError::TransactionEnded)?
    }

    /// Who calls from now on.
    ///
    /// # Errors
    /// [`DataError::TransactionEnded`] after the deadline.
    pub async fn set_context(&self, context: Context) -> Result<(), DataError> {
        self.send(Command::Context(context))
    }

    /// Resolves when the transaction is on disk.
    ///
    /// # Errors
    /// [`DataError::TransactionEnded`] after the deadline; SQLite's when COMMIT fails.
    pub async fn commit(self) -> Result<(), DataError> {
        let (caller, answer) = oneshot::channel();
        self.send(Command::Commit(caller))?;
        answer.await.map_err(|_| DataError::TransactionEnded)?
    }

    /// Resolves when the transaction is undone.
    pub async fn rollback(self) {
        let (caller, answer) = oneshot::channel();
        if self.send(Command::Rollback(caller)).is_ok() {
            // An error means that it has ended by itself.
            let _ = answer.await;
        }
    }

    fn send(&self, command: Command) -> Result<(), DataError> {
        self.commands
            .send(command)
            .map_err(|_| DataError::TransactionEnded)
    }
}

impl Opening {
    /// Serves the session to its end. False when the connection is not to be used again.
    fn serve(self, connection: &Connection) -> bool {
        if Instant::now() >= self.deadline {
            let _ = self.caller.send(Err(match self.held {
                None => DataError::TransactionEnded,
                Some(_) => DataError::sql("53300", "too many writes are waiting"),
            }));
            return true;
        }
        let deadline = self
            .held
            .map_or(self.deadline, |held| Instant::now() + held);
        connection.limit(None, None);
        if let Err(error) = connection.execute(sql::BEGIN_WRITE, &[]) {
            let _ = self.caller.send(Err(error.into()));
            return false;
        }
        connection.hold_transaction(true);
        connection.set_context(self.context);
        connection.set_now(SystemTime::now());
        let (sender, commands) = mpsc::channel();
        let mut last = None;
        if self.caller.send(Ok(Session { commands: sender })).is_ok() {
            last = converse(connection, &commands, deadline);
        }
        // Who sends from now on is told that it has ended.
        drop(commands);
        connection.hold_transaction(false);
        connection.limit(None, None);
        match last {
            Some(Command::Commit(caller)) => {
                let outcome = if connection.in_transaction() {
                    if connection.deferred_foreign_keys() {
                        let error = errors::broken_foreign_key(connection);
                        let sound = undo(connection);
                        let _ = caller.send(Err(error));
                        return sound;
                    }
                    connection.execute(sql::COMMIT, &[])
                } else {
                    let _ = caller.send(Err(DataError::TransactionEnded));
                    return true;
                };
                let sound = undo(connection);
                let outcome = outcome.map(|_| ()).map_err(DataError::from);
                let broken = outcome.as_ref().is_err_and(errors::is_file_error);
                let _ = caller.send(outcome);
                sound && !broken
            }
            Some(Command::Rollback(caller)) => {
                let sound = undo(connection);
                let _ = caller.send(());
                sound
            }
            _ => undo(connection),
        }
    }
}

/// Does what the session says until it ends; its last word, if it had one before the deadline.
fn converse(
    connection: &Connection,
    commands: &mpsc::Receiver<Command>,
    deadline: Instant,
) -> Option<Command> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match commands.recv_timeout(left) {
            _ if Instant::now() >= deadline => return None,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            Ok(Command::Run(step)) => {
                connection.limit(Some(deadline), None);
                step(connection);
                if !connection.in_transaction() {
                    return None;
                }
            }
            Ok(Command::Context(context)) => connection.set_context(context),
            Ok(last) => return Some(last),
        }
    }
}

fn undo(connection: &Connection) -> bool {
    !connection.in_transaction() || connection.execute(sql::ROLLBACK, &[]).is_ok()
}
