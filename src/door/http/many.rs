//! Reading several keys at a time: `GET /api?key=A&key=B`.
//!
//! The answer is `{"results":[…]}` with an element for each key, in the order asked for; an element
//! is `{"key","data","node","etag","ttl_ms"}` (the last two only where there is such a thing), or
//! `{"key","error","message","status"}` where one key failed. It is streamed, so that what a
//! thousand large values take in memory does not depend on how fast the client reads.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{FutureExt, stream};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};

use super::body::Body;
use super::failure::Failure;
use super::front::{Call, Exchange, Shared};
use super::hold::{Held, Hold};
use super::part;
use super::pipeline::{BYTES, Pipeline};
use super::query::{self, Keys};
use super::read::{self, data_bytes, ttl_ms, write_data};
use crate::clock::UnixMs;
use crate::command::{Command, Entry, EntryRef, Reply, json};

/// Pieces of the answer are about this long, in bytes.
pub(super) const PIECE_BYTES: usize = BYTES / 16;

/// Answers a read that is not as simple as [`read::here`] has it.
pub(super) async fn answer(call: &mut Call, exchange: Exchange) -> Result<Response<Body>, Failure> {
    let config = &call.context().config;
    let keys_max = config.request_keys_max;
    let bytes_max = config.key_bytes_max;
    let path = part::path(call.parts.uri.query())?;
    match query::keys(call.parts.uri.query(), keys_max)? {
        Keys::None => Err(Failure::key_required()),
        Keys::One(key) => {
            let key = read::key(&key, bytes_max)?;
            match path {
                None => read::answer(call, key).await,
                Some(path) => part::read(call, key, path).await,
            }
        }
        Keys::Many(_) if path.is_some() => {
            let message = "a path goes with one key";
            Err(Failure::bad("too_many_keys", message))
        }
        Keys::Many(keys) => {
            let keys: Vec<String> = keys.into_iter().map(|key| key.into_owned()).collect();
            Ok(stream_results(call, keys, exchange))
        }
    }
}

fn stream_results(call: &Call, keys: Vec<String>, exchange: Exchange) -> Response<Body> {
    let results = Results {
        shared: Arc::clone(&call.shared),
        keys: keys.into_iter(),
        pipeline: Pipeline::new(),
        begun: false,
        ended: false,
    };
    let pieces = stream::unfold(results, |mut results| async move {
        let piece = results.piece().await?;
        Some((piece.into_bytes(), results))
    });
    let mut response = Response::new(Body::stream(pieces, exchange));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

type Element = Pin<Box<dyn Future<Output = Held> + Send>>;

struct Results {
    shared: Arc<Shared>,
    keys: std::vec::IntoIter<String>,
    pipeline: Pipeline<Element>,
    begun: bool,
    ended: bool,
}

impl Results {
    /// The next stretch of the answer: what is ready, and at least something.
    async fn piece(&mut self) -> Option<Held> {
        if self.ended {
            return None;
        }
        let mut piece = Held::nothing(&self.shared.budget);
        while piece.bytes.len() < PIECE_BYTES {
            while self.pipeline.has_room()
                && let Some(key) = self.keys.next()
            {
                let element = element(Arc::clone(&self.shared), key);
                self.pipeline.push(None, Box::pin(element));
            }
            let next = self.pipeline.next();
            let element = if piece.bytes.is_empty() {
                next.await
            } else {
                match next.now_or_never() {
                    Some(element) => element,
                    None => break,
                }
            };
            let Some(element) = element else {
                self.ended = true;
                piece.bytes.extend_from_slice(b"]}");
                break;
            };
            let open: &[u8] = if self.begun { b"," } else { b"{\"results\":[" };
            self.begun = true;
            piece.bytes.extend_from_slice(open);
            piece.append(element);
        }
        Some(piece)
    }
}

/// One element of the answer.
async fn element(shared: Arc<Shared>, key: String) -> Held {
    match value(&shared, &key).await {
        Ok(element) => element,
        Err(failure) => {
            let mut out = Vec::with_capacity(128);
            out.extend_from_slice(b"{\"key\":");
            json::write_string(&key, &mut out);
            out.push(b',');
            failure.write_members(&mut out);
            out.push(b'}');
            Held::owing(&shared.budget, out)
        }
    }
}

async fn value(shared: &Shared, text: &str) -> Result<Held, Failure> {
    let context = &shared.context;
    query::check_key(text, context.config.key_bytes_max)?;
    let write = |entry: Option<EntryRef<'_>>, now| {
        write_element(shared, text, entry, now, context.router.name())
    };
    let here = context
        .router
        .read_local(text.as_bytes(), |entry, now| match read::copied(entry) {
            Some(copy) => Err((copy, now)),
            None => Ok(write(entry, now)),
        });
    if let Some(element) = here {
        return element.unwrap_or_else(|(copy, now)| write(Some(copy.as_ref()), now));
    }
    let key = read::key(text, context.config.key_bytes_max)?;
    let answer = context.execute(&Command::Get { key }).await?;
    let Reply::Value(entry) = answer.reply else {
        return Err(Failure::unexpected());
    };
    let entry = entry.as_ref().map(Entry::as_ref);
    write_element(shared, text, entry, shared.clock.now(), &answer.owner)
}

fn write_element(
    shared: &Shared,
    key: &str,
    entry: Option<EntryRef<'_>>,
    now: UnixMs,
    node: &str,
) -> Result<Held, Failure> {
    let room = key.len() + data_bytes(entry) + node.len() + 96;
    let hold = Hold::take(&shared.budget, room)?;
    let mut out = Vec::with_capacity(room);
    out.extend_from_slice(b"{\"key\":");
    json::write_string(key, &mut out);
    out.extend_from_slice(b",\"data\":");
    write_data(entry, &mut out);
    write_facts(entry, now, node, &mut out);
    out.push(b'}');
    Ok(Held { bytes: out, hold })
}

/// Writes what is known of a value besides itself, as members that follow others.
pub(super) fn write_facts(entry: Option<EntryRef<'_>>, now: UnixMs, node: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"node\":");
    json::write_string(node, out);
    let Some(entry) = entry else {
        return;
    };
    out.extend_from_slice(b",\"etag\":\"");
    entry.etag().write_text(out);
    out.push(b'"');
    if let Some(ms) = ttl_ms(entry.expires_at, now) {
        out.extend_from_slice(b",\"ttl_ms\":");
        out.extend_from_slice(itoa::Buffer::new().format(ms).as_bytes());
    }
}
