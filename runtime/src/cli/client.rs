//! The platform's API as the commands see it.

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::node::Contact;

/// A server and the key to it.
pub struct Client {
    http: Http<HttpsConnector<HttpConnector>, Full<Bytes>>,
    contact: Contact,
}

impl Client {
    pub fn new(contact: Contact) -> Client {
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .build();
        Client {
            http: Http::builder(TokioExecutor::new()).build(connector),
            contact,
        }
    }

    /// Sends a request to a path of the platform's API.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> anyhow::Result<Response<Incoming>> {
        let uri = format!("{}/platform/v1{path}", self.contact.url);
        self.send_to(method, &uri, &self.contact.key, body).await
    }

    /// Sends a request anywhere with a bearer token.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn send_to(
        &self,
        method: Method,
        uri: &str,
        token: &str,
        body: Bytes,
    ) -> anyhow::Result<Response<Incoming>> {
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .header("authorization", format!("Bearer {token}"));
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        let response = self.http.request(request.body(Full::new(body))?).await;
        response.with_context(|| {
            format!(
                "no server answers at {}; start one with `pumice serve` or `pumice dev`",
                self.contact.url
            )
        })
    }

    /// Sends JSON and reads JSON; none when the answer is empty.
    ///
    /// # Errors
    /// The server's refusal in its own words.
    pub async fn json(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let (status, answer) = self.exchange(method, path, body).await?;
        if status.is_success() {
            return Ok(answer);
        }
        Err(refusal(status, &answer))
    }

    /// As [`json`](Self::json), with the status and without judging it.
    ///
    /// # Errors
    /// When the server cannot be reached or answers something else than JSON.
    pub async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        let response = self.send(method, path, body).await?;
        let status = response.status();
        let bytes = response.into_body().collect().await?.to_bytes();
        if bytes.is_empty() {
            return Ok((status, Value::Null));
        }
        match serde_json::from_slice(&bytes) {
            Ok(answer) => Ok((status, answer)),
            Err(_) => bail!("{status}: {}", String::from_utf8_lossy(&bytes)),
        }
    }
}

/// The server's refusal as an error; a manifest's faults line by line.
pub fn refusal(status: StatusCode, answer: &Value) -> anyhow::Error {
    let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
    let mut message = if answer["message"].is_string() {
        text("message")
    } else {
        status.to_string()
    };
    for fault in answer["faults"].as_array().into_iter().flatten() {
        let part = |key: &str| fault[key].as_str().unwrap_or_default();
        message.push_str(&format!(
            "\n  pumice.toml:{}: {}; {}",
            fault["line"],
            part("message"),
            part("fix")
        ));
    }
    anyhow::anyhow!(message)
}
