//! Replication: what a write changes, and how it reaches the copies. No clock, no sockets, no actors;
//! of tokio only the channel by which a ticket wakes whoever waits for it.
//!
//! Whatever changes an entry makes an [`Effect`]: the entry as it is now, with its version and the
//! one before. Deletes are entries as well, of kind tombstone, which keep for a while, so that an
//! older value that turns up late does not pass for a newer one. An eviction names the version that
//! went. A copy takes an effect if its version is greater than that of what it has; so the order in
//! which effects arrive does not matter, nor does it if one arrives twice.
//!
//! Of a large collection, or of a long value whose expiry changes, only the change is sent, with the
//! version that it belongs to. A copy that has another one says that it lacks the entry; the owner
//! then sends the whole, and the change once more behind it.
//!
//! Each pair of nodes has a [`Lane`] each way. The owner's writer appends effects to the lanes of a
//! partition's copies under its own lock; a [`Ticket`] is done once all copies that are in sync have
//! acknowledged. What is not acknowledged is kept, within a bound, and sent again over the next
//! session.
//!
//! [`Operations`] remembers what operations with an id have led to. Ids travel in effects, so that
//! a write that is sent again to the owner's successor is not applied twice.

mod done;
mod effect;
mod lane;
mod operations;
mod ticket;

pub use self::done::Done;
pub use self::effect::{Change, Effect};
pub(crate) use self::effect::{encode_delta, encode_put};
pub use self::lane::{Counters, Lacking, Lane, Lanes, Outlet};
pub use self::operations::{Keep, Operations, Remembered};
pub use self::ticket::{Finished, Ticket};
