//! Input that is wrong in every way that a client can think of: it is told so, and the node goes on.

use smache::config::Config;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{RespClient, patient, request};
use crate::limits::figure;
use crate::{client_of, node};

const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";

/// Commands on a key `$` that holds something else, by the type that they work on.
const TYPED: [(&str, &[&str]); 5] = [
    (
        "string",
        &[
            "append $ v",
            "getrange $ 0 1",
            "setrange $ 1 v",
            "strlen $",
            "getset $ v",
            "getdel $",
            "getex $ ex 10",
            "set $ v get",
            "incr $",
            "decr $",
            "incrby $ 2",
            "decrby $ 2",
            "incrbyfloat $ 0.5",
        ],
    ),
    (
        "hash",
        &[
            "hset $ f v",
            "hmset $ f v",
            "hsetnx $ f v",
            "hget $ f",
            "hmget $ f g",
            "hgetall $",
            "hdel $ f",
            "hexists $ f",
            "hlen $",
            "hstrlen $ f",
            "hkeys $",
            "hvals $",
            "hincrby $ f 1",
            "hincrbyfloat $ f 1",
            "hrandfield $",
            "hrandfield $ 2 withvalues",
            "hscan $ 0",
        ],
    ),
    (
        "list",
        &[
            "lpush $ e",
            "rpush $ e",
            "lpushx $ e",
            "rpushx $ e",
            "lpop $",
            "rpop $ 2",
            "llen $",
            "lrange $ 0 -1",
            "lindex $ 0",
            "lset $ 0 e",
            "linsert $ before e f",
            "lrem $ 0 e",
            "ltrim $ 0 1",
            "lpos $ e",
            "lmove $ $other left right",
            "rpoplpush $ $other",
            "lmpop 1 $ left",
            "blpop $ 1",
            "brpop $ 1",
        ],
    ),
    (
        "set",
        &[
            "sadd $ m",
            "srem $ m",
            "sismember $ m",
            "smismember $ m n",
            "smembers $",
            "scard $",
            "spop $",
            "srandmember $ 2",
            "sscan $ 0",
            "smove $ $other m",
            "sinter $",
            "sunion $ $other",
            "sdiff $",
            "sintercard 1 $",
            "sinterstore $other $",
            "sunionstore $other $",
            "sdiffstore $other $",
        ],
    ),
    (
        "document",
        &[
            "json.set $ $ 1",
            "json.set $ .a 1",
            "json.get $",
            "json.get $ $.a .b",
            "json.del $ $.a",
            "json.merge $ $ {}",
            "json.type $ $",
            "json.numincrby $ $.a 1",
            "json.arrappend $ $.a 1",
            "json.arrlen $ $.a",
            "json.objkeys $ $",
        ],
    ),
];

/// How a value of each type is made.
const MADE: [(&str, &str); 5] = [
    ("string", "set $ text"),
    ("hash", "hset $ f v"),
    ("list", "rpush $ e"),
    ("set", "sadd $ m"),
    ("document", "json.set $ $ {\"a\":1}"),
];

fn about(line: &str, key: &str) -> Vec<String> {
    let word = |word: &str| match word.strip_prefix('$') {
        // The first `$` of a document's command is its key, the second the path.
        Some("") => key.to_owned(),
        Some("other") => format!("{key}:other"),
        _ => word.to_owned(),
    };
    let mut words: Vec<String> = line.split(' ').map(word).collect();
    if words[0].starts_with("json.") && words.len() > 2 && line.split(' ').nth(2) == Some("$") {
        words[2] = "$".to_owned();
    }
    words
}

#[tokio::test]
async fn every_command_refuses_every_other_type() {
    let node = node(Config::default()).await;
    let mut client = client_of(&node).await;
    for (made, making) in MADE {
        let key = format!("a:{made}");
        client.ask(&about(making, &key)).await;
        let dump = client.ask(&about("object encoding $", &key)).await;
        let reply = client.ask(&about("copy $ $other", &key)).await;
        assert_eq!(reply, ":1\r\n", "{made}");
        client.ask(&about("del $other", &key)).await;
        for (wanted, lines) in TYPED {
            for line in lines.iter().filter(|_| wanted != made) {
                let words = about(line, &key);
                let reply = client.ask(&words).await;
                assert_eq!(reply, WRONG, "{words:?}");
            }
        }
        assert_eq!(client.ask(&about("object encoding $", &key)).await, dump);
        let other = client.ask(&about("exists $other", &key)).await;
        assert_eq!(other, ":0\r\n", "{made}");
    }
    node.stop().await.unwrap();
}

