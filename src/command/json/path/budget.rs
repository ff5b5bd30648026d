//! How much work a path may make: the bound that no path and no document gets around.
//!
//! Work is counted in bytes of text that are looked at, with something on top for each value. A
//! path of names and indices looks at no byte more often than it has segments; what is allowed
//! beyond that is for filters and for `..`, whose work can grow with every further one.
//!
//! Whoever has little time allows less ([`Limits::work_max`](crate::command::Limits)): the error is
//! the same, and comes sooner.

use super::SEGMENTS_MAX;
use super::error::Error;

/// Allowed on every document, in bytes.
const BYTES_MIN: usize = 4 << 20;
/// So often every byte of a document may be looked at, and once more for each segment.
const PASSES: usize = 16;
/// What a value costs beside its text.
const VALUE: usize = 8;
/// What following a segment from one value costs beside that, or testing one condition, or
/// remembering one name.
const STEP: usize = 32;

/// What is left of it.
#[derive(Debug, Default)]
pub(super) struct Budget {
    left: usize,
}

#[cfg(test)]
thread_local! {
    /// What this thread has spent.
    pub(crate) static SPENT: std::cell::Cell<usize> =
        const { std::cell::Cell::new(0) };
}

impl Budget {
    /// What is allowed for paths of so many segments, but no more than `work_max`.
    pub(super) fn new(document_bytes: usize, segments: usize, work_max: usize) -> Budget {
        let segments = segments.min(SEGMENTS_MAX);
        let passes = document_bytes.saturating_mul(PASSES + segments);
        Budget {
            left: passes.saturating_add(BYTES_MIN).min(work_max),
        }
    }

    /// Takes what looking at a value costs of which `bytes` are looked at.
    #[inline]
    pub(super) fn spend(&mut self, bytes: usize) -> Result<(), Error> {
        self.take(bytes.saturating_add(VALUE))
    }

    /// Takes what a step costs.
    pub(super) fn spend_step(&mut self) -> Result<(), Error> {
        self.take(STEP)
    }

    #[inline]
    fn take(&mut self, cost: usize) -> Result<(), Error> {
        #[cfg(test)]
        SPENT.set(SPENT.get().saturating_add(cost.min(self.left)));
        self.left = self.left.checked_sub(cost).ok_or(Error::TooMuchWork)?;
        Ok(())
    }
}
