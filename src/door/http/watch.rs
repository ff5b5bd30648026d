//! Following keys: `GET /api/watch?key=K` or `?prefix=P`, any number of both, as server-sent events.
//!
//! ```text
//! event: put                                   snapshot, put, delete, expire, evict, missed
//! id: 0193…-0000002a                           the version: what Last-Event-ID brings back
//! data: {"key":K,"data":…,"type":"json",…}
//! ```
//!
//! Each `key=` is told first as it is (`snapshot`), then whatever becomes of it; a prefix from now
//! on. A client that comes back with the id of the last event that it saw is not told again what it
//! knows. One that does not keep up is told that it `missed` events, and then its keys as they are.
//! While nothing happens a comment says now and then that the connection lives.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use super::body::Body;
use super::failure::Failure;
use super::front::{Call, Exchange, Shared};
use super::hold::{Held, Hold};
use super::many::PIECE_BYTES;
use super::query;
use super::read::{self, ttl_ms};
use crate::access::{Need, Pass};
use crate::clock::UnixMs;
use crate::command::{Entry, show};
use crate::door::bearer;
use crate::live;
use crate::version::Version;
use crate::watch::{Notice, Options, Watch, Why};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Tells nginx to pass on what it gets when it gets it.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The first words: they let the client know that it is heard, and when to come back if the
/// connection breaks.
const HELLO: &[u8] = b": watching\nretry: 1000\n\n";
const HEARTBEAT: &[u8] = b":\n\n";
/// What has no room in the door's memory is tried again after so long.
const NO_ROOM: Duration = Duration::from_millis(100);

impl From<live::Error> for Failure {
    fn from(error: live::Error) -> Failure {
        let message = error.to_string();
        match error {
            live::Error::TooMany { .. } | live::Error::Full => {
                Failure::busy("too_many_watchers", message)
            }
            live::Error::TooMuch { .. } => Failure::bad("too_many_keys", message),
            live::Error::TooLong { .. } => Failure::bad("key_too_long", message),
        }
    }
}

/// Begins to tell what becomes of the keys that the query names.
pub(super) async fn answer(
    call: &mut Call,
    mut exchange: Exchange,
) -> Result<Response<Body>, Failure> {
    let options = options(call)?;
    let pass = bearer::admit(&call.context().access, &call.parts.headers)?;
    let watch = Watch::start(&call.context().router, options).await?;
    exchange.watches();
    let stream = Stream {
        watch,
        shared: Arc::clone(&call.shared),
        pass,
        begun: false,
    };
    let pieces = stream::unfold(stream, |mut stream| async move {
        let piece = stream.piece().await?;
        Some((piece, stream))
    });
    let mut response = Response::new(Body::stream(pieces, exchange));
    let headers = response.headers_mut();
    let set = |value| HeaderValue::from_static(value);
    headers.insert(CONTENT_TYPE, set("text/event-stream"));
    headers.insert(CACHE_CONTROL, set("no-store"));
    headers.insert(X_ACCEL_BUFFERING, set("no"));
    Ok(response)
}

fn options(call: &Call) -> Result<Options, Failure> {
    let config = &call.context().config;
    let mut options = Options {
        read_timeout: config.request_timeout,
        seen: call
            .parts
            .headers
            .get(LAST_EVENT_ID)
            .and_then(|id| Version::parse(id.to_str().ok()?)),
        ..Options::default()
    };
    for pair in query::pairs(call.parts.uri.query()) {
        let (name, value) = pair?;
        match &*name {
            "key" => options.keys.push(read::key(&value, config.key_bytes_max)?),
            "prefix" => options
                .prefixes
                .push(Bytes::copy_from_slice(value.as_bytes())),
            _ => {}
        }
        let count = options.keys.len() + options.prefixes.len();
        if count > config.request_keys_max {
            let max = config.request_keys_max;
            let message = format!("more than {max} keys and prefixes in one request");
            return Err(Failure::bad("too_many_keys", message));
        }
    }
    if options.keys.is_empty() && options.prefixes.is_empty() {
        let message = "name what to watch: key=… or prefix=…, any number of them";
        return Err(Failure::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "key_required",
            message,
        ));
    }
    Ok(options)
}

/// Why an event is not told.
enum NoRoom {
    /// The door's memory is used up at the moment; the event is of this key.
    Now(Bytes),
    /// It is longer than all of that memory.
    Ever,
}

struct Stream {
    watch: Watch,
    shared: Arc<Shared>,
    pass: Pass,
    begun: bool,
}

impl Stream {
    /// The next stretch of the stream: what there is to tell, and at least something. `None` when
    /// the node stops, or the client's token counts no more.
    async fn piece(&mut self) -> Option<Bytes> {
        if !self.begun {
            self.begun = true;
            return Some(Bytes::from_static(HELLO));
        }
        let heartbeat = self.shared.context.config.watch_heartbeat;
        let Ok(first) = tokio::time::timeout(heartbeat, self.watch.next()).await else {
            return self.may_read().then(|| Bytes::from_static(HEARTBEAT));
        };
        let mut next = Some(first?).filter(|_| self.may_read());
        next.as_ref()?;
        let mut piece = Held::nothing(&self.shared.budget);
        while let Some(notice) = next {
            match self.told(&notice) {
                Ok(told) => piece.append(told),
                Err(NoRoom::Ever) => piece.append(self.missed(1)),
                Err(NoRoom::Now(key)) => {
                    // Its value goes at once: nothing counts it, and it is read again.
                    drop(notice);
                    tokio::time::sleep(NO_ROOM).await;
                    if !self.watch.again(&key) {
                        piece.append(self.missed(1));
                    }
                    break;
                }
            }
            next = match piece.bytes.len() {
                0..PIECE_BYTES => self.watch.try_next(),
                _ => None,
            };
        }
        if piece.bytes.is_empty() {
            return Some(Bytes::from_static(HEARTBEAT));
        }
        Some(piece.into_bytes())
    }

