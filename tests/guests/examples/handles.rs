//! Makes resources in the host and keeps them: `count`, a million by default. Stopped by: handles.

use guests::number;
use pumice::Result;
use pumice::http::Request;
use wasip2::http::types::Fields;

#[pumice::function]
fn handles(request: Request) -> Result<String> {
    let count = number(&request, "count", 1_000_000)?;
    let kept: Vec<Fields> = (0..count).map(|_| Fields::new()).collect();
    let answer = format!("kept {}\n", kept.len());
    std::mem::forget(kept);
    Ok(answer)
}
