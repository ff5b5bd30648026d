//! The side of a copy: what it takes of its owner's entries and effects.

use super::{Core, Discarded, Moved, Role, tombstone};
use crate::clock::UnixMs;
use crate::command::{Changed, Entry, Kind};
use crate::key::PartitionId;
use crate::replication::{Change, Effect, Finished, Lacking, Lane, Remembered, Ticket, encode_put};
use crate::version::{CLOCK_SKEW_MS_MAX, NodeId, Version};

/// An eviction is remembered so long by a copy that has not had the entry: it may be on its way.
const EVICTED_KEEP_MS: u64 = 60_000;

/// What a node makes of an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has it, or something newer of the same owner.
    Taken,
    /// It has something newer, of another owner, which it followed until now: the write loses.
    Outdone(Discarded),
    /// It lacks the entry that was changed, and needs it as a whole.
    Lacking,
    /// It does not follow the sender.
    Fenced,
    /// The sender's clock is too far ahead.
    FromTheFuture,
}

impl Core {
    /// Takes an entry over from the owner of a copy: it is put unless a newer one is here. What
    /// still comes from a former owner is turned away: it may be of the other side of a cut, and
    /// would pass for this one's.
    pub fn absorb(&mut self, from: NodeId, moved: &Moved, now: UnixMs) -> bool {
        match self.roles[moved.partition.index()] {
            Role::Backup(owner) if owner == from => {}
            _ => return false,
        }
        self.inherit(moved.partition, from, moved.entry.version);
        if moved.key.is_empty() {
            return self.absorb_floor(moved, now);
        }
        self.put_newer(moved.partition, &moved.key, &moved.entry, now)
    }

    fn inherit(&mut self, partition: PartitionId, owner: NodeId, version: Version) {
        if version.node == owner {
            let inherited = self.inherited.entry((partition, owner)).or_default();
            *inherited = version.hlc.max(*inherited);
        }
    }

    /// Whether a version has been here, or what has taken its place: this node made it itself and has
    /// held the partition ever since, or followed whoever did when it was made.
    pub(super) fn has_known(&self, partition: PartitionId, version: Version) -> bool {
        if version.node == self.setup.node {
            return version.hlc.wall() >= self.since[partition.index()];
        }
        let inherited = self.inherited.get(&(partition, version.node));
        let inherited = inherited.filter(|_| self.whole.contains(&partition));
        inherited.is_some_and(|inherited| version.hlc <= *inherited)
    }

    /// Takes an effect of another node.
    pub fn take_effect(&mut self, from: NodeId, effect: &Effect, now: UnixMs) -> Verdict {
        let at = effect.partition.index();
        if let Change::Evicted(version) = effect.change {
            self.on_evicted(effect.partition, &effect.key, version, now);
            return Verdict::Taken;
        }
        match self.roles[at] {
            Role::Backup(owner) if owner == from => {}
            // The word of a new owner may come after what it does.
            Role::Backup(_) if effect.epoch > self.epochs[at] => {
                self.settle_flush(effect.partition, true, now);
                self.roles.replace(at, Role::Backup(from));
                // Whoever pulls entries of the owner before has not got all of this one's.
                self.turns[at] = self.turns[at].wrapping_add(1);
            }
            _ => return Verdict::Fenced,
        }
        self.epochs[at] = self.epochs[at].max(effect.epoch);
        let mut outdone = None;
        match &effect.change {
            Change::Put { previous, entry } => {
                if is_from_the_future(entry.version, now) {
                    return Verdict::FromTheFuture;
                }
                let present = self.table.peek(&effect.key, now).map(|entry| entry.version);
                let lost = |by| Discarded {
                    key: effect.key.clone(),
                    version: entry.version,
                    by: Some(by),
                };
                outdone = present
                    .filter(|by| *by > entry.version && by.node != from)
                    .map(lost);
                self.missed += u64::from(*previous > present);
                self.inherit(effect.partition, from, entry.version);
                self.put_newer(effect.partition, &effect.key, entry, now);
            }
            Change::Delta { previous, changed } => {
                match self.take_delta(from, effect, *previous, changed, now) {
                    Verdict::Taken => {}
                    other => return other,
                }
            }
            Change::Evict(version) => self.evict(effect.partition, &effect.key, *version, now),
            Change::Evicted(_) => {}
            Change::Flush(version) => {
                if !self.take_flush(effect.partition, *version, now) {
                    return Verdict::FromTheFuture;
                }
                self.inherit(effect.partition, from, *version);
            }
        }
        if let Some((id, done)) = &effect.operation {
            let remembered = Remembered {
                partition: effect.partition,
                done: done.clone(),
                ticket: None,
            };
            self.operations.remember(*id, remembered, now);
        }
        self.tell_evictions();
        outdone.map_or(Verdict::Taken, Verdict::Outdone)
    }

