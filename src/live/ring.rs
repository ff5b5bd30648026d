//! What waits for one subscriber: bounded in number and in bytes, the oldest giving way.
//!
//! A subscriber that does not keep up loses the oldest events, and is told so in their place: what
//! it then reads is as new as can be. One event is kept whatever its length.
//!
//! An event that many get is in memory once, and its texts are counted once in the memory of all
//! ([`Share`]); in the bounds of each subscriber they count in full.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::Waker;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use super::event::{EVENT_BYTES, Event};

/// The memory of all that waits, and of the names that are listened to, on one node.
#[derive(Debug)]
pub(super) struct Memory {
    used: AtomicUsize,
    bytes_max: AtomicUsize,
}

impl Memory {
    pub(super) fn new(bytes_max: usize) -> Memory {
        Memory {
            used: AtomicUsize::new(0),
            bytes_max: AtomicUsize::new(bytes_max),
        }
    }

    pub(super) fn limit(&self, bytes_max: usize) {
        self.bytes_max.store(bytes_max, Ordering::Relaxed);
    }

    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes so many bytes, if there are as many.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let max = self.bytes_max.load(Ordering::Relaxed);
        let more = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= max);
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok()
    }

    pub(super) fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Takes so many bytes for texts that several share, if there are as many.
    pub(super) fn share(self: &Arc<Memory>, bytes: usize) -> Option<Arc<Share>> {
        self.take(bytes).then(|| {
            Arc::new(Share {
                bytes,
                memory: Arc::clone(self),
            })
        })
    }
}

/// The texts of an event, for all whom it waits for: given back with the last one of these.
#[derive(Debug)]
pub(super) struct Share {
    bytes: usize,
    memory: Arc<Memory>,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.memory.give_back(self.bytes);
    }
}

/// The most that waits for one subscriber.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) events_max: usize,
    pub(super) bytes_max: usize,
}

/// See the module. Filled by whoever has events, emptied by the subscriber.
#[derive(Debug)]
pub(super) struct Ring {
    state: Mutex<State>,
    bounds: Bounds,
    closed: AtomicBool,
    /// The task of the subscriber, if it waits.
    waiting: AtomicWaker,
    /// Events that it lost.
    lost: AtomicU64,
    /// Whether some of them are lost because they were not taken in time.
    overrun: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<(Event, Arc<Share>)>,
    bytes: usize,
    /// Events were lost before the first one that waits: at least so many.
    missed: Option<u64>,
}

impl State {
    fn is_empty(&self) -> bool {
        self.events.is_empty() && self.missed.is_none()
    }

    fn miss(&mut self, count: u64) {
        self.missed = Some(self.missed.unwrap_or(0).saturating_add(count));
    }

    /// Lets the oldest event go.
    fn shed(&mut self, memory: &Memory) -> bool {
        let oldest = self.pop(memory);
        if oldest.is_some() {
            self.miss(1);
        }
        oldest.is_some()
    }

    fn pop(&mut self, memory: &Memory) -> Option<Event> {
        let (event, _share) = self.events.pop_front()?;
        self.bytes -= event.bytes();
        memory.give_back(EVENT_BYTES);
        Some(event)
    }
}

impl Ring {
    pub(super) fn new(bounds: Bounds) -> Ring {
        Ring {
            state: Mutex::default(),
            bounds,
            closed: AtomicBool::new(false),
            waiting: AtomicWaker::new(),
            lost: AtomicU64::new(0),
            overrun: AtomicBool::new(false),
        }
    }

    /// Puts an event behind the others; how many were lost by it. Its texts are counted already.
    pub(super) fn push(&self, event: Event, share: &Arc<Share>, memory: &Memory) -> u64 {
        let bytes = event.bytes();
        let Bounds {
            events_max,
            bytes_max,
        } = self.bounds;
        let mut state = self.state.lock();
        if self.is_closed() {
            return 0;
        }
        let was_empty = state.is_empty();
        let mut lost = 0;
        while state.events.len() >= events_max || state.bytes + bytes > bytes_max {
            if !state.shed(memory) {
                break;
            }
            lost += 1;
        }
        // Others may have taken what all have together.
        let mut room = memory.take(EVENT_BYTES);
        while !room && state.shed(memory) {
            lost += 1;
            room = memory.take(EVENT_BYTES);
        }
        if room {
            state.bytes += bytes;
            state.events.push_back((event, Arc::clone(share)));
        } else {
            state.miss(1);
            lost += 1;
        }
        drop(state);
        self.count_lost(lost, was_empty);
        lost
    }

    /// Lets all that waits go, for an event that there is no memory for; how many that were.
    pub(super) fn shed_all(&self, memory: &Memory) -> u64 {
        let mut state = self.state.lock();
        let was_empty = state.is_empty();
        let mut lost = 0;
        while state.shed(memory) {
            lost += 1;
        }
        drop(state);
        self.count_lost(lost, was_empty);
        lost
    }

    /// There is no memory for an event; how many were lost by it.
    pub(super) fn overflow(&self) -> u64 {
        let mut state = self.state.lock();
        if self.is_closed() {
            return 0;
        }
        let was_empty = state.is_empty();
        state.miss(1);
        drop(state);
        self.count_lost(1, was_empty);
        1
    }

