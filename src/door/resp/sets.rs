//! Commands about sets: members without an order, each once.
//!
//! Those about several sets read each by itself, wherever it lives: another client may write in
//! between. Those that store write the result in one piece; if the destination is a source as well,
//! only if it has not changed since it was read.

use bytes::Bytes;

use super::answer::{self, Form};
use super::call::{Answered, Call, Flow, Steps, typed};
use super::failure::Refusal;
use super::queue::Touches;
use super::reply::Out;
use super::request::{Arguments, Taken};
use super::table::Spec;
use super::typed::{self, Scan};
use crate::command::collection::Packer;
use crate::command::set::Operation;
use crate::command::{self, Command, Condition, Kind, Reply};
use crate::key::Key;
use crate::router;
use crate::table::Altered;
use crate::version::Version;

mod algebra;
mod limited;

use self::algebra::{Combine, difference, intersection, union};

pub(super) const COMMANDS: &[Spec] = &[
    Spec::new("sadd", -3, sadd).grow().fast().key().about(
        "1.0.0",
        "O(N) in the members",
        "Adds members to a set.",
    ),
    Spec::new("scard", 2, scard).read().fast().key().about(
        "1.0.0",
        "O(1)",
        "Returns how many members there are.",
    ),
    Spec::new("sdiff", -2, sdiff).read().keys(1, -1, 1).about(
        "1.0.0",
        "O(N) in all members",
        "Returns what is in the first set and in no other.",
    ),
    Spec::new("sdiffstore", -3, sdiffstore)
        .grow()
        .keys(1, -1, 1)
        .about(
            "1.0.0",
            "O(N) in all members",
            "Stores what is in the first set and in no other.",
        ),
    Spec::new("sinter", -2, sinter).read().keys(1, -1, 1).about(
        "1.0.0",
        "O(N) in all members",
        "Returns what is in all sets.",
    ),
    Spec::new("sintercard", -3, sintercard)
        .read()
        .counted(1, 0)
        .about(
            "7.0.0",
            "O(N) in all members",
            "Returns how many members are in all sets.",
        ),
    Spec::new("sinterstore", -3, sinterstore)
        .grow()
        .keys(1, -1, 1)
        .about(
            "1.0.0",
            "O(N) in all members",
            "Stores what is in all sets.",
        ),
    Spec::new("sismember", 3, sismember)
        .read()
        .fast()
        .key()
        .about("1.0.0", "O(1)", "Tells whether a set has a member."),
    Spec::new("smembers", 2, smembers).read().key().about(
        "1.0.0",
        "O(N) in the set",
        "Returns all members.",
    ),
    Spec::new("smismember", -3, smismember)
        .read()
        .fast()
        .key()
        .about(
            "6.2.0",
            "O(N) in the members asked for",
            "Tells of each of these whether a set has it.",
        ),
    Spec::new("smove", 4, smove)
        .write()
        .fast()
        .keys(1, 2, 1)
        .about("1.0.0", "O(1)", "Moves a member from one set to another."),
    Spec::new("spop", -2, spop).write().fast().key().about(
        "1.0.0",
        "O(N) in the members returned",
        "Removes members at random, and returns them.",
    ),
    Spec::new("srandmember", -2, srandmember)
        .read()
        .key()
        .about(
            "1.0.0",
            "O(N) in the members returned",
            "Returns members at random.",
        ),
    Spec::new("srem", -3, srem).write().fast().key().about(
        "1.0.0",
        "O(N) in the members",
        "Removes members of a set, and the key with the last one.",
    ),
    Spec::new("sscan", -3, sscan).read().key().about(
        "2.8.0",
        "O(N) in the members returned",
        "Goes through members in stretches.",
    ),
    Spec::new("sunion", -2, sunion).read().keys(1, -1, 1).about(
        "1.0.0",
        "O(N) in all members",
        "Returns what is in any of the sets.",
    ),
    Spec::new("sunionstore", -3, sunionstore)
        .grow()
        .keys(1, -1, 1)
        .about(
            "1.0.0",
            "O(N) in all members",
            "Stores what is in any of the sets.",
        ),
];

/// Of a command whose only argument is its key.
fn whole(call: Call<'_>, arguments: Arguments<'_>, operation: Operation, write: Form) -> Answered {
    let key = call.key(&arguments.take(), 1)?;
    call.operate(key, command::Operation::Set(operation), write)
}

