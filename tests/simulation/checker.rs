//! What clients were promised, and whether it was kept.
//!
//! Every value has a version, and the versions of a key grow in the order in which its writes are
//! applied. So it is enough to remember, for each key, which version was last acknowledged, read, or
//! known to be gone; a read that began later must not see an older one.
//!
//! While a partition may have two owners (after a cut, or a false death) only this is checked: a
//! version always stands for the same value, nothing expired is served, and in the end every
//! acknowledged write is there, was superseded by one that knew it, or was counted as discarded.

#[path = "checker/documents.rs"]
mod documents;
#[path = "checker/sides.rs"]
mod sides;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use smache::clock::UnixMs;
use smache::command::{Condition, Entry, Kind, Reply};
use smache::key::Key;
use smache::version::Version;

use crate::context::Settings;
use crate::requests::Ended;

use self::documents::Write;
pub use self::documents::Written;

/// Bytes of what is pushed to lists.
pub const PUSH_BYTES: usize = 40;

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    Document,
    /// A document that expires.
    Timed,
    Counter,
    /// A list to which every addition pushes its number.
    List,
}

impl Sort {
    fn is_counted(self) -> bool {
        matches!(self, Sort::Counter | Sort::List)
    }
}

/// What is known of a key.
pub struct History {
    pub key: Key,
    pub sort: Sort,
    /// What each version that was seen stands for.
    contents: BTreeMap<Version, (Bytes, Option<UnixMs>)>,
    marks: Marks,
    writes: Vec<Write>,
    increments: Vec<Increment>,
}

/// The newest version that something is known of: by acknowledged writes alone, which a crash
/// does not undo, and by reads as well, which may have seen a write that was not yet acknowledged.
#[derive(Clone, Copy, Debug, Default)]
struct Marks {
    acked: Version,
    read: Version,
    /// This one and all before are gone.
    gone_acked: Version,
    gone_read: Version,
}

/// Where a read began.
#[derive(Clone, Copy, Debug)]
pub struct ReadStart {
    at: u64,
    crashes: u32,
    marks: Marks,
}

#[derive(Clone, Debug)]
struct Increment {
    start: u64,
    /// Acknowledged at this moment, with this version.
    done: Option<(u64, Option<Version>)>,
    /// Certainly not applied, so far.
    failed: bool,
}

/// See the module.
pub struct Checker {
    settings: Settings,
    pub keys: Vec<History>,
    /// There may be two owners: promises 3 to 5 are not owed.
    pub lenient: bool,
    /// Promise 6 is checked in the end.
    pub is_cut_mode: bool,
    crashes: u32,
    last_number: u64,
    /// What each version replaced, where it was written.
    replaced: BTreeMap<(Bytes, Version), Option<Version>>,
    /// Versions that nothing is owed for: they were deleted.
    deleted: BTreeMap<Bytes, BTreeSet<Version>>,
    discarded: BTreeMap<Bytes, BTreeSet<Version>>,
    pub counts: Counts,
}

/// How much was checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub reads: u64,
    pub writes: u64,
    pub increments: u64,
    pub uncertain: u64,
    pub refused: u64,
    pub failed: u64,
    pub discarded: u64,
    pub flushes: u64,
}

impl Counts {
    pub fn add(&mut self, more: &Counts) {
        self.reads += more.reads;
        self.writes += more.writes;
        self.increments += more.increments;
        self.uncertain += more.uncertain;
        self.refused += more.refused;
        self.failed += more.failed;
        self.discarded += more.discarded;
        self.flushes += more.flushes;
    }
}

impl Checker {
    pub fn new(settings: Settings) -> Checker {
        Checker {
            settings,
            keys: Vec::new(),
            lenient: false,
            is_cut_mode: false,
            crashes: 0,
            last_number: 0,
            replaced: BTreeMap::new(),
            deleted: BTreeMap::new(),
            discarded: BTreeMap::new(),
            counts: Counts::default(),
        }
    }

    pub fn add(&mut self, key: Key, sort: Sort) {
        self.keys.push(History {
            key,
            sort,
            contents: BTreeMap::new(),
            marks: Marks::default(),
            writes: Vec::new(),
            increments: Vec::new(),
        });
    }

    pub fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// A node has crashed: what it had not yet acknowledged may be undone.
    pub fn crashed(&mut self) {
        self.crashes += 1;
        for history in &mut self.keys {
            let marks = &mut history.marks;
            marks.read = marks.acked;
            marks.gone_read = marks.gone_acked;
        }
    }

