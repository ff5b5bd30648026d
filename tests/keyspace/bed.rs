//! Nodes of one process, and scans that are checked as they go.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use smache::Smache;
use smache::cluster::transport::memory::Network;
use smache::command::{Command, Condition, Kind, Reply};
use smache::key::Key;
use smache::router::keyspace::{Keyspace, Options};
use tokio::time::Instant;

use crate::in_process::are_settled;

/// How long anything is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Dice that are thrown alike for the same seed.
pub(crate) fn dice() -> SmallRng {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(rand::random::<u64>);
    eprintln!("SEED={seed}");
    SmallRng::seed_from_u64(seed)
}

pub(crate) async fn node(network: &Network, name: &str, join: Option<&str>) -> Smache {
    let builder = Smache::builder()
        .name(format!("{name}@test"))
        .max_memory(1 << 30);
    let builder = builder.in_memory(network, name, join);
    builder.start().await.unwrap()
}

/// A node that is alone.
pub(crate) async fn alone() -> Smache {
    Smache::builder().max_memory(1 << 30).start().await.unwrap()
}

/// So many nodes that have shared the partitions among themselves.
pub(crate) async fn nodes(network: &Network, names: &[&str]) -> Vec<Smache> {
    let mut nodes = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let join = (index > 0).then_some(names[0]);
        nodes.push(node(network, name, join).await);
    }
    settled(&nodes.iter().collect::<Vec<_>>()).await;
    nodes
}

/// Waits until these nodes share all partitions, each with a copy, and know it.
pub(crate) async fn settled(nodes: &[&Smache]) {
    until("the partitions are where they belong", || {
        are_settled(nodes, 1)
    })
    .await;
}

pub(crate) async fn until(what: &str, mut met: impl FnMut() -> bool) {
    let end = deadline();
    while !met() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn deadline() -> Instant {
    Instant::now() + PATIENCE
}

pub(crate) fn keyspace(node: &Smache) -> Keyspace {
    node.node().router().keyspace()
}

pub(crate) fn key(text: &str) -> Key {
    Key::new(text.to_owned(), 4096).unwrap()
}

/// Puts a value, until that is acknowledged.
pub(crate) async fn put(node: &Smache, text: &str) {
    write(node, &put_of(text, Kind::Json, "1")).await;
}

pub(crate) fn put_of(text: &str, kind: Kind, data: &str) -> Command {
    Command::Put {
        key: key(text),
        kind,
        data: Bytes::copy_from_slice(data.as_bytes()),
        ttl_ms: None,
        condition: Condition::None,
    }
}

pub(crate) async fn write(node: &Smache, command: &Command) -> Reply {
    let router = node.node().router();
    router.execute(command, deadline()).await.unwrap().reply
}

pub(crate) async fn is_there(node: &Smache, text: &str) -> bool {
    let get = Command::Get { key: key(text) };
    matches!(write(node, &get).await, Reply::Value(Some(_)))
}

pub(crate) async fn fill(node: &Smache, stem: &str, count: usize) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for n in 0..count {
        let key = format!("{stem}{n}");
        put(node, &key).await;
        keys.insert(key);
    }
    keys
}

pub(crate) fn options(count: usize) -> Options {
    Options {
        count,
        ..Options::default()
    }
}

pub(crate) fn matching(pattern: &str, count: usize) -> Options {
    Options {
        pattern: Some(Bytes::copy_from_slice(pattern.as_bytes())),
        ..options(count)
    }
}

/// All that a scan finds, each page through any of the nodes. Fails if a key comes twice, or if a
/// page has more than was asked for.
pub(crate) async fn scan(
    nodes: &[&Smache],
    options: &Options,
    dice: &mut SmallRng,
) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut cursor = 0;
    loop {
        let node = nodes[dice.random_range(0..nodes.len())];
        cursor = page(node, cursor, options, &mut found).await;
        if cursor == 0 {
            return found;
        }
    }
}

/// Adds what a page has; the next cursor.
pub(crate) async fn page(
    node: &Smache,
    cursor: u64,
    options: &Options,
    found: &mut BTreeSet<String>,
) -> u64 {
    let page = keyspace(node).scan(cursor, options, deadline()).await;
    let page = page.unwrap();
    // Two in one place are rare among so few.
    let much = options.count.max(1) + 3;
    assert!(page.keys.len() <= much, "{} keys", page.keys.len());
    for key in page.keys {
        let key = String::from_utf8(key.to_vec()).unwrap();
        assert!(found.insert(key.clone()), "{key} has come twice");
    }
    page.next
}

pub(crate) async fn count(node: &Smache) -> u64 {
    keyspace(node).count(deadline()).await.unwrap()
}
