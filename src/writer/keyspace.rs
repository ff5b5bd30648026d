//! A writer's keys as a whole: walks that let others have the lock in between.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::Writer;
use super::core::{Kinds, Owned};
use crate::key::PartitionId;
use crate::replication::Ticket;
use crate::table::Cursor;

/// So many entries are looked at under one lock.
const WORK_MAX: usize = 1_000;
/// So many deletes wait for their copies before the next ones are made.
const TICKETS_MAX: usize = 1_000;
/// What has no room on the way to a copy is tried again after so long.
const ROOM_AFTER: Duration = Duration::from_millis(10);

/// What a flush has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// Values that were deleted.
    pub count: u64,
    /// Partitions that had none at some moment, and whose copies know it.
    pub partitions: Vec<PartitionId>,
}

impl Writer {
    /// Those of some partitions that this node owns, in their order; none if it does not know at the
    /// moment.
    pub fn survey(&self, partitions: impl Iterator<Item = PartitionId>) -> Vec<Owned> {
        if self.0.options.pulse.is_fresh(self.now()) {
            self.0.core.lock().survey(partitions)
        } else {
            Vec::new()
        }
    }

    /// Visits the keys of the `wanted` partitions that have values, a stretch at a time; where to go
    /// on, or `None`.
    pub fn walk_keys(
        &self,
        cursor: Cursor,
        wanted: impl Fn(PartitionId) -> bool,
        visit: impl FnMut(PartitionId, &[u8]),
    ) -> Option<Cursor> {
        let now = self.now();
        let mut core = self.0.core.lock();
        core.walk_keys(cursor, now, WORK_MAX, wanted, visit)
    }

    /// Whether each of these keys of a partition has a value of one of these kinds; `None` if this
    /// node does not own it, or does not know at the moment.
    pub fn examine<'a>(
        &self,
        partition: PartitionId,
        keys: impl Iterator<Item = &'a [u8]>,
        kinds: Kinds,
    ) -> Option<Vec<bool>> {
        let now = self.now();
        if !self.0.options.pulse.is_fresh(now) {
            return None;
        }
        self.0.core.lock().examine(partition, keys, kinds, now)
    }

    /// Some key that this node owns, by a number drawn at random; `None` if none was found in a few
    /// places.
    #[must_use]
    pub fn sample(&self, drawn: u64) -> Option<Bytes> {
        let now = self.now();
        self.0.core.lock().sample(drawn, now)
    }

    /// Deletes all of the `wanted` partitions that this node owns, and waits for their copies, until
    /// the deadline.
    pub async fn flush(&self, wanted: impl Fn(PartitionId) -> bool, deadline: Instant) -> Deleted {
        let now = self.now();
        if !self.0.options.pulse.is_fresh(now) {
            return Deleted::default();
        }
        let mut flush = self.0.core.lock().begin_flush(wanted, now);
        let mut lost = Vec::new();
        let mut at = Some(Cursor::default());
        let mut tickets = Vec::new();
        while let Some(cursor) = at {
            let now = self.now();
            at = self
                .0
                .core
                .lock()
                .flush_step(&mut flush, cursor, now, WORK_MAX);
            tickets.append(&mut flush.take_tickets());
            if tickets.len() > TICKETS_MAX {
                wait(std::mem::take(&mut tickets), deadline, &mut lost).await;
            }
            tokio::task::yield_now().await;
        }
        let mut partitions = Vec::new();
        loop {
            let now = self.now();
            let (told, more) = self.0.core.lock().end_flush(&mut flush, now);
            partitions.extend(told);
            tickets.append(&mut flush.take_tickets());
            if !more || Instant::now() >= deadline {
                break;
            }
            tokio::time::sleep(ROOM_AFTER).await;
        }
        wait(tickets, deadline, &mut lost).await;
        partitions.retain(|partition| !lost.contains(partition));
        Deleted {
            count: flush.deleted(),
            partitions,
        }
    }
}

/// Waits for copies; adds those partitions whose copies do not follow this node any more, or have
/// not answered in time.
async fn wait(tickets: Vec<(PartitionId, Ticket)>, deadline: Instant, lost: &mut Vec<PartitionId>) {
    for (partition, ticket) in tickets {
        let done = tokio::time::timeout_at(deadline, ticket.done()).await;
        if done != Ok(true) && !lost.contains(&partition) {
            lost.push(partition);
        }
    }
}
