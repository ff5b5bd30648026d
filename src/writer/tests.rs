//! One writer: its queue, its roles, and what a panic costs.

mod alter;
mod aside;

use std::time::Duration;

use bytes::Bytes;
use ractor::Actor;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::command::{Condition, Entry, Kind, Limits, Reply};
use crate::config::Config;
use crate::key::{self, Key};
use crate::version::{Hlc, Version};

/// A command on this key panics.
pub(super) const POISON: &[u8] = b"poison";

const HOLDER: NodeId = NodeId(9);
const NOW: UnixMs = UnixMs(1_000_000);

fn writer_with(queue_max: usize, queue_bytes_max: usize) -> Writer {
    Writer::new(options(Budget::new(64 << 20), queue_max, queue_bytes_max))
}

fn options(budget: Arc<Budget>, queue_max: usize, queue_bytes_max: usize) -> Options {
    Options {
        node: NodeId(1),
        budget,
        limits: Limits::default(),
        policies: Policies::new(&Config {
            backups: 1,
            ..Config::default()
        }),
        tombstone_horizon: Duration::from_secs(600),
        lanes: Lanes::new(1 << 20),
        pulse: Default::default(),
        queue_max,
        queue_bytes_max,
        clock: Clock::manual(NOW),
    }
}

/// A writer that owns everything, without its actor.
fn writer() -> Writer {
    writer_of(Budget::new(64 << 20))
}

fn writer_of(budget: Arc<Budget>) -> Writer {
    let writer = Writer::new(options(budget, 1_000, 1 << 20));
    set_all(&writer, &Role::alone());
    writer
}

fn set_all(writer: &Writer, role: &Role) {
    let all: Vec<_> = PartitionId::all().map(|p| (p, 1)).collect();
    writer.set_roles(&all, role);
}

fn key(text: &[u8]) -> Key {
    Key::new(text.to_vec(), 100).unwrap()
}

fn get(text: &str) -> Command {
    Command::Get {
        key: key(text.as_bytes()),
    }
}

fn put(text: &str, data: impl Into<Bytes>) -> Command {
    Command::Put {
        key: key(text.as_bytes()),
        kind: Kind::Json,
        data: data.into(),
        ttl_ms: None,
        condition: Condition::None,
    }
}

fn delete(text: &str) -> Command {
    Command::Delete {
        key: key(text.as_bytes()),
        condition: Condition::None,
    }
}

fn place(command: &Command) -> PartitionId {
    key::partition(command.key().as_bytes())
}

fn now(writer: &Writer, command: &Command) -> Result<Outcome, Error> {
    let inline = writer.apply_inline(place(command), command, None);
    inline.expect("nobody waits")
}

/// The value of a key; `None` if it has none.
fn value(writer: &Writer, text: &str) -> Option<Bytes> {
    let command = get(text);
    match now(writer, &command) {
        Ok(Outcome::Done(Reply::Value(entry), None)) => entry.map(|entry| entry.data),
        other => panic!("{text}: {other:?}"),
    }
}

type Answer = tokio::task::JoinHandle<Result<Outcome, Error>>;

/// Queues a command, and returns when it waits.
async fn queue(writer: &Writer, command: Command) -> Answer {
    let before = writer.counters().waiting;
    let queueing = writer.clone();
    let answer = tokio::spawn(async move {
        let partition = place(&command);
        queueing.apply_queued(partition, command, None).await
    });
    while writer.counters().waiting == before && !answer.is_finished() {
        tokio::task::yield_now().await;
    }
    answer
}

async fn start(writer: &Writer) -> ractor::ActorRef<Message> {
    let (actor, _) = Actor::spawn(None, WriterActor, writer.clone())
        .await
        .unwrap();
    actor
}

async fn patient<T>(what: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(Duration::from_secs(20), what);
    waited.await.expect("waited in vain")
}

