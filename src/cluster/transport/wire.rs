//! The real transport: frames over ractor_cluster.
//!
//! ractor_cluster authenticates a session with the cookie and carries casts to remote actors. Each
//! node has one remotable actor, its `Endpoint`, which takes frames as plain bytes. What the
//! library leaves open is closed here:
//!
//! - Connections come from our own accept loop, which bounds them, and end if they are not
//!   authenticated within a few seconds or send more than a handshake needs. The library's own
//!   listener sits on a loopback port of the system's choice, and what comes over it is dropped.
//! - A cast does not say which session it came over, so each frame ends with its sender's identity.
//! - The boot epoch is part of the name in the handshake, so that a node that comes back is another
//!   peer than its dead self.
//! - All of it runs on a thread of its own with a single-threaded runtime: a frame passes through
//!   half a dozen mailboxes, and on one thread none of these hops needs the kernel.
//!
//! Process groups are global to a process, so one process can have one such transport.

mod complaints;
mod frames;
mod guard;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use ractor::{Actor, ActorProcessingErr, ActorRef, pg};
use ractor_cluster::node::NodeServerSessionInformation;
use ractor_cluster::{NodeEventSubscription, NodeServer, NodeServerMessage, NodeSessionMessage};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use self::complaints::Complaints;
use self::frames::{Early, add_trailer, take_trailer};
use self::guard::{Guard, GuardedStream};
use super::{Event, Identity, SessionId, Sink, Transport};
use crate::version::NodeId;

/// Largest frame that is accepted from a peer, in bytes.
pub const FRAME_BYTES_MAX: u64 = 1 << 20;
/// Longest time for a new connection to authenticate.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Most connections that have not authenticated yet.
const STRANGERS_MAX: usize = 64;
/// Separates the name from the boot epoch in the handshake.
const EPOCH_MARK: char = '#';
const SCOPE: &str = "smache";

/// What a transport is made with.
#[derive(Debug)]
pub struct Options {
    /// This node.
    pub identity: Identity,
    /// Where peers connect to; not yet accepted from.
    pub listener: std::net::TcpListener,
    /// The shared secret.
    pub cookie: String,
}

/// Why a transport could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The listener or the thread.
    #[error("cannot start the cluster's transport: {0}")]
    Io(#[from] std::io::Error),
    /// An actor.
    #[error("cannot start the cluster's actors: {0}")]
    Spawn(#[from] ractor::SpawnErr),
    /// The thread ended before it was ready.
    #[error("the cluster's thread ended at its start")]
    Thread,
}

/// See the module. Its thread stops when it is dropped.
#[derive(Debug)]
pub struct WireTransport {
    inner: Arc<Inner>,
    thread: Thread,
}

struct Inner {
    identity: Identity,
    address: SocketAddr,
    sink: Sink,
    server: ActorRef<NodeServerMessage>,
    /// Connections by their label, from accept or dial to their end.
    connections: Mutex<HashMap<String, Connection>>,
    /// Sessions that are ready.
    sessions: Mutex<HashMap<SessionId, Session>>,
    by_peer: Mutex<HashMap<(NodeId, u64), SessionId>>,
    early: Mutex<Early>,
    last: AtomicU64,
    strangers: Arc<Semaphore>,
    complaints: Mutex<Complaints>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

struct Connection {
    guard: Arc<Guard>,
    dialled: Option<String>,
    host: String,
    ready: bool,
}

struct Session {
    peer: (NodeId, u64),
    endpoint: ActorRef<Vec<u8>>,
    actor: ActorRef<NodeSessionMessage>,
    label: String,
    /// Frames sent and received.
    sent: u64,
    received: u64,
}

impl Session {
    /// Whether a frame with this number is the next one. Casts carry no session, so what an ended
    /// session left in a mailbox may turn up in its successor: before the first frame of its own
    /// it is dropped. Later, a gap means that a frame is lost, and the session with it.
    fn accept(&mut self, number: u64) -> bool {
        let next = number == self.received;
        if next {
            self.received += 1;
        } else if self.received > 0 {
            tracing::warn!(label = self.label, number, "a frame of a peer is missing");
            self.actor.stop(Some("a frame is missing".to_owned()));
        }
        next
    }
}

/// The thread of the transport, with its runtime.
#[derive(Debug)]
pub struct Thread {
    runtime: Handle,
    stop: Arc<tokio::sync::Notify>,
}

impl Thread {
    /// Starts it.
    ///
    /// # Errors
    /// When the system has no thread or no event queue to give.
    pub fn start() -> std::io::Result<Thread> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        let stop = Arc::new(tokio::sync::Notify::new());
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("smache-cluster".to_owned());
        thread.spawn(move || {
            runtime.block_on(stopped.notified());
            runtime.shutdown_timeout(Duration::from_millis(200));
        })?;
        Ok(Thread {
            runtime: handle,
            stop,
        })
    }

    /// What everything about peers should run on.
    #[must_use]
    pub fn runtime(&self) -> Handle {
        self.runtime.clone()
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.stop.notify_one();
    }
}

impl WireTransport {
    /// Starts the actors and the accept loop on their thread.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn start(
        thread: Thread,
        options: Options,
        sink: Sink,
    ) -> Result<WireTransport, Error> {
        let started = thread.runtime.spawn(start_actors(options, sink)).await;
        let inner = started.map_err(|_| Error::Thread)??;
        Ok(WireTransport { inner, thread })
    }

    /// Where peers connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.inner.address
    }
}

