//! What is written is read.

use super::*;

const NONE: &str = "";

#[tokio::test]
async fn a_user_is_read_as_it_was_written() {
    for db in testing::both(NONE, &[]).await {
        let story = flow!(db, |tx| -> () {
            // A deleted user is found by nothing but its id.
            let full = full_user(1);
            assert!(tx.insert_user(&full).await?);
            assert_eq!(tx.user(id(1)).await?.as_ref(), Some(&full));
            assert_eq!(tx.lock_user(id(1)).await?.as_ref(), Some(&full));
            let (email, phone) = (full.email.clone().unwrap(), full.phone.clone().unwrap());
            assert_eq!(tx.user_by_email(&email).await?, None);
            assert_eq!(tx.user_by_phone(&phone).await?, None);
            let back = User {
                deleted_at: None,
                ..full
            };
            assert!(tx.save_user(&back).await?);
            assert_eq!(tx.user_by_email(&email).await?.as_ref(), Some(&back));
            assert_eq!(tx.user_by_phone(&phone).await?.as_ref(), Some(&back));
            assert_eq!(tx.user_by_email("U1@example.com").await?, None);
            // Every column again, to what it was not.
            let plain = User {
                email: None,
                ..user(1)
            };
            assert!(tx.save_user(&plain).await?);
            assert_eq!(tx.user(id(1)).await?, Some(plain));
            assert!(tx.save_user(&full_user(1)).await?);
            assert_eq!(tx.user(id(1)).await?, Some(full_user(1)));
            assert_eq!(tx.user(id(2)).await?, None);
            assert_eq!(tx.lock_user(id(2)).await?, None);
            assert!(!tx.save_user(&user(2)).await?);
            Ok(())
        });
        story.await.unwrap();
        db.end().await;
    }
}

#[tokio::test]
async fn an_address_and_a_number_are_one_users() {
    for db in testing::both(NONE, &[]).await {
        let story = flow!(db, |tx| -> () {
            let called = |number: u128, phone: &str| User {
                phone: Some(phone.to_owned()),
                ..user(number)
            };
            let email_of = |number: u128, of: u128| User {
                email: user(of).email,
                ..user(number)
            };
            assert!(tx.insert_user(&called(1, "491")).await?);
            assert!(tx.insert_user(&called(2, "492")).await?);
            assert!(!tx.insert_user(&user(2)).await?);
            assert!(!tx.insert_user(&called(3, "491")).await?);
            assert!(!tx.insert_user(&email_of(3, 1)).await?);
            assert!(!tx.save_user(&email_of(2, 1)).await?);
            assert!(!tx.save_user(&called(2, "491")).await?);
            assert_eq!(tx.user(id(2)).await?, Some(called(2, "492")));
            // Neither is a number that nobody has.
            assert!(tx.insert_user(&user(4)).await?);
            assert!(tx.insert_user(&user(5)).await?);
            // A deleted user's are free again, and others' do not keep one from being deleted.
            let deleted = User {
                deleted_at: Some(at(0)),
                ..called(1, "491")
            };
            assert!(tx.save_user(&deleted).await?);
            let again = User {
                phone: Some("491".to_owned()),
                ..email_of(6, 1)
            };
            assert!(tx.insert_user(&again).await?);
            let found = tx.user_by_phone("491").await?;
            assert_eq!(found.map(|user| user.id), Some(id(6)));
            assert!(tx.save_user(&deleted).await?);
            assert!(!tx.save_user(&called(1, "491")).await?);
            Ok(())
        });
        story.await.unwrap();
        db.end().await;
    }
}

#[tokio::test]
async fn an_identity_is_bound_once() {
    for db in testing::both(NONE, &[]).await {
        sign_up(&db, 2).await;
        let story = flow!(db, |tx| -> () {
            let mut first = identity(9, 1, "g1");
            first.last_sign_in_at = Some(at(1));
            assert!(tx.insert_identity(&first).await?);
            assert!(tx.insert_identity(&identity(8, 1, "g2")).await?);
            assert!(!tx.insert_identity(&identity(7, 2, "g1")).await?);
            assert!(!tx.insert_identity(&identity(9, 2, "g3")).await?);
            let found = tx.user_by_identity("google", "g1").await?.unwrap();
            assert_eq!(found.id, id(1));
            // In order of creation, not of writing.
            assert_eq!(found.identities, [identity(8, 1, "g2"), first.clone()]);
            assert_eq!(tx.user_by_identity("apple", "g1").await?, None);
            first.identity_data = object(json!({"name": "x"}));
            first.updated_at = at(77);
            tx.save_identity(&first).await?;
            tx.delete_identity(id(8)).await?;
            assert_eq!(tx.user(id(1)).await?.unwrap().identities, [first]);
            assert_eq!(tx.user(id(2)).await?.unwrap().identities, []);
            Ok(())
        });
        story.await.unwrap();
        db.end().await;
    }
}

