//! Commands about strings. Counters are strings of digits; documents and flags can be read as such.
//!
//! Commands about several keys carry out one for each, all at once: each is applied at its owner, and
//! they are not atomic together.

mod all_or_none;
pub(super) mod bits;
pub(super) mod lcs;

use super::answer::{self, string};
use super::call::{Answered, Call, Flow};
use super::failure::Refusal;
use super::lifetime::Unit;
use super::number;
use super::reply::Out;
use super::request::{Arguments, Taken};
use super::table::Spec;
use crate::command::string::{Only, Operation};
use crate::command::{self, Command, Condition, Expiry, Kind, Reply};
use crate::key::Key;
use crate::router;

pub(super) const COMMANDS: &[Spec] = &[
    Spec::new("append", 3, append).key().grow().fast().about(
        "2.0.0",
        "O(N) in the value",
        "Adds to the end of a string.",
    ),
    Spec::new("decr", 2, decr).key().grow().fast().about(
        "1.0.0",
        "O(1)",
        "Subtracts one from a number.",
    ),
    Spec::new("decrby", 3, decrby).key().grow().fast().about(
        "1.0.0",
        "O(1)",
        "Subtracts from a number.",
    ),
    Spec::new("get", 2, get).key().read().fast().about(
        "1.0.0",
        "O(1)",
        "Returns a string, or the text of a document.",
    ),
    Spec::new("getdel", 2, getdel).key().write().fast().about(
        "6.2.0",
        "O(1)",
        "Returns a string, and removes it.",
    ),
    Spec::new("getex", -2, getex).key().write().fast().about(
        "6.2.0",
        "O(1)",
        "Returns a string, and sets when it expires.",
    ),
    Spec::new("getrange", 4, getrange).key().read().about(
        "2.4.0",
        "O(N) in what is returned",
        "Returns a part of a string.",
    ),
    Spec::new("getset", 3, getset).key().grow().fast().about(
        "1.0.0",
        "O(1)",
        "Sets a string, and returns the one that was there.",
    ),
    Spec::new("incr", 2, incr)
        .key()
        .grow()
        .fast()
        .about("1.0.0", "O(1)", "Adds one to a number."),
    Spec::new("incrby", 3, incrby)
        .key()
        .grow()
        .fast()
        .about("1.0.0", "O(1)", "Adds to a number."),
    Spec::new("incrbyfloat", 3, incrbyfloat)
        .key()
        .grow()
        .fast()
        .about(
            "2.6.0",
            "O(1)",
            "Adds to a number that may have a fraction.",
        ),
    Spec::new("mget", -2, mget)
        .keys(1, -1, 1)
        .read()
        .fast()
        .about("1.0.0", "O(N) in keys", "Returns strings."),
    Spec::new("mset", -3, mset).keys(1, -1, 2).grow().about(
        "1.0.1",
        "O(N) in keys",
        "Sets strings, each by itself.",
    ),
    Spec::new("msetnx", -3, all_or_none::msetnx)
        .keys(1, -1, 2)
        .grow()
        .about(
            "1.0.1",
            "O(N) in keys",
            "Sets strings if none of the keys is there.",
        ),
    Spec::new("psetex", 4, psetex).key().grow().about(
        "2.6.0",
        "O(1)",
        "Sets a string for so many milliseconds.",
    ),
    Spec::new("set", -3, set).key().grow().about(
        "1.0.0",
        "O(1)",
        "Sets a string, whatever was there.",
    ),
    Spec::new("setex", 4, setex).key().grow().about(
        "2.0.0",
        "O(1)",
        "Sets a string for so many seconds.",
    ),
    Spec::new("setnx", 3, setnx).key().grow().fast().about(
        "1.0.0",
        "O(1)",
        "Sets a string if the key is not there.",
    ),
    Spec::new("setrange", 4, setrange).key().grow().about(
        "2.2.0",
        "O(N) in the value",
        "Replaces a part of a string.",
    ),
    Spec::new("strlen", 2, strlen).key().read().fast().about(
        "2.2.0",
        "O(1)",
        "Returns the length of a string.",
    ),
];

fn is(argument: &[u8], word: &str) -> bool {
    argument.eq_ignore_ascii_case(word.as_bytes())
}

