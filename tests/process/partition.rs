//! Cuts between real processes, each on a machine of its own: both sides serve, and after healing
//! all nodes say the same.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::cluster_load::ONE_AT_A_TIME;
use crate::crowd::{known_to_be_down, restored};
use crate::network::Network;
use crate::process::{PARTITIONS, Process, Start, settled, until};

/// All nodes answer the same so soon after a cut has healed.
const CONVERGENCE: Duration = Duration::from_secs(60);
const JSON: (&str, &str) = ("content-type", "application/json");

/// Nodes on machines of their own. The nodes go first.
struct Scene {
    nodes: Vec<Process>,
    network: Network,
    /// What every node must answer in the end; 0 for no value.
    wanted: BTreeMap<String, u64>,
}

impl Scene {
    async fn open(count: usize, with: fn(Start) -> Start) -> Option<Scene> {
        let network = Network::of(count)?;
        let mut nodes: Vec<Process> = Vec::new();
        for machine in 0..count {
            let mut start = with(network.node(machine, &format!("n{}@net", machine + 1)));
            if let Some(first) = nodes.first() {
                start = start.uplink(first.cluster);
            }
            nodes.push(start.ready().await);
        }
        let mut scene = Scene {
            nodes,
            network,
            wanted: BTreeMap::new(),
        };
        scene.settled().await;
        for n in 0..200 {
            scene.put(n % count, &format!("before-{n}"), 1).await;
        }
        Some(scene)
    }

    fn side(&self, of: &[usize]) -> Vec<&Process> {
        of.iter().map(|place| &self.nodes[*place]).collect()
    }

    async fn settled(&self) {
        let all: Vec<&Process> = self.nodes.iter().collect();
        settled(&all).await;
        restored(&all).await;
    }

    /// Writes a value that must be taken, and be the one in the end.
    async fn put(&mut self, through: usize, key: &str, n: u64) {
        put(&self.nodes[through], key, n).await;
        self.wanted.insert(key.to_owned(), n);
    }

    async fn delete(&mut self, through: usize, key: &str) {
        let target = format!("/api?key={key}");
        let deleted = self.nodes[through].ask("DELETE", &target, &[], "").await;
        assert_eq!(deleted.status, 200, "{key}: {deleted:?}");
        // A side that lacks both copies of a key finds nothing to delete, says so, and changes
        // nothing: what the other side has stays.
        if deleted.json()["deleted"] == true {
            self.wanted.insert(key.to_owned(), 0);
        }
    }

    /// Waits until this side knows that the other one is away, and answers for everything.
    async fn serves_alone(&self, side: &[usize], away: &[usize]) {
        let nodes = self.side(side);
        for lost in away {
            known_to_be_down(&nodes, &self.nodes[*lost].name).await;
        }
        until("a side answers for all partitions", async || {
            let mut owned = 0;
            for node in &nodes {
                owned += node.status().await["partitions"]["owned"].as_u64().unwrap();
            }
            owned == PARTITIONS
        })
        .await;
    }

    /// Waits until all nodes answer the same for every key, and what is wanted.
    async fn converges(&self) {
        let keys: Vec<&str> = self.wanted.keys().map(|key| &key[..]).collect();
        let healed = Instant::now();
        loop {
            let mut seen = Vec::new();
            for node in &self.nodes {
                seen.push(read_all(node, &keys).await);
            }
            let mut wrong = differences(&seen);
            if let Some(first) = seen[0].as_ref().filter(|_| wrong.is_empty()) {
                wrong = self.wrong(first);
            }
            if wrong.is_empty() {
                break;
            }
            assert!(
                healed.elapsed() < CONVERGENCE,
                "the nodes do not agree on what is right; {} of {} are not right: {wrong:?}",
                wrong.len(),
                keys.len()
            );
            sleep(Duration::from_millis(100)).await;
        }
        eprintln!("all agree {} ms after", healed.elapsed().as_millis());
        self.settled().await;
        // And it stays so, now that everything is in its place.
        for node in &self.nodes {
            let wrong = self.wrong(&read_all(node, &keys).await.unwrap());
            assert!(wrong.is_empty(), "no longer right: {wrong:?}");
        }
    }

    /// The answers that are not what is wanted.
    fn wrong(&self, seen: &[Answer]) -> Vec<String> {
        let pairs = self.wanted.iter().zip(seen);
        let wrong = pairs.filter(|((_, wanted), answer)| **wanted != answer.n);
        let wrong = wrong.map(|((key, wanted), answer)| format!("{key} {answer:?}, not {wanted}"));
        wrong.collect()
    }

