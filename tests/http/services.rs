//! Strings, flags and keys as paths over HTTP: what they answer, and what they refuse.

use std::time::Duration;

use smache::config::Config;

use crate::client::Response;
use crate::door::{NAME, TestDoor};

const RAW: [(&str, &str); 1] = [("accept", "application/octet-stream")];

fn text(name: &str, json: &str) -> String {
    format!(r#"{{"key":"{name}","value":{json},"node":"{NAME}"}}"#)
}

pub(crate) async fn put(door: &TestDoor, target: &str) -> Response {
    door.ask("PUT", target, &[], "").await
}

/// Asks with a method, a target and a JSON body.
pub(crate) async fn refused(door: &TestDoor, cases: &[(&str, &str, &str, u16, &str)]) {
    for (method, target, body, status, code) in cases {
        let response = door.send(method, target, body).await;
        let case = format!("{method} {target} {body:.60}: {response:?}");
        assert_eq!(response.status, *status, "{case}");
        assert_eq!(response.error(), *code, "{case}");
    }
}

#[tokio::test]
async fn a_string_is_written_in_the_query_or_in_the_body() {
    let door = TestDoor::open().await;
    let value = text("k", r#""a b""#);
    let json = [("content-type", "application/json; charset=utf-8")];
    let plain = [("content-type", "text/plain")];
    for service in ["cache", "kv"] {
        let target = format!("/{service}/k");
        for (query, headers, body) in [
            ("?value=a+b", &[][..], ""),
            ("", &json[..], r#"{"value":"a b"}"#),
            ("", &[], r#" { "value" : "a\u0020b" } "#),
            ("", &plain, "a b"),
            ("", &json, r#"{"value":{"base64":"YSBi"}}"#),
        ] {
            let target = format!("{target}{query}");
            let written = door.ask("PUT", &target, headers, body).await;
            assert_eq!((written.status, &written.body[..]), (204, ""), "{body}");
            let read = door.get(&format!("/{service}/k")).await;
            let case = format!("{target} {body}");
            assert_eq!((read.status, &read.body), (200, &value), "{case}");
            assert_eq!(read.header("etag"), written.header("etag"), "{case}");
            assert_eq!(read.header("x-cache"), Some("HIT"), "{case}");
            assert_eq!(read.header("vary"), Some("accept"), "{case}");
            let gone = door.ask("DELETE", &format!("/{service}/k"), &[], "").await;
            assert_eq!(gone.body, r#"{"key":"k","deleted":true}"#, "{case}");
        }
        let miss = door.get(&target).await;
        assert_eq!((miss.status, &miss.error()[..]), (404, "not_found"));
        assert_eq!(miss.header("x-cache"), Some("MISS"));
        assert_eq!(miss.header("etag"), None);
    }
    let written = door.send("PUT", "/kv/k", r#"{"content":1.50}"#).await;
    assert_eq!(written.status, 204);
    assert_eq!(door.get("/kv/k").await.body, text("k", r#""1.50""#));
    assert_eq!(door.figure("smache_entries").await, 1.0);
    door.close().await;
}

#[tokio::test]
async fn any_bytes_go_in_and_come_out() {
    let door = TestDoor::open().await;
    let all: Vec<u8> = (0..=255).collect();
    for bytes in [&b""[..], b"\0", b"\xff\xfe", b"{\"value\":1}", &all] {
        let written = door.send_bytes("PUT", "/kv/any", bytes).await;
        assert_eq!(written.status, 204, "{written:?}");
        let read = door.ask("GET", "/kv/any", &RAW, "").await;
        assert_eq!((read.status, &read.bytes[..]), (200, bytes));
        let kind = read.header("content-type");
        assert_eq!(kind, Some("application/octet-stream"));
        assert_eq!(read.header("etag"), written.header("etag"));
        let head = door.ask("HEAD", "/kv/any", &RAW, "").await;
        assert_eq!(head.header("content-type"), kind);
        if !bytes.is_empty() {
            let length = read.header("content-length");
            assert_eq!(head.header("content-length"), length);
        }
        // The same as JSON, and on `/api`.
        let json = door.get("/kv/any").await.json();
        let api = door.get("/api?key=kv:any").await.json();
        assert_eq!(json["value"], api["data"]);
        assert_eq!(api["type"], "bytes");
    }
    let read = door.get("/kv/any").await.json();
    assert!(
        read["value"]["base64"]
            .as_str()
            .unwrap()
            .starts_with("AAECAwQF")
    );
    // A miss is an error in JSON, whatever was asked for.
    let miss = door.ask("GET", "/kv/absent", &RAW, "").await;
    assert_eq!((miss.status, &miss.error()[..]), (404, "not_found"));
    door.close().await;
}

#[tokio::test]
async fn conditions_and_versions_of_strings() {
    let door = TestDoor::open().await;
    let first = put(&door, "/kv/k?value=1").await;
    let etag = first.header("etag").unwrap().to_owned();
    let ask = async |method: &str, name: &str, value: &str| {
        let target = if method == "PUT" {
            "/kv/k?value=2"
        } else {
            "/kv/k"
        };
        door.ask(method, target, &[(name, value)], "").await
    };
    let same = ask("GET", "if-none-match", &etag).await;
    assert_eq!((same.status, &same.body[..]), (304, ""));
    assert_eq!(same.header("content-type"), None);
    assert_eq!(ask("GET", "if-match", "\"other\"").await.status, 412);
    let exists = ask("PUT", "if-none-match", "*").await;
    assert_eq!(
        (exists.status, exists.header("etag")),
        (412, Some(&etag[..]))
    );
    assert_eq!(ask("PUT", "if-match", &etag).await.status, 204);
    assert_eq!(ask("PUT", "if-match", &etag).await.status, 412);
    assert_eq!(ask("DELETE", "if-match", &etag).await.status, 412);
    assert_eq!(ask("DELETE", "if-match", "*").await.status, 200);
    assert_eq!(ask("DELETE", "if-match", "*").await.status, 412);
    assert_eq!(ask("GET", "if-match", "*").await.status, 412);
    assert_eq!(ask("GET", "if-none-match", "*").await.status, 404);
    // What is sent again under its name is written once.
    let name = [("idempotency-key", "one")];
    let once = door.ask("PUT", "/kv/k?value=1", &name, "").await;
    put(&door, "/kv/k?value=2").await;
    let again = door.ask("PUT", "/kv/k?value=1", &name, "").await;
    assert_eq!(again.header("etag"), once.header("etag"));
    assert_eq!(door.get("/kv/k").await.body, text("k", r#""2""#));
    door.close().await;
}

#[tokio::test]
async fn what_is_cached_always_expires() {
    let door = TestDoor::open().await;
    let ttl = |response: &Response| response.header("x-ttl-ms").map(str::to_owned);
    for (query, body, ms) in [
        ("value=a", "", "5000"),
        ("value=a&ttl=0", "", "5000"),
        ("value=a&ttl=2", "", "2000"),
        ("value=a&ttl=300ms", "", "300"),
        ("", r#"{"value":"a"}"#, "5000"),
        ("", r#"{"value":"a","ttl":0}"#, "5000"),
        ("", r#"{"value":"a","ttl":null}"#, "5000"),
        ("", r#"{"value":"a","ttl":"1m"}"#, "60000"),
        ("ttl=1", r#"{"value":"a"}"#, "1000"),
    ] {
        let written = door.send("PUT", &format!("/cache/k?{query}"), body).await;
        let case = format!("{query} {body}: {written:?}");
        assert_eq!(ttl(&written).as_deref(), Some(ms), "{case}");
    }
    put(&door, "/cache/k?value=a").await;
    door.clock.advance(Duration::from_millis(4_999));
    assert_eq!(ttl(&door.get("/cache/k").await).as_deref(), Some("1"));
    door.clock.advance(Duration::from_millis(1));
    assert_eq!(door.get("/cache/k").await.status, 404);
    // The default is that of these calls alone.
    put(&door, "/kv/k?value=a").await;
    put(&door, "/flags/k?value=true&ttl=1h").await;
    assert_eq!(ttl(&door.get("/kv/k").await), None);
    assert_eq!(ttl(&door.get("/flags/k").await).as_deref(), Some("3600000"));
    put(&door, "/flags/k?value=true").await;
    assert_eq!(ttl(&door.get("/flags/k").await), None);
    door.close().await;
}

#[tokio::test]
async fn a_flag_is_set_or_not() {
    let door = TestDoor::open().await;
    let shown = async |expected: &str, cache: &str| {
        let read = door.get("/flags/f").await;
        assert_eq!((read.status, read.body.clone()), (200, text("f", expected)));
        assert_eq!(read.header("x-cache"), Some(cache));
    };
    shown("false", "MISS").await;
    for (query, expected) in [
        ("true", "true"),
        ("0", "false"),
        ("T", "true"),
        ("False", "false"),
        ("1", "true"),
    ] {
        let written = put(&door, &format!("/flags/f?value={query}")).await;
        assert_eq!((written.status, &written.body[..]), (204, ""));
        shown(expected, "HIT").await;
    }
    assert_eq!(
        door.send("PUT", "/flags/f", r#"{"value":false}"#)
            .await
            .status,
        204
    );
    shown("false", "HIT").await;
    let api = door.get("/api?key=flags:f").await.json();
    assert_eq!(
        (&api["data"], &api["type"]),
        (&false.into(), &"flag".into())
    );
    let refused_before = [
        ("PUT", "/flags/f?value=yes", "", 400, "invalid_flag"),
        ("PUT", "/flags/f?value=", "", 400, "invalid_flag"),
        ("PUT", "/flags/f", "", 400, "invalid_flag"),
        (
            "PUT",
            "/flags/f",
            r#"{"value":"true"}"#,
            400,
            "invalid_flag",
        ),
        ("PUT", "/flags/f", r#"{"value":1}"#, 400, "invalid_flag"),
        ("PUT", "/flags/f", r#"{"value":null}"#, 400, "invalid_flag"),
        ("PUT", "/flags/f?value=1&ttl=-1", "", 400, "invalid_ttl"),
        ("GET", "/flags/f?value=1", "", 400, "unknown_parameter"),
    ];
    refused(&door, &refused_before).await;
    shown("false", "HIT").await;
    door.ask("DELETE", "/flags/f", &[], "").await;
    shown("false", "MISS").await;
    door.close().await;
}

#[tokio::test]
async fn what_is_no_value_is_refused_and_nothing_is_written() {
    let config = Config {
        value_bytes_max: 100,
        collection_bytes_max: 100,
        body_bytes_max: 1_000,
        ..Config::default()
    };
    let door = TestDoor::with(config).await;
    let large = format!(r#"{{"value":"{}"}}"#, "x".repeat(101));
    let larger = format!(r#"{{"value":"{}"}}"#, "x".repeat(1_000));
    let long = format!("/kv/{}?value=a", "k".repeat(4_096));
    let missing = "invalid_value";
    refused(
        &door,
        &[
            ("PUT", "/cache/k", "", 400, missing),
            ("PUT", "/cache/k?value=", "", 400, missing),
            ("PUT", "/cache/k", r#"{"value":""}"#, 400, missing),
            (
                "PUT",
                "/cache/k",
                r#"{"content":"a"}"#,
                400,
                "unknown_member",
            ),
            ("PUT", "/cache/k?value=a&ttl=-1", "", 400, "invalid_ttl"),
            ("PUT", "/cache/k?value=a&ttl=soon", "", 400, "invalid_ttl"),
            ("PUT", "/cache/k?value=a&ttl=1.5", "", 400, "invalid_ttl"),
            ("PUT", "/cache/k?value=a&ttl=", "", 400, "invalid_ttl"),
            (
                "PUT",
                "/cache/k",
                r#"{"value":"a","ttl":-1}"#,
                400,
                "invalid_ttl",
            ),
            ("PUT", "/kv/k?value=a&ttl=0", "", 400, "invalid_ttl"),
            ("PUT", "/kv/k", "", 400, missing),
            ("PUT", "/kv/k", "{}", 400, missing),
            ("PUT", "/kv/k", r#"{"value":null}"#, 400, missing),
            ("PUT", "/kv/k", r#"{"value":true}"#, 400, missing),
            ("PUT", "/kv/k", r#"{"value":[1]}"#, 400, missing),
            ("PUT", "/kv/k", r#"{"value":{"a":1}}"#, 400, missing),
            ("PUT", "/kv/k", r#"{"value":{"base64":"?"}}"#, 400, missing),
            (
                "PUT",
                "/kv/k",
                r#"{"value":"a","value":"b"}"#,
                400,
                "invalid_json",
            ),
            ("PUT", "/kv/k", r#"{"value":"\ud800"}"#, 400, "invalid_json"),
            ("PUT", "/kv/k", r#""a""#, 400, "invalid_json"),
            ("PUT", "/kv/k", "{", 400, "invalid_json"),
            (
                "PUT",
                "/kv/k?value=a",
                r#"{"value":"a"}"#,
                400,
                "repeated_parameter",
            ),
            (
                "PUT",
                "/kv/k?value=a&value=b",
                "",
                400,
                "repeated_parameter",
            ),
            ("PUT", "/kv/k?vlaue=a", "", 400, "unknown_parameter"),
            ("PUT", "/kv/k?value=%ff", "", 400, "invalid_utf8"),
            ("PUT", "/kv/k?value=%f", "", 400, "invalid_escape"),
            ("PUT", "/kv/%ff?value=a", "", 400, "invalid_utf8"),
            ("PUT", "/kv/?value=a", "", 405, "key_required"),
            ("PUT", &long, "", 400, "key_too_long"),
            ("PUT", "/kv/k", &large, 413, "value_too_large"),
            ("PUT", "/kv/k", &larger, 413, "body_too_large"),
            ("POST", "/kv/k?value=a", "", 405, "method_not_allowed"),
            ("GET", "/kv/k?value=a", "", 400, "unknown_parameter"),
            ("DELETE", "/kv/k?value=a", "", 400, "unknown_parameter"),
        ],
    )
    .await;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let response = door.ask("PUT", "/kv/k", &form, "value=a").await;
    assert_eq!(response.error(), "unsupported_media_type");
    let coded = [("content-encoding", "gzip")];
    let response = door.ask("PUT", "/kv/k", &coded, "{}").await;
    assert_eq!(response.error(), "unsupported_media_type");
    let html = [("accept", "text/html")];
    let response = door.ask("GET", "/kv/k", &html, "").await;
    assert_eq!(response.error(), "not_acceptable");
    assert_eq!(door.figure("smache_entries").await, 0.0);
    door.close().await;
}

#[tokio::test]
async fn a_value_of_another_type_is_a_conflict_until_it_is_replaced() {
    let door = TestDoor::open().await;
    for (service, other) in [("cache", "{}"), ("kv", "{}"), ("flags", "{}")] {
        door.put(&format!("{service}:k"), other).await;
        let target = format!("/{service}/k");
        let read = door.get(&target).await;
        assert_eq!((read.status, &read.error()[..]), (409, "wrong_type"));
        let written = put(&door, &format!("{target}?value=1")).await;
        assert_eq!(written.status, 204, "{written:?}");
        assert_eq!(door.get(&target).await.status, 200);
    }
    // A counter is a string; a string of digits is a counter; others are not.
    put(&door, "/counters/n?increment=41").await;
    put(&door, "/kv/n?value=41").await;
    assert_eq!(door.get("/api?key=counters:n").await.json()["data"], 41);
    assert_eq!(door.get("/api?key=kv:n").await.json()["data"], "41");
    door.close().await;
}

#[tokio::test]
async fn a_counter_takes_its_increment_in_the_body_too() {
    let door = TestDoor::open().await;
    let added = door
        .send("PUT", "/counters/c", r#"{"increment":5,"ttl":"1m"}"#)
        .await;
    assert_eq!(
        (added.status, added.json()["value"].as_i64()),
        (200, Some(5))
    );
    assert_eq!(added.header("x-ttl-ms"), Some("60000"));
    let added = door.send("PUT", "/counters/c", r#"{"increment":-7}"#).await;
    assert_eq!(added.json()["value"], -2);
    refused(
        &door,
        &[
            (
                "PUT",
                "/counters/c",
                r#"{"increment":1.5}"#,
                400,
                "invalid_increment",
            ),
            (
                "PUT",
                "/counters/c",
                r#"{"increment":"1"}"#,
                400,
                "invalid_increment",
            ),
            ("PUT", "/counters/c", r#"{"incr":1}"#, 400, "unknown_member"),
            ("PUT", "/counters/c", "[1]", 400, "invalid_json"),
            (
                "PUT",
                "/counters/c?increment=1",
                r#"{"increment":1}"#,
                400,
                "repeated_parameter",
            ),
        ],
    )
    .await;
    assert_eq!(door.get("/counters/c").await.json()["value"], -2);
    door.close().await;
}
