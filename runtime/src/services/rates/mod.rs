//! Rate limits: how often somebody may do something.
//!
//! A limit is a [`Rule`] with a [`Key`]: what is counted, and for whom. A key is an address that the node
//! has seen itself or a trusted proxy has, a user whose token was checked, or the app. What a client can
//! write as it likes, such as an e-mail address, only ever adds a limit beside these: it never makes a
//! counter that stands in place of theirs (CVE-2025-64526 was that).
//!
//! Counters are in the node's memory, or in Redis if there is one; then all nodes count together. A node
//! whose Redis does not answer counts by itself, beginning with what Redis last said of each counter: no
//! request fails because of it, and none passes uncounted.

pub mod auth;
pub mod client;
mod gcra;
mod memory;
mod redis;

use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue};
use pumice_host_api::{AppId, Caller};
use uuid::Uuid;

pub use self::client::{client_ip, is_trusted};
pub use self::gcra::{Decision, Pace};

use self::memory::{Memory, Tag};
use self::redis::Redis;
use crate::config::DatabaseUrl;
use crate::digest::Digest;
use crate::functions::App;

/// All limits of a node.
pub struct Rates {
    memory: Memory,
    redis: Option<Redis>,
    began: Instant,
}

/// Something that is limited, with what is usual.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// As a manifest calls it; no two rules have the same.
    pub name: &'static str,
    pub count: u32,
    pub per: Duration,
    /// At once, when none was taken before.
    pub burst: u32,
    pub whom: Whom,
}

/// Whom a rule counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// A client's network: an IPv4 address, or a /64 of IPv6.
    Ip,
    User,
    /// All of the app together.
    App,
    /// An e-mail address or a phone number, from wherever it is asked for.
    Address,
    /// The same as one client's network asks for it.
    AddressFrom,
}

/// Who takes something, for a rule that counts such.
#[derive(Clone, Copy, Debug)]
pub enum Key<'k> {
    Ip(IpAddr),
    User(Uuid),
    App,
    /// As it is kept: in lower case, without spaces around it.
    Address(&'k str),
    AddressFrom(&'k str, IpAddr),
}

impl From<IpAddr> for Key<'_> {
    fn from(address: IpAddr) -> Self {
        Key::Ip(address)
    }
}

/// 429, with when to come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    pub decision: Decision,
    /// What was asked for.
    pub cost: u32,
}

impl std::fmt::Display for TooMany {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let TooMany { decision, cost } = self;
        if *cost > decision.limit {
            let limit = decision.limit;
            write!(
                f,
                "{cost} requests at once are more than the limit of {limit}"
            )
        } else {
            write!(f, "Request rate limit reached")
        }
    }
}

impl std::error::Error for TooMany {}

/// How fast requests of an app may come: `[rates]` of its manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestPaces {
    pub per_ip: Pace,
    pub per_user: Pace,
    pub per_app: Pace,
}

/// A counter as it is asked for.
#[derive(Clone, Copy)]
struct Ask<'k> {
    rule: &'static str,
    pace: Pace,
    key: Key<'k>,
}

impl Rates {
    /// With `redis`, waits a moment for its first answer.
    ///
    /// # Errors
    /// When the URL is none of Redis. One that does not answer is no error.
    pub async fn open(
        redis: Option<&DatabaseUrl>,
    ) -> Result<Rates, deadpool_redis::redis::RedisError> {
        Ok(Rates {
            memory: Memory::new(),
            redis: match redis {
                Some(url) => Some(Redis::open(&url.0).await?),
                None => None,
            },
            began: Instant::now(),
        })
    }

    /// Takes `cost` units of a rule at its usual pace, or none of them.
    pub async fn take(&self, app: AppId, rule: &Rule, key: &Key<'_>, cost: u32) -> Decision {
        self.take_at(app, rule, rule.pace(None), key, cost).await
    }

    async fn take_at(
        &self,
        app: AppId,
        rule: &Rule,
        pace: Pace,
        key: &Key<'_>,
        cost: u32,
    ) -> Decision {
        debug_assert_eq!(rule.whom, key.whom(), "{}", rule.name);
        let ask = Ask {
            rule: rule.name,
            pace,
            key: *key,
        };
        self.take_all(app, [ask], cost).await
    }

