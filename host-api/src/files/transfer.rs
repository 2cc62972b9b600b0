//! Bytes on their way in and out, in chunks, each moved by one job on a blocking thread.
//!
//! There is one job at a time for each, and at most one chunk waits for it: whoever writes faster than
//! the disk, or reads slower, holds two chunks of memory and no thread.

use std::fs::File;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinHandle, spawn_blocking};

use super::disk::Draft;
use super::name::ObjectName;
use super::{FileError, Object, Shared};

/// What one job moves. Writing this much takes the disk longer than handing it over takes us.
pub(super) const CHUNK_BYTES: usize = 128 << 10;

/// An object being written. It appears when [`finish`](Upload::finish) succeeds; dropped before, it
/// leaves nothing.
///
/// Needs a tokio runtime about it.
pub struct Upload {
    shared: Arc<Shared>,
    target: Target,
    size: u64,
    size_max: u64,
    buffer: Vec<u8>,
    writing: Writing,
    /// The first thing that went wrong, for every later call.
    fault: Option<FileError>,
    permit: OwnedSemaphorePermit,
}

pub(super) struct Target {
    pub(super) bucket: Arc<str>,
    pub(super) name: ObjectName,
    pub(super) content_type: Arc<str>,
}

enum Writing {
    /// None until the first chunk is full; most objects are written whole by `finish`.
    Idle(Option<Draft>),
    Job(JoinHandle<Result<Draft, FileError>>),
}

impl Upload {
    pub(super) fn new(
        shared: Arc<Shared>,
        target: Target,
        size_max: u64,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        Upload {
            shared,
            target,
            size: 0,
            size_max,
            buffer: Vec::new(),
            writing: Writing::Idle(None),
            fault: None,
            permit,
        }
    }

    /// How many bytes may be written now; zero means wait.
    ///
    /// # Errors
    /// What made the upload fail, [`FileError::Quota`] or [`FileError::Disk`].
    pub fn room(&mut self) -> Result<usize, FileError> {
        let _ = self.advance(&mut Context::from_waker(Waker::noop()));
        match &self.fault {
            Some(fault) => Err(fault.clone()),
            None => Ok(CHUNK_BYTES.saturating_sub(self.buffer.len())),
        }
    }

    /// Ready when there is room, or the upload has failed.
    pub fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = self.advance(cx);
        if self.fault.is_some() || self.buffer.len() < CHUNK_BYTES {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Takes all of `bytes`. To keep to `room` is the caller's part.
    ///
    /// # Errors
    /// [`FileError::ObjectTooLarge`] beyond the bucket's limit, and what `room` may say.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.room()?;
        let size = self.size.saturating_add(bytes.len() as u64);
        if size > self.size_max {
            return Err(self.fail(FileError::ObjectTooLarge(self.size_max)));
        }
        self.size = size;
        self.buffer.extend_from_slice(bytes);
        let _ = self.advance(&mut Context::from_waker(Waker::noop()));
        Ok(())
    }

    /// Writes all of `bytes`, waiting for room as often as it takes.
    ///
    /// # Errors
    /// As [`write`](Upload::write).
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), FileError> {
        while !bytes.is_empty() {
            std::future::poll_fn(|cx| self.poll_room(cx)).await;
            let (now, later) = bytes.split_at(self.room()?.min(bytes.len()));
            self.write(now)?;
            bytes = later;
        }
        Ok(())
    }

    /// Makes the object visible in one step, once it is safe on the disk. Of uploads to one name at
    /// once the last to finish stays. If the caller goes away while this waits, it is done all the same.
    ///
    /// # Errors
    /// What made the upload fail; [`FileError::Quota`], [`FileError::TooManyObjects`], [`FileError::Disk`].
    pub async fn finish(mut self) -> Result<Object, FileError> {
        std::future::poll_fn(|cx| self.advance(cx)).await;
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let Upload {
            shared,
            target,
            buffer,
            writing: Writing::Idle(draft),
            permit,
            ..
        } = self
        else {
            return Err(io::Error::other("an upload's job is still under way").into());
        };
        spawn_blocking(move || {
            let _permit = permit;
            let mut draft = draft.map_or_else(|| Draft::new(shared.disk()?), Ok)?;
            draft.write(&buffer)?;
            draft.commit(&target.bucket, &target.name, target.content_type)
        })
        .await?
    }

    /// Ready when no job is under way and less than a chunk waits.
    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.writing {
                Writing::Job(job) => {
                    let Poll::Ready(done) = Pin::new(job).poll(cx) else {
                        return Poll::Pending;
                    };
                    self.writing = Writing::Idle(None);
                    match done.map_err(FileError::from).and_then(|draft| draft) {
                        Ok(draft) if self.fault.is_none() => {
                            self.writing = Writing::Idle(Some(draft));
                        }
                        Ok(_) => {}
                        Err(fault) => drop(self.fail(fault)),
                    }
                }
                Writing::Idle(draft) => {
                    if self.buffer.len() < CHUNK_BYTES {
                        return Poll::Ready(());
                    }
                    let draft = draft.take();
                    let shared = self.shared.clone();
                    let bytes = std::mem::take(&mut self.buffer);
                    self.writing = Writing::Job(spawn_blocking(move || {
                        let mut draft = draft.map_or_else(|| Draft::new(shared.disk()?), Ok)?;
                        draft.write(&bytes)?;
                        Ok(draft)
                    }));
                }
            }
        }
    }

    fn fail(&mut self, fault: FileError) -> FileError {
        self.buffer = Vec::new();
        if let Writing::Idle(draft) = &mut self.writing {
            *draft = None;
        }
        self.fault.get_or_insert(fault).clone()
    }
}

