//! What this node is to each partition, and what it keeps with that: since when, whose entries it has,
//! and whether a copy has everything.
//!
//! Roles are set by what the cluster's machine decides, in its order, and looked at in the critical
//! section that reads or changes an entry.

use std::collections::HashSet;
use std::sync::Arc;

use super::Core;
use crate::clock::UnixMs;
use crate::key::{PARTITION_COUNT, PartitionId};
use crate::replication::Lane;
use crate::table::Cursor;
use crate::version::{NodeId, TAKEOVER_MS};

/// A moment that does not come.
pub(super) const NEVER: UnixMs = UnixMs(u64::MAX);

/// Where the effects of a partition go.
#[derive(Debug, Default)]
pub struct Sinks {
    /// Copies whose acknowledgement a write waits for.
    pub in_sync: Vec<Arc<Lane>>,
    /// Copies that are being made.
    pub syncing: Vec<Arc<Lane>>,
}

impl Sinks {
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Lane>> {
        self.in_sync.iter().chain(&self.syncing)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.in_sync.is_empty() && self.syncing.is_empty()
    }
}

/// What this node is to a partition.
#[derive(Clone, Debug, Default)]
pub enum Role {
    /// It does not answer for it. Entries may still be here, for others to fetch.
    #[default]
    Elsewhere,
    /// It holds a copy, and takes what this owner changes.
    Backup(NodeId),
    /// It orders the writes.
    Owned {
        /// Where effects go.
        sinks: Arc<Sinks>,
        /// Whether writes wait.
        frozen: bool,
    },
}

impl Role {
    /// The role of an owner without copies.
    #[must_use]
    pub fn alone() -> Role {
        Role::Owned {
            sinks: Arc::default(),
            frozen: false,
        }
    }

    /// Whether this node answers for the partition.
    #[must_use]
    pub fn is_owned(&self) -> bool {
        matches!(self, Role::Owned { .. })
    }

    fn sends_to(&self, lane: &Arc<Lane>) -> bool {
        match self {
            Role::Owned { sinks, .. } => sinks.all().any(|known| Arc::ptr_eq(known, lane)),
            Role::Elsewhere | Role::Backup(_) => false,
        }
    }
}

/// Words of a set of partitions.
const WORDS: usize = PARTITION_COUNT as usize / 64;

/// A set of partitions, small enough to stay in the cache that is nearest.
#[derive(Debug)]
struct Bits([u64; WORDS]);

impl Bits {
    #[inline]
    fn get(&self, at: usize) -> bool {
        self.0[at / 64] >> (at % 64) & 1 == 1
    }

    fn set(&mut self, at: usize, on: bool) {
        let bit = 1 << (at % 64);
        if on {
            self.0[at / 64] |= bit;
        } else {
            self.0[at / 64] &= !bit;
        }
    }
}

/// The role of each partition. What every request asks is kept beside them, in a kilobyte: roles are
/// seldom in a cache when one is looked at.
#[derive(Debug)]
pub(super) struct Roles {
    all: Box<[Role]>,
    owned: Bits,
    alone: Bits,
}

impl Roles {
    /// All are elsewhere.
    pub(super) fn new() -> Roles {
        Roles {
            all: vec![Role::default(); usize::from(PARTITION_COUNT)].into(),
            owned: Bits([0; WORDS]),
            alone: Bits([0; WORDS]),
        }
    }

    /// Whether this node answers for a partition.
    #[inline]
    pub(super) fn is_owned(&self, partition: PartitionId) -> bool {
        self.owned.get(partition.index())
    }

    /// Whether it may also write to it, and there are no copies of it.
    #[inline]
    pub(super) fn is_alone(&self, partition: PartitionId) -> bool {
        self.alone.get(partition.index())
    }

    /// Sets a role; the one before.
    pub(super) fn replace(&mut self, at: usize, role: Role) -> Role {
        let alone = matches!(&role, Role::Owned { sinks, frozen: false } if sinks.is_empty());
        self.owned.set(at, role.is_owned());
        self.alone.set(at, alone);
        std::mem::replace(&mut self.all[at], role)
    }
}

impl std::ops::Index<usize> for Roles {
    type Output = Role;

    fn index(&self, at: usize) -> &Role {
        &self.all[at]
    }
}

