//! What should be so in the end.

use std::collections::BTreeSet;

use super::{Bed, WRITTEN_EVERY};
use crate::cluster::ownership::Role;
use crate::cluster::rendezvous::order;
use crate::key::PartitionId;
use crate::version::NodeId;

impl Bed {
    /// Runs until everything is as it should be, and sees that it stays so.
    pub(in crate::cluster::ownership::tests) fn settle(&mut self, patience: u64, what: &str) {
        let since = self.seed;
        let mut last = Ok(());
        for _ in 0..patience {
            self.run(1);
            last = self.is_settled();
            if last.is_ok() {
                self.run(3);
                if let Err(wrong) = self.is_settled() {
                    panic!("{what} (seed near {since}): it did not stay: {wrong}");
                }
                return;
            }
        }
        panic!("{what} (seed near {since}): {}", last.unwrap_err());
    }

    /// What is not yet as it should be.
    pub(in crate::cluster::ownership::tests) fn is_settled(&self) -> Result<(), String> {
        let all = |near: &NodeId| self.side.is_empty() || self.side.contains(near);
        let takes = self
            .nodes
            .iter()
            .filter(|(id, node)| !node.leaving && all(id));
        let eligible: BTreeSet<NodeId> = takes.map(|(id, _)| *id).collect();
        for partition in PartitionId::all() {
            let wanted = order(&eligible, partition, self.backups + 1);
            let copies: BTreeSet<NodeId> = wanted[1..].iter().copied().collect();
            let first = self.nodes[&wanted[0]].machine.holding(partition);
            for (id, node) in self.nodes.iter().filter(|(id, _)| all(id)) {
                let held = node.machine.holding(partition);
                let wrong = |what: &str| Err(format!("{partition:?} at {id:?}: {what}: {held:?}"));
                if held != first {
                    return wrong("nodes disagree");
                }
                if held.owner != Some(wanted[0]) {
                    return wrong("another owner");
                }
                let has: BTreeSet<NodeId> = held.backups.nodes().iter().copied().collect();
                if has != copies || held.backups.nodes().len() != copies.len() {
                    return wrong("other backups");
                }
                let role = if *id == wanted[0] {
                    Role::Owned {
                        in_sync: held.backups.nodes().to_vec(),
                        syncing: Vec::new(),
                        frozen: false,
                    }
                } else if copies.contains(id) {
                    Role::Backup { owner: wanted[0] }
                } else {
                    Role::Elsewhere
                };
                if *node.machine.role(partition) != role
                    || node.roles.get(&partition).unwrap_or(&Role::Elsewhere) != &role
                {
                    let roles = (node.machine.role(partition), node.roles.get(&partition));
                    return wrong(&format!("it is not {role:?} but {roles:?}"));
                }
            }
        }
        for (id, node) in self.nodes.iter().filter(|(id, _)| all(id)) {
            let figures = node.machine.figures();
            let open = [
                figures.arriving,
                figures.departing,
                figures.merging,
                figures.conceded,
            ];
            if open != [0; 4] {
                return Err(format!("{id:?}: {figures:?}"));
            }
        }
        Ok(())
    }

    /// Plays the comparison of copies with their owners, which have the last word.
    ///
    /// It matters after a cut: of the copies on the far side one may have got a write that the one
    /// which took over has not, and that the near side has acknowledged. If the first of them is the
    /// owner in the end, the merge brings nothing new to it, and so nothing to the other one.
    pub(in crate::cluster::ownership::tests) fn repair(&mut self) {
        for partition in PartitionId::all().step_by(WRITTEN_EVERY) {
            let held = self
                .nodes
                .values()
                .next()
                .unwrap()
                .machine
                .holding(partition);
            let owner = held.owner.unwrap();
            let Some(truth) = self.nodes[&owner].data.get(&partition).cloned() else {
                continue;
            };
            for copy in held.backups.nodes() {
                self.node(*copy).data.insert(partition, truth.clone());
            }
        }
    }

    /// Every acknowledged write is with the owner and all backups, and nobody else has anything.
    pub(in crate::cluster::ownership::tests) fn check_writes(&mut self) {
        self.run(3);
        assert!(!self.acknowledged.is_empty(), "nothing was written");
        for (partition, write) in &self.acknowledged {
            let held = self
                .nodes
                .values()
                .next()
                .unwrap()
                .machine
                .holding(*partition);
            let owner = held.owner.unwrap();
            for holder in held.backups.nodes().iter().chain([&owner]) {
                let data = self.nodes[holder].data.get(partition);
                assert!(
                    data.is_some_and(|data| data.contains(write)),
                    "write {write} on {partition:?} is lost at {holder:?}: {held:?}"
                );
            }
        }
        for (id, node) in &self.nodes {
            for partition in node.data.keys() {
                let held = node.machine.holding(*partition);
                let holds = held.owner == Some(*id) || held.backups.contains(*id);
                assert!(holds, "{id:?} still has entries of {partition:?}");
            }
        }
    }
}
