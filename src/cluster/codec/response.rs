//! What nodes answer each other, as bytes.

use bytes::Bytes;

use super::fields::{get_reply, put_reply};
use super::keyspace;
use crate::clock::UnixMs;
use crate::command::{Command, Entry, EntryRef, Kind, OperationId, Reply};
use crate::fields::{
    Malformed, get_bytes, get_entry, get_option, get_u8, get_u16, get_u64, get_u128, get_version,
    put_bytes, put_entry, put_option, put_version,
};
use crate::key::{PARTITION_COUNT, PartitionId};
use crate::replication::Done;
use crate::router;
use crate::version::Version;
use crate::writer::{Moved, Operation, Sum};

/// About what an operation takes.
const OPERATION_BYTES: usize = 160;

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// The key is not this node's.
    Elsewhere,
    /// Carried out.
    Reply(Reply),
    /// A put was carried out. What it stored is what was sent, so it does not travel back.
    Stored {
        /// The value's version.
        version: Version,
        /// When it expires.
        expires_at: Option<UnixMs>,
        /// Whether the key had no value before.
        created: bool,
    },
    /// Not carried out, or not known.
    Error(router::Error),
    /// What is held of the partitions.
    Pulled {
        /// Some of it.
        entries: Vec<Moved>,
        /// Where to go on: writer and cursor. `None`: that was all.
        next: Option<(u16, u64)>,
    },
    /// What is remembered of the partitions.
    Operations(Vec<Operation>),
    /// What the entries of the partitions that were asked for come to, in their order.
    Sums(Vec<Sum>),
    /// About the keys of the partitions that were asked for.
    Keyspace(keyspace::Response),
}

impl Response {
    /// What answers `command` when it came to `reply`.
    #[must_use]
    pub fn to(command: &Command, reply: Reply) -> Response {
        match (command, reply) {
            (Command::Put { .. }, Reply::Stored { entry, created }) => Response::Stored {
                version: entry.version,
                expires_at: entry.expires_at,
                created,
            },
            (_, reply) => Response::Reply(reply),
        }
    }

    /// The reply to `command`, whole again; `None` if this is none.
    #[must_use]
    pub fn into_reply(self, command: &Command) -> Option<Reply> {
        match (self, command) {
            (Response::Reply(reply), _) => Some(reply),
            (
                Response::Stored {
                    version,
                    expires_at,
                    created,
                },
                Command::Put { kind, data, .. },
            ) => {
                let entry = Entry {
                    kind: *kind,
                    data: data.clone(),
                    version,
                    tag: None,
                    expires_at,
                };
                Some(Reply::Stored { entry, created })
            }
            _ => None,
        }
    }

    /// Bytes of the keys and values in it.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        match self {
            Response::Reply(Reply::Value(Some(entry)) | Reply::Stored { entry, .. }) => {
                entry.data.len()
            }
            Response::Reply(Reply::Answer { answer, .. }) => answer.bytes(),
            Response::Operations(operations) => operations.len() * OPERATION_BYTES,
            Response::Sums(sums) => sums.len() * size_of::<Sum>(),
            Response::Keyspace(response) => response.bytes(),
            Response::Pulled { entries, .. } => entries
                .iter()
                .map(|moved| moved.key.len() + moved.entry.data.len())
                .sum(),
            _ => 0,
        }
    }

    /// What is answered where there is no room for this: that nothing was done, or, for a write
    /// that was, just that. What takes next to no room stands for itself.
    #[must_use]
    pub fn in_short(&self) -> Option<Response> {
        match self {
            Response::Reply(Reply::Stored { entry, .. }) if entry.kind == Kind::Counter => None,
            Response::Reply(Reply::Answer { answer, .. }) if answer.bytes() <= 64 => None,
            Response::Reply(Reply::Stored { .. } | Reply::Answer { .. }) => {
                Some(Response::Error(router::Error::Unanswered))
            }
            Response::Reply(Reply::Value(Some(_)))
            | Response::Pulled { .. }
            | Response::Operations(_)
            | Response::Sums(_)
            | Response::Keyspace(keyspace::Response::Keys(_)) => {
                Some(Response::Error(router::Error::Overloaded { peer: None }))
            }
            _ => None,
        }
    }
}

