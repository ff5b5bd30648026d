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

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

/// Control characters beyond ASCII, and those that reorder text, may stand in JSON as they are.
fn push_harmless(out: &mut String, c: char) {
    let steers = matches!(c, '\u{7f}'..='\u{9f}' | '\u{200e}' | '\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if steers {
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
    fn terminals_are_not_steered() {
        assert_eq!(indented("\"\u{9b}2J\u{202e}\""), "\"\\u009b2J\\u202e\"");
    }
}
