//! Who owns which partition, and who holds copies of it: a pure state machine.
//!
//! Two layers. The **target** is what each node computes from the eligible members by rendezvous
//! hashing: no coordinator. The **held** map is what is so: per partition an owner, its backups and
//! an *epoch*, gossiped as changes. Nobody owns a partition by computing that it should:
//!
//! - *Planned change.* The owner brings what is so closer to the target (`level`). It **offers** a
//!   copy to a node that should have one, and sends it every change from then on; that node pulls
//!   what there was before, and says when it is **synced**; then it is a backup. If the target has
//!   another owner, which is in sync, the present one **freezes** the partition, waits until all
//!   copies have acknowledged what was written, and makes the other one the owner and itself a
//!   backup, with epoch + 1. So a new owner has everything from its first moment, and until then the
//!   old one answers. Copies that are too many go once those that should be are in sync.
//! - *Failure.* The first living backup promotes itself with epoch + 1; no data moves before it
//!   answers. A partition without any living copy is taken, empty, by its target.
//! - *Conflict* (two founders, or two sides of a healed cut). The higher (epoch, owner) wins; the
//!   other one **concedes**, the winner takes over what it lacks (versions decide), and says when
//!   that is **merged**; only then may the other one forget.
//!
//! Invariants: a node's own view of a partition only ever moves up in (epoch, owner), so all views
//! converge to the same one once messages flow. The backups of a partition hold every write that
//! its owner acknowledged. An owner's word about its own partitions is never older than what its
//! writers do: roles are set before anything is sent.
//!
//! The machine knows no time but the ticks that it is given, no sockets and no actors.

mod copies;
mod hear;
mod level;
mod outbox;
mod protocol;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use self::protocol::{Action, Backups, COPIES_MAX, Held, Holding, Message, Part, Role};

use self::copies::Copies;
use self::outbox::Outbox;
use super::rendezvous;
use crate::key::{PARTITION_COUNT, PartitionId};
use crate::version::NodeId;

/// That this node owns something, which it does not hold, is believed after so many ticks.
const RUMOUR_TICKS: u64 = 30;
/// An owner that others speak of and that cannot be met is taken for dead after so many ticks.
const UNMET_TICKS: u64 = 50;
/// A partition whose holders are all dead is taken, empty, after so many ticks: somebody may know
/// of a copy that this node has not heard of yet.
const ORPHAN_TICKS: u64 = 10;
/// Views are compared every so many ticks.
const DIGEST_TICKS: u64 = 20;
/// A copy that others can reach and this node cannot is not waited for after so many ticks.
const CUT_OFF_TICKS: u64 = 30;
/// What was said and not answered is said again after so many ticks.
const REPEAT_TICKS: u64 = 20;
/// A copy that is in sync and that its owner does not list after so many ticks is not wanted.
const UNLISTED_TICKS: u64 = 100;

/// Whoever was taken for dead and is back has met all others after so many ticks.
const MET_TICKS: u64 = 600;

/// What the machine is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// This node.
    pub me: NodeId,
    /// How many backups a partition should have.
    pub backups: usize,
    /// How many partitions there are: [`PARTITION_COUNT`], or fewer in a simulation, where the
    /// work for each is repeated millions of times.
    pub partitions: u16,
}

/// Who is there, as membership says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// May own and hold copies: alive, serving and not leaving.
    pub eligible: BTreeSet<NodeId>,
    /// Answer, as far as anybody knows.
    pub alive: BTreeSet<NodeId>,
    /// There is a session with them, or there was one a moment ago.
    pub linked: BTreeSet<NodeId>,
}

/// A node that is being made a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Syncing {
    node: NodeId,
    /// Tells this offer from earlier ones, whose copies have missed changes since.
    offer: u32,
    offered_at: u64,
}

/// Where the machine stands with a partition that it owns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Mine {
    syncing: Vec<Syncing>,
    /// To whom it is about to go, and since when its writes wait.
    frozen: Option<(NodeId, u64)>,
    /// When it was last frozen in vain.
    frozen_last: u64,
    /// Who owned it before, and when it came from there.
    before: Option<(NodeId, u64)>,
    /// Nodes that owned it as well, and have entries that may be lacking here.
    merging: Vec<NodeId>,
}

