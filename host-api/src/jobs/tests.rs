//! The queue on both engines.

use super::*;
use crate::Role;
use crate::data::testing;

const T0: i64 = 1_700_000_000_000;
const LEASE: Duration = Duration::from_secs(30);
const TABLE: &str = "create table note (id integer primary key);";

fn scripts() -> Scripts {
    [("digest".to_owned(), 3), ("other".to_owned(), 1)].into()
}

fn job(script: &str) -> NewJob {
    NewJob {
        script: script.to_owned(),
        payload: r#"{"a": 1.50}"#.to_owned(),
        run_at: None,
        unique_key: None,
        attempts_max: None,
        revision: 7,
        caller: Caller {
            role: Role::Authenticated,
            user_id: None,
            claims: r#"{"sub":"u"}"#.into(),
        },
        depth: 2,
    }
}

fn failed(at: i64) -> Finish {
    Finish::Retry {
        at,
        error: "no".to_owned(),
    }
}

#[tokio::test]
async fn a_job_goes_from_queued_to_done() {
    for db in testing::both(TABLE, &[]).await {
        let jobs = Jobs::new(db.store.clone());
        let later = NewJob {
            run_at: Some(T0 + 5),
            ..job("digest")
        };
        let id = jobs.enqueue(None, &scripts(), later, T0).await.unwrap();
        assert_eq!(jobs.next_due().await.unwrap(), Some(T0 + 5));
        assert!(jobs.claim(T0 + 4, LEASE, 10).await.unwrap().jobs.is_empty());
        let claimed = jobs.claim(T0 + 5, LEASE, 10).await.unwrap();
        let expect = Job {
            id,
            script: "digest".to_owned(),
            payload: r#"{"a": 1.50}"#.to_owned(),
            attempt: 1,
            attempts_max: 3,
            due: T0 + 5,
            schedule: None,
            revision: 7,
            role: "authenticated".to_owned(),
            claims: r#"{"sub":"u"}"#.to_owned(),
            depth: 2,
        };
        assert_eq!(claimed.jobs, [expect]);
        assert_eq!(jobs.get(id).await.unwrap().unwrap().state, State::Running);
        assert!(
            jobs.finish(id, claimed.token, T0 + 6, Finish::Done)
                .await
                .unwrap()
        );
        let status = jobs.get(id).await.unwrap().unwrap();
        assert_eq!((status.state, status.attempt), (State::Done, 1));
        assert_eq!(status.finished_at, Some(T0 + 6));
        assert_eq!(jobs.next_due().await.unwrap(), None);
        assert_eq!(jobs.get(Uuid::nil()).await.unwrap(), None);
        // What is done is done.
        assert!(
            !jobs
                .finish(id, claimed.token, T0, failed(T0))
                .await
                .unwrap()
        );
        db.end().await;
    }
}

#[tokio::test]
async fn a_job_fails_until_it_is_dead() {
    for db in testing::both(TABLE, &[]).await {
        let jobs = Jobs::new(db.store.clone());
        let id = jobs
            .enqueue(None, &scripts(), job("digest"), T0)
            .await
            .unwrap();
        for attempt in 1..=3 {
            let now = T0 + i64::from(attempt) * 1000;
            let claimed = jobs.claim(now, LEASE, 1).await.unwrap();
            assert_eq!(claimed.jobs[0].attempt, attempt);
            assert_eq!(claimed.jobs[0].due, T0);
            let outcome = match attempt {
                3 => Finish::Dead {
                    error: "no more".to_owned(),
                },
                _ => failed(now + 1000),
            };
            assert!(jobs.finish(id, claimed.token, now, outcome).await.unwrap());
        }
        let status = jobs.get(id).await.unwrap().unwrap();
        assert_eq!((status.state, status.attempt), (State::Dead, 3));
        assert_eq!(status.error.as_deref(), Some("no more"));
        assert_eq!(jobs.next_due().await.unwrap(), None);
        db.end().await;
    }
}

#[tokio::test]
async fn a_stale_token_changes_nothing() {
    for db in testing::both(TABLE, &[]).await {
        let jobs = Jobs::new(db.store.clone());
        let id = jobs
            .enqueue(None, &scripts(), job("digest"), T0)
            .await
            .unwrap();
        let slow = jobs.claim(T0, LEASE, 1).await.unwrap();
        assert_eq!(jobs.heartbeat(slow.token, T0 + 60_000).await.unwrap(), 1);
        assert!(
            jobs.claim(T0 + 59_999, LEASE, 1)
                .await
                .unwrap()
                .jobs
                .is_empty()
        );
        let quick = jobs.claim(T0 + 60_000, LEASE, 1).await.unwrap();
        assert_eq!(quick.jobs[0].attempt, 2);
        assert_eq!(jobs.heartbeat(slow.token, T0 + 99_000).await.unwrap(), 0);
        assert!(!jobs.finish(id, slow.token, T0, Finish::Done).await.unwrap());
        jobs.release(slow.token).await.unwrap();
        assert_eq!(jobs.get(id).await.unwrap().unwrap().state, State::Running);
        assert!(
            jobs.finish(id, quick.token, T0, Finish::Done)
                .await
                .unwrap()
        );
        db.end().await;
    }
}

