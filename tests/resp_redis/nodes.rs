//! Nodes of one process with a door for the Redis protocol each.

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
    pub(crate) async fn start(count: usize) -> Nodes {
        let network = Network::new();
        let mut nodes = Vec::new();
        for index in 0..count {
            let config = Config {
                http_port: Port::Exactly(0),
                resp_port: Some(Port::Exactly(0)),
                node_name: format!("node-{index}@test"),
                max_memory: Some(1 << 30),
                ..Config::default()
            };
            let join = (index > 0).then_some("0");
            let builder = Smache::builder().config(config);
            let builder = builder.in_memory(&network, &index.to_string(), join);
            nodes.push(builder.serve().start().await.unwrap());
        }
        let all: Vec<&Smache> = nodes.iter().collect();
        let copies = Config::default().backups.into();
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
        let address = self.0[0].node().resp_address().unwrap();
        Wire::new(TcpStream::connect(address).await.unwrap())
    }

    pub(crate) async fn stop(self) {
        for node in self.0 {
            patient("a node to stop", node.stop()).await.unwrap();
        }
    }
}
