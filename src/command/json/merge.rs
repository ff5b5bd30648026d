//! JSON merge patch (RFC 7396) on text: what the patch does not name is copied byte for byte.
//!
//! The patch is read once, into a tree of its members. The target is walked twice beside that
//! tree: the first walk notes where each patched member stands last (a target may hold a name more
//! than once; the last one counts and the others go), the second one writes. Both are linear in
//! the target, also for deep patches and many duplicates.

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use super::error::Error;
use super::scan::{Keep, Scanner};
use super::text::decode;

/// Applies the merge patch `patch` to the document `target` (both as
/// [`compact`](super::compact) returns them) by RFC 7396, and returns the new document.
///
/// Members keep the target's order and spelling; new ones follow in the patch's order. Names are
/// compared as what they mean. A target that is no object counts as `{}`.
///
/// # Errors
/// When either is no JSON or nests deeper than `depth_max`; the place is one in the patch, since a
/// stored target is sound.
pub fn merge_patch(target: &[u8], patch: &[u8], depth_max: usize) -> Result<Vec<u8>, Error> {
    let mut scanner = Scanner::new(patch, depth_max)?;
    let root = parse(&mut scanner, 0)?;
    scanner.finish()?;
    let mut out = Vec::with_capacity(target.len() + patch.len());
    let mut object = match root {
        Patch::Object(object) => object,
        Patch::Null => return Ok(b"null".to_vec()),
        Patch::Value(value) => return Ok(value.to_vec()),
    };
    let mut walk = Scanner::new(target, depth_max)?;
    if walk.peek() == Some(b'{') {
        locate(&mut walk, &mut object, 0)?;
        walk.finish()?;
        let mut walk = Scanner::new(target, depth_max)?;
        write_merged(&mut walk, &object, 0, &mut out)?;
    } else {
        write_new(&object, &mut out);
    }
    Ok(out)
}

/// What a patch does to one value.
enum Patch<'a> {
    /// Removes it.
    Null,
    /// Replaces it.
    Value(&'a [u8]),
    /// Changes its members.
    Object(Object<'a>),
}

struct Member<'a> {
    /// As it is written in the patch, without its quotes.
    written: &'a [u8],
    /// What that means.
    name: Cow<'a, [u8]>,
    patch: Patch<'a>,
    /// Where the last member of this name begins in the target, as far as that has been walked.
    last_at: usize,
}

#[derive(Default)]
struct Object<'a> {
    members: Vec<Member<'a>>,
    index: Option<Box<Index>>,
}

/// Finds members by name once there are too many to look at each.
#[derive(Default)]
struct Index {
    table: HashTable<u32>,
    hasher: RandomState,
}

/// Up to so many members are compared one by one.
const UNINDEXED_MAX: usize = 8;

impl<'a> Object<'a> {
    fn find(&self, name: &[u8]) -> Option<usize> {
        match &self.index {
            None => self.members.iter().position(|member| *member.name == *name),
            Some(index) => index
                .table
                .find(index.hasher.hash_one(name), |place| {
                    *self.members[*place as usize].name == *name
                })
                .map(|place| *place as usize),
        }
    }

    /// Adds a member; one of the same name gives it its place and goes.
    fn put(&mut self, written: &'a [u8], patch: Patch<'a>) {
        let name = decode(written);
        if let Some(place) = self.find(&name) {
            self.members[place].patch = patch;
            return;
        }
        self.members.push(Member {
            written,
            name,
            patch,
            last_at: 0,
        });
        let first_new = match &self.index {
            Some(_) => self.members.len() - 1,
            None if self.members.len() > UNINDEXED_MAX => 0,
            None => return,
        };
        let index = self.index.get_or_insert_default();
        let members = &self.members;
        let hash = |place: &u32| index.hasher.hash_one(&*members[*place as usize].name);
        for place in first_new as u32..members.len() as u32 {
            index.table.insert_unique(hash(&place), place, hash);
        }
    }
}

