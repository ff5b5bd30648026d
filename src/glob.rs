//! Patterns for keys, fields and channels, as Redis's clients write them.
//!
//! ```text
//! *        any bytes, none among them
//! ?        any one byte
//! [abx-z]  one of these bytes, or of a range of them; a range may be written backwards
//! [^ab]    one byte that is none of these
//! \x       just x, in brackets as well
//! ```
//!
//! Anything else stands for itself, and so does a backslash at the end. Brackets that are not closed
//! end with the pattern. All of it is about bytes: `?` is one byte of a letter that has two.
//!
//! Pure, and called by whoever filters: for keys and channels by strangers' patterns, so there are
//! none that take long. Only the last `*` that was passed is ever gone back to, which suffices since
//! everything else stands for exactly one byte: the time is at most the product of both lengths.

/// Whether all of `text` is what `pattern` describes.
///
/// ```
/// use smache::glob::matches;
/// assert!(matches(b"bus:*", b"bus:42"));
/// assert!(matches(b"h[ae]llo?", b"hello!"));
/// assert!(!matches(b"h[^ae]llo", b"hello"));
/// assert!(matches(br"\*", b"*"));
/// ```
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    // Behind the last star that was passed, and the byte up to which it stands for everything.
    let mut star = None;
    while read < text.len() {
        if pattern.get(at) == Some(&b'*') {
            at += 1;
            if at == pattern.len() {
                return true;
            }
            star = Some((at, read));
            continue;
        }
        let next = one(pattern, at, text[read]);
        (at, read) = match (next, star) {
            (Some(next), _) => (next, read + 1),
            (None, Some((behind, upto))) => {
                star = Some((behind, upto + 1));
                (behind, upto + 1)
            }
            (None, None) => return false,
        };
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// Where the pattern goes on if what stands at `at`, which is no star, stands for `byte`.
fn one(pattern: &[u8], at: usize, byte: u8) -> Option<usize> {
    match pattern[at..] {
        [] => None,
        [b'?', ..] => Some(at + 1),
        [b'[', ..] => brackets(pattern, at + 1, byte),
        [b'\\', escaped, ..] => (escaped == byte).then_some(at + 2),
        [plain, ..] => (plain == byte).then_some(at + 1),
    }
}

/// The same for what stands behind an opening bracket.
fn brackets(pattern: &[u8], mut at: usize, byte: u8) -> Option<usize> {
    let negated = pattern.get(at) == Some(&b'^');
    at += usize::from(negated);
    let mut found = false;
    loop {
        let (is, length) = match pattern[at..] {
            [] => break,
            [b'\\', escaped, ..] => (escaped == byte, 2),
            [b']', ..] => {
                at += 1;
                break;
            }
            // A closing bracket can be the end of a range.
            [first, b'-', last, ..] => ((first.min(last)..=first.max(last)).contains(&byte), 3),
            [plain, ..] => (plain == byte, 1),
        };
        found |= is;
        at += length;
    }
    (found != negated).then_some(at)
}

/// What every text that fits a pattern begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// It.
    pub text: Vec<u8>,
    /// Whether that is all: nothing else fits.
    pub is_whole: bool,
}

/// What every text that fits `pattern` begins with.
///
/// ```
/// use smache::glob::prefix;
/// let found = prefix(br"bus:\*:?");
/// assert_eq!((&found.text[..], found.is_whole), (&b"bus:*:"[..], false));
/// ```
#[must_use]
pub fn prefix(pattern: &[u8]) -> Prefix {
    let mut text = Vec::new();
    let mut at = 0;
    loop {
        match pattern[at..] {
            [] => {
                return Prefix {
                    text,
                    is_whole: true,
                };
            }
            [b'*' | b'?' | b'[', ..] => {
                return Prefix {
                    text,
                    is_whole: false,
                };
            }
            [b'\\', escaped, ..] => {
                text.push(escaped);
                at += 2;
            }
            [plain, ..] => {
                text.push(plain);
                at += 1;
            }
        }
    }
}

