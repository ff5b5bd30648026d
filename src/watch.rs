//! Watching keys: what they are, then what becomes of them.
//!
//! A [`Watch`] is what a door opens for a client that wants to follow keys, or all keys that begin
//! alike, wherever they live. It first subscribes, on all nodes, and then reads: so there is no
//! moment between what it says first and what it says next. What a key's snapshot shows already is
//! not told again, which versions tell.
//!
//! When events were lost ([`Notice::Missed`]) the keys are read anew, so that whoever follows single
//! keys is right again by itself. Of prefixes nobody knows which keys there are: there the client has
//! to look.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::command::{Command, Entry, Reply};
use crate::key::{KEY_BYTES_MAX, Key};
use crate::live::{self, Change, Event, Moment, Subscription, Topic, What};
use crate::router::{self, Router};
use crate::version::Version;

/// How long to wait for other nodes to know that somebody watches. One that does not answer is about
/// to be held for dead, and what it did not tell is noticed then.
const KNOWN_WITHIN: Duration = Duration::from_secs(1);
/// A key that could not be read is read again after so long, doubling
const AGAIN: Duration = Duration::from_millis(100);
/// up to so long.
const AGAIN_MAX: Duration = Duration::from_secs(2);

/// What is watched.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// These keys.
    pub keys: Vec<Key>,
    /// All keys that begin so.
    pub prefixes: Vec<Bytes>,
    /// What the client has seen last: a key whose value is of this version need not be told first.
    pub seen: Option<Version>,
    /// Longest time for a read.
    pub read_timeout: Duration,
}

/// One thing that a watcher is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A watched key has this value, or none: at the beginning, and after something was missed.
    Snapshot {
        /// The key.
        key: Bytes,
        /// Its value.
        entry: Option<Entry>,
    },
    /// A key has a new value, or lives for another time.
    Put {
        /// The key.
        key: Bytes,
        /// Its value.
        entry: Entry,
    },
    /// A key has no value any more.
    Gone {
        /// The key.
        key: Bytes,
        /// The version of the delete, or of the value that went by itself.
        version: Version,
        /// Why.
        why: Why,
    },
    /// Events were lost here: at least so many; 0 if nobody knows whether there were any.
    Missed(u64),
}

/// Why a key has no value any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It was deleted.
    Deleted,
    /// Its time had come.
    Expired,
    /// It made room for others.
    Evicted,
}

/// What was told last of a key that is watched by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    /// That it has no value; nobody knows since when.
    Absent,
    /// What happened then.
    Since(Moment),
}

/// See the module.
#[derive(Debug)]
pub struct Watch {
    router: Router,
    subscription: Subscription,
    keys: Vec<Key>,
    told: HashMap<Bytes, Told>,
    /// Of these keys the value is still to be read.
    unread: VecDeque<Key>,
    /// This one's value was too long to be told, and is to be read.
    long: Option<Key>,
    again: Duration,
    seen: Option<Version>,
    read_timeout: Duration,
}

impl Watch {
    /// Begins to watch; [`Watch::next`] says what there is.
    ///
    /// # Errors
    /// When too much is watched already, or a prefix is too long.
    pub async fn start(router: &Router, options: Options) -> Result<Watch, live::Error> {
        let mut subscription = router.live().subscribe()?;
        for key in &options.keys {
            subscription.add(Topic::Key(key.clone().into_bytes()))?;
        }
        for prefix in &options.prefixes {
            subscription.add(Topic::Prefix(prefix.clone()))?;
        }
        subscription.known(Instant::now() + KNOWN_WITHIN).await;
        // A key that is named twice is told once.
        let mut told = HashMap::new();
        let mut keys = options.keys;
        keys.retain(|key| {
            let name = key.clone().into_bytes();
            told.insert(name, Told::Nothing).is_none()
        });
        Ok(Watch {
            router: router.clone(),
            subscription,
            unread: keys.iter().cloned().collect(),
            keys,
            told,
            long: None,
            again: AGAIN,
            seen: options.seen,
            read_timeout: options.read_timeout,
        })
    }

    /// What is to be told next; `None` once the node stops. Nothing is lost if it is not waited for
    /// to the end.
    pub async fn next(&mut self) -> Option<Notice> {
        loop {
            let notice = if self.long.is_some() {
                self.read_long().await
            } else if let Some(key) = self.unread.front().cloned() {
                match self.read(&key).await {
                    Ok(entry) => {
                        self.unread.pop_front();
                        self.again = AGAIN;
                        self.first(key, entry)
                    }
                    Err(_) if self.subscription.is_over() => return None,
                    Err(_) => {
                        self.wait_to_read().await;
                        None
                    }
                }
            } else {
                let event = self.subscription.next().await?;
                self.event(event)
            };
            if notice.is_some() {
                return notice;
            }
        }
    }

