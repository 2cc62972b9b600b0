//! Sends guests' requests: one client and one pool of connections per app.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use tower_service::Service;

use super::address::EgressPolicy;
use crate::http::body::IncomingBody;
use crate::http::error::HttpFault;
use crate::http::message::{Answer, IncomingResponse};
use crate::http::pipe::{BrokenOff, GuestBody};

/// Idle connections are closed after this; most servers close them after 60 s and more.
const IDLE: Duration = Duration::from_secs(30);
/// Idle connections kept for one origin of one app.
const IDLE_PER_ORIGIN_MAX: usize = 8;
/// Lookups of names under way at once in the whole process. Each holds a thread for as long as the
/// system's resolver takes, which nobody can cut short, and the pool of such threads (512) is also
/// the one that files are read on.
const LOOKUPS_MAX: usize = 64;
/// The same for one app, so that one with slow names cannot take all of them.
const LOOKUPS_OF_APP_MAX: usize = 8;
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;

/// One app's connections to other hosts. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct EgressClient {
    client: Client<Connect, GuestBody>,
    policy: Arc<EgressPolicy>,
    lookups: Lookups,
}

/// How long each step of a request may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) connect: Duration,
    /// From the start of the request, and so at least as long as `connect`.
    pub(crate) first_byte: Duration,
    pub(crate) between_bytes: Duration,
}

tokio::task_local! {
    /// The request's own time for connecting. The pool calls the connector in the task that sends.
    static CONNECT_TIMEOUT: Duration;
}

/// The roots and settings of every TLS connection to another host, made once.
static TLS: LazyLock<Arc<rustls::ClientConfig>> = LazyLock::new(|| {
    let roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
});

impl EgressClient {
    /// A client that connects only where `policy` permits.
    pub fn new(policy: Arc<EgressPolicy>) -> Self {
        let lookups = Lookups::new(LOOKUPS_OF_APP_MAX, LOOKUPS_OF_NODE.clone());
        let connect = Connect {
            policy: policy.clone(),
            lookups: lookups.clone(),
            tls: None,
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_ORIGIN_MAX)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .build(connect);
        EgressClient {
            client,
            policy,
            lookups,
        }
    }

    /// Where a host of the app's choice is, as far as apps may go there: for connections that are not
    /// HTTP. Whoever connects must connect to one of these and not look the name up again.
    ///
    /// # Errors
    /// [`HttpFault::AddressProhibited`] if none of its addresses is open to apps, [`HttpFault::Dns`].
    pub async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, HttpFault> {
        permitted(&self.policy, resolve(&self.lookups, host, port).await?)
    }

    /// Sends a request with an absolute URI and waits for the head of the answer.
    pub(crate) async fn send(
        self,
        request: http::Request<GuestBody>,
        timeouts: Timeouts,
    ) -> Answer {
        let sent = CONNECT_TIMEOUT.scope(timeouts.connect, self.client.request(request));
        let response = match timeout(timeouts.first_byte, sent).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(fault(&error)),
            Err(_) => return Err(HttpFault::ResponseTimeout),
        };
        let (parts, body) = response.into_parts();
        let mut headers = parts.headers;
        crate::http::fields::remove_connection_fields(&mut headers);
        Ok(Box::new(IncomingResponse {
            status: parts.status,
            headers: Arc::new(headers),
            body: Some(IncomingBody::Hyper(body)),
            between_bytes: timeouts.between_bytes,
        }))
    }
}

impl Default for EgressClient {
    fn default() -> Self {
        EgressClient::new(Arc::default())
    }
}

impl fmt::Debug for EgressClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EgressClient")
    }
}

/// Opens connections: name to addresses, addresses past the policy, TCP, TLS.
#[derive(Clone)]
struct Connect {
    policy: Arc<EgressPolicy>,
    lookups: Lookups,
    tls: Option<HttpsConnector<Tcp>>,
}

impl Service<Uri> for Connect {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let longest = CONNECT_TIMEOUT
            .try_with(|longest| *longest)
            .unwrap_or(Duration::from_secs(10));
        let (policy, lookups) = (&self.policy, &self.lookups);
        let tls = self.tls.get_or_insert_with(|| {
            // Roots are parsed when the first guest of the process needs them, not at start.
            HttpsConnector::from((
                Tcp {
                    policy: policy.clone(),
                    lookups: lookups.clone(),
                },
                TLS.clone(),
            ))
        });
        let connecting = tls.call(uri);
        Box::pin(async move {
            match timeout(longest, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(HttpFault::ConnectTimeout.into()),
            }
        })
    }
}

