//! The one table of commands: what each is called, takes and does.
//!
//! Each group of commands keeps its rows in its own file, beside the functions that carry them out;
//! here is what a row says, and how one is found. Arities, errors about unknown commands, roles,
//! `COMMAND` and its documentation, and the order in which a connection's commands may overlap all
//! follow from these rows.

use std::sync::LazyLock;

use super::call::Run;
use super::{
    client, command, config, hashes, info, json, keys, lists, object, pubsub, scan, server,
    session, sets, strings, transaction,
};
use crate::access::Need;

/// All commands, by group, in the order in which Redis names its groups.
pub(super) static GROUPS: &[Group] = &[
    Group::new("generic", keys::COMMANDS),
    Group::new("generic", object::COMMANDS),
    Group::new("generic", scan::COMMANDS),
    Group::new("string", strings::COMMANDS),
    Group::new("string", strings::lcs::COMMANDS),
    Group::new("bitmap", strings::bits::COMMANDS),
    Group::new("connection", session::COMMANDS),
    Group::new("connection", client::COMMANDS),
    Group::new("transactions", transaction::COMMANDS),
    Group::new("server", server::COMMANDS),
    Group::new("server", object::SERVER_COMMANDS),
    Group::new("server", info::COMMANDS),
    Group::new("server", config::COMMANDS),
    Group::new("server", command::COMMANDS),
    Group::new("hash", hashes::COMMANDS),
    Group::new("list", lists::COMMANDS),
    Group::new("set", sets::COMMANDS),
    Group::new("pubsub", pubsub::COMMANDS),
    Group::new("module", json::COMMANDS),
];

/// Commands that belong together.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: &'static str,
    commands: &'static [Spec],
}

impl Group {
    const fn new(name: &'static str, commands: &'static [Spec]) -> Group {
        Group { name, commands }
    }
}

/// A set of what is true of a command; each is one bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flags(u32);

impl Flags {
    const NONE: Flags = Flags(0);
    /// It changes keys.
    pub(super) const WRITE: Flags = Flags(1);
    /// It reads keys.
    pub(super) const READ: Flags = Flags(1 << 1);
    /// It may need memory.
    pub(super) const GROWS: Flags = Flags(1 << 2);
    /// It is for who runs the server.
    pub(super) const ADMIN: Flags = Flags(1 << 3);
    /// It is about messages.
    pub(super) const PUBSUB: Flags = Flags(1 << 4);
    /// It takes the same time however much data there is.
    pub(super) const FAST: Flags = Flags(1 << 5);
    /// It may be asked before the client has said who it is.
    pub(super) const NO_AUTH: Flags = Flags(1 << 6);
    /// It may be asked before the node serves keys.
    pub(super) const EARLY: Flags = Flags(1 << 7);
    /// It may take long, or tells much.
    pub(super) const DANGEROUS: Flags = Flags(1 << 8);
    /// It may wait.
    pub(super) const BLOCKING: Flags = Flags(1 << 9);
    /// What it answers depends on nothing that other commands change, and it changes nothing: it
    /// need not wait for those that are under way.
    pub(super) const FREE: Flags = Flags(1 << 10);
    /// It tells others something: for who may write.
    pub(super) const PUBLISHES: Flags = Flags(1 << 11);
    /// It may be asked by a client of RESP2 that listens to channels.
    pub(super) const WHILE_LISTENING: Flags = Flags(1 << 12);
    /// It waits while there is a pause for writes.
    pub(super) const PAUSED: Flags = Flags::WRITE.and(Flags::PUBLISHES);

    pub(super) const fn has(self, other: Flags) -> bool {
        self.0 & other.0 != 0
    }

