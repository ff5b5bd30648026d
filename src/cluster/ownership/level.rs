//! What an owner, and an heir, does by itself: bring what is so closer to what should be.

use super::{
    Backups, CUT_OFF_TICKS, Held, Mine, ORPHAN_TICKS, Ownership, REPEAT_TICKS, Role, Syncing,
    UNMET_TICKS,
};
use crate::cluster::ownership::COPIES_MAX;
use crate::key::PartitionId;
use crate::version::NodeId;

impl Ownership {
    /// Looks at every partition: levels its own, and those whose owner is dead.
    pub(super) fn level(&mut self) {
        if !self.serving {
            return;
        }
        // Whatever is changed below says otherwise.
        self.at_rest = self.cut_off.is_empty();
        for partition in self.partitions() {
            let owner = self.held[partition.index()].owner;
            self.at_rest &= owner.is_some_and(|owner| self.members.alive.contains(&owner));
            match owner {
                Some(owner) if owner == self.me => {
                    self.level_mine(partition);
                    self.at_rest &= self.is_level(partition);
                }
                Some(owner) if !self.may_live(owner) => self.succeed(partition),
                Some(_) => {}
                // What an earlier life of this node owned, a copy may be about to take over.
                None if self.rumours.contains_key(&partition) => {}
                None if self.may_found && self.is_target(partition) => self.take(partition, 1),
                None => {}
            }
        }
    }

    /// Whether an owner that is not known to be alive may be: it is not known to be dead either,
    /// and it has not been waited for long enough.
    fn may_live(&mut self, owner: NodeId) -> bool {
        if self.members.alive.contains(&owner) {
            return true;
        }
        if self.dead.contains(&owner) {
            return false;
        }
        let since = *self.unmet.entry(owner).or_insert(self.ticks);
        self.ticks - since < UNMET_TICKS
    }

    /// Whether this node should own a partition.
    fn is_target(&self, partition: PartitionId) -> bool {
        self.target[partition.index()].nodes().first() == Some(&self.me)
    }

    /// Whether a partition of this node is held just as it should be, and nothing of it is under way.
    fn is_level(&self, partition: PartitionId) -> bool {
        let wanted = self.reachable[partition.index()].filter(|node| node != self.me);
        let held = self.held[partition.index()].backups;
        let heir = self.target[partition.index()].nodes().first();
        let is_idle = |mine: &Mine| {
            mine.syncing.is_empty() && mine.frozen.is_none() && mine.merging.is_empty()
        };
        heir.is_none_or(|heir| *heir == self.me)
            && wanted.nodes().len() == held.nodes().len()
            && wanted.nodes().iter().all(|node| held.contains(*node))
            && self.mine.get(&partition).is_some_and(is_idle)
    }

    fn level_mine(&mut self, partition: PartitionId) {
        let wanted = self.reachable[partition.index()].filter(|node| node != self.me);
        self.delist_cut_off(partition);
        self.offer(partition, wanted);
        self.make_room(partition, wanted);
        self.freeze_or_trim(partition, wanted);
    }

    /// A copy that cannot be reached from here would have writes wait for ever, although it lives.
    fn delist_cut_off(&mut self, partition: PartitionId) {
        if self.cut_off.is_empty() {
            return;
        }
        let held = self.held[partition.index()];
        let is_cut_off = |node: NodeId| {
            let since = self.cut_off.get(&node);
            since.is_some_and(|since| self.ticks - since >= CUT_OFF_TICKS)
        };
        let kept = held.backups.filter(|node| !is_cut_off(node));
        if kept != held.backups {
            self.set_backups(partition, kept);
        }
    }

