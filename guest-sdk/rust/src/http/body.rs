use std::io;
use std::mem::ManuallyDrop;

use serde::de::DeserializeOwned;
use wasip2::http::types::{IncomingBody, InputStream};

use crate::stream::{self, CHUNK_BYTES_MAX};
use crate::{Error, Result};

/// A body that arrives. Each part is read once, as it comes.
pub struct Body {
    state: State,
    /// What the host handed over beyond the space of the last [`Body::read`].
    spare: Vec<u8>,
    spare_start: usize,
}

enum State {
    Open(Open),
    Ended,
}

/// The stream is a child of the body, and a child goes first: hence the order of the fields, which is the
/// order they are dropped in.
struct Open {
    stream: InputStream,
    _body: IncomingBody,
}

impl Body {
    /// `None` stands for a body somebody has already taken: it reads as empty.
    pub(crate) fn from_host(body: Option<IncomingBody>) -> Self {
        let open = body.and_then(|body| {
            let stream = body.stream().ok()?;
            Some(Open {
                stream,
                _body: body,
            })
        });
        Self {
            state: open.map_or(State::Ended, State::Open),
            spare: Vec::new(),
            spare_start: 0,
        }
    }

    /// Waits for the next part and returns it; `None` at the end.
    ///
    /// # Errors
    /// If the connection broke before the end.
    pub fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.spare_start < self.spare.len() {
            let rest = self.spare.split_off(self.spare_start);
            self.spare = Vec::new();
            self.spare_start = 0;
            return Ok(Some(rest));
        }
        self.next_from_host(CHUNK_BYTES_MAX)
    }

    /// Fills the start of `buffer` and returns how many bytes that were; 0 at the end.
    ///
    /// # Errors
    /// If the connection broke before the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.spare_start == self.spare.len() {
            let len = buffer.len().min(CHUNK_BYTES_MAX);
            match self.next_from_host(len)? {
                Some(chunk) => (self.spare, self.spare_start) = (chunk, 0),
                None => return Ok(0),
            }
        }
        let spare = &self.spare[self.spare_start..];
        let taken = spare.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&spare[..taken]);
        self.spare_start += taken;
        Ok(taken)
    }

    /// Everything that is left.
    ///
    /// # Errors
    /// If the connection broke before the end.
    pub fn bytes(&mut self) -> Result<Vec<u8>> {
        let mut bytes = self.chunk()?.unwrap_or_default();
        while let Some(chunk) = self.chunk()? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// Everything that is left, as text.
    ///
    /// # Errors
    /// 400 `invalid_text` if it is not UTF-8.
    pub fn text(&mut self) -> Result<String> {
        String::from_utf8(self.bytes()?)
            .map_err(|_| Error::bad_request("invalid_text", "the body is not UTF-8 text"))
    }

    /// Everything that is left, read as JSON.
    ///
    /// # Errors
    /// 400 `invalid_json`, naming line, column and what was expected.
    pub fn json<T: DeserializeOwned>(&mut self) -> Result<T> {
        let bytes = self.bytes()?;
        serde_json::from_slice(&bytes)
            .map_err(|error| Error::bad_request("invalid_json", format!("the body: {error}")))
    }

    fn next_from_host(&mut self, len: usize) -> io::Result<Option<Vec<u8>>> {
        let State::Open(open) = &self.state else {
            return Ok(None);
        };
        let chunk = stream::chunk(&open.stream, len);
        if !matches!(chunk, Ok(Some(_))) {
            self.state = State::Ended;
        }
        chunk
    }

    /// Leaves the resources to the end of the instance, which takes them all at once: giving them back one
    /// by one would be a host call each.
    pub(crate) fn leave_to_the_host(&mut self) {
        if let State::Open(open) = std::mem::replace(&mut self.state, State::Ended) {
            let _ = ManuallyDrop::new(open);
        }
    }
}

impl io::Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Body::read(self, buffer)
    }
}
