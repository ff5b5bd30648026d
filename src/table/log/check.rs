//! Checks of the log's invariants, for tests.

use super::Log;
use crate::table::check::same;
use crate::table::segment::Queue;

impl Log {
    /// Compares the sums and the lists with the segments.
    pub(in crate::table) fn check(&self) -> Result<(), String> {
        let (mut touched, mut live) = (0, 0);
        let mut sums = [(0, 0); 2];
        for (slot, segment) in self.slots.iter().enumerate() {
            let Some(segment) = segment else { continue };
            let slot = slot as u32;
            touched += segment.touched() as u64;
            live += segment.live() as u64;
            let queue = &self.queues[segment.queue as usize];
            let listed = queue.by_order.get(&segment.order) == Some(&slot)
                && self.by_sequence.get(&segment.sequence) == Some(&slot);
            if !listed {
                return Err(format!("segment {slot} is not listed"));
            }
            if segment.live() == 0 && queue.open != Some(slot) {
                return Err(format!("segment {slot} is empty"));
            }
            let mut size = 0;
            for offset in segment.live_offsets() {
                let handle = self.handle(slot, offset);
                size += segment.header(offset).size();
                let sum = &mut sums[segment.queue as usize];
                *sum = (sum.0 + self.weight(handle), sum.1 + 1);
            }
            same("live in segment", size as u64, segment.live() as u64)?;
        }
        same("touched", touched, self.touched_bytes)?;
        same("live", live, self.live_bytes)?;
        for queue in Queue::ALL {
            let (bytes, entries) = sums[queue as usize];
            let queue = &self.queues[queue as usize];
            same("queue bytes", bytes, queue.bytes)?;
            same("queue entries", entries, queue.entries)?;
            let last = queue.by_order.last_key_value().map(|(_, slot)| *slot);
            if queue.open.is_some() && queue.open != last {
                return Err("the open segment is not the last".to_owned());
            }
        }
        Ok(())
    }
}
