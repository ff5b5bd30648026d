//! Datagrams between nodes: UDP on the number of the cluster's port, every one sealed.
//!
//! [`Datagrams`] adds them to a transport of sessions. They carry what the members gossip: small,
//! repeated, and allowed to be lost. What comes in is opened by an [`Opener`], and what does not
//! open is counted and forgotten: whoever has no cookie learns nothing, not even that somebody
//! listens. Both directions have bounds: datagrams queued, datagrams opened in a second, and
//! senders remembered. A network that fails is counted, never fatal: sessions go on without.

mod seal;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

pub use self::seal::{DATAGRAM_BYTES_MAX, Keys, Opener, PACKET_BYTES_MAX, Refusal, Sealer};

use super::{Event, Identity, SessionId, Sink, Transport};

/// Datagrams that wait to be sent; further ones are dropped.
const QUEUED_MAX: usize = 1024;
/// Datagrams that are opened in a second; further ones are dropped, so that a flood costs little.
const PER_SECOND_MAX: u32 = 5_000;
/// How long the address of a host name is used before it is looked up again.
const RESOLVED_FOR: Duration = Duration::from_secs(10);
/// Host names whose addresses are remembered.
const NAMES_MAX: usize = 1024;

/// What was counted of datagrams.
#[derive(Debug, Default)]
pub struct Counters {
    sent: AtomicU64,
    received: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

/// The present figures of [`Counters`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sent.
    pub sent: u64,
    /// Received and opened.
    pub received: u64,
    /// Received and dropped: foreign, broken, seen before, or too many.
    pub refused: u64,
    /// Not sent or not received because the system or a queue could not.
    pub failed: u64,
}

impl Counters {
    /// The figures now.
    #[must_use]
    pub fn get(&self) -> Counts {
        Counts {
            sent: self.sent.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What datagrams are made with.
#[derive(Debug)]
pub struct Options {
    /// This node.
    pub identity: Identity,
    /// Bound to the cluster's port.
    pub socket: std::net::UdpSocket,
    /// What they are sealed with.
    pub keys: Keys,
    /// Where their tasks run: the transport's thread.
    pub runtime: Handle,
}

/// A transport of sessions, with datagrams beside them. See the module.
#[derive(Debug)]
pub struct Datagrams {
    sessions: Arc<dyn Transport>,
    queue: mpsc::Sender<(String, Vec<u8>)>,
    counters: Arc<Counters>,
    tasks: [AbortHandle; 2],
}

impl Datagrams {
    /// Starts sending and receiving beside `sessions`.
    ///
    /// # Errors
    /// When the system refuses the socket.
    pub fn start(
        options: Options,
        sessions: Arc<dyn Transport>,
        sink: Sink,
    ) -> std::io::Result<Datagrams> {
        let Options {
            identity,
            socket,
            keys,
            runtime,
        } = options;
        socket.set_nonblocking(true)?;
        let socket = {
            let _here = runtime.enter();
            Arc::new(UdpSocket::from_std(socket)?)
        };
        let counters = Arc::new(Counters::default());
        let (queue, queued) = mpsc::channel(QUEUED_MAX);
        let sealer = Sealer::new(&keys, identity.id, identity.boot_epoch);
        let send = send(
            Arc::clone(&socket),
            sealer,
            queued,
            runtime.clone(),
            Arc::clone(&counters),
        );
        let receive = receive(socket, Opener::new(keys), sink, Arc::clone(&counters));
        let tasks = [
            runtime.spawn(send).abort_handle(),
            runtime.spawn(receive).abort_handle(),
        ];
        Ok(Datagrams {
            sessions,
            queue,
            counters,
            tasks,
        })
    }

    /// What was counted.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Transport for Datagrams {
    fn dial(&self, address: &str) {
        self.sessions.dial(address);
    }

    fn send(&self, session: SessionId, frame: Vec<u8>) {
        self.sessions.send(session, frame);
    }

    fn datagram(&self, to: &str, packet: Vec<u8>) {
        if self.queue.try_send((to.to_owned(), packet)).is_err() {
            count(&self.counters.failed);
        }
    }

    fn close(&self, session: SessionId, reason: &str) {
        self.sessions.close(session, reason);
    }

    fn shutdown(&self) {
        self.tasks.iter().for_each(AbortHandle::abort);
        self.sessions.shutdown();
    }
}

async fn send(
    socket: Arc<UdpSocket>,
    mut sealer: Sealer,
    mut queued: mpsc::Receiver<(String, Vec<u8>)>,
    runtime: Handle,
    counters: Arc<Counters>,
) {
    let over_ipv6 = socket.local_addr().is_ok_and(|address| address.is_ipv6());
    let names = Names::new(runtime);
    while let Some((to, packet)) = queued.recv().await {
        let (Some(to), Some(sealed)) = (names.address(&to), sealer.seal(&packet)) else {
            count(&counters.failed);
            continue;
        };
        match socket.send_to(&sealed, reachable(to, over_ipv6)).await {
            Ok(_) => count(&counters.sent),
            Err(_) => count(&counters.failed),
        }
    }
}

/// A socket of IPv6 reaches IPv4 at mapped addresses.
fn reachable(address: SocketAddr, over_ipv6: bool) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if over_ipv6 => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        _ => address,
    }
}

async fn receive(socket: Arc<UdpSocket>, mut opener: Opener, sink: Sink, counters: Arc<Counters>) {
    const AFTER_AN_ERROR: Duration = Duration::from_millis(10);
    // One more byte shows that a datagram is longer than it may be.
    let mut buffer = [0; DATAGRAM_BYTES_MAX + 1];
    let mut budget = Budget::new();
    loop {
        let (bytes, from) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(_) => {
                count(&counters.failed);
                tokio::time::sleep(AFTER_AN_ERROR).await;
                continue;
            }
        };
        if !budget.take(Instant::now()) {
            count(&counters.refused);
            continue;
        }
        let Ok(packet) = opener.open(&buffer[..bytes]) else {
            count(&counters.refused);
            continue;
        };
        count(&counters.received);
        let from = SocketAddr::new(from.ip().to_canonical(), from.port()).to_string();
        sink(Event::Datagram { from, packet });
    }
}

