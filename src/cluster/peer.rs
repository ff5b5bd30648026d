//! Links to the other nodes: requests out, answers back, and the requests of others.
//!
//! [`Peers`] is the handle that the router asks through, and the sink of a transport. Frames are
//! worked on where they arrive, on the transport's thread: a read goes straight to the table and
//! its answer into the frame that goes back, without a task or a wake-up. What would have to wait
//! (a queued write, a key that must be fetched first) is given to a task on the node's runtime.
//!
//! Every request has a deadline and an answer: a session that ends answers for all that it owes.

mod incoming;
mod keyspace;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::codec::{self, PartitionSet, Pull, Request, Response};
use super::link::{Link, MESSAGE_BYTES_MAX};
use super::machine::Control;
use super::transport::{Event, Identity, SessionId, Transport};
use crate::command::{self, Command, OperationId, Reply};
use crate::live::Hub;
use crate::replication::{Finished, Lanes};
use crate::router::{self, Router};
use crate::version::NodeId;
use crate::writer::{Moved, Operation, Sum};

/// Why another node did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no session with it; nothing was sent.
    #[error("not connected")]
    NotConnected,
    /// Too much is under way to it; nothing was sent.
    #[error("too much is under way to it")]
    Overloaded,
    /// It did not answer in time.
    #[error("no answer in time")]
    Deadline,
    /// The session ended while the request was under way.
    #[error("the session ended")]
    Lost,
    /// It answered with an error.
    #[error(transparent)]
    Refused(router::Error),
}

/// What a peer, or the transport, has to say to the cluster's machine.
#[derive(Debug)]
pub enum News {
    /// A session is up.
    Opened {
        /// It.
        session: SessionId,
        /// Who is there.
        peer: Identity,
        /// The host it is with.
        host: String,
        /// The address that was dialled, if this node did.
        dialled: Option<String>,
    },
    /// A session is gone.
    Closed(SessionId),
    /// A dial led nowhere.
    DialFailed {
        /// The address.
        address: String,
        /// Why.
        error: String,
        /// Whether its host answered that nobody listens there.
        refused: bool,
    },
    /// A datagram came in.
    Datagram {
        /// The address that it came from.
        from: String,
        /// What is in it.
        packet: Vec<u8>,
    },
    /// A dial led to this node.
    DialledSelf(String),
    /// A message for the machine.
    Control(SessionId, Control),
    /// Frames came in lately.
    Heard(SessionId),
}

/// Takes news; must not block.
pub type NewsSink = Box<dyn Fn(News) + Send + Sync>;

/// What the links are made with.
pub struct Options {
    /// Carries out what peers ask for.
    pub router: Router,
    /// The effects for each node.
    pub lanes: Lanes,
    /// Where the links' own tasks run: the transport's thread.
    pub links_runtime: Handle,
    /// Where requests of peers that have to wait run.
    pub requests_runtime: Handle,
    /// Bytes queued for one peer before requests for it are refused.
    pub bytes_max: usize,
    /// Told what the cluster's machine must know.
    pub news: NewsSink,
}

/// What the links have counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames received.
    pub frames_in: u64,
    /// Requests of peers carried out.
    pub requests_in: u64,
    /// Messages that did not decode.
    pub malformed: u64,
    /// Writes of owners that lost against newer ones of another owner, which a copy here had
    /// followed.
    pub outdone: u64,
    /// Bytes queued for and under way to peers now.
    pub backlog_bytes: u64,
    /// Effects of peers that were refused because their versions are too far in the future.
    pub from_the_future: u64,
}

/// All links; cheap to clone.
#[derive(Clone)]
pub struct Peers(Arc<Inner>);

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peers")
            .field("links", &self.0.nodes.load().len())
            .finish()
    }
}

struct Inner {
    options: Options,
    transport: ArcSwap<Option<Arc<dyn Transport>>>,
    /// Every open session.
    sessions: Mutex<HashMap<SessionId, Open>>,
    /// The session that requests for a node go over.
    nodes: ArcSwap<HashMap<NodeId, Arc<Link>>>,
    tasks: AtomicUsize,
    frames_in: AtomicU64,
    requests_in: AtomicU64,
    malformed: AtomicU64,
    /// Effects that were refused because they are from the future.
    future: AtomicU64,
    /// Effects that lost against writes of another owner.
    outdone: AtomicU64,
}

struct Open {
    link: Arc<Link>,
    heard_told: Instant,
}

impl Peers {
    /// Links without a transport yet: it needs their [`Peers::sink`] to start.
    #[must_use]
    pub fn new(options: Options) -> Peers {
        Peers(Arc::new(Inner {
            options,
            transport: ArcSwap::from_pointee(None),
            sessions: Mutex::default(),
            nodes: ArcSwap::from_pointee(HashMap::new()),
            tasks: AtomicUsize::new(0),
            frames_in: AtomicU64::new(0),
            requests_in: AtomicU64::new(0),
            malformed: AtomicU64::new(0),
            future: AtomicU64::new(0),
            outdone: AtomicU64::new(0),
        }))
    }

