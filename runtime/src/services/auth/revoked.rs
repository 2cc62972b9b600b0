//! Sessions that ended before their access tokens: what a signature cannot say.
//!
//! A flow that ends sessions says so to its node at once. The database writes each down as well, whoever ends
//! it; a node reads that at the first token that it meets, and again every few seconds on PostgreSQL, where
//! other nodes end sessions too.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use chrono::{DateTime, Duration, Utc};
use pumice_host_api::auth::{Engine, Flow, Tx};
use pumice_host_api::data::{DataError, Db};
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::functions::App;
use crate::limits;

/// The sessions of an app that ended while tokens of theirs may live.
pub struct Revoked {
    sessions: moka::sync::Cache<Uuid, ()>,
    /// Most apps have none at a time.
    any: AtomicBool,
    first: OnceCell<()>,
    /// Milliseconds since 1970.
    looked: AtomicI64,
}

impl Default for Revoked {
    fn default() -> Revoked {
        Revoked {
            sessions: moka::sync::Cache::builder()
                .max_capacity(limits::REVOKED_SESSIONS_MAX)
                .time_to_live(limits::TOKEN_LIFE_MAX * 2)
                .build(),
            any: AtomicBool::new(false),
            first: OnceCell::new(),
            looked: AtomicI64::new(0),
        }
    }
}

impl Revoked {
    pub fn add(&self, sessions: impl IntoIterator<Item = Uuid>) {
        for session in sessions {
            self.sessions.insert(session, ());
            self.any.store(true, Ordering::Release);
        }
    }

    pub fn contains(&self, session: Uuid) -> bool {
        self.any.load(Ordering::Acquire) && self.sessions.contains_key(&session)
    }

    /// Learns what has ended meanwhile, if it is time to. The first request with a token waits for it, unless
    /// the database does not answer.
    pub async fn look(&self, app: &App) {
        let read_once = self.first.initialized();
        if read_once && !matches!(app.data.db(), Db::Postgres(_)) {
            return;
        }
        let now = Utc::now();
        let looked = self.looked.load(Ordering::Relaxed);
        if now.timestamp_millis() - looked <= limits::REVOKED_LOOK.as_millis() as i64 {
            return;
        }
        if !read_once {
            let all = self.first.get_or_try_init(|| async {
                // Whoever has waited here while another failed does not try in turn.
                if self.looked.load(Ordering::Relaxed) != looked {
                    return Err(None);
                }
                let read = self.read(app, now - limits::TOKEN_LIFE_MAX * 2).await;
                self.looked.store(now.timestamp_millis(), Ordering::Relaxed);
                read.map_err(Some)
            });
            if let Err(Some(error)) = all.await {
                report(app, Err(error));
            }
            return;
        }
        let (new, order) = (now.timestamp_millis(), Ordering::Relaxed);
        if self
            .looked
            .compare_exchange(looked, new, order, order)
            .is_ok()
        {
            // What was not committed yet the last time.
            let since = DateTime::from_timestamp_millis(looked).unwrap_or(now);
            report(app, self.read(app, since - Duration::seconds(60)).await);
        }
    }

    async fn read(&self, app: &App, since: DateTime<Utc>) -> Result<(), DataError> {
        let none_yet = match app.data.db() {
            Db::Sqlite(sqlite) => !sqlite.path().exists(),
            Db::Postgres(_) => app.data.is_external(),
        };
        if !none_yet {
            self.add(app.users.read(Ended(since)).await?);
        }
        Ok(())
    }
}

fn report(app: &App, outcome: Result<(), DataError>) {
    if let Err(error) = outcome {
        tracing::error!(app.id = %app.id, %error, "sessions that ended are not known");
    }
}

struct Ended(DateTime<Utc>);

impl Flow for Ended {
    type Answer = Vec<Uuid>;

    async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<Self::Answer, DataError> {
        tx.ended_sessions(self.0).await
    }
}
