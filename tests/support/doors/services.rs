//! The services of the types: `/cache`, `/kv`, `/counters`, `/flags`, `/sets`, `/hashes`, `/lists`.
//!
//! Each works on the keys of its own namespace.

use std::net::SocketAddr;

use serde_json::{Map, Value as Json, json};

use super::super::client::Response;
use super::super::vocabulary::{Answer, End, Op, Refused, Text, Value};
use super::{
    Door, Ends, Key, Link, Pending, Seen, Shown, Told, escaped, etag, failure, fields, has, item,
    items, lifetime, now_ms, precondition, text, texts, ttl_ms,
};

pub(super) struct Services {
    client: Link,
}

/// A request to a service.
struct Request {
    method: &'static str,
    /// Behind the key.
    query: String,
    body: Option<Json>,
    condition: Option<(&'static str, String)>,
}

fn request(method: &'static str, query: impl Into<String>) -> Option<Request> {
    Some(Request {
        method,
        query: query.into(),
        body: None,
        condition: None,
    })
}

fn with(method: &'static str, query: impl Into<String>, body: Json) -> Option<Request> {
    Some(Request {
        body: Some(body),
        ..request(method, query)?
    })
}

/// The same parameter with each of these values.
fn each(name: &str, values: &[Text]) -> Option<String> {
    let parameter = |value| Some(format!("{name}={}", escaped(value)?));
    let all: Option<Vec<String>> = values.iter().map(parameter).collect();
    Some(all?.join("&"))
}

/// Fields with their values as a body; names of members are text.
fn object<'a>(pairs: impl Iterator<Item = (&'a Text, &'a Text)>) -> Option<Json> {
    let member = |(field, value): (&Text, &Text)| Some((field.utf8()?.to_owned(), item(value)));
    let members: Option<Map<String, Json>> = pairs.map(member).collect();
    members.map(Json::Object)
}

/// A whole value that is written.
fn put(value: &Value, ttl: Option<u64>) -> Option<Request> {
    let ttl_of = |query: &str| match ttl {
        Some(ms) => format!("{query}&ttl={}", lifetime(ms)),
        None => query.to_owned(),
    };
    let whole = |value: Json| match ttl {
        Some(ms) => json!({"value": value, "ttl": lifetime(ms)}),
        None => json!({"value": value}),
    };
    match value {
        Value::Bytes(bytes) => with("PUT", "", whole(item(bytes))),
        Value::Flag(flag) => with("PUT", "", whole(json!(flag))),
        Value::Set(members) => {
            let members: Vec<Text> = members.iter().cloned().collect();
            with("PUT", ttl_of("replace"), items(&members))
        }
        Value::Hash(pairs) => with("PUT", ttl_of("replace"), object(pairs.iter())?),
        Value::List(elements) => with("PUT", ttl_of("replace"), items(elements)),
        // A counter is only added to, and documents have no service.
        Value::Counter(_) | Value::Json(_) => None,
    }
}

/// The request that does this. `None` if there is none.
fn ask(op: &Op) -> Option<Request> {
    let push = |end: &End| match end {
        End::Left => "push=left",
        End::Right => "push=right",
    };
    let pop = |end: &End| match end {
        End::Left => "pop=left",
        End::Right => "pop=right",
    };
    match op {
        Op::Put(value, ttl) => put(value, *ttl),
        Op::Create(value) | Op::Replace(value, _) => Some(Request {
            condition: precondition(op),
            ..put(value, None)?
        }),
        Op::Delete => request("DELETE", ""),
        Op::Read | Op::Count | Op::IsSet | Op::Members | Op::Fields => request("GET", ""),
        Op::Increment(by) => request("PUT", format!("increment={by}")),
        Op::Contains(members) => request("GET", each("item", members)?),
        Op::Size | Op::FieldCount | Op::ListLength => request("GET", "length"),
        Op::AddMembers(members) => with("PUT", "", items(members)),
        Op::RemoveMembers(members) => request("DELETE", each("item", members)?),
        Op::Field(field) => request("GET", each("field", std::slice::from_ref(field))?),
        Op::SetFields(pairs) => {
            let mut unique = std::collections::BTreeSet::new();
            // A name given twice is refused in JSON.
            let is_unique = pairs.iter().all(|(field, _)| unique.insert(field));
            let pairs = pairs.iter().map(|(field, value)| (field, value));
            is_unique.then(|| with("PUT", "", object(pairs)?)).flatten()
        }
        Op::RemoveFields(fields) => request("DELETE", each("field", fields)?),
        Op::IncrementField(field, by) => {
            let field = each("field", std::slice::from_ref(field))?;
            request("PUT", format!("{field}&increment={by}"))
        }
        Op::Elements(from, to) => request("GET", format!("from={from}&to={to}")),
        Op::Element(at) => request("GET", format!("index={at}")),
        Op::Push(end, elements) => with("POST", push(end), items(elements)),
        Op::Pop(end, count) => request("POST", format!("{}&count={count}", pop(end))),
        Op::SetElement(at, element) => {
            let item = each("item", std::slice::from_ref(element))?;
            request("PUT", format!("index={at}&{item}"))
        }
        Op::RemoveElements(0, element) => {
            request("DELETE", each("item", std::slice::from_ref(element))?)
        }
        // Only from the left.
        Op::RemoveElements(..0, _) => None,
        Op::RemoveElements(count, element) => {
            let item = each("item", std::slice::from_ref(element))?;
            request("DELETE", format!("{item}&count={count}"))
        }
        Op::Trim(from, to) => request("POST", format!("trim&from={from}&to={to}")),
        // A time to live comes with what is written; parts of strings, and documents, have no
        // service; the rest of the lists and hashes is for other doors.
        Op::Expire(_)
        | Op::Persist
        | Op::Length
        | Op::Range(..)
        | Op::Append(_)
        | Op::SetRange(..)
        | Op::Exchange(_)
        | Op::Take
        | Op::IncrementFloat(_)
        | Op::HasField(_)
        | Op::SetNewField(..)
        | Op::PushMore(..)
        | Op::Insert(..)
        | Op::Rotate(..)
        | Op::Document
        | Op::SetDocument(_)
        | Op::Member(_)
        | Op::Merge(_)
        | Op::SetMember(..)
        | Op::RemoveMember(_)
        | Op::IncrementMember(..)
        | Op::AppendMember(..) => None,
    }
}

