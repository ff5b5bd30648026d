//! What a client hears of keys that it follows.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use serde::de::DeserializeOwned;

use super::{Error, Version};
use crate::clock::UnixMs;
use crate::command::{Entry, Kind, show};
use crate::watch::{Notice, Why};

/// What happens to the keys of a [`Watch`], as it happens.
pub type Changes = BoxStream<'static, Result<Event, Error>>;

/// Which keys are followed.
///
/// ```
/// use smache::client::Watch;
///
/// let buses = Watch::prefix("bus:").and_key("timetable");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// These.
    pub keys: Vec<String>,
    /// All that begin so.
    pub prefixes: Vec<String>,
}

impl Watch {
    /// One key: first what it is, then what becomes of it.
    #[must_use]
    pub fn key(key: impl Into<String>) -> Watch {
        Watch::default().and_key(key)
    }

    /// All keys that begin so, from now on.
    #[must_use]
    pub fn prefix(prefix: impl Into<String>) -> Watch {
        Watch::default().and_prefix(prefix)
    }

    /// This key as well.
    #[must_use]
    pub fn and_key(mut self, key: impl Into<String>) -> Watch {
        self.keys.push(key.into());
        self
    }

    /// All keys that begin so as well.
    #[must_use]
    pub fn and_prefix(mut self, prefix: impl Into<String>) -> Watch {
        self.prefixes.push(prefix.into());
        self
    }
}

/// One thing that a watcher is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Of a key.
    Changed(Change),
    /// Something was not told here, because this client did not keep up or its connection broke: at
    /// least so many events; 0 if nobody knows whether there were any. Keys that are followed one by
    /// one are told again as they are.
    Missed(u64),
}

/// What became of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key; any bytes.
    pub key: Bytes,
    /// What happened.
    pub what: What,
    /// What it holds now, if it does.
    pub value: Option<Value>,
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Nothing: this is what it is, at the beginning or after something was missed.
    Snapshot,
    /// It was written, or lives for another time.
    Put,
    /// It was deleted.
    Deleted,
    /// Its time had come.
    Expired,
    /// It made room for others.
    Evicted,
}

impl What {
    /// What the stream over HTTP calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            What::Snapshot => "snapshot",
            What::Put => "put",
            What::Deleted => "delete",
            What::Expired => "expire",
            What::Evicted => "evict",
        }
    }
}

/// A value as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// JSON text, whatever the type.
    pub json: String,
    /// What it is kept as: `json`, `counter`, `bytes`, `flag`, `set`, `hash` or `list`.
    pub kind: Kind,
    /// Its version, for a conditional put.
    pub version: Version,
    /// What was left of its life when it was told; `None` is for ever.
    pub ttl: Option<Duration>,
}

impl Value {
    /// The value as a type of the program.
    ///
    /// # Errors
    /// [`Error::Type`].
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Error> {
        super::parse(self.json.as_bytes())
    }

    /// A stored value, as it is told at this moment.
    pub(super) fn of(entry: &Entry, now: UnixMs) -> Result<Value, Error> {
        Ok(Value {
            json: json(entry)?,
            kind: entry.kind,
            version: entry.etag(),
            ttl: left(entry, now),
        })
    }
}

/// A stored value as JSON text.
pub(super) fn json(entry: &Entry) -> Result<String, Error> {
    let mut out = Vec::new();
    show::write(entry.as_ref(), &mut out);
    String::from_utf8(out).map_err(|_| Error::unexpected())
}

/// What is left of the life of a stored value.
pub(super) fn left(entry: &Entry, now: UnixMs) -> Option<Duration> {
    let expires_at = entry.expires_at?;
    Some(Duration::from_millis(now.ms_until(expires_at)))
}

impl Event {
    /// What a watch of a node in this process tells.
    pub(super) fn of(notice: Notice, now: UnixMs) -> Result<Event, Error> {
        let (key, what, entry) = match notice {
            Notice::Snapshot { key, entry } => (key, What::Snapshot, entry),
            Notice::Put { key, entry } => (key, What::Put, Some(entry)),
            Notice::Gone { key, why, .. } => {
                let what = match why {
                    Why::Deleted => What::Deleted,
                    Why::Expired => What::Expired,
                    Why::Evicted => What::Evicted,
                };
                (key, what, None)
            }
            Notice::Missed(count) => return Ok(Event::Missed(count)),
        };
        let value = entry.map(|entry| Value::of(&entry, now)).transpose()?;
        Ok(Event::Changed(Change { key, what, value }))
    }
}
