//! Counters over HTTP: what they answer, what they refuse, and that none of many additions is lost.

use std::time::Duration;

use crate::client::Client;
use crate::door::{NAME, TestDoor};

fn shown(name: &str, value: i64) -> String {
    let name = serde_json::to_string(name).unwrap();
    format!(r#"{{"counter":{name},"key":{name},"value":{value},"node":"{NAME}"}}"#)
}

async fn add(door: &TestDoor, path: &str, query: &str) -> (u16, String) {
    let target = format!("/counters/{path}?{query}");
    let response = door.ask("PUT", &target, &[], "").await;
    (response.status, response.body)
}

#[tokio::test]
async fn it_counts_from_zero_up_and_down() {
    let door = TestDoor::open().await;
    let absent = door.get("/counters/visits").await;
    assert_eq!((absent.status, &absent.body), (200, &shown("visits", 0)));
    assert_eq!(
        door.figure("smache_entries").await,
        0.0,
        "a read makes none"
    );
    for (increment, value) in [
        ("1", 1),
        ("41", 42),
        ("-50", -8),
        ("0", -8),
        ("%2D2", -10),
        ("-9223372036854775798", i64::MIN),
    ] {
        let answer = add(&door, "visits", &format!("increment={increment}")).await;
        assert_eq!(answer, (200, shown("visits", value)), "{increment}");
    }
    let read = door.get("/counters/visits").await;
    assert_eq!(read.body, shown("visits", i64::MIN));
    door.close().await;
}

#[tokio::test]
async fn a_counter_may_have_a_fraction() {
    let door = TestDoor::open().await;
    let shown = |value: &str| shown("pi", 0).replace(":0,", &format!(":{value},"));
    for (query, status, answer) in [
        ("increment_float=0.1", 200, "0.1"),
        ("increment_float=0.2", 200, "0.3"),
        ("increment=1", 409, "not_a_number"),
        ("increment_float=-1e1", 200, "-9.7"),
        ("increment_float=9.7", 200, "0"),
        ("increment=3", 200, "3"),
        ("increment_float=0.14159", 200, "3.14159"),
        ("increment_float=1e400", 400, "invalid_parameter"),
        ("increment_float=abc", 400, "invalid_parameter"),
        ("increment_float=", 400, "invalid_parameter"),
        ("increment_float=1&increment=1", 400, "invalid_parameter"),
        ("increment_float=1&ttl=5", 400, "invalid_parameter"),
    ] {
        let told = add(&door, "pi", query).await;
        assert_eq!(told.0, status, "{query}: {told:?}");
        match status {
            200 => assert_eq!(told.1, shown(answer), "{query}"),
            _ => assert!(told.1.contains(answer), "{query}: {told:?}"),
        }
    }
    assert_eq!(door.get("/counters/pi").await.body, shown("3.14159"));
    let body = door
        .send("PUT", "/counters/pi?increment_float=1", "{}")
        .await;
    assert_eq!((body.status, &body.error()[..]), (400, "unexpected_body"));
    door.close().await;
}

#[tokio::test]
async fn odd_names_are_themselves() {
    let door = TestDoor::open().await;
    let names = [
        ("a/b", "a/b"),
        ("a/b/", "a%2Fb%2f"),
        ("/a", "/a"),
        ("a b", "a%20b"),
        ("a+b", "a+b"),
        ("\u{e9}\u{1f980}", "%C3%A9%F0%9F%A6%80"),
        ("\"\\\n", "%22%5C%0A"),
        ("null", "null"),
        ("%20", "%2520"),
        ("?#", "%3F%23"),
        ("counters:a", "counters:a"),
        ("api", "api"),
    ];
    for (place, (name, path)) in (1..).zip(names) {
        let answer = add(&door, path, &format!("increment={place}")).await;
        assert_eq!(answer, (200, shown(name, place)));
    }
    for (place, (name, path)) in (1..).zip(names) {
        let read = door.get(&format!("/counters/{path}/")).await;
        assert_eq!(read.body, shown(name, place));
        let key = path.replace('+', "%2B");
        let read = door.get(&format!("/api?key=counters:{key}")).await.json();
        assert_eq!(read["key"], format!("counters:{name}"));
        assert_eq!(
            (&read["data"], &read["type"]),
            (&place.into(), &"counter".into())
        );
    }
    door.close().await;
}

#[tokio::test]
async fn what_is_refused_changes_nothing() {
    let door = TestDoor::open().await;
    add(&door, "c", "increment=5").await;
    let long = "k".repeat(4_096);
    for (path, query, status, code) in [
        ("c", "", 400, "invalid_increment"),
        ("c", "increment=", 400, "invalid_increment"),
        ("c", "increment=1.5", 400, "invalid_increment"),
        ("c", "increment=1e3", 400, "invalid_increment"),
        ("c", "increment=+5", 400, "invalid_increment"),
        ("c", "increment=%2B5", 400, "invalid_increment"),
        (
            "c",
            "increment=9223372036854775808",
            400,
            "invalid_increment",
        ),
        ("c", "increment=1&increment=2", 400, "repeated_parameter"),
        ("c", "increment=1&ttl=0", 400, "invalid_ttl"),
        ("c", "increment=1&tll=5", 400, "unknown_parameter"),
        (
            "c",
            "increment=9223372036854775803",
            409,
            "counter_overflow",
        ),
        ("", "increment=1", 405, "key_required"),
        ("%ff", "increment=1", 400, "invalid_utf8"),
        ("%4", "increment=1", 400, "invalid_escape"),
        (&long, "increment=1", 400, "key_too_long"),
    ] {
        let target = format!("/counters/{path}?{query}");
        let response = door.ask("PUT", &target, &[], "").await;
        assert_eq!(response.status, status, "{target}: {response:?}");
        assert_eq!(response.error(), code, "{target}");
    }
    for method in ["POST", "PATCH"] {
        let response = door.ask(method, "/counters/c?increment=1", &[], "").await;
        assert_eq!(response.error(), "method_not_allowed");
        assert_eq!(
            response.header("allow"),
            Some("GET, HEAD, PUT, DELETE, OPTIONS")
        );
    }
    assert_eq!(door.get("/counter/c").await.error(), "not_found");
    assert_eq!(door.get("/counters").await.error(), "key_required");
    assert_eq!(door.get("/counters/c").await.body, shown("c", 5));
    assert_eq!(door.figure("smache_entries").await, 1.0);
    door.close().await;
}

#[tokio::test]
async fn the_life_of_a_counter_begins_with_its_first_increment() {
    let door = TestDoor::open().await;
    let ttl = async |query: &str| {
        let target = format!("/counters/c?increment=1{query}");
        let response = door.ask("PUT", &target, &[], "").await;
        response.header("x-ttl-ms").map(str::to_owned)
    };
    assert_eq!(ttl("&ttl=300ms").await.as_deref(), Some("300"));
    door.clock.advance(Duration::from_millis(100));
    assert_eq!(ttl("").await.as_deref(), Some("200"));
    assert_eq!(ttl("&ttl=1h").await.as_deref(), Some("200"));
    let read = door.get("/counters/c").await;
    assert_eq!(read.header("x-ttl-ms"), Some("200"));
    assert_eq!(read.body, shown("c", 3));
    door.clock.advance(Duration::from_millis(200));
    assert_eq!(door.get("/counters/c").await.body, shown("c", 0));
    assert_eq!(ttl("").await, None, "the next one lives for ever");
    assert_eq!(door.get("/counters/c").await.body, shown("c", 1));
    door.close().await;
}

#[tokio::test]
async fn every_write_takes_a_name_and_refuses_a_bad_one() {
    let door = TestDoor::open().await;
    let longest = "x".repeat(255);
    let too_long = "x".repeat(256);
    let body = r#"{"key":"k","data":{}}"#;
    let line = r#"{"key":"k"}"#;
    for (method, target, kind, body) in [
        ("POST", "/api", "application/json", body),
        ("PUT", "/api", "application/json", body),
        ("PATCH", "/api", "application/json", body),
        ("POST", "/api/batch", "application/x-ndjson", line),
        ("DELETE", "/api", "application/json", line),
        ("DELETE", "/api?key=k", "application/json", ""),
        ("PUT", "/counters/c?increment=1", "application/json", ""),
        ("DELETE", "/counters/c", "application/json", ""),
    ] {
        for (name, status) in [
            (&longest[..], 200),
            ("\"8e03978e-40d5-43dd-bc93-6894a57f9324\"", 200),
            ("", 400),
            ("two words", 400),
            (&too_long, 400),
        ] {
            let headers = [("content-type", kind), ("idempotency-key", name)];
            let response = door.ask(method, target, &headers, body).await;
            let case = format!("{method} {target} as {name}");
            assert_eq!(response.status, status, "{case}: {response:?}");
            if status == 400 {
                assert_eq!(response.error(), "invalid_idempotency_key", "{case}");
            }
        }
    }
    // A read has no use for one.
    let read = door
        .ask("GET", "/api?key=k", &[("idempotency-key", "")], "")
        .await;
    assert_eq!(read.status, 200);
    door.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_add_at_a_time_lose_nothing() {
    const CLIENTS: i64 = 8;
    const ADDITIONS: i64 = 50;
    let door = TestDoor::open().await;
    let address = door.address;
    let clients = (0..CLIENTS).map(|_| {
        tokio::spawn(async move {
            let mut client = Client::connect(address).await;
            let mut last = 0;
            for _ in 0..ADDITIONS {
                let response = client.ask("PUT", "/counters/c?increment=1", &[], "").await;
                let value = response.json()["value"].as_i64().unwrap();
                assert!(value > last, "{value} after {last}");
                last = value;
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    let read = door.get("/counters/c").await;
    assert_eq!(read.body, shown("c", CLIENTS * ADDITIONS));
    door.close().await;
}
