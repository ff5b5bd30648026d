//! `MSETNX`: setting several keys, if none of them is there.

use std::collections::HashMap;

use super::{check_puts, puts};
use crate::command::{self, Answer, Command, Condition, Reply, lifetime};
use crate::door::resp::call::{Answered, Call, Steps, answer_of, typed};
use crate::door::resp::failure::Refusal;
use crate::door::resp::queue::Touches;
use crate::door::resp::request::Arguments;
use crate::key::Key;

/// None of the keys may be there. Between looking and writing somebody else may set one: then what
/// was written is taken back, unless it has changed since.
pub(super) fn msetnx(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    check_puts(&call, &arguments)?;
    let commands = puts(&call, arguments, 1, Condition::None)?;
    let keys = commands.iter().map(|one| one.key().as_bytes());
    let touches = Touches::many(keys, true);
    call.step_by_step(touches, |steps, mut out| async move {
        let done = set_if_none(&steps, commands).await?;
        out.integer(done.into());
        Ok(out)
    })
}

/// Of commands for one key only the last one, which is the one that counts.
pub(super) fn last_of_each(commands: Vec<Command>) -> Vec<Command> {
    let mut last: Vec<Command> = Vec::with_capacity(commands.len());
    let mut places = HashMap::new();
    for command in commands {
        match places.get(command.key()) {
            Some(place) => last[*place] = command,
            None => {
                places.insert(command.key().clone(), last.len());
                last.push(command);
            }
        }
    }
    last
}

async fn set_if_none(steps: &Steps, commands: Vec<Command>) -> Result<bool, Refusal> {
    let last = last_of_each(commands);
    let look = |command: &Command| {
        let describe = command::Operation::Lifetime(lifetime::Operation::Describe);
        typed(command.key().clone(), describe)
    };
    let looked = steps.execute_all(last.iter().map(look).collect()).await?;
    for reply in looked {
        if answer_of(reply)? != Answer::Nothing {
            return Ok(false);
        }
    }
    let absent = |command: Command| match command {
        Command::Put {
            key,
            kind,
            data,
            ttl_ms,
            ..
        } => Command::Put {
            key,
            kind,
            data,
            ttl_ms,
            condition: Condition::Absent,
        },
        other => other,
    };
    let keys: Vec<Key> = last.iter().map(|command| command.key().clone()).collect();
    let written = steps
        .execute_all(last.into_iter().map(absent).collect())
        .await?;
    let mut take_back = Vec::new();
    let mut all = true;
    for (key, reply) in keys.into_iter().zip(written) {
        match reply {
            Reply::Stored { entry, .. } => take_back.push(Command::Delete {
                key,
                condition: Condition::VersionIn(vec![entry.etag()]),
            }),
            _ => all = false,
        }
    }
    if !all {
        steps.execute_all(take_back).await?;
    }
    Ok(all)
}
