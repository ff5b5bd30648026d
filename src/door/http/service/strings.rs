//! Strings of bytes: `/cache/{key}`, whose values always expire, and `/kv/{key}`.
//!
//! A value comes in the query, in a JSON object, or as the bytes of the body. It goes out as JSON, or,
//! for who asks for `application/octet-stream`, as it is. A counter is a string, too: its digits.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::VARY;
use http::{HeaderValue, Method, Response};

use super::super::accept;
use super::super::body::{Body, Incoming};
use super::super::failure::Failure;
use super::super::front::Call;
use super::arguments::Arguments;
use super::given::{self, Fields};
use super::{Shown, Target, delete, is_read, name_member, nothing, put, respond, tell, whole};
use crate::command::{Entry, Kind, show, string};
use crate::router;

/// How a service of strings differs from the other one.
#[derive(Debug)]
pub(super) struct Rules {
    /// What the member with the value may be called in a body.
    names: &'static [&'static str],
    /// How long a value lives for which 0 or nothing is said.
    default_ttl_ms: Option<u64>,
    may_be_empty: bool,
    /// What is said if there is no value.
    missing: &'static str,
}

/// Of `/cache`. The default is that of these calls alone.
pub(super) static CACHE: Rules = Rules {
    names: &["value"],
    default_ttl_ms: Some(5_000),
    may_be_empty: false,
    missing: "no cache value provided",
};

/// Of `/kv`.
pub(super) static KV: Rules = Rules {
    names: &["value", "content"],
    default_ttl_ms: None,
    may_be_empty: true,
    missing: "no value provided: it is the body, the member value, or the parameter value",
};

pub(super) async fn answer<B: Incoming>(
    call: &mut Call,
    target: Target,
    body: B,
    rules: &Rules,
) -> Result<Response<Body>, Failure> {
    if is_read(call) {
        read(call, &target).await
    } else if call.parts.method == Method::DELETE {
        Arguments::of(call.parts.uri.query(), &[])?;
        delete(call, target).await
    } else {
        write(call, &target, body, rules).await
    }
}

async fn read(call: &mut Call, target: &Target) -> Result<Response<Body>, Failure> {
    Arguments::of(call.parts.uri.query(), &[])?;
    let (entry, facts) = whole(call, target).await?;
    let data = string::text(entry.as_ref().map(Entry::as_ref)).map_err(router::Error::from)?;
    let found = data.unwrap_or_default();
    let mut response = if accept::prefers_bytes(&call.parts.headers) && data.is_some() {
        respond(call, &facts, accept::BYTES, found.len(), |out| {
            out.extend_from_slice(found);
        })?
    } else {
        let shown = Shown {
            bytes: show::bytes_length(found) + "\"value\":,".len(),
            members: |out: &mut Vec<u8>| {
                name_member("value", out);
                show::write_bytes(found, out);
                out.push(b',');
            },
        };
        tell(call, target, &facts, shown)?
    };
    if data.is_none() {
        let message = format!("there is no value under {:?}", target.name);
        return Err(Failure::miss(message));
    }
    response
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

async fn write<B: Incoming>(
    call: &mut Call,
    target: &Target,
    body: B,
    rules: &Rules,
) -> Result<Response<Body>, Failure> {
    let arguments = Arguments::of(call.parts.uri.query(), &["value", "ttl"])?;
    let depth_max = call.context().config.json_depth_max;
    let (given, _hold) = given::read(call, body).await?;
    let fields = Fields::of(&arguments, given, rules.names, depth_max)?;
    let is_default = fields.ttl.as_ref().is_none_or(given::Written::is_zero);
    let ttl_ms = match rules.default_ttl_ms {
        Some(ms) if is_default => Some(ms),
        Some(ms) => fields.ttl_ms()?.or(Some(ms)),
        None => fields.ttl_ms()?,
    };
    let missing = || Failure::bad("invalid_value", Cow::Borrowed(rules.missing));
    let data: Bytes = fields.value.ok_or_else(missing)?.into_bytes()?;
    if data.is_empty() && !rules.may_be_empty {
        return Err(missing());
    }
    let facts = put(call, target, Kind::Bytes, data, ttl_ms).await?;
    Ok(nothing(call, &facts))
}
