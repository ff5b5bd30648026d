//! Writing replies, in RESP2 or RESP3.
//!
//! Everything is appended to one buffer of bytes. What RESP2 has no form for is written as what Redis
//! writes for it there: a map as a flat array, a double as text.

use std::io::Write;

/// Which protocol a client has asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Protocol {
    /// What every connection begins with.
    #[default]
    Resp2,
    /// After `HELLO 3`.
    Resp3,
}

impl Protocol {
    /// Its number.
    #[must_use]
    pub(super) fn number(self) -> i64 {
        match self {
            Protocol::Resp2 => 2,
            Protocol::Resp3 => 3,
        }
    }
}

/// Replies in the making. See the module.
#[derive(Debug, Default)]
pub(super) struct Out {
    bytes: Vec<u8>,
    protocol: Protocol,
}

impl Out {
    /// Nothing yet.
    #[must_use]
    pub(super) fn new(protocol: Protocol) -> Out {
        Out {
            bytes: Vec::new(),
            protocol,
        }
    }

    /// The protocol that it writes.
    #[must_use]
    pub(super) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// From here on it writes this one.
    pub(super) fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    fn is_resp3(&self) -> bool {
        self.protocol == Protocol::Resp3
    }

    /// What was written.
    #[must_use]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes what was written.
    #[must_use]
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// How long it is.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written.
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    #[inline]
    fn line(&mut self, mark: u8, text: &[u8]) {
        self.bytes.push(mark);
        self.bytes.extend_from_slice(text);
        self.bytes.extend_from_slice(b"\r\n");
    }

    #[inline]
    fn count(&mut self, mark: u8, count: usize) {
        let mut digits = itoa::Buffer::new();
        self.line(mark, digits.format(count).as_bytes());
    }

    /// `OK`.
    #[inline]
    pub(super) fn ok(&mut self) {
        self.bytes.extend_from_slice(b"+OK\r\n");
    }

