//! Many commands of one request, under way at a time and answered in order.
//!
//! How many run at a time follows from how long their answers are: it doubles while they are short
//! and shrinks when they are long, so that a request for a thousand large values holds about
//! [`BYTES`] of them and not all. Two commands on one key never run at a time, so that the later
//! line of a batch sees what the earlier one did.

use std::collections::VecDeque;

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;

use super::hold::Held;

/// The most commands of one request under way.
pub(super) const WIDTH_MAX: usize = 64;
/// About how many bytes of answers a request holds ready.
pub(super) const BYTES: usize = 1 << 20;

/// See the module.
#[derive(Debug)]
pub(super) struct Pipeline<F: Future> {
    running: FuturesOrdered<F>,
    /// What each of the running ones must not overtake, in their order.
    tags: VecDeque<Option<u64>>,
    width: usize,
}

impl<F: Future<Output = Held>> Pipeline<F> {
    pub(super) fn new() -> Pipeline<F> {
        Pipeline {
            running: FuturesOrdered::new(),
            tags: VecDeque::new(),
            width: 8,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Whether another command may start.
    pub(super) fn has_room(&self) -> bool {
        self.running.len() < self.width
    }

    /// Whether a command with this tag must wait for one that is under way.
    pub(super) fn is_under_way(&self, tag: u64) -> bool {
        self.tags.contains(&Some(tag))
    }

    /// Starts a command, behind those under way.
    pub(super) fn push(&mut self, tag: Option<u64>, command: F) {
        self.running.push_back(command);
        self.tags.push_back(tag);
    }

    /// The next answer, in order; `None` if nothing is under way.
    pub(super) async fn next(&mut self) -> Option<Held> {
        let answer = self.running.next().await?;
        self.tags.pop_front();
        let fitting = BYTES / answer.bytes.len().max(1);
        self.width = fitting.min(self.width * 2).clamp(1, WIDTH_MAX);
        Some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::super::hold::Budget;
    use super::*;
    use std::future::ready;

    #[tokio::test]
    async fn long_answers_make_it_narrow_and_short_ones_wide() {
        let budget = Budget::new(0);
        let answer = |bytes| ready(Held::owing(&budget, vec![0; bytes]));
        let mut pipeline = Pipeline::new();
        for _ in 0..4 {
            pipeline.push(Some(7), answer(10));
            assert!(pipeline.is_under_way(7));
            pipeline.next().await;
        }
        assert!(!pipeline.is_under_way(7));
        assert_eq!(pipeline.width, WIDTH_MAX);
        pipeline.push(None, answer(BYTES));
        pipeline.next().await;
        assert_eq!(pipeline.width, 1);
        pipeline.push(None, answer(0));
        assert!(!pipeline.has_room());
    }
}
