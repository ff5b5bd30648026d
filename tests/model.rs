//! The table against a plain map, and commands against a plain model of every type; the test turns
//! the clock.

#![allow(clippy::unwrap_used)]

#[path = "model/commands.rs"]
mod commands;
#[path = "support/draw.rs"]
mod draw;
#[path = "support/model.rs"]
mod model;
#[path = "support/pure.rs"]
mod pure;
#[path = "support/vocabulary.rs"]
mod vocabulary;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use proptest::prelude::*;
use smache::clock::UnixMs;
use smache::command::{EntryRef, Kind};
use smache::key::{PartitionId, partition};
use smache::table::{Budget, Cursor, Error, Table};
use smache::version::{Hlc, NodeId, Version};

const START: u64 = 1_800_000_000_000;

#[derive(Clone, Debug)]
enum Step {
    Put {
        key: u8,
        len: usize,
        ttl: Option<u64>,
    },
    Remove {
        key: u8,
    },
    Get {
        key: u8,
    },
    Advance {
        ms: u64,
    },
    TurnBack {
        ms: u64,
    },
    Maintain {
        work: usize,
    },
    Scan {
        work: usize,
    },
    RemovePartition {
        key: u8,
    },
}

fn steps(count: usize) -> impl Strategy<Value = Vec<Step>> {
    let len = prop_oneof![
        6 => 0..300usize,
        2 => 4_000..20_000usize,
        1 => 60_000..80_000usize,
        1 => Just(1_100_000usize),
    ];
    let ttl = prop_oneof![
        Just(None),
        (0..5_000u64).prop_map(Some),
        Just(Some(u64::MAX))
    ];
    let key = 0..60u8;
    let step = prop_oneof![
        10 => (key.clone(), len, ttl).prop_map(|(key, len, ttl)| Step::Put { key, len, ttl }),
        4 => key.clone().prop_map(|key| Step::Remove { key }),
        6 => key.clone().prop_map(|key| Step::Get { key }),
        3 => (0..2_000u64).prop_map(|ms| Step::Advance { ms }),
        1 => (0..5_000u64).prop_map(|ms| Step::TurnBack { ms }),
        3 => (1..200usize).prop_map(|work| Step::Maintain { work }),
        1 => (1..50usize).prop_map(|work| Step::Scan { work }),
        1 => key.prop_map(|key| Step::RemovePartition { key }),
    ];
    prop::collection::vec(step, 1..count)
}

#[derive(Clone, Debug, PartialEq)]
struct Expected {
    data: Vec<u8>,
    version: Version,
    expires_at: Option<UnixMs>,
}

impl Expected {
    fn entry(&self) -> EntryRef<'_> {
        EntryRef {
            open: None,
            tag: None,
            kind: Kind::Json,
            data: &self.data,
            version: self.version,
            expires_at: self.expires_at,
        }
    }
}

struct Model {
    table: Table,
    budget: Arc<Budget>,
    map: HashMap<Vec<u8>, Expected>,
    now: u64,
    /// The latest moment that the table has seen: what had expired then may be gone for good.
    latest: u64,
    writes: u64,
    /// Whether the table must still have everything.
    exact: bool,
}

fn key_bytes(key: u8) -> Vec<u8> {
    // Some keys are as long as keys may be.
    let filler = if key.is_multiple_of(16) {
        4090
    } else {
        key as usize % 5
    };
    format!("{key:06}{}", "k".repeat(filler)).into_bytes()
}

impl Model {
    fn new(limit_bytes: u64, exact: bool) -> Model {
        let budget = Budget::new(limit_bytes);
        Model {
            table: Table::new(Arc::clone(&budget)),
            budget,
            map: HashMap::new(),
            now: START,
            latest: START,
            writes: 0,
            exact,
        }
    }

    fn now(&self) -> UnixMs {
        UnixMs(self.now)
    }

