//! The machine's own time: it never runs back, and it runs slowly when nobody looks.
//!
//! Deadlines are about others, and a node that was stopped, starved, or whose clock was set has no
//! right to judge them by it: what it would have heard meanwhile is still waiting to be read. So a
//! step between two inputs counts as [`STEP_MAX`] at most, and a step back as none.

use std::time::Duration;

use crate::clock::UnixMs;

/// The most that may pass between two inputs; ticks come every 100 ms.
pub(super) const STEP_MAX: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    given: UnixMs,
    now: UnixMs,
}

impl Pace {
    pub(super) fn new(now: UnixMs) -> Pace {
        Pace { given: now, now }
    }

    /// The machine's time now.
    pub(super) fn now(&self) -> UnixMs {
        self.now
    }

    /// The machine's time when the clock says `given`.
    pub(super) fn at(&mut self, given: UnixMs) -> UnixMs {
        let step = Duration::from_millis(self.given.ms_until(given)).min(STEP_MAX);
        self.given = given;
        self.now = self.now.plus(step);
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_bounded_and_never_back() {
        let mut pace = Pace::new(UnixMs(1_000));
        assert_eq!(pace.at(UnixMs(1_100)), UnixMs(1_100));
        assert_eq!(pace.at(UnixMs(900)), UnixMs(1_100), "set back");
        assert_eq!(pace.at(UnixMs(1_000)), UnixMs(1_200));
        assert_eq!(pace.at(UnixMs(3_600_000)), UnixMs(1_700), "set forth");
        assert_eq!(pace.now(), UnixMs(1_700));
    }
}
