//! Commands applied to the entries of a few keys, without a table or a node around them.
//!
//! Every effect is applied twice: as a table does it, where a larger collection is open and changes
//! in its place, and as a copy that holds it packed does. What must be true of an entry whatever
//! happens is checked after every one of them.
#![allow(dead_code, reason = "each of the tests uses a part of it")]

#[path = "pure/translate.rs"]
mod translate;

use std::collections::BTreeMap;

use smache::clock::UnixMs;
use smache::command::collection::{self, Collection, OPEN_BYTES_MIN};
use smache::command::{Effect, Entry, EntryRef, Error, Kind, Limits, Reply, apply, counter, show};
use smache::version::{HlcSource, NodeId, Version};

use super::vocabulary::{Answer, Op, Text};
pub(crate) use translate::value;

/// The entries.
pub(crate) struct Pure {
    held: BTreeMap<Text, Held>,
    versions: HlcSource,
    limits: Limits,
    pub(crate) now_ms: u64,
}

struct Held {
    /// What a copy would send: packed.
    entry: Entry,
    /// As the table keeps it, if it is a large collection.
    open: Option<Collection>,
}

impl Held {
    fn as_ref(&self) -> EntryRef<'_> {
        EntryRef {
            data: if self.open.is_some() {
                &[]
            } else {
                &self.entry.data
            },
            open: self.open.as_ref(),
            ..self.entry.as_ref()
        }
    }
}

impl Pure {
    pub(crate) fn new(limits: Limits) -> Pure {
        Pure {
            held: BTreeMap::new(),
            versions: HlcSource::default(),
            limits,
            now_ms: 1_000_000,
        }
    }

    /// The key's entry at the moment, packed.
    pub(crate) fn get(&mut self, key: &Text) -> Option<&Entry> {
        let now = UnixMs(self.now_ms);
        let is_over = |held: &Held| held.entry.expires_at.is_some_and(|at| at <= now);
        if self.held.get(key).is_some_and(is_over) {
            self.held.remove(key);
        }
        self.held.get(key).map(|held| &held.entry)
    }

    /// Carries an operation out. `None` if no command is just this, or the answer was too long to be
    /// given, in which case nothing has changed.
    pub(crate) fn carry_out(&mut self, key: &Text, op: &Op) -> Option<Answer> {
        let command = translate::command(key, op, self.now_ms)?;
        self.get(key);
        let now = UnixMs(self.now_ms);
        let held = self.held.get(key);
        let seen = held.map(|held| held.entry.version);
        let versions = &mut self.versions;
        let next = || Version {
            hlc: versions.next(now, seen.map(|version| version.hlc)),
            node: NodeId(7),
        };
        let current = held.map(Held::as_ref);
        let packed = held.map(|held| held.entry.as_ref());
        let (effect, reply) = match apply(&command, current, now, next, &self.limits) {
            Ok(done) => done,
            Err(Error::AnswerTooLarge { .. }) => return None,
            Err(error) => return Some(translate::refusal(&error)),
        };
        assert!(!command.is_read() || effect == Effect::None, "{op:?}");
        // In whichever form it is kept, it means the same.
        let again = apply(&command, packed, now, || version_of(&effect), &self.limits);
        assert_eq!(again.as_ref().map(|(_, reply)| reply), Ok(&reply), "{op:?}");
        let told = (version_told(&reply), told_expiry(&reply));
        self.take(key, effect, op);
        let held = self.held.get(key).map(|held| &held.entry);
        if let (Some(version), expires_at) = told {
            assert_eq!(Some(version), held.map(Entry::etag), "{op:?}");
            assert_eq!(
                expires_at,
                held.and_then(|entry| entry.expires_at),
                "{op:?}"
            );
        }
        Some(translate::answer(op, reply))
    }