    /// Whether the table must, must not, or may have the key.
    fn verify(&self, key: &[u8], found: Option<EntryRef<'_>>) {
        let expected = self.map.get(key);
        let lives_at =
            |at: u64| expected.is_some_and(|e| e.expires_at.is_none_or(|until| until.0 > at));
        match found {
            Some(entry) => {
                assert!(lives_at(self.now), "{} must be gone", key.escape_ascii());
                assert_eq!(Some(entry), expected.map(Expected::entry));
            }
            None => assert!(
                !self.exact || !lives_at(self.latest),
                "{} is lost",
                key.escape_ascii()
            ),
        }
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Put { key, len, ttl } => self.put(*key, *len, *ttl),
            Step::Remove { key } => {
                let key = key_bytes(*key);
                let there = self.table.peek(&key, self.now()).is_some();
                assert_eq!(self.table.remove(&key, self.now()), there);
                self.map.remove(&key);
            }
            Step::Get { key } => {
                let key = key_bytes(*key);
                let now = self.now();
                let before = self.table.stats();
                let found = self.table.get(&key, now).map(|entry| entry.to_entry());
                let after = self.table.stats();
                let hit = u64::from(found.is_some());
                assert_eq!(after.hits - before.hits, hit);
                assert_eq!(after.misses - before.misses, 1 - hit);
                self.verify(&key, self.table.peek(&key, now));
                assert_eq!(self.table.peek(&key, now).is_some(), found.is_some());
            }
            Step::Advance { ms } => {
                self.now += ms;
                self.latest = self.latest.max(self.now);
            }
            Step::TurnBack { ms } => self.now -= ms,
            Step::Maintain { work } => {
                self.table.maintain(self.now(), *work);
            }
            Step::Scan { work } => self.scan(*work),
            Step::RemovePartition { key } => self.remove_partition(partition(&key_bytes(*key))),
        }
        assert!(
            self.budget.committed_bytes() <= self.budget.limit_bytes(),
            "{} over the limit",
            self.budget.committed_bytes()
        );
    }

    fn put(&mut self, key: u8, len: usize, ttl: Option<u64>) {
        self.writes += 1;
        let expected = Expected {
            data: vec![self.writes as u8; len],
            version: Version {
                hlc: Hlc(self.writes),
                node: NodeId(u32::from(key) * 7),
            },
            expires_at: ttl.map(|ttl| UnixMs(self.now.saturating_add(ttl))),
        };
        let key = key_bytes(key);
        let (now, place) = (self.now(), partition(&key));
        match self.table.put(place, &key, expected.entry(), now) {
            Ok(()) => {
                self.map.insert(key, expected);
            }
            Err(Error::Full { .. }) => assert!(!self.exact, "there is room"),
            Err(error) => panic!("{error}"),
        }
    }

    fn scan(&mut self, work: usize) {
        let mut seen = HashMap::new();
        let mut cursor = Some(Cursor::default());
        while let Some(at) = cursor {
            let now = self.now();
            cursor = self.table.scan(
                at,
                now,
                work,
                |_| true,
                |place, key, entry| {
                    assert_eq!(place, partition(key));
                    seen.insert(key.to_vec(), entry.to_entry());
                    true
                },
            );
        }
        for key in self.map.keys() {
            let found = seen.remove(key);
            let held = self.table.peek(key, self.now()).map(|e| e.to_entry());
            assert_eq!(found, held);
            self.verify(key, self.table.peek(key, self.now()));
        }
        assert!(seen.is_empty(), "never written: {seen:?}");
    }

    fn remove_partition(&mut self, gone: PartitionId) {
        let mut cursor = Some(Cursor::default());
        while let Some(at) = cursor {
            cursor = self.table.remove_partitions(|place| place == gone, at, 7);
        }
        assert_eq!(self.table.partition_entries(gone), 0);
        self.map.retain(|key, _| partition(key) != gone);
    }

    fn finish(&mut self) {
        self.table.check_invariants().unwrap();
        self.scan(1000);
        // Everything that expires within the test does so at last, and its memory comes back.
        self.now = self.latest + 60_000;
        while self.table.maintain(self.now(), 100) {}
        // Timers that were made anew just now, because the clock had stepped back, are due with the
        // next tick: all memory is back within a second.
        self.now += 1_000;
        self.latest = self.now;
        while self.table.maintain(self.now(), 100) {}
        self.table.check_invariants().unwrap();
        let live = self
            .map
            .values()
            .filter(|e| e.expires_at.is_none_or(|at| at > UnixMs(self.latest)));
        let entries = live.count() as u64;
        if self.exact {
            assert_eq!(self.table.stats().entries, entries);
        } else {
            assert!(self.table.stats().entries <= entries);
        }
        for place in PartitionId::all() {
            self.remove_partition(place);
        }
        while self.table.maintain(self.now(), 100) {}
        assert_eq!(self.table.stats().entries, 0);
        assert_eq!(self.table.stats().data_bytes, 0);
    }
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(48))]

    #[test]
    fn with_room_for_all_the_table_is_a_map(steps in steps(400)) {
        let mut model = Model::new(200 << 20, true);
        for step in &steps {
            model.run(step);
        }
        model.finish();
    }

    #[test]
    fn with_little_room_it_is_a_map_that_forgets(
        steps in steps(400),
        limit in prop_oneof![Just(150_000u64), Just(400_000), Just(3_000_000)],
    ) {
        let mut model = Model::new(limit, false);
        for step in &steps {
            model.run(step);
        }
        model.finish();
    }
}

