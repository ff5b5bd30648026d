//! Services: a route for each data type, `/sets/fruits` being the set with the key `sets:fruits`.
//!
//! [`answer`] finds out which key a path names and hands over to the room of the type. These read
//! what a request says (`arguments` of the query, what is `given` in the body), make one command of
//! it, and answer with what came of it; what all of them do alike is here: [`Target`] knows what a
//! key is called, [`Facts`] what an answer tells of a value besides itself, and every answer is made
//! by [`tell`], [`confirm`] or [`nothing`].
//!
//! Where one value is asked for a miss is 404; a collection that is not there is an empty one, a
//! counter stands at 0, and a flag is not set. Either way it is `X-Cache: MISS`.

mod arguments;
mod counters;
mod flags;
mod given;
mod grow;
mod hashes;
pub(super) mod items;
mod lists;
mod sets;
mod shown;
mod strings;

use std::mem::take;
use std::sync::Arc;

use http::{Method, Response, StatusCode};

use self::shown::{Shown, name_member};
use super::body::{Body, Incoming};
use super::condition::{ReadCondition, Verdict, write_condition};
use super::draft::Draft;
use super::failure::Failure;
use super::front::{Call, write_node_suffix};
use super::hold::{Hold, LARGE_BYTES};
use super::idempotency;
use super::path;
use super::read::ttl_ms;
use super::route::{self, Entry as RouteEntry, Route};
use super::write;
use crate::clock::UnixMs;
use crate::command::{self, Answer, Command, Condition, Entry, Kind, Operation, Reply, json};
use crate::key::Key;
use crate::router;
use crate::version::Version;

/// A service.
#[derive(Debug)]
struct Service {
    /// What the keys begin with, before a colon.
    namespace: &'static str,
    /// The member that has the key's name, besides `key`: what clients of earlier systems look for.
    noun: Option<&'static str>,
}

const fn service(namespace: &'static str, noun: Option<&'static str>) -> Service {
    Service { namespace, noun }
}

static COUNTERS: Service = service("counters", Some("counter"));
static CACHE: Service = service("cache", None);
static FLAGS: Service = service("flags", None);
static KV: Service = service("kv", None);
static SETS: Service = service("sets", Some("set"));
static HASHES: Service = service("hashes", Some("hash"));
static LISTS: Service = service("lists", Some("list"));

/// The key that a request is about.
#[derive(Debug)]
struct Target {
    service: &'static Service,
    /// As the client calls it.
    name: String,
    /// What it is in the one keyspace.
    key: Key,
}

/// Answers a request about the value that the path names.
pub(super) async fn answer<B: Incoming>(
    call: &mut Call,
    body: B,
    entry: &'static RouteEntry,
) -> Result<Response<Body>, Failure> {
    let service = match entry.route {
        Route::Counters => &COUNTERS,
        Route::Cache => &CACHE,
        Route::Flags => &FLAGS,
        Route::Kv => &KV,
        Route::Sets => &SETS,
        Route::Hashes => &HASHES,
        Route::Lists => &LISTS,
        _ => return Err(Failure::unexpected()),
    };
    let path = route::without_slash(call.parts.uri.path());
    let escaped = entry.rest(path).unwrap_or_default();
    let bytes_max = call.context().config.key_bytes_max;
    let named = path::named(escaped, service.namespace, bytes_max)?;
    let target = Target {
        service,
        name: named.name,
        key: named.key,
    };
    match entry.route {
        Route::Counters => counters::answer(call, target, body).await,
        Route::Cache => strings::answer(call, target, body, &strings::CACHE).await,
        Route::Kv => strings::answer(call, target, body, &strings::KV).await,
        Route::Flags => flags::answer(call, target, body).await,
        Route::Sets => sets::answer(call, target, body).await,
        Route::Hashes => hashes::answer(call, target, body).await,
        _ => lists::answer(call, target, body).await,
    }
}

fn is_read(call: &Call) -> bool {
    matches!(call.parts.method, Method::GET | Method::HEAD)
}

/// What an answer tells of a value besides itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// Its version; `None` if there is none.
    version: Option<Version>,
    expires_at: Option<UnixMs>,
    /// Who owns the key.
    owner: Arc<str>,
}

