//! What arrived: `{"method", "path", "query", "headers": [[name, value], …]}`, as the host hands it over.

use pumice::http::{Json, Request};
use serde_json::{Value, json};

#[pumice::function]
fn seen(request: Request) -> Json<Value> {
    let headers: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| [name.to_owned(), String::from_utf8_lossy(value).into_owned()])
        .collect();
    Json(json!({
        "method": request.method().as_str(),
        "path": request.path(),
        "query": request.query_string(),
        "headers": headers,
    }))
}
