//! Memory by the page, and values too long to lie in a segment.
//!
//! Segments and very long values are anonymous memory maps: a page costs nothing until it is
//! touched, and all of it returns to the operating system at the moment it is dropped. Shorter
//! external values come from the allocator, because a process may hold only some 65,000 maps.
//! Collections that are not small are kept open, so that a part of one can be changed.
//!
//! Invariant: [`Externals::bytes`] is what its values and its own list take, rounded up to pages.

use memmap2::{Advice, MmapMut};

use crate::command::Kind;
use crate::command::collection::{Collection, Delta, OPEN_BYTES_MIN};

/// What memory is committed in.
pub(super) const PAGE_BYTES: usize = 4096;
/// External values from this length on get a map of their own.
const MAP_BYTES_MIN: usize = 1 << 20;

/// `bytes` rounded up to whole pages.
pub(super) fn pages(bytes: usize) -> usize {
    bytes.saturating_add(PAGE_BYTES - 1) & !(PAGE_BYTES - 1)
}

/// A zeroed memory map; `None` if the system refuses.
pub(super) fn map(bytes: usize) -> Option<MmapMut> {
    let map = MmapMut::map_anon(bytes).ok()?;
    // A huge page would commit what nobody has touched. Systems without them refuse the advice,
    // and need none.
    #[cfg(target_os = "linux")]
    let _ = map.advise(Advice::NoHugePage);
    Some(map)
}

#[derive(Debug)]
enum Value {
    Free { next: Option<u32> },
    Heap(Box<[u8]>),
    Map { map: MmapMut, bytes: usize },
    Open(Box<Collection>),
}

/// Whether a value is kept open.
pub(super) fn opens(kind: Kind, bytes: usize) -> bool {
    kind.is_collection() && bytes >= OPEN_BYTES_MIN
}

impl Value {
    fn copy_of(kind: Kind, data: &[u8]) -> Option<Value> {
        if opens(kind, data.len())
            && let Some(collection) = Collection::unpack(kind, data)
        {
            return Some(Value::Open(Box::new(collection)));
        }
        if data.len() >= MAP_BYTES_MIN {
            let mut map = map(data.len())?;
            map.get_mut(..data.len())?.copy_from_slice(data);
            let bytes = data.len();
            return Some(Value::Map { map, bytes });
        }
        let mut heap = Vec::new();
        heap.try_reserve_exact(data.len()).ok()?;
        heap.extend_from_slice(data);
        Some(Value::Heap(heap.into_boxed_slice()))
    }

    fn data(&self) -> &[u8] {
        match self {
            Value::Free { .. } | Value::Open(_) => &[],
            Value::Heap(data) => data,
            Value::Map { map, bytes } => map.get(..*bytes).unwrap_or(&[]),
        }
    }

    /// What it takes, its place in the list aside.
    fn committed_bytes(&self) -> u64 {
        match self {
            Value::Open(collection) => collection.memory_bytes() as u64,
            value => pages(value.data().len()) as u64,
        }
    }
}

/// Values that lie outside the segments, by number.
#[derive(Debug, Default)]
pub(super) struct Externals {
    values: Vec<Value>,
    free: Option<u32>,
    value_bytes: u64,
}

impl Externals {
    pub(super) fn bytes(&self) -> u64 {
        self.value_bytes + (self.values.capacity() * size_of::<Value>()) as u64
    }

    /// What one more value of this length may add to [`Externals::bytes`].
    pub(super) fn growth(&self, kind: Kind, data: &[u8]) -> u64 {
        let list = if self.free.is_none() && self.values.len() == self.values.capacity() {
            self.values.capacity().max(4) * size_of::<Value>()
        } else {
            0
        };
        let value = if opens(kind, data.len()) {
            Collection::open_bytes(data)
        } else {
            pages(data.len())
        };
        value.saturating_add(list) as u64
    }

