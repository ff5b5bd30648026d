//! Nodes of one process with a door for the Redis protocol each.
#![allow(dead_code, reason = "each of the tests uses a part of it")]

use std::time::Duration;

use smache::Smache;
use smache::cluster::transport::memory::Network;
use smache::config::{Config, Port};
use tokio::net::TcpStream;

use crate::client::patient;
use crate::in_process::are_settled;
use crate::wire::Wire;

pub(crate) struct Nodes(Vec<Smache>);

impl Nodes {
    /// Starts so many, and waits until they have shared the keys among themselves.
    pub(crate) async fn start(count: usize, config: &Config) -> Nodes {
        let network = Network::new();
        let mut nodes = Vec::new();
        for index in 0..count {
            let config = Config {
                http_port: Port::Exactly(0),
                resp_port: Some(Port::Exactly(0)),
                node_name: format!("node-{index}@test"),
                max_memory: Some(1 << 30),
                ..config.clone()
            };
            let join = (index > 0).then_some("0");
            let builder = Smache::builder().config(config);
            let builder = builder.in_memory(&network, &index.to_string(), join);
            nodes.push(builder.serve().start().await.unwrap());
        }
        let all: Vec<&Smache> = nodes.iter().collect();
        let copies = config.backups.into();
        patient("the nodes to share all partitions", async {
            while !are_settled(&all, copies) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        Nodes(nodes)
    }

    /// Connects to the first one.
    pub(crate) async fn connect(&self) -> Wire {
        self.connect_to(0).await
    }

    /// Connects to the one of this index.
    pub(crate) async fn connect_to(&self, index: usize) -> Wire {
        let address = self.0[index].node().resp_address().unwrap();
        Wire::new(TcpStream::connect(address).await.unwrap())
    }

    /// A connection to the first one, as it is.
    pub(crate) async fn stream(&self) -> TcpStream {
        let address = self.0[0].node().resp_address().unwrap();
        TcpStream::connect(address).await.unwrap()
    }

    /// A key that begins so and that the node of this index owns.
    pub(crate) fn key(&self, stem: &str, owner: usize) -> String {
        let router = self.0[0].node().router();
        let wanted = format!("node-{owner}@test");
        let is_owned =
            |key: &String| router.locate(key.as_bytes()).owner.as_deref() == Some(&wanted[..]);
        let mut keys = (0..10_000).map(|n| format!("{stem}-{n}"));
        keys.find(is_owned).unwrap()
    }

    pub(crate) async fn stop(self) {
        for node in self.0 {
            patient("a node to stop", node.stop()).await.unwrap();
        }
    }
}
