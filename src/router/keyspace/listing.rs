//! A list of a node's keys in the order of scans, from some place to another.
//!
//! Tables know nothing of that order: to find the keys that follow a place, all entries must be
//! walked over. So one walk lists as many as fit a bound, for the pages to come. A list says what was
//! there when it was made; whoever uses it looks whether a key still is.
//!
//! *Whose pages.* A list has every key that had a value throughout its walk. A scan that began before
//! that must find every key that has a value throughout the scan, and those are among them. A scan
//! that began after it must also find keys that came in between. So a list is used for the scan that
//! it was made for, as told by the tag; for pages that were asked for before it was begun; and for
//! others in partitions in which no key has come since: see [`crate::table::Table::created`].
//!
//! *Partitions that come and go.* A partition is covered if this node owned it during the whole walk.
//! Whether it does when a page is answered is looked at then. In between it may have been away: the
//! keys that have values throughout a scan had them during the walk as well.

use tokio::time::Instant;

use super::position::Position;
use crate::key::{PARTITION_COUNT, PartitionId};
use crate::writer::Owned;

/// What a list takes for a key beside its bytes.
const KEY_COST_BYTES: usize = 10;
/// Keys that share a place cannot be told apart by cursors: so many bytes of them are too many.
const CROWD_BYTES_MAX: usize = 16 << 20;

/// How a list came about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    /// For this scan.
    pub(super) tag: u64,
    /// When the walk began.
    pub(super) began: Instant,
}

/// Who asks for a page of a partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    /// This scan.
    pub(super) tag: u64,
    /// When it asked for the page.
    pub(super) asked: Instant,
    /// So many keys had come to the partition by then.
    pub(super) created: u32,
}

/// Too many keys share one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crowded;

impl Crowded {
    /// What would have been too much.
    pub(super) const BYTES_MAX: usize = CROWD_BYTES_MAX;
}

/// What was so of each partition that this node owned, by partition.
pub(super) type Survey = Vec<Option<Owned>>;

/// Puts what the writers say in order.
pub(super) fn survey(owned: impl IntoIterator<Item = Owned>) -> Survey {
    let mut survey = vec![None; usize::from(PARTITION_COUNT)];
    for one in owned {
        survey[one.partition.index()] = Some(one);
    }
    survey
}

/// See the module.
#[derive(Debug)]
pub(super) struct Listing {
    made: Made,
    from: Position,
    to: Position,
    /// By partition, how many keys had come when the walk began; `None` if it is not covered.
    created: Vec<Option<u32>>,
    keys: Keys,
}

/// Keys one behind another, each after its length.
#[derive(Debug, Default)]
struct Keys {
    /// Where each key stands, and where its bytes are.
    places: Vec<(Position, u32)>,
    bytes: Vec<u8>,
}

impl Keys {
    fn push(&mut self, position: Position, key: &[u8]) {
        // There is never more of it than a stretch of a table and twice the bound.
        let at = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        // Keys have at most 4,096 bytes.
        let length = u16::try_from(key.len()).unwrap_or(u16::MAX);
        self.places.push((position, at));
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(key);
    }

    fn key(&self, at: u32) -> &[u8] {
        let at = at as usize;
        let length = u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]]);
        &self.bytes[at + 2..at + 2 + usize::from(length)]
    }

    fn size(&self) -> usize {
        self.bytes.len() + self.places.len() * (KEY_COST_BYTES - 2)
    }

    /// Puts them in order, each once: a walk may come by an entry twice that is moved meanwhile.
    fn sort(&mut self) {
        let mut places = std::mem::take(&mut self.places);
        let of = |place: &(Position, u32)| (place.0, self.key(place.1));
        places.sort_unstable_by(|a, b| of(a).cmp(&of(b)));
        places.dedup_by(|a, b| of(a) == of(b));
        self.places = places;
    }
}

impl Listing {
    /// Whether this has all that a scan must find in a partition from a place on.
    pub(super) fn covers(&self, position: Position, claim: &Claim) -> bool {
        let known = position
            .partition()
            .and_then(|partition| self.created[partition.index()]);
        let is_good = |known| {
            self.made.tag == claim.tag || self.made.began >= claim.asked || known == claim.created
        };
        (self.from..self.to).contains(&position) && known.is_some_and(is_good)
    }

    /// Where it ends.
    pub(super) fn end(&self) -> Position {
        self.to
    }