/// Of a command about members that it names.
fn members(
    call: Call<'_>,
    arguments: Arguments<'_>,
    operation: fn(Vec<Bytes>) -> Operation,
    write: Form,
) -> Answered {
    let taken = arguments.take();
    let key = call.key(&taken, 1)?;
    let operation = operation(typed::rest(&taken, 2));
    call.operate(key, command::Operation::Set(operation), write)
}

fn sadd(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let added = call.alter_local(&arguments, (Kind::Set, 2), |set| {
        let members = arguments.from(2);
        let added = members.filter(|member| set.add(member)).count();
        Some(match added {
            0 => Altered::No(0),
            added => Altered::Yes(added),
        })
    });
    if let Some(added) = added {
        call.out.integer(added as i64);
        return Ok(Flow::Done);
    }
    members(call, arguments, Operation::Add, answer::integer)
}

fn srem(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    members(call, arguments, Operation::Remove, answer::integer)
}

fn smismember(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    members(call, arguments, Operation::Contains, answer::integers)
}

fn sismember(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    members(call, arguments, Operation::Contains, is_member)
}

fn is_member(out: &mut Out, answer: command::Answer) -> Result<(), Refusal> {
    match answer {
        command::Answer::Integers(found) => {
            out.integer(found.first().copied().flatten().unwrap_or(0))
        }
        _ => return Err(Refusal::UNEXPECTED),
    }
    Ok(())
}

fn scard(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    whole(call, arguments, Operation::Length, answer::integer)
}

fn smembers(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    whole(call, arguments, Operation::Members, answer::set)
}

fn spop(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    if arguments.len() > 3 {
        return Err(Refusal::SYNTAX);
    }
    let count = arguments.get(2).map(typed::count).transpose()?;
    let write = if count.is_some() {
        answer::set
    } else {
        answer::only
    };
    let operation = Operation::Pop {
        count: count.unwrap_or(1),
        seed: rand::random(),
    };
    whole(call, arguments, operation, write)
}

fn srandmember(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    if arguments.len() > 3 {
        return Err(Refusal::SYNTAX);
    }
    let count = arguments.get(2).map(typed::signed).transpose()?;
    let write = if count.is_some() {
        answer::array
    } else {
        answer::only
    };
    let operation = Operation::Random {
        count: count.unwrap_or(1),
        seed: rand::random(),
    };
    whole(call, arguments, operation, write)
}

fn sscan(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let scan = Scan {
        length: command::Operation::Set(Operation::Length),
        stretch: |cursor, count| command::Operation::Set(Operation::Scan { cursor, count }),
        step: 1,
    };
    typed::scan(call, arguments, scan)
}

/// `SMOVE`. The member is taken from the source first, so that of several clients that move it only
/// one does; for a moment it is in neither set.
fn smove(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let taken = arguments.take();
    let (from, to) = (call.key(&taken, 1)?, call.key(&taken, 2)?);
    let member = taken.bytes(3);
    let touches = Touches::many([&taken[1], &taken[2]].into_iter(), true);
    call.step_by_step(touches, |steps, mut out| async move {
        out.integer(shift(&steps, from, to, member).await?.into());
        Ok(out)
    })
}

async fn shift(steps: &Steps, from: Key, to: Key, member: Bytes) -> Result<bool, Refusal> {
    let of = |key: Key, operation| typed(key, command::Operation::Set(operation));
    let length = command::Operation::Set(Operation::Length);
    if typed::lengths(steps, &from, &to, &length).await?.is_none() {
        return Ok(false);
    }
    let this = vec![member];
    if from == to {
        let asked = of(from, Operation::Contains(this));
        let found = typed::answer(steps.execute(&asked).await)?;
        return Ok(found == command::Answer::Integers(vec![Some(1)]));
    }
    let take = of(from.clone(), Operation::Remove(this.clone()));
    if typed::answer(steps.execute(&take).await)? == command::Answer::Integer(0) {
        return Ok(false);
    }
    let put = of(to, Operation::Add(this.clone()));
    let back = of(from, Operation::Add(this));
    typed::put_or_back(steps, put, back).await?;
    Ok(true)
}

/// The keys of these arguments.
fn keys(
    call: &Call<'_>,
    taken: &Taken<'_>,
    places: std::ops::Range<usize>,
) -> Result<Vec<Key>, Refusal> {
    places.map(|at| call.key(taken, at)).collect()
}

fn read_all(keys: &[Key]) -> Vec<Command> {
    let read = |key: &Key| {
        let operation = command::Operation::Set(Operation::Members);
        typed(key.clone(), operation)
    };
    keys.iter().map(read).collect()
}

/// The sets that were read, and their versions.
type Found = (Vec<Vec<Bytes>>, Vec<Option<Version>>);

