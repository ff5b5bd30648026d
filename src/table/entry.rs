//! How an entry lies in a segment.
//!
//! ```text
//! offset  bytes
//!      0      4   value length inline (20 bits), kind (5), frequency (2),
//!                 flags (5): expires, external, wide node, dead, tagged
//!      4      4   key length less one (12 bits), partition (12), node's number in the table (8)
//!      8      8   version: hybrid logical clock
//!     16     (8)  expiry in Unix milliseconds, if the entry expires
//!            (4)  version: node, if the table has run out of numbers for nodes (wide node)
//!           (12)  tag: the version of the value, if another one than the entry's (tagged)
//!                 key, value (or the 4-byte number of an external value), padding to 4 bytes
//! ```
//!
//! Invariant: the size of an entry follows from its first eight bytes alone and never changes, so
//! that a segment can be walked; little-endian throughout.

use super::memory::opens;
use crate::clock::UnixMs;
use crate::command::{EntryRef, Kind};
use crate::key::{KEY_BYTES_MAX, PartitionId};
use crate::version::{Hlc, NodeId, Version};

/// Entries begin at multiples of this.
pub(super) const ALIGN: usize = 4;
const FIXED_BYTES: usize = 16;
const HLC_AT: usize = 8;
/// The longest value that the length field holds inline.
pub(super) const INLINE_VALUE_BYTES_MAX: usize = (1 << 20) - 1;
const INLINE_VALUE_BYTES_MASK: u32 = INLINE_VALUE_BYTES_MAX as u32;
/// Frequencies saturate here.
pub(super) const FREQUENCY_MAX: u8 = 3;

const KIND_SHIFT: u32 = 20;
const FREQUENCY_SHIFT: u32 = 25;
const EXPIRES: u32 = 1 << 27;
const EXTERNAL: u32 = 1 << 28;
const WIDE_NODE: u32 = 1 << 29;
const DEAD: u32 = 1 << 30;
const TAGGED: u32 = 1 << 31;
const TAG_BYTES: usize = 12;
const PARTITION_SHIFT: u32 = 12;
const NODE_SHIFT: u32 = 24;
const LOW_12: u32 = 0xfff;

/// Writers that an entry can name by a number of eight bits.
const NODES_MAX: usize = 256;

/// The nodes that entries of a table name by number. Clusters are small: nearly always all fit.
#[derive(Debug, Default)]
pub(super) struct Nodes(Vec<NodeId>);

impl Nodes {
    fn number(&mut self, node: NodeId) -> Option<u8> {
        let known = self.0.iter().position(|n| *n == node);
        let number = known.or_else(|| {
            (self.0.len() < NODES_MAX).then(|| {
                self.0.push(node);
                self.0.len() - 1
            })
        });
        number.and_then(|n| u8::try_from(n).ok())
    }

    fn node(&self, number: u8) -> NodeId {
        self.0.get(usize::from(number)).copied().unwrap_or_default()
    }
}

/// The first eight bytes of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    meta: u32,
    place: u32,
}

impl Header {
    #[inline]
    pub(super) fn read(bytes: &[u8]) -> Header {
        Header {
            meta: read_u32(bytes, 0),
            place: read_u32(bytes, 4),
        }
    }

    fn write(self, bytes: &mut [u8]) {
        bytes[..4].copy_from_slice(&self.meta.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.place.to_le_bytes());
    }

    #[inline]
    pub(super) fn is_dead(self) -> bool {
        self.meta & DEAD != 0
    }

    #[inline]
    pub(super) fn expires(self) -> bool {
        self.meta & EXPIRES != 0
    }

    /// Whether it stands for a value that was deleted.
    #[inline]
    pub(super) fn is_tombstone(self) -> bool {
        self.meta >> KIND_SHIFT & 31 == Kind::Tombstone as u32
    }

    #[inline]
    pub(super) fn is_external(self) -> bool {
        self.meta & EXTERNAL != 0
    }

    #[inline]
    pub(super) fn frequency(self) -> u8 {
        (self.meta >> FREQUENCY_SHIFT & 3) as u8
    }

