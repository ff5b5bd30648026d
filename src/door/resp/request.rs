//! Reading requests: arrays of bulk strings, and lines that people type (`inline`).
//!
//! The parser works on the connection's one buffer and remembers how far it got, so that a request
//! that comes in a thousand pieces is looked at once. Arguments are places in that buffer: nothing
//! is copied, and nothing is reserved because a client claims that it will send it.
//!
//! Limits and the words of errors are Redis's. After an error the connection is of no more use:
//! where the next request begins is not known.
//!
//! Invariant: what comes of some bytes does not depend on how they were cut into reads.

use std::ops::Index;

use bytes::{Buf, Bytes, BytesMut};

use super::inline;
use super::number;

/// The longest line that is waited for: an inline request, or the length of something.
const LINE_BYTES_MAX: usize = 64 << 10;
/// The most arguments, and the longest one, of a client that has not said who it is.
const STRANGER_ARGUMENTS_MAX: i64 = 10;
const STRANGER_BULK_BYTES_MAX: i64 = 16_384;
/// What is kept for places of arguments when a request with many is done.
const PLACES_KEPT: usize = 1_024;

/// What a request is kept within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Arguments of a request, its name among them.
    pub arguments_max: usize,
    /// Bytes of an argument.
    pub bulk_bytes_max: usize,
    /// Bytes of a request as it is sent.
    pub request_bytes_max: usize,
    /// Whether the client has not yet said who it is, and must: it is allowed less then.
    pub stranger: bool,
}

/// Why some bytes are no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The number of arguments is none, or too large.
    #[error("invalid multibulk length")]
    MultibulkLength,
    /// It is too large for somebody unknown.
    #[error("unauthenticated multibulk length")]
    StrangerMultibulkLength,
    /// The number of arguments takes too long to write.
    #[error("too big mbulk count string")]
    CountLine,
    /// An argument's length takes too long to write.
    #[error("too big bulk count string")]
    BulkLine,
    /// An argument begins with something else than its length.
    #[error("expected '$', got '{}'", shown(*.0))]
    Dollar(u8),
    /// The length is none, or too large.
    #[error("invalid bulk length")]
    BulkLength,
    /// It is too large for somebody unknown.
    #[error("unauthenticated bulk length")]
    StrangerBulkLength,
    /// A line without an end.
    #[error("too big inline request")]
    InlineLine,
    /// A line whose quotes do not match.
    #[error("unbalanced quotes in request")]
    Quotes,
    /// The arguments together are too long.
    #[error("too big request: it is limited to {0} bytes")]
    RequestLength(usize),
    /// It speaks HTTP.
    #[error("this port speaks the Redis protocol, not HTTP")]
    Http,
}

/// As a client can print it.
fn shown(byte: u8) -> char {
    match byte {
        b'\r' | b'\n' => ' ',
        other => char::from(other),
    }
}

/// What the bytes so far come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is a request, of so many bytes: [`Parser::arguments`] has it.
    Request(usize),
    /// There is nothing in the first so many bytes: an empty line, or no arguments.
    Nothing(usize),
    /// It goes on. At least so many bytes are still missing, as far as is known.
    Incomplete(usize),
}

/// Where an argument lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    start: u32,
    length: u32,
}

impl Place {
    /// From `start` to `end`; a buffer is shorter than 4 GiB.
    pub(super) fn new(start: usize, end: usize) -> Place {
        let short = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Place {
            start: short(start),
            length: short(end.saturating_sub(start)),
        }
    }

    pub(super) fn range(self) -> std::ops::Range<usize> {
        let start = self.start as usize;
        start..start + self.length as usize
    }
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Between requests.
    #[default]
    Start,
    /// So many arguments are to come.
    Argument(usize),
    /// One of so many bytes, and with it so many.
    Bulk { bytes: usize, left: usize },
}

/// See the module. One for each connection.
#[derive(Debug, Default)]
pub struct Parser {
    state: State,
    /// How far the present request has been looked at.
    at: usize,
    /// Where no end of a line has been found so far.
    line_from: usize,
    places: Vec<Place>,
}

impl Parser {
    /// Goes on with the request that begins where `buffer` does. The bytes of an inline request are
    /// changed when it is complete: quotes and escapes are taken out of them.
    ///
    /// # Errors
    /// When it is no request; see [`Error`].
    pub fn step(&mut self, buffer: &mut [u8], limits: &Limits) -> Result<Step, Error> {
        if matches!(self.state, State::Start) {
            if let Some(length) = self.short(buffer, limits) {
                return Ok(Step::Request(length));
            }
            match buffer.first() {
                None => return Ok(Step::Incomplete(1)),
                Some(b'*') => match self.count(buffer, limits)? {
                    Some(0) => return Ok(Step::Nothing(self.finish())),
                    Some(count) => self.state = State::Argument(count),
                    None => return Ok(Step::Incomplete(1)),
                },
                Some(_) => return self.inline(buffer),
            }
        }
        self.bulks(buffer, limits)
    }

