//! JSON text laid out anew, token by token: no number or string is ever interpreted.
//!
//! Input must be valid JSON; whoever calls has had it parsed. Used to show values on a terminal,
//! and to bring values from files onto one line.

/// On one line, without white space between tokens.
pub(super) fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut in_string = false;
    let mut escaped = false;
    for c in json.chars() {
        if in_string {
            out.push(c);
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if !c.is_ascii_whitespace() {
            in_string = c == '"';
            out.push(c);
        }
    }
    out
}

/// Over several lines, indented by two spaces. Characters that could steer a terminal are escaped
/// as JSON knows how to.
pub(super) fn indented(json: &str) -> String {
    let json = compact(json);
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0;
    let mut in_string = false;
    let mut escaped = false;
    let mut chars = json.chars().peekable();
    while let Some(c) = chars.next() {
        if in_string {
            push_harmless(&mut out, c);
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        match c {
            '{' | '[' => {
                out.push(c);
                if let Some(close) = chars.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(close);
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth -= 1;
                new_line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ => {
                in_string = c == '"';
                out.push(c);
            }
        }
    }
    out
}

/// Over several lines, in colour if that is wanted.
pub(super) fn laid_out(json: &str, coloured: bool) -> String {
    paint(indented(json), coloured)
}

/// On one line, harmless for a terminal, in colour if that is wanted.
pub(super) fn one_line(json: &str, coloured: bool) -> String {
    let mut out = String::with_capacity(json.len());
    for c in compact(json).chars() {
        push_harmless(&mut out, c);
    }
    paint(out, coloured)
}

const NAME: &str = "\x1b[34m";
const STRING: &str = "\x1b[32m";
const SCALAR: &str = "\x1b[36m";
const PLAIN: &str = "\x1b[0m";

/// Puts colours around names, strings, and numbers and words.
fn paint(json: String, coloured: bool) -> String {
    if !coloured {
        return json;
    }
    let mut out = String::with_capacity(json.len() * 2);
    let mut rest = &json[..];
    while let Some(first) = rest.chars().next() {
        let (length, colour) = match first {
            '"' => {
                let length = string_length(rest);
                let is_name = rest[length..].starts_with(':');
                (length, Some(if is_name { NAME } else { STRING }))
            }
            '-' | '0'..='9' | 'a'..='z' => {
                let is_over = |c: char| matches!(c, ',' | ']' | '}' | '\n');
                (rest.find(is_over).unwrap_or(rest.len()), Some(SCALAR))
            }
            other => (other.len_utf8(), None),
        };
        let (token, behind) = rest.split_at(length);
        match colour {
            Some(colour) => out.extend([colour, token, PLAIN]),
            None => out.push_str(token),
        }
        rest = behind;
    }
    out
}

/// How long the string is that a text begins with, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            b'"' if !escaped => return at + 1,
            _ => escaped = !escaped && byte == b'\\',
        }
    }
    text.len()
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

/// Whether a character steers a terminal or reorders text: control characters beyond ASCII, and marks
/// of direction. They may stand in JSON as they are.
pub(super) fn steers(c: char) -> bool {
    matches!(c, '\u{7f}'..='\u{9f}' | '\u{200e}' | '\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn push_harmless(out: &mut String, c: char) {
    if steers(c) {
        out.push_str(&format!("\\u{:04x}", c as u32));
    } else {
        out.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_stay_as_they_were_written() {
        let json = " { \"a\\\"b\" : [ 1.0 , 1e300,\n{} , [] ], \"c d\\\\\":\t\"x, {y}: \" } ";
        assert_eq!(
            compact(json),
            r#"{"a\"b":[1.0,1e300,{},[]],"c d\\":"x, {y}: "}"#
        );
        let want = "{\n  \"a\\\"b\": [\n    1.0,\n    1e300,\n    {},\n    []\n  ],\n  \
                    \"c d\\\\\": \"x, {y}: \"\n}";
        assert_eq!(indented(json), want);
        assert_eq!(compact(&indented(json)), compact(json));
    }

    #[test]
    fn scalars_are_left_alone() {
        for json in [
            "1.0",
            "null",
            "\"\"",
            "{}",
            "[]",
            "123456789012345678901234567890",
        ] {
            assert_eq!(indented(json), json);
        }
    }

    #[test]
    fn colours_surround_tokens() {
        let painted = laid_out(r#"{"a":["b\\",-1.5,true,{}]}"#, true);
        let want = "{\n  \x1b[34m\"a\"\x1b[0m: [\n    \x1b[32m\"b\\\\\"\x1b[0m,\n    \
                    \x1b[36m-1.5\x1b[0m,\n    \x1b[36mtrue\x1b[0m,\n    {}\n  ]\n}";
        assert_eq!(painted, want);
        assert_eq!(one_line("7", true), "\x1b[36m7\x1b[0m");
        assert_eq!(one_line("[\"\u{202e}\", 1]", false), "[\"\\u202e\",1]");
    }

    #[test]
    fn terminals_are_not_steered() {
        assert_eq!(indented("\"\u{9b}2J\u{202e}\""), "\"\\u009b2J\\u202e\"");
    }
}
