//! Commands about lists: elements in order, added and taken at either end.
//!
//! What moves from one list to another is taken first, so that of several clients each gets another
//! element; for a moment it is in neither list. Commands that wait for elements do what there is to
//! do at once, and refuse to wait.

use bytes::Bytes;

use super::answer::{self, Form};
use super::call::{Answered, Call, Flow, Steps, typed};
use super::failure::Refusal;
use super::number;
use super::queue::Touches;
use super::reply::Out;
use super::request::{Arguments, Taken};
use super::table::Spec;
use super::typed;
use crate::command::list::{End, Operation};
use crate::command::{self, Answer, Command, Kind};
use crate::key::Key;
use crate::table::Altered;

mod rows;
mod waiting;

pub(super) const COMMANDS: &[Spec] = rows::COMMANDS;

/// Carries an operation on a list out.
fn operate(call: Call<'_>, key: Key, operation: Operation, write: Form) -> Answered {
    call.operate(key, command::Operation::List(operation), write)
}

fn of(key: Key, operation: Operation) -> Command {
    typed(key, command::Operation::List(operation))
}

fn lpush(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    push(call, arguments, End::Left, false)
}

fn rpush(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    push(call, arguments, End::Right, false)
}

fn lpushx(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    push(call, arguments, End::Left, true)
}

fn rpushx(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    push(call, arguments, End::Right, true)
}

fn push(call: Call<'_>, arguments: Arguments<'_>, end: End, only_if_present: bool) -> Answered {
    let pushed = call.alter_local(&arguments, (Kind::List, 2), |list| {
        let elements = arguments.from(2);
        elements.for_each(|element| list.push(element, end));
        Some(Altered::Yes(list.len()))
    });
    if let Some(length) = pushed {
        call.out.integer(length as i64);
        return Ok(Flow::Done);
    }
    let taken = arguments.take();
    let key = call.key(&taken, 1)?;
    let push = Operation::Push {
        end,
        elements: typed::rest(&taken, 2),
        only_if_present,
    };
    operate(call, key, push, answer::integer)
}

fn lpop(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    pop(call, arguments, End::Left)
}

fn rpop(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    pop(call, arguments, End::Right)
}

fn pop(call: Call<'_>, arguments: Arguments<'_>, end: End) -> Answered {
    if arguments.len() > 3 {
        return Err(Refusal::arity(&call.entry.name));
    }
    let count = arguments.get(2).map(typed::count).transpose()?;
    if count.is_none() {
        // With its last element a list goes as well.
        let popped = call.alter_local(&arguments, (Kind::List, 2), |list| {
            let element = (list.len() > 1).then(|| list.pop(end))??;
            Some(Altered::Yes(element))
        });
        if let Some(element) = popped {
            call.out.bulk(&element);
            return Ok(Flow::Done);
        }
    }
    let key = call.key(&arguments.take(), 1)?;
    let write = if count.is_some() {
        popped
    } else {
        answer::bulk
    };
    operate(call, key, Operation::Pop { end, count }, write)
}

fn popped(out: &mut Out, answer: Answer) -> Result<(), Refusal> {
    if answer == Answer::Nothing {
        out.null_array();
        return Ok(());
    }
    answer::array(out, answer)
}

fn llen(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let key = call.key(&arguments.take(), 1)?;
    operate(call, key, Operation::Length, answer::integer)
}

/// Two whole numbers.
fn places(arguments: &Arguments<'_>) -> Result<(i64, i64), Refusal> {
    Ok((typed::whole(&arguments[2])?, typed::whole(&arguments[3])?))
}

fn lrange(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let (first, last) = places(&arguments)?;
    let key = call.key(&arguments.take(), 1)?;
    operate(call, key, Operation::Range(first, last), answer::array)
}

fn ltrim(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let (first, last) = places(&arguments)?;
    let key = call.key(&arguments.take(), 1)?;
    operate(call, key, Operation::Trim(first, last), answer::ok)
}

