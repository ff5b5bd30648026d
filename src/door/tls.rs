//! TLS at the doors: one certificate for all of them.
//!
//! A door has an [`Acceptor`], and gives it each connection that it has taken; what comes back is a
//! [`Socket`], which reads and writes plain bytes whether there is TLS beneath it or not. Without
//! certificates an acceptor gives connections back as they are.
//!
//! What holds where there are certificates:
//!
//! - Nobody gets in without TLS, 1.2 or 1.3. A client that speaks plainly is told of in the log, now
//!   and then, and given back as [`Refusal::Plaintext`], so that its door can say why in words that
//!   the client understands, before it closes.
//! - A handshake takes no longer than the time of the acceptor, waiting included. At most
//!   [`HANDSHAKES_MAX`] of all doors together are in work at a time: they are what costs. Who has not
//!   yet said all of its hello does not count among them, so that the silent do not keep others out.
//! - With `tls-client-ca` who shows no certificate of that authority is refused.
//! - The files are read again when they change ([`Tls::watch`]): new ones count for the handshakes
//!   that follow, connections that are open stay. New ones that are no good change nothing.
//!
//! Used by the listeners of the doors.

mod material;
mod socket;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rustls::server::Acceptor as Hello;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::LazyConfigAcceptor;

use self::material::Certificates;
pub use self::socket::Socket;
use crate::accept::Seldom;
use crate::files::{Error, Live, Reloads};

/// Most handshakes in work at a time.
pub const HANDSHAKES_MAX: usize = 128;
/// How every record of a TLS handshake begins (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

/// Where the certificates are: PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The doors' certificate first, then what leads from it to an authority.
    pub cert: PathBuf,
    /// The key of the first certificate.
    pub key: PathBuf,
    /// The authorities one of which must have signed the certificates of clients; without it clients
    /// need none.
    pub client_ca: Option<PathBuf>,
}

/// What is spoken behind the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP, and gRPC with it.
    Http,
    /// The Redis protocol.
    Redis,
}

impl Speaks {
    /// What clients may offer by ALPN (RFC 7301); one that offers only other protocols is refused,
    /// so that no browser is led to a door whose language it does not speak. One that offers nothing
    /// is taken.
    fn protocols(self) -> &'static [&'static [u8]] {
        match self {
            #[cfg(feature = "grpc")]
            Speaks::Http => &[b"h2", b"http/1.1"],
            #[cfg(not(feature = "grpc"))]
            Speaks::Http => &[b"http/1.1"],
            Speaks::Redis => &[b"redis"],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Speaks::Http => "HTTP",
            Speaks::Redis => "Redis",
        }
    }
}

/// What became of handshakes and files, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Handshakes that were completed.
    pub done: u64,
    /// Connections that were not TLS.
    pub plaintext: u64,
    /// Handshakes that were not done in time.
    pub slow: u64,
    /// Handshakes that failed otherwise.
    pub failed: u64,
    /// What became of changed files.
    pub reloads: Reloads,
    /// When the certificate in use ends, in seconds since 1970; `None` if it does not say.
    pub not_after_s: Option<u64>,
}

/// The certificates, and the handshakes made with them; cheap to clone. See the module.
#[derive(Clone, Debug)]
pub struct Tls(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    live: Arc<Live<Certificates>>,
    in_work: Semaphore,
    counters: Counters,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Counters {
    done: AtomicU64,
    plaintext: AtomicU64,
    slow: AtomicU64,
    failed: AtomicU64,
}

/// When the log was told of what.
#[derive(Debug, Default)]
struct Told {
    plaintext: Seldom,
    failed: Seldom,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// When one of them cannot be read, is not what it should be, or does not go with the others.
    pub fn load(paths: Paths) -> Result<Tls, Error> {
        let live = Arc::new(Live::load(Certificates(paths))?);
        Ok(Tls(Arc::new(Shared {
            live,
            in_work: Semaphore::new(HANDSHAKES_MAX),
            counters: Counters::default(),
            told: Mutex::default(),
        })))
    }

    /// Looks at the files from time to time, without end, and puts new ones to use.
    pub async fn watch(self) {
        Arc::clone(&self.0.live).watch().await;
    }

    /// See [`Figures`].
    #[must_use]
    pub fn figures(&self) -> Figures {
        let counters = &self.0.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            done: read(&counters.done),
            plaintext: read(&counters.plaintext),
            slow: read(&counters.slow),
            failed: read(&counters.failed),
            reloads: self.0.live.reloads(),
            not_after_s: self.0.live.present().not_after_s,
        }
    }
}

