//! What a guest can reach: what its entry lists, as long as it is public, at every hop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use insta::assert_snapshot;
use pumice_tests::{Answer, App, TestServer, guest};
use tokio::net::TcpListener;

/// What `fetch` answers when the host refuses to connect.
const DENIED: &str = "502 Denied: the destination is not allowed: `egress` in pumice.toml does not list it, or its address is private";

/// A server of the test's own: `/to?<url>` redirects there, everything else answers `reached`.
struct Outside {
    address: SocketAddr,
    requests: Arc<AtomicU32>,
}

impl Outside {
    async fn at(address: &str) -> Outside {
        let listener = TcpListener::bind(address).await.expect("it is free");
        let address = listener.local_addr().expect("it is bound");
        let requests = Arc::new(AtomicU32::new(0));
        let count = requests.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let count = count.clone();
                let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    count.fetch_add(1, Ordering::SeqCst);
                    let answer = http::Response::builder();
                    let answer = match request.uri().query() {
                        Some(to) => answer.status(302).header("location", to),
                        None => answer,
                    };
                    std::future::ready(answer.body(Full::new(bytes::Bytes::from("reached\n"))))
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        Outside { address, requests }
    }

    async fn start() -> Outside {
        Outside::at("127.0.0.1:0").await
    }

    fn requests(&self) -> u32 {
        self.requests.load(Ordering::SeqCst)
    }
}

async fn deployed(server: &TestServer, egress: &[String]) -> App {
    let app = server.app("reaching").await;
    app.function(guest!("fetch"))
        .with(&format!("egress = {egress:?}"))
        .await;
    app
}

async fn fetch(app: &App, url: &str) -> Answer {
    let encoded: String = url.bytes().map(|byte| format!("%{byte:02x}")).collect();
    app.invoke(&format!("fetch?url={encoded}")).await
}

#[tokio::test]
async fn private_addresses_are_shut_even_when_they_are_listed() {
    let server = TestServer::shared().await;
    let outside = Outside::start().await;
    let port = outside.address.port();
    let urls = [
        format!("http://127.0.0.1:{port}"),
        format!("http://[::ffff:127.0.0.1]:{port}"),
        format!("http://[::ffff:7f00:1]:{port}"),
        format!("http://localhost:{port}"),
        format!("http://127.1:{port}"),
        format!("http://2130706433:{port}"),
        format!("http://0.0.0.0:{port}"),
        format!("http://[::1]:{port}"),
        format!("http://[::]:{port}"),
        "http://169.254.169.254".to_owned(),
        "http://10.0.0.1".to_owned(),
        "http://192.168.0.1".to_owned(),
        "http://[fd00::1]".to_owned(),
        "http://[64:ff9b::7f00:1]".to_owned(),
    ];
    for url in urls {
        let app = server.app("shut").await;
        let pushed = app
            .function(guest!("fetch"))
            .with(&format!("egress = [{url:?}]"))
            .push()
            .await;
        if pushed.status == 400 {
            // Not even a way to write an origin.
            assert_eq!(pushed.json()["faults"][0]["line"], 6, "{pushed}");
            continue;
        }
        assert_eq!(pushed.status, 201, "{url}: {pushed}");
        let answer = fetch(&app, &format!("{url}/latest/meta-data")).await;
        assert_eq!(answer.status, 502, "{url}: {answer}");
        answer.is(DENIED);
    }
    assert_eq!(outside.requests(), 0);
}

#[tokio::test]
async fn a_host_that_is_not_listed_is_not_asked() {
    let server = TestServer::with("allow_private = [\"127.0.0.0/8\"]").await;
    let (listed, other) = (Outside::start().await, Outside::start().await);
    let app = deployed(&server, &[format!("http://{}", listed.address)]).await;
    let answer = fetch(&app, &format!("http://{}/", other.address)).await;
    answer.is(DENIED);
    let scheme = fetch(&app, &format!("https://{}/", listed.address)).await;
    assert_eq!(scheme.status, 502);
    let user = fetch(
        &app,
        &format!("http://{}@{}/", listed.address, other.address),
    )
    .await;
    assert_eq!(user.status, 502);
    assert_eq!((listed.requests(), other.requests()), (0, 0));
    let answer = fetch(&app, &format!("http://{}/", listed.address)).await;
    assert_snapshot!(answer, @"200 reached");

    let none = server.app("none").await;
    none.function(guest!("fetch")).await;
    let answer = fetch(&none, &format!("http://{}/", listed.address)).await;
    assert_eq!(answer.status, 502);
    assert_eq!(listed.requests(), 1);
}

#[tokio::test]
async fn each_redirect_is_judged_anew() {
    let server = TestServer::with("allow_private = [\"127.0.0.0/8\"]").await;
    let outside = Outside::start().await;
    let (here, port) = (outside.address, outside.address.port());
    let listed = [
        format!("http://{here}"),
        format!("http://[::1]:{port}"),
        "http://169.254.169.254".to_owned(),
    ];
    let app = deployed(&server, &listed).await;
    let inside = fetch(&app, &format!("http://{here}/to?/back")).await;
    assert_snapshot!(inside, @"200 reached");
    let before = outside.requests();
    // Listed, but at an address that the server's owner has not opened.
    for target in [
        format!("http://[::1]:{port}/"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
    ] {
        let answer = fetch(&app, &format!("http://{here}/to?{target}")).await;
        assert_eq!(answer.status, 502, "{target}: {answer}");
        answer.is(DENIED);
    }
    // Open, but not listed.
    let other = Outside::start().await;
    let answer = fetch(&app, &format!("http://{here}/to?http://{}/", other.address)).await;
    assert_eq!((answer.status, other.requests()), (502, 0));
    assert_eq!(outside.requests(), before + 3);
}

#[tokio::test]
async fn a_name_that_means_this_machine_is_shut_by_its_address() {
    let server = TestServer::with("allow_private = [\"10.0.0.0/8\"]").await;
    let outside = Outside::start().await;
    let url = format!("http://localhost:{}", outside.address.port());
    let app = deployed(&server, std::slice::from_ref(&url)).await;
    let answer = fetch(&app, &url).await;
    assert_eq!((answer.status, outside.requests()), (502, 0), "{answer}");
}

#[tokio::test]
async fn outbound_requests_are_counted() {
    let server = TestServer::with("allow_private = [\"127.0.0.0/8\"]").await;
    let outside = Outside::start().await;
    let app = server.app("counted").await;
    app.function(guest!("fetch"))
        .with(&format!("egress = [\"http://{}\"]", outside.address))
        .limits("outbound_requests = 2")
        .await;
    let two = fetch(&app, &format!("http://{}/to?/back", outside.address)).await;
    assert_snapshot!(two, @"200 reached");
    let here = outside.address;
    let three = fetch(&app, &format!("http://{here}/to?http://{here}/to?/back")).await;
    assert_eq!(
        (three.status, three.header("x-pumice-limit")),
        (546, "outbound_requests")
    );
    assert_eq!(outside.requests(), 4);
}
