//! The memory that the tables of a node share, and each table's account with it.
//!
//! Invariant: the claims of all accounts never exceed the limit by their own reservations. An
//! account's claim is what it holds committed, but at least a small floor, so that one table that
//! grew first cannot leave another with nothing at all. Beyond that a table asks for its fair
//! share by [`Account::starve`]; a table above its share gives way in its next `maintain`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// The memory that all tables of a node share.
#[derive(Debug)]
pub struct Budget {
    limit_bytes: AtomicU64,
    committed_bytes: AtomicU64,
    /// The sum over the accounts of the larger of committed bytes and floor.
    claimed_bytes: AtomicU64,
    accounts: AtomicU64,
    starved: AtomicBool,
}

impl Budget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(limit_bytes: u64) -> Arc<Budget> {
        Arc::new(Budget {
            limit_bytes: limit_bytes.into(),
            committed_bytes: 0.into(),
            claimed_bytes: 0.into(),
            accounts: 0.into(),
            starved: false.into(),
        })
    }

    /// What the tables may commit together.
    #[must_use]
    pub fn limit_bytes(&self) -> u64 {
        self.limit_bytes.load(Relaxed)
    }

    /// Changes the limit; tables above it evict at their next write or
    /// [`maintain`](super::Table::maintain).
    pub fn set_limit_bytes(&self, bytes: u64) {
        self.limit_bytes.store(bytes, Relaxed);
    }

    /// What the tables hold committed.
    #[must_use]
    pub fn committed_bytes(&self) -> u64 {
        self.committed_bytes.load(Relaxed)
    }
}

/// The most that a table which has nothing yet keeps others from taking.
const FLOOR_BYTES_MAX: u64 = 1 << 20;

/// What one table holds of a [`Budget`]. Dropping it gives everything back.
#[derive(Debug)]
pub(super) struct Account {
    budget: Arc<Budget>,
    committed: u64,
    floor: u64,
}

impl Account {
    pub(super) fn open(budget: Arc<Budget>) -> Account {
        let floor = (budget.limit_bytes() / 256).min(FLOOR_BYTES_MAX);
        budget.claimed_bytes.fetch_add(floor, Relaxed);
        budget.accounts.fetch_add(1, Relaxed);
        Account {
            budget,
            committed: 0,
            floor,
        }
    }

    pub(super) fn committed(&self) -> u64 {
        self.committed
    }

    pub(super) fn limit(&self) -> u64 {
        self.budget.limit_bytes()
    }

    /// Takes `bytes` more if all claims then stay within the limit.
    #[inline]
    pub(super) fn try_reserve(&mut self, bytes: u64) -> bool {
        let wanted = self.committed.saturating_add(bytes);
        let more = wanted.max(self.floor) - self.committed.max(self.floor);
        let limit = self.limit();
        if more == 0 {
            // Within the floor, or nothing wanted: only a lowered limit can stand against it.
            if self.committed > self.floor && self.budget.claimed_bytes.load(Relaxed) > limit {
                return false;
            }
        } else {
            let before = self.budget.claimed_bytes.fetch_add(more, Relaxed);
            if before.saturating_add(more) > limit {
                self.budget.claimed_bytes.fetch_sub(more, Relaxed);
                return false;
            }
        }
        if bytes > 0 {
            self.budget.committed_bytes.fetch_add(bytes, Relaxed);
            self.committed = wanted;
        }
        true
    }

    /// Whether `bytes` would fit if this account gave `evictable` of its bytes back.
    pub(super) fn could_fit(&self, bytes: u64, evictable: u64) -> bool {
        let kept = self.committed.saturating_sub(evictable);
        let others = self
            .budget
            .claimed_bytes
            .load(Relaxed)
            .saturating_sub(self.committed.max(self.floor));
        let own = kept.saturating_add(bytes).max(self.floor);
        others.saturating_add(own) <= self.limit()
    }

    /// Sets what is held to what was measured.
    #[inline]
    pub(super) fn settle(&mut self, actual: u64) {
        if actual == self.committed {
            return;
        }
        let claim = self.committed.max(self.floor);
        let next = actual.max(self.floor);
        // Two's complement: adding the wrapped difference also subtracts.
        let budget = &self.budget;
        budget
            .claimed_bytes
            .fetch_add(next.wrapping_sub(claim), Relaxed);
        budget
            .committed_bytes
            .fetch_add(actual.wrapping_sub(self.committed), Relaxed);
        self.committed = actual;
    }

    fn share(&self) -> u64 {
        self.limit() / self.budget.accounts.load(Relaxed).max(1)
    }

    /// Says that this table had to evict; heard if it holds clearly less than its fair share.
    pub(super) fn starve(&self) {
        if self.committed < self.share() / 8 * 7 {
            self.budget.starved.store(true, Relaxed);
        }
    }

    /// Whether this table holds clearly more than its fair share while another one starves.
    pub(super) fn should_give_way(&self) -> bool {
        self.committed > self.share() / 8 * 9 && self.budget.starved.swap(false, Relaxed)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.settle(0);
        self.budget.claimed_bytes.fetch_sub(self.floor, Relaxed);
        self.budget.accounts.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reservations_stop_at_the_limit_and_come_back() {
        let budget = Budget::new(1 << 20);
        let mut a = Account::open(Arc::clone(&budget));
        let mut b = Account::open(Arc::clone(&budget));
        let floor = (1 << 20) / 256;
        assert!(a.try_reserve((1 << 20) - floor));
        assert!(!a.try_reserve(1), "the rest is the other's floor");
        assert!(b.try_reserve(floor));
        assert!(!b.try_reserve(1));
        assert_eq!(budget.committed_bytes(), 1 << 20);
        a.settle(1000);
        assert!(b.try_reserve(500_000));
        drop((a, b));
        assert_eq!(budget.committed_bytes(), 0);
        assert_eq!(budget.claimed_bytes.load(Relaxed), 0);
    }

    #[test]
    fn a_lowered_limit_asks_for_eviction_even_without_growth() {
        let budget = Budget::new(1 << 20);
        let mut a = Account::open(Arc::clone(&budget));
        assert!(a.try_reserve(500_000));
        budget.set_limit_bytes(400_000);
        assert!(!a.try_reserve(0));
        assert!(!a.could_fit(400_001, 500_000));
        assert!(a.could_fit(400_000, 500_000));
    }
}