/// How many datagrams may still be opened in this second.
struct Budget {
    since: Instant,
    left: u32,
}

impl Budget {
    fn new() -> Budget {
        Budget {
            since: Instant::now(),
            left: PER_SECOND_MAX,
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            (self.since, self.left) = (now, PER_SECOND_MAX);
        }
        let some = self.left > 0;
        self.left = self.left.saturating_sub(1);
        some
    }
}

/// The addresses of host names, looked up beside the sending: a datagram does not wait for it.
struct Names {
    runtime: Handle,
    known: Arc<parking_lot::Mutex<HashMap<String, Name>>>,
}

#[derive(Clone, Copy)]
struct Name {
    address: Option<SocketAddr>,
    looked_up: Instant,
}

impl Names {
    fn new(runtime: Handle) -> Names {
        Names {
            runtime,
            known: Arc::default(),
        }
    }

    fn address(&self, to: &str) -> Option<SocketAddr> {
        if let Ok(address) = to.parse() {
            return Some(address);
        }
        let now = Instant::now();
        let mut known = self.known.lock();
        let found = known.get(to).copied();
        let stale = |name: Name| now.duration_since(name.looked_up) >= RESOLVED_FOR;
        if found.is_none_or(stale) {
            if known.len() >= NAMES_MAX {
                known.clear();
            }
            let address = found.and_then(|name| name.address);
            let looked_up = now;
            known.insert(to.to_owned(), Name { address, looked_up });
            self.look_up(to.to_owned());
        }
        found?.address
    }

    fn look_up(&self, to: String) {
        let known = Arc::clone(&self.known);
        self.runtime.spawn(async move {
            // A name that cannot be looked up keeps the address that it had.
            let found = tokio::net::lookup_host(to.as_str()).await;
            let address = found.ok().and_then(|mut addresses| addresses.next());
            if let (Some(name), true) = (known.lock().get_mut(&to), address.is_some()) {
                name.address = address;
            }
        });
    }
}

#[cfg(test)]
mod tests;