    /// Counts how an operation ended. While promises are owed, somebody answers in time.
    pub fn count(&mut self, outcome: &Ended) {
        match outcome {
            Ended::Uncertain | Ended::Applied => self.counts.uncertain += 1,
            Ended::Refused => self.counts.refused += 1,
            Ended::Failed => {
                self.counts.failed += 1;
                assert!(self.lenient, "nobody answered within the deadline");
            }
            Ended::Done(_) => {}
        }
    }

    /// A version stands for one value, wherever it is seen.
    pub fn seen(&mut self, key: usize, entry: &Entry) {
        let history = &mut self.keys[key];
        let content = (entry.data.clone(), entry.expires_at);
        let known = history.contents.entry(entry.version);
        let known = known.or_insert_with(|| content.clone());
        assert!(
            *known == content,
            "{}: version {} is {content:?} and was {known:?}",
            history.key,
            entry.version
        );
    }

    pub fn begin_read(&mut self, key: usize, now: u64) -> ReadStart {
        ReadStart {
            at: now,
            crashes: self.crashes,
            marks: self.keys[key].marks,
        }
    }

    /// What must have been seen, and what must not be seen again, by a read that began there.
    fn bounds(&self, start: &ReadStart) -> (Version, Version) {
        let marks = start.marks;
        if start.crashes == self.crashes {
            (
                marks.acked.max(marks.read),
                marks.gone_acked.max(marks.gone_read),
            )
        } else {
            (marks.acked, marks.gone_acked)
        }
    }

    pub fn end_read(&mut self, key: usize, start: &ReadStart, value: Option<&Entry>, now: u64) {
        self.counts.reads += 1;
        if let Some(entry) = value {
            self.seen(key, entry);
        }
        if self.lenient {
            return;
        }
        match value {
            Some(entry) => self.saw(key, start, entry.version),
            None => self.missed(key, start, now),
        }
        if self.keys[key].sort.is_counted() {
            self.check_counter(key, start, value, now);
        }
    }

    /// A read, or a refused condition, has seen this version.
    fn saw(&mut self, key: usize, start: &ReadStart, version: Version) {
        let (least, gone) = self.bounds(start);
        let history = &mut self.keys[key];
        assert!(
            version >= least,
            "{} is read at {version}, but {least} was acknowledged or read before",
            history.key
        );
        assert!(
            version > gone,
            "{} is read at {version}, but {gone} was gone before",
            history.key
        );
        if start.crashes == self.crashes {
            history.marks.read = history.marks.read.max(version);
        }
    }

    /// A read has seen that there is nothing.
    fn missed(&mut self, key: usize, start: &ReadStart, now: u64) {
        let (least, _) = self.bounds(start);
        let may_be_absent = self.settings.evicts || self.may_be_absent(key, start.at, now);
        let history = &mut self.keys[key];
        assert!(
            may_be_absent,
            "{} is missed, but {least} was acknowledged or read before",
            history.key
        );
        let expires = history
            .contents
            .get(&least)
            .is_some_and(|(_, at)| at.is_some());
        if start.crashes == self.crashes && !expires {
            history.marks.gone_read = history.marks.gone_read.max(least);
        }
    }

    /// What the longest list may take by now.
    pub fn list_bytes(&self) -> usize {
        let lists = self
            .keys
            .iter()
            .filter(|history| history.sort == Sort::List);
        let pushes = lists.map(|history| history.increments.len());
        pushes.max().unwrap_or_default() * (PUSH_BYTES + 1)
    }

    fn may_be_absent(&self, key: usize, start: u64, end: u64) -> bool {
        let history = &self.keys[key];
        if history.sort.is_counted() {
            let done = |i: &Increment| i.done.is_some_and(|(at, _)| at <= start);
            return !history.increments.iter().any(done);
        }
        history.may_be_absent(start, end, self.settings.skew_ms.unsigned_abs())
    }

    fn check_counter(&self, key: usize, start: &ReadStart, value: Option<&Entry>, now: u64) {
        let history = &self.keys[key];
        if self.settings.evicts {
            return;
        }
        if history.sort == Sort::List {
            return history.check_list(start, value, now);
        }
        let stands = value.map_or(0, |entry| number(&entry.data));
        let done = |i: &&Increment| i.done.is_some_and(|(at, _)| at <= start.at);
        let least = history.increments.iter().filter(done).count() as i64;
        let begun = |i: &&Increment| i.start <= now && !i.failed;
        let most = history.increments.iter().filter(begun).count() as i64;
        assert!(
            (least..=most).contains(&stands),
            "{} stands at {stands}, but {least} increments were acknowledged and {most} sent",
            history.key
        );
    }

