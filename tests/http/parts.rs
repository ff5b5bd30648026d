//! Parts of documents over HTTP: reading and patching at a path.

use serde_json::json;

use crate::door::{NAME, TestDoor};

const DOCUMENT: &str = r#"{"a":{"b":1.0,"c":[1,2,{"d":"x"}]},"e":null}"#;

fn shown(path: &str, data: &str) -> String {
    let path = serde_json::to_string(path).unwrap();
    format!(r#"{{"key":"k","path":{path},"data":{data},"node":"{NAME}"}}"#)
}

#[tokio::test]
async fn what_a_path_selects_is_read() {
    let door = TestDoor::open().await;
    let read = async |path: &str| door.get(&format!("/api?key=k&path={path}")).await;
    let miss = read("$.a").await;
    assert_eq!((miss.status, &miss.body), (200, &shown("$.a", "null")));
    assert_eq!(miss.header("x-cache"), Some("MISS"));
    let written = door.put("k", DOCUMENT).await;
    for (path, data) in [
        ("$", &format!("[{DOCUMENT}]")[..]),
        ("$.a.b", "[1.0]"),
        ("$..d", "[\"x\"]"),
        ("$.a.c[0:2]", "[1,2]"),
        ("$.x", "[]"),
        ("$.e", "[null]"),
        (".", DOCUMENT),
        ("a.b", "1.0"),
        (".a.c[2]", "{\"d\":\"x\"}"),
        ("x", "null"),
    ] {
        let found = read(path).await;
        assert_eq!((found.status, &found.body), (200, &shown(path, data)));
        assert_eq!(found.header("x-cache"), Some("HIT"), "{path}");
        assert_eq!(found.header("etag"), written.header("etag"), "{path}");
    }
    let filter = read("%24.a.c%5B%3F%40.d%3D%3D'x'%5D.d").await.json();
    assert_eq!(filter["data"], json!(["x"]));
    let etag = written.header("etag").unwrap();
    let headers = [("if-none-match", etag)];
    let same = door.ask("GET", "/api?key=k&path=$", &headers, "").await;
    assert_eq!((same.status, &same.body[..]), (304, ""));
    door.ask("PUT", "/counters/c?increment=1", &[], "").await;
    for (target, status, code) in [
        ("/api?key=k&path=$[", 400, "invalid_path"),
        ("/api?key=k&path=$.a&path=$.b", 400, "invalid_path"),
        ("/api?key=k&path=%ff", 400, "invalid_utf8"),
        ("/api?key=k&key=l&path=$", 400, "too_many_keys"),
        ("/api?path=$&x", 405, "key_required"),
        ("/api?key=&path=$", 405, "key_required"),
        ("/api?key=counters:c&path=$", 409, "wrong_type"),
    ] {
        let refused = door.get(target).await;
        assert_eq!(
            (refused.status, &refused.error()[..]),
            (status, code),
            "{target}"
        );
    }
    door.close().await;
}

#[tokio::test]
async fn a_part_is_patched_and_the_rest_stays() {
    let door = TestDoor::open().await;
    door.put("k", DOCUMENT).await;
    let patch = async |path: &str, data: &str| {
        let body = format!(r#"{{"key":"k","path":"{path}","data":{data}}}"#);
        door.send("PATCH", "/api", &body).await
    };
    for (path, data, document) in [
        ("$.a.c", "7", r#"{"a":{"b":1.0,"c":7},"e":null}"#),
        (
            "$.a",
            r#"{"b":null,"f":1e3}"#,
            r#"{"a":{"c":7,"f":1e3},"e":null}"#,
        ),
        (
            "$.g",
            r#"{"h":[]}"#,
            r#"{"a":{"c":7,"f":1e3},"e":null,"g":{"h":[]}}"#,
        ),
        ("$.e", "null", r#"{"a":{"c":7,"f":1e3},"g":{"h":[]}}"#),
        (
            "g.h",
            "\"text\"",
            r#"{"a":{"c":7,"f":1e3},"g":{"h":"text"}}"#,
        ),
    ] {
        let patched = patch(path, data).await;
        let said = format!(r#"{{"key":"k","path":"{path}","patched":true,"node":"{NAME}"}}"#);
        assert_eq!((patched.status, patched.body.clone()), (200, said));
        let read = door.get("/k").await;
        assert_eq!(read.body, document, "{path}");
        assert_eq!(read.header("etag"), patched.header("etag"));
    }
    let whole = door.get("/k").await;
    for (body, status, code) in [
        (r#"{"key":"k","path":"$[","data":1}"#, 400, "invalid_path"),
        (r#"{"key":"k","path":1,"data":1}"#, 400, "invalid_path"),
        (
            r#"{"key":"k","path":"$.x.y","data":1}"#,
            400,
            "path_mismatch",
        ),
        (r#"{"key":"k","path":"$.a"}"#, 400, "invalid_data"),
        (
            r#"{"key":"k","path":"$.a","data":1,"ttl":5}"#,
            400,
            "unknown_member",
        ),
        (r#"{"path":"$.a","data":1}"#, 405, "key_required"),
        (
            r#"{"key":"absent","path":"$.a","data":1}"#,
            400,
            "path_mismatch",
        ),
        (r#"{"key":"k","path":"$.a","data":"#, 400, "invalid_json"),
    ] {
        let refused = door.send("PATCH", "/api", body).await;
        assert_eq!(
            (refused.status, &refused.error()[..]),
            (status, code),
            "{body}"
        );
    }
    let headers = [
        ("if-match", "\"other\""),
        ("content-type", "application/json"),
    ];
    let body = r#"{"key":"k","path":"$.a","data":1}"#;
    let refused = door.ask("PATCH", "/api", &headers, body).await;
    assert_eq!(refused.error(), "precondition_failed");
    assert_eq!(door.get("/k").await.header("etag"), whole.header("etag"));
    // A root can be made, and what is named is done once.
    let headers = [
        ("idempotency-key", "n"),
        ("content-type", "application/json"),
    ];
    let body = r#"{"key":"new","path":"$","data":{"n":1}}"#;
    let first = door.ask("PATCH", "/api", &headers, body).await;
    door.put("new", "{}").await;
    let again = door.ask("PATCH", "/api", &headers, body).await;
    assert_eq!((first.status, again.status), (200, 200));
    assert_eq!(door.get("/new").await.body, "{}");
    door.close().await;
}
