//! Writing at a path: a document and what to do in, the changed document out.
//!
//! A value that is selected in several ways is changed once. Where one selected value lies in
//! another, replacing and removing take the outer one, with which the inner one goes; a merge patch
//! is applied to the inner one first.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Path;
use super::budget::Budget;
use super::error::Error;
use super::locate::{Match, locate};
use super::number;
use super::query::{Segment, Selector};
use super::read::{all, elements};
use crate::command::Limits;
use crate::command::json::scan::{Keep, Scanner};
use crate::command::json::{Type, merge_patch, type_of, write_string};

/// On what a write depends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum When {
    /// It is made in any case.
    #[default]
    Always,
    /// Only where there is nothing (`NX`).
    Absent,
    /// Only where there is something (`XX`).
    Present,
}

/// What has been removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// Nothing.
    Nothing,
    /// Everything: the path is the root.
    All,
    /// Some values.
    Some {
        /// How many; what lay in others of them is not counted.
        count: usize,
        /// What is left.
        document: Vec<u8>,
    },
}

/// What has been changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed<T> {
    /// The changed document, if there is a change.
    pub document: Option<Vec<u8>>,
    /// What came of each value that was selected; `None` where it has another type.
    pub each: Vec<Option<T>>,
}

/// A change of a stretch of the document.
struct Edit<'a> {
    at: Range<usize>,
    /// What is there afterwards; `None` removes a member or element, and the comma beside it.
    text: Option<Cow<'a, [u8]>>,
}

