//! JSONPath (RFC 9535) on the text of documents: what a path selects is read, replaced or removed
//! as bytes, and everything else stays as it was written.
//!
//! A [`Path`] is read from text once and then used on any compact document. Reading is in
//! [`select`], [`get`] and their neighbours, writing in [`set`], [`delete`] and theirs; the commands
//! that clients know are made of these in [`operation`](super::operation).
//!
//! **Paths.** The syntax is that of RFC 9535 without functions; numbers are compared exactly, by
//! their digits. A path that does not begin with `$` is a *legacy path*, as Redis's JSON commands
//! have them since before JSONPath: `.a.b` or `a.b` is `$.a.b`, and `.` or nothing is the root. It is
//! answered with one value where a JSONPath is answered with all of them.
//!
//! **Duplicate names.** Of several members of one name, a name selects the last. Wildcards, filters
//! and `..` see every one. Removing a member by its name removes those that it hid as well, since
//! the name would still be there otherwise.
//!
//! **Bounds.** A path has [`PATH_BYTES_MAX`] bytes and [`SEGMENTS_MAX`] segments at most; it selects
//! at most [`SELECTED_MAX`] values; an answer has [`ANSWER_BYTES_MAX`] bytes or those of the document
//! at most; and the work is bounded by a multiple of the document's length, for all paths of a read
//! together. Beyond each there is an error, and nothing has changed.
//!
//! Invariant: what is made of a document that [`compact`](super::compact) returned, and of values
//! that it returned, is what it would return.

mod budget;
mod children;
mod compare;
mod error;
mod locate;
mod number;
mod parse;
mod query;
mod read;
#[cfg(test)]
mod tests;
mod walk;
mod write;

use std::fmt;
use std::str::FromStr;

#[cfg(test)]
pub(crate) use budget::SPENT;
pub use error::{Error, Expected, Fault};
pub use read::{TypeName, arr_len, get, obj_keys, select, types};
pub use write::{Changed, Deleted, When, arr_append, delete, merge, num_incr_by, set};

/// Longest path, in bytes.
pub const PATH_BYTES_MAX: usize = 4096;
/// Most segments of a path, those of its filters' queries included.
pub const SEGMENTS_MAX: usize = 128;
/// How deep filters and parentheses may lie in one another.
pub const FILTER_DEPTH_MAX: usize = 16;
/// Most values that a path may select.
pub const SELECTED_MAX: usize = 1 << 18;
/// Longest answer, in bytes, unless the document itself is longer.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A path that has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    text: String,
    legacy: bool,
    query: query::Query,
    absolute_count: usize,
}

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// When it is none, or is longer or more deeply nested than is allowed.
    ///
    /// ```
    /// use smache::command::json::path::{Path, select};
    /// let document = br#"{"books":[{"price":8.95},{"price":12.990}]}"#;
    /// let path = Path::parse("$.books[?@.price > 10].price")?;
    /// assert_eq!(select(document, &path)?, [b"12.990"]);
    ///
    /// let error = Path::parse("$.books[zero]").unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "expected quotes around a name in brackets at byte 8 of the path"
    /// );
    /// # Ok::<(), smache::command::json::path::Error>(())
    /// ```
    pub fn parse(text: &str) -> Result<Path, Error> {
        let (bytes, max) = (text.len(), PATH_BYTES_MAX);
        if bytes > max {
            return Err(Error::PathTooLong { bytes, max });
        }
        let parsed = parse::parse(text)?;
        Ok(Path {
            text: text.to_owned(),
            legacy: parsed.legacy,
            query: parsed.query,
            absolute_count: parsed.absolute_count,
        })
    }

    /// As [`parse`](Path::parse), from bytes that may be anything.
    ///
    /// # Errors
    /// As there; also when they are not UTF-8.
    pub fn parse_bytes(bytes: &[u8]) -> Result<Path, Error> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Path::parse(text),
            Err(error) => Err(Error::Syntax {
                fault: Fault::Utf8,
                at: error.valid_up_to(),
            }),
        }
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it does not begin with `$`, so that one value is the answer.
    #[must_use]
    pub fn is_legacy(&self) -> bool {
        self.legacy
    }

    /// Whether it is the whole document.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.query.segments.is_empty()
    }
}

impl FromStr for Path {
    type Err = Error;

    fn from_str(text: &str) -> Result<Path, Error> {
        Path::parse(text)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
