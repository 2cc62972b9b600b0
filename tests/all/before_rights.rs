//! Before-triggers of rows whose writer may do little: what a statement may do without a trigger it may do with
//! one, on either engine.

use pumice_tests::{App, Call, Engine, guest, on_both_engines};
use serde_json::{Value, json};

on_both_engines!(
    a_delete_takes_the_right_to_delete,
    an_update_takes_rights_to_its_own_columns,
    a_replacement_takes_its_writers_rights,
    the_key_has_to_be_readable,
    an_upsert_may_not_change_what_is_protected,
    moments_are_read_in_the_requests_time_zone,
);

/// Everybody sees what is not hidden; `anon` changes what is its own.
const TABLES: &str = "
create table orders (
    id integer primary key, owner text not null, total_cents bigint not null, skip boolean, stamped_by text
);
create policy seen on orders for select to anon using (owner <> 'hidden');
create policy made on orders for insert to anon with check (true);
create policy changed on orders for update to anon using (owner = 'anon') with check (true);
create policy dropped on orders for delete to anon using (owner = 'anon');
";

fn tables(grants: &str) -> String {
    format!("{TABLES}\n{grants}")
}

fn order(id: u32, owner: &str, total_cents: i64) -> Value {
    json!({ "id": id, "owner": owner, "total_cents": total_cents })
}

/// A request with the anon key.
fn anon(app: &App, method: &str, path: &str) -> Call {
    app.call(method, &format!("/rest/v1/{path}"))
        .header("apikey", &app.anon_key)
}

async fn seed(app: &App, rows: Value) {
    let made = app.insert("orders", &rows).await;
    assert_eq!(made.status, 201, "{made}");
}

