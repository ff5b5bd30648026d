//! Eviction: S3-FIFO (Yang et al., *FIFO Queues are All You Need for Cache Eviction*, SOSP'23) on
//! the two queues of the log, in bytes.
//!
//! New keys enter the small queue. At its end a key that was asked for again moves to the main
//! queue, any other leaves and is remembered as a ghost; a ghost that is written again goes to the
//! main queue at once. At the end of the main queue a key that was asked for goes round again with
//! its frequency less one. Eviction walks entry by entry; memory is given back with the last entry
//! of a segment, so a call goes ahead of need by at most one segment.

use super::entry::FREQUENCY_MAX;
use super::segment::Queue;
use super::{Evictee, Table};
use crate::clock::UnixMs;

/// The small queue is held to this share of all bytes.
const SMALL_SHARE: u64 = 10;
/// From this frequency on an entry moves from the small queue to the main one. On the traces that
/// were tried 1 is up to 0.8 points better in large caches, and 2, the paper's, in small ones.
const PROMOTE_FREQUENCY_MIN: u8 = 2;
/// After so many entries have been spared in one call, further ones are evicted whatever their
/// frequency, so that no write waits for a walk over everything.
const SPARED_MAX: usize = 8192;

impl Table {
    /// Reserves of the budget what `bytes` says, evicting for it; false if that is not possible.
    /// It is asked again after each eviction, because that may close the segment that had room.
    pub(super) fn make_room(&mut self, now: UnixMs, bytes: impl Fn(&Table) -> u64) -> bool {
        let mut spared = 0;
        while !self.account.try_reserve(bytes(self)) {
            self.account.starve();
            match self.evict_one(now, spared < SPARED_MAX) {
                Evicted::Nothing => return false,
                Evicted::Spared => spared += 1,
                Evicted::Gone => {}
            }
            self.settle();
        }
        true
    }

    /// Deals with the oldest entry of the queue that is over its share.
    pub(super) fn evict_one(&mut self, now: UnixMs, spare: bool) -> Evicted {
        let small = self.log.queue_bytes(Queue::Small);
        let main = self.log.queue_bytes(Queue::Main);
        let queue = if small * SMALL_SHARE > small + main || main == 0 {
            Queue::Small
        } else {
            Queue::Main
        };
        let Some(handle) = self.log.oldest(queue) else {
            return Evicted::Nothing;
        };
        if self.log.is_expired(handle, now) {
            self.remove_expired(handle);
            return Evicted::Gone;
        }
        let frequency = self.log.header(handle).frequency();
        let (keep, next) = match queue {
            Queue::Small => (frequency >= PROMOTE_FREQUENCY_MIN, 0),
            Queue::Main => (frequency > 0, frequency.saturating_sub(1)),
        };
        let hash = self.hasher.hash(self.log.key(handle));
        if keep && spare {
            // Without a free slot, or memory, for it the entry is evicted after all.
            if let Some(moved) = self.log.relocate(handle, Queue::Main, next) {
                self.index.replace(hash, handle, moved);
                return Evicted::Spared;
            }
        }
        if queue == Queue::Small {
            self.ghost.fit(self.log.queue_entries(Queue::Main));
            self.ghost.insert(hash);
        }
        self.counts.evictions += 1;
        self.note_evicted(handle);
        self.note(handle, false);
        self.remove_handle(handle);
        Evicted::Gone
    }

    /// A tombstone's going concerns nobody: copies have their own.
    fn note_evicted(&mut self, handle: u32) {
        let header = self.log.header(handle);
        if let Some(evicted) = self.evicted.as_mut().filter(|_| !header.is_tombstone()) {
            evicted.push(Evictee {
                partition: header.partition(),
                key: bytes::Bytes::copy_from_slice(self.log.key(handle)),
                version: self.log.entry(handle, &self.nodes).version,
            });
        }
    }

    /// Marks an entry as used.
    pub(super) fn touch(&mut self, handle: u32) {
        let frequency = self.log.header(handle).frequency();
        if frequency < FREQUENCY_MAX {
            self.log.set_frequency(handle, frequency + 1);
        }
    }
}

/// What became of the oldest entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evicted {
    /// There is none.
    Nothing,
    /// It was moved.
    Spared,
    /// It was evicted, or had expired.
    Gone,
}
