//! The side of an owner: commands on its keys, and how what they change gets to the copies.
//!
//! What takes too long for the lock is not done here: it is decided beside it, on a
//! [snapshot](Core::snapshot), and [settled](Core::settle) if the entry is still the same.

use std::sync::Arc;

use super::{Core, Role, Sinks, tombstone};
use crate::clock::UnixMs;
use crate::command::{
    self, Answer, Changed, Command, Effect, Entry, EntryRef, Kind, Limits, OperationId, Prepared,
    Reply,
};
use crate::config::policy::Acknowledge;
use crate::key::PartitionId;
use crate::replication::{Done, Remembered, Ticket, encode_delta, encode_put};
use crate::table::Spot;
use crate::version::{Hlc, HlcSource, NodeId, Version};
use crate::writer::Error;

/// Effects of this length travel in pieces, beside others, which may overtake them.
const LONG_BYTES: usize = 64 << 10;

/// Most work for a document under the lock, in bytes that are looked at: well below a millisecond.
pub(in crate::writer) const WORK_MAX: usize = 128 << 10;

/// What is sent to the copies.
pub(super) enum Sent {
    /// The entry, and the version before.
    Whole(Option<Version>, Entry),
    /// What changed in the entry of this version.
    Delta(Version, Changed),
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was carried out. What it changed is with all copies once the ticket, if there is one, is
    /// done.
    Done(Reply, Option<Ticket>),
    /// It was carried out, and what it came to is not known any more.
    Forgotten,
    /// This node does not answer for the partition, or not at the moment; nothing was done.
    Elsewhere,
}