/// Carries out changes that follow one another and do not overlap.
fn rewrite(document: &[u8], edits: &[Edit<'_>], limits: &Limits) -> Result<Vec<u8>, Error> {
    let text = |edit: &Edit<'_>| edit.text.as_ref().map_or(0, |text| text.len());
    let removed: usize = edits.iter().map(|edit| edit.at.len()).sum();
    let added: usize = edits.iter().map(text).fold(0, usize::saturating_add);
    let bytes = (document.len() - removed).saturating_add(added);
    check_size(bytes, limits)?;
    let mut out = Vec::with_capacity(bytes);
    let mut from = 0;
    for edit in edits {
        out.extend_from_slice(&document[from..edit.at.start]);
        from = edit.at.end;
        if let Some(text) = &edit.text {
            out.extend_from_slice(text);
        } else if document.get(from) == Some(&b',') {
            from += 1;
        } else if out.last() == Some(&b',') {
            out.pop();
        }
    }
    out.extend_from_slice(&document[from..]);
    Ok(out)
}

/// Refuses what is longer than a value may be, or than may be written at the moment.
fn check_size(bytes: usize, limits: &Limits) -> Result<(), Error> {
    if bytes > limits.work_max {
        return Err(Error::TooMuchWork);
    }
    let max = limits.value_bytes_max;
    if bytes > max {
        return Err(Error::ValueTooLarge { bytes, max });
    }
    Ok(())
}

/// Checks that `value` is one JSON text that may lie in `depth` others.
fn check_value(value: &[u8], depth: usize, limits: &Limits) -> Result<(), Error> {
    let mut scanner = Scanner::new(value, limits.json_depth_max)?;
    scanner.value(&mut Keep, depth)?;
    scanner.finish()?;
    Ok(())
}

fn depth_of(matches: &[Match]) -> usize {
    matches.iter().map(|found| found.depth).max().unwrap_or(0)
}

/// In the order of the text, each once.
fn in_order(mut matches: Vec<Match>) -> Vec<Match> {
    matches.sort_by_key(|found| found.start);
    matches.dedup_by_key(|found| found.start);
    matches
}

/// In the order of the text, without those that lie in others.
fn outermost(matches: Vec<Match>) -> Vec<Match> {
    let mut end = 0;
    let mut outermost = in_order(matches);
    outermost.retain(|found| {
        let keep = found.start >= end;
        if keep {
            end = found.value.end;
        }
        keep
    });
    outermost
}

/// Writes `value` wherever `path` leads. If it leads nowhere and ends with the name of a member,
/// this is created in the object that the rest of the path selects. `None`: nothing was to be
/// written, since the condition did not hold or there is no such object.
///
/// # Errors
/// When the path leads nowhere and does not say where to create something, or the document would
/// be too large or too deep.
pub fn set(
    document: &[u8],
    path: &Path,
    value: &[u8],
    when: When,
    limits: &Limits,
) -> Result<Option<Vec<u8>>, Error> {
    if path.is_root() {
        check_value(value, 0, limits)?;
        check_size(value.len(), limits)?;
        return Ok((when != When::Absent).then(|| value.to_vec()));
    }
    if when == When::Absent {
        return create(document, path, value, limits);
    }
    let matches = outermost(all(document, path, limits.work_max)?.matches);
    check_value(value, depth_of(&matches), limits)?;
    if matches.is_empty() {
        return match when {
            When::Present => Ok(None),
            _ => create(document, path, value, limits),
        };
    }
    let edits: Vec<_> = matches
        .into_iter()
        .map(|found| Edit {
            at: found.value,
            text: Some(Cow::Borrowed(value)),
        })
        .collect();
    rewrite(document, &edits, limits).map(Some)
}

/// Creates the member at the end of `path` if it is not there, but its object is.
fn create(
    document: &[u8],
    path: &Path,
    value: &[u8],
    limits: &Limits,
) -> Result<Option<Vec<u8>>, Error> {
    let segments = &path.query.segments;
    if !segments.iter().all(Segment::is_singular) {
        return Err(Error::NotStatic);
    }
    let selectors = segments.last().map(|segment| &segment.selectors[..]);
    let present = !all(document, path, limits.work_max)?.matches.is_empty();
    let name = match selectors {
        Some([Selector::Name(name)]) => name,
        _ if present => return Ok(None),
        _ => return Err(Error::IndexOutOfRange),
    };
    let parents = locate(document, path, segments.len() - 1, limits.work_max)?.matches;
    let object = parents
        .first()
        .filter(|found| type_of(&document[found.value.clone()]) == Type::Object);
    let Some(object) = object.filter(|_| !present) else {
        return Ok(None);
    };
    check_value(value, object.depth + 1, limits)?;
    let end = object.value.end - 1;
    let mut member = Vec::with_capacity(name.len() + value.len() + 4);
    if end > object.value.start + 1 {
        member.push(b',');
    }
    write_string(name, &mut member);
    member.push(b':');
    member.extend_from_slice(value);
    let edit = Edit {
        at: end..end,
        text: Some(Cow::Owned(member)),
    };
    rewrite(document, &[edit], limits).map(Some)
}

/// Removes what `path` selects.
///
/// # Errors
/// When that is too much, or too hard to find.
pub fn delete(document: &[u8], path: &Path, limits: &Limits) -> Result<Deleted, Error> {
    if path.is_root() {
        return Ok(Deleted::All);
    }
    let located = all(document, path, limits.work_max)?;
    if located.matches.is_empty() {
        return Ok(Deleted::Nothing);
    }
    let matches = located.matches.iter().map(|found| (found.extent(), 1));
    let hidden = located.hidden.into_iter().map(|extent| (extent, 0));
    let mut extents: Vec<_> = matches.chain(hidden).collect();
    extents.sort_by_key(|(extent, _)| extent.start);
    let (mut count, mut end) = (0, 0);
    let mut edits = Vec::new();
    for (at, counts) in extents {
        if at.start >= end {
            end = at.end;
            count += counts;
            edits.push(Edit { at, text: None });
        }
    }
    // What is removed makes nothing larger.
    let limits = Limits {
        value_bytes_max: usize::MAX,
        json_depth_max: usize::MAX,
        ..*limits
    };
    let document = rewrite(document, &edits, &limits)?;
    Ok(Deleted::Some { count, document })
}

/// Applies a merge patch (RFC 7396) to every value that `path` selects; if it selects none, creates
/// a member as [`set`] does. Where a member is patched with `null` it is removed. `None`: there was
/// nothing to change.
///
/// # Errors
/// As for [`set`].
pub fn merge(
    document: &[u8],
    path: &Path,
    patch: &[u8],
    limits: &Limits,
) -> Result<Option<Vec<u8>>, Error> {
    let located = all(document, path, limits.work_max)?;
    if located.matches.is_empty() {
        let value = merge_patch(b"null", patch, limits.json_depth_max)?;
        if patch == b"null" {
            return Ok(None);
        }
        return create(document, path, &value, limits);
    }
    if patch == b"null" {
        return put_null(document, located.matches, located.hidden, limits).map(Some);
    }
    let mut merging = Merging {
        document,
        patch,
        limits,
        budget: Budget::new(
            document.len() + patch.len(),
            path.query.segments.len(),
            limits.work_max,
        ),
    };
    let matches = in_order(located.matches);
    let merged = merging.stretch(0..document.len(), &matches)?;
    check_size(merged.len(), limits)?;
    Ok(Some(merged))
}

/// A patch of `null`: removes members, and replaces elements and the root.
fn put_null(
    document: &[u8],
    matches: Vec<Match>,
    hidden: Vec<Range<usize>>,
    limits: &Limits,
) -> Result<Vec<u8>, Error> {
    let null = Cow::Borrowed(&b"null"[..]);
    let matches = matches.into_iter().map(|found| {
        let is_member = found.start < found.value.start;
        Edit {
            at: found.extent(),
            text: (!is_member).then(|| null.clone()),
        }
    });
    let hidden = hidden.into_iter().map(|at| Edit { at, text: None });
    let mut edits: Vec<_> = matches.chain(hidden).collect();
    edits.sort_by_key(|edit| edit.at.start);
    let mut end = 0;
    edits.retain(|edit| {
        let keep = edit.at.start >= end;
        if keep {
            end = edit.at.end;
        }
        keep
    });
    rewrite(document, &edits, limits)
}

struct Merging<'a> {
    document: &'a [u8],
    patch: &'a [u8],
    limits: &'a Limits,
    budget: Budget,
}

