//! Deleting everything: what goes, what stays, and what copies make of it.

use std::collections::BTreeSet;

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::live::{Event, Hub, Topic};

fn place(key: &str) -> PartitionId {
    key::partition(key.as_bytes())
}

impl Node {
    fn begin(&mut self) -> Flush {
        self.core.begin_flush(|_| true, NOW)
    }

    /// The rest of a flush, which has room: the partitions that are done.
    fn finish(&mut self, flush: &mut Flush, from: Option<Cursor>) -> Vec<PartitionId> {
        let mut at = from;
        while let Some(cursor) = at {
            at = self.core.flush_step(flush, cursor, NOW, 3);
        }
        let (done, more) = self.core.end_flush(flush, NOW);
        assert!(!more);
        done
    }

    fn flush(&mut self) -> Flush {
        let mut flush = self.begin();
        let done = self.finish(&mut flush, Some(Cursor::default()));
        assert_eq!(done.len(), usize::from(PARTITION_COUNT));
        flush
    }

    fn take(&mut self, from: NodeId, effects: &[Replicated]) {
        for effect in effects {
            let verdict = self.core.take_effect(from, effect, NOW);
            assert_eq!(verdict, Verdict::Taken, "{effect:?}");
        }
    }

    fn tidy(&mut self) {
        while self.core.sweep_flushed(NOW, 10) {}
        self.core.maintain(NOW, 1_000);
    }

    fn live(&self) -> u64 {
        self.core.table.stats().entries
    }
}

fn fill(owner: &mut Node, count: usize) {
    for n in 0..count {
        owner.write(&put(&format!("key {n}"), "1"));
    }
}

#[test]
fn a_node_alone_has_nothing_left() {
    let mut alone = Node::new(OWNER);
    alone.is(&Role::alone(), 1);
    fill(&mut alone, 50);
    let mut flush = alone.flush();
    assert_eq!((flush.deleted(), alone.live()), (50, 0));
    assert_eq!(alone.core.table.stats().tombstones, 0);
    assert!(flush.take_tickets().is_empty());
    assert!(alone.core.flushed.floors.is_empty());
    fill(&mut alone, 2);
    assert_eq!(alone.live(), 2);
}

#[test]
fn copies_are_told_once_for_each_partition_and_sweep() {
    let mut owner = Node::new(OWNER);
    owner.owns_at(&[COPY], &[THIRD], 4);
    let mut copy = Node::new(COPY);
    copy.is(&Role::Backup(OWNER), 4);
    fill(&mut owner, 200);
    copy.take(OWNER, &owner.sent_to(COPY));
    assert_eq!(copy.live(), 200);
    owner.sent_to(THIRD);
    let mut flush = owner.flush();
    assert_eq!(owner.core.table.stats().tombstones, 0, "they take no room");
    let sent = owner.sent_to(COPY);
    assert_eq!(sent.len(), usize::from(PARTITION_COUNT));
    assert_eq!(
        owner.sent_to(THIRD),
        sent,
        "who is being made a copy is told"
    );
    let after = owner.version(&put("key 1", "2"));
    copy.take(OWNER, &sent);
    copy.take(OWNER, &owner.sent_to(COPY));
    copy.tidy();
    assert_eq!(copy.live(), 1);
    assert_eq!(copy.peek("key 1").map(|entry| entry.version), Some(after));
    let tickets = flush.take_tickets();
    assert!(tickets.iter().all(|(_, ticket)| ticket.outcome().is_none()));
    owner.answered_by(COPY, true);
    assert!(tickets.iter().all(|(_, t)| t.outcome() == Some(true)));
}

#[test]
fn what_was_written_meanwhile_does_not_stand_on_what_was_deleted() {
    let mut owner = Node::new(OWNER);
    owner.owns(&[COPY], &[]);
    let mut copy = Node::new(COPY);
    copy.is(&Role::Backup(OWNER), 1);
    owner.write(&add("behind", 5));
    owner.write(&add("before", 5));
    let mut flush = owner.begin();
    // The walk comes by one of them, and then both are added to.
    let at = owner.core.flush_step(&mut flush, Cursor::default(), NOW, 1);
    owner.write(&add("behind", 1));
    owner.write(&add("before", 1));
    owner.finish(&mut flush, at);
    let value = |node: &Node, key: &str| node.data(key).map(|data| data.to_vec());
    assert_ne!(value(&owner, "behind"), Some(b"6".to_vec()));
    assert_eq!(value(&owner, "before"), None);
    copy.take(OWNER, &owner.sent_to(COPY));
    copy.tidy();
    for key in ["behind", "before"] {
        assert_eq!(copy.data(key), owner.data(key), "{key}");
    }
}

