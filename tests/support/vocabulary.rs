//! What clients ask and are told, whatever door they use: the vocabulary of the tests that compare
//! doors with one another and with a model.
//!
//! A request is a key and an [`Op`]; what comes back is an [`Answer`] in one form, into which the
//! adapters of the doors bring what they read. The names are those of data types, not of any
//! protocol.
#![allow(dead_code, reason = "each of the tests uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value as Json;

/// Bytes that print as text.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Text(pub(crate) Vec<u8>);

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.get(40..) {
            Some(rest) => write!(
                f,
                "'{}' and {} more",
                self.0[..40].escape_ascii(),
                rest.len()
            ),
            None => write!(f, "'{}'", self.0.escape_ascii()),
        }
    }
}

impl Text {
    /// As it is, if it is text.
    pub(crate) fn utf8(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Text {
        Text(text.as_bytes().to_vec())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Text {
        Text(text.into_bytes())
    }
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Text {
        Text(bytes.to_vec())
    }
}

/// Several of them.
pub(crate) fn texts(words: &[&str]) -> Vec<Text> {
    words.iter().map(|word| Text::from(*word)).collect()
}

/// A value of any type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Value {
    Json(Json),
    Counter(i64),
    Bytes(Text),
    Flag(bool),
    Set(BTreeSet<Text>),
    Hash(BTreeMap<Text, Text>),
    List(Vec<Text>),
}

/// A version that no value has.
pub(crate) const NEVER: &str = "0000000000000001-00000001";

/// One of the ends of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum End {
    Left,
    Right,
}

/// What is done with the value of a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    // Values of any type.
    /// Replaces it, and how long it lives.
    Put(Value, Option<u64>),
    /// The same if nothing is there.
    Create(Value),
    /// The same if its version is this one, as a door told it.
    Replace(Value, String),
    Delete,
    /// So many milliseconds from now on.
    Expire(u64),
    Persist,

    // Strings.
    Read,
    Length,
    Range(i64, i64),
    Append(Text),
    SetRange(u64, Text),
    /// Replaces it, and answers with what it was.
    Exchange(Text),
    /// Removes it, and answers with what it was.
    Take,

    // Numbers.
    Count,
    Increment(i64),
    /// By a number in its decimal text.
    IncrementFloat(&'static str),

    // Flags.
    IsSet,

    // Sets.
    Members,
    Contains(Vec<Text>),
    Size,
    AddMembers(Vec<Text>),
    RemoveMembers(Vec<Text>),

    // Hashes.
    Fields,
    Field(Text),
    HasField(Text),
    FieldCount,
    SetFields(Vec<(Text, Text)>),
    SetNewField(Text, Text),
    RemoveFields(Vec<Text>),
    IncrementField(Text, i64),

    // Lists.
    Elements(i64, i64),
    Element(i64),
    ListLength,
    Push(End, Vec<Text>),
    /// Only to a list that is there.
    PushMore(End, Vec<Text>),
    Pop(End, u64),
    SetElement(i64, Text),
    /// Before the first that equals it: the pivot, then what comes.
    Insert(Text, Text),
    RemoveElements(i64, Text),
    Trim(i64, i64),
    Rotate(End, End),

    // Documents. A path is the name of a member of the root, or empty for the root.
    Document,
    /// Replaces a document, if there is one, and lets it live as long as that.
    SetDocument(Json),
    Member(&'static str),
    Merge(Json),
    SetMember(&'static str, Json),
    RemoveMember(&'static str),
    IncrementMember(&'static str, i64),
    AppendMember(&'static str, Json),
}

impl Op {
    /// Whether it changes nothing, whatever it meets.
    pub(crate) fn is_read(&self) -> bool {
        matches!(
            self,
            Op::Read
                | Op::Length
                | Op::Range(..)
                | Op::Count
                | Op::IsSet
                | Op::Members
                | Op::Contains(_)
                | Op::Size
                | Op::Fields
                | Op::Field(_)
                | Op::HasField(_)
                | Op::FieldCount
                | Op::Elements(..)
                | Op::Element(_)
                | Op::ListLength
                | Op::Document
                | Op::Member(_)
        )
    }
}

/// What comes of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    /// There is no such key, field, element or member.
    Nothing,
    Done,
    /// A count, a length, a sum; 1 and 0 for yes and no.
    Integer(i64),
    Bytes(Text),
    Flag(bool),
    /// In order.
    List(Vec<Text>),
    Members(BTreeSet<Text>),
    Fields(BTreeMap<Text, Text>),
    /// For each that was asked for.
    Contained(Vec<bool>),
    Json(Json),
    Refused(Refused),
    /// Something else; whether it was done is not known.
    Unknown(String),
}

/// Why nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Refused {
    WrongType,
    NotANumber,
    Overflow,
    /// The value would be too large.
    TooLarge,
    /// The key is empty, or too long.
    Key,
    /// There is no such key, and there must be.
    NoSuchKey,
    OutOfRange,
    /// The path leads to nothing that this can be done with.
    Mismatch,
    /// The value has another version, or is there, or is not.
    Condition,
}
