//! What one write changes, and its form between nodes.
//!
//! ```text
//! effect    = partition:u16 epoch:u32 change:u8 key:bytes …  operation
//!   put     = previous (0, or 1 version) entry
//!   evict   = version            the owner says: this version is gone
//!   evicted = version            a copy says: this version had to go here
//!   delta   = previous version, version, what changed in the entry
//!   flush   = version            of an empty key: all up to this version are gone
//! operation = 0, or 1 id:u128 done
//! ```

use bytes::Bytes;

use super::Done;
use crate::command::{Changed, Entry, EntryRef, OperationId};
use crate::fields::{
    Malformed, get_bytes, get_entry, get_u8, get_u16, get_u32, get_u128, get_value, get_version,
    put_bytes, put_entry, put_value, put_version,
};
use crate::key::{KEY_BYTES_MAX, PARTITION_COUNT, PartitionId};
use crate::version::Version;

/// The number of a flush: the one change that is not about a key.
const FLUSH: u8 = 4;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// Of the key.
    pub partition: PartitionId,
    /// The partition's epoch at its owner.
    pub epoch: u32,
    /// The key; empty if it is about all keys of the partition.
    pub key: Bytes,
    /// What became of it.
    pub change: Change,
    /// The operation that did it, and what it came to.
    pub operation: Option<(OperationId, Done)>,
}

/// What became of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has this entry now, which may be a tombstone.
    Put {
        /// The version before, if there was an entry: a copy that has another one has missed
        /// something.
        previous: Option<Version>,
        /// The entry.
        entry: Entry,
    },
    /// A part of its entry has changed: a copy that has another entry than the one before needs the
    /// whole.
    Delta {
        /// The version before.
        previous: Version,
        /// What has changed, and the version now.
        changed: Changed,
    },
    /// Its entry of this version made room for others.
    Evict(Version),
    /// A copy had no room for its entry of this version: the owner should let it go as well.
    Evicted(Version),
    /// All entries of the partition up to this version were deleted.
    Flush(Version),
}

impl Effect {
    /// Its form between nodes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match &self.change {
            Change::Put { previous, entry } => {
                let operation = self.operation.as_ref().map(|(id, done)| (*id, done));
                let place = (self.partition, self.epoch);
                encode_put(place, &self.key, *previous, entry.as_ref(), operation)
            }
            Change::Delta { previous, changed } => {
                let operation = self.operation.as_ref().map(|(id, done)| (*id, done));
                let place = (self.partition, self.epoch);
                encode_delta(place, &self.key, *previous, changed, operation)
            }
            Change::Evict(version) => self.encode_version(1, *version),
            Change::Evicted(version) => self.encode_version(2, *version),
            Change::Flush(version) => self.encode_version(FLUSH, *version),
        }
    }

    fn encode_version(&self, change: u8, version: Version) -> Bytes {
        let mut out = Vec::with_capacity(self.key.len() + 32);
        put_head(&mut out, (self.partition, self.epoch), change, &self.key);
        put_version(&mut out, version);
        out.push(0);
        out.into()
    }

    /// Reads it back.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn decode(mut bytes: Bytes) -> Result<Effect, Malformed> {
        let b = &mut bytes;
        let (partition, epoch, change) = (PartitionId(get_u16(b)?), get_u32(b)?, get_u8(b)?);
        let key = get_bytes(b)?;
        let is_key = key.is_empty() == (change == FLUSH) && key.len() <= KEY_BYTES_MAX;
        if partition.0 >= PARTITION_COUNT || !is_key {
            return Err(Malformed);
        }
        let change = match change {
            0 => Change::Put {
                previous: match get_u8(b)? {
                    0 => None,
                    1 => Some(get_version(b)?),
                    _ => return Err(Malformed),
                },
                entry: get_entry(b)?,
            },
            1 => Change::Evict(get_version(b)?),
            2 => Change::Evicted(get_version(b)?),
            3 => Change::Delta {
                previous: get_version(b)?,
                changed: Changed {
                    version: get_version(b)?,
                    delta: get_value(b)?,
                },
            },
            FLUSH => Change::Flush(get_version(b)?),
            _ => return Err(Malformed),
        };
        let operation = match get_u8(b)? {
            0 => None,
            // No operation evicts.
            1 if matches!(change, Change::Put { .. } | Change::Delta { .. }) => {
                Some((OperationId(get_u128(b)?), Done::decode(b)?))
            }
            _ => return Err(Malformed),
        };
        if !b.is_empty() {
            return Err(Malformed);
        }
        Ok(Effect {
            partition,
            epoch,
            key,
            change,
            operation,
        })
    }
}

