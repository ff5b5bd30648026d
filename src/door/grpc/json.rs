//! `Json`: documents, on the keys themselves.

use bytes::Bytes;
use tonic::{Request, Response, Status};

use super::call::{Call, Put, ROOT, Services, condition};
use super::{status, v1};
use crate::command::{Command, Entry, Kind, json, show};

/// The document that a field has, as it is stored.
fn document(call: &Call, text: String, field: &str) -> Result<Bytes, Status> {
    if text.is_empty() {
        let message = format!("the field {field} is required: JSON text");
        return Err(status::invalid("missing_field", message));
    }
    json::compact(&Bytes::from(text), call.depth_max()).map_err(|error| status::document(&error))
}

/// Stored JSON as text. It was checked when it came.
fn text(data: Bytes) -> Result<String, Status> {
    String::from_utf8(data.into()).map_err(|_| status::unexpected())
}

/// A value of any type as JSON text, and what it is kept as.
fn shown(entry: Entry) -> Result<(String, v1::ValueType), Status> {
    let kind = match entry.kind {
        Kind::Json => v1::ValueType::Json,
        Kind::Counter => v1::ValueType::Counter,
        Kind::Bytes => v1::ValueType::Bytes,
        Kind::Flag => v1::ValueType::Flag,
        Kind::Set => v1::ValueType::Set,
        Kind::Hash => v1::ValueType::Hash,
        Kind::List => v1::ValueType::List,
        // The table never gives one out.
        Kind::Tombstone => return Err(status::miss()),
    };
    let data = match entry.kind {
        Kind::Json | Kind::Counter | Kind::Flag => entry.data,
        _ => {
            let mut out = Vec::with_capacity(entry.data.len());
            show::write(entry.as_ref(), &mut out);
            out.into()
        }
    };
    Ok((text(data)?, kind))
}

#[tonic::async_trait]
impl v1::json_server::Json for Services {
    async fn get(
        &self,
        request: Request<v1::JsonGetRequest>,
    ) -> Result<Response<v1::JsonGetResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let (entry, owner) = call.get(call.key(ROOT, asked.key)?).await?;
        let entry = entry.ok_or_else(status::miss)?;
        let (version, ttl_ms) = (entry.etag().to_string(), call.ttl_ms(entry.expires_at));
        let (json, kind) = shown(entry)?;
        call.answer(v1::JsonGetResponse {
            json,
            r#type: kind.into(),
            version,
            ttl_ms,
            node: owner.to_string(),
        })
    }

    async fn put(
        &self,
        request: Request<v1::JsonPutRequest>,
    ) -> Result<Response<v1::JsonPutResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let stored = call.put(Put {
            key: call.key(ROOT, asked.key)?,
            kind: Kind::Json,
            data: document(&call, asked.json, "json")?,
            ttl_ms: asked.ttl_ms,
            condition: asked.condition,
        });
        let stored = stored.await?;
        call.owe(v1::JsonPutResponse {
            version: stored.entry.etag().to_string(),
            created: stored.created,
            node: stored.owner.to_string(),
        })
    }

    async fn merge(
        &self,
        request: Request<v1::JsonMergeRequest>,
    ) -> Result<Response<v1::JsonMergeResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let command = Command::MergePatch {
            key: call.key(ROOT, asked.key)?,
            patch: document(&call, asked.patch, "patch")?,
            condition: condition(asked.condition)?,
        };
        let stored = call.store(&command).await?;
        call.owe(v1::JsonMergeResponse {
            version: stored.entry.etag().to_string(),
            ttl_ms: call.ttl_ms(stored.entry.expires_at),
            json: text(stored.entry.data)?,
            created: stored.created,
            node: stored.owner.to_string(),
        })
    }

    async fn delete(
        &self,
        request: Request<v1::JsonDeleteRequest>,
    ) -> Result<Response<v1::JsonDeleteResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(ROOT, asked.key)?;
        let deleted = call.delete(key, asked.condition).await?;
        call.owe(v1::JsonDeleteResponse { deleted })
    }
}
