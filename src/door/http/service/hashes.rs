//! Hashes: `/hashes/{key}`.
//!
//! ```text
//! GET                      all fields and values   ?field=f            the value of one
//!                          ?length                 ?field=f&field=g    the values of several
//!                          ?names                  the fields alone
//! PUT    ?field=f&value=v  set one; the value may be the body
//!        {"f":"v","g":"w"} set several             ?replace, and body  make it these
//!        ?field=f&increment=5                      add to a number
//! DELETE ?field=f          remove                  (no field)          remove the hash
//! ```

use std::collections::HashSet;

use bytes::Bytes;
use http::{Method, Response};

use super::super::body::{Body, Incoming};
use super::super::failure::Failure;
use super::super::front::Call;
use super::arguments::{Arguments, fraction};
use super::given::{self, Given};
use super::grow::{self, Addition};
use super::shown::{self, Shown, name_member, write_item};
use super::{
    Target, ask, change, confirm, delete, integer, is_read, items, no_body, tell, whole_of,
};
use crate::command::{Answer, Entry, Kind, Operation, counter, hash, show};

pub(super) async fn answer<B: Incoming>(
    call: &mut Call,
    target: Target,
    body: B,
) -> Result<Response<Body>, Failure> {
    if is_read(call) {
        return read(call, &target).await;
    }
    match call.parts.method {
        Method::DELETE => remove(call, target, body).await,
        _ => put(call, &target, body).await,
    }
}

async fn read(call: &mut Call, target: &Target) -> Result<Response<Body>, Failure> {
    let arguments = Arguments::of(call.parts.uri.query(), &["field", "length", "names"])?;
    if arguments.has("field") {
        arguments.only("field", &["field"])?;
        return read_some(call, target, &arguments).await;
    }
    if arguments.flag("length")? {
        arguments.only("length", &["length"])?;
        let (answer, facts) = ask(call, target, of(hash::Operation::Length)).await?;
        return tell(
            call,
            target,
            &facts,
            shown::number("length", integer(&answer)?),
        );
    }
    let wants_names = arguments.flag("names")?;
    let (entry, facts) = whole_of(call, target, Kind::Hash).await?;
    if wants_names {
        return tell(call, target, &facts, names(entry.as_ref()));
    }
    let all = shown::collection("fields", "{}", entry.as_ref());
    tell(call, target, &facts, all)
}

/// The fields without their values.
fn names(entry: Option<&Entry>) -> Shown<impl FnOnce(&mut Vec<u8>)> {
    let view = entry.map(|entry| entry.as_ref().view());
    let fields = move || view.into_iter().flat_map(|view| view.items());
    let bytes = fields().map(|(field, _)| show::bytes_length(field) + 1);
    Shown {
        bytes: bytes.sum::<usize>() + "\"names\":[],".len(),
        members: move |out: &mut Vec<u8>| {
            name_member("names", out);
            out.push(b'[');
            for (place, (field, _)) in fields().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                show::write_bytes(field, out);
            }
            out.extend_from_slice(b"],");
        },
    }
}

