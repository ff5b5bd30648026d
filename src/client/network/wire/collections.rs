//! Sets, hashes and lists as messages.

use tonic::Status;

use super::{Attempt, astray, count, found};
use crate::client::{End, Request, Response};
use crate::door::grpc::v1;
use v1::hash_client::HashClient;
use v1::list_client::ListClient;
use v1::set_client::SetClient;

impl Attempt<'_> {
    pub(super) async fn set(&self, request: Request) -> Result<Response, Status> {
        let mut set = service!(self, SetClient);
        let (return_items, condition) = (false, None);
        Ok(match request {
            Request::SetAdd(key, items) => {
                let asked = self.ask(v1::SetAddRequest {
                    key,
                    items,
                    return_items,
                    condition,
                });
                count(set.add(asked).await?.into_inner().added)?
            }
            Request::SetRemove(key, items) => {
                let asked = self.ask(v1::SetRemoveRequest {
                    key,
                    items,
                    return_items,
                    condition,
                });
                count(set.remove(asked).await?.into_inner().removed)?
            }
            Request::SetContains(key, item) => {
                let items = vec![item];
                let asked = self.ask(v1::SetContainsRequest { key, items });
                let contained = set.contains(asked).await?.into_inner().contained;
                Response::Integer((contained == [true]).into())
            }
            Request::SetMembers(key) => {
                let asked = self.ask(v1::SetGetRequest { key });
                Response::Items(set.get(asked).await?.into_inner().items)
            }
            Request::SetLength(key) => {
                let asked = self.ask(v1::SetLengthRequest { key });
                count(set.length(asked).await?.into_inner().length)?
            }
            _ => return Err(astray()),
        })
    }

    pub(super) async fn hash(&self, request: Request) -> Result<Response, Status> {
        let mut hash = service!(self, HashClient);
        let condition = None;
        Ok(match request {
            Request::HashGet(key, field) => {
                let asked = self.ask(v1::HashGetRequest { key, field });
                let found = found(hash.get(asked).await)?;
                found.map_or(Response::Nothing, |found| Response::Bytes(found.value))
            }
            Request::HashGetAll(key) => {
                let asked = self.ask(v1::HashGetAllRequest { key });
                let entries = hash.get_all(asked).await?.into_inner().entries;
                let pairs = entries.into_iter().map(|entry| (entry.field, entry.value));
                Response::Pairs(pairs.collect())
            }
            Request::HashSet(key, pairs) => {
                let entry = |(field, value)| v1::HashEntry { field, value };
                let entries = pairs.into_iter().map(entry).collect();
                let asked = self.ask(v1::HashSetRequest {
                    key,
                    entries,
                    condition,
                });
                count(hash.set(asked).await?.into_inner().created)?
            }
            Request::HashRemove(key, fields) => {
                let asked = self.ask(v1::HashRemoveRequest {
                    key,
                    fields,
                    condition,
                });
                count(hash.remove(asked).await?.into_inner().removed)?
            }
            Request::HashIncrement(key, field, by) => {
                let asked = self.ask(v1::HashIncrementRequest {
                    key,
                    field,
                    amount: Some(by),
                    condition,
                });
                Response::Integer(hash.increment(asked).await?.into_inner().value)
            }
            Request::HashLength(key) => {
                let asked = self.ask(v1::HashLengthRequest { key });
                count(hash.length(asked).await?.into_inner().length)?
            }
            _ => return Err(astray()),
        })
    }

    pub(super) async fn list(&self, request: Request) -> Result<Response, Status> {
        let mut list = service!(self, ListClient);
        let condition = None;
        Ok(match request {
            Request::ListPush(key, end, elements) => {
                let asked = self.ask(v1::ListPushRequest {
                    key,
                    end: self::end(end),
                    elements,
                    only_if_present: false,
                    condition,
                });
                count(list.push(asked).await?.into_inner().length)?
            }
            Request::ListPop(key, end) => {
                let asked = self.ask(v1::ListPopRequest {
                    key,
                    end: self::end(end),
                    count: None,
                    condition,
                });
                let elements = list.pop(asked).await?.into_inner().elements;
                let element = elements.into_iter().next();
                element.map_or(Response::Nothing, Response::Bytes)
            }
            Request::ListRange(key, first, last) => {
                let (first, last) = (Some(first), Some(last));
                let asked = self.ask(v1::ListRangeRequest { key, first, last });
                Response::Items(list.range(asked).await?.into_inner().elements)
            }
            Request::ListLength(key) => {
                let asked = self.ask(v1::ListLengthRequest { key });
                count(list.length(asked).await?.into_inner().length)?
            }
            _ => return Err(astray()),
        })
    }
}

fn end(end: End) -> i32 {
    match end {
        End::Left => v1::ListEnd::Left.into(),
        End::Right => v1::ListEnd::Right.into(),
    }
}
