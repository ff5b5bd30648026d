//! What a table counts of its entries, by partition and in all: values, those that expire, tombstones.
//!
//! The lists by partition are made when the first entry comes that they count.

use super::Table;
use crate::clock::UnixMs;
use crate::key::{PARTITION_COUNT, PartitionId};

impl Table {
    /// Values of one partition, expired ones that are not yet swept among them.
    #[must_use]
    pub fn partition_entries(&self, partition: PartitionId) -> u64 {
        self.partitions
            .get(partition.index())
            .copied()
            .map_or(0, u64::from)
    }

    /// Those of them that expire.
    #[must_use]
    pub fn partition_expiring(&self, partition: PartitionId) -> u64 {
        self.expiring
            .get(partition.index())
            .copied()
            .map_or(0, u64::from)
    }

    /// Whether nothing is kept of a partition, not even a tombstone.
    #[must_use]
    pub fn is_partition_empty(&self, partition: PartitionId) -> bool {
        let buried = self.buried.get(partition.index()).copied();
        self.partition_entries(partition) == 0 && buried.unwrap_or_default() == 0
    }

    pub(super) fn count(&mut self, handle: u32) {
        if self.partitions.is_empty() {
            self.partitions.resize(usize::from(PARTITION_COUNT), 0);
            self.created.resize(usize::from(PARTITION_COUNT), 0);
        }
        let header = self.log.header(handle);
        if header.is_tombstone() {
            self.tombstones += 1;
            if self.buried.is_empty() {
                self.buried.resize(usize::from(PARTITION_COUNT), 0);
            }
            if let Some(buried) = self.buried.get_mut(header.partition().index()) {
                *buried += 1;
            }
        } else if let Some(entries) = self.partitions.get_mut(header.partition().index()) {
            *entries += 1;
            if let Some(at) = self.log.expires_at(handle) {
                *self.expiring_of(header.partition()) += 1;
                self.expire_at_sum_ms += u128::from(at.0);
            }
        }
        self.timed += usize::from(header.expires());
        self.entries += 1;
        self.data_bytes += self.log.data_bytes(handle);
    }

    fn expiring_of(&mut self, partition: PartitionId) -> &mut u32 {
        if self.expiring.is_empty() {
            self.expiring.resize(usize::from(PARTITION_COUNT), 0);
        }
        &mut self.expiring[partition.index()]
    }

    /// The expiry of a value has changed, and nothing else that is counted.
    #[inline]
    pub(super) fn recount_expiry(
        &mut self,
        partition: PartitionId,
        before: Option<UnixMs>,
        after: Option<UnixMs>,
    ) {
        if before == after {
            return;
        }
        if let Some(at) = after {
            *self.expiring_of(partition) += 1;
            self.expire_at_sum_ms += u128::from(at.0);
        }
        if let Some(at) = before {
            *self.expiring_of(partition) -= 1;
            self.expire_at_sum_ms -= u128::from(at.0);
        }
    }

    pub(super) fn uncount(&mut self, handle: u32) {
        let header = self.log.header(handle);
        if header.is_tombstone() {
            self.tombstones -= 1;
            if let Some(buried) = self.buried.get_mut(header.partition().index()) {
                *buried -= 1;
            }
        } else if let Some(entries) = self.partitions.get_mut(header.partition().index()) {
            *entries -= 1;
            if let Some(at) = self.log.expires_at(handle) {
                *self.expiring_of(header.partition()) -= 1;
                self.expire_at_sum_ms -= u128::from(at.0);
            }
        }
        self.timed -= usize::from(header.expires());
        self.entries -= 1;
        self.data_bytes -= self.log.data_bytes(handle);
    }
}