#[test]
fn what_comes_late_does_not_come_back() {
    let mut copy = Node::new(COPY);
    copy.is(&Role::Backup(OWNER), 1);
    let gone = Replicated {
        key: Bytes::new(),
        ..effect("key", 1, Change::Flush(at(2_000, OWNER)))
    };
    copy.take(OWNER, &[gone]);
    let (old, new) = (entry("1", at(2_000, OWNER)), entry("2", at(2_001, OWNER)));
    copy.take(OWNER, &[stored("key", 1, old.clone())]);
    assert!(!copy.core.absorb(OWNER, &moved("key", old.clone()), NOW));
    assert_eq!(copy.live(), 0);
    // Nor from the other side of a cut, when this node owns it.
    copy.owns_at(&[], &[], 2);
    let merged = copy.core.merge(&moved("key", old.clone()), 0, NOW);
    let Merge::Settled {
        ticket: None,
        discarded: Some(discarded),
    } = merged
    else {
        panic!("{merged:?}")
    };
    assert_eq!(discarded.by, Some(at(2_000, OWNER)));
    assert_eq!(copy.live(), 0);
    // What is newer does, and what this node writes is newer.
    copy.core.merge(&moved("key", new), 0, NOW);
    assert_eq!(copy.data("key"), Some("2".into()));
    assert!(copy.version(&put("other", "1")) > at(2_000, OWNER));
    // After a while nothing is known of it any more.
    copy.core.maintain(UnixMs(NOW.0 + TOMBSTONE_MS), 10);
    assert!(copy.core.flushed.floors.is_empty());
}

#[test]
fn versions_of_who_succeeds_are_greater() {
    let mut copy = Node::new(COPY);
    copy.is(&Role::Backup(OWNER), 1);
    // By a clock that is nine seconds ahead.
    let ahead = at(NOW.0 + 9_000, OWNER);
    let gone = Replicated {
        key: Bytes::new(),
        ..effect("key", 1, Change::Flush(ahead))
    };
    copy.take(OWNER, std::slice::from_ref(&gone));
    copy.owns_at(&[], &[], 2);
    assert!(copy.version(&put("key", "1")) > ahead);
    let far = Replicated {
        change: Change::Flush(at(NOW.0 + 10_001, OWNER)),
        ..gone
    };
    copy.is(&Role::Backup(OWNER), 3);
    assert_eq!(
        copy.core.take_effect(OWNER, &far, NOW),
        Verdict::FromTheFuture
    );
}

#[test]
fn a_copy_that_has_not_swept_does_so_before_it_has_another_owner() {
    let flushed = |copy: &mut Node| {
        copy.is(&Role::Backup(OWNER), 1);
        copy.take(OWNER, &[stored("key", 1, entry("1", at(1_000, OWNER)))]);
        let gone = Change::Flush(at(2_000, OWNER));
        let gone = Replicated {
            key: Bytes::new(),
            ..effect("key", 1, gone)
        };
        copy.take(OWNER, &[gone]);
        assert_eq!(copy.live(), 1, "it has time");
    };
    // It becomes the owner.
    let mut copy = Node::new(COPY);
    flushed(&mut copy);
    copy.owns_at(&[], &[], 2);
    assert_eq!(copy.live(), 0);
    // It follows another one, whose clock is behind, and takes what that one writes.
    let behind = || stored("key", 2, entry("2", at(1_500, THIRD)));
    for news_first in [true, false] {
        let mut copy = Node::new(COPY);
        flushed(&mut copy);
        if news_first {
            copy.is(&Role::Backup(THIRD), 2);
            assert_eq!(copy.live(), 0);
        }
        copy.take(THIRD, &[behind()]);
        copy.tidy();
        assert_eq!(copy.data("key"), Some("2".into()));
    }
    // It is begun anew.
    let mut copy = Node::new(COPY);
    flushed(&mut copy);
    copy.core.reset(&[place("key")]);
    copy.core
        .absorb(OWNER, &moved("key", entry("2", at(1_500, THIRD))), NOW);
    copy.tidy();
    assert_eq!(copy.data("key"), Some("2".into()));
}