async fn a_delete_takes_the_right_to_delete(engine: Engine) {
    let app = engine.app("deletes").await;
    app.tables(&tables("grant select, insert, delete on orders to anon;"))
        .before(guest!("before_reject_negative"), "orders", &["delete"])
        .await;
    let rows = json!([
        order(1, "anon", 1),
        order(2, "anon", 1),
        order(3, "anon", -1),
        order(4, "other", -1),
        order(5, "hidden", -1),
    ]);
    seed(&app, rows).await;
    let delete = |rows: &str| anon(&app, "DELETE", &format!("orders?{rows}&select=id"));
    delete("id=eq.1")
        .representation()
        .await
        .is(r#"200 [{"id":1}]"#);
    assert_eq!(delete("id=eq.2").await.status, 204);
    delete("id=eq.3").await.refused(400, "negative_total");
    // What is seen and not to be deleted is left alone, and no trigger is asked about it; nor about what
    // is not seen.
    for others in ["id=eq.4", "id=eq.5", "id=gt.3"] {
        delete(others).representation().await.is("200 []");
    }
    delete("id=gt.0").await.refused(400, "negative_total");
    let left = json!([{ "id": 3 }, { "id": 4 }, { "id": 5 }]);
    assert_eq!(app.rows("orders?select=id&order=id").await, left);
    let update = anon(&app, "PATCH", "orders?id=eq.3").json(&json!({ "total_cents": 1 }));
    update.await.refused(401, "42501");
}

async fn an_update_takes_rights_to_its_own_columns(engine: Engine) {
    let app = engine.app("updates").await;
    app.tables(&tables(
        "grant select (id, total_cents), update (total_cents) on orders to anon;",
    ))
    .before(guest!("before_reject_negative"), "orders", &["update"])
    .before(guest!("before_skip"), "orders", &["update"])
    .await;
    let mut rows = json!([
        order(1, "anon", 1),
        order(2, "anon", 1),
        order(3, "other", 1),
    ]);
    for row in rows.as_array_mut().expect("it is a list") {
        row["skip"] = json!(row["id"] == 2);
    }
    seed(&app, rows).await;
    let set = |rows: &str, total_cents: i64| {
        anon(
            &app,
            "PATCH",
            &format!("orders?{rows}&select=id,total_cents"),
        )
        .representation()
        .json(&json!({ "total_cents": total_cents }))
    };
    set("id=eq.1", 5)
        .await
        .is(r#"200 [{"id":1,"total_cents":5}]"#);
    set("id=eq.1", -5).await.refused(400, "negative_total");
    // A trigger sees the whole row, also what its writer may not read.
    set("id=eq.2", 5).await.is("200 []");
    set("id=eq.3", -5).await.is("200 []");
    let all = app.rows("orders?select=total_cents&order=id").await;
    assert_eq!(
        all,
        json!([{ "total_cents": 5 }, { "total_cents": 1 }, { "total_cents": 1 }])
    );
    for (path, body) in [
        ("orders?id=eq.1", json!({ "owner": "me" })),
        ("orders?owner=eq.anon", json!({ "total_cents": 6 })),
    ] {
        anon(&app, "PATCH", path)
            .json(&body)
            .await
            .refused(401, "42501");
    }
    let delete = anon(&app, "DELETE", "orders?id=eq.1").await;
    delete.refused(401, "42501");
}

async fn a_replacement_takes_its_writers_rights(engine: Engine) {
    let app = engine.app("replaces").await;
    app.tables(&tables(
        "grant select, insert (id, owner, total_cents), update (total_cents) on orders to anon;",
    ))
    .before(guest!("before_stamp"), "orders", &["insert", "update"])
    .await;
    seed(&app, json!([order(1, "anon", 1)])).await;
    let change = json!({ "total_cents": 2 });
    let change = anon(&app, "PATCH", "orders?id=eq.1").json(&change).await;
    change.refused(401, "42501");
    let new = anon(&app, "POST", "orders").json(&order(2, "anon", 1));
    new.await.refused(401, "42501");
    assert_eq!(
        app.rows("orders?select=id,total_cents,stamped_by").await,
        json!([{ "id": 1, "total_cents": 1, "stamped_by": "service_role" }])
    );
}

async fn the_key_has_to_be_readable(engine: Engine) {
    let app = engine.app("keys").await;
    app.tables(&tables(
        "grant select (total_cents), update (total_cents), delete on orders to anon;",
    ))
    .before(
        guest!("before_reject_negative"),
        "orders",
        &["update", "delete"],
    )
    .await;
    seed(&app, json!([order(1, "anon", 1)])).await;
    for method in ["PATCH", "DELETE"] {
        let call = anon(&app, method, "orders?total_cents=eq.1");
        let refused = call.json(&json!({ "total_cents": 2 })).await;
        refused.refused(401, "42501");
    }
    assert_eq!(app.count("orders?total_cents=eq.1").await, 1);
}

async fn an_upsert_may_not_change_what_is_protected(engine: Engine) {
    let app = engine.app("upserts").await;
    let grants = "grant select, insert, update on orders to anon;";
    // At first without a trigger.
    app.tables(&tables(grants)).await;
    seed(&app, json!([order(1, "anon", 1), order(2, "other", 1)])).await;
    let upsert = |rows: Value| {
        anon(&app, "POST", "orders?select=id,total_cents")
            .header(
                "prefer",
                "resolution=merge-duplicates, return=representation",
            )
            .json(&rows)
    };
    let both = || json!([order(1, "anon", 5), order(2, "anon", 5)]);
    let without = upsert(both()).await;
    without.refused(401, "42501");
    app.tables(&tables(grants))
        .before(
            guest!("before_reject_negative"),
            "orders",
            &["insert", "update"],
        )
        .await;
    let with = upsert(both()).await;
    with.refused(401, "42501");
    assert_eq!(with.json(), without.json());
    assert_eq!(app.count("orders?total_cents=eq.1").await, 2);
    let own = upsert(json!([order(1, "anon", 5), order(3, "anon", 5)])).await;
    assert!(own.status < 300, "{own}");
    assert_eq!(
        own.json(),
        json!([{ "id": 1, "total_cents": 5 }, { "id": 3, "total_cents": 5 }])
    );
    upsert(json!([order(1, "anon", -5)]))
        .await
        .refused(400, "negative_total");
}

/// One o'clock in Tokyo is the day before in UTC.
async fn moments_are_read_in_the_requests_time_zone(engine: Engine) {
    let app = engine.app("zones").await;
    app.tables("create table orders (at timestamptz primary key, total_cents bigint not null);")
        .before(
            guest!("before_reject_negative"),
            "orders",
            &["update", "delete"],
        )
        .await;
    let [before, after] = ["2023-12-31T14:00:00+00:00", "2023-12-31T16:00:00+00:00"];
    let rows = json!([{ "at": before, "total_cents": 1 }, { "at": after, "total_cents": 1 }]);
    seed(&app, rows).await;
    let gone = app
        .rest("DELETE", "orders?at=lt.2024-01-01T00:00")
        .header("prefer", "timezone=Asia/Tokyo")
        .await;
    assert_eq!(gone.status, 204, "{gone}");
    let met = app
        .rest("POST", "orders")
        .header("prefer", "timezone=Asia/Tokyo, resolution=merge-duplicates")
        .json(&json!({ "at": "2024-01-01T01:00", "total_cents": 7 }))
        .await;
    assert!(met.status < 300, "{met}");
    let left = json!([{ "at": after, "total_cents": 7 }]);
    assert_eq!(app.rows("orders").await, left);
}