    /// Nearly all requests: whole, of at most nine arguments, each shorter than a thousand bytes. What
    /// is anything else is left as it is, for the ways that know the limits and the errors.
    #[inline]
    fn short(&mut self, buffer: &[u8], limits: &Limits) -> Option<usize> {
        let [b'*', count @ b'1'..=b'9', b'\r', b'\n', ..] = buffer else {
            return None;
        };
        self.begin();
        let mut at = 4;
        for _ in 0..count - b'0' {
            let (bytes, head) = match buffer.get(at..)? {
                [b'$', a @ b'0'..=b'9', b'\r', b'\n', ..] => (digit(*a), 4),
                [b'$', a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', b'\n', ..] => {
                    (digit(*a) * 10 + digit(*b), 5)
                }
                [
                    b'$',
                    a @ b'1'..=b'9',
                    b @ b'0'..=b'9',
                    c @ b'0'..=b'9',
                    b'\r',
                    b'\n',
                    ..,
                ] => (digit(*a) * 100 + digit(*b) * 10 + digit(*c), 6),
                _ => return None,
            };
            let start = at + head;
            at = start + bytes + 2;
            if at > buffer.len() || bytes > limits.bulk_bytes_max {
                return None;
            }
            self.places.push(Place::new(start, start + bytes));
        }
        if self.places.len() > limits.arguments_max || at > limits.request_bytes_max {
            return None;
        }
        self.finish();
        Some(at)
    }

    /// The arguments of a request that is complete, in the buffer that it was found in.
    #[must_use]
    #[inline]
    pub fn arguments<'a>(&'a self, buffer: &'a mut BytesMut, length: usize) -> Arguments<'a> {
        Arguments {
            buffer,
            length,
            places: &self.places,
        }
    }

    /// Whether a request has begun.
    #[must_use]
    pub fn is_within(&self) -> bool {
        !matches!(self.state, State::Start) || self.line_from > 0
    }

    /// A request is over. Returns how many bytes it had.
    #[inline]
    fn finish(&mut self) -> usize {
        self.state = State::Start;
        self.line_from = 0;
        std::mem::take(&mut self.at)
    }

    /// Forgets the arguments of the last request.
    #[inline]
    fn begin(&mut self) {
        self.places.clear();
        if self.places.capacity() > PLACES_KEPT {
            self.places.shrink_to(PLACES_KEPT);
        }
    }

    /// `*3\r\n`
    fn count(&mut self, buffer: &[u8], limits: &Limits) -> Result<Option<usize>, Error> {
        let Some(line) = self.line(buffer, Error::CountLine)? else {
            return Ok(None);
        };
        let count = number::integer(&line[1..]).ok_or(Error::MultibulkLength)?;
        let most = i64::try_from(limits.arguments_max).unwrap_or(i64::MAX);
        if count > most {
            return Err(Error::MultibulkLength);
        }
        if count > STRANGER_ARGUMENTS_MAX && limits.stranger {
            return Err(Error::StrangerMultibulkLength);
        }
        self.begin();
        Ok(Some(usize::try_from(count).unwrap_or_default()))
    }

    fn bulks(&mut self, buffer: &[u8], limits: &Limits) -> Result<Step, Error> {
        loop {
            match self.state {
                State::Start | State::Argument(0) => return Ok(Step::Request(self.finish())),
                State::Argument(left) => {
                    let Some(line) = self.line(buffer, Error::BulkLine)? else {
                        return Ok(Step::Incomplete(1));
                    };
                    let bytes = bulk_length(line, limits)?;
                    if self.at + bytes > limits.request_bytes_max {
                        return Err(Error::RequestLength(limits.request_bytes_max));
                    }
                    self.state = State::Bulk { bytes, left };
                }
                State::Bulk { bytes, left } => {
                    // What ends it is taken for a line's end without a look, as Redis does.
                    let end = self.at + bytes + 2;
                    if buffer.len() < end {
                        return Ok(Step::Incomplete(end - buffer.len()));
                    }
                    self.places.push(Place::new(self.at, self.at + bytes));
                    self.at = end;
                    self.line_from = end;
                    self.state = State::Argument(left - 1);
                }
            }
        }
    }

