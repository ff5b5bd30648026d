//! Who owns which partition: a pure state machine.
//!
//! Two layers. The **target** is what each node computes from the eligible members by rendezvous
//! hashing (Thaler and Ravishankar, *Using Name-Based Mappings to Increase Hit Rates*, 1998): no
//! coordinator. The **held** map is what is so: per partition an owner and an *epoch*, gossiped as
//! changes. Nobody owns a partition by computing that it should:
//!
//! - *Planned change.* The target **claims** from the present owner. The owner stops accepting,
//!   **grants** epoch + 1, and from then on only holds. The new owner accepts at once, fetches
//!   single keys that it is asked for and pulls the rest; then it **releases** the old copy.
//! - *Failure.* The target among the living promotes itself with epoch + 1.
//! - *Conflict* (two founders, or two sides of a healed cut). The higher (epoch, owner) wins; the
//!   loser grants it what it has, and versions decide between the entries.
//!
//! Invariant: a node's own view of a partition only ever moves up in (epoch, owner), so all views
//! converge to the same one once messages flow.
//!
//! The machine knows no time but the ticks that it is given, no sockets and no actors.

mod protocol;

use std::collections::{BTreeMap, BTreeSet};

pub use self::protocol::{Action, Holding, Message};

use super::rendezvous;
use crate::key::{PARTITION_COUNT, PartitionId};
use crate::version::NodeId;
use crate::writer::Role;

/// A grant that is not released is repeated after so many ticks.
const GRANT_TICKS: u64 = 50;
/// That this node owns something is believed without a grant after so many ticks.
const RUMOUR_TICKS: u64 = 30;
/// An owner that others speak of and that cannot be met is taken for dead after so many ticks.
const UNMET_TICKS: u64 = 50;
/// Views are compared every so many ticks.
const DIGEST_TICKS: u64 = 20;
/// A claim that is not answered is made again after so many ticks.
const CLAIM_TICKS: u64 = 10;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    epoch: u32,
    owner: Option<NodeId>,
}

/// See the module.
#[derive(Debug)]
pub struct Ownership {
    me: NodeId,
    /// Whether this node takes part: before it has joined it owns nothing and claims nothing.
    serving: bool,
    /// Whether partitions that nobody is known to own may be taken: a founder may at once, a node
    /// that joined must first be told what the others hold.
    may_found: bool,
    held: Vec<Held>,
    /// Members that may own: up and not leaving.
    eligible: BTreeSet<NodeId>,
    /// Members that answer: up or leaving.
    alive: BTreeSet<NodeId>,
    /// Members that were alive and are not any more.
    dead: BTreeSet<NodeId>,
    /// Owners that others speak of and that this node has not met, and since when it takes part
    /// and waits for them. They are neither alive to it nor dead.
    unmet: BTreeMap<NodeId, u64>,
    target: Vec<Option<NodeId>>,
    /// Partitions of this node with entries still elsewhere, and where; the first is being pulled.
    arriving: BTreeMap<PartitionId, Vec<NodeId>>,
    /// Partitions granted away whose new owner has not released the old copy: to whom, and when
    /// that was last said.
    granted: BTreeMap<PartitionId, (NodeId, u64)>,
    /// Partitions that others say this node owns although no grant has come: the epoch, and since
    /// when.
    rumours: BTreeMap<PartitionId, (u32, u64)>,
    /// When a partition was last claimed.
    claimed: BTreeMap<PartitionId, u64>,
    ticks: u64,
    actions: Vec<Action>,
}

impl Ownership {
    /// The machine of node `me`, which owns nothing and knows nobody.
    #[must_use]
    pub fn new(me: NodeId) -> Ownership {
        let count = usize::from(PARTITION_COUNT);
        Ownership {
            me,
            serving: false,
            may_found: false,
            held: vec![Held::default(); count],
            eligible: BTreeSet::new(),
            alive: BTreeSet::from([me]),
            dead: BTreeSet::new(),
            unmet: BTreeMap::new(),
            target: vec![None; count],
            arriving: BTreeMap::new(),
            granted: BTreeMap::new(),
            rumours: BTreeMap::new(),
            claimed: BTreeMap::new(),
            ticks: 0,
            actions: Vec::new(),
        }
    }