    /// Counts a request to `app` from `client`, which is worth `cost`, before anything is done for it.
    /// One that is refused for its address does not count for the app.
    ///
    /// # Errors
    /// [`TooMany`]
    pub async fn request(&self, app: &App, client: IpAddr, cost: u32) -> Result<Decision, TooMany> {
        let paces = app.request_paces();
        let asks = [
            Ask {
                rule: "per_ip",
                pace: paces.per_ip,
                key: Key::Ip(client),
            },
            Ask {
                rule: "per_app",
                pace: paces.per_app,
                key: Key::App,
            },
        ];
        self.take_all(app.id, asks, cost).await.or_too_many(cost)
    }

    /// Counts a request for the user who sends it, once that is known; for nobody else.
    ///
    /// # Errors
    /// [`TooMany`]
    pub async fn user(
        &self,
        app: &App,
        caller: &Caller,
        cost: u32,
    ) -> Result<Option<Decision>, TooMany> {
        let Some(user) = caller.user_id else {
            return Ok(None);
        };
        let ask = Ask {
            rule: "per_user",
            pace: app.request_paces().per_user,
            key: Key::User(user),
        };
        let taken = self.take_all(app.id, [ask], cost).await;
        taken.or_too_many(cost).map(Some)
    }

    /// Counts the requests of a batch, of which [`request`](Self::request) has counted one.
    ///
    /// # Errors
    /// [`TooMany`]; then none of them is to be done.
    pub async fn batch(
        &self,
        app: &App,
        client: IpAddr,
        caller: &Caller,
        requests: u32,
    ) -> Result<Option<Decision>, TooMany> {
        let mut near = None;
        if requests > 1 {
            let rest = self.request(app, client, requests - 1).await;
            near = Some(rest.map_err(|refusal| TooMany {
                cost: requests,
                ..refusal
            })?);
        }
        let of_user = self.user(app, caller, requests.max(1)).await?;
        Ok(near.into_iter().chain(of_user).reduce(Decision::nearer))
    }

    /// Takes from each counter in turn, up to the first that refuses; returns its refusal, or what the
    /// one says that is nearest to its end.
    async fn take_all<const N: usize>(
        &self,
        app: AppId,
        asks: [Ask<'_>; N],
        cost: u32,
    ) -> Decision {
        let now = self.now();
        let tags: [Tag; N] = std::array::from_fn(|at| self.memory.tag((app, &asks[at])));
        if let Some(redis) = &self.redis {
            // What this node knows to be used up it need not ask for: a flood does not reach Redis.
            for (ask, tag) in asks.iter().zip(tags) {
                if let Some(refusal) = self.memory.refusal(tag, ask.pace, now, cost) {
                    return refusal;
                }
            }
            // On the heap: the future of a request stays small where there is no Redis.
            let asked = Box::pin(redis.take(app, &asks, cost));
            if let Some(decisions) = asked.await {
                for (decision, tag) in decisions.iter().zip(tags) {
                    // Counted from before the question, so that it never says more than Redis did.
                    self.memory.note(tag, now + micros(decision.reset));
                }
                if let Some(decision) = decisions.into_iter().reduce(Decision::nearer) {
                    return decision;
                }
            }
        }
        let mut nearest = None;
        for (ask, tag) in asks.iter().zip(tags) {
            let decision = self.memory.take(tag, ask.pace, now, cost);
            nearest = match nearest {
                None => Some(decision),
                Some(before) => Some(Decision::nearer(before, decision)),
            };
            if !decision.allowed {
                break;
            }
        }
        nearest.unwrap_or(Decision::FREE)
    }

    /// Microseconds of a clock that never goes back. It does not begin at 0, which means that nothing was
    /// taken.
    fn now(&self) -> u64 {
        micros(self.began.elapsed()) + 1
    }
}

impl Rule {
    /// What is usual, or `per_hour` in its place: then as many at once as fall into the rule's own period.
    pub const fn pace(&self, per_hour: Option<u32>) -> Pace {
        const HOUR: Duration = Duration::from_secs(3600);
        match per_hour {
            None => Pace::new(self.count, self.per, self.burst),
            Some(count) => {
                let burst = count as u128 * self.per.as_micros() / HOUR.as_micros();
                let burst = if burst > u32::MAX as u128 {
                    u32::MAX
                } else {
                    burst as u32
                };
                Pace::new(count, HOUR, burst)
            }
        }
    }
}

impl Key<'_> {
    fn whom(&self) -> Whom {
        match self {
            Key::Ip(_) => Whom::Ip,
            Key::User(_) => Whom::User,
            Key::App => Whom::App,
            Key::Address(_) => Whom::Address,
            Key::AddressFrom(..) => Whom::AddressFrom,
        }
    }

