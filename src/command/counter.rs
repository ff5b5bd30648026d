//! Counters: whole numbers that many clients add to.
//!
//! A counter is kept as its decimal text, so that a door which answers JSON splices it into the
//! answer like any other value. There is one text for each number: no plus sign, no leading zeros,
//! no `-0`. Numbers are those of 64 bits with a sign; a sum beyond them is refused rather than
//! wrapped. A key without a value counts as 0.
//!
//! Invariant: the data of an entry of [`Kind::Counter`] is such a text. [`apply`](super::apply)
//! checks what is put and makes the rest here; doors use [`parse`] for what they are sent and
//! [`value`] for what they found.

use bytes::Bytes;

use super::{EntryRef, Error, Kind};

/// Reads a number in its one spelling; `None` if this is no number, or another spelling of one.
///
/// ```
/// use smache::command::counter::parse;
/// assert_eq!(parse(b"-12"), Some(-12));
/// for other in ["", "+5", "05", "-0", "1.0", "1e3", "9223372036854775808"] {
///     assert_eq!(parse(other.as_bytes()), None);
/// }
/// ```
#[must_use]
pub fn parse(text: &[u8]) -> Option<i64> {
    let number: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let canonical = itoa::Buffer::new().format(number).as_bytes() == text;
    canonical.then_some(number)
}

/// The stored form of a number.
#[must_use]
pub fn text(number: i64) -> Bytes {
    Bytes::copy_from_slice(itoa::Buffer::new().format(number).as_bytes())
}

/// What the counter stands at; without a value at 0.
///
/// # Errors
/// [`Error::WrongType`] if the value is no counter.
pub fn value(current: Option<EntryRef<'_>>) -> Result<i64, Error> {
    let Some(entry) = current else {
        return Ok(0);
    };
    match entry.kind {
        Kind::Counter | Kind::Bytes => parse(entry.data).ok_or(Error::NotANumber),
        found => Err(Error::WrongType {
            found,
            wanted: Kind::Counter,
        }),
    }
}

/// What the counter stands at after adding to it.
///
/// # Errors
/// [`Error::WrongType`] if the value is no counter, [`Error::Overflow`] if the sum is beyond 64
/// bits.
pub(crate) fn sum(current: Option<EntryRef<'_>>, by: i64) -> Result<i64, Error> {
    let value = value(current)?;
    value.checked_add(by).ok_or(Error::Overflow { value, by })
}

/// Refuses a whole value that is no counter's.
pub(crate) fn check(data: &[u8]) -> Result<(), Error> {
    parse(data).map(|_| ()).ok_or(Error::NotANumber)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_number_has_one_text(number: i64, other in "[-+]?[0-9]{0,20}") {
            prop_assert_eq!(parse(&text(number)), Some(number));
            if let Some(number) = parse(other.as_bytes()) {
                prop_assert_eq!(text(number), other);
            }
        }
    }

    #[test]
    fn the_ends_of_the_range_and_what_is_no_number() {
        assert_eq!(parse(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(parse(b"-9223372036854775808"), Some(i64::MIN));
        for other in [
            &b""[..],
            b"-",
            b"+5",
            b" 5",
            b"5 ",
            b"05",
            b"-0",
            b"--1",
            b"1.0",
            b"1e3",
            b"0x1",
            b"\xff",
            b"\xd9\xa1",
            b"9223372036854775808",
            b"-9223372036854775809",
        ] {
            assert_eq!(parse(other), None, "{}", other.escape_ascii());
        }
    }
}
