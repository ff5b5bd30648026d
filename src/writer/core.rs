//! What the writer's lock guards: the table, the roles of the partitions, the version source, what
//! operations have led to.
//!
//! Pure but for the table that it changes and the lanes that it fills; the caller holds the lock and
//! brings the time.

mod apply;
mod copy;
mod flush;
mod here;
mod keyspace;
mod live;
mod merge;
mod repair;
mod roles;

use std::collections::HashSet;

use bytes::Bytes;
use rapidhash::RapidHashMap;

pub use self::apply::Outcome;
pub use self::copy::Verdict;
pub use self::flush::{Flush, Lost};
pub use self::keyspace::{Kinds, Owned};
pub use self::merge::{Discarded, Merge};
pub use self::repair::{Doubtful, Followed, Sum, key_sum};
pub use self::roles::{Role, Sinks};

use self::apply::Sent;
#[cfg(test)]
pub(super) use self::apply::WORK_MAX;
use self::flush::Flushed;
use self::roles::{NEVER, Roles};
use crate::clock::UnixMs;
use crate::command::{Entry, Kind, Limits, OperationId};
use crate::config::policy::Policies;
use crate::key::{PARTITION_COUNT, PartitionId};
use crate::live::Hub;
use crate::replication::{Change, Done, Keep, Lanes, Operations, Remembered};
use crate::table::{Cursor, Stats, Table};
use crate::version::{Hlc, HlcSource, NodeId, Version};

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
    roles: Roles,
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
            roles: Roles::new(),
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
