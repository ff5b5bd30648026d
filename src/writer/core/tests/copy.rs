//! What a copy takes, what it tells its owner, and what of two owners' entries stays.

use super::*;
use crate::version::CLOCK_SKEW_MS_MAX;

#[test]
fn what_was_deleted_does_not_come_back_with_an_older_entry() {
    let gone = Entry {
        kind: Kind::Tombstone,
        expires_at: Some(UnixMs(NOW.0 + 1_000)),
        ..entry("", at(2_000, OWNER))
    };
    let (old, new) = (entry("1", at(1_000, OWNER)), entry("2", at(3_000, OWNER)));
    let mut copy = Node::new(COPY);
    copy.is(&Role::Backup(OWNER), 1);
    // The delete comes before the entry: from the stream of effects, and from the pull.
    assert_eq!(
        copy.core
            .take_effect(OWNER, &stored("key", 1, gone.clone()), NOW),
        Verdict::Taken
    );
    assert!(!copy.core.absorb(OWNER, &moved("key", old.clone()), NOW));
    let late = stored("key", 1, old.clone());
    assert_eq!(copy.core.take_effect(OWNER, &late, NOW), Verdict::Taken);
    assert_eq!(copy.data("key"), None);
    // And at an owner that merges.
    copy.owns(&[], &[]);
    let since = 0;
    let merged = copy.core.merge(&moved("key", old.clone()), since, NOW);
    assert!(matches!(
        merged,
        Merge::Settled {
            ticket: None,
            discarded: Some(_)
        }
    ));
    assert_eq!(copy.data("key"), None);
    copy.is(&Role::Backup(OWNER), 2);
    assert!(copy.core.absorb(OWNER, &moved("key", new), NOW));
    assert_eq!(copy.data("key"), Some("2".into()));
    // A tombstone takes what is there away.
    let gone = Entry {
        version: at(4_000, OWNER),
        ..gone
    };
    assert!(copy.core.absorb(OWNER, &moved("key", gone), NOW));
    assert_eq!(
        (copy.data("key"), copy.core.table.stats().entries),
        (None, 0)
    );
}

#[test]
fn a_copy_follows_its_owner_and_nobody_else() {
    let mut node = Node::new(COPY);
    let put = |epoch, wall, node| stored("key", epoch, entry("1", at(wall, node)));
    // Not a copy, or an owner itself.
    assert_eq!(
        node.core.take_effect(OWNER, &put(9, 1, OWNER), NOW),
        Verdict::Fenced
    );
    node.owns_at(&[], &[], 3);
    assert_eq!(
        node.core.take_effect(OWNER, &put(9, 1, OWNER), NOW),
        Verdict::Fenced
    );
    node.is(&Role::Backup(OWNER), 5);
    assert_eq!(
        node.core.take_effect(OWNER, &put(5, 1, OWNER), NOW),
        Verdict::Taken
    );
    for epoch in [4, 5] {
        let stranger = put(epoch, 9, THIRD);
        assert_eq!(
            node.core.take_effect(THIRD, &stranger, NOW),
            Verdict::Fenced
        );
    }
    assert_eq!(node.peek("key").unwrap().version, at(1, OWNER));
    // The next owner's effects come before the news of it.
    assert_eq!(
        node.core.take_effect(THIRD, &put(6, 2, THIRD), NOW),
        Verdict::Taken
    );
    assert_eq!(
        node.core.take_effect(OWNER, &put(5, 3, OWNER), NOW),
        Verdict::Fenced
    );
    // Old news do not turn it back.
    node.is(&Role::Backup(OWNER), 5);
    assert_eq!(
        node.core.take_effect(OWNER, &put(5, 3, OWNER), NOW),
        Verdict::Fenced
    );
    node.is(&Role::Backup(THIRD), 6);
    assert_eq!(
        node.core.take_effect(THIRD, &put(6, 4, THIRD), NOW),
        Verdict::Taken
    );
    assert_eq!(node.peek("key").unwrap().version, at(4, THIRD));
    // A copy that is begun anew follows its owner, whatever has been here before.
    assert_eq!(
        node.core.take_effect(THIRD, &put(8, 5, THIRD), NOW),
        Verdict::Taken
    );
    node.is(&Role::Elsewhere, 6);
    node.is(&Role::Backup(THIRD), 7);
    assert_eq!(
        node.core.take_effect(THIRD, &put(8, 6, THIRD), NOW),
        Verdict::Taken
    );
}

