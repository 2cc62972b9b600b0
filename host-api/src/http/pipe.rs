//! A body on its way from the guest to a connection.
//!
//! Both ends share one buffer under one lock: the guest's output stream puts chunks in, the body that
//! hyper polls takes them out. No task, no channel. The two ends may be polled from different tasks,
//! so each leaves its waker under the same lock in which it looked.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;

use super::error::HttpFault;

/// How much may wait for the connection before the guest's stream says it is full.
pub(crate) const BUFFERED_BYTES_MAX: usize = 64 << 10;

/// Chunks are joined up to this size, so that a guest that writes byte by byte costs bytes and not
/// allocations.
const JOINED_BYTES_MAX: usize = 16 << 10;

/// The guest's body ended without having been finished: it trapped, met a limit, was dropped, or sent
/// other than its `content-length`. The connection must be cut, not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the guest's body broke off")]
pub struct BrokenOff;

/// Why the guest cannot write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteError {
    /// Nobody reads any more, or the body is over.
    Closed,
    /// More than `content-length`; how much it would have been.
    TooLong(u64),
}

/// The body is not as long as its `content-length`; how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WrongLength(pub(crate) u64);

pub(crate) struct Pipe {
    state: Mutex<State>,
}

struct State {
    chunks: VecDeque<Bytes>,
    buffered: usize,
    written: u64,
    declared: Option<u64>,
    end: End,
    reader: Option<Waker>,
    writer: Option<Waker>,
    reader_gone: bool,
}

enum End {
    Open,
    Finished(Option<Box<HeaderMap>>),
    BrokenOff,
}

impl Pipe {
    /// `declared` is the message's `content-length`, which the body must then have.
    pub(crate) fn new(declared: Option<u64>) -> Arc<Self> {
        Arc::new(Pipe {
            state: Mutex::new(State {
                chunks: VecDeque::new(),
                buffered: 0,
                written: 0,
                declared,
                end: End::Open,
                reader: None,
                writer: None,
                reader_gone: false,
            }),
        })
    }

    /// How many bytes may be written now; zero means wait.
    pub(crate) fn room(&self) -> Result<usize, WriteError> {
        let state = self.state.lock();
        if state.reader_gone || !matches!(state.end, End::Open) {
            return Err(WriteError::Closed);
        }
        Ok(BUFFERED_BYTES_MAX.saturating_sub(state.buffered))
    }

    /// Ready when there is room, or never will be.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.reader_gone
            || !matches!(state.end, End::Open)
            || state.buffered < BUFFERED_BYTES_MAX
        {
            return Poll::Ready(());
        }
        leave(&mut state.writer, cx);
        Poll::Pending
    }

    pub(crate) fn write(&self, bytes: Bytes) -> Result<(), WriteError> {
        let mut state = self.state.lock();
        if state.reader_gone || !matches!(state.end, End::Open) {
            return Err(WriteError::Closed);
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let written = state.written + bytes.len() as u64;
        if state.declared.is_some_and(|declared| written > declared) {
            return Err(WriteError::TooLong(written));
        }
        state.written = written;
        state.buffered += bytes.len();
        state.put(bytes);
        let reader = state.reader.take();
        drop(state);
        wake(reader);
        Ok(())
    }

    /// Ends the body well. A body of another length than declared breaks off instead.
    pub(crate) fn finish(&self, trailers: Option<HeaderMap>) -> Result<(), WrongLength> {
        let mut state = self.state.lock();
        if !matches!(state.end, End::Open) {
            return Ok(());
        }
        let wrong = state
            .declared
            .is_some_and(|declared| declared != state.written);
        state.end = if wrong {
            End::BrokenOff
        } else {
            End::Finished(trailers.map(Box::new))
        };
        let written = state.written;
        let reader = state.reader.take();
        drop(state);
        wake(reader);
        if wrong {
            Err(WrongLength(written))
        } else {
            Ok(())
        }
    }

    /// Breaks the body off, unless it has been finished.
    pub(crate) fn break_off(&self) {
        let mut state = self.state.lock();
        if !matches!(state.end, End::Open) {
            return;
        }
        state.end = End::BrokenOff;
        let wakers = [state.reader.take(), state.writer.take()];
        drop(state);
        wakers.into_iter().for_each(wake);
    }

    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.state.lock().end, End::Finished(_))
    }

    /// The whole body, if it has been finished, has no trailers and nobody has begun to read it.
    pub(crate) fn complete(&self) -> Option<Bytes> {
        let mut state = self.state.lock();
        if !matches!(state.end, End::Finished(None)) || state.buffered as u64 != state.written {
            return None;
        }
        state.buffered = 0;
        state.reader_gone = true;
        let mut chunks = std::mem::take(&mut state.chunks);
        drop(state);
        if chunks.len() <= 1 {
            return Some(chunks.pop_front().unwrap_or_default());
        }
        let mut whole = BytesMut::with_capacity(chunks.iter().map(Bytes::len).sum());
        chunks
            .iter()
            .for_each(|chunk| whole.extend_from_slice(chunk));
        Some(whole.freeze())
    }

    fn leave_reader(&self) {
        let mut state = self.state.lock();
        state.reader_gone = true;
        let unread = std::mem::take(&mut state.chunks);
        let writer = state.writer.take();
        drop(state);
        drop(unread);
        wake(writer);
    }
}