/// Counts of what is so, for status and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Partitions that this node owns.
    pub owned: usize,
    /// Partitions of which it holds a copy in sync.
    pub backed_up: usize,
    /// Copies that are being made here.
    pub arriving: usize,
    /// Copies that this node's partitions lack of what is asked for.
    pub missing_copies: usize,
    /// Copies of this node's partitions that are being made elsewhere.
    pub departing: usize,
    /// Partitions whose entries of the other side of a cut are being taken over.
    pub merging: usize,
    /// Partitions given up after a cut, whose owner has not taken over what it lacks.
    pub conceded: usize,
    /// Partitions whose copy took over for a dead owner, since the start.
    pub promotions: u64,
    /// Partitions taken without any copy, since the start: what they held was lost.
    pub taken_empty: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Ownership {
    me: NodeId,
    backups: usize,
    /// Whether this node takes part: before it has joined it owns nothing and takes nothing.
    serving: bool,
    /// Whether partitions that nobody is known to own may be taken: a founder may at once, a node
    /// that joined must first be told what the others hold.
    may_found: bool,
    held: Vec<Held>,
    members: Members,
    /// Members that are alive and cannot be reached from here, and since when.
    cut_off: BTreeMap<NodeId, u64>,
    /// Members that were alive and are not any more.
    dead: BTreeSet<NodeId>,
    /// Owners that others speak of and that this node has not met, and since when it takes part
    /// and waits for them. They are neither alive to it nor dead.
    unmet: BTreeMap<NodeId, u64>,
    /// Who should hold each partition, the owner first: by all that are eligible.
    target: Vec<Backups>,
    /// The same by those that this node can reach.
    reachable: Vec<Backups>,
    mine: BTreeMap<PartitionId, Mine>,
    copies: Copies,
    /// Partitions given up after a cut: when their sides parted (Unix milliseconds), and when that
    /// was last said.
    conceded: BTreeMap<PartitionId, (u64, u64)>,
    /// When nodes were last held for dead (Unix milliseconds): if they were not, what they wrote
    /// since may collide with what was written here.
    died_at: BTreeMap<NodeId, u64>,
    /// Since when those of them that are alive again are.
    back_since: BTreeMap<NodeId, u64>,
    /// Partitions that others say this node owns although it does not hold them: the epoch, and
    /// since when.
    rumours: BTreeMap<PartitionId, (u32, u64)>,
    /// Partitions without a living holder, and since when.
    orphans: BTreeMap<PartitionId, u64>,
    ticks: u64,
    now_ms: u64,
    last_offer: u32,
    promotions: u64,
    taken_empty: u64,
    confirmations: u64,
    /// Nothing is to be done by itself before something changes: ticks need not look at every partition.
    at_rest: bool,
    /// The roles that were given out last.
    roles: Vec<Role>,
    outbox: Outbox,
}

impl Ownership {
    /// The machine of a node that owns nothing and knows nobody.
    #[must_use]
    pub fn new(options: Options) -> Ownership {
        let count = usize::from(options.partitions.min(PARTITION_COUNT));
        Ownership {
            me: options.me,
            backups: options.backups.min(COPIES_MAX - 1),
            serving: false,
            may_found: false,
            held: vec![Held::default(); count],
            members: Members {
                alive: BTreeSet::from([options.me]),
                ..Members::default()
            },
            cut_off: BTreeMap::new(),
            dead: BTreeSet::new(),
            unmet: BTreeMap::new(),
            target: vec![Backups::default(); count],
            reachable: vec![Backups::default(); count],
            mine: BTreeMap::new(),
            copies: Copies::default(),
            conceded: BTreeMap::new(),
            died_at: BTreeMap::new(),
            back_since: BTreeMap::new(),
            rumours: BTreeMap::new(),
            orphans: BTreeMap::new(),
            ticks: 0,
            now_ms: 0,
            last_offer: 0,
            promotions: 0,
            taken_empty: 0,
            confirmations: 0,
            at_rest: false,
            roles: vec![Role::default(); count],
            outbox: Outbox::default(),
        }
    }

    /// Who holds what, one per partition.
    #[must_use]
    pub fn held(&self) -> &[Held] {
        &self.held
    }

    /// Who holds a partition.
    #[must_use]
    pub fn holding(&self, partition: PartitionId) -> Held {
        self.held[partition.index()]
    }

    /// The role that was given out last for a partition.
    #[must_use]
    pub fn role(&self, partition: PartitionId) -> &Role {
        &self.roles[partition.index()]
    }

    /// The complete copies that this node holds, by their owners.
    #[must_use]
    pub fn followed(&self) -> BTreeMap<NodeId, Vec<PartitionId>> {
        let mut followed: BTreeMap<NodeId, Vec<PartitionId>> = BTreeMap::new();
        for (partition, owner) in self.copies.complete_ones() {
            followed.entry(owner).or_default().push(partition);
        }
        followed
    }

