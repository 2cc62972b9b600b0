//! Adds `by` (1) to the counter `key` (`visits`) and answers the sum. `ttl_ms` is its lifetime, a day by
//! default; `delete=1` takes it away and answers 204.

use std::time::Duration;

use guests::{number, word};
use pumice::http::{Request, Response};
use pumice::{Result, cache};

#[pumice::function]
fn counter(request: Request) -> Result<Response> {
    let key = word(&request, "key", "visits");
    let by = number(&request, "by", 1)?;
    let lifetime = match number(&request, "ttl_ms", 0)? {
        0 => None,
        ttl_ms => Some(Duration::from_millis(ttl_ms)),
    };
    if request.query("delete").is_some() {
        cache::delete(&key)?;
        return Ok(Response::new(204));
    }
    let sum = cache::increment(&key, by, lifetime)?;
    Ok(Response::text(format!("{sum}\n")))
}
