//! A client's connection as bytes, with an eye on the clock.
//!
//! What can take too long on a connection, and what happens then:
//!
//! - nothing is asked for [`Times::idle`]: the connection is closed (within another quarter of it);
//! - a request's head is not complete [`Times::head`] after its first piece: 408, closed;
//! - the client does not take its answer, nothing for [`Times::write`] or too little on the whole:
//!   closed, and what was still to be written is freed.
//!
//! Pauses within a request body are the body's reader's matter, and the time that an answer takes
//! is the router's: while a request is in work nothing here expires.
//!
//! Timing every request would cost as much as answering it, so clocks are looked at only where a
//! connection waits anyway, and an idle connection is looked after four times in its span.
//!
//! On a connection that carries many requests at a time (HTTP/2) there is no head to wait for, and
//! it is idle while no request is open. What its clients do not take is looked after where it is
//! handed out, in `h2`.
//!
//! After an answer that left a part of the request unread, closing at once would reset the
//! connection and could take the answer with it. Such a connection *lingers*: it says that it will
//! write no more, then reads and throws away, for a bounded time.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::door::patience::Patience;
use crate::door::tls::Socket;

/// How long a connection that was answered early is read from before it is closed.
const LINGER: Duration = Duration::from_secs(1);
/// How much is read and thrown away meanwhile.
const LINGER_BYTES_MAX: usize = 8 << 20;

/// What a client is answered whose request's head takes too long.
const HEAD_TIMEOUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\n\
content-type: application/json\r\ncontent-length: 97\r\nconnection: close\r\n\r\n\
{\"error\":\"header_timeout\",\"message\":\"the head of the request took too long to send\",\"status\":408}";

/// The spans that a connection keeps to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// For the head of a request, from its first piece on.
    pub(super) head: Duration,
    /// For anything that does not happen at all.
    pub(super) idle: Duration,
    /// For a client to take anything of an answer that waits for it.
    pub(super) write: Duration,
}

/// How many connections were closed because their clients were too slow.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    /// To ask for anything.
    pub(super) idle: AtomicU64,
    /// To send the head of a request.
    pub(super) head: AtomicU64,
    /// To take an answer.
    pub(super) reading: AtomicU64,
}

const IDLE: u8 = 0;
const HEAD: u8 = 1;
const WORK: u8 = 2;
/// Once in this phase a connection stays in it.
const MULTIPLEXED: u8 = 3;

/// What the stream and the requests on it know of one another.
#[derive(Debug, Default)]
pub(in crate::door) struct State {
    phase: AtomicU8,
    requests: AtomicU64,
    linger: AtomicBool,
    /// Of a multiplexed connection: requests that are not done.
    open: AtomicUsize,
    /// Of a multiplexed connection: it was idle for too long.
    expired: AtomicBool,
    next: Mutex<Option<Next>>,
}

/// What a connection goes on with once it has done with HTTP.
struct Next(Pin<Box<dyn Future<Output = ()> + Send>>);

impl std::fmt::Debug for Next {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Next")
    }
}

// One task runs all of a connection but for answers that stream; the orderings need not be strong.
impl State {
    /// A head is complete. Returns how many there were on the connection with it.
    pub(super) fn begin(&self) -> u64 {
        let count = self.requests.load(Ordering::Relaxed) + 1;
        self.requests.store(count, Ordering::Relaxed);
        self.set(IDLE);
        self.linger.store(false, Ordering::Relaxed);
        count
    }

    /// Its request is not answered at once.
    pub(super) fn work(&self) {
        self.set(WORK);
    }

    /// The request in work has its whole answer.
    pub(super) fn end(&self) {
        self.set(IDLE);
    }

    fn set(&self, phase: u8) {
        if self.phase.load(Ordering::Relaxed) != MULTIPLEXED {
            self.phase.store(phase, Ordering::Relaxed);
        }
    }

