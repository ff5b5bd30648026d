//! The router: from a command to the node that answers for its key, and back.
//!
//! Every door and the library go through here. A key's partition is looked up in the present
//! [`PartitionMap`]; if this node owns it the command goes to its writer, else to the owner's
//! peer link. Maps are hints: a node that is asked for what it does not own says so, and the router
//! asks again with a newer map, within the request's deadline.
//!
//! What is tried again: a command that was certainly not applied (refused, moved, or never sent),
//! and one whose fate is unknown because the link broke while it was under way. A write carries an
//! operation id, which its owner and the copies remember, so that it is applied once however often
//! it is sent.
//!
//! The actor [`RouterActor`] only publishes maps. It is supervised by the node; while it restarts
//! requests go on with the map that is published.

mod actor;
pub mod keyspace;
mod map;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::Instant;

pub use self::actor::{Publish, RouterActor};
pub use self::map::{Load, Member, MemberState, PartitionMap};

use crate::clock::UnixMs;
use crate::cluster::codec::PartitionSet;
use crate::cluster::peer::{self, Peers};
use crate::command::collection::{Added, Collection};
use crate::command::{self, Command, EntryRef, Kind, OperationId, Reply};
use crate::key::{self, KeyInteger, PartitionId};
use crate::live::Hub;
use crate::replication::Ticket;
use crate::table::Altered;
use crate::version::NodeId;
use crate::writer::{self, Outcome, Role, Sum, Writer};

/// What a router is made with.
#[derive(Debug)]
pub struct Options {
    /// This node's name.
    pub name: Arc<str>,
    /// This node's writers.
    pub writers: Vec<Writer>,
    /// Changes at each start of the node.
    pub boot_epoch: u64,
    /// With fewer members that answer, writes are refused.
    pub members_min: usize,
}

/// Why a command got no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Error {
    /// The command does not fit the value or the limits.
    #[error(transparent)]
    Command(#[from] command::Error),
    /// It took too long; a write may have been applied.
    #[error("no answer within the deadline{}", waiting_for(.peer))]
    Deadline {
        /// Who did not answer, if it was another node.
        peer: Option<Arc<str>>,
    },
    /// Too much is under way already; it was not applied.
    #[error("too many requests are under way{}; try again later", waiting_for(.peer))]
    Overloaded {
        /// Whose queue is full, if it is another node's.
        peer: Option<Arc<str>>,
    },
    /// The owner went away while the command was under way; a write may have been applied.
    #[error("the connection to {peer} broke; a write may have been applied")]
    Lost {
        /// The owner.
        peer: Arc<str>,
    },
    /// The owner applied the write, but had no room for the answer on its way back.
    #[error("the write was applied, but there was no room for the answer on its way back")]
    Unanswered,
    /// Nobody is known to own the key, or whoever is known to cannot be reached or has given it
    /// away. It was not applied.
    #[error("no node answers for this key at the moment")]
    NoOwner,
    /// Too few nodes can be reached for a write: this may be the smaller side of a cut.
    #[error("writes need {min} nodes and only {alive} can be reached")]
    TooFewMembers {
        /// Those that can, this one among them.
        alive: usize,
        /// As many as are needed.
        min: usize,
    },
    /// The memory limit leaves no room for the value.
    #[error("no room: {bytes} bytes are wanted and the memory limit is {limit}")]
    Full {
        /// What the entry needs.
        bytes: u64,
        /// What all entries may take.
        limit: u64,
    },
    /// A defect of ours; it was logged.
    #[error("the command failed inside the node")]
    Internal,
}

fn waiting_for(peer: &Option<Arc<str>>) -> String {
    peer.as_ref()
        .map(|peer| format!(" from {peer}"))
        .unwrap_or_default()
}

impl From<writer::Error> for Error {
    fn from(error: writer::Error) -> Error {
        match error {
            writer::Error::Command(error) => Error::Command(error),
            writer::Error::Overloaded | writer::Error::Backlog(_) | writer::Error::Overtaken => {
                Error::Overloaded { peer: None }
            }
            writer::Error::Full { bytes, limit } => Error::Full { bytes, limit },
            // Doors check keys before: a longer one here is our mistake.
            writer::Error::KeyLength(_) | writer::Error::Internal => Error::Internal,
        }
    }
}

/// A reply, and who gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The reply.
    pub reply: Reply,
    /// The owner's name.
    pub owner: Arc<str>,
}

