//! `SETBIT` and `GETBIT`: a string as a row of bits.

use crate::command::string::Operation;
use crate::command::{self, Answer};
use crate::door::resp::answer;
use crate::door::resp::call::{Answered, Call};
use crate::door::resp::failure::Refusal;
use crate::door::resp::number;
use crate::door::resp::request::Arguments;
use crate::door::resp::table::Spec;

pub(in crate::door::resp) const COMMANDS: &[Spec] = &[
    Spec::new("getbit", 3, getbit).key().read().fast().about(
        "2.2.0",
        "O(1)",
        "Returns a bit of a string.",
    ),
    Spec::new("setbit", 4, setbit).key().grow().about(
        "2.2.0",
        "O(N) in the value",
        "Sets a bit of a string; returns what it was.",
    ),
];

/// Where a bit is; as many as Redis has at most.
fn place(text: &[u8]) -> Result<u64, Refusal> {
    number::integer(text)
        .and_then(|place| u32::try_from(place).ok())
        .map(u64::from)
        .ok_or(Refusal::of(
            "ERR bit offset is not an integer or out of range",
        ))
}

fn getbit(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let place = place(&arguments[2])?;
    let byte = i64::try_from(place / 8).unwrap_or(i64::MAX);
    let key = call.key(&arguments.take(), 1)?;
    let operation = command::Operation::String(Operation::Range(byte, byte));
    call.operate(key, operation, move |out, answer| {
        let Answer::Bytes(bytes) = answer else {
            return Err(Refusal::UNEXPECTED);
        };
        let byte = bytes.first().copied().unwrap_or(0);
        out.integer(i64::from(byte >> (7 - place % 8) & 1));
        Ok(())
    })
}

fn setbit(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let place = place(&arguments[2])?;
    let bit = match &arguments[3] {
        b"0" => false,
        b"1" => true,
        _ => {
            return Err(Refusal::of("ERR bit is not an integer or out of range"));
        }
    };
    let key = call.key(&arguments.take(), 1)?;
    let operation = command::Operation::String(Operation::SetBit(place, bit));
    call.operate(key, operation, answer::integer)
}
