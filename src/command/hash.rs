//! Hashes: fields with a value each.

use bytes::Bytes;
use rapidhash::RapidHashMap;
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::collection::{Delta, Item, View};
use super::operation::{Change, check_answer, first_of_each, lengths, owned};
use super::random::{distinct, repeated};
use super::set::scan;
use super::{Error, Limits, counter, decimal};

/// What is done with a hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// Sets fields; answers how many are new.
    Set(Vec<(Bytes, Bytes)>),
    /// Sets a field that is not there; answers 1, or 0 if it is.
    SetNew(Bytes, Bytes),
    /// The value of a field.
    Get(Bytes),
    /// The values of fields, in order.
    GetMany(Vec<Bytes>),
    /// All fields with their values.
    All,
    /// Removes fields; answers how many were there.
    Remove(Vec<Bytes>),
    /// Whether there is this field: 1 or 0.
    Contains(Bytes),
    /// How many fields there are.
    Length,
    /// The length of a field's value in bytes; 0 if it is not there.
    ValueLength(Bytes),
    /// All fields.
    Fields,
    /// All values.
    Values,
    /// Adds to a field that holds a whole number; one that is not there stands at 0.
    Increment(Bytes, i64),
    /// Adds to a field that holds a number; the text of what to add.
    IncrementFloat(Bytes, Bytes),
    /// Fields at random, with their values.
    Random {
        /// So many, each once; or, if negative, that many, of which some may be the same.
        count: i64,
        /// What chance is drawn from.
        seed: u64,
    },
    /// A stretch of the fields and values.
    Scan {
        /// Where to go on; 0 to begin.
        cursor: u64,
        /// About so many.
        count: u64,
    },
}

impl Operation {
    pub(super) fn is_read(&self) -> bool {
        !matches!(
            self,
            Operation::Set(_)
                | Operation::SetNew(..)
                | Operation::Remove(_)
                | Operation::Increment(..)
                | Operation::IncrementFloat(..)
        )
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Operation::Set(pairs) => {
                let pairs = pairs.iter();
                let pair = |(f, v): &(Bytes, Bytes)| f.len() + v.len() + 2 * size_of::<Bytes>();
                pairs.map(pair).sum()
            }
            Operation::SetNew(field, value) | Operation::IncrementFloat(field, value) => {
                field.len() + value.len()
            }
            Operation::GetMany(fields) | Operation::Remove(fields) => lengths(fields),
            Operation::Get(field)
            | Operation::Contains(field)
            | Operation::ValueLength(field)
            | Operation::Increment(field, _) => field.len(),
            _ => 0,
        }
    }

    pub(super) fn run(&self, hash: View<'_>, limits: &Limits) -> Result<(Change, Answer), Error> {
        let read = |answer| Ok((Change::None, answer));
        let all =
            |part: fn(Item<'_>) -> Option<Bytes>| Answer::List(hash.iter().map(part).collect());
        match self {
            Operation::Set(pairs) => Ok(set(hash, pairs)),
            Operation::SetNew(field, _) if hash.contains(field) => read(Answer::Integer(0)),
            Operation::SetNew(field, value) => Ok(one(field, value.clone(), Answer::Integer(1))),
            Operation::Get(field) => read(match hash.value(field) {
                Some(value) => Answer::Bytes(owned(value)),
                None => Answer::Nothing,
            }),
            Operation::GetMany(fields) => {
                let values = fields.iter().map(|field| hash.value(field).map(owned));
                read(Answer::List(values.collect()))
            }
            Operation::All => {
                let pairs = hash
                    .iter()
                    .map(|(f, v)| (owned(f), owned(v.unwrap_or_default())));
                read(Answer::Pairs(pairs.collect()))
            }
            Operation::Remove(fields) => Ok(remove(hash, fields)),
            Operation::Contains(field) => read(Answer::Integer(hash.contains(field).into())),
            Operation::Length => read(Answer::Integer(hash.len() as i64)),
            Operation::ValueLength(field) => {
                let length = hash.value(field).map_or(0, <[u8]>::len);
                read(Answer::Integer(length as i64))
            }
            Operation::Fields => read(all(|(field, _)| Some(owned(field)))),
            Operation::Values => read(all(|(_, value)| value.map(owned))),
            Operation::Increment(field, by) => {
                let value = match hash.value(field) {
                    Some(text) => counter::parse(text).ok_or(Error::NotANumber)?,
                    None => 0,
                };
                let sum = value
                    .checked_add(*by)
                    .ok_or(Error::Overflow { value, by: *by })?;
                Ok(one(field, counter::text(sum), Answer::Integer(sum)))
            }
            Operation::IncrementFloat(field, by) => {
                let sum = decimal::add(hash.value(field).unwrap_or(b"0"), by)?;
                Ok(one(field, sum.clone(), Answer::Bytes(sum)))
            }
            Operation::Random { count, seed } => {
                let places = match usize::try_from(*count) {
                    Ok(count) => distinct(hash.len(), count, *seed),
                    Err(_) => repeated(hash.len(), count.unsigned_abs(), *seed, limits)?,
                };
                let (mut pairs, mut bytes) = (Vec::with_capacity(places.len()), 0);
                for (field, value) in places.iter().filter_map(|place| hash.nth(*place)) {
                    let value = value.unwrap_or_default();
                    bytes += field.len() + value.len() + 2 * size_of::<Bytes>();
                    check_answer(bytes, limits)?;
                    pairs.push((owned(field), owned(value)));
                }
                read(Answer::Pairs(pairs))
            }
            Operation::Scan { cursor, count } => read(scan(hash, *cursor, *count)),
        }
    }
}

fn one(field: &Bytes, value: Bytes, answer: Answer) -> (Change, Answer) {
    let delta = Delta::Hash {
        removed: Vec::new(),
        set: vec![(field.clone(), value)],
    };
    (Change::Delta(delta), answer)
}

fn set(hash: View<'_>, pairs: &[(Bytes, Bytes)]) -> (Change, Answer) {
    let set = match pairs {
        [one] => vec![one.clone()],
        _ => last_of_each(pairs),
    };
    let created = set
        .iter()
        .filter(|(field, _)| !hash.contains(field))
        .count();
    let removed = Vec::new();
    let change = Change::Delta(Delta::Hash { removed, set });
    (change, Answer::Integer(created as i64))
}

/// Of a field that comes twice the last value stays, in the first place.
fn last_of_each(pairs: &[(Bytes, Bytes)]) -> Vec<(Bytes, Bytes)> {
    let mut places: RapidHashMap<&[u8], usize> = RapidHashMap::default();
    let mut last: Vec<(Bytes, Bytes)> = Vec::with_capacity(pairs.len());
    for (field, value) in pairs {
        match places.get(&field[..]) {
            Some(place) => last[*place].1 = value.clone(),
            None => {
                places.insert(field, last.len());
                last.push((field.clone(), value.clone()));
            }
        }
    }
    last
}

fn remove(hash: View<'_>, fields: &[Bytes]) -> (Change, Answer) {
    let mut first = first_of_each(fields);
    let there = fields.iter().filter(|field| hash.contains(field));
    let removed: Vec<Bytes> = there.filter(|field| first(field)).cloned().collect();
    let count = removed.len();
    let change = match count {
        0 => Change::None,
        count if count == hash.len() => Change::Delete,
        _ => Change::Delta(Delta::Hash {
            removed,
            set: Vec::new(),
        }),
    };
    (change, Answer::Integer(count as i64))
}
