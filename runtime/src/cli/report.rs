//! What the commands say: data on standard output, progress and errors on standard error.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// How to speak.
pub struct Report {
    json: bool,
}

/// A step under way; finished when dropped.
pub struct Step {
    bar: Option<ProgressBar>,
    name: String,
    began: Instant,
}

impl Report {
    pub fn new(json: bool) -> Report {
        Report { json }
    }

    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Prints data: as one line of JSON, or as `human` prints it.
    pub fn data<T: Serialize>(&self, data: &T, human: impl FnOnce(&T)) {
        if !self.json {
            return human(data);
        }
        match serde_json::to_string(data) {
            Ok(text) => println!("{text}"),
            Err(error) => eprintln!("error: {error}"),
        }
    }

    /// Says something that is not data.
    pub fn note(&self, text: &str) {
        eprintln!("{text}");
    }

    pub fn error(&self, error: &anyhow::Error) {
        if self.json {
            eprintln!("{}", serde_json::json!({ "error": format!("{error:#}") }));
        } else {
            eprintln!("error: {error:#}");
        }
    }

    /// Begins a step that may take long.
    pub fn step(&self, name: impl Into<String>) -> Step {
        let name = name.into();
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner().with_message(name.clone());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        if bar.is_none() {
            eprintln!("{name} …");
        }
        Step {
            bar,
            name,
            began: Instant::now(),
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        let seconds = self.began.elapsed().as_secs_f32();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            eprintln!("{} ({seconds:.1} s)", self.name);
        } else if seconds > 5.0 {
            eprintln!("{}: done in {seconds:.1} s", self.name);
        }
    }
}
