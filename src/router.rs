//! The router: from a command to the node that answers for its key, and back.
//!
//! Every door and the library go through here. A key's partition is looked up in the present
//! [`PartitionMap`]; if this node owns it the command goes to its writer, else to the owner's
//! peer link. Maps are hints: a node that is asked for what it does not own says so, and the router
//! asks again with a newer map, within the request's deadline.
//!
//! What is tried again, and what is not: a command that was certainly not applied (refused, moved,
//! or never sent) always is; one whose fate is unknown (the link broke while it was under way) only
//! if it is a read, since the node could have applied it.
//!
//! The actor [`RouterActor`] only publishes maps. It is supervised by the node; while it restarts
//! requests go on with the map that is published.

mod actor;
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
use crate::cluster::peer::{self, Peers};
use crate::command::{self, Command, EntryRef, Reply};
use crate::key::{self, KeyInteger, PartitionId};
use crate::version::NodeId;
use crate::writer::{self, Moved, Outcome, Role, Writer};

/// What a router is made with.
#[derive(Debug)]
pub struct Options {
    /// This node's name.
    pub name: Arc<str>,
    /// This node's writers.
    pub writers: Vec<Writer>,
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
            writer::Error::Overloaded => Error::Overloaded { peer: None },
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
    /// Commands answered by this node's own writers.
    pub local: u64,
    /// Commands sent to another node.
    pub forwarded: u64,
    /// Attempts after the first one.
    pub retries: u64,
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
    local: AtomicU64,
    forwarded: AtomicU64,
    retries: AtomicU64,
    deadlines: AtomicU64,
}

/// What one attempt came to.
enum Attempt {
    Done(Answer),
    /// Certainly not applied: try again, with a newer map if there is one.
    Again,
}