async fn start_actors(options: Options, sink: Sink) -> Result<Arc<Inner>, Error> {
    options.listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(options.listener)?;
    let address = listener.local_addr()?;
    let wire_name = wire_name(&options.identity);
    let (name, host) = wire_name.split_once('@').unwrap_or((&wire_name, ""));
    let loopback = std::net::Ipv4Addr::LOCALHOST.into();
    let server = NodeServer::new(0, options.cookie, name.into(), host.into(), None, None)
        .with_listen_addr(loopback)
        .with_max_inbound_frame_size(FRAME_BYTES_MAX);
    let (server, _) = Actor::spawn(None, server, ()).await?;
    let inner = Arc::new(Inner {
        identity: options.identity,
        address,
        sink,
        server: server.clone(),
        connections: Mutex::default(),
        sessions: Mutex::default(),
        by_peer: Mutex::default(),
        early: Mutex::default(),
        last: AtomicU64::new(0),
        strangers: Arc::new(Semaphore::new(STRANGERS_MAX)),
        complaints: Mutex::default(),
    });
    let (endpoint, _) = Actor::spawn(None, Endpoint, Arc::clone(&inner)).await?;
    pg::join_scoped(SCOPE.into(), wire_name, vec![endpoint.get_cell()]);
    let subscription = Box::new(Subscription(Arc::clone(&inner)));
    // The actor has just been spawned; if it is gone already, nothing will connect, and the
    // supervisor of the node will say so.
    let _ = server.cast(NodeServerMessage::SubscribeToEvents {
        id: SCOPE.into(),
        subscription,
    });
    tokio::spawn(accept(Arc::clone(&inner), listener));
    Ok(inner)
}

/// `name@host#epoch`: unique for each start of a node.
fn wire_name(identity: &Identity) -> String {
    format!("{}{EPOCH_MARK}{:x}", identity.name, identity.boot_epoch)
}

fn parse_wire_name(text: &str) -> Option<Identity> {
    let (name, epoch) = text.rsplit_once(EPOCH_MARK)?;
    Some(Identity::new(name, u64::from_str_radix(epoch, 16).ok()?))
}

