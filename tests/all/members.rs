//! Members of the platform: what each role may on each route, and how tokens begin and end.

use std::fmt::Write as _;

use insta::assert_snapshot;
use pumice_tests::{Answer, TestServer};
use serde_json::{Value, json};

const ROLES: [&str; 5] = ["owner", "admin", "developer", "billing", "viewer"];

/// Every route of the platform, with a name that is nobody's.
const ROUTES: &[(&str, &str)] = &[
    ("GET", "/apps"),
    ("POST", "/apps"),
    ("GET", "/apps/none"),
    ("DELETE", "/apps/none"),
    ("PUT", "/apps/none/blobs/x"),
    ("GET", "/apps/none/revisions"),
    ("POST", "/apps/none/revisions"),
    ("POST", "/apps/none/rollback"),
    ("GET", "/apps/none/move"),
    ("POST", "/apps/none/move"),
    ("PUT", "/apps/none/database"),
    ("GET", "/apps/none/secrets"),
    ("PUT", "/apps/none/secrets/X"),
    ("DELETE", "/apps/none/secrets/X"),
    ("GET", "/apps/none/schema"),
    ("GET", "/apps/none/migrations"),
    ("GET", "/apps/none/logs"),
    ("POST", "/apps/none/permissions/check"),
    ("POST", "/apps/none/permissions/explain"),
    ("GET", "/apps/none/permissions/grants"),
    ("PUT", "/apps/none/permissions/roles/r"),
    ("POST", "/apps/none/permissions/grants"),
    ("DELETE", "/apps/none/permissions/roles/r"),
    ("GET", "/members"),
    ("POST", "/members"),
    ("PUT", "/members/none"),
    ("DELETE", "/members/none"),
    ("GET", "/members/none/tokens"),
    ("POST", "/members/none/tokens"),
    ("DELETE", "/members/none/tokens/none"),
];

fn text(value: &Value, key: &str) -> String {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("{value}"))
        .to_owned()
}

async fn member(server: &TestServer, name: &str, role: &str) -> String {
    let made = server
        .platform("POST", "/members")
        .json(&json!({ "name": name, "role": role }))
        .await;
    assert_eq!(made.status, 201, "{made}");
    text(&made.json(), "id")
}

async fn token(server: &TestServer, member: &str) -> String {
    let made = server
        .platform("POST", &format!("/members/{member}/tokens"))
        .json(&json!({ "name": "test" }))
        .await;
    assert_eq!(made.status, 201, "{made}");
    text(&made.json(), "token")
}

async fn by(server: &TestServer, token: &str, method: &str, path: &str, body: Value) -> Answer {
    server
        .call(method, &format!("/platform/v1{path}"))
        .bearer(token)
        .json(&body)
        .await
}

