//! Requests as messages of `smache.v1`, and their answers read.
//!
//! Keys are whole (`smache-keys`), writes have names (`idempotency-key`), and every call tells the node
//! how long it is waited for. A miss is a status there and an answer here.

use std::time::Duration;

use bytes::Bytes;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::client::local::milliseconds;
use crate::client::{
    Condition, Lifetime, PutOptions, Reply, Request, Response, Stored, Version, Versioned,
};
use crate::door::grpc::v1;
use v1::commands_client::CommandsClient;
use v1::counter_client::CounterClient;
use v1::flag_client::FlagClient;
use v1::json_client::JsonClient;
use v1::kv_client::KvClient;

/// The name that a write is known by, however often it is sent; none of what needs none.
pub(super) fn name_of(request: &Request) -> Option<MetadataValue<Ascii>> {
    if request.is_read() || !request.is_repeatable() {
        return None;
    }
    MetadataValue::try_from(format!("{:032x}", rand::random::<u128>())).ok()
}

/// One attempt at a request.
pub(super) struct Attempt<'a> {
    pub(super) channel: &'a Channel,
    pub(super) token: Option<&'a MetadataValue<Ascii>>,
    pub(super) name: Option<&'a MetadataValue<Ascii>>,
    pub(super) timeout: Duration,
    pub(super) answer_bytes_max: usize,
}

/// A client of a service, which takes answers as long as it was told.
macro_rules! service {
    ($attempt:expr, $client:ident) => {
        $client::new($attempt.channel.clone())
            .max_decoding_message_size($attempt.answer_bytes_max)
            .max_encoding_message_size(usize::MAX)
    };
}

mod collections;

