//! `If-Match` and `If-None-Match` (RFC 9110, section 13).
//!
//! A version is a strong ETag. An entity tag that is well formed but none of ours is no version of
//! any value, so it simply never matches. For a write both headers at once would ask for two
//! things of which one is always moot, and are refused.

use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName};

use super::failure::Failure;
use crate::command::Condition;
use crate::version::Version;

/// The entity tags of one header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tags {
    /// `*`
    Any,
    /// Those of them that are versions.
    These(Vec<Version>),
}

impl Tags {
    fn contain(&self, current: Option<Version>) -> bool {
        current.is_some_and(|version| match self {
            Tags::Any => true,
            Tags::These(these) => these.contains(&version),
        })
    }
}

/// What a read depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ReadCondition {
    matching: Option<Tags>,
    none_matching: Option<Tags>,
}

/// What a read's condition comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Send,
    NotModified,
    Failed,
}

impl ReadCondition {
    pub(super) fn of(headers: &HeaderMap) -> Result<ReadCondition, Failure> {
        Ok(ReadCondition {
            matching: tags(headers, &IF_MATCH)?,
            none_matching: tags(headers, &IF_NONE_MATCH)?,
        })
    }

    /// Decides for a value of this version, or for there being none.
    pub(super) fn verdict(&self, current: Option<Version>) -> Verdict {
        if self
            .matching
            .as_ref()
            .is_some_and(|tags| !tags.contain(current))
        {
            Verdict::Failed
        } else if self
            .none_matching
            .as_ref()
            .is_some_and(|tags| tags.contain(current))
        {
            Verdict::NotModified
        } else {
            Verdict::Send
        }
    }
}

/// What a write depends on.
pub(super) fn write_condition(headers: &HeaderMap) -> Result<Condition, Failure> {
    let matching = tags(headers, &IF_MATCH)?;
    let none_matching = tags(headers, &IF_NONE_MATCH)?;
    condition(matching, none_matching)
}

/// The condition of a batch's line, whose members hold what the headers would.
pub(super) fn text_condition(
    matching: Option<&str>,
    none_matching: Option<&str>,
) -> Result<Condition, Failure> {
    // A version may stand there with or without its quotes.
    let parse = |text: &str, name: &HeaderName| {
        let quoted = match Version::parse(text) {
            Some(_) => format!("\"{text}\""),
            None => text.to_owned(),
        };
        let mut tags = None;
        parse_list(&quoted, name, &mut tags)?;
        Ok::<_, Failure>(tags)
    };
    let matching = matching.map(|text| parse(text, &IF_MATCH)).transpose()?;
    let none_matching = none_matching
        .map(|text| parse(text, &IF_NONE_MATCH))
        .transpose()?;
    condition(matching.flatten(), none_matching.flatten())
}

fn condition(matching: Option<Tags>, none_matching: Option<Tags>) -> Result<Condition, Failure> {
    match (matching, none_matching) {
        (None, None) => Ok(Condition::None),
        (Some(Tags::Any), None) => Ok(Condition::Present),
        (Some(Tags::These(these)), None) => Ok(Condition::VersionIn(these)),
        (None, Some(Tags::Any)) => Ok(Condition::Absent),
        (None, Some(Tags::These(these))) => Ok(Condition::VersionNotIn(these)),
        (Some(_), Some(_)) => Err(Failure::bad(
            "invalid_condition",
            "a write takes If-Match or If-None-Match, not both",
        )),
    }
}

/// Every tag of all headers of that name; `None` if there is no such header.
fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Failure> {
    let mut tags = None;
    if !headers.contains_key(name) {
        return Ok(tags);
    }
    for value in headers.get_all(name) {
        let text = value.to_str().map_err(|_| malformed(name))?;
        parse_list(text, name, &mut tags)?;
    }
    Ok(tags)
}

fn malformed(name: &HeaderName) -> Failure {
    let message = format!("{name} takes * or a list of entity tags in double quotes");
    Failure::bad("invalid_condition", message)
}

