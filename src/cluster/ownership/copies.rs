//! The copies that this node holds for others.

use std::collections::BTreeMap;

use crate::key::PartitionId;
use crate::version::NodeId;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Copy {
    owner: NodeId,
    offer: u32,
    complete: bool,
    /// The tick in which the owner was last known to want it.
    heard: u64,
}

/// Which partitions this node holds for whom, and whether it has all of them.
#[derive(Debug, Default)]
pub(super) struct Copies(BTreeMap<PartitionId, Copy>);

impl Copies {
    /// Whose changes this node follows.
    pub(super) fn owner(&self, partition: PartitionId) -> Option<NodeId> {
        self.0.get(&partition).map(|copy| copy.owner)
    }

    /// By whose offer, and which one, a copy was begun.
    pub(super) fn offer(&self, partition: PartitionId) -> Option<(NodeId, u32)> {
        self.0.get(&partition).map(|copy| (copy.owner, copy.offer))
    }

    /// Whether all that the owner had when the copy was begun has come. Together with its changes
    /// since, for as long as the owner sends them, that is everything.
    pub(super) fn is_complete(&self, partition: PartitionId) -> bool {
        self.0.get(&partition).is_some_and(|copy| copy.complete)
    }

    /// A copy is to be made.
    pub(super) fn begin(&mut self, partition: PartitionId, owner: NodeId, offer: u32, heard: u64) {
        let copy = Copy {
            owner,
            offer,
            complete: false,
            heard,
        };
        self.0.insert(partition, copy);
    }

    /// The owner still wants the copy.
    pub(super) fn heard(&mut self, partition: PartitionId, now: u64) {
        if let Some(copy) = self.0.get_mut(&partition) {
            copy.heard = now;
        }
    }

    /// The copy that was begun by this offer has everything; whether it is still that one.
    pub(super) fn complete(
        &mut self,
        partition: PartitionId,
        owner: NodeId,
        offer: u32,
        now: u64,
    ) -> bool {
        let copy = self.0.get_mut(&partition);
        let Some(copy) = copy.filter(|copy| (copy.owner, copy.offer) == (owner, offer)) else {
            return false;
        };
        copy.complete = true;
        copy.heard = now;
        true
    }

    /// The copy, which has everything, follows this owner from now on, whatever it was offered.
    pub(super) fn follow(&mut self, partition: PartitionId, owner: NodeId) {
        let copy = Copy {
            owner,
            offer: 0,
            complete: true,
            heard: u64::MAX,
        };
        self.0.insert(partition, copy);
    }

    pub(super) fn remove(&mut self, partition: PartitionId) {
        self.0.remove(&partition);
    }

    /// Complete copies whose owner was last heard to want them before this tick.
    pub(super) fn heard_before(&self, tick: u64) -> impl Iterator<Item = PartitionId> + '_ {
        let stale = self
            .0
            .iter()
            .filter(move |(_, copy)| copy.complete && copy.heard < tick);
        stale.map(|(partition, _)| *partition)
    }

    /// Copies that are being made, from whom, and by which of its offers.
    pub(super) fn syncing(&self) -> impl Iterator<Item = (PartitionId, NodeId, u32)> + '_ {
        let syncing = self.0.iter().filter(|(_, copy)| !copy.complete);
        syncing.map(|(partition, copy)| (*partition, copy.owner, copy.offer))
    }

    /// Copies that are complete, and whose.
    pub(super) fn complete_ones(&self) -> impl Iterator<Item = (PartitionId, NodeId)> + '_ {
        let complete = self.0.iter().filter(|(_, copy)| copy.complete);
        complete.map(|(partition, copy)| (*partition, copy.owner))
    }

    pub(super) fn syncing_count(&self) -> usize {
        self.syncing().count()
    }

    pub(super) fn complete_count(&self) -> usize {
        self.0.len() - self.syncing_count()
    }
}
