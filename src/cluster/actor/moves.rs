//! Entries on their way: what takes a while, beside the actor.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Message, State};
use crate::cluster::machine::Machine;
use crate::cluster::ownership::Part;
use crate::key::PartitionId;
use crate::replication::Lane;
use crate::version::NodeId;
use crate::writer;

/// Copies that have not answered for what was written before a partition was frozen are not waited
/// for any longer: its owner will try again.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// Entries of a partition on their way from another node, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pull {
    /// A copy, begun by this offer.
    Sync(NodeId, PartitionId, u32),
    /// What the other side of a cut has.
    Merge(NodeId, PartitionId),
}

impl State {
    pub(super) fn start_sync(&mut self, from: NodeId, mut asked: Vec<(PartitionId, u32)>) {
        // Also what is under way already is asked for now and then.
        asked.retain(|(partition, offer)| self.pulls.insert(Pull::Sync(from, *partition, *offer)));
        if asked.is_empty() {
            return;
        }
        let (handoff, mailbox) = (
            self.arguments.handoff.clone(),
            self.arguments.mailbox.clone(),
        );
        tokio::spawn(async move {
            let complete = handoff.sync(from, &asked).await.unwrap_or_else(|error| {
                tracing::debug!(%error, "a handoff was interrupted");
                Vec::new()
            });
            mailbox.cast(Message::Synced {
                from,
                asked,
                complete,
            });
        });
    }

    pub(super) fn start_merge(&mut self, from: NodeId, mut parts: Vec<Part>) {
        parts.retain(|part| self.pulls.insert(Pull::Merge(from, part.partition)));
        if parts.is_empty() {
            return;
        }
        let (handoff, mailbox) = (
            self.arguments.handoff.clone(),
            self.arguments.mailbox.clone(),
        );
        tokio::spawn(async move {
            let complete = handoff.merge(from, &parts).await.unwrap_or_else(|error| {
                tracing::debug!(%error, "a merge was interrupted");
                Vec::new()
            });
            let asked = parts.iter().map(|part| part.partition).collect();
            mailbox.cast(Message::Merged {
                from,
                asked,
                complete,
            });
        });
    }

    /// Compares the copies that this node holds with what their owners have, unless that is still
    /// under way.
    pub(super) fn start_repair(&self, machine: &Machine) {
        let followed = machine.ownership().followed();
        let handoff = self.arguments.handoff.clone();
        let Ok(turn) = Arc::clone(&self.repairing).try_lock_owned() else {
            return;
        };
        tokio::spawn(async move {
            for (owner, copies) in followed {
                if let Err(error) = handoff.repair(owner, &copies).await {
                    tracing::debug!(%error, "copies could not be compared");
                }
            }
            drop(turn);
        });
    }

    /// Waits, not for long, until the copies of frozen partitions have answered for everything.
    pub(super) fn start_drain(&self, partitions: Vec<PartitionId>, number: u64) {
        let mut marks: Vec<(Arc<Lane>, u64)> = Vec::new();
        for &partition in &partitions {
            let writer = self.arguments.router.writer(partition);
            if let writer::Role::Owned { sinks, .. } = writer.role(partition) {
                for lane in &sinks.in_sync {
                    if !marks.iter().any(|(known, _)| Arc::ptr_eq(known, lane)) {
                        marks.push((Arc::clone(lane), lane.next_number()));
                    }
                }
            }
        }
        let mailbox = self.arguments.mailbox.clone();
        tokio::spawn(async move {
            let deadline = Instant::now() + DRAIN_MAX;
            while Instant::now() < deadline {
                if marks.iter().all(|(lane, mark)| lane.is_done_before(*mark)) {
                    mailbox.cast(Message::Drained { partitions, number });
                    return;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }

    /// Dropping entries is work for the writers' locks, not for this actor.
    pub(super) fn start_drop(&self, partitions: Vec<PartitionId>) {
        let router = self.arguments.router.clone();
        tokio::spawn(async move {
            for writer in router.writers() {
                let wanted = |partition| partitions.binary_search(&partition).is_ok();
                writer.drop_partitions(wanted).await;
            }
        });
    }
}