impl Router {
    /// A router with an empty map.
    #[must_use]
    pub fn new(options: Options) -> Router {
        Router(Arc::new(Inner {
            me: NodeId::of(&options.name),
            name: options.name,
            writers: options.writers.into(),
            map: ArcSwap::from_pointee(PartitionMap::empty()),
            published: Notify::new(),
            peers: ArcSwapOption::empty(),
            local: AtomicU64::new(0),
            forwarded: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            deadlines: AtomicU64::new(0),
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

    /// How many partitions are owned here but not yet here as a whole.
    #[must_use]
    pub fn arriving(&self) -> usize {
        self.0.writers.iter().map(Writer::arriving).sum()
    }

    /// Sets this node's role for partitions.
    pub fn set_roles(&self, partitions: &[PartitionId], role: Role) {
        let writers = self.0.writers.len();
        for (index, writer) in self.0.writers.iter().enumerate() {
            let mine = |p: &&PartitionId| p.index() % writers == index;
            let mine: Vec<PartitionId> = partitions.iter().filter(mine).copied().collect();
            if !mine.is_empty() {
                writer.set_roles(&mine, role);
            }
        }
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
        Location {
            integer: key::integer(key),
            partition,
            owner: map.owner(partition).and_then(name),
            backups: Vec::new(),
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
        let partition = key::partition(key);
        if self.0.map.load().owner(partition) != Some(self.0.me) {
            return None;
        }
        let result = self.writer(partition).read(partition, key, read)?;
        self.0.local.fetch_add(1, Ordering::Relaxed);
        Some(result)
    }

    /// Carries a command out, wherever its key lives.
    ///
    /// # Errors
    /// See [`Error`]; each says whether a write may have been applied.
    pub async fn execute(&self, command: &Command, deadline: Instant) -> Result<Answer, Error> {
        let partition = key::partition(command.key().as_bytes());
        let mut tries = 0;
        loop {
            let published = self.0.published.notified();
            let map = self.0.map.load_full();
            let attempt = match map.owner(partition) {
                Some(node) if node == self.0.me => {
                    self.execute_here(partition, command, deadline).await?
                }
                Some(node) => self.forward(&map, node, command, deadline).await?,
                None => Attempt::Again,
            };
            if let Attempt::Done(answer) = attempt {
                return Ok(answer);
            }
            if Instant::now() >= deadline {
                // Whoever was asked did nothing: that is worth saying, since it is certain.
                self.0.deadlines.fetch_add(1, Ordering::Relaxed);
                return Err(Error::NoOwner);
            }
            self.0.retries.fetch_add(1, Ordering::Relaxed);
            tries += 1;
            pause(tries, published, deadline).await;
        }
    }

    async fn execute_here(
        &self,
        partition: PartitionId,
        command: &Command,
        deadline: Instant,
    ) -> Result<Attempt, Error> {
        let applied = self.apply_here(partition, command, deadline).await;
        if matches!(applied, Err(Error::Deadline { .. })) {
            self.0.deadlines.fetch_add(1, Ordering::Relaxed);
        }
        match applied? {
            Some(reply) => {
                self.0.local.fetch_add(1, Ordering::Relaxed);
                Ok(Attempt::Done(Answer {
                    reply,
                    owner: Arc::clone(&self.0.name),
                }))
            }
            None => Ok(Attempt::Again),
        }
    }

    /// Carries a command out on this node's own writer, for a door or for a peer. `None` if this
    /// node does not own the key.
    ///
    /// # Errors
    /// As [`Router::execute`].
    pub async fn apply_here(
        &self,
        partition: PartitionId,
        command: &Command,
        deadline: Instant,
    ) -> Result<Option<Reply>, Error> {
        let writer = self.writer(partition);
        loop {
            let outcome = match writer.apply_inline(partition, command) {
                Some(outcome) => outcome?,
                None => in_time(writer.apply_queued(partition, command.clone()), deadline).await?,
            };
            match outcome {
                Outcome::Done(reply) => return Ok(Some(reply)),
                Outcome::Elsewhere => return Ok(None),
                Outcome::Fetch(holder) => self.fetch(holder, partition, command, deadline).await?,
            }
        }
    }

    /// Brings a key that has not arrived yet from the node that held its partition before.
    async fn fetch(
        &self,
        holder: NodeId,
        partition: PartitionId,
        command: &Command,
        deadline: Instant,
    ) -> Result<(), Error> {
        let key = command.key().clone();
        let peers = self.0.peers.load_full().ok_or(Error::NoOwner)?;
        let writer = self.writer(partition);
        match peers.fetch(holder, key.clone(), deadline).await {
            Ok(Some(entry)) => {
                writer.absorb(&[Moved {
                    partition,
                    key: key.into_bytes(),
                    entry,
                }]);
                Ok(())
            }
            Ok(None) => {
                writer.absorb_absence(partition, key.into_bytes());
                Ok(())
            }
            // The cluster's machine notices a holder that is gone, and ends the arrival.
            Err(_) if Instant::now() < deadline => {
                tokio::time::sleep_until(
                    (Instant::now() + Duration::from_millis(10)).min(deadline),
                )
                .await;
                Ok(())
            }
            Err(_) => Err(Error::Deadline { peer: None }),
        }
    }

    async fn forward(
        &self,
        map: &PartitionMap,
        node: NodeId,
        command: &Command,
        deadline: Instant,
    ) -> Result<Attempt, Error> {
        let Some((peers, member)) = self.0.peers.load_full().zip(map.member(node)) else {
            return Ok(Attempt::Again);
        };
        let peer = || Arc::clone(&member.name);
        self.0.forwarded.fetch_add(1, Ordering::Relaxed);
        match peers.request(node, command, deadline).await {
            Ok(Some(reply)) => Ok(Attempt::Done(Answer {
                reply,
                owner: peer(),
            })),
            Ok(None) | Err(peer::Error::NotConnected) => Ok(Attempt::Again),
            Err(peer::Error::Refused(error)) => Err(error),
            Err(peer::Error::Overloaded) => Err(Error::Overloaded { peer: Some(peer()) }),
            Err(peer::Error::Deadline) => {
                self.0.deadlines.fetch_add(1, Ordering::Relaxed);
                let peer = Some(peer());
                Err(Error::Deadline { peer })
            }
            Err(peer::Error::Lost) if command.is_read() => Ok(Attempt::Again),
            Err(peer::Error::Lost) => Err(Error::Lost { peer: peer() }),
        }
    }

    /// The counters.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            local: self.0.local.load(Ordering::Relaxed),
            forwarded: self.0.forwarded.load(Ordering::Relaxed),
            retries: self.0.retries.load(Ordering::Relaxed),
            deadlines: self.0.deadlines.load(Ordering::Relaxed),
        }
    }
}

/// What a writer's queue comes to, if it does so in time; else the command waits there still.
async fn in_time(
    queued: impl Future<Output = Result<Outcome, writer::Error>>,
    deadline: Instant,
) -> Result<Outcome, Error> {
    let outcome = tokio::time::timeout_at(deadline, queued).await;
    Ok(outcome.map_err(|_| Error::Deadline { peer: None })??)
}

/// Waits until a new map is published, or a little: the owner may know more than the map does.
async fn pause(tries: u32, published: impl Future<Output = ()>, deadline: Instant) {
    let span = Duration::from_millis(1 << tries.min(5));
    let until = (Instant::now() + span).min(deadline);
    let _ = tokio::time::timeout_at(until, published).await;
}

#[cfg(test)]
mod tests;