#[tokio::test]
async fn users_are_listed_newest_first_and_found_by_a_part() {
    for db in testing::both(NONE, &[]).await {
        sign_up(&db, 3).await;
        let story = flow!(db, |tx| -> () {
            let named = User {
                email: None,
                phone: Some("4930".to_owned()),
                user_metadata: object(json!({"full_name": "Ärnie E_1", "name": "Nick"})),
                // Of the same moment as user 3: the greater id is first.
                created_at: at(3),
                ..user(10)
            };
            assert!(tx.insert_user(&named).await?);
            for (text, offset, limit, expect) in [
                (None, 0, 10, &[10_u128, 3, 2, 1][..]),
                (None, 1, 2, &[3, 2]),
                (None, 4, 2, &[]),
                (None, 0, 0, &[]),
                (None, u64::MAX, u64::MAX, &[]),
                (Some("U2@EXAMPLE"), 0, 10, &[2]),
                (Some("493"), 0, 10, &[10]),
                (Some("äRN"), 0, 10, &[10]),
                (Some("nick"), 0, 10, &[10]),
                (Some("e_1"), 0, 10, &[10]),
                (Some("e%1"), 0, 10, &[]),
                (Some("@"), 1, 10, &[2, 1]),
                (Some("'"), 0, 10, &[]),
            ] {
                let filter = UserFilter {
                    text: text.map(str::to_owned),
                };
                let found = tx.users(&filter, offset, limit).await?;
                let ids: Vec<u128> = found.iter().map(|user| user.id.as_u128()).collect();
                assert_eq!(ids, expect, "{text:?} {offset} {limit}");
                if offset == 0 && limit == 10 {
                    let count = tx.count_users(&filter).await?;
                    assert_eq!(count, expect.len() as u64, "{text:?}");
                }
            }
            let all = tx.users(&UserFilter::default(), 0, 1).await?;
            assert_eq!(all, [named]);
            Ok(())
        });
        story.await.unwrap();
        db.end().await;
    }
}

#[tokio::test]
async fn sessions_are_kept_and_ended() {
    for db in testing::both(NONE, &[]).await {
        sign_up(&db, 2).await;
        let story = flow!(db, |tx| -> () {
            let full = Session {
                aal: "aal2".to_owned(),
                counter: i64::MAX,
                factor_id: Some(id(5)),
                refreshed_at: at(99),
                not_after: Some(at(100)),
                user_agent: Some("a \"b\" \\ ü".to_owned()),
                ip: Some("2001:db8::1".to_owned()),
                ..session(1, 1)
            };
            tx.insert_session(&full).await?;
            for number in 2..=4 {
                tx.insert_session(&session(number, 1)).await?;
            }
            tx.insert_session(&session(9, 2)).await?;
            assert_eq!(tx.session(id(1)).await?.as_ref(), Some(&full));
            assert_eq!(tx.lock_session(id(1)).await?.as_ref(), Some(&full));
            assert_eq!(tx.session(id(99)).await?, None);
            assert_eq!(tx.lock_session(id(99)).await?, None);
            let saved = Session {
                id: id(2),
                created_at: at(2),
                ..full.clone()
            };
            tx.save_session(&saved).await?;
            let all = tx.sessions(id(1)).await?;
            assert_eq!(all, [session(4, 1), session(3, 1), saved, full]);
            tx.delete_session(id(4)).await?;
            let mut ended = tx.delete_sessions(id(1), Some(id(2))).await?;
            ended.sort();
            assert_eq!(ended, [id(1), id(3)]);
            assert_eq!(tx.delete_sessions(id(1), None).await?, [id(2)]);
            assert_eq!(tx.delete_sessions(id(1), None).await?, [] as [Uuid; 0]);
            assert_eq!(tx.sessions(id(2)).await?, [session(9, 2)]);
            Ok(())
        });
        story.await.unwrap();
        db.end().await;
    }
}