#[tokio::test]
async fn each_role_may_what_the_table_says() {
    let server = TestServer::start().await;
    let mut tokens = Vec::new();
    for role in ROLES {
        tokens.push(token(&server, &member(&server, role, role).await).await);
    }
    let mut table = String::new();
    for (method, path) in ROUTES {
        let mut may = Vec::new();
        for (role, token) in ROLES.iter().zip(&tokens) {
            // Nothing of this is understood: whoever may comes as far as that.
            let answer = by(&server, token, method, path, json!({ "?": 0 })).await;
            let refused = answer.status == 403 && answer.code() == "platform.denied";
            assert!(refused || answer.status < 500, "{method} {path}: {answer}");
            if !refused {
                may.push(*role);
            }
        }
        let _ = writeln!(table, "{method:<6} {path:<34} {}", may.join(" "));
        let nobody = by(&server, "pumice_forged", method, path, json!({})).await;
        nobody.refused(401, "platform.unauthorized");
    }
    assert_snapshot!(table, @r"
    GET    /apps                              owner admin developer billing viewer
    POST   /apps                              owner admin
    GET    /apps/none                         owner admin developer billing viewer
    DELETE /apps/none                         owner admin
    PUT    /apps/none/blobs/x                 owner admin developer
    GET    /apps/none/revisions               owner admin developer billing viewer
    POST   /apps/none/revisions               owner admin developer
    POST   /apps/none/rollback                owner admin developer
    GET    /apps/none/move                    owner admin developer viewer
    POST   /apps/none/move                    owner admin
    PUT    /apps/none/database                owner admin
    GET    /apps/none/secrets                 owner admin developer
    PUT    /apps/none/secrets/X               owner admin developer
    DELETE /apps/none/secrets/X               owner admin developer
    GET    /apps/none/schema                  owner admin developer viewer
    GET    /apps/none/migrations              owner admin developer viewer
    GET    /apps/none/logs                    owner admin developer viewer
    POST   /apps/none/permissions/check       owner admin developer viewer
    POST   /apps/none/permissions/explain     owner admin developer viewer
    GET    /apps/none/permissions/grants      owner admin developer viewer
    PUT    /apps/none/permissions/roles/r     owner admin
    POST   /apps/none/permissions/grants      owner admin
    DELETE /apps/none/permissions/roles/r     owner admin
    GET    /members                           owner admin developer billing viewer
    POST   /members                           owner admin
    PUT    /members/none                      owner admin
    DELETE /members/none                      owner admin
    GET    /members/none/tokens               owner admin developer billing viewer
    POST   /members/none/tokens               owner admin developer billing viewer
    DELETE /members/none/tokens/none          owner admin developer billing viewer
    ");
}

#[tokio::test]
async fn keys_are_shown_to_whoever_may_use_them() {
    let server = TestServer::start().await;
    let app = server.app("shop").await;
    for role in ROLES {
        let token = token(&server, &member(&server, role, role).await).await;
        let one = by(&server, &token, "GET", "/apps/shop", json!(null)).await;
        let all = by(&server, &token, "GET", "/apps", json!(null)).await;
        let may = matches!(role, "owner" | "admin" | "developer");
        for shown in [one, all] {
            assert_eq!(shown.status, 200, "{shown}");
            assert_eq!(shown.text().contains(&app.service_role_key), may, "{role}");
            assert_eq!(shown.text().contains(&app.anon_key), may, "{role}");
        }
    }
}

#[tokio::test]
async fn owners_are_made_and_removed_by_owners() {
    let server = TestServer::start().await;
    let (owner, admin) = (
        member(&server, "olga", "owner").await,
        member(&server, "adam", "admin").await,
    );
    let by_admin = token(&server, &admin).await;
    let of_owner = format!("/members/{owner}");
    for (method, path, body) in [
        (
            "POST",
            "/members".to_owned(),
            json!({ "name": "x", "role": "owner" }),
        ),
        (
            "PUT",
            format!("/members/{admin}"),
            json!({ "role": "owner" }),
        ),
        ("PUT", of_owner.clone(), json!({ "role": "viewer" })),
        ("DELETE", of_owner.clone(), json!(null)),
        ("GET", format!("{of_owner}/tokens"), json!(null)),
        ("POST", format!("{of_owner}/tokens"), json!({ "name": "x" })),
    ] {
        let refused = by(&server, &by_admin, method, &path, body).await;
        refused.refused(403, "platform.denied");
        assert!(refused.text().contains("only an owner"), "{refused}");
    }
    // The last one stays, whoever asks.
    let last = server.platform("DELETE", &of_owner).await;
    last.refused(409, "platform.last_owner");
    let last = server
        .platform("PUT", &of_owner)
        .json(&json!({ "role": "admin" }))
        .await;
    last.refused(409, "platform.last_owner");
    member(&server, "otto", "owner").await;
    let changed = server
        .platform("PUT", &of_owner)
        .json(&json!({ "role": "viewer" }))
        .await;
    assert_eq!(
        (changed.status, text(&changed.json(), "role").as_str()),
        (200, "viewer")
    );
    assert_eq!(server.platform("DELETE", &of_owner).await.status, 204);
    server
        .platform("DELETE", &of_owner)
        .await
        .refused(404, "platform.no_member");
    let twice = server
        .platform("POST", "/members")
        .json(&json!({ "name": "adam", "role": "viewer" }))
        .await;
    twice.refused(409, "platform.member_exists");
    for (name, role) in [
        ("", "viewer"),
        (" a", "viewer"),
        ("a", "king"),
        (&*"x".repeat(81), "viewer"),
    ] {
        let wrong = server
            .platform("POST", "/members")
            .json(&json!({ "name": name, "role": role }))
            .await;
        wrong.refused(400, "platform.bad_request");
    }
    member(&server, &"x".repeat(80), "viewer").await;
}

#[tokio::test]
async fn a_short_token_makes_no_long_one_for_anybody() {
    let server = TestServer::start().await;
    for role in ["owner", "admin"] {
        let me = member(&server, role, role).await;
        let mine = format!("/members/{me}/tokens");
        let short = server
            .platform("POST", &mine)
            .json(&json!({ "name": "short", "expires_in": 600 }))
            .await
            .json();
        let (plain, end) = (text(&short, "token"), &short["expires_at"]);
        let new = json!({ "name": format!("of {role}"), "role": "admin" });
        let new = by(&server, &plain, "POST", "/members", new).await.json();
        for tokens in [mine, format!("/members/{}/tokens", text(&new, "id"))] {
            let asked = |life: Option<u64>| {
                let body = json!({ "name": "x", "expires_in": life });
                by(&server, &plain, "POST", &tokens, body)
            };
            for life in [None, Some(3600), Some(366 * 24 * 3600)] {
                let refused = asked(life).await;
                refused.refused(403, "platform.denied");
                assert!(refused.text().contains("outlives"), "{refused}");
            }
            let made = asked(Some(300)).await;
            assert_eq!(made.status, 201, "{made}");
            assert!(made.json()["expires_at"].as_i64() <= end.as_i64(), "{made}");
        }
    }
}

#[tokio::test]
async fn a_token_is_shown_once_and_ends() {
    let server = TestServer::start().await;
    let (ana, ben) = (
        member(&server, "ana", "viewer").await,
        member(&server, "ben", "viewer").await,
    );
    let tokens = format!("/members/{ana}/tokens");
    let made = server
        .platform("POST", &tokens)
        .json(&json!({ "name": "ci", "expires_in": 3600 }))
        .await
        .json();
    let plain = text(&made, "token");
    assert!(plain.starts_with("pumice_") && plain.len() > 40, "{plain}");
    let shown = by(&server, &plain, "GET", &tokens, json!(null)).await;
    assert!(
        shown.text().contains("\"ci\"") && !shown.text().contains(&plain),
        "{shown}"
    );
    let system = std::fs::read(server.data().join("system.db-wal")).unwrap_or_default();
    let part = plain.as_bytes();
    assert!(!system.windows(part.len()).any(|bytes| bytes == part));
    assert!(!server.log().join("\n").contains(&plain));
    // Others' are not hers, and what she makes ends no later than what she came by.
    let others = format!("/members/{ben}/tokens");
    for (method, body) in [("GET", json!(null)), ("POST", json!({ "name": "x" }))] {
        let refused = by(&server, &plain, method, &others, body).await;
        refused.refused(403, "platform.denied");
    }
    let longer = json!({ "name": "x", "expires_in": 7200 });
    let refused = by(&server, &plain, "POST", &tokens, longer).await;
    refused.refused(403, "platform.denied");
    let shorter = json!({ "name": "x", "expires_in": 60 });
    let second = by(&server, &plain, "POST", &tokens, shorter).await;
    assert_eq!(second.status, 201, "{second}");
    for life in [0, 366 * 24 * 3600 + 1] {
        let wrong = server
            .platform("POST", &tokens)
            .json(&json!({ "name": "x", "expires_in": life }))
            .await;
        wrong.refused(400, "platform.bad_request");
    }
    let gone = format!("{tokens}/{}", text(&made, "id"));
    let foreign = format!("{others}/{}", text(&made, "id"));
    server
        .platform("DELETE", &foreign)
        .await
        .refused(404, "platform.no_token");
    assert_eq!(
        by(&server, &plain, "DELETE", &gone, json!(null))
            .await
            .status,
        204
    );
    let ended = by(&server, &plain, "GET", "/apps", json!(null)).await;
    ended.refused(401, "platform.unauthorized");
    // A member that goes takes its tokens along.
    let second = text(&second.json(), "token");
    assert_eq!(
        by(&server, &second, "GET", "/apps", json!(null))
            .await
            .status,
        200
    );
    assert_eq!(
        server
            .platform("DELETE", &format!("/members/{ana}"))
            .await
            .status,
        204
    );
    let ended = by(&server, &second, "GET", "/apps", json!(null)).await;
    ended.refused(401, "platform.unauthorized");
    let unknown = by(
        &server,
        &token(&server, &ben).await,
        "GET",
        "/none",
        json!(null),
    )
    .await;
    unknown.refused(404, "request.not_found");
}
