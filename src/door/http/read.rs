//! Reading one key: `GET /api?key=K`.
//!
//! [`here`] is the path that most requests take. It looks the key up where it lies and writes the
//! whole answer into one buffer while it holds the lock; nothing is parsed and nothing is copied a
//! second time. [`answer`] writes the same answer for a value that came from elsewhere.

use bytes::Bytes;
use http::request::Parts;
use http::{Response, StatusCode};

use super::accept;
use super::body::Body;
use super::condition::{ReadCondition, Verdict};
use super::draft::Draft;
use super::failure::Failure;
use super::front::{Call, Shared, write_node_suffix};
use super::hold::{Hold, LARGE_BYTES};
use super::id::RequestId;
use super::part;
use super::query::{self, Keys};
use super::route::Route;
use crate::clock::UnixMs;
use crate::command::{Command, Entry, EntryRef, Kind, Reply, json, show};
use crate::key::Key;

/// Answers a read of one key of this node. `None` if it is not that simple; then nothing was done.
pub(super) fn here(
    shared: &Shared,
    parts: &mut Parts,
    id: &RequestId,
) -> Option<Result<Response<Body>, Failure>> {
    let context = &shared.context;
    if !context.readiness.serves() {
        return None;
    }
    let Keys::One(key) = query::keys(parts.uri.query(), context.config.request_keys_max).ok()?
    else {
        return None;
    };
    if part::path(parts.uri.query()).ok()?.is_some() {
        return None;
    }
    query::check_key(&key, context.config.key_bytes_max).ok()?;
    accept::check(Route::Api, &parts.headers).ok()?;
    let condition = ReadCondition::of(&parts.headers).ok()?;
    let write = |entry: Option<EntryRef<'_>>, now| {
        let suffix = &shared.node_suffix;
        write_answer(shared, id, &key, entry, now, &condition, suffix)
    };
    let answer = context
        .router
        .read_local(key.as_bytes(), |entry, now| match copied(entry) {
            Some(copy) => Err((copy, now)),
            None => Ok(write(entry, now)),
        })?;
    let answer = answer.unwrap_or_else(|(copy, now)| write(Some(copy.as_ref()), now));
    let headers = std::mem::take(&mut parts.headers);
    Some(answer.map(|written| {
        written
            .draft
            .respond(written.status, Some(written.cache), headers)
    }))
}

/// A copy of a large collection: writing its items as JSON takes longer than a writer's lock should
/// be held.
pub(super) fn copied(entry: Option<EntryRef<'_>>) -> Option<Entry> {
    let entry =
        entry.filter(|entry| entry.open.is_some() && entry.stored_bytes() >= LARGE_BYTES)?;
    Some(entry.to_entry())
}

/// Answers a read of one key wherever it lives.
pub(super) async fn answer(call: &mut Call, key: Key) -> Result<Response<Body>, Failure> {
    let condition = ReadCondition::of(&call.parts.headers)?;
    let command = Command::Get { key };
    let answer = call.context().execute(&command).await?;
    let Reply::Value(entry) = answer.reply else {
        return Err(Failure::unexpected());
    };
    let mut suffix = Vec::new();
    write_node_suffix(&answer.owner, &mut suffix);
    let key = String::from_utf8_lossy(command.key().as_bytes());
    let now = call.shared.clock.now();
    let entry = entry.as_ref().map(Entry::as_ref);
    let written = write_answer(
        &call.shared,
        &call.id,
        &key,
        entry,
        now,
        &condition,
        &suffix,
    )?;
    let headers = std::mem::take(&mut call.parts.headers);
    Ok(written
        .draft
        .respond(written.status, Some(written.cache), headers))
}

struct Written {
    draft: Draft,
    status: StatusCode,
    cache: &'static str,
}

fn write_answer(
    shared: &Shared,
    id: &RequestId,
    key: &str,
    entry: Option<EntryRef<'_>>,
    now: UnixMs,
    condition: &ReadCondition,
    node_suffix: &[u8],
) -> Result<Written, Failure> {
    let version = entry.map(|entry| entry.etag());
    let verdict = condition.verdict(version);
    if verdict == Verdict::Failed {
        return Err(Failure::precondition_failed(version));
    }
    let send = verdict == Verdict::Send;
    let body_bytes = match send {
        true => key.len() + data_bytes(entry) + node_suffix.len() + 48,
        false => 0,
    };
    // Refused before anything is copied.
    let hold = Hold::take_large(&shared.budget, body_bytes)?;
    let mut draft = Draft::new(id, body_bytes, hold);
    if let Some(entry) = entry {
        draft.version(entry.etag(), ttl_ms(entry.expires_at, now));
    }
    if send {
        let body = draft.body();
        body.extend_from_slice(b"{\"key\":");
        json::write_string(key, body);
        body.extend_from_slice(b",\"data\":");
        write_data(entry, body);
        body.extend_from_slice(node_suffix);
    }
    Ok(Written {
        draft,
        status: if send {
            StatusCode::OK
        } else {
            StatusCode::NOT_MODIFIED
        },
        cache: if entry.is_some() { "HIT" } else { "MISS" },
    })
}

/// How many bytes [`write_data`] writes at most.
pub(super) fn data_bytes(entry: Option<EntryRef<'_>>) -> usize {
    const TYPE_BYTES: usize = b",\"type\":\"counter\"".len();
    entry.map_or(4, |entry| show::length(entry) + TYPE_BYTES)
}

/// Writes a value as JSON; none is `null`. What is no JSON document is followed by a member that
/// says what it is.
pub(super) fn write_data(entry: Option<EntryRef<'_>>, out: &mut Vec<u8>) {
    match entry {
        None => out.extend_from_slice(b"null"),
        Some(entry) => match entry.kind {
            Kind::Json => out.extend_from_slice(entry.data),
            // The table never gives one out.
            Kind::Tombstone => out.extend_from_slice(b"null"),
            kind => {
                show::write(entry, out);
                out.extend_from_slice(b",\"type\":\"");
                out.extend_from_slice(show::name(kind).as_bytes());
                out.push(b'"');
            }
        },
    }
}

/// What is left of a life that ends, in milliseconds.
pub(super) fn ttl_ms(expires_at: Option<UnixMs>, now: UnixMs) -> Option<u64> {
    expires_at.map(|at| now.ms_until(at))
}

/// A key that was written in a URL.
pub(super) fn key(text: &str, bytes_max: usize) -> Result<Key, Failure> {
    query::check_key(text, bytes_max)?;
    Ok(Key::new(
        Bytes::copy_from_slice(text.as_bytes()),
        bytes_max,
    )?)
}