fn version_of(outcome: Result<Outcome, Error>) -> Version {
    match outcome {
        Ok(Outcome::Done(Reply::Stored { entry, .. }, None)) => entry.version,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_waits_is_applied_in_order() {
    let writer = writer();
    let mut answers = Vec::new();
    // More than one batch.
    for number in 0..300 {
        answers.push(queue(&writer, put("key", number.to_string())).await);
    }
    assert_eq!(writer.counters().waiting, 300);
    assert_eq!(
        value(&writer, "key"),
        None,
        "reads do not wait, and see what is applied"
    );
    start(&writer).await;
    let mut last = Version::default();
    for answer in answers {
        let version = version_of(patient(answer).await.unwrap());
        assert!(version > last);
        last = version;
    }
    assert_eq!(value(&writer, "key"), Some("299".into()));
    let counters = writer.counters();
    assert_eq!(
        (counters.queued, counters.inline, counters.waiting),
        (300, 0, 0)
    );
}

#[tokio::test]
async fn who_waits_is_not_waited_for() {
    let writer = writer();
    let first = queue(&writer, put("key", "1")).await;
    let second = queue(&writer, put("key", "2")).await;
    // Nobody has heard of those yet: what comes now may be before them.
    let ahead = version_of(now(&writer, &put("key", "0")));
    assert_eq!(value(&writer, "key"), Some("0".into()));
    start(&writer).await;
    let first = version_of(patient(first).await.unwrap());
    let second = version_of(patient(second).await.unwrap());
    assert!(ahead < first && first < second);
    assert_eq!(value(&writer, "key"), Some("2".into()));
}

#[tokio::test]
async fn a_lock_that_is_held_sends_writes_to_the_queue() {
    let writer = writer();
    let command = put("key", "1");
    {
        let _held = writer.0.core.lock();
        assert_eq!(writer.apply_inline(place(&command), &command, None), None);
    }
    assert!(
        writer
            .apply_inline(place(&command), &command, None)
            .is_some()
    );
}

#[tokio::test]
async fn the_queue_is_bounded_in_number_and_in_bytes() {
    let few = writer_with(3, 1 << 20);
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(queue(&few, put("key", "{}")).await);
    }
    let refused = few
        .apply_queued(place(&get("key")), put("key", "{}"), None)
        .await;
    assert_eq!(refused, Err(Error::Overloaded));
    assert_eq!(few.counters().waiting, 3);

    let small = writer_with(1_000, 10_000);
    // One that is larger than the whole bound must still be possible.
    answers.push(queue(&small, put("key", vec![b'1'; 20_000])).await);
    assert_eq!(small.counters().waiting, 1);
    let refused = small
        .apply_queued(place(&get("key")), put("key", "{}"), None)
        .await;
    assert_eq!(refused, Err(Error::Overloaded));
    // There is room again when it was taken out.
    set_all(&small, &Role::alone());
    small.work_off();
    answers.push(queue(&small, put("key", "{}")).await);
    assert_eq!(small.counters().waiting, 1);
    answers.iter().for_each(|answer| answer.abort());
}

#[tokio::test]
async fn a_command_that_panics_harms_no_other() {
    let writer = writer();
    let poison = || put("poison", "{}");
    assert_eq!(now(&writer, &poison()), Err(Error::Internal));
    assert_eq!(writer.counters().panics, 1);
    let before = queue(&writer, put("before", "1")).await;
    let bad = queue(&writer, poison()).await;
    let after = queue(&writer, put("after", "2")).await;
    let actor = start(&writer).await;
    version_of(patient(before).await.unwrap());
    assert_eq!(patient(bad).await.unwrap(), Err(Error::Internal));
    version_of(patient(after).await.unwrap());
    assert_eq!(writer.counters().panics, 2);
    assert_eq!(actor.get_status(), ractor::ActorStatus::Running);
    assert_eq!(value(&writer, "after"), Some("2".into()));
}

#[tokio::test]
async fn what_waits_survives_the_actor() {
    let writer = writer();
    let (actor, handle) = Actor::spawn(None, WriterActor, writer.clone())
        .await
        .unwrap();
    let first = put("key", "1");
    version_of(writer.apply(place(&first), &first, None).await);
    writer.crash_actor();
    patient(handle).await.unwrap();
    assert_eq!(actor.get_status(), ractor::ActorStatus::Stopped);
    let waiting = queue(&writer, put("key", "2")).await;
    assert_eq!(value(&writer, "key"), Some("1".into()));
    start(&writer).await;
    version_of(patient(waiting).await.unwrap());
    assert_eq!(value(&writer, "key"), Some("2".into()));
}

fn moved(text: &str, data: &str, wall: u64) -> Moved {
    Moved {
        partition: key::partition(text.as_bytes()),
        key: Bytes::copy_from_slice(text.as_bytes()),
        entry: Entry {
            tag: None,
            kind: Kind::Json,
            data: Bytes::copy_from_slice(data.as_bytes()),
            version: Version {
                hlc: Hlc::at(UnixMs(wall)),
                node: HOLDER,
            },
            expires_at: None,
        },
    }
}

/// What is left of a key, its version aside.
fn left(writer: &Writer, key: &str) -> Option<(Kind, Vec<u8>, Option<UnixMs>)> {
    let partition = key::partition(key.as_bytes());
    let look = |entry: Option<EntryRef<'_>>| {
        entry.map(|entry| (entry.kind, entry.data.to_vec(), entry.expires_at))
    };
    writer.read(partition, key.as_bytes(), NOW, look).unwrap()
}

