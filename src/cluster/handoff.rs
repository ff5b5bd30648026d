//! Handoff: the entries of partitions come from the node that holds them.
//!
//! Whoever needs them pulls, a stretch at a time, so it sets the pace and knows how far it is: for a
//! copy from its owner ([`Handoff::sync`]), from the other side of a healed cut
//! ([`Handoff::merge`]), or where a copy turns out to differ from its owner's ([`Handoff::repair`]). A
//! stretch whose session breaks is asked for again where it stood. All pulls of a node share one rate,
//! and can be paused together.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::codec::{PartitionSet, Pull};
use super::ownership::Part;
use super::peer::{Error, Peers};
use crate::key::PartitionId;
use crate::replication::Ticket;
use crate::router::Router;
use crate::version::NodeId;
use crate::writer::{Discarded, Doubtful, Followed, Merge, Moved, Writer, key_sum};

/// About so many bytes of entries come at a time.
const CHUNK_BYTES: u32 = 128 * 1024;
/// Longest wait for one stretch.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(10);
/// A stretch that does not come is asked for again after so long.
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// A node that gives nothing for so long is given up; ownership asks again if it lives.
const PATIENCE: Duration = Duration::from_secs(10);
/// Copies are different only if they are so at each of so many looks, since what is under way makes
/// them so for a moment.
const REPAIR_LOOKS: usize = 3;
/// The time between two looks.
const REPAIR_LOOK_AGAIN: Duration = Duration::from_secs(2);
/// So many partitions are repaired at a time.
const REPAIR_PARTITIONS_MAX: usize = 64;
/// Of one merge, so many discarded writes are logged one by one.
const DISCARDED_LOGGED_MAX: u64 = 100;

/// All pulls of a node; cheap to clone.
#[derive(Clone, Debug)]
pub struct Handoff(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    router: Router,
    peers: Peers,
    /// Bytes a second for all together; 0 is as many as come.
    rate: u64,
    /// When the next stretch may be asked for.
    next: Mutex<Instant>,
    paused: AtomicBool,
    resumed: Notify,
    under_way: AtomicU64,
    entries: AtomicU64,
    bytes: AtomicU64,
    discarded: AtomicU64,
    repaired: AtomicU64,
}

/// How far handoffs to this node are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Progress {
    /// Whether they are paused.
    pub paused: bool,
    /// Handoffs under way to this node.
    pub under_way: u64,
    /// Entries that have come, since the start.
    pub entries: u64,
    /// Bytes of keys and values that have come, since the start.
    pub bytes: u64,
    /// Acknowledged writes that lost against the other side of a cut, since the start.
    pub discarded_writes: u64,
    /// Copies of partitions that differed from their owner's and were repaired, since the start.
    pub repaired: u64,
}

impl Handoff {
    /// No pulls yet. `rate` is in bytes a second for all together; 0 is as many as come.
    #[must_use]
    pub fn new(router: Router, peers: Peers, rate: u64) -> Handoff {
        Handoff(Arc::new(Inner {
            router,
            peers,
            rate,
            next: Mutex::new(Instant::now()),
            paused: AtomicBool::new(false),
            resumed: Notify::new(),
            under_way: AtomicU64::new(0),
            entries: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            discarded: AtomicU64::new(0),
            repaired: AtomicU64::new(0),
        }))
    }

    /// Has all pulls wait from the next stretch on, or go on.
    pub fn pause(&self, paused: bool) {
        self.0.paused.store(paused, Ordering::Release);
        self.0.resumed.notify_waiters();
    }

