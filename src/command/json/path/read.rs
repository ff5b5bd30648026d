//! Reading at a path: values, types, lengths and names, as they are written in the document.

use std::collections::HashSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::budget::Budget;
use super::children::Children;
use super::error::Error;
use super::locate::{Located, Match, locate, locate_within};
use super::number;
use super::{ANSWER_BYTES_MAX, Path};
use crate::command::Limits;
use crate::command::json::text::decode;
use crate::command::json::{Type, type_of, write_string};

/// What types are called in answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TypeName {
    /// `null`
    Null,
    /// `true` or `false`
    Boolean,
    /// A number without fraction and exponent, of 64 bits.
    Integer,
    /// Any other number.
    Number,
    /// Text in quotes.
    String,
    /// Members in braces.
    Object,
    /// Elements in brackets.
    Array,
}

impl TypeName {
    /// Of a compact value.
    #[must_use]
    pub fn of(value: &[u8]) -> TypeName {
        match type_of(value) {
            Type::Null => TypeName::Null,
            Type::True | Type::False => TypeName::Boolean,
            Type::Number if number::whole(value).is_some() => TypeName::Integer,
            Type::Number => TypeName::Number,
            Type::String => TypeName::String,
            Type::Object => TypeName::Object,
            Type::Array => TypeName::Array,
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            TypeName::Null => "null",
            TypeName::Boolean => "boolean",
            TypeName::Integer => "integer",
            TypeName::Number => "number",
            TypeName::String => "string",
            TypeName::Object => "object",
            TypeName::Array => "array",
        }
    }
}

/// The values that a path selects, in the order of RFC 9535.
///
/// # Errors
/// When they are too many, or too hard to find.
pub fn select<'d>(document: &'d [u8], path: &Path) -> Result<Vec<&'d [u8]>, Error> {
    let located = all(document, path, usize::MAX)?;
    Ok(texts(document, &located).collect())
}

pub(super) fn all(document: &[u8], path: &Path, work_max: usize) -> Result<Located, Error> {
    locate(document, path, path.query.segments.len(), work_max)
}

fn texts<'d>(document: &'d [u8], located: &Located) -> impl Iterator<Item = &'d [u8]> {
    let text = |found: &Match| &document[found.value.clone()];
    located.matches.iter().map(text)
}

/// The answer to a read at some paths, as JSON text.
///
/// One JSONPath is answered with the array of the values that it selects, one legacy path with the
/// first of them. Several paths are answered with an object that has a member for each, named as
/// the path was given: of single values if all of them are legacy, of arrays otherwise. What may be
/// done for one path with all their segments may be done for all of them together.
///
/// # Errors
/// When a legacy path selects nothing where a single value is due, or the answer would be too long,
/// or too hard to find.
pub fn get(document: &[u8], paths: &[Path], limits: &Limits) -> Result<Vec<u8>, Error> {
    let single = paths.iter().all(Path::is_legacy);
    let segments = paths.iter().map(|path| path.query.segments.len()).sum();
    let mut answer = Answer {
        text: Vec::new(),
        bytes_max: ANSWER_BYTES_MAX.max(document.len() + 2),
        work_max: limits.work_max,
        budget: Budget::new(document.len(), segments, limits.work_max),
    };
    if let [path] = paths {
        answer.push_selected(document, path, single)?;
        return Ok(answer.text);
    }
    let mut before = HashSet::new();
    answer.push(b"{")?;
    for path in paths.iter().filter(|path| before.insert(path.as_str())) {
        if answer.text.len() > 1 {
            answer.push(b",")?;
        }
        write_string(path.as_str(), &mut answer.text);
        answer.push(b":")?;
        answer.push_selected(document, path, single)?;
    }
    answer.push(b"}")?;
    Ok(answer.text)
}

struct Answer {
    text: Vec<u8>,
    bytes_max: usize,
    /// To write more than this is work as well.
    work_max: usize,
    budget: Budget,
}

