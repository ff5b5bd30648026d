//! One port for HTTP/1, HTTP/2 and gRPC.

use std::time::Duration;

use smache::config::Config;
use smache::door::grpc::v1;
use tonic::Code;

use crate::calls::{channel, good, is};
use crate::client::{Client, patient};
use crate::door::TestDoor;
use crate::raw::{Raw, framed};

fn put(key: &str, json: &str) -> v1::JsonPutRequest {
    v1::JsonPutRequest {
        key: key.to_owned(),
        json: json.to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn all_protocols_at_the_same_time() {
    let door = TestDoor::open().await;
    let mut json = v1::json_client::JsonClient::new(channel(door.address));
    let mut one = Client::connect(door.address).await;
    let mut two = Raw::connect(door.address).await;
    for round in 0..10 {
        let document = format!("{{\"round\":{round}}}");
        good(json.put(put("k", &document))).await;
        let answer = one.ask("GET", "/api?key=k", &[], "").await;
        assert_eq!(answer.json()["data"]["round"], round);
        let told = two.get("/api?key=k").await;
        assert_eq!(told.http, 200);
        let told: serde_json::Value = serde_json::from_slice(&told.body).unwrap();
        assert_eq!(told["data"]["round"], round);
        let body = format!("{{\"key\":\"k\",\"data\":{{\"again\":{round}}}}}");
        let headers = [("content-type", "application/json")];
        assert_eq!(one.ask("POST", "/api", &headers, &body).await.status, 200);
        let get = v1::JsonGetRequest {
            key: "k".to_owned(),
        };
        let found = good(json.get(get)).await;
        assert_eq!(found.json, format!("{{\"again\":{round}}}"));
    }
    door.close().await;
}

#[tokio::test]
async fn the_http_api_is_there_over_http_2() {
    let door = TestDoor::open().await;
    let mut raw = Raw::connect(door.address).await;
    let mut ids = std::collections::HashSet::new();
    for (path, status, error) in [
        ("/", 200, None),
        ("/ready", 200, None),
        ("/metrics", 200, None),
        ("/api", 405, Some("key_required")),
        ("/api?key=null", 405, Some("key_required")),
        ("/api/batch", 405, Some("method_not_allowed")),
        ("/no/such/path", 404, Some("not_found")),
        // A call that is not sent as one.
        ("/smache.v1.Kv/Get", 404, Some("not_found")),
    ] {
        let told = raw.get(path).await;
        assert_eq!(told.http, status, "{path}: {told:?}");
        let body: Option<serde_json::Value> = serde_json::from_slice(&told.body).ok();
        if let Some(error) = error {
            assert_eq!(body.unwrap()["error"], error, "{path}");
        }
        let id = told.headers["x-request-id"].clone();
        assert!(ids.insert(id), "each request has an id of its own");
    }
    door.close().await;
}

#[tokio::test]
async fn a_large_answer_comes_whole_over_http_2() {
    let door = TestDoor::open().await;
    let text = "x".repeat(3_000_000);
    door.put("k", &format!("{{\"text\":\"{text}\"}}")).await;
    let mut raw = Raw::connect(door.address).await;
    let told = raw.get("/api?key=k").await;
    let body: serde_json::Value = serde_json::from_slice(&told.body).unwrap();
    assert_eq!(body["data"]["text"], text);
    let channel = channel(door.address);
    let mut json = v1::json_client::JsonClient::new(channel).max_decoding_message_size(1 << 30);
    let get = v1::JsonGetRequest {
        key: "k".to_owned(),
    };
    assert_eq!(
        good(json.get(get)).await.json.len(),
        text.len() + "{\"text\":\"\"}".len()
    );
    drop(json);
    // Nothing of it stays.
    patient("the memory to come back", async {
        while door.figure("smache_http_held_bytes").await > 0.0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    door.close().await;
}

#[tokio::test]
async fn a_preface_may_come_byte_by_byte() {
    let door = TestDoor::open().await;
    let mut client = Client::connect(door.address).await;
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
        client.send([*byte]).await;
    }
    // Empty settings, and a ping, whose answer shows that the connection stands.
    client.send([0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
    client.send(b"\0\0\x08\x06\0\0\0\0\0pingpong").await;
    patient("a pong", client.until(b"\x06\x01\0\0\0\0pingpong")).await;

    // What only begins like one is HTTP/1.
    let mut client = Client::connect(door.address).await;
    client.send("P").await;
    client
        .send("UT /api HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}")
        .await;
    assert_eq!(client.response().await.status, 405);
    door.close().await;
}

#[tokio::test]
async fn clients_that_say_nothing_are_closed() {
    let config = Config {
        header_timeout: Duration::from_millis(100),
        idle_timeout: Duration::from_millis(100),
        ..Config::default()
    };
    let door = TestDoor::with(config).await;
    let mut client = Client::connect(door.address).await;
    client.send("PRI * HT").await;
    let answer = client.closed().await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    // An idle connection is told before it is closed: GOAWAY, for no error.
    let mut client = Client::connect(door.address).await;
    client
        .send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await;
    let goodbye = b"\0\0\x08\x07\0\0\0\0\0\x7f\xff\xff\xff\0\0\0\0";
    patient("a goodbye", client.until(goodbye)).await;
    client.closed().await;
    let mut raw = Raw::connect(door.address).await;
    raw.get("/").await;
    raw.ended().await;
    let idle = "smache_http_connections_dropped_total{reason=\"idle\"}";
    assert!(door.figure(idle).await >= 2.0);
    door.close().await;
}

#[tokio::test]
async fn what_nobody_knows_is_not_implemented() {
    let door = TestDoor::open().await;
    let mut raw = Raw::connect(door.address).await;
    for path in ["/smache.v1.Kv/Nothing", "/smache.v1.Nothing/Get", "/"] {
        let told = raw.call(path, &[], &[0, 0, 0, 0, 0]).await;
        assert_eq!(told.status().0, Code::Unimplemented, "{path}: {told:?}");
    }
    let calls = "smache_grpc_calls_total{method=\"unknown\",status=\"unimplemented\"}";
    assert!(door.figure(calls).await >= 1.0);
    door.close().await;
}

#[tokio::test]
async fn stopping_lets_calls_finish() {
    let mut door = TestDoor::open().await;
    let mut raw = Raw::connect(door.address).await;
    let (response, mut body) = raw.begin("/smache.v1.Json/Put", &[]).await;
    let message = framed(&put("k", "{}"));
    body.send_data(message.slice(..7), false).unwrap();
    // The page with the figures is one itself.
    patient("the call", async {
        while door.figure("smache_http_requests_in_work").await < 2.0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    door.begin_to_close();
    body.send_data(message.slice(7..), true).unwrap();
    let told = crate::raw::told(patient("an answer", response).await.unwrap()).await;
    assert_eq!(told.status(), is(Code::Ok, ""));
    raw.ended().await;
    door.closed().await;
}
