//! Sets: members without an order, each once.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::collection::{Delta, View};
use super::operation::{Change, check_answer, first_of_each, lengths, owned};
use super::random::{distinct, repeated};
use super::{Error, Limits};

/// What is done with a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// Adds members; answers how many are new.
    Add(Vec<Bytes>),
    /// Removes members; answers how many were there.
    Remove(Vec<Bytes>),
    /// Whether each of these is a member: 1 or 0, in order.
    Contains(Vec<Bytes>),
    /// All members.
    Members,
    /// How many members there are.
    Length,
    /// Removes members at random, and answers with them.
    Pop {
        /// So many; all, if there are no more.
        count: u64,
        /// What chance is drawn from.
        seed: u64,
    },
    /// Members at random.
    Random {
        /// So many, each once; or, if negative, that many, of which some may be the same.
        count: i64,
        /// What chance is drawn from.
        seed: u64,
    },
    /// A stretch of the members.
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
            Operation::Add(_) | Operation::Remove(_) | Operation::Pop { .. }
        )
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Operation::Add(items) | Operation::Remove(items) | Operation::Contains(items) => {
                lengths(items)
            }
            _ => 0,
        }
    }

    pub(super) fn run(&self, set: View<'_>, limits: &Limits) -> Result<(Change, Answer), Error> {
        let read = |answer| Ok((Change::None, answer));
        match self {
            Operation::Add(members) => {
                let mut first = first_of_each(members);
                let new = members.iter().filter(|member| !set.contains(member));
                let added = new.filter(|member| first(member)).cloned();
                Ok(changed(set, Vec::new(), added.collect()))
            }
            Operation::Remove(members) => {
                let mut first = first_of_each(members);
                let there = members.iter().filter(|member| set.contains(member));
                let removed = there.filter(|member| first(member)).cloned();
                Ok(changed(set, removed.collect(), Vec::new()))
            }
            Operation::Contains(members) => {
                let contains = |member: &Bytes| Some(i64::from(set.contains(member)));
                read(Answer::Integers(members.iter().map(contains).collect()))
            }
            Operation::Members => {
                let members = set.iter().map(|(member, _)| Some(owned(member)));
                read(Answer::List(members.collect()))
            }
            Operation::Length => read(Answer::Integer(set.len() as i64)),
            Operation::Pop { count, seed } => {
                let count = usize::try_from(*count).unwrap_or(usize::MAX);
                let places = distinct(set.len(), count, *seed);
                let popped = pick(set, &places, limits)?;
                let (change, _) = changed(set, popped.clone(), Vec::new());
                Ok((change, Answer::List(popped.into_iter().map(Some).collect())))
            }
            Operation::Random { count, seed } => {
                let places = match usize::try_from(*count) {
                    Ok(count) => distinct(set.len(), count, *seed),
                    Err(_) => repeated(set.len(), count.unsigned_abs(), *seed, limits)?,
                };
                let members = pick(set, &places, limits)?;
                read(Answer::List(members.into_iter().map(Some).collect()))
            }
            Operation::Scan { cursor, count } => read(scan(set, *cursor, *count)),
        }
    }
}

fn changed(set: View<'_>, removed: Vec<Bytes>, added: Vec<Bytes>) -> (Change, Answer) {
    let count = removed.len() + added.len();
    let change = if count == 0 {
        Change::None
    } else if removed.len() == set.len() && added.is_empty() {
        Change::Delete
    } else {
        Change::Delta(Delta::Set { removed, added })
    };
    (change, Answer::Integer(count as i64))
}

fn pick(set: View<'_>, places: &[usize], limits: &Limits) -> Result<Vec<Bytes>, Error> {
    let mut bytes = 0;
    let mut members = Vec::with_capacity(places.len());
    for place in places {
        if let Some((member, _)) = set.nth(*place) {
            bytes += member.len() + size_of::<Bytes>();
            check_answer(bytes, limits)?;
            members.push(owned(member));
        }
    }
    Ok(members)
}

/// A stretch of a set or a hash, from the last place to the first: what is removed is replaced by
/// the last item, so that an item which stays is moved only to where the scan has yet to come, or
/// from where it has been already.
pub(super) fn scan(items: View<'_>, cursor: u64, count: u64) -> Answer {
    let length = items.len() as u64;
    let from = if cursor == 0 {
        length
    } else {
        cursor.min(length)
    };
    let to = from.saturating_sub(count.max(1));
    let mut found = Vec::new();
    for place in (to..from).rev() {
        if let Some((item, value)) = items.nth(place as usize) {
            found.push(owned(item));
            found.extend(value.map(owned));
        }
    }
    Answer::Scanned {
        next: to,
        items: found,
    }
}
