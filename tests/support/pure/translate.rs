//! The vocabulary as commands, and their replies as answers.

use bytes::Bytes;
use serde_json::{Value as Json, json};
use smache::clock::UnixMs;
use smache::command::collection::Packer;
use smache::command::json::operation as document;
use smache::command::json::path;
use smache::command::{
    self, Command, Condition, Error, Expiry, Kind, Operation, Reply, hash, lifetime, list, set,
    show, string,
};
use smache::key::{KEY_BYTES_MAX, Key};

use super::super::vocabulary::{Answer, End, Op, Refused, Text, Value};

fn bytes(text: &Text) -> Bytes {
    Bytes::copy_from_slice(&text.0)
}

fn all(texts: &[Text]) -> Vec<Bytes> {
    texts.iter().map(bytes).collect()
}

fn end(end: End) -> list::End {
    match end {
        End::Left => list::End::Left,
        End::Right => list::End::Right,
    }
}

fn json(value: &Json) -> Bytes {
    value.to_string().into()
}

fn packed<'a>(count: usize, items: impl Iterator<Item = &'a Text>) -> Bytes {
    let mut packer = Packer::new(count);
    items.for_each(|item| packer.push(&item.0));
    packer.finish()
}

/// A value in its stored form.
fn stored(value: &Value) -> (Kind, Bytes) {
    match value {
        Value::Json(document) => (Kind::Json, json(document)),
        Value::Counter(number) => (Kind::Counter, command::counter::text(*number)),
        Value::Bytes(text) => (Kind::Bytes, bytes(text)),
        Value::Flag(flag) => (Kind::Flag, flag.to_string().into()),
        Value::Set(members) => (Kind::Set, packed(members.len(), members.iter())),
        Value::Hash(pairs) => {
            let items = pairs.iter().flat_map(|(field, value)| [field, value]);
            (Kind::Hash, packed(pairs.len(), items))
        }
        Value::List(elements) => (Kind::List, packed(elements.len(), elements.iter())),
    }
}

/// The command that does this. `None` if there is none.
pub(super) fn command(key: &Text, op: &Op, now_ms: u64) -> Option<Command> {
    let key = Key::new(key.0.clone(), KEY_BYTES_MAX).unwrap();
    let put = |value: &Value, ttl_ms: Option<u64>, condition: Condition| {
        let (kind, data) = stored(value);
        Some(Command::Put {
            key: key.clone(),
            kind,
            data,
            ttl_ms,
            condition,
        })
    };
    match op {
        Op::Put(value, ttl_ms) => return put(value, *ttl_ms, Condition::None),
        Op::Create(value) => return put(value, None, Condition::Absent),
        Op::Replace(..) => return None,
        Op::Delete => {
            let condition = Condition::None;
            return Some(Command::Delete { key, condition });
        }
        Op::Increment(by) => {
            return Some(Command::Increment {
                key,
                by: *by,
                ttl_ms: None,
                condition: Condition::None,
            });
        }
        Op::Merge(patch) if patch.as_object().is_some_and(|patch| patch.len() % 2 == 0) => {
            return Some(Command::MergePatch {
                key,
                patch: json(patch),
                condition: Condition::None,
            });
        }
        Op::Read | Op::Count | Op::IsSet => return Some(Command::Get { key }),
        _ => {}
    }
    let operation = match op {
        Op::Expire(ttl_ms) => {
            // In both of the ways in which doors say it.
            let expiry = match ttl_ms % 2 {
                0 => Expiry::In(*ttl_ms),
                _ => Expiry::At(UnixMs(now_ms + ttl_ms)),
            };
            let rule = lifetime::Rule::default();
            Operation::Lifetime(lifetime::Operation::Expire(expiry, rule))
        }
        Op::Persist => Operation::Lifetime(lifetime::Operation::Persist),
        Op::Length
        | Op::Range(..)
        | Op::Append(_)
        | Op::SetRange(..)
        | Op::Exchange(_)
        | Op::Take
        | Op::IncrementFloat(_) => Operation::String(of_string(op)),
        Op::Members | Op::Contains(_) | Op::Size | Op::AddMembers(_) | Op::RemoveMembers(_) => {
            Operation::Set(of_set(op))
        }
        Op::Fields
        | Op::Field(_)
        | Op::HasField(_)
        | Op::FieldCount
        | Op::SetFields(_)
        | Op::SetNewField(..)
        | Op::RemoveFields(_)
        | Op::IncrementField(..) => Operation::Hash(of_hash(op)),
        Op::Document
        | Op::SetDocument(_)
        | Op::Member(_)
        | Op::Merge(_)
        | Op::SetMember(..)
        | Op::RemoveMember(_)
        | Op::IncrementMember(..)
        | Op::AppendMember(..) => Operation::Json(of_document(op)),
        _ => Operation::List(of_list(op)),
    };
    Some(Command::Typed {
        key,
        operation: Box::new(operation),
        condition: Condition::None,
    })
}

