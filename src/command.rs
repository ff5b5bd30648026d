//! The one vocabulary behind every door: [`Command`] in, [`Reply`] out.
//!
//! Doors parse bytes to commands and print replies as bytes; the router carries both between
//! nodes; a writer calls [`apply`] under its lock. [`apply`] is pure: a command and the present
//! entry in, an [`Effect`] and a reply out. It knows neither table nor time zone nor tokio, so all
//! that a data type means is tested here.
//!
//! An [`Effect`] is what is replicated and what the table does. A command without an effect
//! changes nothing, not even a version.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::clock::UnixMs;
use crate::key::Key;
use crate::version::{NodeId, Version};

pub mod counter;
pub mod json;

/// What a value is. The numbers are the ones on the wire and in memory: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Kind {
    /// A JSON document, kept as compact text.
    Json = 0,
    /// A whole number that is added to, kept as [`counter`] describes.
    Counter = 1,
    /// No value: what was here was deleted. Kept for a while, so that an older value that turns up
    /// late does not pass for a newer one; clients never see it.
    Tombstone = 31,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Json => "JSON document",
            Kind::Counter => "counter",
            Kind::Tombstone => "tombstone",
        })
    }
}

impl Kind {
    /// Reads the number back; `None` if no kind has it.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Kind> {
        match number {
            0 => Some(Kind::Json),
            1 => Some(Kind::Counter),
            31 => Some(Kind::Tombstone),
            _ => None,
        }
    }
}

/// Names one operation among all that were ever asked for, so that one that is sent again is
/// applied once.
///
/// Whoever makes one answers for it: what differs must get different numbers, and the same
/// operation must get the same one through whichever node it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(pub u128);

impl OperationId {
    /// Set in the ids that nodes give.
    const BY_NODE: u128 = 1 << 127;

    /// The first half of the ids that a node gives in one life; the second half is a number.
    #[must_use]
    pub fn origin(node: NodeId, boot_epoch: u64) -> u128 {
        // A life of a node begins in another millisecond than the one before; 31 bits of them last
        // for 24 days, and nobody remembers an operation for so long.
        let life = u128::from(boot_epoch >> 12) & 0x7fff_ffff;
        Self::BY_NODE | life << 96 | u128::from(node.0) << 64
    }

    /// The id of an operation that a client named, apart from those of nodes.
    #[must_use]
    pub fn of_client(self) -> OperationId {
        OperationId(self.0 & !Self::BY_NODE)
    }

    /// Whether a node gave it: then nobody asks again after the deadline of a request.
    #[must_use]
    pub fn is_by_node(self) -> bool {
        self.0 & Self::BY_NODE != 0
    }
}

/// When a write or a delete may happen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Always.
    #[default]
    None,
    /// Only if the key has no value (`If-None-Match: *`).
    Absent,
    /// Only if the key has a value (`If-Match: *`).
    Present,
    /// Only if the value has one of these versions (`If-Match: "…"`).
    VersionIn(Vec<Version>),
    /// Only if the value has none of these versions (`If-None-Match: "…"`); an absent one has none.
    VersionNotIn(Vec<Version>),
}

impl Condition {
    /// Whether it holds for a key whose value has version `current`.
    #[must_use]
    pub fn holds(&self, current: Option<Version>) -> bool {
        match self {
            Condition::None => true,
            Condition::Absent => current.is_none(),
            Condition::Present => current.is_some(),
            Condition::VersionIn(these) => current.is_some_and(|v| these.contains(&v)),
            Condition::VersionNotIn(these) => current.is_none_or(|v| !these.contains(&v)),
        }
    }
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The whole value.
    Get {
        /// Of this key.
        key: Key,
    },
    /// Replace the whole value, whatever was there.
    Put {
        /// Of this key.
        key: Key,
        /// What it is.
        kind: Kind,
        /// The value in its stored form: for JSON, what [`json::compact`] returned; for a counter,
        /// what [`counter::text`] did.
        data: Bytes,
        /// Time to live in milliseconds from when it is applied; `None` lives for ever.
        ttl_ms: Option<u64>,
        /// When it may happen.
        condition: Condition,
    },
    /// Remove the value.
    Delete {
        /// Of this key.
        key: Key,
        /// When it may happen.
        condition: Condition,
    },
    /// Apply a JSON merge patch (RFC 7396) to the document; an absent one is patched as `{}`.
    MergePatch {
        /// Of this key.
        key: Key,
        /// The patch, compact.
        patch: Bytes,
        /// When it may happen.
        condition: Condition,
    },
    /// Add to a counter; an absent one stands at 0.
    Increment {
        /// Of this key.
        key: Key,
        /// What to add; negative to subtract.
        by: i64,
        /// Time to live in milliseconds of a counter that this creates; `None` lives for ever. One
        /// that is there keeps its own.
        ttl_ms: Option<u64>,
        /// When it may happen.
        condition: Condition,
    },
}

