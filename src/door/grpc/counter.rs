//! `Counter`: whole numbers that many clients add to.

use tonic::{Request, Response, Status};

use super::call::{COUNTERS, Call, Put, Services, condition, number, required, ttl, version};
use super::{status, v1};
use crate::command::string::Operation;
use crate::command::{self, Command, EntryRef, Kind, counter};

fn value(entry: Option<EntryRef<'_>>) -> Result<i64, Status> {
    counter::value(entry).map_err(|error| status::router(error.into()))
}

#[tonic::async_trait]
impl v1::counter_server::Counter for Services {
    async fn get(
        &self,
        request: Request<v1::CounterGetRequest>,
    ) -> Result<Response<v1::CounterGetResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let (entry, _) = call.get(call.key(COUNTERS, asked.key)?).await?;
        let entry = entry.as_ref();
        call.answer(v1::CounterGetResponse {
            value: value(entry.map(|entry| entry.as_ref()))?,
            version: version(entry),
            ttl_ms: call.ttl_ms(entry.and_then(|entry| entry.expires_at)),
        })
    }

    async fn get_float(
        &self,
        request: Request<v1::CounterGetFloatRequest>,
    ) -> Result<Response<v1::CounterGetFloatResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let (entry, _) = call.get(call.key(COUNTERS, asked.key)?).await?;
        let entry = entry.as_ref();
        let value = counter::standing(entry.map(|entry| entry.as_ref()));
        let value = value.map_err(|error| status::router(error.into()))?;
        call.answer(v1::CounterGetFloatResponse {
            value: String::from_utf8_lossy(value).into_owned(),
            version: version(entry),
            ttl_ms: call.ttl_ms(entry.and_then(|entry| entry.expires_at)),
        })
    }

    async fn increment_float(
        &self,
        request: Request<v1::CounterIncrementFloatRequest>,
    ) -> Result<Response<v1::CounterIncrementFloatResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(COUNTERS, asked.key)?;
        let add = Operation::IncrementFloat(number(asked.amount)?);
        let add = command::Operation::String(add);
        let done = call.change(key, add, asked.condition).await?;
        let (version, expires_at) = (done.version(), done.expires_at());
        call.owe(v1::CounterIncrementFloatResponse {
            value: done.text()?,
            version,
            ttl_ms: call.ttl_ms(expires_at),
        })
    }

    async fn increment(
        &self,
        request: Request<v1::CounterIncrementRequest>,
    ) -> Result<Response<v1::CounterIncrementResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let command = Command::Increment {
            key: call.key(COUNTERS, asked.key)?,
            by: required(asked.amount, "amount")?,
            ttl_ms: ttl(asked.ttl_ms)?,
            condition: condition(asked.condition)?,
        };
        let stored = call.store(&command).await?;
        call.owe(v1::CounterIncrementResponse {
            value: value(Some(stored.entry.as_ref()))?,
            version: stored.entry.etag().to_string(),
            ttl_ms: call.ttl_ms(stored.entry.expires_at),
            created: stored.created,
        })
    }

    async fn set(
        &self,
        request: Request<v1::CounterSetRequest>,
    ) -> Result<Response<v1::CounterSetResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let stored = call.put(Put {
            key: call.key(COUNTERS, asked.key)?,
            kind: Kind::Counter,
            data: counter::text(required(asked.value, "value")?),
            ttl_ms: asked.ttl_ms,
            condition: asked.condition,
        });
        let stored = stored.await?;
        call.owe(v1::CounterSetResponse {
            version: stored.entry.etag().to_string(),
            created: stored.created,
        })
    }

    async fn delete(
        &self,
        request: Request<v1::CounterDeleteRequest>,
    ) -> Result<Response<v1::CounterDeleteResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(COUNTERS, asked.key)?;
        let deleted = call.delete(key, asked.condition).await?;
        call.owe(v1::CounterDeleteResponse { deleted })
    }
}