    #[inline]
    pub(super) fn partition(self) -> PartitionId {
        PartitionId((self.place >> PARTITION_SHIFT & LOW_12) as u16)
    }

    /// Bytes that the value takes in the segment.
    #[inline]
    pub(super) fn inline_bytes(self) -> usize {
        if self.is_external() {
            4
        } else {
            (self.meta & ((1 << KIND_SHIFT) - 1)) as usize
        }
    }

    #[inline]
    pub(super) fn key_bytes(self) -> usize {
        (self.place & LOW_12) as usize + 1
    }

    #[inline]
    fn node_at(self) -> usize {
        FIXED_BYTES + if self.expires() { 8 } else { 0 }
    }

    #[inline]
    fn tag_at(self) -> usize {
        self.node_at() + if self.meta & WIDE_NODE != 0 { 4 } else { 0 }
    }

    #[inline]
    fn key_at(self) -> usize {
        self.tag_at()
            + if self.meta & TAGGED != 0 {
                TAG_BYTES
            } else {
                0
            }
    }

    #[inline]
    fn tag(self, bytes: &[u8]) -> Option<Version> {
        let at = self.tag_at();
        (self.meta & TAGGED != 0).then(|| Version {
            hlc: Hlc(read_u64(bytes, at)),
            node: NodeId(read_u32(bytes, at + 8)),
        })
    }

    #[inline]
    fn value_at(self) -> usize {
        self.key_at() + self.key_bytes()
    }

    /// Bytes of the whole entry, padding included.
    #[inline]
    pub(super) fn size(self) -> usize {
        (self.value_at() + self.inline_bytes()).next_multiple_of(ALIGN)
    }

    /// Whether an entry with this header can take the place of one with `other`: everything lies
    /// at the same offsets, and neither has a value elsewhere.
    #[inline]
    pub(super) fn fits_in_place_of(self, other: Header) -> bool {
        let shape = EXPIRES | WIDE_NODE | TAGGED;
        !self.is_external()
            && !other.is_external()
            && self.meta & shape == other.meta & shape
            && self.size() == other.size()
    }

    /// Whether an entry with this header can be written over one with `other`, both of which have
    /// the same value elsewhere.
    pub(super) fn fits_over(self, other: Header) -> bool {
        self.is_external() && other.is_external() && self.size() == other.size()
    }

    #[inline]
    pub(super) fn key(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.key_at()..self.value_at()]
    }

    /// The value as it lies in the segment.
    #[inline]
    pub(super) fn inline_value(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.value_at()..self.value_at() + self.inline_bytes()]
    }

    /// The number of the external value.
    #[inline]
    pub(super) fn external_number(self, bytes: &[u8]) -> u32 {
        read_u32(bytes, self.value_at())
    }

    #[inline]
    pub(super) fn expires_at(self, bytes: &[u8]) -> Option<UnixMs> {
        self.expires().then(|| UnixMs(read_u64(bytes, FIXED_BYTES)))
    }

    #[inline]
    pub(super) fn is_expired(self, bytes: &[u8], now: UnixMs) -> bool {
        self.expires_at(bytes).is_some_and(|at| at <= now)
    }

    /// Its version, unless it has an entity tag beside it.
    #[inline]
    pub(super) fn version_without_tag(self, bytes: &[u8], nodes: &Nodes) -> Option<Version> {
        (self.meta & TAGGED == 0).then(|| Version {
            hlc: Hlc(read_u64(bytes, HLC_AT)),
            node: self.node(bytes, nodes),
        })
    }

    #[inline]
    fn node(self, bytes: &[u8], nodes: &Nodes) -> NodeId {
        if self.meta & WIDE_NODE != 0 {
            NodeId(read_u32(bytes, self.node_at()))
        } else {
            nodes.node((self.place >> NODE_SHIFT) as u8)
        }
    }

    /// The entry as callers see it; `data` is its value, wherever that lies.
    #[inline]
    pub(super) fn entry<'a>(self, bytes: &[u8], data: &'a [u8], nodes: &Nodes) -> EntryRef<'a> {
        let kind = (self.meta >> KIND_SHIFT & 0x1f) as u8;
        EntryRef {
            // Only numbers of kinds are ever written.
            kind: Kind::from_number(kind).unwrap_or(Kind::Json),
            data,
            version: Version {
                hlc: Hlc(read_u64(bytes, HLC_AT)),
                node: self.node(bytes, nodes),
            },
            tag: self.tag(bytes),
            open: None,
            expires_at: self.expires_at(bytes),
        }
    }
}

