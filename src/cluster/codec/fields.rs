//! The parts that messages are made of: numbers, lengths, versions, conditions.
//!
//! What is written here is read back by its namesake; a read takes nothing on trust.

use bytes::{Buf, Bytes};

use super::Malformed;
use crate::command::Condition;
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
