//! Replies, for people and for programs.

use serde_json::value::RawValue;
use smache::client::Reply;
use smache::command::show;

use crate::cli::pretty;

/// How replies are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// With their types, and documents laid out.
    Shown {
        /// In colour.
        coloured: bool,
    },
    /// As they are, an element a line.
    Plain,
    /// As JSON, one line.
    Json,
}

impl Style {
    /// A reply with the end of its last line.
    pub(super) fn write(self, reply: &Reply) -> Vec<u8> {
        let mut out = match self {
            Style::Shown { coloured } => shown(reply, coloured).into_bytes(),
            Style::Plain => {
                let mut out = Vec::new();
                plain(reply, &mut out);
                return out;
            }
            Style::Json => {
                let mut out = Vec::new();
                json(reply, &mut out);
                out
            }
        };
        out.push(b'\n');
        out
    }

    /// What stands for the reply of a command that failed, where each has a line of its own.
    pub(super) fn write_error(self, error: &str) -> Option<Vec<u8>> {
        (self == Style::Json).then(|| self.write(&Reply::Error(error.to_owned())))
    }
}

/// Lines for people, without the end of the last one.
fn shown(reply: &Reply, coloured: bool) -> String {
    match reply {
        Reply::Nil => "(nil)".to_owned(),
        Reply::Status(text) | Reply::Text(text) => clean(text),
        Reply::Integer(number) => format!("(integer) {number}"),
        Reply::Double(number) => format!("(double) {number}"),
        Reply::BigNumber(digits) => format!("(big number) {digits}"),
        Reply::Boolean(is) => format!("({is})"),
        Reply::Error(text) => format!("(error) {}", clean(text)),
        Reply::Bytes(bytes) => document(bytes, coloured).unwrap_or_else(|| quoted(bytes)),
        Reply::Array(items) => numbered(items, ')', "(empty array)", coloured),
        Reply::Set(items) => numbered(items, '~', "(empty set)", coloured),
        Reply::Map(pairs) if pairs.is_empty() => "(empty map)".to_owned(),
        Reply::Map(pairs) => {
            let pair = |(name, value): &(Reply, Reply)| {
                let name = format!("{} => ", shown(name, coloured));
                // What a value has in more lines stands below it.
                match value {
                    Reply::Array(_) | Reply::Set(_) | Reply::Map(_) => {
                        format!("{name}\n{}", indented(&shown(value, coloured), "   "))
                    }
                    value => name + &shown(value, coloured),
                }
            };
            list(pairs.iter().map(pair), pairs.len(), '#')
        }
    }
}

fn numbered(items: &[Reply], mark: char, empty: &str, coloured: bool) -> String {
    match items.len() {
        0 => empty.to_owned(),
        count => list(items.iter().map(|item| shown(item, coloured)), count, mark),
    }
}

