//! The partition map: who owns what, as an immutable snapshot.
//!
//! The cluster's machines decide; the router actor publishes each decision as a new
//! [`PartitionMap`]; every request reads the present one without a lock. A map may be behind the
//! truth: whether a node really owns a partition is decided by its writer, and a node that does not
//! says so.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use crate::cluster::ownership::{Figures, Held};
use crate::key::{PARTITION_COUNT, PartitionId};
use crate::version::NodeId;

/// A node as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: NodeId,
    /// `name@host`.
    pub name: Arc<str>,
    /// Changes at each start of the node.
    pub boot_epoch: u64,
    /// `host:port` of its cluster listener.
    pub cluster_address: String,
    /// How it is.
    pub state: MemberState,
    /// What it said of itself last.
    pub load: Load,
}

/// How a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberState {
    /// It takes part.
    Up,
    /// It is about to leave and takes no further partitions.
    Leaving,
    /// It is not reachable; somebody else answers for it.
    Down,
}

/// What a node says of its own load with each heartbeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Entries.
    pub keys: u64,
    /// Those of them that expire.
    pub expiring: u64,
    /// Resident memory in bytes.
    pub memory_bytes: u64,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct PartitionMap {
    held: Box<[Held]>,
    members: HashMap<NodeId, Member>,
    /// Members that answer, as far as is known.
    alive: usize,
    figures: Figures,
}

impl PartitionMap {
    /// A map in which nobody owns anything.
    #[must_use]
    pub fn empty() -> PartitionMap {
        PartitionMap::new([], [], Figures::default())
    }

    /// A map of what is held, one per partition, and of members.
    #[must_use]
    pub fn new(
        held: impl IntoIterator<Item = Held>,
        members: impl IntoIterator<Item = Member>,
        figures: Figures,
    ) -> PartitionMap {
        let mut held: Vec<_> = held.into_iter().collect();
        held.resize(usize::from(PARTITION_COUNT), Held::default());
        let members: HashMap<NodeId, Member> = members
            .into_iter()
            .map(|member| (member.id, member))
            .collect();
        let is_alive = |member: &&Member| member.state != MemberState::Down;
        PartitionMap {
            held: held.into(),
            alive: members.values().filter(is_alive).count(),
            members,
            figures,
        }
    }

    /// How many members answer, this node among them.
    #[must_use]
    pub fn alive(&self) -> usize {
        self.alive
    }

    /// Where this node stood with its partitions when the map was made.
    #[must_use]
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// The nodes that hold copies of a partition in sync, beside its owner.
    #[must_use]
    pub fn backups(&self, partition: PartitionId) -> &[NodeId] {
        self.held[partition.index()].backups.nodes()
    }

    /// The owner of a partition, as far as is known here.
    #[must_use]
    pub fn owner(&self, partition: PartitionId) -> Option<NodeId> {
        self.held[partition.index()].owner
    }

    /// How many partitions a node owns.
    #[must_use]
    pub fn owned_by(&self, node: NodeId) -> usize {
        self.held
            .iter()
            .filter(|held| held.owner == Some(node))
            .count()
    }

    /// How many partitions nobody owns.
    #[must_use]
    pub fn unowned(&self) -> usize {
        self.held.iter().filter(|held| held.owner.is_none()).count()
    }

    /// A member.
    #[must_use]
    pub fn member(&self, node: NodeId) -> Option<&Member> {
        self.members.get(&node)
    }

    /// All members, this node among them, by name.
    #[must_use]
    pub fn members(&self) -> Vec<&Member> {
        let mut members: Vec<_> = self.members.values().collect();
        members.sort_by(|a, b| a.name.cmp(&b.name));
        members
    }
}
