//! Small networks of machines: who owns what in the end, and that no acknowledged write is lost.
//!
//! The stage ([`bed`]) plays membership, sessions, writers and handoff, in one thread and from a
//! seed: messages of a pair of nodes come in order, those of different pairs in any.

mod bed;

use self::bed::{Bed, founded};
use super::*;

const PATIENCE: u64 = 400;

#[test]
fn a_founder_owns_everything_at_once() {
    let mut bed = Bed::new(1, 2);
    bed.found(1);
    bed.settle(1, "a founder");
    assert_eq!(bed.machine(1).figures().owned, usize::from(PARTITION_COUNT));
    assert_eq!(
        bed.machine(1).figures().missing_copies,
        2 * usize::from(PARTITION_COUNT)
    );
    assert!(bed.machine(1).is_needed());
}

#[test]
fn who_has_joined_takes_nothing_by_itself() {
    let mut bed = Bed::new(1, 1);
    bed.boot(1);
    bed.machine_mut(1).serve(true);
    bed.see();
    bed.run(100);
    assert_eq!(bed.machine(1).figures().owned, 0);
    assert!(!bed.machine(1).is_needed());
}

#[test]
fn however_many_come_everything_settles() {
    for backups in 0..=3 {
        let mut bed = Bed::new(100 + backups as u64, backups);
        bed.found(1);
        bed.settle(5, "alone");
        for node in 2..=5 {
            bed.join(node);
            bed.write();
            bed.settle(PATIENCE, &format!("{backups} backups, {node} nodes"));
        }
        bed.check_writes();
        for node in 1..=5 {
            let machine = bed.machine(node);
            assert_eq!(machine.figures().taken_empty, 0);
            assert_eq!(machine.figures().promotions, 0);
        }
    }
}

#[test]
fn all_at_once_settle_as_well() {
    for backups in 0..=3 {
        let mut bed = Bed::new(200 + backups as u64, backups);
        bed.found(1);
        bed.settle(5, "alone");
        bed.write();
        (2..=5).for_each(|node| bed.join(node));
        bed.write();
        bed.settle(PATIENCE, &format!("{backups} backups, four came at once"));
        bed.check_writes();
    }
}

#[test]
fn an_offer_brings_a_copy_and_the_target_gets_the_partition() {
    let mut bed = founded(300, 1, 1);
    bed.join(2);
    bed.writing = true;
    let mut owners = vec![1; usize::from(PARTITION_COUNT)];
    for _ in 0..PATIENCE {
        bed.run(1);
        for partition in PartitionId::all() {
            let held = bed.machine(1).holding(partition);
            let owner = held.owner.unwrap().0;
            if owner != owners[partition.index()] {
                owners[partition.index()] = owner;
                assert_eq!(owner, 2);
                assert!(held.backups.contains(NodeId(1)), "the old one keeps a copy");
            }
        }
        if bed.is_settled().is_ok() {
            break;
        }
    }
    bed.writing = false;
    bed.settle(PATIENCE, "two nodes");
    bed.check_writes();
    assert!(bed.frozen > 0, "writes must wait while a partition goes");
    assert!(owners.contains(&1) && owners.contains(&2));
}

#[test]
fn who_leaves_is_needed_until_others_have_everything() {
    for backups in 0..=2 {
        let mut bed = founded(400 + backups as u64, backups, 4);
        bed.write();
        bed.leave(2);
        for _ in 0..PATIENCE {
            bed.run(1);
            bed.write();
            if !bed.machine(2).is_needed() {
                break;
            }
        }
        assert!(!bed.machine(2).is_needed(), "{backups}");
        bed.kill(2);
        bed.settle(PATIENCE, "three are left");
        bed.check_writes();
        for node in [1, 3, 4] {
            let figures = bed.machine(node).figures();
            assert_eq!((figures.promotions, figures.taken_empty), (0, 0));
        }
    }
}