    const fn and(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

/// Which arguments are keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    /// None.
    None,
    /// Every `step`th one from `first` to `last`, which counts from the end if it is negative.
    Range {
        first: usize,
        last: i32,
        step: usize,
    },
    /// As many as argument `at` says, behind it; and `before`, if that is not 0.
    Counted { at: usize, before: usize },
}

/// A command, or a subcommand.
#[derive(Debug)]
pub(super) struct Spec {
    /// In small letters.
    pub(super) name: &'static str,
    /// How many arguments it has, its name among them; if negative, at least so many.
    pub(super) arity: i32,
    pub(super) flags: Flags,
    pub(super) keys: Keys,
    /// The version of Redis that had it first.
    pub(super) since: &'static str,
    pub(super) complexity: &'static str,
    pub(super) summary: &'static str,
    pub(super) run: Run,
    pub(super) subcommands: &'static [Spec],
}

impl Spec {
    /// What a client must be allowed to do for it.
    pub(super) fn need(&self) -> Need {
        if self.flags.has(Flags::ADMIN) {
            Need::Admin
        } else if self.flags.has(Flags::PAUSED) {
            Need::Write
        } else {
            Need::Read
        }
    }

    /// A row without more.
    pub(super) const fn new(name: &'static str, arity: i32, run: Run) -> Spec {
        Spec {
            name,
            arity,
            flags: Flags::NONE,
            keys: Keys::None,
            since: "1.0.0",
            complexity: "O(1)",
            summary: "",
            run,
            subcommands: &[],
        }
    }

    /// A command that is nothing without a subcommand.
    pub(super) const fn container(name: &'static str, subcommands: &'static [Spec]) -> Spec {
        Spec {
            subcommands,
            ..Spec::new(name, -2, super::call::unknown_subcommand)
        }
    }

    pub(super) const fn flags(mut self, flags: Flags) -> Spec {
        self.flags = self.flags.and(flags);
        self
    }

    pub(super) const fn read(self) -> Spec {
        self.flags(Flags::READ)
    }

    pub(super) const fn write(self) -> Spec {
        self.flags(Flags::WRITE)
    }

    /// A write that may need memory.
    pub(super) const fn grow(self) -> Spec {
        self.flags(Flags::WRITE).flags(Flags::GROWS)
    }

    pub(super) const fn fast(self) -> Spec {
        self.flags(Flags::FAST)
    }

    pub(super) const fn admin(self) -> Spec {
        self.flags(Flags::ADMIN).flags(Flags::DANGEROUS)
    }

    /// It needs neither keys nor other commands.
    pub(super) const fn free(self) -> Spec {
        self.flags(Flags::FREE).flags(Flags::EARLY)
    }

    /// It changes what the client listens to.
    pub(super) const fn listener(self) -> Spec {
        self.flags(Flags::PUBSUB)
            .flags(Flags::EARLY)
            .flags(Flags::WHILE_LISTENING)
    }

    /// The first argument is its key.
    pub(super) const fn key(self) -> Spec {
        self.keys(1, 1, 1)
    }

    pub(super) const fn keys(mut self, first: usize, last: i32, step: usize) -> Spec {
        self.keys = Keys::Range { first, last, step };
        self
    }

    pub(super) const fn counted(mut self, at: usize, before: usize) -> Spec {
        self.keys = Keys::Counted { at, before };
        self
    }

    pub(super) const fn about(
        mut self,
        since: &'static str,
        complexity: &'static str,
        summary: &'static str,
    ) -> Spec {
        (self.since, self.complexity, self.summary) = (since, complexity, summary);
        self
    }

    pub(super) const fn takes(&self, arguments: usize) -> bool {
        let least = self.arity.unsigned_abs() as usize;
        if self.arity < 0 {
            arguments >= least
        } else {
            arguments == least
        }
    }

    /// The places of its keys among so many arguments. `None` if what should be a number of keys is
    /// none; the command says so itself.
    pub(super) fn key_places<'a>(
        &self,
        count: usize,
        argument: impl Fn(usize) -> Option<&'a [u8]>,
    ) -> Option<KeyPlaces> {
        match self.keys {
            Keys::None => Some(KeyPlaces::default()),
            Keys::Range { first, last, step } => {
                let last = match usize::try_from(last) {
                    Ok(last) => last + 1,
                    Err(_) => count.saturating_sub(last.unsigned_abs() as usize - 1),
                };
                Some(KeyPlaces {
                    before: None,
                    range: first..last.min(count),
                    step,
                })
            }
            Keys::Counted { at, before } => {
                let keys = super::number::integer(argument(at)?)?;
                let end = usize::try_from(keys).ok()?.checked_add(at + 1)?;
                (keys > 0 && end <= count).then_some(KeyPlaces {
                    before: (before > 0).then_some(before),
                    range: at + 1..end,
                    step: 1,
                })
            }
        }
    }
}

