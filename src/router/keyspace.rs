//! What spans all keys: scanning them, counting them, deleting them, picking one.
//!
//! A scan goes [a page at a time](Keyspace::scan); see `Local` for the owners' side of it all. What nodes ask each
//! other here is asked again if it gets lost: reading twice harms nothing, and a flush has an id.
//!
//! Doors and the library call [`Router::keyspace`]; what comes from other nodes goes to
//! [`Keyspace::answer`].

mod listing;
mod local;
mod position;
mod scan;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::Instant;

pub(super) use self::local::Local;
pub use self::position::Position;
pub use self::scan::{Options, Page};

use super::{PartitionMap, Router, pause};
use crate::cluster::codec::PartitionSet;
use crate::cluster::codec::keyspace::{Request, Response};
use crate::cluster::peer;
use crate::key;
use crate::version::NodeId;

/// A page has no more keys than this, whatever is asked for, but for those that share a place.
pub const PAGE_KEYS_MAX: usize = 65_536;
/// The longest pattern that is taken; no key is longer.
pub const PATTERN_BYTES_MAX: usize = 2 * key::KEY_BYTES_MAX;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Some node did not answer. What was to be deleted may have been.
    #[error(transparent)]
    Router(#[from] super::Error),
    /// No scan has given this cursor out.
    #[error("{0} is no cursor that a scan has given out; a scan begins with 0")]
    Cursor(u64),
    /// The pattern is too long.
    #[error("the pattern is {bytes} bytes long; the limit is {PATTERN_BYTES_MAX}")]
    Pattern {
        /// Its length.
        bytes: usize,
    },
    /// Too many keys to be had at once.
    #[error("the keys take more than {bytes_max} bytes; scan them page by page instead")]
    TooMany {
        /// The limit.
        bytes_max: usize,
    },
}

/// All keys, wherever they live; cheap to clone.
#[derive(Clone, Debug)]
pub struct Keyspace(Router);

impl Router {
    /// What spans all keys.
    #[must_use]
    pub fn keyspace(&self) -> Keyspace {
        Keyspace(self.clone())
    }
}

/// Why an owner's answer is missing.
enum Missing {
    /// It may be had by asking again.
    Yet(Option<super::Error>),
    /// It may not.
    For(super::Error),
}

impl Keyspace {
    /// Asks the owners of groups of partitions, all at once.
    async fn ask(
        &self,
        map: &PartitionMap,
        groups: Vec<(NodeId, PartitionSet)>,
        request: impl Fn(PartitionSet) -> Request,
        deadline: Instant,
    ) -> Vec<(PartitionSet, Result<Response, Missing>)> {
        let asked = groups.into_iter().map(|(node, partitions)| {
            let request = request(partitions.clone());
            async move {
                let answer = self.ask_one(map, node, &request, deadline).await;
                (partitions, answer)
            }
        });
        join_all(asked).await
    }

    async fn ask_one(
        &self,
        map: &PartitionMap,
        node: NodeId,
        request: &Request,
        deadline: Instant,
    ) -> Result<Response, Missing> {
        if node == self.0.node() {
            let answer = self.answer(request, deadline).await;
            return answer.map_err(Missing::For);
        }
        let peers = self.0.0.peers.load_full();
        let Some((peers, member)) = peers.zip(map.member(node)) else {
            return Err(Missing::Yet(None));
        };
        let peer = std::sync::Arc::clone(&member.name);
        let answer = peers.keyspace(node, request, deadline).await;
        answer.map_err(|error| match error {
            peer::Error::NotConnected => Missing::Yet(None),
            peer::Error::Lost => Missing::Yet(Some(super::Error::Lost { peer })),
            peer::Error::Overloaded => Missing::For(super::Error::Overloaded { peer: Some(peer) }),
            peer::Error::Deadline => Missing::For(super::Error::Deadline { peer: Some(peer) }),
            peer::Error::Refused(error) => Missing::For(error),
        })
    }

    /// This node's answer to what is asked about partitions that it owns.
    ///
    /// # Errors
    /// See [`super::Error`].
    pub async fn answer(
        &self,
        request: &Request,
        deadline: Instant,
    ) -> Result<Response, super::Error> {
        if matches!(request, Request::Flush { .. }) {
            self.check_members()?;
        }
        let local = &self.0.0.keyspace;
        local.answer(&self.0, request, deadline).await
    }

    fn check_members(&self) -> Result<(), super::Error> {
        let (alive, min) = (self.0.map().alive(), self.0.0.members_min);
        match alive < min {
            true => Err(super::Error::TooFewMembers { alive, min }),
            false => Ok(()),
        }
    }

