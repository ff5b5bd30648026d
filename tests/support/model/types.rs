//! The operations of each type.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use super::super::vocabulary::{Answer, End, Op, Refused, Text, Value};
use super::After;

type Done = Result<(After, Answer), Refused>;

pub(super) fn of_type(value: Option<&Value>, op: &Op) -> Done {
    match op {
        Op::Read
        | Op::Length
        | Op::Range(..)
        | Op::Append(_)
        | Op::SetRange(..)
        | Op::Exchange(_)
        | Op::Take
        | Op::IncrementFloat(_) => string(value, op),
        Op::Count | Op::Increment(_) => counter(value, op),
        Op::IsSet => match value {
            None => read(Answer::Flag(false)),
            Some(Value::Flag(flag)) => read(Answer::Flag(*flag)),
            Some(_) => Err(Refused::WrongType),
        },
        Op::Members | Op::Contains(_) | Op::Size | Op::AddMembers(_) | Op::RemoveMembers(_) => {
            match value {
                None => set(BTreeSet::new(), op),
                Some(Value::Set(members)) => set(members.clone(), op),
                Some(_) => Err(Refused::WrongType),
            }
        }
        Op::Fields
        | Op::Field(_)
        | Op::HasField(_)
        | Op::FieldCount
        | Op::SetFields(_)
        | Op::SetNewField(..)
        | Op::RemoveFields(_)
        | Op::IncrementField(..) => match value {
            None => hash(BTreeMap::new(), op),
            Some(Value::Hash(fields)) => hash(fields.clone(), op),
            Some(_) => Err(Refused::WrongType),
        },
        Op::Document
        | Op::SetDocument(_)
        | Op::Member(_)
        | Op::Merge(_)
        | Op::SetMember(..)
        | Op::RemoveMember(_)
        | Op::IncrementMember(..)
        | Op::AppendMember(..) => match value {
            None => document(None, op),
            Some(Value::Json(document)) => self::document(Some(document), op),
            Some(_) => Err(Refused::WrongType),
        },
        _ => match value {
            None => list(Vec::new(), op),
            Some(Value::List(elements)) => list(elements.clone(), op),
            Some(_) => Err(Refused::WrongType),
        },
    }
}

fn read(answer: Answer) -> Done {
    Ok((After::Same, answer))
}

fn integer(number: usize) -> Answer {
    Answer::Integer(number as i64)
}

/// The bytes of a string; a counter is its decimal text.
fn text(value: Option<&Value>) -> Result<Option<Vec<u8>>, Refused> {
    match value {
        None => Ok(None),
        Some(Value::Bytes(bytes)) => Ok(Some(bytes.0.clone())),
        Some(Value::Counter(number)) => Ok(Some(number.to_string().into())),
        Some(_) => Err(Refused::WrongType),
    }
}

fn string(value: Option<&Value>, op: &Op) -> Done {
    let present = text(value)?;
    let found = || {
        present
            .clone()
            .map_or(Answer::Nothing, |b| Answer::Bytes(Text(b)))
    };
    let bytes = present.clone().unwrap_or_default();
    let put = |bytes: Vec<u8>| {
        let length = integer(bytes.len());
        Ok((After::Changed(Value::Bytes(Text(bytes))), length))
    };
    match op {
        Op::Read => read(found()),
        Op::Length => read(integer(bytes.len())),
        Op::Range(first, last) => {
            let length = bytes.len() as i64;
            let place = |place: i64| {
                if place < 0 {
                    (place + length).max(0)
                } else {
                    place
                }
            };
            let is_none = *first < 0 && *last < 0 && first > last;
            let (first, last) = (place(*first), place(*last).min(length - 1));
            let stretch = match first <= last && !is_none {
                true => bytes[first as usize..=last as usize].to_vec(),
                false => Vec::new(),
            };
            read(Answer::Bytes(Text(stretch)))
        }
        Op::Append(more) if more.0.is_empty() && present.is_some() => read(integer(bytes.len())),
        Op::Append(more) => put([bytes, more.0.clone()].concat()),
        Op::SetRange(_, part) if part.0.is_empty() => read(integer(bytes.len())),
        Op::SetRange(at, part) => {
            let (at, mut bytes) = (*at as usize, bytes);
            bytes.resize(bytes.len().max(at + part.0.len()), 0);
            bytes[at..at + part.0.len()].copy_from_slice(&part.0);
            put(bytes)
        }
        Op::Exchange(new) => Ok((After::Written(Value::Bytes(new.clone()), None), found())),
        Op::Take if present.is_none() => read(Answer::Nothing),
        Op::Take => Ok((After::Gone, found())),
        Op::IncrementFloat(by) => {
            let before = present.as_deref().unwrap_or(b"0");
            let sum = sum(before, by.as_bytes()).ok_or(Refused::NotANumber)?;
            let value = Value::Bytes(sum.clone());
            Ok((After::Changed(value), Answer::Bytes(sum)))
        }
        _ => unreachable!("{op:?}"),
    }
}

