//! The Redis protocol's door over real connections: what it answers, what it refuses, what it bears.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

#[path = "resp/bad_input.rs"]
mod bad_input;
#[path = "support/resp.rs"]
mod client;
#[path = "resp/cluster.rs"]
mod cluster;
#[path = "resp/documents.rs"]
mod documents;
#[path = "resp/driver.rs"]
mod driver;
#[path = "support/client.rs"]
mod http;
#[path = "support/in_process.rs"]
mod in_process;
#[path = "resp/limits.rs"]
mod limits;
#[path = "resp/pubsub.rs"]
mod pubsub;
#[path = "resp/requests.rs"]
mod requests;
#[path = "resp/scan.rs"]
mod scan;
#[path = "resp/session.rs"]
mod session;
#[path = "resp/table.rs"]
mod table;

use smache::Smache;
use smache::config::{Config, Port};

/// A node alone, with these settings and its doors open.
async fn node(config: Config) -> Smache {
    let config = Config {
        http_port: Port::Exactly(0),
        max_memory: Some(1 << 30),
        ..config
    };
    Smache::builder()
        .config(config)
        .serve()
        .start()
        .await
        .unwrap()
}

/// A client of it.
async fn client_of(node: &Smache) -> client::RespClient {
    client::RespClient::connect(node.resp_address().unwrap()).await
}
