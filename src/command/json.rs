//! JSON as text: validated, compacted and patched without ever becoming numbers.
//!
//! Documents come in as bytes, are checked in one pass ([`compact`]) and from then on are known to
//! be sound, so that they leave as the bytes they are: `1.0`, `1e300`, thirty digits, the order of
//! members, escapes and duplicate names all stay as they were written. Doors read request
//! envelopes with [`Object`]; [`apply`](super::apply) changes documents with [`merge_patch`]. Parts
//! of documents are read and changed at a [`path`], by the commands in [`operation`].
//!
//! Invariant: what [`compact`] returns is one JSON text by RFC 8259, in UTF-8, without white space
//! outside of strings, without lone surrogates, and no deeper than was allowed.

mod error;
pub mod layout;
mod merge;
mod object;
pub mod operation;
pub mod path;
#[cfg(test)]
mod properties;
mod runs;
mod scan;
#[cfg(test)]
mod tests;
mod text;

use bytes::Bytes;

pub use error::{Code, Error};
pub use merge::merge_patch;
pub use object::{MEMBERS_MAX, Object};
pub use operation::{Answer, Change, Element, Operation};
pub use scan::DEPTH_MAX;
pub use text::{string, write_string};

/// Validates one JSON text by RFC 8259 and removes the white space outside of strings; all else
/// stays byte for byte. Without such white space the result shares the buffer of `text`. Objects
/// and arrays may lie `depth_max` deep, and never deeper than [`DEPTH_MAX`].
///
/// # Errors
/// When it is no JSON, nests too deep, is not UTF-8 or escapes a lone surrogate.
///
/// ```
/// use bytes::Bytes;
/// use smache::command::json::compact;
/// let text = Bytes::from_static(br#" { "n": [ 1.0, 1e300 ] } "#);
/// assert_eq!(compact(&text, 128).as_deref(), Ok(&br#"{"n":[1.0,1e300]}"#[..]));
/// let error = compact(&Bytes::from_static(b"[1 2]"), 128).unwrap_err();
/// assert_eq!(error.to_string(), "expected ',' or ']' after an element at byte 3");
/// ```
pub fn compact(text: &Bytes, depth_max: usize) -> Result<Bytes, Error> {
    let mut scanner = scan::Scanner::new(text, depth_max)?;
    let start = scanner.at();
    let mut runs = runs::Runs::new(start);
    scanner.value(&mut runs, 0)?;
    let end = scanner.at();
    scanner.finish()?;
    Ok(runs.finish(text, start, end))
}

/// The type of a JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// Text in quotes.
    String,
    /// A number, whole or not.
    Number,
    /// Members in braces.
    Object,
    /// Elements in brackets.
    Array,
    /// `true`
    True,
    /// `false`
    False,
    /// `null`
    Null,
}

/// The type of a compact JSON text, which its first byte tells.
#[must_use]
pub fn type_of(json: &[u8]) -> Type {
    match json.first() {
        Some(b'"') => Type::String,
        Some(b'{') => Type::Object,
        Some(b'[') => Type::Array,
        Some(b't') => Type::True,
        Some(b'f') => Type::False,
        Some(b'n') => Type::Null,
        _ => Type::Number,
    }
}

/// Whether a compact JSON text is an object.
#[must_use]
pub fn is_object(json: &[u8]) -> bool {
    type_of(json) == Type::Object
}
