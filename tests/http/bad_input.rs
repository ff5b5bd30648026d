//! Bad input: each case with its status and its reason.

use crate::client::{Client, Response};
use crate::door::TestDoor;

/// A case: what is sent, and the status, code and part of the message that it is answered with.
struct Case {
    method: &'static str,
    target: String,
    headers: Vec<(&'static str, &'static str)>,
    body: String,
    wanted: (u16, &'static str, &'static str),
}

fn json(body: impl Into<String>, wanted: (u16, &'static str, &'static str)) -> Case {
    Case {
        method: "POST",
        target: "/api".to_owned(),
        headers: vec![("content-type", "application/json")],
        body: body.into(),
        wanted,
    }
}

fn get(target: impl Into<String>, wanted: (u16, &'static str, &'static str)) -> Case {
    Case {
        method: "GET",
        target: target.into(),
        headers: Vec::new(),
        body: String::new(),
        wanted,
    }
}

fn check(case: &str, response: &Response, (status, code, message): (u16, &str, &str)) {
    assert_eq!(response.status, status, "{case}: {response:?}");
    assert_eq!(response.error(), code, "{case}: {response:?}");
    let json = response.json();
    let said = json["message"].as_str().unwrap();
    assert!(said.contains(message), "{case}: {said}");
    assert_eq!(response.header("content-type"), Some("application/json"));
}

async fn run(cases: Vec<Case>) {
    let door = TestDoor::open().await;
    for case in cases {
        let text = format!("{} {:.60} {:.90}", case.method, case.target, case.body);
        let response = door
            .ask(case.method, &case.target, &case.headers, &case.body)
            .await;
        check(&text, &response, case.wanted);
    }
    assert_eq!(
        door.figure("smache_entries").await,
        0.0,
        "something was stored"
    );
    door.close().await;
}

