//! `Json`: documents, on the keys themselves.

use bytes::Bytes;
use tonic::{Request, Response, Status};

use super::call::{Call, Done, Put, ROOT, Services, condition, some};
use super::{status, v1};
use crate::command::json::Operation;
use crate::command::json::operation::Element;
use crate::command::json::path::{Path, When};
use crate::command::{self, Answer, Command, Entry, Kind, json, show};

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
pub(super) fn shown(entry: Entry) -> Result<(String, v1::ValueType), Status> {
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

fn operation(operation: Operation) -> command::Operation {
    command::Operation::Json(operation)
}

/// A path that a field has: one that selects any number of values.
fn path(path: String) -> Result<String, Status> {
    match Path::parse(&path) {
        Ok(read) if !read.is_legacy() => Ok(path),
        Ok(_) => {
            let message = "the field path is a JSONPath, which begins with $";
            Err(status::invalid("invalid_path", message))
        }
        Err(error) => Err(status::path(&error)),
    }
}

/// What an operation on a document answered; that there is none is a miss.
fn answer(done: Done) -> Result<json::Answer, Status> {
    match done.answer() {
        Answer::Document(json::Answer::Nothing) => Err(status::miss()),
        Answer::Document(answer) => Ok(answer),
        _ => Err(status::unexpected()),
    }
}

/// Whether an operation found where to write.
fn is_written(done: Done) -> Result<bool, Status> {
    match done.answer() {
        Answer::Document(json::Answer::Ok) => Ok(true),
        Answer::Document(json::Answer::Nothing) => Ok(false),
        _ => Err(status::unexpected()),
    }
}

/// An answer that is JSON.
fn done_text(done: Done) -> Result<String, Status> {
    text(answer(done)?.json().ok_or_else(status::unexpected)?)
}

/// An answer for each of the values that a path selects.
fn elements(done: Done) -> Result<Vec<Element>, Status> {
    match answer(done)? {
        json::Answer::List(elements) => Ok(elements),
        _ => Err(status::unexpected()),
    }
}

fn lengths(done: Done) -> Result<Vec<v1::JsonLength>, Status> {
    let length = |element| match element {
        Element::Integer(length) => Ok(v1::JsonLength {
            length: Some(u64::try_from(length).map_err(|_| status::unexpected())?),
        }),
        Element::Nothing => Ok(v1::JsonLength::default()),
        _ => Err(status::unexpected()),
    };
    elements(done)?.into_iter().map(length).collect()
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

    async fn query(
        &self,
        request: Request<v1::JsonQueryRequest>,
    ) -> Result<Response<v1::JsonQueryResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(ROOT, asked.key)?;
        let paths = vec![path(asked.path)?];
        let done = call.ask(key, operation(Operation::Get { paths })).await?;
        call.answer(v1::JsonQueryResponse {
            version: done.version(),
            ttl_ms: call.ttl_ms(done.expires_at()),
            json: done_text(done)?,
        })
    }

    async fn set_at(
        &self,
        request: Request<v1::JsonSetAtRequest>,
    ) -> Result<Response<v1::JsonSetAtResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let when = match v1::Presence::try_from(asked.at_path) {
            Ok(v1::Presence::Unspecified) => When::Always,
            Ok(v1::Presence::Absent) => When::Absent,
            Ok(v1::Presence::Present) => When::Present,
            Err(_) => {
                let message = "at_path is PRESENCE_ABSENT or PRESENCE_PRESENT";
                return Err(status::invalid("invalid_condition", message));
            }
        };
        let key = call.key(ROOT, asked.key)?;
        let set = operation(Operation::Set {
            path: path(asked.path)?,
            value: document(&call, asked.json, "json")?,
            condition: when,
        });
        let done = call.change(key, set, asked.condition).await?;
        call.owe(v1::JsonSetAtResponse {
            version: done.version(),
            written: is_written(done)?,
        })
    }

    async fn merge_at(
        &self,
        request: Request<v1::JsonMergeAtRequest>,
    ) -> Result<Response<v1::JsonMergeAtResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(ROOT, asked.key)?;
        let merge = operation(Operation::Merge {
            path: path(asked.path)?,
            patch: document(&call, asked.patch, "patch")?,
        });
        let done = call.change(key, merge, asked.condition).await?;
        call.owe(v1::JsonMergeAtResponse {
            version: done.version(),
            written: is_written(done)?,
        })
    }

    async fn delete_at(
        &self,
        request: Request<v1::JsonDeleteAtRequest>,
    ) -> Result<Response<v1::JsonDeleteAtResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(ROOT, asked.key)?;
        let path = path(asked.path)?;
        let delete = operation(Operation::Delete { path });
        let done = call.change(key, delete, asked.condition).await?;
        let version = done.version();
        let json::Answer::Integer(deleted) = answer(done)? else {
            return Err(status::unexpected());
        };
        let deleted = u64::try_from(deleted).map_err(|_| status::unexpected())?;
        call.owe(v1::JsonDeleteAtResponse { deleted, version })
    }

    async fn increment_at(
        &self,
        request: Request<v1::JsonIncrementAtRequest>,
    ) -> Result<Response<v1::JsonIncrementAtResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(ROOT, asked.key)?;
        let by = document(&call, asked.amount, "amount")?;
        if json::type_of(&by) != json::Type::Number {
            let message = "amount is the text of a JSON number, such as 1 or -0.5";
            return Err(status::invalid("invalid_increment", message));
        }
        let add = operation(Operation::NumIncrBy {
            path: path(asked.path)?,
            by: text(by)?,
        });
        let done = call.change(key, add, asked.condition).await?;
        call.owe(v1::JsonIncrementAtResponse {
            version: done.version(),
            json: done_text(done)?,
        })
    }

    async fn append_at(
        &self,
        request: Request<v1::JsonAppendAtRequest>,
    ) -> Result<Response<v1::JsonAppendAtResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(ROOT, asked.key)?;
        let elements = some(asked.elements, "elements")?.into_iter();
        let values = elements.map(|element| document(&call, element, "elements"));
        let append = operation(Operation::ArrAppend {
            path: path(asked.path)?,
            values: values.collect::<Result<_, _>>()?,
        });
        let done = call.change(key, append, asked.condition).await?;
        call.owe(v1::JsonAppendAtResponse {
            version: done.version(),
            lengths: lengths(done)?,
        })
    }

    async fn types_at(
        &self,
        request: Request<v1::JsonTypesAtRequest>,
    ) -> Result<Response<v1::JsonTypesAtResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(ROOT, asked.key)?;
        let path = path(asked.path)?;
        let done = call.ask(key, operation(Operation::Type { path })).await?;
        let name = |element| match element {
            Element::Text(name) => text(name),
            _ => Err(status::unexpected()),
        };
        let types = elements(done)?.into_iter().map(name);
        call.answer(v1::JsonTypesAtResponse {
            types: types.collect::<Result<_, _>>()?,
        })
    }

    async fn lengths_at(
        &self,
        request: Request<v1::JsonLengthsAtRequest>,
    ) -> Result<Response<v1::JsonLengthsAtResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(ROOT, asked.key)?;
        let path = path(asked.path)?;
        let done = call.ask(key, operation(Operation::ArrLen { path })).await?;
        let lengths = lengths(done)?;
        call.answer(v1::JsonLengthsAtResponse { lengths })
    }

    async fn names_at(
        &self,
        request: Request<v1::JsonNamesAtRequest>,
    ) -> Result<Response<v1::JsonNamesAtResponse>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let key = call.key(ROOT, asked.key)?;
        let path = path(asked.path)?;
        let done = call
            .ask(key, operation(Operation::ObjKeys { path }))
            .await?;
        let of = |element| match element {
            Element::Names(names) => {
                let names = names.into_iter().map(text);
                Ok(v1::JsonNames {
                    is_object: true,
                    names: names.collect::<Result<_, _>>()?,
                })
            }
            Element::Nothing => Ok(v1::JsonNames::default()),
            _ => Err(status::unexpected()),
        };
        let names = elements(done)?.into_iter().map(of);
        call.answer(v1::JsonNamesAtResponse {
            names: names.collect::<Result<_, _>>()?,
        })
    }
}