impl Command {
    /// The key that it is about.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Command::Get { key }
            | Command::Put { key, .. }
            | Command::Delete { key, .. }
            | Command::MergePatch { key, .. }
            | Command::Increment { key, .. } => key,
        }
    }

    /// What it makes of the key's value: a value of this kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Command::Put { kind, .. } => *kind,
            Command::Increment { .. } => Kind::Counter,
            Command::Get { .. } | Command::Delete { .. } | Command::MergePatch { .. } => Kind::Json,
        }
    }

    /// What it holds in memory while it waits, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let payload = match self {
            Command::Get { .. } | Command::Delete { .. } | Command::Increment { .. } => 0,
            Command::Put { data, .. } => data.len(),
            Command::MergePatch { patch, .. } => patch.len(),
        };
        size_of::<Command>() + self.key().as_bytes().len() + payload
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_read(&self) -> bool {
        matches!(self, Command::Get { .. })
    }
}

/// A value as a reply carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// The value in its stored form.
    pub data: Bytes,
    /// Its version, which clients see as the ETag.
    pub version: Version,
    /// When it expires; `None` never.
    pub expires_at: Option<UnixMs>,
}

impl Entry {
    /// The entry, borrowed.
    #[must_use]
    pub fn as_ref(&self) -> EntryRef<'_> {
        EntryRef {
            kind: self.kind,
            data: &self.data,
            version: self.version,
            expires_at: self.expires_at,
        }
    }
}

/// A value as it lies in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryRef<'a> {
    /// What it is.
    pub kind: Kind,
    /// The value in its stored form.
    pub data: &'a [u8],
    /// Its version.
    pub version: Version,
    /// When it expires; `None` never.
    pub expires_at: Option<UnixMs>,
}

impl EntryRef<'_> {
    /// A copy that outlives the table's lock.
    #[must_use]
    pub fn to_entry(&self) -> Entry {
        Entry {
            kind: self.kind,
            data: Bytes::copy_from_slice(self.data),
            version: self.version,
            expires_at: self.expires_at,
        }
    }
}

/// What a command answers. A miss and a failed condition are answers, not errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The value, or that there is none.
    Value(Option<Entry>),
    /// It was written.
    Stored {
        /// The value as it is now.
        entry: Entry,
        /// Whether the key had no value before.
        created: bool,
    },
    /// Whether there was something to delete.
    Deleted(bool),
    /// The condition did not hold for the present version; nothing changed.
    ConditionFailed {
        /// The present version, if there is a value.
        current: Option<Version>,
    },
}

/// Why a command could not be carried out; nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Error {
    /// The value has another type.
    #[error("the value is a {found}, not a {wanted}")]
    WrongType {
        /// What it is.
        found: Kind,
        /// What the command works on.
        wanted: Kind,
    },
    /// The resulting value would be too large.
    #[error("the value would be {bytes} bytes long; the limit is {max}")]
    ValueTooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The patched document would not be valid.
    #[error("{0}")]
    Json(#[from] json::Error),
    /// What should be a counter's value is none.
    #[error("a counter is a whole number from -2^63 to 2^63 - 1, without plus or leading zeros")]
    NotANumber,
    /// The sum is beyond what a counter holds.
    #[error("{value} plus {by} is beyond a counter, which holds -2^63 to 2^63 - 1")]
    Overflow {
        /// What the counter stands at, and still does.
        value: i64,
        /// What should have been added.
        by: i64,
    },
}

