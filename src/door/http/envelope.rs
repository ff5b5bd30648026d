//! What a write says: the members `key`, `data` and `ttl` of a JSON object, or the like of a form.
//!
//! The key may be a string or an integer; an integer of any length is the key with that text, so
//! that `1` and `"1"` are one key. The data must be an object. A member that nobody knows is
//! refused rather than ignored: a misspelt `ttl` would otherwise live for ever.

use std::borrow::Cow;

use bytes::Bytes;

use super::failure::Failure;
use super::ttl;
use crate::command::json::{self, Object, Type};
use crate::key::Key;

/// What a write says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) key: Key,
    /// A compact JSON object.
    pub(super) data: Bytes,
    pub(super) ttl_ms: Option<u64>,
}

/// Reads the body of a write.
pub(super) fn fields(
    text: &Bytes,
    allowed: &[&str],
    depth_max: usize,
    key_bytes_max: usize,
) -> Result<Fields, Failure> {
    of(&Object::parse(text, depth_max)?, allowed, key_bytes_max)
}

/// Reads the members of a write.
pub(super) fn of(
    object: &Object,
    allowed: &[&str],
    key_bytes_max: usize,
) -> Result<Fields, Failure> {
    only(object, allowed)?;
    Ok(Fields {
        key: key(object, key_bytes_max)?,
        data: data(object.share("data"))?,
        ttl_ms: ttl_ms(object)?,
    })
}

/// Refuses members that are not in the list.
pub(super) fn only(object: &Object, allowed: &[&str]) -> Result<(), Failure> {
    match object.iter().find(|(name, _)| !allowed.contains(&&**name)) {
        None => Ok(()),
        Some((name, _)) => {
            let allowed = allowed.join(", ");
            let message = format!("unknown member {name:?}; allowed are {allowed}");
            Err(Failure::bad("unknown_member", message))
        }
    }
}

/// The `key` member.
pub(super) fn key(object: &Object, bytes_max: usize) -> Result<Key, Failure> {
    let json = object.share("key").ok_or_else(Failure::key_required)?;
    let bytes = match json::type_of(&json) {
        Type::Null => return Err(Failure::key_required()),
        Type::Number => integer(json)?,
        Type::String => match json::string(&json) {
            Some(Cow::Borrowed(_)) => json.slice(1..json.len() - 1),
            Some(Cow::Owned(text)) => text.into(),
            None => return Err(Failure::unexpected()),
        },
        Type::Object | Type::Array | Type::True | Type::False => {
            return Err(invalid_key("an object, array or boolean is none"));
        }
    };
    if bytes == "null" {
        return Err(Failure::key_required());
    }
    Ok(Key::new(bytes, bytes_max)?)
}

fn invalid_key(why: &str) -> Failure {
    Failure::bad(
        "invalid_key",
        format!("key is a string or an integer; {why}"),
    )
}

fn integer(json: Bytes) -> Result<Bytes, Failure> {
    if json.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
        return Err(invalid_key(
            "a number with a fraction or an exponent is none",
        ));
    }
    // JSON has no other way to write an integer in two ways.
    if json == "-0" {
        return Ok(Bytes::from_static(b"0"));
    }
    Ok(json)
}

/// The `data` member, which must be an object.
pub(super) fn data(json: Option<Bytes>) -> Result<Bytes, Failure> {
    let why = match json {
        Some(json) if json::is_object(&json) => return Ok(json),
        Some(_) => "data must be a JSON object",
        None => "data is missing; it must be a JSON object",
    };
    Err(Failure::bad("invalid_data", why))
}

/// The `ttl` member in milliseconds.
pub(super) fn ttl_ms(object: &Object) -> Result<Option<u64>, Failure> {
    object.get("ttl").map_or(Ok(None), ttl::from_json)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Fields, Failure> {
        let text = Bytes::copy_from_slice(text.as_bytes());
        fields(&text, &["key", "data", "ttl"], 4, 8)
    }

    fn key_of(json: &str) -> Result<Key, Failure> {
        read(&format!("{{\"key\":{json},\"data\":{{}}}}")).map(|fields| fields.key)
    }

    #[test]
    fn a_string_and_an_integer_of_the_same_text_are_one_key() {
        let key = |text: &str| Ok(Key::new(text.to_owned(), 8).unwrap());
        assert_eq!(key_of("1"), key("1"));
        assert_eq!(key_of("\"1\""), key("1"));
        assert_eq!(key_of("-17"), key("-17"));
        assert_eq!(key_of("-0"), key("0"));
        assert_eq!(key_of("\"a\\u0062\""), key("ab"));
        assert_eq!(key_of("\"01\""), key("01"));
    }

    #[test]
    fn what_is_refused() {
        let cases = [
            ("{\"data\":{}}", "key_required"),
            ("{\"key\":null,\"data\":{}}", "key_required"),
            ("{\"key\":\"\",\"data\":{}}", "key_required"),
            ("{\"key\":\"null\",\"data\":{}}", "key_required"),
            ("{\"key\":\"123456789\",\"data\":{}}", "key_too_long"),
            ("{\"key\":123456789,\"data\":{}}", "key_too_long"),
            ("{\"key\":1.5,\"data\":{}}", "invalid_key"),
            ("{\"key\":1e3,\"data\":{}}", "invalid_key"),
            ("{\"key\":true,\"data\":{}}", "invalid_key"),
            ("{\"key\":[1],\"data\":{}}", "invalid_key"),
            ("{\"key\":1}", "invalid_data"),
            ("{\"key\":1,\"data\":null}", "invalid_data"),
            ("{\"key\":1,\"data\":[]}", "invalid_data"),
            ("{\"key\":1,\"data\":\"{}\"}", "invalid_data"),
            ("{\"key\":1,\"data\":{},\"ttl\":0}", "invalid_ttl"),
            ("{\"key\":1,\"data\":{},\"tll\":5}", "unknown_member"),
            ("{\"key\":1,\"data\":{\"a\":[[[[1]]]]}}", "too_deep"),
            ("{\"key\":\"\\ud800\",\"data\":{}}", "invalid_json"),
            ("[]", "invalid_json"),
            ("", "invalid_json"),
        ];
        for (text, code) in cases {
            assert_eq!(read(text).unwrap_err().code, code, "{text}");
        }
        let message = read("{\"key\":1,\"data\":{},\"tll\":5}")
            .unwrap_err()
            .message;
        assert_eq!(
            message,
            "unknown member \"tll\"; allowed are key, data, ttl"
        );
    }

    #[test]
    fn data_and_time_to_live() {
        let fields = read(" { \"ttl\" : \"1m\", \"data\" : { \"n\": 1.0 }, \"key\": 7 } ").unwrap();
        assert_eq!(fields.data, "{\"n\":1.0}");
        assert_eq!(fields.ttl_ms, Some(60_000));
    }
}
