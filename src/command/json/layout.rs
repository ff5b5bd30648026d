//! Compact JSON written for people: with line breaks, indentation and spaces of their choosing.
//!
//! Redis's `JSON.GET` takes all three as arguments. Strings and numbers stay as they are written.

/// What stands between the parts of a document; nothing, if all are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Before each member and element, once for each level.
    pub indent: Vec<u8>,
    /// Before the first member or element, behind each comma, and before what closes.
    pub newline: Vec<u8>,
    /// Behind the colon of a member.
    pub space: Vec<u8>,
}

impl Layout {
    /// Whether a document stays as it is.
    #[must_use]
    pub fn is_compact(&self) -> bool {
        self.indent.is_empty() && self.newline.is_empty() && self.space.is_empty()
    }

    /// Lays out a compact JSON text; `None` if the result would be longer than `bytes_max`.
    ///
    /// ```
    /// use smache::command::json::layout::Layout;
    /// let layout = Layout {
    ///     indent: b"  ".to_vec(),
    ///     newline: b"\n".to_vec(),
    ///     space: b" ".to_vec(),
    /// };
    /// let text = layout.apply(br#"{"a":[1.0],"b":{}}"#, 1000).unwrap();
    /// assert_eq!(text, b"{\n  \"a\": [\n    1.0\n  ],\n  \"b\": {}\n}");
    /// ```
    #[must_use]
    pub fn apply(&self, json: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(json.len().min(bytes_max));
        let mut depth = 0_usize;
        let mut at = 0;
        while let Some(byte) = json.get(at) {
            let from = at;
            at += 1;
            match byte {
                b'"' => at = behind_string(json, at),
                b'{' | b'[' if matches!(json.get(at), Some(b'}' | b']')) => at += 1,
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    self.break_line(depth, &mut out, bytes_max)?;
                }
                _ => {}
            }
            push(&json[from..at], &mut out, bytes_max)?;
            match byte {
                b':' => push(&self.space, &mut out, bytes_max)?,
                b',' => self.break_line(depth, &mut out, bytes_max)?,
                b'{' | b'[' if at == from + 1 => self.break_line(depth, &mut out, bytes_max)?,
                _ => {}
            }
        }
        Some(out)
    }

    fn break_line(&self, depth: usize, out: &mut Vec<u8>, bytes_max: usize) -> Option<()> {
        push(&self.newline, out, bytes_max)?;
        if self.indent.is_empty() {
            return Some(());
        }
        (0..depth).try_for_each(|_| push(&self.indent, out, bytes_max))
    }
}

fn push(text: &[u8], out: &mut Vec<u8>, bytes_max: usize) -> Option<()> {
    let fits = text.len() <= bytes_max.saturating_sub(out.len());
    fits.then(|| out.extend_from_slice(text))
}

/// The place behind the string whose first character is at `at`.
fn behind_string(json: &[u8], mut at: usize) -> usize {
    while let Some(stop) = json
        .get(at..)
        .and_then(|rest| memchr::memchr2(b'"', b'\\', rest))
    {
        at += stop;
        if json[at] == b'"' {
            return at + 1;
        }
        at = (at + 2).min(json.len());
    }
    json.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::properties::any_json;
    use super::*;

    fn layout(indent: &str, newline: &str, space: &str) -> Layout {
        Layout {
            indent: indent.into(),
            newline: newline.into(),
            space: space.into(),
        }
    }

    fn laid_out(layout: &Layout, json: &str) -> String {
        let text = layout.apply(json.as_bytes(), 1 << 20).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn each_part_where_it_belongs() {
        let json = r#"{"a\"{":[1,{}],"b":[],"c":{"d":[[2.0]]}}"#;
        let marked = layout(">", "|", "_");
        assert_eq!(
            laid_out(&marked, json),
            r#"{|>"a\"{":_[|>>1,|>>{}|>],|>"b":_[],|>"c":_{|>>"d":_[|>>>[|>>>>2.0|>>>]|>>]|>}|}"#
        );
        assert_eq!(laid_out(&layout("", "", ""), json), json);
        assert_eq!(laid_out(&layout("", "", " "), r#"{"a":1}"#), r#"{"a": 1}"#);
        assert_eq!(
            laid_out(&layout("", "\r\n", ""), "[1,2]"),
            "[\r\n1,\r\n2\r\n]"
        );
        assert_eq!(laid_out(&layout("\t", "", ""), "[1,2]"), "[\t1,\t2]");
        for scalar in ["1.0", "\"a,[:\"", "null", "[]", "{}"] {
            assert_eq!(laid_out(&marked, scalar), scalar);
        }
        assert!(layout("", "", "").is_compact());
        assert!(!marked.is_compact());
    }

    #[test]
    fn the_result_is_bounded() {
        let wide = layout(&" ".repeat(1000), "\n", "");
        let json = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert_eq!(wide.apply(json.as_bytes(), 1 << 20), None);
        let narrow = layout(" ", "\n", "");
        let length = narrow.apply(json.as_bytes(), 1 << 20).unwrap().len();
        assert!(narrow.apply(json.as_bytes(), length).is_some());
        assert_eq!(narrow.apply(json.as_bytes(), length - 1), None);
    }

    proptest! {
        #[test]
        fn the_usual_layout_is_that_of_serde_json(value in any_json()) {
            let text = laid_out(&layout("  ", "\n", " "), &value.to_string());
            prop_assert_eq!(text, serde_json::to_string_pretty(&value).unwrap());
        }

        #[test]
        fn no_text_makes_it_panic(text in r#"[\[\]{}"\\,:a]{0,30}"#) {
            let _ = layout(" ", "\n", " ").apply(text.as_bytes(), 100);
        }
    }
}
