//! The in-memory table: entries of a set of partitions, their expiry and their eviction.
//!
//! Pure: it knows no tokio, no actor and no clock. One writer owns one table behind a lock; reads
//! mark entries as used, so they take it too.
//!
//! Entries lie one after another in segments (`log`, `segment`, `entry`), 16 bytes of header
//! before the key, and are found by 32-bit handles in an index of some eight bytes an entry
//! (`index`). Nothing points at them, so they can be moved: eviction (`eviction`, `ghost`) and
//! compaction (`log::compaction`) are copies from old segments to new ones. Expiry is checked at
//! every access, and timers (`wheel`) bring the memory back (`maintenance`).
//!
//! Invariants: the index holds exactly the live entries of the log. What all tables of a [`Budget`]
//! have committed, counted in touched pages of segments and allocated bytes of everything else,
//! is within its limit whenever a call returns; in the middle of a call it may be over by one
//! segment a table, while entries are moved.

mod alter;
mod budget;
mod check;
mod counts;
mod entry;
mod eviction;
mod ghost;
mod index;
mod keys;
mod log;
mod maintenance;
mod memory;
mod segment;
mod usage;
mod wheel;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::clock::UnixMs;
use crate::command::collection::Delta;
use crate::command::{Changed, EntryRef, Kind};
use crate::key::{KEY_BYTES_MAX, PARTITION_COUNT, PartitionId};

pub use alter::Altered;
use budget::Account;
pub use budget::Budget;
use entry::{Draft, FREQUENCY_MAX, Nodes};
use eviction::Evicted;
use ghost::Ghost;
use index::{Hasher, Index};
use log::Log;
use maintenance::Renewal;
use segment::Queue;
pub use usage::Usage;
use wheel::Wheel;

/// Why an entry was not stored; the table still has what it had, but for what it evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no room for it, even with everything else of this table evicted.
    #[error("an entry needs {wanted_bytes} bytes; all memory is {limit_bytes}")]
    Full {
        /// What it would add.
        wanted_bytes: u64,
        /// What all tables may hold.
        limit_bytes: u64,
    },
    /// A key is 1 to [`KEY_BYTES_MAX`] bytes long.
    #[error("the key is {bytes} bytes long; it must have 1 to {KEY_BYTES_MAX}")]
    KeyLength {
        /// Its length.
        bytes: usize,
    },
}

/// What a table has counted since it was made, and how large it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Values held, expired ones that are not yet swept among them.
    pub entries: u64,
    /// Tombstones held.
    pub tombstones: u64,
    /// Bytes of keys and values.
    pub data_bytes: u64,
    /// Bytes committed for everything: entries, index, timers, room not yet filled.
    pub committed_bytes: u64,
    /// Reads that found a value.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
    /// Entries removed to make room.
    pub evictions: u64,
    /// Entries removed because their time had come.
    pub expirations: u64,
    /// Of the committed bytes, those in segments that no live entry takes.
    pub waste_bytes: u64,
    /// Of the committed bytes, those of the index.
    pub index_bytes: u64,
    /// Of the committed bytes, those of timers.
    pub timer_bytes: u64,
    /// Of the committed bytes, those of values too long to lie in a segment.
    pub external_bytes: u64,
    /// Values held that expire.
    pub expiring: u64,
    /// The sum of the moments at which they do, in Unix milliseconds.
    pub expire_at_sum_ms: u128,
}

impl Stats {
    /// Adds another table's figures.
    pub fn add(&mut self, other: &Stats) {
        self.entries += other.entries;
        self.tombstones += other.tombstones;
        self.data_bytes += other.data_bytes;
        self.committed_bytes += other.committed_bytes;
        self.hits += other.hits;
        self.misses += other.misses;
        self.evictions += other.evictions;
        self.expirations += other.expirations;
        self.waste_bytes += other.waste_bytes;
        self.index_bytes += other.index_bytes;
        self.timer_bytes += other.timer_bytes;
        self.external_bytes += other.external_bytes;
        self.expiring += other.expiring;
        self.expire_at_sum_ms += other.expire_at_sum_ms;
    }
}

/// Where a [`Table::scan`] stands. The default is the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor(pub u64);

/// An entry that made room for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evictee {
    /// Its partition.
    pub partition: PartitionId,
    /// Its key.
    pub key: bytes::Bytes,
    /// Its version.
    pub version: crate::version::Version,
}

