//! The in-memory table: entries of a set of partitions, their expiry and their eviction.
//!
//! Pure: it knows no tokio, no actor and no clock. One writer owns one table behind a lock.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::clock::UnixMs;
use crate::command::{Entry, EntryRef};
use crate::key::PartitionId;

/// The memory that all tables of a node share.
#[derive(Debug)]
pub struct Budget {
    limit_bytes: AtomicU64,
    committed_bytes: AtomicU64,
}

impl Budget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(limit_bytes: u64) -> Arc<Budget> {
        Arc::new(Budget {
            limit_bytes: limit_bytes.into(),
            committed_bytes: 0.into(),
        })
    }

    /// What the tables may commit together.
    #[must_use]
    pub fn limit_bytes(&self) -> u64 {
        self.limit_bytes.load(Ordering::Relaxed)
    }

    /// Changes the limit; tables above it evict at their next write or [`Table::maintain`].
    pub fn set_limit_bytes(&self, bytes: u64) {
        self.limit_bytes.store(bytes, Ordering::Relaxed);
    }

    /// What the tables hold committed.
    #[must_use]
    pub fn committed_bytes(&self) -> u64 {
        self.committed_bytes.load(Ordering::Relaxed)
    }
}

/// What a table has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Entries held, expired ones that are not yet swept among them.
    pub entries: u64,
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
}

impl Stats {
    /// Adds another table's figures.
    pub fn add(&mut self, other: &Stats) {
        self.entries += other.entries;
        self.data_bytes += other.data_bytes;
        self.committed_bytes += other.committed_bytes;
        self.hits += other.hits;
        self.misses += other.misses;
        self.evictions += other.evictions;
        self.expirations += other.expirations;
    }
}

/// Where a [`Table::scan`] stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor(pub u64);

/// See the module.
#[derive(Debug)]
pub struct Table {
    map: HashMap<Bytes, (PartitionId, Entry)>,
    stats: Stats,
}

impl Table {
    /// An empty table that draws on `budget`.
    #[must_use]
    pub fn new(budget: Arc<Budget>) -> Table {
        let _ = budget;
        Table {
            map: HashMap::new(),
            stats: Stats::default(),
        }
    }

    /// The live entry of a key; counts a hit or a miss and marks it used.
    pub fn get(&mut self, key: &[u8], now: UnixMs) -> Option<EntryRef<'_>> {
        let found = self
            .map
            .get(key)
            .filter(|(_, e)| e.expires_at.is_none_or(|at| at > now));
        if found.is_some() {
            self.stats.hits += 1
        } else {
            self.stats.misses += 1
        }
        found.map(|(_, e)| as_ref(e))
    }

    /// The live entry of a key, without a trace.
    #[must_use]
    pub fn peek(&self, key: &[u8], now: UnixMs) -> Option<EntryRef<'_>> {
        let found = self
            .map
            .get(key)
            .filter(|(_, e)| e.expires_at.is_none_or(|at| at > now));
        found.map(|(_, e)| as_ref(e))
    }

    /// Inserts or replaces. Evicts what the budget asks for.
    pub fn put(&mut self, partition: PartitionId, key: &[u8], entry: EntryRef<'_>, now: UnixMs) {
        let _ = now;
        self.map
            .insert(Bytes::copy_from_slice(key), (partition, entry.to_entry()));
        self.stats.entries = self.map.len() as u64;
    }

    /// Removes a key; whether it was there and alive.
    pub fn remove(&mut self, key: &[u8], now: UnixMs) -> bool {
        let gone = self.map.remove(key);
        self.stats.entries = self.map.len() as u64;
        gone.is_some_and(|(_, e)| e.expires_at.is_none_or(|at| at > now))
    }

    /// Expires, compacts and evicts, at most about `work_max` entries' worth; whether more is due.
    pub fn maintain(&mut self, now: UnixMs, work_max: usize) -> bool {
        let _ = work_max;
        self.map
            .retain(|_, (_, e)| e.expires_at.is_none_or(|at| at > now));
        self.stats.entries = self.map.len() as u64;
        false
    }

    /// Entries of one partition, expired ones that are not yet swept among them.
    #[must_use]
    pub fn partition_entries(&self, partition: PartitionId) -> u64 {
        self.map.values().filter(|(p, _)| *p == partition).count() as u64
    }

    /// Visits live entries of the partitions that `wanted` names until `visit` returns false or
    /// about `work_max` entries were looked at. Every key that is present throughout a whole scan
    /// is visited at least once, whatever is written meanwhile. `None` when the scan is complete.
    pub fn scan(
        &mut self,
        cursor: Cursor,
        now: UnixMs,
        work_max: usize,
        wanted: impl Fn(PartitionId) -> bool,
        mut visit: impl FnMut(PartitionId, &[u8], EntryRef<'_>) -> bool,
    ) -> Option<Cursor> {
        let _ = (cursor, work_max, now);
        for (key, (partition, entry)) in &self.map {
            if wanted(*partition) && !visit(*partition, key, as_ref(entry)) {
                break;
            }
        }
        None
    }

    /// The counters and sizes.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }
}

fn as_ref(e: &Entry) -> EntryRef<'_> {
    EntryRef {
        kind: e.kind,
        data: &e.data,
        version: e.version,
        expires_at: e.expires_at,
    }
}
