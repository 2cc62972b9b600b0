//! What policies of an app see of users: the caller's own row, and of it what is documented.

use super::*;
use crate::data::query::{Preferences, Query};
use crate::data::{Actor, Authority, ddl};
use crate::{Caller, InvocationId, Role};

const APP: &str = "
    create table confirmed (id integer primary key);
    grant select on confirmed to anon, authenticated;
    create policy p on confirmed using (exists (
        select 1 from auth.users u where u.id = auth.uid() and u.email_confirmed_at is not null));
    create table others (id integer primary key);
    grant select on others to anon, authenticated;
    create policy p on others using (exists (select 1 from auth.users where id <> auth.uid()));
    create table typed (id integer primary key);
    grant select on typed to anon, authenticated;
    create policy p on typed using (
        (select raw_app_meta_data ->> 'team' from auth.users where auth.users.id = auth.uid()) = 'a'
        and (select u.is_anonymous = false and u.role = 'authenticated' and u.phone is null
            and u.raw_user_meta_data @> '{\"n\": 1}' and u.created_at > '2023-11-14T22:13:20Z'
            and u.created_at <= u.updated_at and u.banned_until is null
            and u.last_sign_in_at is null and u.phone_confirmed_at is null
            and u.email = 'u1@example.com' from auth.users as u));
";

fn actor(user: Option<u128>) -> Actor {
    Actor {
        authority: Authority::Caller,
        caller: Caller {
            role: match user {
                Some(_) => Role::Authenticated,
                None => Role::Anon,
            },
            user_id: None,
            claims: match user {
                Some(number) => json!({"sub": id(number)}).to_string().into(),
                None => "{}".into(),
            },
        },
        depth: 0,
        cause: InvocationId(Uuid::nil()),
        budget: None,
        request: None,
    }
}

async fn seen(db: &TestDb, user: Option<u128>, table: &str) -> Result<u64, DataError> {
    let query = Query {
        table: table.to_owned(),
        ..Query::default()
    };
    let (actor, wants) = (actor(user), Preferences::default());
    let rows = db.store.select(&actor, None, &query, wants);
    rows.await.map(|rows| rows.count)
}

#[tokio::test]
async fn a_policy_sees_the_callers_own_row() {
    for db in testing::both(APP, &[]).await {
        let story = flow!(db, |tx| -> () {
            let confirmed = User {
                email_confirmed_at: Some(at(0)),
                app_metadata: object(json!({"team": "a"})),
                user_metadata: object(json!({"n": 1, "m": 2})),
                ..user(1)
            };
            assert!(tx.insert_user(&confirmed).await?);
            assert!(tx.insert_user(&user(2)).await?);
            Ok(())
        });
        story.await.unwrap();
        for table in ["confirmed", "others", "typed"] {
            db.sql(&format!("insert into {table} values (1)")).await;
        }
        for (user, table, expect) in [
            (Some(1), "confirmed", 1),
            (Some(2), "confirmed", 0),
            (Some(3), "confirmed", 0),
            (None, "confirmed", 0),
            (Some(1), "others", 0),
            (Some(2), "others", 0),
            (None, "others", 0),
            (Some(1), "typed", 1),
            (Some(2), "typed", 0),
            (None, "typed", 0),
        ] {
            let found = seen(&db, user, table).await.unwrap();
            assert_eq!(found, expect, "{user:?} {table}");
        }
        db.end().await;
    }
}

#[tokio::test]
async fn what_is_not_documented_is_closed_to_policies() {
    let open = |query: &str| {
        format!(
            "create table t (id integer primary key);
            grant select on t to anon, authenticated;
            create policy p on t using (exists ({query}));"
        )
    };
    let closed = [
        "select encrypted_password from auth.users",
        "select 1 from auth.users u where u.email_change is not null",
        "select 1 from auth.users where aud = 'a'",
        "select 1 from auth.sessions",
        "select 1 from auth.identities i",
    ];
    for query in closed {
        let file = ddl::MigrationFile {
            name: "0001_init.sql".to_owned(),
            source: open(query),
        };
        assert!(ddl::intended(&[file]).is_err(), "{query}");
        let db = testing::postgres(&open(query), &[]).await;
        db.sql("insert into t values (1)").await;
        let refused = seen(&db, Some(1), "t").await.unwrap_err();
        assert_eq!(refused.code(), Some("42501"), "{query}");
        db.end().await;
    }
}
