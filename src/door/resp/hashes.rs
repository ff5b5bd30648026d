//! Commands about hashes: fields with values.

use super::answer::{self, Form};
use super::call::{Answered, Call, Flow, typed};
use super::failure::Refusal;
use super::reply::{Out, Protocol};
use super::request::Arguments;
use super::table::Spec;
use super::typed::{self, Scan};
use crate::command::hash::Operation;
use crate::command::{self, Answer, Kind};
use crate::router;
use crate::table::Altered;

pub(super) const COMMANDS: &[Spec] = &[
    Spec::new("hdel", -3, hdel).write().fast().key().about(
        "2.0.0",
        "O(N) in the fields",
        "Removes fields of a hash, and the key with the last one.",
    ),
    Spec::new("hexists", 3, hexists).read().fast().key().about(
        "2.0.0",
        "O(1)",
        "Tells whether a hash has a field.",
    ),
    Spec::new("hget", 3, hget).read().fast().key().about(
        "2.0.0",
        "O(1)",
        "Returns the value of a field.",
    ),
    Spec::new("hgetall", 2, hgetall).read().key().about(
        "2.0.0",
        "O(N) in the hash",
        "Returns all fields with their values.",
    ),
    Spec::new("hincrby", 4, hincrby).grow().fast().key().about(
        "2.0.0",
        "O(1)",
        "Adds a whole number to the value of a field.",
    ),
    Spec::new("hincrbyfloat", 4, hincrbyfloat)
        .grow()
        .fast()
        .key()
        .about("2.6.0", "O(1)", "Adds a number to the value of a field."),
    Spec::new("hkeys", 2, hkeys).read().key().about(
        "2.0.0",
        "O(N) in the hash",
        "Returns all fields.",
    ),
    Spec::new("hlen", 2, hlen).read().fast().key().about(
        "2.0.0",
        "O(1)",
        "Returns how many fields there are.",
    ),
    Spec::new("hmget", -3, hmget).read().fast().key().about(
        "2.0.0",
        "O(N) in the fields asked for",
        "Returns the values of fields.",
    ),
    Spec::new("hmset", -4, hmset).grow().fast().key().about(
        "2.0.0",
        "O(N) in the fields",
        "Sets fields to values.",
    ),
    Spec::new("hrandfield", -2, hrandfield).read().key().about(
        "6.2.0",
        "O(N) in the fields returned",
        "Returns fields at random.",
    ),
    Spec::new("hscan", -3, hscan).read().key().about(
        "2.8.0",
        "O(N) in the fields returned",
        "Goes through fields and values in stretches.",
    ),
    Spec::new("hset", -4, hset).grow().fast().key().about(
        "2.0.0",
        "O(N) in the fields",
        "Sets fields to values.",
    ),
    Spec::new("hsetnx", 4, hsetnx).grow().fast().key().about(
        "2.0.0",
        "O(1)",
        "Sets a field that is not there.",
    ),
    Spec::new("hstrlen", 3, hstrlen).read().fast().key().about(
        "3.2.0",
        "O(1)",
        "Returns the length of a field's value.",
    ),
    Spec::new("hvals", 2, hvals).read().key().about(
        "2.0.0",
        "O(N) in the hash",
        "Returns all values.",
    ),
];

/// Of a command whose only argument is its key.
fn whole(call: Call<'_>, arguments: Arguments<'_>, operation: Operation, write: Form) -> Answered {
    let key = call.key(&arguments.take(), 1)?;
    call.operate(key, command::Operation::Hash(operation), write)
}

/// Of a command about one field.
fn field(
    call: Call<'_>,
    arguments: Arguments<'_>,
    operation: fn(bytes::Bytes) -> Operation,
    write: Form,
) -> Answered {
    let taken = arguments.take();
    let key = call.key(&taken, 1)?;
    let operation = operation(taken.bytes(2));
    call.operate(key, command::Operation::Hash(operation), write)
}

/// Of a command about several fields.
fn fields(
    call: Call<'_>,
    arguments: Arguments<'_>,
    operation: fn(Vec<bytes::Bytes>) -> Operation,
    write: Form,
) -> Answered {
    let taken = arguments.take();
    let key = call.key(&taken, 1)?;
    let operation = operation(typed::rest(&taken, 2));
    call.operate(key, command::Operation::Hash(operation), write)
}

fn hlen(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    whole(call, arguments, Operation::Length, answer::integer)
}

fn hkeys(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    whole(call, arguments, Operation::Fields, answer::array)
}

fn hvals(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    whole(call, arguments, Operation::Values, answer::array)
}

fn hgetall(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    whole(call, arguments, Operation::All, |out, answer| {
        let Answer::Pairs(pairs) = answer else {
            return Err(Refusal::UNEXPECTED);
        };
        out.map(pairs.len());
        for (field, value) in pairs {
            out.bulk(&field);
            out.bulk(&value);
        }
        Ok(())
    })
}

fn hget(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    field(call, arguments, Operation::Get, answer::bulk)
}

fn hexists(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    field(call, arguments, Operation::Contains, answer::integer)
}

