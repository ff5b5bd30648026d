//! Lists over HTTP: what they answer, and what they refuse.

use serde_json::json;

use crate::collections::{lists, told};
use crate::door::TestDoor;

#[tokio::test]
async fn a_list_is_in_order() {
    let door = TestDoor::open().await;
    let lists = lists(&door);
    let absent = lists.respond("GET ").await;
    assert_eq!(told(&absent, "list", "k"), json!({"items": []}));
    assert_eq!(absent.header("x-cache"), Some("MISS"));
    assert_eq!(lists.ask("POST ?item=b&item=c").await, json!({"length": 2}));
    assert_eq!(
        lists.ask("POST ?push=left&item=a&item=z").await,
        json!({"length": 4})
    );
    let body = r#"[1, {"base64":"/w=="}, "c"]"#;
    assert_eq!(
        lists.send("POST ?push=right", body).await,
        json!({"length": 7})
    );
    let raw = door.send_bytes("POST", "/lists/k", b"\xfe").await;
    assert_eq!(told(&raw, "list", "k"), json!({"length": 8}));
    let binary = |text| json!({"base64": text});
    let all = json!(["z", "a", "b", "c", "1", binary("/w=="), "c", binary("/g==")]);
    assert_eq!(lists.ask("GET ").await, json!({"items": all}));
    assert_eq!(door.get("/api?key=lists:k").await.json()["data"], all);
    assert_eq!(lists.ask("GET ?length").await, json!({"length": 8}));
    assert_eq!(
        lists.ask("GET ?index=1").await,
        json!({"index": 1, "item": "a"})
    );
    assert_eq!(
        lists.ask("GET ?index=-8").await,
        json!({"index": -8, "item": "z"})
    );
    for index in ["8", "-9"] {
        let miss = lists.respond(&format!("GET ?index={index}")).await;
        assert_eq!((miss.status, &miss.error()[..]), (404, "not_found"));
    }
    for (range, items) in [
        ("from=0&to=1", json!(["z", "a"])),
        ("from=-2", json!(["c", binary("/g==")])),
        ("to=0", json!(["z"])),
        ("from=3&to=2", json!([])),
        ("from=-99&to=99", all.clone()),
    ] {
        let found = lists.ask(&format!("GET ?{range}")).await;
        assert_eq!(found, json!({"items": items}), "{range}");
    }
    assert_eq!(
        lists.ask("PUT ?index=-1&item=e").await,
        json!({"index": -1})
    );
    assert_eq!(
        lists.send("PUT ?index=0", r#""0""#).await,
        json!({"index": 0})
    );
    assert_eq!(
        lists.ask("DELETE ?item=c&count=1").await,
        json!({"removed": 1})
    );
    assert_eq!(lists.ask("POST ?trim&from=1&to=-2").await, json!({}));
    assert_eq!(
        lists.ask("GET ").await,
        json!({"items": ["a", "b", "1", binary("/w=="), "c"]})
    );
    assert_eq!(lists.ask("POST ?pop=left").await, json!({"items": ["a"]}));
    assert_eq!(
        lists.ask("POST ?pop=right&count=2").await,
        json!({"items": ["c", binary("/w==")]})
    );
    assert_eq!(
        lists.send("PUT ?replace", r#"["x","y","x"]"#).await,
        json!({"length": 3})
    );
    assert_eq!(lists.ask("DELETE ?item=x").await, json!({"removed": 2}));
    assert_eq!(
        lists.ask("POST ?pop=left&count=9").await,
        json!({"items": ["y"]})
    );
    assert_eq!(lists.ask("POST ?pop=left").await, json!({"items": []}));
    assert_eq!(
        door.figure("smache_entries").await,
        0.0,
        "an empty list is none"
    );
    assert_eq!(lists.ask("POST ?trim").await, json!({}));
    door.close().await;
}

#[tokio::test]
async fn what_lists_refuse() {
    let door = TestDoor::open().await;
    let lists = lists(&door);
    lists.ask("POST ?item=a").await;
    door.put("lists:document", "{}").await;
    let parameter = "invalid_parameter";
    lists
        .refuses(&[
            ("POST k", "", 400, "invalid_value"),
            ("POST k", "[]", 400, "invalid_value"),
            ("POST k", "{}", 400, "invalid_value"),
            ("POST k", "[[]]", 400, "invalid_value"),
            ("POST k?push=up&item=a", "", 400, parameter),
            ("POST k?push=left&pop=left", "", 400, parameter),
            ("POST k?pop", "", 400, parameter),
            ("POST k?pop=left&count=0", "", 400, parameter),
            ("POST k?pop=left&item=a", "", 400, parameter),
            ("POST k?pop=left", "[1]", 400, "unexpected_body"),
            ("POST k?trim&from=a", "", 400, parameter),
            ("POST k?trim&count=1", "", 400, parameter),
            ("POST k?item=a&from=1", "", 400, parameter),
            ("POST k?item=a&tll=1", "", 400, "unknown_parameter"),
            ("POST k?item=a&ttl=-1", "", 400, "invalid_ttl"),
            ("GET k?index=one", "", 400, parameter),
            ("GET k?index=1.0", "", 400, parameter),
            ("GET k?index=9223372036854775808", "", 400, parameter),
            ("GET k?index=0&from=0", "", 400, parameter),
            ("GET k?from=a", "", 400, parameter),
            ("GET k?length&to=1", "", 400, parameter),
            ("PUT k?item=a", "", 400, parameter),
            ("PUT k?index=0", "", 400, "invalid_value"),
            ("PUT k?index=0", r#"["a","b"]"#, 400, "invalid_value"),
            ("PUT k?index=0&replace&item=a", "", 400, parameter),
            ("PUT k?index=0&item=a&ttl=1", "", 400, parameter),
            ("PUT k?index=1&item=a", "", 400, "index_out_of_range"),
            ("PUT k?index=-2&item=a", "", 400, "index_out_of_range"),
            ("PUT absent?index=0&item=a", "", 404, "not_found"),
            ("PUT k?replace", "[]", 400, "invalid_value"),
            ("DELETE k?item=a&item=b", "", 400, "invalid_value"),
            ("DELETE k?count=1", "", 400, parameter),
            ("DELETE k", r#"["a"]"#, 400, "unexpected_body"),
            ("GET document", "", 409, "wrong_type"),
            ("GET document?index=0", "", 409, "wrong_type"),
            ("POST document?item=a", "", 409, "wrong_type"),
            ("POST document?pop=left", "", 409, "wrong_type"),
            ("POST document?trim", "", 409, "wrong_type"),
            ("PUT document?index=0&item=a", "", 409, "wrong_type"),
            ("DELETE document?item=a", "", 409, "wrong_type"),
        ])
        .await;
    assert_eq!(lists.ask("GET ").await, json!({"items": ["a"]}));
    door.close().await;
}
