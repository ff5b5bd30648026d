//! Documents with white space, for people: what `INDENT`, `NEWLINE` and `SPACE` of `JSON.GET` ask for.

use bytes::Bytes;

/// The longest of the three parts of a layout.
pub(super) const PART_BYTES_MAX: usize = 64;

/// What is put where.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    /// Before each member and element, once for each level.
    pub(super) indent: Bytes,
    /// Behind each bracket and comma.
    pub(super) newline: Bytes,
    /// Behind each colon.
    pub(super) space: Bytes,
}

impl Layout {
    /// Whether it changes nothing.
    pub(super) fn is_compact(&self) -> bool {
        self.indent.is_empty() && self.newline.is_empty() && self.space.is_empty()
    }

    fn line(&self, depth: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.newline);
        for _ in 0..depth {
            out.extend_from_slice(&self.indent);
        }
    }
}

/// Writes a compact JSON text with white space. False if that would be longer than `bytes_max`; then
/// it stops there.
pub(super) fn write_pretty(
    text: &[u8],
    layout: &Layout,
    bytes_max: usize,
    out: &mut Vec<u8>,
) -> bool {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(byte) = text.get(at).copied() {
        if out.len() > bytes_max {
            return false;
        }
        let next = text.get(at + 1).copied();
        match byte {
            b'"' => {
                let length = string_length(&text[at..]);
                out.extend_from_slice(&text[at..at + length]);
                at += length;
                continue;
            }
            b'{' | b'[' => {
                out.push(byte);
                if matches!(next, Some(b'}' | b']')) {
                    out.extend(next);
                    at += 1;
                } else {
                    depth += 1;
                    layout.line(depth, out);
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                layout.line(depth, out);
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                layout.line(depth, out);
            }
            b':' => {
                out.push(byte);
                out.extend_from_slice(&layout.space);
            }
            other => out.push(other),
        }
        at += 1;
    }
    out.len() <= bytes_max
}

/// How long the string is that a text begins with, quotes included.
fn string_length(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pretty(text: &str) -> String {
        let layout = Layout {
            indent: Bytes::from_static(b"  "),
            newline: Bytes::from_static(b"\n"),
            space: Bytes::from_static(b" "),
        };
        let mut out = Vec::new();
        assert!(write_pretty(text.as_bytes(), &layout, 1_000, &mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn it_is_bounded() {
        let layout = Layout {
            indent: Bytes::from(vec![b' '; PART_BYTES_MAX]),
            ..Layout::default()
        };
        let text = "[".repeat(100) + &"1,".repeat(1_000) + "1" + &"]".repeat(100);
        let mut out = Vec::new();
        assert!(!write_pretty(text.as_bytes(), &layout, 10_000, &mut out));
        assert!(
            out.len() <= 10_000 + 100 * PART_BYTES_MAX + 1,
            "{}",
            out.len()
        );
    }

    #[test]
    fn white_space_outside_of_strings() {
        assert_eq!(pretty("1.50"), "1.50");
        assert_eq!(pretty("{}"), "{}");
        assert_eq!(pretty("[[],{}]"), "[\n  [],\n  {}\n]");
        assert_eq!(
            pretty(r#"{"a":[1,"x,:\"{"],"b":null}"#),
            "{\n  \"a\": [\n    1,\n    \"x,:\\\"{\"\n  ],\n  \"b\": null\n}"
        );
    }
}
