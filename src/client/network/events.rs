//! Following keys over the network: `GET /api/watch`, as server-sent events, on the connection that
//! calls use too.
//!
//! A stream that ends is begun again, at the next node if this one is gone, with the id of the last
//! event that was seen. Keys are then told again as they are; of prefixes nobody knows what was missed,
//! and the client says so.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::BodyExt as _;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{sleep, timeout};
use tonic::body::Body;
use tower::ServiceExt as _;

use super::Client;
use crate::client::{Change, Changes, Error, Event, Value, Version, Watch, What};
use crate::command::Kind;

/// The first pause before a stream is begun again; each is twice the one before,
const PAUSE: Duration = Duration::from_millis(50);
/// up to so long.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// A stream on which nothing comes for so long, not even the sign that it lives, is begun again.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// What happens to keys, from one node or another, until an error that is final.
pub(super) fn follow(client: Client, watch: Watch) -> Changes {
    let follower = Follower {
        client,
        watch,
        open: None,
        ready: VecDeque::new(),
        seen: None,
        was_open: false,
        pause: PAUSE,
        is_over: false,
    };
    let events = stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((event, follower))
    });
    events.boxed()
}

struct Follower {
    client: Client,
    watch: Watch,
    open: Option<Open>,
    ready: VecDeque<Event>,
    /// The id of the last event that had one.
    seen: Option<String>,
    was_open: bool,
    pause: Duration,
    is_over: bool,
}

/// A stream that has begun.
struct Open {
    body: Body,
    parser: Parser,
}

/// Why there is no stream.
enum Failed {
    /// Trying again does not help.
    For(Error),
    /// It may.
    Yet,
}

impl Follower {
    async fn next(&mut self) -> Option<Result<Event, Error>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            if self.is_over {
                return None;
            }
            match self.open.as_mut() {
                Some(open) => match open.read(&mut self.ready, &mut self.seen).await {
                    Ok(true) => self.pause = PAUSE,
                    Ok(false) => self.open = None,
                    Err(error) => return self.end(error),
                },
                None => {
                    if let Err(error) = self.begin().await {
                        return self.end(error);
                    }
                }
            }
        }
    }

    fn end(&mut self, error: Error) -> Option<Result<Event, Error>> {
        self.is_over = true;
        Some(Err(error))
    }

    /// Begins a stream, however long it takes until a node serves.
    async fn begin(&mut self) -> Result<(), Error> {
        loop {
            let (index, _) = self.client.present();
            match self.ask().await {
                Ok(open) => {
                    self.open = Some(open);
                    if self.was_open && !self.watch.prefixes.is_empty() {
                        self.ready.push_back(Event::Missed(0));
                    }
                    self.was_open = true;
                    return Ok(());
                }
                Err(Failed::For(error)) => return Err(error),
                Err(Failed::Yet) => self.client.leave(index),
            }
            sleep(self.pause.mul_f64(rand::random_range(0.5..1.0))).await;
            self.pause = (2 * self.pause).min(PAUSE_MAX);
        }
    }

    async fn ask(&mut self) -> Result<Open, Failed> {
        let request = self.request().map_err(Failed::For)?;
        let (_, node) = self.client.present();
        let answer = timeout(self.client.0.timeout, node.channel.clone().oneshot(request));
        let Ok(Ok(response)) = answer.await else {
            return Err(Failed::Yet);
        };
        match response.status() {
            StatusCode::OK => Ok(Open {
                body: response.into_body(),
                parser: Parser::new(self.client.0.answer_bytes_max),
            }),
            status if status.is_server_error() => Err(Failed::Yet),
            status => {
                let body = timeout(self.client.0.timeout, response.into_body().collect()).await;
                let body = match body {
                    Ok(Ok(body)) => body.to_bytes(),
                    _ => Bytes::new(),
                };
                Err(Failed::For(refused(status, &body)))
            }
        }
    }

    fn request(&self) -> Result<Request<Body>, Error> {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let keys = self.watch.keys.iter().map(|key| ("key", key));
        let prefixes = self.watch.prefixes.iter().map(|prefix| ("prefix", prefix));
        let query = keys.chain(prefixes);
        let query: Vec<String> = query
            .map(|(name, value)| format!("{name}={}", encode(value)))
            .collect();
        let mut request = Request::get(format!("/api/watch?{}", query.join("&")));
        if let Some(token) = &self.client.0.token {
            request = request.header("authorization", token.as_encoded_bytes());
        }
        if let Some(seen) = self.seen.as_deref().map(HeaderValue::try_from) {
            request = request.header("last-event-id", seen.map_err(|_| Error::unexpected())?);
        }
        let request = request.header("accept", "text/event-stream");
        request.body(Body::empty()).map_err(|_| {
            let message = "the keys and prefixes are too long for one request";
            Error::InvalidArgument(message.to_owned())
        })
    }
}