    pub fn begin_increment(&mut self, key: usize, now: u64) -> usize {
        let increments = &mut self.keys[key].increments;
        increments.push(Increment {
            start: now,
            done: None,
            failed: false,
        });
        increments.len() - 1
    }

    /// An increment was answered; one with the client's own name maybe not for the first time.
    pub fn end_increment(
        &mut self,
        key: usize,
        index: usize,
        outcome: &Ended,
        named: bool,
        now: u64,
    ) {
        self.count(outcome);
        self.counts.increments += 1;
        let version = match outcome {
            Ended::Done(Reply::Stored { entry, .. }) => {
                assert_eq!(entry.kind, Kind::Counter);
                self.seen(key, entry);
                Some(entry.version)
            }
            Ended::Done(Reply::Answer { version, .. }) => *version,
            Ended::Applied => None,
            Ended::Failed | Ended::Refused => {
                // One that is sent again may have been applied before.
                self.keys[key].increments[index].failed = !named;
                return;
            }
            _ => return,
        };
        let lenient = self.lenient || self.settings.evicts;
        let history = &mut self.keys[key];
        let before = history.increments[index].done;
        if let Some((_, Some(known))) = before
            && !lenient
        {
            let same = version.is_none_or(|version| version == known);
            assert!(
                same,
                "{} is incremented twice by one operation",
                history.key
            );
        }
        if let Some(version) = version.filter(|_| !lenient && before.is_none()) {
            let taken = |i: &Increment| i.done.is_some_and(|(_, v)| v == Some(version));
            assert!(
                !history.increments.iter().any(taken),
                "{}: two increments were acknowledged with {version}",
                history.key
            );
        }
        let done = &mut history.increments[index].done;
        *done = (*done).or(Some((now, version)));
        if let Some(version) = version {
            history.marks.acked = history.marks.acked.max(version);
            history.marks.read = history.marks.read.max(version);
        }
    }

    /// Everything is to be deleted, while no client has anything under way: a write to each document.
    pub fn begin_flush(&mut self, now: u64) -> Vec<(usize, usize)> {
        let documents = (0..self.keys.len()).filter(|key| !self.keys[*key].sort.is_counted());
        let documents: Vec<usize> = documents.collect();
        let begin = |key| (key, self.begin_write(key, Written::Delete, now));
        documents.into_iter().map(begin).collect()
    }

    /// Everything was deleted.
    pub fn end_flush(&mut self, deletes: Vec<(usize, usize)>, now: u64) {
        let deleted = Ended::Done(Reply::Deleted(true));
        for (key, index) in deletes {
            self.end_write(key, index, &Condition::None, &deleted, now);
        }
        for history in self.keys.iter_mut().filter(|h| h.sort.is_counted()) {
            history.increments.clear();
            let marks = &mut history.marks;
            (marks.gone_acked, marks.gone_read) = (marks.acked, marks.acked.max(marks.read));
        }
        self.counts.flushes += 1;
    }

    /// In the end, when nothing is under way: what is there of a key, by its owner.
    pub fn check_end(&mut self, key: usize, found: Option<&Entry>, now: u64) {
        if !self.lenient {
            let start = self.begin_read(key, now);
            let value = found.filter(|entry| entry.kind != Kind::Tombstone);
            self.end_read(key, &start, value, now);
        }
        if self.is_cut_mode {
            self.check_sides(key, found.map(|entry| entry.version));
        }
    }
}

impl History {
    /// Every acknowledged push is in the list, and every push is so once.
    fn check_list(&self, start: &ReadStart, value: Option<&Entry>, now: u64) {
        let mut found = BTreeSet::new();
        if let Some(entry) = value {
            for (element, _) in entry.as_ref().view().iter() {
                let pushed = std::str::from_utf8(element)
                    .unwrap()
                    .parse::<usize>()
                    .unwrap();
                let push = self.increments.get(pushed);
                let sent = push.is_some_and(|push| push.start <= now && !push.failed);
                assert!(
                    sent,
                    "{}: push {pushed} was refused, or never sent",
                    self.key
                );
                assert!(
                    found.insert(pushed),
                    "{}: push {pushed} is there twice",
                    self.key
                );
            }
        }
        for (pushed, push) in self.increments.iter().enumerate() {
            let done = push.done.is_some_and(|(at, _)| at <= start.at);
            assert!(
                !done || found.contains(&pushed),
                "{}: push {pushed} was acknowledged and is lost",
                self.key
            );
        }
    }
}

fn number(data: &[u8]) -> i64 {
    smache::command::counter::parse(data).expect("a counter's number")
}
