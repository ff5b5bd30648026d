//! A node's answers to questions about the keys of partitions that it owns: to its own scans, and to
//! those of others.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::listing::{Claim, Crowded, Draft, Listing, Made, survey};
use super::position::Position;
use crate::cluster::codec::PartitionSet;
use crate::cluster::codec::keyspace::{Ask, Found, Request, Response};
use crate::command::{self, OperationId};
use crate::glob;
use crate::key::{self, PartitionId};
use crate::router::{Error, Router};
use crate::table;
use crate::writer::{Kinds, Owned};

/// What a list takes; twice as much while it is made.
const LISTING_BYTES_MAX: usize = 2 << 20;
/// So many lists are kept.
const LISTINGS_MAX: usize = 4;
/// A list is kept so long.
const LISTING_LIFE: Duration = Duration::from_secs(10);
/// So many lists may wait to be made, one after the other.
const WAITING_MAX: usize = 256;
/// So many keys are looked at under one lock.
const EXAMINED_AT_ONCE: usize = 256;
/// An answer with so many bytes of keys is full.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// So many flushes are remembered, so that one that is asked for again is not carried out again.
const FLUSHES_MAX: usize = 256;

/// See the module; cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::router) struct Local(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    listings: Mutex<VecDeque<Kept>>,
    /// Held by whoever makes a list.
    listing: tokio::sync::Mutex<()>,
    waiting: AtomicUsize,
    walks: AtomicU64,
    next_tag: AtomicU32,
    /// Held by whoever deletes everything.
    flushing: tokio::sync::Mutex<()>,
    flushed: Mutex<VecDeque<(OperationId, PartitionSet)>>,
}

#[derive(Debug)]
struct Kept {
    listing: Arc<Listing>,
    until: Instant,
}

/// A page in the making.
struct Page<'a> {
    router: &'a Router,
    ask: &'a Ask,
    /// Since when it is asked for.
    asked: Instant,
    /// What is so of those partitions that this node owns, in order.
    owned: Vec<Owned>,
    found: Found,
    bytes: usize,
}

impl Local {
    /// Without any lists yet.
    pub(in crate::router) fn new() -> Local {
        Local(Arc::new(Inner {
            // Other nodes, and this one in another life, begin elsewhere.
            next_tag: AtomicU32::new(rand::random()),
            ..Inner::default()
        }))
    }

    /// Tells a scan that begins here from others.
    pub(super) fn next_tag(&self) -> u32 {
        self.0.next_tag.fetch_add(1, Ordering::Relaxed)
    }

    /// How often tables were walked over to list keys.
    pub(super) fn walks(&self) -> u64 {
        self.0.walks.load(Ordering::Relaxed)
    }

    /// Answers within the deadline.
    ///
    /// # Errors
    /// See [`Error`].
    pub(super) async fn answer(
        &self,
        router: &Router,
        request: &Request,
        deadline: Instant,
    ) -> Result<Response, Error> {
        let answer = async {
            match request {
                Request::Keys(ask) => self.keys(router, ask).await,
                Request::Census { partitions, random } => {
                    self.census(router, partitions, *random).await
                }
                Request::Flush {
                    partitions,
                    operation,
                } => {
                    let partitions = partitions.clone();
                    self.flush(router, partitions, *operation, deadline).await
                }
            }
        };
        let answer = tokio::time::timeout_at(deadline, answer).await;
        answer.unwrap_or(Err(Error::Deadline { peer: None }))
    }

    async fn keys(&self, router: &Router, ask: &Ask) -> Result<Response, Error> {
        let mut page = Page::new(router, ask);
        let pattern = ask.pattern.as_deref().map(glob::prefix);
        if let Some(key) = pattern.filter(|prefix| prefix.is_whole) {
            page.look_up(&key.text);
        } else {
            self.fill(&mut page).await?;
        }
        Ok(Response::Keys(page.found))
    }

