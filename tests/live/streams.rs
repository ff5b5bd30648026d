//! `GET /api/watch`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use smache::Smache;
use smache::cluster::transport::memory::Network;
use smache::config::Config;

use crate::client::{Client, request};
use crate::events::{Events, Told};
use crate::nodes::{
    Tokens, alone, ask, balanced, cluster, config, join, put, small_door, stop, until,
};

fn event(told: &Told) -> (&str, &str, &Value) {
    (&told.event, told.key(), &told.data["data"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_told_as_it_is_and_then_what_becomes_of_it() {
    let node = alone(config()).await;
    let etag = put(&node, "k", &json!({"n": 1})).await;
    let mut events = Events::open(&node, "key=k&key=none").await;
    let first = events.next().await.unwrap();
    assert_eq!(event(&first), ("snapshot", "k", &json!({"n": 1})));
    assert_eq!(first.data["etag"], etag);
    assert_eq!(first.data["type"], "json");
    assert_eq!(first.id, Some(etag));
    let absent = events.next().await.unwrap();
    assert_eq!(event(&absent), ("snapshot", "none", &Value::Null));
    assert_eq!(absent.id, None);

    let etag = put(&node, "k", &json!({"n": 2})).await;
    put(&node, "other", &json!({})).await;
    let body = json!({"key": "k", "data": {"m": "\n"}}).to_string();
    ask(&node, "PATCH", "/api", &body).await;
    ask(&node, "DELETE", "/api?key=k", "").await;
    ask(&node, "PUT", "/counters/c?increment=1", "").await;
    let body = json!({"key": "none", "data": {}, "ttl": "300ms"}).to_string();
    ask(&node, "POST", "/api", &body).await;

    let told = events.next().await.unwrap();
    assert_eq!(event(&told), ("put", "k", &json!({"n": 2})));
    assert_eq!(told.id, Some(etag));
    let told = events.next().await.unwrap();
    assert_eq!(event(&told), ("put", "k", &json!({"n": 2, "m": "\n"})));
    let told = events.next().await.unwrap();
    assert_eq!(event(&told), ("delete", "k", &Value::Null));
    let told = events.next().await.unwrap();
    assert_eq!(event(&told), ("put", "none", &json!({})));
    let ttl = told.data["ttl_ms"].as_u64().unwrap();
    assert!(ttl <= 300, "{ttl}");
    let expired = events.next().await.unwrap();
    assert_eq!(event(&expired), ("expire", "none", &Value::Null));
    assert_eq!(expired.id, told.id, "it was this value that expired");

    let mut counters = Events::open(&node, "prefix=counters:").await;
    ask(&node, "PUT", "/counters/c?increment=1", "").await;
    let told = counters.next().await.unwrap();
    assert_eq!(event(&told), ("put", "counters:c", &json!(2)));
    assert_eq!(told.data["type"], "counter");
    stop(vec![node]).await;
    assert_eq!(events.next().await, None, "the stream ends with the node");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_is_not_told_what_it_knows() {
    let node = alone(config()).await;
    let etag = put(&node, "k", &json!({"n": 1})).await;
    let known = [("last-event-id", &etag[..])];
    let mut events = Events::open_with(&node, "key=k", &known).await;
    put(&node, "k", &json!({"n": 2})).await;
    let told = events.next().await.unwrap();
    assert_eq!(event(&told), ("put", "k", &json!({"n": 2})));
    let mut events = Events::open_with(&node, "key=k", &known).await;
    let told = events.next().await.unwrap();
    assert_eq!(event(&told), ("snapshot", "k", &json!({"n": 2})));
    stop(vec![node]).await;
}

/// Writes to some keys through one node after the other, and holds what each watcher is told
/// against it.
async fn check(nodes: &[Smache], watchers: &mut [Events], round: usize) {
    let keys: Vec<String> = (0..12).map(|n| format!("w:{n}")).collect();
    let mut written: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for n in 0..3 {
        for key in &keys {
            for (place, node) in nodes.iter().enumerate() {
                let data = json!({"round": round, "n": n, "through": place});
                put(node, key, &data).await;
                written.entry(key).or_default().push(data);
            }
        }
    }
    let count: usize = written.values().map(Vec::len).sum();
    for (place, watcher) in watchers.iter_mut().enumerate() {
        let mut told: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        let mut seen = 0;
        while seen < count {
            let next = watcher.next_change().await;
            if next.data["data"]["round"] != round {
                continue;
            }
            seen += 1;
            let of_key = told.entry(next.key().to_owned()).or_default();
            of_key.push(next.data["data"].clone());
        }
        for (key, values) in &written {
            assert_eq!(told.get(*key), Some(values), "{key} by watcher {place}");
        }
    }
}

async fn watch_everywhere(nodes: &[Smache]) -> Vec<Events> {
    let mut watchers = Vec::new();
    let keys: Vec<String> = (0..12).map(|n| format!("key=w:{n}")).collect();
    for node in nodes {
        watchers.push(Events::open(node, "prefix=w:").await);
        watchers.push(Events::open(node, &keys.join("&")).await);
    }
    watchers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_through_any_node_is_told_by_every_node() {
    let network = Network::new();
    let nodes = cluster(&network, 3).await;
    let mut watchers = watch_everywhere(&nodes).await;
    for round in 0..2 {
        check(&nodes, &mut watchers, round).await;
    }
    drop(watchers);
    until("nobody is watched for any more", || {
        let live = nodes.iter().map(|node| node.node().router().live());
        live.clone().all(|live| !live.is_watched())
    })
    .await;
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_go_on_when_a_node_joins_and_another_dies() {
    let network = Network::new();
    let mut nodes = cluster(&network, 2).await;
    let mut watchers = watch_everywhere(&nodes).await;
    check(&nodes, &mut watchers, 0).await;
    let third = join(&network, "c", Some("b")).await;
    nodes.push(third);
    balanced(&nodes.iter().collect::<Vec<_>>()).await;
    check(&nodes, &mut watchers, 1).await;
    // The third is cut off, and held for dead: its keys get other owners.
    for other in ["a", "b"] {
        network.cut("c", other, true);
    }
    let dead = nodes.pop().unwrap();
    balanced(&nodes.iter().collect::<Vec<_>>()).await;
    check(&nodes, &mut watchers, 2).await;
    stop(nodes).await;
    stop(vec![dead]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_told_anew_when_its_owner_dies() {
    let network = Network::new();
    let nodes = cluster(&network, 3).await;
    // A key of the third node, of which the second one has the copy.
    let is_there = |key: &String| {
        let found = nodes[0].node().router().locate(key.as_bytes());
        &*found.owner.unwrap() == "c@test" && &*found.backups[0] == "b@test"
    };
    let key = (0..).map(|n| format!("k{n}")).find(is_there).unwrap();
    put(&nodes[1], &key, &json!({"n": 1})).await;
    let mut events = Events::open(&nodes[0], &format!("key={key}")).await;
    assert_eq!(events.next().await.unwrap().event, "snapshot");
    // What is written while the watcher's node does not hear from the owner.
    network.cut_one_way("c", "a", true);
    put(&nodes[1], &key, &json!({"n": 2})).await;
    network.cut("c", "a", true);
    network.cut("c", "b", true);
    // It hears that something was missed, and what the value is.
    let told = events.next_change().await;
    let (name, _, data) = event(&told);
    assert!(matches!(name, "snapshot" | "put"), "{told:?}");
    assert_eq!(data, &json!({"n": 2}));
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_client_is_told_that_it_missed_events_and_what_is_so() {
    let node = alone(Config {
        watch_events_max: 10,
        write_timeout: Duration::from_secs(20),
        ..config()
    })
    .await;
    let mut events = Events::open(&node, "key=k").await;
    assert_eq!(events.next().await.unwrap().event, "snapshot");
    let lost = || node.node().router().live().counters().lost;
    let long = "x".repeat(30_000);
    let mut last = 0;
    // Until what the system keeps for a client that does not read is full.
    while lost() < 100 {
        last += 1;
        node.put("k", &json!({"n": last, "long": long}))
            .await
            .unwrap();
    }
    let mut missed = false;
    loop {
        let told = events.next().await.unwrap();
        missed |= told.event == "missed" && told.data["missed"].as_u64().unwrap() > 0;
        if told.data["data"]["n"] == last {
            break;
        }
    }
    assert!(missed);
    stop(vec![node]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_values_are_told_whole_wherever_they_live() {
    let network = Network::new();
    let nodes = cluster(&network, 2).await;
    let keys: Vec<String> = (0..4).map(|n| format!("long:{n}")).collect();
    let mut events = Events::open(&nodes[0], "prefix=long:").await;
    let long = json!({"text": "y".repeat(200_000)});
    for key in &keys {
        put(&nodes[1], key, &long).await;
    }
    for _ in &keys {
        let told = events.next_change().await;
        assert_eq!(told.data["data"], long);
    }
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_never_fits_is_missed_and_others_are_told() {
    let node = alone(small_door()).await;
    // A list may be longer than the single values that the door takes in.
    let push = json!({"command": format!("RPUSH long {}", "y".repeat(30_000))}).to_string();
    let missed = |told: &Told| (told.event == "missed").then(|| told.data["missed"].clone());
    for _ in 0..3 {
        assert_eq!(ask(&node, "POST", "/command", &push).await.status, 200);
    }
    let mut events = Events::open(&node, "key=long&key=short").await;
    let told = events.next().await.unwrap();
    assert_eq!(missed(&told), Some(json!(1)), "{told:?}");
    let told = events.next().await.unwrap();
    assert_eq!(event(&told), ("snapshot", "short", &Value::Null));
    ask(&node, "POST", "/command", &push).await;
    put(&node, "short", &json!({})).await;
    let told = events.next().await.unwrap();
    assert_eq!(missed(&told), Some(json!(1)), "{told:?}");
    let told = events.next().await.unwrap();
    assert_eq!(event(&told), ("put", "short", &json!({})));
    ask(&node, "DELETE", "/api?key=long", "").await;
    let told = events.next().await.unwrap();
    assert_eq!(event(&told), ("delete", "long", &Value::Null));
    stop(vec![node]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_evicted_key_is_told() {
    let config = Config {
        max_memory: Some(32_000_000),
        ..config()
    };
    let node = Smache::builder().config(config).serve().start().await;
    let node = node.unwrap();
    let mut events = Events::open(&node, "prefix=first:").await;
    node.put("first:1", &json!({})).await.unwrap();
    assert_eq!(events.next().await.unwrap().event, "put");
    let long = "z".repeat(100_000);
    let filling = {
        let node = node.clone();
        tokio::spawn(async move {
            for n in 0.. {
                let value = json!({ "long": long });
                node.put(format!("fill:{n}"), &value).await.unwrap();
                // So that it can be stopped: what is applied at once does not wait.
                tokio::task::yield_now().await;
            }
        })
    };
    let told = events.next().await.unwrap();
    assert_eq!(event(&told), ("evict", "first:1", &Value::Null));
    filling.abort();
    stop(vec![node]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_in_which_nothing_happens_says_that_it_lives() {
    let node = alone(Config {
        watch_heartbeat: Duration::from_secs(1),
        ..config()
    })
    .await;
    let mut events = Events::open(&node, "prefix=").await;
    while events.comments < 3 {
        assert!(events.more().await);
    }
    stop(vec![node]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_taken_back_ends_the_stream() {
    let tokens = Tokens::new();
    let node = alone(Config {
        tokens: Some(tokens.file()),
        watch_heartbeat: Duration::from_secs(1),
        ..config()
    })
    .await;
    let bearer = [("authorization", "Bearer the-readers-token")];
    let mut events = Events::open_with(&node, "key=k", &bearer).await;
    assert_eq!(events.next().await.unwrap().event, "snapshot");
    tokens.take_back();
    assert_eq!(events.next().await, None);
    stop(vec![node]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_has_gone_is_forgotten() {
    let node = alone(config()).await;
    let events = Events::open(&node, "key=k").await;
    let live = node.node().router().live();
    assert_eq!(live.counters().subscribers, 1);
    drop(events);
    until("it is forgotten", || live.counters().subscribers == 0).await;
    assert!(!live.is_watched());
    assert_eq!(live.counters().bytes, 0);
    stop(vec![node]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_watched() {
    let node = alone(Config {
        watchers_max: 1,
        subscriptions_max: 2,
        ..config()
    })
    .await;
    let long = format!("/api/watch?prefix={}", "p".repeat(5_000));
    for (target, status, code) in [
        ("/api/watch", 405, "key_required"),
        ("/api/watch?key=", 405, "key_required"),
        ("/api/watch?key=%ff", 400, "invalid_utf8"),
        ("/api/watch?key=a&key=b&prefix=c", 400, "too_many_keys"),
        (&long, 400, "key_too_long"),
    ] {
        let response = ask(&node, "GET", target, "").await;
        assert_eq!((response.status, &response.error()[..]), (status, code));
    }
    let _one = Events::open(&node, "key=k").await;
    let response = ask(&node, "GET", "/api/watch?key=k", "").await;
    assert_eq!(response.status, 503);
    assert_eq!(response.error(), "too_many_watchers");
    assert_eq!(response.header("retry-after"), Some("1"));
    let mut client = Client::connect(node.http_address().unwrap()).await;
    let json = [("accept", "application/json")];
    client
        .send(request("GET", "/api/watch?key=k", &json, ""))
        .await;
    assert_eq!(client.response().await.error(), "not_acceptable");
    stop(vec![node]).await;
}
