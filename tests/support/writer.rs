//! One client of a [`Workload`](super::workload::Workload): it writes keys that nobody else writes,
//! and so knows what every read must answer.
#![allow(dead_code, reason = "each of the tests uses a part of it")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;
use tokio::time::{Instant, sleep};

use super::caller::{Caller, Outcome};
use super::client::Response;
use super::expected::{Expected, Known, Life, Seen, Span, Tally};
use super::process::PATIENCE;
use super::workload::Shared;

/// Longer than a node itself takes for a request (2 s).
const ANSWER_PATIENCE: Duration = Duration::from_secs(4);

/// A key and what is known of it.
pub(crate) struct Slot {
    key: String,
    expected: Expected,
}

/// One client.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    id: u64,
    rng: SmallRng,
    caller: Caller,
    pub(crate) slots: Vec<Slot>,
    /// Keys of which a write failed: they are read, and not written again.
    pub(crate) retired: Vec<Slot>,
    pub(crate) tallies: Vec<Tally>,
    /// Of the last write; no two are alike.
    n: u64,
    /// Keys that were named.
    named: u64,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, id: u64, rng: SmallRng) -> Writer {
        let options = shared.options;
        let mut writer = Writer {
            shared,
            id,
            rng,
            caller: Caller::new(ANSWER_PATIENCE),
            slots: Vec::new(),
            retired: Vec::new(),
            tallies: vec![Tally::default(); options.counters],
            n: 0,
            named: 0,
        };
        for _ in 0..options.keys {
            let slot = writer.fresh();
            writer.slots.push(slot);
        }
        writer
    }

    fn fresh(&mut self) -> Slot {
        self.named += 1;
        Slot {
            key: format!("w{}-{}", self.id, self.named),
            expected: Expected::new(),
        }
    }

    pub(crate) async fn work(mut self) -> Writer {
        while !self.shared.stop.load(Ordering::SeqCst) {
            self.turn().await;
            sleep(self.shared.options.pause).await;
        }
        self
    }

    fn node(&mut self) -> Option<SocketAddr> {
        let nodes = self.shared.nodes.lock().unwrap();
        let turn = self.rng.random_range(0..nodes.len().max(1));
        nodes.get(turn).copied()
    }

    async fn turn(&mut self) {
        let Some(node) = self.node() else {
            return;
        };
        let place = self.rng.random_range(0..self.slots.len());
        match self.rng.random_range(0..100) {
            0..40 => self.read(node, place).await,
            40..45 => self.read_retired(node).await,
            45..75 => self.put(node, place, None).await,
            75..80 => self.put(node, place, Some((60_000, 120_000))).await,
            80..85 => self.put(node, place, Some((300, 2_500))).await,
            85..90 => self.delete(node, place).await,
            _ => self.count(node).await,
        }
    }

    /// Writes a new value, sometimes with a time to live between these milliseconds, and reads it
    /// back through some node: what was acknowledged is seen at once.
    async fn put(&mut self, node: SocketAddr, place: usize, ttl_ms: Option<(u64, u64)>) {
        self.n += 1;
        let n = self.n;
        let ttl_ms = ttl_ms.map(|(from, to)| self.rng.random_range(from..to));
        let text = "x".repeat(self.rng.random_range(0..300));
        let key = &self.slots[place].key;
        let ttl = ttl_ms.map_or(String::new(), |ms| format!(",\"ttl\":\"{ms}ms\""));
        let body = format!(
            "{{\"key\":\"{key}\",\"data\":{{\"n\":{n},\"by\":\"{key}\",\"text\":\"{text}\"}}{ttl}}}"
        );
        let (outcome, span) = self.caller.ask(node, "PUT", "/api", &body).await;
        let ttl = ttl_ms.map(Duration::from_millis);
        match &outcome {
            Outcome::Answered(response) if response.status == 200 => {
                let known = Known::Stored {
                    n,
                    etag: response.header("etag").map(str::to_owned),
                    life: ttl.map(|ttl| Life::of(ttl, span)),
                };
                self.acknowledged(node, place, known, span);
            }
            outcome => {
                let life = ttl.map(|ttl| Life::of_doubtful(ttl, span.from));
                let etag = None;
                let known = Known::Stored { n, etag, life };
                self.failed(node, place, known, outcome).await;
                return;
            }
        }
        if let Some(other) = self.node()
            && n.is_multiple_of(2)
        {
            self.read(other, place).await;
        }
    }

    async fn delete(&mut self, node: SocketAddr, place: usize) {
        let target = format!("/api?key={}", self.slots[place].key);
        let (outcome, span) = self.caller.ask(node, "DELETE", &target, "").await;
        match &outcome {
            Outcome::Answered(response) if response.status == 200 => {
                self.acknowledged(node, place, Known::Absent, span);
            }
            outcome => self.failed(node, place, Known::Absent, outcome).await,
        }
    }

    fn acknowledged(&mut self, node: SocketAddr, place: usize, known: Known, span: Span) {
        let counts = &self.shared.counts;
        counts.acknowledged.fetch_add(1, Ordering::Relaxed);
        let took = (span.to - span.from).as_millis() as u64;
        counts.slowest_ms.fetch_max(took, Ordering::Relaxed);
        let how = format!("through {node} at {} ms", self.shared.ms());
        self.slots[place].expected.acknowledged(known, how);
    }

    /// Puts a key aside whose write failed, unless it is certain that nothing came of it.
    async fn failed(&mut self, node: SocketAddr, place: usize, known: Known, outcome: &Outcome) {
        let counts = &self.shared.counts;
        counts.failed.fetch_add(1, Ordering::Relaxed);
        if !is_without_effect(outcome) {
            let why = match outcome {
                Outcome::Answered(response) => response.body.clone(),
                other => format!("{other:?}"),
            };
            let how = format!("through {node} at {} ms: {why}", self.shared.ms());
            let fresh = self.fresh();
            let mut slot = std::mem::replace(&mut self.slots[place], fresh);
            slot.expected.failed(known, how);
            self.retired.push(slot);
        }
        sleep(Duration::from_millis(10)).await;
    }

    async fn count(&mut self, node: SocketAddr) {
        if self.tallies.is_empty() {
            return;
        }
        let place = self.rng.random_range(0..self.tallies.len());
        let target = format!("/counters/w{}-{place}", self.id);
        if self.rng.random_bool(0.3) {
            return self.read_counter(node, &target, place, true).await;
        }
        let target_by_one = format!("{target}?increment=1");
        let (outcome, _) = self.caller.ask(node, "PUT", &target_by_one, "").await;
        let (counts, tally) = (&self.shared.counts, &mut self.tallies[place]);
        match &outcome {
            Outcome::Answered(response) if response.status == 200 => {
                counts.acknowledged.fetch_add(1, Ordering::Relaxed);
                counts.increments.fetch_add(1, Ordering::Relaxed);
                let (before, value) = (*tally, counter(response));
                if !tally.acknowledged(value) {
                    let what = format!("{target} is {value} through {node}, after {before:?}");
                    let key = format!("counters:w{}-{place}", self.id);
                    self.complain(what, &key).await;
                }
            }
            outcome => {
                counts.failed.fetch_add(1, Ordering::Relaxed);
                if !is_without_effect(outcome) {
                    tally.failed();
                }
                sleep(Duration::from_millis(10)).await;
            }
        }
    }

    async fn read_counter(&mut self, node: SocketAddr, target: &str, place: usize, load: bool) {
        let Some((response, _)) = self.answer(node, target, load).await else {
            return;
        };
        let value = counter(&response);
        let lenient = self.shared.lenient.load(Ordering::SeqCst);
        let tally = &mut self.tallies[place];
        if tally.admits(value, !lenient) {
            return;
        }
        if lenient {
            self.shared.counts.stale.fetch_add(1, Ordering::Relaxed);
        } else {
            let what = format!("{target} is {value} through {node}, not {tally:?}");
            let key = format!("counters:w{}-{place}", self.id);
            self.complain(what, &key).await;
        }
    }

    async fn read(&mut self, node: SocketAddr, place: usize) {
        let key = self.slots[place].key.clone();
        if let Some((response, span)) = self.answer(node, &target(&key), true).await {
            let expected = &mut self.slots[place].expected;
            let wrong = judge(&self.shared, node, &key, expected, &response, span);
            self.complain_of(wrong, &key).await;
        }
    }

    async fn read_retired(&mut self, node: SocketAddr) {
        if self.retired.is_empty() {
            return;
        }
        let place = self.rng.random_range(0..self.retired.len());
        let key = self.retired[place].key.clone();
        if let Some((response, span)) = self.answer(node, &target(&key), true).await {
            let expected = &mut self.retired[place].expected;
            let wrong = judge(&self.shared, node, &key, expected, &response, span);
            self.complain_of(wrong, &key).await;
        }
    }

    /// The answer to a read. Under load one may fail; otherwise it is repeated for a while.
    async fn answer(
        &mut self,
        node: SocketAddr,
        target: &str,
        load: bool,
    ) -> Option<(Response, Span)> {
        let counts = &self.shared.counts;
        let end = Instant::now() + PATIENCE;
        loop {
            let (outcome, span) = self.caller.ask(node, "GET", target, "").await;
            match outcome {
                Outcome::Answered(response) if response.status == 200 => {
                    counts.reads.fetch_add(1, Ordering::Relaxed);
                    return Some((response, span));
                }
                outcome if load || Instant::now() > end => {
                    if !load {
                        let what = format!("{target} cannot be read through {node}: {outcome:?}");
                        self.shared.complain(what);
                    }
                    counts.reads_failed.fetch_add(1, Ordering::Relaxed);
                    sleep(Duration::from_millis(10)).await;
                    return None;
                }
                _ => sleep(Duration::from_millis(50)).await,
            }
        }
    }

    async fn complain_of(&mut self, wrong: Option<String>, key: &str) {
        if let Some(what) = wrong {
            self.complain(what, key).await;
        }
    }

    /// Complains, with what all nodes say of the key.
    async fn complain(&mut self, what: String, key: &str) {
        let at_ms = self.shared.ms();
        let nodes = self.shared.nodes.lock().unwrap().clone();
        let mut said = String::new();
        for node in nodes {
            for path in ["/api/locate", "/api"] {
                let target = format!("{path}?key={key}");
                let (outcome, _) = self.caller.ask(node, "GET", &target, "").await;
                if let Outcome::Answered(response) = outcome {
                    said += &format!("\n    {node}: {}", response.body);
                }
            }
        }
        self.shared.complain(format!("at {at_ms} ms: {what}{said}"));
    }

    /// Reads everything through each of these nodes.
    pub(crate) async fn read_back(mut self, nodes: Vec<SocketAddr>) {
        let mut slots = std::mem::take(&mut self.slots);
        slots.append(&mut self.retired);
        for slot in &mut slots {
            for node in &nodes {
                let answer = self.answer(*node, &target(&slot.key), false).await;
                if let Some((response, span)) = answer {
                    let expected = &mut slot.expected;
                    let wrong = judge(&self.shared, *node, &slot.key, expected, &response, span);
                    self.complain_of(wrong, &slot.key).await;
                }
            }
        }
        for place in 0..self.tallies.len() {
            let target = format!("/counters/w{}-{place}", self.id);
            for node in &nodes {
                self.read_counter(*node, &target, place, false).await;
            }
        }
    }
}

