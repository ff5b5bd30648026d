//! Lists: elements in order, added and taken at either end.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::collection::{Delta, Splice, View};
use super::operation::{Change, check_answer, lengths, owned};
use super::{Error, Limits};

/// One of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// Where element 0 is.
    Left,
    /// Where the last element is.
    Right,
}

/// What is done with a list. Negative places count from the end: -1 is the last element.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// Adds elements one after another; answers how many there are then.
    Push {
        /// Where.
        end: End,
        /// What.
        elements: Vec<Bytes>,
        /// Only to a list that is there.
        only_if_present: bool,
    },
    /// Takes elements.
    Pop {
        /// From where.
        end: End,
        /// So many, as a list; `None`: one, by itself.
        count: Option<u64>,
    },
    /// How many elements there are.
    Length,
    /// The elements from one place to another, both included.
    Range(i64, i64),
    /// The element at a place.
    Index(i64),
    /// Replaces the element at a place.
    Set(i64, Bytes),
    /// Adds an element beside the first one that equals another; answers how many there are then,
    /// -1 if there is no such one, 0 if there is no list.
    Insert {
        /// Before it, or behind it.
        before: bool,
        /// The one beside which it comes.
        pivot: Bytes,
        /// What comes.
        element: Bytes,
    },
    /// Removes elements that equal this one; answers how many.
    Remove {
        /// So many from the left; if negative, from the right; 0: all.
        count: i64,
        /// Which.
        element: Bytes,
    },
    /// Keeps the elements from one place to another, both included.
    Trim(i64, i64),
    /// Where elements that equal this one are.
    Position {
        /// Which.
        element: Bytes,
        /// From the so manieth match on, from 1; if negative, from the right.
        rank: i64,
        /// So many matches, as a list, 0 for all; `None`: one, by itself.
        count: Option<u64>,
        /// So many elements are compared; 0: all.
        length_max: u64,
    },
    /// Moves an element from one end to one end of the same list, and answers with it.
    Rotate {
        /// From where.
        from: End,
        /// To where.
        to: End,
    },
}

impl Operation {
    pub(super) fn is_read(&self) -> bool {
        matches!(
            self,
            Operation::Length
                | Operation::Range(..)
                | Operation::Index(_)
                | Operation::Position { .. }
        )
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Operation::Push { elements, .. } => lengths(elements),
            Operation::Set(_, element)
            | Operation::Remove { element, .. }
            | Operation::Position { element, .. } => element.len(),
            Operation::Insert { pivot, element, .. } => pivot.len() + element.len(),
            _ => 0,
        }
    }

    pub(super) fn run(&self, list: View<'_>, limits: &Limits) -> Result<(Change, Answer), Error> {
        let read = |answer| Ok((Change::None, answer));
        match self {
            Operation::Push {
                only_if_present: true,
                ..
            } if list.is_empty() => read(Answer::Integer(0)),
            Operation::Push { end, elements, .. } => Ok(push(list, *end, elements)),
            Operation::Pop { end, count } => pop(list, *end, *count, limits),
            Operation::Length => read(Answer::Integer(list.len() as i64)),
            Operation::Range(first, last) => {
                let (from, count) = stretch(list.len(), *first, *last);
                let (mut elements, mut bytes) = (Vec::with_capacity(count), 0);
                for element in list.range(from, count) {
                    bytes += element.len() + size_of::<Bytes>();
                    check_answer(bytes, limits)?;
                    elements.push(Some(owned(element)));
                }
                read(Answer::List(elements))
            }
            Operation::Index(place) => {
                let element = place_of(list.len(), *place).and_then(|place| list.nth(place));
                read(element.map_or(Answer::Nothing, |(e, _)| Answer::Bytes(owned(e))))
            }
            Operation::Set(..) if list.is_empty() => Err(Error::NoSuchKey),
            Operation::Set(place, element) => {
                let at = place_of(list.len(), *place).ok_or(Error::IndexOutOfRange)?;
                Ok((splice(at, 1, vec![element.clone()]), Answer::Done))
            }
            Operation::Insert {
                before,
                pivot,
                element,
            } => Ok(insert(list, *before, pivot, element)),
            Operation::Remove { count, element } => Ok(remove(list, *count, element)),
            Operation::Trim(first, last) => Ok(trim(list, *first, *last)),
            Operation::Position {
                element,
                rank,
                count,
                length_max,
            } => Ok((
                Change::None,
                position(list, element, *rank, *count, *length_max),
            )),
            Operation::Rotate { from, to } => Ok(rotate(list, *from, *to)),
        }
    }
}