fn entry(data: &[u8], expires_at: Option<UnixMs>) -> EntryRef<'_> {
    EntryRef {
        open: None,
        tag: None,
        kind: Kind::Json,
        data,
        version: Version::default(),
        expires_at,
    }
}

fn name(n: u64) -> Vec<u8> {
    format!("key:{n:012}").into_bytes()
}

fn put(table: &mut Table, n: u64, data: &[u8], expires_at: Option<UnixMs>, now: u64) {
    let key = name(n);
    table
        .put(partition(&key), &key, entry(data, expires_at), UnixMs(now))
        .unwrap();
}

/// SplitMix64: a fixed sequence, so that a failure repeats.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// Writes, moves and removals between the steps of a scan, with and without eviction.
fn scan_is_complete(limit_bytes: u64, seed: u64) {
    let mut random = Random(seed);
    let mut table = Table::new(Budget::new(limit_bytes));
    const KEYS: u64 = 6_000;
    for n in 0..KEYS {
        put(&mut table, n, &[1; 100], None, START);
    }
    let mut staying: HashSet<u64> = (0..KEYS).collect();
    let mut seen = HashSet::new();
    let mut cursor = Some(Cursor::default());
    let mut calls = 0;
    while let Some(at) = cursor {
        for _ in 0..20 {
            let n = random.below(KEYS);
            match random.below(6) {
                0 => {
                    table.remove(&name(n), UnixMs(START));
                    staying.remove(&n);
                }
                1 => {
                    // A key that was evicted meanwhile was not present throughout.
                    if table.peek(&name(n), UnixMs(START)).is_none() {
                        staying.remove(&n);
                    }
                    let len = random.below(300) as usize;
                    put(&mut table, n, &vec![2; len], None, START);
                }
                2 => put(
                    &mut table,
                    KEYS + random.below(1000),
                    &[3; 500],
                    None,
                    START,
                ),
                3 => {
                    table.maintain(UnixMs(START), 50);
                }
                _ => {
                    table.get(&name(n), UnixMs(START));
                }
            }
        }
        cursor = table.scan(
            at,
            UnixMs(START),
            40,
            |_| true,
            |_, key, _| {
                seen.insert(key.to_vec());
                random.below(100) > 0
            },
        );
        calls += 1;
        assert!(calls < 10_000, "seed {seed}: the scan does not end");
    }
    table.check_invariants().unwrap();
    staying.retain(|n| table.peek(&name(*n), UnixMs(START)).is_some());
    assert!(staying.len() > 500, "seed {seed}: {} stayed", staying.len());
    for n in staying {
        assert!(seen.contains(&name(n)), "seed {seed}: {n} was not visited");
    }
}