/// Sets the frequency of the entry at the start of `bytes`.
#[inline]
pub(super) fn set_frequency(bytes: &mut [u8], frequency: u8) {
    let meta = read_u32(bytes, 0) & !(3 << FREQUENCY_SHIFT);
    let meta = meta | u32::from(frequency.min(FREQUENCY_MAX)) << FREQUENCY_SHIFT;
    bytes[..4].copy_from_slice(&meta.to_le_bytes());
}

/// Sets when the entry at the start of `bytes` was written.
#[inline]
pub(super) fn set_hlc(bytes: &mut [u8], hlc: Hlc) {
    bytes[HLC_AT..FIXED_BYTES].copy_from_slice(&hlc.0.to_le_bytes());
}

/// Marks the entry at the start of `bytes` as dead.
pub(super) fn set_dead(bytes: &mut [u8]) {
    let meta = read_u32(bytes, 0) | DEAD;
    bytes[..4].copy_from_slice(&meta.to_le_bytes());
}

/// An entry that is about to be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draft<'a> {
    pub(super) header: Header,
    pub(super) key: &'a [u8],
    pub(super) kind: Kind,
    pub(super) data: &'a [u8],
    version: Version,
    tag: Option<Version>,
    expires_at: Option<UnixMs>,
}

impl<'a> Draft<'a> {
    /// `None` if the key is empty or too long. Values above `inline_max` will lie outside.
    pub(super) fn new(
        partition: PartitionId,
        key: &'a [u8],
        entry: EntryRef<'a>,
        inline_max: usize,
        nodes: &mut Nodes,
    ) -> Option<Draft<'a>> {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return None;
        }
        let external = entry.data.len() > inline_max.min(INLINE_VALUE_BYTES_MAX)
            || opens(entry.kind, entry.data.len());
        let mut meta = u32::from(entry.kind as u8) << KIND_SHIFT;
        meta |= if external {
            EXTERNAL
        } else {
            entry.data.len() as u32
        };
        if entry.expires_at.is_some() {
            meta |= EXPIRES;
        }
        if entry.tag.is_some() {
            meta |= TAGGED;
        }
        let number = nodes.number(entry.version.node);
        if number.is_none() {
            meta |= WIDE_NODE;
        }
        let place = (key.len() - 1) as u32
            | (u32::from(partition.0) & LOW_12) << PARTITION_SHIFT
            | u32::from(number.unwrap_or(0)) << NODE_SHIFT;
        Some(Draft {
            header: Header { meta, place },
            key,
            kind: entry.kind,
            data: entry.data,
            version: entry.version,
            tag: entry.tag,
            expires_at: entry.expires_at,
        })
    }

    /// One whose value lies outside already.
    pub(super) fn of_external(
        partition: PartitionId,
        key: &'a [u8],
        entry: EntryRef<'a>,
        nodes: &mut Nodes,
    ) -> Option<Draft<'a>> {
        let mut draft = Draft::new(partition, key, entry, INLINE_VALUE_BYTES_MAX, nodes)?;
        draft.data = &[];
        draft.header.meta = draft.header.meta & !INLINE_VALUE_BYTES_MASK | EXTERNAL;
        Some(draft)
    }

    /// Writes it to the start of `bytes`; `external` is the number of a value that lies outside.
    pub(super) fn write(&self, bytes: &mut [u8], frequency: u8, external: u32) {
        let header = self.header;
        header.write(bytes);
        set_frequency(bytes, frequency);
        set_hlc(bytes, self.version.hlc);
        if let Some(at) = self.expires_at {
            bytes[FIXED_BYTES..FIXED_BYTES + 8].copy_from_slice(&at.0.to_le_bytes());
        }
        if header.meta & WIDE_NODE != 0 {
            let at = header.node_at();
            bytes[at..at + 4].copy_from_slice(&self.version.node.0.to_le_bytes());
        }
        if let Some(tag) = self.tag {
            let at = header.tag_at();
            bytes[at..at + 8].copy_from_slice(&tag.hlc.0.to_le_bytes());
            bytes[at + 8..at + 12].copy_from_slice(&tag.node.0.to_le_bytes());
        }
        let (key_at, value_at) = (header.key_at(), header.value_at());
        bytes[key_at..value_at].copy_from_slice(self.key);
        if header.is_external() {
            bytes[value_at..value_at + 4].copy_from_slice(&external.to_le_bytes());
        } else {
            bytes[value_at..value_at + self.data.len()].copy_from_slice(self.data);
        }
    }
}

