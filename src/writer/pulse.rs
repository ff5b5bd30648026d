//! Whether this node knows what became of its partitions.
//!
//! A process that stands still for seconds (a stopped container, a machine that was suspended) is
//! taken for dead, and its copies take over. When it goes on it has not heard of that, and would
//! answer with what has been overwritten since. So whoever keeps time in a cluster renews the pulse,
//! and the writers answer only while it is fresh; after a standstill it is renewed once another
//! node has said what is so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::UnixMs;

/// Whoever has not kept time for so long may have been taken for dead; less than any node takes to
/// hold another one for dead that only stands still.
pub const STANDSTILL_MS: u64 = 1_500;

/// See the module; cheap to clone. A new one is fresh for ever: nobody else can take over.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<AtomicU64>);

impl Default for Pulse {
    fn default() -> Pulse {
        Pulse(Arc::new(AtomicU64::new(u64::MAX)))
    }
}

impl Pulse {
    /// Whether this node may answer now.
    #[must_use]
    #[inline]
    pub fn is_fresh(&self, now: UnixMs) -> bool {
        now.0 <= self.0.load(Ordering::Relaxed)
    }

    /// Whether it may answer for ever: nobody else can take over.
    #[must_use]
    #[inline]
    pub fn is_alone(&self) -> bool {
        self.0.load(Ordering::Relaxed) == u64::MAX
    }

    /// It may until it stands still.
    pub fn renew(&self, now: UnixMs) {
        self.0.store(now.0 + STANDSTILL_MS, Ordering::Relaxed);
    }

    /// It may whatever happens: there is nobody else.
    pub fn alone(&self) {
        self.0.store(u64::MAX, Ordering::Relaxed);
    }
}
