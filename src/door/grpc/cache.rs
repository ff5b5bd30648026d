//! `Cache`: bytes that always expire.

use tonic::{Request, Response, Status};

use super::call::{CACHE, Call, Put, Services};
use super::{status, v1};
use crate::command::Kind;

/// How long a value lives that was set without a time to live.
const TTL_MS_DEFAULT: u64 = 5_000;

#[tonic::async_trait]
impl v1::cache_server::Cache for Services {
    async fn get(
        &self,
        request: Request<v1::CacheGetRequest>,
    ) -> Result<Response<v1::CacheGetResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let entry = call.get_bytes(call.key(CACHE, asked.key)?).await?;
        call.answer(v1::CacheGetResponse {
            version: entry.etag().to_string(),
            ttl_ms: call.ttl_ms(entry.expires_at),
            value: entry.data,
        })
    }

    async fn set(
        &self,
        request: Request<v1::CacheSetRequest>,
    ) -> Result<Response<v1::CacheSetResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        if asked.value.is_empty() {
            let message = "the field value is required, and may not be empty";
            return Err(status::invalid("missing_field", message));
        }
        let ttl_ms = match asked.ttl_ms {
            0 => TTL_MS_DEFAULT,
            given => given,
        };
        let stored = call.put(Put {
            key: call.key(CACHE, asked.key)?,
            kind: Kind::Bytes,
            data: asked.value,
            ttl_ms: Some(ttl_ms),
            condition: asked.condition,
        });
        let stored = stored.await?;
        call.owe(v1::CacheSetResponse {
            version: stored.entry.etag().to_string(),
            created: stored.created,
        })
    }

    async fn delete(
        &self,
        request: Request<v1::CacheDeleteRequest>,
    ) -> Result<Response<v1::CacheDeleteResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(CACHE, asked.key)?;
        let deleted = call.delete(key, asked.condition).await?;
        call.owe(v1::CacheDeleteResponse { deleted })
    }
}
