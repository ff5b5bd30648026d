//! The table: conversations about a key, and what every door must answer.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::vocabulary::Answer::{
    Bytes, Contained, Done, Fields, Flag, Integer, Json, List, Members, Nothing,
};
use crate::vocabulary::Refused::{
    Condition, Mismatch, NoSuchKey, NotANumber, OutOfRange, Overflow, TooLarge, WrongType,
};
use crate::vocabulary::{Answer, End, NEVER, Op, Refused, Text, Value, texts};

/// What is done, and what comes of it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) op: Op,
    pub(crate) answer: Answer,
}

/// A conversation about one key.
pub(crate) struct Talk {
    /// Whose key it is.
    pub(crate) service: &'static str,
    /// How it is called, if not by text.
    pub(crate) name: Option<&'static [u8]>,
    pub(crate) rows: Vec<Row>,
}

/// How many of [`samples`] each door offers.
pub(crate) const OFFERED: [(&str, usize); 10] = [
    ("Redis protocol, RESP2", 46),
    ("Redis protocol, RESP3", 46),
    ("Redis protocol, lines", 46),
    ("POST /command, words", 46),
    ("POST /command, text", 46),
    ("gRPC Commands", 46),
    ("HTTP /api", 5),
    ("HTTP /{key}", 4),
    ("HTTP services", 39),
    ("gRPC services", 52),
];

/// Stands for the version that the value has.
pub(crate) const PRESENT: &str = "";
const HOUR_MS: u64 = 3_600_000;
const BINARY: &[u8] = b"\xff\x00 \"'\r\n\\";

fn bytes(text: &str) -> Value {
    Value::Bytes(text.into())
}

