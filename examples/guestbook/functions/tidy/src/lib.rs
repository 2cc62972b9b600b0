//! Before an entry is written: trims its message, and refuses what should not be in the book.

use pumice::{Change, Rejection, Verdict, reject};
use serde::{Deserialize, Serialize};

/// The columns this trigger is about; the others stay as they are.
#[derive(Deserialize, Serialize)]
struct Entry {
    message: String,
}

const RUDE: [&str; 3] = ["idiot", "stupid", "damn"];

#[pumice::before_trigger]
fn tidy(change: Change<Entry>) -> Result<Verdict<Entry>, Rejection> {
    let message = change.row().message.trim();
    if message.is_empty() {
        return Err(reject("empty", "say something"));
    }
    let mut words = message.split(|c: char| !c.is_alphanumeric());
    if words.any(|word| RUDE.contains(&word.to_lowercase().as_str())) {
        return Err(reject("rude", "please be kind"));
    }
    Ok(Verdict::Replace(Entry {
        message: message.to_owned(),
    }))
}
