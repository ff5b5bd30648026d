//! A connection to a peer that may not be one: bounded until it has authenticated.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use ractor_cluster::{BoxRead, BoxWrite, ClusterBidiStream};
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, BufReader, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tokio_rustls::TlsStream;

use super::super::tls;
use super::strangers::Place;

/// The library reads eight bytes, then the frame in pieces of 8 KiB: a larger buffer saves it most
/// of the calls to the kernel.
const BUFFER_BYTES: usize = 64 * 1024;
/// No handshake needs more.
const HANDSHAKE_BYTES_MAX: usize = 16 * 1024;

/// First two bytes of a TLS handshake, and of an alert: what a frame's length never begins with.
const TLS_RECORDS: [[u8; 2]; 2] = [[22, 3], [21, 3]];

/// What is known of the other end.
#[derive(Debug, Default)]
pub(super) struct Guard {
    /// Whether it has shown that it knows the cookie.
    pub(super) authenticated: AtomicBool,
    /// Whether it has sent anything.
    pub(super) spoke: AtomicBool,
    /// With TLS: the certificate that it has shown.
    shown: Option<Option<CertificateDer<'static>>>,
    blame: Mutex<Option<String>>,
}

impl Guard {
    pub(super) fn without_tls() -> Guard {
        Guard::default()
    }

    pub(super) fn with_certificate(shown: Option<CertificateDer<'static>>) -> Guard {
        Guard {
            shown: Some(shown),
            ..Guard::default()
        }
    }

    /// Whether the peer may call itself so.
    pub(super) fn vouches(&self, node_name: &str) -> Result<(), String> {
        match &self.shown {
            None => Ok(()),
            Some(None) => Err("is missing".to_owned()),
            Some(Some(certificate)) => tls::vouches(certificate, node_name),
        }
    }

    /// Notes what the peer did wrong; the first word stays.
    pub(super) fn blame(&self, why: String) {
        self.blame.lock().get_or_insert(why);
    }

    pub(super) fn blamed(&self) -> Option<String> {
        self.blame.lock().clone()
    }
}

/// With TLS or without.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    pub(super) fn tcp(&self) -> &TcpStream {
        match self {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream.get_ref().0,
        }
    }

    fn split(self) -> (BoxRead, BoxWrite) {
        match self {
            Stream::Plain(stream) => {
                let (read, write) = stream.into_split();
                (Box::new(read), Box::new(write))
            }
            Stream::Tls(stream) => {
                let (read, write) = tokio::io::split(*stream);
                (Box::new(read), Box::new(write))
            }
        }
    }
}

/// The stream that is handed to the library.
pub(super) struct GuardedStream {
    stream: Stream,
    label: String,
    guard: Arc<Guard>,
    place: Option<Place>,
    deadline: Instant,
}

impl GuardedStream {
    pub(super) fn new(
        stream: Stream,
        label: String,
        guard: Arc<Guard>,
        place: Option<Place>,
        deadline: Instant,
    ) -> GuardedStream {
        GuardedStream {
            stream,
            label,
            guard,
            place,
            deadline,
        }
    }
}

impl ClusterBidiStream for GuardedStream {
    fn split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        let (read, write) = self.stream.split();
        let read = GuardedRead {
            read: BufReader::with_capacity(BUFFER_BYTES, read),
            guard: self.guard,
            place: self.place,
            timeout: Box::pin(tokio::time::sleep_until(self.deadline)),
            bytes: 0,
            trusted: false,
        };
        (Box::new(read), write)
    }

    fn peer_label(&self) -> Option<String> {
        Some(self.label.clone())
    }
}

struct GuardedRead {
    read: BufReader<BoxRead>,
    guard: Arc<Guard>,
    /// A place among the strangers; given back once the peer has authenticated.
    place: Option<Place>,
    timeout: Pin<Box<Sleep>>,
    bytes: usize,
    trusted: bool,
}

impl GuardedRead {
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.guard.authenticated.load(Ordering::Relaxed) {
            self.trusted = true;
            self.place = None;
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

impl GuardedRead {
    /// Takes note of what came before the peer had authenticated.
    fn heard(&mut self, read: &io::Result<()>, bytes: &[u8]) {
        if let Some(why) = read.as_ref().err().and_then(tls::complaint) {
            self.guard.spoke.store(true, Ordering::Relaxed);
            self.guard.blame(why);
        }
        let first = self.bytes == 0;
        if first && TLS_RECORDS.iter().any(|record| bytes.starts_with(record)) {
            let why = "it speaks TLS, and this node has no certificates (cluster-cert)";
            self.guard.blame(why.to_owned());
        }
        self.bytes += bytes.len();
        if self.bytes > 0 {
            self.guard.spoke.store(true, Ordering::Relaxed);
        }
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
        let read = ready!(Pin::new(&mut self.read).poll_read(context, buffer));
        if !self.trusted {
            self.heard(&read, &buffer.filled()[before..]);
        }
        Poll::Ready(read)
    }
}
