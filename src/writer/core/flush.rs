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
//! one. Whoever owns a partition and knows of V tells each copy that it gets, and no version that it
//! makes is up to V, whatever its clock says: who knows of V has gone on from there.
//!
//! *After a cut.* V travels ahead of the entries that are pulled, as a tombstone of no key
//! ([`Core::floors`]). The winner of a partition deletes with it what it has up to V, and its copies
//! do; what it had written meanwhile by a clock that is behind is a discarded write. Such entries are
//! not seen any more from then on, and swept later ([`Core::purge`]). This lasts as long as tombstones
//! do, in 40 bytes for each partition.

use std::sync::Arc;

use rapidhash::RapidHashMap;

use super::copy::is_from_the_future;
use super::{Core, Discarded, Merge, Moved, Role, Sent, Sinks, tombstone};
use crate::clock::UnixMs;
use crate::command::{Entry, EntryRef, Kind};
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
    /// What is up to this version is deleted.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

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
    waiting: RapidHashMap<PartitionId, Unswept>,
    /// What is being swept, and how far.
    under_way: RapidHashMap<PartitionId, Unswept>,
    cursor: Cursor,
    lost: Lost,
}

/// Acknowledged writes that the other side of a cut has deleted, since somebody asked for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// The first of them.
    pub first: Vec<Discarded>,
    /// How many there are.
    pub count: u64,
}

/// So many of them are told one by one.
const LOST_MAX: usize = 100;

/// What is still to be swept of a partition.
#[derive(Clone, Copy, Debug)]
struct Unswept {
    upto: Version,
    /// What was written since then (Unix milliseconds) was written without knowing of it.
    since: u64,
}

impl Unswept {
    /// Together with what is to be swept already.
    fn and(self, other: Option<&Unswept>) -> Unswept {
        other.map_or(self, |other| Unswept {
            upto: self.upto.max(other.upto),
            since: self.since.min(other.since),
        })
    }

    fn contains(&self, entry: EntryRef<'_>) -> bool {
        entry.kind != Kind::Tombstone && entry.version <= self.upto
    }
}

impl Lost {
    /// Notes that an entry is swept.
    fn note(&mut self, unswept: &Unswept, key: &[u8], version: Version) {
        if version.hlc.wall().0 < unswept.since {
            return;
        }
        self.count += 1;
        if self.first.len() < LOST_MAX {
            self.first.push(Discarded {
                key: bytes::Bytes::copy_from_slice(key),
                version,
                by: Some(unswept.upto),
            });
        }
    }
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

    /// Whether nothing is left to be swept.
    pub(super) fn is_swept(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_empty()
    }

    /// What is to be swept of a partition.
    fn unswept(&self, partition: PartitionId) -> Option<Unswept> {
        let waiting = self.waiting.get(&partition);
        let under_way = self.under_way.get(&partition);
        match (waiting, under_way) {
            (Some(one), other) | (None, other @ Some(one)) => Some(one.and(other)),
            (None, None) => None,
        }
    }