    /// The keys from one place to another, in order.
    pub(super) fn keys(
        &self,
        from: Position,
        to: Position,
    ) -> impl Iterator<Item = (Position, &[u8])> {
        let places = &self.keys.places;
        let first = places.partition_point(|(position, _)| *position < from);
        let keys = places[first..].iter();
        keys.take_while(move |(position, _)| *position < to)
            .map(|(position, at)| (*position, self.keys.key(*at)))
    }
}

/// A list in the making.
#[derive(Debug)]
pub(super) struct Draft {
    from: Position,
    to: Position,
    bytes_max: usize,
    /// It is cut when it takes so many bytes.
    cut_at: usize,
    keys: Keys,
}

impl Draft {
    /// A list from `from` on, that will take about `bytes_max` bytes, or those of one place if they
    /// are more. By what is known before the walk it can go up to some partition.
    pub(super) fn new(from: Position, before: &Survey, bytes_max: usize) -> Draft {
        /// Of keys that are not long.
        const EXPECTED_BYTES: u64 = 32;
        let count_max = bytes_max as u64 / EXPECTED_BYTES;
        let mut count = 0;
        let mut to = from;
        for partition in from.partitions() {
            let entries = before[partition.index()].map_or(0, |owned| owned.entries);
            if to > from && count + entries > count_max {
                break;
            }
            count += entries;
            to = Position::behind(partition);
        }
        Draft {
            from,
            to,
            bytes_max,
            cut_at: 2 * bytes_max,
            keys: Keys::default(),
        }
    }

    /// The partitions whose keys are still wanted.
    pub(super) fn range(&self) -> std::ops::Range<u32> {
        let last = self.to.number().saturating_sub(1);
        let partition = |position: Position| position.partition().map_or(0, |p| u32::from(p.0));
        let last = Position::from_number(last).unwrap_or_default();
        partition(self.from)..partition(last) + 1
    }

    /// Takes a key down, if it belongs here.
    pub(super) fn add(&mut self, partition: PartitionId, key: &[u8]) {
        let position = Position::of(partition, key);
        if (self.from..self.to).contains(&position) {
            self.keys.push(position, key);
        }
    }

    /// Keeps the first keys if there are too many: from then on the list ends sooner. To be called
    /// again and again.
    ///
    /// # Errors
    /// [`Crowded`] if those of the first place alone are too many.
    pub(super) fn prune(&mut self) -> Result<(), Crowded> {
        if self.keys.size() <= self.cut_at {
            return Ok(());
        }
        self.cut()?;
        // There may be no less of it, if all share one place.
        self.cut_at = self.cut_at.max(2 * self.keys.size());
        Ok(())
    }

    fn cut(&mut self) -> Result<(), Crowded> {
        self.keys.sort();
        let mut kept = Keys::default();
        for keys in self.keys.places.chunk_by(|a, b| a.0 == b.0) {
            let position = keys[0].0;
            let bytes = keys.iter().map(|(_, at)| self.keys.key(*at).len());
            let bytes = bytes.sum::<usize>() + keys.len() * KEY_COST_BYTES;
            if bytes > CROWD_BYTES_MAX {
                return Err(Crowded);
            }
            if !kept.places.is_empty() && kept.size() + bytes > self.bytes_max {
                self.to = position;
                break;
            }
            keys.iter()
                .for_each(|(_, at)| kept.push(position, self.keys.key(*at)));
        }
        self.keys = kept;
        Ok(())
    }

    /// The list, after the walk; `before` and `after` say what this node owned then.
    ///
    /// # Errors
    /// [`Crowded`] if the keys of the first place alone are too many.
    pub(super) fn finish(
        mut self,
        made: Made,
        before: &Survey,
        after: &Survey,
    ) -> Result<Listing, Crowded> {
        if self.keys.size() > self.bytes_max {
            self.cut()?;
        } else {
            self.keys.sort();
        }
        self.keys.places.shrink_to_fit();
        self.keys.bytes.shrink_to_fit();
        let pairs = before.iter().zip(after);
        let covered = pairs.map(|(before, after)| {
            let (before, after) = (before.as_ref()?, after.as_ref()?);
            (before.turn == after.turn).then_some(before.created)
        });
        Ok(Listing {
            made,
            from: self.from,
            to: self.to,
            created: covered.collect(),
            keys: self.keys,
        })
    }
}

#[cfg(test)]
mod tests;
