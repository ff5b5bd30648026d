//! Bytes in JSON: members, elements, fields, values.
//!
//! A string is its text, a number is the text that it is written as, and what is no text is
//! `{"base64":"…"}`, as it comes out again. Several are an array; fields with their values are an
//! object. Anything else is refused: a document belongs to `/api`.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::super::failure::Failure;
use crate::command::json::{self, Type};

/// The most items of one request.
pub(super) const ITEMS_MAX: usize = 100_000;

/// The bytes that a compact JSON text means.
pub(in crate::door::http) fn item(text: &Bytes) -> Result<Bytes, Failure> {
    match json::type_of(text) {
        Type::String => match json::string(text) {
            Some(Cow::Borrowed(_)) => Ok(text.slice(1..text.len() - 1)),
            Some(Cow::Owned(text)) => Ok(text.into()),
            None => Err(Failure::unexpected()),
        },
        Type::Number => Ok(text.clone()),
        Type::Object => base64(text),
        Type::Array => Err(invalid("an array is none")),
        Type::True | Type::False | Type::Null => Err(invalid("true, false and null are none")),
    }
}

/// The bytes of an array's items, or of the one item that is no array.
pub(in crate::door::http) fn items(text: &Bytes) -> Result<Vec<Bytes>, Failure> {
    if json::type_of(text) != Type::Array {
        return Ok(vec![item(text)?]);
    }
    let texts = Parts(text).read()?;
    texts.iter().map(|(_, text)| item(text)).collect()
}

/// The fields of an object, and the bytes of their values.
pub(super) fn pairs(text: &Bytes) -> Result<Vec<(Bytes, Bytes)>, Failure> {
    if json::type_of(text) != Type::Object {
        let message = "the body is a JSON object of fields and values";
        return Err(Failure::bad("invalid_value", message));
    }
    let pair = |(name, text): (String, Bytes)| Ok((Bytes::from(name), item(&text)?));
    Parts(text).read()?.into_iter().map(pair).collect()
}

fn invalid(why: &str) -> Failure {
    let wanted = "a value is a string, a number or {\"base64\":\"…\"}";
    Failure::bad("invalid_value", format!("{wanted}; {why}"))
}

fn base64(text: &Bytes) -> Result<Bytes, Failure> {
    let object = json::Object::parse(text, 1)?;
    let (Some(encoded), 1) = (object.get("base64"), object.len()) else {
        return Err(invalid("another object is none"));
    };
    let encoded = json::string(encoded).ok_or_else(|| invalid("this base64 is no string"))?;
    let decoded = STANDARD.decode(encoded.as_bytes());
    decoded
        .map(Bytes::from)
        .map_err(|error| invalid(&format!("this is not base64: {error}")))
}

/// The texts of an array's elements, without names, or of an object's members: slices of the text
/// that they are in.
struct Parts<'a>(&'a Bytes);

type Named = Vec<(String, Bytes)>;

impl Parts<'_> {
    fn read(self) -> Result<Named, Failure> {
        let mut source = serde_json::Deserializer::from_slice(self.0);
        // The text is known to be JSON: all that can be wrong is that there is too much of it.
        source
            .deserialize_any(self)
            .map_err(|_| Failure::bad("too_many_items", format!("more than {ITEMS_MAX} items")))
    }

    fn push<E: serde::de::Error>(
        &self,
        parts: &mut Named,
        name: String,
        text: &RawValue,
    ) -> Result<(), E> {
        if parts.len() == ITEMS_MAX {
            return Err(E::custom("too many"));
        }
        parts.push((name, self.0.slice_ref(text.get().as_bytes())));
        Ok(())
    }
}

impl<'de> Visitor<'de> for Parts<'de> {
    type Value = Named;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array or an object")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Named, A::Error> {
        let mut parts = Vec::new();
        while let Some(text) = elements.next_element::<&RawValue>()? {
            self.push(&mut parts, String::new(), text)?;
        }
        Ok(parts)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Named, A::Error> {
        let mut parts = Vec::new();
        while let Some((name, text)) = members.next_entry::<String, &RawValue>()? {
            self.push(&mut parts, name, text)?;
        }
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compact(text: &str) -> Bytes {
        json::compact(&Bytes::copy_from_slice(text.as_bytes()), 128).unwrap()
    }

    #[test]
    fn what_is_one_value() {
        for (text, bytes) in [
            (r#""a""#, &b"a"[..]),
            (r#""""#, b""),
            (r#""\u00e9\n""#, "é\n".as_bytes()),
            ("-1.50e3", b"-1.50e3"),
            (r#"{"base64":"/wA="}"#, b"\xff\0"),
            (r#"{"b\u0061se64":""}"#, b""),
        ] {
            assert_eq!(item(&compact(text)).unwrap(), bytes, "{text}");
        }
        for text in [
            "null",
            "true",
            "[]",
            "{}",
            r#"{"base64":"/wA"}"#,
            r#"{"base64":"_w=="}"#,
            r#"{"base64":1}"#,
            r#"{"base64":"","more":1}"#,
            r#"{"a":"b"}"#,
        ] {
            let failure = item(&compact(text)).unwrap_err();
            assert_eq!(failure.code, "invalid_value", "{text}");
        }
    }

    #[test]
    fn what_is_several() {
        let found = items(&compact(r#"[ "a", 1, {"base64":"/w=="}, "a" ]"#)).unwrap();
        assert_eq!(found, [&b"a"[..], b"1", b"\xff", b"a"]);
        assert_eq!(items(&compact("7")).unwrap(), [&b"7"[..]]);
        assert_eq!(items(&compact("[]")).unwrap(), [] as [&[u8]; 0]);
        for text in ["[[\"a\"]]", "[null]", "{}"] {
            assert_eq!(
                items(&compact(text)).unwrap_err().code,
                "invalid_value",
                "{text}"
            );
        }
        let found = pairs(&compact(r#"{"f":"1","\u0067":2,"f":3}"#)).unwrap();
        let found: Vec<(&[u8], &[u8])> = found.iter().map(|(f, v)| (&f[..], &v[..])).collect();
        assert_eq!(found, [(&b"f"[..], &b"1"[..]), (b"g", b"2"), (b"f", b"3")]);
        for text in ["[]", "\"a\"", r#"{"f":null}"#, r#"{"f":{}}"#] {
            assert_eq!(
                pairs(&compact(text)).unwrap_err().code,
                "invalid_value",
                "{text}"
            );
        }
    }

    #[test]
    fn there_may_be_so_many() {
        let most = format!("[{}1]", "1,".repeat(ITEMS_MAX - 1));
        assert_eq!(items(&compact(&most)).unwrap().len(), ITEMS_MAX);
        let more = format!("[{}1]", "1,".repeat(ITEMS_MAX));
        assert_eq!(items(&compact(&more)).unwrap_err().code, "too_many_items");
        let more = format!("{{{}\"b\":1}}", "\"a\":1,".repeat(ITEMS_MAX));
        assert_eq!(pairs(&compact(&more)).unwrap_err().code, "too_many_items");
    }
}