impl Attempt<'_> {
    fn ask<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request.set_timeout(self.timeout);
        let metadata = request.metadata_mut();
        metadata.insert("smache-keys", MetadataValue::from_static("whole"));
        if let Some(token) = self.token {
            metadata.insert("authorization", token.clone());
        }
        if let Some(name) = self.name {
            metadata.insert("idempotency-key", name.clone());
        }
        request
    }

    /// Sends a request, and reads its answer.
    pub(super) async fn carry_out(&self, request: &Request) -> Result<Response, Status> {
        match request {
            Request::Get(_)
            | Request::Merge { .. }
            | Request::Query { .. }
            | Request::Delete { .. } => self.document(request.clone()).await,
            Request::Put { .. } => self.put(request.clone()).await,
            Request::GetBytes(_)
            | Request::Counter(_)
            | Request::Increment { .. }
            | Request::Flag(_) => self.scalar(request.clone()).await,
            Request::SetAdd(..)
            | Request::SetRemove(..)
            | Request::SetContains(..)
            | Request::SetMembers(_)
            | Request::SetLength(_) => self.set(request.clone()).await,
            Request::HashGet(..)
            | Request::HashGetAll(_)
            | Request::HashSet(..)
            | Request::HashRemove(..)
            | Request::HashIncrement(..)
            | Request::HashLength(_) => self.hash(request.clone()).await,
            Request::ListPush(..)
            | Request::ListPop(..)
            | Request::ListRange(..)
            | Request::ListLength(_) => self.list(request.clone()).await,
            Request::Lifetime(_)
            | Request::SetLifetime(..)
            | Request::Run(_)
            | Request::Scan { .. }
            | Request::Publish { .. } => self.command(request.clone()).await,
        }
    }

    async fn document(&self, request: Request) -> Result<Response, Status> {
        let mut json = service!(self, JsonClient);
        match request {
            Request::Get(key) => {
                let asked = self.ask(v1::JsonGetRequest { key });
                let Some(found) = found(json.get(asked).await)? else {
                    return Ok(Response::Nothing);
                };
                value(found.json.into(), &found.version, found.ttl_ms)
            }
            Request::Merge { key, patch } => {
                let (patch, condition) = (text(patch)?, None);
                let asked = self.ask(v1::JsonMergeRequest {
                    key,
                    patch,
                    condition,
                });
                let merged = json.merge(asked).await?.into_inner();
                Ok(Response::Bytes(merged.json.into()))
            }
            Request::Query { key, path } => {
                let asked = self.ask(v1::JsonQueryRequest { key, path });
                let found = found(json.query(asked).await)?;
                Ok(found.map_or(Response::Nothing, |found| {
                    Response::Bytes(found.json.into())
                }))
            }
            Request::Delete { key, condition } => {
                let condition = self::condition(condition);
                let asked = self.ask(v1::JsonDeleteRequest { key, condition });
                let deleted = json.delete(asked).await?.into_inner().deleted;
                Ok(Response::Integer(deleted.into()))
            }
            _ => Err(astray()),
        }
    }

    async fn put(&self, request: Request) -> Result<Response, Status> {
        let Request::Put {
            key,
            value,
            options: PutOptions { ttl, condition },
        } = request
        else {
            return Err(astray());
        };
        let ttl_ms = ttl.map(ttl_ms).transpose()?;
        let condition = self::condition(condition);
        let version = match value {
            Stored::Json(json) => {
                let asked = self.ask(v1::JsonPutRequest {
                    key,
                    json: text(json)?,
                    ttl_ms,
                    condition,
                });
                service!(self, JsonClient)
                    .put(asked)
                    .await?
                    .into_inner()
                    .version
            }
            Stored::Bytes(value) => {
                let asked = self.ask(v1::KvPutRequest {
                    key,
                    value: Some(value),
                    ttl_ms,
                    condition,
                });
                service!(self, KvClient)
                    .put(asked)
                    .await?
                    .into_inner()
                    .version
            }
            Stored::Counter(value) => {
                let asked = self.ask(v1::CounterSetRequest {
                    key,
                    value: Some(value),
                    ttl_ms,
                    condition,
                });
                service!(self, CounterClient)
                    .set(asked)
                    .await?
                    .into_inner()
                    .version
            }
            Stored::Flag(value) => {
                let asked = self.ask(v1::FlagSetRequest {
                    key,
                    value: Some(value),
                    ttl_ms,
                    condition,
                });
                service!(self, FlagClient)
                    .set(asked)
                    .await?
                    .into_inner()
                    .version
            }
        };
        Ok(Response::Written(self::version(&version)?))
    }

    async fn scalar(&self, request: Request) -> Result<Response, Status> {
        match request {
            Request::GetBytes(key) => {
                let asked = self.ask(v1::KvGetRequest { key });
                let Some(found) = found(service!(self, KvClient).get(asked).await)? else {
                    return Ok(Response::Nothing);
                };
                value(found.value, &found.version, found.ttl_ms)
            }
            Request::Counter(key) => {
                let asked = self.ask(v1::CounterGetRequest { key });
                let found = service!(self, CounterClient).get(asked).await?.into_inner();
                Ok(unless_absent(&found.version, found.value))
            }
            Request::Increment { key, by, ttl } => {
                let asked = self.ask(v1::CounterIncrementRequest {
                    key,
                    amount: Some(by),
                    ttl_ms: ttl.map(ttl_ms).transpose()?,
                    condition: None,
                });
                let sum = service!(self, CounterClient).increment(asked).await?;
                Ok(Response::Integer(sum.into_inner().value))
            }
            Request::Flag(key) => {
                let asked = self.ask(v1::FlagGetRequest { key });
                let found = service!(self, FlagClient).get(asked).await?.into_inner();
                Ok(unless_absent(&found.version, found.value.into()))
            }
            _ => Err(astray()),
        }
    }

    /// What no service has but that of commands.
    async fn command(&self, request: Request) -> Result<Response, Status> {
        Ok(match request {
            Request::Run(words) => Response::Reply(self.run(words).await?),
            Request::Lifetime(key) => {
                match integer(&self.run(words("PTTL", [key.into()])).await?)? {
                    ..-1 => Response::Nothing,
                    left => Response::Integer(left),
                }
            }
            Request::SetLifetime(key, Lifetime::Forever) => {
                let reply = self.run(words("PERSIST", [key.into()])).await?;
                Response::Integer(integer(&reply)?)
            }
            Request::SetLifetime(key, Lifetime::For(ttl)) => {
                let ms = ttl_ms(ttl)?.to_string();
                let reply = self.run(words("PEXPIRE", [key.into(), ms.into()])).await?;
                Response::Integer(integer(&reply)?)
            }
            Request::Publish { channel, message } => {
                let reply = self.run(words("PUBLISH", [channel, message])).await?;
                Response::Integer(integer(&reply)?)
            }
            Request::Scan {
                cursor,
                pattern,
                count,
            } => {
                let (cursor, count) = (cursor.to_string(), count.to_string());
                let scan = [
                    cursor.into(),
                    "MATCH".into(),
                    pattern,
                    "COUNT".into(),
                    count.into(),
                ];
                page(self.run(words("SCAN", scan)).await?).ok_or_else(astray)?
            }
            _ => return Err(astray()),
        })
    }

    async fn run(&self, args: Vec<Bytes>) -> Result<Reply, Status> {
        let asked = self.ask(v1::CommandRequest { args });
        let reply = service!(self, CommandsClient).run(asked).await?;
        Ok(reply.into_inner().into())
    }
}

fn words<const N: usize>(name: &'static str, arguments: [Bytes; N]) -> Vec<Bytes> {
    std::iter::once(name.into()).chain(arguments).collect()
}

/// A request or an answer that came to the wrong place: a defect of this file, or of the node.
fn astray() -> Status {
    own(
        Code::Internal,
        "the answer does not belong to what was asked",
    )
}

/// What this client says itself, as if a node had: another attempt would come to the same.
fn own(code: Code, message: &str) -> Status {
    let mut status = Status::new(code, message);
    let error = MetadataValue::from_static("client");
    status.metadata_mut().insert("smache-error", error);
    status
}

