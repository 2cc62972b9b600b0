//! What guests write for people to read.
//!
//! Lines come from the interface `log`, from standard output (at `info`) and from standard error (at
//! `error`). Where they go is the runtime's affair, behind [`LogSink`].

mod host;

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::entry::{Entry, HostLimits};
use crate::ids::InvocationId;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// One line of one invocation.
#[derive(Clone, Copy, Debug)]
pub struct LogLine<'a> {
    pub entry: &'a Entry,
    pub invocation: InvocationId,
    pub level: Level,
    /// At most `log_line_bytes_max`, without a newline at its end. It says so itself where it was cut,
    /// or fields were left out.
    pub message: &'a str,
    pub fields: &'a [(String, String)],
}

/// Takes the lines of all guests. It is called on the guest's own time, so it must not wait: a full
/// buffer means drop and count.
pub trait LogSink: Send + Sync + 'static {
    fn line(&self, line: LogLine<'_>);
}

/// What a line costs besides its text: its time, names, ids and its places in queues and files.
pub(crate) const LINE_OVERHEAD: usize = 160;
/// The same for a field.
const FIELD_OVERHEAD: usize = 64;
/// Fields kept of one line.
const FIELDS_MAX: usize = 64;

/// What a line counts for, in bytes: in the host's price, in what an invocation may log, and in the
/// queues on its way. More than its text, so that many empty lines are not for nothing.
pub fn line_size(message: &str, fields: &[(String, String)]) -> usize {
    let fields = fields
        .iter()
        .map(|(name, value)| name.len() + value.len() + FIELD_OVERHEAD);
    LINE_OVERHEAD + message.len() + fields.sum::<usize>()
}

/// What ends a line that was too long.
const CUT: &str = " … (cut)";

/// One invocation's way to the sink.
pub(crate) struct Log {
    sink: Arc<dyn LogSink>,
    invocation: InvocationId,
    pub(crate) bytes: u64,
    dropped: u64,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stdio {
    Out,
    Err,
}

impl Log {
    pub(crate) fn new(sink: Arc<dyn LogSink>, invocation: InvocationId) -> Self {
        Log {
            sink,
            invocation,
            bytes: 0,
            dropped: 0,
            stdout: Vec::new(),
            stderr: Vec::new(),
        }
    }

    pub(crate) fn write(
        &mut self,
        entry: &Entry,
        level: Level,
        message: &str,
        fields: &[(String, String)],
    ) {
        let HostLimits {
            log_line_bytes_max,
            log_bytes_max,
            ..
        } = entry.limits;
        let mut message = cut(message, log_line_bytes_max);
        let mut room = log_line_bytes_max.saturating_sub(message.len());
        let kept = fields
            .iter()
            .take(FIELDS_MAX)
            .take_while(|(name, value)| {
                let fits = name.len() + value.len() <= room;
                room = room.saturating_sub(name.len() + value.len());
                fits
            })
            .count();
        if kept < fields.len() {
            let note = format!(" … ({} fields left out)", fields.len() - kept);
            let shorter = cut(&message, log_line_bytes_max.saturating_sub(note.len()));
            message = Cow::Owned(format!("{shorter}{note}"));
        }
        let fields = &fields[..kept];
        let size = line_size(&message, fields) as u64;
        if self.bytes + size > log_bytes_max {
            self.dropped += 1;
            return;
        }
        self.bytes += size;
        self.sink.line(LogLine {
            entry,
            invocation: self.invocation,
            level,
            message: &message,
            fields,
        });
    }

    /// Adds to a standard stream; each whole line becomes a line of the log.
    pub(crate) fn stdio(&mut self, entry: &Entry, stdio: Stdio, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let (line, after) = rest.split_at(end);
            self.keep(entry, stdio, line);
            self.flush(entry, stdio);
            rest = &after[1..];
        }
        self.keep(entry, stdio, rest);
    }

    /// Ends the invocation's log: half lines are written, and how many were dropped is told.
    pub(crate) fn end(&mut self, entry: &Entry) {
        for stdio in [Stdio::Out, Stdio::Err] {
            if !self.buffer(stdio).is_empty() {
                self.flush(entry, stdio);
            }
        }
        if self.dropped > 0 {
            let message = format!(
                "{} lines dropped: more than {} bytes of log in one invocation",
                self.dropped, entry.limits.log_bytes_max
            );
            self.dropped = 0;
            self.sink.line(LogLine {
                entry,
                invocation: self.invocation,
                level: Level::Warn,
                message: &message,
                fields: &[],
            });
        }
    }

