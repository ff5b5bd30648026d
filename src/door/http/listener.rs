//! Taking connections: the accept loop, and the life of each connection.
//!
//! A connection is a task, which begins with a TLS handshake where there are certificates. It is told to finish through a flag and a notification of which its
//! waker is registered once, so that a request costs it no more than reading the flag.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
#[cfg(target_os = "linux")]
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::futures::OwnedNotified;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use super::Door;
use super::front::{Front, Shared};
#[cfg(feature = "grpc")]
use super::h2;
#[cfg(feature = "grpc")]
use super::preface::{self, Protocol};
use super::stream::{State, Stream, Times};
use crate::accept::Trouble;
use crate::door::tls::{Refusal, Socket};

/// The longest head of a request, and the largest piece of a body that is read at a time, in bytes.
pub(super) const HEAD_BYTES_MAX: usize = 64 << 10;
/// The most headers of a request.
const HEADERS_MAX: usize = 100;
/// How much the system keeps for a client that does not read, besides what is under way to it.
#[cfg(target_os = "linux")]
const UNSENT_BYTES_MAX: u32 = 256 << 10;
/// How many connections that are turned away may be told why at a time.
const TURNED_AWAY_MAX: usize = 64;
/// How long telling one may take.
const TURN_AWAY: Duration = Duration::from_secs(1);

const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
content-type: application/json\r\ncontent-length: 104\r\nretry-after: 1\r\nconnection: close\r\n\r\n\
{\"error\":\"too_many_connections\",\"message\":\"too many connections are open; try again later\",\"status\":503}";

/// What a client is answered that speaks without TLS where nothing else is taken.
const TLS_ONLY: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
content-type: application/json\r\ncontent-length: 81\r\nconnection: close\r\n\r\n\
{\"error\":\"tls_required\",\"message\":\"this port takes TLS only: https\",\"status\":400}";

/// Tells all connections to finish.
#[derive(Debug, Default)]
struct Stop {
    stopping: AtomicBool,
    notify: Arc<Notify>,
}

/// Takes connections until `shutdown`, then waits until all are closed.
pub(super) async fn serve(door: &Door, listener: TcpListener, shutdown: impl Future<Output = ()>) {
    let stop = Arc::new(Stop::default());
    let turning_away = Arc::new(Semaphore::new(TURNED_AWAY_MAX));
    let mut trouble = Trouble::new("connections");
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(ended) = connections.join_next() => report(ended),
            accepted = listener.accept() => match accepted {
                Ok((tcp, _)) => admit(door, tcp, &stop, &turning_away, &mut connections),
                Err(error) => trouble.meet(&listener, &error, |tcp| reject(door, &tcp)).await,
            },
        }
    }
    drop(listener);
    stop.stopping.store(true, Ordering::Release);
    stop.notify.notify_waiters();
    #[cfg(feature = "grpc")]
    door.grpc.stop();
    while let Some(ended) = connections.join_next().await {
        report(ended);
    }
}

/// A connection ends in silence, whatever its client did; only a panic is ours.
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task panicked; the connection is closed");
    }
}

/// Turns a connection away for which there is no descriptor.
fn reject(door: &Door, tcp: &TcpStream) {
    door.shared.turned_away.fetch_add(1, Ordering::Relaxed);
    if !door.acceptor.is_tls() {
        // What the socket does not take at once is not worth the descriptor.
        let _ = tcp.try_write(FULL);
    }
}

fn admit(
    door: &Door,
    tcp: TcpStream,
    stop: &Arc<Stop>,
    turning_away: &Arc<Semaphore>,
    connections: &mut JoinSet<()>,
) {
    let shared = &door.shared;
    let open = shared.open.fetch_add(1, Ordering::Relaxed);
    let place = Place(Arc::clone(shared));
    if open < shared.context.config.connections_max {
        let connection = connect(door, tcp, stop, place);
        connections.spawn(connection);
        return;
    }
    drop(place);
    shared.turned_away.fetch_add(1, Ordering::Relaxed);
    if door.acceptor.is_tls() {
        // It could not read the reason, and a handshake is what the door has no place for.
        return;
    }
    if let Ok(permit) = Arc::clone(turning_away).try_acquire_owned() {
        connections.spawn(async move {
            // A client that does not take this in time misses the reason, not more.
            let _ = tokio::time::timeout(TURN_AWAY, turn_away(tcp, FULL)).await;
            drop(permit);
        });
    }
}

