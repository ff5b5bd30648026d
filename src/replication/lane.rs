//! The way of effects from this node to one other, and all such ways.
//!
//! Effects are numbered. A lane keeps each until the other node has answered for it, whatever
//! sessions come and go: with a new one all that is kept is sent again. What is kept is bounded in
//! bytes: who wants to write more than that is refused before anything is applied.
//!
//! A lane belongs to one life of a node. When the node is held for dead its lane is closed, and all
//! who wait for it are released: it is no copy any more by then.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;
use rapidhash::RapidHashMap;

use super::{Effect, Finished, Ticket};
use crate::key::PartitionId;
use crate::version::{NodeId, Version};

/// Takes effects to a node over a session. Called under the lane's lock; must not block.
pub trait Outlet: Send + Sync {
    /// Sends an effect with its number.
    fn effect(&self, number: u64, effect: &Bytes);
}

/// See the module.
pub struct Lane {
    node: NodeId,
    bytes_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    outlet: Option<Arc<dyn Outlet>>,
    /// The number of the first effect that is kept.
    first: u64,
    kept: VecDeque<Option<Kept>>,
    bytes: usize,
    closed: bool,
    /// Entries that were sent as a whole and are long, or because the copy lacked them: their
    /// versions, and the numbers of the effects.
    wholes: RapidHashMap<Box<[u8]>, (Version, u64)>,
}

struct Kept {
    effect: Bytes,
    ticket: Option<Ticket>,
    /// Whether it is sent for the second time, behind the whole entry that the copy lacked.
    again: bool,
    /// Changes that the copy could not take, since this entry had not arrived.
    behind: Vec<Lacking>,
}

/// An effect that a copy could not take, since it lacks the entry that was changed.
#[derive(Debug)]
pub struct Lacking {
    /// The effect.
    pub effect: Bytes,
    /// Who waits for it.
    pub ticket: Option<Ticket>,
    again: bool,
}

impl Lacking {
    /// The partition of its key.
    #[must_use]
    pub fn partition(&self) -> Option<PartitionId> {
        Effect::decode(self.effect.clone())
            .ok()
            .map(|effect| effect.partition)
    }
}

/// What a lane's place in the queue costs beside the effect.
const KEPT_BYTES: usize = 64;

/// So many entries that were sent as a whole are remembered.
const WHOLES_MAX: usize = 1_024;

impl State {
    fn has_room(&self, bytes: usize, bytes_max: usize) -> bool {
        self.closed || self.bytes == 0 || self.bytes + bytes + KEPT_BYTES <= bytes_max
    }

    fn push(&mut self, effect: Bytes, ticket: Option<Ticket>, again: bool) -> u64 {
        let number = self.first + self.kept.len() as u64;
        self.bytes += effect.len() + KEPT_BYTES;
        if let Some(outlet) = &self.outlet {
            outlet.effect(number, &effect);
        }
        self.kept.push_back(Some(Kept {
            effect,
            ticket,
            again,
            behind: Vec::new(),
        }));
        number
    }

    fn note_whole(&mut self, key: &[u8], version: Version, number: u64) {
        if self.wholes.len() >= WHOLES_MAX {
            self.wholes.clear();
        }
        self.wholes.insert(key.into(), (version, number));
    }

    fn kept_mut(&mut self, number: u64) -> Option<&mut Kept> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.kept.get_mut(place)?.as_mut()
    }

    /// Takes out what is kept under these numbers (first and last of each range).
    fn take(&mut self, ranges: &[(u64, u64)], mut each: impl FnMut(Kept)) {
        for &(first, last) in ranges {
            let end = self.first + self.kept.len() as u64;
            for number in first.max(self.first)..last.saturating_add(1).min(end) {
                let place = (number - self.first) as usize;
                if let Some(kept) = self.kept[place].take() {
                    self.bytes -= kept.effect.len() + KEPT_BYTES;
                    each(kept);
                }
            }
        }
        while let Some(None) = self.kept.front() {
            self.kept.pop_front();
            self.first += 1;
        }
    }
}

impl Lane {
    fn new(node: NodeId, bytes_max: usize, first: u64) -> Lane {
        let state = State {
            first,
            ..State::default()
        };
        Lane {
            node,
            bytes_max,
            state: Mutex::new(state),
        }
    }

