//! Clients of a stable cluster, and the histories that they see.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use smache::config::Config;
use tokio::time::{Instant, timeout};

use crate::checker::{Event, check};
use crate::client::PATIENCE;
use crate::cluster::Cluster;
use crate::doors::{Door, Key, Told, doors};
use crate::draw::{Random, Source, seed};
use crate::vocabulary::{Answer, End, Op, Text, Value};

const CLIENTS: u64 = 5;
/// How many operations each client does in a round, over all keys.
const STEPS: usize = 36;
/// The types whose operations are mixed, one key of each in a round; two of those that have versions.
const SERVICES: [&str; 7] = ["kv", "kv", "counters", "sets", "hashes", "lists", "json"];
/// One of so many requests is given up while it is under way.
const GIVEN_UP: u64 = 60;

/// What all clients write down, in one order.
#[derive(Default)]
struct Record {
    clock: AtomicU64,
    histories: Mutex<BTreeMap<Key, Vec<Event>>>,
}

impl Record {
    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }
}

/// One client, which asks for one thing at a time.
struct Asker {
    number: u64,
    nodes: Vec<(SocketAddr, SocketAddr)>,
    /// To each node.
    doors: Vec<Vec<Box<dyn Door>>>,
    random: Random,
    record: Arc<Record>,
    /// Versions that were told, by key.
    versions: BTreeMap<Key, String>,
    written: u64,
}

