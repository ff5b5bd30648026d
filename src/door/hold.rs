//! The memory of the doors: what requests and large answers may take of it together.
//!
//! Every body of a request, and every answer that is large, streamed or part of a batch, has a
//! [`Hold`] on the doors' [`Budget`] for as long as it is in memory: a body until its request is
//! answered, an answer until the connection has written it out or is closed. A hold gives back what
//! it has when it is dropped, so no way out of a request can forget to: not an error, nor a client
//! that went away, nor a panic.
//!
//! What is short has a margin of its own, an eighth on top, so that a few who are slow with large
//! values do not keep out the many who are quick with small ones.
//!
//! Invariant: what was asked for ([`Hold::take`], [`Hold::set`]) never exceeds the budget and
//! its margin. Beyond them goes only the answer to a write that was applied ([`Hold::owe`]), which must not become a
//! refusal; while it stands nothing more is admitted. Answers below [`LARGE_BYTES`] to reads of one
//! key are not counted: a connection holds at most a few of them, and connections are bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;

/// From this length on the answer to a read of one key counts, and nothing has the margin.
pub(crate) const LARGE_BYTES: usize = 16 << 10;
/// From this length on an answer counts on a connection that carries many at a time.
#[cfg(feature = "grpc")]
pub(crate) const SHORT_BYTES: usize = 1 << 10;

/// There is not as much left; nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the memory for requests and answers is used up; try again later")]
pub(crate) struct Refused;

/// What all requests of the doors share.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes_max: usize,
    /// How much more there is for what is short.
    margin: usize,
    used: AtomicUsize,
    refused: AtomicU64,
}

impl Budget {
    pub(crate) fn new(bytes_max: usize) -> Arc<Budget> {
        Budget::with_margin(bytes_max, bytes_max / 8)
    }

    fn with_margin(bytes_max: usize, margin: usize) -> Arc<Budget> {
        Arc::new(Budget {
            bytes_max,
            margin,
            used: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
        })
    }

    /// One without a margin.
    #[cfg(test)]
    pub(crate) fn exact(bytes_max: usize) -> Arc<Budget> {
        Budget::with_margin(bytes_max, 0)
    }

    /// What is held now.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// How often it was not enough.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Whether what is so long fits once others have let go of theirs. What does not never will.
    pub(crate) fn fits(&self, bytes: usize) -> bool {
        bytes <= self.limit(bytes)
    }

    fn expect(&self, bytes: u64) -> Result<(), Refused> {
        let whole = usize::try_from(bytes).unwrap_or(usize::MAX);
        let free = self.limit(whole).saturating_sub(self.used());
        if whole <= free {
            return Ok(());
        }
        Err(self.refuse())
    }

    /// How far what is so long on the whole may go.
    fn limit(&self, whole: usize) -> usize {
        if whole < LARGE_BYTES {
            self.bytes_max.saturating_add(self.margin)
        } else {
            self.bytes_max
        }
    }

    /// Takes `bytes` more for what is then `whole`.
    fn admit(&self, bytes: usize, whole: usize) -> bool {
        let limit = self.limit(whole);
        // Not added first and taken back after: that would refuse others meanwhile.
        let more = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= limit);
        self.used.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    fn refuse(&self) -> Refused {
        self.refused.fetch_add(1, Relaxed);
        Refused
    }
}

/// A part of a [`Budget`].
#[derive(Debug)]
pub(crate) struct Hold {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Hold {
    /// Nothing yet.
    pub(crate) fn nothing(budget: &Arc<Budget>) -> Hold {
        Hold {
            budget: Arc::clone(budget),
            bytes: 0,
        }
    }

    /// So many bytes, if there are as many.
    pub(crate) fn take(budget: &Arc<Budget>, bytes: usize) -> Result<Hold, Refused> {
        let mut hold = Hold::nothing(budget);
        hold.set(bytes)?;
        Ok(hold)
    }

    /// [`Hold::take`] for the answer to a read of one key: a short one takes nothing.
    pub(crate) fn take_large(budget: &Arc<Budget>, bytes: usize) -> Result<Option<Hold>, Refused> {
        if bytes < LARGE_BYTES {
            return Ok(None);
        }
        Hold::take(budget, bytes).map(Some)
    }

    /// Refuses what certainly does not fit at the moment; takes nothing.
    pub(crate) fn expect(&self, bytes: u64) -> Result<(), Refused> {
        self.budget.expect(bytes)
    }

    /// So many bytes, whether there are as many or not. See the module.
    pub(crate) fn owe(budget: &Arc<Budget>, bytes: usize) -> Hold {
        budget.used.fetch_add(bytes, Relaxed);
        Hold {
            budget: Arc::clone(budget),
            bytes,
        }
    }

    /// Has so many bytes from now on. Refused, it has as many as before.
    pub(crate) fn set(&mut self, bytes: usize) -> Result<(), Refused> {
        if self.try_set(bytes) {
            Ok(())
        } else {
            Err(self.budget.refuse())
        }
    }

