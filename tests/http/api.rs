//! What the Smache API answers when all is well.

use std::time::Duration;

use smache::node::status::State;

use crate::client::{Client, request};
use crate::door::{NAME, TestDoor};

#[tokio::test]
async fn what_is_written_comes_back() {
    let door = TestDoor::open().await;
    let written = door.put("something", r#"{ "msg" : "hello" }"#).await;
    assert_eq!(written.body, r#"{"data":{"msg":"hello"}}"#);
    assert_eq!(written.header("content-type"), Some("application/json"));
    let read = door.get("/api?key=something").await;
    let body = format!(r#"{{"key":"something","data":{{"msg":"hello"}},"node":"{NAME}"}}"#);
    assert_eq!((read.status, &read.body), (200, &body));
    assert_eq!(read.header("content-type"), Some("application/json"));
    assert_eq!(read.header("x-cache"), Some("HIT"));
    assert_eq!(read.header("x-ttl-ms"), None);
    assert_eq!(read.header("etag"), written.header("etag"));
    assert!(read.header("etag").unwrap().starts_with('"'));
    door.close().await;
}

#[tokio::test]
async fn a_miss_is_200_with_null() {
    let door = TestDoor::open().await;
    let read = door.get("/api/?key=no%20such+key").await;
    let body = format!(r#"{{"key":"no such key","data":null,"node":"{NAME}"}}"#);
    assert_eq!((read.status, &read.body), (200, &body));
    assert_eq!(read.header("x-cache"), Some("MISS"));
    assert_eq!(read.header("etag"), None);
    door.close().await;
}

#[tokio::test]
async fn every_number_and_string_comes_back_as_it_was_written() {
    let door = TestDoor::open().await;
    let data = r#"{"a":1.0,"b":1e300,"c":123456789012345678901234567890,"d":-0.0,"e":1E+2,"b":0.10,"f":"\u00e9\/é","g":[],"h":{"i":[1,2]}}"#;
    let spaced = data.replace(',', " ,\n ").replace(':', "\t: ");
    let written = door.put("k", &spaced).await;
    assert_eq!(written.body, format!(r#"{{"data":{data}}}"#));
    let read = door.get("/api?key=k").await;
    assert_eq!(
        read.body,
        format!(r#"{{"key":"k","data":{data},"node":"{NAME}"}}"#)
    );
    door.close().await;
}

#[tokio::test]
async fn an_integer_and_its_text_are_one_key_and_nothing_else_is() {
    let door = TestDoor::open().await;
    for (json, text) in [
        ("1", "1"),
        ("-7", "-7"),
        (
            "123456789012345678901234567890",
            "123456789012345678901234567890",
        ),
    ] {
        let body = format!(r#"{{"key":{json},"data":{{"is":{json}}}}}"#);
        assert_eq!(door.send("PUT", "/api", &body).await.status, 200);
        let read = door.get(&format!("/api?key={text}")).await.json();
        assert_eq!(read["key"], text);
        assert!(!read["data"].is_null(), "{text}");
    }
    for other in ["01", "1.0", "1abc", "%201", "%2B1"] {
        let read = door.get(&format!("/api?key={other}")).await;
        assert_eq!(read.header("x-cache"), Some("MISS"), "{other}");
    }
    door.close().await;
}

#[tokio::test]
async fn odd_keys_are_themselves() {
    let door = TestDoor::open().await;
    let keys = [
        ("é", "%C3%A9"),
        ("a\"b\\c\n", "a%22b%5Cc%0A"),
        ("nil", "nil"),
        ("NULL", "NULL"),
        ("a&b=c", "a%26b%3Dc"),
        ("\0a", "%00a"),
        ("aa", "aa"),
        ("24929", "24929"),
    ];
    for (place, (key, _)) in keys.iter().enumerate() {
        let key = serde_json::to_string(key).unwrap();
        let body = format!(r#"{{"key":{key},"data":{{"place":{place}}}}}"#);
        assert_eq!(door.send("POST", "/api", &body).await.status, 200);
    }
    for (place, (key, escaped)) in keys.iter().enumerate() {
        let read = door.get(&format!("/api?key={escaped}")).await.json();
        assert_eq!(read["key"], *key);
        assert_eq!(read["data"]["place"], place);
    }
    door.close().await;
}

#[tokio::test]
async fn time_to_live_is_told_and_kept_to() {
    let door = TestDoor::open().await;
    let cases = [("2", 2_000), ("\"300ms\"", 300), ("\"1h\"", 3_600_000)];
    for (ttl, ms) in cases {
        let body = format!(r#"{{"key":"k","data":{{}},"ttl":{ttl}}}"#);
        let written = door.send("POST", "/api", &body).await;
        assert_eq!(
            written.header("x-ttl-ms"),
            Some(&ms.to_string()[..]),
            "{ttl}"
        );
        door.clock.advance(Duration::from_millis(100));
        let read = door.get("/api?key=k").await;
        assert_eq!(
            read.header("x-ttl-ms"),
            Some(&(ms - 100).to_string()[..]),
            "{ttl}"
        );
    }
    // A patch keeps it, a write without one clears it.
    let patched = door
        .send("PATCH", "/api", r#"{"key":"k","data":{"a":1}}"#)
        .await;
    assert_eq!(patched.header("x-ttl-ms"), Some("3599900"));
    door.clock.advance(Duration::from_millis(3_599_899));
    assert_eq!(door.get("/api?key=k").await.header("x-ttl-ms"), Some("1"));
    door.clock.advance(Duration::from_millis(1));
    assert_eq!(door.get("/api?key=k").await.header("x-cache"), Some("MISS"));
    door.send("POST", "/api", r#"{"key":"k","data":{},"ttl":1}"#)
        .await;
    assert_eq!(door.put("k", "{}").await.header("x-ttl-ms"), None);
    door.close().await;
}

#[tokio::test]
async fn merge_patches() {
    let door = TestDoor::open().await;
    let absent = door
        .send(
            "PATCH",
            "/api",
            r#"{"key":"k","data":{"a":{"b":1.0,"c":2}}}"#,
        )
        .await;
    assert_eq!(absent.body, r#"{"data":{"a":{"b":1.0,"c":2}}}"#);
    let headers = [("content-type", "application/merge-patch+json")];
    let body = r#"{"key":"k","data":{"a":{"c":null},"d":[1e300]}}"#;
    let patched = door.ask("PATCH", "/api", &headers, body).await;
    assert_eq!(patched.body, r#"{"data":{"a":{"b":1.0},"d":[1e300]}}"#);
    let read = door.get("/api?key=k").await;
    assert_eq!(read.header("etag"), patched.header("etag"));
    door.close().await;
}

#[tokio::test]
async fn deletes() {
    let door = TestDoor::open().await;
    door.put("k", "{}").await;
    let first = door.ask("DELETE", "/api?key=k", &[], "").await;
    assert_eq!(
        (first.status, &first.body[..]),
        (200, r#"{"key":"k","deleted":true}"#)
    );
    let second = door.send("DELETE", "/api", r#"{"key":"k"}"#).await;
    assert_eq!(
        (second.status, &second.body[..]),
        (200, r#"{"key":"k","deleted":false}"#)
    );
    assert_eq!(door.get("/api?key=k").await.header("x-cache"), Some("MISS"));
    door.close().await;
}

#[tokio::test]
async fn forms_as_smache_takes_them() {
    let door = TestDoor::open().await;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let body = "key=f&data%5Bcolor%5D=blue&ttl=5";
    let written = door.ask("POST", "/api", &form, body).await;
    assert_eq!(written.body, r#"{"data":{"color":"blue"}}"#);
    assert_eq!(written.header("x-ttl-ms"), Some("5000"));
    let multipart = [("content-type", "multipart/form-data; boundary=B")];
    let body = "--B\r\ncontent-disposition: form-data; name=\"key\"\r\n\r\n17\r\n--B\r\n\
                content-disposition: form-data; name=\"data\"\r\n\r\n{\"n\": 1.0}\r\n--B--\r\n";
    let written = door.ask("PUT", "/api", &multipart, body).await;
    assert_eq!(written.body, r#"{"data":{"n":1.0}}"#);
    assert_eq!(door.get("/api?key=17").await.json()["data"]["n"], 1.0);
    door.close().await;
}

#[tokio::test]
async fn where_a_key_lives() {
    let door = TestDoor::open().await;
    let found = door.get("/api/locate?key=aa").await.json();
    assert_eq!(found["key"], "aa");
    assert_eq!(found["integer"], "24929");
    assert_eq!(found["owner"], NAME);
    assert_eq!(found["backups"], serde_json::json!([]));
    assert!(found["partition"].as_u64().unwrap() < 4096);
    door.publish(false).await;
    assert!(door.get("/api/locate/?key=aa").await.json()["owner"].is_null());
    door.close().await;
}

#[tokio::test]
async fn head_is_get_without_its_body() {
    let door = TestDoor::open().await;
    door.put("k", r#"{"a":1}"#).await;
    let mut client = Client::connect(door.address).await;
    for target in [
        "/api?key=k",
        "/api?key=none",
        "/",
        "/ready",
        "/status",
        "/api/locate?key=k",
    ] {
        let get = client.ask("GET", target, &[], "").await;
        let head = client.ask("HEAD", target, &[], "").await;
        assert_eq!(head.status, get.status, "{target}");
        for name in ["content-type", "etag", "x-cache"] {
            assert_eq!(head.header(name), get.header(name), "{target}");
        }
        if target != "/status" {
            assert_eq!(
                head.header("content-length"),
                get.header("content-length"),
                "{target}"
            );
        }
    }
    door.close().await;
}

#[tokio::test]
async fn every_answer_carries_a_request_id() {
    let door = TestDoor::open().await;
    let mut client = Client::connect(door.address).await;
    let mut seen = std::collections::HashSet::new();
    for target in [
        "/api?key=a",
        "/api?key=",
        "/",
        "/none",
        "/api?key=a&key=b",
        "/api?key=a",
    ] {
        let ours = client.ask("GET", target, &[], "").await;
        assert!(
            seen.insert(ours.header("x-request-id").unwrap().to_owned()),
            "{target}"
        );
        let theirs = client
            .ask("GET", target, &[("x-request-id", "my-id")], "")
            .await;
        assert_eq!(theirs.header("x-request-id"), Some("my-id"), "{target}");
        let long = "x".repeat(129);
        let insane = client
            .ask("GET", target, &[("x-request-id", &long)], "")
            .await;
        assert_ne!(insane.header("x-request-id"), Some(&long[..]), "{target}");
    }
    door.close().await;
}

#[tokio::test]
async fn requests_in_one_piece_are_answered_in_order() {
    let door = TestDoor::open().await;
    let json = [("content-type", "application/json")];
    let mut text = String::new();
    for number in 0..40 {
        let body = format!(r#"{{"key":{number},"data":{{"n":{number}}}}}"#);
        text += &request("POST", "/api", &json, &body);
        text += &request("GET", &format!("/api?key={number}"), &[], "");
    }
    let mut client = Client::connect(door.address).await;
    client.send(text).await;
    for number in 0..40 {
        let data = format!(r#"{{"n":{number}}}"#);
        assert_eq!(
            client.response().await.body,
            format!(r#"{{"data":{data}}}"#)
        );
        assert_eq!(client.response().await.json()["data"]["n"], number);
    }
    door.close().await;
}

#[tokio::test]
async fn before_it_has_joined_only_the_probes_answer() {
    let door = TestDoor::joining(smache::config::Config::default()).await;
    for (method, target) in [
        ("GET", "/api?key=k"),
        ("GET", "/api?key=k&key=l"),
        ("DELETE", "/api?key=k"),
        ("GET", "/api/locate?key=k"),
        ("POST", "/api/batch"),
    ] {
        let response = door.ask(method, target, &[], "").await;
        assert_eq!(response.status, 503, "{method} {target}");
        assert_eq!(response.error(), "not_ready");
        assert_eq!(response.header("retry-after"), Some("1"));
    }
    let ready = door.get("/ready").await;
    assert_eq!(
        (ready.status, &ready.body[..]),
        (503, r#"{"ready":false,"state":"joining"}"#)
    );
    assert_eq!(door.get("/").await.body, "{}");
    door.readiness.advance(State::Ready);
    let ready = door.get("/ready/").await;
    assert_eq!(
        (ready.status, &ready.body[..]),
        (200, r#"{"ready":true,"state":"ready"}"#)
    );
    assert_eq!(door.get("/api?key=k").await.status, 200);
    door.readiness.advance(State::Draining);
    assert_eq!(door.get("/ready").await.status, 503);
    assert_eq!(door.get("/api?key=k").await.status, 200);
    door.close().await;
}

#[tokio::test]
async fn without_an_owner_it_asks_to_come_back() {
    let config = smache::config::Config {
        request_timeout: Duration::from_millis(50),
        ..Default::default()
    };
    let door = TestDoor::with(config).await;
    door.publish(false).await;
    for response in [
        door.get("/api?key=k").await,
        door.ask("DELETE", "/api?key=k", &[], "").await,
    ] {
        assert_eq!(response.status, 503);
        assert_eq!(response.error(), "no_owner");
        assert_eq!(response.header("retry-after"), Some("1"));
    }
    door.close().await;
}

#[tokio::test]
async fn the_figures_count_what_happened() {
    let door = TestDoor::open().await;
    door.put("k", "{}").await;
    door.get("/api?key=k").await;
    door.get("/api?key=none").await;
    door.get("/api?key=").await;
    assert_eq!(door.figure("smache_reads_total{result=\"hit\"}").await, 1.0);
    assert_eq!(
        door.figure("smache_reads_total{result=\"miss\"}").await,
        1.0
    );
    assert_eq!(door.figure("smache_entries").await, 1.0);
    let requests = |method: &str, status: &str| {
        format!(
            "smache_http_requests_total{{route=\"/api\",method=\"{method}\",status=\"{status}\"}}"
        )
    };
    assert_eq!(door.figure(&requests("GET", "2xx")).await, 2.0);
    assert_eq!(door.figure(&requests("GET", "4xx")).await, 1.0);
    assert_eq!(door.figure(&requests("POST", "2xx")).await, 1.0);
    assert_eq!(door.figure("smache_members{state=\"up\"}").await, 1.0);
    let page = door.get("/metrics").await.body;
    for name in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = name.split(' ').next().unwrap();
        assert!(
            page.contains(&format!("# HELP {name} ")),
            "{name} is not explained"
        );
    }
    door.close().await;
}
