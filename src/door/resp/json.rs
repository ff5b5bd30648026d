//! Commands about documents, as Redis's module for JSON has them.
//!
//! Paths are read where the document is; values are checked here, so that what is no JSON costs no
//! other node anything.

use std::sync::Arc;

use bytes::Bytes;

use super::call::{Answered, Call, answer_of, typed};
use super::failure::Refusal;
use super::pretty::{Layout, PART_BYTES_MAX, write_pretty};
use super::reply::{Out, Protocol};
use super::request::{Arguments, Taken};
use super::table::Spec;
use crate::command::json::operation::{Answer, Element, Operation};
use crate::command::json::path::{Error, When};
use crate::command::{self, json};
use crate::door::hold::Hold;
use crate::router;

pub(super) const COMMANDS: &[Spec] = &[
    Spec::new("json.arrappend", -4, arrappend)
        .key()
        .grow()
        .about("1.0.0", "O(N) in the document", "Adds elements to arrays."),
    Spec::new("json.arrlen", -2, arrlen).key().read().about(
        "1.0.0",
        "O(N) in the document",
        "Returns the lengths of arrays.",
    ),
    Spec::new("json.del", -2, del).key().write().about(
        "1.0.0",
        "O(N) in the document",
        "Removes values.",
    ),
    Spec::new("json.forget", -2, del).key().write().about(
        "1.0.0",
        "O(N) in the document",
        "Removes values.",
    ),
    Spec::new("json.get", -2, get).key().read().about(
        "1.0.0",
        "O(N) in the document",
        "Returns values as text.",
    ),
    Spec::new("json.merge", 4, merge).key().grow().about(
        "2.6.0",
        "O(N) in the document",
        "Applies a merge patch (RFC 7396).",
    ),
    Spec::new("json.mget", -3, mget)
        .keys(1, -2, 1)
        .read()
        .about(
            "1.0.0",
            "O(N) in keys",
            "Returns values of several documents.",
        ),
    Spec::new("json.numincrby", 4, numincrby)
        .key()
        .grow()
        .about("1.0.0", "O(N) in the document", "Adds to numbers."),
    Spec::new("json.objkeys", -2, objkeys).key().read().about(
        "1.0.0",
        "O(N) in the document",
        "Returns the names of objects' members.",
    ),
    Spec::new("json.set", -4, set).key().grow().about(
        "1.0.0",
        "O(N) in the document",
        "Sets values.",
    ),
    Spec::new("json.type", -2, type_of).key().read().about(
        "1.0.0",
        "O(N) in the document",
        "Returns the types of values.",
    ),
];

/// The root, as a legacy path: where commands look that are given none.
const ROOT: &str = ".";

fn is(argument: &[u8], word: &str) -> bool {
    argument.eq_ignore_ascii_case(word.as_bytes())
}

fn text(bytes: &[u8], what: &str) -> Result<String, Refusal> {
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|_| Refusal::text(format!("ERR the {what} is not UTF-8")))?;
    Ok(text.to_owned())
}

/// The path at a place among the arguments, or the root.
fn path(taken: &Taken<'_>, at: usize) -> Result<String, Refusal> {
    if at >= taken.len() {
        return Ok(ROOT.to_owned());
    }
    text(&taken[at], "path")
}

/// A value, as it is stored.
fn value(call: &Call<'_>, taken: &Taken<'_>, at: usize) -> Result<Bytes, Refusal> {
    let depth_max = call.shared.context.config.json_depth_max;
    let compact = json::compact(&taken.bytes(at), depth_max);
    compact.map_err(|error| Refusal::text(format!("ERR {error}")))
}

/// At most so many arguments, of a command that has ones that may be left out.
fn at_most(call: &Call<'_>, arguments: &Arguments<'_>, most: usize) -> Result<(), Refusal> {
    if arguments.len() <= most {
        return Ok(());
    }
    Err(Refusal::arity(&call.entry.name))
}

