//! `Set`: members without an order.

use bytes::Bytes;
use tonic::{Request, Response, Status};

use super::call::{Call, Done, SCAN_COUNT, SETS, Services, some};
use super::{status, v1};
use crate::command::set::Operation;
use crate::command::{self, Answer};
use crate::key::Key;

fn operation(operation: Operation) -> command::Operation {
    command::Operation::Set(operation)
}

/// All members, behind a change.
async fn members(call: &Call, key: Key, wanted: bool) -> Result<Vec<Bytes>, Status> {
    if !wanted {
        return Ok(Vec::new());
    }
    let read = call.ask(key, operation(Operation::Members)).await;
    read.and_then(Done::items)
        .map_err(|error| status::applied(&error))
}

#[tonic::async_trait]
impl v1::set_server::Set for Services {
    async fn get(
        &self,
        request: Request<v1::SetGetRequest>,
    ) -> Result<Response<v1::SetGetResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(SETS, asked.key)?;
        let done = call.ask(key, operation(Operation::Members)).await?;
        call.answer(v1::SetGetResponse {
            version: done.version(),
            ttl_ms: call.ttl_ms(done.expires_at()),
            items: done.items()?,
        })
    }

    async fn add(
        &self,
        request: Request<v1::SetAddRequest>,
    ) -> Result<Response<v1::SetAddResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(SETS, asked.key)?;
        let add = operation(Operation::Add(some(asked.items, "items")?));
        let done = call.change(key.clone(), add, asked.condition).await?;
        call.owe(v1::SetAddResponse {
            added: done.count()?,
            items: members(&call, key, asked.return_items).await?,
            version: done.version(),
        })
    }

    async fn remove(
        &self,
        request: Request<v1::SetRemoveRequest>,
    ) -> Result<Response<v1::SetRemoveResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(SETS, asked.key)?;
        let remove = operation(Operation::Remove(some(asked.items, "items")?));
        let done = call.change(key.clone(), remove, asked.condition).await?;
        call.owe(v1::SetRemoveResponse {
            removed: done.count()?,
            items: members(&call, key, asked.return_items).await?,
            version: done.version(),
        })
    }

    async fn contains(
        &self,
        request: Request<v1::SetContainsRequest>,
    ) -> Result<Response<v1::SetContainsResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(SETS, asked.key)?;
        let ask = operation(Operation::Contains(some(asked.items, "items")?));
        let Answer::Integers(found) = call.ask(key, ask).await?.answer() else {
            return Err(status::unexpected());
        };
        let contained = found.into_iter().map(|found| found == Some(1));
        call.answer(v1::SetContainsResponse {
            contained: contained.collect(),
        })
    }

    async fn length(
        &self,
        request: Request<v1::SetLengthRequest>,
    ) -> Result<Response<v1::SetLengthResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(SETS, asked.key)?;
        let done = call.ask(key, operation(Operation::Length)).await?;
        let length = done.count()?;
        call.answer(v1::SetLengthResponse { length })
    }

    async fn pop(
        &self,
        request: Request<v1::SetPopRequest>,
    ) -> Result<Response<v1::SetPopResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(SETS, asked.key)?;
        let pop = operation(Operation::Pop {
            count: asked.count.unwrap_or(1),
            seed: rand::random(),
        });
        let done = call.change(key, pop, asked.condition).await?;
        let items = done.items()?;
        call.owe(v1::SetPopResponse { items })
    }

    async fn sample(
        &self,
        request: Request<v1::SetSampleRequest>,
    ) -> Result<Response<v1::SetSampleResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(SETS, asked.key)?;
        let sample = operation(Operation::Random {
            count: asked.count.unwrap_or(1),
            seed: rand::random(),
        });
        let items = call.ask(key, sample).await?.items()?;
        call.answer(v1::SetSampleResponse { items })
    }

    async fn scan(
        &self,
        request: Request<v1::SetScanRequest>,
    ) -> Result<Response<v1::SetScanResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(SETS, asked.key)?;
        let scan = operation(Operation::Scan {
            cursor: asked.cursor,
            count: asked.count.unwrap_or(SCAN_COUNT),
        });
        let (items, next) = call.ask(key, scan).await.and_then(Done::scanned)?;
        call.answer(v1::SetScanResponse { items, next })
    }

    async fn delete(
        &self,
        request: Request<v1::SetDeleteRequest>,
    ) -> Result<Response<v1::SetDeleteResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(SETS, asked.key)?;
        let deleted = call.delete(key, asked.condition).await?;
        call.owe(v1::SetDeleteResponse { deleted })
    }
}
