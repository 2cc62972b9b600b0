//! `bench/RESULTS.md`, put together from the rows as they were last measured.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::numbers::short;
use crate::process::output;

/// A promise and what became of it.
pub struct Verdict {
    /// The promise in words, its figure included.
    pub budget: &'static str,
    pub measured: String,
    /// None when it is kept; else how many times too much or too little it is.
    pub missed_by: Option<f64>,
}

impl Verdict {
    /// For a figure that must be at least `floor`.
    pub fn at_least(budget: &'static str, floor: f64, measured: f64, unit: &str) -> Verdict {
        Verdict {
            budget,
            measured: format!("{}{unit}", short(measured)),
            missed_by: (measured < floor).then(|| floor / measured.max(f64::MIN_POSITIVE)),
        }
    }

    /// For a figure that must be at most `ceiling`.
    pub fn at_most(budget: &'static str, ceiling: f64, measured: f64, unit: &str) -> Verdict {
        Verdict {
            budget,
            measured: format!("{}{unit}", short(measured)),
            missed_by: (measured > ceiling).then(|| measured / ceiling.max(f64::MIN_POSITIVE)),
        }
    }

    fn result(&self) -> String {
        match self.missed_by {
            None => "met".to_owned(),
            Some(times) => format!("**missed by {}×**", short(times)),
        }
    }
}

/// What one row found.
#[derive(Default)]
pub struct Section {
    pub verdicts: Vec<Verdict>,
    /// Markdown.
    text: String,
}

impl Section {
    /// Adds a table.
    pub fn table(&mut self, heads: &[&str], rows: &[Vec<String>]) {
        self.text.push_str(&format!("| {} |\n", heads.join(" | ")));
        // Figures stand to the right, names to the left.
        let dashes: Vec<&str> = heads
            .iter()
            .enumerate()
            .map(|(index, _)| if index == 0 { "---" } else { "---:" })
            .collect();
        self.text.push_str(&format!("|{}|\n", dashes.join("|")));
        for row in rows {
            self.text.push_str(&format!("| {} |\n", row.join(" | ")));
        }
        self.text.push('\n');
    }

    /// Adds a paragraph.
    pub fn note(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push_str("\n\n");
    }

    /// For the terminal.
    pub fn as_text(&self) -> String {
        let mut text = self.text.clone();
        for verdict in &self.verdicts {
            text.push_str(&format!(
                "{}: {}, {}\n",
                verdict.budget,
                verdict.measured,
                verdict.result().replace('*', "")
            ));
        }
        text
    }
}

/// Rows as they were measured, kept below `target` until the next report.
pub struct Store {
    folder: PathBuf,
    report: PathBuf,
    quick: bool,
}

impl Store {
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(root: &Path, quick: bool) -> anyhow::Result<Store> {
        let folder = root
            .join("target/bench")
            .join(if quick { "quick" } else { "full" });
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        // Figures of a quick run are not for keeping.
        let report = if quick {
            root.join("target/bench/RESULTS.md")
        } else {
            root.join("bench/RESULTS.md")
        };
        Ok(Store {
            folder,
            report,
            quick,
        })
    }

    /// Keeps what a row found.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, name: &str, title: &str, section: &Section) -> anyhow::Result<()> {
        let verdicts = section.verdicts.iter().map(|verdict| {
            json!({ "budget": verdict.budget, "measured": verdict.measured, "result": verdict.result() })
        });
        let date = output(std::process::Command::new("date").arg("+%Y-%m-%d"))?;
        let row = json!({
            "title": title, "text": section.text, "date": date.trim(),
            "verdicts": verdicts.collect::<Vec<_>>(),
        });
        fs::write(self.path(name), row.to_string())?;
        Ok(())
    }

    /// Writes the report of all rows that were ever measured in this checkout, in this order.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, order: &[&str], facts: &[String]) -> anyhow::Result<PathBuf> {
        let rows: Vec<Value> = order
            .iter()
            .filter_map(|name| serde_json::from_slice(&fs::read(self.path(name)).ok()?).ok())
            .collect();
        if let Some(folder) = self.report.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&self.report, self.text(&rows, facts))
            .with_context(|| self.report.display().to_string())?;
        Ok(self.report.clone())
    }

    fn text(&self, rows: &[Value], facts: &[String]) -> String {
        let string = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let mut text = "# Bench results\n\nWritten by `cargo xtask bench`. ".to_owned();
        text.push_str(
            "Those compared take turns on one machine; figures are medians of the turns. ",
        );
        text.push_str("Between machines and sessions only ratios compare.\n\n");
        if self.quick {
            text.push_str("**A quick run: it shows that the bench works, and no more.**\n\n");
        }
        for fact in facts {
            text.push_str(&format!("- {fact}\n"));
        }
        text.push_str("\n| Promise | Measured | |\n|---|---:|---|\n");
        for row in rows {
            for verdict in row["verdicts"].as_array().into_iter().flatten() {
                text.push_str(&format!(
                    "| {} | {} | {} |\n",
                    string(verdict, "budget"),
                    string(verdict, "measured"),
                    string(verdict, "result")
                ));
            }
        }
        for row in rows {
            text.push_str(&format!(
                "\n## {}\n\nTaken {}.\n\n{}\n",
                string(row, "title"),
                string(row, "date"),
                string(row, "text").trim_end()
            ));
        }
        text
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_budget_says_by_how_much() {
        let check = |verdict: Verdict, expect: &str| assert_eq!(verdict.result(), expect);
        check(Verdict::at_least("", 4.0, 4.0, "×"), "met");
        check(Verdict::at_least("", 4.0, 2.0, "×"), "**missed by 2.00×**");
        check(Verdict::at_most("", 50.0, 50.0, " ms"), "met");
        check(
            Verdict::at_most("", 50.0, 75.0, " ms"),
            "**missed by 1.50×**",
        );
    }
}
