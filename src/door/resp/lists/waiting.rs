//! `BLPOP` and its kin, which in Redis wait until there is an element.
//!
//! Here they do not wait: if there is an element they do what they would do with it, and otherwise
//! say that they would have to. Whoever sees that error asks again later.

use super::{Missing, end, of, pop_first, several};
use crate::command::Answer;
use crate::command::list::{End, Operation};
use crate::door::resp::call::{Answered, Call};
use crate::door::resp::failure::Refusal;
use crate::door::resp::queue::Touches;
use crate::door::resp::request::Arguments;
use crate::door::resp::typed;
use crate::key::Key;

const MISSING: Missing = |_| {
    Err(Refusal::of(
        "ERR blocking commands are not supported by this server: there is no element now, ask again \
         later",
    ))
};

pub(super) fn blpop(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    pop(call, arguments, End::Left)
}

pub(super) fn brpop(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    pop(call, arguments, End::Right)
}

fn pop(call: Call<'_>, arguments: Arguments<'_>, end: End) -> Answered {
    let last = arguments.len() - 1;
    check_timeout(&arguments[last])?;
    let taken = arguments.take();
    let touches = Touches::many((1..last).map(|at| &taken[at]), true);
    let keys: Result<Vec<Key>, Refusal> = (1..last).map(|at| call.key(&taken, at)).collect();
    let keys = keys?;
    call.step_by_step(touches, move |steps, mut out| async move {
        for key in keys {
            let pop = of(key.clone(), Operation::Pop { end, count: None });
            if let Answer::Bytes(element) = typed::answer(steps.execute(&pop).await)? {
                out.array(2);
                out.bulk(key.as_bytes());
                out.bulk(&element);
                return Ok(out);
            }
        }
        MISSING(&mut out)?;
        Ok(out)
    })
}

pub(super) fn blmove(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let ends = (end(&arguments[3])?, end(&arguments[4])?);
    check_timeout(&arguments[5])?;
    super::shift(call, arguments, ends, MISSING)
}

pub(super) fn brpoplpush(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    check_timeout(&arguments[3])?;
    super::shift(call, arguments, (End::Right, End::Left), MISSING)
}

pub(super) fn blmpop(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let wish = several(&arguments, 2)?;
    check_timeout(&arguments[1])?;
    let taken = arguments.take();
    pop_first(call, &taken, wish, MISSING)
}

/// Seconds, perhaps with a fraction.
fn check_timeout(text: &[u8]) -> Result<(), Refusal> {
    let seconds =
        typed::float(text).ok_or(Refusal::of("ERR timeout is not a float or out of range"))?;
    let ms = seconds * 1_000.0;
    if ms > i64::MAX as f64 {
        return Err(Refusal::of("ERR timeout is out of range"));
    }
    if ms.ceil() < 0.0 {
        return Err(Refusal::TIMEOUT_NEGATIVE);
    }
    Ok(())
}