fn lindex(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let place = number::integer(&arguments[2]);
    let key = call.key(&arguments.take(), 1)?;
    match place {
        Some(place) => operate(call, key, Operation::Index(place), answer::bulk),
        None => refuse_place(call, key, |out| {
            out.null();
            Ok(())
        }),
    }
}

fn lset(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let place = number::integer(&arguments[2]);
    let taken = arguments.take();
    let key = call.key(&taken, 1)?;
    match place {
        Some(place) => operate(call, key, Operation::Set(place, taken.bytes(3)), answer::ok),
        None => refuse_place(call, key, |_| Err(Refusal::NO_SUCH_KEY)),
    }
}

/// A place that is no number matters only to a list that is there.
fn refuse_place(
    call: Call<'_>,
    key: Key,
    missing: fn(&mut Out) -> Result<(), Refusal>,
) -> Answered {
    let length = command::Operation::List(Operation::Length);
    call.refuse_behind(key, length, Refusal::NOT_INTEGER, missing)
}

fn linsert(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let before = arguments[2].eq_ignore_ascii_case(b"before");
    if !before && !arguments[2].eq_ignore_ascii_case(b"after") {
        return Err(Refusal::SYNTAX);
    }
    let taken = arguments.take();
    let key = call.key(&taken, 1)?;
    let insert = Operation::Insert {
        before,
        pivot: taken.bytes(3),
        element: taken.bytes(4),
    };
    operate(call, key, insert, answer::integer)
}

fn lrem(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let count = typed::whole(&arguments[2])?;
    let taken = arguments.take();
    let key = call.key(&taken, 1)?;
    let element = taken.bytes(3);
    let remove = Operation::Remove { count, element };
    operate(call, key, remove, answer::integer)
}

fn lpos(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let (mut rank, mut count, mut length_max) = (1, None, 0);
    let mut at = 3;
    while let Some(option) = arguments.get(at) {
        let is = |name: &[u8]| option.eq_ignore_ascii_case(name);
        let Some(value) = arguments.get(at + 1) else {
            return Err(Refusal::SYNTAX);
        };
        if is(b"rank") {
            rank = typed::signed(value)?;
            if rank == 0 {
                return Err(Refusal::of(
                    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second \
                     ... or use negative to start from the end of the list",
                ));
            }
        } else if is(b"count") {
            count = Some(typed::at_least(value, 0, "ERR COUNT can't be negative")?);
        } else if is(b"maxlen") {
            length_max = typed::at_least(value, 0, "ERR MAXLEN can't be negative")?;
        } else {
            return Err(Refusal::SYNTAX);
        }
        at += 2;
    }
    let taken = arguments.take();
    let key = call.key(&taken, 1)?;
    let position = Operation::Position {
        element: taken.bytes(2),
        rank,
        count,
        length_max,
    };
    operate(call, key, position, |out, answer| match answer {
        Answer::Nothing => {
            out.null();
            Ok(())
        }
        answer @ Answer::Integer(_) => answer::integer(out, answer),
        answer => answer::integers(out, answer),
    })
}

fn end(text: &[u8]) -> Result<End, Refusal> {
    if text.eq_ignore_ascii_case(b"left") {
        Ok(End::Left)
    } else if text.eq_ignore_ascii_case(b"right") {
        Ok(End::Right)
    } else {
        Err(Refusal::SYNTAX)
    }
}

fn lmove(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let ends = (end(&arguments[3])?, end(&arguments[4])?);
    shift(call, arguments, ends, nothing)
}

fn rpoplpush(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    shift(call, arguments, (End::Right, End::Left), nothing)
}

/// What is replied if there is no element.
type Missing = fn(&mut Out) -> Result<(), Refusal>;

fn nothing(out: &mut Out) -> Result<(), Refusal> {
    out.null();
    Ok(())
}

