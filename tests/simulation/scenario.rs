//! What is done to a cluster, by mode and seed.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::client;
use crate::context::{PLACES, Settings, note};
use crate::net::Place;
use crate::sabotage::Sabotage;
use crate::world::World;

/// After faults have ended all must have settled within this: views agree, copies are restored, and
/// both sides of a healed cut hold the same.
pub const SETTLE_MS: u64 = 30_000;

/// Which promises are owed, and so which faults there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nodes come, leave, stop for a moment, lose sessions. Nothing is lost, nothing is missed.
    Strict,
    /// One crash at a time as well, once copies are restored. No acknowledged write is lost.
    Crash,
    /// Cuts and long pauses. In the end all hold the same, and what was discarded was counted.
    Cut,
    /// Everything at once. It settles.
    Chaos,
}

impl Mode {
    fn owes_promises(self) -> bool {
        matches!(self, Mode::Strict | Mode::Crash)
    }
}

/// Plays one seed; panics if a promise is broken.
pub fn play(seed: u64, mode: Mode, sabotage: Option<Sabotage>, logging: bool) -> World {
    let mut rng = SmallRng::seed_from_u64(seed ^ (mode as u64 + 1) << 56);
    let settings = settings(&mut rng, mode);
    let delay_max = [2, 10, 30][rng.random_range(0..3)];
    let mut world = World::new(rng.random(), settings, delay_max, sabotage, logging);
    note!(world.context, "{mode:?} {settings:?} delay {delay_max}");
    world.context.checker.is_cut_mode = mode == Mode::Cut;
    world.start(0);
    world.run(500);
    client::populate(&mut world.context);
    let nodes = world.context.rng.random_range(2..=4);
    for place in 1..nodes {
        let wait = world.context.rng.random_range(0..3_000);
        world.run(wait);
        world.start(place);
    }
    let steps = world.context.rng.random_range(8..16);
    let flushes = mode.owes_promises() && seed.is_multiple_of(3);
    for step in 0..steps {
        if flushes && step == 3 + seed % 5 {
            world.flush(mode);
        }
        let wait = world.context.rng.random_range(100..2_500);
        world.run(wait);
        world.fault(mode);
    }
    world.finish(mode);
    world
}

fn settings(rng: &mut SmallRng, mode: Mode) -> Settings {
    let evicts = mode != Mode::Cut && rng.random_ratio(1, 6);
    Settings {
        backups: match (mode, rng.random_range(0..6)) {
            (Mode::Crash, 0) | (_, 1) => 2,
            (_, 0) => 0,
            (_, 2) => 3,
            _ => 1,
        },
        cores: rng.random_range(1..=2),
        lane_bytes: if rng.random_ratio(1, 4) {
            4 << 10
        } else {
            256 << 10
        },
        chunk_bytes: rng.random_range(50..3_000),
        budget_bytes: if evicts { 256 << 10 } else { 64 << 20 },
        tombstone_ms: 120_000,
        skew_ms: if rng.random_bool(0.3) { 2_200 } else { 200 },
        evicts,
        large_bytes: if evicts { 30_000 } else { 2_000 },
    }
}

impl World {
    fn pick(&mut self) -> Option<Place> {
        let up: Vec<Place> = self.nodes.keys().copied().collect();
        (!up.is_empty()).then(|| up[self.context.rng.random_range(0..up.len())])
    }

    fn pick_two(&mut self) -> Option<(Place, Place)> {
        let (a, b) = (self.pick()?, self.pick()?);
        (a != b).then_some((a, b))
    }

    /// Nodes that stay.
    fn staying(&self) -> usize {
        self.nodes.values().filter(|node| !node.leaving).count()
    }

    pub fn fault(&mut self, mode: Mode) {
        let roll = self.context.rng.random_range(0..100);
        match (mode, roll) {
            (_, 0..20) => self.join_one(),
            (Mode::Cut, 20..35) => {
                // Whoever leaves before it has met the others again takes what it wrote along.
                if let Err(why) = self.settle(SETTLE_MS) {
                    panic!("not settled after a cut: {why}");
                }
                self.leave_one();
            }
            (_, 20..35) => self.leave_one(),
            (Mode::Strict | Mode::Crash, 35..65) => self.break_one(),
            (Mode::Strict | Mode::Crash, 65..75) => self.pause_one(1_200),
            (_, 75..80) => self.step_one(),
            (Mode::Crash, 80..100) => self.crash_one(),
            (Mode::Cut, 35..75) | (Mode::Chaos, 35..55) => self.cut_some(),
            (Mode::Cut, 80..90) | (Mode::Chaos, 55..65) => self.pause_one(8_000),
            (Mode::Chaos, 65..75) => self.break_one(),
            (Mode::Chaos, 80..95) => self.crash_any(),
            _ => {}
        }
    }

