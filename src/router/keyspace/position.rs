//! Where a key stands in the order in which keys are scanned, and cursors.
//!
//! The order is by partition, and within a partition by a hash of the key that is the same on every
//! node. So a cursor means the same whichever node owns the partition by the time it is used:
//! whatever moves meanwhile, every key keeps its place. Keys that share one come together.
//!
//! ```text
//! cursor   = 0:1 position:30 0:1 tag:32      as a number in decimal, for clients; 0 is the beginning,
//! position = partition:12 hash:18            and the end
//! ```
//!
//! The tag is drawn when a scan begins and tells it from others. Some clients keep cursors as 64-bit
//! floating point numbers, which round the last ten bits: that can only change the tag, and a scan with
//! another tag finds the same keys, if with more work for the nodes.

use crate::key::{PARTITION_COUNT, PartitionId};
use crate::writer::key_sum;

/// Bits of the hash in a position. With a million keys in one partition (they have a common `{tag}`)
/// four share a place.
const HASH_BITS: u32 = 18;
/// The first number that is no position.
const END: u32 = (PARTITION_COUNT as u32) << HASH_BITS;
/// Where the position stands in a cursor.
const POSITION_SHIFT: u32 = 33;

/// A place in the order of keys, or its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(u32);

impl Position {
    /// Behind all keys.
    pub const END: Position = Position(END);

    /// Where a key of a partition stands.
    #[must_use]
    pub fn of(partition: PartitionId, key: &[u8]) -> Position {
        let hash = (key_sum(key) >> (u64::BITS - HASH_BITS)) as u32;
        Position(u32::from(partition.0) << HASH_BITS | hash)
    }

    /// Before the keys of a partition; for a number behind the last one, the end.
    #[must_use]
    pub fn before(partition: u32) -> Position {
        Position(partition.min(u32::from(PARTITION_COUNT)) << HASH_BITS)
    }

    /// Before the keys of the partition that follows.
    #[must_use]
    pub fn behind(partition: PartitionId) -> Position {
        Position::before(u32::from(partition.0) + 1)
    }

    /// The place that follows.
    #[must_use]
    pub fn next(self) -> Position {
        Position((self.0 + 1).min(END))
    }

    /// Its partition; `None` at the end.
    #[must_use]
    pub fn partition(self) -> Option<PartitionId> {
        (self.0 < END).then_some(PartitionId((self.0 >> HASH_BITS) as u16))
    }

    /// The partitions from here on, this one's included.
    pub fn partitions(self) -> impl Iterator<Item = PartitionId> {
        let first = (self.0 >> HASH_BITS) as u16;
        (first..PARTITION_COUNT).map(PartitionId)
    }

    /// As a number.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }

    /// Reads the number back.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Position> {
        (number <= END).then_some(Position(number))
    }
}

/// How far a scan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Where to go on.
    pub(super) position: Position,
    /// Which scan it is; it has a bit to spare, for what clients round up.
    pub(super) tag: u64,
}

impl Cursor {
    /// The beginning of a scan that is told from others by `tag`.
    pub(super) fn begin(tag: u32) -> Cursor {
        Cursor {
            position: Position::default(),
            tag: tag.into(),
        }
    }

    /// As a number; 0 at the end.
    pub(super) fn number(self) -> u64 {
        match self.position {
            Position::END => 0,
            Position(position) => u64::from(position) << POSITION_SHIFT | self.tag,
        }
    }

    /// Reads the number back; `None` if it is none that was ever given out.
    pub(super) fn from_number(number: u64) -> Option<Cursor> {
        let position = u32::try_from(number >> POSITION_SHIFT).ok()?;
        (position < END).then_some(Cursor {
            position: Position(position),
            tag: number & ((1 << POSITION_SHIFT) - 1),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::partition;

    #[test]
    fn keys_stand_where_they_always_stood() {
        // Cursors are used by other nodes than those that gave them out.
        let places = [b"1".as_slice(), b"bus:42", b"{aa}:x", b"\xff\x00"];
        let numbers = places.map(|key| Position::of(partition(key), key).number());
        assert_eq!(numbers, PLACES);
        for (key, number) in places.iter().zip(numbers) {
            let position = Position::from_number(number).unwrap();
            assert_eq!(position.partition(), Some(partition(key)));
            assert!(position >= Position::before(partition(key).0.into()));
            assert!(position < Position::behind(partition(key)));
        }
    }

    const PLACES: [u32; 4] = [609_162_307, 164_607_268, 977_638_683, 1_003_121_890];

    #[test]
    fn a_cursor_becomes_a_number_and_back() {
        for position in [0, 1, 77 << HASH_BITS, END - 1] {
            for tag in [0, 1, u32::MAX] {
                let cursor = Cursor {
                    position: Position(position),
                    tag: tag.into(),
                };
                assert_eq!(Cursor::from_number(cursor.number()), Some(cursor));
                assert!(i64::try_from(cursor.number()).is_ok());
                // What a client makes of it that knows only floating point numbers.
                let rounded = Cursor::from_number(cursor.number() as f64 as u64).unwrap();
                assert_eq!(rounded.position, cursor.position);
            }
        }
        let end = Cursor {
            position: Position::END,
            tag: 7,
        };
        assert_eq!(end.number(), 0);
        for wrong in [1 << 63, u64::MAX] {
            assert_eq!(Cursor::from_number(wrong), None);
        }
    }

    #[test]
    fn positions_go_from_the_first_partition_to_the_end() {
        assert_eq!(Position::default().partition(), Some(PartitionId(0)));
        assert_eq!(Position::behind(PartitionId(4095)), Position::END);
        assert_eq!(Position(END - 1).next(), Position::END);
        assert_eq!(Position::END.next(), Position::END);
        assert_eq!(Position::END.partition(), None);
        assert_eq!(Position::END.partitions().count(), 0);
        assert_eq!(Position::before(4_090).partitions().count(), 6);
        assert_eq!(Position::from_number(END + 1), None);
    }
}
