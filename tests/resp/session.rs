//! What a connection remembers, and what it may know of others.

use std::time::Duration;

use smache::config::Config;

use crate::client::patient;
use crate::{client_of, node};

/// What a reply of one bulk string says.
fn text(reply: &str) -> &str {
    reply.split_once("\r\n").unwrap().1.trim_end()
}

#[tokio::test]
async fn hello_chooses_the_protocol() {
    let node = node(Config::default()).await;
    let mut client = client_of(&node).await;
    let old = client.line("HELLO").await;
    assert!(
        old.starts_with("*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n"),
        "{old}"
    );
    assert!(old.contains("$5\r\nproto\r\n:2\r\n"), "{old}");
    assert_eq!(client.line("GET nokey").await, "$-1\r\n");
    let new = client.line("HELLO 3 SETNAME me").await;
    assert!(new.starts_with("%7\r\n"), "{new}");
    assert!(new.contains("$5\r\nproto\r\n:3\r\n"), "{new}");
    assert_eq!(client.line("GET nokey").await, "_\r\n");
    assert_eq!(client.line("CLIENT GETNAME").await, "$2\r\nme\r\n");
    assert_eq!(client.line("RESET").await, "+RESET\r\n");
    assert_eq!(client.line("GET nokey").await, "$-1\r\n");
    assert_eq!(client.line("CLIENT GETNAME").await, "$-1\r\n");
    for (line, says) in [
        ("HELLO 4", "-NOPROTO unsupported protocol version"),
        (
            "HELLO x",
            "-ERR Protocol version is not an integer or out of range",
        ),
        ("HELLO 3 FOO", "-ERR Syntax error in HELLO option 'FOO'"),
        (
            "HELLO 3 SETNAME",
            "-ERR Syntax error in HELLO option 'SETNAME'",
        ),
        (
            "HELLO 3 AUTH a b",
            "-WRONGPASS invalid username-password pair or user is disabled.",
        ),
        ("SELECT 1", "-ERR DB index is out of range"),
        ("SELECT x", "-ERR value is not an integer or out of range"),
        ("SELECT 0", "+OK"),
        (
            "CLIENT SETNAME 'a b'",
            "-ERR Client names cannot contain spaces, newlines or special characters.",
        ),
    ] {
        assert_eq!(client.line(line).await, format!("{says}\r\n"), "{line}");
    }
    node.stop().await.unwrap();
}