async fn accept(inner: Arc<Inner>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => match Arc::clone(&inner.strangers).try_acquire_owned() {
                Ok(permit) => inner.open(stream, peer, None, Some(permit)),
                Err(_) => tracing::debug!(%peer, "too many unauthenticated peers; closed"),
            },
            Err(error) => {
                // Out of file descriptors, most likely: others will be closed.
                tracing::warn!(%error, "cannot accept a peer");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

impl Inner {
    fn open(
        self: &Arc<Inner>,
        stream: TcpStream,
        peer: SocketAddr,
        dialled: Option<String>,
        permit: Option<tokio::sync::OwnedSemaphorePermit>,
    ) {
        // Small frames must not wait for more; without the option it is only slower.
        let _ = stream.set_nodelay(true);
        let label = format!("{peer}/{}", self.last.fetch_add(1, Ordering::Relaxed));
        let guard = Arc::new(Guard::default());
        let is_server = dialled.is_none();
        let host = peer.ip().to_canonical().to_string();
        let connection = Connection {
            guard: Arc::clone(&guard),
            dialled,
            host,
            ready: false,
        };
        self.connections.lock().insert(label.clone(), connection);
        let stream = Box::new(GuardedStream::new(
            stream,
            label,
            guard,
            permit,
            HANDSHAKE_TIMEOUT,
        ));
        let opened = NodeServerMessage::ConnectionOpenedExternal { stream, is_server };
        if self.server.cast(opened).is_err() {
            tracing::error!("the node server is gone; the connection was closed");
        }
    }

    async fn connect(self: Arc<Inner>, address: String) {
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(&address));
        let stream = match connecting.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                let refused = error.kind() == std::io::ErrorKind::ConnectionRefused;
                let error = error.to_string();
                return (self.sink)(Event::DialFailed {
                    address,
                    error,
                    refused,
                });
            }
            Err(_) => return self.dial_failed(address, "timed out".to_owned()),
        };
        match (stream.peer_addr(), stream.local_addr()) {
            (Ok(peer), Ok(local))
                if peer.ip() == local.ip() && peer.port() == self.address.port() =>
            {
                (self.sink)(Event::DialledSelf { address });
            }
            (Ok(peer), _) => self.open(stream, peer, Some(address), None),
            (Err(error), _) => self.dial_failed(address, error.to_string()),
        }
    }

    fn dial_failed(&self, address: String, error: String) {
        (self.sink)(Event::DialFailed {
            address,
            error,
            refused: false,
        });
    }

    fn ready(&self, session: NodeServerSessionInformation) {
        let named = session.peer_name.as_ref().map(|name| name.name.clone());
        let Some((wire_name, peer)) =
            named.and_then(|name| parse_wire_name(&name).map(|peer| (name, peer)))
        else {
            tracing::warn!(
                peer = session.peer_addr,
                "a peer with a foreign name was closed"
            );
            session.actor.stop(Some("foreign name".to_owned()));
            return;
        };
        let members = pg::get_scoped_members(&SCOPE.into(), &wire_name);
        let Some(endpoint) = members
            .into_iter()
            .find(|member| !member.get_id().is_local())
        else {
            tracing::warn!(%peer.name, "a peer without an endpoint was closed");
            session.actor.stop(Some("no endpoint".to_owned()));
            return;
        };
        let id = SessionId(self.last.fetch_add(1, Ordering::Relaxed));
        let (dialled, host) = {
            let mut connections = self.connections.lock();
            let Some(connection) = connections.get_mut(&session.peer_addr) else {
                return;
            };
            connection.ready = true;
            (connection.dialled.clone(), connection.host.clone())
        };
        let key = (peer.id, peer.boot_epoch);
        let open = Session {
            peer: key,
            endpoint: endpoint.into(),
            actor: session.actor,
            label: session.peer_addr,
            sent: 0,
            received: 0,
        };
        self.sessions.lock().insert(id, open);
        self.by_peer.lock().insert(key, id);
        (self.sink)(Event::Up {
            session: id,
            peer,
            host,
            dialled,
        });
        let early = self.early.lock().take(key);
        if let Some(open) = self.sessions.lock().get_mut(&id) {
            open.received = early.len() as u64;
        }
        for frame in early {
            (self.sink)(Event::Frame { session: id, frame });
        }
    }

    fn disconnected(&self, session: &NodeServerSessionInformation) {
        let connection = self.connections.lock().remove(&session.peer_addr);
        let ended = {
            let mut sessions = self.sessions.lock();
            let id = sessions
                .iter()
                .find(|(_, s)| s.label == session.peer_addr)
                .map(|(id, _)| *id);
            id.and_then(|id| sessions.remove(&id).map(|session| (id, session.peer)))
        };
        if let Some((id, peer)) = ended {
            let mut by_peer = self.by_peer.lock();
            if by_peer.get(&peer) == Some(&id) {
                by_peer.remove(&peer);
            }
            drop(by_peer);
            (self.sink)(Event::Down { session: id });
        }
        if let Some(connection) = connection.filter(|connection| !connection.ready) {
            self.never_ready(connection);
        }
    }

    /// A connection ended before there was a session.
    fn never_ready(&self, connection: Connection) {
        let Connection {
            guard,
            dialled,
            host,
            ..
        } = connection;
        let authenticated = guard.authenticated.load(Ordering::Relaxed);
        // Who connects and says nothing is a probe.
        let failed = !authenticated && (dialled.is_some() || guard.spoke.load(Ordering::Relaxed));
        let address = dialled.as_deref().unwrap_or(&host);
        if failed && self.complaints.lock().failed(address, Instant::now()) {
            tracing::warn!(
                address,
                "the handshake with a node fails; is the cookie the same?"
            );
        }
        if let Some(address) = dialled {
            let error = if authenticated {
                "another connection with it was kept"
            } else {
                "the handshake failed; is the cookie the same?"
            };
            self.dial_failed(address, error.to_owned());
        }
    }
}

