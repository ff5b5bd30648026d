//! Every door behind one trait: each carries the operations of the vocabulary out that it offers, and
//! brings what it is answered into one form.
//!
//! An adapter says plainly what its door does not offer: then its answer is `None`.
#![allow(dead_code, reason = "each of the tests uses a part of it")]

#[path = "doors/api.rs"]
mod api;
#[path = "doors/bare.rs"]
mod bare;
#[path = "doors/carriers.rs"]
mod carriers;
#[path = "doors/collections.rs"]
mod collections;
#[path = "doors/documents.rs"]
mod documents;
#[path = "doors/services.rs"]
mod services;
#[path = "doors/typed.rs"]
mod typed;
#[path = "doors/words.rs"]
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value as Json, json};
use smache::clock::Clock;

use super::client::{Client, Response};
use super::vocabulary::{Answer, Op, Refused, Text, Value};

/// A key as services and clients of the Redis protocol name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// Of one type; its keys begin so.
    pub(crate) service: &'static str,
    pub(crate) name: Text,
}

impl Key {
    pub(crate) fn whole(&self) -> Text {
        Text([self.service.as_bytes(), b":", &self.name.0].concat())
    }
}

/// An answer, and what was told beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) answer: Answer,
    /// The version of the value as it is now, where it was told.
    pub(crate) version: Option<String>,
}

impl From<Answer> for Told {
    fn from(answer: Answer) -> Told {
        let version = None;
        Told { answer, version }
    }
}

/// What a key was seen to hold.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shown {
    pub(crate) value: Seen,
    /// Where the door shows it.
    pub(crate) version: Option<String>,
    pub(crate) ends: Option<Ends>,
}

/// A value, as precisely as a door shows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    /// With its type.
    Typed(Value),
    /// A string of some kind.
    Text(Text),
    /// As JSON, without its type.
    Json(Json),
}

/// When a value expires: between these two moments, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ends {
    pub(crate) earliest: u64,
    pub(crate) latest: u64,
}

/// The present moment, as nodes of this machine see it.
pub(crate) fn now_ms() -> u64 {
    Clock::system().now().0
}

impl Ends {
    /// Of a value that was asked for then, and of which so much was left.
    pub(crate) fn of(asked: u64, ttl_ms: Option<u64>) -> Option<Ends> {
        let ttl_ms = ttl_ms?;
        Some(Ends {
            earliest: asked + ttl_ms,
            latest: now_ms() + ttl_ms,
        })
    }
}

impl Seen {
    /// Whether it may be this value.
    pub(crate) fn is(&self, value: &Value) -> bool {
        match self {
            Seen::Typed(seen) => seen == value,
            Seen::Text(seen) => match value {
                Value::Bytes(bytes) => seen == bytes,
                Value::Counter(number) => *seen == Text::from(number.to_string()),
                Value::Flag(flag) => *seen == Text::from(flag.to_string()),
                _ => false,
            },
            // In any order where there is none.
            Seen::Json(seen) => match value {
                Value::Set(members) => {
                    let seen = Some(seen).filter(|seen| seen.is_array()).map(texts);
                    seen.is_some_and(|seen| {
                        seen.len() == members.len()
                            && seen.into_iter().collect::<BTreeSet<_>>() == *members
                    })
                }
                Value::Hash(pairs) if seen.is_array() || seen.is_object() => {
                    let seen = fields(seen);
                    seen.len() == pairs.len()
                        && seen.into_iter().collect::<BTreeMap<_, _>>() == *pairs
                }
                value => *seen == rendered(value),
            },
        }
    }
}

/// A connection over HTTP, made anew when the node has closed it: one on which nothing is asked for is
/// not kept for ever.
pub(crate) struct Link {
    http: SocketAddr,
    client: Client,
}

impl Link {
    async fn new(http: SocketAddr) -> Link {
        let client = Client::connect(http).await;
        Link { http, client }
    }

    async fn ask(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response {
        if self.client.is_closed() {
            self.client = Client::connect(self.http).await;
        }
        self.client.ask(method, target, headers, body).await
    }
}

/// What comes of asking a door.
pub(crate) type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A way to a node.
pub(crate) trait Door: Send {
    fn name(&self) -> &'static str;

    /// Carries an operation out. `None` if the door does not offer it.
    fn ask<'a>(&'a mut self, key: &'a Key, op: &'a Op) -> Pending<'a, Option<Told>>;

