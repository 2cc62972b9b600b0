//! A before-trigger that loops for ever.

use std::hint::black_box;

use pumice::Change;
use serde::de::IgnoredAny;

#[pumice::before_trigger]
fn spin(_: Change<IgnoredAny>) {
    loop {
        black_box(0);
    }
}
