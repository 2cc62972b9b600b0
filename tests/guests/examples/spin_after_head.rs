//! Sends a head and one part of a body, then never ends. Stopped by: CPU or fuel; the client sees a body
//! that breaks off.

use pumice::http::Response;

#[pumice::function]
fn spin_after_head() -> Response {
    Response::stream(|writer| {
        writer.send(b"so far so good\n")?;
        loop {
            std::hint::black_box(());
        }
    })
}
