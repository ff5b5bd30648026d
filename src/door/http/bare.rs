//! Keys as paths: `GET|DELETE /{key}`, and `PUT /` with a key and any JSON value.
//!
//! `/{key}` takes whatever no fixed route takes, so that `/status` is the node's and never a key: such
//! keys are there on `/api`. The answer to a read is the value itself, without anything around it.
//!
//! Levels of earlier systems (`ttl-l1`, `ttl-l2`) are one here: a value lives as long as the longer of
//! what is said.

use std::mem::take;

use http::{Method, Response, StatusCode};

use super::accept::{self, Format};
use super::body::{Body, Incoming};
use super::condition::{ReadCondition, Verdict, write_condition};
use super::draft::Draft;
use super::failure::Failure;
use super::front::Call;
use super::hold::Hold;
use super::idempotency::operation;
use super::read::{self, ttl_ms};
use super::route::{self, Entry as RouteEntry, Route};
use super::{envelope, query, ttl, write};
use crate::command::json::{self, Object};
use crate::command::{Command, Entry, Kind, Reply, show};
use crate::key::Key;

const MEMBERS: [&str; 5] = ["key", "value", "ttl", "ttl-l1", "ttl-l2"];

/// Answers a request about the key that the path or the body names.
pub(super) async fn answer<B: Incoming>(
    call: &mut Call,
    body: B,
    entry: &'static RouteEntry,
) -> Result<Response<Body>, Failure> {
    if entry.route == Route::Root {
        return put(call, body).await;
    }
    let path = route::without_slash(call.parts.uri.path());
    let name = query::decode_path(entry.rest(path).unwrap_or_default())?.into_owned();
    let key = read::key(&name, call.context().config.key_bytes_max)?;
    match call.parts.method {
        Method::DELETE => delete(call, &name, key).await,
        _ => get(call, &name, key).await,
    }
}

async fn get(call: &mut Call, name: &str, key: Key) -> Result<Response<Body>, Failure> {
    let condition = ReadCondition::of(&call.parts.headers)?;
    let answer = call.context().execute(&Command::Get { key }).await?;
    let Reply::Value(entry) = answer.reply else {
        return Err(Failure::unexpected());
    };
    let version = entry.as_ref().map(Entry::etag);
    let verdict = condition.verdict(version);
    if verdict == Verdict::Failed {
        return Err(Failure::precondition_failed(version));
    }
    let Some(entry) = entry else {
        return Err(Failure::miss(format!("Key {name} not found!")));
    };
    let (status, bytes) = match verdict {
        Verdict::Send => (StatusCode::OK, show::length(entry.as_ref())),
        _ => (StatusCode::NOT_MODIFIED, 0),
    };
    let hold = Hold::take_large(&call.shared.budget, bytes)?;
    let mut draft = Draft::new(&call.id, bytes, hold);
    let now = call.shared.clock.now();
    draft.version(entry.etag(), ttl_ms(entry.expires_at, now));
    if status == StatusCode::OK {
        show::write(entry.as_ref(), draft.body());
    }
    Ok(draft.respond(status, Some("HIT"), take(&mut call.parts.headers)))
}

async fn delete(call: &mut Call, name: &str, key: Key) -> Result<Response<Body>, Failure> {
    let condition = write_condition(&call.parts.headers)?;
    let id = operation(&call.parts.headers, &key)?;
    let command = Command::Delete { key, condition };
    let answer = call.context().execute_once(&command, id).await?;
    let deleted = match answer.reply {
        Reply::Deleted(deleted) => deleted,
        Reply::ConditionFailed { current } => return Err(Failure::precondition_failed(current)),
        Reply::Value(_) | Reply::Stored { .. } | Reply::Answer { .. } => {
            return Err(Failure::unexpected());
        }
    };
    let message = match deleted {
        true => format!("Successfully deleted key {name}"),
        false => format!("Key {name} not found!"),
    };
    let mut draft = Draft::new(&call.id, 2 * (name.len() + message.len()) + 64, None);
    let out = draft.body();
    out.extend_from_slice(b"{\"key\":");
    json::write_string(name, out);
    let text: &[u8] = if deleted { b"true" } else { b"false" };
    out.extend_from_slice(b",\"deleted\":");
    out.extend_from_slice(text);
    out.push(b',');
    write_message(&message, out);
    Ok(draft.respond(StatusCode::OK, None, take(&mut call.parts.headers)))
}

