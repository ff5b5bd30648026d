//! What a node does for a while: pull copies, merge, wait for copies, drop. As the real shell does
//! it, a step at a time.

use std::collections::BTreeSet;
use std::sync::Arc;

use rand::RngExt;
use smache::cluster::codec;
use smache::cluster::ownership::Part;
use smache::command::{Entry, Kind};
use smache::key::PartitionId;
use smache::replication::{Lane, Ticket};
use smache::table::Cursor;
use smache::version::NodeId;
use smache::writer::{self, Merge, Moved, Role};

use crate::context::{Context, Event, note};
use crate::node::Node;
use crate::requests::{Answer, Ask, Asker};
use crate::sabotage::Sabotage;

const RETRY_AFTER_MS: u64 = 100;
const PATIENCE_MS: u64 = 10_000;
const DRAIN_MAX_MS: u64 = 2_000;

/// What entries are pulled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    Sync,
    Merge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// From here on.
    Entries(u16, u64),
    Operations,
    /// All is here; copies have not yet answered for it.
    Copying,
    /// The machine has not yet heard that these copies are complete.
    Told,
}

/// Entries on their way from another node.
pub struct Pull {
    purpose: Purpose,
    from: NodeId,
    parts: Vec<Part>,
    /// The offers by which they are copied; 0 for what is merged.
    offers: Vec<u32>,
    turns: Vec<u32>,
    stage: Stage,
    since: u64,
    /// What came and waits for room.
    left: Vec<Moved>,
    tickets: Vec<(PartitionId, Ticket)>,
    lost: BTreeSet<PartitionId>,
    complete: BTreeSet<PartitionId>,
}

/// Frozen partitions whose copies have not answered for everything.
pub struct Drain {
    partitions: Vec<PartitionId>,
    number: u64,
    marks: Vec<(Arc<Lane>, u64)>,
    until: u64,
}

/// Partitions that are being dropped.
pub struct Drop {
    partitions: Vec<PartitionId>,
    core: usize,
    cursor: Cursor,
}

impl Node {
    fn work(&mut self) -> u64 {
        self.next_work += 1;
        self.next_work
    }

    pub fn start_sync(
        &mut self,
        context: &mut Context,
        from: NodeId,
        asked: Vec<(PartitionId, u32)>,
    ) {
        let part = |partition| Part {
            partition,
            since: 0,
        };
        let parts = asked.into_iter();
        let parts = parts.map(|(partition, offer)| (part(partition), offer));
        self.start_pull(context, Purpose::Sync, from, parts.collect());
    }

    pub fn start_merge(&mut self, context: &mut Context, from: NodeId, parts: Vec<Part>) {
        let parts = parts.into_iter().map(|part| (part, 0)).collect();
        self.start_pull(context, Purpose::Merge, from, parts);
    }

    fn start_pull(
        &mut self,
        context: &mut Context,
        purpose: Purpose,
        from: NodeId,
        mut parts: Vec<(Part, u32)>,
    ) {
        // Also what is under way already is asked for now and then.
        parts.retain(|(part, offer)| self.busy.insert((purpose, from, part.partition, *offer)));
        if parts.is_empty() {
            return;
        }
        let (parts, offers): (Vec<Part>, Vec<u32>) = parts.into_iter().unzip();
        let turns = parts
            .iter()
            .map(|part| part.partition)
            .map(|partition| self.core(partition).turn(partition))
            .collect();
        let pull = Pull {
            purpose,
            from,
            parts,
            offers,
            turns,
            stage: Stage::Entries(0, 0),
            since: context.now,
            left: Vec::new(),
            tickets: Vec::new(),
            lost: BTreeSet::new(),
            complete: BTreeSet::new(),
        };
        let id = self.work();
        note!(
            context,
            "n{} begins pull {id}, a {purpose:?} from n{}: {:?}",
            self.place,
            context.places[&from],
            pull.parts
        );
        self.pulls.insert(id, pull);
        context.schedule_at(context.now, self.place, Event::Pull(id));
    }

    /// The next step of a pull.
    pub fn go_on(&mut self, context: &mut Context, id: u64) {
        let Some(pull) = self.pulls.get_mut(&id) else {
            return;
        };
        if !pull.left.is_empty() {
            let left = std::mem::take(&mut pull.left);
            return self.take_stretch(context, id, left);
        }
        let partitions = pull.parts.iter().map(|part| part.partition).collect();
        let ask = match pull.stage {
            Stage::Entries(writer, cursor) => Ask::Pull(codec::Pull {
                partitions,
                writer,
                cursor,
                bytes_max: context.settings.chunk_bytes as u32,
            }),
            Stage::Operations => Ask::Operations(partitions),
            Stage::Copying => return self.wait_for_copies(context, id),
            Stage::Told => {
                let complete = std::mem::take(&mut pull.complete);
                return self.end_pull(context, id, &complete);
            }
        };
        let from = pull.from;
        if !self.ask(context, from, ask, Asker::Pull(id)) {
            self.pulled(context, id, None);
        }
    }

