//! Load on a cluster by clients that know exactly what they must read.
//!
//! Each writer has keys and counters of its own and goes round: it reads, writes, deletes and
//! counts, through any of the nodes, and checks every answer against what it knows
//! ([`expected`](super::expected)).
//! In the end all of it is read back through every node. What does not agree is collected, and
//! fails the test with [`Workload::finish`].
#![allow(dead_code, reason = "each of the tests uses a part of it")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::process::{PATIENCE, Process};
use super::writer::Writer;

/// As many complaints as a reader can bear.
const COMPLAINTS_MAX: usize = 25;

/// How much load there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) writers: u64,
    /// Keys of each writer.
    pub(crate) keys: usize,
    /// Counters of each writer.
    pub(crate) counters: usize,
    /// Between two requests of a writer.
    pub(crate) pause: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            writers: 4,
            keys: 250,
            counters: 10,
            pause: Duration::from_millis(2),
        }
    }
}

/// What has happened.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) reads: AtomicU64,
    pub(crate) reads_failed: AtomicU64,
    /// Reads of a key that must have been there, and was not.
    pub(crate) misses: AtomicU64,
    /// Reads that did not agree, while that was allowed.
    pub(crate) stale: AtomicU64,
    pub(crate) acknowledged: AtomicU64,
    pub(crate) increments: AtomicU64,
    pub(crate) failed: AtomicU64,
    /// The slowest that was answered.
    pub(crate) slowest_ms: AtomicU64,
}

/// What the writers share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) began: Instant,
    pub(crate) nodes: Mutex<Vec<SocketAddr>>,
    pub(crate) stop: AtomicBool,
    pub(crate) lenient: AtomicBool,
    pub(crate) counts: Counts,
    pub(crate) complaints: Mutex<Vec<String>>,
}

impl Shared {
    pub(crate) fn ms(&self) -> u128 {
        self.began.elapsed().as_millis()
    }

    pub(crate) fn complain(&self, what: String) {
        let mut complaints = self.complaints.lock().unwrap();
        if complaints.len() < COMPLAINTS_MAX {
            complaints.push(what);
        }
    }
}

/// Writers at work.
pub(crate) struct Workload {
    shared: Arc<Shared>,
    writers: Vec<JoinHandle<Writer>>,
}

impl Workload {
    /// Starts the load on these nodes.
    pub(crate) async fn start(options: Options, nodes: &[&Process]) -> Workload {
        let seed = std::env::var("SEED")
            .ok()
            .and_then(|text| text.parse().ok());
        let seed = seed.unwrap_or_else(rand::random::<u64>);
        eprintln!("the clients choose by SEED={seed}");
        let mut options = options;
        let counters = nodes[0].get("/counters/there").await;
        if counters.status != 200 {
            eprintln!("NOT CHECKED: counters, which this binary does not have: {counters:?}");
            options.counters = 0;
        }
        let shared = Arc::new(Shared {
            options,
            began: Instant::now(),
            nodes: Mutex::new(nodes.iter().map(|node| node.http).collect()),
            stop: AtomicBool::new(false),
            lenient: AtomicBool::new(false),
            counts: Counts::default(),
            complaints: Mutex::new(Vec::new()),
        });
        let start = |id| {
            let rng = SmallRng::seed_from_u64(seed.wrapping_add(id));
            tokio::spawn(Writer::new(Arc::clone(&shared), id, rng).work())
        };
        Workload {
            writers: (0..options.writers).map(start).collect(),
            shared,
        }
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    pub(crate) fn say(&self, what: &str) {
        eprintln!("{:>6} ms: {what}", self.shared.ms());
    }

    /// Clients are sent to this node too.
    pub(crate) fn enter(&self, node: &Process) {
        self.say(&format!("{} at {} takes part", node.name, node.http));
        self.shared.nodes.lock().unwrap().push(node.http);
    }

    /// Clients are not sent to this node any more.
    pub(crate) fn leave(&self, node: &Process) {
        self.say(&format!("{} takes no part any more", node.name));
        let mut nodes = self.shared.nodes.lock().unwrap();
        nodes.retain(|known| *known != node.http);
    }

    /// From now on, or no longer, reads may answer what is not so any more: there are two owners,
    /// one of which does not know it.
    pub(crate) fn lenient(&self, on: bool) {
        self.shared.lenient.store(on, Ordering::SeqCst);
    }

    /// Waits until the writers have come so many writes further, so that each step of a test sees
    /// some.
    pub(crate) async fn progress(&self, writes: u64) {
        let acknowledged = &self.shared.counts.acknowledged;
        let goal = acknowledged.load(Ordering::Relaxed) + writes;
        let end = Instant::now() + PATIENCE;
        while acknowledged.load(Ordering::Relaxed) < goal {
            self.check();
            assert!(
                Instant::now() < end,
                "the writers do not come further: {:?}",
                self.shared.counts
            );
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Fails if anything did not agree so far.
    pub(crate) fn check(&self) {
        let complaints = self.shared.complaints.lock().unwrap();
        assert!(
            complaints.is_empty(),
            "{} or more answers that cannot be:\n{}\n{:?}",
            complaints.len(),
            complaints.join("\n"),
            self.shared.counts
        );
    }

    /// Ends the load and asserts that all that was acknowledged is there through each of these
    /// nodes.
    pub(crate) async fn finish(self, nodes: &[&Process]) -> Counts {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.lenient(false);
        let mut reading = Vec::new();
        let addresses: Vec<SocketAddr> = nodes.iter().map(|node| node.http).collect();
        let mut known = (0, 0);
        for writer in self.writers {
            let writer = writer.await.unwrap();
            known.0 += writer.slots.len() + writer.retired.len();
            known.1 += writer.tallies.len();
            reading.push(tokio::spawn(writer.read_back(addresses.clone())));
        }
        for reading in reading {
            reading.await.unwrap();
        }
        eprintln!(
            "{:>6} ms: {} keys and {} counters read back through {} nodes: {:?}",
            self.shared.ms(),
            known.0,
            known.1,
            nodes.len(),
            self.shared.counts
        );
        let workload = Workload {
            shared: self.shared,
            writers: Vec::new(),
        };
        workload.check();
        Arc::into_inner(workload.shared).unwrap().counts
    }
}