#[tokio::test]
async fn a_user_has_one_token_of_a_kind() {
    for db in testing::both(NONE, &[]).await {
        sign_up(&db, 2).await;
        let story = flow!(db, |tx| -> () {
            for (number, kind) in [
                TokenKind::Confirmation,
                TokenKind::Recovery,
                TokenKind::EmailChangeCurrent,
                TokenKind::EmailChangeNew,
                TokenKind::PhoneChange,
                TokenKind::Reauthentication,
            ]
            .into_iter()
            .enumerate()
            {
                let token = token(number as u128 + 1, 1, kind);
                tx.put_token(&token).await?;
                assert_eq!(tx.token_of(id(1), kind).await?, Some(token));
            }
            tx.count_attempt(id(1)).await?;
            tx.count_attempt(id(1)).await?;
            let counted = tx.token_by_hash("hash1").await?.unwrap();
            assert_eq!(counted.attempts, 2);
            // Another takes its place, with its own count.
            let next = OneTimeToken {
                relates_to: "x@example.com".to_owned(),
                flow_id: Some(id(77)),
                ..token(50, 1, TokenKind::Confirmation)
            };
            tx.put_token(&next).await?;
            assert_eq!(tx.token_by_hash("hash1").await?, None);
            assert_eq!(tx.token_by_hash("hash50").await?, Some(next));
            let others = token(60, 2, TokenKind::Confirmation);
            tx.put_token(&others).await?;
            tx.delete_token(id(50)).await?;
            assert_eq!(tx.token_of(id(1), TokenKind::Confirmation).await?, None);
            tx.delete_tokens(id(1)).await?;
            assert_eq!(tx.token_by_hash("hash2").await?, None);
            assert_eq!(tx.token_by_hash("hash60").await?, Some(others));
            Ok(())
        });
        story.await.unwrap();
        // Two links are never the same.
        let same = flow!(db, |tx| -> () {
            let mut twin = token(61, 1, TokenKind::Recovery);
            twin.token_hash = "hash60".to_owned();
            tx.put_token(&twin).await
        });
        let refused = same.await.unwrap_err();
        assert_eq!(refused.code(), Some("23505"), "{refused}");
        db.end().await;
    }
}

#[tokio::test]
async fn factors_are_challenged_and_counted() {
    for db in testing::both(NONE, &[]).await {
        sign_up(&db, 2).await;
        let story = flow!(db, |tx| -> () {
            tx.insert_factor(&factor(8, 1)).await?;
            tx.insert_factor(&factor(7, 1)).await?;
            let saved = Factor {
                friendly_name: Some("phone ü".to_owned()),
                status: FactorStatus::Verified,
                secret: "bmV4dA".to_owned(),
                last_step: Some(i64::MAX),
                last_challenged_at: Some(at(5)),
                updated_at: at(6),
                ..factor(8, 1)
            };
            tx.save_factor(&saved).await?;
            let all = tx.user(id(1)).await?.unwrap().factors;
            assert_eq!(all, [factor(7, 1), saved]);

            tx.insert_challenge(&challenge(20, 8)).await?;
            tx.insert_challenge(&challenge(30, 8)).await?;
            tx.insert_challenge(&challenge(31, 7)).await?;
            assert_eq!(tx.challenge(id(20)).await?, Some(challenge(20, 8)));
            for (number, factor, attempts) in [(20, 8, 3), (30, 8, 4), (31, 7, 50)] {
                let asked = Challenge {
                    verified_at: Some(at(40)),
                    attempts,
                    ip: Some("::1".to_owned()),
                    ..challenge(number, factor)
                };
                tx.save_challenge(&asked).await?;
                assert_eq!(tx.challenge(id(number)).await?, Some(asked));
            }
            // From the moment on, that moment too.
            for (since, expect) in [(19, 7), (20, 7), (21, 4), (30, 4), (31, 0)] {
                assert_eq!(tx.wrong_codes(id(8), at(since)).await?, expect, "{since}");
            }
            tx.delete_factor(id(8)).await?;
            assert_eq!(tx.challenge(id(20)).await?, None);
            assert_eq!(tx.wrong_codes(id(8), at(0)).await?, 0);
            assert!(tx.challenge(id(31)).await?.is_some());
            Ok(())
        });
        story.await.unwrap();
        db.end().await;
    }
}

#[tokio::test]
async fn a_recovery_code_is_used_once() {
    for db in testing::both(NONE, &[]).await {
        sign_up(&db, 2).await;
        let story = flow!(db, |tx| -> () {
            let codes = |codes: &[&str]| -> Vec<String> {
                codes.iter().map(|code| (*code).to_owned()).collect()
            };
            tx.put_recovery_codes(id(1), &codes(&["a", "b", "ü\""]))
                .await?;
            tx.put_recovery_codes(id(2), &codes(&["a"])).await?;
            assert_eq!(tx.count_recovery_codes(id(1)).await?, 3);
            assert!(tx.take_recovery_code(id(1), "ü\"").await?);
            assert!(!tx.take_recovery_code(id(1), "ü\"").await?);
            assert!(!tx.take_recovery_code(id(2), "b").await?);
            assert_eq!(tx.count_recovery_codes(id(1)).await?, 2);
            tx.put_recovery_codes(id(1), &codes(&["b", "b", "c"]))
                .await?;
            assert!(!tx.take_recovery_code(id(1), "a").await?);
            assert_eq!(tx.count_recovery_codes(id(1)).await?, 2);
            tx.put_recovery_codes(id(1), &[]).await?;
            assert_eq!(tx.count_recovery_codes(id(1)).await?, 0);
            assert_eq!(tx.count_recovery_codes(id(2)).await?, 1);
            Ok(())
        });
        story.await.unwrap();
        db.end().await;
    }
}