impl Facts {
    fn of(entry: Option<&Entry>, owner: Arc<str>) -> Facts {
        Facts {
            version: entry.map(Entry::etag),
            expires_at: entry.and_then(|entry| entry.expires_at),
            owner,
        }
    }

    pub(super) fn version(&self) -> Option<Version> {
        self.version
    }

    pub(super) fn expires_at(&self) -> Option<UnixMs> {
        self.expires_at
    }

    pub(super) fn owner(&self) -> &str {
        &self.owner
    }
}

impl Target {
    /// How long [`Target::write`] writes around the members, at most.
    fn bytes(&self, facts: &Facts) -> usize {
        // Escapes make six bytes of one at most.
        12 * self.name.len() + 6 * facts.owner.len() + 64
    }

    /// Writes a whole answer. `members` writes what is told of the value, if anything: members with
    /// a comma behind each.
    fn write(&self, facts: &Facts, out: &mut Vec<u8>, members: impl FnOnce(&mut Vec<u8>)) {
        out.push(b'{');
        for member in self.service.noun.into_iter().chain(["key"]) {
            name_member(member, out);
            json::write_string(&self.name, out);
            out.push(b',');
        }
        members(out);
        // What ends the answer begins with the comma of its last member.
        out.pop();
        write_node_suffix(&facts.owner, out);
    }
}

/// Answers a read as its condition has it.
fn tell(
    call: &mut Call,
    target: &Target,
    facts: &Facts,
    shown: Shown<impl FnOnce(&mut Vec<u8>)>,
) -> Result<Response<Body>, Failure> {
    let bytes = target.bytes(facts) + shown.bytes;
    respond(call, facts, "application/json", bytes, |out| {
        target.write(facts, out, shown.members);
    })
}

/// Answers a read with whatever `write` writes, as the request's condition has it.
pub(super) fn respond(
    call: &mut Call,
    facts: &Facts,
    media_type: &'static str,
    bytes: usize,
    write: impl FnOnce(&mut Vec<u8>),
) -> Result<Response<Body>, Failure> {
    let condition = ReadCondition::of(&call.parts.headers)?;
    let status = match condition.verdict(facts.version) {
        Verdict::Failed => return Err(Failure::precondition_failed(facts.version)),
        Verdict::NotModified => StatusCode::NOT_MODIFIED,
        Verdict::Send => StatusCode::OK,
    };
    let bytes = if status == StatusCode::OK { bytes } else { 0 };
    let hold = Hold::take_large(&call.shared.budget, bytes)?;
    let mut draft = draft(call, facts, bytes, hold);
    if status == StatusCode::OK {
        draft.media_type(media_type);
        write(draft.body());
    }
    let cache = facts.version.map_or("MISS", |_| "HIT");
    Ok(draft.respond(status, Some(cache), take(&mut call.parts.headers)))
}

/// Answers a write that was applied.
fn confirm(
    call: &mut Call,
    target: &Target,
    facts: &Facts,
    shown: Shown<impl FnOnce(&mut Vec<u8>)>,
) -> Response<Body> {
    let bytes = target.bytes(facts) + shown.bytes;
    // Its answer is owed, whatever it takes.
    let hold = (bytes >= LARGE_BYTES).then(|| Hold::owe(&call.shared.budget, bytes));
    let mut draft = draft(call, facts, bytes, hold);
    target.write(facts, draft.body(), shown.members);
    draft.respond(StatusCode::OK, None, take(&mut call.parts.headers))
}

/// Answers a write of which nothing is told but that it was applied.
fn nothing(call: &mut Call, facts: &Facts) -> Response<Body> {
    let draft = draft(call, facts, 0, None);
    draft.respond(StatusCode::NO_CONTENT, None, take(&mut call.parts.headers))
}

fn draft(call: &Call, facts: &Facts, bytes: usize, hold: Option<Hold>) -> Draft {
    let mut draft = Draft::new(&call.id, bytes, hold);
    if let Some(version) = facts.version {
        let now = call.shared.clock.now();
        draft.version(version, ttl_ms(facts.expires_at, now));
    }
    draft
}

/// The whole value, whatever it is.
async fn whole(call: &Call, target: &Target) -> Result<(Option<Entry>, Facts), Failure> {
    let key = target.key.clone();
    let answer = call.context().execute(&Command::Get { key }).await?;
    let Reply::Value(entry) = answer.reply else {
        return Err(Failure::unexpected());
    };
    let facts = Facts::of(entry.as_ref(), answer.owner);
    Ok((entry, facts))
}

