//! Lists in the making, and what they are good for.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::key::partition;

const TAG: u64 = 5;

/// What a node owns that owns everything, with so many keys in each partition.
fn everything(entries: u64) -> Survey {
    let owned = |partition| Owned {
        partition,
        entries,
        created: 3,
        turn: 8,
    };
    survey(PartitionId::all().map(owned))
}

fn made() -> Made {
    Made {
        tag: TAG,
        began: Instant::now(),
    }
}

/// Somebody else, who asks later and has seen so many keys come.
fn stranger(listing: &Listing, created: u32) -> Claim {
    Claim {
        tag: TAG + 1,
        asked: listing.made.began + Duration::from_millis(1),
        created,
    }
}

fn all(listing: &Listing) -> Vec<(Position, Vec<u8>)> {
    let keys = listing.keys(listing.from, Position::END);
    keys.map(|(position, key)| (position, key.to_vec()))
        .collect()
}

fn place(key: &[u8]) -> (Position, Vec<u8>) {
    (Position::of(partition(key), key), key.to_vec())
}

fn add(draft: &mut Draft, key: &[u8]) {
    draft.add(partition(key), key);
}

#[test]
fn a_list_has_the_keys_that_follow_its_beginning_in_order_and_each_once() {
    let seed = rand::random();
    eprintln!("SEED={seed}");
    let mut rng = SmallRng::seed_from_u64(seed);
    for bytes_max in [500, 5_000, 50_000, 1 << 20] {
        let from = Position::before(rng.random_range(0..4_000));
        let before = everything(1);
        let mut draft = Draft::new(from, &before, bytes_max);
        let mut keys: Vec<Vec<u8>> = (0..3_000)
            .map(|n| format!("{n}{}", "x".repeat(rng.random_range(0..40))).into_bytes())
            .collect();
        // A walk may come by some of them twice.
        keys.extend_from_within(..500);
        keys.shuffle(&mut rng);
        for keys in keys.chunks(100) {
            keys.iter().for_each(|key| add(&mut draft, key));
            draft.prune().unwrap();
            assert!(draft.keys.size() <= 2 * bytes_max + 100 * 60);
        }
        let listing = draft.finish(made(), &before, &before).unwrap();
        let expected: BTreeSet<_> = keys.iter().map(|key| place(key)).collect();
        let expected: Vec<_> = expected
            .into_iter()
            .filter(|(position, _)| (from..listing.end()).contains(position))
            .collect();
        assert_eq!(all(&listing), expected);
        assert!(listing.end() > from);
        assert!(listing.keys.size() <= bytes_max || expected.len() == 1);
        let is_all = listing.end() == Position::END;
        assert!(
            is_all || listing.keys.size() * 8 > bytes_max,
            "it is long enough"
        );
    }
}

#[test]
fn keys_of_one_place_are_kept_together() {
    // Found by trying: they share a partition and a place.
    let mut same = std::collections::HashMap::<Position, Vec<Vec<u8>>>::new();
    let mut pair = Vec::new();
    for n in 0u32.. {
        let key = format!("{{t}}{n}").into_bytes();
        let position = place(&key).0;
        let known = same.entry(position).or_default();
        known.push(key);
        if known.len() == 3 {
            pair = known.clone();
            break;
        }
    }
    let position = place(&pair[0]).0;
    let before = everything(0);
    let mut draft = Draft::new(position, &before, 20);
    pair.iter().for_each(|key| add(&mut draft, key));
    for n in 0..100 {
        add(&mut draft, format!("{{t}}other {n}").as_bytes());
    }
    draft.prune().unwrap();
    let listing = draft.finish(made(), &before, &before).unwrap();
    let listed: Vec<_> = all(&listing).into_iter().map(|(_, key)| key).collect();
    pair.sort();
    assert_eq!(listed, pair);
    assert!(listing.end() > position);
}

#[test]
fn a_crowd_at_one_place_is_refused_before_it_takes_all_memory() {
    let before = everything(0);
    let position = place(b"k").0;
    let mut draft = Draft::new(position, &before, 1 << 16);
    let mut refused = false;
    for n in 0..40_000u32 {
        let mut key = vec![b'k'; 1_000];
        key.extend_from_slice(&n.to_le_bytes());
        // As if somebody had found so many keys whose hashes are the same.
        draft.keys.push(position, &key);
        if draft.prune() == Err(Crowded) {
            refused = true;
            break;
        }
    }
    assert!(refused);
    assert!(draft.keys.size() < 3 * CROWD_BYTES_MAX);
}

#[test]
fn a_list_is_good_for_whom_it_was_made_and_for_others_if_nothing_has_come() {
    let before = everything(1);
    let from = Position::before(100);
    let draft = Draft::new(from, &before, 1 << 10);
    let listing = draft.finish(made(), &before, &before).unwrap();
    let at = Position::before(101);
    let mine = Claim {
        tag: TAG,
        ..stranger(&listing, 4)
    };
    assert!(listing.covers(at, &mine));
    assert!(listing.covers(at, &stranger(&listing, 3)));
    assert!(!listing.covers(at, &stranger(&listing, 4)));
    let waiting = Claim {
        asked: listing.made.began,
        ..stranger(&listing, 4)
    };
    assert!(listing.covers(at, &waiting));
    for beyond in [Position::before(99), listing.end()] {
        assert!(!listing.covers(beyond, &mine));
    }
}

#[test]
fn partitions_that_were_not_owned_all_the_time_are_not_covered() {
    let mut before = everything(1);
    let mut after = everything(1);
    before[1] = None;
    after[2] = None;
    after[3].as_mut().unwrap().turn += 1;
    after[4].as_mut().unwrap().created += 1;
    let draft = Draft::new(Position::default(), &before, 1 << 20);
    let listing = draft.finish(made(), &before, &after).unwrap();
    let covered: Vec<u32> = (0..6)
        .filter(|partition| {
            let claim = Claim {
                tag: TAG,
                ..stranger(&listing, 0)
            };
            listing.covers(Position::before(*partition), &claim)
        })
        .collect();
    assert_eq!(covered, [0, 4, 5]);
}