#[derive(Clone)]
struct Tcp {
    policy: Arc<EgressPolicy>,
    lookups: Lookups,
}

impl Service<Uri> for Tcp {
    type Response = TokioIo<TcpStream>;
    type Error = HttpFault;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, HttpFault>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), HttpFault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (policy, lookups) = (self.policy.clone(), self.lookups.clone());
        Box::pin(async move {
            let host = uri.host().ok_or(HttpFault::Uri)?;
            let port = match uri.port_u16() {
                Some(port) => port,
                None if uri.scheme_str() == Some("https") => 443,
                None => 80,
            };
            let addresses = permitted(&policy, resolve(&lookups, host, port).await?)?;
            let longest = CONNECT_TIMEOUT
                .try_with(|longest| *longest)
                .unwrap_or(Duration::from_secs(10));
            connect(addresses, Instant::now() + longest).await
        })
    }
}

/// All addresses of a host. A literal is one; anything that is none in the strict form, such as
/// `127.1` or `0x7f000001`, is left to the resolver, and what it makes of that is vetted like any name.
async fn resolve(lookups: &Lookups, host: &str, port: u16) -> Result<Vec<SocketAddr>, HttpFault> {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    if let Ok(literal) = bare.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(literal, port)]);
    }
    let name = bare.to_owned();
    let lookup = move || (name.as_str(), port).to_socket_addrs();
    match lookups.run(lookup).await? {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) => Err(HttpFault::Dns(error.to_string())),
    }
}

static LOOKUPS_OF_NODE: LazyLock<Arc<Semaphore>> =
    LazyLock::new(|| Arc::new(Semaphore::new(LOOKUPS_MAX)));

/// Runs lookups on threads of their own, a few at a time.
#[derive(Clone)]
struct Lookups {
    of_app: Arc<Semaphore>,
    of_node: Arc<Semaphore>,
}

impl Lookups {
    fn new(of_app: usize, of_node: Arc<Semaphore>) -> Lookups {
        Lookups {
            of_app: Arc::new(Semaphore::new(of_app)),
            of_node,
        }
    }

    /// Waits for its turn and then for the answer. The place is free again when the lookup has ended,
    /// not when its caller has gone: the thread is taken as long.
    async fn run<T: Send + 'static>(
        &self,
        lookup: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HttpFault> {
        let lost = || HttpFault::Internal("the lookup was cancelled".to_owned());
        // The app's own first, so that who waits for it keeps none of the node's from others.
        let of_app = self.of_app.clone().acquire_owned().await;
        let of_node = self.of_node.clone().acquire_owned().await;
        let (Ok(of_app), Ok(of_node)) = (of_app, of_node) else {
            return Err(lost());
        };
        let looked_up = tokio::task::spawn_blocking(move || {
            let _places = (of_app, of_node);
            lookup()
        });
        looked_up.await.map_err(|_| lost())
    }
}

/// Those of `addresses` guests may connect to.
fn permitted(
    policy: &EgressPolicy,
    addresses: Vec<SocketAddr>,
) -> Result<Vec<SocketAddr>, HttpFault> {
    if addresses.is_empty() {
        return Err(HttpFault::Dns("the name has no address".to_owned()));
    }
    let mut permitted = addresses;
    permitted.retain(|address| policy.permits(address.ip()));
    permitted.truncate(ADDRESSES_MAX);
    if permitted.is_empty() {
        Err(HttpFault::AddressProhibited)
    } else {
        Ok(permitted)
    }
}

/// Tries one address after the other; each gets its share of the time that is left.
async fn connect(
    addresses: Vec<SocketAddr>,
    deadline: Instant,
) -> Result<TokioIo<TcpStream>, HttpFault> {
    let mut last = HttpFault::Unavailable;
    for (tried, address) in addresses.iter().enumerate() {
        let left = (addresses.len() - tried) as u32;
        let now = Instant::now();
        let until = now + deadline.saturating_duration_since(now) / left;
        match timeout_at(until, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // A request is written whole; there is nothing to gather.
                let _ = stream.set_nodelay(true);
                return Ok(TokioIo::new(stream));
            }
            Ok(Err(error)) => last = io_fault(&error),
            Err(_) => last = HttpFault::ConnectTimeout,
        }
    }
    Err(last)
}

