//! Sets over HTTP: what they answer, and what they refuse.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::collections::{Asked, MINIMAL, told};
use crate::door::TestDoor;

fn members(value: &Value) -> BTreeSet<String> {
    let items = value["items"].as_array().unwrap();
    let set: BTreeSet<String> = items.iter().map(Value::to_string).collect();
    assert_eq!(set.len(), items.len(), "{value}");
    set
}

fn sets(door: &TestDoor) -> Asked<'_> {
    let (service, noun) = ("sets", "set");
    Asked {
        door,
        service,
        noun,
    }
}

#[tokio::test]
async fn a_set_has_each_member_once() {
    let door = TestDoor::open().await;
    let sets = sets(&door);
    let absent = sets.respond("GET ").await;
    assert_eq!(told(&absent, "set", "k"), json!({"items": []}));
    assert_eq!(absent.header("x-cache"), Some("MISS"));
    assert_eq!(
        sets.ask("DELETE ?item=a").await,
        json!({"items": [], "removed": 0})
    );
    assert_eq!(door.figure("smache_entries").await, 0.0);

    let first = sets.respond("PUT ?item=a").await;
    assert_eq!(
        told(&first, "set", "k"),
        json!({"items": ["a"], "added": 1})
    );
    let again = sets.respond("PUT ?item=a").await;
    assert_eq!(
        told(&again, "set", "k"),
        json!({"items": ["a"], "added": 0})
    );
    assert_eq!(
        again.header("etag"),
        first.header("etag"),
        "nothing changed"
    );
    let added = sets
        .send("PUT ", r#"["a", "b", 7, "b", {"base64":"/w=="}, ""]"#)
        .await;
    assert_eq!(added["added"], 4);
    let expected = ["\"a\"", "\"b\"", "\"7\"", "\"\"", "{\"base64\":\"/w==\"}"];
    let expected: BTreeSet<String> = expected.map(str::to_owned).into();
    assert_eq!(members(&added), expected);
    assert_eq!(members(&sets.ask("GET ").await), expected);
    assert_eq!(sets.ask("GET ?length").await, json!({"length": 5}));
    let contains = sets.ask("GET ?item=a&item=x&item=a&item=%22").await;
    assert_eq!(
        contains,
        json!({"contains": {"a": true, "x": false, "\"": false}})
    );
    let removed = sets.ask("DELETE ?item=7&item=x&item=b").await;
    assert_eq!(
        (&removed["removed"], members(&removed).len()),
        (&json!(2), 3)
    );
    let raw = door.send_bytes("PUT", "/sets/k", b"\xfe").await;
    assert_eq!(told(&raw, "set", "k")["added"], 1);
    let api = door.get("/api?key=sets:k").await.json();
    assert_eq!(
        (&api["type"], api["data"].as_array().unwrap().len()),
        (&json!("set"), 4)
    );

    let replaced = sets.send("PUT ?replace&ttl=60", r#"["y", "y"]"#).await;
    assert_eq!(replaced, json!({"items": ["y"], "length": 1}));
    assert_eq!(
        sets.ask("DELETE ?item=y").await,
        json!({"items": [], "removed": 1})
    );
    assert_eq!(
        door.figure("smache_entries").await,
        0.0,
        "an empty set is none"
    );
    door.close().await;
}

#[tokio::test]
async fn members_at_random_and_without_them() {
    let door = TestDoor::open().await;
    let sets = sets(&door);
    let all: Vec<String> = (0..50).map(|n| format!("m{n}")).collect();
    let body = serde_json::to_string(&all).unwrap();
    let response = door.ask("PUT", "/sets/k", &MINIMAL, &body).await;
    assert_eq!(told(&response, "set", "k"), json!({"added": 50}));
    assert_eq!(
        response.header("preference-applied"),
        Some("return=minimal")
    );
    let some = sets.ask("GET ?random&count=20").await;
    assert_eq!(members(&some).len(), 20);
    assert_eq!(members(&sets.ask("GET ?random").await).len(), 1);
    assert_eq!(members(&sets.ask("GET ?random&count=99").await).len(), 50);
    let mut seen = BTreeSet::new();
    for count in [1, 9, 15] {
        let popped = members(&sets.ask(&format!("POST ?pop&count={count}")).await);
        assert_eq!(popped.len(), count);
        seen.extend(popped);
    }
    assert_eq!(sets.ask("GET ?length").await, json!({"length": 25}));
    seen.extend(members(&sets.ask("POST ?pop=true&count=99").await));
    let all: BTreeSet<String> = all.iter().map(|name| format!("{name:?}")).collect();
    assert_eq!(seen, all);
    assert_eq!(sets.ask("POST ?pop").await, json!({"items": []}));
    assert_eq!(sets.ask("GET ?random").await, json!({"items": []}));
    door.close().await;
}

#[tokio::test]
async fn what_sets_refuse() {
    let door = TestDoor::open().await;
    let sets = sets(&door);
    sets.ask("PUT ?item=a").await;
    door.put("sets:document", "{}").await;
    let parameter = "invalid_parameter";
    sets.refuses(&[
        ("PUT k", "", 400, "invalid_value"),
        ("PUT k?item=", "", 400, "invalid_value"),
        ("PUT k", "[]", 400, "invalid_value"),
        ("PUT k", "[null]", 400, "invalid_value"),
        ("PUT k", r#"[["a"]]"#, 400, "invalid_value"),
        ("PUT k", r#"{"a":1}"#, 400, "invalid_value"),
        ("PUT k", r#"["a""#, 400, "invalid_json"),
        ("PUT k?item=a", r#"["b"]"#, 400, "repeated_parameter"),
        ("PUT k?itm=a", "", 400, "unknown_parameter"),
        ("PUT k?item=a&ttl=0", "", 400, "invalid_ttl"),
        ("PUT k?item=a&replace=no", "", 400, parameter),
        ("PUT k?item=%ff", "", 400, "invalid_utf8"),
        ("PUT ?item=a", "", 405, "key_required"),
        ("DELETE k?itm=a", "", 400, "unknown_parameter"),
        ("DELETE k?item=", "", 400, "invalid_value"),
        ("DELETE k", r#"["a"]"#, 400, "unexpected_body"),
        ("GET k?random&count=0", "", 400, parameter),
        ("GET k?random&count=-1", "", 400, parameter),
        ("GET k?random&count=many", "", 400, parameter),
        ("GET k?count=1", "", 400, parameter),
        ("GET k?length&item=a", "", 400, parameter),
        ("GET k?random&length", "", 400, parameter),
        ("POST k", "", 400, parameter),
        ("POST k?pop=false", "", 400, parameter),
        ("POST k?pop&count=0", "", 400, parameter),
        ("POST k?pop", "[1]", 400, "unexpected_body"),
        ("POST k?item=a", "", 400, "unknown_parameter"),
        ("PATCH k", "", 405, "method_not_allowed"),
        ("GET document", "", 409, "wrong_type"),
        ("GET document?length", "", 409, "wrong_type"),
        ("PUT document?item=a", "", 409, "wrong_type"),
        ("PUT document?item=a&ttl=1m", "", 409, "wrong_type"),
        ("POST document?pop", "", 409, "wrong_type"),
        ("DELETE document?item=a", "", 409, "wrong_type"),
    ])
    .await;
    assert_eq!(sets.ask("GET ").await, json!({"items": ["a"]}));
    let none = [("if-none-match", "*")];
    let response = door.ask("PUT", "/sets/k?item=b", &none, "").await;
    assert_eq!(response.error(), "precondition_failed");
    // A whole-value write replaces any type.
    let response = door
        .ask("PUT", "/sets/document?item=a&replace", &[], "")
        .await;
    assert_eq!(
        told(&response, "set", "document"),
        json!({"items": ["a"], "length": 1})
    );
    let response = door.ask("DELETE", "/sets/document", &[], "").await;
    assert_eq!(response.body, r#"{"key":"document","deleted":true}"#);
    door.close().await;
}
