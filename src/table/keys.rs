//! What spans a table's keys: which have come, a random one, and taking many away.

use super::log::Walk;
use super::{Cursor, Table};
use crate::clock::UnixMs;
use crate::command::EntryRef;
use crate::key::PartitionId;

/// So many segments are looked through for a random key.
const SAMPLE_SEGMENTS: u64 = 4;

impl Table {
    /// How often a key of a partition that had no value was given one. Whoever has listed the keys,
    /// and finds the number unchanged, has every key that there is.
    #[must_use]
    pub fn created(&self, partition: PartitionId) -> u32 {
        self.created
            .get(partition.index())
            .copied()
            .unwrap_or_default()
    }

    #[inline]
    pub(super) fn note_created(&mut self, partition: PartitionId) {
        if let Some(created) = self.created.get_mut(partition.index()) {
            *created = created.wrapping_add(1);
        }
    }

    /// Whether an entry is one that a client would see.
    #[inline]
    pub(super) fn is_value(&self, handle: u32, now: UnixMs) -> bool {
        !self.log.header(handle).is_tombstone() && !self.log.is_expired(handle, now)
    }

    /// A key with a value, of the partitions that `wanted` names: any one by a number drawn at
    /// random, though not each is as likely as every other. `None` if none was found in a few
    /// places, which does not mean that there is none.
    #[must_use]
    pub fn sample(
        &self,
        drawn: u64,
        now: UnixMs,
        wanted: impl Fn(PartitionId) -> bool,
    ) -> Option<&[u8]> {
        (0..SAMPLE_SEGMENTS).find_map(|attempt| self.sample_segment(drawn, attempt, now, &wanted))
    }

    /// Draws from all in a segment, without knowing how many there are (Vitter's algorithm R, 1985).
    fn sample_segment(
        &self,
        drawn: u64,
        attempt: u64,
        now: UnixMs,
        wanted: impl Fn(PartitionId) -> bool,
    ) -> Option<&[u8]> {
        let mut walk = self.log.walk_anywhere(mix(drawn, attempt))?;
        let sequence = walk.sequence;
        let (mut chosen, mut count) = (None, 0);
        while let Some((handle, header)) = self.log.walk(&mut walk) {
            if walk.sequence != sequence {
                break;
            }
            if !header.is_dead() && wanted(header.partition()) && self.is_value(handle, now) {
                count += 1;
                if mix(drawn ^ attempt, count).is_multiple_of(count) {
                    chosen = Some(handle);
                }
            }
        }
        chosen.map(|handle| self.log.key(handle))
    }