    /// Whose it is.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Whether an effect of this size would be taken. One that is larger than the bound is taken by
    /// an empty lane.
    #[must_use]
    pub fn has_room(&self, bytes: usize) -> bool {
        self.state.lock().has_room(bytes, self.bytes_max)
    }

    /// Sends an effect, and keeps it until it is answered for. A closed lane answers by itself:
    /// the ticket must be one that nobody waits for yet.
    pub fn push(&self, effect: Bytes, ticket: Option<Ticket>) {
        let mut state = self.state.lock();
        if state.closed {
            if let Some(ticket) = ticket {
                ticket.answered(true, &mut Vec::new());
            }
            return;
        }
        state.push(effect, ticket, false);
    }

    /// Sends an entry as a whole that is so long that changes of it may overtake it.
    pub fn push_long(&self, key: &[u8], version: Version, effect: Bytes, ticket: Option<Ticket>) {
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            return self.push(effect, ticket);
        }
        let number = state.push(effect, ticket, false);
        state.note_whole(key, version, number);
    }

    /// The node could not take these: it lacks the entries that they change. They are not kept any
    /// more; what is to be sent instead is for the caller to say.
    pub fn lacking(&self, ranges: &[(u64, u64)]) -> Vec<Lacking> {
        let mut lacking = Vec::new();
        let mut state = self.state.lock();
        let mut behind = Vec::new();
        state.take(ranges, |kept| {
            behind.extend(kept.behind);
            lacking.push(Lacking {
                effect: kept.effect,
                ticket: kept.ticket,
                again: kept.again,
            });
        });
        // No whole is ever lacking: but were one, what waits behind it is not forgotten.
        for one in behind {
            state.bytes -= one.effect.len() + KEPT_BYTES;
            lacking.push(one);
        }
        lacking
    }

    /// Sends what a copy could not take once more, behind the entry that it lacks as a whole, of
    /// about `bytes` bytes: unless that is under way, or has been taken since. Without room for the
    /// whole the change goes alone: the copy will say again that it lacks the entry, and there may
    /// be room by then.
    pub fn push_behind(
        &self,
        lacking: Lacking,
        key: &[u8],
        version: Version,
        bytes: usize,
        whole: impl FnOnce() -> Bytes,
        out: &mut Vec<Finished>,
    ) {
        let mut state = self.state.lock();
        if state.closed {
            if let Some(ticket) = lacking.ticket {
                ticket.answered(true, out);
            }
            return;
        }
        let sent = state.wholes.get(key).copied();
        let sent = sent.filter(|(sent, _)| *sent >= version);
        // Who lacks it once more although it has arrived has lost it since.
        let under_way = sent.is_some_and(|(_, number)| state.kept_mut(number).is_some());
        let needed = sent.is_none() || lacking.again && !under_way;
        if needed && !state.has_room(bytes, self.bytes_max) {
            state.push(lacking.effect, lacking.ticket, lacking.again);
            return;
        }
        let number = if needed {
            let number = state.push(whole(), None, false);
            state.note_whole(key, version, number);
            Some(number)
        } else {
            sent.map(|(_, number)| number)
        };
        let held = lacking.effect.len() + KEPT_BYTES;
        match number.and_then(|number| state.kept_mut(number)) {
            Some(kept) => {
                kept.behind.push(lacking);
                state.bytes += held;
            }
            None => {
                state.push(lacking.effect, lacking.ticket, true);
            }
        }
    }

    /// The node has answered for these numbers (first and last of each range), taking the effects
    /// or not. What it was not sent is ignored.
    pub fn answered(&self, ranges: &[(u64, u64)], acknowledged: bool, out: &mut Vec<Finished>) {
        let mut state = self.state.lock();
        let mut behind = Vec::new();
        state.take(ranges, |kept| {
            if let Some(ticket) = kept.ticket {
                ticket.answered(acknowledged, out);
            }
            behind.extend(kept.behind);
        });
        for lacking in behind {
            state.bytes -= lacking.effect.len() + KEPT_BYTES;
            if acknowledged {
                state.push(lacking.effect, lacking.ticket, true);
            } else if let Some(ticket) = lacking.ticket {
                ticket.answered(false, out);
            }
        }
    }

    /// Effects go over this session from now on, those that are kept first.
    pub fn open(&self, outlet: Arc<dyn Outlet>) {
        let mut state = self.state.lock();
        if state.closed {
            return;
        }
        for (number, kept) in (state.first..).zip(&state.kept) {
            if let Some(kept) = kept {
                outlet.effect(number, &kept.effect);
            }
        }
        state.outlet = Some(outlet);
    }

    /// There is no session; effects are kept.
    pub fn suspend(&self) {
        self.state.lock().outlet = None;
    }

    /// The node is held for dead, and is no copy of anything any more: all who wait are released.
    /// Returns the number that the next effect would have had.
    fn close(&self, out: &mut Vec<Finished>) -> u64 {
        let mut state = self.state.lock();
        state.closed = true;
        state.outlet = None;
        state.bytes = 0;
        state.wholes = RapidHashMap::default();
        let kept = std::mem::take(&mut state.kept);
        let next = state.first + kept.len() as u64;
        state.first = next;
        drop(state);
        for kept in kept.into_iter().flatten() {
            let behind = kept.behind.into_iter().filter_map(|lacking| lacking.ticket);
            for ticket in kept.ticket.into_iter().chain(behind) {
                ticket.answered(true, out);
            }
        }
        next
    }

    /// The number that the next effect will have.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        let state = self.state.lock();
        state.first + state.kept.len() as u64
    }

    /// Whether every effect before this number has been answered for.
    #[must_use]
    pub fn is_done_before(&self, number: u64) -> bool {
        let state = self.state.lock();
        state.closed || state.first >= number
    }

    /// Bytes that are kept.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.state.lock().bytes
    }
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Lane")
            .field("node", &self.node)
            .field("first", &state.first)
            .field("kept", &state.kept.len())
            .finish_non_exhaustive()
    }
}

