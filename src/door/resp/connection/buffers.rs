//! The two buffers of a connection: how much is read, what is kept, when it is written.
//!
//! They grow with what is there, not with what is claimed, and what they have beyond a little counts
//! in the memory of the doors.

use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::{Connection, Stop};
use crate::door::resp::failure::Refusal;

/// How much is read at a time at first, and at most.
pub(super) const READ_BYTES: usize = 4 << 10;
const READ_BYTES_MAX: usize = 64 << 10;
/// With less room than this in the buffer it is made larger, or begun anew.
const ROOM_MIN: usize = 1 << 10;
/// What is kept of a buffer for replies.
const OUT_KEPT: usize = 16 << 10;
/// With less in all its buffers a connection does not count in the memory of the doors.
const SMALL_BYTES: usize = 96 << 10;
/// How much is read ahead of what cannot be carried out yet.
const AHEAD_BYTES_MAX: usize = 64 << 10;

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Writes what is ready.
    pub(super) fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.out.len() {
            let rest = &self.out.bytes()[self.written..];
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
            self.unflushed = true;
            self.patience.took(count);
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
            self.patience.caught_up();
            self.written = 0;
            self.out.clear(OUT_KEPT);
        }
        Poll::Ready(Ok(()))
    }

    /// Whether there is a reason to read on, and room.
    pub(super) fn may_read(&self, stop: Stop) -> bool {
        // A client that goes away while it waits is noticed, too.
        stop == Stop::Starved && self.last_words.is_none() || self.input.len() < AHEAD_BYTES_MAX
    }

    /// Reads what is there.
    pub(super) fn fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let room = self.input.capacity() - self.input.len();
        let is_enough = room >= ROOM_MIN || room > 0 && room >= self.missing;
        if !is_enough && let Err(refusal) = self.make_room() {
            self.refuse(&refusal);
            // Once more around, to say it.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let room = self.input.capacity() - self.input.len();
        let count = {
            let read = std::pin::pin!(self.stream.read_buf(&mut self.input));
            ready!(read.poll(cx))?
        };
        self.read += count as u64;
        if count == room {
            self.reach = (self.reach * 2).min(READ_BYTES_MAX);
        }
        Poll::Ready(Ok(count))
    }

    /// Makes the buffer larger, by what is missing but not by more than there is already: nothing is
    /// reserved because somebody claims to send it.
    fn make_room(&mut self) -> Result<(), Refusal> {
        let there = self.input.len();
        let more = self.missing.min(there.max(READ_BYTES_MAX)).max(self.reach);
        let wanted = there + more + self.queue.request_bytes();
        if wanted > SMALL_BYTES && wanted > self.hold.bytes() {
            self.hold.set(wanted)?;
        }
        self.input.reserve(more);
        Ok(())
    }

    /// Takes of the memory of the doors what the buffers have.
    pub(super) fn account(&mut self) {
        if self.input.is_empty() && self.input.capacity() > READ_BYTES_MAX {
            self.input = BytesMut::new();
        }
        let input = self.input.len().max(self.input.capacity());
        let output = self.out.len() + self.queue.ready_bytes();
        let bytes = input + output + self.queue.request_bytes();
        let counted = if bytes > SMALL_BYTES { bytes } else { 0 };
        if counted != self.hold.bytes() {
            // What is there is there.
            self.hold.must(counted);
        }
        let client = &self.session.client;
        client.input_bytes.store(self.input.len(), Relaxed);
        client
            .input_free
            .store(self.input.capacity() - self.input.len(), Relaxed);
        client.output_bytes.store(output - self.written, Relaxed);
    }
}
