//! What a command makes of the present entry of its key: an [`Effect`] and a reply.

use super::collection::{self, Collection, Delta};
use super::operation::{At, Change};
use super::{Command, Entry, EntryRef, Error, Kind, Limits, Operation, Reply, counter, json};
use crate::clock::UnixMs;
use crate::version::Version;

/// What changes in the table, and on the backups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// The entry is now this.
    Put(Entry),
    /// A part of the entry has changed.
    Change(Changed),
    /// The entry is gone.
    Delete,
}

/// An entry of which a part has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// What has.
    pub delta: Delta,
    /// The entry's version now.
    pub version: Version,
}

impl Changed {
    /// The whole entry that an entry becomes by it; `None` if it does not belong to that.
    #[must_use]
    pub fn whole(&self, entry: EntryRef<'_>) -> Option<Entry> {
        let version = self.version;
        if let Delta::Expiry(expires_at) = self.delta {
            let tag = Some(entry.etag());
            let entry = entry.to_entry();
            return Some(Entry {
                version,
                tag,
                expires_at,
                ..entry
            });
        }
        let mut collection = match entry.open {
            Some(open) => open.clone(),
            None => Collection::unpack(entry.kind, entry.data)?,
        };
        collection.apply(&self.delta);
        Some(Entry {
            kind: entry.kind,
            data: collection.pack(),
            version,
            tag: None,
            expires_at: entry.expires_at,
        })
    }
}

/// Carries a command out on the present entry of its key. `next` makes the version of a new value.
///
/// # Errors
/// When the command does not fit the value or the limits; then there is no effect.
pub fn apply(
    command: &Command,
    current: Option<EntryRef<'_>>,
    now: UnixMs,
    next: impl FnOnce() -> Version,
    limits: &Limits,
) -> Result<(Effect, Reply), Error> {
    let version = current.map(|entry| entry.etag());
    let failed = Reply::ConditionFailed { current: version };
    match command {
        Command::Get { .. } => Ok((
            Effect::None,
            Reply::Value(current.map(|entry| entry.to_entry())),
        )),
        Command::Put {
            kind,
            data,
            ttl_ms,
            condition,
            ..
        } => {
            match kind.is_collection() {
                true => check_collection(data.len(), limits)?,
                false => check_size(data.len(), limits)?,
            }
            check(*kind, data)?;
            if !condition.holds(version) {
                return Ok((Effect::None, failed));
            }
            let expires_at = expiry(*ttl_ms, now);
            let entry = Entry {
                kind: *kind,
                data: data.clone(),
                version: next(),
                tag: None,
                expires_at,
            };
            Ok(stored(entry, current.is_none()))
        }
        Command::Delete { condition, .. } => {
            if !condition.holds(version) {
                return Ok((Effect::None, failed));
            }
            let effect = if current.is_some() {
                Effect::Delete
            } else {
                Effect::None
            };
            Ok((effect, Reply::Deleted(current.is_some())))
        }
        Command::MergePatch {
            patch, condition, ..
        } => {
            if !condition.holds(version) {
                return Ok((Effect::None, failed));
            }
            let target = match current {
                None => &b"{}"[..],
                Some(EntryRef {
                    kind: Kind::Json,
                    data,
                    ..
                }) => data,
                Some(EntryRef { kind: found, .. }) => {
                    let wanted = Kind::Json;
                    return Err(Error::WrongType { found, wanted });
                }
            };
            if target.len() + patch.len() > limits.work_max {
                return Err(json::path::Error::TooMuchWork.into());
            }
            let data = json::merge_patch(target, patch, limits.json_depth_max)?;
            check_size(data.len(), limits)?;
            let expires_at = current.and_then(|entry| entry.expires_at);
            let entry = Entry {
                kind: Kind::Json,
                data: data.into(),
                version: next(),
                tag: None,
                expires_at,
            };
            Ok(stored(entry, current.is_none()))
        }
        Command::Increment {
            by,
            ttl_ms,
            condition,
            ..
        } => {
            if !condition.holds(version) {
                return Ok((Effect::None, failed));
            }
            let data = counter::text(counter::sum(current, *by)?);
            let expires_at = match current {
                Some(entry) => entry.expires_at,
                None => expiry(*ttl_ms, now),
            };
            let entry = Entry {
                kind: Kind::Counter,
                data,
                version: next(),
                tag: None,
                expires_at,
            };
            Ok(stored(entry, current.is_none()))
        }
        Command::Typed {
            operation,
            condition,
            ..
        } => {
            if !condition.holds(version) {
                return Ok((Effect::None, failed));
            }
            typed(
                operation,
                At {
                    current,
                    now,
                    limits,
                },
                next,
            )
        }
    }
}