/// The names of all commands, and how many words they have; negative: at least so many.
async fn commands(client: &mut RespClient) -> Vec<(String, i64)> {
    let reply = client.line("COMMAND").await;
    let lines: Vec<&str> = reply.split("\r\n").collect();
    let mut found = Vec::new();
    for four in lines.windows(4) {
        // What is said of a command has ten parts, of which its name is the first.
        if four[0] != "*10" || !four[1].starts_with('$') {
            continue;
        }
        if let Some(Ok(arity)) = four[3].strip_prefix(':').map(str::parse) {
            found.push((four[2].to_owned(), arity));
        }
    }
    found
}

#[tokio::test]
async fn of_several_puts_none_is_done_if_one_is_wrong() {
    let config = Config {
        value_bytes_max: 1_000,
        ..Config::default()
    };
    let node = node(config).await;
    let mut client = client_of(&node).await;
    let (long_key, long_value) = (vec![b'k'; 5_000], vec![b'v'; 1_001]);
    for name in ["MSET", "MSETNX"] {
        for (key, value) in [
            (&b""[..], &b"2"[..]),
            (&long_key, b"2"),
            (b"b", &long_value),
        ] {
            let words: [&[u8]; 5] = [name.as_bytes(), b"a", b"1", key, value];
            let refused = client.ask(&words).await;
            assert!(refused.starts_with("-ERR"), "{name}: {refused}");
            assert_eq!(client.line("exists a b").await, ":0\r\n");
        }
    }
}

