//! Values of any type: what they are, and how long they live.

use serde::{Deserialize, Serialize};

use super::answer::{Answer, Described, Inspected};
use super::collection::Delta;
use super::operation::{At, Change};
use super::{EntryRef, Error, Expiry, counter};
use crate::clock::UnixMs;

/// What is done with a value, whatever it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// What it is; nothing if there is none.
    Describe,
    /// Sets when it expires; answers 1, or 0 if there is none or the rule does not hold.
    Expire(Expiry, Rule),
    /// Lets it live for ever; answers 1, or 0 if there is none or it does so already.
    Persist,
    /// What it is, after a look at its items if there are no more than so many; nothing if there is
    /// none. It does not count as a use.
    Inspect {
        /// So many.
        items_max: u64,
    },
}

/// When an expiry is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Only if it has none.
    pub only_if_none: bool,
    /// Only if it has one.
    pub only_if_some: bool,
    /// Only if the new one comes later; none is never.
    pub only_if_later: bool,
    /// Only if the new one comes sooner.
    pub only_if_sooner: bool,
}

impl Operation {
    pub(super) fn is_read(&self) -> bool {
        matches!(self, Operation::Describe | Operation::Inspect { .. })
    }

    pub(super) fn run(&self, at: At<'_>) -> Result<(Change, Answer), Error> {
        let Some(entry) = at.current else {
            let answer = match self {
                Operation::Describe | Operation::Inspect { .. } => Answer::Nothing,
                _ => Answer::Integer(0),
            };
            return Ok((Change::None, answer));
        };
        Ok(match self {
            Operation::Describe => (Change::None, Answer::Described(describe(entry))),
            Operation::Inspect { items_max } => {
                (Change::None, Answer::Inspected(inspect(entry, *items_max)))
            }
            Operation::Expire(expiry, rule) => {
                let wanted = expiry.at(entry.expires_at, at.now);
                if !rule.holds(entry.expires_at, wanted) {
                    return Ok((Change::None, Answer::Integer(0)));
                }
                (expire(entry, *expiry, at.now), Answer::Integer(1))
            }
            Operation::Persist => {
                let change = expire(entry, Expiry::Never, at.now);
                let changed = change != Change::None;
                (change, Answer::Integer(changed.into()))
            }
        })
    }
}

impl Rule {
    fn holds(&self, current: Option<UnixMs>, wanted: Option<UnixMs>) -> bool {
        let never = UnixMs(u64::MAX);
        let (now, then) = (current.unwrap_or(never), wanted.unwrap_or(never));
        !(self.only_if_none && current.is_some()
            || self.only_if_some && current.is_none()
            || self.only_if_later && then <= now
            || self.only_if_sooner && then >= now)
    }
}

/// The change that lets an entry live so long from now on.
pub(super) fn expire(entry: EntryRef<'_>, expiry: Expiry, now: UnixMs) -> Change {
    let wanted = expiry.at(entry.expires_at, now);
    if wanted == entry.expires_at {
        Change::None
    } else if wanted.is_some_and(|at| at <= now) {
        Change::Delete
    } else {
        Change::Delta(Delta::Expiry(wanted))
    }
}

fn describe(entry: EntryRef<'_>) -> Described {
    let length = if entry.kind.is_collection() {
        entry.view().len()
    } else {
        entry.data.len()
    };
    Described {
        kind: entry.kind,
        expires_at: entry.expires_at,
        bytes: entry.stored_bytes() as u64,
        length: length as u64,
        is_packed: entry.open.is_none(),
    }
}

fn inspect(entry: EntryRef<'_>, items_max: u64) -> Inspected {
    let is_integer = |item: &[u8]| counter::parse(item).is_some();
    let (length, longest_bytes, is_integers) = if entry.kind.is_collection() {
        let view = entry.view();
        let length = view.len() as u64;
        let (mut longest, mut integers) = (0, true);
        let looks = length <= items_max;
        for (item, value) in view.items().take(if looks { usize::MAX } else { 0 }) {
            longest = longest.max(item.len()).max(value.map_or(0, <[u8]>::len));
            integers = integers && is_integer(item);
        }
        (length, looks.then_some(longest as u64), looks && integers)
    } else {
        let length = entry.data.len() as u64;
        (length, Some(length), is_integer(entry.data))
    };
    Inspected {
        kind: entry.kind,
        length,
        longest_bytes,
        is_integers,
        memory_bytes: 0,
        uses: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Kind;
    use crate::command::collection::Packer;
    use crate::version::Version;

    fn inspected(kind: Kind, data: &[u8], items_max: u64) -> Inspected {
        let entry = EntryRef {
            kind,
            data,
            open: None,
            version: Version::default(),
            tag: None,
            expires_at: None,
        };
        inspect(entry, items_max)
    }

    #[test]
    fn a_look_into_values() {
        let packed = |items: &[&str], count| {
            let mut packer = Packer::new(count);
            items.iter().for_each(|item| packer.push(item.as_bytes()));
            packer.finish()
        };
        let numbers = packed(&["1", "-20", "300"], 3);
        let seen = inspected(Kind::Set, &numbers, 3);
        assert_eq!((seen.length, seen.longest_bytes), (3, Some(3)));
        assert!(seen.is_integers);
        // Too many to look at.
        let seen = inspected(Kind::Set, &numbers, 2);
        assert_eq!((seen.length, seen.longest_bytes), (3, None));
        assert!(!seen.is_integers);
        let words = packed(&["1", "01", "2"], 3);
        assert!(!inspected(Kind::Set, &words, 9).is_integers);
        // Of hashes values count as well.
        let seen = inspected(Kind::Hash, &packed(&["f", "long"], 1), 9);
        assert_eq!((seen.length, seen.longest_bytes), (1, Some(4)));
        let seen = inspected(Kind::Bytes, b"1234", 0);
        assert_eq!((seen.length, seen.is_integers), (4, true));
        assert!(!inspected(Kind::Bytes, b"1234x", 0).is_integers);
    }
}
