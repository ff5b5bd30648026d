//! `/socket/websocket`: rooms, across nodes and doors.

use serde_json::{Value, json};
use smache::cluster::transport::memory::Network;

use crate::nodes::{alone, ask, cluster, config, put, stop, until};
use crate::phoenix::{Form, Phoenix};

const ROOM: &str = "room:lobby";

fn body(body: Value) -> Value {
    json!({ "body": body })
}

fn ok(response: Value) -> (String, Value) {
    ("ok".to_owned(), response)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_in_a_room_is_heard_by_all_in_it() {
    let network = Network::new();
    let nodes = cluster(&network, 2).await;
    let mut one = Phoenix::connect(&nodes[0], Form::Object).await;
    let mut two = Phoenix::connect(&nodes[1], Form::Array).await;
    let mut other = Phoenix::connect(&nodes[1], Form::Array).await;
    one.join(ROOM).await;
    two.join(ROOM).await;
    other.join("room:other").await;
    for (n, key) in [json!("k"), json!(17), json!("k")].into_iter().enumerate() {
        let data = json!({ "n": n });
        let (status, response) = one
            .ask(ROOM, "bus_pub", body(json!({"key": key, "data": data})))
            .await;
        assert_eq!(status, "ok");
        assert!(response["etag"].is_string());
        let expected = (
            "bus_sub".to_owned(),
            json!({"key": key, "pub": {"data": data}}),
        );
        assert_eq!(one.told().await, expected, "also by who said it");
        let pushed = two.pushed().await.unwrap();
        assert_eq!((pushed.event, pushed.payload), expected);
        assert_eq!((pushed.join, pushed.reference), (json!(ROOM), Value::Null));
    }
    let stored = ask(&nodes[1], "GET", "/api?key=17", "").await;
    assert_eq!(stored.json()["data"], json!({"n": 1}));
    assert!(other.is_quiet().await);
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_the_askers_alone_and_so_is_what_becomes_of_the_key() {
    let network = Network::new();
    let nodes = cluster(&network, 2).await;
    put(&nodes[0], "k", &json!({"n": 1})).await;
    let mut asker = Phoenix::connect(&nodes[0], Form::Array).await;
    let mut other = Phoenix::connect(&nodes[0], Form::Object).await;
    asker.join(ROOM).await;
    other.join(ROOM).await;
    let question = body(json!({"key": "k"}));
    assert_eq!(
        asker.ask(ROOM, "bus_sub", question.clone()).await,
        ok(json!({}))
    );
    let told = |how: &str, data: Value| {
        let payload = json!({"key": "k", how: {"data": data}});
        ("bus_sub".to_owned(), payload)
    };
    assert_eq!(asker.told().await, told("sub", json!({"n": 1})));
    // Through whatever door, on whatever node.
    put(&nodes[1], "k", &json!({"n": 2})).await;
    assert_eq!(asker.told().await, told("pub", json!({"n": 2})));
    ask(&nodes[0], "DELETE", "/api?key=k", "").await;
    assert_eq!(asker.told().await, told("pub", Value::Null));
    ask(&nodes[1], "PUT", "/counters/c?increment=5", "").await;
    asker
        .ask(ROOM, "bus_sub", body(json!({"key": "counters:c"})))
        .await;
    let counter = json!({"key": "counters:c", "sub": {"data": 5}});
    assert_eq!(asker.told().await.1, counter);
    assert!(other.is_quiet().await);
    // A write in the room is told once, whichever way it comes.
    for n in 3..20 {
        let data = body(json!({"key": "k", "data": {"n": n}}));
        other.ask(ROOM, "bus_pub", data).await;
        assert_eq!(asker.told().await, told("pub", json!({"n": n})));
        assert_eq!(other.told().await, told("pub", json!({"n": n})));
    }
    // Asked again, it answers again.
    asker.ask(ROOM, "bus_sub", question.clone()).await;
    assert_eq!(asker.told().await, told("sub", json!({"n": 19})));
    asker.ask(ROOM, "bus_unsub", question).await;
    put(&nodes[1], "k", &json!({"n": 20})).await;
    assert!(asker.is_quiet().await);
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joining_and_leaving() {
    let node = alone(config()).await;
    for form in [Form::Object, Form::Array] {
        let mut client = Phoenix::connect(&node, form).await;
        let (status, response) = client.ask("lobby", "phx_join", json!({})).await;
        assert_eq!(
            (&status[..], &response["reason"]),
            ("error", &json!("unmatched topic"))
        );
        let (status, response) = client.ask(ROOM, "bus_sub", body(json!({"key": 1}))).await;
        assert_eq!(
            (&status[..], &response["reason"]),
            ("error", &json!("unmatched topic"))
        );
        assert_eq!(
            client.ask(ROOM, "phx_leave", json!({})).await,
            ok(json!({}))
        );
        assert_eq!(
            client.ask("phoenix", "heartbeat", json!({})).await,
            ok(json!({}))
        );
        client.join(ROOM).await;
        client.join("room:").await;
        client.ask(ROOM, "bus_sub", body(json!({"key": "k"}))).await;
        client.told().await;
        let live = node.node().router().live().counters();
        assert_eq!((live.subscribers, live.topics), (1, 3));
        // Who joins again begins anew.
        client.join(ROOM).await;
        let closed = client.pushed().await.unwrap();
        assert_eq!((&closed.event[..], &closed.topic[..]), ("phx_close", ROOM));
        assert_eq!(
            client.ask(ROOM, "phx_leave", json!({})).await,
            ok(json!({}))
        );
        let closed = client.pushed().await.unwrap();
        assert_eq!((&closed.event[..], &closed.topic[..]), ("phx_close", ROOM));
        assert_eq!(node.node().router().live().counters().topics, 1);
        drop(client);
        let live = node.node().router().live();
        until("it is forgotten", || live.counters().subscribers == 0).await;
        assert_eq!(live.counters().topics, 0);
    }
    stop(vec![node]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_event_cannot_say() {
    let node = alone(config()).await;
    let mut client = Phoenix::connect(&node, Form::Array).await;
    client.join(ROOM).await;
    for (event, payload, code) in [
        ("hello", json!({}), "unknown_event"),
        ("bus_sub", json!({}), "invalid_body"),
        ("bus_sub", json!([1]), "invalid_json"),
        ("bus_sub", json!({"body": "k"}), "invalid_body"),
        ("bus_sub", body(json!({})), "key_required"),
        ("bus_sub", body(json!({"key": null})), "key_required"),
        ("bus_sub", body(json!({"key": [1]})), "invalid_key"),
        (
            "bus_sub",
            body(json!({"key": "k".repeat(5_000)})),
            "key_too_long",
        ),
        ("bus_pub", body(json!({"key": "k"})), "invalid_data"),
        (
            "bus_pub",
            body(json!({"key": "k", "data": 1})),
            "invalid_data",
        ),
        (
            "bus_pub",
            body(json!({"key": "k", "data": {}, "ttl": 0})),
            "invalid_ttl",
        ),
    ] {
        let (status, response) = client.ask(ROOM, event, payload).await;
        assert_eq!((&status[..], &response["code"]), ("error", &json!(code)));
        assert!(response["reason"].is_string());
    }
    // A time to live works as elsewhere.
    let published = body(json!({"key": "k", "data": {}, "ttl": "1h", "more": 1}));
    assert_eq!(client.ask(ROOM, "bus_pub", published).await.0, "ok");
    let stored = ask(&node, "GET", "/api?key=k", "").await;
    assert!(stored.header("x-ttl-ms").is_some());
    stop(vec![node]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_doors_speak_in_rooms_as_well() {
    let node = alone(config()).await;
    let mut client = Phoenix::connect(&node, Form::Object).await;
    client.join(ROOM).await;
    let publish = |text: &'static str| {
        let live = node.node().router().live();
        live.publish(&"phoenix:room:lobby".into(), &text.into())
            .unwrap()
    };
    assert_eq!(publish("no JSON at all"), 1);
    assert_eq!(publish(r#"{"event":"hello","payload":{"a":1.50}}"#), 1);
    assert_eq!(client.told().await, ("hello".to_owned(), json!({"a": 1.5})));
    stop(vec![node]).await;
}