    /// How far they are.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress {
            paused: self.0.paused.load(Ordering::Acquire),
            under_way: self.0.under_way.load(Ordering::Relaxed),
            entries: self.0.entries.load(Ordering::Relaxed),
            bytes: self.0.bytes.load(Ordering::Relaxed),
            repaired: self.0.repaired.load(Ordering::Relaxed),
            discarded_writes: self.0.discarded.load(Ordering::Relaxed),
        }
    }

    /// Pulls copies of partitions from their owner, which it has offered by these numbers: those that are
    /// complete.
    ///
    /// # Errors
    /// When the owner does not answer any more.
    pub async fn sync(
        &self,
        from: NodeId,
        offered: &[(PartitionId, u32)],
    ) -> Result<Vec<(PartitionId, u32)>, Error> {
        let router = &self.0.router;
        let turn = |(partition, _): &(PartitionId, u32)| router.writer(*partition).turn(*partition);
        let turns: Vec<u32> = offered.iter().map(turn).collect();
        let set: PartitionSet = offered.iter().map(|(partition, _)| *partition).collect();
        let mut stretches = Stretches::new(self, from, &set);
        while let Some(entries) = stretches.next().await? {
            for moved in &entries {
                let writer = router.writer(moved.partition);
                writer.absorb(from, std::slice::from_ref(moved));
            }
        }
        let deadline = Instant::now() + CHUNK_TIMEOUT;
        for operation in self.0.peers.operations(from, set.clone(), deadline).await? {
            router.writer(operation.partition).learn(operation);
        }
        let complete = offered.iter().copied().zip(turns);
        let complete = complete.filter(|((p, _), turn)| router.writer(*p).complete(*p, *turn));
        Ok(complete.map(|(offered, _)| offered).collect())
    }

    /// Takes over what is lacking here of partitions that `from` owned as well: those of which all
    /// is settled, and with the copies.
    ///
    /// # Errors
    /// When it does not answer any more.
    pub async fn merge(&self, from: NodeId, parts: &[Part]) -> Result<Vec<PartitionId>, Error> {
        let mut merging = Merging::new(self, parts);
        let set: PartitionSet = parts.iter().map(|part| part.partition).collect();
        let mut stretches = Stretches::new(self, from, &set);
        while let Some(entries) = stretches.next().await? {
            for moved in &entries {
                merging.take(moved).await;
            }
        }
        let merged = merging.settle().await;
        Ok(parts
            .iter()
            .map(|part| part.partition)
            .filter(|partition| merged.contains(*partition))
            .collect())
    }

    /// Waits while handoffs are paused, and until the rate allows the next stretch.
    async fn may_go_on(&self) {
        loop {
            let resumed = self.0.resumed.notified();
            if !self.0.paused.load(Ordering::Acquire) {
                break;
            }
            resumed.await;
        }
        let next = *self.0.next.lock();
        tokio::time::sleep_until(next).await;
    }

    /// Compares copies with what their owner has, and makes those that stay different the same: how
    /// many partitions did.
    ///
    /// # Errors
    /// When the owner does not answer any more.
    pub async fn repair(&self, owner: NodeId, copies: &[PartitionId]) -> Result<usize, Error> {
        let router = &self.0.router;
        let turn = |p: &PartitionId| Some((*p, router.writer(*p).turn_behind(*p, owner)?));
        let mut followed = Followed {
            owner,
            turns: copies.iter().filter_map(turn).collect(),
        };
        let mut different: Vec<PartitionId> = followed.turns.keys().copied().collect();
        for _ in 0..REPAIR_LOOKS {
            different = self.differing(owner, &different).await?;
            if different.is_empty() {
                return Ok(0);
            }
            tokio::time::sleep(REPAIR_LOOK_AGAIN).await;
        }
        different.truncate(REPAIR_PARTITIONS_MAX);
        followed.turns.retain(|p, _| different.contains(p));
        let set: PartitionSet = different.iter().copied().collect();
        let Some(asked) = router.writers().first().map(Writer::now) else {
            return Ok(0);
        };
        let mut seen = HashSet::new();
        let mut put = 0;
        let mut stretches = Stretches::new(self, owner, &set);
        while let Some(entries) = stretches.next().await? {
            for moved in &entries {
                seen.insert(key_sum(&moved.key));
                let writer = router.writer(moved.partition);
                put += usize::from(writer.overrule(&followed, moved, asked));
            }
        }
        let mut doubtful = HashMap::new();
        for writer in router.writers() {
            let unseen = writer.find_unseen(&followed, &seen, asked).await;
            doubtful.extend(unseen.into_iter().map(|one| (one.key.clone(), one)));
        }
        let removed = self.remove(&followed, doubtful).await?;
        let count = different.len();
        self.0.repaired.fetch_add(count as u64, Ordering::Relaxed);
        tracing::warn!(
            partitions = count,
            put,
            removed,
            owner = owner.0,
            "copies differed from their owner's and were repaired"
        );
        Ok(count)
    }

    /// Removes entries that the owner still does not have; how many that were.
    async fn remove(
        &self,
        followed: &Followed,
        mut doubtful: HashMap<Bytes, Doubtful>,
    ) -> Result<usize, Error> {
        if doubtful.is_empty() {
            return Ok(0);
        }
        let set: PartitionSet = doubtful.values().map(|one| one.partition).collect();
        let mut stretches = Stretches::new(self, followed.owner, &set);
        while let Some(entries) = stretches.next().await? {
            for moved in &entries {
                doubtful.remove(&moved.key);
            }
        }
        let gone = |one: &&Doubtful| {
            let writer = self.0.router.writer(one.partition);
            writer.remove_doubtful(followed, one)
        };
        Ok(doubtful.values().filter(gone).count())
    }

    /// Those of some copies that do not come to the same here and at their owner.
    async fn differing(
        &self,
        owner: NodeId,
        copies: &[PartitionId],
    ) -> Result<Vec<PartitionId>, Error> {
        let set: PartitionSet = copies.iter().copied().collect();
        let deadline = Instant::now() + CHUNK_TIMEOUT;
        let theirs = self.0.peers.sums(owner, set.clone(), deadline).await?;
        let ours = self.0.router.sums(&set).await;
        let pairs = set.iter().zip(theirs.into_iter().zip(ours));
        let differing = pairs.filter(|(_, (theirs, ours))| theirs != ours);
        Ok(differing.map(|(partition, _)| partition).collect())
    }

    /// Counts what came, and puts the next stretch off by what the rate asks for it.
    fn count(&self, entries: &[Moved]) {
        let size = |moved: &Moved| (moved.key.len() + moved.entry.data.len()) as u64;
        let bytes: u64 = entries.iter().map(size).sum();
        self.0
            .entries
            .fetch_add(entries.len() as u64, Ordering::Relaxed);
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(us) = (bytes * 1_000_000).checked_div(self.0.rate) {
            let mut next = self.0.next.lock();
            *next = (*next).max(Instant::now()) + Duration::from_micros(us);
        }
    }
}

