//! Messages: who hears them, on which node, within which bounds, and until when.

use std::time::Duration;

use smache::Smache;
use smache::access::{Access, Tokens};
use smache::config::{Config, Port};

use crate::client::{RespClient, patient, request};
use crate::cluster::{stop, three};
use crate::limits::{dropped, figure};
use crate::{client_of, node};

/// A message as it is sent in RESP2, or in RESP3.
fn message(mark: char, parts: &[&str]) -> String {
    let parts: Vec<String> = parts
        .iter()
        .map(|part| format!("${}\r\n{part}\r\n", part.len()))
        .collect();
    format!("{mark}{}\r\n{}", parts.len(), parts.concat())
}

/// What confirms that something is listened to, or is no more.
fn confirmed(mark: char, what: &str, name: &str, count: usize) -> String {
    let names = message(mark, &[what, name]).replace(&format!("{mark}2"), &format!("{mark}3"));
    format!("{names}:{count}\r\n")
}

async fn resp3(node: &Smache) -> RespClient {
    let mut client = client_of(node).await;
    assert!(client.line("HELLO 3").await.starts_with('%'));
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_told_that_it_listens_hears_what_any_node_publishes() {
    let nodes = three().await;
    let mut publisher = client_of(&nodes[0]).await;
    let mut two = client_of(&nodes[1]).await;
    let mut three = resp3(&nodes[2]).await;
    for round in 0..20 {
        let channel = format!("news.{round}");
        let first = two.line(&format!("SUBSCRIBE {channel}")).await;
        assert_eq!(first, confirmed('*', "subscribe", &channel, 1));
        let pattern = format!("n?ws.{round}");
        let first = three.line(&format!("PSUBSCRIBE {pattern}")).await;
        assert_eq!(first, confirmed('>', "psubscribe", &pattern, 1));
        // Neither of them is this node's.
        for text in ["a", "b", "c"] {
            let count = publisher.line(&format!("PUBLISH {channel} {text}")).await;
            assert_eq!(count, ":0\r\n");
        }
        for text in ["a", "b", "c"] {
            let heard = two.reply().await;
            assert_eq!(heard, message('*', &["message", &channel, text]));
            let heard = three.reply().await;
            let parts = ["pmessage", &pattern, &channel, text];
            assert_eq!(heard, message('>', &parts));
        }
        let numsub = format!("PUBSUB NUMSUB {channel}");
        let none = format!("*2\r\n${}\r\n{channel}\r\n:0\r\n", channel.len());
        assert_eq!(publisher.line(&numsub).await, none);
        let last = two.line("UNSUBSCRIBE").await;
        assert_eq!(last, confirmed('*', "unsubscribe", &channel, 0));
        let last = three.line("PUNSUBSCRIBE").await;
        assert_eq!(last, confirmed('>', "punsubscribe", &pattern, 0));
    }
    let live = |node: &Smache| node.node().router().live().counters();
    assert!(nodes.iter().all(|node| live(node).subscribers == 0));
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_and_messages_share_a_connection() {
    let nodes = three().await;
    let mut client = resp3(&nodes[0]).await;
    let mut publisher = client_of(&nodes[1]).await;
    let first = client.line("SUBSCRIBE c").await;
    assert_eq!(first, confirmed('>', "subscribe", "c", 1));
    // Some of the keys are other nodes'.
    let mut pipeline = Vec::new();
    for i in 0..200 {
        pipeline.extend(request(&["SET", &format!("k{i}"), &i.to_string()]));
        pipeline.extend(request(&["GET", &format!("k{i}")]));
    }
    client.send(&pipeline).await;
    for i in 0..50 {
        publisher.line(&format!("PUBLISH c {i}")).await;
    }
    let (mut replies, mut heard) = (Vec::new(), Vec::new());
    while replies.len() < 400 || heard.len() < 50 {
        let reply = client.reply().await;
        match reply.starts_with('>') {
            true => heard.push(reply),
            false => replies.push(reply),
        }
    }
    for i in 0..200_usize {
        let text = i.to_string();
        assert_eq!(replies[2 * i], "+OK\r\n");
        assert_eq!(replies[2 * i + 1], format!("${}\r\n{text}\r\n", text.len()));
    }
    for (i, heard) in heard.iter().enumerate() {
        assert_eq!(*heard, message('>', &["message", "c", &i.to_string()]));
    }
    stop(nodes).await;
}

/// One thread for all: whoever publishes must let others go on.
#[tokio::test]
async fn who_keeps_up_misses_nothing_of_many() {
    const COUNT: usize = 100_000;
    let node = node(Config {
        pubsub_bytes_max: 512 << 10,
        ..Config::default()
    })
    .await;
    let mut listener = client_of(&node).await;
    listener.line("SUBSCRIBE c").await;
    let mut publisher = client_of(&node).await;
    let publishing = tokio::spawn(async move {
        for part in 0..10 {
            let range = part * COUNT / 10..(part + 1) * COUNT / 10;
            let pipeline: Vec<u8> = range
                .flat_map(|i| request(&["PUBLISH", "c", &i.to_string()]))
                .collect();
            publisher.send(&pipeline).await;
            for _ in 0..COUNT / 10 {
                assert_eq!(publisher.reply().await, ":1\r\n");
            }
        }
    });
    for i in 0..COUNT {
        let heard = listener.reply().await;
        assert_eq!(heard, message('*', &["message", "c", &i.to_string()]));
    }
    publishing.await.unwrap();
    assert_eq!(dropped(&node, "overrun").await, 0);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_take_its_messages_is_closed() {
    let node = node(Config {
        pubsub_bytes_max: 1 << 20,
        ..Config::default()
    })
    .await;
    let mut slow = client_of(&node).await;
    slow.line("SUBSCRIBE c").await;
    let mut other = client_of(&node).await;
    other.line("SUBSCRIBE d").await;
    let mut publisher = client_of(&node).await;
    let text = "x".repeat(100_000);
    let live = || node.node().router().live().counters();
    let closed = async {
        // The system takes some for it, and then this node does, but not without end.
        while dropped(&node, "overrun").await == 0 {
            publisher.ask(&["PUBLISH", "c", &text]).await;
            assert!(live().bytes < 2 << 20, "{}", live().bytes);
        }
    };
    patient("the slow one to be closed", closed).await;
    let rest = slow.rest().await;
    assert!(rest.starts_with(&message('*', &["message", "c", &text])));
    assert_eq!(live().subscribers, 1);
    assert_eq!(publisher.line("PUBLISH c x").await, ":0\r\n");
    assert_eq!(publisher.line("PUBLISH d x").await, ":1\r\n");
    assert_eq!(other.reply().await, message('*', &["message", "d", "x"]));
    node.stop().await.unwrap();
    assert_eq!(live().bytes, 0);
}

#[tokio::test]
async fn bounds_are_told() {
    let node = node(Config {
        subscriptions_max: 3,
        watchers_max: 2,
        message_bytes_max: 3 << 10,
        ..Config::default()
    })
    .await;
    let mut one = resp3(&node).await;
    one.line("SUBSCRIBE a").await;
    // All or none.
    let refused = "-ERR a client may listen to 3 names, patterns, keys and prefixes\r\n";
    assert_eq!(one.line("SUBSCRIBE b c d").await, refused);
    assert_eq!(one.line("PSUBSCRIBE b c d").await, refused);
    let channels = "*1\r\n$1\r\na\r\n";
    assert_eq!(one.line("PUBSUB CHANNELS").await, channels);
    one.send("SUBSCRIBE a b c\r\n").await;
    for (name, count) in [("a", 1), ("b", 2), ("c", 3)] {
        assert_eq!(one.reply().await, confirmed('>', "subscribe", name, count));
    }
    let mut two = client_of(&node).await;
    for line in [
        format!("PSUBSCRIBE {}", "p".repeat(2_000)),
        format!("SUBSCRIBE ok {}", "c".repeat(70_000)),
        format!("PUBLISH {} x", "c".repeat(70_000)),
        format!("PUBLISH c {}", "x".repeat(4_000)),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let refused = two.ask(&words).await;
        let says = "-ERR it is ";
        assert!(
            refused.starts_with(says) && refused.contains("the limit for a"),
            "{refused}"
        );
    }
    assert_eq!(two.line("GET a").await, "$-1\r\n", "it does not listen");
    two.line("SUBSCRIBE two").await;
    let mut three = client_of(&node).await;
    let refused = three.line("SUBSCRIBE three").await;
    let says = "-BUSY 2 clients listen to this node already, which is as many as may";
    assert!(refused.starts_with(says), "{refused}");
    assert_eq!(three.line("GET a").await, "$-1\r\n");
    two.line("UNSUBSCRIBE").await;
    let first = three.line("SUBSCRIBE three").await;
    assert_eq!(first, confirmed('*', "subscribe", "three", 1));
    node.stop().await.unwrap();
}

#[tokio::test]
async fn who_listens_may_be_silent_and_is_listed() {
    let node = node(Config {
        resp_idle_timeout: Duration::from_millis(300),
        ..Config::default()
    })
    .await;
    let mut listener = client_of(&node).await;
    let mut silent = client_of(&node).await;
    listener.line("CLIENT SETNAME listener").await;
    listener.send("SUBSCRIBE a b\r\nPSUBSCRIBE c*\r\n").await;
    for _ in 0..3 {
        listener.reply().await;
    }
    assert_eq!(silent.line("PING").await, "+PONG\r\n");
    assert_eq!(silent.rest().await, "", "it asked for nothing");
    let mut other = client_of(&node).await;
    assert_eq!(other.line("PUBLISH cc text").await, ":1\r\n");
    let heard = listener.reply().await;
    assert_eq!(heard, message('*', &["pmessage", "c*", "cc", "text"]));
    let list = other.line("CLIENT LIST TYPE pubsub").await;
    assert!(list.contains(" name=listener "), "{list}");
    assert!(list.contains(" flags=P db=0 sub=2 psub=1 "), "{list}");
    let info = other.line("INFO").await;
    for line in ["pubsub_clients:1", "pubsub_channels:2", "pubsub_patterns:1"] {
        assert!(info.contains(&format!("\r\n{line}\r\n")), "{line}: {info}");
    }
    assert_eq!(other.line("CLIENT KILL TYPE pubsub").await, ":1\r\n");
    assert_eq!(listener.rest().await, "");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_stopping_node_says_what_was_published_and_ends() {
    let node = node(Config::default()).await;
    let mut listener = client_of(&node).await;
    listener.line("SUBSCRIBE c").await;
    let mut publisher = client_of(&node).await;
    assert_eq!(publisher.line("PUBLISH c last").await, ":1\r\n");
    let stopping = {
        let node = node.clone();
        tokio::spawn(async move { node.stop().await })
    };
    let last = message('*', &["message", "c", "last"]);
    assert_eq!(listener.rest().await, last);
    let stopped = patient("the node to stop", stopping).await;
    stopped.unwrap().unwrap();
}

async fn guarded(access: Option<Access>, config: Config) -> Smache {
    let config = Config {
        http_port: Port::Exactly(0),
        max_memory: Some(1 << 30),
        ..config
    };
    let builder = Smache::builder().config(config);
    let builder = match access {
        Some(access) => builder.access(access),
        None => builder,
    };
    builder.serve().start().await.unwrap()
}

const READ: &str = "read r the-token-of-a-reader";
const WRITE: &str = "write w the-token-of-a-writer";

#[tokio::test]
async fn roles_are_asked_for() {
    let tokens = Tokens::parse(format!("{READ}\n{WRITE}\n").as_bytes()).unwrap();
    let node = guarded(Some(Access::of(tokens)), Config::default()).await;
    let mut reader = client_of(&node).await;
    let refused = reader.line("SUBSCRIBE c").await;
    assert_eq!(refused, "-NOAUTH Authentication required.\r\n");
    assert_eq!(reader.line("AUTH the-token-of-a-reader").await, "+OK\r\n");
    let refused = reader.line("PUBLISH c x").await;
    let says = "-NOPERM this token may not run the 'publish' command\r\n";
    assert_eq!(refused, says);
    let first = reader.line("SUBSCRIBE c").await;
    assert_eq!(first, confirmed('*', "subscribe", "c", 1));
    let mut writer = client_of(&node).await;
    assert_eq!(writer.line("AUTH the-token-of-a-writer").await, "+OK\r\n");
    assert_eq!(writer.line("PUBLISH c x").await, ":1\r\n");
    assert_eq!(reader.reply().await, message('*', &["message", "c", "x"]));
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_token_taken_back_ends_what_it_listens_to() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens");
    std::fs::write(&file, format!("{READ}\n{WRITE}\n")).unwrap();
    let config = Config {
        tokens: Some(file.clone()),
        ..Config::default()
    };
    let node = guarded(None, config).await;
    let mut reader = client_of(&node).await;
    reader.line("AUTH the-token-of-a-reader").await;
    reader.line("SUBSCRIBE c").await;
    let mut writer = client_of(&node).await;
    writer.line("AUTH the-token-of-a-writer").await;
    writer.line("PUBLISH c before").await;
    let heard = reader.reply().await;
    assert_eq!(heard, message('*', &["message", "c", "before"]));
    std::fs::write(&file, format!("{WRITE}\n")).unwrap();
    let mut other = client_of(&node).await;
    let taken_back = async {
        while other.line("AUTH the-token-of-a-reader").await == "+OK\r\n" {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    patient("the token to be taken back", taken_back).await;
    writer.line("PUBLISH c after").await;
    assert_eq!(reader.rest().await, "");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn other_doors_publish_and_do_not_listen() {
    let node = node(Config::default()).await;
    let mut listener = client_of(&node).await;
    listener.line("SUBSCRIBE c").await;
    let address = node.http_address().unwrap();
    let mut http = crate::http::Client::connect(address).await;
    let headers = [("content-type", "application/json")];
    let mut run = async |command: &str| {
        let body = format!("{{\"command\":\"{command}\"}}");
        http.ask("POST", "/command", &headers, &body).await.body
    };
    let published = run("PUBLISH c text").await;
    assert!(published.contains('1'), "{published}");
    assert_eq!(
        listener.reply().await,
        message('*', &["message", "c", "text"])
    );
    let channels = run("PUBSUB CHANNELS").await;
    assert!(channels.contains("\"c\""), "{channels}");
    let refused = run("SUBSCRIBE c").await;
    assert!(refused.contains("is about a connection"), "{refused}");
    assert_eq!(figure(&node, "smache_live_subscribers").await, 1);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_messages_of_another_node_come_as_well() {
    const COUNT: usize = 50_000;
    let nodes = three().await;
    let mut listener = client_of(&nodes[1]).await;
    listener.line("SUBSCRIBE c").await;
    let mut publisher = client_of(&nodes[0]).await;
    let publishing = tokio::spawn(async move {
        let pipeline: Vec<u8> = (0..COUNT)
            .flat_map(|i| request(&["PUBLISH", "c", &i.to_string()]))
            .collect();
        publisher.send(&pipeline).await;
        for _ in 0..COUNT {
            assert_eq!(publisher.reply().await, ":0\r\n");
        }
    });
    for i in 0..COUNT {
        let heard = listener.reply().await;
        assert_eq!(heard, message('*', &["message", "c", &i.to_string()]));
    }
    publishing.await.unwrap();
    stop(nodes).await;
}