/// A place among the open connections.
#[derive(Debug)]
struct Place(Arc<Shared>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn turn_away(mut tcp: TcpStream, why: &[u8]) -> io::Result<()> {
    tcp.write_all(why).await?;
    tcp.shutdown().await?;
    // Closing on a request that was not read would reset the connection, and lose the answer.
    let mut scratch = [0; 1024];
    while tcp.read(&mut scratch).await? > 0 {}
    Ok(())
}

fn connect(
    door: &Door,
    tcp: TcpStream,
    stop: &Arc<Stop>,
    place: Place,
) -> impl Future<Output = ()> + use<> {
    // Answers are written whole; waiting for more would only delay them.
    let _ = tcp.set_nodelay(true);
    // A client that stops reading is noticed sooner, and costs the system less. Not every system
    // has it.
    #[cfg(target_os = "linux")]
    let _ = SockRef::from(&tcp).set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
    let (door, stop) = (door.clone(), Arc::clone(stop));
    let mut stopped = Box::pin(Arc::clone(&stop.notify).notified_owned());
    async move {
        let _place = place;
        let socket = if door.acceptor.is_tls() {
            match Box::pin(shake_hands(&door, tcp, &mut stopped)).await {
                Some(socket) => socket,
                None => return,
            }
        } else {
            Socket::Plain(tcp)
        };
        let state = Arc::new(State::default());
        open(&door, socket, &state, stop, stopped).await;
        // It may have become a socket.
        if let Some(next) = state.take_next() {
            next.await;
        }
    }
}

/// The TLS handshake, unless the door closes meanwhile.
async fn shake_hands(
    door: &Door,
    tcp: TcpStream,
    stopped: &mut Pin<Box<OwnedNotified>>,
) -> Option<Socket> {
    let accepted = tokio::select! {
        accepted = door.acceptor.accept(tcp) => accepted,
        () = stopped => return None,
    };
    match accepted {
        Ok(socket) => Some(socket),
        Err(Refusal::Plaintext(tcp)) => {
            let _ = tokio::time::timeout(TURN_AWAY, turn_away(tcp, TLS_ONLY)).await;
            None
        }
        Err(Refusal::Slow | Refusal::Failed) => None,
    }
}

/// A connection from its first request to its last byte, or until it goes on with something else.
async fn open(
    door: &Door,
    socket: Socket,
    state: &Arc<State>,
    stop: Arc<Stop>,
    stopped: Pin<Box<OwnedNotified>>,
) {
    let config = &door.shared.context.config;
    let times = Times {
        head: config.header_timeout,
        idle: config.idle_timeout,
        write: config.write_timeout,
    };
    let stream = Stream::new(
        socket,
        Arc::clone(state),
        times,
        Arc::clone(&door.shared.dropped),
    );
    #[cfg(feature = "grpc")]
    let (mut stream, mut stopped) = (stream, stopped);
    #[cfg(feature = "grpc")]
    match Box::pin(recognise(&mut stream, &mut stopped)).await {
        Some(Protocol::One) => {}
        Some(Protocol::Two) => {
            let connection = h2::Connection::new(door, stream, Arc::clone(state));
            return Life::new(connection, stop, stopped).await;
        }
        None => return,
    }
    let front = Front::new(&door.shared, door.pages.clone(), Arc::clone(state));
    let connection = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        // `stream` does this, for less.
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), front)
        .with_upgrades();
    Life::new(Box::pin(connection), stop, stopped).await;
}

/// What the client speaks; `None` if the connection ended, or the door closes, before it said
/// anything.
#[cfg(feature = "grpc")]
async fn recognise(stream: &mut Stream, stopped: &mut Pin<Box<OwnedNotified>>) -> Option<Protocol> {
    tokio::select! {
        recognised = preface::recognise(stream) => recognised.unwrap_or_default(),
        () = stopped => None,
    }
}

/// What serves the requests of a connection.
pub(super) trait Serve: Future<Output = Result<(), hyper::Error>> + Unpin {
    /// Finishes the requests that are there, and takes no others.
    fn finish(&mut self);
}

impl Serve for Pin<Box<http1::UpgradeableConnection<TokioIo<Stream>, Front>>> {
    fn finish(&mut self) {
        self.as_mut().graceful_shutdown();
    }
}

/// A connection, which is told when to finish.
struct Life<C> {
    connection: C,
    stopped: Pin<Box<OwnedNotified>>,
    /// Whether `stopped` knows this task's waker, which never changes: once is enough.
    listening: bool,
    stop: Arc<Stop>,
    finishing: bool,
}

impl<C: Serve> Life<C> {
    fn new(connection: C, stop: Arc<Stop>, stopped: Pin<Box<OwnedNotified>>) -> Life<C> {
        Life {
            connection,
            stopped,
            listening: false,
            stop,
            finishing: false,
        }
    }
}

impl<C: Serve> Future for Life<C> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if !this.finishing {
            if !this.listening {
                this.listening = true;
                // Whether it has come already is what the flag says, which is set before.
                let _ = this.stopped.as_mut().poll(cx);
            }
            if this.stop.stopping.load(Ordering::Acquire) {
                this.finishing = true;
                this.connection.finish();
            }
        }
        match Pin::new(&mut this.connection).poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => Poll::Ready(()),
            Poll::Ready(Err(error)) => {
                tracing::debug!(%error, "a connection ended early");
                Poll::Ready(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusals_say_how_long_they_are() {
        for refusal in [FULL, TLS_ONLY] {
            let text = std::str::from_utf8(refusal).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            let length = format!("content-length: {}\r\n", body.len());
            assert!(head.contains(&length), "{length}");
        }
    }
}
