//! What the owner sends to its copies, and what copies and mergers make of it.

mod aside;
mod copy;
mod flush;
mod repair;
mod typed;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::*;
use crate::command::{self, Command, Condition, Reply};
use crate::config::Config;
use crate::config::policy::Acknowledge;
use crate::key::{self, Key};
use crate::replication::{Effect as Replicated, Outlet, Ticket};
use crate::table::Budget;
use crate::version::{Hlc, TAKEOVER_MS};
use crate::writer::Error;

const NOW: UnixMs = UnixMs(10_000_000);
const TOMBSTONE_MS: u64 = 600_000;
const OWNER: NodeId = NodeId(1);
const COPY: NodeId = NodeId(2);
const THIRD: NodeId = NodeId(3);

/// What goes out over a lane.
#[derive(Default)]
struct Recorder {
    effects: Mutex<Vec<(u64, Replicated)>>,
    taken: AtomicU64,
}

impl Outlet for Recorder {
    fn effect(&self, number: u64, effect: &Bytes) {
        let effect = Replicated::decode(effect.clone()).unwrap();
        self.effects.lock().push((number, effect));
    }
}

/// A core and the ways from it to others.
struct Node {
    core: Core,
    lanes: Lanes,
    wires: Vec<(NodeId, Arc<Recorder>)>,
}

impl Node {
    fn new(node: NodeId) -> Node {
        Node::with(node, 64 << 20, 1 << 20, Acknowledge::Backup)
    }

    fn with(node: NodeId, memory: u64, lane_bytes: usize, acknowledge: Acknowledge) -> Node {
        let lanes = Lanes::new(lane_bytes);
        let setup = Setup {
            node,
            limits: Limits::default(),
            policies: Policies::new(&Config {
                backups: 2,
                acknowledge,
                ..Config::default()
            }),
            tombstone_ms: TOMBSTONE_MS,
            lanes: lanes.clone(),
        };
        let wires = [OWNER, COPY, THIRD].map(|other| {
            let recorder = Arc::new(Recorder::default());
            lanes.lane(other).open(Arc::clone(&recorder) as _);
            (other, recorder)
        });
        Node {
            core: Core::new(Table::new(Budget::new(memory)), setup),
            lanes,
            wires: wires.into(),
        }
    }

    fn is(&mut self, role: &Role, epoch: u32) {
        let all: Vec<_> = PartitionId::all().map(|p| (p, epoch)).collect();
        self.core.set_roles(&all, role, NOW);
    }

    fn owns(&mut self, in_sync: &[NodeId], syncing: &[NodeId]) {
        self.owns_at(in_sync, syncing, 1);
    }

    fn owns_at(&mut self, in_sync: &[NodeId], syncing: &[NodeId], epoch: u32) {
        let lanes = |nodes: &[NodeId]| nodes.iter().map(|node| self.lanes.lane(*node)).collect();
        let sinks = Arc::new(Sinks {
            in_sync: lanes(in_sync),
            syncing: lanes(syncing),
        });
        let frozen = false;
        self.is(&Role::Owned { sinks, frozen }, epoch);
    }

    /// What has gone to a node since it was last asked for.
    fn sent_to(&self, to: NodeId) -> Vec<Replicated> {
        let wire = &self.wires.iter().find(|(node, _)| *node == to).unwrap().1;
        let effects = wire.effects.lock();
        let from = wire.taken.swap(effects.len() as u64, Ordering::Relaxed) as usize;
        effects[from..]
            .iter()
            .map(|(_, effect)| effect.clone())
            .collect()
    }

    /// That node answers for everything.
    fn answered_by(&self, node: NodeId, acknowledged: bool) {
        let all = [(0, u64::MAX - 1)];
        let mut finished = Vec::new();
        self.lanes
            .lane(node)
            .answered(&all, acknowledged, &mut finished);
    }

    fn run(&mut self, command: &Command) -> Result<Outcome, Error> {
        self.run_as(command, None)
    }

    fn run_as(&mut self, command: &Command, id: Option<u128>) -> Result<Outcome, Error> {
        let partition = key::partition(command.key().as_bytes());
        let applied = self
            .core
            .apply(partition, command, id.map(OperationId), NOW)?;
        Ok(applied.expect("it does not take long"))
    }

    /// Carries a write out: its reply and its ticket.
    fn write(&mut self, command: &Command) -> (Reply, Option<Ticket>) {
        match self.run(command) {
            Ok(Outcome::Done(reply, ticket)) => (reply, ticket),
            other => panic!("{command:?}: {other:?}"),
        }
    }

