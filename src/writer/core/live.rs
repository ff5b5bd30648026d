//! What those hear who watch keys: what the owner of a partition changes.
//!
//! Told under the writer's lock, so in the order in which it happens; what has gone by itself before
//! a change is told before it.

use super::{Core, Sent};
use crate::clock::UnixMs;
use crate::command::EntryRef;
use crate::key::PartitionId;
use crate::live::{Hub, What};
use crate::version::Version;

impl Core {
    /// Tells `hub` from now on what changes here.
    pub fn watched_by(&mut self, hub: Hub) {
        self.table.note_gone(hub.watched());
        self.live = hub;
    }

    /// A command was applied.
    pub(super) fn tell_applied(&mut self, key: &[u8], sent: &Sent, now: UnixMs) {
        if !self.live.is_watched() {
            return;
        }
        match sent {
            Sent::Whole(_, entry) => self.tell_stored(key, entry.as_ref()),
            Sent::Delta(..) => {
                self.tell_gone();
                if let Some(entry) = self.table.peek(key, now) {
                    self.live.stored(key, entry);
                }
            }
        }
    }

    /// An entry of a partition of this node's was put, or, if it is a tombstone, deleted.
    pub(super) fn tell_stored(&mut self, key: &[u8], entry: EntryRef<'_>) {
        if self.live.is_watched() {
            self.tell_gone();
            self.live.stored(key, entry);
        }
    }

    /// What has expired or was evicted meanwhile. Copies say nothing of it: their owner does.
    pub(super) fn tell_gone(&mut self) {
        if !self.table.has_gone() {
            return;
        }
        for gone in self.table.take_gone() {
            self.tell_one_gone(gone.partition, &gone.key, gone.version, gone.expired);
        }
    }

    pub(super) fn tell_one_gone(
        &self,
        partition: PartitionId,
        key: &[u8],
        version: Version,
        expired: bool,
    ) {
        if self.live.is_watched() && self.role(partition).is_owned() {
            self.live.changed(key, || match expired {
                true => What::Expired(version),
                false => What::Evicted(version),
            });
        }
    }
}
