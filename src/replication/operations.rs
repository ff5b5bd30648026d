//! The operations that may be sent again, with what they have led to.
//!
//! Remembered at the owner and at its copies for as long as somebody may ask again, bounded in
//! number: the oldest go first.

use std::collections::VecDeque;

use rapidhash::RapidHashMap;

use super::{Done, Ticket};
use crate::clock::UnixMs;
use crate::command::OperationId;
use crate::key::PartitionId;

/// An operation that was applied.
#[derive(Clone, Debug)]
pub struct Remembered {
    /// Its key's partition.
    pub partition: PartitionId,
    /// What it has led to.
    pub done: Done,
    /// Its copies may not all have acknowledged it.
    pub ticket: Option<Ticket>,
}

/// For how long, and how many, operations are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Most operations.
    pub count_max: usize,
    /// For so long, in milliseconds.
    pub ms: u64,
}

/// See the module. Those that nodes named, which nobody asks for after the deadline of a request,
/// are kept apart from those that clients did, so that many of the ones do not displace the others.
#[derive(Debug)]
pub struct Operations {
    by_id: RapidHashMap<OperationId, Remembered>,
    of_nodes: Ages,
    of_clients: Ages,
}

#[derive(Debug)]
struct Ages {
    keep: Keep,
    by_age: VecDeque<(UnixMs, OperationId)>,
}

impl Ages {
    fn new(keep: Keep) -> Ages {
        Ages {
            keep,
            by_age: VecDeque::new(),
        }
    }

    /// The oldest one, if it is too old, or one too many by `more`.
    fn pop(&mut self, now: UnixMs, more: usize) -> Option<OperationId> {
        let (at, _) = self.by_age.front()?;
        let old = at.0.saturating_add(self.keep.ms) <= now.0;
        let full = self.by_age.len() + more > self.keep.count_max;
        if !old && !full {
            return None;
        }
        self.by_age.pop_front().map(|(_, id)| id)
    }
}

impl Operations {
    /// Remembers nothing yet.
    #[must_use]
    pub fn new(of_nodes: Keep, of_clients: Keep) -> Operations {
        Operations {
            by_id: RapidHashMap::default(),
            of_nodes: Ages::new(of_nodes),
            of_clients: Ages::new(of_clients),
        }
    }

    /// What an operation has led to, if it was applied.
    #[must_use]
    pub fn get(&self, id: OperationId) -> Option<&Remembered> {
        self.by_id.get(&id)
    }

    /// An operation was applied.
    pub fn remember(&mut self, id: OperationId, remembered: Remembered, now: UnixMs) {
        let ages = if id.is_by_node() {
            &mut self.of_nodes
        } else {
            &mut self.of_clients
        };
        while let Some(old) = ages.pop(now, 1) {
            self.by_id.remove(&old);
        }
        if self.by_id.insert(id, remembered).is_none() {
            ages.by_age.push_back((now, id));
        }
    }

    /// Forgets what nobody can ask for any more.
    pub fn forget_old(&mut self, now: UnixMs) {
        for ages in [&mut self.of_nodes, &mut self.of_clients] {
            while let Some(old) = ages.pop(now, 0) {
                self.by_id.remove(&old);
            }
            // What a burst needed is given back after it.
            if ages.by_age.capacity() > 4 * ages.by_age.len() + 1024 {
                ages.by_age.shrink_to(2 * ages.by_age.len());
                self.by_id.shrink_to(2 * self.by_id.len());
            }
        }
    }

    /// All that is remembered of some partitions.
    pub fn of<'a>(
        &'a self,
        wanted: impl Fn(PartitionId) -> bool + 'a,
    ) -> impl Iterator<Item = (PartitionId, OperationId, &'a Done)> + 'a {
        let ages = self.of_nodes.by_age.iter().chain(&self.of_clients.by_age);
        let ids = ages.filter_map(|(_, id)| Some((id, self.by_id.get(id)?)));
        let ids = ids.filter(move |(_, remembered)| wanted(remembered.partition));
        ids.map(|(id, remembered)| (remembered.partition, *id, &remembered.done))
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_of_some_partitions() {
        let keep = Keep {
            count_max: 10,
            ms: 10,
        };
        let mut operations = Operations::new(keep, keep);
        for id in 0..6 {
            let remembered = Remembered {
                partition: PartitionId(id % 2),
                done: Done::Deleted(id > 2),
                ticket: None,
            };
            // The same one again is the same one.
            operations.remember(OperationId(id.into()), remembered.clone(), UnixMs(1));
            operations.remember(OperationId(id.into()), remembered, UnixMs(2));
        }
        assert_eq!(operations.len(), 6);
        let mut odd: Vec<u128> = operations
            .of(|partition| partition.0 == 1)
            .map(|(partition, id, done)| {
                assert_eq!(partition, PartitionId(1));
                assert_eq!(*done, Done::Deleted(id.0 > 2));
                id.0
            })
            .collect();
        odd.sort_unstable();
        assert_eq!(odd, [1, 3, 5]);
    }

    #[test]
    fn the_oldest_are_forgotten_first() {
        let keep = |count_max, ms| Keep { count_max, ms };
        let mut operations = Operations::new(keep(1, 10), keep(3, 1_000));
        let remember = |operations: &mut Operations, id: u128, at| {
            let remembered = Remembered {
                partition: PartitionId(1),
                done: Done::Deleted(true),
                ticket: None,
            };
            operations.remember(OperationId(id), remembered, UnixMs(at));
        };
        for id in 0..4 {
            remember(&mut operations, id, 10);
        }
        assert_eq!(operations.len(), 3, "bounded in number");
        assert!(operations.get(OperationId(0)).is_none());
        assert!(operations.get(OperationId(3)).is_some());
        let by_node = OperationId::origin(crate::version::NodeId(3), 1 << 20);
        remember(&mut operations, by_node, 10);
        remember(&mut operations, by_node + 1, 10);
        assert_eq!(operations.len(), 4, "those of nodes are bounded apart");
        operations.forget_old(UnixMs(20));
        assert_eq!(operations.len(), 3, "and forgotten sooner");
        remember(&mut operations, 9, 1_010);
        assert_eq!(operations.len(), 1, "bounded in age");
    }
}
