//! Rendezvous hashing: which of these nodes should hold a partition.
//!
//! Thaler and Ravishankar, *Using Name-Based Mappings to Increase Hit Rates*, 1998: every node gets
//! a weight for every partition, and the heaviest has it. All compute the same without asking, and
//! when a node comes or goes only its own partitions move.

use std::collections::BTreeSet;

use crate::key::PartitionId;
use crate::version::NodeId;

/// The nodes that should hold a partition, the owner first; at most `count`.
#[must_use]
pub fn order(nodes: &BTreeSet<NodeId>, partition: PartitionId, count: usize) -> Vec<NodeId> {
    let mut nodes: Vec<NodeId> = nodes.iter().copied().collect();
    nodes.sort_by_key(|node| std::cmp::Reverse(weight(partition, *node)));
    nodes.truncate(count);
    nodes
}

/// The weight of a node for a partition; ties fall to the greater node.
fn weight(partition: PartitionId, node: NodeId) -> (u64, NodeId) {
    (mix(u64::from(node.0) << 32 | u64::from(partition.0)), node)
}

/// The finalizer of SplitMix64 (Steele et al., 2014): every input bit reaches every output bit.
pub(super) fn mix(x: u64) -> u64 {
    let mut x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(count: u32) -> BTreeSet<NodeId> {
        (0..count)
            .map(|n| NodeId::of(&format!("node{n}@test")))
            .collect()
    }

    fn owners(nodes: &BTreeSet<NodeId>) -> Vec<Option<NodeId>> {
        let owner = |partition| order(nodes, partition, 1).first().copied();
        PartitionId::all().map(owner).collect()
    }

    #[test]
    fn the_first_in_order_is_the_owner() {
        let nodes = nodes(5);
        for (partition, owner) in PartitionId::all().zip(owners(&nodes)) {
            assert_eq!(order(&nodes, partition, 3).first().copied(), owner);
        }
        assert_eq!(owners(&BTreeSet::new())[0], None);
    }

    #[test]
    fn the_load_is_spread_and_only_what_must_move_moves() {
        let (four, five) = (nodes(4), nodes(5));
        let (before, after) = (owners(&four), owners(&five));
        for node in &four {
            let share = before.iter().filter(|owner| **owner == Some(*node)).count();
            assert!((900..1_150).contains(&share), "{share}");
        }
        let new = five.difference(&four).next().copied();
        for (before, after) in before.iter().zip(&after) {
            assert!(before == after || *after == new);
        }
    }
}