fn answer(op: &Op, response: &Response) -> Answer {
    if response.status == 204 {
        return Answer::Done;
    }
    let body = response.json();
    let number = |name: &str| match body[name].as_i64() {
        Some(number) => Answer::Integer(number),
        None => panic!("{op:?} was answered {response:?}"),
    };
    match op {
        Op::Put(..) | Op::Create(_) | Op::Replace(..) => Answer::Done,
        Op::SetElement(..) | Op::Trim(..) => Answer::Done,
        Op::Delete => Answer::Integer(body["deleted"].as_bool().unwrap().into()),
        Op::Read | Op::Field(_) => Answer::Bytes(text(&body["value"])),
        // One with a fraction, or beyond 64 bits, is shown as well.
        Op::Count if body["value"].as_i64().is_none() => Answer::Refused(Refused::NotANumber),
        Op::Count | Op::Increment(_) | Op::IncrementField(..) => number("value"),
        Op::IsSet => Answer::Flag(body["value"].as_bool().unwrap()),
        Op::Members => Answer::Members(texts(&body["items"]).into_iter().collect()),
        Op::Contains(members) => {
            let is_member = |member: &Text| body["contains"][member.utf8()?].as_bool();
            let contained: Option<Vec<bool>> = members.iter().map(is_member).collect();
            Answer::Contained(contained.unwrap())
        }
        Op::Size | Op::FieldCount | Op::ListLength | Op::Push(..) => number("length"),
        Op::AddMembers(_) | Op::SetFields(_) => number("added"),
        Op::RemoveMembers(_) | Op::RemoveFields(_) | Op::RemoveElements(..) => number("removed"),
        Op::Fields => Answer::Fields(fields(&body["fields"]).into_iter().collect()),
        Op::Elements(..) | Op::Pop(..) => Answer::List(texts(&body["items"])),
        Op::Element(_) => Answer::Bytes(text(&body["item"])),
        _ => unreachable!("{op:?}"),
    }
}

impl Services {
    pub(super) async fn new(http: SocketAddr) -> Services {
        let client = Link::new(http).await;
        Services { client }
    }

    async fn send(&mut self, key: &Key, request: &Request) -> Option<Response> {
        // Documents have no service.
        if key.service == "json" {
            return None;
        }
        let mut target = format!("/{}/{}", key.service, escaped(&key.name)?);
        if !request.query.is_empty() {
            target = format!("{target}?{}", request.query);
        }
        let mut headers = vec![("prefer", "return=minimal")];
        let body = request.body.as_ref().map(Json::to_string);
        if body.is_some() {
            headers.push(("content-type", "application/json"));
        }
        let condition = request.condition.as_ref();
        headers.extend(condition.map(|(name, value)| (*name, &value[..])));
        let body = body.unwrap_or_default();
        Some(
            self.client
                .ask(request.method, &target, &headers, &body)
                .await,
        )
    }
}

impl Door for Services {
    fn name(&self) -> &'static str {
        "HTTP services"
    }

    fn ask<'a>(&'a mut self, key: &'a Key, op: &'a Op) -> Pending<'a, Option<Told>> {
        Box::pin(async move {
            // What is in `/cache` always expires.
            let lives = match op {
                Op::Put(_, ttl_ms) => ttl_ms.is_none(),
                Op::Create(_) | Op::Replace(..) => true,
                _ => false,
            };
            if !has(key, op) || lives && key.service == "cache" {
                return None;
            }
            let response = self.send(key, &ask(op)?).await?;
            let told = || Told {
                answer: answer(op, &response),
                version: etag(&response),
            };
            Some(failure(op, &response).unwrap_or_else(told))
        })
    }

    fn look<'a>(&'a mut self, key: &'a Key) -> Pending<'a, Option<Option<Shown>>> {
        Box::pin(async move {
            let asked = now_ms();
            let response = self.send(key, &request("GET", "")?).await?;
            // It shows values of its own type; and that a value is not there.
            if response.status == 409 {
                return None;
            }
            let Some(version) = etag(&response) else {
                assert_eq!(response.header("x-cache"), Some("MISS"), "{response:?}");
                return Some(None);
            };
            let body = response.json();
            let value = match key.service {
                // Parsed as JSON it would lose digits.
                "counters" if body["value"].as_i64().is_none() => return None,
                "kv" | "cache" => Seen::Text(text(&body["value"])),
                "counters" => Seen::Text(text(&body["value"])),
                "flags" => Seen::Typed(Value::Flag(body["value"].as_bool().unwrap())),
                "sets" => Seen::Typed(Value::Set(texts(&body["items"]).into_iter().collect())),
                "hashes" => {
                    let pairs = fields(&body["fields"]).into_iter().collect();
                    Seen::Typed(Value::Hash(pairs))
                }
                _ => Seen::Typed(Value::List(texts(&body["items"]))),
            };
            Some(Some(Shown {
                value,
                version: Some(version),
                ends: Ends::of(asked, ttl_ms(&response)),
            }))
        })
    }
}
