//! The host's streams as the standard library's.

use std::io;

use wasip2::io::streams::{InputStream, OutputStream, StreamError};

/// The most bytes one read asks the host for: large enough that a big body takes few calls, small enough
/// that reading does not grow the memory a function starts with.
pub(crate) const CHUNK_BYTES_MAX: usize = 64 * 1024;

/// Waits for the next bytes, at most `len`, and returns them; `None` at the end.
pub(crate) fn chunk(stream: &InputStream, len: usize) -> io::Result<Option<Vec<u8>>> {
    loop {
        match stream.blocking_read(len.min(CHUNK_BYTES_MAX) as u64) {
            // A host may wake a reader with nothing to read.
            Ok(chunk) if chunk.is_empty() => {}
            Ok(chunk) => return Ok(Some(chunk)),
            Err(StreamError::Closed) => return Ok(None),
            Err(StreamError::LastOperationFailed(error)) => {
                return Err(io::Error::other(error.to_debug_string()));
            }
        }
    }
}

/// Writes as much of `bytes` as there is room for, which it waits for, and returns how much that was.
pub(crate) fn write(stream: &OutputStream, bytes: &[u8]) -> io::Result<usize> {
    if bytes.is_empty() {
        return Ok(0);
    }
    loop {
        let room = stream.check_write().map_err(write_error)?;
        if room > 0 {
            let len = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
            stream.write(&bytes[..len]).map_err(write_error)?;
            return Ok(len);
        }
        stream.subscribe().block();
    }
}

pub(crate) fn write_error(error: StreamError) -> io::Error {
    match error {
        StreamError::Closed => io::ErrorKind::BrokenPipe.into(),
        StreamError::LastOperationFailed(error) => io::Error::other(error.to_debug_string()),
    }
}