    /// What is to be done, in this order.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// The owners, one per partition.
    pub fn owners(&self) -> impl Iterator<Item = Option<NodeId>> + '_ {
        self.held.iter().map(|held| held.owner)
    }

    /// The owner and epoch of a partition.
    #[must_use]
    pub fn holding(&self, partition: PartitionId) -> Option<(NodeId, u32)> {
        let held = self.held[partition.index()];
        held.owner.map(|owner| (owner, held.epoch))
    }

    /// How many partitions this node owns.
    #[must_use]
    pub fn owned(&self) -> usize {
        self.held
            .iter()
            .filter(|held| held.owner == Some(self.me))
            .count()
    }

    /// How many partitions were granted away and are still needed here by their new owner.
    #[must_use]
    pub fn owed(&self) -> usize {
        let alive = |(p, _): &(&PartitionId, _)| {
            self.held[p.index()]
                .owner
                .is_some_and(|owner| self.alive.contains(&owner))
        };
        self.granted.iter().filter(alive).count()
    }

    /// How many partitions have entries still on their way.
    #[must_use]
    pub fn arriving(&self) -> usize {
        self.arriving.len()
    }

    /// This node takes part from now on: it joined others, or founds the cluster.
    pub fn serve(&mut self, joined: bool) {
        self.serving = true;
        self.may_found |= !joined;
        self.level();
    }

    /// The members have changed.
    pub fn members(&mut self, eligible: BTreeSet<NodeId>, alive: BTreeSet<NodeId>) {
        if eligible != self.eligible {
            self.target = rendezvous::owners(&eligible);
            self.eligible = eligible;
            self.claimed.clear();
        }
        let died: Vec<NodeId> = self.alive.difference(&alive).copied().collect();
        self.dead.extend(&died);
        self.dead.retain(|node| !alive.contains(node));
        self.unmet.retain(|node, _| !alive.contains(node));
        self.alive = alive;
        for node in died {
            self.forget_source(node);
        }
        self.level();
    }

    /// A node was restarted: what it held is gone, although it is alive again.
    pub fn restarted(&mut self, node: NodeId) {
        self.alive.remove(&node);
        self.dead.insert(node);
        self.forget_source(node);
        self.level();
        self.dead.remove(&node);
        self.alive.insert(node);
    }

    /// A session with `peer` is up: tell it all.
    pub fn connected(&mut self, peer: NodeId) {
        // A grant may have been lost with an earlier session.
        let owed = self.granted.iter().filter(|(_, (owner, _))| *owner == peer);
        let owed: Vec<PartitionId> = owed.map(|(partition, _)| *partition).collect();
        let owed = self.report(owed);
        if !owed.is_empty() {
            self.actions.push(Action::Send(peer, Message::Grant(owed)));
        }
        self.tell_all(peer);
    }

    fn tell_all(&mut self, peer: NodeId) {
        let all = self.report(PartitionId::all());
        if !all.is_empty() {
            self.actions.push(Action::Send(peer, Message::Held(all)));
        }
    }

    /// Changes are told once, to those who are connected then; who misses one learns of it by this.
    fn digest(&self) -> u64 {
        self.held.iter().fold(0, |digest, held| {
            let owner = held.owner.map_or(0, |owner| u64::from(owner.0));
            rendezvous::mix(digest ^ (owner << 32 | u64::from(held.epoch)))
        })
    }

    /// Time passes; called about ten times a second.
    pub fn tick(&mut self) {
        self.ticks += 1;
        if self.ticks.is_multiple_of(DIGEST_TICKS) {
            let digest = self.digest();
            self.actions
                .push(Action::Broadcast(Message::Digest(digest)));
        }
        self.level();
        self.pull_again();
        self.grant_again();
        self.believe_rumours();
    }

    /// A message came in.
    pub fn receive(&mut self, from: NodeId, message: Message) {
        match message {
            Message::Held(holdings) => self.on_held(from, &holdings),
            Message::Digest(theirs) => {
                if theirs != self.digest() {
                    self.tell_all(from);
                }
            }
            Message::Claim(partitions) => self.on_claim(from, &partitions),
            Message::Grant(holdings) => self.on_grant(from, &holdings),
            Message::Release(holdings) => self.on_release(from, &holdings),
        }
    }

    /// All entries of these partitions have come from `from`.
    pub fn pulled(&mut self, from: NodeId, partitions: &[PartitionId]) {
        let mut released = Vec::new();
        for &partition in partitions {
            let Some(sources) = self.arriving.get_mut(&partition) else {
                continue;
            };
            sources.retain(|source| *source != from);
            released.push(partition);
            let next = sources.first().copied();
            self.arrived_or_next(partition, next);
        }
        let released = self.report(released);
        self.actions
            .push(Action::Send(from, Message::Release(released)));
    }

    /// The pull ended early. If `from` lives it is tried again with the next ticks.
    pub fn pull_failed(&mut self, from: NodeId) {
        if !self.alive.contains(&from) {
            self.forget_source(from);
        }
    }

    fn arrived_or_next(&mut self, partition: PartitionId, next: Option<NodeId>) {
        let role = match next {
            Some(source) => Role::Arriving(source),
            None => {
                self.arriving.remove(&partition);
                Role::Owned
            }
        };
        if self.held[partition.index()].owner == Some(self.me) {
            self.actions.push(Action::Role(partition, role));
        }
    }

    fn forget_source(&mut self, node: NodeId) {
        let waiting: Vec<PartitionId> = self
            .arriving
            .iter()
            .filter(|(_, sources)| sources.contains(&node))
            .map(|(partition, _)| *partition)
            .collect();
        for partition in waiting {
            if let Some(sources) = self.arriving.get_mut(&partition) {
                sources.retain(|source| *source != node);
                let next = sources.first().copied();
                self.arrived_or_next(partition, next);
            }
        }
    }

    /// Asks for every partition that is not where it should be, and takes those of the dead.
    fn level(&mut self) {
        if !self.serving {
            return;
        }
        let mut taken = Vec::new();
        let mut claims: BTreeMap<NodeId, Vec<u16>> = BTreeMap::new();
        for partition in PartitionId::all() {
            let held = self.held[partition.index()];
            if self.target[partition.index()] != Some(self.me) || held.owner == Some(self.me) {
                continue;
            }
            match held.owner {
                Some(owner) if self.alive.contains(&owner) => {
                    let due = self
                        .claimed
                        .get(&partition)
                        .is_none_or(|at| self.ticks - at >= CLAIM_TICKS);
                    if due {
                        self.claimed.insert(partition, self.ticks);
                        claims.entry(owner).or_default().push(partition.0);
                    }
                }
                None if !self.may_found => {}
                Some(owner) if self.may_live(owner) => {}
                _ => {
                    self.own(partition, held.epoch + 1);
                    self.actions.push(Action::Role(partition, Role::Owned));
                    taken.push(partition);
                }
            }
        }
        for (owner, partitions) in claims {
            self.actions
                .push(Action::Send(owner, Message::Claim(partitions)));
        }
        if !taken.is_empty() {
            let held = self.report(taken);
            self.actions.push(Action::Broadcast(Message::Held(held)));
            self.actions.push(Action::Changed);
        }
    }

    /// Whether an owner that is not known to be alive may be: it is not known to be dead either,
    /// and it has not been waited for long enough.
    fn may_live(&mut self, owner: NodeId) -> bool {
        if self.dead.contains(&owner) {
            return false;
        }
        let since = *self.unmet.entry(owner).or_insert(self.ticks);
        self.ticks - since < UNMET_TICKS
    }

    /// Notes a rumour, unless a greater one is known.
    fn rumour(&mut self, partition: PartitionId, epoch: u32) {
        let known = self.rumours.entry(partition).or_insert((epoch, self.ticks));
        known.0 = known.0.max(epoch);
    }

    fn own(&mut self, partition: PartitionId, epoch: u32) {
        self.held[partition.index()] = Held {
            epoch,
            owner: Some(self.me),
        };
        self.claimed.remove(&partition);
        if self
            .rumours
            .get(&partition)
            .is_some_and(|(rumoured, _)| *rumoured <= epoch)
        {
            self.rumours.remove(&partition);
        }
        // What is still here of it counts again.
        self.granted.remove(&partition);
    }

    fn report(&self, partitions: impl IntoIterator<Item = PartitionId>) -> Vec<Holding> {
        partitions
            .into_iter()
            .filter_map(|p| {
                self.holding(p)
                    .map(|(owner, epoch)| Holding(p.0, owner.0, epoch))
            })
            .collect()
    }

    fn on_held(&mut self, from: NodeId, holdings: &[Holding]) {
        self.may_found = true;
        let mut changed = false;
        let mut outranked = Vec::new();
        let mut lost: BTreeMap<NodeId, Vec<PartitionId>> = BTreeMap::new();
        for &Holding(number, owner, epoch) in holdings.iter().filter(|h| h.0 < PARTITION_COUNT) {
            let partition = PartitionId(number);
            let ours = self.held[partition.index()];
            let theirs = Held {
                epoch,
                owner: Some(NodeId(owner)),
            };
            if theirs > ours && theirs.owner == Some(self.me) {
                // The grant itself says who has the entries: to serve without them would be to
                // deny them.
                self.rumour(partition, epoch);
            } else if theirs > ours {
                changed |= self.adopt(partition, theirs);
                if ours.owner == Some(self.me) {
                    lost.entry(NodeId(owner)).or_default().push(partition);
                }
            } else if theirs < ours {
                outranked.push(partition);
            }
        }
        // Two owned it, and the other one wins: it is told who has the rest of the entries.
        for (winner, partitions) in lost {
            let held = self.report(partitions);
            self.actions
                .push(Action::Send(winner, Message::Grant(held)));
        }
        if !outranked.is_empty() {
            let held = self.report(outranked);
            self.actions.push(Action::Send(from, Message::Held(held)));
        }
        if changed {
            self.actions.push(Action::Changed);
        }
    }

    /// Takes over another's word; whether the map changed.
    fn adopt(&mut self, partition: PartitionId, theirs: Held) -> bool {
        let ours = std::mem::replace(&mut self.held[partition.index()], theirs);
        self.claimed.remove(&partition);
        let outranked = |epoch: u32| {
            Held {
                epoch,
                owner: Some(self.me),
            } < theirs
        };
        if self
            .rumours
            .get(&partition)
            .is_some_and(|(epoch, _)| outranked(*epoch))
        {
            self.rumours.remove(&partition);
        }
        if let (true, Some(winner)) = (ours.owner == Some(self.me), theirs.owner) {
            self.arriving.remove(&partition);
            self.granted.insert(partition, (winner, self.ticks));
            self.actions.push(Action::Role(partition, Role::Elsewhere));
        }
        ours.owner != theirs.owner
    }

    fn on_claim(&mut self, from: NodeId, partitions: &[u16]) {
        let mine = |this: &Ownership, p: PartitionId| {
            this.held[p.index()].owner == Some(this.me)
                && !this.arriving.contains_key(&p)
                && this.eligible.contains(&from)
        };
        let granted: Vec<PartitionId> = partitions
            .iter()
            .filter(|number| **number < PARTITION_COUNT)
            .map(|number| PartitionId(*number))
            .filter(|partition| mine(self, *partition))
            .collect();
        for &partition in &granted {
            let epoch = self.held[partition.index()].epoch + 1;
            self.held[partition.index()] = Held {
                epoch,
                owner: Some(from),
            };
            self.granted.insert(partition, (from, self.ticks));
            self.actions.push(Action::Role(partition, Role::Elsewhere));
        }
        if !granted.is_empty() {
            let held = self.report(granted);
            self.actions
                .push(Action::Send(from, Message::Grant(held.clone())));
            self.actions.push(Action::Broadcast(Message::Held(held)));
            self.actions.push(Action::Changed);
        }
        // What is not granted is owned by somebody else or still arriving: tell what is known.
        let refused: Vec<PartitionId> = partitions
            .iter()
            .filter(|number| **number < PARTITION_COUNT)
            .map(|number| PartitionId(*number))
            .filter(|p| !matches!(self.held[p.index()].owner, Some(o) if o == self.me || o == from))
            .collect();
        let refused = self.report(refused);
        if !refused.is_empty() {
            self.actions
                .push(Action::Send(from, Message::Held(refused)));
        }
    }

    fn on_grant(&mut self, from: NodeId, holdings: &[Holding]) {
        let mut arriving = Vec::new();
        for &Holding(number, owner, epoch) in holdings.iter().filter(|h| h.0 < PARTITION_COUNT) {
            let partition = PartitionId(number);
            let granted = Held {
                epoch,
                owner: Some(NodeId(owner)),
            };
            // Others may have told of the grant before it came.
            if NodeId(owner) == self.me && granted >= self.held[partition.index()] {
                self.own(partition, epoch);
                arriving.push(partition);
            }
        }
        if !arriving.is_empty() {
            // The old owner tells the others as well, if it lives long enough.
            let held = self.report(arriving.iter().copied());
            self.actions.push(Action::Broadcast(Message::Held(held)));
            self.start_arrival(from, arriving);
            self.actions.push(Action::Changed);
        }
    }

    fn start_arrival(&mut self, from: NodeId, partitions: Vec<PartitionId>) {
        let mut pull = Vec::new();
        for partition in partitions {
            let sources = self.arriving.entry(partition).or_default();
            if sources.contains(&from) {
                continue;
            }
            sources.push(from);
            if sources.len() == 1 {
                self.actions
                    .push(Action::Role(partition, Role::Arriving(from)));
                pull.push(partition);
            }
        }
        if !pull.is_empty() {
            self.actions.push(Action::Pull(from, pull));
        }
    }

    /// Pulls that failed or wait for their turn; the shell ignores those that are under way.
    fn pull_again(&mut self) {
        if !self.ticks.is_multiple_of(CLAIM_TICKS) {
            return;
        }
        let mut pulls: BTreeMap<NodeId, Vec<PartitionId>> = BTreeMap::new();
        for (partition, sources) in &self.arriving {
            if let Some(source) = sources.first() {
                pulls.entry(*source).or_default().push(*partition);
            }
        }
        for (source, partitions) in pulls {
            self.actions.push(Action::Pull(source, partitions));
        }
    }

    /// A grant that was not released for long may have been lost, or its receiver may have passed
    /// the partition on without ever having had it: whoever owns it now is told who has its entries.
    fn grant_again(&mut self) {
        let due = |at: u64| self.ticks - at >= GRANT_TICKS;
        let due: Vec<PartitionId> = self
            .granted
            .iter()
            .filter(|(_, (_, at))| due(*at))
            .map(|(p, _)| *p)
            .collect();
        let mut grants: BTreeMap<NodeId, Vec<PartitionId>> = BTreeMap::new();
        for partition in due {
            if let Some((owner, _)) = self.holding(partition) {
                self.granted.insert(partition, (owner, self.ticks));
                grants.entry(owner).or_default().push(partition);
            }
        }
        for (owner, partitions) in grants {
            let held = self.report(partitions);
            self.actions.push(Action::Send(owner, Message::Grant(held)));
        }
    }

    /// Whoever granted a partition may have died before the grant was here, and the entries with
    /// it; but somebody must serve it.
    fn believe_rumours(&mut self) {
        let due = |since: u64| self.ticks - since >= RUMOUR_TICKS;
        let believed: Vec<(PartitionId, u32)> = self
            .rumours
            .iter()
            .filter(|(_, (_, since))| due(*since))
            .map(|(partition, (epoch, _))| (*partition, *epoch))
            .collect();
        self.rumours.retain(|_, (_, since)| !due(*since));
        for &(partition, epoch) in &believed {
            let was_mine = self.held[partition.index()].owner == Some(self.me);
            self.own(partition, epoch);
            if !was_mine {
                self.actions.push(Action::Role(partition, Role::Owned));
            }
        }
        if !believed.is_empty() {
            let held = self.report(believed.iter().map(|(partition, _)| *partition));
            self.actions.push(Action::Broadcast(Message::Held(held)));
            self.actions.push(Action::Changed);
        }
    }

    fn on_release(&mut self, from: NodeId, holdings: &[Holding]) {
        let mut drop = Vec::new();
        for &Holding(number, owner, epoch) in holdings.iter().filter(|h| h.0 < PARTITION_COUNT) {
            let partition = PartitionId(number);
            let ours = self.held[partition.index()];
            let known = ours
                >= Held {
                    epoch,
                    owner: Some(NodeId(owner)),
                };
            if NodeId(owner) == from && known && ours.owner != Some(self.me) {
                self.granted.remove(&partition);
                drop.push(partition);
            }
        }
        if !drop.is_empty() {
            self.actions.push(Action::Drop(drop));
        }
    }
}
