//! Whether the comparison itself can fail, and where the engines differ on purpose.

use pumice_tests::repository;

use super::case::{self, Case};
use super::{SEED, both, compare};

/// Requests that the engines answer differently, and why. Written like a section; a request stands twice, first as
/// SQLite answers it, then as PostgreSQL does, and the remark above both is the reason.
const DIFFERENCES: &str = include_str!("differences.txt");

#[tokio::test]
async fn what_differs_on_purpose_differs() {
    let cases = case::parse("differences.txt", DIFFERENCES);
    let (sqlite, postgres) = both(SEED, SEED).await;
    let mut faults = Vec::new();
    for pair in cases.chunks(2) {
        let [one, other] = pair else {
            panic!("{}: only one answer", pair[0]);
        };
        let (ours, theirs) = tokio::join!(one.send(&sqlite), other.send(&postgres));
        for wrong in one.faults(&ours) {
            faults.push(format!("{one}\n  sqlite   {wrong}"));
        }
        for wrong in other.faults(&theirs) {
            faults.push(format!("{other}\n  postgres {wrong}"));
        }
        if super::differences(&ours, &theirs).is_empty() {
            faults.push(format!("{one}: both answer {ours}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_docs_tell_every_difference() {
    let docs = std::fs::read_to_string(repository().join("docs/engines.md")).expect("it is there");
    let reasons: Vec<&str> = DIFFERENCES
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .collect();
    assert!(!reasons.is_empty());
    for reason in reasons {
        assert!(
            docs.contains(reason),
            "docs/engines.md does not say: {reason}"
        );
    }
}

/// One value in one seed is another: the requests that show it are told, and no other.
#[tokio::test]
async fn another_value_on_one_engine_is_found() {
    let seed = SEED.replace("'paint wall'", "'paint walls'");
    assert_ne!(seed, SEED);
    let (sqlite, postgres) = both(&seed, SEED).await;
    let cases: Vec<Case> = case::parse(
        "controls",
        "GET tasks?select=title&id=eq.3\n200\n\nGET tasks?select=id&id=eq.3\n200\n\nGET tasks?select=id&title=eq.paint wall\n200\n",
    );
    let mut found = Vec::new();
    for case in &cases {
        found.push(!compare(case, &sqlite, &postgres).await.is_empty());
    }
    assert_eq!(found, [true, false, true]);
}

/// Everything that a case can ask for can be missed.
#[tokio::test]
async fn each_expectation_can_fail() {
    let (sqlite, postgres) = both(SEED, SEED).await;
    let request = "GET tasks?select=id&id=eq.3";
    for wrong in [
        "206",
        "200\n< content-range: 0-1/*",
        "200\n< content-type:",
        "200\n= [{\"id\":4}]",
        "200\n~ title",
        "200 PGRST100",
    ] {
        let cases = case::parse("controls", &format!("{request}\n{wrong}\n"));
        let faults = compare(&cases[0], &sqlite, &postgres).await;
        assert_eq!(
            faults.len(),
            if wrong == "200 PGRST100" { 2 } else { 1 },
            "{wrong}: {faults:?}"
        );
    }
    let right = "200\n< content-range: 0-0/*\n= [ {\"id\": 3} ]\n~ \"id\"";
    let cases = case::parse("controls", &format!("{request}\n{right}\n"));
    assert_eq!(compare(&cases[0], &sqlite, &postgres).await, [""; 0]);
}
