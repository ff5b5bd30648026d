//! Links to the other nodes: requests out, answers back, and the requests of others.
//!
//! [`Peers`] is the handle that the router asks through, and the sink of a transport. Frames are
//! worked on where they arrive, on the transport's thread: a read goes straight to the table and
//! its answer into the frame that goes back, without a task or a wake-up. What would have to wait
//! (a queued write, a key that must be fetched first) is given to a task on the node's runtime.
//!
//! Every request has a deadline and an answer: a session that ends answers for all that it owes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::codec::{self, Malformed, MessageKind, PartitionSet, Pull, Request, Response};
use super::link::{Asker, Link, MESSAGE_BYTES_MAX};
use super::machine::Control;
use super::transport::{Event, Identity, SessionId, Transport};
use crate::command::{self, Command, EntryRef, OperationId, Reply};
use crate::key::{self, Key, PartitionId};
use crate::replication::{Effect, Finished, Lanes, Ticket};
use crate::router::{self, Router};
use crate::table::Cursor;
use crate::version::{CLOCK_SKEW_MS_MAX, NodeId};
use crate::writer::{Moved, Operation, Outcome, Sum, Verdict};

/// Most requests of peers that wait in tasks at a time; further ones are refused.
const TASKS_MAX: usize = 10_000;
/// So many writes that lost against those of another owner are logged one by one.
const OUTDONE_LOGGED_MAX: u64 = 1_000;
/// Entries larger than this are copied out of the table before they are sent.
const DIRECT_BYTES_MAX: usize = 32 * 1024;

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

/// What the messages of one frame have led to.
#[derive(Default)]
struct Incoming {
    answers: Vec<(Asker, Response)>,
    effects: codec::Answers,
    finished: Vec<Finished>,
}

