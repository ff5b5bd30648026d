//! What operations that may be sent again have led to.
//!
//! Remembered at the owner and at its copies for as long as somebody may ask again, bounded in
//! number: the oldest go first.

use std::collections::VecDeque;

use bytes::Bytes;
use rapidhash::RapidHashMap;

use super::Ticket;
use crate::clock::UnixMs;
use crate::command::{Answer, Command, Entry, EntryRef, Kind, OperationId, Reply, counter};
use crate::fields::{
    Malformed, get_bytes, get_option, get_u8, get_value, get_version, put_bytes, put_option,
    put_value, put_version,
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
    /// A typed operation was carried out.
    Answered {
        /// What it answered, if that is short.
        answer: Option<Answer>,
        /// The value's version then.
        version: Option<Version>,
        /// When it expired then.
        expires_at: Option<UnixMs>,
    },
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
                data: (entry.data.len() <= DATA_BYTES_MAX).then(|| apart(&entry.data)),
            }),
            Reply::Deleted(deleted) => Some(Done::Deleted(*deleted)),
            Reply::Answer {
                answer,
                version,
                expires_at,
            } => Some(Done::Answered {
                answer: (answer.bytes() <= DATA_BYTES_MAX).then(|| answer.clone()),
                version: *version,
                expires_at: *expires_at,
            }),
            Reply::Value(_) | Reply::ConditionFailed { .. } => None,
        }
    }

    /// Whether a command can have led to this. One name for two commands is a client's mistake; then
    /// it names two operations.
    #[must_use]
    pub fn fits(&self, command: &Command) -> bool {
        let is_delete = matches!(command, Command::Delete { .. });
        let is_typed = matches!(command, Command::Typed { .. });
        match self {
            Done::Answered { .. } => is_typed,
            Done::Deleted(_) => is_delete,
            Done::Stored { data, .. } => {
                // What a counter holds is short enough to be remembered.
                let is_counter = || {
                    data.as_ref()
                        .is_some_and(|data| counter::check(data).is_ok())
                };
                !is_delete && !is_typed && (command.kind() != Kind::Counter || is_counter())
            }
        }
    }

    /// The reply once more, for the command that led to it; `None` if it is not known any more what
    /// was stored, only that it was.
    #[must_use]
    pub fn reply(&self, command: &Command, current: Option<EntryRef<'_>>) -> Option<Reply> {
        match self {
            Done::Deleted(deleted) => Some(Reply::Deleted(*deleted)),
            Done::Answered {
                answer,
                version,
                expires_at,
            } => Some(Reply::Answer {
                answer: answer.clone()?,
                version: *version,
                expires_at: *expires_at,
            }),
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
                    tag: None,
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
            Done::Answered {
                answer,
                version,
                expires_at,
            } => {
                out.extend_from_slice(&[2, u8::from(version.is_some())]);
                put_version(out, version.unwrap_or_default());
                put_option(out, expires_at.map(|at| at.0));
                put_value(out, answer);
            }
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
                    data: known.then(|| apart(&data)),
                })
            }
            2 => {
                let known = get_u8(b)? == 1;
                let version = get_version(b)?;
                Ok(Done::Answered {
                    version: known.then_some(version),
                    expires_at: get_option(b)?.map(UnixMs),
                    answer: get_value(b)?,
                })
            }
            _ => Err(Malformed),
        }
    }
}