    /// The key as others may keep it: without an address in it that is anybody's name.
    fn digest(&self, app: AppId) -> String {
        let hidden = |address: &str| {
            // The app's id keeps a list of addresses made for one app from being of use for another.
            let mut text = app.to_string();
            text.push('\n');
            text.push_str(address);
            let mut digest = Digest::of(text.as_bytes()).to_string();
            digest.truncate(32);
            digest
        };
        match self {
            Key::Ip(address) => format!("{:x}", client::network(*address)),
            Key::User(user) => user.simple().to_string(),
            Key::App => "all".to_owned(),
            Key::Address(address) => hidden(address),
            Key::AddressFrom(address, client) => {
                format!("{}:{:x}", hidden(address), client::network(*client))
            }
        }
    }
}

impl Hash for Ask<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.rule.hash(state);
        match self.key {
            Key::Ip(address) => client::network(address).hash(state),
            Key::User(user) => user.as_u128().hash(state),
            Key::App => {}
            Key::Address(address) => address.hash(state),
            Key::AddressFrom(address, client) => {
                address.hash(state);
                client::network(client).hash(state);
            }
        }
    }
}

impl RequestPaces {
    /// Requests a minute, all of which may come at once.
    pub const fn per_minute(per_ip: u32, per_user: u32, per_app: u32) -> RequestPaces {
        const MINUTE: Duration = Duration::from_secs(60);
        RequestPaces {
            per_ip: Pace::new(per_ip, MINUTE, per_ip),
            per_user: Pace::new(per_user, MINUTE, per_user),
            per_app: Pace::new(per_app, MINUTE, per_app),
        }
    }
}

impl Default for RequestPaces {
    fn default() -> RequestPaces {
        use crate::limits::{RATE_PER_APP, RATE_PER_IP, RATE_PER_USER};
        const USUAL: RequestPaces =
            RequestPaces::per_minute(RATE_PER_IP, RATE_PER_USER, RATE_PER_APP);
        USUAL
    }
}

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

impl Decision {
    /// Where nothing is limited.
    const FREE: Decision = Decision {
        allowed: true,
        limit: u32::MAX,
        remaining: u32::MAX,
        reset: Duration::ZERO,
        retry_after: Duration::ZERO,
    };

    /// The refusal of two; else the one with the smaller part left.
    pub fn nearer(self, other: Decision) -> Decision {
        let part = |one: Decision, of: Decision| u64::from(one.remaining) * u64::from(of.limit);
        let second = match (self.allowed, other.allowed) {
            (true, true) => part(other, self) < part(self, other),
            (first, _) => first,
        };
        if second { other } else { self }
    }

    fn or_too_many(self, cost: u32) -> Result<Decision, TooMany> {
        match self.allowed {
            true => Ok(self),
            false => Err(TooMany {
                decision: self,
                cost,
            }),
        }
    }

    /// Seconds after which to try again: whole ones, so that it is never too early.
    pub fn retry_seconds(&self) -> u64 {
        seconds(self.retry_after)
    }

    /// Writes `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset` (seconds until all is there
    /// again), and for a refusal `Retry-After`.
    ///
    /// Source: draft-ietf-httpapi-ratelimit-headers-06, whose three fields clients know; later drafts
    /// have one structured field in their place, and are no standard yet either.
    pub fn tell(&self, headers: &mut HeaderMap) {
        headers.insert(LIMIT, self.limit.into());
        headers.insert(REMAINING, self.remaining.into());
        headers.insert(RESET, seconds(self.reset).into());
        if !self.allowed {
            headers.insert(RETRY_AFTER, HeaderValue::from(self.retry_seconds()));
        }
    }

    /// The same where less than a fifth is left and no other limit is told of: an answer far from every
    /// limit is not made longer.
    pub fn tell_near(&self, headers: &mut HeaderMap) {
        let near = u64::from(self.remaining) * 5 < u64::from(self.limit);
        if near && !headers.contains_key(LIMIT) {
            self.tell(headers);
        }
    }
}

fn seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

