//! What a raw command replies.

use bytes::Bytes;

use crate::door::grpc::v1;
use v1::command_reply::Reply as Message;

/// A reply, as the third version of the Redis protocol has them.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// There is no value.
    Nil,
    /// A word such as `OK`.
    Status(String),
    /// A whole number.
    Integer(i64),
    /// A number.
    Double(f64),
    /// The digits of a whole number that may be beyond 64 bits.
    BigNumber(String),
    /// Yes or no.
    Boolean(bool),
    /// Any bytes.
    Bytes(Bytes),
    /// Text that is meant to be shown as it is.
    Text(String),
    /// Replies in order.
    Array(Vec<Reply>),
    /// Replies in any order.
    Set(Vec<Reply>),
    /// Pairs.
    Map(Vec<(Reply, Reply)>),
    /// An error in the place of a part; of a whole reply it is an [`Error`](super::Error).
    Error(String),
}

impl Reply {
    /// The bytes of it, if it is one value.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Reply::Bytes(bytes) => Some(bytes),
            Reply::Status(text) | Reply::Text(text) | Reply::BigNumber(text) => {
                Some(text.as_bytes())
            }
            _ => None,
        }
    }

    /// The whole number that it is.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Reply::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// The replies in it, if it is an array or a set.
    #[must_use]
    pub fn as_items(&self) -> Option<&[Reply]> {
        match self {
            Reply::Array(items) | Reply::Set(items) => Some(items),
            _ => None,
        }
    }
}

impl From<v1::CommandReply> for Reply {
    fn from(message: v1::CommandReply) -> Reply {
        let all = |array: v1::CommandArray| array.items.into_iter().map(Reply::from).collect();
        match message.reply {
            None | Some(Message::Nil(_)) => Reply::Nil,
            Some(Message::Status(text)) => Reply::Status(text),
            Some(Message::Integer(number)) => Reply::Integer(number),
            Some(Message::Bytes(bytes)) => Reply::Bytes(bytes),
            Some(Message::Error(error)) => {
                Reply::Error(format!("{} {}", error.word, error.message))
            }
            Some(Message::Array(array)) => Reply::Array(all(array)),
            Some(Message::Set(array)) => Reply::Set(all(array)),
            Some(Message::Double(number)) => Reply::Double(number),
            Some(Message::Boolean(is)) => Reply::Boolean(is),
            Some(Message::BigNumber(digits)) => Reply::BigNumber(digits),
            Some(Message::Text(text)) => Reply::Text(text),
            Some(Message::Map(map)) => {
                let side = |side: Option<v1::CommandReply>| side.map_or(Reply::Nil, Reply::from);
                let pairs = map.pairs.into_iter();
                Reply::Map(
                    pairs
                        .map(|pair| (side(pair.key), side(pair.value)))
                        .collect(),
                )
            }
        }
    }
}