#[test]
fn a_partition_whose_role_changes_takes_no_further_part() {
    let mut owner = Node::new(OWNER);
    owner.owns(&[COPY], &[]);
    fill(&mut owner, 30);
    let mut flush = owner.begin();
    let away = place("key 3");
    let role = owner.core.role(away).clone();
    // It goes, and comes back with what was written elsewhere.
    owner.core.set_roles(&[(away, 2)], &Role::Backup(COPY), NOW);
    owner.core.set_roles(&[(away, 3)], &role, NOW);
    let after = owner.version(&put("key 3", "new"));
    let done = owner.finish(&mut flush, Some(Cursor::default()));
    assert!(!done.contains(&away));
    assert_eq!(done.len(), usize::from(PARTITION_COUNT) - 1);
    assert_eq!(owner.peek("key 3").unwrap().version, after);
    let sent = owner.sent_to(COPY);
    let told = |effect: &Replicated| matches!(effect.change, Change::Flush(_));
    assert!(!sent.iter().any(|e| e.partition == away && told(e)));
    // One that is frozen must not be written to.
    let Role::Owned { sinks, .. } = role else {
        unreachable!()
    };
    let frozen = Role::Owned {
        sinks,
        frozen: true,
    };
    owner.core.set_roles(&[(away, 3)], &frozen, NOW);
    let mut flush = owner.begin();
    let done = owner.finish(&mut flush, Some(Cursor::default()));
    assert!(!done.contains(&away));
    assert_eq!(owner.peek("key 3").unwrap().version, after);
}

#[test]
fn without_room_on_the_way_to_a_copy_it_waits() {
    let mut owner = Node::with(OWNER, 64 << 20, 10_000, Acknowledge::Backup);
    owner.owns(&[COPY], &[]);
    let mut flush = owner.begin();
    let (mut told, mut rounds) = (0, 0);
    loop {
        let (done, more) = owner.core.end_flush(&mut flush, NOW);
        told += done.len();
        rounds += 1;
        owner.answered_by(COPY, true);
        if !more {
            break;
        }
        assert!(owner.lanes.lane(COPY).bytes() <= 10_000);
    }
    assert_eq!(told, usize::from(PARTITION_COUNT));
    assert!(rounds > 10);
}

/// Some change by a client; keys of one partition, and of others.
fn random_write(rng: &mut SmallRng) -> Command {
    let key = match rng.random_range(0..2) {
        0 => format!("{{one}}{}", rng.random_range(0..20)),
        _ => format!("{}", rng.random_range(0..60)),
    };
    match rng.random_range(0..5) {
        0 => delete(&key),
        1 => add(&format!("n{key}"), 1),
        _ => put(&key, rng.random_range(0..1_000).to_string()),
    }
}

#[test]
fn however_effects_come_the_copy_is_as_its_owner() {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random);
    eprintln!("SEED={seed}");
    let mut rng = SmallRng::seed_from_u64(seed);
    for _ in 0..30 {
        let mut owner = Node::with(OWNER, 64 << 20, 8 << 20, Acknowledge::Backup);
        owner.owns(&[COPY], &[]);
        let mut copy = Node::new(COPY);
        copy.is(&Role::Backup(OWNER), 1);
        let mut on_their_way = Vec::new();
        for _ in 0..rng.random_range(1..4) {
            for _ in 0..rng.random_range(0..100) {
                owner.write(&random_write(&mut rng));
            }
            let mut flush = owner.begin();
            let mut at = Some(Cursor::default());
            while let Some(cursor) = at {
                let work = rng.random_range(1..20);
                at = owner.core.flush_step(&mut flush, cursor, NOW, work);
                for _ in 0..rng.random_range(0..4) {
                    owner.write(&random_write(&mut rng));
                }
            }
            owner.core.end_flush(&mut flush, NOW);
            for _ in 0..rng.random_range(0..20) {
                owner.write(&random_write(&mut rng));
            }
            on_their_way.extend(owner.sent_to(COPY));
            // Some come now, in any order, and the others later.
            on_their_way.shuffle(&mut rng);
            let rest = on_their_way.len() * rng.random_range(0..3) / 3;
            for effect in on_their_way.drain(rest..) {
                copy.core.take_effect(OWNER, &effect, NOW);
                if rng.random_range(0..20) == 0 {
                    copy.core.sweep_flushed(NOW, rng.random_range(1..30));
                }
            }
        }
        for effect in on_their_way {
            copy.core.take_effect(OWNER, &effect, NOW);
        }
        copy.tidy();
        let all = |node: &mut Node| {
            let scanned = node.core.scan(Cursor::default(), NOW, |_| true, usize::MAX);
            let mut live: Vec<_> = scanned.entries;
            live.retain(|moved| moved.entry.kind != Kind::Tombstone);
            live.sort_by(|a, b| a.key.cmp(&b.key));
            live
        };
        assert_eq!(all(&mut copy), all(&mut owner));
        copy.core.table.check_invariants().unwrap();
    }
}

