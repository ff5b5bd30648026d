//! Keys of other nodes: answered in order, together, and as if they were here.

use std::time::Duration;

use smache::Smache;
use smache::cluster::transport::memory::Network;
use smache::config::{Config, Port};

use crate::client::{RespClient, patient, request};
use crate::in_process::are_settled;
use crate::table::TABLE;

pub(crate) async fn three() -> Vec<Smache> {
    let network = Network::new();
    let mut nodes: Vec<Smache> = Vec::new();
    for (place, name) in ["a", "b", "c"].into_iter().enumerate() {
        let config = Config {
            http_port: Port::Exactly(0),
            max_memory: Some(1 << 30),
            ..Config::default()
        };
        let builder = Smache::builder()
            .config(config)
            .name(format!("{name}@test"));
        let join = (place > 0).then_some("a");
        let builder = builder.in_memory(&network, name, join).serve();
        nodes.push(builder.start().await.unwrap());
    }
    let all: Vec<&Smache> = nodes.iter().collect();
    let settled = async {
        while !are_settled(&all, 1) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    patient("the partitions to be spread", settled).await;
    nodes
}

pub(crate) async fn stop(nodes: Vec<Smache>) {
    let stops = nodes
        .into_iter()
        .map(|node| tokio::spawn(async move { node.stop().await }));
    for stop in stops.collect::<Vec<_>>() {
        patient("a node to stop", stop).await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_answers_alike() {
    let nodes = three().await;
    for (place, node) in nodes.iter().enumerate() {
        let mut client = RespClient::connect(node.resp_address().unwrap()).await;
        TABLE.check(&mut client, &format!("{place}:")).await;
    }
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_sees_its_own_writes_in_order() {
    let nodes = three().await;
    let mut client = RespClient::connect(nodes[0].resp_address().unwrap()).await;
    let mut pipeline = Vec::new();
    let key = |i: usize| format!("key:{}", i % 50);
    for i in 0..1_000 {
        pipeline.extend(request(&["SET".to_owned(), key(i), i.to_string()]));
        pipeline.extend(request(&["INCR".to_owned(), key(i)]));
        pipeline.extend(request(&["GET".to_owned(), key(i)]));
        pipeline.extend(request(&["PING".to_owned()]));
        if i % 10 == 0 {
            pipeline.extend(request(&["MGET".to_owned(), key(i), key(i + 1)]));
        }
    }
    client.send(&pipeline).await;
    for i in 0..1_000_usize {
        let text = (i + 1).to_string();
        let bulk = format!("${}\r\n{text}\r\n", text.len());
        assert_eq!(client.reply().await, "+OK\r\n");
        assert_eq!(client.reply().await, format!(":{text}\r\n"));
        assert_eq!(client.reply().await, bulk);
        assert_eq!(client.reply().await, "+PONG\r\n");
        if i % 10 == 0 {
            let both = client.reply().await;
            assert!(both.starts_with(&format!("*2\r\n{bulk}")), "{both}");
        }
    }
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_of_reads_travels_together() {
    let nodes = three().await;
    let mut client = RespClient::connect(nodes[0].resp_address().unwrap()).await;
    let router = nodes[0].node().router();
    let elsewhere = |key: &String| router.locate(key.as_bytes()).owner.as_deref() == Some("b@test");
    let keys: Vec<String> = (0..)
        .map(|i| format!("k{i}"))
        .filter(elsewhere)
        .take(64)
        .collect();
    let write: Vec<u8> = keys
        .iter()
        .flat_map(|key| request(&["SET", key, "1"]))
        .collect();
    client.send(write).await;
    for _ in &keys {
        assert_eq!(client.reply().await, "+OK\r\n");
    }
    let frames = || nodes[1].node().router().peer_counters().frames_in;
    let before = frames();
    let reads: Vec<u8> = keys.iter().flat_map(|key| request(&["GET", key])).collect();
    client.send(reads).await;
    for _ in &keys {
        assert_eq!(client.reply().await, "$1\r\n1\r\n");
    }
    // Signs of life come in between, but far fewer than there were reads.
    let count = frames() - before;
    assert!(count < 32, "{count} frames for 64 reads");
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_keys_at_once() {
    let nodes = three().await;
    let mut client = RespClient::connect(nodes[1].resp_address().unwrap()).await;
    let keys: Vec<String> = (0..300).map(|i| format!("many:{i}")).collect();
    let mut set = vec!["MSET".to_owned()];
    set.extend(keys.iter().flat_map(|key| [key.clone(), format!("v{key}")]));
    assert_eq!(client.ask(&set).await, "+OK\r\n");
    let with = |name: &str| {
        let mut all = vec![name.to_owned()];
        all.extend(keys.iter().cloned());
        all
    };
    let values: String = keys
        .iter()
        .map(|key| format!("${}\r\nv{key}\r\n", key.len() + 1))
        .collect();
    let mut other = RespClient::connect(nodes[2].resp_address().unwrap()).await;
    assert_eq!(other.ask(&with("MGET")).await, format!("*300\r\n{values}"));
    assert_eq!(other.ask(&with("EXISTS")).await, ":300\r\n");
    assert_eq!(other.line("WAIT 1 1000").await, ":1\r\n");
    assert_eq!(client.ask(&with("DEL")).await, ":300\r\n");
    assert_eq!(other.ask(&with("EXISTS")).await, ":0\r\n");
    stop(nodes).await;
}