/// What a `Get` replied, read as a string.
fn value(out: &mut Out, shared: &super::Shared, reply: Reply) -> Result<(), Refusal> {
    let Reply::Value(entry) = reply else {
        return Err(Refusal::UNEXPECTED);
    };
    let entry = entry.as_ref().map(command::Entry::as_ref);
    string(out, &shared.context.budget, entry)
}

fn get(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let context = &call.shared.context;
    let key = &arguments[1];
    Key::check(key, context.config.key_bytes_max)?;
    let (out, budget) = (&mut *call.out, &context.budget);
    let here = context
        .router
        .read_local_at(key, call.now, |entry| string(out, budget, entry));
    if let Some(written) = here {
        written?;
        return Ok(Flow::Done);
    }
    let taken = arguments.take();
    let key = call.key(&taken, 1)?;
    let shared = std::sync::Arc::clone(call.shared);
    call.execute(Command::Get { key }, move |out, reply| {
        value(out, &shared, reply)
    })
}

fn mget(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let shared = call.shared;
    let context = &shared.context;
    let start = call.out.len();
    call.out.array(arguments.len() - 1);
    let mut all_here = true;
    for key in arguments.from(1) {
        Key::check(key, context.config.key_bytes_max)?;
        let (out, budget) = (&mut *call.out, &context.budget);
        let here = context
            .router
            .read_local_at(key, call.now, |entry| string_or_null(out, budget, entry));
        match here {
            Some(written) => written?,
            None => {
                all_here = false;
                break;
            }
        }
    }
    if all_here {
        return Ok(Flow::Done);
    }
    call.out.truncate(start);
    let taken = arguments.take();
    let keys = (1..taken.len()).map(|at| call.key(&taken, at));
    let keys: Vec<Key> = keys.collect::<Result<_, _>>()?;
    let commands = keys.into_iter().map(|key| Command::Get { key }).collect();
    let shared = std::sync::Arc::clone(shared);
    call.execute_all(commands, move |out, replies| {
        out.array(replies.len());
        for reply in replies {
            let Reply::Value(entry) = reply? else {
                return Err(Refusal::UNEXPECTED);
            };
            let entry = entry.as_ref().map(command::Entry::as_ref);
            string_or_null(out, &shared.context.budget, entry)?;
        }
        Ok(())
    })
}

/// What is no string is none here.
fn string_or_null(
    out: &mut Out,
    budget: &std::sync::Arc<crate::door::hold::Budget>,
    entry: Option<command::EntryRef<'_>>,
) -> Result<(), Refusal> {
    let entry = entry.filter(|entry| answer::is_string(entry.kind));
    string(out, budget, entry)
}

/// The options of `SET` and `GETEX`.
#[derive(Default)]
struct Options {
    only: Only,
    get: bool,
    keep: bool,
    persist: bool,
    /// The unit, and where its number is.
    expiry: Option<(Unit, usize)>,
}

impl Options {
    fn read(arguments: &Arguments<'_>, from: usize, is_set: bool) -> Result<Options, Refusal> {
        let mut options = Options::default();
        let mut at = from;
        while let Some(option) = arguments.get(at) {
            let lives = options.keep || options.persist;
            if is_set && is(option, "nx") && options.only != Only::IfPresent {
                options.only = Only::IfAbsent;
            } else if is_set && is(option, "xx") && options.only != Only::IfAbsent {
                options.only = Only::IfPresent;
            } else if is_set && is(option, "get") {
                options.get = true;
            } else if is_set && is(option, "keepttl") && options.expiry.is_none() {
                options.keep = true;
            } else if !is_set && is(option, "persist") && options.expiry.is_none() {
                options.persist = true;
            } else if let Some(unit) = Unit::of_option(option)
                && at + 1 < arguments.len()
                && !lives
                && options.expiry.is_none_or(|(other, _)| other == unit)
            {
                at += 1;
                options.expiry = Some((unit, at));
            } else {
                return Err(Refusal::SYNTAX);
            }
            at += 1;
        }
        Ok(options)
    }
}

