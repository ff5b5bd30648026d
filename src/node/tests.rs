//! What a node refuses to start with.

use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::Smache;
use crate::config::{Port, Secret};

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
