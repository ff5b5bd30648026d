//! Filling nodes, and driving them: reads with their latencies, writes with their number.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::caller::{Caller, Outcome};
use crate::client::Client;
use crate::process::Process;

/// Of a value, with the JSON around it.
pub(crate) const VALUE_BYTES: u64 = 1_000;
const PATIENCE: Duration = Duration::from_secs(4);
/// So many lines fit the buffers of a connection that is not read from meanwhile.
const BATCH_LINES: u64 = 100;

pub(crate) fn key(index: u64) -> String {
    format!("fill-{index:07}")
}

fn data(index: u64) -> String {
    let head = format!("{{\"n\":{index},\"text\":\"");
    let rest = VALUE_BYTES as usize - head.len() - 2;
    format!("{head}{}\"}}", "x".repeat(rest))
}

/// Writes so many values of 1 KB through these nodes.
pub(crate) async fn fill(nodes: &[&Process], values: u64) {
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for turn in 0..4 {
        let (next, address) = (Arc::clone(&next), nodes[turn % nodes.len()].http);
        tasks.push(tokio::spawn(async move {
            let mut client = Client::connect(address).await;
            loop {
                let from = next.fetch_add(BATCH_LINES, Ordering::Relaxed);
                if from >= values {
                    return;
                }
                batch(&mut client, from..values.min(from + BATCH_LINES)).await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

async fn batch(client: &mut Client, indices: std::ops::Range<u64>) {
    let count = (indices.end - indices.start) as usize;
    let line = |index| format!("{{\"key\":\"{}\",\"data\":{}}}\n", key(index), data(index));
    let body: String = indices.map(line).collect();
    let headers = [("content-type", "application/x-ndjson")];
    let response = client.ask("POST", "/api/batch", &headers, &body).await;
    let stored = response.body.matches("\"status\":200").count();
    assert_eq!(
        stored,
        count,
        "{}",
        &response.body[..response.body.len().min(500)]
    );
}

/// One read that was answered, or not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Read {
    pub(crate) at: Instant,
    pub(crate) took: Duration,
    pub(crate) is_hit: bool,
}

/// Readers of random filled keys through one node.
pub(crate) struct Readers {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Vec<Read>>>,
}

impl Readers {
    /// Eight of them, each with a pause between its reads, so that there are about 2,000 reads a
    /// second: they look on, and do not load the machine.
    pub(crate) fn start(through: SocketAddr, keys: u64) -> Readers {
        let stop = Arc::new(AtomicBool::new(false));
        let look = |_| tokio::spawn(look(through, keys, Arc::clone(&stop)));
        Readers {
            tasks: (0..8).map(look).collect(),
            stop,
        }
    }

    pub(crate) async fn finish(self) -> Vec<Read> {
        self.stop.store(true, Ordering::Relaxed);
        let mut reads = Vec::new();
        for task in self.tasks {
            reads.extend(task.await.unwrap());
        }
        reads
    }
}

async fn look(through: SocketAddr, keys: u64, stop: Arc<AtomicBool>) -> Vec<Read> {
    let mut caller = Caller::new(PATIENCE);
    let mut reads = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let target = format!("/api?key={}", key(rand::random_range(0..keys)));
        let (outcome, span) = caller.ask(through, "GET", &target, "").await;
        reads.push(Read {
            at: span.from,
            took: span.to - span.from,
            is_hit: is_hit(&outcome),
        });
        sleep(Duration::from_millis(3)).await;
    }
    reads
}

/// Whether a read found a value.
pub(crate) fn is_hit(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Answered(response)
        if response.status == 200 && response.header("x-cache") == Some("HIT"))
}

/// The 99th percentile of the reads that began within these, in ms; 0 if there were none.
pub(crate) fn p99_ms(reads: &[Read], from: Instant, to: Instant) -> f64 {
    let within = reads.iter().filter(|read| (from..to).contains(&read.at));
    let mut took: Vec<Duration> = within.map(|read| read.took).collect();
    took.sort();
    let at = took.len() * 99 / 100;
    took.get(at).map_or(0.0, |took| took.as_secs_f64() * 1e3)
}

/// Writes of random keys through these nodes, as fast as they go, from so many connections.
pub(crate) struct Hammer {
    stop: Arc<AtomicBool>,
    pub(crate) acknowledged: Arc<AtomicU64>,
    pub(crate) failed: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<()>>,
}

impl Hammer {
    /// Every so many requests one is a write, the others are reads.
    pub(crate) fn start(nodes: &[&Process], keys: u64, connections: usize, every: u64) -> Hammer {
        let mut hammer = Hammer {
            stop: Arc::default(),
            acknowledged: Arc::default(),
            failed: Arc::default(),
            tasks: Vec::new(),
        };
        for connection in 0..connections {
            let node = nodes[connection % nodes.len()].http;
            let task = strike(
                node,
                keys,
                every,
                Arc::clone(&hammer.stop),
                Arc::clone(&hammer.acknowledged),
                Arc::clone(&hammer.failed),
            );
            hammer.tasks.push(tokio::spawn(task));
        }
        hammer
    }

    pub(crate) async fn finish(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        (count(&self.acknowledged), count(&self.failed))
    }
}

async fn strike(
    node: SocketAddr,
    keys: u64,
    every: u64,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
) {
    let mut caller = Caller::new(PATIENCE);
    for turn in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let index = rand::random_range(0..keys);
        let (method, target, body) = if turn.is_multiple_of(every) {
            let body = format!("{{\"key\":\"{}\",\"data\":{}}}", key(index), data(index));
            ("PUT", "/api".to_owned(), body)
        } else {
            ("GET", format!("/api?key={}", key(index)), String::new())
        };
        let (outcome, _) = caller.ask(node, method, &target, &body).await;
        if matches!(&outcome, Outcome::Answered(response) if response.status == 200) {
            acknowledged.fetch_add(1, Ordering::Relaxed);
        } else {
            failed.fetch_add(1, Ordering::Relaxed);
            // What refuses at once is not asked at once again.
            sleep(Duration::from_millis(2)).await;
        }
    }
}

/// User and system time of a process.
pub(crate) fn cpu(node: &Process) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", node.id())).unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| fields[at].parse::<u64>().unwrap();
    // A tick is a hundredth of a second on Linux.
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

/// Resident memory of a process in MB.
pub(crate) fn rss_mb(node: &Process) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib * 1_024.0 / 1e6
}
