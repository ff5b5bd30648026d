//! What an operation that may be sent again has led to: what is kept of its reply, how the reply is
//! made of that once more, and its form between nodes.
//!
//! It is kept by [`Operations`](super::Operations), and travels in effects.

use bytes::Bytes;

use crate::clock::UnixMs;
use crate::command::{Answer, Command, Entry, EntryRef, Kind, Reply, counter};
use crate::fields::{
    Malformed, get_bytes, get_option, get_u8, get_value, get_version, put_bytes, put_option,
    put_value, put_version,
};
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
}
