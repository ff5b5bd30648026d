//! Strings of bytes. A counter is one as well, its decimal text; what changes a part of it makes a
//! plain string of it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::apply::check_size;
use super::operation::{At, Change, owned};
use super::{EntryRef, Error, Expiry, Kind, Limits, decimal};
use crate::clock::UnixMs;

/// What is done with a string.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// Adds to its end; answers its length then.
    Append(Bytes),
    /// The bytes from one place to another, both included; negative ones count from the end.
    Range(i64, i64),
    /// Replaces what is from a place on, after zeros if it is shorter; answers its length then.
    SetRange(u64, Bytes),
    /// Its length in bytes; 0 if there is none.
    Length,
    /// Makes it this, whatever was there.
    Set {
        /// What it is then.
        data: Bytes,
        /// How long it lives.
        expiry: Expiry,
        /// When.
        only: Only,
        /// Whether the string that was there is answered with, rather than that it was done; then
        /// what was there must be a string.
        answers_previous: bool,
    },
    /// Takes it away, and answers with it.
    Take,
    /// The string; and it lives so long from now on.
    GetAndExpire(Expiry),
    /// Adds to a number that may have a fraction; the text of what to add.
    IncrementFloat(Bytes),
    /// Sets the bit at a place, the first one being the highest of the first byte, after zeros if
    /// the string is shorter; answers what it was.
    SetBit(u64, bool),
}

/// When a value is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Only {
    /// Always.
    #[default]
    Always,
    /// Only if there is none.
    IfAbsent,
    /// Only if there is one.
    IfPresent,
}

impl Operation {
    pub(super) fn is_read(&self) -> bool {
        matches!(self, Operation::Range(..) | Operation::Length)
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Operation::Append(data)
            | Operation::SetRange(_, data)
            | Operation::Set { data, .. }
            | Operation::IncrementFloat(data) => data.len(),
            _ => 0,
        }
    }

    pub(super) fn run(&self, at: At<'_>) -> Result<(Change, Answer), Error> {
        if let Operation::Set {
            data,
            expiry,
            only,
            answers_previous,
        } = self
        {
            return set(at, data, *expiry, *only, *answers_previous);
        }
        let current = text(at.current)?;
        let present = current.unwrap_or_default();
        let found = || current.map_or(Answer::Nothing, |data| Answer::Bytes(owned(data)));
        match self {
            Operation::Append(data) if data.is_empty() && current.is_some() => {
                Ok((Change::None, length(present)))
            }
            Operation::Append(data) => {
                check_size(present.len() + data.len(), at.limits)?;
                Ok(put([present, data].concat()))
            }
            Operation::Range(first, last) => {
                let range = range(present, *first, *last);
                Ok((Change::None, Answer::Bytes(owned(range))))
            }
            Operation::SetRange(_, data) if data.is_empty() => Ok((Change::None, length(present))),
            Operation::SetRange(offset, data) => set_range(present, *offset, data, at.limits),
            Operation::Length => Ok((Change::None, length(present))),
            Operation::Take => match current {
                Some(_) => Ok((Change::Delete, found())),
                None => Ok((Change::None, Answer::Nothing)),
            },
            Operation::GetAndExpire(expiry) => {
                let Some(entry) = at.current else {
                    return Ok((Change::None, Answer::Nothing));
                };
                Ok((super::lifetime::expire(entry, *expiry, at.now), found()))
            }
            Operation::IncrementFloat(by) => {
                let sum = decimal::add(current.unwrap_or(b"0"), by)?;
                let (change, _) = put(sum.to_vec());
                Ok((change, Answer::Bytes(sum)))
            }
            Operation::SetBit(place, bit) => set_bit(at.current, present, *place, *bit, at.limits),
            Operation::Set { .. } => unreachable!("handled above"),
        }
    }
}

/// The bytes of a string.
///
/// # Errors
/// [`Error::WrongType`] if the value is none.
pub fn text<'a>(current: Option<EntryRef<'a>>) -> Result<Option<&'a [u8]>, Error> {
    match current {
        None => Ok(None),
        Some(entry) => match entry.kind {
            Kind::Bytes | Kind::Counter => Ok(Some(entry.data)),
            found => Err(Error::WrongType {
                found,
                wanted: Kind::Bytes,
            }),
        },
    }
}

fn length(data: &[u8]) -> Answer {
    Answer::Integer(data.len() as i64)
}

fn put(data: Vec<u8>) -> (Change, Answer) {
    let answer = length(&data);
    let change = Change::Put {
        kind: Kind::Bytes,
        data: data.into(),
        expiry: Expiry::Keep,
    };
    (change, answer)
}

fn set(
    at: At<'_>,
    data: &Bytes,
    expiry: Expiry,
    only: Only,
    answers_previous: bool,
) -> Result<(Change, Answer), Error> {
    check_size(data.len(), at.limits)?;
    let previous = if answers_previous {
        let previous = text(at.current)?;
        Some(previous.map_or(Answer::Nothing, |data| Answer::Bytes(owned(data))))
    } else {
        None
    };
    let holds = match only {
        Only::Always => true,
        Only::IfAbsent => at.current.is_none(),
        Only::IfPresent => at.current.is_some(),
    };
    if !holds {
        return Ok((Change::None, previous.unwrap_or(Answer::Nothing)));
    }
    let answer = previous.unwrap_or(Answer::Done);
    if is_over(expiry, at.now) {
        let change = at.current.map_or(Change::None, |_| Change::Delete);
        return Ok((change, answer));
    }
    let change = Change::Put {
        kind: Kind::Bytes,
        data: data.clone(),
        expiry,
    };
    Ok((change, answer))
}

fn is_over(expiry: Expiry, now: UnixMs) -> bool {
    matches!(expiry, Expiry::At(at) if at <= now)
}

/// The bytes from one place to another, of places that may lie outside.
fn range(data: &[u8], first: i64, last: i64) -> &[u8] {
    let length = data.len() as i64;
    if first < 0 && last < 0 && first > last {
        return &[];
    }
    let from = |place: i64| {
        if place < 0 {
            place.saturating_add(length).max(0)
        } else {
            place
        }
    };
    let (first, last) = (from(first), from(last).min(length - 1));
    if first > last {
        return &[];
    }
    &data[first as usize..=last as usize]
}

fn set_bit(
    current: Option<EntryRef<'_>>,
    present: &[u8],
    place: u64,
    bit: bool,
    limits: &Limits,
) -> Result<(Change, Answer), Error> {
    let byte = usize::try_from(place / 8).unwrap_or(usize::MAX);
    check_size(byte.saturating_add(1), limits)?;
    let mask = 0x80_u8 >> (place % 8);
    let previous = present.get(byte).is_some_and(|byte| byte & mask != 0);
    let answer = Answer::Integer(previous.into());
    if current.is_some() && byte < present.len() && previous == bit {
        return Ok((Change::None, answer));
    }
    let mut all = present.to_vec();
    all.resize(present.len().max(byte + 1), 0);
    if bit {
        all[byte] |= mask;
    } else {
        all[byte] &= !mask;
    }
    let (change, _) = put(all);
    Ok((change, answer))
}

fn set_range(
    present: &[u8],
    offset: u64,
    data: &[u8],
    limits: &Limits,
) -> Result<(Change, Answer), Error> {
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    let end = offset.saturating_add(data.len());
    check_size(end, limits)?;
    let mut all = present.to_vec();
    all.resize(end.max(present.len()), 0);
    all[offset..end].copy_from_slice(data);
    Ok(put(all))
}
