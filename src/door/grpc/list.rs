//! `List`: elements in order.

use tonic::{Request, Response, Status};

use super::call::{Call, LISTS, Put, Services, some};
use super::{status, v1};
use crate::command::collection::Packer;
use crate::command::list::{End, Operation};
use crate::command::{self, Answer, Kind};

fn operation(operation: Operation) -> command::Operation {
    command::Operation::List(operation)
}

/// The end that a field names.
fn end(field: i32, name: &str) -> Result<End, Status> {
    match v1::ListEnd::try_from(field) {
        Ok(v1::ListEnd::Left) => Ok(End::Left),
        Ok(v1::ListEnd::Right) => Ok(End::Right),
        Ok(v1::ListEnd::Unspecified) | Err(_) => {
            let message = format!("the field {name} is required: LIST_END_LEFT or LIST_END_RIGHT");
            Err(status::invalid("missing_field", message))
        }
    }
}

#[tonic::async_trait]
impl v1::list_server::List for Services {
    async fn push(
        &self,
        request: Request<v1::ListPushRequest>,
    ) -> Result<Response<v1::ListPushResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(LISTS, asked.key)?;
        let push = operation(Operation::Push {
            end: end(asked.end, "end")?,
            elements: some(asked.elements, "elements")?,
            only_if_present: asked.only_if_present,
        });
        let done = call.change(key, push, asked.condition).await?;
        call.owe(v1::ListPushResponse {
            length: done.count()?,
            version: done.version(),
        })
    }

    async fn pop(
        &self,
        request: Request<v1::ListPopRequest>,
    ) -> Result<Response<v1::ListPopResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(LISTS, asked.key)?;
        let pop = operation(Operation::Pop {
            end: end(asked.end, "end")?,
            count: Some(asked.count.unwrap_or(1)),
        });
        let done = call.change(key, pop, asked.condition).await?;
        let elements = done.items()?;
        call.owe(v1::ListPopResponse { elements })
    }

    async fn length(
        &self,
        request: Request<v1::ListLengthRequest>,
    ) -> Result<Response<v1::ListLengthResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(LISTS, asked.key)?;
        let length = call.ask(key, operation(Operation::Length)).await?.count()?;
        call.answer(v1::ListLengthResponse { length })
    }

    async fn range(
        &self,
        request: Request<v1::ListRangeRequest>,
    ) -> Result<Response<v1::ListRangeResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(LISTS, asked.key)?;
        let (first, last) = (asked.first.unwrap_or(0), asked.last.unwrap_or(-1));
        let done = call
            .ask(key, operation(Operation::Range(first, last)))
            .await?;
        call.answer(v1::ListRangeResponse {
            version: done.version(),
            ttl_ms: call.ttl_ms(done.expires_at()),
            elements: done.items()?,
        })
    }

    async fn index(
        &self,
        request: Request<v1::ListIndexRequest>,
    ) -> Result<Response<v1::ListIndexResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(LISTS, asked.key)?;
        let done = call
            .ask(key, operation(Operation::Index(asked.place)))
            .await?;
        let element = done.bytes()?.ok_or_else(|| status::absent("element"))?;
        call.answer(v1::ListIndexResponse { element })
    }

    async fn position(
        &self,
        request: Request<v1::ListPositionRequest>,
    ) -> Result<Response<v1::ListPositionResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(LISTS, asked.key)?;
        let rank = asked.rank.unwrap_or(1);
        if rank == 0 {
            let message = "rank is the number of a match: 1 is the first, -1 the last; 0 is none";
            return Err(status::invalid("invalid_rank", message));
        }
        let ask = operation(Operation::Position {
            element: asked.element,
            rank,
            count: Some(asked.count.unwrap_or(1)),
            length_max: asked.length_max.unwrap_or(0),
        });
        let Answer::Integers(places) = call.ask(key, ask).await?.answer() else {
            return Err(status::unexpected());
        };
        let places = places.into_iter().flatten().collect();
        call.answer(v1::ListPositionResponse { places })
    }

    async fn set(
        &self,
        request: Request<v1::ListSetRequest>,
    ) -> Result<Response<v1::ListSetResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(LISTS, asked.key)?;
        let set = operation(Operation::Set(asked.place, asked.element));
        let done = call.change(key, set, asked.condition).await?;
        let version = done.version();
        call.owe(v1::ListSetResponse { version })
    }

    async fn insert(
        &self,
        request: Request<v1::ListInsertRequest>,
    ) -> Result<Response<v1::ListInsertResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(LISTS, asked.key)?;
        let insert = operation(Operation::Insert {
            before: !asked.behind,
            pivot: asked.pivot,
            element: asked.element,
        });
        let done = call.change(key, insert, asked.condition).await?;
        match done.integer()? {
            0 => Err(status::miss()),
            -1 => Err(status::absent("element that equals the pivot")),
            _ => {
                let length = done.count()?;
                call.owe(v1::ListInsertResponse { length })
            }
        }
    }

    async fn remove(
        &self,
        request: Request<v1::ListRemoveRequest>,
    ) -> Result<Response<v1::ListRemoveResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(LISTS, asked.key)?;
        let remove = operation(Operation::Remove {
            count: asked.count,
            element: asked.element,
        });
        let done = call.change(key, remove, asked.condition).await?;
        let removed = done.count()?;
        call.owe(v1::ListRemoveResponse { removed })
    }

    async fn trim(
        &self,
        request: Request<v1::ListTrimRequest>,
    ) -> Result<Response<v1::ListTrimResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(LISTS, asked.key)?;
        let (first, last) = (asked.first.unwrap_or(0), asked.last.unwrap_or(-1));
        let trim = operation(Operation::Trim(first, last));
        let done = call.change(key, trim, asked.condition).await?;
        let version = done.version();
        call.owe(v1::ListTrimResponse { version })
    }

    async fn rotate(
        &self,
        request: Request<v1::ListRotateRequest>,
    ) -> Result<Response<v1::ListRotateResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(LISTS, asked.key)?;
        let rotate = operation(Operation::Rotate {
            from: end(asked.from, "from")?,
            to: end(asked.to, "to")?,
        });
        let done = call.change(key, rotate, asked.condition).await?;
        let element = done.bytes()?.ok_or_else(status::miss)?;
        call.owe(v1::ListRotateResponse { element })
    }

    async fn replace(
        &self,
        request: Request<v1::ListReplaceRequest>,
    ) -> Result<Response<v1::ListReplaceResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let elements = some(asked.elements, "elements")?;
        let mut packer = Packer::new(elements.len());
        elements.iter().for_each(|element| packer.push(element));
        let stored = call.put(Put {
            key: call.key(LISTS, asked.key)?,
            kind: Kind::List,
            data: packer.finish(),
            ttl_ms: asked.ttl_ms,
            condition: asked.condition,
        });
        let stored = stored.await?;
        call.owe(v1::ListReplaceResponse {
            version: stored.entry.etag().to_string(),
            created: stored.created,
        })
    }

    async fn delete(
        &self,
        request: Request<v1::ListDeleteRequest>,
    ) -> Result<Response<v1::ListDeleteResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(LISTS, asked.key)?;
        let deleted = call.delete(key, asked.condition).await?;
        call.owe(v1::ListDeleteResponse { deleted })
    }
}