/// Carries an operation out, and has `write` write what it answers.
fn operate(
    call: Call<'_>,
    taken: &Taken<'_>,
    operation: Operation,
    write: impl FnOnce(&mut Out, Answer) -> Result<(), Refusal> + Send + 'static,
) -> Answered {
    let key = call.key(taken, 1)?;
    let command = typed(key, command::Operation::Json(operation));
    call.execute(command, |out, reply| match answer_of(reply)? {
        command::Answer::Document(answer) => write(out, answer),
        command::Answer::Nothing => write(out, Answer::Nothing),
        _ => Err(Refusal::UNEXPECTED),
    })
}

/// Writes an answer in the form that it has by itself.
fn plain(out: &mut Out, answer: Answer) -> Result<(), Refusal> {
    match answer {
        Answer::Nothing => out.null(),
        Answer::Ok => out.ok(),
        Answer::Integer(value) => out.integer(value),
        Answer::Text(text) => out.bulk(&text),
        Answer::Names(names) => bulks(out, &names),
        Answer::List(elements) => {
            out.array(elements.len());
            for element in elements {
                match element {
                    Element::Nothing => out.null(),
                    Element::Integer(value) => out.integer(value),
                    Element::Text(text) => out.bulk(&text),
                    Element::Names(names) => bulks(out, &names),
                }
            }
        }
        Answer::Numbers { .. } => return Err(Refusal::UNEXPECTED),
    }
    Ok(())
}

fn bulks(out: &mut Out, items: &[Bytes]) {
    out.array(items.len());
    for item in items {
        out.bulk(item);
    }
}

/// What `JSON.GET` is asked for besides its key.
struct Wish {
    layout: Layout,
    paths: Vec<String>,
}

fn wish(taken: &Taken<'_>) -> Result<Wish, Refusal> {
    let mut wish = Wish {
        layout: Layout::default(),
        paths: Vec::new(),
    };
    let mut at = 2;
    while at < taken.len() {
        let mut part = None;
        if is(&taken[at], "indent") {
            part = Some(&mut wish.layout.indent);
        } else if is(&taken[at], "newline") {
            part = Some(&mut wish.layout.newline);
        } else if is(&taken[at], "space") {
            part = Some(&mut wish.layout.space);
        }
        match part {
            Some(_)
                if taken
                    .get(at + 1)
                    .is_some_and(|part| part.len() > PART_BYTES_MAX) =>
            {
                return Err(Refusal::text(format!(
                    "ERR INDENT, NEWLINE and SPACE may be {PART_BYTES_MAX} bytes long"
                )));
            }
            Some(part) if at + 1 < taken.len() => {
                *part = taken.bytes(at + 1);
                at += 1;
            }
            Some(_) => return Err(Refusal::SYNTAX),
            // From older versions; every path is answered without escapes of its own.
            None if is(&taken[at], "noescape") => {}
            None => wish.paths.push(path(taken, at)?),
        }
        at += 1;
    }
    Ok(wish)
}

fn get(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let taken = arguments.take();
    let Wish { layout, paths } = wish(&taken)?;
    let bytes_max = call.shared.limits.request_bytes_max;
    let budget = Arc::clone(&call.shared.context.budget);
    operate(
        call,
        &taken,
        Operation::Get { paths },
        move |out, answer| match answer {
            Answer::Text(text) if !layout.is_compact() => {
                let mut pretty = Vec::with_capacity(text.len());
                if !write_pretty(&text, &layout, bytes_max, &mut pretty) {
                    return Err(Refusal::text(format!(
                        "ERR the answer would be longer than {bytes_max} bytes"
                    )));
                }
                let _hold = Hold::take_large(&budget, pretty.len())?;
                out.bulk(&pretty);
                Ok(())
            }
            answer => plain(out, answer),
        },
    )
}

