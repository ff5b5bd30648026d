//! Commands of the Redis protocol's door that span keys, which may be different nodes': what they
//! promise although they are not atomic.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

#[path = "support/client.rs"]
mod client;
#[path = "support/in_process.rs"]
mod in_process;
#[path = "resp_redis/nodes.rs"]
mod nodes;
#[path = "resp_redis/wire.rs"]
mod wire;

use std::collections::BTreeSet;
use std::time::Duration;

use smache::config::Config;
use socket2::SockRef;

use crate::client::patient;
use crate::nodes::Nodes;
use crate::wire::{Reply, Wire, Words, encoded};

fn words(line: &str) -> Words {
    line.split(' ')
        .map(|word| word.as_bytes().to_vec())
        .collect()
}

async fn ask(wire: &mut Wire, line: &str) -> Reply {
    wire.ask(&words(line)).await
}

async fn number(wire: &mut Wire, line: &str) -> usize {
    let reply = ask(wire, line).await;
    let text = std::str::from_utf8(reply.bytes()).unwrap();
    text.parse().unwrap_or_else(|_| panic!("{line}: {reply:?}"))
}

async fn texts(wire: &mut Wire, line: &str) -> Vec<String> {
    let reply = ask(wire, line).await;
    let text = |part: &Reply| String::from_utf8(part.bytes().to_vec()).unwrap();
    reply.parts().iter().map(text).collect()
}

