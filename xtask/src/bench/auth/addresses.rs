//! Whether somebody who tries out addresses learns from the time of the answers which have accounts.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::site::{Site, USERS, known, unknown};
use crate::bench::Bench;
use crate::bench::numbers::{apart, ms, percentile, short, whole};
use crate::bench::report::{Section, Verdict};
use crate::http::Connection;
use crate::process::say;

/// What somebody does who tries out which addresses have accounts.
struct Attempt {
    what: &'static str,
    budget: &'static str,
    path: &'static str,
    /// Beside the address.
    body: Value,
    status: u16,
    count: usize,
}

/// Connections that such a one has: one request after the other, each over the next of them.
const TRIED_OVER: usize = 4;

/// Whether the time of an answer says that an address has an account.
pub fn compare(bench: &Bench, sites: &[&Site<'_>], section: &mut Section) -> anyhow::Result<()> {
    let attempts = [
        Attempt {
            what: "wrong password",
            budget: "wrong password: time tells no account (AUC ≤ 0.55)",
            path: "/token?grant_type=password",
            body: json!({ "password": "Vq7-harbour-wrong" }),
            status: 400,
            count: bench.choose(10_000, 200),
        },
        Attempt {
            what: "`/recover`",
            budget: "`/recover`: time tells no account (AUC ≤ 0.55)",
            path: "/recover",
            body: json!({}),
            status: 200,
            count: bench.choose(2_000, 200),
        },
        Attempt {
            what: "`/otp` without `create_user`",
            budget: "`/otp`: time tells no account (AUC ≤ 0.55)",
            path: "/otp",
            body: json!({ "create_user": false }),
            status: 200,
            count: bench.choose(2_000, 200),
        },
    ];
    let mut rows = Vec::new();
    for attempt in &attempts {
        let mut worst: f64 = 0.0;
        for site in sites {
            say(&format!("{}: {}", site.name, attempt.what));
            let tried = attempt.make(site).context(attempt.what)?;
            let took = |known: bool| -> Vec<f64> {
                let of_kind = tried.iter().filter(|one| one.0 == known);
                of_kind.map(|one| one.1).collect()
            };
            // Whether the work that is left to be done after an answer shows in the next one.
            let next = |known: bool| -> Vec<f64> {
                let pairs = tried.windows(2).filter(|pair| pair[0].0 == known);
                pairs.map(|pair| pair[1].1).collect()
            };
            let area = apart(&took(true), &took(false));
            worst = worst.max(area);
            rows.push(vec![
                format!("{}, {}", attempt.what, site.name),
                whole(attempt.count as f64),
                short(percentile(&took(true), 0.5)),
                short(percentile(&took(false), 0.5)),
                format!("{area:.3}"),
                format!("{:.3}", apart(&next(true), &next(false))),
                format!("{:.3}", chance(attempt.count)),
            ]);
        }
        let verdict = Verdict::at_most(attempt.budget, 0.55, worst, "");
        section.verdicts.push(verdict);
    }
    let heads = [
        "address with and without an account",
        "attempts",
        "with: p50 ms",
        "without: p50 ms",
        "AUC",
        "AUC by the next answer's time",
        "standard error",
    ];
    section.table(&heads, &rows);
    section.note(&format!(
        "Half of the attempts each, in random order, one after the other over {TRIED_OVER} connections, \
         {USERS} addresses of either sort. AUC is the chance that of two answers, one of either sort, the \
         one that took longer (or the shorter one, if that is the better guess) is the one about an account: \
         0.5 is a guess. The promise is about the worse engine.",
    ));
    Ok(())
}

/// The standard error of an AUC of 0.5, with half of `count` on either side (Mann and Whitney, 1947).
fn chance(count: usize) -> f64 {
    let (all, half) = (count as f64, count as f64 / 2.0);
    ((all + 1.0) / (12.0 * half * half)).sqrt()
}

impl Attempt {
    /// Whether the address was a user's, and what the answer took in milliseconds, in the order of the
    /// requests.
    fn make(&self, site: &Site<'_>) -> anyhow::Result<Vec<(bool, f64)>> {
        let connections = (0..TRIED_OVER).map(|_| Connection::open(site.url()));
        let mut connections = connections.collect::<anyhow::Result<Vec<_>>>()?;
        let mut order: Vec<(bool, usize)> = (0..self.count)
            .map(|index| (index % 2 == 0, index / 2 % USERS))
            .collect();
        let seed = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
        shuffle(&mut order, seed);
        let warm = order.iter().take(TRIED_OVER * 2).copied();
        let mut tried = Vec::with_capacity(self.count);
        for (index, (is_known, number)) in warm.chain(order.iter().copied()).enumerate() {
            let mut body = self.body.clone();
            body["email"] = if is_known {
                known(number)
            } else {
                unknown(number)
            }
            .into();
            let connection = &mut connections[index % TRIED_OVER];
            let sent = Instant::now();
            let answer = site.post(connection, self.path, None, &body)?;
            let took = ms(sent.elapsed());
            ensure!(
                answer.status == self.status,
                "{}: {}",
                answer.status,
                answer.text()
            );
            if index >= TRIED_OVER * 2 {
                tried.push((is_known, took));
            }
        }
        Ok(tried)
    }
}

/// In an order that `seed` decides (Fisher and Yates, with the numbers of SplitMix64,
/// <https://prng.di.unimi.it/splitmix64.c>).
fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut state = seed;
    let mut random = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    for last in (1..items.len()).rev() {
        items.swap(last, (random() % (last as u64 + 1)) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_has_all_and_is_another_each_time() {
        let shuffled = |seed: u64| {
            let mut items: Vec<usize> = (0..100).collect();
            shuffle(&mut items, seed);
            items
        };
        let (one, other) = (shuffled(1), shuffled(2));
        assert_ne!(one, other);
        assert_eq!(one, shuffled(1));
        let mut sorted = one;
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..100));
    }

    #[test]
    fn chance_alone_tells_less_of_more_attempts() {
        assert_eq!(format!("{:.3}", chance(200)), "0.041");
        assert_eq!(format!("{:.4}", chance(10_000)), "0.0058");
    }
}
