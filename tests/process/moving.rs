//! Writes that go on while nodes come and go: what was acknowledged is there afterwards.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinHandle;
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
    began: Option<Instant>,
}

impl Plan {
    fn new() -> Plan {
        Plan {
            began: Some(Instant::now()),
            ..Plan::default()
        }
    }

    fn nodes(&self) -> Vec<SocketAddr> {
        self.nodes.lock().unwrap().clone()
    }

    fn ms(&self) -> u128 {
        self.began.map_or(0, |began| began.elapsed().as_millis())
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
        let Some(through) = pick(&nodes, n as usize + writer) else {
            // The curtain is not up yet.
            sleep(Duration::from_millis(5)).await;
            continue;
        };
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
        let Some(through) = pick(&nodes, n as usize + writer + 1) else {
            continue;
        };
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

fn pick(nodes: &[SocketAddr], turn: usize) -> Option<SocketAddr> {
    nodes.get(turn % nodes.len().max(1)).copied()
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

/// Two nodes, writers at work through both, and what they will have come to know.
struct Scene {
    plan: Arc<Plan>,
    writers: Vec<JoinHandle<Vec<Last>>>,
}

impl Scene {
    async fn open(start: fn(&str) -> Start) -> (Scene, Process, Process) {
        let one = start("one@localhost").ready().await;
        let two = start("two@localhost").uplink(one.cluster).ready().await;
        settled(&[&one, &two]).await;
        let plan = Arc::new(Plan::new());
        let writers = (0..4).map(|writer| tokio::spawn(write(Arc::clone(&plan), writer)));
        let writers = writers.collect();
        let scene = Scene { plan, writers };
        scene.enter(&one);
        scene.enter(&two);
        scene.plan.progress(4 * KEYS).await;
        (scene, one, two)
    }

    fn say(&self, what: &str) {
        eprintln!("{} ms: {what}", self.plan.ms());
    }

    /// Clients are sent to this node too.
    fn enter(&self, node: &Process) {
        self.say(&format!("{} at {} takes part", node.name, node.http));
        self.plan.nodes.lock().unwrap().push(node.http);
    }

    /// Clients are not sent to this node any more, and it is told to stop.
    fn leave(&self, node: &Process) {
        self.say(&format!("{} leaves", node.name));
        let mut nodes = self.plan.nodes.lock().unwrap();
        nodes.retain(|known| *known != node.http);
        drop(nodes);
        node.terminate();
    }

    /// Ends the writing, and asserts that all that was acknowledged is there, through each of these
    /// nodes.
    async fn close(self, nodes: &[&Process]) {
        self.plan.progress(500).await;
        self.plan.stop.store(true, Ordering::Relaxed);
        let counted = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let acknowledged = counted(&self.plan.acknowledged);
        let refused = counted(&self.plan.refused);
        self.say(&format!("{acknowledged} acknowledged, {refused} not"));
        let mut known = Vec::new();
        for writer in self.writers {
            known.push(writer.await.unwrap());
        }
        check(nodes, &known).await;
        // Nodes that come and go in order are no reason to refuse much.
        assert!(refused * 10 < acknowledged, "{refused} refused");
    }
}

/// A node that leaves as a balancer needs it: not ready first, and gone a little later.
fn patient_start(name: &str) -> Start {
    hasty_start(name).flag("drain-delay", "300ms")
}

/// A node that begins to hand over at once.
fn hasty_start(name: &str) -> Start {
    Start::node(name).flag("log", "info,smache=debug")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_write_is_lost_while_nodes_join_and_leave() {
    let (scene, one, two) = Scene::open(patient_start).await;
    let three = patient_start("three@localhost")
        .uplink(one.cluster)
        .ready()
        .await;
    scene.enter(&three);
    settled(&[&one, &two, &three]).await;
    scene.plan.progress(500).await;

    scene.leave(&two);
    two.stopped().await;
    scene.plan.progress(500).await;
    settled(&[&one, &three]).await;

    // The first one as well, which the others joined through.
    scene.leave(&one);
    one.stopped().await;
    scene.close(&[&three]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_write_is_lost_when_one_joins_while_another_leaves() {
    let (scene, one, two) = Scene::open(hasty_start).await;
    let three = hasty_start("three@localhost")
        .uplink(two.cluster)
        .listening();
    scene.leave(&one);
    one.stopped().await;
    three.until_ready().await;
    scene.enter(&three);
    settled(&[&two, &three]).await;
    scene.plan.progress(500).await;

    // And once more, with a node that was there before.
    let again = hasty_start("one@localhost")
        .uplink(three.cluster)
        .listening();
    scene.leave(&two);
    two.stopped().await;
    again.until_ready().await;
    scene.enter(&again);
    settled(&[&three, &again]).await;
    scene.close(&[&three, &again]).await;
}
