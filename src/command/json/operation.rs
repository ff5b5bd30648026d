//! What clients do to a document, or a part of it: the JSON commands of Redis.
//!
//! [`Operation::run`] is a pure function of the present document, if there is one, to a [`Change`]
//! and an [`Answer`]. Paths travel as text between nodes, and are read where the document is.
//! [`apply`](crate::command::apply) calls it under the lock of the key's writer.
//!
//! # What is answered
//!
//! A path that begins with `$` selects any number of values, and each has its part in the answer. A
//! legacy path (`.a`, `a`, `.`) is answered with a single value. Without a document:
//!
//! | operation | `$…` | legacy | no document |
//! |---|---|---|---|
//! | `Get`, one path | text: array of the values | text: the first value, or [`Missing`](Error::Missing) | nothing |
//! | `Get`, several | text: object of arrays | text: object of values, if all are legacy | nothing |
//! | `Set` | ok, or nothing if the condition fails or there is no object to create it in | the same | at the root ok; nothing with `Present`; otherwise [`NotAtRoot`](Error::NotAtRoot) |
//! | `Delete` | integer: how many | the same | 0 |
//! | `Merge` | ok, or nothing if there is no object to create it in | the same | at the root ok, otherwise [`NotAtRoot`](Error::NotAtRoot) |
//! | `Type` | list of names | name of the first, or nothing | nothing |
//! | `NumIncrBy` | numbers, nothing for what is none | the last sum, or [`Mismatch`](Error::Mismatch) | [`NoDocument`](Error::NoDocument) |
//! | `ArrAppend` | list of lengths, nothing for what is no array | the last length, or [`Mismatch`](Error::Mismatch) | [`NoDocument`](Error::NoDocument) |
//! | `ArrLen` | list of lengths, nothing for what is no array | the first length; [`Missing`](Error::Missing), [`Mismatch`](Error::Mismatch) | [`NoDocument`](Error::NoDocument); legacy nothing |
//! | `ObjKeys` | list of lists, nothing for what is no object | the first's list; nothing if there is none; [`Mismatch`](Error::Mismatch) | [`NoDocument`](Error::NoDocument); legacy nothing |
//!
//! `JSON.MGET` is a `Get` of one path for each key, in which [`Missing`](Error::Missing), a wrong
//! type and no document are answered with nothing.
//!
//! # Where this differs from Redis
//!
//! - Numbers, names and escapes stay as they were written, and members in their order.
//! - The sum of two whole numbers beyond 64 bits is an error; Redis wraps around, or goes on in
//!   double precision.
//! - A path that cannot be read is an error also among several of a `Get`.
//! - A value that a path selects twice is changed once.
//! - If one of several values cannot be changed, none is.
//! - `Merge` follows RFC 7396 also where it creates: members that are `null` are left out.
//! - `NumIncrBy` at a legacy path is the same error in both versions of the protocol.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::path::{self, Deleted, Error, Expected, Path, When};
use crate::command::Limits;

#[cfg(test)]
mod tests;

/// Something to be done to a document. Values and patches are as [`compact`](super::compact)
/// returns them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// Read at some paths.
    Get {
        /// Which; none is the root, as a legacy path.
        paths: Vec<String>,
    },
    /// Write a value wherever a path leads, or create it.
    Set {
        /// Where.
        path: String,
        /// What.
        value: Bytes,
        /// When.
        condition: When,
    },
    /// Remove what a path selects; the root removes the key.
    Delete {
        /// Which.
        path: String,
    },
    /// Apply a merge patch to what a path selects, or create it.
    Merge {
        /// Where.
        path: String,
        /// The patch.
        patch: Bytes,
    },
    /// Tell the types of what a path selects.
    Type {
        /// Which.
        path: String,
    },
    /// Add to the numbers that a path selects.
    NumIncrBy {
        /// Which.
        path: String,
        /// What to add: a JSON number.
        by: String,
    },
    /// Add elements at the end of the arrays that a path selects.
    ArrAppend {
        /// Which.
        path: String,
        /// The elements.
        values: Vec<Bytes>,
    },
    /// Tell the lengths of the arrays that a path selects.
    ArrLen {
        /// Which.
        path: String,
    },
    /// Tell the member names of the objects that a path selects.
    ObjKeys {
        /// Which.
        path: String,
    },
}

