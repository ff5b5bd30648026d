//! Who takes too long: with the rest of a request, to say who it is, or to ask for anything.
//!
//! A timer for each request would cost as much as the request. So there is one for each connection,
//! which looks a few times in each span that matters, and sees what has moved since it looked last.

use std::sync::atomic::Ordering::Relaxed;
use std::task::Context;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::buffers::READ_BYTES;
use super::{Connection, End};
use crate::door::resp::reply::Out;

/// A request may come as slowly as this on the whole, besides the idle timeout.
const BYTES_PER_SECOND_MIN: u64 = 1_000;

/// What the timer saw last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) read: u64,
    pub(super) requests: u64,
    /// Since when nothing was read.
    pub(super) quiet: Instant,
    /// Since when the present request is on its way, and what was read until then.
    pub(super) since: Instant,
    pub(super) from: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Looks after the time, a few times in each span that matters.
    pub(super) fn watch(&mut self, cx: &mut Context<'_>) -> Option<End> {
        if self.is_watching && !self.timer.is_elapsed() {
            return None;
        }
        self.is_watching = true;
        let now = Instant::now();
        let idle = Duration::from_millis(self.shared.idle_ms.load(Relaxed));
        let slow = self.shared.context.config.idle_timeout;
        let end = self.overdue(now, idle, slow);
        let span = if idle.is_zero() { slow } else { idle.min(slow) };
        let next = (span / 4).clamp(Duration::from_millis(10), Duration::from_secs(15));
        self.timer.as_mut().reset(now + next);
        if self.timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        end
    }

    fn overdue(&mut self, now: Instant, idle: Duration, slow: Duration) -> Option<End> {
        let seen = &mut self.seen;
        if seen.read != self.read {
            (seen.read, seen.quiet) = (self.read, now);
        } else if self.input.is_empty() && self.queue.is_empty() && self.out.is_empty() {
            // Nothing came for a while: an idle connection needs no buffers.
            (self.input, self.reach) = (BytesMut::new(), READ_BYTES);
            self.out = Out::new(self.session.protocol);
        }
        if seen.requests != self.requests {
            (seen.requests, seen.since, seen.from) = (self.requests, now, self.read);
        }
        let quiet = now - seen.quiet;
        let waits = !self.queue.is_empty() || self.held.is_some() || self.paused.is_some();
        if waits {
            seen.quiet = now;
            return None;
        }
        if !self.input.is_empty() {
            let earned = Duration::from_secs((self.read - seen.from) / BYTES_PER_SECOND_MIN);
            let late = now - seen.since > slow + earned;
            return (quiet >= slow || late).then_some(End::Slow);
        }
        (seen.since, seen.from) = (now, self.read);
        let stranger = self.session.is_stranger(&self.shared) && quiet >= slow;
        let bored = !idle.is_zero() && quiet >= idle && !self.session.client.listens();
        (stranger || bored).then_some(End::Idle)
    }
}
