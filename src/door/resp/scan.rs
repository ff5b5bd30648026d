//! Commands about all keys: `SCAN`, `KEYS`, `RANDOMKEY`, `DBSIZE`, `FLUSHALL` and `FLUSHDB`.
//!
//! What they mean across nodes is the [`keyspace`](crate::router::keyspace)'s to say.

use super::call::{Answered, Call};
use super::failure::Refusal;
use super::keys::type_name;
use super::number;
use super::queue::Touches;
use super::request::Arguments;
use super::table::{Flags, Spec};
use super::typed::cursor;
use crate::command::Kind;
use crate::router::keyspace::{self, Options};
use crate::writer::Kinds;

pub(super) const COMMANDS: &[Spec] = &[
    Spec::new("dbsize", 1, dbsize).read().fast().about(
        "1.0.0",
        "O(N) in nodes",
        "Returns the number of keys of the cluster.",
    ),
    Spec::new("flushall", -1, flush).write().admin().about(
        "1.0.0",
        "O(N) in keys",
        "Removes all keys of the cluster.",
    ),
    Spec::new("flushdb", -1, flush).write().admin().about(
        "1.0.0",
        "O(N) in keys",
        "Removes all keys of the cluster.",
    ),
    Spec::new("keys", 2, keys)
        .read()
        .flags(Flags::DANGEROUS)
        .about(
            "1.0.0",
            "O(N) in keys",
            "Returns all keys that fit a pattern.",
        ),
    Spec::new("randomkey", 1, randomkey).read().about(
        "1.0.0",
        "O(N) in nodes",
        "Returns a key at random.",
    ),
    Spec::new("scan", -2, scan).read().about(
        "2.8.0",
        "O(N) in COUNT",
        "Goes through the keys, a page at a time.",
    ),
];

impl From<keyspace::Error> for Refusal {
    fn from(error: keyspace::Error) -> Refusal {
        match error {
            keyspace::Error::Router(error) => error.into(),
            keyspace::Error::Cursor(_) => Refusal::INVALID_CURSOR,
            keyspace::Error::Pattern { .. } | keyspace::Error::TooMany { .. } => {
                Refusal::text(format!("ERR {error}"))
            }
        }
    }
}

fn dbsize(call: Call<'_>, _arguments: Arguments<'_>) -> Answered {
    call.step_by_step(Touches::All, |steps, mut out| async move {
        let count = steps.keyspace().count(steps.deadline).await?;
        out.integer(i64::try_from(count).unwrap_or(i64::MAX));
        Ok(out)
    })
}

fn flush(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let known =
        |how: &[u8]| how.eq_ignore_ascii_case(b"sync") || how.eq_ignore_ascii_case(b"async");
    if arguments.len() > 2 || !arguments.from(1).all(known) {
        return Err(Refusal::SYNTAX);
    }
    call.step_by_step(Touches::All, |steps, mut out| async move {
        steps.keyspace().flush(steps.deadline).await?;
        out.ok();
        Ok(out)
    })
}

fn keys(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let bytes_max = call.shared.limits.request_bytes_max;
    let pattern = arguments.take().bytes(1);
    call.step_by_step(Touches::All, move |steps, mut out| async move {
        let keyspace = steps.keyspace();
        let keys = keyspace.keys(&pattern, bytes_max, steps.deadline).await?;
        // As much again for the reply.
        let _hold = steps.hold(2 * keys.iter().map(|key| key.len() + 16).sum::<usize>())?;
        out.array(keys.len());
        for key in keys {
            out.bulk(&key);
        }
        Ok(out)
    })
}

fn randomkey(call: Call<'_>, _arguments: Arguments<'_>) -> Answered {
    call.step_by_step(Touches::All, |steps, mut out| async move {
        let random = rand::random();
        let key = steps.keyspace().random_key(random, steps.deadline).await?;
        out.bulk_or_null(key.as_deref());
        Ok(out)
    })
}

/// The kinds that go by a name of Redis; a name that is none has no keys.
fn kinds_of(name: &[u8]) -> Kinds {
    let kinds = [
        Kind::Bytes,
        Kind::Counter,
        Kind::Flag,
        Kind::Json,
        Kind::Set,
        Kind::Hash,
        Kind::List,
    ];
    let named = |kind: &Kind| type_name(*kind).as_bytes().eq_ignore_ascii_case(name);
    kinds.into_iter().filter(named).collect()
}

fn scan(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let begin = cursor(&arguments[1]).ok_or(Refusal::INVALID_CURSOR)?;
    let mut options = Options::default();
    let mut pattern = None;
    for at in (2..arguments.len()).step_by(2) {
        let (option, Some(value)) = (&arguments[at], arguments.get(at + 1)) else {
            return Err(Refusal::SYNTAX);
        };
        if option.eq_ignore_ascii_case(b"match") {
            pattern = Some(at + 1);
        } else if option.eq_ignore_ascii_case(b"count") {
            let count = number::integer(value).ok_or(Refusal::NOT_INTEGER)?;
            let count = usize::try_from(count).ok().filter(|count| *count > 0);
            options.count = count.ok_or(Refusal::SYNTAX)?;
        } else if option.eq_ignore_ascii_case(b"type") {
            options.kinds = kinds_of(value);
        } else {
            return Err(Refusal::SYNTAX);
        }
    }
    let taken = arguments.take();
    options.pattern = pattern.map(|at| taken.bytes(at));
    call.step_by_step(Touches::All, move |steps, mut out| async move {
        let page = steps
            .keyspace()
            .scan(begin, &options, steps.deadline)
            .await?;
        out.array(2);
        out.text(&page.next.to_string());
        out.array(page.keys.len());
        for key in page.keys {
            out.bulk(&key);
        }
        Ok(out)
    })
}
