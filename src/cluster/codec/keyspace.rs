//! What nodes ask each other about the keys of many partitions, as bytes.
//!
//! ```text
//! request  = 0 keys:    partitions from:u32 tag:u64 kinds:u32 count:u32 pattern (0, or 1 bytes)
//!            1 census:  partitions random (0, or 1 u64)
//!            2 flush:   partitions operation:u128
//! response = 0 keys:    elsewhere reached:u32 examined:u32 key*
//!            1 census:  elsewhere entries:u64 key (0, or 1 bytes)
//!            2 flushed: elsewhere deleted:u64
//! ```
//!
//! A set of partitions is 4,096 bits.

use bytes::Bytes;

use super::PartitionSet;
use super::request::read_partitions;
use crate::command::OperationId;
use crate::fields::{
    Malformed, get_bytes, get_option, get_u8, get_u32, get_u64, get_u128, put_bytes, put_option,
};
use crate::router::keyspace::Position;
use crate::writer::Kinds;

/// About what a key takes beside its bytes.
const KEY_HEAD_BYTES: usize = 4;

/// What is asked. It is meant for the owner of the partitions; those that it does not own come back
/// in the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Which keys are there?
    Keys(Ask),
    /// How many keys are there?
    Census {
        /// In these.
        partitions: PartitionSet,
        /// With one of them, by this number drawn at random.
        random: Option<u64>,
    },
    /// Delete all keys; but not twice.
    Flush {
        /// Of these.
        partitions: PartitionSet,
        /// For this reason.
        operation: OperationId,
    },
}

/// Which keys are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Of these partitions.
    pub partitions: PartitionSet,
    /// From here on.
    pub from: Position,
    /// Of this scan: what was listed for it may be used for it, however old it is.
    pub tag: u64,
    /// With values of these kinds.
    pub kinds: Kinds,
    /// About so many are looked at.
    pub count: u32,
    /// Those that fit this.
    pub pattern: Option<Bytes>,
}

/// Some keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Partitions that were asked for and are not owned.
    pub elsewhere: PartitionSet,
    /// Of the others all keys before this were looked at.
    pub reached: Position,
    /// How many that were.
    pub examined: u32,
    /// Those that were wanted, in order.
    pub keys: Vec<Bytes>,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// These keys.
    Keys(Found),
    /// So many.
    Census {
        /// Partitions that were asked for and are not owned.
        elsewhere: PartitionSet,
        /// In the others.
        entries: u64,
        /// One of them.
        key: Option<Bytes>,
    },
    /// All are gone.
    Flushed {
        /// Partitions of which that is not so: they are not owned, or change their owner.
        elsewhere: PartitionSet,
        /// Values that were there.
        deleted: u64,
    },
}

impl Response {
    /// Bytes of the keys in it.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Response::Keys(found) => {
                let bytes = found.keys.iter().map(|key| key.len() + KEY_HEAD_BYTES);
                bytes.sum()
            }
            Response::Census { key, .. } => key.as_ref().map_or(0, Bytes::len),
            Response::Flushed { .. } => 0,
        }
    }
}

pub(super) fn put_request(out: &mut Vec<u8>, request: &Request) {
    match request {
        Request::Keys(ask) => {
            put_head(out, 0, &ask.partitions);
            out.extend_from_slice(&ask.from.number().to_le_bytes());
            out.extend_from_slice(&ask.tag.to_le_bytes());
            out.extend_from_slice(&ask.kinds.0.to_le_bytes());
            out.extend_from_slice(&ask.count.to_le_bytes());
            put_maybe(out, ask.pattern.as_ref());
        }
        Request::Census { partitions, random } => {
            put_head(out, 1, partitions);
            put_option(out, *random);
        }
        Request::Flush {
            partitions,
            operation,
        } => {
            put_head(out, 2, partitions);
            out.extend_from_slice(&operation.0.to_le_bytes());
        }
    }
}

pub(super) fn get_request(b: &mut Bytes) -> Result<Request, Malformed> {
    let (number, partitions) = (get_u8(b)?, read_partitions(b)?);
    Ok(match number {
        0 => Request::Keys(Ask {
            partitions,
            from: get_position(b)?,
            tag: get_u64(b)?,
            kinds: Kinds(get_u32(b)?),
            count: get_u32(b)?,
            pattern: get_maybe(b)?,
        }),
        1 => Request::Census {
            partitions,
            random: get_option(b)?,
        },
        2 => Request::Flush {
            partitions,
            operation: OperationId(get_u128(b)?),
        },
        _ => return Err(Malformed),
    })
}

pub(super) fn put_response(out: &mut Vec<u8>, response: &Response) {
    match response {
        Response::Keys(found) => {
            put_head(out, 0, &found.elsewhere);
            out.extend_from_slice(&found.reached.number().to_le_bytes());
            out.extend_from_slice(&found.examined.to_le_bytes());
            found.keys.iter().for_each(|key| put_bytes(out, key));
        }
        Response::Census {
            elsewhere,
            entries,
            key,
        } => {
            put_head(out, 1, elsewhere);
            out.extend_from_slice(&entries.to_le_bytes());
            put_maybe(out, key.as_ref());
        }
        Response::Flushed { elsewhere, deleted } => {
            put_head(out, 2, elsewhere);
            out.extend_from_slice(&deleted.to_le_bytes());
        }
    }
}

pub(super) fn get_response(b: &mut Bytes) -> Result<Response, Malformed> {
    let (number, elsewhere) = (get_u8(b)?, read_partitions(b)?);
    Ok(match number {
        0 => {
            let (reached, examined) = (get_position(b)?, get_u32(b)?);
            let mut keys = Vec::new();
            while !b.is_empty() {
                keys.push(get_bytes(b)?);
            }
            Response::Keys(Found {
                elsewhere,
                reached,
                examined,
                keys,
            })
        }
        1 => Response::Census {
            elsewhere,
            entries: get_u64(b)?,
            key: get_maybe(b)?,
        },
        2 => Response::Flushed {
            elsewhere,
            deleted: get_u64(b)?,
        },
        _ => return Err(Malformed),
    })
}

fn put_head(out: &mut Vec<u8>, number: u8, partitions: &PartitionSet) {
    out.push(number);
    out.extend_from_slice(&partitions.0[..]);
}

fn get_position(b: &mut Bytes) -> Result<Position, Malformed> {
    Position::from_number(get_u32(b)?).ok_or(Malformed)
}

fn put_maybe(out: &mut Vec<u8>, bytes: Option<&Bytes>) {
    out.push(u8::from(bytes.is_some()));
    bytes.iter().for_each(|bytes| put_bytes(out, bytes));
}

fn get_maybe(b: &mut Bytes) -> Result<Option<Bytes>, Malformed> {
    match get_u8(b)? {
        0 => Ok(None),
        1 => Ok(Some(get_bytes(b)?)),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests;