/// The sum of two decimal numbers of so few digits that it is exact.
fn sum(a: &[u8], b: &[u8]) -> Option<Text> {
    let ((a, a_places), (b, b_places)) = (scaled(a)?, scaled(b)?);
    let places = a_places.max(b_places);
    let align = |number: i128, from: u32| number * 10_i128.pow(places - from);
    let sum = align(a, a_places) + align(b, b_places);
    let sign = if sum < 0 { "-" } else { "" };
    let (whole, part) = (
        sum.abs() / 10_i128.pow(places),
        sum.abs() % 10_i128.pow(places),
    );
    let text = match places {
        0 => format!("{sign}{whole}"),
        _ => format!("{sign}{whole}.{part:0width$}", width = places as usize),
    };
    let text = match places {
        0 => &text[..],
        _ => text.trim_end_matches('0').trim_end_matches('.'),
    };
    Some(Text::from(text))
}

/// A number as a whole one, and how many of its digits are places behind the point.
fn scaled(text: &[u8]) -> Option<(i128, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(part) {
        return None;
    }
    let number: i128 = format!("{whole}{part}").parse().ok()?;
    let places = part.len() as u32;
    Some((if is_negative { -number } else { number }, places))
}

/// A whole number in its one spelling.
fn whole(text: &[u8]) -> Result<i64, Refused> {
    let text = std::str::from_utf8(text).map_err(|_| Refused::NotANumber)?;
    let number: i64 = text.parse().map_err(|_| Refused::NotANumber)?;
    match number.to_string() == text {
        true => Ok(number),
        false => Err(Refused::NotANumber),
    }
}

fn counter(value: Option<&Value>, op: &Op) -> Done {
    let number = text(value)?.map_or(Ok(0), |text| whole(&text))?;
    match op {
        Op::Count => read(Answer::Integer(number)),
        Op::Increment(by) => {
            let sum = number.checked_add(*by).ok_or(Refused::Overflow)?;
            Ok((After::Changed(Value::Counter(sum)), Answer::Integer(sum)))
        }
        _ => unreachable!("{op:?}"),
    }
}

fn set(mut members: BTreeSet<Text>, op: &Op) -> Done {
    let before = members.len();
    match op {
        Op::Members => return read(Answer::Members(members)),
        Op::Contains(these) => {
            let contained = these.iter().map(|member| members.contains(member));
            return read(Answer::Contained(contained.collect()));
        }
        Op::Size => return read(integer(before)),
        Op::AddMembers(these) => members.extend(these.iter().cloned()),
        Op::RemoveMembers(these) => members.retain(|member| !these.contains(member)),
        _ => unreachable!("{op:?}"),
    }
    let changed = integer(members.len().abs_diff(before));
    Ok(match members.len() {
        after if after == before => (After::Same, changed),
        0 => (After::Gone, changed),
        _ => (After::Changed(Value::Set(members)), changed),
    })
}

