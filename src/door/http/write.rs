//! Writing one key: `POST`, `PUT`, `PATCH` and `DELETE` on `/api`.

use std::mem::take;

use bytes::Bytes;
use http::{Response, StatusCode};

use super::accept::{self, Format};
use super::body::{self, Body, Incoming};
use super::condition::write_condition;
use super::draft::Draft;
use super::envelope::{self, Fields};
use super::failure::Failure;
use super::form;
use super::front::Call;
use super::hold::{Hold, LARGE_BYTES};
use super::idempotency::operation;
use super::part;
use super::query::{self, Keys};
use super::read::{self, data_bytes, ttl_ms, write_data};
use crate::command::json::{self, Object};
use crate::command::{Command, Entry, Kind, OperationId, Reply};

/// The members of a write.
const WRITE_MEMBERS: [&str; 3] = ["key", "data", "ttl"];
/// The members of a patch, which keeps the time to live as it is.
const PATCH_MEMBERS: [&str; 2] = ["key", "data"];

/// `POST|PUT /api`: replaces the value.
pub(super) async fn put<B: Incoming>(call: &mut Call, body: B) -> Result<Response<Body>, Failure> {
    let condition = write_condition(&call.parts.headers)?;
    let formats = [Format::Json, Format::Form, Format::Multipart];
    let (fields, _hold) = fields(call, body, &formats, &WRITE_MEMBERS).await?;
    let operation = operation(&call.parts.headers, &fields.key)?;
    let command = Command::Put {
        key: fields.key,
        kind: Kind::Json,
        data: fields.data,
        ttl_ms: fields.ttl_ms,
        condition,
    };
    store(call, &command, operation).await
}

/// `PATCH /api`: changes the value, or with a path a part of it, by a merge patch.
pub(super) async fn patch<B: Incoming>(
    call: &mut Call,
    body: B,
) -> Result<Response<Body>, Failure> {
    let condition = write_condition(&call.parts.headers)?;
    accept::format(&call.parts.headers, &[Format::Json, Format::MergePatch])?;
    let (text, _hold) = whole(call, body).await?;
    let config = &call.context().config;
    let object = Object::parse(&text, config.json_depth_max)?;
    if object.get("path").is_some() {
        return part::patch(call, &object).await;
    }
    let fields = envelope::of(&object, &PATCH_MEMBERS, config.key_bytes_max)?;
    let operation = operation(&call.parts.headers, &fields.key)?;
    let command = Command::MergePatch {
        key: fields.key,
        patch: fields.data,
        condition,
    };
    store(call, &command, operation).await
}

/// `DELETE /api?key=K`, or with a body `{"key":K}`.
pub(super) async fn delete<B: Incoming>(
    call: &mut Call,
    body: B,
) -> Result<Response<Body>, Failure> {
    let condition = write_condition(&call.parts.headers)?;
    let config = &call.context().config;
    let key = match query::keys(call.parts.uri.query(), 2)? {
        Keys::One(key) => read::key(&key, config.key_bytes_max)?,
        Keys::Many(_) => return Err(Failure::bad("too_many_keys", "a delete takes one key")),
        Keys::None if body.is_end_stream() => return Err(Failure::key_required()),
        Keys::None => {
            accept::format(&call.parts.headers, &[Format::Json])?;
            let (text, _hold) = whole(call, body).await?;
            let object = Object::parse(&text, config.json_depth_max)?;
            envelope::only(&object, &["key"])?;
            envelope::key(&object, config.key_bytes_max)?
        }
    };
    let name = String::from_utf8_lossy(key.as_bytes()).into_owned();
    remove(call, &name, Command::Delete { key, condition }).await
}

/// Deletes a key, which the answer calls `name`.
pub(super) async fn remove(
    call: &mut Call,
    name: &str,
    command: Command,
) -> Result<Response<Body>, Failure> {
    let operation = operation(&call.parts.headers, command.key())?;
    let answer = call.context().execute_once(&command, operation).await?;
    match answer.reply {
        Reply::Deleted(deleted) => {
            let mut draft = Draft::new(&call.id, name.len() + 32, None);
            write_deleted(name, deleted, draft.body());
            Ok(draft.respond(StatusCode::OK, None, take(&mut call.parts.headers)))
        }
        Reply::ConditionFailed { current } => Err(Failure::precondition_failed(current)),
        Reply::Value(_) | Reply::Stored { .. } | Reply::Answer { .. } => Err(Failure::unexpected()),
    }
}

fn write_deleted(name: &str, deleted: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"key\":");
    json::write_string(name, out);
    out.extend_from_slice(b",\"deleted\":");
    out.extend_from_slice(if deleted { b"true" } else { b"false" });
    out.push(b'}');
}

/// The body, and its hold, which lasts until the request is answered.
pub(super) async fn whole<B: Incoming>(call: &Call, body: B) -> Result<(Bytes, Hold), Failure> {
    let config = &call.context().config;
    let hold = Hold::nothing(&call.shared.budget);
    body::collect(body, config.body_bytes_max, config.idle_timeout, hold).await
}

/// What the body says, in whichever format.
async fn fields<B: Incoming>(
    call: &Call,
    body: B,
    formats: &[Format],
    allowed: &[&str],
) -> Result<(Fields, Hold), Failure> {
    let headers = &call.parts.headers;
    let format = accept::format(headers, formats)?;
    let (body, hold) = whole(call, body).await?;
    let config = &call.context().config;
    let (depth_max, key_bytes_max) = (config.json_depth_max, config.key_bytes_max);
    let pairs = match format {
        Format::Json | Format::MergePatch | Format::Lines | Format::Bytes => {
            let fields = envelope::fields(&body, allowed, depth_max, key_bytes_max)?;
            return Ok((fields, hold));
        }
        Format::Form => form::urlencoded(&body)?,
        Format::Multipart => Box::pin(form::multipart(headers, body)).await?,
    };
    let fields = form::fields(pairs, allowed, depth_max, key_bytes_max)?;
    Ok((fields, hold))
}

async fn store(
    call: &mut Call,
    command: &Command,
    operation: Option<OperationId>,
) -> Result<Response<Body>, Failure> {
    let answer = call.context().execute_once(command, operation).await?;
    let entry = match answer.reply {
        Reply::Stored { entry, .. } => entry,
        Reply::ConditionFailed { current } => return Err(Failure::precondition_failed(current)),
        Reply::Value(_) | Reply::Deleted(_) | Reply::Answer { .. } => {
            return Err(Failure::unexpected());
        }
    };
    Ok(stored(call, &entry))
}

fn stored(call: &mut Call, entry: &Entry) -> Response<Body> {
    let now = call.shared.clock.now();
    let body_bytes = data_bytes(Some(entry.as_ref())) + 16;
    // The write is done: its answer is owed, whatever it takes.
    let hold = (body_bytes >= LARGE_BYTES).then(|| Hold::owe(&call.shared.budget, body_bytes));
    let mut draft = Draft::new(&call.id, body_bytes, hold);
    draft.version(entry.etag(), ttl_ms(entry.expires_at, now));
    let body = draft.body();
    body.extend_from_slice(b"{\"data\":");
    write_data(Some(entry.as_ref()), body);
    body.push(b'}');
    draft.respond(StatusCode::OK, None, take(&mut call.parts.headers))
}