    fn version(&mut self, command: &Command) -> Version {
        match self.write(command).0 {
            Reply::Stored { entry, .. } => entry.version,
            other => panic!("{other:?}"),
        }
    }

    fn peek(&self, key: &str) -> Option<Entry> {
        let found = self.core.table.peek(key.as_bytes(), NOW);
        found.map(|entry| entry.to_entry())
    }

    fn data(&self, key: &str) -> Option<Bytes> {
        let live = self.peek(key).filter(|entry| entry.kind != Kind::Tombstone);
        live.map(|entry| entry.data)
    }
}

fn put(key: &str, data: impl Into<Bytes>) -> Command {
    Command::Put {
        key: Key::new(key.to_owned(), 100).unwrap(),
        kind: Kind::Json,
        data: data.into(),
        ttl_ms: None,
        condition: Condition::None,
    }
}

fn delete(key: &str) -> Command {
    Command::Delete {
        key: Key::new(key.to_owned(), 100).unwrap(),
        condition: Condition::None,
    }
}

fn add(key: &str, by: i64) -> Command {
    Command::Increment {
        key: Key::new(key.to_owned(), 100).unwrap(),
        by,
        ttl_ms: None,
        condition: Condition::None,
    }
}

fn get(key: &str) -> Command {
    Command::Get {
        key: Key::new(key.to_owned(), 100).unwrap(),
    }
}

fn at(wall: u64, node: NodeId) -> Version {
    Version {
        hlc: Hlc::at(UnixMs(wall)),
        node,
    }
}

fn entry(data: &str, version: Version) -> Entry {
    Entry {
        tag: None,
        kind: Kind::Json,
        data: Bytes::copy_from_slice(data.as_bytes()),
        version,
        expires_at: None,
    }
}

fn moved(key: &str, entry: Entry) -> Moved {
    Moved {
        partition: key::partition(key.as_bytes()),
        key: Bytes::copy_from_slice(key.as_bytes()),
        entry,
    }
}

fn effect(key: &str, epoch: u32, change: Change) -> Replicated {
    Replicated {
        partition: key::partition(key.as_bytes()),
        epoch,
        key: Bytes::copy_from_slice(key.as_bytes()),
        change,
        operation: None,
    }
}

fn stored(key: &str, epoch: u32, entry: Entry) -> Replicated {
    let previous = None;
    effect(key, epoch, Change::Put { previous, entry })
}

fn outcome(ticket: &Option<Ticket>) -> Option<bool> {
    ticket.as_ref().and_then(Ticket::outcome)
}

#[test]
fn effects_go_to_all_copies_and_those_in_sync_are_waited_for() {
    let mut owner = Node::new(OWNER);
    owner.owns_at(&[COPY], &[THIRD], 7);
    let (reply, ticket) = owner.write(&put("key", "1"));
    let Reply::Stored { entry, .. } = reply else {
        panic!("{reply:?}")
    };
    let expected = stored("key", 7, entry.clone());
    assert_eq!(owner.sent_to(COPY), std::slice::from_ref(&expected));
    assert_eq!(owner.sent_to(THIRD), [expected]);
    owner.answered_by(THIRD, true);
    assert_eq!(
        outcome(&ticket),
        None,
        "who is being made a copy does not count"
    );
    owner.answered_by(COPY, true);
    assert_eq!(outcome(&ticket), Some(true));
    // The next effect says on what it follows.
    owner.write(&put("key", "2"));
    let next = owner.sent_to(COPY).remove(0);
    assert!(matches!(
        next.change,
        Change::Put { previous: Some(previous), .. } if previous == entry.version
    ));
    // Reads have none.
    assert_eq!(owner.write(&get("key")).1, None);
    assert_eq!(owner.sent_to(COPY), []);
}

#[test]
fn a_copy_that_refuses_fails_the_write() {
    let mut owner = Node::new(OWNER);
    owner.owns(&[COPY, THIRD], &[]);
    let (_, ticket) = owner.write(&put("key", "1"));
    owner.answered_by(COPY, false);
    assert_eq!(outcome(&ticket), None);
    owner.answered_by(THIRD, true);
    assert_eq!(outcome(&ticket), Some(false));
}

