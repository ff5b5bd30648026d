//! The packed form of collections.

use bytes::Bytes;

use crate::command::Kind;

/// A length or a count takes at most nine groups of seven bits.
pub(super) const NUMBER_BYTES_MAX: usize = 9;

/// Reads the items of a packed collection, one after another.
#[derive(Clone, Copy, Debug)]
pub(in crate::command) struct Packed<'a> {
    rest: &'a [u8],
    count: usize,
}

impl<'a> Packed<'a> {
    /// Begins at the first item; `None` if there is not even a count.
    pub(in crate::command) fn new(data: &'a [u8]) -> Option<Packed<'a>> {
        let mut packed = Packed {
            rest: data,
            count: 0,
        };
        packed.count = packed.number()?;
        Some(packed)
    }

    /// Members, fields or elements, as the packed form claims.
    pub(in crate::command) fn entries(&self) -> usize {
        self.count
    }

    pub(in crate::command) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    fn number(&mut self) -> Option<usize> {
        let mut number = 0usize;
        for shift in (0..7 * NUMBER_BYTES_MAX).step_by(7) {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            number |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

impl<'a> Iterator for Packed<'a> {
    type Item = &'a [u8];

    /// The next item; of a hash, fields and values in turn.
    fn next(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        let (item, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(item)
    }
}

/// Whether this is the packed form of a collection of this kind. That members and fields occur once
/// is not looked at.
#[must_use]
pub fn check(kind: Kind, data: &[u8]) -> bool {
    let Some(mut packed) = Packed::new(data) else {
        return false;
    };
    let items = match kind {
        Kind::Hash => packed.entries().checked_mul(2),
        _ => Some(packed.entries()),
    };
    let sound = packed.entries() > 0 && items.is_some_and(|items| packed.by_ref().count() == items);
    sound && packed.is_at_end()
}

/// Writes a packed collection.
#[derive(Debug)]
pub struct Packer(Vec<u8>);

impl Packer {
    /// Of so many members, fields or elements.
    #[must_use]
    pub fn new(count: usize) -> Packer {
        Packer::with_capacity(count, 64)
    }

    pub(super) fn with_capacity(count: usize, bytes: usize) -> Packer {
        let mut packer = Packer(Vec::with_capacity(bytes));
        packer.number(count);
        packer
    }

    /// The next item; of a hash, a field or its value.
    pub fn push(&mut self, item: &[u8]) {
        self.number(item.len());
        self.0.extend_from_slice(item);
    }

    /// All of it.
    #[must_use]
    pub fn finish(self) -> Bytes {
        self.0.into()
    }

    fn number(&mut self, mut number: usize) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }
}

/// Bytes that a number takes.
pub(super) fn number_bytes(number: usize) -> usize {
    (usize::BITS - number.leading_zeros()).div_ceil(7).max(1) as usize
}

/// Bytes that an item of this length takes.
pub(super) fn item_bytes(length: usize) -> usize {
    number_bytes(length) + length
}
