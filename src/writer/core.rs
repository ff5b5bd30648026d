//! What the writer's lock guards: the table, the roles of the partitions, the version source, what
//! operations have led to.
//!
//! Pure but for the table that it changes and the lanes that it fills; the caller holds the lock and
//! brings the time.

mod copy;
mod flush;
mod here;
mod keyspace;
mod live;
mod merge;
mod repair;

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use rapidhash::RapidHashMap;

pub use self::copy::Verdict;
pub use self::flush::{Flush, Lost};
pub use self::keyspace::{Kinds, Owned};
pub use self::merge::{Discarded, Merge};
pub use self::repair::{Sum, key_sum};

use self::flush::Flushed;
use super::Error;
use crate::clock::UnixMs;
use crate::command::{
    self, Answer, Changed, Command, Effect, Entry, EntryRef, Kind, Limits, OperationId, Prepared,
    Reply,
};
use crate::config::policy::{Acknowledge, Policies};
use crate::key::{PARTITION_COUNT, PartitionId};
use crate::live::Hub;
use crate::replication::{
    Change, Done, Keep, Lane, Lanes, Operations, Remembered, Ticket, encode_delta, encode_put,
};
use crate::table::{Cursor, Spot, Stats, Table};
use crate::version::{Hlc, HlcSource, NodeId, TAKEOVER_MS, Version};

/// Operations that nodes named: longer than any request may take.
const OF_NODES: Keep = Keep {
    count_max: 128 * 1024,
    ms: 10_000,
};
/// Operations that clients named.
const OF_CLIENTS: Keep = Keep {
    count_max: 64 * 1024,
    ms: 600_000,
};

/// Effects of this length travel in pieces, beside others, which may overtake them.
const LONG_BYTES: usize = 64 << 10;

/// Most work for a document under the lock, in bytes that are looked at: well below a millisecond.
pub(super) const WORK_MAX: usize = 128 << 10;

/// A moment that does not come.
const NEVER: UnixMs = UnixMs(u64::MAX);

/// Where the effects of a partition go.
#[derive(Debug, Default)]
pub struct Sinks {
    /// Copies whose acknowledgement a write waits for.
    pub in_sync: Vec<Arc<Lane>>,
    /// Copies that are being made.
    pub syncing: Vec<Arc<Lane>>,
}

impl Sinks {
    fn all(&self) -> impl Iterator<Item = &Arc<Lane>> {
        self.in_sync.iter().chain(&self.syncing)
    }

    fn is_empty(&self) -> bool {
        self.in_sync.is_empty() && self.syncing.is_empty()
    }
}

/// What this node is to a partition.
#[derive(Clone, Debug, Default)]
pub enum Role {
    /// It does not answer for it. Entries may still be here, for others to fetch.
    #[default]
    Elsewhere,
    /// It holds a copy, and takes what this owner changes.
    Backup(NodeId),
    /// It orders the writes.
    Owned {
        /// Where effects go.
        sinks: Arc<Sinks>,
        /// Whether writes wait.
        frozen: bool,
    },
}

impl Role {
    /// The role of an owner without copies.
    #[must_use]
    pub fn alone() -> Role {
        Role::Owned {
            sinks: Arc::default(),
            frozen: false,
        }
    }

    /// Whether this node answers for the partition.
    #[must_use]
    pub fn is_owned(&self) -> bool {
        matches!(self, Role::Owned { .. })
    }
}

/// What is sent to the copies.
enum Sent {
    /// The entry, and the version before.
    Whole(Option<Version>, Entry),
    /// What changed in the entry of this version.
    Delta(Version, Changed),
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was carried out. What it changed is with all copies once the ticket, if there is one, is
    /// done.
    Done(Reply, Option<Ticket>),
    /// It was carried out, and what it came to is not known any more.
    Forgotten,
    /// This node does not answer for the partition, or not at the moment; nothing was done.
    Elsewhere,
}

/// An entry on its way from one holder to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Its partition.
    pub partition: PartitionId,
    /// Its key.
    pub key: Bytes,
    /// Value, version, expiry.
    pub entry: Entry,
}

/// A stretch of a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// What was found.
    pub entries: Vec<Moved>,
    /// Where to go on; `None` when the scan is complete.
    pub next: Option<Cursor>,
}

