//! What one input has led to, and the order in which it is done.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Action, Message, Ownership, Part, Role};
use crate::key::PartitionId;
use crate::version::NodeId;

/// What has gathered while one input was worked on.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Partitions whose role may be another one.
    pub(super) dirty: BTreeSet<PartitionId>,
    /// Partitions whose holders are others: everybody must hear.
    pub(super) changed: BTreeSet<PartitionId>,
    pub(super) drop: BTreeSet<PartitionId>,
    /// Partitions whose copy is begun anew.
    pub(super) reset: BTreeSet<PartitionId>,
    pub(super) sends: Vec<(NodeId, Message)>,
    pub(super) offers: BTreeMap<NodeId, Vec<(u16, u32)>>,
    /// Partitions of which their owners think that this node holds a copy.
    pub(super) lost: BTreeMap<NodeId, Vec<u16>>,
    pub(super) syncs: BTreeMap<NodeId, Vec<(PartitionId, u32)>>,
    pub(super) merges: BTreeMap<NodeId, Vec<Part>>,
    pub(super) drains: Vec<PartitionId>,
    pub(super) released: Vec<NodeId>,
    pub(super) digest: Option<u64>,
    /// Something has changed that lets the next step be taken at once.
    pub(super) level: bool,
    pub(super) map_changed: bool,
}

impl Ownership {
    /// What this node is to a partition, by all that it knows.
    fn role_now(&self, partition: PartitionId) -> Role {
        let held = &self.held[partition.index()];
        if let Some(mine) = self.mine.get(&partition) {
            return Role::Owned {
                in_sync: held.backups.nodes().to_vec(),
                syncing: mine.syncing.iter().map(|syncing| syncing.node).collect(),
                frozen: mine.frozen.is_some(),
            };
        }
        match self.copies.owner(partition) {
            Some(owner) => Role::Backup { owner },
            None => Role::Elsewhere,
        }
    }

    /// What is to be done, in this order: roles first, so that no word is older than what it says.
    pub fn take_actions(&mut self) -> Vec<Action> {
        if std::mem::take(&mut self.outbox.level) {
            self.level();
        }
        let mut outbox = std::mem::take(&mut self.outbox);
        outbox.map_changed |= !outbox.dirty.is_empty();
        // The lane of a node that is dead ends before the roles of those that it may have now: they
        // begin the next one.
        let released = std::mem::take(&mut outbox.released).into_iter();
        let mut actions: Vec<Action> = released.map(Action::Release).collect();
        if !outbox.reset.is_empty() {
            actions.push(Action::Reset(outbox.reset.into_iter().collect()));
        }
        self.take_roles(&outbox.dirty, &mut actions);
        let forgotten = |p: &PartitionId| self.roles[p.index()] == Role::Elsewhere;
        let drop: Vec<PartitionId> = outbox.drop.into_iter().filter(forgotten).collect();
        if !drop.is_empty() {
            actions.push(Action::Drop(drop));
        }
        let changed = self.report(outbox.changed);
        if !changed.is_empty() {
            actions.push(Action::Broadcast(Message::Held(changed)));
        }
        if let Some(digest) = outbox.digest {
            actions.push(Action::Broadcast(Message::Digest(digest)));
        }
        let offers = outbox
            .offers
            .into_iter()
            .filter(|(_, offers)| !offers.is_empty());
        let offers = offers.map(|(node, partitions)| (node, Message::Offer(partitions)));
        let lost = outbox.lost.into_iter();
        let lost = lost.map(|(owner, partitions)| (owner, Message::Lost(partitions)));
        let sends = outbox.sends.into_iter().chain(offers).chain(lost);
        actions.extend(sends.map(|(node, message)| Action::Send(node, message)));
        actions.extend(
            outbox
                .syncs
                .into_iter()
                .map(|(node, p)| Action::Sync(node, p)),
        );
        actions.extend(
            outbox
                .merges
                .into_iter()
                .map(|(node, p)| Action::Merge(node, p)),
        );
        if !outbox.drains.is_empty() {
            actions.push(Action::Drain(outbox.drains, self.ticks));
        }
        if outbox.map_changed {
            actions.push(Action::Changed);
        }
        actions
    }

    /// Roles come in long runs of the same: one action for each kind.
    fn take_roles(&mut self, dirty: &BTreeSet<PartitionId>, actions: &mut Vec<Action>) {
        let mut by_role: Vec<(Role, Vec<(PartitionId, u32)>)> = Vec::new();
        let mut places: HashMap<Role, usize> = HashMap::new();
        for &partition in dirty {
            let role = self.role_now(partition);
            if role == self.roles[partition.index()] {
                continue;
            }
            let epoch = self.held[partition.index()].epoch;
            self.roles[partition.index()] = role.clone();
            let place = *places.entry(role.clone()).or_insert_with(|| {
                by_role.push((role, Vec::new()));
                by_role.len() - 1
            });
            by_role[place].1.push((partition, epoch));
        }
        let roles = by_role.into_iter();
        actions.extend(roles.map(|(role, partitions)| Action::Role(partitions, role)));
    }
}
