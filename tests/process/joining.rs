//! How nodes find each other, and who is not let in.

use std::net::SocketAddr;
use std::time::Duration;

use crate::process::{Start, free_port, settled, until};

#[tokio::test]
async fn a_second_node_joins_the_first() {
    let one = Start::node("one@localhost").ready().await;
    one.put("early", r#"{"n":1}"#).await;
    let two = Start::node("two@localhost").uplink(one.cluster);
    let two = two.ready().await;
    settled(&[&one, &two]).await;
    two.put("late", r#"{"n":2}"#).await;
    for node in [&one, &two] {
        assert_eq!(node.value("early").await["n"], 1);
        assert_eq!(node.value("late").await["n"], 2);
    }
    two.stop().await;
    one.stop().await;
}

#[tokio::test]
async fn a_node_that_is_started_before_its_uplink_waits_for_it() {
    let uplink = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let two = Start::node("two@localhost").uplink(uplink).listening();
    for (method, target) in [
        ("GET", "/api?key=k"),
        ("DELETE", "/api?key=k"),
        ("POST", "/api/batch"),
    ] {
        let response = two.ask(method, target, &[], "").await;
        assert_eq!((response.status, &response.error()[..]), (503, "not_ready"));
        assert_eq!(response.header("retry-after"), Some("1"));
    }
    assert_eq!(two.get("/ready").await.status, 503);
    assert_eq!(two.get("/healthcheck").await.body, "{}");

    let one = Start::node("one@localhost").flag("cluster-port", uplink.port());
    let one = one.ready().await;
    two.until_ready().await;
    settled(&[&one, &two]).await;
    two.put("k", "{}").await;
    assert!(one.value("k").await.is_object());
}

#[tokio::test]
async fn a_node_that_gave_up_waiting_still_joins_later() {
    let uplink = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let two = Start::node("two@localhost").uplink(uplink);
    let two = two.flag("join-timeout", "200ms").ready().await;
    two.put("written-alone", "{}").await;
    let one = Start::node("one@localhost").flag("cluster-port", uplink.port());
    let one = one.ready().await;
    settled(&[&one, &two]).await;
    for node in [&one, &two] {
        assert!(node.value("written-alone").await.is_object());
    }
}

#[tokio::test]
async fn nobody_without_the_cookie_joins() {
    let one = Start::node("one@localhost").variable("COOKIE", "the cookie of these nodes");
    let one = one.ready().await;
    one.put("secret", r#"{"n":1}"#).await;
    let start = |name: &str| Start::node(name).uplink(one.cluster);
    let strangers = [
        start("two@localhost").variable("COOKIE", "the cookie of some others"),
        start("three@localhost"),
    ];
    // Told to wait long, they never serve.
    let mut waiting: Vec<_> = strangers.iter().map(Start::listening).collect();
    // Told not to, they serve without what the first one has.
    for stranger in &strangers {
        let alone = stranger.clone().flag("join-timeout", "1s");
        let name = format!("alone-{}@localhost", waiting[0].id());
        let alone = alone.flag("node-name", name).ready().await;
        assert!(alone.value("secret").await.is_null());
        assert_eq!(alone.status().await["members"].as_array().unwrap().len(), 1);
    }
    for stranger in &mut waiting {
        assert!(!stranger.has_ended());
        assert_eq!(stranger.get("/ready").await.status, 503);
        let members = &stranger.status().await["members"];
        assert_eq!(members.as_array().unwrap().len(), 1, "{members}");
    }
    let members = &one.status().await["members"];
    assert_eq!(members.as_array().unwrap().len(), 1, "{members}");

    // With the cookie it goes at once.
    let friend = start("four@localhost").variable("COOKIE", "the cookie of these nodes");
    let friend = friend.ready().await;
    assert_eq!(friend.value("secret").await["n"], 1);
}

#[tokio::test]
async fn a_second_node_of_a_members_name_is_refused() {
    refused("two@localhost").await;
}

#[tokio::test]
async fn a_second_node_of_the_uplinks_own_name_is_refused() {
    refused("one@localhost").await;
}

/// Asserts that a third node of this name ends, saying why, and that the two go on as before.
async fn refused(name: &str) {
    let one = Start::node("one@localhost").ready().await;
    let two = Start::node("two@localhost").uplink(one.cluster);
    let two = two.ready().await;
    settled(&[&one, &two]).await;
    let ran = Start::node(name).uplink(one.cluster).run().await;
    assert_ne!(ran.code, Some(0), "{}", ran.err);
    let last = ran.err.lines().last().unwrap_or_default();
    assert!(last.starts_with("error: "), "{}", ran.err);
    assert!(last.contains(name), "{}", ran.err);
    settled(&[&one, &two]).await;
    two.put("k", "{}").await;
    assert!(one.value("k").await.is_object());
}

#[tokio::test]
async fn a_node_joins_through_any_other() {
    let one = Start::node("one@localhost").ready().await;
    let two = Start::node("two@localhost").uplink(one.cluster);
    let two = two.ready().await;
    let three = Start::node("three@localhost").uplink(two.cluster);
    let three = three.ready().await;
    settled(&[&one, &two, &three]).await;
    // All agree on where a key lives.
    let owners = async |through: &crate::process::Process| {
        let mut owners = Vec::new();
        for n in 0..50 {
            let target = format!("/api/locate?key={n}");
            owners.push(through.get(&target).await.json()["owner"].clone());
        }
        owners
    };
    let seen = owners(&one).await;
    assert_eq!(seen, owners(&two).await);
    assert_eq!(seen, owners(&three).await);
    for name in ["one@localhost", "two@localhost", "three@localhost"] {
        assert!(seen.iter().any(|owner| owner == name), "{name}: {seen:?}");
    }
    until("loads are told", async || {
        let status = one.status().await;
        let told = |m: &serde_json::Value| m["memory_bytes"].as_u64() > Some(0);
        status["members"].as_array().unwrap().iter().all(told)
    })
    .await;
    tokio::time::timeout(Duration::from_secs(20), three.stop())
        .await
        .unwrap();
}
