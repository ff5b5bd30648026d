//! What a node refuses to start with, and how it is put together.

use std::net::{IpAddr, Ipv4Addr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::Smache;
use crate::access::{Role, Tokens};
use crate::config::{Port, Secret};
use crate::embed::PutOptions;

/// A node that would meet others over the network, on ports of the system's choice.
fn networked(change: impl FnOnce(&mut Config)) -> Options {
    let mut config = Config {
        http_port: Port::Exactly(0),
        cluster_port: Port::Exactly(0),
        ..Config::default()
    };
    change(&mut config);
    Options {
        config,
        meeting: Meeting::Network,
        ..Options::default()
    }
}

async fn refused(options: Options) -> config::Invalid {
    match Node::start(options).await {
        Err(Error::Config(invalid)) => invalid,
        Err(error) => panic!("refused for another reason: {error}"),
        Ok(_) => panic!("it started"),
    }
}

#[tokio::test]
async fn no_cluster_listens_beyond_loopback_without_a_cookie() {
    let any: IpAddr = Ipv4Addr::UNSPECIFIED.into();
    let invalid = refused(networked(|config| config.cluster_bind = any)).await;
    assert_eq!(invalid.setting, "cluster-bind");
    assert!(invalid.wrong.contains("no cookie"), "{invalid}");
    // With one, somebody must still vouch for the network.
    let untrusted = networked(|config| {
        config.cluster_bind = any;
        config.cookie = Some(Secret("c".repeat(32)));
    });
    assert_eq!(refused(untrusted).await.setting, "cluster-bind");
}

#[tokio::test]
async fn a_builder_refuses_what_the_command_line_refuses() {
    let config = Config {
        cluster_bind: Ipv4Addr::UNSPECIFIED.into(),
        ..Config::default()
    };
    let started = Smache::builder()
        .config(config)
        .clustered(None)
        .start()
        .await;
    assert!(matches!(started, Err(Error::Config(_))), "{started:?}");
    let started = Smache::builder().name("nobody").start().await;
    assert!(matches!(started, Err(Error::Config(_))), "{started:?}");
}

#[tokio::test]
async fn the_door_goes_by_the_nodes_clock() {
    let clock = Clock::manual(UnixMs(1_000_000));
    let config = Config {
        http_port: Port::Exactly(0),
        ..Config::default()
    };
    let builder = Smache::builder().config(config).clock(clock.clone());
    let cache = builder.serve().start().await.unwrap();
    let minute = PutOptions {
        ttl: Some(Duration::from_secs(60)),
        ..PutOptions::default()
    };
    let value = serde_json::json!({});
    cache.put_with("key", &value, minute).await.unwrap();
    clock.advance(Duration::from_secs(20));
    let answer = http_get(&cache, "/api?key=key").await;
    assert!(answer.contains("x-ttl-ms: 40000\r\n"), "{answer}");
    cache.stop().await.unwrap();
}

#[tokio::test]
async fn a_program_can_bring_tokens_of_its_own_or_a_file() {
    let config = Config {
        http_port: Port::Exactly(0),
        ..Config::default()
    };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tokens");
    let builder = || Smache::builder().config(config.clone()).tokens(&file);
    let started = builder().serve().start().await;
    assert!(matches!(started, Err(Error::File(_))), "{started:?}");
    std::fs::write(&file, "read r the-readers-token").unwrap();
    let tokens = Tokens::parse(b"read o another-readers-token").unwrap();
    for (builder, token) in [
        (builder(), "the-readers-token"),
        (
            builder().access(Access::of(tokens)),
            "another-readers-token",
        ),
    ] {
        let cache = builder.serve().start().await.unwrap();
        let answer = http_get(&cache, "/status").await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        let access = &cache.node().doors().access;
        assert_eq!(access.role_of(token.as_bytes()), Some(Role::Read));
        assert_eq!(access.figures().unwrap().tokens, 1);
        cache.stop().await.unwrap();
    }
    let started = Smache::builder()
        .tls("/nowhere/c", "/nowhere/k")
        .start()
        .await;
    assert!(matches!(started, Err(Error::File(_))), "{started:?}");
}

async fn http_get(cache: &Smache, target: &str) -> String {
    let address = cache.http_address().unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// A figure without labels on the sheet.
async fn figure(cache: &Smache, name: &str) -> f64 {
    let sheet = http_get(cache, "/metrics").await;
    let line = sheet
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name}: {sheet}"))
        .parse()
        .unwrap()
}

#[tokio::test]
async fn the_sheet_tells_of_actors_and_peers() {
    let network = Network::new();
    let config = |name: &str| Config {
        node_name: format!("{name}@test"),
        http_port: Port::Exactly(0),
        max_memory: Some(1 << 30),
        ..Config::default()
    };
    let a = Smache::builder()
        .config(config("a"))
        .in_memory(&network, "a", None);
    let a = a.serve().start().await.unwrap();
    assert_eq!(figure(&a, "smache_actor_restarts_total").await, 0.0);
    assert_eq!(figure(&a, "smache_peer_frames_received_total").await, 0.0);
    assert_eq!(
        figure(&a, "smache_memory_limit_bytes").await,
        f64::from(1 << 30)
    );
    let b = Smache::builder()
        .config(config("b"))
        .in_memory(&network, "b", Some("a"));
    let b = b.start().await.unwrap();
    a.node().router().writers()[0].crash_actor();
    let told = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            // Some of these keys are the other node's.
            for key in 0..20 {
                b.get_raw(key.to_string()).await.unwrap();
            }
            let counts = [
                figure(&a, "smache_actor_restarts_total").await,
                figure(&a, "smache_peer_frames_received_total").await,
                figure(&a, "smache_peer_requests_received_total").await,
            ];
            if counts.iter().all(|count| *count > 0.0) {
                return;
            }
        }
    });
    told.await.expect("the figures do not move");
    assert_eq!(figure(&a, "smache_peer_frames_malformed_total").await, 0.0);
    assert!(figure(&a, "smache_peer_backlog_bytes").await >= 0.0);
    b.stop().await.unwrap();
    a.stop().await.unwrap();
}
