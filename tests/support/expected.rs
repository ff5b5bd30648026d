//! What a client knows of a key that nobody else writes, and whether an answer agrees with it.
//!
//! A write that was acknowledged *is* so. One that failed may have been applied, at any time after
//! it was sent: the answer to a read may be the old or the new value, and once it was the new one
//! it stays that. [`Expected`] therefore allows at most one such write, and its key is not written
//! again. A [`Tally`] needs no such care, since all increments are alike.
#![allow(dead_code, reason = "each of the tests uses a part of it")]

use std::time::Duration;

use tokio::time::Instant;

/// By how much the remaining time to live may differ from what client and node measured. Both read
/// clocks of one machine.
const TTL_TOLERANCE: Duration = Duration::from_millis(100);

/// When a request was sent and when it was answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) from: Instant,
    pub(crate) to: Instant,
}

/// What a read answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Missing,
    Value {
        n: u64,
        etag: String,
        ttl_ms: Option<u64>,
    },
}

/// When a value ends: between these two, as far as the client can know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    earliest: Instant,
    /// Unknown while it is not known whether and when the write was applied.
    latest: Option<Instant>,
}

impl Life {
    /// Of a value that was written, with this time to live, within the span.
    pub(crate) fn of(ttl: Duration, written: Span) -> Life {
        Life {
            earliest: written.from + ttl,
            latest: Some(written.to + ttl),
        }
    }

    /// Of a value that was written at the earliest then, if at all.
    pub(crate) fn of_doubtful(ttl: Duration, sent: Instant) -> Life {
        Life {
            earliest: sent + ttl,
            latest: None,
        }
    }

    /// Whether it may be over by the end of the span.
    fn may_be_over(self, read: Span) -> bool {
        read.to + TTL_TOLERANCE >= self.earliest
    }

    fn admits(self, ttl_ms: u64, read: Span) -> bool {
        let ttl = Duration::from_millis(ttl_ms);
        let late = |latest| read.from + ttl > latest + TTL_TOLERANCE;
        read.to + ttl + TTL_TOLERANCE >= self.earliest && !self.latest.is_some_and(late)
    }
}

/// What a write leaves behind.
#[derive(Clone, Debug)]
pub(crate) enum Known {
    Absent,
    Stored {
        n: u64,
        /// Not known of a write that was not acknowledged.
        etag: Option<String>,
        life: Option<Life>,
    },
}

impl Known {
    fn admits(&self, seen: &Seen, read: Span) -> bool {
        match (self, seen) {
            (Known::Absent, Seen::Missing) => true,
            (Known::Absent, Seen::Value { .. }) => false,
            (Known::Stored { life, .. }, Seen::Missing) => {
                life.is_some_and(|life| life.may_be_over(read))
            }
            (
                Known::Stored { n, etag, life },
                Seen::Value {
                    n: found,
                    etag: tag,
                    ttl_ms,
                },
            ) => {
                let lives = match (life, ttl_ms) {
                    (None, None) => true,
                    (Some(life), Some(ms)) => life.admits(*ms, read),
                    _ => false,
                };
                n == found && lives && etag.as_ref().is_none_or(|etag| etag == tag)
            }
        }
    }

    /// Takes over what only the answer could tell.
    fn learn(&mut self, seen: &Seen, read: Span) {
        let Known::Stored { etag, life, .. } = self else {
            return;
        };
        let Seen::Value {
            etag: tag, ttl_ms, ..
        } = seen
        else {
            return;
        };
        etag.get_or_insert_with(|| tag.clone());
        if let (Some(life), Some(ms)) = (life, ttl_ms)
            && life.latest.is_none()
        {
            *life = Life::of(Duration::from_millis(*ms), read);
        }
    }
}

/// What is known of one key.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    certain: Known,
    doubtful: Option<Known>,
    /// Through which node and when it was written last, for messages.
    pub(crate) how: String,
}

impl Expected {
    /// Of a key that was never written.
    pub(crate) fn new() -> Expected {
        Expected {
            certain: Known::Absent,
            doubtful: None,
            how: "never written".to_owned(),
        }
    }

    /// Whether a write of it failed, so that it must not be written again.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.doubtful.is_some()
    }

    /// Whether a read that begins now must find a value.
    pub(crate) fn must_be_there(&self) -> bool {
        matches!(self.certain, Known::Stored { life: None, .. }) && self.doubtful.is_none()
    }

    /// A write was acknowledged.
    pub(crate) fn acknowledged(&mut self, known: Known, how: String) {
        assert!(!self.is_doubtful(), "a doubtful key is not written again");
        (self.certain, self.how) = (known, how);
    }

    /// A write failed, and may have been applied or will be.
    pub(crate) fn failed(&mut self, known: Known, how: String) {
        assert!(!self.is_doubtful(), "a doubtful key is not written again");
        self.how = format!("{}, and not acknowledged {how}", self.how);
        self.doubtful = Some(known);
    }

    /// Whether an answer agrees with what is known. It is learnt from if `learn` says so: what may
    /// have been applied, and was seen once, has been.
    pub(crate) fn admits(&mut self, seen: &Seen, read: Span, learn: bool) -> bool {
        if self.certain.admits(seen, read) {
            return true;
        }
        let Some(doubtful) = self.doubtful.as_mut() else {
            return false;
        };
        if !doubtful.admits(seen, read) {
            return false;
        }
        if learn {
            doubtful.learn(seen, read);
            self.certain = doubtful.clone();
            self.doubtful = None;
            self.how += "; it was seen";
        }
        true
    }
}

