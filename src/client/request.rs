//! What a [`Cache`](super::Cache) is asked, and what it answers.
//!
//! One request is about one key, but for the last three. Each way to a node reads the same requests:
//! `local` makes commands of them, `network` messages.

use std::time::Duration;

use bytes::Bytes;

use super::{Condition, End, Error, Lifetime, PutOptions, Reply, Version, Versioned};

/// What is asked. The typed methods of [`Cache`](super::Cache) say what each means, and make them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// The value as JSON: [`Response::Value`].
    Get(String),
    /// Replace the value: [`Response::Written`].
    Put {
        /// Of this key.
        key: String,
        /// By this.
        value: Stored,
        /// For how long, and when.
        options: PutOptions,
    },
    /// Remove the value: 1, or 0 if there was none.
    Delete {
        /// Of this key.
        key: String,
        /// When.
        condition: Condition,
    },
    /// Change a document: [`Response::Bytes`], the document then.
    Merge {
        /// Of this key.
        key: String,
        /// The merge patch, JSON text.
        patch: Bytes,
    },
    /// The values at a path: [`Response::Bytes`], a JSON array.
    Query {
        /// In the document of this key.
        key: String,
        /// JSONPath.
        path: String,
    },
    /// The value as bytes: [`Response::Value`].
    GetBytes(String),
    /// What a counter stands at: [`Response::Integer`].
    Counter(String),
    /// Add to a counter: [`Response::Integer`], what it stands at then.
    Increment {
        /// Of this key.
        key: String,
        /// So much.
        by: i64,
        /// How long a counter lives that this makes.
        ttl: Option<Duration>,
    },
    /// Whether a flag is set: 1 or 0.
    Flag(String),
    /// Add members: how many are new.
    SetAdd(String, Vec<Bytes>),
    /// Remove members: how many were there.
    SetRemove(String, Vec<Bytes>),
    /// Whether there is a member: 1 or 0.
    SetContains(String, Bytes),
    /// All members: [`Response::Items`].
    SetMembers(String),
    /// How many members there are.
    SetLength(String),
    /// The value of a field: [`Response::Bytes`].
    HashGet(String, Bytes),
    /// All fields: [`Response::Pairs`].
    HashGetAll(String),
    /// Set fields: how many are new.
    HashSet(String, Vec<(Bytes, Bytes)>),
    /// Remove fields: how many were there.
    HashRemove(String, Vec<Bytes>),
    /// Add to a field: what it is then.
    HashIncrement(String, Bytes, i64),
    /// How many fields there are.
    HashLength(String),
    /// Add elements: how many there are then.
    ListPush(String, End, Vec<Bytes>),
    /// Take an element: [`Response::Bytes`].
    ListPop(String, End),
    /// The elements from one place to another: [`Response::Items`].
    ListRange(String, i64, i64),
    /// How many elements there are.
    ListLength(String),
    /// What is left of a value's life, in milliseconds; -1 is for ever.
    Lifetime(String),
    /// Let a value live so long: 1, or 0 if that changes nothing.
    SetLifetime(String, Lifetime),
    /// Carry out a command of the Redis protocol: [`Response::Reply`].
    Run(Vec<Bytes>),
    /// A page of keys: [`Response::Page`].
    Scan {
        /// Where to go on; 0 to begin.
        cursor: u64,
        /// Which: a glob.
        pattern: Bytes,
        /// About so many are looked at.
        count: u64,
    },
    /// Publish a message: how many heard it.
    Publish {
        /// Where.
        channel: Bytes,
        /// What.
        message: Bytes,
    },
}

/// A whole value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// JSON text.
    Json(Bytes),
    /// Bytes, whatever they are.
    Bytes(Bytes),
    /// A counter.
    Counter(i64),
    /// A flag.
    Flag(bool),
}

