//! Envelopes: the object around a request, its members found while it is compacted.
//!
//! One pass gives a door its `key`, `data` and `ttl`; the values are slices of the one compacted
//! buffer. An envelope is ours, so it is stricter than the documents in it: few members, no name
//! twice, and every value may nest as deep as if it stood alone.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use super::error::{Code, Error};
use super::runs::Runs;
use super::scan::Scanner;
use super::text::decode;

/// An object with more members than this is no envelope.
pub const MEMBERS_MAX: usize = 64;

/// A compacted object whose members can be taken out by name.
#[derive(Clone, Debug)]
pub struct Object {
    text: Bytes,
    members: Vec<Member>,
}

/// Where a member lies in the compacted text.
#[derive(Clone, Debug)]
struct Member {
    /// Between the quotes.
    name: Range<usize>,
    value: Range<usize>,
    /// Where the name stood in the text as it came.
    source: usize,
}

impl Object {
    /// Validates and compacts `text` as [`compact`](super::compact) does, and notes the members of
    /// its outermost object. The value of each may be nested up to `depth_max`.
    ///
    /// # Errors
    /// As for [`compact`](super::compact); also when the text is not an object, has more than
    /// [`MEMBERS_MAX`] members or gives a name twice.
    pub fn parse(text: &Bytes, depth_max: usize) -> Result<Object, Error> {
        let mut scanner = Scanner::new(text, depth_max)?;
        let start = scanner.at();
        match scanner.peek() {
            Some(b'{') => {}
            Some(_) => return Err(Error::new(Code::NotObject, start)),
            None => return Err(Error::new(Code::End, start)),
        }
        let mut runs = Runs::new(start);
        let mut members = Vec::with_capacity(4);
        let mut more = scanner.enter_object(&mut runs, 0)?;
        while more {
            let member = member(&mut scanner, &mut runs)?;
            if members.len() == MEMBERS_MAX {
                let limit = MEMBERS_MAX as u16;
                return Err(Error::with(Code::Members, member.source, limit));
            }
            members.push(member);
            more = scanner.next_member(&mut runs)?;
        }
        let end = scanner.at();
        scanner.finish()?;
        let object = Object {
            text: runs.finish(text, start, end),
            members,
        };
        object.check_names()?;
        Ok(object)
    }

    fn check_names(&self) -> Result<(), Error> {
        let name = |member: &Member| decode(&self.text[member.name.clone()]);
        for (count, later) in self.members.iter().enumerate() {
            let twice = |earlier| name(earlier) == name(later);
            if self.members[..count].iter().any(twice) {
                return Err(Error::new(Code::Duplicate, later.source));
            }
        }
        Ok(())
    }

    /// The value of the member called `name`, compact.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.find(name).map(|range| &self.text[range])
    }

    /// As [`get`](Object::get), sharing the buffer, for what outlives the envelope.
    #[must_use]
    pub fn share(&self, name: &str) -> Option<Bytes> {
        self.find(name).map(|range| self.text.slice(range))
    }

    /// The names and values of all members, in the order in which they were written.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'_, str>, &[u8])> {
        self.members.iter().map(|member| {
            let name = match decode(&self.text[member.name.clone()]) {
                Cow::Borrowed(name) => String::from_utf8_lossy(name),
                Cow::Owned(name) => Cow::Owned(String::from_utf8_lossy(&name).into_owned()),
            };
            (name, &self.text[member.value.clone()])
        })
    }

    /// How many members there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The whole object, compact.
    #[must_use]
    pub fn text(&self) -> &Bytes {
        &self.text
    }

    fn find(&self, name: &str) -> Option<Range<usize>> {
        let is_it = |member: &&Member| *decode(&self.text[member.name.clone()]) == *name.as_bytes();
        self.members
            .iter()
            .find(is_it)
            .map(|member| member.value.clone())
    }
}

