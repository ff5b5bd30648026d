//! One table through every door: each conversation is held by each of the doors in turn, and what one
//! of them does all the others see at once: the same value, the same version, the same end.
//!
//! What changes nothing (reads, refusals) is asked of every door that offers it. What a door does not
//! offer in a conversation is done by the first door.

use std::collections::BTreeMap;

use smache::config::Config;

use crate::cluster::Cluster;
use crate::doors::{Door, Ends, Key, Shown, Told, doors, now_ms, service, service_of};
use crate::model::{After, Held, Model, step};
use crate::rows::{self, Row};
use crate::vocabulary::{Answer, Op, Refused, Text, Value};

/// How much later or earlier a node may see a moment, in milliseconds.
const TOLERANCE_MS: u64 = 100;

fn config() -> Config {
    Config {
        value_bytes_max: 1_000,
        collection_bytes_max: 1_000,
        body_bytes_max: 100_000,
        ..Config::default()
    }
}

/// Every door of every node of a cluster, and what the keys must hold.
pub(crate) struct Bed {
    cluster: Cluster,
    /// Of each node.
    doors: Vec<Vec<Box<dyn Door>>>,
    pub(crate) model: Model,
    /// What was seen last.
    versions: BTreeMap<Key, String>,
    /// How often each door has answered.
    pub(crate) answers: Vec<usize>,
}

impl Bed {
    pub(crate) async fn start(nodes: usize, config: Config) -> Bed {
        let cluster = Cluster::start(nodes, &config).await;
        let mut all = Vec::new();
        for node in 0..nodes {
            all.push(doors(cluster.address(node), cluster.resp_address(node)).await);
        }
        Bed {
            cluster,
            answers: vec![0; all[0].len()],
            doors: all,
            versions: BTreeMap::new(),
            model: Model::new(config.value_bytes_max),
        }
    }

    /// A key of a service that the node of this index owns.
    pub(crate) fn key(&self, service: &'static str, stem: &str, owner: usize) -> Key {
        let whole = self
            .cluster
            .find(owner, |n| format!("{service}:{stem}-{n}"));
        let name = whole.strip_prefix(service).unwrap();
        let name = Text::from(name.strip_prefix(':').unwrap());
        Key { service, name }
    }

    fn door(&mut self, door: usize, turn: usize) -> &mut dyn Door {
        let node = (door + turn) % self.doors.len();
        &mut *self.doors[node][door]
    }

    pub(crate) async fn ask(
        &mut self,
        door: usize,
        turn: usize,
        key: &Key,
        op: &Op,
    ) -> Option<Told> {
        let told = self.door(door, turn).ask(key, op).await;
        self.answers[door] += usize::from(told.is_some());
        told
    }

    /// Does one step by one of the doors, or all of them, and looks what has become of the key.
    async fn take(&mut self, writer: usize, turn: usize, key: &Key, row: &Row, place: &str) {
        let before = self.versions.get(key).cloned();
        let answer = &row.answer;
        let op = &match (&row.op, &before) {
            (Op::Replace(value, version), Some(before)) if version == rows::PRESENT => {
                Op::Replace(value.clone(), before.clone())
            }
            (op, _) => op.clone(),
        };
        let held = self.model.get(&key.whole(), now_ms()).cloned();
        let now = now_ms();
        let (after, expected) = self.model.carry_out(&key.whole(), op, now);
        assert_eq!(&expected, answer, "the model: {place}");
        let mut told_version = None;
        if after == After::Same {
            for door in 0..self.answers.len() {
                if is_shown_anyhow(self.door(door, turn), op, held.as_ref()) {
                    continue;
                }
                if let Some(told) = self.ask(door, turn + 1, key, op).await {
                    let by = self.door(door, turn).name();
                    assert_eq!(&told.answer, answer, "{by}: {place}");
                    if let (Some(told), Some(before)) = (&told.version, &before) {
                        assert_eq!(told, before, "{by}: {place}");
                    }
                }
            }
        } else {
            let told = match self.ask(writer, turn, key, op).await {
                Some(told) => told,
                None => self.any(turn, key, op).await,
            };
            assert_eq!(&told.answer, answer, "{place}");
            told_version = told.version;
        }
        let (version, ends) = self.look(turn + 1, key, place).await;
        match &version {
            Some(version) => self.versions.insert(key.clone(), version.clone()),
            None => self.versions.remove(key),
        };
        match after {
            After::Same | After::Lives(_) => assert_eq!(version, before, "{place}"),
            // Nobody shows versions who can name a key that is no text.
            After::Changed(_) | After::Written(..) => {
                assert!(version != before || key.name.utf8().is_none(), "{place}");
            }
            After::Gone => assert_eq!(version, None, "{place}"),
        }
        if let Some(told) = told_version {
            assert_eq!(Some(told), version, "{place}");
        }
        // The model reckons from before the request was sent.
        let held = self.model.get(&key.whole(), now_ms());
        let expected = held.and_then(|held| held.expires_at);
        if let (Some(at), Some(ends)) = (expected, ends) {
            assert!(ends.latest + TOLERANCE_MS >= at, "{place}: {ends:?}, {at}");
        }
    }

