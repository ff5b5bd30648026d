//! What a node does with the words of its machine, and with what comes from others.

use std::collections::{BTreeMap, BTreeSet};

use super::{Bed, Drain, Effect, Packet, Pull, Writes};
use crate::cluster::ownership::{Action, Message, Role};
use crate::key::PartitionId;
use crate::version::NodeId;

impl Bed {
    /// Carries out what a machine says.
    pub(super) fn act(&mut self, me: NodeId) {
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
                let partitions = parts.iter().map(|part| (part.partition, 0)).collect();
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
            let is_copy = |role: &Role| matches!(role, Role::Backup { .. });
            let was_copy = node.roles.get(&partition).is_some_and(is_copy);
            if is_copy(role) && was_copy && epoch < *known {
                continue;
            }
            *known = epoch.max(*known);
            node.roles.insert(partition, role.clone());
            *node.turns.entry(partition).or_default() += 1;
        }
    }

    fn pull(&mut self, me: NodeId, from: NodeId, mut asked: Vec<(PartitionId, u32)>, merge: bool) {
        let node = &self.nodes[&me];
        let under_way: BTreeSet<(PartitionId, u32)> = node
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
            .map(|(p, _)| node.turns.get(p).copied().unwrap_or(0));
        let partitions = asked.iter().map(|(p, _)| *p).collect();
        let pull = Pull {
            from,
            turns: turns.collect(),
            asked,
            merge,
        };
        let number = self.number();
        self.node(me).pulls.insert(number, pull);
        self.send(me, from, Packet::Pull(number, partitions));
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
            let stayed = stayed.filter(|((p, _), before)| turn(p) == **before);
            let complete = stayed.map(|(asked, _)| *asked).collect();
            return node.synced.push((pull.from, complete));
        }
        let mut settled: Vec<PartitionId> = pull.asked.iter().map(|(p, _)| *p).collect();
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

    /// Tells the machine of copies that have come, and of drains and merges whose effects are with the
    /// copies.
    pub(super) fn conclude(&mut self, me: NodeId) {
        let node = self.node(me);
        for (from, complete) in std::mem::take(&mut node.synced) {
            node.machine.synced(from, &complete);
        }
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

    pub(super) fn deliver(&mut self, from: NodeId, to: NodeId, packet: Packet) {
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
}
