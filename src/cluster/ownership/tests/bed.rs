//! The stage: what membership, sessions, writers and handoff do around the machines.
//!
//! Of the entries it keeps the numbers of writes, in a few partitions.

mod check;
mod shell;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::*;
use crate::cluster::rendezvous::mix;

/// Every so many partitions are written to.
const WRITTEN_EVERY: usize = 64;

type Writes = BTreeMap<PartitionId, BTreeSet<u64>>;

/// What travels between two nodes, in order.
enum Packet {
    Control(Message),
    Effect(Effect),
    Answer(u64, bool),
    Pull(u64, Vec<PartitionId>),
    Pulled(u64, Writes),
}

#[derive(Clone, Copy)]
struct Effect {
    number: u64,
    partition: PartitionId,
    epoch: u32,
    write: u64,
}

/// A pull that has not ended.
struct Pull {
    from: NodeId,
    /// With the offers by which they are copied; 0 for what is merged.
    asked: Vec<(PartitionId, u32)>,
    turns: Vec<u32>,
    merge: bool,
}

struct Drain {
    partitions: Vec<PartitionId>,
    since: u64,
    /// What must be answered for: the copy, and up to which effect.
    marks: Vec<(NodeId, u64)>,
}

struct Node {
    machine: Ownership,
    leaving: bool,
    serving: bool,
    data: Writes,
    epochs: BTreeMap<PartitionId, u32>,
    roles: BTreeMap<PartitionId, Role>,
    turns: BTreeMap<PartitionId, u32>,
    pulls: BTreeMap<u64, Pull>,
    /// Effects that were not answered for.
    lanes: BTreeMap<NodeId, BTreeMap<u64, Effect>>,
    /// Writes of which copies have not answered, with those.
    waiting: BTreeMap<u64, (PartitionId, BTreeSet<NodeId>)>,
    merging: Vec<(NodeId, Vec<PartitionId>, BTreeSet<u64>)>,
    /// Copies that have come, which the machine has not heard yet.
    synced: Vec<(NodeId, Vec<(PartitionId, u32)>)>,
    drains: Vec<Drain>,
}

pub(super) struct Bed {
    nodes: BTreeMap<NodeId, Node>,
    queues: BTreeMap<(NodeId, NodeId), VecDeque<Packet>>,
    /// One side of a cut; empty without one.
    side: BTreeSet<NodeId>,
    links: BTreeSet<(NodeId, NodeId)>,
    backups: usize,
    seed: u64,
    now_ms: u64,
    lost_percent: u64,
    next: u64,
    /// Whether somebody writes all the time.
    pub(super) writing: bool,
    /// How often a role was set that makes writes wait.
    pub(super) frozen: usize,
    acknowledged: Vec<(PartitionId, u64)>,
}

/// A settled network of nodes 1 to `count`.
pub(super) fn founded(seed: u64, backups: usize, count: u32) -> Bed {
    let mut bed = Bed::new(seed, backups);
    bed.found(1);
    (2..=count).for_each(|node| bed.join(node));
    bed.settle(400, "to begin with");
    bed
}

impl Bed {
    pub(super) fn new(seed: u64, backups: usize) -> Bed {
        Bed {
            nodes: BTreeMap::new(),
            queues: BTreeMap::new(),
            side: BTreeSet::new(),
            links: BTreeSet::new(),
            backups,
            seed,
            now_ms: 1_000_000,
            lost_percent: 0,
            next: 0,
            writing: false,
            frozen: 0,
            acknowledged: Vec::new(),
        }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_add(1);
        mix(self.seed) % below
    }

    pub(super) fn machine(&self, node: u32) -> &Ownership {
        &self.nodes[&NodeId(node)].machine
    }

    pub(super) fn machine_mut(&mut self, node: u32) -> &mut Ownership {
        &mut self.nodes.get_mut(&NodeId(node)).unwrap().machine
    }

    pub(super) fn is_up(&self, node: u32) -> bool {
        self.nodes.contains_key(&NodeId(node))
    }

