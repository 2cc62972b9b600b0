//! Running other programs.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// Says what begins now.
pub fn say(text: &str) {
    eprintln!("==> {text}");
}

/// Runs a program that speaks for itself: its output goes where ours goes.
///
/// # Errors
/// When it cannot be started or fails.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = name(command);
    let status = command
        .status()
        .with_context(|| format!("`{name}` cannot be started"))?;
    if !status.success() {
        bail!("`{name}` failed ({status})");
    }
    Ok(())
}

/// Runs a program and returns what it printed.
///
/// # Errors
/// When it cannot be started or fails; with its own words.
pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let name = name(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("`{name}` cannot be started"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        bail!("`{name}` failed ({})\n{}", output.status, words.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The first line of what a program says of itself; none if it is missing or fails.
pub fn answer(program: impl AsRef<OsStr>, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().unwrap_or_default().trim().to_owned();
    output.status.success().then_some(line)
}

/// Runs a program whose standard output is both shown and looked at, line by line; says whether it
/// ended well.
///
/// # Errors
/// When it cannot be started or its output cannot be read.
pub fn watch(command: &mut Command, look: &mut dyn FnMut(&str)) -> anyhow::Result<bool> {
    let name = name(command);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("`{name}` cannot be started"))?;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            look(&line);
        }
    }
    Ok(child.wait()?.success())
}

/// A command whose process ends with this one, however this one ends. (Ctrl-C reaches both anyway.)
pub fn tied(program: &Path) -> Command {
    // Part of util-linux; where it is missing, only a killed xtask leaves its server behind.
    if answer("setpriv", &["--pdeathsig", "TERM", "true"]).is_none() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM"]).arg(program);
    command
}

/// A running program that is stopped when dropped.
pub struct Running(Child);

impl Running {
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command) -> anyhow::Result<Running> {
        let name = name(command);
        let child = command
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("`{name}` cannot be started"))?;
        Ok(Running(child))
    }

    pub fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Asks the process to end and waits for it; kills it if it does not.
    pub fn stop(&mut self) {
        let id = self.0.id().to_string();
        let asked = Command::new("kill").arg(&id).status();
        let began = Instant::now();
        while asked.as_ref().is_ok_and(|status| status.success())
            && began.elapsed() < Duration::from_secs(10)
        {
            if matches!(self.0.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // It may have ended in between: then both are no news.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.stop();
        }
    }
}

/// The command as one would type it.
fn name(command: &Command) -> String {
    let mut words = vec![command.get_program()];
    words.extend(command.get_args());
    words
        .iter()
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
