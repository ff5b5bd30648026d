//! `MULTI`, `EXEC` and `DISCARD`: transactions, of which there are none.
//!
//! Many clients put every pipeline between `MULTI` and `EXEC`, and send all of it at once. To them it must
//! not look as if it had been done: so what comes between is refused, command by command, and `EXEC`
//! answers as Redis does when a command of a transaction was no good. Nothing is carried out, and the
//! client's own error names the first command and the reason.

use super::call::{Answered, Call, Flow};
use super::failure::Refusal;
use super::request::Arguments;
use super::table::{Entry, Spec};

pub(super) const COMMANDS: &[Spec] = &[
    Spec::new("discard", 1, discard).fast().free().about(
        "2.0.0",
        "O(1)",
        "Ends what MULTI began, of which nothing was carried out.",
    ),
    Spec::new("exec", 1, exec).fast().free().about(
        "1.2.0",
        "O(1)",
        "Ends what MULTI began, of which nothing was carried out, with an error.",
    ),
    Spec::new("multi", 1, multi).fast().free().about(
        "1.2.0",
        "O(1)",
        "Has what follows refused until EXEC or DISCARD: there are no transactions.",
    ),
];

/// What is carried out between `MULTI` and `EXEC` all the same.
const CARRIED_OUT: [&str; 5] = ["discard", "exec", "multi", "quit", "reset"];

/// Refuses what stands between `MULTI` and `EXEC`.
pub(super) fn check(entry: &Entry) -> Result<(), Refusal> {
    if CARRIED_OUT.contains(&entry.name.as_str()) {
        return Ok(());
    }
    let name = &entry.name;
    Err(Refusal::text(format!(
        "ERR there are no transactions here, and '{name}' was not carried out: send it without MULTI, \
         in a pipeline if there are several"
    )))
}

fn multi(call: Call<'_>, _arguments: Arguments<'_>) -> Answered {
    if std::mem::replace(&mut call.session.in_transaction, true) {
        return Err(Refusal::of("ERR MULTI calls can not be nested"));
    }
    call.out.ok();
    Ok(Flow::Done)
}

fn exec(call: Call<'_>, _arguments: Arguments<'_>) -> Answered {
    Err(Refusal::of(
        match std::mem::take(&mut call.session.in_transaction) {
            true => "EXECABORT Transaction discarded because of previous errors.",
            false => "ERR EXEC without MULTI",
        },
    ))
}

fn discard(call: Call<'_>, _arguments: Arguments<'_>) -> Answered {
    if !std::mem::take(&mut call.session.in_transaction) {
        return Err(Refusal::of("ERR DISCARD without MULTI"));
    }
    call.out.ok();
    Ok(Flow::Done)
}