    /// Whether an entry is there only because it was not swept yet.
    pub(super) fn has_unswept(&self, partition: PartitionId, entry: EntryRef<'_>) -> bool {
        let unswept = self.unswept(partition);
        unswept.is_some_and(|unswept| unswept.contains(entry))
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
            let ticket = self.send_flush(partition, flush.version, sinks);
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

    /// Tells the copies that all up to a version is gone.
    fn send_flush(
        &self,
        partition: PartitionId,
        version: Version,
        sinks: &Sinks,
    ) -> Option<Ticket> {
        let effect = Effect {
            partition,
            epoch: self.epochs[partition.index()],
            key: bytes::Bytes::new(),
            change: Change::Flush(version),
            operation: None,
        };
        let effect = effect.encode();
        let awaited = sinks.in_sync.len();
        let ticket = (awaited > 0).then(|| Ticket::new(awaited));
        for (place, lane) in sinks.all().enumerate() {
            let ticket = ticket.as_ref().filter(|_| place < awaited);
            lane.push(effect.clone(), ticket.cloned());
        }
        ticket
    }

    /// Tells copies, of which some may be new, up to which version all was deleted.
    pub(super) fn tell_floor(&self, partition: PartitionId, sinks: &Sinks) {
        if let Some((version, _)) = self.flushed.floors.get(&partition) {
            // Nobody waits for it: it goes ahead of whatever is written from now on.
            let _ = self.send_flush(partition, *version, sinks);
        }
    }

    /// What whoever pulls the `wanted` partitions must know before their entries: up to which version
    /// all was deleted, as tombstones of no key.
    pub(super) fn floors(
        &self,
        wanted: impl Fn(PartitionId) -> bool,
    ) -> impl Iterator<Item = Moved> {
        let floors = self.flushed.floors.iter();
        let wanted = floors.filter(move |(partition, _)| wanted(**partition));
        wanted.map(|(partition, (version, until))| Moved {
            partition: *partition,
            key: bytes::Bytes::new(),
            entry: Entry {
                expires_at: Some(*until),
                ..tombstone(*version, *until, 0)
            },
        })
    }

    fn forget_at(&self, now: UnixMs) -> UnixMs {
        UnixMs(now.0.saturating_add(self.setup.tombstone_ms))
    }

    /// Everything was deleted up to a version, which is remembered until a moment. False if the clock
    /// that made it is too far ahead.
    fn learn_flush(
        &mut self,
        partition: PartitionId,
        (version, until): (Version, UnixMs),
        since: u64,
        now: UnixMs,
    ) -> bool {
        if is_from_the_future(version, now) {
            return false;
        }
        // What this node writes as an owner is newer.
        self.versions.next(now, Some(version.hlc));
        let until = until.min(self.forget_at(now));
        let is_known = self.flushed.has(partition, version).is_some();
        self.flushed.raise(partition, version, until);
        // Whoever hears of it once more has swept, or is about to.
        if !is_known && self.table.partition_entries(partition) > 0 {
            let unswept = Unswept {
                upto: version,
                since,
            };
            let before = self.flushed.waiting.get(&partition);
            self.flushed.waiting.insert(partition, unswept.and(before));
        }
        true
    }

    /// The owner of a copy here has deleted everything; false if its clock is too far ahead.
    pub(super) fn take_flush(
        &mut self,
        partition: PartitionId,
        version: Version,
        now: UnixMs,
    ) -> bool {
        let floor = (version, self.forget_at(now));
        self.learn_flush(partition, floor, u64::MAX, now)
    }

    /// The owner of a copy here has deleted everything before the copy was begun.
    pub(super) fn absorb_floor(&mut self, moved: &Moved, now: UnixMs) -> bool {
        let until = moved.entry.expires_at.unwrap_or(now);
        let floor = (moved.entry.version, until);
        until > now && self.learn_flush(moved.partition, floor, u64::MAX, now)
    }

    /// The other side of a cut has deleted everything: so does this one, which owns the partition.
    pub(super) fn merge_floor(
        &mut self,
        moved: &Moved,
        sinks: &Sinks,
        since: u64,
        now: UnixMs,
    ) -> Merge {
        let settled = |ticket| Merge::Settled {
            ticket,
            discarded: None,
        };
        let (partition, version) = (moved.partition, moved.entry.version);
        let until = moved.entry.expires_at.unwrap_or(now);
        if until <= now || self.flushed.has(partition, version).is_some() {
            return settled(None);
        }
        if let Some(lane) = sinks.all().find(|lane| !lane.has_room(TOLD_BYTES)) {
            return Merge::Later(lane.node());
        }
        if !self.learn_flush(partition, (version, until), since, now) {
            return settled(None);
        }
        settled(self.send_flush(partition, version, sinks))
    }

    /// Removes a key's entry if it is still there only because it was not swept yet.
    #[inline]
    pub(super) fn purge(&mut self, partition: PartitionId, key: &[u8], now: UnixMs) {
        if !self.flushed.is_swept() {
            self.purge_one(partition, key, now);
        }
    }

    fn purge_one(&mut self, partition: PartitionId, key: &[u8], now: UnixMs) {
        let Some(unswept) = self.flushed.unswept(partition) else {
            return;
        };
        let entry = self.table.peek(key, now);
        let Some(entry) = entry.filter(|entry| unswept.contains(*entry)) else {
            return;
        };
        self.flushed.lost.note(&unswept, key, entry.version);
        self.table.remove(key, now);
        if self.live.is_watched() && self.roles.is_owned(partition) {
            self.live.changed(key, || What::Deleted(unswept.upto));
        }
    }

    /// Acknowledged writes that the other side of a cut has deleted, since this was asked last.
    pub fn take_lost(&mut self) -> Lost {
        std::mem::take(&mut self.flushed.lost)
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
        let (under_way, lost) = (&flushed.under_way, &mut flushed.lost);
        let (live, roles) = (&self.live, &self.roles);
        let next = self.table.sweep(
            flushed.cursor,
            work_max,
            |partition| under_way.contains_key(&partition),
            |partition, key, entry| {
                let unswept = under_way.get(&partition);
                let Some(unswept) = unswept.filter(|unswept| unswept.contains(entry)) else {
                    return false;
                };
                // What has expired is not lost by this.
                if entry.expires_at.is_none_or(|at| at > now) {
                    lost.note(unswept, key, entry.version);
                    if live.is_watched() && roles.is_owned(partition) {
                        live.changed(key, || What::Deleted(unswept.upto));
                    }
                }
                true
            },
        );
        match next {
            Some(cursor) => flushed.cursor = cursor,
            None => flushed.under_way.clear(),
        }
        next.is_some() || !flushed.waiting.is_empty()
    }

    /// The partition has another owner from now on, this node or not, or none: what the one before has
    /// deleted goes now. Nothing is turned away for it any more if another node owns it: that one tells
    /// what it knows.
    pub(super) fn settle_flush(&mut self, partition: PartitionId, is_copy: bool, now: UnixMs) {
        while self.flushed.unswept(partition).is_some() {
            self.sweep_flushed(now, usize::MAX);
        }
        if is_copy {
            self.flushed.floors.remove(&partition);
        }
    }
}
