//! The apps' logs: outcome records and guests' lines, in rotated files of JSON lines.
//!
//! Nothing waits for the log. Records go through a bounded queue to one thread; when the queue is
//! full they are dropped and counted, and the count is written as soon as there is room.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use pumice_host_api::{AppId, ComponentName, InvocationId, Level, LogLine, LogSink};
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
}

/// A line a guest wrote.
pub struct GuestLine {
    pub component: ComponentName,
    pub invocation: InvocationId,
    pub level: Level,
    pub message: String,
    pub fields: Vec<(String, String)>,
}

/// A handle to the log; cheap to clone.
#[derive(Clone)]
pub struct Logs {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
    live: broadcast::Sender<(AppId, Arc<str>)>,
    folder: Arc<Path>,
}

enum Message {
    Record(Record),
    Flush(oneshot::Sender<()>),
    Forget(AppId),
}

impl Logs {
    /// Starts the writer. Files go to `<folder>/<app id>/logs/`.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(folder: &Path) -> io::Result<Logs> {
        let (queue, inbox) = sync_channel(limits::LOG_QUEUE_MAX);
        let (live, _) = broadcast::channel(1024);
        let logs = Logs {
            queue,
            dropped: Arc::default(),
            live,
            folder: folder.into(),
        };
        let writer = Writer {
            folder: folder.to_owned(),
            open: HashMap::new(),
            dropped: logs.dropped.clone(),
            live: logs.live.clone(),
        };
        std::thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || writer.run(&inbox))?;
        Ok(logs)
    }

    /// Hands a record over; drops and counts it when the writer cannot keep up.
    pub fn write(&self, record: Record) {
        if self.queue.try_send(Message::Record(record)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until everything handed over so far is in the files.
    pub async fn flush(&self) {
        let (done, wait) = oneshot::channel();
        let queue = self.queue.clone();
        let sent = tokio::task::spawn_blocking(move || queue.send(Message::Flush(done))).await;
        if matches!(sent, Ok(Ok(()))) {
            let _ = wait.await;
        }
    }

    /// Closes the files of an app that is being deleted.
    pub fn forget(&self, app: AppId) {
        let _ = self.queue.try_send(Message::Forget(app));
    }

    /// Lines as they are written, of all apps.
    pub fn subscribe(&self) -> broadcast::Receiver<(AppId, Arc<str>)> {
        self.live.subscribe()
    }

    /// The last `count` lines of an app that `wanted` accepts, oldest first.
    ///
    /// # Errors
    /// When a file cannot be read.
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
                let lines = BufReader::new(File::open(path)?)
                    .lines()
                    .collect::<io::Result<Vec<String>>>()?;
                newest_first.extend(
                    lines
                        .into_iter()
                        .rev()
                        .filter(|line| wanted(line))
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
        let guest_line = GuestLine {
            component: line.entry.component.clone(),
            invocation: line.invocation,
            level: line.level,
            message: line.message.to_owned(),
            fields: line.fields.to_vec(),
        };
        self.write(Record {
            app: line.entry.app_id,
            at: SystemTime::now(),
            body: Body::Line(Box::new(guest_line)),
        });
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
        found.push((entry.metadata()?.len(), entry.path()));
    }
    found.sort_by(|(_, a), (_, b)| a.cmp(b));
    Ok(found)
}

struct Writer {
    folder: PathBuf,
    open: HashMap<AppId, Segment>,
    dropped: Arc<AtomicU64>,
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
                    flushed = false;
                    self.record(&record);
                }
                Ok(Message::Flush(done)) => {
                    self.flush();
                    flushed = true;
                    let _ = done.send(());
                }
                Ok(Message::Forget(app)) => {
                    self.open.remove(&app);
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
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(
                dropped,
                "the log queue was full; records of apps were dropped"
            );
        }
        let line: Arc<str> = text(record).into();
        if let Err(error) = self.append(record.app, &line) {
            tracing::error!(app.id = %record.app, %error, "an app's log cannot be written");
            self.open.remove(&record.app);
        }
        if self.live.receiver_count() > 0 {
            let _ = self.live.send((record.app, line));
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
            let segment = open_segment(&folder_of(&self.folder, app))?;
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
        self.open.retain(|app, segment| {
            let result = segment.file.flush();
            if let Err(error) = &result {
                tracing::error!(app.id = %app, %error, "an app's log cannot be written");
            }
            result.is_ok()
        });
    }
}

/// Continues the newest segment if it has room, else begins one and deletes what is over age or
/// size.
fn open_segment(folder: &Path) -> io::Result<Segment> {
    fs::create_dir_all(folder)?;
    let mut found = segments(folder)?;
    let path = match found.last() {
        Some((bytes, path)) if *bytes < limits::LOG_SEGMENT_BYTES => path.clone(),
        _ => {
            let mut total: u64 = found.iter().map(|(bytes, _)| bytes).sum();
            let oldest = SystemTime::now() - limits::LOG_AGE;
            found.retain(|(bytes, path)| {
                let aged = fs::metadata(path)
                    .and_then(|meta| meta.modified())
                    .is_ok_and(|time| time < oldest);
                let delete = aged || total + limits::LOG_SEGMENT_BYTES > limits::LOG_APP_BYTES;
                if delete && fs::remove_file(path).is_ok() {
                    total -= bytes;
                }
                !delete
            });
            folder.join(format!("{}.jsonl", Utc::now().format("%Y%m%dT%H%M%S%.6f")))
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
