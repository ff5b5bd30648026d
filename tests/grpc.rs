//! The gRPC door over real connections, with tonic's client: every method, every status, and what
//! the door bears.

#![cfg(feature = "grpc")]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

#[path = "grpc/access.rs"]
mod access;
#[path = "grpc/calls.rs"]
mod calls;
#[path = "support/client.rs"]
mod client;
#[allow(dead_code, reason = "each of the tests uses a part of it")]
#[path = "conformance/cluster.rs"]
mod cluster;
#[path = "grpc/collections.rs"]
mod collections;
#[path = "grpc/commands.rs"]
mod commands;
#[path = "grpc/described.rs"]
mod described;
#[allow(dead_code, reason = "each of the tests uses a part of it")]
#[path = "support/door.rs"]
mod door;
#[path = "support/in_process.rs"]
mod in_process;
#[path = "grpc/limits.rs"]
mod limits;
#[path = "grpc/port.rs"]
mod port;
#[path = "grpc/raw.rs"]
mod raw;
#[path = "grpc/statuses.rs"]
mod statuses;
#[path = "grpc/values.rs"]
mod values;
#[path = "grpc/watch.rs"]
mod watch;

use smache::config::Config;

use crate::calls::channel;
use crate::cluster::Cluster;
use crate::door::TestDoor;

/// Every method of every service, with keys that begin so.
async fn converse(channel: &tonic::transport::Channel, stem: &str) {
    values::cache(channel, stem).await;
    values::counter(channel, stem).await;
    values::whole_keys(channel, stem).await;
    values::flag(channel, stem).await;
    values::kv(channel, stem).await;
    values::json(channel, stem).await;
    values::json_at(channel, stem).await;
    collections::set(channel, stem).await;
    collections::hash(channel, stem).await;
    collections::list(channel, stem).await;
    commands::all(channel, stem).await;
}

#[tokio::test]
async fn one_node() {
    let door = TestDoor::open().await;
    converse(&channel(door.address), "one").await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes() {
    let cluster = Cluster::start(3, &Config::default()).await;
    for asked in 0..cluster.count() {
        let channel = channel(cluster.address(asked));
        // Among so many keys there are some of each node.
        for round in 0..4 {
            converse(&channel, &format!("three-{asked}-{round}")).await;
        }
    }
    cluster.stop().await;
}
