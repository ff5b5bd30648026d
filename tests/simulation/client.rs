//! The clients of a simulated cluster: one writer for each document, several that count, and readers.

use bytes::Bytes;
use rand::RngExt;
use smache::clock::UnixMs;
use smache::command::{Command, Condition, Kind, Operation, OperationId, Reply, list};
use smache::key::{self, Key};
use smache::version::Version;

use crate::checker::{PUSH_BYTES, ReadStart, Sort, Written};
use crate::context::{Context, Event, Happening, PARTITIONS, note};
use crate::net::Place;
use crate::requests::{Ended, Op};

/// A client does not wait longer than this, whatever its node does.
const PATIENCE_MS: u64 = 3_000;
/// An operation with the client's own name is sent so often at most.
const SENDS_MAX: u32 = 6;

/// Who a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// The only writer of this key.
    Writer(usize),
    Counter(usize),
    Reader,
}

/// What it has under way.
#[derive(Clone, Debug)]
enum Pending {
    Write(usize, Condition),
    Increment(usize),
    Read(usize, ReadStart),
}

/// An increment that is to be sent again under the same name.
#[derive(Clone, Copy, Debug)]
struct Again {
    increment: usize,
    name: OperationId,
    sends: u32,
}

/// A client; it does one thing after the other.
#[derive(Debug)]
pub struct Client {
    role: Role,
    pace_ms: u64,
    pending: Option<Pending>,
    again: Option<Again>,
    /// The version that it wrote last.
    last: Option<Version>,
}

/// Makes the keys and the clients of a world.
pub fn populate(context: &mut Context) {
    let sorts = [
        Sort::Document,
        Sort::Document,
        Sort::Document,
        Sort::Document,
        Sort::Timed,
        Sort::Timed,
        Sort::Counter,
        Sort::Counter,
        Sort::List,
    ];
    for (number, sort) in sorts.into_iter().enumerate() {
        let key = key_of(context, number);
        context.checker.add(key, sort);
        let roles = match sort {
            Sort::Counter | Sort::List => vec![Role::Counter(number); 2],
            Sort::Document | Sort::Timed => vec![Role::Writer(number)],
        };
        roles.into_iter().for_each(|role| add(context, role));
    }
    (0..3).for_each(|_| add(context, Role::Reader));
}

/// A key in one of the few partitions that there are.
fn key_of(context: &mut Context, number: usize) -> Key {
    loop {
        let tag: u32 = context.rng.random();
        let text = format!("k{number}{{{tag}}}");
        if key::partition(text.as_bytes()).0 < PARTITIONS {
            return Key::new(text.into_bytes(), key::KEY_BYTES_MAX).expect("a key");
        }
    }
}

fn add(context: &mut Context, role: Role) {
    let pace_ms = context.rng.random_range(50..400);
    context.clients.push(Client {
        role,
        pace_ms,
        pending: None,
        again: None,
        last: None,
    });
    let (number, at) = (context.clients.len() - 1, context.now + pace_ms);
    context.schedule(at, Happening::Client(number));
}

/// All clients go on; nothing of theirs is left from before.
pub fn resume(context: &mut Context) {
    for number in 0..context.clients.len() {
        let client = &mut context.clients[number];
        (client.again, client.last) = (None, None);
        if client.pending.is_none() {
            let at = context.now + context.rng.random_range(1..=client.pace_ms);
            context.schedule(at, Happening::Client(number));
        }
    }
}

/// A client does its next thing, if there is a node to ask.
pub fn next(context: &mut Context, number: usize) {
    let open: Vec<Place> = context.open.iter().copied().collect();
    if context.clients_stopped {
        return;
    }
    if open.is_empty() {
        let at = context.now + 100;
        return context.schedule(at, Happening::Client(number));
    }
    let place = open[context.rng.random_range(0..open.len())];
    let (command, pending, name) = match context.clients[number].role {
        Role::Writer(key) => write(context, number, key),
        Role::Counter(key) => increment(context, number, key),
        Role::Reader => {
            let key = context.rng.random_range(0..context.checker.keys.len());
            read(context, key)
        }
    };
    context.clients[number].pending = Some(pending);
    context.last_op += 1;
    let id = context.last_op;
    note!(
        context,
        "client {number} sends op {id} to n{place}: {} {}",
        show(&command),
        command.key()
    );
    let op = Op::new(number, command, name, place);
    context.ops.insert(id, op);
    let delay = context.rng.random_range(0..3);
    context.schedule_at(context.now + delay, place, Event::Attempt(id, 0));
    context.schedule(context.now + PATIENCE_MS, Happening::GiveUp(id));
}

type Begun = (Command, Pending, Option<OperationId>);

fn read(context: &mut Context, key: usize) -> Begun {
    let start = context.checker.begin_read(key, context.now);
    let key_name = context.checker.keys[key].key.clone();
    (
        Command::Get { key: key_name },
        Pending::Read(key, start),
        None,
    )
}

