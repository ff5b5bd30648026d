//! The largest values, through nodes that own them and nodes that do not.

use smache::config::Config;

use crate::client::{Client, PATIENCE};
use crate::cluster::Cluster;

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_mebibytes_go_through_any_node() {
    let config = Config {
        // Debug builds on busy machines are slow.
        request_timeout: PATIENCE,
        ..Config::default()
    };
    let max = config.value_bytes_max;
    assert_eq!(max, 16 << 20);
    let cluster = Cluster::start(2, &config).await;
    let text = "x".repeat(max - r#"{"t":""}"#.len());
    for asked in 0..2 {
        let mut client = Client::connect(cluster.address(asked)).await;
        for owner in 0..2 {
            let key = cluster.key(&format!("large-{asked}"), owner);
            let place = format!("asking node {asked} about a key of node {owner}");
            let largest = format!(r#"{{"key":"{key}","data":{{"t":"{text}"}}}}"#);
            let written = client.ask("PUT", "/api", &[JSON], &largest).await;
            assert_eq!(written.status, 200, "{place}: {:.200}", written.body);
            let too_large = format!(r#"{{"key":"{key}","data":{{"t":"{text}y"}}}}"#);
            let refused = client.ask("PUT", "/api", &[JSON], &too_large).await;
            assert_eq!(refused.status, 413, "{place}: {:.200}", refused.body);
            assert_eq!(refused.error(), "value_too_large", "{place}");
            // As it was, through the other node.
            let mut other = Client::connect(cluster.address(1 - asked)).await;
            let target = format!("/api?key={key}");
            let read = other.ask("GET", &target, &[], "").await;
            assert_eq!(read.status, 200, "{place}: {:.200}", read.body);
            let node = crate::cluster::name(owner);
            let whole = format!(r#"{{"key":"{key}","data":{{"t":"{text}"}},"node":"{node}"}}"#);
            assert!(read.body == whole, "{place}: {:.200}", read.body);
            assert_eq!(read.header("etag"), written.header("etag"), "{place}");
        }
    }
    cluster.stop().await;
}
