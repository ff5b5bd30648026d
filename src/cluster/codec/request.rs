//! What nodes ask each other, as bytes.

use bytes::Bytes;

use super::fields::{get_condition, put_condition};
use super::partitions::PARTITION_SET_BYTES;
use super::{PartitionSet, keyspace};
use crate::command::{Command, Kind, OperationId};
use crate::fields::{
    Malformed, get_bytes, get_i64, get_option, get_u8, get_u16, get_u32, get_u64, get_u128,
    get_value, put_bytes, put_option, put_value,
};
use crate::key::{KEY_BYTES_MAX, Key};

/// The op of an increment. Ops from 32 on are updates of the data types.
const OP_INCREMENT: u8 = 32;

/// The op of an operation of a data type, and of one that changes nothing.
const OP_TYPED: u8 = 33;
const OP_TYPED_READ: u8 = 34;

/// What one node asks another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Carry this out, if you own the key; but not twice.
    Execute(Command, Option<OperationId>),
    /// What do you hold of these partitions?
    Pull(Pull),
    /// Which operations on these partitions do you remember?
    Operations(PartitionSet),
    /// What do your entries of these partitions come to, summed up?
    Sums(PartitionSet),
    /// About the keys of these partitions, if you own them.
    Keyspace(keyspace::Request),
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

/// Writes the body of a request.
pub fn write_request(out: &mut Vec<u8>, id: u64, deadline_ms: u32, request: &Request) {
    match request {
        Request::Execute(command, operation) => {
            write_command(out, id, deadline_ms, command, *operation);
        }
        Request::Keyspace(request) => {
            write_request_head(out, id, deadline_ms, 8);
            keyspace::put_request(out, request);
        }
        Request::Sums(partitions) => {
            write_request_head(out, id, deadline_ms, 7);
            out.extend_from_slice(&partitions.0[..]);
        }
        Request::Operations(partitions) => {
            write_request_head(out, id, deadline_ms, 6);
            out.extend_from_slice(&partitions.0[..]);
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
pub fn write_command(
    out: &mut Vec<u8>,
    id: u64,
    deadline_ms: u32,
    command: &Command,
    operation: Option<OperationId>,
) {
    let op = match command {
        Command::Get { .. } => 0,
        Command::Put { .. } => 1,
        Command::Delete { .. } => 2,
        Command::MergePatch { .. } => 3,
        Command::Increment { .. } => OP_INCREMENT,
        Command::Typed { operation, .. } if operation.is_read() => OP_TYPED_READ,
        Command::Typed { .. } => OP_TYPED,
    };
    write_request_head(out, id, deadline_ms, op);
    put_bytes(out, command.key().as_bytes());
    if !command.is_read() {
        out.push(u8::from(operation.is_some()));
        if let Some(OperationId(operation)) = operation {
            out.extend_from_slice(&operation.to_le_bytes());
        }
    }
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
        Command::Typed {
            operation,
            condition,
            ..
        } => {
            put_condition(out, condition);
            put_value(out, operation);
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
    let request = match op {
        5 => Request::Pull(read_pull(b)?),
        6 => Request::Operations(read_partitions(b)?),
        7 => Request::Sums(read_partitions(b)?),
        8 => Request::Keyspace(keyspace::get_request(b)?),
        op => read_command(b, op)?,
    };
    Ok((id, deadline_ms, request))
}

fn read_command(b: &mut Bytes, op: u8) -> Result<Request, Malformed> {
    let key = Key::new(get_bytes(b)?, KEY_BYTES_MAX).map_err(|_| Malformed)?;
    if op == 0 {
        return Ok(Request::Execute(Command::Get { key }, None));
    }
    if op == OP_TYPED_READ {
        let command = read_typed(b, key)?;
        let is_read = command.is_read();
        return if is_read {
            Ok(Request::Execute(command, None))
        } else {
            Err(Malformed)
        };
    }
    let operation = match get_u8(b)? {
        0 => None,
        1 => Some(OperationId(get_u128(b)?)),
        _ => return Err(Malformed),
    };
    let command = match op {
        1 => {
            let kind = Kind::from_number(get_u8(b)?).ok_or(Malformed)?;
            let (ttl_ms, condition) = (get_option(b)?, get_condition(b)?);
            Command::Put {
                key,
                kind,
                data: get_bytes(b)?,
                ttl_ms,
                condition,
            }
        }
        2 => Command::Delete {
            key,
            condition: get_condition(b)?,
        },
        3 => {
            let condition = get_condition(b)?;
            Command::MergePatch {
                key,
                patch: get_bytes(b)?,
                condition,
            }
        }
        OP_INCREMENT => Command::Increment {
            key,
            by: get_i64(b)?,
            ttl_ms: get_option(b)?,
            condition: get_condition(b)?,
        },
        // A read has an op of its own, and no operation's id.
        OP_TYPED => read_typed(b, key).and_then(|command| match command.is_read() {
            true => Err(Malformed),
            false => Ok(command),
        })?,
        _ => return Err(Malformed),
    };
    Ok(Request::Execute(command, operation))
}

fn read_typed(b: &mut Bytes, key: Key) -> Result<Command, Malformed> {
    Ok(Command::Typed {
        key,
        condition: get_condition(b)?,
        operation: get_value(b)?,
    })
}

pub(super) fn read_partitions(b: &mut Bytes) -> Result<PartitionSet, Malformed> {
    if b.len() < PARTITION_SET_BYTES {
        return Err(Malformed);
    }
    let bits = b.split_to(PARTITION_SET_BYTES);
    let bits: [u8; PARTITION_SET_BYTES] = bits.as_ref().try_into().map_err(|_| Malformed)?;
    Ok(PartitionSet(Box::new(bits)))
}

fn read_pull(b: &mut Bytes) -> Result<Pull, Malformed> {
    Ok(Pull {
        partitions: read_partitions(b)?,
        writer: get_u16(b)?,
        cursor: get_u64(b)?,
        bytes_max: get_u32(b)?,
    })
}