#[tokio::test]
async fn flows_are_found_by_id_and_code() {
    for db in testing::both(NONE, &[]).await {
        sign_up(&db, 2).await;
        let story = flow!(db, |tx| -> () {
            tx.insert_flow(&flow_state(1)).await?;
            tx.insert_flow(&flow_state(2)).await?;
            assert_eq!(tx.flow(id(1)).await?, Some(flow_state(1)));
            let saved = FlowState {
                user_id: Some(id(1)),
                linking_user_id: Some(id(2)),
                auth_code_hash: Some("code".to_owned()),
                code_challenge: Some("challenge".to_owned()),
                code_challenge_method: Some("s256".to_owned()),
                provider: "google".to_owned(),
                method: "oauth".to_owned(),
                sealed: Some("c2VhbGVk".to_owned()),
                redirect_to: Some("myapp://cb?a=1&b='ü'#".to_owned()),
                code_issued_at: Some(at(4)),
                ..flow_state(1)
            };
            tx.save_flow(&saved).await?;
            assert_eq!(tx.flow(id(1)).await?.as_ref(), Some(&saved));
            assert_eq!(tx.flow_by_code("code").await?, Some(saved));
            assert_eq!(tx.flow_by_code("cod").await?, None);
            tx.delete_flow(id(1)).await?;
            assert_eq!(tx.flow(id(1)).await?, None);
            assert_eq!(tx.flow(id(2)).await?, Some(flow_state(2)));
            Ok(())
        });
        story.await.unwrap();
        db.end().await;
    }
}

#[tokio::test]
async fn the_audit_log_is_read_newest_first() {
    for db in testing::both(NONE, &[]).await {
        let story = flow!(db, |tx| -> () {
            for (number, name) in [(1, "anna"), (2, "Ärnie"), (3, "anna")] {
                let payload = json!({"action": "login", "actor_username": name});
                tx.record(&entry(number, payload)).await?;
            }
            for (text, offset, limit, expect) in [
                (None, 0, 9, &[3_u128, 2, 1][..]),
                (None, 1, 1, &[2]),
                (Some("ANNA"), 0, 9, &[3, 1]),
                (Some("ärn"), 0, 9, &[2]),
                (Some("_nna"), 0, 9, &[]),
            ] {
                let found = tx.audit(text, offset, limit).await?;
                let ids: Vec<u128> = found.iter().map(|entry| entry.id.as_u128()).collect();
                assert_eq!(ids, expect, "{text:?}");
                if limit == 9 {
                    assert_eq!(tx.count_audit(text).await?, expect.len() as u64);
                }
            }
            let first = tx.audit(None, 2, 1).await?;
            let payload = json!({"action": "login", "actor_username": "anna"});
            assert_eq!(first, [entry(1, payload)]);
            Ok(())
        });
        story.await.unwrap();
        db.end().await;
    }
}

#[tokio::test]
async fn what_is_old_or_too_much_is_forgotten() {
    for db in testing::both(NONE, &[]).await {
        sign_up(&db, 2).await;
        let story = flow!(db, |tx| -> () {
            tx.insert_factor(&factor(1, 1)).await?;
            for number in [10, 11] {
                tx.insert_flow(&flow_state(number)).await?;
                tx.put_token(&token(number, number - 9, TokenKind::Recovery))
                    .await?;
                tx.insert_challenge(&challenge(number, 1)).await?;
                let ended = Session {
                    not_after: Some(at(number as i64)),
                    ..session(number, 1)
                };
                tx.insert_session(&ended).await?;
                tx.record(&entry(number, json!({}))).await?;
            }
            tx.insert_session(&session(5, 1)).await?;
            tx.record(&entry(12, json!({}))).await?;
            for (before, audit_max, left, entries) in [(10, 3, 2, 3), (11, 2, 1, 2), (12, 0, 0, 0)]
            {
                tx.tidy(at(before), audit_max).await?;
                let mut found = [0; 4];
                for number in [10, 11] {
                    found[0] += usize::from(tx.flow(id(number)).await?.is_some());
                    let hash = format!("hash{number}");
                    found[1] += usize::from(tx.token_by_hash(&hash).await?.is_some());
                    found[2] += usize::from(tx.challenge(id(number)).await?.is_some());
                    found[3] += usize::from(tx.session(id(number)).await?.is_some());
                }
                assert_eq!(found, [left; 4], "{before}");
                assert_eq!(tx.count_audit(None).await?, entries, "{before}");
            }
            // One without an end stays.
            assert!(tx.session(id(5)).await?.is_some());
            Ok(())
        });
        story.await.unwrap();
        db.end().await;
    }
}