#[tokio::test]
async fn replies_can_be_done_without() {
    let node = node(Config::default()).await;
    let mut client = client_of(&node).await;
    client
        .send("CLIENT REPLY SKIP\r\nSET a 1\r\nGET a\r\n")
        .await;
    assert_eq!(client.reply().await, "$1\r\n1\r\n");
    client
        .send("CLIENT REPLY OFF\r\nINCR a\r\nfoo\r\nCLIENT REPLY ON\r\nGET a\r\n")
        .await;
    assert_eq!(client.reply().await, "+OK\r\n");
    assert_eq!(client.reply().await, "$1\r\n2\r\n");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_transaction_is_refused_and_nothing_of_it_done() {
    let node = node(Config::default()).await;
    let mut client = client_of(&node).await;
    let refused = |name: &str| {
        format!(
            "-ERR there are no transactions here, and '{name}' was not carried out: send it without \
             MULTI, in a pipeline if there are several\r\n"
        )
    };
    let abort = "-EXECABORT Transaction discarded because of previous errors.\r\n";
    // All at once, as pipelines of clients come.
    client
        .send("SET a 1\r\nMULTI\r\nINCR a\r\nCLIENT ID\r\nEXEC\r\nINCR a\r\n")
        .await;
    let (incr, id) = (refused("incr"), refused("client|id"));
    for reply in ["+OK\r\n", "+OK\r\n", &incr, &id, abort, ":2\r\n"] {
        assert_eq!(client.reply().await, reply);
    }
    for (line, reply) in [
        ("EXEC", "-ERR EXEC without MULTI\r\n"),
        ("DISCARD", "-ERR DISCARD without MULTI\r\n"),
        ("MULTI", "+OK\r\n"),
        ("MULTI", "-ERR MULTI calls can not be nested\r\n"),
        ("DISCARD", "+OK\r\n"),
        ("GET a", "$1\r\n2\r\n"),
        ("MULTI", "+OK\r\n"),
        ("RESET", "+RESET\r\n"),
        ("GET a", "$1\r\n2\r\n"),
    ] {
        assert_eq!(client.line(line).await, reply, "{line}");
    }
    node.stop().await.unwrap();
}

#[tokio::test]
async fn connections_are_listed_and_ended() {
    let node = node(Config::default()).await;
    let mut one = client_of(&node).await;
    let mut two = client_of(&node).await;
    assert_eq!(one.line("CLIENT SETNAME one").await, "+OK\r\n");
    assert_eq!(two.line("CLIENT SETNAME two").await, "+OK\r\n");
    let id = two.line("CLIENT ID").await;
    let id = id.trim_start_matches(':').trim_end();
    let list = one.line("CLIENT LIST").await;
    assert_eq!(text(&list).lines().count(), 2, "{list}");
    let line = one.line(&format!("CLIENT LIST ID {id}")).await;
    assert!(
        text(&line).starts_with(&format!("id={id} addr={} ", two.address())),
        "{line}"
    );
    assert!(
        line.contains(" name=two ") && line.contains(" cmd=client|id "),
        "{line}"
    );
    // Itself is left out unless it is named.
    assert_eq!(one.line("CLIENT KILL TYPE normal").await, ":1\r\n");
    assert_eq!(two.rest().await, "");
    let me = format!("CLIENT KILL {}", one.address());
    assert_eq!(one.line(&me).await, "+OK\r\n");
    assert_eq!(one.rest().await, "");
    let mut other = client_of(&node).await;
    assert_eq!(
        other.line("CLIENT KILL 1.2.3.4:5").await,
        "-ERR No such client\r\n"
    );
    assert_eq!(other.line("CLIENT KILL ID 999").await, ":0\r\n");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_pause_holds_writes_or_all() {
    let node = node(Config::default()).await;
    let mut one = client_of(&node).await;
    let mut two = client_of(&node).await;
    assert_eq!(one.line("CLIENT PAUSE 600000 WRITE").await, "+OK\r\n");
    assert_eq!(two.line("GET a").await, "$-1\r\n");
    two.send("SET a 1\r\nGET a\r\n").await;
    assert!(two.is_quiet().await);
    assert_eq!(one.line("CLIENT UNPAUSE").await, "+OK\r\n");
    assert_eq!(two.reply().await, "+OK\r\n");
    assert_eq!(two.reply().await, "$1\r\n1\r\n");
    // It ends by itself, too.
    assert_eq!(one.line("CLIENT PAUSE 50").await, "+OK\r\n");
    assert_eq!(two.line("GET a").await, "$1\r\n1\r\n");
    // Who waits can go away.
    assert_eq!(one.line("CLIENT PAUSE 600000").await, "+OK\r\n");
    two.send("GET a\r\n").await;
    drop(two);
    drop(one);
    let gone = async {
        while open(&node).await > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    patient("the connections to go", gone).await;
    node.stop().await.unwrap();
}

/// Connections open now, by the node's metrics.
async fn open(node: &smache::Smache) -> u64 {
    crate::limits::figure(node, "smache_resp_connections_open").await
}

#[tokio::test]
async fn what_the_server_says_of_itself() {
    let node = node(Config::default()).await;
    let mut client = client_of(&node).await;
    assert_eq!(client.line("SET a 1").await, "+OK\r\n");
    let info = client.line("INFO").await;
    let port = node.resp_address().unwrap().port();
    for line in [
        "# Server",
        "redis_mode:standalone",
        &format!("tcp_port:{port}"),
        "connected_clients:1",
        "loading:0",
        "role:master",
        "db0:keys=1,expires=0,avg_ttl=0\r\n",
    ] {
        assert!(info.contains(line), "{line}: {info}");
    }
    for line in [
        "SET b 1 EX 100",
        "SET c 1 EX 300",
        "SET d 1 EX 10",
        "PERSIST d",
    ] {
        client.line(line).await;
    }
    let info = client.line("INFO keyspace").await;
    let average = info.split_once("db0:keys=4,expires=2,avg_ttl=");
    let average = average.and_then(|(_, rest)| rest.split("\r\n").next());
    let average: u64 = average.unwrap_or_else(|| panic!("{info}")).parse().unwrap();
    assert!((150_000..=200_000).contains(&average), "{info}");
    assert_eq!(client.line("DEL b c d").await, ":3\r\n");
    let info = client.line("INFO keyspace").await;
    assert!(
        info.contains("db0:keys=1,expires=0,avg_ttl=0\r\n"),
        "{info}"
    );
    let keyspace = client.line("INFO keyspace").await;
    assert!(!keyspace.contains("# Server"), "{keyspace}");
    assert_eq!(client.line("DBSIZE").await, ":1\r\n");
    let port = format!(
        "*2\r\n$4\r\nport\r\n${}\r\n{port}\r\n",
        port.to_string().len()
    );
    assert_eq!(client.line("CONFIG GET port").await, port);
    assert_eq!(client.line("CONFIG SET timeout 100").await, "+OK\r\n");
    let timeout = "*2\r\n$7\r\ntimeout\r\n$3\r\n100\r\n";
    assert_eq!(client.line("CONFIG GET timeout").await, timeout);
    let refused = client.line("CONFIG SET timeout 5 databases 16").await;
    let says = "-ERR CONFIG SET failed (possibly related to argument 'databases') - can't set \
                immutable config\r\n";
    assert_eq!(refused, says);
    assert_eq!(client.line("CONFIG GET timeout").await, timeout);
    assert_eq!(client.line("WAIT 0 100").await, ":0\r\n");
    assert_eq!(client.line("WAIT 1 10").await, ":0\r\n");
    let count = client.line("COMMAND COUNT").await;
    let all = client.line("COMMAND").await;
    assert!(all.starts_with(&count.replace(':', "*")), "{count}");
    node.stop().await.unwrap();
}
