//! A world: the nodes, and the hand that does things to them.

use std::collections::BTreeMap;

use rand::RngExt;

use crate::client;
use crate::context::{Context, Event, Happening, Settings, note};
use crate::net::Place;
use crate::node::Node;
use crate::sabotage::Sabotage;

/// See the module.
pub struct World {
    pub context: Context,
    pub nodes: BTreeMap<Place, Node>,
    /// What happens to nodes that are paused, in order.
    waiting: BTreeMap<Place, Vec<Event>>,
}

impl World {
    pub fn new(
        seed: u64,
        settings: Settings,
        delay_max: u64,
        sabotage: Option<Sabotage>,
        logging: bool,
    ) -> World {
        let mut context = Context::new(seed, settings, delay_max, logging);
        context.sabotage = sabotage;
        World {
            context,
            nodes: BTreeMap::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// Lets time pass.
    pub fn run(&mut self, span_ms: u64) {
        let end = self.context.now + span_ms;
        while let Some(happening) = self.context.next(end) {
            match happening {
                Happening::Client(number) => client::next(&mut self.context, number),
                Happening::GiveUp(op) => self.context.give_up(op),
                Happening::Node(place, boot, event) => self.at_node(place, boot, event),
            }
        }
        self.context.now = end;
    }

    fn at_node(&mut self, place: Place, boot: u64, event: Event) {
        let is_same = |node: &&mut Node| node.identity.boot_epoch == boot;
        let Some(node) = self.nodes.get_mut(&place).filter(is_same) else {
            return;
        };
        if self.context.paused.contains(&place) {
            self.waiting.entry(place).or_default().push(event);
            return;
        }
        node.handle(&mut self.context, event.clone());
        self.check_bounds(place);
        if matches!(event, Event::Gone) {
            self.remove(place);
        } else if self.nodes[&place].refused {
            // Whoever runs it starts it again.
            self.remove(place);
            self.start(place);
        }
    }

    /// No queue is ever longer than its bound, but for what no bound refuses: a single effect, and
    /// words of evictions.
    fn check_bounds(&self, place: Place) {
        let settings = &self.context.settings;
        // One that has just gone is not known to be gone.
        let lanes_max = self.context.places.len().max(2) as u64 - 1;
        let large = settings.large_bytes.max(self.context.checker.list_bytes());
        let slack = (large + 4_096) as u64;
        let max = settings.lane_bytes as u64 + slack;
        let kept = self.nodes[&place].lanes.counters().bytes;
        assert!(kept <= lanes_max * max, "n{place} keeps {kept} bytes");
        let peak = self.context.net.bytes_peak as u64;
        assert!(peak <= max, "a session has held {peak} bytes of effects");
    }

    pub fn start(&mut self, place: Place) {
        let up: Vec<Place> = self.nodes.keys().copied().collect();
        let uplinks: Vec<Place> = up
            .iter()
            .copied()
            .filter(|p| !self.is_leaving(*p))
            .collect();
        let some = !uplinks.is_empty();
        let uplink = some.then(|| uplinks[self.context.rng.random_range(0..uplinks.len())]);
        let skew = self.context.settings.skew_ms.min(200);
        let offset = self.context.rng.random_range(-skew..=skew);
        let node = Node::start(&mut self.context, place, uplink, offset);
        self.nodes.insert(place, node);
    }

    fn is_leaving(&self, place: Place) -> bool {
        self.nodes.get(&place).is_some_and(|node| node.leaving)
    }

    /// A node begins to leave.
    pub fn leave(&mut self, place: Place) {
        note!(self.context, "n{place} begins to leave");
        self.context.open.remove(&place);
        if let Some(node) = self.nodes.get_mut(&place) {
            node.leaving = true;
            node.machine.leave();
            node.settle(&mut self.context);
        }
    }

    /// A node is killed.
    pub fn crash(&mut self, place: Place) {
        note!(self.context, "n{place} crashes");
        self.context.checker.crashed();
        self.resume(place);
        self.remove(place);
    }

    fn remove(&mut self, place: Place) {
        let Some(node) = self.nodes.remove(&place) else {
            return;
        };
        self.context.up.remove(&place);
        self.context.open.remove(&place);
        self.waiting.remove(&place);
        for session in node.sessions() {
            self.context.close(session);
        }
        let ops = self.context.ops.iter();
        let gone: Vec<u64> = ops
            .filter(|(_, op)| op.place == place)
            .map(|(id, _)| *id)
            .collect();
        for op in gone {
            self.context.give_up(op);
            self.context.ops.remove(&op);
        }
    }

    /// A node stands still: whatever happens to it waits.
    pub fn pause(&mut self, place: Place) {
        note!(self.context, "n{place} is paused");
        self.context.paused.insert(place);
    }

    /// A node goes on: all that has waited happens at once.
    pub fn resume(&mut self, place: Place) {
        if !self.context.paused.remove(&place) {
            return;
        }
        note!(self.context, "n{place} goes on");
        let boot = self.context.up.get(&place).map(|(_, boot)| *boot);
        for event in self.waiting.remove(&place).unwrap_or_default() {
            if let Some(boot) = boot {
                self.at_node(place, boot, event);
            }
        }
    }

    /// A session between two nodes breaks.
    pub fn break_session(&mut self, a: Place, b: Place) {
        if let Some((one, other)) = self.context.net.between(a, b) {
            note!(self.context, "session {one} of n{a} and n{b} breaks");
            self.context.break_session(one, other);
        }
    }

    pub fn cut(&mut self, from: Place, to: Place) {
        note!(self.context, "n{from} -> n{to} is cut");
        self.context.net.cut(from, to);
    }

    pub fn heal(&mut self, from: Place, to: Place) {
        if self.context.net.is_cut(from, to) {
            note!(self.context, "n{from} -> n{to} is healed");
            for (end, place) in self.context.net.heal(from, to) {
                let at = self.context.now + 1;
                self.context.schedule_at(at, place, Event::Deliver(end));
            }
        }
    }

    /// A node's clock is set by so many milliseconds.
    pub fn step_clock(&mut self, place: Place, step: i64) {
        note!(self.context, "the clock of n{place} steps by {step}");
        if let Some(node) = self.nodes.get_mut(&place) {
            node.offset += step;
        }
    }
}