    /// As [`Watch::next`], but only what is there without waiting.
    pub fn try_next(&mut self) -> Option<Notice> {
        while self.long.is_none() && self.unread.is_empty() {
            let event = self.subscription.try_next()?;
            let notice = self.event(event);
            if notice.is_some() {
                return notice;
            }
        }
        None
    }

    /// What was told last of a key did not get through: it is told anew, as it is then. False if it
    /// is not watched by itself; then nobody will tell it.
    pub fn again(&mut self, key: &Bytes) -> bool {
        let Some(told) = self.told.get_mut(key) else {
            return false;
        };
        *told = Told::Nothing;
        self.seen = None;
        if let Ok(key) = Key::new(key.clone(), KEY_BYTES_MAX) {
            self.unread.push_back(key);
        }
        true
    }

    /// Whoever should answer is away: others may answer for theirs meanwhile.
    async fn wait_to_read(&mut self) {
        self.unread.rotate_left(1);
        let pause = self.again;
        self.again = (2 * self.again).min(AGAIN_MAX);
        tokio::time::sleep(pause).await;
    }

    async fn read(&self, key: &Key) -> Result<Option<Entry>, router::Error> {
        let command = Command::Get { key: key.clone() };
        let deadline = Instant::now() + self.read_timeout;
        match self.router.execute(&command, deadline).await?.reply {
            Reply::Value(entry) => Ok(entry),
            _ => Err(router::Error::Internal),
        }
    }

    /// What a key was found to be, unless that was told.
    fn first(&mut self, key: Key, entry: Option<Entry>) -> Option<Notice> {
        let key = key.into_bytes();
        let told = self.told.get(&key).copied().unwrap_or(Told::Nothing);
        let (now, known) = match (&entry, told) {
            (Some(entry), told) => {
                let moment = Moment {
                    version: entry.version,
                    gone: false,
                };
                let seen = told == Told::Nothing && self.seen == Some(entry.version);
                (Told::Since(moment), seen || told == Told::Since(moment))
            }
            (None, Told::Since(moment)) => {
                let gone = Moment {
                    gone: true,
                    ..moment
                };
                (Told::Since(gone), moment.gone)
            }
            (None, told) => (Told::Absent, told == Told::Absent),
        };
        self.told.insert(key.clone(), now);
        (!known).then_some(Notice::Snapshot { key, entry })
    }

    fn event(&mut self, event: Event) -> Option<Notice> {
        match event {
            Event::Change(change) => self.change(change),
            Event::Missed(count) => {
                self.unread = self.keys.iter().cloned().collect();
                Some(Notice::Missed(count))
            }
            Event::Message(_) => None,
        }
    }

    /// What a change has to say, if anything new.
    fn change(&mut self, change: Change) -> Option<Notice> {
        let Change { key, what } = change;
        let moment = what.moment();
        if matches!(self.told.get(&key), Some(Told::Since(told)) if moment <= *told) {
            return None;
        }
        let why = match what {
            What::Put(entry) => {
                self.note(&key, moment);
                return Some(Notice::Put { key, entry });
            }
            What::PutLong(_) => {
                self.long = Key::new(key, KEY_BYTES_MAX).ok();
                return None;
            }
            What::Deleted(_) => Why::Deleted,
            What::Expired(_) => Why::Expired,
            What::Evicted(_) => Why::Evicted,
        };
        self.note(&key, moment);
        let version = moment.version;
        Some(Notice::Gone { key, version, why })
    }

    /// Remembers what was told of a key that is watched by itself.
    fn note(&mut self, key: &Bytes, moment: Moment) {
        if let Some(told) = self.told.get_mut(key) {
            *told = Told::Since(moment);
        }
    }

    /// Reads a value that was too long to be told. What has become of it since is told by the events
    /// that follow.
    async fn read_long(&mut self) -> Option<Notice> {
        let key = self.long.clone()?;
        let read = self.read(&key).await;
        self.long = None;
        match read {
            Ok(Some(entry)) => {
                let moment = Moment {
                    version: entry.version,
                    gone: false,
                };
                let key = key.into_bytes();
                self.note(&key, moment);
                Some(Notice::Put { key, entry })
            }
            Ok(None) => None,
            Err(_) => {
                if self.told.contains_key(key.as_bytes()) {
                    self.unread.push_back(key);
                }
                Some(Notice::Missed(1))
            }
        }
    }
}
