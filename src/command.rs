//! The one vocabulary behind every door: [`Command`] in, [`Reply`] out.
//!
//! Doors parse bytes to commands and print replies as bytes; the router carries both between
//! nodes; a writer calls [`apply`] under its lock. [`apply`] is pure: a command and the present
//! entry in, an [`Effect`] and a reply out. It knows neither table nor time zone nor tokio, so all
//! that a data type means is tested here.
//!
//! An [`Effect`] is what is replicated and what the table does. A command without an effect
//! changes nothing, not even a version.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::clock::UnixMs;
use crate::key::Key;
use crate::version::{NodeId, Version};

pub mod answer;
pub mod collection;
pub mod counter;
mod decimal;
pub mod hash;
pub mod json;
pub mod lifetime;
pub mod list;
pub mod operation;
mod random;
pub mod set;
pub mod show;
pub mod string;

pub use self::answer::Answer;
pub use self::operation::Operation;

use self::collection::{Collection, Delta, View};
use self::operation::{At, Change};

/// What a value is. The numbers are the ones on the wire and in memory: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Kind {
    /// A JSON document, kept as compact text.
    Json = 0,
    /// A whole number that is added to, kept as [`counter`] describes.
    Counter = 1,
    /// A string of bytes.
    Bytes = 2,
    /// Yes or no, kept as `true` or `false`.
    Flag = 3,
    /// Members without an order, kept as [`collection`] describes.
    Set = 4,
    /// Fields with values.
    Hash = 5,
    /// Elements in order.
    List = 6,
    /// No value: what was here was deleted. Kept for a while, so that an older value that turns up
    /// late does not pass for a newer one; clients never see it.
    Tombstone = 31,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Json => "JSON document",
            Kind::Counter => "counter",
            Kind::Bytes => "string",
            Kind::Flag => "flag",
            Kind::Set => "set",
            Kind::Hash => "hash",
            Kind::List => "list",
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
            2 => Some(Kind::Bytes),
            3 => Some(Kind::Flag),
            4 => Some(Kind::Set),
            5 => Some(Kind::Hash),
            6 => Some(Kind::List),
            31 => Some(Kind::Tombstone),
            _ => None,
        }
    }
}

impl Kind {
    /// Whether values of it have parts: see [`collection`].
    #[must_use]
    pub fn is_collection(self) -> bool {
        matches!(self, Kind::Set | Kind::Hash | Kind::List)
    }
}

/// How long a value lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expiry {
    /// For ever.
    #[default]
    Never,
    /// As long as the value that it takes the place of.
    Keep,
    /// So many milliseconds from when the command is applied.
    In(u64),
    /// Until then.
    At(UnixMs),
}

impl Expiry {
    /// When the value expires, if the present one does so at `current`.
    #[must_use]
    pub fn at(self, current: Option<UnixMs>, now: UnixMs) -> Option<UnixMs> {
        match self {
            Expiry::Never => None,
            Expiry::Keep => current,
            Expiry::In(ms) => Some(UnixMs(now.0.saturating_add(ms))),
            Expiry::At(at) => Some(at),
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
}

/// A value as a reply carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// The value in its stored form.
    pub data: Bytes,
    /// Its version: of two states of an entry the one with the greater version is the later one.
    pub version: Version,
    /// The version of the value, if the entry has changed since in how long it lives, and in nothing
    /// else.
    pub tag: Option<Version>,
    /// When it expires; `None` never.
    pub expires_at: Option<UnixMs>,
}

impl Entry {
    /// The version of the value, which clients see as the ETag.
    #[must_use]
    pub fn etag(&self) -> Version {
        self.tag.unwrap_or(self.version)
    }

    /// The entry, borrowed.
    #[must_use]
    pub fn as_ref(&self) -> EntryRef<'_> {
        EntryRef {
            kind: self.kind,
            data: &self.data,
            open: None,
            version: self.version,
            tag: self.tag,
            expires_at: self.expires_at,
        }
    }
}