/// Moves an element from one list to another, or within one.
fn shift(call: Call<'_>, arguments: Arguments<'_>, ends: (End, End), missing: Missing) -> Answered {
    let taken = arguments.take();
    let (from, to) = (call.key(&taken, 1)?, call.key(&taken, 2)?);
    let touches = Touches::many([&taken[1], &taken[2]].into_iter(), true);
    call.step_by_step(touches, move |steps, mut out| async move {
        match carry(&steps, from, to, ends).await? {
            Some(element) => out.bulk(&element),
            None => missing(&mut out)?,
        }
        Ok(out)
    })
}

/// Takes an element from one list and puts it to another; `None` if there is none.
async fn carry(
    steps: &Steps,
    from: Key,
    to: Key,
    ends: (End, End),
) -> Result<Option<Bytes>, Refusal> {
    let element = |answer| match answer {
        Answer::Bytes(element) => Ok(Some(element)),
        Answer::Nothing => Ok(None),
        _ => Err(Refusal::UNEXPECTED),
    };
    if from == to {
        let (from_end, to_end) = ends;
        let rotate = of(
            from,
            Operation::Rotate {
                from: from_end,
                to: to_end,
            },
        );
        return element(typed::answer(steps.execute(&rotate).await)?);
    }
    let length = command::Operation::List(Operation::Length);
    if typed::lengths(steps, &from, &to, &length).await?.is_none() {
        return Ok(None);
    }
    let take = Operation::Pop {
        end: ends.0,
        count: None,
    };
    let take = of(from.clone(), take);
    let Some(taken) = element(typed::answer(steps.execute(&take).await)?)? else {
        return Ok(None);
    };
    let put = |key, end| {
        let push = Operation::Push {
            end,
            elements: vec![taken.clone()],
            only_if_present: false,
        };
        of(key, push)
    };
    typed::put_or_back(steps, put(to, ends.1), put(from, ends.0)).await?;
    Ok(Some(taken))
}

fn lmpop(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let wish = several(&arguments, 1)?;
    let taken = arguments.take();
    pop_first(call, &taken, wish, |out| {
        out.null_array();
        Ok(())
    })
}

/// Elements of the first of several lists that has some.
struct Several {
    keys: std::ops::Range<usize>,
    end: End,
    count: u64,
}

/// What `LMPOP` asks for, whose number of keys is argument `at`.
fn several(arguments: &Arguments<'_>, at: usize) -> Result<Several, Refusal> {
    let keys = typed::at_least(&arguments[at], 1, "ERR numkeys should be greater than 0")?;
    let keys = usize::try_from(keys).unwrap_or(usize::MAX);
    let behind = keys.saturating_add(at + 1);
    let end = end(arguments.get(behind).ok_or(Refusal::SYNTAX)?)?;
    let mut count = None;
    let mut option = behind + 1;
    while let Some(name) = arguments.get(option) {
        let value = arguments.get(option + 1);
        let is_count = name.eq_ignore_ascii_case(b"count") && count.is_none();
        let (true, Some(value)) = (is_count, value) else {
            return Err(Refusal::SYNTAX);
        };
        count = Some(typed::at_least(
            value,
            1,
            "ERR count should be greater than 0",
        )?);
        option += 2;
    }
    Ok(Several {
        keys: at + 1..behind,
        end,
        count: count.unwrap_or(1),
    })
}

/// Takes elements of the first list that has some; lists are asked one after the other.
fn pop_first(call: Call<'_>, taken: &Taken<'_>, wish: Several, missing: Missing) -> Answered {
    let Several { keys, end, count } = wish;
    let touches = Touches::many(keys.clone().map(|at| &taken[at]), true);
    let keys: Result<Vec<Key>, Refusal> = keys.map(|at| call.key(taken, at)).collect();
    let keys = keys?;
    call.step_by_step(touches, move |steps, mut out| async move {
        let count = Some(count);
        for key in keys {
            let pop = of(key.clone(), Operation::Pop { end, count });
            let answer = typed::answer(steps.execute(&pop).await)?;
            if answer != Answer::Nothing {
                out.array(2);
                out.bulk(key.as_bytes());
                answer::array(&mut out, answer)?;
                return Ok(out);
            }
        }
        missing(&mut out)?;
        Ok(out)
    })
}
