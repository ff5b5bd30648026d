//! Collections over HTTP: what is the same for sets, hashes and lists.

use std::time::Duration;

use serde_json::{Value, json};
use smache::config::Config;

use crate::client::{Client, Response};
use crate::door::{NAME, TestDoor};

pub(crate) const MINIMAL: [(&str, &str); 1] = [("prefer", "respond-async, return=minimal")];

/// What an answer tells besides the key and the node, which must be right.
pub(crate) fn told(response: &Response, noun: &str, name: &str) -> Value {
    assert_eq!(response.status, 200, "{response:?}");
    let mut json = response.json();
    let members = json.as_object_mut().unwrap();
    assert_eq!(members.remove(noun).unwrap(), name);
    assert_eq!(members.remove("key").unwrap(), name);
    assert_eq!(members.remove("node").unwrap(), NAME);
    json
}

/// A service, and the name of its keys in answers.
pub(crate) struct Asked<'a> {
    pub(crate) door: &'a TestDoor,
    pub(crate) service: &'static str,
    pub(crate) noun: &'static str,
}

impl Asked<'_> {
    pub(crate) async fn ask(&self, request: &str) -> Value {
        told(&self.respond(request).await, self.noun, "k")
    }

    pub(crate) async fn respond(&self, request: &str) -> Response {
        let (method, query) = request.split_once(' ').unwrap();
        let target = format!("/{}/k{query}", self.service);
        self.door.ask(method, &target, &[], "").await
    }

    pub(crate) async fn send(&self, request: &str, body: &str) -> Value {
        let (method, query) = request.split_once(' ').unwrap();
        let target = format!("/{}/k{query}", self.service);
        let response = self.door.send(method, &target, body).await;
        told(&response, self.noun, "k")
    }

    /// Requests that must be refused, with their bodies.
    pub(crate) async fn refuses(&self, cases: &[(&str, &str, u16, &str)]) {
        for (request, body, status, code) in cases {
            let (method, query) = request.split_once(' ').unwrap();
            let target = format!("/{}/{query}", self.service);
            let response = self.door.send(method, &target, body).await;
            let case = format!("{request} {body:.60}: {response:?}");
            assert_eq!(response.status, *status, "{case}");
            assert_eq!(response.error(), *code, "{case}");
        }
    }
}

pub(crate) fn lists(door: &TestDoor) -> Asked<'_> {
    let (service, noun) = ("lists", "list");
    Asked {
        door,
        service,
        noun,
    }
}

