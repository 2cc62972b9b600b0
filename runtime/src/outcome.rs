//! What became of an invocation: one record for each, for the log and for billing.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use pumice_host_api::Entry;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use tokio::sync::mpsc;

use crate::limits;
use crate::request_id::RequestId;

/// The limits an invocation can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    Fuel,
    Cpu,
    Wall,
    Memory,
    Stack,
    HostCallBytes,
    Handles,
    RequestBytes,
    ResponseBytes,
    OutboundRequests,
    /// Header fields of a message.
    Fields,
}

impl Limit {
    /// Its name in logs and in the `x-pumice-limit` header.
    pub const fn name(self) -> &'static str {
        match self {
            Limit::Fuel => "fuel",
            Limit::Cpu => "cpu",
            Limit::Wall => "wall",
            Limit::Memory => "memory",
            Limit::Stack => "stack",
            Limit::HostCallBytes => "host_call_bytes",
            Limit::Handles => "handles",
            Limit::RequestBytes => "request_bytes",
            Limit::ResponseBytes => "response_bytes",
            Limit::OutboundRequests => "outbound_requests",
            Limit::Fields => "fields",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why an invocation gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum InvokeError {
    /// No place within the queue's bounds.
    #[error("too many invocations are waiting")]
    Overloaded,
    #[error("stopped at its {0} limit")]
    Limit(Limit),
    /// The guest broke: a panic, an invalid access, an exit. With its call stack by function names.
    #[error("the guest trapped: {message}")]
    Trap {
        message: String,
        backtrace: Vec<String>,
    },
    /// It returned without a response, or with one that HTTP does not allow.
    #[error("the guest gave no valid response: {0}")]
    NoResponse(String),
    /// The component could not be made ready.
    #[error("the component could not be loaded: {0}")]
    Boot(String),
    /// Something of ours failed.
    #[error("the host failed: {0}")]
    Host(String),
    /// The caller went away.
    #[error("the caller went away")]
    Cancelled,
}

impl InvokeError {
    /// The word for it in outcome records.
    pub const fn name(&self) -> &'static str {
        match self {
            InvokeError::Overloaded => "overloaded",
            InvokeError::Limit(_) => "limit",
            InvokeError::Trap { .. } => "trap",
            InvokeError::NoResponse(_) => "no_response",
            InvokeError::Boot(_) => "boot_error",
            InvokeError::Host(_) => "host_fault",
            InvokeError::Cancelled => "cancelled",
        }
    }
}

/// The record of one invocation.
#[derive(Clone)]
pub struct Outcome {
    /// Whose it was.
    pub entry: Arc<Entry>,
    pub request_id: RequestId,
    /// None if it ended well.
    pub error: Option<InvokeError>,
    pub fuel: u64,
    pub cpu: Duration,
    pub wall: Duration,
    pub memory_peak_bytes: u64,
    pub host_calls: u64,
    pub host_call_bytes: u64,
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut record = serializer.serialize_struct("Outcome", 15)?;
        record.serialize_field("kind", self.entry.kind.as_str())?;
        record.serialize_field("component", self.entry.component.as_str())?;
        record.serialize_field("revision", &self.entry.revision)?;
        record.serialize_field(
            "outcome",
            self.error.as_ref().map_or("ok", InvokeError::name),
        )?;
        if let Some(error) = &self.error {
            if let InvokeError::Limit(limit) = error {
                record.serialize_field("limit", limit.name())?;
            }
            if let InvokeError::Trap { backtrace, .. } = error {
                record.serialize_field("backtrace", backtrace)?;
            }
            record.serialize_field("message", &error.to_string())?;
        }
        record.serialize_field("fuel", &self.fuel)?;
        record.serialize_field("cost_version", &limits::COST_VERSION)?;
        record.serialize_field("cpu_us", &(self.cpu.as_micros() as u64))?;
        record.serialize_field("wall_us", &(self.wall.as_micros() as u64))?;
        record.serialize_field("memory_peak_bytes", &self.memory_peak_bytes)?;
        record.serialize_field("host_calls", &self.host_calls)?;
        record.serialize_field("host_call_bytes", &self.host_call_bytes)?;
        record.serialize_field("request_id", &self.request_id.to_string())?;
        record.end()
    }
}

