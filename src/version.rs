//! Versions: a total order over all writes to a key, on every node alike.
//!
//! A [`Version`] is a hybrid logical clock reading ([`Hlc`]: Kulkarni et al., *Logical Physical
//! Clocks*, 2014) and the [`NodeId`] that wrote. Two sides of a cut compare versions to agree on
//! the later write without asking anybody; clients see a version as the ETag.
//!
//! Invariant: of two versions handed out by one [`HlcSource`] the later one is greater, also when
//! the wall clock stands still or steps back.

use std::fmt;

use rapidhash::v3::rapidhash_v3;

use crate::clock::UnixMs;

/// A node in versions and maps: a 32-bit hash of its name.
///
/// Two names of one cluster that hash alike would make versions ambiguous; membership refuses the
/// second node, with a message, so this number is as good as the name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

impl NodeId {
    /// The id of the node called `name`.
    #[must_use]
    pub fn of(name: &str) -> NodeId {
        let hash = rapidhash_v3(name.as_bytes());
        NodeId((hash ^ (hash >> 32)) as u32)
    }
}

/// A hybrid logical clock reading: 48 bits of wall-clock milliseconds above a 16-bit counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hlc(pub u64);

impl Hlc {
    /// The first reading of a millisecond.
    #[must_use]
    pub fn at(now: UnixMs) -> Hlc {
        Hlc(now.0.min((1 << 48) - 1) << 16)
    }

    /// The wall-clock part.
    #[must_use]
    pub fn wall(self) -> UnixMs {
        UnixMs(self.0 >> 16)
    }
}

/// The version of a value: totally ordered, first by time, then by node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// When it was written.
    pub hlc: Hlc,
    /// Who ordered the write.
    pub node: NodeId,
}

/// Prints as the text inside an ETag: 16 hexadecimal digits, a dash, 8 more.
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:08x}", self.hlc.0, self.node.0)
    }
}

impl Version {
    /// Length of the text form in bytes.
    pub const TEXT_BYTES: usize = 25;

    /// Reads the text form back; `None` if it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Version> {
        let (hlc, node) = text.split_once('-')?;
        Some(Version {
            hlc: Hlc(u64::from_str_radix(hex_text(hlc, 16)?, 16).ok()?),
            node: NodeId(u32::from_str_radix(hex_text(node, 8)?, 16).ok()?),
        })
    }

    /// Writes the text form without formatting machinery: it stands in every read's answer.
    pub fn write_text(self, out: &mut Vec<u8>) {
        hex_digits(self.hlc.0, 16, out);
        out.push(b'-');
        hex_digits(u64::from(self.node.0), 8, out);
    }
}

/// `text` if it is just so many lower-case hexadecimal digits (`from_str_radix` takes a `+`, too).
fn hex_text(text: &str, digits: usize) -> Option<&str> {
    let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    (text.len() == digits && text.bytes().all(lower_hex)).then_some(text)
}

fn hex_digits(value: u64, digits: u32, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend(
        (0..digits)
            .rev()
            .map(|place| DIGITS[(value >> (place * 4) & 0xf) as usize]),
    );
}

/// Clocks of nodes may differ by so many milliseconds: a version from further in the future is
/// refused.
pub const CLOCK_SKEW_MS_MAX: u64 = 10_000;
/// Versions of a node that takes a partition over begin so many milliseconds ahead of its clock, so
/// that they are greater than those of its predecessor although that one's clock was ahead of it.
pub const TAKEOVER_MS: u64 = 500;

/// Hands out readings for one sequence of writes.
#[derive(Debug, Default)]
pub struct HlcSource {
    last: Hlc,
}

impl HlcSource {
    /// Readings will be greater than any of this moment.
    pub fn jump_past(&mut self, moment: UnixMs) {
        self.last = self.last.max(Hlc::at(moment));
    }

    /// A reading greater than every one before it, and than `seen`, the version it replaces.
    pub fn next(&mut self, now: UnixMs, seen: Option<Hlc>) -> Hlc {
        let floor = self.last.max(seen.unwrap_or_default());
        self.last = Hlc::at(now).max(Hlc(floor.0 + 1));
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_grow_although_the_clock_stands_still_or_steps_back() {
        let mut source = HlcSource::default();
        let a = source.next(UnixMs(1_000), None);
        let b = source.next(UnixMs(1_000), None);
        let c = source.next(UnixMs(10), None);
        assert!(a < b && b < c);
        assert_eq!(a.wall(), UnixMs(1_000));
    }

    #[test]
    fn a_version_is_greater_than_the_one_that_it_replaces() {
        let seen = Hlc::at(UnixMs(9_999));
        assert!(HlcSource::default().next(UnixMs(5), Some(seen)) > seen);
    }

    #[test]
    fn text_and_back() {
        let version = Version {
            hlc: Hlc(0x0123_4567_89ab_cdef),
            node: NodeId(0xfe),
        };
        let text = version.to_string();
        assert_eq!(text, "0123456789abcdef-000000fe");
        assert_eq!(text.len(), Version::TEXT_BYTES);
        assert_eq!(Version::parse(&text), Some(version));
        let mut written = Vec::new();
        version.write_text(&mut written);
        assert_eq!(written, text.as_bytes());
        for wrong in [
            "",
            "x",
            "0123456789abcdef",
            "+123456789abcdef-000000fe",
            "0123456789ABCDEF-000000fe",
        ] {
            assert_eq!(Version::parse(wrong), None, "{wrong}");
        }
    }
}
