//! Timers: a hierarchical timing wheel (Varghese and Lauck, SOSP'87) of key hashes.
//!
//! An item is the 32-bit hash of a key and nothing else, four bytes. It says: look at this key's
//! entry now. The table then expires it, or adds it again if its time lies later, or forgets it if
//! it is gone; so the slots of the coarser levels need not know exact times, and an entry whose
//! expiry is moved back needs no second item.
//!
//! Invariant: an item is handed out no earlier than its slot begins and, once `next` is called
//! with the tick of its time or a later one, no later than that.

use crate::clock::UnixMs;

/// One tick is 2^7 = 128 ms: memory of expired entries is back well within a second.
const TICK_SHIFT: u32 = 7;
const LEVELS: usize = 6;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
const CHUNK: usize = 64;
/// A chunk, and twice its place in the list, for the room that lists keep free.
const CHUNK_BYTES: u64 = CHUNK as u64 * 4 + 16;

/// Hashes in chunks, so that a long list grows without being copied and leaves no hole.
#[derive(Debug, Default)]
struct List {
    // Boxed, because that is the point: the list itself stays short.
    #[allow(clippy::vec_box)]
    chunks: Vec<Box<[u32; CHUNK]>>,
    len: usize,
}

impl List {
    fn push(&mut self, item: u32) {
        if self.len.is_multiple_of(CHUNK) {
            self.chunks.push(Box::new([0; CHUNK]));
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk[self.len % CHUNK] = item;
            self.len += 1;
        }
    }

