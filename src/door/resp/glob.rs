//! Patterns as Redis has them: `*`, `?`, `[a-c]`, `[^a-c]`, and `\` before what is meant as it is.
//!
//! Matching takes at most the product of both lengths, whatever the pattern.

/// Whether all of `text` matches.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Behind the last star, and where in the text it was tried from.
    let mut star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            if p == pattern.len() {
                return true;
            }
            star = Some((p, t));
            continue;
        }
        let matched = match text.get(t) {
            None => {
                if p == pattern.len() {
                    return true;
                }
                None
            }
            Some(byte) => one(&pattern[p..], *byte),
        };
        match (matched, &mut star) {
            (Some(length), _) => {
                p += length;
                t += 1;
            }
            // The star takes one more.
            (None, Some((behind, from))) if *from < text.len() => {
                *from += 1;
                (p, t) = (*behind, *from);
            }
            (None, _) => return false,
        }
    }
}

/// Whether the first element of a pattern matches one byte: how long that element is.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', class @ ..] => {
            let (is, length) = class_matches(class, byte);
            is.then_some(length + 1)
        }
        [b'\\', literal, ..] => (*literal == byte).then_some(2),
        [literal, ..] => (*literal == byte).then_some(1),
    }
}

/// Whether a byte is in a class, which begins behind its bracket; and how long the class is. One that
/// does not end is as long as the pattern.
fn class_matches(class: &[u8], byte: u8) -> (bool, usize) {
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut is = false;
    loop {
        match &class[at.min(class.len())..] {
            [] => return (is != negated, class.len()),
            [b']', ..] => return (is != negated, at + 1),
            [b'\\', literal, ..] => {
                is |= *literal == byte;
                at += 2;
            }
            [first, b'-', last, ..] => {
                let (low, high) = (first.min(last), first.max(last));
                is |= (low..=high).contains(&&byte);
                at += 3;
            }
            [literal, ..] => {
                is |= *literal == byte;
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_matches() {
        for (pattern, yes, no) in [
            ("", &[""][..], &["a"][..]),
            ("*", &["", "a", "abc"], &[]),
            ("a*", &["a", "abc"], &["", "ba"]),
            ("*a", &["a", "bca"], &["ab"]),
            ("a*b*c", &["abc", "axxbyyc", "abcbc"], &["ab", "acb"]),
            ("h?llo", &["hello", "hallo"], &["hllo", "heello"]),
            ("h[ae]llo", &["hello", "hallo"], &["hillo"]),
            ("h[^e]llo", &["hallo"], &["hello"]),
            ("h[a-c]llo", &["hbllo"], &["hdllo", "h-llo"]),
            ("h[c-a]llo", &["hbllo"], &["hdllo"]),
            ("a\\*b", &["a*b"], &["aab"]),
            ("[\\]]", &["]"], &["\\", "a"]),
            ("a**b", &["ab", "axb"], &["a"]),
            ("[ab", &["a", "b"], &["c", "ab"]),
            ("a\\", &["a\\"], &["a"]),
            ("*:[0-9]*", &["user:1", "a:b:2x"], &["user:x"]),
        ] {
            for text in yes {
                assert!(
                    matches(pattern.as_bytes(), text.as_bytes()),
                    "{pattern} {text}"
                );
            }
            for text in no {
                assert!(
                    !matches(pattern.as_bytes(), text.as_bytes()),
                    "{pattern} {text}"
                );
            }
        }
    }

    #[test]
    fn a_pattern_of_many_stars_ends_soon() {
        let pattern = "a*".repeat(1_000) + "b";
        assert!(!matches(pattern.as_bytes(), "a".repeat(4_000).as_bytes()));
    }

    proptest! {
        #[test]
        fn no_pattern_panics(pattern in "[-ab*?\\[\\]\\\\^]{0,12}", text in "[-ab]{0,8}") {
            let _ = matches(pattern.as_bytes(), text.as_bytes());
        }

        #[test]
        fn what_is_escaped_is_itself(text in proptest::collection::vec(any::<u8>(), 0..20)) {
            let pattern: Vec<u8> = text.iter().flat_map(|byte| [b'\\', *byte]).collect();
            prop_assert!(matches(&pattern, &text));
        }
    }
}
