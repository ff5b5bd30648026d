//! A network of pure machines in virtual time, decided by a seed.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::super::{Action, Membership, Message, Options, Timing};
use crate::clock::UnixMs;
use crate::cluster::transport::{Identity, SessionId};
use crate::version::NodeId;

#[derive(Clone, Debug)]
enum Event {
    Tick,
    Opened(SessionId, Identity, Option<String>),
    Closed(SessionId),
    DialFailed(String, bool),
    Message(SessionId, Message),
    Datagram(String, Vec<u8>),
    Close(SessionId),
}

pub(super) struct Node {
    pub(super) membership: Membership,
    pub(super) identity: Identity,
    boot: u64,
    /// What came while it was stopped, if it is.
    stopped: Option<Vec<Event>>,
    /// What its clock shows beyond the true time.
    pub(super) clock_ahead: i64,
    pub(super) refused: Option<String>,
    pub(super) restarts_seen: Vec<NodeId>,
}

struct End {
    here: String,
    there: String,
    other: SessionId,
    broken: bool,
}

pub(super) struct World {
    pub(super) rng: SmallRng,
    pub(super) now: u64,
    order: u64,
    queue: BTreeMap<(u64, u64), (String, u64, Event)>,
    pub(super) nodes: BTreeMap<String, Node>,
    sessions: BTreeMap<SessionId, End>,
    /// What the first sends to the second is lost.
    lost: BTreeSet<(String, String)>,
    /// Chance of a datagram to be lost.
    pub(super) loss: f64,
    arrival: BTreeMap<(String, String), u64>,
    last_session: u64,
    boots: u64,
}

impl World {
    pub(super) fn new(seed: u64) -> World {
        World {
            rng: SmallRng::seed_from_u64(seed),
            now: 1_000_000,
            order: 0,
            queue: BTreeMap::new(),
            nodes: BTreeMap::new(),
            sessions: BTreeMap::new(),
            lost: BTreeSet::new(),
            loss: 0.0,
            arrival: BTreeMap::new(),
            last_session: 0,
            boots: 0,
        }
    }

    /// A settled cluster of nodes a, b, c, ...
    pub(super) fn settled(seed: u64, count: usize) -> World {
        let mut world = World::new(seed);
        for name in names(count) {
            world.start(&name, (name != "a").then_some("a"));
        }
        world.run(5_000);
        world.check_all_alive();
        world
    }

    pub(super) fn start(&mut self, address: &str, uplink: Option<&str>) {
        self.start_as(address, &format!("{address}@test"), "smache", uplink);
    }

    pub(super) fn start_as(&mut self, address: &str, name: &str, cluster: &str, up: Option<&str>) {
        self.boots += 1;
        let identity = Identity::new(name, self.boots);
        let options = Options {
            identity: identity.clone(),
            cluster: cluster.to_owned(),
            address: address.to_owned(),
            has_uplinks: up.is_some(),
            timing: Timing::default(),
            seed: self.rng.random(),
        };
        let mut membership = Membership::new(options, UnixMs(self.now));
        membership.resolved(up.map(str::to_owned), UnixMs(self.now));
        let node = Node {
            membership,
            identity,
            boot: self.boots,
            stopped: None,
            clock_ahead: 0,
            refused: None,
            restarts_seen: Vec::new(),
        };
        self.nodes.insert(address.to_owned(), node);
        self.schedule(self.now + 1, address, Event::Tick);
        self.carry_out(address);
    }

    fn schedule(&mut self, at: u64, to: &str, event: Event) {
        let Some(boot) = self.nodes.get(to).map(|node| node.boot) else {
            return;
        };
        self.order += 1;
        let entry = (to.to_owned(), boot, event);
        self.queue.insert((at, self.order), entry);
    }

    /// Delivers something after a delay that keeps order.
    fn deliver(&mut self, from: &str, to: &str, event: Event) {
        let delay = self.rng.random_range(1..10);
        let last = self.arrival.entry((from.to_owned(), to.to_owned()));
        let at = last.or_default();
        *at = (*at).max(self.now + delay);
        let at = *at;
        self.schedule(at, to, event);
    }

    pub(super) fn run(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(first) = self.queue.first_entry() {
            if first.key().0 > end {
                break;
            }
            let ((at, _), (to, boot, event)) = first.remove_entry();
            self.now = at;
            if self.nodes.get(&to).is_some_and(|node| node.boot == boot) {
                self.happen(&to, event);
            }
        }
        self.now = end;
    }

