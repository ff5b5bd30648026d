//! What nodes tell each other of what is listened to and what has happened, as bytes.
//!
//! ```text
//! word     = 0 version:u64 interest      the sender's subscribers listen to this
//!          | 1 version:u64               the sender knows that interest
//!          | 2 key:bytes change          a key has changed
//!          | 3 channel:bytes payload     somebody published; the payload is the rest
//!          | 4 changes messages          so many were lost, each 0, or 1 count:u64
//! change   = 0 entry | 1..4 version      put, put and long, deleted, expired, evicted
//! interest = channels patterns keys prefixes
//! ```

use bytes::Bytes;

use super::event::{Change, Message, What};
use super::interest::Interest;
use crate::fields::{
    Malformed, get_bytes, get_entry, get_option, get_u8, get_u64, get_version, put_bytes,
    put_entry, put_option, put_version,
};
use crate::key::KEY_BYTES_MAX;

/// See the module.
#[derive(Debug)]
pub(super) enum Word {
    Interest(u64, Interest),
    Known(u64),
    Change(Change),
    Message(Message),
    Lost(Lost),
}

/// Events that did not get through, if any: at least so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) changes: Option<u64>,
    pub(super) messages: Option<u64>,
}

impl Lost {
    /// One more of a sort.
    pub(super) fn count(&mut self, is_change: bool) {
        let sort = if is_change {
            &mut self.changes
        } else {
            &mut self.messages
        };
        *sort = Some(sort.unwrap_or(0).saturating_add(1));
    }

    pub(super) fn add(&mut self, other: Lost) {
        let add = |one: Option<u64>, other: Option<u64>| match (one, other) {
            (Some(one), Some(other)) => Some(one.saturating_add(other)),
            (one, other) => one.or(other),
        };
        self.changes = add(self.changes, other.changes);
        self.messages = add(self.messages, other.messages);
    }

    pub(super) fn is_nothing(&self) -> bool {
        *self == Lost::default()
    }
}

pub(super) fn interest(version: u64, interest: &Interest) -> Vec<u8> {
    let mut out = vec![0];
    out.extend_from_slice(&version.to_le_bytes());
    interest.encode(&mut out);
    out
}

pub(super) fn known(version: u64) -> Vec<u8> {
    let mut out = vec![1];
    out.extend_from_slice(&version.to_le_bytes());
    out
}

pub(super) fn change(change: &Change) -> Vec<u8> {
    let mut out = vec![2];
    put_bytes(&mut out, &change.key);
    let (number, version) = match &change.what {
        What::Put(entry) => {
            out.push(0);
            put_entry(&mut out, entry.as_ref());
            return out;
        }
        What::PutLong(version) => (1, version),
        What::Deleted(version) => (2, version),
        What::Expired(version) => (3, version),
        What::Evicted(version) => (4, version),
    };
    out.push(number);
    put_version(&mut out, *version);
    out
}

pub(super) fn message(channel: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(channel.len() + payload.len() + 5);
    out.push(3);
    put_bytes(&mut out, channel);
    out.extend_from_slice(payload);
    out
}

pub(super) fn lost(lost: Lost) -> Vec<u8> {
    let mut out = vec![4];
    put_option(&mut out, lost.changes);
    put_option(&mut out, lost.messages);
    out
}

/// Reads a word.
pub(super) fn read(mut bytes: Bytes) -> Result<Word, Malformed> {
    let b = &mut bytes;
    let word = match get_u8(b)? {
        0 => Word::Interest(get_u64(b)?, Interest::decode(b)?),
        1 => Word::Known(get_u64(b)?),
        2 => Word::Change(read_change(b)?),
        3 => {
            let channel = get_bytes(b)?;
            Word::Message(Message {
                channel,
                pattern: None,
                payload: std::mem::take(b),
            })
        }
        4 => Word::Lost(Lost {
            changes: get_option(b)?,
            messages: get_option(b)?,
        }),
        _ => return Err(Malformed),
    };
    if bytes.is_empty() {
        Ok(word)
    } else {
        Err(Malformed)
    }
}

fn read_change(b: &mut Bytes) -> Result<Change, Malformed> {
    let key = get_bytes(b)?;
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(Malformed);
    }
    let what = match get_u8(b)? {
        0 => What::Put(get_entry(b)?),
        1 => What::PutLong(get_version(b)?),
        2 => What::Deleted(get_version(b)?),
        3 => What::Expired(get_version(b)?),
        4 => What::Evicted(get_version(b)?),
        _ => return Err(Malformed),
    };
    Ok(Change { key, what })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixMs;
    use crate::command::{Entry, Kind};
    use crate::version::{Hlc, NodeId, Version};

    fn changes() -> Vec<Change> {
        let version = Version {
            hlc: Hlc(77),
            node: NodeId(5),
        };
        let entry = Entry {
            kind: Kind::Json,
            data: Bytes::from_static(b"{}"),
            version,
            tag: Some(Version::default()),
            expires_at: Some(UnixMs(12)),
        };
        let whats = [
            What::Put(entry),
            What::PutLong(version),
            What::Deleted(version),
            What::Expired(version),
            What::Evicted(version),
        ];
        let key = Bytes::from_static(b"key");
        whats
            .map(|what| Change {
                key: key.clone(),
                what,
            })
            .into()
    }

    #[test]
    fn what_is_written_is_read_back() {
        for told in changes() {
            let Ok(Word::Change(read)) = read(change(&told).into()) else {
                panic!("{told:?}");
            };
            assert_eq!(read, told);
        }
        let Ok(Word::Message(read_message)) = read(message(b"c", b"payload").into()) else {
            panic!("a message");
        };
        assert_eq!(
            (&read_message.channel[..], &read_message.payload[..]),
            (&b"c"[..], &b"payload"[..])
        );
        let told = Lost {
            changes: Some(3),
            messages: None,
        };
        assert!(matches!(read(lost(told).into()), Ok(Word::Lost(read)) if read == told));
        assert!(matches!(read(known(9).into()), Ok(Word::Known(9))));
        let nothing = interest(7, &Interest::default());
        assert!(matches!(read(nothing.into()), Ok(Word::Interest(7, _))));
    }

    #[test]
    fn a_part_of_a_word_is_none() {
        let mut words: Vec<Vec<u8>> = changes().iter().map(change).collect();
        words.push(known(1));
        words.push(interest(1, &Interest::default()));
        words.push(lost(Lost::default()));
        for word in words {
            let word = Bytes::from(word);
            for end in 0..word.len() {
                assert!(read(word.slice(..end)).is_err(), "{word:?} up to {end}");
            }
            let longer = Bytes::from([&word[..], &[0]].concat());
            assert!(read(longer).is_err(), "{word:?} and more");
        }
        assert!(read(Bytes::from_static(&[9])).is_err());
    }

    #[test]
    fn losses_add_up() {
        let mut sum = Lost::default();
        assert!(sum.is_nothing());
        sum.count(true);
        sum.add(Lost {
            changes: Some(2),
            messages: Some(0),
        });
        assert_eq!(
            sum,
            Lost {
                changes: Some(3),
                messages: Some(0)
            }
        );
    }
}
