//! The services of gRPC for sets, hashes and lists.

use bytes::Bytes;
use smache::door::grpc::v1;
use tonic::transport::Channel;
use v1::hash_client::HashClient;
use v1::list_client::ListClient;
use v1::set_client::SetClient;

use super::super::vocabulary::{Answer, End, Op, Text, Value};
use super::typed::{Called, bytes, condition, of_bytes, sent, stored, told, written};

fn all(texts: &[Text]) -> Vec<Bytes> {
    texts.iter().map(bytes).collect()
}

fn texts<C: FromIterator<Text>>(items: &[Bytes]) -> C {
    items.iter().map(of_bytes).collect()
}

fn integer(number: u64) -> Answer {
    Answer::Integer(number as i64)
}

pub(super) async fn set(channel: Channel, key: String, op: &Op) -> Called {
    let mut set = SetClient::new(channel);
    let (return_items, condition) = (false, None);
    Some(match op {
        Op::Members => {
            let found = sent(set.get(v1::SetGetRequest { key })).await;
            found.map(|found| told(Answer::Members(texts(&found.items)), found.version))
        }
        Op::Contains(members) => {
            let items = all(members);
            let found = sent(set.contains(v1::SetContainsRequest { key, items })).await;
            found.map(|found| Answer::Contained(found.contained).into())
        }
        Op::Size => {
            let found = sent(set.length(v1::SetLengthRequest { key })).await;
            found.map(|found| integer(found.length).into())
        }
        Op::AddMembers(members) => {
            let add = v1::SetAddRequest {
                key,
                items: all(members),
                return_items,
                condition,
            };
            let done = sent(set.add(add)).await;
            done.map(|done| told(integer(done.added), done.version))
        }
        Op::RemoveMembers(members) => {
            let remove = v1::SetRemoveRequest {
                key,
                items: all(members),
                return_items,
                condition,
            };
            let done = sent(set.remove(remove)).await;
            done.map(|done| told(integer(done.removed), done.version))
        }
        Op::Delete => {
            let done = sent(set.delete(v1::SetDeleteRequest { key, condition })).await;
            done.map(|done| Answer::Integer(done.deleted.into()).into())
        }
        // A whole set is written by adding to none.
        _ => return None,
    })
}

fn entry((field, value): (&Text, &Text)) -> v1::HashEntry {
    v1::HashEntry {
        field: bytes(field),
        value: bytes(value),
    }
}

pub(super) async fn hash(channel: Channel, key: String, op: &Op) -> Called {
    let mut hash = HashClient::new(channel);
    let condition = None;
    Some(match op {
        Op::Fields => {
            let found = sent(hash.get_all(v1::HashGetAllRequest { key })).await;
            found.map(|found| {
                let pair = |entry: &v1::HashEntry| (of_bytes(&entry.field), of_bytes(&entry.value));
                let pairs = found.entries.iter().map(pair).collect();
                told(Answer::Fields(pairs), found.version)
            })
        }
        Op::Field(field) => {
            let field = bytes(field);
            let found = sent(hash.get(v1::HashGetRequest { key, field })).await;
            found.map(|found| told(Answer::Bytes(of_bytes(&found.value)), found.version))
        }
        Op::HasField(field) => {
            let field = bytes(field);
            let found = sent(hash.contains(v1::HashContainsRequest { key, field })).await;
            found.map(|found| Answer::Integer(found.contained.into()).into())
        }
        Op::FieldCount => {
            let found = sent(hash.length(v1::HashLengthRequest { key })).await;
            found.map(|found| integer(found.length).into())
        }
        Op::SetFields(pairs) => {
            let pairs = pairs.iter().map(|(field, value)| entry((field, value)));
            let set = v1::HashSetRequest {
                key,
                entries: pairs.collect(),
                condition,
            };
            let done = sent(hash.set(set)).await;
            done.map(|done| told(integer(done.created), done.version))
        }
        Op::SetNewField(field, value) => {
            let set = v1::HashSetNewRequest {
                key,
                field: bytes(field),
                value: bytes(value),
                condition,
            };
            let done = sent(hash.set_new(set)).await;
            done.map(|done| Answer::Integer(done.created.into()).into())
        }
        Op::RemoveFields(fields) => {
            let remove = v1::HashRemoveRequest {
                key,
                fields: all(fields),
                condition,
            };
            let done = sent(hash.remove(remove)).await;
            done.map(|done| integer(done.removed).into())
        }
        Op::IncrementField(field, by) => {
            let increment = v1::HashIncrementRequest {
                key,
                field: bytes(field),
                amount: Some(*by),
                condition,
            };
            let sum = sent(hash.increment(increment)).await;
            sum.map(|sum| Answer::Integer(sum.value).into())
        }
        Op::Delete => {
            let done = sent(hash.delete(v1::HashDeleteRequest { key, condition })).await;
            done.map(|done| Answer::Integer(done.deleted.into()).into())
        }
        // A whole hash is written by setting fields of none.
        _ => return None,
    })
}