    /// What a key holds, if anything. `None` if the door cannot show it.
    fn look<'a>(&'a mut self, key: &'a Key) -> Pending<'a, Option<Option<Shown>>>;
}

/// Every door of a node. The first one offers most.
pub(crate) async fn doors(http: SocketAddr, resp: SocketAddr) -> Vec<Box<dyn Door>> {
    use carriers::{Grpc, Http, Redis};
    use words::Words;
    vec![
        Box::new(Words::new(
            "Redis protocol, RESP2",
            Redis::arrays(resp, 2).await,
        )),
        Box::new(Words::new(
            "Redis protocol, RESP3",
            Redis::arrays(resp, 3).await,
        )),
        Box::new(Words::new(
            "Redis protocol, lines",
            Redis::lines(resp).await,
        )),
        Box::new(Words::new("POST /command, words", Http::words(http).await)),
        Box::new(Words::new("POST /command, text", Http::text(http).await)),
        Box::new(Words::new("gRPC Commands", Grpc::new(http))),
        Box::new(api::Api::new(http).await),
        Box::new(bare::Bare::new(http).await),
        Box::new(services::Services::new(http).await),
        Box::new(typed::Typed::new(http)),
    ]
}

/// The service of the type that an operation, or a value that is written, has.
pub(crate) fn service(op: &Op) -> Option<&'static str> {
    Some(match op {
        Op::Put(value, _) | Op::Create(value) | Op::Replace(value, _) => service_of(value),
        Op::Delete | Op::Expire(_) | Op::Persist => return None,
        Op::Read | Op::Length | Op::Range(..) | Op::Append(_) => "kv",
        Op::SetRange(..) | Op::Exchange(_) | Op::Take => "kv",
        Op::Count | Op::Increment(_) | Op::IncrementFloat(_) => "counters",
        Op::IsSet => "flags",
        Op::Members | Op::Contains(_) | Op::Size => "sets",
        Op::AddMembers(_) | Op::RemoveMembers(_) => "sets",
        Op::Fields | Op::Field(_) | Op::HasField(_) | Op::FieldCount => "hashes",
        Op::SetFields(_) | Op::SetNewField(..) => "hashes",
        Op::RemoveFields(_) | Op::IncrementField(..) => "hashes",
        Op::Document | Op::SetDocument(_) | Op::Member(_) | Op::Merge(_) => "json",
        Op::SetMember(..) | Op::RemoveMember(_) => "json",
        Op::IncrementMember(..) | Op::AppendMember(..) => "json",
        Op::Elements(..) | Op::Element(_) | Op::ListLength | Op::Push(..) | Op::PushMore(..) => {
            "lists"
        }
        Op::Pop(..) | Op::SetElement(..) | Op::Insert(..) => "lists",
        Op::RemoveElements(..) | Op::Trim(..) | Op::Rotate(..) => "lists",
    })
}

/// Whether the service of a key has an operation: strings are kept by two.
fn has(key: &Key, op: &Op) -> bool {
    match (service(op), key.service) {
        (None, _) | (Some("kv"), "cache") => true,
        (Some(service), of_key) => service == of_key,
    }
}

/// The service of the type of a value.
pub(crate) fn service_of(value: &Value) -> &'static str {
    match value {
        Value::Json(_) => "json",
        Value::Counter(_) => "counters",
        Value::Bytes(_) => "kv",
        Value::Flag(_) => "flags",
        Value::Set(_) => "sets",
        Value::Hash(_) => "hashes",
        Value::List(_) => "lists",
    }
}

/// An item as JSON bodies have it.
pub(crate) fn item(text: &Text) -> Json {
    match text.utf8() {
        Some(text) => json!(text),
        None => json!({"base64": STANDARD.encode(&text.0)}),
    }
}

fn items(texts: &[Text]) -> Json {
    texts.iter().map(item).collect()
}

/// The bytes that JSON stands for.
fn text(item: &Json) -> Text {
    match item {
        Json::String(text) => Text::from(&text[..]),
        Json::Object(object) => {
            let encoded = object["base64"].as_str().unwrap();
            Text(STANDARD.decode(encoded).unwrap())
        }
        other => Text::from(other.to_string()),
    }
}

fn texts(items: &Json) -> Vec<Text> {
    items.as_array().unwrap().iter().map(text).collect()
}

