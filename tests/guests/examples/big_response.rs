//! A body of `bytes` (1 MiB by default) in parts of 64 KiB. Stopped by: response bytes, when over.

use std::io::Write;

use guests::number;
use pumice::Result;
use pumice::http::{Request, Response};

#[pumice::function]
fn big_response(request: Request) -> Result<Response> {
    let bytes = number(&request, "bytes", 1_u64 << 20)?;
    Ok(Response::stream(move |writer| {
        let part = [b'x'; 64 * 1024];
        let mut left = bytes;
        while left > 0 {
            let len = left.min(part.len() as u64);
            writer.write_all(&part[..len as usize])?;
            left -= len;
        }
        Ok(writer.flush()?)
    }))
}