    /// Puts a node up that does not take part yet.
    pub(super) fn boot(&mut self, node: u32) {
        let me = NodeId(node);
        let node = Node {
            machine: Ownership::new(Options {
                me,
                backups: self.backups,
                partitions: PARTITION_COUNT,
            }),
            leaving: false,
            serving: true,
            data: Writes::new(),
            epochs: BTreeMap::new(),
            roles: BTreeMap::new(),
            turns: BTreeMap::new(),
            pulls: BTreeMap::new(),
            lanes: BTreeMap::new(),
            waiting: BTreeMap::new(),
            merging: Vec::new(),
            synced: Vec::new(),
            drains: Vec::new(),
        };
        self.nodes.insert(me, node);
    }

    pub(super) fn found(&mut self, node: u32) {
        self.boot(node);
        self.see();
        self.machine_mut(node).serve(false);
        self.act(NodeId(node));
    }

    pub(super) fn join(&mut self, node: u32) {
        self.boot(node);
        self.see();
        self.machine_mut(node).serve(true);
        self.act(NodeId(node));
    }

    pub(super) fn leave(&mut self, node: u32) {
        self.nodes.get_mut(&NodeId(node)).unwrap().leaving = true;
        self.see();
    }

    pub(super) fn kill_unseen(&mut self, node: u32) {
        self.nodes.remove(&NodeId(node));
        self.unlink(|link| link.0.0 == node || link.1.0 == node);
    }

    pub(super) fn kill(&mut self, node: u32) {
        self.kill_unseen(node);
        self.see();
    }

    /// A node dies, and comes back under its name after it was missed.
    pub(super) fn restart(&mut self, node: u32) {
        self.kill(node);
        self.run(2);
        self.join(node);
    }

    /// A node comes back before it was missed: its new session tells.
    pub(super) fn restart_unseen(&mut self, node: u32) {
        self.kill_unseen(node);
        let others: Vec<NodeId> = self.nodes.keys().copied().collect();
        for other in others {
            let machine = self.machine_mut(other.0);
            machine.restarted(NodeId(node));
            // It has not said yet that it takes part.
            let mut members = machine.members.clone();
            members.alive.remove(&NodeId(node));
            members.linked.remove(&NodeId(node));
            members.eligible.remove(&NodeId(node));
            machine.members(members);
            self.act(other);
        }
        self.join(node);
    }

    pub(super) fn cut(&mut self, side: &[u32]) {
        self.side = side.iter().map(|node| NodeId(*node)).collect();
        let side = self.side.clone();
        self.unlink(|(a, b)| side.contains(&a) != side.contains(&b));
        self.see();
    }

    pub(super) fn heal(&mut self) {
        self.side.clear();
        self.see();
    }

    pub(super) fn break_sessions(&mut self) {
        self.unlink(|_| true);
        self.see();
    }

    /// So many of a hundred words of the machines are lost from now on.
    pub(super) fn lose(&mut self, percent: u64) {
        self.lost_percent = percent;
    }

    /// Sessions end: what is under way is lost, pulls fail, effects are kept.
    fn unlink(&mut self, which: impl Fn((NodeId, NodeId)) -> bool) {
        self.links.retain(|link| !which(*link));
        self.queues.retain(|link, _| !which(*link));
        for (me, node) in &mut self.nodes {
            node.pulls.retain(|_, pull| !which((*me, pull.from)));
        }
    }

    /// Membership tells everybody who is there, and missing sessions are opened.
    pub(super) fn see(&mut self) {
        let nodes: Vec<NodeId> = self.nodes.keys().copied().collect();
        for &me in &nodes {
            let side = self.side.contains(&me);
            let near = |node: &NodeId| self.side.contains(node) == side;
            let alive: BTreeSet<NodeId> = nodes.iter().copied().filter(near).collect();
            let takes = |node: &NodeId| self.nodes[node].serving && !self.nodes[node].leaving;
            let eligible = alive.iter().copied().filter(takes).collect();
            let members = Members {
                eligible,
                linked: alive.clone(),
                alive,
            };
            self.machine_mut(me.0).members(members);
            self.act(me);
        }
        for &a in &nodes {
            for &b in &nodes {
                let near = self.side.contains(&a) == self.side.contains(&b);
                if a != b && near && self.links.insert((a, b)) {
                    self.machine_mut(a.0).connected(b);
                    let kept = self.nodes[&a].lanes.get(&b).cloned().unwrap_or_default();
                    for effect in kept.into_values() {
                        self.send(a, b, Packet::Effect(effect));
                    }
                    self.act(a);
                }
            }
        }
    }