fn splice(at: usize, removed: usize, inserted: Vec<Bytes>) -> Change {
    Change::Delta(Delta::List(vec![one(at, removed, inserted)]))
}

fn one(at: usize, removed: usize, inserted: Vec<Bytes>) -> Splice {
    Splice {
        at: at as u64,
        removed: removed as u64,
        inserted,
    }
}

fn push(list: View<'_>, end: End, elements: &[Bytes]) -> (Change, Answer) {
    let length = list.len() + elements.len();
    let change = if elements.is_empty() {
        Change::None
    } else {
        match end {
            // One after another: the last one ends up first.
            End::Left => splice(0, 0, elements.iter().rev().cloned().collect()),
            End::Right => splice(list.len(), 0, elements.to_vec()),
        }
    };
    (change, Answer::Integer(length as i64))
}

fn pop(
    list: View<'_>,
    end: End,
    count: Option<u64>,
    limits: &Limits,
) -> Result<(Change, Answer), Error> {
    if list.is_empty() {
        return Ok((Change::None, Answer::Nothing));
    }
    let wanted = usize::try_from(count.unwrap_or(1)).unwrap_or(usize::MAX);
    let wanted = wanted.min(list.len());
    let at = match end {
        End::Left => 0,
        End::Right => list.len() - wanted,
    };
    if count.is_none() && list.len() > 1 {
        let popped = list
            .nth(at)
            .map_or(Answer::Nothing, |(e, _)| Answer::Bytes(owned(e)));
        return Ok((splice(at, 1, Vec::new()), popped));
    }
    let mut popped: Vec<Bytes> = list.range(at, wanted).map(owned).collect();
    check_answer(lengths(&popped), limits)?;
    if end == End::Right {
        popped.reverse();
    }
    let answer = match count {
        None => popped.pop().map_or(Answer::Nothing, Answer::Bytes),
        Some(_) => Answer::List(popped.into_iter().map(Some).collect()),
    };
    let change = match wanted {
        0 => Change::None,
        all if all == list.len() => Change::Delete,
        _ => splice(at, wanted, Vec::new()),
    };
    Ok((change, answer))
}

/// The place that a number stands for, if there is one.
fn place_of(length: usize, place: i64) -> Option<usize> {
    let place = if place < 0 {
        length.checked_sub(usize::try_from(place.unsigned_abs()).ok()?)?
    } else {
        usize::try_from(place).ok()?
    };
    (place < length).then_some(place)
}

/// Where a stretch of elements begins and how many there are, of places that may lie outside.
fn stretch(length: usize, first: i64, last: i64) -> (usize, usize) {
    let clamp = |place: i64| {
        let place = if place < 0 {
            place.saturating_add(length as i64)
        } else {
            place
        };
        place.clamp(-1, length as i64)
    };
    let (first, last) = (clamp(first).max(0), clamp(last).min(length as i64 - 1));
    if first > last {
        return (0, 0);
    }
    (first as usize, (last - first + 1) as usize)
}

fn insert(list: View<'_>, before: bool, pivot: &Bytes, element: &Bytes) -> (Change, Answer) {
    if list.is_empty() {
        return (Change::None, Answer::Integer(0));
    }
    let Some(at) = list.iter().position(|(present, _)| present == pivot) else {
        return (Change::None, Answer::Integer(-1));
    };
    let at = at + usize::from(!before);
    let change = splice(at, 0, vec![element.clone()]);
    (change, Answer::Integer(list.len() as i64 + 1))
}

