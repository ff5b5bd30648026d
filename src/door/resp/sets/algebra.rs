//! What comes of several sets. Members occur once in each of them, and once in what comes of them.

use std::collections::HashSet;

use bytes::Bytes;
use indexmap::IndexSet;

/// Makes one set of several.
pub(super) type Combine = fn(Vec<Vec<Bytes>>) -> Vec<Bytes>;

/// What is in all of them.
pub(super) fn intersection(mut sets: Vec<Vec<Bytes>>) -> Vec<Bytes> {
    sets.sort_by_key(Vec::len);
    let mut sets = sets.into_iter();
    let mut members = sets.next().unwrap_or_default();
    for other in sets {
        if members.is_empty() {
            break;
        }
        let other: HashSet<Bytes> = other.into_iter().collect();
        members.retain(|member| other.contains(member));
    }
    members
}

/// What is in any of them.
pub(super) fn union(sets: Vec<Vec<Bytes>>) -> Vec<Bytes> {
    let members: IndexSet<Bytes> = sets.into_iter().flatten().collect();
    members.into_iter().collect()
}

/// What is in the first and in no other.
pub(super) fn difference(sets: Vec<Vec<Bytes>>) -> Vec<Bytes> {
    let mut sets = sets.into_iter();
    let mut members = sets.next().unwrap_or_default();
    let others: HashSet<Bytes> = sets.flatten().collect();
    members.retain(|member| !others.contains(member));
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sets(of: &[&str]) -> Vec<Vec<Bytes>> {
        let set = |text: &str| -> Vec<Bytes> {
            let members = text.split_terminator(' ');
            members.map(|member| member.to_owned().into()).collect()
        };
        of.iter().map(|text| set(text)).collect()
    }

    #[test]
    fn what_comes_of_sets() {
        let cases: [(Combine, &[&str], &str); 9] = [
            (intersection, &["a b c", "c b", "b d c"], "c b"),
            (intersection, &["a b", ""], ""),
            (intersection, &["a b"], "a b"),
            (union, &["a b", "", "b c"], "a b c"),
            (union, &["", ""], ""),
            (difference, &["a b c", "b", "c d"], "a"),
            (difference, &["a b", "a b"], ""),
            (difference, &["a b", ""], "a b"),
            (difference, &["", "a"], ""),
        ];
        for (combine, from, wanted) in cases {
            assert_eq!(combine(sets(from)), sets(&[wanted])[0], "{from:?}");
        }
    }
}