    /// Keeps a copy; `None` if memory or numbers have run out.
    pub(super) fn insert(&mut self, kind: Kind, data: &[u8]) -> Option<u32> {
        let value = Value::copy_of(kind, data)?;
        let bytes = value.committed_bytes();
        let number = match self.free {
            Some(number) => {
                let place = self.values.get_mut(number as usize)?;
                if let Value::Free { next } = *place {
                    self.free = next;
                }
                *place = value;
                number
            }
            None => {
                let number = u32::try_from(self.values.len()).ok()?;
                self.values.push(value);
                number
            }
        };
        self.value_bytes += bytes;
        Some(number)
    }

    pub(super) fn get(&self, number: u32) -> &[u8] {
        self.values.get(number as usize).map_or(&[], Value::data)
    }

    /// The collection that is kept open under a number.
    pub(super) fn open(&self, number: u32) -> Option<&Collection> {
        match self.values.get(number as usize) {
            Some(Value::Open(collection)) => Some(collection),
            _ => None,
        }
    }

    /// Bytes of a value's items.
    pub(super) fn data_bytes(&self, number: u32) -> usize {
        let open = self.open(number).map(Collection::item_bytes);
        open.unwrap_or_else(|| self.get(number).len())
    }

    /// What a value takes, its place in the list included.
    pub(super) fn committed_bytes(&self, number: u32) -> u64 {
        let value = self.values.get(number as usize);
        value.map_or(0, Value::committed_bytes) + size_of::<Value>() as u64
    }

    /// Changes an open collection.
    pub(super) fn change(&mut self, number: u32, delta: &Delta) {
        if let Some(Value::Open(collection)) = self.values.get_mut(number as usize) {
            self.value_bytes -= collection.memory_bytes() as u64;
            collection.apply(delta);
            self.value_bytes += collection.memory_bytes() as u64;
        }
    }

    /// Has an open collection altered, and counts by how many bytes of items it has grown; `None` if it
    /// is not there, or `alter` says so.
    pub(super) fn alter<R>(
        &mut self,
        number: u32,
        alter: impl FnOnce(&mut Collection) -> Option<R>,
    ) -> Option<(R, i64)> {
        let Some(Value::Open(collection)) = self.values.get_mut(number as usize) else {
            return None;
        };
        let memory = |collection: &Collection| collection.memory_bytes() as u64;
        let (before, items_before) = (memory(collection), collection.item_bytes());
        let altered = alter(collection)?;
        self.value_bytes = self.value_bytes - before + memory(collection);
        let grown = collection.item_bytes() as i64 - items_before as i64;
        Some((altered, grown))
    }

    pub(super) fn remove(&mut self, number: u32) {
        let Some(place) = self.values.get_mut(number as usize) else {
            return;
        };
        if matches!(place, Value::Free { .. }) {
            return;
        }
        self.value_bytes -= place.committed_bytes();
        *place = Value::Free { next: self.free };
        self.free = Some(number);
        if self.value_bytes == 0 {
            *self = Externals::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_bytes_and_numbers_are_used_again() {
        let mut externals = Externals::default();
        let a = externals.insert(Kind::Bytes, &[1; 5000]).unwrap();
        let b = externals
            .insert(Kind::Bytes, &vec![2; MAP_BYTES_MIN + 1])
            .unwrap();
        assert_eq!(externals.get(a), [1; 5000]);
        assert!(externals.get(b).iter().all(|x| *x == 2));
        assert_eq!(externals.get(b).len(), MAP_BYTES_MIN + 1);
        externals.remove(a);
        externals.remove(a);
        assert!(externals.get(a).is_empty());
        assert_eq!(externals.insert(Kind::Bytes, &[3; 9]), Some(a));
        assert_eq!(externals.get(a), [3; 9]);
        externals.remove(a);
        externals.remove(b);
        assert_eq!(externals.bytes(), 0);
    }
}
