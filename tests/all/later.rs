//! What happens after a request: after-triggers, jobs.

use pumice_tests::{TestServer, guest, in_time};
use serde_json::{Value, json};

const MANIFEST: &str = r#"
[[trigger]]
name = "copy"
path = "copy.wasm"
table = "orders"
when = "after"
on = ["insert", "delete"]
[[script]]
name = "tick"
path = "tick.wasm"
[[script]]
name = "fail"
path = "fail.wasm"
"#;

const TABLES: &str = "create table orders (id integer primary key, total numeric(8,2)); \
    create table audit (table_name text, operation text, old jsonb, new jsonb, role text); \
    create table tick (job_id uuid, attempt integer, scheduled_for bigint, payload jsonb); \
    create table \"loop\" (n bigint);";

#[tokio::test]
async fn what_is_written_is_told_and_jobs_run() {
    let app = TestServer::shared().await.app("later").await;
    let manifest = format!("[app]\nname = \"later\"\n{MANIFEST}");
    let deployed = app
        .push(
            &manifest,
            &[
                ("components/copy.wasm", guest!("after_copy").bytes),
                ("components/tick.wasm", guest!("script_tick").bytes),
                ("components/fail.wasm", guest!("script_fail").bytes),
                ("migrations/0001_init.sql", TABLES.into()),
            ],
        )
        .await;
    assert_eq!(deployed.status, 201, "{deployed}");
    let key = &app.service_role_key;
    let rows = async |path: &str, count: usize| -> Value {
        let some = async {
            loop {
                let answer = app.get(path).bearer(key).await;
                assert_eq!(answer.status, 200, "{answer}");
                let rows = answer.json();
                if rows.as_array().is_some_and(|rows| rows.len() >= count) {
                    return rows;
                }
                tokio::task::yield_now().await;
            }
        };
        in_time(path, some).await
    };

    let orders = json!([{"id": 1, "total": 1.5}, {"id": 2, "total": 2}]);
    let answer = app
        .call("POST", "/rest/v1/orders")
        .bearer(key)
        .json(&orders)
        .await;
    assert_eq!(answer.status, 201, "{answer}");
    let told = rows("/rest/v1/audit?order=operation", 2).await;
    assert_eq!(told[0]["operation"], "insert");
    assert_eq!(told[0]["role"], "service_role");

    let answer = app
        .call("POST", "/jobs/v1/tick?unique_key=a")
        .bearer(key)
        .json(&json!({"x": 1}))
        .await;
    assert_eq!(answer.status, 202, "{answer}");
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    let ticks = rows("/rest/v1/tick", 1).await;
    assert_eq!(ticks[0]["job_id"], id.as_str());
    assert_eq!(ticks[0]["payload"], json!({"x": 1}));
    let path = format!("/jobs/v1/{id}");
    let done = in_time("done", async {
        loop {
            let answer = app.get(&path).bearer(key).await.json();
            if answer["state"] != "running" {
                return answer;
            }
        }
    });
    assert_eq!(done.await["state"], "done");

    let failing = app
        .call("POST", "/jobs/v1/fail?attempts_max=1")
        .bearer(key)
        .await;
    let path = format!("/jobs/v1/{}", failing.json()["id"].as_str().unwrap());
    let dead = in_time("dead", async {
        loop {
            let answer = app.get(&path).bearer(key).await.json();
            if answer["state"] == "dead" {
                return answer;
            }
        }
    });
    assert_eq!(dead.await["attempt"], 1);

    for (path, key, status) in [
        ("/jobs/v1/none", key, 404),
        ("/jobs/v1/tick?runat=1", key, 400),
        ("/jobs/v1/tick", &app.anon_key, 403),
    ] {
        let answer = app.call("POST", path).bearer(key).await;
        assert_eq!(answer.status, status, "{answer}");
    }
}