    /// The connection goes on with this once it has done with HTTP. It must not own this state.
    pub(super) fn then(&self, next: Pin<Box<dyn Future<Output = ()> + Send>>) {
        *self.next.lock() = Some(Next(next));
    }

    /// What it goes on with.
    pub(super) fn take_next(&self) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        self.next.lock().take().map(|next| next.0)
    }

    /// The answer may come before the end of the request.
    pub(super) fn linger(&self) {
        self.linger.store(true, Ordering::Relaxed);
    }

    /// The connection carries many requests at a time from now on.
    #[cfg(feature = "grpc")]
    pub(super) fn multiplex(&self) {
        self.phase.store(MULTIPLEXED, Ordering::Relaxed);
    }

    /// One of many requests is there, until what is returned is dropped.
    #[cfg(feature = "grpc")]
    pub(super) fn open(self: &Arc<State>) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(self))
    }

    /// Whether any of many requests is there.
    #[cfg(feature = "grpc")]
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed) > 0
    }

    /// Whether a multiplexed connection was idle for too long.
    #[cfg(feature = "grpc")]
    pub(super) fn is_expired(&self) -> bool {
        self.expired.load(Ordering::Relaxed)
    }
}

/// One of the requests of a multiplexed connection.
#[cfg(feature = "grpc")]
#[derive(Debug)]
pub(super) struct Open(Arc<State>);

#[cfg(feature = "grpc")]
impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Stream {
    tcp: Socket,
    /// What was read to find out what the client speaks, to be read again.
    first: Bytes,
    state: Arc<State>,
    times: Times,
    watch: Watch,
    timer: Pin<Box<Sleep>>,
    /// Whether anything was ever read.
    received: bool,
    patience: Patience,
    dropped: Arc<Dropped>,
    closing: Option<Closing>,
}

/// What the timer is set for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watch {
    Nothing,
    /// The head behind so many requests.
    Head {
        behind: u64,
    },
    /// A quarter of the idle time; there were so many requests, and so many quarters passed.
    Idle {
        requests: u64,
        quarters: u8,
    },
}

#[derive(Debug)]
struct Closing {
    until: Pin<Box<Sleep>>,
    bytes_left: usize,
}

impl Stream {
    pub(super) fn new(
        tcp: Socket,
        state: Arc<State>,
        times: Times,
        dropped: Arc<Dropped>,
    ) -> Stream {
        // A new connection owes a request's head.
        state.phase.store(HEAD, Ordering::Relaxed);
        Stream {
            tcp,
            first: Bytes::new(),
            state,
            times,
            watch: Watch::Nothing,
            timer: Box::pin(tokio::time::sleep(times.head)),
            received: false,
            patience: Patience::new(times.write),
            dropped,
            closing: None,
        }
    }

    /// Has these bytes read before all others.
    #[cfg(feature = "grpc")]
    pub(super) fn put_back(&mut self, first: Bytes) {
        self.first = first;
    }

    /// The read side waits: is it for too long?
    fn waits(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let requests = self.state.requests.load(Ordering::Relaxed);
        let phase = self.state.phase.load(Ordering::Relaxed);
        let due = self.timer.is_elapsed();
        let (watch, span) = match (phase, self.watch) {
            (WORK, _) => return Ok(()),
            (MULTIPLEXED, _) if self.state.open.load(Ordering::Relaxed) > 0 => {
                self.watch = Watch::Nothing;
                return Ok(());
            }
            (HEAD, Watch::Head { behind }) if behind == requests => {
                if !due {
                    return Ok(());
                }
                return Err(self.head_timeout());
            }
            (HEAD, _) => (Watch::Head { behind: requests }, self.times.head),
            (_, Watch::Idle { .. }) if !due => return Ok(()),
            (
                _,
                Watch::Idle {
                    requests: seen,
                    quarters,
                },
            ) if seen == requests => {
                if quarters >= 3 {
                    return self.idle_timeout(phase, cx);
                }
                let quarters = quarters + 1;
                (Watch::Idle { requests, quarters }, self.times.idle / 4)
            }
            _ => {
                let quarters = 0;
                (Watch::Idle { requests, quarters }, self.times.idle / 4)
            }
        };
        self.watch = watch;
        self.timer.as_mut().reset(Instant::now() + span);
        if self.timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        Ok(())
    }