/// What was done at once. Counted under the lock, where it costs nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Served {
    pub(super) reads: u64,
    pub(super) writes: u64,
}

/// What a core is made with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The node that signs versions.
    pub node: NodeId,
    /// Bounds of values.
    pub limits: Limits,
    /// How many copies a key has, and what a write waits for.
    pub policies: Policies,
    /// How long a delete is remembered, in milliseconds.
    pub tombstone_ms: u64,
    /// The ways to other nodes.
    pub lanes: Lanes,
}

/// See the module.
#[derive(Debug)]
pub struct Core {
    pub(super) table: Table,
    /// Reads, and writes that their callers applied.
    pub(super) served: Served,
    setup: Setup,
    /// The most copies that any key asks for.
    backups_max: u8,
    roles: Box<[Role]>,
    epochs: Box<[u32]>,
    /// How often each partition's role was set: whoever works on one for a while sees whether it
    /// has been away meanwhile.
    turns: Box<[u32]>,
    /// The greatest version that an owner made and sent to this node's copy of a partition: what it
    /// had made before was here as well, and if it is not any more, it was deleted, evicted or has
    /// expired. Nothing is said of versions that others made: they may come from a third side.
    inherited: RapidHashMap<(PartitionId, NodeId), Hlc>,
    /// Partitions of which a copy here had everything: only of these is that so.
    whole: HashSet<PartitionId>,
    /// Since when this node has held each partition, without a break: what it wrote since then it
    /// knows. [`NEVER`] for those that it does not hold.
    since: Box<[UnixMs]>,
    versions: HlcSource,
    operations: Operations,
    flushed: Flushed,
    /// Whether there was ever another node that might have copies. Without one nobody needs to hear
    /// of deletes and evictions.
    has_company: bool,
    missed: u64,
    /// Who wants to hear of what changes here.
    live: Hub,
}

impl Core {
    /// A core around a table.
    #[must_use]
    pub fn new(table: Table, setup: Setup) -> Core {
        let count = usize::from(PARTITION_COUNT);
        Core {
            table,
            served: Served::default(),
            backups_max: setup.policies.backups_max(),
            setup,
            roles: vec![Role::default(); count].into(),
            epochs: vec![0; count].into(),
            turns: vec![0; count].into(),
            inherited: RapidHashMap::default(),
            whole: HashSet::new(),
            since: vec![NEVER; count].into(),
            versions: HlcSource::default(),
            operations: Operations::new(OF_NODES, OF_CLIENTS),
            flushed: Flushed::default(),
            has_company: false,
            missed: 0,
            live: Hub::default(),
        }
    }

    /// The role of a partition.
    #[must_use]
    pub fn role(&self, partition: PartitionId) -> &Role {
        &self.roles[partition.index()]
    }

    /// A number that changes whenever the role of a partition is set.
    #[must_use]
    pub fn turn(&self, partition: PartitionId) -> u32 {
        self.turns[partition.index()]
    }