/// What is known of a value that was read.
pub(super) fn facts(answer: router::Answer) -> Result<Facts, Failure> {
    match answer.reply {
        Reply::Value(entry) => Ok(Facts::of(entry.as_ref(), answer.owner)),
        _ => Err(Failure::unexpected()),
    }
}

/// The whole value, which must be of this kind.
async fn whole_of(
    call: &Call,
    target: &Target,
    wanted: Kind,
) -> Result<(Option<Entry>, Facts), Failure> {
    let (entry, facts) = whole(call, target).await?;
    match entry {
        Some(Entry { kind: found, .. }) if found != wanted => {
            Err(command::Error::WrongType { found, wanted }.into())
        }
        entry => Ok((entry, facts)),
    }
}

/// What an operation that changes nothing answers.
async fn ask(
    call: &Call,
    target: &Target,
    operation: Operation,
) -> Result<(Answer, Facts), Failure> {
    let command = Command::Typed {
        key: target.key.clone(),
        operation: Box::new(operation),
        condition: Condition::None,
    };
    answered(call.context().execute(&command).await?)
}

/// Carries an operation out, as the request's condition has it.
async fn change(
    call: &Call,
    target: &Target,
    operation: Operation,
) -> Result<(Answer, Facts), Failure> {
    let command = Command::Typed {
        key: target.key.clone(),
        operation: Box::new(operation),
        condition: write_condition(&call.parts.headers)?,
    };
    let id = idempotency::operation(&call.parts.headers, &target.key)?;
    answered(call.context().execute_once(&command, id).await?)
}

pub(super) fn answered(answer: router::Answer) -> Result<(Answer, Facts), Failure> {
    let owner = answer.owner;
    match answer.reply {
        Reply::Answer {
            answer,
            version,
            expires_at,
        } => {
            let facts = Facts {
                version,
                expires_at,
                owner,
            };
            Ok((answer, facts))
        }
        Reply::ConditionFailed { current } => Err(Failure::precondition_failed(current)),
        Reply::Value(_) | Reply::Stored { .. } | Reply::Deleted(_) => Err(Failure::unexpected()),
    }
}

/// Writes the whole value.
async fn put(
    call: &Call,
    target: &Target,
    kind: Kind,
    data: bytes::Bytes,
    ttl_ms: Option<u64>,
) -> Result<Facts, Failure> {
    let command = Command::Put {
        key: target.key.clone(),
        kind,
        data,
        ttl_ms,
        condition: write_condition(&call.parts.headers)?,
    };
    let id = idempotency::operation(&call.parts.headers, &target.key)?;
    stored(call.context().execute_once(&command, id).await?).map(|(_, facts)| facts)
}

fn stored(answer: router::Answer) -> Result<(Entry, Facts), Failure> {
    match answer.reply {
        Reply::Stored { entry, .. } => {
            let facts = Facts::of(Some(&entry), answer.owner);
            Ok((entry, facts))
        }
        Reply::ConditionFailed { current } => Err(Failure::precondition_failed(current)),
        Reply::Value(_) | Reply::Deleted(_) | Reply::Answer { .. } => Err(Failure::unexpected()),
    }
}

/// The number that an operation answers with.
fn integer(answer: &Answer) -> Result<i64, Failure> {
    match answer {
        Answer::Integer(number) => Ok(*number),
        _ => Err(Failure::unexpected()),
    }
}

/// Deletes the value, of whatever kind.
async fn delete(call: &mut Call, target: Target) -> Result<Response<Body>, Failure> {
    let condition = write_condition(&call.parts.headers)?;
    let Target { name, key, .. } = target;
    write::remove(call, &name, Command::Delete { key, condition }).await
}

/// Refuses a body where the query says everything. A proxy may drop the body of a `DELETE`: one that
/// named what to remove would then remove everything.
fn no_body<B: Incoming>(body: &B) -> Result<(), Failure> {
    if body.is_end_stream() {
        return Ok(());
    }
    let message = "this request takes no body: what to remove is named in the query";
    Err(Failure::bad("unexpected_body", message))
}
