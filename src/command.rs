//! The one vocabulary behind every door: [`Command`] in, [`Reply`] out.
//!
//! Doors parse bytes to commands and print replies as bytes; the router carries both between
//! nodes; a writer calls [`apply`] under its lock. [`apply`] is pure: a command and the present
//! entry in, an [`Effect`] and a reply out. It knows neither table nor time zone nor tokio, so all
//! that a data type means is tested here.
//!
//! An [`Effect`] is what is replicated and what the table does. A command without an effect
//! changes nothing, not even a version.

use bytes::Bytes;

use crate::clock::UnixMs;
use crate::key::Key;
use crate::version::{NodeId, Version};

pub mod answer;
mod apply;
pub mod collection;
pub mod counter;
mod decimal;
mod entry;
mod error;
pub mod hash;
pub mod json;
pub mod lifetime;
pub mod list;
pub mod operation;
mod prepare;
mod random;
pub mod set;
pub mod show;
pub mod string;

pub use self::answer::Answer;
pub(crate) use self::apply::check_size;
pub use self::apply::{Changed, Effect, apply};
pub use self::entry::{Entry, EntryRef, Expiry, Kind};
pub use self::error::Error;
pub use self::operation::Operation;
pub use self::prepare::{Prepared, prepare};

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
        /// what [`counter::text`] did; for a flag `true` or `false`; for a collection what a
        /// [`collection::Packer`] wrote.
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
    /// Do something with a value of some type.
    Typed {
        /// Of this key.
        key: Key,
        /// What.
        operation: Box<Operation>,
        /// When it may happen.
        condition: Condition,
    },
}

impl Command {
    /// Whether what it does takes longer the longer the present value is: it looks into a document.
    #[must_use]
    pub fn may_take_long(&self) -> bool {
        match self {
            Command::MergePatch { .. } => true,
            Command::Typed { operation, .. } => matches!(**operation, Operation::Json(_)),
            _ => false,
        }
    }

    /// The key that it is about.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Command::Get { key }
            | Command::Put { key, .. }
            | Command::Delete { key, .. }
            | Command::MergePatch { key, .. }
            | Command::Increment { key, .. }
            | Command::Typed { key, .. } => key,
        }
    }

    /// What it makes of the key's value: a value of this kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Command::Put { kind, .. } => *kind,
            Command::Increment { .. } => Kind::Counter,
            Command::Typed { operation, .. } => operation.kind(),
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
            Command::Typed { operation, .. } => size_of::<Operation>() + operation.bytes(),
        };
        size_of::<Command>() + self.key().as_bytes().len() + payload
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_read(&self) -> bool {
        match self {
            Command::Get { .. } => true,
            Command::Typed { operation, .. } => operation.is_read(),
            _ => false,
        }
    }

    /// Whether it is a look at an entry, which is not to count as a use of it.
    #[must_use]
    pub fn inspects(&self) -> bool {
        matches!(self, Command::Typed { operation, .. } if operation.inspects())
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
    /// What a typed operation answers.
    Answer {
        /// That.
        answer: Answer,
        /// The version of the value as it is now; `None` if there is none.
        version: Option<Version>,
        /// When it expires; `None` never.
        expires_at: Option<UnixMs>,
    },
    /// The condition did not hold for the present version; nothing changed.
    ConditionFailed {
        /// The present version, if there is a value.
        current: Option<Version>,
    },
}

/// What bounds a value, whoever makes it, and the work for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest value in bytes, in its stored form; longest answer, about.
    pub value_bytes_max: usize,
    /// Longest set, hash or list in bytes, in its stored form.
    pub collection_bytes_max: usize,
    /// Deepest nesting of a JSON document.
    pub json_depth_max: usize,
    /// Most work for a document, in bytes that are looked at or written, where what is beyond is done
    /// elsewhere: it is refused as [`json::path::Error::TooMuchWork`]. `usize::MAX` leaves what any
    /// path is allowed.
    pub work_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            value_bytes_max: 16 << 20,
            collection_bytes_max: 64 << 20,
            json_depth_max: 128,
            work_max: usize::MAX,
        }
    }
}

#[cfg(test)]
mod tests;
