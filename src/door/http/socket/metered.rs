//! A connection whose unread messages are on the door's memory.
//!
//! What a client has sent of a message that is not whole yet lies in memory. Beyond what is short it
//! has a [`Hold`]; where there is no room for it the connection ends.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::hold::{Budget, Hold, LARGE_BYTES};

/// What has come of the present message.
#[derive(Clone, Debug)]
pub(super) struct Meter(Arc<Mutex<(usize, Hold)>>);

impl Meter {
    pub(super) fn new(budget: &Arc<Budget>) -> Meter {
        Meter(Arc::new(Mutex::new((0, Hold::nothing(budget)))))
    }

    /// The message was dealt with.
    pub(super) fn reset(&self) {
        let (bytes, hold) = &mut *self.0.lock();
        *bytes = 0;
        // Less is always granted.
        hold.try_set(0);
    }

    /// A part was dealt with that came amidst the message.
    pub(super) fn less(&self, part: usize) {
        let (bytes, hold) = &mut *self.0.lock();
        *bytes = bytes.saturating_sub(part);
        // Less is always granted.
        hold.try_set(hold.bytes().min(*bytes));
    }

    fn add(&self, more: usize) -> io::Result<()> {
        let (bytes, hold) = &mut *self.0.lock();
        *bytes += more;
        if *bytes < LARGE_BYTES || hold.try_set(*bytes) {
            Ok(())
        } else {
            Err(io::ErrorKind::OutOfMemory.into())
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Metered<T> {
    pub(super) inner: T,
    pub(super) meter: Meter,
}

impl<T: AsyncRead + Unpin> AsyncRead for Metered<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        Poll::Ready(this.meter.add(buf.filled().len() - before))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Metered<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_long_counts_and_only_until_it_is_dealt_with() {
        let budget = Budget::exact(3 * LARGE_BYTES);
        let (one, other) = (Meter::new(&budget), Meter::new(&budget));
        one.add(LARGE_BYTES - 1).unwrap();
        assert_eq!(budget.used(), 0);
        one.add(LARGE_BYTES).unwrap();
        other.add(LARGE_BYTES).unwrap();
        assert_eq!(budget.used(), 3 * LARGE_BYTES - 1);
        assert!(other.add(2).is_err());
        one.reset();
        other.add(2).unwrap();
        other.reset();
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_comes_amidst_a_message_does_not_free_it() {
        let budget = Budget::exact(3 * LARGE_BYTES);
        let meter = Meter::new(&budget);
        meter.add(2 * LARGE_BYTES).unwrap();
        for _ in 0..1_000 {
            meter.add(10).unwrap();
            meter.less(10);
        }
        assert_eq!(budget.used(), 2 * LARGE_BYTES);
        meter.add(LARGE_BYTES).unwrap();
        assert!(meter.add(1).is_err());
        meter.reset();
        meter.less(10);
        assert_eq!(budget.used(), 0);
    }
}
