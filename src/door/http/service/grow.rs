//! Adding to a collection, and writing the whole of one.
//!
//! A time to live that comes with what is added is that of a collection which this makes; one that
//! is there keeps its own. So with a time to live there are two commands: make it if it is absent,
//! else add to it if it is present. Both are decided where the key lives, so that whatever others do
//! meanwhile, the collection lives as long as was said.

use bytes::Bytes;

use super::super::condition::write_condition;
use super::super::failure::Failure;
use super::super::front::Call;
use super::super::idempotency::IdempotencyKey;
use super::{Facts, Target, answered, change, integer, put, stored};
use crate::command::collection::{Collection, Delta, Splice};
use crate::command::list::End;
use crate::command::{Command, Condition, Kind, Operation, Reply, hash, list, set};
use crate::router;

/// How often the collection may come and go under our hands.
const TRIES_MAX: u64 = 16;

/// What is added.
#[derive(Clone, Debug)]
pub(super) enum Addition {
    /// Members.
    Set(Vec<Bytes>),
    /// Fields with their values.
    Hash(Vec<(Bytes, Bytes)>),
    /// Elements, one after another.
    List(End, Vec<Bytes>),
}

impl Addition {
    fn kind(&self) -> Kind {
        match self {
            Addition::Set(_) => Kind::Set,
            Addition::Hash(_) => Kind::Hash,
            Addition::List(..) => Kind::List,
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Addition::Set(items) | Addition::List(_, items) => items.is_empty(),
            Addition::Hash(pairs) => pairs.is_empty(),
        }
    }

    /// What adds it to whatever is there. Answers how many members or fields are new, or how many
    /// elements there are then.
    fn operation(self) -> Operation {
        match self {
            Addition::Set(items) => Operation::Set(set::Operation::Add(items)),
            Addition::Hash(pairs) => Operation::Hash(hash::Operation::Set(pairs)),
            Addition::List(end, elements) => Operation::List(list::Operation::Push {
                end,
                elements,
                only_if_present: false,
            }),
        }
    }

    /// What it is by itself. As long as what [`Addition::operation`] answers where nothing is.
    fn collection(self) -> Option<Collection> {
        let mut collection = Collection::new(self.kind())?;
        let removed = Vec::new();
        collection.apply(&match self {
            Addition::Set(added) => Delta::Set { removed, added },
            Addition::Hash(set) => Delta::Hash { removed, set },
            Addition::List(end, mut inserted) => {
                if end == End::Left {
                    inserted.reverse();
                }
                Delta::List(vec![Splice {
                    at: 0,
                    removed: 0,
                    inserted,
                }])
            }
        });
        Some(collection)
    }

    fn check(&self) -> Result<(), Failure> {
        if self.is_empty() {
            return Err(Failure::bad("invalid_value", "no item supplied"));
        }
        Ok(())
    }
}

/// Makes what is added the whole value. Answers how many items it has.
pub(super) async fn replace(
    call: &Call,
    target: &Target,
    whole: Addition,
    ttl_ms: Option<u64>,
) -> Result<(i64, Facts), Failure> {
    whole.check()?;
    let kind = whole.kind();
    let whole = whole.collection().ok_or_else(Failure::unexpected)?;
    let facts = put(call, target, kind, whole.pack(), ttl_ms).await?;
    Ok((whole.len() as i64, facts))
}

/// Adds to the collection, which is made if it is not there.
pub(super) async fn grow(
    call: &Call,
    target: &Target,
    addition: Addition,
    ttl_ms: Option<u64>,
) -> Result<(i64, Facts), Failure> {
    addition.check()?;
    let condition = write_condition(&call.parts.headers)?;
    if ttl_ms.is_some() && matches!(condition, Condition::VersionNotIn(_)) {
        let message = "with a ttl, If-None-Match is * or missing";
        return Err(Failure::bad("invalid_condition", message));
    }
    let makes = !matches!(condition, Condition::Present | Condition::VersionIn(_));
    let Some(ttl_ms) = ttl_ms.filter(|_| makes) else {
        let (answer, facts) = change(call, target, addition.operation()).await?;
        return Ok((integer(&answer)?, facts));
    };
    let kind = addition.kind();
    let whole = addition.clone().collection();
    let whole = whole.ok_or_else(Failure::unexpected)?;
    let make = Command::Put {
        key: target.key.clone(),
        kind,
        data: whole.pack(),
        ttl_ms: Some(ttl_ms),
        condition: Condition::Absent,
    };
    let add = Command::Typed {
        key: target.key.clone(),
        operation: Box::new(addition.operation()),
        condition: Condition::Present,
    };
    for attempt in 0..TRIES_MAX {
        let made = execute(call, &make, 2 * attempt).await?;
        match made.reply {
            Reply::ConditionFailed { .. } if condition != Condition::Absent => {}
            _ => {
                let (_, facts) = stored(made)?;
                return Ok((whole.len() as i64, facts));
            }
        }
        let added = execute(call, &add, 2 * attempt + 1).await?;
        match added.reply {
            Reply::ConditionFailed { .. } => {}
            _ => {
                let (answer, facts) = answered(added)?;
                return Ok((integer(&answer)?, facts));
            }
        }
    }
    let message = "the key came and went too often; try again later";
    Err(Failure::busy("overloaded", message))
}

/// Carries one of a request's commands out, each of which has a name if the request has.
async fn execute(call: &Call, command: &Command, number: u64) -> Result<router::Answer, Failure> {
    let name = IdempotencyKey::of(&call.parts.headers)?;
    let id = name.map(|name| name.on_line(command.key(), number));
    Ok(call.context().execute_once(command, id).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_by_itself() {
        let item = Bytes::from_static;
        let two = || vec![item(b"a"), item(b"b")];
        let pairs = vec![(item(b"f"), item(b"1")), (item(b"f"), item(b"2"))];
        for (addition, kind, expected) in [
            (
                Addition::Set([two(), two()].concat()),
                Kind::Set,
                &b"\x02\x01a\x01b"[..],
            ),
            (Addition::Hash(pairs), Kind::Hash, b"\x01\x01f\x012"),
            (
                Addition::List(End::Right, two()),
                Kind::List,
                b"\x02\x01a\x01b",
            ),
            (
                Addition::List(End::Left, two()),
                Kind::List,
                b"\x02\x01b\x01a",
            ),
        ] {
            assert_eq!(addition.kind(), kind);
            assert_eq!(addition.collection().unwrap().pack(), expected);
        }
        assert!(Addition::Set(Vec::new()).check().is_err());
    }
}
