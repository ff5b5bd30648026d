//! Two owners become one: what one of them takes over from the other.

use std::sync::Arc;

use bytes::Bytes;

use super::copy::is_from_the_future;
use super::{Core, Moved, Role, Sent};
use crate::clock::UnixMs;
use crate::command::Kind;
use crate::replication::Ticket;
use crate::version::{NodeId, Version};

/// A write that was acknowledged and that lost against one of the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discarded {
    /// Its key.
    pub key: Bytes,
    /// Its version.
    pub version: Version,
    /// The version that won. `None` if none did: there was no room for it, or it comes from too far in the
    /// future.
    pub by: Option<Version>,
}

/// What taking one entry over has led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merge {
    /// This node does not own the partition, or not at the moment.
    Elsewhere,
    /// There is no room for it now; try again.
    Later(NodeId),
    /// It was settled.
    Settled {
        /// Done when what was taken over is with all copies.
        ticket: Option<Ticket>,
        /// The write that lost, if one did.
        discarded: Option<Discarded>,
    },
}

impl Core {
    /// Takes an entry over from a node that owned the partition as well: the greater version stays.
    /// `since` (Unix milliseconds) the two may have written without each other's knowledge.
    pub fn merge(&mut self, moved: &Moved, since: u64, now: UnixMs) -> Merge {
        let Role::Owned {
            sinks,
            frozen: false,
        } = &self.roles[moved.partition.index()]
        else {
            return Merge::Elsewhere;
        };
        let sinks = Arc::clone(sinks);
        if moved.key.is_empty() {
            return self.merge_floor(moved, &sinks, since, now);
        }
        self.purge(moved.partition, &moved.key, now);
        let theirs = &moved.entry;
        let mut settled = (None, None);
        let expired = theirs.expires_at.is_some_and(|at| at <= now);
        let present = self.table.peek(&moved.key, now);
        let ours = present.map(|entry| entry.version);
        let lost = |version: Version, by: Version| {
            (version.hlc.wall().0 >= since).then(|| Discarded {
                key: moved.key.clone(),
                version,
                by: Some(by),
            })
        };
        if let Some(by) = self.flushed.has(moved.partition, theirs.version) {
            let known = self.has_known(moved.partition, theirs.version);
            let discarded = lost(theirs.version, by).filter(|_| !known);
            return Merge::Settled {
                ticket: None,
                discarded,
            };
        }
        match ours {
            // A copy of this side may not have it, although both owners do: it may have reached only
            // some of the copies before the sides parted.
            Some(ours) if ours == theirs.version && !expired => {
                let size = theirs.data.len() + moved.key.len();
                if let Some(lane) = sinks.all().find(|lane| !lane.has_room(size)) {
                    return Merge::Later(lane.node());
                }
                let sent = Sent::Whole(Some(ours), theirs.clone());
                settled.0 = self.send(moved.partition, &moved.key, &sent, None, &sinks);
            }
            Some(ours) if ours == theirs.version => {}
            Some(ours) if ours > theirs.version => {
                let known = self.has_known(moved.partition, theirs.version);
                settled.1 = lost(theirs.version, ours).filter(|_| !known);
            }
            // It was deleted, evicted or overwritten by something that has expired.
            None if self.has_known(moved.partition, theirs.version) => {}
            _ if expired => {}
            // A clock that far ahead would win over every write to come.
            _ if is_from_the_future(theirs.version, now) => {
                settled.1 = Some(Discarded {
                    key: moved.key.clone(),
                    version: theirs.version,
                    by: None,
                });
            }
            ours => {
                let size = theirs.data.len() + moved.key.len();
                if let Some(lane) = sinks.all().find(|lane| !lane.has_room(size)) {
                    return Merge::Later(lane.node());
                }
                let is_same = present.is_some_and(|entry| {
                    entry.kind == Kind::Tombstone && theirs.kind == Kind::Tombstone
                });
                settled.1 = ours
                    .filter(|_| !is_same)
                    .and_then(|ours| lost(ours, theirs.version));
                let spot = self.table.spot(&moved.key);
                if self
                    .store(spot, moved.partition, &moved.key, theirs, now)
                    .is_ok()
                {
                    self.tell_stored(&moved.key, theirs.as_ref());
                    let sent = Sent::Whole(ours, theirs.clone());
                    settled.0 = self.send(moved.partition, &moved.key, &sent, None, &sinks);
                } else {
                    // There is no room for it here.
                    settled.1 = Some(Discarded {
                        key: moved.key.clone(),
                        version: theirs.version,
                        by: None,
                    });
                }
                self.tell_evictions();
            }
        }
        let (ticket, discarded) = settled;
        Merge::Settled { ticket, discarded }
    }
}
