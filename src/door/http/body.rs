//! Bodies: the answer's, and the request's as a whole.
//!
//! Most answers are one piece of memory, which [`Body`] carries without a box. A request's body is
//! collected by [`collect`] within two bounds: its length, and the pause between two pieces. What
//! a client merely claims to send is never allocated.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http_body::{Frame, SizeHint};

use super::failure::Failure;
use super::front::Exchange;

/// The body of an answer.
#[derive(Debug)]
pub struct Body(Inner);

enum Inner {
    Full(Bytes),
    Stream {
        pieces: Pin<Box<dyn Stream<Item = Bytes> + Send>>,
        /// The request is in work until the last piece is taken.
        _exchange: Exchange,
    },
    Axum(axum::body::Body),
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Inner::Full(_) => "Full",
            Inner::Stream { .. } => "Stream",
            Inner::Axum(_) => "Axum",
        })
    }
}

impl Body {
    /// No body.
    pub(super) fn empty() -> Body {
        Body(Inner::Full(Bytes::new()))
    }

    /// All of it.
    pub(super) fn full(bytes: impl Into<Bytes>) -> Body {
        Body(Inner::Full(bytes.into()))
    }

    /// Piece by piece, as fast as the client takes them.
    pub(super) fn stream(
        pieces: impl Stream<Item = Bytes> + Send + 'static,
        exchange: Exchange,
    ) -> Body {
        Body(Inner::Stream {
            pieces: Box::pin(pieces),
            _exchange: exchange,
        })
    }
}

impl From<axum::body::Body> for Body {
    fn from(body: axum::body::Body) -> Body {
        Body(Inner::Axum(body))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match &mut self.get_mut().0 {
            Inner::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Inner::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Inner::Stream { pieces, .. } => pieces
                .as_mut()
                .poll_next(cx)
                .map(|piece| piece.map(|bytes| Ok(Frame::data(bytes)))),
            Inner::Axum(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Full(bytes) => bytes.is_empty(),
            Inner::Stream { .. } => false,
            Inner::Axum(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Inner::Stream { .. } => SizeHint::default(),
            Inner::Axum(body) => body.size_hint(),
        }
    }
}

/// A request's body, whatever carries it.
pub trait Incoming:
    http_body::Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + Unpin + 'static
{
}

impl<B> Incoming for B where
    B: http_body::Body<Data = Bytes, Error: std::error::Error + Send + Sync>
        + Send
        + Unpin
        + 'static
{
}

/// The next piece of a body; `None` at its end. Trailers are passed over.
pub(super) async fn next_piece(
    body: &mut impl Incoming,
    pause_max: Duration,
) -> Result<Option<Bytes>, Failure> {
    loop {
        let frame = match poll_fn(|cx| Poll::Ready(Pin::new(&mut *body).poll_frame(cx))).await {
            Poll::Ready(frame) => frame,
            // Only a body that has not arrived yet pays for a timer.
            Poll::Pending => {
                let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx));
                tokio::time::timeout(pause_max, frame)
                    .await
                    .map_err(|_| Failure::body_timeout())?
            }
        };
        match frame {
            None => return Ok(None),
            Some(Err(error)) => return Err(Failure::body_truncated(source_of(&error))),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// The innermost reason, which says more than "error reading a body".
fn source_of(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// A whole body of at most `bytes_max`, whose pieces arrive not more than `pause_max` apart.
pub(super) async fn collect(
    mut body: impl Incoming,
    bytes_max: usize,
    pause_max: Duration,
) -> Result<Bytes, Failure> {
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(Failure::body_too_large(bytes_max));
    }
    let Some(first) = next_piece(&mut body, pause_max).await? else {
        return Ok(Bytes::new());
    };
    if body.is_end_stream() && first.len() <= bytes_max {
        return Ok(first);
    }
    let mut whole = BytesMut::from(first);
    loop {
        if whole.len() > bytes_max {
            return Err(Failure::body_too_large(bytes_max));
        }
        match next_piece(&mut body, pause_max).await? {
            Some(piece) => whole.extend_from_slice(&piece),
            None => return Ok(whole.freeze()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use http_body_util::{Full, StreamBody};

    const PAUSE: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_body_is_bounded_by_what_it_says_and_by_what_it_sends() {
        let body = Full::new(Bytes::from_static(b"12345"));
        assert_eq!(collect(body.clone(), 5, PAUSE).await.unwrap(), "12345");
        let failure = collect(body, 4, PAUSE).await.unwrap_err();
        assert_eq!(failure.code, "body_too_large");

        let pieces = || {
            let pieces = ["123", "45"].map(|p| Ok::<_, Infallible>(Frame::data(Bytes::from(p))));
            StreamBody::new(futures_util::stream::iter(pieces))
        };
        assert_eq!(collect(pieces(), 5, PAUSE).await.unwrap(), "12345");
        let failure = collect(pieces(), 4, PAUSE).await.unwrap_err();
        assert_eq!(failure.code, "body_too_large");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_pauses_too_long_is_given_up() {
        let body = StreamBody::new(futures_util::stream::pending::<
            Result<Frame<Bytes>, Infallible>,
        >());
        let failure = collect(body, 5, PAUSE).await.unwrap_err();
        assert_eq!(failure.code, "body_timeout");
    }
}
