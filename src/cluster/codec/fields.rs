//! Conditions and replies, as they lie in messages.

use bytes::Bytes;

use crate::clock::UnixMs;
use crate::command::{Condition, Reply};
use crate::fields::{
    Malformed, get_entry, get_option, get_u8, get_u16, get_value, get_version, put_entry,
    put_option, put_value, put_version,
};
use crate::version::Version;

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
        Reply::Answer {
            answer,
            version,
            expires_at,
        } => {
            out.push(5);
            out.push(u8::from(version.is_some()));
            put_version(out, version.unwrap_or_default());
            put_option(out, expires_at.map(|at| at.0));
            put_value(out, answer);
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
        5 => {
            let known = get_u8(b)? == 1;
            let version = get_version(b)?;
            Ok(Reply::Answer {
                version: known.then_some(version),
                expires_at: get_option(b)?.map(UnixMs),
                answer: get_value(b)?,
            })
        }
        _ => Err(Malformed),
    }
}