/// An entry that went without having been asked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Its partition.
    pub partition: PartitionId,
    /// Its key.
    pub key: bytes::Bytes,
    /// Its version.
    pub version: crate::version::Version,
    /// Whether its time had come; else it made room for others.
    pub expired: bool,
}

/// Where a key is in a table, or that it is not there. It is true until the table changes.
#[derive(Clone, Copy, Debug)]
pub struct Spot {
    hash: u32,
    handle: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    hits: u64,
    misses: u64,
    evictions: u64,
    expirations: u64,
}

/// See the module.
pub struct Table {
    account: Account,
    log: Log,
    index: Index,
    hasher: Hasher,
    nodes: Nodes,
    ghost: Ghost,
    wheel: Wheel,
    renewal: Option<Renewal>,
    /// Values by partition; empty until the first entry comes.
    partitions: Vec<u32>,
    /// Those of them that expire; empty until the first one comes.
    expiring: Vec<u32>,
    /// When they do, in Unix milliseconds, all added up.
    expire_at_sum_ms: u128,
    /// How often a key without a value was given one, by partition; of the same length.
    created: Vec<u32>,
    /// Tombstones of each partition; empty until the first one comes.
    buried: Vec<u32>,
    tombstones: u64,
    /// What was evicted since it was last asked for, if anybody wants to know.
    evicted: Option<Vec<Evictee>>,
    /// What has gone since it was last asked for, while somebody watches.
    gone: Vec<Gone>,
    watched: Arc<AtomicBool>,
    /// Entries that expire.
    timed: usize,
    entries: u64,
    data_bytes: u64,
    counts: Counts,
}

impl Table {
    /// An empty table that draws on `budget`.
    #[must_use]
    pub fn new(budget: Arc<Budget>) -> Table {
        let mut table = Table {
            log: Log::new(budget.limit_bytes()),
            account: Account::open(budget),
            index: Index::new(),
            hasher: Hasher::random(),
            nodes: Nodes::default(),
            ghost: Ghost::default(),
            wheel: Wheel::default(),
            renewal: None,
            partitions: Vec::new(),
            expiring: Vec::new(),
            expire_at_sum_ms: 0,
            created: Vec::new(),
            buried: Vec::new(),
            tombstones: 0,
            evicted: None,
            gone: Vec::new(),
            watched: Arc::default(),
            timed: 0,
            entries: 0,
            data_bytes: 0,
            counts: Counts::default(),
        };
        table.settle();
        table
    }