    fn send(&mut self, from: NodeId, to: NodeId, packet: Packet) {
        if self.links.contains(&(from, to)) {
            self.queues.entry((from, to)).or_default().push_back(packet);
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn node(&mut self, node: NodeId) -> &mut Node {
        self.nodes.get_mut(&node).unwrap()
    }

    /// Some writes at whoever takes them.
    pub(super) fn write(&mut self) {
        for partition in PartitionId::all().step_by(WRITTEN_EVERY) {
            self.write_to(partition);
        }
    }

    fn write_to(&mut self, partition: PartitionId) {
        let nodes: Vec<NodeId> = self.nodes.keys().copied().collect();
        for node in nodes {
            let role = self.nodes[&node].roles.get(&partition);
            if matches!(role, Some(Role::Owned { frozen: false, .. })) {
                let write = self.number();
                self.apply(node, partition, write);
            }
        }
    }

    /// A write at an owner, new or taken over from another one.
    fn apply(&mut self, me: NodeId, partition: PartitionId, write: u64) {
        let Some(Role::Owned {
            in_sync, syncing, ..
        }) = self.nodes[&me].roles.get(&partition)
        else {
            panic!("it owns it");
        };
        let (in_sync, syncing) = (in_sync.clone(), syncing.clone());
        let epoch = self.nodes[&me].epochs[&partition];
        let node = self.node(me);
        node.data.entry(partition).or_default().insert(write);
        node.waiting
            .insert(write, (partition, in_sync.iter().copied().collect()));
        for to in in_sync.into_iter().chain(syncing) {
            let effect = Effect {
                number: self.number(),
                partition,
                epoch,
                write,
            };
            let lane = self.node(me).lanes.entry(to).or_default();
            lane.insert(effect.number, effect);
            self.send(me, to, Packet::Effect(effect));
        }
        self.acknowledge(me);
    }

    /// Answers writes that are with all copies.
    fn acknowledge(&mut self, me: NodeId) {
        let node = self.nodes.get_mut(&me).unwrap();
        let done: Vec<u64> = node
            .waiting
            .iter()
            .filter(|(_, (_, left))| left.is_empty())
            .map(|(write, _)| *write)
            .collect();
        for write in done {
            let (partition, _) = node.waiting.remove(&write).unwrap();
            self.acknowledged.push((partition, write));
        }
    }

    /// So many ticks, with what travels between them in any order but that of each pair.
    pub(super) fn run(&mut self, ticks: u64) {
        for _ in 0..ticks {
            self.now_ms += 100;
            // What is left over waits for the next tick.
            for _ in 0..1 + self.random(300) {
                if self.writing && self.random(3) == 0 {
                    let written = u64::from(PARTITION_COUNT) / WRITTEN_EVERY as u64;
                    let place = self.random(written) as usize;
                    let partition = PartitionId::all().step_by(WRITTEN_EVERY).nth(place);
                    self.write_to(partition.unwrap());
                }
                self.queues.retain(|_, queue| !queue.is_empty());
                if self.queues.is_empty() {
                    break;
                }
                let place = self.random(self.queues.len() as u64) as usize;
                let (&(from, to), queue) = self.queues.iter_mut().nth(place).unwrap();
                let packet = queue.pop_front().unwrap();
                self.deliver(from, to, packet);
                self.conclude(to);
            }
            let nodes: Vec<NodeId> = self.nodes.keys().copied().collect();
            for node in nodes {
                let now_ms = self.now_ms;
                self.machine_mut(node.0).tick(now_ms);
                self.conclude(node);
            }
        }
    }
}
