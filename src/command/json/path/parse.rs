//! From the text of a path to what it means: the syntax of RFC 9535, and the paths of old.
//!
//! The parser goes from left to right over the bytes, once. What it makes is bounded by the text,
//! which is bounded itself; how deep it calls itself, by [`FILTER_DEPTH_MAX`].
//!
//! Beyond the RFC it takes what clients of Redis's JSON commands write: more characters in names
//! without quotes (`$.first-name`, `$.42`), and a dot before brackets (`$.[0]`). What the RFC calls
//! well-formed means the same here, functions excepted.

mod filter;

use super::error::{Error, Fault};
use super::query::{Query, Segment, Selector, Slice};
use super::{FILTER_DEPTH_MAX, SEGMENTS_MAX};
use crate::command::json::write_string;

/// The greatest whole number that every JSON reader keeps apart from its neighbours.
const INTEGER_MAX: i64 = (1 << 53) - 1;

/// A path that has been read.
pub(super) struct Parsed {
    pub(super) legacy: bool,
    pub(super) query: Query,
    /// How many queries in its filters begin at the root.
    pub(super) absolute_count: usize,
}

pub(super) fn parse(text: &str) -> Result<Parsed, Error> {
    let mut parser = Parser {
        text: text.as_bytes(),
        at: 0,
        segments: 0,
        depth: 0,
        absolute_count: 0,
    };
    let legacy = parser.peek() != Some(b'$');
    let segments = if legacy {
        parser.legacy()?
    } else {
        parser.at = 1;
        let next = parser.peek();
        if !matches!(
            next,
            None | Some(b'.' | b'[' | b' ' | b'\t' | b'\n' | b'\r')
        ) {
            return Err(parser.fault(Fault::AfterRoot));
        }
        parser.segments()?
    };
    if parser.at < parser.text.len() {
        return Err(parser.fault(Fault::Segment));
    }
    Ok(Parsed {
        legacy,
        query: Query {
            absolute: None,
            segments,
        },
        absolute_count: parser.absolute_count,
    })
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    /// How many segments there have been.
    segments: usize,
    /// How deep in filters and parentheses it is.
    depth: usize,
    absolute_count: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn peek_behind(&self) -> Option<u8> {
        self.text.get(self.at + 1).copied()
    }

    /// Passes `byte` if it stands here.
    fn take(&mut self, byte: u8) -> bool {
        let here = self.peek() == Some(byte);
        self.at += usize::from(here);
        here
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn fault(&self, fault: Fault) -> Error {
        let at = self.at;
        Error::Syntax { fault, at }
    }

    /// A path without a `$`: `.` or nothing is the root, and the first name needs no dot.
    fn legacy(&mut self) -> Result<Vec<Segment>, Error> {
        if matches!(self.text, b"" | b".") {
            self.at = self.text.len();
            return Ok(Vec::new());
        }
        if matches!(self.peek(), Some(b'.' | b'[')) {
            return self.segments();
        }
        let selector = self.shorthand(Fault::Segment)?;
        self.segments = 1;
        let mut segments = vec![Segment {
            descendant: false,
            selectors: vec![selector],
        }];
        segments.extend(self.segments()?);
        Ok(segments)
    }

    /// As many segments as there are. White space behind the last one is left.
    fn segments(&mut self) -> Result<Vec<Segment>, Error> {
        let mut segments = Vec::new();
        loop {
            let behind_last = self.at;
            self.skip_space();
            let segment = match self.peek() {
                Some(b'[') => self.bracketed(false)?,
                Some(b'.') if self.peek_behind() == Some(b'.') => {
                    self.at += 2;
                    self.dotted(true, Fault::Descendant)?
                }
                Some(b'.') => {
                    self.at += 1;
                    self.dotted(false, Fault::Name)?
                }
                _ => {
                    self.at = behind_last;
                    return Ok(segments);
                }
            };
            if self.segments == SEGMENTS_MAX {
                return Err(self.fault(Fault::Segments));
            }
            self.segments += 1;
            segments.push(segment);
        }
    }

    /// What stands behind one dot or two.
    fn dotted(&mut self, descendant: bool, otherwise: Fault) -> Result<Segment, Error> {
        if self.peek() == Some(b'[') {
            return self.bracketed(descendant);
        }
        let selector = self.shorthand(otherwise)?;
        Ok(Segment {
            descendant,
            selectors: vec![selector],
        })
    }

    /// A name without quotes, or `*`.
    fn shorthand(&mut self, otherwise: Fault) -> Result<Selector, Error> {
        if self.take(b'*') {
            return Ok(Selector::Wildcard);
        }
        let from = self.at;
        while self.peek().is_some_and(is_name_byte) {
            self.at += 1;
        }
        if self.at == from {
            return Err(self.fault(otherwise));
        }
        let name = String::from_utf8_lossy(&self.text[from..self.at]);
        Ok(Selector::Name(name.into_owned()))
    }

    fn bracketed(&mut self, descendant: bool) -> Result<Segment, Error> {
        self.at += 1;
        let mut selectors = Vec::with_capacity(1);
        loop {
            self.skip_space();
            selectors.push(self.selector()?);
            self.skip_space();
            if self.take(b']') {
                break;
            }
            if !self.take(b',') {
                return Err(self.fault(Fault::Bracket));
            }
        }
        Ok(Segment {
            descendant,
            selectors,
        })
    }

    fn selector(&mut self) -> Result<Selector, Error> {
        match self.peek() {
            Some(b'\'' | b'"') => self.string().map(Selector::Name),
            Some(b'*') => {
                self.at += 1;
                Ok(Selector::Wildcard)
            }
            Some(b'?') => {
                self.at += 1;
                self.condition().map(Selector::Filter)
            }
            Some(b'-' | b':' | b'0'..=b'9') => self.index_or_slice(),
            Some(byte) if is_name_byte(byte) => Err(self.fault(Fault::Unquoted)),
            _ => Err(self.fault(Fault::Selector)),
        }
    }

    fn index_or_slice(&mut self) -> Result<Selector, Error> {
        let start = self.optional_integer()?;
        self.skip_space();
        if !self.take(b':') {
            return start.map(Selector::Index).ok_or(self.fault(Fault::Integer));
        }
        self.skip_space();
        let end = self.optional_integer()?;
        self.skip_space();
        let mut step = None;
        if self.take(b':') {
            self.skip_space();
            step = self.optional_integer()?;
        }
        Ok(Selector::Slice(Slice {
            start,
            end,
            step: step.unwrap_or(1),
        }))
    }

    fn optional_integer(&mut self) -> Result<Option<i64>, Error> {
        if !matches!(self.peek(), Some(b'-' | b'0'..=b'9')) {
            return Ok(None);
        }
        let from = self.at;
        self.take(b'-');
        let digits_from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        let written = &self.text[from..self.at];
        let at_start = |fault| Error::Syntax { fault, at: from };
        match &self.text[digits_from..self.at] {
            [b'0'] if written.len() == 1 => {}
            [] | [b'0', ..] => return Err(at_start(Fault::Integer)),
            _ => {}
        }
        let number = std::str::from_utf8(written).ok();
        let number = number.and_then(|written| written.parse::<i64>().ok());
        match number {
            Some(number) if (-INTEGER_MAX..=INTEGER_MAX).contains(&number) => Ok(Some(number)),
            _ => Err(at_start(Fault::IntegerRange)),
        }
    }

    /// What a string in either kind of quotes means.
    fn string(&mut self) -> Result<String, Error> {
        let opened_at = self.at;
        let quote = self.text[self.at];
        self.at += 1;
        let mut out = Vec::new();
        loop {
            let Some(byte) = self.peek() else {
                let fault = Fault::Quote;
                return Err(Error::Syntax {
                    fault,
                    at: opened_at,
                });
            };
            match byte {
                b'\\' => {
                    let character = self.escape(quote)?;
                    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                0..=0x1f => return Err(self.fault(Fault::Control)),
                _ => {
                    self.at += 1;
                    if byte == quote {
                        break;
                    }
                    out.push(byte);
                }
            }
        }
        // Whole characters were copied: neither quotes nor escapes are parts of any.
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    fn escape(&mut self, quote: u8) -> Result<char, Error> {
        let character = match self.peek_behind() {
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(byte @ (b'/' | b'\\')) => char::from(byte),
            Some(byte) if byte == quote => char::from(byte),
            Some(b'u') => return self.unicode_escape(),
            _ => return Err(self.fault(Fault::Escape)),
        };
        self.at += 2;
        Ok(character)
    }

    fn unicode_escape(&mut self) -> Result<char, Error> {
        let unit = self.hex(self.at)?;
        let mut length = 6;
        let mut code = unit;
        if (0xd800..0xdc00).contains(&unit) && self.text[self.at + 6..].starts_with(b"\\u") {
            let low = self.hex(self.at + 6)?;
            if (0xdc00..0xe000).contains(&low) {
                code = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                length = 12;
            }
        }
        let character = char::from_u32(code).ok_or(self.fault(Fault::Surrogate))?;
        self.at += length;
        Ok(character)
    }

    /// The number that the `\uXXXX` at `at` writes.
    fn hex(&self, at: usize) -> Result<u32, Error> {
        let fault = Fault::Escape;
        let error = Error::Syntax { fault, at };
        let digits = self.text.get(at + 2..at + 6).ok_or(error.clone())?;
        digits.iter().try_fold(0, |unit, digit| {
            let digit = char::from(*digit).to_digit(16).ok_or(error.clone())?;
            Ok(unit << 4 | digit)
        })
    }

    /// A string literal of a filter, as JSON text.
    fn string_literal(&mut self) -> Result<Vec<u8>, Error> {
        let text = self.string()?;
        let mut out = Vec::new();
        write_string(&text, &mut out);
        Ok(out)
    }
}

/// Whether a name without quotes may have it. Beyond ASCII anything may.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || b"_-`~+#%$^/:".contains(&byte)
}
