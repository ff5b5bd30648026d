//! A node that comes back at another address is the same node, since its name is.

use serde_json::Value;

use crate::cluster_load::ONE_AT_A_TIME;
use crate::crowd::{known_to_be_down, restored};
use crate::network::Network;
use crate::process::{Process, put, settled, value};

#[tokio::test]
async fn a_node_that_comes_back_at_another_address_is_the_same_node() {
    let _one = ONE_AT_A_TIME.lock().await;
    // The fourth machine is where the third node will be afterwards.
    let Some(network) = Network::of(4) else {
        return;
    };
    let one = network.node(0, "one@net").ready().await;
    let two = network.node(1, "two@net").uplink(one.cluster).ready().await;
    for in_order in [true, false] {
        let (here, there) = if in_order { (2, 3) } else { (3, 2) };
        let start = |machine| network.node(machine, "three@net").uplink(one.cluster);
        let mut three = start(here).ready().await;
        all_are_one_cluster(&[&one, &two, &three]).await;
        let mut client = two.connect().await;
        for n in 0..100 {
            put(&mut client, &format!("key-{n}"), &format!("{{\"n\":{n}}}")).await;
        }
        if in_order {
            three.stop().await;
        } else {
            three.kill();
            known_to_be_down(&[&one, &two], "three@net").await;
        }
        let three = start(there).ready().await;
        assert_ne!(three.cluster.ip(), network.address(here));
        all_are_one_cluster(&[&one, &two, &three]).await;
        for node in [&one, &two, &three] {
            let mut client = node.connect().await;
            for n in 0..100 {
                let found = value(&mut client, &format!("key-{n}")).await;
                assert_eq!(found["n"], n, "key-{n} through {}", node.name);
            }
        }
        three.stop().await;
    }
}

/// Waits until all partitions are where they belong; each node knows the others where they are.
async fn all_are_one_cluster(nodes: &[&Process]) {
    settled(nodes).await;
    restored(nodes).await;
    for node in nodes {
        let status = node.status().await;
        let members = status["members"].as_array().unwrap();
        assert_eq!(members.len(), nodes.len(), "{status}");
        // Of its own address a node knows what others see, or only the port.
        for other in nodes.iter().filter(|other| other.name != node.name) {
            let is_there = |member: &Value| {
                member["name"] == *other.name
                    && member["state"] == "up"
                    && member["cluster_address"] == other.cluster.to_string()
            };
            assert!(members.iter().any(is_there), "{}: {status}", other.name);
        }
    }
}