    /// [`Hold::set`] for who can do with less: nothing is counted as refused.
    pub(crate) fn try_set(&mut self, bytes: usize) -> bool {
        let done = match bytes.checked_sub(self.bytes) {
            Some(0) => true,
            Some(more) => self.budget.admit(more, bytes),
            None => {
                self.budget.used.fetch_sub(self.bytes - bytes, Relaxed);
                true
            }
        };
        if done {
            self.bytes = bytes;
        }
        done
    }

    /// [`Hold::set`] for what is there already and must be kept. See the module.
    pub(crate) fn must(&mut self, bytes: usize) {
        if !self.try_set(bytes) {
            self.budget.used.fetch_add(bytes - self.bytes, Relaxed);
            self.bytes = bytes;
        }
    }

    /// What it has.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds what another one has.
    fn absorb(&mut self, mut other: Hold) {
        debug_assert!(Arc::ptr_eq(&self.budget, &other.budget));
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Ties it to what it was taken for: it ends when the last clone of these bytes is gone.
    pub(crate) fn keep(self, bytes: Vec<u8>) -> Bytes {
        Held { bytes, hold: self }.into_bytes()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.used.fetch_sub(self.bytes, Relaxed);
        }
    }
}

/// Bytes with the hold that they have.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) bytes: Vec<u8>,
    pub(crate) hold: Hold,
}

impl Held {
    /// Nothing yet.
    pub(crate) fn nothing(budget: &Arc<Budget>) -> Held {
        Held {
            bytes: Vec::new(),
            hold: Hold::nothing(budget),
        }
    }

    /// Bytes that are there already and must be kept.
    pub(crate) fn owing(budget: &Arc<Budget>, bytes: Vec<u8>) -> Held {
        Held {
            hold: Hold::owe(budget, bytes.len()),
            bytes,
        }
    }

    /// Appends what another one has.
    pub(crate) fn append(&mut self, other: Held) {
        self.bytes.extend_from_slice(&other.bytes);
        self.hold.absorb(other.hold);
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_gives_back_what_it_has() {
        let budget = Budget::exact(100);
        let mut hold = Hold::take(&budget, 60).unwrap();
        assert_eq!(Hold::take(&budget, 41).unwrap_err(), Refused);
        assert_eq!((budget.used(), budget.refused()), (60, 1));
        assert!(hold.set(101).is_err());
        assert_eq!(budget.used(), 60);
        hold.set(100).unwrap();
        assert!(Hold::take(&budget, 1).is_err());
        hold.set(10).unwrap();
        assert_eq!(budget.used(), 10);
        drop(hold);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_is_owed_keeps_others_out() {
        let budget = Budget::exact(100);
        let owed = Hold::owe(&budget, 150);
        assert!(Hold::take(&budget, 1).is_err());
        assert!(budget.expect(1).is_err());
        assert!(budget.expect(0).is_ok());
        drop(owed);
        assert!(budget.expect(100).is_ok());
        assert!(budget.expect(101).is_err());
    }

    #[test]
    fn kept_bytes_hold_until_the_last_clone_is_gone() {
        let budget = Budget::exact(100);
        let mut held = Held::owing(&budget, vec![1; 20]);
        held.append(Held::owing(&budget, vec![2; 30]));
        assert_eq!(budget.used(), 50);
        let bytes = held.into_bytes();
        let part = bytes.slice(20..);
        drop(bytes);
        assert_eq!((part.len(), budget.used()), (30, 50));
        drop(part);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_panic_gives_back_too() {
        let budget = Budget::exact(100);
        let taken = Arc::clone(&budget);
        let panicked = std::thread::spawn(move || {
            let _hold = Hold::take(&taken, 70).unwrap();
            std::panic::resume_unwind(Box::new("as a panic would"));
        });
        assert!(panicked.join().is_err());
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_is_short_has_a_margin() {
        let budget = Budget::new(8 * LARGE_BYTES);
        let mut large = Hold::take(&budget, 8 * LARGE_BYTES).unwrap();
        assert!(Hold::take(&budget, LARGE_BYTES).is_err());
        let mut short = Hold::take(&budget, LARGE_BYTES / 2).unwrap();
        assert!(short.set(LARGE_BYTES).is_err(), "it is not short any more");
        let _other = Hold::take(&budget, LARGE_BYTES / 2).unwrap();
        assert!(Hold::take(&budget, 1).is_err());
        assert!(budget.fits(1) && budget.fits(8 * LARGE_BYTES));
        assert!(!budget.fits(8 * LARGE_BYTES + 1));
        large.set(LARGE_BYTES).unwrap();
        assert!(short.set(LARGE_BYTES).is_ok());
    }

    #[test]
    fn short_answers_take_nothing() {
        let budget = Budget::new(LARGE_BYTES);
        assert!(
            Hold::take_large(&budget, LARGE_BYTES - 1)
                .unwrap()
                .is_none()
        );
        let large = Hold::take_large(&budget, LARGE_BYTES).unwrap();
        assert!(large.is_some());
        assert!(Hold::take_large(&budget, LARGE_BYTES).is_err());
    }
}