fn hash(mut fields: BTreeMap<Text, Text>, op: &Op) -> Done {
    let before = fields.len();
    match op {
        Op::Fields => read(Answer::Fields(fields)),
        Op::Field(field) => {
            let value = fields.get(field).cloned();
            read(value.map_or(Answer::Nothing, Answer::Bytes))
        }
        Op::HasField(field) => read(Answer::Integer(fields.contains_key(field).into())),
        Op::FieldCount => read(integer(before)),
        Op::SetFields(pairs) => {
            fields.extend(pairs.iter().cloned());
            let added = integer(fields.len() - before);
            Ok((After::Changed(Value::Hash(fields)), added))
        }
        Op::SetNewField(field, _) if fields.contains_key(field) => read(Answer::Integer(0)),
        Op::SetNewField(field, value) => {
            fields.insert(field.clone(), value.clone());
            Ok((After::Changed(Value::Hash(fields)), Answer::Integer(1)))
        }
        Op::RemoveFields(these) => {
            fields.retain(|field, _| !these.contains(field));
            let removed = integer(before - fields.len());
            Ok(match fields.len() {
                after if after == before => (After::Same, removed),
                0 => (After::Gone, removed),
                _ => (After::Changed(Value::Hash(fields)), removed),
            })
        }
        Op::IncrementField(field, by) => {
            let number = fields.get(field).map_or(Ok(0), |text| whole(&text.0))?;
            let sum = number.checked_add(*by).ok_or(Refused::Overflow)?;
            fields.insert(field.clone(), Text::from(sum.to_string()));
            Ok((After::Changed(Value::Hash(fields)), Answer::Integer(sum)))
        }
        _ => unreachable!("{op:?}"),
    }
}

/// The place that a number stands for.
fn place(length: usize, place: i64) -> Option<usize> {
    let place = if place < 0 {
        place + length as i64
    } else {
        place
    };
    usize::try_from(place).ok().filter(|place| *place < length)
}

/// From one place to another.
fn stretch(length: usize, first: i64, last: i64) -> std::ops::Range<usize> {
    let place = |place: i64| {
        if place < 0 {
            place + length as i64
        } else {
            place
        }
    };
    let first = place(first).clamp(0, length as i64) as usize;
    let end = (place(last) + 1).clamp(0, length as i64) as usize;
    first..end.max(first)
}

fn list(mut elements: Vec<Text>, op: &Op) -> Done {
    let length = elements.len();
    let answer = match op {
        Op::Elements(first, last) => {
            let some = elements[stretch(length, *first, *last)].to_vec();
            return read(Answer::List(some));
        }
        Op::Element(at) => {
            let element = place(length, *at).map(|at| elements[at].clone());
            return read(element.map_or(Answer::Nothing, Answer::Bytes));
        }
        Op::ListLength => return read(integer(length)),
        Op::PushMore(..) if length == 0 => return read(Answer::Integer(0)),
        Op::Push(end, new) | Op::PushMore(end, new) => {
            for element in new {
                let at = if *end == End::Left { 0 } else { elements.len() };
                elements.insert(at, element.clone());
            }
            integer(elements.len())
        }
        Op::Pop(end, count) => {
            let count = (*count as usize).min(length);
            let taken = match end {
                End::Left => elements.drain(..count).collect(),
                End::Right => elements.drain(length - count..).rev().collect(),
            };
            Answer::List(taken)
        }
        Op::SetElement(..) if length == 0 => return Err(Refused::NoSuchKey),
        Op::SetElement(at, element) => {
            let at = place(length, *at).ok_or(Refused::OutOfRange)?;
            elements[at] = element.clone();
            let after = After::Changed(Value::List(elements));
            return Ok((after, Answer::Done));
        }
        Op::Insert(..) if length == 0 => return read(Answer::Nothing),
        Op::Insert(pivot, element) => {
            let Some(at) = elements.iter().position(|present| present == pivot) else {
                return read(Answer::Nothing);
            };
            elements.insert(at, element.clone());
            integer(elements.len())
        }
        Op::RemoveElements(count, element) => {
            let mut left = match count.unsigned_abs() {
                0 => u64::MAX,
                count => count,
            };
            let mut keep = |present: &Text| {
                let goes = present == element && left > 0;
                left -= u64::from(goes);
                !goes
            };
            if *count < 0 {
                elements.reverse();
                elements.retain(&mut keep);
                elements.reverse();
            } else {
                elements.retain(&mut keep);
            }
            integer(length - elements.len())
        }
        Op::Trim(first, last) => {
            elements = elements[stretch(length, *first, *last)].to_vec();
            Answer::Done
        }
        Op::Rotate(..) if length == 0 => return read(Answer::Nothing),
        Op::Rotate(from, to) => {
            let at = if *from == End::Left { 0 } else { length - 1 };
            let element = elements.remove(at);
            let at = if *to == End::Left { 0 } else { length - 1 };
            elements.insert(at, element.clone());
            // It counts as a write, also if nothing has moved.
            let after = After::Changed(Value::List(elements));
            return Ok((after, Answer::Bytes(element)));
        }
        _ => unreachable!("{op:?}"),
    };
    Ok(match elements.len() {
        after if after == length => (After::Same, answer),
        0 => (After::Gone, answer),
        _ => (After::Changed(Value::List(elements)), answer),
    })
}