/// A pattern that fits just the texts that begin with `prefix`.
#[must_use]
pub fn starting_with(prefix: &[u8]) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(prefix.len() + 1);
    for byte in prefix {
        if matches!(byte, b'*' | b'?' | b'[' | b'\\') {
            pattern.push(b'\\');
        }
        pattern.push(*byte);
    }
    pattern.push(b'*');
    pattern
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same, said in the plainest way.
    fn model(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], _) => text.is_empty(),
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|n| model(rest, &text[n..])),
            (_, []) => false,
            ([b'?', rest @ ..], [_, text @ ..]) => model(rest, text),
            ([b'[', b'^', rest @ ..], [byte, text @ ..]) => {
                let (bytes, rest) = class(rest);
                !bytes.contains(byte) && model(rest, text)
            }
            ([b'[', rest @ ..], [byte, text @ ..]) => {
                let (bytes, rest) = class(rest);
                bytes.contains(byte) && model(rest, text)
            }
            ([b'\\', plain, rest @ ..] | [plain, rest @ ..], [byte, text @ ..]) => {
                plain == byte && model(rest, text)
            }
        }
    }

    fn class(pattern: &[u8]) -> (Vec<u8>, &[u8]) {
        let (mut bytes, rest) = match pattern {
            [] => return (Vec::new(), pattern),
            [b'\\', escaped, rest @ ..] => (vec![*escaped], rest),
            [b']', rest @ ..] => return (Vec::new(), rest),
            [a, b'-', b, rest @ ..] => ((*a.min(b)..=*a.max(b)).collect(), rest),
            [plain, rest @ ..] => (vec![*plain], rest),
        };
        let (others, rest) = class(rest);
        bytes.extend(others);
        (bytes, rest)
    }

    fn text(alphabet: &'static [u8], length: usize) -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop::sample::select(alphabet), 0..length)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn it_agrees_with_the_model(
            pattern in text(b"**??[[]]^-\\\\abcd", 12),
            text in text(b"abcd*?[]^-\\", 10),
        ) {
            prop_assert_eq!(matches(&pattern, &text), model(&pattern, &text));
        }

        #[test]
        fn what_fits_begins_with_the_prefix(
            pattern in text(b"*?[]\\abb", 8),
            text in text(b"ab\\]", 6),
        ) {
            let prefix = prefix(&pattern);
            if matches(&pattern, &text) {
                prop_assert!(text.starts_with(&prefix.text));
                prop_assert!(!prefix.is_whole || text == prefix.text);
            }
            prop_assert_eq!(prefix.is_whole && text == prefix.text, prefix.is_whole && matches(&pattern, &text));
        }

        #[test]
        fn a_prefix_becomes_a_pattern(
            start in text(b"*?[]^-\\ab", 8),
            text in text(b"*?[]^-\\ab", 12),
        ) {
            let pattern = starting_with(&start);
            prop_assert_eq!(matches(&pattern, &text), text.starts_with(&start));
            prop_assert_eq!(prefix(&pattern).text, start);
        }
    }

    #[test]
    fn the_rules_one_by_one() {
        let fits: [(&[u8], &[u8]); 21] = [
            (b"", b""),
            (b"*", b""),
            (b"***", b"x"),
            (b"a*b*c", b"aXXbYYbc"),
            (b"h?llo", b"hallo"),
            (b"h[ae]llo", b"hello"),
            (b"h[^e]llo", b"hallo"),
            (b"[a-c]", b"b"),
            (b"[c-a]", b"b"),
            (b"[a-]", b"`"),
            (b"[^]a", b"xa"),
            (b"[abc", b"b"),
            (b"[^", b"x"),
            (br"[\]]", b"]"),
            (br"[\a-c]", b"-"),
            (br"\*", b"*"),
            (br"\a", b"a"),
            (br"a\", br"a\"),
            (b"*\xff", b"\x00\xff"),
            (b"bus:{7}:*", b"bus:{7}:x"),
            (b"[0-9]*[0-9]", b"1a2"),
        ];
        for (pattern, text) in fits {
            assert!(matches(pattern, text), "{}", pattern.escape_ascii());
        }
        let differs: [(&[u8], &[u8]); 9] = [
            (b"", b"a"),
            (b"a", b""),
            (b"?", b""),
            (b"[a", b""),
            (b"a*b*c", b"aXXbYY"),
            (b"h[^e]llo", b"hello"),
            (br"\*", b"x"),
            (br"[\^a]", b"b"),
            (b"[]a]", b"a]"),
        ];
        for (pattern, text) in differs {
            assert!(!matches(pattern, text), "{}", pattern.escape_ascii());
        }
    }

    #[test]
    fn no_pattern_takes_long() {
        let text = vec![b'a'; 4_096];
        let mut pattern = b"a*".repeat(2_000);
        pattern.extend_from_slice(b"b");
        assert!(!matches(&pattern, &text));
        let mut pattern = b"*[^b]".repeat(800);
        pattern.push(b'c');
        assert!(!matches(&pattern, &text));
    }
}
