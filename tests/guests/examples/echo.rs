//! Sends the request's body back as it arrives.

use pumice::http::{Request, Response};

#[pumice::function]
fn echo(mut request: Request) -> Response {
    let content_type = request
        .header("content-type")
        .unwrap_or("application/octet-stream")
        .to_owned();
    Response::stream(move |writer| {
        while let Some(chunk) = request.body().chunk()? {
            writer.send(&chunk)?;
        }
        Ok(())
    })
    .header("content-type", content_type)
}