    /// The acknowledged writes that all nodes say lost against others.
    async fn discarded(&self) -> u64 {
        let mut sum = 0;
        for node in &self.nodes {
            let handoff = &node.status().await["replication"]["handoff"];
            sum += handoff["discarded_writes"].as_u64().unwrap();
        }
        sum
    }
}

/// What a node says of a key: 0 if it has no value.
#[derive(Clone, Debug, PartialEq)]
struct Answer {
    n: u64,
    etag: Option<String>,
}

async fn put(node: &Process, key: &str, n: u64) {
    let body = format!("{{\"key\":\"{key}\",\"data\":{{\"n\":{n}}}}}");
    let response = node.ask("PUT", "/api", &[JSON], &body).await;
    let name = &node.name;
    assert_eq!(response.status, 200, "{key} through {name}: {response:?}");
}

/// `None` if some read is refused.
async fn read_all(node: &Process, keys: &[&str]) -> Option<Vec<Answer>> {
    let mut client: Client = node.connect().await;
    let mut answers = Vec::new();
    for key in keys {
        let target = format!("/api?key={key}");
        let response = client.try_ask("GET", &target, &[], "").await.ok()?;
        if response.status != 200 {
            return None;
        }
        answers.push(Answer {
            n: response.json()["data"]["n"].as_u64().unwrap_or(0),
            etag: response.header("etag").map(str::to_owned),
        });
    }
    Some(answers)
}