#[tokio::test]
async fn the_life_of_a_collection_begins_with_its_first_item() {
    let door = TestDoor::open().await;
    for (add, other) in [
        ("PUT /sets/k?item=", "PUT /sets/k?replace&item="),
        (
            "PUT /hashes/k?value=v&field=",
            "PUT /hashes/k?replace&value=v&field=",
        ),
        ("POST /lists/k?item=", "PUT /lists/k?replace&item="),
    ] {
        let ttl = async |request: &str, item: &str, ttl: &str| {
            let (method, target) = request.split_once(' ').unwrap();
            let target = format!("{target}{item}{ttl}");
            let response = door.ask(method, &target, &[], "").await;
            assert_eq!(response.status, 200, "{target}: {response:?}");
            response.header("x-ttl-ms").map(str::to_owned)
        };
        assert_eq!(ttl(add, "a", "&ttl=300ms").await.as_deref(), Some("300"));
        door.clock.advance(Duration::from_millis(100));
        assert_eq!(ttl(add, "b", "").await.as_deref(), Some("200"));
        assert_eq!(ttl(add, "c", "&ttl=1h").await.as_deref(), Some("200"));
        assert_eq!(ttl(other, "d", "&ttl=2s").await.as_deref(), Some("2000"));
        door.clock.advance(Duration::from_secs(2));
        assert_eq!(ttl(add, "e", "").await, None, "the next one lives for ever");
        assert_eq!(ttl(add, "f", "&ttl=1s").await, None);
        assert_eq!(ttl(other, "g", "&ttl=1s").await.as_deref(), Some("1000"));
        assert_eq!(ttl(other, "g", "").await, None);
        let (_, target) = add.split_once(' ').unwrap();
        let path = target.split('?').next().unwrap();
        for (name, value, status) in [
            ("if-none-match", "*", 412),
            ("if-match", "*", 200),
            ("if-none-match", "\"other\"", 400),
        ] {
            let (method, _) = add.split_once(' ').unwrap();
            let target = format!("{target}h&ttl=1m");
            let response = door.ask(method, &target, &[(name, value)], "").await;
            assert_eq!(response.status, status, "{target} {name}: {response:?}");
        }
        let gone = door.ask("DELETE", path, &[], "").await;
        assert_eq!(gone.body, r#"{"key":"k","deleted":true}"#);
        let none = [("if-none-match", "*")];
        let (method, _) = add.split_once(' ').unwrap();
        let target = format!("{target}h&ttl=1m");
        let response = door.ask(method, &target, &none, "").await;
        assert_eq!(response.header("x-ttl-ms"), Some("60000"));
    }
    door.close().await;
}

#[tokio::test]
async fn what_is_sent_again_is_done_once() {
    let door = TestDoor::open().await;
    let lists = lists(&door);
    // With a time to live it is two commands.
    for (round, ttl) in ["", "&ttl=1h"].into_iter().enumerate() {
        let push = format!("/lists/k?item=a{ttl}");
        let names = [format!("push-{round}"), format!("pop-{round}")];
        let pushed = async || {
            let name = [("idempotency-key", &names[0][..])];
            let response = door.ask("POST", &push, &name, "").await;
            assert_eq!(told(&response, "list", "k"), json!({"length": 1}), "{ttl}");
        };
        let popped = async || {
            let name = [("idempotency-key", &names[1][..])];
            let response = door.ask("POST", "/lists/k?pop=left", &name, "").await;
            assert_eq!(
                told(&response, "list", "k"),
                json!({"items": ["a"]}),
                "{ttl}"
            );
        };
        pushed().await;
        pushed().await;
        lists.ask("POST ?item=b").await;
        pushed().await;
        assert_eq!(lists.ask("GET ").await, json!({"items": ["a", "b"]}));
        popped().await;
        popped().await;
        assert_eq!(lists.ask("GET ").await, json!({"items": ["b"]}));
        door.ask("DELETE", "/lists/k", &[], "").await;
    }
    door.close().await;
}

#[tokio::test]
async fn large_collections_are_read_whole() {
    let config = Config {
        door_bytes_max: Some(20 << 20),
        ..Config::default()
    };
    let door = TestDoor::with(config).await;
    let mut client = Client::connect(door.address).await;
    // Each member takes three bytes, and as JSON up to fourteen.
    let items: Vec<String> = (0..90_000).map(|n| format!("\\u0001{}", n % 10)).collect();
    let body = format!("[\"{}\"]", items.join("\",\""));
    let json = [("content-type", "application/json")];
    let pushed = client.ask("POST", "/lists/k", &json, &body).await;
    assert_eq!(told(&pushed, "list", "k"), json!({"length": 90_000}));
    let read = client.ask("GET", "/lists/k", &[], "").await;
    assert_eq!(read.json()["items"].as_array().unwrap().len(), 90_000);
    assert_eq!(
        read.body.len(),
        body.len() + r#"{"list":"k","key":"k","items":,"node":""}"#.len() + NAME.len()
    );
    let api = client.ask("GET", "/api?key=lists:k", &[], "").await;
    assert_eq!(api.json()["data"], read.json()["items"]);
    let many = client
        .ask("GET", "/api?key=lists:k&key=lists:k", &[], "")
        .await;
    assert_eq!(many.json()["results"][1]["data"], read.json()["items"]);
    let bare = client.ask("GET", "/lists:k", &[], "").await;
    assert_eq!(bare.json(), read.json()["items"]);
    let held = door.figure("smache_http_held_bytes").await;
    assert_eq!(held, 0.0, "what was held is given back");
    door.close().await;
}

#[tokio::test]
async fn an_answer_that_the_door_has_no_memory_for_is_refused() {
    let config = Config {
        door_bytes_max: Some(300_000),
        body_bytes_max: 200_000,
        value_bytes_max: 100_000,
        collection_bytes_max: 100_000,
        ..Config::default()
    };
    let door = TestDoor::with(config).await;
    // As JSON every byte is six.
    let member = vec![1; 60_000];
    for target in ["/sets/k", "/kv/k"] {
        let written = door.send_bytes("PUT", target, &member).await;
        assert!(written.status < 300, "{:.200}", written.body);
        let read = door.get(target).await;
        assert_eq!((read.status, &read.error()[..]), (503, "overloaded"));
    }
    for target in ["/api?key=sets:k", "/api?key=kv:k", "/sets:k"] {
        let read = door.get(target).await;
        assert_eq!(
            (read.status, &read.error()[..]),
            (503, "overloaded"),
            "{target}"
        );
    }
    let raw = [("accept", "application/octet-stream")];
    let read = door.ask("GET", "/kv/k", &raw, "").await;
    assert_eq!((read.status, read.bytes.len()), (200, 60_000));
    assert_eq!(door.figure("smache_http_held_bytes").await, 0.0);
    door.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_write_at_a_time_lose_nothing() {
    const CLIENTS: usize = 6;
    const WRITES: usize = 30;
    let door = TestDoor::open().await;
    let address = door.address;
    let clients = (0..CLIENTS).map(|number| {
        tokio::spawn(async move {
            let mut client = Client::connect(address).await;
            for write in 0..WRITES {
                let item = format!("{number}-{write}");
                for request in [
                    format!("PUT /sets/k?item={item}&ttl=1h"),
                    format!("PUT /hashes/k?field={item}&value=v&ttl=1h"),
                    format!("POST /lists/k?item={item}&ttl=1h"),
                    "PUT /hashes/n?field=n&increment=1".to_owned(),
                ] {
                    let (method, target) = request.split_once(' ').unwrap();
                    let response = client.ask(method, target, &MINIMAL, "").await;
                    assert_eq!(response.status, 200, "{request}: {response:?}");
                }
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    for target in ["/sets/k", "/hashes/k", "/lists/k"] {
        let read = door.get(&format!("{target}?length")).await;
        assert_eq!(read.json()["length"], CLIENTS * WRITES, "{target}");
        assert!(read.header("x-ttl-ms").is_some(), "{target}");
    }
    let read = door.get("/hashes/n?field=n").await;
    assert_eq!(read.json()["value"], (CLIENTS * WRITES).to_string());
    door.close().await;
}