    fn pop(&mut self) -> Option<u32> {
        let item = self.chunks.last()?[(self.len - 1) % CHUNK];
        self.len -= 1;
        if self.len.is_multiple_of(CHUNK) {
            self.chunks.pop();
        }
        Some(item)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Wheel {
    /// Everything up to this tick has been moved to `due`.
    tick: u64,
    /// Level by level; empty until the first item comes.
    slots: Vec<List>,
    level_items: [usize; LEVELS],
    due: Vec<List>,
    items: usize,
    chunks: usize,
}

fn tick_of(at: UnixMs) -> u64 {
    at.0 >> TICK_SHIFT
}

impl Wheel {
    pub(super) fn items(&self) -> usize {
        self.items
    }

    pub(super) fn bytes(&self) -> u64 {
        self.chunks as u64 * CHUNK_BYTES + (self.slots.len() * size_of::<List>()) as u64
    }

    /// What one more item may add to [`Wheel::bytes`].
    pub(super) fn growth(&self) -> u64 {
        let slots = if self.slots.is_empty() {
            (LEVELS * SLOTS * size_of::<List>()) as u64
        } else {
            0
        };
        slots + CHUNK_BYTES
    }

    /// Whether the clock has stepped back so far behind the wheel that timers would come late.
    pub(super) fn is_ahead_of(&self, now: UnixMs) -> bool {
        self.items > 0 && self.tick > tick_of(now) + 4
    }

    /// Hands `hash` out again once `expires_at` has come, or earlier.
    pub(super) fn add(&mut self, hash: u32, expires_at: UnixMs, now: UnixMs) {
        if self.items == 0 {
            self.tick = tick_of(now);
        }
        if self.slots.is_empty() {
            self.slots.resize_with(LEVELS * SLOTS, List::default);
        }
        // The tick after the one in which it falls, so that it is due when handed out.
        let span_max = (1 << (SLOT_BITS * LEVELS as u32)) - 1;
        let tick = (tick_of(expires_at) + 1).max(self.tick + 1);
        let tick = tick.min(self.tick.saturating_add(span_max));
        let ahead = tick - self.tick;
        let level = (ahead.ilog2() / SLOT_BITS) as usize;
        let slot = (tick >> (SLOT_BITS * level as u32)) as usize % SLOTS;
        let list = &mut self.slots[level * SLOTS + slot];
        let before = list.chunks.len();
        list.push(hash);
        self.chunks += list.chunks.len() - before;
        self.level_items[level] += 1;
        self.items += 1;
    }

    /// The next hash to look at, if there is one up to `now`.
    pub(super) fn next(&mut self, now: UnixMs) -> Option<u32> {
        loop {
            while let Some(list) = self.due.last_mut() {
                let before = list.chunks.len();
                let item = list.pop();
                self.chunks -= before - list.chunks.len();
                if item.is_some() {
                    self.items -= 1;
                    return item;
                }
                self.due.pop();
            }
            if !self.advance(tick_of(now)) {
                return None;
            }
        }
    }

    /// Goes to the next tick at which a slot with items may begin; false if that lies beyond.
    fn advance(&mut self, now: u64) -> bool {
        if self.tick >= now {
            return false;
        }
        let empty = self.level_items.iter().take_while(|n| **n == 0).count();
        let stride = 1u64 << (SLOT_BITS * empty.min(LEVELS - 1) as u32);
        let next = (self.tick / stride + 1).saturating_mul(stride);
        if empty == LEVELS || next > now {
            self.tick = now;
            return false;
        }
        self.tick = next;
        for level in 0..LEVELS {
            let shift = SLOT_BITS * level as u32;
            if next & ((1 << shift) - 1) != 0 {
                break;
            }
            let slot = (next >> shift) as usize % SLOTS;
            let list = std::mem::take(&mut self.slots[level * SLOTS + slot]);
            self.level_items[level] -= list.len;
            self.due.push(list);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Drives a wheel as the table does; returns when each item was handed out for good.
    fn drive(wheel: &mut Wheel, times: &[u64], now: u64) -> Vec<usize> {
        let mut fired = Vec::new();
        while let Some(item) = wheel.next(UnixMs(now)) {
            let at = times[item as usize];
            if at <= now {
                fired.push(item as usize);
            } else {
                wheel.add(item, UnixMs(at), UnixMs(now));
            }
        }
        fired
    }

    #[test]
    fn every_item_comes_after_its_time_and_within_a_tick() {
        let start = 1_700_000_000_000;
        let mut seed = 7u64;
        let times: Vec<u64> = (0..20_000)
            .map(|n| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                start + (seed >> 33) % [500, 60_000, 8_000_000, 400_000_000][n % 4]
            })
            .collect();
        let mut wheel = Wheel::default();
        for (item, at) in times.iter().enumerate() {
            wheel.add(item as u32, UnixMs(*at), UnixMs(start));
        }
        let mut open: Vec<bool> = vec![true; times.len()];
        let mut now = start;
        while now < start + 400_100_000 {
            now += if now < start + 100_000 { 50 } else { 700_000 };
            for item in drive(&mut wheel, &times, now) {
                assert!(std::mem::take(&mut open[item]), "{item} came twice");
            }
            for (item, open) in open.iter().enumerate().filter(|(_, open)| **open) {
                assert!(times[item] + 256 > now, "{item} is late, {open}");
            }
        }
        assert!(!open.contains(&true));
        assert_eq!((wheel.items(), wheel.chunks), (0, 0));
    }

    #[test]
    fn extreme_times_and_jumps_neither_hang_nor_panic() {
        let mut wheel = Wheel::default();
        wheel.add(0, UnixMs(u64::MAX), UnixMs(0));
        wheel.add(1, UnixMs(0), UnixMs(10_000));
        assert_eq!(wheel.next(UnixMs(10_000)), Some(1));
        assert_eq!(wheel.next(UnixMs(10_000)), None);
        let year = 31_536_000_000;
        wheel.add(1, UnixMs(100 * year), UnixMs(10_000));
        assert!(drive(&mut wheel, &[u64::MAX, 100 * year], 99 * year).is_empty());
        assert_eq!(drive(&mut wheel, &[u64::MAX, 100 * year], 101 * year), [1]);
        assert_eq!(wheel.next(UnixMs(0)), None);
        assert!(wheel.is_ahead_of(UnixMs(0)));
        assert_eq!(drive(&mut wheel, &[u64::MAX], u64::MAX), [0]);
    }
}
