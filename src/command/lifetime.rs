//! Values of any type: what they are, and how long they live.

use serde::{Deserialize, Serialize};

use super::answer::{Answer, Described};
use super::collection::Delta;
use super::operation::{At, Change};
use super::{EntryRef, Error, Expiry};
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
        matches!(self, Operation::Describe)
    }

    pub(super) fn run(&self, at: At<'_>) -> Result<(Change, Answer), Error> {
        let Some(entry) = at.current else {
            let answer = match self {
                Operation::Describe => Answer::Nothing,
                _ => Answer::Integer(0),
            };
            return Ok((Change::None, answer));
        };
        Ok(match self {
            Operation::Describe => (Change::None, Answer::Described(describe(entry))),
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
