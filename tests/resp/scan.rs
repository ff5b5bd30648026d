//! What spans all keys.

use std::collections::BTreeSet;

use smache::config::Config;

use crate::client::{RespClient, request};
use crate::{client_of, node};

/// All keys that a scan returns, asked for as `how` says.
async fn scan(client: &mut RespClient, how: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut cursor = "0".to_owned();
    loop {
        let page = client.line(&format!("SCAN {cursor} {how}")).await;
        let mut lines = page.split("\r\n");
        assert_eq!(lines.next(), Some("*2"), "{page}");
        cursor = lines.nth(1).unwrap().to_owned();
        let count = lines.next().unwrap()[1..].parse::<usize>().unwrap();
        for _ in 0..count {
            found.insert(lines.nth(1).unwrap().to_owned());
        }
        if cursor == "0" {
            return found;
        }
    }
}

#[tokio::test]
async fn all_keys() {
    let node = node(Config::default()).await;
    let mut client = client_of(&node).await;
    assert_eq!(client.line("RANDOMKEY").await, "$-1\r\n");
    let mut writes = Vec::new();
    for i in 0..300 {
        writes.extend(request(&[
            "SET".to_owned(),
            format!("key:{i}"),
            "1".to_owned(),
        ]));
    }
    client.send(&writes).await;
    for _ in 0..300 {
        assert_eq!(client.reply().await, "+OK\r\n");
    }
    assert_eq!(client.line("RPUSH list a").await, ":1\r\n");
    assert_eq!(client.line("DBSIZE").await, ":301\r\n");
    assert_eq!(scan(&mut client, "").await.len(), 301);
    assert_eq!(scan(&mut client, "COUNT 1000").await.len(), 301);
    assert_eq!(scan(&mut client, "MATCH key:1?").await.len(), 10);
    let lists = scan(&mut client, "TYPE list").await;
    assert_eq!(lists, BTreeSet::from(["list".to_owned()]));
    assert_eq!(scan(&mut client, "TYPE nosuch").await.len(), 0);
    assert_eq!(client.line("KEYS lis*").await, "*1\r\n$4\r\nlist\r\n");
    assert!(client.line("RANDOMKEY").await.starts_with('$'));
    for (line, says) in [
        ("SCAN x", "-ERR invalid cursor"),
        ("SCAN 0 COUNT 0", "-ERR syntax error"),
        (
            "SCAN 0 COUNT x",
            "-ERR value is not an integer or out of range",
        ),
        ("SCAN 0 MATCH", "-ERR syntax error"),
        ("FLUSHALL foo", "-ERR syntax error"),
        ("FLUSHALL SYNC", "+OK"),
        ("DBSIZE", ":0"),
    ] {
        assert_eq!(client.line(line).await, format!("{says}\r\n"), "{line}");
    }
    node.stop().await.unwrap();
}
