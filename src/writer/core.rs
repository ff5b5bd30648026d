//! What the writer's lock guards: the table, the roles of the partitions, the version source.
//!
//! Pure but for the table that it changes; the caller holds the lock and brings the time.

use std::collections::HashMap;

use bytes::Bytes;

use super::Error;
use crate::clock::UnixMs;
use crate::command::{self, Command, Effect, Entry, EntryRef, Limits, Reply};
use crate::key::{PARTITION_COUNT, PartitionId};
use crate::table::{Cursor, Table};
use crate::version::{Hlc, HlcSource, NodeId, Version};

/// What this node is to a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Somebody else, or nobody, owns it. Entries may still be held for their new owner to fetch.
    #[default]
    Elsewhere,
    /// This node owns it, but not all of its entries have arrived from the previous holder: a key
    /// that is not here must be fetched before a command is applied to it.
    Arriving(NodeId),
    /// This node owns it and holds it whole.
    Owned,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was carried out.
    Done(Reply),
    /// This node does not own the partition (any more); nothing was done.
    Elsewhere,
    /// The key must be fetched from this holder first; nothing was done.
    Fetch(NodeId),
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

#[derive(Debug)]
pub(super) struct Core {
    pub(super) table: Table,
    roles: Box<[Role]>,
    /// How often each partition's role was set: whoever works on one for a while sees whether it
    /// has been away meanwhile.
    turns: Box<[u32]>,
    /// Keys of arriving partitions that are known to be absent: deleted here since, or never held
    /// by the previous holder. What the stream still brings for them is older than the version.
    settled: HashMap<Bytes, (PartitionId, Version)>,
    versions: HlcSource,
    node: NodeId,
    limits: Limits,
}

impl Core {
    pub(super) fn new(table: Table, node: NodeId, limits: Limits) -> Core {
        Core {
            table,
            roles: vec![Role::default(); usize::from(PARTITION_COUNT)].into(),
            turns: vec![0; usize::from(PARTITION_COUNT)].into(),
            settled: HashMap::new(),
            versions: HlcSource::default(),
            node,
            limits,
        }
    }

    pub(super) fn role(&self, partition: PartitionId) -> Role {
        self.roles[partition.index()]
    }

    pub(super) fn turn(&self, partition: PartitionId) -> u32 {
        self.turns[partition.index()]
    }

    pub(super) fn arriving(&self) -> usize {
        self.roles
            .iter()
            .filter(|role| matches!(role, Role::Arriving(_)))
            .count()
    }

    pub(super) fn set_roles(&mut self, partitions: &[PartitionId], role: Role) {
        if matches!(role, Role::Arriving(_)) {
            self.drop_leftovers(partitions);
        }
        for partition in partitions {
            self.roles[partition.index()] = role;
            self.turns[partition.index()] = self.turns[partition.index()].wrapping_add(1);
        }
        if !matches!(role, Role::Arriving(_)) && !self.settled.is_empty() {
            self.settled.retain(|_, (of, _)| !partitions.contains(of));
        }
    }

    /// What is still here of a partition that was elsewhere meanwhile is out of date, and must not
    /// pass for what has arrived.
    fn drop_leftovers(&mut self, partitions: &[PartitionId]) {
        let left = |p: &&PartitionId| {
            self.role(**p) == Role::Elsewhere && self.table.partition_entries(**p) > 0
        };
        let leftovers: Vec<PartitionId> = partitions.iter().filter(left).copied().collect();
        if !leftovers.is_empty() {
            let wanted = |p: PartitionId| leftovers.contains(&p);
            self.drop_partitions(wanted, Cursor::default(), usize::MAX);
        }
    }