    /// Whether this node has not to be waited for: what it holds, others hold as well.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        let listed = |held: &Held| {
            held.backups.contains(self.me) && held.owner.is_some_and(|owner| self.may_lead(owner))
        };
        !self.mine.is_empty() || !self.conceded.is_empty() || self.held.iter().any(listed)
    }

    /// Counts of what is so.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let lacking =
            |(p, _): (&PartitionId, _)| -> usize { self.backups.saturating_sub(self.in_sync(*p)) };
        Figures {
            owned: self.mine.len(),
            backed_up: self.copies.complete_count(),
            arriving: self.copies.syncing_count(),
            missing_copies: self.mine.iter().map(lacking).sum(),
            departing: self.mine.values().map(|mine| mine.syncing.len()).sum(),
            merging: self.mine.values().filter(|m| !m.merging.is_empty()).count(),
            conceded: self.conceded.len(),
            promotions: self.promotions,
            taken_empty: self.taken_empty,
        }
    }

    /// How many backups a partition of this node has, without the one that is about to go.
    fn in_sync(&self, partition: PartitionId) -> usize {
        let held = &self.held[partition.index()];
        held.backups.nodes().len()
    }

    /// This node takes part from now on: it joined others, or founds the cluster.
    pub fn serve(&mut self, joined: bool) {
        self.serving = true;
        self.may_found |= !joined;
        self.level();
    }

    /// The members have changed.
    pub fn members(&mut self, members: Members) {
        if members == self.members {
            return;
        }
        let died: Vec<NodeId> = self
            .members
            .alive
            .difference(&members.alive)
            .copied()
            .collect();
        self.dead.extend(&died);
        self.dead.retain(|node| !members.alive.contains(node));
        self.unmet.retain(|node, _| !members.alive.contains(node));
        let eligible_changed = members.eligible != self.members.eligible;
        let linked_changed = members.linked != self.members.linked;
        self.members = members;
        let Members { alive, linked, .. } = &self.members;
        self.cut_off
            .retain(|node, _| alive.contains(node) && !linked.contains(node));
        for node in alive.difference(linked).filter(|node| **node != self.me) {
            self.cut_off.entry(*node).or_insert(self.ticks);
        }
        if eligible_changed {
            self.target = self.compute(|_| true);
        }
        if eligible_changed || linked_changed {
            let reach = |node| node == self.me || self.members.linked.contains(&node);
            self.reachable = self.compute(reach);
        }
        for node in died {
            self.bury(node);
        }
        self.level();
    }

    fn compute(&self, wanted: impl Fn(NodeId) -> bool) -> Vec<Backups> {
        let eligible = self.members.eligible.iter().copied();
        let nodes: BTreeSet<NodeId> = eligible.filter(|node| wanted(*node)).collect();
        let count = self.backups + 1;
        let order = |partition| rendezvous::order(&nodes, partition, count);
        self.partitions()
            .map(|partition| order(partition).into_iter().collect())
            .collect()
    }

    /// All partitions.
    fn partitions(&self) -> impl Iterator<Item = PartitionId> + use<> {
        PartitionId::all().take(self.held.len())
    }

    /// A node was restarted: what it held is gone, although it is alive again.
    pub fn restarted(&mut self, node: NodeId) {
        self.members.alive.remove(&node);
        self.dead.insert(node);
        self.bury(node);
        self.level();
        self.dead.remove(&node);
        self.members.alive.insert(node);
        self.at_rest = false;
    }

    /// A session with `peer` is up: tell it all.
    pub fn connected(&mut self, peer: NodeId) {
        self.tell_all(peer);
        for (partition, mine) in &mut self.mine {
            for syncing in mine.syncing.iter_mut().filter(|s| s.node == peer) {
                syncing.offered_at = self.ticks;
                let offers = self.outbox.offers.entry(peer).or_default();
                offers.push((partition.0, syncing.offer));
            }
        }
    }

    fn tell_all(&mut self, peer: NodeId) {
        let all = self.report(self.partitions());
        if self.may_found {
            self.outbox.sends.push((peer, Message::All(all)));
        } else if !all.is_empty() {
            // Who was not yet told all cannot tell all.
            self.outbox.sends.push((peer, Message::Held(all)));
        }
    }

    /// Changes are told once, to those who are connected then; who misses one learns of it by this.
    fn digest(&self) -> u64 {
        self.held.iter().fold(0, |digest, held| {
            let owner = held.owner.map_or(0, |owner| u64::from(owner.0));
            rendezvous::mix(digest ^ (owner << 32 | u64::from(held.epoch)))
        })
    }

    /// Asks all whether they believe what this node does.
    pub fn ask(&mut self) {
        self.outbox.digest = Some(self.digest());
    }

    /// How often another node has said all that it believes, or that it believes the same.
    #[must_use]
    pub fn confirmations(&self) -> u64 {
        self.confirmations
    }

    /// Time passes; called about ten times a second.
    pub fn tick(&mut self, now_ms: u64) {
        self.ticks += 1;
        self.now_ms = now_ms;
        if self.ticks.is_multiple_of(DIGEST_TICKS) {
            self.outbox.digest = Some(self.digest());
        }
        if !self.at_rest {
            self.level();
        }
        self.believe_rumours();
        self.forget_deaths();
        self.say_again();
    }

    /// Whoever has been back for long was met by all, and what had two owners was conceded.
    fn forget_deaths(&mut self) {
        let (ticks, alive) = (self.ticks, &self.members.alive);
        for node in self.died_at.keys().filter(|node| alive.contains(node)) {
            self.back_since.entry(*node).or_insert(ticks);
        }
        self.back_since.retain(|node, _| alive.contains(node));
        let back_since = &self.back_since;
        let is_recent = |node: &NodeId| {
            let since = back_since.get(node);
            since.is_none_or(|since| ticks - since < MET_TICKS)
        };
        self.died_at.retain(|node, _| is_recent(node));
        self.back_since
            .retain(|_, since| ticks - *since < MET_TICKS);
    }

    /// A message came in.
    pub fn receive(&mut self, from: NodeId, message: Message) {
        let confirms = matches!(message, Message::All(_) | Message::Agreed);
        self.confirmations += u64::from(confirms);
        self.at_rest &= matches!(message, Message::Agreed | Message::Digest(_));
        match message {
            Message::Agreed => {}
            Message::Held(holdings) => self.on_held(from, &holdings),
            Message::All(holdings) => {
                self.on_held(from, &holdings);
                self.may_found = true;
            }
            Message::Digest(theirs) => {
                if theirs == self.digest() {
                    self.outbox.sends.push((from, Message::Agreed));
                } else {
                    self.tell_all(from);
                }
            }
            Message::Offer(partitions) => self.on_offer(from, &partitions),
            Message::Synced(partitions) => self.on_synced(from, &partitions),
            Message::Concede(partitions) => self.on_concede(from, &partitions),
            Message::Merged(partitions) => self.on_merged(from, &partitions),
            Message::Lost(partitions) => self.on_lost(from, &partitions),
        }
    }

    /// Whether a node may still order writes: it is alive, or nobody knows.
    fn may_lead(&self, node: NodeId) -> bool {
        self.members.alive.contains(&node)
            || (!self.dead.contains(&node)
                && self
                    .unmet
                    .get(&node)
                    .is_none_or(|since| self.ticks - since < UNMET_TICKS))
    }

    /// Makes something so, and everybody hear of it.
    fn set_held(&mut self, partition: PartitionId, held: Held) {
        let before = std::mem::replace(&mut self.held[partition.index()], held);
        self.outbox.changed.insert(partition);
        self.note(partition, &before, &held);
    }

    /// Keeps what hangs on the holders of a partition in step with them.
    fn note(&mut self, partition: PartitionId, before: &Held, after: &Held) {
        self.at_rest = false;
        self.outbox.dirty.insert(partition);
        self.outbox.map_changed |= before.owner != after.owner || before.backups != after.backups;
        self.orphans.remove(&partition);
        self.outbox.level |= after.owner == Some(self.me);
        if after.owner == Some(self.me) {
            let mine = self.mine.entry(partition).or_default();
            if let Some(owner) = before.owner.filter(|owner| *owner != self.me) {
                mine.before = Some((owner, self.ticks));
            }
            self.copies.remove(partition);
            self.conceded.remove(&partition);
            self.rumours.remove(&partition);
        } else {
            self.mine.remove(&partition);
        }
    }

    fn report(&self, partitions: impl IntoIterator<Item = PartitionId>) -> Vec<Holding> {
        partitions
            .into_iter()
            .filter_map(|p| Holding::of(p, &self.held[p.index()]))
            .collect()
    }
}

/// What a peer said of partitions, without what are none.
fn known<T: Copy>(said: &[(u16, T)]) -> impl Iterator<Item = (PartitionId, T)> + '_ {
    let known = said.iter().filter(|(number, _)| *number < PARTITION_COUNT);
    known.map(|(number, what)| (PartitionId(*number), *what))
}

/// Partitions that a peer named, without what are none.
fn named(numbers: &[u16]) -> impl Iterator<Item = PartitionId> + '_ {
    let known = numbers.iter().filter(|number| **number < PARTITION_COUNT);
    known.map(|number| PartitionId(*number))
}
