//! Each planted fault is caught: so the checker can fail.

use std::panic::catch_unwind;

use crate::context;
use crate::sabotage::Sabotage;
use crate::scenario::{Mode, play};

/// The seed that first catches a fault; the same seed passes without it.
fn first_seed(sabotage: Sabotage, mode: Mode, most: u64) -> u64 {
    let caught =
        |seed: &u64| catch_unwind(|| drop(play(*seed, mode, Some(sabotage), false))).is_err();
    let seed = (0..most).find(caught);
    let seed = seed.unwrap_or_else(|| panic!("{sabotage:?} passes {most} seeds"));
    println!("{sabotage:?} is caught by seed {seed} of {mode:?}");
    context::take_log();
    drop(play(seed, mode, None, false));
    seed
}

#[test]
fn a_skipped_tombstone_is_caught() {
    first_seed(Sabotage::SkipTombstones, Mode::Strict, 20);
}

#[test]
fn a_skipped_flush_is_caught() {
    first_seed(Sabotage::SkipFlushes, Mode::Crash, 120);
}

#[test]
fn an_old_copy_dropped_early_is_caught() {
    first_seed(Sabotage::DropEarly, Mode::Strict, 20);
}

#[test]
fn an_acknowledgement_before_the_backup_is_caught() {
    first_seed(Sabotage::AcknowledgeEarly, Mode::Crash, 60);
}

#[test]
fn acceptance_before_the_grant_is_caught() {
    first_seed(Sabotage::AcceptBeforeGrant, Mode::Strict, 20);
}

#[test]
fn forgotten_operation_ids_are_caught() {
    first_seed(Sabotage::ForgetOperations, Mode::Strict, 60);
}
