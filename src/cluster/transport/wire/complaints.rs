//! When to complain of a peer that cannot be talked to: not at once, and not all the time.
//!
//! Two nodes that dial each other at the same moment close one of the connections, which looks like
//! a failed handshake; a wrong cookie fails again and again. So the third failure within a minute
//! is the first to be told, and then one a minute for each address. What cannot be chance, such as a
//! certificate of another cluster, is told the first time, and goes by address and reason.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// How long failures are remembered, and complaints are apart.
const SPAN: Duration = Duration::from_secs(60);
/// So many failures are no coincidence.
const FAILURES: u32 = 3;
/// Most addresses that are remembered; further ones fail in silence.
const ADDRESSES_MAX: usize = 1_024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Complaints(HashMap<String, Failures>);

#[derive(Debug)]
struct Failures {
    since: Instant,
    count: u32,
}

impl Complaints {
    /// Notes a failure of `address`; whether it is to be told.
    pub(super) fn failed(&mut self, address: &str, now: Instant) -> bool {
        self.note(address, now, 0)
    }

    /// Notes a failure that is no coincidence; whether it is to be told.
    pub(super) fn refused(&mut self, address: &str, now: Instant) -> bool {
        self.note(address, now, FAILURES - 1)
    }

    /// Counts on from `before` if nothing is known yet.
    fn note(&mut self, address: &str, now: Instant, before: u32) -> bool {
        let recent = |failures: &mut Failures| now.duration_since(failures.since) < SPAN;
        if self.0.len() >= ADDRESSES_MAX {
            self.0.retain(|_, failures| recent(failures));
        }
        if self.0.len() >= ADDRESSES_MAX && !self.0.contains_key(address) {
            return false;
        }
        let none = Failures {
            since: now,
            count: before,
        };
        let failures = self.0.entry(address.to_owned()).or_insert(none);
        if !recent(failures) {
            // What was told of before is told of again at once.
            let known = failures.count >= FAILURES;
            failures.since = now;
            failures.count = if known { FAILURES - 1 } else { 0 };
        }
        if failures.count < FAILURES {
            failures.count = failures.count.max(before);
        }
        failures.count += 1;
        failures.count == FAILURES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn once_a_minute_from_the_third_failure_on() {
        let mut complaints = Complaints::default();
        let start = Instant::now();
        let mut told = Vec::new();
        for second in 0..180 {
            if complaints.failed("a:1", start + Duration::from_secs(second)) {
                told.push(second);
            }
        }
        assert_eq!(told, [2, 60, 120]);
        // Another address has failures of its own.
        assert!(!complaints.failed("b:1", start));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_chance_is_told_at_once() {
        let mut complaints = Complaints::default();
        let start = Instant::now();
        let told = |complaints: &mut Complaints, second| {
            complaints.refused("a:1", start + Duration::from_secs(second))
        };
        let mut seconds = Vec::new();
        for second in 0..180 {
            if told(&mut complaints, second) {
                seconds.push(second);
            }
        }
        assert_eq!(seconds, [0, 60, 120]);
        assert!(!complaints.failed("b:1", start));
        assert!(complaints.refused("b:1", start));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_now_and_then_is_none() {
        let mut complaints = Complaints::default();
        let start = Instant::now();
        let told = (0..100).any(|count| complaints.failed("a:1", start + SPAN * count));
        assert!(!told);
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_take_no_memory_without_end() {
        let mut complaints = Complaints::default();
        let start = Instant::now();
        for number in 0..5_000 {
            complaints.failed(&number.to_string(), start);
        }
        assert_eq!(complaints.0.len(), ADDRESSES_MAX);
        complaints.failed("later", start + SPAN);
        assert_eq!(complaints.0.len(), 1);
    }
}