fn end(end: &End) -> i32 {
    match end {
        End::Left => v1::ListEnd::Left.into(),
        End::Right => v1::ListEnd::Right.into(),
    }
}

pub(super) async fn list(channel: Channel, key: String, op: &Op) -> Called {
    let mut list = ListClient::new(channel);
    if let Some((value, ttl_ms)) = written(op) {
        let Value::List(elements) = value else {
            return None;
        };
        let replace = v1::ListReplaceRequest {
            key,
            elements: all(elements),
            ttl_ms,
            condition: condition(op),
        };
        return Some(
            sent(list.replace(replace))
                .await
                .map(|done| stored(done.version)),
        );
    }
    if matches!(op, Op::Elements(..) | Op::Element(_) | Op::ListLength) {
        return Some(match op {
            Op::Elements(first, last) => {
                let range = v1::ListRangeRequest {
                    key,
                    first: Some(*first),
                    last: Some(*last),
                };
                let found = sent(list.range(range)).await;
                found.map(|found| told(Answer::List(texts(&found.elements)), found.version))
            }
            Op::Element(place) => {
                let place = *place;
                let found = sent(list.index(v1::ListIndexRequest { key, place })).await;
                found.map(|found| Answer::Bytes(of_bytes(&found.element)).into())
            }
            _ => {
                let found = sent(list.length(v1::ListLengthRequest { key })).await;
                found.map(|found| integer(found.length).into())
            }
        });
    }
    let condition = None;
    Some(match op {
        Op::Push(to, elements) | Op::PushMore(to, elements) => {
            let push = v1::ListPushRequest {
                key,
                end: end(to),
                elements: all(elements),
                only_if_present: matches!(op, Op::PushMore(..)),
                condition,
            };
            let done = sent(list.push(push)).await;
            done.map(|done| told(integer(done.length), done.version))
        }
        Op::Pop(from, count) => {
            let pop = v1::ListPopRequest {
                key,
                end: end(from),
                count: Some(*count),
                condition,
            };
            let done = sent(list.pop(pop)).await;
            done.map(|done| Answer::List(texts(&done.elements)).into())
        }
        Op::SetElement(place, element) => {
            let set = v1::ListSetRequest {
                key,
                place: *place,
                element: bytes(element),
                condition,
            };
            sent(list.set(set)).await.map(|done| stored(done.version))
        }
        Op::Insert(pivot, element) => {
            let insert = v1::ListInsertRequest {
                key,
                pivot: bytes(pivot),
                element: bytes(element),
                behind: false,
                condition,
            };
            let done = sent(list.insert(insert)).await;
            done.map(|done| integer(done.length).into())
        }
        Op::RemoveElements(count, element) => {
            let remove = v1::ListRemoveRequest {
                key,
                element: bytes(element),
                count: *count,
                condition,
            };
            let done = sent(list.remove(remove)).await;
            done.map(|done| integer(done.removed).into())
        }
        Op::Trim(first, last) => {
            let trim = v1::ListTrimRequest {
                key,
                first: Some(*first),
                last: Some(*last),
                condition,
            };
            sent(list.trim(trim)).await.map(|done| stored(done.version))
        }
        Op::Rotate(from, to) => {
            let rotate = v1::ListRotateRequest {
                key,
                from: end(from),
                to: end(to),
                condition,
            };
            let done = sent(list.rotate(rotate)).await;
            done.map(|done| Answer::Bytes(of_bytes(&done.element)).into())
        }
        Op::Delete => {
            let done = sent(list.delete(v1::ListDeleteRequest { key, condition })).await;
            done.map(|done| Answer::Integer(done.deleted.into()).into())
        }
        _ => return None,
    })
}