fn remove(list: View<'_>, count: i64, element: &Bytes) -> (Change, Answer) {
    let wanted = match usize::try_from(count.unsigned_abs()) {
        Ok(0) | Err(_) => usize::MAX,
        Ok(wanted) => wanted,
    };
    let found = list.iter().enumerate();
    let equal = |(_, (present, _)): &(usize, super::collection::Item<'_>)| *present == element;
    let mut places: Vec<usize> = if count < 0 {
        let length = list.len();
        let from_right = list.iter().rev().enumerate().filter(equal);
        from_right
            .map(|(back, _)| length - 1 - back)
            .take(wanted)
            .collect()
    } else {
        found
            .filter(equal)
            .map(|(place, _)| place)
            .take(wanted)
            .collect()
    };
    let answer = Answer::Integer(places.len() as i64);
    if places.is_empty() {
        return (Change::None, answer);
    }
    if places.len() == list.len() {
        return (Change::Delete, answer);
    }
    // From the right, so that the places to the left of one that went are still true.
    places.sort_unstable_by(|a, b| b.cmp(a));
    let splices = places.into_iter().map(|at| one(at, 1, Vec::new()));
    (Change::Delta(Delta::List(splices.collect())), answer)
}

fn trim(list: View<'_>, first: i64, last: i64) -> (Change, Answer) {
    let (from, kept) = stretch(list.len(), first, last);
    let right = list.len() - from - kept;
    let change = if kept == list.len() {
        Change::None
    } else if kept == 0 {
        Change::Delete
    } else {
        let stretches = [(from + kept, right), (0, from)];
        let splices = stretches.into_iter().filter(|(_, removed)| *removed > 0);
        Change::Delta(Delta::List(
            splices
                .map(|(at, removed)| one(at, removed, Vec::new()))
                .collect(),
        ))
    };
    (change, Answer::Done)
}

fn position(list: View<'_>, element: &[u8], rank: i64, count: Option<u64>, max: u64) -> Answer {
    let limit = |number: u64| match usize::try_from(number) {
        Ok(0) | Err(_) => usize::MAX,
        Ok(number) => number,
    };
    let length = list.len();
    let skipped = usize::try_from(rank.unsigned_abs().saturating_sub(1)).unwrap_or(usize::MAX);
    let found: Box<dyn Iterator<Item = (usize, &[u8])>> = if rank < 0 {
        let back = list.iter().rev().enumerate();
        Box::new(back.map(move |(back, (present, _))| (length - 1 - back, present)))
    } else {
        Box::new(
            list.iter()
                .enumerate()
                .map(|(place, (present, _))| (place, present)),
        )
    };
    let found = found
        .take(limit(max))
        .filter(|(_, present)| *present == element);
    let mut found = found.map(|(place, _)| place as i64).skip(skipped);
    match count {
        None => found.next().map_or(Answer::Nothing, Answer::Integer),
        Some(count) => Answer::Integers(found.take(limit(count)).map(Some).collect()),
    }
}

fn rotate(list: View<'_>, from: End, to: End) -> (Change, Answer) {
    let end = |end| match end {
        End::Left => 0,
        End::Right => list.len().saturating_sub(1),
    };
    let Some((element, _)) = list.nth(end(from)) else {
        return (Change::None, Answer::Nothing);
    };
    let element = owned(element);
    let answer = Answer::Bytes(element.clone());
    if from == to || list.len() == 1 {
        // Nothing moves, but it counts as a write: whoever watches hears of it.
        return (splice(end(from), 1, vec![element]), answer);
    }
    let taken = one(end(from), 1, Vec::new());
    let at = match to {
        End::Left => 0,
        End::Right => list.len() - 1,
    };
    let put = one(at, 0, vec![element]);
    (Change::Delta(Delta::List(vec![taken, put])), answer)
}
