//! What the subscribers of a node listen to, summed up for the other nodes.
//!
//! A node sends an event to those whose interest it is in, so a summary may name too much, but never
//! too little. Exact names are hashes; patterns and prefixes are themselves. Of what is more than
//! the bounds below the summary says "all".

use std::collections::HashSet;

use bytes::Bytes;
use rapidhash::v3::rapidhash_v3;

use super::prefixes::Prefixes;
use crate::fields::{Malformed, get_bytes, get_u8, get_u32, put_bytes};
use crate::glob;

/// Most exact names of a sort.
pub(super) const NAMES_MAX: usize = 16 * 1024;
/// Most patterns, and most prefixes.
pub(super) const TEXTS_MAX: usize = 256;
/// Most bytes of patterns, and of prefixes.
pub(super) const TEXTS_BYTES_MAX: usize = 8 << 10;

/// What stands for a name between nodes: alike on all of them.
pub(super) fn hash(name: &[u8]) -> u32 {
    let hash = rapidhash_v3(name);
    (hash ^ (hash >> 32)) as u32
}

/// Exact names, by their hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Names {
    All,
    These(HashSet<u32>),
}

/// Patterns or prefixes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Texts {
    All,
    These(Vec<Bytes>),
}

/// See the module. The default is nothing.
#[derive(Clone, Debug)]
pub(super) struct Interest {
    channels: Names,
    patterns: Texts,
    keys: Names,
    /// `None` is all.
    prefixes: Option<Prefixes<()>>,
}

impl Default for Interest {
    fn default() -> Interest {
        Interest {
            channels: Names::These(HashSet::new()),
            patterns: Texts::These(Vec::new()),
            keys: Names::These(HashSet::new()),
            prefixes: Some(Prefixes::default()),
        }
    }
}

impl Names {
    /// The hashes of these names, or all if they are too many.
    pub(super) fn of<'a>(names: impl ExactSizeIterator<Item = &'a Bytes>) -> Names {
        if names.len() > NAMES_MAX {
            return Names::All;
        }
        Names::These(names.map(|name| hash(name)).collect())
    }

    fn has(&self, name: &[u8]) -> bool {
        match self {
            Names::All => true,
            Names::These(hashes) => !hashes.is_empty() && hashes.contains(&hash(name)),
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Names::These(hashes) if hashes.is_empty())
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let Names::These(hashes) = self else {
            return out.push(1);
        };
        out.push(0);
        let count = u32::try_from(hashes.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&count.to_le_bytes());
        for hash in hashes {
            out.extend_from_slice(&hash.to_le_bytes());
        }
    }

    fn decode(b: &mut Bytes) -> Result<Names, Malformed> {
        if is_all(b)? {
            return Ok(Names::All);
        }
        let count = get_u32(b)? as usize;
        if count > NAMES_MAX {
            return Err(Malformed);
        }
        let hashes = (0..count).map(|_| get_u32(b));
        Ok(Names::These(hashes.collect::<Result<_, _>>()?))
    }
}

impl Texts {
    /// These texts, or all if they are too many or too long.
    pub(super) fn of<'a>(texts: impl ExactSizeIterator<Item = &'a Bytes> + Clone) -> Texts {
        let bytes = |texts: &Bytes| texts.len();
        if texts.len() > TEXTS_MAX || texts.clone().map(bytes).sum::<usize>() > TEXTS_BYTES_MAX {
            return Texts::All;
        }
        Texts::These(texts.cloned().collect())
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let Texts::These(texts) = self else {
            return out.push(1);
        };
        out.push(0);
        let count = u32::try_from(texts.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&count.to_le_bytes());
        texts.iter().for_each(|text| put_bytes(out, text));
    }

    fn decode(b: &mut Bytes) -> Result<Texts, Malformed> {
        if is_all(b)? {
            return Ok(Texts::All);
        }
        let count = get_u32(b)? as usize;
        if count > TEXTS_MAX {
            return Err(Malformed);
        }
        // Copied: a slice would keep the whole message.
        let text = |_| Ok(Bytes::copy_from_slice(&get_bytes(b)?));
        Ok(Texts::These(
            (0..count).map(text).collect::<Result<_, Malformed>>()?,
        ))
    }
}

fn is_all(b: &mut Bytes) -> Result<bool, Malformed> {
    match get_u8(b)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed),
    }
}

impl Interest {
    pub(super) fn new(channels: Names, patterns: Texts, keys: Names, prefixes: Texts) -> Interest {
        let prefixes = match prefixes {
            Texts::All => None,
            Texts::These(texts) => Some(Prefixes(
                texts.into_iter().map(|prefix| (prefix, ())).collect(),
            )),
        };
        Interest {
            channels,
            patterns,
            keys,
            prefixes,
        }
    }

