//! What a table does between requests, in bounded steps: expire, give way, compact, shrink.
//!
//! Invariant: every entry that expires has an item in the wheel (or, while timers are made anew,
//! in one of the two wheels) at or before its time.

use super::eviction::Evicted;
use super::index::Index;
use super::log::Walk;
use super::wheel::Wheel;
use super::{Cursor, Table};
use crate::clock::UnixMs;
use crate::key::PartitionId;

/// Compaction begins when waste exceeds this share of what lives.
const WASTE_SHARE: u64 = 24;
/// Items of entries that are gone are tolerated up to the number of those that are not, and these.
const STALE_ITEMS_MIN: usize = 4096;

/// A surplus is evicted by at least so many entries a call.
const SURPLUS_ENTRIES_MIN: usize = 8192;

/// Timers being made anew: the wheel before, and how far the walk over the entries has come.
#[derive(Debug)]
pub(super) struct Renewal {
    old: Wheel,
    cursor: u64,
}

impl Renewal {
    pub(super) fn bytes(&self) -> u64 {
        self.old.bytes()
    }
}

impl Table {
    /// Expires, evicts and compacts, at most about `work_max` entries' worth (and at least one
    /// segment's, where something is to be compacted); whether more is due.
    ///
    /// Called a few times a second, and again while it returns true.
    pub fn maintain(&mut self, now: UnixMs, work_max: usize) -> bool {
        let mut work = work_max;
        self.expire(now, &mut work);
        self.renew_timers(now, &mut work);
        self.compact(&mut work);
        self.shrink_index(&mut work);
        self.log.drop_empty();
        self.evict_surplus(now, &mut work);
        work == 0
    }

    fn expire(&mut self, now: UnixMs, work: &mut usize) {
        while *work > 0 {
            let old = self.renewal.as_mut().and_then(|r| r.old.next(now));
            let Some(hash) = old.or_else(|| self.wheel.next(now)) else {
                return;
            };
            *work -= 1;
            self.fire(hash, now);
        }
    }

    /// Looks at the entries that a timer may have meant.
    fn fire(&mut self, hash: u32, now: UnixMs) {
        let (log, hasher) = (&self.log, &self.hasher);
        let is_meant =
            |handle: u32| log.header(handle).expires() && hasher.hash(log.key(handle)) == hash;
        let mut expired = Vec::new();
        self.index.find(hash, |handle| {
            if is_meant(handle) {
                match log.expires_at(handle) {
                    Some(at) if at > now => self.wheel.add(hash, at, now),
                    _ => expired.push(handle),
                }
            }
            false
        });
        for handle in expired {
            self.remove_expired(handle);
        }
    }

    /// Keeps a promise that the wheel cannot: after the clock has stepped back, and when most of
    /// its items mean entries that are gone, all timers are made anew, step by step.
    fn renew_timers(&mut self, now: UnixMs, work: &mut usize) {
        let stale = self.wheel.items() > 2 * self.timed + STALE_ITEMS_MIN;
        if self.wheel.is_ahead_of(now) || (stale && self.renewal.is_none()) {
            let old = std::mem::take(&mut self.wheel);
            self.renewal = Some(Renewal { old, cursor: 0 });
        }
        let Some(renewal) = &mut self.renewal else {
            return;
        };
        let mut walk = Walk::from_number(renewal.cursor);
        loop {
            if *work == 0 {
                renewal.cursor = walk.number();
                self.log.seal_before(walk.sequence);
                return;
            }
            let Some((handle, header)) = self.log.walk(&mut walk) else {
                break;
            };
            *work -= 1;
            if let Some(at) = self.log.expires_at(handle).filter(|_| !header.is_dead()) {
                self.wheel
                    .add(self.hasher.hash(self.log.key(handle)), at, now);
            }
        }
        self.renewal = None;
    }

