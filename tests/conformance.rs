//! Every door gives the same answers, wherever a key lives.
//!
//! One table of conversations in the vocabulary of the types goes through every door, and all the
//! others look on (`crossed`, `rows`). What HTTP alone has, its headers and bodies to the letter, is in
//! a table of its own (`table`, `services`). Both are held with one node, and with each of three for
//! keys of each of them: a key is local for one and remote for the others, and nothing but `node` may
//! tell.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

#[path = "support/client.rs"]
mod client;
#[path = "conformance/cluster.rs"]
mod cluster;
#[cfg(feature = "grpc")]
#[path = "conformance/crossed.rs"]
mod crossed;
#[cfg(feature = "grpc")]
#[path = "support/doors.rs"]
mod doors;
#[cfg(feature = "grpc")]
#[path = "support/draw.rs"]
mod draw;
#[path = "support/in_process.rs"]
mod in_process;
#[path = "conformance/large.rs"]
mod large;
#[cfg(feature = "grpc")]
#[path = "support/model.rs"]
mod model;
#[cfg(feature = "grpc")]
#[path = "conformance/random.rs"]
mod random;
#[path = "support/resp.rs"]
mod resp;
#[cfg(feature = "grpc")]
#[path = "conformance/rows.rs"]
mod rows;
#[path = "conformance/services.rs"]
mod services;
#[path = "conformance/table.rs"]
mod table;
#[cfg(feature = "grpc")]
#[path = "support/vocabulary.rs"]
mod vocabulary;

use smache::config::Config;

use crate::client::Client;
use crate::cluster::Cluster;
use crate::table::{Talk, Variables, table};

#[tokio::test]
async fn one_node() {
    converse(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes() {
    converse(3).await;
}

/// Holds every conversation with each node about keys of each node.
async fn converse(nodes: usize) {
    let config = Config {
        value_bytes_max: 1_000,
        collection_bytes_max: 1_000,
        body_bytes_max: 100_000,
        json_depth_max: 8,
        ..Config::default()
    };
    let cluster = Cluster::start(nodes, &config).await;
    for asked in 0..nodes {
        let mut client = Client::connect(cluster.address(asked)).await;
        for owner in 0..nodes {
            for Talk { name, steps } in table() {
                let stem = format!("{name}-{asked}-{owner}");
                let mut variables = Variables::new(&cluster, &stem, owner);
                for (number, step) in steps.iter().enumerate() {
                    let place = format!(
                        "{name}, step {}, asking node {asked} about a key of node {owner}",
                        number + 1
                    );
                    step.take(&mut client, &mut variables, &place).await;
                }
            }
        }
    }
    cluster.stop().await;
}
