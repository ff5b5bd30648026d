//! Repair: what a copy has, compared with what its owner has, and made the same.
//!
//! A copy that took every effect is the same as its owner's table but for what is under way. Should
//! one have been missed for a reason that nobody thought of, this finds it: both sum up what they
//! have of each partition, and a copy whose sum stays different pulls the partition anew, the
//! owner's word against its own.
//!
//! Left out of the sums is what may differ for a moment: tombstones, which are forgotten at
//! different times, and entries that are about to expire.

use std::collections::HashSet;

use rapidhash::v3::rapidhash_v3;

use super::{Core, Moved, Role};
use crate::clock::UnixMs;
use crate::command::{EntryRef, Kind};
use crate::key::PartitionId;
use crate::table::Cursor;
use crate::version::{CLOCK_SKEW_MS_MAX, Version};

/// Entries with less than this to live, in milliseconds, are left out.
const EXPIRES_SOON_MS: u64 = 10_000;

/// Keys and versions, in 64 bits each.
pub type Sum = u64;

impl Core {
    /// Adds what is here of the `wanted` partitions to their `sums`, about `work_max` entries at a
    /// time; where to go on, or `None`.
    pub fn sum_up(
        &mut self,
        cursor: Cursor,
        wanted: impl Fn(PartitionId) -> bool,
        sums: &mut [Sum],
        now: UnixMs,
        work_max: usize,
    ) -> Option<Cursor> {
        let soon = UnixMs(now.0 + EXPIRES_SOON_MS);
        self.table
            .scan(cursor, now, work_max, wanted, |partition, key, entry| {
                let counts = entry.kind != Kind::Tombstone
                    && entry.expires_at.is_none_or(|expires_at| expires_at > soon);
                if let Some(sum) = sums.get_mut(partition.index()).filter(|_| counts) {
                    *sum = sum.wrapping_add(sum_of(key, entry));
                }
                true
            })
    }

    /// Takes the owner's word for an entry against its own, unless the copy has a newer one that
    /// the owner may have sent since `asked`.
    pub fn overrule(&mut self, moved: &Moved, asked: UnixMs, now: UnixMs) -> bool {
        if !matches!(self.roles[moved.partition.index()], Role::Backup(_)) {
            return false;
        }
        if moved.key.is_empty() {
            return self.absorb_floor(moved, now);
        }
        let present = self.table.peek(&moved.key, now).map(|entry| entry.version);
        if present.is_some_and(|present| present > moved.entry.version && is_old(present, asked)) {
            self.table.remove(&moved.key, now);
        }
        self.put_newer(moved.partition, &moved.key, &moved.entry, now)
    }

    /// Removes what the owner did not have when it was `asked`: of the `wanted` partitions, what is
    /// not among the `seen` keys. Where to go on, or `None`; and how many were removed.
    pub fn remove_unseen(
        &mut self,
        cursor: Cursor,
        wanted: impl Fn(PartitionId) -> bool,
        seen: &HashSet<Sum>,
        asked: UnixMs,
        now: UnixMs,
    ) -> (Option<Cursor>, usize) {
        const WORK_MAX: usize = 4_000;
        let roles = &self.roles;
        let wanted = |p: PartitionId| matches!(roles[p.index()], Role::Backup(_)) && wanted(p);
        let mut unseen = Vec::new();
        let next = self
            .table
            .scan(cursor, now, WORK_MAX, wanted, |_, key, entry| {
                if is_old(entry.version, asked) && !seen.contains(&key_sum(key)) {
                    unseen.push(bytes::Bytes::copy_from_slice(key));
                }
                true
            });
        for key in &unseen {
            self.table.remove(key, now);
        }
        (next, unseen.len())
    }
}

/// Whether a version was made so long before a moment that its effect has arrived.
fn is_old(version: Version, asked: UnixMs) -> bool {
    version.hlc.wall().0 + CLOCK_SKEW_MS_MAX < asked.0
}

/// A key in 64 bits.
#[must_use]
pub fn key_sum(key: &[u8]) -> Sum {
    rapidhash_v3(key)
}

fn sum_of(key: &[u8], entry: EntryRef<'_>) -> Sum {
    let version = entry.version;
    let mut bytes = [0; 20];
    bytes[..8].copy_from_slice(&key_sum(key).to_le_bytes());
    bytes[8..16].copy_from_slice(&version.hlc.0.to_le_bytes());
    bytes[16..].copy_from_slice(&version.node.0.to_le_bytes());
    rapidhash_v3(&bytes)
}
