//! The client library: the same conversations over the network and in this process, on one node and
//! on three; what is tried again, and what never twice.

#![cfg(feature = "client")]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

#[path = "support/client.rs"]
mod client;
#[allow(dead_code, reason = "each of the tests uses a part of it")]
#[path = "conformance/cluster.rs"]
mod cluster;
#[path = "client/conversation.rs"]
mod conversation;
#[path = "client/failing.rs"]
mod failing;
#[path = "support/in_process.rs"]
mod in_process;
#[path = "client/proxy.rs"]
mod proxy;
#[path = "client/secure.rs"]
mod secure;
#[path = "client/watching.rs"]
mod watching;

use std::net::SocketAddr;
use std::sync::Arc;

use smache::Smache;
use smache::client::{Builder, Cache, Client};
use smache::config::{Config, Port};

use crate::client::{PATIENCE, patient};
use crate::cluster::Cluster;
use crate::conversation::converse;

/// A node with its HTTP door on a port of the system's choice.
async fn node() -> Smache {
    let config = Config {
        http_port: Port::Exactly(0),
        max_memory: Some(2 << 30),
        ..Config::default()
    };
    Smache::builder()
        .config(config)
        .serve()
        .start()
        .await
        .unwrap()
}

/// A client that waits as long as a test does.
fn builder(addresses: &[SocketAddr]) -> Builder {
    let builder = Client::builder().timeout(PATIENCE);
    let url = |address: &SocketAddr| format!("http://{address}");
    addresses.iter().map(url).fold(builder, Builder::address)
}

#[tokio::test]
async fn one_node() {
    let node = node().await;
    let address = node.http_address().unwrap();
    converse(&node.client(), "local").await;
    let client = patient("a client", builder(&[address]).connect()).await;
    converse(&client.unwrap(), "network").await;
    node.stop().await.unwrap();
}

#[tokio::test]
async fn trait_objects_have_every_method() {
    let node = node().await;
    let address = node.http_address().unwrap();
    let all: [Arc<dyn Cache>; 2] = [
        Arc::new(node.client()),
        Arc::new(builder(&[address]).lazy().unwrap()),
    ];
    for (number, cache) in all.iter().enumerate() {
        converse(cache, &format!("object-{number}")).await;
    }
    let boxed: Box<dyn Cache> = Box::new(node.client());
    assert_eq!(boxed.get::<String>("nothing").await, Ok(None));
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes() {
    let cluster = Cluster::start(3, &Config::default()).await;
    for asked in 0..cluster.count() {
        let client = builder(&[cluster.address(asked)]).lazy().unwrap();
        // Among so many keys there are some of each node.
        for round in 0..3 {
            converse(&client, &format!("net-{asked}-{round}")).await;
            let local = cluster.node(asked).client();
            converse(&local, &format!("here-{asked}-{round}")).await;
        }
    }
    cluster.stop().await;
}