    /// Fills a page from lists, made where there are none.
    async fn fill(&self, page: &mut Page<'_>) -> Result<(), Error> {
        let mut at = page.ask.from;
        while let Some((from, owned)) = page.next(at) {
            let claim = page.claim(owned);
            let listing = self.listing(page.router, from, claim).await?;
            if !listing.covers(from, &claim) {
                // Its owner changes just now.
                page.lose(owned.partition);
                at = Position::behind(owned.partition);
                continue;
            }
            at = page.take(&listing, from).await;
            if page.is_full() {
                let is_all = page.next(at).is_none();
                page.found.reached = if is_all { Position::END } else { at };
                return Ok(());
            }
        }
        Ok(())
    }

    /// A list that has what a scan must find from a place on, if that can be had.
    async fn listing(
        &self,
        router: &Router,
        from: Position,
        claim: Claim,
    ) -> Result<Arc<Listing>, Error> {
        if let Some(listing) = self.kept(from, &claim) {
            return Ok(listing);
        }
        if self.0.waiting.fetch_add(1, Ordering::AcqRel) >= WAITING_MAX {
            self.0.waiting.fetch_sub(1, Ordering::AcqRel);
            return Err(Error::Overloaded { peer: None });
        }
        let (local, router) = (self.clone(), router.clone());
        // Whoever asks may give up, and ask again: then it is there.
        let made = tokio::spawn(async move {
            let made = {
                let _one_at_a_time = local.0.listing.lock().await;
                // The one before may have made it.
                match local.kept(from, &claim) {
                    Some(listing) => Ok(listing),
                    None => local.list(&router, from, claim.tag).await,
                }
            };
            local.0.waiting.fetch_sub(1, Ordering::AcqRel);
            made
        });
        // It does not panic, and nobody aborts it.
        let made = made.await.map_err(|_| Error::Internal)?;
        made.map_err(|Crowded| {
            let max = Crowded::BYTES_MAX;
            command::Error::AnswerTooLarge { max }.into()
        })
    }

    fn kept(&self, from: Position, claim: &Claim) -> Option<Arc<Listing>> {
        let now = Instant::now();
        let listings = self.0.listings.lock();
        let fits = |kept: &&Kept| kept.until > now && kept.listing.covers(from, claim);
        let kept = listings.iter().rev().find(fits)?;
        Some(Arc::clone(&kept.listing))
    }

    /// Walks over all tables, letting others have their locks in between.
    async fn list(
        &self,
        router: &Router,
        from: Position,
        tag: u64,
    ) -> Result<Arc<Listing>, Crowded> {
        let everywhere = PartitionSet::all();
        let began = Instant::now();
        let before = survey(owned(router, &everywhere));
        let mut draft = Draft::new(from, &before, LISTING_BYTES_MAX);
        self.0.walks.fetch_add(1, Ordering::Relaxed);
        for writer in router.writers() {
            let mut at = Some(table::Cursor::default());
            while let Some(cursor) = at {
                let range = draft.range();
                let wanted =
                    |p: PartitionId| range.contains(&u32::from(p.0)) && before[p.index()].is_some();
                at = writer.walk_keys(cursor, wanted, |partition, key| draft.add(partition, key));
                draft.prune()?;
                tokio::task::yield_now().await;
            }
        }
        let after = survey(owned(router, &everywhere));
        let listing = Arc::new(draft.finish(Made { tag, began }, &before, &after)?);
        self.keep(&listing);
        Ok(listing)
    }

