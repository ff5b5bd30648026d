//! The Redis protocol's door replies what Redis replies, byte for byte.
//!
//! A `redis-server` and a node (alone, and of three) are sent the same commands, drawn from a seed:
//! good ones, bad arguments, wrong types. Replies without an order are compared sorted, and those
//! that are drawn at random by whether they could be drawn. The seed is printed; `RESP_REDIS_SEED`
//! sets it.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

#[path = "support/client.rs"]
mod client;
#[path = "resp_redis/commands.rs"]
mod commands;
#[path = "resp_redis/duel.rs"]
mod duel;
#[path = "support/in_process.rs"]
mod in_process;
#[path = "resp_redis/nodes.rs"]
mod nodes;
#[path = "resp_redis/pubsub.rs"]
mod pubsub;
#[path = "resp_redis/redis.rs"]
mod redis;
#[path = "resp_redis/wire.rs"]
mod wire;

use smache::config::Config;

use crate::duel::Duel;
use crate::nodes::Nodes;
use crate::redis::Redis;

/// Commands of each run.
const COMMANDS: usize = 4_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node() {
    compare(1, COMMANDS).await;
}

/// Most keys are another node's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes() {
    compare(3, COMMANDS / 2).await;
}

async fn compare(count: usize, commands: usize) {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let nodes = Nodes::start(count, &Config::default()).await;
    let seed = seed();
    for protocol in [2, 3] {
        eprintln!("RESP_REDIS_SEED={seed}, {count} nodes, RESP{protocol}");
        let (theirs, ours) = (redis.connect().await, nodes.connect().await);
        let mut duel = Duel::begin(theirs, ours, protocol, seed).await;
        duel.scripted().await;
        duel.random(commands).await;
    }
    nodes.stop().await;
}

fn seed() -> u64 {
    match std::env::var("RESP_REDIS_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => rand::random(),
    }
}