/// Items with their numbers before them.
fn list(items: impl Iterator<Item = String>, count: usize, mark: char) -> String {
    let width = count.to_string().len();
    let below = " ".repeat(width + 2);
    let lines = items.enumerate().map(|(index, item)| {
        let item = indented(&item, &below);
        format!(
            "{:>width$}{mark} {}",
            index + 1,
            item.trim_start_matches(' ')
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn indented(text: &str, by: &str) -> String {
    let lines = text.lines().map(|line| format!("{by}{line}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// A document or an array, laid out; nothing, if the bytes are none.
fn document(bytes: &[u8], coloured: bool) -> Option<String> {
    if !matches!(bytes.first(), Some(b'{' | b'[')) {
        return None;
    }
    let json: &RawValue = serde_json::from_slice(bytes).ok()?;
    Some(pretty::laid_out(json.get(), coloured))
}

/// Bytes in quotes, so that nothing in them can steer a terminal.
fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                c if c.is_control() || pretty::steers(c) => {
                    let mut utf8 = [0; 4];
                    let bytes = c.encode_utf8(&mut utf8).bytes();
                    out.extend(bytes.map(|byte| format!("\\x{byte:02x}")));
                }
                c => out.push(c),
            }
        }
        out.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    out.push('"');
    out
}

/// Text of several lines made harmless for a terminal.
fn clean(text: &str) -> String {
    let lines = text.lines().map(crate::cli::harmless);
    lines.collect::<Vec<_>>().join("\n")
}

/// Every value on a line, as it is.
fn plain(reply: &Reply, out: &mut Vec<u8>) {
    match reply {
        Reply::Array(items) | Reply::Set(items) => {
            for item in items {
                plain(item, out);
            }
            return;
        }
        Reply::Map(pairs) => {
            for (name, value) in pairs {
                plain(name, out);
                plain(value, out);
            }
            return;
        }
        Reply::Nil => {}
        Reply::Bytes(bytes) => out.extend_from_slice(bytes),
        Reply::Status(text) | Reply::Text(text) | Reply::BigNumber(text) => {
            out.extend_from_slice(text.as_bytes());
        }
        Reply::Error(text) => out.extend_from_slice(text.as_bytes()),
        Reply::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Reply::Double(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Reply::Boolean(is) => out.extend_from_slice(is.to_string().as_bytes()),
    }
    out.push(b'\n');
}

/// As `POST /command` answers.
fn json(reply: &Reply, out: &mut Vec<u8>) {
    match reply {
        Reply::Nil => out.extend_from_slice(b"null"),
        Reply::Boolean(is) => out.extend_from_slice(is.to_string().as_bytes()),
        Reply::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Reply::BigNumber(digits) => out.extend_from_slice(digits.as_bytes()),
        Reply::Double(number) => match number.is_finite() {
            true => out.extend_from_slice(number.to_string().as_bytes()),
            // JSON has no such number.
            false => show::write_bytes(number.to_string().to_ascii_lowercase().as_bytes(), out),
        },
        Reply::Bytes(bytes) => show::write_bytes(bytes, out),
        Reply::Status(text) | Reply::Text(text) => show::write_bytes(text.as_bytes(), out),
        Reply::Error(text) => {
            out.extend_from_slice(b"{\"error\":");
            show::write_bytes(text.as_bytes(), out);
            out.push(b'}');
        }
        Reply::Array(items) | Reply::Set(items) => {
            joined(b"[]", items, out, json);
        }
        Reply::Map(pairs) => {
            let is_text = |(name, _): &(Reply, Reply)| {
                name.as_bytes()
                    .is_some_and(|name| std::str::from_utf8(name).is_ok())
            };
            match pairs.iter().all(is_text) {
                true => joined(b"{}", pairs, out, |(name, value), out| {
                    json(name, out);
                    out.push(b':');
                    json(value, out);
                }),
                false => joined(b"[]", pairs, out, |(name, value), out| {
                    joined(b"[]", &[name, value], out, |part, out| json(part, out));
                }),
            }
        }
    }
}

fn joined<T>(brackets: &[u8; 2], items: &[T], out: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    out.push(brackets[0]);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(brackets[1]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &'static str) -> Reply {
        Reply::Bytes(text.into())
    }

    fn written(style: Style, reply: &Reply) -> String {
        String::from_utf8(style.write(reply)).unwrap()
    }

    fn nested() -> Reply {
        let inner = Reply::Array(vec![Reply::Integer(1), Reply::Nil]);
        Reply::Array(vec![bytes("a"), inner, Reply::Array(Vec::new())])
    }

    #[test]
    fn for_people() {
        let shown = |reply: &Reply| written(Style::Shown { coloured: false }, reply);
        assert_eq!(shown(&Reply::Nil), "(nil)\n");
        assert_eq!(shown(&Reply::Status("OK".to_owned())), "OK\n");
        assert_eq!(shown(&Reply::Integer(-5)), "(integer) -5\n");
        assert_eq!(shown(&bytes("a\"\n\u{1b}[2J")), "\"a\\\"\\n\\x1b[2J\"\n");
        let binary = Reply::Bytes(bytes::Bytes::from_static(b"\xff\xc3\xa9"));
        assert_eq!(shown(&binary), "\"\\xff\u{e9}\"\n");
        assert_eq!(shown(&bytes("\u{202e}x")), "\"\\xe2\\x80\\xaex\"\n");
        let want = "1) \"a\"\n2) 1) (integer) 1\n   2) (nil)\n3) (empty array)\n";
        assert_eq!(shown(&nested()), want);
        let ten = Reply::Set(vec![Reply::Nil; 10]);
        assert!(shown(&ten).starts_with(" 1~ (nil)\n"));
        assert!(shown(&ten).ends_with("\n10~ (nil)\n"));
    }

    #[test]
    fn documents_and_maps_are_laid_out() {
        let shown = |reply: &Reply| written(Style::Shown { coloured: false }, reply);
        let document = bytes("{\"a\":[1.0]}");
        assert_eq!(shown(&document), "{\n  \"a\": [\n    1.0\n  ]\n}\n");
        assert_eq!(shown(&bytes("{no")), "\"{no\"\n");
        let map = Reply::Map(vec![(bytes("f"), bytes("v")), (bytes("g"), nested())]);
        let want = "1# \"f\" => \"v\"\n2# \"g\" => \n      1) \"a\"\n";
        assert!(shown(&map).starts_with(want), "{}", shown(&map));
    }

    #[test]
    fn for_programs() {
        let map = Reply::Map(vec![(bytes("f"), nested())]);
        assert_eq!(written(Style::Plain, &map), "f\na\n1\n\n");
        assert_eq!(written(Style::Json, &map), "{\"f\":[\"a\",[1,null],[]]}\n");
        let pairs = Reply::Map(vec![(Reply::Integer(1), Reply::Boolean(true))]);
        assert_eq!(written(Style::Json, &pairs), "[[1,true]]\n");
        let binary = Reply::Bytes(bytes::Bytes::from_static(b"\xff"));
        assert_eq!(written(Style::Json, &binary), "{\"base64\":\"/w==\"}\n");
        assert_eq!(Style::Plain.write(&binary), b"\xff\n");
        assert_eq!(
            written(Style::Json, &Reply::Double(f64::INFINITY)),
            "\"inf\"\n"
        );
        let error = Style::Json.write_error("ERR no").unwrap();
        assert_eq!(error, b"{\"error\":\"ERR no\"}\n");
        assert_eq!(Style::Plain.write_error("ERR no"), None);
    }
}
