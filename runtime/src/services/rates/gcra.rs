//! The generic cell rate algorithm: one number remembers how much was taken, and time gives it back.
//!
//! That number is the theoretical arrival time: when everything taken so far would have come at an even
//! pace. `take.lua` is the same arithmetic for Redis; a test compares them. Everything is a whole number
//! below 2^53, because Lua counts in doubles.
//!
//! Source: ITU-T I.371, annex A; <https://brandur.org/rate-limiting>.

use std::time::Duration;

/// How fast something may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Microseconds until one unit has come back.
    pub(super) interval: u64,
    /// Units at once, when none was taken before.
    pub(super) burst: u32,
}

/// Whether something may be taken now, and what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    /// Units at once, when none was taken before.
    pub limit: u32,
    /// Units that may be taken now.
    pub remaining: u32,
    /// Until `remaining` is `limit` again.
    pub reset: Duration,
    /// Until the same may be asked for with success; zero if it was allowed. What is more than `limit`
    /// never succeeds, and is told the time in which `limit` comes back.
    pub retry_after: Duration,
}

impl Pace {
    /// `count` units in each `per`, and `burst` of them at once. An interval is a whole number of
    /// microseconds, rounded up: never more comes through than was said, and from some 100,000 a second on
    /// less. No period is longer than a day, and no burst comes back in more.
    pub const fn new(count: u32, per: Duration, burst: u32) -> Pace {
        let count = if count == 0 { 1 } else { count };
        let per = per.as_micros();
        let per = if per > DAY as u128 { DAY } else { per as u64 };
        let interval = per.div_ceil(count as u64);
        let interval = if interval == 0 { 1 } else { interval };
        let most = DAY / interval;
        let most = if most == 0 { 1 } else { most };
        let burst = if burst as u64 > most {
            most as u32
        } else {
            burst
        };
        Pace {
            interval,
            burst: if burst == 0 { 1 } else { burst },
        }
    }

    /// Takes `cost` units or none at `now`, both times in microseconds of one clock. Returns the
    /// theoretical arrival time to remember in place of `arrival`; none so far is 0.
    ///
    /// A clock that was set back takes no more than a whole burst from anybody.
    pub(super) fn take(self, arrival: u64, now: u64, cost: u32) -> (u64, Decision) {
        let full = now + self.span();
        let known = arrival;
        let arrival = arrival.clamp(now, full);
        let due = arrival.saturating_add(self.interval.saturating_mul(u64::from(cost)));
        let allowed = due <= full;
        let arrival = if allowed { due } else { arrival };
        let retry_after = match allowed {
            true => 0,
            false if cost > self.burst => self.span(),
            false => due - full,
        };
        let remaining = (full - arrival) / self.interval;
        // A time that has passed says nothing: it stays what it was.
        let kept = if arrival > now { arrival } else { known };
        (
            kept,
            self.decision(allowed, remaining, arrival - now, retry_after),
        )
    }

    /// What the numbers of Redis or of [`take`](Self::take) say; times in microseconds.
    pub(super) fn decision(
        self,
        allowed: bool,
        remaining: u64,
        reset: u64,
        retry_after: u64,
    ) -> Decision {
        Decision {
            allowed,
            limit: self.burst,
            remaining: u32::try_from(remaining).unwrap_or(self.burst),
            reset: Duration::from_micros(reset),
            retry_after: Duration::from_micros(retry_after),
        }
    }

    /// Microseconds in which a whole burst comes back.
    fn span(self) -> u64 {
        self.interval * u64::from(self.burst)
    }
}