#[test]
fn versions_from_the_future_are_refused() {
    let mut node = Node::new(COPY);
    let latest = NOW.0 + CLOCK_SKEW_MS_MAX;
    for (wall, verdict) in [
        (latest, Verdict::Taken),
        (latest + 1, Verdict::FromTheFuture),
    ] {
        node.is(&Role::Backup(OWNER), 1);
        let key = wall.to_string();
        let effect = stored(&key, 1, entry("1", at(wall, OWNER)));
        assert_eq!(node.core.take_effect(OWNER, &effect, NOW), verdict);
        assert_eq!(node.data(&key).is_some(), verdict == Verdict::Taken);
    }
    node.owns(&[], &[]);
    let since = 0;
    let ahead = moved("key", entry("1", at(latest + 1, OWNER)));
    let settled = node.core.merge(&ahead, since, NOW);
    let Merge::Settled {
        ticket: None,
        discarded: Some(discarded),
    } = settled
    else {
        panic!("{settled:?}: not refused and counted")
    };
    assert_eq!(discarded.version, at(latest + 1, OWNER));
    assert_eq!(node.data("key"), None);
}

#[test]
fn effects_may_come_in_any_order_and_twice() {
    let effects: Vec<Replicated> = [3, 1, 4, 2]
        .map(|wall| stored("key", 1, entry(&wall.to_string(), at(wall, OWNER))))
        .into();
    let mut node = Node::new(COPY);
    node.is(&Role::Backup(OWNER), 1);
    for effect in effects.iter().chain(&effects) {
        assert_eq!(node.core.take_effect(OWNER, effect, NOW), Verdict::Taken);
    }
    assert_eq!(node.data("key"), Some("4".into()));
    assert_eq!(node.core.missed(), 0);
    // One that follows on what never came is noticed.
    let change = Change::Put {
        previous: Some(at(9, OWNER)),
        entry: entry("10", at(10, OWNER)),
    };
    node.core.take_effect(OWNER, &effect("key", 1, change), NOW);
    assert_eq!(node.core.missed(), 1);
}

#[test]
fn an_eviction_takes_its_own_version_only() {
    let mut copy = Node::new(COPY);
    copy.is(&Role::Backup(OWNER), 1);
    let evict = |wall| effect("key", 1, Change::Evict(at(wall, OWNER)));
    copy.core
        .absorb(OWNER, &moved("key", entry("new", at(2, OWNER))), NOW);
    assert_eq!(copy.core.take_effect(OWNER, &evict(1), NOW), Verdict::Taken);
    assert_eq!(copy.data("key"), Some("new".into()), "it was written since");
    // What has not come yet does not come after it.
    assert_eq!(copy.core.take_effect(OWNER, &evict(3), NOW), Verdict::Taken);
    assert_eq!(copy.data("key"), None);
    assert!(
        !copy
            .core
            .absorb(OWNER, &moved("key", entry("1", at(3, OWNER))), NOW)
    );
    assert_eq!(copy.data("key"), None);
}

#[test]
fn what_a_copy_evicts_its_owner_evicts_as_well() {
    let mut copy = Node::with(COPY, 8 << 20, 64 << 20, Acknowledge::Backup);
    copy.is(&Role::Backup(OWNER), 1);
    let mut number = 0;
    let told = loop {
        number += 1;
        assert!(number < 10_000, "nothing is evicted");
        let value = "1".repeat(10_000);
        let entry = entry(&value, at(number, OWNER));
        let effect = stored(&format!("key{number}"), 1, entry);
        assert_eq!(copy.core.take_effect(OWNER, &effect, NOW), Verdict::Taken);
        copy.core.maintain(NOW, 1_000);
        if let Some(told) = copy.sent_to(OWNER).pop() {
            break told;
        }
    };
    let Change::Evicted(version) = told.change else {
        panic!("{told:?}")
    };
    let key = std::str::from_utf8(&told.key).unwrap();
    let mut owner = Node::new(OWNER);
    owner.is(&Role::Backup(THIRD), 1);
    owner
        .core
        .absorb(THIRD, &moved(key, entry("1", version)), NOW);
    owner.owns(&[COPY, THIRD], &[]);
    assert_eq!(owner.core.take_effect(COPY, &told, NOW), Verdict::Taken);
    assert_eq!(owner.peek(key), None);
    let evict = effect(key, 1, Change::Evict(version));
    assert_eq!(owner.sent_to(THIRD), [evict]);
    // Of a version that was replaced since it is no matter.
    owner.write(&put(key, "2"));
    assert_eq!(owner.core.take_effect(COPY, &told, NOW), Verdict::Taken);
    assert_eq!(owner.data(key), Some("2".into()));
}