/// RFC 7396.
fn merge(target: &mut Json, patch: &Json) {
    let Json::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let members = target.as_object_mut().unwrap();
    for (name, value) in patch {
        if value.is_null() {
            members.remove(name);
        } else {
            merge(members.entry(name.clone()).or_insert(Json::Null), value);
        }
    }
}

fn document(present: Option<&Json>, op: &Op) -> Done {
    let member = |name: &str| present.and_then(|document| document.get(name));
    let changed = |document: Json| After::Changed(Value::Json(document));
    let with = |name: &str, value: Json| {
        let mut document = present.cloned().unwrap_or_default();
        document[name] = value;
        changed(document)
    };
    match op {
        Op::Document => read(present.cloned().map_or(Answer::Nothing, Answer::Json)),
        Op::Member(name) => read(match present {
            None => Answer::Nothing,
            Some(_) => Answer::Json(member(name).into_iter().cloned().collect()),
        }),
        Op::SetDocument(new) => Ok((changed(new.clone()), Answer::Done)),
        Op::Merge(patch) => {
            let mut document = present.cloned().unwrap_or_else(|| json!({}));
            merge(&mut document, patch);
            Ok((changed(document), Answer::Done))
        }
        Op::SetMember(..) if present.is_none() => Err(Refused::Mismatch),
        Op::SetMember(name, value) => match present.is_some_and(Json::is_object) {
            true => Ok((with(name, value.clone()), Answer::Done)),
            false => read(Answer::Nothing),
        },
        Op::RemoveMember(name) if member(name).is_none() => read(Answer::Integer(0)),
        Op::RemoveMember(name) => {
            let mut document = present.cloned().unwrap_or_default();
            let members = document.as_object_mut();
            members.map(|members| members.remove(*name));
            Ok((changed(document), Answer::Integer(1)))
        }
        Op::IncrementMember(..) | Op::AppendMember(..) if present.is_none() => {
            Err(Refused::NoSuchKey)
        }
        Op::IncrementMember(name, by) => match member(name) {
            None => read(Answer::Json(json!([]))),
            Some(value) => match value.as_number().and_then(serde_json::Number::as_i128) {
                None => read(Answer::Json(json!([null]))),
                Some(number) => {
                    let sum = number + i128::from(*by);
                    if sum < i64::MIN.into() || sum > u64::MAX.into() {
                        return Err(Refused::Overflow);
                    }
                    let number = i64::try_from(sum).map(Json::from);
                    let sum = number.unwrap_or_else(|_| Json::from(sum as u64));
                    Ok((with(name, sum.clone()), Answer::Json(json!([sum]))))
                }
            },
        },
        Op::AppendMember(name, value) => match member(name) {
            None => read(Answer::Json(json!([]))),
            Some(Json::Array(array)) => {
                let mut array = array.clone();
                array.push(value.clone());
                let length = array.len();
                Ok((with(name, array.into()), Answer::Json(json!([length]))))
            }
            Some(_) => read(Answer::Json(json!([null]))),
        },
        _ => unreachable!("{op:?}"),
    }
}
