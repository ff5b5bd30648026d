//! Writes that go on while nodes come and go: what was acknowledged is there afterwards.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::client::{Client, Response};
use crate::process::{Process, Start, settled, until, value};

/// Each writer has so many keys, which it writes again and again.
const KEYS: u64 = 300;
const JSON: (&str, &str) = ("content-type", "application/json");

/// What the writers are told, and what they have done.
#[derive(Default)]
struct Plan {
    /// Where the nodes are that clients may be sent to.
    nodes: Mutex<Vec<SocketAddr>>,
    stop: AtomicBool,
    acknowledged: AtomicU64,
    refused: AtomicU64,
    began: Mutex<Option<Instant>>,
}

impl Plan {
    fn nodes(&self) -> Vec<SocketAddr> {
        self.nodes.lock().unwrap().clone()
    }

    fn ms(&self) -> u128 {
        let began = *self.began.lock().unwrap().get_or_insert_with(Instant::now);
        began.elapsed().as_millis()
    }

    /// Waits until the writers have come so many writes further, so that each step of a test sees
    /// some.
    async fn progress(&self, writes: u64) {
        let goal = self.acknowledged.load(Ordering::Relaxed) + writes;
        until("the writers come further", async || {
            self.acknowledged.load(Ordering::Relaxed) >= goal
        })
        .await;
    }
}

/// What a writer knows of one of its keys.
#[derive(Clone, Debug, Default)]
struct Last {
    acknowledged: u64,
    /// The last one that may or may not have been applied.
    attempted: u64,
    /// Through which node and when, for the message.
    how: String,
}

impl Last {
    fn allows(&self, found: u64) -> bool {
        (self.acknowledged..=self.attempted).contains(&found)
    }
}

/// Writes ever greater numbers under its own keys through one node after the other, and reads each
/// back through the next; returns what it knows of them.
async fn write(plan: Arc<Plan>, writer: usize) -> Vec<Last> {
    let mut lasts = vec![Last::default(); KEYS as usize];
    let mut clients: Vec<(SocketAddr, Client)> = Vec::new();
    for n in 1_u64.. {
        if plan.stop.load(Ordering::Relaxed) {
            break;
        }
        let place = (n % KEYS) as usize;
        let key = format!("w{writer}-{place}");
        let last = &mut lasts[place];
        last.attempted = n;
        let nodes = plan.nodes();
        let through = nodes[(n as usize + writer) % nodes.len()];
        let body = format!("{{\"key\":\"{key}\",\"data\":{{\"n\":{n}}}}}");
        match ask(&mut clients, through, "PUT", "/api", &body).await {
            Some(response) if response.status == 200 => {
                last.acknowledged = n;
                last.how = format!("through {through} at {} ms", plan.ms());
                plan.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            // Refused, late or broken off: it may have been applied.
            _ => {
                plan.refused.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(5)).await;
            }
        }
        // What was acknowledged is seen at once, through any node.
        let nodes = plan.nodes();
        let through = nodes[(n as usize + writer + 1) % nodes.len()];
        let target = format!("/api?key={key}");
        if let Some(read) = ask(&mut clients, through, "GET", &target, "").await
            && read.status == 200
        {
            let found = read.json()["data"]["n"].as_u64().unwrap_or(0);
            assert!(
                last.allows(found),
                "{key} is {found} through {through} at {} ms, not {last:?}: {read:?}",
                plan.ms()
            );
        }
    }
    lasts
}

/// Asks on the connection to that node, a new one if need be; `None` if it broke.
async fn ask(
    clients: &mut Vec<(SocketAddr, Client)>,
    node: SocketAddr,
    method: &str,
    target: &str,
    body: &str,
) -> Option<Response> {
    let place = match clients.iter().position(|(known, _)| *known == node) {
        Some(place) => place,
        None => {
            clients.push((node, Client::try_connect(node).await.ok()?));
            clients.len() - 1
        }
    };
    let client = &mut clients[place].1;
    let answer = client.try_ask(method, target, &[JSON], body).await;
    let closes = |answer: &Response| answer.header("connection") == Some("close");
    if answer.as_ref().map_or(true, closes) {
        clients.swap_remove(place);
    }
    answer.ok()
}

/// Asserts that what the writers know holds, through each of these nodes.
async fn check(nodes: &[&Process], known: &[Vec<Last>]) {
    let mut wrong = Vec::new();
    for node in nodes {
        let mut client = node.connect().await;
        for (writer, lasts) in known.iter().enumerate() {
            for (place, last) in lasts.iter().enumerate() {
                let key = format!("w{writer}-{place}");
                let found: Value = value(&mut client, &key).await;
                let found = found["n"].as_u64().unwrap_or(0);
                if !last.allows(found) {
                    let target = format!("/api/locate?key={key}");
                    let place = client.ask("GET", &target, &[], "").await.body;
                    let name = &node.name;
                    wrong.push(format!("{found} through {name}, not {last:?}: {place}"));
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(20)].join("\n")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_write_is_lost_while_nodes_come_and_go() {
    let start = |name: &str| Start::node(name).flag("log", "info,smache=debug");
    let one = start("one@localhost").ready().await;
    // As a balancer needs it: not ready first, and gone a little later.
    let two = start("two@localhost").flag("drain-delay", "300ms");
    let two = two.uplink(one.cluster).ready().await;
    settled(&[&one, &two]).await;

    let plan = Arc::new(Plan::default());
    plan.ms();
    *plan.nodes.lock().unwrap() = vec![one.http, two.http];
    let writers: Vec<_> = (0..4)
        .map(|writer| tokio::spawn(write(Arc::clone(&plan), writer)))
        .collect();
    plan.progress(1_500).await;
    eprintln!("{} ms: three joins", plan.ms());
    let three = start("three@localhost").uplink(one.cluster).ready().await;
    plan.nodes.lock().unwrap().push(three.http);
    settled(&[&one, &two, &three]).await;
    plan.progress(500).await;

    eprintln!("{} ms: two leaves", plan.ms());
    let gone = two.http;
    let again = two.again().uplink(three.cluster);
    two.terminate();
    plan.nodes.lock().unwrap().retain(|node| *node != gone);
    two.stopped().await;
    eprintln!("{} ms: two has left", plan.ms());
    plan.progress(500).await;
    settled(&[&one, &three]).await;

    eprintln!("{} ms: two comes back and one leaves", plan.ms());
    let two = again.listening();
    plan.nodes.lock().unwrap().retain(|node| *node != one.http);
    one.stop().await;
    two.until_ready().await;
    plan.nodes.lock().unwrap().push(two.http);
    settled(&[&two, &three]).await;
    plan.progress(500).await;
    plan.stop.store(true, Ordering::Relaxed);
    let mut known = Vec::new();
    for writer in writers {
        known.push(writer.await.unwrap());
    }
    let counted = |count: &AtomicU64| count.load(Ordering::Relaxed);
    eprintln!(
        "{} acknowledged, {} not",
        counted(&plan.acknowledged),
        counted(&plan.refused)
    );
    check(&[&two, &three], &known).await;
}