    /// A word without line breaks.
    pub(super) fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// An error: a word in capitals, a space, and what is wrong. It may name what a client sent, whatever
    /// bytes that were: line breaks in it become spaces.
    pub(super) fn error_bytes(&mut self, text: &[u8]) {
        self.bytes.push(b'-');
        let plain = |byte: &u8| match *byte {
            b'\r' | b'\n' => b' ',
            other => other,
        };
        self.bytes.extend(text.iter().map(plain));
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// A whole number.
    #[inline]
    pub(super) fn integer(&mut self, value: i64) {
        let mut digits = itoa::Buffer::new();
        self.line(b':', digits.format(value).as_bytes());
    }

    /// A whole number, as it is written.
    pub(super) fn integer_text(&mut self, digits: &[u8]) {
        self.line(b':', digits);
    }

    /// A number of things.
    pub(super) fn length(&mut self, value: usize) {
        self.integer(i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// Bytes.
    #[inline]
    pub(super) fn bulk(&mut self, data: &[u8]) {
        self.bytes.reserve(data.len() + 16);
        self.count(b'$', data.len());
        self.bytes.extend_from_slice(data);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Text.
    pub(super) fn text(&mut self, text: &str) {
        self.bulk(text.as_bytes());
    }

    /// A number as bytes.
    pub(super) fn bulk_integer(&mut self, value: i64) {
        let mut digits = itoa::Buffer::new();
        self.bulk(digits.format(value).as_bytes());
    }

    /// No value, where there would be bytes.
    #[inline]
    pub(super) fn null(&mut self) {
        let form: &[u8] = if self.is_resp3() {
            b"_\r\n"
        } else {
            b"$-1\r\n"
        };
        self.bytes.extend_from_slice(form);
    }

    /// No value, where there would be an array.
    pub(super) fn null_array(&mut self) {
        let form: &[u8] = if self.is_resp3() {
            b"_\r\n"
        } else {
            b"*-1\r\n"
        };
        self.bytes.extend_from_slice(form);
    }

    /// Bytes, or none.
    pub(super) fn bulk_or_null(&mut self, data: Option<&[u8]>) {
        match data {
            Some(data) => self.bulk(data),
            None => self.null(),
        }
    }

    /// So many replies follow, which are one array.
    pub(super) fn array(&mut self, count: usize) {
        self.count(b'*', count);
    }

    /// So many pairs of replies follow, which are one map.
    pub(super) fn map(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.count(b'*', pairs * 2),
            Protocol::Resp3 => self.count(b'%', pairs),
        }
    }

    /// So many replies follow, which are one set.
    pub(super) fn set(&mut self, count: usize) {
        match self.protocol {
            Protocol::Resp2 => self.count(b'*', count),
            Protocol::Resp3 => self.count(b'~', count),
        }
    }

    /// So many replies follow, which nobody asked for.
    pub(super) fn push(&mut self, count: usize) {
        match self.protocol {
            Protocol::Resp2 => self.count(b'*', count),
            Protocol::Resp3 => self.count(b'>', count),
        }
    }

    /// A number with a fraction, as it is written.
    pub(super) fn double_text(&mut self, text: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => self.line(b',', text),
        }
    }

    /// Text that is meant to be shown as it is; `form` are three letters: `txt` or `mkd`.
    pub(super) fn verbatim(&mut self, form: &str, text: &str) {
        match self.protocol {
            Protocol::Resp2 => self.text(text),
            Protocol::Resp3 => {
                self.count(b'=', text.len() + 4);
                // Writing to memory does not fail.
                let _ = write!(self.bytes, "{form}:{text}\r\n");
            }
        }
    }

    /// Puts what was written elsewhere behind what is here.
    pub(super) fn append(&mut self, other: Out) {
        // What is long changes hands; what is short is copied, and this buffer used again.
        if self.bytes.is_empty() && other.bytes.len() > self.bytes.capacity() {
            self.bytes = other.bytes;
        } else {
            self.bytes.extend_from_slice(&other.bytes);
        }
    }

    /// Begins anew, with a buffer of about so much at most.
    pub(super) fn clear(&mut self, kept: usize) {
        self.bytes.clear();
        if self.bytes.capacity() > kept * 4 {
            self.bytes.shrink_to(kept);
        }
    }

    /// Takes back what was written after it was so long.
    pub(super) fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What both protocols make of it.
    fn both(write: impl Fn(&mut Out)) -> (String, String) {
        let text = |protocol| {
            let mut out = Out::new(protocol);
            write(&mut out);
            String::from_utf8(out.into_bytes()).unwrap()
        };
        (text(Protocol::Resp2), text(Protocol::Resp3))
    }

    fn same(write: impl Fn(&mut Out)) -> String {
        let (two, three) = both(write);
        assert_eq!(two, three);
        two
    }

    #[test]
    fn what_is_alike_in_both() {
        assert_eq!(same(Out::ok), "+OK\r\n");
        assert_eq!(same(|out| out.simple("PONG")), "+PONG\r\n");
        assert_eq!(same(|out| out.error_bytes(b"ERR a\r\nb")), "-ERR a  b\r\n");
        assert_eq!(
            same(|out| out.integer(i64::MIN)),
            ":-9223372036854775808\r\n"
        );
        assert_eq!(same(|out| out.length(0)), ":0\r\n");
        assert_eq!(same(|out| out.bulk(b"a\r\n")), "$3\r\na\r\n\r\n");
        assert_eq!(same(|out| out.bulk(b"")), "$0\r\n\r\n");
        assert_eq!(same(|out| out.bulk_integer(-12)), "$3\r\n-12\r\n");
        assert_eq!(same(|out| out.array(2)), "*2\r\n");
        assert_eq!(same(|out| out.bulk_or_null(Some(b"a"))), "$1\r\na\r\n");
    }

    #[test]
    fn what_only_resp3_has() {
        let pair = |two: &str, three: &str| (two.to_owned(), three.to_owned());
        assert_eq!(both(Out::null), pair("$-1\r\n", "_\r\n"));
        assert_eq!(both(|out| out.bulk_or_null(None)), pair("$-1\r\n", "_\r\n"));
        assert_eq!(both(Out::null_array), pair("*-1\r\n", "_\r\n"));
        assert_eq!(both(|out| out.map(2)), pair("*4\r\n", "%2\r\n"));
        assert_eq!(both(|out| out.set(2)), pair("*2\r\n", "~2\r\n"));
        assert_eq!(both(|out| out.push(3)), pair("*3\r\n", ">3\r\n"));
        assert_eq!(
            both(|out| out.double_text(b"1.5")),
            pair("$3\r\n1.5\r\n", ",1.5\r\n")
        );
        let verbatim = |out: &mut Out| out.verbatim("txt", "a: b");
        assert_eq!(both(verbatim), pair("$4\r\na: b\r\n", "=8\r\ntxt:a: b\r\n"));
    }

    #[test]
    fn the_protocol_changes_in_between() {
        let mut out = Out::new(Protocol::Resp2);
        out.null();
        out.set_protocol(Protocol::Resp3);
        let before = out.len();
        out.null();
        out.null();
        out.truncate(before + 3);
        assert_eq!(out.bytes(), b"$-1\r\n_\r\n");
        assert_eq!(out.protocol().number(), 3);
    }
}