impl Merging<'_> {
    /// The text of `at` with the patch applied to `matches`, which lie in it.
    fn stretch(&mut self, at: Range<usize>, mut matches: &[Match]) -> Result<Vec<u8>, Error> {
        let mut out = Vec::with_capacity(at.len());
        let mut from = at.start;
        while let [outer, rest @ ..] = matches {
            let inner = rest
                .iter()
                .take_while(|found| found.start < outer.value.end)
                .count();
            let target = self.stretch(outer.value.clone(), &rest[..inner])?;
            self.budget.spend(target.len() + self.patch.len())?;
            let depth_max = self.limits.json_depth_max.saturating_sub(outer.depth);
            let merged = merge_patch(&target, self.patch, depth_max)?;
            out.extend_from_slice(&self.document[from..outer.value.start]);
            out.extend_from_slice(&merged);
            check_size(out.len() + (at.end - outer.value.end), self.limits)?;
            from = outer.value.end;
            matches = &rest[inner..];
        }
        out.extend_from_slice(&self.document[from..at.end]);
        Ok(out)
    }
}

/// Adds `by` to every number that `path` selects, and returns the sums.
///
/// Whole numbers, which are those without fraction and exponent from -2^63 to 2^64 - 1, are added
/// exactly. Where one of the two is anything else, both are taken as the nearest numbers of double
/// precision, and the sum is written as one: `5.0` and 2 make `7.0`.
///
/// # Errors
/// When `by` is no number, or a sum is too great; then none is added.
pub fn num_incr_by(
    document: &[u8],
    path: &Path,
    by: &[u8],
    limits: &Limits,
) -> Result<Changed<Bytes>, Error> {
    if !number::is_number(by) {
        return Err(Error::NotANumber);
    }
    let matches = all(document, path, limits.work_max)?.matches;
    let mut budget = Budget::new(
        document.len() + by.len(),
        path.query.segments.len(),
        limits.work_max,
    );
    let mut edits = Vec::new();
    let mut sums = Vec::with_capacity(matches.len());
    for found in matches {
        budget.spend(by.len())?;
        let value = &document[found.value.clone()];
        if type_of(value) != Type::Number {
            sums.push(None);
            continue;
        }
        budget.spend(value.len())?;
        let sum = Bytes::from(number::add(value, by)?);
        let text = Some(Cow::Owned(sum.to_vec()));
        sums.push(Some(sum));
        edits.push(Edit {
            at: found.value,
            text,
        });
    }
    let document = rewrite_each(document, edits, limits)?;
    Ok(Changed {
        document,
        each: sums,
    })
}

/// Adds `values` at the end of every array that `path` selects, and returns the new lengths.
///
/// # Errors
/// When the document would be too large or too deep.
pub fn arr_append(
    document: &[u8],
    path: &Path,
    values: &[Bytes],
    limits: &Limits,
) -> Result<Changed<usize>, Error> {
    let matches = all(document, path, limits.work_max)?.matches;
    let mut budget = Budget::new(document.len(), path.query.segments.len(), limits.work_max);
    let is_array = |found: &&Match| document[found.value.start] == b'[';
    let depth = matches.iter().filter(is_array).map(|found| found.depth + 1);
    if let Some(depth) = depth.max() {
        for value in values {
            check_value(value, depth, limits)?;
        }
    }
    let joined = values.join(&b',');
    let behind_others = [b",", &joined[..]].concat();
    let mut edits = Vec::new();
    let mut lengths = Vec::with_capacity(matches.len());
    for found in matches {
        let Some(length) = elements(&document[found.value.clone()], &mut budget)? else {
            lengths.push(None);
            continue;
        };
        lengths.push(Some(length + values.len()));
        let end = found.value.end - 1;
        let text = if length == 0 { &joined } else { &behind_others };
        if !values.is_empty() {
            edits.push(Edit {
                at: end..end,
                text: Some(Cow::Borrowed(text)),
            });
        }
    }
    let document = rewrite_each(document, edits, limits)?;
    Ok(Changed {
        document,
        each: lengths,
    })
}

/// Carries out changes in any order, each once.
fn rewrite_each(
    document: &[u8],
    mut edits: Vec<Edit<'_>>,
    limits: &Limits,
) -> Result<Option<Vec<u8>>, Error> {
    if edits.is_empty() {
        return Ok(None);
    }
    edits.sort_by_key(|edit| edit.at.start);
    edits.dedup_by_key(|edit| edit.at.start);
    rewrite(document, &edits, limits).map(Some)
}
