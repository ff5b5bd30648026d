//! What travels in frames, as bytes.
//!
//! ```text
//! frame    = acked:u64 message*
//! message  = length:u32 kind:u8 body            (length counts kind and body)
//! control  = JSON
//! request  = id:u64 deadline_ms:u32 op:u8 …     get, put, delete, patch, fetch, pull, increment
//! response = id:u64 status:u8 …                 elsewhere, reply, error, entry, pulled, stored
//! fragment = message:u64 total:u32 bytes        a message too long for one frame, in pieces
//! ```
//!
//! Numbers are little-endian. Decoding trusts nothing: every length is checked against what is
//! there, and a message that does not decode is an error, never a panic.

mod fields;

use bytes::{Buf, Bytes};

use self::fields::{get_condition, get_reply, put_condition, put_reply};
use crate::clock::UnixMs;
use crate::command::{Command, Entry, EntryRef, Kind, Reply};
pub use crate::fields::Malformed;
use crate::fields::{
    get_bytes, get_entry, get_i64, get_option, get_u8, get_u16, get_u32, get_u64, get_version, put_bytes,
    put_entry, put_option, put_version,
};
use crate::key::{KEY_BYTES_MAX, Key, PARTITION_COUNT, PartitionId};
use crate::router;
use crate::version::Version;
use crate::writer::Moved;

/// Bytes of a frame before its messages.
pub const FRAME_HEAD_BYTES: usize = 8;
/// Bytes of a message before its body.
pub const MESSAGE_HEAD_BYTES: usize = 5;
/// Bytes of a set of partitions.
const PARTITION_SET_BYTES: usize = PARTITION_COUNT as usize / 8;

/// The op of an increment. Ops from 32 on are updates of the data types.
const OP_INCREMENT: u8 = 32;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum MessageKind {
    /// For the cluster's machine.
    Control = 0,
    /// Somebody asks.
    Request = 1,
    /// Somebody answers.
    Response = 2,
    /// A piece of a longer message.
    Fragment = 3,
}

impl MessageKind {
    /// Reads the number back.
    pub fn from_number(number: u8) -> Result<MessageKind, Malformed> {
        match number {
            0 => Ok(MessageKind::Control),
            1 => Ok(MessageKind::Request),
            2 => Ok(MessageKind::Response),
            3 => Ok(MessageKind::Fragment),
            _ => Err(Malformed),
        }
    }
}

/// What one node asks another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Carry this out, if you own the key.
    Execute(Command),
    /// What do you hold for this key, owner or not?
    Fetch(Key),
    /// What do you hold of these partitions?
    Pull(Pull),
}

/// A stretch of a handoff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    /// These partitions.
    pub partitions: PartitionSet,
    /// The holder's writer to go on with.
    pub writer: u16,
    /// Where to go on in its table.
    pub cursor: u64,
    /// About so many bytes of entries at a time.
    pub bytes_max: u32,
}

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
    /// What is held for the key.
    Entry(Option<Entry>),
    /// What is held of the partitions.
    Pulled {
        /// Some of it.
        entries: Vec<Moved>,
        /// Where to go on: writer and cursor. `None`: that was all.
        next: Option<(u16, u64)>,
    },
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
            Response::Reply(Reply::Value(Some(entry)) | Reply::Stored { entry, .. })
            | Response::Entry(Some(entry)) => entry.data.len(),
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
            Response::Reply(Reply::Stored { .. }) => {
                Some(Response::Error(router::Error::Unanswered))
            }
            Response::Reply(Reply::Value(Some(_)))
            | Response::Entry(Some(_))
            | Response::Pulled { .. } => {
                Some(Response::Error(router::Error::Overloaded { peer: None }))
            }
            _ => None,
        }
    }
}

/// A set of partitions as bits.
#[derive(Clone, PartialEq, Eq)]
pub struct PartitionSet(Box<[u8; PARTITION_SET_BYTES]>);

impl std::fmt::Debug for PartitionSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl FromIterator<PartitionId> for PartitionSet {
    fn from_iter<I: IntoIterator<Item = PartitionId>>(partitions: I) -> PartitionSet {
        let mut bits = Box::new([0; PARTITION_SET_BYTES]);
        for partition in partitions {
            bits[partition.index() / 8] |= 1 << (partition.index() % 8);
        }
        PartitionSet(bits)
    }
}

impl PartitionSet {
    /// Whether a partition is in it.
    #[must_use]
    pub fn contains(&self, partition: PartitionId) -> bool {
        self.0[partition.index() / 8] & (1 << (partition.index() % 8)) != 0
    }

    /// All that are in it.
    pub fn iter(&self) -> impl Iterator<Item = PartitionId> + '_ {
        PartitionId::all().filter(|partition| self.contains(*partition))
    }
}

