//! Bodies: the answer's, and the request's as a whole.
//!
//! Most answers are one piece of memory, which [`Body`] carries without a box. A request's body is
//! collected by [`collect`] within bounds: its length, the pause between two pieces, the time for
//! all of them, and the memory of the door. What a client merely claims to send is never allocated.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use super::failure::Failure;
use super::front::Exchange;
use super::hold::Hold;

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

/// How slowly a body, or a line of a batch, may arrive on the whole, once the longest pause is over:
/// a client that sends a byte now and then would otherwise keep its memory for days.
const BYTES_PER_SECOND_MIN: u64 = 1_000;

/// What a client that is slow to send has left of its time.
///
/// The clock is looked at only where there is something to wait for; so the time counts from the
/// first such moment.
#[derive(Clone, Copy, Debug)]
pub(in crate::door) struct Pace {
    pause_max: Duration,
    waiting_since: Option<Instant>,
    bytes: u64,
}

impl Pace {
    /// Pieces that are not more than `pause_max` apart.
    pub(in crate::door) fn new(pause_max: Duration) -> Pace {
        Pace {
            pause_max,
            waiting_since: None,
            bytes: 0,
        }
    }

    /// What is to arrive begins anew.
    pub(super) fn restart(&mut self) {
        *self = Pace::new(self.pause_max);
    }

    /// When to give up if nothing comes until then.
    fn deadline(&mut self) -> Instant {
        let now = Instant::now();
        let since = *self.waiting_since.get_or_insert(now);
        let earned = Duration::from_secs(self.bytes / BYTES_PER_SECOND_MIN);
        (now + self.pause_max).min(since + self.pause_max + earned)
    }
}

