//! Messages: two clients of each server, one that listens and one that publishes. All that both are
//! sent is compared byte for byte, in the order in which it comes.

use smache::config::Config;

use crate::commands::words;
use crate::nodes::Nodes;
use crate::redis::Redis;
use crate::wire::{Wire, encoded};

/// What is sent, by whom: `L` listens, `P` publishes. Several commands in one line, between `;`, are
/// sent in one piece.
const SCRIPT: &str = r#"
L SUBSCRIBE
L PSUBSCRIBE
L UNSUBSCRIBE
L PUNSUBSCRIBE
L UNSUBSCRIBE a b a
L PUNSUBSCRIBE a* b
P PUBLISH
P PUBLISH a
P PUBLISH a b c
P PUBLISH a nobody
P PUBSUB
P PUBSUB foo
P PUBSUB CHANNELS a b
P PUBSUB NUMPAT x
P PUBSUB HELP x
P PUBSUB CHANNELS
P PUBSUB NUMSUB
P PUBSUB NUMSUB a b
P PUBSUB NUMPAT
P PUBSUB SHARDCHANNELS
P PUBSUB SHARDNUMSUB a b
L SUBSCRIBE a
P PUBLISH a one
P PUBLISH b two
P PUBLISH a ""
P PUBLISH "" x
L SUBSCRIBE a
L SUBSCRIBE b c b ""
P PUBLISH "" "to the channel without a name"
P PUBLISH b "\x00\xff\r\n"
P PUBSUB CHANNELS [b]
P PUBSUB CHANNELS nothing*
P PUBSUB NUMSUB a c d a
P PUBSUB NUMPAT
L UNSUBSCRIBE b b nosuch
P PUBLISH b gone
L PSUBSCRIBE n?ws.*
P PUBLISH news.it hello
P PUBLISH news. hello
P PUBLISH nws.it hello
L SUBSCRIBE news.it
P PUBLISH news.it twice
P PUBSUB NUMSUB news.it
P PUBSUB NUMPAT
L PSUBSCRIBE n?ws.*
L PING
L PING text
L PING text more
L GET a
L SET a 1
L PUBLISH a 1
L NOSUCH a
L GET
L CLIENT ID
L CLIENT NOSUCH
L COMMAND COUNT
L AUTH x
L SUBSCRIBE a; PING; UNSUBSCRIBE a; PING; GET a; SUBSCRIBE a
P PUBLISH a 1; PUBLISH news.it 2; PUBLISH a 3
L UNSUBSCRIBE news.it a c; UNSUBSCRIBE
L UNSUBSCRIBE
L PING
P PUBLISH news.it "by its pattern"
L PUNSUBSCRIBE
L PUNSUBSCRIBE
P PUBLISH news.it nobody
L PING
L GET nokey
L SUBSCRIBE x; RESET; PING; GET nokey
P PUBLISH x nobody
P PUBSUB NUMSUB x
L HELLO
L CLIENT REPLY OFF; SUBSCRIBE quiet; UNSUBSCRIBE quiet; SUBSCRIBE quiet
P PUBLISH quiet 1
L UNSUBSCRIBE; GET a; CLIENT REPLY ON
L CLIENT REPLY SKIP; SUBSCRIBE quiet
P PUBLISH quiet 2
L UNSUBSCRIBE
P PUBLISH quiet 3
"#;

/// What is allowed only in RESP3.
const RESP3: &str = r#"
L SUBSCRIBE a; GET nokey; PSUBSCRIBE a*
L PUBLISH a me; GET nokey; PUBLISH a "me again"
P PUBLISH a you
L SET a 1; GET a; DEL a
L HELLO 2
P PUBLISH a old
L GET a
L PING
L RESET
L HELLO 3
L SUBSCRIBE a
P PUBLISH a new
L UNSUBSCRIBE
"#;

/// Both clients of a server.
struct Pair {
    listener: Wire,
    publisher: Wire,
}

impl Pair {
    /// Carries out a line, and returns what came of it to both.
    async fn step(&mut self, line: &str, mark: usize) -> (String, String) {
        let (who, commands) = line.split_at(1);
        let requests: Vec<u8> = commands
            .split(';')
            .flat_map(|command| encoded(&words(command.trim())))
            .collect();
        let wire = match who {
            "L" => &mut self.listener,
            _ => &mut self.publisher,
        };
        wire.send(&requests).await;
        // Whatever it is answered comes before the answer to this, and so does what was published.
        // This one is told also to who wants no replies.
        let silent = line.contains("quiet") || line.contains("REPLY");
        let (verb, end) = if silent {
            ("UNSUBSCRIBE", ":")
        } else {
            ("PING", "")
        };
        let mark = format!("mark-{mark}");
        let mut came = Vec::new();
        let order = match who {
            "L" => [&mut self.listener, &mut self.publisher],
            _ => [&mut self.publisher, &mut self.listener],
        };
        for wire in order {
            wire.send(&encoded(&words(&format!("{verb} {mark}")))).await;
            let all = wire.until(&format!("{mark}\r\n{end}")).await;
            came.push(all.escape_ascii().to_string());
        }
        (came.remove(0), came.remove(0))
    }
}

async fn pair(listener: Wire, publisher: Wire, protocol: u8) -> Pair {
    let mut pair = Pair {
        listener,
        publisher,
    };
    let hello = words(&format!("HELLO {protocol}"));
    assert!(!pair.listener.ask(&hello).await.is_error());
    pair
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let nodes = Nodes::start(1, &Config::default()).await;
    let mut mark = 0;
    for (protocol, script) in [(2, SCRIPT), (3, SCRIPT), (3, RESP3)] {
        let theirs = (redis.connect().await, redis.connect().await);
        let mut theirs = pair(theirs.0, theirs.1, protocol).await;
        let ours = (nodes.connect().await, nodes.connect().await);
        let mut ours = pair(ours.0, ours.1, protocol).await;
        for line in script.lines().filter(|line| !line.is_empty()) {
            mark += 1;
            let expected = theirs.step(line, mark).await;
            let came = ours.step(line, mark).await;
            let id = line.contains("CLIENT ID") || line.contains("COMMAND COUNT");
            let hello = line.contains("HELLO");
            if (id && protocol == 3) || hello {
                continue;
            }
            assert_eq!(came, expected, "RESP{protocol}: {line}");
        }
    }
    nodes.stop().await;
}
