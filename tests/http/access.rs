//! Who may ask for what: every operation of the API, by every role.

use std::collections::BTreeSet;

use crate::client::{Client, Response, request};
use crate::door::TestDoor;

const TOKENS: &str = "\
read  r the-readers-token\n\
write w the-writers-token\n\
admin a the-admins-token\n";
/// Who asks, and up to which need they may.
const ASKING: [(Option<&str>, usize); 5] = [
    (None, 0),
    (Some("Bearer nobodys-token-at-all"), 0),
    (Some("Bearer the-readers-token"), 1),
    (Some("bearer the-writers-token"), 2),
    (Some("Bearer  the-admins-token"), 3),
];
const NEEDS: [&str; 4] = ["nothing", "read", "write", "admin"];

/// Every operation, with what it needs and something that is asked for by it.
const OPERATIONS: [(&str, &str, &str, &str, &str); 22] = [
    ("get", "/", "nothing", "/", ""),
    ("get", "/healthcheck", "nothing", "/healthcheck", ""),
    ("get", "/ready", "nothing", "/ready", ""),
    ("get", "/openapi.json", "nothing", "/openapi.json", ""),
    ("get", "/status", "read", "/status", ""),
    ("get", "/metrics", "read", "/metrics", ""),
    ("get", "/api", "read", "/api?key=k", ""),
    ("get", "/api", "read", "/api?key=k&key=l", ""),
    ("get", "/api/locate", "read", "/api/locate?key=k", ""),
    (
        "post",
        "/api/batch",
        "read",
        "/api/batch",
        "{\"key\":\"k\"}",
    ),
    ("get", "/counters/{key}", "read", "/counters/c", ""),
    ("get", "/handoff", "read", "/handoff", ""),
    ("post", "/api", "write", "/api", BODY),
    ("put", "/api", "write", "/api/", BODY),
    ("patch", "/api", "write", "/api", BODY),
    ("delete", "/api", "write", "/api?key=other", ""),
    ("delete", "/api", "write", "/api", "{\"key\":\"other\"}"),
    (
        "put",
        "/counters/{key}",
        "write",
        "/counters/c?increment=1",
        "",
    ),
    (
        "put",
        "/counters/{key}",
        "write",
        "/counters/a/b?increment=1",
        "",
    ),
    ("delete", "/counters/{key}", "write", "/counters/d", ""),
    (
        "post",
        "/handoff",
        "admin",
        "/handoff",
        "{\"paused\":false}",
    ),
    ("put", "/handoff", "admin", "/handoff", "{\"paused\":false}"),
];
/// The same of the services and of keys as paths: what is written is then read, then removed.
const SERVICES: [(&str, &str, &str, &str, &str); 27] = [
    (
        "post",
        "/command",
        "read",
        "/command",
        "{\"command\":\"GET k\"}",
    ),
    (
        "put",
        "/cache/{key}",
        "write",
        "/cache/k?value=a&ttl=60",
        "",
    ),
    ("get", "/cache/{key}", "read", "/cache/k", ""),
    ("delete", "/cache/{key}", "write", "/cache/k", ""),
    ("put", "/flags/{key}", "write", "/flags/k?value=true", ""),
    ("get", "/flags/{key}", "read", "/flags/k", ""),
    ("delete", "/flags/{key}", "write", "/flags/k", ""),
    ("put", "/kv/{key}", "write", "/kv/k?value=a", ""),
    ("get", "/kv/{key}", "read", "/kv/k", ""),
    ("delete", "/kv/{key}", "write", "/kv/k", ""),
    ("put", "/sets/{key}", "write", "/sets/k?item=a", ""),
    ("get", "/sets/{key}", "read", "/sets/k?random", ""),
    ("post", "/sets/{key}", "write", "/sets/k?pop", ""),
    ("delete", "/sets/{key}", "write", "/sets/k?item=a", ""),
    (
        "put",
        "/hashes/{key}",
        "write",
        "/hashes/k",
        "{\"f\":\"v\"}",
    ),
    ("get", "/hashes/{key}", "read", "/hashes/k?field=f", ""),
    ("delete", "/hashes/{key}", "write", "/hashes/k?field=f", ""),
    ("post", "/lists/{key}", "write", "/lists/k", "[1]"),
    ("put", "/lists/{key}", "write", "/lists/k?index=0", "2"),
    ("get", "/lists/{key}", "read", "/lists/k?index=0", ""),
    ("post", "/lists/{key}", "write", "/lists/k?pop=left", ""),
    ("delete", "/lists/{key}", "write", "/lists/k", ""),
    ("put", "/", "write", "/", "{\"key\":\"k\",\"value\":1}"),
    ("get", "/{key}", "read", "/k", ""),
    ("get", "/{key}", "read", "/k/", ""),
    ("delete", "/{key}", "write", "/k", ""),
    ("delete", "/{key}", "write", "/a/b", ""),
];
/// The same of what goes on for as long as the client likes.
const LIVE: [(&str, &str, &str, &str, &str); 2] = [
    ("get", "/api/watch", "read", "/api/watch?key=k", ""),
    ("get", "/socket/websocket", "read", "/socket/websocket", ""),
];
const BODY: &str = "{\"key\":\"k\",\"data\":{\"n\":1}}";

