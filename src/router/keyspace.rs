//! What spans all keys: scanning them, counting them, deleting them, picking one.
//!
//! A scan goes through the keys in one order that is the same everywhere ([`Position`]), a page at a
//! time. What it needs to know from page to page is in the cursor; nobody keeps anything for it. So
//! it can go on through any node, after any time, while partitions move and nodes come and go.
//!
//! *Every key that has a value throughout a scan comes, and comes once.* Each page has all keys
//! between two places that had values while it was made. For each partition that is said by the node
//! that owns it, under the lock that guards its role; a page ends before a partition of which nobody
//! said so. Keys that come or go during a scan may be among them or not. That holds while no partition
//! has two owners.
//!
//! A page asks the owners of as many partitions as it will probably take; see `Local` for their
//! side. What nodes ask each other here is asked again if it gets lost: reading twice harms nothing,
//! and a flush has an id.
//!
//! Doors and the library call [`Router::keyspace`]; what comes from other nodes goes to
//! [`Keyspace::answer`].

mod listing;
mod local;
mod position;

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::Instant;

pub(super) use self::local::Local;
pub use self::position::Position;

use self::position::Cursor;
use super::{PartitionMap, Router, pause};
use crate::cluster::codec::PartitionSet;
use crate::cluster::codec::keyspace::{Ask, Found, Request, Response};
use crate::cluster::peer;
use crate::glob;
use crate::key::{self, PARTITION_COUNT, PartitionId};
use crate::version::NodeId;
use crate::writer::Kinds;

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

/// Which keys a scan is for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Those that fit this pattern ([`glob`]); `None` for all.
    pub pattern: Option<Bytes>,
    /// About so many are looked at for a page: 1 to [`PAGE_KEYS_MAX`]. There can be fewer in a page,
    /// even none, before the scan has come to its end; and more only if they share a place.
    pub count: usize,
    /// Those with values of these kinds.
    pub kinds: Kinds,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            pattern: None,
            count: 10,
            kinds: Kinds::ALL,
        }
    }
}

/// A page of a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The cursor for the next page; 0 if this was the last one.
    pub next: u64,
    /// The keys.
    pub keys: Vec<Bytes>,
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

/// What some owners said of a stretch.
struct Stretch {
    keys: Vec<(Position, Bytes)>,
    examined: usize,
    /// Of the keys before this all were looked at.
    reached: Position,
}

/// Why an owner's answer is missing.
enum Missing {
    /// It may be had by asking again.
    Yet(Option<super::Error>),
    /// It may not.
    For(super::Error),
}

impl Keyspace {
    /// The keys that follow a cursor; a scan begins with 0, and ends when the next cursor is 0.
    ///
    /// # Errors
    /// See [`Error`]. The same cursor can be tried again.
    pub async fn scan(
        &self,
        cursor: u64,
        options: &Options,
        deadline: Instant,
    ) -> Result<Page, Error> {
        if let Some(pattern) = &options.pattern
            && pattern.len() > PATTERN_BYTES_MAX
        {
            let bytes = pattern.len();
            return Err(Error::Pattern { bytes });
        }
        let mut cursor = match cursor {
            0 => Cursor::begin(self.0.0.keyspace.next_tag()),
            number => Cursor::from_number(number).ok_or(Error::Cursor(number))?,
        };
        let (first, end) = bounds(options.pattern.as_deref());
        let mut at = cursor.position.max(first);
        let mut page = Page::default();
        if at < end {
            at = self
                .fill(&mut page, (at, end), cursor.tag, options, deadline)
                .await?;
        }
        cursor.position = if at < end { at } else { Position::END };
        page.next = cursor.number();
        Ok(page)
    }

    /// Fills a page with what lies between two places: where the next one goes on.
    async fn fill(
        &self,
        page: &mut Page,
        (begin, end): (Position, Position),
        tag: u64,
        options: &Options,
        deadline: Instant,
    ) -> Result<Position, Error> {
        let count = options.count.clamp(1, PAGE_KEYS_MAX);
        let mut left = count;
        let mut at = begin;
        let mut span = span(&self.0.map(), count);
        let patience = Patience::until(deadline);
        let mut tries = 0;
        loop {
            let published = self.0.0.published.notified();
            let map = self.0.map();
            let until = behind(at, span).min(end);
            let ask = Ask {
                partitions: PartitionSet::default(),
                from: at,
                tag,
                kinds: options.kinds,
                count: u32::try_from(left).unwrap_or(u32::MAX),
                pattern: options.pattern.clone(),
            };
            let lost = match self.stretch(&map, ask, until, deadline).await {
                Ok(stretch) if stretch.reached > at => {
                    at = stretch.reached;
                    left = left.saturating_sub(stretch.examined);
                    page.keys
                        .extend(stretch.keys.into_iter().map(|(_, key)| key));
                    if at >= end || left == 0 || patience.is_over() {
                        return Ok(at);
                    }
                    tries = 0;
                    // There are fewer keys than was thought.
                    span = span.saturating_mul(2);
                    continue;
                }
                Ok(_) => None,
                Err(Missing::Yet(lost)) => lost,
                // What has come so far is a page as well.
                Err(Missing::For(_)) if at > begin => return Ok(at),
                Err(Missing::For(error)) => return Err(error.into()),
            };
            if Instant::now() >= deadline {
                return match at > begin {
                    true => Ok(at),
                    false => Err(lost.unwrap_or(super::Error::NoOwner).into()),
                };
            }
            tries += 1;
            pause(tries, published, deadline).await;
        }
    }

