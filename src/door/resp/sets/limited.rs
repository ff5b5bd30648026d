//! `SINTERCARD` with a limit: how many members are in all sets, but counted no further.
//!
//! Members of the smallest set are looked at in stretches, and each stretch is asked for in the other
//! sets, until there are enough. So a small limit reads little of large sets, and each set is looked
//! at in several moments.

use std::collections::HashSet;

use bytes::Bytes;

use crate::command::set::Operation;
use crate::command::{self, Answer};
use crate::door::resp::call::{Steps, typed};
use crate::door::resp::failure::Refusal;
use crate::door::resp::typed as of_type;
use crate::key::Key;

/// Members of the first stretch, and of the longest one.
const STRETCH: u64 = 64;
const STRETCH_MAX: u64 = 4_096;
/// What a member takes in memory beside its bytes, about.
const MEMBER_BYTES: usize = 2 * size_of::<Bytes>();

/// Counts up to `limit`.
pub(super) async fn count(steps: &Steps, keys: Vec<Key>, limit: usize) -> Result<usize, Refusal> {
    let Some((smallest, others)) = by_length(steps, keys).await? else {
        return Ok(0);
    };
    // A member that comes again, since its set has changed meanwhile, is one.
    let mut found: HashSet<Bytes> = HashSet::new();
    let (mut bytes, mut hold) = (0, steps.hold(0)?);
    let (mut cursor, mut stretch) = (0, STRETCH);
    loop {
        let scan = Operation::Scan {
            cursor,
            count: stretch,
        };
        let Answer::Scanned { next, items } = ask(steps, &smallest, scan).await? else {
            return Err(Refusal::UNEXPECTED);
        };
        for member in in_all(steps, &others, items).await? {
            let more = member.len() + MEMBER_BYTES;
            if found.insert(member) {
                bytes += more;
            }
        }
        hold.set(bytes)?;
        // Where all keys are this node's nothing waits: others get a turn.
        tokio::task::yield_now().await;
        if found.len() >= limit || next == 0 {
            return Ok(found.len().min(limit));
        }
        (cursor, stretch) = (next, (stretch * 2).min(STRETCH_MAX));
    }
}

/// The key of the smallest set, and those of the others; none if one of them has no members.
async fn by_length(steps: &Steps, mut keys: Vec<Key>) -> Result<Option<(Key, Vec<Key>)>, Refusal> {
    // One that comes twice need not be asked twice.
    keys.sort_unstable();
    keys.dedup();
    let length = |key: &Key| typed(key.clone(), command::Operation::Set(Operation::Length));
    let replies = steps.all(keys.iter().map(length).collect()).await?;
    let mut lengths = Vec::with_capacity(keys.len());
    for (key, reply) in keys.into_iter().zip(replies) {
        match of_type::answer(reply)? {
            Answer::Integer(length) => lengths.push((length, key)),
            _ => return Err(Refusal::UNEXPECTED),
        }
    }
    lengths.sort_unstable();
    if lengths.first().is_none_or(|(length, _)| *length == 0) {
        return Ok(None);
    }
    let mut keys = lengths.into_iter().map(|(_, key)| key);
    Ok(keys.next().map(|smallest| (smallest, keys.collect())))
}

/// Those of these members that are in all of the sets.
async fn in_all(
    steps: &Steps,
    sets: &[Key],
    mut members: Vec<Bytes>,
) -> Result<Vec<Bytes>, Refusal> {
    for set in sets {
        if members.is_empty() {
            break;
        }
        let contains = Operation::Contains(members.clone());
        let Answer::Integers(answers) = ask(steps, set, contains).await? else {
            return Err(Refusal::UNEXPECTED);
        };
        let mut answers = answers.into_iter();
        members.retain(|_| answers.next() == Some(Some(1)));
    }
    Ok(members)
}

async fn ask(steps: &Steps, key: &Key, operation: Operation) -> Result<Answer, Refusal> {
    let command = typed(key.clone(), command::Operation::Set(operation));
    of_type::answer(steps.execute(&command).await)
}