/// What the lanes have counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Effects that copies did not take, since they follow another owner.
    pub refused: u64,
    /// Bytes kept for all nodes together.
    pub bytes: u64,
}

/// The lanes to all other nodes; cheap to clone.
#[derive(Clone)]
pub struct Lanes(Arc<Inner>);

struct Inner {
    bytes_max: usize,
    lanes: ArcSwap<RapidHashMap<NodeId, Arc<Lane>>>,
    /// The first number of the next lane to a node whose lane was closed: an answer that is still
    /// on its way must not be taken for one to an effect of the next lane.
    first: Mutex<RapidHashMap<NodeId, u64>>,
    refused: AtomicU64,
}

impl Lanes {
    /// No lanes yet; each will keep at most `bytes_max` bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Lanes {
        Lanes(Arc::new(Inner {
            bytes_max,
            lanes: ArcSwap::default(),
            first: Mutex::default(),
            refused: AtomicU64::new(0),
        }))
    }

    /// The lane to a node.
    #[must_use]
    pub fn lane(&self, node: NodeId) -> Arc<Lane> {
        if let Some(lane) = self.0.lanes.load().get(&node) {
            return Arc::clone(lane);
        }
        let first = self.0.first.lock().get(&node).copied().unwrap_or_default();
        let fresh = Arc::new(Lane::new(node, self.0.bytes_max, first));
        self.0.lanes.rcu(|lanes| {
            let mut lanes = RapidHashMap::clone(lanes);
            lanes.entry(node).or_insert_with(|| Arc::clone(&fresh));
            lanes
        });
        self.0.lanes.load().get(&node).cloned().unwrap_or(fresh)
    }

    /// Ends the lane to a node that is held for dead; the next one begins anew.
    #[must_use]
    pub fn close(&self, node: NodeId) -> Vec<Finished> {
        let mut finished = Vec::new();
        if let Some(lane) = self.0.lanes.load().get(&node) {
            let next = lane.close(&mut finished);
            self.0.first.lock().insert(node, next);
        }
        self.0.lanes.rcu(|lanes| {
            let mut lanes = RapidHashMap::clone(lanes);
            lanes.remove(&node);
            lanes
        });
        finished
    }

    /// Counts effects that a copy did not take.
    pub fn count_refused(&self, count: u64) {
        self.0.refused.fetch_add(count, Ordering::Relaxed);
    }

    /// The counters.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let lanes = self.0.lanes.load();
        Counters {
            refused: self.0.refused.load(Ordering::Relaxed),
            bytes: lanes.values().map(|lane| lane.bytes() as u64).sum(),
        }
    }
}

impl std::fmt::Debug for Lanes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.0.lanes.load().values())
            .finish()
    }
}

#[cfg(test)]
mod tests;
