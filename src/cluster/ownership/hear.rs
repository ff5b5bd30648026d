//! What a node makes of the word of others.

use std::collections::BTreeMap;

use super::{
    Held, Holding, Message, Ownership, Part, REPEAT_TICKS, RUMOUR_TICKS, UNLISTED_TICKS, known,
    named,
};
use crate::key::PartitionId;
use crate::version::{CLOCK_SKEW_MS_MAX, NodeId};

/// When two sides of a cut parted is known as well as a death is noticed, and by clocks that differ:
/// so much later, at most (milliseconds).
const NOTICE_MS: u64 = 5_000 + CLOCK_SKEW_MS_MAX;

impl Ownership {
    pub(super) fn on_held(&mut self, from: NodeId, holdings: &[Holding]) {
        let mut outranked = Vec::new();
        let count = self.held.len();
        for holding in holdings.iter().filter(|h| usize::from(h.partition) < count) {
            let partition = PartitionId(holding.partition);
            let ours = self.held[partition.index()];
            let theirs = holding.held();
            if ours.outranks(&theirs) {
                outranked.push(partition);
            } else if !theirs.outranks(&ours) {
                continue;
            } else if theirs.owner == Some(self.me) {
                self.on_named(from, partition, &ours, theirs);
            } else {
                self.adopt(partition, &ours, theirs);
            }
        }
        let outranked = self.report(outranked);
        if !outranked.is_empty() {
            self.outbox.sends.push((from, Message::Held(outranked)));
        }
    }

    /// Others say that this node owns a partition.
    fn on_named(&mut self, from: NodeId, partition: PartitionId, ours: &Held, theirs: Held) {
        if ours.owner == Some(self.me) {
            // That was in an earlier life of this node.
            let epoch = theirs.epoch + 1;
            self.set_held(partition, Held { epoch, ..*ours });
        } else if let Some(followed) = self.followed_whole(partition) {
            let granted = theirs.backups.contains(followed)
                || (theirs.backups.contains(from) && ours.backups.contains(from));
            if granted {
                // The owner before has waited until this copy had everything.
                self.set_held(partition, theirs);
            } else {
                self.give_back(partition, theirs);
            }
        } else {
            // To answer without the entries would be to deny them.
            let rumour = self
                .rumours
                .entry(partition)
                .or_insert((theirs.epoch, self.ticks));
            rumour.0 = rumour.0.max(theirs.epoch);
        }
    }

    /// Whose copy this node holds, if it has all of it.
    fn followed_whole(&self, partition: PartitionId) -> Option<NodeId> {
        let owner = self.copies.owner(partition);
        owner.filter(|_| self.copies.is_complete(partition))
    }

    /// This node was made the owner for a copy that it has: but of the other side of a cut. Whoever
    /// else has one should own it.
    fn give_back(&mut self, partition: PartitionId, theirs: Held) {
        self.forget(partition);
        let heirs = theirs.backups;
        let heirs = heirs.filter(|node| self.members.alive.contains(&node));
        if let Some(&heir) = heirs.nodes().first() {
            let held = Held {
                epoch: theirs.epoch + 1,
                owner: Some(heir),
                backups: heirs.filter(|node| node != heir),
            };
            self.set_held(partition, held);
        }
    }

    /// Takes over another's word about a partition that is not this node's by it.
    fn adopt(&mut self, partition: PartitionId, ours: &Held, theirs: Held) {
        let Some(owner) = theirs.owner else { return };
        let was_mine = ours.owner == Some(self.me);
        self.held[partition.index()] = theirs;
        self.note(partition, ours, &theirs);
        if self
            .rumours
            .get(&partition)
            .is_some_and(|(epoch, _)| *epoch < theirs.epoch)
        {
            self.rumours.remove(&partition);
        }
        if was_mine {
            let parted = self.parted_from(owner);
            self.conceded.insert(partition, (parted, self.ticks));
            let concede = Message::Concede(vec![(partition.0, parted)]);
            self.outbox.sends.push((owner, concede));
            return;
        }
        let listed = theirs.backups.contains(self.me);
        // A copy can pass from one owner to another that it was in sync with, or that the first one
        // is in sync with: it holds what either acknowledged. What two sides of a cut have written
        // must meet where it is counted, not here.
        let in_line = self.copies.owner(partition).is_some_and(|followed| {
            followed == owner || ours.backups.contains(owner) || theirs.backups.contains(followed)
        });
        let complete = self.copies.is_complete(partition) && in_line;
        if listed && !complete {
            self.outbox.lost.entry(owner).or_default().push(partition.0);
        }
        let Some(followed) = self.copies.owner(partition) else {
            return;
        };
        if listed && complete {
            self.copies.follow(partition, owner);
        } else if followed == owner && !ours.backups.contains(self.me) {
            // The copy is being made, or its owner has not yet heard that it is there.
        } else if !self.conceded.contains_key(&partition) {
            self.forget(partition);
        }
    }