#[test]
fn the_shortest_way_leaves_what_a_command_leaves() {
    let seed: u64 = rand::random();
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (short, long) = (writer(), writer());
    for writer in [&short, &long] {
        for (text, value, ttl_ms) in [("d", "{}", None), ("e", "17", Some(60_000))] {
            let kind = if text == "d" {
                Kind::Json
            } else {
                Kind::Counter
            };
            let put = Command::Put {
                key: key(text.as_bytes()),
                kind,
                data: value.into(),
                ttl_ms,
                condition: Condition::None,
            };
            version_of(now(writer, &put));
        }
    }
    for _ in 0..2_000 {
        let text = ["a", "b", "c", "d", "e"][random.random_range(0..5)];
        let name = key(text.as_bytes());
        let partition = key::partition(text.as_bytes());
        if random.random_ratio(1, 3) {
            let by = [1, -1, 700, i64::MAX][random.random_range(0..4)];
            let command = Command::Increment {
                key: name,
                by,
                ttl_ms: None,
                condition: Condition::None,
            };
            let sum = match now(&long, &command) {
                Ok(Outcome::Done(Reply::Stored { entry, .. }, None)) => Ok(entry.data),
                Err(error) => Err(error),
                other => panic!("{other:?}"),
            };
            let here = short.add_here(partition, text.as_bytes(), by, NOW);
            let here = here.unwrap().map(|sum| sum.to_string().into());
            assert_eq!(here, sum);
        } else {
            let number = random.random_range(-3..3_i64).pow(7).to_string();
            let value =
                [&b""[..], b"text", number.as_bytes(), &[0; 700]][random.random_range(0..4)];
            let command = Command::Put {
                key: name,
                kind: Kind::Bytes,
                data: Bytes::copy_from_slice(value),
                ttl_ms: None,
                condition: Condition::None,
            };
            version_of(now(&long, &command));
            let here = short.put_here(partition, text.as_bytes(), value, NOW);
            assert_eq!(here, Some(Ok(())));
        }
        assert_eq!(left(&short, text), left(&long, text), "{text}");
    }
    assert_eq!(short.stats().data_bytes, long.stats().data_bytes);
}