    fn take(&mut self, key: &Text, effect: Effect, op: &Op) {
        let before = self.held.get(key).map(|held| held.entry.clone());
        match effect {
            Effect::None => return,
            Effect::Delete => {
                assert!(self.held.remove(key).is_some(), "{op:?}");
                return;
            }
            Effect::Put(entry) => {
                let is_large = entry.data.len() >= OPEN_BYTES_MIN && entry.kind.is_collection();
                let open = is_large.then(|| Collection::unpack(entry.kind, &entry.data).unwrap());
                self.held.insert(key.clone(), Held { entry, open });
            }
            Effect::Change(changed) => {
                let held = self.held.get_mut(key).unwrap();
                let whole = changed.whole(held.entry.as_ref()).unwrap();
                assert_eq!(
                    Some(&whole),
                    changed.whole(held.as_ref()).as_ref(),
                    "{op:?}"
                );
                if let Some(open) = &mut held.open {
                    let room = open.memory_bytes() + open.growth_bytes(&changed.delta);
                    open.apply(&changed.delta);
                    // A map out of which much was removed may take more room than it says.
                    assert!(open.memory_bytes() <= 2 * room, "{op:?}");
                }
                held.entry = whole;
            }
        }
        let held = &self.held[key];
        if let Some(before) = before {
            assert!(held.entry.version > before.version, "{op:?}");
        }
        self.check(held, op);
    }

    /// What is true of every entry.
    fn check(&self, held: &Held, op: &Op) {
        let (entry, current) = (&held.entry, held.as_ref());
        assert!(entry.data.len() <= self.limits.value_bytes_max, "{op:?}");
        assert_eq!(current.stored(), &entry.data[..], "{op:?}");
        assert_eq!(current.stored_bytes(), entry.data.len(), "{op:?}");
        assert!(entry.tag.is_none_or(|tag| tag < entry.version), "{op:?}");
        match entry.kind {
            Kind::Json => {
                let text = smache::command::json::compact(&entry.data, self.limits.json_depth_max);
                assert_eq!(text.as_ref(), Ok(&entry.data), "{op:?}");
            }
            Kind::Counter => assert!(counter::parse(&entry.data).is_some(), "{op:?}"),
            Kind::Flag => assert!(matches!(&entry.data[..], b"true" | b"false"), "{op:?}"),
            Kind::Bytes => {}
            Kind::Set | Kind::Hash | Kind::List => {
                assert!(collection::check(entry.kind, &entry.data), "{op:?}");
                check_collection(current, entry);
            }
            Kind::Tombstone => panic!("{op:?} made a tombstone"),
        }
        let mut shown = Vec::new();
        show::write(current, &mut shown);
        assert_eq!(shown.len(), show::length(current), "{op:?}");
        let parsed: Result<serde_json::Value, _> = serde_json::from_slice(&shown);
        assert!(parsed.is_ok(), "{op:?}");
    }
}

/// Read in its one form it is what it is in the other, and its lengths are true.
fn check_collection(current: EntryRef<'_>, entry: &Entry) {
    let (view, packed) = (current.view(), entry.as_ref().view());
    assert!(view.iter().eq(packed.iter()));
    assert_eq!(view.len(), view.iter().count());
    assert_eq!(view.packed_bytes(), entry.data.len());
    assert!(!view.is_empty(), "an empty collection is none");
    let unpacked = Collection::unpack(entry.kind, &entry.data).unwrap();
    assert_eq!(unpacked.pack(), entry.data);
    let bytes = |(item, value): collection::Item<'_>| item.len() + value.map_or(0, <[u8]>::len);
    let item_bytes: usize = view.iter().map(bytes).sum();
    for open in current.open.into_iter().chain([&unpacked]) {
        assert_eq!(open.item_bytes(), item_bytes);
        assert_eq!(open.packed_bytes(), entry.data.len());
        assert!(open.memory_bytes() > item_bytes);
    }
}

/// The version of what an effect leaves.
fn version_of(effect: &Effect) -> Version {
    match effect {
        Effect::Put(entry) => entry.version,
        Effect::Change(changed) => changed.version,
        Effect::None | Effect::Delete => panic!("no version was asked for before"),
    }
}

fn version_told(reply: &Reply) -> Option<Version> {
    match reply {
        Reply::Stored { entry, .. } | Reply::Value(Some(entry)) => Some(entry.etag()),
        Reply::Answer { version, .. } => *version,
        Reply::Value(None) | Reply::Deleted(_) | Reply::ConditionFailed { .. } => None,
    }
}

fn told_expiry(reply: &Reply) -> Option<UnixMs> {
    match reply {
        Reply::Stored { entry, .. } | Reply::Value(Some(entry)) => entry.expires_at,
        Reply::Answer { expires_at, .. } => *expires_at,
        Reply::Value(None) | Reply::Deleted(_) | Reply::ConditionFailed { .. } => None,
    }
}
