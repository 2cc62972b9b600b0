//! Every form an answer of the SDK can take, chosen by `as`; `json` reads the body first.

use std::io;

use guests::{unknown, word};
use pumice::http::{Request, Response};
use pumice::{Error, Result};
use serde_json::{Value, json};

#[pumice::function]
fn answers(mut request: Request) -> Result<Response> {
    match word(&request, "as", "text").as_str() {
        "text" => Ok(Response::text("text\n")),
        // 400 `invalid_json` for a body that is none.
        "json" => Response::json(&json!({ "got": request.json::<Value>()? })),
        "bytes" => Ok(Response::bytes(&[0_u8, 159, 146, 150][..])),
        "empty" => Ok(Response::new(204)),
        "status" => Ok(Response::text("short and stout\n").status(418)),
        "cookies" => {
            let mut response = Response::text("two cookies\n");
            response.headers().append("set-cookie", "a=1");
            response.headers().append("set-cookie", "b=2");
            Ok(response)
        }
        // 409 with this code and message.
        "refusal" => Err(Error::conflict("already_there", "there is one already")),
        // 500 with a fixed text; `the cause` goes to the log.
        "cause" => Err(io::Error::other("the cause"))?,
        // 500, because no host can send this header.
        "bad_header" => Ok(Response::text("never seen\n").header("bad\nname", "x")),
        // A body that breaks off after its first line.
        "broken_stream" => Ok(Response::stream(|writer| {
            writer.send(b"the first line\n")?;
            Err(io::Error::other("the stream broke"))?
        })),
        other => Err(unknown("as", other)),
    }
}