/// What is known of a counter that only ever goes up by one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    acknowledged: u64,
    /// Increments that may have been applied, each at most once.
    failed: u64,
    /// The greatest value that was answered.
    floor: u64,
}

impl Tally {
    /// An increment was acknowledged with this new value; false if that cannot be.
    #[must_use]
    pub(crate) fn acknowledged(&mut self, value: u64) -> bool {
        self.acknowledged += 1;
        // It was at the floor at least, and this one came on top.
        let sound = value > self.floor && self.allows(value);
        self.floor = self.floor.max(value);
        sound
    }

    /// An increment failed.
    pub(crate) fn failed(&mut self) {
        self.failed += 1;
    }

    /// Whether the counter may be read as this; learnt from if `learn` says so.
    pub(crate) fn admits(&mut self, value: u64, learn: bool) -> bool {
        let sound = value >= self.floor && self.allows(value);
        if sound && learn {
            self.floor = value;
        }
        sound
    }

    fn allows(&self, value: u64) -> bool {
        (self.acknowledged..=self.acknowledged + self.failed).contains(&value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Span {
        let now = Instant::now();
        Span { from: now, to: now }
    }

    fn after(span: Span, ms: u64) -> Span {
        let by = Duration::from_millis(ms);
        Span {
            from: span.from + by,
            to: span.to + by,
        }
    }

    fn stored(n: u64, life: Option<Life>) -> Known {
        Known::Stored {
            n,
            etag: Some(format!("e{n}")),
            life,
        }
    }

    fn value(n: u64, ttl_ms: Option<u64>) -> Seen {
        Seen::Value {
            n,
            etag: format!("e{n}"),
            ttl_ms,
        }
    }

    #[test]
    fn what_was_acknowledged_and_nothing_else_is_admitted() {
        let mut key = Expected::new();
        assert!(key.admits(&Seen::Missing, now(), true));
        assert!(!key.admits(&value(1, None), now(), true));
        key.acknowledged(stored(1, None), String::new());
        key.acknowledged(stored(2, None), String::new());
        assert!(key.must_be_there());
        assert!(key.admits(&value(2, None), now(), true));
        let other_etag = Seen::Value {
            n: 2,
            etag: "e1".to_owned(),
            ttl_ms: None,
        };
        for wrong in [
            Seen::Missing,
            value(1, None),
            value(3, None),
            value(2, Some(5)),
            other_etag,
        ] {
            assert!(!key.admits(&wrong, now(), true), "{wrong:?}");
        }
        key.acknowledged(Known::Absent, String::new());
        assert!(!key.admits(&value(2, None), now(), true));
    }

    #[test]
    fn what_failed_may_be_seen_and_then_stays() {
        let mut key = Expected::new();
        key.acknowledged(stored(1, None), String::new());
        let doubtful = Known::Stored {
            n: 2,
            etag: None,
            life: None,
        };
        key.failed(doubtful, String::new());
        assert!(key.is_doubtful() && !key.must_be_there());
        assert!(key.admits(&value(1, None), now(), true));
        assert!(!key.admits(&Seen::Missing, now(), true));
        assert!(key.admits(&value(2, None), now(), false));
        assert!(key.admits(&value(1, None), now(), true));
        assert!(key.admits(&value(2, None), now(), true));
        assert!(!key.admits(&value(1, None), now(), true));
    }

    #[test]
    fn times_to_live_are_kept_to() {
        let written = now();
        let mut key = Expected::new();
        let life = Life::of(Duration::from_secs(2), written);
        key.acknowledged(stored(1, Some(life)), String::new());
        assert!(!key.must_be_there());
        let read = after(written, 500);
        assert!(key.admits(&value(1, Some(1_500)), read, true));
        for wrong in [
            Seen::Missing,
            value(1, None),
            value(1, Some(2_000)),
            value(1, Some(1_000)),
        ] {
            assert!(!key.admits(&wrong, read, true), "{wrong:?}");
        }
        let read = after(written, 2_500);
        assert!(key.admits(&Seen::Missing, read, true));
        assert!(!key.admits(&value(1, Some(1)), read, true));
    }

    #[test]
    fn counters_count_what_was_acknowledged_and_at_most_what_failed() {
        let mut tally = Tally::default();
        assert!(tally.acknowledged(1));
        assert!(tally.acknowledged(2));
        assert!(!tally.admits(1, true) && !tally.admits(3, true));
        tally.failed();
        assert!(tally.admits(2, true) && tally.admits(3, true));
        assert!(!tally.admits(2, true), "it was 3 already");
        assert!(tally.acknowledged(4));
        assert!(!tally.acknowledged(4), "one of them was lost");
    }
}