    fn join_one(&mut self) {
        let free = (0..PLACES).find(|place| !self.nodes.contains_key(place));
        if let Some(place) = free.filter(|_| self.nodes.len() < 5) {
            self.start(place);
        }
    }

    fn leave_one(&mut self) {
        if self.staying() > 2
            && let Some(place) = self.pick().filter(|p| self.context.open.contains(p))
        {
            self.leave(place);
        }
    }

    fn break_one(&mut self) {
        if let Some((a, b)) = self.pick_two() {
            self.break_session(a, b);
        }
    }

    /// Stops a node, for less than others take it for dead, or for longer.
    fn pause_one(&mut self, most_ms: u64) {
        let Some(place) = self.pick() else { return };
        if most_ms > 3_000 {
            self.context.checker.lenient = true;
        }
        self.pause(place);
        let span = self.context.rng.random_range(50..most_ms);
        self.run(span);
        self.resume(place);
        // The next fault must not add to this one.
        self.run(1_000);
    }

    fn step_one(&mut self) {
        let Some(place) = self.pick() else { return };
        if self.context.settings.skew_ms > 1_000 {
            let offset = self.nodes[&place].offset;
            let step = if offset > 0 { -2_000 } else { 2_000 };
            self.step_clock(place, step);
            self.run(4_000);
        }
    }

    /// Kills a node whose copies are all there, and has it come back, sooner or later.
    fn crash_one(&mut self) {
        if self.nodes.len() < 2 || self.context.settings.backups == 0 {
            return;
        }
        if let Err(why) = self.settle(SETTLE_MS) {
            panic!("copies are not restored: {why}");
        }
        let Some(place) = self.pick() else { return };
        self.crash(place);
        let away = match self.context.rng.random_range(0..3) {
            0 => self.context.rng.random_range(1..300),
            1 => self.context.rng.random_range(300..6_000),
            _ => SETTLE_MS,
        };
        if away < SETTLE_MS {
            self.run(away);
            self.start(place);
        }
        if let Err(why) = self.settle(SETTLE_MS) {
            panic!("copies are not restored after a crash: {why}");
        }
    }

    fn crash_any(&mut self) {
        self.context.checker.lenient = true;
        if self.nodes.len() > 1
            && let Some(place) = self.pick()
        {
            self.crash(place);
            let away = self.context.rng.random_range(1..3_000);
            self.run(away);
            self.start(place);
        }
    }

    /// Cuts a node off: both ways, one way, or again and again.
    fn cut_some(&mut self) {
        self.context.checker.lenient = true;
        let Some(alone) = self.pick() else { return };
        let others: Vec<Place> = self.nodes.keys().copied().filter(|p| *p != alone).collect();
        let many = self.context.rng.random_bool(0.7);
        let others: Vec<Place> = others
            .into_iter()
            .filter(|_| many || self.context.rng.random_bool(0.5))
            .collect();
        let (out, inward) = match self.context.rng.random_range(0..4) {
            0 => (true, false),
            1 => (false, true),
            _ => (true, true),
        };
        let times = if self.context.rng.random_ratio(1, 4) {
            self.context.rng.random_range(3..8)
        } else {
            1
        };
        for _ in 0..times {
            for other in &others {
                if out {
                    self.cut(alone, *other);
                }
                if inward {
                    self.cut(*other, alone);
                }
            }
            let most = if times > 1 { 1_500 } else { 14_000 };
            let span = self.context.rng.random_range(100..most);
            self.run(span);
            for other in &others {
                self.heal(alone, *other);
                self.heal(*other, alone);
            }
            let pause = self.context.rng.random_range(0..1_000);
            self.run(pause);
        }
    }

    /// Ends all faults, and checks what must be so then.
    fn finish(&mut self, mode: Mode) {
        let wait = self.context.rng.random_range(0..2_000);
        self.run(wait);
        self.context.clients_stopped = true;
        // Whatever clients have sent is over by then.
        self.run(4_000);
        let settled = self.settle(SETTLE_MS);
        let took = settled.unwrap_or_else(|why| panic!("not settled: {why}"));
        note!(self.context, "settled after {took} ms");
        self.run(1_000);
        if let Err(why) = self.settled() {
            panic!("not settled any more: {why}");
        }
        self.check_copies();
        self.check_keys();
        self.check_horizon();
        if mode.owes_promises() {
            let leaving = self.nodes.values().filter(|node| node.leaving).count();
            assert_eq!(leaving, 0, "whoever leaves is gone in the end");
        }
    }
}
