//! What is sent over a socket: the two forms of Phoenix's frames.
//!
//! ```text
//! 1.0.0   {"topic":T,"event":E,"payload":P,"ref":R,"join_ref":J}
//! 2.0.0   [J,R,T,E,P]
//! ```
//!
//! A reference is whatever the client made up, and comes back as it came: a string, a number or
//! `null`. The payload is passed on as text.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::command::json::write_string;

/// Longest topic, in bytes.
pub(super) const TOPIC_BYTES_MAX: usize = 1_024;
/// Longest name of an event, in bytes.
pub(super) const EVENT_BYTES_MAX: usize = 256;
/// Longest reference, in bytes.
const REFERENCE_BYTES_MAX: usize = 64;

/// Which form frames have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

impl Version {
    /// The form that goes by a version of the protocol.
    pub(super) fn of(text: &str) -> Option<Version> {
        match text.split('.').next()? {
            "1" => Some(Version::One),
            "2" => Some(Version::Two),
            _ => None,
        }
    }
}

/// A reference as JSON.
pub(super) type Reference = Option<Box<str>>;

/// What a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// What it joined the topic by.
    pub(super) join: Reference,
    /// What the reply is to name.
    pub(super) reference: Reference,
    pub(super) topic: String,
    pub(super) event: String,
    pub(super) payload: Bytes,
}

#[derive(Deserialize)]
struct One<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
    #[serde(borrow, rename = "ref", default)]
    reference: Option<&'a RawValue>,
    #[serde(borrow, default)]
    join_ref: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Two<'a>(
    #[serde(borrow)] Option<&'a RawValue>,
    #[serde(borrow)] Option<&'a RawValue>,
    #[serde(borrow)] Cow<'a, str>,
    #[serde(borrow)] Cow<'a, str>,
    #[serde(borrow)] &'a RawValue,
);

impl Frame {
    /// Reads a frame.
    ///
    /// # Errors
    /// When it is none, with a sentence that says what would be.
    pub(super) fn read(version: Version, text: &str) -> Result<Frame, String> {
        let wrong = |error: serde_json::Error| {
            let form = match version {
                Version::One => "{\"topic\",\"event\",\"payload\",\"ref\"}",
                Version::Two => "[join_ref,ref,topic,event,payload]",
            };
            format!("a frame is {form}: {error}")
        };
        let (join, reference, topic, event, payload) = match version {
            Version::One => {
                let one: One<'_> = serde_json::from_str(text).map_err(wrong)?;
                (
                    one.join_ref,
                    one.reference,
                    one.topic,
                    one.event,
                    one.payload,
                )
            }
            Version::Two => {
                let Two(join, reference, topic, event, payload) =
                    serde_json::from_str(text).map_err(wrong)?;
                (join, reference, topic, event, Some(payload))
            }
        };
        if topic.len() > TOPIC_BYTES_MAX || event.len() > EVENT_BYTES_MAX {
            return Err(format!(
                "a topic has at most {TOPIC_BYTES_MAX} bytes, an event {EVENT_BYTES_MAX}"
            ));
        }
        let payload = payload.map_or("{}", RawValue::get);
        Ok(Frame {
            join: self::reference(join)?,
            reference: self::reference(reference)?,
            topic: topic.into_owned(),
            event: event.into_owned(),
            payload: Bytes::copy_from_slice(payload.as_bytes()),
        })
    }
}

fn reference(raw: Option<&RawValue>) -> Result<Reference, String> {
    let text = raw.map(RawValue::get);
    match text {
        None => Ok(None),
        Some(text) if text.starts_with(['{', '[', 't', 'f']) => {
            Err("a reference is a string, a number or null".to_owned())
        }
        Some(text) if text.len() > REFERENCE_BYTES_MAX => Err(format!(
            "a reference has at most {REFERENCE_BYTES_MAX} bytes"
        )),
        Some(text) => Ok(Some(text.into())),
    }
}

/// What is sent to a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Push<'a> {
    pub(super) join: &'a Reference,
    pub(super) reference: &'a Reference,
    pub(super) topic: &'a str,
    pub(super) event: &'a str,
    /// Compact JSON.
    pub(super) payload: &'a [u8],
}