/// What changes in the table, and on the backups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// The entry is now this.
    Put(Entry),
    /// The entry is gone.
    Delete,
}

/// What bounds a value, whoever makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest value in bytes, in its stored form.
    pub value_bytes_max: usize,
    /// Deepest nesting of a JSON document.
    pub json_depth_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            value_bytes_max: 16 << 20,
            json_depth_max: 128,
        }
    }
}

/// Carries a command out on the present entry of its key. `next` makes the version of a new value.
///
/// # Errors
/// When the command does not fit the value or the limits; then there is no effect.
pub fn apply(
    command: &Command,
    current: Option<EntryRef<'_>>,
    now: UnixMs,
    next: impl FnOnce() -> Version,
    limits: &Limits,
) -> Result<(Effect, Reply), Error> {
    let version = current.map(|entry| entry.version);
    let failed = Reply::ConditionFailed { current: version };
    match command {
        Command::Get { .. } => Ok((
            Effect::None,
            Reply::Value(current.map(|entry| entry.to_entry())),
        )),
        Command::Put {
            kind,
            data,
            ttl_ms,
            condition,
            ..
        } => {
            check_size(data.len(), limits)?;
            if *kind == Kind::Counter {
                counter::check(data)?;
            }
            if !condition.holds(version) {
                return Ok((Effect::None, failed));
            }
            let expires_at = expiry(*ttl_ms, now);
            let entry = Entry {
                kind: *kind,
                data: data.clone(),
                version: next(),
                expires_at,
            };
            Ok(stored(entry, current.is_none()))
        }
        Command::Delete { condition, .. } => {
            if !condition.holds(version) {
                return Ok((Effect::None, failed));
            }
            let effect = if current.is_some() {
                Effect::Delete
            } else {
                Effect::None
            };
            Ok((effect, Reply::Deleted(current.is_some())))
        }
        Command::MergePatch {
            patch, condition, ..
        } => {
            if !condition.holds(version) {
                return Ok((Effect::None, failed));
            }
            let target = match current {
                None => &b"{}"[..],
                Some(EntryRef {
                    kind: Kind::Json,
                    data,
                    ..
                }) => data,
                Some(EntryRef { kind: found, .. }) => {
                    let wanted = Kind::Json;
                    return Err(Error::WrongType { found, wanted });
                }
            };
            let data = json::merge_patch(target, patch, limits.json_depth_max)?;
            check_size(data.len(), limits)?;
            let expires_at = current.and_then(|entry| entry.expires_at);
            let entry = Entry {
                kind: Kind::Json,
                data: data.into(),
                version: next(),
                expires_at,
            };
            Ok(stored(entry, current.is_none()))
        }
        Command::Increment {
            by,
            ttl_ms,
            condition,
            ..
        } => {
            if !condition.holds(version) {
                return Ok((Effect::None, failed));
            }
            let data = counter::add(current, *by)?;
            let expires_at = match current {
                Some(entry) => entry.expires_at,
                None => expiry(*ttl_ms, now),
            };
            let entry = Entry {
                kind: Kind::Counter,
                data,
                version: next(),
                expires_at,
            };
            Ok(stored(entry, current.is_none()))
        }
    }
}

fn stored(entry: Entry, created: bool) -> (Effect, Reply) {
    (Effect::Put(entry.clone()), Reply::Stored { entry, created })
}

fn expiry(ttl_ms: Option<u64>, now: UnixMs) -> Option<UnixMs> {
    ttl_ms.map(|ttl| UnixMs(now.0.saturating_add(ttl)))
}

fn check_size(bytes: usize, limits: &Limits) -> Result<(), Error> {
    let max = limits.value_bytes_max;
    if bytes > max {
        Err(Error::ValueTooLarge { bytes, max })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
