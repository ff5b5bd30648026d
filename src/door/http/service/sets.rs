//! Sets: `/sets/{key}`.
//!
//! ```text
//! GET                     all members        ?item=a&item=b  which of them are members
//!                         ?length            how many        ?random&count=3  some of them
//! PUT    ?item=a, or body add                ?replace        make it these
//! DELETE ?item=a          remove             (no item)       remove the set
//! POST   ?pop&count=3     remove some at random, and answer with them
//! ```
//!
//! What adds or removes answers with the members that there are then, which is a second command:
//! others may have written in between. `Prefer: return=minimal` does without.

use std::collections::HashSet;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Response};

use super::super::body::{Body, Incoming};
use super::super::failure::Failure;
use super::super::front::Call;
use super::arguments::Arguments;
use super::given::{self, Given};
use super::grow::{self, Addition};
use super::shown::{self, Shown, name_member, write_number};
use super::{
    Facts, Target, ask, change, confirm, delete, integer, is_read, no_body, tell, whole_of,
};
use crate::command::{Answer, Kind, Operation, json, set, show};

const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const MINIMAL: &str = "return=minimal";

pub(super) async fn answer<B: Incoming>(
    call: &mut Call,
    target: Target,
    body: B,
) -> Result<Response<Body>, Failure> {
    if is_read(call) {
        return read(call, &target).await;
    }
    match call.parts.method {
        Method::PUT => put(call, &target, body).await,
        Method::DELETE => remove(call, target, body).await,
        _ => pop(call, &target, body).await,
    }
}

async fn read(call: &mut Call, target: &Target) -> Result<Response<Body>, Failure> {
    let names = ["item", "length", "random", "count"];
    let arguments = Arguments::of(call.parts.uri.query(), &names)?;
    if arguments.has("item") {
        arguments.only("item", &["item"])?;
        return contains(call, target, &arguments).await;
    }
    if arguments.flag("random")? {
        arguments.only("random", &["random", "count"])?;
        let count = arguments.count("count")?.unwrap_or(1);
        let operation = Operation::Set(set::Operation::Random {
            count: i64::try_from(count).unwrap_or(i64::MAX),
            seed: rand::random(),
        });
        let (answer, facts) = ask(call, target, operation).await?;
        return tell(call, target, &facts, shown::items(&answer)?);
    }
    if arguments.flag("length")? {
        arguments.only("length", &["length"])?;
        let operation = Operation::Set(set::Operation::Length);
        let (answer, facts) = ask(call, target, operation).await?;
        return tell(
            call,
            target,
            &facts,
            shown::number("length", integer(&answer)?),
        );
    }
    arguments.only("all members", &["random", "length"])?;
    let (entry, facts) = whole_of(call, target, Kind::Set).await?;
    tell(
        call,
        target,
        &facts,
        shown::collection("items", "[]", entry.as_ref()),
    )
}

/// Which of the items that the query names are members.
async fn contains(
    call: &mut Call,
    target: &Target,
    arguments: &Arguments,
) -> Result<Response<Body>, Failure> {
    let mut seen = HashSet::new();
    let names = arguments.all("item").filter(|name| seen.insert(*name));
    let names: Vec<&str> = names.collect();
    let members = names
        .iter()
        .map(|name| Bytes::copy_from_slice(name.as_bytes()));
    let operation = Operation::Set(set::Operation::Contains(members.collect()));
    let (answer, facts) = ask(call, target, operation).await?;
    let Answer::Integers(found) = answer else {
        return Err(Failure::unexpected());
    };
    let bytes = names
        .iter()
        .map(|name| show::bytes_length(name.as_bytes()) + ":false,".len());
    let shown = Shown {
        bytes: bytes.sum::<usize>() + "\"contains\":{},".len(),
        members: |out: &mut Vec<u8>| {
            name_member("contains", out);
            let mut open = b'{';
            for (name, found) in names.iter().zip(found) {
                out.push(open);
                json::write_string(name, out);
                let is_member: &[u8] = if found == Some(1) {
                    b":true"
                } else {
                    b":false"
                };
                out.extend_from_slice(is_member);
                open = b',';
            }
            out.extend_from_slice(b"},");
        },
    };
    tell(call, target, &facts, shown)
}

async fn put<B: Incoming>(
    call: &mut Call,
    target: &Target,
    body: B,
) -> Result<Response<Body>, Failure> {
    let arguments = Arguments::of(call.parts.uri.query(), &["item", "ttl", "replace"])?;
    let ttl_ms = arguments.ttl_ms()?;
    let replaces = arguments.flag("replace")?;
    let (given, _hold) = given::read(call, body).await?;
    let members = Addition::Set(given::several(&arguments, given)?);
    let (name, (count, facts)) = if replaces {
        (
            "length",
            grow::replace(call, target, members, ttl_ms).await?,
        )
    } else {
        ("added", grow::grow(call, target, members, ttl_ms).await?)
    };
    Ok(changed(call, target, facts, name, count).await)
}

async fn remove<B: Incoming>(
    call: &mut Call,
    target: Target,
    body: B,
) -> Result<Response<Body>, Failure> {
    let arguments = Arguments::of(call.parts.uri.query(), &["item"])?;
    no_body(&body)?;
    if !arguments.has("item") {
        return delete(call, target).await;
    }
    let members = given::several(&arguments, Given::Nothing)?;
    let operation = Operation::Set(set::Operation::Remove(members));
    let (answer, facts) = change(call, &target, operation).await?;
    let count = integer(&answer)?;
    Ok(changed(call, &target, facts, "removed", count).await)
}

/// Answers a write with the members that there are now.
async fn changed(
    call: &mut Call,
    target: &Target,
    facts: Facts,
    name: &'static str,
    count: i64,
) -> Response<Body> {
    let is_minimal = call.parts.headers.get_all(PREFER).iter().any(|value| {
        let mut preferences = value.to_str().unwrap_or_default().split([',', ';']);
        preferences.any(|preference| preference.trim().eq_ignore_ascii_case(MINIMAL))
    });
    if is_minimal {
        let mut response = confirm(call, target, &facts, shown::number(name, count));
        let applied = HeaderValue::from_static(MINIMAL);
        response.headers_mut().insert(PREFERENCE_APPLIED, applied);
        return response;
    }
    // The write is done: that the members cannot be read does not undo it.
    let Ok((entry, facts)) = whole_of(call, target, Kind::Set).await else {
        return confirm(call, target, &facts, shown::number(name, count));
    };
    let members = shown::collection("items", "[]", entry.as_ref());
    let shown = Shown {
        bytes: members.bytes + name.len() + shown::NUMBER_BYTES,
        members: |out: &mut Vec<u8>| {
            (members.members)(out);
            write_number(name, count, out);
        },
    };
    confirm(call, target, &facts, shown)
}

async fn pop<B: Incoming>(
    call: &mut Call,
    target: &Target,
    body: B,
) -> Result<Response<Body>, Failure> {
    let arguments = Arguments::of(call.parts.uri.query(), &["pop", "count"])?;
    if !arguments.flag("pop")? {
        let message = "what is to be done is not said: pop removes members at random";
        return Err(Failure::bad("invalid_parameter", message));
    }
    no_body(&body)?;
    let operation = Operation::Set(set::Operation::Pop {
        count: arguments.count("count")?.unwrap_or(1),
        seed: rand::random(),
    });
    let (answer, facts) = change(call, target, operation).await?;
    Ok(confirm(call, target, &facts, shown::items(&answer)?))
}
