//! The shell of repair: what is [compared and mended](super::core), a stretch at a time, so that others
//! get the lock in between.

use std::collections::HashSet;

use super::{Doubtful, Followed, Moved, Sum, Writer};
use crate::clock::UnixMs;
use crate::key::PartitionId;
use crate::table::Cursor;
use crate::version::NodeId;

impl Writer {
    /// Sums up what is here of the `wanted` partitions, letting others have the lock in between.
    pub async fn sum_up(&self, wanted: impl Fn(PartitionId) -> bool, sums: &mut [Sum]) {
        const WORK_MAX: usize = 1_000;
        let mut at = Some(Cursor::default());
        while let Some(cursor) = at {
            let now = self.0.options.clock.now();
            at = self
                .0
                .core
                .lock()
                .sum_up(cursor, &wanted, sums, now, WORK_MAX);
            tokio::task::yield_now().await;
        }
    }

    /// The turn of a copy that follows `owner`.
    #[must_use]
    pub fn turn_behind(&self, partition: PartitionId, owner: NodeId) -> Option<u32> {
        self.0.core.lock().turn_behind(partition, owner)
    }

    /// Takes the owner's word for an entry that it had when it was `asked`.
    pub fn overrule(&self, followed: &Followed, moved: &Moved, asked: UnixMs) -> bool {
        let now = self.0.options.clock.now();
        self.0.core.lock().overrule(followed, moved, asked, now)
    }

    /// Finds what the owner did not have when it was `asked`.
    pub async fn find_unseen(
        &self,
        followed: &Followed,
        seen: &HashSet<Sum>,
        asked: UnixMs,
    ) -> Vec<Doubtful> {
        let (mut at, mut unseen) = (Some(Cursor::default()), Vec::new());
        while let Some(cursor) = at {
            let now = self.0.options.clock.now();
            let what = (seen, asked);
            at = self
                .0
                .core
                .lock()
                .find_unseen(cursor, followed, what, now, &mut unseen);
            tokio::task::yield_now().await;
        }
        unseen
    }

    /// Removes an entry that its owner does not have; whether it did.
    pub fn remove_doubtful(&self, followed: &Followed, doubtful: &Doubtful) -> bool {
        let now = self.0.options.clock.now();
        self.0.core.lock().remove_doubtful(followed, doubtful, now)
    }
}
