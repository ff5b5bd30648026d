//! Lists: `/lists/{key}`. Negative places count from the end: -1 is the last element.
//!
//! ```text
//! GET                            all elements    ?index=-1           one of them
//!                                ?length         ?from=0&to=9        some, both ends included
//! POST   ?item=a, or body        push on the right, or ?push=left
//!        ?pop=left&count=3       take elements off, and answer with them
//!        ?trim&from=0&to=99      keep these
//! PUT    ?index=0&item=a         replace one     ?replace, and body  make it these
//! DELETE ?item=a&count=1         remove those that equal it, all of them without count
//!                                (no item)       remove the list
//! ```

use http::{Method, Response};

use super::super::body::{Body, Incoming};
use super::super::failure::Failure;
use super::super::front::Call;
use super::arguments::{Arguments, invalid};
use super::given;
use super::grow::{self, Addition};
use super::shown::{self, write_item};
use super::{Target, ask, change, confirm, delete, integer, is_read, no_body, tell, whole_of};
use crate::command::list::{self, End};
use crate::command::{Answer, Kind, Operation};

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
        _ => post(call, &target, body).await,
    }
}

async fn read(call: &mut Call, target: &Target) -> Result<Response<Body>, Failure> {
    let names = ["index", "from", "to", "length"];
    let arguments = Arguments::of(call.parts.uri.query(), &names)?;
    if let Some(index) = arguments.integer("index")? {
        arguments.only("index", &["index"])?;
        return read_one(call, target, index).await;
    }
    if arguments.flag("length")? {
        arguments.only("length", &["length"])?;
        let (answer, facts) = ask(call, target, of(list::Operation::Length)).await?;
        return tell(
            call,
            target,
            &facts,
            shown::number("length", integer(&answer)?),
        );
    }
    if arguments.has("from") || arguments.has("to") {
        let range = of(stretch(&arguments, list::Operation::Range)?);
        let (answer, facts) = ask(call, target, range).await?;
        return tell(call, target, &facts, shown::items(&answer)?);
    }
    let (entry, facts) = whole_of(call, target, Kind::List).await?;
    let all = shown::collection("items", "[]", entry.as_ref());
    tell(call, target, &facts, all)
}

async fn read_one(call: &mut Call, target: &Target, index: i64) -> Result<Response<Body>, Failure> {
    let (answer, facts) = ask(call, target, of(list::Operation::Index(index))).await?;
    let mut json = Vec::new();
    match answer {
        Answer::Bytes(element) => write_item(Some(&element), &mut json),
        Answer::Nothing => {
            let message = format!("{:?} has no element at {index}", target.name);
            return Err(Failure::miss(message));
        }
        _ => return Err(Failure::unexpected()),
    }
    let shown = shown::Shown {
        bytes: json.len() + 64,
        members: |out: &mut Vec<u8>| {
            shown::write_number("index", index, out);
            shown::name_member("item", out);
            out.extend_from_slice(&json);
            out.push(b',');
        },
    };
    tell(call, target, &facts, shown)
}

async fn post<B: Incoming>(
    call: &mut Call,
    target: &Target,
    body: B,
) -> Result<Response<Body>, Failure> {
    let names = ["item", "push", "ttl", "pop", "count", "trim", "from", "to"];
    let arguments = Arguments::of(call.parts.uri.query(), &names)?;
    if let Some(from) = end(&arguments, "pop")? {
        arguments.only("pop", &["pop", "count"])?;
        no_body(&body)?;
        // One is a list, too.
        let count = Some(arguments.count("count")?.unwrap_or(1));
        let operation = of(list::Operation::Pop { end: from, count });
        let (answer, facts) = change(call, target, operation).await?;
        return Ok(confirm(call, target, &facts, shown::items(&answer)?));
    }
    if arguments.flag("trim")? {
        arguments.only("trim", &["trim", "from", "to"])?;
        no_body(&body)?;
        let operation = of(stretch(&arguments, list::Operation::Trim)?);
        let (_, facts) = change(call, target, operation).await?;
        return Ok(confirm(call, target, &facts, shown::nothing()));
    }
    arguments.only("push", &["item", "push", "ttl", "trim"])?;
    let to = end(&arguments, "push")?.unwrap_or(End::Right);
    let ttl_ms = arguments.ttl_ms()?;
    let (given, _hold) = given::read(call, body).await?;
    let elements = Addition::List(to, given::several(&arguments, given)?);
    let (length, facts) = grow::grow(call, target, elements, ttl_ms).await?;
    Ok(confirm(
        call,
        target,
        &facts,
        shown::number("length", length),
    ))
}

