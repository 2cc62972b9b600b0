//! One node's connections to all its apps' databases.
//!
//! One pool per app would keep idle connections of apps that nobody calls while a busy one waits. Here
//! all apps share one number of connections: whoever needs one when all are open closes the one that
//! has been idle longest, whose ever it is.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, Row as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{errors, sql};
use crate::AppId;
use crate::data::DataError;

/// How long an unused connection stays open: an app that is called now and then pays for a new one.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// Connections that any app may have, however few there are.
const SHARE_MIN: usize = 4;
/// How often unused connections are looked at.
const IDLE_LOOK: Duration = Duration::from_secs(5);
/// How long a request waits for a connection that others use.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// How long a server may take to let a connection in, or to clean one.
pub(super) const CONNECT_MAX: Duration = Duration::from_secs(10);

pub(super) struct Pool {
    connections_max: usize,
    wait_max: Duration,
    /// One permit per connection in use. Those that are idle have none.
    permits: Arc<Semaphore>,
    idle: Mutex<HashMap<AppId, Vec<Idle>>>,
}

/// One node's connections to PostgreSQL, on whichever servers: so many for all apps together, and a part
/// of them for each. Cheap to clone.
#[derive(Clone)]
pub struct Connections(pub(super) Arc<Pool>);

impl Connections {
    /// At most so many.
    pub fn new(connections_max: u32) -> Connections {
        Connections(Pool::new(connections_max))
    }
}

struct Idle {
    connection: PgConnection,
    /// Where it leads: an app's database may be another one by now.
    options: Arc<PgConnectOptions>,
    process: i32,
    since: Instant,
}

/// A connection in use. Dropping it closes it; [`Lease::give_back`] keeps it.
pub(super) struct Lease {
    pub(super) connection: PgConnection,
    /// Its process on the server.
    process: i32,
    /// Whether it has been idle: then nobody knows whether it still stands.
    pub(super) reused: bool,
    app: AppId,
    options: Arc<PgConnectOptions>,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
    _share: OwnedSemaphorePermit,
}

impl Pool {
    pub(super) fn new(connections_max: u32) -> Arc<Pool> {
        Pool::with_wait(connections_max, WAIT_MAX)
    }

    pub(super) fn with_wait(connections_max: u32, wait_max: Duration) -> Arc<Pool> {
        let connections_max = (connections_max as usize).clamp(1, Semaphore::MAX_PERMITS);
        let pool = Arc::new(Pool {
            connections_max,
            wait_max,
            permits: Arc::new(Semaphore::new(connections_max)),
            idle: Mutex::default(),
        });
        tokio::spawn(close_idle(Arc::downgrade(&pool)));
        pool
    }

    /// One app's part of the connections: no app can take them all.
    pub(super) fn share(&self) -> Arc<Semaphore> {
        Arc::new(Semaphore::new((self.connections_max / 4).max(SHARE_MIN)))
    }

    /// A connection of `app`: an idle one, else a new one.
    ///
    /// # Errors
    /// PGRST003 when none came free in time; [`DataError::Unavailable`] when the server does not let us in.
    pub(super) async fn lease(
        self: &Arc<Self>,
        app: AppId,
        options: &Arc<PgConnectOptions>,
        share: &Arc<Semaphore>,
    ) -> Result<Lease, DataError> {
        let permits = async {
            let share = Arc::clone(share).acquire_owned().await?;
            Ok((share, Arc::clone(&self.permits).acquire_owned().await?))
        };
        let (share, permit) = tokio::time::timeout(self.wait_max, permits)
            .await
            .map_err(|_| errors::pool_timed_out())?
            .map_err(|error: tokio::sync::AcquireError| DataError::Unavailable(error.into()))?;
        let (found, surplus) = {
            let mut idle = self.idle.lock();
            match idle.get_mut(&app).and_then(|list| newest(list, options)) {
                Some(found) => (Some(found), None),
                None => (None, self.surplus(&mut idle)),
            }
        };
        if let Some(surplus) = surplus {
            // Whether it says good-bye or not, its place is free.
            let _ = tokio::time::timeout(CONNECT_MAX, surplus.connection.close()).await;
        }
        let reused = found.is_some();
        let (connection, process) = match found {
            Some(found) => (found.connection, found.process),
            None => open(options).await?,
        };
        Ok(Lease {
            connection,
            process,
            reused,
            app,
            options: Arc::clone(options),
            pool: Arc::clone(self),
            _permit: permit,
            _share: share,
        })
    }

