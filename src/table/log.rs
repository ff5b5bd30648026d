//! Where entries lie: two queues of segments, written at their ends.
//!
//! A **handle** names an entry in 32 bits: the segment's slot above its offset in units of
//! [`ALIGN`]. With segments of 256 KiB there are 65,536 slots, 16 GiB a table; when slots run out
//! an append is refused, and the table evicts.
//!
//! Two numbers order segments. The *order* is the place in the queue, which is what eviction
//! follows; a compacted segment takes over the order of those it replaces. The *sequence* only
//! ever grows: every entry that is written or moved lands in a segment whose sequence lies at or
//! after every scan that is under way, because a scan that pauses seals the open segments it has
//! passed ([`Log::seal_before`]).
//!
//! Invariant: at most one segment of each queue is open, and it is the last in order. A sealed
//! segment without live bytes does not exist.

mod check;
mod compaction;

use std::collections::BTreeMap;

use super::entry::{ALIGN, Draft, FREQUENCY_MAX, Header, Nodes, set_frequency, set_hlc};
use super::memory::{Externals, pages};
use super::segment::{Queue, Segment};
use crate::clock::UnixMs;
use crate::command::EntryRef;
use crate::command::collection::{Collection, Delta};
use crate::version::{Hlc, Version};

const SEGMENT_BYTES_MIN: usize = 16 << 10;
const SEGMENT_BYTES_MAX: usize = 2 << 20;

/// What a header may grow by.
const TAG_AND_EXPIRY_BYTES: usize = 24;

/// One queue of segments.
#[derive(Debug, Default)]
struct Segments {
    by_order: BTreeMap<u64, u32>,
    open: Option<u32>,
    /// Bytes of live entries, external values included.
    bytes: u64,
    entries: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Log {
    segment_bytes: usize,
    offset_bits: u32,
    slots: Vec<Option<Segment>>,
    slots_free: Vec<u32>,
    queues: [Segments; 2],
    by_sequence: BTreeMap<u64, u32>,
    sequence_next: u64,
    externals: Externals,
    touched_bytes: u64,
    live_bytes: u64,
}

/// Where a walk over all entries stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    pub(super) sequence: u64,
    offset: usize,
    slot: Option<u32>,
}

/// Bits of a cursor that hold the offset in units of [`ALIGN`]; segments are at most 2 MiB.
const CURSOR_OFFSET_BITS: u32 = 20;

impl Walk {
    pub(super) fn from_number(number: u64) -> Walk {
        Walk {
            sequence: number >> CURSOR_OFFSET_BITS,
            offset: (number as usize & ((1 << CURSOR_OFFSET_BITS) - 1)) * ALIGN,
            slot: None,
        }
    }

    pub(super) fn number(self) -> u64 {
        self.sequence << CURSOR_OFFSET_BITS | (self.offset / ALIGN) as u64
    }
}

