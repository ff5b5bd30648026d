//! The bodies that the description of the API names: what is sent, and what is answered.
//!
//! None of these is ever made: doors write their answers byte by byte. They say what is in them.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

/// What is answered instead of a result.
#[derive(Serialize, ToSchema)]
pub(super) struct Failure {
    /// For programs.
    #[schema(example = "invalid_ttl")]
    error: String,
    /// For people: what is wrong, and why.
    message: String,
    /// The status of the answer, or of this element of it.
    #[schema(example = 400)]
    status: u16,
}

/// Whether handoffs to a node wait.
#[derive(Serialize, ToSchema)]
pub(super) struct Pause {
    /// `true` has them wait, `false` has them go on.
    paused: bool,
}

/// The value of a key.
#[derive(Serialize, ToSchema)]
pub(super) struct Value {
    /// The key as it was asked for.
    key: String,
    /// The path, if one was asked for; then `data` is what it selects.
    path: Option<String>,
    /// The value, byte for byte as it was written but for white space; `null` if there is none. A
    /// counter is a number.
    #[schema(value_type = Option<Object>)]
    data: Option<serde_json::Value>,
    /// What the value is, if it is no JSON document.
    #[schema(example = "counter")]
    r#type: Option<String>,
    /// The node that owns the key.
    #[schema(example = "smache@localhost")]
    node: String,
}

/// The values of several keys, in the order asked for.
#[derive(Serialize, ToSchema)]
pub(super) struct Results {
    results: Vec<ResultElement>,
}

/// One of them; `error`, `message` and `status` instead of the rest if this one failed.
#[derive(Serialize, ToSchema)]
pub(super) struct ResultElement {
    /// The key as it was asked for.
    key: String,
    #[schema(value_type = Option<Object>)]
    data: Option<serde_json::Value>,
    /// What the value is, if it is no JSON document.
    r#type: Option<String>,
    /// The node that owns the key.
    node: Option<String>,
    /// The version of the value, without quotes; absent if there is none.
    etag: Option<String>,
    /// Milliseconds left to live; absent if it lives for ever.
    ttl_ms: Option<u64>,
    error: Option<String>,
    message: Option<String>,
    status: Option<u16>,
}

/// What `GET /api` answers: for one `key` the value, for several the results.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code)]
pub(super) enum ValueOrResults {
    One(Value),
    Many(Results),
}

/// A write. Other members are refused.
#[derive(Serialize, ToSchema)]
pub(super) struct Write {
    /// A string or an integer; the integer `1` and the string `"1"` are one key.
    #[schema(example = "something")]
    key: String,
    /// Must be an object.
    #[schema(value_type = Object)]
    data: serde_json::Value,
    /// Seconds as an integer, or a duration such as `"300ms"` or `"1h"`; at most 100 years. Absent:
    /// the value lives for ever.
    #[schema(value_type = Option<String>, example = "5m")]
    ttl: Option<String>,
}

/// A JSON merge patch (RFC 7396) for the value of a key.
#[derive(Serialize, ToSchema)]
pub(super) struct Patch {
    /// A string or an integer.
    key: String,
    /// Where in the document, as a JSONPath (RFC 9535). Absent: all of it.
    path: Option<String>,
    /// The patch: an object, or with a path anything. A member that is `null` removes, others replace.
    #[schema(value_type = Object)]
    data: serde_json::Value,
}

/// The value as it is now.
#[derive(Serialize, ToSchema)]
pub(super) struct Written {
    /// With a path: the key, the path, that it was done, and the node that owns the key; no `data`.
    key: Option<String>,
    path: Option<String>,
    patched: Option<bool>,
    node: Option<String>,
    #[schema(value_type = Object)]
    data: serde_json::Value,
}

/// A key to delete, if it is not in the query.
#[derive(Serialize, ToSchema)]
pub(super) struct Delete {
    /// A string or an integer.
    key: String,
}

/// A counter.
#[derive(Serialize, ToSchema)]
pub(super) struct Counter {
    /// The key as the path names it. In the keyspace it is `counters:` and this.
    #[schema(example = "visits")]
    counter: String,
    /// The same again.
    #[schema(example = "visits")]
    key: String,
    /// What the counter stands at: a whole number of 64 bits, beyond what JavaScript counts exactly, or
    /// one with a fraction.
    #[schema(example = 42)]
    value: f64,
    /// The node that owns the key.
    #[schema(example = "smache@localhost")]
    node: String,
}

/// An addition to a counter.
#[derive(Serialize, ToSchema)]
pub(super) struct Increment {
    /// What to add; negative to subtract.
    increment: i64,
    /// Of a counter that this makes.
    ttl: Option<String>,
}

/// A string of bytes.
#[derive(Serialize, ToSchema)]
pub(super) struct Text {
    /// The key as the path names it.
    key: String,
    #[schema(inline)]
    value: Item,
    /// The node that owns the key.
    node: String,
}

/// A string to write. Other members are refused.
#[derive(Serialize, ToSchema)]
pub(super) struct WriteText {
    /// Behind `/kv` it may be called `content` instead.
    #[schema(inline)]
    value: Item,
    /// Seconds as an integer, or a duration such as `"1h"`.
    ttl: Option<String>,
}

/// Bytes: a string if they are text. On their way in also a number, which is its text.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code)]
pub(super) enum Item {
    Text(String),
    Bytes(Encoded),
}

