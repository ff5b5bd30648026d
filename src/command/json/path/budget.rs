//! How much work a path may make: the bound that no path and no document gets around.
//!
//! Work is counted in bytes of text that are looked at, with something on top for each value. A
//! path of names and indices looks at no byte more often than it has segments; what is allowed
//! beyond that is for filters and for `..`, whose work can grow with every further one.

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
pub(super) struct Budget {
    left: usize,
}

impl Budget {
    pub(super) fn new(document_bytes: usize, segments: usize) -> Budget {
        let passes = document_bytes.saturating_mul(PASSES + segments);
        Budget {
            left: passes.saturating_add(BYTES_MIN),
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
        self.left = self.left.checked_sub(cost).ok_or(Error::TooMuchWork)?;
        Ok(())
    }
}