    /// Removes those entries of the partitions that `wanted` names of which `is_gone` says so,
    /// visiting them as [`Table::scan`] does, those that have expired among them; `None` when all
    /// were visited.
    pub fn sweep(
        &mut self,
        cursor: Cursor,
        work_max: usize,
        wanted: impl Fn(PartitionId) -> bool,
        mut is_gone: impl FnMut(PartitionId, &[u8], EntryRef<'_>) -> bool,
    ) -> Option<Cursor> {
        let mut walk = Walk::from_number(cursor.0);
        let mut looked_at = 0;
        while let Some((handle, header)) = self.log.walk(&mut walk) {
            let partition = header.partition();
            if !header.is_dead() && wanted(partition) {
                let entry = self.log.entry(handle, &self.nodes);
                if is_gone(partition, self.log.key(handle), entry) {
                    self.remove_handle(handle);
                }
            }
            looked_at += 1;
            if looked_at >= work_max {
                return Some(self.pause(walk));
            }
        }
        self.settle();
        None
    }
}

/// A number that depends on all bits of both (the finalizer of SplitMix64; Steele, Lea and Flood,
/// 2014).
fn mix(a: u64, b: u64) -> u64 {
    let mut z = a.wrapping_add(b.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::command::collection::{Delta, Packer};
    use crate::command::{Changed, Kind};
    use crate::key::partition;
    use crate::table::Budget;
    use crate::version::{Hlc, NodeId, Version};

    const NOW: UnixMs = UnixMs(1_000_000);

    fn entry(kind: Kind, hlc: u64, expires_at: Option<UnixMs>) -> EntryRef<'static> {
        EntryRef {
            open: None,
            tag: None,
            kind,
            data: b"1",
            version: Version {
                hlc: Hlc(hlc),
                node: NodeId(1),
            },
            expires_at,
        }
    }

    fn put(table: &mut Table, key: &str, entry: EntryRef<'_>, now: UnixMs) {
        let partition = partition(key.as_bytes());
        table.put(partition, key.as_bytes(), entry, now).unwrap();
    }

    fn table() -> Table {
        Table::new(Budget::new(64 << 20))
    }

    #[test]
    fn only_keys_without_a_value_count_as_created() {
        let mut table = table();
        let at = partition(b"k");
        let soon = Some(UnixMs(NOW.0 + 10));
        let later = UnixMs(NOW.0 + 20);
        let steps: [(EntryRef<'_>, UnixMs, u32); 7] = [
            (entry(Kind::Json, 1, None), NOW, 1),
            (entry(Kind::Json, 2, None), NOW, 1),
            (entry(Kind::Json, 3, soon), NOW, 1),
            // It has expired, and nobody has looked.
            (entry(Kind::Json, 4, None), later, 2),
            (entry(Kind::Tombstone, 5, None), later, 2),
            (entry(Kind::Tombstone, 6, None), later, 2),
            (entry(Kind::Json, 7, None), later, 3),
        ];
        for (entry, now, expected) in steps {
            put(&mut table, "k", entry, now);
            assert_eq!(table.created(at), expected, "{entry:?}");
        }
        assert!(table.remove(b"k", later));
        put(&mut table, "k", entry(Kind::Json, 8, None), later);
        assert_eq!(table.created(at), 4);
        table.check_invariants().unwrap();
    }

    #[test]
    fn expiries_that_change_in_place_are_counted() {
        let mut table = table();
        let items = vec![b'x'; 100];
        let mut list = Packer::new(200);
        (0..200).for_each(|_| list.push(&items));
        let list = list.finish();
        let large = EntryRef {
            data: &list,
            ..entry(Kind::List, 1, Some(UnixMs(NOW.0 + 10)))
        };
        put(&mut table, "large", large, NOW);
        for (hlc, ms) in [(1, 20), (2, 30), (3, 15)] {
            let at = Some(UnixMs(NOW.0 + ms));
            put(&mut table, "small", entry(Kind::Json, hlc, at), NOW);
            let changed = Changed {
                delta: Delta::Expiry(at),
                version: large.version,
            };
            let at = partition(b"large");
            assert!(table.change(at, b"large", &changed, NOW).unwrap());
            let stats = table.stats();
            let sum = 2 * u128::from(NOW.0 + ms);
            assert_eq!((stats.expiring, stats.expire_at_sum_ms), (2, sum));
            table.check_invariants().unwrap();
        }
        assert!(table.remove(b"small", NOW) && table.remove(b"large", NOW));
        let stats = table.stats();
        assert_eq!((stats.expiring, stats.expire_at_sum_ms), (0, 0));
    }

    #[test]
    fn every_key_is_drawn_and_no_other_one() {
        let mut table = table();
        for n in 0..40 {
            put(
                &mut table,
                &format!("k{n}"),
                entry(Kind::Json, 1, None),
                NOW,
            );
        }
        put(&mut table, "gone", entry(Kind::Tombstone, 1, None), NOW);
        put(&mut table, "late", entry(Kind::Json, 1, Some(NOW)), NOW);
        let unwanted = partition(b"k0");
        let mut drawn: HashMap<Vec<u8>, u32> = HashMap::new();
        for number in 0..4_000 {
            let key = table.sample(number, NOW, |p| p != unwanted).unwrap();
            *drawn.entry(key.to_vec()).or_default() += 1;
        }
        let wanted = (0..40).map(|n| format!("k{n}").into_bytes());
        let wanted: Vec<_> = wanted.filter(|key| partition(key) != unwanted).collect();
        assert_eq!(drawn.len(), wanted.len());
        for key in wanted {
            let times = drawn[&key];
            assert!(
                (50..200).contains(&times),
                "{}: {times}",
                key.escape_ascii()
            );
        }
        assert_eq!(table.sample(1, NOW, |_| false), None);
        assert_eq!(super::tests::table().sample(1, NOW, |_| true), None);
    }

    #[test]
    fn a_sweep_takes_what_it_is_told_to_and_leaves_the_rest() {
        let mut table = table();
        for n in 0..1_000u64 {
            put(&mut table, &n.to_string(), entry(Kind::Json, n, None), NOW);
        }
        let odd = |p: PartitionId| p.0 % 2 == 1;
        let mut at = Some(Cursor::default());
        while let Some(cursor) = at {
            at = table.sweep(cursor, 7, odd, |p, key, entry| {
                assert_eq!(p, partition(key));
                entry.version.hlc <= Hlc(500)
            });
        }
        for n in 0..1_000u64 {
            let key = n.to_string();
            let gone = n <= 500 && odd(partition(key.as_bytes()));
            assert_eq!(table.peek(key.as_bytes(), NOW).is_none(), gone, "{n}");
        }
        table.check_invariants().unwrap();
    }
}