fn write(context: &mut Context, number: usize, at: usize) -> Begun {
    let n = context.checker.next_number();
    let key = context.checker.keys[at].key.clone();
    let timed = context.checker.keys[at].sort == Sort::Timed;
    let ttl_ms = timed.then(|| context.rng.random_range(200..6_000));
    let last = context.clients[number].last;
    let condition = match (context.rng.random_range(0..4), last) {
        (0, Some(last)) => Condition::VersionIn(vec![last]),
        _ => Condition::None,
    };
    let large = context.settings.large_bytes;
    let (command, written) = match context.rng.random_range(0..10) {
        0 | 1 => (
            Command::Delete {
                key,
                condition: Condition::None,
            },
            Written::Delete,
        ),
        2 | 3 => (
            Command::MergePatch {
                key,
                patch: format!("{{\"p\":{n}}}").into(),
                condition: Condition::None,
            },
            Written::Patch(n),
        ),
        what => {
            let text = if what == 9 {
                let length = context.rng.random_range(large / 4..large);
                format!("{{\"n\":{n},\"x\":\"{}\"}}", "x".repeat(length))
            } else {
                format!("{{\"n\":{n}}}")
            };
            let command = Command::Put {
                key,
                kind: Kind::Json,
                data: Bytes::from(text.clone()),
                ttl_ms,
                condition: condition.clone(),
            };
            (command, Written::Put(text, ttl_ms.is_some()))
        }
    };
    let index = context.checker.begin_write(at, written, context.now);
    let condition = match &command {
        Command::Put { condition, .. } => condition.clone(),
        _ => Condition::None,
    };
    (command, Pending::Write(index, condition), None)
}

/// Adds one to a counter; or to a list the number of the addition, long enough that the list soon
/// is one of those of which only what changes is sent.
fn addition(context: &Context, at: usize, increment: usize) -> Command {
    let history = &context.checker.keys[at];
    let (key, condition) = (history.key.clone(), Condition::None);
    if history.sort == Sort::Counter {
        return Command::Increment {
            key,
            by: 1,
            ttl_ms: None,
            condition,
        };
    }
    let push = list::Operation::Push {
        end: list::End::Right,
        elements: vec![format!("{increment:0PUSH_BYTES$}").into()],
        only_if_present: false,
    };
    Command::Typed {
        key,
        operation: Box::new(Operation::List(push)),
        condition,
    }
}

fn increment(context: &mut Context, number: usize, at: usize) -> Begun {
    if let Some(again) = &mut context.clients[number].again {
        again.sends += 1;
        let (increment, name) = (again.increment, again.name);
        let command = addition(context, at, increment);
        return (command, Pending::Increment(increment), Some(name));
    }
    let increment = context.checker.begin_increment(at, context.now);
    let command = addition(context, at, increment);
    let named = context.rng.random_bool(0.5);
    let name = named.then(|| OperationId(context.rng.random()));
    context.clients[number].again = name.map(|name| Again {
        increment,
        name,
        sends: 1,
    });
    (command, Pending::Increment(increment), name)
}

/// An operation of a client came to its end.
pub fn ended(context: &mut Context, op: &Op, outcome: Ended) {
    let now = context.now;
    let number = op.client;
    let pending = context.clients[number].pending.take();
    match (pending, context.clients[number].role) {
        (Some(Pending::Write(index, condition)), Role::Writer(key)) => {
            let version = stored(&outcome);
            let held = context
                .checker
                .end_write(key, index, &condition, &outcome, now);
            context.clients[number].last = version.filter(|_| held);
        }
        (Some(Pending::Increment(index)), Role::Counter(key)) => {
            let again = context.clients[number].again;
            let more = again.is_some_and(|again| again.sends < SENDS_MAX);
            let certain = matches!(outcome, Ended::Done(_) | Ended::Applied);
            let once_more = more && (!certain || context.rng.random_bool(0.3));
            context
                .checker
                .end_increment(key, index, &outcome, again.is_some(), now);
            if !once_more {
                context.clients[number].again = None;
            }
        }
        (Some(Pending::Read(key, start)), Role::Reader) => {
            context.checker.count(&outcome);
            if let Ended::Done(Reply::Value(value)) = outcome {
                context.checker.end_read(key, &start, value.as_ref(), now);
            }
        }
        (pending, role) => unreachable!("{pending:?} of {role:?}"),
    }
    let pace = context.clients[number].pace_ms;
    let wait = context.rng.random_range(1..=2 * pace);
    context.schedule(now + wait, Happening::Client(number));
}

fn stored(outcome: &Ended) -> Option<Version> {
    match outcome {
        Ended::Done(Reply::Stored { entry, .. }) => Some(entry.version),
        _ => None,
    }
}

/// A command in short.
pub fn show(command: &Command) -> String {
    let text = |data: &Bytes| data.slice(..data.len().min(24)).escape_ascii().to_string();
    match command {
        Command::Get { .. } => "get".to_owned(),
        Command::Put {
            data,
            ttl_ms,
            condition,
            ..
        } => match condition {
            Condition::None => format!("put {} {ttl_ms:?}", text(data)),
            condition => format!("put {} {ttl_ms:?} if {condition:?}", text(data)),
        },
        Command::Delete { .. } => "delete".to_owned(),
        Command::MergePatch { patch, .. } => format!("patch {}", text(patch)),
        Command::Increment { .. } => "increment".to_owned(),
        Command::Typed { operation, .. } => format!("{operation:?}"),
    }
}

/// A reply in short.
pub fn show_reply(reply: &Reply) -> String {
    let entry = |data: &Bytes, version: Version, expires: Option<UnixMs>| {
        let data = data.slice(..data.len().min(24));
        format!("{} v{version} {expires:?}", data.escape_ascii())
    };
    match reply {
        Reply::Value(Some(e)) => entry(&e.data, e.version, e.expires_at),
        Reply::Stored { entry: e, .. } => entry(&e.data, e.version, e.expires_at),
        other => format!("{other:?}"),
    }
}
