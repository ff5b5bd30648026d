//! What the door bears: clients that are slow, greedy, gone, too many, or something else.

use std::time::Duration;

use smache::Smache;
use smache::config::Config;

use crate::client::{RespClient, patient, request};
use crate::http::Client;
use crate::{client_of, node};

/// A figure of the node's metrics; 0 if it is not there.
pub(crate) async fn figure(node: &Smache, name: &str) -> u64 {
    let mut client = Client::connect(node.http_address().unwrap()).await;
    let text = client.ask("GET", "/metrics", &[], "").await.body;
    let line = text
        .lines()
        .find(|line| line.starts_with(name) && !line.starts_with('#'));
    let value = line.and_then(|line| line.rsplit(' ').next());
    value.map_or(0, |value| value.parse::<f64>().unwrap() as u64)
}

pub(crate) async fn dropped(node: &Smache, reason: &str) -> u64 {
    let name = format!("smache_resp_connections_dropped_total{{reason=\"{reason}\"}}");
    figure(node, &name).await
}

#[tokio::test]
async fn http_is_shown_the_door() {
    let node = node(Config::default()).await;
    for first in [
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nSET a 1\r\n",
        "PING\r\nHost: localhost\r\nSET a 1\r\n",
    ] {
        let mut client = client_of(&node).await;
        client.send(first).await;
        let said = client.rest().await;
        assert!(!said.contains("OK"), "{said}");
    }
    assert_eq!(dropped(&node, "http").await, 3);
    let mut client = client_of(&node).await;
    assert_eq!(client.line("GET a").await, "$-1\r\n");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_request_that_does_not_go_on_is_cut_off() {
    let config = Config {
        idle_timeout: Duration::from_millis(200),
        ..Config::default()
    };
    let node = node(config).await;
    for begun in [
        "*2\r\n$3\r\nGET\r\n",
        "*2\r\n$3\r\nGET\r\n$10\r\nabc",
        "get a",
        "*",
    ] {
        let mut client = client_of(&node).await;
        client.send(format!("PING\r\n{begun}")).await;
        assert_eq!(client.rest().await, "+PONG\r\n", "{begun}");
    }
    assert_eq!(dropped(&node, "slow").await, 4);
    // Also one of which a little comes again and again.
    let mut client = client_of(&node).await;
    client.send("*2\r\n$3\r\nGET\r\n$4096\r\n").await;
    let dripping = async {
        while client.try_send("x").await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    patient("the end", dripping).await;
    // Who asks for nothing stays.
    let mut idle = client_of(&node).await;
    assert_eq!(idle.line("PING").await, "+PONG\r\n");
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(idle.line("PING").await, "+PONG\r\n");
    assert_eq!(idle.line("CONFIG SET timeout 1").await, "+OK\r\n");
    assert_eq!(idle.rest().await, "");
    assert_eq!(dropped(&node, "idle").await, 1);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn who_does_not_read_is_cut_off_and_freed() {
    let config = Config {
        write_timeout: Duration::from_millis(300),
        ..Config::default()
    };
    let node = node(config).await;
    let mut client = client_of(&node).await;
    let large = vec![b'x'; 1 << 20];
    client.send(request(&[&b"SET"[..], b"a", &large])).await;
    assert_eq!(client.reply().await, "+OK\r\n");
    // Replies of some hundred megabytes, of which none is read.
    let greedy = request(&["GET", "a"]).repeat(300);
    client.send(&greedy).await;
    let cut = async {
        while dropped(&node, "not_reading").await == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    patient("the connection to be cut off", cut).await;
    assert_eq!(figure(&node, "smache_http_held_bytes").await, 0);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn claims_cost_nothing() {
    let node = node(Config::default()).await;
    let mut clients = Vec::new();
    for _ in 0..100 {
        let mut client = client_of(&node).await;
        client.send("*1048576\r\n$16777216\r\nabc").await;
        clients.push(client);
    }
    let mut client = client_of(&node).await;
    assert_eq!(client.line("PING").await, "+PONG\r\n");
    assert_eq!(figure(&node, "smache_http_held_bytes").await, 0);
    drop(clients);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn requests_together_have_the_memory_of_the_doors() {
    let config = Config {
        value_bytes_max: 1 << 20,
        collection_bytes_max: 1 << 20,
        body_bytes_max: 2 << 20,
        door_bytes_max: Some(3 << 20),
        ..Config::default()
    };
    let node = node(config).await;
    let half = |bytes: usize| {
        let mut half = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1000000\r\n".to_vec();
        half.resize(half.len() + bytes, b'x');
        half
    };
    let mut clients: Vec<RespClient> = Vec::new();
    let mut refused = 0;
    for _ in 0..8 {
        let mut client = client_of(&node).await;
        let _ = client.try_send(half(900_000)).await;
        clients.push(client);
    }
    let held = async {
        while figure(&node, "smache_http_held_bytes").await < 1_500_000 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    patient("requests to be held", held).await;
    let settled = async {
        while dropped(&node, "refused").await < 4 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    patient("some to be refused", settled).await;
    assert!(figure(&node, "smache_http_held_bytes").await <= 3 << 20);
    for mut client in clients {
        let rest = vec![b'x'; 100_000];
        let _ = client.try_send(&rest).await;
        let _ = client.try_send("\r\nQUIT\r\n").await;
        let said = client.rest().await;
        match said.as_str() {
            "+OK\r\n+OK\r\n" => {}
            // A reset may have overtaken it.
            "" => refused += 1,
            _ => {
                assert!(said.starts_with("-BUSY the memory"), "{said}");
                refused += 1;
            }
        }
    }
    assert!((4..8).contains(&refused), "{refused}");
    let free = async {
        while figure(&node, "smache_http_held_bytes").await > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    patient("the memory to be free", free).await;
    node.stop().await.unwrap();
}

#[tokio::test]
async fn too_many_connections_are_told() {
    let config = Config {
        connections_max: 2,
        ..Config::default()
    };
    let node = node(config).await;
    let mut one = client_of(&node).await;
    let mut two = client_of(&node).await;
    assert_eq!(one.line("PING").await, "+PONG\r\n");
    assert_eq!(two.line("PING").await, "+PONG\r\n");
    let mut three = client_of(&node).await;
    assert_eq!(three.rest().await, "-ERR max number of clients reached\r\n");
    drop(one);
    let again = async {
        loop {
            let mut client = client_of(&node).await;
            client.try_send("PING\r\nQUIT\r\n").await;
            if client.rest().await.starts_with("+PONG") {
                break;
            }
        }
    };
    patient("a place", again).await;
    node.stop().await.unwrap();
}

#[tokio::test]
async fn stopping_answers_what_was_asked() {
    let node = node(Config::default()).await;
    let mut client = client_of(&node).await;
    assert_eq!(client.line("SET a 1").await, "+OK\r\n");
    let stopping = {
        let node = node.clone();
        tokio::spawn(async move { node.stop().await })
    };
    assert_eq!(client.rest().await, "");
    patient("the node to stop", stopping)
        .await
        .unwrap()
        .unwrap();
}