fn set(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let condition = match (arguments.len(), arguments.get(4)) {
        (4, _) => When::Always,
        (5, Some(when)) if is(when, "nx") => When::Absent,
        (5, Some(when)) if is(when, "xx") => When::Present,
        _ => return Err(Refusal::SYNTAX),
    };
    let taken = arguments.take();
    let operation = Operation::Set {
        path: path(&taken, 2)?,
        value: value(&call, &taken, 3)?,
        condition,
    };
    operate(call, &taken, operation, plain)
}

fn merge(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let taken = arguments.take();
    let operation = Operation::Merge {
        path: path(&taken, 2)?,
        patch: value(&call, &taken, 3)?,
    };
    operate(call, &taken, operation, plain)
}

fn del(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    at_most(&call, &arguments, 3)?;
    let taken = arguments.take();
    let path = path(&taken, 2)?;
    operate(call, &taken, Operation::Delete { path }, plain)
}

fn arrlen(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    at_most(&call, &arguments, 3)?;
    let taken = arguments.take();
    let path = path(&taken, 2)?;
    operate(call, &taken, Operation::ArrLen { path }, plain)
}

fn objkeys(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    at_most(&call, &arguments, 3)?;
    let taken = arguments.take();
    let path = path(&taken, 2)?;
    operate(call, &taken, Operation::ObjKeys { path }, plain)
}

fn type_of(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    at_most(&call, &arguments, 3)?;
    let taken = arguments.take();
    let path = path(&taken, 2)?;
    operate(call, &taken, Operation::Type { path }, |out, answer| {
        // In RESP3 the module puts this into an array of its own.
        if out.protocol() == Protocol::Resp3 {
            out.array(1);
        }
        plain(out, answer)
    })
}

fn arrappend(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let taken = arguments.take();
    let values = (3..taken.len()).map(|at| value(&call, &taken, at));
    let operation = Operation::ArrAppend {
        path: path(&taken, 2)?,
        values: values.collect::<Result<_, _>>()?,
    };
    operate(call, &taken, operation, plain)
}

fn numincrby(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let taken = arguments.take();
    let operation = Operation::NumIncrBy {
        path: path(&taken, 2)?,
        by: text(&taken[3], "number")?,
    };
    operate(call, &taken, operation, sums)
}

/// Sums are text in RESP2, and numbers in RESP3.
fn sums(out: &mut Out, answer: Answer) -> Result<(), Refusal> {
    let Answer::Numbers { sums, .. } = &answer else {
        return plain(out, answer);
    };
    if out.protocol() == Protocol::Resp2 {
        out.bulk_or_null(answer.json().as_deref());
        return Ok(());
    }
    out.array(sums.len());
    for sum in sums {
        match sum {
            None => out.null(),
            Some(sum) if super::number::integer(sum).is_some() => out.integer_text(sum),
            Some(sum) => out.double_text(sum),
        }
    }
    Ok(())
}

fn mget(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let taken = arguments.take();
    let last = taken.len() - 1;
    let path = path(&taken, last)?;
    let command = |at| {
        let paths = vec![path.clone()];
        let operation = command::Operation::Json(Operation::Get { paths });
        Ok(typed(call.key(&taken, at)?, operation))
    };
    let commands = (1..last)
        .map(command)
        .collect::<Result<Vec<_>, Refusal>>()?;
    call.execute_all(commands, |out, replies| {
        out.array(replies.len());
        for reply in replies {
            match reply {
                Ok(reply) => match answer_of(reply)? {
                    command::Answer::Document(answer) => plain(out, answer)?,
                    _ => out.null(),
                },
                Err(error) if is_nothing(&error) => out.null(),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    })
}

/// Whether an error about one of several documents is a gap in the answer.
fn is_nothing(error: &router::Error) -> bool {
    let router::Error::Command(error) = error else {
        return false;
    };
    matches!(
        error,
        command::Error::WrongType { .. }
            | command::Error::Path(Error::Missing { .. } | Error::NoDocument)
    )
}
