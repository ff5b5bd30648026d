//! The shortest way, for the writes that come most often: a whole string, a number that is added to, and
//! items that come to a collection or go.
//!
//! What they leave behind is what [`Core::apply`] would leave. But nothing is copied, shared or counted
//! on the way, because nobody else has to hear of it: this node owns the partition, there are no copies
//! of it, and nobody watches keys. Where that is not so they say `None`, and have done nothing. No code
//! of a command is run, only the table's own: a panic would not be caught.

use super::Core;
use crate::clock::UnixMs;
use crate::command::collection::{Added, Collection};
use crate::command::{EntryRef, Kind, check_size, counter};
use crate::key::PartitionId;
use crate::table::{Altered, Spot};
use crate::version::Version;
use crate::writer::Error;

impl Core {
    /// Puts a string that does not expire.
    pub(in crate::writer) fn put_here(
        &mut self,
        partition: PartitionId,
        key: &[u8],
        data: &[u8],
        now: UnixMs,
    ) -> Option<Result<(), Error>> {
        if !self.is_alone(partition) {
            return None;
        }
        if let Err(error) = check_size(data.len(), &self.setup.limits) {
            return Some(Err(error.into()));
        }
        self.purge(partition, key, now);
        let spot = self.table.spot(key);
        Some(self.write_here((spot, partition, key), (Kind::Bytes, data, None), now))
    }

    /// Adds to a number, which keeps its time to live; what it is then.
    pub(in crate::writer) fn add_here(
        &mut self,
        partition: PartitionId,
        key: &[u8],
        by: i64,
        now: UnixMs,
    ) -> Option<Result<i64, Error>> {
        if !self.is_alone(partition) {
            return None;
        }
        self.purge(partition, key, now);
        let spot = self.table.spot(key);
        let present = self.table.peek_at(spot, now);
        let current = present.filter(|entry| entry.kind != Kind::Tombstone);
        let expires_at = current.and_then(|entry| entry.expires_at);
        let sum = match counter::sum(current, by) {
            Ok(sum) => sum,
            Err(error) => return Some(Err(error.into())),
        };
        let mut digits = itoa::Buffer::new();
        let data = digits.format(sum).as_bytes();
        let value = (Kind::Counter, data, expires_at);
        let written = self.write_here((spot, partition, key), value, now);
        Some(written.map(|()| sum))
    }

    /// Has an open collection altered where it stands; see [`Table::alter_at`](crate::table::Table::alter_at).
    pub(in crate::writer) fn alter_here<R>(
        &mut self,
        partition: PartitionId,
        key: &[u8],
        (kind, added): (Kind, Added),
        now: UnixMs,
        alter: impl FnOnce(&mut Collection) -> Option<Altered<R>>,
    ) -> Option<R> {
        if !self.is_alone(partition) {
            return None;
        }
        self.purge(partition, key, now);
        let spot = self.table.spot(key);
        let versions = &mut self.versions;
        let stamp = |present| versions.next(now, Some(present));
        let size = (kind, added, self.setup.limits.collection_bytes_max);
        self.table
            .alter_at(spot, size, self.setup.node, now, stamp, alter)
    }

    fn is_alone(&self, partition: PartitionId) -> bool {
        self.roles.is_alone(partition) && !self.live.is_watched()
    }

    fn write_here(
        &mut self,
        (spot, partition, key): (Spot, PartitionId, &[u8]),
        (kind, data, expires_at): (Kind, &[u8], Option<UnixMs>),
        now: UnixMs,
    ) -> Result<(), Error> {
        let previous = self.table.peek_at(spot, now).map(|entry| entry.version.hlc);
        let version = Version {
            hlc: self.versions.next(now, previous),
            node: self.setup.node,
        };
        let entry = EntryRef {
            kind,
            data,
            version,
            tag: None,
            open: None,
            expires_at,
        };
        self.table.put_at(spot, partition, key, entry, now)?;
        self.tell_evictions();
        Ok(())
    }
}
