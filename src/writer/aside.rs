//! Commands that would hold a writer's lock for too long: decided on a copy of the value, beside the
//! lock, on a thread where nobody else waits.
//!
//! ```text
//! lock     try it anew; copy the value and its version          as long as a read of the whole value
//!          decide, on the copy                                  as long as it takes
//! lock     write what came of it, if the version is the same    as long as a write of the whole value
//! ```
//!
//! If it is not the same the command begins anew, at most [`TRIES`] times; then it is refused, and
//! nothing has changed. It never ends under the lock: what bounds the lock's time must not depend on
//! who writes beside it.
//!
//! One command at a time is decided for each writer, so that memory for a copy and what becomes of it
//! is taken once, and others find processors. The others wait, bounded as the writer's queue is. They
//! wait in the order in which they came, but commands beside the lock and before it may overtake each
//! other: whoever needs an order waits for an answer.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::core::Outcome;
use super::{Error, Writer};
use crate::command::{self, Command, Entry, OperationId};
use crate::key::PartitionId;

/// So often a command is decided anew because the value has changed meanwhile.
const TRIES: u32 = 4;

/// Where commands are decided beside a writer's lock.
#[derive(Debug)]
pub(super) struct Desk {
    turns: Arc<Semaphore>,
    waiting: Mutex<Waiting>,
    count_max: usize,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    count: usize,
    bytes: usize,
}

/// A command that waits or is decided.
struct Place {
    writer: Writer,
    bytes: usize,
}

impl Desk {
    pub(super) fn new(count_max: usize, bytes_max: usize) -> Desk {
        Desk {
            turns: Arc::new(Semaphore::new(1)),
            waiting: Mutex::default(),
            count_max,
            bytes_max,
        }
    }

    /// Waits until nobody else is at it, and stays there until what comes of this is dropped. Nobody
    /// closes the semaphore, so it does come.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turns).acquire_owned().await.ok()
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.lock().count
    }
}

impl Place {
    fn take(writer: &Writer, bytes: usize) -> Result<Place, Error> {
        let desk = &writer.0.desk;
        let mut waiting = desk.waiting.lock();
        let full =
            waiting.count >= desk.count_max || waiting.bytes.saturating_add(bytes) > desk.bytes_max;
        // A single command larger than the whole bound must still be possible.
        if full && waiting.count > 0 {
            return Err(Error::Overloaded);
        }
        waiting.count += 1;
        waiting.bytes += bytes;
        let writer = writer.clone();
        Ok(Place { writer, bytes })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.writer.0.desk.waiting.lock();
        waiting.count -= 1;
        waiting.bytes -= self.bytes;
    }
}

impl Writer {
    /// Carries a command out beside the lock. It goes on when this future is dropped after its turn
    /// has come.
    pub(super) async fn apply_aside(
        &self,
        partition: PartitionId,
        command: Command,
        operation: Option<OperationId>,
    ) -> Result<Outcome, Error> {
        let place = Place::take(self, command.bytes())?;
        let turn = self.0.desk.turn().await;
        let decided = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            place.writer.decide(partition, &command, operation)
        });
        decided.await.unwrap_or(Err(Error::Internal))
    }

    fn decide(
        &self,
        partition: PartitionId,
        command: &Command,
        operation: Option<OperationId>,
    ) -> Result<Outcome, Error> {
        let outcome = self.work_out(partition, command, operation);
        let is_served = !matches!(outcome, Ok(Outcome::Elsewhere));
        let mut core = self.0.core.lock();
        match command.is_read() {
            true => core.served.reads += u64::from(is_served),
            false => core.served.writes += u64::from(is_served),
        }
        drop(core);
        outcome
    }

    fn work_out(
        &self,
        partition: PartitionId,
        command: &Command,
        operation: Option<OperationId>,
    ) -> Result<Outcome, Error> {
        let shared = &*self.0;
        for _ in 0..TRIES {
            let now = shared.options.clock.now();
            let current = {
                let mut core = shared.core.lock();
                // It may be short by now, or done; and this node may have lost the partition.
                match self.guarded(&mut core, (partition, command, operation), now)? {
                    None => core.snapshot(command.key().as_bytes(), now),
                    Some(outcome) => return Ok(outcome),
                }
            };
            let prepared = self.caught(command, || {
                let current = current.as_ref().map(Entry::as_ref);
                let limits = &shared.options.limits;
                Ok(command::prepare(command, current, now, limits)?)
            })?;
            drop(current);
            // It was so at the moment of the copy.
            if prepared.is_without_effect() {
                return Ok(Outcome::Done(prepared.into_reply(), None));
            }
            let now = shared.options.clock.now();
            if !shared.options.pulse.is_fresh(now) {
                return Ok(Outcome::Elsewhere);
            }
            let mut core = shared.core.lock();
            let settled = self.caught(command, || {
                core.settle(partition, command, operation, prepared, now)
            })?;
            if let Some(outcome) = settled {
                return Ok(outcome);
            }
        }
        Err(Error::Overtaken)
    }
}
