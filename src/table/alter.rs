//! The shortest way to change an open collection: where it stands, if nothing has to move for it.
//!
//! [`Table::change_at`] is told what has changed, by whoever decided it on the value as it was. Here it is
//! decided and done in one step, so that nothing is said of it: no copy of an item is made but the one that
//! stays, and what the entry takes is counted once. Where there is more to it (a small collection that is
//! kept packed, the last item that goes, memory that others have to make room for) nothing is done.

use super::{Spot, Table};
use crate::clock::UnixMs;
use crate::command::Kind;
use crate::command::collection::{Added, Collection};
use crate::version::{Hlc, NodeId};

/// What an alteration came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Altered<R> {
    /// The collection is another one now, and so is its version.
    Yes(R),
    /// It is as it was.
    No(R),
}

impl Table {
    /// Lets `alter` change an open collection of this `kind` that `node` has written. It may add as much
    /// as `added` says, and the collection must not become longer than `bytes_max` by that; `stamp`
    /// makes the new version from the present one. Expiry and place stay. `None`, and nothing is done,
    /// if it is not as simple as that; `alter` may say so as well, if it has changed nothing.
    pub fn alter_at<R>(
        &mut self,
        spot: Spot,
        (kind, added, bytes_max): (Kind, Added, usize),
        node: NodeId,
        now: UnixMs,
        stamp: impl FnOnce(Hlc) -> Hlc,
        alter: impl FnOnce(&mut Collection) -> Option<Altered<R>>,
    ) -> Option<R> {
        let handle = spot.handle?;
        if self.log.is_expired(handle, now) {
            return None;
        }
        let open = self.log.open(handle).filter(|open| open.kind() == kind)?;
        if open.packed_bytes().saturating_add(added.packed_bytes()) > bytes_max {
            return None;
        }
        let wanted = open.growth_bytes_of(added) as u64;
        let present = self.log.version_without_tag(handle, &self.nodes)?;
        if present.node != node || !self.account.try_reserve(wanted) {
            return None;
        }
        let altered = self.log.alter(handle, alter).map(|(altered, grown)| {
            self.data_bytes = self.data_bytes.wrapping_add_signed(grown);
            altered
        });
        self.settle();
        match altered? {
            Altered::No(result) => Some(result),
            Altered::Yes(result) => {
                self.log.renew(handle, stamp(present.hlc));
                Some(result)
            }
        }
    }
}