impl Asker {
    async fn new(number: u64, cluster: &Cluster, seed: u64, record: Arc<Record>) -> Asker {
        let nodes =
            (0..cluster.count()).map(|node| (cluster.address(node), cluster.resp_address(node)));
        let nodes: Vec<_> = nodes.collect();
        let mut all = Vec::new();
        for (http, resp) in &nodes {
            all.push(doors(*http, *resp).await);
        }
        Asker {
            number,
            nodes,
            doors: all,
            random: Random(seed.wrapping_mul(1_000).wrapping_add(number)),
            record,
            versions: BTreeMap::new(),
            written: 0,
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random.below(bound)
    }

    /// A word that nobody else writes.
    fn word(&mut self) -> Text {
        self.written += 1;
        Text::from(format!("c{}-{}", self.number, self.written))
    }

    /// One of a few, which several write.
    fn common(&mut self) -> Text {
        Text::from(["x", "y", "z"][self.below(3) as usize])
    }

    fn end(&mut self) -> End {
        match self.below(2) {
            0 => End::Left,
            _ => End::Right,
        }
    }

    fn op(&mut self, key: &Key) -> Op {
        if self.below(14) == 0 {
            return Op::Delete;
        }
        match key.service {
            "kv" => self.string(key),
            "counters" => match self.below(3) {
                0 => Op::Count,
                1 => Op::Read,
                _ => Op::Increment(1 + self.below(3) as i64),
            },
            "sets" => match self.below(4) {
                0 => Op::Members,
                1 => Op::Contains(vec![self.common(), self.common()]),
                2 => Op::RemoveMembers(vec![self.common()]),
                _ => Op::AddMembers(vec![self.common()]),
            },
            "hashes" => match self.below(6) {
                0 => Op::Fields,
                1 => Op::Field(self.common()),
                2 => Op::RemoveFields(vec![self.common()]),
                3 => Op::SetNewField(self.common(), self.word()),
                4 => Op::IncrementField("n".into(), 1),
                _ => Op::SetFields(vec![(self.common(), self.word())]),
            },
            "lists" => match self.below(6) {
                0 => Op::Elements(0, -1),
                1 => Op::ListLength,
                2 | 3 => Op::Pop(self.end(), 1),
                _ => Op::Push(self.end(), vec![self.word()]),
            },
            _ => self.document(key),
        }
    }

    fn string(&mut self, key: &Key) -> Op {
        match self.below(9) {
            0 => Op::Put(Value::Bytes(self.word()), None),
            1 => Op::Create(Value::Bytes(self.word())),
            2 | 3 => match self.versions.get(key).cloned() {
                Some(version) => Op::Replace(Value::Bytes(self.word()), version),
                None => Op::Read,
            },
            4 => Op::Append(self.word()),
            5 => Op::Exchange(self.word()),
            6 => Op::Take,
            _ => Op::Read,
        }
    }

    fn document(&mut self, key: &Key) -> Op {
        let word = self.word();
        let document = json!({"n": 0, "w": word.utf8()});
        match self.below(9) {
            0 => Op::Put(Value::Json(document), None),
            1 => Op::Create(Value::Json(document)),
            2 => match self.versions.get(key).cloned() {
                Some(version) => Op::Replace(Value::Json(document), version),
                None => Op::Document,
            },
            3 => Op::Merge(json!({"w": word.utf8(), "n": null})),
            4 | 5 => Op::IncrementMember("n", 1),
            6 => Op::SetMember("n", json!(7)),
            _ => Op::Document,
        }
    }

    /// Does one operation, by one of the doors of one of the nodes that offer it.
    async fn step(&mut self, key: &Key) {
        let op = self.op(key);
        let node = self.below(self.nodes.len() as u64) as usize;
        let count = self.doors[node].len();
        let first = self.below(count as u64) as usize;
        let gives_up = (self.below(GIVEN_UP) == 0).then(|| self.below(3_000));
        let patience = gives_up.map_or(PATIENCE, Duration::from_micros);
        let record = Arc::clone(&self.record);
        let asked = record.now();
        for door in (0..count).map(|place| (first + place) % count) {
            let by = format!(
                "client {} by {} of node {node}",
                self.number,
                self.doors[node][door].name()
            );
            let told = match timeout(patience, self.doors[node][door].ask(key, &op)).await {
                Ok(None) => continue,
                Ok(Some(told)) => certain(told).map(|told| (told, record.now())),
                Err(_) => {
                    // What is still to come on these connections belongs to nothing.
                    let (http, resp) = self.nodes[node];
                    self.doors[node] = doors(http, resp).await;
                    None
                }
            };
            if told.is_none() && op.is_read() {
                return;
            }
            if let Some((Told { version, .. }, _)) = &told {
                let version = version.clone();
                self.versions
                    .extend(version.map(|version| (key.clone(), version)));
            }
            let event = Event {
                op,
                asked,
                told,
                by,
            };
            let mut histories = record.histories.lock().unwrap();
            histories.entry(key.clone()).or_default().push(event);
            return;
        }
        panic!("no door does {op:?} to {key:?}");
    }
}

/// What was told, unless it is not known what was done.
fn certain(told: Told) -> Option<Told> {
    let Answer::Unknown(said) = &told.answer else {
        return Some(told);
    };
    // Busy nodes answer so; that it was not done need not be believed.
    let is_busy = [
        "BUSY",
        "IOERR",
        "deadline",
        "overloaded",
        "peer_lost",
        "no answer",
    ];
    assert!(is_busy.iter().any(|word| said.contains(word)), "{said}");
    None
}

/// How long the whole takes, in seconds.
fn seconds() -> u64 {
    let named = std::env::var("LINEAR_SECONDS").ok();
    named.map_or(4, |seconds| seconds.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_key_has_one_order() {
    let seed = seed("LINEAR_SEED");
    let cluster = Cluster::start(3, &Config::default()).await;
    let record = Arc::new(Record::default());
    let mut askers = Vec::new();
    for number in 0..CLIENTS {
        askers.push(Asker::new(number, &cluster, seed, Arc::clone(&record)).await);
    }
    let end = Instant::now() + Duration::from_secs(seconds());
    let (mut round, mut events, mut unknown) = (0, 0, 0);
    while round == 0 || Instant::now() < end {
        let keys: Vec<Key> = SERVICES
            .iter()
            .enumerate()
            .map(|(place, service)| Key {
                service,
                name: Text::from(format!("{round}-{place}")),
            })
            .collect();
        let running = askers.into_iter().map(|mut asker| {
            let keys = keys.clone();
            tokio::spawn(async move {
                for _ in 0..STEPS {
                    let key = asker.below(keys.len() as u64) as usize;
                    asker.step(&keys[key]).await;
                }
                asker.versions.clear();
                asker
            })
        });
        let running: Vec<_> = running.collect();
        askers = Vec::new();
        for asker in running {
            askers.push(asker.await.unwrap());
        }
        let histories = std::mem::take(&mut *record.histories.lock().unwrap());
        for (key, history) in histories {
            events += history.len();
            unknown += history.iter().filter(|event| event.told.is_none()).count();
            check(&history).unwrap_or_else(|why| panic!("{key:?}, LINEAR_SEED={seed}: {why}"));
        }
        round += 1;
    }
    println!("{events} operations in {round} rounds, {unknown} of them without an answer");
    drop(askers);
    cluster.stop().await;
}