#[inline]
fn read_u32(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

#[inline]
fn read_u64(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(data: &[u8], node: u32, expires_at: Option<UnixMs>) -> EntryRef<'_> {
        EntryRef {
            open: None,
            tag: None,
            kind: Kind::Json,
            data,
            version: Version {
                hlc: Hlc(0x0123_4567_89ab_cdef),
                node: NodeId(node),
            },
            expires_at,
        }
    }

    #[test]
    fn what_is_written_is_read_back_in_every_shape() {
        let mut nodes = Nodes::default();
        for node in 0..300 {
            for expires_at in [None, Some(UnixMs(7)), Some(UnixMs(u64::MAX))] {
                for len in [0, 1, 100, 1000] {
                    let data = vec![b'x'; len];
                    let key = vec![b'k'; 1 + (node as usize * 37) % KEY_BYTES_MAX];
                    let entry = entry(&data, node, expires_at);
                    let draft =
                        Draft::new(PartitionId(4095), &key, entry, 4096, &mut nodes).unwrap();
                    let mut bytes = vec![0; draft.header.size()];
                    draft.write(&mut bytes, 2, 0);
                    let header = Header::read(&bytes);
                    assert_eq!(header.frequency(), 2);
                    assert_eq!(header.partition(), PartitionId(4095));
                    assert_eq!(header.key(&bytes), key);
                    let back = header.entry(&bytes, header.inline_value(&bytes), &nodes);
                    assert_eq!(back, entry);
                    set_dead(&mut bytes);
                    assert!(Header::read(&bytes).is_dead());
                    assert_eq!(Header::read(&bytes).size(), bytes.len());
                }
            }
        }
    }

    #[test]
    fn the_longest_key_and_an_external_value() {
        let mut nodes = Nodes::default();
        let key = vec![1; KEY_BYTES_MAX];
        let data = vec![2; 5000];
        let draft = Draft::new(
            PartitionId(1),
            &key,
            entry(&data, 1, None),
            4096,
            &mut nodes,
        )
        .unwrap();
        let mut bytes = vec![0; draft.header.size()];
        draft.write(&mut bytes, 0, 77);
        let header = Header::read(&bytes);
        assert!(header.is_external());
        assert_eq!(header.external_number(&bytes), 77);
        assert_eq!(header.key(&bytes), key);
        for wrong in [&[][..], &[0; KEY_BYTES_MAX + 1]] {
            let entry = entry(b"", 1, None);
            assert!(Draft::new(PartitionId(1), wrong, entry, 4096, &mut nodes).is_none());
        }
    }

    #[test]
    fn sixteen_and_a_hundred_bytes_cost_sixteen_more_or_twenty_four_with_expiry() {
        let mut nodes = Nodes::default();
        let data = [0; 100];
        for (expires_at, size) in [(None, 132), (Some(UnixMs(1)), 140)] {
            let entry = entry(&data, 1, expires_at);
            let draft = Draft::new(PartitionId(1), &[0; 16], entry, 4096, &mut nodes).unwrap();
            assert_eq!(draft.header.size(), size);
        }
    }
}