    fn idle_timeout(&mut self, phase: u8, cx: &mut Context<'_>) -> io::Result<()> {
        // A multiplexed connection says goodbye first, so that its client loses no request to a
        // closing connection. If it does not take that, it is closed all the same.
        let is_told = phase != MULTIPLEXED || self.state.expired.swap(true, Ordering::Relaxed);
        if !is_told {
            self.dropped.idle.fetch_add(1, Ordering::Relaxed);
            self.watch = Watch::Nothing;
            cx.waker().wake_by_ref();
            return Ok(());
        }
        if phase != MULTIPLEXED {
            self.dropped.idle.fetch_add(1, Ordering::Relaxed);
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    fn head_timeout(&mut self) -> io::Error {
        self.dropped.head.fetch_add(1, Ordering::Relaxed);
        if self.received && !self.patience.is_tried() {
            // Every earlier answer was written, so the socket takes these few bytes at once; if it
            // does not the client is not listening anyway.
            let _ = self.tcp.try_write(HEAD_TIMEOUT);
        }
        io::ErrorKind::TimedOut.into()
    }

    /// A write that came back: starts, ends or checks the wait for a client that does not read.
    fn wrote(
        &mut self,
        cx: &mut Context<'_>,
        done: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(done) = done {
            self.patience.took(*done.as_ref().unwrap_or(&0));
            return Poll::Ready(done);
        }
        ready!(self.patience.poll_lost(cx));
        self.dropped.reading.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.first.is_empty() {
            let count = this.first.len().min(buf.remaining());
            buf.put_slice(&this.first.split_to(count));
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        match Pin::new(&mut this.tcp).poll_read(cx, buf) {
            Poll::Ready(done) => {
                if buf.filled().len() > before {
                    this.received = true;
                    if this.state.phase.load(Ordering::Relaxed) == IDLE {
                        this.state.phase.store(HEAD, Ordering::Relaxed);
                    }
                }
                Poll::Ready(done)
            }
            Poll::Pending => match this.waits(cx) {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            },
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let done = Pin::new(&mut this.tcp).poll_write(cx, buf);
        this.wrote(cx, done)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let done = Pin::new(&mut this.tcp).poll_write_vectored(cx, bufs);
        this.wrote(cx, done)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let done = Pin::new(&mut this.tcp).poll_flush(cx);
        if done.is_pending() {
            // What is encrypted already waits like any other part of an answer.
            return this.wrote(cx, Poll::Pending).map_ok(|_| ());
        }
        // It is asked for when everything is written: the client has caught up.
        this.patience.caught_up();
        done
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.closing.is_none() {
            ready!(Pin::new(&mut this.tcp).poll_shutdown(cx))?;
            // A head that could not be read was answered early, too.
            let head = this.state.phase.load(Ordering::Relaxed) == HEAD && this.received;
            if !head && !this.state.linger.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
        }
        let closing = this.closing.get_or_insert_with(|| Closing {
            until: Box::pin(tokio::time::sleep(LINGER)),
            bytes_left: LINGER_BYTES_MAX,
        });
        let mut scratch = [0; 4096];
        while closing.until.as_mut().poll(cx).is_pending() && closing.bytes_left > 0 {
            let mut buf = ReadBuf::new(&mut scratch);
            let read = ready!(Pin::new(&mut this.tcp).poll_read(cx, &mut buf));
            let count = buf.filled().len();
            if read.is_err() || count == 0 {
                break;
            }
            closing.bytes_left = closing.bytes_left.saturating_sub(count);
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_early_answer_says_how_long_it_is() {
        let text = std::str::from_utf8(HEAD_TIMEOUT).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("content-length: {}\r\n", body.len())),
            "{}",
            body.len()
        );
    }
}
