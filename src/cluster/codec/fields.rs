//! The parts that messages are made of: numbers, lengths, versions, conditions, entries, replies.
//!
//! What is written here is read back by its namesake; a read takes nothing on trust.

use bytes::{Buf, Bytes};

use super::Malformed;
use crate::clock::UnixMs;
use crate::command::{Condition, Entry, EntryRef, Kind, Reply};
use crate::version::{Hlc, NodeId, Version};

pub(super) fn put_version(out: &mut Vec<u8>, version: Version) {
    out.extend_from_slice(&version.hlc.0.to_le_bytes());
    out.extend_from_slice(&version.node.0.to_le_bytes());
}

pub(super) fn get_version(b: &mut Bytes) -> Result<Version, Malformed> {
    Ok(Version {
        hlc: Hlc(get_u64(b)?),
        node: NodeId(get_u32(b)?),
    })
}

pub(super) fn put_condition(out: &mut Vec<u8>, condition: &Condition) {
    let (number, versions): (u8, &[Version]) = match condition {
        Condition::None => (0, &[]),
        Condition::Absent => (1, &[]),
        Condition::Present => (2, &[]),
        Condition::VersionIn(versions) => (3, versions),
        Condition::VersionNotIn(versions) => (4, versions),
    };
    out.push(number);
    if number >= 3 {
        out.extend_from_slice(
            &u16::try_from(versions.len())
                .unwrap_or(u16::MAX)
                .to_le_bytes(),
        );
        versions
            .iter()
            .take(usize::from(u16::MAX))
            .for_each(|v| put_version(out, *v));
    }
}

pub(super) fn get_condition(b: &mut Bytes) -> Result<Condition, Malformed> {
    let number = get_u8(b)?;
    let mut versions = || {
        let count = get_u16(b)?;
        (0..count)
            .map(|_| get_version(b))
            .collect::<Result<Vec<_>, _>>()
    };
    match number {
        0 => Ok(Condition::None),
        1 => Ok(Condition::Absent),
        2 => Ok(Condition::Present),
        3 => Ok(Condition::VersionIn(versions()?)),
        4 => Ok(Condition::VersionNotIn(versions()?)),
        _ => Err(Malformed),
    }
}

pub(super) fn put_option(out: &mut Vec<u8>, number: Option<u64>) {
    out.push(u8::from(number.is_some()));
    if let Some(number) = number {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

pub(super) fn get_option(b: &mut Bytes) -> Result<Option<u64>, Malformed> {
    match get_u8(b)? {
        0 => Ok(None),
        1 => Ok(Some(get_u64(b)?)),
        _ => Err(Malformed),
    }
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

pub(super) fn get_bytes(b: &mut Bytes) -> Result<Bytes, Malformed> {
    let length = get_u32(b)? as usize;
    if length > b.len() {
        return Err(Malformed);
    }
    Ok(b.split_to(length))
}

pub(super) fn get_u8(b: &mut Bytes) -> Result<u8, Malformed> {
    b.try_get_u8().map_err(|_| Malformed)
}

pub(super) fn get_u16(b: &mut Bytes) -> Result<u16, Malformed> {
    b.try_get_u16_le().map_err(|_| Malformed)
}

pub(in crate::cluster) fn get_u32(b: &mut Bytes) -> Result<u32, Malformed> {
    b.try_get_u32_le().map_err(|_| Malformed)
}

pub(in crate::cluster) fn get_u64(b: &mut Bytes) -> Result<u64, Malformed> {
    b.try_get_u64_le().map_err(|_| Malformed)
}

pub(super) fn get_i64(b: &mut Bytes) -> Result<i64, Malformed> {
    b.try_get_i64_le().map_err(|_| Malformed)
}

pub(super) fn put_reply(out: &mut Vec<u8>, reply: &Reply) {
    match reply {
        Reply::Value(None) => out.push(0),
        Reply::Value(Some(entry)) => {
            out.push(1);
            put_entry(out, entry.as_ref());
        }
        Reply::Stored { entry, created } => {
            out.push(2);
            out.push(u8::from(*created));
            put_entry(out, entry.as_ref());
        }
        Reply::Deleted(existed) => {
            out.push(3);
            out.push(u8::from(*existed));
        }
        Reply::ConditionFailed { current } => {
            out.push(4);
            out.push(u8::from(current.is_some()));
            put_version(out, current.unwrap_or_default());
        }
    }
}

pub(super) fn get_reply(b: &mut Bytes) -> Result<Reply, Malformed> {
    match get_u8(b)? {
        0 => Ok(Reply::Value(None)),
        1 => Ok(Reply::Value(Some(get_entry(b)?))),
        2 => {
            let created = get_u8(b)? == 1;
            Ok(Reply::Stored {
                entry: get_entry(b)?,
                created,
            })
        }
        3 => Ok(Reply::Deleted(get_u8(b)? == 1)),
        4 => {
            let known = get_u8(b)? == 1;
            let version = get_version(b)?;
            Ok(Reply::ConditionFailed {
                current: known.then_some(version),
            })
        }
        _ => Err(Malformed),
    }
}

pub(super) fn put_entry(out: &mut Vec<u8>, entry: EntryRef<'_>) {
    out.push(entry.kind as u8);
    put_version(out, entry.version);
    put_option(out, entry.expires_at.map(|at| at.0));
    put_bytes(out, entry.data);
}

pub(super) fn get_entry(b: &mut Bytes) -> Result<Entry, Malformed> {
    let kind = Kind::from_number(get_u8(b)?).ok_or(Malformed)?;
    let version = get_version(b)?;
    let expires_at = get_option(b)?.map(UnixMs);
    Ok(Entry {
        kind,
        data: get_bytes(b)?,
        version,
        expires_at,
    })
}
