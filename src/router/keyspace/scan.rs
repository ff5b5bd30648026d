//! Scans: keys, a page at a time.
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
//! A page asks the owners of as many partitions as it will probably take.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::position::{Cursor, Position};
use super::{Error, Keyspace, Missing, PAGE_KEYS_MAX, PATTERN_BYTES_MAX, by_owner};
use crate::cluster::codec::PartitionSet;
use crate::cluster::codec::keyspace::{Ask, Found, Request, Response};
use crate::glob;
use crate::key::{self, PARTITION_COUNT, PartitionId};
use crate::router::{self, PartitionMap, pause};
use crate::writer::Kinds;

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

/// What some owners said of a stretch.
struct Stretch {
    keys: Vec<(Position, Bytes)>,
    examined: usize,
    /// Of the keys before this all were looked at.
    reached: Position,
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
                    false => Err(lost.unwrap_or(router::Error::NoOwner).into()),
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