/// What a client's error comes from: the first cause in its chain that says something.
fn fault(error: &(dyn Error + 'static)) -> HttpFault {
    let mut next = Some(error);
    let mut found = None;
    while let Some(error) = next {
        if let Some(fault) = error.downcast_ref::<HttpFault>() {
            return fault.clone();
        }
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return match tls {
                rustls::Error::InvalidCertificate(_) => HttpFault::Certificate,
                _ => HttpFault::Tls,
            };
        }
        if error.is::<BrokenOff>() {
            return HttpFault::ConnectionClosed;
        }
        if let Some(hyper) = error.downcast_ref::<hyper::Error>() {
            found.get_or_insert(hyper_fault(hyper));
        }
        if let Some(io) = error.downcast_ref::<io::Error>() {
            // An `io::Error` names as its source what its content names, so the content is looked at
            // by itself.
            if let Some(inner) = io.get_ref() {
                next = Some(inner);
                continue;
            }
            return io_fault(io);
        }
        next = error.source();
    }
    found.unwrap_or(HttpFault::Unavailable)
}

fn hyper_fault(error: &hyper::Error) -> HttpFault {
    if error.is_parse() {
        HttpFault::Protocol
    } else if error.is_timeout() {
        HttpFault::ReadTimeout
    } else {
        HttpFault::ConnectionClosed
    }
}

fn io_fault(error: &io::Error) -> HttpFault {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => HttpFault::Refused,
        io::ErrorKind::TimedOut => HttpFault::ConnectTimeout,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => HttpFault::ConnectionClosed,
        _ => HttpFault::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const TIMEOUTS: Timeouts = Timeouts {
        connect: Duration::from_secs(5),
        first_byte: Duration::from_secs(5),
        between_bytes: Duration::from_secs(5),
    };

    fn get(url: &str) -> http::Request<GuestBody> {
        http::Request::get(url).body(GuestBody::new(None)).unwrap()
    }

    #[tokio::test]
    async fn shut_addresses_are_refused_in_every_spelling() {
        let client = EgressClient::default();
        for host in [
            "127.0.0.1",
            "localhost",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "169.254.169.254",
            "[64:ff9b::7f00:1]",
            "0.0.0.0",
            "[::]",
        ] {
            let answer = client
                .clone()
                .send(get(&format!("http://{host}:9/")), TIMEOUTS)
                .await;
            // A resolver may not know the odd forms at all; what counts is that none connects.
            let fault = answer.err().unwrap();
            assert!(
                fault == HttpFault::AddressProhibited || matches!(fault, HttpFault::Dns(_)),
                "{host}: {fault:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_permitted_address_answers() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 1024];
            let read = stream.read(&mut head).await.unwrap();
            assert!(head[..read].starts_with(b"GET /x HTTP/1.1\r\n"));
            let answer = b"HTTP/1.1 302 Found\r\nlocation: http://10.0.0.1/\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
            stream.write_all(answer).await.unwrap();
        });
        let client = EgressClient::new(Arc::new(EgressPolicy {
            allow_private: vec!["127.0.0.0/8".parse().unwrap()],
        }));
        let mut response = client
            .clone()
            .send(get(&format!("http://{address}/x")), TIMEOUTS)
            .await
            .ok()
            .unwrap();
        // A redirect is an answer; nobody follows it.
        assert_eq!(response.status, 302);
        assert!(!response.headers.contains_key("connection"));
        let Some(IncomingBody::Hyper(body)) = response.body.take() else {
            panic!("no body");
        };
        assert_eq!(body.collect().await.unwrap().to_bytes(), "ok");
        let refused = client
            .send(get(&format!("http://{address}/x")), TIMEOUTS)
            .await;
        assert_eq!(refused.err(), Some(HttpFault::Refused));
    }

    #[tokio::test]
    async fn an_abandoned_lookup_keeps_its_place() {
        let soon = Duration::from_millis(30);
        let node = Arc::new(Semaphore::new(2));
        let (one, other) = (Lookups::new(1, node.clone()), Lookups::new(8, node.clone()));
        let (release, held) = std::sync::mpsc::channel::<()>();
        let slow = one.run(move || held.recv().is_err());
        assert!(timeout(soon, slow).await.is_err());
        // Its app has no place left and the node one.
        assert!(timeout(soon, one.run(|| ())).await.is_err());
        assert_eq!(node.available_permits(), 1);
        let (_release, held) = std::sync::mpsc::channel::<()>();
        let last = tokio::spawn({
            let other = other.clone();
            async move { other.run(move || held.recv().is_err()).await }
        });
        while node.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(timeout(soon, other.run(|| ())).await.is_err());
        drop(release);
        assert_eq!(one.run(|| 7).await, Ok(7));
        drop(_release);
        assert_eq!(last.await.unwrap(), Ok(true));
    }
}
