//! Nodes of one process: waiting until they have shared the data among themselves.

use std::collections::BTreeSet;

use smache::Smache;
use smache::cluster::rendezvous::order;
use smache::key::PartitionId;
use smache::router::PartitionMap;
use smache::version::NodeId;

/// Whether these nodes, and no others, hold all partitions where they belong, each with its
/// copies, and all of them know it: nothing is left to move.
pub(crate) fn are_settled(nodes: &[&Smache], backups: usize) -> bool {
    let ids: BTreeSet<NodeId> = nodes
        .iter()
        .map(|node| node.node().router().node())
        .collect();
    let maps: Vec<_> = nodes
        .iter()
        .map(|node| node.node().router().map())
        .collect();
    PartitionId::all().all(|partition| {
        let holders = order(&ids, partition, 1 + backups);
        maps.iter().all(|map| holds(map, partition, &holders))
    })
}

fn holds(map: &PartitionMap, partition: PartitionId, holders: &[NodeId]) -> bool {
    let backups: BTreeSet<_> = map.backups(partition).iter().collect();
    map.owner(partition).as_ref() == holders.first() && backups == holders[1..].iter().collect()
}