    fn keep(&self, listing: &Arc<Listing>) {
        let until = Instant::now() + LISTING_LIFE;
        let mut listings = self.0.listings.lock();
        listings.push_back(Kept {
            listing: Arc::clone(listing),
            until,
        });
        let first_kept = listings.len().saturating_sub(LISTINGS_MAX);
        listings.drain(..first_kept);
        drop(listings);
        let inner = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            tokio::time::sleep_until(until).await;
            let inner = Weak::upgrade(&inner);
            if let Some(inner) = inner {
                inner.listings.lock().retain(|kept| kept.until > until);
            }
        });
    }

    async fn census(
        &self,
        router: &Router,
        partitions: &PartitionSet,
        random: Option<u64>,
    ) -> Result<Response, Error> {
        let owned = owned(router, partitions);
        let entries = owned.iter().map(|owned| owned.entries).sum();
        let elsewhere = rest(partitions, owned.iter().map(|owned| owned.partition));
        let key = match random {
            Some(random) if entries > 0 => self.any_key(router, &owned, random).await?,
            _ => None,
        };
        Ok(Response::Census {
            elsewhere,
            entries,
            key,
        })
    }

    /// A key of some partitions by a number drawn at random.
    async fn any_key(
        &self,
        router: &Router,
        owned: &[Owned],
        random: u64,
    ) -> Result<Option<Bytes>, Error> {
        let entries: u64 = owned.iter().map(|owned| owned.entries).sum();
        let mut place = random.checked_rem(entries).unwrap_or_default();
        let drawn = owned.iter().find(|owned| {
            let is_here = place < owned.entries;
            place -= if is_here { 0 } else { owned.entries };
            is_here
        });
        let Some(drawn) = drawn else { return Ok(None) };
        if let Some(key) = router.writer(drawn.partition).sample(random) {
            return Ok(Some(key));
        }
        // There are few among many that are others': they are listed.
        let partitions: PartitionSet = owned.iter().map(|owned| owned.partition).collect();
        let drawn = Position::before(drawn.partition.0.into());
        for from in [drawn, Position::default()] {
            let ask = Ask {
                partitions: partitions.clone(),
                from,
                tag: 0,
                kinds: Kinds::ALL,
                count: 1_000,
                pattern: None,
            };
            if let Response::Keys(found) = self.keys(router, &ask).await?
                && !found.keys.is_empty()
            {
                let place = random % found.keys.len() as u64;
                return Ok(found.keys.get(place as usize).cloned());
            }
        }
        Ok(None)
    }

    /// Deletes everything, once: it goes on when nobody waits any more.
    async fn flush(
        &self,
        router: &Router,
        partitions: PartitionSet,
        operation: OperationId,
        deadline: Instant,
    ) -> Result<Response, Error> {
        let (local, router) = (self.clone(), router.clone());
        let flushed = tokio::spawn(async move {
            // One that is sent again comes behind the first one, and finds what that has done.
            let _one_at_a_time = local.0.flushing.lock().await;
            let mut left = rest(&partitions, local.flushed(operation).iter());
            let mut deleted = 0;
            for writer in router.writers() {
                let done = writer.flush(|p| left.contains(p), deadline).await;
                deleted += done.count;
                done.partitions.iter().for_each(|p| left.remove(*p));
                local.remember(operation, &done.partitions);
            }
            Response::Flushed {
                elsewhere: left,
                deleted,
            }
        });
        // It does not panic, and nobody aborts it.
        flushed.await.map_err(|_| Error::Internal)
    }

    fn flushed(&self, operation: OperationId) -> PartitionSet {
        let flushed = self.0.flushed.lock();
        let known = flushed.iter().find(|(id, _)| *id == operation);
        known.map(|(_, done)| done.clone()).unwrap_or_default()
    }

    fn remember(&self, operation: OperationId, done: &[PartitionId]) {
        let mut flushed = self.0.flushed.lock();
        if !flushed.iter().any(|(id, _)| *id == operation) {
            flushed.push_back((operation, PartitionSet::default()));
            let first_kept = flushed.len().saturating_sub(FLUSHES_MAX);
            flushed.drain(..first_kept);
        }
        if let Some((_, known)) = flushed.iter_mut().find(|(id, _)| *id == operation) {
            done.iter().for_each(|partition| known.insert(*partition));
        }
    }
}

/// Those of some partitions that this node owns.
fn owned(router: &Router, partitions: &PartitionSet) -> Vec<Owned> {
    let writers = router.writers();
    let of = |index| {
        let is_its = move |p: &PartitionId| p.index() % writers.len() == index;
        partitions.iter().filter(is_its)
    };
    let surveys = writers.iter().enumerate();
    let surveys = surveys.map(|(index, writer)| writer.survey(of(index)));
    let mut owned: Vec<Owned> = surveys.flatten().collect();
    owned.sort_unstable_by_key(|owned| owned.partition);
    owned
}

/// What is left of some partitions without these.
fn rest(partitions: &PartitionSet, without: impl Iterator<Item = PartitionId>) -> PartitionSet {
    let mut rest = partitions.clone();
    without.for_each(|partition| rest.remove(partition));
    rest
}

