//! When a call does not come to what was asked for.

use std::time::Duration;

use bytes::Bytes;
use smache::config::Config;
use smache::door::grpc::v1;
use tokio::time::Instant;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request};

use crate::calls::{absent, channel, error, failed, good, is, status};
use crate::client::patient;
use crate::door::TestDoor;
use crate::raw::{Raw, framed};

fn add(key: &str) -> v1::CounterIncrementRequest {
    v1::CounterIncrementRequest {
        key: key.to_owned(),
        amount: Some(1),
        ..Default::default()
    }
}

fn put(key: &str, bytes: usize) -> v1::KvPutRequest {
    v1::KvPutRequest {
        key: key.to_owned(),
        value: Some(vec![b'x'; bytes].into()),
        ..Default::default()
    }
}

#[tokio::test]
async fn another_type_is_a_failed_precondition() {
    let door = TestDoor::open().await;
    let channel = channel(door.address);
    let wrong = is(Code::FailedPrecondition, "wrong_type");
    let mut json = v1::json_client::JsonClient::new(channel.clone());
    for namespace in [
        "cache", "counters", "flags", "kv", "sets", "hashes", "lists",
    ] {
        let document = v1::JsonPutRequest {
            key: format!("{namespace}:k"),
            json: "{}".to_owned(),
            ..Default::default()
        };
        good(json.put(document)).await;
    }
    let key = || "k".to_owned();
    let mut cache = v1::cache_client::CacheClient::new(channel.clone());
    let get = v1::CacheGetRequest { key: key() };
    assert_eq!(failed(cache.get(get)).await, wrong);
    let mut counter = v1::counter_client::CounterClient::new(channel.clone());
    assert_eq!(failed(counter.increment(add("k"))).await, wrong);
    let get = v1::CounterGetRequest { key: key() };
    assert_eq!(failed(counter.get(get)).await, wrong);
    let mut flag = v1::flag_client::FlagClient::new(channel.clone());
    let get = v1::FlagGetRequest { key: key() };
    assert_eq!(failed(flag.get(get)).await, wrong);
    let mut kv = v1::kv_client::KvClient::new(channel.clone());
    let get = v1::KvGetRequest { key: key() };
    assert_eq!(failed(kv.get(get)).await, wrong);
    let mut set = v1::set_client::SetClient::new(channel.clone());
    let get = v1::SetGetRequest { key: key() };
    assert_eq!(failed(set.get(get)).await, wrong);
    let mut hash = v1::hash_client::HashClient::new(channel.clone());
    let get = v1::HashGetAllRequest { key: key() };
    assert_eq!(failed(hash.get_all(get)).await, wrong);
    let mut list = v1::list_client::ListClient::new(channel.clone());
    let length = v1::ListLengthRequest { key: key() };
    assert_eq!(failed(list.length(length)).await, wrong);
    // A whole value replaces any.
    let replaced = good(kv.put(put("k", 1))).await;
    assert!(!replaced.created);
    door.close().await;
}

#[tokio::test]
async fn keys_have_a_length() {
    let door = TestDoor::open().await;
    let mut kv = v1::kv_client::KvClient::new(channel(door.address));
    let get = |key: String| v1::KvGetRequest { key };
    let empty = status(kv.get(get(String::new()))).await;
    assert_eq!(
        (empty.code(), error(&empty)),
        (Code::InvalidArgument, "key_required")
    );
    // The namespace counts.
    let longest = "k".repeat(4_096 - "kv:".len());
    let miss = is(Code::NotFound, "not_found");
    assert_eq!(failed(kv.get(get(longest.clone()))).await, miss);
    let long = status(kv.get(get(longest + "k"))).await;
    assert_eq!(
        (long.code(), error(&long)),
        (Code::InvalidArgument, "key_too_long")
    );
    assert!(long.message().contains("4096"), "{}", long.message());
    door.close().await;
}

#[tokio::test]
async fn an_idempotency_key_has_a_write_done_once() {
    let door = TestDoor::open().await;
    let mut counter = v1::counter_client::CounterClient::new(channel(door.address));
    let named = |name: &'static str, key: &str| {
        let mut request = Request::new(add(key));
        let name = MetadataValue::from_static(name);
        request.metadata_mut().insert("idempotency-key", name);
        request
    };
    for _ in 0..3 {
        assert_eq!(good(counter.increment(named("one", "k"))).await.value, 1);
    }
    assert_eq!(good(counter.increment(named("two", "k"))).await.value, 2);
    assert_eq!(
        good(counter.increment(named("one", "other"))).await.value,
        1
    );
    // The same name over HTTP is the same operation.
    let headers = [("idempotency-key", "one")];
    let target = "/counters/k?increment=1";
    let again = door.ask("PUT", target, &headers, "").await;
    assert_eq!(again.json()["value"], 1, "{again:?}");
    let bad = failed(counter.increment(named("two words", "k"))).await;
    assert_eq!(bad, is(Code::InvalidArgument, "invalid_idempotency_key"));
    door.close().await;
}