async fn put<B: Incoming>(call: &mut Call, body: B) -> Result<Response<Body>, Failure> {
    let condition = write_condition(&call.parts.headers)?;
    accept::format(&call.parts.headers, &[Format::Json])?;
    let (text, _hold) = write::whole(call, body).await?;
    let config = &call.context().config;
    let object = Object::parse(&text, config.json_depth_max)?;
    envelope::only(&object, &MEMBERS)?;
    let key = envelope::key(&object, config.key_bytes_max)?;
    let name = String::from_utf8_lossy(key.as_bytes()).into_owned();
    let id = operation(&call.parts.headers, &key)?;
    let missing = || Failure::bad("invalid_data", "value is missing; it may be any JSON");
    let command = Command::Put {
        key,
        kind: Kind::Json,
        data: object.share("value").ok_or_else(missing)?,
        ttl_ms: longest_ttl_ms(&object)?,
        condition,
    };
    let answer = call.context().execute_once(&command, id).await?;
    let entry = match answer.reply {
        Reply::Stored { entry, .. } => entry,
        Reply::ConditionFailed { current } => return Err(Failure::precondition_failed(current)),
        Reply::Value(_) | Reply::Deleted(_) | Reply::Answer { .. } => {
            return Err(Failure::unexpected());
        }
    };
    let message = format!("Successfully put key {name}");
    let mut draft = Draft::new(&call.id, 2 * message.len() + 32, None);
    let now = call.shared.clock.now();
    draft.version(entry.etag(), ttl_ms(entry.expires_at, now));
    let out = draft.body();
    out.push(b'{');
    write_message(&message, out);
    Ok(draft.respond(StatusCode::OK, None, take(&mut call.parts.headers)))
}

fn write_message(message: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"message\":");
    json::write_string(message, out);
    out.extend_from_slice(b",\"status\":200}");
}

/// How long a value lives of which it is said for several levels, or for all that say nothing.
fn longest_ttl_ms(object: &Object) -> Result<Option<u64>, Failure> {
    let of = |name: &str| object.get(name).map_or(Ok(None), ttl::from_json);
    let all = of("ttl")?;
    let (first, second) = (of("ttl-l1")?.or(all), of("ttl-l2")?.or(all));
    Ok(first.max(second))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn the_longer_of_the_levels_counts() {
        let of = |members: &str| {
            let text = Bytes::from(format!("{{{members}}}"));
            longest_ttl_ms(&Object::parse(&text, 4).unwrap()).map_err(|failure| failure.code)
        };
        for (members, ttl_ms) in [
            ("", None),
            (r#""ttl":"300s""#, Some(300_000)),
            (r#""ttl":"1h","ttl-l1":"10s""#, Some(3_600_000)),
            (r#""ttl":"10s","ttl-l2":"1h""#, Some(3_600_000)),
            (r#""ttl":"1h","ttl-l1":"10s","ttl-l2":"20s""#, Some(20_000)),
            (r#""ttl-l1":"10s""#, Some(10_000)),
            (r#""ttl-l2":60"#, Some(60_000)),
        ] {
            assert_eq!(of(members), Ok(ttl_ms), "{members}");
        }
        for members in [r#""ttl":"0s""#, r#""ttl-l1":"soon""#, r#""ttl-l2":-1"#] {
            assert_eq!(of(members), Err("invalid_ttl"), "{members}");
        }
    }
}