/// Writes the body of a response that found an entry, from where it lies in the table.
pub fn write_found(out: &mut Vec<u8>, id: u64, entry: Option<EntryRef<'_>>) {
    out.extend_from_slice(&id.to_le_bytes());
    out.push(1);
    match entry {
        None => out.push(0),
        Some(entry) => {
            out.push(1);
            put_entry(out, entry);
        }
    }
}

/// Writes the body of a response.
pub fn write_response(out: &mut Vec<u8>, id: u64, response: &Response) {
    if let Response::Reply(Reply::Value(entry)) = response {
        return write_found(out, id, entry.as_ref().map(Entry::as_ref));
    }
    out.extend_from_slice(&id.to_le_bytes());
    match response {
        Response::Elsewhere => out.push(0),
        Response::Reply(reply) => {
            out.push(1);
            put_reply(out, reply);
        }
        Response::Error(error) => {
            out.push(2);
            // It has no maps with keys other than strings: it always serializes.
            out.extend_from_slice(&serde_json::to_vec(error).unwrap_or_default());
        }
        Response::Stored {
            version,
            expires_at,
            created,
        } => {
            out.push(5);
            put_version(out, *version);
            put_option(out, expires_at.map(|at| at.0));
            out.push(u8::from(*created));
        }
        Response::Keyspace(response) => {
            out.push(8);
            keyspace::put_response(out, response);
        }
        Response::Sums(sums) => {
            out.push(7);
            sums.iter()
                .for_each(|sum| out.extend_from_slice(&sum.to_le_bytes()));
        }
        Response::Operations(operations) => {
            out.push(6);
            for operation in operations {
                out.extend_from_slice(&operation.partition.0.to_le_bytes());
                out.extend_from_slice(&operation.id.0.to_le_bytes());
                operation.done.encode(out);
            }
        }
        Response::Pulled { entries, next } => {
            out.push(4);
            put_option(out, next.map(|(writer, _)| u64::from(writer)));
            out.extend_from_slice(&next.map_or(0, |(_, cursor)| cursor).to_le_bytes());
            for moved in entries {
                out.extend_from_slice(&moved.partition.0.to_le_bytes());
                put_bytes(out, &moved.key);
                put_entry(out, moved.entry.as_ref());
            }
        }
    }
}

/// Reads the body of a response: its id and itself.
///
/// # Errors
/// When it is malformed.
pub fn read_response(mut body: Bytes) -> Result<(u64, Response), Malformed> {
    let b = &mut body;
    let (id, status) = (get_u64(b)?, get_u8(b)?);
    let response = match status {
        0 => Response::Elsewhere,
        1 => Response::Reply(get_reply(b)?),
        2 => Response::Error(serde_json::from_slice(b).map_err(|_| Malformed)?),
        4 => read_pulled(b)?,
        6 => read_operations(b)?,
        8 => Response::Keyspace(keyspace::get_response(b)?),
        7 => {
            let count = b.len() / size_of::<Sum>();
            let sums = (0..count).map(|_| get_u64(b));
            Response::Sums(sums.collect::<Result<_, _>>()?)
        }
        5 => Response::Stored {
            version: get_version(b)?,
            expires_at: get_option(b)?.map(UnixMs),
            created: get_u8(b)? == 1,
        },
        _ => return Err(Malformed),
    };
    Ok((id, response))
}

fn read_pulled(b: &mut Bytes) -> Result<Response, Malformed> {
    let (writer, cursor) = (get_option(b)?, get_u64(b)?);
    let writer = writer
        .map(|writer| u16::try_from(writer).map_err(|_| Malformed))
        .transpose()?;
    let mut entries = Vec::new();
    while !b.is_empty() {
        entries.push(Moved {
            partition: get_partition(b)?,
            key: get_bytes(b)?,
            entry: get_entry(b)?,
        });
    }
    Ok(Response::Pulled {
        entries,
        next: writer.map(|writer| (writer, cursor)),
    })
}

fn get_partition(b: &mut Bytes) -> Result<PartitionId, Malformed> {
    let partition = PartitionId(get_u16(b)?);
    if partition.0 < PARTITION_COUNT {
        Ok(partition)
    } else {
        Err(Malformed)
    }
}

fn read_operations(b: &mut Bytes) -> Result<Response, Malformed> {
    let mut operations = Vec::new();
    while !b.is_empty() {
        operations.push(Operation {
            partition: get_partition(b)?,
            id: OperationId(get_u128(b)?),
            done: Done::decode(b)?,
        });
    }
    Ok(Response::Operations(operations))
}
