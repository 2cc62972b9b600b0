//! The app's static site.

use insta::assert_snapshot;
use pumice_tests::{App, TestServer};

const PAGE: &str = "<!doctype html><title>shop</title>";

async fn site(name: &str) -> App {
    let app = TestServer::shared().await.app(name).await;
    app.file("index.html", PAGE)
        .file("docs/index.html", "docs")
        .file("a b.txt", "spaced")
        .file("digits.txt", "0123456789")
        .file("large.bin", vec![7; 300_000])
        .file("empty.txt", "")
        .await;
    app
}

#[tokio::test]
async fn files_have_types_and_validators() {
    let app = site("types").await;
    let home = app.get("/").await;
    assert_eq!((home.status, home.text().as_str()), (200, PAGE));
    assert_eq!(home.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(home.header("x-content-type-options"), "nosniff");
    assert_eq!(
        home.header("cache-control"),
        "public, max-age=0, must-revalidate"
    );
    assert_eq!(home.header("accept-ranges"), "bytes");
    assert_eq!(app.get("/docs").await.text(), "docs");
    assert_eq!(app.get("/docs/").await.text(), "docs");
    assert_eq!(app.get("/a%20b.txt").await.text(), "spaced");
    assert_eq!(app.get("/large.bin").await.body, vec![7; 300_000]);
    assert_snapshot!(app.get("/empty.txt").await, @"200 ");

    let etag = home.header("etag");
    assert!(etag.len() > 2 && etag.starts_with('"') && etag.ends_with('"'));
    for sent in [
        etag,
        &format!("W/{etag}"),
        &format!("\"other\", {etag}"),
        "*",
    ] {
        let cached = app.get("/").header("if-none-match", sent).await;
        cached.is("304 ");
        assert_eq!(cached.header("etag"), etag);
    }
    let stale = app.get("/").header("if-none-match", "\"other\"").await;
    assert_eq!(stale.status, 200);
    let other = app.get("/docs/").await;
    assert_ne!(other.header("etag"), etag);
}

#[tokio::test]
async fn ranges() {
    let app = site("ranges").await;
    let get = |range: &str| app.get("/digits.txt").header("range", range);
    for (range, expect, content_range) in [
        ("bytes=0-3", "206 0123", "bytes 0-3/10"),
        ("bytes=9-9", "206 9", "bytes 9-9/10"),
        ("bytes=7-", "206 789", "bytes 7-9/10"),
        ("bytes=-2", "206 89", "bytes 8-9/10"),
        ("bytes=8-100", "206 89", "bytes 8-9/10"),
        ("bytes=-100", "206 0123456789", "bytes 0-9/10"),
        ("bytes=10-", "416 ", "bytes */10"),
        ("bytes=-0", "416 ", "bytes */10"),
        // What is not understood is not there (RFC 9110 §14.2).
        ("bytes=3-1", "200 0123456789", ""),
        ("lines=0-1", "200 0123456789", ""),
        ("bytes=0-1,4-5", "200 0123456789", ""),
    ] {
        let answer = get(range).await;
        assert_eq!(answer.to_string(), expect, "{range}");
        assert_eq!(answer.header("content-range"), content_range, "{range}");
    }
    let etag = app.get("/digits.txt").await.header("etag").to_owned();
    let same = get("bytes=0-0").header("if-range", &etag).await;
    assert_snapshot!(same, @"206 0");
    let changed = get("bytes=0-0").header("if-range", "\"other\"").await;
    assert_snapshot!(changed, @"200 0123456789");
    let long = app
        .get("/large.bin")
        .header("range", "bytes=100000-299998")
        .await;
    assert_eq!((long.status, long.body.len()), (206, 199_999));
}

#[tokio::test]
async fn other_methods() {
    let app = site("head").await;
    let head = app.call("HEAD", "/digits.txt").await;
    assert_snapshot!(head, @"200 ");
    assert_eq!(head.header("content-length"), "10");
    let range = app
        .call("HEAD", "/digits.txt")
        .header("range", "bytes=0-3")
        .await;
    assert_eq!(range.header("content-length"), "4");
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let refused = app.call(method, "/digits.txt").await;
        assert_eq!(
            (refused.status, refused.header("allow")),
            (405, "GET, HEAD")
        );
    }
}

#[tokio::test]
async fn navigation_falls_back_to_the_page_and_nothing_else_does() {
    let app = site("spa").await;
    let html = "text/html,application/xhtml+xml";
    let navigated = app.get("/orders/7").header("accept", html).await;
    assert_eq!((navigated.status, navigated.text().as_str()), (200, PAGE));
    for (path, accept) in [
        ("/orders/7", "application/json"),
        ("/orders/7.png", html),
        ("/missing.js", html),
    ] {
        let missing = app.get(path).header("accept", accept).await;
        assert_eq!(missing.status, 404, "{path} {accept}: {missing}");
    }
}

#[tokio::test]
async fn a_404_page_is_shown_as_one() {
    let app = TestServer::shared().await.app("lost").await;
    app.file("index.html", PAGE).file("404.html", "lost").await;
    let lost = app.get("/orders/7").header("accept", "text/html").await;
    assert_snapshot!(lost, @"404 lost");
    let etag = lost.header("etag").to_owned();
    let again = app.get("/nowhere").header("if-none-match", &etag).await;
    assert_snapshot!(again, @"404 lost");
    let part = app.get("/nowhere").header("range", "bytes=0-1").await;
    assert_snapshot!(part, @"404 lost");
}

#[tokio::test]
async fn no_path_leads_out_of_the_site() {
    let app = site("outside").await;
    let id = &app.id;
    for path in [
        "/../system.db",
        "/../../system.db",
        "/..%2f..%2fsystem.db",
        "/%2e%2e/system.db",
        "/%2e%2e%2f%2e%2e%2fsecret.key",
        "/docs/../../../secret.key",
        "/docs/%2e%2e/index.html",
        "/..\\..\\secret.key",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/index.html%00.txt",
        "/%ff",
        "/components/hello.wasm",
        &format!("/../../{id}/blobs"),
        "/blobs",
        "/.",
    ] {
        let answer = app.get(path).await;
        assert_eq!(answer.status, 404, "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_new_revision_shows_new_files_at_once() {
    let app = site("fresh").await;
    let old = app.get("/").await;
    app.file("index.html", "new").await;
    let new = app
        .get("/")
        .header("if-none-match", old.header("etag"))
        .await;
    assert_snapshot!(new, @"200 new");
    assert_eq!(app.get("/digits.txt").await.status, 404);
}
