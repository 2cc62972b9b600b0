//! What the figures were taken on, and what the kernel counts for a process.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::process::answer;

/// Ticks of `/proc/<pid>/stat` in a second: what Linux shows to programs, whatever its own clock.
const TICKS_PER_SECOND: u64 = 100;

/// Processor time of a process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    pub own: Duration,
    /// That of its children which have ended.
    pub children: Duration,
}

/// # Errors
/// When there is no such process, or no `/proc`.
pub fn cpu(id: u32) -> anyhow::Result<Cpu> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).context("/proc/<pid>/stat")?;
    // The second field is the program's name in brackets, and may hold anything.
    let (_, fields) = text.rsplit_once(')').context("/proc/<pid>/stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    // Fields 14 to 17 of proc(5); these begin with the third.
    let ticks = |field: usize| -> u64 {
        fields
            .get(field - 3)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    };
    let time = |ticks: u64| Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND);
    Ok(Cpu {
        own: time(ticks(14) + ticks(15)),
        children: time(ticks(16) + ticks(17)),
    })
}

/// Resident memory in bytes, files that are mapped included.
///
/// # Errors
/// When there is no such process, or no `/proc`.
pub fn resident(id: u32) -> anyhow::Result<u64> {
    status(id, "VmRSS:")
}

/// The most memory that was ever resident, in bytes; since [`forget_peak`] if that was called.
///
/// # Errors
/// As [`resident`].
pub fn peak(id: u32) -> anyhow::Result<u64> {
    status(id, "VmHWM:")
}

/// Lets [`peak`] count from now on.
///
/// # Errors
/// When there is no such process, or it is not ours.
pub fn forget_peak(id: u32) -> anyhow::Result<()> {
    // 5 resets the peak, by proc(5).
    fs::write(format!("/proc/{id}/clear_refs"), "5").context("/proc/<pid>/clear_refs")
}

/// A line of a process's status that counts KiB, in bytes.
fn status(id: u32, name: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/status")).context("/proc/<pid>/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(number.with_context(|| name.to_owned())? * 1024)
}

/// How many files and connections this process may have open.
pub fn open_files_max() -> usize {
    let text = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3));
    match soft {
        Some("unlimited") => usize::MAX,
        // What Linux gives a process unless told otherwise.
        other => other.and_then(|number| number.parse().ok()).unwrap_or(1024),
    }
}

/// How often in a second a file in `folder` can be written and waited for until it is on the disk: what one
/// writer at a time could commit at most.
///
/// # Errors
/// When it cannot be written.
pub fn syncs_per_second(folder: &Path) -> anyhow::Result<f64> {
    let path = folder.join("syncs");
    let mut file = fs::File::create(&path).with_context(|| path.display().to_string())?;
    let began = Instant::now();
    let mut count = 0.0;
    while began.elapsed() < Duration::from_secs(1) {
        file.write_all(&[1; 4096])?;
        file.sync_data()?;
        count += 1.0;
    }
    let rate = count / began.elapsed().as_secs_f64();
    fs::remove_file(&path)?;
    Ok(rate)
}

/// Lines for the report's head.
pub fn facts(pumice: &Path) -> Vec<String> {
    let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |path: &str, name: &str| {
        let text = file(path);
        let line = text.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.split_once(':'));
        value.map_or_else(
            || "unknown".to_owned(),
            |(_, value)| value.trim().to_owned(),
        )
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = field("/proc/meminfo", "MemTotal");
    let mut facts = vec![
        format!(
            "{} cores of {}, {memory} of memory",
            cores,
            field("/proc/cpuinfo", "model name")
        ),
        format!("Linux {}", file("/proc/sys/kernel/osrelease").trim()),
        format!(
            "load before the end of the run: {}",
            file("/proc/loadavg").trim()
        ),
    ];
    facts.extend(answer(pumice, &["--version"]));
    facts.extend(answer("rustc", &["--version"]));
    let commit = answer("git", &["describe", "--always", "--dirty"]);
    facts.extend(commit.map(|commit| format!("commit {commit}")));
    let doctor = answer(pumice, &["doctor", "--json"]).unwrap_or_default();
    let findings: serde_json::Value = serde_json::from_str(&doctor).unwrap_or_default();
    for finding in findings.as_array().into_iter().flatten() {
        if matches!(finding["what"].as_str(), Some("engine" | "memory reset")) {
            let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
            facts.push(format!("{}: {}", text("what"), text("detail")));
        }
    }
    facts
}
