//! A body on its way to the guest: of the request it answers, or of a response it asked for.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Body;
use tokio::time::Sleep;

use super::error::HttpFault;

/// Where the bytes come from.
#[derive(Debug, Default)]
pub enum IncomingBody {
    #[default]
    Empty,
    Full(Bytes),
    Hyper(hyper::body::Incoming),
}

/// The resource `incoming-body`. Its stream is a child that reads through it.
pub(crate) struct BodyReader {
    source: IncomingBody,
    buffer: Bytes,
    end: Option<Result<Option<HeaderMap>, HttpFault>>,
    pub(crate) stream_taken: bool,
    stall: Option<Stall>,
    bytes_left: u64,
    bytes_max: u64,
}

/// The resource `future-trailers`: the body it came from, read to its end.
pub(crate) struct FutureTrailers {
    pub(crate) body: Box<BodyReader>,
    pub(crate) taken: bool,
}

/// The longest wait between two chunks. It counts from when somebody first waited for nothing; a
/// look that does not wait starts no clock.
struct Stall {
    longest: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

/// What a read that does not wait finds.
pub(crate) enum Read {
    Data(Bytes),
    /// Nothing yet.
    Empty,
    End,
    Fault(HttpFault),
}

impl BodyReader {
    pub(crate) fn new(source: IncomingBody) -> Self {
        BodyReader {
            source,
            buffer: Bytes::new(),
            end: None,
            stream_taken: false,
            stall: None,
            bytes_left: u64::MAX,
            bytes_max: u64::MAX,
        }
    }

    /// Errs with [`HttpFault::TooLong`] after `max` bytes. Without it, the guest's limit on bytes across
    /// the boundary holds alone.
    pub(crate) fn limited_to(mut self, max: u64) -> Self {
        self.bytes_left = max;
        self.bytes_max = max;
        self
    }

    /// Errs with [`HttpFault::ReadTimeout`] when nothing comes for `longest`. Reading then needs tokio's timer.
    ///
    /// A reader that does other things between its reads is not blamed on the sender: whatever has come
    /// in the meantime is found before the clock is looked at.
    pub(crate) fn with_stall(mut self, longest: Duration) -> Self {
        self.stall = Some(Stall {
            longest,
            sleep: None,
        });
        self
    }

    /// Ready when `read` will not answer [`Read::Empty`].
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.advance(cx, true)
    }

    /// Finds what is there already, without a waker; whoever waits polls again with his.
    fn look(&mut self) {
        let _ = self.advance(&mut Context::from_waker(Waker::noop()), false);
    }

    fn advance(&mut self, cx: &mut Context<'_>, waits: bool) -> Poll<()> {
        while self.buffer.is_empty() && self.end.is_none() {
            match &mut self.source {
                IncomingBody::Empty => self.end = Some(Ok(None)),
                IncomingBody::Full(bytes) => {
                    self.buffer = std::mem::take(bytes);
                    self.source = IncomingBody::Empty;
                }
                IncomingBody::Hyper(incoming) => match Pin::new(incoming).poll_frame(cx) {
                    Poll::Ready(frame) => {
                        if let Some(stall) = &mut self.stall {
                            stall.sleep = None;
                        }
                        match frame {
                            Some(Ok(frame)) => match frame.into_data() {
                                Ok(data) => match self.bytes_left.checked_sub(data.len() as u64) {
                                    Some(left) => {
                                        self.bytes_left = left;
                                        self.buffer = data;
                                    }
                                    None => {
                                        self.end = Some(Err(HttpFault::TooLong(self.bytes_max)))
                                    }
                                },
                                Err(frame) => self.end = Some(Ok(frame.into_trailers().ok())),
                            },
                            Some(Err(error)) => self.end = Some(Err(error.into())),
                            None => self.end = Some(Ok(None)),
                        }
                    }
                    Poll::Pending => {
                        let Some(Stall { longest, sleep }) = &mut self.stall else {
                            return Poll::Pending;
                        };
                        if !waits {
                            return Poll::Pending;
                        }
                        let sleep =
                            sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(*longest)));
                        if sleep.as_mut().poll(cx).is_pending() {
                            return Poll::Pending;
                        }
                        self.end = Some(Err(HttpFault::ReadTimeout));
                        self.source = IncomingBody::Empty;
                    }
                },
            }
        }
        Poll::Ready(())
    }

    /// Up to `max` bytes, without waiting.
    pub(crate) fn read(&mut self, max: usize) -> Read {
        if self.buffer.is_empty() && self.end.is_none() {
            self.look();
        }
        if !self.buffer.is_empty() {
            return Read::Data(self.buffer.split_to(max.min(self.buffer.len())));
        }
        match &self.end {
            None => Read::Empty,
            Some(Ok(_)) => Read::End,
            Some(Err(fault)) => Read::Fault(fault.clone()),
        }
    }

    /// Whether the end is there already; like `poll_end`, but nobody waits.
    pub(crate) fn try_end(&mut self) -> bool {
        while self.end.is_none() {
            self.buffer = Bytes::new();
            self.look();
            if self.end.is_none() && self.buffer.is_empty() {
                return false;
            }
        }
        true
    }

    /// Reads on to the end, throwing data away, and is ready when the trailers are known.
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.end.is_none() {
            self.buffer = Bytes::new();
            if self.poll_ready(cx).is_pending() {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }

    /// The trailers, once `poll_end` is ready.
    pub(crate) fn take_end(&mut self) -> Option<Result<Option<HeaderMap>, HttpFault>> {
        self.end.take()
    }
}