fn hstrlen(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    field(call, arguments, Operation::ValueLength, answer::integer)
}

fn hmget(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    fields(call, arguments, Operation::GetMany, answer::array)
}

fn hdel(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    fields(call, arguments, Operation::Remove, answer::integer)
}

/// Refuses a field without a value.
fn check_pairs(call: &Call<'_>, arguments: &Arguments<'_>) -> Result<(), Refusal> {
    match arguments.len().is_multiple_of(2) {
        true => Ok(()),
        false => Err(Refusal::arity(&call.entry.name)),
    }
}

fn hset(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    check_pairs(&call, &arguments)?;
    let pairs = (2..arguments.len()).step_by(2);
    let created = call.alter_local(&arguments, (Kind::Hash, 2), |hash| {
        let set = |at: &usize| hash.set(&arguments[*at], &arguments[at + 1]);
        Some(Altered::Yes(pairs.filter(set).count()))
    });
    if let Some(created) = created {
        call.out.integer(created as i64);
        return Ok(Flow::Done);
    }
    set(call, arguments, answer::integer)
}

fn hmset(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    check_pairs(&call, &arguments)?;
    set(call, arguments, |out, _| {
        out.ok();
        Ok(())
    })
}

fn set(call: Call<'_>, arguments: Arguments<'_>, write: Form) -> Answered {
    let taken = arguments.take();
    let key = call.key(&taken, 1)?;
    let fields = (2..taken.len()).step_by(2);
    let pairs = fields.map(|at| (taken.bytes(at), taken.bytes(at + 1)));
    let operation = Operation::Set(pairs.collect());
    call.operate(key, command::Operation::Hash(operation), write)
}

fn hsetnx(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let taken = arguments.take();
    let key = call.key(&taken, 1)?;
    let operation = Operation::SetNew(taken.bytes(2), taken.bytes(3));
    call.operate(key, command::Operation::Hash(operation), answer::integer)
}

fn hincrby(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let by = typed::whole(&arguments[3])?;
    let taken = arguments.take();
    let key = call.key(&taken, 1)?;
    let operation = Operation::Increment(taken.bytes(2), by);
    let command = typed(key, command::Operation::Hash(operation));
    call.attempt(command, |out, reply| match reply {
        Err(router::Error::Command(command::Error::NotANumber)) => {
            Err(Refusal::of("ERR hash value is not an integer"))
        }
        reply => answer::integer(out, typed::answer(reply)?),
    })
}

fn hincrbyfloat(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let by = typed::float(&arguments[3]).ok_or(Refusal::NOT_FLOAT)?;
    if by.is_infinite() {
        return Err(Refusal::of("ERR value is NaN or Infinity"));
    }
    let taken = arguments.take();
    let key = call.key(&taken, 1)?;
    let operation = Operation::IncrementFloat(taken.bytes(2), taken.bytes(3));
    let command = typed(key, command::Operation::Hash(operation));
    call.attempt(command, |out, reply| match reply {
        Err(router::Error::Command(command::Error::NotAFloat)) => {
            Err(Refusal::of("ERR hash value is not a float"))
        }
        reply => answer::bulk(out, typed::answer(reply)?),
    })
}

fn hrandfield(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let count = arguments.get(2).map(typed::signed).transpose()?;
    let with_values = arguments.len() > 3;
    if with_values {
        if arguments.len() > 4 || !arguments[3].eq_ignore_ascii_case(b"withvalues") {
            return Err(Refusal::SYNTAX);
        }
        if count.is_some_and(|count| count.unsigned_abs() > i64::MAX.unsigned_abs() / 2) {
            return Err(Refusal::of("ERR value is out of range"));
        }
    }
    let key = call.key(&arguments.take(), 1)?;
    let operation = command::Operation::Hash(Operation::Random {
        count: count.unwrap_or(1),
        seed: rand::random(),
    });
    call.operate(key, operation, move |out, answer| {
        let Answer::Pairs(pairs) = answer else {
            return Err(Refusal::UNEXPECTED);
        };
        if count.is_none() {
            out.bulk_or_null(pairs.first().map(|(field, _)| &field[..]));
        } else if with_values {
            write_pairs(out, &pairs);
        } else {
            out.array(pairs.len());
            pairs.iter().for_each(|(field, _)| out.bulk(field));
        }
        Ok(())
    })
}

/// Fields may come more than once: this is no map.
fn write_pairs(out: &mut Out, pairs: &[(bytes::Bytes, bytes::Bytes)]) {
    let nested = out.protocol() == Protocol::Resp3;
    out.array(if nested { pairs.len() } else { pairs.len() * 2 });
    for (field, value) in pairs {
        if nested {
            out.array(2);
        }
        out.bulk(field);
        out.bulk(value);
    }
}

fn hscan(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let scan = Scan {
        length: command::Operation::Hash(Operation::Length),
        stretch: |cursor, count| command::Operation::Hash(Operation::Scan { cursor, count }),
        step: 2,
    };
    typed::scan(call, arguments, scan)
}
