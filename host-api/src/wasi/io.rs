//! Streams and what can be waited for.
//!
//! A stream is a small value that says which resource it reads or writes; the bytes are with that
//! resource. So every use goes through [`HostCtx`], which counts it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use tokio::time::Sleep;

use crate::HostCtx;
use crate::files::{Download, FileError, UploadBody};
use crate::http::HttpFault;
use crate::http::body::{BodyReader, FutureTrailers, Read};
use crate::http::message::FutureResponse;
use crate::http::pipe::{BUFFERED_BYTES_MAX, OutgoingBody, WriteError};
use crate::log::{LINE_OVERHEAD, Stdio};
use crate::meter::Exceeded;

/// The resource `input-stream`; numbers are places in the table.
pub(crate) enum InputStream {
    /// Standard input: always at its end.
    Closed,
    Body(u32),
    /// Of an object, which no other resource stands for.
    Object(Box<Download>),
}

/// The resource `output-stream`.
#[derive(Clone, Copy)]
pub(crate) enum OutputStream {
    Stdio(Stdio),
    Body(u32),
    Upload(u32),
}

/// The resource `pollable`.
pub(crate) enum Pollable {
    Input(u32),
    Output(u32),
    Response(u32),
    Trailers(u32),
    Timer(Timer),
}

pub(crate) struct Timer {
    /// None is later than any invocation lives.
    pub(crate) due: Option<Instant>,
    pub(crate) sleep: Option<Pin<Box<Sleep>>>,
}

/// The resource `wasi:io/error`.
pub(crate) enum IoError {
    Http(HttpFault),
    File(FileError),
}

/// Why a stream did not read or write.
pub(crate) enum StreamFault {
    Closed,
    Failed(IoError),
    Trap(wasmtime::Error),
}

impl<E: Into<wasmtime::Error>> From<E> for StreamFault {
    fn from(error: E) -> Self {
        StreamFault::Trap(error.into())
    }
}

impl HostCtx {
    pub(crate) fn poll_input(
        &mut self,
        stream: u32,
        cx: &mut Context<'_>,
    ) -> wasmtime::Result<Poll<()>> {
        Ok(match self.table.get_mut(stream)? {
            InputStream::Closed => Poll::Ready(()),
            InputStream::Object(download) => download.poll_ready(cx),
            &mut InputStream::Body(body) => {
                self.table.get_mut::<Box<BodyReader>>(body)?.poll_ready(cx)
            }
        })
    }

    pub(crate) fn poll_output(
        &mut self,
        stream: u32,
        cx: &mut Context<'_>,
    ) -> wasmtime::Result<Poll<()>> {
        Ok(match *self.table.get(stream)? {
            OutputStream::Stdio(_) => Poll::Ready(()),
            OutputStream::Body(body) => self.table.get::<OutgoingBody>(body)?.pipe.poll_room(cx),
            OutputStream::Upload(upload) => {
                let upload = self.table.get_mut::<Box<UploadBody>>(upload)?;
                upload.upload.poll_room(cx)
            }
        })
    }

    pub(crate) fn poll_pollable(
        &mut self,
        pollable: u32,
        cx: &mut Context<'_>,
    ) -> wasmtime::Result<Poll<()>> {
        match self.table.get_mut(pollable)? {
            Pollable::Timer(timer) => Ok(timer.poll(cx)),
            &mut Pollable::Input(stream) => self.poll_input(stream, cx),
            &mut Pollable::Output(stream) => self.poll_output(stream, cx),
            &mut Pollable::Response(response) => Ok(self
                .table
                .get_mut::<FutureResponse>(response)?
                .poll_ready(cx)),
            &mut Pollable::Trailers(trailers) => Ok(self
                .table
                .get_mut::<FutureTrailers>(trailers)?
                .body
                .poll_end(cx)),
        }
    }