/// An object being read, whole even when it is deleted or replaced meanwhile.
///
/// Needs a tokio runtime about it.
pub struct Download {
    reading: Reading,
    buffer: Bytes,
    /// Bytes that are in neither the buffer nor a job.
    left: u64,
}

enum Reading {
    Idle(Source),
    Job(JoinHandle<io::Result<(Source, Bytes)>>),
    End,
    Failed(FileError),
}

/// What is held until the last byte has been read from disk.
struct Source {
    file: File,
    _permit: OwnedSemaphorePermit,
}

impl Download {
    /// Blocks: it reads the first chunk, so that a small object needs no second job.
    pub(super) fn open(
        file: File,
        size: u64,
        permit: OwnedSemaphorePermit,
    ) -> Result<Self, FileError> {
        let mut download = Download {
            reading: Reading::End,
            buffer: Bytes::new(),
            left: size,
        };
        let source = Source {
            file,
            _permit: permit,
        };
        let (source, bytes) = source.read(download.next_size())?;
        download.take(source, bytes);
        Ok(download)
    }

    fn next_size(&self) -> usize {
        self.left.min(CHUNK_BYTES as u64) as usize
    }

    fn take(&mut self, source: Source, bytes: Bytes) {
        self.left -= bytes.len() as u64;
        self.buffer = bytes;
        self.reading = if self.left == 0 {
            Reading::End
        } else {
            Reading::Idle(source)
        };
    }

    /// Ready when `read` will not answer with no bytes.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.buffer.is_empty() {
            let size = self.next_size();
            match std::mem::replace(&mut self.reading, Reading::End) {
                Reading::Idle(source) => {
                    self.reading = Reading::Job(spawn_blocking(move || source.read(size)));
                }
                Reading::Job(mut job) => match Pin::new(&mut job).poll(cx) {
                    Poll::Pending => {
                        self.reading = Reading::Job(job);
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok(Ok((source, bytes)))) => self.take(source, bytes),
                    Poll::Ready(Ok(Err(error))) => self.reading = Reading::Failed(error.into()),
                    Poll::Ready(Err(error)) => self.reading = Reading::Failed(error.into()),
                },
                over => {
                    self.reading = over;
                    return Poll::Ready(());
                }
            }
        }
        Poll::Ready(())
    }

    /// Up to `max` bytes without waiting: none yet is an empty answer, and None is the end.
    ///
    /// # Errors
    /// [`FileError::Disk`].
    pub fn read(&mut self, max: usize) -> Result<Option<Bytes>, FileError> {
        let _ = self.poll_ready(&mut Context::from_waker(Waker::noop()));
        if !self.buffer.is_empty() {
            return Ok(Some(self.buffer.split_to(max.min(self.buffer.len()))));
        }
        match &self.reading {
            Reading::End => Ok(None),
            Reading::Failed(fault) => Err(fault.clone()),
            Reading::Idle(_) | Reading::Job(_) => Ok(Some(Bytes::new())),
        }
    }

    /// The next bytes, at least one, or None at the end.
    ///
    /// # Errors
    /// [`FileError::Disk`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, FileError> {
        std::future::poll_fn(|cx| self.poll_ready(cx)).await;
        self.read(usize::MAX)
    }
}

impl Source {
    fn read(mut self, size: usize) -> io::Result<(Source, Bytes)> {
        let mut bytes = vec![0; size];
        self.file.read_exact(&mut bytes)?;
        Ok((self, bytes.into()))
    }
}
