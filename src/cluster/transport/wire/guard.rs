//! A connection to a peer that may not be one: bounded until it has authenticated.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ractor_cluster::{BoxRead, BoxWrite, ClusterBidiStream};
use tokio::io::{AsyncRead, BufReader, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;

/// The library reads eight bytes, then the frame in pieces of 8 KiB: a larger buffer saves it most
/// of the calls to the kernel.
const BUFFER_BYTES: usize = 64 * 1024;
/// No handshake needs more.
const HANDSHAKE_BYTES_MAX: usize = 16 * 1024;

/// What is known of the other end.
#[derive(Debug, Default)]
pub(super) struct Guard {
    /// Whether it has shown that it knows the cookie.
    pub(super) authenticated: AtomicBool,
    /// Whether it has sent anything.
    pub(super) spoke: AtomicBool,
}

/// The stream that is handed to the library.
pub(super) struct GuardedStream {
    stream: TcpStream,
    label: String,
    guard: Arc<Guard>,
    permit: Option<OwnedSemaphorePermit>,
    timeout: Duration,
}

impl GuardedStream {
    pub(super) fn new(
        stream: TcpStream,
        label: String,
        guard: Arc<Guard>,
        permit: Option<OwnedSemaphorePermit>,
        timeout: Duration,
    ) -> GuardedStream {
        GuardedStream {
            stream,
            label,
            guard,
            permit,
            timeout,
        }
    }
}

impl ClusterBidiStream for GuardedStream {
    fn split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        let (read, write) = self.stream.into_split();
        let read = GuardedRead {
            read: BufReader::with_capacity(BUFFER_BYTES, read),
            guard: self.guard,
            permit: self.permit,
            timeout: Box::pin(tokio::time::sleep(self.timeout)),
            bytes: 0,
            trusted: false,
        };
        (Box::new(read), Box::new(write))
    }

    fn peer_label(&self) -> Option<String> {
        Some(self.label.clone())
    }
}

struct GuardedRead {
    read: BufReader<OwnedReadHalf>,
    guard: Arc<Guard>,
    /// A place among the strangers; given back once the peer has authenticated.
    permit: Option<OwnedSemaphorePermit>,
    timeout: Pin<Box<Sleep>>,
    bytes: usize,
    trusted: bool,
}

impl GuardedRead {
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.guard.authenticated.load(Ordering::Relaxed) {
            self.trusted = true;
            self.permit = None;
        } else if self.bytes > HANDSHAKE_BYTES_MAX {
            let why = "a peer sent too much before it had authenticated";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        } else if self.timeout.as_mut().poll(context).is_ready() {
            let why = "a peer did not authenticate in time";
            return Err(io::Error::new(io::ErrorKind::TimedOut, why));
        }
        Ok(())
    }
}

impl AsyncRead for GuardedRead {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.trusted {
            self.check(context)?;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.read).poll_read(context, buffer))?;
        if !self.trusted {
            self.bytes += buffer.filled().len() - before;
            self.guard.spoke.store(self.bytes > 0, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}
