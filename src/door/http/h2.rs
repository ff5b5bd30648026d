//! A connection that speaks HTTP/2: many requests at a time, gRPC calls among them.
//!
//! Calls of gRPC go to [`Grpc`], all other requests to the [`Front`] as on HTTP/1: the whole API is
//! there. Each request is a task, and counts towards the same bounds as any.
//!
//! What bounds a client: the requests on a connection at a time, the windows for what it sends, the
//! idle time (told with a GOAWAY), pings that it must answer, and the time in which it does not
//! take an answer ([`Unsent`]). Answers are handed over in pieces, so that slow and stuck can be
//! told apart.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::ETAG;
use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::{Instant, Sleep};

use super::Door;
use super::body::Body;
use super::draft::{X_REQUEST_ID, X_TTL_MS};
use super::front::{Front, Shared};
use super::listener::{HEAD_BYTES_MAX, Serve};
use super::stream::{Open, State, Stream};
use super::unsent::Unsent;
use crate::door::grpc::{self, Grpc};
use crate::door::hold::{Hold, LARGE_BYTES, SHORT_BYTES};

/// What a client may send of one request before it is read, in bytes.
const STREAM_WINDOW: u32 = 64 << 10;
/// What it may send of all requests on a connection before any is read.
///
/// Short messages cost more than their bytes: half of this is what h2 grants a connection for what
/// unread frames below 256 bytes lack of that, and beyond it the connection is closed. A client that
/// sends a stream of messages of 30 bytes faster than they are worked off fills the window of one
/// request with them, which takes nearly all of that.
const CONNECTION_WINDOW: u32 = 1 << 20;
/// How long a client may take to answer a goodbye, once nothing else is to be said.
const GOODBYE: Duration = Duration::from_secs(1);
/// How much of an answer is handed to the connection at a time.
const PIECE_BYTES: usize = 64 << 10;

/// A connection from its preface to its last byte.
pub(super) struct Connection {
    inner: Pin<Box<http2::Connection<TokioIo<Stream>, Requests, Tasks>>>,
    shared: Arc<Shared>,
    state: Arc<State>,
    unsent: Arc<Unsent>,
    /// When to look whether the client takes its answers.
    timer: Pin<Box<Sleep>>,
    goodbye: bool,
    /// When to close although the client has not answered the goodbye.
    close: Option<Pin<Box<Sleep>>>,
}

impl Connection {
    pub(super) fn new(door: &Door, stream: Stream, state: Arc<State>) -> Connection {
        let shared = Arc::clone(&door.shared);
        let config = &shared.context.config;
        state.multiplex();
        let unsent = Unsent::new(config.write_timeout);
        let requests = Requests {
            front: Front::new(&shared, door.pages.clone(), Arc::clone(&state)),
            grpc: door.grpc.clone(),
            shared: Arc::clone(&shared),
            state: Arc::clone(&state),
            unsent: Arc::clone(&unsent),
        };
        let streams_max = u32::try_from(config.streams_max).unwrap_or(u32::MAX);
        let inner = http2::Builder::new(Tasks)
            .timer(TokioTimer::new())
            .max_concurrent_streams(streams_max)
            .max_header_list_size(HEAD_BYTES_MAX as u32)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(PIECE_BYTES)
            .keep_alive_interval(config.idle_timeout)
            .keep_alive_timeout(config.header_timeout)
            .serve_connection(TokioIo::new(stream), requests);
        Connection {
            inner: Box::pin(inner),
            shared,
            state,
            unsent,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            goodbye: false,
            close: None,
        }
    }

    /// Whether all that was asked is answered, and the client had its time to take the goodbye.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.goodbye || self.state.is_open() {
            self.close = None;
            return false;
        }
        let sleep = || Box::pin(tokio::time::sleep(GOODBYE));
        self.close
            .get_or_insert_with(sleep)
            .as_mut()
            .poll(cx)
            .is_ready()
    }

    /// Whether the client has stopped taking its answers.
    fn is_stuck(&mut self, cx: &mut Context<'_>) -> bool {
        while let Some(check_at) = self.unsent.check_at() {
            if self.unsent.is_stuck(Instant::now()) {
                return true;
            }
            if self.timer.deadline() > check_at || self.timer.is_elapsed() {
                self.timer.as_mut().reset(check_at);
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                break;
            }
        }
        false
    }
}

impl Serve for Connection {
    fn finish(&mut self) {
        self.goodbye = true;
        self.inner.as_mut().graceful_shutdown();
    }
}

