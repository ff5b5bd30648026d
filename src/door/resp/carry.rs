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
            Some((entry, _hold)) => write(&steps, to, entry, condition).await? == Carried::Yes,
        };
        out.integer(carried.into());
        Ok(out)
    })
}

pub(super) fn rename(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let (from, to, touches) = keys(&call, arguments)?;
    call.step_by_step(touches, |steps, mut out| async move {
        carry(&steps, from, to, Condition::None).await?;
        out.ok();
        Ok(out)
    })
}

pub(super) fn renamenx(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let (from, to, touches) = keys(&call, arguments)?;
    call.step_by_step(touches, |steps, mut out| async move {
        let carried = carry(&steps, from, to, Condition::Absent).await?;
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

async fn write(
    steps: &Steps,
    key: Key,
    entry: Entry,
    condition: Condition,
) -> Result<Carried, Refusal> {
    let now = steps.now();
    let command = Command::Put {
        key,
        kind: entry.kind,
        data: entry.data,
        ttl_ms: entry.expires_at.map(|at| now.ms_until(at)),
        condition,
    };
    match steps.execute(&command).await? {
        Reply::Stored { .. } => Ok(Carried::Yes),
        Reply::ConditionFailed { .. } => Ok(Carried::Taken),
        _ => Err(Refusal::UNEXPECTED),
    }
}

async fn carry(
    steps: &Steps,
    from: Key,
    to: Key,
    mut condition: Condition,
) -> Result<Carried, Refusal> {
    for _ in 0..TRIES {
        let Some((entry, _hold)) = read(steps, &from).await? else {
            return Err(Refusal::NO_SUCH_KEY);
        };
        if from == to {
            let taken = condition == Condition::Absent;
            return Ok(if taken { Carried::Taken } else { Carried::Yes });
        }
        let as_read = Condition::VersionIn(vec![entry.etag()]);
        if write(steps, to.clone(), entry, condition.clone()).await? == Carried::Taken {
            return Ok(Carried::Taken);
        }
        let remove = Command::Delete {
            key: from.clone(),
            condition: as_read,
        };
        if let Reply::Deleted(_) = steps.execute(&remove).await? {
            return Ok(Carried::Yes);
        }
        // What is at the other key now is ours.
        condition = Condition::None;
    }
    Err(BUSY)
}