#[tokio::test]
async fn a_deadline_is_kept() {
    let config = Config {
        request_timeout: Duration::from_secs(3_600),
        ..Config::default()
    };
    let door = TestDoor::with(config).await;
    let mut raw = Raw::connect(door.address).await;
    // Nobody owns the key, so the node goes on looking for an owner.
    door.publish(false).await;
    let started = Instant::now();
    let path = "/smache.v1.Kv/Put";
    let message = framed(&put("k", 1));
    let headers = [("grpc-timeout", "200m")];
    let told = raw.call(path, &headers, &message).await;
    assert_eq!(told.status(), is(Code::DeadlineExceeded, "deadline"));
    assert!(started.elapsed() >= Duration::from_millis(200));
    let headers = [("grpc-timeout", "soon")];
    let told = raw.call(path, &headers, &message).await;
    assert_eq!(told.status(), is(Code::InvalidArgument, "invalid_timeout"));
    door.publish(true).await;
    let headers = [("grpc-timeout", "20S")];
    let told = raw.call(path, &headers, &message).await;
    assert_eq!(told.status(), is(Code::Ok, ""));
    door.close().await;
}

#[tokio::test]
async fn the_nodes_own_deadline_is_kept_as_well() {
    let config = Config {
        request_timeout: Duration::from_millis(200),
        ..Config::default()
    };
    let door = TestDoor::with(config).await;
    let mut kv = v1::kv_client::KvClient::new(channel(door.address));
    door.publish(false).await;
    let told = failed(kv.put(put("k", 1))).await;
    assert_eq!(told, is(Code::Unavailable, "no_owner"));
    door.close().await;
}

#[tokio::test]
async fn a_node_that_has_not_joined_is_unavailable() {
    let door = TestDoor::joining(Config::default()).await;
    let mut kv = v1::kv_client::KvClient::new(channel(door.address));
    let told = failed(kv.put(put("k", 1))).await;
    assert_eq!(told, is(Code::Unavailable, "not_ready"));
    door.readiness.advance(smache::node::status::State::Ready);
    good(kv.put(put("k", 1))).await;
    door.close().await;
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let config = Config {
        value_bytes_max: 1_000,
        collection_bytes_max: 1_000,
        body_bytes_max: 10_000,
        ..Config::default()
    };
    let door = TestDoor::with(config).await;
    let mut kv = v1::kv_client::KvClient::new(channel(door.address));
    good(kv.put(put("k", 1_000))).await;
    let value = status(kv.put(put("k", 1_001))).await;
    assert_eq!(
        (value.code(), error(&value)),
        (Code::InvalidArgument, "value_too_large")
    );
    assert!(value.message().contains("1000"), "{}", value.message());
    for bytes in [10_000, 1_000_000] {
        let message = status(kv.put(put("k", bytes))).await;
        let refused = (message.code(), error(&message));
        assert_eq!(refused, (Code::ResourceExhausted, "body_too_large"));
        assert!(message.message().contains("10000"), "{}", message.message());
    }
    good(kv.get(v1::KvGetRequest {
        key: "k".to_owned(),
    }))
    .await;
    door.close().await;
}

#[tokio::test]
async fn too_much_is_exhausted_resources() {
    let config = Config {
        requests_max: 1,
        request_timeout: Duration::from_secs(3_600),
        ..Config::default()
    };
    let door = TestDoor::with(config).await;
    let mut kv = v1::kv_client::KvClient::new(channel(door.address));
    door.publish(false).await;
    // One waits for an owner, and so is in work.
    let waiting = tokio::spawn({
        let mut kv = kv.clone();
        async move { kv.put(put("first", 1)).await }
    });
    patient("a request in work", async {
        while door.get("/metrics").await.status != 503 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let told = failed(kv.put(put("second", 1))).await;
    assert_eq!(told, is(Code::ResourceExhausted, "overloaded"));
    door.publish(true).await;
    let waited = patient("the first one", waiting).await.unwrap();
    assert!(waited.is_ok(), "{waited:?}");
    door.close().await;
}

#[tokio::test]
async fn a_client_that_gives_up_is_not_waited_for() {
    let config = Config {
        request_timeout: Duration::from_secs(3_600),
        ..Config::default()
    };
    let door = TestDoor::with(config).await;
    let mut kv = v1::kv_client::KvClient::new(channel(door.address));
    door.publish(false).await;
    let in_work = "smache_http_requests_in_work";
    let waiting = tokio::spawn(async move { kv.put(put("k", 1)).await });
    // The page with the figures is one itself.
    patient("a request in work", async {
        while door.figure(in_work).await < 2.0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    waiting.abort();
    patient("the request to end", async {
        while door.figure(in_work).await > 1.0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    door.close().await;
}

#[tokio::test]
async fn a_failed_condition_tells_the_version() {
    let door = TestDoor::open().await;
    let mut kv = v1::kv_client::KvClient::new(channel(door.address));
    let stored = good(kv.put(put("k", 1))).await;
    let refused = v1::KvPutRequest {
        condition: absent(),
        ..put("k", 1)
    };
    let refused = status(kv.put(refused)).await;
    let told = refused.metadata().get("smache-version").unwrap();
    assert_eq!(told.to_str().unwrap(), stored.version);
    door.close().await;
}

#[tokio::test]
async fn an_expired_value_is_a_miss() {
    let door = TestDoor::open().await;
    let mut cache = v1::cache_client::CacheClient::new(channel(door.address));
    let set = v1::CacheSetRequest {
        key: "k".to_owned(),
        value: Bytes::from_static(b"v"),
        ..Default::default()
    };
    good(cache.set(set)).await;
    let get = || v1::CacheGetRequest {
        key: "k".to_owned(),
    };
    door.clock.advance(Duration::from_millis(4_999));
    assert_eq!(good(cache.get(get())).await.ttl_ms, Some(1));
    door.clock.advance(Duration::from_millis(1));
    assert_eq!(
        failed(cache.get(get())).await,
        is(Code::NotFound, "not_found")
    );
    door.close().await;
}