#[test]
fn each_new_copy_hears_of_a_flush_once_and_writes_later_than_it() {
    let mut owner = Node::new(OWNER);
    owner.owns(&[COPY], &[]);
    fill(&mut owner, 20);
    let flush = owner.flush();
    owner.sent_to(COPY);
    // Frozen, and owned again: nobody is new.
    owner.owns_at(&[COPY], &[], 2);
    assert_eq!(owner.sent_to(COPY), []);
    owner.owns_at(&[COPY], &[THIRD], 3);
    assert_eq!(owner.sent_to(THIRD).len(), usize::from(PARTITION_COUNT));

    // A copy that pulls hears of it before the entries, and need not have heard of it otherwise.
    owner.write(&put("key", "1"));
    let scanned = owner
        .core
        .scan(Cursor::default(), NOW, |p| p == place("key"), 1 << 20);
    let [floor, entry] = &scanned.entries[..] else {
        panic!("{:?}", scanned.entries)
    };
    assert_eq!((&floor.key[..], &entry.key[..]), (&b""[..], &b"key"[..]));
    let mut behind = Node::new(THIRD);
    behind.is(&Role::Backup(OWNER), 3);
    let early = UnixMs(NOW.0 - 5_000);
    for moved in &scanned.entries {
        assert!(behind.core.absorb(OWNER, moved, early));
    }
    let all: Vec<_> = PartitionId::all().map(|p| (p, 4)).collect();
    behind.core.set_roles(&all, &Role::alone(), early);
    let written = behind
        .core
        .apply(place("key"), &put("key", "2"), None, early)
        .unwrap();
    let Some(Outcome::Done(Reply::Stored { entry, .. }, _)) = written else {
        panic!("{written:?}")
    };
    assert!(entry.version > flush.version());
}

#[test]
fn the_winner_of_a_cut_deletes_what_the_other_side_has_flushed() {
    let mut loser = Node::new(COPY);
    loser.owns(&[], &[THIRD]);
    let mut winner = Node::new(OWNER);
    winner.owns(&[THIRD], &[]);
    let hub = Hub::default();
    winner.core.watched_by(hub.clone());
    let mut watcher = hub.subscribe().unwrap();
    assert!(watcher.add(Topic::Prefix(Bytes::new())).unwrap());
    let (old, before) = (at(NOW.0 - 60_000, THIRD), NOW.0 - 30_000);
    let since = at(NOW.0 - 1_000, OWNER);
    for (key, version) in [("old", old), ("meanwhile", since)] {
        let partition = place(key);
        winner
            .core
            .table
            .put(partition, key.as_bytes(), entry("1", version).as_ref(), NOW)
            .unwrap();
    }
    // What has run out in between nobody has lost.
    let expired = Entry {
        expires_at: Some(NOW),
        ..entry("1", at(NOW.0 - 2_000, OWNER))
    };
    let (partition, before_that) = (place("expired"), UnixMs(NOW.0 - 2_000));
    let put = winner
        .core
        .table
        .put(partition, b"expired", expired.as_ref(), before_that);
    put.unwrap();
    let flush = loser.flush();
    let later = at(NOW.0 + 2_000, OWNER);
    let partition = place("later");
    let put = winner
        .core
        .table
        .put(partition, b"later", entry("1", later).as_ref(), NOW);
    put.unwrap();
    winner.sent_to(THIRD);
    let scanned = loser.core.scan(Cursor::default(), NOW, |_| true, 1 << 20);
    for moved in &scanned.entries {
        let merged = winner.core.merge(moved, before, NOW);
        assert!(matches!(
            merged,
            Merge::Settled {
                ticket: Some(_),
                ..
            }
        ));
        // What is known changes nothing.
        let again = winner.core.merge(moved, before, NOW);
        assert!(matches!(again, Merge::Settled { ticket: None, .. }));
    }
    assert_eq!(winner.sent_to(THIRD).len(), usize::from(PARTITION_COUNT));
    // Not seen from now on, though not yet swept.
    let drawn = (0..200).filter_map(|n| winner.core.sample(n << 56 | n, NOW));
    let drawn: BTreeSet<Bytes> = drawn.collect();
    assert!(drawn.iter().all(|key| key == "later"), "{drawn:?}");
    let (reply, _) = winner.write(&get("meanwhile"));
    assert_eq!(reply, Reply::Value(None));
    winner.tidy();
    // Whoever watches hears of each, and not of what had run out.
    hub.hand_out_all();
    let mut gone = BTreeSet::new();
    while let Some(event) = watcher.try_next() {
        match event {
            Event::Change(change) => drop(gone.insert(change.key)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(gone, BTreeSet::from(["meanwhile".into(), "old".into()]));
    assert_eq!(winner.live(), 1);
    assert!(winner.data("later").is_some());
    let lost = winner.core.take_lost();
    assert_eq!(
        lost.count, 1,
        "what was written before the cut was deleted, not discarded"
    );
    assert_eq!(
        (lost.first[0].version, lost.first[0].by),
        (since, Some(flush.version()))
    );
}