#[test]
fn of_a_dead_owner_the_first_backup_takes_over() {
    for seed in 0..2 {
        let mut bed = founded(500 + seed, 1, 3);
        bed.write();
        bed.run(1);
        let before: Vec<Held> = bed.machine(1).held().to_vec();
        bed.write();
        bed.kill(2);
        let after = bed.machine(1).held().to_vec();
        for (before, after) in before.iter().zip(&after) {
            if before.owner == Some(NodeId(2)) && before.backups.nodes()[0] == NodeId(1) {
                assert_eq!(after.owner, Some(NodeId(1)), "at once");
                assert!(after.epoch > before.epoch);
            }
        }
        bed.write();
        bed.settle(PATIENCE, "two are left");
        let promoted: u64 = [1, 3]
            .map(|node| bed.machine(node).figures().promotions)
            .iter()
            .sum();
        let owned = before.iter().filter(|held| held.owner == Some(NodeId(2)));
        assert_eq!(promoted, owned.count() as u64);
        bed.check_writes();
    }
}

#[test]
fn a_dead_backup_is_delisted_and_another_one_is_made() {
    let mut bed = founded(600, 1, 3);
    bed.write();
    bed.kill(3);
    for partition in PartitionId::all() {
        let held = bed.machine(1).holding(partition);
        if held.owner == Some(NodeId(1)) {
            assert!(!held.backups.contains(NodeId(3)), "at once");
        }
    }
    bed.settle(PATIENCE, "two are left");
    bed.check_writes();
}

#[test]
fn without_a_copy_the_target_takes_it_empty_after_a_while() {
    let mut bed = founded(700, 0, 2);
    bed.kill(2);
    assert!(bed.is_settled().is_err());
    bed.run(ORPHAN_TICKS / 2);
    assert_eq!(bed.machine(1).figures().taken_empty, 0, "too early");
    bed.settle(PATIENCE, "alone");
    assert!(bed.machine(1).figures().taken_empty > 0);
}

#[test]
fn deaths_one_after_another_lose_nothing_while_a_copy_is_left() {
    for seed in 0..2 {
        let mut bed = founded(800 + seed, 2, 5);
        for dead in [1, 4, 5] {
            bed.write();
            bed.run(2);
            bed.kill(dead);
            bed.write();
            bed.settle(PATIENCE, &format!("seed {seed}: without {dead}"));
        }
        bed.check_writes();
    }
}

#[test]
fn two_deaths_at_once_leave_a_third_copy() {
    for seed in 0..2 {
        let mut bed = founded(900 + seed, 2, 4);
        bed.write();
        bed.run(5);
        bed.kill_unseen(1);
        bed.kill_unseen(3);
        bed.see();
        bed.settle(PATIENCE, "two are left");
        bed.check_writes();
    }
}

#[test]
fn a_node_that_is_restarted_begins_with_nothing() {
    for (seed, backups) in [(0, 1), (1, 1), (2, 2)] {
        let mut bed = founded(1_000 + seed, backups, 3);
        bed.write();
        bed.run(3);
        bed.restart(2);
        bed.write();
        bed.settle(PATIENCE, "it is back");
        bed.check_writes();
    }
}

#[test]
fn a_node_that_is_restarted_before_anybody_noticed() {
    for (seed, backups) in [(0, 0), (1, 1), (2, 2)] {
        let mut bed = founded(1_050 + seed, backups, 3);
        bed.write();
        bed.run(3);
        bed.restart_unseen(2);
        bed.write();
        bed.settle(PATIENCE, "it is back");
        if backups > 0 {
            bed.check_writes();
        }
    }
}

#[test]
fn of_two_owners_one_concedes_and_nothing_is_lost() {
    for (seed, backups) in [(0, 0), (1, 1), (2, 2)] {
        let mut bed = founded(1_100 + seed, backups, 4);
        bed.write();
        bed.run(3);
        bed.cut(&[1, 2]);
        for _ in 0..30 {
            bed.run(1);
            bed.write();
        }
        bed.run(80);
        bed.heal();
        bed.write();
        bed.settle(PATIENCE, &format!("healed, {backups} backups"));
        bed.run(3);
        bed.repair();
        bed.check_writes();
        for node in 1..=4 {
            assert_eq!(bed.machine(node).figures().conceded, 0);
        }
    }
}

#[test]
fn two_founders_become_one() {
    let mut bed = Bed::new(1_200, 1);
    bed.found(1);
    bed.cut(&[1]);
    bed.found(2);
    bed.run(2);
    bed.write();
    bed.run(2);
    bed.heal();
    bed.settle(PATIENCE, "two founders met");
    bed.check_writes();
}