    /// Gives the links their transport.
    pub fn attach(&self, transport: Arc<dyn Transport>) {
        self.0.transport.store(Arc::new(Some(transport)));
    }

    /// Where the transport's events go.
    pub fn sink(&self) -> super::transport::Sink {
        let peers = Arc::downgrade(&self.0);
        Arc::new(move |event| {
            if let Some(inner) = peers.upgrade() {
                Peers(inner).on_event(event);
            }
        })
    }

    /// Opens a session with whoever is at `address`.
    pub fn dial(&self, address: &str) {
        if let Some(transport) = self.0.transport.load().as_ref() {
            transport.dial(address);
        }
    }

    /// Sends a packet to whoever is at `to`; it may be lost.
    pub fn datagram(&self, to: &str, packet: Vec<u8>) {
        if let Some(transport) = self.0.transport.load().as_ref() {
            transport.datagram(to, packet);
        }
    }

    /// Sends a message to the machine at the other end of a session.
    pub fn control(&self, session: SessionId, control: &Control) {
        let link = self
            .0
            .sessions
            .lock()
            .get(&session)
            .map(|open| Arc::clone(&open.link));
        // A message of the machine has lengths that are known: it always serializes.
        if let (Some(link), Ok(bytes)) = (link, postcard::to_stdvec(control)) {
            link.control(bytes);
        }
    }