/// An answer, or that there is nothing.
fn found<T>(answer: Result<tonic::Response<T>, Status>) -> Result<Option<T>, Status> {
    match answer {
        Ok(answer) => Ok(Some(answer.into_inner())),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(status),
    }
}

fn text(json: Bytes) -> Result<String, Status> {
    String::from_utf8(json.into()).map_err(|_| own(Code::InvalidArgument, "JSON text is UTF-8"))
}

fn ttl_ms(ttl: Duration) -> Result<u64, Status> {
    milliseconds(ttl).map_err(|error| own(Code::InvalidArgument, &error.to_string()))
}

fn version(text: &str) -> Result<Version, Status> {
    Version::parse(text).ok_or_else(astray)
}

fn value(bytes: Bytes, version: &str, ttl_ms: Option<u64>) -> Result<Response, Status> {
    Ok(Response::Value(Versioned {
        value: bytes,
        version: self::version(version)?,
        ttl: ttl_ms.map(Duration::from_millis),
    }))
}

/// Counters and flags that are not there have a value all the same, but no version.
fn unless_absent(version: &str, value: i64) -> Response {
    match version {
        "" => Response::Nothing,
        _ => Response::Integer(value),
    }
}

fn count(count: u64) -> Result<Response, Status> {
    i64::try_from(count)
        .map(Response::Integer)
        .map_err(|_| astray())
}

fn integer(reply: &Reply) -> Result<i64, Status> {
    reply.as_integer().ok_or_else(astray)
}

fn page(reply: Reply) -> Option<Response> {
    let Reply::Array(parts) = reply else {
        return None;
    };
    let [next, keys] = <[Reply; 2]>::try_from(parts).ok()?;
    let next = std::str::from_utf8(next.as_bytes()?).ok()?.parse().ok()?;
    let Reply::Array(keys) = keys else {
        return None;
    };
    let key = |reply| match reply {
        Reply::Bytes(key) => Some(key),
        _ => None,
    };
    Some(Response::Page {
        next,
        keys: keys.into_iter().map(key).collect::<Option<_>>()?,
    })
}

fn condition(condition: Condition) -> Option<v1::Condition> {
    let texts = |versions: Vec<Version>| {
        let texts = versions.iter().map(Version::to_string);
        texts.collect()
    };
    let mut message = v1::Condition::default();
    match condition {
        Condition::None => return None,
        Condition::Absent => message.presence = v1::Presence::Absent.into(),
        Condition::Present => message.presence = v1::Presence::Present.into(),
        Condition::VersionIn(these) => message.version_in = texts(these),
        Condition::VersionNotIn(these) => message.version_not_in = texts(these),
    }
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::End;

    #[test]
    fn writes_of_a_key_have_names() {
        let key = || "k".to_owned();
        let pushes = Request::ListPush(key(), End::Left, vec!["a".into()]);
        let (one, two) = (name_of(&pushes).unwrap(), name_of(&pushes).unwrap());
        assert_ne!(one, two);
        assert_eq!(one.len(), 32);
        for request in [
            Request::Get(key()),
            Request::Run(vec!["INCR".into(), "k".into()]),
            Request::SetLifetime(key(), Lifetime::Forever),
        ] {
            assert_eq!(name_of(&request), None, "{request:?}");
        }
    }

    #[test]
    fn what_cannot_be_sent_is_not_sent_again() {
        use super::super::retry::Fate;
        use crate::client::Error;

        let request = Request::Get("k".to_owned());
        for status in [
            ttl_ms(Duration::ZERO).unwrap_err(),
            text(Bytes::from_static(b"\xff")).unwrap_err(),
        ] {
            let fate = Fate::of(&status, "http://there");
            assert!(!fate.allows_another(&request), "{fate:?}");
            assert!(matches!(fate.error, Error::InvalidArgument(_)), "{fate:?}");
        }
        let fate = Fate::of(&astray(), "http://there");
        assert!(matches!(fate.error, Error::Internal(_)), "{fate:?}");
    }

    #[test]
    fn pages_of_a_scan() {
        let bytes = |text: &'static str| Reply::Bytes(text.into());
        let of = |next, keys| page(Reply::Array(vec![bytes(next), Reply::Array(keys)]));
        let found = of("7", vec![bytes("a"), bytes("b")]);
        let keys = vec![Bytes::from("a"), Bytes::from("b")];
        assert_eq!(found, Some(Response::Page { next: 7, keys }));
        assert_eq!(of("x", Vec::new()), None);
        assert_eq!(of("0", vec![Reply::Nil]), None);
        assert_eq!(page(Reply::Nil), None);
    }

    #[test]
    fn conditions_in_messages() {
        let version = Version::parse("01a1fae7e05e0000-c4d3cc78").unwrap();
        let message = condition(Condition::VersionIn(vec![version])).unwrap();
        assert_eq!(message.version_in, ["01a1fae7e05e0000-c4d3cc78"]);
        assert_eq!(condition(Condition::None), None);
    }
}