/// Where usage goes: every outcome, never sampled. Whoever bills attaches a receiver; until then
/// there is nothing to do.
#[derive(Default)]
pub struct Metering {
    sink: ArcSwapOption<mpsc::Sender<Outcome>>,
    lost: AtomicU64,
}

impl Metering {
    /// Begins metering: outcomes from now on arrive at the receiver.
    pub fn attach(&self) -> mpsc::Receiver<Outcome> {
        let (sink, events) = mpsc::channel(limits::METERING_QUEUE_MAX);
        self.sink.store(Some(Arc::new(sink)));
        events
    }

    /// Outcomes that found the channel full.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    pub(crate) fn record(&self, outcome: &Outcome) {
        if let Some(sink) = &*self.sink.load()
            && sink.try_send(outcome.clone()).is_err()
        {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Decides which successes are written to an app's log: the first
/// [`limits::LOG_SUCCESSES_PER_SECOND`] of each second.
pub struct Sampler {
    window: Mutex<(Instant, u32)>,
}

impl Default for Sampler {
    fn default() -> Sampler {
        Sampler {
            window: Mutex::new((Instant::now(), 0)),
        }
    }
}

impl Sampler {
    pub fn keep(&self, now: Instant) -> bool {
        let mut window = self.window.lock();
        if now.saturating_duration_since(window.0) >= Duration::from_secs(1) {
            *window = (now, 0);
        }
        window.1 += 1;
        window.1 <= limits::LOG_SUCCESSES_PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The outcome of an invocation that ended well.
    fn outcome() -> Outcome {
        let entry = Entry {
            app_id: pumice_host_api::AppId(uuid::Uuid::new_v4()),
            app: "shop".parse().unwrap(),
            component: "hello".parse().unwrap(),
            kind: pumice_host_api::Kind::Function,
            revision: 1,
            environment: Vec::new(),
            config: Default::default(),
            secrets: Default::default(),
            egress: Default::default(),
            cache: pumice_host_api::Cache::new(1),
            data: None,
            scripts: Default::default(),
            files: Default::default(),
            buckets: Default::default(),
            messages: Default::default(),
            memory: Default::default(),
            limits: Default::default(),
        };
        Outcome {
            entry: Arc::new(entry),
            request_id: RequestId::next(),
            error: None,
            fuel: 7,
            cpu: Duration::from_micros(5),
            wall: Duration::from_micros(9),
            memory_peak_bytes: 65536,
            host_calls: 3,
            host_call_bytes: 2,
        }
    }

    #[tokio::test]
    async fn metering_gets_every_outcome_and_counts_what_finds_it_full() {
        let metering = Metering::default();
        metering.record(&outcome());
        let mut events = metering.attach();
        for _ in 0..limits::METERING_QUEUE_MAX + 2 {
            metering.record(&outcome());
        }
        assert_eq!(events.len(), limits::METERING_QUEUE_MAX);
        assert_eq!(metering.lost(), 2);
        assert_eq!(events.recv().await.unwrap().fuel, 7);
    }

    #[test]
    fn a_record_says_how_it_ended() {
        let mut outcome = outcome();
        let record = serde_json::to_value(&outcome).unwrap();
        assert_eq!(
            (&record["outcome"], &record["cpu_us"]),
            (&"ok".into(), &5.into())
        );
        outcome.error = Some(InvokeError::Limit(Limit::Fuel));
        let record = serde_json::to_value(&outcome).unwrap();
        assert_eq!(
            (&record["outcome"], &record["limit"]),
            (&"limit".into(), &"fuel".into())
        );
    }

    #[test]
    fn successes_are_kept_up_to_the_rate_in_each_second() {
        let sampler = Sampler::default();
        let start = Instant::now();
        let kept = |at: Instant| {
            (0..limits::LOG_SUCCESSES_PER_SECOND * 2)
                .filter(|_| sampler.keep(at))
                .count()
        };
        assert_eq!(kept(start), limits::LOG_SUCCESSES_PER_SECOND as usize);
        assert_eq!(
            kept(start + Duration::from_secs(2)),
            limits::LOG_SUCCESSES_PER_SECOND as usize
        );
    }
}