#[test]
fn a_scan_visits_every_key_that_stays_whatever_moves() {
    for seed in 0..6 {
        scan_is_complete(64 << 20, seed);
        scan_is_complete(900_000, seed);
    }
}

#[test]
fn expired_entries_give_their_memory_back_within_a_second() {
    let budget = Budget::new(256 << 20);
    let mut table = Table::new(Arc::clone(&budget));
    for n in 0..50_000 {
        let at = START + 1 + n % 10_000;
        put(&mut table, n, &[7; 100], Some(UnixMs(at)), START);
        // Some are extended, some shortened, some made to stay.
        match n % 10 {
            0 => put(&mut table, n, &[8; 100], Some(UnixMs(at + 5_000)), START),
            1 => put(&mut table, n, &[8; 100], Some(UnixMs(START + 1)), START),
            2 => put(&mut table, n, &[8; 50], None, START),
            _ => {}
        }
    }
    for now in (START..START + 16_000).step_by(100) {
        while table.maintain(UnixMs(now), 1000) {}
        if now == START + 5_000 {
            let entries = table.stats().entries;
            assert!((27_000..30_000).contains(&entries), "{entries}");
        }
    }
    table.check_invariants().unwrap();
    assert_eq!(table.stats().entries, 5_000);
    assert_eq!(table.stats().expirations, 45_000);
    // 5,000 entries of 66 bytes, their index, and what is tolerated.
    assert!(
        budget.committed_bytes() < 1_200_000,
        "{}",
        budget.committed_bytes()
    );
}

#[test]
fn a_clock_that_steps_back_does_not_stop_expiry() {
    let mut table = Table::new(Budget::new(16 << 20));
    put(&mut table, 0, b"x", Some(UnixMs(START + 10_000_000)), START);
    table.maintain(UnixMs(START), 100);
    let back = START - 3_600_000;
    put(&mut table, 1, b"x", Some(UnixMs(back + 500)), back);
    for now in (back..back + 2_000).step_by(100) {
        table.maintain(UnixMs(now), 100);
    }
    assert_eq!(table.stats().entries, 1);
    assert!(table.peek(&name(0), UnixMs(back)).is_some());
}

#[test]
fn writing_and_removing_over_and_over_leaves_no_timers_behind() {
    let mut table = Table::new(Budget::new(64 << 20));
    for round in 0..100 {
        for n in 0..1_000 {
            put(&mut table, n, b"x", Some(UnixMs(START + 3_600_000)), START);
            assert!(table.remove(&name(n), UnixMs(START)));
        }
        while table.maintain(UnixMs(START + round), 500) {}
    }
    assert!(table.stats().timer_bytes < 60_000, "{:?}", table.stats());
}

#[test]
fn memory_comes_back_after_large_deletes() {
    let budget = Budget::new(256 << 20);
    let mut table = Table::new(Arc::clone(&budget));
    for n in 0..100_000 {
        put(&mut table, n, &[1; 100], None, START);
    }
    let full = budget.committed_bytes();
    assert!(full < 100_000 * (116 + 30), "{full}");
    for n in (0..100_000).filter(|n| n % 10 != 0) {
        table.remove(&name(n), UnixMs(START));
    }
    while table.maintain(UnixMs(START), 1000) {}
    table.check_invariants().unwrap();
    let left = budget.committed_bytes();
    assert!(left < 10_000 * (116 + 30) + 300_000, "{left}");
    for n in (0..100_000).step_by(10) {
        assert!(table.peek(&name(n), UnixMs(START)).is_some());
    }
}

