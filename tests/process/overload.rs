//! A node that is asked for more than it has: memory for slow readers, file descriptors.
#![cfg(target_os = "linux")]

use std::time::Duration;

use crate::client::{Client, request};
use crate::process::{Process, Start, until};

const JSON: (&str, &str) = ("content-type", "application/json");
const SMALL: &str = "{\"key\":\"small\",\"data\":{}}";
const LIMIT_BYTES: u64 = 128_000_000;
/// What the process may take beyond its limit, for a moment.
const SLACK_BYTES: u64 = 32 << 20;

/// A number from a line of `/proc/PID/status`.
fn status_of(node: &Process, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", node.id())).unwrap();
    let line = text.lines().find(|line| line.starts_with(name));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.unwrap().parse().unwrap()
}

/// CPU time that the process has used, in clock ticks (of which there are a hundred a second).
fn cpu_ticks(node: &Process) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", node.id())).unwrap();
    let (_, fields) = text.rsplit_once(") ").unwrap();
    let of = |index: usize| fields.split(' ').nth(index).unwrap().parse::<u64>();
    of(11).unwrap() + of(12).unwrap()
}

#[tokio::test]
async fn readers_that_do_not_read_take_no_more_than_the_door_has() {
    let node = Start::node("one@localhost")
        .flag("max-memory", LIMIT_BYTES)
        .flag("write-timeout", "5s");
    let node = node.ready().await;
    let text = "x".repeat((1 << 20) - 100);
    node.put("large", &format!("{{\"text\":\"{text}\"}}")).await;
    node.put("small", "{}").await;
    // Two for each of 250 would be half a gigabyte.
    let one = request("GET", "/api?key=large", &[], "").repeat(20);
    let many = request("GET", "/api?key=large&key=large&key=large", &[], "");
    let mut readers = Vec::new();
    for number in 0..250 {
        let mut client = node.connect().await;
        client
            .send(if number % 2 == 0 { &one } else { &many })
            .await;
        readers.push(client);
    }
    until("the memory is used up", async || {
        node.figure("smache_http_held_refused_total").await > 0.0
    })
    .await;
    // The others are served as ever.
    for _ in 0..20 {
        assert_eq!(node.get("/api?key=small").await.status, 200);
        let written = node.ask("POST", "/api", &[JSON], SMALL).await;
        assert_eq!(written.status, 200, "{}", written.body);
    }
    until("they are dropped", async || {
        let reason = "smache_http_connections_dropped_total{reason=\"not_reading\"}";
        node.figure(reason).await >= 1.0 && node.figure("smache_http_held_bytes").await == 0.0
    })
    .await;
    let large = node.get("/api?key=large").await;
    assert_eq!(large.status, 200, "{}", large.body);
    let peak = status_of(&node, "VmHWM:") * 1024;
    assert!(peak <= LIMIT_BYTES + SLACK_BYTES, "{peak} bytes");
    let log = node.log();
    assert!(log.lines().count() < 30, "{log}");
    drop(readers);
    node.stop().await;
}

/// Whether a new connection is served; it is kept if so.
async fn served(node: &Process, kept: &mut Vec<Client>) -> bool {
    let mut client = node.connect().await;
    let answer = client.try_ask("GET", "/", &[], "").await;
    let served = answer.is_ok_and(|answer| answer.status == 200);
    if served {
        kept.push(client);
    }
    served
}

#[tokio::test]
async fn without_file_descriptors_it_rejects_and_recovers() {
    let node = Start::node("one@localhost").descriptors(64).ready().await;
    node.put("k", "{\"n\":1}").await;
    let mut kept = Vec::new();
    while served(&node, &mut kept).await {
        assert!(kept.len() < 64, "there is no limit");
    }
    // Rejected at once, as often as it is tried, and those who are in are served.
    for _ in 0..200 {
        assert!(!served(&node, &mut kept).await);
    }
    let read = kept[0].ask("GET", "/api?key=k", &[], "").await;
    assert_eq!(read.json()["data"]["n"], 1);
    let page = kept[0].ask("GET", "/metrics", &[], "").await.body;
    let rejected = page
        .lines()
        .find_map(|line| line.strip_prefix("smache_http_connections_rejected_total "));
    let rejected: u64 = rejected.unwrap().parse().unwrap();
    assert!(rejected >= 200, "{rejected}");
    let resident = page
        .lines()
        .find_map(|line| line.strip_prefix("smache_resident_bytes "));
    assert_ne!(resident, Some("0.0"), "the memory is still known");

    // It waits for better times without work: in a second, not half a second of CPU time.
    let before = cpu_ticks(&node);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let used = cpu_ticks(&node) - before;
    assert!(used < 50, "{used} ticks");
    let log = node.log();
    let told = log.matches("cannot take connections").count();
    assert!((1..=5).contains(&told), "told {told} times: {log}");

    drop(kept);
    until("it serves again", async || {
        served(&node, &mut Vec::new()).await
    })
    .await;
    node.put("k", "{\"n\":2}").await;
    assert_eq!(node.value("k").await["n"], 2);
    node.stop().await;
}
