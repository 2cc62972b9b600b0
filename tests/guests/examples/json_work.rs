//! Reads and writes a JSON document of about 100 KB, `times` times (1 by default).

use std::hint::black_box;

use guests::number;
use pumice::Result;
use pumice::http::Request;
use serde_json::{Value, json};

#[pumice::function]
fn json_work(request: Request) -> Result<String> {
    let times = number(&request, "times", 1)?;
    let mut text = document();
    for _ in 0..times {
        let value: Value = serde_json::from_str(black_box(&text))?;
        text = serde_json::to_string(&value)?;
    }
    Ok(format!("{} bytes\n", text.len()))
}

fn document() -> String {
    let rows: Vec<Value> = (0..800)
        .map(|id| {
            json!({
                "id": id,
                "name": format!("thing number {id}"),
                "price": f64::from(id) * 1.25,
                "tags": ["red", "green", "blue"],
                "in_stock": id % 3 == 0,
                "note": "a sentence of the usual length",
            })
        })
        .collect();
    json!(rows).to_string()
}