/// What one of several things takes beside its bytes.
const ITEM_BYTES: usize = 8;

/// What becomes of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It stays.
    None,
    /// It is now this.
    Put(Bytes),
    /// It is gone.
    Delete,
}

/// What an operation answers; a door prints it as its protocol wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// There is nothing: nil.
    Nothing,
    /// It was done.
    Ok,
    /// A count or a length.
    Integer(i64),
    /// JSON text, a type or a name.
    Text(Bytes),
    /// Answers for each of several values.
    List(Vec<Element>),
    /// Names, of the one object that was asked for.
    Names(Vec<Bytes>),
    /// Sums, as they are written in the document; `None` for what is no number.
    Numbers {
        /// One for each value that was selected.
        sums: Vec<Option<Bytes>>,
        /// Whether the path was a legacy one, so that the last sum is the answer where an answer is
        /// text ([`json`](Answer::json)).
        single: bool,
    },
}

/// The answer for one of several values. Answers do not nest: a peer could send one that nests as deep
/// as the stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Element {
    /// There is nothing: nil.
    Nothing,
    /// A length.
    Integer(i64),
    /// A type.
    Text(Bytes),
    /// The names of an object's members.
    Names(Vec<Bytes>),
}

impl Answer {
    /// Bytes of what is in it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let names = |names: &[Bytes]| -> usize { names.iter().map(|n| n.len() + ITEM_BYTES).sum() };
        match self {
            Answer::Nothing | Answer::Ok | Answer::Integer(_) => ITEM_BYTES,
            Answer::Text(text) => text.len(),
            Answer::Names(all) => names(all),
            Answer::List(elements) => {
                let bytes = |element: &Element| match element {
                    Element::Nothing | Element::Integer(_) => ITEM_BYTES,
                    Element::Text(text) => text.len() + ITEM_BYTES,
                    Element::Names(all) => names(all) + ITEM_BYTES,
                };
                elements.iter().map(bytes).sum()
            }
            Answer::Numbers { sums, .. } => {
                let length = |sum: &Option<Bytes>| sum.as_ref().map_or(0, Bytes::len) + ITEM_BYTES;
                sums.iter().map(length).sum()
            }
        }
    }

    /// The answer as JSON text, where the protocol has none other for it: sums are `[1,null,2.5]`,
    /// or the last one alone at a legacy path. `None` if it is neither text nor sums.
    #[must_use]
    pub fn json(&self) -> Option<Bytes> {
        match self {
            Answer::Text(text) => Some(text.clone()),
            Answer::Numbers { sums, single: true } => sums.iter().flatten().next_back().cloned(),
            Answer::Numbers { sums, .. } => {
                let sums = sums.iter();
                let texts = sums.map(|sum| sum.as_deref().unwrap_or(b"null"));
                let joined = texts.collect::<Vec<_>>().join(&b","[..]);
                Some([b"[", &joined[..], b"]"].concat().into())
            }
            _ => None,
        }
    }
}

impl Operation {
    /// Whether it changes nothing, whatever the document is.
    #[must_use]
    pub fn is_read(&self) -> bool {
        match self {
            Operation::Get { .. }
            | Operation::Type { .. }
            | Operation::ArrLen { .. }
            | Operation::ObjKeys { .. } => true,
            Operation::Set { .. }
            | Operation::Delete { .. }
            | Operation::Merge { .. }
            | Operation::NumIncrBy { .. }
            | Operation::ArrAppend { .. } => false,
        }
    }

