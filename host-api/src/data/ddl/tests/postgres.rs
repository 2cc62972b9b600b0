//! What is taken and refused here is taken and refused on PostgreSQL.

use uuid::Uuid;

use super::access::{BASE, CONDITIONS, STATEMENTS};
use super::*;
use crate::AppId;
use crate::data::postgres::{Cluster, Connections, test_url};

#[tokio::test]
async fn postgres_agrees() {
    let mut cases: Vec<(String, bool)> = Vec::new();
    for (condition, expect) in CONDITIONS {
        let source = format!("create policy p on note using ({condition})");
        cases.push((source, !expect.starts_with('!')));
    }
    for (source, expect) in STATEMENTS.iter().chain(views::REFUSED) {
        let source = source.replace("select_is_closed", "");
        cases.push((source, !expect.starts_with('!')));
    }
    for (source, expect) in types::CHANGES {
        cases.push(((*source).to_owned(), !expect.starts_with('!')));
    }
    for (query, expect) in views::VIEWS {
        // PostgreSQL's own description must be the same: names, types, whether it can be written.
        let shown = expect.split(", key ").next().unwrap_or_default();
        let columns: Vec<&str> = shown
            .split(", ")
            .filter(|part| *part != "w")
            .filter_map(|part| part.split(" <").next())
            .collect();
        let text = columns.join(", ").replace("public.mood", "mood");
        let writable = expect.ends_with(" w");
        cases.push((
            format!(
                "create view v as {query}; do $check$ declare found text; begin
                select string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' order by attnum)
                into found from pg_attribute where attrelid = 'v'::regclass and attnum > 0;
                if found <> $x${text}$x$ then raise 'columns: %', found; end if;
                if (pg_relation_is_updatable('v'::regclass, false) & 24 = 24) <> {writable} then raise 'writable'; end if;
                end $check$"
            ),
            true,
        ));
    }

    let cluster = Cluster::connect(&test_url(), &Connections::new(8))
        .await
        .unwrap();
    let app = AppId(Uuid::new_v4());
    cluster.create_app(app, "secret").await.unwrap();
    let mut owner = cluster.as_owner(app).await.unwrap();
    let mut tx = owner.begin().await.unwrap();
    for statement in split(BASE).unwrap() {
        tx.execute("f", statement.line, statement.source)
            .await
            .unwrap();
    }
    owner = tx.commit().await.unwrap();
    let mut wrong = Vec::new();
    for (source, expect) in cases {
        let mut tx = owner.begin().await.unwrap();
        let mut outcome = Ok(());
        for statement in split(&source).unwrap() {
            outcome = tx.execute("f", statement.line, statement.source).await;
            if outcome.is_err() {
                break;
            }
        }
        owner = tx.rollback().await.unwrap();
        if outcome.is_ok() != expect {
            wrong.push(format!("{source}: {outcome:?}"));
        }
    }
    owner.close().await.unwrap();
    cluster.drop_app(app).await.unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
