//! From a TCP connection to one that the library takes over: bounds, and TLS.
//!
//! Whoever is accepted takes a place among the strangers, and keeps it until it has authenticated or
//! its time is over; who finds no place is closed at once. The time runs from the accept on, for TLS
//! and the cookie together. A handshake is a task of its own, so that nobody waits for another's.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ractor_cluster::NodeServerMessage;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout, timeout_at};

use super::super::Event;
use super::super::tls::{self, Tls};
use super::guard::{Guard, GuardedStream, Stream};
use super::strangers::Place;
use super::{CONNECT_TIMEOUT, Connection, HANDSHAKE_TIMEOUT, Inner};
use crate::accept::Trouble;

/// A TCP connection on its way.
struct Pending {
    peer: SocketAddr,
    /// The address that was dialled, if it was this node that did.
    dialled: Option<String>,
    /// A place among the strangers, for those that were accepted.
    place: Option<Place>,
    deadline: Instant,
}

/// Accepts peers, without end.
pub(super) async fn accept(inner: Arc<Inner>, listener: TcpListener) {
    let mut trouble = Trouble::new("peers");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => inner.accepted(stream, peer),
            Err(error) => trouble.meet(&listener, &error, drop).await,
        }
    }
}

impl Inner {
    fn accepted(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let Some(place) = self.strangers.admit(peer.ip()) else {
            let turned_away = &self.counters.turned_away;
            turned_away.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%peer, "too many unauthenticated peers; closed");
            return;
        };
        let pending = Pending {
            peer,
            dialled: None,
            place: Some(place),
            deadline: Instant::now() + HANDSHAKE_TIMEOUT,
        };
        match self.tls.clone() {
            Some(tls) => drop(tokio::spawn(Arc::clone(self).encrypt(stream, pending, tls))),
            None => self.open_plain(stream, pending),
        }
    }

    /// Dials a peer.
    pub(super) async fn connect(self: Arc<Inner>, address: String) {
        let connecting = timeout(CONNECT_TIMEOUT, TcpStream::connect(&address));
        let stream = match connecting.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                let refused = error.kind() == io::ErrorKind::ConnectionRefused;
                let error = error.to_string();
                return (self.sink)(Event::DialFailed {
                    address,
                    error,
                    refused,
                });
            }
            Err(_) => return self.dial_failed(address, "timed out".to_owned()),
        };
        let (peer, local) = match (stream.peer_addr(), stream.local_addr()) {
            (Ok(peer), Ok(local)) => (peer, local),
            (Err(error), _) | (_, Err(error)) => {
                return self.dial_failed(address, error.to_string());
            }
        };
        if peer.ip() == local.ip() && peer.port() == self.address.port() {
            (self.sink)(Event::DialledSelf { address });
            return;
        }
        let pending = Pending {
            peer,
            dialled: Some(address),
            place: None,
            deadline: Instant::now() + HANDSHAKE_TIMEOUT,
        };
        match self.tls.clone() {
            Some(tls) => self.encrypt(stream, pending, tls).await,
            None => self.open_plain(stream, pending),
        }
    }

    pub(super) fn dial_failed(&self, address: String, error: String) {
        (self.sink)(Event::DialFailed {
            address,
            error,
            refused: false,
        });
    }

    fn open_plain(&self, stream: TcpStream, pending: Pending) {
        let guard = Arc::new(Guard::without_tls());
        self.open(Stream::Plain(stream), guard, pending);
    }

    /// The TLS handshake, within the time for all of the handshake.
    async fn encrypt(self: Arc<Self>, stream: TcpStream, pending: Pending, tls: Arc<Tls>) {
        let handshake = async {
            match pending.dialled {
                Some(_) => tls.connect(stream, pending.peer.ip()).await,
                None => tls.accept(stream).await,
            }
        };
        let late = io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long");
        let shaken = timeout_at(pending.deadline, handshake).await;
        let stream = match shaken.unwrap_or(Err(late)) {
            Ok(stream) => stream,
            Err(error) => return self.tls_failed(pending, &error),
        };
        let guard = Arc::new(Guard::with_certificate(tls::shown(&stream)));
        self.open(Stream::Tls(Box::new(stream)), guard, pending);
    }

    fn tls_failed(&self, pending: Pending, error: &io::Error) {
        let blame = tls::complaint(error);
        tracing::debug!(peer = %pending.peer, %error, "a TLS handshake failed");
        // Who connects and goes away again is a probe; who stays and says nothing takes a place.
        let told =
            blame.is_some() || pending.dialled.is_some() || error.kind() == io::ErrorKind::TimedOut;
        if told {
            let host = pending.peer.ip().to_canonical().to_string();
            let address = pending.dialled.as_deref().unwrap_or(&host);
            self.complain(address, blame.as_deref());
        }
        if let Some(address) = pending.dialled {
            let error = match blame {
                Some(why) => format!("the handshake failed: {why}"),
                None => format!("the TLS handshake failed: {error}"),
            };
            self.dial_failed(address, error);
        }
    }

    /// Gives a connection to the library.
    fn open(&self, stream: Stream, guard: Arc<Guard>, pending: Pending) {
        // Small frames must not wait for more; without the option it is only slower.
        let _ = stream.tcp().set_nodelay(true);
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        let label = format!("{}/{number}", pending.peer);
        let is_server = pending.dialled.is_none();
        let connection = Connection {
            guard: Arc::clone(&guard),
            dialled: pending.dialled,
            host: pending.peer.ip().to_canonical().to_string(),
            ready: false,
        };
        self.connections.lock().insert(label.clone(), connection);
        let stream = GuardedStream::new(stream, label, guard, pending.place, pending.deadline);
        let stream = Box::new(stream);
        let opened = NodeServerMessage::ConnectionOpenedExternal { stream, is_server };
        if self.server.cast(opened).is_err() {
            tracing::error!("the node server is gone; the connection was closed");
        }
    }
}