/// Passes one member and notes where it will lie in the compacted text.
fn member(scanner: &mut Scanner<'_>, runs: &mut Runs) -> Result<Member, Error> {
    scanner.next_token(runs);
    let source = scanner.at();
    let name_start = runs.place(source) + 1;
    let name_bytes = scanner.name(runs)?.len();
    scanner.next_token(runs);
    let value_start = runs.place(scanner.at());
    scanner.value(runs, 0)?;
    Ok(Member {
        name: name_start..name_start + name_bytes,
        value: value_start..runs.place(scanner.at()),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Object, Error> {
        Object::parse(&Bytes::copy_from_slice(text.as_bytes()), 4)
    }

    #[test]
    fn members_are_found_by_what_their_names_mean() {
        let object =
            parse(" {\"k\\u0065y\" : \"a b\", \"data\":\n{\"x\" : [1.0, 2]} ,\"ttl\": 5 } ");
        let object = object.unwrap();
        assert_eq!(object.get("key"), Some(&br#""a b""#[..]));
        assert_eq!(object.get("data"), Some(&br#"{"x":[1.0,2]}"#[..]));
        assert_eq!(object.get("ttl"), Some(&b"5"[..]));
        assert_eq!(object.get("k\\u0065y"), None);
        assert_eq!(object.get("x"), None);
        let names: Vec<_> = object.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["key", "data", "ttl"]);
        assert_eq!(
            object.text(),
            &br#"{"k\u0065y":"a b","data":{"x":[1.0,2]},"ttl":5}"#[..]
        );
    }

    #[test]
    fn values_share_the_buffer_of_a_compact_request() {
        let text = Bytes::from_static(br#"{"key":"k","data":{"a":1}}"#);
        let object = Object::parse(&text, 4).unwrap();
        let data = object.share("data").unwrap();
        assert_eq!(data, &br#"{"a":1}"#[..]);
        assert_eq!(data.as_ptr(), text[18..].as_ptr());
        assert_eq!(object.share("ttl"), None);
    }

    #[test]
    fn only_objects_are_envelopes() {
        for (text, code) in [
            ("", Code::End),
            (" ", Code::End),
            ("[]", Code::NotObject),
            ("\"a\"", Code::NotObject),
            ("1", Code::NotObject),
            ("x", Code::NotObject),
            ("{} {}", Code::Trailing),
            ("{\"a\":1", Code::End),
            ("{\"a\":1,}", Code::Name),
            ("{\"a\":01}", Code::LeadingZero),
        ] {
            assert_eq!(parse(text).unwrap_err().code, code, "{text}");
        }
        assert!(parse("{ }").unwrap().is_empty());
    }

    #[test]
    fn a_name_stands_once_in_an_envelope_and_as_often_as_it_likes_in_its_data() {
        let error = parse(r#"{"key":1, "data":2, "k\u0065y":3}"#).unwrap_err();
        assert_eq!((error.code, error.at), (Code::Duplicate, 20));
        let object = parse(r#"{"data":{"a":1,"a":2}}"#).unwrap();
        assert_eq!(object.get("data"), Some(&br#"{"a":1,"a":2}"#[..]));
    }

    #[test]
    fn the_number_of_members_is_bounded() {
        let of = |count: usize| {
            let members: Vec<_> = (0..count).map(|n| format!("\"{n}\":{n}")).collect();
            format!("{{{}}}", members.join(", "))
        };
        let object = parse(&of(MEMBERS_MAX)).unwrap();
        assert_eq!(object.len(), MEMBERS_MAX);
        assert_eq!(object.get("63"), Some(&b"63"[..]));
        let error = parse(&of(MEMBERS_MAX + 1)).unwrap_err();
        assert_eq!((error.code, error.detail), (Code::Members, 64));
    }

    #[test]
    fn a_value_nests_as_deep_as_if_it_stood_alone() {
        assert!(parse(r#"{"data":[[[[]]]]}"#).is_ok());
        let error = parse(r#"{"data":[[[[[]]]]]}"#).unwrap_err();
        assert_eq!((error.code, error.detail, error.at), (Code::Depth, 4, 12));
    }
}
