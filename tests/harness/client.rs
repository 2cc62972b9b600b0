//! A plain HTTP client: one connection for each request, so that nothing is shared between tests and a
//! client that goes away is seen to go away.

use std::fmt;
use std::future::IntoFuture;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Request};
use http_body_util::channel::{Channel, Sender};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::in_time;

type Body = BoxBody<Bytes, std::convert::Infallible>;

/// Sends these bytes and returns the first line that comes back; empty if the connection is closed.
///
/// # Panics
/// If the server cannot be reached.
pub async fn raw(address: &str, request: &[u8]) -> String {
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    // It may answer and close before it has read everything.
    let _ = stream.write_all(request).await;
    let mut line = String::new();
    let mut reader = tokio::io::BufReader::new(stream);
    let _ = in_time("a first line", reader.read_line(&mut line)).await;
    line.trim_end().to_owned()
}

/// A request in the making. Awaiting it sends it and reads the whole answer.
pub struct Call {
    address: String,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Body,
}

impl Call {
    /// `path` goes out as it is, `..` and `%2e` included.
    pub fn new(address: &str, method: &str, path: &str) -> Call {
        Call {
            address: address.into(),
            method: method.into(),
            path: path.into(),
            headers: Vec::new(),
            body: Full::from(Bytes::new()).boxed(),
        }
    }

    /// Adds a header; `host` replaces the usual one.
    pub fn header(mut self, name: &str, value: &str) -> Call {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn bearer(self, token: &str) -> Call {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// Takes away what an earlier step set, such as an app's key.
    pub fn without(mut self, name: &str) -> Call {
        self.headers.retain(|(header, _)| header != name);
        self
    }

    pub fn body(mut self, body: impl Into<Bytes>) -> Call {
        self.body = Full::from(body.into()).boxed();
        self
    }

    pub fn json(self, value: &Value) -> Call {
        self.header("content-type", "application/json")
            .body(value.to_string())
    }

    /// A body that is written while the answer is read, in chunks.
    pub fn body_channel(mut self) -> (Call, Sender<Bytes>) {
        let (sender, body) = Channel::new(1);
        self.body = body.boxed();
        (self, sender)
    }

    /// Sends it and reads the whole answer, or says why there is none.
    ///
    /// # Errors
    /// When the connection is closed before the head of an answer.
    pub async fn attempt(self) -> Result<Answer, String> {
        let streaming = in_time("an answer", self.exchange()).await;
        match streaming {
            Ok(streaming) => Ok(streaming.whole().await),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Sends it and returns when the head of the answer is there.
    pub async fn stream(self) -> Streaming {
        let told = format!("{} {}", self.method, self.path);
        match in_time(&told, self.exchange()).await {
            Ok(streaming) => streaming,
            Err(error) => panic!("{told}: {error}"),
        }
    }

    async fn exchange(self) -> Result<Streaming, Box<dyn std::error::Error + Send + Sync>> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(async move {
            // What goes wrong here is an error of the request or of the body.
            let _ = connection.await;
        });
        let mut request = Request::builder()
            .method(Method::from_bytes(self.method.as_bytes())?)
            .uri(&self.path);
        if !self.headers.iter().any(|(name, _)| name == "host") {
            request = request.header("host", &self.address);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let answer = sender.send_request(request.body(self.body)?).await?;
        let (head, body) = answer.into_parts();
        Ok(Streaming {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
            connection,
        })
    }
}

impl IntoFuture for Call {
    type Output = Answer;
    type IntoFuture = BoxFuture<'static, Answer>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.stream().await.whole().await })
    }
}

/// An answer whose body is still coming. Dropping it closes the connection.
pub struct Streaming {
    pub status: u16,
    pub headers: HeaderMap,
    body: Incoming,
    connection: JoinHandle<()>,
}

impl Streaming {
    /// The next part of the body; none at its end, an error if it breaks off.
    ///
    /// # Errors
    /// When the body ends in another way than it should.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, hyper::Error> {
        loop {
            match in_time("a chunk", self.body.frame()).await {
                None => return Ok(None),
                Some(Err(error)) => return Err(error),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// Reads until `text` has been seen, and returns everything read.
    ///
    /// # Panics
    /// If the body ends before.
    pub async fn read_until(&mut self, text: &str) -> String {
        let mut read = Vec::new();
        while !String::from_utf8_lossy(&read).contains(text) {
            match self.chunk().await {
                Ok(Some(chunk)) => read.extend_from_slice(&chunk),
                end => panic!(
                    "{end:?} before {text:?}: {}",
                    String::from_utf8_lossy(&read)
                ),
            }
        }
        String::from_utf8_lossy(&read).into_owned()
    }

    /// Reads the body to its end.
    pub async fn whole(mut self) -> Answer {
        let mut body = Vec::new();
        let broken = loop {
            match self.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break false,
                Err(_) => break true,
            }
        };
        Answer {
            status: self.status,
            headers: self.headers.clone(),
            body: body.into(),
            broken,
        }
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// A whole answer. Shown as its status and its body.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Whether the body broke off.
    pub broken: bool,
}

impl Answer {
    /// A header as text; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).map(|value| value.to_str());
        value.map_or("", |value| value.expect("headers are text"))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    /// For loops and helpers, where a snapshot cannot stand.
    ///
    /// # Panics
    /// If this is not what the answer is shown as.
    #[track_caller]
    pub fn is(&self, expect: &str) {
        assert_eq!(self.to_string().trim_end(), expect.trim_end());
    }

    pub fn request_id(&self) -> &str {
        self.header("x-request-id")
    }
}

impl fmt::Display for Answer {
    /// The status and the body, with a request id in it made the same for all.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.text();
        if !self.request_id().is_empty() {
            text = text.replace(self.request_id(), "[request id]");
        }
        write!(f, "{} {text}", self.status)?;
        if self.broken {
            write!(f, "[broken off]")?;
        }
        Ok(())
    }
}
