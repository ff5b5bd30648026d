//! What the body of a request says, and what body and query say together.
//!
//! A body is JSON, or the bytes of a value as they are (`application/octet-stream`, `text/plain`).
//! What names a value and how long it lives may stand in the query, or in a JSON object that is the
//! body, but not in both: [`Fields`].

use bytes::Bytes;

use super::super::accept::{self, Format};
use super::super::body::Incoming;
use super::super::envelope;
use super::super::failure::Failure;
use super::super::front::Call;
use super::super::hold::Hold;
use super::super::{ttl, write};
use super::arguments::Arguments;
use super::items;
use crate::command::json::{self, Object};

/// A body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Given {
    /// None.
    Nothing,
    /// JSON, compact.
    Json(Bytes),
    /// A value as it is.
    Bytes(Bytes),
}

/// Reads the body. What it takes of the door's memory is held until the request is answered.
pub(super) async fn read<B: Incoming>(call: &Call, body: B) -> Result<(Given, Hold), Failure> {
    let is_empty = body.is_end_stream();
    let format = accept::format(&call.parts.headers, &[Format::Json, Format::Bytes])?;
    let (text, hold) = write::whole(call, body).await?;
    let given = match format {
        Format::Bytes => Given::Bytes(text),
        _ if is_empty => Given::Nothing,
        _ => Given::Json(json::compact(&text, call.context().config.json_depth_max)?),
    };
    Ok((given, hold))
}

/// Something that is written as text in a query, as JSON in an object, and as itself in a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Written {
    Text(String),
    Json(Bytes),
    Bytes(Bytes),
}

impl Written {
    /// The bytes that it means as a value.
    pub(super) fn into_bytes(self) -> Result<Bytes, Failure> {
        match self {
            Written::Text(text) => Ok(text.into()),
            Written::Json(json) => items::item(&json),
            Written::Bytes(bytes) => Ok(bytes),
        }
    }

    /// The milliseconds that it means as a time to live.
    pub(super) fn ttl_ms(&self) -> Result<Option<u64>, Failure> {
        match self {
            Written::Text(text) => ttl::from_text(text).map(Some),
            Written::Json(json) => ttl::from_json(json),
            // A body that is a value is nothing else.
            Written::Bytes(_) => Err(Failure::unexpected()),
        }
    }

    /// Whether it is the number 0.
    pub(super) fn is_zero(&self) -> bool {
        match self {
            Written::Text(text) => text == "0",
            Written::Json(json) => json == "0",
            Written::Bytes(_) => false,
        }
    }
}

/// The value that a request writes, and how long it is to live.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) value: Option<Written>,
    pub(super) ttl: Option<Written>,
}

impl Fields {
    /// Takes them out of query and body. The value has one of these names; the first is the one that
    /// the query takes.
    pub(super) fn of(
        arguments: &Arguments,
        given: Given,
        names: &[&str],
        depth_max: usize,
    ) -> Result<Fields, Failure> {
        let mut fields = Fields::default();
        if let Some(name) = names.first() {
            fields.value = arguments.one(name)?.map(|text| Written::Text(text.into()));
        }
        fields.ttl = arguments.one("ttl")?.map(|text| Written::Text(text.into()));
        match given {
            Given::Nothing => {}
            Given::Bytes(bytes) => set(&mut fields.value, Written::Bytes(bytes), "the value")?,
            Given::Json(text) => {
                let object = Object::parse(&text, depth_max)?;
                let known: Vec<&str> = names.iter().copied().chain(["ttl"]).collect();
                envelope::only(&object, &known)?;
                for name in names {
                    if let Some(json) = object.share(name) {
                        set(&mut fields.value, Written::Json(json), name)?;
                    }
                }
                if let Some(json) = object.share("ttl") {
                    set(&mut fields.ttl, Written::Json(json), "ttl")?;
                }
            }
        }
        Ok(fields)
    }

    /// The time to live, in milliseconds.
    pub(super) fn ttl_ms(&self) -> Result<Option<u64>, Failure> {
        self.ttl.as_ref().map_or(Ok(None), Written::ttl_ms)
    }
}