impl Log {
    /// Segments are a 256th of the limit, but of 16 to 256 KiB, and more only if there would be
    /// more than 32,768 of them.
    pub(super) fn new(limit_bytes: u64) -> Log {
        let share = (limit_bytes / 256).min(256 << 10);
        let bytes = share.max(limit_bytes >> 15).max(1) as usize;
        let segment_bytes = bytes
            .clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX)
            .next_power_of_two();
        Log {
            segment_bytes,
            offset_bits: (segment_bytes / ALIGN).ilog2(),
            slots: Vec::new(),
            slots_free: Vec::new(),
            queues: Default::default(),
            by_sequence: BTreeMap::new(),
            sequence_next: 0,
            externals: Externals::default(),
            touched_bytes: 0,
            live_bytes: 0,
        }
    }

    pub(super) fn segment_bytes(&self) -> usize {
        self.segment_bytes
    }

    /// Longer values lie outside. A key of any length and a value of this one fit a segment.
    pub(super) fn inline_max(&self) -> usize {
        self.segment_bytes / 4
    }

    /// What all of it holds committed.
    #[inline]
    pub(super) fn committed_bytes(&self) -> u64 {
        let lists = self.slots.capacity() * size_of::<Option<Segment>>();
        // A node of either map holds up to eleven pairs of 8 and 4 bytes, and is half full or more.
        let maps = self.by_sequence.len() * 2 * 24;
        self.touched_bytes + self.externals.bytes() + (lists + maps) as u64
    }

    /// Committed bytes of segments that hold no live entry's bytes.
    pub(super) fn waste_bytes(&self) -> u64 {
        self.touched_bytes - self.live_bytes
    }

    pub(super) fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    pub(super) fn external_bytes(&self) -> u64 {
        self.externals.bytes()
    }

    pub(super) fn queue_bytes(&self, queue: Queue) -> u64 {
        self.queues[queue as usize].bytes
    }

    pub(super) fn queue_entries(&self, queue: Queue) -> u64 {
        self.queues[queue as usize].entries
    }

    fn slots_max(&self) -> usize {
        1 << (32 - self.offset_bits)
    }

    #[inline]
    fn handle(&self, slot: u32, offset: usize) -> u32 {
        slot << self.offset_bits | (offset / ALIGN) as u32
    }

    #[inline]
    fn locate(&self, handle: u32) -> (u32, usize) {
        let offset = (handle & ((1 << self.offset_bits) - 1)) as usize * ALIGN;
        (handle >> self.offset_bits, offset)
    }

    #[inline]
    fn segment(&self, slot: u32) -> Option<&Segment> {
        self.slots.get(slot as usize)?.as_ref()
    }

    #[inline]
    fn segment_mut(&mut self, slot: u32) -> Option<&mut Segment> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// The bytes from an entry on. Handles come from the index or a walk, so there is one; were
    /// there none, zeros would read as an entry without a value.
    #[inline]
    fn bytes(&self, handle: u32) -> &[u8] {
        let (slot, offset) = self.locate(handle);
        self.segment(slot).map_or(&[0; 64], |s| s.at(offset))
    }

    #[inline]
    pub(super) fn header(&self, handle: u32) -> Header {
        Header::read(self.bytes(handle))
    }

    #[inline]
    pub(super) fn key(&self, handle: u32) -> &[u8] {
        let bytes = self.bytes(handle);
        Header::read(bytes).key(bytes)
    }

    #[inline]
    pub(super) fn is_expired(&self, handle: u32, now: UnixMs) -> bool {
        let bytes = self.bytes(handle);
        Header::read(bytes).is_expired(bytes, now)
    }

    #[inline]
    pub(super) fn expires_at(&self, handle: u32) -> Option<UnixMs> {
        let bytes = self.bytes(handle);
        Header::read(bytes).expires_at(bytes)
    }

    #[inline]
    pub(super) fn entry(&self, handle: u32, nodes: &Nodes) -> EntryRef<'_> {
        let bytes = self.bytes(handle);
        let header = Header::read(bytes);
        let entry = header.entry(bytes, self.value(header, bytes), nodes);
        if header.is_external() {
            let open = self.externals.open(header.external_number(bytes));
            return EntryRef { open, ..entry };
        }
        entry
    }

    #[inline]
    fn value<'a>(&'a self, header: Header, bytes: &'a [u8]) -> &'a [u8] {
        if header.is_external() {
            self.externals.get(header.external_number(bytes))
        } else {
            header.inline_value(bytes)
        }
    }

    /// Bytes of key and value.
    #[inline]
    pub(super) fn data_bytes(&self, handle: u32) -> u64 {
        let bytes = self.bytes(handle);
        let header = Header::read(bytes);
        let value = if header.is_external() {
            self.externals.data_bytes(header.external_number(bytes))
        } else {
            header.inline_bytes()
        };
        (header.key_bytes() + value) as u64
    }

    /// What the entry takes in memory, external value included.
    pub(super) fn memory_bytes(&self, handle: u32) -> u64 {
        let header = self.header(handle);
        let external = if header.is_external() {
            let number = header.external_number(self.bytes(handle));
            self.externals.committed_bytes(number)
        } else {
            0
        };
        header.size() as u64 + external
    }

    /// The entry's bytes, external value included: its weight in its queue.
    #[inline]
    fn weight(&self, handle: u32) -> u64 {
        let bytes = self.bytes(handle);
        let header = Header::read(bytes);
        let external = if header.is_external() {
            self.externals.data_bytes(header.external_number(bytes))
        } else {
            0
        };
        (header.size() + external) as u64
    }

    #[inline]
    pub(super) fn queue_of(&self, handle: u32) -> Queue {
        let (slot, _) = self.locate(handle);
        self.segment(slot).map_or(Queue::Small, |s| s.queue)
    }

    #[inline]
    pub(super) fn set_frequency(&mut self, handle: u32, frequency: u8) {
        let (slot, offset) = self.locate(handle);
        if let Some(segment) = self.segment_mut(slot) {
            set_frequency(segment.at_mut(offset), frequency);
        }
    }

    /// What [`Log::append`] may add to [`Log::committed_bytes`].
    pub(super) fn growth(&self, queue: Queue, draft: &Draft<'_>) -> u64 {
        let size = draft.header.size();
        let open = self.queues[queue as usize].open;
        let open = open.and_then(|slot| self.segment(slot));
        let segment = match open.filter(|s| s.has_room(size)) {
            Some(segment) => segment.growth(size),
            None => {
                let full = self.slots_free.is_empty() && self.slots.len() == self.slots.capacity();
                let list = if full { self.slots.len().max(4) } else { 0 };
                pages(size) + list * size_of::<Option<Segment>>() + 48
            }
        };
        let external = if draft.header.is_external() {
            self.externals.growth(draft.kind, draft.data)
        } else {
            0
        };
        segment as u64 + external
    }

    /// Writes an entry at the end of a queue; `None`, and nothing changed, if slots or the
    /// system's memory have run out.
    pub(super) fn append(&mut self, queue: Queue, draft: &Draft<'_>, frequency: u8) -> Option<u32> {
        let mut external = 0;
        if draft.header.is_external() {
            external = self.externals.insert(draft.kind, draft.data)?;
        }
        let Some((slot, offset)) = self.push(queue, draft.header.size()) else {
            if draft.header.is_external() {
                self.externals.remove(external);
            }
            return None;
        };
        if let Some(segment) = self.segment_mut(slot) {
            draft.write(segment.at_mut(offset), frequency, external);
        }
        let handle = self.handle(slot, offset);
        self.weigh_in(queue, self.weight(handle));
        Some(handle)
    }

    /// Writes over an entry that [`Header::fits_in_place_of`] allows it for.
    pub(super) fn overwrite(&mut self, handle: u32, draft: &Draft<'_>, frequency: u8) {
        let (slot, offset) = self.locate(handle);
        if let Some(segment) = self.segment_mut(slot) {
            draft.write(segment.at_mut(offset), frequency, 0);
        }
    }

    /// What a change of an external value may add to [`Log::committed_bytes`].
    pub(super) fn growth_by(&self, handle: u32, delta: &Delta) -> u64 {
        let bytes = self.bytes(handle);
        let header = Header::read(bytes);
        let open = header.is_external().then(|| header.external_number(bytes));
        let open = open.and_then(|number| self.externals.open(number));
        let entry = header.size() + TAG_AND_EXPIRY_BYTES;
        (pages(entry) + open.map_or(0, |open| open.growth_bytes(delta))) as u64
    }

    /// The collection of an entry that is kept open.
    #[inline]
    pub(super) fn open(&self, handle: u32) -> Option<&Collection> {
        let bytes = self.bytes(handle);
        let header = Header::read(bytes);
        let number = header.is_external().then(|| header.external_number(bytes));
        self.externals.open(number?)
    }

    /// As [`Header::version_without_tag`].
    #[inline]
    pub(super) fn version_without_tag(&self, handle: u32, nodes: &Nodes) -> Option<Version> {
        let bytes = self.bytes(handle);
        Header::read(bytes).version_without_tag(bytes, nodes)
    }

    /// Has an open collection altered, and counts by how many bytes of items it has grown.
    pub(super) fn alter<R>(
        &mut self,
        handle: u32,
        alter: impl FnOnce(&mut Collection) -> Option<R>,
    ) -> Option<(R, i64)> {
        let bytes = self.bytes(handle);
        let number = Header::read(bytes).external_number(bytes);
        let (altered, grown) = self.externals.alter(number, alter)?;
        let queue = self.queue_of(handle);
        let queue = &mut self.queues[queue as usize];
        queue.bytes = queue.bytes.wrapping_add_signed(grown);
        Some((altered, grown))
    }

    /// Sets when an entry was written, and counts that as a use.
    #[inline]
    pub(super) fn renew(&mut self, handle: u32, hlc: Hlc) {
        let frequency = (self.header(handle).frequency() + 1).min(FREQUENCY_MAX);
        let (slot, offset) = self.locate(handle);
        if let Some(segment) = self.segment_mut(slot) {
            let bytes = segment.at_mut(offset);
            set_frequency(bytes, frequency);
            set_hlc(bytes, hlc);
        }
    }

    /// Changes an external value, and writes the entry anew around it. The new handle, or `None`,
    /// and nothing changed, if there is no room.
    pub(super) fn change(
        &mut self,
        handle: u32,
        draft: &Draft<'_>,
        delta: &Delta,
        frequency: u8,
    ) -> Option<u32> {
        let before = self.weight(handle);
        let bytes = self.bytes(handle);
        let (header, number) = (
            Header::read(bytes),
            Header::read(bytes).external_number(bytes),
        );
        let queue = self.queue_of(handle);
        if !draft.header.fits_over(header) {
            let (slot, offset) = self.push(queue, draft.header.size())?;
            if let Some(segment) = self.segment_mut(slot) {
                draft.write(segment.at_mut(offset), frequency, number);
            }
            let new = self.handle(slot, offset);
            self.bury(handle, before);
            self.externals.change(number, delta);
            self.weigh_in(queue, self.weight(new));
            return Some(new);
        }
        let (slot, offset) = self.locate(handle);
        if let Some(segment) = self.segment_mut(slot) {
            draft.write(segment.at_mut(offset), frequency, number);
        }
        self.externals.change(number, delta);
        let after = self.weight(handle);
        let queue = &mut self.queues[queue as usize];
        queue.bytes = queue.bytes - before + after;
        Some(handle)
    }

    #[inline]
    fn weigh_in(&mut self, queue: Queue, weight: u64) {
        let queue = &mut self.queues[queue as usize];
        queue.bytes += weight;
        queue.entries += 1;
    }

    /// Room for an entry in the open segment of a queue, or in a new one.
    fn push(&mut self, queue: Queue, size: usize) -> Option<(u32, usize)> {
        let open = self.queues[queue as usize].open;
        let fits = |slot: &u32| self.segment(*slot).is_some_and(|s| s.has_room(size));
        let slot = match open.filter(fits) {
            Some(slot) => slot,
            None => {
                let slot = self.add_segment(queue)?;
                self.seal(queue);
                self.queues[queue as usize].open = Some(slot);
                slot
            }
        };
        let segment = self.segment_mut(slot)?;
        let before = segment.touched();
        let offset = segment.push(size);
        let grown = segment.touched() - before;
        self.touched_bytes += grown as u64;
        self.live_bytes += size as u64;
        Some((slot, offset))
    }

    /// A new segment at the end of a queue; `None` changes nothing.
    fn add_segment(&mut self, queue: Queue) -> Option<u32> {
        let sequence = self.sequence_next;
        let segment = Segment::new(self.segment_bytes, queue, sequence, sequence)?;
        let slot = self.free_slot()?;
        self.sequence_next += 1;
        self.insert_segment(slot, segment);
        Some(slot)
    }

    fn free_slot(&mut self) -> Option<u32> {
        if self.slots_free.is_empty() && self.slots.len() < self.slots_max() {
            self.slots.push(None);
            self.slots_free.push((self.slots.len() - 1) as u32);
        }
        self.slots_free.pop()
    }

    fn insert_segment(&mut self, slot: u32, segment: Segment) {
        let (queue, order, sequence) = (segment.queue, segment.order, segment.sequence);
        self.touched_bytes += segment.touched() as u64;
        self.live_bytes += segment.live() as u64;
        self.slots[slot as usize] = Some(segment);
        self.queues[queue as usize].by_order.insert(order, slot);
        self.by_sequence.insert(sequence, slot);
    }

    /// Forgets a segment and gives its memory back.
    fn drop_segment(&mut self, slot: u32) -> Option<Segment> {
        let segment = self.slots.get_mut(slot as usize)?.take()?;
        let queue = &mut self.queues[segment.queue as usize];
        queue.by_order.remove(&segment.order);
        if queue.open == Some(slot) {
            queue.open = None;
        }
        self.by_sequence.remove(&segment.sequence);
        self.touched_bytes -= segment.touched() as u64;
        self.live_bytes -= segment.live() as u64;
        self.slots_free.push(slot);
        Some(segment)
    }

    /// Closes the open segment of a queue; an empty one is dropped.
    fn seal(&mut self, queue: Queue) {
        let open = self.queues[queue as usize].open.take();
        if let Some(slot) = open
            && self.segment(slot).is_some_and(|s| s.live() == 0)
        {
            self.drop_segment(slot);
        }
    }

    /// Closes the open segments that a scan has passed, so that nothing is written behind it.
    pub(super) fn seal_before(&mut self, sequence: u64) {
        for queue in Queue::ALL {
            let open = self.queues[queue as usize].open;
            let passed = |slot: u32| self.segment(slot).is_some_and(|s| s.sequence < sequence);
            if open.is_some_and(passed) {
                self.seal(queue);
            }
        }
    }

    /// Gives back open segments in which nothing lives, and the lists when there is no other.
    pub(super) fn drop_empty(&mut self) {
        for queue in Queue::ALL {
            let open = self.queues[queue as usize].open;
            let empty = |slot: u32| self.segment(slot).is_some_and(|s| s.live() == 0);
            if open.is_some_and(empty) {
                self.seal(queue);
            }
        }
        if self.by_sequence.is_empty() {
            self.slots = Vec::new();
            self.slots_free = Vec::new();
        }
    }

    /// Removes an entry and its external value.
    pub(super) fn remove(&mut self, handle: u32) {
        let bytes = self.bytes(handle);
        let header = Header::read(bytes);
        let external = header.is_external().then(|| header.external_number(bytes));
        let weight = self.weight(handle);
        if let Some(number) = external {
            self.externals.remove(number);
        }
        self.bury(handle, weight);
    }

    fn bury(&mut self, handle: u32, weight: u64) {
        let (slot, offset) = self.locate(handle);
        let Some(segment) = self.segment_mut(slot) else {
            return;
        };
        let before = segment.live();
        segment.bury(offset);
        let (live, at) = (segment.live(), segment.queue);
        self.live_bytes -= (before - live) as u64;
        let queue = &mut self.queues[at as usize];
        queue.bytes -= weight;
        queue.entries -= 1;
        if live > 0 {
            return;
        }
        if queue.open == Some(slot) {
            self.rewind(slot);
        } else {
            self.drop_segment(slot);
        }
    }

    /// Lets an open segment without live entries start over, as if it were new.
    fn rewind(&mut self, slot: u32) {
        let sequence = self.sequence_next;
        let Some(segment) = self.segment_mut(slot) else {
            return;
        };
        let (order_old, sequence_old) = (segment.order, segment.sequence);
        segment.rewind(sequence, sequence);
        let queue = segment.queue;
        self.sequence_next += 1;
        self.by_sequence.remove(&sequence_old);
        self.by_sequence.insert(sequence, slot);
        let queue = &mut self.queues[queue as usize];
        queue.by_order.remove(&order_old);
        queue.by_order.insert(sequence, slot);
    }

    /// The oldest live entry of a queue. Its segment is closed: whatever is moved goes elsewhere.
    pub(super) fn oldest(&mut self, queue: Queue) -> Option<u32> {
        loop {
            let (_, slot) = self.queues[queue as usize].by_order.first_key_value()?;
            let slot = *slot;
            if self.queues[queue as usize].open == Some(slot) {
                if self.queues[queue as usize].entries == 0 {
                    return None;
                }
                self.seal(queue);
            }
            let segment = self.segment_mut(slot)?;
            while segment.walked < segment.used() {
                let offset = segment.walked;
                let header = segment.header(offset);
                if !header.is_dead() {
                    return Some(self.handle(slot, offset));
                }
                segment.walked += header.size();
            }
            // Sealed and without live entries: the invariant says that this cannot be.
            self.drop_segment(slot)?;
        }
    }

    /// Moves an entry to the end of a queue; `None`, and nothing changed, if there is no room.
    pub(super) fn relocate(&mut self, handle: u32, queue: Queue, frequency: u8) -> Option<u32> {
        let weight = self.weight(handle);
        let size = self.header(handle).size();
        let (from, from_offset) = self.locate(handle);
        if self.queues[queue as usize].open == Some(from) {
            self.seal(queue);
        }
        let (to, to_offset) = self.push(queue, size)?;
        if let Ok([Some(source), Some(target)]) =
            self.slots.get_disjoint_mut([from as usize, to as usize])
        {
            let target = target.at_mut(to_offset);
            target[..size].copy_from_slice(&source.at(from_offset)[..size]);
            set_frequency(target, frequency);
        }
        self.weigh_in(queue, weight);
        self.bury(handle, weight);
        Some(self.handle(to, to_offset))
    }

    /// A walk that begins with a segment, any one of them by a number drawn at random.
    pub(super) fn walk_anywhere(&self, drawn: u64) -> Option<Walk> {
        let first = drawn.checked_rem(self.slots.len() as u64)? as usize;
        let (before, from) = self.slots.split_at(first);
        let segment = from.iter().chain(before).flatten().next()?;
        Some(Walk {
            sequence: segment.sequence,
            offset: 0,
            slot: None,
        })
    }

    /// The next entry of a walk, dead or alive; `None` at the end.
    pub(super) fn walk(&self, walk: &mut Walk) -> Option<(u32, Header)> {
        loop {
            let same = |slot: &u32| {
                self.segment(*slot)
                    .is_some_and(|s| s.sequence == walk.sequence)
            };
            let slot = match walk.slot.filter(same) {
                Some(slot) => slot,
                None => {
                    let (sequence, slot) = self.by_sequence.range(walk.sequence..).next()?;
                    if *sequence != walk.sequence {
                        walk.offset = 0;
                    }
                    walk.sequence = *sequence;
                    walk.slot = Some(*slot);
                    *slot
                }
            };
            let segment = self.segment(slot)?;
            if walk.offset >= segment.used() {
                walk.sequence += 1;
                walk.offset = 0;
                walk.slot = None;
                continue;
            }
            let header = segment.header(walk.offset);
            let handle = self.handle(slot, walk.offset);
            walk.offset += header.size();
            return Some((handle, header));
        }
    }
}