#[tokio::test]
async fn bodies_that_are_not_the_json_they_should_be() {
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let bomb = "{\"key\":\"k\",\"data\":".to_owned() + &"[".repeat(1_000_000);
    run(vec![
        json(
            "{\"key\":\"k\",\"data\":{}",
            (400, "invalid_json", "byte 20"),
        ),
        json(
            "{\"key\":\"k\",\"data\":{},}",
            (400, "invalid_json", "member name"),
        ),
        json("{key:1}", (400, "invalid_json", "byte 1")),
        json("[]", (400, "invalid_json", "JSON object")),
        json("", (400, "invalid_json", "end at byte 0")),
        json(
            "{\"key\":\"k\",\"data\":{\"n\":01}}",
            (400, "invalid_json", "leading zero"),
        ),
        json(
            "{\"key\":\"k\",\"data\":{\"s\":\"\\ud800\"}}",
            (400, "invalid_json", "lone surrogate"),
        ),
        json(
            "{\"key\":\"\\udc00\",\"data\":{}}",
            (400, "invalid_json", "lone surrogate"),
        ),
        json(
            format!("{{\"key\":\"k\",\"data\":{{\"d\":{deep}}}}}"),
            (400, "too_deep", "deeper than 128"),
        ),
        json(bomb, (400, "too_deep", "deeper than 128")),
        json(
            "{\"key\":\"k\",\"data\":{},\"tll\":5}",
            (400, "unknown_member", "allowed are key, data, ttl"),
        ),
        json(
            "{\"key\":\"k\",\"key\":\"l\",\"data\":{}}",
            (400, "invalid_json", "second time"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn invalid_utf8_in_a_body() {
    let door = TestDoor::open().await;
    let mut client = Client::connect(door.address).await;
    let body = b"{\"key\":\"k\",\"data\":{\"s\":\"\xff\"}}";
    let head = format!(
        "POST /api HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    client.send([head.as_bytes(), body].concat()).await;
    let response = client.response().await;
    check(
        "raw byte",
        &response,
        (400, "invalid_json", "invalid UTF-8 at byte 24"),
    );
    door.close().await;
}

#[tokio::test]
async fn keys_that_are_none() {
    let required = (405, "key_required", "key cannot be nil/null/empty");
    let long = "x".repeat(4_097);
    let too_long = (400, "key_too_long", "the limit is 4096");
    let body = |key: &str| format!("{{\"key\":{key},\"data\":{{}}}}");
    run(vec![
        get("/api", required),
        get("/api?key=", required),
        get("/api?key", required),
        get("/api?key=null", required),
        get("/api?other=1", required),
        get("/api/locate?key=null", required),
        get(format!("/api?key={long}"), too_long),
        get(format!("/api/locate?key={long}"), too_long),
        get("/api?key=%ff", (400, "invalid_utf8", "not UTF-8 at byte 0")),
        get(
            "/api?key=a%ed%a0%80",
            (400, "invalid_utf8", "not UTF-8 at byte 1"),
        ),
        get("/api?key=%zz", (400, "invalid_escape", "hex digits")),
        get("/api/locate?key=1&key=2", (400, "too_many_keys", "one key")),
        json("{\"data\":{}}", required),
        json(body("null"), required),
        json(body("\"\""), required),
        json(body("\"null\""), required),
        json(body("1.5"), (400, "invalid_key", "fraction")),
        json(body("1e3"), (400, "invalid_key", "exponent")),
        json(body("true"), (400, "invalid_key", "boolean")),
        json(body("[1]"), (400, "invalid_key", "array")),
        json(body("{}"), (400, "invalid_key", "object")),
        json(body(&format!("\"{long}\"")), too_long),
        Case {
            method: "DELETE",
            ..get("/api", required)
        },
        Case {
            method: "DELETE",
            ..get("/api?key=1&key=2", (400, "too_many_keys", "one key"))
        },
        Case {
            method: "DELETE",
            ..json("{\"key\":null}", required)
        },
        Case {
            method: "PATCH",
            ..json("{\"key\":\"\",\"data\":{}}", required)
        },
    ])
    .await;
}

#[tokio::test]
async fn data_and_time_to_live_that_are_none() {
    let data = |data: &str| format!("{{\"key\":\"k\",\"data\":{data}}}");
    let ttl = |ttl: &str| format!("{{\"key\":\"k\",\"data\":{{}},\"ttl\":{ttl}}}");
    let invalid_data = (400, "invalid_data", "must be a JSON object");
    let positive = (400, "invalid_ttl", "greater than zero");
    let too_long = (400, "invalid_ttl", "100 years");
    run(vec![
        json("{\"key\":\"k\"}", invalid_data),
        json(data("null"), invalid_data),
        json(data("[]"), invalid_data),
        json(data("\"{}\""), invalid_data),
        json(data("1"), invalid_data),
        Case {
            method: "PATCH",
            ..json(data("[]"), invalid_data)
        },
        Case {
            method: "PATCH",
            ..json(ttl("5"), (400, "unknown_member", "allowed are key, data"))
        },
        json(ttl("0"), positive),
        json(ttl("-5"), positive),
        json(ttl("\"-5s\""), positive),
        json(ttl("\"0ms\""), positive),
        json(ttl("1.5"), (400, "invalid_ttl", "whole")),
        json(ttl("99999999999999999999999"), too_long),
        json(ttl("3153600001"), too_long),
        json(ttl("\"99999999999999999999years\""), too_long),
        json(
            ttl("\"soon\""),
            (400, "invalid_ttl", "integer of seconds or a duration"),
        ),
        json(ttl("true"), (400, "invalid_ttl", "neither")),
    ])
    .await;
}

#[tokio::test]
async fn headers_that_do_not_fit() {
    let body = "{\"key\":\"k\",\"data\":{}}";
    let with = |headers: &[(&'static str, &'static str)], wanted| Case {
        headers: headers.to_vec(),
        ..json(body, wanted)
    };
    let unsupported = (415, "unsupported_media_type", "not understood");
    let cross_site = (403, "cross_site", "another site");
    const JSON: (&str, &str) = ("content-type", "application/json");
    run(vec![
        with(&[("content-type", "text/plain")], unsupported),
        with(&[("content-type", "application/x-ndjson")], unsupported),
        with(&[JSON, ("content-encoding", "gzip")], unsupported),
        with(
            &[JSON, ("accept", "text/html")],
            (406, "not_acceptable", "application/json"),
        ),
        with(&[JSON, ("origin", "http://evil.example")], cross_site),
        with(&[JSON, ("origin", "null")], cross_site),
        with(&[JSON, ("sec-fetch-site", "cross-site")], cross_site),
        with(&[JSON, ("sec-fetch-site", "same-site")], cross_site),
        with(
            &[JSON, ("if-match", "abc")],
            (400, "invalid_condition", "double quotes"),
        ),
        with(
            &[JSON, ("if-match", "*"), ("if-none-match", "*")],
            (400, "invalid_condition", "not both"),
        ),
        Case {
            target: "/api/batch".to_owned(),
            ..with(&[JSON, ("origin", "http://evil.example")], cross_site)
        },
        Case {
            target: "/api/batch".to_owned(),
            ..with(&[("content-type", "text/plain")], unsupported)
        },
        Case {
            headers: vec![("accept", "text/html")],
            ..get("/api?key=k", (406, "not_acceptable", "application/json"))
        },
    ])
    .await;
}

#[tokio::test]
async fn writes_of_the_same_site_are_taken() {
    let door = TestDoor::open().await;
    for headers in [
        vec![("origin", "http://localhost")],
        vec![
            ("origin", "http://other.example"),
            ("sec-fetch-site", "same-origin"),
        ],
        vec![("sec-fetch-site", "none")],
    ] {
        let response = door.ask("DELETE", "/api?key=k", &headers, "").await;
        assert_eq!(response.status, 200, "{headers:?}");
    }
    door.close().await;
}

#[tokio::test]
async fn routes_and_methods_that_there_are_not() {
    // What no route takes is a key.
    let unknown = |target: &'static str| get(target, (404, "not_found", &target[1..]));
    let refused = |method, target, allow| Case {
        method,
        ..get(target, (405, "method_not_allowed", allow))
    };
    run(vec![
        unknown("/nope"),
        unknown("/api/nope"),
        get("/api//", (404, "not_found", "Key api/ not found!")),
        unknown("/Api"),
        refused("POST", "/ready", "GET, HEAD, OPTIONS"),
        refused("DELETE", "/", "GET, HEAD, PUT, OPTIONS"),
        refused("POST", "/nope", "GET, HEAD, DELETE, OPTIONS"),
        refused("GET", "/api/batch", "POST, OPTIONS"),
        refused(
            "TRACE",
            "/api?key=k",
            "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
        ),
        refused("BREW", "/metrics/", "GET, HEAD, OPTIONS"),
    ])
    .await;
    let door = TestDoor::open().await;
    let response = door.ask("POST", "/status", &[], "").await;
    assert_eq!(response.header("allow"), Some("GET, HEAD, OPTIONS"));
    let response = door.ask("OPTIONS", "/api", &[], "").await;
    assert_eq!(response.status, 204);
    let allow = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
    assert_eq!(response.header("allow"), Some(allow));
    assert_eq!(response.header("access-control-allow-origin"), None);
    door.close().await;
}

#[tokio::test]
async fn after_an_error_the_connection_goes_on() {
    let door = TestDoor::open().await;
    let mut client = Client::connect(door.address).await;
    let json = [("content-type", "application/json")];
    for _ in 0..3 {
        let refused = client.ask("POST", "/api", &json, "{\"key\":1.5}").await;
        assert_eq!(refused.status, 400);
        let refused = client.ask("POST", "/nope", &json, "{\"key\":1.5}").await;
        assert_eq!(refused.status, 405);
        assert_eq!(client.ask("GET", "/api?key=k", &[], "").await.status, 200);
    }
    door.close().await;
}

#[tokio::test]
async fn what_is_not_http_is_turned_away() {
    let door = TestDoor::open().await;
    for text in [
        "\r\n\r\nhello\r\n\r\n",
        "GET\r\n\r\n",
        "\u{1}\u{2}\u{3}\r\n\r\n",
    ] {
        let mut client = Client::connect(door.address).await;
        client.send(text).await;
        let answer = client.closed().await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{text:?}: {answer:?}");
    }
    assert_eq!(door.get("/").await.status, 200);
    door.close().await;
}
