//! What operations that may be sent again have led to.
//!
//! Remembered at the owner and at its copies for as long as somebody may ask again, bounded in
//! number: the oldest go first.

use std::collections::VecDeque;

use bytes::Bytes;
use rapidhash::RapidHashMap;

use super::Ticket;
use crate::clock::UnixMs;
use crate::command::{Command, Entry, EntryRef, OperationId, Reply};
use crate::fields::{
    Malformed, get_bytes, get_option, get_u8, get_version, put_bytes, put_option, put_version,
};
use crate::key::PartitionId;
use crate::version::Version;

/// Values up to this size are remembered; of larger ones only the version is.
const DATA_BYTES_MAX: usize = 64;

/// What an operation has led to, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// An entry was written.
    Stored {
        /// Its version.
        version: Version,
        /// When it expires.
        expires_at: Option<UnixMs>,
        /// Whether there was no value before.
        created: bool,
        /// The value, if it is short.
        data: Option<Bytes>,
    },
    /// An entry was deleted, or there was none.
    Deleted(bool),
}

impl Done {
    /// What is to be remembered of a reply; nothing, if asking again does no harm.
    #[must_use]
    pub fn of(reply: &Reply) -> Option<Done> {
        match reply {
            Reply::Stored { entry, created } => Some(Done::Stored {
                version: entry.version,
                expires_at: entry.expires_at,
                created: *created,
                data: (entry.data.len() <= DATA_BYTES_MAX).then(|| entry.data.clone()),
            }),
            Reply::Deleted(deleted) => Some(Done::Deleted(*deleted)),
            Reply::Value(_) | Reply::ConditionFailed { .. } => None,
        }
    }

    /// The reply once more, for the command that led to it; `None` if it is not known any more what
    /// was stored, only that it was.
    #[must_use]
    pub fn reply(&self, command: &Command, current: Option<EntryRef<'_>>) -> Option<Reply> {
        match self {
            Done::Deleted(deleted) => Some(Reply::Deleted(*deleted)),
            Done::Stored {
                version,
                expires_at,
                created,
                data,
            } => {
                let kind = command.kind();
                let current = current.filter(|entry| entry.version == *version);
                let sent = match command {
                    Command::Put { data, .. } => Some(data.clone()),
                    _ => None,
                };
                let stored = current.map(|entry| Bytes::copy_from_slice(entry.data));
                let data = sent.or_else(|| data.clone()).or(stored)?;
                let entry = Entry {
                    kind,
                    data,
                    version: *version,
                    expires_at: *expires_at,
                };
                let created = *created;
                Some(Reply::Stored { entry, created })
            }
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Done::Deleted(deleted) => out.extend_from_slice(&[0, u8::from(*deleted)]),
            Done::Stored {
                version,
                expires_at,
                created,
                data,
            } => {
                out.extend_from_slice(&[1, u8::from(*created), u8::from(data.is_some())]);
                put_version(out, *version);
                put_option(out, expires_at.map(|at| at.0));
                put_bytes(out, data.as_deref().unwrap_or_default());
            }
        }
    }

    pub(crate) fn decode(b: &mut Bytes) -> Result<Done, Malformed> {
        match get_u8(b)? {
            0 => Ok(Done::Deleted(get_u8(b)? == 1)),
            1 => {
                let (created, known) = (get_u8(b)? == 1, get_u8(b)? == 1);
                let version = get_version(b)?;
                let expires_at = get_option(b)?.map(UnixMs);
                let data = get_bytes(b)?;
                Ok(Done::Stored {
                    version,
                    expires_at,
                    created,
                    data: known.then_some(data),
                })
            }
            _ => Err(Malformed),
        }
    }
}

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
        let (_, id) = self.by_age.pop_front_if(|_| old || full)?;
        Some(id)
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
