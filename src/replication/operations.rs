//! What operations that may be sent again have led to.
//!
//! Remembered at the owner and at its copies for as long as somebody may ask again, bounded in
//! number: the oldest go first.

use std::collections::VecDeque;

use bytes::Bytes;
use rapidhash::RapidHashMap;

use crate::clock::UnixMs;
use crate::command::{Command, Entry, EntryRef, OperationId, Reply};
use crate::fields::{
    Malformed, get_bytes, get_option, get_u8, get_version, put_bytes, put_option, put_version,
};
use crate::key::PartitionId;
use super::Ticket;
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

/// See the module.
#[derive(Debug)]
pub struct Operations {
    count_max: usize,
    keep_ms: u64,
    by_id: RapidHashMap<OperationId, Remembered>,
    by_age: VecDeque<(UnixMs, OperationId)>,
}

impl Operations {
    /// Remembers at most so many operations, each for so long.
    #[must_use]
    pub fn new(count_max: usize, keep_ms: u64) -> Operations {
        Operations {
            count_max,
            keep_ms,
            by_id: RapidHashMap::default(),
            by_age: VecDeque::new(),
        }
    }

    /// What an operation has led to, if it was applied.
    #[must_use]
    pub fn get(&self, id: OperationId) -> Option<&Remembered> {
        self.by_id.get(&id)
    }

    /// An operation was applied.
    pub fn remember(&mut self, id: OperationId, remembered: Remembered, now: UnixMs) {
        self.forget_old(now);
        while self.by_age.len() >= self.count_max {
            self.forget_oldest();
        }
        if self.by_id.insert(id, remembered).is_none() {
            self.by_age.push_back((now, id));
        }
    }

    /// Forgets what nobody can ask for any more.
    pub fn forget_old(&mut self, now: UnixMs) {
        while let Some((at, _)) = self.by_age.front() {
            if at.plus(std::time::Duration::from_millis(self.keep_ms)) > now {
                return;
            }
            self.forget_oldest();
        }
        // What a burst needed is given back after it.
        self.by_id.shrink_to(self.by_age.len() * 2);
        self.by_age.shrink_to(self.by_age.len() * 2);
    }

    fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.by_age.pop_front() {
            self.by_id.remove(&id);
        }
    }

    /// All that is remembered of some partitions.
    pub fn of<'a>(
        &'a self,
        wanted: impl Fn(PartitionId) -> bool + 'a,
    ) -> impl Iterator<Item = (PartitionId, OperationId, &'a Done)> + 'a {
        let ids = self.by_age.iter().filter_map(|(_, id)| Some((id, self.by_id.get(id)?)));
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
        let mut operations = Operations::new(3, 1_000);
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
        remember(&mut operations, 9, 1_010);
        assert_eq!(operations.len(), 1, "bounded in age");
    }
}