    /// The table's counters and sizes.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.table.stats()
    }

    /// Effects of owners that a copy here took without having had the entry before.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// Values of the partitions that this node owns.
    #[must_use]
    pub fn owned_entries(&self) -> u64 {
        let owned = PartitionId::all().filter(|partition| self.role(*partition).is_owned());
        owned
            .map(|partition| self.table.partition_entries(partition))
            .sum()
    }

    /// Those of them that expire.
    #[must_use]
    pub fn owned_expiring(&self) -> u64 {
        let owned = PartitionId::all().filter(|partition| self.role(*partition).is_owned());
        owned
            .map(|partition| self.table.partition_expiring(partition))
            .sum()
    }

    /// Sets the role of partitions, which are at these epochs.
    pub fn set_roles(&mut self, partitions: &[(PartitionId, u32)], role: &Role, now: UnixMs) {
        let alone = matches!(role, Role::Owned { sinks, .. } if sinks.is_empty());
        if !self.has_company && !alone && !matches!(role, Role::Elsewhere) {
            self.has_company = true;
            self.table.note_evictions();
        }
        if matches!(role, Role::Elsewhere) {
            self.disinherit(partitions.iter().map(|(partition, _)| *partition));
        }
        for &(partition, epoch) in partitions {
            let at = partition.index();
            if matches!(role, Role::Backup(_)) && epoch < self.epochs[at] {
                // An effect of the next owner was here before the news of it.
                continue;
            }
            if self.leader(&self.roles[at]) != self.leader(role) {
                self.settle_flush(partition, matches!(role, Role::Backup(_)), now);
            }
            if role.is_owned() && !self.roles[at].is_owned() && self.has_company {
                self.versions.jump_past(UnixMs(now.0 + TAKEOVER_MS));
            }
            if self.roles[at].is_owned() && matches!(role, Role::Backup(_)) {
                // Whoever passes a partition on is a copy that has everything.
                self.whole.insert(partition);
            }
            if matches!(role, Role::Elsewhere) {
                self.since[at] = NEVER;
            } else {
                self.since[at] = self.since[at].min(now);
            }
            self.roles[at] = role.clone();
            self.epochs[at] = self.epochs[at].max(epoch);
            self.turns[at] = self.turns[at].wrapping_add(1);
            if let Role::Owned { sinks, .. } = role {
                self.tell_floor(partition, sinks);
            }
        }
    }

    /// Who orders the writes of a partition, as far as this node is concerned.
    fn leader(&self, role: &Role) -> Option<NodeId> {
        match role {
            Role::Elsewhere => None,
            Role::Backup(owner) => Some(*owner),
            Role::Owned { .. } => Some(self.setup.node),
        }
    }

    fn disinherit(&mut self, partitions: impl Iterator<Item = PartitionId>) {
        if !self.inherited.is_empty() || !self.whole.is_empty() {
            let left: HashSet<PartitionId> = partitions.collect();
            self.inherited.retain(|(of, _), _| !left.contains(of));
            self.whole.retain(|of| !left.contains(of));
        }
    }

    /// All that the owner had of these copies has come.
    pub fn complete(&mut self, partitions: &[PartitionId]) {
        self.whole.extend(partitions);
    }

    /// Forgets what is still here of partitions whose copy is begun anew: it is out of date, and
    /// must not pass for what has arrived.
    pub fn reset(&mut self, partitions: &[PartitionId]) {
        for partition in partitions {
            let turn = &mut self.turns[partition.index()];
            *turn = turn.wrapping_add(1);
            self.since[partition.index()] = NEVER;
            self.flushed.reset(*partition);
        }
        self.disinherit(partitions.iter().copied());
        // The whole table is walked over: not for partitions of which nothing is here.
        let is_left = |p: &PartitionId| {
            !self.table.is_partition_empty(*p) && !self.roles[p.index()].is_owned()
        };
        let left: HashSet<PartitionId> = partitions.iter().copied().filter(is_left).collect();
        if !left.is_empty() {
            let wanted = |p: PartitionId| left.contains(&p);
            self.table
                .remove_partitions(wanted, Cursor::default(), usize::MAX);
        }
    }

    #[inline]
    pub(super) fn read<R>(
        &mut self,
        partition: PartitionId,
        key: &[u8],
        now: UnixMs,
        read: impl FnOnce(Option<EntryRef<'_>>) -> R,
    ) -> Option<R> {
        if !self.roles[partition.index()].is_owned() {
            return None;
        }
        self.served.reads += 1;
        self.purge(partition, key, now);
        Some(read(self.table.get(key, now)))
    }

    /// Carries a command out; `None` if that takes too long under the lock. Then nothing was done: it
    /// can be decided beside it, on a [snapshot](Core::snapshot), and be [settled](Core::settle).
    ///
    /// # Errors
    /// See [`Error`]; then nothing has changed.
    pub fn apply(
        &mut self,
        partition: PartitionId,
        command: &Command,
        operation: Option<OperationId>,
        now: UnixMs,
    ) -> Result<Option<Outcome>, Error> {
        let limits = self.limits_of_turn();
        self.apply_as(partition, command, operation, now, |current, stamp| {
            let next = || stamp.next();
            unless_too_long(command::apply(command, current, now, next, &limits))
        })
    }

    /// Carries out what was decided beside the lock; `None` if the entry has changed since.
    ///
    /// # Errors
    /// See [`Error`]; then nothing has changed.
    pub fn settle(
        &mut self,
        partition: PartitionId,
        command: &Command,
        operation: Option<OperationId>,
        prepared: Prepared,
        now: UnixMs,
    ) -> Result<Option<Outcome>, Error> {
        self.apply_as(partition, command, operation, now, |current, stamp| {
            let fits = prepared.fits(current);
            Ok(fits.then(|| prepared.stamp(|| stamp.next())))
        })
    }

    /// A copy of a key's value, for what takes too long under the lock.
    #[must_use]
    pub fn snapshot(&self, key: &[u8], now: UnixMs) -> Option<Entry> {
        let entry = self.table.peek(key, now);
        let value = entry.filter(|entry| entry.kind != Kind::Tombstone);
        value.map(|entry| entry.to_entry())
    }

    fn limits_of_turn(&self) -> Limits {
        Limits {
            work_max: WORK_MAX,
            ..self.setup.limits
        }
    }

    /// Carries out what `decide` makes of the present value; `None` if it makes nothing of it.
    fn apply_as(
        &mut self,
        partition: PartitionId,
        command: &Command,
        operation: Option<OperationId>,
        now: UnixMs,
        decide: impl FnOnce(Option<EntryRef<'_>>, &mut Stamp<'_>) -> Decided,
    ) -> Result<Option<Outcome>, Error> {
        let key = command.key().as_bytes();
        #[cfg(test)]
        assert_ne!(key, super::tests::POISON, "a poisonous command");
        let Role::Owned { sinks, frozen } = &self.roles[partition.index()] else {
            return Ok(Some(Outcome::Elsewhere));
        };
        if command.is_read() {
            return self.apply_read(partition, command, now);
        }
        if *frozen {
            return Ok(Some(Outcome::Elsewhere));
        }
        // Without copies nothing is sent, and the table may change while the role is looked at.
        let sinks = (!sinks.is_empty()).then(|| Arc::clone(sinks));
        self.purge(partition, key, now);
        if let Some(id) = operation
            && let Some(known) = self.operations.get(id)
            && known.done.fits(command)
        {
            return Ok(Some(again(known, command, self.table.peek(key, now))));
        }
        let spot = self.table.spot(key);
        let present = self.table.peek_at(spot, now);
        let previous = present.map(|entry| entry.version);
        let current = present.filter(|entry| entry.kind != Kind::Tombstone);
        if let Some(sinks) = &sinks {
            // Of an open collection only what changes is sent.
            let grown = command.bytes() + current.map_or(0, |entry| entry.data.len());
            if let Some(lane) = sinks.all().find(|lane| !lane.has_room(grown)) {
                return Err(Error::Backlog(lane.node()));
            }
        }
        let mut stamp = Stamp {
            versions: &mut self.versions,
            node: self.setup.node,
            previous: previous.map(|version| version.hlc),
            now,
        };
        let Some((effect, reply)) = decide(current, &mut stamp)? else {
            return Ok(None);
        };
        let key = command.key().as_bytes();
        let sent = match (effect, previous) {
            (Effect::Change(changed), Some(previous)) => {
                if !self.table.change_at(spot, partition, key, &changed, now)? {
                    // It was here a moment ago, under this very lock.
                    return Err(Error::Internal);
                }
                Sent::Delta(previous, changed)
            }
            (Effect::None | Effect::Change(_), _) => return Ok(Some(Outcome::Done(reply, None))),
            (Effect::Put(entry), previous) => Sent::Whole(previous, entry),
            (Effect::Delete, previous) => Sent::Whole(
                previous,
                tombstone(stamp.next(), now, self.setup.tombstone_ms),
            ),
        };
        if let Sent::Whole(_, entry) = &sent {
            self.store(spot, partition, key, entry, now)?;
        }
        self.tell_applied(key, &sent, now);
        let done = operation.and_then(|id| Some((id, Done::of(&reply)?)));
        let ticket = sinks.and_then(|to| self.send(partition, key, &sent, done.as_ref(), &to));
        if let Some((id, done)) = done {
            let ticket = ticket.clone();
            let remembered = Remembered {
                partition,
                done,
                ticket,
            };
            self.operations.remember(id, remembered, now);
        }
        self.tell_evictions();
        Ok(Some(Outcome::Done(reply, ticket)))
    }

    fn apply_read(
        &mut self,
        partition: PartitionId,
        command: &Command,
        now: UnixMs,
    ) -> Result<Option<Outcome>, Error> {
        self.purge(partition, command.key().as_bytes(), now);
        let limits = self.limits_of_turn();
        let key = command.key().as_bytes();
        let inspects = command.inspects();
        let current = match inspects {
            true => self
                .table
                .peek(key, now)
                .filter(|entry| entry.kind != Kind::Tombstone),
            false => self.table.get(key, now),
        };
        let no_version = Version::default;
        let decided = command::apply(command, current, now, no_version, &limits);
        let Some((_, mut reply)) = unless_too_long(decided)? else {
            return Ok(None);
        };
        if inspects
            && let Reply::Answer {
                answer: Answer::Inspected(inspected),
                ..
            } = &mut reply
            && let Some(usage) = self.table.usage(key)
        {
            inspected.memory_bytes = usage.memory_bytes;
            inspected.uses = usage.frequency;
        }
        Ok(Some(Outcome::Done(reply, None)))
    }

    /// Puts an entry, or, for a delete that nobody else has to hear of, takes it away.
    fn store(
        &mut self,
        spot: Spot,
        partition: PartitionId,
        key: &[u8],
        entry: &Entry,
        now: UnixMs,
    ) -> Result<(), Error> {
        if entry.kind == Kind::Tombstone && !self.has_company {
            self.table.remove(key, now);
            return Ok(());
        }
        let put = self.table.put_at(spot, partition, key, entry.as_ref(), now);
        if put.is_err() && entry.kind == Kind::Tombstone {
            // No room even for that: at least the value must go.
            self.table.remove(key, now);
            return Ok(());
        }
        put.map_err(Error::from)
    }

    /// Sends what changed to the copies.
    fn send(
        &self,
        partition: PartitionId,
        key: &[u8],
        sent: &Sent,
        done: Option<&(OperationId, Done)>,
        sinks: &Sinks,
    ) -> Option<Ticket> {
        if sinks.is_empty() {
            return None;
        }
        let policy = self.setup.policies.of(key);
        let awaited = match policy.acknowledge {
            Acknowledge::Owner => 0,
            // One that is too many is waited for as well: it may be the one that takes over.
            Acknowledge::Backup if policy.backups >= self.backups_max => sinks.in_sync.len(),
            Acknowledge::Backup => sinks.in_sync.len().min(usize::from(policy.backups)),
        };
        let ticket = (awaited > 0).then(|| Ticket::new(awaited));
        let place = (partition, self.epochs[partition.index()]);
        let done = done.map(|(id, done)| (*id, done));
        let effect = match sent {
            Sent::Whole(previous, entry) => encode_put(place, key, *previous, entry.as_ref(), done),
            Sent::Delta(previous, changed) => encode_delta(place, key, *previous, changed, done),
        };
        for (place, lane) in sinks.all().enumerate() {
            let ticket = ticket.as_ref().filter(|_| place < awaited);
            match sent {
                Sent::Whole(_, entry)
                    if entry.kind.is_collection() && effect.len() >= LONG_BYTES =>
                {
                    lane.push_long(key, entry.version, effect.clone(), ticket.cloned());
                }
                _ => lane.push(effect.clone(), ticket.cloned()),
            }
        }
        ticket
    }

    /// Tells the copies, or the owners, of what was evicted here.
    pub fn tell_evictions(&mut self) {
        self.tell_gone();
        if !self.has_company {
            return;
        }
        for evictee in self.table.take_evicted() {
            let at = evictee.partition.index();
            let effect = |change| {
                let effect = crate::replication::Effect {
                    partition: evictee.partition,
                    epoch: self.epochs[at],
                    key: evictee.key.clone(),
                    change,
                    operation: None,
                };
                effect.encode()
            };
            match &self.roles[at] {
                Role::Elsewhere => {}
                Role::Backup(owner) => {
                    let lane = self.setup.lanes.lane(*owner);
                    lane.push(effect(Change::Evicted(evictee.version)), None);
                }
                Role::Owned { sinks, .. } if sinks.is_empty() => {}
                Role::Owned { sinks, .. } => {
                    let effect = effect(Change::Evict(evictee.version));
                    sinks.all().for_each(|lane| lane.push(effect.clone(), None));
                }
            }
        }
    }

    /// Copies entries, tombstones among them, of the `wanted` partitions, about `bytes_max` bytes. Before
    /// the first of them comes what was deleted as a whole: tombstones of no key.
    pub fn scan(
        &mut self,
        cursor: Cursor,
        now: UnixMs,
        wanted: impl Fn(PartitionId) -> bool,
        bytes_max: usize,
    ) -> Scanned {
        const WORK_MAX: usize = 4_000;
        let mut entries = Vec::new();
        if cursor == Cursor::default() {
            entries.extend(self.floors(&wanted));
        }
        let mut bytes = 64 * entries.len();
        let next = self
            .table
            .scan(cursor, now, WORK_MAX, wanted, |partition, key, entry| {
                bytes += key.len() + entry.stored_bytes();
                entries.push(Moved {
                    partition,
                    key: Bytes::copy_from_slice(key),
                    entry: entry.to_entry(),
                });
                bytes < bytes_max
            });
        Scanned { entries, next }
    }

    /// Operations of some partitions that somebody may still ask for.
    #[must_use]
    pub fn operations_of(&self, wanted: impl Fn(PartitionId) -> bool) -> Vec<Operation> {
        let found = self.operations.of(wanted);
        found
            .map(|(partition, id, done)| Operation {
                partition,
                id,
                done: done.clone(),
            })
            .collect()
    }

    /// Takes over what another holder remembers.
    pub fn learn(&mut self, operation: Operation, now: UnixMs) {
        let remembered = Remembered {
            partition: operation.partition,
            done: operation.done,
            ticket: None,
        };
        self.operations.remember(operation.id, remembered, now);
    }

    /// Tidies up, at most about `work_max` entries' worth; whether more is due.
    pub fn maintain(&mut self, now: UnixMs, work_max: usize) -> bool {
        self.operations.forget_old(now);
        let more = self.sweep_flushed(now, work_max);
        let more = self.table.maintain(now, work_max) || more;
        self.tell_evictions();
        more
    }

    /// Drops entries of partitions that live elsewhere; where to go on, or `None`.
    pub fn drop_partitions(
        &mut self,
        wanted: impl Fn(PartitionId) -> bool,
        cursor: Cursor,
        work_max: usize,
    ) -> Option<Cursor> {
        // A partition may have come back since it was to be dropped.
        let roles = &self.roles;
        let elsewhere = |p: PartitionId| matches!(roles[p.index()], Role::Elsewhere);
        let wanted = |p: PartitionId| elsewhere(p) && wanted(p);
        self.table.remove_partitions(wanted, cursor, work_max)
    }
}

