//! The apps' logs: outcome records and guests' lines, in rotated files of JSON lines.
//!
//! Nothing waits for the log. Records go through a bounded queue to one thread; when the queue is
//! full they are dropped and counted, and the count goes to the server's own log. What guests write
//! may fill a part of the queue, and what those of one app write a part of that, so that a flood of
//! lines costs neither other apps their lines nor anybody the outcome records.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use parking_lot::Mutex;
use pumice_host_api::{AppId, ComponentName, InvocationId, Level, LogLine, LogSink, line_size};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{broadcast, oneshot};

use crate::limits;
use crate::outcome::Outcome;

/// One thing to write down.
pub struct Record {
    pub app: AppId,
    pub at: SystemTime,
    pub body: Body,
}

/// What a record says.
pub enum Body {
    Invocation(Box<Outcome>),
    Line(Box<GuestLine>),
    Mail(Box<MailRecord>),
}

/// What became of a mail. Neither its words nor the whole address.
#[derive(Serialize)]
pub struct MailRecord {
    /// The template's name.
    pub template: &'static str,
    /// Such as `a***@example.com`.
    pub to: String,
    /// `sent`, `failed` (for good), `lost` (when the server stopped), `kept` (in the mailbox),
    /// `not_configured` (once for an app).
    pub outcome: &'static str,
    pub tries: u32,
    /// The SMTP server's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
    pub message: String,
}

/// A line a guest wrote.
pub struct GuestLine {
    pub component: ComponentName,
    pub invocation: InvocationId,
    pub level: Level,
    pub message: String,
    pub fields: Vec<(String, String)>,
}

impl GuestLine {
    fn size(&self) -> usize {
        line_size(&self.message, &self.fields)
    }
}

/// Guests' lines in the queue at once; the last quarter of it is for outcome records alone.
const LINES_WAITING_MAX: usize = limits::LOG_QUEUE_MAX / 4 * 3;
/// Bytes of guests' lines in the queue at once.
const LINE_BYTES_WAITING_MAX: usize = 32 << 20;
/// One app's lines may take this part of either.
const APP_PART: usize = 8;

/// The guests' lines in the queue.
#[derive(Default)]
struct Waiting {
    all: Share,
    apps: HashMap<AppId, Share>,
}

#[derive(Clone, Copy, Default)]
struct Share {
    lines: usize,
    bytes: usize,
}

impl Share {
    fn with(self, bytes: usize) -> Share {
        Share {
            lines: self.lines + 1,
            bytes: self.bytes + bytes,
        }
    }

    fn fits(self, part: usize) -> bool {
        self.lines <= LINES_WAITING_MAX / part && self.bytes <= LINE_BYTES_WAITING_MAX / part
    }
}

impl Waiting {
    /// Counts a line of `bytes`, if there is room for it.
    fn enter(&mut self, app: AppId, bytes: usize) -> bool {
        let all = self.all.with(bytes);
        let of_app = self.apps.get(&app).copied().unwrap_or_default().with(bytes);
        let fits = all.fits(1) && of_app.fits(APP_PART);
        if fits {
            self.all = all;
            self.apps.insert(app, of_app);
        }
        fits
    }

    /// Takes back what `enter` has counted.
    fn leave(&mut self, app: AppId, bytes: usize) {
        self.all.lines -= 1;
        self.all.bytes -= bytes;
        if let Some(of_app) = self.apps.get_mut(&app) {
            of_app.lines -= 1;
            of_app.bytes -= bytes;
            if of_app.lines == 0 {
                self.apps.remove(&app);
            }
        }
    }
}

/// A handle to the log; cheap to clone.
#[derive(Clone)]
pub struct Logs {
    queue: SyncSender<Message>,
    /// Only guests' lines ask for this lock.
    waiting: Arc<Mutex<Waiting>>,
    dropped: Arc<AtomicU64>,
    live: broadcast::Sender<(AppId, Arc<str>)>,
    folder: Arc<Path>,
}

enum Message {
    Record(Record),
    Flush(oneshot::Sender<()>),
    Forget(AppId, oneshot::Sender<()>),
}