/// Where a key lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// What the key encodes to.
    pub integer: KeyInteger,
    /// Its partition.
    pub partition: PartitionId,
    /// The owner's name; `None` while nobody owns it.
    pub owner: Option<Arc<str>>,
    /// The names of the nodes that hold a copy.
    pub backups: Vec<Arc<str>>,
}

/// What the router has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Commands that this node's own writers have carried out, for its clients and for other nodes.
    pub local: u64,
    /// Commands sent to another node.
    pub forwarded: u64,
    /// Attempts after the first one.
    pub retries: u64,
    /// Those of them that were made because a link broke, or copies followed another owner, while
    /// the command was under way: it may have been applied before, and is not applied twice.
    pub resent: u64,
    /// Commands that got no reply in time.
    pub deadlines: u64,
}

/// A handle on the router; cheap to clone.
#[derive(Clone, Debug)]
pub struct Router(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: Arc<str>,
    me: NodeId,
    writers: Box<[Writer]>,
    map: ArcSwap<PartitionMap>,
    published: Notify,
    peers: ArcSwapOption<Peers>,
    forwarded: AtomicU64,
    retries: AtomicU64,
    resent: AtomicU64,
    deadlines: AtomicU64,
    /// The first half of operation ids, and the next second half.
    origin: u128,
    next_operation: AtomicU64,
    members_min: usize,
    keyspace: keyspace::Local,
    live: Hub,
}

/// How far a command got at once; see [`Router::begin`].
#[derive(Debug)]
pub enum Begun {
    /// To its end.
    Done(Result<Reply, Error>),
    /// It is applied, and the copies are to confirm it: [`Router::confirmed`] waits for them.
    Applied(Reply, Ticket),
    /// Not at all: its key is another node's, or others wait before it. [`Router::execute`] finds
    /// the way.
    Not,
}

/// A command on its way to its owner.
struct Request<'a> {
    partition: PartitionId,
    command: &'a Command,
    operation: Option<OperationId>,
    deadline: Instant,
    /// Who may have carried it out without being able to say so.
    lost: Option<Arc<str>>,
}

/// What one attempt came to.
enum Attempt {
    Done(Answer),
    /// Not applied, or by its id not applied again: try again, with a newer map if there is one.
    Again,
}

impl Router {
    /// A router with an empty map.
    #[must_use]
    pub fn new(options: Options) -> Router {
        let me = NodeId::of(&options.name);
        let live = Hub::default();
        for writer in &options.writers {
            writer.watched_by(&live);
        }
        Router(Arc::new(Inner {
            me,
            name: options.name,
            writers: options.writers.into(),
            map: ArcSwap::from_pointee(PartitionMap::empty()),
            published: Notify::new(),
            peers: ArcSwapOption::empty(),
            forwarded: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            resent: AtomicU64::new(0),
            deadlines: AtomicU64::new(0),
            origin: OperationId::origin(me, options.boot_epoch),
            next_operation: AtomicU64::new(0),
            members_min: options.members_min,
            keyspace: keyspace::Local::new(),
            live,
        }))
    }

    /// Gives the router the links to the other nodes.
    pub fn connect(&self, peers: Peers) {
        self.0.peers.store(Some(Arc::new(peers)));
    }

    /// What the links to the other nodes have counted.
    #[must_use]
    pub fn peer_counters(&self) -> peer::Counters {
        self.0
            .peers
            .load()
            .as_ref()
            .map(|peers| peers.counters())
            .unwrap_or_default()
    }

    /// What happens, for those who want to hear of it: changes of keys, and messages.
    #[must_use]
    pub fn live(&self) -> &Hub {
        &self.0.live
    }