/// Fields with their values; an array of pairs, if a field is no text.
fn fields(shown: &Json) -> Vec<(Text, Text)> {
    match shown {
        Json::Object(fields) => {
            let pair = |(field, value): (&String, &Json)| (Text::from(&field[..]), text(value));
            fields.iter().map(pair).collect()
        }
        pairs => {
            let pair = |pair: &Json| (text(&pair[0]), text(&pair[1]));
            pairs.as_array().unwrap().iter().map(pair).collect()
        }
    }
}

/// A value as doors show it that answer with JSON.
fn rendered(value: &Value) -> Json {
    match value {
        Value::Json(document) => document.clone(),
        Value::Counter(number) => json!(number),
        Value::Bytes(bytes) => item(bytes),
        Value::Flag(flag) => json!(flag),
        Value::Set(members) => members.iter().map(item).collect(),
        Value::List(elements) => items(elements),
        Value::Hash(pairs) => pairs
            .iter()
            .map(|(f, v)| json!([item(f), item(v)]))
            .collect(),
    }
}

/// A value of which JSON and the name of its type are shown.
fn value_of(kind: &str, shown: &Json) -> Value {
    match kind {
        "json" => Value::Json(shown.clone()),
        "counter" => Value::Counter(shown.as_i64().unwrap()),
        "bytes" => Value::Bytes(text(shown)),
        "flag" => Value::Flag(shown.as_bool().unwrap()),
        "set" => Value::Set(texts(shown).into_iter().collect()),
        "hash" => Value::Hash(fields(shown).into_iter().collect()),
        "list" => Value::List(texts(shown)),
        other => panic!("no type is called {other}"),
    }
}

/// Text as a part of a path or a query.
fn escaped(text: &Text) -> Option<String> {
    let text = utf8_percent_encode(text.utf8()?, NON_ALPHANUMERIC);
    Some(text.to_string())
}

/// What a failure is called, by the code that HTTP and gRPC have for it.
fn refused(op: &Op, code: &str, message: &str) -> Answer {
    Answer::Refused(match code {
        "wrong_type" => Refused::WrongType,
        "not_a_number" => Refused::NotANumber,
        "counter_overflow" => Refused::Overflow,
        "value_too_large" => Refused::TooLarge,
        "key_too_long" | "key_required" => Refused::Key,
        "index_out_of_range" => Refused::OutOfRange,
        "path_mismatch" => Refused::Mismatch,
        "precondition_failed" => Refused::Condition,
        "not_found" => match op {
            Op::SetElement(..) | Op::IncrementMember(..) | Op::AppendMember(..) => {
                Refused::NoSuchKey
            }
            _ => return Answer::Nothing,
        },
        _ => return Answer::Unknown(format!("{code}: {message}")),
    })
}

/// The version of an answer over HTTP.
fn etag(response: &Response) -> Option<String> {
    let etag = response.header("etag")?;
    Some(etag.trim_matches('"').to_owned())
}

fn ttl_ms(response: &Response) -> Option<u64> {
    response.header("x-ttl-ms").map(|ms| ms.parse().unwrap())
}

/// What an answer over HTTP says, if it is none of success.
fn failure(op: &Op, response: &Response) -> Option<Told> {
    if response.status < 400 {
        return None;
    }
    let body = response.json();
    let of = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    Some(refused(op, &of("error"), &of("message")).into())
}

/// What a write that went well is answered by `/api` and `/{key}`.
fn done(op: &Op, response: &Response) -> Told {
    failure(op, response).unwrap_or_else(|| Told {
        answer: Answer::Done,
        version: etag(response),
    })
}

/// What they answer to a delete.
fn deleted(op: &Op, response: &Response) -> Told {
    let deleted = || response.json()["deleted"].as_bool().unwrap();
    failure(op, response).unwrap_or_else(|| Answer::Integer(deleted().into()).into())
}

/// The header with the condition of a write over HTTP.
fn precondition(op: &Op) -> Option<(&'static str, String)> {
    match op {
        Op::Create(_) => Some(("if-none-match", "*".to_owned())),
        Op::Replace(_, version) => Some(("if-match", format!("\"{version}\""))),
        _ => None,
    }
}

/// A time to live in a request over HTTP.
fn lifetime(ttl_ms: u64) -> String {
    format!("{ttl_ms}ms")
}

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(20);
