//! `POST /command`: what it answers, and what it refuses.

use serde_json::{Value, json};

use crate::client::Response;
use crate::door::TestDoor;

async fn run(door: &TestDoor, command: &str) -> Response {
    let body = json!({ "command": command }).to_string();
    door.send("POST", "/command", &body).await
}

async fn reply(door: &TestDoor, command: &str) -> Value {
    let response = run(door, command).await;
    assert_eq!(response.status, 200, "{command}: {response:?}");
    response.json()
}

#[tokio::test]
async fn commands_are_those_of_the_redis_protocol() {
    let door = TestDoor::open().await;
    for (command, expected) in [
        ("PING", json!("PONG")),
        ("ECHO 'a b'", json!("a b")),
        ("HSET h f v g \"two words\"", json!(2)),
        ("HGET h g", json!("two words")),
        ("HGET h x", Value::Null),
        ("hkeys h", json!(["f", "g"])),
        ("HGETALL h", json!({"f": "v", "g": "two words"})),
        ("HDEL h f x", json!(1)),
        ("RPUSH l a b", json!(2)),
        ("LPUSH l z y", json!(4)),
        ("LPOP l 3", json!(["y", "z", "a"])),
        ("LLEN l", json!(1)),
        ("EXPIRE l 100", json!(1)),
        ("EXPIRE absent 100", json!(0)),
        ("TTL l", json!(100)),
        ("SET s \"\\xff\"", json!("OK")),
        ("GET s", json!({"base64": "/w=="})),
        ("SADD set m", json!(1)),
        ("SMEMBERS set", json!(["m"])),
        ("INCRBYFLOAT n 1.5", json!("1.5")),
        ("TYPE set", json!("set")),
        ("DEL l h absent", json!(2)),
    ] {
        assert_eq!(reply(&door, command).await, expected, "{command}");
    }
    // The same keys as through the services.
    assert_eq!(reply(&door, "SADD sets:fruits apple").await, 1);
    let read = door.get("/sets/fruits").await.json();
    assert_eq!(read["items"], json!(["apple"]));
    assert_eq!(reply(&door, "SET counters:word abc").await, "OK");
    let read = door.get("/counters/word").await;
    assert_eq!((read.status, &read.error()[..]), (409, "not_a_number"));
    let words = r#"{"command":["SET","k",{"base64":"AP8="}]}"#;
    assert_eq!(door.send("POST", "/command", words).await.body, "\"OK\"");
    assert_eq!(door.get("/k").await.body, r#"{"base64":"AP8="}"#);
    door.close().await;
}

#[tokio::test]
async fn what_is_refused() {
    let door = TestDoor::open().await;
    reply(&door, "SADD set m").await;
    for (command, status, code) in [
        ("NOSUCH a b", 400, "invalid_command"),
        ("GET", 400, "invalid_command"),
        ("GET a b", 400, "invalid_command"),
        ("SET a b EX 0", 400, "invalid_command"),
        ("SET a \"b", 400, "invalid_command"),
        ("", 400, "invalid_command"),
        ("INCR set", 409, "wrong_type"),
        ("RENAME absent other", 404, "not_found"),
        ("SUBSCRIBE a", 400, "invalid_command"),
        ("CLIENT LIST", 400, "invalid_command"),
        ("HELLO 3", 400, "invalid_command"),
        ("AUTH token", 400, "invalid_command"),
        ("QUIT", 400, "invalid_command"),
        ("RESET", 400, "invalid_command"),
        ("SELECT 0", 400, "invalid_command"),
    ] {
        let response = run(&door, command).await;
        assert_eq!(response.status, status, "{command}: {response:?}");
        assert_eq!(response.error(), code, "{command}");
    }
    for (headers, body, status, code) in [
        (&[("if-match", "*")][..], "{}", 400, "invalid_condition"),
        (
            &[("idempotency-key", "n")],
            "{}",
            400,
            "invalid_idempotency_key",
        ),
        (&[], "{", 400, "invalid_json"),
        (&[], "[]", 400, "invalid_json"),
        (&[], r#"{"command":["GET",["k"]]}"#, 400, "invalid_value"),
        (
            &[],
            r#"{"command":"GET k","key":"k"}"#,
            400,
            "unknown_member",
        ),
        (
            &[("content-type", "text/plain")],
            "GET k",
            415,
            "unsupported_media_type",
        ),
        (
            &[("origin", "http://evil.example")],
            "{}",
            403,
            "cross_site",
        ),
    ] {
        let response = door.ask("POST", "/command", headers, body).await;
        assert_eq!(response.status, status, "{body}: {response:?}");
        assert_eq!(response.error(), code, "{body}");
    }
    assert_eq!(door.get("/command").await.status, 405);
    door.close().await;
}

#[tokio::test]
async fn a_command_needs_the_role_that_it_needs() {
    let door = TestDoor::asking("read r the-readers-token\nwrite w the-writers-token\n").await;
    for (command, reader, writer) in [
        ("GET k", 200, 200),
        ("SET k v", 403, 200),
        ("FLUSHALL", 403, 403),
        ("PING", 200, 200),
    ] {
        let body = json!({ "command": command }).to_string();
        for (token, status) in [
            ("Bearer the-readers-token", reader),
            ("Bearer the-writers-token", writer),
            ("Bearer wrong", 401),
        ] {
            let headers = [
                ("content-type", "application/json"),
                ("authorization", token),
            ];
            let response = door.ask("POST", "/command", &headers, &body).await;
            assert_eq!(response.status, status, "{command} {token}: {response:?}");
        }
    }
    door.close().await;
}
