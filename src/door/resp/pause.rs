//! `CLIENT PAUSE`: a while in which this node's connections begin nothing, or no writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Shared;

/// What waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Waits {
    /// Commands that change keys.
    Writes,
    /// All of them.
    All,
}

/// The present pause. See the module.
#[derive(Debug, Default)]
pub(super) struct Pause {
    /// Whether there is one: what every command looks at.
    active: AtomicBool,
    present: Mutex<Option<(Instant, Waits)>>,
    changed: Notify,
}

impl Pause {
    /// Begins one, or lets the present one be longer, and for more.
    pub(super) fn begin(&self, span: Duration, waits: Waits) {
        let mut present = self.present.lock();
        // So far in the future that nobody sees the end of it.
        let far = Duration::from_secs(100 * 365 * 86_400);
        let until = Instant::now() + span.min(far);
        *present = Some(match *present {
            Some((before, all)) => (until.max(before), waits.max(all)),
            None => (until, waits),
        });
        self.active.store(true, Ordering::Release);
    }

    /// Ends it.
    pub(super) fn end(&self) {
        *self.present.lock() = None;
        self.active.store(false, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Whether a command has to wait, which may be a write.
    #[inline]
    pub(super) fn holds(&self, is_write: bool) -> bool {
        if !self.active.load(Ordering::Relaxed) {
            return false;
        }
        let mut present = self.present.lock();
        let Some((until, waits)) = *present else {
            return false;
        };
        if Instant::now() >= until {
            *present = None;
            self.active.store(false, Ordering::Release);
            return false;
        }
        is_write || waits == Waits::All
    }

    /// Ends when there may be no pause any more.
    pub(super) async fn over(&self) {
        let changed = self.changed.notified();
        let Some((until, _)) = *self.present.lock() else {
            return;
        };
        let _ = tokio::time::timeout_at(until, changed).await;
    }
}

/// A connection that waits, counted as long as it does.
#[derive(Debug)]
pub(super) struct Blocked(Arc<Shared>);

impl Blocked {
    pub(super) fn new(shared: &Arc<Shared>) -> Blocked {
        shared.blocked.fetch_add(1, Ordering::Relaxed);
        Blocked(Arc::clone(shared))
    }

    /// Waits until there may be no pause any more.
    pub(super) async fn pause_over(self) {
        self.0.pause.over().await;
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        self.0.blocked.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_ends_by_itself_or_by_order() {
        let pause = Pause::default();
        assert!(!pause.holds(true));
        pause.over().await;
        let second = Duration::from_secs(1);
        pause.begin(second, Waits::Writes);
        assert!(pause.holds(true) && !pause.holds(false));
        // A shorter one does not shorten it, but it is for all now.
        pause.begin(second / 2, Waits::All);
        assert!(pause.holds(false));
        tokio::time::advance(second * 3 / 4).await;
        assert!(pause.holds(true));
        pause.over().await;
        assert!(!pause.holds(true));
        pause.begin(Duration::MAX, Waits::All);
        let waits = pause.over();
        tokio::pin!(waits);
        assert!(futures_util::poll!(waits.as_mut()).is_pending());
        pause.end();
        waits.await;
        assert!(!pause.holds(true));
    }
}
