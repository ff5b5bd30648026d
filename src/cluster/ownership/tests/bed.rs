//! The stage: what membership, sessions, writers and handoff do around the machines.
//!
//! Of the entries it keeps the numbers of writes, in a few partitions.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::*;
use crate::cluster::rendezvous::{mix, order};

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
    asked: Vec<PartitionId>,
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

    /// Carries out what a machine says.
    fn act(&mut self, me: NodeId) {
        loop {
            let actions = self.node(me).machine.take_actions();
            if actions.is_empty() {
                return;
            }
            actions
                .into_iter()
                .for_each(|action| self.carry_out(me, action));
        }
    }

    fn say(&mut self, from: NodeId, to: NodeId, message: Message) {
        if self.random(100) >= self.lost_percent {
            self.send(from, to, Packet::Control(message));
        }
    }

    fn carry_out(&mut self, me: NodeId, action: Action) {
        match action {
            Action::Reset(partitions) => {
                for partition in partitions {
                    let node = self.node(me);
                    *node.turns.entry(partition).or_default() += 1;
                    if !matches!(node.roles.get(&partition), Some(Role::Owned { .. })) {
                        node.data.remove(&partition);
                    }
                }
            }
            Action::Role(partitions, role) => self.set_roles(me, &partitions, &role),
            Action::Release(dead) => {
                let node = self.node(me);
                node.lanes.remove(&dead);
                node.waiting.values_mut().for_each(|(_, left)| {
                    left.remove(&dead);
                });
                self.acknowledge(me);
            }
            Action::Drop(partitions) => {
                let node = self.node(me);
                for partition in partitions {
                    assert_eq!(*node.machine.role(partition), Role::Elsewhere);
                    node.data.remove(&partition);
                }
            }
            Action::Send(to, message) => self.say(me, to, message),
            Action::Broadcast(message) => {
                let others: Vec<NodeId> = self.nodes.keys().copied().filter(|n| *n != me).collect();
                others
                    .into_iter()
                    .for_each(|to| self.say(me, to, message.clone()));
            }
            Action::Sync(from, partitions) => self.pull(me, from, partitions, false),
            Action::Merge(from, parts) => {
                let partitions = parts.iter().map(|part| part.partition).collect();
                self.pull(me, from, partitions, true);
            }
            Action::Drain(partitions, since) => self.drain(me, partitions, since),
            Action::Changed => {}
        }
    }

    fn set_roles(&mut self, me: NodeId, partitions: &[(PartitionId, u32)], role: &Role) {
        self.frozen += usize::from(matches!(role, Role::Owned { frozen: true, .. }));
        let node = self.node(me);
        for &(partition, epoch) in partitions {
            let known = node.epochs.entry(partition).or_default();
            if matches!(role, Role::Backup { .. }) && epoch < *known {
                continue;
            }
            *known = epoch.max(*known);
            node.roles.insert(partition, role.clone());
            *node.turns.entry(partition).or_default() += 1;
        }
    }

    fn pull(&mut self, me: NodeId, from: NodeId, mut asked: Vec<PartitionId>, merge: bool) {
        let node = &self.nodes[&me];
        let under_way: BTreeSet<PartitionId> = node
            .pulls
            .values()
            .filter(|pull| pull.merge == merge && pull.from == from)
            .flat_map(|pull| pull.asked.iter().copied())
            .collect();
        asked.retain(|partition| !under_way.contains(partition));
        if asked.is_empty() || !self.links.contains(&(me, from)) {
            return;
        }
        let turns = asked
            .iter()
            .map(|p| node.turns.get(p).copied().unwrap_or(0));
        let pull = Pull {
            from,
            turns: turns.collect(),
            asked: asked.clone(),
            merge,
        };
        let number = self.number();
        self.node(me).pulls.insert(number, pull);
        self.send(me, from, Packet::Pull(number, asked));
    }

    fn pulled(&mut self, me: NodeId, number: u64, entries: Writes) {
        let Some(pull) = self.node(me).pulls.remove(&number) else {
            return;
        };
        if !pull.merge {
            let node = self.node(me);
            for (partition, writes) in entries {
                if matches!(node.roles.get(&partition), Some(Role::Backup { .. })) {
                    node.data.entry(partition).or_default().extend(writes);
                }
            }
            let turn = |p: &PartitionId| node.turns.get(p).copied().unwrap_or(0);
            let stayed = pull.asked.iter().zip(&pull.turns);
            let stayed = stayed.filter(|(p, before)| turn(p) == **before);
            let complete: Vec<PartitionId> = stayed.map(|(p, _)| *p).collect();
            node.machine.synced(pull.from, &complete);
            return self.act(me);
        }
        let mut settled = pull.asked;
        let mut writes = BTreeSet::new();
        settled.retain(|partition| {
            let role = self.nodes[&me].roles.get(partition);
            matches!(role, Some(Role::Owned { frozen: false, .. }))
        });
        for partition in &settled {
            for &write in entries.get(partition).into_iter().flatten() {
                let ours = self.nodes[&me].data.get(partition);
                if !ours.is_some_and(|ours| ours.contains(&write)) {
                    self.apply(me, *partition, write);
                    writes.insert(write);
                }
            }
        }
        self.node(me).merging.push((pull.from, settled, writes));
    }

    fn drain(&mut self, me: NodeId, partitions: Vec<PartitionId>, since: u64) {
        let mark = self.number();
        let node = self.node(me);
        let mut copies = BTreeSet::new();
        for partition in &partitions {
            match node.roles.get(partition) {
                Some(Role::Owned {
                    in_sync, frozen, ..
                }) => {
                    assert!(frozen, "writes go on while it is drained");
                    copies.extend(in_sync.iter().copied());
                }
                other => panic!("{me:?} drains {partition:?} as {other:?}"),
            }
        }
        node.drains.push(Drain {
            partitions,
            since,
            marks: copies.into_iter().map(|copy| (copy, mark)).collect(),
        });
    }

    /// Ends drains and merges whose effects are with the copies.
    fn conclude(&mut self, me: NodeId) {
        let node = self.node(me);
        let open = |lanes: &BTreeMap<NodeId, BTreeMap<u64, Effect>>,
                    (copy, mark): (NodeId, u64)| {
            lanes
                .get(&copy)
                .is_some_and(|lane| lane.range(..mark).next().is_some())
        };
        let lanes = &node.lanes;
        let (done, left) = std::mem::take(&mut node.drains)
            .into_iter()
            .partition(|drain: &Drain| !drain.marks.iter().any(|mark| open(lanes, *mark)));
        node.drains = left;
        let done: Vec<Drain> = done;
        for drain in done {
            node.machine.drained(&drain.partitions, drain.since);
        }
        let waiting = &node.waiting;
        let merging = std::mem::take(&mut node.merging);
        let (done, left): (Vec<_>, Vec<_>) = merging
            .into_iter()
            .partition(|(_, _, writes)| writes.iter().all(|write| !waiting.contains_key(write)));
        node.merging = left;
        for (from, partitions, _) in done {
            node.machine.merged(from, &partitions);
        }
        self.act(me);
    }

    fn deliver(&mut self, from: NodeId, to: NodeId, packet: Packet) {
        match packet {
            Packet::Control(message) => {
                self.machine_mut(to.0).receive(from, message);
                self.act(to);
            }
            Packet::Effect(effect) => {
                let node = self.node(to);
                let known = node.epochs.get(&effect.partition).copied().unwrap_or(0);
                let taken = match node.roles.get(&effect.partition) {
                    Some(Role::Backup { owner }) if *owner == from => true,
                    Some(Role::Backup { .. }) => effect.epoch > known,
                    _ => false,
                };
                if taken {
                    node.roles
                        .insert(effect.partition, Role::Backup { owner: from });
                    node.epochs
                        .insert(effect.partition, known.max(effect.epoch));
                    node.data
                        .entry(effect.partition)
                        .or_default()
                        .insert(effect.write);
                }
                self.send(to, from, Packet::Answer(effect.number, taken));
            }
            Packet::Answer(number, taken) => {
                let node = self.node(to);
                let effect = node.lanes.get_mut(&from).and_then(|l| l.remove(&number));
                if let Some(Effect { write, .. }) = effect
                    && let Some((_, left)) = node.waiting.get_mut(&write)
                {
                    if left.remove(&from) && !taken {
                        // The client hears that it may be lost.
                        node.waiting.remove(&write);
                    }
                    self.acknowledge(to);
                }
            }
            Packet::Pull(number, partitions) => {
                let data = &self.nodes[&to].data;
                let found = partitions
                    .iter()
                    .filter_map(|p| Some((*p, data.get(p)?.clone())));
                let found = found.collect();
                self.send(to, from, Packet::Pulled(number, found));
            }
            Packet::Pulled(number, entries) => self.pulled(to, number, entries),
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
                let nodes: Vec<NodeId> = self.nodes.keys().copied().collect();
                nodes.into_iter().for_each(|node| self.conclude(node));
            }
            let nodes: Vec<NodeId> = self.nodes.keys().copied().collect();
            for node in nodes {
                let now_ms = self.now_ms;
                self.machine_mut(node.0).tick(now_ms);
                self.act(node);
            }
        }
    }

    /// Runs until everything is as it should be, and sees that it stays so.
    pub(super) fn settle(&mut self, patience: u64, what: &str) {
        let since = self.seed;
        let mut last = Ok(());
        for _ in 0..patience {
            self.run(1);
            last = self.is_settled();
            if last.is_ok() {
                self.run(3);
                if let Err(wrong) = self.is_settled() {
                    panic!("{what} (seed near {since}): it did not stay: {wrong}");
                }
                return;
            }
        }
        panic!("{what} (seed near {since}): {}", last.unwrap_err());
    }

    /// What is not yet as it should be.
    pub(super) fn is_settled(&self) -> Result<(), String> {
        let all = |near: &NodeId| self.side.is_empty() || self.side.contains(near);
        let takes = self
            .nodes
            .iter()
            .filter(|(id, node)| !node.leaving && all(id));
        let eligible: BTreeSet<NodeId> = takes.map(|(id, _)| *id).collect();
        for partition in PartitionId::all() {
            let wanted = order(&eligible, partition, self.backups + 1);
            let copies: BTreeSet<NodeId> = wanted[1..].iter().copied().collect();
            let first = self.nodes[&wanted[0]].machine.holding(partition);
            for (id, node) in self.nodes.iter().filter(|(id, _)| all(id)) {
                let held = node.machine.holding(partition);
                let wrong = |what: &str| Err(format!("{partition:?} at {id:?}: {what}: {held:?}"));
                if held != first {
                    return wrong("nodes disagree");
                }
                if held.owner != Some(wanted[0]) {
                    return wrong("another owner");
                }
                let has: BTreeSet<NodeId> = held.backups.nodes().iter().copied().collect();
                if has != copies || held.backups.nodes().len() != copies.len() {
                    return wrong("other backups");
                }
                let role = if *id == wanted[0] {
                    Role::Owned {
                        in_sync: held.backups.nodes().to_vec(),
                        syncing: Vec::new(),
                        frozen: false,
                    }
                } else if copies.contains(id) {
                    Role::Backup { owner: wanted[0] }
                } else {
                    Role::Elsewhere
                };
                if *node.machine.role(partition) != role
                    || node.roles.get(&partition).unwrap_or(&Role::Elsewhere) != &role
                {
                    let roles = (node.machine.role(partition), node.roles.get(&partition));
                    return wrong(&format!("it is not {role:?} but {roles:?}"));
                }
            }
        }
        for (id, node) in self.nodes.iter().filter(|(id, _)| all(id)) {
            let figures = node.machine.figures();
            let open = [
                figures.arriving,
                figures.departing,
                figures.merging,
                figures.conceded,
            ];
            if open != [0; 4] {
                return Err(format!("{id:?}: {figures:?}"));
            }
        }
        Ok(())
    }

    /// Plays the comparison of copies with their owners, which have the last word.
    ///
    /// It matters after a cut: of the copies on the far side one may have got a write that the one
    /// which took over has not, and that the near side has acknowledged. If the first of them is the
    /// owner in the end, the merge brings nothing new to it, and so nothing to the other one.
    pub(super) fn repair(&mut self) {
        for partition in PartitionId::all().step_by(WRITTEN_EVERY) {
            let held = self
                .nodes
                .values()
                .next()
                .unwrap()
                .machine
                .holding(partition);
            let owner = held.owner.unwrap();
            let Some(truth) = self.nodes[&owner].data.get(&partition).cloned() else {
                continue;
            };
            for copy in held.backups.nodes() {
                self.node(*copy).data.insert(partition, truth.clone());
            }
        }
    }

    /// Every acknowledged write is with the owner and all backups, and nobody else has anything.
    pub(super) fn check_writes(&mut self) {
        self.run(3);
        assert!(!self.acknowledged.is_empty(), "nothing was written");
        for (partition, write) in &self.acknowledged {
            let held = self
                .nodes
                .values()
                .next()
                .unwrap()
                .machine
                .holding(*partition);
            let owner = held.owner.unwrap();
            for holder in held.backups.nodes().iter().chain([&owner]) {
                let data = self.nodes[holder].data.get(partition);
                assert!(
                    data.is_some_and(|data| data.contains(write)),
                    "write {write} on {partition:?} is lost at {holder:?}: {held:?}"
                );
            }
        }
        for (id, node) in &self.nodes {
            for partition in node.data.keys() {
                let held = node.machine.holding(*partition);
                let holds = held.owner == Some(*id) || held.backups.contains(*id);
                assert!(holds, "{id:?} still has entries of {partition:?}");
            }
        }
    }
}
