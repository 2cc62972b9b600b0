//! Running other programs: with a time limit, or with their messages as they come.

use std::io::{self, BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::BuildError;

/// What a program that ran to its end left behind.
pub(crate) struct Finished {
    pub succeeded: bool,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a program and hands each line of its standard error to `line` as it comes. Standard output is
/// collected beside it, so that neither pipe can fill up and hold the program.
pub(crate) fn run(command: &mut Command, line: &mut dyn FnMut(&str)) -> io::Result<Finished> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let pipes = child.stdout.take().zip(child.stderr.take());
    let (mut out, err) = pipes.expect("both were asked for as pipes");
    let collected = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        out.read_to_end(&mut bytes).map(|_| bytes)
    });
    let mut stderr = String::new();
    for text in BufReader::new(err).split(b'\n') {
        let text = String::from_utf8_lossy(&text?).into_owned();
        line(&text);
        stderr.push_str(&text);
        stderr.push('\n');
    }
    let status = child.wait()?;
    let stdout = collected
        .join()
        .map_err(|_| io::Error::other("the reader of standard output failed"))??;
    Ok(Finished {
        succeeded: status.success(),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr,
    })
}

/// Runs a program whose answer is one short text; `None` if it is missing or fails.
pub(crate) fn answer(program: &str, arguments: &[&str]) -> Option<String> {
    let finished = run(Command::new(program).args(arguments), &mut |_| {}).ok()?;
    finished
        .succeeded
        .then(|| finished.stdout.trim().to_owned())
}

/// Runs a program for its effect and kills it at the deadline. Its messages are not kept: a pipe nobody
/// reads could hold it.
///
/// # Errors
/// A sentence for people.
pub(crate) fn run_until(command: &mut Command, deadline: Duration) -> Result<(), String> {
    let name = format!("{command:?}").replace('"', "");
    let started = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("`{name}`: {error}"))?;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("`{name}` failed ({status})")),
            Ok(None) if started.elapsed() < deadline => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Ok(None) => {
                // Nothing to do if it ended by itself in this very moment.
                let _ = child.kill();
                let _ = child.wait();
                let seconds = deadline.as_secs();
                return Err(format!("`{name}` did not end within {seconds} s"));
            }
            Err(error) => return Err(format!("`{name}`: {error}")),
        }
    }
}

/// The error for a program that could not even start.
pub(crate) fn start_error(
    program: &'static str,
    fix: &'static str,
) -> impl FnOnce(io::Error) -> BuildError {
    move |error| match error.kind() {
        io::ErrorKind::NotFound => BuildError::NoProgram { program, fix },
        _ => BuildError::Command {
            command: program.into(),
            text: error.to_string(),
        },
    }
}