    /// A stretch came, or it did not.
    pub fn pulled(&mut self, context: &mut Context, id: u64, answer: Option<Answer>) {
        let now = context.now;
        let Some(pull) = self.pulls.get_mut(&id) else {
            return;
        };
        match answer {
            Some(Answer::Pulled { entries, next }) => {
                pull.since = now;
                pull.stage = match (next, pull.purpose) {
                    (Some((writer, cursor)), _) => Stage::Entries(writer, cursor),
                    (None, Purpose::Sync) => Stage::Operations,
                    (None, Purpose::Merge) => Stage::Copying,
                };
                self.take_stretch(context, id, entries);
            }
            Some(Answer::Operations(operations)) => {
                let clock = self.clock(context);
                let forgets = context.sabotage == Some(Sabotage::ForgetOperations);
                for operation in operations.into_iter().filter(|_| !forgets) {
                    self.core(operation.partition).learn(operation, clock);
                }
                self.synced(context, id);
            }
            // Only a stretch is asked for again; ownership sees to the rest.
            _ if pull.stage == Stage::Operations || pull.since + PATIENCE_MS <= now => {
                self.end_pull(context, id, &BTreeSet::new());
            }
            _ => context.schedule_at(now + RETRY_AFTER_MS, self.place, Event::Pull(id)),
        }
    }

    fn take_stretch(&mut self, context: &mut Context, id: u64, entries: Vec<Moved>) {
        let clock = self.clock(context);
        let Some(pull) = self.pulls.get(&id) else {
            return;
        };
        let (purpose, from, parts) = (pull.purpose, pull.from, pull.parts.clone());
        let mut wait = context.rng.random_range(0..5);
        let mut entries = entries.into_iter();
        while let Some(moved) = entries.next() {
            if purpose == Purpose::Sync {
                let skip = match context.sabotage {
                    Some(Sabotage::SkipTombstones) => moved.entry.kind == Kind::Tombstone,
                    Some(Sabotage::SkipFlushes) => moved.key.is_empty(),
                    _ => false,
                };
                if !skip {
                    self.core(moved.partition).absorb(from, &moved, clock);
                }
                continue;
            }
            let Some(part) = parts.iter().find(|part| part.partition == moved.partition) else {
                continue;
            };
            if !self.merge(context, id, &moved, part) {
                wait = RETRY_AFTER_MS;
                let left: Vec<Moved> = std::iter::once(moved).chain(entries).collect();
                if let Some(pull) = self.pulls.get_mut(&id) {
                    pull.left = left;
                }
                break;
            }
        }
        context.schedule_at(context.now + wait, self.place, Event::Pull(id));
    }

    /// Takes one entry of the other side over; false if there is no room for it now.
    fn merge(&mut self, context: &mut Context, id: u64, moved: &Moved, part: &Part) -> bool {
        let clock = self.clock(context);
        let lost = self.pulls[&id].lost.contains(&moved.partition);
        if lost {
            return true;
        }
        let before = self.entry_of(moved.partition, &moved.key);
        let merge = self.core(moved.partition).merge(moved, part.since, clock);
        note!(context, "n{} merges {moved:?}: {merge:?}", self.place);
        let Some(pull) = self.pulls.get_mut(&id) else {
            return true;
        };
        match merge {
            Merge::Elsewhere => drop(pull.lost.insert(moved.partition)),
            Merge::Later(_) => return false,
            Merge::Settled { ticket, discarded } => {
                let deleted = |entry: &Entry| entry.kind == Kind::Tombstone;
                if let Some(before) = before.filter(|e| deleted(e) && deleted(&moved.entry)) {
                    let older = before.version.min(moved.entry.version);
                    context.checker.deleted_on_both(&moved.key, older);
                }
                let ticket = ticket.map(|ticket| (moved.partition, ticket));
                pull.tickets.extend(ticket);
                if let Some(discarded) = discarded {
                    let by = discarded.by;
                    context
                        .checker
                        .discarded(&discarded.key, discarded.version, by);
                }
            }
        }
        true
    }

    fn wait_for_copies(&mut self, context: &mut Context, id: u64) {
        let Some(pull) = self.pulls.get_mut(&id) else {
            return;
        };
        if pull.tickets.iter().any(|(_, t)| t.outcome().is_none()) {
            return context.schedule_at(context.now + 5, self.place, Event::Pull(id));
        }
        for (partition, ticket) in std::mem::take(&mut pull.tickets) {
            if ticket.outcome() == Some(false) {
                pull.lost.insert(partition);
            }
        }
        let parts = pull.parts.iter().map(|part| part.partition);
        let settled = parts.filter(|p| !pull.lost.contains(p)).collect();
        self.end_pull(context, id, &settled);
    }

