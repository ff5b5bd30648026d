//! What is wrong with a text, where, and what would be right.
//!
//! An [`Error`] is three small numbers, so that it crosses the wire between nodes as they are and
//! reads the same sentence on both sides.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of fault it is. The numbers are the ones on the wire: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Code {
    /// The text ends within a value, or holds none.
    End = 0,
    /// It begins with a byte order mark.
    ByteOrderMark = 1,
    /// A value should begin here.
    Value = 2,
    /// A value or the end of the array should be here.
    ValueOrEnd = 3,
    /// A member name should begin here.
    Name = 4,
    /// A member name or the end of the object should be here.
    NameOrEnd = 5,
    /// A member name is not followed by a colon.
    Colon = 6,
    /// A member is followed by neither a comma nor the end of the object.
    AfterMember = 7,
    /// An element is followed by neither a comma nor the end of the array.
    AfterElement = 8,
    /// Something follows the value.
    Trailing = 9,
    /// Almost `true`, `false` or `null`.
    Literal = 10,
    /// A number that begins with a superfluous zero.
    LeadingZero = 11,
    /// A number lacks a digit.
    Digit = 12,
    /// A bare control character in a string; the detail is the character.
    Control = 13,
    /// A backslash with something unknown behind it.
    Escape = 14,
    /// `\u` without four hexadecimal digits.
    Hex = 15,
    /// Half of a surrogate pair; the detail is the half.
    LoneSurrogate = 16,
    /// Bytes that are no UTF-8.
    Utf8 = 17,
    /// Nested too deep; the detail is the limit.
    Depth = 18,
    /// The text is no object.
    NotObject = 19,
    /// An envelope with too many members; the detail is the limit.
    Members = 20,
    /// An envelope that names a member twice.
    Duplicate = 21,
}

impl Code {
    const ALL: [Code; 22] = [
        Code::End,
        Code::ByteOrderMark,
        Code::Value,
        Code::ValueOrEnd,
        Code::Name,
        Code::NameOrEnd,
        Code::Colon,
        Code::AfterMember,
        Code::AfterElement,
        Code::Trailing,
        Code::Literal,
        Code::LeadingZero,
        Code::Digit,
        Code::Control,
        Code::Escape,
        Code::Hex,
        Code::LoneSurrogate,
        Code::Utf8,
        Code::Depth,
        Code::NotObject,
        Code::Members,
        Code::Duplicate,
    ];

    /// Its number on the wire.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// Reads the number back; `None` if no code has it.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Code> {
        Code::ALL.get(usize::from(number)).copied()
    }
}

/// Why some text is not the JSON that it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error, Serialize, Deserialize)]
pub struct Error {
    /// The kind of fault.
    pub code: Code,
    /// Where, as a byte offset into the text.
    pub at: usize,
    /// The limit, surrogate or character in question, as [`Code`] says; otherwise 0.
    pub detail: u16,
}

impl Error {
    pub(super) fn new(code: Code, at: usize) -> Error {
        Error::with(code, at, 0)
    }

    pub(super) fn with(code: Code, at: usize, detail: u16) -> Error {
        Error { code, at, detail }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Error { code, at, detail } = self;
        match code {
            Code::End => write!(f, "unexpected end at byte {at}: the JSON is not complete"),
            Code::ByteOrderMark => write!(
                f,
                "byte order mark at byte {at}: JSON begins with its value"
            ),
            Code::Value => write!(f, "expected a JSON value at byte {at}"),
            Code::ValueOrEnd => write!(f, "expected a JSON value or ']' at byte {at}"),
            Code::Name => write!(f, "expected a member name in double quotes at byte {at}"),
            Code::NameOrEnd => write!(
                f,
                "expected a member name in double quotes or '}}' at byte {at}"
            ),
            Code::Colon => write!(f, "expected ':' after a member name at byte {at}"),
            Code::AfterMember => write!(f, "expected ',' or '}}' after a member at byte {at}"),
            Code::AfterElement => write!(f, "expected ',' or ']' after an element at byte {at}"),
            Code::Trailing => write!(f, "expected nothing after the value at byte {at}"),
            Code::Literal => write!(f, "expected true, false or null at byte {at}"),
            Code::LeadingZero => write!(
                f,
                "leading zero at byte {at}: a number begins with 1 to 9 or has a single 0"
            ),
            Code::Digit => write!(f, "expected a digit at byte {at}"),
            Code::Control => write!(
                f,
                "control character in a string at byte {at}: write it as \\u{detail:04x}"
            ),
            Code::Escape => write!(
                f,
                "unknown escape at byte {at}: one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u is right"
            ),
            Code::Hex => write!(
                f,
                "expected four hexadecimal digits after the \\u at byte {at}"
            ),
            Code::LoneSurrogate => write!(
                f,
                "lone surrogate \\u{detail:04x} at byte {at}: surrogates come in pairs"
            ),
            Code::Utf8 => write!(f, "invalid UTF-8 at byte {at}"),
            Code::Depth => write!(f, "nested deeper than {detail} levels at byte {at}"),
            Code::NotObject => write!(f, "expected a JSON object at byte {at}"),
            Code::Members => write!(f, "more than {detail} members at byte {at}"),
            Code::Duplicate => write!(f, "member name given a second time at byte {at}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_their_numbers() {
        for (number, code) in (0u8..).zip(Code::ALL) {
            assert_eq!(code.number(), number);
            assert_eq!(Code::from_number(number), Some(code));
        }
        assert_eq!(Code::from_number(Code::ALL.len() as u8), None);
        assert_eq!(Code::from_number(255), None);
    }

    #[test]
    fn every_sentence_says_where() {
        let mut seen = std::collections::HashSet::new();
        for code in Code::ALL {
            let sentence = Error::with(code, 4711, 0xd83d).to_string();
            assert!(sentence.contains("byte 4711"), "{sentence}");
            assert!(seen.insert(sentence));
        }
    }
}