    /// Does it by the first door that offers it.
    async fn any(&mut self, turn: usize, key: &Key, op: &Op) -> Told {
        for door in 0..self.answers.len() {
            if let Some(told) = self.ask(door, turn, key, op).await {
                return told;
            }
        }
        panic!("no door does {op:?} to {key:?}");
    }

    /// Looks at a key through every door: all must see what the model holds, and the same.
    pub(crate) async fn look(
        &mut self,
        turn: usize,
        key: &Key,
        place: &str,
    ) -> (Option<String>, Option<Ends>) {
        let held = self.model.get(&key.whole(), now_ms()).cloned();
        let mut version: Option<String> = None;
        let mut ends: Option<Ends> = None;
        for door in 0..self.answers.len() {
            let door = self.door(door, turn);
            let Some(shown) = door.look(key).await else {
                continue;
            };
            let place = format!("{} shows {shown:?}: {place}", door.name());
            match (&held, &shown) {
                (None, None) => {}
                (Some(held), Some(shown)) => {
                    assert!(shown.value.is(&held.value), "{held:?}: {place}");
                    assert_eq!(shown.ends.is_some(), held.expires_at.is_some(), "{place}");
                    agree(&mut version, &mut ends, shown, &place);
                }
                _ => panic!("{held:?}: {place}"),
            }
        }
        (version, ends)
    }

    pub(crate) async fn stop(self) {
        drop(self.doors);
        self.cluster.stop().await;
    }
}

/// Whether a door answers a typed read with values of other types as well: `GET` of a document is its
/// text, and so is that of a flag.
fn is_shown_anyhow(door: &dyn Door, op: &Op, held: Option<&Held>) -> bool {
    let is_text = held.is_some_and(|held| matches!(held.value, Value::Json(_) | Value::Flag(_)));
    *op == Op::Read && is_text && door.name() != "HTTP services" && door.name() != "gRPC services"
}

/// Narrows down what is known of the version and the end of a value.
fn agree(version: &mut Option<String>, ends: &mut Option<Ends>, shown: &Shown, place: &str) {
    if let Some(told) = &shown.version {
        let known = version.get_or_insert_with(|| told.clone());
        assert_eq!(known, told, "{place}");
    }
    if let Some(told) = shown.ends {
        let known = ends.get_or_insert(told);
        known.earliest = known.earliest.max(told.earliest);
        known.latest = known.latest.min(told.latest);
        assert!(
            known.earliest <= known.latest + TOLERANCE_MS,
            "{known:?}: {place}"
        );
    }
}

