//! How soon the others know that a node is gone, and how soon its keys answer again.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::caller::{Caller, Outcome};
use crate::crowd::{Crowd, state_of};
use crate::drive::{fill, is_hit, key};
use crate::process::Process;
use crate::{Bar, Options, node};

const KEYS: u64 = 3_000;
/// A key that has not answered by then is lost or unreachable.
const KEYS_DEADLINE: Duration = Duration::from_secs(15);
/// A client of some impatience, which asks again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// What one run came to, in milliseconds.
struct Run {
    known_ms: f64,
    /// `None` if none of them answers.
    answered_ms: Option<f64>,
    lost: usize,
}

pub(crate) async fn measure(options: &Options) {
    for (signal, what, bar) in [("KILL", "kill -9", 1.0), ("STOP", "SIGSTOP", 5.0)] {
        let (mut known, mut answered, mut lost) = (Vec::new(), Vec::new(), Vec::new());
        let mut crowd = Crowd::of(3, node).await;
        fill(&crowd.all(), KEYS).await;
        for run in 0..options.runs(5) {
            let place = run % 3;
            let result = strike(&crowd, place, signal).await;
            known.push(result.known_ms / 1e3);
            answered.extend(result.answered_ms.map(|ms| ms / 1e3));
            lost.push(result.lost as f64);
            if signal == "KILL" {
                crowd.nodes[place].kill();
                crowd.again(place).await;
            } else {
                crowd.nodes[place].signal("CONT");
            }
            crowd.settled().await;
            if result.lost > 0 {
                fill(&crowd.all(), KEYS).await;
            }
        }
        let bar = Some(Bar::AtMost(bar));
        options.report(&format!("{what}: all others know"), "s", known, bar);
        let keys = format!("{what}: all keys of the node answer again");
        options.report(&keys, "s", answered, bar);
        let gone = format!("{what}: keys that do not");
        options.report(&gone, "keys", lost, Some(Bar::AtMost(0.0)));
    }
}

async fn strike(crowd: &Crowd, place: usize, signal: &str) -> Run {
    let (gone, others) = (&crowd.nodes[place], crowd.others(place));
    let mut owned = Vec::new();
    let mut client = others[0].connect().await;
    for index in 0..KEYS {
        let target = format!("/api/locate?key={}", key(index));
        let located = client.ask("GET", &target, &[], "").await.json();
        if located["owner"] == *gone.name {
            owned.push(index);
        }
    }
    let began = Instant::now();
    gone.signal(signal);
    let addresses: Vec<SocketAddr> = others.iter().map(|node| node.http).collect();
    let sweeps = owned.chunks(owned.len().div_ceil(16).max(1));
    let sweeps = sweeps.enumerate().map(|(turn, part)| {
        let (part, through) = (part.to_vec(), addresses[turn % addresses.len()]);
        tokio::spawn(sweep(through, part, began + KEYS_DEADLINE))
    });
    let sweeps: Vec<_> = sweeps.collect();
    let known_ms = known(&others, &gone.name, began).await;
    let (mut answered, mut lost) = (None, 0);
    for sweep in sweeps {
        let (last, missing) = sweep.await.unwrap();
        lost += missing;
        answered = answered.max(last);
    }
    Run {
        known_ms,
        answered_ms: answered.map(|last: Instant| (last - began).as_secs_f64() * 1e3),
        lost,
    }
}

/// Milliseconds until all of these say that the node is down.
async fn known(others: &[&Process], name: &str, began: Instant) -> f64 {
    let mut connections = Vec::new();
    for node in others {
        connections.push(node.connect().await);
    }
    loop {
        let mut all = true;
        for client in &mut connections {
            let status = client.ask("GET", "/status", &[], "").await.json();
            all &= state_of(&status, name).as_deref() == Some("down");
        }
        let took = began.elapsed();
        assert!(
            took < Duration::from_secs(30),
            "nobody notices the end of {name}"
        );
        if all {
            return took.as_secs_f64() * 1e3;
        }
        sleep(Duration::from_millis(2)).await;
    }
}

/// Reads these keys, one after the other, until each was found; the time of the last one, and how
/// many are not found by the deadline.
async fn sweep(through: SocketAddr, keys: Vec<u64>, end: Instant) -> (Option<Instant>, usize) {
    let mut caller = Caller::new(ASK_AGAIN);
    let (mut last, mut lost) = (None, 0);
    for index in keys {
        let target = format!("/api?key={}", key(index));
        loop {
            let (outcome, span) = caller.ask(through, "GET", &target, "").await;
            if is_hit(&outcome) {
                last = last.max(Some(span.to));
                break;
            }
            // An owner that answers that there is nothing will not find it later either.
            let is_miss = matches!(&outcome, Outcome::Answered(response) if response.status == 200);
            if is_miss || Instant::now() > end {
                lost += 1;
                break;
            }
            sleep(Duration::from_millis(2)).await;
        }
    }
    (last, lost)
}
