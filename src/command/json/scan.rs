//! The scanner: one pass over JSON text (RFC 8259) that checks everything and builds nothing.
//!
//! Strings are looked at eight bytes at a time; nesting is a stack of bits, not of calls, so that
//! a text of a million brackets costs no more than its first few. White space between tokens goes
//! to a [`Gaps`], which is where compaction happens.
//!
//! Invariant: what lies before [`Scanner::at`] is valid as far as it goes.

use super::error::{Code, Error};

/// Nesting is never allowed deeper than this, whatever the settings say.
pub const DEPTH_MAX: usize = 512;

/// Is told of each run of white space between two tokens.
pub(super) trait Gaps {
    /// `text[from..to]` is white space.
    fn gap(&mut self, text: &[u8], from: usize, to: usize);
}

/// White space stays where it is.
pub(super) struct Keep;

impl Gaps for Keep {
    fn gap(&mut self, _: &[u8], _: usize, _: usize) {}
}

/// A place in a text, and how deep it may nest.
pub(super) struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    depth_max: usize,
}

impl<'a> Scanner<'a> {
    /// At the first byte that is not white space. `depth_max` is clamped to [`DEPTH_MAX`].
    pub(super) fn new(text: &'a [u8], depth_max: usize) -> Result<Scanner<'a>, Error> {
        let mut scanner = Scanner {
            text,
            at: 0,
            depth_max: depth_max.min(DEPTH_MAX),
        };
        if text.starts_with("\u{feff}".as_bytes()) {
            return Err(Error::new(Code::ByteOrderMark, 0));
        }
        scanner.next_token(&mut Keep);
        Ok(scanner)
    }

    /// At `start` of a text that is known to be sound and compact.
    pub(super) fn starting_at(text: &'a [u8], start: usize, depth_max: usize) -> Scanner<'a> {
        Scanner {
            text,
            at: start,
            depth_max: depth_max.min(DEPTH_MAX),
        }
    }

    /// How far it has come.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The byte that it stands on.
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// What it has passed since `from`.
    pub(super) fn since(&self, from: usize) -> &'a [u8] {
        &self.text[from..self.at]
    }

    /// Passes the white space behind the text's one value.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        match self.next_token(&mut Keep) {
            None => Ok(()),
            Some(_) => Err(Error::new(Code::Trailing, self.at)),
        }
    }

    /// Passes white space and stands on the byte behind it.
    #[inline(always)]
    pub(super) fn next_token(&mut self, gaps: &mut impl Gaps) -> Option<u8> {
        let byte = self.peek()?;
        if byte > b' ' {
            return Some(byte);
        }
        self.pass_space(gaps)
    }

    fn pass_space(&mut self, gaps: &mut impl Gaps) -> Option<u8> {
        let from = self.at;
        let rest = &self.text[from..];
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\t' | b'\r');
        self.at += rest
            .iter()
            .position(|byte| !is_space(byte))
            .unwrap_or(rest.len());
        if self.at > from {
            gaps.gap(self.text, from, self.at);
        }
        self.peek()
    }

    /// The fault of the present byte, or of there being none.
    #[cold]
    fn expected(&self, code: Code) -> Error {
        if self.at >= self.text.len() {
            Error::new(Code::End, self.at)
        } else {
            Error::new(code, self.at)
        }
    }

    /// Passes one whole value, which begins here, within `depth` others.
    #[inline]
    pub(super) fn value(&mut self, gaps: &mut impl Gaps, depth: usize) -> Result<(), Error> {
        let mut nest = Nest::new(depth);
        let mut code = Code::Value;
        loop {
            match self.next_token(gaps) {
                Some(b'"') => self.string()?,
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b'{') => {
                    if self.enter_object(gaps, nest.depth)? {
                        nest.push(true);
                        self.name(gaps)?;
                        code = Code::Value;
                        continue;
                    }
                }
                Some(b'[') => {
                    if self.enter_array(gaps, nest.depth)? {
                        nest.push(false);
                        code = Code::ValueOrEnd;
                        continue;
                    }
                }
                Some(b't') => self.literal(b"true")?,
                Some(b'f') => self.literal(b"false")?,
                Some(b'n') => self.literal(b"null")?,
                _ => return Err(self.expected(code)),
            }
            code = Code::Value;
            if self.leave(&mut nest, gaps, depth)? {
                return Ok(());
            }
        }
    }

    /// Behind a value: passes what closes, up to the next value. True if the outermost has ended.
    #[inline(always)]
    fn leave(
        &mut self,
        nest: &mut Nest,
        gaps: &mut impl Gaps,
        depth: usize,
    ) -> Result<bool, Error> {
        while nest.depth > depth {
            if nest.in_object() {
                if self.next_member(gaps)? {
                    self.name(gaps)?;
                    return Ok(false);
                }
            } else if self.next_element(gaps)? {
                return Ok(false);
            }
            nest.pop();
        }
        Ok(true)
    }

    /// Passes a `{`, and the `}` of an empty object. True if a name should follow.
    #[inline]
    pub(super) fn enter_object(
        &mut self,
        gaps: &mut impl Gaps,
        depth: usize,
    ) -> Result<bool, Error> {
        self.deeper(depth)?;
        match self.next_token(gaps) {
            Some(b'"') => Ok(true),
            Some(b'}') => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.expected(Code::NameOrEnd)),
        }
    }

    /// Passes a `[`, and the `]` of an empty array. True if an element should follow.
    #[inline]
    pub(super) fn enter_array(
        &mut self,
        gaps: &mut impl Gaps,
        depth: usize,
    ) -> Result<bool, Error> {
        self.deeper(depth)?;
        let empty = self.next_token(gaps) == Some(b']');
        self.at += usize::from(empty);
        Ok(!empty)
    }

    #[inline]
    fn deeper(&mut self, depth: usize) -> Result<(), Error> {
        if depth >= self.depth_max {
            return Err(Error::with(Code::Depth, self.at, self.depth_max as u16));
        }
        self.at += 1;
        Ok(())
    }

    /// Passes the comma behind a member, or the end of the object. True if a name should follow.
    #[inline]
    pub(super) fn next_member(&mut self, gaps: &mut impl Gaps) -> Result<bool, Error> {
        match self.next_token(gaps) {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(b'}') => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.expected(Code::AfterMember)),
        }
    }

    /// Passes the comma behind an element, or the end of the array. True if an element should follow.
    #[inline(always)]
    pub(super) fn next_element(&mut self, gaps: &mut impl Gaps) -> Result<bool, Error> {
        match self.next_token(gaps) {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(b']') => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.expected(Code::AfterElement)),
        }
    }

    /// Passes a member name and its colon; returns the name as it is written between its quotes.
    #[inline]
    pub(super) fn name(&mut self, gaps: &mut impl Gaps) -> Result<&'a [u8], Error> {
        if self.next_token(gaps) != Some(b'"') {
            return Err(self.expected(Code::Name));
        }
        let from = self.at + 1;
        self.string()?;
        let name = &self.text[from..self.at - 1];
        if self.next_token(gaps) != Some(b':') {
            return Err(self.expected(Code::Colon));
        }
        self.at += 1;
        Ok(name)
    }

    #[inline]
    fn literal(&mut self, word: &[u8]) -> Result<(), Error> {
        let rest = &self.text[self.at..];
        if rest.starts_with(word) {
            self.at += word.len();
            Ok(())
        } else if word.starts_with(rest) {
            Err(Error::new(Code::End, self.text.len()))
        } else {
            Err(Error::new(Code::Literal, self.at))
        }
    }

    #[inline]
    fn number(&mut self) -> Result<(), Error> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
            if matches!(self.peek(), Some(b'0'..=b'9')) {
                return Err(Error::new(Code::LeadingZero, self.at - 1));
            }
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    #[inline]
    fn digits(&mut self) -> Result<(), Error> {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == from {
            return Err(self.expected(Code::Digit));
        }
        Ok(())
    }

    /// Passes a string, which begins here with its quote.
    #[inline(always)]
    pub(super) fn string(&mut self) -> Result<(), Error> {
        let from = self.at + 1;
        let mut at = from;
        let mut seen = 0;
        // The common string, ASCII without escapes, is done in this loop.
        while let Some(chunk) = self.text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
            let word = u64::from_le_bytes(*chunk);
            let stops = stops(word);
            if stops == 0 {
                seen |= word;
                at += 8;
                continue;
            }
            let behind = stops.trailing_zeros() as usize / 8;
            seen |= word & below_lowest(stops);
            if seen & HIGH_BITS == 0 && chunk[behind % 8] == b'"' {
                self.at = at + behind + 1;
                return Ok(());
            }
            break;
        }
        self.any_string(from, at, seen)
    }

    /// Passes the rest of any string: `from` is its first byte, `at` where to go on, and `seen` has
    /// a high bit if what lies between is not all ASCII.
    #[inline(never)]
    fn any_string(&mut self, from: usize, mut at: usize, mut seen: u64) -> Result<(), Error> {
        loop {
            let word = word(self.text, at);
            let stops = stops(word);
            if stops == 0 {
                seen |= word;
                at += 8;
                continue;
            }
            seen |= word & below_lowest(stops);
            at += stops.trailing_zeros() as usize / 8;
            match self.text.get(at) {
                Some(b'"') => break,
                Some(b'\\') => at = self.escape(at)?,
                Some(control) => return Err(Error::with(Code::Control, at, u16::from(*control))),
                None => return Err(Error::new(Code::End, self.text.len())),
            }
        }
        if seen & HIGH_BITS != 0 {
            check_utf8(self.text, from, at)?;
        }
        self.at = at + 1;
        Ok(())
    }

    /// The place behind the escape whose backslash is at `at`.
    fn escape(&self, at: usize) -> Result<usize, Error> {
        match self.text.get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
            Some(b'u') => self.unicode_escape(at),
            Some(_) => Err(Error::new(Code::Escape, at)),
            None => Err(Error::new(Code::End, self.text.len())),
        }
    }

    fn unicode_escape(&self, at: usize) -> Result<usize, Error> {
        let unit = self.hex(at)?;
        let lone = Err(Error::with(Code::LoneSurrogate, at, unit));
        match unit {
            0xd800..=0xdbff if self.text[at + 6..].starts_with(b"\\u") => {
                match self.hex(at + 6)? {
                    0xdc00..=0xdfff => Ok(at + 12),
                    _ => lone,
                }
            }
            0xd800..=0xdfff => lone,
            _ => Ok(at + 6),
        }
    }

    /// The number that the `\uXXXX` at `at` writes.
    fn hex(&self, at: usize) -> Result<u16, Error> {
        let digits = self.text[at + 2..].iter().take(4);
        let mut unit = 0;
        let mut count = 0;
        for digit in digits {
            let digit = (*digit as char)
                .to_digit(16)
                .ok_or(Error::new(Code::Hex, at))?;
            unit = unit << 4 | digit as u16;
            count += 1;
        }
        if count < 4 {
            return Err(Error::new(Code::End, self.text.len()));
        }
        Ok(unit)
    }
}

