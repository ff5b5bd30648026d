//! `Kv`: any bytes under a key.

use tonic::{Request, Response, Status};

use super::call::{Call, KV, Put, Services, required};
use super::v1;
use crate::command::Kind;

#[tonic::async_trait]
impl v1::kv_server::Kv for Services {
    async fn get(
        &self,
        request: Request<v1::KvGetRequest>,
    ) -> Result<Response<v1::KvGetResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let entry = call.get_bytes(call.key(KV, asked.key)?).await?;
        call.answer(v1::KvGetResponse {
            version: entry.etag().to_string(),
            ttl_ms: call.ttl_ms(entry.expires_at),
            value: entry.data,
        })
    }

    async fn put(
        &self,
        request: Request<v1::KvPutRequest>,
    ) -> Result<Response<v1::KvPutResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let stored = call.put(Put {
            key: call.key(KV, asked.key)?,
            kind: Kind::Bytes,
            data: required(asked.value, "value")?,
            ttl_ms: asked.ttl_ms,
            condition: asked.condition,
        });
        let stored = stored.await?;
        call.owe(v1::KvPutResponse {
            version: stored.entry.etag().to_string(),
            created: stored.created,
        })
    }

    async fn delete(
        &self,
        request: Request<v1::KvDeleteRequest>,
    ) -> Result<Response<v1::KvDeleteResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(KV, asked.key)?;
        let deleted = call.delete(key, asked.condition).await?;
        call.owe(v1::KvDeleteResponse { deleted })
    }
}