#[test]
fn overwriting_with_other_lengths_stays_compact() {
    let budget = Budget::new(256 << 20);
    let mut table = Table::new(Arc::clone(&budget));
    let mut random = Random(1);
    for round in 0..6 {
        for n in 0..30_000u64 {
            let n = if round == 0 { n } else { random.below(30_000) };
            put(
                &mut table,
                n,
                &vec![1; 80 + random.below(40) as usize],
                None,
                START,
            );
            if n % 500 == 0 {
                while table.maintain(UnixMs(START), 1000) {}
            }
        }
    }
    while table.maintain(UnixMs(START), 1000) {}
    table.check_invariants().unwrap();
    let stats = table.stats();
    let overhead = (budget.committed_bytes() - stats.data_bytes) as f64 / stats.entries as f64;
    assert!(overhead < 48.0, "{overhead} {stats:?}");
}

#[test]
fn what_can_never_fit_is_refused_and_evicts_nothing() {
    let mut table = Table::new(Budget::new(1 << 20));
    for n in 0..100 {
        put(&mut table, n, &[1; 100], None, START);
    }
    let key = name(1_000);
    let data = vec![0; 2 << 20];
    let refused = table.put(partition(&key), &key, entry(&data, None), UnixMs(START));
    assert!(matches!(refused, Err(Error::Full { limit_bytes, .. }) if limit_bytes == 1 << 20));
    assert_eq!(table.stats().entries, 100);
    for key in [vec![], vec![0; 4097]] {
        let refused = table.put(PartitionId(0), &key, entry(b"", None), UnixMs(START));
        assert_eq!(refused, Err(Error::KeyLength { bytes: key.len() }));
    }
}

#[test]
fn a_table_that_comes_late_gets_its_share() {
    let budget = Budget::new(8 << 20);
    let mut first = Table::new(Arc::clone(&budget));
    let mut second = Table::new(Arc::clone(&budget));
    for n in 0..100_000 {
        put(&mut first, n, &[1; 100], None, START);
    }
    assert!(first.stats().committed_bytes > 7 << 20);
    for n in 0..100_000 {
        put(&mut second, n, &[1; 100], None, START);
        if n % 100 == 0 {
            first.maintain(UnixMs(START), 1000);
        }
        assert!(budget.committed_bytes() <= budget.limit_bytes());
    }
    let (a, b) = (
        first.stats().committed_bytes,
        second.stats().committed_bytes,
    );
    assert!(b > 3 << 20, "{a} {b}");
    budget.set_limit_bytes(2 << 20);
    while first.maintain(UnixMs(START), 1000) || second.maintain(UnixMs(START), 1000) {}
    assert!(budget.committed_bytes() <= 2 << 20);
    drop((first, second));
    assert_eq!(budget.committed_bytes(), 0);
}

/// Keys by a Zipf law with exponent 0.9.
fn zipf(random: &mut Random, cumulated: &[f64]) -> u64 {
    let at = random.next() as f64 / u64::MAX as f64 * cumulated[cumulated.len() - 1];
    cumulated.partition_point(|sum| *sum < at) as u64
}

#[test]
fn eviction_beats_plain_fifo_on_a_zipf_load() {
    let mut cumulated = Vec::new();
    let mut sum = 0.0;
    for n in 1..=20_000 {
        sum += f64::from(n).powf(-0.9);
        cumulated.push(sum);
    }
    let mut random = Random(3);
    let load: Vec<u64> = (0..200_000)
        .map(|_| zipf(&mut random, &cumulated))
        .collect();
    let mut table = Table::new(Budget::new(400_000));
    let mut room = 0;
    for n in &load {
        if table.get(&name(*n), UnixMs(START)).is_none() {
            put(&mut table, *n, &[1; 100], None, START);
        }
        room = room.max(table.stats().entries as usize);
    }
    table.check_invariants().unwrap();
    let (mut fifo, mut held, mut hits) = (VecDeque::new(), HashSet::new(), 0);
    for n in &load {
        if held.contains(n) {
            hits += 1;
            continue;
        }
        if fifo.len() == room {
            held.remove(&fifo.pop_front().unwrap());
        }
        fifo.push_back(*n);
        held.insert(*n);
    }
    let (ours, plain) = (table.stats().hits, hits);
    assert!(
        ours > plain + load.len() as u64 / 50,
        "{ours} against {plain} with {room} entries"
    );
}
