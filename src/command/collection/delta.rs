//! What a write changes in an entry that stays.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::clock::UnixMs;

/// See the module. A delta belongs to the entry that it was made for: it is applied to that, and to
/// copies of that, and to nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Delta {
    /// The value stays; only its expiry changes.
    Expiry(Option<UnixMs>),
    /// Members go, then others come.
    Set {
        /// Those that go.
        removed: Vec<Bytes>,
        /// Those that come.
        added: Vec<Bytes>,
    },
    /// Fields go, then others are set.
    Hash {
        /// Those that go.
        removed: Vec<Bytes>,
        /// Those that are set, with their values.
        set: Vec<(Bytes, Bytes)>,
    },
    /// Stretches are replaced, one after another.
    List(Vec<Splice>),
}

/// A stretch of a list that is replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Splice {
    /// Where it begins, when those before it have been applied.
    pub at: u64,
    /// How many elements go.
    pub removed: u64,
    /// What takes their place.
    pub inserted: Vec<Bytes>,
}

impl Delta {
    /// Items that come.
    #[must_use]
    pub fn added(&self) -> usize {
        match self {
            Delta::Expiry(_) => 0,
            Delta::Set { added, .. } => added.len(),
            Delta::Hash { set, .. } => set.len(),
            Delta::List(splices) => splices.iter().map(|splice| splice.inserted.len()).sum(),
        }
    }

    /// Bytes of what is added, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        const ITEM_BYTES: usize = 8;
        let sum = |items: &[Bytes]| -> usize { items.iter().map(|i| i.len() + ITEM_BYTES).sum() };
        match self {
            Delta::Expiry(_) => ITEM_BYTES,
            Delta::Set { removed, added } => sum(removed) + sum(added),
            Delta::Hash { removed, set } => {
                let set = set.iter();
                sum(removed)
                    + set
                        .map(|(f, v)| f.len() + v.len() + 2 * ITEM_BYTES)
                        .sum::<usize>()
            }
            Delta::List(splices) => splices
                .iter()
                .map(|splice| 2 * ITEM_BYTES + sum(&splice.inserted))
                .sum(),
        }
    }
}
