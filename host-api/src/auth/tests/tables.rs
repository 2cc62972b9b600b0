//! The tables: what points to users, older ones, files that are not there, and who may read them.

use std::sync::Arc;

use super::*;
use crate::data::sqlite::{Connection, Options, Sqlite};
use crate::data::{Context, DataStore, ddl, transfer};

const APP: &str = "
    create table profile (id uuid primary key references auth.users on delete cascade, name text);
    create table post (id integer primary key, author uuid references auth.users (id) on delete set null);
    create table bill (id integer primary key, payer uuid not null references auth.users);
    create table late (id integer primary key,
        owner uuid references auth.users deferrable initially deferred);
";

fn all_of(number: u128) -> (Factor, Challenge) {
    (factor(number, number), challenge(number, number))
}

/// User `number` with one of everything.
macro_rules! one_of_everything {
    ($tx:ident, $number:expr) => {{
        let number = $number;
        let (factor, challenge) = all_of(number);
        assert!(
            $tx.insert_identity(&identity(number, number, &number.to_string()))
                .await?
        );
        $tx.insert_session(&session(number, number)).await?;
        $tx.put_token(&token(number, number, TokenKind::Recovery))
            .await?;
        $tx.insert_factor(&factor).await?;
        $tx.insert_challenge(&challenge).await?;
        $tx.put_recovery_codes(id(number), &["x".to_owned()])
            .await?;
        let mine = FlowState {
            user_id: Some(id(number)),
            ..flow_state(number)
        };
        $tx.insert_flow(&mine).await?;
        let linking = FlowState {
            linking_user_id: Some(id(number)),
            ..flow_state(number + 100)
        };
        $tx.insert_flow(&linking).await?;
    }};
}

/// How the rows of `$of` are counted on each engine, and how many there are to be.
macro_rules! counted {
    ($of:literal, $expect:literal) => {
        (
            concat!("select cast(count(*) as text) from ", $of),
            concat!("select count(*) from ", $of),
            $expect,
        )
    };
}

#[tokio::test]
async fn a_deleted_user_leaves_nothing() {
    for db in testing::both(APP, &[]).await {
        sign_up(&db, 3).await;
        let written = flow!(db, |tx| -> () {
            one_of_everything!(tx, 1_u128);
            one_of_everything!(tx, 2_u128);
            Ok(())
        });
        written.await.unwrap();
        for statement in [
            format!(
                "insert into profile values ('{}', 'a'), ('{}', 'b')",
                id(1),
                id(2)
            ),
            format!("insert into post values (1, '{}'), (2, '{}')", id(1), id(2)),
            format!("insert into bill values (1, '{}')", id(2)),
            format!("insert into late values (1, '{}')", id(3)),
        ] {
            db.sql(&statement).await;
        }
        let nobody = format!("insert into bill values (2, '{}')", id(9));
        let refused = db.sql_within(None, &nobody, 0).await.unwrap_err();
        assert_eq!(refused.code(), Some("23503"));

        let gone = flow!(db, |tx| -> () {
            tx.delete_user(id(1)).await?;
            assert_eq!(tx.user(id(1)).await?, None);
            assert_eq!(tx.user_by_identity("google", "1").await?, None);
            assert_eq!(tx.session(id(1)).await?, None);
            assert_eq!(tx.token_by_hash("hash1").await?, None);
            assert_eq!(tx.challenge(id(1)).await?, None);
            assert_eq!(tx.count_recovery_codes(id(1)).await?, 0);
            assert_eq!(tx.flow(id(1)).await?, None);
            assert_eq!(tx.flow(id(101)).await?, None);
            // Nothing happens to one that is not there.
            tx.delete_user(id(1)).await
        });
        gone.await.unwrap();
        for (sqlite, postgres, expect) in [
            counted!("profile", 1),
            counted!("post where author is null", 1),
            counted!("post where author is not null", 1),
        ] {
            let found = match db.store.db() {
                Db::Sqlite(_) => db.count(sqlite, postgres).await,
                // As the owner: the host has no rights on tables of the app.
                Db::Postgres(_) => db.asked(postgres).await,
            };
            assert_eq!(found, expect, "{postgres}");
        }
        // What another points to stays, at once and at the end.
        for (number, left) in [(2, "2"), (3, "3")] {
            let refused = flow!(db, number: u128, |tx| -> () { tx.delete_user(id(*number)).await });
            let refused = refused.await.unwrap_err();
            assert_eq!(refused.code(), Some("23503"), "{left}: {refused}");
            let stays = flow!(db, number: u128, |tx| -> bool {
                Ok(tx.user(id(*number)).await?.is_some())
            });
            assert!(stays.await.unwrap(), "{left}");
        }
        let whole = flow!(db, |tx| -> () {
            assert!(tx.session(id(2)).await?.is_some());
            assert!(tx.challenge(id(2)).await?.is_some());
            Ok(())
        });
        whole.await.unwrap();
        db.end().await;
    }
}

