//! Deleting everything: at the owner of partitions, and at their copies.
//!
//! ```text
//! owner   begin   draws a version V, greater than all that it has given out
//!         step    walks over the table, a stretch at a time: what is there up to V goes at once;
//!                 what was written since is deleted as by a delete of its own
//!         end     tells the copies, for each partition: all up to V is gone
//! copy            notes that, takes nothing up to V any more, and sweeps its table when it tidies
//! ```
//!
//! Each key is deleted at the moment at which the walk comes by, so that for each key alone a flush
//! is a delete somewhere between its beginning and its end. What is written behind the walk stays.
//!
//! *Why the walk takes later entries too.* A write during the flush may have been applied to a value
//! that was to be deleted (a counter that stood at 5 stands at 6 now). To keep it would be neither
//! before nor after the flush.
//!
//! *Why the copies are told last.* Until then they have what a change of a part refers to. And a
//! partition is told of even if nothing was found in it: an earlier flush that was cut short may
//! have removed entries without having told the copies.
//!
//! *When the owner changes.* A partition whose role is set anew in between takes no further part:
//! what comes after may be of another owner. It is not among those that are done, and whoever asked
//! asks again. A copy that has not swept yet does so before it follows another owner, or becomes
//! one: from then on there may be new entries with versions up to V, by a clock that is behind.

use std::sync::Arc;

use rapidhash::RapidHashMap;

use super::copy::is_from_the_future;
use super::{Core, Role, Sent, tombstone};
use crate::clock::UnixMs;
use crate::command::Kind;
use crate::key::{PARTITION_COUNT, PartitionId};
use crate::live::What;
use crate::replication::{Change, Effect, Ticket};
use crate::table::Cursor;
use crate::version::Version;

/// About what telling one copy of one partition takes.
const TOLD_BYTES: usize = 64;

/// A flush under way at an owner's writer.
#[derive(Debug)]
pub struct Flush {
    version: Version,
    /// The turn of each partition that takes part, at its beginning.
    turns: Box<[Option<u32>]>,
    deleted: u64,
    tickets: Vec<(PartitionId, Ticket)>,
}

impl Flush {
    /// Values that it has deleted so far.
    #[must_use]
    pub fn deleted(&self) -> u64 {
        self.deleted
    }

    /// What is done when it is with the copies, since this was asked last.
    pub fn take_tickets(&mut self) -> Vec<(PartitionId, Ticket)> {
        std::mem::take(&mut self.tickets)
    }

    fn drop_out(&mut self, partition: PartitionId) {
        self.turns[partition.index()] = None;
    }
}

/// Flushes of owners that a node has heard of, or has made.
#[derive(Debug, Default)]
pub(super) struct Flushed {
    /// Nothing up to these versions is taken any more, until then.
    pub(super) floors: RapidHashMap<PartitionId, (Version, UnixMs)>,
    /// What is still to be swept.
    waiting: RapidHashMap<PartitionId, Version>,
    /// What is being swept, and how far.
    under_way: RapidHashMap<PartitionId, Version>,
    cursor: Cursor,
}

impl Flushed {
    /// Whether an entry was deleted with all others.
    pub(super) fn has(&self, partition: PartitionId, version: Version) -> Option<Version> {
        let floor = self.floors.get(&partition).map(|(floor, _)| *floor);
        floor.filter(|floor| version <= *floor)
    }

    fn raise(&mut self, partition: PartitionId, version: Version, until: UnixMs) {
        let floor = self.floors.entry(partition).or_insert((version, until));
        *floor = (version.max(floor.0), until.max(floor.1));
    }

    fn is_to_be_swept(&self, partition: PartitionId) -> bool {
        self.waiting.contains_key(&partition) || self.under_way.contains_key(&partition)
    }

    /// The copy is begun anew: nothing of what was there is left, nor of what is known of it.
    pub(super) fn reset(&mut self, partition: PartitionId) {
        self.floors.remove(&partition);
        self.waiting.remove(&partition);
        self.under_way.remove(&partition);
    }
}

impl Core {
    /// Begins to delete all of the `wanted` partitions that this node owns, and may write to.
    pub fn begin_flush(&mut self, wanted: impl Fn(PartitionId) -> bool, now: UnixMs) -> Flush {
        let mut turns = vec![None; usize::from(PARTITION_COUNT)];
        for partition in PartitionId::all().filter(|partition| wanted(*partition)) {
            if let Role::Owned { frozen: false, .. } = self.roles[partition.index()] {
                turns[partition.index()] = Some(self.turns[partition.index()]);
            }
        }
        Flush {
            version: Version {
                hlc: self.versions.next(now, None),
                node: self.setup.node,
            },
            turns: turns.into(),
            deleted: 0,
            tickets: Vec::new(),
        }
    }

    /// Goes on with it for about `work_max` entries; where to go on, or `None`.
    pub fn flush_step(
        &mut self,
        flush: &mut Flush,
        cursor: Cursor,
        now: UnixMs,
        work_max: usize,
    ) -> Option<Cursor> {
        let (turns, before, upto) = (&self.turns, &flush.turns, flush.version);
        let takes_part = |p: PartitionId| before[p.index()] == Some(turns[p.index()]);
        let (mut deleted, mut newer) = (0, Vec::new());
        let live = &self.live;
        let next = self
            .table
            .sweep(cursor, work_max, takes_part, |partition, key, entry| {
                let is_old = entry.version <= upto;
                if entry.kind == Kind::Tombstone {
                    return false;
                }
                if !is_old {
                    newer.push((partition, bytes::Bytes::copy_from_slice(key)));
                    return false;
                }
                deleted += u64::from(entry.expires_at.is_none_or(|at| at > now));
                if live.is_watched() {
                    live.changed(key, || What::Deleted(upto));
                }
                true
            });
        flush.deleted += deleted;
        for (partition, key) in newer {
            if !self.flush_key(flush, partition, &key, now) {
                flush.drop_out(partition);
            }
        }
        self.tell_evictions();
        next
    }

