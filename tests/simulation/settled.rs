//! What must be so once faults have ended and time has passed.

use std::collections::{BTreeMap, BTreeSet};

use smache::clock::UnixMs;
use smache::cluster::ownership::{Figures, Role};
use smache::cluster::rendezvous;
use smache::command::{Entry, Kind};
use smache::key::PartitionId;
use smache::version::NodeId;

use crate::net::Place;
use crate::world::World;

/// Evictions are remembered for so long by copies, whatever the horizon.
const EVICTED_KEEP_MS: u64 = 60_000;

type Held = BTreeMap<Vec<u8>, Entry>;

impl World {
    /// Runs until all has settled, for at most so long.
    pub fn settle(&mut self, within_ms: u64) -> Result<u64, String> {
        let start = self.context.now;
        loop {
            let outcome = self.settled();
            let passed = self.context.now - start;
            match outcome {
                Ok(()) => return Ok(passed),
                Err(why) if passed >= within_ms => return Err(why),
                Err(_) => self.run(250),
            }
        }
    }

    /// Whether all nodes agree, every partition has the copies that it should have, and nothing is
    /// under way.
    pub fn settled(&mut self) -> Result<(), String> {
        let ids: BTreeSet<NodeId> = self.nodes.values().map(|node| node.identity.id).collect();
        for (place, node) in &self.nodes {
            if !node.serving {
                return Err(format!("n{place} does not serve"));
            }
            if node.machine.membership().alive() != ids {
                return Err(format!("n{place} does not know who lives"));
            }
            if let Some(left) = left_to_do(&node.machine.ownership().figures()) {
                return Err(format!("n{place} has {left}"));
            }
            if !node.pulls.is_empty() || !node.drains.is_empty() || !node.drops.is_empty() {
                let (pulls, drains, drops) =
                    (node.pulls.len(), node.drains.len(), node.drops.len());
                return Err(format!(
                    "n{place}: {pulls} pulls, {drains} drains, {drops} drops"
                ));
            }
            let kept = node.lanes.counters().bytes;
            if kept > 0 && self.context.clients_stopped {
                return Err(format!("n{place} keeps {kept} bytes"));
            }
        }
        let (count, ids_of) = (self.context.settings.backups + 1, &ids);
        for partition in self.context.partitions() {
            let order = rendezvous::order(ids_of, partition, count);
            for (place, node) in &self.nodes {
                let held = node.machine.ownership().holding(partition);
                let first = self.nodes.values().next();
                let agreed = first.map(|node| node.machine.ownership().holding(partition));
                if agreed != Some(held) {
                    return Err(format!("n{place} holds {held:?} for {partition}"));
                }
                let role = node.machine.ownership().role(partition);
                if !order.contains(&node.identity.id) && *role != Role::Elsewhere {
                    return Err(format!("n{place} is still {role:?} of {partition}"));
                }
                let backups: BTreeSet<NodeId> = held.backups.nodes().iter().copied().collect();
                let wanted: BTreeSet<NodeId> = order.iter().skip(1).copied().collect();
                if held.owner != order.first().copied() || backups != wanted {
                    return Err(format!("{partition} is held so: {held:?}, not {order:?}"));
                }
            }
        }
        Ok(())
    }

    /// Copies hold what their owners hold, and nobody else holds anything.
    pub fn check_copies(&mut self) {
        for partition in self.context.partitions() {
            let held: BTreeMap<Place, Held> = (self.nodes.keys().copied().collect::<Vec<_>>())
                .into_iter()
                .map(|place| (place, self.live(place, partition)))
                .collect();
            let order = self.order(partition);
            let owner = &held[&order[0]];
            for (place, entries) in &held {
                if order.contains(place) {
                    assert_eq!(entries, owner, "n{place} and n{} on {partition}", order[0]);
                } else {
                    assert!(entries.is_empty(), "n{place} has orphans: {entries:?}");
                }
            }
        }
    }

    /// Who holds a partition, the owner first.
    fn order(&self, partition: PartitionId) -> Vec<Place> {
        let node = self.nodes.values().next().expect("a node");
        let held = node.machine.ownership().holding(partition);
        let nodes = held.owner.into_iter().chain(held.backups.nodes().to_vec());
        nodes.map(|node| self.context.places[&node]).collect()
    }

    /// What a node would show of a partition.
    fn live(&mut self, place: Place, partition: PartitionId) -> Held {
        let clock = UnixMs(self.context.now + self.context.settings.skew_ms.unsigned_abs());
        let node = self.nodes.get_mut(&place).expect("a node");
        let entries = node.entries(clock, |p| p == partition);
        let live = entries.into_iter();
        live.filter(|moved| moved.entry.kind != Kind::Tombstone)
            .map(|moved| (moved.key.to_vec(), moved.entry))
            .collect()
    }

    /// Every key is as its clients were promised, through every node.
    pub fn check_keys(&mut self) {
        for key in 0..self.context.checker.keys.len() {
            let name = self.context.checker.keys[key].key.clone();
            let partition = smache::key::partition(name.as_bytes());
            let owner = self.order(partition)[0];
            let clock = UnixMs(self.context.now);
            let node = self.nodes.get_mut(&owner).expect("the owner");
            let entries = node.entries(clock, |p| p == partition);
            let found = entries
                .into_iter()
                .find(|moved| moved.key == name.as_bytes());
            let now = self.context.now;
            let found = found.map(|moved| moved.entry);
            self.context.checker.check_end(key, found.as_ref(), now);
        }
    }

    /// After the horizon nothing is left of deletes.
    pub fn check_horizon(&mut self) {
        let horizon = self.context.settings.tombstone_ms.max(EVICTED_KEEP_MS);
        let skew = self.context.settings.skew_ms.unsigned_abs();
        let later = UnixMs(self.context.now + horizon + 2 * skew + 2_000);
        for (place, node) in &mut self.nodes {
            for core in &mut node.cores {
                while core.maintain(later, 2_000) {}
                let left = core.stats().tombstones;
                assert_eq!(left, 0, "n{place} keeps tombstones beyond the horizon");
            }
        }
    }
}

fn left_to_do(figures: &Figures) -> Option<String> {
    let left = [
        (figures.arriving, "copies arriving"),
        (figures.departing, "copies departing"),
        (figures.merging, "merges"),
        (figures.conceded, "concessions"),
    ];
    let (count, what) = left.into_iter().find(|(count, _)| *count > 0)?;
    Some(format!("{count} {what}"))
}
