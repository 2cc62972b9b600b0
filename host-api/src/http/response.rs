//! How the answer of a guest reaches the runtime.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::Response;
use parking_lot::Mutex;

use super::pipe::{GuestBody, Pipe};

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// The guest set an error instead of a response: its `error-code`.
    #[error("the guest answered with {0}")]
    Code(String),
    /// The guest returned, trapped or dropped the outparam without having set it.
    #[error("the guest ended without an answer")]
    NeverSet,
}

/// The runtime's end of a `response-outparam`. One task at a time may wait in `poll_head`.
pub struct ResponseHandle {
    exchange: Arc<Exchange>,
}

#[derive(Default)]
struct Exchange {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    head: Option<Result<Response<()>, HeadError>>,
    body: Option<Arc<Pipe>>,
    waker: Option<Waker>,
}

/// The resource `response-outparam`. Dropped without having been set, it tells the runtime so.
pub(crate) struct ResponseOutparam {
    exchange: Option<Arc<Exchange>>,
}

pub(crate) fn pair() -> (ResponseOutparam, ResponseHandle) {
    let exchange = Arc::<Exchange>::default();
    let outparam = ResponseOutparam {
        exchange: Some(exchange.clone()),
    };
    (outparam, ResponseHandle { exchange })
}

impl ResponseOutparam {
    pub(crate) fn set(mut self, head: Result<(Response<()>, Option<Arc<Pipe>>), HeadError>) {
        if let Some(exchange) = self.exchange.take() {
            exchange.put(head);
        }
    }
}

impl Drop for ResponseOutparam {
    fn drop(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            exchange.put(Err(HeadError::NeverSet));
        }
    }
}

impl Exchange {
    fn put(&self, head: Result<(Response<()>, Option<Arc<Pipe>>), HeadError>) {
        let mut state = self.state.lock();
        state.head = Some(head.map(|(head, body)| {
            state.body = body;
            head
        }));
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl ResponseHandle {
    /// Waits for status and headers. Answers once; after that it is pending for ever.
    ///
    /// # Errors
    /// [`HeadError`] if the guest set an error or will never set anything.
    pub fn poll_head(&self, cx: &mut Context<'_>) -> Poll<Result<Response<()>, HeadError>> {
        let mut state = self.exchange.state.lock();
        match state.head.take() {
            Some(head) => Poll::Ready(head),
            None => {
                match &mut state.waker {
                    Some(waker) => waker.clone_from(cx.waker()),
                    None => state.waker = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
        }
    }

    /// Status and headers, if the guest has set them: `poll_head` without waiting.
    pub fn try_head(&self) -> Option<Result<Response<()>, HeadError>> {
        self.exchange.state.lock().head.take()
    }

    /// Whether the response has been set and its body finished (or there is none).
    ///
    /// True as well before the head is set if asked then: ask after `poll_head` has answered.
    pub fn is_finished(&self) -> bool {
        let body = self.exchange.state.lock().body.clone();
        body.is_none_or(|pipe| pipe.is_finished())
    }

    /// The whole body, if the guest has finished it, it has no trailers, and it was not taken before.
    /// Ask after `poll_head` has answered.
    pub fn complete_body(&self) -> Option<Bytes> {
        let mut state = self.exchange.state.lock();
        match &state.body {
            None => Some(Bytes::new()),
            Some(pipe) => {
                let whole = pipe.complete()?;
                state.body = None;
                Some(whole)
            }
        }
    }

    /// The body as a stream, to be polled from any task while the guest goes on. Ask after
    /// `poll_head` has answered, and only once: two readers would share the chunks.
    pub fn take_body(&self) -> GuestBody {
        // The handle keeps its own view of the body, to say whether it is finished.
        GuestBody::new(self.exchange.state.lock().body.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outparam_that_is_dropped_says_so() {
        let (outparam, handle) = pair();
        assert!(handle.try_head().is_none());
        drop(outparam);
        assert_eq!(
            handle.try_head().map(|head| head.err()),
            Some(Some(HeadError::NeverSet))
        );
    }

    #[tokio::test]
    async fn setting_the_head_wakes_who_waits() {
        let (outparam, handle) = pair();
        let waiting = tokio::spawn(async move {
            let head = std::future::poll_fn(|cx| handle.poll_head(cx))
                .await
                .unwrap();
            (head.status(), handle.is_finished(), handle.complete_body())
        });
        tokio::task::yield_now().await;
        let pipe = Pipe::new(None);
        pipe.write("ok".into()).unwrap();
        pipe.finish(None).unwrap();
        outparam.set(Ok((Response::new(()), Some(pipe))));
        assert_eq!(
            waiting.await.unwrap(),
            (http::StatusCode::OK, true, Some("ok".into()))
        );
    }

    #[test]
    fn a_response_without_a_body_is_finished() {
        let (outparam, handle) = pair();
        outparam.set(Ok((Response::new(()), None)));
        assert!(handle.try_head().unwrap().is_ok());
        assert!(handle.is_finished());
        assert_eq!(handle.complete_body(), Some(Bytes::new()));
    }
}
