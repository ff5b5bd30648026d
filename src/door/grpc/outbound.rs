//! The answer of a call, as it goes out.
//!
//! An answer has its part of the door's memory until the connection has written it. A call that
//! lasts ends with a status of its own when its client's time is over or the node stops.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};
use tonic::{Code, Status};

use super::call::Meter;
use super::status;
use crate::door::hold::Hold;
use crate::door::http::{Exchange, Shared};

/// A place among the calls that last.
#[derive(Debug)]
pub(super) struct Place(Arc<Shared>);

impl Place {
    /// A place, if there are not too many taken.
    pub(super) fn take(shared: &Arc<Shared>) -> Result<Place, Status> {
        let before = shared.calls.lasting.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(shared));
        if before < shared.context.config.connections_max {
            return Ok(place);
        }
        let message = "too many streams are open; try again later";
        Err(status::new(Code::ResourceExhausted, "overloaded", message))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.calls.lasting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What bounds a call until its answer is whole.
pub(super) enum Limits {
    /// It is one of the requests in work.
    InWork(#[expect(dead_code, reason = "held for what its drop does")] Exchange),
    /// It lasts.
    Lasting {
        _place: Place,
        stopping: Pin<Box<dyn Future<Output = ()> + Send>>,
        deadline: Option<Pin<Box<Sleep>>>,
    },
}

impl Limits {
    pub(super) fn lasting(
        place: Place,
        mut stopping: watch::Receiver<bool>,
        deadline: Option<Instant>,
    ) -> Limits {
        Limits::Lasting {
            _place: place,
            stopping: Box::pin(async move {
                // An error means that the door itself is gone.
                let _ = stopping.wait_for(|stopping| *stopping).await;
            }),
            deadline: deadline.map(|at| Box::pin(tokio::time::sleep_until(at))),
        }
    }

    /// Why the call ends before its time, if it does.
    fn end(&mut self, cx: &mut Context<'_>) -> Option<Status> {
        let Limits::Lasting {
            stopping, deadline, ..
        } = self
        else {
            return None;
        };
        if stopping.as_mut().poll(cx).is_ready() {
            return Some(status::stopping());
        }
        let deadline = deadline.as_mut()?;
        deadline.as_mut().poll(cx).is_ready().then(status::deadline)
    }
}

type Count = Box<dyn FnOnce(Code) + Send>;

/// The body of an answer.
pub(in crate::door) struct Body {
    /// `None` once it is whole.
    inner: Option<tonic::body::Body>,
    /// What the answer holds of the door's memory; `None` for one that is only a status.
    meter: Option<Arc<Meter>>,
    limits: Option<Limits>,
    count: Option<Count>,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}

/// The body of an answer that is only a status.
impl Default for Body {
    fn default() -> Body {
        Body {
            inner: None,
            meter: None,
            limits: None,
            count: None,
        }
    }
}

impl Body {
    pub(super) fn new(inner: tonic::body::Body, meter: Arc<Meter>, limits: Limits) -> Body {
        Body {
            inner: Some(inner),
            meter: Some(meter),
            limits: Some(limits),
            count: None,
        }
    }

    /// Tells `count` what the call came to.
    pub(super) fn counted(mut self, count: Count) -> Body {
        self.count = Some(count);
        self
    }

    /// Ends the answer.
    fn finish(&mut self, code: Code) {
        self.inner = None;
        self.limits = None;
        if let Some(count) = self.count.take() {
            count(code);
        }
    }

    /// Ends the answer with a status of our own.
    fn end(&mut self, status: &Status) -> Option<Result<Frame<Bytes>, axum::Error>> {
        self.finish(status.code());
        let mut trailers = HeaderMap::new();
        Some(match status.add_header(&mut trailers) {
            Ok(()) => Ok(Frame::trailers(trailers)),
            Err(error) => Err(axum::Error::new(error)),
        })
    }
}

/// What the client did not wait for was cancelled.
impl Drop for Body {
    fn drop(&mut self) {
        if self.count.is_some() {
            self.finish(Code::Cancelled);
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        if let Some(limits) = &mut this.limits
            && let Some(status) = limits.end(cx)
        {
            return Poll::Ready(this.end(&status));
        }
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(None);
        };
        let frame = match ready!(Pin::new(inner).poll_frame(cx)) {
            None => {
                this.finish(Code::Ok);
                return Poll::Ready(None);
            }
            Some(Err(status)) => return Poll::Ready(this.end(&status)),
            Some(Ok(frame)) => frame,
        };
        Poll::Ready(Some(Ok(match frame.into_data() {
            Ok(bytes) => Frame::data(match &this.meter {
                Some(meter) => {
                    let holds = meter.release(bytes.len());
                    held(bytes, holds)
                }
                None => bytes,
            }),
            Err(frame) => {
                if let Some(trailers) = frame.trailers_ref() {
                    let status = Status::from_header_map(trailers);
                    this.finish(status.map_or(Code::Ok, |status| status.code()));
                }
                frame
            }
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.inner
            .as_ref()
            .is_none_or(|inner| inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Some(inner) => inner.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

/// Bytes that hold memory until the last of them is gone.
fn held(bytes: Bytes, holds: Vec<Hold>) -> Bytes {
    struct Held {
        bytes: Bytes,
        _holds: Vec<Hold>,
    }
    impl AsRef<[u8]> for Held {
        fn as_ref(&self) -> &[u8] {
            &self.bytes
        }
    }
    if holds.is_empty() {
        return bytes;
    }
    Bytes::from_owner(Held {
        bytes,
        _holds: holds,
    })
}