fn parse<'a>(scanner: &mut Scanner<'a>, depth: usize) -> Result<Patch<'a>, Error> {
    if scanner.next_token(&mut Keep) != Some(b'{') {
        let from = scanner.at();
        scanner.value(&mut Keep, depth)?;
        return Ok(match scanner.since(from) {
            b"null" => Patch::Null,
            value => Patch::Value(value),
        });
    }
    let mut object = Object::default();
    let mut more = scanner.enter_object(&mut Keep, depth)?;
    while more {
        let written = scanner.name(&mut Keep)?;
        object.put(written, parse(scanner, depth + 1)?);
        more = scanner.next_member(&mut Keep)?;
    }
    Ok(Patch::Object(object))
}

/// Notes the last place of every patched member in the target's object, and within it.
fn locate(target: &mut Scanner<'_>, patch: &mut Object<'_>, depth: usize) -> Result<(), Error> {
    let mut more = target.enter_object(&mut Keep, depth)?;
    while more {
        let start = target.at();
        let name = decode(target.name(&mut Keep)?);
        let member = patch.find(&name).map(|place| &mut patch.members[place]);
        let is_object = target.next_token(&mut Keep) == Some(b'{');
        match member {
            Some(member) => {
                member.last_at = start;
                match &mut member.patch {
                    Patch::Object(inner) if is_object => locate(target, inner, depth + 1)?,
                    _ => target.value(&mut Keep, depth + 1)?,
                }
            }
            None => target.value(&mut Keep, depth + 1)?,
        }
        more = target.next_member(&mut Keep)?;
    }
    Ok(())
}

/// Writes the target's object as the patch changes it.
fn write_merged(
    target: &mut Scanner<'_>,
    patch: &Object<'_>,
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let object_start = target.at();
    out.push(b'{');
    let mut more = target.enter_object(&mut Keep, depth)?;
    while more {
        let start = target.at();
        let written = target.name(&mut Keep)?;
        let member = patch
            .find(&decode(written))
            .map(|place| &patch.members[place]);
        let is_object = target.next_token(&mut Keep) == Some(b'{');
        match member {
            None => {
                target.value(&mut Keep, depth + 1)?;
                out.extend_from_slice(target.since(start));
                out.push(b',');
            }
            Some(member) if member.last_at == start => match &member.patch {
                Patch::Object(inner) if is_object => {
                    write_name(written, out);
                    write_merged(target, inner, depth + 1, out)?;
                    out.push(b',');
                }
                other => {
                    write_member(written, other, out);
                    target.value(&mut Keep, depth + 1)?;
                }
            },
            Some(_) => target.value(&mut Keep, depth + 1)?,
        }
        more = target.next_member(&mut Keep)?;
    }
    // A place before this object is that of a duplicate of this object, which is gone.
    let is_new = |member: &&Member<'_>| member.last_at <= object_start;
    for member in patch.members.iter().filter(is_new) {
        write_member(member.written, &member.patch, out);
    }
    close(out);
    Ok(())
}

/// Writes an object where there was none: the patch without its nulls.
fn write_new(patch: &Object<'_>, out: &mut Vec<u8>) {
    out.push(b'{');
    for member in &patch.members {
        write_member(member.written, &member.patch, out);
    }
    close(out);
}

/// Writes a member whose old value, if any, does not matter, and a comma.
fn write_member(written: &[u8], patch: &Patch<'_>, out: &mut Vec<u8>) {
    match patch {
        Patch::Null => return,
        Patch::Value(value) => {
            write_name(written, out);
            out.extend_from_slice(value);
        }
        Patch::Object(object) => {
            write_name(written, out);
            write_new(object, out);
        }
    }
    out.push(b',');
}

fn write_name(written: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(written);
    out.extend_from_slice(b"\":");
}

/// Ends an object; the comma behind its last member gives way.
fn close(out: &mut Vec<u8>) {
    match out.last_mut() {
        Some(last) if *last == b',' => *last = b'}',
        _ => out.push(b'}'),
    }
}

#[cfg(test)]
mod tests;
