//! Keys as paths: what `/{key}` and `PUT /` answer, and what they refuse.

use crate::door::{NAME, TestDoor};
use crate::services::{put, refused};

#[tokio::test]
async fn keys_are_paths_and_values_are_what_is_answered() {
    let door = TestDoor::open().await;
    let stored =
        |name: &str| format!(r#"{{"message":"Successfully put key {name}","status":200}}"#);
    for (name, path, value) in [
        ("greeting", "greeting", r#"{"text":"hi"}"#),
        ("a/b", "a/b", "[1.0,2]"),
        ("a b", "a%20b", "\"text\""),
        ("number", "number/", "-1e3"),
        ("nothing", "nothing", "null"),
        ("42", "42", "true"),
    ] {
        let body = format!(r#"{{"key":"{name}","value":{value}}}"#);
        let written = door.send("PUT", "/", &body).await;
        assert_eq!((written.status, &written.body), (200, &stored(name)));
        let read = door.get(&format!("/{path}")).await;
        assert_eq!((read.status, &read.body[..]), (200, value));
        assert_eq!(read.header("etag"), written.header("etag"));
        assert_eq!(read.header("x-cache"), Some("HIT"));
        assert_eq!(read.header("x-ttl-ms"), None);
    }
    let key = door
        .send(
            "PUT",
            "/",
            r#"{"key":42,"value":1,"ttl":"1m","ttl-l1":"5s"}"#,
        )
        .await;
    assert_eq!(key.header("x-ttl-ms"), Some("60000"));
    assert_eq!(door.get("/api?key=42").await.json()["data"], 1);
    // Whatever type it is.
    put(&door, "/counters/c?increment=3").await;
    put(&door, "/sets/s?item=a").await;
    assert_eq!(door.get("/counters:c").await.body, "3");
    assert_eq!(door.get("/sets:s").await.body, r#"["a"]"#);
    // Fixed routes win.
    door.send("PUT", "/", r#"{"key":"status","value":1}"#).await;
    assert_eq!(door.get("/status").await.json()["node"], NAME);
    assert_eq!(door.get("/api?key=status").await.json()["data"], 1);
    assert_eq!(door.get("/").await.body, "{}");

    let miss = door.get("/absent").await;
    let said = r#"{"error":"not_found","message":"Key absent not found!","status":404}"#;
    assert_eq!((miss.status, &miss.body[..]), (404, said));
    let gone = door.ask("DELETE", "/greeting", &[], "").await;
    let said = r#"{"key":"greeting","deleted":true,"message":"Successfully deleted key greeting","status":200}"#;
    assert_eq!((gone.status, &gone.body[..]), (200, said));
    let gone = door.ask("DELETE", "/greeting", &[], "").await;
    let said =
        r#"{"key":"greeting","deleted":false,"message":"Key greeting not found!","status":200}"#;
    assert_eq!((gone.status, &gone.body[..]), (200, said));
    door.close().await;
}

#[tokio::test]
async fn keys_as_paths_refuse_what_api_refuses() {
    let door = TestDoor::open().await;
    let long = format!("/{}", "k".repeat(4_097));
    refused(
        &door,
        &[
            ("PUT", "/", "{", 400, "invalid_json"),
            ("PUT", "/", "", 400, "invalid_json"),
            ("PUT", "/", r#"{"key":"k"}"#, 400, "invalid_data"),
            ("PUT", "/", r#"{"value":1}"#, 405, "key_required"),
            ("PUT", "/", r#"{"key":"","value":1}"#, 405, "key_required"),
            ("PUT", "/", r#"{"key":1.5,"value":1}"#, 400, "invalid_key"),
            (
                "PUT",
                "/",
                r#"{"key":"k","value":1,"ttl":"x"}"#,
                400,
                "invalid_ttl",
            ),
            (
                "PUT",
                "/",
                r#"{"key":"k","value":1,"ttl-l2":0}"#,
                400,
                "invalid_ttl",
            ),
            (
                "PUT",
                "/",
                r#"{"key":"k","value":1,"tll":1}"#,
                400,
                "unknown_member",
            ),
            (
                "PUT",
                "/",
                r#"{"key":"k","value":"\ud800"}"#,
                400,
                "invalid_json",
            ),
            ("GET", "/null", "", 405, "key_required"),
            ("GET", "/%ff", "", 400, "invalid_utf8"),
            ("GET", "/%4", "", 400, "invalid_escape"),
            ("GET", &long, "", 400, "key_too_long"),
            ("POST", "/k", "{}", 405, "method_not_allowed"),
            ("PUT", "/k", "{}", 405, "method_not_allowed"),
        ],
    )
    .await;
    let text = [("content-type", "text/plain")];
    let response = door.ask("PUT", "/", &text, "{}").await;
    assert_eq!(response.error(), "unsupported_media_type");
    let foreign = [("origin", "http://evil.example")];
    for (method, target) in [("PUT", "/"), ("DELETE", "/k"), ("PUT", "/kv/k?value=a")] {
        let response = door.ask(method, target, &foreign, "").await;
        assert_eq!(response.error(), "cross_site", "{method} {target}");
    }
    assert_eq!(door.figure("smache_entries").await, 0.0);
    door.close().await;
}
