//! What answers tell: the members between the key's name and the node's.

use bytes::Bytes;

use super::super::failure::Failure;
use crate::command::{Answer, Entry, json, show};

/// Something that can be told. Each member that it writes has a comma behind it.
#[derive(Debug)]
pub(super) struct Shown<M> {
    /// How many bytes `members` writes at most.
    pub(super) bytes: usize,
    pub(super) members: M,
}

/// How long [`write_number`] writes at most, beside the name.
pub(super) const NUMBER_BYTES: usize = 24;

/// Writes the name of a member.
pub(super) fn name_member(name: &str, out: &mut Vec<u8>) {
    json::write_string(name, out);
    out.push(b':');
}

/// Writes a member that is a whole number.
pub(super) fn write_number(name: &str, number: i64, out: &mut Vec<u8>) {
    name_member(name, out);
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    out.push(b',');
}

/// Nothing.
pub(super) fn nothing() -> Shown<impl FnOnce(&mut Vec<u8>)> {
    Shown {
        bytes: 0,
        members: |_: &mut Vec<u8>| {},
    }
}

/// A number.
pub(super) fn number(name: &'static str, number: i64) -> Shown<impl FnOnce(&mut Vec<u8>)> {
    Shown {
        bytes: name.len() + NUMBER_BYTES,
        members: move |out: &mut Vec<u8>| write_number(name, number, out),
    }
}

/// A member that is JSON already.
pub(super) fn raw<'a>(name: &'static str, json: &'a [u8]) -> Shown<impl FnOnce(&mut Vec<u8>) + 'a> {
    Shown {
        bytes: name.len() + json.len() + 4,
        members: move |out: &mut Vec<u8>| {
            name_member(name, out);
            out.extend_from_slice(json);
            out.push(b',');
        },
    }
}

/// A name that the request gave, and what is found there, which is JSON already.
pub(super) fn found<'a>(
    names: (&'static str, &'static str),
    name: &'a str,
    json: &'a [u8],
) -> Shown<impl FnOnce(&mut Vec<u8>) + 'a> {
    Shown {
        bytes: names.0.len() + names.1.len() + show::bytes_length(name.as_bytes()) + json.len() + 8,
        members: move |out: &mut Vec<u8>| {
            name_member(names.0, out);
            json::write_string(name, out);
            out.push(b',');
            name_member(names.1, out);
            out.extend_from_slice(json);
            out.push(b',');
        },
    }
}

/// The items that an operation answers with.
pub(super) fn items(answer: &Answer) -> Result<Shown<impl FnOnce(&mut Vec<u8>)>, Failure> {
    let items: &[Option<Bytes>] = match answer {
        Answer::List(items) => items,
        // Nothing was there to take them from.
        Answer::Nothing => &[],
        _ => return Err(Failure::unexpected()),
    };
    let length = |item: &Option<Bytes>| item.as_ref().map_or(4, |item| show::bytes_length(item));
    let bytes: usize = items.iter().map(|item| length(item) + 1).sum();
    Ok(Shown {
        bytes: bytes + "\"items\":[],".len(),
        members: move |out: &mut Vec<u8>| {
            name_member("items", out);
            out.push(b'[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                write_item(item.as_deref(), out);
            }
            out.extend_from_slice(b"],");
        },
    })
}

/// Writes an item; one that is not there is `null`.
pub(super) fn write_item(item: Option<&[u8]>, out: &mut Vec<u8>) {
    match item {
        Some(item) => show::write_bytes(item, out),
        None => out.extend_from_slice(b"null"),
    }
}

/// A whole collection; `empty` is one that is not there.
pub(super) fn collection<'a>(
    name: &'static str,
    empty: &'static str,
    entry: Option<&'a Entry>,
) -> Shown<impl FnOnce(&mut Vec<u8>) + 'a> {
    let entry = entry.map(Entry::as_ref);
    Shown {
        bytes: name.len() + entry.map_or(empty.len(), show::length) + "\"\":,".len(),
        members: move |out: &mut Vec<u8>| {
            name_member(name, out);
            match entry {
                Some(entry) => show::write(entry, out),
                None => out.extend_from_slice(empty.as_bytes()),
            }
            out.push(b',');
        },
    }
}
