//! `Hash`: fields with a value each.

use tonic::{Request, Response, Status};

use super::call::{Call, Done, HASHES, SCAN_COUNT, Services, number, required, some};
use super::{status, v1};
use crate::command::hash::Operation;
use crate::command::{self, Answer};

fn operation(operation: Operation) -> command::Operation {
    command::Operation::Hash(operation)
}

/// Fields with their values, as messages have them.
fn entries(done: Done) -> Result<Vec<v1::HashEntry>, Status> {
    let Answer::Pairs(pairs) = done.answer() else {
        return Err(status::unexpected());
    };
    let entry = |(field, value)| v1::HashEntry { field, value };
    Ok(pairs.into_iter().map(entry).collect())
}

#[tonic::async_trait]
impl v1::hash_server::Hash for Services {
    async fn get(
        &self,
        request: Request<v1::HashGetRequest>,
    ) -> Result<Response<v1::HashGetResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(HASHES, asked.key)?;
        let done = call
            .ask(key, operation(Operation::Get(asked.field)))
            .await?;
        call.answer(v1::HashGetResponse {
            version: done.version(),
            ttl_ms: call.ttl_ms(done.expires_at()),
            value: done.bytes()?.ok_or_else(|| status::absent("field"))?,
        })
    }

    async fn get_many(
        &self,
        request: Request<v1::HashGetManyRequest>,
    ) -> Result<Response<v1::HashGetManyResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(HASHES, asked.key)?;
        let get = operation(Operation::GetMany(some(asked.fields, "fields")?));
        let Answer::List(values) = call.ask(key, get).await?.answer() else {
            return Err(status::unexpected());
        };
        let values = values.into_iter().map(|value| v1::HashValue { value });
        call.answer(v1::HashGetManyResponse {
            values: values.collect(),
        })
    }

    async fn get_all(
        &self,
        request: Request<v1::HashGetAllRequest>,
    ) -> Result<Response<v1::HashGetAllResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(HASHES, asked.key)?;
        let done = call.ask(key, operation(Operation::All)).await?;
        call.answer(v1::HashGetAllResponse {
            version: done.version(),
            ttl_ms: call.ttl_ms(done.expires_at()),
            entries: entries(done)?,
        })
    }

    async fn set(
        &self,
        request: Request<v1::HashSetRequest>,
    ) -> Result<Response<v1::HashSetResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(HASHES, asked.key)?;
        let entries = some(asked.entries, "entries")?.into_iter();
        let pairs = entries.map(|entry| (entry.field, entry.value));
        let set = operation(Operation::Set(pairs.collect()));
        let done = call.change(key, set, asked.condition).await?;
        call.owe(v1::HashSetResponse {
            created: done.count()?,
            version: done.version(),
        })
    }

    async fn set_new(
        &self,
        request: Request<v1::HashSetNewRequest>,
    ) -> Result<Response<v1::HashSetNewResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(HASHES, asked.key)?;
        let set = operation(Operation::SetNew(asked.field, asked.value));
        let done = call.change(key, set, asked.condition).await?;
        let created = done.integer()? == 1;
        call.owe(v1::HashSetNewResponse { created })
    }

    async fn remove(
        &self,
        request: Request<v1::HashRemoveRequest>,
    ) -> Result<Response<v1::HashRemoveResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(HASHES, asked.key)?;
        let remove = operation(Operation::Remove(some(asked.fields, "fields")?));
        let done = call.change(key, remove, asked.condition).await?;
        let removed = done.count()?;
        call.owe(v1::HashRemoveResponse { removed })
    }

    async fn contains(
        &self,
        request: Request<v1::HashContainsRequest>,
    ) -> Result<Response<v1::HashContainsResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(HASHES, asked.key)?;
        let ask = operation(Operation::Contains(asked.field));
        let contained = call.ask(key, ask).await?.integer()? == 1;
        call.answer(v1::HashContainsResponse { contained })
    }

    async fn length(
        &self,
        request: Request<v1::HashLengthRequest>,
    ) -> Result<Response<v1::HashLengthResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(HASHES, asked.key)?;
        let length = call.ask(key, operation(Operation::Length)).await?.count()?;
        call.answer(v1::HashLengthResponse { length })
    }

    async fn fields(
        &self,
        request: Request<v1::HashFieldsRequest>,
    ) -> Result<Response<v1::HashFieldsResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(HASHES, asked.key)?;
        let fields = call.ask(key, operation(Operation::Fields)).await?.items()?;
        call.answer(v1::HashFieldsResponse { fields })
    }

    async fn values(
        &self,
        request: Request<v1::HashValuesRequest>,
    ) -> Result<Response<v1::HashValuesResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(HASHES, asked.key)?;
        let values = call.ask(key, operation(Operation::Values)).await?.items()?;
        call.answer(v1::HashValuesResponse { values })
    }

    async fn increment(
        &self,
        request: Request<v1::HashIncrementRequest>,
    ) -> Result<Response<v1::HashIncrementResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(HASHES, asked.key)?;
        let by = required(asked.amount, "amount")?;
        let add = operation(Operation::Increment(asked.field, by));
        let done = call.change(key, add, asked.condition).await?;
        let value = done.integer()?;
        call.owe(v1::HashIncrementResponse { value })
    }

    async fn increment_float(
        &self,
        request: Request<v1::HashIncrementFloatRequest>,
    ) -> Result<Response<v1::HashIncrementFloatResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(HASHES, asked.key)?;
        let by = number(asked.amount)?;
        let add = operation(Operation::IncrementFloat(asked.field, by));
        let done = call.change(key, add, asked.condition).await?;
        let value = done.text()?;
        call.owe(v1::HashIncrementFloatResponse { value })
    }

    async fn sample(
        &self,
        request: Request<v1::HashSampleRequest>,
    ) -> Result<Response<v1::HashSampleResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(HASHES, asked.key)?;
        let sample = operation(Operation::Random {
            count: asked.count.unwrap_or(1),
            seed: rand::random(),
        });
        let entries = entries(call.ask(key, sample).await?)?;
        call.answer(v1::HashSampleResponse { entries })
    }

    async fn scan(
        &self,
        request: Request<v1::HashScanRequest>,
    ) -> Result<Response<v1::HashScanResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(HASHES, asked.key)?;
        let scan = operation(Operation::Scan {
            cursor: asked.cursor,
            count: asked.count.unwrap_or(SCAN_COUNT),
        });
        let (items, next) = call.ask(key, scan).await.and_then(Done::scanned)?;
        let pairs = items.chunks_exact(2).map(|pair| v1::HashEntry {
            field: pair[0].clone(),
            value: pair[1].clone(),
        });
        let entries = pairs.collect();
        call.answer(v1::HashScanResponse { entries, next })
    }

    async fn delete(
        &self,
        request: Request<v1::HashDeleteRequest>,
    ) -> Result<Response<v1::HashDeleteResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(HASHES, asked.key)?;
        let deleted = call.delete(key, asked.condition).await?;
        call.owe(v1::HashDeleteResponse { deleted })
    }
}
