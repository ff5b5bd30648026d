//! Who is alive: nodes that are killed, stopped and set going again, and clusters kept apart.

use std::process::Command;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::process::{Process, Start, settled, until};

async fn three() -> [Process; 3] {
    let one = Start::node("one@localhost").ready().await;
    let two = Start::node("two@localhost").uplink(one.cluster);
    let two = two.ready().await;
    let three = Start::node("three@localhost").uplink(one.cluster);
    let three = three.ready().await;
    settled(&[&one, &two, &three]).await;
    [one, two, three]
}

fn signal(node: &Process, name: &str) {
    let id = node.id().to_string();
    let sent = Command::new("kill").args([name, &id]).status();
    assert!(sent.unwrap().success());
}

async fn state(of: &str, at: &Process) -> String {
    let status = at.status().await;
    let members = status["members"].as_array().unwrap();
    let member = members.iter().find(|member| member["name"] == of);
    member.unwrap()["state"].as_str().unwrap().to_owned()
}

/// Waits until all of these see `of` down, and says how long that took.
async fn down_within(limit: Duration, of: &str, at: &[&Process]) -> Duration {
    let start = Instant::now();
    for node in at {
        while state(of, node).await != "down" {
            assert!(start.elapsed() < limit, "{of} is up at {}", node.name);
            sleep(Duration::from_millis(10)).await;
        }
    }
    start.elapsed()
}

#[tokio::test]
async fn a_killed_node_is_out_within_a_second() {
    let [one, two, mut three] = three().await;
    three.kill();
    let took = down_within(Duration::from_secs(1), "three@localhost", &[&one, &two]).await;
    println!("kill -9 was noticed by all after {took:?}");
    settled(&[&one, &two]).await;
}

#[tokio::test]
async fn a_stopped_node_is_out_within_five_seconds_and_comes_back() {
    let [one, two, three] = three().await;
    signal(&three, "-STOP");
    let took = down_within(Duration::from_secs(5), "three@localhost", &[&one, &two]).await;
    println!("SIGSTOP was noticed by all after {took:?}");
    settled(&[&one, &two]).await;
    signal(&three, "-CONT");
    settled(&[&one, &two, &three]).await;
    // It was away itself, and has no right to call the others dead for it.
    let downs = three.figure("smache_gossip_downs_total").await;
    assert!(downs <= 2.0, "{downs}");
}

#[tokio::test]
async fn members_gossip_over_sealed_datagrams() {
    let [one, two, three] = three().await;
    for node in [&one, &two, &three] {
        until("datagrams pass both ways", async || {
            let sent = node.figure(r#"smache_datagrams_total{what="sent"}"#).await;
            let received = node
                .figure(r#"smache_datagrams_total{what="received"}"#)
                .await;
            sent > 10.0 && received > 10.0
        })
        .await;
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(b"who is there?", node.cluster).unwrap();
        until("a stranger's datagram is refused", async || {
            node.figure(r#"smache_datagrams_total{what="refused"}"#)
                .await
                >= 1.0
        })
        .await;
        assert_eq!(node.status().await["gossip"]["downs"], 0);
    }
}

#[tokio::test]
async fn a_node_of_another_cluster_is_refused_by_both_names() {
    let one = Start::node("one@localhost").flag("cluster-name", "first");
    let one = one.ready().await;
    let two = Start::node("two@localhost").flag("cluster-name", "second");
    let ran = two.uplink(one.cluster).run().await;
    assert_ne!(ran.code, Some(0), "{}", ran.err);
    let last = ran.err.lines().last().unwrap_or_default();
    assert!(
        last.contains("`first`") && last.contains("`second`"),
        "{}",
        ran.err
    );
    until("the other side says so as well", async || {
        let log = one.log();
        log.contains("`first`") && log.contains("`second`")
    })
    .await;
    let members = &one.status().await["members"];
    assert_eq!(members.as_array().unwrap().len(), 1, "{members}");
}