/// Values of few bytes, so that a collection is soon full.
fn small() -> Config {
    Config {
        value_bytes_max: 1_000,
        collection_bytes_max: 1_000,
        ..Config::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_destination_refuses_goes_back() {
    for count in [1, 3] {
        let nodes = Nodes::start(count, &small()).await;
        let mut wire = nodes.connect().await;
        let (from, to) = (nodes.key("from", 0), nodes.key("to", count - 1));
        let (set, full) = (nodes.key("set", count - 1), nodes.key("full", 0));
        let (element, filling) = ("e".repeat(300), "f".repeat(900));
        ask(&mut wire, &format!("RPUSH {from} a b {element}")).await;
        ask(&mut wire, &format!("RPUSH {to} {filling}")).await;
        ask(&mut wire, &format!("SADD {set} a {element}")).await;
        ask(&mut wire, &format!("SADD {full} {filling}")).await;

        for line in [
            format!("LMOVE {from} {to} RIGHT LEFT"),
            format!("RPOPLPUSH {from} {to}"),
            format!("SMOVE {set} {full} {element}"),
        ] {
            let reply = ask(&mut wire, &line).await;
            let text = String::from_utf8_lossy(reply.bytes()).into_owned();
            assert!(
                text.starts_with("ERR the value would be"),
                "{line}: {reply:?}"
            );
        }
        let list = texts(&mut wire, &format!("LRANGE {from} 0 -1")).await;
        assert_eq!(list, ["a", "b", &element[..]]);
        assert_eq!(number(&mut wire, &format!("LLEN {to}")).await, 1);
        assert_eq!(number(&mut wire, &format!("SCARD {set}")).await, 2);
        assert_eq!(number(&mut wire, &format!("SCARD {full}")).await, 1);

        let all = ask(&mut wire, &format!("SUNIONSTORE {full} {full} {set}")).await;
        assert!(all.is_error(), "{all:?}");
        assert_eq!(number(&mut wire, &format!("SCARD {full}")).await, 1);
        nodes.stop().await;
    }
}

/// Each element is one client's, and all arrive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_move_at_once_share_the_elements() {
    const ELEMENTS: usize = 60;
    let nodes = Nodes::start(3, &Config::default()).await;
    let (from, to) = (nodes.key("from", 1), nodes.key("to", 2));
    let (waiting, done) = (nodes.key("waiting", 2), nodes.key("done", 1));
    let mut wire = nodes.connect().await;
    for n in 0..ELEMENTS {
        ask(&mut wire, &format!("RPUSH {from} {n}")).await;
        ask(&mut wire, &format!("SADD {waiting} {n}")).await;
    }
    let mut clients = Vec::new();
    for index in 0..4 {
        let mut wire = nodes.connect_to(index % 3).await;
        let lmove = format!("LMOVE {from} {to} LEFT RIGHT");
        let (waiting, done) = (waiting.clone(), done.clone());
        clients.push(tokio::spawn(async move {
            let (mut mine, mut moved) = (Vec::new(), 0);
            while let Reply::Bulk(element) = ask(&mut wire, &lmove).await {
                mine.push(element);
            }
            for n in 0..ELEMENTS {
                moved += number(&mut wire, &format!("SMOVE {waiting} {done} {n}")).await;
            }
            (mine, moved)
        }));
    }
    let (mut elements, mut moved) = (Vec::new(), 0);
    for client in clients {
        let (mine, smoved) = patient("a client", client).await.unwrap();
        elements.extend(mine);
        moved += smoved;
    }
    let distinct: BTreeSet<&Vec<u8>> = elements.iter().collect();
    assert_eq!((elements.len(), distinct.len()), (ELEMENTS, ELEMENTS));
    assert_eq!(number(&mut wire, &format!("LLEN {to}")).await, ELEMENTS);
    assert_eq!(moved, ELEMENTS);
    assert_eq!(number(&mut wire, &format!("SCARD {done}")).await, ELEMENTS);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_hangs_up_loses_no_element() {
    const CLIENTS: usize = 12;
    const EACH: usize = 20;
    const ELEMENTS: usize = CLIENTS * EACH + 1;
    let nodes = Nodes::start(3, &Config::default()).await;
    let (from, to) = (nodes.key("from", 1), nodes.key("to", 2));
    let mut wire = nodes.connect().await;
    for n in 0..ELEMENTS {
        ask(&mut wire, &format!("RPUSH {from} {n}")).await;
    }
    for n in 0..CLIENTS {
        let stream = nodes.stream().await;
        let leaver = SockRef::from(&stream);
        // It is closed at once, and not when everything is sent.
        leaver.set_linger(Some(Duration::ZERO)).unwrap();
        let request = words(&format!("LMOVE {from} {to} LEFT RIGHT"));
        leaver.send(&encoded(&request).repeat(EACH)).unwrap();
        // Each leaves at another moment, most of them in the middle of some move.
        tokio::time::sleep(Duration::from_millis(1 + n as u64)).await;
    }
    patient("the elements to be in one of both", async {
        loop {
            let here = number(&mut wire, &format!("LLEN {from}")).await;
            let there = number(&mut wire, &format!("LLEN {to}")).await;
            if here < ELEMENTS && here + there == ELEMENTS {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_hangs_up_leaves_no_value_at_both_keys() {
    const CLIENTS: usize = 40;
    let nodes = Nodes::start(3, &Config::default()).await;
    let mut wire = nodes.connect().await;
    let mut pairs = Vec::new();
    for n in 0..CLIENTS {
        let (from, to) = (
            nodes.key(&format!("f{n}"), 1),
            nodes.key(&format!("t{n}"), 2),
        );
        ask(&mut wire, &format!("SET {from} {n}")).await;
        let stream = nodes.stream().await;
        let leaver = SockRef::from(&stream);
        leaver.set_linger(Some(Duration::ZERO)).unwrap();
        let request = words(&format!("RENAME {from} {to}"));
        leaver.send(&encoded(&request)).unwrap();
        tokio::time::sleep(Duration::from_micros(50 * n as u64)).await;
        pairs.push((from, to));
    }
    let (mut here, mut there) = (0, 0);
    patient("each value to be at one key", async {
        for (from, to) in &pairs {
            // One of which nothing was heard is where it was.
            while number(&mut wire, &format!("EXISTS {from} {to}")).await != 1 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            here += number(&mut wire, &format!("EXISTS {from}")).await;
            there += number(&mut wire, &format!("EXISTS {to}")).await;
        }
    })
    .await;
    assert!(there > 0 && here + there == CLIENTS, "{here}, {there}");
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_intersection_is_counted_up_to_a_limit() {
    let nodes = Nodes::start(3, &Config::default()).await;
    let mut wire = nodes.connect().await;
    let sets = [0, 1, 2].map(|owner| nodes.key("set", owner));
    // Multiples of two, three and five.
    for (set, factor) in sets.iter().zip([2, 3, 5]) {
        let members = (0..6_000).map(|n| (n * factor).to_string());
        let mut add = vec![b"SADD".to_vec(), set.as_bytes().to_vec()];
        add.extend(members.map(String::into_bytes));
        wire.ask(&add).await;
    }
    let [two, three, five] = &sets;
    let both = number(&mut wire, &format!("SINTERCARD 2 {two} {three}")).await;
    assert_eq!(both, 2_000);
    for (limit, count) in [(1, 1), (7, 7), (399, 399), (400, 400), (401, 400), (0, 400)] {
        let all = format!("SINTERCARD 4 {two} {five} {three} {two} LIMIT {limit}");
        assert_eq!(number(&mut wire, &all).await, count, "{limit}");
    }
    let none = format!("SINTERCARD 2 {two} nosuch LIMIT 5");
    assert_eq!(number(&mut wire, &none).await, 0);
    assert_eq!(
        ask(&mut wire, "SET text x").await,
        Reply::Line(b'+', b"OK".into())
    );
    let wrong = ask(
        &mut wire,
        &format!("SINTERCARD 3 nosuch {two} text LIMIT 5"),
    )
    .await;
    assert!(wrong.is_error() && wrong.bytes().starts_with(b"WRONGTYPE"));
    nodes.stop().await;
}

/// A destination that is a source as well is written only as it was read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_set_stored_into_itself_keeps_what_others_add() {
    const MEMBERS: usize = 100;
    let nodes = Nodes::start(3, &Config::default()).await;
    let (set, other) = (nodes.key("set", 1), nodes.key("other", 2));
    let mut wire = nodes.connect().await;
    ask(&mut wire, &format!("SADD {other} x")).await;
    let mut adder = nodes.connect_to(1).await;
    let key = set.clone();
    let adding = tokio::spawn(async move {
        for n in 0..MEMBERS {
            assert_eq!(number(&mut adder, &format!("SADD {key} {n}")).await, 1);
        }
    });
    while !adding.is_finished() {
        // It may say that others are too quick; it must not undo what they do.
        let reply = ask(&mut wire, &format!("SUNIONSTORE {set} {set} {other}")).await;
        let busy = reply.is_error() && reply.bytes().starts_with(b"BUSY ");
        assert!(busy || !reply.is_error(), "{reply:?}");
    }
    patient("the members", adding).await.unwrap();
    let stored = number(&mut wire, &format!("SUNIONSTORE {set} {set} {other}")).await;
    assert_eq!(stored, MEMBERS + 1);
    nodes.stop().await;
}

/// The source changes all the time, so that it is carried more than once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renamenx_never_overwrites_what_somebody_else_has_put() {
    const ROUNDS: usize = 200;
    let nodes = Nodes::start(3, &Config::default()).await;
    let (from, to) = (nodes.key("from", 1), nodes.key("to", 2));
    let changing = {
        let (mut wire, line) = (nodes.connect_to(1).await, format!("INCR {from}"));
        tokio::spawn(async move {
            loop {
                ask(&mut wire, &line).await;
            }
        })
    };
    let renaming = {
        let (mut wire, line) = (nodes.connect().await, format!("RENAMENX {from} {to}"));
        tokio::spawn(async move {
            loop {
                ask(&mut wire, &line).await;
            }
        })
    };
    let mut wire = nodes.connect_to(2).await;
    let mut put = 0;
    let rounds = async {
        while put < ROUNDS {
            if ask(&mut wire, &format!("SET {to} ours NX")).await == Reply::Line(b'+', b"OK".into())
            {
                put += 1;
                for _ in 0..4 {
                    let there = ask(&mut wire, &format!("GET {to}")).await;
                    assert_eq!(there.bytes(), b"ours", "in round {put}");
                }
            }
            ask(&mut wire, &format!("DEL {to}")).await;
        }
    };
    patient("the rounds", rounds).await;
    changing.abort();
    renaming.abort();
    nodes.stop().await;
}