    fn buffer(&mut self, stdio: Stdio) -> &mut Vec<u8> {
        match stdio {
            Stdio::Out => &mut self.stdout,
            Stdio::Err => &mut self.stderr,
        }
    }

    fn keep(&mut self, entry: &Entry, stdio: Stdio, bytes: &[u8]) {
        // One byte more than the longest line, so that the line is seen to be cut.
        let max = entry.limits.log_line_bytes_max + 1;
        let buffer = self.buffer(stdio);
        let room = max.saturating_sub(buffer.len());
        buffer.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn flush(&mut self, entry: &Entry, stdio: Stdio) {
        let mut line = std::mem::take(self.buffer(stdio));
        let level = match stdio {
            Stdio::Out => Level::Info,
            Stdio::Err => Level::Error,
        };
        self.write(entry, level, &String::from_utf8_lossy(&line), &[]);
        line.clear();
        *self.buffer(stdio) = line;
    }
}

fn cut(message: &str, max: usize) -> Cow<'_, str> {
    if message.len() <= max {
        return Cow::Borrowed(message);
    }
    let mut end = max.saturating_sub(CUT.len());
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(format!("{}{CUT}", &message[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn stdio_becomes_lines() {
        let (entry, sink) = testing::entry(HostLimits::default());
        let mut log = Log::new(sink.clone(), testing::invocation());
        log.stdio(&entry, Stdio::Out, b"one\ntw");
        log.stdio(&entry, Stdio::Err, b"bad\n");
        log.stdio(&entry, Stdio::Out, b"o\n\nhalf");
        log.end(&entry);
        log.end(&entry);
        assert_eq!(
            sink.take(),
            ["info one", "error bad", "info two", "info ", "info half"]
        );
    }

    #[test]
    fn long_lines_are_cut() {
        assert_eq!(cut("short", 5), "short");
        let long = cut("äääääääääääääää", 20);
        assert!(long.len() <= 20 && long.ends_with(CUT), "{long}");
    }

    #[test]
    fn an_invocation_may_not_flood() {
        let (entry, sink) = testing::entry(HostLimits {
            log_bytes_max: 2 * (LINE_OVERHEAD as u64 + 4) + 2,
            log_line_bytes_max: 64,
            ..HostLimits::default()
        });
        let mut log = Log::new(sink.clone(), testing::invocation());
        for _ in 0..5 {
            log.write(&entry, Level::Info, "1234", &[]);
        }
        log.end(&entry);
        let lines = sink.take();
        assert_eq!(lines.len(), 3);
        assert!(lines[2].starts_with("warn 3 lines dropped"), "{lines:?}");
    }

    #[test]
    fn lines_of_nothing_count_too() {
        let (entry, sink) = testing::entry(HostLimits {
            log_bytes_max: 3 * LINE_OVERHEAD as u64,
            ..HostLimits::default()
        });
        let mut log = Log::new(sink.clone(), testing::invocation());
        log.stdio(&entry, Stdio::Out, &[b'\n'; 10]);
        assert_eq!(sink.take(), ["info "; 3]);
        assert_eq!(log.bytes, 3 * LINE_OVERHEAD as u64);
    }

    #[test]
    fn fields_are_counted_and_bounded() {
        let (entry, sink) = testing::entry(HostLimits {
            log_line_bytes_max: 64,
            ..HostLimits::default()
        });
        let mut log = Log::new(sink.clone(), testing::invocation());
        let field = (String::new(), String::new());
        log.write(&entry, Level::Info, "few", &vec![field.clone(); FIELDS_MAX]);
        let size = LINE_OVERHEAD + 3 + FIELDS_MAX * FIELD_OVERHEAD;
        assert_eq!(log.bytes, size as u64);
        log.write(&entry, Level::Info, "many", &vec![field; FIELDS_MAX + 2]);
        let long = ("x".repeat(65), String::new());
        log.write(&entry, Level::Info, &"y".repeat(64), &[long]);
        let lines = sink.take();
        assert_eq!(lines[..2], ["info few", "info many … (2 fields left out)"]);
        assert!(lines[2].ends_with(" … (1 fields left out)"), "{lines:?}");
        assert!(lines[2].len() <= "info ".len() + 64, "{lines:?}");
    }
}
