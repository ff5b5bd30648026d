//! What was handed to a multiplexed connection and has not left it.
//!
//! On HTTP/2 it is the client who says how much it takes of each answer, so that an answer may wait
//! within the connection while the connection itself is busy. Every piece of an answer is noted here
//! until it is dropped, which is when it was written out or given up.
//!
//! A client that takes nothing is disconnected: when no piece left for [`Unsent::new`]'s span, or
//! one piece waited for [`SPANS_MAX`] of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::door::hold::Hold;

/// How many spans one piece may wait while others leave.
const SPANS_MAX: u32 = 10;

/// See the module.
#[derive(Debug)]
pub(super) struct Unsent {
    span: Duration,
    pieces: Mutex<Pieces>,
}

#[derive(Debug)]
struct Pieces {
    next: u64,
    /// Since when each waits; the first has waited longest.
    since: BTreeMap<u64, Instant>,
    /// When one left the last time, or the first one came.
    progress: Instant,
}

impl Unsent {
    pub(super) fn new(span: Duration) -> Arc<Unsent> {
        Arc::new(Unsent {
            span,
            pieces: Mutex::new(Pieces {
                next: 0,
                since: BTreeMap::new(),
                progress: Instant::now(),
            }),
        })
    }

    /// Notes a piece, which is what is returned.
    pub(super) fn note(self: &Arc<Unsent>, bytes: Bytes, hold: Option<Hold>) -> Bytes {
        let now = Instant::now();
        let mut pieces = self.pieces.lock();
        if pieces.since.is_empty() {
            pieces.progress = now;
        }
        let number = pieces.next;
        pieces.next += 1;
        pieces.since.insert(number, now);
        drop(pieces);
        Bytes::from_owner(Piece {
            bytes,
            number,
            unsent: Arc::clone(self),
            _hold: hold,
        })
    }

    /// When to ask [`Unsent::is_stuck`] next; `None` if nothing waits.
    pub(super) fn check_at(&self) -> Option<Instant> {
        let pieces = self.pieces.lock();
        let (_, oldest) = pieces.since.first_key_value()?;
        Some((pieces.progress + self.span).min(*oldest + self.span * SPANS_MAX))
    }

    /// Whether the client takes too little.
    pub(super) fn is_stuck(&self, now: Instant) -> bool {
        self.check_at().is_some_and(|at| at <= now)
    }
}

/// A part of an answer on its way.
struct Piece {
    bytes: Bytes,
    number: u64,
    unsent: Arc<Unsent>,
    _hold: Option<Hold>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let mut pieces = self.unsent.pieces.lock();
        pieces.since.remove(&self.number);
        pieces.progress = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_secs(30);

    fn piece() -> Bytes {
        Bytes::from_static(b"a piece")
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_stuck_that_leaves() {
        let unsent = Unsent::new(SPAN);
        assert_eq!(unsent.check_at(), None);
        let first = unsent.note(piece(), None);
        assert_eq!(&first[..], b"a piece");
        tokio::time::advance(SPAN - Duration::from_millis(1)).await;
        assert!(!unsent.is_stuck(Instant::now()));
        drop(first);
        assert_eq!(unsent.check_at(), None);
        tokio::time::advance(SPAN * 2).await;
        // The time in which nothing waited does not count.
        let _second = unsent.note(piece(), None);
        assert!(!unsent.is_stuck(Instant::now()));
        tokio::time::advance(SPAN).await;
        assert!(unsent.is_stuck(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn one_piece_waits_while_others_leave_but_not_for_ever() {
        let unsent = Unsent::new(SPAN);
        let waits = unsent.note(piece(), None);
        for round in 0..19 {
            tokio::time::advance(SPAN / 2).await;
            drop(unsent.note(piece(), None));
            assert!(!unsent.is_stuck(Instant::now()), "{round}");
        }
        tokio::time::advance(SPAN / 2).await;
        drop(unsent.note(piece(), None));
        assert!(unsent.is_stuck(Instant::now()));
        drop(waits);
        assert!(!unsent.is_stuck(Instant::now()));
    }

    #[tokio::test]
    async fn a_part_of_a_piece_keeps_it() {
        let unsent = Unsent::new(SPAN);
        let part = unsent.note(piece(), None).slice(2..);
        assert!(unsent.check_at().is_some());
        drop(part);
        assert!(unsent.check_at().is_none());
    }
}