fn set(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    if arguments.len() == 3 {
        if let Some(put) = put_local(&call, &arguments[1], &arguments[2]) {
            put?;
            call.out.ok();
            return Ok(Flow::Done);
        }
        let taken = arguments.take();
        let command = put(&call, &taken, (1, 2), None, Condition::None)?;
        return call.execute(command, stored);
    }
    let options = Options::read(&arguments, 3, true)?;
    let now = call.shared.context.clock.now();
    let mut expiry = if options.keep {
        Expiry::Keep
    } else {
        Expiry::Never
    };
    if let Some((unit, at)) = options.expiry {
        expiry = unit.of_value(&arguments[at], now, "set")?;
    }
    let taken = arguments.take();
    // What a whole write says needs no box.
    let ttl_ms = match expiry {
        Expiry::Never => Some(None),
        Expiry::In(ms) => Some(Some(ms)),
        Expiry::Keep | Expiry::At(_) => None,
    };
    if let (Some(ttl_ms), false) = (ttl_ms, options.get) {
        let condition = match options.only {
            Only::Always => Condition::None,
            Only::IfAbsent => Condition::Absent,
            Only::IfPresent => Condition::Present,
        };
        let command = put(&call, &taken, (1, 2), ttl_ms, condition)?;
        return call.execute(command, stored);
    }
    let operation = Operation::Set {
        data: taken.bytes(2),
        expiry,
        only: options.only,
        answers_previous: options.get,
    };
    let key = call.key(&taken, 1)?;
    let form = if options.get {
        answer::bulk
    } else {
        answer::ok
    };
    call.operate(key, command::Operation::String(operation), form)
}

/// Puts a string, if that is possible here and at once.
fn put_local(call: &Call<'_>, key: &[u8], data: &[u8]) -> Option<Result<(), Refusal>> {
    let context = &call.shared.context;
    if let Err(error) = Key::check(key, context.config.key_bytes_max) {
        return Some(Err(error.into()));
    }
    let put = context.router.put_local(key, data, call.now)?;
    Some(put.map_err(Refusal::from))
}

/// A whole write of arguments.
fn put(
    call: &Call<'_>,
    taken: &Taken<'_>,
    (key, data): (usize, usize),
    ttl_ms: Option<u64>,
    condition: Condition,
) -> Result<Command, Refusal> {
    Ok(Command::Put {
        key: call.key(taken, key)?,
        kind: Kind::Bytes,
        data: taken.bytes(data),
        ttl_ms,
        condition,
    })
}

/// `OK`, or nothing if the condition did not hold.
fn stored(out: &mut Out, reply: Reply) -> Result<(), Refusal> {
    match reply {
        Reply::Stored { .. } => out.ok(),
        Reply::ConditionFailed { .. } => out.null(),
        _ => return Err(Refusal::UNEXPECTED),
    }
    Ok(())
}

fn setnx(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let taken = arguments.take();
    let command = put(&call, &taken, (1, 2), None, Condition::Absent)?;
    call.execute(command, |out, reply| {
        out.integer(matches!(reply, Reply::Stored { .. }).into());
        Ok(())
    })
}

fn setex(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    set_for(call, arguments, Unit::Seconds)
}

fn psetex(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    set_for(call, arguments, Unit::Milliseconds)
}

fn set_for(call: Call<'_>, arguments: Arguments<'_>, unit: Unit) -> Answered {
    let now = call.shared.context.clock.now();
    let Expiry::In(ms) = unit.of_value(&arguments[2], now, &call.entry.name)? else {
        return Err(Refusal::UNEXPECTED);
    };
    let taken = arguments.take();
    let command = put(&call, &taken, (1, 3), Some(ms), Condition::None)?;
    call.execute(command, stored)
}

fn getset(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let taken = arguments.take();
    let key = call.key(&taken, 1)?;
    let operation = Operation::Set {
        data: taken.bytes(2),
        expiry: Expiry::Never,
        only: Only::Always,
        answers_previous: true,
    };
    call.operate(key, command::Operation::String(operation), answer::bulk)
}

/// An operation on the string at the first argument.
fn operate(
    call: Call<'_>,
    taken: &Taken<'_>,
    operation: Operation,
    form: answer::Form,
) -> Answered {
    let key = call.key(taken, 1)?;
    call.operate(key, command::Operation::String(operation), form)
}

fn getdel(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    operate(call, &arguments.take(), Operation::Take, answer::bulk)
}

fn getex(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let options = Options::read(&arguments, 2, false)?;
    let now = call.shared.context.clock.now();
    let expiry = match options.expiry {
        Some((unit, at)) => unit.of_value(&arguments[at], now, "getex")?,
        None if options.persist => Expiry::Never,
        None => Expiry::Keep,
    };
    let operation = Operation::GetAndExpire(expiry);
    operate(call, &arguments.take(), operation, answer::bulk)
}

