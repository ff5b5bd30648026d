//! Following keys.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use bytes::Bytes;
use smache::Smache;
use smache::config::{Config, Port};
use smache::door::grpc::v1;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use v1::ValueType;
use v1::watch_event::Event;

use crate::calls::{channel, error, failed, good, is, status};
use crate::client::patient;
use crate::cluster::Cluster;

fn config() -> Config {
    Config {
        http_port: Port::Exactly(0),
        drain_delay: Duration::ZERO,
        max_memory: Some(1 << 30),
        ..Config::default()
    }
}

async fn alone(config: Config) -> Smache {
    let builder = Smache::builder().config(config);
    builder.serve().start().await.unwrap()
}

fn channel_to(node: &Smache) -> Channel {
    channel(node.http_address().unwrap())
}

async fn stop(node: Smache) {
    patient("the node to stop", node.stop()).await.unwrap();
}

fn names(names: &[&str]) -> Vec<Bytes> {
    let owned = |name: &&str| Bytes::copy_from_slice(name.as_bytes());
    names.iter().map(owned).collect()
}

fn keys(keys: &[&str]) -> v1::WatchRequest {
    v1::WatchRequest {
        keys: names(keys),
        ..v1::WatchRequest::default()
    }
}

fn prefixes(prefixes: &[&str]) -> v1::WatchRequest {
    v1::WatchRequest {
        prefixes: names(prefixes),
        ..v1::WatchRequest::default()
    }
}

async fn watch(channel: &Channel, asked: v1::WatchRequest) -> Streaming<v1::WatchEvent> {
    let mut client = v1::watch_client::WatchClient::new(channel.clone());
    good(client.watch(asked)).await
}

/// What the stream has next, with its version.
async fn next(told: &mut Streaming<v1::WatchEvent>) -> (Event, String) {
    let next = patient("an event", told.message()).await.unwrap().unwrap();
    (next.event.unwrap(), next.version)
}

/// Why the stream ends, whatever it tells before.
async fn end(told: &mut Streaming<v1::WatchEvent>) -> Status {
    patient("the end", async {
        loop {
            match told.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it ended without a status"),
                Err(status) => return status,
            }
        }
    })
    .await
}

/// Writes a document; its version.
async fn put(channel: &Channel, key: &str, json: &str) -> String {
    let mut documents = v1::json_client::JsonClient::new(channel.clone());
    let asked = v1::JsonPutRequest {
        key: key.to_owned(),
        json: json.to_owned(),
        ..v1::JsonPutRequest::default()
    };
    good(documents.put(asked)).await.version
}

async fn run(channel: &Channel, words: &str) {
    let mut commands = v1::commands_client::CommandsClient::new(channel.clone());
    let words = words.split(' ').map(str::to_owned);
    let args = words.map(Bytes::from).collect();
    good(commands.run(v1::CommandRequest { args })).await;
}

fn value(json: &str, kind: ValueType, version: &str) -> Option<v1::WatchValue> {
    Some(v1::WatchValue {
        json: json.to_owned(),
        r#type: kind.into(),
        version: version.to_owned(),
        ttl_ms: None,
    })
}

fn document(json: &str, version: &str) -> Option<v1::WatchValue> {
    value(json, ValueType::Json, version)
}

fn snapshot(key: &str, value: Option<v1::WatchValue>) -> Event {
    let key = Bytes::copy_from_slice(key.as_bytes());
    Event::Snapshot(v1::WatchSnapshot { key, value })
}

fn stored(key: &str, value: Option<v1::WatchValue>) -> Event {
    let key = Bytes::copy_from_slice(key.as_bytes());
    Event::Put(v1::WatchPut { key, value })
}