    /// What it holds in memory beside itself, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Operation::Get { paths } => {
                let path = |path: &String| path.len() + size_of::<String>();
                paths.iter().map(path).sum()
            }
            Operation::Set { path, value, .. } => path.len() + value.len(),
            Operation::Merge { path, patch } => path.len() + patch.len(),
            Operation::NumIncrBy { path, by } => path.len() + by.len(),
            Operation::ArrAppend { path, values } => {
                let value = |value: &Bytes| value.len() + size_of::<Bytes>();
                path.len() + values.iter().map(value).sum::<usize>()
            }
            Operation::Delete { path }
            | Operation::Type { path }
            | Operation::ArrLen { path }
            | Operation::ObjKeys { path } => path.len(),
        }
    }

    /// Carries it out on the present document, if there is one: a compact one, as
    /// [`compact`](super::compact) leaves it.
    ///
    /// # Errors
    /// When a path cannot be read or leads to something else than the operation needs, or when a
    /// limit is passed; then nothing changes.
    pub fn run(&self, document: Option<&[u8]>, limits: &Limits) -> Result<(Change, Answer), Error> {
        // Most of them look at all that they are given.
        if document.map_or(0, <[u8]>::len) + self.bytes() > limits.work_max {
            return Err(Error::TooMuchWork);
        }
        match self {
            Operation::Get { paths } => get(document, paths, limits).map(read),
            Operation::Set {
                path,
                value,
                condition,
            } => set(document, &Path::parse(path)?, value, *condition, limits),
            Operation::Delete { path } => delete(document, &Path::parse(path)?, limits),
            Operation::Merge { path, patch } => merge(document, &Path::parse(path)?, patch, limits),
            Operation::Type { path } => types(document, &Path::parse(path)?, limits).map(read),
            Operation::NumIncrBy { path, by } => {
                num_incr_by(document, &Path::parse(path)?, by.as_bytes(), limits)
            }
            Operation::ArrAppend { path, values } => {
                arr_append(document, &Path::parse(path)?, values, limits)
            }
            Operation::ArrLen { path } => arr_len(document, &Path::parse(path)?, limits).map(read),
            Operation::ObjKeys { path } => {
                obj_keys(document, &Path::parse(path)?, limits).map(read)
            }
        }
    }
}

fn read(answer: Answer) -> (Change, Answer) {
    (Change::None, answer)
}

fn put(document: Vec<u8>, answer: Answer) -> (Change, Answer) {
    (Change::Put(document.into()), answer)
}

fn written(document: Option<Vec<u8>>) -> (Change, Answer) {
    match document {
        Some(document) => put(document, Answer::Ok),
        None => (Change::None, Answer::Nothing),
    }
}

fn length(length: usize) -> Answer {
    Answer::Integer(i64::try_from(length).unwrap_or(i64::MAX))
}

fn list<T>(items: Vec<Option<T>>, element: impl Fn(T) -> Element) -> Answer {
    let elements = items
        .into_iter()
        .map(|item| item.map_or(Element::Nothing, &element));
    Answer::List(elements.collect())
}

fn lengths(items: Vec<Option<usize>>) -> Answer {
    list(items, |length| {
        Element::Integer(i64::try_from(length).unwrap_or(i64::MAX))
    })
}

fn missing(path: &Path) -> Error {
    let path = path.as_str().to_owned();
    Error::Missing { path }
}

fn mismatch(path: &Path, expected: Expected) -> Error {
    let path = path.as_str().to_owned();
    Error::Mismatch { path, expected }
}

fn get(document: Option<&[u8]>, paths: &[String], limits: &Limits) -> Result<Answer, Error> {
    let read: Result<Vec<_>, _> = paths.iter().map(|path| Path::parse(path)).collect();
    let mut paths = read?;
    if paths.is_empty() {
        paths.push(Path::parse(".")?);
    }
    let Some(document) = document else {
        return Ok(Answer::Nothing);
    };
    Ok(Answer::Text(path::get(document, &paths, limits)?.into()))
}

fn set(
    document: Option<&[u8]>,
    path: &Path,
    value: &[u8],
    condition: When,
    limits: &Limits,
) -> Result<(Change, Answer), Error> {
    match document {
        Some(document) => path::set(document, path, value, condition, limits).map(written),
        None if condition == When::Present => Ok((Change::None, Answer::Nothing)),
        // What is there before makes no difference to the root, unless by the condition.
        None if path.is_root() => {
            path::set(b"null", path, value, When::Always, limits).map(written)
        }
        None => Err(Error::NotAtRoot),
    }
}