    fn may_read(&mut self) -> bool {
        let role = self.shared.context.access.role(&mut self.pass);
        role.is_some_and(|role| role.allows(Need::Read))
    }

    fn missed(&self, count: u64) -> Held {
        let mut out = Vec::new();
        write_missed(count, &mut out);
        Held::owing(&self.shared.budget, out)
    }

    /// A notice as it is sent.
    fn told(&self, notice: &Notice) -> Result<Held, NoRoom> {
        let (key, entry) = match notice {
            Notice::Snapshot { key, entry } => (key, entry.as_ref()),
            Notice::Put { key, entry } => (key, Some(entry)),
            Notice::Gone { key, .. } => (key, None),
            Notice::Missed(count) => return Ok(self.missed(*count)),
        };
        let budget = &self.shared.budget;
        let no_room = |bytes| match budget.fits(bytes) {
            true => NoRoom::Now(key.clone()),
            false => NoRoom::Ever,
        };
        // Escapes make it longer: what is known of that afterwards counts.
        let room = 160 + key.len() + entry.map_or(0, |entry| entry.data.len());
        let mut hold = Hold::take(budget, room).map_err(|_| no_room(room))?;
        let mut out = Vec::with_capacity(room);
        write_event(notice, self.shared.clock.now(), &mut out);
        if !hold.try_set(out.len()) {
            return Err(no_room(out.len()));
        }
        Ok(Held { bytes: out, hold })
    }
}

fn write_missed(count: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: missed\ndata: {\"missed\":");
    out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
    out.extend_from_slice(b"}\n\n");
}

/// Writes an event. No JSON that is stored here has a line break in it.
fn write_event(notice: &Notice, now: UnixMs, out: &mut Vec<u8>) {
    let (name, id, key, entry): (&str, Option<Version>, &Bytes, Option<&Entry>) = match notice {
        Notice::Snapshot { key, entry } => {
            let version = entry.as_ref().map(|entry| entry.version);
            ("snapshot", version, key, entry.as_ref())
        }
        Notice::Put { key, entry } => ("put", Some(entry.version), key, Some(entry)),
        Notice::Gone { key, version, why } => {
            let name = match why {
                Why::Deleted => "delete",
                Why::Expired => "expire",
                Why::Evicted => "evict",
            };
            (name, Some(*version), key, None)
        }
        Notice::Missed(count) => return write_missed(*count, out),
    };
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    if let Some(id) = id {
        out.extend_from_slice(b"\nid: ");
        id.write_text(out);
    }
    out.extend_from_slice(b"\ndata: {\"key\":");
    show::write_bytes(key, out);
    out.extend_from_slice(b",\"data\":");
    match entry {
        None => out.extend_from_slice(b"null"),
        Some(entry) => {
            show::write(entry.as_ref(), out);
            out.extend_from_slice(b",\"type\":\"");
            out.extend_from_slice(show::name(entry.kind).as_bytes());
            out.extend_from_slice(b"\",\"etag\":\"");
            entry.etag().write_text(out);
            out.push(b'"');
            if let Some(ms) = ttl_ms(entry.expires_at, now) {
                out.extend_from_slice(b",\"ttl_ms\":");
                out.extend_from_slice(itoa::Buffer::new().format(ms).as_bytes());
            }
        }
    }
    out.extend_from_slice(b"}\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Kind;
    use crate::version::{Hlc, NodeId};

    fn written(notice: &Notice) -> String {
        let mut out = Vec::new();
        write_event(notice, UnixMs(1_000), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn events_as_they_are_sent() {
        let version = Version {
            hlc: Hlc(0xab),
            node: NodeId(2),
        };
        let entry = Entry {
            kind: Kind::Json,
            data: Bytes::from_static(b"{\"a\":1}"),
            version,
            tag: None,
            expires_at: Some(UnixMs(1_500)),
        };
        let key = Bytes::from_static(b"k\"\n");
        let put = Notice::Put {
            key: key.clone(),
            entry: entry.clone(),
        };
        assert_eq!(
            written(&put),
            "event: put\nid: 00000000000000ab-00000002\n\
             data: {\"key\":\"k\\\"\\n\",\"data\":{\"a\":1},\"type\":\"json\",\
             \"etag\":\"00000000000000ab-00000002\",\"ttl_ms\":500}\n\n"
        );
        let nothing = Notice::Snapshot { key, entry: None };
        assert_eq!(
            written(&nothing),
            "event: snapshot\ndata: {\"key\":\"k\\\"\\n\",\"data\":null}\n\n"
        );
        let expired = Notice::Gone {
            key: Bytes::from_static(b"\xff"),
            version,
            why: Why::Expired,
        };
        assert_eq!(
            written(&expired),
            "event: expire\nid: 00000000000000ab-00000002\n\
             data: {\"key\":{\"base64\":\"/w==\"},\"data\":null}\n\n"
        );
        assert_eq!(
            written(&Notice::Missed(3)),
            "event: missed\ndata: {\"missed\":3}\n\n"
        );
    }
}