/// The form of a put, from where the entry lies.
pub(crate) fn encode_put(
    place: (PartitionId, u32),
    key: &[u8],
    previous: Option<Version>,
    entry: EntryRef<'_>,
    operation: Option<(OperationId, &Done)>,
) -> Bytes {
    let mut out = Vec::with_capacity(key.len() + entry.data.len() + 96);
    put_head(&mut out, place, 0, key);
    out.push(u8::from(previous.is_some()));
    if let Some(previous) = previous {
        put_version(&mut out, previous);
    }
    put_entry(&mut out, entry);
    put_operation(&mut out, operation);
    out.into()
}

/// The form of a change of a part.
pub(crate) fn encode_delta(
    place: (PartitionId, u32),
    key: &[u8],
    previous: Version,
    changed: &Changed,
    operation: Option<(OperationId, &Done)>,
) -> Bytes {
    let mut out = Vec::with_capacity(key.len() + changed.delta.bytes() + 96);
    put_head(&mut out, place, 3, key);
    put_version(&mut out, previous);
    put_version(&mut out, changed.version);
    put_value(&mut out, &changed.delta);
    put_operation(&mut out, operation);
    out.into()
}

fn put_operation(out: &mut Vec<u8>, operation: Option<(OperationId, &Done)>) {
    out.push(u8::from(operation.is_some()));
    if let Some((id, done)) = operation {
        out.extend_from_slice(&id.0.to_le_bytes());
        done.encode(out);
    }
}

fn put_head(out: &mut Vec<u8>, place: (PartitionId, u32), change: u8, key: &[u8]) {
    out.extend_from_slice(&place.0.0.to_le_bytes());
    out.extend_from_slice(&place.1.to_le_bytes());
    out.push(change);
    put_bytes(out, key);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixMs;
    use crate::command::Kind;
    use crate::command::collection::Delta;
    use crate::version::{Hlc, NodeId};

    fn effects() -> Vec<Effect> {
        let version = Version {
            hlc: Hlc(77),
            node: NodeId(5),
        };
        let put = |previous, operation| Effect {
            partition: PartitionId(9),
            epoch: 3,
            key: Bytes::from_static(b"key"),
            change: Change::Put {
                previous,
                entry: Entry {
                    tag: None,
                    kind: Kind::Json,
                    data: Bytes::from_static(b"{}"),
                    version,
                    expires_at: Some(UnixMs(12)),
                },
            },
            operation,
        };
        let deleted = Done::Deleted(true);
        let mut effects = vec![
            put(None, None),
            put(Some(version), Some((OperationId(1 << 100), deleted))),
        ];
        let delta = Change::Delta {
            previous: version,
            changed: Changed {
                version,
                delta: Delta::Expiry(Some(UnixMs(7))),
            },
        };
        for change in [delta, Change::Evict(version), Change::Evicted(version)] {
            effects.push(Effect {
                change,
                ..put(None, None)
            });
        }
        effects.push(Effect {
            key: Bytes::new(),
            change: Change::Flush(version),
            ..put(None, None)
        });
        effects
    }

    #[test]
    fn what_is_written_is_read_back() {
        for effect in effects() {
            assert_eq!(Effect::decode(effect.encode()), Ok(effect));
        }
    }

    #[test]
    fn a_part_of_an_effect_is_none() {
        for effect in effects() {
            let bytes = effect.encode();
            for end in 0..bytes.len() {
                assert_eq!(Effect::decode(bytes.slice(..end)), Err(Malformed), "{end}");
            }
        }
    }

    #[test]
    fn only_a_flush_is_about_no_key() {
        for effect in effects() {
            let key = match effect.change {
                Change::Flush(_) => Bytes::from_static(b"key"),
                _ => Bytes::new(),
            };
            let wrong = Effect { key, ..effect };
            assert_eq!(Effect::decode(wrong.encode()), Err(Malformed), "{wrong:?}");
        }
    }
}
