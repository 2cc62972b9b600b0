//! What happens later: after-triggers are told, jobs run, schedules fire. One service for all apps of
//! the node.
//!
//! An app is looked at when its database commits something ([`Wakes`]), when the next thing in it is
//! due, and on PostgreSQL now and then, because others write there too. An app without after-triggers,
//! scripts and schedules is not looked at. What is found is worked off by one task per app (`run.rs`),
//! within the app's share of the node.

pub mod routes;
mod run;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use pumice_host_api::AppId;
use pumice_host_api::data::{DataError, Db};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::functions::components::Components;
use crate::functions::{App, Registry};
use crate::invoke::Invoker;
use crate::limits;

/// Tells the service that an app may have work. An app stands in the queue once, however often.
#[derive(Clone)]
pub struct Wakes(mpsc::UnboundedSender<Weak<App>>);

impl Wakes {
    /// And where they arrive.
    pub fn new() -> (Wakes, mpsc::UnboundedReceiver<Weak<App>>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Wakes(sender), receiver)
    }

    pub fn wake(&self, app: &Arc<App>) {
        let works = app
            .revision
            .load()
            .as_ref()
            .is_some_and(|revision| revision.works_later());
        if works && !app.woken.swap(true, Ordering::AcqRel) {
            // Without a service nobody waits.
            let _ = self.0.send(Arc::downgrade(app));
        }
    }
}

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The machine's.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
        elapsed.map_or(0, |elapsed| elapsed.as_millis() as i64)
    })
}

/// Does apps' later work.
pub struct Worker {
    invoker: Arc<Invoker>,
    components: Arc<Components>,
    clock: Clock,
    /// What runs on the node at once; first come, first served, so that apps take turns.
    places: Arc<Semaphore>,
    /// When each app was last tidied.
    tidied: Mutex<HashMap<AppId, i64>>,
    stop: CancellationToken,
}

impl Worker {
    pub fn new(invoker: Arc<Invoker>, components: Arc<Components>, clock: Clock) -> Arc<Worker> {
        Arc::new(Worker {
            invoker,
            components,
            clock,
            places: Arc::new(Semaphore::new(limits::JOBS_RUNNING_MAX)),
            tidied: Mutex::default(),
            stop: CancellationToken::new(),
        })
    }

    /// Does everything that is due in `app` by this worker's clock, and returns when the next thing is
    /// due.
    ///
    /// # Errors
    /// [`DataError::Unavailable`]: nothing is lost, leases run out.
    pub async fn run_once(&self, app: &Arc<App>) -> Result<Option<i64>, DataError> {
        self.run(app, None).await
    }

    /// Serves all apps of `registry` until `stop`, then waits for what runs, for
    /// [`limits::JOBS_STOP_WAIT`], and gives the rest back.
    pub async fn serve(
        self: Arc<Worker>,
        registry: Arc<Registry>,
        wakes: Wakes,
        mut woken: mpsc::UnboundedReceiver<Weak<App>>,
        stop: CancellationToken,
    ) {
        let mut service = Service {
            worker: self,
            running: HashMap::new(),
            tasks: JoinSet::new(),
            timers: Timers::default(),
        };
        registry.all().iter().for_each(|app| wakes.wake(app));
        let mut polls = tokio::time::interval(limits::CHANGES_POLL);
        polls.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let every = limits::JOBS_POLL.as_secs() / limits::CHANGES_POLL.as_secs();
        let mut ticks = 0;
        loop {
            let wait = service.timers.wait((service.worker.clock)());
            tokio::select! {
                () = stop.cancelled() => break,
                app = woken.recv() => match app.as_ref().map(Weak::upgrade) {
                    Some(Some(app)) => {
                        // Before the look: what commits from here on puts it into the queue again.
                        app.woken.store(false, Ordering::Release);
                        service.look(&app);
                    }
                    Some(None) => {}
                    None => break,
                },
                Some(ended) = service.tasks.join_next(), if !service.tasks.is_empty() => {
                    if let Ok(ended) = ended {
                        service.ended(ended);
                    }
                }
                () = tokio::time::sleep(wait) => {
                    for app in service.timers.due((service.worker.clock)()) {
                        service.look(&app);
                    }
                }
                _ = polls.tick() => {
                    ticks += 1;
                    poll(&registry, ticks % every == 0, &mut service);
                }
            }
        }
        service.worker.stop.cancel();
        // Each task gives back what it has when it is told to stop.
        while service.tasks.join_next().await.is_some() {}
    }
}

