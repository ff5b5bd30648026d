//! How long keys live: `EXPIRE`, `TTL` and their kin.

use super::answer;
use super::call::{Answered, Call};
use super::failure::Refusal;
use super::keys::{DESCRIBE, described};
use super::lifetime::Unit;
use super::request::Arguments;
use crate::clock::UnixMs;
use crate::command::Operation;
use crate::command::lifetime::{Operation as Lifetime, Rule};

pub(super) fn expire(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    set(call, arguments, Unit::Seconds)
}

pub(super) fn pexpire(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    set(call, arguments, Unit::Milliseconds)
}

pub(super) fn expireat(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    set(call, arguments, Unit::AtSeconds)
}

pub(super) fn pexpireat(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    set(call, arguments, Unit::AtMilliseconds)
}

fn set(call: Call<'_>, arguments: Arguments<'_>, unit: Unit) -> Answered {
    let rule = rule(&arguments)?;
    let now = call.shared.context.clock.now();
    let expiry = unit.of_key(&arguments[2], now, &call.entry.name)?;
    let key = call.key(&arguments.take(), 1)?;
    let operation = Operation::Lifetime(Lifetime::Expire(expiry, rule));
    call.operate(key, operation, answer::integer)
}

fn rule(arguments: &Arguments<'_>) -> Result<Rule, Refusal> {
    let mut rule = Rule::default();
    for option in arguments.from(3) {
        let is = |word: &str| option.eq_ignore_ascii_case(word.as_bytes());
        if is("nx") {
            rule.only_if_none = true;
        } else if is("xx") {
            rule.only_if_some = true;
        } else if is("gt") {
            rule.only_if_later = true;
        } else if is("lt") {
            rule.only_if_sooner = true;
        } else {
            let mut text = b"ERR Unsupported option ".to_vec();
            text.extend_from_slice(option);
            return Err(Refusal::bytes(text));
        }
    }
    if rule.only_if_none && (rule.only_if_some || rule.only_if_later || rule.only_if_sooner) {
        return Err(Refusal::of(
            "ERR NX and XX, GT or LT options at the same time are not compatible",
        ));
    }
    if rule.only_if_later && rule.only_if_sooner {
        return Err(Refusal::of(
            "ERR GT and LT options at the same time are not compatible",
        ));
    }
    Ok(rule)
}

pub(super) fn persist(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let key = call.key(&arguments.take(), 1)?;
    let operation = Operation::Lifetime(Lifetime::Persist);
    call.operate(key, operation, answer::integer)
}

pub(super) fn ttl(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    tell(call, arguments, |at, now| seconds(now.ms_until(at)))
}

pub(super) fn pttl(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    tell(call, arguments, |at, now| now.ms_until(at))
}

pub(super) fn expiretime(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    tell(call, arguments, |at, _| seconds(at.0))
}

pub(super) fn pexpiretime(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    tell(call, arguments, |at, _| at.0)
}

/// The nearest whole number of them.
fn seconds(ms: u64) -> u64 {
    ms.saturating_add(500) / 1_000
}

fn tell(call: Call<'_>, arguments: Arguments<'_>, figure: fn(UnixMs, UnixMs) -> u64) -> Answered {
    let clock = call.shared.context.clock.clone();
    let key = call.key(&arguments.take(), 1)?;
    call.operate(key, DESCRIBE, move |out, answer| {
        let figure = |at| i64::try_from(figure(at, clock.now())).unwrap_or(i64::MAX);
        out.integer(match described(answer)? {
            None => -2,
            Some(described) => described.expires_at.map_or(-1, figure),
        });
        Ok(())
    })
}
