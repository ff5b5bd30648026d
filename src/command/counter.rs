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
    /// `-9223372036854775808`.
    const BYTES_MAX: usize = 20;
    if text.len() > BYTES_MAX {
        return None;
    }
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

/// What the counter stands at, as the text of a number that JSON has too: a whole one, or one with a
/// fraction, as [`IncrementFloat`](super::string::Operation::IncrementFloat) leaves it; without a value
/// `0`.
///
/// # Errors
/// [`Error::WrongType`] if the value is no counter, [`Error::NotAFloat`] if it is no such number.
pub fn standing(current: Option<EntryRef<'_>>) -> Result<&[u8], Error> {
    /// Longer texts are no numbers.
    const TEXT_BYTES_MAX: usize = 256;
    let text = match (current, value(current)) {
        (None, _) => return Ok(b"0"),
        (Some(entry), Ok(_)) => return Ok(entry.data),
        (Some(entry), Err(Error::NotANumber)) => entry.data,
        (_, Err(error)) => return Err(error),
    };
    let known = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
    let is_number = text.len() <= TEXT_BYTES_MAX
        && text.iter().all(known)
        && serde_json::from_slice(text).is_ok_and(f64::is_finite);
    is_number.then_some(text).ok_or(Error::NotAFloat)
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

    #[test]
    fn a_counter_may_stand_at_a_fraction() {
        let entry = |kind, data: &'static str| crate::command::Entry {
            kind,
            data: Bytes::from_static(data.as_bytes()),
            version: crate::version::Version {
                hlc: crate::version::Hlc(1),
                node: crate::version::NodeId(1),
            },
            tag: None,
            expires_at: None,
        };
        assert_eq!(standing(None), Ok(&b"0"[..]));
        for number in ["5", "-1.25", "0.1", "1e300", "12345678901234567890.5"] {
            let entry = entry(Kind::Bytes, number);
            assert_eq!(standing(Some(entry.as_ref())), Ok(number.as_bytes()));
        }
        for text in [
            "", "abc", "1e999", "nan", "inf", " 1", "1 ", "+1", ".5", "01.5", "0x1p3",
        ] {
            let entry = entry(Kind::Bytes, text);
            assert_eq!(
                standing(Some(entry.as_ref())),
                Err(Error::NotAFloat),
                "{text}"
            );
        }
        let json = entry(Kind::Json, "1.5");
        assert!(matches!(
            standing(Some(json.as_ref())),
            Err(Error::WrongType { .. })
        ));
    }
}