    fn count_lost(&self, lost: u64, was_empty: bool) {
        self.lost.fetch_add(lost, Ordering::Relaxed);
        let is_first_loss = lost > 0 && !self.overrun.swap(true, Ordering::AcqRel);
        // Who has not taken the one before comes for this one as well.
        if was_empty || is_first_loss {
            self.waiting.wake();
        }
    }

    /// Events were lost on their way here: at least so many.
    ///
    /// They are told before what waits, although some of that was there before them: so whoever
    /// reads anew when told has what waits behind what it read.
    pub(super) fn miss(&self, count: u64) {
        self.state.lock().miss(count);
        self.lost.fetch_add(count, Ordering::Relaxed);
        self.waiting.wake();
    }

    /// The next event, if one waits.
    pub(super) fn pop(&self, memory: &Memory) -> Option<Event> {
        let mut state = self.state.lock();
        if let Some(count) = state.missed.take() {
            return Some(Event::Missed(count));
        }
        state.pop(memory)
    }

    /// Wakes this task, once, when there is something to pop after there was nothing, when events are
    /// lost for the first time, or nothing more comes.
    pub(super) fn wait(&self, waker: &Waker) {
        self.waiting.register(waker);
    }

    /// Nothing more comes.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.waiting.wake();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state.lock().is_empty()
    }

    /// How much waits; that something was lost counts as one.
    pub(super) fn len(&self) -> usize {
        let state = self.state.lock();
        state.events.len() + usize::from(state.missed.is_some())
    }

    /// Whether events were lost because they were not taken in time, or had no room.
    pub(super) fn is_overrun(&self) -> bool {
        self.overrun.load(Ordering::Acquire)
    }

    /// How many events were lost here in all.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Closes it and gives back what nobody will pop.
    pub(super) fn clear(&self, memory: &Memory) {
        self.close();
        let mut state = self.state.lock();
        memory.give_back(state.events.len() * EVENT_BYTES);
        state.events.clear();
        state.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::event::Message;
    use super::*;

    fn message(payload: &str) -> Event {
        Event::Message(Message {
            channel: Bytes::from_static(b"c"),
            pattern: None,
            payload: Bytes::copy_from_slice(payload.as_bytes()),
        })
    }

    fn bytes(payload: &str) -> usize {
        message(payload).bytes()
    }

    fn ring(events_max: usize, bytes_max: usize) -> Ring {
        Ring::new(Bounds {
            events_max,
            bytes_max,
        })
    }

    fn push(ring: &Ring, payload: &str, memory: &Arc<Memory>) -> u64 {
        match memory.share(bytes(payload) - EVENT_BYTES) {
            Some(share) => ring.push(message(payload), &share, memory),
            None => ring.overflow(),
        }
    }

    fn memory(bytes_max: usize) -> Arc<Memory> {
        Arc::new(Memory::new(bytes_max))
    }

    fn popped(ring: &Ring, memory: &Memory) -> Vec<Event> {
        std::iter::from_fn(|| ring.pop(memory)).collect()
    }

    #[test]
    fn the_oldest_give_way_and_that_is_told_in_their_place() {
        let (ring, memory) = (ring(2, usize::MAX), memory(usize::MAX));
        for payload in ["1", "2", "3", "4"] {
            push(&ring, payload, &memory);
        }
        assert_eq!(memory.used(), 2 * bytes("1"));
        let expected = [Event::Missed(2), message("3"), message("4")];
        assert_eq!(popped(&ring, &memory), expected);
        assert_eq!((memory.used(), ring.lost()), (0, 2));
        assert!(ring.is_overrun());
        push(&ring, "5", &memory);
        assert_eq!(popped(&ring, &memory), [message("5")]);
    }

    #[test]
    fn bytes_are_bounded_but_one_event_is_kept_whatever_its_length() {
        let (ring, memory) = (ring(100, 3 * bytes("1")), memory(usize::MAX));
        for payload in ["1", "2", "3"] {
            assert_eq!(push(&ring, payload, &memory), 0);
        }
        assert_eq!(push(&ring, "four", &memory), 2);
        assert_eq!(
            popped(&ring, &memory),
            [Event::Missed(2), message("3"), message("four")]
        );
        let long = "x".repeat(10_000);
        push(&ring, "1", &memory);
        push(&ring, &long, &memory);
        assert_eq!(popped(&ring, &memory), [Event::Missed(1), message(&long)]);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn what_all_have_together_is_bounded_too() {
        let memory = memory(2 * bytes("1"));
        let (one, other) = (ring(9, usize::MAX), ring(9, usize::MAX));
        push(&one, "1", &memory);
        push(&one, "2", &memory);
        assert_eq!(push(&other, "3", &memory), 1, "no room at all");
        assert_eq!(popped(&other, &memory), [Event::Missed(1)]);
        assert_eq!(push(&one, "4", &memory), 1);
        one.clear(&memory);
        push(&one, "5", &memory);
        assert_eq!(memory.used(), 0, "nothing is kept for who has gone");
    }

    #[test]
    fn that_nobody_knows_how_many_were_lost_is_told_as_well() {
        let (ring, memory) = (ring(9, usize::MAX), memory(usize::MAX));
        push(&ring, "1", &memory);
        ring.miss(0);
        assert_eq!(popped(&ring, &memory), [Event::Missed(0), message("1")]);
        ring.miss(0);
        ring.miss(3);
        assert_eq!(popped(&ring, &memory), [Event::Missed(3)]);
        assert!(!ring.is_overrun(), "it kept up");
    }
}