#[tokio::test]
async fn the_last_lease_that_runs_out_is_the_end() {
    for db in testing::both(TABLE, &[]).await {
        let jobs = Jobs::new(db.store.clone());
        let id = jobs
            .enqueue(None, &scripts(), job("other"), T0)
            .await
            .unwrap();
        let first = jobs.claim(T0, LEASE, 1).await.unwrap();
        assert_eq!(first.jobs.len(), 1);
        assert_eq!(jobs.next_due().await.unwrap(), Some(T0 + 30_000));
        assert!(
            jobs.claim(T0 + 30_000, LEASE, 1)
                .await
                .unwrap()
                .jobs
                .is_empty()
        );
        let status = jobs.get(id).await.unwrap().unwrap();
        assert_eq!(status.state, State::Dead);
        assert_eq!(status.error.as_deref(), Some("its worker went away"));
        db.end().await;
    }
}

#[tokio::test]
async fn a_returned_job_has_not_been_tried() {
    for db in testing::both(TABLE, &[]).await {
        let jobs = Jobs::new(db.store.clone());
        let id = jobs
            .enqueue(None, &scripts(), job("other"), T0)
            .await
            .unwrap();
        let claimed = jobs.claim(T0, LEASE, 1).await.unwrap();
        jobs.release(claimed.token).await.unwrap();
        let status = jobs.get(id).await.unwrap().unwrap();
        assert_eq!((status.state, status.attempt), (State::Queued, 0));
        assert_eq!(jobs.claim(T0, LEASE, 1).await.unwrap().jobs[0].attempt, 1);
        db.end().await;
    }
}

#[tokio::test]
async fn a_unique_key_counts_while_its_job_waits() {
    for db in testing::both(TABLE, &[]).await {
        let jobs = Jobs::new(db.store.clone());
        let keyed = |script: &str| NewJob {
            unique_key: Some("k".to_owned()),
            ..job(script)
        };
        let add = async |job| jobs.enqueue(None, &scripts(), job, T0).await.unwrap();
        let first = add(keyed("digest")).await;
        assert_eq!(add(keyed("digest")).await, first);
        assert_ne!(add(keyed("other")).await, first);
        let claimed = jobs.claim(T0, LEASE, 1).await.unwrap();
        assert_eq!(claimed.jobs[0].id, first);
        let second = add(keyed("digest")).await;
        assert_ne!(second, first);
        // It comes back and is in nobody's way.
        assert!(
            jobs.finish(first, claimed.token, T0, failed(T0))
                .await
                .unwrap()
        );
        assert_eq!(add(keyed("digest")).await, second);
        let many = (0..8).map(|_| {
            add(NewJob {
                unique_key: Some("m".to_owned()),
                ..job("digest")
            })
        });
        let mut many = futures_util::future::join_all(many).await;
        many.dedup();
        assert_eq!(many.len(), 1);
        db.end().await;
    }
}

#[tokio::test]
async fn a_job_is_there_when_its_transaction_is() {
    for db in testing::both(TABLE, &[]).await {
        let jobs = Jobs::new(db.store.clone());
        let mut ids = Vec::new();
        for keep in [false, true] {
            let transaction = db.begin().await;
            let insert = "insert into note (id) values (1)";
            db.sql_within(Some(&transaction), insert, 0).await.unwrap();
            let none = job("none");
            let refused = jobs.enqueue(Some(&transaction), &scripts(), none, T0).await;
            assert!(matches!(refused, Err(JobError::NoScript(_))));
            let added = jobs
                .enqueue(Some(&transaction), &scripts(), job("digest"), T0)
                .await;
            ids.push(added.unwrap());
            // The guest goes on as itself.
            let update = "update note set id = 2";
            db.sql_within(Some(&transaction), update, 0).await.unwrap();
            match keep {
                true => db.store.commit(&transaction).await.unwrap(),
                false => db.store.rollback(&transaction).await,
            }
        }
        assert_eq!(jobs.get(ids[0]).await.unwrap(), None);
        assert_eq!(
            jobs.get(ids[1]).await.unwrap().unwrap().state,
            State::Queued
        );
        db.end().await;
    }
}