    /// Runs until it is so, and says how long that took; panics after `max_ms`.
    pub(super) fn run_until(
        &mut self,
        what: &str,
        max_ms: u64,
        so: impl Fn(&World) -> bool,
    ) -> u64 {
        let start = self.now;
        while !so(self) {
            assert!(self.now - start < max_ms, "not {what} within {max_ms} ms");
            self.run(10);
        }
        self.now - start
    }

    /// Checks something every 100 ms for a while.
    pub(super) fn always(&mut self, ms: u64, check: impl Fn(&World)) {
        for _ in 0..ms / 100 {
            self.run(100);
            check(self);
        }
    }

    fn happen(&mut self, to: &str, event: Event) {
        let Some(node) = self.nodes.get_mut(to) else {
            return;
        };
        if let Some(waiting) = &mut node.stopped {
            waiting.push(event);
            return;
        }
        let now = UnixMs(self.now.saturating_add_signed(node.clock_ahead));
        let membership = &mut node.membership;
        match event {
            Event::Tick => {
                membership.tick(now);
                self.schedule(self.now + 100, to, Event::Tick);
            }
            Event::Opened(session, peer, dialled) => {
                if self.sessions.contains_key(&session) {
                    if let Some(address) = &dialled {
                        membership.dialled(address, Some(peer.id), now);
                    }
                    membership.opened(session, &peer, dialled.is_some(), now);
                }
            }
            Event::Closed(session) => membership.closed(session, now),
            Event::DialFailed(address, refused) => membership.dial_failed(&address, refused, now),
            Event::Message(session, message) => {
                if self.sessions.contains_key(&session) {
                    membership.receive(session, to, message, now);
                }
            }
            Event::Datagram(from, packet) => membership.datagram(&from, &packet, now),
            Event::Close(session) => self.close(session),
        }
        self.carry_out(to);
    }

    fn carry_out(&mut self, from: &str) {
        let Some(node) = self.nodes.get_mut(from) else {
            return;
        };
        for action in node.membership.take_actions() {
            self.act(from, action);
        }
    }

    fn act(&mut self, from: &str, action: Action) {
        match action {
            Action::Dial(to) => self.dial(from, to),
            Action::Send(session, message) => self.send(session, message),
            Action::Datagram(to, packet) => {
                let lost = self.loss > 0.0 && self.rng.random_bool(self.loss);
                if !lost && !self.is_lost(from, &to) && self.nodes.contains_key(&to) {
                    let after = self.rng.random_range(1..30);
                    let event = Event::Datagram(from.to_owned(), packet);
                    self.schedule(self.now + after, &to, event);
                }
            }
            // A moment later, so that what was sent before can go out.
            Action::Close(session, _) => {
                self.schedule(self.now + 50, from, Event::Close(session));
            }
            Action::Refused(why) => {
                self.nodes.get_mut(from).expect("it acts").refused = Some(why);
            }
            Action::Restarted(node) => {
                let me = self.nodes.get_mut(from).expect("it acts");
                me.restarts_seen.push(node);
            }
            Action::Connected(..) | Action::Changed | Action::Serve { .. } => {}
        }
    }

    fn is_lost(&self, from: &str, to: &str) -> bool {
        self.lost.contains(&(from.to_owned(), to.to_owned()))
    }

    fn is_silent(&self, a: &str, b: &str) -> bool {
        self.is_lost(a, b) || self.is_lost(b, a)
    }

    fn dial(&mut self, from: &str, to: String) {
        let stopped = self.nodes.get(&to).is_some_and(|n| n.stopped.is_some());
        if self.is_silent(from, &to) || stopped {
            let event = Event::DialFailed(to, false);
            return self.schedule(self.now + 2_000, from, event);
        }
        let Some(peer) = self.nodes.get(&to).map(|node| node.identity.clone()) else {
            return self.schedule(self.now + 1, from, Event::DialFailed(to, true));
        };
        let me = self.nodes[from].identity.clone();
        let (here, there) = (
            SessionId(self.last_session + 1),
            SessionId(self.last_session + 2),
        );
        self.last_session += 2;
        for (id, here, there, other) in [(here, from, &*to, there), (there, &*to, from, here)] {
            let (here, there) = (here.to_owned(), there.to_owned());
            let end = End {
                here,
                there,
                other,
                broken: false,
            };
            self.sessions.insert(id, end);
        }
        self.deliver(from, &to, Event::Opened(there, me, None));
        self.deliver(&to, from, Event::Opened(here, peer, Some(to.clone())));
    }