impl Push<'_> {
    /// The frame. The first form has no place for what a topic was joined by, but clients take it
    /// where there is one.
    pub(super) fn write(&self, version: Version) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.payload.len() + self.topic.len() + 96);
        let mut text = |before: &[u8], text: &str| {
            out.extend_from_slice(before);
            write_string(text, &mut out);
        };
        match version {
            Version::One => {
                text(b"{\"topic\":", self.topic);
                text(b",\"event\":", self.event);
                out.extend_from_slice(b",\"payload\":");
                out.extend_from_slice(self.payload);
                out.extend_from_slice(b",\"ref\":");
                write_reference(self.reference, &mut out);
                out.push(b'}');
            }
            Version::Two => {
                out.push(b'[');
                write_reference(self.join, &mut out);
                out.push(b',');
                write_reference(self.reference, &mut out);
                let mut text = |text: &str| {
                    out.push(b',');
                    write_string(text, &mut out);
                };
                text(self.topic);
                text(self.event);
                out.push(b',');
                out.extend_from_slice(self.payload);
                out.push(b']');
            }
        }
        out
    }
}

fn write_reference(reference: &Reference, out: &mut Vec<u8>) {
    out.extend_from_slice(reference.as_deref().unwrap_or("null").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(text: &str) -> Reference {
        Some(text.into())
    }

    #[test]
    fn both_forms_say_the_same() {
        let one = Frame::read(
            Version::One,
            r#"{"topic":"room:\u0061","event":"phx_join","payload":{"a": 1.0},"ref":"7","x":[1]}"#,
        );
        let two = Frame::read(
            Version::Two,
            r#"[ null, "7", "room:a", "phx_join", {"a": 1.0} ]"#,
        );
        let expected = Frame {
            join: None,
            reference: some("\"7\""),
            topic: "room:a".to_owned(),
            event: "phx_join".to_owned(),
            payload: Bytes::from_static(b"{\"a\": 1.0}"),
        };
        assert_eq!(one.as_ref(), Ok(&expected));
        assert_eq!(two, Ok(expected));
        let bare = Frame::read(Version::One, r#"{"topic":"phoenix","event":"heartbeat"}"#).unwrap();
        assert_eq!((bare.reference, &bare.payload[..]), (None, &b"{}"[..]));
    }

    #[test]
    fn what_is_no_frame() {
        let deep = format!("[null,null,\"t\",\"e\",{}]", "[".repeat(100_000));
        let long = format!("[null,null,\"{}\",\"e\",{{}}]", "t".repeat(2_000));
        let two = [
            "",
            "[]",
            "{}",
            "null",
            "[1,2,3,4,5]",
            r#"[null,{"a":1},"t","e",{}]"#,
            r#"[true,null,"t","e",{}]"#,
            r#"[null,null,"t","e",{},6]"#,
            r#"[null,null,"t","e"]"#,
            &deep,
            &long,
        ];
        for text in two {
            assert!(Frame::read(Version::Two, text).is_err(), "{text:.60}");
        }
        for text in ["[]", "{}", r#"{"topic":1,"event":"e"}"#, r#"{"topic":"t"}"#] {
            let error = Frame::read(Version::One, text).unwrap_err();
            assert!(error.contains("topic"), "{error}");
        }
        let reference = format!("[null,\"{}\",\"t\",\"e\",{{}}]", "r".repeat(100));
        assert!(Frame::read(Version::Two, &reference).is_err());
    }

    #[test]
    fn what_is_sent() {
        let push = Push {
            join: &some("\"1\""),
            reference: &some("2"),
            topic: "room:\"",
            event: "e",
            payload: b"{}",
        };
        let text = |version| String::from_utf8(push.write(version)).unwrap();
        assert_eq!(
            text(Version::One),
            r#"{"topic":"room:\"","event":"e","payload":{},"ref":2}"#
        );
        assert_eq!(text(Version::Two), r#"["1",2,"room:\"","e",{}]"#);
    }

    #[test]
    fn versions_of_the_protocol() {
        assert_eq!(Version::of("1.0.0"), Some(Version::One));
        assert_eq!(Version::of("2.0.0"), Some(Version::Two));
        assert_eq!(Version::of("3.0.0"), None);
        assert_eq!(Version::of(""), None);
    }
}
