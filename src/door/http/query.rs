//! The query string: which keys a request names, and what else it says.
//!
//! Keys are percent-decoded, with `+` for a space as forms write it. A broken escape and bytes that
//! are no UTF-8 are refused instead of guessed at, since two spellings must never become one key.

use std::borrow::Cow;

use super::failure::Failure;

/// The keys of a request, as they are meant.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Keys<'a> {
    None,
    One(Cow<'a, str>),
    Many(Vec<Cow<'a, str>>),
}

/// Takes the values of all `key` parameters out of a query string; other parameters are ignored.
pub(super) fn keys(query: Option<&str>, keys_max: usize) -> Result<Keys<'_>, Failure> {
    let mut keys = Keys::None;
    for pair in query.unwrap_or_default().split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if name != "key" && decode(name)? != "key" {
            continue;
        }
        let value = decode(value)?;
        keys = match keys {
            Keys::None => Keys::One(value),
            Keys::One(first) => Keys::Many(vec![first, value]),
            Keys::Many(mut many) => {
                many.push(value);
                Keys::Many(many)
            }
        };
        if matches!(&keys, Keys::Many(many) if many.len() > keys_max) {
            let message = format!("more than {keys_max} keys in one request");
            return Err(Failure::bad("too_many_keys", message));
        }
    }
    Ok(keys)
}

/// The one key of a request that takes one.
pub(super) fn one_key(query: Option<&str>) -> Result<Cow<'_, str>, Failure> {
    match keys(query, 2)? {
        Keys::None => Err(Failure::key_required()),
        Keys::One(key) => Ok(key),
        Keys::Many(_) => Err(Failure::bad("too_many_keys", "this request takes one key")),
    }
}

/// Whether a text may be a key, as the Smache API sees it: not empty, not `null`, not too long.
pub(super) fn check_key(key: &str, bytes_max: usize) -> Result<(), Failure> {
    if key == "null" {
        return Err(Failure::key_required());
    }
    Ok(crate::key::Key::check(key.as_bytes(), bytes_max)?)
}

/// All parameters, decoded, in their order.
pub(super) fn pairs(
    query: Option<&str>,
) -> impl Iterator<Item = Result<(Cow<'_, str>, Cow<'_, str>), Failure>> {
    let pairs = query.unwrap_or_default().split('&');
    pairs.filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((decode(name)?, decode(value)?))
    })
}

/// Decodes percent escapes and `+`; borrows when there are none.
pub(super) fn decode(text: &str) -> Result<Cow<'_, str>, Failure> {
    if memchr::memchr2(b'%', b'+', text.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(text));
    }
    decode_bytes(text.as_bytes(), b' ').map(Cow::Owned)
}

/// Decodes percent escapes of a path, where `+` is itself; borrows when there are none.
pub(super) fn decode_path(text: &str) -> Result<Cow<'_, str>, Failure> {
    if memchr::memchr(b'%', text.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(text));
    }
    decode_bytes(text.as_bytes(), b'+').map(Cow::Owned)
}

fn decode_bytes(bytes: &[u8], plus: u8) -> Result<String, Failure> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, behind @ ..] = rest {
        rest = behind;
        match first {
            b'+' => decoded.push(plus),
            b'%' => {
                let (byte, behind) = hex_pair(behind).ok_or_else(|| {
                    let message =
                        "a % in the path, query or form is not followed by two hex digits";
                    Failure::bad("invalid_escape", message)
                })?;
                decoded.push(byte);
                rest = behind;
            }
            other => decoded.push(*other),
        }
    }
    String::from_utf8(decoded).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let message =
            format!("the decoded path, query or form is not UTF-8 at byte {at} of a value");
        Failure::bad("invalid_utf8", message)
    })
}

fn hex_pair(text: &[u8]) -> Option<(u8, &[u8])> {
    let [high, low, rest @ ..] = text else {
        return None;
    };
    let digit = |byte: &u8| (*byte as char).to_digit(16);
    Some(((digit(high)? << 4 | digit(low)?) as u8, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_decoded_and_nothing_is_guessed() {
        let one = |query| match keys(Some(query), 9) {
            Ok(Keys::One(key)) => key.into_owned(),
            other => panic!("{query}: {other:?}"),
        };
        assert_eq!(one("key=a"), "a");
        assert_eq!(one("x=1&key=a%2Bb+c&y"), "a+b c");
        assert_eq!(one("k%65y=%C3%A9=%20"), "é= ");
        assert_eq!(one("key"), "");
        let code = |query| keys(Some(query), 2).unwrap_err().code;
        assert_eq!(code("key=%"), "invalid_escape");
        assert_eq!(code("key=%4"), "invalid_escape");
        assert_eq!(code("key=%zz"), "invalid_escape");
        assert_eq!(code("key=%ff"), "invalid_utf8");
        assert_eq!(code("key=%ed%a0%80"), "invalid_utf8");
        assert_eq!(code("key=1&key=2&key=3"), "too_many_keys");
        assert_eq!(keys(None, 2), Ok(Keys::None));
        assert_eq!(keys(Some("keys=1"), 2), Ok(Keys::None));
    }

    #[test]
    fn what_is_no_key() {
        assert_eq!(check_key("", 9).unwrap_err().code, "key_required");
        assert_eq!(check_key("null", 9).unwrap_err().code, "key_required");
        assert_eq!(check_key("0123456789", 9).unwrap_err().code, "key_too_long");
        assert_eq!(check_key("nil", 9), Ok(()));
    }
}