/// The next piece of a body; `None` at its end. Trailers are passed over.
pub(in crate::door) async fn next_piece(
    body: &mut impl Incoming,
    pace: &mut Pace,
) -> Result<Option<Bytes>, Failure> {
    loop {
        let frame = match poll_fn(|cx| Poll::Ready(Pin::new(&mut *body).poll_frame(cx))).await {
            Poll::Ready(frame) => frame,
            // Only a body that has not arrived yet pays for a timer.
            Poll::Pending => {
                let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx));
                tokio::time::timeout_at(pace.deadline(), frame)
                    .await
                    .map_err(|_| Failure::body_timeout())?
            }
        };
        match frame {
            None => return Ok(None),
            Some(Err(error)) => return Err(Failure::body_truncated(source_of(&error))),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    pace.bytes += data.len() as u64;
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

/// A whole body of at most `bytes_max`, whose pieces arrive not more than `pause_max` apart and not
/// too slowly on the whole. It is on `hold`, as far as it has arrived.
pub(in crate::door) async fn collect(
    mut body: impl Incoming,
    bytes_max: usize,
    pause_max: Duration,
    mut hold: Hold,
) -> Result<(Bytes, Hold), Failure> {
    let claimed = body.size_hint();
    if claimed.lower() > bytes_max as u64 {
        return Err(Failure::body_too_large(bytes_max));
    }
    // What cannot fit anyway is refused before it is sent.
    hold.expect(claimed.lower())?;
    let mut pace = Pace::new(pause_max);
    let Some(first) = next_piece(&mut body, &mut pace).await? else {
        return Ok((Bytes::new(), hold));
    };
    if body.is_end_stream() && first.len() <= bytes_max {
        hold.set(first.len())?;
        return Ok((first, hold));
    }
    let longest = claimed.exact().map_or(bytes_max, |bytes| bytes as usize);
    let mut whole = Vec::new();
    let mut piece = Some(first);
    while let Some(bytes) = piece {
        if bytes.len() > bytes_max - whole.len() {
            return Err(Failure::body_too_large(bytes_max));
        }
        make_room(&mut whole, bytes.len(), longest, &mut hold)?;
        whole.extend_from_slice(&bytes);
        drop(bytes);
        piece = next_piece(&mut body, &mut pace).await?;
    }
    Ok((Bytes::from(whole), hold))
}

/// Makes room for `more` bytes: twice what there was, but not beyond what may still come, and less
/// if the door has not so much.
fn make_room(
    whole: &mut Vec<u8>,
    more: usize,
    longest: usize,
    hold: &mut Hold,
) -> Result<(), Failure> {
    let wanted = whole.len() + more;
    if wanted <= whole.capacity() {
        return Ok(());
    }
    let ample = whole.capacity().saturating_mul(2).min(longest).max(wanted);
    let room = match hold.try_set(ample) {
        true => ample,
        false => hold.set(wanted).map(|()| wanted)?,
    };
    whole.reserve_exact(room - whole.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::super::hold::Budget;
    use super::*;
    use http_body_util::{Full, StreamBody};

    const PAUSE: Duration = Duration::from_millis(20);

    fn plenty() -> Hold {
        Hold::nothing(&Budget::new(1 << 30))
    }

    fn pieces(pieces: &[&'static str]) -> impl Incoming {
        let frames: Vec<_> = pieces
            .iter()
            .map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from(*piece))))
            .collect();
        StreamBody::new(futures_util::stream::iter(frames))
    }

    async fn text(body: impl Incoming, bytes_max: usize) -> Result<String, &'static str> {
        let collected = collect(body, bytes_max, PAUSE, plenty()).await;
        let (bytes, _hold) = collected.map_err(|failure| failure.code)?;
        Ok(String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_body_is_bounded_by_what_it_says_and_by_what_it_sends() {
        let body = Full::new(Bytes::from_static(b"12345"));
        assert_eq!(text(body.clone(), 5).await.unwrap(), "12345");
        assert_eq!(text(body, 4).await, Err("body_too_large"));
        assert_eq!(text(pieces(&["123", "45"]), 5).await.unwrap(), "12345");
        assert_eq!(text(pieces(&["123", "45"]), 4).await, Err("body_too_large"));
        assert_eq!(text(pieces(&["12345"]), 4).await, Err("body_too_large"));
    }

    #[tokio::test]
    async fn a_body_is_on_the_budget_as_far_as_it_has_arrived() {
        let budget = Budget::exact(8);
        let whole = |body| collect(body, 100, PAUSE, Hold::nothing(&budget));
        let (bytes, hold) = whole(pieces(&["123", "4", "56", "78"])).await.unwrap();
        assert_eq!((&bytes[..], budget.used()), (&b"12345678"[..], 8));
        let failure = whole(pieces(&["1"])).await.unwrap_err();
        assert_eq!(failure.code, "overloaded");
        drop((bytes, hold));
        let failure = whole(pieces(&["12345", "6789"])).await.unwrap_err();
        assert_eq!((failure.code, budget.used()), ("overloaded", 0));
        // One that says so is refused before it is read.
        let failure = collect(
            Full::new(Bytes::from_static(b"123456789")),
            100,
            PAUSE,
            Hold::nothing(&budget),
        );
        assert_eq!(failure.await.unwrap_err().code, "overloaded");
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_pauses_too_long_is_given_up() {
        let body = StreamBody::new(futures_util::stream::pending::<
            Result<Frame<Bytes>, Infallible>,
        >());
        assert_eq!(text(body, 5).await, Err("body_timeout"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_is_given_up_and_one_that_flows_is_not() {
        let drops = |bytes: usize, every: Duration, count: usize| {
            let drops = futures_util::stream::unfold(0, move |sent| async move {
                tokio::time::sleep(every).await;
                let frame = Frame::data(Bytes::from(vec![b'x'; bytes]));
                (sent < count).then_some((Ok::<_, Infallible>(frame), sent + 1))
            });
            StreamBody::new(Box::pin(drops))
        };
        // A byte in time, again and again.
        let started = Instant::now();
        assert_eq!(
            text(drops(1, PAUSE / 2, 1 << 20), 1 << 20).await,
            Err("body_timeout")
        );
        assert!(started.elapsed() < 3 * PAUSE, "{:?}", started.elapsed());
        let body = drops(1_000, PAUSE / 2, 500);
        assert_eq!(text(body, 1 << 20).await.unwrap().len(), 500_000);
    }
}
