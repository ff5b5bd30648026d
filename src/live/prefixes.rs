//! Prefixes, and which of them a text begins with.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

/// Something for each of several prefixes, found by the texts that begin with them.
///
/// A text's prefixes lie before it in order, each the greatest of those that are left: so a search
/// takes a step for each that matches, and one for each time that it comes upon one that does not,
/// after which only what both have in common can match.
#[derive(Clone, Debug)]
pub(super) struct Prefixes<T>(pub(super) BTreeMap<Bytes, T>);

impl<T> Default for Prefixes<T> {
    fn default() -> Prefixes<T> {
        Prefixes(BTreeMap::new())
    }
}

impl<T> Prefixes<T> {
    /// Calls `found` with what there is for each prefix of `text`, the longest first, until it
    /// returns false.
    pub(super) fn search(&self, text: &[u8], mut found: impl FnMut(&T) -> bool) {
        let mut below = Bound::Included(text);
        loop {
            let mut before = self.0.range::<[u8], _>((Bound::Unbounded, below));
            let Some((prefix, value)) = before.next_back() else {
                return;
            };
            if text.starts_with(prefix) {
                if !found(value) {
                    return;
                }
                below = Bound::Excluded(&text[..prefix.len()]);
            } else {
                let common = prefix.iter().zip(text).take_while(|(a, b)| a == b);
                below = Bound::Included(&text[..common.count()]);
            }
        }
    }

    /// Whether any prefix of `text` is here.
    pub(super) fn has_prefix_of(&self, text: &[u8]) -> bool {
        let mut has = false;
        self.search(text, |_| {
            has = true;
            false
        });
        has
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(prefixes: &[&str], text: &str) -> Vec<String> {
        let mut map = Prefixes::default();
        for prefix in prefixes {
            let bytes = Bytes::copy_from_slice(prefix.as_bytes());
            map.0.insert(bytes, (*prefix).to_owned());
        }
        let mut found = Vec::new();
        map.search(text.as_bytes(), |prefix| {
            found.push(prefix.clone());
            true
        });
        found
    }

    #[test]
    fn all_prefixes_of_a_text_are_found() {
        let all = ["", "a", "ab", "abd", "abc", "abcd", "b", "ac"];
        assert_eq!(found(&all, "abcx"), ["abc", "ab", "a", ""]);
        assert_eq!(found(&all, "z"), [""]);
        assert_eq!(found(&all[1..], "z"), [""; 0]);
        assert_eq!(found(&[], "z"), [""; 0]);
    }

    proptest! {
        #[test]
        fn as_one_by_one(prefixes in prop::collection::btree_set("[ab]{0,5}", 0..12), text in "[ab]{0,7}") {
            let mut one_by_one: Vec<_> =
                prefixes.iter().filter(|prefix| text.starts_with(*prefix)).cloned().collect();
            one_by_one.reverse();
            let prefixes: Vec<&str> = prefixes.iter().map(String::as_str).collect();
            prop_assert_eq!(found(&prefixes, &text), one_by_one);
        }
    }
}
