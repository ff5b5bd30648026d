//! Nodes of one process with all doors each, over the in-memory network.

use std::net::SocketAddr;
use std::time::Duration;

use smache::Smache;
use smache::cluster::transport::memory::Network;
use smache::config::{Config, Port};

use crate::client::patient;
use crate::in_process::are_settled;

/// Nodes that share all partitions.
pub(crate) struct Cluster {
    nodes: Vec<Smache>,
}

impl Cluster {
    /// Starts so many nodes, and waits until each owns its part and all copies are made.
    pub(crate) async fn start(count: usize, config: &Config) -> Cluster {
        let network = Network::new();
        let mut nodes = Vec::new();
        for index in 0..count {
            let config = Config {
                http_port: Port::Exactly(0),
                node_name: name(index),
                max_memory: Some(2 << 30),
                ..config.clone()
            };
            let (address, first) = (index.to_string(), "0");
            let join = (index > 0).then_some(first);
            let builder = Smache::builder().config(config);
            let builder = builder.in_memory(&network, &address, join);
            nodes.push(builder.serve().start().await.unwrap());
        }
        let cluster = Cluster { nodes };
        let all: Vec<&Smache> = cluster.nodes.iter().collect();
        patient("the nodes to share all partitions", async {
            while !are_settled(&all, config.backups.into()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        cluster
    }

    pub(crate) fn count(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn address(&self, index: usize) -> SocketAddr {
        self.nodes[index].http_address().unwrap()
    }

    #[allow(dead_code, reason = "not each of the tests uses it")]
    pub(crate) fn node(&self, index: usize) -> &Smache {
        &self.nodes[index]
    }

    #[allow(dead_code, reason = "not each of the tests uses it")]
    pub(crate) fn resp_address(&self, index: usize) -> SocketAddr {
        self.nodes[index].resp_address().unwrap()
    }

    /// A key that begins so and that the node of this index owns.
    pub(crate) fn key(&self, stem: &str, owner: usize) -> String {
        self.find(owner, |n| format!("{stem}-{n}"))
    }

    /// The first of these keys that the node owns.
    pub(crate) fn find(&self, owner: usize, key: impl Fn(u32) -> String) -> String {
        let wanted = name(owner);
        let router = self.nodes[0].node().router();
        let is_owned =
            |key: &String| router.locate(key.as_bytes()).owner.as_deref() == Some(&wanted[..]);
        (0..10_000).map(key).find(is_owned).unwrap()
    }

    pub(crate) async fn stop(self) {
        // All at once: nobody waits to hand over to one that leaves as well.
        let stops = self.nodes.iter().map(|node| {
            let node = node.clone();
            tokio::spawn(async move { node.stop().await })
        });
        for stop in stops.collect::<Vec<_>>() {
            patient("a node to stop", stop).await.unwrap().unwrap();
        }
    }
}

/// The name of the node of this index.
pub(crate) fn name(index: usize) -> String {
    format!("node-{index}@test")
}
