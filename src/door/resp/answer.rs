//! The usual forms of what operations answer.

use super::failure::Refusal;
use super::reply::Out;
use crate::command::{Answer, EntryRef, Kind};
use crate::door::hold::{Budget, Hold, LARGE_BYTES};
use std::sync::Arc;

/// What a form makes of an answer.
pub(super) type Form = fn(&mut Out, Answer) -> Result<(), Refusal>;

/// A whole number.
pub(super) fn integer(out: &mut Out, answer: Answer) -> Result<(), Refusal> {
    match answer {
        Answer::Integer(value) => out.integer(value),
        Answer::Nothing => out.null(),
        _ => return Err(Refusal::UNEXPECTED),
    }
    Ok(())
}

/// One value, or none.
pub(super) fn bulk(out: &mut Out, answer: Answer) -> Result<(), Refusal> {
    match answer {
        Answer::Bytes(bytes) => out.bulk(&bytes),
        Answer::Nothing => out.null(),
        _ => return Err(Refusal::UNEXPECTED),
    }
    Ok(())
}

/// `OK`, or nothing.
pub(super) fn ok(out: &mut Out, answer: Answer) -> Result<(), Refusal> {
    match answer {
        Answer::Done => out.ok(),
        Answer::Nothing => out.null(),
        _ => return Err(Refusal::UNEXPECTED),
    }
    Ok(())
}

/// Whether a value can be read as a string: documents and flags are their text.
pub(super) fn is_string(kind: Kind) -> bool {
    matches!(kind, Kind::Bytes | Kind::Counter | Kind::Json | Kind::Flag)
}

/// Writes a value that can be read as a string. One that is large has to find room in the memory of
/// the doors first.
pub(super) fn string(
    out: &mut Out,
    budget: &Arc<Budget>,
    entry: Option<EntryRef<'_>>,
) -> Result<(), Refusal> {
    let Some(entry) = entry else {
        out.null();
        return Ok(());
    };
    if !is_string(entry.kind) {
        return Err(Refusal::WRONG_TYPE);
    }
    if entry.data.len() >= LARGE_BYTES {
        Hold::nothing(budget).expect(entry.data.len() as u64)?;
    }
    out.bulk(entry.data);
    Ok(())
}