/// Where a request's keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyPlaces {
    before: Option<usize>,
    range: std::ops::Range<usize>,
    step: usize,
}

impl Default for KeyPlaces {
    fn default() -> KeyPlaces {
        KeyPlaces {
            before: None,
            range: 0..0,
            step: 1,
        }
    }
}

impl Iterator for KeyPlaces {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if let Some(before) = self.before.take() {
            return Some(before);
        }
        let place = self.range.next()?;
        for _ in 1..self.step {
            self.range.next();
        }
        Some(place)
    }
}

/// A row, and where it stands.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) spec: &'static Spec,
    pub(super) group: &'static str,
    /// The name, for a subcommand behind that of its command: `client|id`.
    pub(super) name: String,
    /// Its number among all of them, subcommands included.
    pub(super) index: usize,
    /// Those of its subcommands.
    pub(super) subcommands: std::ops::Range<usize>,
    word: u64,
}

impl Entry {
    /// Whether it is carried out during a pause: what ends it, or nothing would.
    pub(super) fn ends_pause(&self) -> bool {
        self.name == "client|unpause"
    }
}

/// All rows, so that one is found by its name in a few nanoseconds.
#[derive(Debug)]
pub(super) struct Table {
    entries: Vec<Entry>,
    /// How many of them are no subcommands; these come first.
    commands: usize,
    slots: Box<[u16]>,
}

/// Slots, several for each command, so that few share one.
const SLOTS: usize = 2_048;
const EMPTY: u16 = u16::MAX;

/// The table.
pub(super) static TABLE: LazyLock<Table> = LazyLock::new(Table::new);

impl Table {
    fn new() -> Table {
        let mut entries: Vec<Entry> = Vec::new();
        for group in GROUPS {
            for spec in group.commands {
                entries.push(Entry {
                    spec,
                    group: group.name,
                    name: spec.name.to_owned(),
                    index: entries.len(),
                    subcommands: 0..0,
                    word: word(spec.name.as_bytes()),
                });
            }
        }
        let commands = entries.len();
        for command in 0..commands {
            let first = entries.len();
            let (spec, group) = (entries[command].spec, entries[command].group);
            for sub in spec.subcommands {
                entries.push(Entry {
                    spec: sub,
                    group,
                    name: format!("{}|{}", spec.name, sub.name),
                    index: entries.len(),
                    subcommands: 0..0,
                    word: word(sub.name.as_bytes()),
                });
            }
            entries[command].subcommands = first..entries.len();
        }
        let mut slots = vec![EMPTY; SLOTS].into_boxed_slice();
        for (index, entry) in entries.iter().take(commands).enumerate() {
            let mut slot = slot(entry.word, entry.name.len());
            while slots[slot] != EMPTY {
                slot = (slot + 1) % SLOTS;
            }
            slots[slot] = u16::try_from(index).unwrap_or(EMPTY);
        }
        Table {
            entries,
            commands,
            slots,
        }
    }

    /// The command of that name, in whatever letters.
    #[inline]
    pub(super) fn find(&self, name: &[u8]) -> Option<&Entry> {
        let word = word(name);
        let mut slot = slot(word, name.len());
        loop {
            // An empty slot's number is none of an entry.
            let entry = self.entries.get(usize::from(self.slots[slot]))?;
            let own = entry.name.as_bytes();
            if entry.word == word
                && own.len() == name.len()
                && (own.len() <= WORD_BYTES || own.eq_ignore_ascii_case(name))
            {
                return Some(entry);
            }
            slot = (slot + 1) % SLOTS;
        }
    }

    /// A command's subcommand of that name.
    pub(super) fn find_sub(&self, command: &Entry, name: &[u8]) -> Option<&Entry> {
        let subs = &self.entries[command.subcommands.clone()];
        subs.iter()
            .find(|sub| sub.spec.name.as_bytes().eq_ignore_ascii_case(name))
    }