impl State {
    fn put(&mut self, bytes: Bytes) {
        if let Some(last) = self.chunks.back_mut()
            && last.len() + bytes.len() <= JOINED_BYTES_MAX
        {
            match std::mem::take(last).try_into_mut() {
                Ok(mut joined) => {
                    joined.extend_from_slice(&bytes);
                    *last = joined.freeze();
                    return;
                }
                Err(shared) => *last = shared,
            }
        }
        self.chunks.push_back(bytes);
    }
}

fn leave(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *place = Some(cx.waker().clone()),
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The resource `outgoing-body`: the guest's end of a pipe. Dropped unfinished, it breaks the body off.
pub(crate) struct OutgoingBody {
    pub(crate) pipe: Arc<Pipe>,
    pub(crate) stream_taken: bool,
    /// Whether the message is a request; it decides how a wrong length is named.
    pub(crate) of_request: bool,
}

impl OutgoingBody {
    pub(crate) fn wrong_length(&self, length: u64) -> HttpFault {
        if self.of_request {
            HttpFault::RequestLength(length)
        } else {
            HttpFault::ResponseLength(length)
        }
    }
}

impl Drop for OutgoingBody {
    fn drop(&mut self) {
        self.pipe.break_off();
    }
}

/// A body a guest writes, as hyper reads it.
///
/// It errs with [`BrokenOff`] when the guest did not finish it; hyper then cuts the connection. When
/// it is dropped, the guest's stream closes.
pub struct GuestBody {
    pipe: Option<Arc<Pipe>>,
}

impl GuestBody {
    pub(crate) fn new(pipe: Option<Arc<Pipe>>) -> Self {
        GuestBody { pipe }
    }

    /// Breaks the body off, unless the guest has finished it.
    pub fn abort(&self) {
        if let Some(pipe) = &self.pipe {
            pipe.break_off();
        }
    }
}

impl Body for GuestBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let Some(pipe) = &self.pipe else {
            return Poll::Ready(None);
        };
        let mut state = pipe.state.lock();
        if let Some(chunk) = state.chunks.pop_front() {
            let was_full = state.buffered >= BUFFERED_BYTES_MAX;
            state.buffered -= chunk.len();
            let writer = if was_full { state.writer.take() } else { None };
            drop(state);
            wake(writer);
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        match &mut state.end {
            End::Open => {
                leave(&mut state.reader, cx);
                Poll::Pending
            }
            End::Finished(trailers) => Poll::Ready(
                trailers
                    .take()
                    .map(|trailers| Ok(Frame::trailers(*trailers))),
            ),
            End::BrokenOff => Poll::Ready(Some(Err(BrokenOff))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pipe.as_ref().is_none_or(|pipe| {
            let state = pipe.state.lock();
            state.chunks.is_empty() && matches!(state.end, End::Finished(None))
        })
    }

    fn size_hint(&self) -> SizeHint {
        let Some(pipe) = &self.pipe else {
            return SizeHint::with_exact(0);
        };
        let state = pipe.state.lock();
        let buffered = state.buffered as u64;
        match (&state.end, state.declared) {
            (End::Finished(None), _) => SizeHint::with_exact(buffered),
            (_, Some(declared)) => SizeHint::with_exact(declared - state.written + buffered),
            _ => {
                let mut hint = SizeHint::new();
                hint.set_lower(buffered);
                hint
            }
        }
    }
}

impl Drop for GuestBody {
    fn drop(&mut self) {
        if let Some(pipe) = &self.pipe {
            pipe.leave_reader();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    fn poll_frame(body: &mut GuestBody) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()))
    }

    fn data(body: &mut GuestBody) -> Bytes {
        match poll_frame(body) {
            Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap(),
            _ => panic!("no data"),
        }
    }

    #[test]
    fn small_chunks_are_joined_and_large_ones_kept() {
        let pipe = Pipe::new(None);
        for _ in 0..1000 {
            pipe.write(Bytes::from(vec![b'x'])).unwrap();
        }
        assert_eq!(pipe.state.lock().chunks.len(), 1);
        pipe.write(Bytes::from(vec![b'y'; JOINED_BYTES_MAX]))
            .unwrap();
        pipe.finish(None).unwrap();
        let mut body = GuestBody::new(Some(pipe));
        assert_eq!(
            body.size_hint().exact(),
            Some(1000 + JOINED_BYTES_MAX as u64)
        );
        assert_eq!(data(&mut body).len(), 1000);
        assert_eq!(data(&mut body).len(), JOINED_BYTES_MAX);
        assert!(matches!(poll_frame(&mut body), Poll::Ready(None)));
        assert!(body.is_end_stream());
    }

    #[test]
    fn a_full_pipe_has_no_room_until_read() {
        let pipe = Pipe::new(None);
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(pipe.room(), Ok(BUFFERED_BYTES_MAX));
        pipe.write(vec![0; BUFFERED_BYTES_MAX].into()).unwrap();
        assert_eq!(pipe.room(), Ok(0));
        assert!(pipe.poll_room(&mut cx).is_pending());
        let mut body = GuestBody::new(Some(pipe.clone()));
        assert_eq!(data(&mut body).len(), BUFFERED_BYTES_MAX);
        assert!(pipe.poll_room(&mut cx).is_ready());
        drop(body);
        assert_eq!(pipe.room(), Err(WriteError::Closed));
        assert_eq!(pipe.write("x".into()), Err(WriteError::Closed));
    }

    #[test]
    fn length_must_be_as_declared() {
        let pipe = Pipe::new(Some(3));
        pipe.write("ab".into()).unwrap();
        assert_eq!(pipe.write("cd".into()), Err(WriteError::TooLong(4)));
        assert_eq!(pipe.finish(None), Err(WrongLength(2)));
        assert_eq!(pipe.complete(), None);
        let mut body = GuestBody::new(Some(pipe));
        assert_eq!(body.size_hint().exact(), Some(3));
        assert_eq!(data(&mut body), "ab");
        assert!(matches!(
            poll_frame(&mut body),
            Poll::Ready(Some(Err(BrokenOff)))
        ));

        let pipe = Pipe::new(Some(2));
        pipe.write("ab".into()).unwrap();
        pipe.finish(None).unwrap();
        assert_eq!(pipe.complete(), Some("ab".into()));
    }

    #[test]
    fn an_unfinished_body_breaks_off_when_the_guest_dies() {
        let pipe = Pipe::new(None);
        let guest = OutgoingBody {
            pipe: pipe.clone(),
            stream_taken: true,
            of_request: false,
        };
        pipe.write("half".into()).unwrap();
        drop(guest);
        assert!(!pipe.is_finished());
        assert_eq!(pipe.complete(), None);
        let mut body = GuestBody::new(Some(pipe));
        assert_eq!(data(&mut body), "half");
        assert!(matches!(
            poll_frame(&mut body),
            Poll::Ready(Some(Err(BrokenOff)))
        ));
    }

    #[tokio::test]
    async fn both_ends_wake_each_other_across_tasks() {
        const CHUNKS: usize = 300;
        let pipe = Pipe::new(None);
        let body = GuestBody::new(Some(pipe.clone()));
        let writer = tokio::spawn(async move {
            for _ in 0..CHUNKS {
                let mut chunk = Bytes::from(vec![7; 10_000]);
                while !chunk.is_empty() {
                    std::future::poll_fn(|cx| pipe.poll_room(cx)).await;
                    let room = pipe.room().unwrap().min(chunk.len());
                    pipe.write(chunk.split_to(room)).unwrap();
                }
            }
            let mut trailers = HeaderMap::new();
            trailers.insert("x-end", "1".parse().unwrap());
            pipe.finish(Some(trailers)).unwrap();
        });
        let whole = body.collect().await.unwrap();
        assert_eq!(whole.trailers().unwrap()["x-end"], "1");
        assert_eq!(whole.to_bytes().len(), CHUNKS * 10_000);
        writer.await.unwrap();
    }
}