    /// The line at `at`, if it is there to its end; goes on behind it.
    fn line<'a>(&mut self, buffer: &'a [u8], too_long: Error) -> Result<Option<&'a [u8]>, Error> {
        let from = self.line_from.max(self.at);
        let Some(found) = memchr::memchr(b'\r', &buffer[from..]) else {
            if buffer.len() - self.at > LINE_BYTES_MAX {
                return Err(too_long);
            }
            self.line_from = buffer.len();
            return Ok(None);
        };
        let end = from + found;
        if end - self.at > LINE_BYTES_MAX {
            return Err(too_long);
        }
        if end + 2 > buffer.len() {
            self.line_from = end;
            return Ok(None);
        }
        let line = &buffer[self.at..end];
        self.at = end + 2;
        self.line_from = self.at;
        Ok(Some(line))
    }

    fn inline(&mut self, buffer: &mut [u8]) -> Result<Step, Error> {
        let Some(found) = memchr::memchr(b'\n', &buffer[self.line_from..]) else {
            if buffer.len() > LINE_BYTES_MAX {
                return Err(Error::InlineLine);
            }
            self.line_from = buffer.len();
            return Ok(Step::Incomplete(1));
        };
        let newline = self.line_from + found;
        if newline > LINE_BYTES_MAX {
            return Err(Error::InlineLine);
        }
        let line = &mut buffer[..newline];
        let length = match line.last() {
            Some(b'\r') => newline - 1,
            _ => newline,
        };
        self.begin();
        inline::split(&mut line[..length], &mut self.places).ok_or(Error::Quotes)?;
        self.at = newline + 1;
        let bytes = self.finish();
        if self.places.is_empty() {
            return Ok(Step::Nothing(bytes));
        }
        let words = |index: usize| self.places.get(index).map(|place| &buffer[place.range()]);
        if inline::is_http(words(0), words(self.places.len() - 1)) {
            return Err(Error::Http);
        }
        Ok(Step::Request(bytes))
    }
}

fn digit(byte: u8) -> usize {
    usize::from(byte - b'0')
}

/// `$5`
fn bulk_length(line: &[u8], limits: &Limits) -> Result<usize, Error> {
    let first = line.first().copied().unwrap_or(b'\r');
    if first != b'$' {
        return Err(Error::Dollar(first));
    }
    let bytes = number::integer(&line[1..]).ok_or(Error::BulkLength)?;
    let length = usize::try_from(bytes).map_err(|_| Error::BulkLength)?;
    if length > limits.bulk_bytes_max {
        return Err(Error::BulkLength);
    }
    if bytes > STRANGER_BULK_BYTES_MAX && limits.stranger {
        return Err(Error::StrangerBulkLength);
    }
    Ok(length)
}

/// The arguments of a request, its name first, as they lie in the connection's buffer.
#[derive(Debug)]
pub struct Arguments<'a> {
    buffer: &'a mut BytesMut,
    length: usize,
    places: &'a [Place],
}

impl<'a> Arguments<'a> {
    /// How many there are.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none; a request has at least its name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// One of them, if there are so many.
    #[must_use]
    #[inline]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        self.places
            .get(index)
            .map(|place| &self.buffer[place.range()])
    }

    /// All of them from this one on.
    pub fn from(&self, first: usize) -> impl ExactSizeIterator<Item = &[u8]> {
        let places = self.places.get(first..).unwrap_or_default();
        places.iter().map(|place| &self.buffer[place.range()])
    }

    /// Those from this one on, as if they were a request.
    #[must_use]
    pub fn tail(&self, first: usize) -> Tail<'_> {
        Tail {
            buffer: self.buffer,
            places: self.places.get(first..).unwrap_or_default(),
        }
    }

    /// Takes the request out of the buffer, so that its arguments can be kept without a copy.
    #[must_use]
    #[inline]
    pub fn take(self) -> Taken<'a> {
        Taken {
            bytes: self.buffer.split_to(self.length).freeze(),
            places: self.places,
        }
    }
}

impl Index<usize> for Arguments<'_> {
    type Output = [u8];

    fn index(&self, index: usize) -> &[u8] {
        &self.buffer[self.places[index].range()]
    }
}

/// Some of the arguments of a request.
#[derive(Clone, Copy, Debug)]
pub struct Tail<'a> {
    buffer: &'a [u8],
    places: &'a [Place],
}

impl<'a> Tail<'a> {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// One of them, if there are so many.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.places
            .get(index)
            .map(|place| &self.buffer[place.range()])
    }
}

/// The arguments of a request that was taken out of its buffer.
#[derive(Clone, Debug)]
pub struct Taken<'a> {
    bytes: Bytes,
    places: &'a [Place],
}

impl Taken<'_> {
    /// How many there are, the name among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none; a request has at least its name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// One of them, if there are so many.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let place = self.places.get(index)?;
        Some(&self.bytes[place.range()])
    }

    /// One of them, which shares the buffer's memory.
    #[must_use]
    #[inline]
    pub fn bytes(&self, index: usize) -> Bytes {
        self.bytes.slice(self.places[index].range())
    }
}

impl Index<usize> for Taken<'_> {
    type Output = [u8];

    fn index(&self, index: usize) -> &[u8] {
        &self.bytes[self.places[index].range()]
    }
}

/// Removes a request from the front of a buffer that was `before` bytes long with it, unless its
/// arguments were taken.
#[inline]
pub(super) fn consume(buffer: &mut BytesMut, length: usize, before: usize) {
    if buffer.len() == before {
        buffer.advance(length);
    }
}

#[cfg(test)]
mod tests;
