//! Commands about keys, whatever their values are.
//!
//! Those about several keys carry out one command for each, all at once; they are not atomic
//! together. [`expire`] has those about how long keys live, [`carry`] those that take a value from
//! one key to another.

use super::call::{Answered, Call, answer_of, typed};
use super::failure::Refusal;
use super::request::Arguments;
use super::table::Spec;
use super::{carry, expire};
use crate::command::answer::Described;
use crate::command::lifetime::Operation as Lifetime;
use crate::command::{Answer, Command, Condition, Kind, Operation, Reply};
use crate::key::Key;

pub(super) const COMMANDS: &[Spec] = &[
    Spec::new("copy", -3, carry::copy)
        .keys(1, 2, 1)
        .grow()
        .about(
            "6.2.0",
            "O(N) in the value",
            "Copies a value to another key.",
        ),
    Spec::new("del", -2, del).keys(1, -1, 1).write().about(
        "1.0.0",
        "O(N) in keys",
        "Removes keys.",
    ),
    Spec::new("exists", -2, exists)
        .keys(1, -1, 1)
        .read()
        .fast()
        .about(
            "1.0.0",
            "O(N) in keys",
            "Returns how many of the keys are there.",
        ),
    Spec::new("expire", -3, expire::expire)
        .key()
        .write()
        .fast()
        .about(
            "1.0.0",
            "O(1)",
            "Sets after how many seconds a key expires.",
        ),
    Spec::new("expireat", -3, expire::expireat)
        .key()
        .write()
        .fast()
        .about("1.2.0", "O(1)", "Sets at which second a key expires."),
    Spec::new("expiretime", 2, expire::expiretime)
        .key()
        .read()
        .fast()
        .about("7.0.0", "O(1)", "Returns at which second a key expires."),
    Spec::new("persist", 2, expire::persist)
        .key()
        .write()
        .fast()
        .about("2.2.0", "O(1)", "Lets a key live for ever."),
    Spec::new("pexpire", -3, expire::pexpire)
        .key()
        .write()
        .fast()
        .about(
            "2.6.0",
            "O(1)",
            "Sets after how many milliseconds a key expires.",
        ),
    Spec::new("pexpireat", -3, expire::pexpireat)
        .key()
        .write()
        .fast()
        .about("2.6.0", "O(1)", "Sets at which millisecond a key expires."),
    Spec::new("pexpiretime", 2, expire::pexpiretime)
        .key()
        .read()
        .fast()
        .about(
            "7.0.0",
            "O(1)",
            "Returns at which millisecond a key expires.",
        ),
    Spec::new("pttl", 2, expire::pttl)
        .key()
        .read()
        .fast()
        .about(
            "2.6.0",
            "O(1)",
            "Returns how many milliseconds a key has left.",
        ),
    Spec::new("rename", 3, carry::rename)
        .keys(1, 2, 1)
        .grow()
        .about(
            "1.0.0",
            "O(N) in the value",
            "Takes a value to another key.",
        ),
    Spec::new("renamenx", 3, carry::renamenx)
        .keys(1, 2, 1)
        .grow()
        .about(
            "1.0.0",
            "O(N) in the value",
            "Takes a value to a key that is not there.",
        ),
    Spec::new("touch", -2, exists)
        .keys(1, -1, 1)
        .read()
        .fast()
        .about(
            "3.2.1",
            "O(N) in keys",
            "Counts as a use of keys; returns how many are there.",
        ),
    Spec::new("ttl", 2, expire::ttl).key().read().fast().about(
        "1.0.0",
        "O(1)",
        "Returns how many seconds a key has left.",
    ),
    Spec::new("type", 2, type_of).key().read().fast().about(
        "1.0.0",
        "O(1)",
        "Returns what a value is.",
    ),
    Spec::new("unlink", -2, del)
        .keys(1, -1, 1)
        .write()
        .fast()
        .about("4.0.0", "O(N) in keys", "Removes keys."),
];

/// What is known of a value.
pub(super) const DESCRIBE: Operation = Operation::Lifetime(Lifetime::Describe);

/// What is known of a value, if there is one.
pub(super) fn described(answer: Answer) -> Result<Option<Described>, Refusal> {
    match answer {
        Answer::Nothing => Ok(None),
        Answer::Described(described) => Ok(Some(described)),
        _ => Err(Refusal::UNEXPECTED),
    }
}

/// One command for each key among the arguments.
fn for_each(
    call: &Call<'_>,
    arguments: Arguments<'_>,
    command: impl Fn(Key) -> Command,
) -> Result<Vec<Command>, Refusal> {
    let taken = arguments.take();
    (1..taken.len())
        .map(|at| Ok(command(call.key(&taken, at)?)))
        .collect()
}

fn del(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let condition = Condition::None;
    let commands = for_each(&call, arguments, |key| Command::Delete {
        key,
        condition: condition.clone(),
    })?;
    call.execute_all(commands, |out, replies| {
        let mut count = 0;
        for reply in replies {
            count += i64::from(reply? == Reply::Deleted(true));
        }
        out.integer(count);
        Ok(())
    })
}

fn exists(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let commands = for_each(&call, arguments, |key| typed(key, DESCRIBE))?;
    call.execute_all(commands, |out, replies| {
        let mut count = 0;
        for reply in replies {
            count += i64::from(described(answer_of(reply?)?)?.is_some());
        }
        out.integer(count);
        Ok(())
    })
}

/// What Redis calls values of a kind; documents are called as its module for them does.
pub(super) fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Bytes | Kind::Counter | Kind::Flag => "string",
        Kind::Json => "ReJSON-RL",
        Kind::Set => "set",
        Kind::Hash => "hash",
        Kind::List => "list",
        // The table never gives one out.
        Kind::Tombstone => "none",
    }
}

fn type_of(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let key = call.key(&arguments.take(), 1)?;
    call.operate(key, DESCRIBE, |out, answer| {
        let kind = described(answer)?.map(|described| described.kind);
        out.simple(kind.map_or("none", type_name));
        Ok(())
    })
}
