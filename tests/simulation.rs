//! Whole clusters in one thread, in virtual time, with a seed that decides everything.
//!
//! Each node is made of the real pure parts: the cluster's machine, the writers' cores with their
//! tables, the lanes of effects. The simulation supplies what is asynchronous around them: sessions,
//! requests and answers, pulls, merges, drains, and the rule by which the router tries again. It
//! does to them what happens to clusters ([`scenario`]), and a checker ([`checker`]) holds every
//! promise under its condition.
//!
//! `SIM_SEEDS=1000` plays that many seeds of each mode, `SIM_SEED=7` only that one; `SIM_MODE=cut`
//! only that mode. A seed that fails is played again, and what happened last is shown: with `SIM_LOG=1`
//! all of it.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]
#![allow(
    unreachable_pub,
    reason = "what a room shows to the others of this test"
)]

#[path = "simulation/checker.rs"]
mod checker;
#[path = "simulation/client.rs"]
mod client;
#[path = "simulation/context.rs"]
mod context;
#[path = "simulation/flush.rs"]
mod flush;
#[path = "simulation/net.rs"]
mod net;
#[path = "simulation/node.rs"]
mod node;
#[path = "simulation/planted.rs"]
mod planted;
#[path = "simulation/pull.rs"]
mod pull;
#[path = "simulation/requests.rs"]
mod requests;
#[path = "simulation/sabotage.rs"]
mod sabotage;
#[path = "simulation/scenario.rs"]
mod scenario;
#[path = "simulation/settled.rs"]
mod settled;
#[path = "simulation/world.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use scenario::{Mode, play};
use smache::cluster::machine::Control;
use smache::cluster::ownership::Message;

/// Seeds of each mode that are played if nobody asks for more.
const SEEDS: u64 = 50;

fn seeds() -> Vec<u64> {
    let read = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    match read("SIM_SEED") {
        Some(seed) => vec![seed],
        None => (0..read("SIM_SEEDS").unwrap_or(SEEDS)).collect(),
    }
}

fn play_all(mode: Mode) {
    let name = format!("{mode:?}").to_lowercase();
    if std::env::var("SIM_MODE").is_ok_and(|wanted| wanted != name) {
        return;
    }
    let mut counts = checker::Counts::default();
    for seed in seeds() {
        match catch_unwind(|| play(seed, mode, None, false).context.checker.counts) {
            Ok(more) => counts.add(&more),
            Err(_) => {
                // The same again, with what happened.
                let panic = catch_unwind(AssertUnwindSafe(|| drop(play(seed, mode, None, true))));
                context::take_log()
                    .iter()
                    .for_each(|line| eprintln!("{line}"));
                eprintln!(
                    "seed {seed} fails; to replay it: \
                     SIM_MODE={name} SIM_SEED={seed} cargo test --test simulation -- --nocapture"
                );
                resume_unwind(panic.expect_err("a seed replays"));
            }
        }
    }
    println!("{name}: {counts:?}");
}

/// A message in short.
fn show(control: &Control) -> String {
    match control {
        Control::Ownership(Message::Held(held)) => format!("Held({})", held.len()),
        other => {
            let mut text = format!("{other:?}");
            text.truncate(200);
            text
        }
    }
}

#[test]
fn nothing_is_lost_or_missed_while_nodes_come_and_leave() {
    play_all(Mode::Strict);
}

#[test]
fn no_acknowledged_write_is_lost_with_a_node() {
    play_all(Mode::Crash);
}

#[test]
fn both_sides_of_a_cut_hold_the_same_and_count_what_they_discard() {
    play_all(Mode::Cut);
}

#[test]
fn whatever_happens_it_settles() {
    play_all(Mode::Chaos);
}

#[test]
fn a_seed_replays() {
    let digest = |seed| {
        context::take_log();
        drop(play(seed, Mode::Crash, None, true));
        context::take_log()
    };
    assert_eq!(digest(3), digest(3));
}