#[test]
fn the_shortest_way_is_closed_where_others_have_to_hear_of_it() {
    let partition = key::partition(b"key");
    let put = |writer: &Writer| writer.put_here(partition, b"key", b"1", NOW);
    let writer = writer();
    assert_eq!(put(&writer), Some(Ok(())));
    let frozen = Role::Owned {
        sinks: Arc::default(),
        frozen: true,
    };
    for role in [Role::Elsewhere, Role::Backup(HOLDER), frozen] {
        set_all(&writer, &role);
        assert_eq!(put(&writer), None, "{role:?}");
        assert_eq!(writer.add_here(partition, b"key", 1, NOW), None);
    }
    let too_long = vec![b'x'; writer.0.options.limits.value_bytes_max + 1];
    set_all(&writer, &Role::alone());
    let refused = writer.put_here(partition, b"key", &too_long, NOW);
    let expected = Error::Command(command::Error::ValueTooLarge {
        bytes: too_long.len(),
        max: too_long.len() - 1,
    });
    assert_eq!(refused, Some(Err(expected)));
    let hub = Hub::default();
    writer.watched_by(&hub);
    assert_eq!(put(&writer), Some(Ok(())));
    hub.watched().store(true, Ordering::Relaxed);
    assert_eq!(put(&writer), None);
}

#[test]
fn elsewhere_nothing_is_done() {
    let writer = writer_with(10, 1_000);
    for command in [get("key"), put("key", "{}"), delete("key")] {
        assert_eq!(now(&writer, &command), Ok(Outcome::Elsewhere));
        assert_eq!(writer.read(place(&command), b"key", NOW, |_| ()), None);
    }
    assert_eq!(writer.absorb(HOLDER, &[moved("key", "{}", 1)]), 0);
    assert_eq!(writer.stats().entries, 0);
}

#[tokio::test]
async fn what_was_given_away_can_be_pulled_and_then_dropped() {
    let writer = writer();
    version_of(now(&writer, &put("key", "1")));
    set_all(&writer, &Role::Elsewhere);
    assert_eq!(now(&writer, &get("key")), Ok(Outcome::Elsewhere));
    let pulled = writer.scan(Cursor::default(), |_| true, 1_000);
    let data: Vec<_> = pulled
        .entries
        .iter()
        .map(|one| &one.entry.data[..])
        .collect();
    assert_eq!((data, pulled.next), (vec![&b"1"[..]], None));
    // It comes back before it was dropped: nothing goes.
    set_all(&writer, &Role::alone());
    writer.drop_partitions(|_| true).await;
    assert_eq!(value(&writer, "key"), Some("1".into()));
    set_all(&writer, &Role::Elsewhere);
    writer.drop_partitions(|p| p != place(&get("key"))).await;
    assert_eq!(writer.partition_entries(place(&get("key"))), 1);
    writer.drop_partitions(|_| true).await;
    assert_eq!(writer.stats().entries, 0);
}

#[test]
fn what_lay_here_is_out_of_date_for_a_copy_that_is_begun_anew() {
    let writer = writer();
    version_of(now(&writer, &put("key", "1")));
    let owned = place(&get("owned"));
    version_of(now(&writer, &put("owned", "1")));
    set_all(&writer, &Role::Elsewhere);
    writer.set_roles(&[(owned, 2)], &Role::alone());
    let before = writer.turn(place(&get("key")));
    writer.reset(&[place(&get("key")), owned]);
    assert_ne!(writer.turn(place(&get("key"))), before);
    assert_eq!(writer.partition_entries(place(&get("key"))), 0);
    assert_eq!(value(&writer, "owned"), Some("1".into()), "it is no copy");
}

#[test]
fn a_copy_takes_entries_and_answers_when_it_has_taken_over() {
    let writer = writer_with(10, 1_000);
    set_all(&writer, &Role::Backup(HOLDER));
    for command in [get("key"), put("key", "{}"), delete("key")] {
        assert_eq!(now(&writer, &command), Ok(Outcome::Elsewhere));
        assert_eq!(writer.read(place(&command), b"key", NOW, |_| ()), None);
    }
    assert_eq!(writer.absorb(HOLDER, &[moved("key", "1", 500)]), 1);
    assert_eq!(writer.owned_entries(), 0);
    set_all(&writer, &Role::alone());
    assert_eq!(writer.owned_entries(), 1);
    assert_eq!(value(&writer, "key"), Some("1".into()));
    let created = now(&writer, &put("none", "2"));
    let created = created.map(|outcome| match outcome {
        Outcome::Done(Reply::Stored { created, .. }, None) => created,
        other => panic!("{other:?}"),
    });
    assert_eq!(created, Ok(true));
}

