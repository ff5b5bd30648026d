//! Patience with a client that does not take what is written to it.
//!
//! It may take nothing for a while, and little for longer: once it has kept an answer waiting it has
//! that while, and a second for every thousand bytes that it takes, until it has caught up. The
//! clock is looked at only when a write waits.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// How slowly answers may be taken on the whole, once a client has kept one waiting.
const BYTES_PER_SECOND_MIN: u64 = 1_000;

/// See the module. One for each connection.
#[derive(Debug)]
pub(crate) struct Patience {
    span: Duration,
    behind: Option<Behind>,
}

/// The client does not keep up.
#[derive(Debug)]
struct Behind {
    since: Instant,
    /// What it has taken since.
    bytes: u64,
    timer: Pin<Box<Sleep>>,
    blocked: bool,
}

impl Patience {
    /// With a client that may take nothing for `span`.
    pub(crate) fn new(span: Duration) -> Patience {
        Patience { span, behind: None }
    }

    /// It took so many bytes.
    pub(crate) fn took(&mut self, bytes: usize) {
        if let Some(behind) = &mut self.behind {
            behind.bytes += bytes as u64;
            behind.blocked = false;
        }
    }

    /// Whether it has not yet caught up.
    pub(crate) fn is_tried(&self) -> bool {
        self.behind.is_some()
    }

    /// It has everything.
    pub(crate) fn caught_up(&mut self) {
        self.behind = None;
    }

    /// It takes nothing at the moment. Ready when that has been so for too long.
    pub(crate) fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let span = self.span;
        let behind = self.behind.get_or_insert_with(|| Behind {
            since: Instant::now(),
            bytes: 0,
            timer: Box::pin(tokio::time::sleep(span)),
            blocked: true,
        });
        if !behind.blocked {
            behind.blocked = true;
            let earned = Duration::from_secs(behind.bytes / BYTES_PER_SECOND_MIN);
            let until = (Instant::now() + span).min(behind.since + span + earned);
            behind.timer.as_mut().reset(until);
        }
        behind.timer.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    const SPAN: Duration = Duration::from_secs(30);

    /// How long it lasts with a client that takes `bytes` every `every`.
    async fn lasts(bytes: usize, every: Duration) -> Duration {
        let begin = Instant::now();
        let mut patience = Patience::new(SPAN);
        loop {
            let lost = poll_fn(|cx| patience.poll_lost(cx));
            if tokio::time::timeout(every, lost).await.is_ok() {
                return begin.elapsed();
            }
            patience.took(bytes);
            if begin.elapsed() > SPAN * 100 {
                return Duration::MAX;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_with_who_takes_nothing_or_too_little() {
        let second = Duration::from_secs(1);
        assert_eq!(lasts(1 << 20, SPAN * 2).await, SPAN);
        let little = lasts(10, second).await;
        assert!(little >= SPAN && little < SPAN * 2, "{little:?}");
        assert_eq!(lasts(1_500, second).await, Duration::MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_caught_up_begins_anew() {
        let mut patience = Patience::new(SPAN);
        for _ in 0..5 {
            let lost = poll_fn(|cx| patience.poll_lost(cx));
            let waited = tokio::time::timeout(SPAN - Duration::from_secs(1), lost).await;
            assert!(waited.is_err());
            patience.caught_up();
        }
    }
}