/// Bytes in memory of their own: what came in a long frame with others must not keep all of it.
fn apart(data: &Bytes) -> Bytes {
    Bytes::copy_from_slice(data)
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
    use proptest::prelude::*;

    use super::*;
    use crate::command::Condition;
    use crate::key::Key;
    use crate::version::{Hlc, NodeId};

    fn key() -> Key {
        Key::new("key", 10).unwrap()
    }

    fn put(data: &Bytes) -> Command {
        Command::Put {
            key: key(),
            kind: Kind::Json,
            data: data.clone(),
            ttl_ms: Some(1),
            condition: Condition::None,
        }
    }

    fn patch() -> Command {
        Command::MergePatch {
            key: key(),
            patch: "{}".into(),
            condition: Condition::None,
        }
    }

    fn increment() -> Command {
        Command::Increment {
            key: key(),
            by: 1,
            ttl_ms: None,
            condition: Condition::None,
        }
    }

    fn stored(kind: Kind, data: Bytes) -> Reply {
        Reply::Stored {
            entry: Entry {
                tag: None,
                kind,
                data,
                version: Version {
                    hlc: Hlc(77),
                    node: NodeId(3),
                },
                expires_at: Some(UnixMs(9)),
            },
            created: true,
        }
    }

    #[test]
    fn the_same_reply_again() {
        let (short, long) = (Bytes::from_static(b"5"), Bytes::from(vec![b'1'; 1_000]));
        let delete = Command::Delete {
            key: key(),
            condition: Condition::None,
        };
        for (command, reply) in [
            (put(&short), stored(Kind::Json, short.clone())),
            // What was sent need not be remembered.
            (put(&long), stored(Kind::Json, long.clone())),
            (patch(), stored(Kind::Json, short.clone())),
            (increment(), stored(Kind::Counter, short)),
            (delete.clone(), Reply::Deleted(true)),
            (delete, Reply::Deleted(false)),
        ] {
            let done = Done::of(&reply).unwrap();
            assert_eq!(done.reply(&command, None), Some(reply), "{command:?}");
        }
    }

    #[test]
    fn a_long_document_is_known_as_long_as_it_is_there() {
        let long = Bytes::from(vec![b'1'; DATA_BYTES_MAX + 1]);
        let reply = stored(Kind::Json, long);
        let Reply::Stored { entry, .. } = &reply else {
            unreachable!()
        };
        let done = Done::of(&reply).unwrap();
        assert_eq!(
            done.reply(&patch(), Some(entry.as_ref())),
            Some(reply.clone())
        );
        assert_eq!(done.reply(&patch(), None), None);
        let newer = Entry {
            version: Version::default(),
            ..entry.clone()
        };
        assert_eq!(done.reply(&patch(), Some(newer.as_ref())), None);
        let shortest = stored(Kind::Json, vec![b'1'; DATA_BYTES_MAX].into());
        let done = Done::of(&shortest).unwrap();
        assert_eq!(done.reply(&patch(), None), Some(shortest));
    }

    #[test]
    fn one_name_for_two_commands_is_two_operations() {
        let delete = Command::Delete {
            key: key(),
            condition: Condition::None,
        };
        let document = put(&Bytes::from_static(b"{}"));
        let done = |kind, data| Done::of(&stored(kind, data)).unwrap();
        let json = done(Kind::Json, Bytes::from_static(b"{}"));
        let counted = done(Kind::Counter, Bytes::from_static(b"5"));
        let deleted = Done::Deleted(true);
        for (done, command, fits) in [
            (&json, &document, true),
            (&json, &patch(), true),
            (&json, &increment(), false),
            (&json, &delete, false),
            (&counted, &increment(), true),
            (&counted, &delete, false),
            (&deleted, &delete, true),
            (&deleted, &document, false),
            (&deleted, &increment(), false),
        ] {
            assert_eq!(done.fits(command), fits, "{done:?} {command:?}");
        }
    }

    #[test]
    fn what_changed_nothing_is_not_remembered() {
        for reply in [Reply::Value(None), Reply::ConditionFailed { current: None }] {
            assert_eq!(Done::of(&reply), None);
        }
    }

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

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            hlc in any::<u64>(), expires_at in any::<Option<u64>>(), created in any::<bool>(),
            data in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..70)),
            deleted in any::<bool>(), rest in any::<u8>(),
        ) {
            let version = Version { hlc: Hlc(hlc), node: NodeId(5) };
            let stored = Done::Stored {
                version,
                expires_at: expires_at.map(UnixMs),
                created,
                data: data.map(Bytes::from),
            };
            for done in [stored, Done::Deleted(deleted)] {
                let mut out = Vec::new();
                done.encode(&mut out);
                out.push(rest);
                let mut bytes = Bytes::from(out);
                for end in 0..bytes.len() - 1 {
                    prop_assert_eq!(Done::decode(&mut bytes.slice(..end)), Err(Malformed));
                }
                prop_assert_eq!(Done::decode(&mut bytes), Ok(done));
                prop_assert_eq!(&bytes[..], &[rest], "no more than its own is taken");
            }
        }

        #[test]
        fn noise_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Done::decode(&mut Bytes::from(noise));
        }
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
