//! Taking values from one key to another: `COPY`, `RENAME` and `RENAMENX`.
//!
//! Each key is changed at its owner, one after the other. `RENAME` writes the new key first and then
//! removes the old one, if it is still as it was read; if it is not, all is done again. So at any
//! moment at least one of them has the value, for a moment both, and no write to the old key is lost.

use super::call::{Answered, Call, Steps};
use super::failure::Refusal;
use super::number;
use super::queue::Touches;
use super::request::Arguments;
use crate::command::{Command, Condition, Entry, Reply};
use crate::door::hold::Hold;
use crate::key::Key;
use crate::version::Version;

/// How often a value that changes meanwhile is read again.
const TRIES: usize = 16;

const BUSY: Refusal = Refusal::of("BUSY the key is changed again and again; try again later");

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carried {
    Yes,
    /// There is something at the other key.
    Taken,
}

/// The two keys, and what a request about them has to do with others.
fn keys(call: &Call<'_>, arguments: Arguments<'_>) -> Result<(Key, Key, Touches), Refusal> {
    let taken = arguments.take();
    let (from, to) = (call.key(&taken, 1)?, call.key(&taken, 2)?);
    let both = [from.as_bytes(), to.as_bytes()].into_iter();
    let touches = Touches::many(both, true);
    Ok((from, to, touches))
}

pub(super) fn copy(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let mut condition = Condition::Absent;
    let mut at = 3;
    while let Some(option) = arguments.get(at) {
        let left = arguments.len() - at - 1;
        if option.eq_ignore_ascii_case(b"replace") {
            condition = Condition::None;
        } else if option.eq_ignore_ascii_case(b"db") && left >= 1 {
            at += 1;
            match number::integer(&arguments[at]) {
                Some(0) => {}
                Some(_) => return Err(Refusal::of("ERR DB index is out of range")),
                None => return Err(Refusal::NOT_INTEGER),
            }
        } else {
            return Err(Refusal::SYNTAX);
        }
        at += 1;
    }
    if arguments[1] == arguments[2] {
        return Err(Refusal::of(
            "ERR source and destination objects are the same",
        ));
    }
    let (from, to, touches) = keys(&call, arguments)?;
    call.step_by_step(touches, |steps, mut out| async move {
        let carried = match read(&steps, &from).await? {
            None => false,
            Some((entry, _hold)) => {
                let written = write(&steps, to, entry, condition).await?;
                matches!(written, Written::As(_))
            }
        };
        out.integer(carried.into());
        Ok(out)
    })
}

pub(super) fn rename(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let (from, to, touches) = keys(&call, arguments)?;
    call.step_by_step(touches, |steps, mut out| async move {
        carry(&steps, from, to, false).await?;
        out.ok();
        Ok(out)
    })
}

pub(super) fn renamenx(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let (from, to, touches) = keys(&call, arguments)?;
    call.step_by_step(touches, |steps, mut out| async move {
        let carried = carry(&steps, from, to, true).await?;
        out.integer((carried == Carried::Yes).into());
        Ok(out)
    })
}

/// A value, and its part of the doors' memory.
async fn read(steps: &Steps, key: &Key) -> Result<Option<(Entry, Hold)>, Refusal> {
    let reply = steps.execute(&Command::Get { key: key.clone() }).await?;
    let Reply::Value(entry) = reply else {
        return Err(Refusal::UNEXPECTED);
    };
    entry
        .map(|entry| {
            let hold = steps.hold(entry.data.len())?;
            Ok((entry, hold))
        })
        .transpose()
}

/// What came of writing a value to the other key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    /// It is there, of this version.
    As(Version),
    /// The condition did not hold: this is there, if anything.
    Not(Option<Version>),
}

async fn write(
    steps: &Steps,
    key: Key,
    entry: Entry,
    condition: Condition,
) -> Result<Written, Refusal> {
    let now = steps.now();
    let command = Command::Put {
        key,
        kind: entry.kind,
        data: entry.data,
        ttl_ms: entry.expires_at.map(|at| now.ms_until(at)),
        condition,
    };
    match steps.execute(&command).await? {
        Reply::Stored { entry, .. } => Ok(Written::As(entry.etag())),
        Reply::ConditionFailed { current } => Ok(Written::Not(current)),
        _ => Err(Refusal::UNEXPECTED),
    }
}

/// Carries a value to the other key; with `only_new` to one that has none.
async fn carry(steps: &Steps, from: Key, to: Key, only_new: bool) -> Result<Carried, Refusal> {
    // What was put at the other key so far.
    let mut ours = None;
    for _ in 0..TRIES {
        let Some((entry, _hold)) = read(steps, &from).await? else {
            // Somebody has deleted it since it was carried.
            return ours.map(|_| Carried::Yes).ok_or(Refusal::NO_SUCH_KEY);
        };
        if from == to {
            return Ok(if only_new {
                Carried::Taken
            } else {
                Carried::Yes
            });
        }
        let condition = match ours {
            _ if !only_new => Condition::None,
            None => Condition::Absent,
            Some(version) => Condition::VersionIn(vec![version]),
        };
        let as_read = Condition::VersionIn(vec![entry.etag()]);
        match write(steps, to.clone(), entry, condition).await? {
            Written::As(version) => ours = Some(version),
            // What was ours was deleted.
            Written::Not(None) if ours.is_some() => {
                ours = None;
                continue;
            }
            Written::Not(_) => return Ok(Carried::Taken),
        }
        let remove = Command::Delete {
            key: from.clone(),
            condition: as_read,
        };
        if let Reply::Deleted(_) = steps.execute(&remove).await? {
            return Ok(Carried::Yes);
        }
    }
    if let Some(version) = ours.filter(|_| only_new) {
        // It is as if nothing had been done.
        let undo = Command::Delete {
            key: to,
            condition: Condition::VersionIn(vec![version]),
        };
        steps.execute(&undo).await?;
    }
    Err(BUSY)
}
