//! A client of others, as programs in Rust use it: the crate `redis`, on one connection that many share.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncCommands, AsyncConnectionConfig, AsyncIter, ErrorKind, RedisResult, ServerErrorKind,
};
use smache::Smache;
use smache::config::Config;

use crate::client::{PATIENCE, patient};
use crate::{cluster, node};

async fn connection(node: &Smache, protocol: &str) -> MultiplexedConnection {
    let address = node.resp_address().unwrap();
    let url = format!("redis://{address}/0?protocol={protocol}");
    let client = redis::Client::open(url).unwrap();
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
    let connection = client.get_multiplexed_async_connection_with_config(&config);
    patient("a connection", connection).await.unwrap()
}

async fn good<T>(what: &str, answer: impl Future<Output = RedisResult<T>>) -> T {
    match patient(what, answer).await {
        Ok(answer) => answer,
        Err(error) => panic!("{what}: {error}"),
    }
}

/// What both nodes answer to a client that speaks `protocol`.
async fn converse(first: &Smache, second: &Smache, protocol: &str) {
    let mut one = connection(first, protocol).await;
    let mut other = connection(second, protocol).await;
    let told: String = good(
        "itself",
        redis::cmd("CLIENT").arg("INFO").query_async(&mut one),
    )
    .await;
    assert!(told.contains("lib-name=redis-rs"), "{told}");
    assert!(told.contains(&format!("resp={}", &protocol[4..])), "{told}");

    let key = |name: &str| format!("{protocol}:{name}");
    let _: () = good("SET", one.set_ex(key("s"), "v", 60)).await;
    let value: Option<String> = good("GET", other.get(key("s"))).await;
    assert_eq!(value.as_deref(), Some("v"));
    let none: Option<String> = good("GET", other.get(key("none"))).await;
    assert_eq!(none, None);
    let left: i64 = good("TTL", other.ttl(key("s"))).await;
    assert!((1..=60).contains(&left), "{left}");
    let binary: Vec<u8> = (0..=255).collect();
    let _: () = good("SET", one.set(&binary, &binary)).await;
    let found: Vec<u8> = good("GET", other.get(&binary)).await;
    assert_eq!(found, binary);

    let fields = [("a", 1), ("b", 2)];
    let _: () = good("HSET", one.hset_multiple(key("h"), &fields)).await;
    let hash: BTreeMap<String, i64> = good("HGETALL", other.hgetall(key("h"))).await;
    assert_eq!(
        hash,
        fields
            .map(|(field, value)| (field.to_owned(), value))
            .into()
    );
    let items: Vec<u32> = (0..1_000).collect();
    let _: () = good("RPUSH", one.rpush(key("l"), &items)).await;
    let list: Vec<u32> = good("LRANGE", other.lrange(key("l"), 0, -1)).await;
    assert_eq!(list, items);
    let _: () = good("SADD", one.sadd(key("m"), &items)).await;
    let set: BTreeSet<u32> = good("SMEMBERS", other.smembers(key("m"))).await;
    assert!(set.into_iter().eq(items));
    let float: f64 = good("INCRBYFLOAT", one.incr(key("f"), 0.5)).await;
    assert!((float - 0.5).abs() < f64::EPSILON);

    let refused: RedisResult<i64> = patient("INCR", other.incr(key("l"), 1)).await;
    let error = refused.unwrap_err();
    assert_eq!(error.code(), Some("WRONGTYPE"), "{error}");
    let refused: RedisResult<()> = redis::cmd("NOSUCH").query_async(&mut other).await;
    let error = refused.unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Server(ServerErrorKind::ResponseError)
    );

    // A pipeline: its replies in order, one write on the way there.
    let mut pipeline = redis::pipe();
    for n in 0..1_000 {
        pipeline.set(key(&format!("p:{n}")), n).ignore();
        pipeline.incr(key("sum"), n);
    }
    let sums: Vec<i64> = good("a pipeline", pipeline.query_async(&mut one)).await;
    assert_eq!(sums.len(), 1_000);
    assert_eq!(sums.last(), Some(&499_500));

    let pattern = key("p:*");
    let scan: AsyncIter<'_, String> = good("SCAN", other.scan_match(&pattern)).await;
    let found: BTreeSet<String> = patient("a scan", scan.map(Result::unwrap).collect()).await;
    let wanted: BTreeSet<String> = (0..1_000).map(|n| key(&format!("p:{n}"))).collect();
    assert_eq!(found, wanted);

    // Many tasks share one connection: each gets its own reply.
    let tasks = (0..50).map(|task| {
        let mut shared = one.clone();
        let key = key(&format!("task:{task}"));
        tokio::spawn(async move {
            for n in 0..20 {
                let _: () = good("SET", shared.set(&key, n)).await;
                let got: i64 = good("GET", shared.get(&key)).await;
                assert_eq!(got, n);
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        patient("a task", task).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_in_rust_is_at_home_on_one_node() {
    let node = node(Config::default()).await;
    converse(&node, &node, "resp2").await;
    converse(&node, &node, "resp3").await;
    patient("the node to stop", node.stop()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_in_rust_is_at_home_on_three_nodes() {
    let nodes = cluster::three().await;
    converse(&nodes[0], &nodes[1], "resp2").await;
    converse(&nodes[1], &nodes[2], "resp3").await;
    cluster::stop(nodes).await;
}
