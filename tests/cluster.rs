//! Several nodes in one process, over the in-memory network.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

#[path = "support/in_process.rs"]
mod in_process;

use std::time::Duration;

use serde_json::{Value, json};
use smache::Smache;
use smache::cluster::transport::memory::Network;
use smache::config::Config;
use smache::router::MemberState;

use crate::in_process::are_settled;

async fn node(network: &Network, name: &str, join: Option<&str>) -> Smache {
    let builder = Smache::builder()
        .name(format!("{name}@test"))
        .max_memory(1 << 30);
    builder
        .in_memory(network, name, join)
        .start()
        .await
        .unwrap()
}

/// Waits until `met` says so, for at most twenty seconds.
async fn until(what: &str, mut met: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !met() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waited
        .await
        .unwrap_or_else(|_| panic!("waited in vain until {what}"));
}

/// Waits until these nodes share all partitions, each with its copies, and know it.
async fn balanced(nodes: &[&Smache]) {
    let backups = Config::default().backups;
    until("the partitions are spread over all nodes", || {
        are_settled(nodes, backups.into())
    })
    .await;
}

async fn fill(through: &Smache, count: usize) {
    for i in 0..count {
        through
            .put(format!("key:{i}"), &json!({ "number": i }))
            .await
            .unwrap();
    }
}

async fn check(through: &Smache, count: usize) {
    for i in 0..count {
        let found: Option<Value> = through.get(format!("key:{i}")).await.unwrap();
        assert_eq!(found, Some(json!({ "number": i })), "key:{i}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_alone_serves_itself() {
    let cache = Smache::builder().max_memory(1 << 30).start().await.unwrap();
    assert_eq!(cache.get::<Value>("nothing").await.unwrap(), None);
    fill(&cache, 100).await;
    check(&cache, 100).await;
    assert!(cache.delete("key:1").await.unwrap());
    assert!(!cache.delete("key:1").await.unwrap());
    assert_eq!(cache.status().keys, 99);
    cache.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_in_through_one_node_comes_out_of_every_other() {
    let network = Network::new();
    let a = node(&network, "a", None).await;
    let b = node(&network, "b", Some("a")).await;
    let c = node(&network, "c", Some("b")).await;
    balanced(&[&a, &b, &c]).await;
    fill(&b, 500).await;
    for node in [&a, &b, &c] {
        check(node, 500).await;
        assert!(node.status().keys > 50, "every node owns some keys");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joining_and_leaving_move_the_data() {
    let network = Network::new();
    let a = node(&network, "a", None).await;
    fill(&a, 500).await;
    let b = node(&network, "b", Some("a")).await;
    // While the partitions move, nothing is missing.
    check(&b, 500).await;
    check(&a, 500).await;
    balanced(&[&a, &b]).await;
    until("the old copies are dropped", || {
        a.status().keys + b.status().keys == 500
    })
    .await;
    a.stop().await.unwrap();
    check(&b, 500).await;
    assert_eq!(b.status().keys, 500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_while_a_partition_arrives_is_final() {
    let network = Network::new();
    let a = node(&network, "a", None).await;
    fill(&a, 2_000).await;
    let b = node(&network, "b", Some("a")).await;
    for i in 0..2_000 {
        assert!(
            b.delete(format!("key:{i}")).await.unwrap(),
            "key:{i} was there"
        );
    }
    balanced(&[&a, &b]).await;
    for i in 0..2_000 {
        assert_eq!(
            a.get::<Value>(format!("key:{i}")).await.unwrap(),
            None,
            "key:{i}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_heals() {
    let network = Network::new();
    let a = node(&network, "a", None).await;
    let b = node(&network, "b", Some("a")).await;
    balanced(&[&a, &b]).await;
    network.cut("a", "b", true);
    until("each side serves alone", || {
        [&a, &b]
            .iter()
            .all(|node| node.status().partitions.owned == 4096)
    })
    .await;
    a.put("written-on-a", &json!({ "side": "a" }))
        .await
        .unwrap();
    b.put("written-on-b", &json!({ "side": "b" }))
        .await
        .unwrap();
    network.cut("a", "b", false);
    until("the partitions are shared again", || {
        let (a, b) = (a.status().partitions, b.status().partitions);
        a.owned + b.owned == 4096 && a.owned > 0 && b.owned > 0 && a.arriving + b.arriving == 0
    })
    .await;
    // Both sides served, so the merge takes its time: what was written on the side that gave a
    // partition up is on its way when the other one owns it already.
    for node in [&a, &b] {
        for key in ["written-on-a", "written-on-b"] {
            eventually_there(node, key).await;
        }
    }
}

/// Waits until a key is found through `node`, for at most twenty seconds.
async fn eventually_there(node: &Smache, key: &str) {
    let found = async {
        while node.get::<Value>(key).await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), found)
        .await
        .unwrap_or_else(|_| panic!("{key} has not come to {}", node.status().node));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_that_panics_is_restarted_and_nothing_is_lost() {
    let cache = Smache::builder().max_memory(1 << 30).start().await.unwrap();
    fill(&cache, 200).await;
    for writer in cache.node().router().writers() {
        writer.crash_actor();
    }
    let writers = cache.node().router().writers().len() as u64;
    let restarts = || cache.node().supervisor().restarts();
    until("all writers were restarted", || restarts() == writers).await;
    check(&cache, 200).await;
    cache
        .node()
        .mailbox()
        .cast(smache::cluster::actor::Message::Crash);
    until("the cluster's actor was restarted", || {
        restarts() == writers + 1
    })
    .await;
    fill(&cache, 300).await;
    check(&cache, 300).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_left_is_not_back_for_a_moment() {
    let network = Network::new();
    let a = node(&network, "a", None).await;
    let b = node(&network, "b", Some("a")).await;
    balanced(&[&a, &b]).await;
    let b_is = |state| {
        let members = a.status().members;
        members
            .iter()
            .any(|member| member.name == "b@test" && member.state == state)
    };
    let stopping = tokio::spawn({
        let b = b.clone();
        async move { b.stop().await }
    });
    until("it has left", || b_is(MemberState::Down)).await;
    // It still says goodbye, and `a` dials it again meanwhile.
    while !stopping.is_finished() {
        assert!(b_is(MemberState::Down));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(b_is(MemberState::Down));
    stopping.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_joiner_takes_nothing_from_a_node_that_it_has_not_met() {
    let network = Network::new();
    let a = node(&network, "a", None).await;
    let b = node(&network, "b", Some("a")).await;
    balanced(&[&a, &b]).await;
    fill(&b, 500).await;
    network.cut("a", "c", true);
    let c = node(&network, "c", Some("b")).await;
    until("the third node takes part", || {
        c.status().partitions.owned > 0
    })
    .await;
    check(&b, 500).await;
    network.cut("a", "c", false);
    balanced(&[&a, &b, &c]).await;
    check(&c, 500).await;
}
