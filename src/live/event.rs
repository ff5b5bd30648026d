//! What subscribers are told.

use bytes::Bytes;

use crate::command::{Entry, EntryRef, Kind};
use crate::version::Version;

/// Values longer than this are announced without their data: whoever wants them reads them. So what
/// waits for a slow subscriber, and what goes between nodes, stays small.
pub const CARRIED_BYTES_MAX: usize = 32 << 10;

/// What an event takes in memory beside its texts.
pub(super) const EVENT_BYTES: usize = 128;

/// One thing that a subscriber is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody published.
    Message(Message),
    /// A key has changed.
    Change(Change),
    /// Events were lost at this place, at least so many; 0 if nobody knows whether there were any.
    Missed(u64),
}

/// What was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// To this channel.
    pub channel: Bytes,
    /// The pattern by which the subscriber has it, if not by the channel's name.
    pub pattern: Option<Bytes>,
    /// What it is.
    pub payload: Bytes,
}

/// What became of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Bytes,
    /// What became of it.
    pub what: What,
}

/// What became of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It has this value now.
    Put(Entry),
    /// It has a value of this version now, which is too long to be told: it is there to be read.
    PutLong(Version),
    /// It was deleted, by a write of this version.
    Deleted(Version),
    /// The time of its value, of this version, has come.
    Expired(Version),
    /// Its value, of this version, made room for others.
    Evicted(Version),
}

/// The place of a change among all changes to its key: a value goes after it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// The version of the value, or of the delete.
    pub version: Version,
    /// Whether it is gone again.
    pub gone: bool,
}

impl What {
    /// What a write led to: an entry, which may be a tombstone. It is copied, so that what waits to
    /// be told keeps nothing else in memory.
    #[must_use]
    pub fn of(entry: EntryRef<'_>) -> What {
        if entry.kind == Kind::Tombstone {
            What::Deleted(entry.version)
        } else if entry.stored_bytes() > CARRIED_BYTES_MAX {
            What::PutLong(entry.version)
        } else {
            What::Put(entry.to_entry())
        }
    }

    /// When that was, among the changes to the key.
    #[must_use]
    pub fn moment(&self) -> Moment {
        let (version, gone) = match self {
            What::Put(entry) => (entry.version, false),
            What::PutLong(version) => (*version, false),
            What::Deleted(version) | What::Expired(version) | What::Evicted(version) => {
                (*version, true)
            }
        };
        Moment { version, gone }
    }
}

impl Message {
    /// As [`Change::detach`].
    pub(super) fn detach(self) -> Message {
        Message {
            channel: Bytes::copy_from_slice(&self.channel),
            payload: Bytes::copy_from_slice(&self.payload),
            ..self
        }
    }
}

impl Event {
    /// What it takes while it waits.
    #[must_use]
    pub fn bytes(&self) -> usize {
        EVENT_BYTES + self.text_bytes()
    }

    /// Of that, what its clones have together.
    pub(super) fn text_bytes(&self) -> usize {
        match self {
            Event::Message(message) => message.channel.len() + message.payload.len(),
            Event::Change(change) => change.bytes(),
            Event::Missed(_) => 0,
        }
    }
}

impl Change {
    /// A copy that keeps no more in memory than it needs: what came in from another node is a part
    /// of a frame.
    pub(super) fn detach(self) -> Change {
        let what = match self.what {
            What::Put(entry) => What::Put(entry.as_ref().to_entry()),
            what => what,
        };
        Change {
            key: Bytes::copy_from_slice(&self.key),
            what,
        }
    }

    fn bytes(&self) -> usize {
        let data = match &self.what {
            What::Put(entry) => entry.data.len(),
            _ => 0,
        };
        self.key.len() + data
    }
}