    /// Closes a session, after what was queued before has had a moment to go out.
    pub fn close(&self, session: SessionId, reason: &str) {
        let link = self
            .0
            .sessions
            .lock()
            .get(&session)
            .map(|open| Arc::clone(&open.link));
        if let Some(link) = link {
            link.pump();
        }
        let (peers, reason) = (self.clone(), reason.to_owned());
        self.0.options.links_runtime.spawn(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if let Some(transport) = peers.0.transport.load().as_ref() {
                transport.close(session, &reason);
            }
        });
    }

    /// Requests for `node` go over `session` from now on.
    pub fn link(&self, node: NodeId, session: SessionId) {
        let link = self
            .0
            .sessions
            .lock()
            .get(&session)
            .map(|open| Arc::clone(&open.link));
        if let Some(link) = link {
            self.0.nodes.rcu(|nodes| {
                let mut nodes = HashMap::clone(nodes);
                nodes.insert(node, Arc::clone(&link));
                nodes
            });
            link.carry(self.0.options.lanes.lane(node));
            self.live().linked(node, session.0, link);
        }
    }

    fn live(&self) -> &Hub {
        self.0.options.router.live()
    }

    /// Whether `node` owns any partition, as far as is known.
    fn owns(&self, node: NodeId) -> bool {
        self.0.options.router.map().owned_by(node) > 0
    }

    /// A node is held for dead: whoever waits for its word is released, and nothing is kept for it.
    pub fn release(&self, node: NodeId) {
        let finished = self.0.options.lanes.close(node);
        self.tell(finished);
        self.live().forget(node);
        // It may be back already, or never have been away.
        if let Some(link) = self.0.nodes.load().get(&node) {
            link.carry(self.0.options.lanes.lane(node));
        }
    }

    /// Tells those who waited for copies: what is to be done at once here, what wakes tasks from a
    /// task of the runtime that they are on.
    fn tell(&self, finished: Vec<Finished>) {
        let (wakes, calls): (Vec<_>, Vec<_>) = finished.into_iter().partition(Finished::wakes);
        calls.into_iter().for_each(Finished::tell);
        if wakes.len() > 1 {
            self.0.options.requests_runtime.spawn(async move {
                wakes.into_iter().for_each(Finished::tell);
            });
        } else {
            wakes.into_iter().for_each(Finished::tell);
        }
    }

    /// There is no session for requests to `node`.
    pub fn unlink(&self, node: NodeId) {
        self.0.options.lanes.lane(node).suspend();
        self.live().unlinked(node, self.owns(node));
        self.0.nodes.rcu(|nodes| {
            let mut nodes = HashMap::clone(nodes);
            nodes.remove(&node);
            nodes
        });
    }

    /// Ends everything.
    pub fn shutdown(&self) {
        if let Some(transport) = self.0.transport.load().as_ref() {
            transport.shutdown();
        }
    }

    /// The counters.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let backlog = self
            .0
            .sessions
            .lock()
            .values()
            .map(|open| open.link.backlog())
            .sum();
        Counters {
            frames_in: self.0.frames_in.load(Ordering::Relaxed),
            requests_in: self.0.requests_in.load(Ordering::Relaxed),
            malformed: self.0.malformed.load(Ordering::Relaxed),
            outdone: self.0.outdone.load(Ordering::Relaxed),
            backlog_bytes: backlog,
            from_the_future: self.0.future.load(Ordering::Relaxed),
        }
    }

    /// Asks `node` to carry a command out; `None` if it does not own the key.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn request(
        &self,
        node: NodeId,
        command: &Command,
        operation: Option<OperationId>,
        deadline: Instant,
    ) -> Result<Option<Reply>, Error> {
        check_length(command)?;
        let deadline_ms = remaining_ms(deadline);
        let response = self
            .ask(node, command.bytes(), deadline, |out, id| {
                codec::write_command(out, id, deadline_ms, command, operation);
            })
            .await?;
        match response {
            Response::Elsewhere => Ok(None),
            Response::Error(error) => Err(Error::Refused(error)),
            // An answer to another question: what became of this one nobody knows.
            response => response.into_reply(command).map(Some).ok_or(Error::Lost),
        }
    }

    /// Asks `node` which operations on these partitions it remembers.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn operations(
        &self,
        node: NodeId,
        partitions: PartitionSet,
        deadline: Instant,
    ) -> Result<Vec<Operation>, Error> {
        let request = Request::Operations(partitions);
        match self.ask_request(node, &request, deadline).await? {
            Response::Operations(operations) => Ok(operations),
            Response::Error(error) => Err(Error::Refused(error)),
            _ => Err(Error::Lost),
        }
    }

    /// Asks `node` what its entries of these partitions come to, in their order.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn sums(
        &self,
        node: NodeId,
        partitions: PartitionSet,
        deadline: Instant,
    ) -> Result<Vec<Sum>, Error> {
        let request = Request::Sums(partitions);
        match self.ask_request(node, &request, deadline).await? {
            Response::Sums(sums) => Ok(sums),
            Response::Error(error) => Err(Error::Refused(error)),
            _ => Err(Error::Lost),
        }
    }

    /// Asks `node` for some of the entries that it holds, and where to go on.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn pull(
        &self,
        node: NodeId,
        pull: Pull,
        deadline: Instant,
    ) -> Result<(Vec<Moved>, Option<(u16, u64)>), Error> {
        match self
            .ask_request(node, &Request::Pull(pull), deadline)
            .await?
        {
            Response::Pulled { entries, next } => Ok((entries, next)),
            Response::Error(error) => Err(Error::Refused(error)),
            _ => Err(Error::Lost),
        }
    }

    async fn ask_request(
        &self,
        node: NodeId,
        request: &Request,
        deadline: Instant,
    ) -> Result<Response, Error> {
        let deadline_ms = remaining_ms(deadline);
        self.ask(node, 0, deadline, |out, id| {
            codec::write_request(out, id, deadline_ms, request)
        })
        .await
    }

    async fn ask(
        &self,
        node: NodeId,
        bytes: usize,
        deadline: Instant,
        write: impl FnOnce(&mut Vec<u8>, u64),
    ) -> Result<Response, Error> {
        let link = self
            .0
            .nodes
            .load()
            .get(&node)
            .cloned()
            .ok_or(Error::NotConnected)?;
        // The link keeps the deadline, and answers when the session ends.
        let (_, answer) = link.request(bytes, deadline, write)?;
        answer.await.unwrap_or(Err(Error::Lost))
    }

    fn on_event(&self, event: Event) {
        match event {
            Event::Frame { session, frame } => self.on_frame(session, frame),
            Event::Up {
                session,
                peer,
                host,
                dialled,
            } => {
                if let Some(transport) = self.0.transport.load().as_ref() {
                    let transport = Arc::clone(transport);
                    let link = Link::new(peer.id, session, transport, self.0.options.bytes_max);
                    let heard_told = Instant::now();
                    let open = Open {
                        link: Arc::clone(&link),
                        heard_told,
                    };
                    self.0.sessions.lock().insert(session, open);
                    self.0.options.links_runtime.spawn(link.run());
                }
                (self.0.options.news)(News::Opened {
                    session,
                    peer,
                    host,
                    dialled,
                });
            }
            Event::Down { session } => {
                if let Some(open) = self.0.sessions.lock().remove(&session) {
                    open.link.close();
                }
                (self.0.options.news)(News::Closed(session));
            }
            Event::DialFailed {
                address,
                error,
                refused,
            } => {
                (self.0.options.news)(News::DialFailed {
                    address,
                    error,
                    refused,
                });
            }
            Event::Datagram { from, packet } => {
                (self.0.options.news)(News::Datagram { from, packet });
            }
            Event::DialledSelf { address } => {
                (self.0.options.news)(News::DialledSelf(address));
            }
        }
    }
}

/// No value may be so long, but a patch, or what a client takes for a value, can be.
fn check_length(command: &Command) -> Result<(), Error> {
    const TRIMMINGS_BYTES: usize = 1 << 20;
    let (bytes, max) = (command.bytes(), MESSAGE_BYTES_MAX - TRIMMINGS_BYTES);
    if bytes <= max {
        return Ok(());
    }
    let error = command::Error::ValueTooLarge { bytes, max };
    Err(Error::Refused(error.into()))
}

fn remaining_ms(deadline: Instant) -> u32 {
    let left = deadline.saturating_duration_since(Instant::now());
    u32::try_from(left.as_millis()).unwrap_or(u32::MAX)
}