#[tokio::test]
async fn every_command_bears_any_arguments() {
    // These end the connection, wait, are answered more than once, or change how all others are
    // answered.
    const LEFT_OUT: [&str; 16] = [
        "quit",
        "reset",
        "hello",
        "auth",
        "client",
        "monitor",
        "multi",
        "shutdown",
        "subscribe",
        "psubscribe",
        "ssubscribe",
        "unsubscribe",
        "punsubscribe",
        "sunsubscribe",
        "wait",
        "config",
    ];
    let seed = smache::clock::Clock::system().now().0;
    println!("seed {seed}");
    let mut state = seed;
    let mut below = move |bound: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    let long = vec![b'9'; 3_000];
    let deep = "[".repeat(5_000).into_bytes();
    let words: [&[u8]; 40] = [
        b"",
        b"a:string",
        b"a:hash",
        b"a:list",
        b"a:set",
        b"a:document",
        b"none",
        b"0",
        b"1",
        b"-1",
        b"2",
        b"9223372036854775807",
        b"-9223372036854775808",
        b"9223372036854775808",
        b"1e400",
        b"-inf",
        b"nan",
        b"0.1",
        b"\xff\xfe\x00",
        b"\r\n",
        b"*",
        b"[^",
        b"(",
        b"+inf",
        b"match",
        b"count",
        b"left",
        b"right",
        b"before",
        b"withscores",
        b"ex",
        b"px",
        b"exat",
        b"nx",
        b"get",
        b"$",
        b"$..a",
        b"$[?(@.a>1)]",
        &long,
        &deep,
    ];
    let node = node(Config::default()).await;
    let mut client = client_of(&node).await;
    let names = commands(&mut client).await;
    assert!(names.len() > 100, "{names:?}");
    for round in 0..6 {
        for (_, making) in MADE {
            let kind = MADE.iter().find(|(_, line)| *line == making).unwrap().0;
            client.ask(&about(making, &format!("a:{kind}"))).await;
        }
        for (name, arity) in &names {
            let first = name.split('|').next().unwrap();
            if LEFT_OUT.contains(&first) || first.starts_with("flush") {
                continue;
            }
            let least = arity.unsigned_abs() as usize;
            let count = if *arity < 0 { least + below(5) } else { least };
            let mut asked: Vec<&[u8]> = name.split('|').map(str::as_bytes).collect();
            while asked.len() < count {
                asked.push(words[below(words.len())]);
            }
            let place = format!("round {round} of seed {seed}: {name} {:.300?}", asked);
            client.send(request(&asked)).await;
            let reply = patient(&place, client.bytes()).await;
            let reply = reply.unwrap_or_else(|error| panic!("{place}: {error}"));
            let reply = String::from_utf8_lossy(&reply);
            assert!(!reply.contains("failed inside the node"), "{place}");
        }
        assert_eq!(client.line("PING").await, "+PONG\r\n");
    }
    node.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_nested_too_deep() {
    let node = node(Config::default()).await;
    let mut client = client_of(&node).await;
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert_eq!(
        client.ask(&["JSON.SET", "k", "$", &nested(128)]).await,
        "+OK\r\n"
    );
    let objects = |depth: usize| "{\"a\":".repeat(depth) + "1" + &"}".repeat(depth);
    for deep in [
        nested(129),
        nested(1_000_000),
        objects(129),
        objects(200_000),
    ] {
        for asked in [
            &["JSON.SET", "k", "$", &deep][..],
            &["JSON.SET", "k", "$[0]", &deep],
            &["JSON.MERGE", "k", "$", &deep],
            &["JSON.ARRAPPEND", "k", "$", &deep],
        ] {
            let reply = client.ask(asked).await;
            assert!(reply.starts_with("-ERR "), "{:.60?}: {reply:.200}", asked);
        }
    }
    // Deep where it is put, and no deeper than it may be by itself.
    let reply = client
        .ask(&["JSON.SET", "k", &"[0]".repeat(100), &nested(100)])
        .await;
    assert!(reply.starts_with("-ERR ") || reply == "$-1\r\n", "{reply}");
    for path in [
        "$".to_owned() + &"[0]".repeat(100_000),
        "$".to_owned() + &"[?".repeat(2_000),
        "$[?".to_owned() + &"(".repeat(10_000),
        "$[?".to_owned() + &"!".repeat(10_000) + "@.a]",
        "$".to_owned() + &"..*".repeat(1_000),
        "$".to_owned() + &"[*]".repeat(120) + &"..a".repeat(300),
    ] {
        for asked in [&["JSON.GET", "k", &path][..], &["JSON.DEL", "k", &path]] {
            let reply = client.ask(asked).await;
            assert!(
                reply.starts_with("-ERR ") || reply == "$2\r\n[]\r\n" || reply == ":0\r\n",
                "{path:.30}: {reply:.200}"
            );
        }
    }
    assert_eq!(
        client.ask(&["JSON.GET", "k"]).await.len(),
        256 + "$256\r\n\r\n".len()
    );
    // Arrays in arrays are no request, however many.
    let mut client = client_of(&node).await;
    client.try_send("*1\r\n".repeat(100_000)).await;
    let said = client.rest().await;
    assert!(
        said.is_empty() || said == "-ERR Protocol error: expected '$', got '*'\r\n",
        "{said}"
    );
    node.stop().await.unwrap();
}

#[tokio::test]
async fn lengths_that_cannot_be() {
    let node = node(Config::default()).await;
    for (bytes, says) in [
        ("*99999999999999999999999\r\n", "invalid multibulk length"),
        ("*-9223372036854775809\r\n", "invalid multibulk length"),
        ("*2147483648\r\n", "invalid multibulk length"),
        ("*+1\r\n", "invalid multibulk length"),
        ("* 1\r\n", "invalid multibulk length"),
        ("*\r\n", "invalid multibulk length"),
        (
            "*2\r\n$3\r\nGET\r\n$9223372036854775807\r\n",
            "invalid bulk length",
        ),
        ("*2\r\n$3\r\nGET\r\n$-2\r\n", "invalid bulk length"),
        ("*2\r\n$3\r\nGET\r\n$\r\n", "invalid bulk length"),
        ("*2\r\n$3\r\nGET\r\n$1x\r\n", "invalid bulk length"),
        ("*2\r\n$3\r\nGET\r\n:1\r\n", "expected '$', got ':'"),
    ] {
        let mut client = client_of(&node).await;
        client.send(bytes).await;
        let said = client.rest().await;
        let expected = format!("-ERR Protocol error: {says}\r\n");
        assert_eq!(said, expected, "{bytes:?}");
    }
    for long in [
        "*1".to_owned() + &"0".repeat(70_000),
        "*1\r\n$1".to_owned() + &"0".repeat(70_000),
    ] {
        let mut client = client_of(&node).await;
        client.try_send(&long).await;
        let said = client.rest().await;
        assert!(
            said.is_empty() || said.starts_with("-ERR Protocol error: too big"),
            "{said}"
        );
    }
    node.stop().await.unwrap();
}

#[tokio::test]
async fn requests_that_break_off() {
    let node = node(Config::default()).await;
    let mut whole = request(&["SET", "half", &"v".repeat(40_000)]);
    whole.extend_from_slice(b"GET \"ha\\x6cf\"\r\n");
    for length in (1..whole.len()).step_by(997).chain(1..60) {
        let mut tcp = TcpStream::connect(node.resp_address().unwrap())
            .await
            .unwrap();
        tcp.write_all(&whole[..length]).await.unwrap();
        // Half of them say that no more comes; the others are simply gone.
        if length % 2 == 0 {
            tcp.shutdown().await.unwrap();
        }
    }
    let gone = async {
        while figure(&node, "smache_resp_connections_open").await > 0
            || figure(&node, "smache_http_held_bytes").await > 0
        {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    patient("nothing to be left of them", gone).await;
    let mut client = client_of(&node).await;
    let reply = client.line("EXISTS half").await;
    assert!(reply == ":0\r\n" || reply == ":1\r\n", "{reply}");
    assert_eq!(client.line("PING").await, "+PONG\r\n");
    node.stop().await.unwrap();
}
