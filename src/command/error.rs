//! Why a command could not be carried out.

use serde::{Deserialize, Serialize};

use super::{Kind, json};

/// Why a command could not be carried out; nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Error {
    /// The value has another type.
    #[error("the value is a {found}, not a {wanted}")]
    WrongType {
        /// What it is.
        found: Kind,
        /// What the command works on.
        wanted: Kind,
    },
    /// The resulting value would be too large.
    #[error("the value would be {bytes} bytes long; the limit is {max}")]
    ValueTooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The patched document would not be valid.
    #[error("{0}")]
    Json(#[from] json::Error),
    /// A path leads nowhere, or cannot be followed.
    #[error(transparent)]
    Path(#[from] json::path::Error),
    /// What should be a counter's value is none.
    #[error("a counter is a whole number from -2^63 to 2^63 - 1, without plus or leading zeros")]
    NotANumber,
    /// The sum is beyond what a counter holds.
    #[error("{value} plus {by} is beyond a counter, which holds -2^63 to 2^63 - 1")]
    Overflow {
        /// What the counter stands at, and still does.
        value: i64,
        /// What should have been added.
        by: i64,
    },
    /// What should be a number, perhaps with a fraction, is none.
    #[error("the value is not a number")]
    NotAFloat,
    /// The sum is beyond all numbers.
    #[error("the sum would be infinite, or no number")]
    FloatOverflow,
    /// What should be a flag's value is none.
    #[error("a flag is true or false")]
    NotAFlag,
    /// What should be a collection in its packed form is none.
    #[error("the value is not the packed form of a {0}")]
    NotACollection(Kind),
    /// There is no value, and the operation needs one.
    #[error("there is no such key")]
    NoSuchKey,
    /// The list has no such place.
    #[error("the list has no element at this index")]
    IndexOutOfRange,
    /// What was asked for is too much for one answer.
    #[error("the answer would be longer than {max} bytes: ask for less at a time")]
    AnswerTooLarge {
        /// The limit.
        max: usize,
    },
}

impl Error {
    /// Whether all that was wrong is that it would take longer than was allowed.
    #[must_use]
    pub fn is_too_much_work(&self) -> bool {
        matches!(self, Error::Path(json::path::Error::TooMuchWork))
    }
}
