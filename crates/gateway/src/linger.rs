//! Reads what is left of a request's body once it has been answered, within bounds, so that a client that is still sending hears the answer.
//!
//! A connection that is closed on a sender takes the answer with it: the client sees a broken pipe, not `413` and its reason.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;

/// What is read and thrown away at most: a few times the largest upload a browser would try by mistake.
const BYTES_MAX: usize = 64 << 20;
/// For how long: a sender that is slower than this has to live with a closed connection.
const TIME_MAX: Duration = Duration::from_secs(5);

/// A body that is handed on, and comes back when whoever held it lets go of it unread.
pub(crate) struct Lent {
    body: Option<Body>,
    returned: Unread,
}

/// Where a body comes back to.
#[derive(Clone, Default)]
pub(crate) struct Unread(Arc<Mutex<Option<Body>>>);

impl Unread {
    /// Lends the body out.
    pub(crate) fn lend(&self, body: Body) -> Lent {
        Lent { body: Some(body), returned: self.clone() }
    }

    /// Reads what came back to its end; at once when all of it was read.
    pub(crate) async fn drain(self) {
        let returned = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(body) = returned {
            drain(body).await;
        }
    }
}

/// Reads a body to its end and keeps nothing of it.
pub(crate) async fn drain(mut body: Body) {
    let read = async {
        let mut seen = 0;
        while let Some(Ok(frame)) = body.frame().await {
            seen += frame.data_ref().map_or(0, Bytes::len);
            if seen > BYTES_MAX {
                break;
            }
        }
    };
    // Too slow is as good as too long: the connection is closed.
    let _ = tokio::time::timeout(TIME_MAX, read).await;
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            *self.returned.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn endless(read: Arc<Mutex<usize>>) -> Body {
        Body::from_stream(stream::repeat_with(move || {
            *read.lock().expect("unpoisoned") += 1 << 20;
            Ok::<_, std::io::Error>(Bytes::from(vec![0; 1 << 20]))
        }))
    }

    #[tokio::test]
    async fn what_a_handler_left_unread_is_read_and_an_endless_body_is_left() {
        let read = Arc::new(Mutex::new(0));
        let unread = Unread::default();
        drop(unread.lend(endless(read.clone())));
        assert_eq!(*read.lock().expect("unpoisoned"), 0, "nothing is read before the answer");
        unread.drain().await;
        let read = *read.lock().expect("unpoisoned");
        assert!((BYTES_MAX..=BYTES_MAX + (2 << 20)).contains(&read), "{read} bytes were read");
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_that_stalls_is_not_waited_for() {
        let unread = Unread::default();
        drop(unread.lend(Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>())));
        let begun = tokio::time::Instant::now();
        unread.drain().await;
        assert_eq!(begun.elapsed().as_secs(), TIME_MAX.as_secs());
    }

    #[tokio::test]
    async fn a_body_that_was_read_does_not_come_back() {
        let unread = Unread::default();
        let lent = unread.lend(Body::from("hello"));
        assert_eq!(lent.collect().await.expect("a body").to_bytes(), "hello");
        assert!(unread.0.lock().expect("unpoisoned").is_none());
    }
}