fn gone(key: &str) -> v1::WatchGone {
    let key = Bytes::copy_from_slice(key.as_bytes());
    v1::WatchGone { key }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_told_as_it_is_and_then_what_becomes_of_it() {
    let node = alone(config()).await;
    let channel = channel_to(&node);
    let first = put(&channel, "k", "{\"n\": 1.0}").await;
    let mut told = watch(&channel, keys(&["k", "none", "k"])).await;
    let snapshot_of = |version: &str| snapshot("k", document("{\"n\":1.0}", version));
    assert_eq!(next(&mut told).await, (snapshot_of(&first), first.clone()));
    assert_eq!(
        next(&mut told).await,
        (snapshot("none", None), String::new())
    );

    let second = put(&channel, "k", "[2]").await;
    put(&channel, "other", "3").await;
    run(&channel, "EXPIRE k 3600").await;
    run(&channel, "DEL k").await;
    run(&channel, "SET none v PX 300").await;
    let expected = (stored("k", document("[2]", &second)), second.clone());
    assert_eq!(next(&mut told).await, expected);
    // Another time to live: another change, the same version of the value.
    let (event, version) = next(&mut told).await;
    let Event::Put(v1::WatchPut {
        value: Some(value), ..
    }) = event
    else {
        panic!("{event:?}");
    };
    assert_eq!((&value.json[..], &value.version), ("[2]", &second));
    assert!(version > second, "{version}");
    assert!(
        (3_000_000..=3_600_000).contains(&value.ttl_ms()),
        "{value:?}"
    );
    let (event, deleted) = next(&mut told).await;
    assert_eq!(event, Event::Delete(gone("k")));
    assert!(deleted > version, "{deleted}");
    let (event, written) = next(&mut told).await;
    let Event::Put(v1::WatchPut {
        key,
        value: Some(value),
    }) = event
    else {
        panic!("{event:?}");
    };
    assert_eq!((&key[..], &value.json[..]), (&b"none"[..], "\"v\""));
    assert_eq!(value.r#type(), ValueType::Bytes);
    let expired = (Event::Expire(gone("none")), written);
    assert_eq!(next(&mut told).await, expired);

    // It ends with the node.
    stop(node).await;
    let end = end(&mut told).await;
    assert_eq!((end.code(), error(&end)), (Code::Unavailable, "stopping"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_is_not_told_what_it_knows() {
    let node = alone(config()).await;
    let channel = channel_to(&node);
    let first = put(&channel, "k", "1").await;
    let again = v1::WatchRequest {
        seen: first,
        ..keys(&["k"])
    };
    let mut told = watch(&channel, again.clone()).await;
    let second = put(&channel, "k", "2").await;
    let expected = (stored("k", document("2", &second)), second.clone());
    assert_eq!(next(&mut told).await, expected);
    let mut told = watch(&channel, again).await;
    let expected = (snapshot("k", document("2", &second)), second.clone());
    assert_eq!(next(&mut told).await, expected);
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_through_any_node_is_told_by_every_node() {
    let cluster = Cluster::start(3, &Config::default()).await;
    let channels: Vec<Channel> = (0..3).map(|node| channel(cluster.address(node))).collect();
    let keys: Vec<String> = (0..3).map(|node| cluster.key("w:\u{e9}", node)).collect();
    let asked = v1::WatchRequest {
        keys: keys.iter().cloned().map(Bytes::from).collect(),
        ..v1::WatchRequest::default()
    };
    let mut watchers = Vec::new();
    for channel in &channels {
        watchers.push(watch(channel, prefixes(&["nothing", "w:"])).await);
        let mut by_keys = watch(channel, asked.clone()).await;
        for _ in &keys {
            assert!(matches!(next(&mut by_keys).await.0, Event::Snapshot(_)));
        }
        watchers.push(by_keys);
    }
    let mut written: BTreeMap<Bytes, Vec<String>> = BTreeMap::new();
    for round in 0..4 {
        for (place, channel) in channels.iter().enumerate() {
            for key in &keys {
                let json = format!("[{round},{place}]");
                put(channel, key, &json).await;
                let values = written.entry(key.clone().into()).or_default();
                values.push(json);
            }
        }
    }
    for watcher in &mut watchers {
        let mut told: BTreeMap<Bytes, Vec<String>> = BTreeMap::new();
        while told.values().map(Vec::len).sum::<usize>() < 4 * 3 * 3 {
            if let (Event::Put(put), _) = next(watcher).await {
                let json = put.value.unwrap().json;
                told.entry(put.key).or_default().push(json);
            }
        }
        assert_eq!(told, written);
    }
    drop(watchers);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_watcher_is_told_that_it_missed_events_and_costs_no_memory() {
    let node = alone(Config {
        watch_events_max: 10,
        ..config()
    })
    .await;
    let channel = channel_to(&node);
    let mut told = watch(&channel, keys(&["k"])).await;
    assert_eq!(next(&mut told).await.0, snapshot("k", None));
    let lost = || node.node().router().live().counters().lost;
    let long = "x".repeat(30_000);
    let mut last = String::new();
    let mut count = 0;
    // Until what the connection and its client's end keep for one that does not read is full.
    while lost() < 100 {
        count += 1;
        last = format!("{{\"n\":{count},\"long\":\"{long}\"}}");
        put(&channel, "k", &last).await;
    }
    let mut missed = 0;
    let mut seen = 0;
    loop {
        seen += 1;
        let (event, _) = next(&mut told).await;
        match event {
            Event::Missed(event) => missed += event.count,
            Event::Snapshot(v1::WatchSnapshot { value, .. })
            | Event::Put(v1::WatchPut { value, .. })
                if value.as_ref().unwrap().json == last =>
            {
                break;
            }
            _ => {}
        }
    }
    assert!(missed > 0);
    assert!(
        seen < count,
        "{seen} of {count} were told to one that did not read"
    );
    // And it goes on.
    put(&channel, "k", "1").await;
    let (event, _) = next(&mut told).await;
    assert!(
        matches!(event, Event::Put(v1::WatchPut { value, .. }) if value.as_ref().unwrap().json == "1")
    );
    drop(told);
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_has_its_share_of_the_memory() {
    let node = alone(Config {
        door_bytes_max: Some(400_000),
        body_bytes_max: 350_000,
        value_bytes_max: 300_000,
        collection_bytes_max: 300_000,
        ..config()
    })
    .await;
    let channel = channel_to(&node);
    let long = format!("\"{}\"", "x".repeat(200_000));
    put(&channel, "k", &long).await;
    let figure = || async {
        let mut client = crate::client::Client::connect(node.http_address().unwrap()).await;
        let page = client.ask("GET", "/metrics", &[], "").await.body;
        let value = page
            .lines()
            .find_map(|line| line.strip_prefix("smache_http_held_bytes "));
        value.unwrap().parse::<f64>().unwrap()
    };
    // A client that does not read: with what it holds there is not enough for another event.
    let mut raw = crate::raw::Raw::connect(node.http_address().unwrap()).await;
    let request = crate::raw::framed(&keys(&["k"]));
    let (response, mut body) = raw.begin("/smache.v1.Watch/Watch", &[]).await;
    body.send_data(request, true).unwrap();
    let held = patient("an answer", response).await.unwrap();
    patient("its event", async {
        while figure().await < 200_000.0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let mut told = watch(&channel, keys(&["k"])).await;
    let early = tokio::time::timeout(Duration::from_millis(300), told.message()).await;
    assert!(early.is_err(), "{early:?}");
    // It is told when there is room again: the first has gone.
    drop((held, body, raw));
    let (event, _) = next(&mut told).await;
    assert!(
        matches!(event, Event::Snapshot(v1::WatchSnapshot { value, .. }) if value.as_ref().unwrap().json == long)
    );
    drop(told);
    patient("the memory to come back", async {
        while figure().await > 0.0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_watched() {
    let node = alone(Config {
        watchers_max: 1,
        subscriptions_max: 2,
        request_keys_max: 3,
        ..config()
    })
    .await;
    let channel = channel_to(&node);
    let mut client = v1::watch_client::WatchClient::new(channel.clone());
    let long = "p".repeat(5_000);
    let seen = v1::WatchRequest {
        seen: "yesterday".to_owned(),
        ..keys(&["k"])
    };
    for (asked, code) in [
        (keys(&[]), "key_required"),
        (keys(&[""]), "key_required"),
        (keys(&[&long]), "key_too_long"),
        (prefixes(&[&long]), "key_too_long"),
        (keys(&["a", "b", "c"]), "too_many_keys"),
        (keys(&["a", "b", "c", "d"]), "too_many_keys"),
        (seen, "invalid_version"),
    ] {
        let refused = failed(client.watch(asked)).await;
        assert_eq!(refused, is(Code::InvalidArgument, code));
    }
    let mut one = watch(&channel, prefixes(&[""])).await;
    let refused = failed(client.watch(keys(&["k"]))).await;
    assert_eq!(refused, is(Code::ResourceExhausted, "too_many_watchers"));
    put(&channel, "any", "1").await;
    assert!(matches!(next(&mut one).await.0, Event::Put(_)));

    // One that has gone makes room.
    drop(one);
    let live = node.node().router().live();
    patient("it is forgotten", async {
        while live.counters().subscribers > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(!live.is_watched());

    // A deadline holds for it as for any call.
    let mut request = Request::new(keys(&["k"]));
    request.set_timeout(Duration::from_millis(300));
    let mut told = good(client.watch(request)).await;
    let end = end(&mut told).await;
    assert_eq!(end.code(), Code::DeadlineExceeded);
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_never_fits_is_missed_and_others_are_told() {
    let node = alone(Config {
        value_bytes_max: 32 << 10,
        body_bytes_max: 64 << 10,
        door_bytes_max: Some(64 << 10),
        ..config()
    })
    .await;
    let channel = channel_to(&node);
    // A list may be longer than the single values that the door takes in.
    let push = format!("RPUSH long {}", "y".repeat(30_000));
    for _ in 0..3 {
        run(&channel, &push).await;
    }
    let mut told = watch(&channel, keys(&["long", "short"])).await;
    let missed = (Event::Missed(v1::WatchMissed { count: 1 }), String::new());
    assert_eq!(next(&mut told).await, missed);
    assert_eq!(next(&mut told).await.0, snapshot("short", None));
    run(&channel, &push).await;
    put(&channel, "short", "1").await;
    assert_eq!(next(&mut told).await, missed);
    assert!(matches!(next(&mut told).await.0, Event::Put(put) if put.key == "short"));
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_in_which_nothing_happens_says_that_it_lives() {
    let node = alone(Config {
        watch_heartbeat: Duration::from_secs(1),
        ..config()
    })
    .await;
    let mut told = watch(&channel_to(&node), prefixes(&["x"])).await;
    for _ in 0..2 {
        let alive = (Event::Alive(v1::WatchAlive {}), String::new());
        assert_eq!(next(&mut told).await, alive);
    }
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_taken_back_ends_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens");
    fs::write(
        &file,
        "read r the-readers-token\nread s another-of-theirs\n",
    )
    .unwrap();
    let node = alone(Config {
        tokens: Some(file.clone()),
        watch_heartbeat: Duration::from_secs(1),
        ..config()
    })
    .await;
    let mut client = v1::watch_client::WatchClient::new(channel_to(&node));
    let told = status(client.watch(keys(&["k"]))).await;
    assert_eq!(told.code(), Code::Unauthenticated);
    let mut request = Request::new(keys(&["k"]));
    let shown = MetadataValue::from_static("Bearer the-readers-token");
    request.metadata_mut().insert("authorization", shown);
    let mut told = good(client.watch(request)).await;
    assert_eq!(next(&mut told).await.0, snapshot("k", None));
    // As an editor does it.
    let new = directory.path().join("new");
    fs::write(&new, "read s another-of-theirs\n").unwrap();
    fs::rename(new, &file).unwrap();
    let end = end(&mut told).await;
    assert_eq!(
        (end.code(), error(&end)),
        (Code::Unauthenticated, "unauthorized")
    );
    stop(node).await;
}
