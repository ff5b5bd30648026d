//! Sets, hashes and lists: how they are kept, and what a write changes in them.
//!
//! A collection has two forms. **Packed** it is one run of bytes: as it travels between nodes, and
//! as a small one lies in the table. **Open** it is a [`Collection`]: as a larger one is kept, so
//! that a write changes its place and nothing else. Commands do not tell the two apart: they read
//! through a [`View`] and answer with a [`Delta`], which is what is applied here, sent to the copies
//! and applied there.
//!
//! ```text
//! packed = count  item*            numbers as LEB128
//! item   = length bytes            of a set: a member; of a list: an element
//!                                  of a hash: a field, then its value
//! ```
//!
//! Invariants: a stored collection is not empty, since one that becomes empty is deleted. Members
//! and fields occur once. The order of items is the same at all copies: it follows from the order
//! of the deltas alone, and packing keeps it.

mod delta;
mod packed;
mod view;

use std::collections::VecDeque;

use bytes::Bytes;
use indexmap::{IndexMap, IndexSet};
use rapidhash::quality::RandomState;

use super::Kind;
use super::list::End;

pub use self::delta::{Delta, Splice};
pub(super) use self::packed::Packed;
pub use self::packed::{Packer, check};
pub use self::view::{Item, View};

/// From this packed length on a collection is kept open.
pub const OPEN_BYTES_MIN: usize = 512;

/// What the allocator takes for a piece beside its bytes, on average.
const PIECE_BYTES: usize = 8;

type Piece = Box<[u8]>;

/// A bucket of the maps also has its hash, and a place in the index.
const INDEX_BYTES: usize = 8 + 9;
/// The least that there is room for as soon as there is any.
const SLOTS_MIN: usize = 4;
const SET_SLOT_BYTES: usize = size_of::<Piece>() + INDEX_BYTES;
const HASH_SLOT_BYTES: usize = 2 * size_of::<Piece>() + INDEX_BYTES;

/// How much is added to a collection, at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// Members or elements; of a hash fields and values, each by itself.
    pub items: usize,
    /// Bytes of all of them.
    pub bytes: usize,
}

impl Added {
    /// What they add to the packed form, at most.
    #[must_use]
    pub fn packed_bytes(self) -> usize {
        let lengths = self.items.saturating_mul(packed::NUMBER_BYTES_MAX);
        let count = packed::NUMBER_BYTES_MAX;
        self.bytes.saturating_add(lengths).saturating_add(count)
    }
}

/// An open collection, which knows how much memory it takes and how long it would be packed.
#[derive(Clone, Debug)]
pub struct Collection {
    items: Items,
    /// Bytes of all items.
    item_bytes: usize,
    /// The packed length without the count.
    packed_bytes: usize,
}

#[derive(Clone, Debug)]
enum Items {
    Set(IndexSet<Piece, RandomState>),
    Hash(IndexMap<Piece, Piece, RandomState>),
    List(VecDeque<Piece>),
}

impl Collection {
    /// An empty one; `None` if values of this kind are no collections.
    #[must_use]
    pub fn new(kind: Kind) -> Option<Collection> {
        let items = match kind {
            Kind::Set => Items::Set(IndexSet::default()),
            Kind::Hash => Items::Hash(IndexMap::default()),
            Kind::List => Items::List(VecDeque::new()),
            _ => return None,
        };
        Some(Collection {
            items,
            item_bytes: 0,
            packed_bytes: 0,
        })
    }

    /// Opens a packed one; `None` if it is none.
    #[must_use]
    pub fn unpack(kind: Kind, data: &[u8]) -> Option<Collection> {
        let mut collection = Collection::new(kind)?;
        let mut items = Packed::new(data)?;
        match &mut collection.items {
            // The count is only claimed: nothing is reserved by it that the bytes do not bear out.
            Items::Set(set) => set.reserve(items.entries().min(data.len())),
            Items::Hash(hash) => hash.reserve((items.entries()).min(data.len() / 2)),
            Items::List(list) => list.reserve_exact(items.entries().min(data.len())),
        }
        for _ in 0..items.entries() {
            let item = items.next()?;
            match &mut collection.items {
                Items::Set(set) => {
                    if !set.insert(item.into()) {
                        return None;
                    }
                }
                Items::Hash(hash) => {
                    let value = items.next()?;
                    if hash.insert(item.into(), value.into()).is_some() {
                        return None;
                    }
                    collection.count_in(value);
                }
                Items::List(list) => list.push_back(item.into()),
            }
            collection.count_in(item);
        }
        items.is_at_end().then_some(collection)
    }

    /// What a packed one may take in memory when it is open.
    #[must_use]
    pub fn open_bytes(data: &[u8]) -> usize {
        let items = Packed::new(data).map_or(0, |packed| packed.entries().min(data.len()));
        // A map takes up to twice as many slots as it has items.
        size_of::<Collection>() + data.len() + items * 2 * (PIECE_BYTES + HASH_SLOT_BYTES)
    }