    /// Offers copies to those who should have one, and takes offers back from those who should not.
    fn offer(&mut self, partition: PartitionId, wanted: Backups) {
        let held = self.held[partition.index()];
        let Some(mine) = self.mine.get_mut(&partition) else {
            return;
        };
        let before = mine.syncing.len();
        mine.syncing.retain(|syncing| wanted.contains(syncing.node));
        let mut dirty = mine.syncing.len() != before;
        for &node in wanted.nodes() {
            let known = mine.syncing.iter_mut().find(|syncing| syncing.node == node);
            if held.backups.contains(node) || mine.merging.contains(&node) {
                continue;
            }
            let offers = self.outbox.offers.entry(node).or_default();
            if let Some(syncing) = known {
                if self.ticks - syncing.offered_at >= REPEAT_TICKS {
                    syncing.offered_at = self.ticks;
                    offers.push((partition.0, syncing.offer));
                }
                continue;
            }
            self.last_offer = self.last_offer.wrapping_add(1);
            let syncing = Syncing {
                node,
                offer: self.last_offer,
                offered_at: self.ticks,
            };
            offers.push((partition.0, syncing.offer));
            mine.syncing.push(syncing);
            dirty = true;
        }
        if dirty {
            self.outbox.dirty.insert(partition);
        }
    }

    /// One copy that is too many goes at once where there is no room for one that is lacking.
    fn make_room(&mut self, partition: PartitionId, wanted: Backups) {
        let held = self.held[partition.index()];
        let lacking = wanted
            .nodes()
            .iter()
            .any(|node| !held.backups.contains(*node));
        if lacking && held.backups.nodes().len() == COPIES_MAX {
            let extra = held.backups.nodes().iter().find(|n| !wanted.contains(**n));
            if let Some(&extra) = extra {
                self.set_backups(partition, held.backups.filter(|node| node != extra));
            }
        }
    }

    pub(super) fn set_backups(&mut self, partition: PartitionId, backups: Backups) {
        let held = self.held[partition.index()];
        let epoch = held.epoch + 1;
        self.set_held(
            partition,
            Held {
                epoch,
                backups,
                ..held
            },
        );
    }

    /// Passes the partition on to its target, or lets copies go that are too many.
    fn freeze_or_trim(&mut self, partition: PartitionId, wanted: Backups) {
        let held = self.held[partition.index()];
        let heir = self.target[partition.index()].nodes().first().copied();
        let heir = heir.filter(|node| *node != self.me);
        let can_take =
            |node: NodeId| held.backups.contains(node) && self.members.linked.contains(&node);
        let ticks = self.ticks;
        let Some(mine) = self.mine.get_mut(&partition) else {
            return;
        };
        if let Some((to, since)) = mine.frozen {
            // A copy that does not answer must not keep writes waiting for long.
            if !can_take(to) || heir != Some(to) || ticks - since >= REPEAT_TICKS {
                mine.frozen = None;
                mine.frozen_last = ticks;
                self.outbox.dirty.insert(partition);
            }
            return;
        }
        match heir {
            // A copy that is being made would have to begin anew with another owner.
            Some(to) if can_take(to) && mine.merging.is_empty() && mine.syncing.is_empty() => {
                // Two that do not agree on who should own it must not pass it to and fro.
                let back = mine
                    .before
                    .is_some_and(|(node, at)| node == to && ticks - at < REPEAT_TICKS);
                let again = mine.frozen_last > 0 && ticks - mine.frozen_last < REPEAT_TICKS;
                if !back && !again {
                    mine.frozen = Some((to, ticks));
                    self.outbox.dirty.insert(partition);
                    self.outbox.drains.push(partition);
                }
            }
            Some(_) => {}
            None if wanted.nodes().iter().all(|n| held.backups.contains(*n)) => {
                let kept = held.backups.filter(|node| wanted.contains(node));
                if kept != held.backups {
                    self.set_backups(partition, kept);
                }
            }
            None => {}
        }
    }

