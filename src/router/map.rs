//! The partition map: who owns what, as an immutable snapshot.
//!
//! The cluster's machines decide; the router actor publishes each decision as a new
//! [`PartitionMap`]; every request reads the present one without a lock. A map may be behind the
//! truth: whether a node really owns a partition is decided by its writer, and a node that does not
//! says so.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

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
    /// Resident memory in bytes.
    pub memory_bytes: u64,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct PartitionMap {
    owners: Box<[Option<NodeId>]>,
    members: HashMap<NodeId, Member>,
}

impl PartitionMap {
    /// A map in which nobody owns anything.
    #[must_use]
    pub fn empty() -> PartitionMap {
        PartitionMap {
            owners: vec![None; usize::from(PARTITION_COUNT)].into(),
            members: HashMap::new(),
        }
    }

    /// A map of these owners, one per partition, and members.
    #[must_use]
    pub fn new(
        owners: impl IntoIterator<Item = Option<NodeId>>,
        members: impl IntoIterator<Item = Member>,
    ) -> PartitionMap {
        let mut owners: Vec<_> = owners.into_iter().collect();
        owners.resize(usize::from(PARTITION_COUNT), None);
        let members = members
            .into_iter()
            .map(|member| (member.id, member))
            .collect();
        PartitionMap {
            owners: owners.into(),
            members,
        }
    }

    /// The owner of a partition, as far as is known here.
    #[must_use]
    pub fn owner(&self, partition: PartitionId) -> Option<NodeId> {
        self.owners[partition.index()]
    }

    /// How many partitions a node owns.
    #[must_use]
    pub fn owned_by(&self, node: NodeId) -> usize {
        self.owners
            .iter()
            .filter(|owner| **owner == Some(node))
            .count()
    }

    /// How many partitions nobody owns.
    #[must_use]
    pub fn unowned(&self) -> usize {
        self.owners.iter().filter(|owner| owner.is_none()).count()
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
