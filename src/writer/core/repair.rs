//! Repair: what a copy has, compared with what its owner has, and made the same.
//!
//! A copy that took every effect is the same as its owner's table but for what is under way. Should
//! one have been missed for a reason that nobody thought of, this finds it: both sum up what they
//! have of each partition, and a copy whose sum stays different pulls the partition anew, the
//! owner's word against its own.
//!
//! A node that is asked tells what it has, whether it owns the partition or not, and one that was
//! restarted has nothing. So its word counts only as long as the copy has followed it without a break
//! ([`Followed`]), which is looked at under the lock.
//!
//! Left out of the sums is what may differ for a moment: tombstones, which are forgotten at
//! different times, and entries that are about to expire.

use std::collections::{BTreeMap, HashSet};

use rapidhash::v3::rapidhash_v3;

use super::{Core, Moved, Role};
use crate::clock::UnixMs;
use crate::command::{EntryRef, Kind};
use crate::key::PartitionId;
use crate::table::Cursor;
use crate::version::{CLOCK_SKEW_MS_MAX, NodeId, Version};

/// Entries with less than this to live, in milliseconds, are left out.
const EXPIRES_SOON_MS: u64 = 10_000;

/// Keys and versions, in 64 bits each.
pub type Sum = u64;

/// Copies of one owner, and the turn of each when it was looked at first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// The owner.
    pub owner: NodeId,
    /// The turns.
    pub turns: BTreeMap<PartitionId, u32>,
}

/// An entry of a copy that its owner may not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubtful {
    /// Its partition.
    pub partition: PartitionId,
    /// Its key.
    pub key: bytes::Bytes,
    /// Its version.
    pub version: Version,
}

impl Core {
    /// The turn of a copy that follows `owner`.
    #[must_use]
    pub fn turn_behind(&self, partition: PartitionId, owner: NodeId) -> Option<u32> {
        let at = partition.index();
        let follows = matches!(self.roles[at], Role::Backup(followed) if followed == owner);
        follows.then(|| self.turns[at])
    }

    fn still_follows(&self, followed: &Followed, partition: PartitionId) -> bool {
        let turn = followed.turns.get(&partition).copied();
        turn.is_some() && self.turn_behind(partition, followed.owner) == turn
    }

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
    pub fn overrule(
        &mut self,
        followed: &Followed,
        moved: &Moved,
        asked: UnixMs,
        now: UnixMs,
    ) -> bool {
        if !self.still_follows(followed, moved.partition) {
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

    /// Finds what the owner did not have when it was `asked`: what is here and not among the `seen`
    /// keys. Where to go on, or `None`.
    ///
    /// It may have come to the owner behind the point that a pull had reached, with the version that
    /// it had elsewhere. So it is asked once more before anything is [removed](Core::remove_doubtful).
    pub fn find_unseen(
        &mut self,
        cursor: Cursor,
        followed: &Followed,
        (seen, asked): (&HashSet<Sum>, UnixMs),
        now: UnixMs,
        unseen: &mut Vec<Doubtful>,
    ) -> Option<Cursor> {
        const WORK_MAX: usize = 4_000;
        let wanted = |p: PartitionId| followed.turns.contains_key(&p);
        self.table
            .scan(cursor, now, WORK_MAX, wanted, |partition, key, entry| {
                if is_old(entry.version, asked) && !seen.contains(&key_sum(key)) {
                    unseen.push(Doubtful {
                        partition,
                        key: bytes::Bytes::copy_from_slice(key),
                        version: entry.version,
                    });
                }
                true
            })
    }

    /// Removes an entry that its owner does not have, unless it is another one by now; whether it did.
    pub fn remove_doubtful(
        &mut self,
        followed: &Followed,
        doubtful: &Doubtful,
        now: UnixMs,
    ) -> bool {
        let present = self.table.peek(&doubtful.key, now);
        let is_same = present.is_some_and(|present| present.version == doubtful.version);
        is_same
            && self.still_follows(followed, doubtful.partition)
            && self.table.remove(&doubtful.key, now)
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