#[test]
fn what_is_lost_is_said_again() {
    for seed in 0..2 {
        let mut bed = Bed::new(1_300 + seed, 1);
        bed.found(1);
        bed.lose(30);
        bed.join(2);
        bed.write();
        bed.run(20);
        bed.join(3);
        bed.write();
        bed.run(150);
        bed.kill(1);
        bed.run(100);
        bed.write();
        bed.lose(0);
        bed.settle(PATIENCE, &format!("seed {seed}: messages were lost"));
        bed.check_writes();
    }
}

#[test]
fn a_short_cut_that_nobody_takes_for_a_death_heals() {
    let mut bed = founded(1_400, 1, 3);
    bed.join(4);
    bed.run(2);
    // Sessions break and come back; members stay.
    bed.write();
    bed.break_sessions();
    bed.write();
    bed.run(5);
    bed.break_sessions();
    bed.settle(PATIENCE, "sessions broke");
    bed.check_writes();
}

#[test]
fn whatever_happens_while_somebody_writes_nothing_is_lost() {
    for seed in 0..3 {
        let backups = 1 + seed as usize;
        let mut bed = founded(10_000 * (seed + 1), backups, 4);
        bed.writing = true;
        for (step, node) in [(0, 5), (1, 3), (2, 2), (3, 4), (4, 1), (5, 3)] {
            let what = format!("seed {seed}, step {step}");
            bed.run((seed + step) % 5);
            match (seed + step) % 6 {
                0 if !bed.is_up(6) => bed.join(6),
                1 if bed.is_up(node) => bed.kill(node),
                2 if bed.is_up(node) => bed.restart(node),
                3 if bed.is_up(node) => bed.restart_unseen(node),
                4 => bed.break_sessions(),
                _ => {
                    bed.cut(&[1, 2]);
                    bed.run(20);
                    bed.heal();
                }
            }
            bed.run(10);
            bed.writing = false;
            bed.settle(PATIENCE, &what);
            bed.run(3);
            bed.repair();
            bed.check_writes();
            bed.writing = true;
        }
    }
}

/// Whoever has pulled a copy says so a moment later, and its owner may have begun it anew by then.
#[test]
fn what_came_for_an_earlier_offer_completes_no_copy() {
    let (owner, me, partition) = (NodeId(1), NodeId(2), PartitionId(7));
    let mut machine = Ownership::new(Options {
        me,
        backups: 1,
        partitions: PARTITION_COUNT,
    });
    machine.serve(true);
    let both = BTreeSet::from([owner, me]);
    machine.members(Members {
        eligible: both.clone(),
        alive: both.clone(),
        linked: both,
    });
    let holding = Holding {
        partition: partition.0,
        epoch: 1,
        owner: owner.0,
        backups: Vec::new(),
    };
    machine.receive(owner, Message::Held(vec![holding]));
    let said = |machine: &mut Ownership| {
        let said = machine.take_actions().into_iter();
        let said = said.filter_map(|action| match action {
            Action::Send(_, Message::Synced(synced)) => Some(synced),
            _ => None,
        });
        said.flatten().collect::<Vec<_>>()
    };
    for offer in [1, 2] {
        machine.receive(owner, Message::Offer(vec![(partition.0, offer)]));
        let actions = machine.take_actions();
        assert!(actions.contains(&Action::Reset(vec![partition])));
        assert!(actions.contains(&Action::Sync(owner, vec![(partition, offer)])));
    }
    machine.synced(owner, &[(partition, 1)]);
    assert_eq!(said(&mut machine), []);
    assert_eq!(machine.figures().arriving, 1);
    machine.synced(owner, &[(partition, 2)]);
    assert_eq!(said(&mut machine), [(partition.0, 2)]);
    assert_eq!(machine.figures().backed_up, 1);
}

#[test]
fn what_peers_say_of_partitions_that_do_not_exist_is_ignored() {
    let mut bed = founded(1_500, 1, 2);
    let wrong = PARTITION_COUNT;
    let holding = Holding {
        partition: wrong,
        epoch: u32::MAX,
        owner: 2,
        backups: vec![1; 20],
    };
    for message in [
        Message::Held(vec![holding]),
        Message::Offer(vec![(wrong, 1)]),
        Message::Synced(vec![(wrong, 1)]),
        Message::Concede(vec![(wrong, 1)]),
        Message::Merged(vec![wrong]),
        Message::Lost(vec![wrong]),
    ] {
        bed.machine_mut(1).receive(NodeId(2), message);
    }
    bed.settle(5, "nothing has changed");
}
