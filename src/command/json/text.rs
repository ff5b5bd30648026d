//! JSON strings: from their written form to the text that they mean, and back.

use std::borrow::Cow;

use super::scan::{Scanner, stops, word};

/// The text that one JSON string means, escapes and surrogate pairs decoded; `None` if it is no
/// string, or more than one. Borrows when nothing is escaped.
///
/// ```
/// use smache::command::json::string;
/// assert_eq!(string(br#""a\u0062\ud83d\ude00""#).as_deref(), Some("ab😀"));
/// assert_eq!(string(b"17"), None);
/// ```
#[must_use]
pub fn string(json: &[u8]) -> Option<Cow<'_, str>> {
    if json.first() != Some(&b'"') {
        return None;
    }
    let mut scanner = Scanner::new(json, 0).ok()?;
    scanner.string().ok()?;
    if scanner.at() != json.len() {
        return None;
    }
    match decode(&json[1..json.len() - 1]) {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    }
}

/// What the body of a valid string means, as UTF-8.
pub(super) fn decode(body: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(b'\\', body) else {
        return Cow::Borrowed(body);
    };
    let mut out = Vec::with_capacity(body.len());
    out.extend_from_slice(&body[..first]);
    let mut rest = &body[first..];
    while let [b'\\', escape, behind @ ..] = rest {
        rest = match escape {
            b'u' => decode_unicode(behind, &mut out),
            b'b' => plain(0x08, behind, &mut out),
            b'f' => plain(0x0c, behind, &mut out),
            b'n' => plain(b'\n', behind, &mut out),
            b'r' => plain(b'\r', behind, &mut out),
            b't' => plain(b'\t', behind, &mut out),
            itself => plain(*itself, behind, &mut out),
        };
        let run = memchr::memchr(b'\\', rest).unwrap_or(rest.len());
        out.extend_from_slice(&rest[..run]);
        rest = &rest[run..];
    }
    Cow::Owned(out)
}

fn plain<'a>(byte: u8, rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    out.push(byte);
    rest
}

/// Decodes the digits behind a `\u`, and the other half of a pair if they are one half.
fn decode_unicode<'a>(digits: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let (mut code, mut rest) = hex(digits);
    if let (0xd800..=0xdbff, [b'\\', b'u', low @ ..]) = (code, rest) {
        let (low, behind) = hex(low);
        code = 0x10000 + ((code - 0xd800) << 10) + (low.wrapping_sub(0xdc00) & 0x3ff);
        rest = behind;
    }
    let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    rest
}

fn hex(text: &[u8]) -> (u32, &[u8]) {
    let (digits, rest) = text.split_at(text.len().min(4));
    let code = digits.iter().fold(0, |code, digit| {
        code << 4 | (*digit as char).to_digit(16).unwrap_or(0)
    });
    (code, rest)
}

/// Writes `text` as a JSON string, escaping only what must be: quotes, backslashes and control
/// characters.
///
/// ```
/// let mut out = Vec::new();
/// smache::command::json::write_string("a \"b\"\n", &mut out);
/// assert_eq!(out, br#""a \"b\"\n""#);
/// ```
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut written = 0;
    let mut at = 0;
    while at < bytes.len() {
        let stops = stops(word(bytes, at));
        if stops == 0 {
            at += 8;
            continue;
        }
        at += stops.trailing_zeros() as usize / 8;
        if let Some(byte) = bytes.get(at) {
            out.extend_from_slice(&bytes[written..at]);
            write_escape(*byte, out);
            at += 1;
            written = at;
        }
    }
    out.extend_from_slice(&bytes[written..]);
    out.push(b'"');
}

fn write_escape(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        b'"' | b'\\' => byte,
        _ => {
            out.extend_from_slice(b"\\u00");
            out.push(DIGITS[usize::from(byte >> 4)]);
            out.push(DIGITS[usize::from(byte & 15)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}