    /// All that was written to these partitions before they were frozen, in the tick `since`, is
    /// with their copies.
    pub fn drained(&mut self, partitions: &[PartitionId], since: u64) {
        for &partition in partitions {
            let frozen = self.mine.get(&partition).and_then(|mine| mine.frozen);
            let Some((to, _)) = frozen.filter(|(_, at)| *at == since) else {
                continue;
            };
            let held = self.held[partition.index()];
            if !held.backups.contains(to) || !self.members.alive.contains(&to) {
                continue;
            }
            let granted = Held {
                epoch: held.epoch + 1,
                owner: Some(to),
                backups: held.backups.filter(|node| node != to).with(self.me),
            };
            self.set_held(partition, granted);
            self.copies.follow(partition, to);
        }
    }

    /// The owner is dead: the first living backup takes over.
    fn succeed(&mut self, partition: PartitionId) {
        let held = self.held[partition.index()];
        let heirs = held
            .backups
            .filter(|node| self.members.alive.contains(&node));
        let others = heirs.filter(|node| node != self.me);
        match heirs.nodes().first() {
            Some(heir) if *heir != self.me => {}
            Some(_) if self.copies.is_complete(partition) => {
                self.promotions += 1;
                let epoch = held.epoch + 1;
                let owner = Some(self.me);
                self.set_held(
                    partition,
                    Held {
                        epoch,
                        owner,
                        backups: others,
                    },
                );
            }
            // This node is taken for a copy that it has lost: the next one should know.
            Some(_) if !others.nodes().is_empty() => {
                let epoch = held.epoch + 2;
                let owner = others.nodes().first().copied();
                let backups = others.filter(|node| Some(node) != owner);
                self.set_held(
                    partition,
                    Held {
                        epoch,
                        owner,
                        backups,
                    },
                );
            }
            _ => self.adopt_orphan(partition),
        }
    }

    /// Nobody is known to hold it: who has something of it takes it, or else its target.
    fn adopt_orphan(&mut self, partition: PartitionId) {
        let since = *self.orphans.entry(partition).or_insert(self.ticks);
        let waited = self.ticks - since;
        let has = self.copies.is_complete(partition) || self.conceded.contains_key(&partition);
        if has && waited >= ORPHAN_TICKS / 2 {
            // Above whoever takes it empty meanwhile.
            self.promotions += 1;
            self.take(partition, 2);
        } else if self.is_target(partition) && waited >= ORPHAN_TICKS {
            self.taken_empty += 1;
            self.take(partition, 1);
        }
    }

    /// Takes a partition that has no other holder.
    pub(super) fn take(&mut self, partition: PartitionId, epochs: u32) {
        let held = Held {
            epoch: self.held[partition.index()].epoch + epochs,
            owner: Some(self.me),
            backups: Backups::default(),
        };
        self.set_held(partition, held);
    }

    /// A node is dead: its copies do not count, nor does what was under way to it.
    pub(super) fn bury(&mut self, node: NodeId) {
        self.died_at.insert(node, self.now_ms);
        self.back_since.remove(&node);
        self.outbox.released.push(node);
        let mine: Vec<PartitionId> = self.mine.keys().copied().collect();
        for partition in mine {
            let held = self.held[partition.index()];
            if let Some(mine) = self.mine.get_mut(&partition) {
                mine.syncing.retain(|syncing| syncing.node != node);
                mine.merging.retain(|other| *other != node);
                mine.frozen = mine.frozen.filter(|(to, _)| *to != node);
            }
            self.outbox.dirty.insert(partition);
            if self.roles[partition.index()].names(node) {
                // Its lane ends: the role is given out anew, even if it looks the same.
                self.roles[partition.index()] = Role::Elsewhere;
            }
            if held.backups.contains(node) {
                self.set_backups(partition, held.backups.filter(|other| other != node));
            }
        }
        let broken = self.copies.syncing().filter(|(_, from, _)| *from == node);
        let broken: Vec<PartitionId> = broken.map(|(partition, ..)| partition).collect();
        for partition in broken {
            self.forget(partition);
        }
    }

    /// The copy of a partition that was held here, or was being made, is not needed.
    pub(super) fn forget(&mut self, partition: PartitionId) {
        self.copies.remove(partition);
        self.outbox.dirty.insert(partition);
        self.outbox.drop.insert(partition);
    }
}