    pub(super) fn read<R>(
        &mut self,
        partition: PartitionId,
        key: &[u8],
        now: UnixMs,
        read: impl FnOnce(Option<EntryRef<'_>>) -> R,
    ) -> Option<R> {
        match self.roles[partition.index()] {
            Role::Owned => Some(read(self.table.get(key, now))),
            Role::Elsewhere => None,
            Role::Arriving(_) if self.knows(key, now) => Some(read(self.table.get(key, now))),
            Role::Arriving(_) => None,
        }
    }

    /// Whether an arriving key needs no fetching.
    fn knows(&self, key: &[u8], now: UnixMs) -> bool {
        self.settled.contains_key(key) || self.table.peek(key, now).is_some()
    }

    pub(super) fn apply(
        &mut self,
        partition: PartitionId,
        command: &Command,
        now: UnixMs,
    ) -> Result<Outcome, Error> {
        let key = command.key().as_bytes();
        #[cfg(test)]
        assert_ne!(key, super::tests::POISON, "a poisonous command");
        match self.roles[partition.index()] {
            Role::Elsewhere => return Ok(Outcome::Elsewhere),
            Role::Arriving(from) if !self.knows(key, now) => return Ok(Outcome::Fetch(from)),
            Role::Arriving(_) | Role::Owned => {}
        }
        let current = if command.is_read() {
            self.table.get(key, now)
        } else {
            self.table.peek(key, now)
        };
        let seen = current.map(|entry| entry.version.hlc);
        let (versions, node) = (&mut self.versions, self.node);
        let next = || Version {
            hlc: versions.next(now, seen),
            node,
        };
        let (effect, reply) = command::apply(command, current, now, next, &self.limits)?;
        let key = command.key().clone().into_bytes();
        self.carry_out(partition, key, effect, seen, now)?;
        Ok(Outcome::Done(reply))
    }

    fn carry_out(
        &mut self,
        partition: PartitionId,
        key: Bytes,
        effect: Effect,
        seen: Option<Hlc>,
        now: UnixMs,
    ) -> Result<(), Error> {
        match effect {
            Effect::None => {}
            Effect::Put(entry) => {
                self.table
                    .put(partition, &key, entry.as_ref(), now)
                    .map_err(Error::from)?;
                if !self.settled.is_empty() {
                    self.settled.remove(&key);
                }
            }
            Effect::Delete => {
                let version = Version {
                    hlc: self.versions.next(now, seen),
                    node: self.node,
                };
                self.table.remove(&key, now);
                if matches!(self.roles[partition.index()], Role::Arriving(_)) {
                    self.settled.insert(key, (partition, version));
                }
            }
        }
        Ok(())
    }

    pub(super) fn absorb(&mut self, moved: &Moved, now: UnixMs) -> bool {
        let expired = moved.entry.expires_at.is_some_and(|at| at <= now);
        let theirs = moved.entry.version;
        let ours = self.table.peek(&moved.key, now).map(|entry| entry.version);
        let settled = self.settled.get(&moved.key).map(|(_, version)| *version);
        if self.roles[moved.partition.index()] == Role::Elsewhere
            || expired
            || ours.max(settled).is_some_and(|ours| ours >= theirs)
        {
            return false;
        }
        let put = self
            .table
            .put(moved.partition, &moved.key, moved.entry.as_ref(), now);
        put.is_ok()
    }

    pub(super) fn absorb_absence(&mut self, partition: PartitionId, key: Bytes) {
        if matches!(self.roles[partition.index()], Role::Arriving(_)) {
            self.settled
                .entry(key)
                .or_insert((partition, Version::default()));
        }
    }

    pub(super) fn scan(
        &mut self,
        cursor: Cursor,
        now: UnixMs,
        wanted: impl Fn(PartitionId) -> bool,
        bytes_max: usize,
    ) -> Scanned {
        const WORK_MAX: usize = 4_000;
        let mut entries = Vec::new();
        let mut bytes = 0;
        let next = self
            .table
            .scan(cursor, now, WORK_MAX, wanted, |partition, key, entry| {
                bytes += key.len() + entry.data.len();
                entries.push(Moved {
                    partition,
                    key: Bytes::copy_from_slice(key),
                    entry: entry.to_entry(),
                });
                bytes < bytes_max
            });
        Scanned { entries, next }
    }

    /// Drops entries of partitions that live elsewhere; where to go on, or `None`.
    pub(super) fn drop_partitions(
        &mut self,
        wanted: impl Fn(PartitionId) -> bool,
        cursor: Cursor,
        work_max: usize,
    ) -> Option<Cursor> {
        // A partition may have come back since it was to be dropped.
        let roles = &self.roles;
        let wanted = |p: PartitionId| roles[p.index()] == Role::Elsewhere && wanted(p);
        self.table.remove_partitions(wanted, cursor, work_max)
    }
}