    /// What the owners have from a place on, up to another one.
    async fn stretch(
        &self,
        map: &PartitionMap,
        ask: Ask,
        until: Position,
        deadline: Instant,
    ) -> Result<Stretch, Missing> {
        let from = ask.from;
        let before = |p: &PartitionId| Position::before(p.0.into()) < until;
        let partitions: PartitionSet = from.partitions().take_while(before).collect();
        let (groups, unowned) = by_owner(map, &partitions);
        let request = |partitions| {
            Request::Keys(Ask {
                partitions,
                ..ask.clone()
            })
        };
        let answers = self.ask(map, groups, request, deadline).await;
        let mut stretch = Stretch {
            keys: Vec::new(),
            examined: 0,
            reached: first_place(&unowned, from).min(until),
        };
        let mut missing = None;
        for (partitions, answer) in answers {
            match answer {
                Ok(Response::Keys(found)) => stretch.add(found, from),
                Ok(_) => stretch.end_at(first_place(&partitions, from)),
                Err(error) => {
                    stretch.end_at(first_place(&partitions, from));
                    missing = Some(error);
                }
            }
        }
        if stretch.reached == from
            && let Some(error) = missing
        {
            return Err(error);
        }
        stretch.settle(ask.count as usize);
        Ok(stretch)
    }

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

    /// All keys that fit a pattern, if they take no more than `bytes_max` bytes.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn keys(
        &self,
        pattern: &[u8],
        bytes_max: usize,
        deadline: Instant,
    ) -> Result<Vec<Bytes>, Error> {
        let options = Options {
            pattern: Some(Bytes::copy_from_slice(pattern)).filter(|p| **p != b"*"[..]),
            count: PAGE_KEYS_MAX,
            kinds: Kinds::ALL,
        };
        let mut keys: Vec<Bytes> = Vec::new();
        let (mut bytes, mut cursor) = (0, 0);
        loop {
            let page = self.scan(cursor, &options, deadline).await?;
            bytes += page.keys.iter().map(Bytes::len).sum::<usize>();
            if bytes > bytes_max {
                return Err(Error::TooMany { bytes_max });
            }
            keys.extend(page.keys);
            cursor = page.next;
            if cursor == 0 {
                return Ok(keys);
            }
        }
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

impl Stretch {
    fn end_at(&mut self, position: Position) {
        self.reached = self.reached.min(position);
    }

    /// Adds what an owner has found from a place on.
    fn add(&mut self, found: Found, from: Position) {
        self.end_at(found.reached);
        self.end_at(first_place(&found.elsewhere, from));
        self.examined += found.examined as usize;
        let place = |key: &Bytes| Position::of(key::partition(key), key);
        let keys = found.keys.into_iter().map(|key| (place(&key), key));
        self.keys.extend(keys);
    }

    /// Leaves out what lies behind what was not said, and what is more than was asked for.
    fn settle(&mut self, count: usize) {
        let reached = self.reached;
        self.keys.retain(|(position, _)| *position < reached);
        self.keys.sort_unstable();
        if let Some((last, _)) = count.checked_sub(1).and_then(|last| self.keys.get(last)) {
            let behind = last.next();
            let kept = self
                .keys
                .partition_point(|(position, _)| *position < behind);
            if kept < self.keys.len() {
                self.keys.truncate(kept);
                self.reached = behind;
            }
        }
    }
}

/// How long a page that has something looks for more.
struct Patience(Instant);

impl Patience {
    /// Half of the time that there is.
    fn until(deadline: Instant) -> Patience {
        let now = Instant::now();
        let left: Duration = deadline.saturating_duration_since(now);
        Patience(now + left / 2)
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.0
    }
}

/// Where the first of some partitions begins, not before `from`; the end if there are none.
fn first_place(partitions: &PartitionSet, from: Position) -> Position {
    let first = partitions.iter().next();
    first.map_or(Position::END, |first| {
        Position::before(first.0.into()).max(from)
    })
}

/// The place behind so many partitions, this place's being the first.
fn behind(at: Position, span: u32) -> Position {
    let first = at.partition().map_or(PARTITION_COUNT, |p| p.0);
    Position::before(u32::from(first).saturating_add(span))
}

/// Over how many partitions so many keys are probably spread.
fn span(map: &PartitionMap, count: usize) -> u32 {
    let keys: u64 = map.members().iter().map(|member| member.load.keys).sum();
    let partitions = u64::from(PARTITION_COUNT);
    let span = (count as u64 * partitions).div_ceil(keys.max(1));
    span.clamp(1, partitions) as u32
}

/// Which places can have keys that fit a pattern: from the first to before the second.
fn bounds(pattern: Option<&[u8]>) -> (Position, Position) {
    let everything = (Position::default(), Position::END);
    let Some(pattern) = pattern else {
        return everything;
    };
    let prefix = glob::prefix(pattern);
    // Whatever follows, the part that places keys is known.
    let is_placed = prefix.is_whole || key::placing_part(&prefix.text) != &prefix.text[..];
    if !is_placed {
        return everything;
    }
    let partition = key::partition(&prefix.text);
    (
        Position::before(partition.0.into()),
        Position::behind(partition),
    )
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
