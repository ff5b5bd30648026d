//! What a writer tells of its keys as a whole: how many there are, which, and whether they live.

use bytes::Bytes;

use super::Core;
use crate::clock::UnixMs;
use crate::command::Kind;
use crate::key::{self, PartitionId};
use crate::table::Cursor;

/// Some of the kinds that a value can be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds(pub u32);

impl Kinds {
    /// Any kind.
    pub const ALL: Kinds = Kinds(u32::MAX);

    /// Whether a kind is among them.
    #[must_use]
    pub fn contains(self, kind: Kind) -> bool {
        self.0 & 1 << kind as u32 != 0
    }
}

impl FromIterator<Kind> for Kinds {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> Kinds {
        let bits = kinds.into_iter().map(|kind| 1 << kind as u32);
        Kinds(bits.fold(0, |all, bit: u32| all | bit))
    }
}

/// What is so of a partition that this node owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owned {
    /// It.
    pub partition: PartitionId,
    /// Values, expired ones that are not yet swept among them.
    pub entries: u64,
    /// See [`crate::table::Table::created`].
    pub created: u32,
    /// See [`Core::turn`].
    pub turn: u32,
}

impl Core {
    /// Those of some partitions that this node owns, in their order.
    pub fn survey(&self, partitions: impl Iterator<Item = PartitionId>) -> Vec<Owned> {
        partitions
            .filter(|partition| self.roles.is_owned(*partition))
            .map(|partition| Owned {
                partition,
                entries: self.table.partition_entries(partition),
                created: self.table.created(partition),
                turn: self.turns[partition.index()],
            })
            .collect()
    }

    /// Visits the keys of the `wanted` partitions that have values, about `work_max` entries at a
    /// time; where to go on, or `None`. Keys that have one throughout are visited at least once.
    pub fn walk_keys(
        &mut self,
        cursor: Cursor,
        now: UnixMs,
        work_max: usize,
        wanted: impl Fn(PartitionId) -> bool,
        mut visit: impl FnMut(PartitionId, &[u8]),
    ) -> Option<Cursor> {
        self.table
            .scan(cursor, now, work_max, wanted, |partition, key, entry| {
                if entry.kind != Kind::Tombstone {
                    visit(partition, key);
                }
                true
            })
    }

    /// Whether each of these keys of a partition has a value of one of these kinds; `None` if this
    /// node does not own it. To be looked at does not keep a key from being evicted.
    pub fn examine<'a>(
        &self,
        partition: PartitionId,
        keys: impl Iterator<Item = &'a [u8]>,
        kinds: Kinds,
        now: UnixMs,
    ) -> Option<Vec<bool>> {
        if !self.roles.is_owned(partition) {
            return None;
        }
        let is_wanted = |key| {
            let entry = self.table.peek(key, now);
            let value = entry.filter(|e| e.kind != Kind::Tombstone && kinds.contains(e.kind));
            value.is_some_and(|entry| !self.flushed.has_unswept(partition, entry))
        };
        Some(keys.map(is_wanted).collect())
    }

    /// Some key that this node owns, by a number drawn at random; see [`crate::table::Table::sample`].
    #[must_use]
    pub fn sample(&self, drawn: u64, now: UnixMs) -> Option<Bytes> {
        let owned = |partition: PartitionId| self.roles.is_owned(partition);
        let key = self.table.sample(drawn, now, owned)?;
        let partition = key::partition(key);
        let entry = self.table.peek(key, now)?;
        let is_there = !self.flushed.has_unswept(partition, entry);
        is_there.then(|| Bytes::copy_from_slice(key))
    }
}