#[tokio::test]
async fn an_older_table_gets_what_it_has_not() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        setup: Some(Arc::new(ddl::register)),
        ..Options::default()
    };
    let sqlite = Sqlite::new(folder.path().join("app.db"), options);
    let old = |connection: &Connection| {
        ddl::prepare(connection).map_err(|fault| DataError::Internal(fault.to_string()))?;
        connection
            .script(
                r#"create table note (id integer primary key, owner text references "auth.users" (id));
                insert into "auth.users" (id, email, created_at) values
                    ('00000000-0000-0000-0000-000000000001', 'a@example.com', '2023-11-14T22:13:20.123457+00:00');
                insert into note values (1, '00000000-0000-0000-0000-000000000001');"#,
            )
            .map_err(|(_, error)| error.into())
    };
    sqlite
        .write(Context::default(), prepare_time(), old)
        .await
        .unwrap();
    let file = DataStore::new(Db::Sqlite(sqlite));

    let cluster = testing::postgres("", &[]).await;
    for statement in [
        "drop table auth.identities, auth.sessions, auth.one_time_tokens, auth.mfa_challenges,
            auth.mfa_factors, auth.mfa_recovery_codes, auth.flow_state, auth.audit_log_entries",
        "drop table auth.users",
        "create table auth.users (id uuid primary key default gen_random_uuid(), email text,
            created_at timestamptz default now())",
        "insert into auth.users values
            ('00000000-0000-0000-0000-000000000001', 'a@example.com', '2023-11-14T22:13:20.123457Z')",
    ] {
        cluster.as_owner(statement).await;
    }
    cluster.migrate(&[], &[]).await;
    cluster.migrate(&[], &[]).await;

    for store in [&file, &cluster.store] {
        // Another process opens it again.
        for _ in 0..2 {
            let store = DataStore::new(store.db().clone());
            struct Place {
                store: DataStore,
            }
            let db = Place { store };
            let story = flow!(db, |tx| -> () {
                let old = User {
                    email: Some("a@example.com".to_owned()),
                    ..user(1)
                };
                let found = tx.user_by_email("a@example.com").await?.unwrap();
                assert_eq!((found.id, found.created_at), (old.id, old.created_at));
                assert_eq!(
                    (&*found.aud, &*found.role),
                    ("authenticated", "authenticated")
                );
                assert_eq!(found.app_metadata, Map::new());
                assert!(tx.save_user(&full_user(1)).await?);
                assert_eq!(tx.user(id(1)).await?, Some(full_user(1)));
                assert!(tx.save_user(&old).await?);
                assert!(
                    !tx.insert_user(&User {
                        email: old.email,
                        ..user(2)
                    })
                    .await?
                );
                Ok(())
            });
            story.await.unwrap();
        }
    }
    cluster.end().await;
}

fn prepare_time() -> std::time::Duration {
    std::time::Duration::from_secs(10)
}