    /// Up to `max` bytes without waiting; none yet is an empty answer.
    pub(crate) fn read(&mut self, stream: u32, max: u64) -> Result<Bytes, StreamFault> {
        // One answer is lowered into the guest's memory whole, so it is bounded like one write.
        let max = usize::try_from(max)
            .unwrap_or(usize::MAX)
            .min(BUFFERED_BYTES_MAX);
        let body = match self.table.get_mut(stream)? {
            InputStream::Closed => return Err(StreamFault::Closed),
            &mut InputStream::Body(body) => body,
            InputStream::Object(download) => {
                return match download.read(max) {
                    Ok(Some(bytes)) => {
                        self.charge(bytes.len())?;
                        Ok(bytes)
                    }
                    Ok(None) => Err(StreamFault::Closed),
                    Err(fault) => Err(self.stream_fault(fault)),
                };
            }
        };
        match self.table.get_mut::<Box<BodyReader>>(body)?.read(max) {
            Read::Data(bytes) => {
                self.charge(bytes.len())?;
                Ok(bytes)
            }
            Read::Empty => Ok(Bytes::new()),
            Read::End => Err(StreamFault::Closed),
            Read::Fault(HttpFault::TooLong(max)) => Err(Exceeded::RequestBytes(max).into()),
            Read::Fault(fault) => Err(StreamFault::Failed(IoError::Http(fault))),
        }
    }

    /// How many bytes may be written now; zero means wait.
    pub(crate) fn room(&mut self, stream: u32) -> Result<usize, StreamFault> {
        match *self.table.get(stream)? {
            OutputStream::Stdio(_) => Ok(BUFFERED_BYTES_MAX),
            OutputStream::Body(body) => self
                .table
                .get::<OutgoingBody>(body)?
                .pipe
                .room()
                .map_err(|_| StreamFault::Closed),
            OutputStream::Upload(upload) => {
                let upload = self.table.get_mut::<Box<UploadBody>>(upload)?;
                upload
                    .upload
                    .room()
                    .map_err(|fault| self.stream_fault(fault))
            }
        }
    }

    /// Writes all of `bytes`. To keep to `room` is the caller's part.
    pub(crate) fn write(&mut self, stream: u32, bytes: Bytes) -> Result<(), StreamFault> {
        self.charge(bytes.len())?;
        let body = match *self.table.get(stream)? {
            OutputStream::Stdio(stdio) => {
                let lines = bytes.iter().filter(|&&byte| byte == b'\n').count();
                self.charge(lines * LINE_OVERHEAD)?;
                self.log.stdio(&self.entry, stdio, &bytes);
                return Ok(());
            }
            OutputStream::Upload(upload) => {
                let upload = self.table.get_mut::<Box<UploadBody>>(upload)?;
                let written = upload.upload.write(&bytes);
                return written.map_err(|fault| self.stream_fault(fault));
            }
            OutputStream::Body(body) => body,
        };
        let body: &OutgoingBody = self.table.get(body)?;
        if !body.of_request {
            let max = self.entry.limits.response_bytes_max;
            self.meter.usage.response_bytes += bytes.len() as u64;
            if self.meter.usage.response_bytes > max {
                return Err(Exceeded::ResponseBytes(max).into());
            }
        }
        body.pipe.write(bytes).map_err(|error| match error {
            WriteError::Closed => StreamFault::Closed,
            WriteError::TooLong(length) => {
                StreamFault::Failed(IoError::Http(body.wrong_length(length)))
            }
        })
    }

    /// Writes all of `bytes`, waiting for room as often as it takes.
    pub(crate) async fn write_all(
        &mut self,
        stream: u32,
        mut bytes: Bytes,
    ) -> Result<(), StreamFault> {
        loop {
            let room = self.room(stream)?;
            if room > 0 {
                self.write(stream, bytes.split_to(room.min(bytes.len())))?;
            }
            if bytes.is_empty() {
                return Ok(());
            }
            self.writable(stream).await?;
        }
    }

    pub(crate) async fn readable(&mut self, stream: u32) -> wasmtime::Result<()> {
        wait(|cx| self.poll_input(stream, cx)).await
    }

    pub(crate) async fn writable(&mut self, stream: u32) -> wasmtime::Result<()> {
        wait(|cx| self.poll_output(stream, cx)).await
    }
}

impl Timer {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = self.due else {
            return Poll::Pending;
        };
        if Instant::now() >= due {
            return Poll::Ready(());
        }
        self.sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due.into())))
            .as_mut()
            .poll(cx)
    }
}

/// A future of a poll that may trap.
pub(crate) async fn wait(
    mut poll: impl FnMut(&mut Context<'_>) -> wasmtime::Result<Poll<()>>,
) -> wasmtime::Result<()> {
    std::future::poll_fn(|cx| match poll(cx) {
        Ok(Poll::Ready(())) => Poll::Ready(Ok(())),
        Ok(Poll::Pending) => Poll::Pending,
        Err(error) => Poll::Ready(Err(error)),
    })
    .await
}