/// Appends one message to `out`: its head, and what `body` writes.
pub fn write_message(out: &mut Vec<u8>, kind: MessageKind, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.push(kind as u8);
    body(out);
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

/// Takes the next message off a frame; `None` at its end.
///
/// # Errors
/// When the length does not fit.
pub fn read_message(frame: &mut Bytes) -> Result<Option<(MessageKind, Bytes)>, Malformed> {
    if frame.is_empty() {
        return Ok(None);
    }
    let length = get_u32(frame)? as usize;
    if length == 0 || length > frame.len() {
        return Err(Malformed);
    }
    let mut message = frame.split_to(length);
    let kind = MessageKind::from_number(message.get_u8())?;
    Ok(Some((kind, message)))
}

/// Writes the body of a request.
pub fn write_request(out: &mut Vec<u8>, id: u64, deadline_ms: u32, request: &Request) {
    match request {
        Request::Execute(command) => write_command(out, id, deadline_ms, command),
        Request::Fetch(key) => {
            write_request_head(out, id, deadline_ms, 4);
            put_bytes(out, key.as_bytes());
        }
        Request::Pull(pull) => {
            write_request_head(out, id, deadline_ms, 5);
            out.extend_from_slice(&pull.partitions.0[..]);
            out.extend_from_slice(&pull.writer.to_le_bytes());
            out.extend_from_slice(&pull.cursor.to_le_bytes());
            out.extend_from_slice(&pull.bytes_max.to_le_bytes());
        }
    }
}

fn write_request_head(out: &mut Vec<u8>, id: u64, deadline_ms: u32, op: u8) {
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&deadline_ms.to_le_bytes());
    out.push(op);
}

/// Writes the body of a request to execute a command.
pub fn write_command(out: &mut Vec<u8>, id: u64, deadline_ms: u32, command: &Command) {
    let op = match command {
        Command::Get { .. } => 0,
        Command::Put { .. } => 1,
        Command::Delete { .. } => 2,
        Command::MergePatch { .. } => 3,
        Command::Increment { .. } => OP_INCREMENT,
    };
    write_request_head(out, id, deadline_ms, op);
    put_bytes(out, command.key().as_bytes());
    match command {
        Command::Get { .. } => {}
        Command::Put {
            kind,
            data,
            ttl_ms,
            condition,
            ..
        } => {
            out.push(*kind as u8);
            put_option(out, *ttl_ms);
            put_condition(out, condition);
            put_bytes(out, data);
        }
        Command::Delete { condition, .. } => put_condition(out, condition),
        Command::MergePatch {
            patch, condition, ..
        } => {
            put_condition(out, condition);
            put_bytes(out, patch);
        }
        Command::Increment {
            by,
            ttl_ms,
            condition,
            ..
        } => {
            out.extend_from_slice(&by.to_le_bytes());
            put_option(out, *ttl_ms);
            put_condition(out, condition);
        }
    }
}

/// Reads the body of a request: its id, its deadline in milliseconds from now, itself.
///
/// # Errors
/// When it is malformed.
pub fn read_request(mut body: Bytes) -> Result<(u64, u32, Request), Malformed> {
    let b = &mut body;
    let (id, deadline_ms, op) = (get_u64(b)?, get_u32(b)?, get_u8(b)?);
    if op == 5 {
        return Ok((id, deadline_ms, Request::Pull(read_pull(b)?)));
    }
    let key = Key::new(get_bytes(b)?, KEY_BYTES_MAX).map_err(|_| Malformed)?;
    let request = match op {
        0 => Request::Execute(Command::Get { key }),
        1 => {
            let kind = Kind::from_number(get_u8(b)?).ok_or(Malformed)?;
            let (ttl_ms, condition) = (get_option(b)?, get_condition(b)?);
            Request::Execute(Command::Put {
                key,
                kind,
                data: get_bytes(b)?,
                ttl_ms,
                condition,
            })
        }
        2 => Request::Execute(Command::Delete {
            key,
            condition: get_condition(b)?,
        }),
        3 => {
            let condition = get_condition(b)?;
            Request::Execute(Command::MergePatch {
                key,
                patch: get_bytes(b)?,
                condition,
            })
        }
        4 => Request::Fetch(key),
        OP_INCREMENT => Request::Execute(Command::Increment {
            key,
            by: get_i64(b)?,
            ttl_ms: get_option(b)?,
            condition: get_condition(b)?,
        }),
        _ => return Err(Malformed),
    };
    Ok((id, deadline_ms, request))
}

fn read_pull(b: &mut Bytes) -> Result<Pull, Malformed> {
    if b.len() < PARTITION_SET_BYTES {
        return Err(Malformed);
    }
    let bits = b.split_to(PARTITION_SET_BYTES);
    let bits: [u8; PARTITION_SET_BYTES] = bits.as_ref().try_into().map_err(|_| Malformed)?;
    Ok(Pull {
        partitions: PartitionSet(Box::new(bits)),
        writer: get_u16(b)?,
        cursor: get_u64(b)?,
        bytes_max: get_u32(b)?,
    })
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
        Response::Entry(entry) => {
            out.push(3);
            out.push(u8::from(entry.is_some()));
            if let Some(entry) = entry {
                put_entry(out, entry.as_ref());
            }
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
        3 => Response::Entry(if get_u8(b)? == 1 {
            Some(get_entry(b)?)
        } else {
            None
        }),
        4 => read_pulled(b)?,
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
        let partition = PartitionId(get_u16(b)?);
        if partition.0 >= PARTITION_COUNT {
            return Err(Malformed);
        }
        entries.push(Moved {
            partition,
            key: get_bytes(b)?,
            entry: get_entry(b)?,
        });
    }
    Ok(Response::Pulled {
        entries,
        next: writer.map(|writer| (writer, cursor)),
    })
}

#[cfg(test)]
mod tests;