fn append(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let taken = arguments.take();
    let operation = Operation::Append(taken.bytes(2));
    operate(call, &taken, operation, answer::integer)
}

fn strlen(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    operate(call, &arguments.take(), Operation::Length, answer::integer)
}

fn getrange(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let first = number::integer(&arguments[2]).ok_or(Refusal::NOT_INTEGER)?;
    let last = number::integer(&arguments[3]).ok_or(Refusal::NOT_INTEGER)?;
    let operation = Operation::Range(first, last);
    operate(call, &arguments.take(), operation, answer::bulk)
}

fn setrange(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let offset = number::integer(&arguments[2]).ok_or(Refusal::NOT_INTEGER)?;
    let offset = u64::try_from(offset).map_err(|_| Refusal::of("ERR offset is out of range"))?;
    let taken = arguments.take();
    let operation = Operation::SetRange(offset, taken.bytes(3));
    operate(call, &taken, operation, answer::integer)
}

fn incr(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    add(call, arguments, 1)
}

fn decr(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    add(call, arguments, -1)
}

fn incrby(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let by = number::integer(&arguments[2]).ok_or(Refusal::NOT_INTEGER)?;
    add(call, arguments, by)
}

fn decrby(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let by = number::integer(&arguments[2]).ok_or(Refusal::NOT_INTEGER)?;
    let by = by
        .checked_neg()
        .ok_or(Refusal::of("ERR decrement would overflow"))?;
    add(call, arguments, by)
}

fn add(call: Call<'_>, arguments: Arguments<'_>, by: i64) -> Answered {
    let context = &call.shared.context;
    let key = &arguments[1];
    Key::check(key, context.config.key_bytes_max)?;
    if let Some(sum) = context.router.add_local(key, by, call.now) {
        call.out.integer(sum?);
        return Ok(Flow::Done);
    }
    let command = Command::Increment {
        key: call.key(&arguments.take(), 1)?,
        by,
        ttl_ms: None,
        condition: Condition::None,
    };
    call.execute(command, |out, reply| match reply {
        // It is kept as the digits that a reply has.
        Reply::Stored { entry, .. } => {
            out.integer_text(&entry.data);
            Ok(())
        }
        _ => Err(Refusal::UNEXPECTED),
    })
}

fn incrbyfloat(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let taken = arguments.take();
    let operation = Operation::IncrementFloat(taken.bytes(2));
    operate(call, &taken, operation, answer::bulk)
}

/// Refuses what can be seen to be wrong with `MSET` and `MSETNX` before any of it is done.
fn check_puts(call: &Call<'_>, arguments: &Arguments<'_>) -> Result<(), Refusal> {
    if arguments.len().is_multiple_of(2) {
        return Err(Refusal::arity(&call.entry.name));
    }
    let config = &call.shared.context.config;
    for at in (1..arguments.len()).step_by(2) {
        Key::check(&arguments[at], config.key_bytes_max)?;
        let (bytes, max) = (arguments[at + 1].len(), config.value_bytes_max);
        if bytes > max {
            let error = command::Error::ValueTooLarge { bytes, max };
            return Err(router::Error::Command(error).into());
        }
    }
    Ok(())
}

/// The writes of `MSET` and `MSETNX` from an argument on.
fn puts(
    call: &Call<'_>,
    arguments: Arguments<'_>,
    first: usize,
    condition: Condition,
) -> Result<Vec<Command>, Refusal> {
    let taken = arguments.take();
    (first..taken.len())
        .step_by(2)
        .map(|at| put(call, &taken, (at, at + 1), None, condition.clone()))
        .collect()
}

fn mset(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    check_puts(&call, &arguments)?;
    // What was put is not put again: others may have changed it since.
    let router = &call.shared.context.router;
    let mut at = 1;
    while at < arguments.len() {
        match router.put_local(&arguments[at], &arguments[at + 1], call.now) {
            Some(put) => put?,
            None => break,
        }
        at += 2;
    }
    if at == arguments.len() {
        call.out.ok();
        return Ok(Flow::Done);
    }
    // Of several for one key only the last: on its way to another node one may be sent again, behind
    // a later one.
    let commands = all_or_none::last_of_each(puts(&call, arguments, at, Condition::None)?);
    call.execute_all(commands, |out, replies| {
        replies
            .into_iter()
            .collect::<Result<Vec<_>, router::Error>>()?;
        out.ok();
        Ok(())
    })
}