/// Takes frames from peers. Spawned once, with no state of its own; its messages are casts.
struct Endpoint;

impl Actor for Endpoint {
    type Msg = Vec<u8>;
    type State = Arc<Inner>;
    type Arguments = Arc<Inner>;

    async fn pre_start(
        &self,
        _myself: ActorRef<Vec<u8>>,
        inner: Arc<Inner>,
    ) -> Result<Arc<Inner>, ActorProcessingErr> {
        Ok(inner)
    }

    async fn handle(
        &self,
        _myself: ActorRef<Vec<u8>>,
        mut frame: Vec<u8>,
        inner: &mut Arc<Inner>,
    ) -> Result<(), ActorProcessingErr> {
        let Some(sender) = take_trailer(&mut frame) else {
            tracing::warn!("a peer's frame without a sender was dropped");
            return Ok(());
        };
        let session = inner.by_peer.lock().get(&sender.peer).copied();
        let Some(session) = session else {
            inner.early.lock().keep(sender, frame);
            return Ok(());
        };
        let next = {
            let mut sessions = inner.sessions.lock();
            sessions
                .get_mut(&session)
                .is_some_and(|open| open.accept(sender.number))
        };
        if next {
            (inner.sink)(Event::Frame { session, frame });
        }
        Ok(())
    }
}

struct Subscription(Arc<Inner>);

impl NodeEventSubscription for Subscription {
    fn node_session_opened(&self, session: NodeServerSessionInformation) {
        if !self.0.connections.lock().contains_key(&session.peer_addr) {
            session
                .actor
                .stop(Some("not through our listener".to_owned()));
        }
    }

    fn node_session_disconnected(&self, session: NodeServerSessionInformation) {
        self.0.disconnected(&session);
    }

    fn node_session_authenticated(&self, session: NodeServerSessionInformation) {
        if let Some(connection) = self.0.connections.lock().get(&session.peer_addr) {
            connection
                .guard
                .authenticated
                .store(true, Ordering::Relaxed);
        }
    }

    fn node_session_ready(&self, session: NodeServerSessionInformation) {
        self.0.ready(session);
    }
}

impl Transport for WireTransport {
    fn dial(&self, address: &str) {
        self.thread
            .runtime
            .spawn(Arc::clone(&self.inner).connect(address.to_owned()));
    }

    fn send(&self, session: SessionId, mut frame: Vec<u8>) {
        let mut sessions = self.inner.sessions.lock();
        if let Some(open) = sessions.get_mut(&session) {
            add_trailer(&mut frame, &self.inner.identity, open.sent);
            open.sent += 1;
            // A session that is ending does not take it, and says so with an event.
            let _ = open.endpoint.cast(frame);
        }
    }

    fn close(&self, session: SessionId, reason: &str) {
        if let Some(open) = self.inner.sessions.lock().get(&session) {
            open.actor.stop(Some(reason.to_owned()));
        }
    }

    fn shutdown(&self) {
        self.inner.server.stop(Some("shutting down".to_owned()));
        self.thread.stop.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wire_name_carries_the_identity() {
        let identity = Identity::new("smache@localhost", 0x1234_abcd);
        assert_eq!(wire_name(&identity), "smache@localhost#1234abcd");
        assert_eq!(parse_wire_name(&wire_name(&identity)), Some(identity));
        assert_eq!(parse_wire_name("someone@else"), None);
    }
}