#[tokio::test]
async fn what_is_no_job_is_refused() {
    for db in testing::both(TABLE, &[]).await {
        let jobs = Jobs::new(db.store.clone());
        let long = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
        let with = |change: &dyn Fn(&mut NewJob)| {
            let mut job = job("digest");
            change(&mut job);
            job
        };
        let cases: [(&str, NewJob); 12] = [
            ("ok", with(&|job| job.payload = long(PAYLOAD_BYTES_MAX))),
            (
                "payload",
                with(&|job| job.payload = long(PAYLOAD_BYTES_MAX + 1)),
            ),
            ("JSON", with(&|job| job.payload = "{".to_owned())),
            ("JSON", with(&|job| job.payload = String::new())),
            ("attempts", with(&|job| job.attempts_max = Some(0))),
            ("ok", with(&|job| job.attempts_max = Some(25))),
            ("attempts", with(&|job| job.attempts_max = Some(26))),
            ("key", with(&|job| job.unique_key = Some(String::new()))),
            ("ok", with(&|job| job.unique_key = Some("k".repeat(256)))),
            ("key", with(&|job| job.unique_key = Some("k".repeat(257)))),
            ("instant", with(&|job| job.run_at = Some(-1))),
            ("no script", with(&|job| job.script = "x".to_owned())),
        ];
        for (expect, job) in cases {
            let outcome = match jobs.enqueue(None, &scripts(), job, T0).await {
                Ok(_) => "ok".to_owned(),
                Err(error) => error.to_string(),
            };
            assert!(outcome.contains(expect), "{outcome}, not {expect}");
        }
        db.end().await;
    }
}

#[tokio::test]
async fn a_due_instant_fires_once() {
    for db in testing::both(TABLE, &[]).await {
        let jobs = Jobs::new(db.store.clone());
        let fire = async |due: i64| {
            let fired = jobs
                .fire(&scripts(), "hourly", due, job("digest"), T0)
                .await;
            fired.unwrap()
        };
        assert!(fire(T0).await);
        assert!(!fire(T0).await);
        let many = futures_util::future::join_all((0..4).map(|_| fire(T0 + 1000))).await;
        assert_eq!(many.iter().filter(|fired| **fired).count(), 1);
        let claimed = jobs.claim(T0, LEASE, 10).await.unwrap();
        let mut due: Vec<_> = claimed
            .jobs
            .iter()
            .map(|job| (job.schedule.as_deref(), job.due))
            .collect();
        due.sort_unstable();
        assert_eq!(due, [(Some("hourly"), T0), (Some("hourly"), T0 + 1000)]);
        // One that is refused leaves the instant to be fired.
        let refused = jobs
            .fire(&scripts(), "hourly", T0 + 2000, job("none"), T0)
            .await;
        assert!(matches!(refused, Err(JobError::NoScript(_))));
        assert!(fire(T0 + 2000).await);
        db.end().await;
    }
}

#[tokio::test]
async fn a_schedule_goes_on_where_it_was() {
    for db in testing::both(TABLE, &[]).await {
        let jobs = Jobs::new(db.store.clone());
        let known = |name: &str, line: &str| Known {
            name: name.to_owned(),
            line: line.to_owned(),
        };
        let (a, b) = (known("a", "* * * * * UTC"), known("b", "1 * * * * UTC"));
        let anchors = async |schedules: &[Known], now| jobs.anchors(schedules, now).await.unwrap();
        assert_eq!(anchors(&[a.clone(), b.clone()], T0).await, [T0, T0]);
        assert_eq!(anchors(&[a.clone(), b.clone()], T0 + 9).await, [T0, T0]);
        jobs.fire(&scripts(), "a", T0 + 5, job("digest"), T0 + 9)
            .await
            .unwrap();
        assert_eq!(anchors(&[b.clone(), a.clone()], T0 + 9).await, [T0, T0 + 5]);
        // Under another line it begins anew, and so does one that was away.
        let changed = known("b", "2 * * * * UTC");
        assert_eq!(
            anchors(std::slice::from_ref(&changed), T0 + 20).await,
            [T0 + 20]
        );
        assert_eq!(anchors(&[changed, a], T0 + 30).await, [T0 + 20, T0 + 30]);
        assert_eq!(anchors(&[], T0).await, [0_i64; 0]);
        db.end().await;
    }
}

#[tokio::test]
async fn old_jobs_are_forgotten() {
    for db in testing::both(TABLE, &[]).await {
        let jobs = Jobs::new(db.store.clone());
        let mut ids = Vec::new();
        for _ in 0..2 {
            let id = jobs
                .enqueue(None, &scripts(), job("digest"), T0)
                .await
                .unwrap();
            let claimed = jobs.claim(T0, LEASE, 1).await.unwrap();
            let done = Finish::Done;
            jobs.finish(id, claimed.token, T0 + ids.len() as i64, done)
                .await
                .unwrap();
            ids.push(id);
        }
        let waiting = jobs
            .enqueue(None, &scripts(), job("digest"), T0)
            .await
            .unwrap();
        let day = DONE_AGE_MAX.as_millis() as i64;
        for (now, left) in [(T0 + day, 3), (T0 + day + 1, 2), (T0 + day + 2, 1)] {
            jobs.tidy(now).await.unwrap();
            let mut found = 0;
            for id in ids.iter().chain([&waiting]) {
                found += usize::from(jobs.get(*id).await.unwrap().is_some());
            }
            assert_eq!(found, left, "{now}");
        }
        db.end().await;
    }
}