/// Carries an operation of a type out.
fn typed(
    operation: &Operation,
    at: At<'_>,
    next: impl FnOnce() -> Version,
) -> Result<(Effect, Reply), Error> {
    let (change, answer) = operation.run(at)?;
    let current = at.current;
    let reply = |version, expires_at| Reply::Answer {
        answer,
        version,
        expires_at,
    };
    let entry = match change {
        Change::None => {
            let version = current.map(|entry| entry.etag());
            let expires_at = current.and_then(|entry| entry.expires_at);
            return Ok((Effect::None, reply(version, expires_at)));
        }
        Change::Delete => return Ok((Effect::Delete, reply(None, None))),
        Change::Put { kind, data, expiry } => Entry {
            kind,
            data,
            version: next(),
            tag: None,
            expires_at: expiry.at(current.and_then(|entry| entry.expires_at), at.now),
        },
        Change::Delta(delta) => {
            let kind = current.map_or(operation.kind(), |entry| entry.kind);
            return changed(kind, delta, at, next, reply);
        }
    };
    let reply = reply(Some(entry.etag()), entry.expires_at);
    Ok((Effect::Put(entry), reply))
}

/// The effect of a delta: of a small value the whole of it, so that copies need nothing else.
fn changed(
    kind: Kind,
    delta: Delta,
    at: At<'_>,
    next: impl FnOnce() -> Version,
    reply: impl FnOnce(Option<Version>, Option<UnixMs>) -> Reply,
) -> Result<(Effect, Reply), Error> {
    let current = at.current;
    let expires_at = current.and_then(|entry| entry.expires_at);
    let before = current.map_or(0, |entry| entry.stored_bytes());
    if let Delta::Expiry(expires_at) = delta {
        let Some(entry) = current else {
            return Ok((Effect::None, reply(None, None)));
        };
        let (version, tag) = (next(), entry.etag());
        let effect = if before < collection::OPEN_BYTES_MIN {
            let entry = entry.to_entry();
            Effect::Put(Entry {
                version,
                tag: Some(tag),
                expires_at,
                ..entry
            })
        } else {
            Effect::Change(Changed { delta, version })
        };
        return Ok((effect, reply(Some(tag), expires_at)));
    }
    if let Some(open) = current.and_then(|entry| entry.open) {
        check_growth(before, open.packed_bytes_after(&delta), at.limits)?;
        let version = next();
        let effect = Effect::Change(Changed { delta, version });
        return Ok((effect, reply(Some(version), expires_at)));
    }
    let opened = match current {
        None => Collection::new(kind),
        Some(entry) => Collection::unpack(kind, entry.data),
    };
    let mut collection = opened.ok_or(Error::NotACollection(kind))?;
    collection.apply(&delta);
    check_growth(before, collection.packed_bytes(), at.limits)?;
    let entry = Entry {
        kind,
        data: collection.pack(),
        version: next(),
        tag: None,
        expires_at,
    };
    let reply = reply(Some(entry.version), expires_at);
    Ok((Effect::Put(entry), reply))
}

/// Refuses a whole value that is none of its kind.
fn check(kind: Kind, data: &[u8]) -> Result<(), Error> {
    match kind {
        Kind::Counter => counter::check(data),
        Kind::Flag if !matches!(data, b"true" | b"false") => Err(Error::NotAFlag),
        kind if kind.is_collection() && !collection::check(kind, data) => {
            Err(Error::NotACollection(kind))
        }
        _ => Ok(()),
    }
}

fn stored(entry: Entry, created: bool) -> (Effect, Reply) {
    (Effect::Put(entry.clone()), Reply::Stored { entry, created })
}

fn expiry(ttl_ms: Option<u64>, now: UnixMs) -> Option<UnixMs> {
    ttl_ms.map(|ttl| UnixMs(now.0.saturating_add(ttl)))
}

/// Refuses a collection that has grown too large. What takes from one is always done.
fn check_growth(before: usize, after: usize, limits: &Limits) -> Result<(), Error> {
    match after > before {
        true => check_collection(after, limits),
        false => Ok(()),
    }
}

fn check_collection(bytes: usize, limits: &Limits) -> Result<(), Error> {
    check_length(bytes, limits.collection_bytes_max)
}

pub(crate) fn check_size(bytes: usize, limits: &Limits) -> Result<(), Error> {
    check_length(bytes, limits.value_bytes_max)
}

fn check_length(bytes: usize, max: usize) -> Result<(), Error> {
    if bytes > max {
        Err(Error::ValueTooLarge { bytes, max })
    } else {
        Ok(())
    }
}