    /// Comes back under the limit, which may have been lowered, or passed by a page for timers or
    /// by a compaction; and gives way to a table that got less than its share.
    fn evict_surplus(&mut self, now: UnixMs, work: &mut usize) {
        self.settle();
        let goal = if self.account.should_give_way() {
            let step = 2 * self.log.segment_bytes() as u64;
            self.account.committed().saturating_sub(step)
        } else {
            u64::MAX
        };
        // A segment's worth, whatever the work: only a whole one gives memory back.
        let mut left = SURPLUS_ENTRIES_MIN.max(*work);
        while self.account.committed() > goal || !self.account.try_reserve(0) {
            if left == 0 {
                *work = 0;
                return;
            }
            if self.evict_one(now, true) == Evicted::Nothing {
                return;
            }
            left -= 1;
            *work = work.saturating_sub(1);
            self.settle();
        }
    }

    fn compact(&mut self, work: &mut usize) {
        let slack = self.log.segment_bytes() as u64 / 4;
        let due =
            |table: &Table| table.log.waste_bytes() > table.log.live_bytes() / WASTE_SHARE + slack;
        if *work == 0 || !due(self) {
            return;
        }
        for sequence in self.log.sparsest() {
            if *work == 0 || !due(self) {
                break;
            }
            let (index, hasher) = (&mut self.index, &self.hasher);
            let moved = self.log.compact(sequence, |key, old, new| {
                index.replace(hasher.hash(key), old, new);
            });
            *work = work.saturating_sub(moved.unwrap_or(0) + 1);
        }
    }

    fn shrink_index(&mut self, work: &mut usize) {
        for _ in 0..Index::SHRINK_STEPS {
            if *work == 0 {
                return;
            }
            let (log, hasher) = (&self.log, &self.hasher);
            let moved = self
                .index
                .shrink_step(|handle| hasher.hash(log.key(handle)));
            *work = work.saturating_sub(moved);
        }
    }

    /// Removes entries of the partitions that `wanted` names, as [`Table::scan`] would visit them,
    /// until about `work_max` entries were looked at; `None` when none is left.
    pub fn remove_partitions(
        &mut self,
        wanted: impl Fn(PartitionId) -> bool,
        cursor: Cursor,
        work_max: usize,
    ) -> Option<Cursor> {
        let mut walk = Walk::from_number(cursor.0);
        let mut looked_at = 0;
        while let Some((handle, header)) = self.log.walk(&mut walk) {
            if !header.is_dead() && wanted(header.partition()) {
                self.remove_handle(handle);
            }
            looked_at += 1;
            if looked_at >= work_max {
                return Some(self.pause(walk));
            }
        }
        self.settle();
        None
    }

    /// Visits live entries of the partitions that `wanted` names until `visit` returns false or
    /// about `work_max` entries were looked at. Every key that is present throughout a whole scan
    /// is visited at least once, whatever is written meanwhile; the entry for which `visit`
    /// returned false counts as visited. `None` when the scan is complete.
    pub fn scan(
        &mut self,
        cursor: Cursor,
        now: UnixMs,
        work_max: usize,
        wanted: impl Fn(PartitionId) -> bool,
        mut visit: impl FnMut(PartitionId, &[u8], crate::command::EntryRef<'_>) -> bool,
    ) -> Option<Cursor> {
        let mut walk = Walk::from_number(cursor.0);
        let mut looked_at = 0;
        while let Some((handle, header)) = self.log.walk(&mut walk) {
            let partition = header.partition();
            looked_at += 1;
            let meant = !header.is_dead() && wanted(partition);
            let go_on = !meant
                || self.log.is_expired(handle, now)
                || visit(
                    partition,
                    self.log.key(handle),
                    self.log.entry(handle, &self.nodes),
                );
            if !go_on || looked_at >= work_max {
                return Some(self.pause(walk));
            }
        }
        None
    }

    /// Lets a walk rest: what is written from now on lies before it.
    pub(super) fn pause(&mut self, walk: Walk) -> Cursor {
        self.log.seal_before(walk.sequence);
        self.settle();
        Cursor(walk.number())
    }
}
