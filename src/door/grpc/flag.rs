//! `Flag`: yes or no.

use bytes::Bytes;
use tonic::{Request, Response, Status};

use super::call::{Call, FLAGS, Put, Services, required, version};
use super::{status, v1};
use crate::command::{self, Entry, Kind};

/// Whether a flag is set; one without a value is not.
fn is_set(entry: Option<&Entry>) -> Result<bool, Status> {
    match entry {
        None => Ok(false),
        Some(entry) if entry.kind == Kind::Flag => Ok(&entry.data[..] == b"true"),
        Some(entry) => {
            let (found, wanted) = (entry.kind, Kind::Flag);
            let error = command::Error::WrongType { found, wanted };
            Err(status::router(error.into()))
        }
    }
}

#[tonic::async_trait]
impl v1::flag_server::Flag for Services {
    async fn get(
        &self,
        request: Request<v1::FlagGetRequest>,
    ) -> Result<Response<v1::FlagGetResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let (entry, _) = call.get(call.key(FLAGS, asked.key)?).await?;
        let entry = entry.as_ref();
        call.answer(v1::FlagGetResponse {
            value: is_set(entry)?,
            version: version(entry),
            ttl_ms: call.ttl_ms(entry.and_then(|entry| entry.expires_at)),
        })
    }

    async fn set(
        &self,
        request: Request<v1::FlagSetRequest>,
    ) -> Result<Response<v1::FlagSetResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let value: &[u8] = match required(asked.value, "value")? {
            true => b"true",
            false => b"false",
        };
        let stored = call.put(Put {
            key: call.key(FLAGS, asked.key)?,
            kind: Kind::Flag,
            data: Bytes::from_static(value),
            ttl_ms: asked.ttl_ms,
            condition: asked.condition,
        });
        let stored = stored.await?;
        call.owe(v1::FlagSetResponse {
            version: stored.entry.etag().to_string(),
            created: stored.created,
        })
    }

    async fn delete(
        &self,
        request: Request<v1::FlagDeleteRequest>,
    ) -> Result<Response<v1::FlagDeleteResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(FLAGS, asked.key)?;
        let deleted = call.delete(key, asked.condition).await?;
        call.owe(v1::FlagDeleteResponse { deleted })
    }
}