    /// Since when this node and that one may have written without each other's knowledge, as far
    /// as this one has noticed. The other one may hold a partition that was granted to it by a
    /// third, since that came back; so whoever has come back counts.
    fn parted_from(&self, node: NodeId) -> u64 {
        let back = |other: &NodeId| *other == node || self.members.alive.contains(other);
        let died_at = self.died_at.iter().filter(|(other, _)| back(other));
        let first = died_at.map(|(_, at)| *at).min();
        first.map_or(u64::MAX, |at| at.saturating_sub(NOTICE_MS))
    }

    pub(super) fn on_offer(&mut self, from: NodeId, offers: &[(u16, u32)]) {
        let (mut synced, mut unknown) = (Vec::new(), Vec::new());
        for (partition, offer) in known(offers) {
            let owner = self.held[partition.index()].owner;
            if owner != Some(from) {
                unknown.push(partition);
            } else if self.conceded.contains_key(&partition) {
                // What is here must first be taken over.
            } else if self.copies.offer(partition) == Some((from, offer)) {
                self.copies.heard(partition, self.ticks);
                if self.copies.is_complete(partition) {
                    synced.push((partition.0, offer));
                }
            } else {
                self.copies.begin(partition, from, offer, self.ticks);
                self.outbox.dirty.insert(partition);
                self.outbox.reset.insert(partition);
                let syncs = self.outbox.syncs.entry(from).or_default();
                syncs.push((partition, offer));
            }
        }
        let unknown = self.report(unknown);
        if !unknown.is_empty() {
            self.outbox.sends.push((from, Message::Held(unknown)));
        }
        if !synced.is_empty() {
            self.outbox.sends.push((from, Message::Synced(synced)));
        }
    }

    /// All entries of these partitions, which `from` owns, have come since it made these offers.
    ///
    /// An offer that has been made anew meanwhile begins the copy anew: what came before it is gone.
    pub fn synced(&mut self, from: NodeId, partitions: &[(PartitionId, u32)]) {
        let mut synced = Vec::new();
        for &(partition, offer) in partitions {
            if self.copies.complete(partition, from, offer, self.ticks) {
                synced.push((partition.0, offer));
            }
        }
        if !synced.is_empty() {
            self.outbox.sends.push((from, Message::Synced(synced)));
        }
    }

    pub(super) fn on_synced(&mut self, from: NodeId, partitions: &[(u16, u32)]) {
        for (partition, offer) in known(partitions) {
            let Some(mine) = self.mine.get_mut(&partition) else {
                continue;
            };
            let before = mine.syncing.len();
            mine.syncing.retain(|s| (s.node, s.offer) != (from, offer));
            if mine.syncing.len() == before {
                continue;
            }
            let backups = self.held[partition.index()].backups.with(from);
            self.set_backups(partition, backups);
        }
    }

    pub(super) fn on_concede(&mut self, from: NodeId, partitions: &[(u16, u64)]) {
        let mut elsewhere = Vec::new();
        let ours = self.parted_from(from);
        for (partition, theirs) in known(partitions) {
            let Some(mine) = self.mine.get_mut(&partition) else {
                elsewhere.push(partition);
                continue;
            };
            if !mine.merging.contains(&from) {
                mine.merging.push(from);
            }
            // One of the two may have noticed nothing. If neither has, they were never together.
            let since = Some(ours.min(theirs)).filter(|at| *at < u64::MAX);
            let since = since.unwrap_or_default();
            let part = Part { partition, since };
            self.outbox.merges.entry(from).or_default().push(part);
        }
        let elsewhere = self.report(elsewhere);
        if !elsewhere.is_empty() {
            self.outbox.sends.push((from, Message::Held(elsewhere)));
        }
    }