fn all() -> impl Iterator<
    Item = (
        &'static str,
        &'static str,
        &'static str,
        &'static str,
        &'static str,
    ),
> {
    OPERATIONS.into_iter().chain(SERVICES)
}

async fn ask(
    client: &mut Client,
    method: &str,
    target: &str,
    token: Option<&str>,
    body: &str,
) -> Response {
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(token.map(|token| ("authorization", token)));
    client.ask(method, target, &headers, body).await
}

/// Asserts that an answer refuses whoever showed this, and says so as it should.
fn refused(response: &Response, token: Option<&str>, may: usize) {
    let challenge = response.header("www-authenticate");
    let (code, wanted) = match (may, token) {
        (0, None) => ((401, "unauthorized"), Some("Bearer")),
        (0, Some(_)) => (
            (401, "unauthorized"),
            Some("Bearer error=\"invalid_token\""),
        ),
        _ => ((403, "forbidden"), None),
    };
    let said = (response.status, &*response.error());
    assert_eq!((said, challenge), (code, wanted), "{response:?}");
    assert!(response.header("x-request-id").is_some());
    if let Some(token) = token {
        assert!(!response.body.contains(&token[8..]), "{response:?}");
    }
}

#[tokio::test]
async fn each_operation_is_for_who_may() {
    let door = TestDoor::asking(TOKENS).await;
    let mut client = Client::connect(door.address).await;
    for (method, path, need, target, body) in all() {
        let need = NEEDS.iter().position(|known| *known == need).unwrap();
        for (token, may) in ASKING {
            let method = method.to_uppercase();
            let response = ask(&mut client, &method, target, token, body).await;
            let what = format!("{method} {path} by {token:?}: {response:?}");
            if may >= need {
                assert!(matches!(response.status, 200 | 204), "{what}");
            } else {
                refused(&response, token, may);
            }
            if response.header("connection") == Some("close") {
                client = Client::connect(door.address).await;
            }
        }
    }
    for (.., target, _) in LIVE {
        for (token, may) in ASKING {
            let mut headers = vec![
                ("connection", "upgrade"),
                ("upgrade", "websocket"),
                ("sec-websocket-version", "13"),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ];
            headers.extend(token.map(|token| ("authorization", token)));
            let mut client = Client::connect(door.address).await;
            client.send(request("GET", target, &headers, "")).await;
            let response = client.beginning().await;
            if may > 0 {
                assert!(matches!(response.status, 101 | 200), "{response:?}");
            } else {
                refused(&response, token, may);
            }
        }
    }
    // It was all that there is.
    let document = door.get("/openapi.json").await.json();
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let roles = &operation["security"][0]["token"];
            let need = roles[0].as_str().unwrap_or("nothing").to_owned();
            described.insert((method.clone(), path.clone(), need));
        }
    }
    let asked = all().chain(LIVE).map(|(method, path, need, ..)| {
        let [method, path, need] = [method, path, need].map(str::to_owned);
        (method, path, need)
    });
    assert_eq!(described, asked.collect());
    let scheme = &document["components"]["securitySchemes"]["token"];
    assert_eq!(
        (&scheme["type"], &scheme["scheme"]),
        (&"http".into(), &"bearer".into())
    );
    door.close().await;
}

#[tokio::test]
async fn what_methods_there_are_is_no_secret_and_what_keys_there_are_is() {
    let door = TestDoor::asking(TOKENS).await;
    for (method, target, status) in [
        ("OPTIONS", "/api", 204),
        ("OPTIONS", "/handoff", 204),
        ("POST", "/nothing/here", 405),
        // That may be a key.
        ("GET", "/nothing/here", 401),
        ("DELETE", "/status", 405),
    ] {
        let response = door.ask(method, target, &[], "").await;
        assert_eq!(response.status, status, "{response:?}");
    }
    // A HEAD is as good as a GET.
    let headers = [("authorization", "Bearer the-readers-token")];
    let response = door.ask("HEAD", "/api?key=k", &headers, "").await;
    assert_eq!(response.status, 200, "{response:?}");
    let response = door.ask("HEAD", "/api?key=k", &[], "").await;
    assert_eq!(response.status, 401, "{response:?}");
    door.close().await;
}