/// In microseconds. It keeps every number below 2^53.
const DAY: u64 = 24 * 3600 * 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;
    const NOW: u64 = 1_800_000_000 * SECOND;

    /// Three at once, then one each second.
    const PACE: Pace = Pace::new(3, Duration::from_secs(3), 3);

    #[test]
    fn a_burst_passes_and_then_one_for_each_interval() {
        let mut arrival = 0;
        let mut take = |now: u64| {
            let (next, decision) = PACE.take(arrival, now, 1);
            arrival = next;
            decision
        };
        for remaining in [2, 1, 0] {
            let decision = take(NOW);
            assert!(decision.allowed);
            assert_eq!((decision.limit, decision.remaining), (3, remaining));
            assert_eq!(decision.retry_after, Duration::ZERO);
        }
        let refused = take(NOW);
        assert!(!refused.allowed);
        assert_eq!(refused.remaining, 0);
        assert_eq!(refused.retry_after, Duration::from_secs(1));
        assert_eq!(refused.reset, Duration::from_secs(3));
        // A refusal costs nothing: what it said holds, to the microsecond.
        assert!(!take(NOW + SECOND - 1).allowed);
        assert!(take(NOW + SECOND).allowed);
        assert!(!take(NOW + SECOND).allowed);
        // After a rest there is one burst, not two.
        let rested = NOW + 100 * SECOND;
        for _ in 0..3 {
            assert!(take(rested).allowed);
        }
        assert!(!take(rested).allowed);
    }

    #[test]
    fn all_units_are_taken_or_none() {
        let (arrival, decision) = PACE.take(0, NOW, 2);
        assert_eq!((decision.allowed, decision.remaining), (true, 1));
        let (same, refused) = PACE.take(arrival, NOW, 2);
        assert_eq!((refused.allowed, refused.remaining), (false, 1));
        assert_eq!(refused.retry_after, Duration::from_secs(1));
        assert_eq!(same, arrival);
        assert!(PACE.take(same, NOW, 1).1.allowed);
        // Nothing costs nothing.
        let (_, free) = PACE.take(NOW + 3 * SECOND, NOW, 0);
        assert_eq!((free.allowed, free.remaining), (true, 0));
        assert_eq!(PACE.take(0, NOW, 0).0, 0);
    }

    #[test]
    fn more_than_a_burst_never_passes_and_costs_nothing() {
        for cost in [4, u32::MAX] {
            let (arrival, refused) = PACE.take(0, NOW, cost);
            assert_eq!((refused.allowed, refused.remaining), (false, 3), "{cost}");
            assert_eq!(refused.retry_after, Duration::from_secs(3));
            assert_eq!(refused.reset, Duration::ZERO);
            assert!(PACE.take(arrival, NOW, 3).1.allowed);
        }
    }

    #[test]
    fn a_clock_that_goes_back_costs_at_most_a_burst() {
        let (arrival, _) = PACE.take(0, NOW, 1);
        let before = NOW - 3600 * SECOND;
        let (arrival, refused) = PACE.take(arrival, before, 1);
        assert!(!refused.allowed);
        assert_eq!(refused.retry_after, Duration::from_secs(1));
        // That is remembered, so that what the refusal said is so.
        assert!(PACE.take(arrival, before + SECOND, 1).1.allowed);
    }

    #[test]
    fn numbers_stay_within_what_lua_can_count() {
        const EXACT: u64 = 1 << 53;
        for (count, per, burst) in [
            (1, Duration::from_secs(3600), u32::MAX),
            (1, Duration::MAX, u32::MAX),
            (u32::MAX, Duration::from_secs(1), u32::MAX),
            (0, Duration::ZERO, 0),
        ] {
            let pace = Pace::new(count, per, burst);
            assert!(pace.interval >= 1 && pace.burst >= 1, "{pace:?}");
            assert!(NOW + 2 * pace.span() < EXACT, "{pace:?}");
            let (arrival, decision) = pace.take(u64::MAX, NOW, 1);
            assert!(arrival < EXACT && !decision.allowed, "{pace:?}");
            assert!(pace.take(0, NOW, 1).1.allowed, "{pace:?}");
        }
        // Rounded up: 7 a second are not 8.
        let pace = Pace::new(7, Duration::from_secs(1), 7);
        assert_eq!(pace.interval, 142_858);
    }
}