    /// The entry of a name as [`Entry::name`] is written.
    pub(super) fn find_full(&self, name: &[u8]) -> Option<&Entry> {
        match memchr::memchr(b'|', name) {
            None => self.find(name),
            Some(at) => self.find_sub(self.find(&name[..at])?, &name[at + 1..]),
        }
    }

    /// All commands.
    pub(super) fn commands(&self) -> &[Entry] {
        &self.entries[..self.commands]
    }

    /// A command's subcommands.
    pub(super) fn subcommands(&self, command: &Entry) -> &[Entry] {
        &self.entries[command.subcommands.clone()]
    }

    /// All of them.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

/// How much of a name a word tells.
const WORD_BYTES: usize = 8;

/// The first eight bytes of a name in small letters. Of names of one length that are no longer, no two
/// have the same.
#[inline]
fn word(name: &[u8]) -> u64 {
    let word = match name {
        [] => 0,
        [first, .., last] if name.len() < 4 => {
            u64::from(*first) | u64::from(name[1]) << 8 | u64::from(*last) << 16
        }
        [one] => u64::from(*one),
        _ => match (name.first_chunk(), name.first_chunk(), name.last_chunk()) {
            (Some(eight), _, _) => u64::from_le_bytes(*eight),
            (None, Some(first), Some(last)) => {
                u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32
            }
            _ => 0,
        },
    };
    small_letters(word)
}

/// Turns the capital letters among eight bytes into small ones, all at once: a byte from `A` to `Z`
/// carries into its top bit when what is missing to 0x80 is added to `A`, and not when it is to the
/// one behind `Z`.
fn small_letters(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let low = word & (0x7f * EACH);
    let from_a = low + (0x80 - u64::from(b'A')) * EACH;
    let behind_z = low + (0x7f - u64::from(b'Z')) * EACH;
    let capital = from_a & !behind_z & !word & (0x80 * EACH);
    word | capital >> 2
}

#[inline]
fn slot(word: u64, len: usize) -> usize {
    let hash = (word ^ len as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> 48) as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_and_says_what_it_is() {
        let table = &*TABLE;
        for entry in table.entries() {
            let spec = entry.spec;
            let found = table
                .find_full(entry.name.to_ascii_uppercase().as_bytes())
                .unwrap();
            assert_eq!(found.index, entry.index, "{} is there twice", entry.name);
            assert!(
                spec.name.bytes().all(|b| !b.is_ascii_uppercase()),
                "{}",
                spec.name
            );
            assert!(!spec.summary.is_empty(), "{}", entry.name);
            assert!(spec.arity != 0);
            let keyed = spec.flags.has(Flags::READ) || spec.flags.has(Flags::WRITE);
            assert!(keyed || spec.keys == Keys::None, "{}", entry.name);
            assert!(!(spec.flags.has(Flags::READ) && spec.flags.has(Flags::WRITE)));
        }
        assert!(table.find(b"nosuch").is_none());
        assert!(table.find(b"").is_none());
        assert!(table.find_full(b"client|nosuch").is_none());
        assert!(table.entries().len() < SLOTS / 2);
    }

    #[test]
    fn names_are_told_apart_by_words_in_small_letters() {
        for byte in 0..=u8::MAX {
            let small = small_letters(u64::from_le_bytes([byte; 8]));
            let each = [byte.to_ascii_lowercase(); 8];
            assert_eq!(small.to_le_bytes(), each);
            assert_eq!(word(&[byte]), u64::from(byte.to_ascii_lowercase()));
        }
        for name in [
            "g", "ge", "get", "gets", "getse", "getset", "getrang", "getrange",
        ] {
            for at in 0..name.len() {
                let mut other = name.as_bytes().to_vec();
                other[at] ^= 1;
                assert_ne!(word(name.as_bytes()), word(&other), "{name}, {at}");
            }
            assert_eq!(word(name.as_bytes()), word(name.to_uppercase().as_bytes()));
        }
    }

    #[test]
    fn arities() {
        let two = Spec::new("a", 2, super::super::call::unknown_subcommand);
        assert!(two.takes(2) && !two.takes(1) && !two.takes(3));
        let more = Spec::new("a", -2, super::super::call::unknown_subcommand);
        assert!(more.takes(2) && more.takes(9) && !more.takes(1));
    }
}