    /// Takes a change of a part of an entry.
    fn take_delta(
        &mut self,
        from: NodeId,
        effect: &Effect,
        previous: Version,
        changed: &Changed,
        now: UnixMs,
    ) -> Verdict {
        let version = changed.version;
        if is_from_the_future(version, now) {
            return Verdict::FromTheFuture;
        }
        let (partition, key) = (effect.partition, &effect.key);
        let present = self.table.peek(key, now).map(|entry| entry.version);
        match present {
            Some(by) if by > version && by.node != from => {
                return Verdict::Outdone(Discarded {
                    key: key.clone(),
                    version,
                    by: Some(by),
                });
            }
            Some(present) if present >= version => {}
            Some(present) if present == previous => {
                match self.table.change(partition, key, changed, now) {
                    Ok(true) => {}
                    // Its time came in between.
                    Ok(false) => return Verdict::Lacking,
                    Err(_) => self.give_up(partition, key, version, now),
                }
            }
            _ => {
                self.missed += 1;
                return Verdict::Lacking;
            }
        }
        self.inherit(partition, from, version);
        Verdict::Taken
    }

    /// The owner sends what a copy could not take once more, behind the entry that the copy lacks.
    pub fn resend(&mut self, lane: &Lane, lacking: Lacking, now: UnixMs, out: &mut Vec<Finished>) {
        let answer = |ticket: Option<Ticket>, taken, out: &mut Vec<Finished>| {
            if let Some(ticket) = ticket {
                ticket.answered(taken, out);
            }
        };
        // It came from this node's own lane: it is read back.
        let Ok(effect) = Effect::decode(lacking.effect.clone()) else {
            return answer(lacking.ticket, false, out);
        };
        let at = effect.partition.index();
        if !self.roles.is_owned(effect.partition) {
            return answer(lacking.ticket, false, out);
        }
        // Who has let it go since has told the copies.
        let Some(entry) = self.table.peek(&effect.key, now) else {
            return answer(lacking.ticket, true, out);
        };
        let place = (effect.partition, self.epochs[at]);
        let whole = || encode_put(place, &effect.key, None, entry, None);
        let bytes = entry.stored_bytes() + effect.key.len() + 96;
        lane.push_behind(lacking, &effect.key, entry.version, bytes, whole, out);
    }

    pub(super) fn put_newer(
        &mut self,
        partition: PartitionId,
        key: &[u8],
        entry: &Entry,
        now: UnixMs,
    ) -> bool {
        let expired = entry.expires_at.is_some_and(|at| at <= now);
        let present = self.table.peek(key, now).map(|entry| entry.version);
        let is_flushed = self.flushed.has(partition, entry.version).is_some();
        if is_flushed || present.is_some_and(|present| present >= entry.version) {
            return false;
        }
        if expired {
            // What it replaced is gone as well, and stays so: it may still come with a pull.
            self.table.remove(key, now);
            if entry.kind != Kind::Tombstone {
                let gone = tombstone(entry.version, now, EVICTED_KEEP_MS);
                // Without room for it there is none for what is older either.
                let _ = self.table.put(partition, key, gone.as_ref(), now);
            }
            return false;
        }
        if self.table.put(partition, key, entry.as_ref(), now).is_ok() {
            return true;
        }
        self.give_up(partition, key, entry.version, now);
        false
    }

    /// What there is no room for here must not be there alone: after the owner's death it would be
    /// missing without anybody having evicted it.
    fn give_up(&mut self, partition: PartitionId, key: &[u8], version: Version, now: UnixMs) {
        self.table.remove(key, now);
        if let Role::Backup(owner) = self.roles[partition.index()] {
            let evicted = Effect {
                partition,
                epoch: self.epochs[partition.index()],
                key: bytes::Bytes::copy_from_slice(key),
                change: Change::Evicted(version),
                operation: None,
            };
            self.setup.lanes.lane(owner).push(evicted.encode(), None);
        }
    }

    /// The owner let an entry go.
    fn evict(&mut self, partition: PartitionId, key: &[u8], version: Version, now: UnixMs) {
        let present = self.table.peek(key, now).map(|entry| entry.version);
        if present == Some(version) {
            self.table.remove(key, now);
        } else if present < Some(version) {
            let gone = tombstone(version, now, EVICTED_KEEP_MS);
            self.put_newer(partition, key, &gone, now);
        }
    }

    /// A copy let an entry go: so does its owner, and with it all other copies.
    fn on_evicted(&mut self, partition: PartitionId, key: &[u8], version: Version, now: UnixMs) {
        let Role::Owned { sinks, .. } = &self.roles[partition.index()] else {
            return;
        };
        let present = self.table.peek(key, now);
        if present.is_none_or(|entry| entry.version != version || entry.kind == Kind::Tombstone) {
            return;
        }
        let evict = Effect {
            partition,
            epoch: self.epochs[partition.index()],
            key: bytes::Bytes::copy_from_slice(key),
            change: Change::Evict(version),
            operation: None,
        };
        let evict = evict.encode();
        sinks.all().for_each(|lane| lane.push(evict.clone(), None));
        self.table.remove(key, now);
        self.tell_one_gone(partition, key, version, false);
    }
}

/// Whether a version was made by a clock that is too far ahead of this one.
pub(super) fn is_from_the_future(version: Version, now: UnixMs) -> bool {
    version.hlc.wall().0 > now.0.saturating_add(CLOCK_SKEW_MS_MAX)
}
