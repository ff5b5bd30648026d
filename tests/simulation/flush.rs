//! Everything is deleted, while nodes come, leave and fail. Clients wait until it is over; what they
//! had written before is never seen again.

use std::collections::BTreeSet;

use rand::RngExt;
use smache::key::PartitionId;
use smache::replication::Ticket;
use smache::table::Cursor;
use smache::writer::core::Flush;

use crate::client;
use crate::context::note;
use crate::net::Place;
use crate::scenario::Mode;
use crate::world::World;

/// Whatever clients have sent, even before a session broke, is over after so long.
const QUIET_MS: u64 = 16_000;
/// All is deleted within this, faults in between included.
const WITHIN_MS: u64 = 240_000;
/// Who does not come to an end within this is asked again.
const PATIENCE_MS: u64 = 10_000;

/// A flush under way at one core of a node's life.
struct Running {
    place: Place,
    boot: u64,
    core: usize,
    flush: Flush,
    /// Where the walk goes on.
    at: Option<Cursor>,
    /// Whether the copies were told.
    ended: bool,
    /// Partitions that are done once the tickets are.
    told: Vec<PartitionId>,
    tickets: Vec<(PartitionId, Ticket)>,
    until: u64,
}

impl Running {
    /// The partitions that are done, if nothing is waited for any more.
    fn done(&self) -> Option<Vec<PartitionId>> {
        if !self.ended || self.tickets.iter().any(|(_, t)| t.outcome().is_none()) {
            return None;
        }
        let refused = |partition| {
            let mut tickets = self.tickets.iter();
            tickets.any(|(of, ticket)| *of == partition && ticket.outcome() != Some(true))
        };
        let done = self.told.iter().copied();
        Some(done.filter(|partition| !refused(*partition)).collect())
    }
}

impl World {
    /// Deletes everything, as the router does it: each owner is asked, until all is done.
    pub fn flush(&mut self, mode: Mode) {
        self.context.clients_stopped = true;
        self.run(QUIET_MS);
        let pending = self.context.checker.begin_flush(self.context.now);
        note!(self.context, "all is to be deleted");
        let end = self.context.now + WITHIN_MS;
        let mut left: BTreeSet<PartitionId> = self.context.partitions().collect();
        let mut running: Vec<Running> = Vec::new();
        let mut faults = self.context.rng.random_range(0..4);
        while !left.is_empty() {
            assert!(self.context.now < end, "{left:?} are not deleted");
            self.begin_flushes(&left, &mut running);
            running.retain_mut(|one| self.flush_step(one));
            running.retain(|one| match one.done() {
                Some(done) => {
                    done.iter().for_each(|partition| _ = left.remove(partition));
                    false
                }
                None => self.context.now < one.until,
            });
            if faults > 0 && self.context.rng.random_ratio(1, 15) {
                faults -= 1;
                self.fault(mode);
            }
            let wait = self.context.rng.random_range(1..40);
            self.run(wait);
        }
        note!(self.context, "all is deleted");
        let now = self.context.now;
        self.context.checker.end_flush(pending, now);
        self.context.clients_stopped = false;
        client::resume(&mut self.context);
    }

    fn begin_flushes(&mut self, left: &BTreeSet<PartitionId>, running: &mut Vec<Running>) {
        for (place, node) in &mut self.nodes {
            let boot = node.identity.boot_epoch;
            let is_at_it = running.iter().any(|r| r.place == *place && r.boot == boot);
            if is_at_it || self.context.paused.contains(place) {
                continue;
            }
            let clock = node.clock(&self.context);
            for (number, core) in node.cores.iter_mut().enumerate() {
                running.push(Running {
                    place: *place,
                    boot,
                    core: number,
                    flush: core.begin_flush(|partition| left.contains(&partition), clock),
                    at: Some(Cursor::default()),
                    ended: false,
                    told: Vec::new(),
                    tickets: Vec::new(),
                    until: self.context.now + PATIENCE_MS,
                });
            }
        }
    }

    /// Goes a step on; false if that life of the node is over.
    fn flush_step(&mut self, one: &mut Running) -> bool {
        let is_same = |node: &&mut crate::node::Node| node.identity.boot_epoch == one.boot;
        let Some(node) = self.nodes.get_mut(&one.place).filter(is_same) else {
            return false;
        };
        if self.context.paused.contains(&one.place) {
            return true;
        }
        let clock = node.clock(&self.context);
        let core = &mut node.cores[one.core];
        if let Some(cursor) = one.at {
            let work = self.context.rng.random_range(1..30);
            one.at = core.flush_step(&mut one.flush, cursor, clock, work);
        } else {
            let (told, more) = core.end_flush(&mut one.flush, clock);
            one.ended = !more;
            one.told.extend(told);
        }
        one.tickets.extend(one.flush.take_tickets());
        node.settle(&mut self.context);
        true
    }
}