impl Core {
    /// Sets the role of partitions, which are at these epochs.
    pub fn set_roles(&mut self, partitions: &[(PartitionId, u32)], role: &Role, now: UnixMs) {
        let alone = matches!(role, Role::Owned { sinks, .. } if sinks.is_empty());
        if !self.has_company && !alone && !matches!(role, Role::Elsewhere) {
            self.has_company = true;
            self.table.note_evictions();
        }
        if matches!(role, Role::Elsewhere) {
            self.disinherit(partitions.iter().map(|(partition, _)| *partition));
        }
        for &(partition, epoch) in partitions {
            let at = partition.index();
            if let (Role::Backup(_), Role::Backup(_)) = (role, &self.roles[at])
                && epoch < self.epochs[at]
            {
                // An effect of the next owner was here before the news of it.
                continue;
            }
            if self.leader(&self.roles[at]) != self.leader(role) {
                self.settle_flush(partition, matches!(role, Role::Backup(_)), now);
            }
            if role.is_owned() && !self.roles[at].is_owned() && self.has_company {
                self.versions.jump_past(UnixMs(now.0 + TAKEOVER_MS));
            }
            if self.roles[at].is_owned() && matches!(role, Role::Backup(_)) {
                // Whoever passes a partition on is a copy that has everything.
                self.whole.insert(partition);
            }
            if matches!(role, Role::Elsewhere) {
                self.since[at] = NEVER;
            } else {
                self.since[at] = self.since[at].min(now);
            }
            let before = self.roles.replace(at, role.clone());
            self.epochs[at] = self.epochs[at].max(epoch);
            self.turns[at] = self.turns[at].wrapping_add(1);
            if let Role::Owned { sinks, .. } = role
                && sinks.all().any(|lane| !before.sends_to(lane))
            {
                self.tell_floor(partition, sinks);
            }
        }
    }

    /// Who orders the writes of a partition, as far as this node is concerned.
    fn leader(&self, role: &Role) -> Option<NodeId> {
        match role {
            Role::Elsewhere => None,
            Role::Backup(owner) => Some(*owner),
            Role::Owned { .. } => Some(self.setup.node),
        }
    }

    fn disinherit(&mut self, partitions: impl Iterator<Item = PartitionId>) {
        if !self.inherited.is_empty() || !self.whole.is_empty() {
            let left: HashSet<PartitionId> = partitions.collect();
            self.inherited.retain(|(of, _), _| !left.contains(of));
            self.whole.retain(|of| !left.contains(of));
        }
    }

    /// All that the owner had of a copy has come since this turn; false if it has had another one: what
    /// this node lost, and maybe got back, while entries came may have been turned away.
    pub fn complete(&mut self, partition: PartitionId, turn: u32) -> bool {
        let stayed = self.turns[partition.index()] == turn;
        if stayed {
            self.whole.insert(partition);
        }
        stayed
    }

    /// Forgets what is still here of partitions whose copy is begun anew: it is out of date, and
    /// must not pass for what has arrived.
    pub fn reset(&mut self, partitions: &[PartitionId]) {
        for partition in partitions {
            let turn = &mut self.turns[partition.index()];
            *turn = turn.wrapping_add(1);
            self.since[partition.index()] = NEVER;
            self.flushed.reset(*partition);
        }
        self.disinherit(partitions.iter().copied());
        // The whole table is walked over: not for partitions of which nothing is here.
        let is_left =
            |p: &PartitionId| !self.table.is_partition_empty(*p) && !self.roles.is_owned(*p);
        let left: HashSet<PartitionId> = partitions.iter().copied().filter(is_left).collect();
        if !left.is_empty() {
            let wanted = |p: PartitionId| left.contains(&p);
            self.table
                .remove_partitions(wanted, Cursor::default(), usize::MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_beside_the_roles_agrees_with_them() {
        let mut roles = Roles::new();
        let frozen = Role::Owned {
            sinks: Arc::default(),
            frozen: true,
        };
        let some = [
            Role::Elsewhere,
            Role::Backup(NodeId(1)),
            Role::alone(),
            frozen,
        ];
        for round in 0..some.len() {
            for partition in PartitionId::all() {
                let role = &some[(partition.index() / 3 + round) % some.len()];
                roles.replace(partition.index(), role.clone());
            }
            for partition in PartitionId::all() {
                let role = &roles[partition.index()];
                assert_eq!(roles.is_owned(partition), role.is_owned());
                let alone = matches!(role, Role::Owned { frozen: false, .. });
                assert_eq!(roles.is_alone(partition), alone);
            }
        }
    }
}