#[tokio::test]
async fn a_token_is_shown_in_one_way() {
    let door = TestDoor::asking(TOKENS).await;
    for (shown, status) in [
        ("Bearer the-readers-token", 200),
        ("BEARER the-readers-token", 200),
        ("Bearer the-readers-token ", 200),
        ("the-readers-token", 401),
        ("Basic cjp0aGUtcmVhZGVycy10b2tlbg==", 401),
        ("Bearer", 401),
        ("Bearer ", 401),
        ("Bearer the-readers-toke", 401),
        ("Bearer the-readers-tokens", 401),
        ("Bearer The-readers-token", 401),
        ("Bearer \"the-readers-token\"", 401),
        ("Bearer the-readers-token, Bearer the-admins-token", 401),
    ] {
        let headers = [("authorization", shown)];
        let response = door.ask("GET", "/api?key=k", &headers, "").await;
        assert_eq!(response.status, status, "{shown}: {response:?}");
    }
    // The first one counts.
    let two = [
        ("authorization", "Bearer wrong"),
        ("authorization", "Bearer the-admins-token"),
    ];
    assert_eq!(door.ask("GET", "/status", &two, "").await.status, 401);
    let long = format!("Bearer {}", "x".repeat(10_000));
    let headers = [("authorization", &long[..])];
    assert_eq!(door.ask("GET", "/status", &headers, "").await.status, 401);
    door.close().await;
}

#[tokio::test]
async fn each_line_of_a_batch_needs_what_it_does() {
    let door = TestDoor::asking(TOKENS).await;
    let lines = "{\"key\":\"k\",\"data\":{\"n\":1}}\n\
                 {\"key\":\"k\"}\n\
                 {\"op\":\"patch\",\"key\":\"k\",\"data\":{\"n\":2}}\n\
                 {\"op\":\"delete\",\"key\":\"k\"}\n\
                 {\"op\":\"nonsense\",\"key\":\"k\"}";
    let statuses = async |token: &str| {
        let headers = [
            ("content-type", "application/x-ndjson"),
            ("authorization", token),
        ];
        let response = door.ask("POST", "/api/batch", &headers, lines).await;
        assert_eq!(response.status, 200, "{response:?}");
        let statuses = response.body.lines().map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            if line["status"] == 403 {
                assert_eq!(line["error"], "forbidden", "{line}");
                assert_eq!(line["key"], "k", "{line}");
            }
            line["status"].as_u64().unwrap()
        });
        statuses.collect::<Vec<_>>()
    };
    let reader = statuses("Bearer the-readers-token").await;
    assert_eq!(reader, [403, 200, 403, 403, 400]);
    let writer = statuses("Bearer the-writers-token").await;
    assert_eq!(writer, [200, 200, 200, 200, 400]);
    door.close().await;
}

#[tokio::test]
async fn who_was_refused_is_counted_and_what_was_refused_not_done() {
    let door = TestDoor::asking(TOKENS).await;
    let admin = [("authorization", "Bearer the-admins-token")];
    let reader = [("authorization", "Bearer the-readers-token")];
    assert_eq!(door.send("PUT", "/api", BODY).await.status, 401);
    assert_eq!(door.ask("PUT", "/api", &reader, BODY).await.status, 403);
    let wrong = [("authorization", "Bearer wrong")];
    for _ in 0..2 {
        assert_eq!(door.ask("GET", "/api?key=k", &wrong, "").await.status, 401);
    }
    let response = door.ask("GET", "/api?key=k", &reader, "").await;
    assert_eq!(response.json()["data"], serde_json::Value::Null);

    let page = door.ask("GET", "/metrics", &admin, "").await.body;
    for (name, value) in [
        ("smache_tokens ", "3.0"),
        ("smache_access_refused_total{reason=\"missing\"} ", "1"),
        ("smache_access_refused_total{reason=\"unknown\"} ", "2"),
        ("smache_access_refused_total{reason=\"role\"} ", "1"),
        ("smache_token_reloads_total ", "0"),
        ("smache_token_reload_failures_total ", "0"),
    ] {
        let line = page.lines().find_map(|line| line.strip_prefix(name));
        assert_eq!(line, Some(value), "{name}");
    }
    door.close().await;
    // Where there are no tokens nobody is told of any.
    let door = TestDoor::open().await;
    let page = door.get("/metrics").await.body;
    assert!(!page.contains("smache_tokens"), "{page}");
    let ignored = door.ask("GET", "/status", &wrong, "").await;
    assert_eq!(ignored.status, 200);
    door.close().await;
}
