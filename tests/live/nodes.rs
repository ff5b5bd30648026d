//! Nodes of one process, with doors.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use smache::Smache;
use smache::cluster::transport::memory::Network;
use smache::config::{Config, Port};
use tempfile::TempDir;

use crate::client::{Client, Response};
use crate::in_process::are_settled;

/// A node's settings, as tests want them.
pub(crate) fn config() -> Config {
    Config {
        http_port: Port::Exactly(0),
        drain_delay: Duration::ZERO,
        ..Config::default()
    }
}

/// With little memory for the doors.
pub(crate) fn small_door() -> Config {
    Config {
        value_bytes_max: 32 << 10,
        body_bytes_max: 64 << 10,
        door_bytes_max: Some(64 << 10),
        ..config()
    }
}

/// A file with the token of a reader, `the-readers-token`, and one more.
pub(crate) struct Tokens(TempDir);

impl Tokens {
    pub(crate) fn new() -> Tokens {
        let tokens = Tokens(tempfile::tempdir().unwrap());
        let lines = "read r the-readers-token\nread s another-of-theirs\n";
        fs::write(tokens.file(), lines).unwrap();
        tokens
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.path().join("tokens")
    }

    /// Takes the reader's back, as an editor does it.
    pub(crate) fn take_back(&self) {
        let new = self.0.path().join("new");
        fs::write(&new, "read s another-of-theirs\n").unwrap();
        fs::rename(new, self.file()).unwrap();
    }
}

/// A node alone.
pub(crate) async fn alone(config: Config) -> Smache {
    let builder = Smache::builder().config(config).max_memory(1 << 30);
    builder.serve().start().await.unwrap()
}

/// A node of a cluster.
pub(crate) async fn join(network: &Network, name: &str, through: Option<&str>) -> Smache {
    let builder = Smache::builder().config(config()).max_memory(1 << 30);
    let builder = builder.name(format!("{name}@test"));
    let builder = builder.in_memory(network, name, through);
    builder.serve().start().await.unwrap()
}

/// Nodes `a`, `b`, and so on, that share all partitions.
pub(crate) async fn cluster(network: &Network, count: usize) -> Vec<Smache> {
    let mut nodes = Vec::new();
    for name in ["a", "b", "c"].into_iter().take(count) {
        let through = (name != "a").then_some("a");
        nodes.push(join(network, name, through).await);
    }
    balanced(&nodes.iter().collect::<Vec<_>>()).await;
    nodes
}

/// Waits until these nodes share all partitions, each with its copies, and know it.
pub(crate) async fn balanced(nodes: &[&Smache]) {
    let backups = Config::default().backups;
    until("the partitions are spread over all nodes", || {
        are_settled(nodes, backups.into())
    })
    .await;
}

/// Waits until `met` says so, for at most twenty seconds.
pub(crate) async fn until(what: &str, mut met: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !met() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited
        .await
        .unwrap_or_else(|_| panic!("waited in vain until {what}"));
}

/// A request to a node's door.
pub(crate) async fn ask(node: &Smache, method: &str, target: &str, body: &str) -> Response {
    let mut client = Client::connect(node.http_address().unwrap()).await;
    let json = [("content-type", "application/json")];
    client.ask(method, target, &json, body).await
}

/// Writes a value through a node's door; its ETag.
pub(crate) async fn put(node: &Smache, key: &str, data: &Value) -> String {
    let body = serde_json::json!({ "key": key, "data": data }).to_string();
    let response = ask(node, "POST", "/api", &body).await;
    assert_eq!(response.status, 200, "{response:?}");
    response
        .header("etag")
        .unwrap()
        .trim_matches('"')
        .to_owned()
}

/// Stops all nodes at once.
pub(crate) async fn stop(nodes: Vec<Smache>) {
    for node in &nodes {
        node.node().drain();
    }
    let stopping: Vec<_> = nodes
        .into_iter()
        .map(|node| tokio::spawn(async move { node.stop().await }))
        .collect();
    for stopped in stopping {
        stopped.await.unwrap().unwrap();
    }
}
