//! Counters in the node's own memory.
//!
//! A table of fixed size: a counter is found by a keyed hash of who it is for, and stands in one of the
//! few places of its set. Nothing is allocated for a request and nothing is ever swept: a new counter
//! takes the place whose time comes first, which is an empty one, or one that has expired, or, when all
//! count, the one that knows least. So whoever floods the table with new addresses drives out his own
//! latest ones; to drive out a counter that is nearly used up takes as many that are used up more.

use std::hash::{BuildHasher as _, Hash, RandomState};

use parking_lot::Mutex;

use super::gcra::{Decision, Pace};
use crate::limits::RATE_COUNTERS_MAX;

/// Places that a counter may stand in: two lines of the processor's cache.
const SET: usize = 8;
/// Parts with a lock each.
const SHARDS: usize = 64;

/// All counters of a node.
pub struct Memory {
    shards: Box<[Mutex<Vec<Slot>>]>,
    sets: usize,
    hasher: RandomState,
}

/// Whose counter, and its theoretical arrival time; that of an empty place is 0.
type Slot = [u64; 2];

/// Where a counter is. Two counters have the same with a chance of 2^-64, which nobody can bring about:
/// the hash has a key of this process' own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(u64);

impl Memory {
    pub fn new() -> Memory {
        Memory::with_counters(RATE_COUNTERS_MAX)
    }

    fn with_counters(counters: usize) -> Memory {
        let sets = (counters / SHARDS / SET).next_power_of_two();
        // Zeroed memory of this size is the kernel's until it is written.
        let shard = || Mutex::new(vec![[0; 2]; sets * SET]);
        Memory {
            shards: std::iter::repeat_with(shard).take(SHARDS).collect(),
            sets,
            hasher: RandomState::new(),
        }
    }

    pub fn tag(&self, who: impl Hash) -> Tag {
        Tag(self.hasher.hash_one(who))
    }

    /// Takes `cost` units or none. `now` is in microseconds, and above 0.
    pub fn take(&self, tag: Tag, pace: Pace, now: u64, cost: u32) -> Decision {
        self.with(tag, |arrival| pace.take(arrival, now, cost))
    }

    /// The refusal that [`take`](Self::take) would give, if it would.
    pub fn refusal(&self, tag: Tag, pace: Pace, now: u64, cost: u32) -> Option<Decision> {
        let shard = self.shard(tag).lock();
        let set = &shard[self.set(tag)];
        let [_, arrival] = set.iter().find(|[owner, _]| *owner == tag.0)?;
        let (_, decision) = pace.take(*arrival, now, cost);
        (!decision.allowed).then_some(decision)
    }

    /// Remembers what was counted elsewhere.
    pub fn note(&self, tag: Tag, arrival: u64) {
        self.with(tag, |known| (known.max(arrival), ()));
    }

    /// Replaces the arrival time of `tag`'s counter.
    #[inline]
    fn with<T>(&self, tag: Tag, change: impl FnOnce(u64) -> (u64, T)) -> T {
        let mut shard = self.shard(tag).lock();
        let set = &mut shard[self.set(tag)];
        let mut place = 0;
        let mut earliest = u64::MAX;
        for (at, [owner, arrival]) in set.iter().enumerate() {
            if *owner == tag.0 {
                place = at;
                break;
            }
            if *arrival < earliest {
                (place, earliest) = (at, *arrival);
            }
        }
        let [owner, arrival] = &mut set[place];
        let known = if *owner == tag.0 { *arrival } else { 0 };
        let (next, told) = change(known);
        // A counter that knows nothing needs no place.
        if next != known {
            (*owner, *arrival) = (tag.0, next);
        }
        told
    }

    // The hash's upper bits choose the shard, its lower ones the set.
    fn shard(&self, tag: Tag) -> &Mutex<Vec<Slot>> {
        &self.shards[(tag.0 >> 32) as usize % SHARDS]
    }

    fn set(&self, tag: Tag) -> std::ops::Range<usize> {
        let start = (tag.0 as usize & (self.sets - 1)) * SET;
        start..start + SET
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: u64 = 1_000_000;
    const NOW: u64 = 1_000 * SECOND;
    const PACE: Pace = Pace::new(3, Duration::from_secs(3), 3);

    #[test]
    fn counters_are_apart() {
        let memory = Memory::new();
        let (one, other) = (memory.tag("one"), memory.tag("other"));
        assert!(memory.take(one, PACE, NOW, 3).allowed);
        assert!(!memory.take(one, PACE, NOW, 1).allowed);
        assert!(memory.take(other, PACE, NOW, 3).allowed);
        assert!(memory.take(one, PACE, NOW + SECOND, 1).allowed);
    }

    #[test]
    fn what_was_counted_elsewhere_counts_here() {
        let memory = Memory::new();
        let tag = memory.tag("one");
        assert_eq!(memory.refusal(tag, PACE, NOW, 1), None);
        memory.note(tag, NOW + 3 * SECOND);
        let refusal = memory.refusal(tag, PACE, NOW, 1).unwrap();
        assert_eq!(refusal.retry_after, Duration::from_secs(1));
        // An answer that was overtaken takes nothing back.
        memory.note(tag, NOW + SECOND);
        assert!(!memory.take(tag, PACE, NOW, 1).allowed);
    }

    #[test]
    fn a_flood_drives_out_no_counter_that_is_used_up() {
        let memory = Memory::with_counters(SHARDS * SET);
        let guesser = memory.tag("guesser");
        assert!(memory.take(guesser, PACE, NOW, 3).allowed);
        for stranger in 0..100_000_u64 {
            let tag = memory.tag(stranger);
            assert!(memory.take(tag, PACE, NOW, 1).allowed);
        }
        assert!(!memory.take(guesser, PACE, NOW, 1).allowed);
        // Those that have expired make room first.
        assert!(memory.take(guesser, PACE, NOW + 10 * SECOND, 3).allowed);
    }
}
