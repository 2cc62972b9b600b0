//! What happens at the same time.

use futures_util::future::join_all;

use super::*;

/// Many, so that some of them do meet.
const MANY: u128 = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_address_goes_to_one_of_many() {
    for db in testing::both("", &[]).await {
        sign_up(&db, MANY).await;
        let changes = (1..=MANY).map(|number| {
            flow!(db, number: u128, |tx| -> bool {
                let Some(mut user) = tx.lock_user(id(*number)).await? else {
                    return Ok(false);
                };
                user.email = Some("one@example.com".to_owned());
                tx.save_user(&user).await
            })
        });
        let changed = join_all(changes).await;
        let changed: Vec<bool> = changed.into_iter().map(Result::unwrap).collect();
        assert_eq!(changed.iter().filter(|changed| **changed).count(), 1);

        let arrivals = (1..=MANY).map(|number| {
            flow!(db, number: u128, |tx| -> bool {
                let mut user = user(100 + *number);
                user.email = Some("two@example.com".to_owned());
                tx.insert_user(&user).await
            })
        });
        let arrived = join_all(arrivals).await;
        let arrived = arrived.into_iter().filter(|one| *one.as_ref().unwrap());
        assert_eq!(arrived.count(), 1);
        db.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_used_once_is_used_by_one_of_many() {
    for db in testing::both("", &[]).await {
        sign_up(&db, 1).await;
        let written = flow!(db, |tx| -> () {
            tx.put_token(&token(1, 1, TokenKind::Recovery)).await?;
            let coded = FlowState {
                auth_code_hash: Some("code".to_owned()),
                ..flow_state(1)
            };
            tx.insert_flow(&coded).await?;
            tx.put_recovery_codes(id(1), &["x".to_owned()]).await?;
            tx.insert_factor(&factor(1, 1)).await?;
            tx.insert_challenge(&challenge(1, 1)).await
        });
        written.await.unwrap();
        let tries = (0..MANY).map(|_| {
            flow!(db, |tx| -> [bool; 4] {
                let mut took = [false; 4];
                if let Some(token) = tx.token_by_hash("hash1").await? {
                    tx.delete_token(token.id).await?;
                    took[0] = true;
                }
                if let Some(flow) = tx.flow_by_code("code").await? {
                    tx.delete_flow(flow.id).await?;
                    took[1] = true;
                }
                took[2] = tx.take_recovery_code(id(1), "x").await?;
                if let Some(mut asked) = tx.challenge(id(1)).await?
                    && asked.verified_at.is_none()
                {
                    asked.verified_at = Some(at(0));
                    tx.save_challenge(&asked).await?;
                    took[3] = true;
                }
                Ok(took)
            })
        });
        let mut sum = [0; 4];
        for took in join_all(tries).await {
            for (sum, took) in sum.iter_mut().zip(took.unwrap()) {
                *sum += u32::from(took);
            }
        }
        assert_eq!(sum, [1; 4]);
        db.end().await;
    }
}

/// What a locked user's factors are is read after the lock: a code that was taken meanwhile is seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_locked_user_and_session_are_as_the_last_left_them() {
    for db in testing::both("", &[]).await {
        sign_up(&db, 1).await;
        let written = flow!(db, |tx| -> () {
            tx.insert_factor(&factor(1, 1)).await?;
            tx.insert_session(&session(1, 1)).await
        });
        written.await.unwrap();
        let steps = (0..MANY).map(|_| {
            flow!(db, |tx| -> () {
                let mut user = tx.lock_user(id(1)).await?.unwrap();
                let factor = &mut user.factors[0];
                factor.last_step = Some(factor.last_step.unwrap_or(0) + 1);
                tx.save_factor(factor).await
            })
        });
        for step in join_all(steps).await {
            step.unwrap();
        }
        let refreshes = (0..MANY).map(|_| {
            flow!(db, |tx| -> i64 {
                let mut session = tx.lock_session(id(1)).await?.unwrap();
                session.counter += 1;
                tx.save_session(&session).await?;
                Ok(session.counter)
            })
        });
        let refreshed = join_all(refreshes).await;
        let mut counters: Vec<i64> = refreshed.into_iter().map(Result::unwrap).collect();
        counters.sort_unstable();
        assert_eq!(counters, (1..=MANY as i64).collect::<Vec<_>>());
        let left = flow!(db, |tx| -> Option<i64> {
            Ok(tx.user(id(1)).await?.unwrap().factors[0].last_step)
        });
        assert_eq!(left.await.unwrap(), Some(MANY as i64));
        db.end().await;
    }
}