    /// This node's name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// This node's id.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.0.me
    }

    /// The present map.
    #[must_use]
    pub fn map(&self) -> Arc<PartitionMap> {
        self.0.map.load_full()
    }

    /// This node's writers.
    #[must_use]
    pub fn writers(&self) -> &[Writer] {
        &self.0.writers
    }

    /// The writer of a partition.
    #[must_use]
    pub fn writer(&self, partition: PartitionId) -> &Writer {
        &self.0.writers[partition.index() % self.0.writers.len()]
    }

    /// Sets this node's role for partitions, which are at these epochs.
    pub fn set_roles(&self, partitions: &[(PartitionId, u32)], role: &Role) {
        self.at_writers(
            partitions,
            |of| of.0,
            |writer, own| writer.set_roles(own, role),
        );
    }

    /// Forgets what is here of partitions whose copies are begun anew.
    pub fn reset(&self, partitions: &[PartitionId]) {
        self.at_writers(partitions, |of| *of, Writer::reset);
    }

    fn at_writers<T: Copy>(
        &self,
        all: &[T],
        partition: impl Fn(&T) -> PartitionId,
        act: impl Fn(&Writer, &[T]),
    ) {
        let writers = self.0.writers.len();
        for (index, writer) in self.0.writers.iter().enumerate() {
            let own = |one: &&T| partition(one).index() % writers == index;
            let own: Vec<T> = all.iter().filter(own).copied().collect();
            if !own.is_empty() {
                act(writer, &own);
            }
        }
    }

    /// Values of the partitions that this node owns.
    #[must_use]
    pub fn owned_entries(&self) -> u64 {
        self.0.writers.iter().map(Writer::owned_entries).sum()
    }

    /// Those of them that expire.
    #[must_use]
    pub fn owned_expiring(&self) -> u64 {
        self.0.writers.iter().map(Writer::owned_expiring).sum()
    }

    /// What this node's entries of some partitions come to, in their order.
    pub async fn sums(&self, partitions: &PartitionSet) -> Vec<Sum> {
        let mut sums = vec![0; usize::from(key::PARTITION_COUNT)];
        for writer in &self.0.writers {
            writer.sum_up(|p| partitions.contains(p), &mut sums).await;
        }
        partitions.iter().map(|p| sums[p.index()]).collect()
    }

    fn publish(&self, map: PartitionMap) {
        self.0.map.store(Arc::new(map));
        self.0.published.notify_waiters();
    }

    /// Where a key lives.
    #[must_use]
    pub fn locate(&self, key: &[u8]) -> Location {
        let partition = key::partition(key);
        let map = self.0.map.load();
        let name = |node| map.member(node).map(|member| Arc::clone(&member.name));
        let backups = map.backups(partition).iter();
        let backups = backups.filter_map(|node| name(*node)).collect();
        Location {
            integer: key::integer(key),
            partition,
            owner: map.owner(partition).and_then(name),
            backups,
        }
    }

    /// Reads a key of this node in place: `read` sees the entry (or that there is none) and the
    /// present moment under the writer's lock, so it should copy and go. `None` if the key is
    /// another node's, or not yet here: then [`Router::execute`] finds it.
    pub fn read_local<R>(
        &self,
        key: &[u8],
        read: impl FnOnce(Option<EntryRef<'_>>, UnixMs) -> R,
    ) -> Option<R> {
        let now = self.writer(PartitionId::default()).now();
        self.read_local_at(key, now, |entry| read(entry, now))
    }

    /// As [`Router::read_local`], for a door that has many reads to carry out: `now` is a moment after
    /// all of them had come.
    #[inline]
    pub fn read_local_at<R>(
        &self,
        key: &[u8],
        now: UnixMs,
        read: impl FnOnce(Option<EntryRef<'_>>) -> R,
    ) -> Option<R> {
        let partition = key::partition(key);
        // The map need not be asked: it is a hint, and the writer knows.
        self.writer(partition).read(partition, key, now, read)
    }

    /// Puts a string of this node's that does not expire, if that needs nobody else; `None`, and
    /// nothing is done, if it does: then it is a [`Command::Put`]. `now` is a moment after it had come.
    pub fn put_local(&self, key: &[u8], data: &[u8], now: UnixMs) -> Option<Result<(), Error>> {
        let partition = self.may_write_alone().then(|| key::partition(key))?;
        let put = self.writer(partition).put_here(partition, key, data, now)?;
        Some(put.map_err(Error::from))
    }

    /// Adds to a number of this node's, if that needs nobody else; what it is then. `None`, and
    /// nothing is done, if it does: then it is a [`Command::Increment`]. `now` is a moment after it had
    /// come.
    pub fn add_local(&self, key: &[u8], by: i64, now: UnixMs) -> Option<Result<i64, Error>> {
        let partition = self.may_write_alone().then(|| key::partition(key))?;
        let sum = self.writer(partition).add_here(partition, key, by, now)?;
        Some(sum.map_err(Error::from))
    }

    /// Has a large collection of this node's altered, if that needs nobody else and `alter` can do it;
    /// what that came to. `None`, and nothing is done, if not: then it is a [`Command::Typed`]. What is
    /// `added` is a bound. `now` is a moment after it had come.
    pub fn alter_local<R>(
        &self,
        key: &[u8],
        what: (Kind, Added),
        now: UnixMs,
        alter: impl FnOnce(&mut Collection) -> Option<Altered<R>>,
    ) -> Option<R> {
        let partition = self.may_write_alone().then(|| key::partition(key))?;
        self.writer(partition)
            .alter_here(partition, key, what, now, alter)
    }

    fn may_write_alone(&self) -> bool {
        self.0.members_min < 2
    }

    /// Carries a command out as far as that goes without waiting, for a door that has many to begin.
    /// Once this returns, what was applied is seen by whatever is begun later.
    #[must_use]
    pub fn begin(&self, command: &Command) -> Begun {
        let partition = key::partition(command.key().as_bytes());
        if let Err(error) = self.admit(command) {
            return Begun::Done(Err(error));
        }
        let writer = self.writer(partition);
        match writer.apply_inline(partition, command, None) {
            None | Some(Ok(Outcome::Elsewhere)) => Begun::Not,
            Some(Err(error)) => Begun::Done(Err(error.into())),
            Some(Ok(Outcome::Done(reply, None))) => Begun::Done(Ok(reply)),
            Some(Ok(Outcome::Done(reply, Some(ticket)))) => Begun::Applied(reply, ticket),
            Some(Ok(Outcome::Forgotten)) => Begun::Done(Err(Error::Unanswered)),
        }
    }

    /// Waits until the copies have a command that was begun.
    ///
    /// # Errors
    /// When they have not in time, or follow another owner: it may be lost then, or not.
    pub async fn confirmed(
        &self,
        reply: Reply,
        ticket: Ticket,
        deadline: Instant,
    ) -> Result<Reply, Error> {
        match in_time(ticket.done(), deadline).await {
            Ok(true) => Ok(reply),
            Ok(false) => Err(self.superseded()),
            Err(error) => {
                self.0.deadlines.fetch_add(1, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    /// Carries a command out, wherever its key lives.
    ///
    /// # Errors
    /// See [`Error`]; each says whether a write may have been applied.
    pub async fn execute(&self, command: &Command, deadline: Instant) -> Result<Answer, Error> {
        self.execute_once(command, None, deadline).await
    }

    /// Carries a command out, wherever its key lives; one that its client has named, only if it was
    /// not carried out before. Then it answers what came of it.
    ///
    /// # Errors
    /// See [`Error`]; each says whether a write may have been applied.
    pub async fn execute_once(
        &self,
        command: &Command,
        operation: Option<OperationId>,
        deadline: Instant,
    ) -> Result<Answer, Error> {
        let mut request = Request {
            partition: key::partition(command.key().as_bytes()),
            command,
            operation: operation.map(OperationId::of_client),
            deadline,
            lost: None,
        };
        let mut tries = 0;
        loop {
            let published = self.0.published.notified();
            let map = self.0.map.load_full();
            self.check_members(&map, command)?;
            let attempt = match map.owner(request.partition) {
                Some(node) if node == self.0.me => self.execute_here(&request).await?,
                Some(node) => self.forward(&map, node, &mut request).await?,
                None => Attempt::Again,
            };
            if let Attempt::Done(answer) = attempt {
                return Ok(answer);
            }
            if Instant::now() >= deadline {
                self.0.deadlines.fetch_add(1, Ordering::Relaxed);
                // If nobody ever took it nothing was done: that is worth saying.
                let lost = request.lost.map(|peer| Error::Lost { peer });
                return Err(lost.unwrap_or(Error::NoOwner));
            }
            self.0.retries.fetch_add(1, Ordering::Relaxed);
            tries += 1;
            pause(tries, published, deadline).await;
        }
    }

    /// Whether enough members answer for a write of another node to be applied here.
    ///
    /// # Errors
    /// [`Error::TooFewMembers`] if not.
    pub fn admit(&self, command: &Command) -> Result<(), Error> {
        if self.0.members_min < 2 {
            return Ok(());
        }
        self.check_members(&self.0.map.load(), command)
    }

    fn check_members(&self, map: &PartitionMap, command: &Command) -> Result<(), Error> {
        let (alive, min) = (map.alive(), self.0.members_min);
        if alive < min && !command.is_read() {
            return Err(Error::TooFewMembers { alive, min });
        }
        Ok(())
    }

    async fn execute_here(&self, request: &Request<'_>) -> Result<Attempt, Error> {
        let Request {
            partition,
            command,
            operation,
            deadline,
            ..
        } = *request;
        let applied = self
            .apply_here(partition, command, operation, deadline)
            .await;
        if matches!(applied, Err(Error::Deadline { .. })) {
            self.0.deadlines.fetch_add(1, Ordering::Relaxed);
        }
        match applied? {
            Some(reply) => Ok(Attempt::Done(Answer {
                reply,
                owner: Arc::clone(&self.0.name),
            })),
            None => Ok(Attempt::Again),
        }
    }

    /// Carries a command out on this node's own writer, for a door or for a peer, and waits until
    /// its effect is with the copies. `None` if this node does not own the key.
    ///
    /// # Errors
    /// As [`Router::execute`].
    pub async fn apply_here(
        &self,
        partition: PartitionId,
        command: &Command,
        operation: Option<OperationId>,
        deadline: Instant,
    ) -> Result<Option<Reply>, Error> {
        let writer = self.writer(partition);
        let outcome = match writer.apply_inline(partition, command, operation) {
            Some(outcome) => outcome?,
            None => {
                let queued = writer.apply_queued(partition, command.clone(), operation);
                in_time(queued, deadline).await??
            }
        };
        match outcome {
            Outcome::Done(reply, None) => Ok(Some(reply)),
            Outcome::Done(reply, Some(ticket)) => match in_time(ticket.done(), deadline).await? {
                true => Ok(Some(reply)),
                false => Err(self.superseded()),
            },
            Outcome::Forgotten => Err(Error::Unanswered),
            Outcome::Elsewhere => Ok(None),
        }
    }

    /// A value may have expired on its way.
    fn unexpired(&self, reply: Reply) -> Reply {
        let Reply::Value(Some(entry)) = reply else {
            return reply;
        };
        let now = self.0.writers.first().map(Writer::now);
        let expired = entry
            .expires_at
            .zip(now)
            .is_some_and(|(expires_at, now)| expires_at <= now);
        Reply::Value((!expired).then_some(entry))
    }

    /// What is said of a write whose copies follow another owner: it may be lost, or not.
    #[must_use]
    pub fn superseded(&self) -> Error {
        Error::Lost {
            peer: Arc::clone(&self.0.name),
        }
    }

    fn name_operation(&self) -> OperationId {
        let number = self.0.next_operation.fetch_add(1, Ordering::Relaxed);
        OperationId(self.0.origin | u128::from(number))
    }

    async fn forward(
        &self,
        map: &PartitionMap,
        node: NodeId,
        request: &mut Request<'_>,
    ) -> Result<Attempt, Error> {
        let Some((peers, member)) = self.0.peers.load_full().zip(map.member(node)) else {
            return Ok(Attempt::Again);
        };
        let command = request.command;
        if request.operation.is_none() && !command.is_read() {
            request.operation = Some(self.name_operation());
        }
        let peer = || Arc::clone(&member.name);
        self.0.forwarded.fetch_add(1, Ordering::Relaxed);
        let answer = peers.request(node, command, request.operation, request.deadline);
        match answer.await {
            Ok(Some(reply)) => Ok(Attempt::Done(Answer {
                reply: self.unexpired(reply),
                owner: peer(),
            })),
            Ok(None) | Err(peer::Error::NotConnected) => Ok(Attempt::Again),
            Err(peer::Error::Overloaded) => Err(Error::Overloaded { peer: Some(peer()) }),
            Err(peer::Error::Deadline) => {
                self.0.deadlines.fetch_add(1, Ordering::Relaxed);
                let peer = Some(peer());
                Err(Error::Deadline { peer })
            }
            // A write carries an id: it is not applied twice.
            Err(peer::Error::Lost | peer::Error::Refused(Error::Lost { .. })) => {
                request.lost = Some(peer());
                self.0.resent.fetch_add(1, Ordering::Relaxed);
                Ok(Attempt::Again)
            }
            Err(peer::Error::Refused(error)) => Err(error),
        }
    }

    /// The counters.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            local: self.0.writers.iter().map(Writer::carried_out).sum(),
            forwarded: self.0.forwarded.load(Ordering::Relaxed),
            retries: self.0.retries.load(Ordering::Relaxed),
            resent: self.0.resent.load(Ordering::Relaxed),
            deadlines: self.0.deadlines.load(Ordering::Relaxed),
        }
    }
}

/// What is waited for, if it comes in time; else it goes on without anybody.
async fn in_time<T>(awaited: impl Future<Output = T>, deadline: Instant) -> Result<T, Error> {
    let outcome = tokio::time::timeout_at(deadline, awaited).await;
    outcome.map_err(|_| Error::Deadline { peer: None })
}

/// Waits until a new map is published, or a little: the owner may know more than the map does.
async fn pause(tries: u32, published: impl Future<Output = ()>, deadline: Instant) {
    let span = Duration::from_millis(1 << tries.min(5));
    let until = (Instant::now() + span).min(deadline);
    let _ = tokio::time::timeout_at(until, published).await;
}

#[cfg(test)]
mod tests;