/// Holds conversations by each of the doors.
async fn converse(nodes: usize) {
    let mut bed = Bed::start(nodes, config()).await;
    for writer in 0..bed.answers.len() {
        for (number, talk) in rows::table().iter().enumerate() {
            // Each door holds a part of them, and every one of them is held by several.
            if (writer + number) % nodes.max(2) != 0 {
                continue;
            }
            let owner = number % nodes;
            let key = match talk.name {
                Some(name) => Key {
                    service: talk.service,
                    name: Text([name, format!("{writer}").as_bytes()].concat()),
                },
                None => bed.key(talk.service, &format!("{number}-{writer}"), owner),
            };
            for (at, row) in talk.rows.iter().enumerate() {
                let by = bed.door(writer, at).name();
                let place = format!("{key:?}, row {}: {:?} by {by}", at + 1, row.op);
                bed.take(writer, at, &key, row, &place).await;
            }
        }
    }
    println!("answers of each door: {:?}", bed.answers);
    assert!(
        bed.answers.iter().all(|count| *count >= 10),
        "{:?}",
        bed.answers
    );
    bed.stop().await;
}

/// Every operation on a value of every type that it does not work on.
async fn mistake(nodes: usize) {
    let mut bed = Bed::start(nodes, config()).await;
    let mut count = 0;
    for (number, value) in rows::values().iter().enumerate() {
        for service in ["kv", "counters", "flags", "sets", "hashes", "lists", "json"] {
            // A flag is made by its own service alone.
            if matches!(value, Value::Flag(_)) && service != "flags" {
                continue;
            }
            let key = bed.key(service, &format!("wrong-{number}"), number % nodes);
            for op in rows::making(value) {
                bed.model.carry_out(&key.whole(), &op, now_ms());
                bed.any(number, &key, &op).await;
            }
            if let (Some(version), _) = bed.look(number, &key, "as it is made").await {
                bed.versions.insert(key.clone(), version);
            }
            for op in rows::samples() {
                if service_of(value) != service && crate::doors::service(&op) != Some(service) {
                    continue;
                }
                let (_, answer) = step(Some(value), &op);
                if answer == Answer::Refused(Refused::WrongType) {
                    let place = format!("{op:?} on {value:?} at {key:?}");
                    bed.take(0, count, &key, &Row { op, answer }, &place).await;
                    count += 1;
                }
            }
        }
    }
    assert!(count > 150, "{count}");
    bed.stop().await;
}

#[test]
fn the_model_answers_as_the_table_says() {
    for talk in rows::table() {
        let key = Text::from("key");
        let mut model = Model::new(config().value_bytes_max);
        for Row { op, answer } in talk.rows {
            let (_, found) = model.carry_out(&key, &op, 1_000);
            assert_eq!(found, answer, "{op:?}");
        }
    }
}

#[tokio::test]
async fn every_door_of_one_node() {
    converse(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_door_of_three_nodes() {
    converse(3).await;
}

#[tokio::test]
async fn another_type_at_every_door_of_one_node() {
    mistake(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_type_at_every_door_of_three_nodes() {
    mistake(3).await;
}

#[tokio::test]
async fn keys_that_are_too_long() {
    let mut bed = Bed::start(1, config()).await;
    let mut count = 0;
    for op in rows::samples() {
        let key = Key {
            service: service(&op).unwrap_or("kv"),
            name: Text(vec![b'k'; 5_000]),
        };
        for door in 0..bed.answers.len() {
            if let Some(told) = bed.ask(door, 0, &key, &op).await {
                let by = bed.door(door, 0).name();
                assert_eq!(told.answer, Answer::Refused(Refused::Key), "{by}: {op:?}");
                count += 1;
            }
        }
    }
    assert!(count > 200, "{count}");
    bed.stop().await;
}

/// How much of the vocabulary each door offers: an adapter cannot leave an operation out unseen.
#[tokio::test]
async fn what_each_door_offers() {
    let mut bed = Bed::start(1, config()).await;
    let mut offered = Vec::new();
    let samples = rows::samples();
    for door in 0..bed.answers.len() {
        let mut count = 0;
        for (number, op) in samples.iter().enumerate() {
            let key = Key {
                service: service(op).unwrap_or("kv"),
                name: Text::from(format!("offered-{door}-{number}")),
            };
            count += usize::from(bed.ask(door, 0, &key, op).await.is_some());
        }
        offered.push((bed.door(door, 0).name(), count));
    }
    assert_eq!(offered, rows::OFFERED, "of {} operations", samples.len());
    bed.stop().await;
}