/// Bytes that are no text.
#[derive(Serialize, ToSchema)]
pub(super) struct Encoded {
    #[schema(example = "/wA=")]
    base64: String,
}

/// A flag.
#[derive(Serialize, ToSchema)]
pub(super) struct Flag {
    /// The key as the path names it.
    key: String,
    value: bool,
    /// The node that owns the key.
    node: String,
}

/// A flag to set.
#[derive(Serialize, ToSchema)]
pub(super) struct SetFlag {
    value: bool,
    /// Seconds as an integer, or a duration such as `"1h"`.
    ttl: Option<String>,
}

/// A set; of the members between `key` and `node` those that belong to what was asked.
#[derive(Serialize, ToSchema)]
pub(super) struct Set {
    /// The key as the path names it.
    set: String,
    /// The same again.
    key: String,
    items: Option<Vec<Item>>,
    /// Which items are members.
    contains: Option<BTreeMap<String, bool>>,
    length: Option<u64>,
    /// How many members are new.
    added: Option<u64>,
    /// How many were members.
    removed: Option<u64>,
    /// The node that owns the key.
    node: String,
}

/// A hash; of the members between `key` and `node` those that belong to what was asked.
#[derive(Serialize, ToSchema)]
pub(super) struct Hash {
    /// The key as the path names it.
    hash: String,
    /// The same again.
    key: String,
    /// An object; or, if a field of the whole hash is no text, an array of pairs.
    #[schema(value_type = Option<Object>)]
    fields: Option<serde_json::Value>,
    /// The one field that was asked for.
    field: Option<String>,
    /// Its value; after an addition a number.
    value: Option<Item>,
    names: Option<Vec<Item>>,
    length: Option<u64>,
    /// How many fields are new.
    added: Option<u64>,
    /// How many fields were there.
    removed: Option<u64>,
    /// The node that owns the key.
    node: String,
}

/// Fields to set, and their values: strings, numbers or objects with the member `base64`.
#[derive(Serialize, ToSchema)]
#[schema(value_type = Object)]
#[serde(transparent)]
pub(super) struct Fields(serde_json::Value);

/// A list; of the members between `key` and `node` those that belong to what was asked.
#[derive(Serialize, ToSchema)]
pub(super) struct List {
    /// The key as the path names it.
    list: String,
    /// The same again.
    key: String,
    items: Option<Vec<Item>>,
    /// The place that was asked for.
    index: Option<i64>,
    /// The element there.
    item: Option<Item>,
    /// How many elements there are.
    length: Option<u64>,
    /// How many were removed.
    removed: Option<u64>,
    /// The node that owns the key.
    node: String,
}

/// A command of the Redis protocol.
#[derive(Serialize, ToSchema)]
pub(super) struct Command {
    /// As people type it, with quotes around words that have spaces: `HSET key field "a value"`; or an
    /// array of its words, each a string, a number or an object with the member `base64`.
    #[schema(value_type = Object, example = json!(["HSET", "key", "field", "a value"]))]
    command: serde_json::Value,
}

/// Any JSON to write. Other members are refused.
#[derive(Serialize, ToSchema)]
pub(super) struct Bare {
    /// A string or an integer.
    key: String,
    value: serde_json::Value,
    /// Seconds as an integer, or a duration such as `"300s"`.
    ttl: Option<String>,
    /// The value lives as long as the longer of this, or `ttl` if it is missing,
    #[serde(rename = "ttl-l1")]
    ttl_l1: Option<String>,
    /// and this, or `ttl` if it is missing.
    #[serde(rename = "ttl-l2")]
    ttl_l2: Option<String>,
}

/// That it was done.
#[derive(Serialize, ToSchema)]
pub(super) struct BareAnswer {
    #[schema(example = "Successfully put key something")]
    message: String,
    #[schema(example = 200)]
    status: u16,
}

/// What came of a delete.
#[derive(Serialize, ToSchema)]
pub(super) struct BareDeleted {
    key: String,
    deleted: bool,
    message: String,
    status: u16,
}

/// Whether there was something to delete.
#[derive(Serialize, ToSchema)]
pub(super) struct Deleted {
    key: String,
    deleted: bool,
}

/// One line of a batch.
#[derive(Serialize, ToSchema)]
pub(super) struct BatchLine {
    /// `get`, `put`, `patch` or `delete`; absent: `put` if there is `data`, else `get`.
    op: Option<String>,
    /// A string or an integer.
    key: String,
    /// For `put` and `patch`.
    #[schema(value_type = Option<Object>)]
    data: Option<serde_json::Value>,
    /// For `put`.
    ttl: Option<String>,
    /// As the header `If-Match`; a single version may stand without quotes.
    if_match: Option<String>,
    /// As the header `If-None-Match`.
    if_none_match: Option<String>,
}

/// The answer to one line of a batch.
#[derive(Serialize, ToSchema)]
pub(super) struct BatchAnswer {
    key: Option<String>,
    /// What the line alone would have been answered with.
    status: u16,
    /// After `get` and `patch`.
    #[schema(value_type = Option<Object>)]
    data: Option<serde_json::Value>,
    /// What the value is, if it is no JSON document.
    r#type: Option<String>,
    /// After `delete`.
    deleted: Option<bool>,
    /// The node that owns the key.
    node: Option<String>,
    /// The version of the value, without quotes.
    etag: Option<String>,
    ttl_ms: Option<u64>,
    /// Which line failed, counted from 1.
    line: Option<u64>,
    error: Option<String>,
    message: Option<String>,
}