/// How a peer asked for something.
#[derive(Clone, Copy)]
struct Asked {
    id: u64,
    deadline_ms: u32,
    operation: Option<OperationId>,
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
        }
    }

    /// A node is held for dead: whoever waits for its word is released, and nothing is kept for it.
    pub fn release(&self, node: NodeId) {
        let finished = self.0.options.lanes.close(node);
        self.tell(finished);
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

    fn on_frame(&self, session: SessionId, frame: Vec<u8>) {
        let Some(link) = self.heard(session) else {
            return;
        };
        self.0.frames_in.fetch_add(1, Ordering::Relaxed);
        let mut incoming = Incoming::default();
        let received = link.receive(frame, |kind, body| {
            self.on_message(session, &link, kind, body, &mut incoming)
        });
        self.give(incoming.answers);
        self.tell(incoming.finished);
        if !incoming.effects.is_empty() {
            link.answer_effects(&incoming.effects);
        }
        if received.is_err() {
            self.0.malformed.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                node = link.node.0,
                "a malformed frame from a peer; its session is closed"
            );
            self.close(session, "a malformed frame");
        }
        // Answers that were written meanwhile leave at once, from this very thread.
        link.pump();
    }

    /// Gives answers to those who wait for them, on the runtime that they wait on: to wake many
    /// from another thread costs a call to the kernel for each, to wake one who wakes the rest
    /// costs one.
    fn give(&self, mut answers: Vec<(Asker, Response)>) {
        // Whoever asked may have gone away.
        if answers.len() > 1 {
            self.0.options.requests_runtime.spawn(async move {
                for (asker, response) in answers {
                    let _ = asker.send(Ok(response));
                }
            });
        } else if let Some((asker, response)) = answers.pop() {
            let _ = asker.send(Ok(response));
        }
    }

    /// The link of a session, after the machine was told (now and then) that the peer lives.
    fn heard(&self, session: SessionId) -> Option<Arc<Link>> {
        const TELL_EVERY: Duration = Duration::from_millis(200);
        let mut sessions = self.0.sessions.lock();
        let open = sessions.get_mut(&session)?;
        let now = Instant::now();
        let tell = now.duration_since(open.heard_told) >= TELL_EVERY;
        if tell {
            open.heard_told = now;
        }
        let link = Arc::clone(&open.link);
        drop(sessions);
        if tell {
            (self.0.options.news)(News::Heard(session));
        }
        Some(link)
    }

    fn on_message(
        &self,
        session: SessionId,
        link: &Arc<Link>,
        kind: MessageKind,
        body: Bytes,
        incoming: &mut Incoming,
    ) -> Result<(), Malformed> {
        match kind {
            MessageKind::Response => {
                let (id, response) = codec::read_response(body)?;
                let asker = link.asker(id);
                incoming
                    .answers
                    .extend(asker.map(|asker| (asker, response)));
            }
            MessageKind::Request => {
                let (id, deadline_ms, request) = codec::read_request(body)?;
                self.0.requests_in.fetch_add(1, Ordering::Relaxed);
                self.on_request(link, id, deadline_ms, request);
            }
            MessageKind::Control => {
                let control = postcard::from_bytes(&body).map_err(|_| Malformed)?;
                (self.0.options.news)(News::Control(session, control));
            }
            MessageKind::Effect => {
                let (number, effect) = codec::read_effect(body)?;
                let taken = self.on_effect(link, &effect);
                incoming.effects.add(number, taken);
            }
            MessageKind::Answers => {
                let answers = codec::read_answers(body)?;
                let refused = answers.refused.iter().map(|(first, last)| last - first + 1);
                self.0.options.lanes.count_refused(refused.sum());
                incoming.finished.extend(link.answered(&answers));
            }
            MessageKind::Fragment => return Err(Malformed),
        }
        Ok(())
    }

    /// Whether an effect of a peer was taken.
    fn on_effect(&self, link: &Link, effect: &Effect) -> bool {
        let writer = self.0.options.router.writer(effect.partition);
        match writer.take_effect(link.node, effect) {
            Verdict::Taken => true,
            Verdict::Outdone(discarded) => {
                if self.0.outdone.fetch_add(1, Ordering::Relaxed) < OUTDONE_LOGGED_MAX {
                    tracing::warn!(
                        key = %discarded.key.escape_ascii(),
                        version = %discarded.version,
                        by = %discarded.by,
                        "a write lost against one of another owner"
                    );
                }
                true
            }
            Verdict::Fenced => false,
            Verdict::FromTheFuture => {
                if self.0.future.fetch_add(1, Ordering::Relaxed) == 0 {
                    tracing::error!(
                        node = link.node.0,
                        "a node's clock is more than {CLOCK_SKEW_MS_MAX} ms ahead of this one's: \
                         its writes are refused; set the clocks"
                    );
                }
                false
            }
        }
    }

    fn on_request(&self, link: &Arc<Link>, id: u64, deadline_ms: u32, request: Request) {
        match request {
            Request::Execute(command, operation) => {
                let asked = Asked {
                    id,
                    deadline_ms,
                    operation,
                };
                self.on_command(link, asked, command);
            }
            Request::Sums(partitions) => {
                let (peers, link) = (self.clone(), Arc::clone(link));
                self.0.options.requests_runtime.spawn(async move {
                    let sums = peers.0.options.router.sums(&partitions).await;
                    link.respond(id, &Response::Sums(sums));
                    link.wake();
                });
            }
            Request::Operations(partitions) => {
                let (peers, link) = (self.clone(), Arc::clone(link));
                self.0.options.requests_runtime.spawn(async move {
                    let writers = peers.0.options.router.writers().iter();
                    let wanted = |partition| partitions.contains(partition);
                    let operations = writers.flat_map(|writer| writer.operations_of(wanted));
                    link.respond(id, &Response::Operations(operations.collect()));
                    link.wake();
                });
            }
            Request::Pull(pull) => {
                let (peers, link) = (self.clone(), Arc::clone(link));
                // Copying a stretch of a table takes a while: not on the transport's thread.
                self.0.options.requests_runtime.spawn(async move {
                    link.respond(id, &peers.scan(&pull));
                    link.wake();
                });
            }
        }
    }

    fn on_command(&self, link: &Arc<Link>, asked: Asked, command: Command) {
        let id = asked.id;
        let partition = key::partition(command.key().as_bytes());
        if let Command::Get { key } = &command
            && self.answer_read(link, id, partition, key)
        {
            return;
        }
        let router = &self.0.options.router;
        if let Err(error) = router.admit(&command) {
            return link.respond(id, &Response::Error(error));
        }
        match router
            .writer(partition)
            .apply_inline(partition, &command, asked.operation)
        {
            Some(Ok(Outcome::Done(reply, None))) => {
                link.respond(id, &Response::to(&command, reply))
            }
            Some(Ok(Outcome::Done(reply, Some(ticket)))) => {
                self.when_copied(link, id, &ticket, Response::to(&command, reply));
            }
            Some(Ok(Outcome::Forgotten)) => {
                link.respond(id, &Response::Error(router::Error::Unanswered));
            }
            Some(Ok(Outcome::Elsewhere)) => link.respond(id, &Response::Elsewhere),
            Some(Err(error)) => link.respond(id, &Response::Error(error.into())),
            None => self.in_task(Arc::clone(link), asked, partition, command),
        }
    }

    /// Answers once a write is with its copies: on the thread on which their last word comes in.
    fn when_copied(&self, link: &Arc<Link>, id: u64, ticket: &Ticket, response: Response) {
        let (link, router) = (Arc::clone(link), self.0.options.router.clone());
        ticket.when_done(move |copied| {
            let superseded = || Response::Error(router.superseded());
            let response = if copied { response } else { superseded() };
            link.respond(id, &response);
            link.wake();
        });
    }

    /// Writes the answer to a read from the table into the frame; false if that is not possible.
    fn answer_read(&self, link: &Link, id: u64, partition: PartitionId, key: &Key) -> bool {
        let writer = self.0.options.router.writer(partition);
        let small = |entry: Option<EntryRef<'_>>| {
            entry.is_none_or(|entry| entry.data.len() <= DIRECT_BYTES_MAX)
        };
        let answered = writer.read(partition, key.as_bytes(), |entry, _| {
            small(entry) && link.respond_with(|out| codec::write_found(out, id, entry))
        });
        answered.unwrap_or(false)
    }

    fn in_task(&self, link: Arc<Link>, asked: Asked, partition: PartitionId, command: Command) {
        let id = asked.id;
        if self.0.tasks.fetch_add(1, Ordering::AcqRel) >= TASKS_MAX {
            self.0.tasks.fetch_sub(1, Ordering::AcqRel);
            let error = router::Error::Overloaded { peer: None };
            return link.respond(id, &Response::Error(error));
        }
        let deadline = Instant::now() + Duration::from_millis(asked.deadline_ms.into());
        let peers = self.clone();
        self.0.options.requests_runtime.spawn(async move {
            let router = &peers.0.options.router;
            let applied = router.apply_here(partition, &command, asked.operation, deadline);
            let response = match applied.await {
                Ok(Some(reply)) => Response::to(&command, reply),
                Ok(None) => Response::Elsewhere,
                Err(error) => Response::Error(error),
            };
            peers.0.tasks.fetch_sub(1, Ordering::AcqRel);
            link.respond(id, &response);
            link.wake();
        });
    }

    /// A stretch of what this node holds of some partitions, over its writers one after the other.
    fn scan(&self, pull: &Pull) -> Response {
        let writers = self.0.options.router.writers();
        let (mut index, mut cursor) = (usize::from(pull.writer), Cursor(pull.cursor));
        while let Some(writer) = writers.get(index) {
            let wanted = |partition| pull.partitions.contains(partition);
            let scanned = writer.scan(cursor, wanted, pull.bytes_max as usize);
            let next = scanned.next.map(|cursor| (index, cursor));
            (index, cursor) = next.unwrap_or((index + 1, Cursor::default()));
            if !scanned.entries.is_empty() || next.is_some() {
                let more = (index < writers.len()).then_some((index as u16, cursor.0));
                return Response::Pulled {
                    entries: scanned.entries,
                    next: more,
                };
            }
        }
        Response::Pulled {
            entries: Vec::new(),
            next: None,
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