fn found(replies: Vec<Result<Reply, router::Error>>) -> Result<Found, Refusal> {
    let (mut sets, mut versions) = (Vec::new(), Vec::new());
    for reply in replies {
        versions.push(match &reply {
            Ok(Reply::Answer { version, .. }) => *version,
            _ => None,
        });
        let members = answer::list(typed::answer(reply)?)?;
        sets.push(members.into_iter().flatten().collect());
    }
    Ok((sets, versions))
}

fn sinter(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    combined(call, arguments, intersection)
}

fn sunion(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    combined(call, arguments, union)
}

fn sdiff(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    combined(call, arguments, difference)
}

fn combined(call: Call<'_>, arguments: Arguments<'_>, combine: Combine) -> Answered {
    let taken = arguments.take();
    let keys = keys(&call, &taken, 1..taken.len())?;
    call.execute_all(read_all(&keys), move |out, replies| {
        let (sets, _) = found(replies)?;
        let members = combine(sets);
        out.set(members.len());
        members.iter().for_each(|member| out.bulk(member));
        Ok(())
    })
}

fn sintercard(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let count = typed::at_least(&arguments[1], 1, "ERR numkeys should be greater than 0")?;
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count > arguments.len() - 2 {
        return Err(Refusal::of(
            "ERR Number of keys can't be greater than number of args",
        ));
    }
    let mut limit = 0;
    let mut at = 2 + count;
    while let Some(option) = arguments.get(at) {
        let value = arguments.get(at + 1);
        let (true, Some(value)) = (option.eq_ignore_ascii_case(b"limit"), value) else {
            return Err(Refusal::SYNTAX);
        };
        limit = typed::at_least(value, 0, "ERR LIMIT can't be negative")?;
        at += 2;
    }
    let taken = arguments.take();
    let touches = Touches::many((2..2 + count).map(|at| &taken[at]), false);
    let keys = keys(&call, &taken, 2..2 + count)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if limit > 0 {
        return call.step_by_step(touches, move |steps, mut out| async move {
            out.length(limited::count(&steps, keys, limit).await?);
            Ok(out)
        });
    }
    call.execute_all(read_all(&keys), |out, replies| {
        let (sets, _) = found(replies)?;
        out.length(intersection(sets).len());
        Ok(())
    })
}

fn sinterstore(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    store(call, arguments, intersection)
}

fn sunionstore(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    store(call, arguments, union)
}

fn sdiffstore(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    store(call, arguments, difference)
}

fn store(call: Call<'_>, arguments: Arguments<'_>, combine: Combine) -> Answered {
    let taken = arguments.take();
    let to = call.key(&taken, 1)?;
    let from = keys(&call, &taken, 2..taken.len())?;
    let touches = Touches::many((1..taken.len()).map(|at| &taken[at]), true);
    call.step_by_step(touches, move |steps, mut out| async move {
        out.length(combine_into(&steps, &to, &from, combine).await?);
        Ok(out)
    })
}

/// Writes what comes of sets to a key, and answers how many members that are.
async fn combine_into(
    steps: &Steps,
    to: &Key,
    from: &[Key],
    combine: Combine,
) -> Result<usize, Refusal> {
    /// How often it is begun anew because the destination, a source too, has changed meanwhile.
    const ATTEMPTS_MAX: usize = 16;
    for _ in 0..ATTEMPTS_MAX {
        let (sets, versions) = found(steps.all(read_all(from)).await?)?;
        let condition = match from.iter().position(|key| key == to) {
            None => Condition::None,
            Some(at) => versions[at].map_or(Condition::Absent, |version| {
                Condition::VersionIn(vec![version])
            }),
        };
        let members = combine(sets);
        match steps.execute(&writing(to, &members, condition)).await {
            Ok(Reply::ConditionFailed { .. }) => {}
            Ok(_) => return Ok(members.len()),
            Err(router::Error::Command(error)) => {
                return Err(Refusal::text(format!("ERR {error}")));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(Refusal::of(
        "BUSY the destination is also a source, and others keep changing it; try again later",
    ))
}

/// A set without members is no key.
fn writing(to: &Key, members: &[Bytes], condition: Condition) -> Command {
    let key = to.clone();
    if members.is_empty() {
        return Command::Delete { key, condition };
    }
    let mut packer = Packer::new(members.len());
    members.iter().for_each(|member| packer.push(member));
    Command::Put {
        key,
        kind: Kind::Set,
        data: packer.finish(),
        ttl_ms: None,
        condition,
    }
}