fn set(field: &mut Option<Written>, written: Written, name: &str) -> Result<(), Failure> {
    match field.replace(written) {
        None => Ok(()),
        Some(_) => {
            let message = format!("{name} is given twice");
            Err(Failure::bad("repeated_parameter", message))
        }
    }
}

/// The items that a request names, in its query or in its body.
pub(super) fn several(arguments: &Arguments, given: Given) -> Result<Vec<Bytes>, Failure> {
    let named = arguments.all("item");
    let named: Vec<Bytes> = named
        .map(|text| Bytes::copy_from_slice(text.as_bytes()))
        .collect();
    let missing = || Failure::bad("invalid_value", "no item supplied");
    // In the query an empty one is more likely a mistake; a body can say that it is meant.
    if named.iter().any(Bytes::is_empty) {
        return Err(missing());
    }
    match (given, named.is_empty()) {
        (Given::Nothing, false) => Ok(named),
        (Given::Nothing, true) => Err(missing()),
        (_, false) => {
            let message = "items are given in the query and in the body";
            Err(Failure::bad("repeated_parameter", message))
        }
        (Given::Bytes(item), true) => Ok(vec![item]),
        (Given::Json(text), true) => items::items(&text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 2] = ["value", "content"];

    fn fields(query: &str, given: Given) -> Result<Fields, &'static str> {
        let arguments = Arguments::of(Some(query), &["value", "ttl"]).unwrap();
        Fields::of(&arguments, given, &NAMES, 8).map_err(|failure| failure.code)
    }

    fn json(text: &str) -> Given {
        Given::Json(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn a_value_stands_in_the_query_or_in_the_body() {
        let both = |fields: Result<Fields, &str>| {
            let fields = fields.unwrap();
            let ttl = fields.ttl_ms().unwrap();
            (fields.value.unwrap().into_bytes().unwrap(), ttl)
        };
        let a = Bytes::from_static(b"a");
        for (query, given, ttl) in [
            ("value=a", Given::Nothing, None),
            ("value=a&ttl=60", Given::Nothing, Some(60_000)),
            ("ttl=1m", Given::Bytes(a.clone()), Some(60_000)),
            ("", json(r#"{"value":"a"}"#), None),
            ("", json(r#"{"content":"a","ttl":"1m"}"#), Some(60_000)),
            (
                "ttl=60",
                json(r#"{"value":{"base64":"YQ=="}}"#),
                Some(60_000),
            ),
            ("", json(r#"{"value":"a","ttl":null}"#), None),
        ] {
            let case = format!("{query} {given:?}");
            assert_eq!(both(fields(query, given)), (a.clone(), ttl), "{case}");
        }
        assert_eq!(fields("", Given::Nothing), Ok(Fields::default()));
        assert_eq!(fields("", json("{}")), Ok(Fields::default()));
    }

    #[test]
    fn what_is_said_twice_or_not_known_is_refused() {
        for (query, given, code) in [
            ("value=a&value=a", Given::Nothing, "repeated_parameter"),
            ("value=a", Given::Bytes(Bytes::new()), "repeated_parameter"),
            ("value=a", json(r#"{"value":"a"}"#), "repeated_parameter"),
            (
                "",
                json(r#"{"value":"a","content":"a"}"#),
                "repeated_parameter",
            ),
            (
                "ttl=1",
                json(r#"{"value":"a","ttl":1}"#),
                "repeated_parameter",
            ),
            ("", json(r#"{"value":"a","tll":1}"#), "unknown_member"),
            ("", json(r#""a""#), "invalid_json"),
        ] {
            assert_eq!(fields(query, given), Err(code), "{query}");
        }
    }

    #[test]
    fn zero_is_told_apart() {
        let zero = |written: Written| written.is_zero();
        assert!(zero(Written::Text("0".into())));
        assert!(zero(Written::Json("0".into())));
        assert!(!zero(Written::Json("\"0\"".into())));
        assert!(!zero(Written::Text("00".into())));
    }
}