/// Why a connection does not get in. The log has been told.
#[derive(Debug)]
pub enum Refusal {
    /// It speaks without TLS; nothing was read from it yet.
    Plaintext(TcpStream),
    /// The handshake was not done in time.
    Slow,
    /// The handshake failed, or the client went away.
    Failed,
}

/// Makes what a door has taken into what it reads and writes; cheap to clone.
#[derive(Clone, Debug)]
pub struct Acceptor {
    tls: Option<Tls>,
    speaks: Speaks,
    time: Duration,
}

impl Acceptor {
    /// For a door that speaks so; `time` is the longest that a handshake may take. Without `tls`
    /// there are none.
    #[must_use]
    pub fn new(tls: Option<Tls>, speaks: Speaks, time: Duration) -> Acceptor {
        Acceptor { tls, speaks, time }
    }

    /// Whether there is TLS at this door.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// The handshake, if there is one to be had. Dropping this closes the connection.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn accept(&self, tcp: TcpStream) -> Result<Socket, Refusal> {
        let Some(tls) = &self.tls else {
            return Ok(Socket::Plain(tcp));
        };
        let peer = tcp.peer_addr().ok();
        // It is large, and over soon: a connection must not carry its room for all of its life.
        let handshake = Box::pin(tls.0.handshake(tcp, self.speaks));
        let shaken = tokio::time::timeout(self.time, handshake).await;
        let (counters, door) = (&tls.0.counters, self.speaks.name());
        let peer = peer.map(|peer| peer.to_string()).unwrap_or_default();
        match shaken {
            Ok(Ok(Shaken::Done(socket))) => {
                counters.done.fetch_add(1, Ordering::Relaxed);
                return Ok(socket);
            }
            Ok(Ok(Shaken::Plaintext(tcp))) => {
                counters.plaintext.fetch_add(1, Ordering::Relaxed);
                let told = tls.0.told.lock().plaintext.happened();
                if let Some(times) = told {
                    tracing::warn!(
                        peer,
                        times,
                        "a client speaks without TLS at the {door} door, which takes nothing else \
                         (tls-cert); it is turned away"
                    );
                }
                return Err(Refusal::Plaintext(tcp));
            }
            Ok(Err(error)) => {
                counters.failed.fetch_add(1, Ordering::Relaxed);
                let is_tls = error.get_ref().is_some_and(|why| why.is::<rustls::Error>());
                let told = is_tls.then(|| tls.0.told.lock().failed.happened());
                match told.flatten() {
                    Some(times) => tracing::warn!(
                        peer, times, %error,
                        "a TLS handshake with a client failed at the {door} door"
                    ),
                    None => tracing::debug!(peer, %error, "a TLS handshake at the {door} door"),
                }
            }
            Err(_) => {
                counters.slow.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(peer, "a TLS handshake at the {door} door took too long");
                return Err(Refusal::Slow);
            }
        }
        Err(Refusal::Failed)
    }
}

enum Shaken {
    Done(Socket),
    Plaintext(TcpStream),
}

impl Shared {
    async fn handshake(&self, tcp: TcpStream, speaks: Speaks) -> io::Result<Shaken> {
        let mut first = [0];
        if tcp.peek(&mut first).await? == 1 && first[0] != HANDSHAKE {
            return Ok(Shaken::Plaintext(tcp));
        }
        let started = LazyConfigAcceptor::new(Hello::default(), tcp).await?;
        // It is never closed; there is no error to be had.
        let _permit = self.in_work.acquire().await;
        let config = self.live.present().config(speaks);
        let stream = started.into_stream(config).await?;
        Ok(Shaken::Done(Socket::Tls(Box::new(stream))))
    }
}

#[cfg(test)]
mod tests;
