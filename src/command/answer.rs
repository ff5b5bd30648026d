//! What typed operations answer.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Kind, json};
use crate::clock::UnixMs;

/// See the module. Doors print it: which form is the right one follows from what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// There is no such key, field or element; or a condition of the operation did not hold.
    Nothing,
    /// It was done.
    Done,
    /// A count, a length, a place, a sum; 1 and 0 for yes and no.
    Integer(i64),
    /// One value.
    Bytes(Bytes),
    /// Values in order; `None` for what is not there.
    List(Vec<Option<Bytes>>),
    /// Numbers in order; `None` for what has none.
    Integers(Vec<Option<i64>>),
    /// Fields with their values.
    Pairs(Vec<(Bytes, Bytes)>),
    /// A stretch of a scan.
    Scanned {
        /// Where to go on; 0 when the scan is complete.
        next: u64,
        /// Members; or fields and values in turn.
        items: Vec<Bytes>,
    },
    /// What is known of a value without reading it.
    Described(Described),
    /// What an operation on a document answers.
    Document(json::Answer),
    /// What is known of a value after a look into it.
    Inspected(Inspected),
}

/// See [`Answer::Described`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Described {
    /// What it is.
    pub kind: Kind,
    /// When it expires; `None` never.
    pub expires_at: Option<UnixMs>,
    /// Bytes of the value in its stored form.
    pub bytes: u64,
    /// Members, fields or elements of a collection; of other values their bytes.
    pub length: u64,
    /// Whether it is kept in one run of bytes.
    pub is_packed: bool,
}

/// See [`Answer::Inspected`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspected {
    /// What it is.
    pub kind: Kind,
    /// Members, fields or elements of a collection; of other values their bytes.
    pub length: u64,
    /// Bytes of the longest item; `None` of a collection that was not looked into, being longer than
    /// was asked for.
    pub longest_bytes: Option<u64>,
    /// Whether all of it that was looked into is whole numbers of 64 bits, as they are written.
    pub is_integers: bool,
    /// Bytes of memory that the entry takes, its key included; 0 where no table has said it.
    pub memory_bytes: u64,
    /// How often it was used of late, as eviction counts it.
    pub uses: u8,
}

impl Answer {
    /// Bytes of what is in it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        const ITEM_BYTES: usize = 8;
        match self {
            Answer::Nothing | Answer::Done | Answer::Integer(_) => ITEM_BYTES,
            Answer::Described(_) => size_of::<Described>(),
            Answer::Inspected(_) => size_of::<Inspected>(),
            Answer::Bytes(bytes) => bytes.len(),
            Answer::Document(answer) => answer.bytes(),
            Answer::List(items) => {
                let length = |item: &Option<Bytes>| item.as_ref().map_or(0, Bytes::len);
                items.iter().map(|item| length(item) + ITEM_BYTES).sum()
            }
            Answer::Integers(numbers) => numbers.len() * ITEM_BYTES,
            Answer::Pairs(pairs) => {
                let pairs = pairs.iter();
                pairs.map(|(f, v)| f.len() + v.len() + 2 * ITEM_BYTES).sum()
            }
            Answer::Scanned { items, .. } => items.iter().map(|i| i.len() + ITEM_BYTES).sum(),
        }
    }
}