    /// All entries and operations have come, for as long as this node was meant to have them.
    fn synced(&mut self, context: &mut Context, id: u64) {
        let pull = &self.pulls[&id];
        let parts: Vec<_> = pull.parts.iter().map(|part| part.partition).collect();
        let stayed = parts.into_iter().zip(pull.turns.clone());
        let stayed: BTreeSet<PartitionId> = stayed
            .filter(|(partition, turn)| self.core(*partition).complete(*partition, *turn))
            .map(|(partition, _)| partition)
            .collect();
        if let Some(pull) = self.pulls.get_mut(&id) {
            pull.complete = stayed;
            pull.stage = Stage::Told;
        }
        let wait = context.rng.random_range(0..20);
        context.schedule_at(context.now + wait, self.place, Event::Pull(id));
    }

    fn end_pull(&mut self, context: &mut Context, id: u64, complete: &BTreeSet<PartitionId>) {
        let Some(pull) = self.pulls.remove(&id) else {
            return;
        };
        note!(context, "n{} ends pull {id}: {complete:?}", self.place);
        for (part, offer) in pull.parts.iter().zip(&pull.offers) {
            let busy = (pull.purpose, pull.from, part.partition, *offer);
            self.busy.remove(&busy);
        }
        let complete: Vec<PartitionId> = complete.iter().copied().collect();
        match pull.purpose {
            Purpose::Sync => {
                let asked = pull.parts.iter().map(|part| part.partition);
                let offered = asked.zip(pull.offers.iter().copied());
                let synced = offered.filter(|(partition, _)| complete.contains(partition));
                let synced: Vec<_> = synced.collect();
                self.machine.synced(pull.from, &synced);
            }
            Purpose::Merge => self.machine.merged(pull.from, &complete),
        }
        if context.sabotage == Some(Sabotage::AcceptBeforeGrant) && pull.purpose == Purpose::Sync {
            self.accept(context, &complete);
        }
    }

    /// Answers for partitions that were not granted.
    fn accept(&mut self, context: &Context, partitions: &[PartitionId]) {
        let clock = self.clock(context);
        for &partition in partitions {
            self.owners[partition.index()] = Some(self.identity.id);
            let role = Role::alone();
            self.core(partition)
                .set_roles(&[(partition, 0)], &role, clock);
        }
    }

    /// Waits, not for long, until the copies of frozen partitions have answered for everything.
    pub fn start_drain(
        &mut self,
        context: &mut Context,
        partitions: Vec<PartitionId>,
        number: u64,
    ) {
        let mut marks: Vec<(Arc<Lane>, u64)> = Vec::new();
        for &partition in &partitions {
            if let writer::Role::Owned { sinks, .. } = self.core(partition).role(partition) {
                for lane in &sinks.in_sync {
                    if !marks.iter().any(|(known, _)| Arc::ptr_eq(known, lane)) {
                        marks.push((Arc::clone(lane), lane.next_number()));
                    }
                }
            }
        }
        let drain = Drain {
            partitions,
            number,
            marks,
            until: context.now + DRAIN_MAX_MS,
        };
        let id = self.work();
        self.drains.insert(id, drain);
        context.schedule_at(context.now, self.place, Event::Drain(id));
    }

    pub fn go_on_draining(&mut self, context: &mut Context, id: u64) {
        let Some(drain) = self.drains.remove(&id) else {
            return;
        };
        let mut marks = drain.marks.iter();
        if marks.all(|(lane, mark)| lane.is_done_before(*mark)) {
            self.machine.drained(&drain.partitions, drain.number);
        } else if context.now < drain.until {
            self.drains.insert(id, drain);
            context.schedule_at(context.now + 2, self.place, Event::Drain(id));
        }
    }

    pub fn start_drop(&mut self, context: &mut Context, partitions: Vec<PartitionId>) {
        note!(context, "n{} is to drop {partitions:?}", self.place);
        let drop = Drop {
            partitions,
            core: 0,
            cursor: Cursor::default(),
        };
        let id = self.work();
        self.drops.insert(id, drop);
        let at = context.now + context.rng.random_range(0..20);
        context.schedule_at(at, self.place, Event::Drop(id));
    }

    pub fn go_on_dropping(&mut self, context: &mut Context, id: u64) {
        let Some(mut drop) = self.drops.remove(&id) else {
            return;
        };
        let Some(core) = self.cores.get_mut(drop.core) else {
            return;
        };
        let wanted = |partition| drop.partitions.binary_search(&partition).is_ok();
        match core.drop_partitions(wanted, drop.cursor, 30) {
            Some(cursor) => drop.cursor = cursor,
            None => (drop.core, drop.cursor) = (drop.core + 1, Cursor::default()),
        }
        self.drops.insert(id, drop);
        let at = context.now + context.rng.random_range(0..20);
        context.schedule_at(at, self.place, Event::Drop(id));
    }
}
