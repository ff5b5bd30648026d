//! What two sides of a cut have written: none of it vanishes without being counted.

use std::collections::BTreeSet;

use bytes::Bytes;
use smache::key::Key;
use smache::version::Version;

use super::{Checker, Sort};

impl Checker {
    /// A node has applied a write, where it found `before`.
    pub fn applied(&mut self, key: &Key, before: Option<Version>, after: Option<Version>) {
        let key = Bytes::copy_from_slice(key.as_bytes());
        match (before, after) {
            (before, Some(after)) if Some(after) != before => {
                self.replaced.insert((key, after), before);
            }
            // A node without company keeps nothing of what it deletes: nobody can bring it back.
            (Some(before), None) => {
                self.deleted.entry(key).or_default().insert(before);
            }
            _ => {}
        }
    }

    /// Both sides have deleted a key: the older delete loses nothing.
    pub fn deleted_on_both(&mut self, key: &Bytes, older: Version) {
        self.deleted.entry(key.clone()).or_default().insert(older);
    }

    /// A version was deleted with all others, where its owner knew it.
    pub fn deleted_with_all(&mut self, key: &Bytes, version: Version) {
        self.deleted.entry(key.clone()).or_default().insert(version);
    }

    /// A node has counted an acknowledged write as discarded.
    pub fn discarded(&mut self, key: &Bytes, version: Version, by: Option<Version>) {
        let greater = by.is_none_or(|by| version < by);
        assert!(greater, "{version} lost against {by:?}");
        self.counts.discarded += 1;
        let of_key = self.discarded.entry(key.clone()).or_default();
        of_key.insert(version);
    }

    /// Every acknowledged write is there, was replaced by one that knew it, or was counted.
    pub(super) fn check_sides(&self, key: usize, found: Option<Version>) {
        let history = &self.keys[key];
        if history.sort == Sort::Timed {
            return;
        }
        let name = Bytes::copy_from_slice(history.key.as_bytes());
        let mut accounted = BTreeSet::new();
        let discarded = self.discarded.get(&name).cloned().unwrap_or_default();
        let deleted = self.deleted.get(&name).cloned().unwrap_or_default();
        let known = discarded.iter().chain(&deleted).copied();
        for version in found.into_iter().chain(known) {
            let mut at = Some(version);
            while let Some(version) = at.filter(|version| accounted.insert(*version)) {
                let replaced = self.replaced.get(&(name.clone(), version));
                at = replaced.copied().flatten();
            }
        }
        let writes = history.writes.iter().filter_map(|w| w.acknowledged());
        let increments = history.increments.iter();
        let increments = increments.filter_map(|i| i.done.and_then(|(_, version)| version));
        let lost = writes.chain(increments);
        let lost: BTreeSet<Version> = lost.filter(|v| !accounted.contains(v)).collect();
        let count = lost.len();
        if let Some(last) = lost.last() {
            panic!(
                "{}: {last} was acknowledged, is lost, and was not counted ({count} of them); \
                 found {found:?}, discarded {discarded:?}",
                history.key
            );
        }
    }
}