/// A value as it lies in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryRef<'a> {
    /// What it is.
    pub kind: Kind,
    /// The value in its stored form; empty if it is open.
    pub data: &'a [u8],
    /// The collection, if it is kept open.
    pub open: Option<&'a Collection>,
    /// Its version.
    pub version: Version,
    /// The version of the value, if it is another one.
    pub tag: Option<Version>,
    /// When it expires; `None` never.
    pub expires_at: Option<UnixMs>,
}

impl<'a> EntryRef<'a> {
    /// The version of the value, which clients see as the ETag.
    #[must_use]
    pub fn etag(&self) -> Version {
        self.tag.unwrap_or(self.version)
    }

    /// The value as a collection; that of another type is an empty one.
    #[must_use]
    pub fn view(&self) -> View<'a> {
        match (self.open, self.kind) {
            (Some(open), _) => View::Open(open),
            (None, Kind::Set | Kind::List) => View::of_items(self.data),
            (None, Kind::Hash) => View::of_pairs(self.data),
            (None, _) => View::Empty,
        }
    }

    /// The value in its stored form, which an open collection is brought into.
    #[must_use]
    pub fn stored(&self) -> Cow<'a, [u8]> {
        match self.open {
            Some(open) => Cow::Owned(open.pack().into()),
            None => Cow::Borrowed(self.data),
        }
    }

    /// Bytes of the stored form.
    #[must_use]
    pub fn stored_bytes(&self) -> usize {
        self.open.map_or(self.data.len(), Collection::packed_bytes)
    }

    /// A copy that outlives the table's lock.
    #[must_use]
    pub fn to_entry(&self) -> Entry {
        Entry {
            kind: self.kind,
            data: match self.open {
                Some(open) => open.pack(),
                None => Bytes::copy_from_slice(self.data),
            },
            version: self.version,
            tag: self.tag,
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
    /// A path leads nowhere, or cannot be followed.
    #[error(transparent)]
    Path(#[from] json::path::Error),
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
    /// What should be a number, perhaps with a fraction, is none.
    #[error("the value is not a number")]
    NotAFloat,
    /// The sum is beyond all numbers.
    #[error("the sum would be infinite, or no number")]
    FloatOverflow,
    /// What should be a flag's value is none.
    #[error("a flag is true or false")]
    NotAFlag,
    /// What should be a collection in its packed form is none.
    #[error("the value is not the packed form of a {0}")]
    NotACollection(Kind),
    /// There is no value, and the operation needs one.
    #[error("there is no such key")]
    NoSuchKey,
    /// The list has no such place.
    #[error("the list has no element at this index")]
    IndexOutOfRange,
    /// What was asked for is too much for one answer.
    #[error("the answer would be longer than {max} bytes: ask for less at a time")]
    AnswerTooLarge {
        /// The limit.
        max: usize,
    },
}

/// What changes in the table, and on the backups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// The entry is now this.
    Put(Entry),
    /// A part of the entry has changed.
    Change(Changed),
    /// The entry is gone.
    Delete,
}

/// An entry of which a part has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// What has.
    pub delta: Delta,
    /// The entry's version now.
    pub version: Version,
}

impl Changed {
    /// The whole entry that an entry becomes by it; `None` if it does not belong to that.
    #[must_use]
    pub fn whole(&self, entry: EntryRef<'_>) -> Option<Entry> {
        let version = self.version;
        if let Delta::Expiry(expires_at) = self.delta {
            let tag = Some(entry.etag());
            let entry = entry.to_entry();
            return Some(Entry {
                version,
                tag,
                expires_at,
                ..entry
            });
        }
        let mut collection = match entry.open {
            Some(open) => open.clone(),
            None => Collection::unpack(entry.kind, entry.data)?,
        };
        collection.apply(&self.delta);
        Some(Entry {
            kind: entry.kind,
            data: collection.pack(),
            version,
            tag: None,
            expires_at: entry.expires_at,
        })
    }
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
    let version = current.map(|entry| entry.etag());
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
            check(*kind, data)?;
            if !condition.holds(version) {
                return Ok((Effect::None, failed));
            }
            let expires_at = expiry(*ttl_ms, now);
            let entry = Entry {
                kind: *kind,
                data: data.clone(),
                version: next(),
                tag: None,
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
                tag: None,
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
                tag: None,
                expires_at,
            };
            Ok(stored(entry, current.is_none()))
        }
        Command::Typed {
            operation,
            condition,
            ..
        } => {
            if !condition.holds(version) {
                return Ok((Effect::None, failed));
            }
            typed(
                operation,
                At {
                    current,
                    now,
                    limits,
                },
                next,
            )
        }
    }
}

