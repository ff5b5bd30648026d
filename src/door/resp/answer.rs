//! The usual forms of what operations answer.

use std::sync::Arc;

use bytes::Bytes;

use super::failure::Refusal;
use super::reply::Out;
use crate::command::{Answer, EntryRef, Kind};
use crate::door::hold::{Budget, Hold, LARGE_BYTES};

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

/// Whole numbers, some of which may be missing.
pub(super) fn integers(out: &mut Out, answer: Answer) -> Result<(), Refusal> {
    let Answer::Integers(numbers) = answer else {
        return Err(Refusal::UNEXPECTED);
    };
    out.array(numbers.len());
    for number in numbers {
        match number {
            Some(number) => out.integer(number),
            None => out.null(),
        }
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

/// Values in order.
pub(super) fn array(out: &mut Out, answer: Answer) -> Result<(), Refusal> {
    let items = list(answer)?;
    out.array(items.len());
    write_items(out, &items);
    Ok(())
}

/// Values without an order.
pub(super) fn set(out: &mut Out, answer: Answer) -> Result<(), Refusal> {
    let items = list(answer)?;
    out.set(items.len());
    write_items(out, &items);
    Ok(())
}

fn write_items(out: &mut Out, items: &[Option<Bytes>]) {
    items
        .iter()
        .for_each(|item| out.bulk_or_null(item.as_deref()));
}

/// The one value of a list of at most one.
pub(super) fn only(out: &mut Out, answer: Answer) -> Result<(), Refusal> {
    out.bulk_or_null(list(answer)?.into_iter().flatten().next().as_deref());
    Ok(())
}

/// The values of an answer that has some.
pub(super) fn list(answer: Answer) -> Result<Vec<Option<Bytes>>, Refusal> {
    match answer {
        Answer::List(items) => Ok(items),
        _ => Err(Refusal::UNEXPECTED),
    }
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
