//! What ownership says to other nodes and to its shell.

use serde::{Deserialize, Serialize};

use crate::key::PartitionId;
use crate::version::NodeId;
use crate::writer::Role;

/// A partition, its owner and epoch, as sent between nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding(
    /// Partition.
    pub u16,
    /// Owner.
    pub u32,
    /// Epoch.
    pub u32,
);

/// What nodes tell each other about ownership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// These are held so, as far as the sender knows.
    Held(Vec<Holding>),
    /// A hash of all that the sender believes to be held; whoever believes otherwise answers with
    /// all that it knows.
    Digest(u64),
    /// The sender should own these and asks their owner for them.
    Claim(Vec<u16>),
    /// The sender gave these up for the receiver.
    Grant(Vec<Holding>),
    /// The sender, their owner, has all that the receiver still held of these.
    Release(Vec<Holding>),
}

/// What the shell has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this to that node.
    Send(NodeId, Message),
    /// Send this to all nodes.
    Broadcast(Message),
    /// Set the role of this node for a partition, before anything else is done.
    Role(PartitionId, Role),
    /// Pull all entries of these partitions from that node; report
    /// [`pulled`](super::Ownership::pulled) or [`pull_failed`](super::Ownership::pull_failed).
    Pull(NodeId, Vec<PartitionId>),
    /// Forget the entries of these partitions: their owner has them.
    Drop(Vec<PartitionId>),
    /// The map is another one.
    Changed,
}
