//! Any value as JSON, for doors that answer with it.
//!
//! Documents, counters and flags are JSON already. A string of bytes is a JSON string if it is
//! UTF-8, else an object with one member, `base64`; so are the items of collections. Sets and lists
//! are arrays; a hash is an object, or, if a field of it is not UTF-8, an array of pairs.
//!
//! What is written may be several times as long as what is kept: a door asks [`length`] first, and
//! gets its memory for just that.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::collection::{Item, View};
use super::{EntryRef, Kind, json};

/// What a type is called in answers.
#[must_use]
pub fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Json => "json",
        Kind::Counter => "counter",
        Kind::Bytes => "bytes",
        Kind::Flag => "flag",
        Kind::Set => "set",
        Kind::Hash => "hash",
        Kind::List => "list",
        Kind::Tombstone => "none",
    }
}

/// Writes a value as JSON.
pub fn write(entry: EntryRef<'_>, out: &mut Vec<u8>) {
    match entry.kind {
        Kind::Json | Kind::Counter | Kind::Flag => out.extend_from_slice(entry.data),
        // The table never gives one out.
        Kind::Tombstone => out.extend_from_slice(b"null"),
        Kind::Bytes => write_bytes(entry.data, out),
        Kind::Set | Kind::List => {
            let items = entry.view();
            write_joined(b"[]", items.items(), out, |(item, _), out| {
                write_bytes(item, out);
            });
        }
        Kind::Hash => {
            let pairs = entry.view();
            let is_text = is_text(pairs);
            let brackets = if is_text { b"{}" } else { b"[]" };
            write_joined(brackets, pairs.items(), out, |(field, value), out| {
                let value = value.unwrap_or_default();
                if is_text {
                    write_bytes(field, out);
                    out.push(b':');
                    write_bytes(value, out);
                } else {
                    let pair = [field, value].into_iter();
                    write_joined(b"[]", pair, out, write_bytes);
                }
            });
        }
    }
}

/// How many bytes [`write()`] writes.
#[must_use]
pub fn length(entry: EntryRef<'_>) -> usize {
    let items = entry.view();
    // The brackets, and a comma between two items.
    let around = items.len().max(1) + 1;
    match entry.kind {
        Kind::Json | Kind::Counter | Kind::Flag => entry.data.len(),
        Kind::Tombstone => 4,
        Kind::Bytes => bytes_length(entry.data),
        Kind::Set | Kind::List => {
            around
                + items
                    .items()
                    .map(|(item, _)| bytes_length(item))
                    .sum::<usize>()
        }
        Kind::Hash => {
            // A colon; or the brackets of a pair and its comma.
            let between = if is_text(items) { 1 } else { 3 };
            let pair = |(field, value): Item<'_>| {
                bytes_length(field) + between + bytes_length(value.unwrap_or_default())
            };
            around + items.items().map(pair).sum::<usize>()
        }
    }
}

/// How many bytes [`write_bytes`] writes.
#[must_use]
pub fn bytes_length(bytes: &[u8]) -> usize {
    if std::str::from_utf8(bytes).is_err() {
        return b"{\"base64\":\"\"}".len() + bytes.len().div_ceil(3) * 4;
    }
    let escaped = |byte: &u8| match byte {
        b'"' | b'\\' | 0x08 | 0x0c | b'\n' | b'\r' | b'\t' => 1,
        0..0x20 => 5,
        _ => 0,
    };
    2 + bytes.len() + bytes.iter().map(escaped).sum::<usize>()
}

fn is_text(hash: View<'_>) -> bool {
    hash.items()
        .all(|(field, _)| std::str::from_utf8(field).is_ok())
}

/// Writes bytes as JSON: as a string if they are text.
pub fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => json::write_string(text, out),
        Err(_) => {
            out.extend_from_slice(b"{\"base64\":\"");
            out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
            out.extend_from_slice(b"\"}");
        }
    }
}

/// Writes items between brackets, with commas.
fn write_joined<T>(
    brackets: &[u8; 2],
    items: impl Iterator<Item = T>,
    out: &mut Vec<u8>,
    write: impl Fn(T, &mut Vec<u8>),
) {
    out.push(brackets[0]);
    for (place, item) in items.enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(brackets[1]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Entry;
    use crate::command::collection::{Collection, Packer};
    use proptest::prelude::*;

    fn shown(kind: Kind, data: &[u8]) -> String {
        let entry = Entry {
            kind,
            data: bytes::Bytes::copy_from_slice(data),
            version: Default::default(),
            tag: None,
            expires_at: None,
        };
        let mut out = Vec::new();
        write(entry.as_ref(), &mut out);
        assert_eq!(length(entry.as_ref()), out.len());
        let open = Collection::unpack(kind, data);
        let open = EntryRef {
            data: &[],
            open: open.as_ref(),
            ..entry.as_ref()
        };
        if open.open.is_some() {
            let mut again = Vec::new();
            write(open, &mut again);
            assert_eq!((&again, length(open)), (&out, out.len()));
        }
        String::from_utf8(out).unwrap()
    }

    fn packed(count: usize, items: &[&[u8]]) -> bytes::Bytes {
        let mut packer = Packer::new(count);
        items.iter().for_each(|item| packer.push(item));
        packer.finish()
    }

    #[test]
    fn every_type_is_json() {
        assert_eq!(shown(Kind::Json, b"{\"a\":1.0}"), "{\"a\":1.0}");
        assert_eq!(shown(Kind::Counter, b"-5"), "-5");
        assert_eq!(shown(Kind::Flag, b"true"), "true");
        assert_eq!(shown(Kind::Bytes, "\"é\n".as_bytes()), r#""\"é\n""#);
        assert_eq!(shown(Kind::Bytes, b"\xff\x00"), r#"{"base64":"/wA="}"#);
        let list = packed(2, &[b"a", b"\xff"]);
        assert_eq!(shown(Kind::List, &list), r#"["a",{"base64":"/w=="}]"#);
        assert_eq!(shown(Kind::Set, &list), r#"["a",{"base64":"/w=="}]"#);
        let hash = packed(2, &[b"f", b"1", b"g", b"\xff"]);
        assert_eq!(
            shown(Kind::Hash, &hash),
            r#"{"f":"1","g":{"base64":"/w=="}}"#
        );
        let hash = packed(1, &[b"\xff", b"1"]);
        assert_eq!(shown(Kind::Hash, &hash), r#"[[{"base64":"/w=="},"1"]]"#);
    }

    proptest! {
        /// [`shown`] compares the lengths.
        #[test]
        fn it_is_as_long_as_was_said(
            items in proptest::collection::hash_map(
                proptest::collection::vec(any::<u8>(), 0..9),
                proptest::collection::vec(0..0x80u8, 0..9),
                1..9,
            ),
        ) {
            for (field, value) in &items {
                shown(Kind::Bytes, field);
                shown(Kind::Bytes, value);
            }
            let pairs: Vec<&[u8]> = items.iter().flat_map(|(f, v)| [&f[..], v]).collect();
            shown(Kind::Hash, &packed(items.len(), &pairs));
            let turned: Vec<&[u8]> = items.iter().flat_map(|(f, v)| [&v[..], f]).collect();
            shown(Kind::List, &packed(turned.len(), &turned));
        }
    }
}
