//! Operations of the data types, each in the room of its type.
//!
//! An operation reads the present value and answers with a `Change` and an [`Answer`]; it changes
//! nothing itself. What is the same for all of them (conditions, versions, limits, what becomes of
//! an expiry) is done once, in [`apply`](super::apply).

use bytes::Bytes;
use rapidhash::RapidHashSet;
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::collection::{Delta, View};
use super::{EntryRef, Error, Expiry, Kind, Limits, hash, json, lifetime, list, set, string};
use crate::clock::UnixMs;

/// What is done with a value of some type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// With a value of any type, and with how long it lives.
    Lifetime(lifetime::Operation),
    /// With a string of bytes.
    String(string::Operation),
    /// With a set.
    Set(set::Operation),
    /// With a hash.
    Hash(hash::Operation),
    /// With a list.
    List(list::Operation),
    /// With a document.
    Json(json::Operation),
}

impl Operation {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_read(&self) -> bool {
        match self {
            Operation::Lifetime(operation) => operation.is_read(),
            Operation::String(operation) => operation.is_read(),
            Operation::Set(operation) => operation.is_read(),
            Operation::Hash(operation) => operation.is_read(),
            Operation::List(operation) => operation.is_read(),
            Operation::Json(operation) => operation.is_read(),
        }
    }

    pub(super) fn inspects(&self) -> bool {
        matches!(
            self,
            Operation::Lifetime(lifetime::Operation::Inspect { .. })
        )
    }

    /// What it holds in memory beside itself, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Operation::Lifetime(_) => 0,
            Operation::String(operation) => operation.bytes(),
            Operation::Set(operation) => operation.bytes(),
            Operation::Hash(operation) => operation.bytes(),
            Operation::List(operation) => operation.bytes(),
            Operation::Json(operation) => operation.bytes(),
        }
    }

    /// What it makes of a key without a value, or of one that it replaces.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Operation::Lifetime(_) | Operation::String(_) => Kind::Bytes,
            Operation::Set(_) => Kind::Set,
            Operation::Hash(_) => Kind::Hash,
            Operation::List(_) => Kind::List,
            Operation::Json(_) => Kind::Json,
        }
    }

    /// Reads the present value.
    ///
    /// # Errors
    /// When the value or an argument does not fit.
    pub(super) fn run(&self, at: At<'_>) -> Result<(Change, Answer), Error> {
        match self {
            Operation::Lifetime(operation) => operation.run(at),
            Operation::String(operation) => operation.run(at),
            Operation::Set(operation) => operation.run(at.view(Kind::Set)?, at.limits),
            Operation::Hash(operation) => operation.run(at.view(Kind::Hash)?, at.limits),
            Operation::List(operation) => operation.run(at.view(Kind::List)?, at.limits),
            Operation::Json(operation) => of_document(operation, at),
        }
    }
}

/// Where and when an operation is carried out.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<'a> {
    /// The present value.
    pub(super) current: Option<EntryRef<'a>>,
    /// The present moment.
    pub(super) now: UnixMs,
    /// What bounds a value.
    pub(super) limits: &'a Limits,
}

impl<'a> At<'a> {
    /// The present value as a collection of this kind.
    pub(super) fn view(&self, wanted: Kind) -> Result<View<'a>, Error> {
        match self.current {
            None => Ok(View::Empty),
            Some(entry) if entry.kind == wanted => Ok(entry.view()),
            Some(entry) => Err(Error::WrongType {
                found: entry.kind,
                wanted,
            }),
        }
    }
}

/// What an operation makes of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It stays as it is.
    None,
    /// It is now this.
    Put {
        kind: Kind,
        data: Bytes,
        expiry: Expiry,
    },
    /// A part of it changes; a collection that is not there begins empty.
    Delta(Delta),
    /// It goes.
    Delete,
}

/// What an operation makes of a document, which keeps its time to live.
fn of_document(operation: &json::Operation, at: At<'_>) -> Result<(Change, Answer), Error> {
    let document = match at.current {
        None => None,
        Some(entry) if entry.kind == Kind::Json => Some(entry.data),
        Some(entry) => {
            return Err(Error::WrongType {
                found: entry.kind,
                wanted: Kind::Json,
            });
        }
    };
    let (change, answer) = operation.run(document, at.limits)?;
    let change = match change {
        json::Change::None => Change::None,
        json::Change::Delete => Change::Delete,
        json::Change::Put(data) => Change::Put {
            kind: Kind::Json,
            data,
            expiry: Expiry::Keep,
        },
    };
    Ok((change, Answer::Document(answer)))
}

/// Sums up lengths.
pub(super) fn lengths(items: &[Bytes]) -> usize {
    items
        .iter()
        .map(|item| item.len() + size_of::<Bytes>())
        .sum()
}

/// Says of each of `items`, asked for in their order, whether it has not come before.
pub(super) fn first_of_each<'a>(items: &'a [Bytes]) -> impl FnMut(&&'a Bytes) -> bool {
    let mut seen = RapidHashSet::default();
    let alone = items.len() == 1;
    move |item| alone || seen.insert(&item[..])
}

/// A copy that outlives the table's lock.
pub(super) fn owned(item: &[u8]) -> Bytes {
    Bytes::copy_from_slice(item)
}

/// Refuses an answer that has become too long.
pub(super) fn check_answer(bytes: usize, limits: &Limits) -> Result<(), Error> {
    let max = limits.value_bytes_max;
    if bytes > max {
        return Err(Error::AnswerTooLarge { max });
    }
    Ok(())
}
