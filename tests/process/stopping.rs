//! What SIGTERM does, step by step.

use serde_json::Value;

use crate::client::{Client, request};
use crate::process::{Process, Start, run, settled, until};

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn a_node_that_drains_is_not_ready_and_still_serves() {
    let one = Start::node("one@localhost").flag("drain-delay", "60s");
    let mut one = one.flag("shutdown-timeout", "90s").ready().await;
    one.put("k", r#"{"n":1}"#).await;
    one.terminate();
    until("it is not ready", async || {
        one.get("/ready").await.status == 503
    })
    .await;
    assert_eq!(one.status().await["state"], "draining");
    let ran = run(&["status", "--quiet", "--node", &one.url()]).await;
    assert_eq!(ran.code, Some(1));
    assert_eq!(one.value("k").await["n"], 1);
    one.put("k", r#"{"n":2}"#).await;
    assert_eq!(one.value("k").await["n"], 2);
    assert!(!one.has_ended());

    one.terminate();
    let status = one.ended().await;
    assert!(
        status.code().is_some_and(|code| code != 0),
        "an exit of its own, but not an orderly one: {status}"
    );
    assert!(one.log().contains("at once"), "{}", one.log());
}

#[tokio::test]
async fn what_is_in_flight_is_finished() {
    let one = Start::node("one@localhost").ready().await;
    let two = Start::node("two@localhost").uplink(one.cluster);
    let mut two = two.ready().await;
    settled(&[&one, &two]).await;
    // Keys that it owns, and keys that it does not.
    let mut slow = begin(&two, 8).await;
    two.terminate();
    until("it takes no new connections", async || {
        Client::try_connect(two.http).await.is_err()
    })
    .await;
    assert!(!two.has_ended());
    finish(&mut slow).await;
    let status = two.ended().await;
    assert_eq!(status.code(), Some(0), "{}", two.log());
    for n in 0..8 {
        assert_eq!(one.value(&format!("slow-{n}")).await["n"], n);
    }
}

#[tokio::test]
async fn who_joins_meanwhile_does_not_count_on_the_one_that_leaves() {
    let one = Start::node("one@localhost").ready().await;
    let two = Start::node("two@localhost").uplink(one.cluster);
    let two = two.ready().await;
    settled(&[&one, &two]).await;
    // Requests in flight keep the first node from ending.
    let mut slow = begin(&one, 8).await;
    one.terminate();
    until("the second node knows that the first leaves", async || {
        let status = two.status().await;
        let members = status["members"].as_array().unwrap();
        let leaves = |m: &Value| m["name"] == "one@localhost" && m["state"] == "leaving";
        members.iter().any(leaves)
    })
    .await;

    let three = Start::node("three@localhost").uplink(two.cluster);
    let three = three.ready().await;
    settled(&[&two, &three]).await;
    finish(&mut slow).await;
    one.stopped().await;
    for n in 0..8 {
        assert_eq!(three.value(&format!("slow-{n}")).await["n"], n);
    }
}

/// Begins so many writes, each on a connection of its own, all but their last bytes.
async fn begin(node: &Process, count: u32) -> Vec<(Client, String)> {
    let mut slow = Vec::new();
    for n in 0..count {
        let body = format!(r#"{{"key":"slow-{n}","data":{{"n":{n}}}}}"#);
        let text = request("POST", "/api", &[JSON], &body);
        let (head, rest) = text.split_at(text.len() - 5);
        let mut client = node.connect().await;
        client.send(head).await;
        slow.push((client, rest.to_owned()));
    }
    // The door knows of those connections once it has answered on a later one.
    assert_eq!(node.get("/ready").await.status, 200);
    slow
}

/// Sends the rest; every write must be taken.
async fn finish(slow: &mut [(Client, String)]) {
    for (client, rest) in slow {
        client.send(rest.as_bytes()).await;
        let response = client.response().await;
        assert_eq!(response.status, 200, "{response:?}");
    }
}

#[tokio::test]
async fn what_never_ends_is_cut_off_in_time() {
    let one = Start::node("one@localhost").flag("shutdown-timeout", "500ms");
    let mut one = one.ready().await;
    let mut client = one.connect().await;
    let text = request("POST", "/api", &[JSON], r#"{"key":"k","data":{}}"#);
    client.send(&text[..text.len() - 5]).await;
    assert_eq!(one.get("/ready").await.status, 200);
    one.terminate();
    // Far earlier than the idle timeout (75 s) would have it.
    let status = one.ended().await;
    assert_eq!(status.code(), Some(1), "{}", one.log());
    assert!(one.log().contains("500ms"), "{}", one.log());
}

#[tokio::test]
async fn nodes_that_leave_at_the_same_time_do_not_wait_for_each_other() {
    let one = Start::node("one@localhost").ready().await;
    let two = Start::node("two@localhost").uplink(one.cluster);
    let two = two.ready().await;
    settled(&[&one, &two]).await;
    for n in 0..100 {
        one.put(&format!("key-{n}"), "{}").await;
    }
    let nodes = [one, two];
    for node in &nodes {
        node.terminate();
    }
    for mut node in nodes {
        let status = node.ended().await;
        assert_eq!(status.code(), Some(0), "{}", node.log());
    }
}