/// What a node holds of some partitions, a stretch at a time.
struct Stretches<'a> {
    handoff: &'a Handoff,
    from: NodeId,
    set: &'a PartitionSet,
    at: Option<(u16, u64)>,
}

impl<'a> Stretches<'a> {
    fn new(handoff: &'a Handoff, from: NodeId, set: &'a PartitionSet) -> Stretches<'a> {
        handoff.0.under_way.fetch_add(1, Ordering::Relaxed);
        Stretches {
            handoff,
            from,
            set,
            at: Some((0, 0)),
        }
    }

    async fn next(&mut self) -> Result<Option<Vec<Moved>>, Error> {
        let Some((writer, cursor)) = self.at else {
            return Ok(None);
        };
        let inner = &*self.handoff.0;
        let since = Instant::now();
        loop {
            self.handoff.may_go_on().await;
            let pull = Pull {
                partitions: self.set.clone(),
                writer,
                cursor,
                bytes_max: CHUNK_BYTES,
            };
            let deadline = Instant::now() + CHUNK_TIMEOUT;
            match inner.peers.pull(self.from, pull, deadline).await {
                Ok((entries, next)) => {
                    self.at = next;
                    self.handoff.count(&entries);
                    // Others get a turn between two stretches.
                    tokio::task::yield_now().await;
                    return Ok(Some(entries));
                }
                Err(error) if since.elapsed() >= PATIENCE => return Err(error),
                Err(_) => tokio::time::sleep(RETRY_AFTER).await,
            }
        }
    }
}

impl Drop for Stretches<'_> {
    fn drop(&mut self) {
        self.handoff.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A merge under way.
struct Merging<'a> {
    handoff: &'a Handoff,
    parted: Vec<Part>,
    tickets: Vec<(PartitionId, Ticket)>,
    /// Partitions that this node does not own any more.
    lost: Vec<PartitionId>,
    discarded: u64,
}

/// So many writes may wait for copies before the next ones are made.
const TICKETS_MAX: usize = 1_000;

impl<'a> Merging<'a> {
    fn new(handoff: &'a Handoff, parts: &[Part]) -> Merging<'a> {
        let mut parted = parts.to_vec();
        parted.sort_by_key(|part| part.partition);
        Merging {
            handoff,
            parted,
            tickets: Vec::new(),
            lost: Vec::new(),
            discarded: 0,
        }
    }

    async fn take(&mut self, moved: &Moved) {
        let partition = moved.partition;
        let found = self
            .parted
            .binary_search_by_key(&partition, |part| part.partition);
        let Ok(place) = found else { return };
        let writer = self.handoff.0.router.writer(partition);
        loop {
            match writer.merge(moved, self.parted[place].since) {
                Merge::Elsewhere => {
                    self.lost.push(partition);
                    self.parted.remove(place);
                }
                Merge::Later(_) => {
                    tokio::time::sleep(RETRY_AFTER).await;
                    continue;
                }
                Merge::Settled { ticket, discarded } => {
                    self.tickets
                        .extend(ticket.map(|ticket| (partition, ticket)));
                    discarded.iter().for_each(|discarded| self.tell(discarded));
                }
            }
            break;
        }
        if self.tickets.len() >= TICKETS_MAX {
            self.wait().await;
        }
    }

    fn tell(&mut self, discarded: &Discarded) {
        self.discarded += 1;
        self.handoff.0.discarded.fetch_add(1, Ordering::Relaxed);
        if self.discarded <= DISCARDED_LOGGED_MAX {
            tracing::warn!(
                key = %discarded.key.escape_ascii(),
                version = %discarded.version,
                by = discarded.by.map(tracing::field::display),
                "an acknowledged write lost against one of the other side of a cut"
            );
        }
    }

    async fn wait(&mut self) {
        for (partition, ticket) in std::mem::take(&mut self.tickets) {
            if !ticket.done().await {
                self.lost.push(partition);
            }
        }
    }

    /// The partitions of which all is settled.
    async fn settle(mut self) -> PartitionSet {
        self.wait().await;
        if self.discarded > DISCARDED_LOGGED_MAX {
            let count = self.discarded;
            tracing::warn!(
                count,
                "acknowledged writes lost against the other side of a cut"
            );
        }
        let lost: PartitionSet = self.lost.iter().copied().collect();
        let settled = self.parted.iter().map(|part| part.partition);
        settled
            .filter(|partition| !lost.contains(*partition))
            .collect()
    }
}