#[test]
fn who_trusts_the_owner_waits_for_nobody() {
    let mut owner = Node::with(OWNER, 64 << 20, 1 << 20, Acknowledge::Owner);
    owner.owns(&[COPY], &[THIRD]);
    assert_eq!(owner.write(&put("key", "1")).1, None);
    assert_eq!(owner.sent_to(COPY).len(), 1);
    assert_eq!(owner.sent_to(THIRD).len(), 1);
}

#[test]
fn without_room_in_a_lane_nothing_changes() {
    let mut owner = Node::with(OWNER, 64 << 20, 2_000, Acknowledge::Backup);
    owner.owns(&[COPY], &[THIRD]);
    owner.write(&put("key", "1"));
    owner.answered_by(COPY, true);
    owner.answered_by(THIRD, true);
    // One that is larger than the bound is taken by an empty lane.
    owner.write(&put("large", vec![b'1'; 5_000]));
    owner.answered_by(COPY, true);
    for command in [put("key", "2"), delete("key"), put("other", "1")] {
        assert_eq!(owner.run(&command), Err(Error::Backlog(THIRD)));
    }
    assert_eq!(owner.data("key"), Some("1".into()));
    assert_eq!(owner.peek("other"), None);
    assert_eq!(owner.sent_to(COPY).len(), 2, "nor was anything sent");
    // Reads need no room.
    assert!(matches!(owner.write(&get("key")).0, Reply::Value(Some(_))));
    owner.answered_by(THIRD, true);
    owner.write(&put("key", "2"));
}

#[test]
fn a_delete_leaves_a_tombstone_if_somebody_must_hear_of_it() {
    let mut alone = Node::new(OWNER);
    alone.is(&Role::alone(), 1);
    alone.write(&put("key", "1"));
    alone.write(&delete("key"));
    assert_eq!(alone.peek("key"), None);
    assert_eq!(alone.core.table.stats().tombstones, 0);

    let mut owner = Node::new(OWNER);
    owner.owns(&[COPY], &[]);
    let version = owner.version(&put("key", "1"));
    let (reply, ticket) = owner.write(&delete("key"));
    assert_eq!((reply, ticket.is_some()), (Reply::Deleted(true), true));
    let tombstone = owner.peek("key").unwrap();
    assert_eq!(tombstone.kind, Kind::Tombstone);
    assert!(tombstone.version > version);
    assert_eq!(tombstone.expires_at, Some(UnixMs(NOW.0 + TOMBSTONE_MS)));
    let sent = owner.sent_to(COPY).pop().unwrap();
    let previous = Some(version);
    let entry = tombstone.clone();
    assert_eq!(sent.change, Change::Put { previous, entry });
    // To clients there is nothing, and another delete changes nothing.
    assert_eq!(owner.write(&get("key")).0, Reply::Value(None));
    assert_eq!(owner.write(&delete("key")), (Reply::Deleted(false), None));
    assert_eq!(owner.sent_to(COPY), []);
    let (reply, _) = owner.write(&put("key", "2"));
    assert!(matches!(
        reply,
        Reply::Stored { entry, created: true } if entry.version > tombstone.version
    ));
}

#[test]
fn evictions_are_told_to_the_copies() {
    let mut owner = Node::with(OWNER, 8 << 20, 64 << 20, Acknowledge::Backup);
    owner.owns(&[COPY], &[THIRD]);
    let mut number = 0;
    let evicted = loop {
        number += 1;
        assert!(number < 10_000, "nothing is evicted");
        owner.write(&put(&format!("key{number}"), vec![b'1'; 10_000]));
        owner.core.maintain(NOW, 1_000);
        let mut sent = owner.sent_to(COPY);
        assert_eq!(owner.sent_to(THIRD).len(), sent.len());
        sent.retain(|effect| matches!(effect.change, Change::Evict(_)));
        if !sent.is_empty() {
            break sent;
        }
    };
    let mut copy = Node::new(COPY);
    copy.is(&Role::Backup(OWNER), 1);
    for gone in evicted {
        let Change::Evict(version) = gone.change else {
            unreachable!()
        };
        let key = std::str::from_utf8(&gone.key).unwrap();
        assert_eq!(owner.peek(key), None);
        copy.core
            .absorb(OWNER, &moved(key, entry("1", version)), NOW);
        assert!(copy.data(key).is_some());
        copy.core.take_effect(OWNER, &gone, NOW);
        assert_eq!(copy.peek(key), None);
    }
}