fn micros(span: Duration) -> u64 {
    span.as_micros() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule {
        name: "test",
        count: 3,
        per: Duration::from_secs(300),
        burst: 3,
        whom: Whom::Ip,
    };

    fn app() -> AppId {
        AppId(Uuid::new_v4())
    }

    fn ip(text: &str) -> Key<'static> {
        Key::Ip(text.parse().unwrap())
    }

    #[tokio::test]
    async fn apps_rules_and_clients_have_counters_of_their_own() {
        let rates = Rates::open(None).await.unwrap();
        let (shop, forum) = (app(), app());
        assert!(rates.take(shop, &RULE, &ip("192.0.2.1"), 3).await.allowed);
        assert!(!rates.take(shop, &RULE, &ip("192.0.2.1"), 1).await.allowed);
        assert!(rates.take(shop, &RULE, &ip("192.0.2.2"), 1).await.allowed);
        assert!(rates.take(forum, &RULE, &ip("192.0.2.1"), 1).await.allowed);
        let other = Rule {
            name: "other",
            ..RULE
        };
        assert!(rates.take(shop, &other, &ip("192.0.2.1"), 1).await.allowed);
    }

    #[tokio::test]
    async fn an_address_is_limited_for_each_network_that_asks() {
        let rates = Rates::open(None).await.unwrap();
        let shop = app();
        let rule = Rule {
            whom: Whom::AddressFrom,
            ..RULE
        };
        let key = |ip: &str| Key::AddressFrom("ann@example.com", ip.parse().unwrap());
        assert!(
            rates
                .take(shop, &rule, &key("2001:db8::1"), 3)
                .await
                .allowed
        );
        // The stranger is stopped, with all addresses that are his, and the user is not.
        assert!(
            !rates
                .take(shop, &rule, &key("2001:db8::2"), 1)
                .await
                .allowed
        );
        assert!(rates.take(shop, &rule, &key("192.0.2.1"), 1).await.allowed);
    }

    #[test]
    fn an_hours_number_takes_the_place_of_a_rules() {
        assert_eq!(RULE.pace(None).burst, 3);
        // 36 an hour are 3 in five minutes.
        assert_eq!(RULE.pace(Some(36)), RULE.pace(None));
        assert_eq!(
            RULE.pace(Some(1)),
            Pace::new(1, Duration::from_secs(3600), 1)
        );
        assert_eq!(RULE.pace(Some(3600)).burst, 300);
    }

    #[test]
    fn headers_say_whole_seconds_and_never_too_few() {
        let decision = Decision {
            allowed: false,
            limit: 30,
            remaining: 0,
            reset: Duration::from_millis(299_001),
            retry_after: Duration::from_micros(1),
        };
        let mut headers = HeaderMap::new();
        decision.tell(&mut headers);
        let shown = [
            "ratelimit-limit",
            "ratelimit-remaining",
            "ratelimit-reset",
            "retry-after",
        ]
        .map(|name| headers[name].to_str().unwrap());
        assert_eq!(shown, ["30", "0", "300", "1"]);
    }

    #[test]
    fn only_what_is_near_its_end_is_told() {
        let told = |remaining| {
            let mut headers = HeaderMap::new();
            let decision = Decision {
                limit: 100,
                remaining,
                ..Decision::FREE
            };
            decision.tell_near(&mut headers);
            !headers.is_empty()
        };
        assert!(!told(20));
        assert!(told(19));
    }

    #[test]
    fn the_nearest_limit_is_the_one_that_counts() {
        let decision = |allowed, limit, remaining| Decision {
            allowed,
            limit,
            remaining,
            ..Decision::FREE
        };
        let (half, third) = (decision(true, 100, 50), decision(true, 9, 3));
        assert_eq!(half.nearer(third), third);
        assert_eq!(third.nearer(half), third);
        let refusal = decision(false, 100, 99);
        assert_eq!(third.nearer(refusal), refusal);
        assert_eq!(refusal.nearer(third), refusal);
    }

    #[test]
    fn no_key_that_others_keep_names_anybody() {
        let shop = app();
        let address = Key::Address("ann@example.com").digest(shop);
        assert_eq!(address.len(), 32);
        assert!(!address.contains("ann"));
        assert_ne!(address, Key::Address("ann@example.com").digest(app()));
        let from = Key::AddressFrom("ann@example.com", "192.0.2.1".parse().unwrap());
        assert_eq!(from.digest(shop), format!("{address}:ffffc0000201"));
    }
}