/// What is answered.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Response {
    /// There is no such key, field or element.
    Nothing,
    /// A value, with its version and what is left of its life.
    Value(Versioned<Bytes>),
    /// It was written; the version of the value then.
    Written(Version),
    /// A number; 1 and 0 for yes and no.
    Integer(i64),
    /// One value.
    Bytes(Bytes),
    /// Values, in order if they have one.
    Items(Vec<Bytes>),
    /// Fields with their values.
    Pairs(Vec<(Bytes, Bytes)>),
    /// What a raw command replied.
    Reply(Reply),
    /// A part of a scan.
    Page {
        /// Where to go on; 0 at the end.
        next: u64,
        /// The keys.
        keys: Vec<Bytes>,
    },
}

impl Request {
    /// Whether it only reads.
    #[must_use]
    pub fn is_read(&self) -> bool {
        use Request::{
            Counter, Flag, Get, GetBytes, HashGet, HashGetAll, HashLength, Lifetime, ListLength,
            ListRange, Query, Scan, SetContains, SetLength, SetMembers,
        };
        matches!(
            self,
            Get(_)
                | Query { .. }
                | GetBytes(_)
                | Counter(_)
                | Flag(_)
                | SetContains(..)
                | SetMembers(_)
                | SetLength(_)
                | HashGet(..)
                | HashGetAll(_)
                | HashLength(_)
                | ListRange(..)
                | ListLength(_)
                | Lifetime(_)
                | Scan { .. }
        )
    }

    /// Whether carrying it out again does no harm though nobody knows whether it was carried out:
    /// all but messages, and what goes to the node as a command, which has no name: a raw one, or a
    /// lifetime, which would begin anew or undo what was set meanwhile.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        use Request::{Publish, Run, SetLifetime};
        !matches!(self, Run(_) | Publish { .. } | SetLifetime(..))
    }
}

/// What a typed method makes of an answer. One of another form is a defect of the client.
impl Response {
    pub(super) fn versioned(self) -> Result<Option<Versioned<Bytes>>, Error> {
        match self {
            Response::Value(value) => Ok(Some(value)),
            Response::Nothing => Ok(None),
            _ => Err(Error::unexpected()),
        }
    }

    pub(super) fn version(self) -> Result<Version, Error> {
        match self {
            Response::Written(version) => Ok(version),
            _ => Err(Error::unexpected()),
        }
    }

    pub(super) fn optional_integer(self) -> Result<Option<i64>, Error> {
        match self {
            Response::Integer(number) => Ok(Some(number)),
            Response::Nothing => Ok(None),
            _ => Err(Error::unexpected()),
        }
    }

    pub(super) fn integer(self) -> Result<i64, Error> {
        self.optional_integer()?.ok_or_else(Error::unexpected)
    }

    pub(super) fn count(self) -> Result<u64, Error> {
        u64::try_from(self.integer()?).map_err(|_| Error::unexpected())
    }

    pub(super) fn yes(self) -> Result<bool, Error> {
        Ok(self.integer()? == 1)
    }

    pub(super) fn bytes(self) -> Result<Option<Bytes>, Error> {
        match self {
            Response::Bytes(bytes) => Ok(Some(bytes)),
            Response::Nothing => Ok(None),
            _ => Err(Error::unexpected()),
        }
    }

    pub(super) fn items(self) -> Result<Vec<Bytes>, Error> {
        match self {
            Response::Items(items) => Ok(items),
            Response::Nothing => Ok(Vec::new()),
            _ => Err(Error::unexpected()),
        }
    }

    pub(super) fn pairs(self) -> Result<Vec<(Bytes, Bytes)>, Error> {
        match self {
            Response::Pairs(pairs) => Ok(pairs),
            Response::Nothing => Ok(Vec::new()),
            _ => Err(Error::unexpected()),
        }
    }

    pub(super) fn reply(self) -> Result<Reply, Error> {
        match self {
            Response::Reply(reply) => Ok(reply),
            _ => Err(Error::unexpected()),
        }
    }

    pub(super) fn page(self) -> Result<(u64, Vec<Bytes>), Error> {
        match self {
            Response::Page { next, keys } => Ok((next, keys)),
            _ => Err(Error::unexpected()),
        }
    }
}
