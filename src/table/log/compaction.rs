//! Compaction: live entries of sparse segments are moved together, and the segments given back.
//!
//! Greedy as in log-structured file systems (Rosenblum and Ousterhout, SOSP'91): the segment with
//! the largest share of waste goes first, together with its successors in the queue as long as all
//! fit one segment, so that the order of eviction is kept. The new segment is just as large as
//! what it holds.

use super::Log;
use crate::table::memory::pages;
use crate::table::segment::{Queue, Segment};

/// Segments are looked at once for so many victims.
const VICTIMS_MAX: usize = 32;
/// Moving a segment for less than this share of it costs more than it gives.
const GAIN_SHARE_MIN: usize = 16;

impl Log {
    /// The closed segments with the largest share of waste, the worst first. Ids for
    /// [`Log::compact`]: they stay valid, or turn void, whatever happens in between.
    pub(in crate::table) fn sparsest(&self) -> Vec<u64> {
        let open = Queue::ALL.map(|queue| self.queues[queue as usize].open);
        let mut found: Vec<(usize, u64)> = Vec::new();
        for (sequence, slot) in &self.by_sequence {
            let Some(segment) = self.segment(*slot).filter(|_| !open.contains(&Some(*slot))) else {
                continue;
            };
            let waste = segment.touched() - segment.live();
            if waste * GAIN_SHARE_MIN >= segment.touched() {
                found.push((waste * 1000 / segment.touched().max(1), *sequence));
            }
        }
        let by_waste = |a: &(usize, u64), b: &(usize, u64)| b.cmp(a);
        if found.len() > VICTIMS_MAX {
            found.select_nth_unstable_by(VICTIMS_MAX, by_waste);
            found.truncate(VICTIMS_MAX);
        }
        found.sort_unstable_by(by_waste);
        found.into_iter().map(|(_, sequence)| sequence).collect()
    }

    /// Moves what lives in this segment, and in its successors while that fits, to a new one.
    /// `moved` learns of each key its old and new handle. Returns how many entries were moved, or
    /// `None` if nothing is gained or the system refuses memory; then nothing changed.
    pub(in crate::table) fn compact(
        &mut self,
        sequence: u64,
        mut moved: impl FnMut(&[u8], u32, u32),
    ) -> Option<usize> {
        let first = *self.by_sequence.get(&sequence)?;
        let group = self.group(first)?;
        let live: usize = self.sizes(&group).map(|(live, _)| live).sum();
        let touched: usize = self.sizes(&group).map(|(_, touched)| touched).sum();
        let gain = touched.saturating_sub(pages(live));
        if gain == 0 || gain * GAIN_SHARE_MIN < touched {
            return None;
        }
        let (queue, order) = self.segment(first).map(|s| (s.queue, s.order))?;
        let mut target = Segment::new(pages(live).max(1), queue, order, self.sequence_next)?;
        // A slot of its own: a new handle must not equal an old one that is still in the index.
        let slot = self.free_slot()?;
        // Nothing can fail from here on.
        self.sequence_next += 1;
        let sources: Vec<(u32, Segment)> = group
            .iter()
            .filter_map(|slot| Some((*slot, self.drop_segment(*slot)?)))
            .collect();
        let mut moves = Vec::new();
        for (slot, source) in &sources {
            for offset in source.live_offsets() {
                let size = source.header(offset).size();
                let to = target.push(size);
                target.at_mut(to)[..size].copy_from_slice(&source.at(offset)[..size]);
                moves.push((self.handle(*slot, offset), to));
            }
        }
        self.insert_segment(slot, target);
        for (old, to) in &moves {
            let new = self.handle(slot, *to);
            moved(self.key(new), *old, new);
        }
        Some(moves.len())
    }

    fn sizes(&self, group: &[u32]) -> impl Iterator<Item = (usize, usize)> {
        let segments = group.iter().filter_map(|slot| self.segment(*slot));
        segments.map(|s| (s.live(), s.touched()))
    }

    /// The segment and its successors in the queue that fit one segment together.
    fn group(&self, first: u32) -> Option<Vec<u32>> {
        let segment = self.segment(first)?;
        let queue = &self.queues[segment.queue as usize];
        if queue.open == Some(first) {
            return None;
        }
        let mut live = segment.live();
        let mut group = vec![first];
        for slot in queue.by_order.range(segment.order + 1..).map(|(_, s)| *s) {
            let Some(next) = self.segment(slot).filter(|_| queue.open != Some(slot)) else {
                break;
            };
            // A nearly full successor is worth moving only to save a nearly empty segment.
            let worth = next.live() <= self.segment_bytes / 2 || live <= self.segment_bytes / 8;
            if !worth || live + next.live() > self.segment_bytes {
                break;
            }
            live += next.live();
            group.push(slot);
        }
        Some(group)
    }
}