    fn send(&mut self, session: SessionId, message: Message) {
        let Some(end) = self.sessions.get(&session) else {
            return;
        };
        let (here, there, other) = (end.here.clone(), end.there.clone(), end.other);
        if self.is_silent(&here, &there) {
            // What is not confirmed is sent again for ever, and nothing after it.
            self.sessions.get_mut(&session).expect("it is there").broken = true;
        } else {
            self.deliver(&here, &there, Event::Message(other, message));
        }
    }

    fn close(&mut self, session: SessionId) {
        let Some(end) = self.sessions.remove(&session) else {
            return;
        };
        self.schedule(self.now + 1, &end.here, Event::Closed(session));
        if self.is_silent(&end.here, &end.there) {
            if let Some(other) = self.sessions.get_mut(&end.other) {
                other.broken = true;
            }
            return;
        }
        self.sessions.remove(&end.other);
        self.deliver(&end.here, &end.there, Event::Closed(end.other));
    }

    /// Ends a node at once, as `kill -9` does.
    pub(super) fn kill(&mut self, address: &str) {
        self.nodes.remove(address);
        let here = self.sessions.iter().filter(|(_, e)| e.here == address);
        let open: Vec<SessionId> = here.map(|(id, _)| *id).collect();
        open.into_iter().for_each(|id| self.close(id));
    }

    pub(super) fn stop(&mut self, address: &str) {
        self.nodes.get_mut(address).expect("it runs").stopped = Some(Vec::new());
    }

    pub(super) fn go_on(&mut self, address: &str) {
        let node = self.nodes.get_mut(address).expect("it runs");
        for event in node.stopped.take().into_iter().flatten() {
            self.happen(address, event);
        }
    }

    /// Loses what `from` sends to `to`, or no longer.
    pub(super) fn cut_one_way(&mut self, from: &str, to: &str, cut: bool) {
        let pair = (from.to_owned(), to.to_owned());
        if cut {
            self.lost.insert(pair);
            return;
        }
        self.lost.remove(&pair);
        if self.is_silent(from, to) {
            return;
        }
        let between = |e: &End| {
            (&*e.here == from && &*e.there == to) || (&*e.here == to && &*e.there == from)
        };
        let broken = self.sessions.iter().filter(|(_, e)| e.broken && between(e));
        let broken: Vec<SessionId> = broken.map(|(id, _)| *id).collect();
        broken.into_iter().for_each(|id| self.close(id));
    }

    /// Pulls the cable between two, or puts it back.
    pub(super) fn cut(&mut self, a: &str, b: &str, cut: bool) {
        self.cut_one_way(a, b, cut);
        self.cut_one_way(b, a, cut);
    }

    pub(super) fn others(&self, address: &str) -> Vec<String> {
        let others = self.nodes.keys().filter(|name| *name != address);
        others.cloned().collect()
    }

    pub(super) fn id(&self, address: &str) -> NodeId {
        self.nodes[address].identity.id
    }

    pub(super) fn at(&self, address: &str) -> &Membership {
        &self.nodes[address].membership
    }

    pub(super) fn all_alive(&self) -> bool {
        let all: BTreeSet<NodeId> = self.nodes.values().map(|n| n.identity.id).collect();
        self.nodes.values().all(|node| {
            let membership = &node.membership;
            membership.alive() == all && membership.eligible() == all && membership.linked() == all
        })
    }

    pub(super) fn check_all_alive(&self) {
        for (address, node) in &self.nodes {
            let count = self.nodes.len();
            let membership = &node.membership;
            let sets = [
                membership.alive(),
                membership.eligible(),
                membership.linked(),
            ];
            let sizes = sets.map(|set| set.len());
            assert_eq!(
                sizes, [count; 3],
                "alive, eligible, linked at {address}, {}",
                self.now
            );
        }
    }

    /// Whether `node` is not alive in the eyes of all those nodes.
    pub(super) fn is_out(&self, node: NodeId, of: &[String]) -> bool {
        of.iter().all(|one| !self.at(one).alive().contains(&node))
    }

    /// Deaths that any node has noted.
    pub(super) fn downs(&self) -> u64 {
        let counts = self.nodes.values().map(|n| n.membership.counters().get());
        counts.map(|counts| counts.downs).sum()
    }
}

pub(super) fn names(count: usize) -> Vec<String> {
    (0..count)
        .map(|i| char::from(b'a' + u8::try_from(i).expect("few")).to_string())
        .collect()
}
