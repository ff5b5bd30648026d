//! Keys: their identity, and where they are placed.
//!
//! A key is its exact bytes: two different keys never share a value. Where it *lives* follows from
//! its **placing part** (the text between the first `{` and the next `}` if that is not empty, else
//! all of it), which is encoded to an **integer** ([`KeyInteger`]), which jump consistent hashing
//! maps to one of 4,096 **partitions** ([`PartitionId`]). The integer only places.
//!
//! Every node computes this by itself and must come to the same answer, so nothing here may ever
//! change within a cluster's life.

use std::fmt;

use bytes::Bytes;

/// How many partitions a cluster has; fixed, because every node must agree.
pub const PARTITION_COUNT: u16 = 4096;

/// The largest prime below 2^64: integers are reduced modulo it, so that every key of up to seven
/// bytes encodes exactly and longer ones spread.
pub const KEY_INTEGER_MODULUS: u64 = u64::MAX - 58;

/// The default, and the largest allowed, length of a key in bytes.
pub const KEY_BYTES_MAX: usize = 4096;

/// What the client names: 1 to [`KEY_BYTES_MAX`] bytes, cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Bytes);

/// Why some bytes are no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No bytes at all.
    #[error("key cannot be empty")]
    Empty,
    /// Longer than the limit.
    #[error("key is {bytes} bytes long; the limit is {max}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
}

impl Key {
    /// Checks the length against `bytes_max` (never above [`KEY_BYTES_MAX`]).
    ///
    /// # Errors
    /// [`Error::Empty`] and [`Error::TooLong`].
    pub fn new(bytes: impl Into<Bytes>, bytes_max: usize) -> Result<Key, Error> {
        let bytes = bytes.into();
        Key::check(&bytes, bytes_max)?;
        Ok(Key(bytes))
    }

    /// The check of [`Key::new`] on borrowed bytes, for reads that need no key of their own.
    ///
    /// # Errors
    /// [`Error::Empty`] and [`Error::TooLong`].
    #[inline]
    pub fn check(bytes: &[u8], bytes_max: usize) -> Result<(), Error> {
        let max = bytes_max.min(KEY_BYTES_MAX);
        match bytes.len() {
            0 => Err(Error::Empty),
            len if len > max => Err(Error::TooLong { bytes: len, max }),
            _ => Ok(()),
        }
    }

    /// The exact bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, shared.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// The number that a key encodes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyInteger(pub u64);

impl fmt::Display for KeyInteger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One of the [`PARTITION_COUNT`] buckets: the unit of ownership, handoff and repair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub u16);

impl PartitionId {
    /// All partitions, in order.
    pub fn all() -> impl Iterator<Item = PartitionId> {
        (0..PARTITION_COUNT).map(PartitionId)
    }

    /// As an index into an array with one element per partition.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The part of a key that places it: keys with the same `{tag}` live together.
#[must_use]
#[inline]
pub fn placing_part(key: &[u8]) -> &[u8] {
    if !may_have_brace(key) {
        return key;
    }
    let Some(open) = memchr::memchr(b'{', key) else {
        return key;
    };
    match memchr::memchr(b'}', &key[open + 1..]) {
        Some(len) if len > 0 => &key[open + 1..open + 1 + len],
        _ => key,
    }
}

/// Whether `{` may be among some bytes, eight of them at a time, which for keys of the usual lengths
/// takes less than a call. A byte of a word is zero if and only if subtracting one from it borrows
/// (Mycroft, 1987); bytes above such a one may seem to be.
#[inline]
fn may_have_brace(key: &[u8]) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let (words, rest) = key.as_chunks::<8>();
    let is_in = |word: &[u8; 8]| {
        let word = u64::from_le_bytes(*word) ^ (u64::from(b'{') * EACH);
        word.wrapping_sub(EACH) & !word & (0x80 * EACH) != 0
    };
    words.iter().any(is_in) || rest.contains(&b'{')
}

/// The integer that a key encodes to.
///
/// ```
/// use smache::key::integer;
/// assert_eq!(integer(b"1").0, 1);
/// assert_eq!(integer(b"aa").0, 24_929);
/// assert_eq!(integer(b"abcd").0, 1_633_837_924);
/// assert_eq!(integer(b"{aa}:anything").0, 24_929);
/// ```
#[must_use]
#[inline]
pub fn integer(key: &[u8]) -> KeyInteger {
    let part = placing_part(key);
    KeyInteger(if is_canonical_decimal(part) {
        decimal(part)
    } else {
        big_endian(part)
    })
}

/// The partition that a key lives in.
#[must_use]
#[inline]
pub fn partition(key: &[u8]) -> PartitionId {
    let bucket = jump_consistent_hash::hash(integer(key).0, usize::from(PARTITION_COUNT));
    PartitionId(bucket as u16)
}

/// `0`, or digits without a leading zero, with a `-` before them if negative.
#[inline]
fn is_canonical_decimal(text: &[u8]) -> bool {
    match text {
        [b'0'] => true,
        [b'-', digits @ ..] | digits => {
            matches!(digits, [b'1'..=b'9', ..]) && digits.iter().all(u8::is_ascii_digit)
        }
    }
}

/// A canonical decimal modulo [`KEY_INTEGER_MODULUS`]; a negative one is first taken to 64-bit
/// two's complement, so that `-1` is 2^64-1 as everywhere else.
fn decimal(text: &[u8]) -> u64 {
    match text {
        [b'-', digits @ ..] => {
            let wrapped = digits.iter().fold(0u64, |sum, digit| {
                sum.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'))
            });
            wrapped.wrapping_neg() % KEY_INTEGER_MODULUS
        }
        digits => {
            // Eighteen digits at a time fit without reduction.
            let (head, tail) = digits.split_at(digits.len() % 18);
            let whole = |chunk: &[u8]| {
                let add = |sum: u64, digit: &u8| sum * 10 + u64::from(digit - b'0');
                chunk.iter().fold(0, add)
            };
            tail.chunks_exact(18).fold(whole(head), |sum, chunk| {
                step(sum, 10u64.pow(18), whole(chunk))
            })
        }
    }
}

/// Bytes as one big-endian unsigned integer, modulo [`KEY_INTEGER_MODULUS`].
#[inline]
fn big_endian(bytes: &[u8]) -> u64 {
    // Seven bytes at a time fit without reduction.
    let (head, tail) = bytes.split_at(bytes.len() % 7);
    let few = head.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    tail.chunks_exact(7).fold(few, |sum, chunk| {
        let mut seven = [0; 8];
        seven[1..].copy_from_slice(chunk);
        step(sum, 1 << 56, u64::from_be_bytes(seven))
    })
}

/// `sum * base + digit`, reduced. Since 2^64 is 59 modulo the modulus, the upper half of a product
/// counts 59 times into the lower one, and no division is needed.
#[inline]
fn step(sum: u64, base: u64, digit: u64) -> u64 {
    let modulus = u128::from(KEY_INTEGER_MODULUS);
    let fold = |wide: u128| (wide >> 64) * 59 + u128::from(wide as u64);
    let wide = u128::from(sum) * u128::from(base) + u128::from(digit);
    // The first fold leaves less than 60 * 2^64, the second one less than twice the modulus.
    let wide = fold(fold(wide));
    (if wide < modulus { wide } else { wide - modulus }) as u64
}

#[cfg(test)]
mod tests;