impl Future for Connection {
    type Output = Result<(), hyper::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Poll::Ready(done) = this.inner.as_mut().poll(cx) {
            return Poll::Ready(done);
        }
        if this.state.is_expired() && !this.goodbye {
            this.finish();
            if let Poll::Ready(done) = this.inner.as_mut().poll(cx) {
                return Poll::Ready(done);
            }
        }
        if this.is_over(cx) {
            return Poll::Ready(Ok(()));
        }
        if this.is_stuck(cx) {
            this.shared.dropped.reading.fetch_add(1, Ordering::Relaxed);
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }
}

/// Runs the requests of a connection. One that panics is logged, and its stream reset.
#[derive(Clone, Copy, Debug)]
struct Tasks;

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, request: F) {
        tokio::spawn(async {
            if AssertUnwindSafe(request).catch_unwind().await.is_err() {
                tracing::error!("a request's task panicked; the request is given up");
            }
        });
    }
}

/// Answers the requests of a connection.
#[derive(Clone, Debug)]
struct Requests {
    front: Front,
    grpc: Grpc,
    shared: Arc<Shared>,
    state: Arc<State>,
    unsent: Arc<Unsent>,
}

impl hyper::service::Service<Request<Incoming>> for Requests {
    type Response = Response<Outgoing>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Outgoing>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let outgoing = Outgoing {
            body: None,
            rest: Bytes::new(),
            unsent: Arc::clone(&self.unsent),
            shared: Arc::clone(&self.shared),
            _open: self.state.open(),
        };
        if grpc::is_call(&request) {
            self.state.begin();
            let (grpc, state) = (self.grpc.clone(), Arc::clone(&self.state));
            return Box::pin(async move {
                let response = grpc.answer(request, &state).await;
                Ok(response.map(|body| outgoing.of(Source::Call(body))))
            });
        }
        let answer = self.front.answer(request);
        Box::pin(async move {
            let mut response = answer.await?;
            keep_out_of_table(response.headers_mut());
            Ok(response.map(|body| outgoing.of(Source::Http(body))))
        })
    }
}

/// Has the connection forget these headers as soon as they are written.
///
/// They are cut out of the buffer of the whole answer (`draft`), and the table with which HTTP/2
/// compresses headers would keep all of it. They are different each time anyway.
fn keep_out_of_table(headers: &mut HeaderMap) {
    for name in [X_REQUEST_ID, ETAG, X_TTL_MS] {
        if let Some(value) = headers.get_mut(name) {
            value.set_sensitive(true);
        }
    }
}

/// The body of an answer, on its way to a connection.
struct Outgoing {
    /// `None` until there is an answer.
    body: Option<Source>,
    /// What is left of the last part, to be handed over in pieces.
    rest: Bytes,
    unsent: Arc<Unsent>,
    shared: Arc<Shared>,
    _open: Open,
}

enum Source {
    Http(Body),
    Call(grpc::Body),
}

impl Outgoing {
    fn of(mut self, body: Source) -> Outgoing {
        self.body = Some(body);
        self
    }

    /// The next piece of what is left.
    fn piece(&mut self) -> Bytes {
        let bytes = self.rest.split_to(self.rest.len().min(PIECE_BYTES));
        // On a connection with few requests short answers need no hold, but here there may be many.
        let is_held = matches!(self.body, Some(Source::Call(_))) || bytes.len() >= LARGE_BYTES;
        let hold = (!is_held).then(|| Hold::owe(&self.shared.budget, bytes.len()));
        self.unsent.note(bytes, hold)
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        if !this.rest.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(this.piece()))));
        }
        let frame = match &mut this.body {
            None => None,
            Some(Source::Http(body)) => ready!(Pin::new(body).poll_frame(cx)),
            Some(Source::Call(body)) => ready!(Pin::new(body).poll_frame(cx)),
        };
        Poll::Ready(match frame {
            Some(Ok(frame)) => Some(Ok(match frame.into_data() {
                Ok(bytes) if bytes.len() >= SHORT_BYTES => {
                    this.rest = bytes;
                    Frame::data(this.piece())
                }
                Ok(bytes) => Frame::data(bytes),
                Err(frame) => frame,
            })),
            other => other,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
            && match &self.body {
                None => true,
                Some(Source::Http(body)) => body.is_end_stream(),
                Some(Source::Call(body)) => body.is_end_stream(),
            }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            None => SizeHint::with_exact(0),
            Some(Source::Http(body)) => body.size_hint(),
            Some(Source::Call(body)) => body.size_hint(),
        }
    }
}