impl Answer {
    fn push(&mut self, text: &[u8]) -> Result<(), Error> {
        let (bytes, max) = (self.text.len() + text.len(), self.bytes_max);
        if bytes > self.work_max {
            return Err(Error::TooMuchWork);
        }
        if bytes > max {
            return Err(Error::AnswerTooLong { max });
        }
        self.text.extend_from_slice(text);
        Ok(())
    }

    fn push_selected(&mut self, document: &[u8], path: &Path, single: bool) -> Result<(), Error> {
        let budget = std::mem::take(&mut self.budget);
        let (located, budget) = locate_within(budget, document, path, path.query.segments.len())?;
        self.budget = budget;
        let mut values = texts(document, &located);
        if single {
            return self.push(values.next().ok_or_else(|| missing(path))?);
        }
        self.push(b"[")?;
        for (number, value) in values.enumerate() {
            if number > 0 {
                self.push(b",")?;
            }
            self.push(value)?;
        }
        self.push(b"]")
    }
}

fn missing(path: &Path) -> Error {
    let path = path.as_str().to_owned();
    Error::Missing { path }
}

/// The types of the values that a path selects.
///
/// # Errors
/// As for [`select`].
pub fn types(document: &[u8], path: &Path, limits: &Limits) -> Result<Vec<TypeName>, Error> {
    let located = all(document, path, limits.work_max)?;
    Ok(texts(document, &located).map(TypeName::of).collect())
}

/// How many elements each of the values that a path selects has; `None` for what is no array.
///
/// # Errors
/// As for [`select`].
pub fn arr_len(document: &[u8], path: &Path, limits: &Limits) -> Result<Vec<Option<usize>>, Error> {
    let located = all(document, path, limits.work_max)?;
    let mut budget = Budget::new(document.len(), path.query.segments.len(), limits.work_max);
    let lengths = texts(document, &located).map(|value| elements(value, &mut budget));
    lengths.collect()
}

/// How many elements an array has.
pub(super) fn elements(value: &[u8], budget: &mut Budget) -> Result<Option<usize>, Error> {
    budget.spend(0)?;
    if type_of(value) != Type::Array {
        return Ok(None);
    }
    let mut children = Children::of(value)?;
    let mut count = 0;
    while children.next(budget)?.is_some() {
        count += 1;
    }
    Ok(Some(count))
}

/// What a name costs in an answer beside its text.
const NAME_BYTES: usize = 32;

/// The member names of each of the values that a path selects, as what they mean, each once and in
/// the order in which they are written; `None` for what is no object.
///
/// # Errors
/// As for [`select`]; also when they would be too long altogether.
pub fn obj_keys(
    document: &[u8],
    path: &Path,
    limits: &Limits,
) -> Result<Vec<Option<Vec<Bytes>>>, Error> {
    let located = all(document, path, limits.work_max)?;
    let mut budget = Budget::new(document.len(), path.query.segments.len(), limits.work_max);
    let mut bytes_left = ANSWER_BYTES_MAX;
    let mut answer = Vec::with_capacity(located.matches.len());
    for value in texts(document, &located) {
        answer.push(names(value, &mut budget, &mut bytes_left)?);
    }
    Ok(answer)
}

fn names(
    value: &[u8],
    budget: &mut Budget,
    bytes_left: &mut usize,
) -> Result<Option<Vec<Bytes>>, Error> {
    budget.spend(0)?;
    if type_of(value) != Type::Object {
        return Ok(None);
    }
    let mut children = Children::of(value)?;
    let mut before = HashSet::new();
    let mut names = Vec::new();
    while let Some(child) = children.next(budget)? {
        budget.spend_step()?;
        let name = decode(child.name.unwrap_or_default());
        let max = ANSWER_BYTES_MAX;
        *bytes_left = bytes_left
            .checked_sub(name.len() + NAME_BYTES)
            .ok_or(Error::AnswerTooLong { max })?;
        if before.insert(name.clone()) {
            names.push(Bytes::copy_from_slice(&name));
        }
    }
    Ok(Some(names))
}