    /// Asks the owners of all partitions, until each has been answered for once.
    async fn ask_all(
        &self,
        request: impl Fn(PartitionSet) -> Request,
        mut take: impl FnMut(Response) -> PartitionSet,
        deadline: Instant,
    ) -> Result<(), Error> {
        let mut left = PartitionSet::all();
        let mut tries = 0;
        loop {
            let published = self.0.0.published.notified();
            let map = self.0.map();
            let (groups, mut next) = by_owner(&map, &left);
            let mut lost = None;
            for (partitions, answer) in self.ask(&map, groups, &request, deadline).await {
                let elsewhere = match answer {
                    Ok(response) => take(response),
                    Err(Missing::Yet(error)) => {
                        lost = error.or(lost);
                        partitions
                    }
                    Err(Missing::For(error)) => return Err(error.into()),
                };
                elsewhere.iter().for_each(|p| next.insert(p));
            }
            left = next;
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(lost.unwrap_or(super::Error::NoOwner).into());
            }
            tries += 1;
            pause(tries, published, deadline).await;
        }
    }

    /// How many keys there are: what their owners say one after the other, not what was so at one
    /// moment. Those that have expired may count for a second longer.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn count(&self, deadline: Instant) -> Result<u64, Error> {
        let mut count = 0;
        let request = |partitions| Request::Census {
            partitions,
            random: None,
        };
        let take = |response| match response {
            Response::Census {
                elsewhere, entries, ..
            } => {
                count += entries;
                elsewhere
            }
            _ => PartitionSet::default(),
        };
        self.ask_all(request, take, deadline).await?;
        Ok(count)
    }

    /// Some key, by a number drawn at random; `None` if there is none. Any key can come, but not each
    /// is as likely as every other.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn random_key(&self, random: u64, deadline: Instant) -> Result<Option<Bytes>, Error> {
        let mut drawn: Vec<(u64, Bytes)> = Vec::new();
        let request = |partitions| Request::Census {
            partitions,
            random: Some(random),
        };
        let take = |response| match response {
            Response::Census {
                elsewhere,
                entries,
                key,
            } => {
                drawn.extend(key.map(|key| (entries, key)));
                elsewhere
            }
            _ => PartitionSet::default(),
        };
        self.ask_all(request, take, deadline).await?;
        // The owners have used the number as it is.
        let random = random.rotate_left(32);
        let total: u64 = drawn.iter().map(|(entries, _)| entries).sum();
        let mut place = random.checked_rem(total).unwrap_or_default();
        for (entries, key) in drawn {
            if place < entries {
                return Ok(Some(key));
            }
            place -= entries;
        }
        Ok(None)
    }

    /// Deletes all keys; how many there were. What is written meanwhile is deleted or stays; what is
    /// written after this has returned stays. It goes on if the caller goes away.
    ///
    /// # Errors
    /// See [`Error`]: some keys may have been deleted then.
    pub async fn flush(&self, deadline: Instant) -> Result<u64, Error> {
        self.check_members()?;
        let keyspace = self.clone();
        let flushed = tokio::spawn(async move { keyspace.flush_all(deadline).await });
        // It does not panic, and nobody aborts it.
        flushed.await.map_err(|_| super::Error::Internal)?
    }

    async fn flush_all(&self, deadline: Instant) -> Result<u64, Error> {
        let operation = self.0.name_operation();
        let mut count = 0;
        let request = |partitions| Request::Flush {
            partitions,
            operation,
        };
        let take = |response| match response {
            Response::Flushed { elsewhere, deleted } => {
                count += deleted;
                elsewhere
            }
            _ => PartitionSet::default(),
        };
        self.ask_all(request, take, deadline).await?;
        Ok(count)
    }

    /// How often this node has walked over its tables to list keys.
    #[doc(hidden)]
    #[must_use]
    pub fn walks(&self) -> u64 {
        self.0.0.keyspace.walks()
    }
}

/// Partitions by who owns them, as far as is known, and those that nobody owns.
fn by_owner(
    map: &PartitionMap,
    partitions: &PartitionSet,
) -> (Vec<(NodeId, PartitionSet)>, PartitionSet) {
    let mut groups: Vec<(NodeId, PartitionSet)> = Vec::new();
    let mut unowned = PartitionSet::default();
    for partition in partitions.iter() {
        let Some(owner) = map.owner(partition) else {
            unowned.insert(partition);
            continue;
        };
        let group = match groups.iter().position(|(node, _)| *node == owner) {
            Some(at) => at,
            None => {
                groups.push((owner, PartitionSet::default()));
                groups.len() - 1
            }
        };
        groups[group].1.insert(partition);
    }
    (groups, unowned)
}
