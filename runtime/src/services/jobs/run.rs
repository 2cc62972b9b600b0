//! One app's later work, until nothing of it is due.
//!
//! Each step is a state in the app's database, and between two steps the process may end: what was
//! claimed comes back when its lease runs out, what was done and not said is done again. Nothing is
//! kept here that is not there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pumice_host_api::data::changes::{Changes, Claimed, Delivery, Told, backoff, cut};
use pumice_host_api::data::{DataError, TRIGGER_BATCH_ROWS};
use pumice_host_api::jobs::{Finish, Job, Jobs, Known, NewJob, cron};
use pumice_host_api::{Caller, Role};
use tokio::sync::{Notify, OwnedRwLockReadGuard, Semaphore};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::Worker;
use crate::entries::after::{self, Failure};
use crate::entries::script;
use crate::functions::manifest::When;
use crate::functions::{App, Revision};
use crate::limits;

/// Attempts at what the active revision does not have: a revision that does may come back.
const UNKNOWN_ATTEMPTS: u32 = 10;

/// How long what found no place waits.
const NO_PLACE: Duration = Duration::from_secs(1);

/// What a task has worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Held {
    Batch(Uuid),
    Job(Uuid),
}

/// Leases, each with the tasks that still need it.
#[derive(Default)]
struct Leases(HashMap<Held, usize>);

impl Leases {
    fn count(&self, of: fn(&Held) -> bool) -> usize {
        self.0
            .iter()
            .filter(|(held, _)| of(held))
            .map(|(_, count)| count)
            .sum()
    }

    fn end(&mut self, held: Held) {
        if let Some(count) = self.0.get_mut(&held) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&held);
            }
        }
    }
}

fn is_batch(held: &Held) -> bool {
    matches!(held, Held::Batch(_))
}

fn is_job(held: &Held) -> bool {
    matches!(held, Held::Job(_))
}

/// An app at work.
#[derive(Clone)]
struct Later {
    app: Arc<App>,
    changes: Changes,
    jobs: Jobs,
    /// Deliveries of the app that may be under way.
    width: Arc<Semaphore>,
}

impl Worker {
    /// Does what is due; with `again`, also what falls due or is announced while something runs.
    pub(super) async fn run(
        &self,
        app: &Arc<App>,
        again: Option<&Notify>,
    ) -> Result<Option<i64>, DataError> {
        let later = Later {
            app: app.clone(),
            changes: Changes::new(app.data.clone()),
            jobs: Jobs::new(app.data.clone()),
            width: Arc::new(Semaphore::new(limits::DELIVERIES_RUNNING_PER_APP)),
        };
        let mut tasks = JoinSet::new();
        let mut leases = Leases::default();
        let outcome = self.work(&later, again, &mut tasks, &mut leases).await;
        // On an error, or when it is time to stop.
        tasks.shutdown().await;
        for held in leases.0.into_keys() {
            let released = match held {
                Held::Batch(token) => later.changes.release(token).await,
                Held::Job(token) => later.jobs.release(token).await,
            };
            if let Err(error) = released {
                tracing::warn!(app.id = %app.id, %error, "a lease was not given back, and will run out");
            }
        }
        outcome
    }