async fn put<B: Incoming>(
    call: &mut Call,
    target: &Target,
    body: B,
) -> Result<Response<Body>, Failure> {
    let names = ["item", "index", "replace", "ttl"];
    let arguments = Arguments::of(call.parts.uri.query(), &names)?;
    let index = arguments.integer("index")?;
    let ttl_ms = arguments.ttl_ms()?;
    match index {
        Some(_) => arguments.only("index", &["index", "item"])?,
        None if arguments.flag("replace")? => {}
        None => {
            let message = "what is to be done is not said: index replaces one element, replace all";
            return Err(Failure::bad("invalid_parameter", message));
        }
    }
    let (given, _hold) = given::read(call, body).await?;
    let mut elements = given::several(&arguments, given)?;
    let Some(index) = index else {
        let whole = Addition::List(End::Right, elements);
        let (length, facts) = grow::replace(call, target, whole, ttl_ms).await?;
        return Ok(confirm(
            call,
            target,
            &facts,
            shown::number("length", length),
        ));
    };
    let (Some(element), true) = (elements.pop(), elements.is_empty()) else {
        return Err(one_item());
    };
    let operation = of(list::Operation::Set(index, element));
    let (_, facts) = change(call, target, operation).await?;
    Ok(confirm(call, target, &facts, shown::number("index", index)))
}

async fn remove<B: Incoming>(
    call: &mut Call,
    target: Target,
    body: B,
) -> Result<Response<Body>, Failure> {
    let arguments = Arguments::of(call.parts.uri.query(), &["item", "count"])?;
    no_body(&body)?;
    if !arguments.has("item") {
        arguments.only("the whole list", &[])?;
        return delete(call, target).await;
    }
    let count = arguments.count("count")?.unwrap_or(0);
    let mut elements = given::several(&arguments, given::Given::Nothing)?;
    let (Some(element), true) = (elements.pop(), elements.is_empty()) else {
        return Err(one_item());
    };
    let operation = of(list::Operation::Remove {
        count: i64::try_from(count).unwrap_or(i64::MAX),
        element,
    });
    let (answer, facts) = change(call, &target, operation).await?;
    let removed = shown::number("removed", integer(&answer)?);
    Ok(confirm(call, &target, &facts, removed))
}

fn of(operation: list::Operation) -> Operation {
    Operation::List(operation)
}

fn one_item() -> Failure {
    Failure::bad("invalid_value", "this takes one item")
}

/// An operation on the elements from one place to another; all, if none is named.
fn stretch(
    arguments: &Arguments,
    operation: impl FnOnce(i64, i64) -> list::Operation,
) -> Result<list::Operation, Failure> {
    let from = arguments.integer("from")?.unwrap_or(0);
    let to = arguments.integer("to")?.unwrap_or(-1);
    Ok(operation(from, to))
}

fn end(arguments: &Arguments, name: &str) -> Result<Option<End>, Failure> {
    match arguments.one(name)? {
        None => Ok(None),
        Some("left") => Ok(Some(End::Left)),
        Some("right") => Ok(Some(End::Right)),
        Some(other) => Err(invalid(name, "is left or right", other)),
    }
}
