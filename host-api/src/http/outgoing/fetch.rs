//! Requests of the host's own services on an app's behalf: to places that its manifest names, under the
//! same policy as its guests'.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http_body::Body as _;
use tokio::time::timeout;

use super::client::{EgressClient, Timeouts};
use crate::http::body::IncomingBody;
use crate::http::error::HttpFault;
use crate::http::pipe::{GuestBody, Pipe};

/// What one request may cost.
#[derive(Clone, Copy, Debug)]
pub struct FetchLimits {
    /// From the first look-up of the name to the last byte.
    pub wait: Duration,
    /// Of the answer's body.
    pub body_bytes_max: usize,
}

impl EgressClient {
    /// Sends a request with an absolute URI and reads the whole answer. A redirect is an answer like any
    /// other: nothing is followed.
    ///
    /// # Errors
    /// [`HttpFault::AddressProhibited`] when the policy shuts the address, [`HttpFault::ResponseTimeout`] when
    /// it takes longer than `limits` says, [`HttpFault::TooLong`] when the answer is longer; what the
    /// connection met with otherwise.
    pub async fn fetch(
        &self,
        request: http::Request<Bytes>,
        limits: FetchLimits,
    ) -> Result<http::Response<Bytes>, HttpFault> {
        let exchange = timeout(limits.wait, self.exchange(request, limits));
        exchange.await.unwrap_or(Err(HttpFault::ResponseTimeout))
    }

    async fn exchange(
        &self,
        request: http::Request<Bytes>,
        limits: FetchLimits,
    ) -> Result<http::Response<Bytes>, HttpFault> {
        let (mut parts, body) = request.into_parts();
        let pipe = match body.len() as u64 {
            0 => None,
            length => {
                parts.headers.insert(CONTENT_LENGTH, length.into());
                let pipe = Pipe::new(Some(length));
                let whole = pipe.write(body).is_ok() && pipe.finish(None).is_ok();
                Some(pipe).filter(|_| whole)
            }
        };
        let timeouts = Timeouts {
            connect: limits.wait,
            first_byte: limits.wait,
            between_bytes: limits.wait,
        };
        let request = http::Request::from_parts(parts, GuestBody::new(pipe));
        let mut answer = self.clone().send(request, timeouts).await?;
        let mut whole = BytesMut::new();
        match answer.body.take() {
            None | Some(IncomingBody::Empty) => {}
            Some(IncomingBody::Full(bytes)) => whole.extend_from_slice(&bytes),
            Some(IncomingBody::Hyper(mut incoming)) => {
                while let Some(frame) = poll_fn(|cx| Pin::new(&mut incoming).poll_frame(cx)).await {
                    let Ok(data) = frame?.into_data() else {
                        continue;
                    };
                    if whole.len() + data.len() > limits.body_bytes_max {
                        return Err(HttpFault::TooLong(limits.body_bytes_max as u64));
                    }
                    whole.extend_from_slice(&data);
                }
            }
        }
        let mut response = http::Response::new(whole.freeze());
        *response.status_mut() = answer.status;
        *response.headers_mut() = (*answer.headers).clone();
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::http::EgressPolicy;

    const LIMITS: FetchLimits = FetchLimits {
        wait: Duration::from_secs(5),
        body_bytes_max: 8,
    };

    fn client() -> EgressClient {
        EgressClient::new(Arc::new(EgressPolicy {
            allow_private: vec!["127.0.0.0/8".parse().unwrap()],
        }))
    }

    /// A server that reads until it has seen `until`, and answers once.
    async fn server(until: &'static str, answer: &'static str) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut seen = Vec::new();
            while !String::from_utf8_lossy(&seen).contains(until) {
                let mut part = [0; 1024];
                let read = stream.read(&mut part).await.unwrap();
                assert!(read > 0);
                seen.extend_from_slice(&part[..read]);
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            // Whoever waits for more than there is sees no end.
            let _ = stream.read(&mut [0; 1]).await;
        });
        format!("http://{address}/x")
    }

    #[tokio::test]
    async fn a_whole_answer_up_to_its_limit() {
        let url = server(
            "\r\n\r\na=1&b=2",
            "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n12345678",
        )
        .await;
        let request = http::Request::post(url)
            .body(Bytes::from("a=1&b=2"))
            .unwrap();
        let answer = client().fetch(request, LIMITS).await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.body()[..]),
            (200, &b"12345678"[..])
        );
    }

    #[tokio::test]
    async fn one_byte_more_is_too_long() {
        let url = server(
            "\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n123456789",
        )
        .await;
        let request = http::Request::get(url).body(Bytes::new()).unwrap();
        assert_eq!(
            client().fetch(request, LIMITS).await.err(),
            Some(HttpFault::TooLong(8))
        );
    }

    #[tokio::test]
    async fn redirects_are_answers_and_silence_ends() {
        let url = server(
            "\r\n\r\n",
            "HTTP/1.1 302 Found\r\nlocation: http://10.0.0.1/\r\ncontent-length: 0\r\n\r\n",
        )
        .await;
        let request = http::Request::get(url).body(Bytes::new()).unwrap();
        let answer = client().fetch(request, LIMITS).await.unwrap();
        assert_eq!(answer.status().as_u16(), 302);
        let silent = server(
            "\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n123",
        )
        .await;
        let request = http::Request::get(silent).body(Bytes::new()).unwrap();
        let limits = FetchLimits {
            wait: Duration::from_millis(50),
            ..LIMITS
        };
        assert_eq!(
            client().fetch(request, limits).await.err(),
            Some(HttpFault::ResponseTimeout)
        );
    }

    #[tokio::test]
    async fn private_addresses_are_shut() {
        let url = server("\r\n\r\n", "").await;
        let request = http::Request::get(url).body(Bytes::new()).unwrap();
        let answer = EgressClient::default().fetch(request, LIMITS).await;
        assert_eq!(answer.err(), Some(HttpFault::AddressProhibited));
    }
}