    async fn work(
        &self,
        later: &Later,
        again: Option<&Notify>,
        tasks: &mut JoinSet<Held>,
        leases: &mut Leases,
    ) -> Result<Option<i64>, DataError> {
        let mut beats = tokio::time::interval(limits::JOB_HEARTBEAT);
        beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        beats.reset();
        loop {
            let Some(revision) = later.app.revision.load_full() else {
                return Ok(None);
            };
            let next = match self.look(later, &revision, tasks, leases).await {
                // The data waits for what runs, and goes when that is done.
                Err(DataError::Moving) if !tasks.is_empty() => None,
                looked => looked?,
            };
            let now = (self.clock)();
            if tasks.is_empty() {
                // A place was free, so all that is due has been claimed, or something else has it.
                if next.is_none_or(|next| next > now) {
                    self.tidy(later, now).await?;
                    return Ok(next);
                }
                continue;
            }
            let wait = match (again, next) {
                (Some(_), Some(next)) if next > now => Duration::from_millis((next - now) as u64),
                // What is due and was not claimed waits for a place.
                _ => limits::JOB_LEASE,
            };
            tokio::select! {
                () = self.stop.cancelled() => return self.drain(later, tasks, leases).await,
                ended = tasks.join_next() => if let Some(Ok(held)) = ended { leases.end(held) },
                _ = beats.tick() => match self.beat(later, leases).await {
                    // The data did not wait so long: the lease runs out where it is now.
                    Ok(()) | Err(DataError::Moving) => {}
                    Err(error) => return Err(error),
                },
                () = announced(again) => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Waits for what runs; begins nothing.
    async fn drain(
        &self,
        later: &Later,
        tasks: &mut JoinSet<Held>,
        leases: &mut Leases,
    ) -> Result<Option<i64>, DataError> {
        self.beat(later, leases).await?;
        let all = async {
            while let Some(ended) = tasks.join_next().await {
                if let Ok(held) = ended {
                    leases.end(held);
                }
            }
        };
        let _ = tokio::time::timeout(limits::JOBS_STOP_WAIT, all).await;
        Ok(None)
    }

    /// Claims what is due and has a place, and begins it. Returns when the next thing is due; that may
    /// be past when there was no place.
    async fn look(
        &self,
        later: &Later,
        revision: &Arc<Revision>,
        tasks: &mut JoinSet<Held>,
        leases: &mut Leases,
    ) -> Result<Option<i64>, DataError> {
        if self.stop.is_cancelled() {
            return Ok(None);
        }
        let working = later.app.working.clone().try_read_owned();
        let working = Arc::new(working.map_err(|_| DataError::Moving)?);
        let now = (self.clock)();
        let fired = fire(&later.jobs, revision, now).await?;
        if revision.has_after() {
            while later.changes.sequence().await? > 0 {}
        }
        // Readers do not wait for the writer: most looks find nothing and claim nothing.
        let mut told = later.changes.next_due().await?;
        let free = limits::DELIVERIES_RUNNING_PER_APP.saturating_sub(leases.count(is_batch));
        if told.is_some_and(|at| at <= now) && free > 0 {
            let max = (free * TRIGGER_BATCH_ROWS) as u32;
            let claimed = later.changes.claim(now, limits::JOB_LEASE, max).await?;
            self.tell(later, revision, claimed, tasks, leases, &working);
            told = later.changes.next_due().await?;
        }
        let mut due = later.jobs.next_due().await?;
        let free = limits::JOBS_RUNNING_PER_APP.saturating_sub(leases.count(is_job));
        if due.is_some_and(|at| at <= now) && free > 0 {
            let claimed = later
                .jobs
                .claim(now, limits::JOB_LEASE, free as u32)
                .await?;
            for job in claimed.jobs {
                let held = Held::Job(claimed.token);
                *leases.0.entry(held).or_default() += 1;
                let (later, revision) = (later.clone(), revision.clone());
                let (invoker, components) = (self.invoker.clone(), self.components.clone());
                let (clock, places) = (self.clock.clone(), self.places.clone());
                let working = working.clone();
                tasks.spawn(async move {
                    let place = places.acquire_owned().await;
                    let outcome = match revision.script(&job.script) {
                        Some(script) => script::run(&invoker, &components, script, &job).await,
                        None => Err(Failure::Failed(format!(
                            "the app's revision {} has no script `{}`",
                            revision.number, job.script
                        ))),
                    };
                    drop(place);
                    finish(&later, &job, claimed.token, clock(), outcome).await;
                    drop(working);
                    held
                });
            }
            due = later.jobs.next_due().await?;
        }
        Ok([fired, told, due].into_iter().flatten().min())
    }

    fn tell(
        &self,
        later: &Later,
        revision: &Arc<Revision>,
        claimed: Claimed,
        tasks: &mut JoinSet<Held>,
        leases: &mut Leases,
        working: &Arc<OwnedRwLockReadGuard<()>>,
    ) {
        let held = Held::Batch(claimed.token);
        for batch in batches(claimed.deliveries) {
            *leases.0.entry(held).or_default() += 1;
            let (later, revision) = (later.clone(), revision.clone());
            let (invoker, components) = (self.invoker.clone(), self.components.clone());
            let (clock, places) = (self.clock.clone(), self.places.clone());
            let working = working.clone();
            tasks.spawn(async move {
                // In this order: who waits for the app's own width holds no place of the node.
                let width = later.width.clone().acquire_owned().await;
                let place = places.acquire_owned().await;
                let trigger = batch
                    .first()
                    .map(|delivery| revision.trigger(&delivery.trigger));
                let trigger = trigger.flatten();
                let (attempts_max, outcome) = match trigger.map(|trigger| (trigger, trigger.when)) {
                    Some((trigger, When::After { attempts_max })) => {
                        let told = after::react(&invoker, &components, trigger, &batch).await;
                        (attempts_max, told)
                    }
                    _ => {
                        let why = format!("revision {} has no such after-trigger", revision.number);
                        (UNKNOWN_ATTEMPTS, Err(Failure::Failed(why)))
                    }
                };
                drop((place, width));
                settle(
                    &later,
                    claimed.token,
                    &batch,
                    attempts_max,
                    clock(),
                    outcome,
                )
                .await;
                drop(working);
                held
            });
        }
    }

    /// Says that this node is still there.
    async fn beat(&self, later: &Later, leases: &Leases) -> Result<(), DataError> {
        let until = (self.clock)().saturating_add(limits::JOB_LEASE.as_millis() as i64);
        for held in leases.0.keys() {
            match held {
                Held::Batch(token) => drop(later.changes.extend(*token, until).await?),
                Held::Job(token) => drop(later.jobs.heartbeat(*token, until).await?),
            }
        }
        Ok(())
    }

    async fn tidy(&self, later: &Later, now: i64) -> Result<(), DataError> {
        let due = {
            let mut tidied = self.tidied.lock();
            let last = tidied.entry(later.app.id).or_insert(now);
            let due = now.saturating_sub(*last) >= limits::JOBS_TIDY.as_millis() as i64;
            if due {
                *last = now;
            }
            due
        };
        if due {
            later.changes.tidy(now).await?;
            later.jobs.tidy(now).await?;
        }
        Ok(())
    }
}

async fn announced(again: Option<&Notify>) {
    match again {
        Some(again) => again.notified().await,
        None => std::future::pending().await,
    }
}

/// Deliveries that may share an invocation, in order; each that has failed by itself.
fn batches(deliveries: Vec<Delivery>) -> Vec<Vec<Delivery>> {
    let mut batches: Vec<Vec<Delivery>> = Vec::new();
    for delivery in deliveries {
        let alike = |other: &Delivery| {
            !other.alone
                && !delivery.alone
                && other.trigger == delivery.trigger
                && other.table == delivery.table
                && other.operation == delivery.operation
                && other.role == delivery.role
                && other.claims == delivery.claims
                && other.depth == delivery.depth
        };
        match batches.last_mut() {
            Some(batch) if batch.len() < TRIGGER_BATCH_ROWS && alike(&batch[0]) => {
                batch.push(delivery);
            }
            _ => batches.push(vec![delivery]),
        }
    }
    batches
}

async fn settle(
    later: &Later,
    token: Uuid,
    batch: &[Delivery],
    attempts_max: u32,
    now: i64,
    outcome: Result<(), Failure>,
) {
    let Some(first) = batch.first() else {
        return;
    };
    let app = later.app.id;
    let told = match outcome {
        Ok(()) => Told::Done,
        Err(Failure::Overloaded) => Told::Later {
            at: after(now, NO_PLACE),
        },
        Err(Failure::Failed(error)) => {
            let error = cut(error);
            tracing::info!(app.id = %app, component.name = first.trigger, error, "an after-trigger failed");
            let attempts = first.attempts + 1;
            if batch.len() > 1 {
                Told::Split { error }
            } else if attempts >= attempts_max {
                Told::Dead { now, error }
            } else {
                Told::Retry {
                    at: after(now, backoff(attempts)),
                    error,
                }
            }
        }
    };
    let changes: Vec<i64> = batch.iter().map(|delivery| delivery.change).collect();
    match later
        .changes
        .settle(token, &first.trigger, &changes, told)
        .await
    {
        Ok(true) => {}
        Ok(false) => {
            tracing::warn!(app.id = %app, component.name = first.trigger, "a delivery was another's by its end");
        }
        Err(error) => {
            tracing::warn!(app.id = %app, %error, "a delivery could not be settled, and will come again");
        }
    }
}

async fn finish(later: &Later, job: &Job, token: Uuid, now: i64, outcome: Result<(), Failure>) {
    let app = later.app.id;
    let outcome = match outcome {
        Ok(()) => Finish::Done,
        Err(Failure::Overloaded) => Finish::Later {
            at: after(now, NO_PLACE),
        },
        Err(Failure::Failed(error)) => {
            let error = cut(error);
            tracing::info!(app.id = %app, component.name = job.script, job.id = %job.id, error, "a job failed");
            if job.attempt >= job.attempts_max {
                Finish::Dead { error }
            } else {
                Finish::Retry {
                    at: after(now, backoff(job.attempt)),
                    error,
                }
            }
        }
    };
    match later.jobs.finish(job.id, token, now, outcome).await {
        Ok(true) => {}
        Ok(false) => {
            tracing::warn!(app.id = %app, job.id = %job.id, "a job was another's by its end");
        }
        Err(error) => {
            tracing::warn!(app.id = %app, job.id = %job.id, %error, "a job could not be finished, and will run again");
        }
    }
}

fn after(now: i64, pause: Duration) -> i64 {
    now.saturating_add(pause.as_millis() as i64)
}

/// Adds the jobs of schedules that are due, and returns when the next one is. Of several instants that
/// were missed only the latest counts.
async fn fire(jobs: &Jobs, revision: &Revision, now: i64) -> Result<Option<i64>, DataError> {
    if revision.schedules.is_empty() {
        return Ok(None);
    }
    let known: Vec<Known> = revision
        .schedules
        .iter()
        .map(|schedule| Known {
            name: schedule.name.clone(),
            line: format!("{} {}", schedule.cron, schedule.timezone),
        })
        .collect();
    let anchors = jobs.anchors(&known, now).await?;
    let scripts = revision.known_scripts();
    let seconds = now.div_euclid(1000);
    let mut earliest: Option<i64> = None;
    for (schedule, anchor) in revision.schedules.iter().zip(anchors) {
        let mut from = anchor.div_euclid(1000);
        if let Some(due) = latest(&schedule.due, from, seconds) {
            let job = NewJob {
                script: schedule.script.clone(),
                payload: "null".to_owned(),
                run_at: None,
                unique_key: None,
                attempts_max: None,
                revision: revision.number as u64,
                caller: Caller {
                    role: Role::ServiceRole,
                    user_id: None,
                    claims: "{}".into(),
                },
                depth: 0,
            };
            match jobs
                .fire(&scripts, &schedule.name, due * 1000, job, now)
                .await
            {
                // Another node was quicker.
                Ok(_) => {}
                Err(pumice_host_api::jobs::JobError::Data(error)) => return Err(error),
                Err(error) => {
                    tracing::error!(schedule.name, %error, "a schedule could not be fired");
                }
            }
            from = due;
        }
        let next = schedule.due.next_after(from.max(seconds));
        earliest = [earliest, next.map(|next| next * 1000)]
            .into_iter()
            .flatten()
            .min();
    }
    Ok(earliest)
}

/// The last due instant after `from` and not after `now`, in seconds.
///
/// `next_after` grows with its argument, so the first instant whose successor lies ahead of `now` is
/// the one: some thirty steps, whatever was missed.
fn latest(schedule: &cron::Schedule, from: i64, now: i64) -> Option<i64> {
    let ahead = |at: i64| schedule.next_after(at).is_none_or(|next| next > now);
    if ahead(from) {
        return None;
    }
    let (mut low, mut high) = (from, now);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if ahead(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    Some(high)
}

#[cfg(test)]
mod tests {
    use pumice_host_api::data::hooks::Operation;

    use super::*;

    #[test]
    fn of_missed_instants_the_latest_counts() {
        let schedule = |line| cron::Schedule::parse(line, "UTC").unwrap();
        let hour = 3600;
        for (line, from, now, expect) in [
            ("0 * * * *", 0, hour - 1, None),
            ("0 * * * *", 0, hour, Some(hour)),
            ("0 * * * *", 0, 10 * hour + 5, Some(10 * hour)),
            ("0 * * * *", 10 * hour, 10 * hour + 5, None),
            ("* * * * * *", 0, 1_000_000_007, Some(1_000_000_007)),
            ("0 0 1 1 *", 0, 364 * 24 * hour, None),
            ("0 0 1 1 *", 0, 366 * 24 * hour, Some(365 * 24 * hour)),
            // The clock was set back.
            ("* * * * *", 10 * hour, 5 * hour, None),
        ] {
            assert_eq!(
                latest(&schedule(line), from, now),
                expect,
                "{line} {from} {now}"
            );
        }
    }

    fn delivery(change: i64, trigger: &str, alone: bool) -> Delivery {
        Delivery {
            change,
            trigger: trigger.to_owned(),
            attempts: 0,
            alone,
            table: "t".to_owned(),
            operation: Operation::Insert,
            key: None,
            old: None,
            new: None,
            role: "anon".to_owned(),
            claims: "{}".to_owned(),
            depth: 0,
        }
    }

    #[test]
    fn what_is_alike_goes_together() {
        let check = |deliveries: Vec<Delivery>, expect: &[&[i64]]| {
            let batches = batches(deliveries);
            let found: Vec<Vec<i64>> = batches
                .iter()
                .map(|batch| batch.iter().map(|delivery| delivery.change).collect())
                .collect();
            assert_eq!(found, expect);
        };
        let of = |change, trigger| delivery(change, trigger, false);
        check(vec![], &[]);
        check(vec![of(1, "a"), of(2, "a"), of(1, "b")], &[&[1, 2], &[1]]);
        let alone = delivery(2, "a", true);
        check(
            vec![of(1, "a"), alone, of(3, "a"), of(4, "a")],
            &[&[1], &[2], &[3, 4]],
        );
        let changes: [fn(&mut Delivery); 5] = [
            |other| other.table = "u".to_owned(),
            |other| other.operation = Operation::Delete,
            |other| other.role = "authenticated".to_owned(),
            |other| other.claims = "{\"a\":1}".to_owned(),
            |other| other.depth = 1,
        ];
        for change in changes {
            let mut other = of(2, "a");
            change(&mut other);
            check(vec![of(1, "a"), other], &[&[1], &[2]]);
        }
        let many = (0..501).map(|change| of(change, "a")).collect();
        let sizes: Vec<usize> = batches(many).iter().map(Vec::len).collect();
        assert_eq!(sizes, [500, 1]);
    }
}