fn of_string(op: &Op) -> string::Operation {
    match op {
        Op::Length => string::Operation::Length,
        Op::Range(first, last) => string::Operation::Range(*first, *last),
        Op::Append(more) => string::Operation::Append(bytes(more)),
        Op::SetRange(at, part) => string::Operation::SetRange(*at, bytes(part)),
        Op::Exchange(new) => string::Operation::Set {
            data: bytes(new),
            expiry: Expiry::Never,
            only: string::Only::Always,
            answers_previous: true,
        },
        Op::Take => string::Operation::Take,
        Op::IncrementFloat(by) => {
            string::Operation::IncrementFloat(Bytes::from_static(by.as_bytes()))
        }
        _ => unreachable!("{op:?}"),
    }
}

fn of_set(op: &Op) -> set::Operation {
    match op {
        Op::Members => set::Operation::Members,
        Op::Contains(members) => set::Operation::Contains(all(members)),
        Op::Size => set::Operation::Length,
        Op::AddMembers(members) => set::Operation::Add(all(members)),
        Op::RemoveMembers(members) => set::Operation::Remove(all(members)),
        _ => unreachable!("{op:?}"),
    }
}

fn of_hash(op: &Op) -> hash::Operation {
    match op {
        Op::Fields => hash::Operation::All,
        Op::Field(field) => hash::Operation::Get(bytes(field)),
        Op::HasField(field) => hash::Operation::Contains(bytes(field)),
        Op::FieldCount => hash::Operation::Length,
        Op::SetFields(pairs) => {
            let pairs = pairs.iter().map(|(f, v)| (bytes(f), bytes(v)));
            hash::Operation::Set(pairs.collect())
        }
        Op::SetNewField(field, value) => hash::Operation::SetNew(bytes(field), bytes(value)),
        Op::RemoveFields(fields) => hash::Operation::Remove(all(fields)),
        Op::IncrementField(field, by) => hash::Operation::Increment(bytes(field), *by),
        _ => unreachable!("{op:?}"),
    }
}

fn of_list(op: &Op) -> list::Operation {
    let push = |to: &End, elements: &[Text], only_if_present| list::Operation::Push {
        end: end(*to),
        elements: all(elements),
        only_if_present,
    };
    match op {
        Op::Elements(first, last) => list::Operation::Range(*first, *last),
        Op::Element(at) => list::Operation::Index(*at),
        Op::ListLength => list::Operation::Length,
        Op::Push(to, elements) => push(to, elements, false),
        Op::PushMore(to, elements) => push(to, elements, true),
        Op::Pop(from, count) => list::Operation::Pop {
            end: end(*from),
            count: (*count != 1).then_some(*count),
        },
        Op::SetElement(at, element) => list::Operation::Set(*at, bytes(element)),
        Op::Insert(pivot, element) => list::Operation::Insert {
            before: true,
            pivot: bytes(pivot),
            element: bytes(element),
        },
        Op::RemoveElements(count, element) => list::Operation::Remove {
            count: *count,
            element: bytes(element),
        },
        Op::Trim(first, last) => list::Operation::Trim(*first, *last),
        Op::Rotate(from, to) => list::Operation::Rotate {
            from: end(*from),
            to: end(*to),
        },
        _ => unreachable!("{op:?}"),
    }
}

fn of_document(op: &Op) -> document::Operation {
    let at = |name: &str| format!("$.{name}");
    match op {
        Op::Document => document::Operation::Get { paths: Vec::new() },
        Op::SetDocument(value) => document::Operation::Set {
            path: "$".to_owned(),
            value: json(value),
            condition: path::When::Always,
        },
        Op::Member(name) => document::Operation::Get {
            paths: vec![at(name)],
        },
        Op::Merge(patch) => document::Operation::Merge {
            path: "$".to_owned(),
            patch: json(patch),
        },
        Op::SetMember(name, value) => document::Operation::Set {
            path: at(name),
            value: json(value),
            condition: path::When::Always,
        },
        Op::RemoveMember(name) => document::Operation::Delete { path: at(name) },
        Op::IncrementMember(name, by) => document::Operation::NumIncrBy {
            path: at(name),
            by: by.to_string(),
        },
        Op::AppendMember(name, value) => document::Operation::ArrAppend {
            path: at(name),
            values: vec![json(value)],
        },
        _ => unreachable!("{op:?}"),
    }
}

/// An error as the vocabulary has it.
pub(super) fn refusal(error: &Error) -> Answer {
    Answer::Refused(match error {
        Error::WrongType { .. } => Refused::WrongType,
        Error::NotANumber | Error::NotAFloat => Refused::NotANumber,
        Error::Overflow { .. } | Error::FloatOverflow => Refused::Overflow,
        Error::ValueTooLarge { .. } => Refused::TooLarge,
        Error::NoSuchKey | Error::Path(path::Error::NoDocument) => Refused::NoSuchKey,
        Error::IndexOutOfRange => Refused::OutOfRange,
        Error::Path(path::Error::NotAtRoot) => Refused::Mismatch,
        Error::Path(path::Error::Overflow) => Refused::Overflow,
        Error::Path(path::Error::ValueTooLarge { .. }) => Refused::TooLarge,
        other => panic!("{other}"),
    })
}

