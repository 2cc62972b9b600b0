//! An open-loop load generator: requests begin when the schedule says so, whether or not earlier ones
//! have been answered, and each one's latency counts from when it should have begun. A server that
//! stalls then shows its stall in every request that fell into it. And a closed one, where wrk cannot say what
//! is sent next.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::anyhow;

use super::numbers::{ms, percentile};
use super::wrk::Turn;
use crate::http::Connection;

/// Connections that share the schedule. More than can be under way at once, unless the server stalls for
/// a quarter of a second at 200 requests a second; then the schedule waits, and the latencies say so.
const CONNECTIONS: usize = 48;

/// What a run showed.
#[derive(Debug)]
pub struct Latencies {
    /// In milliseconds, of requests answered with 200.
    pub ms: Vec<f64>,
    pub failed: u64,
}

/// Sends `per_second` requests a second to `path` for so long.
pub fn open_loop(url: &str, path: &str, per_second: u32, length: Duration) -> Latencies {
    let count = (length.as_secs_f64() * f64::from(per_second)) as u64;
    let gap = Duration::from_secs(1) / per_second;
    let next = AtomicU64::new(0);
    let failed = AtomicU64::new(0);
    let all = Mutex::new(Vec::with_capacity(count as usize));
    // Time for the threads to start.
    let began = Instant::now() + Duration::from_millis(50);
    let work = || {
        let mut connection = None;
        let mut own = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                break;
            }
            let due = began + gap * index as u32;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            match get(&mut connection, url, path) {
                Ok(200) => own.push(due.elapsed().as_secs_f64() * 1000.0),
                _ => {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        // A thread that panicked has left its own figures out, not broken the others'.
        let mut all = all
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        all.extend(own);
    };
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(work);
        }
    });
    Latencies {
        ms: all
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner),
        failed: failed.into_inner(),
    }
}

/// Lets each of these clients call for so long, over a connection of its own, again as soon as it has its
/// answer. The rate counts until the last answer.
///
/// # Errors
/// The first failure of a call: then there is nothing to compare.
pub fn closed_loop<C: Send>(
    url: &str,
    clients: &mut [C],
    length: Duration,
    call: impl Fn(&mut C, &mut Connection) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<Turn> {
    let began = Instant::now();
    let work = |client: &mut C| -> anyhow::Result<Vec<f64>> {
        let mut connection = Connection::open(url)?;
        let mut took = Vec::new();
        while began.elapsed() < length {
            let sent = Instant::now();
            call(client, &mut connection)?;
            took.push(ms(sent.elapsed()));
        }
        Ok(took)
    };
    let work = &work;
    let took = std::thread::scope(|scope| {
        let threads: Vec<_> = clients
            .iter_mut()
            .map(|client| scope.spawn(move || work(client)))
            .collect();
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().map_err(|_| anyhow!("a client broke"))??);
        }
        anyhow::Ok(all)
    })?;
    let requests = took.len() as f64;
    Ok(Turn {
        requests,
        per_second: requests / began.elapsed().as_secs_f64(),
        p50_ms: percentile(&took, 0.5),
        p99_ms: percentile(&took, 0.99),
    })
}

/// Calls `path` on `count` connections, again and again, while `work` runs.
pub fn while_calling<T>(url: &str, path: &str, count: usize, work: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    let call = || {
        let mut connection = None;
        while !stop.load(Ordering::Relaxed) {
            if get(&mut connection, url, path).is_err() {
                // The server is busy or gone: either way, not in a tight loop.
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(call);
        }
        let result = work();
        stop.store(true, Ordering::Relaxed);
        result
    })
}

/// One request over a connection that is opened when there is none and dropped when it fails.
fn get(connection: &mut Option<Connection>, url: &str, path: &str) -> anyhow::Result<u16> {
    let open = match connection.take() {
        Some(open) => open,
        None => Connection::open(url)?,
    };
    let open = connection.insert(open);
    let answer = open.get(path);
    if answer.is_err() {
        *connection = None;
    }
    Ok(answer?.status)
}