/// What a node said instead of beginning a stream.
fn refused(status: StatusCode, body: &[u8]) -> Error {
    #[derive(Default, Deserialize)]
    struct Said {
        message: Option<String>,
    }
    let said: Said = serde_json::from_slice(body).unwrap_or_default();
    let message = said.message.unwrap_or_else(|| status.to_string());
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Error::Unauthorized(message),
        _ => Error::InvalidArgument(message),
    }
}

impl Open {
    /// Reads on until there are events. False if the stream has ended.
    async fn read(
        &mut self,
        ready: &mut VecDeque<Event>,
        seen: &mut Option<String>,
    ) -> Result<bool, Error> {
        let Ok(Some(Ok(frame))) = timeout(SILENCE_MAX, self.body.frame()).await else {
            return Ok(false);
        };
        if let Ok(data) = frame.into_data() {
            self.parser.feed(&data)?;
        }
        while let Some(block) = self.parser.block() {
            let Some(told) = Told::read(&block) else {
                continue;
            };
            if let Some(id) = told.id {
                *seen = Some(id.to_owned());
            }
            if let Some(event) = event(told.name, told.data)? {
                ready.push_back(event);
            }
        }
        Ok(true)
    }
}

/// Cuts a stream into its blocks, which end with an empty line.
struct Parser {
    buffer: BytesMut,
    bytes_max: usize,
}

impl Parser {
    fn new(bytes_max: usize) -> Parser {
        let buffer = BytesMut::new();
        Parser { buffer, bytes_max }
    }

    fn feed(&mut self, data: &[u8]) -> Result<(), Error> {
        if self.buffer.len() + data.len() > self.bytes_max {
            let message = format!("an event is longer than {} bytes", self.bytes_max);
            return Err(Error::InvalidArgument(message));
        }
        self.buffer.extend_from_slice(data);
        Ok(())
    }

    fn block(&mut self) -> Option<Bytes> {
        let end = memchr::memmem::find(&self.buffer, b"\n\n")?;
        let block = self.buffer.split_to(end);
        self.buffer.advance(2);
        Some(block.freeze())
    }
}

/// One block of a stream.
struct Told<'a> {
    name: &'a str,
    id: Option<&'a str>,
    data: &'a str,
}

impl<'a> Told<'a> {
    /// Nothing, if it is no event but a comment, or how soon to come back.
    fn read(block: &'a [u8]) -> Option<Told<'a>> {
        let block = std::str::from_utf8(block).ok()?;
        let mut told = Told {
            name: "",
            id: None,
            data: "",
        };
        for line in block.lines() {
            match line.split_once(": ") {
                Some(("event", name)) => told.name = name,
                Some(("id", id)) => told.id = Some(id),
                Some(("data", data)) => told.data = data,
                _ => {}
            }
        }
        (!told.name.is_empty()).then_some(told)
    }
}

/// The data of an event.
#[derive(Deserialize)]
struct Data<'a> {
    #[serde(default)]
    missed: u64,
    #[serde(borrow, default)]
    key: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(rename = "type", default)]
    kind: Option<&'a str>,
    #[serde(default)]
    etag: Option<&'a str>,
    #[serde(default)]
    ttl_ms: Option<u64>,
}