impl Core {
    #[inline]
    pub(in crate::writer) fn read<R>(
        &mut self,
        partition: PartitionId,
        key: &[u8],
        now: UnixMs,
        read: impl FnOnce(Option<EntryRef<'_>>) -> R,
    ) -> Option<R> {
        if !self.roles.is_owned(partition) {
            return None;
        }
        self.served.reads += 1;
        self.purge(partition, key, now);
        Some(read(self.table.get(key, now)))
    }

    /// Carries a command out; `None` if that takes too long under the lock. Then nothing was done: it
    /// can be decided beside it, on a [snapshot](Core::snapshot), and be [settled](Core::settle).
    ///
    /// # Errors
    /// See [`Error`]; then nothing has changed.
    pub fn apply(
        &mut self,
        partition: PartitionId,
        command: &Command,
        operation: Option<OperationId>,
        now: UnixMs,
    ) -> Result<Option<Outcome>, Error> {
        let limits = self.limits_of_turn();
        self.apply_as(partition, command, operation, now, |current, stamp| {
            let next = || stamp.next();
            unless_too_long(command::apply(command, current, now, next, &limits))
        })
    }

    /// Carries out what was decided beside the lock; `None` if the entry has changed since.
    ///
    /// # Errors
    /// See [`Error`]; then nothing has changed.
    pub fn settle(
        &mut self,
        partition: PartitionId,
        command: &Command,
        operation: Option<OperationId>,
        prepared: Prepared,
        now: UnixMs,
    ) -> Result<Option<Outcome>, Error> {
        self.apply_as(partition, command, operation, now, |current, stamp| {
            let fits = prepared.fits(current);
            Ok(fits.then(|| prepared.stamp(|| stamp.next())))
        })
    }

    /// A copy of a key's value, for what takes too long under the lock.
    #[must_use]
    pub fn snapshot(&self, key: &[u8], now: UnixMs) -> Option<Entry> {
        let entry = self.table.peek(key, now);
        let value = entry.filter(|entry| entry.kind != Kind::Tombstone);
        value.map(|entry| entry.to_entry())
    }

    fn limits_of_turn(&self) -> Limits {
        Limits {
            work_max: WORK_MAX,
            ..self.setup.limits
        }
    }

    /// Carries out what `decide` makes of the present value; `None` if it makes nothing of it.
    fn apply_as(
        &mut self,
        partition: PartitionId,
        command: &Command,
        operation: Option<OperationId>,
        now: UnixMs,
        decide: impl FnOnce(Option<EntryRef<'_>>, &mut Stamp<'_>) -> Decided,
    ) -> Result<Option<Outcome>, Error> {
        let key = command.key().as_bytes();
        #[cfg(test)]
        assert_ne!(key, crate::writer::tests::POISON, "a poisonous command");
        let Role::Owned { sinks, frozen } = &self.roles[partition.index()] else {
            return Ok(Some(Outcome::Elsewhere));
        };
        if command.is_read() {
            return self.apply_read(partition, command, now);
        }
        if *frozen {
            return Ok(Some(Outcome::Elsewhere));
        }
        // Without copies nothing is sent, and the table may change while the role is looked at.
        let sinks = (!sinks.is_empty()).then(|| Arc::clone(sinks));
        self.purge(partition, key, now);
        if let Some(id) = operation
            && let Some(known) = self.operations.get(id)
            && known.done.fits(command)
        {
            return Ok(Some(again(known, command, self.table.peek(key, now))));
        }
        let spot = self.table.spot(key);
        let present = self.table.peek_at(spot, now);
        let previous = present.map(|entry| entry.version);
        let current = present.filter(|entry| entry.kind != Kind::Tombstone);
        if let Some(sinks) = &sinks {
            // Of an open collection only what changes is sent.
            let grown = command.bytes() + current.map_or(0, |entry| entry.data.len());
            if let Some(lane) = sinks.all().find(|lane| !lane.has_room(grown)) {
                return Err(Error::Backlog(lane.node()));
            }
        }
        let mut stamp = Stamp {
            versions: &mut self.versions,
            node: self.setup.node,
            previous: previous.map(|version| version.hlc),
            now,
        };
        let Some((effect, reply)) = decide(current, &mut stamp)? else {
            return Ok(None);
        };
        let key = command.key().as_bytes();
        let sent = match (effect, previous) {
            (Effect::Change(changed), Some(previous)) => {
                if !self.table.change_at(spot, partition, key, &changed, now)? {
                    // It was here a moment ago, under this very lock.
                    return Err(Error::Internal);
                }
                Sent::Delta(previous, changed)
            }
            (Effect::None | Effect::Change(_), _) => return Ok(Some(Outcome::Done(reply, None))),
            (Effect::Put(entry), previous) => Sent::Whole(previous, entry),
            (Effect::Delete, previous) => Sent::Whole(
                previous,
                tombstone(stamp.next(), now, self.setup.tombstone_ms),
            ),
        };
        if let Sent::Whole(_, entry) = &sent {
            self.store(spot, partition, key, entry, now)?;
        }
        self.tell_applied(key, &sent, now);
        let done = operation.and_then(|id| Some((id, Done::of(&reply)?)));
        let ticket = sinks.and_then(|to| self.send(partition, key, &sent, done.as_ref(), &to));
        if let Some((id, done)) = done {
            let ticket = ticket.clone();
            let remembered = Remembered {
                partition,
                done,
                ticket,
            };
            self.operations.remember(id, remembered, now);
        }
        self.tell_evictions();
        Ok(Some(Outcome::Done(reply, ticket)))
    }

    fn apply_read(
        &mut self,
        partition: PartitionId,
        command: &Command,
        now: UnixMs,
    ) -> Result<Option<Outcome>, Error> {
        self.purge(partition, command.key().as_bytes(), now);
        let limits = self.limits_of_turn();
        let key = command.key().as_bytes();
        let inspects = command.inspects();
        let current = match inspects {
            true => self
                .table
                .peek(key, now)
                .filter(|entry| entry.kind != Kind::Tombstone),
            false => self.table.get(key, now),
        };
        let no_version = Version::default;
        let decided = command::apply(command, current, now, no_version, &limits);
        let Some((_, mut reply)) = unless_too_long(decided)? else {
            return Ok(None);
        };
        if inspects
            && let Reply::Answer {
                answer: Answer::Inspected(inspected),
                ..
            } = &mut reply
            && let Some(usage) = self.table.usage(key)
        {
            inspected.memory_bytes = usage.memory_bytes;
            inspected.uses = usage.frequency;
        }
        Ok(Some(Outcome::Done(reply, None)))
    }

    /// Puts an entry, or, for a delete that nobody else has to hear of, takes it away.
    pub(super) fn store(
        &mut self,
        spot: Spot,
        partition: PartitionId,
        key: &[u8],
        entry: &Entry,
        now: UnixMs,
    ) -> Result<(), Error> {
        if entry.kind == Kind::Tombstone && !self.has_company {
            self.table.remove(key, now);
            return Ok(());
        }
        let put = self.table.put_at(spot, partition, key, entry.as_ref(), now);
        if put.is_err() && entry.kind == Kind::Tombstone {
            // No room even for that: at least the value must go.
            self.table.remove(key, now);
            return Ok(());
        }
        put.map_err(Error::from)
    }

    /// Sends what changed to the copies.
    pub(super) fn send(
        &self,
        partition: PartitionId,
        key: &[u8],
        sent: &Sent,
        done: Option<&(OperationId, Done)>,
        sinks: &Sinks,
    ) -> Option<Ticket> {
        if sinks.is_empty() {
            return None;
        }
        let policy = self.setup.policies.of(key);
        let awaited = match policy.acknowledge {
            Acknowledge::Owner => 0,
            // One that is too many is waited for as well: it may be the one that takes over.
            Acknowledge::Backup if policy.backups >= self.backups_max => sinks.in_sync.len(),
            Acknowledge::Backup => sinks.in_sync.len().min(usize::from(policy.backups)),
        };
        let ticket = (awaited > 0).then(|| Ticket::new(awaited));
        let place = (partition, self.epochs[partition.index()]);
        let done = done.map(|(id, done)| (*id, done));
        let effect = match sent {
            Sent::Whole(previous, entry) => encode_put(place, key, *previous, entry.as_ref(), done),
            Sent::Delta(previous, changed) => encode_delta(place, key, *previous, changed, done),
        };
        for (place, lane) in sinks.all().enumerate() {
            let ticket = ticket.as_ref().filter(|_| place < awaited);
            match sent {
                Sent::Whole(_, entry)
                    if entry.kind.is_collection() && effect.len() >= LONG_BYTES =>
                {
                    lane.push_long(key, entry.version, effect.clone(), ticket.cloned());
                }
                _ => lane.push(effect.clone(), ticket.cloned()),
            }
        }
        ticket
    }
}

/// What the version of a key's next value is made with.
struct Stamp<'a> {
    versions: &'a mut HlcSource,
    node: NodeId,
    previous: Option<Hlc>,
    now: UnixMs,
}

impl Stamp<'_> {
    fn next(&mut self) -> Version {
        Version {
            hlc: self.versions.next(self.now, self.previous),
            node: self.node,
        }
    }
}

/// What a command comes to; `None` if that takes too long to find out.
type Decided = Result<Option<(Effect, Reply)>, command::Error>;

fn unless_too_long(decided: Result<(Effect, Reply), command::Error>) -> Decided {
    match decided {
        Err(error) if error.is_too_much_work() => Ok(None),
        decided => decided.map(Some),
    }
}

/// What an operation that was applied before came to.
fn again(known: &Remembered, command: &Command, current: Option<EntryRef<'_>>) -> Outcome {
    if known.ticket.as_ref().and_then(Ticket::outcome) == Some(false) {
        // Its copies follow another owner, which this node is about to hear of.
        return Outcome::Elsewhere;
    }
    match known.done.reply(command, current) {
        Some(reply) => Outcome::Done(reply, known.ticket.clone()),
        None => Outcome::Forgotten,
    }
}
