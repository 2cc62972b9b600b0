//! Counts the points of a grid that stay bounded under z² + c, `rows` times 64 of them (64 by default).

use std::hint::black_box;

use guests::number;
use pumice::Result;
use pumice::http::Request;

#[pumice::function]
fn float_work(request: Request) -> Result<String> {
    let rows = number(&request, "rows", 64_u32)?;
    let mut inside = 0_u32;
    for row in 0..rows {
        for column in 0..64_u32 {
            let x = f64::from(column) / 64.0 * 3.0 - 2.0;
            let y = f64::from(row % 64) / 64.0 * 2.0 - 1.0;
            inside += u32::from(is_bounded(black_box(x), black_box(y)));
        }
    }
    Ok(format!("{inside} points\n"))
}

fn is_bounded(x: f64, y: f64) -> bool {
    let (mut re, mut im) = (0.0, 0.0);
    for _ in 0..200 {
        (re, im) = (re * re - im * im + x, 2.0 * re * im + y);
        if re * re + im * im > 4.0 {
            return false;
        }
    }
    true
}
