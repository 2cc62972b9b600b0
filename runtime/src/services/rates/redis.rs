//! Counters in Redis, for nodes that count together.
//!
//! Their clock is that of Redis: one for all nodes, so that one whose own runs ahead is given no more.
//! Every question is one script, one way there and back. One that is not answered in time ends the
//! connection; from then on a task tries to make another, and nobody waits for Redis until it answers.

use std::sync::{Arc, Weak};

use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{self, AsyncConnectionConfig, Client, RedisError, RedisResult, Script};
use parking_lot::Mutex;
use pumice_host_api::AppId;

use super::Ask;
use super::gcra::Decision;
use crate::limits::{REDIS_AGAIN, REDIS_CONNECT, REDIS_WAIT};

pub struct Redis(Arc<Inner>);

struct Inner {
    client: Client,
    script: Script,
    /// None while Redis does not answer. One connection carries the questions of all requests at once.
    connection: Mutex<Option<Numbered>>,
}

/// A connection and which one it is, so that the end of an old one does not end the next.
#[derive(Clone)]
struct Numbered(u64, MultiplexedConnection);

impl Redis {
    /// # Errors
    /// When `url` is none of Redis. One that does not answer is asked again until it does.
    pub async fn open(url: &str) -> Result<Redis, RedisError> {
        let inner = Arc::new(Inner {
            client: Client::open(url)?,
            script: Script::new(include_str!("take.lua")),
            connection: Mutex::new(None),
        });
        match inner.connect().await {
            Ok(connection) => *inner.connection.lock() = Some(Numbered(0, connection)),
            Err(error) => lost(&inner, 0, &error),
        }
        Ok(Redis(inner))
    }

    /// Takes `cost` units from each counter, up to the first that refuses; one decision for each that was
    /// looked at. None if Redis does not answer.
    pub async fn take(&self, app: AppId, asks: &[Ask<'_>], cost: u32) -> Option<Vec<Decision>> {
        let Numbered(number, mut connection) = self.0.connection.lock().clone()?;
        let asked = self.0.ask(&mut connection, app, asks, cost, None);
        let answer = tokio::time::timeout(REDIS_WAIT, asked).await;
        let answer = answer.unwrap_or_else(|_| Err(late()));
        match answer {
            Ok(decisions) => Some(decisions),
            Err(error) => {
                // Whoever finds it broken first says so.
                let mut held = self.0.connection.lock();
                if held.take_if(|Numbered(now, _)| *now == number).is_some() {
                    lost(&self.0, number + 1, &error);
                }
                None
            }
        }
    }
}

impl Inner {
    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(REDIS_CONNECT))
            .set_response_timeout(Some(REDIS_WAIT));
        let made = async {
            let client = &self.client;
            let mut connection = client
                .get_multiplexed_async_connection_with_config(&config)
                .await?;
            redis::cmd("PING")
                .query_async::<String>(&mut connection)
                .await?;
            Ok(connection)
        };
        let made = tokio::time::timeout(REDIS_CONNECT, made).await;
        made.unwrap_or_else(|_| Err(late()))
    }

    /// `now` in microseconds; Redis' own time if none.
    async fn ask(
        &self,
        connection: &mut MultiplexedConnection,
        app: AppId,
        asks: &[Ask<'_>],
        cost: u32,
        now: Option<u64>,
    ) -> RedisResult<Vec<Decision>> {
        let mut call = self.script.prepare_invoke();
        call.arg(cost);
        match now {
            Some(now) => call.arg(now),
            None => call.arg(""),
        };
        for ask in asks {
            // All counters of an app are on one node of a cluster.
            let key = ask.key.digest(app);
            call.key(format!("pumice:rate:{{{app}}}:{}:{key}", ask.rule));
            call.arg(ask.pace.interval).arg(ask.pace.burst);
        }
        let numbers: Vec<u64> = call.invoke_async(connection).await?;
        let each = numbers.chunks_exact(4).zip(asks);
        Ok(each
            .map(|(numbers, ask)| {
                let [allowed, remaining, reset, retry] = [0, 1, 2, 3].map(|at| numbers[at]);
                ask.pace.decision(allowed == 1, remaining, reset, retry)
            })
            .collect())
    }
}

fn late() -> RedisError {
    RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut))
}

/// Says that Redis is gone, once, and looks for it until it is there again, with a connection of this
/// number.
fn lost(inner: &Arc<Inner>, number: u64, error: &RedisError) {
    // The error's own words may hold the URL.
    let cause = error.category();
    tracing::warn!(
        cause,
        "Redis does not answer: until it does, this node counts rate limits by itself"
    );
    tokio::spawn(find(Arc::downgrade(inner), number));
}