impl Logs {
    /// Starts the writer. Files go to `<folder>/<app id>/logs/`.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(folder: &Path) -> io::Result<Logs> {
        let (logs, writer, inbox) = Logs::new(folder);
        std::thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || writer.run(&inbox))?;
        Ok(logs)
    }

    fn new(folder: &Path) -> (Logs, Writer, Receiver<Message>) {
        let (queue, inbox) = sync_channel(limits::LOG_QUEUE_MAX);
        let (live, _) = broadcast::channel(1024);
        let logs = Logs {
            queue,
            waiting: Arc::default(),
            dropped: Arc::default(),
            live,
            folder: folder.into(),
        };
        let writer = Writer {
            folder: folder.to_owned(),
            began: segment_name(),
            open: HashMap::new(),
            forgotten: HashMap::new(),
            waiting: logs.waiting.clone(),
            dropped: logs.dropped.clone(),
            told: None,
            live: logs.live.clone(),
        };
        (logs, writer, inbox)
    }

    /// Hands a record over; drops and counts it when the writer cannot keep up.
    pub fn write(&self, record: Record) {
        match &record.body {
            Body::Line(line) if !self.enter(record.app, line.size()) => {}
            _ => self.put(record),
        }
    }

    /// Takes a place for a guest's line, or counts it as dropped.
    fn enter(&self, app: AppId, bytes: usize) -> bool {
        let entered = self.waiting.lock().enter(app, bytes);
        if !entered {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        entered
    }

    /// A line has its place already.
    fn put(&self, record: Record) {
        let (TrySendError::Full(message) | TrySendError::Disconnected(message)) =
            match self.queue.try_send(Message::Record(record)) {
                Ok(()) => return,
                Err(error) => error,
            };
        self.dropped.fetch_add(1, Ordering::Relaxed);
        if let Message::Record(record) = message {
            leave(&self.waiting, &record);
        }
    }

    /// Waits until everything handed over so far is in the files.
    pub async fn flush(&self) {
        self.ask(Message::Flush).await;
    }

    /// Closes the files of an app that is being deleted. When it returns, nothing more is written for
    /// the app, whatever its guests still say, so that its folder can go.
    pub async fn forget(&self, app: AppId) {
        self.ask(move |done| Message::Forget(app, done)).await;
    }

    /// Sends what must not be dropped, and waits until the writer has done it.
    async fn ask(&self, message: impl FnOnce(oneshot::Sender<()>) -> Message) {
        let (done, wait) = oneshot::channel();
        let (queue, message) = (self.queue.clone(), message(done));
        // A full queue makes the sender wait, which a thread of the server must not.
        let sent = tokio::task::spawn_blocking(move || queue.send(message).is_ok()).await;
        if matches!(sent, Ok(true)) {
            let _ = wait.await;
        }
    }

    /// Lines as they are written, of all apps.
    pub fn subscribe(&self) -> broadcast::Receiver<(AppId, Arc<str>)> {
        self.live.subscribe()
    }

    /// The last `count` lines of an app that `wanted` accepts, oldest first. A line that a crash has
    /// torn is given as what is left of it, with what is not UTF-8 replaced.
    ///
    /// # Errors
    /// When a file is there and cannot be read.
    pub async fn tail(
        &self,
        app: AppId,
        count: usize,
        wanted: impl Fn(&str) -> bool + Send + 'static,
    ) -> io::Result<Vec<String>> {
        self.flush().await;
        let folder = folder_of(&self.folder, app);
        tokio::task::spawn_blocking(move || {
            let mut newest_first = Vec::new();
            for (_, path) in segments(&folder)?.into_iter().rev() {
                let bytes = match fs::read(path) {
                    Ok(bytes) => bytes,
                    // The writer deletes the oldest files as it begins new ones.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                };
                let lines = bytes.rsplit(|&byte| byte == b'\n');
                newest_first.extend(
                    lines
                        .filter(|line| !line.is_empty())
                        .map(String::from_utf8_lossy)
                        .filter(|line| wanted(line))
                        .map(Cow::into_owned)
                        .take(count - newest_first.len()),
                );
                if newest_first.len() >= count {
                    break;
                }
            }
            newest_first.reverse();
            Ok(newest_first)
        })
        .await
        .map_err(io::Error::other)?
    }
}

impl LogSink for Logs {
    fn line(&self, line: LogLine<'_>) {
        // Asked before anything is copied: a flood must be cheap to drop.
        if !self.enter(line.entry.app_id, line_size(line.message, line.fields)) {
            return;
        }
        let guest_line = GuestLine {
            component: line.entry.component.clone(),
            invocation: line.invocation,
            level: line.level,
            message: line.message.to_owned(),
            fields: line.fields.to_vec(),
        };
        self.put(Record {
            app: line.entry.app_id,
            at: SystemTime::now(),
            body: Body::Line(Box::new(guest_line)),
        });
    }
}

/// Gives back a line's place in the queue; other records have none.
fn leave(waiting: &Mutex<Waiting>, record: &Record) {
    if let Body::Line(line) = &record.body {
        waiting.lock().leave(record.app, line.size());
    }
}

fn folder_of(folder: &Path, app: AppId) -> PathBuf {
    folder.join(app.to_string()).join("logs")
}

/// An app's log files with their sizes, oldest first: their names are the times they began.
fn segments(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        match entry.metadata() {
            Ok(metadata) => found.push((metadata.len(), entry.path())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    found.sort_by(|(_, a), (_, b)| a.cmp(b));
    Ok(found)
}

/// What a segment that begins now is called: names sort by time.
fn segment_name() -> String {
    format!("{}.jsonl", Utc::now().format("%Y%m%dT%H%M%S%.6f"))
}

struct Writer {
    folder: PathBuf,
    /// Name of a segment begun when the writer was. Older ones are not continued: whoever wrote them
    /// may have been killed in the middle of a line.
    began: String,
    open: HashMap<AppId, Segment>,
    /// Apps whose records are thrown away, and since when.
    forgotten: HashMap<AppId, Instant>,
    waiting: Arc<Mutex<Waiting>>,
    dropped: Arc<AtomicU64>,
    /// When drops were last told.
    told: Option<Instant>,
    live: broadcast::Sender<(AppId, Arc<str>)>,
}

struct Segment {
    file: BufWriter<File>,
    bytes: u64,
}

/// Files kept open between writes.
const OPEN_MAX: usize = 128;
/// How long a line may wait in memory.
const FLUSH_AFTER: Duration = Duration::from_millis(500);
/// How often drops are told at most, so that one log's flood does not become another's.
const DROPS_TOLD_EVERY: Duration = Duration::from_secs(1);
/// How long a deleted app may still have guests that write: longer than any runs.
const FORGOTTEN_FOR: Duration = Duration::from_secs(2 * 3600);
/// Files of one app. Full ones reach its limit in bytes first; this bounds those that restarts begin.
const SEGMENTS_MAX: usize = 256;

impl Writer {
    fn run(mut self, inbox: &Receiver<Message>) {
        let mut flushed = true;
        loop {
            let message = if flushed {
                inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                inbox.recv_timeout(FLUSH_AFTER)
            };
            match message {
                Ok(Message::Record(record)) => {
                    leave(&self.waiting, &record);
                    if !self.forgotten.contains_key(&record.app) {
                        flushed = false;
                        self.record(&record);
                    }
                }
                Ok(Message::Flush(done)) => {
                    self.flush();
                    flushed = true;
                    let _ = done.send(());
                }
                Ok(Message::Forget(app, done)) => {
                    self.forgotten.retain(|_, at| at.elapsed() < FORGOTTEN_FOR);
                    self.forgotten.insert(app, Instant::now());
                    self.open.remove(&app);
                    let _ = done.send(());
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.flush();
                    flushed = true;
                }
                Err(RecvTimeoutError::Disconnected) => return self.flush(),
            }
        }
    }

    fn record(&mut self, record: &Record) {
        self.tell_dropped();
        let line: Arc<str> = text(record).into();
        if let Err(error) = self.append(record.app, &line) {
            tracing::error!(app.id = %record.app, %error, "an app's log cannot be written");
            self.open.remove(&record.app);
        }
        if self.live.receiver_count() > 0 {
            let _ = self.live.send((record.app, line));
        }
    }

    fn tell_dropped(&mut self) {
        if self.told.is_some_and(|at| at.elapsed() < DROPS_TOLD_EVERY) {
            return;
        }
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            self.told = Some(Instant::now());
            tracing::warn!(
                dropped,
                "the log queue or an app's part of it was full; records were dropped"
            );
        }
    }

    fn append(&mut self, app: AppId, line: &str) -> io::Result<()> {
        if self
            .open
            .get(&app)
            .is_some_and(|segment| segment.bytes >= limits::LOG_SEGMENT_BYTES)
        {
            self.open.remove(&app);
        }
        if !self.open.contains_key(&app) {
            if self.open.len() >= OPEN_MAX {
                self.open.clear();
            }
            let segment = open_segment(&folder_of(&self.folder, app), &self.began)?;
            self.open.insert(app, segment);
        }
        let Some(segment) = self.open.get_mut(&app) else {
            return Ok(());
        };
        segment.file.write_all(line.as_bytes())?;
        segment.file.write_all(b"\n")?;
        segment.bytes += line.len() as u64 + 1;
        Ok(())
    }

    fn flush(&mut self) {
        self.tell_dropped();
        self.open.retain(|app, segment| {
            let result = segment.file.flush();
            if let Err(error) = &result {
                tracing::error!(app.id = %app, %error, "an app's log cannot be written");
            }
            result.is_ok()
        });
    }
}

/// Continues the newest segment if it has room and is not older than `began`, else begins one and
/// deletes what is over age, size or number.
fn open_segment(folder: &Path, began: &str) -> io::Result<Segment> {
    fs::create_dir_all(folder)?;
    let mut found = segments(folder)?;
    let path = match found.last() {
        Some((bytes, path))
            if *bytes < limits::LOG_SEGMENT_BYTES
                && path
                    .file_name()
                    .is_some_and(|name| name >= OsStr::new(began)) =>
        {
            path.clone()
        }
        _ => {
            let mut total: u64 = found.iter().map(|(bytes, _)| bytes).sum();
            let oldest = SystemTime::now() - limits::LOG_AGE;
            let mut left = found.len();
            found.retain(|(bytes, path)| {
                let aged = fs::metadata(path)
                    .and_then(|meta| meta.modified())
                    .is_ok_and(|time| time < oldest);
                let delete = aged
                    || left >= SEGMENTS_MAX
                    || total + limits::LOG_SEGMENT_BYTES > limits::LOG_APP_BYTES;
                if delete && fs::remove_file(path).is_ok() {
                    total -= bytes;
                    left -= 1;
                }
                !delete
            });
            folder.join(segment_name())
        }
    };
    let file = File::options().append(true).create(true).open(path)?;
    let bytes = file.metadata()?.len();
    Ok(Segment {
        file: BufWriter::new(file),
        bytes,
    })
}

fn text(record: &Record) -> String {
    let time = DateTime::<Utc>::from(record.at).to_rfc3339_opts(SecondsFormat::Micros, true);
    let body = match &record.body {
        Body::Invocation(outcome) => {
            let mut value = serde_json::to_value(outcome).unwrap_or(Value::Null);
            value["type"] = "invocation".into();
            value
        }
        Body::Mail(mail) => {
            let mut value = serde_json::to_value(mail).unwrap_or(Value::Null);
            value["type"] = "mail".into();
            value["component"] = "mail".into();
            value
        }
        Body::Line(line) => {
            let mut value = json!({
                "type": "line", "level": line.level, "component": line.component,
                "request_id": line.invocation.0.simple().to_string(), "message": line.message,
            });
            if !line.fields.is_empty() {
                value["fields"] = line
                    .fields
                    .iter()
                    .map(|(key, value)| (key.clone(), json!(value)))
                    .collect();
            }
            value
        }
    };
    // The time comes first, for people who read the files.
    format!("{{\"time\":\"{time}\",{}", &body.to_string()[1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(number: u128) -> AppId {
        AppId(uuid::Uuid::from_u128(number))
    }

    fn line(app: AppId, message: &str) -> Record {
        let line = GuestLine {
            component: ComponentName::new("hello").unwrap(),
            invocation: InvocationId(uuid::Uuid::nil()),
            level: Level::Info,
            message: message.to_owned(),
            fields: Vec::new(),
        };
        Record {
            app,
            at: SystemTime::now(),
            body: Body::Line(Box::new(line)),
        }
    }

    async fn tail(logs: &Logs, app: AppId, count: usize) -> Vec<String> {
        logs.tail(app, count, |_| true).await.unwrap()
    }

    #[test]
    fn a_flood_of_lines_leaves_room_for_others() {
        let folder = tempfile::tempdir().unwrap();
        let (logs, writer, inbox) = Logs::new(folder.path());
        let flood = |app, message: &str| {
            (0..limits::LOG_QUEUE_MAX).for_each(|_| logs.write(line(app, message)));
            let waiting = logs.waiting.lock();
            let of_app = waiting.apps.get(&app).copied().unwrap_or_default();
            (of_app.lines, of_app.bytes)
        };
        let part = LINES_WAITING_MAX / APP_PART;
        assert_eq!(flood(app(1), "").0, part);
        let (lines, bytes) = flood(app(2), &"x".repeat(16 << 10));
        assert!(lines < part && bytes <= LINE_BYTES_WAITING_MAX / APP_PART);
        (3..20).for_each(|number| assert!(flood(app(number), "").0 <= part));
        assert_eq!(logs.waiting.lock().all.lines, LINES_WAITING_MAX);
        assert!(logs.dropped.load(Ordering::Relaxed) > 0);
        // Nothing of the last quarter is taken.
        let mut sent = 0;
        while logs
            .queue
            .try_send(Message::Flush(oneshot::channel().0))
            .is_ok()
        {
            sent += 1;
        }
        assert_eq!(sent, limits::LOG_QUEUE_MAX - LINES_WAITING_MAX);
        // A line for which the queue has no place leaves no trace in the counts.
        logs.waiting.lock().leave(app(1), line_size("", &[]));
        logs.write(line(app(1), ""));
        assert_eq!(logs.waiting.lock().all.lines, LINES_WAITING_MAX - 1);
        assert!(logs.waiting.lock().enter(app(1), line_size("", &[])));
        let waiting = logs.waiting.clone();
        drop(logs);
        writer.run(&inbox);
        let waiting = waiting.lock();
        assert_eq!((waiting.all.lines, waiting.all.bytes), (0, 0));
        assert!(waiting.apps.is_empty());
    }

    #[tokio::test]
    async fn torn_lines_are_survived_and_never_continued() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::start(folder.path()).unwrap();
        logs.write(line(app(1), "first"));
        assert_eq!(tail(&logs, app(1), 9).await.len(), 1);
        drop(logs);
        let found = segments(&folder_of(folder.path(), app(1))).unwrap();
        let mut file = File::options().append(true).open(&found[0].1).unwrap();
        file.write_all(b"{\"torn\":\"\xff\xc3").unwrap();
        let logs = Logs::start(folder.path()).unwrap();
        logs.write(line(app(1), "second"));
        let lines = tail(&logs, app(1), 9).await;
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].contains("first") && lines[2].contains("second"));
        assert!(lines[1].starts_with("{\"torn\":\"\u{fffd}"), "{lines:?}");
        let lines = tail(&logs, app(1), 1).await;
        assert!(lines.len() == 1 && lines[0].contains("second"), "{lines:?}");
        let found = segments(&folder_of(folder.path(), app(1))).unwrap();
        assert_eq!(found.len(), 2);
        // The same writer continues its own.
        let folder = folder_of(folder.path(), app(2));
        let began = segment_name();
        for _ in 0..2 {
            open_segment(&folder, &began).unwrap();
        }
        assert_eq!(segments(&folder).unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_forgotten_app_gets_no_folder_again() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::start(folder.path()).unwrap();
        logs.write(line(app(1), "before"));
        logs.flush().await;
        logs.forget(app(1)).await;
        fs::remove_dir_all(folder.path().join(app(1).to_string())).unwrap();
        logs.write(line(app(1), "after"));
        logs.write(line(app(2), "other"));
        assert!(tail(&logs, app(1), 9).await.is_empty());
        assert_eq!(tail(&logs, app(2), 9).await.len(), 1);
        assert!(!folder.path().join(app(1).to_string()).exists());
    }
}
