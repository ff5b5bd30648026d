//! What an entry costs: growth of resident memory less keys and values, by entry, with keys of 16
//! and values of 100 bytes; and how long single operations take on the way.
//!
//! Each case runs in a process of its own, so that no case lives off pages that another left.
//! Prints one line a case, and the means that the design sets bars for (40 bytes without expiry,
//! 48 with).

use std::hint::black_box;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use smache::clock::UnixMs;
use smache::command::{EntryRef, Kind};
use smache::key::PartitionId;
use smache::table::{Budget, Table};
use smache::version::{Hlc, NodeId, Version};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEY_BYTES: usize = 16;
const VALUE_BYTES: usize = 100;
const COUNTS: [u64; 3] = [500_000, 1_000_000, 2_000_000];
const NOW: UnixMs = UnixMs(1_800_000_000_000);
/// As in a node with two writers.
const TABLES: usize = 2;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(at) = args.iter().position(|arg| arg == "--case") {
        let count = args[at + 1].parse().expect("a count");
        run_case(count, args[at + 2] == "ttl");
        return;
    }
    println!(
        "{:>9} {:>4} | {:>6} {:>9} {:>9} {:>9} | {:>7} {:>7} {:>9} {:>7}",
        "entries",
        "ttl",
        "filled",
        "rewritten",
        "resized",
        "accounted",
        "put ns",
        "get ns",
        "rewrite",
        "resize"
    );
    let program = std::env::current_exe().expect("this program has a path");
    for ttl in ["no", "ttl"] {
        let mut sums = [0.0; 3];
        for count in COUNTS {
            let count = count.to_string();
            let case = Command::new(&program)
                .args(["--case", &count, ttl])
                .output();
            let output = String::from_utf8(case.expect("the case runs").stdout).expect("text");
            print!("{output}");
            let columns = output
                .split_whitespace()
                .filter_map(|c| c.parse::<f64>().ok());
            for (sum, column) in sums.iter_mut().zip(columns.skip(1)) {
                *sum += column / COUNTS.len() as f64;
            }
        }
        let [filled, rewritten, resized] = sums;
        println!(
            "{:>9} {ttl:>4} | {filled:>6.1} {rewritten:>9.1} {resized:>9.1}",
            "mean"
        );
    }
}

struct Load {
    tables: Vec<Table>,
    budget: Arc<Budget>,
    count: u64,
    ttl: bool,
    resident_before: u64,
}

fn run_case(count: u64, ttl: bool) {
    let budget = Budget::new(2 << 30);
    let tables = (0..TABLES)
        .map(|_| Table::new(Arc::clone(&budget)))
        .collect();
    let mut load = Load {
        tables,
        budget,
        count,
        ttl,
        resident_before: resident_bytes(),
    };
    let put_ns = load.write(|_| VALUE_BYTES);
    let filled = load.overhead();
    let get_ns = load.read();
    let rewrite_ns = load.write(|_| VALUE_BYTES);
    let rewritten = load.overhead();
    // Lengths from 80 to 120, so that most entries must be moved.
    let resize_ns = load.write(|n| 80 + (mix(n) % 41) as usize);
    let resized = load.overhead();
    let data: u64 = load.tables.iter().map(|t| t.stats().data_bytes).sum();
    let accounted = (load.budget.committed_bytes() - data) as f64 / count as f64;
    let ttl = if ttl { "ttl" } else { "no" };
    println!(
        "{count:>9} {ttl:>4} | {filled:>6.1} {rewritten:>9.1} {resized:>9.1} {accounted:>9.1} \
         | {put_ns:>7.0} {get_ns:>7.0} {rewrite_ns:>9.0} {resize_ns:>7.0}"
    );
}

impl Load {
    /// Writes every key once in a scattered order; nanoseconds for each, upkeep included.
    fn write(&mut self, len: impl Fn(u64) -> usize) -> f64 {
        let value = [b'v'; 2 * VALUE_BYTES];
        let start = now();
        for n in 0..self.count {
            let n = scatter(n, self.count);
            let key = key(n);
            let entry = EntryRef {
                open: None,
                tag: None,
                kind: Kind::Json,
                data: &value[..len(n)],
                version: Version {
                    hlc: Hlc(n),
                    node: NodeId(1),
                },
                expires_at: self
                    .ttl
                    .then(|| NOW.plus(std::time::Duration::from_millis(60_000 + n))),
            };
            let place = PartitionId((mix(n) % 4096) as u16);
            let table = &mut self.tables[n as usize % TABLES];
            table.put(place, &key, entry, NOW).expect("there is room");
            if n.is_multiple_of(1000) {
                while table.maintain(NOW, 1000) {}
            }
        }
        for table in &mut self.tables {
            while table.maintain(NOW, 1000) {}
        }
        start.elapsed().as_nanos() as f64 / self.count as f64
    }

    /// Reads as many keys as there are, scattered; nanoseconds for each.
    fn read(&mut self) -> f64 {
        let start = now();
        for n in 0..self.count {
            let n = mix(n) % self.count;
            let entry = self.tables[n as usize % TABLES].get(&key(n), NOW);
            black_box(entry.expect("it is there").data);
        }
        start.elapsed().as_nanos() as f64 / self.count as f64
    }

    fn overhead(&self) -> f64 {
        let data: u64 = self.tables.iter().map(|t| t.stats().data_bytes).sum();
        let entries: u64 = self.tables.iter().map(|t| t.stats().entries).sum();
        assert_eq!(entries, self.count);
        (resident_bytes() - self.resident_before - data) as f64 / entries as f64
    }
}

fn key(n: u64) -> [u8; KEY_BYTES] {
    let mut key = *b"key:000000000000";
    let (mut n, mut at) = (n, KEY_BYTES);
    while n > 0 {
        at -= 1;
        key[at] = b'0' + (n % 10) as u8;
        n /= 10;
    }
    key
}

/// A permutation of 0..count: the step is a prime that divides no count used here.
fn scatter(n: u64, count: u64) -> u64 {
    n * 7_919_993 % count
}

fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    n ^ (n >> 29)
}

#[allow(clippy::disallowed_methods)]
fn now() -> Instant {
    Instant::now()
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = statm
        .split_whitespace()
        .nth(1)
        .and_then(|p| p.parse::<u64>().ok());
    pages.expect("a number of pages") * 4096
}