#[cfg(test)]
impl BodyReader {
    pub(crate) fn longest_stall(&self) -> Option<Duration> {
        self.stall.as_ref().map(|stall| stall.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_in_memory_reads_to_its_end() {
        let mut body = BodyReader::new(IncomingBody::Full("hello".into()));
        let mut read = |max| match body.read(max) {
            Read::Data(bytes) => bytes,
            Read::End => "end".into(),
            Read::Empty | Read::Fault(_) => "?".into(),
        };
        assert_eq!(read(2), "he");
        assert_eq!(read(9), "llo");
        assert_eq!(read(9), "end");
        let mut cx = Context::from_waker(Waker::noop());
        assert!(body.poll_end(&mut cx).is_ready());
        assert_eq!(body.take_end(), Some(Ok(None)));
    }

    /// A body of which `sent` comes and then nothing, for as long as the second value lives.
    async fn stalled(sent: &[u8]) -> (IncomingBody, impl Sized) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (client, mut server) = tokio::io::duplex(1024);
        let client = hyper_util::rt::TokioIo::new(client);
        let (mut send, connection) = hyper::client::conn::http1::handshake(client).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = http::Request::new(http_body_util::Empty::<Bytes>::new());
        let answer = async {
            // hyper holds an answer that comes before its request to be a fault.
            server.read_buf(&mut Vec::new()).await.unwrap();
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n";
            server.write_all(head).await.unwrap();
            server.write_all(sent).await.unwrap();
        };
        let (response, ()) = tokio::join!(send.send_request(request), answer);
        let response = response.unwrap();
        let body = IncomingBody::Hyper(response.into_body());
        (body, (server, send, connection))
    }

    #[tokio::test]
    async fn a_sender_that_stalls_ends_the_read() {
        let (body, _connection) = stalled(b"half").await;
        let longest = Duration::from_millis(30);
        let mut body = BodyReader::new(body).with_stall(longest);
        std::future::poll_fn(|cx| body.poll_ready(cx)).await;
        assert!(matches!(body.read(9), Read::Data(bytes) if bytes == "half"));
        // Looking is not waiting: no clock runs, however long it goes on.
        assert!(matches!(body.read(9), Read::Empty));
        assert!(!body.try_end());
        assert!(body.stall.as_ref().unwrap().sleep.is_none());
        tokio::time::sleep(2 * longest).await;
        assert!(matches!(body.read(9), Read::Empty));
        let began = std::time::Instant::now();
        std::future::poll_fn(|cx| body.poll_ready(cx)).await;
        assert!(began.elapsed() >= longest);
        assert!(matches!(body.read(9), Read::Fault(HttpFault::ReadTimeout)));
    }
}
