//! Time, as an argument.
//!
//! Nothing below the node reads a clock by itself: it is handed a [`Clock`], or a plain
//! [`UnixMs`]. That is what lets a test turn time, and a simulation replay it. This is the only
//! file in which the system's clocks may be called.
//!
//! Wall-clock milliseconds are what expiry and versions are made of, because both must mean the
//! same on every node; deadlines of requests use the monotonic [`tokio::time::Instant`] instead.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment: milliseconds since the Unix epoch.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct UnixMs(pub u64);

impl UnixMs {
    /// This moment plus a span; saturates at the end of time.
    #[must_use]
    pub fn plus(self, span: Duration) -> UnixMs {
        let ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        UnixMs(self.0.saturating_add(ms))
    }

    /// How far `later` lies ahead of this moment, in milliseconds; 0 if it does not.
    #[must_use]
    pub fn ms_until(self, later: UnixMs) -> u64 {
        later.0.saturating_sub(self.0)
    }
}

impl fmt::Display for UnixMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

/// Where the present moment comes from. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    System,
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The machine's wall clock.
    #[must_use]
    pub fn system() -> Clock {
        Clock(Source::System)
    }

    /// A clock that stands at `start` until [`Clock::advance`] moves it. For tests.
    #[must_use]
    pub fn manual(start: UnixMs) -> Clock {
        Clock(Source::Manual(Arc::new(AtomicU64::new(start.0))))
    }

    /// The present moment.
    #[must_use]
    #[allow(clippy::disallowed_methods)]
    pub fn now(&self) -> UnixMs {
        match &self.0 {
            Source::System => {
                // A machine whose clock stands before 1970 is treated as standing at 1970.
                let since = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                UnixMs(since.as_secs().saturating_mul(1_000) + u64::from(since.subsec_millis()))
            }
            Source::Manual(ms) => UnixMs(ms.load(Ordering::Relaxed)),
        }
    }

    /// Moves a manual clock and all its clones forward; the system's clock takes no orders.
    pub fn advance(&self, span: Duration) {
        if let Source::Manual(ms) = &self.0 {
            ms.fetch_add(
                u64::try_from(span.as_millis()).unwrap_or(u64::MAX),
                Ordering::Relaxed,
            );
        }
    }
}

/// A stopwatch on the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts now.
    #[must_use]
    #[allow(clippy::disallowed_methods)]
    pub fn start() -> Stopwatch {
        Stopwatch(std::time::Instant::now())
    }

    /// The time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told_and_all_its_clones_with_it() {
        let clock = Clock::manual(UnixMs(1_000));
        let clone = clock.clone();
        clock.advance(Duration::from_millis(250));
        assert_eq!(clone.now(), UnixMs(1_250));
    }

    #[test]
    fn spans_saturate() {
        assert_eq!(UnixMs(1).plus(Duration::MAX), UnixMs(u64::MAX));
        assert_eq!(UnixMs(5).ms_until(UnixMs(3)), 0);
    }
}