    /// The connection that has been idle longest, if one more would be too many.
    fn surplus(&self, idle: &mut HashMap<AppId, Vec<Idle>>) -> Option<Idle> {
        let busy = self.connections_max - self.permits.available_permits();
        let count: usize = idle.values().map(Vec::len).sum();
        if count + busy <= self.connections_max {
            return None;
        }
        // The oldest of each app stands first: they are pushed and popped at the end.
        let app = *idle
            .iter()
            .filter_map(|(app, list)| Some((app, list.first()?.since)))
            .min_by_key(|(_, since)| *since)?
            .0;
        Some(idle.get_mut(&app)?.remove(0))
    }

    /// Closes what has been idle for longer than `age`.
    pub(super) async fn close_older(&self, age: Duration) {
        let mut old = Vec::new();
        self.idle.lock().retain(|_, list| {
            let keep = list.partition_point(|idle| idle.since.elapsed() > age);
            old.extend(list.drain(..keep));
            !list.is_empty()
        });
        close(old).await;
    }

    /// Closes what `app` has idle: its database is going, or has a new password.
    pub(super) async fn forget(&self, app: AppId) {
        let list = self.idle.lock().remove(&app).unwrap_or_default();
        close(list).await;
    }

    /// How many connections are idle.
    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        self.idle.lock().values().map(Vec::len).sum()
    }
}

/// The connection given back last that leads where `options` say.
fn newest(list: &mut Vec<Idle>, options: &Arc<PgConnectOptions>) -> Option<Idle> {
    let place = list
        .iter()
        .rposition(|idle| Arc::ptr_eq(&idle.options, options))?;
    Some(list.remove(place))
}

async fn close(list: Vec<Idle>) {
    for idle in list {
        let _ = tokio::time::timeout(CONNECT_MAX, idle.connection.close()).await;
    }
}

async fn close_idle(pool: Weak<Pool>) {
    let mut clock = tokio::time::interval(IDLE_LOOK);
    loop {
        clock.tick().await;
        let Some(pool) = pool.upgrade() else { return };
        pool.close_older(IDLE_MAX).await;
    }
}

/// A new connection and its process on the server.
async fn open(options: &PgConnectOptions) -> Result<(PgConnection, i32), DataError> {
    let opening = async {
        let mut connection = PgConnection::connect_with(options).await?;
        let row = sqlx::query(sql::PROCESS).fetch_one(&mut connection).await?;
        let process = row.try_get(0)?;
        Ok((connection, process))
    };
    match tokio::time::timeout(CONNECT_MAX, opening).await {
        Ok(opened) => opened.map_err(errors::no_connection),
        Err(slow) => Err(DataError::Unavailable(slow.into())),
    }
}

impl Lease {
    /// Keeps the connection for the next who needs one. It must be outside of a transaction.
    pub(super) fn give_back(self) {
        let idle = Idle {
            connection: self.connection,
            options: self.options,
            process: self.process,
            since: Instant::now(),
        };
        self.pool
            .idle
            .lock()
            .entry(self.app)
            .or_default()
            .push(idle);
    }

    /// Runs `batch`, which ends a transaction or cleans up behind a guest, and keeps the connection if
    /// that goes well. For those that cannot wait.
    pub(super) fn give_back_after(mut self, batch: String) {
        // Without a runtime the connection closes, which ends everything as well.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            let cleaning = sqlx::raw_sql(sqlx::AssertSqlSafe(batch)).execute(&mut self.connection);
            if matches!(tokio::time::timeout(CONNECT_MAX, cleaning).await, Ok(Ok(_))) {
                self.give_back();
            }
        });
    }

    /// Ends whatever the connection is doing. Closing it is not enough: the server looks at its socket
    /// only when a statement is over.
    pub(super) fn kill(self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            // The place in the pool is free when the process is gone, not before.
            let Lease {
                connection,
                process,
                options,
                _permit,
                _share,
                ..
            } = self;
            drop(connection);
            if let Ok((mut other, _)) = open(&options).await {
                let killing = sqlx::query(sql::TERMINATE)
                    .bind(process)
                    .execute(&mut other);
                let _ = tokio::time::timeout(CONNECT_MAX, killing).await;
                let _ = tokio::time::timeout(CONNECT_MAX, other.close()).await;
            }
        });
    }
}