#[test]
fn a_delete_is_final_although_the_value_turns_up_again() {
    let writer = writer_with(10, 1_000);
    set_all(&writer, &Role::Backup(HOLDER));
    let there = moved("key", "1", 500);
    assert_eq!(writer.absorb(HOLDER, std::slice::from_ref(&there)), 1);
    set_all(&writer, &Role::alone());
    assert_eq!(
        now(&writer, &delete("key")),
        Ok(Outcome::Done(Reply::Deleted(true), None))
    );
    // A pull from elsewhere still brings it.
    set_all(&writer, &Role::Backup(HOLDER));
    assert_eq!(writer.absorb(HOLDER, std::slice::from_ref(&there)), 0);
    set_all(&writer, &Role::alone());
    assert_eq!(value(&writer, "key"), None);
    // And a value that is written then stays.
    version_of(now(&writer, &put("key", "2")));
    set_all(&writer, &Role::Backup(HOLDER));
    assert_eq!(writer.absorb(HOLDER, &[there]), 0);
    set_all(&writer, &Role::alone());
    assert_eq!(value(&writer, "key"), Some("2".into()));
}

#[test]
fn of_two_versions_the_newer_stays() {
    let writer = writer();
    let absorb = |moved: Moved| {
        set_all(&writer, &Role::Backup(HOLDER));
        let count = writer.absorb(HOLDER, &[moved]);
        set_all(&writer, &Role::alone());
        count
    };
    assert_eq!(absorb(moved("key", "new", 2_000)), 1);
    assert_eq!(absorb(moved("key", "old", 1_000)), 0);
    assert_eq!(absorb(moved("key", "new", 2_000)), 0, "the same twice");
    assert_eq!(value(&writer, "key"), Some("new".into()));
    assert_eq!(absorb(moved("key", "newer", 3_000)), 1);
    assert_eq!(value(&writer, "key"), Some("newer".into()));
    // A write here is newer than what it replaces, whatever the clock says.
    let ahead = moved("ahead", "1", 9_000_000);
    assert_eq!(absorb(ahead.clone()), 1);
    assert!(version_of(now(&writer, &put("ahead", "2"))) > ahead.entry.version);
    assert_eq!(absorb(ahead), 0);
    let expired = |wall| Moved {
        entry: Entry {
            expires_at: Some(UnixMs(999_999)),
            ..moved("gone", "1", wall).entry
        },
        ..moved("gone", "1", wall)
    };
    assert_eq!(absorb(expired(2)), 0);
    assert_eq!(absorb(moved("gone", "0", 1)), 0, "it was replaced");
    // What an expired one replaced is gone as well.
    assert_eq!(absorb(moved("gone", "0", 3)), 1);
    assert_eq!(absorb(expired(4)), 0);
    assert_eq!(value(&writer, "gone"), None);
}

#[test]
fn while_it_is_frozen_reads_are_served_and_writes_wait() {
    let writer = writer();
    version_of(now(&writer, &put("key", "1")));
    set_all(
        &writer,
        &Role::Owned {
            sinks: Arc::default(),
            frozen: true,
        },
    );
    assert_eq!(value(&writer, "key"), Some("1".into()));
    for command in [put("key", "{}"), delete("key")] {
        assert_eq!(now(&writer, &command), Ok(Outcome::Elsewhere));
    }
    set_all(&writer, &Role::alone());
    assert_eq!(value(&writer, "key"), Some("1".into()));
    version_of(now(&writer, &put("key", "2")));
}