fn delete(
    document: Option<&[u8]>,
    path: &Path,
    limits: &Limits,
) -> Result<(Change, Answer), Error> {
    let Some(document) = document else {
        return Ok(read(Answer::Integer(0)));
    };
    Ok(match path::delete(document, path, limits)? {
        Deleted::Nothing => read(Answer::Integer(0)),
        Deleted::All => (Change::Delete, Answer::Integer(1)),
        Deleted::Some { count, document } => put(document, length(count)),
    })
}

fn merge(
    document: Option<&[u8]>,
    path: &Path,
    patch: &[u8],
    limits: &Limits,
) -> Result<(Change, Answer), Error> {
    match document {
        Some(document) => path::merge(document, path, patch, limits).map(written),
        None if path.is_root() => path::merge(b"{}", path, patch, limits).map(written),
        None => Err(Error::NotAtRoot),
    }
}

fn types(document: Option<&[u8]>, path: &Path, limits: &Limits) -> Result<Answer, Error> {
    let Some(document) = document else {
        return Ok(Answer::Nothing);
    };
    let name = |name: path::TypeName| Bytes::from_static(name.as_str().as_bytes());
    let mut types = path::types(document, path, limits)?.into_iter();
    if path.is_legacy() {
        return Ok(types
            .next()
            .map_or(Answer::Nothing, |first| Answer::Text(name(first))));
    }
    Ok(Answer::List(
        types.map(|one| Element::Text(name(one))).collect(),
    ))
}

fn num_incr_by(
    document: Option<&[u8]>,
    path: &Path,
    by: &[u8],
    limits: &Limits,
) -> Result<(Change, Answer), Error> {
    let document = document.ok_or(Error::NoDocument)?;
    let changed = path::num_incr_by(document, path, by, limits)?;
    let single = path.is_legacy();
    if single && changed.document.is_none() {
        return Err(mismatch(path, Expected::Number));
    }
    let sums = changed.each;
    let answer = Answer::Numbers { sums, single };
    Ok(changed_to(changed.document, answer))
}

fn changed_to(changed: Option<Vec<u8>>, answer: Answer) -> (Change, Answer) {
    match changed {
        Some(document) => put(document, answer),
        None => read(answer),
    }
}

fn arr_append(
    document: Option<&[u8]>,
    path: &Path,
    values: &[Bytes],
    limits: &Limits,
) -> Result<(Change, Answer), Error> {
    let document = document.ok_or(Error::NoDocument)?;
    let path::Changed {
        document: changed,
        each: lengths,
    } = path::arr_append(document, path, values, limits)?;
    let answer = if path.is_legacy() {
        let last = lengths.into_iter().flatten().next_back();
        length(last.ok_or_else(|| mismatch(path, Expected::Array))?)
    } else {
        self::lengths(lengths)
    };
    Ok(changed_to(changed, answer))
}

fn arr_len(document: Option<&[u8]>, path: &Path, limits: &Limits) -> Result<Answer, Error> {
    let Some(document) = document else {
        return without_document(path);
    };
    let lengths = path::arr_len(document, path, limits)?;
    if !path.is_legacy() {
        return Ok(self::lengths(lengths));
    }
    let first = lengths.into_iter().next().ok_or_else(|| missing(path))?;
    first
        .map(length)
        .ok_or_else(|| mismatch(path, Expected::Array))
}

fn obj_keys(document: Option<&[u8]>, path: &Path, limits: &Limits) -> Result<Answer, Error> {
    let Some(document) = document else {
        return without_document(path);
    };
    let keys = path::obj_keys(document, path, limits)?;
    if !path.is_legacy() {
        return Ok(list(keys, Element::Names));
    }
    match keys.into_iter().next() {
        None => Ok(Answer::Nothing),
        Some(first) => first
            .map(Answer::Names)
            .ok_or_else(|| mismatch(path, Expected::Object)),
    }
}

fn without_document(path: &Path) -> Result<Answer, Error> {
    if path.is_legacy() {
        Ok(Answer::Nothing)
    } else {
        Err(Error::NoDocument)
    }
}