    /// The packed form.
    #[must_use]
    pub fn pack(&self) -> Bytes {
        let mut packer = Packer::with_capacity(self.len(), self.packed_bytes());
        match &self.items {
            Items::Set(set) => set.iter().for_each(|member| packer.push(member)),
            Items::Hash(hash) => hash.iter().for_each(|(field, value)| {
                packer.push(field);
                packer.push(value);
            }),
            Items::List(list) => list.iter().for_each(|element| packer.push(element)),
        }
        packer.finish()
    }

    /// What kind of value it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match &self.items {
            Items::Set(_) => Kind::Set,
            Items::Hash(_) => Kind::Hash,
            Items::List(_) => Kind::List,
        }
    }

    /// Members, fields or elements.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.items {
            Items::Set(set) => set.len(),
            Items::Hash(hash) => hash.len(),
            Items::List(list) => list.len(),
        }
    }

    /// Whether nothing is in it; stored collections never are.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that the packed form takes.
    #[must_use]
    pub fn packed_bytes(&self) -> usize {
        packed::number_bytes(self.len()) + self.packed_bytes
    }

    /// Bytes of all items together.
    #[must_use]
    pub fn item_bytes(&self) -> usize {
        self.item_bytes
    }

    /// Bytes that it takes in memory.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let (pieces, slots) = match &self.items {
            Items::Set(set) => (set.len(), set.capacity() * SET_SLOT_BYTES),
            Items::Hash(hash) => (2 * hash.len(), hash.capacity() * HASH_SLOT_BYTES),
            Items::List(list) => (list.len(), list.capacity() * size_of::<Piece>()),
        };
        size_of::<Collection>() + slots + self.item_bytes + pieces * PIECE_BYTES
    }

    /// What a delta may add to [`Collection::memory_bytes`]; about, since places in a map that have
    /// become free are not all used again.
    #[must_use]
    pub fn growth_bytes(&self, delta: &Delta) -> usize {
        self.growth_of_slots(delta.added()) + delta.bytes()
    }

    /// The same for items that are added one by one.
    #[must_use]
    pub fn growth_bytes_of(&self, added: Added) -> usize {
        let entries = match &self.items {
            Items::Hash(_) => added.items.div_ceil(2),
            Items::Set(_) | Items::List(_) => added.items,
        };
        self.growth_of_slots(entries) + added.bytes + added.items * PIECE_BYTES
    }

    fn growth_of_slots(&self, added: usize) -> usize {
        let (length, capacity, slot) = match &self.items {
            Items::Set(set) => (set.len(), set.capacity(), SET_SLOT_BYTES),
            Items::Hash(hash) => (hash.len(), hash.capacity(), HASH_SLOT_BYTES),
            Items::List(list) => (list.len(), list.capacity(), size_of::<Piece>()),
        };
        // What is added one by one may double the room just before the last of them.
        let wanted = length + added;
        let slots = if wanted > capacity {
            (2 * wanted).max(SLOTS_MIN).saturating_sub(capacity)
        } else {
            0
        };
        slots * slot
    }

    /// Bytes that the packed form takes once a delta that was made for it is applied.
    #[must_use]
    pub fn packed_bytes_after(&self, delta: &Delta) -> usize {
        let item = |item: &[u8]| packed::item_bytes(item.len());
        let pair = |(field, value): (&[u8], &[u8])| item(field) + item(value);
        let (length, mut gone, mut come) = (self.len(), 0, 0);
        let after = match (&self.items, delta) {
            (Items::Set(_), Delta::Set { removed, added }) => {
                gone = removed.iter().map(|member| item(member)).sum();
                come = added.iter().map(|member| item(member)).sum();
                (length + added.len()).saturating_sub(removed.len())
            }
            (Items::Hash(hash), Delta::Hash { removed, set }) => {
                let there = |field: &Bytes| {
                    let value = hash.get(&field[..])?;
                    Some(pair((field, value)))
                };
                let all = removed.iter().chain(set.iter().map(|(field, _)| field));
                gone = all.clone().filter_map(there).sum();
                come = set.iter().map(|(field, value)| pair((field, value))).sum();
                let present = all.filter(|field| hash.contains_key(&field[..])).count();
                (length + set.len()).saturating_sub(present)
            }
            (Items::List(list), Delta::List(splices)) => {
                // Only of the first is it known what stands there; where something comes, nothing
                // else goes.
                if let Some(first) = splices.first() {
                    let (at, removed) = (first.at as usize, first.removed as usize);
                    let stretch = list.iter().skip(at).take(removed);
                    gone = stretch.map(|element| item(element)).sum();
                }
                let inserted = splices.iter().flat_map(|splice| &splice.inserted);
                come = inserted.map(|element| item(element)).sum();
                let removed: u64 = splices.iter().map(|splice| splice.removed).sum();
                (length + delta.added()).saturating_sub(removed as usize)
            }
            _ => length,
        };
        packed::number_bytes(after) + (self.packed_bytes + come).saturating_sub(gone)
    }

    fn count_in(&mut self, item: &[u8]) {
        self.item_bytes += item.len();
        self.packed_bytes += packed::item_bytes(item.len());
    }

    fn count_out(&mut self, item: &[u8]) {
        self.item_bytes -= item.len();
        self.packed_bytes -= packed::item_bytes(item.len());
    }

    /// Changes it. What does not fit, such as a splice beyond the end, does nothing.
    pub fn apply(&mut self, delta: &Delta) {
        match delta {
            Delta::Expiry(_) => {}
            Delta::Set { removed, added } => {
                removed.iter().for_each(|member| self.remove(member));
                for member in added {
                    self.add(member);
                }
            }
            Delta::Hash { removed, set } => {
                removed.iter().for_each(|field| self.remove(field));
                for (field, value) in set {
                    self.set(field, value);
                }
            }
            Delta::List(splices) => splices.iter().for_each(|splice| self.splice(splice)),
        }
        self.tighten();
    }

    /// Adds a member to a set; whether it was not there.
    pub fn add(&mut self, member: &[u8]) -> bool {
        let Items::Set(set) = &mut self.items else {
            return false;
        };
        let is_new = !set.contains(member) && set.insert(member.into());
        if is_new {
            self.count_in(member);
        }
        is_new
    }

    /// Sets a field of a hash; whether it was not there.
    pub fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        let Items::Hash(hash) = &mut self.items else {
            return false;
        };
        let before = match hash.get_mut(field) {
            // What is as long takes the same memory.
            Some(place) if place.len() == value.len() => {
                place.copy_from_slice(value);
                return false;
            }
            Some(place) => Some(std::mem::replace(place, value.into())),
            None => {
                hash.insert(field.into(), value.into());
                None
            }
        };
        match &before {
            Some(before) => self.count_out(before),
            None => self.count_in(field),
        }
        self.count_in(value);
        before.is_none()
    }

    /// Adds an element to a list at one of its ends.
    pub fn push(&mut self, element: &[u8], end: End) {
        let Items::List(list) = &mut self.items else {
            return;
        };
        match end {
            End::Left => list.push_front(element.into()),
            End::Right => list.push_back(element.into()),
        }
        self.count_in(element);
    }

    /// Takes the element at one of a list's ends.
    pub fn pop(&mut self, end: End) -> Option<Box<[u8]>> {
        let Items::List(list) = &mut self.items else {
            return None;
        };
        let element = match end {
            End::Left => list.pop_front(),
            End::Right => list.pop_back(),
        }?;
        self.count_out(&element);
        self.tighten();
        Some(element)
    }

    fn remove(&mut self, item: &[u8]) {
        match &mut self.items {
            Items::Set(set) => {
                if set.swap_remove(item) {
                    self.count_out(item);
                }
            }
            Items::Hash(hash) => {
                if let Some(value) = hash.swap_remove(item) {
                    self.count_out(item);
                    self.count_out(&value);
                }
            }
            Items::List(_) => {}
        }
    }

    fn splice(&mut self, splice: &Splice) {
        let Items::List(list) = &mut self.items else {
            return;
        };
        let at = usize::try_from(splice.at).unwrap_or(usize::MAX);
        let removed = usize::try_from(splice.removed).unwrap_or(usize::MAX);
        if at > list.len() || removed > list.len() - at {
            return;
        }
        let gone: Vec<Piece> = match removed {
            0 => Vec::new(),
            1 => list.remove(at).into_iter().collect(),
            _ => list.drain(at..at + removed).collect(),
        };
        let inserted = splice
            .inserted
            .iter()
            .map(|element| Piece::from(&element[..]));
        if at == 0 {
            inserted.rev().for_each(|element| list.push_front(element));
        } else if at == list.len() {
            list.extend(inserted);
        } else if let [element] = &splice.inserted[..] {
            list.insert(at, element[..].into());
        } else if !splice.inserted.is_empty() {
            let tail = list.split_off(at);
            list.extend(inserted);
            list.extend(tail);
        }
        gone.iter().for_each(|element| self.count_out(element));
        let inserted = splice.inserted.iter();
        inserted.for_each(|element| self.count_in(element));
    }

    /// Gives room back that a far larger collection has left.
    fn tighten(&mut self) {
        const ROOM_MIN: usize = 64;
        match &mut self.items {
            Items::Set(set) if set.capacity() > 4 * set.len() + ROOM_MIN => {
                set.shrink_to(2 * set.len());
            }
            Items::Hash(hash) if hash.capacity() > 4 * hash.len() + ROOM_MIN => {
                hash.shrink_to(2 * hash.len());
            }
            Items::List(list) if list.capacity() > 4 * list.len() + ROOM_MIN => {
                list.shrink_to(2 * list.len());
            }
            _ => {}
        }
    }
}

impl PartialEq for Collection {
    fn eq(&self, other: &Collection) -> bool {
        match (&self.items, &other.items) {
            (Items::Set(a), Items::Set(b)) => a.iter().eq(b.iter()),
            (Items::Hash(a), Items::Hash(b)) => a.iter().eq(b.iter()),
            (Items::List(a), Items::List(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Collection {}

#[cfg(test)]
mod tests;
