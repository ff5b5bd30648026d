//! Hashes over HTTP: what they answer, and what they refuse.

use serde_json::json;

use crate::collections::{Asked, told};
use crate::door::TestDoor;

fn hashes(door: &TestDoor) -> Asked<'_> {
    let (service, noun) = ("hashes", "hash");
    Asked {
        door,
        service,
        noun,
    }
}

#[tokio::test]
async fn a_hash_has_a_value_for_each_field() {
    let door = TestDoor::open().await;
    let hashes = hashes(&door);
    let absent = hashes.respond("GET ").await;
    assert_eq!(told(&absent, "hash", "k"), json!({"fields": {}}));
    assert_eq!(absent.header("x-cache"), Some("MISS"));
    assert_eq!(
        hashes.ask("PUT ?field=f&value=v").await,
        json!({"added": 1})
    );
    assert_eq!(hashes.ask("PUT ?field=f&value=").await, json!({"added": 0}));
    let body = r#"{"g":1.50,"h":{"base64":"/w=="},"f":"v","ttl":"1h"}"#;
    assert_eq!(hashes.send("PUT ", body).await, json!({"added": 3}));
    assert_eq!(
        hashes.send("PUT ?field=i", r#""text""#).await,
        json!({"added": 1})
    );
    let raw = door.send_bytes("PUT", "/hashes/k?field=h", b"\xfe").await;
    assert_eq!(told(&raw, "hash", "k"), json!({"added": 0}));
    let all = json!({"f": "v", "g": "1.50", "h": {"base64": "/g=="}, "ttl": "1h", "i": "text"});
    assert_eq!(hashes.ask("GET ").await, json!({"fields": all}));
    assert_eq!(door.get("/api?key=hashes:k").await.json()["data"], all);
    assert_eq!(hashes.ask("GET ?length").await, json!({"length": 5}));
    let names = json!({"names": ["f", "g", "h", "ttl", "i"]});
    assert_eq!(hashes.ask("GET ?names").await, names);
    assert_eq!(
        hashes.ask("GET ?field=g").await,
        json!({"field": "g", "value": "1.50"})
    );
    let some = hashes.ask("GET ?field=f&field=x&field=f").await;
    assert_eq!(some, json!({"fields": {"f": "v", "x": null}}));
    let miss = hashes.respond("GET ?field=x").await;
    assert_eq!((miss.status, &miss.error()[..]), (404, "not_found"));
    assert_eq!(
        hashes.ask("DELETE ?field=f&field=x&field=g").await,
        json!({"removed": 2})
    );
    assert_eq!(
        hashes.send("PUT ?replace", r#"{"a":"b"}"#).await,
        json!({"length": 1})
    );
    assert_eq!(hashes.ask("GET ").await, json!({"fields": {"a": "b"}}));
    assert_eq!(hashes.ask("DELETE ?field=a").await, json!({"removed": 1}));
    assert_eq!(
        door.figure("smache_entries").await,
        0.0,
        "an empty hash is none"
    );
    door.close().await;
}

#[tokio::test]
async fn fields_that_are_no_text_are_shown() {
    let door = TestDoor::open().await;
    let hashes = hashes(&door);
    hashes.send("PUT ", r#"{"f":"v"}"#).await;
    // Names in JSON are text, so that only another door makes such a field.
    let key = smache::key::Key::new("hashes:k", 99).unwrap();
    let pairs = vec![(b"\xff"[..].to_vec().into(), b"1"[..].to_vec().into())];
    let set = smache::command::hash::Operation::Set(pairs);
    let command = smache::command::Command::Typed {
        key,
        operation: Box::new(smache::command::Operation::Hash(set)),
        condition: smache::command::Condition::None,
    };
    let deadline = tokio::time::Instant::now() + crate::client::PATIENCE;
    door.router.execute(&command, deadline).await.unwrap();
    let binary = json!({"base64": "/w=="});
    let all = json!({"fields": [["f", "v"], [binary, "1"]]});
    assert_eq!(hashes.ask("GET ").await, all);
    assert_eq!(
        hashes.ask("GET ?names").await,
        json!({"names": ["f", binary]})
    );
    door.close().await;
}

#[tokio::test]
async fn fields_count() {
    let door = TestDoor::open().await;
    let hashes = hashes(&door);
    for (by, sum) in [
        ("5", json!(5)),
        ("-7", json!(-2)),
        ("1.5", json!(-0.5)),
        ("0.25", json!(-0.25)),
        ("1e3", json!(999.75)),
        ("0.25", json!(1000)),
        ("9223372036854774807", json!(i64::MAX)),
    ] {
        let found = hashes.ask(&format!("PUT ?field=n&increment={by}")).await;
        assert_eq!(found, json!({"field": "n", "value": sum}), "{by}");
    }
    hashes.send("PUT ", r#"{"word":"abc","half":"0.5"}"#).await;
    hashes
        .refuses(&[
            ("PUT k?field=n&increment=1", "", 409, "counter_overflow"),
            ("PUT k?field=word&increment=1", "", 409, "not_a_number"),
            ("PUT k?field=word&increment=1.5", "", 409, "not_a_number"),
            ("PUT k?field=half&increment=1", "", 409, "not_a_number"),
            ("PUT k?field=n&increment=", "", 400, "invalid_parameter"),
            ("PUT k?field=n&increment=one", "", 400, "invalid_parameter"),
            ("PUT k?field=n&increment=inf", "", 400, "invalid_parameter"),
            (
                "PUT k?field=n&increment=1e999",
                "",
                400,
                "invalid_parameter",
            ),
            ("PUT k?field=n&increment=%2B1", "", 400, "invalid_parameter"),
            (
                "PUT k?field=n&increment=1&value=2",
                "",
                400,
                "invalid_parameter",
            ),
            (
                "PUT k?field=n&increment=1&ttl=1",
                "",
                400,
                "invalid_parameter",
            ),
            ("PUT k?field=n&increment=1", "{}", 400, "unexpected_body"),
            ("PUT k?increment=1", "", 400, "invalid_value"),
        ])
        .await;
    let found = hashes.ask("GET ?field=n").await;
    assert_eq!(found["value"], i64::MAX.to_string());
    door.close().await;
}

#[tokio::test]
async fn what_hashes_refuse() {
    let door = TestDoor::open().await;
    let hashes = hashes(&door);
    hashes.ask("PUT ?field=f&value=v").await;
    door.put("hashes:document", "{}").await;
    hashes
        .refuses(&[
            ("PUT k", "", 400, "invalid_value"),
            ("PUT k", "{}", 400, "invalid_value"),
            ("PUT k", r#"["f","v"]"#, 400, "invalid_value"),
            ("PUT k", r#"{"f":null}"#, 400, "invalid_value"),
            ("PUT k", r#"{"f":{"g":1}}"#, 400, "invalid_value"),
            ("PUT k", r#"{"f":"v""#, 400, "invalid_json"),
            ("PUT k?field=f", "", 400, "invalid_value"),
            ("PUT k?value=v", "", 400, "invalid_value"),
            ("PUT k?field=&value=v", "", 400, "invalid_value"),
            ("PUT k?field=f&value=v", r#""v""#, 400, "repeated_parameter"),
            (
                "PUT k?field=f&field=g&value=v",
                "",
                400,
                "repeated_parameter",
            ),
            ("PUT k?field=f&vlaue=v", "", 400, "unknown_parameter"),
            ("PUT k?field=f&value=v&ttl=x", "", 400, "invalid_ttl"),
            ("GET k?feild=f", "", 400, "unknown_parameter"),
            ("GET k?field=f&length", "", 400, "invalid_parameter"),
            ("GET k?length=1", "", 400, "invalid_parameter"),
            ("GET k?field=%ff", "", 400, "invalid_utf8"),
            ("DELETE k?feild=f", "", 400, "unknown_parameter"),
            ("DELETE k?field=", "", 400, "invalid_value"),
            ("DELETE k", r#"["f"]"#, 400, "unexpected_body"),
            ("POST k", "{}", 405, "method_not_allowed"),
            ("GET document", "", 409, "wrong_type"),
            ("GET document?field=f", "", 409, "wrong_type"),
            ("PUT document?field=f&value=v", "", 409, "wrong_type"),
            ("PUT document?field=f&increment=1", "", 409, "wrong_type"),
            ("DELETE document?field=f", "", 409, "wrong_type"),
        ])
        .await;
    assert_eq!(hashes.ask("GET ").await, json!({"fields": {"f": "v"}}));
    door.close().await;
}
