//! A set of partitions, as it lies in messages.

use crate::key::{PARTITION_COUNT, PartitionId};

/// Bytes of a set of partitions.
pub(super) const PARTITION_SET_BYTES: usize = PARTITION_COUNT as usize / 8;

/// A set of partitions as bits.
#[derive(Clone, PartialEq, Eq)]
pub struct PartitionSet(pub(super) Box<[u8; PARTITION_SET_BYTES]>);

impl std::fmt::Debug for PartitionSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl FromIterator<PartitionId> for PartitionSet {
    fn from_iter<I: IntoIterator<Item = PartitionId>>(partitions: I) -> PartitionSet {
        let mut set = PartitionSet::default();
        partitions.into_iter().for_each(|p| set.insert(p));
        set
    }
}

impl Default for PartitionSet {
    fn default() -> PartitionSet {
        PartitionSet(Box::new([0; PARTITION_SET_BYTES]))
    }
}

impl PartitionSet {
    /// Every partition.
    #[must_use]
    pub fn all() -> PartitionSet {
        PartitionSet(Box::new([0xff; PARTITION_SET_BYTES]))
    }

    /// Adds one.
    pub fn insert(&mut self, partition: PartitionId) {
        self.0[partition.index() / 8] |= 1 << (partition.index() % 8);
    }

    /// Takes one out.
    pub fn remove(&mut self, partition: PartitionId) {
        self.0[partition.index() / 8] &= !(1 << (partition.index() % 8));
    }

    /// Whether none is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|bits| *bits == 0)
    }

    /// Whether a partition is in it.
    #[must_use]
    pub fn contains(&self, partition: PartitionId) -> bool {
        self.0[partition.index() / 8] & (1 << (partition.index() % 8)) != 0
    }

    /// All that are in it, in order.
    pub fn iter(&self) -> impl Iterator<Item = PartitionId> + '_ {
        let filled = (0u16..).zip(self.0.iter()).filter(|(_, bits)| **bits != 0);
        filled.flat_map(|(byte, bits)| {
            let is_in = move |bit: &u16| bits & (1 << bit) != 0;
            (0..8)
                .filter(is_in)
                .map(move |bit| PartitionId(byte * 8 + bit))
        })
    }
}