    /// What was lacking here of these partitions has come from `from`, and is with their copies.
    pub fn merged(&mut self, from: NodeId, partitions: &[PartitionId]) {
        let mut merged = Vec::new();
        for partition in partitions {
            if let Some(mine) = self.mine.get_mut(partition) {
                mine.merging.retain(|node| *node != from);
                merged.push(partition.0);
            }
        }
        if !merged.is_empty() {
            self.outbox.sends.push((from, Message::Merged(merged)));
        }
    }

    pub(super) fn on_merged(&mut self, from: NodeId, partitions: &[u16]) {
        for partition in named(partitions) {
            let is_owner = self.held[partition.index()].owner == Some(from);
            if is_owner && self.conceded.remove(&partition).is_some() {
                self.forget(partition);
            }
        }
    }

    /// A backup of these partitions has none of them: it is made anew.
    pub(super) fn on_lost(&mut self, from: NodeId, partitions: &[u16]) {
        for partition in named(partitions) {
            let held = self.held[partition.index()];
            if held.owner == Some(self.me) && held.backups.contains(from) {
                self.set_backups(partition, held.backups.filter(|node| node != from));
            }
        }
    }

    /// Whoever could take a partition over from an earlier life of this node has had the time.
    pub(super) fn believe_rumours(&mut self) {
        if !self.serving {
            return;
        }
        let ticks = self.ticks;
        let due = |since: u64| ticks - since >= RUMOUR_TICKS;
        let believed: Vec<(PartitionId, u32)> = self
            .rumours
            .iter()
            .filter(|(_, (_, since))| due(*since))
            .map(|(partition, (epoch, _))| (*partition, *epoch))
            .collect();
        self.rumours.retain(|_, (_, since)| !due(*since));
        for (partition, epoch) in believed {
            let ours = self.held[partition.index()];
            self.taken_empty += 1;
            self.take(partition, epoch.saturating_sub(ours.epoch) + 1);
        }
    }

    /// Repeats what may have been lost with a session.
    pub(super) fn say_again(&mut self) {
        let ticks = self.ticks;
        let mut concessions: BTreeMap<NodeId, Vec<(u16, u64)>> = BTreeMap::new();
        for (partition, (parted, said)) in &mut self.conceded {
            let owner = self.held[partition.index()].owner;
            if let Some(owner) = owner.filter(|_| ticks - *said >= REPEAT_TICKS) {
                *said = ticks;
                concessions
                    .entry(owner)
                    .or_default()
                    .push((partition.0, *parted));
            }
        }
        let sends = concessions.into_iter();
        let sends = sends.map(|(owner, partitions)| (owner, Message::Concede(partitions)));
        self.outbox.sends.extend(sends);
        if ticks.is_multiple_of(REPEAT_TICKS) {
            // The shell ignores what is under way.
            for (partition, owner, offer) in self.copies.syncing() {
                let syncs = self.outbox.syncs.entry(owner).or_default();
                syncs.push((partition, offer));
            }
            self.forget_unlisted();
            self.deny_copies();
        }
    }

    /// Says which copies this node is listed for and does not have. They may have gone with the word
    /// of another owner, which came before that of the one who listed this node; as long as its owner
    /// does not know, writes wait for a copy that does not take them.
    fn deny_copies(&mut self) {
        for partition in self.partitions() {
            let held = &self.held[partition.index()];
            if let Some(owner) = held.owner
                && held.backups.contains(self.me)
                && !self.copies.is_complete(partition)
            {
                let lost = self.outbox.lost.entry(owner).or_default();
                lost.push(partition.0);
            }
        }
    }

    /// A copy whose owner has not wanted it for long gets no changes any more.
    fn forget_unlisted(&mut self) {
        let long_ago = self.ticks.saturating_sub(UNLISTED_TICKS);
        let stale: Vec<PartitionId> = self
            .copies
            .heard_before(long_ago)
            .filter(|p| {
                let held = &self.held[p.index()];
                !held.backups.contains(self.me)
                    && held
                        .owner
                        .is_some_and(|owner| self.members.alive.contains(&owner))
            })
            .collect();
        for partition in stale {
            self.forget(partition);
        }
    }
}