fn parse_list(text: &str, name: &HeaderName, tags: &mut Option<Tags>) -> Result<(), Failure> {
    let mut rest = text.trim();
    if rest == "*" {
        return match tags {
            None => {
                *tags = Some(Tags::Any);
                Ok(())
            }
            Some(_) => Err(malformed(name)),
        };
    }
    let Tags::These(these) = tags.get_or_insert_with(|| Tags::These(Vec::new())) else {
        return Err(malformed(name));
    };
    let mut count = 0;
    while !rest.is_empty() {
        let (weak, quoted) = match rest.strip_prefix("W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let (tag, behind) = quoted
            .strip_prefix('"')
            .and_then(|open| open.split_once('"'))
            .ok_or_else(|| malformed(name))?;
        // RFC 9110: If-Match compares strongly, so that a weak tag never matches.
        if !(weak && *name == IF_MATCH) {
            these.extend(Version::parse(tag));
        }
        count += 1;
        let behind = behind.trim_start();
        rest = match behind.strip_prefix(',') {
            Some(more) => more.trim_start_matches([',', ' ', '\t']),
            None if behind.is_empty() => behind,
            None => return Err(malformed(name)),
        };
    }
    if count == 0 {
        return Err(malformed(name));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::{Hlc, NodeId};
    use http::HeaderValue;

    const A: Version = Version {
        hlc: Hlc(1),
        node: NodeId(2),
    };
    const B: Version = Version {
        hlc: Hlc(3),
        node: NodeId(4),
    };

    fn headers(pairs: &[(HeaderName, String)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, HeaderValue::try_from(value).unwrap());
        }
        headers
    }

    #[test]
    fn what_a_read_comes_to() {
        use Verdict::{Failed, NotModified, Send};
        let foreign = "\"some,other\"".to_owned();
        let cases = [
            (IF_NONE_MATCH, "*".to_owned(), NotModified, Send),
            (IF_NONE_MATCH, format!("\"{A}\""), NotModified, Send),
            (IF_NONE_MATCH, format!("W/\"{A}\""), NotModified, Send),
            (
                IF_NONE_MATCH,
                format!("{foreign} , \"{A}\""),
                NotModified,
                Send,
            ),
            (IF_NONE_MATCH, format!("\"{B}\""), Send, Send),
            (IF_NONE_MATCH, foreign.clone(), Send, Send),
            (IF_MATCH, "*".to_owned(), Send, Failed),
            (IF_MATCH, format!("\"{B}\",,\"{A}\""), Send, Failed),
            (IF_MATCH, format!("W/\"{A}\""), Failed, Failed),
            (IF_MATCH, foreign, Failed, Failed),
        ];
        for (name, value, present, absent) in cases {
            let case = format!("{name}: {value}");
            let condition = ReadCondition::of(&headers(&[(name, value)])).unwrap();
            assert_eq!(condition.verdict(Some(A)), present, "{case}");
            assert_eq!(condition.verdict(None), absent, "{case}");
        }
        assert_eq!(ReadCondition::default().verdict(None), Send);
    }

    #[test]
    fn what_a_write_depends_on() {
        let of = |pairs: &[(HeaderName, String)]| write_condition(&headers(pairs));
        let quoted = |version: Version| format!("\"{version}\"");
        assert_eq!(of(&[]), Ok(Condition::None));
        assert_eq!(of(&[(IF_MATCH, "*".into())]), Ok(Condition::Present));
        assert_eq!(of(&[(IF_NONE_MATCH, "*".into())]), Ok(Condition::Absent));
        let two = [(IF_MATCH, quoted(A)), (IF_MATCH, quoted(B))];
        assert_eq!(of(&two), Ok(Condition::VersionIn(vec![A, B])));
        let not = [(IF_NONE_MATCH, quoted(B))];
        assert_eq!(of(&not), Ok(Condition::VersionNotIn(vec![B])));
        let both = [(IF_MATCH, quoted(A)), (IF_NONE_MATCH, quoted(B))];
        assert_eq!(of(&both).unwrap_err().code, "invalid_condition");
    }

    #[test]
    fn malformed_lists_are_refused() {
        for text in [
            "",
            " ",
            "abc",
            "\"abc",
            "\"a\" \"b\"",
            "*, \"a\"",
            "W/*",
            "\"a\",*",
        ] {
            let headers = headers(&[(IF_MATCH, text.to_owned())]);
            assert_eq!(
                write_condition(&headers).unwrap_err().code,
                "invalid_condition",
                "{text}"
            );
        }
    }

    #[test]
    fn a_batch_gives_versions_with_or_without_quotes() {
        let expected = Ok(Condition::VersionIn(vec![A]));
        assert_eq!(text_condition(Some(&A.to_string()), None), expected);
        assert_eq!(text_condition(Some(&format!("\"{A}\"")), None), expected);
        assert_eq!(text_condition(None, Some("*")), Ok(Condition::Absent));
        assert!(text_condition(Some("abc"), None).is_err());
    }
}
