//! A segment: a stretch of memory that entries are appended to, one after another.
//!
//! Invariant: from 0 to `used` it is filled with whole entries, dead ones marked as such, and
//! `live` is the sum of the sizes of those that are not.

use memmap2::MmapMut;

use super::entry::{Header, set_dead};
use super::memory::{map, pages};

/// The two queues of S3-FIFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    /// Where new keys go, a tenth of the bytes.
    Small = 0,
    /// Where keys go that were asked for again.
    Main = 1,
}

impl Queue {
    /// Both.
    pub(super) const ALL: [Queue; 2] = [Queue::Small, Queue::Main];
}

/// See the module.
#[derive(Debug)]
pub(super) struct Segment {
    memory: MmapMut,
    pub(super) queue: Queue,
    /// Its place in the queue; compaction hands it on.
    pub(super) order: u64,
    /// Its place in a scan; never used twice.
    pub(super) sequence: u64,
    used: usize,
    live: usize,
    touched: usize,
    /// Eviction has dealt with everything before this offset.
    pub(super) walked: usize,
}

impl Segment {
    /// An empty one with room for `bytes`; `None` if the system refuses memory.
    pub(super) fn new(bytes: usize, queue: Queue, order: u64, sequence: u64) -> Option<Segment> {
        Some(Segment {
            memory: map(bytes)?,
            queue,
            order,
            sequence,
            used: 0,
            live: 0,
            touched: 0,
            walked: 0,
        })
    }

    #[inline]
    pub(super) fn used(&self) -> usize {
        self.used
    }

    #[inline]
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// Bytes of the pages that were ever written to.
    #[inline]
    pub(super) fn touched(&self) -> usize {
        self.touched
    }

    #[inline]
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.memory.len() - self.used >= bytes
    }

    /// What an append would add to [`Segment::touched`].
    #[inline]
    pub(super) fn growth(&self, bytes: usize) -> usize {
        pages(self.used + bytes).saturating_sub(self.touched)
    }

    /// The offset of a new live entry of that size, which the caller writes now.
    #[inline]
    pub(super) fn push(&mut self, bytes: usize) -> usize {
        let offset = self.used;
        self.used += bytes;
        self.live += bytes;
        self.touched = self.touched.max(pages(self.used));
        offset
    }

    /// The bytes from an entry on.
    #[inline]
    pub(super) fn at(&self, offset: usize) -> &[u8] {
        &self.memory[offset..]
    }

    #[inline]
    pub(super) fn at_mut(&mut self, offset: usize) -> &mut [u8] {
        &mut self.memory[offset..]
    }

    #[inline]
    pub(super) fn header(&self, offset: usize) -> Header {
        Header::read(self.at(offset))
    }

    /// Marks an entry dead.
    pub(super) fn bury(&mut self, offset: usize) {
        self.live -= self.header(offset).size();
        set_dead(self.at_mut(offset));
    }

    /// Offsets of the live entries.
    pub(super) fn live_offsets(&self) -> impl Iterator<Item = usize> {
        let mut offset = 0;
        std::iter::from_fn(move || {
            while offset < self.used {
                let (at, header) = (offset, self.header(offset));
                offset += header.size();
                if !header.is_dead() {
                    return Some(at);
                }
            }
            None
        })
    }

    /// Starts over from the beginning; only dead entries are lost.
    pub(super) fn rewind(&mut self, order: u64, sequence: u64) {
        self.order = order;
        self.sequence = sequence;
        self.used = 0;
        self.walked = 0;
    }
}