    /// Whether a message on this channel is wanted.
    pub(super) fn has_channel(&self, channel: &[u8]) -> bool {
        let is_matched = |pattern: &Bytes| glob::matches(pattern, channel);
        self.channels.has(channel)
            || match &self.patterns {
                Texts::All => true,
                Texts::These(patterns) => patterns.iter().any(is_matched),
            }
    }

    /// Whether changes to this key are wanted.
    pub(super) fn has_key(&self, key: &[u8]) -> bool {
        let prefixes = self.prefixes.as_ref();
        self.keys.has(key) || prefixes.is_none_or(|prefixes| prefixes.has_prefix_of(key))
    }

    /// Whether changes to any key are wanted.
    pub(super) fn has_keys(&self) -> bool {
        let prefixes = self.prefixes.as_ref();
        !self.keys.is_empty() || prefixes.is_none_or(|prefixes| !prefixes.0.is_empty())
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        self.channels.encode(out);
        self.patterns.encode(out);
        self.keys.encode(out);
        let prefixes = match &self.prefixes {
            None => Texts::All,
            Some(prefixes) => Texts::These(prefixes.0.keys().cloned().collect()),
        };
        prefixes.encode(out);
    }

    pub(super) fn decode(b: &mut Bytes) -> Result<Interest, Malformed> {
        Ok(Interest::new(
            Names::decode(b)?,
            Texts::decode(b)?,
            Names::decode(b)?,
            Texts::decode(b)?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<Bytes> {
        (0..count).map(|n| Bytes::from(format!("n{n}"))).collect()
    }

    fn interest(channels: usize, patterns: &[&str], keys: usize, prefixes: &[&str]) -> Interest {
        let texts = |texts: &[&str]| -> Vec<Bytes> {
            let copy = |text: &&str| Bytes::copy_from_slice(text.as_bytes());
            texts.iter().map(copy).collect()
        };
        Interest::new(
            Names::of(names(channels).iter()),
            Texts::of(texts(patterns).iter()),
            Names::of(names(keys).iter()),
            Texts::of(texts(prefixes).iter()),
        )
    }

    fn carried(interest: &Interest) -> Interest {
        let mut out = Vec::new();
        interest.encode(&mut out);
        let mut bytes = Bytes::from(out);
        let carried = Interest::decode(&mut bytes).unwrap();
        assert!(bytes.is_empty());
        carried
    }

    #[test]
    fn names_what_is_listened_to_and_not_what_is_not() {
        let interest = carried(&interest(3, &["bus.*"], 2, &["car:"]));
        for (channel, wanted) in [("n2", true), ("bus.4", true), ("n3", false), ("bus", false)] {
            assert_eq!(
                interest.has_channel(channel.as_bytes()),
                wanted,
                "{channel}"
            );
        }
        for (key, wanted) in [("n1", true), ("car:1", true), ("n2", false), ("car", false)] {
            assert_eq!(interest.has_key(key.as_bytes()), wanted, "{key}");
        }
        assert!(interest.has_keys());
        let nothing = carried(&Interest::default());
        assert!(!nothing.has_keys() && !nothing.has_key(b"") && !nothing.has_channel(b""));
    }

    #[test]
    fn too_much_is_everything() {
        let interest = carried(&interest(NAMES_MAX + 1, &[], NAMES_MAX + 1, &[]));
        assert!(interest.has_channel(b"any") && interest.has_key(b"any") && interest.has_keys());
        let long = "x".repeat(TEXTS_BYTES_MAX + 1);
        let interest = carried(&self::interest(0, &[&long], 0, &[&long]));
        assert!(interest.has_channel(b"any") && interest.has_key(b"any"));
        let many: Vec<String> = (0..=TEXTS_MAX).map(|n| format!("p{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let interest = carried(&self::interest(0, &many, 0, &[]));
        assert!(interest.has_channel(b"any") && !interest.has_keys());
    }

    #[test]
    fn a_part_of_a_summary_is_none() {
        let mut out = Vec::new();
        interest(2, &["a*"], 2, &["b"]).encode(&mut out);
        let bytes = Bytes::from(out);
        for end in 0..bytes.len() {
            assert!(Interest::decode(&mut bytes.slice(..end)).is_err(), "{end}");
        }
        let mut claims = Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff]);
        assert!(Interest::decode(&mut claims).is_err(), "too many");
    }
}