/// An event of this name; nothing, if nobody here knows it.
fn event(name: &str, data: &str) -> Result<Option<Event>, Error> {
    let data: Data<'_> = serde_json::from_str(data).map_err(|_| Error::unexpected())?;
    if name == "missed" {
        return Ok(Some(Event::Missed(data.missed)));
    }
    let Some(what) = What::of(name) else {
        return Ok(None);
    };
    let key = data.key.and_then(|key| bytes_of(key.get()));
    let value = match (data.data, data.kind) {
        (Some(json), Some(kind)) => Some(Value {
            json: json.get().to_owned(),
            kind: kind_of(kind).ok_or_else(Error::unexpected)?,
            version: data
                .etag
                .and_then(Version::parse)
                .ok_or_else(Error::unexpected)?,
            ttl: data.ttl_ms.map(Duration::from_millis),
        }),
        _ => None,
    };
    Ok(Some(Event::Changed(Change {
        key: key.ok_or_else(Error::unexpected)?,
        what,
        value,
    })))
}

fn kind_of(name: &str) -> Option<Kind> {
    let kinds = [
        Kind::Json,
        Kind::Counter,
        Kind::Bytes,
        Kind::Flag,
        Kind::Set,
        Kind::Hash,
        Kind::List,
    ];
    let named = |kind: &Kind| crate::command::show::name(*kind) == name;
    kinds.into_iter().find(named)
}

/// Bytes as JSON has them: text, or an object with `base64`.
fn bytes_of(json: &str) -> Option<Bytes> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        Binary { base64: String },
    }
    match serde_json::from_str(json).ok()? {
        Written::Text(text) => Some(text.into()),
        Written::Binary { base64 } => STANDARD.decode(base64).ok().map(Bytes::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_cut_into_events() {
        let mut parser = Parser::new(1_000);
        let text = ": watching\nretry: 1000\n\nevent: put\nid: 00000000000000ab-00000002\n\
                    data: {\"key\":\"k\",\"data\":{\"a\":1},\"type\":\"json\",\
                    \"etag\":\"00000000000000ab-00000002\",\"ttl_ms\":500}\n\n:\n\n\
                    event: expire\ndata: {\"key\":{\"base64\":\"/w==\"},\"data\":null}\n\n\
                    event: missed\ndata: {\"missed\":3}\n\nevent: later\ndata: {}\n\nevent: p";
        let mut blocks = Vec::new();
        // However it is cut on its way.
        for piece in text.as_bytes().chunks(7) {
            parser.feed(piece).unwrap();
            blocks.extend(std::iter::from_fn(|| parser.block()));
        }
        let told: Vec<Told<'_>> = blocks.iter().filter_map(|b| Told::read(b)).collect();
        assert_eq!(told.len(), 4);
        assert_eq!(told[0].id, Some("00000000000000ab-00000002"));
        let events: Vec<Event> = told
            .iter()
            .filter_map(|told| event(told.name, told.data).unwrap())
            .collect();
        let [
            Event::Changed(put),
            Event::Changed(expired),
            Event::Missed(3),
        ] = &events[..]
        else {
            panic!("{events:?}");
        };
        let value = put.value.as_ref().unwrap();
        assert_eq!((&put.key[..], put.what), (&b"k"[..], What::Put));
        assert_eq!((&value.json[..], value.kind), ("{\"a\":1}", Kind::Json));
        assert_eq!(value.ttl, Some(Duration::from_millis(500)));
        assert_eq!(
            (&expired.key[..], expired.what),
            (&b"\xff"[..], What::Expired)
        );
        assert_eq!(expired.value, None);
    }

    #[test]
    fn an_event_without_end_is_given_up() {
        let mut parser = Parser::new(100);
        let fed = (0..20).try_for_each(|_| parser.feed(b"data: endless"));
        assert!(matches!(fed, Err(Error::InvalidArgument(_))));
    }

    #[test]
    fn what_is_no_event_of_this_protocol() {
        assert!(event("put", "{\"key\":1}").is_err());
        assert!(event("put", "no JSON").is_err());
        assert_eq!(event("later", "{}"), Ok(None));
    }
}
