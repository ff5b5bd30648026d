//! Values with what is known of them: as replies carry them, and as they lie in the table.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::collection::{Collection, View};
use crate::clock::UnixMs;
use crate::version::Version;

/// What a value is. The numbers are the ones on the wire and in memory: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Kind {
    /// A JSON document, kept as compact text.
    Json = 0,
    /// A whole number that is added to, kept as [`super::counter`] describes.
    Counter = 1,
    /// A string of bytes.
    Bytes = 2,
    /// Yes or no, kept as `true` or `false`.
    Flag = 3,
    /// Members without an order, kept as [`super::collection`] describes.
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

    /// Whether values of it have parts: see [`super::collection`].
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
    #[inline]
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
