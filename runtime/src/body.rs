//! The body of any response.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use pumice_host_api::GuestBody;

use crate::invoke::Running;

type BoxBody = http_body_util::combinators::UnsyncBoxBody<Bytes, std::io::Error>;

/// The body of any response.
pub enum Body {
    Whole(Full<Bytes>),
    /// Written by a guest that is still at work.
    Guest {
        body: GuestBody,
        guest: Running,
    },
    Other(BoxBody),
}

impl Body {
    pub fn boxed(
        body: impl HttpBody<Data = Bytes, Error = std::io::Error> + Send + 'static,
    ) -> Body {
        Body::Other(body.boxed_unsync())
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Body {
        Body::Whole(Full::new(bytes))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        match self.get_mut() {
            Body::Whole(body) => Pin::new(body)
                .poll_frame(cx)
                .map_err(|never| match never {}),
            Body::Guest { body, .. } => {
                Pin::new(body).poll_frame(cx).map_err(std::io::Error::other)
            }
            Body::Other(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Whole(body) => body.is_end_stream(),
            Body::Guest { body, .. } => body.is_end_stream(),
            Body::Other(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Whole(body) => body.size_hint(),
            Body::Guest { body, .. } => body.size_hint(),
            Body::Other(body) => body.size_hint(),
        }
    }
}