/// The values of the fields that the query names.
async fn read_some(
    call: &mut Call,
    target: &Target,
    arguments: &Arguments,
) -> Result<Response<Body>, Failure> {
    let mut seen = HashSet::new();
    let names = arguments.all("field").filter(|name| seen.insert(*name));
    let names: Vec<&str> = names.collect();
    let fields = names.iter().map(|name| field(name));
    let operation = of(hash::Operation::GetMany(fields.collect::<Result<_, _>>()?));
    let (answer, facts) = ask(call, target, operation).await?;
    let Answer::List(values) = answer else {
        return Err(Failure::unexpected());
    };
    if let ([name], [value]) = (&names[..], &values[..]) {
        let Some(value) = value else {
            let message = format!("{:?} has no field {name:?}", target.name);
            return Err(Failure::miss(message));
        };
        let mut json = Vec::with_capacity(show::bytes_length(value));
        write_item(Some(value), &mut json);
        let one = shown::found(("field", "value"), name, &json);
        return tell(call, target, &facts, one);
    }
    let length =
        |value: &Option<Bytes>| value.as_ref().map_or(4, |value| show::bytes_length(value));
    let bytes = names.iter().zip(&values);
    let bytes = bytes.map(|(name, value)| show::bytes_length(name.as_bytes()) + length(value) + 2);
    let shown = Shown {
        bytes: bytes.sum::<usize>() + "\"fields\":{},".len(),
        members: |out: &mut Vec<u8>| {
            name_member("fields", out);
            let mut open = b'{';
            for (name, value) in names.iter().zip(&values) {
                out.push(open);
                name_member(name, out);
                write_item(value.as_deref(), out);
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
    let names = ["field", "value", "increment", "ttl", "replace"];
    let arguments = Arguments::of(call.parts.uri.query(), &names)?;
    if arguments.has("increment") {
        arguments.only("increment", &["field", "increment"])?;
        no_body(&body)?;
        return increment(call, target, &arguments).await;
    }
    let ttl_ms = arguments.ttl_ms()?;
    let replaces = arguments.flag("replace")?;
    let (given, _hold) = given::read(call, body).await?;
    let fields = Addition::Hash(pairs(&arguments, given)?);
    let (name, (count, facts)) = if replaces {
        ("length", grow::replace(call, target, fields, ttl_ms).await?)
    } else {
        ("added", grow::grow(call, target, fields, ttl_ms).await?)
    };
    Ok(confirm(call, target, &facts, shown::number(name, count)))
}

/// The fields and values that a request gives.
fn pairs(arguments: &Arguments, given: Given) -> Result<Vec<(Bytes, Bytes)>, Failure> {
    let value = arguments.one("value")?;
    let twice = || {
        let message = "a value is given in the query and in the body";
        Failure::bad("repeated_parameter", message)
    };
    let missing = || Failure::bad("invalid_value", "no value supplied");
    match (arguments.one("field")?, value, given) {
        (Some(name), Some(value), Given::Nothing) => Ok(vec![(
            field(name)?,
            Bytes::copy_from_slice(value.as_bytes()),
        )]),
        (Some(name), None, Given::Bytes(value)) => Ok(vec![(field(name)?, value)]),
        (Some(name), None, Given::Json(text)) => Ok(vec![(field(name)?, items::item(&text)?)]),
        (Some(_), None, Given::Nothing) => Err(missing()),
        (None, None, Given::Json(text)) => items::pairs(&text),
        (None, None, _) | (None, Some(_), Given::Nothing) => Err(no_field()),
        (_, Some(_), _) => Err(twice()),
    }
}

async fn increment(
    call: &mut Call,
    target: &Target,
    arguments: &Arguments,
) -> Result<Response<Body>, Failure> {
    let name = arguments.one("field")?.ok_or_else(no_field)?;
    let by = arguments.one("increment")?.unwrap_or_default();
    let field = field(name)?;
    let operation = match counter::parse(by.as_bytes()) {
        Some(by) => hash::Operation::Increment(field, by),
        None => hash::Operation::IncrementFloat(field, fraction("increment", by)?),
    };
    let (answer, facts) = change(call, target, of(operation)).await?;
    let sum = match answer {
        Answer::Integer(sum) => counter::text(sum),
        Answer::Bytes(sum) => sum,
        _ => return Err(Failure::unexpected()),
    };
    let shown = shown::found(("field", "value"), name, &sum);
    Ok(confirm(call, target, &facts, shown))
}

async fn remove<B: Incoming>(
    call: &mut Call,
    target: Target,
    body: B,
) -> Result<Response<Body>, Failure> {
    let arguments = Arguments::of(call.parts.uri.query(), &["field"])?;
    no_body(&body)?;
    if !arguments.has("field") {
        return delete(call, target).await;
    }
    let fields = arguments.all("field").map(field);
    let operation = of(hash::Operation::Remove(fields.collect::<Result<_, _>>()?));
    let (answer, facts) = change(call, &target, operation).await?;
    let removed = shown::number("removed", integer(&answer)?);
    Ok(confirm(call, &target, &facts, removed))
}

fn of(operation: hash::Operation) -> Operation {
    Operation::Hash(operation)
}

fn field(name: &str) -> Result<Bytes, Failure> {
    // A body can say that an empty one is meant; in the query it is more likely a mistake.
    if name.is_empty() {
        return Err(no_field());
    }
    Ok(Bytes::copy_from_slice(name.as_bytes()))
}

fn no_field() -> Failure {
    Failure::bad("invalid_value", "no field specified")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str, given: Given) -> Result<Vec<(Bytes, Bytes)>, &'static str> {
        let arguments = Arguments::of(Some(query), &["field", "value"]).unwrap();
        pairs(&arguments, given).map_err(|failure| failure.code)
    }

    #[test]
    fn fields_and_their_values() {
        let one = || Ok(vec![(Bytes::from_static(b"f"), Bytes::from_static(b"v"))]);
        let json = |text: &'static str| Given::Json(Bytes::from_static(text.as_bytes()));
        assert_eq!(read("field=f&value=v", Given::Nothing), one());
        assert_eq!(read("field=f", Given::Bytes("v".into())), one());
        assert_eq!(read("field=f", json("\"v\"")), one());
        assert_eq!(read("", json("{\"f\":\"v\"}")), one());
        for (query, given) in [
            ("", Given::Nothing),
            ("field=f", Given::Nothing),
            ("field=&value=v", Given::Nothing),
            ("value=v", Given::Nothing),
            ("", Given::Bytes("v".into())),
            ("", json("[\"f\",\"v\"]")),
            ("field=f", json("{\"f\":\"v\"}")),
        ] {
            assert_eq!(read(query, given), Err("invalid_value"), "{query}");
        }
        for given in [json("\"v\""), Given::Bytes("v".into())] {
            let twice = read("field=f&value=v", given);
            assert_eq!(twice, Err("repeated_parameter"));
        }
        let twice = read("field=f&field=g&value=v", Given::Nothing);
        assert_eq!(twice, Err("repeated_parameter"));
    }
}
