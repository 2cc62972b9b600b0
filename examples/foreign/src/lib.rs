//! Answers with the request's method and path on the first line, then its body, sent back as it arrives.
//!
//! Written against WASI alone, as for any other host of `wasi:http`.

use wasip2::http::types::{
    Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

struct Echo;

wasip2::http::proxy::export!(Echo);

impl wasip2::exports::http::incoming_handler::Guest for Echo {
    fn handle(request: IncomingRequest, response_out: ResponseOutparam) {
        let headers = Fields::new();
        headers
            .append("content-type", b"text/plain; charset=utf-8")
            .expect("the name and the value are valid");
        let response = OutgoingResponse::new(headers);
        let body = response.body().expect("the body is taken once");
        ResponseOutparam::set(response_out, Ok(response));

        let output = body.write().expect("the stream is taken once");
        let echoed = echo(&request, &output);
        drop(output);
        // A body that is not finished tells the client that something is missing.
        if echoed.is_ok() {
            let _ = OutgoingBody::finish(body, None);
        }
    }
}

fn echo(request: &IncomingRequest, output: &OutputStream) -> Result<(), StreamError> {
    let path = request.path_with_query().unwrap_or_default();
    let first_line = format!("{} {path}\n", method_name(&request.method()));
    send(output, first_line.as_bytes())?;
    let Ok(body) = request.consume() else {
        return Ok(());
    };
    let Ok(input) = body.stream() else {
        return Ok(());
    };
    copy(&input, output)
}

fn copy(input: &InputStream, output: &OutputStream) -> Result<(), StreamError> {
    loop {
        match input.blocking_read(16 * 1024) {
            Ok(chunk) => send(output, &chunk)?,
            Err(StreamError::Closed) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

fn send(output: &OutputStream, bytes: &[u8]) -> Result<(), StreamError> {
    // 4096 is the most this call takes.
    bytes
        .chunks(4096)
        .try_for_each(|chunk| output.blocking_write_and_flush(chunk))
}

fn method_name(method: &Method) -> &str {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(name) => name,
    }
}