#[test]
fn an_operation_is_applied_once() {
    let mut owner = Node::new(OWNER);
    owner.owns(&[COPY], &[]);
    let first = owner.run_as(&add("key", 5), Some(7)).unwrap();
    let again = owner.run_as(&add("key", 5), Some(7)).unwrap();
    assert_eq!(first, again, "also what it waits for");
    assert_eq!(owner.data("key"), Some("5".into()));
    assert_eq!(owner.sent_to(COPY).len(), 1);
    owner.run_as(&add("key", 5), Some(8)).unwrap();
    owner.run_as(&add("key", 5), None).unwrap();
    assert_eq!(owner.data("key"), Some("15".into()));
    // What it came to, not what is there now.
    assert_eq!(owner.run_as(&add("key", 5), Some(7)).unwrap(), first);
    let deleted = owner.run_as(&delete("key"), Some(9)).unwrap();
    owner.write(&put("key", "1"));
    assert_eq!(owner.run_as(&delete("key"), Some(9)).unwrap(), deleted);
    assert_eq!(owner.data("key"), Some("1".into()));
}

#[test]
fn what_a_copy_refused_is_not_called_done() {
    let mut owner = Node::new(OWNER);
    owner.owns(&[COPY], &[]);
    owner.run_as(&put("key", "1"), Some(7)).unwrap();
    owner.answered_by(COPY, false);
    assert_eq!(
        owner.run_as(&put("key", "1"), Some(7)),
        Ok(Outcome::Elsewhere)
    );
}

#[test]
fn an_operation_is_known_to_whoever_takes_over() {
    let mut owner = Node::new(OWNER);
    owner.owns(&[COPY], &[]);
    let replies: Vec<Reply> = [add("key", 5), put("doc", vec![b'1'; 200]), delete("key")]
        .iter()
        .zip(1..)
        .map(|(command, id)| match owner.run_as(command, Some(id)) {
            Ok(Outcome::Done(reply, Some(_))) => reply,
            other => panic!("{other:?}"),
        })
        .collect();
    // One copy got the effects; another one pulled what the owner remembers.
    let mut follower = Node::new(COPY);
    follower.is(&Role::Backup(OWNER), 1);
    for effect in owner.sent_to(COPY) {
        assert_eq!(
            follower.core.take_effect(OWNER, &effect, NOW),
            Verdict::Taken
        );
    }
    let mut puller = Node::new(THIRD);
    puller.is(&Role::Backup(OWNER), 1);
    assert_eq!(owner.core.operations_of(|_| false), []);
    for operation in owner.core.operations_of(|_| true) {
        puller.core.learn(operation, NOW);
    }
    for copy in [&mut follower, &mut puller] {
        copy.owns_at(&[], &[], 2);
        let before = copy.core.table.stats();
        for ((command, id), reply) in [add("key", 5), put("doc", vec![b'1'; 200]), delete("key")]
            .iter()
            .zip(1..)
            .zip(&replies)
        {
            let again = copy.run_as(command, Some(id));
            assert_eq!(again, Ok(Outcome::Done(reply.clone(), None)));
        }
        assert_eq!(copy.core.table.stats().entries, before.entries);
    }
}

#[test]
fn who_takes_over_writes_newer_versions_than_the_owner_before() {
    let mut owner = Node::new(OWNER);
    owner.owns(&[COPY], &[]);
    let mut copy = Node::new(COPY);
    copy.is(&Role::Backup(OWNER), 1);
    // The owner's clock is ahead, and the copy has not got its last write.
    let ahead = UnixMs(NOW.0 + TAKEOVER_MS - 1);
    let partition = key::partition(b"key");
    let written = owner.core.apply(partition, &put("key", "1"), None, ahead);
    let Ok(Some(Outcome::Done(Reply::Stored { entry, .. }, _))) = written else {
        panic!("{written:?}")
    };
    copy.owns_at(&[], &[], 2);
    assert!(copy.version(&put("key", "2")) > entry.version);
    // Once: to keep a partition is not to take it over.
    let before = copy.version(&put("key", "3"));
    copy.owns_at(&[THIRD], &[], 3);
    let after = copy.version(&put("key", "4"));
    assert!(after > before);
    assert_eq!(after.hlc.wall(), before.hlc.wall());
}

#[test]
fn who_founds_alone_does_not_run_ahead_of_its_clock() {
    let mut alone = Node::new(OWNER);
    alone.is(&Role::alone(), 1);
    assert_eq!(alone.version(&put("key", "1")).hlc.wall(), NOW);
}