fn set(members: &[&str]) -> BTreeSet<Text> {
    texts(members).into_iter().collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(Text, Text)> {
    let pair = |(field, value): &(&str, &str)| (Text::from(*field), Text::from(*value));
    pairs.iter().map(pair).collect()
}

fn hash(all: &[(&str, &str)]) -> BTreeMap<Text, Text> {
    pairs(all).into_iter().collect()
}

fn found(text: &str) -> Answer {
    Bytes(text.into())
}

fn list(elements: &[&str]) -> Answer {
    List(texts(elements))
}

fn no(refused: Refused) -> Answer {
    Answer::Refused(refused)
}

/// A text that is too long by this many bytes.
fn long(bytes: i64) -> Text {
    Text(vec![b'x'; (1_000 + bytes) as usize])
}

fn talk<const N: usize>(service: &'static str, rows: [(Op, Answer); N]) -> Talk {
    let row = |(op, answer)| Row { op, answer };
    Talk {
        service,
        name: None,
        rows: rows.into_iter().map(row).collect(),
    }
}

pub(crate) fn table() -> Vec<Talk> {
    vec![
        strings(),
        cached(),
        parts(),
        counters(),
        floats(),
        flags(),
        sets(),
        hashes(),
        lists(),
        more_lists(),
        documents(),
        types(),
        any_bytes(),
    ]
}

fn strings() -> Talk {
    talk(
        "kv",
        [
            (Op::Read, Nothing),
            (Op::Delete, Integer(0)),
            (Op::Expire(HOUR_MS), Integer(0)),
            (Op::Persist, Integer(0)),
            (Op::Put(bytes("a \"b\" \u{e9}"), None), Done),
            (Op::Read, found("a \"b\" \u{e9}")),
            (Op::Persist, Integer(0)),
            (Op::Create(bytes("b")), no(Condition)),
            (Op::Replace(bytes("b"), NEVER.into()), no(Condition)),
            (Op::Expire(HOUR_MS), Integer(1)),
            (Op::Replace(bytes("b"), PRESENT.into()), Done),
            (Op::Expire(HOUR_MS), Integer(1)),
            (Op::Persist, Integer(1)),
            (Op::Put(bytes("b"), Some(HOUR_MS)), Done),
            (Op::Put(bytes("c"), None), Done),
            (Op::Put(bytes(""), Some(2 * HOUR_MS)), Done),
            (Op::Read, found("")),
            (Op::Put(Value::Bytes(long(1)), None), no(TooLarge)),
            (Op::Create(Value::Bytes(long(1))), no(TooLarge)),
            (Op::Put(Value::Bytes(long(0)), None), Done),
            (Op::Delete, Integer(1)),
            (Op::Read, Nothing),
            (Op::Replace(bytes("b"), NEVER.into()), no(Condition)),
            (Op::Create(Value::Bytes(Text::from(BINARY))), Done),
            (Op::Read, Bytes(Text::from(BINARY))),
            (Op::Count, no(NotANumber)),
            (Op::Increment(1), no(NotANumber)),
        ],
    )
}

fn cached() -> Talk {
    talk(
        "cache",
        [
            (Op::Read, Nothing),
            (Op::Put(bytes("a"), Some(HOUR_MS)), Done),
            (Op::Read, found("a")),
            (
                Op::Put(Value::Bytes(Text::from(BINARY)), Some(2 * HOUR_MS)),
                Done,
            ),
            (Op::Read, Bytes(Text::from(BINARY))),
            (Op::Put(Value::Bytes(long(1)), Some(HOUR_MS)), no(TooLarge)),
            (Op::Delete, Integer(1)),
            (Op::AddMembers(texts(&["m"])), Integer(1)),
            (Op::Read, no(WrongType)),
            (Op::Put(bytes("b"), Some(HOUR_MS)), Done),
            (Op::Increment(1), no(NotANumber)),
        ],
    )
}

fn parts() -> Talk {
    talk(
        "kv",
        [
            (Op::Length, Integer(0)),
            (Op::Range(0, -1), found("")),
            (Op::Take, Nothing),
            (Op::Append("ab".into()), Integer(2)),
            (Op::Append("".into()), Integer(2)),
            (Op::Expire(HOUR_MS), Integer(1)),
            (Op::Append("cd".into()), Integer(4)),
            (Op::Range(-3, 2), found("bc")),
            (Op::SetRange(5, "z".into()), Integer(6)),
            (Op::Read, Bytes(Text::from(&b"abcd\x00z"[..]))),
            (Op::Length, Integer(6)),
            (Op::Append(long(0)), no(TooLarge)),
            (Op::SetRange(1_000, "z".into()), no(TooLarge)),
            (
                Op::Exchange("new".into()),
                Bytes(Text::from(&b"abcd\x00z"[..])),
            ),
            (Op::Take, found("new")),
            (Op::Exchange("newer".into()), Nothing),
            (Op::Read, found("newer")),
        ],
    )
}

fn counters() -> Talk {
    talk(
        "counters",
        [
            (Op::Count, Integer(0)),
            (Op::Increment(5), Integer(5)),
            (Op::Expire(HOUR_MS), Integer(1)),
            (Op::Increment(-12), Integer(-7)),
            (Op::Count, Integer(-7)),
            (Op::Read, found("-7")),
            (Op::Length, Integer(2)),
            (Op::Increment(i64::MIN), no(Overflow)),
            (Op::Increment(i64::MAX), Integer(i64::MAX - 7)),
            (Op::Increment(7), Integer(i64::MAX)),
            (Op::Increment(1), no(Overflow)),
            (Op::Put(Value::Counter(3), None), Done),
            (Op::Increment(0), Integer(3)),
            (Op::Append("0".into()), Integer(2)),
            (Op::Increment(1), Integer(31)),
            (Op::SetRange(1, "x".into()), Integer(2)),
            (Op::Increment(1), no(NotANumber)),
            (Op::IncrementFloat("0.5"), no(NotANumber)),
            (Op::Delete, Integer(1)),
            (Op::Count, Integer(0)),
        ],
    )
}

fn floats() -> Talk {
    talk(
        "counters",
        [
            (Op::IncrementFloat("0.1"), found("0.1")),
            (Op::IncrementFloat("0.2"), found("0.3")),
            (Op::Increment(1), no(NotANumber)),
            (Op::Count, no(NotANumber)),
            (Op::IncrementFloat("-1.3"), found("-1")),
            (Op::Increment(3), Integer(2)),
        ],
    )
}

fn flags() -> Talk {
    talk(
        "flags",
        [
            (Op::IsSet, Flag(false)),
            (Op::Put(Value::Flag(true), Some(HOUR_MS)), Done),
            (Op::IsSet, Flag(true)),
            (Op::Create(Value::Flag(false)), no(Condition)),
            (Op::Persist, Integer(1)),
            (Op::Put(Value::Flag(false), None), Done),
            (Op::IsSet, Flag(false)),
            (Op::Increment(1), no(WrongType)),
            (Op::Delete, Integer(1)),
            (Op::Create(Value::Flag(true)), Done),
        ],
    )
}

fn sets() -> Talk {
    talk(
        "sets",
        [
            (Op::Members, Members(set(&[]))),
            (Op::Size, Integer(0)),
            (Op::RemoveMembers(texts(&["a"])), Integer(0)),
            (
                Op::Contains(texts(&["a", "b"])),
                Contained(vec![false, false]),
            ),
            (Op::AddMembers(texts(&["b", "a", "b"])), Integer(2)),
            (Op::AddMembers(texts(&["a"])), Integer(0)),
            (Op::Expire(HOUR_MS), Integer(1)),
            (
                Op::AddMembers(vec!["".into(), Text::from(BINARY)]),
                Integer(2),
            ),
            (Op::Size, Integer(4)),
            (
                Op::Contains(texts(&["x", "a", ""])),
                Contained(vec![false, true, true]),
            ),
            (Op::AddMembers(vec![long(0)]), no(TooLarge)),
            (Op::RemoveMembers(texts(&["a", "x", "a"])), Integer(1)),
            (
                Op::RemoveMembers(vec!["".into(), Text::from(BINARY)]),
                Integer(2),
            ),
            (Op::Members, Members(set(&["b"]))),
            (Op::RemoveMembers(texts(&["b"])), Integer(1)),
            (Op::Size, Integer(0)),
            (Op::Put(Value::Set(set(&["p", "q"])), Some(HOUR_MS)), Done),
            (Op::Delete, Integer(1)),
        ],
    )
}

fn hashes() -> Talk {
    let field = |name: &str| Op::Field(name.into());
    talk(
        "hashes",
        [
            (Op::Fields, Fields(hash(&[]))),
            (field("f"), Nothing),
            (Op::FieldCount, Integer(0)),
            (Op::RemoveFields(texts(&["f"])), Integer(0)),
            (Op::SetFields(pairs(&[("f", "v"), ("g", "")])), Integer(2)),
            (Op::SetFields(pairs(&[("f", "w"), ("h", "7")])), Integer(1)),
            (field("f"), found("w")),
            (field("g"), found("")),
            (field("x"), Nothing),
            (Op::HasField("g".into()), Integer(1)),
            (Op::HasField("x".into()), Integer(0)),
            (Op::SetNewField("f".into(), "z".into()), Integer(0)),
            (Op::SetNewField("i".into(), "z".into()), Integer(1)),
            (Op::Expire(HOUR_MS), Integer(1)),
            (Op::IncrementField("h".into(), -9), Integer(-2)),
            (Op::IncrementField("new".into(), 4), Integer(4)),
            (Op::IncrementField("f".into(), 1), no(NotANumber)),
            (Op::IncrementField("new".into(), i64::MAX), no(Overflow)),
            (Op::SetFields(vec![("f".into(), long(0))]), no(TooLarge)),
            (Op::FieldCount, Integer(5)),
            (
                Op::SetFields(vec![(Text::from(BINARY), Text::from(BINARY))]),
                Integer(1),
            ),
            (Op::Field(Text::from(BINARY)), Bytes(Text::from(BINARY))),
            (
                Op::RemoveFields(vec![Text::from(BINARY), "f".into(), "x".into()]),
                Integer(2),
            ),
            (Op::RemoveFields(texts(&["g", "h", "i", "new"])), Integer(4)),
            (Op::Fields, Fields(hash(&[]))),
            (Op::Put(Value::Hash(hash(&[("p", "q")])), None), Done),
            (Op::Fields, Fields(hash(&[("p", "q")]))),
        ],
    )
}

fn lists() -> Talk {
    let push = |end, elements| Op::Push(end, texts(elements));
    talk(
        "lists",
        [
            (Op::Elements(0, -1), list(&[])),
            (Op::Element(0), Nothing),
            (Op::ListLength, Integer(0)),
            (Op::Pop(End::Left, 1), list(&[])),
            (Op::SetElement(0, "x".into()), no(NoSuchKey)),
            (Op::PushMore(End::Left, texts(&["x"])), Integer(0)),
            (push(End::Right, &["c", "d"]), Integer(2)),
            (push(End::Left, &["b", "a"]), Integer(4)),
            (Op::Expire(HOUR_MS), Integer(1)),
            (Op::PushMore(End::Right, texts(&["e"])), Integer(5)),
            (Op::Elements(0, -1), list(&["a", "b", "c", "d", "e"])),
            (Op::Elements(-2, 9), list(&["d", "e"])),
            (Op::Elements(3, 1), list(&[])),
            (Op::Element(-1), found("e")),
            (Op::Element(5), Nothing),
            (Op::SetElement(-5, Text::from(BINARY)), Done),
            (Op::SetElement(5, "x".into()), no(OutOfRange)),
            (Op::Element(0), Bytes(Text::from(BINARY))),
            (Op::Pop(End::Right, 2), list(&["e", "d"])),
            (Op::Pop(End::Left, 1), List(vec![Text::from(BINARY)])),
            (Op::Push(End::Right, vec![long(0)]), no(TooLarge)),
            (Op::ListLength, Integer(2)),
            (Op::Trim(0, 0), Done),
            (Op::Pop(End::Right, 9), list(&["b"])),
            (Op::ListLength, Integer(0)),
        ],
    )
}

fn more_lists() -> Talk {
    let all = || Op::Push(End::Right, texts(&["a", "b", "a", "c", "a"]));
    talk(
        "lists",
        [
            (Op::Insert("a".into(), "x".into()), Nothing),
            (Op::Rotate(End::Left, End::Right), Nothing),
            (Op::RemoveElements(0, "a".into()), Integer(0)),
            (all(), Integer(5)),
            (Op::Insert("c".into(), "".into()), Integer(6)),
            (Op::Insert("z".into(), "x".into()), Nothing),
            (Op::RemoveElements(-2, "a".into()), Integer(2)),
            (Op::Elements(0, -1), list(&["a", "b", "", "c"])),
            (Op::Rotate(End::Right, End::Left), found("c")),
            (Op::Rotate(End::Left, End::Left), found("c")),
            (Op::Elements(0, -1), list(&["c", "a", "b", ""])),
            (Op::RemoveElements(0, "z".into()), Integer(0)),
            (Op::Trim(1, -2), Done),
            (Op::Elements(0, -1), list(&["a", "b"])),
            (Op::Trim(5, 9), Done),
            (Op::ListLength, Integer(0)),
            (
                Op::Put(Value::List(texts(&["p", "p"])), Some(HOUR_MS)),
                Done,
            ),
            (Op::RemoveElements(0, "p".into()), Integer(2)),
            (Op::Delete, Integer(0)),
        ],
    )
}

fn documents() -> Talk {
    let document = || json!({"a": {"b": [1, null]}, "n": 1, "list": []});
    talk(
        "json",
        [
            (Op::Document, Nothing),
            (Op::Member("a"), Nothing),
            (Op::SetMember("a", json!(1)), no(Mismatch)),
            (Op::IncrementMember("n", 1), no(NoSuchKey)),
            (Op::AppendMember("list", json!(1)), no(NoSuchKey)),
            (Op::RemoveMember("a"), Integer(0)),
            (Op::Put(Value::Json(document()), Some(HOUR_MS)), Done),
            (Op::Create(Value::Json(json!({}))), no(Condition)),
            (Op::Document, Json(document())),
            (Op::Member("a"), Json(json!([{"b": [1, null]}]))),
            (Op::Member("x"), Json(json!([]))),
            (
                Op::Replace(Value::Json(json!({})), NEVER.into()),
                no(Condition),
            ),
            (Op::Replace(Value::Json(document()), PRESENT.into()), Done),
            (Op::Expire(HOUR_MS), Integer(1)),
            (Op::Merge(json!({"a": null, "m": {"k": "v"}})), Done),
            (Op::SetMember("b", json!("\u{e9}\"")), Done),
            (Op::IncrementMember("n", 41), Json(json!([42]))),
            (Op::IncrementMember("b", 1), Json(json!([null]))),
            (
                Op::IncrementMember("n", i64::MIN),
                Json(json!([42 + i64::MIN])),
            ),
            (Op::IncrementMember("n", i64::MIN), no(Overflow)),
            (Op::AppendMember("list", json!({"x": 1})), Json(json!([1]))),
            (Op::AppendMember("m", json!(1)), Json(json!([null]))),
            (Op::RemoveMember("n"), Integer(1)),
            (Op::RemoveMember("n"), Integer(0)),
            (
                Op::Document,
                Json(json!({"m": {"k": "v"}, "b": "\u{e9}\"", "list": [{"x": 1}]})),
            ),
            (Op::SetMember("b", json!("x".repeat(1_000))), no(TooLarge)),
            (Op::SetDocument(json!(["any", 7])), Done),
            (Op::SetMember("b", json!(1)), Nothing),
            (Op::Put(Value::Json(json!({})), None), Done),
            (Op::Merge(json!({"a": 1})), Done),
            (Op::Delete, Integer(1)),
            (Op::Merge(json!({"a": 1, "b": null})), Done),
            (Op::Document, Json(json!({"a": 1}))),
        ],
    )
}

/// A whole value takes the place of any; what changes a part of one does not.
fn types() -> Talk {
    talk(
        "sets",
        [
            (Op::Push(End::Left, texts(&["e"])), Integer(1)),
            (Op::AddMembers(texts(&["m"])), no(WrongType)),
            (Op::Put(bytes("5"), None), Done),
            (Op::Members, no(WrongType)),
            (Op::Increment(1), Integer(6)),
            (Op::Contains(texts(&["m"])), no(WrongType)),
            (Op::Put(Value::Json(json!({"a": 1})), None), Done),
            (Op::RemoveMembers(texts(&["m"])), no(WrongType)),
            (Op::Exchange("x".into()), no(WrongType)),
            (Op::Put(Value::Set(set(&["m"])), Some(HOUR_MS)), Done),
            (Op::SetFields(pairs(&[("f", "v")])), no(WrongType)),
            (Op::SetDocument(json!({})), no(WrongType)),
            (Op::Members, Members(set(&["m"]))),
        ],
    )
}

/// A key that is no text, which not all doors can name.
fn any_bytes() -> Talk {
    Talk {
        name: Some(b"\xfe\x00 {\xff}\r\n\"'\\"),
        ..talk(
            "kv",
            [
                (Op::Read, Nothing),
                (Op::Put(bytes("v"), Some(HOUR_MS)), Done),
                (Op::Read, found("v")),
                (Op::Append(Text::from(BINARY)), Integer(9)),
                (Op::AddMembers(texts(&["m"])), no(WrongType)),
                (Op::Delete, Integer(1)),
                (
                    Op::SetFields(vec![(Text::from(BINARY), "v".into())]),
                    Integer(1),
                ),
                (Op::Field(Text::from(BINARY)), found("v")),
            ],
        )
    }
}

/// A value of each type.
pub(crate) fn values() -> Vec<Value> {
    vec![
        bytes("text"),
        Value::Counter(7),
        Value::Flag(true),
        Value::Set(set(&["m"])),
        Value::Hash(hash(&[("f", "v")])),
        Value::List(texts(&["e"])),
        Value::Json(json!({"a": [1]})),
    ]
}

/// Operations that make a value of nothing, whatever the key is called.
pub(crate) fn making(value: &Value) -> Vec<Op> {
    let op = match value.clone() {
        Value::Counter(number) => Op::Increment(number),
        Value::Set(members) => Op::AddMembers(members.into_iter().collect()),
        Value::Hash(pairs) => Op::SetFields(pairs.into_iter().collect()),
        Value::List(elements) => Op::Push(End::Right, elements),
        other => Op::Put(other, None),
    };
    vec![Op::Delete, op]
}

/// One of every operation.
pub(crate) fn samples() -> Vec<Op> {
    let text = || Text::from("a");
    let some = || texts(&["a"]);
    let mut samples: Vec<Op> = values()
        .into_iter()
        .map(|value| Op::Put(value, None))
        .collect();
    samples.extend(values().into_iter().map(Op::Create));
    let version = || NEVER.to_owned();
    samples.extend(
        values()
            .into_iter()
            .map(|value| Op::Replace(value, version())),
    );
    samples.extend([
        Op::Delete,
        Op::Expire(HOUR_MS),
        Op::Persist,
        Op::Read,
        Op::Length,
        Op::Range(0, 1),
        Op::Append(text()),
        Op::SetRange(1, text()),
        Op::Exchange(text()),
        Op::Take,
        Op::Count,
        Op::Increment(1),
        Op::IncrementFloat("0.5"),
        Op::IsSet,
        Op::Members,
        Op::Contains(some()),
        Op::Size,
        Op::AddMembers(some()),
        Op::RemoveMembers(some()),
        Op::Fields,
        Op::Field(text()),
        Op::HasField(text()),
        Op::FieldCount,
        Op::SetFields(vec![(text(), text())]),
        Op::SetNewField(text(), text()),
        Op::RemoveFields(some()),
        Op::IncrementField(text(), 1),
        Op::Elements(0, 1),
        Op::Element(0),
        Op::ListLength,
        Op::Push(End::Left, some()),
        Op::PushMore(End::Left, some()),
        Op::Pop(End::Left, 1),
        Op::SetElement(0, text()),
        Op::Insert(text(), text()),
        Op::RemoveElements(1, text()),
        Op::Trim(0, 1),
        Op::Rotate(End::Left, End::Right),
        Op::Document,
        Op::SetDocument(json!({})),
        Op::Member("a"),
        Op::Merge(json!({"a": 1})),
        Op::SetMember("a", json!(1)),
        Op::RemoveMember("a"),
        Op::IncrementMember("a", 1),
        Op::AppendMember("a", json!(1)),
    ]);
    samples
}