/// The answers that are not the same everywhere.
fn differences(seen: &[Option<Vec<Answer>>]) -> Vec<String> {
    let Some(seen) = seen.iter().map(Option::as_ref).collect::<Option<Vec<_>>>() else {
        return vec!["some reads are refused".to_owned()];
    };
    let said = |place: usize| {
        seen.iter()
            .map(|answers| &answers[place])
            .collect::<Vec<_>>()
    };
    (0..seen[0].len())
        .map(said)
        .filter(|said| said.iter().any(|answer| *answer != said[0]))
        .map(|said| format!("{said:?}"))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_of_a_cut_serve_and_then_hold_the_same() {
    let _one = ONE_AT_A_TIME.lock().await;
    let Some(mut scene) = Scene::open(4, |start| start).await else {
        return;
    };
    let (left, right) = ([0, 1], [2, 3]);
    scene.network.cut(&left, &right);
    scene.serves_alone(&left, &right).await;
    scene.serves_alone(&right, &left).await;

    const EACH: usize = 50;
    for n in 0..EACH {
        scene.put(left[n % 2], &format!("left-{n}"), 2).await;
        scene.put(right[n % 2], &format!("right-{n}"), 3).await;
        // Seen on that side at once, through the other node too.
        let turn = (n + 1) % 2;
        let seen = scene.nodes[left[turn]].value(&format!("left-{n}")).await;
        assert_eq!(seen["n"], 2);
        let seen = scene.nodes[right[turn]].value(&format!("right-{n}")).await;
        assert_eq!(seen["n"], 3);
    }
    // What both write is as the later one wrote it; a deletion is a write as well.
    for n in 0..EACH {
        let key = format!("both-{n}");
        put(&scene.nodes[if n % 2 == 0 { 0 } else { 3 }], &key, 4).await;
        scene.put(0, &format!("before-{}", 60 + n), 6).await;
    }
    for n in 0..20 {
        scene.delete(0, &format!("before-{n}")).await;
        scene.put(2, &format!("before-{}", 20 + n), 7).await;
        scene.delete(1, &format!("before-{}", 40 + n)).await;
    }
    // Versions decide, and whoever takes a partition over begins half a second ahead of its clock.
    sleep(Duration::from_secs(1)).await;
    for n in 0..EACH {
        let through = if n % 2 == 0 { 2 } else { 1 };
        scene.put(through, &format!("both-{n}"), 5).await;
        scene.delete(3, &format!("before-{}", 60 + n)).await;
    }
    for n in 0..20 {
        scene.delete(1, &format!("before-{}", 20 + n)).await;
        scene.put(2, &format!("before-{}", 40 + n), 8).await;
    }

    scene.network.heal(&left, &right);
    scene.converges().await;
    let discarded = scene.discarded().await;
    eprintln!("{discarded} writes were discarded");
    // At least the earlier half of what both sides wrote.
    assert!(discarded >= EACH as u64, "{discarded} counted as discarded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_in_one_direction_costs_nothing_for_long() {
    let _one = ONE_AT_A_TIME.lock().await;
    let Some(mut scene) = Scene::open(3, |start| start).await else {
        return;
    };
    for is_deaf in [false, true] {
        let way = |other: usize| if is_deaf { (other, 2) } else { (2, other) };
        for (from, to) in [way(0), way(1)] {
            scene.network.cut_one_way(from, to);
        }
        scene.serves_alone(&[0, 1], &[2]).await;
        for n in 0..100 {
            let value = 10 + u64::from(is_deaf);
            scene.put(n % 2, &format!("before-{n}"), value).await;
        }
        for (from, to) in [way(0), way(1)] {
            scene.network.heal_one_way(from, to);
        }
        scene.converges().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_comes_and_goes_leaves_nodes_that_agree() {
    let _one = ONE_AT_A_TIME.lock().await;
    let Some(mut scene) = Scene::open(3, |start| start).await else {
        return;
    };
    let seed: u64 = rand::random();
    eprintln!("the link comes and goes by seed {seed}");
    let mut rng = SmallRng::seed_from_u64(seed);
    for round in 0..10 {
        let alone = rng.random_range(0..3);
        let others: Vec<usize> = (0..3).filter(|other| *other != alone).collect();
        scene.network.cut(&[alone], &others);
        sleep(Duration::from_millis(rng.random_range(50..1_500))).await;
        scene.network.heal(&[alone], &others);
        let up = Instant::now() + Duration::from_millis(rng.random_range(50..700));
        let mut n = 0;
        while Instant::now() < up {
            // It may be refused, and one of two that both were taken will win.
            n += 1;
            let (key, node) = (format!("flap-{}", n % 20), &scene.nodes[n % 3]);
            let body = format!("{{\"key\":\"{key}\",\"data\":{{\"n\":{round}}}}}");
            let mut client = node.connect().await;
            let asked = client.try_ask("PUT", "/api", &[JSON], &body);
            let _ = tokio::time::timeout(Duration::from_secs(3), asked).await;
        }
    }
    scene.settled().await;
    // What was there before is there, and what is written now is the same everywhere.
    for n in 0..20 {
        scene.put(n % 3, &format!("flap-{n}"), 99).await;
    }
    scene.converges().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_do_not_hear_each_other_do_not_disturb_the_third() {
    let _one = ONE_AT_A_TIME.lock().await;
    let Some(mut scene) = Scene::open(3, |start| start).await else {
        return;
    };
    scene.network.cut(&[0], &[2]);
    let end = Instant::now() + Duration::from_secs(8);
    let mut refused = 0;
    while Instant::now() < end {
        let keys: Vec<String> = (0..50).map(|n| format!("before-{n}")).collect();
        let keys: Vec<&str> = keys.iter().map(|key| &key[..]).collect();
        match read_all(&scene.nodes[1], &keys).await {
            Some(answers) => assert!(answers.iter().all(|answer| answer.n == 1), "{answers:?}"),
            None => refused += 1,
        }
        sleep(Duration::from_millis(100)).await;
    }
    eprintln!("{refused} rounds of reads through the one in the middle were refused");
    scene.network.heal(&[0], &[2]);
    scene.settled().await;
    for n in 0..50 {
        scene.put(n % 3, &format!("after-{n}"), 2).await;
    }
    scene.converges().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_few_members_refuse_writes_and_still_answer_reads() {
    let _one = ONE_AT_A_TIME.lock().await;
    let Some(mut scene) = Scene::open(3, |start| start.flag("min-members", 2)).await else {
        return;
    };
    scene.network.cut(&[0, 1], &[2]);
    let alone = &scene.nodes[2];
    let body = r#"{"key":"alone","data":{"n":1}}"#;
    until("the smaller side refuses writes", async || {
        let response = alone.ask("PUT", "/api", &[JSON], body).await;
        response.status == 503 && response.error() == "too_few_members"
    })
    .await;
    let refused = alone.ask("DELETE", "/api?key=before-1", &[], "").await;
    assert_eq!(
        (refused.status, &refused.error()[..]),
        (503, "too_few_members")
    );
    scene.serves_alone(&[0, 1], &[2]).await;
    assert_eq!(scene.nodes[2].get("/api?key=before-1").await.status, 200);
    for n in 0..50 {
        scene.put(n % 2, &format!("before-{n}"), 2).await;
    }
    scene.network.heal(&[0, 1], &[2]);
    until("writes work again", async || {
        let alone = &scene.nodes[2];
        let response = alone.ask("PUT", "/api", &[JSON], body).await;
        response.status == 200
    })
    .await;
    scene.wanted.insert("alone".to_owned(), 1);
    scene.converges().await;
}
