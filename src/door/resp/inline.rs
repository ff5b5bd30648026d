//! Requests as people type them: words on a line, with quotes.
//!
//! The rules are those of Redis: in double quotes `\n \r \t \a \b \\ \"` and `\xHH` mean what they
//! do in C, in single quotes only `\'`; what follows a closing quote must be white space.
//!
//! Words are rewritten in place, since none is longer than it was written.

use super::request::Place;

/// Splits a line into words. `None` if its quotes do not match; then the line is spoilt.
pub(super) fn split(line: &mut [u8], places: &mut Vec<Place>) -> Option<()> {
    let mut at = 0;
    loop {
        while line.get(at).is_some_and(|byte| is_space(*byte)) {
            at += 1;
        }
        if at == line.len() {
            return Some(());
        }
        let (place, end) = word(line, at)?;
        places.push(place);
        at = end;
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Rewrites the word at `from`; where it lies then, and where it ended.
fn word(line: &mut [u8], from: usize) -> Option<(Place, usize)> {
    let (mut at, mut out) = (from, from);
    while let Some(byte) = line.get(at).copied() {
        if is_space(byte) {
            break;
        }
        (at, out) = match byte {
            b'"' | b'\'' => quoted(line, at + 1, out, byte)?,
            other => {
                line[out] = other;
                (at + 1, out + 1)
            }
        };
    }
    Some((Place::new(from, out), at))
}

/// Rewrites what follows an opening quote, until behind the closing one.
fn quoted(line: &mut [u8], mut at: usize, mut out: usize, quote: u8) -> Option<(usize, usize)> {
    loop {
        let byte = line.get(at).copied()?;
        if byte == quote {
            let ends = line.get(at + 1).is_none_or(|next| is_space(*next));
            return ends.then_some((at + 1, out));
        }
        let (meant, length) = match (byte, line.get(at + 1)) {
            (b'\\', Some(b'\'')) if quote == b'\'' => (b'\'', 2),
            (b'\\', Some(_)) if quote == b'"' => escape(&line[at + 1..]),
            _ => (byte, 1),
        };
        line[out] = meant;
        (at, out) = (at + length, out + 1);
    }
}

/// What follows a backslash: the byte that is meant, and how long it is with the backslash.
fn escape(rest: &[u8]) -> (u8, usize) {
    match rest {
        [b'x', high, low, ..] => match (hex(*high), hex(*low)) {
            (Some(high), Some(low)) => (high << 4 | low, 4),
            _ => (b'x', 2),
        },
        [b'n', ..] => (b'\n', 2),
        [b'r', ..] => (b'\r', 2),
        [b't', ..] => (b'\t', 2),
        [b'b', ..] => (8, 2),
        [b'a', ..] => (7, 2),
        [other, ..] => (*other, 2),
        [] => (b'\\', 1),
    }
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

/// Whether a line is the beginning of HTTP, by its first and its last word: somebody makes a browser
/// send requests here.
pub(super) fn is_http(first: Option<&[u8]>, last: Option<&[u8]>) -> bool {
    const METHODS: [&[u8]; 9] = [
        b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH",
    ];
    let Some(first) = first else { return false };
    // These two are what Redis looks for.
    if first.eq_ignore_ascii_case(b"post") || first.eq_ignore_ascii_case(b"host:") {
        return true;
    }
    METHODS.contains(&first) && last.is_some_and(|last| last.starts_with(b"HTTP/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;

    fn words(line: &str) -> Option<Vec<String>> {
        let mut line = BytesMut::from(line);
        let mut places = Vec::new();
        split(&mut line, &mut places)?;
        let text = |place: &Place| {
            let bytes = &line[place.range()];
            bytes.iter().map(|byte| char::from(*byte)).collect()
        };
        Some(places.iter().map(text).collect())
    }

    #[test]
    fn words_and_quotes() {
        for (line, means) in [
            ("", &[][..]),
            (" \t ", &[]),
            ("ping", &["ping"]),
            ("  set  a\t1 ", &["set", "a", "1"]),
            (r#"set "a b" 'c d'"#, &["set", "a b", "c d"]),
            (r#""a\x41\n\q\"""#, &["aA\nq\""]),
            (r#"'a\'b\n'"#, &["a'b\\n"]),
            (r#"a"b c""#, &["ab c"]),
            (r#""" '' x"#, &["", "", "x"]),
            (r#""\xzz\x4""#, &["xzzx4"]),
            (r"a\nb", &[r"a\nb"]),
            (r#""\xff""#, &["\u{ff}"]),
        ] {
            assert_eq!(words(line).unwrap(), means, "{line}");
        }
    }

    #[test]
    fn quotes_that_do_not_match() {
        for line in ["\"a", "'a", "\"a\"b", "'a'\"b\"", "a\"", "\"\\", "\"a\\\""] {
            assert_eq!(words(line), None, "{line}");
        }
    }

    #[test]
    fn the_beginning_of_http() {
        let is = |line: &str| {
            let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            is_http(words.first().copied(), words.last().copied())
        };
        for line in [
            "GET / HTTP/1.1",
            "POST /",
            "host: a",
            "Host:",
            "OPTIONS * HTTP/1.0",
        ] {
            assert!(is(line), "{line}");
        }
        for line in [
            "GET key",
            "get key",
            "SET HTTP/1.1 HTTP/1.1",
            "hostname",
            "PING",
        ] {
            assert!(!is(line), "{line}");
        }
        assert!(!is_http(None, None));
    }
}
