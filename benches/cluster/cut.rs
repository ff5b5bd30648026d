//! How soon both sides of a cut serve by themselves, and how soon they agree again after it.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::crowd::{restored, state_of};
use crate::drive::key;
use crate::network::Network;
use crate::process::{PARTITIONS, Process, put, settled};
use crate::{Bar, Options, not_measured};

/// Written by each side while it is alone, and as many by both.
const KEYS: u64 = 1_000;
const DEADLINE: Duration = Duration::from_secs(90);

pub(crate) async fn measure(options: &Options) {
    let (mut known, mut serving, mut agreed) = (vec![], vec![], vec![]);
    for _ in 0..options.runs(3) {
        let Some(network) = Network::of(4) else {
            return not_measured("cuts", "there are no network namespaces");
        };
        let mut nodes: Vec<Process> = Vec::new();
        for machine in 0..4 {
            let start = network.node(machine, &format!("n{machine}@net"));
            let mut start = start.flag("log", "off");
            if let Some(first) = nodes.first() {
                start = start.uplink(first.cluster);
            }
            nodes.push(start.ready().await);
        }
        let all: Vec<&Process> = nodes.iter().collect();
        settled(&all).await;
        restored(&all).await;
        write(&nodes[0], 0..KEYS).await;

        let (left, right) = ([0, 1], [2, 3]);
        let cut = Instant::now();
        network.cut(&left, &right);
        until(cut, async || each_knows(&nodes).await).await;
        known.push(cut.elapsed().as_secs_f64());
        until(cut, async || {
            owns_all(&all[..2]).await && owns_all(&all[2..]).await
        })
        .await;
        serving.push(cut.elapsed().as_secs_f64());
        write(&nodes[0], KEYS..3 * KEYS).await;
        write(&nodes[2], 2 * KEYS..4 * KEYS).await;

        let healed = Instant::now();
        network.heal(&left, &right);
        until(healed, async || agree(&nodes).await).await;
        agreed.push(healed.elapsed().as_secs_f64());
        drop(nodes);
    }
    let bar = Some(Bar::AtMost(5.0));
    options.report(
        "cut: all nodes know that the others are away",
        "s",
        known,
        bar,
    );
    options.report(
        "cut: each side answers for all partitions",
        "s",
        serving,
        bar,
    );
    let what = "healed: all nodes answer the same for 4,000 keys";
    options.report(what, "s", agreed, None);
}

async fn write(node: &Process, indices: std::ops::Range<u64>) {
    let mut client = node.connect().await;
    for index in indices {
        let data = format!("{{\"by\":{:?}}}", node.name);
        put(&mut client, &key(index), &data).await;
    }
}

async fn until(began: Instant, mut met: impl AsyncFnMut() -> bool) {
    while !met().await {
        assert!(began.elapsed() < DEADLINE, "waited in vain");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Whether every node takes both nodes of the other side for down.
async fn each_knows(nodes: &[Process]) -> bool {
    for (place, node) in nodes.iter().enumerate() {
        let status = node.status().await;
        let others = if place < 2 { &nodes[2..] } else { &nodes[..2] };
        let is_down = |other: &Process| state_of(&status, &other.name).as_deref() == Some("down");
        if !others.iter().all(is_down) {
            return false;
        }
    }
    true
}

async fn owns_all(side: &[&Process]) -> bool {
    let mut owned = 0;
    for node in side {
        owned += node.status().await["partitions"]["owned"].as_u64().unwrap();
    }
    owned == PARTITIONS
}

/// Whether all nodes answer the same for every key.
async fn agree(nodes: &[Process]) -> bool {
    let mut first: HashMap<u64, serde_json::Value> = HashMap::new();
    for node in nodes {
        let mut client = node.connect().await;
        for from in (0..4 * KEYS).step_by(200) {
            let indices: Vec<u64> = (from..from + 200).collect();
            let keys: Vec<String> = indices.iter().map(|index| key(*index)).collect();
            let target = format!("/api?key={}", keys.join("&key="));
            let Ok(response) = client.try_ask("GET", &target, &[], "").await else {
                return false;
            };
            if response.status != 200 {
                return false;
            }
            let json = response.json();
            for (index, result) in indices.iter().zip(json["results"].as_array().unwrap()) {
                // Of a key without a value, or with an error, there is none.
                let etag = result["etag"].clone();
                let is_known = !etag.is_null();
                if !is_known || *first.entry(*index).or_insert(etag.clone()) != etag {
                    return false;
                }
            }
        }
    }
    true
}