#[tokio::test]
async fn a_file_that_is_not_there_is_made_by_its_first_user() {
    struct Place {
        store: DataStore,
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let options = Options {
        setup: Some(Arc::new(ddl::register)),
        ..Options::default()
    };
    let place = |path: &std::path::Path| Place {
        store: DataStore::new(Db::Sqlite(Sqlite::new(path.to_owned(), options.clone()))),
    };
    let db = place(&path);
    sign_up_in(&db.store).await;
    // A file that was read first.
    struct Look;
    impl Flow for Look {
        type Answer = u64;
        async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<u64, DataError> {
            assert!(tx.flow(id(1)).await?.is_none());
            assert!(tx.token_by_hash("x").await?.is_none());
            tx.count_users(&UserFilter::default()).await
        }
    }
    let users = Users::new(db.store.clone());
    assert_eq!(users.read(Look).await.unwrap(), 1);
    let db = place(&folder.path().join("other.db"));
    let users = Users::new(db.store.clone());
    assert_eq!(users.read(Look).await.unwrap(), 0);
}

async fn sign_up_in(store: &DataStore) {
    struct Place {
        store: DataStore,
    }
    let db = Place {
        store: store.clone(),
    };
    let one = flow!(db, |tx| -> bool { tx.insert_user(&user(1)).await });
    assert!(one.await.unwrap());
}

#[tokio::test]
async fn a_read_on_postgresql_locks_nothing() {
    struct Look;
    impl Flow for Look {
        type Answer = ();
        async fn run<E: Engine>(&self, tx: &mut Tx<'_, E>) -> Result<(), DataError> {
            assert!(tx.flow(id(1)).await?.is_none());
            assert!(tx.flow_by_code("x").await?.is_none());
            assert!(tx.token_by_hash("x").await?.is_none());
            assert!(tx.token_of(id(1), TokenKind::Recovery).await?.is_none());
            assert!(tx.challenge(id(1)).await?.is_none());
            Ok(())
        }
    }
    let db = testing::postgres("", &[]).await;
    Users::new(db.store.clone()).read(Look).await.unwrap();
    db.end().await;
}

#[tokio::test]
async fn guests_and_migrations_reach_no_table_of_ours() {
    for db in testing::both("", &[]).await {
        sign_up(&db, 1).await;
        for table in [
            "users",
            "identities",
            "sessions",
            "one_time_tokens",
            "mfa_factors",
            "mfa_challenges",
            "mfa_recovery_codes",
            "flow_state",
            "audit_log_entries",
        ] {
            for statement in [
                format!("select * from auth.{table}"),
                format!("select count(*) from \"auth.{table}\""),
                format!("delete from auth.{table}"),
                format!("delete from \"auth.{table}\""),
                format!("alter table auth.{table} add column x text"),
            ] {
                let refused = db.sql_within(None, &statement, 0).await;
                assert!(refused.is_err(), "{statement}");
            }
        }
        db.end().await;
    }
    // On PostgreSQL a migration is its owner's; on SQLite it knows no such table.
    for statement in [
        "alter table auth.users add column x text;",
        "alter table auth.users drop column email;",
        "alter table auth.sessions enable row level security;",
        "drop table auth.users;",
        "drop table \"auth.users\";",
        "alter table \"auth.users\" rename to mine;",
        "create index i on auth.users (email);",
        "create table \"auth.mine\" (id integer primary key);",
        "insert into auth.users (id) values ('00000000-0000-0000-0000-000000000001');",
        "update auth.users set email = 'x';",
        "delete from auth.users;",
        "grant select on auth.users to anon;",
        "create policy p on auth.users using (true);",
        "create view v as select * from auth.users;",
        "create view v as select * from \"auth.users\";",
    ] {
        let file = ddl::MigrationFile {
            name: "0001_init.sql".to_owned(),
            source: statement.to_owned(),
        };
        assert!(ddl::intended(&[file]).is_err(), "{statement}");
    }
}

#[tokio::test]
async fn a_move_takes_users_along() {
    let mut both = testing::both(APP, &[]).await;
    let (target, source) = (both.pop().unwrap(), both.pop().unwrap());
    sign_up(&source, 3).await;
    let written = flow!(source, |tx| -> () {
        one_of_everything!(tx, 1_u128);
        assert!(tx.save_user(&full_user(1)).await?);
        tx.record(&entry(1, json!({"b": 1, "a": [1.50, null]})))
            .await
    });
    written.await.unwrap();
    source
        .sql(&format!("insert into profile values ('{}', 'a')", id(1)))
        .await;
    let Db::Sqlite(file) = source.store.db() else {
        unreachable!()
    };
    let tables = transfer::copy(file, target.owner().await, &|_, _| {})
        .await
        .unwrap();
    let rows = |name: &str| {
        let found = tables.iter().find(|table| table.table == name);
        found.map(|table| table.rows)
    };
    for (table, expect) in [
        ("auth.users", 3),
        ("auth.identities", 1),
        ("auth.sessions", 1),
        ("auth.one_time_tokens", 1),
        ("auth.mfa_factors", 1),
        ("auth.mfa_challenges", 1),
        ("auth.mfa_recovery_codes", 1),
        ("auth.flow_state", 2),
        ("auth.audit_log_entries", 1),
    ] {
        assert_eq!(rows(table), Some(expect), "{table}");
    }
    let there = flow!(target, |tx| -> () {
        let found = tx.user(id(1)).await?.unwrap();
        let expect = User {
            identities: vec![identity(1, 1, "1")],
            factors: vec![factor(1, 1)],
            ..full_user(1)
        };
        assert_eq!(found, expect);
        assert_eq!(tx.session(id(1)).await?, Some(session(1, 1)));
        Ok(())
    });
    there.await.unwrap();
    target.end().await;
    source.end().await;
}

#[tokio::test]
async fn an_apps_trigger_sees_who_signs_up() {
    // The usual way of apps to have a profile for each user.
    let db = testing::postgres(
        "create table profile (id uuid primary key references auth.users on delete cascade,
            name text, email text);
        create function public.handle_new_user() returns trigger language plpgsql
            security definer set search_path = '' as $$
        begin
            insert into public.profile (id, name, email)
                values (new.id, new.raw_user_meta_data ->> 'name', new.email);
            return new;
        end $$;
        create trigger on_auth_user_created after insert on auth.users
            for each row execute procedure public.handle_new_user();",
        &[],
    )
    .await;
    let made = flow!(db, |tx| -> bool {
        let named = User {
            user_metadata: object(json!({"name": "Anna"})),
            ..user(1)
        };
        tx.insert_user(&named).await
    });
    assert!(made.await.unwrap());
    assert_eq!(
        db.asked("select count(*) from profile where name = 'Anna' and email = 'u1@example.com'")
            .await,
        1
    );
    db.end().await;
}