#[test]
fn of_two_owners_the_newer_version_wins_and_the_other_one_is_counted() {
    let (early, late) = (NOW.0 - 2_000, NOW.0 - 1_000);
    // Theirs, ours, since when they were parted, whose write was discarded.
    for (theirs, ours, since, lost) in [
        (late, Some(early), 0, Some(early)),
        (early, Some(late), 0, Some(early)),
        // Written before the sides parted: what it lost to replaced it.
        (late, Some(early), early + 1, None),
        (early, Some(late), early + 1, None),
        (early, Some(late), early, Some(early)),
        (late, None, 0, None),
    ] {
        let case = format!("{theirs} {ours:?} {since}");
        let mut node = Node::new(COPY);
        node.is(&Role::Backup(OWNER), 1);
        if let Some(ours) = ours {
            node.core
                .absorb(OWNER, &moved("key", entry("ours", at(ours, COPY))), NOW);
        }
        node.owns(&[THIRD], &[]);
        let theirs_won = ours.is_none_or(|ours| ours < theirs);
        let coming = moved("key", entry("theirs", at(theirs, OWNER)));
        let Merge::Settled { ticket, discarded } = node.core.merge(&coming, since, NOW) else {
            panic!("{case}: not settled")
        };
        let discarded = discarded.map(|lost| lost.version.hlc.wall().0);
        assert_eq!(discarded, lost, "{case}");
        let expected = if theirs_won { "theirs" } else { "ours" };
        assert_eq!(node.data("key"), Some(expected.into()), "{case}");
        assert_eq!(node.sent_to(THIRD).len(), usize::from(theirs_won), "{case}");
        assert_eq!(ticket.is_some(), theirs_won, "{case}");
        // The same again loses nothing; the copies hear of it, in case one of them has not.
        let again = node.core.merge(&coming, since, NOW);
        if theirs_won {
            let Merge::Settled { ticket, discarded } = again else {
                panic!("{case}: not settled")
            };
            assert_eq!((ticket.is_some(), discarded), (true, None), "{case}");
            assert_eq!(node.sent_to(THIRD).len(), 1, "{case}");
        }
    }
}

#[test]
fn only_an_owner_with_room_merges() {
    let mut node = Node::with(COPY, 64 << 20, 1_000, Acknowledge::Backup);
    let since = 0;
    let coming = moved("key", entry("1", at(NOW.0, OWNER)));
    assert_eq!(node.core.merge(&coming, since, NOW), Merge::Elsewhere);
    node.is(&Role::Backup(OWNER), 1);
    assert_eq!(node.core.merge(&coming, since, NOW), Merge::Elsewhere);
    let frozen = Role::Owned {
        sinks: Arc::default(),
        frozen: true,
    };
    node.is(&frozen, 1);
    assert_eq!(node.core.merge(&coming, since, NOW), Merge::Elsewhere);
    node.owns(&[THIRD], &[]);
    node.write(&put("large", vec![b'1'; 5_000]));
    assert_eq!(node.core.merge(&coming, since, NOW), Merge::Later(THIRD));
    assert_eq!(node.data("key"), None);
    node.answered_by(THIRD, true);
    assert!(matches!(
        node.core.merge(&coming, since, NOW),
        Merge::Settled {
            ticket: Some(_),
            discarded: None
        }
    ));
}

#[test]
fn what_is_left_of_a_copy_goes_before_it_is_begun_anew() {
    let mut node = Node::new(COPY);
    node.is(&Role::Backup(OWNER), 1);
    let gone = Entry {
        kind: Kind::Tombstone,
        expires_at: Some(UnixMs(NOW.0 + 1_000)),
        ..entry("", at(5, OWNER))
    };
    node.core.absorb(OWNER, &moved("gone", gone), NOW);
    node.core
        .absorb(OWNER, &moved("key", entry("1", at(5, OWNER))), NOW);
    let kept = key::partition(b"other");
    node.core
        .absorb(OWNER, &moved("other", entry("1", at(5, OWNER))), NOW);
    let some = [key::partition(b"gone"), key::partition(b"key")];
    assert!(!some.contains(&kept));
    let turns = |node: &Node| some.map(|partition| node.core.turn(partition));
    let (before, others) = (turns(&node), node.core.turn(kept));
    node.core.reset(&some);
    assert!(
        turns(&node)
            .iter()
            .zip(before)
            .all(|(now, before)| *now != before)
    );
    assert_eq!(node.core.turn(kept), others);
    assert_eq!((node.peek("gone"), node.peek("key")), (None, None));
    assert_eq!(node.data("other"), Some("1".into()));
    // Also what is older than the tombstone comes in now.
    assert!(
        node.core
            .absorb(OWNER, &moved("gone", entry("1", at(4, OWNER))), NOW)
    );
}