fn target(key: &str) -> String {
    format!("/api?key={key}")
}

/// Whether a request that was not acknowledged was certainly not carried out either.
fn is_without_effect(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::NotSent => true,
        Outcome::Answered(response) => response.body.contains("\"not_ready\""),
        Outcome::Unknown(_) => false,
    }
}

fn counter(response: &Response) -> u64 {
    let value = response.json()["value"].as_u64();
    value.unwrap_or_else(|| panic!("no counter: {response:?}"))
}

/// Compares an answer with what is known: what is wrong with it.
fn judge(
    shared: &Shared,
    node: SocketAddr,
    key: &str,
    expected: &mut Expected,
    response: &Response,
    span: Span,
) -> Option<String> {
    let json = response.json();
    let data = &json["data"];
    let seen = if data.is_null() {
        Seen::Missing
    } else {
        Seen::Value {
            n: data["n"].as_u64().unwrap_or(0),
            etag: response.header("etag").unwrap_or_default().to_owned(),
            ttl_ms: response
                .header("x-ttl-ms")
                .map(|text| text.parse().unwrap()),
        }
    };
    let lenient = shared.lenient.load(Ordering::SeqCst);
    if expected.admits(&seen, span, !lenient) && (data.is_null() || data["by"] == *key) {
        return None;
    }
    if lenient {
        shared.counts.stale.fetch_add(1, Ordering::Relaxed);
        return None;
    }
    if seen == Seen::Missing && expected.must_be_there() {
        shared.counts.misses.fetch_add(1, Ordering::Relaxed);
    }
    let from = &json["node"];
    Some(format!(
        "{key} is {seen:?}, by {data} of {from} through {node}, not {expected:?} (asked {} ms ago)",
        span.from.elapsed().as_millis()
    ))
}
