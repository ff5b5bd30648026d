//! The services of gRPC that have types: strings, counters and flags here, the others beside.

use std::net::SocketAddr;

use bytes::Bytes;
use smache::door::grpc::v1;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};
use v1::cache_client::CacheClient;
use v1::counter_client::CounterClient;
use v1::flag_client::FlagClient;
use v1::kv_client::KvClient;

use super::super::client::patient;
use super::super::vocabulary::{Answer, Op, Text, Value};
use super::{
    Door, Ends, Key, PATIENCE, Pending, Seen, Shown, Told, collections, documents, has, now_ms,
    refused, service,
};

/// A connection, as soon as it is needed.
pub(super) fn channel(http: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{http}")).unwrap();
    endpoint.connect_timeout(PATIENCE).connect_lazy()
}

/// What a call comes to. `None` if there is no such call.
pub(super) type Called = Option<Result<Told, Status>>;

/// What a call answers.
pub(super) async fn sent<T>(
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Status> {
    let response = patient("an answer", call).await?;
    Ok(response.into_inner())
}

/// What was told, with a version that is empty if there is none.
pub(super) fn told(answer: Answer, version: String) -> Told {
    let version = Some(version).filter(|version| !version.is_empty());
    Told { answer, version }
}

/// What an operation depends on.
pub(super) fn condition(op: &Op) -> Option<v1::Condition> {
    match op {
        Op::Create(_) => Some(v1::Condition {
            presence: v1::Presence::Absent.into(),
            ..v1::Condition::default()
        }),
        Op::Replace(_, version) => Some(v1::Condition {
            version_in: vec![version.clone()],
            ..v1::Condition::default()
        }),
        _ => None,
    }
}

/// What is written, and how long it lives.
pub(super) fn written(op: &Op) -> Option<(&Value, Option<u64>)> {
    match op {
        Op::Put(value, ttl_ms) => Some((value, *ttl_ms)),
        Op::Create(value) | Op::Replace(value, _) => Some((value, None)),
        _ => None,
    }
}

pub(super) fn bytes(text: &Text) -> Bytes {
    Bytes::copy_from_slice(&text.0)
}

pub(super) fn of_bytes(bytes: &Bytes) -> Text {
    Text::from(&bytes[..])
}

/// `Put`, `Create` and `Replace` answer alike.
pub(super) fn stored(version: String) -> Told {
    told(Answer::Done, version)
}

pub(super) struct Typed {
    channel: Channel,
}

impl Typed {
    pub(super) fn new(http: SocketAddr) -> Typed {
        Typed {
            channel: channel(http),
        }
    }

    async fn call(&self, key: &Key, op: &Op) -> Called {
        // Documents are kept under any key.
        if service(op) == Some("json") || key.service == "json" {
            let whole = key.whole().utf8()?.to_owned();
            return documents::call(self.channel.clone(), whole, op).await;
        }
        if !has(key, op) {
            return None;
        }
        let name = key.name.utf8()?.to_owned();
        let channel = self.channel.clone();
        match key.service {
            "cache" => cache(channel, name, op).await,
            "kv" => kv(channel, name, op).await,
            "counters" => counter(channel, name, op).await,
            "flags" => flag(channel, name, op).await,
            "sets" => collections::set(channel, name, op).await,
            "hashes" => collections::hash(channel, name, op).await,
            _ => collections::list(channel, name, op).await,
        }
    }
}

async fn cache(channel: Channel, key: String, op: &Op) -> Called {
    let mut cache = CacheClient::new(channel);
    if let Some((value, ttl_ms)) = written(op) {
        let Value::Bytes(value) = value else {
            return None;
        };
        let set = v1::CacheSetRequest {
            key,
            value: bytes(value),
            ttl_ms: ttl_ms?,
            condition: condition(op),
        };
        return Some(sent(cache.set(set)).await.map(|done| stored(done.version)));
    }
    match op {
        Op::Read => {
            let found = sent(cache.get(v1::CacheGetRequest { key })).await;
            let bytes = |value| Answer::Bytes(of_bytes(&value));
            Some(found.map(|found| told(bytes(found.value), found.version)))
        }
        Op::Delete => {
            let condition = None;
            let deleted = sent(cache.delete(v1::CacheDeleteRequest { key, condition })).await;
            Some(deleted.map(|done| Answer::Integer(done.deleted.into()).into()))
        }
        _ => None,
    }
}

async fn kv(channel: Channel, key: String, op: &Op) -> Called {
    let mut kv = KvClient::new(channel);
    if let Some((value, ttl_ms)) = written(op) {
        let Value::Bytes(value) = value else {
            return None;
        };
        let put = v1::KvPutRequest {
            key,
            value: Some(bytes(value)),
            ttl_ms,
            condition: condition(op),
        };
        return Some(sent(kv.put(put)).await.map(|done| stored(done.version)));
    }
    match op {
        Op::Read => {
            let found = sent(kv.get(v1::KvGetRequest { key })).await;
            let bytes = |value| Answer::Bytes(of_bytes(&value));
            Some(found.map(|found| told(bytes(found.value), found.version)))
        }
        Op::Delete => {
            let condition = None;
            let deleted = sent(kv.delete(v1::KvDeleteRequest { key, condition })).await;
            Some(deleted.map(|done| Answer::Integer(done.deleted.into()).into()))
        }
        // Parts of strings are for clients of the Redis protocol.
        _ => None,
    }
}

async fn counter(channel: Channel, key: String, op: &Op) -> Called {
    let mut counter = CounterClient::new(channel);
    if let Some((value, ttl_ms)) = written(op) {
        let Value::Counter(value) = value else {
            return None;
        };
        let set = v1::CounterSetRequest {
            key,
            value: Some(*value),
            ttl_ms,
            condition: condition(op),
        };
        return Some(
            sent(counter.set(set))
                .await
                .map(|done| stored(done.version)),
        );
    }
    match op {
        Op::Count => {
            let found = sent(counter.get(v1::CounterGetRequest { key })).await;
            Some(found.map(|found| told(Answer::Integer(found.value), found.version)))
        }
        Op::Increment(by) => {
            let increment = v1::CounterIncrementRequest {
                key,
                amount: Some(*by),
                ttl_ms: None,
                condition: None,
            };
            let sum = sent(counter.increment(increment)).await;
            Some(sum.map(|sum| told(Answer::Integer(sum.value), sum.version)))
        }
        Op::Delete => {
            let condition = None;
            let deleted = sent(counter.delete(v1::CounterDeleteRequest { key, condition })).await;
            Some(deleted.map(|done| Answer::Integer(done.deleted.into()).into()))
        }
        _ => None,
    }
}

async fn flag(channel: Channel, key: String, op: &Op) -> Called {
    let mut flag = FlagClient::new(channel);
    if let Some((value, ttl_ms)) = written(op) {
        let Value::Flag(value) = value else {
            return None;
        };
        let set = v1::FlagSetRequest {
            key,
            value: Some(*value),
            ttl_ms,
            condition: condition(op),
        };
        return Some(sent(flag.set(set)).await.map(|done| stored(done.version)));
    }
    match op {
        Op::IsSet => {
            let found = sent(flag.get(v1::FlagGetRequest { key })).await;
            Some(found.map(|found| told(Answer::Flag(found.value), found.version)))
        }
        Op::Delete => {
            let condition = None;
            let deleted = sent(flag.delete(v1::FlagDeleteRequest { key, condition })).await;
            Some(deleted.map(|done| Answer::Integer(done.deleted.into()).into()))
        }
        _ => None,
    }
}

impl Door for Typed {
    fn name(&self) -> &'static str {
        "gRPC services"
    }

    fn ask<'a>(&'a mut self, key: &'a Key, op: &'a Op) -> Pending<'a, Option<Told>> {
        Box::pin(async move {
            let status = match self.call(key, op).await? {
                Ok(told) => return Some(told),
                Err(status) => status,
            };
            let code = status.metadata().get("smache-error").unwrap();
            let answer = refused(op, code.to_str().unwrap(), status.message());
            let expected = match code.to_str().unwrap() {
                "wrong_type" | "not_a_number" | "path_mismatch" => Code::FailedPrecondition,
                "counter_overflow" | "index_out_of_range" => Code::OutOfRange,
                "precondition_failed" => Code::Aborted,
                "not_found" => Code::NotFound,
                "value_too_large" | "key_too_long" | "key_required" => Code::InvalidArgument,
                _ => status.code(),
            };
            assert_eq!(status.code(), expected, "{status:?}");
            Some(answer.into())
        })
    }

    /// `Json.Get` shows values of any type; those of the type's own service are shown by that.
    fn look<'a>(&'a mut self, key: &'a Key) -> Pending<'a, Option<Option<Shown>>> {
        Box::pin(async move {
            let whole = key.whole().utf8()?.to_owned();
            let asked = now_ms();
            let found = documents::show(self.channel.clone(), whole).await;
            let shown = found.map(|(value, version, ttl_ms)| Shown {
                value: Seen::Typed(value),
                version: Some(version),
                ends: Ends::of(asked, ttl_ms),
            });
            Some(shown)
        })
    }
}
