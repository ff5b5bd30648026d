//! Documents: what the JSON commands answer, and that they are the documents of the other doors.

use serde_json::json;
use smache::config::Config;

use crate::{client_of, node};

#[tokio::test]
async fn documents_are_read_and_changed_at_paths() {
    let node = node(Config::default()).await;
    let mut client = client_of(&node).await;
    for (line, says) in [
        (
            "json.set a $.x 1",
            "-ERR new objects must be created at the root",
        ),
        (
            "json.set a $ '{\"n\":1.0, \"list\":[1,2], \"in\":{\"x\":null}}'",
            "+OK",
        ),
        ("json.set a $ 1 nx", "$-1"),
        ("json.set a $.n 2 foo", "-ERR syntax error"),
        ("json.set a $.m true", "+OK"),
        (
            "get a",
            "$47 {\"n\":1.0,\"list\":[1,2],\"in\":{\"x\":null},\"m\":true}",
        ),
        ("json.get a .n", "$3 1.0"),
        ("json.get a $.n", "$5 [1.0]"),
        ("json.type a", "$6 object"),
        (
            "json.type a $.*",
            "*4 $6 number $5 array $6 object $7 boolean",
        ),
        ("json.numincrby a $.n 1.5", "$5 [2.5]"),
        ("json.numincrby a .n 1", "$3 3.5"),
        ("json.arrappend a $.list 3 '\"x\"'", "*1 :4"),
        ("json.arrlen a .list", ":4"),
        ("json.objkeys a .in", "*1 $1 x"),
        ("json.merge a $ '{\"in\":null}'", "+OK"),
        ("json.del a $.m", ":1"),
        ("json.get a", "$28 {\"n\":3.5,\"list\":[1,2,3,\"x\"]}"),
        ("json.mget a none $.n", "*2 $5 [3.5] $-1"),
        ("set b text", "+OK"),
        ("json.mget a b $.n", "*2 $5 [3.5] $-1"),
        ("json.type none", "$-1"),
        ("json.get none", "$-1"),
        ("type a", "+ReJSON-RL"),
        (
            "strlen a",
            "-WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
        (
            "json.type a $ $",
            "-ERR wrong number of arguments for 'json.type' command",
        ),
        ("json.del a", ":1"),
        ("exists a", ":0"),
    ] {
        let reply = client.line(line).await;
        let reply = reply.trim_end_matches("\r\n").replace("\r\n", " ");
        assert_eq!(reply, says, "{line}");
    }
    let refused = client.line("json.set a $ '{\"a\":}'").await;
    assert!(
        refused.starts_with("-ERR ") && refused.contains("byte 5"),
        "{refused}"
    );
    assert_eq!(
        client.line("json.set c $ '{\"a\":[1,{}]}'").await,
        "+OK\r\n"
    );
    let pretty = client
        .line("json.get c indent '\t' newline '|' space ' '")
        .await;
    assert_eq!(pretty, "$24\r\n{|\t\"a\": [|\t\t1,|\t\t{}|\t]|}\r\n");
    let long = "x".repeat(65);
    let refused = client.line(&format!("json.get c indent {long}")).await;
    assert!(refused.starts_with("-ERR INDENT"), "{refused}");
    // What comes in at another door is the same document.
    node.put("bus:42", &json!({"line": 4})).await.unwrap();
    assert_eq!(client.line("json.get bus:42 .line").await, "$1\r\n4\r\n");
    assert_eq!(client.line("get bus:42").await, "$10\r\n{\"line\":4}\r\n");
    assert!(client.line("hello 3").await.starts_with('%'));
    assert_eq!(
        client.line("json.type bus:42").await,
        "*1\r\n$6\r\nobject\r\n"
    );
    let sums = client.line("json.numincrby bus:42 $.line 1").await;
    assert_eq!(sums, "*1\r\n:5\r\n");
    node.stop().await.unwrap();
}