    /// Deletes a key that was written since the flush began; whether there was room to tell of it.
    fn flush_key(
        &mut self,
        flush: &mut Flush,
        partition: PartitionId,
        key: &[u8],
        now: UnixMs,
    ) -> bool {
        let Role::Owned { sinks, .. } = &self.roles[partition.index()] else {
            return false;
        };
        let sinks = Arc::clone(sinks);
        if sinks
            .all()
            .any(|lane| !lane.has_room(key.len() + TOLD_BYTES))
        {
            return false;
        }
        // Its time may have come, or another delete have made room.
        let Some(previous) = self.table.peek(key, now).map(|entry| entry.version) else {
            return true;
        };
        let version = Version {
            hlc: self.versions.next(now, Some(previous.hlc)),
            node: self.setup.node,
        };
        let gone = tombstone(version, now, self.setup.tombstone_ms);
        let spot = self.table.spot(key);
        if self.store(spot, partition, key, &gone, now).is_err() {
            return false;
        }
        flush.deleted += 1;
        self.tell_stored(key, gone.as_ref());
        let sent = Sent::Whole(Some(previous), gone);
        let ticket = self.send(partition, key, &sent, None, &sinks);
        let ticket = ticket.map(|ticket| (partition, ticket));
        flush.tickets.extend(ticket);
        true
    }

    /// Tells the copies. Those partitions come out that are done once the flush's tickets are, and
    /// whether others have to wait for room on the way to their copies: then this is to be called
    /// again.
    pub fn end_flush(&mut self, flush: &mut Flush, now: UnixMs) -> (Vec<PartitionId>, bool) {
        let (mut told, mut waits) = (Vec::new(), false);
        for partition in PartitionId::all() {
            let at = partition.index();
            if flush.turns[at] != Some(self.turns[at]) {
                continue;
            }
            let Role::Owned { sinks, .. } = &self.roles[at] else {
                continue;
            };
            if sinks.all().any(|lane| !lane.has_room(TOLD_BYTES)) {
                waits = true;
                continue;
            }
            let effect = Effect {
                partition,
                epoch: self.epochs[at],
                key: bytes::Bytes::new(),
                change: Change::Flush(flush.version),
                operation: None,
            };
            let effect = effect.encode();
            let awaited = sinks.in_sync.len();
            let ticket = (awaited > 0).then(|| Ticket::new(awaited));
            for (place, lane) in sinks.all().enumerate() {
                let ticket = ticket.as_ref().filter(|_| place < awaited);
                lane.push(effect.clone(), ticket.cloned());
            }
            let ticket = ticket.map(|ticket| (partition, ticket));
            flush.tickets.extend(ticket);
            if self.has_company {
                self.flushed
                    .raise(partition, flush.version, self.forget_at(now));
            }
            flush.drop_out(partition);
            told.push(partition);
        }
        (told, waits)
    }

    fn forget_at(&self, now: UnixMs) -> UnixMs {
        UnixMs(now.0.saturating_add(self.setup.tombstone_ms))
    }

    /// The owner of a copy here has deleted everything; false if its clock is too far ahead.
    pub(super) fn take_flush(
        &mut self,
        partition: PartitionId,
        version: Version,
        now: UnixMs,
    ) -> bool {
        if is_from_the_future(version, now) {
            return false;
        }
        // Should this node succeed the owner, what it writes is newer.
        self.versions.next(now, Some(version.hlc));
        let until = self.forget_at(now);
        self.flushed.raise(partition, version, until);
        if self.table.partition_entries(partition) > 0 {
            let waiting = self.flushed.waiting.entry(partition).or_insert(version);
            *waiting = version.max(*waiting);
        }
        true
    }

    /// Sweeps what flushes have left here, about `work_max` entries at a time; whether there is more.
    pub(super) fn sweep_flushed(&mut self, now: UnixMs, work_max: usize) -> bool {
        let flushed = &mut self.flushed;
        flushed.floors.retain(|_, (_, until)| *until > now);
        if flushed.under_way.is_empty() {
            if flushed.waiting.is_empty() {
                return false;
            }
            flushed.under_way = std::mem::take(&mut flushed.waiting);
            flushed.cursor = Cursor::default();
        }
        let under_way = &flushed.under_way;
        let next = self.table.sweep(
            flushed.cursor,
            work_max,
            |partition| under_way.contains_key(&partition),
            |partition, _, entry| {
                let upto = under_way.get(&partition);
                entry.kind != Kind::Tombstone && upto.is_some_and(|upto| entry.version <= *upto)
            },
        );
        match next {
            Some(cursor) => flushed.cursor = cursor,
            None => flushed.under_way.clear(),
        }
        next.is_some() || !flushed.waiting.is_empty()
    }

    /// The partition has another owner from now on, this node or not: what the one before has deleted
    /// goes now, and nothing is turned away for it any more unless this node owns it.
    pub(super) fn settle_flush(&mut self, partition: PartitionId, is_owner: bool, now: UnixMs) {
        while self.flushed.is_to_be_swept(partition) {
            self.sweep_flushed(now, usize::MAX);
        }
        if !is_owner {
            self.flushed.floors.remove(&partition);
        }
    }
}
