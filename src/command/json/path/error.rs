//! Why a path cannot be read, or cannot be used on a document.
//!
//! The sentences about places that are not there, or are of another type, are those that clients of
//! Redis's JSON commands know.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::command::json;

/// Why nothing was selected or changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Error {
    /// The text is no path.
    #[error("{fault} at byte {at} of the path")]
    Syntax {
        /// What should be different.
        fault: Fault,
        /// Where, as a byte offset into the path.
        at: usize,
    },
    /// The path is too long to be read.
    #[error("the path is {bytes} bytes long; the limit is {max}")]
    PathTooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// More values are selected than are handled at once.
    #[error("the path selects more than {max} values; select fewer at a time")]
    TooMany {
        /// The limit.
        max: usize,
    },
    /// To follow the path through this document would take too long.
    #[error("the path takes too long on this document; use fewer '..', filters or names")]
    TooMuchWork,
    /// What was selected is too long altogether.
    #[error("the answer would be longer than {max} bytes; select less at a time")]
    AnswerTooLong {
        /// The limit.
        max: usize,
    },
    /// The resulting document would be too long.
    #[error("the value would be {bytes} bytes long; the limit is {max}")]
    ValueTooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// There is no document.
    #[error("could not perform this operation on a key that doesn't exist")]
    NoDocument,
    /// A part of a document that is not there should be written.
    #[error("new objects must be created at the root")]
    NotAtRoot,
    /// A legacy path leads nowhere.
    #[error("Path '{path}' does not exist")]
    Missing {
        /// As it was given.
        path: String,
    },
    /// A legacy path leads nowhere, or to something else.
    #[error("Path '{path}' does not exist or {expected}")]
    Mismatch {
        /// As it was given.
        path: String,
        /// What should be there.
        expected: Expected,
    },
    /// Nothing is there, and the path does not say where it should be made.
    #[error("wrong static path: only a path of names and indices can create a member")]
    NotStatic,
    /// Nothing is there, and arrays do not grow by writing beyond their end.
    #[error("array index out of range: elements are added with JSON.ARRAPPEND")]
    IndexOutOfRange,
    /// What should be added is no number.
    #[error("expected a JSON number to add")]
    NotANumber,
    /// The sum of two whole numbers is beyond 64 bits.
    #[error("the sum is beyond whole numbers of 64 bits, -2^63 to 2^64 - 1")]
    Overflow,
    /// A sum that is not whole is beyond double precision.
    #[error("the sum is beyond numbers of double precision")]
    NotFinite,
    /// A value is not the JSON that it should be, or nests too deep where it is put.
    #[error("{0}")]
    Json(#[from] json::Error),
}

/// What a legacy path should have led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expected {
    /// An array.
    Array,
    /// An object.
    Object,
    /// A number.
    Number,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Expected::Array => "not an array",
            Expected::Object => "not an object",
            Expected::Number => "does not contains a number",
        })
    }
}

/// What is wrong with the text of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Fault {
    /// It is not UTF-8.
    Utf8,
    /// Neither `.` nor `[` follows.
    Segment,
    /// A `$` is followed by something else.
    AfterRoot,
    /// There is no name behind a dot.
    Name,
    /// Neither a name, `*` nor `[` follows two dots.
    Descendant,
    /// Nothing that selects stands in the brackets.
    Selector,
    /// A name in brackets has no quotes.
    Unquoted,
    /// Brackets are not closed, or selectors not separated.
    Bracket,
    /// A string does not end.
    Quote,
    /// A bare control character in a string.
    Control,
    /// A backslash with something unknown behind it.
    Escape,
    /// Half of a surrogate pair.
    Surrogate,
    /// An index that is no whole number, or has a superfluous zero.
    Integer,
    /// An index beyond 2^53 - 1.
    IntegerRange,
    /// More segments than are read.
    Segments,
    /// A filter in too many others, or parentheses.
    FilterDepth,
    /// Neither a value nor a query where one should be.
    Operand,
    /// A literal that is not compared with anything.
    Literal,
    /// A number that is none.
    Number,
    /// A single `=`.
    Equals,
    /// A regular expression.
    Regex,
    /// A function.
    Function,
    /// A query that may select several values is compared.
    NotSingular,
    /// Parentheses are not closed.
    Parenthesis,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Utf8 => "invalid UTF-8",
            Fault::Segment => "expected '.' or '['",
            Fault::AfterRoot => "expected '.', '[' or nothing after the '$'",
            Fault::Name => "expected a member name, '*' or '[' after the '.'",
            Fault::Descendant => "expected a member name, '*' or '[' after the '..'",
            Fault::Selector => {
                "expected a name in quotes, an index, a slice, '*' or '?' with a filter"
            }
            Fault::Unquoted => "expected quotes around a name in brackets",
            Fault::Bracket => "expected ',' or ']'",
            Fault::Quote => "a string that does not end",
            Fault::Control => "a control character in a string; write it as \\u and four digits",
            Fault::Escape => "unknown escape; \\b \\f \\n \\r \\t \\/ \\\\ \\u or a quote is right",
            Fault::Surrogate => "lone surrogate; surrogates come in pairs",
            Fault::Integer => "expected a whole number without leading zeros",
            Fault::IntegerRange => "expected a whole number from -(2^53 - 1) to 2^53 - 1",
            Fault::Segments => "too many segments",
            Fault::FilterDepth => "filters and parentheses nested too deep",
            Fault::Operand => {
                "expected a query that begins with '@' or '$', a string, a number, true, false or null"
            }
            Fault::Literal => "expected a comparison: a literal alone is no condition",
            Fault::Number => "expected a JSON number",
            Fault::Equals => "expected '=='",
            Fault::Regex => "regular expressions are not supported",
            Fault::Function => "functions are not supported",
            Fault::NotSingular => {
                "expected a query of names and indices, since only one value can be compared,"
            }
            Fault::Parenthesis => "expected '&&', '||' or ')'",
        })
    }
}
