//! The parts that messages between nodes are made of: numbers, lengths, versions, entries.
//!
//! What is written here is read back by its namesake. Numbers are little-endian. A read takes
//! nothing on trust: every length is checked against what is there, and what does not decode is an
//! error, never a panic.

use bytes::{Buf, Bytes};

use crate::clock::UnixMs;
use crate::command::{Entry, EntryRef, Kind, collection};
use crate::version::{Hlc, NodeId, Version};

/// The message was malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a malformed message from a peer")]
pub struct Malformed;

pub(crate) fn put_version(out: &mut Vec<u8>, version: Version) {
    out.extend_from_slice(&version.hlc.0.to_le_bytes());
    out.extend_from_slice(&version.node.0.to_le_bytes());
}

pub(crate) fn get_version(b: &mut Bytes) -> Result<Version, Malformed> {
    Ok(Version {
        hlc: Hlc(get_u64(b)?),
        node: NodeId(get_u32(b)?),
    })
}

pub(crate) fn put_option(out: &mut Vec<u8>, number: Option<u64>) {
    out.push(u8::from(number.is_some()));
    if let Some(number) = number {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

pub(crate) fn get_option(b: &mut Bytes) -> Result<Option<u64>, Malformed> {
    match get_u8(b)? {
        0 => Ok(None),
        1 => Ok(Some(get_u64(b)?)),
        _ => Err(Malformed),
    }
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

pub(crate) fn get_bytes(b: &mut Bytes) -> Result<Bytes, Malformed> {
    let length = get_u32(b)? as usize;
    if length > b.len() {
        return Err(Malformed);
    }
    Ok(b.split_to(length))
}

pub(crate) fn get_u8(b: &mut Bytes) -> Result<u8, Malformed> {
    b.try_get_u8().map_err(|_| Malformed)
}

pub(crate) fn get_u16(b: &mut Bytes) -> Result<u16, Malformed> {
    b.try_get_u16_le().map_err(|_| Malformed)
}

pub(crate) fn get_u32(b: &mut Bytes) -> Result<u32, Malformed> {
    b.try_get_u32_le().map_err(|_| Malformed)
}

pub(crate) fn get_u64(b: &mut Bytes) -> Result<u64, Malformed> {
    b.try_get_u64_le().map_err(|_| Malformed)
}

pub(crate) fn get_i64(b: &mut Bytes) -> Result<i64, Malformed> {
    b.try_get_i64_le().map_err(|_| Malformed)
}

pub(crate) fn get_u128(b: &mut Bytes) -> Result<u128, Malformed> {
    b.try_get_u128_le().map_err(|_| Malformed)
}

/// Writes what a library carries between nodes: what is too rich in forms to be written by hand.
pub(crate) fn put_value<T: serde::Serialize>(out: &mut Vec<u8>, value: &T) {
    // Into memory, of types that have a form: nothing can go wrong.
    let bytes = postcard::to_stdvec(value).unwrap_or_default();
    put_bytes(out, &bytes);
}

pub(crate) fn get_value<T: serde::de::DeserializeOwned>(b: &mut Bytes) -> Result<T, Malformed> {
    let bytes = get_bytes(b)?;
    match postcard::take_from_bytes(&bytes) {
        Ok((value, [])) => Ok(value),
        _ => Err(Malformed),
    }
}

pub(crate) fn put_entry(out: &mut Vec<u8>, entry: EntryRef<'_>) {
    out.push(entry.kind as u8);
    put_version(out, entry.version);
    out.push(u8::from(entry.tag.is_some()));
    if let Some(tag) = entry.tag {
        put_version(out, tag);
    }
    put_option(out, entry.expires_at.map(|at| at.0));
    put_bytes(out, &entry.stored());
}

pub(crate) fn get_entry(b: &mut Bytes) -> Result<Entry, Malformed> {
    let kind = Kind::from_number(get_u8(b)?).ok_or(Malformed)?;
    let version = get_version(b)?;
    let tag = match get_u8(b)? {
        0 => None,
        1 => Some(get_version(b)?),
        _ => return Err(Malformed),
    };
    let expires_at = get_option(b)?.map(UnixMs);
    let data = get_bytes(b)?;
    if kind.is_collection() && !collection::check(kind, &data) {
        return Err(Malformed);
    }
    Ok(Entry {
        kind,
        data,
        version,
        tag,
        expires_at,
    })
}
