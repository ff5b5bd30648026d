//! How requests come: whole, in pieces, many at a time, wrong.

use smache::config::Config;

use crate::client::request;
use crate::{client_of, node};

#[tokio::test]
async fn lines_and_arrays() {
    let node = node(Config::default()).await;
    let mut client = client_of(&node).await;
    assert_eq!(client.line("PING").await, "+PONG\r\n");
    assert_eq!(client.line("ping 'a b'").await, "$3\r\na b\r\n");
    assert_eq!(client.ask(&["ECHO", "a\r\nb"]).await, "$4\r\na\r\nb\r\n");
    client.send("\r\n\n*0\r\n*-1\r\n").await;
    assert_eq!(client.line("PING").await, "+PONG\r\n");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_pipeline_is_answered_in_order() {
    let node = node(Config::default()).await;
    let mut client = client_of(&node).await;
    let mut pipeline = Vec::new();
    for i in 0..5_000 {
        pipeline.extend(request(&[
            "SET".to_owned(),
            format!("key:{i}"),
            format!("{i}"),
        ]));
        pipeline.extend(request(&["INCR".to_owned(), format!("key:{i}")]));
        pipeline.extend(request(&["GET".to_owned(), format!("key:{i}")]));
    }
    client.send(&pipeline).await;
    for i in 0..5_000_u32 {
        let text = (i + 1).to_string();
        assert_eq!(client.reply().await, "+OK\r\n");
        assert_eq!(client.reply().await, format!(":{text}\r\n"));
        assert_eq!(
            client.reply().await,
            format!("${}\r\n{text}\r\n", text.len())
        );
    }
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_request_may_come_byte_by_byte() {
    let node = node(Config::default()).await;
    let mut client = client_of(&node).await;
    let mut bytes = request(&["SET", "a", "1\r\n2"]);
    bytes.extend_from_slice(b"get \"a\"\r\n");
    for byte in bytes {
        client.send([byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.reply().await, "+OK\r\n");
    assert_eq!(client.reply().await, "$4\r\n1\r\n2\r\n");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn keys_and_values_are_any_bytes() {
    let node = node(Config::default()).await;
    let mut client = client_of(&node).await;
    let all: Vec<u8> = (0..=255).collect();
    client.send(request(&[b"SET", &all[..], &all[..]])).await;
    assert_eq!(client.reply().await, "+OK\r\n");
    client.send(request(&[b"STRLEN", &all[..]])).await;
    assert_eq!(client.reply().await, ":256\r\n");
    let found = node.get_raw(&all).await.unwrap().unwrap();
    assert_eq!(found.data, all);
    // Large ones come and go in many pieces.
    let large = vec![b'x'; 5 << 20];
    client.send(request(&[&b"SET"[..], b"large", &large])).await;
    assert_eq!(client.reply().await, "+OK\r\n");
    let reply = client.ask(&["GET", "large"]).await;
    assert!(reply.len() > large.len() && reply.starts_with("$5242880\r\nxxx"));
    // A key has its limit, and the connection goes on.
    let long = vec![b'k'; 5_000];
    let refused = client.ask(&[b"GET", &long[..]]).await;
    assert_eq!(
        refused,
        "-ERR key is 5000 bytes long; the limit is 4096\r\n"
    );
    assert_eq!(
        client.ask(&["GET", ""]).await,
        "-ERR key cannot be empty\r\n"
    );
    node.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_no_request_ends_the_connection() {
    let node = node(Config::default()).await;
    for (bytes, says) in [
        ("*1\r\nPING\r\n", "expected '$', got 'P'"),
        ("*x\r\n", "invalid multibulk length"),
        ("*1048577\r\n", "invalid multibulk length"),
        ("*1\r\n$-1\r\n", "invalid bulk length"),
        ("*1\r\n$99999999\r\n", "invalid bulk length"),
        ("get 'a\r\n", "unbalanced quotes in request"),
    ] {
        let mut client = client_of(&node).await;
        client.send(format!("PING\r\n{bytes}PING\r\n")).await;
        let said = client.rest().await;
        assert_eq!(
            said,
            format!("+PONG\r\n-ERR Protocol error: {says}\r\n"),
            "{bytes}"
        );
    }
    let mut client = client_of(&node).await;
    let long = "x".repeat(70_000);
    assert!(client.try_send(&long).await);
    let said = client.rest().await;
    assert_eq!(said, "-ERR Protocol error: too big inline request\r\n");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn unknown_commands_and_wrong_numbers_of_arguments() {
    let node = node(Config::default()).await;
    let mut client = client_of(&node).await;
    let long = "y".repeat(200);
    for (line, says) in [
        (
            "foo a 'b c'",
            "unknown command 'foo', with args beginning with: 'a' 'b c' ",
        ),
        ("foo", "unknown command 'foo', with args beginning with: "),
        ("get", "wrong number of arguments for 'get' command"),
        ("GET a b", "wrong number of arguments for 'get' command"),
        ("mset a", "wrong number of arguments for 'mset' command"),
        ("mset a 1 b", "wrong number of arguments for 'mset' command"),
        ("client", "wrong number of arguments for 'client' command"),
        (
            "client kill",
            "wrong number of arguments for 'client|kill' command",
        ),
        ("Client Foo", "unknown subcommand 'Foo'. Try CLIENT HELP."),
        (
            "object foo bar",
            "unknown subcommand 'foo'. Try OBJECT HELP.",
        ),
    ] {
        assert_eq!(
            client.line(line).await,
            format!("-ERR {says}\r\n"),
            "{line}"
        );
    }
    let said = client.ask(&["foo", &long, "more"]).await;
    let shown = &long[..128];
    let says = format!("-ERR unknown command 'foo', with args beginning with: '{shown}' \r\n");
    assert_eq!(said, says);
    // What a client sends breaks no line of a reply.
    let said = client.ask(&["a\r\n+OK"]).await;
    assert_eq!(
        said,
        "-ERR unknown command 'a  +OK', with args beginning with: \r\n"
    );
    node.stop().await.unwrap();
}

#[tokio::test]
async fn quit_and_half_closed_connections() {
    let node = node(Config::default()).await;
    let mut client = client_of(&node).await;
    client.send("PING\r\nQUIT\r\nPING\r\n").await;
    assert_eq!(client.rest().await, "+PONG\r\n+OK\r\n");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_long_comparison_is_answered_as_a_short_one() {
    let node = node(Config::default()).await;
    let mut client = client_of(&node).await;
    for (times, length) in [(3, 5), (200, 399)] {
        let (one, other) = ("ab".repeat(times), "ba".repeat(times));
        assert_eq!(
            client.ask(&["MSET", "a", &one, "b", &other]).await,
            "+OK\r\n"
        );
        let reply = client.line("lcs a b len").await;
        assert_eq!(reply, format!(":{length}\r\n"));
    }
}