impl<'a> Page<'a> {
    fn new(router: &'a Router, ask: &'a Ask) -> Page<'a> {
        let asked = Instant::now();
        let owned = owned(router, &ask.partitions);
        let partitions = owned.iter().map(|owned| owned.partition);
        Page {
            router,
            ask,
            asked,
            found: Found {
                elsewhere: rest(&ask.partitions, partitions),
                reached: Position::END,
                examined: 0,
                keys: Vec::new(),
            },
            owned,
            bytes: 0,
        }
    }

    fn is_full(&self) -> bool {
        self.found.examined >= self.ask.count.max(1) || self.bytes >= ANSWER_BYTES_MAX
    }

    fn claim(&self, owned: Owned) -> Claim {
        Claim {
            tag: self.ask.tag,
            asked: self.asked,
            created: owned.created,
        }
    }

    /// The next place where there can be keys.
    fn next(&self, at: Position) -> Option<(Position, Owned)> {
        let first = at.partition()?;
        let behind = self.owned.partition_point(|owned| owned.partition < first);
        let owned = self.owned[behind..].iter().find(|owned| owned.entries > 0);
        let owned = *owned?;
        let from = Position::before(owned.partition.0.into()).max(at);
        Some((from, owned))
    }

    /// This node does not own it any more.
    fn lose(&mut self, partition: PartitionId) {
        self.owned.retain(|owned| owned.partition != partition);
        self.found.elsewhere.insert(partition);
    }

    /// Takes keys from a list until it ends, or does not say what is so, or the page is full: where
    /// to go on.
    async fn take(&mut self, listing: &Listing, from: Position) -> Position {
        /// So many keys are taken before others get a turn.
        const TURN: u32 = 2_048;
        let mut at = from;
        let mut next_turn = self.found.examined.saturating_add(TURN);
        while let Some((from, owned)) = self.next(at) {
            at = from;
            if !listing.covers(from, &self.claim(owned)) {
                break;
            }
            let end = Position::behind(owned.partition).min(listing.end());
            at = self.take_some(listing, from, end, owned.partition);
            if self.is_full() {
                break;
            }
            if self.found.examined >= next_turn {
                next_turn = self.found.examined.saturating_add(TURN);
                tokio::task::yield_now().await;
            }
        }
        at
    }

    /// Takes a few keys of a partition: where to go on.
    fn take_some(
        &mut self,
        listing: &Listing,
        from: Position,
        end: Position,
        partition: PartitionId,
    ) -> Position {
        let left = self.ask.count.max(1).saturating_sub(self.found.examined);
        let count = EXAMINED_AT_ONCE.min(left as usize);
        let mut keys = Vec::new();
        let mut reached = end;
        for (position, key) in listing.keys(from, end) {
            // Those of one place come together.
            if keys.len() >= count && keys.last().is_some_and(|(last, _)| *last != position) {
                reached = position;
                break;
            }
            keys.push((position, key));
        }
        self.found.examined += u32::try_from(keys.len()).unwrap_or(u32::MAX);
        let pattern = self.ask.pattern.as_deref();
        keys.retain(|(_, key)| pattern.is_none_or(|pattern| glob::matches(pattern, key)));
        let keys: Vec<&[u8]> = keys.into_iter().map(|(_, key)| key).collect();
        for keys in keys.chunks(EXAMINED_AT_ONCE) {
            self.look_at(partition, keys);
        }
        reached
    }

    /// Takes those of a partition's keys that have values of the wanted kinds.
    fn look_at(&mut self, partition: PartitionId, keys: &[&[u8]]) {
        let writer = self.router.writer(partition);
        let examined = writer.examine(partition, keys.iter().copied(), self.ask.kinds);
        let Some(examined) = examined else {
            return self.lose(partition);
        };
        for (key, _) in keys.iter().zip(examined).filter(|(_, wanted)| *wanted) {
            self.bytes += key.len();
            self.found.keys.push(Bytes::copy_from_slice(key));
        }
    }

    /// Takes a key, if there is such a one.
    fn look_up(&mut self, key: &[u8]) {
        let partition = key::partition(key);
        let is_asked_for = Position::of(partition, key) >= self.ask.from;
        if is_asked_for && self.owned.iter().any(|owned| owned.partition == partition) {
            self.found.examined = 1;
            self.look_at(partition, &[key]);
        }
    }
}