/// A reply as the vocabulary has it.
pub(super) fn answer(op: &Op, reply: Reply) -> Answer {
    match reply {
        Reply::Value(entry) => of_entry(op, entry.as_ref()),
        Reply::Stored { entry, .. } => match op {
            Op::Increment(_) => Answer::Integer(command::counter::parse(&entry.data).unwrap()),
            _ => Answer::Done,
        },
        Reply::Deleted(deleted) => Answer::Integer(deleted.into()),
        Reply::ConditionFailed { .. } => Answer::Refused(Refused::Condition),
        Reply::Answer { answer, .. } => of_answer(op, answer),
    }
}

fn of_entry(op: &Op, entry: Option<&command::Entry>) -> Answer {
    let current = entry.map(command::Entry::as_ref);
    let refused = |error| refusal(&error);
    match op {
        Op::Read => match string::text(current) {
            Ok(None) => Answer::Nothing,
            Ok(Some(text)) => Answer::Bytes(Text::from(text)),
            Err(error) => refused(error),
        },
        Op::Count => command::counter::value(current).map_or_else(refused, Answer::Integer),
        Op::IsSet => match entry {
            None => Answer::Flag(false),
            Some(entry) if entry.kind == Kind::Flag => Answer::Flag(&entry.data[..] == b"true"),
            Some(_) => Answer::Refused(Refused::WrongType),
        },
        _ => unreachable!("{op:?}"),
    }
}

fn of_answer(op: &Op, answer: command::Answer) -> Answer {
    use command::Answer as A;
    let text = |bytes: &Bytes| Text::from(&bytes[..]);
    match (op, answer) {
        (Op::Pop(..), A::Nothing) => Answer::List(Vec::new()),
        (Op::Pop(..), A::Bytes(one)) => Answer::List(vec![text(&one)]),
        (Op::Insert(..), A::Integer(0 | -1)) => Answer::Nothing,
        (_, A::Nothing) => Answer::Nothing,
        (_, A::Done) => Answer::Done,
        (_, A::Integer(number)) => Answer::Integer(number),
        (_, A::Bytes(bytes)) => Answer::Bytes(text(&bytes)),
        (Op::Members, A::List(items)) => {
            Answer::Members(items.iter().flatten().map(text).collect())
        }
        (_, A::List(items)) => Answer::List(items.iter().flatten().map(text).collect()),
        (_, A::Integers(numbers)) => {
            let is_one = |number: Option<i64>| number == Some(1);
            Answer::Contained(numbers.into_iter().map(is_one).collect())
        }
        (_, A::Pairs(pairs)) => {
            Answer::Fields(pairs.iter().map(|(f, v)| (text(f), text(v))).collect())
        }
        (_, A::Document(answer)) => of_part(answer),
        (op, answer) => panic!("{op:?} was answered {answer:?}"),
    }
}

fn of_part(answer: document::Answer) -> Answer {
    let parsed = |text: &[u8]| serde_json::from_slice(text).unwrap();
    match answer {
        document::Answer::Nothing => Answer::Nothing,
        document::Answer::Ok => Answer::Done,
        document::Answer::Integer(number) => Answer::Integer(number),
        document::Answer::Text(text) => Answer::Json(parsed(&text)),
        document::Answer::Numbers { sums, .. } => {
            let sum = |sum: &Option<Bytes>| sum.as_ref().map_or(Json::Null, |sum| parsed(sum));
            Answer::Json(sums.iter().map(sum).collect())
        }
        document::Answer::List(each) => {
            let number = |each: &document::Element| match each {
                document::Element::Integer(number) => json!(number),
                _ => Json::Null,
            };
            Answer::Json(each.iter().map(number).collect())
        }
        document::Answer::Names(_) => panic!("nobody asks for names"),
    }
}

/// What an entry is, as the model has it.
pub(crate) fn value(entry: &command::Entry) -> Value {
    let text = |item: &[u8]| Text::from(item);
    let view = entry.as_ref().view();
    match entry.kind {
        Kind::Json => Value::Json(serde_json::from_slice(&entry.data).unwrap()),
        Kind::Counter => Value::Counter(command::counter::parse(&entry.data).unwrap()),
        Kind::Bytes => Value::Bytes(text(&entry.data)),
        Kind::Flag => Value::Flag(&entry.data[..] == b"true"),
        Kind::Set => Value::Set(view.iter().map(|(member, _)| text(member)).collect()),
        Kind::Hash => {
            let pairs = view.iter().map(|(f, v)| (text(f), text(v.unwrap())));
            Value::Hash(pairs.collect())
        }
        Kind::List => Value::List(view.iter().map(|(element, _)| text(element)).collect()),
        Kind::Tombstone => panic!("{}", show::name(entry.kind)),
    }
}