async fn find(inner: Weak<Inner>, number: u64) {
    loop {
        tokio::time::sleep(REDIS_AGAIN).await;
        let Some(inner) = inner.upgrade() else {
            return;
        };
        if let Ok(connection) = inner.connect().await {
            *inner.connection.lock() = Some(Numbered(number, connection));
            tracing::info!("Redis answers: rate limits are counted with other nodes");
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};
    use uuid::Uuid;

    use super::super::gcra::Pace;
    use super::super::{Key, Rates, Rule, Whom};
    use super::*;
    use crate::config::DatabaseUrl;

    #[expect(clippy::disallowed_methods, reason = "where the tests' Redis is")]
    fn url() -> String {
        std::env::var("PUMICE_TEST_REDIS_URL").expect(
            "PUMICE_TEST_REDIS_URL names no server: `cargo xtask test` starts one, \
             or set it to one such as redis://127.0.0.1:6379",
        )
    }

    const RULE: Rule = Rule {
        name: "test",
        count: 10,
        per: Duration::from_secs(3600),
        burst: 10,
        whom: Whom::User,
    };

    #[tokio::test]
    async fn redis_decides_as_memory_does() {
        let redis = Redis::open(&url()).await.unwrap();
        let Numbered(_, mut connection) = redis.0.connection.lock().clone().expect("it answers");
        let app = AppId(Uuid::new_v4());
        let users: Vec<Uuid> = (0..20).map(|_| Uuid::new_v4()).collect();
        let paces = [
            Pace::new(30, Duration::from_secs(300), 30),
            Pace::new(7, Duration::from_secs(60), 3),
            Pace::new(1, Duration::from_secs(3600), 1),
            Pace::new(60_000_000, Duration::from_secs(60), 60_000_000),
            Pace::new(999, Duration::from_secs(1), 100),
        ];
        let seed = rand::random();
        let mut random = StdRng::seed_from_u64(seed);
        let mut arrivals: HashMap<Uuid, u64> = HashMap::new();
        let mut now = 1_800_000_000_000_000_u64;
        let mut refused = 0;
        for step in 0..10_000 {
            // Mostly on, sometimes back, as a clock that is corrected.
            match random.random_range(0..20) {
                0 => now -= random.random_range(0..2_000_000),
                1 => now += random.random_range(0..120_000_000),
                _ => now += random.random_range(0..1_000_000),
            }
            let cost = match random.random_range(0..10) {
                0 => random.random_range(0..200),
                1 => u32::MAX,
                _ => 1,
            };
            let count = random.random_range(1..=3);
            let start = random.random_range(0..users.len() - count);
            let asks: Vec<Ask<'_>> = (start..start + count)
                .map(|at| Ask {
                    rule: "test",
                    pace: paces[at % paces.len()],
                    key: Key::User(users[at]),
                })
                .collect();
            let mut expect = Vec::new();
            for (ask, user) in asks.iter().zip(&users[start..]) {
                let arrival = arrivals.entry(*user).or_default();
                let (next, decision) = ask.pace.take(*arrival, now, cost);
                *arrival = next;
                expect.push(decision);
                if !decision.allowed {
                    refused += 1;
                    break;
                }
            }
            let told = redis.0.ask(&mut connection, app, &asks, cost, Some(now));
            let told = told.await.expect("it answers");
            assert_eq!(told, expect, "seed {seed}, step {step}, cost {cost}");
        }
        // Both sorts of decisions were compared.
        assert!((1_000..9_000).contains(&refused), "{refused}");
    }

    #[tokio::test]
    async fn nodes_count_together() {
        let url = DatabaseUrl(url());
        let one = Rates::open(Some(&url)).await.unwrap();
        let other = Rates::open(Some(&url)).await.unwrap();
        let (app, user) = (AppId(Uuid::new_v4()), Key::User(Uuid::new_v4()));
        for remaining in (0..10).rev() {
            let node = if remaining % 2 == 0 { &one } else { &other };
            let decision = node.take(app, &RULE, &user, 1).await;
            assert_eq!((decision.allowed, decision.remaining), (true, remaining));
        }
        for node in [&one, &other] {
            assert!(!node.take(app, &RULE, &user, 1).await.allowed);
        }
        let stranger = Key::User(Uuid::new_v4());
        assert!(other.take(app, &RULE, &stranger, 1).await.allowed);
    }

    #[tokio::test]
    async fn a_node_goes_on_with_what_redis_said_last() {
        let mut rates = Rates::open(Some(&DatabaseUrl(url()))).await.unwrap();
        let (app, user) = (AppId(Uuid::new_v4()), Key::User(Uuid::new_v4()));
        assert!(rates.take(app, &RULE, &user, 8).await.allowed);
        rates.redis = None;
        let decision = rates.take(app, &RULE, &user, 1).await;
        assert_eq!((decision.allowed, decision.remaining), (true, 1));
        assert!(!rates.take(app, &RULE, &user, 2).await.allowed);
    }

    #[tokio::test]
    async fn a_redis_that_says_nothing_stops_nobody_and_opens_nothing() {
        // It takes connections, and never answers.
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", silent.local_addr().unwrap());
        let rates = Rates::open(Some(&DatabaseUrl(url))).await.unwrap();
        let (app, user) = (AppId(Uuid::new_v4()), Key::User(Uuid::new_v4()));
        for _ in 0..10 {
            assert!(rates.take(app, &RULE, &user, 1).await.allowed);
        }
        assert!(!rates.take(app, &RULE, &user, 1).await.allowed);
    }

    #[tokio::test]
    async fn a_url_of_something_else_is_refused() {
        assert!(Redis::open("postgres://127.0.0.1").await.is_err());
    }
}