/// What the version of a key's next value is made with.
struct Stamp<'a> {
    versions: &'a mut HlcSource,
    node: NodeId,
    previous: Option<Hlc>,
    now: UnixMs,
}

impl Stamp<'_> {
    fn next(&mut self) -> Version {
        Version {
            hlc: self.versions.next(self.now, self.previous),
            node: self.node,
        }
    }
}

/// What a command comes to; `None` if that takes too long to find out.
type Decided = Result<Option<(Effect, Reply)>, command::Error>;

fn unless_too_long(decided: Result<(Effect, Reply), command::Error>) -> Decided {
    match decided {
        Err(error) if error.is_too_much_work() => Ok(None),
        decided => decided.map(Some),
    }
}

/// What an operation has led to, on its way to another holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its key's partition.
    pub partition: PartitionId,
    /// Its id.
    pub id: OperationId,
    /// What it has led to.
    pub done: Done,
}

/// What an operation that was applied before came to.
fn again(known: &Remembered, command: &Command, current: Option<EntryRef<'_>>) -> Outcome {
    if known.ticket.as_ref().and_then(Ticket::outcome) == Some(false) {
        // Its copies follow another owner, which this node is about to hear of.
        return Outcome::Elsewhere;
    }
    match known.done.reply(command, current) {
        Some(reply) => Outcome::Done(reply, known.ticket.clone()),
        None => Outcome::Forgotten,
    }
}

fn tombstone(version: Version, now: UnixMs, keep_ms: u64) -> Entry {
    Entry {
        kind: Kind::Tombstone,
        data: Bytes::new(),
        version,
        tag: None,
        expires_at: Some(UnixMs(now.0.saturating_add(keep_ms))),
    }
}

#[cfg(test)]
mod tests;