/// Apps whose database others write to.
fn poll(registry: &Registry, all: bool, service: &mut Service) {
    for app in registry.all() {
        let revision = app.revision.load();
        let Some(revision) = &*revision else {
            continue;
        };
        let shared = matches!(app.data.db(), Db::Postgres(_));
        if shared && (revision.has_after() || all && revision.works_later()) {
            service.look(&app);
        }
    }
}

/// A task that has nothing left to do.
struct Ended {
    app: Weak<App>,
    id: AppId,
    next: Option<i64>,
}

struct Service {
    worker: Arc<Worker>,
    /// Apps with a task, and how to tell it to look again.
    running: HashMap<AppId, Arc<Notify>>,
    tasks: JoinSet<Ended>,
    timers: Timers,
}

impl Service {
    fn look(&mut self, app: &Arc<App>) {
        // As it is served now: its data may have gone elsewhere, and from there again.
        let served = std::iter::successors(Some(app), |app| app.successor.get());
        let app = served.last().unwrap_or(app);
        if let Some(again) = self.running.get(&app.id) {
            again.notify_one();
            return;
        }
        self.timers.remove(app.id);
        let again = Arc::new(Notify::new());
        self.running.insert(app.id, again.clone());
        let (worker, app) = (self.worker.clone(), app.clone());
        self.tasks.spawn(async move {
            // A panic would leave the app among the running for ever.
            let (task, id) = (app.clone(), app.id);
            let after = worker.clone();
            let ran = tokio::spawn(async move { worker.run(&task, Some(&again)).await });
            let soon = || (after.clock)().saturating_add(limits::JOBS_AGAIN.as_millis() as i64);
            let next = match ran.await {
                Ok(Ok(next)) => next,
                Ok(Err(DataError::Moving)) => Some(soon()),
                Ok(Err(error)) => {
                    tracing::warn!(app.id = %id, %error, "an app's later work could not be done");
                    Some(soon())
                }
                Err(error) => {
                    tracing::error!(app.id = %id, %error, "an app's later work broke off");
                    Some(soon())
                }
            };
            Ended {
                app: Arc::downgrade(&app),
                id,
                next,
            }
        });
    }

    fn ended(&mut self, ended: Ended) {
        let again = self.running.remove(&ended.id);
        let Some(app) = ended.app.upgrade() else {
            return;
        };
        // Told to look again when it had looked for the last time.
        let told = again.is_some_and(|again| again.notified().now_or_never().is_some());
        if told {
            self.look(&app);
        } else if let Some(next) = ended.next {
            self.timers.set(ended.id, ended.app, next);
        }
    }
}

/// When each app is to be looked at.
#[derive(Default)]
struct Timers {
    order: BTreeSet<(i64, AppId)>,
    apps: HashMap<AppId, (i64, Weak<App>)>,
}

impl Timers {
    fn set(&mut self, id: AppId, app: Weak<App>, at: i64) {
        self.remove(id);
        self.order.insert((at, id));
        self.apps.insert(id, (at, app));
    }

    fn remove(&mut self, id: AppId) {
        if let Some((at, _)) = self.apps.remove(&id) {
            self.order.remove(&(at, id));
        }
    }

    fn wait(&self, now: i64) -> Duration {
        self.order.first().map_or(limits::JOBS_LOOK, |(at, _)| {
            Duration::from_millis(at.saturating_sub(now).max(0) as u64).min(limits::JOBS_LOOK)
        })
    }

    /// Those that are due, once.
    fn due(&mut self, now: i64) -> Vec<Arc<App>> {
        let mut due = Vec::new();
        while let Some(&(at, id)) = self.order.first()
            && at <= now
        {
            self.order.pop_first();
            let app = self.apps.remove(&id).and_then(|(_, app)| app.upgrade());
            due.extend(app);
        }
        due
    }
}
