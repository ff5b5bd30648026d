//! `Json` of gRPC: documents, and values of any type shown as JSON.

use serde_json::{Value as Json, json};
use smache::door::grpc::v1;
use tonic::transport::Channel;
use v1::json_client::JsonClient;

use super::super::vocabulary::{Answer, Op, Value};
use super::typed::{Called, condition, sent, stored, told, written};
use super::value_of;

fn at(name: &str) -> String {
    format!("$.{name}")
}

fn parsed(text: &str) -> Json {
    serde_json::from_str(text).unwrap()
}

pub(super) async fn call(channel: Channel, key: String, op: &Op) -> Called {
    let mut json = JsonClient::new(channel);
    if let Some((value, ttl_ms)) = written(op) {
        let Value::Json(document) = value else {
            return None;
        };
        let put = v1::JsonPutRequest {
            key,
            json: document.to_string(),
            ttl_ms,
            condition: condition(op),
        };
        return Some(sent(json.put(put)).await.map(|done| stored(done.version)));
    }
    let condition = None;
    Some(match op {
        Op::Document => {
            let path = "$".to_owned();
            let found = sent(json.query(v1::JsonQueryRequest { key, path })).await;
            found.map(|found| told(Answer::Json(parsed(&found.json)[0].clone()), found.version))
        }
        Op::Member(name) => {
            let path = at(name);
            let found = sent(json.query(v1::JsonQueryRequest { key, path })).await;
            found.map(|found| told(Answer::Json(parsed(&found.json)), found.version))
        }
        Op::Merge(patch) => {
            let merge = v1::JsonMergeRequest {
                key,
                patch: patch.to_string(),
                condition,
            };
            sent(json.merge(merge))
                .await
                .map(|done| stored(done.version))
        }
        Op::SetDocument(document) => {
            let set = v1::JsonSetAtRequest {
                key,
                path: "$".to_owned(),
                json: document.to_string(),
                at_path: v1::Presence::Unspecified.into(),
                condition,
            };
            let done = sent(json.set_at(set)).await;
            done.map(|done| stored(done.version))
        }
        Op::SetMember(name, value) => {
            let set = v1::JsonSetAtRequest {
                key,
                path: at(name),
                json: value.to_string(),
                at_path: v1::Presence::Unspecified.into(),
                condition,
            };
            let answer = |written| {
                if written {
                    Answer::Done
                } else {
                    Answer::Nothing
                }
            };
            let done = sent(json.set_at(set)).await;
            done.map(|done| told(answer(done.written), done.version))
        }
        Op::RemoveMember(name) => {
            let remove = v1::JsonDeleteAtRequest {
                key,
                path: at(name),
                condition,
            };
            let done = sent(json.delete_at(remove)).await;
            done.map(|done| told(Answer::Integer(done.deleted as i64), done.version))
        }
        Op::IncrementMember(name, by) => {
            let increment = v1::JsonIncrementAtRequest {
                key,
                path: at(name),
                amount: by.to_string(),
                condition,
            };
            let done = sent(json.increment_at(increment)).await;
            done.map(|done| told(Answer::Json(parsed(&done.json)), done.version))
        }
        Op::AppendMember(name, value) => {
            let append = v1::JsonAppendAtRequest {
                key,
                path: at(name),
                elements: vec![value.to_string()],
                condition,
            };
            let length = |each: &v1::JsonLength| each.length.map_or(Json::Null, |n| json!(n));
            let done = sent(json.append_at(append)).await;
            done.map(|done| {
                let lengths = done.lengths.iter().map(length).collect();
                told(Answer::Json(lengths), done.version)
            })
        }
        Op::Delete => {
            let done = sent(json.delete(v1::JsonDeleteRequest { key, condition })).await;
            done.map(|done| Answer::Integer(done.deleted.into()).into())
        }
        _ => return None,
    })
}

/// Any value, its version and what is left of its time to live.
pub(super) async fn show(channel: Channel, key: String) -> Option<(Value, String, Option<u64>)> {
    let mut json = JsonClient::new(channel);
    let found = match sent(json.get(v1::JsonGetRequest { key })).await {
        Ok(found) => found,
        Err(status) if status.code() == tonic::Code::NotFound => return None,
        Err(status) => panic!("{status:?}"),
    };
    let kind = match found.r#type() {
        v1::ValueType::Unspecified => panic!("{found:?}"),
        v1::ValueType::Json => "json",
        v1::ValueType::Counter => "counter",
        v1::ValueType::Bytes => "bytes",
        v1::ValueType::Flag => "flag",
        v1::ValueType::Set => "set",
        v1::ValueType::Hash => "hash",
        v1::ValueType::List => "list",
    };
    let value = value_of(kind, &parsed(&found.json));
    Some((value, found.version, found.ttl_ms))
}