#[cold]
fn check_utf8(text: &[u8], from: usize, to: usize) -> Result<(), Error> {
    match std::str::from_utf8(&text[from..to]) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::new(Code::Utf8, from + error.valid_up_to())),
    }
}

/// Which of the open values are objects: one bit each, the innermost in `top`.
struct Nest {
    outer: [u64; DEPTH_MAX / 64],
    depth: usize,
}

impl Nest {
    fn new(depth: usize) -> Nest {
        Nest {
            outer: [0; DEPTH_MAX / 64],
            depth,
        }
    }

    #[inline]
    fn push(&mut self, object: bool) {
        let bit = 1 << (self.depth % 64);
        let word = &mut self.outer[self.depth / 64];
        if object {
            *word |= bit;
        } else {
            *word &= !bit;
        }
        self.depth += 1;
    }

    #[inline]
    fn pop(&mut self) {
        self.depth -= 1;
    }

    #[inline]
    fn in_object(&self) -> bool {
        let innermost = self.depth - 1;
        self.outer[innermost / 64] >> (innermost % 64) & 1 == 1
    }
}

const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = LOW_BITS << 7;

/// Eight bytes, the first one lowest; behind the end are zeros, at which a string stops.
#[inline(always)]
pub(super) fn word(text: &[u8], at: usize) -> u64 {
    let rest = &text[at.min(text.len())..];
    match rest.first_chunk::<8>() {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => {
            let mut chunk = [0; 8];
            chunk[..rest.len()].copy_from_slice(rest);
            u64::from_le_bytes(chunk)
        }
    }
}

/// All bits of the bytes below the lowest mark.
#[inline(always)]
fn below_lowest(stops: u64) -> u64 {
    (stops ^ (stops - 1)) >> 8
}

/// Marks with its high bit each quote, backslash and control character among eight bytes. Exact up
/// to and with the lowest mark; above it a borrow may add marks, so only the lowest is to be used.
#[inline(always)]
pub(super) fn stops(word: u64) -> u64 {
    let quotes = word ^ (LOW_BITS * b'"' as u64);
    let backslashes = word ^ (LOW_BITS * b'\\' as u64);
    let controls = word.wrapping_sub(LOW_BITS * 0x20);
    (quotes.wrapping_sub(LOW_BITS) | backslashes.wrapping_sub(LOW_BITS) | controls)
        & !word
        & HIGH_BITS
}
