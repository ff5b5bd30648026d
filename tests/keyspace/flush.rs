//! Deleting everything: through any node, beside writes, and for good.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use smache::Smache;
use smache::cluster::transport::memory::Network;
use smache::command::{Command, Condition, Reply, counter};
use smache::router;
use smache::router::keyspace::Error;

use crate::bed::*;

async fn flush(node: &Smache) -> u64 {
    keyspace(node).flush(deadline()).await.unwrap()
}

async fn is_empty(nodes: &[&Smache]) {
    let mut dice = SmallRng::seed_from_u64(0);
    for node in nodes {
        assert_eq!(count(node).await, 0);
    }
    assert_eq!(scan(nodes, &options(100), &mut dice).await, BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_has_nothing_left() {
    let node = alone().await;
    fill(&node, "key:", 300).await;
    assert_eq!(flush(&node).await, 300);
    is_empty(&[&node]).await;
    assert_eq!(flush(&node).await, 0);
    assert!(!is_there(&node, "key:7").await);
    put(&node, "key:7").await;
    assert_eq!(count(&node).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_copy_brings_anything_back() {
    let network = Network::new();
    let mut nodes = nodes(&network, &["a", "b", "c"]).await;
    for turn in 0..3 {
        fill(&nodes[0], "key:", 300).await;
        assert_eq!(flush(&nodes[turn]).await, 300);
        is_empty(&nodes.iter().collect::<Vec<_>>()).await;
    }
    fill(&nodes[0], "old ", 300).await;
    flush(&nodes[0]).await;
    let kept = fill(&nodes[1], "new ", 50).await;
    // A node that has copies leaves, and comes back.
    nodes.pop().unwrap().stop().await.unwrap();
    settled(&nodes.iter().collect::<Vec<_>>()).await;
    nodes.push(node(&network, "d", Some("a")).await);
    settled(&nodes.iter().collect::<Vec<_>>()).await;
    // And one is not there any more all at once, before or after its copies have swept.
    network.cut("a", "b", true);
    network.cut("d", "b", true);
    let left = [&nodes[0], &nodes[2]];
    settled(&left).await;
    let mut dice = dice();
    assert_eq!(scan(&left, &options(100), &mut dice).await, kept);
    assert_eq!(count(left[1]).await, 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_is_lost_right_after_takes_nothing_back() {
    let network = Network::new();
    let nodes = nodes(&network, &["a", "b"]).await;
    fill(&nodes[0], "key:", 400).await;
    flush(&nodes[0]).await;
    network.cut("a", "b", true);
    let other = &nodes[1];
    until("it owns everything", || {
        other.status().partitions.owned == 4_096
    })
    .await;
    is_empty(&[other]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_afterwards_stays() {
    let network = Network::new();
    let nodes = nodes(&network, &["a", "b", "c"]).await;
    let mut dice = dice();
    for turn in 0..15 {
        fill(&nodes[turn % 3], "key:", 40).await;
        flush(&nodes[dice.random_range(0..3)]).await;
        let written = fill(&nodes[dice.random_range(0..3)], "key:", 20).await;
        let all: Vec<&Smache> = nodes.iter().collect();
        assert_eq!(scan(&all, &options(50), &mut dice).await, written);
    }
}

async fn add(node: &Smache, text: &str, by: i64) -> i64 {
    let add = Command::Increment {
        key: key(text),
        by,
        ttl_ms: None,
        condition: Condition::None,
    };
    match write(node, &add).await {
        Reply::Stored { entry, .. } => counter::value(Some(entry.as_ref())).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Counters that are added to all the while: whatever is left began anew during the flush.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_write_carries_an_old_value_over() {
    let network = Network::new();
    let nodes = nodes(&network, &["a", "b", "c"]).await;
    const OLD: i64 = 1_000_000;
    for turn in 0..3 {
        // The walk has to pass by these first.
        fill(&nodes[0], "key:", 5_000).await;
        for n in 0..60 {
            let was = add(&nodes[0], &format!("counter {n}"), 0).await;
            add(&nodes[0], &format!("counter {n}"), OLD - was).await;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let adders: Vec<_> = (0..6)
            .map(|adder| {
                let (node, stop) = (nodes[adder % 3].clone(), Arc::clone(&stop));
                tokio::spawn(async move {
                    let mut adds = 0;
                    while !stop.load(Ordering::Relaxed) {
                        add(&node, &format!("counter {}", adder * 10 + adds % 10), 1).await;
                        adds += 1;
                    }
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(20)).await;
        flush(&nodes[turn % 3]).await;
        stop.store(true, Ordering::Relaxed);
        for adder in adders {
            adder.await.unwrap();
        }
        for n in 0..60 {
            let left = add(&nodes[0], &format!("counter {n}"), 0).await;
            assert!(left < OLD, "counter {n} stands at {left}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_goes_also_while_partitions_move() {
    let network = Network::new();
    let mut dice = dice();
    let a = node(&network, "a", None).await;
    for (turn, name) in ["b", "c"].into_iter().enumerate() {
        fill(&a, "key:", 1_500).await;
        let joined = node(&network, name, Some("a")).await;
        // Now partitions are on their way.
        tokio::time::sleep(Duration::from_millis(dice.random_range(0..150))).await;
        flush(if turn == 0 { &a } else { &joined }).await;
        is_empty(&[&a, &joined]).await;
        let kept = fill(&joined, "new ", 30).await;
        settled_again(&a).await;
        assert_eq!(scan(&[&a, &joined], &options(10), &mut dice).await, kept);
        // The node that leaves hands its copies over: nothing is in them.
        joined.stop().await.unwrap();
        settled(&[&a]).await;
        assert_eq!(scan(&[&a], &options(10), &mut dice).await, kept);
    }
}

async fn settled_again(node: &Smache) {
    until("nothing moves any more", || {
        let status = node.status();
        status.partitions.owned < 4_096
            && status.partitions.arriving == 0
            && status.replication.missing_copies == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_smaller_side_of_a_cut_deletes_nothing() {
    let network = Network::new();
    let builder = || Smache::builder().max_memory(1 << 30);
    let start = async |name: &str, join| {
        let builder = builder().name(format!("{name}@test"));
        let builder = builder.min_members(2).in_memory(&network, name, join);
        builder.start().await.unwrap()
    };
    let a = start("a", None).await;
    let refused = keyspace(&a).flush(deadline()).await;
    let too_few = router::Error::TooFewMembers { alive: 1, min: 2 };
    assert_eq!(refused, Err(Error::Router(too_few)));
    let b = start("b", Some("a")).await;
    settled(&[&a, &b]).await;
    put(&b, "key").await;
    assert_eq!(flush(&b).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_values_and_lists_go_as_well() {
    let network = Network::new();
    let nodes = nodes(&network, &["a", "b"]).await;
    for n in 0..8 {
        let large = Command::Put {
            key: key(&format!("large {n}")),
            kind: smache::command::Kind::Bytes,
            data: Bytes::from(vec![7; 300_000]),
            ttl_ms: None,
            condition: Condition::None,
        };
        write(&nodes[n % 2], &large).await;
    }
    assert_eq!(flush(&nodes[1]).await, 8);
    is_empty(&[&nodes[0], &nodes[1]]).await;
    put(&nodes[0], "small").await;
    network.cut("a", "b", true);
    for node in &nodes {
        until("it owns everything", || {
            node.status().partitions.owned == 4_096
        })
        .await;
        assert_eq!(count(node).await, 1);
    }
}