    /// The value of a key; counts a hit or a miss and marks it used.
    #[inline]
    pub fn get(&mut self, key: &[u8], now: UnixMs) -> Option<EntryRef<'_>> {
        let found = self.find_live(key, now);
        let Some(handle) = found.filter(|handle| !self.log.header(*handle).is_tombstone()) else {
            self.counts.misses += 1;
            return None;
        };
        self.counts.hits += 1;
        self.touch(handle);
        Some(self.log.entry(handle, &self.nodes))
    }

    /// Where a key is, for whoever does more than one thing with it.
    #[must_use]
    #[inline]
    pub fn spot(&self, key: &[u8]) -> Spot {
        let hash = self.hasher.hash(key);
        let handle = self.find(hash, key);
        Spot { hash, handle }
    }

    /// The live entry of a key, which may be a tombstone, without a trace.
    #[must_use]
    pub fn peek(&self, key: &[u8], now: UnixMs) -> Option<EntryRef<'_>> {
        self.peek_at(self.spot(key), now)
    }

    /// The live entry at a spot, which may be a tombstone, without a trace.
    #[must_use]
    #[inline]
    pub fn peek_at(&self, spot: Spot, now: UnixMs) -> Option<EntryRef<'_>> {
        let handle = spot.handle?;
        (!self.log.is_expired(handle, now)).then(|| self.log.entry(handle, &self.nodes))
    }

    /// Inserts or replaces. Evicts what the budget asks for.
    ///
    /// # Errors
    /// [`Error::Full`] if there can be no room for it, [`Error::KeyLength`] if the key is none.
    pub fn put(
        &mut self,
        partition: PartitionId,
        key: &[u8],
        entry: EntryRef<'_>,
        now: UnixMs,
    ) -> Result<(), Error> {
        self.put_at(self.spot(key), partition, key, entry, now)
    }

    /// As [`Table::put`], at the spot of the key.
    ///
    /// # Errors
    /// As [`Table::put`].
    pub fn put_at(
        &mut self,
        spot: Spot,
        partition: PartitionId,
        key: &[u8],
        entry: EntryRef<'_>,
        now: UnixMs,
    ) -> Result<(), Error> {
        let inline_max = self.log.inline_max();
        let draft = Draft::new(partition, key, entry, inline_max, &mut self.nodes)
            .ok_or(Error::KeyLength { bytes: key.len() })?;
        let is_new = spot.handle.is_none_or(|handle| !self.is_value(handle, now));
        match spot.handle {
            Some(handle) if draft.header.fits_in_place_of(self.log.header(handle)) => {
                self.overwrite(spot.hash, handle, &draft, now);
                if draft.header.expires() {
                    // There may be a timer more.
                    self.settle();
                }
                // A lowered limit is kept also by tables that are only written over.
                if !self.account.try_reserve(0) {
                    self.make_room(now, |_| 0);
                }
            }
            _ => self.append(spot, &draft, now)?,
        }
        if is_new && entry.kind != Kind::Tombstone {
            self.note_created(partition);
        }
        Ok(())
    }

    /// Changes a part of an entry, whose key must be this one's, and which must be a value; whether it
    /// was there.
    ///
    /// # Errors
    /// [`Error::Full`] if there can be no room for what is added; then the entry is as it was, or
    /// was evicted.
    pub fn change(
        &mut self,
        partition: PartitionId,
        key: &[u8],
        changed: &Changed,
        now: UnixMs,
    ) -> Result<bool, Error> {
        self.change_at(self.spot(key), partition, key, changed, now)
    }

    /// As [`Table::change`], at the spot of the key.
    ///
    /// # Errors
    /// As [`Table::change`].
    pub fn change_at(
        &mut self,
        spot: Spot,
        partition: PartitionId,
        key: &[u8],
        changed: &Changed,
        now: UnixMs,
    ) -> Result<bool, Error> {
        let Some(handle) = spot.handle.filter(|handle| self.is_value(*handle, now)) else {
            return Ok(false);
        };
        if self.log.header(handle).is_external() {
            return self.change_external((spot.hash, handle), partition, key, changed, now);
        }
        let entry = self.log.entry(handle, &self.nodes);
        match changed.whole(entry) {
            Some(whole) => {
                let whole = whole.as_ref();
                self.put_at(spot, partition, key, whole, now).map(|()| true)
            }
            None => Ok(false),
        }
    }

    fn change_external(
        &mut self,
        (hash, mut handle): (u32, u32),
        partition: PartitionId,
        key: &[u8],
        changed: &Changed,
        now: UnixMs,
    ) -> Result<bool, Error> {
        let list = match changed.delta {
            Delta::Expiry(Some(_)) if self.expiring.is_empty() => u64::from(PARTITION_COUNT) * 4,
            _ => 0,
        };
        let wanted = self.log.growth_by(handle, &changed.delta) + list;
        let full = Error::Full {
            wanted_bytes: wanted,
            limit_bytes: self.account.limit(),
        };
        if !self.account.try_reserve(wanted) {
            let growth = |table: &Table| {
                let handle = table.find(hash, key);
                handle.map_or(0, |handle| {
                    table.log.growth_by(handle, &changed.delta) + list
                })
            };
            if !self.make_room(now, growth) {
                self.settle();
                return Err(full);
            }
            // The entry itself may have made room for others.
            handle = self.find(hash, key).ok_or(full)?;
        }
        let entry = self.log.entry(handle, &self.nodes);
        let (tag, expires_at) = match changed.delta {
            Delta::Expiry(at) => (Some(entry.etag()), at),
            _ => (None, entry.expires_at),
        };
        let expires_before = entry.expires_at;
        let header = EntryRef {
            kind: entry.kind,
            data: &[],
            open: None,
            version: changed.version,
            tag,
            expires_at,
        };
        let draft = Draft::of_external(partition, key, header, &mut self.nodes);
        let draft = draft.ok_or(Error::KeyLength { bytes: key.len() })?;
        let frequency = (self.log.header(handle).frequency() + 1).min(FREQUENCY_MAX);
        let bytes_before = self.log.data_bytes(handle);
        let new = self.log.change(handle, &draft, &changed.delta, frequency);
        let kept = new.unwrap_or(handle);
        if kept != handle {
            self.index.replace(hash, handle, kept);
        }
        if new.is_some() {
            self.timed += usize::from(expires_at.is_some());
            self.timed -= usize::from(expires_before.is_some());
            self.recount_expiry(partition, expires_before, expires_at);
            self.data_bytes += self.log.data_bytes(kept);
            self.data_bytes -= bytes_before;
        }
        self.set_timer(hash, kept, expires_before, now);
        self.settle();
        new.map(|_| true).ok_or(full)
    }

    /// Writes over an entry whose shape stays the same.
    fn overwrite(&mut self, hash: u32, handle: u32, draft: &Draft<'_>, now: UnixMs) {
        let before = self.log.header(handle);
        let expires_before = self.log.expires_at(handle);
        let counts = before.is_tombstone() || draft.header.is_tombstone();
        if counts {
            self.uncount(handle);
        }
        let frequency = (before.frequency() + 1).min(FREQUENCY_MAX);
        self.log.overwrite(handle, draft, frequency);
        if counts {
            self.count(handle);
        } else {
            // The key is the same, and so is all else that is counted.
            self.data_bytes += draft.header.inline_bytes() as u64;
            self.data_bytes -= before.inline_bytes() as u64;
            let expires_after = self.log.expires_at(handle);
            self.recount_expiry(before.partition(), expires_before, expires_after);
        }
        self.set_timer(hash, handle, expires_before, now);
    }

    /// Writes a new entry, and takes the old one of its key away.
    fn append(&mut self, spot: Spot, draft: &Draft<'_>, now: UnixMs) -> Result<(), Error> {
        let hash = spot.hash;
        let mut old = spot.handle;
        // It is forgotten there now, whatever comes of it.
        let next = match self.ghost.take(hash) {
            true => Queue::Main,
            false => Queue::Small,
        };
        let wanted = self.growth(self.queue_for(old, next), hash, draft);
        let full = Error::Full {
            wanted_bytes: wanted,
            limit_bytes: self.account.limit(),
        };
        if !self.account.try_reserve(wanted) {
            let evictable = self.log.committed_bytes();
            if !self.account.could_fit(wanted, evictable) {
                self.account.starve();
                return Err(full);
            }
            let most = |table: &Table| {
                let growths = Queue::ALL.map(|queue| table.growth(queue, hash, draft));
                growths[0].max(growths[1])
            };
            if !self.make_room(now, most) {
                self.settle();
                return Err(full);
            }
            // Eviction may have taken the old entry.
            old = self.find(hash, draft.key);
        }
        let new = loop {
            let frequency = old.map_or(0, |old| self.log.header(old).frequency() + 1);
            let frequency = frequency.min(FREQUENCY_MAX);
            if let Some(new) = self.log.append(self.queue_for(old, next), draft, frequency) {
                break new;
            }
            // Slots, or the system's memory, have run out before the budget.
            if self.evict_one(now, false) == Evicted::Nothing {
                self.settle();
                return Err(full);
            }
            old = self.find(hash, draft.key);
        };
        let mut expires_before = None;
        if let Some(old) = old {
            expires_before = self.log.expires_at(old);
            self.index.replace(hash, old, new);
            self.uncount(old);
            self.log.remove(old);
        } else {
            let (log, hasher) = (&self.log, &self.hasher);
            self.index
                .insert(hash, new, |handle| hasher.hash(log.key(handle)));
        }
        self.count(new);
        self.set_timer(hash, new, expires_before, now);
        self.settle();
        Ok(())
    }

    /// The queue of an entry that takes the place of `old`; `next` if there is none.
    fn queue_for(&self, old: Option<u32>, next: Queue) -> Queue {
        old.map_or(next, |old| self.log.queue_of(old))
    }

    /// The most that [`Table::append`] may add to the committed bytes.
    fn growth(&self, queue: Queue, hash: u32, draft: &Draft<'_>) -> u64 {
        let list = |is_missing: bool, bytes: u64| match is_missing {
            true => u64::from(PARTITION_COUNT) * bytes,
            false => 0,
        };
        let (expires, is_tombstone) = (draft.header.expires(), draft.header.is_tombstone());
        let partitions = list(self.partitions.is_empty(), 8)
            + list(expires && self.expiring.is_empty(), 4)
            + list(is_tombstone && self.buried.is_empty(), 4);
        let timer = self.wheel.growth();
        self.log.growth(queue, draft) + self.index.growth(hash) + partitions + timer
    }

    /// Removes a key; whether it was there and alive.
    pub fn remove(&mut self, key: &[u8], now: UnixMs) -> bool {
        let found = self.find_live(key, now);
        if let Some(handle) = found {
            self.remove_handle(handle);
            self.settle();
        }
        found.is_some()
    }

    /// Notes from now on what is evicted, for [`Table::take_evicted`].
    pub fn note_evictions(&mut self) {
        self.evicted.get_or_insert_default();
    }

    /// What was evicted since it was last asked for.
    pub fn take_evicted(&mut self) -> Vec<Evictee> {
        self.evicted
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Notes what goes, for [`Table::take_gone`], as long as `watched` is set.
    pub fn note_gone(&mut self, watched: Arc<AtomicBool>) {
        self.watched = watched;
    }

    /// Whether [`Table::take_gone`] would tell of anything.
    #[must_use]
    #[inline]
    pub fn has_gone(&self) -> bool {
        !self.gone.is_empty()
    }

    /// What has expired or was evicted since it was last asked for.
    pub fn take_gone(&mut self) -> Vec<Gone> {
        std::mem::take(&mut self.gone)
    }

    /// The counters and sizes.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            entries: self.entries - self.tombstones,
            tombstones: self.tombstones,
            data_bytes: self.data_bytes,
            committed_bytes: self.committed_bytes(),
            hits: self.counts.hits,
            misses: self.counts.misses,
            evictions: self.counts.evictions,
            expirations: self.counts.expirations,
            waste_bytes: self.log.waste_bytes(),
            index_bytes: self.index.bytes(),
            timer_bytes: self.timer_bytes(),
            external_bytes: self.log.external_bytes(),
            expiring: self.expiring.iter().copied().map(u64::from).sum(),
            expire_at_sum_ms: self.expire_at_sum_ms,
        }
    }

    #[inline]
    fn find(&self, hash: u32, key: &[u8]) -> Option<u32> {
        self.index.find(hash, |handle| self.log.key(handle) == key)
    }

    /// The entry of a key, unless its time has come; then it is removed.
    #[inline]
    fn find_live(&mut self, key: &[u8], now: UnixMs) -> Option<u32> {
        let handle = self.find(self.hasher.hash(key), key)?;
        if !self.log.is_expired(handle, now) {
            return Some(handle);
        }
        self.remove_expired(handle);
        self.settle();
        None
    }

    /// Takes an entry out whose time has come.
    fn remove_expired(&mut self, handle: u32) {
        self.counts.expirations += 1;
        self.note(handle, true);
        self.remove_handle(handle);
    }

    /// Notes that an entry is about to go, if anybody wants to know. A tombstone's going concerns
    /// nobody.
    fn note(&mut self, handle: u32, expired: bool) {
        let header = self.log.header(handle);
        if self.watched.load(Ordering::Relaxed) && !header.is_tombstone() {
            self.gone.push(Gone {
                partition: header.partition(),
                key: bytes::Bytes::copy_from_slice(self.log.key(handle)),
                version: self.log.entry(handle, &self.nodes).version,
                expired,
            });
        }
    }

    /// Takes an entry out of everything. Timers forget it when they fire.
    fn remove_handle(&mut self, handle: u32) {
        let hash = self.hasher.hash(self.log.key(handle));
        self.index.remove(hash, handle);
        self.uncount(handle);
        self.log.remove(handle);
    }

    /// Adds an item to the wheel unless the one of the entry before comes early enough.
    #[inline]
    fn set_timer(&mut self, hash: u32, handle: u32, before: Option<UnixMs>, now: UnixMs) {
        if let Some(at) = self.log.expires_at(handle)
            && before.is_none_or(|before| at < before)
        {
            self.wheel.add(hash, at, now);
        }
    }

    fn timer_bytes(&self) -> u64 {
        self.wheel.bytes() + self.renewal.as_ref().map_or(0, Renewal::bytes)
    }

    /// Everything that grows; what a table takes at rest is part of the process's own need.
    #[inline]
    fn committed_bytes(&self) -> u64 {
        self.log.committed_bytes()
            + self.index.bytes()
            + self.timer_bytes()
            + self.ghost.bytes()
            + size_of_val(&*self.partitions) as u64
            + size_of_val(&*self.expiring) as u64
            + size_of_val(&*self.created) as u64
            + size_of_val(&*self.buried) as u64
    }

    /// Tells the budget what is committed now.
    #[inline]
    fn settle(&mut self) {
        self.account.settle(self.committed_bytes());
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Table");
        out.field("stats", &self.stats()).finish_non_exhaustive()
    }
}
