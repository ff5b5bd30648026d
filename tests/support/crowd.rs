//! A cluster of several processes, each of which may be stopped and started again.
#![allow(dead_code, reason = "each of the tests uses a part of it")]

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::process::{Process, Start, settled, until};

/// The longest wait until every partition has the copies that it should have.
const COPYING_PATIENCE: Duration = Duration::from_secs(60);

/// See the module.
pub(crate) struct Crowd {
    pub(crate) nodes: Vec<Process>,
    start: fn(&str) -> Start,
}

impl Crowd {
    /// So many nodes that share all partitions. They are named `n1@localhost` and so on.
    pub(crate) async fn of(count: usize, start: fn(&str) -> Start) -> Crowd {
        let mut crowd = Crowd {
            nodes: Vec::new(),
            start,
        };
        for _ in 0..count {
            crowd.grow().await;
        }
        crowd.settled().await;
        crowd
    }

    /// Starts one more node, which joins through the last one.
    pub(crate) async fn grow(&mut self) -> &Process {
        let name = format!("n{}@localhost", self.nodes.len() + 1);
        let mut start = (self.start)(&name);
        if let Some(last) = self.nodes.last() {
            start = start.uplink(last.cluster);
        }
        self.nodes.push(start.ready().await);
        &self.nodes[self.nodes.len() - 1]
    }

    /// Starts a node that has ended again, with the name and the ports that it had; it joins
    /// through another one.
    pub(crate) async fn again(&mut self, place: usize) -> &Process {
        let other = self.nodes[(place + 1) % self.nodes.len()].cluster;
        let start = self.nodes[place].again().uplink(other);
        self.nodes[place] = start.ready().await;
        &self.nodes[place]
    }

    pub(crate) fn all(&self) -> Vec<&Process> {
        self.nodes.iter().collect()
    }

    /// All but one.
    pub(crate) fn others(&self, place: usize) -> Vec<&Process> {
        let mut nodes = self.all();
        nodes.remove(place);
        nodes
    }

    /// Waits until the partitions are where they belong, and have all their copies.
    pub(crate) async fn settled(&self) {
        settled(&self.all()).await;
        restored(&self.all()).await;
    }
}

/// Waits until these nodes, and there are no others, have all the copies of their partitions. A
/// node by itself has nobody to make one.
pub(crate) async fn restored(nodes: &[&Process]) {
    if nodes.len() < 2 {
        return;
    }
    let end = Instant::now() + COPYING_PATIENCE;
    loop {
        let mut seen = Vec::new();
        for node in nodes {
            seen.push(node.status().await);
        }
        if seen.iter().all(has_its_copies) {
            return;
        }
        let shown = seen.iter().map(Value::to_string).collect::<Vec<_>>();
        assert!(
            Instant::now() < end,
            "waited in vain for copies:\n{}",
            shown.join("\n")
        );
        sleep(Duration::from_millis(20)).await;
    }
}

/// Whether all partitions that a node owns have as many copies as they should. A program that says
/// nothing of copies makes none, and so misses none.
fn has_its_copies(status: &Value) -> bool {
    let missing = &status["replication"]["missing_copies"];
    status["partitions"]["arriving"] == 0 && (missing.is_null() || *missing == 0)
}

/// Waits until these nodes know that this one is down.
pub(crate) async fn known_to_be_down(nodes: &[&Process], name: &str) {
    until(&format!("{name} is known to be down"), async || {
        for node in nodes {
            if state_of(&node.status().await, name).as_deref() != Some("down") {
                return false;
            }
        }
        true
    })
    .await;
}

/// What a node thinks of another one; `None` if it does not know it.
pub(crate) fn state_of(status: &Value, name: &str) -> Option<String> {
    let members = status["members"].as_array()?;
    let member = members.iter().find(|member| member["name"] == name)?;
    member["state"].as_str().map(str::to_owned)
}
