//! What ownership says to other nodes and to its shell.

use serde::{Deserialize, Serialize};

use crate::key::PartitionId;
use crate::version::NodeId;

/// Most copies of a partition beside its owner's: those that are asked for, and the one of the
/// owner before, until it may go.
pub const COPIES_MAX: usize = 4;

/// The nodes that hold a partition in sync beside its owner, in the order in which they take over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backups {
    nodes: [NodeId; COPIES_MAX],
    count: u8,
}

impl Backups {
    /// The nodes.
    #[must_use]
    pub fn nodes(&self) -> &[NodeId] {
        &self.nodes[..usize::from(self.count)]
    }

    /// Whether a node is one of them.
    #[must_use]
    pub fn contains(&self, node: NodeId) -> bool {
        self.nodes().contains(&node)
    }

    /// Those for whom `keep` holds.
    #[must_use]
    pub fn filter(&self, keep: impl Fn(NodeId) -> bool) -> Backups {
        let kept = self.nodes().iter().copied();
        kept.filter(|node| keep(*node)).collect()
    }

    /// These and one more, unless there is no room for it.
    #[must_use]
    pub fn with(&self, node: NodeId) -> Backups {
        let all = self.nodes().iter().copied().chain([node]);
        all.collect()
    }
}

impl FromIterator<NodeId> for Backups {
    fn from_iter<I: IntoIterator<Item = NodeId>>(nodes: I) -> Backups {
        let mut backups = Backups::default();
        for (place, node) in backups.nodes.iter_mut().zip(nodes) {
            *place = node;
            backups.count += 1;
        }
        backups
    }
}

/// Who holds a partition: what owner and epoch say is so. Of two the greater (epoch, owner) is
/// true, or will be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Grows with every change.
    pub epoch: u32,
    /// Orders the partition's writes; nobody has, as far as is known, if there is none.
    pub owner: Option<NodeId>,
    /// Hold every acknowledged write as well.
    pub backups: Backups,
}

impl Held {
    /// Whether this is more recent than `other`.
    #[must_use]
    pub fn outranks(&self, other: &Held) -> bool {
        (self.epoch, self.owner) > (other.epoch, other.owner)
    }
}

/// A partition and who holds it, as sent between nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// Partition.
    pub partition: u16,
    /// Epoch.
    pub epoch: u32,
    /// Owner.
    pub owner: u32,
    /// Backups, at most [`COPIES_MAX`].
    pub backups: Vec<u32>,
}

impl Holding {
    /// The holding of a partition that somebody owns.
    #[must_use]
    pub fn of(partition: PartitionId, held: &Held) -> Option<Holding> {
        let backups = held.backups.nodes().iter().map(|node| node.0);
        held.owner.map(|owner| Holding {
            partition: partition.0,
            epoch: held.epoch,
            owner: owner.0,
            backups: backups.collect(),
        })
    }

    /// What it says.
    #[must_use]
    pub fn held(&self) -> Held {
        let owner = NodeId(self.owner);
        let backups = self.backups.iter().map(|node| NodeId(*node));
        Held {
            epoch: self.epoch,
            owner: Some(owner),
            backups: backups.filter(|node| *node != owner).collect(),
        }
    }
}

/// What nodes tell each other about ownership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// These are held so, as far as the sender knows.
    Held(Vec<Holding>),
    /// The same of all that anybody holds: what is not named here nobody owns.
    All(Vec<Holding>),
    /// A hash of all that the sender believes to be held; whoever believes otherwise answers with
    /// all that it knows.
    Digest(u64),
    /// The sender believes the same to be held as the receiver, whose digest it was sent.
    Agreed,
    /// The sender, their owner, wants the receiver to hold copies of these; with each, the number
    /// of the offer.
    Offer(Vec<(u16, u32)>),
    /// The sender has all that the receiver, their owner, has of these, by that offer.
    Synced(Vec<(u16, u32)>),
    /// The sender owned these as well, since it and the receiver were parted, and gives them up:
    /// the receiver should take over what it lacks. With each, when they were parted (Unix
    /// milliseconds).
    Concede(Vec<(u16, u64)>),
    /// The sender has taken over what it lacked of these.
    Merged(Vec<u16>),
    /// The sender holds no copy of these, although the receiver, their owner, lists it: it followed
    /// somebody else meanwhile.
    Lost(Vec<u16>),
}

/// What a node is to a partition, as its writers are told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Role {
    /// It does not answer for it. Entries may still be here, for others to fetch.
    #[default]
    Elsewhere,
    /// It holds a copy, and takes what this owner changes.
    Backup {
        /// Who orders the writes.
        owner: NodeId,
    },
    /// It orders the writes.
    Owned {
        /// Whose acknowledgement a write waits for.
        in_sync: Vec<NodeId>,
        /// Who gets every change as well, and is not waited for.
        syncing: Vec<NodeId>,
        /// Whether writes wait, since the partition is about to go to another owner.
        frozen: bool,
    },
}

impl Role {
    /// Whether effects go to this node.
    #[must_use]
    pub fn names(&self, node: NodeId) -> bool {
        match self {
            Role::Owned {
                in_sync, syncing, ..
            } => in_sync.contains(&node) || syncing.contains(&node),
            Role::Elsewhere | Role::Backup { .. } => false,
        }
    }
}

/// A partition that two nodes have owned at the same time, and since when (Unix milliseconds): what
/// each wrote since then may be lost to what the other one did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// It.
    pub partition: PartitionId,
    /// Since when.
    pub since: u64,
}

/// What the shell has to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Forget what is still here of these partitions, of which copies are begun anew; before the
    /// role is set.
    Reset(Vec<PartitionId>),
    /// Set the role of this node for these partitions, which are at this epoch.
    Role(Vec<(PartitionId, u32)>, Role),
    /// Release whoever waits for that node's word: it is dead, and no copy any more.
    Release(NodeId),
    /// Forget the entries of these partitions: they are held elsewhere.
    Drop(Vec<PartitionId>),
    /// Send this to that node.
    Send(NodeId, Message),
    /// Send this to all nodes.
    Broadcast(Message),
    /// Pull copies of these partitions from their owner, which it has offered by these numbers; report
    /// [`synced`](super::Ownership::synced) with the same. Those under way may be named again.
    Sync(NodeId, Vec<(PartitionId, u32)>),
    /// Take over what is lacking here of these partitions, from a node that owned them as well;
    /// report [`merged`](super::Ownership::merged). Those under way may be named again.
    Merge(NodeId, Vec<Part>),
    /// Report [`drained`](super::Ownership::drained), with this number, once all that was written to
    /// these partitions before they were frozen is with their copies.
    Drain(Vec<PartitionId>, u64),
    /// The map is another one.
    Changed,
}
