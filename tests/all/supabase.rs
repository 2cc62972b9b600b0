//! The official JavaScript client, `@supabase/supabase-js`, as an app uses it.

use insta::assert_snapshot;
use pumice_tests::{TestServer, guest, node_script};

#[tokio::test]
async fn the_official_client_calls_functions() {
    let app = TestServer::shared().await.app("client").await;
    app.function(guest!("seen"))
        .function(guest!("echo"))
        .function(guest!("panic"))
        .function(guest!("park"))
        .await;
    let url = app.server.url(&format!("/a/{}", app.name));
    let env = [("APP_URL", url.as_str()), ("ANON_KEY", &app.anon_key)];
    let answer = node_script("tests/js/functions.mjs", &env).await;
    assert_snapshot!(answer, @r#"{"seen":{"method":"POST","path":"/seen/deep/er","query":"x=1"},"own":"yes","type":"application/json","get":{"method":"GET","query":"forceFunctionRegion=eu-west-3","region":"eu-west-3"},"echoed":[0,1,2,250],"unknown":{"error":"FunctionsHttpError","http":true,"status":404,"body":{"code":"NOT_FOUND","message":"Requested function was not found"}},"panics":{"error":"FunctionsHttpError","http":true,"status":500,"body":{"code":"WORKER_ERROR","message":"Function exited due to an error (please check logs)"}},"aborted":"FunctionsFetchError","wrong_key":401}"#);
}
