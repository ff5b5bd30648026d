//! Nodes that go and come back: in order, and by a kill.

use serde_json::Value;

use crate::process::{PARTITIONS, Process, Start, put, settled, until, value};

const KEYS: u64 = 1_000;

async fn two() -> (Process, Process) {
    let one = Start::node("one@localhost").ready().await;
    let two = Start::node("two@localhost").uplink(one.cluster);
    let two = two.ready().await;
    settled(&[&one, &two]).await;
    (one, two)
}

async fn fill(through: &Process) {
    let mut client = through.connect().await;
    for n in 0..KEYS {
        put(&mut client, &format!("key-{n}"), &format!(r#"{{"n":{n}}}"#)).await;
    }
}

async fn check(through: &Process) {
    let mut client = through.connect().await;
    for n in 0..KEYS {
        let found = value(&mut client, &format!("key-{n}")).await;
        assert_eq!(found["n"], n, "key-{n} through {}", through.name);
    }
}

/// Every partition takes writes again, through each of these nodes.
async fn writes_work(nodes: &[&Process]) {
    for node in nodes {
        let mut client = node.connect().await;
        for n in 0..200 {
            let (key, name) = (format!("new-{n}"), &node.name);
            put(&mut client, &key, &format!("{{\"by\":{name:?}}}")).await;
        }
        for other in nodes {
            let mut client = other.connect().await;
            for n in 0..200 {
                let found = value(&mut client, &format!("new-{n}")).await;
                assert_eq!(found["by"], *node.name, "new-{n}");
            }
        }
    }
}

async fn keys(node: &Process) -> u64 {
    node.status().await["keys"].as_u64().unwrap()
}

#[tokio::test]
async fn a_member_that_is_restarted_loses_nothing() {
    let (one, two) = two().await;
    fill(&one).await;
    assert!(keys(&two).await > 0, "something has to be handed over");
    let again = two.again();
    two.stop().await;
    // At once: what the node held was handed over before it ended.
    check(&one).await;
    assert_eq!(keys(&one).await, KEYS);

    let two = again.ready().await;
    check(&two).await;
    settled(&[&one, &two]).await;
    check(&two).await;
    check(&one).await;
    until("the old copies are dropped", async || {
        keys(&one).await + keys(&two).await == KEYS
    })
    .await;
}

#[tokio::test]
async fn the_first_node_is_found_again_when_it_is_restarted() {
    let (one, two) = two().await;
    fill(&two).await;
    let again = one.again();
    one.stop().await;
    check(&two).await;
    two.put("while-away", "{}").await;

    // It has no uplink: it begins a cluster of its own, until the other one finds it.
    let one = again.ready().await;
    settled(&[&one, &two]).await;
    for node in [&one, &two] {
        check(node).await;
        assert!(node.value("while-away").await.is_object());
    }
    writes_work(&[&one, &two]).await;
}

#[tokio::test]
async fn both_restarted_in_turn_lose_nothing() {
    let (mut one, mut two) = two().await;
    fill(&one).await;
    for _ in 0..2 {
        let again = two.again();
        two.stop().await;
        two = again.ready().await;
        settled(&[&one, &two]).await;
        // Joined through the other one this time, as a deployment does that names all its nodes.
        let again = one.again().uplink(two.cluster);
        one.stop().await;
        one = again.ready().await;
        settled(&[&one, &two]).await;
    }
    check(&one).await;
    check(&two).await;
}

#[tokio::test]
async fn after_a_kill_the_others_answer_for_all_partitions() {
    let (one, mut two) = two().await;
    fill(&one).await;
    let again = two.again();
    two.kill();
    until("the other node owns everything", async || {
        let status = one.status().await;
        status["partitions"]["owned"] == PARTITIONS && status["partitions"]["unowned"] == 0
    })
    .await;
    assert_eq!(one.get("/ready").await.status, 200);
    let status = one.status().await;
    let dead = |m: &Value| m["name"] == "two@localhost" && m["state"] == "down";
    assert!(
        status["members"].as_array().unwrap().iter().any(dead),
        "{status}"
    );
    // A copy of what the dead node owned was here.
    let mut client = one.connect().await;
    for n in 0..KEYS {
        let value = value(&mut client, &format!("key-{n}")).await;
        assert_eq!(value["n"], n, "key-{n}: {value}");
    }
    assert_eq!(keys(&one).await, KEYS);
    writes_work(&[&one]).await;

    let two = again.ready().await;
    settled(&[&one, &two]).await;
    writes_work(&[&one, &two]).await;
}

#[tokio::test]
async fn a_killed_node_comes_back_at_once_under_its_name() {
    let (mut one, mut two) = two().await;
    // Perhaps before the other has noticed anything.
    let again = two.again();
    two.kill();
    let two = again.ready().await;
    settled(&[&one, &two]).await;
    writes_work(&[&one, &two]).await;

    let again = one.again();
    one.kill();
    let one = again.ready().await;
    settled(&[&one, &two]).await;
    writes_work(&[&one, &two]).await;
}