/// Carries an operation of a type out.
fn typed(
    operation: &Operation,
    at: At<'_>,
    next: impl FnOnce() -> Version,
) -> Result<(Effect, Reply), Error> {
    let (change, answer) = operation.run(at)?;
    let current = at.current;
    let reply = |version, expires_at| Reply::Answer {
        answer,
        version,
        expires_at,
    };
    let entry = match change {
        Change::None => {
            let version = current.map(|entry| entry.etag());
            let expires_at = current.and_then(|entry| entry.expires_at);
            return Ok((Effect::None, reply(version, expires_at)));
        }
        Change::Delete => return Ok((Effect::Delete, reply(None, None))),
        Change::Put { kind, data, expiry } => Entry {
            kind,
            data,
            version: next(),
            tag: None,
            expires_at: expiry.at(current.and_then(|entry| entry.expires_at), at.now),
        },
        Change::Delta(delta) => {
            let kind = current.map_or(operation.kind(), |entry| entry.kind);
            return changed(kind, delta, at, next, reply);
        }
    };
    let reply = reply(Some(entry.etag()), entry.expires_at);
    Ok((Effect::Put(entry), reply))
}

/// The effect of a delta: of a small value the whole of it, so that copies need nothing else.
fn changed(
    kind: Kind,
    delta: Delta,
    at: At<'_>,
    next: impl FnOnce() -> Version,
    reply: impl FnOnce(Option<Version>, Option<UnixMs>) -> Reply,
) -> Result<(Effect, Reply), Error> {
    let current = at.current;
    let expires_at = current.and_then(|entry| entry.expires_at);
    let before = current.map_or(0, |entry| entry.stored_bytes());
    if let Delta::Expiry(expires_at) = delta {
        let Some(entry) = current else {
            return Ok((Effect::None, reply(None, None)));
        };
        let (version, tag) = (next(), entry.etag());
        let effect = if before < collection::OPEN_BYTES_MIN {
            let entry = entry.to_entry();
            Effect::Put(Entry {
                version,
                tag: Some(tag),
                expires_at,
                ..entry
            })
        } else {
            Effect::Change(Changed { delta, version })
        };
        return Ok((effect, reply(Some(tag), expires_at)));
    }
    if current.is_some_and(|entry| entry.open.is_some()) {
        check_size(before + delta.bytes(), at.limits)?;
        let version = next();
        let effect = Effect::Change(Changed { delta, version });
        return Ok((effect, reply(Some(version), expires_at)));
    }
    let opened = match current {
        None => Collection::new(kind),
        Some(entry) => Collection::unpack(kind, entry.data),
    };
    let mut collection = opened.ok_or(Error::NotACollection(kind))?;
    collection.apply(&delta);
    check_size(collection.packed_bytes(), at.limits)?;
    let entry = Entry {
        kind,
        data: collection.pack(),
        version: next(),
        tag: None,
        expires_at,
    };
    let reply = reply(Some(entry.version), expires_at);
    Ok((Effect::Put(entry), reply))
}

/// Refuses a whole value that is none of its kind.
fn check(kind: Kind, data: &[u8]) -> Result<(), Error> {
    match kind {
        Kind::Counter => counter::check(data),
        Kind::Flag if !matches!(data, b"true" | b"false") => Err(Error::NotAFlag),
        kind if kind.is_collection() && !collection::check(kind, data) => {
            Err(Error::NotACollection(kind))
        }
        _ => Ok(()),
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
