//! Flags: `/flags/{key}`. One that was never set is not set, which is no miss.

use bytes::Bytes;
use http::{Method, Response};

use super::super::body::{Body, Incoming};
use super::super::failure::Failure;
use super::super::front::Call;
use super::arguments::Arguments;
use super::given::{self, Fields, Written};
use super::{Shown, Target, delete, is_read, name_member, nothing, put, tell, whole_of};
use crate::command::Kind;

pub(super) async fn answer<B: Incoming>(
    call: &mut Call,
    target: Target,
    body: B,
) -> Result<Response<Body>, Failure> {
    if is_read(call) {
        read(call, &target).await
    } else if call.parts.method == Method::DELETE {
        Arguments::of(call.parts.uri.query(), &[])?;
        delete(call, target).await
    } else {
        write(call, &target, body).await
    }
}

async fn read(call: &mut Call, target: &Target) -> Result<Response<Body>, Failure> {
    Arguments::of(call.parts.uri.query(), &[])?;
    let (entry, facts) = whole_of(call, target, Kind::Flag).await?;
    let value = entry.map_or(Bytes::from_static(b"false"), |entry| entry.data);
    let shown = Shown {
        bytes: "\"value\":false,".len(),
        members: |out: &mut Vec<u8>| {
            name_member("value", out);
            out.extend_from_slice(&value);
            out.push(b',');
        },
    };
    tell(call, target, &facts, shown)
}

async fn write<B: Incoming>(
    call: &mut Call,
    target: &Target,
    body: B,
) -> Result<Response<Body>, Failure> {
    let arguments = Arguments::of(call.parts.uri.query(), &["value", "ttl"])?;
    let depth_max = call.context().config.json_depth_max;
    let (given, _hold) = given::read(call, body).await?;
    let fields = Fields::of(&arguments, given, &["value"], depth_max)?;
    let ttl_ms = fields.ttl_ms()?;
    let value = match &fields.value {
        None => return Err(Failure::bad("invalid_flag", "no flag value specified")),
        Some(Written::Text(text)) => flag(text.as_bytes())?,
        Some(Written::Bytes(text)) => flag(text)?,
        Some(Written::Json(json)) => match &json[..] {
            b"true" => true,
            b"false" => false,
            other => return Err(invalid(other)),
        },
    };
    let data = if value { &b"true"[..] } else { b"false" };
    let facts = put(call, target, Kind::Flag, Bytes::from_static(data), ttl_ms).await?;
    Ok(nothing(call, &facts))
}

/// The spellings that clients of earlier systems use.
fn flag(text: &[u8]) -> Result<bool, Failure> {
    match text {
        b"true" | b"True" | b"TRUE" | b"t" | b"T" | b"1" => Ok(true),
        b"false" | b"False" | b"FALSE" | b"f" | b"F" | b"0" => Ok(false),
        other => Err(invalid(other)),
    }
}

fn invalid(found: &[u8]) -> Failure {
    let found = String::from_utf8_lossy(&found[..found.len().min(64)]);
    let message = format!("a flag is true or false; {found:?} is neither");
    Failure::bad("invalid_flag", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_flags_are_written() {
        for (text, value) in [("true", true), ("1", true), ("F", false), ("False", false)] {
            assert_eq!(flag(text.as_bytes()), Ok(value), "{text}");
        }
        for text in ["", "yes", "on", "tRUE", " true", "10", "\u{e9}"] {
            assert_eq!(
                flag(text.as_bytes()).unwrap_err().code,
                "invalid_flag",
                "{text}"
            );
        }
        let long = flag(&[b'x'; 1_000]).unwrap_err();
        assert!(long.message.len() < 200);
    }
}
