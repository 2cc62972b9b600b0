//! The official JavaScript client, `@supabase/supabase-js`, on an app's tables.

use pumice_tests::{Engine, node_script, on_both_engines};
use serde_json::{Value, json};

on_both_engines!(the_official_client_reads_and_writes_tables);

/// The checks are in `tests/js/data.mjs`, by their names.
async fn the_official_client_reads_and_writes_tables(engine: Engine) {
    let app = crate::dialect::app(engine, crate::dialect::SEED).await;
    let url = app.server.url(&format!("/a/{}", app.name));
    let env = [
        ("APP_URL", url.as_str()),
        ("ANON_KEY", &app.anon_key),
        ("SERVICE_KEY", &app.service_role_key),
    ];
    let answer = node_script("tests/js/data.mjs", &env).await;
    let answer: Value = serde_json::from_str(&answer).expect("it is JSON");
    assert_eq!(answer["failed"], json!({}));
    let passed = answer["passed"].as_array().map_or(0, Vec::len);
    assert!(passed > 90, "only {passed} checks ran");
}
