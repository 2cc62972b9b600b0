//! What can go wrong with a message, in words of HTTP; `host.rs` says it in words of WIT.

/// A fault of a request, a response or one of their bodies.
///
/// The cases are those of `wasi:http/types.error-code` that this host can tell apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpFault {
    #[error("the name has no address: {0}")]
    Dns(String),
    #[error("looking up the name took too long")]
    DnsTimeout,
    /// The address is private, loopback, link-local or otherwise not for guests.
    #[error("the destination's address is not open to guests")]
    AddressProhibited,
    #[error("the destination is unavailable")]
    Unavailable,
    #[error("the connection was refused")]
    Refused,
    #[error("the connection was closed early")]
    ConnectionClosed,
    #[error("connecting took too long")]
    ConnectTimeout,
    #[error("the next bytes took too long")]
    ReadTimeout,
    #[error("the first byte of the answer took too long")]
    ResponseTimeout,
    #[error("TLS failed")]
    Tls,
    #[error("the destination's certificate is not valid for it")]
    Certificate,
    /// Not on the entry's `egress` list.
    #[error("the manifest's `egress` does not list this origin")]
    Denied,
    #[error("the method is not valid")]
    Method,
    #[error("the URI is not valid")]
    Uri,
    /// A request body that is not as long as its `content-length`; how long it is.
    #[error("the request body is not as long as its content-length says")]
    RequestLength(u64),
    /// A response body that is not as long as its `content-length`; how long it is.
    #[error("the response body is not as long as its content-length says")]
    ResponseLength(u64),
    /// More than the entry takes; how much it takes.
    #[error("the body is longer than {0} bytes")]
    TooLong(u64),
    #[error("the response ended early")]
    Incomplete,
    #[error("the other side does not speak HTTP/1.1 as it should")]
    Protocol,
    #[error("{0}")]
    Internal(String),
}

impl From<hyper::Error> for HttpFault {
    fn from(error: hyper::Error) -> Self {
        if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
            HttpFault::ConnectionClosed
        } else if error.is_timeout() {
            HttpFault::ReadTimeout
        } else if error.is_parse() {
            HttpFault::Protocol
        } else {
            HttpFault::Incomplete
        }
    }
}
